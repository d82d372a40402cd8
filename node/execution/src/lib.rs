//! The execution module's core: the one place where transactions are opened, judged by policy and applied.
//!
//! ```text
//! Finalized{blocks, certificate} -> verify finality -> open -> verify signature -> policies -> contract -> commitment
//!                                                                                           -> sealed replies
//!                                                                                           -> sealed snapshots
//! ```
//!
//! The library is pure: bytes in, bytes out; no disk, no network, no clock. The binary `sealbook-execution` puts it
//! behind one socket in a locked-down process; the offline auditor replays a copy of the ledger with it.
//!
//! INVARIANTS
//! - Nothing is executed that is not final, in order, and of the network whose genesis the keys are bound to.
//! - Whatever leaves is sealed to an entitled caller, or is a hash, a height or a count.
//! - After a crash everything is rebuilt from a snapshot that the network agreed on, or from genesis, by executing the
//!   same blocks again.

#![deny(unsafe_code)]

pub mod custody;
pub mod engine;
pub mod keys;
pub mod lockdown;

mod answers;
mod asked;
mod certificates;
mod certifying;
mod contracts;
mod error;
mod membership;
mod names;
mod network;
mod opened;
mod permissions;
mod readings;
pub mod recovery;
mod results;
pub mod rotation;
mod sessions;
pub mod shared_key;
mod snapshot;
mod state_tree;
pub mod statement;
mod transactions;
mod words;

pub use engine::{Engine, EngineError, Executed, Output};
pub use keys::EpochKeys;
pub use snapshot::ENGINE_VERSION;
pub use snapshot::restore::{RestoreError, Restoring};
