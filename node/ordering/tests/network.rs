//! Four validators and an observer over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::{Member, Network, Node, assert_one_chain, authority, free_addresses, wait_for};
use common::{network, wait_for_height};
use sealbook_ledger::{Block, EpochDefinition, FinalityCertificate, Header};
use sealbook_ordering::{
    Acknowledgement, Application, MAX_APPLICATION_MESSAGE_BYTES, ObserverReason, OrderingError,
    Proposal, Seat, Start, Verdict, found_vote_log, start,
};
use sealbook_store::{Batch, Entry, LedgerStore, MemoryStore, Store, StoreError, Table};

/// The stored ledger holds the chain from block 0, and certificates that finalize it.
fn assert_ledger(network_of: &Network, node: &Node) {
    let last = node.store.complete_height().unwrap();
    let mut parent = node.store.block(0).unwrap().unwrap();
    assert_eq!(parent.digest(), network_of.genesis().digest());
    for height in 1..=last {
        let block = node.store.block(height).unwrap().unwrap();
        block.header.check_follows(&parent.header).unwrap();
        assert!(block.attachments.iter().all(|one| one.bytes().is_some()));
        if block.header.next_epoch.is_some() {
            assert!(
                node.store.has_certificate(height),
                "boundary block {height}"
            );
        }
        if let Some(certificate) = node.store.certificate(height).unwrap() {
            let namespace = network().to_string();
            assert_eq!(certificate.block, block.digest());
            certificate
                .verify(
                    &network_of.committee(block.header.epoch),
                    namespace.as_bytes(),
                )
                .unwrap();
        }
        parent = block;
    }
    assert!(node.store.certified_at_or_after(last / 2).is_some());
}

#[test]
fn nodes_agree_catch_up_and_refuse_strangers() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let mut members = Network::new(base, 6, |_| (&[0, 1, 2, 3], &[4, 5]));
    // The last observer's certificate is of another authority that calls itself by the same name.
    let impostor = members.members.pop().unwrap();
    let other_authority = authority(&base.join("other authority"));
    let address = free_addresses(1)[0];
    let impostor = Member::new(impostor.seed[0], &other_authority, address, base);
    members.members.push(impostor);

    let mut nodes: Vec<Node> = members.members[..4]
        .iter()
        .map(|member| members.start(member))
        .collect();
    let observer = members.start(&members.members[4]);
    let mut config = members.config(&members.members[5]);
    config.identity.roots.push(other_authority.root().clone());
    let impostor = members
        .try_start(config, &members.members[5].directory)
        .unwrap();
    assert_eq!(nodes[0].handle.status().seat, Seat::Validator);
    let appointed = Seat::Observer(ObserverReason::Appointed);
    assert_eq!(observer.handle.status().seat, appointed);

    let everyone: Vec<&Node> = nodes.iter().chain([&observer]).collect();
    wait_for_height(&everyone, 20);
    assert_one_chain(&everyone);
    wait_for("links", 10, || {
        nodes
            .iter()
            .all(|node| node.handle.status().connected_peers == 4)
    });

    // Gossip reaches the other validators whole and says whose it is.
    let large = Bytes::from(vec![5; MAX_APPLICATION_MESSAGE_BYTES]);
    assert!(nodes[0].handle.gossip(Bytes::from_static(b"hello")));
    assert!(nodes[0].handle.gossip(large.clone()));
    assert!(
        !nodes[0]
            .handle
            .gossip(Bytes::from(vec![5; MAX_APPLICATION_MESSAGE_BYTES + 1]))
    );
    let sender = *members.members[0].vote_key().as_bytes();
    for node in &nodes[1..] {
        let expected = [
            (sender, Bytes::from_static(b"hello")),
            (sender, large.clone()),
        ];
        wait_for("gossip", 10, || {
            *node.application.messages.lock().unwrap() == expected
        });
    }
    assert!(observer.application.messages.lock().unwrap().is_empty());

    // Three of four go on without the fourth.
    let stopped = nodes.pop().unwrap();
    stopped.stop();
    let height = nodes[0].height();
    wait_for_height(&nodes.iter().collect::<Vec<_>>(), height + 20);

    // It comes back, is told only what it had not acknowledged, and catches up.
    nodes.push(members.start(&members.members[3]));
    let height = nodes[0].height();
    let everyone: Vec<&Node> = nodes.iter().chain([&observer]).collect();
    wait_for_height(&everyone, height + 10);
    assert_one_chain(&everyone);
    assert!(nodes[3].application.chain.lock().unwrap()[0].height > 15);

    assert_eq!(impostor.height(), 0);
    assert_eq!(impostor.handle.status().connected_peers, 0);
    impostor.stop();
    for node in nodes.iter().chain([&observer]) {
        assert_ledger(&members, node);
    }
    for node in nodes.into_iter().chain([observer]) {
        node.stop();
    }
}

#[test]
fn what_cannot_be_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let members = Network::new(directory.path(), 2, |_| (&[0, 1], &[]));
    let member = &members.members[0];
    let refused = |alter: &dyn Fn(&mut sealbook_ordering::OrderingConfig)| {
        let mut config = members.config(member);
        alter(&mut config);
        members
            .try_start(config, &member.directory)
            .map(|_| ())
            .unwrap_err()
    };
    let config = |error| matches!(error, OrderingError::Config(_));
    let first = |alter: &dyn Fn(&mut EpochDefinition)| {
        let mut definition = members.definition(0);
        alter(&mut definition);
        Start::Genesis(definition)
    };
    assert!(config(refused(&|config| {
        config.start = first(&|definition| definition.validators.clear());
    })));
    assert!(config(refused(&|config| {
        config.start = first(&|definition| {
            let again = definition.validators[0].clone();
            definition.validators.push(again);
        });
    })));
    assert!(config(refused(
        &|config| config.start = first(&|definition| definition.epoch = 1)
    )));
    assert!(config(refused(&|config| config.timing.skip_after_ms = 1)));
    assert!(config(
        refused(&|config| config.timing.poll_interval_ms = 0)
    ));
    assert!(config(refused(
        &|config| config.limits.block_bytes_max = usize::MAX
    )));
    assert!(config(refused(&|config| config.network.0[0] ^= 1)));
    let other = &members.members[1];
    let identity = refused(&|config| config.identity.chain = other.chain.clone());
    assert!(matches!(identity, OrderingError::Identity(_)));
    let taken = std::net::TcpListener::bind(member.address).unwrap();
    assert!(matches!(refused(&|_| ()), OrderingError::Listen { .. }));
    drop(taken);
    // A vote log is founded once.
    let key = member.vote_key();
    found_vote_log(&member.ordering(), None, &network(), key.as_bytes()).unwrap_err();
}

/// A store that refuses to write on command.
#[derive(Default)]
struct FailingStore {
    inner: MemoryStore,
    fails: AtomicBool,
}

impl Store for FailingStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Write("no space".to_owned()));
        }
        self.inner.commit(batch)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan(table, from, limit)
    }
}

#[test]
fn a_failed_write_or_a_lost_acknowledgement_stops_the_engine_and_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let members = Network::new(directory.path(), 1, |_| (&[0], &[]));
    let member = &members.members[0];

    let engine = Arc::new(FailingStore::default());
    let store = Arc::new(LedgerStore::open(engine.clone()).unwrap());
    let application = members.application(Box::new(|_| ()));
    let handle = start(members.config(member), store.clone(), application).unwrap();
    wait_for("blocks", 10, || store.latest_height() > Some(5));
    engine.fails.store(true, Ordering::Relaxed);
    wait_for("the failure", 10, || handle.failed().is_some());
    let reason = handle.failed().unwrap();
    assert!(reason.contains("sync"), "{reason}");
    let height = store.latest_height();
    handle.stop();

    // The disk is mended; the node goes on. Then its application forgets to acknowledge.
    engine.fails.store(false, Ordering::Relaxed);
    let application = Arc::new(Forgetful);
    let handle = start(members.config(member), store.clone(), application).unwrap();
    wait_for("the end", 10, || handle.failed().is_some());
    assert!(handle.failed().unwrap().contains("did not acknowledge"));
    assert!(store.latest_height() >= height);
    handle.stop();
}

struct Forgetful;

impl Application for Forgetful {
    fn propose(&self, _: &Header) -> Proposal {
        Proposal::NotYet
    }

    fn verify(&self, _: &Header, _: &Block) -> Verdict {
        Verdict::Wait
    }

    fn finalized(&self, _: Arc<Block>, _: Option<FinalityCertificate>, done: Acknowledgement) {
        drop(done);
    }

    fn message(&self, _: [u8; 32], _: Bytes) {}
}
