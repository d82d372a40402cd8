//! Planted values: nowhere but with those who are entitled to them; and what keeps a module from its node's user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use sealbook_system::files::files_below;
use sealbook_system::processes;
use sealbook_system::scenario::{line, run};
use sealbook_system::{TestNetwork, network::wait_for};

use crate::search::{self, Found, Search};
use serde_json::json;

const ISIN: &str = "XS2012080899";

/// What is planted, by what it is.
const PLANTED: [(&str, &str); 8] = [
    ("holder", "Ozymandias Quillfeather"),
    ("other holder", "Wilhelmina Zwölfjungfrau"),
    ("account", "ZQX-ACCOUNT-77412"),
    ("other account", "WVK-ACCOUNT-30958"),
    ("trade", "TRADE-MARKER-99213"),
    ("issue name", "Wyvern Marker Notes 2031"),
    ("amount", "918273645546.37"),
    ("quantity", "736251849"),
];

fn planted(what: &str) -> &'static str {
    PLANTED.iter().find(|(name, _)| *name == what).unwrap().1
}

fn needles() -> Search {
    let mut search = Search::new();
    for (what, text) in PLANTED {
        search.add_text(what, text);
    }
    // In minor units as a number; its zeros are left out, with which much else begins.
    let [least @ .., 0, 0] = 91_827_364_554_637_u64.to_le_bytes() else {
        panic!("six bytes")
    };
    search.add("amount, as a number", &least);
    let mut most = least;
    most.reverse();
    search.add("amount, as a number, big end first", &most);
    search
}

fn opening() -> String {
    let member = |name: &str, role: &str| {
        line(
            "admin",
            "enrol",
            json!({"name": name, "role": role, "organisation": name}),
        )
    };
    let mut text = String::new();
    for (name, role) in [
        ("alpha", "firm"),
        ("beta", "firm"),
        ("gamma", "firm"),
        ("issuer", "issuer"),
        ("rival", "issuer"),
        ("bank", "cash-agent"),
        ("rates", "oracle"),
        ("watch", "regulator"),
    ] {
        text += &member(name, role);
    }
    let isin = sealbook_system::model::values::isin(&ISIN[..11]);
    let (seller, buyer) = (planted("account"), planted("other account"));
    text += &line(
        "admin",
        "register-issue",
        json!({"isin": isin, "issuer": "issuer",
        "name": planted("issue name"), "kind": "bond", "decimals": 0, "currency": "USD", "treasury": "T"}),
    );
    text += &line(
        "admin",
        "issue-units",
        json!({"isin": isin, "quantity": "1000000000"}),
    );
    text += &line(
        "alpha",
        "open-account",
        json!({"account": seller, "holder": planted("holder")}),
    );
    text += &line(
        "beta",
        "open-account",
        json!({"account": buyer, "holder": planted("other holder")}),
    );
    text += &line(
        "gamma",
        "open-account",
        json!({"account": "G-1", "holder": "Nobody in particular"}),
    );
    text += &line(
        "admin",
        "allocate",
        json!({"isin": isin, "account": seller, "quantity": planted("quantity")}),
    );
    text += &line(
        "bank",
        "mint-cash",
        json!({"currency": "USD", "account": buyer, "amount": planted("amount")}),
    );
    text += &line(
        "alpha",
        "record-trade",
        json!({"id": planted("trade"), "side": "sell", "account": seller,
        "counterparty": "beta", "isin": isin, "quantity": planted("quantity"), "currency": "USD",
        "amount": planted("amount")}),
    );
    text += &line(
        "beta",
        "confirm-trade",
        json!({"id": planted("trade"), "account": buyer}),
    );
    text
}

/// Everything that a member can ask.
fn questions(member: &str) -> String {
    let isin = sealbook_system::model::values::isin(&ISIN[..11]);
    let mut text = line(member, "holdings", json!({}));
    text += &line(member, "trades", json!({}));
    text += &line(member, "audit", json!({}));
    for as_of in [json!("now"), json!({"time": "2999-01-01T00:00:00Z"})] {
        text += &line(member, "registry", json!({"isin": isin, "as_of": as_of}));
    }
    // Asking with what only others know tells nothing either.
    text += &line(
        member,
        "confirm-trade",
        json!({"id": planted("trade"), "account": planted("account")}),
    );
    text += &line(
        member,
        "transfer",
        json!({"id": format!("probe-{member}"), "isin": isin,
        "quantity": "1", "from": "NO-SUCH", "to": "G-1"}),
    );
    text
}

#[test]
fn a16_planted_values_are_with_their_owners_alone() {
    let mut network = TestNetwork::create(4, 1, &[]);
    network.log_everything();
    network.start_all();
    let answers = run(&network, opening().as_bytes());
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
    let outcomes = answers
        .lines
        .iter()
        .filter(|line| line["outcome"] == "settled")
        .count();
    assert_eq!(outcomes, answers.lines.len() - 1, "{}", answers.ran.out);
    answers_to_each(&network);
    no_host_process(&network);
    network.stop_all();
    no_file(&network);
    private_files(&network);
}

/// Who is told what; exactly that.
fn answers_to_each(network: &TestNetwork) {
    let entitled: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "admin",
            &[
                "holder",
                "other holder",
                "account",
                "other account",
                "trade",
                "amount",
                "quantity",
            ][..],
        ),
        (
            "watch",
            &[
                "holder",
                "other holder",
                "account",
                "other account",
                "trade",
                "amount",
                "quantity",
            ],
        ),
        (
            "alpha",
            &["holder", "account", "trade", "amount", "quantity"],
        ),
        (
            "beta",
            &[
                "other holder",
                "other account",
                "trade",
                "amount",
                "quantity",
            ],
        ),
        // The whole position changed hands, so that the buyer is the one shareholder.
        ("issuer", &["other holder", "quantity"]),
        ("gamma", &[]),
        ("rival", &[]),
        ("bank", &[]),
        ("rates", &[]),
    ]);
    for (member, may_see) in entitled {
        let answers = run(network, questions(member).as_bytes());
        assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
        for (what, text) in PLANTED {
            let sees = answers.ran.out.contains(text);
            let may = may_see.contains(&what);
            assert_eq!(sees, may, "{member} and {what}: {}", answers.ran.out);
        }
    }
}

/// Memory of every node process, while members work; as a control, the memory of processes that do know.
fn no_host_process(network: &TestNetwork) {
    let search = needles();
    let control = Command::new("sleep")
        .arg("600")
        .env(
            "PLANTED",
            format!("{} {}", planted("holder"), planted("account")),
        )
        .stdin(Stdio::null())
        .spawn();
    let mut control = Control(control.unwrap());
    let mut found = Found::new();
    let read = processes::read_memory(control.0.id(), |_, bytes| search.look(bytes, &mut found));
    assert!(
        read.is_some(),
        "this system does not let a process read its child's memory"
    );
    for what in ["holder", "account"] {
        assert!(
            found.contains_key(what),
            "the search sees nothing: {found:?}"
        );
    }
    let _ = control.0.kill();
    let _ = control.0.wait();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also where a look finds something and panics: the scope waits for the work to end.
        let at_the_end = Stop(&stop);
        let working = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                let isin = sealbook_system::model::values::isin(&ISIN[..11]);
                let (seller, buyer) = (planted("account"), planted("other account"));
                let back = json!({"id": format!("back-{rounds}"), "isin": isin, "quantity": planted("quantity"),
                    "from": buyer, "to": buyer});
                let cash = json!({"id": format!("cash-{rounds}"), "currency": "USD", "amount": planted("amount"),
                    "from": seller, "to": seller});
                let lines = line("beta", "transfer", back) + &line("alpha", "transfer", cash)
                    + &questions("beta") + &questions("watch");
                let answers = run(network, lines.as_bytes());
                assert_eq!(answers.line(1)["outcome"], "settled");
                assert_eq!(answers.line(2)["outcome"], "settled");
                rounds += 1;
            }
            rounds
        });
        for node in network.node_names() {
            for round in 0..2 {
                let mut found = Found::new();
                let mut where_found = String::new();
                let read = processes::read_memory(network.pid(&node), |mapping, bytes| {
                    let before = found.len();
                    search.look(bytes, &mut found);
                    if found.len() > before {
                        where_found.push_str(mapping);
                        where_found.push('\n');
                    }
                });
                let read = read.expect("the memory of a node can be read");
                eprintln!("{node}: {read} bytes");
                assert!(read > 10_000_000, "only {read} bytes of {node} were read");
                assert!(
                    found.is_empty(),
                    "{node}, look {round}: {found:?}\n{where_found}"
                );
            }
        }
        drop(at_the_end);
        assert!(working.join().unwrap() > 0, "no work was done meanwhile");
    });
    modules_do_know(network, &search);
}

/// Where the system lets us look (root may), the same search finds the books in the modules' memory.
fn modules_do_know(network: &TestNetwork, search: &Search) {
    let mut looked = 0;
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        for module in network.module_pids(node) {
            let mut found = Found::new();
            let read = processes::read_memory(module, |_, bytes| search.look(bytes, &mut found));
            if read.is_some_and(|read| read > 1_000_000) {
                looked += 1;
                assert!(found.contains_key("account"), "{node}: {found:?}");
            }
        }
    }
    eprintln!("looked into {looked} of 4 modules");
}

/// Says that work is to end, whatever happens.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Control(std::process::Child);

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file of every node and module, logs at their most talkative included.
fn no_file(network: &TestNetwork) {
    let search = needles();
    let mut searched = 0;
    let mut folders: Vec<_> = network
        .node_names()
        .into_iter()
        .map(|node| network.folder().join(node))
        .collect();
    folders.push(network.folder().join("modules"));
    for file in folders.iter().flat_map(|folder| files_below(folder)) {
        let bytes = fs::read(&file).unwrap();
        searched += bytes.len();
        let mut found = Found::new();
        search.look(&bytes, &mut found);
        search.look(file.to_str().unwrap().as_bytes(), &mut found);
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
    assert!(searched > 100_000, "only {searched} bytes");
    for node in network.node_names() {
        assert!(
            network.log(&node).len() > 1000,
            "the log of {node} says little"
        );
    }
    // The same search sees them in a file that has them, in each of its encodings.
    let scenario = network.scratch().join("control");
    for encode in search::ENCODINGS {
        fs::write(
            &scenario,
            [
                b"....".to_vec(),
                encode.1(planted("trade")),
                b"....".to_vec(),
            ]
            .concat(),
        )
        .unwrap();
        let mut found = Found::new();
        search.look(&fs::read(&scenario).unwrap(), &mut found);
        assert!(
            found.keys().any(|what| what.starts_with("trade")),
            "{}: {found:?}",
            encode.0
        );
    }
}

/// What only its owner may read.
fn private_files(network: &TestNetwork) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(network.folder()), 0o700);
    let mut keys = 0;
    for file in files_below(network.folder()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let in_modules = file.starts_with(network.folder().join("modules"));
        let is_key = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "key");
        if is_key || name == "key.pem" || in_modules {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            keys += 1;
        }
        let bytes = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("PRIVATE KEY") {
            assert_eq!(mode(&file), 0o600, "{} is a private key", file.display());
        }
    }
    // Root and issuing CAs, four modules with two files each, five nodes, nine members, the auditor.
    assert!(keys >= 30, "only {keys} key files");
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        assert_eq!(mode(&network.folder().join("modules").join(node)), 0o700);
    }
}

#[test]
fn a16_the_command_line_program_of_another_member_learns_nothing_from_files() {
    // A member's own folder has no more than its key and chain: nothing is cached in the clear.
    let network = TestNetwork::running(1, 0);
    let answers = run(&network, opening().as_bytes());
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
    wait_for("blocks", || (!network.status().is_empty()).then_some(()));
    let search = needles();
    for file in files_below(network.folder()) {
        let mut found = Found::new();
        search.look(&fs::read(&file).unwrap(), &mut found);
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

#[test]
fn a14_the_doctor_shows_how_modules_are_shut_in_and_finds_open_keys() {
    let network = TestNetwork::running(4, 1);
    network.wait_for_height("node-5", 2);
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        network.wait_for_height(node, 2);
    }
    let findings = |code: i32| {
        let ran = network.sealbook(&["--json", "doctor"]).expect_code(code);
        ran.json().as_array().unwrap().clone()
    };
    let found = findings(0);
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        let steps: Vec<&serde_json::Value> = found
            .iter()
            .filter(|one| one["where"] == node && one["what"] == "lockdown")
            .collect();
        for step in ["not dumpable", "namespaces", "self-test", "seccomp"] {
            let holds = |one: &&serde_json::Value| {
                one["result"] == "ok" && one["text"].as_str().unwrap().starts_with(step)
            };
            assert!(steps.iter().any(holds), "{step}: {steps:?}");
        }
    }
    let same_user: Vec<&serde_json::Value> = found
        .iter()
        .filter(|one| one["what"] == "module's user")
        .collect();
    assert_eq!(same_user.len(), 1, "{same_user:?}");
    assert_eq!(same_user[0]["result"], "warning");
    let key = network.folder().join("modules/node-2/module.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let found = findings(1);
    let problems: Vec<&serde_json::Value> = found
        .iter()
        .filter(|one| one["result"] == "problem")
        .collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let text = problems[0]["text"].as_str().unwrap();
    assert!(
        text.contains("modules/node-2/module.key has mode 644"),
        "{text}"
    );
}
