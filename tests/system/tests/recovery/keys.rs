//! Key epochs while the network works, and the drill in which all modules have lost their keys.

use std::fs;
use std::path::Path;

use sealbook_system::TestNetwork;
use sealbook_system::checks;
use sealbook_system::clients::transfer;
use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::network::wait_for;

use crate::committees::epoch;
use crate::short_epochs;

/// Decides a change as the one admin that it needs.
fn decide(network: &TestNetwork, change: &[&str]) {
    let words = ["--json", "governance", "propose"];
    let arguments: Vec<&str> = words.iter().chain(change).copied().collect();
    let proposed = network.sealbook(&arguments).expect_code(0).json();
    assert_eq!(proposed["outcome"], "settled", "{proposed}");
}

fn present_epoch(network: &TestNetwork) -> u64 {
    epoch(network)["present"]["epoch"].as_u64().unwrap()
}

fn wait_for_key_epoch(network: &TestNetwork, key_epoch: u64) {
    wait_for(&format!("key epoch {key_epoch}"), || {
        let present = &epoch(network)["present"];
        (present["key_epoch"].as_u64()? >= key_epoch).then_some(())
    });
}

#[test]
fn key_epochs_begin_while_members_work_and_the_auditor_follows() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(10);
    // A client that knows only the first opening key.
    let mut client = network.client("alpha", 0);
    let early = client
        .seal(&[transfer("sealed-early", crowd::ISIN, 1, "A-1", "B-1")])
        .unwrap();
    decide(&network, &["rotate-keys", "--suite", "x-wing"]);
    wait_for_key_epoch(&network, 1);
    assert_eq!(epoch(&network)["present"]["suite"], 2);
    crowd.wait_for_more(10);
    // What was sealed before is still opened for a while.
    let submitted = client.submit_sealed(&early, sealbook_sdk::Stage::Final);
    assert!(submitted.unwrap().outcomes[0].is_accepted());
    // A node whose module begins anew from a snapshot of the new key epoch, and one that executes everything again.
    network.kill("node-2");
    network.start("node-2");
    crowd.wait_for_more(10);
    // Whoever is removed may have been away meanwhile, and is some epochs behind when it comes to hear of it.
    network.kill("node-4");
    decide(&network, &["remove-validator", "node-4"]);
    wait_for_key_epoch(&network, 2);
    let left = present_epoch(&network);
    wait_for("the epoch after that of the removal", || {
        (present_epoch(&network) > left).then_some(())
    });
    network.start("node-4");
    wait_for("node-4 to know that it was not given the new root", || {
        network.log("node-4").contains("not given").then_some(())
    });
    network.stop("node-4");
    crowd.wait_for_more(10);
    let mut done = crowd.end();
    done.alpha_also_gave_beta(1);
    let new_key = network.scratch().join("audit-2.key");
    let shown = new_key.to_str().unwrap();
    let _ = network.sealbook(&["audit", "key", shown]).expect_code(0);
    decide(
        &network,
        &["set-auditors", &format!("regulator={shown}.pub")],
    );
    wait_for_key_epoch(&network, 3);
    let mut client = network.client("alpha", 0);
    let order = transfer("after-the-audit-key", crowd::ISIN, 1, "A-1", "B-1");
    let submitted = client.submit(&[order], sealbook_sdk::Stage::Final).unwrap();
    assert!(submitted.outcomes[0].is_accepted(), "{submitted:?}");
    done.alpha_also_gave_beta(1);
    done.check(&network);
    network.stop_all();

    // The founding key opens what it was entitled to, and nothing newer; with the new key everything is opened.
    let copy = network.folder().join("node-1");
    let first = network.folder().join("audit.key");
    let old = network.audit_with(&copy, &first).expect_code(0).json();
    assert_eq!(old["not_given_key_epoch"], 3, "{old}");
    assert_eq!(old["key_epochs"], 3, "{old}");
    assert!(old["replayed_height"].as_u64() < old["height"].as_u64());
    let both = ["--key", first.to_str().unwrap(), "--key", shown];
    let ledger = copy.to_str().unwrap();
    let words = ["--json", "audit", "verify", "--ledger", ledger];
    let arguments: Vec<&str> = words.iter().chain(&both).copied().collect();
    let both = network.sealbook(&arguments).expect_code(0).json();
    assert_eq!(both["key_epochs"], 4, "{both}");
    assert_eq!(both["replayed_height"], both["height"], "{both}");
    assert!(both["not_given_key_epoch"].is_null(), "{both}");
}

/// A holder's own folder, with nothing in it but what the holder was sent.
fn contribute(network: &TestNetwork, holder: usize, record: &Path, modules: &[String]) -> String {
    let folder = network.scratch().join(format!("holder-{holder}"));
    fs::create_dir_all(&folder).unwrap();
    let own = network
        .folder()
        .join("recovery")
        .join(format!("holder-{holder}"))
        .join("holder.key");
    fs::rename(own, folder.join("holder.key")).unwrap();
    fs::copy(record, folder.join("record")).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, record, out) = (path("holder.key"), path("record"), path("share"));
    let mut arguments = vec![
        "recovery",
        "contribute",
        "--key",
        &key,
        "--record",
        &record,
        "--out",
        &out,
    ];
    arguments.extend(["--to", &modules[0]]);
    for module in modules {
        arguments.extend(["--module", module]);
    }
    let _ = network.programs().sealbook(&arguments).expect_code(0);
    out
}

#[test]
fn two_of_three_holders_bring_back_a_network_whose_modules_lost_all_keys() {
    let shares = ["--recovery-holders", "3", "--recovery-threshold", "2"];
    let mut network = short_epochs(4, 0, &shares);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(10);
    decide(&network, &["rotate-keys"]);
    wait_for_key_epoch(&network, 1);
    crowd.wait_for_more(10);
    let mut done = crowd.end();
    network.stop_all();

    let nodes = ["node-1", "node-2", "node-3", "node-4"];
    let modules: Vec<String> = nodes
        .iter()
        .map(|node| {
            let made = network.sealbook(&["--json", "recovery", "module", node]);
            let folder = network.folder().join("modules").join(node);
            for lost in ["module.key.lost", "root-0.lost"] {
                fs::remove_file(folder.join(lost)).unwrap();
            }
            let made = made.expect_code(0).json();
            made["public"].as_str().unwrap().to_owned()
        })
        .collect();
    let record = network.scratch().join("record");
    let shown = record.to_str().unwrap();
    let told = network
        .sealbook(&["--json", "recovery", "record", "node-1", "--out", shown])
        .expect_code(0)
        .json();
    assert_eq!(told["key_epoch"], 1, "{told}");
    let one = contribute(&network, 1, &record, &modules);
    let three = contribute(&network, 3, &record, &modules);
    let roots = network.scratch().join("roots");
    let finish = |shares: &[&str]| {
        let out = roots.to_str().unwrap();
        let words = [
            "recovery", "finish", "node-1", "--record", shown, "--out", out,
        ];
        let arguments: Vec<&str> = words.iter().chain(shares).copied().collect();
        network.sealbook(&arguments)
    };
    let refused = finish(&[&one]).expect_code(1);
    assert!(
        refused.err.contains("1 different shares of 2"),
        "{}",
        refused.err
    );
    // A share that was changed on its way is named.
    let damaged = format!("{three}-damaged");
    let mut bytes = fs::read(&three).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let refused = finish(&[&one, &damaged]).expect_code(1);
    assert!(refused.err.contains("contribution 2"), "{}", refused.err);
    let _ = finish(&[&one, &three]).expect_code(0);
    for node in nodes {
        let folder = network.folder().join("modules").join(node);
        fs::copy(&roots, folder.join("root-0")).unwrap();
    }
    network.start_all();
    let mut client = network.client("alpha", 0);
    let order = transfer("after-recovery", crowd::ISIN, 1, "A-1", "B-1");
    let submitted = client.submit(&[order], sealbook_sdk::Stage::Final).unwrap();
    assert!(submitted.outcomes[0].is_accepted(), "{submitted:?}");
    done.alpha_also_gave_beta(1);
    done.check(&network);
    for node in nodes {
        decide(&network, &["replace-module", node]);
    }
    wait_for_key_epoch(&network, 2);
    checks::in_one_state(&network);
    network.stop_all();
    let report = network
        .audit(&network.folder().join("node-1"))
        .expect_code(0);
    assert_eq!(report.json()["key_epochs"], 3);
}
