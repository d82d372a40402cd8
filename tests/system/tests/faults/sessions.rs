//! A client that sends within sessions, through everything that can happen to a node and to the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealbook_ledger::MAX_TRANSACTION_BYTES;
use sealbook_sdk::{ClientError, Prepared, Shown, Stage, Submitted};
use sealbook_sealing::Envelope;
use sealbook_sealing::session::SESSION_ENVELOPE_VERSION;
use sealbook_securities::Status;
use sealbook_system::TestNetwork;
use sealbook_system::clients::transfer;
use sealbook_system::crowd::{ISIN, balance, open_books};
use sealbook_system::network::wait_for;

const MANY: usize = 300;

fn one(reference: &str) -> Prepared {
    transfer(reference, ISIN, 1, "A-1", "B-1")
}

fn many(round: usize) -> Vec<Vec<Prepared>> {
    let reference = |number| format!("in-session-{round}-{number}");
    (0..MANY)
        .map(|number| vec![one(&reference(number))])
        .collect()
}

#[track_caller]
fn settled(submitted: &[Submitted]) {
    let outcomes: Vec<_> = submitted.iter().flat_map(|one| &one.outcomes).collect();
    assert_eq!(outcomes.len(), submitted.len());
    assert!(outcomes.iter().all(|one| one.status == Status::Settled));
}

/// How many envelopes of sessions the ledger holds, by their key epoch. No two of them have the same tag.
fn messages(network: &TestNetwork, node: &str) -> BTreeMap<u32, usize> {
    let (mut tags, mut counts) = (BTreeSet::new(), BTreeMap::new());
    for block in network.blocks_of(node) {
        for transaction in &block.transactions {
            let envelope = Envelope::decode(transaction.envelope(), MAX_TRANSACTION_BYTES).unwrap();
            if envelope.header.version == SESSION_ENVELOPE_VERSION {
                assert!(tags.insert(envelope.encapsulated));
                *counts.entry(envelope.header.key_epoch).or_default() += 1;
            }
        }
    }
    counts
}

#[test]
fn a_steady_sender_goes_on_through_killed_nodes_and_new_keys() {
    let mut network = TestNetwork::create(4, 0, &["--epoch-blocks", "30"]);
    network.start_all();
    open_books(&network);
    let before = balance(&network, "A-1");
    let mut client = network.client("alpha", 0);
    settled(&[client.submit(&[one("alone")], Stage::Outcome).unwrap()]);
    assert!(!client.has_session());
    client.set_sessions(true);
    let first = client.submit(&[one("first")], Stage::Final).unwrap();
    assert!(first.is_final && client.has_session());
    settled(std::slice::from_ref(&first));
    settled(&client.submit_all(&many(0), Stage::Final).unwrap());
    assert!(client.has_session());
    assert_eq!(
        messages(&network, "node-2"),
        BTreeMap::from([(0, 1 + MANY)])
    );
    // A retry is answered as the first time, and another order under the same reference refused.
    let again = client.submit(&[one("first")], Stage::Outcome).unwrap();
    settled(std::slice::from_ref(&again));
    assert_ne!(again.transaction, first.transaction);
    let other = transfer("first", ISIN, 2, "A-1", "B-1");
    let other = client.submit(&[other], Stage::Outcome).unwrap();
    assert_eq!(other.outcomes[0].status, Status::Rejected);

    // A node is killed while hundreds are under way, and comes back with a module that was restored.
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            for round in 1..4 {
                settled(&client.submit_all(&many(round), Stage::Outcome).unwrap());
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        network.kill("node-1");
        working.join().unwrap();
    });
    network.start("node-1");
    // A receipt, by a client that knows nothing but its member's key.
    let mut fresh = network.client("alpha", 2);
    let (_, proven) = fresh.receipt(first.transaction, Shown::All).unwrap();
    assert_eq!(proven.height, first.height);
    let mut beta = network.client("beta", 2);
    let denied = beta.receipt(first.transaction, Shown::All);
    assert!(matches!(denied, Err(ClientError::NotOwn)), "{denied:?}");

    // The session ends with its key epoch; the member does not notice.
    for change in [
        &["set-parameters", "--key-grace", "12"][..],
        &["rotate-keys"],
    ] {
        let words = [&["--json", "governance", "propose"][..], change].concat();
        let proposed = network.sealbook(&words).expect_code(0).json();
        assert_eq!(proposed["outcome"], "settled", "{proposed}");
    }
    let mut sent = 0;
    wait_for("a session of the next key epoch", || {
        sent += 1;
        let reference = format!("rotating-{sent}");
        settled(&[client.submit(&[one(&reference)], Stage::Outcome).unwrap()]);
        messages(&network, "node-3").contains_key(&1).then_some(())
    });
    settled(&client.submit_all(&many(4), Stage::Final).unwrap());
    let given = 2 + 5 * MANY as u64 + sent;
    assert_eq!(balance(&network, "A-1"), before - given);
    network.agreement();
    let all = messages(&network, "node-1");
    assert!(all[&0] > 2 * MANY && all[&1] > MANY, "{all:?}");
    network.stop_all();
    let copy = network.folder().join("node-1");
    let audit = network.audit(&copy).expect_code(0).json();
    assert_eq!(audit["replayed_height"], audit["height"], "{audit}");
}
