//! A node's host: the network, the order and the disk around an execution module.
//!
//! ```text
//!  clients --TLS--> api --> waiting --> application --> ordering (BFT among the nodes' hosts)
//!                    |                                       | final blocks, certificates
//!                 outbox <-- module link <--socket-- execution module <-- store (ciphertext)
//! ```
//!
//! INVARIANT: nothing here opens an envelope. The host has no opening key, does not link the code that opens, and
//! sees of a transaction its size, its expiry and who connected to this node.
//!
//! After a crash the store holds all final blocks; the module begins from the newest snapshot and executes what came
//! after it; clients submit again what was still waiting. A store that is damaged is moved aside and filled anew from
//! the other nodes; its node does not vote until the next committee epoch.

#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
pub mod application;
pub mod clock;
pub mod config;
pub mod epochs;
pub mod evidence;
pub mod metrics;
pub mod module_link;
pub mod node;
pub mod outbox;
pub mod proofs;
pub mod relay;
pub mod revocations;
pub mod shared;
pub mod snapshots;
pub mod unexecuted;
pub mod waiting;
mod words;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a thread that held the lock has panicked: every structure here is valid between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
