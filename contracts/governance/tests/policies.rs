//! Rules of what members may do: they change like everything else, and their text is not kept for ever.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use sealbook_governance::{
    Change, Failure, MAX_OPEN_POLICIES, POLICIES_APART, Policies, ProposalStatus,
};
use sealbook_ledger::PolicyText;
use sealbook_primitives::hash::Digest;
use sealbook_securities::{Code, Outcome};
use world::{ELECTORS, World, refused};

fn policies(schema: &str, text: &str) -> Policies {
    Policies {
        replaces: Digest::ZERO,
        schema: schema.to_owned(),
        files: vec![PolicyText {
            name: "admin.cedar".to_owned(),
            text: text.to_owned(),
        }],
    }
}

/// A change from the rules of genesis.
fn set(schema: &str, text: &str) -> Change {
    Change::SetPolicies(policies(schema, text))
}

/// Until everybody may propose rules again.
fn wait(world: &mut World) {
    (0..POLICIES_APART).for_each(|_| world.end_block());
}

/// The same from others.
fn set_after(before: &Policies, text: &str) -> (Change, Policies) {
    let after = Policies {
        replaces: before.digest(),
        ..policies("schema", text)
    };
    (Change::SetPolicies(after.clone()), after)
}

#[test]
fn rules_that_are_decided_hold_from_the_next_epoch_and_are_kept_once() {
    let mut world = World::new(2);
    let change = set("schema", "permit all");
    assert_eq!(world.propose("anna", change.clone()), Outcome::PENDING);
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    // Scheduled: whoever wants to can still read it.
    assert_eq!(world.proposal(1).change, change);
    let expected = policies("schema", "permit all");
    let view = world.governance.view();
    assert_eq!(
        (view.policies, view.policies_decided),
        (None, Some(expected.clone()))
    );
    assert_eq!(world.governance.policies(), None);
    world.next_epoch();
    assert_eq!(world.governance.policies(), Some(&expected));
    assert_eq!(world.governance.view().policies, Some(expected.clone()));
    let ended = world.proposal(1);
    assert!(matches!(ended.status, ProposalStatus::Effective { .. }));
    assert_eq!(ended.change, Change::SetPolicies(Policies::forgotten()));
    assert_eq!(ended.digest, change.digest());
    // They stay in force, and the next ones take their place whole.
    world.next_epoch();
    assert_eq!(world.governance.policies(), Some(&expected));
    wait(&mut world);
    let (next, other) = set_after(&expected, "permit some");
    assert_eq!(world.propose("anna", next), Outcome::PENDING);
    // Decided after the plan height, they wait an epoch more.
    let plan = world.governance.definition().plan_height();
    world.end_blocks_to(plan);
    assert_eq!(world.approve("bela", 2), Outcome::SETTLED);
    world.next_epoch();
    assert_eq!(world.governance.policies(), Some(&expected));
    assert_eq!(
        world.governance.view().policies_decided,
        Some(other.clone())
    );
    let state = borsh::to_vec(&world.governance).unwrap();
    world.governance = borsh::from_slice(&state).unwrap();
    world.next_epoch();
    assert_eq!(world.governance.policies(), Some(&other));
}

#[test]
fn nobody_approves_a_change_of_rules_that_are_others_by_then() {
    let mut world = World::new(2);
    assert_eq!(
        world.propose("anna", set("schema", "one")),
        Outcome::PENDING
    );
    assert_eq!(
        world.propose("bela", set("schema", "two")),
        Outcome::PENDING
    );
    wait(&mut world);
    assert_eq!(world.approve("bela", 1), Outcome::SETTLED);
    let conflict = refused(Code::Conflict);
    assert_eq!(world.approve("anna", 2), conflict);
    let failed = world.proposal(2);
    assert_eq!(
        failed.status,
        ProposalStatus::Failed(Failure::OtherPolicies)
    );
    assert_eq!(failed.change, Change::SetPolicies(Policies::forgotten()));
    // From those that are decided, both in one epoch; and no more from those of genesis.
    assert_eq!(world.propose("bela", set("schema", "three")), conflict);
    wait(&mut world);
    let (next, after) = set_after(&policies("schema", "one"), "three");
    assert_eq!(world.propose("bela", next), Outcome::PENDING);
    assert_eq!(world.approve("anna", 3), Outcome::SETTLED);
    world.next_epoch();
    assert_eq!(world.governance.policies(), Some(&after));
    wait(&mut world);
    let (back, _) = set_after(&policies("schema", "one"), "four");
    assert_eq!(world.propose("anna", back), conflict);
}

#[test]
fn rules_that_are_no_good_are_refused_when_proposed_and_when_decided() {
    let mut world = World::new(2);
    let conflict = refused(Code::Conflict);
    assert_eq!(world.propose("anna", set("bad", "permit all")), conflict);
    // Another one of the same member is judged so many blocks later, whatever came of the first.
    let limit = refused(Code::Limit);
    for block in 0..POLICIES_APART {
        assert_eq!(world.propose("anna", set("schema", "permit")), limit);
        if block == 1 {
            assert_eq!(world.propose("bela", set("bad", "permit all")), conflict);
        }
        let state = borsh::to_vec(&world.governance).unwrap();
        world.governance = borsh::from_slice(&state).unwrap();
        world.end_block();
    }
    assert_eq!(world.propose("bela", set("schema", "permit all")), limit);
    // What is malformed, or who may not propose, has nothing judged.
    let malformed = refused(Code::Malformed);
    assert_eq!(world.propose("anna", set("", "permit all")), malformed);
    let long = "x".repeat(32 * 1_024);
    assert_eq!(world.propose("anna", set("schema", &long)), malformed);
    let fits = "x".repeat(32 * 1_024 - "schema".len() - "admin.cedar".len());
    let fits = set("schema", &fits);
    assert_eq!(world.propose("anna", fits), Outcome::PENDING);
    // Nobody knows them good any more.
    world.books.accepts_none = true;
    assert_eq!(world.approve("bela", 1), conflict);
    let failed = world.proposal(1);
    assert_eq!(failed.status, ProposalStatus::Failed(Failure::Policies));
    assert_eq!(failed.change, Change::SetPolicies(Policies::forgotten()));
    world.next_epoch();
    assert_eq!(world.governance.policies(), None);
}

#[test]
fn few_such_texts_are_kept_one_of_each_member() {
    let mut world = World::new(2);
    let number = |text: u8| set("schema", &text.to_string());
    for (place, name) in ELECTORS.iter().enumerate() {
        let text = u8::try_from(place).unwrap();
        assert_eq!(world.propose(name, number(text)), Outcome::PENDING);
        wait(&mut world);
        let again = world.propose(name, number(9));
        assert_eq!(again, refused(Code::Limit), "{name}");
    }
    assert_eq!(ELECTORS.len(), MAX_OPEN_POLICIES);
    world
        .books
        .members
        .insert("emil".to_owned(), "admin".to_owned());
    assert_eq!(world.propose("emil", number(9)), refused(Code::Limit));
    // Work is done for none of them.
    world.books.accepts_none = true;
    assert_eq!(world.propose("emil", number(9)), refused(Code::Limit));
    world.books.accepts_none = false;
    assert_eq!(world.withdraw("anna", 1), Outcome::SETTLED);
    let forgotten = Change::SetPolicies(Policies::forgotten());
    assert_eq!(world.proposal(1).change, forgotten);
    assert_eq!(world.propose("emil", number(9)), Outcome::PENDING);
    // A scheduled one is kept, too.
    wait(&mut world);
    assert_eq!(world.approve("carl", 2), Outcome::SETTLED);
    let (next, _) = set_after(&policies("schema", "1"), "more");
    assert_eq!(world.propose("anna", next), refused(Code::Limit));
    let expires = world.proposal(3).expires_ms;
    world.time_ms = expires;
    world.end_block();
    assert_eq!(world.proposal(3).status, ProposalStatus::Expired);
    assert_eq!(world.proposal(3).change, forgotten);
}
