//! What can be done with envelopes, attachments and queries by whoever carries or makes them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::{Play, outcomes};
use kit::words::{self, order};
use kit::{Network, Sealed, sign};
use proptest::prelude::*;
use sealbook_execution::Executed;
use sealbook_identity::Role;
use sealbook_ledger::{Attachment, Block};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::Signature;
use sealbook_protocol::payload::{
    AnswerBody, AsOf, MAX_ORDERS, OrderBytes, PAYLOAD_VERSION, QUERY_SIGNATURE, QUERY_VERSION,
    Question, Signed, Submission, TRANSACTION_SIGNATURE,
};
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose};
use sealbook_securities::{Code, Event, EventRow, EventsView, Outcome};

const HORIZON_MS: u64 = 3_600_000;

fn transfer(play: &Play, quantity: &str) -> Sealed {
    play.seal(
        "alpha",
        vec![order("T", words::transfer("A-1", "A-2", quantity))],
    )
}

fn held(play: &mut Play) -> String {
    play.registry_text("apple", AsOf::Now)
}

/// Executes one envelope and expects that it changed nothing and that nobody was answered.
#[track_caller]
fn no_trace(play: &mut Play, bytes: &[u8]) {
    let before = held(play);
    let executed = play.step(&[bytes], &[]);
    assert_eq!(
        (executed.unopened, executed.replies.len(), executed.outcomes),
        (1, 0, [0; 4])
    );
    assert_eq!(held(play), before);
}

fn body(orders: Vec<OrderBytes>) -> Vec<u8> {
    let submission = Submission {
        version: PAYLOAD_VERSION,
        reply_key: [7; 32],
        orders,
    };
    borsh::to_vec(&submission).unwrap()
}

fn transfer_body() -> Vec<u8> {
    body(vec![order("T", words::transfer("A-1", "A-2", "1"))])
}

#[test]
fn a_copy_of_an_envelope_takes_effect_once() {
    let mut play = Play::furnished();
    // A reference that is refused is not remembered by the books, so only the envelope's own digest protects it.
    let sealed = play.seal(
        "alpha",
        vec![order("T", words::transfer("A-2", "A-1", "10"))],
    );
    let executed = play.step(&[&sealed.bytes, &sealed.bytes], &[]);
    assert_eq!(
        outcomes(&sealed, &executed),
        [Outcome::refused(Code::LackOfSecurities)]
    );
    assert_eq!((executed.replies.len(), executed.unopened), (1, 0));
    play.settle("alpha", words::transfer("A-1", "A-2", "10"));
    let before = held(&mut play);
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(
        (executed.replies.len(), executed.unopened, executed.outcomes),
        (0, 0, [0; 4])
    );
    assert_eq!(held(&mut play), before);
    // Nor is anybody told another outcome after the expiry, at the last moment of the horizon and after it.
    let expires_ms = Envelope::decode(&sealed.bytes, 10_000)
        .unwrap()
        .header
        .expires_ms;
    for (time_ms, unopened) in [
        (expires_ms, 0),
        (expires_ms + 1, 0),
        (expires_ms + HORIZON_MS, 0),
        (expires_ms + HORIZON_MS + 1, 1),
    ] {
        let block = play.chain.next_at(time_ms, &[&sealed.bytes], &[]);
        let executed = play.execute(&block).unwrap();
        assert_eq!((executed.replies.len(), executed.unopened), (0, unopened));
    }
    assert_eq!(held(&mut play), before);
}

/// Whoever can open an envelope, a module or an auditor, can seal what is in it anew; that is not what the member signed.
#[test]
fn what_is_signed_for_one_envelope_counts_in_no_other() {
    let mut play = Play::furnished();
    let orders = vec![order("T", words::transfer("A-2", "A-1", "10"))];
    let (sealed, again) = play.network.seal_twice("alpha", play.expiry(), orders);
    assert_ne!(sealed.digest, again.digest);
    let executed = play.step(&[&sealed.bytes], &[]);
    let refused = [Outcome::refused(Code::LackOfSecurities)];
    assert_eq!(outcomes(&sealed, &executed), refused);
    // By now it could be settled.
    play.settle("alpha", words::transfer("A-1", "A-2", "10"));
    no_trace(&mut play, &again.bytes);
}

#[test]
fn expired_envelopes_are_refused_once_and_stale_ones_not_even_answered() {
    let mut play = Play::furnished();
    let now = play.chain.head.time_ms;
    let at = |play: &mut Play, sealed: &Sealed, time_ms: u64| -> Executed {
        let block = play.chain.next_at(time_ms, &[&sealed.bytes], &[]);
        play.execute(&block).unwrap()
    };
    let orders = || vec![order("T", words::transfer("A-1", "A-2", "1"))];
    let last = play.network.seal("alpha", now + 1_000, orders());
    let executed = at(&mut play, &last, now + 1_000);
    assert_eq!(outcomes(&last, &executed), [Outcome::SETTLED]);
    let others = vec![order("U", words::transfer("A-1", "A-2", "1"))];
    let late = play.network.seal("alpha", now + 1_000, others);
    let executed = at(&mut play, &late, now + 1_001);
    assert_eq!(
        outcomes(&late, &executed),
        [Outcome::refused(Code::Expired)]
    );
    assert_eq!(at(&mut play, &late, now + 1_002).replies.len(), 0);
    let again = play.network.seal("alpha", now + 1_000, orders());
    let executed = at(&mut play, &again, now + 1_003);
    assert_eq!(
        outcomes(&again, &executed),
        [Outcome::refused(Code::Expired)]
    );
    // The submitter alone is told, once; of what left no trace nobody is, nor of what was accepted before.
    let late_ones = |play: &mut Play, name: &str| {
        let question = Question::Events {
            height: 0,
            place: 0,
        };
        let view: EventsView = play.view(name, &question).unwrap();
        let late = |row: &&EventRow| matches!(&row.event, Event::Order { outcome, .. } if outcome.code == Some(Code::Expired));
        view.rows.iter().filter(late).count()
    };
    for _ in 0..4 {
        play.step(&[], &[]);
    }
    assert_eq!(late_ones(&mut play, "alpha"), 1);
    assert_eq!(late_ones(&mut play, "beta"), 0);
    let stale = play.network.seal("alpha", now, orders());
    let executed = at(&mut play, &stale, now + HORIZON_MS + 1);
    assert_eq!((executed.replies.len(), executed.unopened), (0, 1));
}

#[test]
fn an_envelope_from_beyond_the_horizon_waits_for_its_time() {
    let mut play = Play::furnished();
    let now = play.chain.head.time_ms;
    let orders = || vec![order("T", words::transfer("A-1", "A-2", "1"))];
    let sealed = play
        .network
        .seal("alpha", now + 1_000 + HORIZON_MS + 1, orders());
    no_trace(&mut play, &sealed.bytes);
    // Nobody was told that it was refused, and when it comes within the horizon, it is like any other.
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    for expires_ms in [u64::MAX, u64::MAX - HORIZON_MS] {
        let sealed = play.network.seal("alpha", expires_ms, orders());
        no_trace(&mut play, &sealed.bytes);
    }
}

#[test]
fn a_payload_opens_only_where_it_was_sealed_for() {
    let mut play = Play::furnished();
    let header = play.network.header(play.expiry());
    let good = transfer(&play, "1");
    let envelope = Envelope::decode(&good.bytes, 10_000).unwrap();
    // The ciphertext under another header: network, key epoch, expiry.
    for other in [
        EnvelopeHeader {
            network: Digest([1; 32]),
            ..header
        },
        EnvelopeHeader {
            key_epoch: 1,
            ..header
        },
        EnvelopeHeader {
            expires_ms: header.expires_ms + 1,
            ..header
        },
    ] {
        no_trace(
            &mut play,
            &Envelope {
                header: other,
                ..envelope.clone()
            }
            .encode(),
        );
    }
    // The same, honestly sealed by somebody who opened it: the signature binds to the header.
    let by = &play.network.members["alpha"];
    let purpose = Purpose::Transaction;
    let signed = sign(by, &header, purpose, TRANSACTION_SIGNATURE, transfer_body());
    let later = EnvelopeHeader {
        expires_ms: header.expires_ms + 1,
        ..header
    };
    let moved = play
        .network
        .seal_signed(later, purpose, &signed, Secret32::random());
    no_trace(&mut play, &moved.bytes);
    // Signed or sealed for another purpose.
    for (bound, domain, sealed_for) in [
        (Purpose::Query, TRANSACTION_SIGNATURE, Purpose::Transaction),
        (Purpose::Transaction, QUERY_SIGNATURE, Purpose::Transaction),
        (Purpose::Transaction, TRANSACTION_SIGNATURE, Purpose::Query),
        (
            Purpose::Transaction,
            TRANSACTION_SIGNATURE,
            Purpose::Attachment,
        ),
        (
            Purpose::Attachment,
            TRANSACTION_SIGNATURE,
            Purpose::Transaction,
        ),
    ] {
        let signed = sign(
            &play.network.members["alpha"],
            &header,
            bound,
            domain,
            transfer_body(),
        );
        let moved = play
            .network
            .seal_signed(header, sealed_for, &signed, Secret32::random());
        no_trace(&mut play, &moved.bytes);
    }
    let executed = play.step(&[&good.bytes], &[]);
    assert_eq!(outcomes(&good, &executed), [Outcome::SETTLED]);
}

#[test]
fn an_envelope_of_another_network_does_not_open() {
    let mut play = Play::furnished();
    let other = Network::new();
    let orders = vec![order("T", words::transfer("A-1", "A-2", "1"))];
    let foreign = other.seal("alpha", play.expiry(), orders);
    no_trace(&mut play, &foreign.bytes);
    let mut relabelled = Envelope::decode(&foreign.bytes, 10_000).unwrap();
    relabelled.header.network = play.network.id;
    no_trace(&mut play, &relabelled.encode());
}

#[test]
fn every_flipped_bit_closes_an_envelope() {
    let mut play = Play::furnished();
    let sealed = transfer(&play, "1");
    let flipped: Vec<Vec<u8>> = (0..sealed.bytes.len())
        .map(|index| {
            let mut bytes = sealed.bytes.clone();
            bytes[index] ^= 1 << (index % 8);
            bytes
        })
        // X25519 ignores the highest bit of a public key; the key derivation must not.
        .chain([{
            let mut bytes = sealed.bytes.clone();
            bytes[46 + 4 + 31] ^= 0x80;
            bytes
        }])
        .collect();
    let all: Vec<&[u8]> = flipped.iter().map(Vec::as_slice).collect();
    let executed = play.step(&all, &[]);
    assert_eq!(executed.unopened as usize, all.len());
    assert!(executed.replies.is_empty());
}

#[test]
fn only_the_member_itself_signs_for_it() {
    let mut play = Play::furnished();
    let header = play.network.header(play.expiry());
    let purpose = Purpose::Transaction;
    let claimed = play.network.members["alpha"].fingerprint;
    let mut by_beta = sign(
        &play.network.members["beta"],
        &header,
        purpose,
        TRANSACTION_SIGNATURE,
        transfer_body(),
    );
    by_beta.certificate = claimed;
    let unsigned = |signature| Signed {
        version: PAYLOAD_VERSION,
        certificate: claimed,
        signature,
        body: transfer_body(),
    };
    let mut identity = [0; 64];
    identity[0] = 1;
    for signed in [
        by_beta,
        unsigned(Signature([0; 64])),
        unsigned(Signature(identity)),
    ] {
        let sealed = play
            .network
            .seal_signed(header, purpose, &signed, Secret32::random());
        no_trace(&mut play, &sealed.bytes);
    }
    let mut wrong_version = sign(
        &play.network.members["alpha"],
        &header,
        purpose,
        TRANSACTION_SIGNATURE,
        transfer_body(),
    );
    wrong_version.version = 2;
    let sealed = play
        .network
        .seal_signed(header, purpose, &wrong_version, Secret32::random());
    no_trace(&mut play, &sealed.bytes);
}

/// The signatures of a block are verified together: one that is wrong takes nothing from the others, and gets nothing
/// from them.
#[test]
fn a_wrong_signature_among_others_of_its_block_counts_alone() {
    let mut play = Play::furnished();
    let header = play.network.header(play.expiry());
    let purpose = Purpose::Transaction;
    let by_beta = || {
        let beta = &play.network.members["beta"];
        let mut signed = sign(
            beta,
            &header,
            purpose,
            TRANSACTION_SIGNATURE,
            transfer_body(),
        );
        signed.certificate = play.network.members["alpha"].fingerprint;
        play.network
            .seal_signed(header, purpose, &signed, Secret32::random())
    };
    let forged = [by_beta(), by_beta()];
    let good: Vec<Sealed> = ["1", "2", "3"]
        .iter()
        .map(|quantity| {
            let reference = format!("G{quantity}");
            let transfer = words::transfer("A-1", "A-2", quantity);
            play.seal("alpha", vec![order(&reference, transfer)])
        })
        .collect();
    let all = [&good[0], &forged[0], &good[1], &forged[1], &good[2]];
    let bytes: Vec<&[u8]> = all.iter().map(|one| one.bytes.as_slice()).collect();
    let executed = play.step(&bytes, &[]);
    assert_eq!((executed.unopened, executed.replies.len()), (2, 3));
    for one in &good {
        assert_eq!(outcomes(one, &executed), [Outcome::SETTLED]);
    }
}

/// Who is admitted in a block was unknown when its signatures were verified together.
#[test]
fn a_newcomer_acts_in_the_block_that_admits_it_and_only_under_its_own_signature() {
    let mut play = Play::furnished();
    let newcomer = play.network.certify(
        "newcomer",
        Role::Firm,
        "Newcomer (example)",
        kit::CREATED_MS + 900_000_000,
    );
    let admit = OrderBytes::Admit {
        reference: "N".to_owned(),
        chain: newcomer.chain.clone(),
    };
    let header = play.network.header(play.expiry());
    let purpose = Purpose::Transaction;
    let orders = || vec![order("T", words::transfer("A-1", "A-2", "1"))];
    let early = play.network.seal_as(&newcomer, header, orders());
    let admission = play.seal("admin", vec![admit]);
    let own = play.network.seal_as(&newcomer, header, orders());
    let alpha = &play.network.members["alpha"];
    let mut signed = sign(
        alpha,
        &header,
        purpose,
        TRANSACTION_SIGNATURE,
        transfer_body(),
    );
    signed.certificate = newcomer.fingerprint;
    let forged = play
        .network
        .seal_signed(header, purpose, &signed, Secret32::random());
    let all = [&early, &admission, &own, &forged];
    let bytes: Vec<&[u8]> = all.iter().map(|one| one.bytes.as_slice()).collect();
    let executed = play.step(&bytes, &[]);
    assert_eq!((executed.unopened, executed.replies.len()), (1, 3));
    let refused = |code| [Outcome::refused(code)];
    assert_eq!(outcomes(&early, &executed), refused(Code::NotAMember));
    assert_eq!(outcomes(&admission, &executed), [Outcome::SETTLED]);
    // A member by now, and the account is another's.
    assert_eq!(outcomes(&own, &executed), refused(Code::NotFound));
}

#[test]
fn batches_have_limits() {
    let mut play = Play::furnished();
    let malformed = [Outcome::refused(Code::Malformed)];
    assert_eq!(play.submit("alpha", Vec::new(), &[]), malformed);
    let orders = |count| -> Vec<OrderBytes> {
        (0..count)
            .map(|number| order(&number.to_string(), words::transfer("A-1", "A-2", "1")))
            .collect()
    };
    assert_eq!(play.submit("alpha", orders(MAX_ORDERS + 1), &[]), malformed);
    assert_eq!(held(&mut play), "1000000 = 999000 + [Hanako Sato 1000]");
    let all = play.submit("alpha", orders(MAX_ORDERS), &[]);
    let settled = all
        .iter()
        .filter(|outcome| **outcome == Outcome::SETTLED)
        .count();
    assert_eq!((all.len(), settled), (MAX_ORDERS, 1_000));
}

#[test]
fn a_name_needs_its_attachment_and_its_commitment() {
    let mut play = Play::furnished();
    let name = play.network.seal_name("Yuki Mori");
    let open = |id: &str, attachment, commitment| {
        vec![order("~", words::open_account(id, attachment, commitment))]
    };
    let malformed = [Outcome::refused(Code::Malformed)];
    let missing = play.submit("alpha", open("A-3", name.attachment, name.commitment), &[]);
    assert_eq!(missing, malformed);
    let other = play.network.seal_name("Somebody Else");
    let wrong = play.submit(
        "alpha",
        open("A-3", name.attachment, name.commitment),
        &[&other.bytes],
    );
    assert_eq!(wrong, malformed);
    // Who may not open accounts at all is told that, attachment or not.
    let denied = play.submit("apple", open("A-3", name.attachment, name.commitment), &[]);
    assert_eq!(denied, [Outcome::refused(Code::NotPermitted)]);
    // An attachment that is there but says something else, or nothing readable, opens the account without a name.
    let settled = [Outcome::SETTLED];
    let garbage = b"not an envelope".to_vec();
    let foreign = Network::new().seal_name("Yuki Mori");
    for (id, bytes, commitment) in [
        ("A-3", &name.bytes, [9; 32]),
        ("A-4", &garbage, name.commitment),
        ("A-5", &foreign.bytes, foreign.commitment),
        ("A-6", &name.bytes, name.commitment),
    ] {
        let reference = play.reference();
        let attachment = Attachment::digest_of(bytes).0;
        let orders = vec![order(
            &reference,
            words::open_account(id, attachment, commitment),
        )];
        assert_eq!(play.submit("alpha", orders, &[bytes]), settled, "{id}");
        play.settle("admin", words::allocate(id, "1"));
    }
    assert_eq!(
        play.registry_text("apple", AsOf::Now),
        "1000000 = 998996 + [? 1, ? 1, ? 1, Hanako Sato 1000, Yuki Mori 1]"
    );
}

#[test]
fn an_erased_attachment_changes_no_outcome_and_no_root() {
    let mut play = Play::furnished();
    let mut erased = play.network.engine();
    for (block, certificate) in &play.blocks {
        let mut block = Block::decode(block, usize::MAX).unwrap();
        for attachment in &mut block.attachments {
            *attachment = Attachment::Erased(attachment.digest());
        }
        erased.execute(&[block.encode()], certificate).unwrap();
    }
    assert_eq!(erased.commitment(), play.engine.commitment());
    assert_eq!(held(&mut play), "1000000 = 999000 + [Hanako Sato 1000]");
    std::mem::swap(&mut play.engine, &mut erased);
    assert_eq!(held(&mut play), "1000000 = 999000 + [? 1000]");
    // Both go on alike.
    let sealed = transfer(&play, "1");
    let executed = play.step(&[&sealed.bytes], &[]);
    let (block, certificate) = play.blocks.last().unwrap();
    let again = erased
        .execute(std::slice::from_ref(block), certificate)
        .unwrap();
    assert_eq!(again[0].commitment, executed.commitment);
    assert_eq!(again[0].replies, executed.replies);
}

#[test]
fn queries_are_signed_current_and_answered_once() {
    let mut play = Play::furnished();
    let (network, now) = (&play.network, play.chain.head.time_ms);
    let question = Question::Member;
    let good = network.seal_query("alpha", now, 0, &question);
    assert!(play.engine.answer(&good.bytes).is_some());
    assert!(play.engine.answer(&good.bytes).is_none(), "a replay");
    let ends = [
        (now - 1, false),
        (now + HORIZON_MS, true),
        (now + HORIZON_MS + 1, false),
        (u64::MAX, false),
    ];
    for (expires_ms, answered) in ends {
        let query = network.seal_query("alpha", expires_ms, 0, &question);
        assert_eq!(
            play.engine.answer(&query.bytes).is_some(),
            answered,
            "{expires_ms}"
        );
    }
    // Unsigned, signed by another, signed as a transaction, sealed as a transaction, moved to a later expiry.
    let header = network.header(now + 1_000);
    let plaintext = sealbook_protocol::payload::Query {
        version: QUERY_VERSION,
        reply_key: [7; 32],
        height_min: 0,
        recorded: None,
        question: question.clone(),
    };
    let body = || borsh::to_vec(&plaintext).unwrap();
    let (alpha, beta) = (&network.members["alpha"], &network.members["beta"]);
    let mut unsigned = sign(alpha, &header, Purpose::Query, QUERY_SIGNATURE, body());
    unsigned.signature = Signature([0; 64]);
    let mut of_beta = sign(beta, &header, Purpose::Query, QUERY_SIGNATURE, body());
    of_beta.certificate = alpha.fingerprint;
    let as_transaction = sign(
        alpha,
        &header,
        Purpose::Query,
        TRANSACTION_SIGNATURE,
        body(),
    );
    let earlier = network.header(now);
    let moved = sign(alpha, &earlier, Purpose::Query, QUERY_SIGNATURE, body());
    for signed in [unsigned, of_beta, as_transaction, moved] {
        let query = network.seal_signed(header, Purpose::Query, &signed, Secret32::random());
        assert!(play.engine.answer(&query.bytes).is_none());
    }
    let signed = sign(alpha, &header, Purpose::Query, QUERY_SIGNATURE, body());
    let (purpose, bytes) = (Purpose::Query, borsh::to_vec(&signed).unwrap());
    let anew = network.seal_bytes(header, purpose, &bytes, Secret32::random());
    assert!(play.engine.answer(&anew.bytes).is_none());
    let as_signed = network.seal_signed(header, purpose, &signed, Secret32::random());
    assert!(play.engine.answer(&as_signed.bytes).is_some());
    let as_transaction =
        network.seal_signed(header, Purpose::Transaction, &signed, Secret32::random());
    assert!(play.engine.answer(&as_transaction.bytes).is_none());
    for bytes in [
        &[][..],
        b"query",
        &good.bytes[..good.bytes.len() - 1],
        &vec![0; 20_000],
    ] {
        assert!(play.engine.answer(bytes).is_none());
    }
    // A state older than the caller knows is not shown.
    let ahead = play.engine.height() + 1;
    let query = network.seal_query("alpha", now + 1_000, ahead, &question);
    let answer = play.engine.answer(&query.bytes).unwrap();
    let opened = query.open(sealbook_execution::engine::ANSWER_CONTEXT, &answer);
    let answer: sealbook_protocol::payload::Answer = borsh::from_slice(opened.expose()).unwrap();
    assert_eq!(answer.body, AnswerBody::Behind);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever somebody seals, it harms nobody: it is not executed, or refused, and the engine goes on.
    #[test]
    fn arbitrary_content_does_no_harm(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..6),
        kind in 0..4_u8,
    ) {
        thread_local! {
            static PLAY: std::cell::RefCell<Play> = std::cell::RefCell::new(Play::furnished());
        }
        PLAY.with_borrow_mut(|play| {
            let (header, purpose) = (play.network.header(play.expiry()), Purpose::Transaction);
            let root = held(play);
            let sealed: Vec<Vec<u8>> = payloads.iter().map(|bytes| {
                let alpha = &play.network.members["alpha"];
                let signed = |body| {
                    let signed = sign(alpha, &header, purpose, TRANSACTION_SIGNATURE, body);
                    play.network.seal_signed(header, purpose, &signed, Secret32::random()).bytes
                };
                let submission = |orders| signed(body(orders));
                match kind {
                    0 => play.network.seal_bytes(header, purpose, bytes, Secret32::random()).bytes,
                    1 => signed(bytes.clone()),
                    2 => submission(vec![OrderBytes::Securities(bytes.clone())]),
                    _ => submission(vec![OrderBytes::Admit {
                        reference: "~".to_owned(),
                        chain: vec![bytes.clone(); 2],
                    }]),
                }
            }).collect();
            let all: Vec<&[u8]> = payloads.iter().chain(&sealed).map(Vec::as_slice).collect();
            let names: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let executed = play.step(&all, &names);
            assert_eq!(executed.outcomes[0] + executed.outcomes[1], 0);
            assert_eq!(held(play), root);
            for bytes in &all {
                assert!(play.engine.answer(bytes).is_none());
            }
        });
    }
}
