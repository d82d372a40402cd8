//! Why a revocation list is not used.

use crate::{IdentityError, Role, error::Instant};

/// Why a revocation list was refused. Times are milliseconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The list is larger than any that is read.
    #[error("the revocation list has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
        /// The most bytes that are read.
        limit: usize,
    },
    /// The list has more entries than any that is read.
    #[error("the revocation list has {found} entries, more than the limit of {limit}")]
    TooManyEntries {
        /// Its entries.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The list cannot be read or breaks our profile.
    #[error("the revocation list is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The list has a critical extension, of its own or of an entry, that we do not know.
    #[error("the revocation list has a critical extension that we do not know")]
    UnknownExtension,
    /// The list says only what has changed since another one.
    #[error("this is a delta revocation list, which names changes only")]
    Delta,
    /// The list speaks of certificates of other authorities.
    #[error("this is an indirect revocation list, which speaks for other authorities")]
    Indirect,
    /// The list speaks of some of its authority's certificates only.
    #[error("the revocation list is for some certificates or reasons only")]
    Partial,
    /// A serial number stands on the list twice.
    #[error("serial number `{serial}` stands on the revocation list twice")]
    Doubled {
        /// The serial number in hexadecimal digits.
        serial: String,
    },
    /// The list is not signed with Ed25519.
    #[error("the revocation list does not use ed25519")]
    NotEd25519,
    /// None of the authorities that came with the list issued it.
    #[error("the certificate of the authority that issued the revocation list is not there")]
    NoAuthority,
    /// The authority that issued the list is none of this network that may do so.
    #[error("the revocation list does not come from an authority of this network: {0}")]
    Authority(#[source] IdentityError),
    /// The list was not signed by its authority, or was changed since.
    #[error("the revocation list of the issuing authority for role `{role}` has a false signature")]
    BadSignature {
        /// The role that the authority is for.
        role: Role,
    },
    /// The list was issued in the future.
    #[error(
        "the revocation list of the issuing authority for role `{role}` is valid only from {}",
        Instant(*this_update_ms)
    )]
    NotYetValid {
        /// The role that the authority is for.
        role: Role,
        /// When the list was issued.
        this_update_ms: u64,
        /// The time of the check.
        now_ms: u64,
    },
    /// One authority has two lists.
    #[error("there are two revocation lists of one issuing authority for role `{role}`")]
    TwoLists {
        /// The role that the authority is for.
        role: Role,
    },
    /// There are more lists than a network can have.
    #[error("there are {found} revocation lists, more than the limit of {limit}")]
    TooManyLists {
        /// How many there are.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
    /// A newer list is known already.
    #[error(
        "the revocation list of the issuing authority for role `{role}` has number {found}, but \
         number {known} is known already"
    )]
    Older {
        /// The role that the authority is for.
        role: Role,
        /// The number of the list.
        found: u64,
        /// The number of the one that is known.
        known: u64,
    },
    /// A list that was there is gone.
    #[error("the revocation list of the issuing authority for role `{role}` is gone")]
    Gone {
        /// The role that the authority is for.
        role: Role,
    },
}

impl RevocationError {
    /// What can be done about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooManyEntries { .. } => {
                "give the role a new issuing authority, whose list begins empty"
            }
            Self::Malformed { .. }
            | Self::UnknownExtension
            | Self::Doubled { .. }
            | Self::NotEd25519 => "use the list as the network's own authority wrote it",
            Self::Delta | Self::Indirect | Self::Partial => {
                "use the authority's own, whole list, as `sealbook ca crl` writes it"
            }
            Self::NoAuthority => {
                "put the issuing authority's certificate into the same file, as `sealbook ca crl` does"
            }
            Self::Authority(error) => error.hint(),
            Self::BadSignature { .. } => "fetch the list from the authority again",
            Self::NotYetValid { .. } => "check the clocks of both sides",
            Self::TwoLists { .. } => "keep the newer one alone",
            Self::TooManyLists { .. } => "keep the newest list of each issuing authority alone",
            Self::Older { .. } => "put the newer list back, or fetch the authority's present one",
            Self::Gone { .. } => {
                "put it back; a node begins without it only when it is started anew"
            }
        }
    }
}
