//! Reads a certificate request (PKCS #10): what a member asks an authority to certify.
//!
//! INVARIANT: a [`CertificateRequest`] has been signed by the key that it names, and all its names
//! are lawful. Extensions other than the subject alternative name are ignored: whatever they ask
//! for, the authority alone decides what a certificate says.

use sealbook_primitives::signature::VerifyingKey;
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::ParsedExtension,
    prelude::FromDer as _,
};

use crate::{
    CERTIFICATE_BYTES_MAX, CertificateUri, Lei, Role, UriError,
    certificate::{ed25519_key, is_ed25519, sole_uri, subject_names},
    pem,
};

/// What stands between the signed part of a request and its signature: the algorithm Ed25519 and
/// the head of a bit string of 64 whole bytes.
const SIGNATURE_HEAD: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00];

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The short name.
    pub name: String,
    /// The organisation's name.
    pub organisation: String,
    /// The role.
    pub role: Role,
    /// The organisation's identifier, where it has one.
    pub lei: Option<Lei>,
    /// The network.
    pub network: String,
    /// The key that signed the request.
    pub key: VerifyingKey,
}

/// Why a request is refused. All of it is the applicant's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The text is not one PEM section `CERTIFICATE REQUEST` within the size limit.
    #[error("this is no certificate request in pem form of at most {CERTIFICATE_BYTES_MAX} bytes")]
    NotPem,
    /// The section is not a request.
    #[error("the certificate request cannot be read")]
    Malformed,
    /// The key or the signature is not Ed25519.
    #[error("the certificate request does not use ed25519")]
    NotEd25519,
    /// The key is one for which anybody can sign, or one with a second spelling.
    #[error("the certificate request has a weak key")]
    WeakKey,
    /// The request was not signed by its own key, or was changed since.
    #[error("the certificate request is not signed by the key that it names")]
    BadSignature,
    /// Common name or organisation are missing, double or not lawful.
    #[error("the request's common name or organisation is not lawful")]
    Names,
    /// There is not exactly one URI in the request.
    #[error(
        "the request must name exactly one `https://sealbook.invalid/` uri and no other alternative name"
    )]
    NoUri,
    /// The URI is not lawful.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The URI asks for an authority's certificate.
    #[error("the request asks for an authority's certificate, not a member's or node's")]
    ForAuthority,
}

impl RequestError {
    /// What the applicant can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotPem | Self::Malformed | Self::NotEd25519 | Self::WeakKey | Self::NoUri => {
                "make the request with this network's own tool"
            }
            Self::BadSignature => "send the file again, unchanged, as the tool wrote it",
            Self::Names => "choose a short name of `a-z`, `0-9`, `-` and a visible organisation",
            Self::Uri(_) => "correct network, role or identifier and make the request again",
            Self::ForAuthority => "ask for one of the roles",
        }
    }
}

impl CertificateRequest {
    /// Reads and checks a request in PEM form, including its signature.
    pub fn from_pem(text: &str) -> Result<Self, RequestError> {
        let der = pem::request_from_pem(text).map_err(|_| RequestError::NotPem)?;
        Self::from_der(&der)
    }

    /// Reads and checks a request in DER form, including its signature.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(RequestError::NotPem);
        }
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
            return Err(RequestError::Malformed);
        };
        let info = &request.certification_request_info;
        let key = ed25519_key(&info.subject_pki).ok_or(RequestError::NotEd25519)?;
        if !is_ed25519(&request.signature_algorithm) {
            return Err(RequestError::NotEd25519);
        }
        // Anybody can sign with a weak key, so that its signature would prove nothing.
        key.refuse_weak().map_err(|_| RequestError::WeakKey)?;
        if frame(info.raw, &request.signature_value.data) != der {
            return Err(RequestError::Malformed);
        }
        request
            .verify_signature()
            .map_err(|_| RequestError::BadSignature)?;

        let (name, organisation) = subject_names(&info.subject).ok_or(RequestError::Names)?;
        let mut alternative_names = request
            .requested_extensions()
            .into_iter()
            .flatten()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(names),
                _ => None,
            });
        let (Some(names), None) = (alternative_names.next(), alternative_names.next()) else {
            return Err(RequestError::NoUri);
        };
        match sole_uri(names).ok_or(RequestError::NoUri)?.parse()? {
            CertificateUri::Holder { network, role, lei } => Ok(Self {
                name,
                organisation,
                role,
                lei,
                network,
                key,
            }),
            CertificateUri::Issuing { .. } | CertificateUri::Root { .. } => {
                Err(RequestError::ForAuthority)
            }
        }
    }
}

/// The only lawful encoding of a request around its signed part. The parser is more lenient, and
/// the signature does not cover what is outside.
fn frame(signed: &[u8], signature: &[u8]) -> Vec<u8> {
    let contents = [signed, &SIGNATURE_HEAD, signature].concat();
    let length = contents.len();
    let [.., second, last] = length.to_be_bytes();
    // Definite length in its shortest form; a request is never longer than two bytes can say.
    let head: &[u8] = match length {
        0..=0x7f => &[0x30, last],
        0x80..=0xff => &[0x30, 0x81, last],
        _ => &[0x30, 0x82, second, last],
    };
    [head, &contents].concat()
}
