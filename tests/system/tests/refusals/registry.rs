//! Certified registries with the commands that an issuer uses, and what is wrong with altered ones.

use std::fs;
use std::path::Path;

use sealbook_ledger::Genesis;
use sealbook_protocol::payload::AsOf;
use sealbook_protocol::registry::CertifiedHolder;
use sealbook_sdk::{RegistryStatement, StatementError};
use sealbook_system::TestNetwork;
use serde_json::Value;

const APPLE: &str = "US0378331005";

/// A statement in which a name is left out: it holds, and says so.
fn withheld(good: &RegistryStatement) -> RegistryStatement {
    let mut other = good.clone();
    let row = &mut other.rows[0];
    row.holder = CertifiedHolder::Unnamed(row.holder.commitment());
    other
}

/// Statements that are not as they were made, each with a name.
fn altered(good: &RegistryStatement) -> Vec<(&'static str, RegistryStatement)> {
    let mut all = Vec::new();
    let mut add = |name, change: &dyn Fn(&mut RegistryStatement)| {
        let mut other = good.clone();
        change(&mut other);
        all.push((name, other));
    };
    add("one left out", &|one| drop(one.rows.pop()));
    add("one left out, and counted so", &|one| {
        let row = one.rows.pop().unwrap();
        one.head.holders -= 1;
        one.head.issued -= row.quantity;
    });
    add("one left out, in favour of the treasury", &|one| {
        let row = one.rows.pop().unwrap();
        one.head.holders -= 1;
        one.head.treasury += row.quantity;
    });
    add("one twice", &|one| {
        let row = one.rows[0].clone();
        one.head.issued += row.quantity;
        one.head.holders += 1;
        one.rows.push(row);
    });
    add("more units", &|one| one.rows[0].quantity += 1);
    add("units moved", &|one| {
        one.rows[0].quantity += 1;
        one.rows[1].quantity -= 1;
    });
    add("names changed over", &|one| {
        let first = one.rows[0].holder.clone();
        one.rows[0].holder = std::mem::replace(&mut one.rows[1].holder, first);
    });
    add("another name", &|one| {
        if let CertifiedHolder::Named { holder, .. } = &mut one.rows[0].holder {
            holder.push('x');
        }
    });
    add("a name that is none", &|one| {
        if let CertifiedHolder::Named { holder, .. } = &mut one.rows[0].holder {
            holder.clear();
        }
    });
    add("no units", &|one| one.rows[0].quantity = 0);
    add("another height", &|one| one.head.height -= 1);
    add("another time", &|one| one.head.time_ms += 1);
    add("another moment", &|one| one.head.as_of = AsOf::Height(1));
    add("another issue", &|one| {
        one.head.isin = "JP3633400001".to_owned();
    });
    add("other decimals", &|one| one.head.decimals += 1);
    add("another key", &|one| one.key[0] ^= 1);
    add("no receipt", &|one| one.receipt.clear());
    add("another version", &|one| one.version += 1);
    all
}

#[test]
fn a_certified_registry_is_checked_without_a_network_and_no_altered_one_holds() {
    let mut network = TestNetwork::running(4, 0);
    network.agreement();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-trade.jsonl");
    let scenario = ["scenario", "run", example.to_str().unwrap()];
    let _ = network.sealbook(&scenario).expect_code(0);
    let scratch = tempfile::tempdir_in(network.scratch()).unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let certify = |network: &TestNetwork, name: &str, out: &str, more: &[&str]| {
        let words = [
            "--json", "--as", name, "registry", "certify", APPLE, "--out", out,
        ];
        network.sealbook(&[&words[..], more].concat())
    };
    let (now, past) = (file("now.registry"), file("past.registry"));
    let made = certify(&network, "apple", &now, &[]).expect_code(0).json();
    let height = made["as_of_height"].as_u64().unwrap();
    assert!(made["certified_height"].as_u64().unwrap() > height);
    let live = network.sealbook(&["--json", "--as", "apple", "registry", APPLE]);
    let live = live.expect_code(0).json();
    // A past moment, and the issuer's word for it by an admin, who is then on record.
    let at = height.to_string();
    let _ = certify(&network, "admin", &past, &["--as-of", &at]).expect_code(0);
    let log = network.sealbook(&["--json", "--as", "alpha", "access-log"]);
    let log = log.expect_code(0).json();
    let readings = log["answer"]["readings"].as_array().unwrap();
    assert_eq!(readings.last().unwrap()["as_of"]["height"], height);

    // Nothing is written over, and nobody else has anything certified.
    let kept = fs::read(&now).unwrap();
    let again = certify(&network, "apple", &now, &[]).expect_code(1);
    assert!(again.err.contains("hint: "), "{}", again.err);
    assert_eq!(fs::read(&now).unwrap(), kept);
    let none = file("none.registry");
    let refused = [
        ("alpha", "now", 5),
        ("apple", "999999999", 4),
        ("apple", "soon", 2),
    ];
    for (name, as_of, code) in refused {
        let ran = certify(&network, name, &none, &["--as-of", as_of]);
        let ran = ran.expect_code(code);
        assert!(!Path::new(&none).exists(), "{}", ran.err);
    }

    // Offline from here on.
    let genesis = file("genesis.copy");
    fs::copy(network.folder().join("genesis"), &genesis).unwrap();
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        network.stop(node);
    }
    let verify = |file: &str| {
        let words = ["--json", "registry", "verify", file, "--genesis", &genesis];
        network.sealbook(&words)
    };
    for made in [&now, &past] {
        let found = verify(made).expect_code(0).json();
        assert_eq!(
            (&found["as_of_height"], &found["unnamed"]),
            (&height.into(), &0.into())
        );
        for field in ["issued", "treasury", "holders"] {
            assert_eq!(found[field], live["answer"][field], "{field}");
        }
    }
    let good = RegistryStatement::decode(&kept).unwrap();
    assert!(good.rows.len() > 1);
    no_altered_one_holds(&good, &kept, &genesis);
    // The command says so with an exit code of its own.
    let (_, moved) = altered(&good).swap_remove(5);
    let bad = file("bad.registry");
    fs::write(&bad, withheld(&good).encode()).unwrap();
    let shown = verify(&bad).expect_code(0).json();
    assert_eq!(shown["unnamed"], 1);
    assert_eq!(shown["holders"][0]["holder"], Value::Null);
    fs::write(&bad, moved.encode()).unwrap();
    let ran = verify(&bad).expect_code(6);
    assert!(ran.err.contains("does not hold"), "{}", ran.err);
    fs::write(&bad, b"no statement").unwrap();
    let _ = verify(&bad).expect_code(6);
}

fn no_altered_one_holds(good: &RegistryStatement, bytes: &[u8], genesis: &str) {
    let genesis = Genesis::decode(&fs::read(genesis).unwrap()).unwrap();
    assert!(good.verify(&genesis).is_ok());
    for (name, other) in altered(good) {
        assert!(other.verify(&genesis).is_err(), "{name}");
        let read = RegistryStatement::decode(&other.encode());
        assert!(read.is_err() || read.unwrap() == other, "{name}");
    }
    let mut later = good.clone();
    later.version += 1;
    let refused = RegistryStatement::decode(&later.encode()).unwrap_err();
    assert_eq!(refused, StatementError::Version(2));
    let mut other_genesis = genesis.clone();
    other_genesis.network_name.push('x');
    assert!(good.verify(&other_genesis).is_err());
    // Every byte counts.
    for place in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[place] ^= 1;
        let holds = RegistryStatement::decode(&other).is_ok_and(|one| one.verify(&genesis).is_ok());
        assert!(!holds, "byte {place} of {}", bytes.len());
    }
    assert!(RegistryStatement::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(RegistryStatement::decode(&[bytes, &[0]].concat()).is_err());
}

/// What an issuer is shown of the statement, for people.
#[test]
fn a_statement_names_every_holder_and_says_as_of_when() {
    let network = TestNetwork::running(1, 0);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-trade.jsonl");
    let scenario = ["scenario", "run", example.to_str().unwrap()];
    let _ = network.sealbook(&scenario).expect_code(0);
    let scratch = tempfile::tempdir_in(network.scratch()).unwrap();
    let out = scratch.path().join("apple.registry");
    let out = out.to_str().unwrap();
    let certify = ["--as", "apple", "registry", "certify", APPLE, "--out", out];
    let said = network.sealbook(&certify).expect_code(0).out;
    assert!(said.contains("sealbook registry verify"), "{said}");
    let genesis = network.folder().join("genesis");
    let verify = [
        "registry",
        "verify",
        out,
        "--genesis",
        genesis.to_str().unwrap(),
    ];
    let said = network.sealbook(&verify).expect_code(0).out;
    let live = network.sealbook(&["--json", "--as", "apple", "registry", APPLE]);
    let live = live.expect_code(0).json();
    for row in live["answer"]["holders"].as_array().unwrap() {
        for field in ["holder", "quantity"] {
            let Value::String(text) = &row[field] else {
                panic!("{row}")
            };
            assert!(said.contains(text), "{text} in {said}");
        }
    }
    assert!(said.contains("the end of block "), "{said}");
}
