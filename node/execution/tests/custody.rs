//! Keys at rest: whose module opens which root for which network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::Network;
use sealbook_execution::custody::{Founding, ModuleKey};
use sealbook_execution::keys::KeyError;
use sealbook_execution::{Engine, EngineError, EpochKeys};
use sealbook_ledger::{Genesis, OpeningEpoch, RootFile};
use sealbook_sealing::Suite;

fn open(network: &Network, seat: usize, genesis: &Genesis, root: &[u8]) -> Result<(), KeyError> {
    let module = ModuleKey::read(&network.module_keys[seat]).unwrap();
    module.open_first_root(genesis, root).map(drop)
}

#[test]
fn every_seat_opens_its_own_root_and_all_get_the_same_keys() {
    let network = Network::new();
    for seat in 0..4 {
        let keys = network.keys(seat);
        let first = network.keys(0);
        for (key, same) in [
            (&keys.leaf, &first.leaf),
            (&keys.outcome, &first.outcome),
            (&keys.snapshot, &first.snapshot),
        ] {
            assert!(key.constant_time_eq(same));
        }
        let root = |keys: &EpochKeys| *keys.root.as_ref().unwrap().secret();
        assert_eq!(root(&keys), root(&first));
        assert_eq!(keys.opening.public_key(), network.opening_key);
        for other in (0..4).filter(|other| *other != seat) {
            let root = &network.wrapped_roots[other];
            assert_eq!(
                open(&network, seat, &network.genesis, root),
                Err(KeyError::NotGiven(0))
            );
            // Nor does it open what is said to be its own.
            let mut grant = RootFile::decode(root).unwrap().grants()[0].clone();
            grant.recipient = ModuleKey::read(&network.module_keys[seat])
                .unwrap()
                .digest();
            let relabelled = RootFile::of([grant]).encode();
            assert_eq!(
                open(&network, seat, &network.genesis, &relabelled),
                Err(KeyError::DoesNotOpen)
            );
        }
    }
}

#[test]
fn a_root_opens_for_its_own_genesis_alone() {
    let (network, other) = (Network::new(), Network::new());
    let root = &network.wrapped_roots[0];
    // Another network's module, another network's root, and both under the other genesis.
    let not_given = Err(KeyError::NotGiven(0));
    assert_eq!(open(&other, 0, &network.genesis, root), not_given);
    assert_eq!(
        open(&network, 0, &network.genesis, &other.wrapped_roots[0]),
        not_given
    );
    assert_eq!(open(&network, 0, &other.genesis, root), not_given);
    // Any change of the document is another network, even one that names the same keys.
    let alter: [&dyn Fn(&mut Genesis); 5] = [
        &|one| one.created_ms += 1,
        &|one| one.network_name.push('x'),
        &|one| one.validators.swap(0, 1),
        &|one| one.policies[0].text.push('\n'),
        &|one| one.audit_recipients.clear(),
    ];
    for alter in alter {
        let mut altered = network.genesis.clone();
        alter(&mut altered);
        assert_eq!(open(&network, 0, &altered, root), not_given);
        // The file's own claim to be of that network does not help.
        let mut grant = RootFile::decode(root).unwrap().grants()[0].clone();
        grant.network = altered.network();
        assert_eq!(
            open(&network, 0, &altered, &RootFile::of([grant]).encode()),
            Err(KeyError::DoesNotOpen)
        );
    }
}

#[test]
fn damaged_files_are_refused() {
    let network = Network::new();
    let (key, root) = (&network.module_keys[0], &network.wrapped_roots[0]);
    for index in 0..root.len() {
        let mut damaged = root.clone();
        damaged[index] ^= 1;
        assert!(
            open(&network, 0, &network.genesis, &damaged).is_err(),
            "byte {index}"
        );
    }
    for length in 0..root.len() {
        assert!(open(&network, 0, &network.genesis, &root[..length]).is_err());
    }
    assert!(open(&network, 0, &network.genesis, &[&root[..], &[0]].concat()).is_err());
    for length in 0..key.len() {
        assert!(ModuleKey::read(&key[..length]).is_err());
    }
    assert!(ModuleKey::read(&[&key[..], &[0]].concat()).is_err());
    for index in 0..key.len() {
        let mut damaged = key.clone();
        // The highest bits of a seed are as good as any other: no bit is ignored.
        damaged[index] ^= 0x80;
        let opened = ModuleKey::read(&damaged)
            .and_then(|module| module.open_first_root(&network.genesis, root).map(drop));
        assert!(opened.is_err(), "byte {index}");
    }
}

#[test]
fn the_auditor_gets_working_keys_from_its_bundle_alone() {
    let (network, other) = (Network::new(), Network::new());
    let auditor = |bytes: &[u8]| ModuleKey::read(bytes).unwrap().opening_key();
    let open = |key: &[u8], genesis: &Genesis, bundle: &[u8]| {
        EpochKeys::from_bundle(&auditor(key), &genesis.network(), 0, bundle).map(drop)
    };
    let bundle = &network.audit_bundle;
    assert_eq!(open(&network.auditor, &network.genesis, bundle), Ok(()));
    // All keys to open and to compare with, but nothing to let a module in.
    let (keys, modules) = (network.auditor_keys(), network.keys(0));
    let later = EpochKeys::from_bundle(&auditor(&network.auditor), &network.id, 1, bundle);
    assert_eq!(later.map(drop), Err(KeyError::DoesNotOpen));
    assert!(keys.root.is_none());
    assert!(keys.leaf.constant_time_eq(&modules.leaf));
    assert!(keys.outcome.constant_time_eq(&modules.outcome));
    assert!(keys.snapshot.constant_time_eq(&modules.snapshot));
    let does_not_open = Err(KeyError::DoesNotOpen);
    assert_eq!(
        open(&other.auditor, &network.genesis, bundle),
        does_not_open
    );
    assert_eq!(
        open(&network.auditor, &other.genesis, bundle),
        does_not_open
    );
    assert_eq!(
        open(&network.module_keys[0], &network.genesis, bundle),
        does_not_open
    );
    // A sealed root is no bundle: its label differs.
    let root = &network.record.roots[0].sealed;
    assert_eq!(
        open(&network.module_keys[0], &network.genesis, root),
        does_not_open
    );
    for index in 0..bundle.len() {
        let mut damaged = bundle.clone();
        damaged[index] ^= 1;
        assert!(
            open(&network.auditor, &network.genesis, &damaged).is_err(),
            "byte {index}"
        );
    }
}

#[test]
fn a_founding_binds_only_the_genesis_that_names_its_key() {
    let network = Network::new();
    let founding = Founding::begin();
    assert_eq!(founding.bind(&network.genesis), Err(KeyError::NotNamed));
    let mut genesis = network.genesis.clone();
    genesis.opening_epochs[0].public_key = founding.opening_key(Suite::X25519ChaCha20Poly1305);
    let record = founding.bind(&genesis).unwrap();
    assert_eq!((record.roots.len(), record.bundles.len()), (4, 1));
    let own = RootFile::of(record.grants().take(1)).encode();
    assert!(open(&network, 0, &genesis, &own).is_ok());
    // The same founding makes the same record, and another one makes none.
    assert_eq!(founding.bind(&genesis).unwrap(), record);
    // A second key for the same epoch, which clients might seal to, is refused by everybody.
    let mut double = genesis.clone();
    double.opening_epochs.insert(
        0,
        OpeningEpoch {
            key_epoch: 0,
            public_key: network.genesis.opening_epochs[0].public_key.clone(),
        },
    );
    assert_eq!(founding.bind(&double), Err(KeyError::NotNamed));
    let mut later = genesis.clone();
    later.opening_epochs[0].key_epoch = 1;
    assert_eq!(founding.bind(&later), Err(KeyError::NotNamed));
    // A key of another suite would carry the root, or what the auditor gets, more weakly than it must be.
    let other_suite = genesis.opening_epochs[0].public_key.clone();
    let mut mixed = genesis.clone();
    mixed.validators[1].module_key.clone_from(&other_suite);
    assert_eq!(founding.bind(&mixed), Err(KeyError::Malformed));
    let mut mixed = genesis.clone();
    mixed.audit_recipients[0].key = other_suite;
    assert_eq!(founding.bind(&mixed), Err(KeyError::Malformed));
    genesis.validators[2].module_key.pop();
    assert_eq!(founding.bind(&genesis), Err(KeyError::Malformed));
}

#[test]
fn an_engine_starts_only_with_what_goes_together() {
    let (network, other) = (Network::new(), Network::new());
    let refused = |genesis: &Genesis| {
        Engine::new(genesis.clone(), network.keys(0))
            .map(drop)
            .unwrap_err()
    };
    assert!(matches!(
        refused(&other.genesis),
        EngineError::Keys(KeyError::NotNamed)
    ));
    let altered = |alter: &dyn Fn(&mut Genesis)| {
        let mut genesis = network.genesis.clone();
        alter(&mut genesis);
        refused(&genesis)
    };
    let twice = altered(&|one| one.validators[1].vote_key = one.validators[0].vote_key);
    assert!(matches!(twice, EngineError::Committee(_)));
    let no_rule = altered(&|one| one.policies[0].text.push_str("permit ("));
    assert!(matches!(no_rule, EngineError::Policies(_)));
    let foreign = altered(&|one| one.admins = other.genesis.admins.clone());
    assert!(matches!(foreign, EngineError::Admin(_)));
    let ended = altered(&|one| one.created_ms += 400 * 86_400_000);
    assert!(matches!(ended, EngineError::Admin(_)));
    let same = altered(&|one| one.admins.push(one.admins[0].clone()));
    assert!(matches!(same, EngineError::Admin(_)));
    let own = network.keys(0).public_key();
    assert_eq!(network.genesis.opening_epochs[0].public_key, own);
}
