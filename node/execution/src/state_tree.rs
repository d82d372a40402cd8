//! The state root: a Merkle tree over the rows of every table of the securities contract, a few to a leaf.
//!
//! ```text
//! table key = keyed hash(leaf key, table)
//! leaf      = BLAKE3 keyed(table key; number of the leaf u32 | for each of its rows: length u32, row bytes
//!                                     | zero bytes to a multiple of 64)
//!                                                           a plain hash of a balance could be guessed
//! root      = hash(height, for each table: its number, its rows, the root of its dense tree)
//! ```
//!
//! Of positions and cash balances, rows 4n to 4n + 3 make leaf n: the rows that change are anywhere. Of all other tables
//! rows 8n to 8n + 7 do: most that change are new ones, which follow each other, and the tree above has half the nodes.
//!
//! Only leaves with rows that a block touched are made again.

use std::collections::BTreeMap;

use sealbook_merkle::dense::DenseTree;
use sealbook_primitives::hash::{BLOCK_LENGTH, BlockHasher, Digest, hash, keyed, keyed_hash};
use sealbook_primitives::secret::Secret32;
use sealbook_securities::{State, TableId};
use zeroize::Zeroize as _;

use crate::contracts::{LeafKey, Securities};

const TABLE_DOMAIN: &str = "sealbook 2026 state leaves of a table v4";
const ROOT_DOMAIN: &str = "sealbook 2026 state root v2";
/// Rows in a leaf.
const fn rows_of(table: TableId) -> u32 {
    match table {
        TableId::Positions | TableId::Cash => 4,
        _ => 8,
    }
}

/// Leaves whose rows are read before the first of them is made: as many as the nearest caches have room for.
const READ_AHEAD: usize = 64;
/// Leaves that are made together.
const LEAVES_AT_ONCE: usize = 1_024;
/// Messages of up to so many blocks are hashed together; the few that are longer, one by one.
const BLOCKS_MAX: usize = 16;

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
            let count = state.table_len(*table).div_ceil(rows_of(*table));
            let numbers: Vec<u32> = (0..count).collect();
            let mut leaves = Vec::with_capacity(numbers.len());
            for some in numbers.chunks(LEAVES_AT_ONCE) {
                leaves.extend(maker.make(state, some).iter().map(|(_, leaf)| *leaf));
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
            let of_leaf = rows_of(*table);
            let mut numbers: Vec<u32> = of_table.iter().map(|(_, row)| row / of_leaf).collect();
            numbers.dedup();
            for some in numbers.chunks(LEAVES_AT_ONCE) {
                // They come in ascending order, so a new leaf is always the next one and none is out of range.
                let _ = tree.update(maker.make(state, some));
            }
        }
        let mut parts = vec![height.to_le_bytes().to_vec()];
        for (table, tree) in &mut self.tables {
            parts.push(vec![*table as u8]);
            parts.push(u64::from(state.table_len(*table)).to_le_bytes().to_vec());
            parts.push(tree.root().as_bytes().to_vec());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        hash(ROOT_DOMAIN, &parts)
    }
}

/// Makes the leaves of one table, many at once.
struct Leaves {
    table: TableId,
    key: Secret32,
    hasher: BlockHasher,
    /// Messages by how many blocks they have, less one.
    messages: [Messages; BLOCKS_MAX],
    made: Vec<(u64, Digest)>,
}

/// Messages of one length, one after the other, with the place in the list that each leaf belongs to.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Messages {
    fn hash<const LENGTH: usize>(&mut self, hasher: &BlockHasher, made: &mut [(u64, Digest)]) {
        let mut places = self.places.drain(..);
        let (messages, _) = self.bytes.as_chunks::<LENGTH>();
        hasher.each(messages, |leaf| {
            if let Some((_, slot)) = places.next().and_then(|place| made.get_mut(place)) {
                *slot = leaf;
            }
        });
        drop(places);
        self.bytes.zeroize();
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
            messages: Default::default(),
            made: Vec::new(),
        }
    }

    /// The leaves of these numbers, each with its number.
    fn make(&mut self, state: &State, numbers: &[u32]) -> &[(u64, Digest)] {
        self.made.clear();
        let rows = state.table_len(self.table);
        let mut message = Vec::with_capacity(BLOCKS_MAX * BLOCK_LENGTH);
        let of_leaf = rows_of(self.table);
        for (place, number) in numbers.iter().enumerate() {
            if place.is_multiple_of(READ_AHEAD) {
                let soon = numbers.iter().skip(place).take(READ_AHEAD);
                // The first row and the last: the lines of the processor's cache that a leaf lies in.
                let ends = soon.flat_map(|number| {
                    let first = number.saturating_mul(of_leaf);
                    [
                        first,
                        first
                            .saturating_add(of_leaf - 1)
                            .min(rows.saturating_sub(1)),
                    ]
                });
                state.read_rows_ahead(self.table, ends);
            }
            message.clear();
            message.extend_from_slice(&number.to_le_bytes());
            let first = number.saturating_mul(of_leaf);
            for row in first..first.saturating_add(of_leaf).min(rows) {
                self.add_row(state, row, &mut message);
            }
            message.resize(message.len().next_multiple_of(BLOCK_LENGTH), 0);
            let blocks = message.len() / BLOCK_LENGTH;
            let leaf = match self.messages.get_mut(blocks.saturating_sub(1)) {
                Some(of_length) => {
                    of_length.bytes.extend_from_slice(&message);
                    of_length.places.push(place);
                    Digest::ZERO
                }
                None => keyed(&self.key, &message),
            };
            self.made.push((u64::from(*number), leaf));
        }
        message.zeroize();
        self.hash_all();
        &self.made
    }

    fn add_row(&self, state: &State, row: u32, message: &mut Vec<u8>) {
        let start = message.len();
        message.extend_from_slice(&[0; 4]);
        let head = message.len();
        state.write_row_bytes(self.table, row, message);
        let length = u32::try_from(message.len().saturating_sub(head)).unwrap_or(u32::MAX);
        if let Some(field) = message.get_mut(start..head) {
            field.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn hash_all(&mut self) {
        let (hasher, made) = (&self.hasher, self.made.as_mut_slice());
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = &mut self.messages;
        a.hash::<BLOCK_LENGTH>(hasher, made);
        b.hash::<{ 2 * BLOCK_LENGTH }>(hasher, made);
        c.hash::<{ 3 * BLOCK_LENGTH }>(hasher, made);
        d.hash::<{ 4 * BLOCK_LENGTH }>(hasher, made);
        e.hash::<{ 5 * BLOCK_LENGTH }>(hasher, made);
        f.hash::<{ 6 * BLOCK_LENGTH }>(hasher, made);
        g.hash::<{ 7 * BLOCK_LENGTH }>(hasher, made);
        h.hash::<{ 8 * BLOCK_LENGTH }>(hasher, made);
        i.hash::<{ 9 * BLOCK_LENGTH }>(hasher, made);
        j.hash::<{ 10 * BLOCK_LENGTH }>(hasher, made);
        k.hash::<{ 11 * BLOCK_LENGTH }>(hasher, made);
        l.hash::<{ 12 * BLOCK_LENGTH }>(hasher, made);
        m.hash::<{ 13 * BLOCK_LENGTH }>(hasher, made);
        n.hash::<{ 14 * BLOCK_LENGTH }>(hasher, made);
        o.hash::<{ 15 * BLOCK_LENGTH }>(hasher, made);
        p.hash::<{ 16 * BLOCK_LENGTH }>(hasher, made);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealbook_securities::{
        AccountId, Action, Authority, CurrencyCode, Decimal, HolderReference, Instruction, Isin,
        IssueKind, LongName, NewMember, Order, Outcome, Relation,
    };

    use super::*;
    use crate::permissions::Nobody;

    /// The leaf as the header of this file defines it.
    fn defined(
        state: &State,
        table: TableId,
        number: u32,
        leaf_key: &LeafKey<Securities>,
    ) -> Digest {
        let mut message = number.to_le_bytes().to_vec();
        let rows = match table {
            TableId::Positions | TableId::Cash => 4,
            _ => 8,
        };
        let rows = rows * number..rows * number + rows;
        for row in rows.take_while(|row| *row < state.table_len(table)) {
            let bytes = state.row_bytes(table, row);
            message.extend((bytes.len() as u32).to_le_bytes());
            message.extend(bytes);
        }
        message.resize(message.len().next_multiple_of(64), 0);
        let key = keyed_hash(leaf_key.key(), TABLE_DOMAIN, &[&[table as u8]]);
        keyed(&Secret32::new(key.0), &message)
    }

    fn admitted(state: &mut State, number: usize, letters: usize) {
        // Three bytes a letter.
        let organisation = "\u{682a}".repeat(letters);
        let name = format!("m{number}");
        let mut certificate = [0; 32];
        certificate[..8].copy_from_slice(&number.to_le_bytes());
        let new = NewMember::parse(&name, "firm", &organisation, None, certificate, [1; 32]);
        let outcome = state.admit(None, &Nobody, new.unwrap(), None);
        assert!(outcome.is_accepted());
    }

    struct Everything;

    impl Authority for Everything {
        fn permits(&self, _: Action, _: Relation) -> bool {
            true
        }
    }

    /// So many accounts of a firm, each with units of one issue and money.
    fn holdings(state: &mut State, count: u64) {
        for (place, role) in ["admin", "issuer", "firm", "cash-agent"].iter().enumerate() {
            let name = role.replace('-', "");
            let new = NewMember::parse(
                &name,
                role,
                "Example",
                None,
                [200 + place as u8; 32],
                [1; 32],
            );
            assert!(state.admit(None, &Nobody, new.unwrap(), None).is_accepted());
        }
        let [admin, issuer, firm, bank] = ["admin", "issuer", "firm", "cashagent"]
            .map(|name| state.member_by_name(&name.parse().unwrap()).unwrap().0);
        let mut number = 0;
        let mut settle = |by, instruction| {
            number += 1;
            let reference = format!("R{number}").parse().unwrap();
            let order = Order {
                reference,
                instruction,
            };
            let outcome = state.apply(by, &Everything, &order, [7; 32]);
            assert_eq!(outcome, Outcome::SETTLED);
        };
        let isin: Isin = "US0378331005".parse().unwrap();
        let currency = CurrencyCode::new("USD").unwrap();
        settle(
            admin,
            Instruction::RegisterIssue {
                isin,
                issuer: "issuer".parse().unwrap(),
                name: LongName::new("Example").unwrap(),
                kind: IssueKind::Equity,
                decimals: 0,
                currency,
                treasury: "T".parse().unwrap(),
            },
        );
        let quantity = Decimal::parse("1000000").unwrap();
        settle(issuer, Instruction::IssueUnits { isin, quantity });
        for place in 1..=count {
            let account: AccountId = format!("A-{place}").parse().unwrap();
            let holder = HolderReference {
                attachment: [1; 32],
                commitment: [2; 32],
            };
            settle(firm, Instruction::OpenAccount { account, holder });
            let quantity = Decimal::new(place, 0).unwrap();
            settle(
                issuer,
                Instruction::Allocate {
                    isin,
                    account,
                    quantity,
                },
            );
            let amount = Decimal::new(place * 3, 2).unwrap();
            settle(
                bank,
                Instruction::MintCash {
                    currency,
                    account,
                    amount,
                },
            );
        }
    }

    #[test]
    fn leaves_that_are_made_together_are_those_that_are_defined() {
        let mut state = State::new();
        // Leaves of few blocks and of many, and a last one of three rows.
        for number in 0..1_603 {
            admitted(&mut state, number, 1 + number / 8 % 140);
        }
        let key = LeafKey::of(&Secret32::new([7; 32]));
        holdings(&mut state, 133);
        // The treasury has a position, too.
        assert_eq!(state.table_len(TableId::Positions), 134);
        assert_eq!(state.table_len(TableId::Cash), 133);
        let mut lengths = std::collections::BTreeSet::new();
        for table in TableId::ALL {
            let of_leaf = match table {
                TableId::Positions | TableId::Cash => 4,
                _ => 8,
            };
            let numbers: Vec<u32> = (0..state.table_len(table).div_ceil(of_leaf)).collect();
            let made = Leaves::of(table, &key).make(&state, &numbers).to_vec();
            let expected: Vec<(u64, Digest)> = numbers
                .iter()
                .map(|number| (u64::from(*number), defined(&state, table, *number, &key)))
                .collect();
            assert_eq!(made, expected);
            for number in numbers {
                let rows = of_leaf * number..of_leaf * number + of_leaf;
                let rows = rows.take_while(|row| *row < state.table_len(table));
                let bytes: usize = rows.map(|row| 4 + state.row_bytes(table, row).len()).sum();
                lengths.insert((bytes + 4).div_ceil(64));
            }
        }
        // A row of nothing but its fixed fields has more than a block.
        assert!(
            (12..=16).all(|blocks| lengths.contains(&blocks)),
            "{lengths:?}"
        );
        assert!(lengths.first().unwrap() < &4 && lengths.last().unwrap() > &16);
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
