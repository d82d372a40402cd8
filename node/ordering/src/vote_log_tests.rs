#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use rand_core::{TryCryptoRng, TryRng};
use sealbook_ledger::{Block, EPOCH_VERSION, Opening, Parameters, ValidatorSeat};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_store::MemoryStore;

use super::*;
use crate::committee::engine_signer;

const NETWORK: Digest = Digest([1; 32]);
const LATE: Option<u64> = Some(1_001);
const EARLY: Option<u64> = Some(1_000);

/// Counts up.
struct Counting(u8);

impl TryRng for Counting {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0 += 1;
        Ok(u32::from(self.0))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.try_next_u32().map(u64::from)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0 += 1;
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

struct Node {
    mark: MemoryMark,
    store: Arc<LedgerStore>,
    key: [u8; 32],
}

impl Node {
    fn new() -> Self {
        Self {
            mark: MemoryMark::default(),
            store: Arc::new(LedgerStore::open(Arc::new(MemoryStore::new())).unwrap()),
            key: *SigningKey::from_seed([9; 32]).verifying_key().as_bytes(),
        }
    }

    fn founded(store: bool) -> Self {
        let node = Self::new();
        let tied = store.then_some(node.store.as_ref());
        found(&node.mark, tied, (&NETWORK, &node.key), &[7; 16]).unwrap();
        node
    }

    fn seat(&self, epoch: u64, began_ms: Option<u64>) -> Result<Seat, OrderingError> {
        let seed = Secret32::new([9; 32]);
        let voting = Voting {
            mark: Box::new(self.mark.clone()),
            store: self.store.clone(),
            network: NETWORK,
            vote_key: self.key,
            signer: engine_signer(&seed).unwrap(),
            observe_only: false,
            certain_after_ms: 1_000,
        };
        let definition = EpochDefinition {
            version: EPOCH_VERSION,
            epoch,
            first_height: epoch * 20,
            last_height: epoch * 20 + 19,
            validators: vec![ValidatorSeat {
                name: "node".to_owned(),
                vote_key: SigningKey::from_seed([9; 32]).verifying_key(),
                module_key: Vec::new(),
                address: "127.0.0.1:1".to_owned(),
            }],
            observers: Vec::new(),
            parameters: Parameters::default(),
            opening: Opening {
                key_epoch: 0,
                public_key: vec![1],
                since_height: 0,
                record: sealbook_primitives::hash::Digest::ZERO,
            },
        };
        let random = &mut Counting(u8::try_from(epoch).unwrap());
        voting.seat(&definition, began_ms, random)
    }
}

fn lost(votes_from: Option<u64>) -> Seat {
    Seat::Observer(ObserverReason::VotesLost { votes_from })
}

#[test]
fn a_founded_node_votes_from_the_first_epoch_on() {
    for store in [false, true] {
        let node = Node::founded(store);
        assert_eq!(node.seat(0, None).unwrap(), Seat::Validator);
        assert_eq!(node.seat(0, None).unwrap(), Seat::Validator);
        assert_eq!(node.seat(3, EARLY).unwrap(), Seat::Validator);
        // The votes of epoch 0 may be gone by now.
        assert_eq!(node.seat(0, None).unwrap(), lost(Some(3)));
        assert_eq!(node.seat(3, EARLY).unwrap(), Seat::Validator);
        found(&node.mark, None, (&NETWORK, &node.key), &[8; 16]).unwrap_err();
    }
}

#[test]
fn a_node_without_a_mark_votes_in_epochs_that_began_after_its_start() {
    let node = Node::new();
    assert_eq!(node.seat(0, None).unwrap(), lost(None));
    assert_eq!(node.seat(1, EARLY).unwrap(), lost(None));
    assert_eq!(node.mark.read().unwrap(), None);
    assert_eq!(node.seat(2, LATE).unwrap(), Seat::Validator);
    assert_eq!(node.seat(2, EARLY).unwrap(), Seat::Validator);
    assert_eq!(node.seat(1, LATE).unwrap(), lost(Some(2)));
}

#[test]
fn a_mark_that_does_not_go_with_the_store_is_no_mark() {
    // A new store under a mark that was in use.
    let node = Node::founded(true);
    assert_eq!(node.seat(0, None).unwrap(), Seat::Validator);
    let other = Node {
        store: Node::new().store,
        mark: node.mark,
        ..node
    };
    assert_eq!(other.seat(1, EARLY).unwrap(), lost(None));
    // A fresh mark beside a store with blocks.
    let node = Node::founded(false);
    let genesis = Block::genesis(NETWORK, 0);
    let first = Block::after(&genesis.header, 1, vec![], vec![], vec![]);
    node.store.put_final(&[&genesis, &first], &[]).unwrap();
    assert_eq!(node.seat(0, None).unwrap(), lost(None));
    // An earlier mark of the same node.
    let node = Node::founded(true);
    let earlier = node.mark.read().unwrap().unwrap();
    let gone = MemoryMark::default();
    let node = Node { mark: gone, ..node };
    assert_eq!(node.seat(4, LATE).unwrap(), Seat::Validator);
    node.mark.write(&earlier).unwrap();
    assert_eq!(node.seat(4, EARLY).unwrap(), lost(None));
    // Another node's.
    let node = Node::founded(true);
    let node = Node {
        key: [3; 32],
        ..node
    };
    assert_eq!(
        node.seat(0, None).unwrap(),
        Seat::Observer(ObserverReason::NotAMember)
    );
}

#[test]
fn marks_are_read_as_they_were_written_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    found_vote_log(directory.path(), None, &NETWORK, &[2; 32]).unwrap();
    found_vote_log(directory.path(), None, &NETWORK, &[2; 32]).unwrap_err();
    let bytes = FileMark::new(directory.path()).read().unwrap().unwrap();
    let mark = Mark::decode(&bytes).unwrap();
    assert_eq!(mark.encode(), bytes);
    assert_eq!((mark.from, mark.claimed), (0, false));
    for length in 0..bytes.len() {
        assert_eq!(Mark::decode(&bytes[..length]), None);
    }
    let longer = [&bytes[..], b"\n"].concat();
    assert_eq!(Mark::decode(&longer), None);
    // A mark without the votes that it vouches for is taken away, unless it was never in use.
    let store = LedgerStore::open(Arc::new(MemoryStore::new())).unwrap();
    let storage = directory.path();
    prepare(storage, &store, &NETWORK).unwrap();
    fs::remove_dir_all(engine_directory(storage)).unwrap();
    prepare(storage, &store, &NETWORK).unwrap();
    let used = Mark {
        claimed: true,
        ..mark
    };
    FileMark::new(storage).write(&used.encode()).unwrap();
    prepare(storage, &store, &NETWORK).unwrap();
    assert!(FileMark::new(storage).read().unwrap().is_some());
    fs::remove_dir_all(engine_directory(storage)).unwrap();
    prepare(storage, &store, &NETWORK).unwrap();
    assert_eq!(FileMark::new(storage).read().unwrap(), None);
    // Another network's directory is not used at all, nor emptied.
    let other = found_vote_log(storage, None, &Digest([5; 32]), &[2; 32]);
    other.unwrap();
    let new = LedgerStore::open(Arc::new(MemoryStore::new())).unwrap();
    let refused = prepare(storage, &new, &NETWORK);
    assert!(matches!(refused, Err(OrderingError::VoteLogOfAnother)));
    assert!(engine_directory(storage).exists());
    let node = Node::new();
    found(&node.mark, None, (&Digest([5; 32]), &node.key), &[1; 16]).unwrap();
    let refused = node.seat(0, None);
    assert!(matches!(refused, Err(OrderingError::VoteLogOfAnother)));
}
