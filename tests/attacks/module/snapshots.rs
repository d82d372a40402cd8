//! 4, 5 and 13: old states, snapshots that are not what the network agreed on, and what writing them tells.

use sealbook_ledger::{SnapshotManifest, opening_digest};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::module::{FromModule, SnapshotOffer, ToModule};
use sealbook_protocol::payload::Question;

use crate::kit::module::Module;
use crate::kit::play::{Play, Snapshot};
use crate::kit::words::{self, order};
use crate::kit::{Founded, Network, Sealed, epochs_of};

const EPOCH: u32 = 24;

/// A furnished network with a snapshot after block 24 and another after block 48, and some blocks more.
fn played() -> Play {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    play.run_to(u64::from(EPOCH) + 2);
    play.settle("alpha", words::transfer("A-1", "A-2", "10"));
    play.run_to(2 * u64::from(EPOCH) + 10);
    assert_eq!(play.snapshots.len(), 2);
    play
}

/// Offers a snapshot and hears what the module says to it.
fn begin(module: &mut Module, play: &Play, offer: SnapshotOffer, pieces: &[Vec<u8>]) -> FromModule {
    module.say(&ToModule::Start {
        genesis: play.network.genesis.encode(),
        offer: Some(offer),
        roots: Vec::new(),
    });
    for sealed in pieces {
        module.say(&ToModule::SnapshotPiece {
            sealed: sealed.clone(),
        });
    }
    module.hear()
}

/// Gives blocks from after a height on, and hears that they are executed.
fn feed(module: &mut Module, play: &Play, after: u64, until: u64) {
    for height in after + 1..=until {
        let (block, certificate) = &play.blocks[height as usize - 1];
        module.say(&ToModule::Finalized {
            blocks: vec![block.clone()],
            certificate: certificate.clone(),
        });
        loop {
            match module.hear() {
                FromModule::SnapshotPiece { .. } | FromModule::SnapshotDone { .. } => {}
                FromModule::Executed { commitment, .. } => {
                    assert_eq!(commitment, play.commitments[height as usize - 1]);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn holdings(play: &Play, height_min: u64) -> Sealed {
    let network = &play.network;
    network.seal_query("alpha", play.expiry(), height_min, &Question::Holdings)
}

#[test]
fn a04_a_module_begun_from_an_old_state_or_twice() {
    let mut play = played();
    let old = play.snapshots[0].clone();
    // Two modules forked from one sealed state of the past.
    let mut forks = [(); 2].map(|()| {
        let mut module = Module::start(&play.network);
        let said = begin(&mut module, &play, play.offer(&old), &old.pieces);
        assert!(matches!(said, FromModule::Started { height, .. } if height == u64::from(EPOCH)));
        module
    });
    // Neither answers out of the past, not even when it is led to the present, until its own word comes back.
    for fork in &mut forks {
        assert!(fork.is_asleep(&holdings(&play, 0)));
        feed(fork, &play, u64::from(EPOCH), play.engine.height());
        assert!(fork.is_asleep(&holdings(&play, 0)));
        assert!(!fork.carried.is_empty());
    }
    // The word of one wakes that one, and the other goes on sleeping.
    let [word, other] = [0, 1].map(|fork| forks[fork].carried.last().unwrap().clone());
    assert_ne!(word, other);
    let before = play.engine.height();
    play.step(&[&word], &[]);
    let [woken, asleep] = &mut forks;
    feed(woken, &play, before, play.engine.height());
    feed(asleep, &play, before, play.engine.height());
    let answer = woken.query(&holdings(&play, 0)).unwrap();
    assert_eq!(answer.height, play.engine.height());
    assert!(asleep.is_asleep(&holdings(&play, 0)));
    // An old word wakes nobody.
    let before = play.engine.height();
    play.step(&[&word], &[]);
    feed(asleep, &play, before, play.engine.height());
    assert!(asleep.is_asleep(&holdings(&play, 0)));
}

#[test]
fn a05_snapshots_of_other_content_networks_epochs_or_engines() {
    let play = played();
    let [old, new] = &play.snapshots[..] else {
        panic!()
    };
    let mut module = Module::start(&play.network);
    let good = play.offer(new);
    let mut refused = |what: &str, offer: SnapshotOffer, pieces: &[Vec<u8>]| {
        let said = begin(&mut module, &play, offer, pieces);
        assert!(
            matches!(&said, FromModule::Refused { .. }),
            "{what}: {said:?}"
        );
    };
    let altered = |alter: &dyn Fn(&mut SnapshotManifest)| {
        let mut manifest = new.manifest.clone();
        alter(&mut manifest);
        SnapshotOffer {
            manifest: manifest.encode(),
            ..good.clone()
        }
    };
    refused(
        "network",
        altered(&|one| one.network = Digest([1; 32])),
        &[],
    );
    refused("engine", altered(&|one| one.engine_version += 1), &[]);
    refused("key epoch", altered(&|one| one.key_epoch = 1), &[]);
    refused("height", altered(&|one| one.height += 24), &[]);
    refused("block", altered(&|one| one.block = Digest([1; 32])), &[]);
    refused(
        "opening key",
        altered(&|one| one.opening = opening_digest(&[1; 34])),
        &[],
    );
    refused(
        "root",
        altered(&|one| one.commitment.state_root = Digest([1; 32])),
        &[],
    );
    // Another one's content under the results that name this one.
    let mut swapped = good.clone();
    swapped.manifest = old.manifest.encode();
    refused("an older one for this", swapped, &[]);
    let mut unproved = good.clone();
    unproved.proof.clear();
    refused("no proof", unproved, &[]);
    let of_another = {
        let other = played_elsewhere();
        other.offer(&other.snapshots[1])
    };
    refused("another network's", of_another, &[]);
    // Content that is not what the manifest says; what still comes of it is passed over.
    for (piece, byte) in [(0, 0), (0, 500), (1, 40)] {
        let mut pieces = new.pieces[..=piece].to_vec();
        pieces[piece][byte] ^= 1;
        refused("a flipped bit", good.clone(), &pieces);
    }
    let pieces = [new.pieces[1].clone()];
    refused("pieces that changed places", good.clone(), &pieces);
    let pieces = [old.pieces[0].clone()];
    refused("a piece of an older one", good.clone(), &pieces);
    // The older one is good, and the good one is as well.
    let said = begin(&mut module, &play, play.offer(old), &old.pieces);
    assert!(matches!(said, FromModule::Started { height, .. } if height == old.manifest.height));
    feed(
        &mut module,
        &play,
        old.manifest.height,
        play.engine.height(),
    );
}

fn played_elsewhere() -> Play {
    played()
}

/// The pieces as the host gets them: their order and sizes.
fn writes(network: &Network, play: &Play) -> (Vec<(u32, usize)>, Vec<Vec<u8>>) {
    let mut module = Module::running(network);
    let (mut shape, mut pieces) = (Vec::new(), Vec::new());
    for (block, certificate) in &play.blocks {
        module.say(&ToModule::Finalized {
            blocks: vec![block.clone()],
            certificate: certificate.clone(),
        });
        loop {
            match module.hear() {
                FromModule::SnapshotPiece { index, sealed, .. } => {
                    shape.push((index, sealed.len()));
                    pieces.push(sealed);
                }
                FromModule::SnapshotDone { .. } => {}
                FromModule::Executed { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
    (shape, pieces)
}

#[test]
fn a13_writes_that_tell_which_account_was_touched() {
    // One story of one network, which ends in one of three ways: on one account, on another, or with nothing done.
    let shapes: Vec<_> = [Some(("A-1", "A-2")), Some(("A-2", "A-1")), None]
        .map(|touched| {
            let mut play = Play::furnished_with(Founded {
                parameters: epochs_of(EPOCH, 1),
                ..Founded::default()
            });
            play.settle("alpha", words::transfer("A-1", "A-2", "500"));
            if let Some((from, to)) = touched {
                let transfer = words::transfer(from, to, "1");
                let sealed = play.seal("alpha", vec![order("touch", transfer)]);
                play.step(&[&sealed.bytes], &[]);
            }
            play.run_to(u64::from(EPOCH) + 8);
            let (shape, pieces) = writes(&play.network, &play);
            let [snapshot] = &play.snapshots[..] else {
                panic!("one snapshot")
            };
            assert_eq!(
                *snapshot,
                Snapshot {
                    pieces,
                    ..snapshot.clone()
                }
            );
            shape
        })
        .into();
    assert!(!shapes[0].is_empty());
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0], shapes[2]);
}
