//! Split the units of an issue.
//!
//! What it is: every `old` units become `new` units, in one step for all accounts. With `new` below
//! `old` it is a reverse split.
//!
//! What it checks: `new` and `old` are above zero, and the record time is now (`malformed`); the
//! issue exists and the caller may act on it (`not-found`); the new total stays within the limit
//! (`limit`).
//!
//! What it changes: every position, the treasury's too, becomes `floor(quantity * new / old)` in
//! the issue's minor units, and what is blocked of it likewise; the issued total becomes the sum of
//! the new positions. Open trades keep their terms. Nothing is paid for the fractions that rounding
//! drops.

use std::collections::BTreeSet;

use crate::amount::{UNITS_MAX, scaled};
use crate::events::Done;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::rows::{Happened, PositionIndex, UnitsSplit};
use crate::state::{Caller, State};

pub(crate) fn check(new: u32, old: u32, record: RecordTime) -> Result<(), Code> {
    if new > 0 && old > 0 && record == RecordTime::Now {
        Ok(())
    } else {
        Err(Code::Malformed)
    }
}

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    isin: &Isin,
    new: u32,
    old: u32,
) -> Result<Done, Code> {
    let index = state.source_issue(caller, isin)?;
    let mut rows: Vec<(PositionIndex, u64, u64)> = Vec::new();
    let mut total: u64 = 0;
    let mut holders = BTreeSet::new();
    for position in state.positions_of(index) {
        let row = state.positions.row(*position);
        let quantity = scaled(row.quantity, new, old).ok_or(Code::Limit)?;
        let blocked = scaled(row.blocked, new, old).ok_or(Code::Limit)?;
        total = total
            .checked_add(quantity)
            .filter(|sum| *sum <= UNITS_MAX)
            .ok_or(Code::Limit)?;
        rows.push((*position, quantity, blocked));
        if row.quantity > 0 {
            holders.insert(state.accounts.row(row.account).owner);
        }
    }
    for (position, quantity, blocked) in rows {
        state.set_units(position, quantity, blocked);
    }
    state.set_issued(index, total);
    Ok(Done::settled(Happened::Split(Box::new(UnitsSplit {
        issue: index,
        new,
        old,
        holders: holders.into_iter().collect(),
    }))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{
        APPLE, GOOGLE, World, confirm, isin, issue_units, register, split, trade, transfer,
    };
    use crate::{Code, Instruction, Outcome, RecordTime, Side};

    #[test]
    fn all_positions_are_multiplied_and_rounded_down() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "333"));
        world.settle("admin", split(APPLE, 3, 2));
        let text = world.registry_text(APPLE, RecordTime::Now);
        assert_eq!(text, "9: 1499999 = 1498500 + [A-1=1000 A-2=499]");
        let before = world.registry_text(APPLE, RecordTime::Height(8));
        assert_eq!(before, "8: 1000000 = 999000 + [A-1=667 A-2=333]");
        world.settle("admin", split(APPLE, 1, 1000));
        let text = world.registry_text(APPLE, RecordTime::Now);
        assert_eq!(text, "10: 1499 = 1498 + [A-1=1]");
    }

    #[test]
    fn blocked_units_are_split_alike() {
        let mut world = World::furnished();
        let (account, _) = world
            .state
            .account_by_id(&crate::world::account("A-1"))
            .unwrap();
        let (issue, _) = world.state.issue_by_isin(&isin(APPLE)).unwrap();
        let position = world.state.position(account, issue).unwrap();
        world.state.set_units(position, 1000, 7);
        world.refuse("alpha", transfer(APPLE, "A-1", "A-2", "994"), Code::Blocked);
        world.refuse(
            "alpha",
            transfer(APPLE, "A-1", "A-2", "1001"),
            Code::LackOfSecurities,
        );
        world.settle("admin", split(APPLE, 1, 2));
        assert_eq!(world.state.positions.row(position).blocked, 3);
        world.refuse("alpha", transfer(APPLE, "A-1", "A-2", "498"), Code::Blocked);
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "497"));
    }

    #[test]
    fn open_trades_keep_their_terms() {
        let mut world = World::furnished();
        let order = trade(Side::Sell, "A-1", "beta", APPLE, "100", "5.00");
        assert_eq!(world.order("alpha", "D1", order), Outcome::PENDING);
        world.settle("admin", split(APPLE, 2, 1));
        world.settle("beta", confirm("D1", "B-1"));
        assert_eq!(
            (world.held("A-1", APPLE), world.held("B-1", APPLE)),
            ("1900".into(), "100".into())
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::furnished();
        world.refuse("admin", split(APPLE, 0, 1), Code::Malformed);
        world.refuse("admin", split(APPLE, 1, 0), Code::Malformed);
        let record = RecordTime::Height(1);
        let late = Instruction::Split {
            isin: isin(APPLE),
            new: 2,
            old: 1,
            record,
        };
        world.refuse("admin", late, Code::Malformed);
        world.refuse("admin", split(GOOGLE, 2, 1), Code::UnknownIssue);
        world.refuse("apple", split(APPLE, 2, 1), Code::NotPermitted);
    }

    #[test]
    fn the_total_reaches_its_limit_and_no_further() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 0, "APPLE-T"));
        world.settle("admin", issue_units(APPLE, "500000000000000000"));
        world.refuse("admin", split(APPLE, u32::MAX, 1), Code::Limit);
        world.refuse("admin", split(APPLE, 2_000_001, 1_000_000), Code::Limit);
        world.settle("admin", split(APPLE, 2, 1));
        assert_eq!(world.held("APPLE-T", APPLE), "1000000000000000000");
        world.settle("admin", split(APPLE, u32::MAX, u32::MAX));
        world.settle("admin", split(APPLE, 1, u32::MAX));
        assert_eq!(world.held("APPLE-T", APPLE), "232830643");
    }
}
