//! What every storage engine must do, run over each of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sealbook_store::{
    Batch, Engine, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryStore, SMALL_VALUE_BYTES, Store,
    StoreError, Table, open_store,
};

const ON_DISK: [Engine; 2] = [Engine::Sled, Engine::Redb];

fn engines(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::new());
    on_disk(|engine, path| test(open_store(engine, path).unwrap().as_ref()));
}

fn on_disk(test: impl Fn(Engine, &Path)) {
    for engine in ON_DISK {
        let directory = tempfile::tempdir().unwrap();
        test(engine, &directory.path().join("ledger"));
    }
}

fn one(table: Table, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    batch
}

#[test]
fn what_was_put_is_read() {
    engines(|store| {
        assert_eq!(store.get(Table::Blocks, b"a").unwrap(), None);
        store.commit(one(Table::Blocks, b"a", b"1")).unwrap();
        store.commit(one(Table::Blocks, b"", b"empty key")).unwrap();
        store.commit(one(Table::Certificates, b"a", b"")).unwrap();
        assert_eq!(store.get(Table::Blocks, b"a").unwrap().unwrap(), b"1");
        assert_eq!(
            store.get(Table::Blocks, b"").unwrap().unwrap(),
            b"empty key"
        );
        assert_eq!(store.get(Table::Certificates, b"a").unwrap().unwrap(), b"");
        assert_eq!(store.get(Table::Attachments, b"a").unwrap(), None);
        store.commit(Batch::new()).unwrap();
    });
}

#[test]
fn large_values_come_back_whole_and_can_shrink() {
    engines(|store| {
        for size in [0, 1, 24 * 1024, 24 * 1024 + 1, 5_000_000, 100_000, 3] {
            let value: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            store.commit(one(Table::Blocks, b"k", &value)).unwrap();
            assert_eq!(store.get(Table::Blocks, b"k").unwrap().unwrap(), value);
            assert_eq!(store.scan(Table::Blocks, b"", 10).unwrap().len(), 1);
        }
    });
}

#[test]
fn a_batch_covers_several_tables_and_its_last_word_counts() {
    engines(|store| {
        store.commit(one(Table::Metadata, b"gone", b"x")).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Blocks, *b"a", *b"1");
        batch.put(Table::Certificates, *b"a", *b"2");
        batch.delete(Table::Metadata, *b"gone");
        batch.put(Table::Metadata, *b"twice", *b"first");
        batch.put(Table::Metadata, *b"twice", *b"second");
        batch.delete(Table::Attachments, *b"never there");
        store.commit(batch).unwrap();
        assert_eq!(store.get(Table::Blocks, b"a").unwrap().unwrap(), b"1");
        assert_eq!(store.get(Table::Certificates, b"a").unwrap().unwrap(), b"2");
        assert_eq!(store.get(Table::Metadata, b"gone").unwrap(), None);
        assert_eq!(
            store.get(Table::Metadata, b"twice").unwrap().unwrap(),
            b"second"
        );
    });
}

#[test]
fn a_scan_is_ordered_limited_and_stays_in_its_table() {
    engines(|store| {
        let mut batch = Batch::new();
        for number in [5_u64, 1, 300, 70_000] {
            batch.put(Table::Blocks, number.to_be_bytes(), vec![1; 60_000]);
        }
        batch.put(Table::Certificates, *b"x", *b"y");
        store.commit(batch).unwrap();
        let keys = |from: &[u8], limit| -> Vec<u64> {
            let entries = store.scan(Table::Blocks, from, limit).unwrap();
            entries
                .iter()
                .map(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap()))
                .collect()
        };
        assert_eq!(keys(b"", 10), [1, 5, 300, 70_000]);
        assert_eq!(keys(&5_u64.to_be_bytes(), 2), [5, 300]);
        assert_eq!(keys(&6_u64.to_be_bytes(), 10), [300, 70_000]);
        assert_eq!(keys(b"", 0), [0_u64; 0]);
    });
}

#[test]
fn what_is_too_large_is_refused_and_the_store_goes_on() {
    engines(|store| {
        let long_key = one(Table::Blocks, &[0; MAX_KEY_BYTES + 1], b"");
        assert!(matches!(
            store.commit(long_key),
            Err(StoreError::TooLarge { .. })
        ));
        let large = one(Table::Blocks, b"k", &vec![0; MAX_VALUE_BYTES + 1]);
        assert!(matches!(
            store.commit(large),
            Err(StoreError::TooLarge { .. })
        ));
        let small = one(Table::Digests, b"k", &[0; SMALL_VALUE_BYTES + 1]);
        assert!(matches!(
            store.commit(small),
            Err(StoreError::TooLarge { .. })
        ));
        store
            .commit(one(Table::Blocks, &[0; MAX_KEY_BYTES], b"v"))
            .unwrap();
    });
}

#[test]
fn what_lies_outside_the_engine_changes_alone() {
    engines(|store| {
        let table = Table::SnapshotPieces;
        store.commit(one(table, b"a", &[1; 70_000])).unwrap();
        store.commit(one(table, b"b", b"")).unwrap();
        let mut mixed = one(table, b"a", b"2");
        mixed.put(Table::Blocks, *b"a", *b"2");
        let mut several = one(table, b"a", b"2");
        several.put(table, *b"b", *b"2");
        let mut deleted = Batch::new();
        deleted.delete(table, *b"a");
        deleted.put(Table::Blocks, *b"a", *b"2");
        for batch in [mixed, several, deleted] {
            assert_eq!(
                store.commit(batch),
                Err(StoreError::Alone(Table::SnapshotPieces.name()))
            );
        }
        assert_eq!(store.get(Table::Blocks, b"a").unwrap(), None);
        assert_eq!(store.get(table, b"a").unwrap().unwrap(), [1; 70_000]);
        assert_eq!(store.get(table, b"b").unwrap().unwrap(), b"");
        let mut both = Batch::new();
        both.delete(table, *b"a");
        both.delete(table, *b"b");
        both.delete(table, *b"never there");
        store.commit(both).unwrap();
        assert_eq!(store.keys(table, b"", 9).unwrap(), Vec::<Vec<u8>>::new());
    });
}

#[test]
fn what_a_crash_left_half_written_outside_is_removed_and_damage_is_found() {
    on_disk(|engine, path| {
        let table = Table::SnapshotPieces;
        let value: Vec<u8> = (0..70_000_u32).map(|index| index as u8).collect();
        let store = open_store(engine, path).unwrap();
        store.commit(one(table, b"k", &value)).unwrap();
        drop(store);
        let file = path.join("outside").join("07-6b");
        let whole = std::fs::read(&file).unwrap();
        assert_eq!(whole[17..], value);
        let form = sealbook_primitives::hash::hash("sealbook 2026 test pin v1", &[&whole]);
        assert_eq!(
            form.to_string(),
            "b64b1836154cf3cf64975f382746c3e1a5651fc7cc695446194a1c8c555ce859"
        );
        std::fs::write(file.with_extension("new"), &whole[..500]).unwrap();
        std::fs::write(path.join("outside").join("not ours"), b"x").unwrap();
        let read = || open_store(engine, path).unwrap().get(table, b"k");
        assert_eq!(read().unwrap().unwrap(), value);
        assert!(!file.with_extension("new").exists());
        for place in [0, 1, 16, 17, 40_000, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            std::fs::write(&file, bytes).unwrap();
            assert!(read().unwrap_err().is_damage(), "byte {place}");
            std::fs::write(&file, &whole[..place]).unwrap();
            assert!(read().unwrap_err().is_damage(), "cut at {place}");
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read().unwrap(), None);
        // One under another's name.
        std::fs::write(file.with_file_name("07-6c"), &whole).unwrap();
        let found = open_store(engine, path).unwrap().get(table, b"l");
        assert!(found.unwrap_err().is_damage());
        // Gone while the store is open.
        let store = open_store(engine, path).unwrap();
        store.commit(one(table, b"m", &value)).unwrap();
        std::fs::remove_file(file.with_file_name("07-6d")).unwrap();
        assert!(store.get(table, b"m").unwrap_err().is_damage());
    });
}

#[test]
fn after_a_failed_write_outside_nothing_of_the_store_is_answered() {
    on_disk(|engine, path| {
        let store = open_store(engine, path).unwrap();
        store.commit(one(Table::Blocks, b"k", b"v")).unwrap();
        // Nothing can be written where there is no folder.
        std::fs::remove_dir(path.join("outside")).unwrap();
        let failed = store.commit(one(Table::SnapshotPieces, b"k", b"v"));
        assert!(matches!(failed, Err(StoreError::Write(_))), "{failed:?}");
        for table in [Table::Blocks, Table::SnapshotPieces] {
            assert_eq!(store.get(table, b"k"), Err(StoreError::Poisoned));
            assert_eq!(store.scan(table, b"", 9), Err(StoreError::Poisoned));
            assert_eq!(store.keys(table, b"", 9), Err(StoreError::Poisoned));
            let again = store.commit(one(table, b"k", b"v"));
            assert_eq!(again, Err(StoreError::Poisoned));
        }
        assert_eq!(store.verify(), Err(StoreError::Poisoned));
        drop(store);
        let store = open_store(engine, path).unwrap();
        assert_eq!(store.get(Table::Blocks, b"k").unwrap().unwrap(), b"v");
    });
}

#[test]
fn keys_are_those_of_a_scan() {
    engines(|store| {
        let mut batch = Batch::new();
        for number in [5_u64, 1, 300] {
            batch.put(Table::Replies, number.to_be_bytes(), vec![1; 60_000]);
        }
        batch.put(Table::Absent, *b"x", *b"");
        store.commit(batch).unwrap();
        for (from, limit) in [(0_u64, 9), (2, 9), (5, 1), (301, 9), (0, 0)] {
            let from = from.to_be_bytes();
            let entries = store.scan(Table::Replies, &from, limit).unwrap();
            let keys: Vec<_> = entries.into_iter().map(|(key, _)| key).collect();
            assert_eq!(store.keys(Table::Replies, &from, limit).unwrap(), keys);
        }
        store.verify().unwrap();
    });
}

#[test]
fn what_was_acknowledged_is_kept_and_a_store_is_opened_once() {
    on_disk(|engine, path| {
        for round in 0..3_u8 {
            let store = open_store(engine, path).unwrap();
            for before in 0..round {
                let value = store.get(Table::Blocks, &[before]).unwrap().unwrap();
                assert_eq!(value, vec![before; 70_000]);
            }
            let again = open_store(engine, path).map(|_| ());
            assert!(matches!(again, Err(StoreError::Open { .. })), "{again:?}");
            store
                .commit(one(Table::Blocks, &[round], &vec![round; 70_000]))
                .unwrap();
        }
    });
}

#[test]
fn readers_never_see_half_a_value() {
    on_disk(|engine, path| {
        let store = open_store(engine, path).unwrap();
        store
            .commit(one(Table::Blocks, b"k", &[0; 60_000]))
            .unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 1..30_u8 {
                    let size = 20_000 + usize::from(round % 3) * 80_000;
                    store
                        .commit(one(Table::Blocks, b"k", &vec![round; size]))
                        .unwrap();
                }
            });
            while !writer.is_finished() {
                let value = store.get(Table::Blocks, b"k").unwrap().unwrap();
                assert!(value.iter().all(|byte| *byte == value[0]));
            }
        });
    });
}

/// What one step of a property test does.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(usize, Vec<u8>, Option<usize>)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::collection::vec(0_u8..3, 0..3);
    let size = prop_oneof![
        1 => Just(None),
        3 => (0_usize..200).prop_map(Some),
        1 => (0_usize..200_000).prop_map(Some),
    ];
    let change = (0_usize..Table::ALL.len(), key(), size);
    prop_oneof![
        6 => prop::collection::vec(change, 0..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Does the steps with a store and with a model of it, and compares them whenever `reopen` was asked for and at the end.
fn run(
    steps: &[Step],
    mut store: Arc<dyn Store>,
    reopen: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>,
) {
    let mut model = Model::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Commit(changes) => {
                let mut batch = Batch::new();
                for (table, key, size) in changes {
                    let table = Table::ALL[*table];
                    // What lies outside the engine changes alone.
                    let mut alone = Batch::new();
                    let of = if table.is_outside() {
                        &mut alone
                    } else {
                        &mut batch
                    };
                    match size {
                        Some(size) => {
                            let size = &(*size).min(table.value_bytes_max());
                            let value = vec![(number ^ size) as u8; *size];
                            model.insert((table, key.clone()), value.clone());
                            of.put(table, key.clone(), value);
                        }
                        None => {
                            model.remove(&(table, key.clone()));
                            of.delete(table, key.clone());
                        }
                    }
                    store.commit(alone).unwrap();
                }
                store.commit(batch).unwrap();
            }
            Step::Reopen => {
                compare(store.as_ref(), &model);
                store = reopen(store);
            }
        }
    }
    compare(store.as_ref(), &model);
    compare(reopen(store).as_ref(), &model);
}

fn compare(store: &dyn Store, model: &Model) {
    for table in Table::ALL {
        let expected: Vec<_> = model
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(store.scan(table, b"", 99).unwrap(), expected);
        let after = store.scan(table, &[1], 2).unwrap();
        let after_expected = expected
            .iter()
            .filter(|(key, _)| key[..] >= [1][..])
            .take(2);
        assert!(after.iter().eq(after_expected));
        for (key, value) in &expected {
            assert_eq!(store.get(table, key).unwrap().as_ref(), Some(value));
        }
    }
    store.verify().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn every_engine_does_what_a_map_does(steps in prop::collection::vec(step(), 0..24)) {
        run(&steps, Arc::new(MemoryStore::new()), |store| store);
        on_disk(|engine, path| {
            run(&steps, open_store(engine, path).unwrap(), |store| {
                drop(store);
                open_store(engine, path).unwrap()
            });
        });
    }
}
