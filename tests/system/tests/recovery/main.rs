//! Nodes that lost something come back: a damaged or truncated store, a wiped disk, a full disk; and nodes that join,
//! committees that change, receipts that outlast both. Real processes, through the command line.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

mod committees;
mod divergence;
mod full_disk;
mod keys;

use std::fs;
use std::path::{Path, PathBuf};

use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::files::files_below;
use sealbook_system::network::wait_for;
use sealbook_system::random::Random;
use sealbook_system::{TestNetwork, checks};
use serde_json::Value;

/// Short epochs, so that several of them fall into a test; the idle interval lets them pass by themselves.
pub const SHORT_EPOCHS: [&str; 2] = ["--epoch-blocks", "30"];

/// A running network with short epochs.
pub fn short_epochs(validators: usize, observers: usize, more: &[&str]) -> TestNetwork {
    let arguments: Vec<&str> = SHORT_EPOCHS.iter().chain(more).copied().collect();
    let mut network = TestNetwork::create(validators, observers, &arguments);
    network.start_all();
    network
}

/// What a node says of itself, if it answers.
pub fn status_of(network: &TestNetwork, node: &str) -> Option<Value> {
    network.status().remove(node)
}

/// Waits until a node votes in its epoch.
pub fn wait_until_voting(network: &TestNetwork, node: &str) -> u64 {
    wait_for(&format!("{node} to vote"), || {
        let status = status_of(network, node)?;
        (status["validator"] == true).then(|| status["epoch"].as_u64().unwrap())
    })
}

/// Waits until a node follows without voting, and gives the reason that it states.
pub fn wait_until_not_voting(network: &TestNetwork, node: &str) -> String {
    wait_for(&format!("{node} to follow without voting"), || {
        let status = status_of(network, node)?;
        let reason = status["not_voting"].as_str()?.to_owned();
        (status["validator"] == false).then_some(reason)
    })
}

fn store_files(network: &TestNetwork, node: &str) -> Vec<PathBuf> {
    let folder = network.folder().join(node).join("ledger").join("blocks");
    let mut files = files_below(&folder);
    files.retain(|file| fs::metadata(file).unwrap().len() > 0);
    files
}

fn folders_like(folder: &Path, begin: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(begin))
        .collect()
}

/// Waits until a node whose store was damaged has caught up, and checks how it came there.
fn rebuilt(network: &mut TestNetwork, node: &str) {
    network.start(node);
    let height = crowd::highest(network);
    network.wait_for_height(node, height);
    let ledger = network.folder().join(node).join("ledger");
    assert_eq!(folders_like(&ledger, "blocks.damaged-").len(), 1, "{node}");
    assert!(network.log(node).contains("ledger is damaged"), "{node}");
}

#[test]
fn a_damaged_or_truncated_store_is_never_used_and_filled_anew_from_the_others() {
    let mut network = short_epochs(4, 1, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(40);

    // Flipped bytes all over the store of a validator.
    network.kill("node-3");
    let mut random = Random::new(7);
    for file in store_files(&network, "node-3") {
        let mut bytes = fs::read(&file).unwrap();
        for _ in 0..(bytes.len() / 4096 + 1) {
            let place = random.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << random.below(8);
        }
        fs::write(&file, bytes).unwrap();
    }
    crowd.wait_for_more(20);
    rebuilt(&mut network, "node-3");
    wait_until_voting(&network, "node-3");

    // Half of the store of an observer is gone.
    network.kill("node-5");
    for file in store_files(&network, "node-5") {
        let length = fs::metadata(&file).unwrap().len();
        let file = fs::File::options().write(true).open(&file).unwrap();
        file.set_len(length / 2).unwrap();
    }
    crowd.wait_for_more(20);
    rebuilt(&mut network, "node-5");
    crowd.wait_for_more(20);
    crowd.end().check(&network);
    checks::in_one_state(&network);
}

#[test]
fn a_wiped_validator_follows_and_votes_from_the_next_epoch_on() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(20);
    network.kill("node-2");
    let folder = network.folder().join("node-2");
    for lost in ["ledger/blocks", "votes"] {
        fs::remove_dir_all(folder.join(lost)).unwrap();
    }
    let _ = fs::remove_file(folder.join("ledger/tip"));
    crowd.wait_for_more(20);
    network.start("node-2");
    let reason = wait_until_not_voting(&network, "node-2");
    assert!(reason.contains("no log of its votes"), "{reason}");
    crowd.wait_for_more(20);
    wait_until_voting(&network, "node-2");
    // Its vote counts: with another one gone there are just enough.
    network.kill("node-4");
    crowd.wait_for_more_of_each(4);
    network.start("node-4");
    crowd.end().check(&network);
    checks::in_one_state(&network);
}

#[test]
fn killed_at_any_moment_of_its_life_a_node_comes_back() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    let mut random = Random::new(11);
    // While it starts, restores its module from a snapshot, catches up, passes the end of an epoch.
    for round in 0..12 {
        let victim = ["node-1", "node-2", "node-3", "node-4"][round % 4];
        network.kill(victim);
        let moments = random.below(40);
        network.start(victim);
        std::thread::sleep(std::time::Duration::from_millis(moments * 25));
        network.kill(victim);
        network.start(victim);
        network.wait_for_height(victim, crowd::highest(&network));
        crowd.wait_for_more(3);
    }
    crowd.end().check(&network);
    checks::in_one_state(&network);
}
