//! Record a trade.
//!
//! What it is: a firm records its side of a bilateral trade under its own reference, which names
//! the trade from then on; the counterparty has to confirm it.
//!
//! What it checks: quantity and amount are above zero, and the amount has no more decimals than its
//! currency (`malformed`); the account is the caller's (`not-found`); the counterparty is a member
//! with the role of firm, which may be the caller itself (`unknown-counterparty`); the issue exists
//! (`unknown-issue`); the quantity has no more decimals than the issue (`malformed`); both numbers
//! are within the limit (`limit`). Nobody has to hold anything yet.
//!
//! What it changes: one row among the trades. The outcome is `pending`.

use crate::actions::{check_positive, mint_cash};
use crate::books::check_limit;
use crate::currency::CurrencyCode;
use crate::decimal::Decimal;
use crate::events::Done;
use crate::instruction::Instruction;
use crate::member::Role;
use crate::outcome::Code;
use crate::rows::{Happened, Trade, TradeStatus};
use crate::state::{Caller, State};

pub(crate) fn check(
    quantity: Decimal,
    currency: CurrencyCode,
    amount: Decimal,
) -> Result<(), Code> {
    check_positive(quantity)?;
    mint_cash::check(currency, amount)
}

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    instruction: &Instruction,
) -> Result<Done, Code> {
    let Instruction::RecordTrade {
        side,
        account,
        counterparty,
        isin,
        quantity,
        currency,
        amount,
    } = instruction
    else {
        // The dispatcher hands no other variant over.
        return Err(Code::Malformed);
    };
    let recorder_account = state.source_account(caller, account)?;
    let counterparty = match state.member_by_name(counterparty) {
        Some((id, member)) if member.role == Role::Firm => id,
        _ => return Err(Code::UnknownCounterparty),
    };
    let (issue, row) = state.known_issue(isin)?;
    let quantity = quantity.units(row.decimals).ok_or(Code::Malformed)?;
    let amount = amount
        .units(currency.minor_units())
        .ok_or(Code::Malformed)?;
    let trade = Trade {
        recorder: caller.member,
        reference: *caller.reference,
        side: *side,
        recorder_account,
        counterparty,
        counterparty_account: None,
        issue,
        quantity: check_limit(0, quantity)?,
        currency: *currency,
        amount: check_limit(0, amount)?,
        status: TradeStatus::Open,
        recorded: state.clock.sequence,
        settled: 0,
        venue: None,
    };
    let index = state.add_trade(trade);
    state
        .lookups
        .trades_by_counterparty
        .insert((counterparty, trade.reference, index));
    Ok(Done::pending(Happened::Trade(index)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, GOOGLE, World, trade};
    use crate::{Code, Outcome, Side};

    #[test]
    fn a_trade_waits_whatever_the_balances_are() {
        let mut world = World::furnished();
        let order = trade(Side::Sell, "A-2", "beta", APPLE, "5000", "1.00");
        assert_eq!(world.order("alpha", "D1", order), Outcome::PENDING);
        let order = trade(Side::Buy, "B-1", "beta", APPLE, "1", "1.00");
        assert_eq!(world.order("beta", "D1", order), Outcome::PENDING);
    }

    #[test]
    fn what_is_wrong_is_refused_in_order() {
        let mut world = World::furnished();
        let sell = |account, counterparty, isin, quantity, amount| {
            trade(Side::Sell, account, counterparty, isin, quantity, amount)
        };
        world.refuse(
            "alpha",
            sell("B-1", "nobody", GOOGLE, "0", "1"),
            Code::Malformed,
        );
        world.refuse(
            "alpha",
            sell("B-1", "nobody", GOOGLE, "1", "0.00"),
            Code::Malformed,
        );
        world.refuse(
            "alpha",
            sell("B-1", "nobody", GOOGLE, "1", "1.001"),
            Code::Malformed,
        );
        world.refuse(
            "alpha",
            sell("B-1", "nobody", GOOGLE, "1", "1"),
            Code::NotFound,
        );
        world.refuse(
            "alpha",
            sell("X-9", "nobody", GOOGLE, "1", "1"),
            Code::NotFound,
        );
        world.refuse(
            "alpha",
            sell("A-1", "nobody", GOOGLE, "1", "1"),
            Code::UnknownCounterparty,
        );
        world.refuse(
            "alpha",
            sell("A-1", "bank", GOOGLE, "1", "1"),
            Code::UnknownCounterparty,
        );
        world.refuse(
            "alpha",
            sell("A-1", "beta", GOOGLE, "1", "1"),
            Code::UnknownIssue,
        );
        world.refuse(
            "alpha",
            sell("A-1", "beta", APPLE, "1.0", "1"),
            Code::Malformed,
        );
        world.refuse(
            "alpha",
            sell("A-1", "beta", APPLE, "1", "999999999999999999"),
            Code::Limit,
        );
        world.refuse(
            "bank",
            sell("A-1", "beta", APPLE, "1", "1"),
            Code::NotPermitted,
        );
    }
}
