//! Readings of what is others', with the commands that admins, regulators and owners use.

use std::path::Path;

use sealbook_system::TestNetwork;
use sealbook_system::network::wait_for;
use serde_json::Value;

use super::now_ms;

const APPLE: &str = "US0378331005";

fn run(network: &TestNetwork, words: &[&str], code: i32) -> Value {
    let ran = network.sealbook(&[&["--json"], words].concat());
    let ran = ran.expect_code(code);
    if code == 0 { ran.json() } else { Value::Null }
}

fn readings(network: &TestNetwork, name: &str) -> Vec<Value> {
    let log = run(network, &["--as", name, "access-log"], 0);
    log["answer"]["readings"].as_array().unwrap().clone()
}

#[test]
fn owners_see_who_read_their_data_and_a_delay_shows_afterwards() {
    let mut network = TestNetwork::running(4, 0);
    network.agreement();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-trade.jsonl");
    let scenario = ["scenario", "run", example.to_str().unwrap()];
    let _ = network.sealbook(&scenario).expect_code(0);
    let enrol = [
        "member",
        "enrol",
        "watch",
        "--role",
        "regulator",
        "--organisation",
        "Watch",
    ];
    let _ = network.sealbook(&enrol).expect_code(0);
    let before = readings(&network, "alpha").len();

    let registry = ["--as", "watch", "registry", APPLE];
    let answer = run(&network, &registry, 0);
    assert!(answer["answer"]["holders"].is_array(), "{answer}");
    for owner in ["alpha", "apple"] {
        let told = readings(&network, owner);
        let last = told.last().unwrap();
        assert_eq!(last["reader"], "watch", "{last}");
        assert_eq!(
            (&last["read"], &last["isin"]),
            (&"registry".into(), &APPLE.into())
        );
        assert_eq!(last["delayed"], false);
        assert_eq!(last["certificate"].as_str().unwrap().len(), 64);
    }
    assert_eq!(readings(&network, "alpha").len(), before + 1);
    // Their own reading leaves no trace, and whom nothing concerned is told nothing.
    let _ = run(&network, &["--as", "apple", "registry", APPLE], 0);
    let _ = run(&network, &["--as", "alpha", "holdings"], 0);
    assert_eq!(readings(&network, "alpha").len(), before + 1);

    // The same question again shows what has come since, and is a reading of its own.
    let accounts = |name| {
        let seen = run(&network, &["--as", name, "holdings"], 0);
        seen["answer"]["accounts"].as_array().unwrap().len()
    };
    let seen = accounts("watch");
    let open = [
        "--as",
        "alpha",
        "account",
        "open",
        "LATER",
        "--holder",
        "Late Holder",
    ];
    let _ = run(&network, &open, 0);
    assert_eq!(accounts("watch"), seen + 1);
    let before = before + 2;
    assert_eq!(readings(&network, "alpha").len(), before + 1);

    // For an investigation a regulator has them told later; an admin may not.
    let until_ms = now_ms() + 12_000;
    let until = jiff::Timestamp::from_millisecond(i64::try_from(until_ms).unwrap()).unwrap();
    let until = until.to_string();
    let later = |name| ["--as", name, "holdings", "--disclosed-from", &until];
    let _ = run(&network, &later("admin"), 5);
    let _ = run(&network, &later("alpha"), 5);
    let all = run(&network, &later("watch"), 0);
    assert!(all["answer"]["accounts"].as_array().unwrap().len() > 1);
    let _ = run(
        &network,
        &["--as", "watch", "holdings", "--disclosed-from", "soon"],
        4,
    );
    assert_eq!(readings(&network, "alpha").len(), before + 1);
    let own = readings(&network, "watch");
    assert_eq!(own.last().unwrap()["read"], "holdings");
    // A node that is killed and starts again keeps the secret as long, and no longer.
    network.kill("node-1");
    network.start("node-1");
    let told = wait_for("the delay to be over", || {
        let told = readings(&network, "alpha");
        (told.len() > before + 1).then_some(told)
    });
    assert!(now_ms() >= until_ms);
    let last = told.last().unwrap();
    assert_eq!(
        (&last["read"], &last["delayed"]),
        (&"holdings".into(), &true.into())
    );
    assert!(last["time"].as_str().unwrap() < last["disclosed_from"].as_str().unwrap());
    network.agreement();
}
