//! Certificates on the ledger, with real processes: a revoked firm tried at every door, members that get other keys, and a
//! network that goes on when every certificate has ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sealbook_identity::{Role, files, fingerprint};
use sealbook_protocol::client::{RequestBody, ResponseBody, Stage};
use sealbook_sdk::{AnswerBody, Client, Prepared, Question, Sealed};
use sealbook_securities::{ClientReference, Code, Instruction, MemberName, Outcome};
use sealbook_system::TestNetwork;
use sealbook_system::network::wait_for;

use super::{certified, now_ms};

fn enrol(network: &TestNetwork, name: &str) {
    let enrol = ["member", "enrol", name, "--role", "firm", "--organisation"];
    let ran = network.sealbook(&[&enrol[..], &["Somebody"]].concat());
    let _ = ran.expect_code(0);
}

/// An order that any firm may give.
fn grant(reference: &str) -> Prepared {
    let venue = MemberName::new("admin").unwrap();
    let reference = ClientReference::new(reference).unwrap();
    Prepared::instruction(Some(reference), Instruction::GrantMandate { venue }).unwrap()
}

pub fn gives_orders(client: &mut Client, reference: &str) -> Vec<Outcome> {
    let submitted = client.submit(&[grant(reference)], Stage::Final).unwrap();
    submitted.outcomes
}

fn told(client: &Client, node: usize) -> String {
    client.status_of(node).unwrap_err().to_string()
}

fn height(network: &TestNetwork) -> u64 {
    network.client("admin", 0).status_of(0).unwrap().height
}

#[test]
fn a_revoked_firm_is_refused_at_every_door() {
    let mut network = TestNetwork::running(4, 0);
    network.agreement();
    for name in ["alpha", "beta"] {
        enrol(&network, name);
    }
    let nodes = network.node_names();
    let mut alpha = network.client("alpha", 0);
    alpha.set_sessions(true);
    assert_eq!(gives_orders(&mut alpha, "A1"), [Outcome::SETTLED]);
    // Connections that are open and at rest, and envelopes that were sealed in time.
    let mut wires: Vec<_> = nodes
        .iter()
        .map(|node| network.wire("alpha", node))
        .collect();
    for wire in &mut wires {
        let status = wire.ask_all(vec![RequestBody::Status]);
        assert!(matches!(status[..], [ResponseBody::Status(_)]));
    }
    let sealed = alpha.seal(&[grant("A2")]).unwrap();

    let revoke = ["member", "revoke", "alpha", "--reason", "key-compromise"];
    let denied = network.sealbook(&[&["--as", "beta"], &revoke[..]].concat());
    assert!(denied.expect_code(5).err.contains("your role may not"));
    assert_eq!(gives_orders(&mut alpha, "A3"), [Outcome::SETTLED]);
    let _ = network.sealbook(&revoke).expect_code(0);

    // New connections are refused by every node, and those that were open are closed.
    for (node, wire) in wires.iter_mut().enumerate() {
        wait_for("the connection to be closed", || {
            let still = wire.try_ask(RequestBody::Status);
            still.is_none().then_some(())
        });
        let error = told(&alpha, node);
        assert!(error.contains("CertificateUnknown"), "{error}");
    }
    alpha.set_patience(Duration::from_secs(3));
    let orders = [grant("A4")];
    assert!(alpha.submit(&orders, Stage::Final).is_err());
    assert!(alpha.ask(&Question::Holdings).is_err());

    refused_inside(&network, &alpha, &sealed);
    // A node that starts again knows it from the ledger, also after a kill.
    network.kill("node-2");
    network.start("node-2");
    wait_for("node-2 to refuse it again", || {
        let up = network.client("beta", 1).status_of(1).is_ok();
        (up && alpha.status_of(1).is_err()).then_some(())
    });
    let error = told(&alpha, 1);
    assert!(error.contains("CertificateUnknown"), "{error}");
    let log = network.log("node-2");
    assert!(log.contains("was revoked on the ledger"), "{log}");

    under_another_key(&network);
    network.agreement();
}

/// Others may carry a revoked firm's envelopes for it; they are refused inside.
fn refused_inside(network: &TestNetwork, alpha: &Client, sealed: &Sealed) {
    let mut carrier = network.wire("beta", "node-2");
    let carried = carrier.ask_all(vec![sealed.request()]);
    assert!(
        matches!(carried[..], [ResponseBody::Accepted]),
        "{carried:?}"
    );
    let reply = wait_for("the refusal", || {
        let wait = RequestBody::Await {
            transaction: sealed.transaction(),
            stage: Stage::Outcome,
            timeout_ms: 1_000,
        };
        match carrier.ask_all(vec![wait]).pop() {
            Some(ResponseBody::Reply(reply)) => Some(reply),
            _ => None,
        }
    });
    let reply = sealed.open_outcome(&reply).unwrap();
    let refusal = borsh::to_vec(&Outcome::refused(Code::NotAMember)).unwrap();
    assert_eq!(reply.outcomes, std::slice::from_ref(&refusal));
    let asked = alpha.seal_question(&Question::Holdings).unwrap();
    let answer = carrier.ask_all(vec![asked.request()]).pop();
    let Some(ResponseBody::Answer(answer)) = answer else {
        panic!("{answer:?}")
    };
    let answer = asked.open(&answer).unwrap();
    assert_eq!(answer.body, AnswerBody::Refused(refusal));
}

/// Its own key brings a revoked firm back by no certificate; another one does, with an admin's order.
fn under_another_key(network: &TestNetwork) {
    let renew = ["--as", "alpha", "member", "renew"];
    let refused = network.sealbook(&renew).expect_code(5);
    assert!(
        refused.err.contains("does not know this certificate"),
        "{}",
        refused.err
    );
    let asked = network.scratch().join("asked");
    let asked_text = asked.to_str().unwrap();
    let request = [
        "--as",
        "alpha",
        "member",
        "request",
        "--new-key",
        "--out",
        asked_text,
    ];
    let _ = network.sealbook(&request).expect_code(0);
    let at = |name: &str| asked.join(name).to_str().unwrap().to_owned();
    let approve = [
        "ca",
        "approve",
        &at("request.pem"),
        "--out",
        &at("chain.pem"),
    ];
    let _ = network.sealbook(&approve).expect_code(0);
    let _ = network
        .sealbook(&["member", "renew", "--chain", &at("chain.pem")])
        .expect_code(0);
    let (chain, key) = (at("chain.pem"), at("key.pem"));
    let install = [&renew[..], &["--chain", &chain, "--key", &key]].concat();
    let _ = network.sealbook(&install).expect_code(0);
    assert_eq!(
        gives_orders(&mut network.client("alpha", 2), "A5"),
        [Outcome::SETTLED]
    );
    let former = fs::read_dir(network.folder().join("members").join("alpha")).unwrap();
    let names = former.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("former-")).count(), 1);
}

#[test]
fn members_renew_and_rotate_and_nodes_are_cut_off() {
    let mut network = TestNetwork::running(4, 0);
    network.agreement();
    enrol(&network, "alpha");
    let folder = network.folder().join("members").join("alpha");
    let leaf = |folder: &Path| {
        let chain = files::read_chain(&folder.join("chain.pem")).unwrap();
        fingerprint(&chain[0])
    };
    let first = leaf(&folder);
    // With the CA in the folder one command does it all, for the same key and for another.
    let renew = ["--json", "--as", "alpha", "member", "renew"];
    let ran = network.sealbook(&renew).expect_code(0).json();
    assert_eq!(ran["outcome"], "settled");
    let second = leaf(&folder);
    let _ = network
        .sealbook(&[&renew[..], &["--new-key"]].concat())
        .expect_code(0);
    let third = leaf(&folder);
    assert!(first != second && second != third && first != third);
    assert_eq!(
        gives_orders(&mut network.client("alpha", 1), "A1"),
        [Outcome::SETTLED]
    );
    // The former ones count until they end or are revoked.
    let former = ran["former"].as_str().unwrap();
    let old = network.client_from(Path::new(former), 0);
    old.status_of(0).unwrap();
    let chain = Path::new(former).join("chain.pem");
    let revoke = |chain: &Path, code| {
        let chain = chain.to_str().unwrap();
        let words = [
            "member",
            "revoke",
            "--reason",
            "superseded",
            "--chain",
            chain,
        ];
        network.sealbook(&words).expect_code(code)
    };
    let _ = revoke(&chain, 0);
    wait_for("the former certificate to be refused", || {
        old.status_of(0).is_err().then_some(())
    });
    network.client("alpha", 0).status_of(0).unwrap();
    let ran = network.sealbook(&renew).expect_code(0).json();
    assert_eq!(ran["outcome"], "settled");
    let shown = network
        .sealbook(&["--json", "--as", "alpha", "member", "show"])
        .expect_code(0)
        .json();
    let known = shown["certificates"].as_array().unwrap();
    let revoked = known.iter().filter(|one| !one["revoked"].is_null());
    assert_eq!((known.len(), revoked.count()), (4, 1), "{shown}");
    // What is not well said.
    for words in [
        &["member", "revoke", "--reason", "superseded"][..],
        &["member", "revoke", "alpha", "--reason", "boredom"],
        &["--as", "alpha", "member", "renew", "--key", "x.pem"],
        &[
            "node",
            "renew",
            "node-1",
            "--chain",
            chain.to_str().unwrap(),
        ],
    ] {
        let ran = network.sealbook(words).expect_code(2);
        assert!(ran.err.contains("error: "), "{}", ran.err);
    }
    let lone = network.sealbook(&["member", "revoke", "admin", "--reason", "superseded"]);
    assert!(lone.expect_code(4).err.contains("in force or decided"));

    nodes_are_cut_off(&mut network);
}

/// A node's certificate is revoked: the others cut its links at once, and go on without it.
fn nodes_are_cut_off(network: &mut TestNetwork) {
    let revoke = |network: &TestNetwork, node: &str, code| {
        let chain = network.folder().join(node).join("chain.pem");
        let chain = chain.to_str().unwrap().to_owned();
        let words = [
            "member",
            "revoke",
            "--reason",
            "superseded",
            "--chain",
            &chain,
        ];
        let _ = network.sealbook(&words).expect_code(code);
    };
    revoke(network, "node-4", 0);
    wait_for("the others to cut node-4 off", || {
        let others = ["node-1", "node-2", "node-3"];
        let told = others.map(|node| network.log(node).contains("a node is cut off"));
        told.iter().all(|told| *told).then_some(())
    });
    let of_4 = |network: &TestNetwork| {
        let status = network.client("admin", 0).status_of(3);
        status.unwrap().height
    };
    let (before, still) = (height(network), of_4(network));
    wait_for("three nodes to go on", || {
        (height(network) > before + 3).then_some(())
    });
    assert!(of_4(network) <= still + 1, "{still}");
    revoke(network, "node-3", 4);
    // A certificate anew for its key brings it back; once the ledger is told, another one may be cut off.
    network.stop("node-4");
    let _ = network
        .sealbook(&["node", "renew", "node-4"])
        .expect_code(0);
    network.start("node-4");
    let goal = height(network) + 3;
    network.wait_for_height("node-4", goal);
    network.agreement();
    revoke(network, "node-3", 4);
    let tell = ["node", "renew", "node-4", "--tell"];
    let _ = network.sealbook(&tell).expect_code(0);
    network.stop("node-4");
    network.start("node-4");
    let goal = height(network) + 3;
    network.wait_for_height("node-4", goal);
    revoke(network, "node-3", 0);
    let goal = height(network) + 3;
    network.wait_for_height("node-4", goal);
}

#[test]
fn a_network_goes_on_when_every_certificate_has_ended_and_renews_them() {
    let until_ms = now_ms() + 40_000;
    let until_ms = until_ms - until_ms % 1_000;
    let until = jiff::Timestamp::from_millisecond(i64::try_from(until_ms).unwrap()).unwrap();
    let until = until.to_string();
    let more = ["--certificates-until", &until, "--epoch-blocks", "16"];
    let mut network = TestNetwork::create(4, 0, &more);
    network.start_all();
    network.agreement();
    // A firm whose certificate ends with the others.
    let short = certified(&network, "alpha", Role::Firm, (now_ms() - 60_000, until_ms));
    let alpha = network.folder().join("members").join("alpha");
    fs::rename(&short, &alpha).unwrap();
    let admit = ["member", "admit", alpha.join("chain.pem").to_str().unwrap()].map(str::to_owned);
    let _ = network.sealbook(&admit).expect_code(0);
    assert_eq!(
        gives_orders(&mut network.client("alpha", 0), "A1"),
        [Outcome::SETTLED]
    );
    let before = height(&network);
    while now_ms() <= until_ms + 2_000 {
        std::thread::sleep(Duration::from_millis(200));
    }
    // Nobody is let in any more, whatever the nodes are still doing among themselves.
    let client = network.client("alpha", 0);
    for node in 0..4 {
        assert!(
            told(&client, node).contains("xpired"),
            "{}",
            told(&client, node)
        );
    }
    // Nodes that are killed find each other again under certificates that have ended.
    network.kill_all();
    let killed_ms = now_ms();
    for node in network.node_names() {
        network.start(&node);
    }
    std::thread::sleep(Duration::from_secs(10));
    let renewed_ms = now_ms();

    // The CA has been away all the while. Nodes are renewed one after the other, and then the members.
    for node in network.node_names() {
        network.stop(&node);
        let _ = network.sealbook(&["node", "renew", &node]).expect_code(0);
        network.start(&node);
    }
    for member in ["admin", "alpha"] {
        let _ = network
            .sealbook(&["--as", member, "member", "renew"])
            .expect_code(0);
    }
    assert_eq!(
        gives_orders(&mut network.client("alpha", 3), "A2"),
        [Outcome::SETTLED]
    );
    network.agreement();
    // Agreement never stopped, and committee epochs went on.
    let blocks = network.blocks_of("node-4");
    let between = |from_ms: u64, to_ms: u64| {
        let times = blocks.iter().map(|block| block.header.time_ms);
        times
            .filter(|time_ms| (from_ms..to_ms).contains(time_ms))
            .count()
    };
    let (first, second) = (between(until_ms, killed_ms), between(killed_ms, renewed_ms));
    assert!(first >= 1 && second >= 3, "{first} and {second} blocks");
    let epoch = |height: u64| {
        let block = blocks.iter().find(|block| block.header.height == height);
        block.unwrap().header.epoch
    };
    assert!(epoch(blocks.last().unwrap().header.height) > epoch(before));
}
