//! Issue units.
//!
//! What it is: new units of an issue come into being in its treasury account.
//!
//! What it checks: the quantity is above zero (`malformed`); the issue exists and the caller may
//! act on it (`not-found`); the quantity has no more decimals than the issue (`malformed`); the new
//! total stays within the limit (`limit`).
//!
//! What it changes: the treasury's position and the issued total, by the same number.

use crate::books::check_limit;
use crate::decimal::Decimal;
use crate::events::Done;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::state::{Caller, State};

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    isin: &Isin,
    quantity: Decimal,
) -> Result<Done, Code> {
    let index = state.source_issue(caller, isin)?;
    let issue = state.issues.row(index);
    let (treasury, issued) = (issue.treasury, issue.issued);
    let units = quantity.units(issue.decimals).ok_or(Code::Malformed)?;
    let units = check_limit(issued, units)?;
    state.add_units(index, treasury, units);
    state.set_issued(index, issued + units);
    Ok(Done::units(index, None, treasury, units))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, GOOGLE, World, issue_units, register};
    use crate::{Code, RecordTime};

    #[test]
    fn units_appear_in_the_treasury() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 2, "APPLE-T"));
        world.settle("admin", issue_units(APPLE, "10.5"));
        world.settle("admin", issue_units(APPLE, "0.25"));
        assert_eq!(
            world.registry_text(APPLE, RecordTime::Now),
            "3: 10.75 = 10.75 + []"
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 2, "APPLE-T"));
        world.refuse("admin", issue_units(APPLE, "0.00"), Code::Malformed);
        world.refuse("admin", issue_units(APPLE, "1.000"), Code::Malformed);
        world.refuse("admin", issue_units(GOOGLE, "1"), Code::UnknownIssue);
        world.refuse("apple", issue_units(APPLE, "1"), Code::NotPermitted);
    }

    #[test]
    fn the_total_reaches_its_limit_and_no_further() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 8, "APPLE-T"));
        world.refuse(
            "admin",
            issue_units(APPLE, "999999999999999999"),
            Code::Limit,
        );
        world.refuse("admin", issue_units(APPLE, "1.000000001"), Code::Malformed);
        world.refuse("admin", issue_units(APPLE, "10000000001"), Code::Limit);
        world.settle("admin", issue_units(APPLE, "10000000000"));
        world.refuse("admin", issue_units(APPLE, "0.00000001"), Code::Limit);
        assert_eq!(world.held("APPLE-T", APPLE), "10000000000.00000000");
    }
}
