//! Tests of blocks: encodings, limits, commitments and what must hold between a block and its parent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::pin;

const NETWORK: Digest = Digest([1; 32]);

fn genesis() -> Header {
    Block::genesis(NETWORK, 1_000).header
}

fn sample() -> Block {
    let transactions = vec![
        Bytes::from_static(b"first"),
        Bytes::new(),
        Bytes::from_static(b"third"),
    ];
    let attachments = vec![
        Attachment::Present(Bytes::from_static(b"name")),
        Attachment::Erased(Digest([9; 32])),
    ];
    Block::after(
        &with_roots(2),
        1_500,
        transactions,
        attachments,
        vec![Digest([5; 32])],
    )
}

/// A header at height 3 that commits to the first `count` roots.
fn with_roots(count: u64) -> Header {
    Header {
        height: 3,
        executed_height: count,
        roots: Vec::new(),
        ..genesis()
    }
}

fn decode(bytes: &[u8]) -> Result<Block, BlockError> {
    Block::decode(bytes, MAX_BLOCK_BYTES)
}

prop_compose! {
    fn any_digest()(bytes in any::<[u8; 32]>()) -> Digest {
        Digest(bytes)
    }
}

fn any_attachment() -> impl Strategy<Value = Attachment> {
    prop_oneof![
        vec(any::<u8>(), 0..60).prop_map(|bytes| Attachment::Present(bytes.into())),
        any_digest().prop_map(Attachment::Erased),
    ]
}

prop_compose! {
    fn any_block()(
        parent in (any_digest(), 0..u64::MAX, any_digest(), any::<u64>()),
        time_ms in any::<u64>(),
        transactions in vec(vec(any::<u8>(), 0..80).prop_map(Bytes::from), 0..6),
        attachments in vec(any_attachment(), 0..6),
        roots in vec(any_digest(), 0..4),
    ) -> Block {
        let (network, height, grandparent, executed_height) = parent;
        let parent = Header { network, height, parent: grandparent, executed_height, ..genesis() };
        Block::after(&parent, time_ms, transactions, attachments, roots)
    }
}

proptest! {
    #[test]
    fn blocks_are_read_as_they_were_written(block in any_block()) {
        let bytes = block.encode();
        prop_assert_eq!(bytes.len(), block.encoded_length());
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(read.digest(), block.digest());
        prop_assert_eq!(read, block);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(block) = decode(&bytes) {
            prop_assert_eq!(block.encode(), bytes);
        }
    }

    #[test]
    fn a_damaged_block_is_refused_or_another(block in any_block(), place: prop::sample::Index, with in 1..=255_u8) {
        let mut bytes = block.encode();
        let index = place.index(bytes.len());
        bytes[index] ^= with;
        if let Ok(other) = decode(&bytes) {
            prop_assert_ne!(other.digest(), block.digest());
        }
    }

    #[test]
    fn erasing_attachments_changes_no_digest(block in any_block()) {
        let mut erased = block.clone();
        for attachment in &mut erased.attachments {
            *attachment = Attachment::Erased(attachment.digest());
        }
        prop_assert_eq!(erased.digest(), block.digest());
        prop_assert_eq!(decode(&erased.encode()).unwrap(), erased);
    }
}

#[test]
fn encodings_are_pinned() {
    let block = sample();
    assert_eq!(
        pin(&block.encode()),
        "b29899394665eb62202b6ec16b7f7216490d4f741b5c9c3e1435fe21d80f67d3"
    );
    assert_eq!(
        block.digest().to_string(),
        "331cd40355e8eeeb87aea02cbdf55c0b78244f8bdeb324be705c91a13cd0a173"
    );
    assert_eq!(
        Attachment::digest_of(b"name").to_string(),
        "f475bbde385e1c7905bb4605be55d08840ea7b4c9ce34e855bdc34bd6fa68860"
    );
    let genesis = Block::genesis(NETWORK, 1_000);
    assert_eq!(
        genesis.digest().to_string(),
        "fcdf6ef728b6443783674f11a4f403f28770186293bf6a55e61093a0f907fe6f"
    );
}

#[test]
fn every_flipped_bit_is_refused_or_another_block() {
    let block = sample();
    let bytes = block.encode();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[index] ^= 1 << bit;
            if let Ok(other) = decode(&altered) {
                assert_ne!(other.digest(), block.digest(), "byte {index} bit {bit}");
            }
        }
    }
}

#[test]
fn truncated_and_extended_blocks_are_refused() {
    let bytes = sample().encode();
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]), Err(BlockError::Malformed));
    }
    assert_eq!(
        decode(&[&bytes[..], &[0]].concat()),
        Err(BlockError::Malformed)
    );
    let (size, limit) = (bytes.len(), bytes.len() - 1);
    assert_eq!(
        Block::decode(&bytes, limit),
        Err(BlockError::TooLarge { size, limit })
    );
    assert!(Block::decode(&bytes, size).is_ok());
}

#[test]
fn versions_are_checked() {
    let mut bytes = sample().encode();
    bytes[0] = 2;
    assert_eq!(decode(&bytes), Err(BlockError::Version(2)));
    let mut block = sample();
    block.header.version = 2;
    assert_eq!(decode(&block.encode()), Err(BlockError::Version(2)));
    assert_eq!(
        block.header.check_follows(&genesis()),
        Err(BlockError::Version(2))
    );
}

#[test]
fn lists_and_their_elements_have_limits() {
    let after = |transactions: Vec<Bytes>, attachments: Vec<Attachment>, roots| {
        Block::after(&genesis(), 1_000, transactions, attachments, roots).check_body()
    };
    let none = Vec::new;
    let many = |count| vec![Bytes::from_static(b"x"); count];
    let sized = |size: usize| vec![Bytes::from(vec![0; size])];
    let erased = |count| vec![Attachment::Erased(Digest::ZERO); count];
    let named = |size: usize| vec![Attachment::Present(Bytes::from(vec![0; size]))];
    assert_eq!(after(many(MAX_TRANSACTIONS), Vec::new(), none()), Ok(()));
    let over = Err(BlockError::Limit("transactions"));
    assert_eq!(after(many(MAX_TRANSACTIONS + 1), Vec::new(), none()), over);
    assert_eq!(
        after(sized(MAX_TRANSACTION_BYTES), Vec::new(), none()),
        Ok(())
    );
    assert_eq!(
        after(sized(MAX_TRANSACTION_BYTES + 1), Vec::new(), none()),
        over
    );
    let over = Err(BlockError::Limit("attachments"));
    assert_eq!(after(Vec::new(), erased(MAX_ATTACHMENTS), none()), Ok(()));
    assert_eq!(after(Vec::new(), erased(MAX_ATTACHMENTS + 1), none()), over);
    assert_eq!(
        after(Vec::new(), named(MAX_ATTACHMENT_BYTES), none()),
        Ok(())
    );
    assert_eq!(
        after(Vec::new(), named(MAX_ATTACHMENT_BYTES + 1), none()),
        over
    );
    let over = Err(BlockError::Limit("state roots"));
    assert_eq!(
        after(Vec::new(), Vec::new(), vec![Digest::ZERO; MAX_ROOTS]),
        Ok(())
    );
    assert_eq!(
        after(Vec::new(), Vec::new(), vec![Digest::ZERO; MAX_ROOTS + 1]),
        over
    );
}

#[test]
fn the_header_commits_to_order_and_place() {
    let broken = |alter: &dyn Fn(&mut Block), part| {
        let mut block = sample();
        alter(&mut block);
        assert_eq!(block.check_body(), Err(BlockError::Commitment(part)));
        assert_eq!(decode(&block.encode()), Err(BlockError::Commitment(part)));
    };
    broken(&|block| block.transactions.swap(0, 2), "transactions");
    broken(&|block| drop(block.transactions.remove(1)), "transactions");
    broken(
        &|block| block.transactions.push(Bytes::new()),
        "transactions",
    );
    broken(&|block| block.attachments.swap(0, 1), "attachments");
    broken(&|block| drop(block.attachments.pop()), "attachments");
    broken(
        &|block| block.attachments[1] = block.attachments[0].clone(),
        "attachments",
    );
    // The bytes of an attachment are no transaction and the other way round.
    assert_ne!(
        transactions_root(&[Bytes::from_static(b"name")]),
        attachments_root(&[Attachment::Present(Bytes::from_static(b"name"))])
    );
}

#[test]
fn a_block_follows_its_parent() {
    let parent = genesis();
    let first = Block::after(&parent, 1_000, Vec::new(), Vec::new(), Vec::new()).header;
    assert_eq!(first.check_follows(&parent), Ok(()));
    let second = Block::after(&first, 1_001, Vec::new(), Vec::new(), vec![Digest([2; 32])]).header;
    assert_eq!(second.check_follows(&first), Ok(()));
    let broken = |alter: &dyn Fn(&mut Header), rule| {
        let mut header = second.clone();
        alter(&mut header);
        assert_eq!(header.check_follows(&first), Err(BlockError::Parent(rule)));
    };
    broken(&|one| one.network.0[0] ^= 1, "another network");
    broken(&|one| one.height = 3, "height is not the next");
    broken(&|one| one.height = 1, "height is not the next");
    broken(&|one| one.parent.0[31] ^= 1, "parent digest differs");
    broken(&|one| one.time_ms = 999, "time goes backwards");
    broken(
        &|one| one.executed_height = 0,
        "state roots do not continue the parent's",
    );
    broken(
        &|one| one.executed_height = 2,
        "state roots do not continue the parent's",
    );
    broken(
        &|one| one.executed_height = u64::MAX,
        "state roots do not continue the parent's",
    );
    broken(
        &|one| one.roots.clear(),
        "state roots do not continue the parent's",
    );
    let early = |one: &mut Header| {
        one.roots.push(Digest::ZERO);
        one.executed_height = 2;
    };
    broken(&early, "state root of a block that is not yet final");
    assert!(second.check_follows(&parent).is_err());
    assert!(first.check_follows(&second).is_err());
    let mut last = first.clone();
    last.height = u64::MAX;
    let beyond = Header {
        parent: last.digest(),
        ..last.clone()
    };
    assert_eq!(
        beyond.check_follows(&last),
        Err(BlockError::Parent("height is not the next"))
    );
    let over = Header {
        roots: vec![Digest::ZERO; MAX_ROOTS + 1],
        ..second
    };
    assert_eq!(
        over.check_follows(&first),
        Err(BlockError::Limit("state roots"))
    );
}

#[test]
fn committed_roots_continue_without_gap_or_overlap() {
    let root = |height: u64| Digest([height as u8; 32]);
    let mut header = genesis();
    let mut committed = Vec::new();
    // Some blocks commit to nothing, some to several heights at once, as execution falls behind and catches up.
    for count in [0, 0, 1, 1, 0, 0, 3, 1, 0, 2] {
        let first = header.executed_height + 1;
        let roots = (first..first + count).map(root).collect();
        let next = Block::after(&header, header.time_ms, Vec::new(), Vec::new(), roots).header;
        assert_eq!(next.check_follows(&header), Ok(()));
        committed.extend(next.committed_roots());
        header = next;
    }
    let expected: Vec<_> = (1..=header.executed_height)
        .map(|height| (height, root(height)))
        .collect();
    assert_eq!(committed, expected);
    assert_eq!(genesis().committed_roots().count(), 0);
}
