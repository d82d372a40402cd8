//! Which row has a key: a hash table of row numbers. The keys themselves stand in the rows.
//!
//! Members choose account ids and references freely. The hash is keyed at random, so that nobody can
//! choose ones that collide. Each entry keeps part of its hash beside the row number: growing touches
//! no row, and looking something up hardly ever touches another row than its own.
//!
//! INVARIANT: nothing that anybody can see depends on the random key. A lookup says which row has a
//! key and no more: its entries have an order, but nothing here walks through them.

use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use std::hash::RandomState;

use hashbrown::HashTable;

use crate::rows::{Account, MemberId, Remembered};
use crate::table::RowIndex;
use crate::text::{AccountId, ClientReference};

/// A row that is looked up by a key which no other row of its table has.
pub(crate) trait Keyed {
    type Key: Copy + Eq + Hash;
    fn key(&self) -> Self::Key;
}

impl Keyed for Account {
    type Key = AccountId;

    fn key(&self) -> AccountId {
        self.id
    }
}

impl Keyed for Remembered {
    type Key = (MemberId, ClientReference);

    fn key(&self) -> Self::Key {
        (self.member, self.reference)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    place: u32,
}

/// The rows `R` of one table by their keys.
#[derive(Clone)]
pub(crate) struct Lookup<I, R> {
    entries: HashTable<Entry>,
    hasher: RandomState,
    of: PhantomData<(I, R)>,
}

impl<I, R> Default for Lookup<I, R> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            hasher: RandomState::new(),
            of: PhantomData,
        }
    }
}

impl<I: RowIndex, R: Keyed> Lookup<I, R> {
    /// The row of this key, if there is one. `rows` are all rows of the table.
    pub(crate) fn find(&self, key: &R::Key, rows: &[R]) -> Option<I> {
        let hash = self.hash(key);
        let same = |entry: &Entry| {
            let row = rows.get(entry.place as usize);
            entry.hash == hash && row.is_some_and(|row| row.key() == *key)
        };
        let entry = self.entries.find(spread(hash), same)?;
        Some(I::new(entry.place))
    }

    /// The places of the rows that most likely have these keys, without a look at any row. All keys are hashed before
    /// the first is looked for, so that the processor fetches many entries at once.
    pub(crate) fn likely<'a>(
        &self,
        keys: impl Iterator<Item = &'a R::Key>,
    ) -> impl Iterator<Item = Option<u32>>
    where
        R::Key: 'a,
    {
        let hashes: Vec<u32> = keys.map(|key| self.hash(key)).collect();
        hashes.into_iter().map(|hash| self.likely_of(hash))
    }

    fn likely_of(&self, hash: u32) -> Option<u32> {
        let entry = self
            .entries
            .find(spread(hash), |entry| entry.hash == hash)?;
        Some(entry.place)
    }

    /// Adds a row whose key no row has yet.
    pub(crate) fn insert(&mut self, key: &R::Key, index: I) {
        let hash = self.hash(key);
        let place = index.place();
        self.entries
            .insert_unique(spread(hash), Entry { hash, place }, |entry| {
                spread(entry.hash)
            });
    }

    /// Adds all rows of a table to an empty lookup; false if a key stands twice.
    pub(crate) fn fill(&mut self, rows: &[R]) -> bool {
        self.entries.reserve(rows.len(), |entry| spread(entry.hash));
        (0u32..).map(I::new).zip(rows).all(|(index, row)| {
            let key = row.key();
            let new = self.find(&key, rows).is_none();
            self.insert(&key, index);
            new
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a part of a hash is a hash"
    )]
    fn hash(&self, key: &R::Key) -> u32 {
        self.hasher.hash_one(key) as u32
    }
}

/// The table takes an entry's place from the lowest bits of its hash and a tag from the highest.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rows::{AccountIndex, Holder};

    fn account(number: u32) -> Account {
        Account {
            id: format!("A-{number}").parse().unwrap(),
            owner: MemberId(0),
            holder: Holder::Issuer,
        }
    }

    #[test]
    fn every_row_is_found_by_its_key_and_nothing_else_is() {
        let mut rows = Vec::new();
        let mut lookup: Lookup<AccountIndex, Account> = Lookup::default();
        for number in 0..5000 {
            let row = account(number);
            assert_eq!(lookup.find(&row.id, &rows), None);
            rows.push(row);
            lookup.insert(&row.id, AccountIndex(number));
        }
        let mut filled: Lookup<AccountIndex, Account> = Lookup::default();
        assert!(filled.fill(&rows));
        let copy = lookup.clone();
        for lookup in [lookup, copy, filled] {
            for (number, row) in (0..).zip(&rows) {
                assert_eq!(lookup.find(&row.id, &rows), Some(AccountIndex(number)));
            }
            for number in 5000..6000 {
                assert_eq!(lookup.find(&account(number).id, &rows), None);
            }
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_noticed() {
        let rows: Vec<Account> = [1, 2, 3, 2].map(account).to_vec();
        let mut lookup: Lookup<AccountIndex, Account> = Lookup::default();
        assert!(!lookup.fill(&rows));
        let mut lookup: Lookup<AccountIndex, Account> = Lookup::default();
        assert!(lookup.fill(&rows[..3]));
    }

    #[test]
    fn every_lookup_hashes_under_a_key_of_its_own() {
        let (first, second) = (
            Lookup::<AccountIndex, Account>::default(),
            Lookup::<AccountIndex, Account>::default(),
        );
        let same = |number: &u32| {
            let id = account(*number).id;
            first.hash(&id) == second.hash(&id)
        };
        assert!((0..100).filter(same).count() < 3);
    }
}
