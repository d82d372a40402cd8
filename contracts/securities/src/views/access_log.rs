//! Who read what of one's own.
//!
//! Who may ask: whoever may read the access log; the readings that concerned it, and those that it made itself.
//!
//! What it answers: one row a reading, in the order in which they were put on record. One of which the owners are not
//! told yet is not there for them, and nothing shows that it is missing; later it stands in its place.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::authority::{Action, Authority};
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::Outcome;
use crate::rows::{Access, MemberId, Read};
use crate::state::State;
use crate::text::MemberName;

/// The most rows in one answer.
pub const ACCESS_ROWS_MAX: usize = 5_000;

/// Readings that concern the caller.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccessLogView {
    /// The height that the view was taken at.
    pub height: u64,
    /// The readings.
    pub rows: Vec<AccessRow>,
    /// Whether there are more, from the height of the last row on.
    pub more: bool,
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccessRow {
    /// Who read.
    pub reader: MemberName,
    /// Fingerprint of the certificate that it asked under.
    pub certificate: [u8; 32],
    /// What it read.
    pub read: AccessedView,
    /// The height of the block that put it on record.
    pub height: u64,
    /// The time of that block in milliseconds since 1970.
    pub time_ms: u64,
    /// From when on the owners are told; the time of the block if at once.
    pub disclosed_ms: u64,
}

/// Which view was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AccessedView {
    /// The registry of an issue as of a moment.
    Registry {
        /// The issue.
        isin: Isin,
        /// The moment, as it was asked for.
        as_of: RecordTime,
    },
    /// What all accounts hold.
    Holdings,
    /// All trades.
    Trades,
    /// The totals.
    Audit,
}

impl State {
    /// The readings from a height on that concern the caller.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may not read the log.
    pub fn access_log(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        from_height: u64,
    ) -> Result<AccessLogView, Outcome> {
        self.check_role(caller, authority, Action::ReadAccessLog)?;
        let rows = self.accesses.rows();
        let first = rows.partition_point(|access| access.height < from_height);
        let now_ms = self.time_ms();
        let own = self.own_of(caller);
        let told = |access: &&Access| {
            access.reader == caller
                || (access.disclosed_ms <= now_ms && self.concerns(&own, access))
        };
        let found = rows.iter().skip(first).filter(told);
        let mut rows: Vec<_> = found
            .take(ACCESS_ROWS_MAX + 1)
            .map(|access| self.access_row(access))
            .collect();
        let more = rows.len() > ACCESS_ROWS_MAX;
        rows.truncate(ACCESS_ROWS_MAX);
        Ok(AccessLogView {
            height: self.height(),
            rows,
            more,
        })
    }

    pub(super) fn access_row(&self, access: &Access) -> AccessRow {
        AccessRow {
            reader: self.members.row(access.reader).name,
            certificate: access.certificate,
            read: match access.read {
                Read::Registry { issue, as_of } => AccessedView::Registry {
                    isin: self.issues.row(issue).isin,
                    as_of,
                },
                Read::Holdings => AccessedView::Holdings,
                Read::Trades => AccessedView::Trades,
                Read::Audit => AccessedView::Audit,
            },
            height: access.height,
            time_ms: access.time_ms,
            disclosed_ms: access.disclosed_ms,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::accesses::{ANSWERED_MS, DELAY_MAX_MS, NewAccess, OnRecord, PER_BLOCK_MAX, Reading};
    use crate::world::{
        APPLE, GOOGLE, Permissions, World, isin, issue_units, mint, open_account, refused,
        register, trade, transfer,
    };
    use crate::{Code, Role, Side};

    fn role(name: &str) -> Role {
        match name {
            "admin" => Role::Admin,
            "regulator" => Role::Regulator,
            "apple" | "google" => Role::Issuer,
            "bank" => Role::CashAgent,
            "oracle" => Role::Oracle,
            _ => Role::Firm,
        }
    }

    fn registry(code: &str, as_of: RecordTime) -> Reading {
        Reading::Registry(isin(code), as_of)
    }

    fn record(world: &mut World, name: &str, reading: Reading, disclosed_ms: u64) -> Outcome {
        let reader = world.id(name);
        world.state.put_on_record(&NewAccess {
            reader,
            certificate: [9; 32],
            reading,
            question: [7; 32],
            disclosed_ms,
            authority: &Permissions(role(name)),
        })
    }

    /// What a member is told, as lines of text.
    fn log(world: &World, name: &str) -> Vec<String> {
        let rules = Permissions(role(name));
        let view = world.state.access_log(world.id(name), &rules, 0).unwrap();
        let line = |row: AccessRow| format!("{} {:?}", row.reader, row.read);
        view.rows.into_iter().map(line).collect()
    }

    #[test]
    fn owners_are_told_what_was_theirs_and_nothing_else() {
        let mut world = World::furnished();
        let before = world.state.height();
        world.settle("alpha", transfer(APPLE, "A-1", "B-1", "600"));
        let past = RecordTime::Height(before);
        for (name, reading) in [
            ("admin", registry(APPLE, past)),
            ("regulator", registry(APPLE, RecordTime::Now)),
            ("regulator", Reading::Audit),
        ] {
            assert_eq!(record(&mut world, name, reading, 0), Outcome::SETTLED);
        }
        // Beta kept no units of the issue at the moment that the admin read.
        assert_eq!(log(&world, "beta").len(), 1);
        assert!(log(&world, "beta")[0].starts_with("regulator Registry"));
        assert_eq!(log(&world, "alpha").len(), 2);
        assert_eq!(log(&world, "apple").len(), 3);
        assert_eq!(log(&world, "bank"), ["regulator Audit"]);
        assert!(log(&world, "google").is_empty());
        assert!(log(&world, "oracle").is_empty());
        // Readers see their own.
        assert_eq!(log(&world, "admin").len(), 1);
        assert_eq!(log(&world, "regulator").len(), 2);
        assert_eq!(
            record(&mut world, "admin", Reading::Holdings, 0),
            Outcome::SETTLED
        );
        assert_eq!(
            record(&mut world, "admin", Reading::Trades, 0),
            Outcome::SETTLED
        );
        assert_eq!(log(&world, "beta").last().unwrap(), "admin Holdings");
        assert!(!log(&world, "apple").contains(&"admin Trades".to_owned()));
    }

    #[test]
    fn who_may_not_read_others_puts_nothing_on_record() {
        let mut world = World::furnished();
        let all = [
            registry(APPLE, RecordTime::Now),
            Reading::Holdings,
            Reading::Trades,
            Reading::Audit,
        ];
        for name in ["alpha", "apple", "bank", "oracle"] {
            for reading in all {
                let outcome = record(&mut world, name, reading, 0);
                assert_eq!(outcome, refused(Code::NotPermitted), "{name}");
                let rules = Permissions(role(name));
                let needs = world.state.needs_record(world.id(name), &rules, &reading);
                assert!(!needs, "{name}");
            }
        }
        for reading in all {
            let rules = Permissions(Role::Admin);
            assert!(
                world
                    .state
                    .needs_record(world.id("admin"), &rules, &reading)
            );
        }
        let unknown = registry(GOOGLE, RecordTime::Now);
        let outcome = record(&mut world, "admin", unknown, 0);
        assert_eq!(outcome, refused(Code::NotFound));
        let ahead = registry(APPLE, RecordTime::Height(1_000));
        let outcome = record(&mut world, "admin", ahead, 0);
        assert_eq!(outcome, refused(Code::UnknownRecordTime));
        assert!(log(&world, "admin").is_empty());
    }

    #[test]
    fn a_delay_is_the_regulators_and_shows_afterwards() {
        let mut world = World::furnished();
        let now_ms = world.state.time_ms();
        let later = now_ms + 2_500;
        let reading = registry(APPLE, RecordTime::Now);
        let outcome = record(&mut world, "admin", reading, later);
        assert_eq!(outcome, refused(Code::NotPermitted));
        let too_late = now_ms + DELAY_MAX_MS + 1;
        let outcome = record(&mut world, "regulator", reading, too_late);
        assert_eq!(outcome, refused(Code::Limit));
        let outcome = record(&mut world, "regulator", reading, later);
        assert_eq!(outcome, Outcome::SETTLED);
        let without = log(&World::furnished(), "alpha");
        assert_eq!(log(&world, "alpha"), without);
        assert_eq!(log(&world, "regulator").len(), 1);
        world.next_block();
        world.next_block();
        assert_eq!(log(&world, "alpha"), without);
        world.next_block();
        assert_eq!(log(&world, "alpha").len(), 1);
        let rules = Permissions(Role::Firm);
        let view = world.state.access_log(world.id("alpha"), &rules, 0);
        let row = view.unwrap().rows.pop().unwrap();
        assert_eq!((row.time_ms, row.disclosed_ms), (now_ms, later));
        assert_eq!(row.certificate, [9; 32]);
        let none = world
            .state
            .access_log(world.id("alpha"), &rules, row.height + 1);
        assert!(none.unwrap().rows.is_empty());
    }

    #[test]
    fn a_record_is_answered_once_it_is_final_and_for_a_while() {
        let mut world = World::furnished();
        let (admin, question) = (world.id("admin"), [7; 32]);
        let height = world.state.height();
        let state = |world: &World, of, question: &[u8; 32], at, final_height| {
            world
                .state
                .on_record((of, &[9; 32]), question, at, final_height)
        };
        let yes = |found| matches!(found, OnRecord::Yes(_));
        let none = state(&world, admin, &question, height, height);
        assert_eq!(none, OnRecord::No);
        record(&mut world, "admin", Reading::Holdings, 0);
        let early = state(&world, admin, &question, height, height - 1);
        assert_eq!(early, OnRecord::NotYet);
        assert!(yes(state(&world, admin, &question, height, height)));
        for (at, question) in [
            (height, [8; 32]),
            (height - 1, question),
            (height + 1, question),
        ] {
            let found = state(&world, admin, &question, at, height);
            assert_eq!(found, OnRecord::No, "{at}");
        }
        let other = (admin, &[8; 32]);
        let found = world.state.on_record(other, &question, height, height);
        assert_eq!(found, OnRecord::No);
        let regulator = world.id("regulator");
        let found = state(&world, regulator, &question, height, height);
        assert_eq!(found, OnRecord::No);
        let last = world.state.time_ms() + ANSWERED_MS;
        world.state.begin_block(height + 1, last).unwrap();
        record(&mut world, "admin", Reading::Holdings, 0);
        // A second record does not put off what the first one permits.
        assert!(yes(state(&world, admin, &question, height, height)));
        world.state.begin_block(height + 2, last + 1).unwrap();
        let over = state(&world, admin, &question, height, height + 1);
        assert_eq!(over, OnRecord::No);
        assert!(yes(state(&world, admin, &question, height + 1, height + 1)));
    }

    /// What is answered for the newest record.
    fn recorded(world: &World, name: &str) -> crate::Recorded {
        let reader = (world.id(name), &[9; 32]);
        let newest = world.state.accesses.rows().last().unwrap().height;
        match world.state.on_record(reader, &[7; 32], newest, u64::MAX) {
            OnRecord::Yes(recorded) => recorded,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_came_after_the_record_is_not_in_the_answer() {
        let mut world = World::furnished();
        world.next_block();
        world.settle("admin", issue_units(APPLE, "10"));
        for reading in [
            registry(APPLE, RecordTime::Now),
            Reading::Holdings,
            Reading::Trades,
            Reading::Audit,
        ] {
            assert_eq!(
                record(&mut world, "regulator", reading, 0),
                Outcome::SETTLED
            );
        }
        let recorded = recorded(&world, "regulator");
        let (regulator, rules) = (world.id("regulator"), Permissions(Role::Regulator));
        let names = |_| None;
        let (state, by) = (&world.state, (regulator, &rules as &dyn Authority));
        let read = |state: &State| {
            let apple = isin(APPLE);
            let registry = state
                .registry_on_record(by, &apple, recorded, &names)
                .unwrap();
            let mut holdings = state.holdings(regulator, &rules, &names).unwrap();
            state.as_recorded_holdings(&mut holdings, recorded);
            let mut trades = state.trades(regulator, &rules).unwrap();
            state.as_recorded_trades(&mut trades, recorded);
            let mut totals = state.audit(regulator, &rules).unwrap();
            state.as_recorded_totals(&mut totals, recorded);
            (registry, holdings, trades.trades, totals)
        };
        let before = read(state);
        // Gamma, Google and a new currency come later, in blocks of their own.
        world.settle("gamma", open_account("G-9"));
        world.settle("alpha", transfer(APPLE, "A-1", "G-9", "5"));
        world.settle("admin", register(GOOGLE, "google", 0, "GOOGLE-9"));
        world.settle("bank", mint("EUR", "G-9", "1.00"));
        let order = trade(Side::Sell, "G-9", "beta", APPLE, "1", "1.00");
        world.order("gamma", "G1", order);
        let after = read(&world.state);
        assert_eq!(after.0, before.0);
        let accounts = |view: &crate::HoldingsView| -> Vec<String> {
            view.accounts
                .iter()
                .map(|row| row.account.to_string())
                .collect()
        };
        assert_eq!(accounts(&after.1), accounts(&before.1));
        assert_eq!(after.2, before.2);
        assert_eq!(after.3.issues.len(), before.3.issues.len());
        assert_eq!(after.3.currencies.len(), before.3.currencies.len());
        // So none of them is told, and who was there is.
        for name in ["gamma", "google"] {
            assert!(log(&world, name).is_empty(), "{name}");
        }
        assert_eq!(log(&world, "alpha").len(), 2);
        assert_eq!(
            record(&mut world, "regulator", Reading::Trades, 0),
            Outcome::SETTLED
        );
        for name in ["gamma", "beta"] {
            assert_eq!(
                log(&world, name).last().unwrap(),
                "regulator Trades",
                "{name}"
            );
        }
    }

    #[test]
    fn a_member_puts_so_many_on_record_in_a_block_and_they_are_read_in_pages() {
        let mut world = World::furnished();
        for _ in 0..PER_BLOCK_MAX {
            assert_eq!(
                record(&mut world, "admin", Reading::Holdings, 0),
                Outcome::SETTLED
            );
        }
        let more = record(&mut world, "admin", Reading::Holdings, 0);
        assert_eq!(more, refused(Code::Limit));
        assert_eq!(
            record(&mut world, "regulator", Reading::Holdings, 0),
            Outcome::SETTLED
        );
        while world.state.accesses.len() < 5_200 {
            world.next_block();
            for _ in 0..PER_BLOCK_MAX {
                record(&mut world, "admin", Reading::Holdings, 0);
            }
        }
        let rules = Permissions(Role::Firm);
        let page = |from| {
            let view = world.state.access_log(world.id("alpha"), &rules, from);
            view.unwrap()
        };
        let first = page(0);
        assert!(first.more && first.rows.len() == ACCESS_ROWS_MAX);
        let second = page(first.rows.last().unwrap().height);
        assert!(!second.more && second.rows.len() > 100);
        let last = world.state.height();
        assert_eq!(second.rows.last().unwrap().height, last);
    }
}
