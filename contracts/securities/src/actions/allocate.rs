//! Allocate.
//!
//! What it is: units go from an issue's treasury to an account, free of payment.
//!
//! What it checks: the quantity is above zero (`malformed`); the issue exists and the caller may
//! act on it (`not-found`); the receiving account exists (`unknown-account`); the quantity has no
//! more decimals than the issue (`malformed`); the treasury holds enough (`LACK`, `BLOC`).
//!
//! What it changes: the two positions, by the same number. To the treasury itself: nothing.

use crate::decimal::Decimal;
use crate::events::Done;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::state::{Caller, State};
use crate::text::AccountId;

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    isin: &Isin,
    account: &AccountId,
    quantity: Decimal,
) -> Result<Done, Code> {
    let index = state.source_issue(caller, isin)?;
    let to = state.receiving_account(account)?;
    let issue = state.issues.row(index);
    let treasury = issue.treasury;
    let units = quantity.units(issue.decimals).ok_or(Code::Malformed)?;
    let units = state.check_units(treasury, index, units)?;
    state.move_units(index, treasury, to, units);
    Ok(Done::units(index, Some(treasury), to, units))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, GOOGLE, World, allocate};
    use crate::{Code, RecordTime};

    #[test]
    fn units_leave_the_treasury() {
        let mut world = World::furnished();
        world.settle("admin", allocate(APPLE, "B-1", "500"));
        let text = world.registry_text(APPLE, RecordTime::Now);
        assert_eq!(text, "8: 1000000 = 998500 + [A-1=1000 B-1=500]");
        world.settle("admin", allocate(APPLE, "APPLE-T", "998500"));
        assert_eq!(world.held("APPLE-T", APPLE), "998500");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::furnished();
        world.refuse("admin", allocate(APPLE, "A-1", "0"), Code::Malformed);
        world.refuse("admin", allocate(APPLE, "A-1", "1.0"), Code::Malformed);
        world.refuse("admin", allocate(APPLE, "A-9", "1"), Code::UnknownAccount);
        world.refuse("admin", allocate(GOOGLE, "A-9", "1"), Code::UnknownIssue);
        world.refuse(
            "admin",
            allocate(APPLE, "A-1", "999001"),
            Code::LackOfSecurities,
        );
        world.refuse(
            "admin",
            allocate(APPLE, "A-1", "999999999999999999"),
            Code::LackOfSecurities,
        );
        world.refuse("alpha", allocate(APPLE, "A-1", "1"), Code::NotPermitted);
        world.settle("admin", allocate(APPLE, "A-1", "999000"));
    }
}
