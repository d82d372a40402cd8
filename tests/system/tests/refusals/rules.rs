//! Rules as their author works with them: checked, explained, compared and held against what was agreed.

use std::fs;
use std::path::{Path, PathBuf};

use sealbook_system::TestNetwork;
use sealbook_system::network::wait_for;
use sealbook_system::programs::Programs;

/// A copy of the rules of this version, with some text replaced.
fn copy(folder: &Path, name: &str, changes: &[(&str, &str, &str)]) -> PathBuf {
    let to = folder.join(name);
    fs::create_dir(&to).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap();
            let mut text = fs::read_to_string(&path).unwrap();
            for (_, old, new) in changes.iter().filter(|(file, _, _)| *file == name) {
                assert_eq!(text.matches(old).count(), 1, "{old}");
                text = text.replace(old, new);
            }
            fs::write(to.join(name), text).unwrap();
        }
    }
    to
}

#[test]
fn rules_are_held_against_what_was_agreed() {
    let scratch = tempfile::tempdir().unwrap();
    let programs = Programs::hold();
    let good = copy(scratch.path(), "good", &[]);
    // Firms would read each other's books.
    let rule = "        Action::\"read-holdings\",\n        Action::\"read-trades\"\n    ],\n    resource\n)\nwhen { resource.owner == principal };";
    let open = rule.replace("\nwhen { resource.owner == principal };", ";");
    let bad = copy(scratch.path(), "bad", &[("firm.cedar", rule, &open)]);
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());

    let said = programs.sealbook(&["policy", "check", good]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("25 actions, 350 decisions"), "{said:?}");
    let said = programs.sealbook(&["policy", "test", good]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("350 cases"), "{said:?}");

    let said = programs.sealbook(&["policy", "check", bad]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = programs.sealbook(&["policy", "test", bad]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(
        said.out.lines().collect::<Vec<_>>(),
        [
            "firm read-holdings to what is others': allowed by the rules, denied in the table",
            "firm read-trades to what is others': allowed by the rules, denied in the table",
        ]
    );
    assert!(said.err.contains("error: 2 of 350 cases"), "{said:?}");

    let said = programs.sealbook(&["policy", "diff", "built-in", bad]);
    assert_eq!(said.code, 0, "{said:?}");
    let changed: Vec<&str> = said
        .out
        .lines()
        .filter(|line| line.contains("firm"))
        .collect();
    assert_eq!(changed.len(), 2, "{said:?}");
    assert!(changed[0].contains("firm-reads-its-own-books"), "{said:?}");
    let said = programs.sealbook(&["policy", "diff", good, "built-in"]);
    assert_eq!(said.out.trim(), "no decision differs");

    let explain = |rules: &str, more: &[&str]| {
        let all = ["policy", "explain", "firm", "read-trades", "--rules", rules];
        programs.sealbook(&[&all[..], more].concat())
    };
    let said = explain(good, &[]);
    assert!(said.out.starts_with("allowed: "), "{said:?}");
    for part in [
        "`firm-reads-its-own-books` of firm.cedar",
        "resource.owner == principal",
    ] {
        assert!(said.out.contains(part), "{said:?}");
    }
    let said = explain(good, &["--others"]);
    assert!(said.out.starts_with("denied: "), "{said:?}");
    assert!(said.out.contains("no rule permits it"), "{said:?}");
    let said = explain(bad, &["--others"]);
    assert!(said.out.starts_with("allowed: "), "{said:?}");

    // The table that rules make is one that they pass, and another table is not.
    let said = programs.sealbook(&["policy", "cases", bad]);
    let cases = scratch.path().join("cases");
    fs::write(&cases, &said.out).unwrap();
    let cases = cases.to_str().unwrap();
    let test = |rules: &str| programs.sealbook(&["policy", "test", rules, "--cases", cases]);
    assert_eq!((test(bad).code, test(good).code), (0, 3));
    fs::write(cases, said.out.replacen("read-audit", "read-audits", 1)).unwrap();
    let said = test(bad);
    assert!(said.out.contains("`read-audit` has no line"), "{said:?}");
    assert!(said.out.contains("`read-audits` is no action"), "{said:?}");
    fs::write(cases, "admin firm\n").unwrap();
    let said = test(bad);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("hint: "), "{said:?}");
}

#[test]
fn what_no_rules_say_is_refused_with_a_reason() {
    let scratch = tempfile::tempdir().unwrap();
    let programs = Programs::hold();
    for (arguments, what) in [
        (&["explain", "king", "open-day"][..], "`king` is not a role"),
        (
            &["explain", "admin", "open-days"],
            "`open-days` is not an action",
        ),
        (&["test"], "there is no table of cases"),
        (&["check", "/nowhere"], "nowhere"),
    ] {
        let said = programs.sealbook(&[&["policy"][..], arguments].concat());
        assert!([1, 2].contains(&said.code), "{said:?}");
        assert!(said.err.contains(what), "{said:?}");
    }
    // Rules that lock all admins out, forbidden or not permitted, take effect nowhere.
    let allow = "@id(\"admin-admits-members\")\npermit (";
    let forbid = "@id(\"nobody-admits-members\")\nforbid (principal, action == Action::\"admit-member\", resource);\n\n";
    let unpermitted = copy(
        scratch.path(),
        "unpermitted",
        &[(
            "admin.cedar",
            "action == Action::\"admit-member\"",
            "action == Action::\"open-day\"",
        )],
    );
    let forbidden = format!("{forbid}{allow}");
    let forbidden = copy(
        scratch.path(),
        "forbidden",
        &[("admin.cedar", allow, &forbidden)],
    );
    for (rules, by) in [
        (&unpermitted, "`admit-member`"),
        (&forbidden, "nobody-admits-members"),
    ] {
        let rules = rules.to_str().unwrap();
        let network = scratch.path().join("network");
        let network = network.to_str().unwrap();
        for arguments in [
            &["policy", "check", rules][..],
            &["network", "create", network, "--policies", rules],
        ] {
            let said = programs.sealbook(arguments);
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.err.contains("locked out"), "{said:?}");
            assert!(said.err.contains(by), "{said:?}");
            assert!(said.err.contains("hint: "), "{said:?}");
        }
        assert!(!Path::new(network).exists());
    }
}

#[test]
fn a_networks_own_rules_are_those_that_are_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let day = "        Action::\"dividend\",\n";
    let rules = copy(scratch.path(), "rules", &[("admin.cedar", day, "")]);
    let network = TestNetwork::create(1, 0, &["--policies", rules.to_str().unwrap()]);
    let said = network.sealbook(&["policy", "explain", "admin", "dividend"]);
    assert!(said.out.starts_with("denied: "), "{said:?}");
    let said = network.sealbook(&["policy", "explain", "admin", "split"]);
    assert!(said.out.starts_with("allowed: "), "{said:?}");
    let said = network.sealbook(&["--json", "policy", "cases"]);
    assert_eq!(said.out.matches("\"allowed\"").count(), 350);
}

/// A second admin, with keys made by the CA.
fn second_admin(network: &TestNetwork) {
    let enrol = [
        "member",
        "enrol",
        "second",
        "--role",
        "admin",
        "--organisation",
        "Exchange (second admin)",
    ];
    let _ = network.sealbook(&enrol).expect_code(0);
}

/// A network with the books of a first trade, in which two admins decide together and epochs pass quickly.
fn governed_by_two() -> TestNetwork {
    let mut network = TestNetwork::create(1, 0, &["--epoch-blocks", "16"]);
    network.start_all();
    second_admin(&network);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-trade.jsonl");
    let scenario = ["scenario", "run", example.to_str().unwrap()];
    let _ = network.sealbook(&scenario).expect_code(0);
    for change in [
        ["set-parameters", "--idle-interval", "50"],
        ["set-rules", "--approvals", "2"],
    ] {
        let words = [&["governance", "propose"][..], &change].concat();
        let _ = network.sealbook(&words).expect_code(0);
    }
    wait_for("two approvals to be needed", || {
        let words = ["--json", "governance", "show", "2"];
        let shown = network.sealbook(&words).expect_code(0).json();
        (shown["status"] == "effective").then_some(())
    });
    network
}

/// Firms would see each other's holdings and trades.
const OWN: &str = "        Action::\"read-holdings\",\n        Action::\"read-trades\"\n    ],\n    resource\n)\nwhen { resource.owner == principal };";

const TRANSFER: [&str; 14] = [
    "--as",
    "alpha",
    "account",
    "transfer",
    "--id",
    "T-9",
    "--from",
    "A-1",
    "--to",
    "B-1",
    "--isin",
    "US0378331005",
    "--quantity",
    "1",
];

#[test]
fn rules_change_by_governance_and_whoever_approves_sees_what_differs() {
    let mut network = governed_by_two();
    let say = |words: &[&str], code: i32| network.sealbook(words).expect_code(code);
    let show = |proposal: &str| say(&["--json", "governance", "show", proposal], 0).json();
    let scratch = tempfile::tempdir_in(network.scratch()).unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let propose = |folder: &Path| {
        let folder = folder.to_str().unwrap();
        network.sealbook(&["governance", "propose", "set-policies", folder])
    };
    let differ = |one: &str, other: &Path| {
        let other = other.to_str().unwrap();
        say(&["--json", "policy", "diff", one, other], 0).json()
    };
    let none = serde_json::json!([]);

    // Rules that lock all admins out are named before anything is sent.
    let admits = "@id(\"admin-admits-members\")\npermit (";
    let none_may = admits.replace("permit (", "forbid (");
    let locked = copy(
        scratch.path(),
        "locked",
        &[("admin.cedar", admits, &none_may)],
    );
    let refused = propose(&locked).expect_code(1);
    assert!(refused.err.contains("admit-member"), "{refused:?}");

    // So is another schema.
    let other = [(
        "schema.cedarschema",
        "entity Role enum [",
        "// Another.\nentity Role enum [",
    )];
    let other = copy(scratch.path(), "schema", &other);
    let refused = propose(&other).expect_code(1);
    assert!(refused.err.contains("byte for byte"), "{refused:?}");

    // The approver is told what differs, and may look at the text.
    let open = OWN.replace("\nwhen { resource.owner == principal };", ";");
    let bad = copy(scratch.path(), "bad", &[("firm.cedar", OWN, &open)]);
    let _ = propose(&bad).expect_code(0);
    let shown = show("3");
    assert_eq!(shown["change"], "set-policies");
    assert_eq!(shown["status"], "open");
    let differs = shown["differs"].as_array().unwrap();
    let of = |one: &serde_json::Value| one["role"] == "firm" && one["own"] == false;
    assert!(differs.len() == 2 && differs.iter().all(of), "{differs:?}");
    let out = file("proposed");
    let fetch = |out: &str, more: &[&str], code| {
        say(
            &[&["governance", "policies", "--out", out], more].concat(),
            code,
        )
    };
    let _ = fetch(&out, &["--proposal", "3"], 0);
    assert_eq!(differ(&out, &bad), none);
    let _ = fetch(&out, &[], 1);
    let _ = fetch(&file("not"), &["--proposal", "1"], 2);
    let told = say(&["--as", "second", "governance", "reject", "3"], 0);
    assert!(told.out.contains("read-holdings"), "{told:?}");
    assert_eq!(show("3")["status"], "rejected");
    let _ = fetch(&file("not"), &["--proposal", "3"], 2);

    // Firms lose a right that they had; both admins see it and want it.
    let own = "@id(\"firm-transfers-from-its-own-accounts\")\npermit (";
    let lost = own.replace("permit (", "forbid (");
    let strict = copy(scratch.path(), "strict", &[("firm.cedar", own, &lost)]);
    // So soon after the last, they may not be judged yet.
    wait_for("rules to be judged again", || {
        let proposed = propose(&strict);
        proposed.out.contains("transfer").then_some(())?;
        (proposed.code == 0).then_some(())
    });
    let told = say(&["--as", "second", "governance", "approve", "4"], 0);
    assert!(told.out.contains("transfer"), "{told:?}");
    wait_for("the rules to hold", || {
        (show("4")["status"] == "effective").then_some(())
    });
    let _ = say(&TRANSFER, 5);
    let force = file("force");
    let _ = fetch(&force, &[], 0);
    assert_eq!(differ(&force, &strict), none);
    assert!(show("4")["differs"].is_null());
    // A node that starts again, and executes all blocks anew, has them too.
    network.kill("node-1");
    network.start("node-1");
    let _ = network.sealbook(&TRANSFER).expect_code(5);
}
