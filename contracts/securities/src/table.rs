//! Dense tables: rows under consecutive indexes, with a note of which rows changed since the last
//! drain.
//!
//! INVARIANT: an index exists only because [`Table::push`] returned it, and rows are never removed;
//! an index therefore always has its row.

use core::marker::PhantomData;

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
pub const ROW_VERSION: u16 = 2;

#[derive(Clone)]
pub(crate) struct Table<I, R> {
    rows: Vec<R>,
    touched: Vec<u32>,
    index: PhantomData<I>,
}

impl<I: RowIndex, R: BorshSerialize> Table<I, R> {
    pub(crate) const fn new() -> Self {
        Self {
            rows: Vec::new(),
            touched: Vec::new(),
            index: PhantomData,
        }
    }

    /// A table of these rows, all of them touched.
    pub(crate) fn from_rows(rows: Vec<R>) -> Self {
        Self {
            touched: (0u32..).take(rows.len()).collect(),
            rows,
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
        &mut self.rows[index.place() as usize]
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &R)> {
        (0u32..).map(I::new).zip(&self.rows)
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
    fn rows_are_encoded_with_their_version() {
        let mut table: Table<Place, u16> = Table::new();
        table.push(7);
        let mut bytes = Vec::new();
        table.write_row(0, &mut bytes);
        assert_eq!(bytes, [2, 0, 7, 0]);
        table.write_row(1, &mut bytes);
        assert_eq!(bytes.len(), 4);
    }
}
