//! Values that lie outside an engine, in a file each: sealed pieces of snapshots, a megabyte each and hundreds at a time,
//! which would pass through an engine's log, be moved about in it and hold up the blocks that wait to be written.
//!
//! ```text
//! <store>/outside/<table, 2 digits hex>-<key in hex>     version u8 | checksum 16 | value
//! ```
//!
//! The checksum is that of [`crate::pieces`]: it covers table, key and value. A value is there whole or not at all: it is
//! written under another name, synced, renamed, and its folder synced. The names are read once, when the store is opened.
//!
//! After a crash: what was not renamed yet is removed when the store is opened.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::{Batch, Entry, Operation, Store, StoreError, Table};
use crate::folder::cannot_open;
use crate::pieces::{CHECKSUM_BYTES, checksum, hex};

/// The folder's name.
pub(crate) const FOLDER: &str = "outside";
const UNFINISHED: &str = "new";
const VERSION: u8 = 1;

/// An engine, and what lies outside it.
pub(crate) struct Outside {
    engine: Arc<dyn Store>,
    folder: PathBuf,
    keys: RwLock<BTreeSet<(Table, Vec<u8>)>>,
    /// Held by the one writer.
    writer: Mutex<()>,
    /// After a failed write, out here, nothing of the store is used again.
    poisoned: AtomicBool,
}

impl Outside {
    /// Opens or creates the folder in the folder of a store that has been opened.
    pub(crate) fn open(engine: Arc<dyn Store>, store: &Path) -> Result<Self, StoreError> {
        let folder = store.join(FOLDER);
        let failed = |error: io::Error| cannot_open(&folder, error);
        if !folder.exists() {
            fs::create_dir(&folder).map_err(failed)?;
            sync(store).map_err(failed)?;
        }
        let mut keys = BTreeSet::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == UNFINISHED) {
                fs::remove_file(&path).map_err(failed)?;
                continue;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            // Whatever else lies there is not ours.
            keys.extend(name.and_then(read_name));
        }
        // A process that was killed may have left names that are not on the disk, and from now on they count.
        sync(&folder).map_err(failed)?;
        Ok(Self {
            engine,
            folder,
            keys: RwLock::new(keys),
            writer: Mutex::new(()),
            poisoned: AtomicBool::new(false),
        })
    }

    fn path(&self, table: Table, key: &[u8]) -> PathBuf {
        self.folder.join(name(table, key))
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        let path = self.path(table, key);
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&[VERSION])?;
        file.write_all(&checksum(table.prefix(), key, value))?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    }

    fn delete(&self, table: Table, key: &[u8]) -> io::Result<()> {
        match fs::remove_file(self.path(table, key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Carries out a batch that is about values outside: one that is set, or some that are deleted. Readers wait for
    /// neither.
    fn change(&self, operations: &[Operation]) -> Result<(), StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let apply = || {
            for operation in operations {
                match operation {
                    Operation::Put { table, key, value } => self.put(*table, key, value)?,
                    Operation::Delete { table, key } => {
                        if self.write_keys().remove(&(*table, key.clone())) {
                            self.delete(*table, key)?;
                        }
                    }
                }
            }
            sync(&self.folder)?;
            for operation in operations {
                if let Operation::Put { table, key, .. } = operation {
                    self.write_keys().insert((*table, key.clone()));
                }
            }
            Ok(())
        };
        apply().map_err(|error: io::Error| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(%error, "a write to the store failed");
            StoreError::Write(error.to_string())
        })
    }

    fn write_keys(&self) -> RwLockWriteGuard<'_, BTreeSet<(Table, Vec<u8>)>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged {
            table: table.name(),
            key: hex(key),
        };
        let mut bytes = match fs::read(self.path(table, key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged()),
            read => read.map_err(|error| StoreError::Read(error.to_string()))?,
        };
        let head = bytes.first_chunk::<{ 1 + CHECKSUM_BYTES }>();
        let Some([VERSION, sum @ ..]) = head.copied() else {
            return Err(damaged());
        };
        bytes.drain(..=CHECKSUM_BYTES);
        if checksum(table.prefix(), key, &bytes) == sum {
            Ok(bytes)
        } else {
            Err(damaged())
        }
    }

    /// A value, unless it was deleted meanwhile.
    fn find(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let is_there = || self.read_keys().contains(&(table, key.to_vec()));
        if !is_there() {
            return Ok(None);
        }
        match self.read(table, key) {
            Err(_) if !is_there() => Ok(None),
            read => read.map(Some),
        }
    }

    fn read_keys(&self) -> RwLockReadGuard<'_, BTreeSet<(Table, Vec<u8>)>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(table: Table, key: &[u8]) -> String {
    format!("{:02x}-{}", table.prefix(), hex(key))
}

/// The table and key that a file's name says.
fn read_name(text: &str) -> Option<(Table, Vec<u8>)> {
    let (_, digits) = text.split_once('-')?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let key: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    let key = key?;
    let is_of = |table: &Table| table.is_outside() && name(*table, &key) == text;
    let table = Table::ALL.into_iter().find(is_of)?;
    Some((table, key))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The keys of a table from one on.
fn range<'a>(
    keys: &'a BTreeSet<(Table, Vec<u8>)>,
    table: Table,
    from_key: &[u8],
    limit: usize,
) -> impl Iterator<Item = &'a Vec<u8>> {
    keys.range((table, from_key.to_vec())..)
        .take_while(move |(of, _)| *of == table)
        .take(limit)
        .map(|(_, key)| key)
}

impl Store for Outside {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        self.check_usable()?;
        match batch.operations() {
            operations @ [first, ..] if first.table().is_outside() => self.change(operations),
            _ => self.engine.commit(batch),
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_usable()?;
        if table.is_outside() {
            self.find(table, key)
        } else {
            self.engine.get(table, key)
        }
    }

    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.check_usable()?;
        if !table.is_outside() {
            return self.engine.scan(table, from_key, limit);
        }
        let keys: Vec<Vec<u8>> = range(&self.read_keys(), table, from_key, limit)
            .cloned()
            .collect();
        let entries = keys.into_iter().map(|key| {
            let value = self.find(table, &key)?;
            Ok(value.map(|value| (key, value)))
        });
        entries.filter_map(Result::transpose).collect()
    }

    fn keys(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.check_usable()?;
        if !table.is_outside() {
            return self.engine.keys(table, from_key, limit);
        }
        let keys = self.read_keys();
        Ok(range(&keys, table, from_key, limit).cloned().collect())
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.check_usable()?;
        self.engine.verify()
    }
}
