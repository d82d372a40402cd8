//! The state root: a Merkle tree over the rows of every table of the securities contract.
//!
//! ```text
//! table key = keyed hash(leaf key, table)
//! leaf      = BLAKE3 keyed(table key; index u32 | length u32 | row bytes | zero bytes to a multiple of 64)
//!                                                           a plain hash of a balance could be guessed
//! root      = hash(height, for each table: its number, its length, the root of its dense tree)
//! ```
//!
//! Only rows that a block touched are hashed again.

use std::collections::BTreeMap;

use sealbook_merkle::dense::DenseTree;
use sealbook_primitives::hash::{BLOCK_LENGTH, BlockHasher, Digest, hash, keyed, keyed_hash};
use sealbook_primitives::secret::Secret32;
use sealbook_securities::{State, TableId};
use zeroize::Zeroize as _;

use crate::contracts::{LeafKey, Securities};

const TABLE_DOMAIN: &str = "sealbook 2026 state leaves of a table v2";
const ROOT_DOMAIN: &str = "sealbook 2026 state root v1";
/// Rows whose leaves are made together.
const ROWS_AT_ONCE: usize = 4_096;

/// One dense tree per table.
pub struct StateTree {
    tables: BTreeMap<TableId, DenseTree>,
}

impl StateTree {
    /// Trees without leaves.
    pub fn new() -> Self {
        Self {
            tables: TableId::ALL
                .iter()
                .map(|table| (*table, DenseTree::new()))
                .collect(),
        }
    }

    /// Makes all leaves again under another key.
    pub fn rekey(&mut self, state: &State, leaf_key: &LeafKey<Securities>) {
        for (table, tree) in &mut self.tables {
            let mut maker = Leaves::of(*table, leaf_key);
            let rows: Vec<u32> = (0..state.table_len(*table)).collect();
            let mut leaves = Vec::with_capacity(rows.len());
            for some in rows.chunks(ROWS_AT_ONCE) {
                let made = maker.make(state, some.iter().copied());
                leaves.extend(made.iter().map(|(_, leaf)| *leaf));
            }
            // At once, which hashes every node once.
            *tree = DenseTree::from_leaves(&leaves);
        }
    }

    /// Brings the leaves of all rows that were touched since the last call up to date and returns the root.
    pub fn update(
        &mut self,
        state: &mut State,
        leaf_key: &LeafKey<Securities>,
        height: u64,
    ) -> Digest {
        let touched = state.drain_touched();
        for of_table in touched.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((table, _)) = of_table.first() else {
                continue;
            };
            let Some(tree) = self.tables.get_mut(table) else {
                continue;
            };
            let mut maker = Leaves::of(*table, leaf_key);
            for some in of_table.chunks(ROWS_AT_ONCE) {
                // Rows come in ascending order, so a new row is always the next one and none is out of range.
                let _ = tree.update(maker.make(state, some.iter().map(|(_, index)| *index)));
            }
        }
        let mut parts = vec![height.to_le_bytes().to_vec()];
        for (table, tree) in &mut self.tables {
            parts.push(vec![*table as u8]);
            parts.push(tree.len().to_le_bytes().to_vec());
            parts.push(tree.root().as_bytes().to_vec());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        hash(ROOT_DOMAIN, &parts)
    }
}

/// Makes the leaves of one table's rows, many at once.
struct Leaves {
    table: TableId,
    key: Secret32,
    hasher: BlockHasher,
    /// Messages by how many blocks they have; the few that are longer are hashed one by one.
    one: Messages<BLOCK_LENGTH>,
    two: Messages<{ 2 * BLOCK_LENGTH }>,
    three: Messages<{ 3 * BLOCK_LENGTH }>,
    four: Messages<{ 4 * BLOCK_LENGTH }>,
    made: Vec<(u64, Digest)>,
}

/// Messages of one length, with the place in the list that each leaf belongs to.
#[derive(Default)]
struct Messages<const LENGTH: usize> {
    messages: Vec<[u8; LENGTH]>,
    places: Vec<usize>,
}

impl<const LENGTH: usize> Messages<LENGTH> {
    /// Takes a message that is not longer; zero bytes fill it up.
    fn add(&mut self, place: usize, message: &[u8]) {
        let mut padded = [0; LENGTH];
        if let Some(start) = padded.get_mut(..message.len()) {
            start.copy_from_slice(message);
        }
        self.messages.push(padded);
        self.places.push(place);
    }

    fn hash(&mut self, hasher: &BlockHasher, made: &mut [(u64, Digest)]) {
        let mut places = self.places.drain(..);
        hasher.each(&self.messages, |leaf| {
            if let Some((_, slot)) = places.next().and_then(|place| made.get_mut(place)) {
                *slot = leaf;
            }
        });
        drop(places);
        self.messages.zeroize();
    }
}

impl Leaves {
    fn of(table: TableId, leaf_key: &LeafKey<Securities>) -> Self {
        let key = keyed_hash(leaf_key.key(), TABLE_DOMAIN, &[&[table as u8]]);
        let key = Secret32::new(key.0);
        Self {
            table,
            hasher: BlockHasher::new(&key),
            key,
            one: Messages::default(),
            two: Messages::default(),
            three: Messages::default(),
            four: Messages::default(),
            made: Vec::new(),
        }
    }

    /// The leaves of these rows, each with its index.
    fn make(&mut self, state: &State, rows: impl Iterator<Item = u32>) -> &[(u64, Digest)] {
        self.made.clear();
        let mut message = Vec::with_capacity(4 * BLOCK_LENGTH);
        for (place, index) in rows.enumerate() {
            message.clear();
            message.extend_from_slice(&index.to_le_bytes());
            message.extend_from_slice(&[0; 4]);
            let head = message.len();
            state.write_row_bytes(self.table, index, &mut message);
            let length = u32::try_from(message.len().saturating_sub(head)).unwrap_or(u32::MAX);
            if let Some(field) = message.get_mut(4..head) {
                field.copy_from_slice(&length.to_le_bytes());
            }
            self.made.push((u64::from(index), Digest::ZERO));
            match message.len().div_ceil(BLOCK_LENGTH) {
                0 | 1 => self.one.add(place, &message),
                2 => self.two.add(place, &message),
                3 => self.three.add(place, &message),
                4 => self.four.add(place, &message),
                blocks => {
                    message.resize(blocks.saturating_mul(BLOCK_LENGTH), 0);
                    let leaf = keyed(&self.key, &message);
                    if let Some((_, slot)) = self.made.last_mut() {
                        *slot = leaf;
                    }
                }
            }
        }
        self.one.hash(&self.hasher, &mut self.made);
        self.two.hash(&self.hasher, &mut self.made);
        self.three.hash(&self.hasher, &mut self.made);
        self.four.hash(&self.hasher, &mut self.made);
        &self.made
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealbook_securities::NewMember;

    use super::*;
    use crate::permissions::Nobody;

    /// The leaf as the header of this file defines it.
    fn defined(
        state: &State,
        table: TableId,
        index: u32,
        leaf_key: &LeafKey<Securities>,
    ) -> Digest {
        let row = state.row_bytes(table, index);
        let mut message = [
            &index.to_le_bytes()[..],
            &(row.len() as u32).to_le_bytes(),
            &row,
        ]
        .concat();
        message.resize(message.len().next_multiple_of(64), 0);
        let key = keyed_hash(leaf_key.key(), TABLE_DOMAIN, &[&[table as u8]]);
        keyed(&Secret32::new(key.0), &message)
    }

    #[test]
    fn leaves_that_are_made_together_are_those_that_are_defined() {
        let mut state = State::new();
        for number in 0..140_u8 {
            // Three bytes a letter: rows of two to nine blocks.
            let organisation = "\u{682a}".repeat(usize::from(number) + 1);
            let name = format!("m{number}");
            let new = NewMember::parse(&name, "firm", &organisation, None, [number; 32], [1; 32]);
            let outcome = state.admit(None, &Nobody, new.unwrap(), None);
            assert!(outcome.is_accepted());
        }
        let key = LeafKey::of(&Secret32::new([7; 32]));
        let mut blocks = std::collections::BTreeSet::new();
        for table in [TableId::Members, TableId::Clock] {
            let count = state.table_len(table);
            let made = Leaves::of(table, &key).make(&state, 0..count).to_vec();
            let expected: Vec<(u64, Digest)> = (0..count)
                .map(|index| (u64::from(index), defined(&state, table, index, &key)))
                .collect();
            assert_eq!(made, expected);
            let lengths = (0..count).map(|index| state.row_bytes(table, index).len() + 8);
            blocks.extend(lengths.map(|length| length.div_ceil(64)));
        }
        assert!((1..=8).all(|count| blocks.contains(&count)), "{blocks:?}");
    }

    #[test]
    fn keyed_anew_or_row_by_row_the_trees_are_the_same() {
        let mut state = State::new();
        let key = LeafKey::of(&Secret32::new([7; 32]));
        let mut followed = StateTree::new();
        followed.update(&mut state, &key, 0);
        for height in 1..=200 {
            state.begin_block(height, height).unwrap();
            let root = followed.update(&mut state, &key, height);
            let mut anew = StateTree::new();
            anew.rekey(&state, &key);
            assert_eq!(anew.update(&mut state, &key, height), root);
        }
    }
}
