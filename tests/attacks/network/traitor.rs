//! A validator that lies: the others go on without its lies, and keep one order.

use std::collections::BTreeSet;

use sealbook_ledger::{Block, Genesis};
use sealbook_sealing::Envelope;
use sealbook_system::TestNetwork;
use sealbook_system::crowd::{Crowd, open_books};
use sealbook_system::network::wait_for;

const TRAITOR: &str = "node-4";
const HONEST: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Each sin, and what an honest validator says to it, unless it just lets the turn pass.
const SINS: [(&str, Option<&str>); 9] = [
    ("Junk", Some("not a sealed transaction of this network")),
    ("Oversized", Some("more bytes than the network allows")),
    ("Expired", Some("an expired transaction")),
    ("Ordered", Some("a transaction that is ordered already")),
    ("Twice", Some("the same transaction twice")),
    (
        "Forged",
        Some("a transaction that its carrier did not sign"),
    ),
    ("State", Some("results that differ from this node's")),
    ("Future", None),
    ("Silence", None),
];

#[test]
fn a21_a_validator_that_lies_in_every_way_changes_nothing() {
    let mut network = TestNetwork::create(4, 0, &[]);
    network.stand_in(TRAITOR, &[env!("CARGO_BIN_EXE_sealbook-traitor"), "all"]);
    network.start_all();
    open_books(&network);
    let crowd = Crowd::begin(&network);
    for (sin, _) in SINS {
        let said = format!("sin: {sin}");
        wait_for(&format!("the traitor's `{sin}`, twice"), || {
            let log = network.log(TRAITOR);
            let times = log.lines().filter(|line| line.starts_with(&said)).count();
            (times >= 2).then_some(())
        });
    }
    crowd.wait_for_more_of_each(3);
    assert!(!network.ended(TRAITOR), "the traitor took part to the end");
    let done = crowd.end();
    done.check(&network);
    for (sin, answer) in SINS {
        let refused = |name: &&str| answer.is_none_or(|text| network.log(name).contains(text));
        assert!(HONEST.iter().any(refused), "{sin} was refused by nobody");
    }
    network.kill(TRAITOR);
    network.agreement();
    let blocks = network.one_order(&HONEST);
    assert!(blocks.len() > 10, "hardly any blocks");
    nothing_wrong_in(&network, &blocks);
}

/// Every final block is as it must be, whoever proposed it.
fn nothing_wrong_in(network: &TestNetwork, blocks: &[Block]) {
    let genesis = std::fs::read(network.folder().join("genesis")).unwrap();
    let genesis = Genesis::decode(&genesis).unwrap();
    let definition = genesis.first_epoch();
    let carriers: Vec<_> = definition.carriers().collect();
    let (limit, now) = (definition.parameters.block_bytes_max as usize, now_ms());
    let mut seen = BTreeSet::new();
    let mut parent = genesis.block().header;
    for block in blocks {
        block.header.check_follows(&parent).unwrap();
        block.check_body().unwrap();
        let time_ms = block.header.time_ms;
        assert!(time_ms <= now + definition.parameters.clock_drift_ms);
        let mut size = 0;
        for transaction in &block.transactions {
            let bytes = transaction.envelope();
            let envelope = Envelope::decode(bytes, bytes.len()).unwrap();
            assert_eq!(envelope.header.network, genesis.network());
            assert!(envelope.header.expires_ms >= time_ms, "expired");
            assert!(seen.insert(transaction.id()), "twice");
            let carrier = carriers[usize::from(transaction.carrier)];
            transaction
                .verify_carrier(&genesis.network(), carrier)
                .unwrap();
            size += bytes.len();
        }
        assert!(size <= limit, "a block of {size} bytes");
        parent = block.header.clone();
    }
    assert!(seen.len() > 20, "hardly any transactions");
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_millis()).unwrap()
}
