//! Certificates, genesis documents and policies that are not the right ones.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

mod certificates;
mod endings;
mod locked;
mod readings;
mod registry;
mod revoked;
mod rules;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{Role, files, pem};
use sealbook_ledger::Genesis;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_sdk::{ClientError, Question};
use sealbook_system::TestNetwork;
use sealbook_system::files::copy_folder;
use sealbook_system::network::wait_for;
use sealbook_system::scenario::{line, run};
use serde_json::json;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

fn now_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(passed.as_millis()).unwrap()
}

fn network_name(network: &TestNetwork) -> String {
    Genesis::decode(&fs::read(network.folder().join("genesis")).unwrap())
        .unwrap()
        .network_name
}

/// A key and a certificate of a network's own CA, in a folder.
fn certified(network: &TestNetwork, name: &str, role: Role, validity: (u64, u64)) -> PathBuf {
    let authority = Authority::open(&network.folder().join("ca")).unwrap();
    let seed = Secret32::random();
    let request =
        certificate_request(name, "Somebody", role, None, &network_name(network), &seed).unwrap();
    let chain = authority.approve(&request, validity).unwrap();
    let folder = network.scratch().join(format!("certified-{name}"));
    fs::create_dir_all(&folder).unwrap();
    files::write_private_key(&folder.join("key.pem"), &seed).unwrap();
    files::write_chain(
        &folder.join("chain.pem"),
        &pem::chain_from_pem(&chain).unwrap(),
    )
    .unwrap();
    folder
}

/// A client with these keys gets through to no node; returns what it is told.
fn refused(network: &TestNetwork, folder: &Path) -> String {
    let mut client = network.client_from(folder, 0);
    client.set_patience(Duration::from_secs(3));
    for node in 0..network.node_names().len() {
        let error = client.status_of(node).unwrap_err();
        eprintln!("node {node}: {error}");
    }
    let error = client.ask(&Question::Holdings).unwrap_err();
    assert!(!matches!(error, ClientError::FalseAnswer), "{error}");
    error.to_string()
}

#[test]
fn certificates_that_open_no_door() {
    let mut network = TestNetwork::running(4, 1);
    network.agreement();
    let now = now_ms();

    // Another network's CA, even with the same names.
    let stranger = TestNetwork::create(1, 0, &["--name", &network_name(&network)]);
    let folder = stranger.folder().join("members").join("admin");
    let told = refused(&network, &folder);
    assert!(
        told.contains("not from this network's CA"),
        "a stranger is told: {told}"
    );

    let folder = certified(
        &network,
        "late",
        Role::Admin,
        (now - 50 * MINUTE_MS, now - MINUTE_MS),
    );
    let told = refused(&network, &folder);
    assert!(
        told.to_lowercase().contains("expired"),
        "the late one is told: {told}"
    );

    // Certified, but the ledger has never admitted it.
    let folder = certified(
        &network,
        "newbie",
        Role::Firm,
        (now - MINUTE_MS, now + DAY_MS),
    );
    let members = network.folder().join("members");
    copy_folder(&folder, &members.join("newbie"));
    let key = members.join("newbie").join("key.pem");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let lines = [
        line("newbie", "holdings", json!({})),
        line(
            "newbie",
            "open-account",
            json!({"account": "N-1", "holder": "Nobody"}),
        ),
        line("newbie", "audit", json!({})),
    ];
    let answers = run(&network, lines.concat().as_bytes());
    for number in 1..=3 {
        assert_eq!(
            answers.bytes(number),
            r#""outcome":"denied","code":"not-a-member"}"#
        );
    }
    let ran = network
        .sealbook(&["--as", "newbie", "member", "show"])
        .expect_code(5);
    assert!(
        ran.err.contains("does not know this certificate"),
        "{}",
        ran.err
    );
    let chain = members.join("newbie").join("chain.pem");
    let admit = ["member", "admit", chain.to_str().unwrap()];
    let ran = network
        .sealbook(&[&["--as", "newbie"][..], &admit].concat())
        .expect_code(5);
    assert!(
        ran.err.contains("denied"),
        "nobody admits itself: {}",
        ran.err
    );
    let _ = network.sealbook(&admit).expect_code(0);
    let answers = run(&network, lines.concat().as_bytes());
    let outcomes: Vec<_> = answers
        .lines
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["answer", "settled", "denied"]);

    a_firm_is_no_node(&mut network, &members.join("newbie"));
}

/// The certificate of a firm in the place of a node's.
fn a_firm_is_no_node(network: &mut TestNetwork, firm: &Path) {
    network.stop("node-4");
    let folder = network.folder().join("node-4");
    let kept = network.scratch().join("node-4-keys");
    fs::create_dir_all(&kept).unwrap();
    for name in ["key.pem", "chain.pem"] {
        fs::copy(folder.join(name), kept.join(name)).unwrap();
        fs::copy(firm.join(name), folder.join(name)).unwrap();
    }
    network.start("node-4");
    assert_eq!(
        network.wait_for_end("node-4"),
        Some(1),
        "a node whose key is no node's ends"
    );
    let log = network.log("node-4");
    assert!(log.contains("error: ordering"), "and says why: {log}");
    // Its owner may tell it otherwise, but not the others.
    let key = |folder: &Path| {
        let seed = files::read_private_key(&folder.join("key.pem")).unwrap();
        SigningKey::from_secret(&seed).verifying_key().to_string()
    };
    let config = folder.join("node.toml");
    let before = fs::read_to_string(&config).unwrap();
    assert_ne!(key(&kept), key(&folder));
    let own = format!(
        "\n[[peers]]\nname = \"node-4\"\nvote_key = \"{}\"\naddress = \"127.0.0.1:1\"\n",
        key(&folder)
    );
    fs::write(&config, format!("{before}{own}")).unwrap();
    network.start("node-4");
    let client = network.client("admin", 0);
    let told = wait_for("the pretender to serve or to end", || {
        let error = client.status_of(3).unwrap_err().to_string();
        (!error.contains("cannot connect") || network.ended("node-4")).then_some(error)
    });
    eprintln!("the pretender: {told}");
    for _ in 0..20 {
        let status = network.status();
        assert!(
            status["node-1"]["peers"].as_u64().unwrap() <= 3,
            "{status:?}"
        );
        assert!(status["node-4"]["height"].is_null(), "{status:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    network.forget("node-4");
    fs::write(&config, before).unwrap();
    for name in ["key.pem", "chain.pem"] {
        fs::copy(kept.join(name), folder.join(name)).unwrap();
    }
    network.start("node-4");
    network.agreement();
}

#[test]
fn a_module_handed_another_genesis_refuses() {
    let mut network = TestNetwork::create(4, 0, &[]);
    let path = network
        .folder()
        .join("node-1")
        .join("ledger")
        .join("genesis");
    let bytes = fs::read(&path).unwrap();
    let genesis = Genesis::decode(&bytes).unwrap();
    let mut forged = genesis.clone();
    forged.validators[3].vote_key = SigningKey::generate().verifying_key();
    let mut parameters = genesis.clone();
    parameters.parameters.clock_drift_ms += 1;
    let mut policies = genesis;
    policies.policies[0].text.push('\n');
    for (what, forged) in [
        ("committee", forged),
        ("parameters", parameters),
        ("policies", policies),
    ] {
        fs::write(&path, forged.encode()).unwrap();
        network.start("node-1");
        assert_eq!(
            network.wait_for_end("node-1"),
            Some(1),
            "with another {what}"
        );
        let log = network.log("node-1");
        assert!(log.contains("error: execution module: "), "{what}: {log}");
        eprintln!("{what}: {log}");
        fs::remove_file(network.folder().join("node-1").join("node.log")).unwrap();
    }
    let mut cut = bytes.clone();
    cut.truncate(cut.len() / 2);
    fs::write(&path, cut).unwrap();
    network.start("node-1");
    assert_eq!(network.wait_for_end("node-1"), Some(1));
    assert!(
        network.log("node-1").contains("error: genesis: "),
        "{}",
        network.log("node-1")
    );
    // With its own it starts, after all that.
    fs::write(&path, bytes).unwrap();
    network.start_all();
    network.agreement();
}

#[test]
fn deleting_one_rule_changes_an_outcome() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let temporary = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(policies).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, temporary.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let lines = [
        line(
            "admin",
            "enrol",
            json!({"name": "alpha", "role": "firm", "organisation": "Alpha"}),
        ),
        line(
            "alpha",
            "open-account",
            json!({"account": "A-1", "holder": "Hanako Sato"}),
        ),
        line("alpha", "trades", json!({})),
        line("alpha", "holdings", json!({})),
    ]
    .concat();
    let folder = temporary.path().to_str().unwrap().to_owned();
    let mut outcomes = Vec::new();
    for delete in [false, true] {
        if delete {
            without_rule(
                &temporary.path().join("firm.cedar"),
                "firm-opens-accounts-for-its-clients",
            );
        }
        let mut network = TestNetwork::create(1, 0, &["--policies", &folder]);
        network.start_all();
        let answers = run(&network, lines.as_bytes());
        let codes = answers.lines.iter().map(|line| {
            let code = line["code"].as_str().or(line["outcome"].as_str());
            code.unwrap().to_owned()
        });
        outcomes.push(codes.collect::<Vec<_>>());
    }
    assert_eq!(outcomes[0], ["settled", "settled", "answer", "answer"]);
    assert_eq!(
        outcomes[1],
        ["settled", "not-permitted", "answer", "answer"]
    );
    // A rule that is none is no network.
    fs::write(temporary.path().join("firm.cedar"), "permit everything").unwrap();
    let target = temporary.path().join("network");
    let programs = sealbook_system::programs::Programs::hold();
    let arguments = [
        "network",
        "create",
        target.to_str().unwrap(),
        "--policies",
        &folder,
    ];
    let ran = programs.sealbook(&arguments).expect_code(1);
    assert!(
        ran.err.contains("firm.cedar"),
        "the file is named: {}",
        ran.err
    );
}

/// Deletes a rule, from its `@id` to its semicolon.
fn without_rule(file: &Path, id: &str) {
    let text = fs::read_to_string(file).unwrap();
    let start = text.find(&format!("@id(\"{id}\")")).unwrap();
    let end = start + text[start..].find(';').unwrap() + 1;
    fs::write(file, format!("{}{}", &text[..start], &text[end..])).unwrap();
}

#[test]
fn starting_stopping_and_wrong_use_in_the_background() {
    let network = TestNetwork::create(1, 1, &[]);
    let _ = network.sealbook(&["network", "start"]).expect_code(0);
    let running = Background(&network);
    wait_for("both nodes", || {
        let status = network.status();
        (status.len() == 2 && status.values().all(|row| row["height"].is_u64())).then_some(())
    });
    let again = network
        .sealbook(&["--json", "network", "start"])
        .expect_code(0)
        .json();
    assert_eq!(again["started"], json!([]), "what runs is left alone");
    let ran = network
        .sealbook(&["network", "stop", "--node", "node-9"])
        .expect_code(2);
    assert!(
        ran.err.contains("node-1"),
        "the nodes are named: {}",
        ran.err
    );
    let stopped = network
        .sealbook(&["--json", "network", "stop", "--node", "node-2"])
        .expect_code(0);
    assert_eq!(stopped.json()["stopped"], json!(["node-2"]));
    assert!(
        network.folder().join("node-2").join("MANIFEST").is_file(),
        "sealed"
    );
    assert!(
        !network.folder().join("node-1").join("MANIFEST").exists(),
        "still running"
    );
    drop(running);
    let ran = network.sealbook(&["status"]).expect_code(1);
    assert!(ran.err.contains("hint: "), "{}", ran.err);
    // A module without its key, and the node says so.
    let module = network.folder().join("modules").join("node-1");
    let (key, aside) = (module.join("module.key"), module.join("module.key.aside"));
    fs::rename(&key, &aside).unwrap();
    let ran = network.sealbook(&["network", "start", "--node", "node-1"]);
    let ran = ran.expect_code(1);
    assert!(ran.err.contains("module.key` is not there"), "{}", ran.err);
    fs::rename(&aside, &key).unwrap();
    let again = network.folder().to_str().unwrap();
    let ran = network
        .programs()
        .sealbook(&["network", "create", again])
        .expect_code(1);
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
}

/// Nodes in the background, stopped whatever happens.
struct Background<'a>(&'a TestNetwork);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let ran = self.0.sealbook(&["network", "stop"]);
        assert!(ran.code == 0 || std::thread::panicking(), "{}", ran.err);
    }
}
