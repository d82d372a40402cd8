//! Whether decoded rows fit each other: every index has its row, nothing stands twice. The lookups are made on the way.

use super::{BooksError, Rows};
use crate::events::Owners;
use crate::instruction::Side;
use crate::rows::{Access, Happened, MemberId, Read, Refusal, Remembered, Trade, TradeStatus};
use crate::state::{AccountLists, Lookups};
use crate::table::RowIndex;

/// The rows of a table under their indexes.
fn indexed<I: RowIndex, R>(rows: &[R]) -> impl Iterator<Item = (I, &R)> {
    (0u32..).map(I::new).zip(rows)
}

/// Whether an index has its row.
fn within<I: RowIndex, R>(index: I, rows: &[R]) -> bool {
    (index.place() as usize) < rows.len()
}

impl Lookups {
    /// The lookups over these rows, if every index in a row has its row and nothing stands twice.
    pub(super) fn of(rows: &Rows) -> Result<Self, BooksError> {
        let mut lookups = Self::default();
        let fits = lookups.add_members(rows);
        let check = |fits: bool, table| {
            if fits {
                Ok(())
            } else {
                Err(BooksError::Inconsistent(table))
            }
        };
        check(fits, "members")?;
        check(lookups.add_accounts(rows), "accounts")?;
        check(lookups.add_issues(rows), "issues")?;
        check(lookups.add_positions(rows), "positions")?;
        check(lookups.add_currencies(rows), "currencies")?;
        check(lookups.add_cash(rows), "cash")?;
        check(lookups.add_trades(rows), "trades")?;
        check(lookups.add_references(rows), "references")?;
        check(lookups.add_mandates(rows), "mandates")?;
        check(accesses_fit(rows), "accesses")?;
        lookups.add_accesses(rows);
        check(lookups.add_refusals(rows), "refusals")?;
        Ok(lookups)
    }

    fn add_members(&mut self, rows: &Rows) -> bool {
        self.by_member
            .resize_with(rows.members.len(), Default::default);
        indexed(&rows.members).all(|(id, member)| {
            self.members_by_name.insert(member.name, id).is_none()
                && self
                    .members_by_certificate
                    .insert(member.certificate, id)
                    .is_none()
        })
    }

    fn add_accounts(&mut self, rows: &Rows) -> bool {
        self.by_account
            .resize_with(rows.accounts.len(), AccountLists::default);
        for (index, account) in indexed(&rows.accounts) {
            let Some(lists) = self.by_member.get_mut(account.owner.place() as usize) else {
                return false;
            };
            lists.accounts.push(index);
        }
        self.accounts_by_id.fill(&rows.accounts)
    }

    fn add_issues(&mut self, rows: &Rows) -> bool {
        self.by_issue.resize_with(rows.issues.len(), Vec::new);
        indexed(&rows.issues).all(|(index, issue)| {
            within(issue.issuer, &rows.members)
                && within(issue.treasury, &rows.accounts)
                && self.issues_by_isin.insert(issue.isin, index).is_none()
        })
    }

    fn add_positions(&mut self, rows: &Rows) -> bool {
        for (index, position) in indexed(&rows.positions) {
            let lists = self.by_account.get_mut(position.account.place() as usize);
            let of_issue = self.by_issue.get_mut(position.issue.place() as usize);
            let (Some(lists), Some(of_issue)) = (lists, of_issue) else {
                return false;
            };
            lists.positions.push((position.issue, index));
            of_issue.push(index);
            if let Some(account) = rows.accounts.get(position.account.place() as usize) {
                self.list_issue(account.owner, position.issue);
            }
        }
        self.by_account
            .iter_mut()
            .all(|lists| sort_distinct(&mut lists.positions))
    }

    fn add_currencies(&mut self, rows: &Rows) -> bool {
        indexed(&rows.currencies).all(|(index, currency)| {
            within(currency.agent, &rows.members)
                && self
                    .currencies_by_code
                    .insert(currency.code, index)
                    .is_none()
        })
    }

    fn add_cash(&mut self, rows: &Rows) -> bool {
        for (index, balance) in indexed(&rows.cash) {
            let lists = self.by_account.get_mut(balance.account.place() as usize);
            match lists {
                Some(lists) if within(balance.currency, &rows.currencies) => {
                    lists.cash.push((balance.currency, index));
                }
                _ => return false,
            }
        }
        self.by_account
            .iter_mut()
            .all(|lists| sort_distinct(&mut lists.cash))
    }

    fn add_trades(&mut self, rows: &Rows) -> bool {
        for (index, trade) in indexed(&rows.trades) {
            let confirmed = trade
                .counterparty_account
                .is_none_or(|account| within(account, &rows.accounts));
            let known = within(trade.recorder, &rows.members)
                && within(trade.counterparty, &rows.members)
                && within(trade.recorder_account, &rows.accounts)
                && within(trade.issue, &rows.issues);
            if !known || !confirmed {
                return false;
            }
            match trade.venue {
                // It can never be confirmed.
                Some(venue) if within(venue, &rows.members) && is_locked_in(trade) => {}
                Some(_) => return false,
                None => {
                    self.trades_by_counterparty.insert((
                        trade.counterparty,
                        trade.reference,
                        index,
                    ));
                }
            }
            let mut parties = vec![trade.recorder];
            if trade.counterparty != trade.recorder {
                parties.push(trade.counterparty);
            }
            for party in parties {
                if let Some(lists) = self.by_member.get_mut(party.place() as usize) {
                    lists.trades.push(index);
                }
            }
        }
        true
    }

    fn add_references(&mut self, rows: &Rows) -> bool {
        let known = |remembered: &Remembered| {
            within(remembered.member, &rows.members)
                && remembered.sequence <= rows.clock.sequence
                && rows.knows(&remembered.happened)
        };
        let in_order =
            |pair: &[Remembered]| matches!(pair, [one, next] if one.sequence <= next.sequence);
        if !rows.references.iter().all(known) || !rows.references.windows(2).all(in_order) {
            return false;
        }
        let owners = Owners {
            accounts: &rows.accounts,
            issues: &rows.issues,
            trades: &rows.trades,
        };
        for newest in indexed(&rows.references) {
            self.list_order(&owners, newest);
        }
        self.references.fill(&rows.references)
    }

    fn add_accesses(&mut self, rows: &Rows) {
        for (index, access) in indexed(&rows.accesses) {
            self.list_access(index, access);
        }
    }

    fn add_refusals(&mut self, rows: &Rows) -> bool {
        let in_order =
            |pair: &[Refusal]| matches!(pair, [one, next] if one.sequence <= next.sequence);
        for (index, refusal) in indexed(&rows.refusals) {
            match self.by_member.get_mut(refusal.member.place() as usize) {
                Some(lists) if refusal.sequence <= rows.clock.sequence => {
                    lists.refusals.push(index)
                }
                _ => return false,
            }
        }
        rows.refusals.windows(2).all(in_order)
    }

    fn add_mandates(&mut self, rows: &Rows) -> bool {
        for (index, mandate) in indexed(&rows.mandates) {
            let lists = self.by_member.get_mut(mandate.firm.place() as usize);
            let known = within(mandate.venue, &rows.members);
            match lists {
                Some(lists) if known && mandate.since <= rows.clock.sequence => {
                    lists.mandates.push((mandate.venue, index));
                }
                _ => return false,
            }
        }
        self.by_member
            .iter_mut()
            .all(|lists| sort_distinct(&mut lists.mandates))
    }
}

impl Rows {
    /// Whether all that an order is said to have done was done to what there is.
    fn knows(&self, happened: &Happened) -> bool {
        let account = |index| within(index, &self.accounts);
        match happened {
            Happened::Own => true,
            Happened::Trade(index) => within(*index, &self.trades),
            Happened::Units(moved) => {
                within(moved.issue, &self.issues)
                    && account(moved.to)
                    && moved.from.is_none_or(account)
            }
            Happened::Cash(moved) => {
                within(moved.currency, &self.currencies)
                    && account(moved.to)
                    && moved.from.is_none_or(account)
            }
            Happened::Registered(index) => within(*index, &self.issues),
            Happened::Split(split) => {
                within(split.issue, &self.issues) && self.in_order(split.holders.iter().copied())
            }
            Happened::Mandate { venue, .. } => within(*venue, &self.members),
            Happened::Dividend(paid) => {
                let members = paid.parts.iter().map(|part| part.member);
                within(paid.issue, &self.issues) && self.in_order(members)
            }
            Happened::Day(index) => within(*index, &self.days),
        }
    }

    /// Whether these are members, each once and in their order.
    fn in_order(&self, members: impl Iterator<Item = MemberId> + Clone) -> bool {
        members.clone().all(|one| within(one, &self.members))
            && members.is_sorted_by(|one, next| one < next)
    }
}

/// Whether readings are of what there is, in the order of their blocks, none before the one that it was put on record in.
fn accesses_fit(rows: &Rows) -> bool {
    let fits = |access: &Access| {
        let read = match access.read {
            Read::Registry { issue, .. } => within(issue, &rows.issues),
            Read::Holdings | Read::Trades | Read::Audit => true,
        };
        read && within(access.reader, &rows.members)
            && access.height <= rows.clock.height
            && access
                .moment
                .is_none_or(|moment| moment <= rows.clock.sequence)
            && access.disclosed_ms >= access.time_ms
    };
    let in_order = |pair: &[Access]| matches!(pair, [one, next] if one.height <= next.height && one.time_ms <= next.time_ms);
    rows.accesses.iter().all(fits) && rows.accesses.windows(2).all(in_order)
}

/// Whether a trade is what a venue's order makes: settled by the order that recorded it.
fn is_locked_in(trade: &Trade) -> bool {
    trade.side == Side::Sell
        && trade.counterparty_account.is_some()
        && trade.status == TradeStatus::Settled
        && trade.settled == trade.recorded
}

/// Sorts a short list by key; false if a key stands twice.
fn sort_distinct<K: Ord + Copy, V>(list: &mut [(K, V)]) -> bool {
    list.sort_unstable_by_key(|(key, _)| *key);
    list.windows(2)
        .all(|pair| matches!(pair, [(left, _), (right, _)] if left < right))
}
