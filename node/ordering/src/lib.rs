//! Agreement on the order of blocks: commonware's Simplex BFT behind a concrete interface. The only
//! crate that instantiates the engine, because every instantiation costs minutes of compile time.
//!
//! ```text
//!               propose, verify                  votes, certificates, blocks
//! Application <----------------- Simplex + marshal <--------------------------> peers (TLS)
//!      ^           finalized            |
//!      +--------------------------------+---> LedgerStore: finalized blocks and certificates
//!                                       +---> the engine's own storage: votes, caches
//! ```
//!
//! - The digest that is voted on is the block's header hash; see [`sealbook_ledger`].
//! - Finalized blocks reach [`Application::finalized`] in order and at least once; the application
//!   makes them durable and then acknowledges. They are durable in the
//!   [`LedgerStore`](sealbook_store::LedgerStore) before it hears of them.
//! - Links between nodes are mutual TLS 1.3; the key of a node's certificate is its vote key, and a
//!   link to a key that is not a known peer is refused. The application protocol of the link is the
//!   network's identity.
//! - Observers run the same code without votes.
//!
//! - The committee changes at the end of a committee epoch: the last block of each defines the next,
//!   see [`EpochDefinition`](sealbook_ledger::EpochDefinition).
//!
//! After a crash, of one node or of all: the engine replays its votes (it never votes twice
//! differently), fetches what it missed and hands the application again what was not acknowledged.
//! A node that lost its votes follows, and votes again from the next epoch on that it cannot have
//! voted in before; see [`ObserverReason::VotesLost`] and [`found_vote_log`].

#![forbid(unsafe_code)]

mod application;
mod archive;
mod assembly;
mod block;
mod certificate;
mod committee;
mod config;
mod driver;
mod engine;
mod epochs;
mod gossip;
mod handle;
mod link;
mod lookup;
pub mod node;
mod origin;
mod removals;
mod retirement;
mod session;
mod status;
mod transport;
mod vote_log;

pub use application::{Acknowledgement, Application, MESSAGES_AT_ONCE, Proposal, Verdict};
pub use config::{
    Floor, Limits, MAX_APPLICATION_MESSAGE_BYTES, NodeIdentity, OrderingConfig, OrderingError,
    Start, Timing,
};
pub use handle::{Handle, start};
pub use status::{ObserverReason, OrderingStatus, Seat};
pub use vote_log::found_vote_log;
