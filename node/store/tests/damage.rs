//! Damaged files of a closed store: opening and checking it finds the damage, or nothing is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use proptest::prelude::*;
use sealbook_ledger::{Attachment, Block, FinalityCertificate, Transaction};
use sealbook_primitives::hash::hash;
use sealbook_primitives::signature::Signature;
use sealbook_store::{Engine, LedgerStore, Store, StoreError, Table, open_store, quarantine};

type Files = BTreeMap<PathBuf, Vec<u8>>;
type Contents = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Bytes that do not repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let blocks = (0_u64..).map(|block| hash("noise", &[&seed.to_be_bytes(), &block.to_be_bytes()]));
    blocks.flat_map(|block| block.0).take(length).collect()
}

/// Fills a store as a node does, in several runs of it.
fn fill(engine: Engine, path: &Path) {
    let mut parent = Block::genesis(hash("test network", &[]), 1);
    for run in 0..3_u64 {
        let ledger = LedgerStore::open(open_store(engine, path).unwrap()).unwrap();
        if run == 0 {
            ledger.put_block(&parent).unwrap();
        }
        for number in 0..8 {
            let height = parent.height() + 1;
            let transactions = (0..4_u64).map(|place| {
                let envelope = noise(height * 10 + place, 400 << (2 * number.min(3)));
                Transaction::new(0, Signature([1; 64]), Bytes::from(envelope))
            });
            let attachment = Attachment::Present(Bytes::from(noise(height, 900)));
            let transactions: Vec<_> = transactions.collect();
            let replies = transactions
                .iter()
                .map(|one| (one.id(), 0, noise(height, 700)));
            let replies: Vec<_> = replies.collect();
            let block = Block::after(
                &parent.header,
                height,
                transactions,
                vec![attachment],
                Vec::new(),
            );
            let signatures = vec![Signature([7; 64]); 3];
            let certificate = FinalityCertificate::new(
                (0, height, height - 1),
                block.digest(),
                vec![0, 1, 2],
                signatures,
            );
            ledger
                .put_final(&[&block], &[(height, &certificate)])
                .unwrap();
            ledger.put_replies(height, &replies).unwrap();
            parent = block;
        }
        ledger
            .put_snapshot_piece(run, 0, &noise(run, 70_000))
            .unwrap();
        ledger.put_snapshot_manifest(run, 1, b"manifest").unwrap();
        ledger.drop_snapshots_before(run).unwrap();
        ledger.put_metadata("run", &[run as u8]).unwrap();
    }
}

fn files(folder: &Path, base: &Path, found: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, base, found);
        } else {
            let name = path.strip_prefix(base).unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
}

fn contents(store: &dyn Store) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    for table in Table::ALL {
        for (key, value) in store.scan(table, b"", 1_000)? {
            contents.insert((table, key), value);
        }
    }
    Ok(contents)
}

/// The files of a closed store, and what it holds.
fn closed(engine: Engine) -> &'static (Files, Contents) {
    static SLED: OnceLock<(Files, Contents)> = OnceLock::new();
    static REDB: OnceLock<(Files, Contents)> = OnceLock::new();
    let place = match engine {
        Engine::Sled => &SLED,
        Engine::Redb => &REDB,
    };
    place.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fill(engine, folder.path());
        let held = contents(open_store(engine, folder.path()).unwrap().as_ref()).unwrap();
        let mut found = Files::new();
        files(folder.path(), folder.path(), &mut found);
        (found, held)
    })
}

fn write(files: &Files, folder: &Path) {
    fs::create_dir_all(folder.join("blobs")).unwrap();
    fs::create_dir_all(folder.join("outside")).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[derive(Debug, Clone)]
enum Harm {
    Flip { place: u64, bit: u8 },
    Zero { place: u64, length: u64 },
    Cut { place: u64 },
    Gone,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        8 => (any::<u64>(), 0_u8..8).prop_map(|(place, bit)| Harm::Flip { place, bit }),
        2 => (any::<u64>(), 1_u64..5_000).prop_map(|(place, length)| Harm::Zero { place, length }),
        3 => any::<u64>().prop_map(|place| Harm::Cut { place }),
        1 => Just(Harm::Gone),
    ]
}

/// A place near the beginning, or where there is something, or anywhere.
fn pick(place: u64, bytes: &[u8]) -> usize {
    let length = bytes.len().max(1);
    let choice = place % 4;
    let place = (place / 4) as usize;
    match choice {
        0 => place % length.min(600),
        1 => place % length,
        _ => {
            let start = place % length;
            let there = bytes.iter().enumerate().cycle().skip(start).take(length);
            there
                .filter(|(_, byte)| **byte != 0)
                .map(|(place, _)| place)
                .next()
                .unwrap_or(0)
        }
    }
}

fn hurt(files: &mut Files, which: usize, harm: &Harm) {
    // The big file is most of the store, and the others are few.
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    let largest = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    let name = match which % 3 {
        0 => names[which / 3 % names.len()].clone(),
        _ => largest.clone(),
    };
    let bytes = files.get_mut(&name).unwrap();
    if bytes.is_empty() {
        return;
    }
    match harm {
        Harm::Flip { place, bit } => {
            let place = pick(*place, bytes);
            bytes[place] ^= 1 << bit;
        }
        Harm::Zero { place, length } => {
            let place = pick(*place, bytes);
            let end = (place + *length as usize).min(bytes.len());
            bytes[place..end].fill(0);
        }
        Harm::Cut { place } => {
            let place = pick(*place, bytes);
            bytes.truncate(place);
        }
        Harm::Gone => {
            files.remove(&name);
        }
    }
}

/// What is said of a store: nothing, or the first damage.
fn said(engine: Engine, folder: &Path) -> Result<Option<String>, StoreError> {
    let store = open_store(engine, folder)?;
    let ledger = LedgerStore::open(store.clone())?;
    let report = ledger.check(&mut |_, _| ())?;
    if let Some(first) = report.damages.first() {
        return Ok(Some(first.to_string()));
    }
    let held = contents(store.as_ref())?;
    let all = &closed(engine).1;
    for (key, value) in all {
        assert_eq!(
            held.get(key),
            Some(value),
            "{key:?} is not as it was, and nobody says so"
        );
    }
    assert_eq!(held.len(), all.len(), "something came to be");
    Ok(None)
}

fn damage_shows(engine: Engine, which: usize, harm: &Harm) {
    let mut files = closed(engine).0.clone();
    hurt(&mut files, which, harm);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks");
    write(&files, &path);
    let found = said(engine, &path);
    if let Err(error) = &found {
        let expected = error.is_damage() || matches!(error, StoreError::Open { .. });
        assert!(expected, "{error}");
        // What a host does then.
        let aside = quarantine(&path).unwrap();
        assert_eq!(aside, folder.path().join("blocks.damaged-1"));
        drop(open_store(engine, &path).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damage_of_sleds_files_shows(which in any::<usize>(), harm in harm()) {
        damage_shows(Engine::Sled, which, &harm);
    }

    #[test]
    fn damage_of_redbs_file_shows(which in any::<usize>(), harm in harm()) {
        damage_shows(Engine::Redb, which, &harm);
    }
}

#[test]
fn an_unharmed_store_is_intact() {
    for engine in [Engine::Sled, Engine::Redb] {
        let folder = tempfile::tempdir().unwrap();
        write(&closed(engine).0, folder.path());
        assert_eq!(said(engine, folder.path()), Ok(None));
    }
}
