//! The checker finds each thing that it looks for.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sealbook_ledger::{Block, Header, Transaction};
use sealbook_primitives::hash::Digest;
use sealbook_sealing::{Envelope, EnvelopeHeader, Suite};

use super::Checker;
use crate::trace::Trace;
use crate::world::World;

const NOW_MS: u64 = 1_344_470_400_000;
const AHEAD_MAX_MS: u64 = 1_000;

fn with_carrier(mut transaction: Transaction, place: u16) -> Transaction {
    transaction.carrier = place;
    transaction
}

struct Desk {
    world: World,
    checker: Checker,
    trace: Trace,
    head: Header,
}

impl Desk {
    fn new() -> Self {
        let world = World::found(4, NOW_MS).unwrap();
        let trace = Trace::default();
        let checker = Checker::new(&world.genesis, AHEAD_MAX_MS, trace.clone());
        let head = world.genesis.block().header;
        Self {
            world,
            checker,
            trace,
            head,
        }
    }

    fn transaction(&self, number: u8, network: Digest, expires_ms: u64) -> Transaction {
        let envelope = Envelope {
            header: EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, network, 0, expires_ms),
            encapsulated: vec![number; 32],
            ciphertext: vec![number; 512 + 16],
        };
        let envelope = Bytes::from(envelope.encode());
        Transaction::carried(0, &self.world.nodes[0].key, &self.world.network, envelope)
    }

    fn good(&self, number: u8) -> Transaction {
        self.transaction(number, self.world.network, NOW_MS + 60_000)
    }

    fn block(&self, time_ms: u64, transactions: Vec<Transaction>) -> Block {
        Block::after(&self.head, time_ms, transactions, Vec::new(), Vec::new())
    }

    fn finalized(&mut self, block: &Block) {
        self.checker.finalized(0, block, NOW_MS + 10);
        self.head = block.header.clone();
    }

    #[track_caller]
    fn finds(&self, words: &str) {
        let found = self.trace.violations();
        assert!(
            found.iter().any(|text| text.contains(words)),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn a_good_chain_is_good() {
    let mut desk = Desk::new();
    for number in 0..3 {
        let block = desk.block(NOW_MS + 5, vec![desk.good(number)]);
        desk.finalized(&block);
        desk.checker.finalized(1, &block, NOW_MS + 20);
        desk.checker
            .told(block.transactions[0].id(), block.height(), b"reply");
    }
    desk.checker.check_end();
    assert!(
        desk.trace.violations().is_empty(),
        "{:?}",
        desk.trace.violations()
    );
    assert_eq!(desk.checker.heights().0, 3);
}

#[test]
fn forks_and_gaps_are_found() {
    let mut desk = Desk::new();
    let (one, other) = (
        desk.block(NOW_MS + 1, vec![]),
        desk.block(NOW_MS + 2, vec![]),
    );
    desk.finalized(&one);
    assert!(!desk.trace.is_broken());
    desk.checker.finalized(1, &other, NOW_MS + 10);
    desk.finds("fork: block 1");
    let mut desk = Desk::new();
    desk.head = desk.block(NOW_MS + 1, vec![]).header;
    let second = desk.block(NOW_MS + 2, vec![]);
    desk.finalized(&second);
    desk.finds("right after 0");
}

#[test]
fn junk_in_a_final_block_is_found() {
    let found = |what: &dyn Fn(&Desk) -> Vec<Transaction>, words: &str| {
        let mut desk = Desk::new();
        let block = desk.block(NOW_MS + 5, what(&desk));
        desk.finalized(&block);
        desk.finds(words);
    };
    let foreign = |desk: &Desk| vec![desk.transaction(1, Digest([9; 32]), NOW_MS + 60_000)];
    found(&foreign, "holds junk");
    let expired = |desk: &Desk| vec![desk.transaction(1, desk.world.network, NOW_MS + 1)];
    found(&expired, "holds the expired");
    found(&|desk| vec![desk.good(1), desk.good(1)], "again in block 1");
    let unsigned = |desk: &Desk| {
        let good = desk.good(1);
        vec![with_carrier(good, 1)]
    };
    found(&unsigned, "which nobody carried");
    let nobody = |desk: &Desk| {
        let good = desk.good(1);
        vec![with_carrier(good, 99)]
    };
    found(&nobody, "which nobody carried");
    // The same transaction in a later block.
    let mut desk = Desk::new();
    for _ in 0..2 {
        let block = desk.block(NOW_MS + 5, vec![desk.good(1)]);
        desk.finalized(&block);
    }
    desk.finds("in block 1 and again in block 2");
}

#[test]
fn blocks_from_the_future_are_found() {
    let mut desk = Desk::new();
    let block = desk.block(NOW_MS + 10 + AHEAD_MAX_MS + 1, vec![]);
    desk.finalized(&block);
    desk.finds("ahead of every clock");
}

#[test]
fn results_that_differ_are_found() {
    let desk = Desk::new();
    desk.checker.executed(0, 1, Digest([1; 32]));
    desk.checker.executed(1, 1, Digest([1; 32]));
    assert!(!desk.trace.is_broken());
    desk.checker.executed(2, 1, Digest([2; 32]));
    desk.finds("results of block 1");
    let mut desk = Desk::new();
    let first = desk.block(NOW_MS + 1, vec![]);
    desk.finalized(&first);
    desk.checker.executed(0, 1, Digest([1; 32]));
    let roots = vec![Digest([2; 32])];
    let second = Block::after(&desk.head, NOW_MS + 2, vec![], vec![], roots);
    desk.finalized(&second);
    desk.finds("commits to other results");
    desk.checker.told_final(1, Digest([3; 32]));
    desk.finds("is final at 1, which it is not");
}

#[test]
fn a_transaction_that_a_client_was_told_about_and_is_gone_is_found() {
    let mut desk = Desk::new();
    let block = desk.block(NOW_MS + 5, vec![desk.good(1)]);
    desk.finalized(&block);
    desk.checker.told(desk.good(2).id(), 1, b"settled");
    assert!(!desk.trace.is_broken());
    desk.checker.check_end();
    desk.finds("which is not there");
    let desk = Desk::new();
    desk.checker.told(desk.good(1).id(), 1, b"settled");
    desk.checker.told(desk.good(1).id(), 1, b"rejected");
    desk.finds("told two things");
}

#[test]
fn votes_after_lost_votes_are_found() {
    let desk = Desk::new();
    desk.checker.voted(2, 0);
    desk.checker.wiped(2);
    desk.checker.voted(2, 1);
    desk.checker.voted(3, 0);
    assert!(!desk.trace.is_broken());
    desk.checker.voted(2, 0);
    desk.finds("lost its votes");
}
