//! Committees change, nodes come, go, lose their disks and begin in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::path::Path;

use common::{EPOCH, Network, Node, assert_one_chain, network, wait_for, wait_for_height};
use sealbook_ordering::{ObserverReason, Seat};

/// Six members; the last two begin outside.
fn changes(epoch: u64) -> (&'static [usize], &'static [usize]) {
    match epoch {
        0 => (&[0, 1, 2, 3], &[]),
        1 => (&[0, 1, 2, 4], &[]),
        2 => (&[0, 1, 2, 3, 4], &[]),
        3 => (&[0, 1, 2, 3], &[4]),
        4 => (&[1, 2, 3, 4], &[0]),
        _ => (&[1, 2, 3, 4], &[5]),
    }
}

/// Every block from `from` on is there, and every boundary block has a certificate of its own.
fn assert_ledger(members: &Network, node: &Node, from: u64) {
    assert_eq!(node.store.floor(), from);
    let last = node.store.complete_height().unwrap();
    for height in from..=last {
        let block = node.store.block(height).unwrap().unwrap();
        let epoch = block.header.epoch;
        assert_eq!(epoch, height.saturating_sub(1) / EPOCH);
        let certificate = node.store.certificate(height).unwrap();
        assert!(certificate.is_some() || block.header.next_epoch.is_none());
        if let Some(certificate) = certificate {
            assert_eq!(certificate.block, block.digest());
            let namespace = network().to_string();
            certificate
                .verify(&members.committee(epoch), namespace.as_bytes())
                .unwrap();
        }
    }
}

#[test]
fn committees_change_and_nodes_join_at_a_floor() {
    let directory = tempfile::tempdir().unwrap();
    let members = Network::new(directory.path(), 6, changes);
    let start = || -> Vec<Node> {
        let nodes = members.members[..5].iter();
        nodes.map(|member| members.start(member)).collect()
    };
    let nodes = start();
    let outside = Seat::Observer(ObserverReason::NotAMember);
    assert_eq!(nodes[4].handle.status().seat, outside);
    wait_for_height(&nodes.iter().collect::<Vec<_>>(), 2 * EPOCH + 5);
    assert_one_chain(&nodes.iter().collect::<Vec<_>>());
    for node in nodes {
        node.stop();
    }

    // All of them go on in the epoch in which they stopped.
    let mut nodes = start();
    assert!(nodes.iter().all(|node| node.handle.status().epoch >= 2));
    assert_eq!(nodes[4].handle.status().seat, Seat::Validator);
    wait_for_height(&nodes.iter().collect::<Vec<_>>(), 5 * EPOCH + 3);
    assert_one_chain(&nodes.iter().collect::<Vec<_>>());

    // The last member has no history before the end of epoch 4.
    let newcomer = &members.members[5];
    let mut config = members.config(newcomer);
    config.start = members.floor(4, &nodes[1].store);
    let newcomer_node = members.try_start(config, &newcomer.directory).unwrap();
    let goal = nodes[1].height() + 10;
    wait_for_height(&[&newcomer_node], goal);
    let appointed = Seat::Observer(ObserverReason::Appointed);
    assert_eq!(newcomer_node.handle.status().seat, appointed);
    assert_one_chain(&[&nodes[1], &newcomer_node]);
    let floor = 5 * EPOCH;
    let first = newcomer_node.application.chain.lock().unwrap()[0].height;
    assert_eq!(first, floor);
    assert_eq!(newcomer_node.store.block(floor - 1).unwrap(), None);
    newcomer_node.stop();

    // It begins there again, whatever it is told; and again, after an epoch or two without it.
    wait_for_height(&[&nodes[1]], nodes[1].height() + 2 * EPOCH);
    let newcomer_node = members.start(newcomer);
    wait_for_height(&[&newcomer_node], nodes[1].height() + 5);
    assert_ledger(&members, &newcomer_node, floor);
    assert_eq!(newcomer_node.store.block(floor - 1).unwrap(), None);

    // It fell far behind and begins at a higher floor, with a gap below.
    newcomer_node.stop();
    let behind = nodes[1].height() / EPOCH;
    wait_for_height(&[&nodes[1]], (behind + 3) * EPOCH);
    let mut config = members.config(newcomer);
    config.start = members.floor(behind + 1, &nodes[1].store);
    let newcomer_node = members.try_start(config, &newcomer.directory).unwrap();
    let floor = (behind + 2) * EPOCH;
    wait_for_height(&[&newcomer_node], nodes[1].height() + 5);
    let first = newcomer_node.application.chain.lock().unwrap()[0].height;
    assert_eq!(first, floor);
    assert_ledger(&members, &newcomer_node, floor);
    assert_eq!(newcomer_node.store.block(floor - 1).unwrap(), None);

    // The first member left the network; after a while nobody talks to it, and it says so.
    let left = nodes.remove(0);
    wait_for("closed links", 20, || {
        left.handle.status().connected_peers == 0
    });
    let status = left.handle.status();
    assert_eq!(status.seat, outside);
    assert!(status.epoch >= 5);
    assert!(!left.handle.gossip(bytes::Bytes::new()) || left.handle.failed().is_none());
    // Each of the five has a link to each other one, and none to the node that left.
    wait_for("four links each", 30, || {
        nodes
            .iter()
            .all(|node| node.handle.status().connected_peers == 4)
    });
    for node in &nodes {
        assert_ledger(&members, node, 0);
        eprintln!("{:?}", node.handle.status());
    }
    for node in nodes.into_iter().chain([newcomer_node, left]) {
        node.stop();
    }
}

fn fixed(_: u64) -> (&'static [usize], &'static [usize]) {
    (&[0, 1, 2, 3], &[])
}

#[test]
fn a_validator_that_lost_its_votes_votes_from_the_next_epoch_on() {
    let directory = tempfile::tempdir().unwrap();
    let members = Network::new(directory.path(), 4, fixed);
    let mut nodes: Vec<Node> = members
        .members
        .iter()
        .map(|one| members.start(one))
        .collect();
    wait_for_height(&nodes.iter().collect::<Vec<_>>(), EPOCH + 2);
    let lost = |seat| matches!(seat, Seat::Observer(ObserverReason::VotesLost { .. }));
    let wiped = &members.members[3];
    let (ordering, ledger) = (wiped.ordering(), wiped.directory.join("ledger"));
    let engine = ordering.join("engine");
    // The whole disk, the votes with and without the mark, and the ledger alone.
    for gone in [
        vec![&ordering, &ledger],
        vec![&ordering],
        vec![&engine],
        vec![&ledger],
    ] {
        nodes.pop().unwrap().stop();
        for directory in gone {
            fs::remove_dir_all(directory).unwrap();
        }
        wait_for_height(&nodes.iter().collect::<Vec<_>>(), nodes[0].height() + 3);
        let wiped_at = nodes.iter().map(Node::height).max().unwrap() + 1;
        let node = members.start(wiped);
        assert!(
            lost(node.handle.status().seat),
            "{:?}",
            node.handle.status()
        );
        wait_for("the right to vote", 20, || {
            node.handle.status().seat == Seat::Validator
        });
        let votes_from = node.handle.status().epoch;
        nodes.push(node);
        let everyone: Vec<&Node> = nodes.iter().collect();
        wait_for_height(&everyone, (votes_from + 1) * EPOCH + 2);
        assert_one_chain(&everyone);
        // A certificate holds the votes that came first, so that one of its own may take a while to be among them.
        wait_for("a vote of its own in a certificate", 20, || {
            let mut voted = false;
            for height in wiped_at..nodes[0].height() {
                for node in &nodes {
                    let Some(certificate) = node.store.certificate(height).unwrap() else {
                        continue;
                    };
                    let signer = members.signer(certificate.epoch, 3);
                    let votes = certificate.signers.contains(&signer);
                    assert!(!votes || certificate.epoch >= votes_from, "height {height}");
                    voted |= votes;
                }
            }
            voted
        });
    }
    // An older copy of its ledger: it says so, and without its votes it begins where that ends.
    nodes.pop().unwrap().stop();
    let copy = directory.path().join("copy");
    copy_directory(&ledger, &copy);
    nodes.push(members.start(wiped));
    let goal = nodes[0].height() + 5;
    wait_for_height(&[&nodes[3]], goal);
    nodes.pop().unwrap().stop();
    fs::remove_dir_all(&ledger).unwrap();
    copy_directory(&copy, &ledger);
    let refused = members.try_start(members.config(wiped), &wiped.directory);
    let error = refused.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("lost block"), "{error}");
    fs::remove_dir_all(&ordering).unwrap();
    nodes.push(members.start(wiped));
    assert!(lost(nodes[3].handle.status().seat));
    wait_for_height(&[&nodes[3]], goal + 5);
    for node in nodes {
        node.stop();
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
