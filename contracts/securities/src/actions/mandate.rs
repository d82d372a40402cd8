//! Grant or revoke a mandate.
//!
//! What it is: a firm lets a venue (an exchange, or the central counterparty behind it) submit
//! locked-in trades that deliver from and pay from the accounts that the firm keeps, or takes that
//! back.
//!
//! What it checks: the venue is a member, whatever its role (`unknown-venue`). Whether its role may
//! submit locked-in trades at all is the policies' matter, and may change later.
//!
//! What it changes: one row among the mandates, from this order on. A mandate that is in force
//! already, and one that is not, stay as they are.

use crate::events::Done;
use crate::outcome::Code;
use crate::rows::Happened;
use crate::state::{Caller, State};
use crate::text::MemberName;

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    venue: &MemberName,
    in_force: bool,
) -> Result<Done, Code> {
    let (venue, _) = state.member_by_name(venue).ok_or(Code::UnknownVenue)?;
    state.set_mandate(caller.member, venue, in_force);
    Ok(Done::settled(Happened::Mandate { venue, in_force }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{APPLE, World, grant, locked_in, refused, revoke};
    use crate::{Code, Outcome, TableId};

    fn mandates(world: &World) -> Vec<Vec<u8>> {
        let rows = 0..world.state.table_len(TableId::Mandates);
        rows.map(|row| world.state.row_bytes(TableId::Mandates, row))
            .collect()
    }

    #[test]
    fn a_mandate_is_one_row_that_comes_and_goes() {
        let mut world = World::furnished();
        world.settle("alpha", revoke("admin"));
        assert!(mandates(&world).is_empty());
        world.settle("alpha", grant("admin"));
        let granted = mandates(&world);
        let since = world.state.sequence();
        assert_eq!(granted.len(), 1);
        let (rest, number) = granted[0].split_at(granted[0].len() - 8);
        assert_eq!(number, since.to_le_bytes());
        assert_eq!(rest.last(), Some(&1));
        // Once more: nothing new.
        world.settle("alpha", grant("admin"));
        assert_eq!(mandates(&world), granted);
        world.settle("alpha", revoke("admin"));
        let revoked = mandates(&world);
        assert_eq!(revoked.len(), 1);
        assert_ne!(revoked, granted);
        world.settle("alpha", revoke("admin"));
        assert_eq!(mandates(&world), revoked);
        // Every firm and every venue has a row of its own.
        world.settle("beta", grant("admin"));
        world.settle("alpha", grant("bank"));
        world.settle("alpha", grant("alpha"));
        assert_eq!(mandates(&world).len(), 4);
        assert_eq!(mandates(&world)[0], revoked[0]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut world = World::furnished();
        for order in [grant, revoke] {
            world.refuse("alpha", order("nobody"), Code::UnknownVenue);
            for member in ["admin", "apple", "regulator", "bank", "oracle"] {
                world.refuse(member, order("nobody"), Code::NotPermitted);
            }
        }
    }

    #[test]
    fn a_repeated_grant_answers_as_before_and_grants_nothing_anew() {
        let mut world = World::furnished();
        world.settle("beta", grant("admin"));
        assert_eq!(world.order("alpha", "M1", grant("admin")), Outcome::SETTLED);
        world.settle("alpha", revoke("admin"));
        assert_eq!(world.order("alpha", "M1", grant("admin")), Outcome::SETTLED);
        let other = revoke("admin");
        assert_eq!(world.order("alpha", "M1", other), refused(Code::Duplicate));
        let trade = locked_in("A-1", "B-1", APPLE, "1", "1.00");
        world.refuse("admin", trade, Code::NotFound);
    }
}
