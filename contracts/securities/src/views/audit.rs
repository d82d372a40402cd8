//! Totals of the whole ledger.
//!
//! Who may ask: whoever may read the audit of others' rows, because the totals are everybody's.
//! [`State::totals`] gives the same to an auditor who has the whole ledger open anyway.
//!
//! What it answers: for every issue what is issued, in the treasury and held by others, sorted by
//! ISIN; for every currency its agent and what circulates, sorted by code; and counts.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Amount;
use crate::authority::{Action, Authority, Relation};
use crate::currency::CurrencyCode;
use crate::date::BusinessDate;
use crate::isin::Isin;
use crate::outcome::{Code, Outcome};
use crate::rows::{Issue, IssueIndex, MemberId, TradeStatus};
use crate::state::State;
use crate::text::MemberName;

/// Totals of the whole ledger.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AuditView {
    /// The height that the view was taken at.
    pub height: u64,
    /// The time of that block in milliseconds since 1970.
    pub time_ms: u64,
    /// The current business date.
    pub business_date: Option<BusinessDate>,
    /// Totals per issue, sorted by ISIN.
    pub issues: Vec<IssueTotals>,
    /// Totals per currency, sorted by code.
    pub currencies: Vec<CurrencyTotals>,
    /// How many of everything.
    pub counts: AuditCounts,
}

/// Totals of one issue.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IssueTotals {
    /// The issue.
    pub isin: Isin,
    /// All units: `treasury + held`.
    pub issued: Amount,
    /// Units in the treasury.
    pub treasury: Amount,
    /// Units on all other accounts, summed up from the positions.
    pub held: Amount,
    /// How many other accounts hold units.
    pub holders: u32,
}

/// Totals of one currency.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CurrencyTotals {
    /// The currency.
    pub currency: CurrencyCode,
    /// The member that mints it.
    pub agent: MemberName,
    /// All money tokens there are.
    pub minted: Amount,
}

/// How many of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AuditCounts {
    /// Members.
    pub members: u32,
    /// Accounts, treasuries included.
    pub accounts: u32,
    /// Issues.
    pub issues: u32,
    /// Trades that wait for confirmation.
    pub trades_open: u32,
    /// Trades that are settled.
    pub trades_settled: u32,
    /// Orders that were applied, whatever came of them.
    pub orders: u64,
    /// Orders that were accepted.
    pub orders_accepted: u32,
}

impl State {
    /// The totals, for a caller who may see them.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may not audit.
    pub fn audit(&self, caller: MemberId, authority: &dyn Authority) -> Result<AuditView, Outcome> {
        self.check_role(caller, authority, Action::ReadAudit)?;
        if !authority.permits(Action::ReadAudit, Relation::Other) {
            return Err(Outcome::refused(Code::NotFound));
        }
        Ok(self.totals())
    }

    /// The totals, for whoever has the whole ledger open: an offline auditor, a test.
    #[must_use]
    pub fn totals(&self) -> AuditView {
        let mut issues: Vec<_> = self
            .issues
            .iter()
            .map(|(index, issue)| self.issue_totals(index, issue))
            .collect();
        issues.sort_unstable_by_key(|totals| totals.isin);
        let mut currencies: Vec<_> = self
            .currencies
            .rows()
            .iter()
            .map(|row| CurrencyTotals {
                currency: row.code,
                agent: self.members.row(row.agent).name,
                minted: Amount {
                    units: row.minted,
                    decimals: row.code.minor_units(),
                },
            })
            .collect();
        currencies.sort_unstable_by_key(|totals| totals.currency);
        AuditView {
            height: self.height(),
            time_ms: self.time_ms(),
            business_date: self.business_date(),
            issues,
            currencies,
            counts: self.counts(),
        }
    }

    fn issue_totals(&self, index: IssueIndex, issue: &Issue) -> IssueTotals {
        let (mut treasury, mut held, mut holders) = (0, 0, 0);
        for position in self.positions_of(index) {
            let row = self.positions.row(*position);
            if row.account == issue.treasury {
                treasury = row.quantity;
            } else {
                held += row.quantity;
                holders += u32::from(row.quantity > 0);
            }
        }
        let amount = |units| Amount {
            units,
            decimals: issue.decimals,
        };
        IssueTotals {
            isin: issue.isin,
            issued: amount(issue.issued),
            treasury: amount(treasury),
            held: amount(held),
            holders,
        }
    }

    fn counts(&self) -> AuditCounts {
        let open = self
            .trades
            .rows()
            .iter()
            .filter(|trade| trade.status == TradeStatus::Open);
        let trades_open = u32::try_from(open.count()).unwrap_or(u32::MAX);
        AuditCounts {
            members: self.members.len(),
            accounts: self.accounts.len(),
            issues: self.issues.len(),
            trades_open,
            trades_settled: self.trades.len() - trades_open,
            orders: self.sequence(),
            orders_accepted: self.references.len(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use crate::world::{APPLE, GOOGLE, World, confirm, mint, refused, register, trade};
    use crate::{Code, Side};

    #[test]
    fn totals_add_up() {
        let mut world = World::furnished();
        world.settle("bank", mint("EUR", "A-1", "1.00"));
        world.settle("admin", register(GOOGLE, "google", 2, "GOOGLE-T"));
        world.order(
            "alpha",
            "D1",
            trade(Side::Sell, "A-1", "beta", APPLE, "100", "41123.00"),
        );
        world.order(
            "alpha",
            "D2",
            trade(Side::Sell, "A-1", "beta", APPLE, "1", "1.00"),
        );
        world.settle("beta", confirm("D1", "B-1"));
        for name in ["admin", "regulator"] {
            let view = world
                .state
                .audit(world.id(name), &world.permissions(name))
                .unwrap();
            assert_eq!(view, world.state.totals());
            let apple = &view.issues[0];
            assert_eq!(apple.isin.as_str(), APPLE);
            assert_eq!(
                (apple.issued.units, apple.treasury.units),
                (1_000_000, 999_000)
            );
            assert_eq!((apple.held.units, apple.holders), (1000, 2));
            assert_eq!(view.issues[1].issued.to_string(), "0.00");
            let minted: Vec<_> = view
                .currencies
                .iter()
                .map(|row| format!("{} {} {}", row.currency, row.agent, row.minted))
                .collect();
            assert_eq!(minted, ["EUR bank 1.00", "USD bank 500000.00"]);
            assert_eq!(
                (view.counts.trades_open, view.counts.trades_settled),
                (1, 1)
            );
            assert_eq!((view.counts.members, view.counts.accounts), (10, 5));
            assert_eq!((view.counts.orders, view.counts.orders_accepted), (22, 12));
        }
    }

    #[test]
    fn others_may_not_ask() {
        let world = World::furnished();
        for name in ["alpha", "apple", "bank", "oracle"] {
            let answer = world.state.audit(world.id(name), &world.permissions(name));
            assert_eq!(answer.unwrap_err(), refused(Code::NotPermitted));
        }
    }
}
