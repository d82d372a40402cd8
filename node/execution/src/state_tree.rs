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
