//! Mint cash.
//!
//! What it is: a cash agent creates money tokens on an account. The first agent to mint a currency
//! is its agent for good.
//!
//! What it checks: the amount is above zero and has no more decimals than the currency
//! (`malformed`); no other agent mints the currency (`not-permitted`); the account exists
//! (`unknown-account`); the minted total stays within the limit (`limit`).
//!
//! What it changes: the account's balance and the minted total, by the same number; at the first
//! time, one row among the currencies.

use crate::actions::check_positive;
use crate::books::check_limit;
use crate::currency::CurrencyCode;
use crate::decimal::Decimal;
use crate::events::Done;
use crate::outcome::Code;
use crate::rows::Currency;
use crate::state::{Caller, State};
use crate::text::AccountId;

/// Above zero, and no more decimals than the currency has.
pub(crate) fn check(currency: CurrencyCode, amount: Decimal) -> Result<(), Code> {
    check_positive(amount)?;
    amount
        .units(currency.minor_units())
        .map(drop)
        .ok_or(Code::Malformed)
}

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    code: CurrencyCode,
    account: &AccountId,
    amount: Decimal,
) -> Result<Done, Code> {
    let known = state.currency(code);
    let current = known.map(|index| *state.currencies.row(index));
    if current.is_some_and(|currency| currency.agent != caller.member) {
        return Err(Code::NotPermitted);
    }
    let to = state.receiving_account(account)?;
    let units = amount.units(code.minor_units()).ok_or(Code::Malformed)?;
    let units = check_limit(current.map_or(0, |currency| currency.minted), units)?;
    let index = known.unwrap_or_else(|| {
        let index = state.currencies.push(Currency {
            code,
            agent: caller.member,
            minted: 0,
        });
        state.lookups.currencies_by_code.insert(code, index);
        index
    });
    state.currencies.row_mut(index).minted += units;
    state.add_cash(index, to, units);
    Ok(Done::cash(index, None, to, units))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::Code;
    use crate::world::{World, mint};

    #[test]
    fn the_first_agent_of_a_currency_is_its_agent() {
        let mut world = World::furnished();
        world.refuse("mint", mint("EUR", "A-9", "1"), Code::UnknownAccount);
        world.settle("bank", mint("EUR", "A-1", "1.5"));
        world.refuse("mint", mint("EUR", "A-1", "1"), Code::NotPermitted);
        world.refuse("mint", mint("USD", "A-9", "1"), Code::NotPermitted);
        world.settle("mint", mint("JPY", "APPLE-T", "100"));
        world.refuse("bank", mint("JPY", "A-1", "100"), Code::NotPermitted);
        world.settle("bank", mint("EUR", "A-1", "1"));
        assert_eq!(world.held("A-1", "EUR"), "2.50");
        assert_eq!(world.held("APPLE-T", "JPY"), "100");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::furnished();
        world.refuse("bank", mint("USD", "A-1", "0"), Code::Malformed);
        world.refuse("bank", mint("USD", "A-1", "1.000"), Code::Malformed);
        world.refuse("bank", mint("JPY", "A-1", "1.0"), Code::Malformed);
        world.refuse("bank", mint("USD", "A-9", "1"), Code::UnknownAccount);
        for member in ["admin", "alpha", "apple", "regulator", "oracle"] {
            world.refuse(member, mint("USD", "A-1", "1"), Code::NotPermitted);
        }
    }

    #[test]
    fn the_total_reaches_its_limit_and_no_further() {
        let mut world = World::furnished();
        world.refuse(
            "bank",
            mint("USD", "A-1", "999999999999999999"),
            Code::Limit,
        );
        world.refuse(
            "bank",
            mint("USD", "A-1", "9999999999500000.01"),
            Code::Limit,
        );
        world.settle("bank", mint("USD", "A-1", "9999999999500000"));
        world.refuse("bank", mint("USD", "B-1", "0.01"), Code::Limit);
        world.settle("bank", mint("JPY", "B-1", "999999999999999999"));
        world.settle("bank", mint("JPY", "B-1", "1"));
        assert_eq!(world.held("B-1", "JPY"), "1000000000000000000");
    }
}
