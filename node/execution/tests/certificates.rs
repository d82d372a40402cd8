//! Certificates on the ledger: renewed, revoked, ended; who may do it to whom, and that nothing revoked counts again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::certificates::{
    COMPROMISE, SUPERSEDED, YEAR_MS, again, certified, refused, renew, revoke, revoke_one,
    same_key, submit_as, under_new_key,
};
use kit::play::{Play, outcomes};
use kit::words::{self, order};
use kit::{CREATED_MS, Founded, MEMBERS, Member, Sealed, epochs_of};
use sealbook_execution::{Engine, Executed};
use sealbook_identity::Role;
use sealbook_primitives::signature::SigningKey;
use sealbook_protocol::payload::{AnswerBody, AsOf, OrderBytes, Question, RevocationTarget};
use sealbook_sealing::session::SessionKey;
use sealbook_securities::{Code, Outcome};

fn transfer(reference: &str) -> Vec<OrderBytes> {
    vec![order(reference, words::transfer("A-1", "A-2", "1"))]
}

fn is_answered(sealed: &Sealed, executed: &Executed) -> bool {
    let mut replies = executed.replies.iter();
    replies.any(|reply| reply.transaction == sealed.digest)
}

fn open_session(play: &mut Play, name: &str) -> SessionKey {
    let sealed = play.seal(name, vec![OrderBytes::OpenSession]);
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    SessionKey::opened_by(&sealed.reply_key, &play.network.members[name].fingerprint)
}

fn in_session(play: &Play, session: &SessionKey, counter: u64) -> Sealed {
    let (by, header) = (
        &play.network.members["alpha"],
        play.network.header(play.expiry()),
    );
    let orders = transfer(&format!("S-{counter}"));
    play.network
        .seal_in_session(by, header, (session, counter), orders)
}

#[test]
fn a_revoked_certificate_counts_no_more_from_its_place_on() {
    let mut play = Play::furnished();
    let session = open_session(&mut play, "alpha");
    let spoken = in_session(&play, &session, 0);
    let executed = play.step(&[&spoken.bytes], &[]);
    assert_eq!(outcomes(&spoken, &executed), [Outcome::SETTLED]);

    // In one block: what comes before settles, what comes after does not count, in the session or out of it.
    let before = play.seal("alpha", transfer("T1"));
    let revoked = play.seal("admin", revoke("alpha", COMPROMISE));
    let after = play.seal("alpha", transfer("T2"));
    let message = in_session(&play, &session, 1);
    let other = play.seal("beta", vec![order("T", words::transfer("B-1", "B-1", "1"))]);
    let all = [&before, &revoked, &after, &message, &other].map(|one| one.bytes.as_slice());
    let executed = play.step(&all, &[]);
    assert_eq!(outcomes(&before, &executed), [Outcome::SETTLED]);
    assert_eq!(outcomes(&revoked, &executed), [Outcome::SETTLED]);
    assert_eq!(outcomes(&after, &executed), refused(Code::NotAMember));
    assert_eq!(outcomes(&message, &executed), refused(Code::NotAMember));
    assert_ne!(outcomes(&other, &executed), refused(Code::NotAMember));
    let fingerprint = play.network.members["alpha"].fingerprint;
    assert_eq!(executed.revoked, [fingerprint]);
    assert_eq!(play.engine.revoked_certificates(), [fingerprint]);

    let message = in_session(&play, &session, 2);
    let executed = play.step(&[&message.bytes], &[]);
    assert!(!is_answered(&message, &executed) && executed.revoked.is_empty());

    // It reads nothing either.
    for question in [
        Question::Holdings,
        Question::Trades,
        Question::Member,
        Question::Governance,
        Question::Audit,
        words::ask_registry(AsOf::Now),
    ] {
        let refusal = Outcome::refused(Code::NotAMember);
        let expected = AnswerBody::Refused(borsh::to_vec(&refusal).unwrap());
        assert_eq!(play.ask("alpha", &question).body, expected, "{question:?}");
    }
    // Nor does it come back: not as a new member, not by another certificate for its key.
    let admit = |chain: Vec<Vec<u8>>| {
        vec![OrderBytes::Admit {
            reference: "M".to_owned(),
            chain,
        }]
    };
    let chain = play.network.members["alpha"].chain.clone();
    assert_eq!(
        play.submit("admin", admit(chain.clone()), &[]),
        refused(Code::Taken)
    );
    assert_eq!(
        play.submit("admin", renew(&chain), &[]),
        refused(Code::Taken)
    );
    let same = again(&play, "alpha");
    assert_eq!(
        submit_as(&mut play, &same, renew(&same.chain)),
        refused(Code::NotAMember)
    );
    assert_eq!(
        play.submit("admin", renew(&same.chain), &[]),
        refused(Code::Conflict)
    );
    // Somebody else under the key that may be stolen does not come in.
    let key = same_key(&play.network.members["alpha"]);
    let disguised = certified(&play, "stranger", key, CREATED_MS + YEAR_MS);
    assert_eq!(
        play.submit("admin", admit(disguised.chain), &[]),
        refused(Code::Conflict)
    );
    // Revoking twice does no harm and is not told twice.
    let twice = play.seal("admin", revoke("alpha", SUPERSEDED));
    let executed = play.step(&[&twice.bytes], &[]);
    assert_eq!(outcomes(&twice, &executed), [Outcome::SETTLED]);
    assert!(executed.revoked.is_empty());

    // An admin gives the firm another key. What the firm has is still its own.
    let new = under_new_key(&play, "alpha");
    assert_eq!(
        submit_as(&mut play, &new, transfer("T3")),
        refused(Code::NotAMember)
    );
    assert_eq!(
        play.submit("admin", renew(&new.chain), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        submit_as(&mut play, &new, transfer("T3")),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("alpha", transfer("T4"), &[]),
        refused(Code::NotAMember)
    );
}

#[test]
fn whom_one_may_revoke_and_renew() {
    let mut play = Play::furnished();
    // Whether somebody exists, nobody learns who may not revoke others.
    for name in ["beta", "nobody"] {
        assert_eq!(
            play.submit("alpha", revoke(name, SUPERSEDED), &[]),
            refused(Code::NotPermitted),
            "{name}"
        );
    }
    assert_eq!(
        play.submit("admin", revoke("nobody", SUPERSEDED), &[]),
        refused(Code::NotFound)
    );
    for reason in [2, 6, 7, 8, 10, 255] {
        assert_eq!(
            play.submit("admin", revoke("alpha", reason), &[]),
            refused(Code::Malformed),
            "{reason}"
        );
    }
    assert_eq!(
        play.submit("admin", revoke("No Name", SUPERSEDED), &[]),
        refused(Code::Malformed)
    );
    let empty = OrderBytes::Revoke {
        target: RevocationTarget::Certificate(Vec::new()),
        reason: SUPERSEDED,
    };
    assert_eq!(
        play.submit("admin", vec![empty], &[]),
        refused(Code::Malformed)
    );
    let stranger = play.network.members["stranger"].chain.clone();
    let outside = OrderBytes::Revoke {
        target: RevocationTarget::Certificate(stranger.clone()),
        reason: SUPERSEDED,
    };
    assert_eq!(
        play.submit("alpha", vec![outside.clone()], &[]),
        refused(Code::NotPermitted)
    );
    // Renewals of others, of nobody, and of what is no chain.
    let betas = again(&play, "beta");
    assert_eq!(
        play.submit("alpha", renew(&betas.chain), &[]),
        refused(Code::NotPermitted)
    );
    assert_eq!(
        play.submit("alpha", renew(&stranger), &[]),
        refused(Code::NotPermitted)
    );
    assert_eq!(
        play.submit("admin", renew(&stranger), &[]),
        refused(Code::NotFound)
    );
    for chain in [&[] as &[Vec<u8>], &stranger[..1], &[vec![0; 300]]] {
        assert_eq!(
            play.submit("admin", renew(chain), &[]),
            refused(Code::Malformed)
        );
    }
    // The names must be those of the member.
    let end_ms = CREATED_MS + YEAR_MS;
    for (role, organisation) in [
        (Role::Firm, "Alpha Securitles"),
        (Role::Admin, "Alpha Securities"),
    ] {
        let key = same_key(&play.network.members["alpha"]);
        let other = play
            .network
            .certify_key(("alpha", role, organisation), end_ms, key);
        assert_eq!(
            play.submit("alpha", renew(&other.chain), &[]),
            refused(Code::Conflict),
            "{organisation}"
        );
    }
    // Who never came in can be kept out for good.
    assert_eq!(play.submit("admin", vec![outside], &[]), [Outcome::SETTLED]);
    assert_eq!(play.admit("stranger"), Outcome::refused(Code::Taken));
    // A member gives its own up.
    assert_eq!(
        play.submit("beta", revoke("beta", SUPERSEDED), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("beta", transfer("T"), &[]),
        refused(Code::NotAMember)
    );
    assert_eq!(play.engine.revoked_certificates().len(), 2);
}

#[test]
fn a_renewal_adds_a_certificate_and_the_old_one_counts_until_its_end() {
    let mut play = Play::furnished_with(Founded {
        certificate_life_ms: 100_000,
        ..Founded::default()
    });
    let new = again(&play, "alpha");
    // It does not sign for itself as long as another one counts.
    assert_eq!(
        submit_as(&mut play, &new, renew(&new.chain)),
        refused(Code::NotAMember)
    );
    for _ in 0..2 {
        let renewed = play.submit("alpha", renew(&new.chain), &[]);
        assert_eq!(renewed, [Outcome::SETTLED]);
    }
    assert_eq!(
        submit_as(&mut play, &new, transfer("N1")),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("alpha", transfer("O1"), &[]),
        [Outcome::SETTLED]
    );
    // Another key signs for nobody until the member has said so under the key that it has.
    let other = under_new_key(&play, "alpha");
    assert_eq!(
        submit_as(&mut play, &other, renew(&other.chain)),
        refused(Code::NotAMember)
    );
    assert_eq!(
        play.submit("alpha", renew(&other.chain), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        submit_as(&mut play, &other, transfer("N2")),
        [Outcome::SETTLED]
    );
    // Eight at a time.
    for _ in 0..5 {
        let one = again(&play, "alpha");
        assert_eq!(
            play.submit("alpha", renew(&one.chain), &[]),
            [Outcome::SETTLED]
        );
    }
    let ninth = again(&play, "alpha");
    assert_eq!(
        play.submit("alpha", renew(&ninth.chain), &[]),
        refused(Code::Limit)
    );
    // One of them is revoked, and the others count on.
    assert_eq!(
        play.submit("admin", revoke_one(&new, SUPERSEDED), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        submit_as(&mut play, &new, transfer("N3")),
        refused(Code::NotAMember)
    );
    assert_eq!(
        submit_as(&mut play, &other, transfer("N3")),
        [Outcome::SETTLED]
    );
    // The one that it was admitted under ends.
    let block = play.chain.next_at(CREATED_MS + 100_001, &[], &[]);
    play.execute(&block).unwrap();
    assert_eq!(
        submit_as(&mut play, &other, transfer("N4")),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("alpha", transfer("O2"), &[]),
        refused(Code::NotAMember)
    );
}

#[test]
fn when_every_certificate_has_ended_members_come_back_by_themselves() {
    let life = 60_000;
    let mut play = Play::furnished_with(Founded {
        certificate_life_ms: life,
        ..Founded::default()
    });
    let block = play.chain.next_at(CREATED_MS + life + 1, &[], &[]);
    play.execute(&block).unwrap();
    for (name, ..) in &MEMBERS[..8] {
        let gone = play.submit(name, transfer("T"), &[]);
        assert_eq!(gone, refused(Code::NotAMember), "{name}");
    }
    // Not by a certificate that has ended, not by anything but the renewal alone, not by somebody else's.
    let ended = {
        let key = same_key(&play.network.members["alpha"]);
        certified(&play, "alpha", key, CREATED_MS + life)
    };
    assert_eq!(
        submit_as(&mut play, &ended, renew(&ended.chain)),
        refused(Code::NotAMember)
    );
    let new = again(&play, "alpha");
    let both = [renew(&new.chain), transfer("T")].concat();
    assert_eq!(submit_as(&mut play, &new, both), refused(Code::NotAMember));
    let betas = again(&play, "beta");
    assert_eq!(
        submit_as(&mut play, &new, renew(&betas.chain)),
        refused(Code::NotAMember)
    );
    let stolen = Member {
        key: SigningKey::generate(),
        chain: new.chain.clone(),
        fingerprint: new.fingerprint,
    };
    assert_eq!(
        submit_as(&mut play, &stolen, renew(&new.chain)),
        refused(Code::NotAMember)
    );
    // So everybody comes back, admins first or last, and nobody had to be asked.
    for (name, ..) in &MEMBERS[..8] {
        let new = again(&play, name);
        let back = submit_as(&mut play, &new, renew(&new.chain));
        assert_eq!(back, [Outcome::SETTLED], "{name}");
        play.network.members.insert(name, new);
    }
    assert_eq!(play.submit("alpha", transfer("T"), &[]), [Outcome::SETTLED]);
    assert_eq!(play.admit("stranger"), Outcome::refused(Code::Malformed));
    assert!(play.registry("apple", AsOf::Now).is_ok());
}

#[test]
fn a_stolen_key_takes_every_certificate_along_and_its_holder_only_its_own() {
    let mut play = Play::furnished();
    let new = again(&play, "alpha");
    assert_eq!(
        play.submit("alpha", renew(&new.chain), &[]),
        [Outcome::SETTLED]
    );
    // First only given up, and then found stolen.
    let old = &play.network.members["alpha"];
    let (first, stolen) = (revoke_one(old, SUPERSEDED), revoke_one(old, COMPROMISE));
    assert_eq!(play.submit("admin", first, &[]), [Outcome::SETTLED]);
    assert_eq!(
        submit_as(&mut play, &new, transfer("T1")),
        [Outcome::SETTLED]
    );
    let sealed = play.seal("admin", stolen);
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    assert_eq!(executed.revoked, [new.fingerprint]);
    assert_eq!(
        submit_as(&mut play, &new, transfer("T2")),
        refused(Code::NotAMember)
    );
    let third = again(&play, "alpha");
    assert_eq!(
        play.submit("admin", renew(&third.chain), &[]),
        refused(Code::Conflict)
    );
    // Beta has somebody's key certified in its own name, and says that it is stolen: that concerns beta alone.
    let key = same_key(&play.network.members["orange"]);
    let disguised = certified(&play, "beta", key, CREATED_MS + YEAR_MS);
    assert_eq!(
        play.submit("beta", renew(&disguised.chain), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("beta", revoke_one(&disguised, COMPROMISE), &[]),
        [Outcome::SETTLED]
    );
    assert!(matches!(
        play.ask("orange", &Question::Member).body,
        AnswerBody::Member(_)
    ));
    let renewed = again(&play, "orange");
    assert_eq!(
        play.submit("orange", renew(&renewed.chain), &[]),
        [Outcome::SETTLED]
    );
}

#[test]
fn a_key_that_was_given_up_brings_nobody_back() {
    let life = 60_000;
    let mut play = Play::furnished_with(Founded {
        certificate_life_ms: life,
        ..Founded::default()
    });
    let end_ms = CREATED_MS + 2 * life;
    let other = certified(&play, "alpha", SigningKey::generate(), end_ms);
    assert_eq!(
        play.submit("alpha", renew(&other.chain), &[]),
        [Outcome::SETTLED]
    );
    let block = play.chain.next_at(end_ms + 1, &[], &[]);
    play.execute(&block).unwrap();
    let first = again(&play, "alpha");
    assert_eq!(
        submit_as(&mut play, &first, renew(&first.chain)),
        refused(Code::NotAMember)
    );
    let second = certified(&play, "alpha", same_key(&other), CREATED_MS + YEAR_MS);
    assert_eq!(
        submit_as(&mut play, &second, renew(&second.chain)),
        [Outcome::SETTLED]
    );
}

#[test]
fn an_engine_that_was_restored_knows_the_same_certificates() {
    const EPOCH: u32 = 24;
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    let new = under_new_key(&play, "alpha");
    assert_eq!(
        play.submit("alpha", renew(&new.chain), &[]),
        [Outcome::SETTLED]
    );
    let old = revoke_one(&play.network.members["alpha"], COMPROMISE);
    assert_eq!(submit_as(&mut play, &new, old), [Outcome::SETTLED]);
    play.run_to(u64::from(EPOCH) * 2);
    assert_eq!(
        play.submit("admin", revoke("beta", SUPERSEDED), &[]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        submit_as(&mut play, &new, transfer("N1")),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("alpha", transfer("O1"), &[]),
        refused(Code::NotAMember)
    );
    play.run_to(u64::from(EPOCH) * 2 + 12);
    let snapshot = play.snapshots[0].clone();
    let offer = play.offer(&snapshot);
    let keys = play.network.keys(1);
    let mut restoring = Engine::restore(play.network.genesis.clone(), keys, &offer).unwrap();
    for piece in &snapshot.pieces {
        restoring.add(piece).unwrap();
    }
    let mut restored = restoring.finish().unwrap();
    let from = usize::try_from(restored.height()).unwrap();
    assert!(from < usize::try_from(play.engine.height()).unwrap());
    for (block, certificate) in &play.blocks[from..] {
        restored
            .execute(std::slice::from_ref(block), certificate)
            .unwrap();
    }
    assert_eq!(restored.commitment(), play.engine.commitment());
    assert_eq!(
        restored.revoked_certificates(),
        play.engine.revoked_certificates()
    );
    assert_eq!(restored.revoked_certificates().len(), 2);
}
