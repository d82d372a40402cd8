//! The books as one string of bytes, for sealed snapshots.
//!
//! ```text
//! books = version u16 | clock | members | accounts | issues | positions | currencies | cash | trades | references
//!       | days | blocks | position changes | issued changes | mandates | accesses | refusals
//!                                                                       each table: count u32, then its rows
//! ```
//!
//! Only rows are written. Lookups follow from them and are made anew, so equal books give equal bytes, whatever way
//! they came about.
//!
//! Books can be frozen and then written a little at a time, while orders go on to change them: what is written are the
//! books as they were. That takes no copy of the books, and as little time at once as one wants.
//!
//! INVARIANT: books that were decoded keep every law of the books, and every index in a row has its row. Bytes for
//! which that does not hold are refused, never half taken.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::history::History;
use crate::invariants::Violation;
use crate::member::Member;
use crate::rows::{
    Access, Account, BlockStart, CashBalance, Change, Clock, Currency, Day, Issue, Mandate,
    Position, Refusal, Remembered, Trade,
};
use crate::state::{Lookups, State};
use crate::table::Table;
use crate::tables::TableId;

mod fits;

/// The version that begins encoded books.
pub const BOOKS_VERSION: u16 = 4;

/// Why bytes are no books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BooksError {
    /// They are not the encoding of any.
    #[error("the books do not decode")]
    Malformed,
    /// They are of a version that this software does not know.
    #[error("books of version {0} are not known")]
    Version(u16),
    /// A row names another row that is not there, or stands twice.
    #[error("the table of {0} does not fit the others")]
    Inconsistent(&'static str),
    /// A law of the books does not hold.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// How far frozen books are written.
#[derive(Clone)]
pub(crate) struct Frozen {
    clock: Clock,
    /// The place in [`TableId::ALL`] of the table that is being written.
    next: usize,
}

/// All rows, in the order of their tables.
#[derive(BorshDeserialize)]
struct Rows {
    clock: Clock,
    members: Vec<Member>,
    accounts: Vec<Account>,
    issues: Vec<Issue>,
    positions: Vec<Position>,
    currencies: Vec<Currency>,
    cash: Vec<CashBalance>,
    trades: Vec<Trade>,
    references: Vec<Remembered>,
    days: Vec<Day>,
    blocks: Vec<BlockStart>,
    position_changes: Vec<Change>,
    issued_changes: Vec<Change>,
    mandates: Vec<Mandate>,
    accesses: Vec<Access>,
    refusals: Vec<Refusal>,
}

impl State {
    /// Writes the encoded books to `into`.
    ///
    /// # Errors
    /// Those of `into`: the rows hold nothing that cannot be encoded.
    pub fn encode_into(&self, into: &mut impl io::Write) -> io::Result<()> {
        (BOOKS_VERSION, self.clock).serialize(into)?;
        self.members.rows().serialize(into)?;
        self.accounts.rows().serialize(into)?;
        self.issues.rows().serialize(into)?;
        self.positions.rows().serialize(into)?;
        self.currencies.rows().serialize(into)?;
        self.cash.rows().serialize(into)?;
        self.trades.rows().serialize(into)?;
        self.references.rows().serialize(into)?;
        self.days.rows().serialize(into)?;
        self.blocks.rows().serialize(into)?;
        self.position_history.changes.rows().serialize(into)?;
        self.issued_history.changes.rows().serialize(into)?;
        self.mandates.rows().serialize(into)?;
        self.accesses.rows().serialize(into)?;
        self.refusals.rows().serialize(into)
    }

    /// Freezes the books: [`State::write_frozen`] writes them as they are now.
    pub fn freeze(&mut self) {
        self.frozen = Some(Frozen {
            clock: self.clock,
            next: 0,
        });
        self.members.freeze();
        self.accounts.freeze();
        self.issues.freeze();
        self.positions.freeze();
        self.currencies.freeze();
        self.cash.freeze();
        self.trades.freeze();
        self.references.freeze();
        self.days.freeze();
        self.blocks.freeze();
        self.position_history.changes.freeze();
        self.issued_history.changes.freeze();
        self.mandates.freeze();
        self.accesses.freeze();
        self.refusals.freeze();
    }

    /// Forgets what is not written yet of frozen books.
    pub fn thaw(&mut self) {
        self.frozen = None;
        self.members.thaw();
        self.accounts.thaw();
        self.issues.thaw();
        self.positions.thaw();
        self.currencies.thaw();
        self.cash.thaw();
        self.trades.thaw();
        self.references.thaw();
        self.days.thaw();
        self.blocks.thaw();
        self.position_history.changes.thaw();
        self.issued_history.changes.thaw();
        self.mandates.thaw();
        self.accesses.thaw();
        self.refusals.thaw();
    }

    /// Appends what [`State::encode_into`] would have written when the books were frozen, until `into` is at least so
    /// long, or a row longer; says whether all of it is written. Books that are not frozen have nothing to write.
    pub fn write_frozen(&mut self, into: &mut Vec<u8>, length: usize) -> bool {
        while into.len() < length {
            let Some(frozen) = &self.frozen else {
                return true;
            };
            let Some(table) = TableId::ALL.get(frozen.next) else {
                self.frozen = None;
                return true;
            };
            if self.write_frozen_table(*table, into, length)
                && let Some(frozen) = &mut self.frozen
            {
                frozen.next = frozen.next.saturating_add(1);
            }
        }
        self.frozen.is_none()
    }

    fn write_frozen_table(&mut self, table: TableId, into: &mut Vec<u8>, length: usize) -> bool {
        match table {
            TableId::Clock => {
                let clock = self
                    .frozen
                    .as_ref()
                    .map_or(self.clock, |frozen| frozen.clock);
                // Writing to memory cannot fail.
                let _ = (BOOKS_VERSION, clock).serialize(into);
                true
            }
            TableId::Members => self.members.write_frozen(into, length),
            TableId::Accounts => self.accounts.write_frozen(into, length),
            TableId::Issues => self.issues.write_frozen(into, length),
            TableId::Positions => self.positions.write_frozen(into, length),
            TableId::Currencies => self.currencies.write_frozen(into, length),
            TableId::Cash => self.cash.write_frozen(into, length),
            TableId::Trades => self.trades.write_frozen(into, length),
            TableId::References => self.references.write_frozen(into, length),
            TableId::Days => self.days.write_frozen(into, length),
            TableId::Blocks => self.blocks.write_frozen(into, length),
            TableId::PositionChanges => self.position_history.changes.write_frozen(into, length),
            TableId::IssuedChanges => self.issued_history.changes.write_frozen(into, length),
            TableId::Mandates => self.mandates.write_frozen(into, length),
            TableId::Accesses => self.accesses.write_frozen(into, length),
            TableId::Refusals => self.refusals.write_frozen(into, length),
        }
    }

    /// Reads encoded books, which are all of `bytes`. Every row counts as touched.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BooksError> {
        let mut rest = bytes;
        let state = Self::read(&mut rest)?;
        if rest.is_empty() {
            Ok(state)
        } else {
            Err(BooksError::Malformed)
        }
    }

    /// Reads encoded books from the beginning of `bytes`, which are then what follows them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(bytes: &mut &[u8]) -> Result<Self, BooksError> {
        let version = u16::deserialize(bytes).map_err(|_| BooksError::Malformed)?;
        if version != BOOKS_VERSION {
            return Err(BooksError::Version(version));
        }
        let rows = Rows::deserialize(bytes).map_err(|_| BooksError::Malformed)?;
        let state = Self::from_rows(rows)?;
        state.check_invariants()?;
        Ok(state)
    }

    fn from_rows(rows: Rows) -> Result<Self, BooksError> {
        let lookups = Lookups::of(&rows)?;
        let history = |changes, subjects: usize, table| {
            History::from_changes(changes, subjects).ok_or(BooksError::Inconsistent(table))
        };
        if rows.blocks.len() as u64 != rows.clock.height {
            return Err(BooksError::Inconsistent("blocks"));
        }
        let (positions, issues) = (rows.positions.len(), rows.issues.len());
        Ok(Self {
            clock: rows.clock,
            clock_touched: true,
            members: Table::from_rows(rows.members),
            accounts: Table::from_rows(rows.accounts),
            issues: Table::from_rows(rows.issues),
            positions: Table::from_rows(rows.positions),
            currencies: Table::from_rows(rows.currencies),
            cash: Table::from_rows(rows.cash),
            trades: Table::from_rows(rows.trades),
            references: Table::from_rows(rows.references),
            days: Table::from_rows(rows.days),
            blocks: Table::from_rows(rows.blocks),
            position_history: history(rows.position_changes, positions, "position changes")?,
            issued_history: history(rows.issued_changes, issues, "issued changes")?,
            mandates: Table::from_rows(rows.mandates),
            accesses: Table::from_rows(rows.accesses),
            refusals: Table::from_rows(rows.refusals),
            lookups,
            frozen: None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::rows::{MandateIndex, MemberId};
    use crate::world::{
        APPLE, Permissions, World, confirm, dividend, grant, isin, locked_in, mint, open_day,
        revoke, split, trade,
    };
    use crate::{Code, Outcome, Reading, RecordTime, Role, Side, TableId, TradeStatus};

    /// Books in which every table has rows.
    fn story() -> World {
        let mut world = World::furnished();
        let order = trade(Side::Sell, "A-1", "beta", APPLE, "100", "41123.00");
        world.order("alpha", "D1", order);
        world.settle("beta", confirm("D1", "B-1"));
        let order = trade(Side::Sell, "A-1", "alpha", APPLE, "1", "1.00");
        world.order("alpha", "D2", order);
        world.settle("alpha", grant("admin"));
        world.settle("beta", grant("admin"));
        world.settle("admin", locked_in("A-1", "B-1", APPLE, "1", "1.00"));
        world.settle("alpha", revoke("admin"));
        world.settle("bank", mint("USD", "APPLE-T", "1000.00"));
        world.settle("admin", dividend(APPLE, "0.01", RecordTime::Now));
        world.settle("admin", split(APPLE, 3, 2));
        world.settle("admin", open_day("2012-12-31"));
        world.refuse("admin", open_day("2012-12-31"), Code::DateNotForward);
        world.read("regulator", Reading::Holdings);
        world.read("admin", Reading::Registry(isin(APPLE), RecordTime::Now));
        world
    }

    fn encoded(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn decoded_books_are_the_same_books() {
        let mut world = story();
        let bytes = encoded(&world.state);
        let mut again = State::decode(&bytes).unwrap();
        assert_eq!(encoded(&again), bytes);
        // Every row is touched, so that a tree over them is made anew.
        let mut all = Vec::new();
        for table in TableId::ALL {
            assert!(again.table_len(table) > 0, "{table:?}");
            for row in 0..again.table_len(table) {
                let ours = world.state.row_bytes(table, row);
                assert_eq!(again.row_bytes(table, row), ours);
                all.push((table, row));
            }
        }
        assert_eq!(again.drain_touched(), all);
        // Both go on alike, through lookups and histories.
        let mut theirs = World::furnished();
        theirs.state = again;
        for world in [&mut world, &mut theirs] {
            world.state.drain_touched();
            let next = world.state.height() + 1;
            world
                .state
                .begin_block(next, world.state.time_ms())
                .unwrap();
            let order = confirm("D2", "A-2");
            let content = crate::world::content(&order);
            let order = crate::Order {
                reference: crate::ClientReference::new("C2").unwrap(),
                instruction: order,
            };
            let alpha = world.id("alpha");
            let rules = Permissions(Role::Firm);
            let outcome = world.state.apply(alpha, &rules, &order, content);
            assert_eq!(outcome.code, Some(Code::InsufficientMoney));
        }
        assert_eq!(theirs.state.drain_touched(), world.state.drain_touched());
        assert_eq!(encoded(&theirs.state), encoded(&world.state));
    }

    #[test]
    fn frozen_books_are_written_as_they_were() {
        for step in [1, 7, 64, 300, 5_000, 1_000_000] {
            let mut world = story();
            let before = encoded(&world.state);
            world.state.freeze();
            let (mut written, mut round) = (Vec::new(), 0);
            while !world.state.write_frozen(&mut written, (round + 1) * step) {
                assert!(written.len() < (round + 1) * step + 300);
                // Every table changes meanwhile, as far as it ever does.
                if round < 40 {
                    world.next_block();
                    if round == 0 {
                        world.settle("alpha", grant("admin"));
                    }
                    world.settle("admin", locked_in("A-1", "B-1", APPLE, "1", "1.00"));
                    world.settle("bank", mint("USD", "APPLE-T", "1000.00"));
                    world.settle("admin", dividend(APPLE, "0.01", RecordTime::Now));
                }
                if round == 1 {
                    world.settle("bank", mint("USD", "A-2", "1000.00"));
                    world.settle("alpha", confirm("D2", "A-2"));
                    world.settle("admin", split(APPLE, 3, 2));
                    world.settle("admin", open_day("2013-01-02"));
                    world.settle("alpha", crate::world::open_account("A-9"));
                }
                round += 1;
            }
            assert_eq!(written, before, "{step} bytes at a time");
            assert!(round > 0 || step > before.len());
            // What is not frozen has nothing to write; what changed meanwhile is there the next time.
            assert!(world.state.write_frozen(&mut written, usize::MAX));
            assert_eq!(written, before);
            let after = encoded(&world.state);
            world.state.freeze();
            let mut again = Vec::new();
            assert!(world.state.write_frozen(&mut again, usize::MAX));
            assert_eq!(again, after);
            assert_eq!(after == before, round == 0);
            world.state.freeze();
            world.state.thaw();
            assert!(world.state.write_frozen(&mut again, usize::MAX));
            assert_eq!(again, after);
        }
    }

    #[test]
    fn damaged_books_are_refused_or_other_books_and_never_a_panic() {
        let bytes = encoded(&story().state);
        assert_eq!(State::decode(&[]).err(), Some(BooksError::Malformed));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(State::decode(&longer).err(), Some(BooksError::Malformed));
        let other = [&[9, 0], &bytes[2..]].concat();
        assert_eq!(State::decode(&other).err(), Some(BooksError::Version(9)));
        for index in 0..bytes.len() {
            assert!(State::decode(&bytes[..index]).is_err());
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[index] ^= bit;
                if let Ok(state) = State::decode(&damaged) {
                    assert_eq!(encoded(&state), damaged);
                }
            }
        }
    }

    fn refusal(change: impl FnOnce(&mut State)) -> Option<BooksError> {
        let mut state = story().state;
        change(&mut state);
        State::decode(&encoded(&state)).err()
    }

    #[test]
    fn mandates_that_do_not_fit_are_refused() {
        let index = MandateIndex(0);
        let wrong = Some(BooksError::Inconsistent("mandates"));
        assert_eq!(refusal(|_| {}), None);
        let nobody = MemberId(10);
        let firm = |state: &mut State| state.mandates.row_mut(index).firm = nobody;
        assert_eq!(refusal(firm), wrong);
        let venue = |state: &mut State| state.mandates.row_mut(index).venue = nobody;
        assert_eq!(refusal(venue), wrong);
        let future = |state: &mut State| {
            state.mandates.row_mut(index).since = state.sequence() + 1;
        };
        assert_eq!(refusal(future), wrong);
        let twice = |state: &mut State| {
            let first = *state.mandates.row(index);
            state.mandates.push(first);
        };
        assert_eq!(refusal(twice), wrong);
    }

    #[test]
    fn orders_that_did_what_cannot_be_are_refused() {
        use crate::rows::{
            AccountIndex, DayIndex, DividendPaid, DividendPart, Happened, IssueIndex, Remembered,
            TradeIndex, UnitsSplit,
        };
        let wrong = Some(BooksError::Inconsistent("references"));
        let changes: [fn(&mut Remembered); 11] = [
            |order| order.member = MemberId(10),
            |order| order.sequence += 1_000,
            |order| order.sequence = 0,
            |order| order.happened = Happened::Trade(TradeIndex(9)),
            |order| order.happened = Happened::Registered(IssueIndex(9)),
            |order| order.happened = Happened::Day(DayIndex(9)),
            |order| {
                order.happened = Happened::Split(Box::new(UnitsSplit {
                    issue: IssueIndex(0),
                    new: 2,
                    old: 1,
                    holders: vec![MemberId(0), MemberId(10)],
                }));
            },
            |order| {
                let part = |member| DividendPart {
                    member: MemberId(member),
                    accounts: 1,
                    received: 1,
                };
                order.happened = Happened::Dividend(Box::new(DividendPaid {
                    issue: IssueIndex(0),
                    per_unit: "1".parse().unwrap(),
                    currency: "USD".parse().unwrap(),
                    record: RecordTime::Now,
                    paid: 2,
                    parts: vec![part(1), part(1)],
                }));
            },
            |order| {
                order.happened = Happened::Mandate {
                    venue: MemberId(10),
                    in_force: true,
                }
            },
            |order| {
                let nowhere = crate::events::Done::units(IssueIndex(0), None, AccountIndex(99), 1);
                order.happened = nowhere.happened;
            },
            |order| {
                let nowhere = Some(AccountIndex(99));
                let money =
                    crate::events::Done::cash(crate::CurrencyIndex(0), nowhere, AccountIndex(0), 1);
                order.happened = money.happened;
            },
        ];
        for change in changes {
            let last = |state: &mut State| {
                let last = crate::rows::ReferenceIndex(state.references.len() - 1);
                change(state.references.row_mut(last));
            };
            assert_eq!(refusal(last), wrong);
        }
        let wrong = Some(BooksError::Inconsistent("refusals"));
        let changes: [fn(&mut Refusal); 2] = [
            |refusal| refusal.member = MemberId(10),
            |refusal| refusal.sequence += 1_000,
        ];
        for change in changes {
            let last =
                |state: &mut State| change(state.refusals.row_mut(crate::rows::RefusalIndex(0)));
            assert_eq!(refusal(last), wrong);
        }
    }

    #[test]
    fn locked_in_trades_that_do_not_fit_are_refused() {
        let locked_in = |state: &State| {
            let found = state.trades.iter().find(|(_, trade)| trade.venue.is_some());
            found.unwrap().0
        };
        let changes: [fn(&mut Trade); 6] = [
            |trade| trade.venue = Some(MemberId(10)),
            |trade| trade.side = Side::Buy,
            |trade| trade.counterparty_account = None,
            |trade| trade.status = TradeStatus::Open,
            |trade| trade.settled += 1,
            |trade| trade.recorded -= 1,
        ];
        for change in changes {
            let found = refusal(|state| {
                let index = locked_in(state);
                change(state.trades.row_mut(index));
            });
            assert_eq!(found, Some(BooksError::Inconsistent("trades")));
        }
    }

    #[test]
    fn decoded_books_know_their_mandates_and_what_cannot_be_confirmed() {
        let mut world = story();
        world.state = State::decode(&encoded(&world.state)).unwrap();
        let order = || locked_in("A-1", "B-1", APPLE, "1", "1.00");
        world.refuse("admin", order(), Code::NotFound);
        world.settle("alpha", grant("admin"));
        assert_eq!(world.state.mandates.len(), 2);
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        world.state = State::decode(&encoded(&world.state)).unwrap();
        world.refuse("beta", confirm("V1", "B-1"), Code::NotFound);
    }

    #[test]
    fn the_encoding_is_pinned() {
        let bytes = encoded(&story().state);
        let hash = blake3::hash(&bytes).to_hex();
        assert_eq!(hash.as_str(), PINNED);
    }

    const PINNED: &str = "bdb08354bcf5cb49036cc92a2b77876818b9fd6f2a1063924250a63e0292eb42";
}
