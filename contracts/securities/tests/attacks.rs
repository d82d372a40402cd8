//! Attacks on the books: somebody else's account in every kind of instruction, and numbers at the
//! edges of the integer range in every kind of instruction.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold"
)]

mod world;

use sealbook_securities::{
    Asset, BusinessDate, Code, Decimal, HolderReference, Instruction, IssueKind, RecordTime, Side,
    Status, UNITS_MAX,
};
use world::{
    APPLE, GOOGLE, World, account, allocate, confirm, dividend, grant, isin, issue_units,
    locked_in, locked_in_for, mint, open_account, open_day, register, revoke, split, trade,
    transfer, transfer_cash,
};

/// Everything that a firm can try with `foreign`, an account that is not its own.
fn attempts(foreign: &str) -> Vec<(Instruction, Code)> {
    vec![
        (open_day("2030-01-01"), Code::NotPermitted),
        (register(GOOGLE, "google", 0, foreign), Code::NotPermitted),
        (issue_units(APPLE, "1"), Code::NotPermitted),
        (allocate(APPLE, foreign, "1"), Code::NotPermitted),
        (mint("USD", foreign, "1"), Code::NotPermitted),
        (dividend(APPLE, "1", RecordTime::Now), Code::NotPermitted),
        (split(APPLE, 2, 1), Code::NotPermitted),
        (transfer(APPLE, foreign, "A-1", "1"), Code::NotFound),
        (transfer(APPLE, foreign, foreign, "1"), Code::NotFound),
        (transfer(APPLE, foreign, "X-9", "1"), Code::NotFound),
        (transfer(GOOGLE, foreign, "A-1", "1"), Code::NotFound),
        (
            transfer(APPLE, foreign, "A-1", "999999999999999999"),
            Code::NotFound,
        ),
        (transfer_cash("USD", foreign, "A-1", "1.00"), Code::NotFound),
        (transfer_cash("JPY", foreign, "A-1", "1"), Code::NotFound),
        (
            trade(Side::Sell, foreign, "gamma", APPLE, "1", "1.00"),
            Code::NotFound,
        ),
        (
            trade(Side::Buy, foreign, "nobody", APPLE, "1", "1.00"),
            Code::NotFound,
        ),
        (confirm("D1", foreign), Code::NotFound),
        (confirm("D-unknown", foreign), Code::NotFound),
        (
            locked_in(foreign, "A-1", APPLE, "1", "1.00"),
            Code::NotPermitted,
        ),
        (
            locked_in("A-1", foreign, APPLE, "1", "1.00"),
            Code::NotPermitted,
        ),
    ]
}

/// A trade `D1` that beta is to confirm with gamma's money, and one that alpha may confirm.
fn furnished() -> World {
    let mut world = World::furnished();
    world.order(
        "beta",
        "D1",
        trade(Side::Buy, "B-1", "alpha", APPLE, "1", "1.00"),
    );
    world.order(
        "beta",
        "D2",
        trade(Side::Buy, "B-1", "gamma", APPLE, "1", "1.00"),
    );
    world
}

#[test]
fn a_firm_gets_nothing_from_an_account_that_is_not_its_own() {
    // Another firm's account, a treasury and an account that does not exist: the same bytes.
    for foreign in ["B-1", "APPLE-T", "X-9"] {
        let mut world = furnished();
        for (instruction, code) in attempts(foreign) {
            world.refuse("alpha", instruction, code);
        }
    }
    let mut world = furnished();
    world.refuse("alpha", open_account("B-1"), Code::Taken);
    world.refuse("alpha", open_account("APPLE-T"), Code::Taken);
}

#[test]
fn a_trade_of_others_is_as_if_it_did_not_exist() {
    let mut world = furnished();
    for reference in ["D2", "D3"] {
        world.refuse("alpha", confirm(reference, "A-1"), Code::NotFound);
    }
    world.settle("alpha", confirm("D1", "A-1"));
}

/// Everything that a venue can try on `foreign`, an account on which it may not trade.
fn venue_attempts(foreign: &str) -> Vec<Instruction> {
    let mut all = Vec::new();
    for (seller, buyer) in [(foreign, "A-1"), ("A-1", foreign), (foreign, foreign)] {
        for number in [APPLE, GOOGLE] {
            for (quantity, amount) in [("1", "1.00"), ("999999999999999999", "9999999999999999")] {
                all.push(locked_in(seller, buyer, number, quantity, amount));
            }
        }
        all.push(locked_in_for(seller, buyer, APPLE, "1", "JPY", "1"));
    }
    all
}

#[test]
fn a_venue_gets_nothing_from_an_account_without_mandate() {
    // Never given, given to somebody else, taken back, a treasury, an account that does not exist: the same bytes.
    let cases: [(&str, &[(&str, Instruction)]); 6] = [
        ("B-1", &[]),
        ("B-1", &[("beta", grant("bank"))]),
        ("B-1", &[("beta", grant("beta"))]),
        (
            "B-1",
            &[("beta", grant("admin")), ("beta", revoke("admin"))],
        ),
        ("APPLE-T", &[]),
        ("X-9", &[]),
    ];
    for (foreign, before) in cases {
        let mut world = World::furnished();
        world.settle("alpha", grant("admin"));
        for (name, instruction) in before {
            world.settle(name, instruction.clone());
        }
        for instruction in venue_attempts(foreign) {
            world.refuse("admin", instruction, Code::NotFound);
        }
    }
}

#[test]
fn a_mandate_is_the_firms_own_to_give_and_to_take() {
    let mut world = World::furnished();
    world.settle("alpha", grant("admin"));
    world.settle("beta", grant("admin"));
    // What others say of the same venue changes nothing of it.
    for name in ["beta", "gamma"] {
        world.settle(name, revoke("admin"));
        world.settle(name, grant("bank"));
    }
    for name in ["admin", "bank", "apple", "regulator", "oracle"] {
        world.refuse(name, revoke("admin"), Code::NotPermitted);
        world.refuse(name, grant("admin"), Code::NotPermitted);
    }
    let own = || locked_in("A-1", "A-1", APPLE, "1000", "0.01");
    world.settle("bank", mint("USD", "A-1", "0.01"));
    world.settle("admin", own());
    let order = locked_in("A-1", "B-1", APPLE, "1", "1.00");
    world.refuse("admin", order, Code::NotFound);
    // Accounts that are opened later are under the mandate, too.
    world.settle("alpha", open_account("A-3"));
    world.settle("bank", mint("USD", "A-3", "1.00"));
    world.settle("admin", locked_in("A-1", "A-3", APPLE, "1", "1.00"));
    world.settle("alpha", revoke("admin"));
    world.refuse("admin", own(), Code::NotFound);
}

/// Numbers at the edges: the smallest, the greatest, and those around the limits.
fn edges() -> Vec<Decimal> {
    let most = 999_999_999_999_999_999;
    let mut numbers = Vec::new();
    for digits in [0, 1, 2, 999_999, 1_000_000, 1_000_001, most - 1, most] {
        for scale in [0, 1, 2, 8, 17] {
            numbers.push(Decimal::new(digits, scale).unwrap());
        }
    }
    numbers
}

/// Every kind of instruction that carries a number, with this number.
fn with_number(number: Decimal) -> Vec<(&'static str, Instruction)> {
    let isin = isin(APPLE);
    let usd = "USD".parse().unwrap();
    let quantity = number;
    let mut orders = vec![
        ("admin", Instruction::IssueUnits { isin, quantity }),
        (
            "admin",
            Instruction::Allocate {
                isin,
                account: account("A-1"),
                quantity,
            },
        ),
        (
            "bank",
            Instruction::MintCash {
                currency: usd,
                account: account("A-1"),
                amount: number,
            },
        ),
        (
            "alpha",
            Instruction::Transfer {
                asset: Asset::Security { isin, quantity },
                from: account("A-1"),
                to: account("B-1"),
            },
        ),
        (
            "beta",
            Instruction::Transfer {
                asset: Asset::Cash {
                    currency: usd,
                    amount: number,
                },
                from: account("B-1"),
                to: account("A-1"),
            },
        ),
    ];
    for record in [
        RecordTime::Now,
        RecordTime::Height(0),
        RecordTime::Time(u64::MAX),
    ] {
        let order = Instruction::Dividend {
            isin,
            amount_per_unit: number,
            currency: usd,
            record,
        };
        orders.push(("admin", order));
    }
    for other in [Decimal::new(1, 0).unwrap(), number] {
        let record = |quantity, amount| Instruction::RecordTrade {
            side: Side::Sell,
            account: account("A-1"),
            counterparty: "beta".parse().unwrap(),
            isin,
            quantity,
            currency: usd,
            amount,
        };
        orders.push(("alpha", record(number, other)));
        orders.push(("alpha", record(other, number)));
        for (seller, buyer) in [("A-1", "B-1"), ("B-1", "A-1"), ("B-1", "B-1")] {
            let lock_in = |quantity, amount| Instruction::LockedInTrade {
                seller_account: account(seller),
                buyer_account: account(buyer),
                isin,
                quantity,
                currency: usd,
                amount,
            };
            orders.push(("admin", lock_in(number, other)));
            orders.push(("admin", lock_in(other, number)));
        }
    }
    orders
}

#[test]
fn numbers_at_the_edges_never_panic_and_never_break_a_law() {
    // `World` checks all laws after every order, and that refusals change nothing.
    for decimals in [0, 2, 8] {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", decimals, "APPLE-T"));
        world.settle("alpha", open_account("A-1"));
        world.settle("beta", open_account("B-1"));
        world.settle("alpha", grant("admin"));
        world.settle("beta", grant("admin"));
        world.settle("admin", issue_units(APPLE, "5000000000"));
        world.settle("admin", allocate(APPLE, "A-1", "2000000000"));
        world.settle("bank", mint("USD", "B-1", "5000000000000000.00"));
        world.settle("bank", mint("USD", "APPLE-T", "4999999999999999.99"));
        let mut settled = 0;
        for number in edges() {
            for (name, instruction) in with_number(number) {
                let reference = format!("R{}", world.state.sequence());
                let outcome = world.order(name, &reference, instruction);
                settled += u32::from(outcome.status == Status::Settled);
                if outcome.status == Status::Pending {
                    let confirm = confirm(&reference, "B-1");
                    settled += u32::from(world.run("beta", confirm).status == Status::Settled);
                }
            }
        }
        assert!(settled > 20, "only {settled} orders settled");
        let totals = world.state.totals();
        assert!(totals.issues[0].issued.units <= UNITS_MAX);
        assert!(totals.currencies[0].minted.units <= UNITS_MAX);
    }
}

#[test]
fn splits_at_the_edges_never_panic_and_never_break_a_law() {
    let factors = [0, 1, 2, 3, 7, 1 << 16, u32::MAX - 1, u32::MAX];
    let mut world = World::new();
    world.settle("admin", register(APPLE, "apple", 8, "APPLE-T"));
    world.settle("alpha", open_account("A-1"));
    world.settle("admin", issue_units(APPLE, "10000000000"));
    world.settle("admin", allocate(APPLE, "A-1", "3333333333.33333333"));
    for new in factors {
        for old in factors {
            let mut copy = world.clone();
            let outcome = copy.run("admin", split(APPLE, new, old));
            let expected = match (new, old) {
                (0, _) | (_, 0) => Some(Code::Malformed),
                _ if new > old => Some(Code::Limit),
                _ => None,
            };
            assert_eq!(outcome.code, expected, "{new}/{old}");
        }
    }
}

#[test]
fn the_other_fields_at_their_edges_never_panic() {
    let mut world = World::furnished();
    for (height, known) in [(0, true), (1, true), (u64::MAX, false)] {
        let outcome = world.run("admin", dividend(APPLE, "1", RecordTime::Height(height)));
        assert_eq!(outcome.code, (!known).then_some(Code::UnknownRecordTime));
    }
    for time in [0, u64::MAX] {
        world.run("admin", dividend(APPLE, "1", RecordTime::Time(time)));
    }
    let (first, last) = (
        BusinessDate::new(1900, 1, 1),
        BusinessDate::new(9999, 12, 31),
    );
    for date in [first.unwrap(), last.unwrap()] {
        world.run("admin", dividend(APPLE, "1", RecordTime::Date(date)));
        world.settle("admin", Instruction::OpenDay { date });
    }
    world.refuse("admin", open_day("9999-12-31"), Code::DateNotForward);
    let widest = "x".repeat(35);
    let holder = HolderReference {
        attachment: [0xff; 32],
        commitment: [0xff; 32],
    };
    let order = Instruction::OpenAccount {
        account: account(&widest),
        holder,
    };
    world.settle("alpha", order);
    for decimals in [9, u8::MAX] {
        let order = Instruction::RegisterIssue {
            isin: isin(GOOGLE),
            issuer: "google".parse().unwrap(),
            name: "n".parse().unwrap(),
            kind: IssueKind::Fund,
            decimals,
            currency: "USD".parse().unwrap(),
            treasury: account("G-T"),
        };
        world.refuse("admin", order, Code::Malformed);
    }
    assert!(world.state.begin_block(u64::MAX, u64::MAX).is_err());
}
