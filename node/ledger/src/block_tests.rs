//! Tests of blocks: encodings, limits, commitments and what must hold between a block and its parent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::collection::vec;
use proptest::prelude::*;
use sealbook_primitives::signature::{Signature, SigningKey};

use super::*;
use crate::testing::{network, pin};

const NETWORK: Digest = Digest([1; 32]);

/// A transaction with this envelope.
fn carried(envelope: impl Into<Bytes>) -> Transaction {
    let envelope = envelope.into();
    Transaction::carried(3, &carrier(), &NETWORK, envelope)
}

fn carrier() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

/// A transaction whose signature nobody made, for tests of many or large ones.
fn unsigned(envelope: impl Into<Bytes>) -> Transaction {
    Transaction::new(0, Signature([0; 64]), envelope.into())
}

fn genesis() -> Header {
    Block::genesis(NETWORK, 1_000).header
}

fn sample() -> Block {
    let transactions = vec![
        carried(&b"first"[..]),
        carried(Bytes::new()),
        carried(&b"third"[..]),
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
        transactions in vec(vec(any::<u8>(), 0..80).prop_map(unsigned), 0..6),
        attachments in vec(any_attachment(), 0..6),
        roots in vec(any_digest(), 0..4),
        boundary in any::<bool>(),
    ) -> Block {
        let (network, height, grandparent, executed_height) = parent;
        let parent = Header { network, height, parent: grandparent, executed_height, ..genesis() };
        let block = Block::after(&parent, time_ms, transactions, attachments, roots);
        if boundary {
            let first = crate::testing::network(4).genesis.first_epoch();
            block.with_next_epoch(first)
        } else {
            block
        }
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
    let pins = [
        pin(&block.encode()),
        block.digest().to_string(),
        Attachment::digest_of(b"name").to_string(),
        Block::genesis(NETWORK, 1_000).digest().to_string(),
        carried(&b"name"[..]).leaf().to_string(),
    ];
    assert_eq!(
        pins,
        [
            "9e45d38436a73aea29cea142e2e9bdf24c3b3f6a963a7f6d61ec68ebff7329d0",
            "a3ef83842fcfa28abdf90275a778e582c39921aa26741e952e3172c33270a2c7",
            "f475bbde385e1c7905bb4605be55d08840ea7b4c9ce34e855bdc34bd6fa68860",
            "07b8958ad486072eda36296f6362f567476da223e17a53cbb49a9ba958c09c5c",
            "77570cb282f28ec8478b8a764423dbe148f5f4206946e3335725d504167b6507",
        ]
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
    bytes[0] = 1;
    assert_eq!(decode(&bytes), Err(BlockError::Version(1)));
    let mut block = sample();
    block.header.version = 1;
    assert_eq!(decode(&block.encode()), Err(BlockError::Version(1)));
    assert_eq!(
        block.header.check_follows(&genesis()),
        Err(BlockError::Version(1))
    );
}

#[test]
fn lists_and_their_elements_have_limits() {
    let after = |transactions: Vec<Transaction>, attachments: Vec<Attachment>, roots| {
        Block::after(&genesis(), 1_000, transactions, attachments, roots).check_body()
    };
    let none = Vec::new;
    let many = |count| vec![unsigned(&b"x"[..]); count];
    let sized = |size: usize| vec![unsigned(vec![0; size])];
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
        &|block| block.transactions.push(carried(Bytes::new())),
        "transactions",
    );
    broken(&|block| block.transactions[0].carrier = 4, "transactions");
    broken(
        &|block| block.transactions[0].signature.0[63] ^= 1,
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
        transactions_root(&[unsigned(&b"name"[..])]),
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
    broken(&|one| one.epoch = 1, "another committee epoch");
    broken(&|one| one.committee.0[0] ^= 1, "another committee");
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

#[test]
fn a_boundary_block_leads_into_the_next_epoch() {
    let genesis = network(4).genesis;
    let first = genesis.first_epoch();
    let next = first.next(
        first.validators[1..].to_vec(),
        Vec::new(),
        first.parameters.clone(),
    );
    let before = Header {
        height: first.last_height - 1,
        ..genesis.block().header
    };
    let empty = |parent: &Header| {
        Block::after(
            parent,
            1_000_000_000_000_000,
            Vec::new(),
            Vec::new(),
            Vec::new(),
        )
    };
    let boundary = empty(&before).with_next_epoch(next.clone()).header;
    assert_eq!(boundary.check_follows(&before), Ok(()));
    assert_eq!(
        (boundary.epoch, boundary.committee),
        (0, first.committee_digest())
    );
    let after = empty(&boundary).header;
    assert_eq!(after.check_follows(&boundary), Ok(()));
    assert_eq!((after.epoch, after.committee), (1, next.committee_digest()));
    assert_ne!(after.committee, boundary.committee);
    let stale = Header {
        epoch: 0,
        ..after.clone()
    };
    let broken = |rule| Err(BlockError::Parent(rule));
    assert_eq!(
        stale.check_follows(&boundary),
        broken("another committee epoch")
    );
    let stale = Header {
        committee: boundary.committee,
        ..after.clone()
    };
    assert_eq!(stale.check_follows(&boundary), broken("another committee"));
    let cannot = broken("the next committee epoch cannot be as it is defined");
    let refused = |alter: &dyn Fn(&mut EpochDefinition)| {
        let mut other = next.clone();
        alter(&mut other);
        let header = empty(&before).with_next_epoch(other).header;
        assert_eq!(header.check_follows(&before), cannot);
    };
    refused(&|one| one.epoch = 2);
    refused(&|one| one.first_height += 1);
    refused(&|one| one.validators.clear());
    refused(&|one| one.parameters.block_interval_ms = 0);
    // No block is first and last of an epoch.
    let both = empty(&boundary).with_next_epoch(next.clone()).header;
    assert_eq!(both.check_follows(&boundary), cannot);
}

#[test]
fn carriers_sign_for_an_envelope_in_one_network() {
    let key = carrier().verifying_key();
    let transaction = carried(&b"envelope"[..]);
    assert_eq!(transaction.id(), Transaction::id_of(b"envelope"));
    assert!(transaction.verify_carrier(&NETWORK, &key).is_ok());
    assert!(transaction.verify_carrier(&Digest([2; 32]), &key).is_err());
    let other = SigningKey::from_seed([8; 32]).verifying_key();
    assert!(transaction.verify_carrier(&NETWORK, &other).is_err());
    let (carrier, signature) = (transaction.carrier, transaction.signature);
    let altered = Transaction::new(carrier, signature, Bytes::from_static(b"another"));
    assert!(altered.verify_carrier(&NETWORK, &key).is_err());
    assert_ne!(altered.leaf(), transaction.leaf());
    let mut altered = transaction.clone();
    altered.signature.0[0] ^= 1;
    assert!(altered.verify_carrier(&NETWORK, &key).is_err());
    assert_ne!(altered.leaf(), transaction.leaf());
}
