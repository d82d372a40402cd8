//! The tables of the books as the state commitment sees them: numbered rows of bytes.
//!
//! Everything that a later result depends on is a row here. After each block the caller drains the
//! list of touched rows, hashes their bytes (this crate does not hash) and updates its trees.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::state::State;
use crate::table::ROW_VERSION;

/// The tables. The encoding is the place in this list; new tables go to its end.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum TableId {
    /// One row: height, time, order count, business date.
    Clock,
    /// Members.
    Members,
    /// Accounts.
    Accounts,
    /// Issues with their issued totals.
    Issues,
    /// What each account holds of each issue.
    Positions,
    /// Currencies with their agents and minted totals.
    Currencies,
    /// What each account holds of each currency.
    Cash,
    /// Trades.
    Trades,
    /// Accepted orders: submitter, reference, content digest, status, what they did.
    References,
    /// Business dates with the orders that opened them.
    Days,
    /// Block times with the number of orders before each block.
    Blocks,
    /// Every change of a position.
    PositionChanges,
    /// Every change of an issue's total.
    IssuedChanges,
    /// Which venue may submit locked-in trades on whose accounts.
    Mandates,
    /// Readings of what is others'.
    Accesses,
    /// Refused orders: submitter, reference, action, code.
    Refusals,
}

impl TableId {
    /// All tables.
    pub const ALL: [Self; 16] = [
        Self::Clock,
        Self::Members,
        Self::Accounts,
        Self::Issues,
        Self::Positions,
        Self::Currencies,
        Self::Cash,
        Self::Trades,
        Self::References,
        Self::Days,
        Self::Blocks,
        Self::PositionChanges,
        Self::IssuedChanges,
        Self::Mandates,
        Self::Accesses,
        Self::Refusals,
    ];
}

impl State {
    /// All tables, in the order of their encoding.
    #[must_use]
    pub const fn tables(&self) -> &'static [TableId] {
        &TableId::ALL
    }

    /// How many rows a table has. Tables only grow.
    #[must_use]
    pub fn table_len(&self, table: TableId) -> u32 {
        match table {
            TableId::Clock => 1,
            TableId::Members => self.members.len(),
            TableId::Accounts => self.accounts.len(),
            TableId::Issues => self.issues.len(),
            TableId::Positions => self.positions.len(),
            TableId::Currencies => self.currencies.len(),
            TableId::Cash => self.cash.len(),
            TableId::Trades => self.trades.len(),
            TableId::References => self.references.len(),
            TableId::Days => self.days.len(),
            TableId::Blocks => self.blocks.len(),
            TableId::PositionChanges => self.position_history.changes.len(),
            TableId::IssuedChanges => self.issued_history.changes.len(),
            TableId::Mandates => self.mandates.len(),
            TableId::Accesses => self.accesses.len(),
            TableId::Refusals => self.refusals.len(),
        }
    }

    /// The rows that changed or appeared since the last call: sorted, each once.
    ///
    /// Call it after every block: the list grows until it is drained.
    pub fn drain_touched(&mut self) -> Vec<(TableId, u32)> {
        let mut touched = Vec::new();
        if core::mem::take(&mut self.clock_touched) {
            touched.push((TableId::Clock, 0));
        }
        self.members.drain_touched(TableId::Members, &mut touched);
        self.accounts.drain_touched(TableId::Accounts, &mut touched);
        self.issues.drain_touched(TableId::Issues, &mut touched);
        self.positions
            .drain_touched(TableId::Positions, &mut touched);
        self.currencies
            .drain_touched(TableId::Currencies, &mut touched);
        self.cash.drain_touched(TableId::Cash, &mut touched);
        self.trades.drain_touched(TableId::Trades, &mut touched);
        self.references
            .drain_touched(TableId::References, &mut touched);
        self.days.drain_touched(TableId::Days, &mut touched);
        self.blocks.drain_touched(TableId::Blocks, &mut touched);
        self.position_history
            .changes
            .drain_touched(TableId::PositionChanges, &mut touched);
        self.issued_history
            .changes
            .drain_touched(TableId::IssuedChanges, &mut touched);
        self.mandates.drain_touched(TableId::Mandates, &mut touched);
        self.accesses.drain_touched(TableId::Accesses, &mut touched);
        self.refusals.drain_touched(TableId::Refusals, &mut touched);
        touched
    }

    /// The canonical bytes of a row: its version, then its fields. Empty if there is no such row.
    #[must_use]
    pub fn row_bytes(&self, table: TableId, row: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        self.write_row_bytes(table, row, &mut bytes);
        bytes
    }

    /// Appends the canonical bytes of a row to `into`; nothing if there is no such row.
    pub fn write_row_bytes(&self, table: TableId, row: u32, into: &mut Vec<u8>) {
        match table {
            // Writing to memory cannot fail.
            TableId::Clock if row == 0 => drop((ROW_VERSION, self.clock).serialize(into)),
            TableId::Clock => {}
            TableId::Members => self.members.write_row(row, into),
            TableId::Accounts => self.accounts.write_row(row, into),
            TableId::Issues => self.issues.write_row(row, into),
            TableId::Positions => self.positions.write_row(row, into),
            TableId::Currencies => self.currencies.write_row(row, into),
            TableId::Cash => self.cash.write_row(row, into),
            TableId::Trades => self.trades.write_row(row, into),
            TableId::References => self.references.write_row(row, into),
            TableId::Days => self.days.write_row(row, into),
            TableId::Blocks => self.blocks.write_row(row, into),
            TableId::PositionChanges => self.position_history.changes.write_row(row, into),
            TableId::IssuedChanges => self.issued_history.changes.write_row(row, into),
            TableId::Mandates => self.mandates.write_row(row, into),
            TableId::Accesses => self.accesses.write_row(row, into),
            TableId::Refusals => self.refusals.write_row(row, into),
        }
    }
}
