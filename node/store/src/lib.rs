//! What a node keeps on disk: finalized blocks, finality certificates, attachments and small
//! metadata. Ciphertext only.
//!
//! ```text
//! LedgerStore   blocks, certificates, attachments, metadata: typed, checked
//!      |
//! Store         commit (atomic over tables, durable on return), get, scan
//!      |
//! SledStore | MemoryStore
//! ```
//!
//! INVARIANT: no key names a party, an account or an instrument; keys are heights, digests and
//! fixed words.
//!
//! After a crash: a batch is there whole or not at all, and every batch whose `commit` returned is
//! there. After a failed write the store answers nothing but [`StoreError::Poisoned`] until it is
//! opened again, because nobody can know what reached the disk.

#![forbid(unsafe_code)]

mod engine;
mod heights;
mod ledger;
pub mod manifest;
mod memory;
mod sled_engine;
mod tip;

pub use engine::{
    Batch, Entry, MAX_KEY_BYTES, MAX_VALUE_BYTES, Operation, Store, StoreError, Table,
};
pub use heights::HeightSet;
pub use ledger::LedgerStore;
pub use memory::MemoryStore;
pub use sled_engine::SledStore;
pub use tip::{TIP, Tip, TipError};
