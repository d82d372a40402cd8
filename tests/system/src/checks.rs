//! What must hold while too few validators reach each other, and afterwards.

use std::time::Duration;

use sealbook_sdk::{ClientError, Stage};
use sealbook_securities::Status;

use crate::crowd::ISIN;
use crate::network::wait_for;
use crate::{TestNetwork, clients};

/// How many units the orders of these checks move from alpha to beta.
pub const SMALL: u64 = 7;

/// All nodes have the same books and the same blocks.
///
/// # Panics
/// They have not.
pub fn in_one_state(network: &TestNetwork) {
    network.agreement();
    let names = network.node_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let blocks = network.one_order(&names);
    assert!(blocks.len() > 10, "hardly any blocks");
}

/// The highest height that one of these nodes, which all answer, knows to be final.
///
/// # Panics
/// One does not answer.
#[must_use]
pub fn height_of(network: &TestNetwork, nodes: &[&str]) -> u64 {
    let client = network.client_of("admin", nodes);
    let heights = (0..nodes.len()).map(|node| client.status_of(node).unwrap().height);
    heights.max().unwrap()
}

/// Waits until no block becomes final on these nodes any more; returns the height.
#[must_use]
pub fn standing(network: &TestNetwork, nodes: &[&str]) -> u64 {
    wait_for("the ledger to stand still", || {
        let before = height_of(network, nodes);
        // Idle blocks come every second, so this is time for several.
        std::thread::sleep(Duration::from_secs(3));
        (height_of(network, nodes) == before).then_some(before)
    })
}

/// Sends an order to these nodes; none of them acknowledges it.
///
/// # Panics
/// One does, or refuses it.
pub fn not_acknowledged(network: &TestNetwork, nodes: &[&str], reference: &str) {
    let order = clients::transfer(reference, ISIN, SMALL, "A-1", "B-1");
    let mut client = network.client_of("alpha", nodes);
    client.set_patience(Duration::from_secs(3));
    let error = client.submit(&[order], Stage::Outcome).unwrap_err();
    let unknown = matches!(
        error,
        ClientError::Unavailable { .. } | ClientError::Undecided { .. }
    );
    assert!(unknown, "{error}");
}

/// Sends orders with these references, perhaps not for the first time: each is settled, and a second time the same.
///
/// # Panics
/// One is not.
pub fn settles_once(network: &TestNetwork, references: &[&str]) {
    let mut client = network.client("alpha", 0);
    for reference in references {
        for _ in 0..2 {
            let order = clients::transfer(reference, ISIN, SMALL, "A-1", "B-1");
            let submitted = client.submit(&[order], Stage::Final).unwrap();
            assert_eq!(submitted.outcomes[0].status, Status::Settled);
        }
    }
}
