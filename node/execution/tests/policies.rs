//! Rules of what members may do change by governance: with an epoch, for orders and questions alike, and in snapshots.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::Play;
use kit::words::{self, propose};
use kit::{Founded, epochs_of};
use sealbook_execution::Engine;
use sealbook_governance::{Change, POLICIES_APART, Policies};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::payload::{AnswerBody, AsOf, Question};
use sealbook_securities::{Code, Outcome};

const EPOCH: u32 = 24;

/// The rules of genesis.
fn founding(play: &Play) -> Policies {
    let genesis = &play.network.genesis;
    Policies {
        replaces: Digest::ZERO,
        schema: genesis.policy_schema.clone(),
        files: genesis.policies.clone(),
    }
}

/// The same with two things forbidden to everybody.
fn standing_still(play: &Play) -> Policies {
    let mut policies = founding(play);
    for (id, action) in [
        ("no-transfer", "transfer"),
        ("no-holdings", "read-holdings"),
    ] {
        let rule = format!(
            "\n@id(\"{id}\")\nforbid (principal, action == Action::\"{action}\", resource);\n"
        );
        policies.files[0].text.push_str(&rule);
    }
    policies
}

#[test]
fn rules_change_with_an_epoch_and_a_restored_module_has_them() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    let transfer = || words::transfer("A-1", "A-2", "1");
    play.settle("alpha", transfer());
    let policies = standing_still(&play);
    play.decide(&Change::SetPolicies(policies.clone()));
    // Decided, and not in force before the epoch.
    play.settle("alpha", transfer());
    play.end_epoch();
    play.end_epoch();
    let refused = Outcome::refused(Code::NotPermitted);
    assert_eq!(play.order("alpha", transfer()), refused);
    // What they do not forbid goes on.
    assert!(play.registry("apple", AsOf::Now).is_ok());
    assert_eq!(play.engine.governance_view().policies, Some(policies));
    let refused = Outcome::refused(Code::NotPermitted);
    // A module that begins from a snapshot decides the same.
    let apart = POLICIES_APART.next_multiple_of(u64::from(EPOCH));
    let height = play.chain.head.height;
    play.run_to(height + apart + u64::from(EPOCH) + 12);
    let back = Policies {
        replaces: play.engine.governance_view().policies.unwrap().digest(),
        ..founding(&play)
    };
    play.decide(&Change::SetPolicies(back));
    let snapshot = play.snapshots.last().unwrap().clone();
    let held = Engine::restore(
        play.network.genesis.clone(),
        play.network.keys(1),
        &play.offer(&snapshot),
    );
    let mut restoring = held.unwrap();
    for piece in &snapshot.pieces {
        restoring.add(piece).unwrap();
    }
    let restored = restoring.finish().unwrap();
    let present = std::mem::replace(&mut play.engine, restored);
    let asked = play.ask_once(("alpha", None), &Question::Holdings).0;
    let denied = AnswerBody::Refused(borsh::to_vec(&refused).unwrap());
    assert_eq!(asked.body, denied);
    play.engine = present;
    play.end_epoch();
    play.end_epoch();
    play.settle("alpha", transfer());
}

#[test]
fn rules_that_are_not_valid_or_lock_all_admins_out_are_refused() {
    let mut play = Play::furnished();
    let good = founding(&play);
    let conflict = Outcome::refused(Code::Conflict);
    let with = |change: &dyn Fn(&mut Policies)| {
        let mut policies = good.clone();
        change(&mut policies);
        Change::SetPolicies(policies)
    };
    for (name, change) in [
        ("no rules", with(&|one| one.files.clear())),
        (
            "no rules for admins",
            with(&|one| one.files.retain(|file| file.name != "admin.cedar")),
        ),
        (
            "not readable",
            with(&|one| one.files[0].text.push_str("permit (")),
        ),
        (
            "deeply nested after what is no comment",
            with(&|one| {
                let nested = "(".repeat(20_000);
                one.files[0].text.push_str(&format!("//\r{nested}"));
            }),
        ),
        (
            "much work",
            with(&|one| {
                let rule =
                    "@id(\"x\") permit (principal, action, resource) when { \"a\" like \"*a*\" };";
                one.files[0].text.push_str(rule);
            }),
        ),
        (
            "a name that hides what follows",
            with(&|one| one.files[0].name = "admin.cedar\u{1b}[8m".to_owned()),
        ),
        (
            "other rules before them",
            with(&|one| one.replaces = Digest([1; 32])),
        ),
        (
            "an action that there is not",
            with(&|one| {
                let text = "@id(\"x\") permit (principal, action == Action::\"fly\", resource);";
                one.files[0].text.push_str(text);
            }),
        ),
        (
            "a file twice",
            with(&|one| one.files.push(one.files[0].clone())),
        ),
        (
            "no schema of ours",
            with(&|one| one.schema.push_str("\n// Another.\n")),
        ),
    ] {
        let outcome = play.govern("admin", propose(&change));
        assert_eq!(outcome, conflict, "{name}");
        play.run_to(play.chain.head.height + POLICIES_APART);
    }
    let outcome = play.govern("alpha", propose(&Change::SetPolicies(good.clone())));
    assert_eq!(outcome, Outcome::refused(Code::NotPermitted));
    let outcome = play.govern("admin", propose(&Change::SetPolicies(good)));
    assert_eq!(outcome, Outcome::SETTLED);
    assert!(matches!(
        play.ask("alpha", &Question::Governance).body,
        AnswerBody::View(_)
    ));
}
