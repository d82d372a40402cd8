//! Pinned encodings: the hash of every format on a fixed sample. A hash here changes only on
//! purpose, and then together with a version.

#![allow(clippy::unwrap_used, reason = "a test says what must hold")]

mod world;

use borsh::BorshDeserialize;
use sealbook_securities::{
    Code, EVENTS_MAX, EventCursor, HolderReference, Instruction, Order, Outcome, Reading,
    RecordTime, Side, State, TableId,
};
use world::{
    APPLE, GOOGLE, Permissions, World, account, allocate, confirm, dividend, grant, isin,
    issue_units, locked_in, mint, open_account, open_day, register, revoke, split, trade, transfer,
    transfer_cash,
};

fn hash(bytes: &[u8]) -> String {
    hex::encode(blake3::hash(bytes).as_bytes())
}

fn instructions() -> Vec<Instruction> {
    let holder = HolderReference {
        attachment: [3; 32],
        commitment: [4; 32],
    };
    vec![
        open_day("2012-08-09"),
        register(APPLE, "apple", 2, "APPLE-T"),
        issue_units(APPLE, "1000000"),
        Instruction::OpenAccount {
            account: account("A-1"),
            holder,
        },
        allocate(APPLE, "A-1", "1000.50"),
        mint("USD", "B-1", "500000.00"),
        transfer(APPLE, "A-1", "A-2", "10"),
        transfer_cash("JPY", "A-1", "A-2", "10"),
        trade(Side::Sell, "A-1", "beta", APPLE, "100", "41123.00"),
        trade(Side::Buy, "A-1", "beta", APPLE, "100", "41123.00"),
        confirm("D1", "B-1"),
        dividend(APPLE, "2.65", RecordTime::Now),
        dividend(APPLE, "2.65", RecordTime::Height(7)),
        dividend(APPLE, "2.65", RecordTime::Time(1_344_470_400_000)),
        dividend(
            APPLE,
            "2.65",
            RecordTime::Date("2012-08-08".parse().unwrap()),
        ),
        split(APPLE, 2, 1),
        grant("admin"),
        revoke("admin"),
        locked_in("A-1", "B-1", APPLE, "100", "41123.00"),
    ]
}

#[test]
fn orders_keep_their_encoding() {
    let mut all = Vec::new();
    for (number, instruction) in instructions().into_iter().enumerate() {
        let order = Order {
            reference: format!("R-{number}").parse().unwrap(),
            instruction,
        };
        let bytes = borsh::to_vec(&order).unwrap();
        assert_eq!(Order::try_from_slice(&bytes).unwrap(), order);
        // A truncated or prolonged encoding is none.
        assert!(Order::try_from_slice(&bytes[..bytes.len() - 1]).is_err());
        assert!(Order::try_from_slice(&[&bytes[..], &[0]].concat()).is_err());
        all.push(bytes);
    }
    // What came later went to the end and left the first ones as they were.
    for (count, expected) in [
        (
            16,
            "714e8ed08428af65d6964fffb8d8977bf186d038288ba3fb6d97f5934b2dd8e0",
        ),
        (
            19,
            "96967b5a0d0d0d7323506ececc47489aa5e11276361966a6860f46b3f7e710b2",
        ),
    ] {
        assert_eq!(hash(&all[..count].concat()), expected);
    }
    assert_eq!(all.len(), 19);
}

#[test]
fn one_order_is_readable_by_hand() {
    let order = Order {
        reference: "T1".parse().unwrap(),
        instruction: transfer(APPLE, "A-1", "A-2", "1.5"),
    };
    let expected = concat!(
        "02000000",                 // length of the reference
        "5431",                     // T1
        "06",                       // transfer
        "00",                       // a security
        "555330333738333331303035", // US0378331005
        "0f00000000000000",         // 15 ...
        "01",                       // ... with one decimal
        "03000000412d31",
        "03000000412d32",
    );
    assert_eq!(hex::encode(borsh::to_vec(&order).unwrap()), expected);
}

#[test]
fn outcomes_keep_their_encoding() {
    assert_eq!(borsh::to_vec(&Outcome::SETTLED).unwrap(), [0, 0]);
    assert_eq!(borsh::to_vec(&Outcome::PENDING).unwrap(), [1, 0]);
    assert_eq!(
        borsh::to_vec(&Outcome::refused(Code::LackOfSecurities)).unwrap(),
        [2, 1, 5]
    );
    assert_eq!(
        borsh::to_vec(&Outcome::refused(Code::NotFound)).unwrap(),
        [3, 1, 2]
    );
    let root = borsh::to_vec(&Outcome::certified([9; 32])).unwrap();
    assert_eq!(root, [&[0, 2][..], &[9; 32]].concat());
    for outcome in [
        Outcome::SETTLED,
        Outcome::PENDING,
        Outcome::refused(Code::NotFound),
        Outcome::certified([9; 32]),
    ] {
        let bytes = borsh::to_vec(&outcome).unwrap();
        assert_eq!(borsh::from_slice::<Outcome>(&bytes).unwrap(), outcome);
        assert!(borsh::from_slice::<Outcome>(&bytes[..bytes.len() - 1]).is_err());
    }
    assert!(borsh::from_slice::<Outcome>(&[0, 3]).is_err());
}

/// A network in which every table has rows.
fn sample() -> World {
    let mut world = World::furnished();
    world.settle("admin", register(GOOGLE, "google", 8, "GOOGLE-T"));
    world.settle("admin", open_day("2012-08-09"));
    world.order(
        "alpha",
        "D1",
        trade(Side::Sell, "A-1", "beta", APPLE, "100", "41123.00"),
    );
    world.order(
        "alpha",
        "D2",
        trade(Side::Buy, "A-2", "beta", APPLE, "100", "1.00"),
    );
    world.settle("beta", confirm("D1", "B-1"));
    world.settle("beta", transfer_cash("USD", "B-1", "APPLE-T", "5000.00"));
    world.settle("admin", dividend(APPLE, "2.65", RecordTime::Now));
    world.settle("admin", split(APPLE, 3, 2));
    world.settle("gamma", open_account("G-1"));
    world.settle("alpha", grant("admin"));
    world.settle("beta", grant("admin"));
    world.settle("admin", locked_in("A-1", "B-1", APPLE, "10", "4112.30"));
    world.read("regulator", Reading::Audit);
    world.read("admin", Reading::Registry(isin(APPLE), RecordTime::Now));
    world
}

/// The same with an order that was refused.
fn sample_with_refusal() -> World {
    let mut world = sample();
    let order = transfer(GOOGLE, "A-1", "B-1", "1");
    let refused = world.order_in_block("alpha", "T9", order);
    assert_eq!(refused, Outcome::refused(Code::LackOfSecurities));
    world
}

fn rows(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    for table in TableId::ALL {
        bytes.extend(borsh::to_vec(&table).unwrap());
        bytes.extend(state.table_len(table).to_le_bytes());
        assert!(state.table_len(table) > 0, "{table:?} is empty");
        for row in 0..state.table_len(table) {
            state.write_row_bytes(table, row, &mut bytes);
        }
    }
    bytes
}

#[test]
fn rows_keep_their_encoding() {
    assert_eq!(
        hash(&rows(&sample_with_refusal().state)),
        "f0bf513b71c8dc4387d034159e86aa9c19a692ec97638524da3bbc59953de7db"
    );
}

#[test]
fn the_same_orders_give_the_same_rows() {
    let sample = || rows(&sample_with_refusal().state);
    assert_eq!(sample(), sample());
}

#[test]
fn views_keep_their_encoding() {
    let world = sample();
    let state = &world.state;
    let (admin, regulator) = (world.id("admin"), world.permissions("regulator"));
    let names = |_| Some("Hanako Sato".to_owned());
    let mut bytes = Vec::new();
    let full = state
        .registry(admin, &regulator, &isin(APPLE), RecordTime::Now, &names)
        .unwrap();
    bytes.extend(borsh::to_vec(&full).unwrap());
    let issuer = Permissions(sealbook_securities::Role::Issuer);
    let apple = world.id("apple");
    let list = state
        .registry(apple, &issuer, &isin(APPLE), RecordTime::Now, &names)
        .unwrap();
    bytes.extend(borsh::to_vec(&list).unwrap());
    bytes.extend(borsh::to_vec(&state.holdings(admin, &regulator, &names).unwrap()).unwrap());
    bytes.extend(borsh::to_vec(&state.trades(admin, &regulator).unwrap()).unwrap());
    bytes.extend(borsh::to_vec(&state.audit(admin, &regulator).unwrap()).unwrap());
    assert_eq!(
        hash(&bytes),
        "cc8e30305620637ab054555bac88ea7dd0ecfa8e018e5b3b1e6a6173c1ad1b7d"
    );
}

#[test]
fn events_keep_their_encoding() {
    let world = sample_with_refusal();
    let height = world.state.height();
    let mut bytes = Vec::new();
    for name in ["admin", "alpha", "apple", "bank"] {
        let permissions = world.permissions(name);
        let from = EventCursor::default();
        let until = (height, EVENTS_MAX);
        let view = world
            .state
            .events(world.id(name), &permissions, from, until);
        bytes.extend(borsh::to_vec(&view.unwrap()).unwrap());
    }
    assert_eq!(
        hash(&bytes),
        "1aaa2214145f216b752ecbbd90ed1fe5cc2c7f256bb98307d28ea43fb58a47eb"
    );
}

#[test]
fn the_access_log_keeps_its_encoding() {
    let world = sample();
    let view = world.state.access_log(
        world.id("apple"),
        &Permissions(sealbook_securities::Role::Issuer),
        0,
    );
    let view = view.unwrap();
    assert_eq!(view.rows.len(), 2);
    assert_eq!(
        hash(&borsh::to_vec(&view).unwrap()),
        "3afd3635815063b1031103db661c24883124fca0ac30f5f14b06a4dc6296b06e"
    );
}
