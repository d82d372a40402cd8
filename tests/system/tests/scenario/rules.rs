//! Every verb and every kind of bad input; the options of `scenario run`.

use std::fs;

use sealbook_system::model::Model;
use sealbook_system::programs::Programs;
use sealbook_system::scenario::{self, Answers, check_conservation, run, run_compared};
use sealbook_system::{TestNetwork, network::wait_for};
use serde_json::json;

const RULES: &str = include_str!("rules.jsonl");

/// The file, and one line that is too long to be one.
fn rules() -> String {
    let holder = "x".repeat(70_000);
    let long =
        format!(r#"{{"as":"alpha","do":"open-account","account":"LONG","holder":"{holder}"}}"#);
    format!("{RULES}{long}\n")
}

#[test]
fn every_rule_as_the_model_has_it() {
    let network = TestNetwork::running(4, 1);
    let mut model = Model::new();
    let answers = run_compared(&network, &mut model, &rules());
    check_conservation(answers.line(audit_line()));
    not_yours_and_not_there_are_the_same_bytes(&answers);
    past_heights_and_times(&network, &mut model);
    bytes_that_are_no_text(&network, &mut model);
    let (height, _) = network.agreement();
    assert!(height > 100, "one block per order and more: {height}");
}

fn audit_line() -> u64 {
    RULES.trim_end().split('\n').count() as u64
}

fn line_of(text: &str) -> u64 {
    let found = RULES.lines().position(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no line with {text}")) as u64 + 1
}

fn not_yours_and_not_there_are_the_same_bytes(answers: &Answers) {
    let pairs = [
        (
            r#""T3","isin":"US0378331005","from":"B-1""#,
            r#""T3","isin":"US0378331005","from":"NO-SUCH""#,
        ),
        (r#""sell","account":"B-1""#, r#""sell","account":"NO-SUCH""#),
        (
            r#"gamma","do":"confirm-trade","id":"D1""#,
            r#"gamma","do":"confirm-trade","id":"NO-SUCH""#,
        ),
        (
            r#""id":"D1","account":"A-1","expect":"denied"#,
            r#""id":"D1","account":"NO-SUCH""#,
        ),
        (
            r#""V2","seller_account":"G-1""#,
            r#""V2","seller_account":"NO-SUCH""#,
        ),
        (
            r#"toyota","do":"registry","isin":"US0378331005""#,
            r#"toyota","do":"registry","isin":"US5949181045""#,
        ),
    ];
    for (not_yours, not_there) in pairs {
        let (not_yours, not_there) = (line_of(not_yours), line_of(not_there));
        assert_ne!(not_yours, not_there);
        assert_eq!(answers.bytes(not_yours), answers.bytes(not_there));
        assert_eq!(
            answers.bytes(not_yours),
            r#""outcome":"denied","code":"not-found"}"#
        );
    }
}

/// Heights and ledger times of one run are moments that a later run can ask for.
fn past_heights_and_times(network: &TestNetwork, model: &mut Model) {
    let answers = run_compared(network, model, r#"{"as":"watch","do":"audit"}"#);
    let height = answers.last()["answer"]["height"].as_u64().unwrap();
    let time = wait_for("a block time", || {
        let status = network.status();
        let row = status.values().find(|row| row["height"] == height)?;
        Some(row["time"].as_str()?.to_owned())
    });
    let (height, time) = (json!({ "height": height }), json!({ "time": time }));
    model.name_moment(&height);
    model.name_moment(&time);
    let registry = |moment: &serde_json::Value| {
        scenario::line(
            "watch",
            "registry",
            json!({"isin": "US0378331005", "as_of": moment}),
        )
    };
    let dividend = scenario::line(
        "admin",
        "dividend",
        json!({"id": "CA-PAST", "isin": "US0378331005", "amount_per_unit": "0.5",
            "currency": "USD", "record": height}),
    );
    let move_all = r#"{"as":"alpha","do":"transfer","id":"T-PAST","isin":"US0378331005","from":"A-1","to":"G-1","quantity":"500","expect":"settled"}
"#;
    let asking = [
        move_all,
        &registry(&height),
        &registry(&time),
        &dividend,
        &registry(&json!("now")),
    ];
    let answers = run_compared(network, model, &asking.concat());
    assert_eq!(
        answers.line(2)["answer"]["holders"],
        answers.line(3)["answer"]["holders"]
    );
    assert_ne!(
        answers.line(2)["answer"]["holders"],
        answers.line(5)["answer"]["holders"]
    );
    assert_eq!(answers.line(4)["outcome"], "settled");
}

/// Bytes that are no UTF-8 are no JSON: nothing is guessed.
fn bytes_that_are_no_text(network: &TestNetwork, model: &mut Model) {
    let mut lines = br#"{"as":"alpha","do":"open-account","account":"U-1","holder":"Bad"#.to_vec();
    lines.extend(b"\xff\xfe\"}\n\x00\x01\x02\n");
    lines.extend(br#"{"as":"alpha","do":"open-account","account":"U-2","holder":"Good"}"#);
    lines.extend(b"\r\n");
    lines.extend(br#"{"as":"alpha","do":"holdings"}"#);
    let answers = run(network, &lines);
    for line in [1, 2] {
        assert_eq!(
            answers.bytes(line),
            r#""outcome":"rejected","code":"malformed"}"#
        );
    }
    assert_eq!(answers.line(3)["outcome"], "settled");
    let text = r#"{"as":"alpha","do":"open-account","account":"U-2","holder":"Good"}"#;
    assert_eq!(model.line(1, text)["outcome"], "settled");
    let expected = model.line(4, r#"{"as":"alpha","do":"holdings"}"#);
    assert_eq!(*answers.last(), expected);
}

#[test]
fn an_unexpected_outcome_has_an_exit_code_and_the_other_lines_run() {
    let programs = Programs::hold();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.jsonl");
    let lines = r#"{"as":"admin","do":"open-day","date":"2012-08-08","expect":"rejected"}
{"as":"admin","do":"open-day","date":"2012-08-09","expect":"settled"}
{"as":"admin","do":"open-day","date":"2012-08-09","expect":"no such outcome"}
{"as":"admin","do":"audit","expect":"answer"}
"#;
    fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let ran = programs
        .sealbook(&["scenario", "run", file, "--validators", "1"])
        .expect_code(3);
    let answers = Answers::of(ran);
    let outcomes: Vec<&str> = answers
        .lines
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["settled", "settled", "rejected", "answer"]);
    assert_eq!(answers.last()["answer"]["business_date"], "2012-08-09");
    let message = &answers.ran.err;
    assert!(
        message.contains("line 1, 3"),
        "the lines are named: {message}"
    );
    let missing = folder.path().join("missing.jsonl");
    let ran = programs
        .sealbook(&["scenario", "run", missing.to_str().unwrap()])
        .expect_code(1);
    assert!(
        ran.err.contains("missing.jsonl") && ran.err.contains("hint: "),
        "{}",
        ran.err
    );
    let zero = programs
        .sealbook(&["scenario", "run", file, "--validators", "0"])
        .expect_code(2);
    assert!(zero.err.contains("validator"), "{}", zero.err);
}

#[test]
fn fresh_networks_answer_the_same_whatever_their_size() {
    let programs = Programs::hold();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.jsonl");
    // The part of the rules up to the first trades.
    let lines: String = rules()
        .lines()
        .take(line_of("\"gamma\",\"do\":\"trades\"") as usize)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&file, &lines).unwrap();
    let temporary = fs::canonicalize(folder.path()).unwrap();
    for validators in ["1", "4"] {
        let mut model = Model::new();
        let ran = std::process::Command::new(programs.path("sealbook"))
            .args([
                "scenario",
                "run",
                file.to_str().unwrap(),
                "--validators",
                validators,
            ])
            .env("TMPDIR", &temporary)
            .output()
            .unwrap();
        let answers = Answers::of(sealbook_system::programs::Ran {
            code: ran.status.code().unwrap(),
            out: String::from_utf8(ran.stdout).unwrap(),
            err: String::from_utf8(ran.stderr).unwrap(),
        });
        scenario::compare(&answers, &mut model, &lines);
        let left: Vec<_> = fs::read_dir(&temporary)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            left,
            ["scenario.jsonl"],
            "the network of its own is removed afterwards"
        );
    }
}
