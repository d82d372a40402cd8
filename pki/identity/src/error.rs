//! Why a certificate chain does not make its holder a member, and whose fault that is.

use std::fmt;

use sealbook_primitives::signature::VerifyingKey;
use x509_parser::time::ASN1Time;

use crate::{RevocationReason, Role, Usage};

/// Which certificate of the chain an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The holder's own certificate.
    Leaf,
    /// The certificate of the authority that issued it.
    Issuing,
    /// A root that we were told to trust.
    Root,
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Leaf => "the holder's certificate",
            Self::Issuing => "the issuing authority's certificate",
            Self::Root => "the root certificate",
        })
    }
}

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The holder of the certificate, who renews it or presents another.
    Holder,
    /// The authority that issued the certificate.
    Authority,
    /// Whoever configured the side that checks.
    Ourselves,
}

/// Why a chain was refused. Times are milliseconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate was presented.
    #[error("no certificate was presented")]
    NoCertificate,
    /// The chain is longer than any lawful one.
    #[error("the chain has {found} certificates, more than the limit of {limit}")]
    ChainTooLong {
        /// Certificates in the chain.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// A certificate is larger than any lawful one.
    #[error("{link} has {found} bytes, more than the limit of {limit}")]
    CertificateTooLarge {
        /// Which certificate.
        link: Link,
        /// Its size in bytes.
        found: usize,
        /// The most bytes that are read.
        limit: usize,
    },
    /// No roots, or too many, are configured.
    #[error("{found} root certificates are configured; between 1 and {limit} are needed")]
    RootCount {
        /// Roots that were handed in.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// A certificate cannot be read or breaks our profile.
    #[error("{link} is malformed: {what}")]
    Malformed {
        /// Which certificate.
        link: Link,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key or a signature is not Ed25519.
    #[error("{link} does not use ed25519")]
    NotEd25519 {
        /// Which certificate.
        link: Link,
    },
    /// The key is one for which anybody can sign, or one with a second spelling.
    #[error("{link} has a weak key")]
    WeakKey {
        /// Which certificate.
        link: Link,
    },
    /// No path of valid signatures leads to one of the roots.
    #[error("the certificate does not come from an authority of this network")]
    NotTrusted,
    /// A path exists, but not through exactly one issuing authority.
    #[error("the certificate was not issued by the issuing authority of its role")]
    NotIssuedByRole,
    /// The issuing authority certified a role that is not its own.
    #[error("the issuing authority for role `{authority}` may not certify role `{certified}`")]
    RoleNotCertifiable {
        /// The role that the authority is for.
        authority: Role,
        /// The role in the certificate.
        certified: Role,
    },
    /// The time is past the end of validity.
    #[error("{link} expired on {}", Instant(*not_after_ms))]
    Expired {
        /// Which certificate.
        link: Link,
        /// The last moment of validity.
        not_after_ms: u64,
        /// The time of the check.
        now_ms: u64,
    },
    /// The time is before the beginning of validity.
    #[error("{link} is valid only from {}", Instant(*not_before_ms))]
    NotYetValid {
        /// Which certificate.
        link: Link,
        /// The first moment of validity.
        not_before_ms: u64,
        /// The time of the check.
        now_ms: u64,
    },
    /// The certificate is for another network.
    #[error("{link} is for network `{found}`, not `{expected}`")]
    WrongNetwork {
        /// Which certificate.
        link: Link,
        /// The network in the certificate.
        found: String,
        /// The network that we are on.
        expected: String,
    },
    /// The holder's role may not do what the chain was presented for.
    #[error("the certificate's role is `{found}`, but {expected} is expected here")]
    WrongRole {
        /// The role in the certificate.
        found: Role,
        /// What is expected.
        expected: Usage,
    },
    /// The key usages of a certificate do not fit its place in the chain or its role.
    #[error("{link} may not be used for this: {what}")]
    WrongPurpose {
        /// Which certificate.
        link: Link,
        /// What does not fit.
        what: &'static str,
    },
    /// The peer is a lawful one, but not the one that was dialled.
    #[error("the peer has key {found}, but {expected} is expected")]
    WrongKey {
        /// The key in the peer's certificate.
        found: VerifyingKey,
        /// The key that was asked for.
        expected: VerifyingKey,
    },
    /// The issuing authority has revoked the holder's certificate.
    #[error(
        "the certificate was revoked on {} by the issuing authority for role `{role}`, reason \
         {reason}",
        Instant(*revoked_ms)
    )]
    Revoked {
        /// The role that the authority is for.
        role: Role,
        /// Why.
        reason: RevocationReason,
        /// When.
        revoked_ms: u64,
    },
    /// A transaction has revoked the holder's certificate.
    #[error("the certificate was revoked on the ledger")]
    RevokedOnLedger,
    /// Whether the certificate is revoked cannot be known: the authority's list is out of date.
    #[error(
        "the revocation list of the issuing authority for role `{role}` is out of date since {}",
        Instant(*next_update_ms)
    )]
    RevocationListStale {
        /// The role that the authority is for.
        role: Role,
        /// Until when the list could be used.
        next_update_ms: u64,
        /// The time of the check.
        now_ms: u64,
    },
}

impl IdentityError {
    /// Whether the reason is a revocation. The text names no party, so that it may be logged.
    pub const fn concerns_revocation(&self) -> bool {
        matches!(
            self,
            Self::Revoked { .. } | Self::RevokedOnLedger | Self::RevocationListStale { .. }
        )
    }

    /// Whether the certificate is known to be revoked.
    pub const fn is_revocation(&self) -> bool {
        matches!(self, Self::Revoked { .. } | Self::RevokedOnLedger)
    }

    /// Who has to act.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::RootCount { .. } | Self::RevocationListStale { .. } => Fault::Ourselves,
            Self::Malformed { link, .. }
            | Self::CertificateTooLarge { link, .. }
            | Self::NotEd25519 { link }
            | Self::WeakKey { link }
            | Self::Expired { link, .. }
            | Self::NotYetValid { link, .. }
            | Self::WrongNetwork { link, .. }
            | Self::WrongPurpose { link, .. } => match link {
                Link::Leaf => Fault::Holder,
                Link::Issuing => Fault::Authority,
                Link::Root => Fault::Ourselves,
            },
            Self::NotIssuedByRole | Self::RoleNotCertifiable { .. } => Fault::Authority,
            Self::NoCertificate
            | Self::ChainTooLong { .. }
            | Self::NotTrusted
            | Self::WrongRole { .. }
            | Self::WrongKey { .. }
            | Self::Revoked { .. }
            | Self::RevokedOnLedger => Fault::Holder,
        }
    }

    /// What whoever is at fault can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCertificate => "present the chain that the admin returned on enrolment",
            Self::ChainTooLong { .. } | Self::CertificateTooLarge { .. } => {
                "present only the holder's certificate and the issuing authority's"
            }
            Self::RootCount { .. } => "configure the root certificates of the network's genesis",
            Self::Malformed {
                link: Link::Root, ..
            } => "the configured root is damaged; take it from the network's genesis again",
            Self::Malformed { .. } | Self::NotEd25519 { .. } | Self::WrongPurpose { .. } => {
                "present the chain as the network's own authority wrote it"
            }
            Self::WeakKey { .. } => "make a new key with this network's own tool",
            Self::NotTrusted => "check that profile and certificate belong to this network",
            Self::NotIssuedByRole | Self::RoleNotCertifiable { .. } => {
                "ask the admin for a certificate from the issuing authority of the right role"
            }
            Self::Expired {
                link: Link::Leaf, ..
            } => "ask the admin to approve a renewal; the key may stay the same",
            Self::Expired { .. } => "the admin has to renew the authority's certificate",
            Self::NotYetValid { .. } => "check the clocks of both sides, or wait",
            Self::WrongNetwork { .. } => "choose the profile of this network",
            Self::WrongRole { .. } => "connect to the port that is meant for this role",
            Self::WrongKey { .. } => "check the address book: another machine answers there",
            Self::Revoked { .. } | Self::RevokedOnLedger => {
                "ask the admin for a new certificate, for a new key"
            }
            Self::RevocationListStale { .. } => {
                "fetch the authority's present list; `sealbook ca crl` makes one"
            }
        }
    }
}

/// Shows milliseconds since 1970 (UTC) as a date where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Instant(pub u64);

impl fmt::Display for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i64::try_from(self.0 / 1000)
            .ok()
            .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
        match date {
            Some(date) => write!(formatter, "{date}"),
            None => write!(formatter, "{} ms after 1970", self.0),
        }
    }
}
