//! Killed nodes, killed modules, power loss, too few validators: no acknowledged order is lost or applied twice.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

mod events;
mod outages;
mod sessions;

use std::time::Duration;

use sealbook_sdk::{ClientError, Stage, Submitted};
use sealbook_securities::Status;
use sealbook_system::crowd::{self, Crowd, ISIN, balance, open_books};
use sealbook_system::network::wait_for;
use sealbook_system::{TestNetwork, clients, processes};

#[test]
fn each_validator_in_turn_is_killed_under_load() {
    let mut network = TestNetwork::running(4, 1);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    for victim in ["node-1", "node-2", "node-3", "node-4"] {
        crowd.wait_for_more(20);
        let modules = network.module_pids(victim);
        assert_eq!(modules.len(), 1, "{victim} has one execution module");
        network.kill(victim);
        wait_for("the module to end with its node", || {
            modules
                .iter()
                .all(|pid| !processes::is_alive(*pid))
                .then_some(())
        });
        // Work goes on without it, also for the client that was connected to it.
        crowd.wait_for_more_of_each(6);
        network.start(victim);
        let height = crowd::highest(&network);
        network.wait_for_height(victim, height);
    }
    crowd.wait_for_more(20);
    let done = crowd.end();
    done.check(&network);
    network.agreement();
}

#[test]
fn power_is_lost_and_modules_are_killed_under_load() {
    let mut network = TestNetwork::running(4, 1);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    for _ in 0..2 {
        crowd.wait_for_more(25);
        network.kill_all();
        network.start_all();
    }
    crowd.wait_for_more(25);
    for victim in ["node-2", "node-3"] {
        let (node, modules) = (network.pid(victim), network.module_pids(victim));
        assert_eq!(modules.len(), 1);
        processes::kill(modules[0]);
        wait_for("a new module", || {
            let now = network.module_pids(victim);
            (!now.is_empty() && now != modules).then_some(())
        });
        crowd.wait_for_more(10);
        network.wait_for_height(victim, crowd::highest(&network));
        assert_eq!(network.pid(victim), node);
        assert!(
            processes::is_alive(node),
            "the node lives on without its module"
        );
        assert!(
            network.log(victim).contains("execution module lost"),
            "the operator is told"
        );
    }
    let done = crowd.end();
    done.check(&network);
    network.agreement();
    let status = network.status();
    assert!(
        status.values().all(|row| row["problem"].is_null()),
        "{status:?}"
    );
}

#[test]
fn a_stopped_validator_catches_up_and_two_of_four_order_nothing() {
    let mut network = TestNetwork::running(4, 0);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(5);
    network.stop("node-3");
    let stopped_at = crowd::highest(&network);
    wait_for("hundreds of blocks", || {
        (crowd::highest(&network) > stopped_at + 200).then_some(())
    });
    network.start("node-3");
    network.wait_for_height("node-3", crowd::highest(&network));
    let done = crowd.end();
    done.check(&network);
    network.agreement();

    network.kill("node-1");
    network.kill("node-4");
    let before = balance(&network, "A-1");
    let order = || clients::transfer("two-of-four", ISIN, 7, "A-1", "B-1");
    let mut client = network.client("alpha", 0);
    client.set_patience(Duration::from_secs(4));
    let height = crowd::highest(&network);
    let error = client.submit(&[order()], Stage::Final).unwrap_err();
    assert!(matches!(error, ClientError::Undecided { .. }), "{error}");
    // Nobody knows yet, so nobody says that it failed.
    assert!(
        error.to_string().contains("may still take effect"),
        "{error}"
    );
    // What was on its way when the two were killed may still have become final, and nothing since.
    assert!(
        crowd::highest(&network) <= height + 3,
        "blocks are final without a quorum"
    );
    assert_eq!(balance(&network, "A-1"), before, "applied without a quorum");

    network.start("node-1");
    network.start("node-4");
    let mut client = network.client("alpha", 0);
    for _ in 0..2 {
        let submitted = client.submit(&[order()], Stage::Final).unwrap();
        assert_eq!(submitted.outcomes[0].status, Status::Settled);
    }
    assert_eq!(balance(&network, "A-1"), before - 7, "applied once");
    network.agreement();
}

/// Who has many envelopes under way is told of each, also when the node that has them is killed.
#[test]
fn many_envelopes_at_once_take_effect_once_while_their_node_is_killed() {
    const MANY: usize = 300;
    let mut network = TestNetwork::running(4, 0);
    open_books(&network);
    let before = balance(&network, "A-1");
    let mut client = network.client("alpha", 0);
    let orders = |round: usize| -> Vec<_> {
        let one = |number| {
            let reference = format!("many-{round}-{number}");
            vec![clients::transfer(&reference, ISIN, 1, "A-1", "B-1")]
        };
        (0..MANY).map(one).collect()
    };
    let settled = |submitted: &[Submitted]| {
        assert_eq!(submitted.len(), MANY);
        let mut outcomes = submitted.iter().flat_map(|one| &one.outcomes);
        assert!(outcomes.all(|outcome| outcome.status == Status::Settled));
    };
    let done = client.submit_all(&orders(0), Stage::Final).unwrap();
    settled(&done);
    assert!(done.iter().all(|one| one.is_final));
    // The same orders again are answered as before, and some of them are refused for what they are.
    let mut again = orders(0);
    again[7] = vec![clients::transfer("many-0-7", ISIN, 2, "A-1", "B-1")];
    let done = client.submit_all(&again, Stage::Outcome).unwrap();
    for (number, one) in done.iter().enumerate() {
        let is_settled = one.outcomes[0].status == Status::Settled;
        assert_eq!(is_settled, number != 7, "{number}");
    }

    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            for round in 1..6 {
                settled(&client.submit_all(&orders(round), Stage::Outcome).unwrap());
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        network.kill("node-1");
        working.join().unwrap();
    });
    network.start("node-1");
    assert_eq!(balance(&network, "A-1"), before - 6 * MANY as u64);
    network.agreement();
}
