//! The rules of `docs/GOVERNANCE.md`, one by one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold"
)]

mod world;

use sealbook_governance::{
    Action, Change, Effect, Failure, Governance, MAX_CLOSED, MAX_OPEN, MAX_OPEN_PER_MEMBER,
    MAX_SCHEDULED, MAX_VOICES, ProposalStatus, QUOTA_RECOVERY_BLOCKS,
};
use sealbook_ledger::{GovernanceRules, MAX_QUOTA_LEVEL, Parameters};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_securities::{Code, Outcome};
use world::{
    ELECTORS, EPOCH, World, chain, key, member, move_node, observer, parameters, refused, rules,
    validator,
};

#[test]
fn two_approvals_schedule_a_change_which_takes_effect_with_the_next_epoch() {
    let mut world = World::new(2);
    let change = Change::AddValidator(validator(5), Vec::new());
    assert_eq!(world.propose("anna", change), Outcome::PENDING);
    assert_eq!(world.last().status, ProposalStatus::Open);
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    let scheduled = ProposalStatus::Scheduled {
        epoch: 1,
        height: EPOCH + 1,
    };
    assert_eq!(world.last().status, scheduled);
    assert_eq!(
        world.governance.take_new_modules(),
        [validator(5).module_key]
    );
    assert!(world.governance.take_new_modules().is_empty());
    let plan_height = world.governance.definition().plan_height();
    world.end_blocks_to(plan_height - 1);
    assert_eq!(world.governance.planned(), None);
    world.end_block();
    let planned = world.governance.planned().unwrap().clone();
    assert_eq!((planned.epoch, planned.validators.len()), (1, 5));
    assert_eq!(planned.check_follows(world.governance.definition()), Ok(()));
    assert_eq!(world.governance.definition().validators.len(), 4);
    world.next_epoch();
    assert_eq!(world.governance.definition(), &planned);
    assert_eq!(world.governance.planned(), None);
    assert_eq!(world.last().status, ProposalStatus::Effective { epoch: 1 });
}

#[test]
fn what_is_decided_after_the_plan_height_waits_one_epoch_more() {
    let mut world = World::new(1);
    let plan_height = world.governance.definition().plan_height();
    world.end_blocks_to(plan_height - 1);
    // A block of the plan height itself is still in time.
    world.propose("anna", Change::AddObserver(observer(10), Vec::new()));
    world.end_block();
    world.propose("anna", Change::AddObserver(observer(11), Vec::new()));
    let scheduled = ProposalStatus::Scheduled {
        epoch: 2,
        height: 2 * EPOCH + 1,
    };
    assert_eq!(world.last().status, scheduled);
    // Judged against what is planned, not only against the present.
    let again = Change::AddObserver(observer(10), Vec::new());
    assert_eq!(world.propose("anna", again), refused(Code::Conflict));
    world.next_epoch();
    assert_eq!(world.governance.definition().observers.len(), 2);
    assert_eq!(world.last().status, scheduled);
    world.next_epoch();
    assert_eq!(world.governance.definition().observers.len(), 3);
    assert_eq!(world.governance.definition().epoch, 2);
}

#[test]
fn only_electors_who_are_members_act() {
    let mut world = World::new(2);
    let change = || Change::RemoveObserver {
        name: "node-9".to_owned(),
    };
    let denied = refused(Code::NotPermitted);
    assert_eq!(world.propose("firm", change()), denied);
    assert_eq!(
        world.propose("Not a name", change()),
        refused(Code::NotAMember)
    );
    assert_eq!(world.propose("nobody", change()), denied);
    assert_eq!(world.propose("anna", change()), Outcome::PENDING);
    assert_eq!(world.approve("firm", 1), denied);
    assert_eq!(world.reject("firm", 1), denied);
    assert_eq!(world.withdraw("firm", 1), denied);
    assert_eq!(world.withdraw("bela", 1), denied);
    assert!(world.last().voices.len() == 1);
    assert_eq!(world.withdraw("anna", 1), Outcome::SETTLED);
    assert_eq!(world.last().status, ProposalStatus::Withdrawn);
    let closed = refused(Code::ProposalClosed);
    assert_eq!(world.approve("bela", 1), closed);
    assert_eq!(world.reject("bela", 1), closed);
    assert_eq!(world.withdraw("anna", 1), closed);
    assert_eq!(world.reject("bela", 2), refused(Code::NotFound));
}

#[test]
fn nobody_approves_something_else_than_was_shown() {
    let mut world = World::new(2);
    world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    let digest = Change::AddValidator(validator(6), Vec::new()).digest();
    let action = Action::Approve {
        proposal: 1,
        digest,
    };
    assert_eq!(world.act("bela", action), refused(Code::OtherChange));
    let digest = Digest::ZERO;
    let action = Action::Approve {
        proposal: 7,
        digest,
    };
    assert_eq!(world.act("bela", action), refused(Code::NotFound));
    assert_eq!(world.last().voices.len(), 1);
}

#[test]
fn a_voice_counts_once_and_may_change() {
    let mut world = World::new(3);
    world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    for _ in 1..MAX_VOICES {
        assert_eq!(world.approve("anna", 1), Outcome::PENDING);
    }
    assert_eq!(world.approve("anna", 1), refused(Code::Limit));
    assert_eq!(world.last().voices.len(), 1);
    assert_eq!(world.reject("bela", 1), Outcome::SETTLED);
    assert_eq!(world.last().status, ProposalStatus::Open);
    assert_eq!(world.approve("bela", 1), Outcome::PENDING);
    assert_eq!(world.approve("carl", 1), Outcome::SETTLED);
}

#[test]
fn rejections_that_leave_too_few_end_a_proposal() {
    let mut world = World::new(3);
    world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    assert_eq!(world.reject("bela", 1), Outcome::SETTLED);
    assert_eq!(world.last().status, ProposalStatus::Open);
    assert_eq!(world.reject("carl", 1), Outcome::SETTLED);
    assert_eq!(world.last().status, ProposalStatus::Rejected);
    assert_eq!(world.last().decided_ms, Some(100));
}

#[test]
fn proposals_expire_by_ledger_time() {
    let mut world = World::new(2);
    world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    world.propose("anna", Change::AddValidator(validator(6), Vec::new()));
    world.time_ms += 999;
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    world.time_ms += 1;
    assert_eq!(world.approve("bela", 2), refused(Code::ProposalClosed));
    assert_eq!(world.last().status, ProposalStatus::Expired);
    world.propose("anna", Change::AddValidator(validator(6), Vec::new()));
    world.time_ms += 1_000;
    world.end_block();
    assert_eq!(world.last().status, ProposalStatus::Expired);
}

#[test]
fn references_make_retries_harmless() {
    let mut world = World::new(2);
    let propose = |number| Action::Propose {
        change: Change::AddValidator(validator(number), Vec::new()),
    };
    assert_eq!(world.order("anna", "A", propose(5)), Outcome::PENDING);
    assert_eq!(world.order("anna", "A", propose(5)), Outcome::PENDING);
    assert_eq!(world.last().id, 1);
    let other = world.order("anna", "A", propose(6));
    assert_eq!(other, refused(Code::Duplicate));
    // References are each submitter's own.
    assert_eq!(world.order("bela", "A", propose(6)), Outcome::PENDING);
    let digest = world.proposal(1).digest;
    let approve = || Action::Approve {
        proposal: 1,
        digest,
    };
    assert_eq!(world.order("bela", "B", approve()), Outcome::SETTLED);
    assert_eq!(world.order("bela", "B", approve()), Outcome::SETTLED);
    // What was refused may be used anew.
    let refusal = world.order("carl", "C", approve());
    assert_eq!(refusal, refused(Code::ProposalClosed));
    assert_eq!(world.order("carl", "C", propose(7)), Outcome::PENDING);
}

#[test]
fn changes_that_conflict_fail_when_they_are_decided() {
    let mut world = World::new(2);
    for _ in 0..2 {
        world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    }
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    let digest = world.proposal(2).digest;
    let approve = || Action::Approve {
        proposal: 2,
        digest,
    };
    let conflict = refused(Code::Conflict);
    assert_eq!(world.order("bela", "X", approve()), conflict);
    let failed = ProposalStatus::Failed(Failure::SeatTaken);
    assert_eq!(world.last().status, failed);
    assert_eq!(world.order("bela", "X", approve()), conflict);
    assert_eq!(world.approve("carl", 2), refused(Code::ProposalClosed));
    world.next_epoch();
    assert_eq!(world.governance.definition().validators.len(), 5);
}

#[test]
fn what_cannot_be_is_refused_when_it_is_proposed() {
    let mut world = World::new(1);
    let mut conflict = |change| assert_eq!(world.propose("anna", change), refused(Code::Conflict));
    let name = || "node-0".to_owned();
    conflict(Change::AddValidator(validator(0), Vec::new()));
    conflict(Change::AddValidator(validator(9), Vec::new()));
    conflict(Change::AddObserver(observer(0), Vec::new()));
    conflict(Change::AddObserver(observer(9), Vec::new()));
    let same_key = || {
        let mut seat = validator(5);
        seat.vote_key = key(9);
        seat
    };
    conflict(Change::AddValidator(same_key(), Vec::new()));
    let mut seat = validator(5);
    seat.module_key = vec![1; 36];
    conflict(Change::AddValidator(seat, Vec::new()));
    conflict(Change::RemoveObserver { name: name() });
    conflict(Change::RemoveValidator {
        name: "node-9".to_owned(),
    });
    conflict(move_node("node-5", "127.0.0.1:1"));
    conflict(chain("anna", "admin"));
    conflict(Change::RemoveMember {
        name: member("nobody"),
    });
    conflict(Change::SetRules(rules(5)));
    for number in 0..3 {
        let name = format!("node-{number}");
        let outcome = world.propose("anna", Change::RemoveValidator { name });
        assert_eq!(outcome, Outcome::SETTLED);
    }
    let name = "node-3".to_owned();
    let last = world.propose("anna", Change::RemoveValidator { name });
    assert_eq!(last, refused(Code::Conflict));
    world.next_epoch();
    assert_eq!(world.governance.definition().validators, [validator(3)]);
}

#[test]
fn what_is_no_change_is_malformed() {
    let mut world = World::new(1);
    let mut malformed = |change: Change| {
        assert!(change.check().is_err());
        assert_eq!(world.propose("anna", change), refused(Code::Malformed));
    };
    malformed(Change::AddMember { chain: Vec::new() });
    let chain = vec![vec![0; 10]; 5];
    malformed(Change::AddMember { chain });
    let chain = vec![vec![0; 8_193]];
    malformed(Change::AddMember { chain });
    malformed(Change::AddMember {
        chain: vec![vec![1], Vec::new()],
    });
    malformed(move_node("node-0", "nowhere"));
    malformed(move_node("node 0", "127.0.0.1:1"));
    malformed(move_node("", "127.0.0.1:1"));
    let mut seat = validator(5);
    seat.vote_key.0 = [0; 32];
    malformed(Change::AddValidator(seat, Vec::new()));
    let mut seat = observer(5);
    seat.name = "\u{1b}[31m".to_owned();
    malformed(Change::AddObserver(seat, Vec::new()));
    malformed(Change::SetParameters(Parameters {
        epoch_blocks: 11,
        ..parameters()
    }));
    let electors = |electors: &[&str]| GovernanceRules {
        electors: electors.iter().map(|one| (*one).to_owned()).collect(),
        ..rules(1)
    };
    malformed(Change::SetRules(electors(&[])));
    malformed(Change::SetRules(electors(&["king"])));
    malformed(Change::SetRules(electors(&["admin", "admin"])));
    malformed(Change::SetRules(rules(0)));
}

#[test]
fn an_observer_becomes_a_validator_by_two_changes() {
    let mut world = World::new(1);
    let name = "node-9".to_owned();
    world.propose("anna", Change::RemoveObserver { name });
    world.propose("bela", Change::AddValidator(validator(9), Vec::new()));
    world.propose("carl", move_node("node-9", "[::1]:99"));
    world.propose("dora", move_node("node-1", "10.0.0.1:99"));
    world.next_epoch();
    let definition = world.governance.definition();
    assert!(definition.observers.is_empty());
    assert_eq!(definition.validators[4].address, "[::1]:99");
    assert_eq!(definition.validators[1].address, "10.0.0.1:99");
}

#[test]
fn members_come_and_go_with_an_epoch() {
    let mut world = World::new(2);
    world.propose("anna", chain("emil", "admin"));
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    let again = chain("emil", "firm");
    assert_eq!(world.propose("anna", again), refused(Code::Conflict));
    let remove = |name| Change::RemoveMember { name: member(name) };
    world.propose("anna", remove("dora"));
    assert_eq!(world.approve("dora", 2), Outcome::SETTLED);
    let again = world.propose("anna", remove("dora"));
    assert_eq!(again, refused(Code::Conflict));
    // Until the epoch ends the removed member is one, and its voice counts.
    assert_eq!(world.propose("dora", remove("firm")), Outcome::PENDING);
    world.next_epoch();
    let name = member("dora");
    assert_eq!(world.effects.len(), 2);
    assert_eq!(world.effects[0], Effect::RemoveMember { name });
    assert!(world.governance.is_removed("dora") && !world.governance.is_removed("emil"));
    assert_eq!(
        world.propose("dora", remove("firm")),
        refused(Code::NotAMember)
    );
    assert!(world.proposal(3).voices.is_empty());
    assert_eq!(world.approve("emil", 3), Outcome::PENDING);
    assert_eq!(world.approve("anna", 3), Outcome::SETTLED);
    // The books let somebody of that name come back.
    world.books.members.remove("dora");
    world.propose("anna", chain("dora", "admin"));
    assert_eq!(world.approve("bela", 4), Outcome::SETTLED);
    world.next_epoch();
    assert!(!world.governance.is_removed("dora"));
    assert_eq!(world.propose("dora", remove("emil")), Outcome::PENDING);
}

#[test]
fn an_admission_that_is_undone_before_its_epoch_has_no_effect() {
    let mut world = World::new(1);
    world.propose("anna", chain("emil", "admin"));
    let name = member("emil");
    assert_eq!(
        world.propose("anna", Change::RemoveMember { name }),
        Outcome::SETTLED
    );
    world.next_epoch();
    assert!(world.effects.is_empty());
    assert!(!world.governance.is_removed("emil"));
}

#[test]
fn a_member_that_was_admitted_otherwise_before_its_epoch_can_be_removed() {
    let mut world = World::new(1);
    world.propose("anna", chain("emil", "admin"));
    // An ordinary order admits it at once, while the decision still waits for its epoch.
    let books = &mut world.books.members;
    books.insert("emil".to_owned(), "admin".to_owned());
    let name = member("emil");
    let remove = Change::RemoveMember { name };
    assert_eq!(world.propose("anna", remove.clone()), Outcome::SETTLED);
    assert_eq!(world.propose("anna", remove), refused(Code::Conflict));
    world.next_epoch();
    assert_eq!(world.effects, [Effect::RemoveMember { name }]);
    assert!(world.governance.is_removed("emil"));
}

#[test]
fn as_many_electors_stay_as_are_needed() {
    let mut world = World::new(3);
    let mut decide = |change: Change| {
        let outcome = world.propose("anna", change);
        if outcome != Outcome::PENDING {
            return outcome;
        }
        let id = world.last().id;
        world.approve("bela", id);
        world.approve("carl", id)
    };
    let remove = |name| Change::RemoveMember { name: member(name) };
    assert_eq!(decide(remove("dora")), Outcome::SETTLED);
    assert_eq!(decide(remove("carl")), refused(Code::Conflict));
    assert_eq!(decide(Change::SetRules(rules(4))), refused(Code::Conflict));
    assert_eq!(decide(remove("firm")), Outcome::SETTLED);
    assert_eq!(decide(Change::SetRules(rules(2))), Outcome::SETTLED);
    assert_eq!(decide(remove("carl")), Outcome::SETTLED);
    assert_eq!(decide(remove("bela")), refused(Code::Conflict));
}

#[test]
fn new_rules_and_parameters_hold_from_the_next_epoch() {
    let mut world = World::new(2);
    let new_rules = GovernanceRules {
        electors: vec!["firm".to_owned()],
        ..rules(1)
    };
    world.propose("anna", Change::SetRules(new_rules.clone()));
    world.approve("bela", 1);
    let new_parameters = Parameters {
        epoch_blocks: 12,
        block_interval_ms: 50,
        ..parameters()
    };
    world.propose("anna", Change::SetParameters(new_parameters.clone()));
    world.approve("bela", 2);
    world.propose("anna", Change::AddValidator(validator(5), Vec::new()));
    assert_eq!(world.governance.rules(), &rules(2));
    world.next_epoch();
    assert_eq!(world.governance.rules(), &new_rules);
    let definition = world.governance.definition().clone();
    assert_eq!(definition.parameters, new_parameters);
    assert_eq!((definition.first_height, definition.last_height), (21, 32));
    // The voice of somebody who is no elector any more does not count.
    assert_eq!(world.approve("anna", 3), refused(Code::NotPermitted));
    assert_eq!(world.approve("firm", 3), Outcome::SETTLED);
}

#[test]
fn open_proposals_are_limited() {
    let mut world = World::new(2);
    let change = |number: usize| move_node("node-0", &format!("127.0.0.1:{}", 1_000 + number));
    for number in 0..MAX_OPEN_PER_MEMBER {
        assert_eq!(world.propose("anna", change(number)), Outcome::PENDING);
    }
    assert_eq!(world.propose("anna", change(99)), refused(Code::Limit));
    for elector in 0..9 {
        let name = format!("elector-{elector}");
        world.books.members.insert(name.clone(), "admin".to_owned());
        for number in 0..MAX_OPEN_PER_MEMBER {
            world.propose(&name, change(number));
        }
    }
    let proposals = world.governance.view().proposals;
    assert_eq!(proposals.len(), MAX_OPEN);
    assert_eq!(world.withdraw("anna", 1), Outcome::SETTLED);
    assert_eq!(world.propose("anna", change(99)), Outcome::PENDING);
}

#[test]
fn decisions_for_one_epoch_are_limited() {
    let mut world = World::new(1);
    let change = |number: usize| move_node("node-0", &format!("127.0.0.1:{}", 1_000 + number));
    for number in 0..MAX_SCHEDULED {
        assert_eq!(world.propose("anna", change(number)), Outcome::SETTLED);
    }
    assert_eq!(world.propose("anna", change(99)), refused(Code::Limit));
    let plan_height = world.governance.definition().plan_height();
    world.end_blocks_to(plan_height);
    assert_eq!(world.propose("anna", change(99)), Outcome::SETTLED);
}

#[test]
fn ended_proposals_are_forgotten_with_their_references() {
    let mut world = World::new(2);
    let propose = || Action::Propose {
        change: Change::AddValidator(validator(5), Vec::new()),
    };
    assert_eq!(world.order("anna", "first", propose()), Outcome::PENDING);
    world.withdraw("anna", 1);
    for id in 2..=MAX_CLOSED as u64 + 1 {
        assert_eq!(world.order("anna", "first", propose()), Outcome::PENDING);
        assert_eq!(world.last().id, id - 1);
        world.propose("anna", Change::AddValidator(validator(6), Vec::new()));
        world.withdraw("anna", id);
        world.end_block();
    }
    assert_eq!(world.governance.view().proposals.len(), MAX_CLOSED);
    assert_eq!(world.governance.view().proposals[0].id, 2);
    assert_eq!(world.order("anna", "first", propose()), Outcome::PENDING);
    assert_eq!(world.last().id, MAX_CLOSED as u64 + 2);
}

#[test]
fn carriers_lose_quota_for_what_does_not_open_and_win_it_back() {
    let mut world = World::new(1);
    let levels = |world: &World| world.governance.quota_levels();
    world.end_block_with(&[(key(0), 100, 24), (key(1), 100, 25), (key(2), 0, 0)]);
    assert_eq!(levels(&world), [(key(1), 1)]);
    for _ in 0..10 {
        world.end_block_with(&[(key(1), 1, 1)]);
    }
    assert_eq!(levels(&world), [(key(1), MAX_QUOTA_LEVEL)]);
    let restored = |world: &mut World| {
        for _ in 1..QUOTA_RECOVERY_BLOCKS {
            world.end_block_with(&[(key(1), 5, 1)]);
        }
    };
    restored(&mut world);
    assert_eq!(levels(&world), [(key(1), 6)]);
    // An offence in the last of them counts and begins the run anew.
    world.end_block_with(&[(key(1), 4, 1)]);
    restored(&mut world);
    assert_eq!(levels(&world), [(key(1), 6)]);
    world.end_block();
    assert_eq!(levels(&world), [(key(1), 5)]);
    // Listed twice, a carrier is judged by its sums.
    world.end_block_with(&[(key(2), 1, 1), (key(2), 9, 0)]);
    assert_eq!(levels(&world), [(key(1), 5)]);
    let name = "node-1".to_owned();
    world.propose("anna", Change::RemoveValidator { name });
    world.next_epoch();
    world.next_epoch();
    assert!(levels(&world).is_empty());
}

#[test]
fn an_epoch_without_decisions_is_followed_by_one_like_it() {
    let mut world = World::new(1);
    let before = world.governance.definition().clone();
    assert!(world.governance.begin_epoch().is_empty());
    assert_eq!(world.governance.definition(), &before);
    for epoch in 1..4 {
        world.next_epoch();
        let definition = world.governance.definition();
        assert_eq!(definition.epoch, epoch);
        assert_eq!(definition.first_height, epoch * EPOCH + 1);
        assert_eq!(definition.validators, before.validators);
    }
}

#[test]
fn a_key_epoch_begins_with_a_definition_and_no_module_is_admitted_just_before() {
    let mut world = World::new(1);
    let rotate = Change::RotateKeys { suite: None };
    assert_eq!(world.propose("anna", rotate), Outcome::SETTLED);
    let makers: Vec<Digest> = world.governance.key_makers().into_iter().collect();
    assert_eq!(makers.len(), 4);
    let record = Digest([7; 32]);
    let offer = |world: &mut World, maker| {
        let key = vec![2, 3];
        world.governance.offer_keys(maker, record, key)
    };
    assert_eq!(offer(&mut world, makers[0]), Ok(()));
    for maker in &makers[1..3] {
        let ready = world.governance.rotation().unwrap().ready.is_some();
        assert!(!ready);
        let done = world.governance.acknowledge_keys(*maker, &record);
        assert_eq!(done, Ok(()));
    }
    assert!(world.governance.rotation().unwrap().ready.is_some());
    let plan = world.governance.definition().plan_height();
    world.end_blocks_to(plan);
    let planned = world.governance.planned().unwrap().opening.clone();
    assert_eq!((planned.key_epoch, planned.record), (1, record));
    assert_eq!(planned.since_height, EPOCH + 1);
    // It would be given the present root, and need the next one in a moment.
    let admit = || Change::AddValidator(validator(5), Vec::new());
    assert_eq!(world.propose("anna", admit()), refused(Code::Conflict));
    world.next_epoch();
    assert_eq!(world.governance.definition().opening, planned);
    assert_eq!(world.propose("anna", admit()), Outcome::SETTLED);
    assert!(
        world.governance.rotation().is_none(),
        "a newcomer ends no key epoch"
    );
    let remove = Change::RemoveValidator {
        name: "node-1".to_owned(),
    };
    assert_eq!(world.propose("anna", remove), Outcome::SETTLED);
    assert!(world.governance.rotation().is_some());
}

#[test]
fn encodings_are_pinned() {
    let pin = |bytes: Vec<u8>| hash("sealbook test pinned encoding", &[&bytes]).to_string();
    let changes = [
        chain("emil", "firm"),
        Change::RemoveMember {
            name: member("anna"),
        },
        Change::AddValidator(validator(5), Vec::new()),
        Change::RemoveValidator {
            name: "node-1".to_owned(),
        },
        Change::AddObserver(observer(6), Vec::new()),
        Change::RemoveObserver {
            name: "node-9".to_owned(),
        },
        move_node("node-2", "10.0.0.1:99"),
        Change::SetParameters(parameters()),
        Change::SetRules(rules(2)),
    ];
    let kinds: Vec<&str> = changes.iter().map(Change::kind).collect();
    let doc = include_str!("../../../docs/GOVERNANCE.md");
    for (place, change) in changes.iter().enumerate() {
        assert_eq!(usize::from(borsh::to_vec(change).unwrap()[0]), place);
        assert!(doc.contains(&format!("| `{}` |", change.kind())));
    }
    assert_eq!(kinds.len(), 9);
    let digests: Vec<Digest> = changes.iter().map(Change::digest).collect();
    let digest = digests[0];
    let actions = [
        Action::Propose {
            change: changes[0].clone(),
        },
        Action::Approve {
            proposal: 1,
            digest,
        },
        Action::Reject { proposal: 2 },
        Action::Withdraw { proposal: 3 },
    ];
    let mut world = World::new(2);
    for change in changes {
        assert_eq!(world.propose(ELECTORS[0], change.clone()).code, None);
        let id = world.last().id;
        if id == 8 {
            world.withdraw(ELECTORS[0], id);
            continue;
        }
        let outcome = world.approve(ELECTORS[1], id);
        assert_eq!(outcome, Outcome::SETTLED, "{change:?}");
    }
    world.end_block_with(&[(key(1), 1, 1)]);
    let state = borsh::to_vec(&world.governance).unwrap();
    let pins = [
        pin(borsh::to_vec(&digests).unwrap()),
        pin(borsh::to_vec(&actions).unwrap()),
        pin(state.clone()),
        pin(borsh::to_vec(&world.governance.view()).unwrap()),
    ];
    assert_eq!(
        pins,
        [
            "e450ef7b83550939c576f64498ea6f8d45b932e6202bcd95a629cc816925460b",
            "b5268cfc66a881c93822ddf536a816e7c0b3083cff7abfc01fc67dcfc5d852a0",
            "2bac892cd83077b2b0b5bdcfa2d613e21528eed1f4ff6d4062999442a0755b19",
            "25b3d079f5897f7556a0bf2ea7b9a6369f3be5d16e1f765361e6951aa3bcfe33",
        ]
    );
    let mut other = state;
    other[0] = 1;
    assert!(borsh::from_slice::<Governance>(&other).is_err());
}

#[test]
fn modules_are_admitted_with_programs_that_were_agreed_on() {
    let mut world = World::new(1);
    // Until then any module is, and one that states something must have signed it.
    let state = |number: u8, program: u8| [&validator(number).module_key[..], &[program]].concat();
    let add = |number, statement| Change::AddValidator(validator(number), statement);
    let conflict = refused(Code::Conflict);
    assert_eq!(world.propose("anna", add(4, state(5, 1))), conflict);
    assert_eq!(world.propose("anna", add(4, state(4, 1))), Outcome::SETTLED);
    let agree = |programs: &[u8]| {
        let digests = programs.iter().map(|byte| Digest([*byte; 32]));
        Change::SetMeasurements(digests.collect())
    };
    assert!(agree(&[1, 1]).check().is_err());
    assert!(agree(&[0; 17]).check().is_err());
    let many: Vec<u8> = (1..=17).collect();
    assert_eq!(
        world.propose("anna", agree(&many)),
        refused(Code::Malformed)
    );
    assert_eq!(world.propose("anna", agree(&[2, 3])), Outcome::SETTLED);
    assert_eq!(world.governance.view().measurements.len(), 2);
    // It holds for what is decided from then on.
    for statement in [Vec::new(), state(5, 1), state(6, 2), vec![0; 200]] {
        assert_eq!(world.propose("anna", add(5, statement)), conflict);
    }
    assert_eq!(world.propose("anna", add(5, state(5, 3))), Outcome::SETTLED);
    let mut own = observer(6);
    own.module_key = Some(validator(6).module_key);
    let watch = |seat, statement| Change::AddObserver(seat, statement);
    assert_eq!(
        world.propose("anna", watch(own.clone(), Vec::new())),
        conflict
    );
    let good = watch(own, state(6, 2));
    assert_eq!(world.propose("anna", good), Outcome::SETTLED);
    // An observer without a module runs none.
    let without = watch(observer(7), Vec::new());
    assert_eq!(world.propose("anna", without), Outcome::SETTLED);
    let replace = |statement| Change::ReplaceModule {
        name: "node-0".to_owned(),
        module_key: validator(8).module_key,
        statement,
    };
    assert_eq!(world.propose("anna", replace(state(8, 1))), conflict);
    assert_eq!(
        world.propose("anna", replace(vec![0; 1_025])),
        refused(Code::Malformed)
    );
    assert_eq!(
        world.propose("anna", replace(state(8, 2))),
        Outcome::SETTLED
    );
    world.next_epoch();
    assert_eq!(world.governance.definition().validators.len(), 6);
    assert_eq!(world.propose("anna", agree(&[])), Outcome::SETTLED);
    assert_eq!(world.propose("anna", add(10, Vec::new())), Outcome::SETTLED);
}
