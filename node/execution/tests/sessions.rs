//! Sessions: who may send in one, that each counter counts once, when they end, and that they survive a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::modules::{Modules, founded};
use kit::play::{Play, outcomes};
use kit::words::{self, order};
use kit::{Chain, Founded, LIFE_MS, Network, Sealed, epochs_of, sign_orders};
use sealbook_execution::{Engine, Executed};
use sealbook_governance::Change;
use sealbook_ledger::Block;
use sealbook_protocol::payload::{AsOf, OrderBytes};
use sealbook_sealing::session::SessionKey;
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose, signed_binding};
use sealbook_securities::{Code, Outcome};

const EPOCH: u32 = 24;
const IDLE_MS: u64 = 600_000;

fn opening() -> Vec<OrderBytes> {
    vec![OrderBytes::OpenSession]
}

fn transfer(reference: &str) -> Vec<OrderBytes> {
    vec![order(reference, words::transfer("A-1", "A-2", "1"))]
}

fn key_of(network: &Network, name: &str, sealed: &Sealed) -> SessionKey {
    SessionKey::opened_by(&sealed.reply_key, &network.members[name].fingerprint)
}

fn open(play: &mut Play, name: &str) -> SessionKey {
    let sealed = play.seal(name, opening());
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    key_of(&play.network, name, &sealed)
}

fn header(play: &Play) -> EnvelopeHeader {
    play.network.header(play.expiry())
}

/// A transfer of alpha's as a message of a session.
fn message(play: &Play, session: &SessionKey, counter: u64) -> Sealed {
    let orders = transfer(&format!("S-{counter}"));
    let (by, header) = (&play.network.members["alpha"], header(play));
    play.network
        .seal_in_session(by, header, (session, counter), orders)
}

#[track_caller]
fn settles(play: &mut Play, sealed: &Sealed) {
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(sealed, &executed), [Outcome::SETTLED]);
    assert_eq!(executed.unopened, 0);
}

#[track_caller]
fn nothing_came_of(executed: &Executed) {
    assert_eq!(
        (executed.unopened, executed.replies.len(), executed.outcomes),
        (1, 0, [0; 4])
    );
}

#[track_caller]
fn no_trace(play: &mut Play, bytes: &[u8]) {
    let before = play.registry_text("admin", AsOf::Now);
    let executed = play.step(&[bytes], &[]);
    nothing_came_of(&executed);
    assert_eq!(play.registry_text("admin", AsOf::Now), before);
}

#[test]
fn messages_are_executed_in_any_order_and_only_after_the_block_that_opens() {
    let mut play = Play::furnished();
    let sealed = play.seal("alpha", opening());
    let session = key_of(&play.network, "alpha", &sealed);
    let first = message(&play, &session, 0);
    let executed = play.step(&[&sealed.bytes, &first.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    assert_eq!((executed.unopened, executed.replies.len()), (1, 1));
    // What did not open used nothing up.
    for counter in [2, 0, 1, 128, 5] {
        let sealed = message(&play, &session, counter);
        settles(&mut play, &sealed);
    }
    let both = [message(&play, &session, 7), message(&play, &session, 6)];
    let executed = play.step(&[&both[0].bytes, &both[1].bytes], &[]);
    for sealed in &both {
        assert_eq!(outcomes(sealed, &executed), [Outcome::SETTLED]);
    }
    let envelope = Envelope::decode(&both[0].bytes, 10_000).unwrap();
    assert_eq!(envelope.header.version, 2);
}

#[test]
fn a_counter_counts_once_and_a_copy_of_an_envelope_as_always() {
    let mut play = Play::furnished();
    let session = open(&mut play, "alpha");
    let one = message(&play, &session, 0);
    let executed = play.step(&[&one.bytes, &one.bytes], &[]);
    assert_eq!((executed.unopened, executed.replies.len()), (0, 1));
    let executed = play.step(&[&one.bytes], &[]);
    assert_eq!((executed.unopened, executed.replies.len()), (0, 0));
    // Another envelope under the same counter.
    let again = message(&play, &session, 0);
    no_trace(&mut play, &again.bytes);
    let (first, second) = (message(&play, &session, 1), message(&play, &session, 1));
    let executed = play.step(&[&first.bytes, &second.bytes], &[]);
    assert_eq!(outcomes(&first, &executed), [Outcome::SETTLED]);
    assert_eq!((executed.unopened, executed.replies.len()), (1, 1));
}

#[test]
fn only_who_opened_a_session_sends_in_it() {
    let mut play = Play::furnished();
    let session = open(&mut play, "alpha");
    let by = |name: &str| {
        let own = vec![order("B", words::transfer("B-1", "B-1", "1"))];
        let by = &play.network.members[name];
        play.network
            .seal_in_session(by, header(&play), (&session, 0), own)
    };
    let beta = by("beta");
    // Alpha's certificate with another's signature: whoever has the key of a session does not have the member's.
    let mut thief = play.network.certify(
        "thief",
        sealbook_identity::Role::Firm,
        "Thief Ltd.",
        kit::CREATED_MS + 900_000_000,
    );
    thief.fingerprint = play.network.members["alpha"].fingerprint;
    let forged = play
        .network
        .seal_in_session(&thief, header(&play), (&session, 0), transfer("F"));
    for sealed in [beta, forged] {
        no_trace(&mut play, &sealed.bytes);
    }
    let own = message(&play, &session, 0);
    settles(&mut play, &own);
}

/// Who has the key of a session can open its messages: what the member signed is not worth anything elsewhere.
#[test]
fn what_a_member_signed_counts_under_its_own_counter_only() {
    let mut play = Play::furnished();
    let sealed = play.seal("alpha", opening());
    play.step(&[&sealed.bytes], &[]);
    let session = key_of(&play.network, "alpha", &sealed);
    let header = header(&play).in_session();
    let alpha = &play.network.members["alpha"];
    let bound = signed_binding(&header, Purpose::Transaction, &session.tag(0));
    let (signed, reply_key) = sign_orders(alpha, &bound, transfer("M"));
    let moved = |counter, session: &SessionKey| {
        let reply_key = reply_key.duplicate();
        let under = (session, counter);
        play.network
            .seal_signed_in_session(header, under, &signed, reply_key)
    };
    let others = [moved(1, &session), moved(127, &session)];
    let own = moved(0, &session);
    for sealed in others {
        no_trace(&mut play, &sealed.bytes);
    }
    settles(&mut play, &own);
    // A signed opening that is sealed anew opens nothing more.
    let (first, second) = play.network.seal_twice("alpha", play.expiry(), opening());
    no_trace(&mut play, &second.bytes);
    let executed = play.step(&[&first.bytes, &second.bytes], &[]);
    assert_eq!(outcomes(&first, &executed), [Outcome::SETTLED]);
    assert_eq!(executed.unopened, 1);
    no_trace(&mut play, &second.bytes);
    // Nor does a message of a session open another one.
    let nested = {
        let by = &play.network.members["alpha"];
        let header = play.network.header(play.expiry());
        play.network
            .seal_in_session(by, header, (&session, 1), opening())
    };
    let executed = play.step(&[&nested.bytes], &[]);
    let refused = [Outcome::refused(Code::NotPermitted)];
    assert_eq!(outcomes(&nested, &executed), refused);
}

#[test]
fn what_is_too_far_ahead_or_behind_does_not_open() {
    let mut play = Play::furnished();
    let session = open(&mut play, "alpha");
    for (counter, opens) in [
        (128, false),
        (127, true),
        (256, false),
        (255, true),
        (127, false),
        (128, true),
        (126, false),
        (200, true),
    ] {
        let sealed = message(&play, &session, counter);
        if opens {
            settles(&mut play, &sealed);
        } else {
            no_trace(&mut play, &sealed.bytes);
        }
    }
    // A tag of nobody's.
    let other = SessionKey::opened_by(
        &sealbook_primitives::secret::Secret32::new([9; 32]),
        &play.network.id,
    );
    let sealed = message(&play, &other, 0);
    no_trace(&mut play, &sealed.bytes);
}

#[test]
fn a_session_ends_when_it_is_idle() {
    let mut play = Play::furnished();
    let session = open(&mut play, "alpha");
    let at = |play: &mut Play, counter, time_ms: u64| {
        let mut header = header(play);
        header.expires_ms = time_ms + LIFE_MS;
        let (by, orders) = (&play.network.members["alpha"], transfer("I"));
        let sealed = play
            .network
            .seal_in_session(by, header, (&session, counter), orders);
        let block: Block = play.chain.next_at(time_ms, &[&sealed.bytes], &[]);
        let executed = play.execute(&block).unwrap();
        (outcomes(&sealed, &executed), executed)
    };
    let opened = play.chain.head.time_ms;
    let (done, _) = at(&mut play, 0, opened + IDLE_MS);
    assert_eq!(done, [Outcome::SETTLED]);
    let (_, executed) = at(&mut play, 1, opened + 2 * IDLE_MS + 1);
    nothing_came_of(&executed);
}

#[test]
fn a_member_has_so_many_sessions_and_one_of_each_envelope() {
    let mut play = Play::furnished();
    let twice = [opening(), opening()].concat();
    let sealed = play.seal("alpha", twice);
    let executed = play.step(&[&sealed.bytes], &[]);
    let expected = [Outcome::SETTLED, Outcome::refused(Code::Conflict)];
    assert_eq!(outcomes(&sealed, &executed), expected);
    for _ in 1..256 {
        open(&mut play, "alpha");
    }
    let limit = [Outcome::refused(Code::Limit)];
    assert_eq!(play.submit("alpha", opening(), &[]), limit);
    // Others are not held up, and alpha goes on without.
    open(&mut play, "beta");
    play.settle("alpha", words::transfer("A-1", "A-2", "1"));
    let session = key_of(&play.network, "alpha", &sealed);
    let sealed = message(&play, &session, 0);
    settles(&mut play, &sealed);
}

#[test]
fn whoever_is_removed_loses_its_sessions() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(36, 1),
        ..Founded::default()
    });
    let session = open(&mut play, "alpha");
    play.decide(&Change::RemoveMember {
        name: words::member("alpha"),
    });
    let sealed = message(&play, &session, 0);
    settles(&mut play, &sealed);
    play.end_epoch();
    let before = message(&play, &session, 1);
    no_trace(&mut play, &before.bytes);
    assert_eq!(
        play.submit("alpha", opening(), &[]),
        [Outcome::refused(Code::NotAMember)]
    );
}

#[test]
fn a_session_ends_with_its_key_epoch() {
    let mut all = Modules::new(founded());
    let sealed = all.seal_now("alpha", opening());
    all.step(&[&sealed.bytes]);
    let session = key_of(&all.play.network, "alpha", &sealed);
    let former = header(&all.play);
    all.decide(&Change::RotateKeys { suite: None });
    all.end_epoch();
    assert_eq!(all.key_epoch(), 1);
    let since = all.play.engine.definition().opening.since_height;
    let seal = |all: &Modules, mut header: EnvelopeHeader, counter| {
        header.expires_ms = all.play.expiry();
        let network = &all.play.network;
        let orders = transfer(&format!("K-{counter}"));
        network.seal_in_session(
            &network.members["alpha"],
            header,
            (&session, counter),
            orders,
        )
    };
    // As long as other envelopes of the former key epoch are opened, and under its number only.
    let own = seal(&all, former, 0);
    let executed = all.play.step(&[&own.bytes], &[]);
    assert_eq!(outcomes(&own, &executed), [Outcome::SETTLED]);
    let mut present = former;
    present.key_epoch = 1;
    let other = seal(&all, present, 1);
    nothing_came_of(&all.play.step(&[&other.bytes], &[]));
    all.play.run_to(since + 9);
    let late = seal(&all, former, 1);
    nothing_came_of(&all.play.step(&[&late.bytes], &[]));
}

#[test]
fn the_network_root_covers_sessions() {
    let network = Network::new();
    let root_after = |orders: Vec<OrderBytes>| {
        let (mut chain, mut engine) = (Chain::new(&network), network.engine());
        let sealed = network.seal("admin", kit::CREATED_MS + LIFE_MS, orders);
        let block = chain.next(&[&sealed.bytes], &[]);
        let executed = engine.execute(&[block.encode()], &network.certificate(&block));
        let executed = executed.unwrap().remove(0);
        assert_eq!((executed.unopened, executed.replies.len()), (0, 1));
        executed.commitment.network_root
    };
    let without = root_after(transfer("A"));
    assert_eq!(root_after(transfer("B")), without);
    let with = root_after(opening());
    assert_ne!(with, without);
    // Sessions have names and keys of their own.
    assert_ne!(root_after(opening()), with);
}

#[test]
fn a_restored_engine_takes_the_same_messages() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    let session = open(&mut play, "alpha");
    for counter in [0, 2, 40] {
        let sealed = message(&play, &session, counter);
        settles(&mut play, &sealed);
    }
    play.end_epoch();
    let from = play.blocks.len();
    for counter in [1, 41, 3, 168] {
        let sealed = message(&play, &session, counter);
        settles(&mut play, &sealed);
    }
    for counter in [2, 40, 300] {
        let sealed = message(&play, &session, counter);
        no_trace(&mut play, &sealed.bytes);
    }
    open(&mut play, "beta");
    play.run_to(2 * u64::from(EPOCH) + 10);
    let [first, second] = &play.snapshots[..] else {
        panic!()
    };
    let mut restoring = Engine::restore(
        play.network.genesis.clone(),
        play.network.keys(2),
        &play.offer(first),
    )
    .unwrap();
    for piece in &first.pieces {
        restoring.add(piece).unwrap();
    }
    let mut engine = restoring.finish().unwrap();
    for ((block, certificate), expected) in play.blocks.iter().zip(&play.commitments).skip(from) {
        let executed = engine.execute(std::slice::from_ref(block), certificate);
        assert_eq!(executed.unwrap()[0].commitment, *expected);
    }
    // The next snapshot, which the commitments name, was made of equal content.
    let named = engine.commitment().snapshot.unwrap();
    assert_eq!(named.digest, second.manifest.digest());
}
