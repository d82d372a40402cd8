//! The store on `redb`, in one table, so that a batch over several of ours is atomic. Values lie there as
//! [`crate::pieces`] says.
//!
//! - Every commit has redb's durability `Immediate`: `fdatasync` before it returns. A commit that a crash interrupted is
//!   found by redb's checksums of its pages, and the one before it holds.
//! - redb gives a large value pages of its own, a power of two of them: pieces are cut to fill such pages.
//! - redb trusts its pages while it reads: [`RedbStore::verify`] compares their checksums, and ours are compared with
//!   every value that is read.
//! - redb panics over some damage: every call of it is guarded, and a panic is an error.
//!
//! After a crash: redb reads the whole file to repair its free space, and drops an interrupted commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use redb::{Database, DatabaseError, Durability, ReadableDatabase, StorageError, TableDefinition};

use crate::engine::{Batch, Entry, Store, StoreError, Table};
use crate::folder::{Commits, Engine, Folder, cannot_open, corrupt, guarded};
use crate::pieces::{
    Change, changes, commits_entry, commits_in, commits_key, head_key, heads_end, join, key_of,
};

const FILE: &str = "store.redb";
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// redb's smallest page, and the largest that a piece of ours fills.
const PAGE_BYTES: usize = 4 * 1024;
const LARGE_PAGE_BYTES: usize = 64 * 1024;
/// What of a page a piece leaves to its key and to redb.
const PAGE_OVERHEAD: usize = 512;
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// How often, and how long after each other, a locked store is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A store in a directory.
pub struct RedbStore {
    /// Taken only when the store is dropped; held exclusively only to compare redb's checksums.
    database: RwLock<Option<Database>>,
    directory: PathBuf,
    /// Held by the one writer.
    writer: Mutex<Commits>,
    poisoned: AtomicBool,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RedbStore")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

type Entries = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

fn failure(directory: &Path, error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    match &error {
        redb::Error::Io(io) if !is_damage(io) => StoreError::Read(error.to_string()),
        redb::Error::PreviousIo => StoreError::Read(error.to_string()),
        other => corrupt(directory, other.to_string()),
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData
    )
}

impl RedbStore {
    /// Opens or creates the store in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Open`], also when another process has it open; [`StoreError::Engine`] or [`StoreError::Corrupt`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let folder = Folder::prepare(Engine::Redb, directory)?;
        let database = guarded(directory, || open_database(directory))??;
        let commits = guarded(directory, || commits_of(&database, directory));
        match commits.and_then(|commits| folder.opened(commits?)) {
            Ok(commits) => Ok(Self {
                database: RwLock::new(Some(database)),
                directory: directory.to_path_buf(),
                writer: Mutex::new(commits),
                poisoned: AtomicBool::new(false),
            }),
            Err(error) => {
                close(directory, database);
                Err(error)
            }
        }
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Runs on the database; redb's own panics are errors.
    fn with<T>(
        &self,
        run: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_usable()?;
        let database = self.database.read().map_err(|_| StoreError::Poisoned)?;
        let database = database.as_ref().ok_or(StoreError::Poisoned)?;
        guarded(&self.directory, || run(database))?
    }

    /// Goes over the heads of a table, as they are at one moment.
    fn over<T>(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
        mut take: impl FnMut(&Entries, Vec<u8>, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(|database| {
            let failed = |error: StorageError| failure(&self.directory, error);
            let entries = entries(database, &self.directory)?;
            let (from, end) = (head_key(table, from_key), heads_end(table));
            let mut taken = Vec::new();
            let range = entries.range(from.as_slice()..end.as_slice());
            for item in range.map_err(failed)?.take(limit) {
                let (physical, head) = item.map_err(failed)?;
                taken.push(take(&entries, key_of(physical.value()), head.value())?);
            }
            Ok(taken)
        })
    }

    fn piece(&self, entries: &Entries, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        piece(entries, key).map_err(|error| failure(&self.directory, error))
    }
}

fn open_database(directory: &Path) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let mut tries = 1;
    let database = loop {
        match builder.create(directory.join(FILE)) {
            Ok(database) => break database,
            Err(DatabaseError::DatabaseAlreadyOpen) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(DatabaseError::Storage(StorageError::Io(error))) if !is_damage(&error) => {
                return Err(cannot_open(directory, error));
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(cannot_open(directory, DatabaseError::DatabaseAlreadyOpen));
            }
            Err(error) => return Err(corrupt(directory, error.to_string())),
        }
    };
    // The table must be there for those who read first.
    create_entries(&database).map_err(|error| failure(directory, error))?;
    Ok(database)
}

fn create_entries(database: &Database) -> Result<(), redb::Error> {
    if let Ok(found) = database.begin_read()?.list_tables()
        && found.into_iter().next().is_some()
    {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.commit()?;
    Ok(())
}

fn entries(database: &Database, directory: &Path) -> Result<Entries, StoreError> {
    let transaction = database
        .begin_read()
        .map_err(|error| failure(directory, error))?;
    transaction
        .open_table(ENTRIES)
        .map_err(|error| failure(directory, error))
}

fn piece(entries: &Entries, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    Ok(entries.get(key)?.map(|value| value.value().to_vec()))
}

fn commits_of(database: &Database, directory: &Path) -> Result<Option<u64>, StoreError> {
    let entries = entries(database, directory)?;
    let entry = piece(&entries, &commits_key()).map_err(|error| failure(directory, error))?;
    let damaged = || corrupt(directory, "the number of its commits is damaged");
    entry
        .map(|entry| commits_in(&entry).ok_or_else(damaged))
        .transpose()
}

fn apply(database: &Database, batch: &Batch, commits: u64) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let changes: Vec<Change> = {
            let read = |key: &[u8]| {
                let found = redb::ReadableTable::get(&entries, key)?;
                Ok::<_, redb::Error>(found.map(|value| value.value().to_vec()))
            };
            changes(batch, piece_size, read)?
        };
        for (key, value) in changes.into_iter().chain([commits_entry(commits)]) {
            match value {
                Some(value) => entries.insert(key.as_slice(), value.as_slice())?,
                None => entries.remove(key.as_slice())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}

/// The length of the next piece, when so much of a value is left: what fills a page, where the whole rest would leave
/// more than an eighth of its page empty.
const fn piece_size(rest: usize) -> usize {
    let needed = rest.saturating_add(PAGE_OVERHEAD);
    if needed >= LARGE_PAGE_BYTES {
        return LARGE_PAGE_BYTES - PAGE_OVERHEAD;
    }
    let page = needed.next_power_of_two();
    if page > PAGE_BYTES && page - needed > page / 8 {
        page / 2 - PAGE_OVERHEAD
    } else {
        rest
    }
}

/// Closes a database that may be damaged: redb writes when it closes, and may panic then.
fn close(directory: &Path, database: Database) {
    if let Err(error) = guarded(directory, || drop(database)) {
        tracing::error!(%error, "the store did not close in order");
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        let database = self.database.get_mut().map(Option::take);
        if let Ok(Some(database)) = database {
            close(&self.directory, database);
        }
    }
}

impl Store for RedbStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut commits = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        self.check_usable()?;
        if batch.is_empty() {
            return Ok(());
        }
        let next = commits.next();
        let written = self.with(|database| {
            apply(database, &batch, next).map_err(|error| StoreError::Write(error.to_string()))
        });
        written.map_err(|error| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(%error, "a write to the store failed");
            match error {
                StoreError::Write(reason) => StoreError::Write(reason),
                other => StoreError::Write(other.to_string()),
            }
        })?;
        commits.done();
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let entries = entries(database, &self.directory)?;
            let head = self.piece(&entries, &head_key(table, key))?;
            let read = |piece: &[u8]| self.piece(&entries, piece);
            head.map(|head| join(table, key, &head, read)).transpose()
        })
    }

    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.over(table, from_key, limit, |entries, key, head| {
            let value = join(table, &key, head, |piece| self.piece(entries, piece))?;
            Ok((key, value))
        })
    }

    fn keys(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.over(table, from_key, limit, |_, key, _| Ok(key))
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.check_usable()?;
        let mut database = self.database.write().map_err(|_| StoreError::Poisoned)?;
        let database = database.as_mut().ok_or(StoreError::Poisoned)?;
        match guarded(&self.directory, || database.check_integrity())? {
            Ok(true) => Ok(()),
            Ok(false) => Err(corrupt(&self.directory, "checksums of its pages differ")),
            Err(DatabaseError::TransactionInProgress) => {
                Err(StoreError::Read("the store is being read".to_owned()))
            }
            Err(error) => Err(failure(&self.directory, error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::pieces::continuation_key;

    fn piece_of(
        entries: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
        key: &[u8],
    ) -> Vec<u8> {
        entries.get(key).unwrap().unwrap().value().to_vec()
    }

    fn change(store: &RedbStore, key: &[u8], change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let guard = store.database.read().unwrap();
        let transaction = guard.as_ref().unwrap().begin_write().unwrap();
        {
            let mut entries = transaction.open_table(ENTRIES).unwrap();
            let found = piece_of(&entries, key);
            entries.insert(key, change(found).as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let value: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", value.clone());
        store.commit(batch).unwrap();
        store.verify().unwrap();
        let flip = |mut bytes: Vec<u8>| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        for key in [
            head_key(Table::Blocks, b"k"),
            continuation_key(Table::Blocks, b"k", 2),
        ] {
            change(&store, &key, flip);
            let found = store.get(Table::Blocks, b"k");
            assert!(matches!(found, Err(StoreError::Damaged { .. })));
            assert!(store.scan(Table::Blocks, b"", 9).unwrap_err().is_damage());
            assert_eq!(store.keys(Table::Blocks, b"", 9).unwrap(), [b"k"]);
            change(&store, &key, flip);
            assert_eq!(store.get(Table::Blocks, b"k").unwrap().unwrap(), value);
        }
    }

    #[test]
    fn pieces_fill_their_pages() {
        for length in (0..200_000).step_by(97) {
            let (mut rest, mut pages) = (length, 0);
            while rest > 0 {
                let piece = piece_size(rest);
                assert!((1..=rest).contains(&piece), "{piece} of {rest}");
                pages += (piece + PAGE_OVERHEAD).next_power_of_two().max(PAGE_BYTES);
                rest -= piece;
            }
            assert!(
                pages <= length + length / 5 + PAGE_BYTES,
                "{pages} for {length}"
            );
        }
    }

    #[test]
    fn what_is_on_disk_keeps_its_form() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let mut batch = Batch::new();
        for table in Table::ALL.into_iter().filter(|table| !table.is_outside()) {
            let value: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8).collect();
            let most = table.value_bytes_max().min(value.len());
            batch.put(table, *b"key", &value[..most]);
        }
        store.commit(batch).unwrap();
        let guard = store.database.read().unwrap();
        let entries = entries(guard.as_ref().unwrap(), directory.path()).unwrap();
        let mut hasher = sealbook_primitives::hash::Hasher::new("sealbook 2026 test pin v1");
        for entry in redb::ReadableTable::iter(&entries).unwrap() {
            let (key, value) = entry.unwrap();
            hasher.update(key.value());
            hasher.update(value.value());
        }
        let pinned = "a0b23b3889f7893a553f62021398847302eca298127545d6a9eb615c5afb89db";
        assert_eq!(hasher.finish().to_string(), pinned);
    }

    #[test]
    fn after_a_failed_write_nothing_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        store.poisoned.store(true, Ordering::Release);
        assert_eq!(store.get(Table::Blocks, b"k"), Err(StoreError::Poisoned));
        let scanned = store.scan(Table::Blocks, b"k", 1);
        assert_eq!(scanned, Err(StoreError::Poisoned));
        assert_eq!(store.verify(), Err(StoreError::Poisoned));
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"k", *b"v");
        assert_eq!(store.commit(batch), Err(StoreError::Poisoned));
    }

    #[test]
    fn overwriting_removes_old_continuations() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        for size in [400_000, 60_000, 10] {
            let mut batch = Batch::new();
            batch.put(Table::Blocks, *b"k", vec![7; size]);
            store.commit(batch).unwrap();
            assert_eq!(store.get(Table::Blocks, b"k").unwrap().unwrap().len(), size);
        }
        let guard = store.database.read().unwrap();
        let entries = entries(guard.as_ref().unwrap(), directory.path()).unwrap();
        // The value, and the number of commits.
        assert_eq!(redb::ReadableTableMetadata::len(&entries).unwrap(), 2);
    }
}
