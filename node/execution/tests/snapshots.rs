//! Sealed snapshots: every module makes the same, a restored engine goes on like any other, and nothing that a host
//! offers is believed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::module::Module;
use kit::modules::Modules;
use kit::play::{Play, Snapshot, final_notice, outcomes, reply};
use kit::words::{self, order};
use kit::{Founded, Network, epochs_of, vote_keys};
use sealbook_execution::{Engine, Output, RestoreError};
use sealbook_governance::Change;
use sealbook_ledger::{
    Block, Commitment, FinalityCertificate, FinalityProof, GovernanceRules, ProofError,
    SNAPSHOT_DELAY_MIN, SNAPSHOT_PIECE_BYTES, SnapshotManifest,
};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::module::{FromModule, SealedReply, SnapshotOffer, ToModule};
use sealbook_protocol::payload::{AsOf, OrderBytes};
use sealbook_securities::{Code, Outcome};

const EPOCH: u32 = 24;

/// A furnished network that takes a snapshot after block 24, with proposals of which two electors must approve.
fn founded() -> Founded {
    Founded {
        parameters: epochs_of(EPOCH, 1),
        governance: GovernanceRules {
            electors: vec!["admin".to_owned(), "regulator".to_owned()],
            approvals: 2,
            ..GovernanceRules::default()
        },
        ..Founded::default()
    }
}

fn change() -> Change {
    Change::RemoveMember {
        name: words::member("orange"),
    }
}

/// A story that is in the middle of everything when the snapshot is taken: a proposal waits for a voice, a trade for
/// its counterparty, results for a header.
fn story() -> (Play, Vec<u8>) {
    let mut play = Play::furnished_with(founded());
    let pending = play.govern("admin", words::propose(&change()));
    assert_eq!(pending, Outcome::PENDING);
    play.order("alpha", words::sell("A-1", "beta", "100", "41123.00"));
    let lacking = play.seal(
        "alpha",
        vec![order("X", words::transfer("A-2", "A-1", "5"))],
    );
    let executed = play.step(&[&lacking.bytes], &[]);
    let lack = Outcome::refused(Code::LackOfSecurities);
    assert_eq!(outcomes(&lacking, &executed), [lack]);
    play.run_to(u64::from(EPOCH) - 2);
    for reference in ["W1", "W2"] {
        let transfer = words::transfer("A-1", "A-2", "10");
        let sealed = play.seal("alpha", vec![order(reference, transfer)]);
        // No roots: whoever waits goes on waiting beyond the snapshot.
        let block = play.chain.next_without_roots(&[&sealed.bytes]);
        play.execute(&block).unwrap();
    }
    assert_eq!(play.engine.height(), u64::from(EPOCH));
    (play, lacking.bytes)
}

/// Goes on after the snapshot through two more of them.
fn go_on(play: &mut Play, copy: &[u8]) {
    let approved = play.govern("regulator", words::approve(1, &change()));
    assert_eq!(approved, Outcome::SETTLED);
    // A copy of an envelope from before, whose order could be carried out by now.
    let executed = play.step(&[copy], &[]);
    assert_eq!((executed.replies.len(), executed.unopened), (0, 0));
    let name = play.network.seal_name("Kenji Ito");
    let open = words::open_account("A-3", name.attachment, name.commitment);
    assert_eq!(
        play.submit("alpha", vec![order("N", open)], &[&name.bytes]),
        [Outcome::SETTLED]
    );
    play.settle("alpha", words::transfer("A-1", "A-3", "3"));
    play.run_to(2 * u64::from(EPOCH) + 10);
    play.settle("alpha", words::transfer("A-3", "A-1", "1"));
    play.run_to(3 * u64::from(EPOCH) + 10);
}

fn restore(
    network: &Network,
    offer: &SnapshotOffer,
    pieces: &[Vec<u8>],
) -> Result<Engine, RestoreError> {
    let mut restoring = Engine::restore(network.genesis.clone(), network.keys(2), offer)?;
    for piece in pieces {
        restoring.add(piece)?;
    }
    restoring.finish()
}

/// What an engine says of blocks, with everything but the wrapped roots.
type Said = Vec<(Commitment, Vec<SealedReply>, Vec<SealedReply>, u32, usize)>;

fn execute(engine: &mut Engine, blocks: &[(Vec<u8>, Vec<u8>)]) -> (Said, Vec<Snapshot>) {
    let (mut said, mut snapshots, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
    let certificate = &blocks.last().unwrap().1;
    let blocks: Vec<Vec<u8>> = blocks.iter().map(|(block, _)| block.clone()).collect();
    let each = |output| match output {
        Output::Executed(one) => said.push((
            one.commitment,
            one.replies,
            one.finals,
            one.unopened,
            one.quotas.len(),
        )),
        Output::Piece { sealed, .. } => pieces.push(sealed),
        Output::Snapshot(manifest) => snapshots.push(Snapshot {
            manifest: *manifest,
            pieces: std::mem::take(&mut pieces),
        }),
        Output::Carry(_) => panic!("an engine without a session says nothing"),
    };
    engine.execute_each(&blocks, certificate, each).unwrap();
    assert!(
        pieces.is_empty(),
        "a run that ends in the middle of a snapshot"
    );
    (said, snapshots)
}

/// Blocks of one epoch each.
fn epochs(play: &Play, from: usize) -> Vec<&[(Vec<u8>, Vec<u8>)]> {
    play.blocks[from..].chunks(EPOCH as usize).collect()
}

#[test]
fn every_module_makes_the_same_bytes_however_blocks_come() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let heights: Vec<u64> = play
        .snapshots
        .iter()
        .map(|one| one.manifest.height)
        .collect();
    assert_eq!(heights, [24, 48, 72]);
    for snapshot in &play.snapshots {
        let manifest = &snapshot.manifest;
        assert_eq!(
            (manifest.state_pieces.len(), manifest.name_pieces.len()),
            (1, 1)
        );
        assert_eq!(
            manifest.commitment,
            play.commitments[manifest.height as usize - 1]
        );
        for (piece, digest) in snapshot.pieces.iter().zip(manifest.pieces()) {
            assert_eq!(piece.len(), SNAPSHOT_PIECE_BYTES);
            assert_eq!(SnapshotManifest::piece_digest(piece), *digest);
        }
    }
    // The names of the last two are equal, and nothing of it shows.
    let [_, one, other] = &play.snapshots[..] else {
        panic!()
    };
    let same = one.pieces[1]
        .iter()
        .zip(&other.pieces[1])
        .filter(|(a, b)| a == b);
    assert!(same.count() < SNAPSHOT_PIECE_BYTES / 128);
    // Whole epochs at once make the same as one block after the other.
    let mut batched = play.network.engine();
    let mut snapshots = Vec::new();
    for blocks in epochs(&play, 0) {
        snapshots.extend(execute(&mut batched, blocks).1);
    }
    assert_eq!(snapshots, play.snapshots);
    assert_eq!(batched.commitment(), play.engine.commitment());
}

#[test]
fn commitments_name_a_snapshot_after_the_delay_and_until_the_next() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let epoch = u64::from(EPOCH);
    for commitment in &play.commitments {
        let complete = commitment.height.saturating_sub(SNAPSHOT_DELAY_MIN) / epoch * epoch;
        let named = commitment.snapshot.map_or(0, |reference| reference.height);
        assert_eq!(named, complete, "at {}", commitment.height);
    }
    for snapshot in &play.snapshots {
        let manifest = &snapshot.manifest;
        let first = &play.commitments[(manifest.height + SNAPSHOT_DELAY_MIN) as usize - 1];
        assert_eq!(first.snapshot.unwrap().digest, manifest.digest());
    }
}

#[test]
fn snapshots_come_as_often_as_the_parameters_say() {
    let mut play = Play::empty(Founded {
        parameters: epochs_of(12, 2),
        ..Founded::default()
    });
    play.run_to(66);
    let heights: Vec<u64> = play
        .snapshots
        .iter()
        .map(|one| one.manifest.height)
        .collect();
    assert_eq!(heights, [24, 48]);
    assert!(play.snapshots[0].manifest.name_pieces.is_empty());
}

#[test]
fn a_restored_engine_goes_on_like_one_that_executed_everything() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    for index in 0..play.snapshots.len() {
        let snapshot = play.snapshots[index].clone();
        let offer = play.offer(&snapshot);
        let mut engine = restore(&play.network, &offer, &snapshot.pieces).unwrap();
        let height = engine.height();
        assert_eq!(height, snapshot.manifest.height);
        assert_eq!(*engine.commitment(), snapshot.manifest.commitment);
        assert_eq!(engine.definition().first_height, height + 1);
        let (mut all, mut snapshots) = (Vec::new(), Vec::new());
        let mut replayed = play.network.engine();
        for blocks in epochs(&play, 0) {
            let (said, made) = execute(&mut replayed, blocks);
            all.extend(said);
            snapshots.extend(made);
            if replayed.height() == height {
                assert_eq!(engine.results(), replayed.results());
                assert_eq!(engine.quotas(), replayed.quotas());
                (all, snapshots) = (Vec::new(), Vec::new());
            }
        }
        let (mut theirs, mut their_snapshots) = (Vec::new(), Vec::new());
        for blocks in epochs(&play, height as usize) {
            let (said, made) = execute(&mut engine, blocks);
            theirs.extend(said);
            their_snapshots.extend(made);
        }
        assert!(theirs == all, "snapshot {index}");
        // The snapshot that it was restored from is not made again; the later ones are, byte for byte.
        snapshots.retain(|one| one.manifest.height > height);
        assert!(their_snapshots == snapshots, "snapshot {index}");
        assert_eq!(engine.commitment(), play.engine.commitment());
        // Names and removals, too.
        std::mem::swap(&mut play.engine, &mut engine);
        assert_eq!(
            play.registry_text("apple", AsOf::Now),
            "1000000 = 999000 + [Hanako Sato 978, Ichiro Suzuki 20, Kenji Ito 2]"
        );
        assert_eq!(
            play.registry_text("apple", AsOf::Height(u64::from(EPOCH))),
            "1000000 = 999000 + [Hanako Sato 980, Ichiro Suzuki 20]"
        );
        assert_eq!(play.registry("orange", AsOf::Now), Err(Code::NotAMember));
        std::mem::swap(&mut play.engine, &mut engine);
    }
}

fn fill(play: &mut Play, batches: usize) {
    for batch in 0..batches {
        let outcomes = play.submit("alpha", words::transfers(batch), &[]);
        assert!(outcomes.iter().all(|one| *one == Outcome::SETTLED));
    }
}

/// As many blocks of what is not even an order as make a snapshot of large books due.
const JUNK_BLOCKS: usize = 38;

fn junk(play: &Play) -> Vec<Vec<u8>> {
    let order = || vec![OrderBytes::Securities(vec![7; 930_000])];
    let sealed = (0..4).map(|_| play.seal("alpha", order()).bytes);
    sealed.collect()
}

fn add_junk(play: &mut Play) {
    for _ in 0..JUNK_BLOCKS {
        let junk = junk(play);
        let junk: Vec<&[u8]> = junk.iter().map(Vec::as_slice).collect();
        assert_eq!(play.step(&junk, &[]).unopened, 0);
    }
}

/// Whoever began from a snapshot has to find the same ones due as whoever executed everything.
#[test]
fn large_books_are_copied_when_enough_was_submitted() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    // More than four pieces.
    fill(&mut play, 24);
    let filled = play.engine.height();
    play.run_to((filled / 24 + 3) * 24 + 10);
    let heights = |play: &Play| -> Vec<u64> {
        let all = play.snapshots.iter();
        all.map(|one| one.manifest.height).collect()
    };
    let small = heights(&play);
    assert_eq!(small.first(), Some(&u64::from(EPOCH)));
    assert!(small.last().unwrap() <= &filled, "{small:?}");
    // What is not even an order counts as well: whoever begins has to open it.
    add_junk(&mut play);
    let due = play.engine.height().next_multiple_of(24);
    play.run_to(due + 24 + 10);
    let all = heights(&play);
    assert_eq!(all, [&small[..], &[due]].concat());
    assert!(play.snapshots.last().unwrap().manifest.state_pieces.len() > 4);
    let last_small = &play.snapshots[small.len() - 1];
    let offer = play.offer(last_small);
    let mut engine = restore(&play.network, &offer, &last_small.pieces).unwrap();
    let mut snapshots = Vec::new();
    for blocks in epochs(&play, *small.last().unwrap() as usize) {
        snapshots.extend(execute(&mut engine, blocks).1);
    }
    assert!(snapshots == play.snapshots[small.len()..]);
    assert_eq!(engine.commitment(), play.engine.commitment());
}

/// What is sealed is the state as it was, however long that takes and whatever happens meanwhile.
#[test]
fn a_heavy_snapshot_goes_on_into_the_next_epochs() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(12, 1),
        ..Founded::default()
    });
    // Eight pieces' weight: sixteen blocks.
    fill(&mut play, 40);
    let before = play.snapshots.len();
    add_junk(&mut play);
    play.end_epoch();
    let due = play.engine.height();
    // Rows change and names come while it is written.
    for number in 0..15 {
        play.settle("alpha", words::transfer("A-1", "A-2", "1"));
        if number == 3 {
            let name = play.network.seal_name("Kenji Ito");
            let open = words::open_account("A-3", name.attachment, name.commitment);
            play.submit("alpha", vec![order("N", open)], &[&name.bytes]);
        }
    }
    assert_eq!(play.snapshots.len(), before + 1);
    let named = |play: &Play| {
        let of = |one: &Commitment| one.snapshot.map(|named| named.height);
        let found = play.commitments.iter().find(|one| of(one) == Some(due));
        found.map(|one| one.height)
    };
    assert_eq!(named(&play), Some(due + 16));
    play.run_to(due + 40);
    let snapshot = play.snapshots[before].clone();
    assert_eq!(snapshot.manifest.height, due);
    let offer = play.offer(&snapshot);
    let mut engine = restore(&play.network, &offer, &snapshot.pieces).unwrap();
    assert_eq!(engine.height(), due);
    for (block, certificate) in &play.blocks[due as usize..] {
        let executed = engine.execute(std::slice::from_ref(block), certificate);
        let executed = executed.unwrap().pop().unwrap();
        let height = executed.commitment.height;
        assert_eq!(executed.commitment, play.commitments[height as usize - 1]);
    }
    assert_eq!(engine.commitment(), play.engine.commitment());
}

/// The keys of a key epoch seal whole snapshots or none.
#[test]
fn a_snapshot_that_is_not_complete_when_a_key_epoch_ends_is_given_up() {
    let mut all = Modules::new(kit::modules::founded());
    // Thirty-two pieces' weight: more than forty blocks.
    for batch in 0..140 {
        let sealed = all.seal_now("alpha", words::transfers(batch));
        all.step(&[&sealed.bytes]);
    }
    for _ in 0..JUNK_BLOCKS {
        let junk = junk(&all.play);
        all.step(&junk.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    all.end_epoch();
    let due = all.play.engine.height();
    let before = all.play.snapshots.len();
    all.decide(&Change::RotateKeys { suite: None });
    assert!(!all.play.pieces.is_empty(), "none is being made");
    all.end_epoch();
    assert_eq!((all.key_epoch(), all.play.engine.height()), (1, due + 40));
    all.play.pieces.clear();
    // Another one is due at once, and begins with its first piece.
    for _ in 0..80 {
        let sealed = all.seal_now("alpha", words::transfers(1_000));
        all.step(&[&sealed.bytes]);
    }
    let heights: Vec<u64> = all.play.snapshots[before..]
        .iter()
        .map(|one| one.manifest.height)
        .collect();
    assert_eq!(heights, [due + 40]);
    assert_eq!(all.play.snapshots[before].manifest.key_epoch, 1);
    let named = all.play.engine.commitment().snapshot.unwrap().height;
    assert_eq!(named, due + 40);
}

#[test]
fn whoever_waited_over_a_snapshot_is_told() {
    let mut play = Play::furnished_with(founded());
    play.run_to(u64::from(EPOCH) - 1);
    let sealed = play.seal(
        "alpha",
        vec![order("W", words::transfer("A-1", "A-2", "10"))],
    );
    let executed = play.step(&[&sealed.bytes], &[]);
    assert!(reply(&sealed, &executed).is_some());
    play.run_to(u64::from(EPOCH) + 10);
    let snapshot = play.snapshots[0].clone();
    let mut engine = restore(&play.network, &play.offer(&snapshot), &snapshot.pieces).unwrap();
    let blocks: Vec<Vec<u8>> = play.blocks[EPOCH as usize..]
        .iter()
        .map(|one| one.0.clone())
        .collect();
    let all = engine
        .execute(&blocks, &play.blocks.last().unwrap().1)
        .unwrap();
    let notice = all
        .iter()
        .find_map(|one| final_notice(&sealed, one))
        .unwrap();
    assert_eq!(notice.commitment, snapshot.manifest.commitment);
    assert_eq!(notice.committed_by, u64::from(EPOCH) + 2);
}

#[test]
fn erased_names_are_missing_and_nothing_else() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let snapshot = play.snapshots[0].clone();
    // An engine that replays blocks whose attachments are erased agrees on the digest of every snapshot.
    let mut erased = play.network.engine();
    let mut manifests = Vec::new();
    for (bytes, certificate) in &play.blocks {
        let mut block = Block::decode(bytes, usize::MAX).unwrap();
        for attachment in &mut block.attachments {
            *attachment = sealbook_ledger::Attachment::Erased(attachment.digest());
        }
        let each = |output| {
            if let Output::Snapshot(manifest) = output {
                manifests.push(*manifest);
            }
        };
        erased
            .execute_each(&[block.encode()], certificate, each)
            .unwrap();
    }
    assert_eq!(erased.commitment(), play.engine.commitment());
    for (ours, theirs) in play.snapshots.iter().zip(&manifests) {
        assert_eq!(ours.manifest.digest(), theirs.digest());
        assert_eq!(
            (ours.manifest.name_pieces.len(), theirs.name_pieces.len()),
            (1, 0)
        );
    }
    // Both its manifest, and the full one with nothing in the place of the names, still restore.
    let offer = play.offer(&snapshot);
    let mut without = offer.clone();
    without.manifest = manifests[0].encode();
    let empty = [snapshot.pieces[0].clone(), Vec::new()];
    for (offer, pieces) in [(without, &snapshot.pieces[..1]), (offer, &empty)] {
        let mut engine = restore(&play.network, &offer, pieces).unwrap();
        for blocks in epochs(&play, EPOCH as usize) {
            execute(&mut engine, blocks);
        }
        assert_eq!(engine.commitment(), play.engine.commitment());
        std::mem::swap(&mut play.engine, &mut engine);
        assert_eq!(
            play.registry_text("apple", AsOf::Now),
            "1000000 = 999000 + [? 20, ? 978, Kenji Ito 2]"
        );
        std::mem::swap(&mut play.engine, &mut engine);
    }
}

#[test]
fn pieces_that_are_not_those_of_the_manifest_are_refused() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let (snapshot, later) = (play.snapshots[0].clone(), play.snapshots[1].clone());
    let offer = play.offer(&snapshot);
    let refused = |pieces: &[Vec<u8>], at: usize| {
        let error = restore(&play.network, &offer, pieces)
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(error, RestoreError::Piece(piece) if piece == at),
            "{error}"
        );
    };
    let [state, names] = &snapshot.pieces[..] else {
        panic!()
    };
    for byte in [0, 40, 1_000_000, SNAPSHOT_PIECE_BYTES - 1] {
        let mut flipped = state.clone();
        flipped[byte] ^= 1;
        refused(&[flipped, names.clone()], 0);
        let mut flipped = names.clone();
        flipped[byte] ^= 1;
        refused(&[state.clone(), flipped], 1);
    }
    refused(&[names.clone(), state.clone()], 0);
    refused(&[Vec::new(), names.clone()], 0);
    refused(&[state[1..].to_vec()], 0);
    refused(&[later.pieces[0].clone(), names.clone()], 0);
    refused(&[state.clone(), later.pieces[1].clone()], 1);
    let count = |pieces: &[Vec<u8>]| {
        let error = restore(&play.network, &offer, pieces)
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(error, RestoreError::Count { expected: 2, .. }),
            "{error}"
        );
    };
    count(&[]);
    count(&snapshot.pieces[..1]);
    count(&[state.clone(), names.clone(), names.clone()]);
    // The digest does not cover name pieces; the key that they are sealed with and the place do.
    let mut manifest = snapshot.manifest.clone();
    manifest.name_pieces = later.manifest.name_pieces.clone();
    let other = SnapshotOffer {
        manifest: manifest.encode(),
        ..offer.clone()
    };
    let pieces = [state.clone(), later.pieces[1].clone()];
    let error = restore(&play.network, &other, &pieces)
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, RestoreError::Piece(1)), "{error}");
    assert!(restore(&play.network, &offer, &snapshot.pieces).is_ok());
}

#[test]
fn offers_that_the_network_did_not_agree_on_are_refused() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let (snapshot, later) = (play.snapshots[0].clone(), play.snapshots[1].clone());
    let good = play.offer(&snapshot);
    let newer = play.offer(&later);
    let begin = |network: &Network, offer: &SnapshotOffer| {
        Engine::restore(network.genesis.clone(), network.keys(0), offer)
            .map(drop)
            .unwrap_err()
    };
    let network = &play.network;
    // Manifests of something else.
    let altered = |alter: &dyn Fn(&mut SnapshotManifest)| {
        let mut manifest = snapshot.manifest.clone();
        alter(&mut manifest);
        let manifest = manifest.encode();
        begin(
            network,
            &SnapshotOffer {
                manifest,
                ..good.clone()
            },
        )
    };
    let other = |error: RestoreError, what| {
        assert!(
            matches!(error, RestoreError::Other(is) if is == what),
            "{error}"
        );
    };
    other(altered(&|one| one.network = Digest([1; 32])), "network");
    other(
        altered(&|one| one.engine_version += 1),
        "version of the software",
    );
    other(altered(&|one| one.key_epoch = 1), "key epoch");
    other(altered(&|one| one.height += 24), "height");
    other(begin(&Network::new(), &good), "network");
    let not_agreed = |error: RestoreError| {
        assert!(matches!(error, RestoreError::NotAgreed(_)), "{error}");
    };
    not_agreed(altered(&|one| one.block = Digest([1; 32])));
    not_agreed(altered(&|one| one.commitment.state_root = Digest([1; 32])));
    not_agreed(altered(&|one| one.state_pieces[0] = Digest([1; 32])));
    not_agreed(altered(&|one| one.state_pieces.push(Digest([1; 32]))));
    // An old snapshot under results of another height, and the other way round.
    let with = |commitment: &Commitment, proof: &[u8]| {
        begin(
            network,
            &SnapshotOffer {
                manifest: good.manifest.clone(),
                commitment: commitment.clone(),
                proof: proof.to_vec(),
            },
        )
    };
    not_agreed(with(&newer.commitment, &newer.proof));
    not_agreed(with(&play.commitments[EPOCH as usize], &good.proof));
    not_agreed(with(&good.commitment, &newer.proof));
    let mut forged = newer.commitment.clone();
    forged.snapshot = good.commitment.snapshot;
    not_agreed(with(&forged, &newer.proof));
    // Proofs that prove nothing.
    let proof = FinalityProof::decode(&good.proof).unwrap();
    let header = &proof.headers[0];
    let by_others = {
        let block = Block::decode(&play.blocks[header.height as usize - 1].0, usize::MAX).unwrap();
        let certificate = network.certificate_by(&vote_keys("others"), &block, 4);
        FinalityCertificate::decode(&certificate).unwrap()
    };
    let mut of_others = proof.clone();
    of_others.certificate = by_others;
    let mut elsewhere = proof.clone();
    elsewhere.headers[0].roots[0] = good.commitment.digest();
    elsewhere.headers[0].time_ms += 1;
    for wrong in [of_others, elsewhere] {
        let error = with(&good.commitment, &wrong.encode());
        assert!(matches!(error, RestoreError::Proof(_)), "{error}");
    }
    let error = with(&good.commitment, b"no proof");
    assert!(matches!(error, RestoreError::Proof(ProofError::Malformed)));
    assert!(Engine::restore(network.genesis.clone(), network.keys(0), &good).is_ok());
}

#[test]
fn a_process_begins_from_a_snapshot_and_survives_bad_ones() {
    let (mut play, copy) = story();
    go_on(&mut play, &copy);
    let (snapshot, later) = (play.snapshots[0].clone(), play.snapshots[2].clone());
    let mut module = Module::start(&play.network);
    let start = |offer: Option<SnapshotOffer>| ToModule::Start {
        genesis: play.network.genesis.encode(),
        offer,
        roots: Vec::new(),
    };
    let piece = |sealed: &[u8]| ToModule::SnapshotPiece {
        sealed: sealed.to_vec(),
    };
    // A damaged piece; what still comes of that snapshot is passed over.
    let mut damaged = later.pieces[0].clone();
    damaged[500] ^= 1;
    module.say(&start(Some(play.offer(&later))));
    module.say(&piece(&damaged));
    assert!(module.refusal().contains("piece 0"));
    module.say(&piece(&later.pieces[1]));
    // Results that do not name it.
    let mut offer = play.offer(&later);
    offer.commitment.snapshot = None;
    module.say(&start(Some(offer)));
    assert!(module.refusal().contains("72"));
    // The older one is good.
    module.say(&start(Some(play.offer(&snapshot))));
    for sealed in &snapshot.pieces {
        module.say(&piece(sealed));
    }
    match module.hear() {
        FromModule::Started {
            network,
            height,
            definition,
            results,
            ..
        } => {
            assert_eq!((network, height), (play.network.id, u64::from(EPOCH)));
            assert_eq!(Some(&definition), play.header(height).next_epoch.as_ref());
            let last = results.last().map(|last| (last.height, last.digest));
            assert_eq!(last, Some((height, snapshot.manifest.commitment.digest())));
        }
        other => panic!("{other:?}"),
    }
    let mut made = Vec::new();
    for blocks in epochs(&play, EPOCH as usize) {
        module.say(&ToModule::Finalized {
            blocks: blocks.iter().map(|one| one.0.clone()).collect(),
            certificate: blocks.last().unwrap().1.clone(),
        });
        for _ in blocks {
            let commitment = loop {
                match module.hear() {
                    FromModule::SnapshotPiece { .. } => {}
                    FromModule::SnapshotDone { manifest } => {
                        made.push(SnapshotManifest::decode(&manifest).unwrap());
                    }
                    FromModule::Executed { commitment, .. } => break commitment,
                    other => panic!("{other:?}"),
                }
            };
            let expected = &play.commitments[commitment.height as usize - 1];
            assert_eq!(commitment, *expected);
        }
    }
    let expected = play.snapshots[1..].iter().map(|one| one.manifest.clone());
    assert_eq!(made, expected.collect::<Vec<_>>());
}
