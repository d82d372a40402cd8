//! All nodes are killed at once, several times; the network goes on and no block is taken back.
//!
//! The nodes run in a process of their own, which is this test's program again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use common::{Member, Network, Node, Seen, wait_for};

const DIRECTORY: &str = "SEALBOOK_POWER_LOSS_DIRECTORY";
const NODES: usize = 4;

/// The part of the killed process: runs the nodes and writes down what each has acknowledged. Without a directory it is
/// not that process, and has nothing to do; the test below starts it with one.
#[test]
fn nodes_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let base = Path::new(&directory);
    let process = tempfile::tempdir_in(base).unwrap();
    let members = Network::new(process.path(), NODES, |_| (&[0, 1, 2, 3], &[]));
    let start = |(index, member): (usize, &Member)| {
        let state = base.join(format!("state-{index}"));
        let mut config = members.config(member);
        config.storage_directory = state.join("ordering");
        if !state.exists() {
            members.found(&config.storage_directory, index);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(base.join("log"))
            .unwrap();
        let log = Mutex::new(log);
        let witness = Box::new(move |seen: &Seen| {
            // One write per line, which the system keeps when the process is killed.
            let line = format!("{index} {} {}\n", seen.height, seen.digest);
            log.lock().unwrap().write_all(line.as_bytes()).unwrap();
        });
        members.try_start_with(config, &state, witness).unwrap()
    };
    let nodes: Vec<Node> = members.members.iter().enumerate().map(start).collect();
    loop {
        assert!(nodes.iter().all(|node| node.handle.failed().is_none()));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run_nodes(base: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nodes_until_killed", "--nocapture"])
        .env(DIRECTORY, base)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What each node has acknowledged. Two digests at one height, on any node at any time, fail here.
fn acknowledged(base: &Path) -> [u64; NODES] {
    let mut digests = BTreeMap::new();
    let mut heights = [0; NODES];
    let log = std::fs::read_to_string(base.join("log")).unwrap_or_default();
    // The last line may be half written.
    let complete = log.rsplit_once('\n').map_or("", |(complete, _)| complete);
    for line in complete.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap().to_owned();
        let (node, height, digest) = (word(), word(), word());
        let height: u64 = height.parse().unwrap();
        assert_eq!(
            *digests.entry(height).or_insert_with(|| digest.clone()),
            digest
        );
        let highest = &mut heights[node.parse::<usize>().unwrap()];
        // A block is shown before it is acknowledged, so nothing is ever skipped.
        assert!(
            height <= *highest + 1,
            "node {node}: {height} after {highest}"
        );
        *highest = height.max(*highest);
    }
    heights
}

#[test]
fn all_nodes_killed_at_once_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let mut goal = 0;
    for round in 1..=3 {
        let mut nodes = run_nodes(base);
        goal += 20;
        wait_for(&format!("round {round}"), 30, || {
            assert!(
                nodes.try_wait().unwrap().is_none(),
                "the nodes ended by themselves"
            );
            acknowledged(base).iter().all(|height| *height >= goal)
        });
        nodes.kill().unwrap();
        nodes.wait().unwrap();
        goal = *acknowledged(base).iter().max().unwrap();
    }
}
