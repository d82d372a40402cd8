//! The store on `sled` 0.34, in one tree, so that a batch over several tables is atomic.
//!
//! ```text
//! head          key   = table u8 | 0x00 | key
//!               value = version u8 | checksum 16 | continuations u16 | first piece
//! continuation  key   = table u8 | 0x01 | key length u16 | key | index u16
//!               value = piece
//! ```
//!
//! The checksum (BLAKE3, 16 bytes) covers table, key and the whole value, so that a damaged,
//! truncated or misplaced entry is found when it is read. Numbers are big-endian.
//!
//! What sled 0.34 does not do, and this file does:
//! - sled issues no fsync for its log on Linux (only `sync_file_range`, which flushes no drive
//!   cache and no metadata): after every `flush()` the file `<directory>/db` is synced here.
//! - A page (at most 16 entries and a little) that is larger than a quarter of a segment goes into
//!   a file of its own under `blobs/`, which sled never syncs. Values are cut into pieces so small
//!   that no page grows that large; should there be such a file all the same, it is synced too.
//!
//! After a crash: sled drops a torn tail of its log, and an interrupted batch with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use sealbook_primitives::hash::hash;

use crate::engine::{Batch, Entry, Operation, Store, StoreError, Table};

const VALUE_VERSION: u8 = 1;
const CHECKSUM_DOMAIN: &str = "sealbook 2026 store checksum v1";
const CHECKSUM_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + CHECKSUM_BYTES + 2;
/// Bytes of a value in one sled entry: twenty of them stay below a quarter of a segment.
const PIECE_BYTES: usize = 24 * 1024;
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// sled's memory reaches several times this figure.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often, and how long after each other, a locked store is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const KIND_HEAD: u8 = 0;
const KIND_CONTINUATION: u8 = 1;

/// A store in a directory.
pub struct SledStore {
    database: sled::Db,
    log: File,
    directory: PathBuf,
    /// Held by the one writer from its first read to its sync.
    writer: Mutex<()>,
    /// Held by readers, and by the writer while it applies, so that no reader sees half a value.
    applying: RwLock<()>,
    poisoned: AtomicBool,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SledStore")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Whether the store could not be opened because another has it open; sled says so in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

impl SledStore {
    /// Opens or creates the store in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Open`], also when another process has it open.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Open {
            path: directory.display().to_string(),
            reason,
        };
        let config = sled::Config::default()
            .path(directory)
            .flush_every_ms(None)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::HighThroughput);
        // A thread of sled's may hold the lock of a store that was just closed for a moment longer.
        let mut tries = 1;
        let database = loop {
            match config.open() {
                Ok(database) => break database,
                Err(error) if tries < LOCK_TRIES && is_locked(&error) => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        let log = File::open(directory.join("db")).map_err(|error| failed(error.to_string()))?;
        let store = Self {
            database,
            log,
            directory: directory.to_path_buf(),
            writer: Mutex::new(()),
            applying: RwLock::new(()),
            poisoned: AtomicBool::new(false),
        };
        store.sync().map_err(&failed)?;
        // The files exist only once the directories that name them are on disk.
        store
            .sync_directories()
            .map_err(|error| failed(error.to_string()))?;
        Ok(store)
    }

    fn sync_directories(&self) -> std::io::Result<()> {
        File::open(&self.directory)?.sync_all()?;
        match self
            .directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Makes everything applied so far durable.
    fn sync(&self) -> Result<(), String> {
        self.database.flush().map_err(|error| error.to_string())?;
        self.sync_large_pages().map_err(|error| error.to_string())?;
        self.log.sync_data().map_err(|error| error.to_string())
    }

    /// Syncs pages that sled wrote to files of their own. There should be none; see the head of
    /// this file.
    fn sync_large_pages(&self) -> std::io::Result<()> {
        let pages = self.directory.join("blobs");
        let mut found = false;
        for entry in std::fs::read_dir(&pages)? {
            match File::open(entry?.path()) {
                Ok(page) => page.sync_data()?,
                // sled may have collected it in the meantime.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            found = true;
        }
        if found {
            File::open(&pages)?.sync_all()
        } else {
            Ok(())
        }
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn continuations(&self, table: Table, key: &[u8]) -> Result<u16, String> {
        let head = self
            .database
            .get(head_key(table, key))
            .map_err(|error| error.to_string())?;
        Ok(head
            .as_deref()
            .and_then(split_head)
            .map_or(0, |head| head.continuations))
    }

    fn apply(&self, batch: &Batch) -> Result<(), String> {
        // The last word on a key counts, and only it: pieces of an earlier value in the same batch
        // would be left behind.
        let mut changes: BTreeMap<(Table, &[u8]), Option<&[u8]>> = BTreeMap::new();
        for operation in batch.operations() {
            match operation {
                Operation::Put { table, key, value } => changes.insert((*table, key), Some(value)),
                Operation::Delete { table, key } => changes.insert((*table, key), None),
            };
        }
        let mut physical = sled::Batch::default();
        for ((table, key), value) in changes {
            let before = self.continuations(table, key)?;
            let pieces = value.map_or(0, |value| put(&mut physical, table, key, value));
            if value.is_none() {
                physical.remove(head_key(table, key));
            }
            for index in pieces..before {
                physical.remove(continuation_key(table, key, index));
            }
        }
        let _exclusive = self
            .applying
            .write()
            .map_err(|_| "a reader failed".to_owned())?;
        self.database
            .apply_batch(physical)
            .map_err(|error| error.to_string())
    }

    /// Checks a head with its continuations and joins them.
    fn join(&self, table: Table, key: &[u8], head: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged {
            table: table.name(),
            key: hex(key),
        };
        let head = split_head(head).ok_or_else(damaged)?;
        let mut value = head.piece.to_vec();
        for index in 0..head.continuations {
            let piece = self
                .database
                .get(continuation_key(table, key, index))
                .map_err(|error| StoreError::Read(error.to_string()))?;
            value.extend_from_slice(&piece.ok_or_else(damaged)?);
        }
        if checksum(table, key, &value) != head.checksum {
            return Err(damaged());
        }
        Ok(value)
    }
}

impl Store for SledStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        self.check_usable()?;
        if batch.is_empty() {
            return Ok(());
        }
        self.apply(&batch)
            .and_then(|()| self.sync())
            .map_err(|reason| {
                self.poisoned.store(true, Ordering::Release);
                tracing::error!(%reason, "a write to the store failed");
                StoreError::Write(reason)
            })
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_usable()?;
        let _shared = self.applying.read().map_err(|_| StoreError::Poisoned)?;
        let head = self
            .database
            .get(head_key(table, key))
            .map_err(|error| StoreError::Read(error.to_string()))?;
        head.map(|head| self.join(table, key, &head)).transpose()
    }

    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.check_usable()?;
        let _shared = self.applying.read().map_err(|_| StoreError::Poisoned)?;
        let mut entries = Vec::new();
        let end = [table.prefix(), KIND_CONTINUATION];
        for item in self
            .database
            .range(head_key(table, from_key)..end.to_vec())
            .take(limit)
        {
            let (physical, head) = item.map_err(|error| StoreError::Read(error.to_string()))?;
            let key = physical.get(2..).unwrap_or_default().to_vec();
            let value = self.join(table, &key, &head)?;
            entries.push((key, value));
        }
        Ok(entries)
    }
}

struct Head<'a> {
    checksum: [u8; CHECKSUM_BYTES],
    continuations: u16,
    piece: &'a [u8],
}

fn split_head(bytes: &[u8]) -> Option<Head<'_>> {
    let (version, rest) = bytes.split_first()?;
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (continuations, piece) = rest.split_first_chunk::<2>()?;
    (*version == VALUE_VERSION).then_some(Head {
        checksum: *checksum,
        continuations: u16::from_be_bytes(*continuations),
        piece,
    })
}

/// Adds a value to a batch and returns how many continuations it has.
fn put(batch: &mut sled::Batch, table: Table, key: &[u8], value: &[u8]) -> u16 {
    let (first, rest) = value.split_at(value.len().min(PIECE_BYTES));
    let mut count = 0_u16;
    for piece in rest.chunks(PIECE_BYTES) {
        batch.insert(continuation_key(table, key, count), piece);
        count = count.saturating_add(1);
    }
    let mut head = Vec::with_capacity(HEAD_BYTES.saturating_add(first.len()));
    head.push(VALUE_VERSION);
    head.extend_from_slice(&checksum(table, key, value));
    head.extend_from_slice(&count.to_be_bytes());
    head.extend_from_slice(first);
    batch.insert(head_key(table, key), head);
    count
}

fn checksum(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = hash(CHECKSUM_DOMAIN, &[&[table.prefix()], key, value]);
    let mut checksum = [0; CHECKSUM_BYTES];
    for (to, from) in checksum.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    checksum
}

fn head_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table.prefix(), KIND_HEAD], key].concat()
}

fn continuation_key(table: Table, key: &[u8], index: u16) -> Vec<u8> {
    // Keys are at most `MAX_KEY_BYTES` long, which `Batch::check` has seen to.
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [
        &[table.prefix(), KIND_CONTINUATION],
        &length[..],
        key,
        &index.to_be_bytes(),
    ]
    .concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let value: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", value.clone());
        store.commit(batch).unwrap();
        assert_eq!(store.get(Table::Blocks, b"k").unwrap(), Some(value));
        for key in [
            head_key(Table::Blocks, b"k"),
            continuation_key(Table::Blocks, b"k", 2),
        ] {
            let intact = store.database.get(&key).unwrap().unwrap();
            let mut damaged = intact.to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            store.database.insert(&key, damaged).unwrap();
            assert!(matches!(
                store.get(Table::Blocks, b"k"),
                Err(StoreError::Damaged { .. })
            ));
            assert!(matches!(
                store.scan(Table::Blocks, b"", 9),
                Err(StoreError::Damaged { .. })
            ));
            store.database.insert(&key, intact).unwrap();
        }
        // An entry under another key, or of an unknown version, is damaged too.
        let head = store
            .database
            .get(head_key(Table::Blocks, b"k"))
            .unwrap()
            .unwrap();
        store
            .database
            .insert(head_key(Table::Certificates, b"k"), head.clone())
            .unwrap();
        assert!(store.get(Table::Certificates, b"k").is_err());
        let mut future = head.to_vec();
        future[0] = 9;
        store
            .database
            .insert(head_key(Table::Blocks, b"k"), future)
            .unwrap();
        assert!(store.get(Table::Blocks, b"k").is_err());
    }

    #[test]
    fn after_a_failed_write_nothing_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        store.poisoned.store(true, Ordering::Release);
        assert_eq!(store.get(Table::Blocks, b"k"), Err(StoreError::Poisoned));
        assert_eq!(
            store.scan(Table::Blocks, b"k", 1),
            Err(StoreError::Poisoned)
        );
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", *b"v");
        assert_eq!(store.commit(batch), Err(StoreError::Poisoned));
    }

    #[test]
    fn pages_never_outgrow_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        for height in 0..24_u64 {
            let mut batch = Batch::new();
            let value = vec![height as u8; 300_000 + usize::try_from(height).unwrap()];
            batch.put(Table::Blocks, height.to_be_bytes(), value);
            batch.put(Table::Digests, [height as u8; 32], height.to_be_bytes());
            store.commit(batch).unwrap();
        }
        assert_eq!(
            std::fs::read_dir(directory.path().join("blobs"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn overwriting_removes_old_continuations() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        for size in [200_000, 60_000, 10] {
            let mut batch = Batch::new();
            batch.put(Table::Blocks, *b"k", vec![7; size]);
            store.commit(batch).unwrap();
            assert_eq!(store.get(Table::Blocks, b"k").unwrap().unwrap().len(), size);
        }
        assert_eq!(store.database.len(), 1);
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", vec![7; 200_000]);
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"other", vec![7; 200_000]);
        batch.put(Table::Blocks, *b"other", *b"small");
        batch.delete(Table::Blocks, *b"k");
        store.commit(batch).unwrap();
        assert_eq!(store.database.len(), 1);
    }

    #[test]
    fn what_is_on_disk_keeps_its_form() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let mut batch = Batch::new();
        for table in Table::ALL {
            let value: Vec<u8> = (0..60_000_u32).map(|index| (index % 251) as u8).collect();
            batch.put(table, *b"key", value);
        }
        store.commit(batch).unwrap();
        let mut hasher = sealbook_primitives::hash::Hasher::new("sealbook 2026 test pin v1");
        for entry in store.database.iter() {
            let (key, value) = entry.unwrap();
            hasher.update(&key);
            hasher.update(&value);
        }
        let pinned = "896e106a010dd0d061b158a3072600470bb8717772a6ae8860e17a32ea0710e2";
        assert_eq!(hasher.finish().to_string(), pinned);
    }
}
