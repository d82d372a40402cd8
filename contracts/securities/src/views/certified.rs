//! The registry of an issue as it is certified: what every copy of the books computes alike, to be put under a root.
//!
//! Who may ask: whoever may read the registry, with or without accounts and firms.
//!
//! What it answers: the totals, and for every account above zero but the treasury its number of units, without names,
//! which are outside the books. `issued = treasury + sum of the rows`.
//!
//! INVARIANT: what the block at a height certified can be computed again at any later time, and is the same.

use crate::authority::Authority;
use crate::history::Moment;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::rows::{AccountIndex, MemberId};
use crate::state::State;

/// The registry of an issue at the end of a block, or at the close of a business date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedRows {
    /// The moment, as a reading of it is put on record.
    pub as_of: RecordTime,
    /// The height of the block that the moment lies in, or at whose end it lies.
    pub height: u64,
    /// Ledger time of that block, Unix milliseconds; 0 before the first.
    pub time_ms: u64,
    /// Decimals of all quantities in it.
    pub decimals: u8,
    /// All units there were.
    pub issued: u64,
    /// The treasury's units.
    pub treasury: u64,
    /// Everybody else's, in the order in which the accounts came to hold the issue.
    pub rows: Vec<(AccountIndex, u64)>,
}

impl State {
    /// How many accounts hold an issue or once did: the work of certifying its registry, for who may read it.
    ///
    /// # Errors
    /// `not-a-member`, `not-permitted`, `not-found`.
    pub fn positions_in(
        &self,
        (caller, authority): (MemberId, &dyn Authority),
        isin: &Isin,
    ) -> Result<usize, Code> {
        self.members.find(caller).ok_or(Code::NotAMember)?;
        let (index, _) = self.readable(caller, authority, isin)?;
        Ok(self.positions_of(index).len())
    }

    /// The registry that an order in the block at `height` certifies: as of a moment that was over when the block began,
    /// and otherwise as of the end of the block before.
    ///
    /// # Errors
    /// `not-a-member`; then as for [`State::registry`]: `not-permitted`, `not-found`, `unknown-record-time`.
    pub fn certified_rows(
        &self,
        (caller, authority): (MemberId, &dyn Authority),
        isin: &Isin,
        as_of: RecordTime,
        height: u64,
    ) -> Result<CertifiedRows, Code> {
        self.members.find(caller).ok_or(Code::NotAMember)?;
        let (index, _) = self.readable(caller, authority, isin)?;
        let (as_of, moment) = self.moment_before(as_of, height)?;
        let issue = self.issues.row(index);
        let (treasury, rows) = self.registry_rows(index, issue.treasury, moment.sequence);
        Ok(CertifiedRows {
            as_of,
            height: moment.height,
            time_ms: self.time_of(moment.height),
            decimals: issue.decimals,
            issued: self.issued_history.value_at(index, moment.sequence),
            treasury,
            rows,
        })
    }

    /// The moment that a record time meant before the block at `height`, which exists.
    fn moment_before(&self, as_of: RecordTime, height: u64) -> Result<(RecordTime, Moment), Code> {
        if height > self.clock.height {
            return Err(Code::UnknownRecordTime);
        }
        if let RecordTime::Height(asked) = as_of
            && asked >= height
        {
            return Err(Code::UnknownRecordTime);
        }
        let before = height.saturating_sub(1);
        let last = self.end_of_block(before);
        let over = match as_of {
            RecordTime::Now => None,
            // A date that closes in this block or later is not over, wherever in the block it closes.
            RecordTime::Date(date) => self.closed(date, last.sequence),
            RecordTime::Height(_) | RecordTime::Time(_) => Some(self.moment(as_of)?),
        };
        let over = over.filter(|moment| moment.height < height);
        Ok(over.map_or((RecordTime::Height(before), last), |moment| (as_of, moment)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Role;
    use crate::world::{APPLE, GOOGLE, Permissions, World, issue_units, open_day, transfer};

    fn certified(
        world: &World,
        name: &str,
        isin: &str,
        as_of: RecordTime,
        height: u64,
    ) -> Result<CertifiedRows, Code> {
        let rules = match name {
            "apple" | "google" | "toyota" => Permissions(Role::Issuer),
            "regulator" => Permissions(Role::Regulator),
            _ => Permissions(Role::Firm),
        };
        let isin = Isin::new(isin).unwrap();
        world
            .state
            .certified_rows((world.id(name), &rules), &isin, as_of, height)
    }

    #[test]
    fn a_block_certifies_the_same_however_late_it_is_asked_about() {
        let mut world = World::furnished();
        world.next_block();
        let mut found = Vec::new();
        let mut dates = Vec::new();
        for day in 1..9_u8 {
            let height = world.state.height();
            // Orders before and after, days that close between blocks and within one.
            if day % 3 == 0 {
                world.settle("alpha", transfer(APPLE, "A-1", "B-1", &day.to_string()));
            }
            if day % 2 == 0 {
                world.settle("admin", open_day(&format!("2013-01-0{day}")));
                dates.push(crate::BusinessDate::new(2013, 1, day - 1).unwrap());
            }
            if day % 4 == 0 {
                world.settle("admin", issue_units(APPLE, "5"));
            }
            let now = world.state.time_ms();
            let mut moments = vec![
                RecordTime::Now,
                RecordTime::Height(0),
                RecordTime::Height(height - 1),
                RecordTime::Time(now),
                RecordTime::Time(now + 1_000),
                RecordTime::Time(now.saturating_sub(1)),
            ];
            moments.extend(dates.iter().map(|date| RecordTime::Date(*date)));
            for as_of in moments {
                let rows = certified(&world, "apple", APPLE, as_of, height).unwrap();
                let units: u64 = rows.rows.iter().map(|(_, units)| units).sum();
                assert_eq!(rows.issued, rows.treasury + units);
                assert!(rows.height < height);
                found.push((as_of, height, rows));
            }
            if day % 3 == 1 {
                world.settle("alpha", transfer(APPLE, "A-1", "B-1", "1"));
            }
            world.next_block();
            for (as_of, height, rows) in &found {
                let again = certified(&world, "apple", APPLE, *as_of, *height).unwrap();
                assert_eq!(again, *rows, "{as_of:?} {height}");
            }
        }
    }

    #[test]
    fn a_date_that_closes_in_the_block_is_not_over_before_it_or_after_it() {
        let mut world = World::furnished();
        world.settle("admin", open_day("2013-01-01"));
        world.next_block();
        let height = world.state.height();
        let date = RecordTime::Date(crate::BusinessDate::new(2013, 1, 1).unwrap());
        let ask = |world: &World| certified(world, "apple", APPLE, date, height).unwrap();
        let before = ask(&world);
        assert_eq!(before.as_of, RecordTime::Height(height - 1));
        // Its first order closes the date.
        let opened = world.order_in_block("admin", "DAY", open_day("2013-01-02"));
        assert!(opened.is_accepted());
        assert_eq!(ask(&world), before);
        let moved = world.order_in_block("alpha", "MOVE", transfer(APPLE, "A-1", "B-1", "1"));
        assert!(moved.is_accepted());
        assert_eq!(ask(&world), before);
        world.next_block();
        assert_eq!(ask(&world), before);
        let next = certified(&world, "apple", APPLE, date, height + 1).unwrap();
        assert_eq!((next.as_of, next.height), (date, height - 1));
        assert_eq!(next.rows, before.rows);
    }

    #[test]
    fn it_is_what_the_registry_says_and_refused_to_the_same_callers() {
        let mut world = World::furnished();
        world.settle("alpha", transfer(APPLE, "A-1", "B-1", "600"));
        world.next_block();
        let height = world.state.height();
        let rows = certified(&world, "apple", APPLE, RecordTime::Now, height).unwrap();
        let units: Vec<u64> = rows.rows.iter().map(|(_, units)| *units).collect();
        assert_eq!((rows.issued, rows.treasury), (1_000_000, 999_000));
        assert_eq!(units, [400, 600]);
        assert_eq!(rows.as_of, RecordTime::Height(height - 1));
        let refused = |name, isin, as_of| certified(&world, name, isin, as_of, height).unwrap_err();
        let now = RecordTime::Now;
        assert_eq!(refused("google", APPLE, now), Code::NotFound);
        assert_eq!(refused("google", GOOGLE, now), Code::NotFound);
        assert_eq!(refused("alpha", APPLE, now), Code::NotPermitted);
        let ahead = RecordTime::Height(height);
        assert_eq!(refused("apple", APPLE, ahead), Code::UnknownRecordTime);
        let later = certified(&world, "apple", APPLE, now, height + 1);
        assert_eq!(later.unwrap_err(), Code::UnknownRecordTime);
        let (apple, rules) = (world.id("apple"), Permissions(Role::Issuer));
        let work = |isin| {
            let isin = Isin::new(isin).unwrap();
            world.state.positions_in((apple, &rules), &isin)
        };
        assert_eq!((work(APPLE), work(GOOGLE)), (Ok(3), Err(Code::NotFound)));
    }
}
