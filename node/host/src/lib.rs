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
//! After a crash the store holds all final blocks; the module executes them again; clients submit again what was
//! still waiting.

#![forbid(unsafe_code)]

pub mod api;
pub mod application;
pub mod config;
pub mod module_link;
pub mod node;
pub mod outbox;
pub mod waiting;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a thread that held the lock has panicked: every structure here is valid between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine's clock, Unix milliseconds.
#[must_use]
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |passed| {
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        })
}
