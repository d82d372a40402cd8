//! The books: all tables, the lookups over them, and the way an order takes through its checks.
//!
//! An order passes, in this order: membership, the role's permission for the verb, the values that
//! need no state, the remembered references, and then the checks of its own action (see `actions`).
//! The first that fails decides the outcome. An action changes nothing before all its checks have
//! passed.
//!
//! INVARIANT: per issue, the positions sum to the issued total; per currency, the balances sum to
//! the minted total; nothing blocked exceeds its balance; no total exceeds [`crate::UNITS_MAX`]. So
//! no sum of balances of one issue or currency can overflow.
//!
//! After a crash the books are rebuilt by applying the same blocks again: the same orders in the
//! same blocks give the same rows, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::actions;
use crate::authority::{Action, Authority, Relation};
use crate::currency::CurrencyCode;
use crate::date::BusinessDate;
use crate::encoding::Frozen;
use crate::events::Done;
use crate::history::History;
use crate::instruction::Order;
use crate::isin::Isin;
use crate::lookup::Lookup;
use crate::member::Member;
use crate::outcome::{Code, Outcome, Status};
use crate::rows::{
    Access, AccessIndex, Account, AccountIndex, BlockIndex, BlockStart, CashBalance, CashIndex,
    Clock, Currency, CurrencyIndex, Day, DayIndex, Issue, IssueIndex, Mandate, MandateIndex,
    MemberId, Position, PositionIndex, ReferenceIndex, Refusal, RefusalIndex, Remembered, Trade,
    TradeIndex,
};
use crate::table::Table;
use crate::text::{AccountId, ClientReference, MemberName};

/// The books of one network.
#[derive(Clone)]
pub struct State {
    pub(crate) clock: Clock,
    pub(crate) clock_touched: bool,
    pub(crate) members: Table<MemberId, Member>,
    pub(crate) accounts: Table<AccountIndex, Account>,
    pub(crate) issues: Table<IssueIndex, Issue>,
    pub(crate) positions: Table<PositionIndex, Position>,
    pub(crate) currencies: Table<CurrencyIndex, Currency>,
    pub(crate) cash: Table<CashIndex, CashBalance>,
    pub(crate) trades: Table<TradeIndex, Trade>,
    pub(crate) references: Table<ReferenceIndex, Remembered>,
    pub(crate) days: Table<DayIndex, Day>,
    pub(crate) blocks: Table<BlockIndex, BlockStart>,
    pub(crate) position_history: History,
    pub(crate) issued_history: History,
    pub(crate) mandates: Table<MandateIndex, Mandate>,
    pub(crate) accesses: Table<AccessIndex, Access>,
    pub(crate) refusals: Table<RefusalIndex, Refusal>,
    pub(crate) lookups: Lookups,
    /// What is still to be written of the books as they were when they were frozen.
    pub(crate) frozen: Option<Frozen>,
}

/// What follows from the rows and only speeds things up.
#[derive(Clone, Default)]
pub(crate) struct Lookups {
    pub(crate) members_by_name: BTreeMap<MemberName, MemberId>,
    pub(crate) members_by_certificate: BTreeMap<[u8; 32], MemberId>,
    pub(crate) accounts_by_id: Lookup<AccountIndex, Account>,
    pub(crate) issues_by_isin: BTreeMap<Isin, IssueIndex>,
    pub(crate) currencies_by_code: BTreeMap<CurrencyCode, CurrencyIndex>,
    pub(crate) references: Lookup<ReferenceIndex, Remembered>,
    pub(crate) trades_by_counterparty: BTreeSet<(MemberId, ClientReference, TradeIndex)>,
    /// By member: its accounts, the trades that it is a party to, the mandates it ever gave, and the orders that it is told of.
    pub(crate) by_member: Vec<MemberLists>,
    /// By account: what it holds.
    pub(crate) by_account: Vec<AccountLists>,
    /// By issue: its positions.
    pub(crate) by_issue: Vec<Vec<PositionIndex>>,
    /// Accepted orders that may concern everybody.
    pub(crate) orders_of_all: Vec<ReferenceIndex>,
    /// Readings on record, of registries by issue and of all else, in the order in which the owners are told.
    pub(crate) disclosures: BTreeMap<Option<IssueIndex>, BTreeSet<(u64, AccessIndex)>>,
}

#[derive(Clone, Default)]
pub(crate) struct MemberLists {
    pub(crate) accounts: Vec<AccountIndex>,
    pub(crate) trades: Vec<TradeIndex>,
    /// Sorted by venue; a firm trades at few venues.
    pub(crate) mandates: Vec<(MemberId, MandateIndex)>,
    /// Accepted orders that concern it, in their order.
    pub(crate) orders: Vec<ReferenceIndex>,
    /// Issues that the accounts it keeps ever had units of, sorted.
    pub(crate) issues: Vec<IssueIndex>,
    /// Its orders that were refused, in their order.
    pub(crate) refusals: Vec<RefusalIndex>,
}

/// Sorted by key; an account holds few different things, and a short sorted list is the fastest
/// map.
#[derive(Clone, Default)]
pub(crate) struct AccountLists {
    pub(crate) positions: Vec<(IssueIndex, PositionIndex)>,
    pub(crate) cash: Vec<(CurrencyIndex, CashIndex)>,
}

/// Who asks, and what policies let them do.
pub(crate) struct Caller<'a> {
    pub(crate) member: MemberId,
    pub(crate) authority: &'a dyn Authority,
    pub(crate) action: Action,
    pub(crate) reference: &'a ClientReference,
}

/// Why a block cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlockError {
    /// Its height does not follow the last one.
    #[error("block {found} cannot begin: block {expected} comes next")]
    NotConsecutive {
        /// The height that comes next.
        expected: u64,
        /// The height that was given.
        found: u64,
    },
    /// Its time lies before the last block's.
    #[error("block time {found} ms lies before the last block's time {last} ms")]
    TimeBackwards {
        /// The last block's time.
        last: u64,
        /// The time that was given.
        found: u64,
    },
    /// There are as many blocks as the table of blocks can hold.
    #[error("the table of blocks is full")]
    Full,
}

/// How close to 2^32 rows a table may come: an order adds at most a few rows to a table, and at
/// most one row an account (dividends and splits).
pub(crate) const SPARE_ROWS: u32 = 16;

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Empty books at height 0, before the first block.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Clock::default(),
            clock_touched: true,
            members: Table::new(),
            accounts: Table::new(),
            issues: Table::new(),
            positions: Table::new(),
            currencies: Table::new(),
            cash: Table::new(),
            trades: Table::new(),
            references: Table::new(),
            days: Table::new(),
            blocks: Table::new(),
            position_history: History::new(),
            issued_history: History::new(),
            mandates: Table::new(),
            accesses: Table::new(),
            refusals: Table::new(),
            lookups: Lookups::default(),
            frozen: None,
        }
    }

    /// Begins the next block. The first has height 1; time never goes back.
    ///
    /// # Errors
    /// [`BlockError`] if the height is not the next one or the time lies before the last block's;
    /// nothing changes then.
    pub fn begin_block(&mut self, height: u64, time_ms: u64) -> Result<(), BlockError> {
        let expected = self.clock.height.saturating_add(1);
        if height != expected {
            return Err(BlockError::NotConsecutive {
                expected,
                found: height,
            });
        }
        if time_ms < self.clock.time_ms {
            return Err(BlockError::TimeBackwards {
                last: self.clock.time_ms,
                found: time_ms,
            });
        }
        if self.blocks.len() == u32::MAX {
            return Err(BlockError::Full);
        }
        self.blocks.push(BlockStart {
            time_ms,
            sequence: self.clock.sequence,
        });
        let clock = self.clock_mut();
        clock.height = height;
        clock.time_ms = time_ms;
        Ok(())
    }

    /// Applies one order of `caller`. `content` is a digest of the instruction that the caller of
    /// this function computes: the same reference with another digest is a duplicate.
    ///
    /// Nothing changes unless the outcome is settled or pending, apart from the count of orders and the note of the refusal
    /// for the submitter.
    pub fn apply(
        &mut self,
        caller: MemberId,
        authority: &dyn Authority,
        order: &Order,
        content: [u8; 32],
    ) -> Outcome {
        self.count_order();
        let action = order.instruction.action();
        let caller = Caller {
            member: caller,
            authority,
            action,
            reference: &order.reference,
        };
        match self.attempt(&caller, order, content) {
            Ok(status) => Outcome::accepted(status),
            Err(code) => {
                self.note_refusal(caller.member, order.reference, action, code);
                Outcome::refused(code)
            }
        }
    }

    fn attempt(
        &mut self,
        caller: &Caller<'_>,
        order: &Order,
        content: [u8; 32],
    ) -> Result<Status, Code> {
        self.check_role(caller.member, caller.authority, caller.action)?;
        actions::check(&order.instruction)?;
        if let Some(status) = self.remembered(caller.member, &order.reference, content)? {
            return Ok(status);
        }
        self.check_room()?;
        let done = actions::apply(self, caller, &order.instruction)?;
        let status = done.status;
        let key = (caller.member, order.reference);
        self.remember(key, content, caller.action, done);
        Ok(status)
    }

    /// Membership, and the permission for the verb as such.
    pub(crate) fn check_role(
        &self,
        member: MemberId,
        authority: &dyn Authority,
        action: Action,
    ) -> Result<(), Code> {
        self.members.find(member).ok_or(Code::NotAMember)?;
        if authority.permits(action, Relation::Own) {
            Ok(())
        } else {
            Err(Code::NotPermitted)
        }
    }

    /// The status that an order of this reference and content got before, if there was one.
    pub(crate) fn remembered(
        &self,
        member: MemberId,
        reference: &ClientReference,
        content: [u8; 32],
    ) -> Result<Option<Status>, Code> {
        let key = (member, *reference);
        let Some(index) = self.lookups.references.find(&key, self.references.rows()) else {
            return Ok(None);
        };
        let remembered = self.references.row(index);
        if remembered.content == content {
            Ok(Some(remembered.status))
        } else {
            Err(Code::Duplicate)
        }
    }

    pub(crate) fn remember(
        &mut self,
        (member, reference): (MemberId, ClientReference),
        content: [u8; 32],
        action: Action,
        Done { status, happened }: Done,
    ) {
        let index = self.references.push(Remembered {
            member,
            reference,
            content,
            status,
            action,
            sequence: self.clock.sequence,
            happened,
        });
        self.lookups.references.insert(&(member, reference), index);
        self.list_newest(index);
    }

    /// Whether every table has room for whatever one order can add.
    pub(crate) fn check_room(&self) -> Result<(), Code> {
        let most = u32::MAX - SPARE_ROWS;
        let longest = [
            self.members.len(),
            self.issues.len(),
            self.positions.len(),
            self.trades.len(),
            self.references.len(),
            self.days.len(),
            self.position_history.changes.len(),
            self.issued_history.changes.len(),
            self.cash.len(),
            self.mandates.len(),
            self.accesses.len(),
        ]
        .into_iter()
        .max()
        .unwrap_or_default();
        match longest.checked_add(self.accounts.len()) {
            Some(rows) if rows < most => Ok(()),
            _ => Err(Code::Limit),
        }
    }

    pub(crate) fn count_order(&mut self) {
        let clock = self.clock_mut();
        clock.sequence = clock.sequence.saturating_add(1);
    }

    pub(crate) fn clock_mut(&mut self) -> &mut Clock {
        self.clock_touched = true;
        &mut self.clock
    }
}

/// Questions that the surroundings may ask freely; what of the answers reaches whom is theirs to
/// decide.
impl State {
    /// The height of the block that began last; 0 before the first.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.clock.height
    }

    /// The time of that block in milliseconds since 1970.
    #[must_use]
    pub const fn time_ms(&self) -> u64 {
        self.clock.time_ms
    }

    /// How many orders were applied, whatever came of them.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.clock.sequence
    }

    /// The current business date, once one was opened.
    #[must_use]
    pub const fn business_date(&self) -> Option<BusinessDate> {
        self.clock.business_date
    }

    /// A member.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.find(id)
    }

    /// All members, in the order of their admission.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter()
    }

    /// The member with this certificate.
    #[must_use]
    pub fn member_by_certificate(&self, fingerprint: &[u8; 32]) -> Option<(MemberId, &Member)> {
        let id = *self.lookups.members_by_certificate.get(fingerprint)?;
        Some((id, self.members.row(id)))
    }

    /// The member of this name.
    #[must_use]
    pub fn member_by_name(&self, name: &MemberName) -> Option<(MemberId, &Member)> {
        let id = *self.lookups.members_by_name.get(name)?;
        Some((id, self.members.row(id)))
    }

    /// An account.
    #[must_use]
    pub fn account(&self, index: AccountIndex) -> Option<&Account> {
        self.accounts.find(index)
    }

    /// All accounts, in the order of their opening.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountIndex, &Account)> {
        self.accounts.iter()
    }

    /// The account of this identifier.
    #[must_use]
    pub fn account_by_id(&self, id: &AccountId) -> Option<(AccountIndex, &Account)> {
        let index = self.account_index(id)?;
        Some((index, self.accounts.row(index)))
    }

    /// The issue of this number.
    #[must_use]
    pub fn issue_by_isin(&self, isin: &Isin) -> Option<(IssueIndex, &Issue)> {
        let index = *self.lookups.issues_by_isin.get(isin)?;
        Some((index, self.issues.row(index)))
    }

    /// All issues, in the order of their registration.
    pub fn issues(&self) -> impl Iterator<Item = (IssueIndex, &Issue)> {
        self.issues.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::world::{
        APPLE, Permissions, World, confirm, content, isin, open_account, refused, trade, transfer,
    };
    use crate::{Role, Side};

    #[test]
    fn blocks_follow_each_other_and_time_never_goes_back() {
        let mut state = State::new();
        let expected = |expected, found| Err(BlockError::NotConsecutive { expected, found });
        assert_eq!(state.begin_block(0, 0), expected(1, 0));
        assert_eq!(state.begin_block(2, 0), expected(1, 2));
        state.begin_block(1, 500).unwrap();
        assert_eq!(state.begin_block(1, 500), expected(2, 1));
        let backwards = BlockError::TimeBackwards {
            last: 500,
            found: 499,
        };
        assert_eq!(state.begin_block(2, 499), Err(backwards));
        state.begin_block(2, 500).unwrap();
        assert_eq!((state.height(), state.time_ms()), (2, 500));
    }

    #[test]
    fn the_same_reference_is_answered_the_same() {
        let mut world = World::furnished();
        let order = || transfer(APPLE, "A-1", "A-2", "10");
        assert_eq!(world.order("alpha", "T1", order()), Outcome::SETTLED);
        assert_eq!(world.order("alpha", "T1", order()), Outcome::SETTLED);
        assert_eq!(world.held("A-2", APPLE), "10");
        let other = transfer(APPLE, "A-1", "A-2", "11");
        assert_eq!(world.order("alpha", "T1", other), refused(Code::Duplicate));
        // References are each submitter's own.
        let other = open_account("B-2");
        assert_eq!(world.order("beta", "T1", other), Outcome::SETTLED);
    }

    #[test]
    fn a_recorded_trade_answers_pending_for_ever() {
        let mut world = World::furnished();
        let order = || trade(Side::Sell, "A-1", "beta", APPLE, "10", "1.00");
        assert_eq!(world.order("alpha", "D1", order()), Outcome::PENDING);
        assert_eq!(world.order("alpha", "D1", order()), Outcome::PENDING);
        world.settle("beta", confirm("D1", "B-1"));
        assert_eq!(world.order("alpha", "D1", order()), Outcome::PENDING);
        world.refuse("beta", confirm("D1", "B-1"), Code::AlreadySettled);
        let other = trade(Side::Buy, "A-1", "beta", APPLE, "10", "1.00");
        assert_eq!(world.order("alpha", "D1", other), refused(Code::Duplicate));
    }

    #[test]
    fn a_refused_reference_may_be_used_anew() {
        let mut world = World::furnished();
        let lacking = || transfer(APPLE, "A-2", "A-1", "10");
        assert_eq!(
            world.order("alpha", "T1", lacking()),
            refused(Code::LackOfSecurities)
        );
        let foreign = transfer(APPLE, "B-1", "A-1", "10");
        assert_eq!(world.order("alpha", "T1", foreign), refused(Code::NotFound));
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "10"));
        assert_eq!(world.order("alpha", "T1", lacking()), Outcome::SETTLED);
        assert_eq!(world.order("alpha", "T1", lacking()), Outcome::SETTLED);
        assert_eq!(world.held("A-1", APPLE), "1000");
    }

    #[test]
    fn role_and_form_come_before_the_remembered_reference() {
        let mut world = World::furnished();
        let order = transfer(APPLE, "A-1", "A-2", "10");
        assert_eq!(world.order("alpha", "T1", order), Outcome::SETTLED);
        let malformed = transfer(APPLE, "A-1", "A-2", "0");
        assert_eq!(
            world.order("alpha", "T1", malformed),
            refused(Code::Malformed)
        );
        let foreign = transfer(APPLE, "B-1", "A-2", "10");
        assert_eq!(
            world.order("alpha", "T1", foreign),
            refused(Code::Duplicate)
        );
        let forbidden = crate::world::open_day("2012-01-03");
        assert_eq!(
            world.order("alpha", "T1", forbidden),
            refused(Code::NotPermitted)
        );
    }

    #[test]
    fn whoever_is_no_member_is_told_so() {
        let mut world = World::furnished();
        let instruction = open_account("X-1");
        let reference = ClientReference::new("1").unwrap();
        let digest = content(&instruction);
        let order = Order {
            reference,
            instruction,
        };
        let rules = Permissions(Role::Firm);
        for id in [10, u32::MAX] {
            let outcome = world.state.apply(MemberId(id), &rules, &order, digest);
            assert_eq!(outcome, refused(Code::NotAMember));
        }
    }

    #[test]
    fn permission_for_others_opens_their_accounts() {
        struct All;
        impl Authority for All {
            fn permits(&self, _: Action, _: Relation) -> bool {
                true
            }
        }
        let mut world = World::furnished();
        let admin = world.id("admin");
        let mut give = |reference: &str, instruction| {
            let digest = content(&instruction);
            let reference = ClientReference::new(reference).unwrap();
            world.state.apply(
                admin,
                &All,
                &Order {
                    reference,
                    instruction,
                },
                digest,
            )
        };
        assert_eq!(
            give("1", transfer(APPLE, "A-1", "B-1", "1")),
            Outcome::SETTLED
        );
        assert_eq!(
            give("2", transfer(APPLE, "APPLE-T", "B-1", "1")),
            Outcome::SETTLED
        );
        assert_eq!(
            give("3", transfer(APPLE, "X-9", "B-1", "1")),
            refused(Code::NotFound)
        );
        assert_eq!(give("4", confirm("D1", "B-1")), refused(Code::NotFound));
    }

    #[test]
    fn a_treasury_is_no_source_for_its_issuer() {
        struct Own;
        impl Authority for Own {
            fn permits(&self, _: Action, relation: Relation) -> bool {
                relation == Relation::Own
            }
        }
        let mut world = World::furnished();
        let apple = world.id("apple");
        let instruction = transfer(APPLE, "APPLE-T", "A-1", "1");
        let digest = content(&instruction);
        let order = Order {
            reference: ClientReference::new("1").unwrap(),
            instruction,
        };
        let outcome = world.state.apply(apple, &Own, &order, digest);
        assert_eq!(outcome, refused(Code::NotFound));
    }

    #[test]
    fn every_change_is_touched_and_nothing_else() {
        let mut world = World::furnished();
        world.state.drain_touched();
        let before: Vec<_> = rows(&world.state);
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "10"));
        world.refuse(
            "alpha",
            transfer(APPLE, "A-1", "A-2", "5000"),
            Code::LackOfSecurities,
        );
        let after = rows(&world.state);
        let changed: Vec<_> = after
            .into_iter()
            .filter(|row| !before.contains(row))
            .map(|(table, row, _)| (table, row))
            .collect();
        assert_eq!(world.state.drain_touched(), changed);
        assert_eq!(world.state.drain_touched(), []);
        assert!(world.state.issue_by_isin(&isin(APPLE)).is_some());
    }

    fn rows(state: &State) -> Vec<(crate::TableId, u32, Vec<u8>)> {
        let mut rows = Vec::new();
        for table in state.tables() {
            for row in 0..state.table_len(*table) {
                rows.push((*table, row, state.row_bytes(*table, row)));
            }
            assert!(state.row_bytes(*table, state.table_len(*table)).is_empty());
        }
        rows
    }
}
