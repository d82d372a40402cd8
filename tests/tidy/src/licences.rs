//! What is linked may be distributed under Apache-2.0, and comes from a package registry, never from a repository.

use std::collections::BTreeSet;
use std::process::Command;

use crate::tree::{metadata, read, report};

/// How the sources that crates may come from begin: no git dependencies.
const SOURCE: &str = "registry+";

#[test]
fn every_licence_is_on_the_list() {
    let deny: toml::Table = read("deny.toml").unwrap().parse().unwrap();
    let allowed = deny["licenses"]["allow"].as_array().unwrap();
    let allowed: BTreeSet<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    let mut offenders = Vec::new();
    let mut used = BTreeSet::new();
    for package in metadata(&["--all-features", "--filter-platform", &host()])["packages"]
        .as_array()
        .unwrap()
    {
        let name = format!("{} {}", package["name"], package["version"]).replace('"', "");
        let licence = package["license"]
            .as_str()
            .unwrap_or("")
            .replace('/', " OR ");
        match satisfied(&licence, &allowed) {
            Some(by) => used.extend(by),
            None => offenders.push(format!("Cargo.lock: {name}: `{licence}`")),
        }
        if package["source"]
            .as_str()
            .is_some_and(|source| !source.starts_with(SOURCE))
        {
            offenders.push(format!(
                "Cargo.lock: {name} comes from {}",
                package["source"]
            ));
        }
    }
    report(
        "licences are those of deny.toml, sources are registries",
        &offenders,
    );
    let idle: Vec<&&str> = allowed
        .iter()
        .filter(|licence| !used.contains(**licence))
        .collect();
    assert!(
        idle.is_empty(),
        "deny.toml allows licences that nothing needs: {idle:?}"
    );
}

#[test]
fn cargo_lock_names_no_other_source() {
    let lock = read("Cargo.lock").unwrap();
    let offenders: Vec<String> = lock
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("source = ") && !line.contains(&format!("\"{SOURCE}")))
        .map(|(index, line)| format!("Cargo.lock:{}: {line}", index + 1))
        .collect();
    report("crates come from a registry, on every platform", &offenders);
}

fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap()
        .to_owned()
}

/// The allowed licences that satisfy an SPDX expression, or nothing when they do not.
fn satisfied<'a>(expression: &str, allowed: &BTreeSet<&'a str>) -> Option<BTreeSet<&'a str>> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let found = any_of(&words, &mut at, allowed);
    if at == words.len() { found } else { None }
}

fn any_of<'a>(
    words: &[&str],
    at: &mut usize,
    allowed: &BTreeSet<&'a str>,
) -> Option<BTreeSet<&'a str>> {
    let mut found = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        let next = all_of(words, at, allowed);
        found = match (found, next) {
            (Some(one), Some(two)) => Some(&one | &two),
            (one, two) => one.or(two),
        };
    }
    found
}

fn all_of<'a>(
    words: &[&str],
    at: &mut usize,
    allowed: &BTreeSet<&'a str>,
) -> Option<BTreeSet<&'a str>> {
    let mut found = single(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        let next = single(words, at, allowed);
        found = found.zip(next).map(|(one, two)| &one | &two);
    }
    found
}

fn single<'a>(
    words: &[&str],
    at: &mut usize,
    allowed: &BTreeSet<&'a str>,
) -> Option<BTreeSet<&'a str>> {
    let word = words.get(*at)?;
    *at += 1;
    if *word == "(" {
        let found = any_of(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"), "{words:?}");
        *at += 1;
        return found;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1)?);
        *at += 2;
    }
    allowed
        .get(name.as_str())
        .map(|licence| BTreeSet::from([*licence]))
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["MIT", "ISC", "A WITH x"]);
    for (expression, passes) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("MIT AND GPL-3.0 OR ISC", true),
        ("MIT AND (GPL-3.0 OR ISC)", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("A", false),
        ("A WITH x", true),
        ("A WITH y OR B", false),
    ] {
        assert_eq!(
            satisfied(expression, &allowed).is_some(),
            passes,
            "{expression}"
        );
    }
}
