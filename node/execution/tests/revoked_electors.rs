//! Revocation and what members decide: electors, their voices, and the validators' own certificates.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::certificates::{
    COMPROMISE, SUPERSEDED, YEAR_MS, again, refused, renew, revoke, revoke_one, same_key, submit_as,
};
use kit::play::{Play, outcomes};
use kit::{CREATED_MS, Founded, Member, words};
use sealbook_governance::Change;
use sealbook_identity::Role;
use sealbook_ledger::GovernanceRules;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_securities::{Code, Outcome};

#[test]
fn the_last_that_can_decide_cannot_be_revoked() {
    let mut play = Play::furnished();
    assert_eq!(
        play.submit("admin", revoke("admin", SUPERSEDED), &[]),
        refused(Code::Conflict)
    );
    let new = again(&play, "admin");
    assert_eq!(
        play.submit("admin", renew(&new.chain), &[]),
        [Outcome::SETTLED]
    );
    // One of two certificates can go, and then no more.
    let old = &play.network.members["admin"];
    let first = revoke_one(old, SUPERSEDED);
    assert_eq!(play.submit("admin", first, &[]), [Outcome::SETTLED]);
    assert_eq!(
        submit_as(&mut play, &new, revoke_one(&new, SUPERSEDED)),
        refused(Code::Conflict)
    );
    assert_eq!(
        submit_as(&mut play, &new, revoke("admin", SUPERSEDED)),
        refused(Code::Conflict)
    );
    assert_eq!(
        submit_as(&mut play, &new, revoke("alpha", SUPERSEDED)),
        [Outcome::SETTLED]
    );
}

#[test]
fn nodes_are_revoked_as_far_as_the_network_goes_on_without_them() {
    let mut play = Play::furnished();
    let end_ms = CREATED_MS + YEAR_MS;
    let nodes: Vec<Member> = play
        .network
        .votes
        .iter()
        .map(|vote| {
            let key = SigningKey::from_secret(&Secret32::new((*vote).into()));
            let node = ("node", Role::Node, "Example Node");
            play.network.certify_key(node, end_ms, key)
        })
        .collect();
    let reason = SUPERSEDED;
    assert_eq!(
        play.submit("alpha", revoke_one(&nodes[0], reason), &[]),
        refused(Code::NotPermitted)
    );
    let sealed = play.seal("admin", revoke_one(&nodes[0], reason));
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    assert_eq!(executed.revoked, [nodes[0].fingerprint]);
    // Of four validators one may fail. What is no validator's can always go.
    assert_eq!(
        play.submit("admin", revoke_one(&nodes[1], reason), &[]),
        refused(Code::Conflict)
    );
    let other = play
        .network
        .certify("observer", Role::Node, "Example Node", end_ms);
    assert_eq!(
        play.submit("admin", revoke_one(&other, reason), &[]),
        [Outcome::SETTLED]
    );
    // The first one gets another certificate, and the ledger is told of it.
    let key = same_key(&nodes[0]);
    let node = ("node", Role::Node, "Example Node");
    let renewed = play.network.certify_key(node, end_ms, key);
    for name in ["alpha", "admin"] {
        assert_eq!(
            play.submit(name, renew(&renewed.chain), &[]),
            refused(Code::NotPermitted),
            "{name}"
        );
    }
    // Nobody but the holder of its key can say so.
    let stranger = Member {
        key: SigningKey::generate(),
        chain: renewed.chain.clone(),
        fingerprint: renewed.fingerprint,
    };
    assert_eq!(
        submit_as(&mut play, &stranger, renew(&renewed.chain)),
        refused(Code::NotAMember)
    );
    for _ in 0..2 {
        let told = submit_as(&mut play, &renewed, renew(&renewed.chain));
        assert_eq!(told, [Outcome::SETTLED]);
    }
    // A node says that and nothing else, and another node than a validator says nothing.
    let both = [renew(&renewed.chain), revoke("alpha", reason)].concat();
    assert_eq!(
        submit_as(&mut play, &renewed, both),
        refused(Code::NotAMember)
    );
    assert_eq!(
        submit_as(&mut play, &other, renew(&other.chain)),
        refused(Code::NotAMember)
    );
    assert_eq!(
        play.submit("admin", revoke_one(&nodes[1], reason), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("admin", revoke_one(&renewed, reason), &[]),
        refused(Code::Conflict)
    );
    // No committee is decided in which more would be cut off than may fail.
    let smaller = Change::RemoveValidator {
        name: "node-3".to_owned(),
    };
    let outcome = play.govern("admin", words::propose(&smaller));
    assert_eq!(outcome, Outcome::refused(Code::Conflict));
    assert_eq!(play.engine.revoked_certificates().len(), 3);
}

/// Another admin, admitted.
fn admin(play: &mut Play, name: &'static str) {
    let admin = play
        .network
        .certify(name, Role::Admin, "Example Exchange", CREATED_MS + YEAR_MS);
    play.network.members.insert(name, admin);
    assert_eq!(play.admit(name), Outcome::SETTLED);
}

#[test]
fn who_is_decided_to_go_or_come_is_counted_before_anybody_is_revoked() {
    let mut play = Play::furnished();
    admin(&mut play, "admin-2");
    play.decide(&Change::RemoveMember {
        name: words::member("admin-2"),
    });
    // The one who goes cannot take the one who stays along.
    assert_eq!(
        play.submit("admin-2", revoke("admin", COMPROMISE), &[]),
        refused(Code::Conflict)
    );
    assert_eq!(
        play.submit("admin", revoke("admin-2", COMPROMISE), &[]),
        [Outcome::SETTLED]
    );
    // Rules that are decided count, too.
    let mut play = Play::furnished();
    admin(&mut play, "admin-2");
    play.decide(&Change::SetRules(GovernanceRules {
        approvals: 2,
        ..GovernanceRules::default()
    }));
    assert_eq!(
        play.submit("admin", revoke("admin-2", SUPERSEDED), &[]),
        refused(Code::Conflict)
    );
    // Who is decided to come is revoked once it has come.
    let mut play = Play::furnished();
    let stranger = play.network.members["stranger"].chain.clone();
    play.decide(&Change::AddMember { chain: stranger });
    let coming = revoke_one(&play.network.members["stranger"], SUPERSEDED);
    assert_eq!(play.submit("admin", coming, &[]), refused(Code::Conflict));
}

#[test]
fn a_revoked_members_voice_is_not_counted_and_not_kept() {
    let mut play = Play::furnished_with(Founded {
        governance: GovernanceRules {
            approvals: 1,
            ..GovernanceRules::default()
        },
        ..Founded::default()
    });
    for name in ["admin-2", "admin-3"] {
        admin(&mut play, name);
    }
    play.decide(&Change::SetRules(GovernanceRules {
        approvals: 2,
        ..GovernanceRules::default()
    }));
    while play.engine.governance_view().rules.approvals < 2 {
        play.step(&[], &[]);
    }
    let change = Change::RemoveObserver {
        name: "nobody".to_owned(),
    };
    assert_eq!(
        play.govern("admin-2", words::propose(&change)),
        Outcome::refused(Code::Conflict)
    );
    let change = Change::SetMeasurements(Vec::new());
    assert_eq!(
        play.govern("admin-2", words::propose(&change)),
        Outcome::PENDING
    );
    assert_eq!(
        play.submit("admin", revoke("admin-2", COMPROMISE), &[]),
        [Outcome::SETTLED]
    );
    // The thief's voice is gone, also when its owner is back under another key.
    let key = SigningKey::generate();
    let back = ("admin-2", Role::Admin, "Example Exchange");
    let back = play.network.certify_key(back, CREATED_MS + YEAR_MS, key);
    assert_eq!(
        play.submit("admin", renew(&back.chain), &[]),
        [Outcome::SETTLED]
    );
    let proposal = play.engine.governance_view().proposals.last().unwrap().id;
    let approve =
        |play: &mut Play, name: &str| play.govern(name, words::approve(proposal, &change));
    assert_eq!(approve(&mut play, "admin-3"), Outcome::PENDING);
    assert_eq!(approve(&mut play, "admin"), Outcome::SETTLED);
}
