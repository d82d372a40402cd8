//! What accounts hold.
//!
//! Who may ask: whoever may read holdings; its own accounts, or all accounts if others' are
//! permitted.
//!
//! What it answers: every such account with its holder and everything above zero in it: accounts in
//! byte order of their identifiers, assets in byte order of their codes (ISIN or currency).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Amount;
use crate::authority::{Action, Authority, Relation};
use crate::currency::CurrencyCode;
use crate::isin::Isin;
use crate::outcome::Outcome;
use crate::rows::{AccountIndex, MemberId};
use crate::state::{AccountLists, State};
use crate::table::RowIndex;
use crate::text::AccountId;
use crate::views::Names;

/// Accounts with their contents.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HoldingsView {
    /// The height that the view was taken at.
    pub height: u64,
    /// The accounts.
    pub accounts: Vec<AccountHoldings>,
}

/// One account with its contents.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountHoldings {
    /// The account.
    pub account: AccountId,
    /// The holder's name; `None` if it was erased.
    pub holder: Option<String>,
    /// What it holds.
    pub assets: Vec<AssetHolding>,
}

/// One thing that an account holds.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AssetHolding {
    /// What it is.
    pub asset: AssetCode,
    /// All of it, blocked parts included.
    pub quantity: Amount,
    /// The part that may not be moved.
    pub blocked: Amount,
}

/// The code of a thing that an account can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AssetCode {
    /// Units of an issue.
    Security(Isin),
    /// Money of a currency.
    Cash(CurrencyCode),
}

impl AssetCode {
    /// The ISIN or the currency code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Security(isin) => isin.as_str(),
            Self::Cash(currency) => currency.as_str(),
        }
    }
}

impl State {
    /// The accounts that the caller may see, with what they hold.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may read no holdings.
    pub fn holdings(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        names: Names<'_>,
    ) -> Result<HoldingsView, Outcome> {
        self.check_role(caller, authority, Action::ReadHoldings)?;
        let mut accounts: Vec<_> = if authority.permits(Action::ReadHoldings, Relation::Other) {
            self.accounts
                .iter()
                .map(|(index, _)| self.account_holdings(index, names))
                .collect()
        } else {
            let lists = self.lookups.by_member.get(caller.place() as usize);
            let own = lists.map_or(&[][..], |lists| &lists.accounts);
            own.iter()
                .map(|index| self.account_holdings(*index, names))
                .collect()
        };
        accounts.sort_unstable_by_key(|row| row.account);
        Ok(HoldingsView {
            height: self.height(),
            accounts,
        })
    }

    fn account_holdings(&self, account: AccountIndex, names: Names<'_>) -> AccountHoldings {
        let AccountLists { positions, cash } = self.holdings_of(account);
        let mut assets = Vec::with_capacity(positions.len() + cash.len());
        for (issue, index) in positions {
            let (issue, row) = (self.issues.row(*issue), self.positions.row(*index));
            let amount = |units| Amount {
                units,
                decimals: issue.decimals,
            };
            assets.push(AssetHolding {
                asset: AssetCode::Security(issue.isin),
                quantity: amount(row.quantity),
                blocked: amount(row.blocked),
            });
        }
        for (currency, index) in cash {
            let (currency, row) = (self.currencies.row(*currency), self.cash.row(*index));
            let amount = |units| Amount {
                units,
                decimals: currency.code.minor_units(),
            };
            assets.push(AssetHolding {
                asset: AssetCode::Cash(currency.code),
                quantity: amount(row.amount),
                blocked: amount(row.blocked),
            });
        }
        assets.retain(|holding| holding.quantity.units > 0);
        assets.sort_unstable_by(|a, b| a.asset.as_str().cmp(b.asset.as_str()));
        AccountHoldings {
            account: self.accounts.row(account).id,
            holder: self.holder_name(account, names),
            assets,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use crate::world::{APPLE, Permissions, World, mint, refused, transfer};
    use crate::{AccountIndex, Code, HoldingsView, Outcome};

    fn ask(world: &World, name: &str) -> Result<HoldingsView, Outcome> {
        let names = |index: AccountIndex| Some(format!("Holder {}", index.0));
        world
            .state
            .holdings(world.id(name), &world.permissions(name), &names)
    }

    fn text(view: &HoldingsView) -> Vec<String> {
        let asset = |row: &super::AssetHolding| format!("{}={}", row.asset.as_str(), row.quantity);
        let row = |row: &super::AccountHoldings| {
            let assets: Vec<_> = row.assets.iter().map(asset).collect();
            format!(
                "{} {}: {}",
                row.account,
                row.holder.as_deref().unwrap(),
                assets.join(" ")
            )
        };
        view.accounts.iter().map(row).collect()
    }

    #[test]
    fn a_firm_sees_its_own_accounts_in_order() {
        let mut world = World::furnished();
        world.settle("bank", mint("EUR", "A-1", "1.00"));
        world.settle("bank", mint("USD", "A-1", "2.00"));
        let rows = text(&ask(&world, "alpha").unwrap());
        assert_eq!(
            rows,
            [
                "A-1 Holder 1: EUR=1.00 US0378331005=1000 USD=2.00",
                "A-2 Holder 2: "
            ]
        );
        assert_eq!(
            text(&ask(&world, "beta").unwrap()),
            ["B-1 Holder 3: USD=500000.00"]
        );
        assert_eq!(text(&ask(&world, "gamma").unwrap()), Vec::<String>::new());
    }

    #[test]
    fn what_went_away_is_left_out() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "1000"));
        let rows = text(&ask(&world, "alpha").unwrap());
        assert_eq!(rows, ["A-1 Holder 1: ", "A-2 Holder 2: US0378331005=1000"]);
    }

    #[test]
    fn admin_and_regulator_see_all_accounts_and_others_none() {
        let world = World::furnished();
        let all = text(&ask(&world, "admin").unwrap());
        assert_eq!(all.len(), 4);
        assert_eq!(all.last().unwrap(), "B-1 Holder 3: USD=500000.00");
        assert_eq!(text(&ask(&world, "regulator").unwrap()), all);
        assert!(all.contains(&"APPLE-T apple organisation: US0378331005=999000".to_owned()));
        for name in ["apple", "bank", "oracle"] {
            assert_eq!(ask(&world, name).unwrap_err(), refused(Code::NotPermitted));
        }
        let stranger = crate::MemberId(99);
        let answer = world
            .state
            .holdings(stranger, &Permissions(crate::Role::Admin), &|_| None);
        assert_eq!(answer.unwrap_err(), refused(Code::NotAMember));
    }
}
