//! Transfer, free of payment.
//!
//! What it is: units or money go from an account of the caller to any account, its own or
//! another's.
//!
//! What it checks: the number is above zero, and an amount has no more decimals than its currency
//! (`malformed`); the delivering account is the caller's (`not-found`); the receiving account
//! exists (`unknown-account`); the issue exists (`unknown-issue`); the quantity has no more
//! decimals than the issue (`malformed`); the account holds enough (`LACK` or `MONY`, `BLOC`).
//!
//! What it changes: the two positions or balances, by the same number. From an account to itself:
//! nothing, but the account must hold enough all the same.

use crate::actions::{check_positive, mint_cash};
use crate::events::Done;
use crate::instruction::Asset;
use crate::outcome::Code;
use crate::state::{Caller, State};
use crate::text::AccountId;

pub(crate) fn check(asset: &Asset) -> Result<(), Code> {
    match asset {
        Asset::Security { quantity, .. } => check_positive(*quantity),
        Asset::Cash { currency, amount } => mint_cash::check(*currency, *amount),
    }
}

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    asset: &Asset,
    from: &AccountId,
    to: &AccountId,
) -> Result<Done, Code> {
    let from = state.source_account(caller, from)?;
    let to = state.receiving_account(to)?;
    match asset {
        Asset::Security { isin, quantity } => {
            let (index, issue) = state.known_issue(isin)?;
            let units = quantity.units(issue.decimals).ok_or(Code::Malformed)?;
            let units = state.check_units(from, index, units)?;
            state.move_units(index, from, to, units);
            Ok(Done::units(index, Some(from), to, units))
        }
        Asset::Cash { currency, amount } => {
            let units = amount
                .units(currency.minor_units())
                .ok_or(Code::Malformed)?;
            let (currency, units) = state.check_cash(from, *currency, units)?;
            state.move_cash(currency, from, to, units);
            Ok(Done::cash(currency, Some(from), to, units))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::Code;
    use crate::world::{APPLE, GOOGLE, World, transfer, transfer_cash};

    #[test]
    fn units_and_money_move() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "10"));
        world.settle("alpha", transfer(APPLE, "A-1", "B-1", "20"));
        world.settle("beta", transfer_cash("USD", "B-1", "APPLE-T", "0.01"));
        assert_eq!(world.held("A-1", APPLE), "970");
        assert_eq!(world.held("A-2", APPLE), "10");
        assert_eq!(world.held("B-1", APPLE), "20");
        assert_eq!(world.held("B-1", "USD"), "499999.99");
        assert_eq!(world.held("APPLE-T", "USD"), "0.01");
    }

    #[test]
    fn a_transfer_to_the_same_account_changes_nothing() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "A-1", "1000"));
        world.settle("beta", transfer_cash("USD", "B-1", "B-1", "500000.00"));
        world.refuse(
            "alpha",
            transfer(APPLE, "A-1", "A-1", "1001"),
            Code::LackOfSecurities,
        );
        assert_eq!(world.held("A-1", APPLE), "1000");
        assert_eq!(world.held("B-1", "USD"), "500000.00");
    }

    #[test]
    fn what_is_wrong_is_refused_in_order() {
        let mut world = World::furnished();
        world.refuse("alpha", transfer(APPLE, "B-9", "A-9", "0"), Code::Malformed);
        world.refuse(
            "alpha",
            transfer_cash("USD", "B-9", "A-9", "0.001"),
            Code::Malformed,
        );
        world.refuse("alpha", transfer(GOOGLE, "A-9", "B-9", "1"), Code::NotFound);
        world.refuse("alpha", transfer(GOOGLE, "B-1", "B-9", "1"), Code::NotFound);
        world.refuse(
            "alpha",
            transfer(GOOGLE, "A-1", "B-9", "1"),
            Code::UnknownAccount,
        );
        world.refuse(
            "alpha",
            transfer(GOOGLE, "A-1", "B-1", "1"),
            Code::UnknownIssue,
        );
        world.refuse(
            "alpha",
            transfer(APPLE, "A-1", "B-1", "1.0"),
            Code::Malformed,
        );
        world.refuse(
            "alpha",
            transfer(APPLE, "A-1", "B-1", "1001"),
            Code::LackOfSecurities,
        );
        world.refuse(
            "alpha",
            transfer(APPLE, "A-2", "B-1", "1"),
            Code::LackOfSecurities,
        );
        world.refuse(
            "beta",
            transfer_cash("USD", "B-1", "A-1", "500000.01"),
            Code::InsufficientMoney,
        );
        world.refuse(
            "beta",
            transfer_cash("JPY", "B-1", "A-1", "1"),
            Code::InsufficientMoney,
        );
        world.refuse(
            "apple",
            transfer(APPLE, "APPLE-T", "A-1", "1"),
            Code::NotPermitted,
        );
        world.refuse(
            "admin",
            transfer(APPLE, "A-1", "A-2", "1"),
            Code::NotPermitted,
        );
    }
}
