//! A member that floods a node is told to wait, and the others keep their share, on that node and on the others.
//!
//! What counts is the order of the ledger: an order that was sent while the flood had so many transactions waiting stands
//! in the ledger before most of those.

use std::collections::BTreeMap;

use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::RequestBody;
use sealbook_sdk::{Client, Stage};
use sealbook_sealing::{Envelope, EnvelopeHeader, Suite};
use sealbook_securities::Status;
use sealbook_system::crowd::{ISIN, open_books};
use sealbook_system::flood::Flood;
use sealbook_system::network::wait_for;
use sealbook_system::{TestNetwork, checks, clients};

/// Orders in an envelope of the flood: enough for the member's share to be used up by bytes soon.
const ORDERS: u64 = 200;
/// Envelopes that are sealed before the flood begins, so that it comes faster than blocks take it.
const SEALED_BEFORE: usize = 1_500;
/// Orders of each of those who do not flood.
const FAIR: u64 = 5;
/// How many of the flood's transactions an order must overtake at least; a full share of a node's lanes is about a thousand.
const LEAST: usize = 300;

/// A member's orders during a flood: how much the node had taken from the flood when each was sent.
struct Fair {
    member: &'static str,
    sent: Vec<(usize, Digest)>,
}

/// Sends orders one after the other while the flood lasts.
fn work(flood: &Flood, client: &mut Client, member: &'static str, account: &str) -> Fair {
    let mut sent = Vec::new();
    for number in 0..FAIR {
        let before = flood.accepted();
        let reference = format!("{member}-fair-{number}");
        let order = clients::transfer(&reference, ISIN, 1, account, "G-1");
        let submitted = client.submit(&[order], Stage::Outcome).unwrap();
        assert_eq!(submitted.outcomes[0].status, Status::Settled);
        sent.push((before, submitted.transaction));
    }
    Fair { member, sent }
}

/// The place of every transaction in the ledger; none is there twice.
fn places(network: &TestNetwork) -> BTreeMap<Digest, usize> {
    let blocks = network.one_order(&["node-2"]);
    let all: Vec<Digest> = blocks
        .iter()
        .flat_map(|block| block.transactions.iter().map(|one| one.id()))
        .collect();
    let places: BTreeMap<Digest, usize> = all.iter().copied().zip(0..).collect();
    assert_eq!(places.len(), all.len(), "a transaction is there twice");
    places
}

/// Checks that orders stand before what the flood had sent already.
fn overtook(fair: &Fair, flood: &[Digest], places: &BTreeMap<Digest, usize>) {
    for (number, (before, id)) in fair.sent.iter().enumerate() {
        let place = places[id];
        // What is not in the ledger yet comes later, too.
        let later = |id: &&Digest| places.get(*id).is_none_or(|other| *other > place);
        let overtaken = flood[..*before].iter().filter(later).count();
        let member = fair.member;
        eprintln!("{member} {number}: {before} sent before it, {overtaken} overtaken");
        assert!(overtaken > LEAST, "{member} {number}: {overtaken}");
    }
}

#[test]
fn a20_a_member_that_floods_a_node_waits_and_the_others_keep_their_share() {
    let network = TestNetwork::running(4, 0);
    open_books(&network);
    let gamma = network.client("gamma", 0);
    let mut number = 0;
    let mut seal = move || {
        let orders: Vec<_> = (0..ORDERS)
            .map(|order| {
                let reference = format!("flood-{number}-{order}");
                // Nobody has such an account: the module refuses it, and books nothing.
                clients::transfer(&reference, ISIN, 1, "G-NONE", "A-1")
            })
            .collect();
        number += 1;
        let sealed = gamma.seal(&orders).unwrap();
        (sealed.transaction(), sealed.request())
    };
    let mut sealed: Vec<_> = (0..SEALED_BEFORE).map(|_| seal()).collect();
    let flood = Flood::begin(network.wire("gamma", "node-1"), move || {
        sealed.pop().unwrap_or_else(&mut seal)
    });
    flood.wait_until_busy();
    // On the node itself, where the flood has its share of lanes and no more, and on another one.
    let beside = work(
        &flood,
        &mut network.client_of("beta", &["node-1"]),
        "beta",
        "B-1",
    );
    let elsewhere = work(
        &flood,
        &mut network.client_of("alpha", &["node-2"]),
        "alpha",
        "A-1",
    );
    let sent = flood.end();
    let told = &sent.busy[0];
    assert!(told.contains("of yours"), "{told}");
    assert!(
        told.contains("wait for some of them, then try again"),
        "{told}"
    );
    wait_for("everything that was taken to be ordered", || {
        let places = places(&network);
        sent.accepted
            .iter()
            .all(|id| places.contains_key(id))
            .then_some(())
    });
    let places = places(&network);
    overtook(&beside, &sent.accepted, &places);
    overtook(&elsewhere, &sent.accepted, &places);
    checks::in_one_state(&network);
}

#[test]
fn a20_a_carrier_of_what_does_not_open_loses_its_quota_and_its_clients_turn_elsewhere() {
    let network = TestNetwork::running(4, 0);
    open_books(&network);
    let id = network.as_clients_know_it().id();
    let mut number = 0_u64;
    let flood = Flood::begin(network.wire("gamma", "node-1"), move || {
        number += 1;
        let now_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis();
        let expires_ms = u64::try_from(now_ms).unwrap() + 300_000;
        let mut encapsulated = vec![9; 32];
        encapsulated[..8].copy_from_slice(&number.to_le_bytes());
        let envelope = Envelope {
            header: EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, id, 0, expires_ms),
            encapsulated,
            ciphertext: vec![1; 16 * 1024 + 16],
        };
        let transaction = envelope.encode();
        let request = RequestBody::Submit {
            transaction,
            attachments: Vec::new(),
        };
        (envelope.digest(), request)
    });
    flood.wait_until_busy();
    let elsewhere = work(
        &flood,
        &mut network.client_of("alpha", &["node-2"]),
        "alpha",
        "A-1",
    );
    // A client of the node has what was submitted there carried by another, and need not wait for the node's quota.
    let client = network.client("beta", 0);
    let order = clients::transfer("beta-moves", ISIN, 1, "B-1", "G-1");
    let sealed = client.seal(&[order]).unwrap();
    let _ = network
        .wire("beta", "node-1")
        .ask_all(vec![sealed.request()]);
    let before = flood.accepted();
    let submitted = network
        .client_of("beta", &["node-3"])
        .submit_sealed(&sealed, Stage::Outcome)
        .unwrap();
    assert_eq!(submitted.outcomes[0].status, Status::Settled);
    let moved = Fair {
        member: "beta",
        sent: vec![(before, submitted.transaction)],
    };
    let sent = flood.end();
    let places = places(&network);
    overtook(&elsewhere, &sent.accepted, &places);
    overtook(&moved, &sent.accepted, &places);
    let epoch = network
        .sealbook(&["--json", "governance", "epoch"])
        .expect_code(0)
        .json();
    let cut = epoch["quotas_cut"].as_array().unwrap();
    let key = &epoch["present"]["validators"][0]["vote_key"];
    assert!(cut.len() == 1 && cut[0]["carrier"] == *key, "{epoch}");
    checks::in_one_state(&network);
}
