//! The execution module's core: the one place where transactions are opened, judged by policy and applied.
//!
//! ```text
//! Finalized{blocks, certificate} -> verify finality -> open -> verify signature -> policies -> contract -> state root
//!                                                                                           -> sealed replies
//! ```
//!
//! The library is pure: bytes in, bytes out; no disk, no network, no clock. The binary `sealbook-execution` puts it
//! behind one socket in a locked-down process; the offline auditor replays a copy of the ledger with it.
//!
//! INVARIANTS
//! - Nothing is executed that is not final, in order, and of the network whose genesis the keys are bound to.
//! - Whatever leaves is sealed to an entitled caller, or is a hash, a height or a count.
//! - After a crash everything is rebuilt by executing the same blocks again.

#![deny(unsafe_code)]

pub mod custody;
pub mod engine;
pub mod keys;
pub mod lockdown;

mod answers;
mod asked;
mod permissions;
mod state_tree;
mod transactions;

pub use engine::{Engine, EngineError, Executed};
pub use keys::{AuditBundle, EpochKeys};
