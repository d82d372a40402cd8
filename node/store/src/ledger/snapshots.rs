//! Sealed snapshots: pieces while they come in, and a manifest when all are there.
//!
//! ```text
//! SnapshotPieces  height u64 | index u32 -> sealed bytes
//! Snapshots       height u64             -> version u8 | pieces u32 | manifest
//! ```
//!
//! INVARIANT: where there is a manifest, all pieces are there. A snapshot is dropped manifest first.

use super::{LedgerStore, SCAN_ENTRIES};
use crate::engine::{Batch, StoreError, Table};
use crate::pieces::hex;

const VERSION: u8 = 1;
const PIECE: &str = "snapshot piece";

impl LedgerStore {
    /// Stores a sealed piece of the snapshot after the block at `height`.
    ///
    /// # Errors
    /// A piece that is too large, or a failed write.
    pub fn put_snapshot_piece(
        &self,
        height: u64,
        index: u32,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(Table::SnapshotPieces, piece_key(height, index), bytes);
        self.store.commit(batch)
    }

    /// Stores the manifest of the snapshot after the block at `height`, which makes it complete.
    ///
    /// # Errors
    /// One of its `pieces` pieces is not there, or the write failed.
    pub fn put_snapshot_manifest(
        &self,
        height: u64,
        pieces: u32,
        manifest: &[u8],
    ) -> Result<(), StoreError> {
        let _one = self.snapshots.lock().map_err(|_| StoreError::Poisoned)?;
        for index in 0..pieces {
            if !self.has_snapshot_piece(height, index)? {
                return Err(StoreError::MissingAt {
                    what: PIECE,
                    height,
                });
            }
        }
        let mut value = vec![VERSION];
        value.extend_from_slice(&pieces.to_be_bytes());
        value.extend_from_slice(manifest);
        let mut batch = Batch::new();
        batch.put(Table::Snapshots, height.to_be_bytes(), value);
        self.store.commit(batch)
    }

    /// The manifest of a complete snapshot.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn snapshot_manifest(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.snapshot_parts(height)?;
        Ok(found.map(|(_, manifest)| manifest))
    }

    /// The number of pieces and the manifest of a complete snapshot.
    pub(super) fn snapshot_parts(&self, height: u64) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
        let key = height.to_be_bytes();
        let Some(value) = self.store.get(Table::Snapshots, &key)? else {
            return Ok(None);
        };
        let parts = value.split_first_chunk::<5>();
        match parts {
            Some(([VERSION, pieces @ ..], manifest)) => {
                Ok(Some((u32::from_be_bytes(*pieces), manifest.to_vec())))
            }
            _ => Err(StoreError::Damaged {
                table: Table::Snapshots.name(),
                key: hex(&key),
            }),
        }
    }

    /// A sealed piece of a snapshot, complete or not.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn snapshot_piece(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.store
            .get(Table::SnapshotPieces, &piece_key(height, index))
    }

    /// Whether a piece is there, without reading it.
    ///
    /// # Errors
    /// A failed read.
    pub fn has_snapshot_piece(&self, height: u64, index: u32) -> Result<bool, StoreError> {
        let key = piece_key(height, index);
        let found = self.store.keys(Table::SnapshotPieces, &key, 1)?;
        Ok(found.first() == Some(&key))
    }

    /// The heights of the complete snapshots, ascending.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn snapshot_heights(&self) -> Result<Vec<u64>, StoreError> {
        let mut heights = Vec::new();
        let mut from = Vec::new();
        loop {
            let keys = self.store.keys(Table::Snapshots, &from, SCAN_ENTRIES)?;
            let full = keys.len() == SCAN_ENTRIES;
            for key in keys {
                heights.push(height_of(Table::Snapshots, &key)?);
                from = key;
                from.push(0);
            }
            if !full {
                return Ok(heights);
            }
        }
    }

    /// Drops the snapshots, complete or not, of heights below this one.
    ///
    /// # Errors
    /// A failed read or write; what is left then are pieces without a manifest, or whole snapshots.
    pub fn drop_snapshots_before(&self, height: u64) -> Result<(), StoreError> {
        let _one = self.snapshots.lock().map_err(|_| StoreError::Poisoned)?;
        for table in [Table::Snapshots, Table::SnapshotPieces] {
            loop {
                let mut batch = Batch::new();
                for key in self.store.keys(table, &[], SCAN_ENTRIES)? {
                    if height_of(table, &key)? < height {
                        batch.delete(table, key);
                    }
                }
                if batch.is_empty() {
                    break;
                }
                self.store.commit(batch)?;
            }
        }
        Ok(())
    }
}

impl LedgerStore {
    /// Drops the pieces of snapshots of heights below this one that never became complete.
    ///
    /// # Errors
    /// A failed read or write.
    pub fn drop_incomplete_snapshots_before(&self, height: u64) -> Result<(), StoreError> {
        let _one = self.snapshots.lock().map_err(|_| StoreError::Poisoned)?;
        // Once: a manifest is long, and pieces are many.
        let complete = self.snapshot_heights()?;
        let mut from = Vec::new();
        loop {
            let keys = self
                .store
                .keys(Table::SnapshotPieces, &from, SCAN_ENTRIES)?;
            let full = keys.len() == SCAN_ENTRIES;
            let mut batch = Batch::new();
            for key in keys {
                let of = height_of(Table::SnapshotPieces, &key)?;
                if of < height && !complete.contains(&of) {
                    batch.delete(Table::SnapshotPieces, key.clone());
                }
                from = key;
                from.push(0);
            }
            if !batch.is_empty() {
                self.store.commit(batch)?;
            }
            if !full {
                return Ok(());
            }
        }
    }
}

fn piece_key(height: u64, index: u32) -> Vec<u8> {
    [&height.to_be_bytes()[..], &index.to_be_bytes()].concat()
}

fn height_of(table: Table, key: &[u8]) -> Result<u64, StoreError> {
    let height = key.first_chunk::<8>();
    height
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| StoreError::Damaged {
            table: table.name(),
            key: hex(key),
        })
}
