//! Which crate may link which.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Member, members, report};

/// The crates from the bottom upwards, each with the crates of ours that it may link. A new edge is
/// a decision of its own: it is made here.
const ALLOWED: &[(&str, &[&str])] = &[
    ("primitives", &[]),
    ("merkle", &["primitives"]),
    ("sealing", &["primitives"]),
    ("opening", &["primitives", "sealing"]),
    ("sharing", &["primitives"]),
    ("identity", &["primitives"]),
    ("authority", &["primitives", "identity"]),
    ("policies", &[]),
    ("securities", &[]),
    ("ledger", &["primitives", "merkle"]),
    ("store", &["primitives", "ledger"]),
    ("protocol", &["primitives", "merkle", "ledger"]),
    ("attestation", &["primitives"]),
    ("governance", &["primitives", "ledger", "securities"]),
    ("ordering", &["primitives", "identity", "ledger", "store"]),
    (
        "execution",
        &[
            "primitives",
            "merkle",
            "sealing",
            "opening",
            "sharing",
            "identity",
            "policies",
            "securities",
            "governance",
            "ledger",
            "protocol",
        ],
    ),
    (
        "host",
        &[
            "primitives",
            "sealing",
            "identity",
            "ledger",
            "store",
            "protocol",
            "ordering",
        ],
    ),
    (
        "sdk",
        &[
            "primitives",
            "merkle",
            "sealing",
            "opening",
            "identity",
            "policies",
            "securities",
            "governance",
            "ledger",
            "protocol",
        ],
    ),
    (
        "cli",
        &[
            "primitives",
            "merkle",
            "sealing",
            "opening",
            "identity",
            "authority",
            "policies",
            "securities",
            "governance",
            "ledger",
            "store",
            "protocol",
            "execution",
            "sdk",
        ],
    ),
];

/// Who may link a crate, through whatever others: what the crate can do, nobody else can.
const CLOSED: &[(&str, &[&str])] = &[
    ("opening", &["execution", "sdk", "cli"]),
    ("authority", &["cli"]),
];

/// All that the contract may link: it has no clock, no input or output, no keys. Of `hashbrown` it uses the table
/// that its lookups are made of (`lookup.rs`), whose order nothing there can see.
const CONTRACT: (&str, &[&str]) = ("securities", &["borsh", "hashbrown", "thiserror"]);

fn full(short: &str) -> String {
    format!("sealbook-{short}")
}

fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let all = ALLOWED.iter();
    all.map(|(name, below)| (full(name), below.iter().map(|name| full(name)).collect()))
        .collect()
}

/// The crates of ours that a crate links, through whatever others; tests do not count.
fn closure(name: &str, members: &BTreeMap<&str, &Member>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        let Some(member) = members.get(next.as_str()) else {
            continue;
        };
        for dependency in member.dependencies.iter().filter(|one| !one.for_tests) {
            if members.contains_key(dependency.name.as_str())
                && found.insert(dependency.name.clone())
            {
                open.push(dependency.name.clone());
            }
        }
    }
    found
}

#[test]
fn the_list_of_edges_points_downwards() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    for (name, dependencies) in ALLOWED {
        for dependency in *dependencies {
            assert!(below.contains(dependency), "{name} -> {dependency}");
        }
        assert!(below.insert(name), "{name} stands twice");
    }
}

#[test]
fn crates_link_only_what_they_may() {
    let allowed = allowed();
    let members = members();
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut offenders = Vec::new();
    for member in members.iter().filter(|member| !member.only_tests()) {
        let Some(below) = allowed.get(&member.name) else {
            offenders.push(format!(
                "{}/Cargo.toml:1: unknown crate {}",
                member.folder, member.name
            ));
            continue;
        };
        for dependency in &member.dependencies {
            // Tests of a crate may use what the crate may, and nothing above it but the authority: whoever tests with
            // real certificates needs somebody who makes them.
            let certifies = dependency.for_tests && dependency.name == full("authority");
            let known = ours.contains(dependency.name.as_str());
            if known && !certifies && !below.contains(&dependency.name) {
                let place = member.place(&dependency.name);
                offenders.push(format!("{place}: {} -> {}", member.name, dependency.name));
            }
        }
    }
    report(
        "imports point downwards, along the edges in tests/tidy/src/edges.rs",
        &offenders,
    );
}

#[test]
fn what_opens_envelopes_or_certifies_members_is_linked_by_nobody_else() {
    let all = members();
    let members: BTreeMap<&str, &Member> = all
        .iter()
        .map(|member| (member.name.as_str(), member))
        .collect();
    let mut offenders = Vec::new();
    for (guarded, holders) in CLOSED {
        let guarded = full(guarded);
        assert!(
            members.contains_key(guarded.as_str()),
            "{guarded} is a crate"
        );
        let holders: BTreeSet<String> = holders.iter().map(|holder| full(holder)).collect();
        for member in all.iter().filter(|member| !member.only_tests()) {
            let links = closure(&member.name, &members);
            if links.contains(&guarded) && !holders.contains(&member.name) {
                // The edge through which it comes in.
                let through = member.dependencies.iter().find(|one| {
                    one.name == guarded || closure(&one.name, &members).contains(&guarded)
                });
                let place = member.place(through.map_or("", |one| one.name.as_str()));
                offenders.push(format!("{place}: {} comes to link {guarded}", member.name));
            }
        }
    }
    report("keys stay where they belong", &offenders);
    // The rule sees something: its holders do link it.
    let host = closure("sealbook-host", &members);
    assert!(!host.is_empty() && !host.contains("sealbook-opening"));
    assert!(closure("sealbook-execution", &members).contains("sealbook-opening"));
}

#[test]
fn json_stays_at_the_edge() {
    let mut offenders = Vec::new();
    for member in members() {
        if member.folder.starts_with("clients/") || member.only_tests() {
            continue;
        }
        for dependency in member.dependencies.iter().filter(|one| !one.for_tests) {
            if dependency.name == "serde_json" {
                offenders.push(format!("{}: {}", member.place("serde_json"), member.name));
            }
        }
    }
    report("JSON exists only in clients/ and in tests", &offenders);
}

#[test]
fn the_contract_is_pure() {
    let (name, may) = CONTRACT;
    let members = members();
    let member = members
        .iter()
        .find(|member| member.name == full(name))
        .unwrap();
    let offenders: Vec<String> = member
        .dependencies
        .iter()
        .filter(|one| !one.for_tests && !may.contains(&one.name.as_str()))
        .map(|one| {
            format!(
                "{}: {} -> {}",
                member.place(&one.name),
                member.name,
                one.name
            )
        })
        .collect();
    report(
        "the contract links nothing but its encoding, its errors and a table for its lookups",
        &offenders,
    );
}

#[test]
fn cargo_deny_knows_the_same_walls() {
    let deny: toml::Table = crate::tree::read("deny.toml").unwrap().parse().unwrap();
    let denied = deny["bans"]["deny"].as_array().unwrap();
    for (guarded, holders) in CLOSED {
        let entry = denied
            .iter()
            .find(|entry| entry["crate"].as_str() == Some(&full(guarded)))
            .unwrap_or_else(|| panic!("deny.toml has no entry for {guarded}"));
        let wrappers: BTreeSet<&str> = entry["wrappers"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        let expected: BTreeSet<String> = holders.iter().map(|holder| full(holder)).collect();
        assert_eq!(
            wrappers,
            expected.iter().map(String::as_str).collect(),
            "deny.toml: {guarded}"
        );
    }
}
