//! The same blocks give the same roots and replies: in any split, on every seat, for the auditor, and in every build.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::Play;
use kit::recording::{RECORDING, Recording};
use kit::words::{self, order};
use sealbook_execution::Engine;
use sealbook_execution::custody::ModuleKey;
use sealbook_ledger::Genesis;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::SigningKey;
use sealbook_protocol::module::SealedReply;
use sealbook_protocol::payload::{AsOf, OrderBytes, RevocationTarget};
use sealbook_sealing::session::SessionKey;
use sealbook_securities::RecordTime;

/// A story with every kind of order in it, and with transactions that are refused, doubled or do not open.
fn story() -> Play {
    let mut play = Play::furnished();
    play.submit(
        "alpha",
        vec![order("D1", words::sell("A-1", "beta", "100", "41123.00"))],
        &[],
    );
    play.settle("beta", words::confirm("D1", "B-1"));
    let transfer = |play: &Play, reference: &str| {
        play.seal(
            "alpha",
            vec![order(reference, words::transfer("A-1", "A-2", "7"))],
        )
        .bytes
    };
    let (one, two) = (transfer(&play, "T1"), transfer(&play, "T2"));
    play.step(
        &[&one, b"no envelope", &one, &two],
        &[b"an attachment of nobody"],
    );
    play.order("alpha", words::transfer("B-1", "A-1", "1"));
    play.order("stranger", words::transfer("B-1", "A-1", "1"));
    let record = RecordTime::Height(play.engine.height() - 3);
    play.settle("admin", words::dividend("0.01", record));
    play.settle("admin", words::split(3, 2));
    play.settle("alpha", words::grant("admin"));
    play.settle("beta", words::grant("admin"));
    play.settle("admin", words::locked_in("A-1", "B-1", "10", "4112.30"));
    play.settle("beta", words::revoke("admin"));
    play.order("admin", words::locked_in("B-1", "A-1", "10", "4112.30"));
    in_session(&mut play);
    about_certificates(&mut play);
    let read = words::read(&words::ask_registry(AsOf::Now), 0);
    play.submit("admin", vec![read.clone()], &[]);
    play.submit("alpha", vec![read], &[]);
    play.settle("admin", words::open_day("2012-08-10"));
    play.step(&[], &[]);
    play.step(&[&two], &[]);
    play
}

/// A firm is renewed, another one gives its certificate up, and acts once more in vain.
fn about_certificates(play: &mut Play) {
    let (name, role, organisation) = kit::MEMBERS[3];
    let key = SigningKey::from_secret(&play.network.members[name].key.seed());
    let end_ms = kit::CREATED_MS + 86_400_000;
    let renewed = (name, role, organisation);
    let chain = play.network.certify_key(renewed, end_ms, key).chain;
    play.submit("admin", vec![OrderBytes::Renew { chain }], &[]);
    let revoke = OrderBytes::Revoke {
        target: RevocationTarget::Member("oracle".to_owned()),
        reason: 4,
    };
    let given_up = play.seal("oracle", vec![revoke]);
    let in_vain = play.seal("oracle", vec![OrderBytes::OpenSession]);
    play.step(&[&given_up.bytes, &in_vain.bytes], &[]);
}

/// Opens a session; of four messages, one has a counter that was used, and one is too far ahead.
fn in_session(play: &mut Play) {
    let opening = play.seal("alpha", vec![OrderBytes::OpenSession]);
    play.step(&[&opening.bytes], &[]);
    let session = SessionKey::opened_by(
        &opening.reply_key,
        &play.network.members["alpha"].fingerprint,
    );
    let messages: Vec<Vec<u8>> = [(1, "S1"), (0, "S2"), (1, "S3"), (500, "S4")]
        .map(|(counter, reference)| {
            let network = &play.network;
            let by = &network.members["alpha"];
            let orders = vec![order(reference, words::transfer("A-1", "A-2", "1"))];
            let header = network.header(play.expiry());
            let sealed = network.seal_in_session(by, header, (&session, counter), orders);
            sealed.bytes
        })
        .into();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let executed = play.step(&messages, &[]);
    assert_eq!((executed.replies.len(), executed.unopened), (2, 2));
}

/// What an engine says of a run of blocks, one entry a block.
type Said = Vec<(u64, Digest, Vec<SealedReply>, Vec<SealedReply>, u32)>;

fn execute(engine: &mut Engine, blocks: &[(Vec<u8>, Vec<u8>)]) -> Said {
    let (_, certificate) = blocks.last().unwrap();
    let blocks: Vec<Vec<u8>> = blocks.iter().map(|(block, _)| block.clone()).collect();
    let all = engine.execute(&blocks, certificate).unwrap();
    all.into_iter()
        .map(|one| {
            (
                one.commitment.height,
                one.commitment.digest(),
                one.replies,
                one.finals,
                one.unopened,
            )
        })
        .collect()
}

#[test]
fn any_split_into_batches_gives_the_same() {
    let play = story();
    let engine = |seat| Engine::new(play.network.genesis.clone(), play.network.keys(seat)).unwrap();
    let mut one_by_one = engine(1);
    let expected: Said = play
        .blocks
        .iter()
        .flat_map(|block| execute(&mut one_by_one, std::slice::from_ref(block)))
        .collect();
    let roots: Vec<Digest> = expected.iter().map(|one| one.1).collect();
    assert_eq!(roots, play.chain.roots);
    for size in [2, 3, 7, play.blocks.len()] {
        let mut batched = engine(2);
        let said: Said = play
            .blocks
            .chunks(size)
            .flat_map(|blocks| execute(&mut batched, blocks))
            .collect();
        assert!(said == expected, "batches of {size}");
        assert_eq!(batched.commitment(), one_by_one.commitment());
    }
}

#[test]
fn the_auditor_computes_the_same_roots() {
    let play = story();
    let network = &play.network;
    let mut engine = Engine::new(network.genesis.clone(), network.auditor_keys()).unwrap();
    let said = execute(&mut engine, &play.blocks);
    assert_eq!(
        said.iter().map(|one| one.1).collect::<Vec<_>>(),
        play.chain.roots
    );
    assert_eq!(engine.commitment(), play.engine.commitment());
    engine.state().check_invariants().unwrap();
}

#[test]
fn roots_depend_on_every_block_even_an_empty_one() {
    let play = story();
    let mut distinct = play.chain.roots.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), play.chain.roots.len());
}

fn digest_of(said: &Said) -> Digest {
    sealbook_primitives::hash::hash("sealbook test replies", &[&borsh::to_vec(said).unwrap()])
}

/// With `SEALBOOK_RECORD` in the environment it records anew first.
#[test]
fn a_recorded_network_gives_the_recorded_roots_and_replies() {
    if std::env::var_os("SEALBOOK_RECORD").is_some() {
        record();
    }
    let recording = Recording::read();
    let genesis = Genesis::decode(&recording.genesis).unwrap();
    let module = ModuleKey::read(&recording.module_key).unwrap();
    let keys = module
        .open_first_root(&genesis, &recording.wrapped_root)
        .unwrap();
    let mut engine = Engine::new(genesis, keys).unwrap();
    let executed = engine
        .execute(&recording.blocks, &recording.certificate)
        .unwrap();
    let roots: Vec<Digest> = executed.iter().map(|one| one.commitment.digest()).collect();
    assert_eq!(
        roots, recording.roots,
        "a change that makes other roots of old blocks breaks every network"
    );
    let said = executed
        .into_iter()
        .map(|one| {
            (
                one.commitment.height,
                one.commitment.digest(),
                one.replies,
                one.finals,
                one.unopened,
            )
        })
        .collect();
    assert_eq!(digest_of(&said), recording.replies);
}

/// Records anew, after a format was changed on purpose.
fn record() {
    let play = story();
    let network = &play.network;
    let mut engine = network.engine();
    let said = execute(&mut engine, &play.blocks);
    let recording = Recording {
        module_key: network.module_keys[0].clone(),
        wrapped_root: network.wrapped_roots[0].clone(),
        genesis: network.genesis.encode(),
        blocks: play.blocks.iter().map(|(block, _)| block.clone()).collect(),
        certificate: play.blocks.last().unwrap().1.clone(),
        roots: play.chain.roots.clone(),
        replies: digest_of(&said),
    };
    std::fs::create_dir_all(std::path::Path::new(RECORDING).parent().unwrap()).unwrap();
    std::fs::write(RECORDING, borsh::to_vec(&recording).unwrap()).unwrap();
}
