//! Events: each member is told what concerns it, once, in one order, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold"
)]

mod world;

use sealbook_securities::{
    ClientReference, Code, EVENTS_MAX, Effect, Event, EventCursor, EventRow, EventsView, NewAccess,
    Order, Outcome, Reading, RecordTime, Side, State, Status, TableId,
};
use world::{
    APPLE, GOOGLE, World, allocate, confirm, content, dividend, grant, isin, issue_units,
    locked_in, mint, open_account, open_day, register, revoke, split, trade, transfer,
    transfer_cash,
};

const ALL: [&str; 10] = [
    "admin",
    "alpha",
    "beta",
    "gamma",
    "apple",
    "google",
    "regulator",
    "bank",
    "mint",
    "oracle",
];

fn start(height: u64) -> EventCursor {
    EventCursor { height, place: 0 }
}

fn page(world: &World, name: &str, from: EventCursor, final_height: u64) -> EventsView {
    pages(world, name, from, (final_height, EVENTS_MAX))
}

fn pages(world: &World, name: &str, from: EventCursor, until: (u64, usize)) -> EventsView {
    let (id, permissions) = (world.id(name), world.permissions(name));
    world.state.events(id, &permissions, from, until).unwrap()
}

/// All that a member is told.
fn all(world: &World, name: &str) -> Vec<EventRow> {
    all_by(world, name, EVENTS_MAX)
}

/// The same, so many at a time.
fn all_by(world: &World, name: &str, most: usize) -> Vec<EventRow> {
    let (mut rows, mut from) = (Vec::new(), EventCursor::default());
    loop {
        let view = pages(world, name, from, (world.state.height(), most));
        assert!(view.next > from && view.rows.len() <= most);
        // A page that has others after it is full.
        assert!(
            !view.more || view.rows.len() == most,
            "{name} {most} {view:?}"
        );
        (from, rows) = (view.next, [rows, view.rows].concat());
        if !view.more {
            assert_eq!(from, start(world.state.height() + 1));
            return rows;
        }
    }
}

fn account(id: Option<sealbook_securities::AccountId>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| id.to_string())
}

fn line(row: &EventRow) -> String {
    let Event::Order {
        action,
        reference,
        outcome,
        effect,
    } = &row.event
    else {
        let Event::Access(access) = &row.event else {
            return String::new();
        };
        return format!("{} read", access.reader);
    };
    let own = reference.map_or_else(String::new, |reference| format!("{reference} "));
    let effect = match effect.clone() {
        Effect::None => String::new(),
        Effect::Trade(trade) => format!(
            " {} {} {} {}",
            trade.reference,
            trade.status.as_str(),
            account(trade.recorder_account),
            account(trade.counterparty_account)
        ),
        Effect::Units {
            quantity, from, to, ..
        } => format!(" {quantity} {} {}", account(from), account(to)),
        Effect::Cash {
            amount, from, to, ..
        } => {
            format!(" {amount} {} {}", account(from), account(to))
        }
        Effect::Registered { isin } => format!(" {isin}"),
        Effect::Mandate { in_force, .. } => format!(" {in_force}"),
        Effect::Dividend {
            accounts,
            received,
            paid,
            ..
        } => {
            let paid = paid.map_or_else(String::new, |paid| format!(" of {paid}"));
            format!(" {received} on {accounts}{paid}")
        }
        Effect::Split { new, old, .. } => format!(" {new}:{old}"),
        Effect::Day { date } => format!(" {date}"),
    };
    format!("{own}{action} {outcome}{effect}")
}

/// What a member was told after the world was furnished.
fn told(world: &World, name: &str) -> Vec<String> {
    let rows = all(world, name);
    let rows = rows.iter().filter(|row| row.at.height > 7);
    rows.map(line).collect()
}

#[test]
fn each_is_told_what_concerns_it_and_what_of_it_it_may_know() {
    let mut world = World::furnished();
    world.order("alpha", "T1", transfer(APPLE, "A-1", "B-1", "10"));
    world.order(
        "beta",
        "T2",
        transfer_cash("USD", "B-1", "APPLE-T", "900.00"),
    );
    world.order("alpha", "T3", transfer(APPLE, "A-2", "B-1", "1"));
    let order = trade(Side::Sell, "A-1", "beta", APPLE, "100", "41.00");
    world.order("alpha", "D1", order);
    world.order("beta", "C1", confirm("D1", "B-1"));
    world.order("beta", "M1", grant("admin"));
    world.order("alpha", "M2", grant("admin"));
    world.order("admin", "V1", locked_in("B-1", "A-2", APPLE, "5", "2.00"));
    world.order("admin", "V2", locked_in("B-1", "A-1", APPLE, "5", "2.00"));
    world.order("admin", "P1", dividend(APPLE, "0.50", RecordTime::Now));
    world.order("admin", "P2", split(APPLE, 2, 1));
    world.order("admin", "P3", open_day("2012-08-09"));
    world.order("beta", "M3", revoke("admin"));
    world.read("regulator", Reading::Holdings);

    let alpha = [
        "T1 transfer settled 10 A-1 B-1",
        "T3 transfer rejected LACK",
        "D1 record-trade pending D1 open A-1 -",
        "confirm-trade settled D1 settled A-1 -",
        "M2 grant-mandate settled true",
        // The buyer lacked money for what the venue submitted first, which is told to the venue alone.
        "locked-in-trade settled V2 settled - A-1",
        "dividend settled 447.50 on 1",
        "split settled 2:1",
        "open-day settled 2012-08-09",
        "regulator read",
    ];
    assert_eq!(told(&world, "alpha"), alpha);
    assert_eq!(
        told(&world, "beta"),
        [
            "transfer settled 10 - B-1",
            "T2 transfer settled 900.00 B-1 APPLE-T",
            "record-trade pending D1 open - -",
            "C1 confirm-trade settled D1 settled - B-1",
            "M1 grant-mandate settled true",
            "locked-in-trade settled V2 settled B-1 -",
            "dividend settled 52.50 on 1",
            "split settled 2:1",
            "open-day settled 2012-08-09",
            "M3 revoke-mandate settled false",
            "regulator read",
        ]
    );
    assert_eq!(
        told(&world, "apple"),
        [
            "transfer settled 900.00 - APPLE-T",
            "dividend settled 0.00 on 0 of 500.00",
            "split settled 2:1",
            "open-day settled 2012-08-09",
            "regulator read",
        ]
    );
    assert_eq!(
        told(&world, "admin"),
        [
            "grant-mandate settled true",
            "grant-mandate settled true",
            "V1 locked-in-trade rejected MONY",
            "V2 locked-in-trade settled V2 settled - -",
            "P1 dividend settled 0.00 on 0 of 500.00",
            "P2 split settled 2:1",
            "P3 open-day settled 2012-08-09",
            "revoke-mandate settled false",
        ]
    );
    for name in ["gamma", "google", "regulator", "bank", "mint", "oracle"] {
        assert_eq!(
            told(&world, name),
            ["open-day settled 2012-08-09"],
            "{name}"
        );
    }
}

#[test]
fn how_issues_come_about_is_told_too() {
    let world = World::furnished();
    let lines = |name| -> Vec<String> { all(&world, name).iter().map(line).collect() };
    assert_eq!(
        lines("apple"),
        [
            format!("register-issue settled {APPLE}"),
            "issue-units settled 1000000 - APPLE-T".to_owned(),
            "allocate settled 1000 APPLE-T -".to_owned(),
        ]
    );
    assert_eq!(
        lines("beta"),
        [
            "~5 open-account settled",
            "mint-cash settled 500000.00 - B-1"
        ]
    );
    assert_eq!(lines("bank"), ["~7 mint-cash settled 500000.00 - B-1"]);
}

/// Orders of many kinds, some of them refused, some in one block; pseudo-random, always the same.
fn busy(world: &mut World, mut after: impl FnMut(&mut World)) {
    world.settle("gamma", open_account("G-1"));
    world.settle("admin", register(GOOGLE, "google", 2, "GOOGLE-T"));
    world.settle("admin", issue_units(GOOGLE, "5000.00"));
    for firm in ["alpha", "beta", "gamma"] {
        world.settle(firm, grant("admin"));
    }
    let accounts = ["A-1", "A-2", "B-1", "G-1"];
    let owner = |place: usize| ["alpha", "alpha", "beta", "gamma"][place];
    let mut number = 1_u64;
    let mut next = |bound: usize| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize % bound
    };
    for round in 0..400 {
        let (from, to) = (next(4), next(4));
        let quantity = format!("{}", 1 + next(60));
        let reference = format!("R{}", next(300));
        if next(3) > 0 {
            let (height, same) = (world.state.height() + 1, next(2) as u64);
            let time_ms = world.state.time_ms() + 500 * same;
            world.state.begin_block(height, time_ms).unwrap();
        }
        let mut give = |name: &str, instruction| {
            world.order_in_block(name, &reference, instruction);
        };
        match next(12) {
            0 => give("admin", allocate(GOOGLE, accounts[to], &quantity)),
            1 => give("bank", mint("USD", accounts[to], &quantity)),
            2 => give("admin", split(APPLE, 3, 2)),
            3 => give("admin", dividend(GOOGLE, "0.01", RecordTime::Now)),
            4 => give("bank", mint("USD", "GOOGLE-T", "10.00")),
            5 | 6 => {
                let order = trade(
                    Side::Sell,
                    accounts[from],
                    owner(to),
                    APPLE,
                    &quantity,
                    "1.00",
                );
                give(owner(from), order);
            }
            7 | 8 => {
                let open = format!("R{}", next(300));
                give(owner(to), confirm(&open, accounts[to]));
            }
            9 => give(
                "admin",
                locked_in(accounts[from], accounts[to], APPLE, &quantity, "1.00"),
            ),
            _ => give(
                owner(from),
                transfer(APPLE, accounts[from], accounts[to], &quantity),
            ),
        }
        if round % 5 == 0 {
            let disclosed_ms = world.state.time_ms() + 700 * next(4) as u64;
            let readings = [
                Reading::Holdings,
                Reading::Trades,
                Reading::Registry(isin(APPLE), RecordTime::Now),
            ];
            let (reader, authority) = (world.id("regulator"), world.permissions("regulator"));
            let outcome = world.state.put_on_record(&NewAccess {
                reader,
                certificate: [9; 32],
                reading: readings[next(3)],
                question: [7; 32],
                disclosed_ms,
                authority: &authority,
            });
            assert_eq!(outcome, Outcome::SETTLED);
        }
        after(world);
    }
}

/// Whoever asks after every block, and goes on where it was, is told what somebody who asks at the end is told: nothing is
/// missed, nothing comes twice, and nothing is told otherwise later.
#[test]
fn whoever_goes_on_from_its_cursor_misses_nothing_and_sees_nothing_twice() {
    let mut world = World::furnished();
    let mut cursors = [EventCursor::default(); ALL.len()];
    let mut kept: Vec<Vec<EventRow>> = vec![Vec::new(); ALL.len()];
    let mut later = 0;
    let mut follow = |world: &mut World| {
        // The block that has begun may get more orders: it is not final.
        let final_height = world.state.height() - 1;
        later += 1;
        for (place, name) in ALL.into_iter().enumerate() {
            if later % (place + 1) != 0 {
                continue;
            }
            let view = page(world, name, cursors[place], final_height);
            assert!(!view.more && view.next >= cursors[place]);
            cursors[place] = view.next;
            kept[place].extend(view.rows);
        }
    };
    busy(&mut world, &mut follow);
    for _ in 0..ALL.len() * 10 {
        world.next_block_after(3_000);
        follow(&mut world);
    }
    let mut bytes = Vec::new();
    world.state.encode_into(&mut bytes).unwrap();
    let mut again = world.clone();
    again.state = State::decode(&bytes).unwrap();
    for (place, name) in ALL.into_iter().enumerate() {
        let rows = all(&world, name);
        assert!(rows.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!(kept[place], rows, "{name}");
        // A node that was restored says the same, and so do pages of any size.
        assert_eq!(all(&again, name), rows, "{name}");
        for most in [1, 2, 3, 7, 50] {
            assert_eq!(all_by(&world, name, most), rows, "{name} {most}");
        }
        // So does every other way through it.
        for row in &rows {
            let rest = page(&world, name, row.at, row.at.height);
            assert_eq!(rest.rows[0], *row);
        }
    }
    let count = |name: &str, status: Status| {
        let rows = all(&world, name);
        let with = |row: &&EventRow| matches!(&row.event, Event::Order { outcome, .. } if outcome.status == status);
        rows.iter().filter(with).count()
    };
    for status in [
        Status::Settled,
        Status::Pending,
        Status::Rejected,
        Status::Denied,
    ] {
        assert!(count("alpha", status) > 3, "{status}");
    }
    let read = |row: &EventRow| matches!(row.event, Event::Access(_));
    assert!(all(&world, "gamma").iter().any(read));
    assert_eq!(
        all(&world, "regulator")
            .iter()
            .filter(|row| read(row))
            .count(),
        0
    );
}

/// Under rules that let firms confirm on others' accounts, who keeps the account is told of the settlement, and of nothing
/// before it; a node that was restored, to which the trade is settled from the beginning, says the same.
#[test]
fn who_keeps_an_account_is_told_when_others_settle_on_it() {
    struct All;
    impl sealbook_securities::Authority for All {
        fn permits(
            &self,
            _: sealbook_securities::Action,
            _: sealbook_securities::Relation,
        ) -> bool {
            true
        }
    }
    let mut world = World::furnished();
    world.settle("gamma", open_account("G-1"));
    world.settle("bank", mint("USD", "G-1", "41.00"));
    let order = trade(Side::Sell, "A-1", "beta", APPLE, "100", "41.00");
    world.order("alpha", "D1", order);
    world.next_block();
    let instruction = confirm("D1", "G-1");
    let digest = content(&instruction);
    let order = Order {
        reference: "C1".parse().unwrap(),
        instruction,
    };
    let beta = world.id("beta");
    let outcome = world.state.apply(beta, &All, &order, digest);
    assert_eq!(outcome, Outcome::SETTLED);
    let mut bytes = Vec::new();
    world.state.encode_into(&mut bytes).unwrap();
    let mut again = world.clone();
    again.state = State::decode(&bytes).unwrap();
    for world in [&world, &again] {
        let told = told(world, "gamma");
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[2].starts_with("confirm-trade settled D1 settled"),
            "{told:?}"
        );
    }
    for name in ALL {
        assert_eq!(all(&world, name), all(&again, name), "{name}");
    }
}

#[test]
fn a_reading_is_told_in_the_first_block_after_it_is_disclosed() {
    let mut world = World::furnished();
    let height = world.state.height();
    let disclosed_ms = world.state.time_ms() + 2_000;
    let (reader, authority) = (world.id("regulator"), world.permissions("regulator"));
    let outcome = world.state.put_on_record(&NewAccess {
        reader,
        certificate: [9; 32],
        reading: Reading::Holdings,
        question: [7; 32],
        disclosed_ms,
        authority: &authority,
    });
    assert_eq!(outcome, Outcome::SETTLED);
    let seen = |world: &World| {
        let view = page(world, "alpha", start(height), world.state.height());
        view.rows
            .iter()
            .map(|row| row.at.height)
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&world), [0_u64; 0]);
    world.next_block();
    assert_eq!(seen(&world), [0_u64; 0]);
    world.next_block();
    assert_eq!(seen(&world), [height + 2]);
    world.next_block();
    assert_eq!(seen(&world), [height + 2]);
}

#[test]
fn a_block_of_many_is_told_in_pages() {
    let mut world = World::furnished();
    world.next_block();
    let height = world.state.height();
    let many = EVENTS_MAX * 2 + 5;
    let (alpha, permissions) = (world.id("alpha"), world.permissions("alpha"));
    for number in 0..many {
        let instruction = transfer(APPLE, "A-1", "A-2", "9999");
        let digest = content(&instruction);
        let reference = ClientReference::new(&format!("N{number}")).unwrap();
        let order = Order {
            reference,
            instruction,
        };
        let outcome = world.state.apply(alpha, &permissions, &order, digest);
        assert_eq!(outcome, Outcome::refused(Code::LackOfSecurities));
    }
    world.next_block();
    let first = page(&world, "alpha", start(height), height);
    assert!(first.more && first.rows.len() == EVENTS_MAX);
    assert_eq!(
        first.next,
        EventCursor {
            height,
            place: u32::try_from(EVENTS_MAX).unwrap()
        }
    );
    let second = page(&world, "alpha", first.next, height + 1);
    assert!(second.more);
    let third = page(&world, "alpha", second.next, height + 1);
    assert_eq!((third.more, third.rows.len()), (false, 5));
    assert_eq!(third.next, start(height + 2));
    // Past the last of a block there is none of it.
    let past = EventCursor {
        height,
        place: u32::MAX,
    };
    assert!(page(&world, "alpha", past, height).rows.is_empty());
    assert!(!page(&world, "alpha", past, height).more);
}

/// Whatever others do after the last event of a full page, the page is the same.
#[test]
fn where_a_page_ends_tells_nothing_of_others() {
    let quiet = World::furnished();
    let mut busy = quiet.clone();
    busy.settle("admin", register(GOOGLE, "google", 0, "GOOGLE-T"));
    busy.settle("admin", issue_units(GOOGLE, "100"));
    busy.settle("admin", split(GOOGLE, 2, 1));
    busy.settle("bank", mint("USD", "GOOGLE-T", "10.00"));
    busy.settle("admin", dividend(GOOGLE, "0.01", RecordTime::Now));
    for _ in 0..20 {
        busy.read(
            "regulator",
            Reading::Registry(isin(GOOGLE), RecordTime::Now),
        );
    }
    busy.settle("gamma", open_account("G-1"));
    let quiet = {
        let mut quiet = quiet;
        while quiet.state.height() < busy.state.height() {
            quiet.next_block();
        }
        quiet
    };
    let height = quiet.state.height();
    for name in ["alpha", "beta", "apple", "mint", "oracle"] {
        for most in 1..9 {
            for place in 0..3 {
                for from in 0..=height + 1 {
                    let from = EventCursor {
                        height: from,
                        place,
                    };
                    let [one, other] =
                        [&quiet, &busy].map(|world| pages(world, name, from, (height, most)));
                    assert_eq!(one, other, "{name} {most} {from:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_final_is_not_told_and_who_may_not_ask_is_refused() {
    let mut world = World::furnished();
    world.order("alpha", "T1", transfer(APPLE, "A-1", "B-1", "10"));
    let height = world.state.height();
    let view = page(&world, "beta", start(height), height - 1);
    assert_eq!(
        (view.rows.len(), view.next, view.more),
        (0, start(height), false)
    );
    assert_eq!(page(&world, "beta", start(height), height).rows.len(), 1);
    // A node that is behind sends nobody back.
    let ahead = EventCursor {
        height: height + 9,
        place: 3,
    };
    assert_eq!(page(&world, "beta", ahead, height).next, ahead);
    let none = world::Permissions(sealbook_securities::Role::Node);
    let view = world
        .state
        .events(world.id("beta"), &none, start(1), (height, EVENTS_MAX));
    assert_eq!(view, Err(Outcome::refused(Code::NotPermitted)));
}

#[test]
fn what_came_too_late_is_told_its_submitter() {
    let mut world = World::furnished();
    world.next_block();
    let order = Order {
        reference: "L1".parse().unwrap(),
        instruction: transfer(APPLE, "A-1", "B-1", "10"),
    };
    let orders = world.state.sequence();
    let digest = content(&order.instruction);
    let late = |world: &mut World| {
        let alpha = world.id("alpha");
        world.state.refuse(alpha, (&order, digest), Code::Expired)
    };
    let outcome = late(&mut world);
    assert_eq!(outcome, Outcome::refused(Code::Expired));
    assert_eq!(world.state.sequence(), orders + 1);
    assert_eq!(told(&world, "alpha"), ["L1 transfer rejected expired"]);
    assert!(told(&world, "beta").is_empty());
    // The same reference is free, and an order that is answered as before is no other event.
    world.order("alpha", "L1", transfer(APPLE, "A-1", "B-1", "10"));
    world.order("alpha", "L1", transfer(APPLE, "A-1", "B-1", "10"));
    assert_eq!(told(&world, "alpha").len(), 2);
    // What was accepted is not told as refused because it came once more, too late.
    assert_eq!(late(&mut world), Outcome::refused(Code::Expired));
    assert_eq!(told(&world, "alpha").len(), 2);
    assert_eq!(world.state.table_len(TableId::Refusals), 1);
}
