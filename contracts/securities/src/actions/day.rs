//! Open a business day.
//!
//! What it is: the business date, which is ledger data apart from block time, moves forward.
//!
//! What it checks: that the date is later than the current one (`date-not-forward`). Days may be
//! left out; there is no calendar yet.
//!
//! What it changes: the current date; one row among the days, from which closes are found again.

use crate::date::BusinessDate;
use crate::events::Done;
use crate::outcome::Code;
use crate::rows::{Day, Happened};
use crate::state::State;

pub(crate) fn apply(state: &mut State, date: BusinessDate) -> Result<Done, Code> {
    if state
        .clock
        .business_date
        .is_some_and(|current| date <= current)
    {
        return Err(Code::DateNotForward);
    }
    let day = state.days.push(Day {
        date,
        sequence: state.clock.sequence,
    });
    state.clock_mut().business_date = Some(date);
    Ok(Done::settled(Happened::Day(day)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::Code;
    use crate::world::{World, open_day};

    #[test]
    fn the_date_moves_forward_only() {
        let mut world = World::new();
        world.settle("admin", open_day("2012-08-08"));
        world.refuse("admin", open_day("2012-08-08"), Code::DateNotForward);
        world.refuse("admin", open_day("2012-08-07"), Code::DateNotForward);
        world.refuse("alpha", open_day("2012-08-09"), Code::NotPermitted);
        world.settle("admin", open_day("2012-08-13"));
        assert_eq!(
            world.state.business_date().unwrap().to_string(),
            "2012-08-13"
        );
    }
}
