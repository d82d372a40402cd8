//! TLS 1.3 with certificates on both sides (rustls, ring), under the chain rules of this crate.
//!
//! ```text
//! link             client shows       server shows
//! node to node     role node          role node
//! member to node   any member role    role node
//! ```
//!
//! Names in the sense of DNS play no part: a server proves that it is a node of the network and,
//! where the client knows whom it dials, that it has the expected key. No name is sent in clear
//! either.
//!
//! INVARIANT: only TLS 1.3, X25519 and Ed25519 are spoken; no session is resumed and no early data
//! is taken, so that every connection is judged by the certificates of its own moment.
//!
//! INVARIANT: the holder's key signs handshakes, certificate requests and instructions. None can
//! be passed off as another: TLS 1.3 signs bytes that begin with 64 spaces (RFC 8446 section
//! 4.4.3), a request is a DER sequence, and an instruction begins with the length and text of its
//! domain.
//!
//! Who is revoked is asked at every handshake of the [`Revocations`] that a configuration was made
//! with, so that what is known later counts as well. Whoever keeps a connection open judges it anew
//! when [`Revocations::changes`] says so ([`peer_principal`]).
//!
//! Between nodes, where a peer counts by a key that the members have decided on, a certificate that
//! has ended goes on: agreement does not wait for the CA. Everywhere else it is refused.
//!
//! This is the one module that reads the clock, through rustls.

mod refusals;
mod verifier;

use std::{net::Ipv4Addr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, CommonState, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring},
    server::NoServerSessionStorage,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use sealbook_primitives::{
    secret::Secret32,
    signature::{SigningKey, VerifyingKey},
};

pub use self::refusals::Refusals;
use self::verifier::{ClientVerifier, Judge, ServerVerifier};
use crate::{
    Ended, IdentityError, Link, NameError, Revocations, Usage,
    certificate::ParsedCertificate,
    chain::{check_sizes, verify_unrevoked},
    check_short_name, pem,
};

/// Why a configuration cannot be made or a connection is not as agreed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The network's name is not lawful.
    #[error("the network's name is not lawful: {0}")]
    Network(#[source] NameError),
    /// Our own chain or a root cannot be used.
    #[error("our own certificates cannot be used: {0}")]
    Own(#[source] IdentityError),
    /// Our private key does not belong to our certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// rustls refused.
    #[error("tls cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The peer agreed to no protocol, or to another one.
    #[error("the peer does not speak the protocol `{expected}`")]
    WrongProtocol {
        /// The protocol that this connection is for.
        expected: String,
    },
}

impl TlsError {
    /// What can be done about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Network(_) => "take the network's name from its genesis",
            Self::Own(error) => error.hint(),
            Self::KeyMismatch => "use the key that the certificate was requested with",
            Self::Rustls(_) => "check chain and key",
            Self::WrongProtocol { .. } => "check address and port, and the versions of both sides",
        }
    }
}

/// Whom a server admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Other nodes.
    Nodes,
    /// Members of any role.
    Members,
    /// Members and nodes alike.
    Any,
}

/// A server with our own `chain` (leaf first) and the Ed25519 `seed` of its leaf, which admits
/// `peers` of `network` under `roots` unless they are revoked, and speaks the protocol `alpn`. Of
/// [`Peers::Nodes`] also those whose certificates have ended: the caller knows them by their keys.
///
/// # Errors
/// The parts do not fit each other. The dates of our own chain are not looked at: the peers do
/// that, each time.
pub fn server_config(
    chain: &[CertificateDer<'_>],
    seed: &Secret32,
    roots: &[CertificateDer<'_>],
    revocations: &Revocations,
    network: &str,
    alpn: &[u8],
    peers: Peers,
) -> Result<Arc<ServerConfig>, TlsError> {
    check_own(chain, seed, roots, network)?;
    let usage = match peers {
        Peers::Nodes => (Usage::Node, Ended::Accepted),
        Peers::Members => (Usage::Member, Ended::Refused),
        Peers::Any => (Usage::Any, Ended::Refused),
    };
    let verifier = ClientVerifier::new(judge(roots, revocations, network, usage, None));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(owned(chain), private_key(seed))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A client of a node, for members and nodes alike; otherwise as [`server_config`]. With `expected`
/// only the node with that key will do, even if its certificate has ended. Connect to [`server_name`].
///
/// # Errors
/// The parts do not fit each other.
pub fn client_config(
    chain: &[CertificateDer<'_>],
    seed: &Secret32,
    roots: &[CertificateDer<'_>],
    revocations: &Revocations,
    network: &str,
    alpn: &[u8],
    expected: Option<VerifyingKey>,
) -> Result<Arc<ClientConfig>, TlsError> {
    check_own(chain, seed, roots, network)?;
    let ended = if expected.is_some() {
        Ended::Accepted
    } else {
        Ended::Refused
    };
    let judge = judge(roots, revocations, network, (Usage::Node, ended), expected);
    let verifier = ServerVerifier::new(judge);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(owned(chain), private_key(seed))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// The name that rustls wants for a connection; it is neither sent nor checked.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())
}

/// Who shows this chain on a connection, judged as of `now_ms`, so that a long connection can be held
/// against dates and revocations anew.
pub fn peer_principal(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    revocations: &Revocations,
    network: &str,
    now_ms: u64,
    (usage, ended): (Usage, Ended),
) -> Result<crate::Principal, IdentityError> {
    verify_unrevoked(roots, revocations, chain, network, now_ms, (usage, ended))
}

/// The chain that the peer has shown in a finished handshake.
pub fn peer_chain(connection: &CommonState) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain = connection.peer_certificates();
    Ok(owned(chain.ok_or(IdentityError::NoCertificate)?))
}

/// Refuses a connection on which `alpn` was not agreed. A peer that offers no protocol at all gets
/// through the handshake, so that whoever relies on the protocol has to ask.
pub fn require_protocol(connection: &CommonState, alpn: &[u8]) -> Result<(), TlsError> {
    if connection.alpn_protocol() == Some(alpn) {
        return Ok(());
    }
    Err(TlsError::WrongProtocol {
        expected: alpn.escape_ascii().to_string(),
    })
}

/// Our own reason behind a refused handshake, with text and hint, where rustls has none that is as
/// good. Expired, not yet valid and untrusted certificates are rustls' own errors, so that the peer
/// hears of them by their proper alerts.
pub fn refusal(error: &rustls::Error) -> Option<&IdentityError> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(reason)) => {
            reason.0.downcast_ref()
        }
        _ => None,
    }
}

/// Finds what is wrong with our own side before a peer does.
fn check_own(
    chain: &[CertificateDer<'_>],
    seed: &Secret32,
    roots: &[CertificateDer<'_>],
    network: &str,
) -> Result<(), TlsError> {
    check_short_name(network).map_err(TlsError::Network)?;
    check_sizes(roots, chain).map_err(TlsError::Own)?;
    let leaf = chain
        .first()
        .ok_or(TlsError::Own(IdentityError::NoCertificate))?;
    let key = ParsedCertificate::read(leaf, Link::Leaf)
        .and_then(|leaf| leaf.key())
        .map_err(TlsError::Own)?;
    if SigningKey::from_secret(seed).verifying_key() != key {
        return Err(TlsError::KeyMismatch);
    }
    Ok(())
}

fn judge(
    roots: &[CertificateDer<'_>],
    revocations: &Revocations,
    network: &str,
    (usage, ended): (Usage, Ended),
    expected: Option<VerifyingKey>,
) -> Judge {
    Judge {
        network: network.to_owned(),
        roots: owned(roots),
        revocations: revocations.clone(),
        usage,
        ended,
        expected,
    }
}

fn owned(certificates: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    certificates
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect()
}

/// The key in rustls' form. rustls keeps its own copy for the life of the configuration.
fn private_key(seed: &Secret32) -> PrivateKeyDer<'static> {
    let der = pem::seed_to_pkcs8(seed);
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.expose().to_vec()))
}

/// ring, cut down to what we speak.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    ];
    provider.kx_groups = vec![ring::kx_group::X25519];
    provider.signature_verification_algorithms = ALGORITHMS;
    Arc::new(provider)
}

/// Ed25519 alone.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(rustls::SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};
