//! Reads what we need from one certificate or one certificate request. Nothing here trusts what
//! it reads: signatures and paths are checked in `chain` and `request`.

use rustls_pki_types::CertificateDer;
use sealbook_primitives::signature::VerifyingKey;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{
        ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension, SubjectAlternativeName,
    },
    oid_registry::{
        OID_SIG_ED25519, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    },
    prelude::FromDer as _,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name},
};

use crate::{
    CERTIFICATE_BYTES_MAX, CertificateUri, IdentityError, Link, check_organisation,
    check_short_name,
};

/// One parsed certificate.
pub(crate) struct ParsedCertificate<'a> {
    parsed: X509Certificate<'a>,
    link: Link,
}

impl<'a> ParsedCertificate<'a> {
    /// Parses `der` whole; bytes after the certificate are refused.
    pub(crate) fn read(der: &'a [u8], link: Link) -> Result<Self, IdentityError> {
        check_size(der, link)?;
        match X509Certificate::from_der(der) {
            Ok(([], parsed)) => Ok(Self { parsed, link }),
            Ok(_) => Err(IdentityError::Malformed {
                link,
                what: "bytes follow the certificate",
            }),
            Err(_) => Err(IdentityError::Malformed {
                link,
                what: "it is no x.509 certificate",
            }),
        }
    }

    /// First and last moment of validity in milliseconds. Both belong to the validity.
    pub(crate) fn validity_ms(&self) -> Result<(u64, u64), IdentityError> {
        let milliseconds = |seconds: i64| {
            u64::try_from(seconds)
                .ok()
                .and_then(|seconds| seconds.checked_mul(1000))
                .ok_or_else(|| self.malformed("its validity begins or ends before 1970"))
        };
        let validity = self.parsed.validity();
        Ok((
            milliseconds(validity.not_before.timestamp())?,
            milliseconds(validity.not_after.timestamp())?,
        ))
    }

    /// Refuses a certificate that is not valid at `now_ms`.
    pub(crate) fn check_validity(&self, now_ms: u64) -> Result<(), IdentityError> {
        let link = self.link;
        let (not_before_ms, not_after_ms) = self.validity_ms()?;
        if now_ms < not_before_ms {
            return Err(IdentityError::NotYetValid {
                link,
                not_before_ms,
                now_ms,
            });
        }
        if now_ms > not_after_ms {
            return Err(IdentityError::Expired {
                link,
                not_after_ms,
                now_ms,
            });
        }
        Ok(())
    }

    /// The parts that need no check of ours.
    pub(crate) const fn parsed(&self) -> &X509Certificate<'a> {
        &self.parsed
    }

    /// The subject key identifier, by which lists name the key of their authority.
    pub(crate) fn key_identifier(&self) -> Option<&[u8]> {
        self.parsed
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
                _ => None,
            })
    }

    /// Refuses a certificate that none of `roots` signed itself, or one that is not valid now.
    pub(crate) fn check_signed_by_root(
        &self,
        roots: &[CertificateDer<'_>],
        now_ms: u64,
    ) -> Result<(), IdentityError> {
        let algorithms = [
            &self.parsed.signature_algorithm,
            &self.parsed.tbs_certificate.signature,
        ];
        if !algorithms.into_iter().all(is_ed25519) {
            return Err(IdentityError::NotEd25519 { link: self.link });
        }
        for der in roots {
            let root = ParsedCertificate::read(der, Link::Root)?;
            let named = root.parsed.subject().as_raw() == self.parsed.issuer().as_raw();
            let key = Some(root.parsed.public_key());
            if named && self.parsed.verify_signature(key).is_ok() {
                return root.check_validity(now_ms);
            }
        }
        Err(IdentityError::NotTrusted)
    }

    /// Refuses a certificate that is no authority's, or has a critical extension of which an
    /// authority's has no need, so that it would have to be understood.
    pub(crate) fn check_is_authority(&self) -> Result<(), IdentityError> {
        if !self.parsed.is_ca() {
            return Err(IdentityError::WrongPurpose {
                link: self.link,
                what: "it is no authority's certificate",
            });
        }
        let known = [
            OID_X509_EXT_BASIC_CONSTRAINTS,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_SUBJECT_ALT_NAME,
        ];
        let mut extensions = self.parsed.extensions().iter();
        if extensions.any(|extension| extension.critical && !known.contains(&extension.oid)) {
            return Err(self.malformed("it has a critical extension that we do not know"));
        }
        Ok(())
    }

    /// The only subject alternative name.
    pub(crate) fn uri(&self) -> Result<CertificateUri, IdentityError> {
        let names = self
            .parsed
            .subject_alternative_name()
            .map_err(|_| self.malformed("its subject alternative name cannot be read"))?
            .ok_or_else(|| self.malformed("it has no subject alternative name"))?;
        sole_uri(names.value)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                self.malformed("its only name must be a lawful `https://sealbook.invalid/` uri")
            })
    }

    /// Common name and organisation.
    pub(crate) fn names(&self) -> Result<(String, String), IdentityError> {
        subject_names(self.parsed.subject())
            .ok_or_else(|| self.malformed("its common name or organisation is not lawful"))
    }

    /// The Ed25519 key, which is not a weak one.
    pub(crate) fn key(&self) -> Result<VerifyingKey, IdentityError> {
        let link = self.link;
        let key =
            ed25519_key(self.parsed.public_key()).ok_or(IdentityError::NotEd25519 { link })?;
        key.refuse_weak()
            .map_err(|_| IdentityError::WeakKey { link })?;
        Ok(key)
    }

    pub(crate) fn key_usage(&self) -> Result<&KeyUsage, IdentityError> {
        self.parsed
            .key_usage()
            .ok()
            .flatten()
            .map(|extension| extension.value)
            .ok_or_else(|| self.malformed("its key usage is missing or cannot be read"))
    }

    pub(crate) fn extended_key_usage(&self) -> Result<&ExtendedKeyUsage<'_>, IdentityError> {
        self.parsed
            .extended_key_usage()
            .ok()
            .flatten()
            .map(|extension| extension.value)
            .ok_or_else(|| self.malformed("its extended key usage is missing or cannot be read"))
    }

    fn malformed(&self, what: &'static str) -> IdentityError {
        IdentityError::Malformed {
            link: self.link,
            what,
        }
    }
}

/// Refuses a certificate that is too large to be one of ours, before anything is parsed.
pub(crate) fn check_size(der: &[u8], link: Link) -> Result<(), IdentityError> {
    let (found, limit) = (der.len(), CERTIFICATE_BYTES_MAX);
    if found > limit {
        return Err(IdentityError::CertificateTooLarge { link, found, limit });
    }
    Ok(())
}

/// The text of the only name, if it is the only one and a URI.
pub(crate) fn sole_uri<'a>(names: &SubjectAlternativeName<'a>) -> Option<&'a str> {
    match names.general_names.as_slice() {
        [GeneralName::URI(text)] => Some(text),
        _ => None,
    }
}

/// Common name and organisation, each exactly once and lawful. Other attributes are ignored.
pub(crate) fn subject_names(subject: &X509Name<'_>) -> Option<(String, String)> {
    let mut common_names = subject.iter_common_name();
    let mut organisations = subject.iter_organization();
    let (Some(common_name), None) = (common_names.next(), common_names.next()) else {
        return None;
    };
    let (Some(organisation), None) = (organisations.next(), organisations.next()) else {
        return None;
    };
    let (common_name, organisation) = (common_name.as_str().ok()?, organisation.as_str().ok()?);
    check_short_name(common_name).ok()?;
    check_organisation(organisation).ok()?;
    Some((common_name.to_owned(), organisation.to_owned()))
}

/// Whether the algorithm is Ed25519 in its only lawful form, without parameters (RFC 8410).
pub(crate) fn is_ed25519(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm == OID_SIG_ED25519 && algorithm.parameters.is_none()
}

/// The key, if it is an Ed25519 key of 32 whole bytes.
pub(crate) fn ed25519_key(info: &SubjectPublicKeyInfo<'_>) -> Option<VerifyingKey> {
    if !is_ed25519(&info.algorithm) || info.subject_public_key.unused_bits != 0 {
        return None;
    }
    let bytes: [u8; 32] = info.subject_public_key.data.as_ref().try_into().ok()?;
    Some(VerifyingKey(bytes))
}
