//! Random streams of orders: the books agree with an independent model in every outcome, every
//! balance and every past registry; they conserve securities and money, touch what they change, and
//! never panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must hold"
)]

mod model;
mod world;

use std::collections::BTreeMap;

use model::Model;
use proptest::prelude::*;
use sealbook_securities::{
    Instruction, Order, RecordTime, RegistryHolders, Role, Side, State, TableId,
};
use world::{APPLE, GOOGLE, IBM, Permissions, World};

/// One order, chosen by numbers; small pools make collisions of names and references frequent.
#[derive(Clone, Debug)]
struct Step {
    caller: u8,
    reference: u8,
    verb: u8,
    picks: [u8; 6],
    new_block: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<(u8, u8, u8, u8)>(), any::<[u8; 6]>()).prop_map(
        |((caller, reference, verb, new_block), picks)| Step {
            caller,
            reference,
            verb,
            picks,
            new_block,
        },
    );
    proptest::collection::vec(step, 1..150)
}

fn pick<'a>(pool: &[&'a str], choice: u8) -> &'a str {
    pool[usize::from(choice) % pool.len()]
}

const ACCOUNTS: [&str; 9] = [
    "A-1", "A-1", "A-2", "B-1", "B-1", "G-1", "APPLE-T", "GOOGLE-T", "X-9",
];
const ISINS: [&str; 7] = [APPLE, APPLE, APPLE, APPLE, GOOGLE, GOOGLE, IBM];
const NUMBERS: [&str; 14] = [
    "1",
    "7",
    "10",
    "33",
    "100",
    "250",
    "1000",
    "2.5",
    "0.01",
    "33.333",
    "0",
    "5000",
    "400000",
    "999999999999999999",
];
const CURRENCIES: [&str; 6] = ["USD", "USD", "USD", "USD", "JPY", "EUR"];
const FIRMS: [&str; 8] = [
    "alpha", "beta", "gamma", "alpha", "beta", "alpha", "bank", "nobody",
];
const VENUES: [&str; 6] = ["admin", "admin", "admin", "bank", "beta", "nobody"];
const DATES: [&str; 6] = [
    "2012-01-03",
    "2012-01-04",
    "2012-01-06",
    "2012-01-09",
    "2012-03-01",
    "2012-12-31",
];

impl Step {
    fn instruction(&self, height: u64) -> Instruction {
        let [a, b, c, d, e, f] = self.picks;
        let isin = pick(&ISINS, a);
        let account = pick(&ACCOUNTS, b);
        let other = pick(&ACCOUNTS, c);
        let number = pick(&NUMBERS, d);
        let currency = pick(&CURRENCIES, e);
        match self.verb % 30 {
            0 => world::open_day(pick(&DATES, a)),
            1 => world::register(
                pick(&[GOOGLE, IBM, APPLE], a),
                pick(&["google", "apple", "alpha"], b),
                c % 10,
                other,
            ),
            2 => world::issue_units(isin, number),
            3 => world::open_account(account),
            4 | 5 => world::allocate(isin, account, number),
            6 | 7 => world::mint(currency, account, number),
            8..=10 => world::transfer(isin, account, other, number),
            11 | 12 => world::transfer_cash(currency, account, other, number),
            13..=16 => {
                let side = if f % 2 == 0 { Side::Sell } else { Side::Buy };
                world::trade(
                    side,
                    account,
                    pick(&FIRMS, e),
                    isin,
                    number,
                    pick(&NUMBERS, c),
                )
            }
            17..=20 => world::confirm(&self.user_reference(a), account),
            21 | 22 => {
                let record = match f % 5 {
                    0 | 1 => RecordTime::Now,
                    2 => RecordTime::Height(u64::from(c) % (height + 2)),
                    3 => RecordTime::Time(u64::from(c) * 100),
                    _ => RecordTime::Date(pick(&DATES, c).parse().unwrap()),
                };
                world::dividend(
                    isin,
                    pick(&["0.01", "2.65", "0.333333", "1", "0"], d),
                    record,
                )
            }
            23 => world::grant(pick(&VENUES, a)),
            24 => world::revoke(pick(&VENUES, a)),
            25..=28 => world::locked_in_for(
                account,
                pick(&ACCOUNTS, f),
                isin,
                number,
                currency,
                pick(&NUMBERS, c),
            ),
            _ => {
                let new = [0, 1, 2, 3, 4, u32::MAX][usize::from(b % 6)];
                world::split(isin, new, u32::from(c % 4))
            }
        }
    }

    fn user_reference(&self, choice: u8) -> String {
        format!("R{}", choice % 12)
    }

    /// Usually somebody whose role may do it.
    fn caller(&self, instruction: &Instruction) -> &'static str {
        if self.caller >= 230 {
            return pick(
                &["admin", "alpha", "apple", "regulator", "bank", "oracle"],
                self.caller,
            );
        }
        match instruction {
            Instruction::MintCash { .. } => pick(&["bank", "bank", "bank", "mint"], self.caller),
            Instruction::GrantMandate { .. } | Instruction::RevokeMandate { .. } => {
                pick(&["alpha", "beta", "gamma", "alpha", "beta"], self.caller)
            }
            Instruction::OpenAccount { account, .. }
            | Instruction::RecordTrade { account, .. }
            | Instruction::ConfirmTrade { account, .. }
            | Instruction::Transfer { from: account, .. } => match account.as_str().as_bytes()[0] {
                _ if self.caller < 25 => "alpha",
                b'B' => "beta",
                b'G' => "gamma",
                _ => "alpha",
            },
            _ => "admin",
        }
    }
}

/// The books, the model, and a mirror of all rows that is kept up to date by the touched rows
/// alone.
struct Pair {
    state: State,
    model: Model,
    mirror: BTreeMap<(TableId, u32), Vec<u8>>,
    orders: u32,
}

impl Pair {
    fn new() -> Self {
        let state = World::new().state;
        let mut model = Model::default();
        for (_, member) in state.members() {
            model
                .roles
                .insert(member.name.to_string(), member.role.to_string());
        }
        let mut pair = Self {
            state,
            model,
            mirror: BTreeMap::new(),
            orders: 0,
        };
        pair.begin_block();
        for (caller, instruction) in [
            ("admin", world::register(APPLE, "apple", 0, "APPLE-T")),
            ("admin", world::register(GOOGLE, "google", 2, "GOOGLE-T")),
            ("admin", world::issue_units(APPLE, "100000")),
            ("alpha", world::open_account("A-1")),
            ("alpha", world::open_account("A-2")),
            ("beta", world::open_account("B-1")),
            ("admin", world::allocate(APPLE, "A-1", "1000")),
            ("bank", world::mint("USD", "B-1", "100000")),
            ("bank", world::mint("USD", "APPLE-T", "100000")),
            ("alpha", world::grant("admin")),
            ("beta", world::grant("admin")),
        ] {
            let outcome = pair.apply(caller, "~setup", &instruction);
            assert_eq!(outcome, "settled", "{instruction:?}");
        }
        pair
    }

    fn begin_block(&mut self) {
        let height = self.state.height() + 1;
        self.state.begin_block(height, height * 1000).unwrap();
        self.model.begin_block(height * 1000);
    }

    fn apply(&mut self, caller: &str, reference: &str, instruction: &Instruction) -> String {
        self.orders += 1;
        let reference = match reference {
            "~setup" => format!("~{}", self.orders),
            other => other.to_owned(),
        };
        let id = self
            .state
            .member_by_name(&caller.parse().unwrap())
            .unwrap()
            .0;
        let role = self.state.member(id).unwrap().role;
        let order = Order {
            reference: reference.parse().unwrap(),
            instruction: instruction.clone(),
        };
        let digest = world::content(instruction);
        let outcome = self
            .state
            .apply(id, &Permissions(role), &order, digest)
            .to_string();
        let expected = self.model.apply(caller, &reference, instruction);
        assert_eq!(outcome, expected, "{caller} {reference} {instruction:?}");
        outcome
    }

    fn check(&mut self) {
        self.state.check_invariants().unwrap();
        for (table, row) in self.state.drain_touched() {
            self.mirror
                .insert((table, row), self.state.row_bytes(table, row));
        }
    }

    fn check_mirror(&self) {
        let mut rows = 0;
        for table in TableId::ALL {
            for row in 0..self.state.table_len(table) {
                rows += 1;
                let mirrored = self.mirror.get(&(table, row));
                assert_eq!(
                    mirrored,
                    Some(&self.state.row_bytes(table, row)),
                    "{table:?} {row}"
                );
            }
        }
        assert_eq!(rows, self.mirror.len());
    }

    fn check_balances(&self) {
        let (admin, _) = self
            .state
            .member_by_name(&"admin".parse().unwrap())
            .unwrap();
        let view = self
            .state
            .holdings(admin, &Permissions(Role::Admin), &|_| None)
            .unwrap();
        let mut held = BTreeMap::new();
        for account in &view.accounts {
            for row in &account.assets {
                let key = (account.account.to_string(), row.asset.as_str().to_owned());
                held.insert(key, i128::from(row.quantity.units));
            }
        }
        let mut expected = self.model.now.held.clone();
        expected.retain(|_, number| *number != 0);
        assert_eq!(held, expected);
        let counts = self.state.totals().counts;
        let (open, settled) = self.model.count_trades();
        assert_eq!(counts.trades_open as usize, open);
        assert_eq!(counts.trades_settled as usize, settled);
    }

    /// Compares the registries of all issues at all moments that have a name.
    fn check_history(&self) {
        let (admin, _) = self
            .state
            .member_by_name(&"admin".parse().unwrap())
            .unwrap();
        let mut moments = vec![RecordTime::Now, RecordTime::Height(u64::MAX)];
        for height in 0..=self.state.height() + 1 {
            moments.push(RecordTime::Height(height));
            moments.push(RecordTime::Time(height * 1000));
            moments.push(RecordTime::Time(height * 1000 + 999));
        }
        for date in DATES
            .into_iter()
            .chain(["2011-01-01", "2012-01-05", "2013-01-01"])
        {
            moments.push(RecordTime::Date(date.parse().unwrap()));
        }
        for (_, issue) in self.state.issues() {
            let treasury = self.state.account(issue.treasury).unwrap().id.to_string();
            for moment in &moments {
                let rules = Permissions(Role::Admin);
                let view = self
                    .state
                    .registry(admin, &rules, &issue.isin, *moment, &|_| None);
                let Some((height, expected)) = self.model.as_of(*moment) else {
                    assert_eq!(
                        view.unwrap_err().to_string(),
                        "rejected unknown-record-time"
                    );
                    continue;
                };
                let view = view.unwrap();
                if let Some(height) = height {
                    assert_eq!(view.as_of_height, height, "{moment:?}");
                }
                let isin = issue.isin.to_string();
                let total = expected.totals.get(&isin).copied().unwrap_or(0);
                assert_eq!(i128::from(view.issued.units), total, "{moment:?}");
                let RegistryHolders::Full(rows) = view.holders else {
                    panic!("not the full view")
                };
                let mut held: BTreeMap<_, _> = rows
                    .iter()
                    .map(|row| (row.account.to_string(), i128::from(row.quantity.units)))
                    .collect();
                assert_eq!(held.len(), rows.len());
                if view.treasury.units > 0 {
                    held.insert(treasury.clone(), i128::from(view.treasury.units));
                }
                assert_eq!(held.values().sum::<i128>(), total, "{moment:?}");
                let expected: BTreeMap<_, _> = expected
                    .held
                    .iter()
                    .filter(|((_, asset), number)| *asset == isin && **number != 0)
                    .map(|((account, _), number)| (account.clone(), *number))
                    .collect();
                assert_eq!(held, expected, "{moment:?}");
            }
        }
    }

    /// What a step means here: most confirms are those of a trade that was really recorded.
    fn choose(&self, step: &Step) -> (&'static str, Instruction) {
        let instruction = step.instruction(self.state.height());
        let trades = self.model.recorded_trades();
        let confirm = matches!(instruction, Instruction::ConfirmTrade { .. });
        if confirm && !trades.is_empty() && step.picks[5] < 220 {
            let (reference, counterparty) = trades[usize::from(step.picks[0]) % trades.len()];
            let (caller, account) = match counterparty {
                "alpha" => ("alpha", pick(&["A-1", "A-2"], step.picks[1])),
                "beta" => ("beta", "B-1"),
                _ => ("gamma", "G-1"),
            };
            return (caller, world::confirm(reference, account));
        }
        (step.caller(&instruction), instruction)
    }

    fn run(&mut self, steps: &[Step]) -> BTreeMap<String, u32> {
        let mut outcomes = BTreeMap::new();
        for step in steps {
            if step.new_block % 3 == 0 {
                self.check();
                self.begin_block();
            }
            let (caller, instruction) = self.choose(step);
            let fresh = matches!(instruction, Instruction::ConfirmTrade { .. });
            let reference = match instruction {
                Instruction::RecordTrade { .. } => step.user_reference(step.reference),
                _ if fresh || step.reference < 200 => "~setup".to_owned(),
                _ => step.user_reference(step.reference),
            };
            let verb = instruction.action().as_str();
            let outcome = self.apply(caller, &reference, &instruction);
            *outcomes.entry(format!("{verb} {outcome}")).or_default() += 1;
        }
        self.check();
        outcomes
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_books_agree_with_the_model(steps in steps()) {
        let mut pair = Pair::new();
        pair.run(&steps);
        pair.check_balances();
        pair.check_mirror();
        pair.check_history();
    }

    #[test]
    fn the_same_orders_give_the_same_rows(steps in steps()) {
        let (mut first, mut second) = (Pair::new(), Pair::new());
        first.run(&steps);
        second.run(&steps);
        prop_assert_eq!(first.mirror, second.mirror);
    }

    #[test]
    fn repeated_orders_change_nothing(steps in steps()) {
        let mut world = World::furnished();
        for (number, step) in steps.iter().enumerate() {
            let instruction = step.instruction(world.state.height());
            let caller = step.caller(&instruction);
            let reference = format!("N{number}");
            let first = world.order(caller, &reference, instruction.clone());
            if first.is_accepted() {
                let before = world.fingerprint();
                let again = world.order_in_block(caller, &reference, instruction);
                prop_assert_eq!(again, first);
                prop_assert_eq!(before, world.fingerprint());
            }
        }
    }

    #[test]
    fn orders_from_arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let _ = borsh::from_slice::<Order>(&bytes);
    }
}

/// The random streams are worth something only if they reach what they are to test.
#[test]
fn random_streams_reach_every_outcome() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..200 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        for (outcome, count) in Pair::new().run(&steps) {
            *reached.entry(outcome).or_default() += count;
        }
    }
    for outcome in [
        "open-day settled",
        "open-day rejected date-not-forward",
        "register-issue settled",
        "register-issue rejected taken",
        "register-issue rejected unknown-issuer",
        "issue-units settled",
        "issue-units rejected unknown-issue",
        "issue-units rejected limit",
        "open-account settled",
        "open-account rejected taken",
        "allocate settled",
        "allocate rejected LACK",
        "mint-cash settled",
        "mint-cash denied not-permitted",
        "transfer settled",
        "transfer denied not-found",
        "transfer rejected LACK",
        "transfer rejected MONY",
        "transfer rejected duplicate",
        "transfer rejected malformed",
        "transfer rejected unknown-account",
        "transfer rejected unknown-issue",
        "record-trade pending",
        "record-trade rejected unknown-counterparty",
        "record-trade rejected limit",
        "confirm-trade settled",
        "confirm-trade denied not-found",
        "confirm-trade rejected LACK",
        "confirm-trade rejected MONY",
        "confirm-trade rejected already-settled",
        "dividend settled",
        "dividend rejected MONY",
        "dividend rejected unknown-record-time",
        "grant-mandate settled",
        "grant-mandate rejected unknown-venue",
        "revoke-mandate settled",
        "revoke-mandate rejected unknown-venue",
        "locked-in-trade settled",
        "locked-in-trade denied not-permitted",
        "locked-in-trade denied not-found",
        "locked-in-trade rejected malformed",
        "locked-in-trade rejected duplicate",
        "locked-in-trade rejected unknown-issue",
        "locked-in-trade rejected limit",
        "locked-in-trade rejected LACK",
        "locked-in-trade rejected MONY",
        "split settled",
        "split rejected malformed",
        "split rejected limit",
    ] {
        assert!(
            reached.contains_key(outcome),
            "`{outcome}` was never reached: {reached:#?}"
        );
    }
}
