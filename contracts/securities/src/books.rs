//! Finding, checking and moving what accounts hold. Actions are made of these.

use crate::amount::UNITS_MAX;
use crate::authority::Relation;
use crate::currency::CurrencyCode;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::rows::{
    Account, AccountIndex, CashBalance, CurrencyIndex, Issue, IssueIndex, Mandate, MandateIndex,
    MemberId, Position, PositionIndex, Trade, TradeIndex,
};
use crate::state::{AccountLists, Caller, MemberLists, State};
use crate::table::RowIndex;
use crate::text::AccountId;

/// The value under `key` in a list that is sorted by key.
pub(crate) fn find<K: Ord + Copy, V: Copy>(list: &[(K, V)], key: K) -> Option<V> {
    let place = list.binary_search_by_key(&key, |(key, _)| *key).ok()?;
    list.get(place).map(|(_, value)| *value)
}

/// Puts a key that is not there yet at its place.
fn insert<K: Ord + Copy, V>(list: &mut Vec<(K, V)>, key: K, value: V) {
    let place = list.partition_point(|(present, _)| *present < key);
    list.insert(place, (key, value));
}

/// Whether `units` can leave a balance; `lacking` says what it means when they cannot.
fn check_available(balance: u64, blocked: u64, units: u128, lacking: Code) -> Result<u64, Code> {
    let units = u64::try_from(units)
        .ok()
        .filter(|units| *units <= balance)
        .ok_or(lacking)?;
    if units <= balance.saturating_sub(blocked) {
        Ok(units)
    } else {
        Err(Code::Blocked)
    }
}

/// Whether `units` can be added to a total.
pub(crate) fn check_limit(total: u64, units: u128) -> Result<u64, Code> {
    let units = u64::try_from(units).map_err(|_| Code::Limit)?;
    match total.checked_add(units) {
        Some(sum) if sum <= UNITS_MAX => Ok(units),
        _ => Err(Code::Limit),
    }
}

/// Who owns what.
impl State {
    /// The account that an order takes something from. "Not there" and "not yours" are the same
    /// answer.
    ///
    /// A treasury is nobody's own: its issuer may not use it.
    pub(crate) fn source_account(
        &self,
        caller: &Caller<'_>,
        id: &AccountId,
    ) -> Result<AccountIndex, Code> {
        let index = self.account_index(id).ok_or(Code::NotFound)?;
        let account = self.accounts.row(index);
        let own = account.owner == caller.member && !account.is_treasury();
        if own || caller.authority.permits(caller.action, Relation::Other) {
            Ok(index)
        } else {
            Err(Code::NotFound)
        }
    }

    /// The issue that an order acts on as its operator. Who may act on all issues learns that there is
    /// none; to anybody else "not there" and "not yours" are the same answer.
    pub(crate) fn source_issue(
        &self,
        caller: &Caller<'_>,
        isin: &Isin,
    ) -> Result<IssueIndex, Code> {
        let all = caller.authority.permits(caller.action, Relation::Other);
        match self.lookups.issues_by_isin.get(isin) {
            Some(index) if all || self.issues.row(*index).issuer == caller.member => Ok(*index),
            None if all => Err(Code::UnknownIssue),
            _ => Err(Code::NotFound),
        }
    }

    /// The account that receives.
    pub(crate) fn receiving_account(&self, id: &AccountId) -> Result<AccountIndex, Code> {
        self.account_index(id).ok_or(Code::UnknownAccount)
    }

    pub(crate) fn account_index(&self, id: &AccountId) -> Option<AccountIndex> {
        self.lookups.accounts_by_id.find(id, self.accounts.rows())
    }

    /// An issue that an order merely names.
    pub(crate) fn known_issue(&self, isin: &Isin) -> Result<(IssueIndex, &Issue), Code> {
        let index = *self
            .lookups
            .issues_by_isin
            .get(isin)
            .ok_or(Code::UnknownIssue)?;
        Ok((index, self.issues.row(index)))
    }

    /// Adds an account; its identifier must be free.
    pub(crate) fn add_account(&mut self, account: Account) -> AccountIndex {
        let index = self.accounts.push(account);
        self.lookups.accounts_by_id.insert(&account.id, index);
        self.lookups.by_account.push(AccountLists::default());
        self.lists_of(account.owner).accounts.push(index);
        index
    }

    pub(crate) fn lists_of(&mut self, member: MemberId) -> &mut MemberLists {
        self.lookups.lists_of(member)
    }

    /// Adds a trade and lists it for both parties, once if they are the same.
    pub(crate) fn add_trade(&mut self, trade: Trade) -> TradeIndex {
        let index = self.trades.push(trade);
        self.lists_of(trade.recorder).trades.push(index);
        if trade.counterparty != trade.recorder {
            self.lists_of(trade.counterparty).trades.push(index);
        }
        index
    }

    /// All positions and cash balances that an account ever had.
    #[expect(
        clippy::indexing_slicing,
        reason = "`add_account` makes one entry an account"
    )]
    pub(crate) fn holdings_of(&self, account: AccountIndex) -> &AccountLists {
        &self.lookups.by_account[account.place() as usize]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`add_account` makes one entry an account"
    )]
    fn holdings_of_mut(&mut self, account: AccountIndex) -> &mut AccountLists {
        &mut self.lookups.by_account[account.place() as usize]
    }

    /// All positions that an issue ever had, in the order of their first units.
    pub(crate) fn positions_of(&self, issue: IssueIndex) -> &[PositionIndex] {
        self.lookups
            .by_issue
            .get(issue.place() as usize)
            .map_or(&[], Vec::as_slice)
    }
}

/// Who lets whom submit locked-in trades.
impl State {
    /// An account that the caller may deliver and pay from because the firm that keeps it gave it a
    /// mandate; with the firm. "Not there" and "no mandate" are the same answer.
    ///
    /// A treasury is under nobody's mandate.
    pub(crate) fn mandated_account(
        &self,
        caller: &Caller<'_>,
        id: &AccountId,
    ) -> Result<(AccountIndex, MemberId), Code> {
        let index = self.account_index(id).ok_or(Code::NotFound)?;
        let account = self.accounts.row(index);
        let mandated = self
            .mandate(account.owner, caller.member)
            .is_some_and(|mandate| self.mandates.row(mandate).in_force);
        if mandated && !account.is_treasury() {
            Ok((index, account.owner))
        } else {
            Err(Code::NotFound)
        }
    }

    /// What a firm granted or revoked a venue last.
    fn mandate(&self, firm: MemberId, venue: MemberId) -> Option<MandateIndex> {
        let lists = self.lookups.by_member.get(firm.place() as usize)?;
        find(&lists.mandates, venue)
    }

    /// Lets a venue have a firm's mandate or not, from the current order on. What is so already
    /// stays as it is.
    pub(crate) fn set_mandate(&mut self, firm: MemberId, venue: MemberId, in_force: bool) {
        let since = self.clock.sequence;
        match self.mandate(firm, venue) {
            Some(index) if self.mandates.row(index).in_force != in_force => {
                let mandate = self.mandates.row_mut(index);
                mandate.in_force = in_force;
                mandate.since = since;
            }
            None if in_force => {
                let index = self.mandates.push(Mandate {
                    firm,
                    venue,
                    in_force,
                    since,
                });
                insert(&mut self.lists_of(firm).mandates, venue, index);
            }
            _ => {}
        }
    }
}

/// Units of issues.
impl State {
    pub(crate) fn position(
        &self,
        account: AccountIndex,
        issue: IssueIndex,
    ) -> Option<PositionIndex> {
        find(&self.holdings_of(account).positions, issue)
    }

    /// Whether `account` can deliver `units`; their number, if so.
    pub(crate) fn check_units(
        &self,
        account: AccountIndex,
        issue: IssueIndex,
        units: u128,
    ) -> Result<u64, Code> {
        let (quantity, blocked) = self
            .position(account, issue)
            .map(|index| self.positions.row(index))
            .map_or((0, 0), |position| (position.quantity, position.blocked));
        check_available(quantity, blocked, units, Code::LackOfSecurities)
    }

    /// Moves units that [`State::check_units`] found.
    pub(crate) fn move_units(
        &mut self,
        issue: IssueIndex,
        from: AccountIndex,
        to: AccountIndex,
        units: u64,
    ) {
        if from == to {
            return;
        }
        self.change_units(from, issue, |quantity| quantity - units);
        self.add_units(issue, to, units);
    }

    /// Adds units. The issue's total bounds every sum, so that this cannot overflow.
    pub(crate) fn add_units(&mut self, issue: IssueIndex, to: AccountIndex, units: u64) {
        self.change_units(to, issue, |quantity| quantity + units);
    }

    fn change_units(
        &mut self,
        account: AccountIndex,
        issue: IssueIndex,
        change: impl FnOnce(u64) -> u64,
    ) {
        let index = self.position(account, issue).unwrap_or_else(|| {
            let index = self.positions.push(Position {
                account,
                issue,
                quantity: 0,
                blocked: 0,
            });
            insert(&mut self.holdings_of_mut(account).positions, issue, index);
            let keeper = self.accounts.row(account).owner;
            self.lookups.list_issue(keeper, issue);
            if let Some(list) = self.lookups.by_issue.get_mut(issue.place() as usize) {
                list.push(index);
            }
            index
        });
        let blocked = self.positions.row(index).blocked;
        self.set_units(index, change(self.positions.row(index).quantity), blocked);
    }

    /// Sets a position and notes it in its history.
    pub(crate) fn set_units(&mut self, index: PositionIndex, quantity: u64, blocked: u64) {
        let position = self.positions.row_mut(index);
        position.quantity = quantity;
        position.blocked = blocked;
        self.position_history
            .record(index, self.clock.sequence, quantity);
    }

    /// Sets an issue's total and notes it in its history.
    pub(crate) fn set_issued(&mut self, issue: IssueIndex, issued: u64) {
        self.issues.row_mut(issue).issued = issued;
        self.issued_history
            .record(issue, self.clock.sequence, issued);
    }
}

/// Money.
impl State {
    pub(crate) fn currency(&self, code: CurrencyCode) -> Option<CurrencyIndex> {
        self.lookups.currencies_by_code.get(&code).copied()
    }

    /// Whether `account` can pay `units`; the balance's currency and their number, if so.
    ///
    /// A currency that was never minted is one that nobody has enough of.
    pub(crate) fn check_cash(
        &self,
        account: AccountIndex,
        currency: CurrencyCode,
        units: u128,
    ) -> Result<(CurrencyIndex, u64), Code> {
        let currency = self.currency(currency).ok_or(Code::InsufficientMoney)?;
        let (amount, blocked) = find(&self.holdings_of(account).cash, currency)
            .map(|index| self.cash.row(index))
            .map_or((0, 0), |balance| (balance.amount, balance.blocked));
        let units = check_available(amount, blocked, units, Code::InsufficientMoney)?;
        Ok((currency, units))
    }

    /// Moves money that [`State::check_cash`] found.
    pub(crate) fn move_cash(
        &mut self,
        currency: CurrencyIndex,
        from: AccountIndex,
        to: AccountIndex,
        units: u64,
    ) {
        if from == to {
            return;
        }
        self.change_cash(from, currency, |amount| amount - units);
        self.add_cash(currency, to, units);
    }

    /// Adds money. The minted total bounds every sum, so that this cannot overflow.
    pub(crate) fn add_cash(&mut self, currency: CurrencyIndex, to: AccountIndex, units: u64) {
        self.change_cash(to, currency, |amount| amount + units);
    }

    fn change_cash(
        &mut self,
        account: AccountIndex,
        currency: CurrencyIndex,
        change: impl FnOnce(u64) -> u64,
    ) {
        let index = find(&self.holdings_of(account).cash, currency).unwrap_or_else(|| {
            let index = self.cash.push(CashBalance {
                account,
                currency,
                amount: 0,
                blocked: 0,
            });
            insert(&mut self.holdings_of_mut(account).cash, currency, index);
            index
        });
        let balance = self.cash.row_mut(index);
        balance.amount = change(balance.amount);
    }
}
