//! Committees that change while the network works: proposals by k of n, a new validator from a sealed snapshot, a
//! removed one, an observer that answers through validators; and receipts that are proved across all of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealbook_system::TestNetwork;
use sealbook_system::checks;
use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::network::wait_for;
use serde_json::Value;

use crate::{short_epochs, status_of, wait_until_voting};

pub fn epoch(network: &TestNetwork) -> Value {
    network
        .sealbook(&["--json", "governance", "epoch"])
        .expect_code(0)
        .json()
}

fn names(seats: &Value) -> Vec<String> {
    let seats = seats.as_array().unwrap();
    let mut names: Vec<String> = seats
        .iter()
        .map(|seat| seat["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Waits until exactly these nodes are the validators of the present epoch, and gives its number.
fn wait_for_committee(network: &TestNetwork, validators: &[&str]) -> u64 {
    wait_for(&format!("the committee {validators:?}"), || {
        let epoch = epoch(network);
        let present = &epoch["present"];
        (names(&present["validators"]) == validators).then(|| present["epoch"].as_u64().unwrap())
    })
}

/// Proposes as the admin and approves as the cash agent.
fn decide(network: &TestNetwork, change: &[&str]) {
    let arguments: Vec<&str> = ["--json", "governance", "propose"]
        .iter()
        .chain(change)
        .copied()
        .collect();
    let proposed = network.sealbook(&arguments).expect_code(0).json();
    assert_eq!(proposed["outcome"], "pending", "{proposed}");
    let number = proposed["proposal"].as_u64().unwrap().to_string();
    // One voice counts once.
    let again = network
        .sealbook(&["--json", "governance", "approve", &number])
        .json();
    assert_ne!(again["outcome"], "settled", "{again}");
    let approved = network
        .sealbook(&["--json", "--as", "bank", "governance", "approve", &number])
        .expect_code(0)
        .json();
    assert_eq!(approved["outcome"], "settled", "{approved}");
}

/// A receipt for the member's first own transaction, in a file.
fn receipt(network: &TestNetwork, member: &str, file: &str) -> Vec<u8> {
    let own = network
        .sealbook(&[
            "--json", "--as", member, "tx", "list", "--own", "--limit", "3",
        ])
        .expect_code(0)
        .json();
    let id = own[0]["transaction"].as_str().unwrap().to_owned();
    let path = network.scratch().join(file);
    let path = path.to_str().unwrap();
    let _ = network
        .sealbook(&["--as", member, "tx", "receipt", &id, "--out", path])
        .expect_code(0);
    fs::read(path).unwrap()
}

fn verify(network: &TestNetwork, receipt: &[u8]) -> i32 {
    let path = network.scratch().join("to-verify");
    fs::write(&path, receipt).unwrap();
    let genesis = network.folder().join("genesis");
    let ran = network.programs().sealbook(&[
        "tx",
        "verify",
        path.to_str().unwrap(),
        "--genesis",
        genesis.to_str().unwrap(),
    ]);
    ran.code
}

#[test]
fn validators_join_and_leave_while_the_network_works_and_receipts_follow() {
    let mut network = short_epochs(
        4,
        1,
        &["--electors", "admin,cash-agent", "--approvals", "2"],
    );
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(20);

    // A member that is no elector decides nothing.
    let refused = network.sealbook(&[
        "--as",
        "alpha",
        "governance",
        "propose",
        "remove-validator",
        "node-1",
    ]);
    assert_eq!(refused.code, 5, "{refused:?}");

    let _ = network
        .sealbook(&["node", "prepare", "node-6", "--validator"])
        .expect_code(0);
    decide(&network, &["add-validator", "node-6"]);
    wait_for_committee(
        &network,
        &["node-1", "node-2", "node-3", "node-4", "node-6"],
    );
    let _ = network.sealbook(&["node", "join", "node-6"]).expect_code(0);
    network.start("node-6");
    wait_until_voting(&network, "node-6");
    let status = status_of(&network, "node-6").unwrap();
    assert!(
        status["first_height"].as_u64().unwrap() > 0,
        "it has not taken the history before the snapshot: {status}"
    );
    crowd.wait_for_more_of_each(4);

    decide(&network, &["remove-validator", "node-1"]);
    let last = wait_for_committee(&network, &["node-2", "node-3", "node-4", "node-6"]);
    crowd.wait_for_more_of_each(4);
    network.stop("node-1");
    // Four again, of whom the new one counts: with one down the others must all vote.
    network.kill("node-3");
    crowd.wait_for_more_of_each(4);
    network.start("node-3");
    network.wait_for_height("node-3", crowd::highest(&network));
    crowd.end().check(&network);

    // Parameters change the same way.
    decide(&network, &["set-parameters", "--idle-interval", "700"]);
    wait_for("the parameter", || {
        let present = epoch(&network)["present"].clone();
        (present["parameters"]["idle_interval_ms"] == 700
            && present["epoch"].as_u64().unwrap() > last)
            .then_some(())
    });

    receipts_follow(&mut network);
}

/// A receipt from the first committee's time and one from the last's, both checked with genesis alone.
fn receipts_follow(network: &mut TestNetwork) {
    let early = receipt(network, "alpha", "early");
    assert_eq!(verify(network, &early), 0);
    let _ = network
        .sealbook(&[
            "--as",
            "alpha",
            "account",
            "open",
            "A-NEW",
            "--holder",
            "Example Person",
        ])
        .expect_code(0);
    let own = network
        .sealbook(&[
            "--json", "--as", "alpha", "tx", "list", "--own", "--limit", "100000",
        ])
        .expect_code(0)
        .json();
    let newest = own.as_array().unwrap().last().unwrap()["transaction"].clone();
    let path = network.scratch().join("late");
    let arguments = [
        "--as",
        "alpha",
        "tx",
        "receipt",
        newest.as_str().unwrap(),
        "--out",
    ];
    let arguments: Vec<&str> = arguments.into_iter().chain(path.to_str()).collect();
    let _ = network.sealbook(&arguments).expect_code(0);
    let late = fs::read(&path).unwrap();
    assert_eq!(verify(network, &late), 0);
    assert!(
        late.len() > early.len(),
        "it carries the changes of committee"
    );
    network.stop_all();
    for (receipt, step) in [(&early, 7), (&late, 61)] {
        for place in (0..receipt.len()).step_by(step) {
            let mut altered = receipt.clone();
            altered[place] ^= 1 << (place % 8);
            assert_eq!(verify(network, &altered), 6, "byte {place}");
        }
    }
}

#[test]
fn an_observer_joins_from_a_snapshot_and_answers_its_firm_through_validators() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(20);
    let _ = network
        .sealbook(&["node", "prepare", "node-5"])
        .expect_code(0);
    let proposed = network
        .sealbook(&["--json", "governance", "propose", "add-observer", "node-5"])
        .expect_code(0)
        .json();
    assert_eq!(proposed["outcome"], "settled", "{proposed}");
    wait_for("the observer to be admitted", || {
        let observers = names(&epoch(&network)["present"]["observers"]);
        (observers == ["node-5"]).then_some(())
    });
    let _ = network.sealbook(&["node", "join", "node-5"]).expect_code(0);
    network.start("node-5");
    network.wait_for_height("node-5", crowd::highest(&network));
    let status = status_of(&network, "node-5").unwrap();
    assert!(status["first_height"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["validator"], false);
    assert_eq!(status["executed_height"], 0, "it has no module: {status}");
    crowd.end().check(&network);

    // The firm knows only its own node: orders, waits and queries all go through it.
    let mut client = network.client_of("alpha", &["node-5"]);
    let order =
        sealbook_system::clients::transfer("through-observer", crowd::ISIN, 1, "A-1", "B-1");
    let submitted = client.submit(&[order], sealbook_sdk::Stage::Final).unwrap();
    assert!(submitted.outcomes[0].is_accepted(), "{submitted:?}");
    assert!(client.ask(&sealbook_sdk::Question::Holdings).is_ok());
    checks::in_one_state(&network);
}

#[test]
fn an_observer_with_a_module_of_its_own_answers_when_no_validator_does() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(20);
    let prepared = network
        .sealbook(&["--json", "node", "prepare", "node-5", "--module"])
        .expect_code(0)
        .json();
    let proposed = network
        .sealbook(&["--json", "governance", "propose", "add-observer", "node-5"])
        .expect_code(0)
        .json();
    assert_eq!(proposed["outcome"], "settled", "{proposed}");
    // Whoever approves sees that this observer is to get a key of the network.
    let number = proposed["proposal"].as_u64().unwrap().to_string();
    let shown = network
        .sealbook(&["--json", "governance", "show", &number])
        .expect_code(0)
        .json();
    assert_eq!(shown["content"]["module_key"], prepared["module_key"]);
    wait_for("the observer to be admitted", || {
        let observers = names(&epoch(&network)["present"]["observers"]);
        (observers == ["node-5"]).then_some(())
    });
    let _ = network.sealbook(&["node", "join", "node-5"]).expect_code(0);
    network.start("node-5");
    let height = crowd::highest(&network);
    wait_for("its module to execute what the others have", || {
        let status = status_of(&network, "node-5")?;
        (status["executed_height"].as_u64()? >= height).then_some(())
    });
    assert_eq!(status_of(&network, "node-5").unwrap()["validator"], false);
    crowd.end().check(&network);
    let mut client = network.client_of("alpha", &["node-5"]);
    let order = sealbook_system::clients::transfer("through-node-5", crowd::ISIN, 1, "A-1", "B-1");
    let submitted = client.submit(&[order], sealbook_sdk::Stage::Final).unwrap();
    assert!(submitted.outcomes[0].is_accepted(), "{submitted:?}");
    checks::in_one_state(&network);
    for validator in ["node-1", "node-2", "node-3", "node-4"] {
        network.kill(validator);
    }
    let answered = client.ask(&sealbook_sdk::Question::Holdings).unwrap();
    assert!(answered.height >= submitted.height, "{answered:?}");
}

#[test]
fn a_measured_network_admits_modules_of_agreed_programs_alone() {
    let network = short_epochs(4, 0, &["--measured"]);
    let program = network.programs().path("sealbook-execution");
    let printed = |program: &Path, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).output().unwrap();
        assert!(ran.status.success());
        String::from_utf8(ran.stdout).unwrap()
    };
    let measured = printed(&program, &["measure"]);
    let in_force = epoch(&network)["module_measurements"].clone();
    assert_eq!(in_force, serde_json::json!([measured]));
    let doctor = network
        .sealbook(&["--json", "doctor"])
        .expect_code(0)
        .json();
    let about = doctor.as_array().unwrap().iter();
    let about = about.filter(|one| one["what"] == "module's program");
    let texts: Vec<&str> = about.map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [format!("SHA-256 {measured}, as the members agreed")]
    );
    let prepared = network
        .sealbook(&["--json", "node", "prepare", "node-5", "--module"])
        .expect_code(0)
        .json();
    let text = |name: &str| prepared[name].as_str().unwrap().to_owned();
    let (key, vote_key, address) = (text("module_key"), text("vote_key"), text("address"));
    let propose = |name: &str, more: &[&str]| {
        let arguments = ["--json", "governance", "propose", "add-observer", name];
        let keys = ["--vote-key", &vote_key, "--address", &address];
        let keys = [&keys[..], &["--module-key", &key]].concat();
        network.sealbook(&[&arguments[..], &keys, more].concat())
    };
    // Nothing stated, and stated by a program that is not the same to the last byte.
    let silent = propose("node-5", &[]).expect_code(4);
    assert!(silent.err.contains("does not state"), "{}", silent.err);
    let altered = network.scratch().join("sealbook-execution");
    fs::copy(&program, &altered).unwrap();
    let mut file = fs::File::options().append(true).open(&altered).unwrap();
    std::io::Write::write_all(&mut file, b"\0").unwrap();
    drop(file);
    let own_key = network.folder().join("modules/node-5/module.key");
    let genesis = fs::read(network.folder().join("genesis")).unwrap();
    let id = sealbook_ledger::Genesis::decode(&genesis)
        .unwrap()
        .network();
    let state = |program: &Path| {
        printed(
            program,
            &["state", own_key.to_str().unwrap(), &id.to_string()],
        )
    };
    let _ = propose("node-5", &["--statement", &state(&altered)]).expect_code(4);
    let good = state(&program);
    assert_eq!(good, text("statement"));
    let admitted = propose("node-5", &["--statement", &good])
        .expect_code(0)
        .json();
    assert_eq!(admitted["outcome"], "settled", "{admitted}");
    let number = admitted["proposal"].as_u64().unwrap().to_string();
    let shown = network
        .sealbook(&["--json", "governance", "show", &number])
        .expect_code(0)
        .json();
    assert_eq!(shown["content"]["measurement"], measured);
    // The members agree on another program: the present one is admitted no more, and nobody who is in is touched.
    let other = printed(&altered, &["measure"]);
    let _ = network
        .sealbook(&["governance", "propose", "set-measurements", &other])
        .expect_code(0);
    let replace = ["governance", "propose", "replace-module", "node-5"];
    let _ = network.sealbook(&replace).expect_code(4);
    assert_eq!(
        epoch(&network)["module_measurements"],
        serde_json::json!([other])
    );
}
