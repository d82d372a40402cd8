//! From a certificate chain to a [`Principal`], or to the reason why not.
//!
//! ```text
//!   root (trusted, named by genesis)
//!     └── issuing authority of one role      https://sealbook.invalid/<network>/issuing/<role>
//!           └── member or node               https://sealbook.invalid/<network>/<role>/<LEI or ->
//! ```
//!
//! INVARIANT: the path has exactly these three certificates. A certificate that the root signed
//! itself is refused, and so is one behind a second authority, because nothing would bind its role.
//!
//! INVARIANT: the result depends on the arguments alone. The execution module calls this with the
//! ledger's time and every copy of it must come to the same answer; signatures of certificates are
//! judged by one implementation (ring) everywhere.
//!
//! [`verify_chain`] does not look at revocation: that is a transaction of the ledger, and the caller
//! knows its state. Links also look at the authorities' lists ([`crate::revocation`]).

use std::{fmt, time::Duration};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sealbook_primitives::{
    hash::{Digest, hash},
    signature::VerifyingKey,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    CERTIFICATES_MAX, CertificateUri, IdentityError, Lei, Link, ROOTS_MAX, Revocations, Role,
    certificate::{ParsedCertificate, check_size},
};

const FINGERPRINT_DOMAIN: &str = "sealbook/identity/certificate fingerprint/1";

/// Who stands behind a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The short name, unique on the network while the ledger says so.
    pub name: String,
    /// The capacity in which the holder takes part.
    pub role: Role,
    /// The organisation's name.
    pub organisation: String,
    /// The organisation's identifier, where it has one.
    pub lei: Option<Lei>,
    /// The network that the certificate is for.
    pub network: String,
    /// The key that signs the holder's instructions and handshakes.
    pub key: VerifyingKey,
    /// Names the certificate itself; a renewal has another.
    pub fingerprint: Digest,
    /// First moment of the certificate's validity, milliseconds since 1970 (UTC).
    pub not_before_ms: u64,
    /// Last moment of the certificate's validity, milliseconds since 1970 (UTC).
    pub not_after_ms: u64,
}

/// Whom a chain is expected to belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Any role, for a caller that looks at the role itself.
    Any,
    /// A member: every role but node.
    Member,
    /// A node, as a server or a client.
    Node,
}

impl Usage {
    const fn admits(self, role: Role) -> bool {
        match self {
            Self::Any => true,
            Self::Member => role.is_member(),
            Self::Node => matches!(role, Role::Node),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Any => "any role",
            Self::Member => "a member",
            Self::Node => "a node",
        })
    }
}

/// Names a certificate by the hash of its bytes.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Digest {
    hash(FINGERPRINT_DOMAIN, &[certificate.as_ref()])
}

/// The key in a certificate of which nothing is verified: for who looks first whether it is a known one.
pub fn claimed_key(certificate: &CertificateDer<'_>) -> Option<VerifyingKey> {
    check_size(certificate, Link::Leaf).ok()?;
    let leaf = ParsedCertificate::read(certificate, Link::Leaf).ok()?;
    leaf.key().ok()
}

/// Checks `chain` (leaf first) up to one of `roots` as of `now_ms` and reads who its holder is.
///
/// # Errors
/// Every reason is a variant of [`IdentityError`]. The network and the leaf's validity are looked
/// at before its signatures, so that a mere mix-up of profiles is called by its name; nothing but
/// the error's text follows from what is not yet proven.
pub fn verify_chain(
    roots: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
    usage: Usage,
) -> Result<Principal, IdentityError> {
    verify_path(roots, chain, network, now_ms, usage).map(|(principal, _)| principal)
}

/// As [`verify_chain`], as of the moment next to `now_ms` at which the holder's certificate is valid: for who asks whose
/// certificate this is, or was.
///
/// # Errors
/// Those of [`verify_chain`].
pub fn verify_chain_in_its_time(
    roots: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
    usage: Usage,
) -> Result<Principal, IdentityError> {
    check_sizes(roots, chain)?;
    let then_ms = in_its_time(chain, now_ms)?;
    verify_chain(roots, chain, network, then_ms, usage)
}

/// The moment next to `now_ms` at which the first certificate of a chain is valid.
fn in_its_time(chain: &[CertificateDer<'_>], now_ms: u64) -> Result<u64, IdentityError> {
    let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
    let (begin_ms, end_ms) = ParsedCertificate::read(leaf, Link::Leaf)?.validity_ms()?;
    Ok(now_ms.min(end_ms).max(begin_ms))
}

/// When the first of these certificates ends, milliseconds since 1970 (UTC): from then on the chain is not valid.
/// Nothing else about them is checked.
///
/// # Errors
/// There is none, or one cannot be read.
pub fn chain_end_ms(chain: &[CertificateDer<'_>]) -> Result<u64, IdentityError> {
    let mut first = None;
    for certificate in chain {
        let (_, end_ms) = ParsedCertificate::read(certificate, Link::Issuing)?.validity_ms()?;
        first = Some(first.map_or(end_ms, |first: u64| first.min(end_ms)));
    }
    first.ok_or(IdentityError::NoCertificate)
}

/// What becomes of a link whose certificates have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is refused.
    Refused,
    /// It goes on: the peer is known by a key that the members have decided on, and agreement does not wait for the CA.
    Accepted,
}

/// The same for a link: the holder's certificate must not be revoked either.
///
/// # Errors
/// Those of [`verify_chain`], [`IdentityError::Revoked`], [`IdentityError::RevokedOnLedger`] and
/// [`IdentityError::RevocationListStale`].
pub(crate) fn verify_unrevoked(
    roots: &[CertificateDer<'_>],
    revocations: &Revocations,
    chain: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
    (usage, ended): (Usage, Ended),
) -> Result<Principal, IdentityError> {
    check_sizes(roots, chain)?;
    let then_ms = match ended {
        Ended::Refused => now_ms,
        Ended::Accepted => now_ms.min(in_its_time(chain, now_ms)?),
    };
    let (principal, issuing) = verify_path(roots, chain, network, then_ms, usage)?;
    if let Some(leaf) = chain.first() {
        revocations.check(leaf, &issuing, now_ms)?;
    }
    Ok(principal)
}

/// The holder, and the certificate of the issuing authority.
fn verify_path(
    roots: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
    usage: Usage,
) -> Result<(Principal, CertificateDer<'static>), IdentityError> {
    check_sizes(roots, chain)?;
    let (leaf_der, others) = chain.split_first().ok_or(IdentityError::NoCertificate)?;
    let leaf = ParsedCertificate::read(leaf_der, Link::Leaf)?;
    let principal = read_holder(&leaf, leaf_der)?;
    check_network(&principal.network, network, Link::Leaf)?;
    leaf.check_validity(now_ms)?;

    let anchors = roots
        .iter()
        .map(|root| {
            webpki::anchor_from_trusted_cert(root).map_err(|_| IdentityError::Malformed {
                link: Link::Root,
                what: "it is no authority's certificate",
            })
        })
        .collect::<Result<Vec<TrustAnchor<'_>>, _>>()?;
    let (issuing_der, root_index) = find_path(leaf_der, others, &anchors, now_ms, principal.role)?;
    if let Some(root) = roots.get(root_index) {
        ParsedCertificate::read(root, Link::Root)?.check_validity(now_ms)?;
    }
    check_issuing(&issuing_der, network, now_ms, principal.role)?;
    check_leaf_purpose(&leaf, principal.role)?;
    if !usage.admits(principal.role) {
        return Err(IdentityError::WrongRole {
            found: principal.role,
            expected: usage,
        });
    }
    Ok((principal, issuing_der))
}

/// Refuses what is too many or too large, before anything is parsed.
pub(crate) fn check_sizes(
    roots: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
) -> Result<(), IdentityError> {
    if roots.is_empty() || roots.len() > ROOTS_MAX {
        return Err(IdentityError::RootCount {
            found: roots.len(),
            limit: ROOTS_MAX,
        });
    }
    if chain.len() > CERTIFICATES_MAX {
        return Err(IdentityError::ChainTooLong {
            found: chain.len(),
            limit: CERTIFICATES_MAX,
        });
    }
    roots
        .iter()
        .try_for_each(|root| check_size(root, Link::Root))?;
    chain
        .iter()
        .enumerate()
        .try_for_each(|(index, certificate)| {
            check_size(
                certificate,
                if index == 0 {
                    Link::Leaf
                } else {
                    Link::Issuing
                },
            )
        })
}

/// Reads the holder from its own certificate, believing every word.
fn read_holder(
    leaf: &ParsedCertificate<'_>,
    der: &CertificateDer<'_>,
) -> Result<Principal, IdentityError> {
    let CertificateUri::Holder { network, role, lei } = leaf.uri()? else {
        return Err(IdentityError::WrongPurpose {
            link: Link::Leaf,
            what: "it belongs to an authority, not to a member or node",
        });
    };
    let (name, organisation) = leaf.names()?;
    let (not_before_ms, not_after_ms) = leaf.validity_ms()?;
    let key = leaf.key()?;
    let fingerprint = fingerprint(der);
    Ok(Principal {
        name,
        role,
        organisation,
        lei,
        network,
        key,
        fingerprint,
        not_before_ms,
        not_after_ms,
    })
}

/// Finds the signed path and gives the issuing authority's certificate and the root's index.
fn find_path(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now_ms: u64,
    role: Role,
) -> Result<(CertificateDer<'static>, usize), IdentityError> {
    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| from_webpki(&error, now_ms))?;
    let usage = match role {
        Role::Node => KeyUsage::server_auth(),
        _ => KeyUsage::client_auth(),
    };
    let path = end_entity
        .verify_for_usage(
            &[webpki::ring::ED25519],
            anchors,
            others,
            UnixTime::since_unix_epoch(Duration::from_millis(now_ms)),
            usage,
            None,
            None,
        )
        .map_err(|error| from_webpki(&error, now_ms))?;
    let mut between = path.intermediate_certificates();
    let (Some(issuing), None) = (between.next(), between.next()) else {
        return Err(IdentityError::NotIssuedByRole);
    };
    let root_index = anchors
        .iter()
        .position(|anchor| anchor == path.anchor())
        .ok_or(IdentityError::NotTrusted)?;
    Ok((issuing.der().into_owned(), root_index))
}

fn check_issuing(
    der: &CertificateDer<'_>,
    network: &str,
    now_ms: u64,
    role: Role,
) -> Result<(), IdentityError> {
    let issuing = ParsedCertificate::read(der, Link::Issuing)?;
    issuing.check_validity(now_ms)?;
    let CertificateUri::Issuing {
        network: found,
        role: authority,
    } = issuing.uri()?
    else {
        return Err(IdentityError::NotIssuedByRole);
    };
    check_network(&found, network, Link::Issuing)?;
    if authority != role {
        return Err(IdentityError::RoleNotCertifiable {
            authority,
            certified: role,
        });
    }
    if !issuing.key_usage()?.key_cert_sign() {
        return Err(IdentityError::WrongPurpose {
            link: Link::Issuing,
            what: "its key may not sign certificates",
        });
    }
    Ok(())
}

/// Nodes serve and connect, members only connect; neither signs certificates.
fn check_leaf_purpose(leaf: &ParsedCertificate<'_>, role: Role) -> Result<(), IdentityError> {
    let refuse = |what| {
        Err(IdentityError::WrongPurpose {
            link: Link::Leaf,
            what,
        })
    };
    let usage = leaf.key_usage()?;
    if !usage.digital_signature() || usage.key_cert_sign() {
        return refuse("its key must be for signatures, and not for those on certificates");
    }
    let extended = leaf.extended_key_usage()?;
    if !extended.client_auth {
        return refuse("it lacks the purpose of client authentication");
    }
    if extended.server_auth != matches!(role, Role::Node) {
        return refuse("server authentication is for nodes, and for them alone");
    }
    Ok(())
}

pub(crate) fn check_network(found: &str, expected: &str, link: Link) -> Result<(), IdentityError> {
    if found != expected {
        return Err(IdentityError::WrongNetwork {
            link,
            found: found.to_owned(),
            expected: expected.to_owned(),
        });
    }
    Ok(())
}

/// The leaf's own dates were checked before, so that a date error speaks of its authority.
fn from_webpki(error: &webpki::Error, now_ms: u64) -> IdentityError {
    use webpki::Error;
    let milliseconds = |time: &UnixTime| time.as_secs().saturating_mul(1000);
    match error {
        Error::CertExpired { not_after, .. } => IdentityError::Expired {
            link: Link::Issuing,
            not_after_ms: milliseconds(not_after),
            now_ms,
        },
        Error::CertNotValidYet { not_before, .. } => IdentityError::NotYetValid {
            link: Link::Issuing,
            not_before_ms: milliseconds(not_before),
            now_ms,
        },
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => IdentityError::NotTrusted,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            IdentityError::WrongPurpose {
                link: Link::Leaf,
                what: "its extended key usage does not fit its role",
            }
        }
        Error::CaUsedAsEndEntity => IdentityError::WrongPurpose {
            link: Link::Leaf,
            what: "it belongs to an authority, not to a member or node",
        },
        Error::EndEntityUsedAsCa
        | Error::PathLenConstraintViolated
        | Error::MaximumPathDepthExceeded => IdentityError::NotIssuedByRole,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::SignatureAlgorithmMismatch => IdentityError::NotEd25519 { link: Link::Leaf },
        Error::UnsupportedCriticalExtension => IdentityError::Malformed {
            link: Link::Leaf,
            what: "it has a critical extension that we do not know",
        },
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => IdentityError::Malformed {
            link: Link::Leaf,
            what: "its path is too intricate",
        },
        _ => IdentityError::Malformed {
            link: Link::Leaf,
            what: "its contents are not lawful",
        },
    }
}
