//! 1 to 3: blocks that are not next, not final, or not the only ones.

use ed25519_zebra::SigningKey;
use sealbook_ledger::FinalityCertificate;
use sealbook_primitives::hash::Digest;
use sealbook_protocol::module::ToModule;
use sealbook_protocol::payload::AsOf;

use crate::kit::play::outcomes;
use crate::kit::vote_keys;
use crate::kit::words::{self, order};
use crate::stage::Stage;

#[test]
fn a01_blocks_replayed_skipped_reordered_or_doubled() {
    let mut stage = Stage::set();
    let (_, executed) = {
        let transfer = words::transfer("A-1", "A-2", "10");
        let sealed = stage.play.seal("alpha", vec![order("once", transfer)]);
        let executed = stage.step(&[&sealed.bytes]);
        assert_eq!(outcomes(&sealed, &executed).len(), 1);
        (sealed, executed)
    };
    let last = sealbook_ledger::Block::decode(&stage.play.blocks.last().unwrap().0, usize::MAX);
    let last = last.unwrap();
    assert_eq!(last.height(), executed.commitment.height);
    let mut ahead = stage.play.chain.clone();
    let [first, second, third] = [(); 3].map(|()| ahead.next(&[], &[]));
    let by = |stage: &Stage, block| stage.certificate(block);
    for blocks in [
        &[&last][..],
        &[&last, &first],
        &[&second],
        &[&third],
        &[&second, &first],
        &[&first, &first],
        &[&first, &third],
        &[&first, &second, &second],
    ] {
        let certificate = by(&stage, blocks[blocks.len() - 1]);
        stage.refused(blocks, &certificate);
    }
    let genesis = stage.play.network.genesis.block();
    let certificate = by(&stage, &genesis);
    stage.refused(&[&genesis], &certificate);
    // The right ones in the right order are executed, once.
    for block in [&first, &second, &third] {
        stage.play.execute(block).unwrap();
    }
    assert_eq!(stage.feed().len(), 3);
    let certificate = by(&stage, &third);
    stage.refused(&[&first, &second, &third], &certificate);
}

#[test]
fn a02_blocks_that_are_not_final() {
    let mut stage = Stage::set();
    let network = &stage.play.network;
    let block = stage.possible();
    let earlier = stage.play.blocks[2].1.clone();
    let others = vote_keys("others");
    let mixed: Vec<SigningKey> = network.votes[..2]
        .iter()
        .chain(&others[..2])
        .copied()
        .collect();
    let mut certificates = vec![
        Vec::new(),
        b"certificate".to_vec(),
        // Too few votes, votes of strangers, half of each, stale.
        network.certificate_by(&network.votes, &block, 0),
        network.certificate_by(&network.votes, &block, 2),
        network.certificate_by(&others, &block, 4),
        network.certificate_by(&mixed, &block, 4),
        earlier,
    ];
    let good = FinalityCertificate::decode(&network.certificate(&block)).unwrap();
    let forge: [&dyn Fn(&mut FinalityCertificate); 6] = [
        &|one| one.epoch += 1,
        &|one| one.view += 1,
        &|one| one.parent_view += 1,
        &|one| one.block = Digest::ZERO,
        &|one| one.signatures[1].0[5] ^= 1,
        &|one| {
            // One vote counted twice.
            one.signers = vec![0, 1, 1];
            one.signatures[2] = one.signatures[1];
        },
    ];
    for forge in forge {
        let mut forged = good.clone();
        forge(&mut forged);
        certificates.push(forged.encode());
    }
    for certificate in certificates {
        stage.refused(&[&block], &certificate);
    }
    // Other contents under votes for the block.
    let mut other = block.clone();
    other.header.time_ms += 1;
    stage.refused(&[&other], &good.encode());
    stage.play.execute(&block).unwrap();
    assert_eq!(stage.feed().len(), 1);
}

#[test]
fn a03_two_final_blocks_at_one_height() {
    let mut stage = Stage::set();
    let seal = |stage: &Stage, reference: &str, to: &str| {
        let transfer = words::transfer("A-1", to, "600");
        stage.play.seal("alpha", vec![order(reference, transfer)])
    };
    let (one, other) = (seal(&stage, "1", "A-2"), seal(&stage, "2", "B-1"));
    let mut fork = stage.play.chain.clone();
    let second = fork.next(&[&other.bytes], &[]);
    let after_second = fork.next(&[], &[]);
    stage.step(&[&one.bytes]);
    // Validators that vote twice can certify both; a module stays with what it has.
    let certificate = stage.certificate(&second);
    stage.refused(&[&second], &certificate);
    let certificate = stage.certificate(&after_second);
    stage.refused(&[&after_second], &certificate);
    stage.refused(&[&second, &after_second], &certificate);
    assert_eq!(
        stage.play.registry_text("apple", AsOf::Now),
        "1000000 = 999000 + [Hanako Sato 400, Ichiro Suzuki 600]"
    );
    stage.step(&[]);
    // Both at once, as one run.
    let mut fork = stage.play.chain.clone();
    let (block, twin) = (stage.possible(), {
        let time_ms = fork.head.time_ms + 1_001;
        fork.next_at(time_ms, &[], &[])
    });
    let certificate = stage.certificate(&twin);
    stage.module.say(&ToModule::Finalized {
        blocks: vec![block.encode(), twin.encode()],
        certificate,
    });
    stage.module.refusal();
    stage.unchanged();
}
