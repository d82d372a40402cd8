//! Each node on a host of its own: namespaces with addresses, links and switches, made and removed by the test.
//!
//! Delay and loss come from the kernel (`tc netem`) where it has it, otherwise from a relay on each host, with the
//! kernel's reason printed. Partitions are real either way: switches apart, cables pulled.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealbook_system::TestNetwork;
use sealbook_system::checks::{
    SMALL, height_of, in_one_state, not_acknowledged, settles_once, standing,
};
use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::namespaces::{self, CLIENTS, Hosts};
use sealbook_system::relay::{Line, Relay};

/// How far each node is from everybody, one way: any two are 20 to 225 ms apart.
const NEAR_MS: [u64; 4] = [10, 10, 10, 10];
const FAR_MS: [u64; 4] = [10, 25, 100, 125];

/// What lies between the hosts.
enum Between {
    /// The kernel delays and loses packets.
    Kernel,
    /// A relay on each host delays and holds up bytes.
    Relay(Relay),
}

impl Between {
    fn probe(hosts: &Hosts, network: &TestNetwork) -> Self {
        let names = network.node_names();
        match hosts.impair(&names[0], 1, 0, 0.0) {
            Ok(()) => Self::Kernel,
            Err(reason) => {
                eprintln!("delay and loss through relays, as the kernel refuses: {reason}");
                let namespaces: BTreeMap<_, _> = names
                    .iter()
                    .map(|name| (name.clone(), hosts.path(name)))
                    .collect();
                Self::Relay(Relay::in_namespaces(network.folder(), &namespaces))
            }
        }
    }

    /// Gives each node its distance, and all lines a loss of one in a hundred packets.
    fn distances(&self, hosts: &Hosts, network: &TestNetwork, distances: &[u64]) {
        let names = network.node_names();
        for (from, away) in names.iter().zip(distances) {
            match self {
                // The kernel delays what leaves a host, and so half of what is between two of them on either side.
                Self::Kernel => hosts.impair(from, *away, away / 10, 1.0).unwrap(),
                Self::Relay(relay) => {
                    let line = Line {
                        jitter: Duration::from_millis(away / 10),
                        stalls_per_mille: 10,
                        ..Line::delayed(*away)
                    };
                    for to in names.iter().filter(|to| *to != from) {
                        relay.set(from, to, line);
                    }
                }
            }
        }
    }
}

/// A network whose ledger says that its nodes are on these hosts.
fn on_hosts(names: &[String], hosts: &Hosts) -> TestNetwork {
    let mut arguments = Vec::new();
    for name in names {
        let address = hosts.address(name);
        arguments.push("--address".to_owned());
        arguments.push(format!("{name}={address}:7001,{address}:7002"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut network = TestNetwork::create(names.len(), 0, &arguments);
    for name in names {
        network.on_host(name, hosts.command(name));
    }
    network
}

#[test]
fn four_hosts_with_delay_loss_and_real_partitions() {
    let names: Vec<String> = (1..=4).map(|number| format!("node-{number}")).collect();
    let hosts = match Hosts::make(&names) {
        Ok(hosts) => hosts,
        Err(reason) => {
            eprintln!("SKIPPED: this machine gives no network namespaces: {reason}");
            return;
        }
    };
    let mut network = on_hosts(&names, &hosts);
    let between = Between::probe(&hosts, &network);
    // From here on this thread, and all that it starts, is on the clients' host.
    namespaces::enter(&hosts.path(CLIENTS));
    between.distances(&hosts, &network, &NEAR_MS);
    let started = Instant::now();
    let reached = |what: &str| eprintln!("{:>6.1?}  {what}", started.elapsed());
    network.start_all();
    open_books(&network);
    reached("books are open");
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more_of_each(3);
    reached("worked with hosts near");
    between.distances(&hosts, &network, &FAR_MS);
    crowd.wait_for_more_of_each(3);
    reached("worked with hosts far away");

    // One host loses its cable; the others and the clients go on.
    hosts.plug("node-2", false);
    crowd.wait_for_more(10);
    reached("worked without one host");
    hosts.plug("node-2", true);
    network.wait_for_height("node-2", crowd::highest(&network));
    reached("it is back");

    // Two and two: nobody has a quorum. Clients see the second half only.
    hosts.part(&["node-1", "node-2"]);
    let seen = ["node-3", "node-4"];
    let height = standing(&network, &seen);
    not_acknowledged(&network, &seen, "apart");
    assert_eq!(height_of(&network, &seen), height, "without a quorum");
    reached("nothing was acknowledged apart");
    hosts.join();
    settles_once(&network, &["apart"]);
    crowd.wait_for_more(10);
    reached("worked together again");
    let mut done = crowd.end();
    done.alpha_also_gave_beta(SMALL);
    done.check(&network);
    in_one_state(&network);
    reached("all are in one state");
}
