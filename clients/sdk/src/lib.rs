//! The client's side of Sealbook: seals, submits, waits, asks, verifies. Holds its user's own keys and no others.
//!
//! ```text
//! orders -> sign -> seal -> submit to a node -> ordered -> outcome -> final -> receipt
//!                              '--- the node fails: the same envelope to the next node ---'
//! ```
//!
//! INVARIANT: a retry sends the same envelope, or the same order under the same reference, so that nothing is applied
//! twice however often a connection breaks.
//!
//! A client that sends steadily may do so in [sessions](Client::set_sessions), which spare it and the modules most of the
//! work of sealing.
//!
//! A client keeps nothing. The key that replies come under follows from the member's own key and the envelope, so that
//! a client that starts again, or another one of the same member, opens them just as well.

#![forbid(unsafe_code)]

pub mod attempts;
mod client;
mod connection;
mod events;
mod lookups;
mod network;
mod offline;
mod order;
mod receipts;
mod registry;
mod session;
mod together;

pub use client::{Client, Sealed, Submitted};
pub use connection::ConnectionError;
pub use events::Events;
pub use network::{Identity, Network, NodeAddress};
pub use offline::Asked;
pub use order::{Prepared, generated_reference};
pub use receipts::{OwnReply, Shown};
pub use registry::{Certified, MAX_STATEMENT_BYTES, RegistryStatement, StatementError};
pub use sealbook_protocol::client::{CertifiedBlock, NodeStatus, Stage};
pub use sealbook_protocol::module::SnapshotOffer;
pub use sealbook_protocol::payload::{
    Answer, AnswerBody, AsOf, CertificateAnswer, Question, RevocationTarget,
};

/// Why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node gave an answer in time.
    #[error("no node of the network answered within {seconds} s; last: {last}")]
    Unavailable {
        /// How long was tried.
        seconds: u64,
        /// The last problem.
        last: String,
    },
    /// A node took the transaction, and nothing came of it in time. It may still take effect.
    #[error(
        "transaction {transaction} was handed in and nothing came of it within {seconds} s; it may still take effect until it \
         expires; last: {last}"
    )]
    Undecided {
        /// The transaction.
        transaction: sealbook_primitives::hash::Digest,
        /// How long was tried.
        seconds: u64,
        /// The last problem.
        last: String,
    },
    /// The network has more to do than it can, or more from this member than its share.
    #[error(
        "the network is busy and took nothing more within {seconds} s, try again later; last: {last}"
    )]
    Busy {
        /// How long was tried.
        seconds: u64,
        /// What the last node said.
        last: String,
    },
    /// A node refused the request itself.
    #[error("refused: {0}")]
    Refused(String),
    /// No node has what was asked for.
    #[error("no node that can be reached has it")]
    Absent,
    /// An answer does not open with this client's keys, or is not an answer to what was asked.
    #[error("a node's answer is not from its execution module")]
    FalseAnswer,
    /// The key epoch that a transaction is sealed to has ended before a node took it; it must be sealed anew.
    #[error("the key epoch that the transaction is sealed to has ended; seal it anew")]
    KeyEpoch,
    /// Something could not be sealed.
    #[error("cannot seal: {0}")]
    Sealing(String),
    /// The client's own keys or certificates cannot be used.
    #[error("cannot use this identity: {0}")]
    Identity(String),
    /// The transaction is on the ledger, but is not this member's.
    #[error("this transaction is not yours, or the ledger could not read it")]
    NotOwn,
    /// The transaction has no order at this place.
    #[error("this transaction has {orders} orders; they are numbered from 0")]
    NoOrder {
        /// How many it has.
        orders: usize,
    },
}
