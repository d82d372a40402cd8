//! The typed ledger over both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use bytes::Bytes;
use sealbook_ledger::{Attachment, Block, FinalityCertificate};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::Signature;
use sealbook_store::{Batch, LedgerStore, MemoryStore, SledStore, Store, StoreError, Table};

fn chain(length: u64) -> Vec<Block> {
    let mut blocks = vec![Block::genesis(hash("test network", &[]), 1)];
    for height in 1..length {
        let parent = &blocks.last().unwrap().header;
        let transactions = vec![Bytes::from(vec![height as u8; 600])];
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
