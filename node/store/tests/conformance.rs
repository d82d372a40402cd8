//! What every storage engine must do, run over each of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use proptest::prelude::*;
use sealbook_store::{
    Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryStore, SledStore, Store, StoreError, Table,
};

fn engines(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::new());
    let directory = tempfile::tempdir().unwrap();
    test(&SledStore::open(directory.path()).unwrap());
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
        store
            .commit(one(Table::Blocks, &[0; MAX_KEY_BYTES], b"v"))
            .unwrap();
    });
}

#[test]
fn sled_keeps_what_it_acknowledged_and_is_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    for round in 0..3_u8 {
        let store = SledStore::open(&path).unwrap();
        for before in 0..round {
            let value = store.get(Table::Blocks, &[before]).unwrap().unwrap();
            assert_eq!(value, vec![before; 70_000]);
        }
        assert!(matches!(
            SledStore::open(&path),
            Err(StoreError::Open { .. })
        ));
        store
            .commit(one(Table::Blocks, &[round], &vec![round; 70_000]))
            .unwrap();
    }
}

#[test]
fn readers_never_see_half_a_value() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(directory.path()).unwrap());
    store
        .commit(one(Table::Blocks, b"k", &[0; 60_000]))
        .unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..30_u8 {
                let size = 20_000 + usize::from(round % 3) * 40_000;
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
}

/// A table, a key, the size of a value, and whether it is put or deleted.
fn step() -> impl Strategy<Value = (usize, Vec<u8>, usize, bool)> {
    (
        0_usize..6,
        prop::collection::vec(0_u8..3, 0..3),
        0_usize..80_000,
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn engines_agree(steps in prop::collection::vec(step(), 0..24)) {
        let directory = tempfile::tempdir().unwrap();
        let disk = SledStore::open(directory.path()).unwrap();
        let memory = MemoryStore::new();
        for (table, key, size, put) in steps {
            let mut batch = Batch::new();
            if put {
                batch.put(Table::ALL[table], key, vec![size as u8; size]);
            } else {
                batch.delete(Table::ALL[table], key);
            }
            disk.commit(batch.clone()).unwrap();
            memory.commit(batch).unwrap();
        }
        for table in Table::ALL {
            let (on_disk, in_memory) = (disk.scan(table, b"", 99), memory.scan(table, b"", 99));
            prop_assert_eq!(on_disk.unwrap(), in_memory.unwrap());
        }
    }
}
