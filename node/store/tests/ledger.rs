//! The typed ledger over both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use bytes::Bytes;
use sealbook_ledger::{Attachment, Block, FinalityCertificate, Transaction};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::Signature;
use sealbook_store::{
    Batch, Damage, LedgerStore, MAX_REPLY_BYTES, MemoryStore, RedbStore, SledStore, Store,
    StoreError, Table,
};

fn transaction(byte: u8) -> Transaction {
    Transaction::new(1, Signature([byte; 64]), Bytes::from(vec![byte; 600]))
}

fn chain(length: u64) -> Vec<Block> {
    let mut blocks = vec![Block::genesis(hash("test network", &[]), 1)];
    for height in 1..length {
        let parent = &blocks.last().unwrap().header;
        let transactions = vec![transaction(height as u8), transaction(100)];
        let attachments = vec![Attachment::Present(Bytes::from(vec![height as u8; 700]))];
        blocks.push(Block::after(
            parent,
            height,
            transactions,
            attachments,
            Vec::new(),
        ));
    }
    blocks
}

fn certificate(block: &Block) -> FinalityCertificate {
    let signatures = vec![Signature([7; 64]); 3];
    FinalityCertificate::new(
        (0, block.height() + 1, block.height()),
        block.digest(),
        vec![0, 1, 3],
        signatures,
    )
}

fn engines(test: impl Fn(Arc<dyn Store>)) {
    test(Arc::new(MemoryStore::new()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(SledStore::open(directory.path()).unwrap()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(RedbStore::open(directory.path()).unwrap()));
}

#[test]
fn blocks_and_certificates_come_back_also_after_opening_again() {
    engines(|store| {
        let blocks = chain(6);
        let ledger = LedgerStore::open(store.clone()).unwrap();
        assert_eq!(ledger.latest_height(), None);
        for block in &blocks[..4] {
            ledger.put_block(block).unwrap();
        }
        ledger
            .put_final(&[&blocks[5]], &[(5, &certificate(&blocks[5]))])
            .unwrap();
        ledger.put_certificate(2, &certificate(&blocks[2])).unwrap();
        ledger.put_metadata("resume", b"x").unwrap();
        for ledger in [ledger, LedgerStore::open(store.clone()).unwrap()] {
            assert_eq!(ledger.block(3).unwrap().unwrap(), blocks[3]);
            assert_eq!(ledger.block(4).unwrap(), None);
            assert_eq!(
                ledger
                    .block_by_digest(&blocks[5].digest())
                    .unwrap()
                    .unwrap(),
                blocks[5]
            );
            assert_eq!(ledger.block_by_digest(&Digest::ZERO).unwrap(), None);
            assert_eq!(
                ledger.certificate(2).unwrap().unwrap(),
                certificate(&blocks[2])
            );
            assert_eq!(ledger.certificate(3).unwrap(), None);
            assert_eq!(ledger.certified_at_or_after(3), Some(5));
            assert_eq!(ledger.certified_at_or_after(6), None);
            assert_eq!(
                (ledger.latest_height(), ledger.complete_height()),
                (Some(5), Some(3))
            );
            assert_eq!(ledger.block_heights().missing(0, 9), [4]);
            assert_eq!(ledger.metadata("resume").unwrap().unwrap(), b"x");
        }
    });
}

#[test]
fn the_first_block_of_a_height_stays_and_another_is_refused() {
    engines(|store| {
        let ledger = LedgerStore::open(store).unwrap();
        let blocks = chain(3);
        ledger
            .put_final(&[&blocks[0], &blocks[1], &blocks[2]], &[])
            .unwrap();
        ledger.put_block(&blocks[1]).unwrap();
        let other = Block::after(&blocks[0].header, 99, Vec::new(), Vec::new(), Vec::new());
        assert_eq!(
            ledger.put_block(&other),
            Err(StoreError::Conflict {
                what: "block",
                height: 1
            })
        );
        assert_eq!(ledger.block(1).unwrap().unwrap(), blocks[1]);
    });
}

#[test]
fn an_erased_attachment_leaves_its_hash_and_does_not_return() {
    engines(|store| {
        let ledger = LedgerStore::open(store).unwrap();
        let blocks = chain(2);
        ledger.put_block(&blocks[1]).unwrap();
        let digest = blocks[1].attachments[0].digest();
        ledger.erase_attachments(&[digest]).unwrap();
        ledger.put_block(&blocks[1]).unwrap();
        let read = ledger.block(1).unwrap().unwrap();
        assert_eq!(read.attachments, [Attachment::Erased(digest)]);
        assert_eq!(read.digest(), blocks[1].digest());
        assert_eq!(ledger.put_attachment(&[1; 700]).unwrap(), digest);
        assert_eq!(ledger.block(1).unwrap().unwrap(), blocks[1]);
    });
}

#[test]
fn damage_and_loss_name_the_height() {
    engines(|store| {
        let ledger = LedgerStore::open(store.clone()).unwrap();
        let blocks = chain(4);
        for block in &blocks {
            ledger.put_block(block).unwrap();
        }
        let mut batch = Batch::new();
        batch.delete(Table::Blocks, 1_u64.to_be_bytes());
        batch.put(Table::Blocks, 2_u64.to_be_bytes(), *b"nonsense");
        let third = store
            .get(Table::Blocks, &3_u64.to_be_bytes())
            .unwrap()
            .unwrap();
        batch.put(Table::Blocks, 0_u64.to_be_bytes(), third);
        store.commit(batch).unwrap();
        assert_eq!(
            ledger.block(1),
            Err(StoreError::MissingAt {
                what: "block",
                height: 1
            })
        );
        assert!(matches!(
            ledger.block(2),
            Err(StoreError::DamagedAt { height: 2, .. })
        ));
        assert!(matches!(
            ledger.block(0),
            Err(StoreError::DamagedAt { height: 0, .. })
        ));
        assert_eq!(ledger.block(3).unwrap().unwrap(), blocks[3]);
    });
}

#[test]
fn heights_beyond_one_bitmap_are_remembered() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = LedgerStore::open(store.clone()).unwrap();
    let block = &chain(2)[1];
    let heights = [0, 8191, 8192, 20_000, u64::from(u32::MAX) * 8];
    for height in heights {
        ledger.put_certificate(height, &certificate(block)).unwrap();
    }
    let again = LedgerStore::open(store).unwrap();
    let found: Vec<u64> = again
        .certificate_heights()
        .ranges_from(0)
        .flat_map(|(first, last)| first..=last)
        .collect();
    assert_eq!(found, heights);
}

#[test]
fn a_transaction_leads_to_the_first_block_that_lists_it() {
    engines(|store| {
        let ledger = LedgerStore::open(store.clone()).unwrap();
        let blocks = chain(6);
        let copied = transaction(100).id();
        ledger.put_final(&[&blocks[5], &blocks[4]], &[]).unwrap();
        assert_eq!(ledger.height_of_transaction(&copied).unwrap(), Some(4));
        ledger.put_final(&[&blocks[2], &blocks[3]], &[]).unwrap();
        assert_eq!(ledger.height_of_transaction(&copied).unwrap(), Some(2));
        for height in [2, 3, 4, 5] {
            let id = blocks[height].transactions[0].id();
            let found = ledger.height_of_transaction(&id).unwrap();
            assert_eq!(found, Some(height as u64));
        }
        assert_eq!(ledger.height_of_transaction(&Digest::ZERO).unwrap(), None);
        let report = ledger.check(&mut |_, _| ()).unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!((report.blocks, report.transactions), (4, 5));
    });
}

#[test]
fn replies_are_found_by_transaction_and_stage() {
    engines(|store| {
        let ledger = LedgerStore::open(store.clone()).unwrap();
        let id = |number: u32| hash("test reply", &[&number.to_be_bytes()]);
        let text = |number: u32, stage: u8| vec![number as u8 ^ stage; 1 + number as usize * 700];
        let replies = |numbers: std::ops::Range<u32>, stage: u8| -> Vec<_> {
            numbers
                .map(|number| (id(number), stage, text(number, stage)))
                .collect()
        };
        ledger.put_replies(7, &replies(0..40, 0)).unwrap();
        ledger.put_replies(7, &replies(40..60, 0)).unwrap();
        let mut both = replies(0..60, 1);
        both.extend(replies(60..61, 0));
        ledger.put_replies(7, &both).unwrap();
        ledger.put_replies(8, &replies(61..62, 0)).unwrap();
        ledger.put_replies(8, &[]).unwrap();
        // A copy in a later block does not hide the first.
        ledger
            .put_replies(9, &[(id(3), 0, b"copy".to_vec())])
            .unwrap();
        for ledger in [ledger, LedgerStore::open(store.clone()).unwrap()] {
            for number in 0..62 {
                assert_eq!(ledger.reply(&id(number), 0).unwrap(), Some(text(number, 0)));
                let second = (number < 60).then(|| text(number, 1));
                assert_eq!(ledger.reply(&id(number), 1).unwrap(), second);
                assert_eq!(ledger.reply(&id(number), 2).unwrap(), None);
            }
            assert_eq!(ledger.reply(&id(62), 0).unwrap(), None);
            let report = ledger.check(&mut |_, _| ()).unwrap();
            assert!(report.is_intact(), "{report:?}");
            assert_eq!((report.replies, report.transactions), (123, 62));
        }
        let keys = store.keys(Table::Replies, b"", 999).unwrap();
        assert!(keys.len() < 40, "few large values: {}", keys.len());
        let ledger = LedgerStore::open(store).unwrap();
        ledger
            .put_replies(7, &[(id(3), 0, b"new".to_vec())])
            .unwrap();
        assert_eq!(ledger.reply(&id(3), 0).unwrap().unwrap(), b"new");
        let large = vec![0; MAX_REPLY_BYTES + 1];
        assert!(ledger.put_replies(7, &[(id(3), 0, large)]).is_err());
        let largest = vec![0; MAX_REPLY_BYTES];
        ledger.put_replies(7, &[(id(3), 0, largest)]).unwrap();
    });
}

#[test]
fn a_snapshot_counts_once_its_manifest_is_there_and_old_ones_go() {
    engines(|store| {
        let ledger = LedgerStore::open(store.clone()).unwrap();
        for height in [100, 200, 300] {
            for index in 0..3 {
                let piece = vec![index as u8; 100_000];
                ledger.put_snapshot_piece(height, index, &piece).unwrap();
            }
        }
        assert!(ledger.put_snapshot_manifest(200, 4, b"four").is_err());
        ledger.put_snapshot_manifest(300, 3, b"third").unwrap();
        ledger.put_snapshot_manifest(200, 3, b"second").unwrap();
        for ledger in [ledger, LedgerStore::open(store.clone()).unwrap()] {
            assert_eq!(ledger.snapshot_heights().unwrap(), [200, 300]);
            assert_eq!(ledger.snapshot_manifest(100).unwrap(), None);
            assert_eq!(ledger.snapshot_manifest(200).unwrap().unwrap(), b"second");
            assert!(ledger.has_snapshot_piece(100, 2).unwrap());
            assert!(!ledger.has_snapshot_piece(100, 3).unwrap());
            assert_eq!(
                ledger.snapshot_piece(300, 2).unwrap().unwrap(),
                vec![2; 100_000]
            );
            assert_eq!(ledger.snapshot_piece(300, 3).unwrap(), None);
            let report = ledger.check(&mut |_, _| ()).unwrap();
            assert!(report.is_intact() && report.snapshots == 2, "{report:?}");
        }
        let ledger = LedgerStore::open(store.clone()).unwrap();
        ledger.drop_incomplete_snapshots_before(100).unwrap();
        assert!(ledger.has_snapshot_piece(100, 0).unwrap());
        ledger.drop_incomplete_snapshots_before(300).unwrap();
        assert!(!ledger.has_snapshot_piece(100, 0).unwrap());
        assert_eq!(ledger.snapshot_heights().unwrap(), [200, 300]);
        assert!(ledger.has_snapshot_piece(200, 2).unwrap());
        ledger.drop_snapshots_before(300).unwrap();
        assert_eq!(ledger.snapshot_heights().unwrap(), [300]);
        assert_eq!(store.keys(Table::SnapshotPieces, b"", 99).unwrap().len(), 3);
        let mut batch = Batch::new();
        let last = store
            .keys(Table::SnapshotPieces, b"", 99)
            .unwrap()
            .remove(2);
        batch.delete(Table::SnapshotPieces, last);
        store.commit(batch).unwrap();
        let report = ledger.check(&mut |_, _| ()).unwrap();
        assert_eq!(report.damages.len(), 1, "{report:?}");
    });
}

#[test]
fn a_ledger_may_begin_above_block_0() {
    engines(|store| {
        let ledger = LedgerStore::open(store.clone()).unwrap();
        let blocks = chain(9);
        assert_eq!((ledger.floor(), ledger.complete_height()), (0, None));
        ledger
            .put_final(&[&blocks[4], &blocks[5], &blocks[8]], &[])
            .unwrap();
        assert_eq!(ledger.complete_height(), None);
        assert_eq!(ledger.missing_blocks(9), [0, 1, 2, 3, 6, 7]);
        ledger.set_floor(4).unwrap();
        for ledger in [ledger, LedgerStore::open(store.clone()).unwrap()] {
            assert_eq!((ledger.floor(), ledger.complete_height()), (4, Some(5)));
            assert_eq!(ledger.missing_blocks(9), [6, 7]);
            ledger.put_final(&[&blocks[2]], &[]).unwrap();
            assert_eq!(ledger.complete_height(), Some(5));
            assert!(ledger.check(&mut |_, _| ()).unwrap().is_intact());
        }
        let mut batch = Batch::new();
        batch.put(Table::Facts, *b"floor", *b"nonsense");
        store.commit(batch).unwrap();
        assert!(LedgerStore::open(store).unwrap_err().is_damage());
    });
}

/// A ledger with something in every table.
fn full_ledger(store: Arc<dyn Store>) -> LedgerStore {
    let ledger = LedgerStore::open(store).unwrap();
    let blocks = chain(6);
    let all: Vec<&Block> = blocks.iter().collect();
    let certificates: Vec<_> = blocks.iter().map(certificate).collect();
    let numbered: Vec<_> = (0_u64..).zip(&certificates).collect();
    ledger.put_final(&all, &numbered).unwrap();
    ledger
        .erase_attachments(&[blocks[2].attachments[0].digest()])
        .unwrap();
    let listed = blocks[3].transactions.iter();
    let replies: Vec<_> = listed.map(|one| (one.id(), 0, vec![9; 300])).collect();
    ledger.put_replies(3, &replies).unwrap();
    ledger.put_snapshot_piece(4, 0, &[5; 5_000]).unwrap();
    ledger.put_snapshot_manifest(4, 1, b"manifest").unwrap();
    ledger.set_floor(0).unwrap();
    ledger.put_metadata("name", b"value").unwrap();
    ledger
}

#[test]
fn a_check_finds_every_lost_entry_and_every_changed_one() {
    let original = Arc::new(MemoryStore::new());
    let report = full_ledger(original.clone()).check(&mut |_, _| ()).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(
        (report.blocks, report.certificates, report.attachments),
        (6, 6, 4)
    );
    assert_eq!(
        (report.transactions, report.replies, report.snapshots),
        (6, 2, 1)
    );
    for table in Table::ALL {
        for (key, value) in original.scan(table, b"", 99).unwrap() {
            for change in ["lost", "cut", "changed"] {
                let store = Arc::new(MemoryStore::new());
                let ledger = full_ledger(store.clone());
                let mut batch = Batch::new();
                let mut changed = value.clone();
                match change {
                    "lost" => batch.delete(table, key.clone()),
                    "cut" if value.is_empty() => continue,
                    "cut" => batch.put(table, key.clone(), value[..value.len() - 1].to_vec()),
                    _ => {
                        match changed.last_mut() {
                            Some(byte) => *byte ^= 1,
                            None => changed.push(1),
                        }
                        batch.put(table, key.clone(), changed);
                    }
                }
                store.commit(batch).unwrap();
                // Sealed bytes and the node's own words say nothing of themselves: the engine's checksum does. And
                // nobody knows that a whole part of replies, a piece without its manifest or a word was ever there.
                let opaque = matches!(
                    table,
                    Table::Replies | Table::SnapshotPieces | Table::Snapshots | Table::Metadata
                );
                let unknown = match change {
                    "lost" => {
                        matches!(
                            table,
                            Table::Replies | Table::Snapshots | Table::Metadata | Table::Facts
                        )
                    }
                    _ => opaque && !(table == Table::Replies && change == "cut"),
                };
                // A signature's last byte, or another floor: only keys of the committee tell, and the engine.
                let signed =
                    matches!(table, Table::Certificates | Table::Facts) && change == "changed";
                if unknown || signed {
                    continue;
                }
                let found =
                    |ledger: &LedgerStore| !ledger.check(&mut |_, _| ()).unwrap().is_intact();
                assert!(found(&ledger), "{change} {table:?} {key:?}");
                match LedgerStore::open(store) {
                    Ok(again) => assert!(found(&again), "{change} {table:?} {key:?}"),
                    Err(error) => assert!(error.is_damage()),
                }
            }
        }
    }
}

#[test]
fn a_check_names_what_it_finds() {
    let store = Arc::new(MemoryStore::new());
    let ledger = full_ledger(store.clone());
    let blocks = chain(6);
    let attachment = blocks[1].attachments[0].digest();
    let mut batch = Batch::new();
    batch.delete(Table::Blocks, 2_u64.to_be_bytes());
    batch.put(
        Table::Certificates,
        3_u64.to_be_bytes(),
        certificate(&blocks[4]).encode(),
    );
    batch.delete(Table::Attachments, *attachment.as_bytes());
    batch.put(Table::Transactions, [7; 32], 4_u64.to_be_bytes());
    batch.put(Table::Digests, [8; 32], 4_u64.to_be_bytes());
    store.commit(batch).unwrap();
    let mut heard = Vec::new();
    let report = ledger
        .check(&mut |done, all| heard.push((done, all)))
        .unwrap();
    assert_eq!(heard, (1..=6).map(|done| (done, 6)).collect::<Vec<_>>());
    let text: Vec<String> = report.damages.iter().map(Damage::to_string).collect();
    assert!(
        text.contains(&"block 2: it is gone".to_owned()),
        "{text:#?}"
    );
    let about = "certificate of block 3: it is about another block".to_owned();
    assert!(text.contains(&about), "{text:#?}");
    let gone = format!("attachment {attachment}: it is gone, and nobody erased it");
    assert!(text.contains(&gone), "{text:#?}");
    for (table, byte) in [("transactions", "07"), ("digests", "08")] {
        let stray = format!(
            "entry `{}` of table {table}: it does not belong to block 4",
            byte.repeat(32)
        );
        assert!(text.contains(&stray), "{text:#?}");
    }
    assert_eq!(report.damages_left_off, 0);
}

#[test]
fn what_is_on_disk_keeps_its_form() {
    let store = Arc::new(MemoryStore::new());
    let ledger = LedgerStore::open(store.clone()).unwrap();
    let ids = [Digest([1; 32]), Digest([2; 32])];
    ledger
        .put_replies(5, &[(ids[0], 1, vec![3; 9]), (ids[1], 2, vec![4; 9])])
        .unwrap();
    ledger.put_snapshot_piece(4, 1, &[5; 50]).unwrap();
    ledger.put_snapshot_piece(4, 0, &[6; 50]).unwrap();
    ledger.put_snapshot_manifest(4, 2, b"manifest").unwrap();
    ledger.set_floor(77).unwrap();
    ledger.erase_attachments(&ids).unwrap();
    ledger.put_metadata("name", b"value").unwrap();
    let mut hasher = sealbook_primitives::hash::Hasher::new("sealbook 2026 test pin v1");
    for table in Table::ALL {
        for (key, value) in store.scan(table, b"", 99).unwrap() {
            hasher.update(&[table.prefix()]);
            hasher.update(&key);
            hasher.update(&value);
        }
    }
    let pinned = "5f07ffd21e65a8077074edbf3b22908286be078a178fe990fb009d1f783fcc5a";
    assert_eq!(hasher.finish().to_string(), pinned);
}
