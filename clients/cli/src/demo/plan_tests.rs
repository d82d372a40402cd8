//! The whole year against the contract itself, without a network.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use sealbook_primitives::hash::hash;
use sealbook_securities::{
    Action, Authority, ClientReference, HolderReference, NewMember, Order as LedgerOrder, Outcome,
    Relation, State,
};

use super::*;

/// Rights are the policies' matter and tested there.
struct Anything;

impl Authority for Anything {
    fn permits(&self, _: Action, _: Relation) -> bool {
        true
    }
}

struct Ledger {
    state: State,
    orders: u64,
    backwards: bool,
}

impl Ledger {
    fn new(plan: &Plan, backwards: bool) -> Self {
        let mut state = State::new();
        let admin = (ADMIN.to_owned(), "admin".to_owned());
        let members = plan.cast.enrolments(&plan.data).unwrap();
        let members = members
            .into_iter()
            .map(|member| (member.name, member.role.to_string()));
        for (number, (name, role)) in (1u8..).zip([admin].into_iter().chain(members)) {
            let new = NewMember::parse(&name, &role, &name, None, [number; 32], [100 + number; 32]);
            assert_eq!(
                state.admit(None, &Anything, new.unwrap(), None),
                Outcome::SETTLED
            );
        }
        let mut ledger = Self {
            state,
            orders: 0,
            backwards,
        };
        let mut round = Round::new();
        for account in &plan.cast.accounts {
            let holder = HolderReference {
                attachment: [1; 32],
                commitment: [2; 32],
            };
            let open = Instruction::OpenAccount {
                account: account.id,
                holder,
            };
            add(
                &mut round,
                plan.cast.firms[account.firm].as_str(),
                settled(open),
            );
        }
        ledger.run(&round);
        ledger
    }

    fn run(&mut self, round: &Round) {
        let height = self.state.height() + 1;
        self.state.begin_block(height, height).unwrap();
        let mut orders: Vec<_> = round
            .iter()
            .flat_map(|(member, orders)| orders.iter().map(move |order| (member, order)))
            .collect();
        // An envelope keeps its order; one-member rounds therefore do too.
        if self.backwards && round.len() > 1 {
            orders.sort_by(|left, right| right.0.cmp(left.0));
        }
        for (member, order) in orders {
            self.orders += 1;
            let reference = order
                .reference
                .clone()
                .unwrap_or_else(|| format!("~{}", self.orders));
            let reference = ClientReference::new(&reference).unwrap();
            let content = hash(
                "sealbook 2026 demo test",
                &[&borsh::to_vec(&order.instruction).unwrap()],
            );
            let (id, _) = self.state.member_by_name(&member.parse().unwrap()).unwrap();
            let order_given = LedgerOrder {
                reference,
                instruction: order.instruction.clone(),
            };
            let outcome = self
                .state
                .apply(id, &Anything, &order_given, *content.as_bytes());
            assert_eq!(
                outcome.status, order.expected,
                "{member}: {order:?}: {outcome}"
            );
        }
    }

    fn compare(&self, plan: &Plan) {
        let (id, _) = self.state.member_by_name(&ADMIN.parse().unwrap()).unwrap();
        let view = self.state.holdings(id, &Anything, &|_| None).unwrap();
        for row in &view.accounts {
            let held = |code: &str| {
                let found = row.assets.iter().find(|asset| asset.asset.as_str() == code);
                found.map_or(0, |asset| asset.quantity.units)
            };
            assert_eq!(held("USD"), plan.book.cents(row.account), "{}", row.account);
            for share in &plan.data.shares {
                assert_eq!(
                    held(share.isin.as_str()),
                    plan.book.units(row.account, share.isin)
                );
            }
        }
    }
}

fn whole_year(backwards: bool) -> (Plan, u64) {
    let mut plan = Plan::new().unwrap();
    let mut ledger = Ledger::new(&plan, backwards);
    for round in plan.furnish().unwrap() {
        ledger.run(&round);
    }
    ledger.compare(&plan);
    let (mut trades, mut dividends) = (0, 0);
    for date in plan.data.days.keys().copied().collect::<Vec<_>>() {
        let day = plan.day(date).unwrap();
        for round in day.before.iter().chain([&day.record, &day.confirm]) {
            ledger.run(round);
        }
        trades += day.trades.len() as u64;
        dividends += day.dividend_cents;
        assert_eq!(plan.book.cents_total(), plan.book.minted(), "{date}");
        if date.day() > 27 || !day.events.is_empty() {
            ledger.compare(&plan);
            ledger.state.check_invariants().unwrap();
        }
    }
    ledger.compare(&plan);
    let totals = ledger.state.totals();
    assert_eq!(u64::from(totals.counts.trades_settled), trades);
    assert_eq!(totals.counts.trades_open, 0);
    (plan, dividends)
}

#[test]
fn the_year_settles_on_the_contract_in_whatever_order_members_come() {
    let (plan, dividends) = whole_year(false);
    let (other, _) = whole_year(true);
    assert_eq!(plan.book, other.book);
    // 9,600,000 units outside the treasury: 5.30 (AAPL), 3.30 (IBM) and 0.83 (MSFT) dollars each.
    assert_eq!(dividends, 9_600_000 * (530 + 330 + 83));
    for (place, share) in plan.data.shares.iter().enumerate() {
        let treasury = plan.cast.treasuries[place];
        let offered = place == plan.data.offering.share;
        let issued: u64 = plan.book.holders(share.isin).values().sum();
        assert_eq!(issued, if offered { 421_233_615 } else { SEASONED_UNITS });
        assert_eq!(
            plan.book.units(treasury, share.isin),
            if offered { 0 } else { 400_000 }
        );
        assert_eq!(
            plan.book.cents(treasury),
            if offered { 1_600_687_737_000 } else { 0 }
        );
    }
}

#[test]
fn sizes_make_up_the_scaled_volume() {
    let plan = Plan::new().unwrap();
    for (date, quotes) in &plan.data.days {
        for quote in quotes {
            let sizes = sizes(*date, quote);
            assert!((3..=4).contains(&sizes.len()) && sizes.iter().all(|size| *size > 0));
            assert_eq!(sizes.iter().sum::<u64>(), quote.volume / VOLUME_SCALE);
        }
    }
}

#[test]
fn trades_are_between_firms_and_everybody_deals() {
    let mut plan = Plan::new().unwrap();
    plan.furnish().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for date in plan.data.days.keys().copied().collect::<Vec<_>>() {
        let offering = date == plan.data.offering.date;
        for trade in plan.day(date).unwrap().trades {
            let (seller, buyer) = (
                &plan.cast.accounts[trade.seller],
                &plan.cast.accounts[trade.buyer],
            );
            assert!(seller.firm != buyer.firm || offering);
            seen.extend([(trade.seller, "sells"), (trade.buyer, "buys")]);
        }
    }
    assert_eq!(
        seen.len(),
        plan.cast.accounts.len() * 2 - 1,
        "the offering account only sells"
    );
}
