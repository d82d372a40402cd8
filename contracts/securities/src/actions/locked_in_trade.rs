//! Submit a locked-in trade, which settles it.
//!
//! What it is: a venue (an exchange, or the central counterparty behind it) submits a trade that it
//! matched and that both parties are bound by, under its own reference, which names the trade. One
//! order does what a recorded and a confirmed trade do in two: delivery and payment happen together
//! or not at all (delivery versus payment, model 1: both legs gross).
//!
//! What it checks: quantity and amount are above zero, and the amount has no more decimals than its
//! currency (`malformed`); both accounts are there, none is a treasury, and the firms that keep them
//! gave the caller a mandate that is in force (`not-found`); the issue exists (`unknown-issue`); the
//! quantity has no more decimals than the issue (`malformed`); both numbers are within the limit
//! (`limit`); the seller's account holds enough units (`LACK`, `BLOC`), then the buyer's account
//! enough money (`MONY`, `BLOC`). What is refused waits for nobody: the venue submits it again.
//!
//! What it changes: two positions, two balances, and one row among the trades, settled at once. From
//! an account to itself: only the row, but the account must hold enough of both all the same.

use crate::books::check_limit;
use crate::events::Done;
use crate::instruction::{Instruction, Side};
use crate::outcome::Code;
use crate::rows::{Happened, Trade, TradeStatus};
use crate::state::{Caller, State};

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    instruction: &Instruction,
) -> Result<Done, Code> {
    let Instruction::LockedInTrade {
        seller_account,
        buyer_account,
        isin,
        quantity,
        currency,
        amount,
    } = instruction
    else {
        // The dispatcher hands no other variant over.
        return Err(Code::Malformed);
    };
    let (seller_account, seller) = state.mandated_account(caller, seller_account)?;
    let (buyer_account, buyer) = state.mandated_account(caller, buyer_account)?;
    let (issue, row) = state.known_issue(isin)?;
    let quantity = quantity.units(row.decimals).ok_or(Code::Malformed)?;
    let amount = amount
        .units(currency.minor_units())
        .ok_or(Code::Malformed)?;
    let quantity = check_limit(0, quantity)?;
    let amount = check_limit(0, amount)?;
    state.check_units(seller_account, issue, u128::from(quantity))?;
    let (balance, _) = state.check_cash(buyer_account, *currency, u128::from(amount))?;

    state.move_units(issue, seller_account, buyer_account, quantity);
    state.move_cash(balance, buyer_account, seller_account, amount);
    let sequence = state.clock.sequence;
    let index = state.add_trade(Trade {
        recorder: seller,
        reference: *caller.reference,
        side: Side::Sell,
        recorder_account: seller_account,
        counterparty: buyer,
        counterparty_account: Some(buyer_account),
        issue,
        quantity,
        currency: *currency,
        amount,
        status: TradeStatus::Settled,
        recorded: sequence,
        settled: sequence,
        venue: Some(caller.member),
    });
    Ok(Done::settled(Happened::Trade(index)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{
        APPLE, GOOGLE, World, allocate, confirm, grant, locked_in, mint, refused, register, revoke,
        trade,
    };
    use crate::{Code, Outcome, Side, TradeStatus};

    /// Both firms let the exchange submit for them.
    fn mandated() -> World {
        let mut world = World::furnished();
        world.settle("alpha", grant("admin"));
        world.settle("beta", grant("admin"));
        world
    }

    #[test]
    fn both_legs_settle_at_once() {
        let mut world = mandated();
        world.settle("admin", locked_in("A-1", "B-1", APPLE, "100", "41123.00"));
        assert_eq!(world.held("A-1", APPLE), "900");
        assert_eq!(world.held("B-1", APPLE), "100");
        assert_eq!(world.held("A-1", "USD"), "41123.00");
        assert_eq!(world.held("B-1", "USD"), "458877.00");
        // And back, from what was just received.
        world.settle("admin", locked_in("B-1", "A-1", APPLE, "100", "41123.00"));
        assert_eq!(world.held("A-1", APPLE), "1000");
        assert_eq!(world.held("B-1", "USD"), "500000.00");
    }

    #[test]
    fn the_trade_is_settled_and_nobody_confirms_it() {
        let mut world = mandated();
        let order = || locked_in("A-1", "B-1", APPLE, "100", "41123.00");
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        for (name, account) in [("beta", "B-1"), ("alpha", "A-1")] {
            world.refuse(name, confirm("V1", account), Code::NotFound);
        }
        // A trade that a firm recorded under the same reference is another one.
        let order = trade(Side::Sell, "A-1", "beta", APPLE, "1", "1.00");
        assert_eq!(world.order("alpha", "V1", order), Outcome::PENDING);
        world.settle("beta", confirm("V1", "B-1"));
        let counts = world.state.totals().counts;
        assert_eq!((counts.trades_open, counts.trades_settled), (0, 2));
    }

    #[test]
    fn the_same_reference_settles_once() {
        let mut world = mandated();
        let order = || locked_in("A-1", "B-1", APPLE, "100", "41123.00");
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        assert_eq!(world.held("B-1", APPLE), "100");
        let other = locked_in("A-1", "B-1", APPLE, "101", "41123.00");
        assert_eq!(world.order("admin", "V1", other), refused(Code::Duplicate));
        // What was accepted stays so without the mandate; a new reference needs it.
        world.settle("alpha", revoke("admin"));
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        assert_eq!(world.order("admin", "V2", order()), refused(Code::NotFound));
    }

    #[test]
    fn both_firms_must_have_given_a_mandate_that_is_in_force() {
        let mut world = World::furnished();
        let order = || locked_in("A-1", "B-1", APPLE, "1", "1.00");
        world.refuse("admin", order(), Code::NotFound);
        world.settle("alpha", grant("admin"));
        world.refuse("admin", order(), Code::NotFound);
        world.settle("beta", grant("bank"));
        world.refuse("admin", order(), Code::NotFound);
        world.settle("beta", grant("admin"));
        world.settle("admin", order());
        world.settle("alpha", revoke("admin"));
        world.refuse("admin", order(), Code::NotFound);
        world.refuse(
            "admin",
            locked_in("B-1", "A-1", APPLE, "1", "1.00"),
            Code::NotFound,
        );
        world.settle("alpha", grant("admin"));
        world.settle("admin", order());
    }

    #[test]
    fn what_is_wrong_is_refused_in_order() {
        let mut world = mandated();
        world.settle("gamma", crate::world::open_account("G-1"));
        let wrong = [
            (("X-9", "X-9", GOOGLE, "0", "1"), Code::Malformed),
            (("X-9", "X-9", GOOGLE, "1", "0.00"), Code::Malformed),
            (("X-9", "X-9", GOOGLE, "1", "1.001"), Code::Malformed),
            (("X-9", "B-1", GOOGLE, "1", "1"), Code::NotFound),
            (("A-1", "X-9", GOOGLE, "1", "1"), Code::NotFound),
            (("G-1", "B-1", GOOGLE, "1", "1"), Code::NotFound),
            (("A-1", "G-1", GOOGLE, "1", "1"), Code::NotFound),
            (("APPLE-T", "B-1", GOOGLE, "1", "1"), Code::NotFound),
            (("A-1", "APPLE-T", GOOGLE, "1", "1"), Code::NotFound),
            (("A-1", "B-1", GOOGLE, "1", "1"), Code::UnknownIssue),
            (("A-1", "B-1", APPLE, "1.0", "1"), Code::Malformed),
            (
                ("A-1", "B-1", APPLE, "5000", "999999999999999999"),
                Code::Limit,
            ),
            (
                ("A-1", "B-1", APPLE, "1001", "500000.01"),
                Code::LackOfSecurities,
            ),
            (("A-2", "B-1", APPLE, "1", "1"), Code::LackOfSecurities),
            (
                ("A-1", "B-1", APPLE, "1000", "500000.01"),
                Code::InsufficientMoney,
            ),
            (("A-1", "A-2", APPLE, "1", "0.01"), Code::InsufficientMoney),
        ];
        for ((seller, buyer, isin, quantity, amount), code) in wrong {
            world.refuse(
                "admin",
                locked_in(seller, buyer, isin, quantity, amount),
                code,
            );
        }
        let order = || locked_in("A-1", "B-1", APPLE, "1", "1.00");
        for member in ["alpha", "apple", "regulator", "bank", "oracle"] {
            world.refuse(member, order(), Code::NotPermitted);
        }
    }

    #[test]
    fn what_lacks_is_submitted_again_under_its_reference() {
        let mut world = mandated();
        let order = || locked_in("A-2", "B-1", APPLE, "100", "500000.01");
        let lacks = refused(Code::LackOfSecurities);
        assert_eq!(world.order("admin", "V1", order()), lacks);
        world.settle("admin", allocate(APPLE, "A-2", "100"));
        let lacks = refused(Code::InsufficientMoney);
        assert_eq!(world.order("admin", "V1", order()), lacks);
        world.settle("bank", mint("USD", "B-1", "0.01"));
        assert_eq!(world.order("admin", "V1", order()), Outcome::SETTLED);
        assert_eq!(world.held("A-2", "USD"), "500000.01");
        assert_eq!(world.held("B-1", "USD"), "0");
    }

    #[test]
    fn one_firm_may_be_on_both_sides() {
        let mut world = mandated();
        world.settle("bank", mint("USD", "A-2", "10.00"));
        world.settle("admin", locked_in("A-1", "A-2", APPLE, "10", "10.00"));
        assert_eq!(world.held("A-1", APPLE), "990");
        assert_eq!(world.held("A-2", APPLE), "10");
        // An account with itself: nothing moves, and it must hold enough of both.
        world.settle("admin", locked_in("A-1", "A-1", APPLE, "990", "10.00"));
        assert_eq!(world.held("A-1", APPLE), "990");
        assert_eq!(world.held("A-1", "USD"), "10.00");
        let order = locked_in("A-1", "A-1", APPLE, "991", "10.00");
        world.refuse("admin", order, Code::LackOfSecurities);
        let order = locked_in("A-1", "A-1", APPLE, "990", "10.01");
        world.refuse("admin", order, Code::InsufficientMoney);
        // In the list of the firm it stands once.
        let alpha = world.id("alpha");
        let view = world
            .state
            .trades(alpha, &world.permissions("alpha"))
            .unwrap();
        let settled = view
            .trades
            .iter()
            .all(|row| row.status == TradeStatus::Settled);
        assert_eq!((view.trades.len(), settled), (2, true));
    }

    #[test]
    fn units_and_money_that_are_blocked_do_not_move() {
        let mut world = mandated();
        let (account, _) = world
            .state
            .account_by_id(&crate::world::account("A-1"))
            .unwrap();
        let (issue, _) = world
            .state
            .issue_by_isin(&crate::world::isin(APPLE))
            .unwrap();
        let position = world.state.position(account, issue).unwrap();
        world.state.set_units(position, 1000, 950);
        let order = || locked_in("A-1", "B-1", APPLE, "51", "1.00");
        world.refuse("admin", order(), Code::Blocked);
        world.state.set_units(position, 1000, 949);
        world.settle("admin", order());
        let cash = (0..world.state.cash.len())
            .map(crate::CashIndex)
            .find(|index| world.state.cash.row(*index).amount == 49_999_900)
            .unwrap();
        world.state.cash.row_mut(cash).blocked = 49_999_900;
        let order = locked_in("B-1", "B-1", APPLE, "1", "0.01");
        world.refuse("admin", order, Code::Blocked);
    }

    #[test]
    fn an_issuer_gives_no_mandate_on_its_treasury() {
        struct All;
        impl crate::Authority for All {
            fn permits(&self, _: crate::Action, _: crate::Relation) -> bool {
                true
            }
        }
        let mut world = mandated();
        world.settle("admin", register(GOOGLE, "google", 0, "GOOGLE-T"));
        let mut give = |name: &str, reference: &str, instruction| {
            let content = crate::world::content(&instruction);
            let order = crate::Order {
                reference: reference.parse().unwrap(),
                instruction,
            };
            world.state.apply(world.id(name), &All, &order, content)
        };
        assert_eq!(give("apple", "1", grant("admin")), Outcome::SETTLED);
        for (seller, buyer) in [("APPLE-T", "B-1"), ("A-1", "APPLE-T")] {
            let order = locked_in(seller, buyer, APPLE, "1", "1.00");
            assert_eq!(give("admin", "2", order), refused(Code::NotFound));
        }
        // Permission for others' rows does not stand in for a mandate.
        let order = locked_in("A-1", "B-1", APPLE, "1", "1.00");
        assert_eq!(give("bank", "3", order), refused(Code::NotFound));
    }
}
