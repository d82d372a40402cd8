//! The laws of the books, checked over all rows.

use thiserror::Error;

use crate::amount::UNITS_MAX;
use crate::currency::CurrencyCode;
use crate::isin::Isin;
use crate::state::State;
use crate::table::RowIndex;
use crate::text::AccountId;

/// A law of the books that does not hold. It means a defect: whoever finds one must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// The positions of an issue do not sum to its total.
    #[error("the positions of {isin} sum to {held}, but {issued} are issued")]
    Securities {
        /// The issue.
        isin: Isin,
        /// The total, in minor units.
        issued: u64,
        /// The sum of the positions.
        held: u128,
    },
    /// The balances of a currency do not sum to what was minted.
    #[error("the balances in {currency} sum to {held}, but {minted} are minted")]
    Cash {
        /// The currency.
        currency: CurrencyCode,
        /// The total, in minor units.
        minted: u64,
        /// The sum of the balances.
        held: u128,
    },
    /// More is blocked than there is.
    #[error("account {account} has more blocked than it holds")]
    Blocked {
        /// The account.
        account: AccountId,
    },
    /// A total exceeds the limit.
    #[error("a total exceeds its limit: {total} minor units")]
    Limit {
        /// The total.
        total: u64,
    },
}

impl State {
    /// Checks all laws of the books. Takes time in proportion to the number of positions and
    /// balances.
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        let mut held = vec![0u128; self.issues.rows().len()];
        for position in self.positions.rows() {
            if position.blocked > position.quantity {
                let account = self.accounts.row(position.account).id;
                return Err(Violation::Blocked { account });
            }
            if let Some(sum) = held.get_mut(position.issue.place() as usize) {
                *sum += u128::from(position.quantity);
            }
        }
        for (issue, held) in self.issues.rows().iter().zip(held) {
            if held != u128::from(issue.issued) {
                let (isin, issued) = (issue.isin, issue.issued);
                return Err(Violation::Securities { isin, issued, held });
            }
            check_total(issue.issued)?;
        }
        self.check_cash_invariants()
    }

    fn check_cash_invariants(&self) -> Result<(), Violation> {
        let mut held = vec![0u128; self.currencies.rows().len()];
        for balance in self.cash.rows() {
            if balance.blocked > balance.amount {
                let account = self.accounts.row(balance.account).id;
                return Err(Violation::Blocked { account });
            }
            if let Some(sum) = held.get_mut(balance.currency.place() as usize) {
                *sum += u128::from(balance.amount);
            }
        }
        for (currency, held) in self.currencies.rows().iter().zip(held) {
            if held != u128::from(currency.minted) {
                let (code, minted) = (currency.code, currency.minted);
                return Err(Violation::Cash {
                    currency: code,
                    minted,
                    held,
                });
            }
            check_total(currency.minted)?;
        }
        Ok(())
    }
}

fn check_total(total: u64) -> Result<(), Violation> {
    if total <= UNITS_MAX {
        Ok(())
    } else {
        Err(Violation::Limit { total })
    }
}
