//! What a node keeps on disk: finalized blocks, finality certificates, attachments and small
//! metadata. Ciphertext only.
//!
//! ```text
//! LedgerStore   blocks, certificates, attachments, replies, snapshots, metadata: typed, checked
//!      |
//! Store         commit (atomic over tables, durable on return), get, scan
//!      |
//! SledStore | RedbStore | MemoryStore        large values: a file each, beside the engine
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
mod folder;
mod heights;
mod ledger;
pub mod manifest;
mod memory;
pub mod names;
mod outside;
mod pieces;
mod redb_engine;
mod sled_engine;
mod tip;

pub use engine::{
    Batch, Entry, MAX_KEY_BYTES, MAX_VALUE_BYTES, Operation, SMALL_VALUE_BYTES, Store, StoreError,
    Table,
};
pub use folder::{Engine, UnknownEngine, open_store, quarantine};
pub use heights::HeightSet;
pub use ledger::check::{CheckReport, Damage};
pub use ledger::{LedgerStore, MAX_REPLY_BYTES};
pub use memory::MemoryStore;
pub use redb_engine::RedbStore;
pub use sled_engine::SledStore;
pub use tip::{TIP, Tip, TipError};
