//! The store on `sled` 0.34, in one tree, so that a batch over several tables is atomic. Values lie there as
//! [`crate::pieces`] says.
//!
//! What sled 0.34 does not do, and this file does:
//! - sled issues no fsync for its log on Linux (only `sync_file_range`, which flushes no drive
//!   cache and no metadata): after every `flush()` the file `<directory>/db` is synced here.
//! - A page (at most 16 entries and a little) that is larger than a quarter of a segment goes into
//!   a file of its own under `blobs/`, which sled never syncs. Values are cut into pieces so small
//!   that no page grows that large; should there be such a file all the same, it is synced too.
//! - sled writes a summary of its log (`snap.*`) when it opens, and syncs it, but not the log that it speaks of. Of a
//!   process that died, writes that were never synced lie in the system's memory; a power cut after the next start
//!   would leave the summary and take them. So the log is synced before sled opens it.
//! - sled takes a summary that a crash left half written (`snap.*.generating`) for the newest one, and then does not
//!   open: it is removed before.
//! - sled panics over some damage: every call of it is guarded, and a panic is an error.
//! - sled takes a damaged record for the end of its log: the number of commits tells (see [`crate::folder`]).
//!
//! After a crash: sled drops a torn tail of its log, and an interrupted batch with it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use crate::engine::{Batch, Entry, Store, StoreError, Table};
use crate::folder::{Commits, Engine, Folder, cannot_open, corrupt, guarded};
use crate::pieces::{
    changes, commits_entry, commits_in, commits_key, head_key, heads_end, join, key_of,
};

/// Bytes of a value in one sled entry: twenty of them stay below a quarter of a segment.
const PIECE_BYTES: usize = 24 * 1024;
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// sled's memory reaches several times this figure.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often, and how long after each other, a locked store is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A store in a directory.
pub struct SledStore {
    /// Taken only when the store is dropped.
    database: Option<sled::Db>,
    log: File,
    directory: PathBuf,
    /// Held by the one writer from its first read to its sync.
    writer: Mutex<Commits>,
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

/// Whether an error of sled's is about what it read rather than about reading.
fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Io(error) => {
            matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData
            )
        }
        _ => true,
    }
}

impl SledStore {
    /// Opens or creates the store in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Open`], also when another process has it open; [`StoreError::Engine`] or [`StoreError::Corrupt`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let folder = Folder::prepare(Engine::Sled, directory)?;
        settle(directory).map_err(|error| cannot_open(directory, error))?;
        let database = guarded(directory, || open_database(directory))??;
        let log = File::open(directory.join("db")).map_err(|error| cannot_open(directory, error));
        let commits = guarded(directory, || database.get(commits_key()));
        let commits =
            commits.and_then(|read| read.map_err(|error| corrupt(directory, error_text(&error))));
        let commits = commits.and_then(|entry| {
            entry.map_or(Ok(None), |entry| {
                let damaged = || corrupt(directory, "the number of its commits is damaged");
                commits_in(&entry).map(Some).ok_or_else(damaged)
            })
        });
        let opened = log.and_then(|log| Ok((log, folder.opened(commits?)?)));
        match opened {
            Ok((log, commits)) => {
                let store = Self {
                    database: Some(database),
                    log,
                    directory: directory.to_path_buf(),
                    writer: Mutex::new(commits),
                    applying: RwLock::new(()),
                    poisoned: AtomicBool::new(false),
                };
                let synced = guarded(directory, || store.sync())?;
                synced.map_err(|error| cannot_open(directory, error))?;
                Ok(store)
            }
            Err(error) => {
                close(directory, database);
                Err(error)
            }
        }
    }

    fn database(&self) -> Result<&sled::Db, StoreError> {
        self.database.as_ref().ok_or(StoreError::Poisoned)
    }

    /// What a failed read of sled's is to those who asked.
    fn unread(&self, error: &sled::Error) -> StoreError {
        if is_damage(error) {
            corrupt(&self.directory, error_text(error))
        } else {
            StoreError::Read(error.to_string())
        }
    }

    /// Makes everything applied so far durable.
    fn sync(&self) -> Result<(), String> {
        let database = self.database().map_err(|error| error.to_string())?;
        database.flush().map_err(|error| error.to_string())?;
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
                Err(error) if error.kind() == ErrorKind::NotFound => {}
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

    fn apply(&self, batch: &Batch, commits: u64) -> Result<(), String> {
        let database = self.database().map_err(|error| error.to_string())?;
        let read = |key: &[u8]| {
            let found = database.get(key).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.map(|value| value.to_vec()))
        };
        let mut physical = sled::Batch::default();
        let changes = changes(batch, |_| PIECE_BYTES, read)?;
        for (key, value) in changes.into_iter().chain([commits_entry(commits)]) {
            match value {
                Some(value) => physical.insert(key, value),
                None => physical.remove(key),
            }
        }
        let _exclusive = self
            .applying
            .write()
            .map_err(|_| "a reader failed".to_owned())?;
        database
            .apply_batch(physical)
            .map_err(|error| error.to_string())
    }

    /// One piece of a value.
    fn piece(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.database()?.get(key);
        let found = found.map_err(|error| self.unread(&error))?;
        Ok(found.map(|piece| piece.to_vec()))
    }

    /// Goes over the heads of a table; sled's own panics are errors.
    fn over<T>(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
        mut take: impl FnMut(Vec<u8>, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.check_usable()?;
        let _shared = self.applying.read().map_err(|_| StoreError::Poisoned)?;
        let mut taken = Vec::new();
        let heads = head_key(table, from_key)..heads_end(table);
        for item in self.database()?.range(heads).take(limit) {
            let (physical, head) = item.map_err(|error| self.unread(&error))?;
            taken.push(take(key_of(&physical), &head)?);
        }
        Ok(taken)
    }
}

/// Makes durable what a process that died has left of its log, and removes the summary that it did not finish.
fn settle(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        } else if name == "db" {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

fn open_database(directory: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::default()
        .path(directory)
        .flush_every_ms(None)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .mode(sled::Mode::HighThroughput);
    // A thread of sled's may hold the lock of a store that was just closed for a moment longer.
    let mut tries = 1;
    loop {
        match config.open() {
            Ok(database) => return Ok(database),
            Err(error) if tries < LOCK_TRIES && is_locked(&error) => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) if is_damage(&error) => return Err(corrupt(directory, error_text(&error))),
            Err(error) => return Err(cannot_open(directory, error)),
        }
    }
}

/// An error in words that an operator can use: sled's own asks for a report to its authors.
fn error_text(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "a checksum of its log differs".to_owned(),
        sled::Error::ReportableBug(what) | sled::Error::Unsupported(what) => what.clone(),
        other => other.to_string(),
    }
}

/// Closes a database that may be damaged: sled writes when it closes, and may panic then.
fn close(directory: &Path, database: sled::Db) {
    if let Err(error) = guarded(directory, || drop(database)) {
        tracing::error!(%error, "the store did not close in order");
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            close(&self.directory, database);
        }
    }
}

impl Store for SledStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut commits = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        self.check_usable()?;
        if batch.is_empty() {
            return Ok(());
        }
        let written = guarded(&self.directory, || {
            self.apply(&batch, commits.next())
                .and_then(|()| self.sync())
        });
        let written = written.unwrap_or_else(|panic| Err(panic.to_string()));
        written.map_err(|reason| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(%reason, "a write to the store failed");
            StoreError::Write(reason)
        })?;
        commits.done();
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_usable()?;
        guarded(&self.directory, || {
            let _shared = self.applying.read().map_err(|_| StoreError::Poisoned)?;
            let head = self.piece(&head_key(table, key))?;
            head.map(|head| join(table, key, &head, |piece| self.piece(piece)))
                .transpose()
        })?
    }

    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        guarded(&self.directory, || {
            self.over(table, from_key, limit, |key, head| {
                let value = join(table, &key, head, |piece| self.piece(piece))?;
                Ok((key, value))
            })
        })?
    }

    fn keys(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        guarded(&self.directory, || {
            self.over(table, from_key, limit, |key, _| Ok(key))
        })?
    }
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
    use crate::pieces::continuation_key;

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
            let intact = store.database().unwrap().get(&key).unwrap().unwrap();
            let mut damaged = intact.to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            store.database().unwrap().insert(&key, damaged).unwrap();
            assert!(matches!(
                store.get(Table::Blocks, b"k"),
                Err(StoreError::Damaged { .. })
            ));
            assert!(matches!(
                store.scan(Table::Blocks, b"", 9),
                Err(StoreError::Damaged { .. })
            ));
            store.database().unwrap().insert(&key, intact).unwrap();
        }
        // An entry under another key, or of an unknown version, is damaged too.
        let head = store
            .database()
            .unwrap()
            .get(head_key(Table::Blocks, b"k"))
            .unwrap()
            .unwrap();
        store
            .database()
            .unwrap()
            .insert(head_key(Table::Certificates, b"k"), head.clone())
            .unwrap();
        assert!(store.get(Table::Certificates, b"k").is_err());
        let mut future = head.to_vec();
        future[0] = 9;
        store
            .database()
            .unwrap()
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
        // The value, and the number of commits.
        assert_eq!(store.database().unwrap().len(), 2);
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", vec![7; 200_000]);
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"other", vec![7; 200_000]);
        batch.put(Table::Blocks, *b"other", *b"small");
        batch.delete(Table::Blocks, *b"k");
        store.commit(batch).unwrap();
        // The value, and the number of commits.
        assert_eq!(store.database().unwrap().len(), 2);
    }

    #[test]
    fn what_is_on_disk_keeps_its_form() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let mut batch = Batch::new();
        for table in Table::ALL.into_iter().take(6) {
            let value: Vec<u8> = (0..60_000_u32).map(|index| (index % 251) as u8).collect();
            let most = table.value_bytes_max().min(value.len());
            batch.put(table, *b"key", &value[..most]);
        }
        store.commit(batch).unwrap();
        let mut hasher = sealbook_primitives::hash::Hasher::new("sealbook 2026 test pin v1");
        for entry in store.database().unwrap().iter() {
            let (key, value) = entry.unwrap();
            // The engine's own table holds the number of commits.
            if key[0] == 0 {
                continue;
            }
            hasher.update(&key);
            hasher.update(&value);
        }
        let pinned = "e1dc0bc9cbf620a4cf69251759fe1e1f58f79eae32d8d4b39ebcf237c9b2f4bf";
        assert_eq!(hasher.finish().to_string(), pinned);
    }
}
