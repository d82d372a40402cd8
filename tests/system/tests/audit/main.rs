//! Offline audits of good, damaged and mixed-up copies of the ledger.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use sealbook_system::TestNetwork;
use sealbook_system::files::{copy_folder, files_below};
use sealbook_system::programs::Ran;
use sealbook_system::random::Random;
use sealbook_system::scenario::{line, run};
use serde_json::{Value, json};

const ISIN: &str = "US0378331005";
const SEED: u64 = 6962;

/// Books with something of everything; the last answer is the audit's.
fn fill(network: &TestNetwork) -> Value {
    let member = |name: &str, role: &str| {
        line(
            "admin",
            "enrol",
            json!({"name": name, "role": role, "organisation": name}),
        )
    };
    let mut text = member("alpha", "firm") + &member("beta", "firm") + &member("apple", "issuer");
    text += &member("bank", "cash-agent");
    text += &line("admin", "open-day", json!({"date": "2012-08-08"}));
    text += &line(
        "admin",
        "register-issue",
        json!({"isin": ISIN, "issuer": "apple", "name": "Apple",
        "kind": "equity", "decimals": 0, "currency": "USD", "treasury": "T"}),
    );
    text += &line(
        "admin",
        "issue-units",
        json!({"isin": ISIN, "quantity": "5000"}),
    );
    text += &line(
        "alpha",
        "open-account",
        json!({"account": "A-1", "holder": "Hanako Sato"}),
    );
    text += &line(
        "beta",
        "open-account",
        json!({"account": "B-1", "holder": "Jane Doe"}),
    );
    text += &line(
        "admin",
        "allocate",
        json!({"isin": ISIN, "account": "A-1", "quantity": "1000"}),
    );
    for account in ["B-1", "T"] {
        let fields = json!({"currency": "USD", "account": account, "amount": "90000.00"});
        text += &line("bank", "mint-cash", fields);
    }
    for number in 0..8 {
        let fields = json!({"id": format!("D{number}"), "side": "sell", "account": "A-1",
            "counterparty": "beta", "isin": ISIN, "quantity": "10", "currency": "USD", "amount": "6198.60"});
        text += &line("alpha", "record-trade", fields);
        text += &line(
            "beta",
            "confirm-trade",
            json!({"id": format!("D{number}"), "account": "B-1"}),
        );
    }
    text += &line(
        "admin",
        "dividend",
        json!({"id": "CA1", "isin": ISIN, "amount_per_unit": "2.65", "currency": "USD"}),
    );
    text += &line(
        "admin",
        "split",
        json!({"id": "CA2", "isin": ISIN, "new": 7, "old": 1}),
    );
    text += &line("admin", "audit", json!({}));
    let answers = run(network, text.as_bytes());
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
    answers.last()["answer"].clone()
}

/// What two audits of the same books agree on, at whatever height.
fn totals(audit: &Value) -> Value {
    let mut audit = audit.clone();
    for field in ["height", "state_root"] {
        audit.as_object_mut().unwrap().remove(field);
    }
    audit
}

/// A copy of a node's folder, or of something in it.
fn copy_of(network: &TestNetwork, node: &str, name: &str) -> PathBuf {
    let copy = network.scratch().join(name);
    copy_folder(&network.folder().join(node), &copy);
    copy
}

/// Changes a file for as long as `look` runs.
fn with_changed<T>(file: &Path, change: impl FnOnce(&mut Vec<u8>), look: impl FnOnce() -> T) -> T {
    let before = fs::read(file).unwrap();
    let mut bytes = before.clone();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
    let seen = look();
    fs::write(file, before).unwrap();
    seen
}

fn flip(random: &mut Random) -> impl FnOnce(&mut Vec<u8>) {
    let (place, bit) = (random.next(), random.below(8));
    move |bytes| {
        let index = usize::try_from(place % bytes.len() as u64).unwrap();
        bytes[index] ^= 1 << bit;
    }
}

/// An audit that found damage says so in one clear error.
fn found(ran: Ran, what: &str) -> Ran {
    assert_eq!(ran.code, 6, "{what}: {}{}", ran.out, ran.err);
    assert!(
        ran.out.is_empty(),
        "{what}: totals of a damaged copy are shown: {}",
        ran.out
    );
    ran.expect_code(6)
}

#[test]
fn copies_of_stopped_nodes() {
    let mut network = TestNetwork::running(4, 1);
    let live = fill(&network);
    let (height, root) = network.agreement();
    network.stop_all();
    good_copies(&network, &live, height, &root);
    let copy = copy_of(&network, "node-2", "sealed");
    flipped_bytes(&network, &copy);
    truncated_missing_and_added(&network, &copy);
    // Nothing of all that has changed the copy for good.
    let _ = network.audit(&copy).expect_code(0);
    mixed_up(&network, &copy);
}

fn good_copies(network: &TestNetwork, live: &Value, height: u64, root: &str) {
    let mut roots = Vec::new();
    for node in network.node_names() {
        let copy = copy_of(network, &node, &format!("good-{node}"));
        let before: Vec<_> = files_below(&copy)
            .iter()
            .map(|file| fs::read(file).unwrap())
            .collect();
        let report = network.audit(&copy).expect_code(0).json();
        assert_eq!(report["sealed_copy"], true, "{node}");
        assert_eq!(report["uncertified_blocks"], 0, "{node}");
        assert_eq!(totals(&report["totals"]), totals(live), "{node}");
        assert_eq!(report["orders"]["pending"], 8, "{report}");
        assert_eq!(report["unopened"], 0, "{report}");
        if report["height"] == height {
            assert_eq!(report["state_root"], *root, "{node}");
        }
        roots.push((
            report["height"].as_u64().unwrap(),
            report["state_root"].clone(),
        ));
        let after: Vec<_> = files_below(&copy)
            .iter()
            .map(|file| fs::read(file).unwrap())
            .collect();
        assert_eq!(before, after, "an audit does not write to the copy");
        // The ledger folder alone will do; it has no seal.
        let report = network.audit(&copy.join("ledger")).expect_code(0).json();
        assert_eq!(report["sealed_copy"], false);
        assert_eq!(totals(&report["totals"]), totals(live));
        let text = network.programs().sealbook(&[
            "audit",
            "verify",
            "--ledger",
            copy.to_str().unwrap(),
            "--key",
            network.folder().join("audit.key").to_str().unwrap(),
        ]);
        let text = text.expect_code(0).out;
        assert!(text.contains(ISIN) && text.contains("35000"), "{text}");
    }
    roots.sort_by_key(|(height, _)| *height);
    for pair in roots.windows(2) {
        assert!(
            pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1,
            "{roots:?}"
        );
    }
}

fn flipped_bytes(network: &TestNetwork, copy: &Path) {
    let mut random = Random::new(SEED);
    let files = files_below(copy);
    let mut tried = 0;
    for file in &files {
        let name = file.strip_prefix(copy).unwrap().display().to_string();
        let votes = name.starts_with("votes");
        // Of the many small files of the vote log, some; of all others, several places.
        let rounds = if fs::metadata(file).unwrap().len() == 0 {
            0
        } else if votes {
            u64::from(random.below(8) == 0)
        } else {
            6
        };
        for _ in 0..rounds {
            let change = flip(&mut random);
            let ran = with_changed(file, change, || network.audit(copy));
            found(ran, &name);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} of {} files", files.len());
}

fn truncated_missing_and_added(network: &TestNetwork, copy: &Path) {
    for file in files_below(copy) {
        let name = file.strip_prefix(copy).unwrap().display().to_string();
        let length = fs::metadata(&file).unwrap().len();
        if name.starts_with("votes") || length == 0 {
            continue;
        }
        for left in [0, length / 2, length - 1] {
            let left = usize::try_from(left).unwrap();
            let ran = with_changed(&file, |bytes| bytes.truncate(left), || network.audit(copy));
            found(ran, &format!("{name} cut to {left}"));
        }
        let ran = with_changed(&file, |bytes| bytes.push(0), || network.audit(copy));
        found(ran, &format!("{name} with a byte more"));
        if name == "MANIFEST" || name == "ledger/genesis" {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let ran = found(network.audit(copy), &format!("{name} missing"));
        assert!(
            ran.err.contains(&name),
            "what is missing is named: {}",
            ran.err
        );
        fs::write(&file, bytes).unwrap();
    }
    let added = copy.join("ledger").join("added");
    fs::write(&added, "x").unwrap();
    found(network.audit(copy), "a file too many");
    fs::remove_file(added).unwrap();
    // Without its genesis it is no ledger at all.
    let genesis = copy.join("ledger/genesis");
    let bytes = fs::read(&genesis).unwrap();
    fs::remove_file(&genesis).unwrap();
    let ran = network.audit(copy).expect_code(1);
    assert!(ran.err.contains("no ledger in"), "{}", ran.err);
    fs::write(&genesis, bytes).unwrap();
    let ran = network
        .audit(&network.scratch().join("nowhere"))
        .expect_code(1);
    assert!(ran.err.contains("nowhere"), "{}", ran.err);
}

/// Files and keys that are good, but not of this node or network.
fn mixed_up(network: &TestNetwork, copy: &Path) {
    for name in ["ledger/blocks/db", "chain.pem", "node.toml", "MANIFEST"] {
        let other = fs::read(network.folder().join("node-3").join(name)).unwrap();
        let ran = with_changed(
            &copy.join(name),
            |bytes| *bytes = other,
            || network.audit(copy),
        );
        found(ran, name);
    }
    let stranger = TestNetwork::create(1, 0, &[]);
    let foreign_key = stranger.folder().join("audit.key");
    let ran = found(
        network.audit_with(copy, &foreign_key),
        "another network's audit key",
    );
    assert!(ran.err.contains("audit"), "{}", ran.err);
    let genesis = fs::read(stranger.folder().join("genesis")).unwrap();
    let unsealed = copy.join("ledger");
    let ran = with_changed(
        &unsealed.join("genesis"),
        |bytes| *bytes = genesis,
        || network.audit(&unsealed),
    );
    found(ran, "another network's genesis");
    let key = network.scratch().join("some.key");
    for content in [&b""[..], b"not a key", &[0; 32], &[7; 5000]] {
        fs::write(&key, content).unwrap();
        let ran = network.audit_with(copy, &key).expect_code(1);
        assert!(ran.err.contains("some.key"), "{}", ran.err);
    }
    // A good key of another network, with that network's empty ledger, is not an audited ledger either.
    found(
        stranger.audit(&stranger.folder().join("node-1")),
        "a ledger without a block",
    );
}

#[test]
fn copies_without_a_seal() {
    let mut network = TestNetwork::running(4, 1);
    let live = fill(&network);
    network.agreement();
    // Taken while the nodes write: as good as any, or recognised.
    for (number, node) in network.node_names().into_iter().enumerate() {
        let text = line(
            "bank",
            "mint-cash",
            json!({"currency": "EUR", "account": "B-1", "amount": "1.00"}),
        );
        let copy = std::thread::scope(|scope| {
            let working = scope.spawn(|| run(&network, text.repeat(5).as_bytes()));
            let copy = copy_of(&network, &node, &format!("running-{number}"));
            assert_eq!(working.join().unwrap().ran.code, 0);
            copy
        });
        let ran = network.audit(&copy);
        if ran.code == 0 {
            let report = ran.clone().expect_code(0).json();
            assert_eq!(report["sealed_copy"], false);
            assert_eq!(report["totals"]["issues"], live["issues"], "{node}");
        } else {
            found(ran, &node);
        }
    }
    a_sealed_copy_of_a_running_network(&network);
    network.agreement();
    network.kill_all();
    let copy = copy_of(&network, "node-2", "killed");
    assert!(!copy.join("MANIFEST").exists());
    let good = network.audit(&copy).expect_code(0).json();
    assert_eq!(good["totals"]["issues"], live["issues"]);
    assert_eq!(good["sealed_copy"], false);
    damage_without_a_seal(&network, &copy, &good);
}

/// Taken over the network instead of from a folder: sealed by whoever takes it.
fn a_sealed_copy_of_a_running_network(network: &TestNetwork) {
    let copy = network.scratch().join("taken");
    let _ = network
        .sealbook(&["audit", "copy", "--out", copy.to_str().unwrap()])
        .expect_code(0);
    let report = network.audit(&copy).expect_code(0).json();
    let live = network
        .sealbook(&["--json", "audit", "totals"])
        .expect_code(0)
        .json();
    assert_eq!(report["sealed_copy"], true);
    assert_eq!(totals(&report["totals"]), totals(&live["answer"]));
    let mut random = Random::new(SEED);
    for file in files_below(&copy) {
        if fs::metadata(&file).unwrap().len() > 0 {
            for _ in 0..4 {
                let change = flip(&mut random);
                found(
                    with_changed(&file, change, || network.audit(&copy)),
                    "a copy that was taken",
                );
            }
        }
    }
    let ran = network.sealbook(&["audit", "copy", "--out", copy.to_str().unwrap()]);
    assert_ne!(
        ran.code, 0,
        "a copy is not written over another: {}",
        ran.out
    );
}

/// Without a seal nobody can tell whether unused space of the store was changed or its end is missing: the store reads
/// its log up to the first damaged record, as after a power loss. But whatever is read must be right: damage is found,
/// or the audit tells of a state that the network had, at the lower height that it shows.
fn damage_without_a_seal(network: &TestNetwork, copy: &Path, good: &Value) {
    let mut random = Random::new(SEED);
    for name in ["ledger/genesis", "ledger/key-record-0"] {
        let file = copy.join(name);
        for _ in 0..12 {
            let change = flip(&mut random);
            found(with_changed(&file, change, || network.audit(copy)), name);
        }
        let ran = with_changed(
            &file,
            |bytes| bytes.truncate(bytes.len() / 2),
            || network.audit(copy),
        );
        found(ran, name);
    }
    let mut judged = Judged::default();
    for file in files_below(&copy.join("ledger/blocks")) {
        let length = fs::metadata(&file).unwrap().len();
        let rounds = (length / 4_000).min(70);
        for round in 0..rounds {
            let change = flip(&mut random);
            let ran = with_changed(&file, change, || network.audit(copy));
            judged.add(ran, good, &format!("flip {round} in {}", file.display()));
        }
        for left in [length / 3, length / 2, length - length / 10] {
            let left = usize::try_from(left).unwrap();
            let ran = with_changed(&file, |bytes| bytes.truncate(left), || network.audit(copy));
            judged.add(ran, good, &format!("{} cut to {left}", file.display()));
        }
    }
    eprintln!("{judged:?}");
    assert!(judged.found + judged.shorter > judged.unseen, "{judged:?}");
}

/// How often damage was found, cost the ledger its last block, or was in unused space.
#[derive(Debug, Default)]
struct Judged {
    found: u32,
    shorter: u32,
    unseen: u32,
}

impl Judged {
    fn add(&mut self, ran: Ran, good: &Value, what: &str) {
        if ran.code != 0 {
            found(ran, what);
            self.found += 1;
            return;
        }
        let report = ran.expect_code(0).json();
        let height = |report: &Value| report["height"].as_u64().unwrap();
        if height(&report) < height(good) {
            // Of the last block alone a copy may fall short: one that is taken while the node writes does.
            assert_eq!(
                height(&report) + 1,
                height(good),
                "{what}: the ledger lost its end"
            );
            self.shorter += 1;
            return;
        }
        self.unseen += 1;
        for field in [
            "height",
            "totals",
            "state_root",
            "transactions",
            "orders",
            "unopened",
        ] {
            assert_eq!(report[field], good[field], "{what}: another {field}");
        }
    }
}

/// The same books in envelopes that also hold against quantum computers to come.
#[test]
fn a_network_of_the_post_quantum_suite() {
    let mut network = TestNetwork::create(4, 1, &["--suite", "x-wing", "--epoch-blocks", "16"]);
    network.start_all();
    let live = fill(&network);
    let prepared = network
        .sealbook(&["--json", "node", "prepare", "node-6", "--module"])
        .expect_code(0)
        .json();
    let key = prepared["module_key"].as_str().unwrap();
    assert!(
        key.starts_with("02"),
        "the root would travel in another suite"
    );
    let proposed = network
        .sealbook(&["--json", "governance", "propose", "add-observer", "node-6"])
        .expect_code(0)
        .json();
    assert_eq!(proposed["outcome"], "settled", "{proposed}");
    let blocks = network.blocks_of("node-1");
    let sealed = blocks.iter().flat_map(|block| &block.transactions);
    let suites: Vec<u8> = sealed.map(|one| one.envelope()[1]).collect();
    assert!(suites.len() > 5 && suites.iter().all(|suite| *suite == 2));
    network.agreement();
    network.stop_all();
    let copy = copy_of(&network, "node-1", "post-quantum");
    let report = network.audit(&copy).expect_code(0).json();
    assert_eq!(totals(&report["totals"]), totals(&live));
}

#[test]
fn an_audit_key_in_shares_opens_with_as_many_as_are_needed() {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("audit");
    let shown = |end: &str| format!("{}{end}", key.display());
    let programs = sealbook_system::programs::Programs::hold();
    let arguments = ["audit", "key", "--shares", "3", "--threshold", "2"];
    let make = || programs.sealbook(&[&arguments[..], &[&shown("")]].concat());
    let _ = make().expect_code(0);
    let again = make().expect_code(1);
    assert!(again.err.contains("exists already"), "{}", again.err);
    // A key for one auditor under the same name would change the public half that members know.
    let public = fs::read(shown(".pub")).unwrap();
    let other = programs
        .sealbook(&["audit", "key", &shown("")])
        .expect_code(1);
    assert!(other.err.contains("exists already"), "{}", other.err);
    assert_eq!(fs::read(shown(".pub")).unwrap(), public);
    assert!(!key.exists(), "half of a key was left");
    let auditor = format!("auditors={}", shown(".pub"));
    let mut network = TestNetwork::create(1, 0, &["--auditor", &auditor]);
    assert!(!network.folder().join("audit.key").exists());
    network.start_all();
    let live = fill(&network);
    network.stop_all();
    let copy = copy_of(&network, "node-1", "shared");
    let verify = |shares: &[String]| {
        let mut all = vec!["--json", "audit", "verify", "--ledger"];
        all.push(copy.to_str().unwrap());
        for share in shares {
            all.extend(["--key-share", share]);
        }
        network.sealbook(&all)
    };
    for two in [[".1", ".2"], [".3", ".1"]] {
        let report = verify(&two.map(shown)).expect_code(0).json();
        assert_eq!(totals(&report["totals"]), totals(&live));
        assert_eq!(report["unopened"], 0, "{report}");
    }
    let alone = verify(&[shown(".2")]).expect_code(1);
    assert!(
        alone.err.contains("1 different shares of 2"),
        "{}",
        alone.err
    );
    let twice = verify(&[shown(".2"), shown(".2")]).expect_code(1);
    assert!(
        twice.err.contains("1 different shares of 2"),
        "{}",
        twice.err
    );
    let mut bytes = fs::read(shown(".3")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(shown(".altered"), bytes).unwrap();
    let altered = verify(&[shown(".1"), shown(".altered")]).expect_code(1);
    let named = "bogus shares, by their numbers: 3";
    assert!(altered.err.contains(named), "{}", altered.err);
    let none = verify(&[shown(".1"), shown(".pub")]).expect_code(1);
    assert!(none.err.contains("is no share"), "{}", none.err);
    let _ = verify(&[]).expect_code(2);
}
