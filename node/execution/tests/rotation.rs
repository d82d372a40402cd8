//! Key epochs: how a new root is agreed on, what it closes and what stays open, and recovery from shares.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::modules::{Modules, founded, with_shares};
use kit::play::outcomes;
use kit::sign_word;
use kit::words::{self, order};
use sealbook_execution::custody::{ModuleKey, can_seal_to, grant_root, make_record};
use sealbook_execution::keys::KeyError;
use sealbook_execution::recovery::{RecoveryError, contribute, recover};
use sealbook_execution::rotation::{Custodian, ModuleOrder};
use sealbook_execution::{Engine, EngineError, EpochKeys};
use sealbook_governance::Change;
use sealbook_ledger::{KeyHolder, RootFile, opening_digest};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::payload::OrderBytes;
use sealbook_sealing::{Purpose, Suite};
use sealbook_securities::Outcome;

fn transfer(reference: &str) -> Vec<OrderBytes> {
    vec![order(reference, words::transfer("A-1", "A-2", "1"))]
}

/// What a module says, made by hand with the key of a seat.
fn word_of(all: &Modules, seat: usize, order: &ModuleOrder) -> Vec<u8> {
    let network = &all.play.network;
    let key = ModuleKey::read(&network.module_keys[seat]).unwrap();
    let header = network.header(all.play.expiry());
    let signed = sign_word(&key, &header, borsh::to_vec(order).unwrap());
    network
        .seal_signed(header, Purpose::Transaction, &signed, Secret32::random())
        .bytes
}

#[test]
fn a_decision_begins_a_key_epoch_and_the_former_one_is_opened_for_a_while() {
    let mut all = Modules::new(founded());
    let before = all.play.engine.state_root();
    let early = all.seal_now("alpha", transfer("T-early"));
    let late = all.seal_now("alpha", transfer("T-late"));
    let old_root = *all.play.network.keys(0).root.unwrap().secret();
    all.decide(&Change::RotateKeys { suite: None });
    all.end_epoch();
    assert_eq!(all.key_epoch(), 1);
    let since = all.play.engine.definition().opening.since_height;
    assert_eq!(since, 41);
    // Nothing changed in the books, and yet every leaf did: they are keyed anew.
    all.step(&[]);
    assert_ne!(all.play.engine.state_root(), before);
    all.step(&[&early.bytes]);
    let executed = all.play.engine.commitment().outcomes;
    assert!(executed >= 1);
    // A new envelope opens with the new keys, and not with the former root.
    let new = all.seal_now("alpha", transfer("T-new"));
    let old = EpochKeys::from_root(&Secret32::new(old_root), 1, Suite::X25519ChaCha20Poly1305);
    assert_ne!(
        old.opening.public_key(),
        all.play.network.opening_key,
        "the new root does not follow from the former one"
    );
    let executed = all.play.step(&[&new.bytes], &[]);
    assert_eq!(outcomes(&new, &executed), [Outcome::SETTLED]);
    all.play.run_to(since + 9);
    let executed = all.play.step(&[&late.bytes], &[]);
    assert_eq!((executed.unopened, executed.replies.len()), (1, 0));
}

#[test]
fn final_notices_of_the_former_key_epoch_still_come() {
    let mut all = Modules::new(founded());
    all.decide(&Change::RotateKeys { suite: None });
    all.run_to(39);
    let sealed = all.seal_now("alpha", transfer("T1"));
    let executed = all.play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    assert_eq!(all.play.engine.height(), 40);
    let mut notices = Vec::new();
    for _ in 0..4 {
        notices.extend(all.play.step(&[], &[]).finals);
    }
    assert_eq!(all.key_epoch(), 1);
    let notice = notices.iter().find(|one| one.transaction == sealed.digest);
    assert!(notice.is_some());
}

#[test]
fn a_schedule_begins_key_epochs_by_itself() {
    let mut with = founded();
    with.parameters.key_epochs = 2;
    let mut all = Modules::new(with);
    all.end_epoch();
    assert_eq!(all.key_epoch(), 0);
    all.end_epoch();
    assert_eq!(all.key_epoch(), 0);
    // Wanted when the second epoch is over; agreed on during the third; there from the fourth on.
    all.run_to(120);
    assert_eq!(all.key_epoch(), 1);
    all.run_to(280);
    assert_eq!(all.key_epoch(), 2);
}

#[test]
fn a_removed_validator_gets_no_new_root() {
    let mut all = Modules::new(founded());
    let name = "node-3".to_owned();
    all.decide(&Change::RemoveValidator { name });
    all.end_epoch();
    assert_eq!(all.key_epoch(), 1, "a removal ends the key epoch with it");
    let mut removed = all.modules[3].take().unwrap();
    all.step(&[]);
    let (block, certificate) = all.play.blocks.last().cloned().unwrap();
    let refused = removed.execute(&[block], &certificate);
    assert!(
        matches!(refused, Err(EngineError::Keys(KeyError::NotGiven(1)))),
        "{refused:?}"
    );
    all.step(&[]);
}

#[test]
fn suites_change_with_a_key_epoch() {
    let mut all = Modules::new(founded());
    all.decide(&Change::RotateKeys { suite: Some(2) });
    all.end_epoch();
    assert_eq!(all.play.engine.definition().opening.suite(), 2);
    let sealed = all.seal_now("alpha", transfer("T1"));
    let executed = all.play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
}

#[test]
fn the_auditor_follows_every_key_epoch_and_a_revoked_one_does_not() {
    let mut all = Modules::new(founded());
    let (new_key, new_public) = ModuleKey::generate();
    all.decide(&Change::RotateKeys { suite: None });
    all.end_epoch();
    let auditors = vec![KeyHolder {
        name: "audit-2".to_owned(),
        key: new_public,
    }];
    all.decide(&Change::SetAuditors(auditors));
    all.end_epoch();
    all.step(&[]);
    assert_eq!(all.key_epoch(), 2);
    let replay = |keys: &[&[u8]]| {
        let network = &all.play.network;
        let mut engine = Engine::new(network.genesis.clone(), network.auditor_keys()).unwrap();
        let keys = keys.iter().map(|key| ModuleKey::read(key).unwrap());
        engine.set_custodian(Custodian::Auditor(keys.collect()), None);
        let mut result = Ok(());
        for (block, certificate) in &all.play.blocks {
            let done = engine.execute(std::slice::from_ref(block), certificate);
            if let Err(error) = done {
                result = Err(error);
                break;
            }
        }
        (engine.height(), result)
    };
    let (height, result) = replay(&[&all.play.network.auditor, &new_key]);
    assert_eq!((height, result.is_ok()), (all.play.engine.height(), true));
    // The revoked key keeps what came before, and opens nothing newer.
    let (height, result) = replay(&[&all.play.network.auditor]);
    assert_eq!(height, 80);
    assert!(matches!(
        result,
        Err(EngineError::Keys(KeyError::NotGiven(2)))
    ));
}

#[test]
fn a_false_record_is_agreed_on_by_nobody() {
    let mut all = Modules::new(founded());
    // The honest modules make none for now: the traitor is first.
    let reference = all.play.reference();
    let change = Change::RotateKeys { suite: None };
    let order = words::govern(&reference, words::propose(&change));
    let sealed = all.seal_now("admin", vec![order]);
    all.step(&[&sealed.bytes]);
    all.words.clear();
    let recipients = all.play.engine.governance_view().recipients;
    let root = Secret32::new([9; 32]);
    let mut record = make_record(&root, all.play.network.id, &recipients).unwrap();
    // One module is given something that it cannot open; every other part is as it must be.
    let last = record.roots[2].sealed.len() - 1;
    record.roots[2].sealed[last] ^= 1;
    let offer = word_of(&all, 0, &ModuleOrder::Offer(record.encode()));
    all.step(&[&offer]);
    let digest = record.digest();
    let rotation = all.play.engine.governance_view().rotation.unwrap();
    assert!(rotation.offers.iter().any(|one| one.record == digest));
    for _ in 0..6 {
        all.step(&[]);
    }
    let rotation = all.play.engine.governance_view().rotation.unwrap();
    match &rotation.ready {
        // An honest offer may have been agreed on meanwhile, never this one.
        Some((record, _)) => assert_ne!(*record, digest),
        None => {
            let offer = rotation.offers.iter().find(|one| one.record == digest);
            assert_eq!(offer.unwrap().acknowledged.len(), 1);
        }
    }
    // The others' turns come, and one of their offers is agreed on.
    all.run_to(160);
    assert!(all.key_epoch() >= 1);
    let bad = record.public_key;
    assert_ne!(all.play.engine.definition().opening.public_key, bad);
}

#[test]
fn a_record_for_others_is_refused() {
    let mut all = Modules::new(founded());
    let change = Change::RotateKeys { suite: None };
    let reference = all.play.reference();
    let order = words::govern(&reference, words::propose(&change));
    let sealed = all.seal_now("admin", vec![order]);
    all.step(&[&sealed.bytes]);
    all.words.clear();
    let honest = all.play.engine.governance_view().recipients;
    let stranger = ModuleKey::generate().1;
    let alterations: [&dyn Fn(&mut sealbook_governance::Recipients); 5] = [
        &|to| to.modules.push(stranger.clone()),
        &|to| to.modules[1].clone_from(&stranger),
        &|to| to.auditors.clear(),
        &|to| to.key_epoch = 2,
        &|to| to.suite = 2,
    ];
    for alter in alterations {
        let mut to = honest.clone();
        alter(&mut to);
        let record = make_record(&Secret32::new([9; 32]), all.play.network.id, &to).unwrap();
        let offer = word_of(&all, 1, &ModuleOrder::Offer(record.encode()));
        all.play.step(&[&offer], &[]);
        let offers = all.play.engine.governance_view().rotation.unwrap().offers;
        assert!(offers.is_empty());
    }
    // A member is no module, whatever it says.
    let record = make_record(&Secret32::new([9; 32]), all.play.network.id, &honest).unwrap();
    let order = ModuleOrder::Offer(record.encode());
    let order = OrderBytes::Module(borsh::to_vec(&order).unwrap());
    let sealed = all.seal_now("admin", vec![order]);
    let executed = all.play.step(&[&sealed.bytes], &[]);
    assert!(!outcomes(&sealed, &executed)[0].is_accepted());
    let offers = all.play.engine.governance_view().rotation.unwrap().offers;
    assert!(offers.is_empty());
}

#[test]
fn a_module_begins_from_a_snapshot_of_either_side_of_a_rotation() {
    let mut all = Modules::new(founded());
    all.decide(&Change::RotateKeys { suite: None });
    all.run_to(60);
    let early = all.seal_now("alpha", transfer("T1"));
    all.step(&[&early.bytes]);
    all.decide(&Change::RotateKeys { suite: None });
    all.run_to(130);
    assert_eq!(all.key_epoch(), 2);
    let play = &all.play;
    let key = ModuleKey::read(&play.network.module_keys[2]).unwrap();
    let mut seen = Vec::new();
    for snapshot in &play.snapshots {
        let manifest = &snapshot.manifest;
        seen.push((manifest.height, manifest.key_epoch));
        // What a host would have kept for this module.
        let keys = if manifest.key_epoch == 0 {
            play.network.keys(2)
        } else {
            let mut grants = all.grants_of(2).into_iter();
            let grant = grants.find(|one| one.opening == manifest.opening).unwrap();
            key.open_grant(&play.network.id, &grant).unwrap()
        };
        let mut restoring =
            Engine::restore(play.network.genesis.clone(), keys, &play.offer(snapshot)).unwrap();
        for piece in &snapshot.pieces {
            restoring.add(piece).unwrap();
        }
        let mut engine = restoring.finish().unwrap();
        let own = ModuleKey::read(&play.network.module_keys[2]).unwrap();
        engine.set_custodian(Custodian::Module(own, Vec::new()), None);
        for (block, certificate) in &play.blocks[manifest.height as usize..] {
            engine
                .execute(std::slice::from_ref(block), certificate)
                .unwrap();
        }
        assert_eq!(engine.commitment(), play.engine.commitment());
    }
    // Each is sealed to the key epoch of the block after it.
    assert_eq!(seen, [(40, 1), (80, 2), (120, 2)]);
    // The keys of another key epoch do not open it.
    let first = &play.snapshots[0];
    let refused = Engine::restore(
        play.network.genesis.clone(),
        play.network.keys(2),
        &play.offer(first),
    );
    assert!(refused.map(drop).is_err());
}

#[test]
fn as_many_holders_as_are_needed_recover_the_root_and_fewer_do_not() {
    let (mut all, holders) = with_shares();
    all.decide(&Change::RotateKeys { suite: None });
    all.end_epoch();
    let later = {
        let recipients = all.play.engine.governance_view().recipients;
        assert_eq!(recipients.recovery.threshold, 2);
        all.play.network.record.clone()
    };
    let (fresh, public) = ModuleKey::generate();
    let fresh = ModuleKey::read(&fresh).unwrap();
    let (_, other) = ModuleKey::generate();
    let modules = vec![public.clone(), other.clone()];
    let give = |holder: &ModuleKey| contribute(holder, &later, &public, &modules).unwrap();
    let all_three: Vec<Vec<u8>> = holders.iter().map(give).collect();
    for pair in [[0, 1], [1, 2], [0, 2]] {
        let two = pair.map(|place| all_three[place].clone());
        let file = recover(&fresh, &later, &two).unwrap();
        assert_eq!(file.grants().len(), 2);
        let opening = opening_digest(&later.public_key);
        let keys = fresh
            .open_root(&all.play.network.id, (0, &opening), &file)
            .unwrap();
        assert_eq!(keys.public_key(), later.public_key);
    }
    let too_few = recover(&fresh, &later, &all_three[..1]);
    assert_eq!(
        too_few,
        Err(RecoveryError::TooFew {
            found: 1,
            needed: 2
        })
    );
    let twice = [all_three[0].clone(), all_three[0].clone()];
    let too_few = recover(&fresh, &later, &twice);
    assert_eq!(
        too_few,
        Err(RecoveryError::TooFew {
            found: 1,
            needed: 2
        })
    );
    // Another module cannot use what was sealed to this one.
    let (stranger, _) = ModuleKey::generate();
    let stranger = ModuleKey::read(&stranger).unwrap();
    let refused = recover(&stranger, &later, &all_three);
    assert_eq!(refused, Err(RecoveryError::Contribution(1)));
    // A holder who names other modules is noticed.
    let elsewhere =
        contribute(&holders[1], &later, &public, std::slice::from_ref(&public)).unwrap();
    let refused = recover(&fresh, &later, &[all_three[0].clone(), elsewhere]);
    assert_eq!(refused, Err(RecoveryError::Modules));
    // Who holds no share has none to give.
    let refused = contribute(&stranger, &later, &public, &modules);
    assert_eq!(refused, Err(KeyError::NotGiven(0)));
}

#[test]
fn a_bogus_share_is_named() {
    let (all, holders) = with_shares();
    let record = &all.play.network.record;
    // The second holder seals another share to itself and contributes that.
    let recipients = sealbook_execution::custody::first_recipients(&all.play.network.genesis);
    let false_root = Secret32::new([8; 32]);
    let forged = make_record(&false_root, all.play.network.id, &recipients).unwrap();
    let (fresh, public) = ModuleKey::generate();
    let fresh = ModuleKey::read(&fresh).unwrap();
    let modules = [public.clone()];
    let good = contribute(&holders[0], record, &public, &modules).unwrap();
    let bogus = contribute(&holders[1], &forged, &public, &modules).unwrap();
    let refused = recover(&fresh, record, &[good.clone(), bogus.clone()]);
    assert_eq!(refused, Err(RecoveryError::Bogus(vec![2])));
    // Even if there are enough good ones besides.
    let third = contribute(&holders[2], record, &public, &modules).unwrap();
    let refused = recover(&fresh, record, &[good, bogus, third]);
    assert_eq!(refused, Err(RecoveryError::Bogus(vec![2])));
    // The commitments are those that genesis names.
    let commitments: Vec<Digest> = record.shares.iter().map(|one| one.commitment).collect();
    assert_eq!(commitments, all.play.network.genesis.share_commitments);
}

#[test]
fn a_recovered_module_goes_on_with_the_ledger() {
    let (all, holders) = with_shares();
    let network = &all.play.network;
    let (fresh, public) = ModuleKey::generate();
    let fresh = ModuleKey::read(&fresh).unwrap();
    assert!(can_seal_to(&public));
    let modules = [public.clone()];
    let given: Vec<Vec<u8>> = holders[1..]
        .iter()
        .map(|holder| contribute(holder, &network.record, &public, &modules).unwrap())
        .collect();
    let file: RootFile = recover(&fresh, &network.record, &given).unwrap();
    let keys = fresh
        .open_first_root(&network.genesis, &file.encode())
        .unwrap();
    let mut engine = Engine::new(network.genesis.clone(), keys).unwrap();
    for (block, certificate) in &all.play.blocks {
        engine
            .execute(std::slice::from_ref(block), certificate)
            .unwrap();
    }
    assert_eq!(engine.commitment(), all.play.engine.commitment());
}

#[test]
fn a_module_that_no_record_names_begins_a_key_epoch_with_its_root_file() {
    let mut all = Modules::new(founded());
    all.decide(&Change::RotateKeys { suite: None });
    all.end_epoch();
    all.step(&[]);
    assert_eq!(all.key_epoch(), 1);
    let network = &all.play.network;
    // As a recovered module is given it: both roots, sealed to a key that the ledger does not know.
    let (fresh, public) = ModuleKey::generate();
    let first = ModuleKey::read(&network.module_keys[0]).unwrap();
    let named = all.play.engine.definition().opening.clone();
    let named = opening_digest(&named.public_key);
    let mut grants = all.grants_of(0).into_iter();
    let later = grants.find(|one| one.opening == named).unwrap();
    let later = first.open_grant(&network.id, &later).unwrap();
    let given = [&network.keys(0), &later].map(|keys| grant_root(keys, network.id, &public));
    let file = RootFile::of(given.map(Result::unwrap));
    let replay = |files: Vec<RootFile>| {
        let key = ModuleKey::read(&fresh).unwrap();
        let keys = key
            .open_first_root(&network.genesis, &file.encode())
            .unwrap();
        let mut engine = Engine::new(network.genesis.clone(), keys).unwrap();
        engine.set_custodian(Custodian::Module(key, files), None);
        for (block, certificate) in &all.play.blocks {
            engine.execute(std::slice::from_ref(block), certificate)?;
        }
        Ok::<_, EngineError>(engine.commitment().clone())
    };
    let done = replay(vec![file.clone()]).unwrap();
    assert_eq!(done, *all.play.engine.commitment());
    let without = replay(Vec::new());
    assert!(matches!(
        without,
        Err(EngineError::Keys(KeyError::NotGiven(1)))
    ));
}
