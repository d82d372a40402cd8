//! A store in memory, for simulation and tests. It keeps nothing after it is dropped.

use std::collections::BTreeMap;
use std::sync::RwLock;

use crate::engine::{Batch, Entry, Operation, Store, StoreError, Table};

type Entries = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: RwLock<Entries>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut entries = self.entries.write().map_err(|_| StoreError::Poisoned)?;
        for operation in batch.operations() {
            match operation {
                Operation::Put { table, key, value } => {
                    entries.insert((*table, key.clone()), value.clone());
                }
                Operation::Delete { table, key } => {
                    entries.remove(&(*table, key.clone()));
                }
            }
        }
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let entries = self.entries.read().map_err(|_| StoreError::Poisoned)?;
        Ok(entries.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.entries.read().map_err(|_| StoreError::Poisoned)?;
        Ok(entries
            .range((table, from_key.to_vec())..)
            .take_while(|((of, _), _)| *of == table)
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}
