//! The client's side of Sealbook: seals, submits, waits, asks, verifies. Holds its user's own keys and no others.
//!
//! ```text
//! orders -> sign -> seal -> submit to a node -> await outcome -> await final
//!                              '--- the node fails: the same envelope to the next node ---'
//! ```
//!
//! INVARIANT: a retry sends the same envelope, or the same order under the same reference, so that nothing is applied
//! twice however often a connection breaks.

#![forbid(unsafe_code)]

mod client;
mod connection;
mod order;

pub use client::{Client, Identity, Network, NodeAddress, Sealed, Submitted};
pub use connection::ConnectionError;
pub use order::{Prepared, generated_reference};
pub use sealbook_protocol::client::{CertifiedBlock, NodeStatus, Stage};
pub use sealbook_protocol::payload::{Answer, AnswerBody, AsOf, Question};

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
    /// A node refused the request itself.
    #[error("refused: {0}")]
    Refused(String),
    /// An answer does not open with this client's keys, or is not an answer to what was asked.
    #[error("a node's answer is not from its execution module")]
    FalseAnswer,
    /// Something could not be sealed.
    #[error("cannot seal: {0}")]
    Sealing(String),
    /// The client's own keys or certificates cannot be used.
    #[error("cannot use this identity: {0}")]
    Identity(String),
}
