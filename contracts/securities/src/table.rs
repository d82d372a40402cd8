//! Dense tables: rows under consecutive indexes, with a note of which rows changed since the last
//! drain.
//!
//! A table can be frozen: its rows as they are at that moment are then written a few at a time, while
//! the table goes on to change. Of a row that changes before its turn, a copy is kept until then.
//!
//! INVARIANT: an index exists only because [`Table::push`] returned it, and rows are never removed;
//! an index therefore always has its row.

use core::marker::PhantomData;
use std::collections::BTreeMap;

use borsh::BorshSerialize;

/// A place in one table. Separate types keep the places of different tables apart.
pub(crate) trait RowIndex: Copy + Ord {
    fn new(place: u32) -> Self;
    fn place(self) -> u32;
}

/// Declares an index type.
macro_rules! row_index {
    ($(#[$meta:meta])* $visibility:vis $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            borsh::BorshSerialize, borsh::BorshDeserialize,
        )]
        $visibility struct $name(pub u32);

        impl $crate::table::RowIndex for $name {
            fn new(place: u32) -> Self {
                Self(place)
            }

            fn place(self) -> u32 {
                self.0
            }
        }
    };
}
pub(crate) use row_index;

/// The version that begins every encoded row.
pub const ROW_VERSION: u16 = 3;

#[derive(Clone)]
pub(crate) struct Table<I, R> {
    rows: Vec<R>,
    touched: Vec<u32>,
    frozen: Option<Box<Frozen<R>>>,
    index: PhantomData<I>,
}

/// What a frozen table has still to write.
#[derive(Clone)]
struct Frozen<R> {
    /// How many rows there were.
    len: u32,
    /// The next row to be written; nothing before the number of rows is.
    next: Option<u32>,
    /// Rows as they were, of those that have changed since and were not written yet.
    before: BTreeMap<u32, R>,
}

impl<I: RowIndex, R: BorshSerialize + Clone> Table<I, R> {
    pub(crate) const fn new() -> Self {
        Self {
            rows: Vec::new(),
            touched: Vec::new(),
            frozen: None,
            index: PhantomData,
        }
    }

    /// A table of these rows, all of them touched.
    pub(crate) fn from_rows(rows: Vec<R>) -> Self {
        Self {
            touched: (0u32..).take(rows.len()).collect(),
            rows,
            frozen: None,
            index: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        // `State::apply` refuses to go on long before a table has 2^32 rows.
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index always has its row, see the header"
    )]
    pub(crate) fn row(&self, index: I) -> &R {
        &self.rows[index.place() as usize]
    }

    /// The row, to be changed: it counts as touched.
    #[expect(
        clippy::indexing_slicing,
        reason = "an index always has its row, see the header"
    )]
    pub(crate) fn row_mut(&mut self, index: I) -> &mut R {
        if self.touched.last() != Some(&index.place()) {
            self.touched.push(index.place());
        }
        if self.frozen.is_some() {
            self.keep(index.place());
        }
        &mut self.rows[index.place() as usize]
    }

    /// Keeps a row of a frozen table as it is, if it has not been written and is not kept yet.
    #[cold]
    fn keep(&mut self, place: u32) {
        let row = self.rows.get(place as usize);
        if let (Some(frozen), Some(row)) = (&mut self.frozen, row)
            && (frozen.next.unwrap_or(0)..frozen.len).contains(&place)
        {
            frozen.before.entry(place).or_insert_with(|| row.clone());
        }
    }

    /// From now on [`Table::write_frozen`] writes the rows as they are now.
    pub(crate) fn freeze(&mut self) {
        self.frozen = Some(Box::new(Frozen {
            len: self.len(),
            next: None,
            before: BTreeMap::new(),
        }));
    }

    /// What is not written yet will not be.
    pub(crate) fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Appends the number of rows and the rows as they were, until `into` is at least so long; says whether all of
    /// them are written. A table that is not frozen has nothing to write.
    pub(crate) fn write_frozen(&mut self, into: &mut Vec<u8>, length: usize) -> bool {
        let Some(frozen) = &mut self.frozen else {
            return true;
        };
        // Writing to memory cannot fail, and the rows hold nothing that borsh refuses.
        if frozen.next.is_none() {
            let _ = frozen.len.serialize(into);
        }
        let mut next = frozen.next.unwrap_or(0);
        while next < frozen.len && into.len() < length {
            let kept = if frozen.before.is_empty() {
                None
            } else {
                frozen.before.remove(&next)
            };
            let row = kept.as_ref().or_else(|| self.rows.get(next as usize));
            let _ = row.map(|row| row.serialize(into));
            next = next.saturating_add(1);
        }
        frozen.next = Some(next);
        if next < frozen.len {
            return false;
        }
        self.frozen = None;
        true
    }

    pub(crate) fn push(&mut self, row: R) -> I {
        let place = self.len();
        self.rows.push(row);
        self.touched.push(place);
        I::new(place)
    }

    pub(crate) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// The row under an index that came from outside.
    pub(crate) fn find(&self, index: I) -> Option<&R> {
        self.rows.get(index.place() as usize)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &R)> {
        (0..self.len()).map(I::new).zip(&self.rows)
    }

    /// Moves the places of touched rows out, sorted, each once.
    pub(crate) fn drain_touched<T>(&mut self, table: T, into: &mut Vec<(T, u32)>)
    where
        T: Copy,
    {
        self.touched.sort_unstable();
        self.touched.dedup();
        into.extend(self.touched.drain(..).map(|place| (table, place)));
    }

    /// Looks at something in each of these rows.
    pub(crate) fn read_ahead(
        &self,
        places: impl Iterator<Item = u32>,
        something: impl Fn(&R) -> u32,
    ) -> u32 {
        places
            .filter_map(|place| self.rows.get(place as usize))
            .fold(0, |all, row| all ^ something(row))
    }

    /// Appends the encoded row, if there is one under `place`.
    pub(crate) fn write_row(&self, place: u32, into: &mut Vec<u8>) {
        if let Some(row) = self.rows.get(place as usize) {
            // Writing to memory cannot fail, and the rows hold nothing that borsh refuses.
            let _ = (ROW_VERSION, row).serialize(into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    row_index!(Place);

    #[test]
    fn touched_rows_are_drained_sorted_and_once() {
        let mut table: Table<Place, u64> = Table::new();
        let first = table.push(10);
        let second = table.push(20);
        *table.row_mut(first) += 1;
        *table.row_mut(second) += 1;
        *table.row_mut(first) += 1;
        let mut touched = Vec::new();
        table.drain_touched('t', &mut touched);
        assert_eq!(touched, [('t', 0), ('t', 1)]);
        assert_eq!((*table.row(first), *table.row(second)), (12, 21));
        touched.clear();
        table.drain_touched('t', &mut touched);
        assert!(touched.is_empty());
    }

    #[test]
    fn a_frozen_table_is_written_as_it_was() {
        // However few rows are written at a time, and however late a row changes.
        for step in 1..40 {
            let mut table: Table<Place, u64> = Table::new();
            let places: Vec<Place> = (0..9).map(|number| table.push(number)).collect();
            let mut expected = Vec::new();
            let _ = table.rows().serialize(&mut expected);
            table.freeze();
            let (mut written, mut turn) = (Vec::new(), 0);
            loop {
                for place in places.iter().skip(turn % 3).step_by(2) {
                    *table.row_mut(*place) += 100;
                }
                table.push(1_000);
                let length = written.len() + step;
                if table.write_frozen(&mut written, length) {
                    break;
                }
                assert!(written.len() >= length && written.len() < length + 8);
                turn += 1;
            }
            assert_eq!(written, expected, "{step} bytes at a time");
            assert!(table.write_frozen(&mut written, usize::MAX));
            assert_eq!(written, expected);
        }
        let mut empty: Table<Place, u64> = Table::new();
        empty.freeze();
        let mut written = Vec::new();
        assert!(empty.write_frozen(&mut written, 0));
        assert_eq!(written, [0; 4]);
        let place = empty.push(7);
        empty.freeze();
        *empty.row_mut(place) = 8;
        empty.thaw();
        assert!(empty.write_frozen(&mut written, usize::MAX));
        assert_eq!(written, [0; 4]);
    }

    #[test]
    fn rows_are_encoded_with_their_version() {
        let mut table: Table<Place, u16> = Table::new();
        table.push(7);
        let mut bytes = Vec::new();
        table.write_row(0, &mut bytes);
        assert_eq!(bytes, [3, 0, 7, 0]);
        table.write_row(1, &mut bytes);
        assert_eq!(bytes.len(), 4);
    }
}
