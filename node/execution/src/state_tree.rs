//! The state root: a Merkle tree over the rows of every table of the securities contract.
//!
//! ```text
//! leaf = keyed hash(leaf key, table, index, row bytes)      a plain hash of a balance could be guessed
//! root = hash(height, for each table: its number, its length, the root of its dense tree)
//! ```
//!
//! Only rows that a block touched are hashed again.

use std::collections::BTreeMap;

use sealbook_merkle::dense::DenseTree;
use sealbook_primitives::hash::{Digest, hash, keyed_hash};
use sealbook_securities::{State, TableId};

use crate::contracts::{LeafKey, Securities};

const LEAF_DOMAIN: &str = "sealbook 2026 state leaf v1";
const ROOT_DOMAIN: &str = "sealbook 2026 state root v1";

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
            let rows = 0..state.table_len(*table);
            let leaves: Vec<Digest> = rows
                .map(|index| leaf(state, *table, index, leaf_key))
                .collect();
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
        for (table, index) in state.drain_touched() {
            let leaf = leaf(state, table, index, leaf_key);
            let Some(tree) = self.tables.get_mut(&table) else {
                continue;
            };
            // Rows come in ascending order, so a new row is always the next one.
            let index = u64::from(index);
            if index < tree.len() {
                // In range, as was just checked.
                let _ = tree.set(index, leaf);
            } else {
                tree.push(leaf);
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
fn leaf(state: &State, table: TableId, index: u32, leaf_key: &LeafKey<Securities>) -> Digest {
    let row = state.row_bytes(table, index);
    let parts: [&[u8]; 3] = [&[table as u8], &index.to_le_bytes(), &row];
    keyed_hash(leaf_key.key(), LEAF_DOMAIN, &parts)
}
