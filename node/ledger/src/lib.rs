//! What the ledger is made of: blocks, certificates, the genesis document and the rules by which anybody can check
//! them offline. Pure: no keys, no clock, no disk, no network.
//!
//! ```text
//! genesis document --hash--> network id --in--> header of block 0 <--parent-- header 1 <--parent-- header 2 ...
//!                                                                   |                      |
//!                                                    roots of its transactions and   state root after block
//!                                                    attachments                     `executed_height`
//! ```
//!
//! - A block's digest is the hash of its header; the header commits to the transactions and attachments by Merkle
//!   roots, so an attachment can be erased later and the chain still verifies.
//! - A block is final when a [`FinalityCertificate`] exists for it or for a descendant linked by parent digests.
//! - State roots follow at a distance: a header commits to the roots of all blocks up to `executed_height`.
//!
//! INVARIANT: certificates never enter hashed data, because nodes may hold different ones for the same block.

#![forbid(unsafe_code)]

mod block;
mod certificate;
mod chain;
mod commitment;
mod contract;
mod epoch;
mod genesis;
mod key_record;
mod proof;
mod receipt;
mod snapshot;
#[cfg(test)]
mod testing;
mod transaction;

pub use block::{
    Attachment, BLOCK_VERSION, Block, BlockError, Header, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS,
    MAX_BLOCK_BYTES, MAX_ROOTS, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS,
};
pub use certificate::{
    CertificateError, Committee, FinalityCertificate, finalize_message, finalize_namespace,
};
pub use chain::{ChainError, verify_finalized};
pub use commitment::{Commitment, SnapshotReference, outcome_hash, outcome_hashes, outcome_leaf};
pub use contract::{AuthorisedContract, MAX_CONTRACTS, check_contracts};
pub use epoch::{
    EPOCH_VERSION, EpochDefinition, EpochError, MAX_QUOTA_LEVEL, MAX_SEATS, MIN_EPOCH_BLOCKS,
    ObserverSeat, Opening, PLAN_DISTANCE, Parameters, ValidatorSeat, check_node,
};
pub use genesis::{
    Genesis, GenesisError, GovernanceRules, KeyHolder, MAX_GENESIS_BYTES, MAX_KEY_HOLDERS,
    OpeningEpoch, PolicyText, Recovery, check_holders, check_measurements,
};
pub use key_record::{
    KeyRecord, KeyRecordError, MAX_GRANTS, MAX_RECORD_BYTES, MAX_SEALED_BYTES, RootFile, RootGrant,
    SealedShare, SealedTo, holder_digest, opening_digest,
};
pub use proof::{EpochStep, FinalityProof, MAX_PROOF_BYTES, ProofError};
pub use receipt::{MAX_RECEIPT_BYTES, OutcomesProof, Proven, Receipt, ReceiptError, ShownOutcome};
pub use snapshot::{
    MAX_MANIFEST_BYTES, MAX_SNAPSHOT_PIECES, SNAPSHOT_DELAY_MIN, SNAPSHOT_PIECE_BYTES,
    SnapshotError, SnapshotManifest,
};
pub use transaction::Transaction;
