//! Random streams of orders, blocks and carriers' faults: whatever happens, every epoch may follow the one before,
//! voices count once, nothing is decided too late or by too few, and a copy of the state goes on alike.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold"
)]

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use sealbook_governance::{Action, Change, Effect, Governance, ProposalStatus};
use sealbook_ledger::{EpochDefinition, MAX_QUOTA_LEVEL, Parameters};
use sealbook_securities::{Outcome, Status};
use world::{World, chain, key, member, move_node, observer, parameters, rules, validator};

const NAMES: [&str; 7] = ["anna", "bela", "carl", "dora", "emil", "fred", "firm"];

#[derive(Clone, Debug)]
enum Step {
    Propose {
        who: u8,
        reference: u8,
        change: u8,
        pick: u8,
    },
    Approve {
        who: u8,
        reference: u8,
        proposal: u8,
        honest: bool,
    },
    Reject {
        who: u8,
        reference: u8,
        proposal: u8,
    },
    Withdraw {
        who: u8,
        reference: u8,
        proposal: u8,
    },
    Blocks {
        count: u8,
        time: u16,
        fault: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let byte = any::<u8>;
    prop_oneof![
        4 => (byte(), byte(), byte(), byte()).prop_map(|(who, reference, change, pick)| {
            Step::Propose { who, reference, change, pick }
        }),
        6 => (byte(), byte(), byte(), 0_u8..8).prop_map(|(who, reference, proposal, lie)| {
            Step::Approve { who, reference, proposal, honest: lie > 0 }
        }),
        2 => (byte(), byte(), byte()).prop_map(|(who, reference, proposal)| {
            Step::Reject { who, reference, proposal }
        }),
        1 => (byte(), byte(), byte()).prop_map(|(who, reference, proposal)| {
            Step::Withdraw { who, reference, proposal }
        }),
        2 => (1_u8..12, 0_u16..300, byte()).prop_map(|(count, time, fault)| {
            Step::Blocks { count, time, fault }
        }),
    ]
}

fn change(number: u8, pick: u8) -> Change {
    let node = pick % 6;
    let name = || format!("node-{node}");
    let person = NAMES[usize::from(pick) % NAMES.len()];
    match number % 9 {
        0 => chain(
            person,
            if pick.is_multiple_of(2) {
                "admin"
            } else {
                "firm"
            },
        ),
        1 => Change::RemoveMember {
            name: member(person),
        },
        2 => Change::AddValidator(validator(node), Vec::new()),
        3 => Change::RemoveValidator { name: name() },
        4 => Change::AddObserver(observer(node), Vec::new()),
        5 => Change::RemoveObserver { name: name() },
        6 => move_node(&name(), &format!("10.0.0.{pick}:4000")),
        7 => Change::SetParameters(Parameters {
            epoch_blocks: 10 + u32::from(pick % 20),
            ..parameters()
        }),
        _ => Change::SetRules(rules(u16::from(pick % 5))),
    }
}

fn who(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

/// A reference of a small pool, so that it is used again now and then, or one for this step alone.
fn reference(number: u8, step: usize) -> String {
    if number < 32 {
        format!("pool-{}", number % 8)
    } else {
        format!("step-{step}")
    }
}

fn give(world: &mut World, place: usize, step: &Step) -> Option<Outcome> {
    let proposal = |number: u8| u64::from(number % 24) + 1;
    let (number, label, action) = match *step {
        Step::Propose {
            who,
            reference,
            change: kind,
            pick,
        } => {
            let change = change(kind, pick);
            (who, reference, Action::Propose { change })
        }
        Step::Approve {
            who,
            reference,
            proposal: number,
            honest,
        } => {
            let proposal = proposal(number);
            let proposals = world.governance.view().proposals;
            let known = proposals.iter().find(|one| one.id == proposal);
            let digest = known.filter(|_| honest).map(|one| one.digest);
            let digest = digest.unwrap_or_default();
            (who, reference, Action::Approve { proposal, digest })
        }
        Step::Reject {
            who,
            reference,
            proposal: number,
        } => {
            let proposal = proposal(number);
            (who, reference, Action::Reject { proposal })
        }
        Step::Withdraw {
            who,
            reference,
            proposal: number,
        } => {
            let proposal = proposal(number);
            (who, reference, Action::Withdraw { proposal })
        }
        Step::Blocks { count, time, fault } => {
            for _ in 0..count {
                world.time_ms += u64::from(time);
                world.end_block_with(&[(key(fault % 6), 4, u32::from(fault % 3))]);
            }
            return None;
        }
    };
    Some(world.order(who(number), &reference(label, place), action))
}

fn state(governance: &Governance) -> Vec<u8> {
    borsh::to_vec(governance).unwrap()
}

/// What must hold after every step.
fn check(world: &World, decided: &mut BTreeMap<u64, ProposalStatus>) {
    let governance = &world.governance;
    let view = governance.view();
    assert_eq!(view.definition.check(), Ok(()));
    assert!(!view.definition.validators.is_empty());
    if let Some(planned) = &view.planned {
        assert_eq!(planned.check_follows(&view.definition), Ok(()));
    }
    assert!(
        view.quotas
            .iter()
            .all(|(_, level)| (1..=MAX_QUOTA_LEVEL).contains(level))
    );
    for proposal in &view.proposals {
        assert_eq!(proposal.digest, proposal.change.digest());
        match decided.get(&proposal.id) {
            // What has ended stays as it ended, and only what was scheduled takes effect.
            Some(ProposalStatus::Scheduled { epoch, .. }) => {
                let effective = ProposalStatus::Effective { epoch: *epoch };
                assert!(proposal.status == effective || proposal.status == decided[&proposal.id]);
            }
            Some(status) => assert_eq!(&proposal.status, status),
            None => {
                assert!(!matches!(proposal.status, ProposalStatus::Effective { .. }));
            }
        }
        match &proposal.status {
            ProposalStatus::Open => assert!(proposal.expires_ms > world.time_ms),
            ProposalStatus::Scheduled { .. } if !decided.contains_key(&proposal.id) => {
                let approves = proposal.voices.values().filter(|voice| voice.approves);
                assert!(approves.count() >= usize::from(view.rules.approvals));
                assert!(proposal.decided_ms.unwrap() < proposal.expires_ms);
            }
            _ => {}
        }
        if proposal.status != ProposalStatus::Open {
            decided.insert(proposal.id, proposal.status.clone());
        }
    }
    // Somebody can always decide.
    let electors =
        world.books.members.iter().filter(|(name, role)| {
            !governance.is_removed(name) && view.rules.electors.contains(role)
        });
    assert!(electors.count() >= usize::from(view.rules.approvals));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_orders_keep_the_rules(approvals in 1_u16..4, steps in prop::collection::vec(step(), 1..160)) {
        let mut world = World::new(approvals);
        let mut decided = BTreeMap::new();
        let mut last: EpochDefinition = world.governance.definition().clone();
        for (place, step) in steps.iter().enumerate() {
            let before = state(&world.governance);
            let outcome = give(&mut world, place, step);
            let changed = before != state(&world.governance);
            let conflict = outcome == Some(Outcome::refused(sealbook_securities::Code::Conflict));
            if let Some(outcome) = outcome
                && matches!(outcome.status, Status::Rejected | Status::Denied)
                && !conflict
            {
                prop_assert!(!changed, "{step:?} was refused and changed something");
            }
            check(&world, &mut decided);
            let now = world.governance.definition();
            if now.epoch != last.epoch {
                // At most one epoch passes in a step, since no epoch is shorter than a step's blocks.
                prop_assert_eq!(now.check_follows(&last), Ok(()));
                last = now.clone();
            }
        }
    }

    #[test]
    fn a_copy_of_the_state_goes_on_alike(
        approvals in 1_u16..3,
        steps in prop::collection::vec(step(), 2..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(steps.len());
        let run = |copied: bool| {
            let mut world = World::new(approvals);
            let mut outcomes = Vec::new();
            let mut effects: Vec<Effect> = Vec::new();
            for (place, step) in steps.iter().enumerate() {
                if copied && place == cut {
                    world.governance = borsh::from_slice(&state(&world.governance)).unwrap();
                }
                outcomes.push(give(&mut world, place, step));
                effects.append(&mut world.effects);
            }
            (outcomes, effects, state(&world.governance))
        };
        prop_assert_eq!(run(false), run(true));
    }
}
