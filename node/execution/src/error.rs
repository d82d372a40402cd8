//! Why an engine refuses, or stops.

use sealbook_ledger::{CertificateError, ChainError, GenesisError};
use sealbook_policies::PolicyError;
use sealbook_primitives::hash::Digest;

use crate::keys::KeyError;

/// Why the engine refuses what it was given. Unless it says otherwise, the engine has not changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The genesis document cannot be used.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The committee in genesis cannot be one.
    #[error("committee: {0}")]
    Committee(CertificateError),
    /// The keys do not go with genesis.
    #[error("keys: {0}")]
    Keys(#[from] KeyError),
    /// The policies in genesis do not hold together.
    #[error("policies: {0}")]
    Policies(#[from] PolicyError),
    /// A founding admin cannot be admitted.
    #[error("founding admin: {0}")]
    Admin(String),
    /// The members authorised a contract that this program does not have, or not in this version. The engine has stopped
    /// where it is in force.
    #[error(
        "this program does not run the contract {0}, which the members authorised: install the version that does"
    )]
    Contract(String),
    /// The blocks are not final.
    #[error("not final: {0}")]
    NotFinal(#[from] ChainError),
    /// Bytes that are no block or certificate.
    #[error("host sent bytes that are no {0}")]
    Malformed(&'static str),
    /// The blocks are of another committee epoch than the present one, or of more than one.
    #[error("block {height} is of committee epoch {found}, and epoch {expected} is executed now")]
    Epoch {
        /// The first block that does not fit.
        height: u64,
        /// The epoch of the next block.
        expected: u64,
        /// The epoch of that block.
        found: u64,
    },
    /// A final header commits to other results, or defines another next epoch.
    #[error("at height {height}, {computed} was computed here and a final header has {committed}")]
    Diverged {
        /// The height of the results, or of the header that defines the next epoch.
        height: u64,
        /// The digest of the commitment or definition computed here; zero if there is none.
        computed: Digest,
        /// The digest in the final header; zero if there is none.
        committed: Digest,
    },
    /// The engine stopped after a divergence or a broken invariant.
    #[error("the engine has stopped after a divergence or a broken invariant")]
    Stopped,
    /// The contract broke one of its own laws. The engine has stopped.
    #[error("invariant broken: {0}")]
    Invariant(String),
}
