//! The demo's own book: who holds what, kept apart from the ledger and by other code, to compare
//! with it at the end.

use std::collections::BTreeMap;

use sealbook_securities::{AccountId, Isin};

use crate::error::{CliError, Result};

/// Holdings of all accounts, treasuries included. Money is in cents of a dollar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    units: BTreeMap<(AccountId, Isin), u64>,
    cents: BTreeMap<AccountId, u64>,
    minted: u64,
}

/// Moves `amount` between two entries; nothing happens if the first holds less.
fn shift<K: Ord>(table: &mut BTreeMap<K, u64>, from: K, to: K, amount: u64) -> bool {
    let Some(left) = table.get(&from).copied().unwrap_or(0).checked_sub(amount) else {
        return false;
    };
    table.insert(from, left);
    *table.entry(to).or_default() += amount;
    true
}

impl Book {
    /// New units.
    pub fn issue(&mut self, treasury: AccountId, isin: Isin, units: u64) {
        *self.units.entry((treasury, isin)).or_default() += units;
    }

    /// New money.
    pub fn mint(&mut self, account: AccountId, cents: u64) {
        *self.cents.entry(account).or_default() += cents;
        self.minted += cents;
    }

    /// Units go from one account to another.
    ///
    /// # Errors
    /// The first has fewer.
    pub fn move_units(
        &mut self,
        isin: Isin,
        from: AccountId,
        to: AccountId,
        units: u64,
    ) -> Result<()> {
        if shift(&mut self.units, (from, isin), (to, isin), units) {
            return Ok(());
        }
        Err(CliError::new(format!(
            "the demo's plan sells more of {isin} than {from} has"
        )))
    }

    /// Money goes from one account to another.
    ///
    /// # Errors
    /// The first has less.
    pub fn move_cents(&mut self, from: AccountId, to: AccountId, cents: u64) -> Result<()> {
        if shift(&mut self.cents, from, to, cents) {
            return Ok(());
        }
        Err(CliError::new(format!(
            "the demo's plan spends more than {from} has"
        )))
    }

    /// How many units an account has.
    pub fn units(&self, account: AccountId, isin: Isin) -> u64 {
        self.units.get(&(account, isin)).copied().unwrap_or(0)
    }

    /// How much money an account has.
    pub fn cents(&self, account: AccountId) -> u64 {
        self.cents.get(&account).copied().unwrap_or(0)
    }

    /// All accounts that have units of an issue, in byte order.
    pub fn holders(&self, isin: Isin) -> BTreeMap<AccountId, u64> {
        let rows = self.units.iter();
        rows.filter(|((_, other), units)| *other == isin && **units > 0)
            .map(|((account, _), units)| (*account, *units))
            .collect()
    }

    /// All money ever minted.
    pub const fn minted(&self) -> u64 {
        self.minted
    }

    /// All money on all accounts.
    pub fn cents_total(&self) -> u64 {
        self.cents.values().sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_that_is_not_there() {
        let account = |text: &str| AccountId::new(text).unwrap();
        let (first, second) = (account("A-1"), account("B-1"));
        let isin = Isin::new("US0378331005").unwrap();
        let mut book = Book::default();
        book.issue(first, isin, 10);
        book.mint(second, 500);
        book.move_units(isin, first, second, 4).unwrap();
        let before = book.clone();
        assert!(book.move_units(isin, first, second, 7).is_err());
        assert!(book.move_cents(first, second, 1).is_err());
        assert_eq!(book, before);
        assert_eq!(
            book.holders(isin),
            BTreeMap::from([(first, 6), (second, 4)])
        );
        assert_eq!((book.cents_total(), book.minted()), (500, 500));
        book.move_units(isin, first, first, 6).unwrap();
        assert_eq!(book.units(first, isin), 6);
    }
}
