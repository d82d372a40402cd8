//! Confirm a trade, which settles it.
//!
//! What it is: the counterparty of a recorded trade agrees to it and names its own account.
//! Delivery and payment happen together or not at all (delivery versus payment, model 1: both legs
//! gross).
//!
//! The trade is named by its recorder's reference. Different firms may have recorded trades of the
//! same reference with the same counterparty: the open one that was recorded first is meant.
//!
//! What it checks: a trade of that reference names the caller as counterparty, and the account is
//! the caller's (`not-found`); one of these trades is still open (`already-settled`); the seller's
//! account holds enough units (`LACK`, `BLOC`), then the buyer's account enough money (`MONY`,
//! `BLOC`). When the balances do not suffice, the trade stays open and can be confirmed again.
//!
//! What it changes: two positions, two balances, and the trade, which is settled for good. The
//! seller is paid on the account that delivered.

use crate::events::Done;
use crate::instruction::Side;
use crate::outcome::Code;
use crate::rows::{Happened, TradeIndex, TradeStatus};
use crate::state::{Caller, State};
use crate::text::{AccountId, ClientReference};

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    reference: &ClientReference,
    account: &AccountId,
) -> Result<Done, Code> {
    let trade = earliest_open(state, caller, reference);
    if trade == Err(Code::NotFound) {
        return Err(Code::NotFound);
    }
    let account = state.source_account(caller, account)?;
    let index = trade?;
    let trade = *state.trades.row(index);
    let (seller, buyer) = match trade.side {
        Side::Sell => (trade.recorder_account, account),
        Side::Buy => (account, trade.recorder_account),
    };
    let units = state.check_units(seller, trade.issue, u128::from(trade.quantity))?;
    let (currency, amount) = state.check_cash(buyer, trade.currency, u128::from(trade.amount))?;

    state.move_units(trade.issue, seller, buyer, units);
    state.move_cash(currency, buyer, seller, amount);
    let sequence = state.clock.sequence;
    let row = state.trades.row_mut(index);
    row.counterparty_account = Some(account);
    row.status = TradeStatus::Settled;
    row.settled = sequence;
    Ok(Done::settled(Happened::Trade(index)))
}

/// The open trade of this reference with the caller as counterparty that was recorded first.
fn earliest_open(
    state: &State,
    caller: &Caller<'_>,
    reference: &ClientReference,
) -> Result<TradeIndex, Code> {
    let key = |index| (caller.member, *reference, TradeIndex(index));
    let mut code = Code::NotFound;
    for (_, _, index) in state
        .lookups
        .trades_by_counterparty
        .range(key(0)..=key(u32::MAX))
    {
        if state.trades.row(*index).status == TradeStatus::Open {
            return Ok(*index);
        }
        code = Code::AlreadySettled;
    }
    Err(code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, World, allocate, confirm, mint, trade, transfer_cash};
    use crate::{Code, Outcome, Side};

    fn recorded(side: Side) -> World {
        let mut world = World::furnished();
        let (name, from, to) = match side {
            Side::Sell => ("alpha", "A-1", "beta"),
            Side::Buy => ("beta", "B-1", "alpha"),
        };
        let order = trade(side, from, to, APPLE, "100", "41123.00");
        assert_eq!(world.order(name, "D1", order), Outcome::PENDING);
        world
    }

    #[test]
    fn both_legs_settle_at_once_whoever_recorded() {
        for (side, name, account) in [(Side::Sell, "beta", "B-1"), (Side::Buy, "alpha", "A-1")] {
            let mut world = recorded(side);
            world.settle(name, confirm("D1", account));
            assert_eq!(world.held("A-1", APPLE), "900");
            assert_eq!(world.held("B-1", APPLE), "100");
            assert_eq!(world.held("A-1", "USD"), "41123.00");
            assert_eq!(world.held("B-1", "USD"), "458877.00");
            world.refuse(name, confirm("D1", account), Code::AlreadySettled);
        }
    }

    #[test]
    fn a_repeated_confirm_under_its_own_reference_answers_the_same() {
        let mut world = recorded(Side::Sell);
        assert_eq!(
            world.order("beta", "~c", confirm("D1", "B-1")),
            Outcome::SETTLED
        );
        assert_eq!(
            world.order("beta", "~c", confirm("D1", "B-1")),
            Outcome::SETTLED
        );
        assert_eq!(world.held("B-1", APPLE), "100");
    }

    #[test]
    fn only_the_counterparty_confirms_and_from_its_own_account() {
        let mut world = recorded(Side::Sell);
        world.refuse("alpha", confirm("D1", "A-1"), Code::NotFound);
        world.refuse("gamma", confirm("D1", "B-1"), Code::NotFound);
        world.refuse("beta", confirm("D2", "B-1"), Code::NotFound);
        world.refuse("beta", confirm("D1", "A-2"), Code::NotFound);
        world.refuse("beta", confirm("D1", "X-9"), Code::NotFound);
        world.refuse("admin", confirm("D1", "B-1"), Code::NotPermitted);
        world.settle("beta", confirm("D1", "B-1"));
        world.refuse("beta", confirm("D1", "X-9"), Code::NotFound);
        world.refuse("alpha", confirm("D1", "A-1"), Code::NotFound);
    }

    #[test]
    fn what_lacks_leaves_the_trade_open() {
        let mut world = World::furnished();
        let order = trade(Side::Sell, "A-2", "beta", APPLE, "100", "500000.01");
        world.order("alpha", "D1", order);
        world.refuse("beta", confirm("D1", "B-1"), Code::LackOfSecurities);
        world.settle("admin", allocate(APPLE, "A-2", "100"));
        world.refuse("beta", confirm("D1", "B-1"), Code::InsufficientMoney);
        world.settle("bank", mint("USD", "B-1", "0.01"));
        world.settle("beta", confirm("D1", "B-1"));
        assert_eq!(world.held("A-2", "USD"), "500000.01");
        assert_eq!(world.held("B-1", "USD"), "0");
    }

    #[test]
    fn the_earliest_open_trade_of_a_reference_is_meant() {
        let mut world = recorded(Side::Sell);
        world.settle("beta", transfer_cash("USD", "B-1", "A-1", "100.00"));
        let order = trade(Side::Buy, "A-1", "beta", APPLE, "1", "7.00");
        assert_eq!(world.order("alpha", "D2", order), Outcome::PENDING);
        // Gamma records under a reference that alpha used, naming the same counterparty.
        world.settle("gamma", crate::world::open_account("G-1"));
        world.settle("bank", mint("USD", "G-1", "5.00"));
        let order = trade(Side::Buy, "G-1", "beta", APPLE, "1", "5.00");
        assert_eq!(world.order("gamma", "D1", order), Outcome::PENDING);
        world.settle("beta", confirm("D1", "B-1"));
        assert_eq!(world.held("B-1", APPLE), "100");
        world.settle("beta", confirm("D1", "B-1"));
        assert_eq!(world.held("G-1", APPLE), "1");
        world.refuse("beta", confirm("D1", "B-1"), Code::AlreadySettled);
    }

    #[test]
    fn a_firm_trades_with_itself() {
        let mut world = World::furnished();
        world.settle("bank", mint("USD", "A-2", "10.00"));
        world.order(
            "alpha",
            "D1",
            trade(Side::Sell, "A-1", "alpha", APPLE, "10", "10.00"),
        );
        world.settle("alpha", confirm("D1", "A-2"));
        assert_eq!(
            (world.held("A-1", APPLE), world.held("A-2", APPLE)),
            ("990".into(), "10".into())
        );
        world.order(
            "alpha",
            "D2",
            trade(Side::Sell, "A-1", "alpha", APPLE, "990", "10.00"),
        );
        world.settle("alpha", confirm("D2", "A-1"));
        assert_eq!(
            (world.held("A-1", APPLE), world.held("A-1", "USD")),
            ("990".into(), "10.00".into())
        );
    }
}
