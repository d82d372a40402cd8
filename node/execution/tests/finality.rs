//! What a host can do with blocks, certificates and committees, and that none of it is executed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::{Play, final_notice};
use kit::words::{self, order};
use kit::{Chain, Network, vote_keys};
use sealbook_execution::{Engine, EngineError, Output};
use sealbook_ledger::{Block, CertificateError, ChainError, FinalityCertificate};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{AsOf, Question};

fn executed_height(output: &Output) -> Option<u64> {
    match output {
        Output::Executed(executed) => Some(executed.commitment.height),
        _ => None,
    }
}

/// A network with a run of blocks, none of them executed yet.
fn run(count: usize) -> (Network, Vec<Block>) {
    let network = Network::new();
    let mut chain = Chain::new(&network);
    let blocks = (0..count)
        .map(|index| {
            let sealed = network.seal("admin", chain.head.time_ms + 5_000, Vec::new());
            // Alternating contents, so that blocks differ in more than height.
            if index % 2 == 0 {
                chain.next(&[&sealed.bytes], &[])
            } else {
                chain.next(&[], &[])
            }
        })
        .collect();
    (network, blocks)
}

/// Offers blocks under a good certificate for the last one and expects that nothing changes.
#[track_caller]
fn refused(network: &Network, engine: &mut Engine, blocks: &[&Block]) {
    let certificate = blocks
        .last()
        .map_or_else(Vec::new, |block| network.certificate(block));
    let blocks: Vec<Vec<u8>> = blocks.iter().map(|block| block.encode()).collect();
    unchanged(engine, &blocks, &certificate);
}

#[track_caller]
fn unchanged(engine: &mut Engine, blocks: &[Vec<u8>], certificate: &[u8]) {
    let before = (engine.head().clone(), engine.state_root());
    let error = engine.execute(blocks, certificate).unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::NotFinal(_) | EngineError::Malformed(_) | EngineError::Epoch { .. }
        ),
        "{error}"
    );
    assert_eq!((engine.head().clone(), engine.state_root()), before);
    assert!(!engine.is_stopped());
}

#[test]
fn replayed_skipped_reordered_and_doubled_blocks_are_refused() {
    let (network, blocks) = run(5);
    let mut engine = network.engine();
    let [first, second, third, fourth, fifth] = &blocks[..] else {
        panic!()
    };
    refused(&network, &mut engine, &[]);
    refused(&network, &mut engine, &[second]);
    refused(&network, &mut engine, &[&network.genesis.block()]);
    refused(&network, &mut engine, &[first, third]);
    refused(&network, &mut engine, &[first, first]);
    refused(&network, &mut engine, &[second, first]);
    let certificate = network.certificate(second);
    engine
        .execute(&[first.encode(), second.encode()], &certificate)
        .unwrap();
    refused(&network, &mut engine, &[first]);
    refused(&network, &mut engine, &[second]);
    refused(&network, &mut engine, &[second, third]);
    refused(&network, &mut engine, &[fourth]);
    refused(&network, &mut engine, &[fourth, third]);
    refused(&network, &mut engine, &[third, third]);
    refused(&network, &mut engine, &[third, fifth]);
    let rest = [third.encode(), fourth.encode(), fifth.encode()];
    engine.execute(&rest, &network.certificate(fifth)).unwrap();
    assert_eq!(engine.height(), 5);
}

#[test]
fn what_is_not_final_is_not_executed() {
    let (network, blocks) = run(2);
    let mut engine = network.engine();
    let first = &blocks[0];
    let bytes = [first.encode()];
    // No certificate, too few votes, no votes.
    unchanged(&mut engine, &bytes, &[]);
    unchanged(&mut engine, &bytes, b"certificate");
    for votes in 0..3 {
        unchanged(
            &mut engine,
            &bytes,
            &network.certificate_by(&network.votes, first, votes),
        );
    }
    // Votes of others: strangers, and a committee that shares two members with the real one.
    let others = vote_keys("others");
    unchanged(
        &mut engine,
        &bytes,
        &network.certificate_by(&others, first, 4),
    );
    let mixed: Vec<_> = network.votes[..2]
        .iter()
        .chain(&others[..2])
        .copied()
        .collect();
    unchanged(
        &mut engine,
        &bytes,
        &network.certificate_by(&mixed, first, 4),
    );
    // A good certificate for another block.
    unchanged(&mut engine, &bytes, &network.certificate(&blocks[1]));
    unchanged(
        &mut engine,
        &bytes,
        &network.certificate(&network.genesis.block()),
    );
    // Good votes moved to another view, epoch or block.
    let good = FinalityCertificate::decode(&network.certificate(first)).unwrap();
    let mut forged = |alter: &dyn Fn(&mut FinalityCertificate)| {
        let mut certificate = good.clone();
        alter(&mut certificate);
        unchanged(&mut engine, &bytes, &certificate.encode());
    };
    forged(&|one| one.epoch = 1);
    forged(&|one| one.view += 1);
    forged(&|one| one.parent_view += 1);
    forged(&|one| one.block = Digest::ZERO);
    forged(&|one| one.signers = vec![0, 0, 1]);
    forged(&|one| one.signatures[1].0[5] ^= 1);
    forged(&|one| {
        one.signers = vec![0, 1, 1];
        one.signatures[2] = one.signatures[1];
    });
    engine.execute(&bytes, &good.encode()).unwrap();
}

#[test]
fn damaged_blocks_are_refused() {
    let (network, blocks) = run(1);
    let mut engine = network.engine();
    let (bytes, certificate) = (blocks[0].encode(), network.certificate(&blocks[0]));
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        unchanged(&mut engine, &[damaged], &certificate);
    }
    for index in 0..certificate.len() {
        let mut damaged = certificate.clone();
        damaged[index] ^= 0x10;
        unchanged(&mut engine, std::slice::from_ref(&bytes), &damaged);
    }
    unchanged(
        &mut engine,
        &[bytes[..bytes.len() - 1].to_vec()],
        &certificate,
    );
    unchanged(&mut engine, &[bytes.clone(), Vec::new()], &certificate);
    engine.execute(&[bytes], &certificate).unwrap();
}

#[test]
fn another_committee_is_another_network() {
    let mut network = Network::new();
    let others = vote_keys("others");
    let (network_id, mut altered) = (network.id, network.genesis.clone());
    for (seat, key) in altered.validators.iter_mut().zip(&others) {
        seat.vote_key = VerifyingKey(ed25519_zebra::VerificationKey::from(key).into());
    }
    assert_ne!(altered.network(), network_id);
    // The root was wrapped for the real genesis, so there are no keys for this one.
    let module = sealbook_execution::custody::ModuleKey::read(&network.module_keys[0]).unwrap();
    assert!(
        module
            .open_first_root(&altered, &network.wrapped_roots[0])
            .is_err()
    );
    // And a chain of that committee does not continue the real one.
    let genuine = network.engine();
    network.genesis = altered;
    network.id = network.genesis.network();
    let mut chain = Chain::new(&network);
    let block = chain.next(&[], &[]);
    let certificate = network.certificate_by(&others, &block, 4);
    let mut engine = genuine;
    unchanged(&mut engine, &[block.encode()], &certificate);
}

#[test]
fn of_two_blocks_at_a_height_only_the_first_executed_counts() {
    let mut play = Play::furnished();
    let before = play.chain.clone();
    let seal = |play: &Play, reference: &str, to: &str| {
        play.seal(
            "alpha",
            vec![order(reference, words::transfer("A-1", to, "600"))],
        )
    };
    let (one, other) = (seal(&play, "1", "A-2"), seal(&play, "2", "B-1"));
    let first = play.chain.next(&[&one.bytes], &[]);
    play.execute(&first).unwrap();
    // A certificate for the second one takes equivocating validators; a module stays with what it has.
    play.chain = before;
    let second = play.chain.next(&[&other.bytes], &[]);
    assert_eq!(second.height(), first.height());
    refused(&play.network, &mut play.engine, &[&second]);
    let third = play.chain.next(&[], &[]);
    refused(&play.network, &mut play.engine, &[&third]);
    refused(&play.network, &mut play.engine, &[&second, &third]);
    assert_eq!(
        play.registry_text("apple", AsOf::Now),
        "1000000 = 999000 + [Hanako Sato 400, Ichiro Suzuki 600]"
    );
}

#[test]
fn a_committed_root_that_differs_stops_the_engine_for_good() {
    let mut play = Play::furnished();
    let height = play.engine.height();
    let computed = play.chain.roots[height as usize - 2];
    let committed = Digest([9; 32]);
    play.chain.roots[height as usize - 2] = committed;
    let good = {
        let mut chain = play.chain.clone();
        chain.roots[height as usize - 2] = computed;
        chain.next(&[], &[])
    };
    let transfer = play.seal(
        "alpha",
        vec![order("1", words::transfer("A-1", "A-2", "1"))],
    );
    let block = play.chain.next(&[&transfer.bytes], &[]);
    let root = play.engine.state_root();
    let error = play.execute(&block).unwrap_err();
    let diverged = height - 1;
    assert!(
        matches!(error, EngineError::Diverged { height, computed: ours, committed: theirs }
            if (height, ours, theirs) == (diverged, computed, committed)),
        "{error}"
    );
    assert_eq!(
        (play.engine.height(), play.engine.state_root()),
        (height, root)
    );
    // Neither that block nor a good one is executed any more, and nothing is answered from a state in doubt.
    for block in [&block, &good] {
        assert!(matches!(play.execute(block), Err(EngineError::Stopped)));
    }
    let query = play
        .network
        .seal_query("apple", play.expiry(), 0, &Question::Member);
    assert!(play.engine.answer(&query.bytes).is_none());
}

#[test]
fn what_came_before_a_divergence_is_handed_on() {
    let mut play = Play::furnished();
    let height = play.engine.height();
    let first = play.chain.next(&[], &[]);
    let root = play.chain.roots[height as usize - 1];
    play.chain.roots[height as usize - 1] = Digest([9; 32]);
    let second = play.chain.next(&[], &[]);
    assert_eq!(second.header.roots, [Digest([9; 32])]);
    let certificate = play.network.certificate(&second);
    let mut heights = Vec::new();
    let result =
        play.engine
            .execute_each(&[first.encode(), second.encode()], &certificate, |one| {
                heights.extend(executed_height(&one))
            });
    assert!(matches!(result, Err(EngineError::Diverged { computed, .. }) if computed == root));
    assert_eq!(heights, [height + 1]);
    assert_eq!(play.engine.height(), height + 1);
}

#[test]
fn the_errors_say_what_is_wrong() {
    let (network, blocks) = run(1);
    let mut engine = network.engine();
    let certificate = network.certificate_by(&network.votes, &blocks[0], 2);
    let error = engine
        .execute(&[blocks[0].encode()], &certificate)
        .unwrap_err();
    let quorum = CertificateError::Quorum {
        needed: 3,
        found: 2,
    };
    assert!(matches!(
        error,
        EngineError::NotFinal(ChainError::Certificate { height: 1, error }) if error == quorum
    ));
}

#[test]
fn one_header_may_make_many_results_final() {
    let mut play = Play::furnished();
    let before = play.engine.height();
    let mut waiting = Vec::new();
    // Proposers that fell behind with executing commit to no roots, and to all of them when they have caught up.
    for number in 0..6 {
        let sealed = ["a", "b", "c"].map(|part| {
            let reference = format!("{number}{part}");
            play.seal(
                "alpha",
                vec![order(&reference, words::transfer("A-1", "A-2", "1"))],
            )
        });
        let bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
        let block = play.chain.next_without_roots(&bytes);
        assert!(play.execute(&block).unwrap().finals.is_empty());
        waiting.extend(sealed);
    }
    let executed = play.step(&[], &[]);
    assert_eq!(play.chain.head.executed_height, before + 5);
    // The last two orders of the furnishing were still waiting, too.
    assert_eq!(executed.finals.len(), 2 + 15);
    for (index, sealed) in waiting[..15].iter().enumerate() {
        let notice = final_notice(sealed, &executed).unwrap();
        assert_eq!(notice.height, before + 1 + index as u64 / 3);
        assert_eq!(notice.committed_by, before + 7);
    }
    let executed = play.step(&[], &[]);
    assert!(
        waiting[15..]
            .iter()
            .all(|sealed| final_notice(sealed, &executed).is_some())
    );
}
