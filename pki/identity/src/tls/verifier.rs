//! The rustls side of the chain rules: what a handshake asks, `verify_chain` answers.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::verify_tls13_signature,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealbook_primitives::signature::VerifyingKey;

use super::ALGORITHMS;
use crate::{CERTIFICATES_MAX, Ended, IdentityError, Revocations, Usage, chain::verify_unrevoked};

/// What a peer is held against.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) network: String,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) revocations: Revocations,
    pub(super) usage: Usage,
    pub(super) ended: Ended,
    pub(super) expected: Option<VerifyingKey>,
}

impl Judge {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        self.check_chain(leaf, others, now.as_secs().saturating_mul(1000))
            .map_err(|error| to_rustls(error, now))
    }

    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now_ms: u64,
    ) -> Result<(), IdentityError> {
        let found = others.len().saturating_add(1);
        if found > CERTIFICATES_MAX {
            return Err(IdentityError::ChainTooLong {
                found,
                limit: CERTIFICATES_MAX,
            });
        }
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf)
            .chain(others)
            .map(|certificate| CertificateDer::from(certificate.as_ref()))
            .collect();
        let (roots, revocations) = (&self.roots, &self.revocations);
        let (network, usage) = (&self.network, (self.usage, self.ended));
        let peer = verify_unrevoked(roots, revocations, &chain, network, now_ms, usage)?;
        match self.expected {
            Some(expected) if expected != peer.key => Err(IdentityError::WrongKey {
                found: peer.key,
                expected,
            }),
            _ => Ok(()),
        }
    }
}

/// Where TLS has an alert of its own for the reason, it is chosen, so that the peer, who cannot see
/// our log, learns what to mend. Everything else keeps our text.
fn to_rustls(error: IdentityError, now: UnixTime) -> rustls::Error {
    let moment = |milliseconds: u64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_millis(milliseconds))
    };
    let reason = match error {
        IdentityError::NotTrusted => CertificateError::UnknownIssuer,
        IdentityError::Expired { not_after_ms, .. } => CertificateError::ExpiredContext {
            time: now,
            not_after: moment(not_after_ms),
        },
        IdentityError::NotYetValid { not_before_ms, .. } => CertificateError::NotValidYetContext {
            time: now,
            not_before: moment(not_before_ms),
        },
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    rustls::Error::InvalidCertificate(reason)
}

/// Judges a server's chain.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    judge: Judge,
}

impl ServerVerifier {
    pub(super) const fn new(judge: Judge) -> Self {
        Self { judge }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge.check(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Judges a client's chain. A client without one is refused.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    judge: Judge,
}

impl ClientVerifier {
    pub(super) const fn new(judge: Judge) -> Self {
        Self { judge }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// None, so that a stranger learns no names of authorities from us.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge.check(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

fn only_tls13() -> rustls::Error {
    rustls::Error::General(
        "a signature of tls 1.2 was offered, but only tls 1.3 is spoken".to_owned(),
    )
}
