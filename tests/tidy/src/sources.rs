//! What may not stand in a file, and how long files and functions may be.

use crate::code::{blank, functions, lines_with_word};
use crate::tree::{files, members, read, report, rust_files};

/// Most lines in a source file, its tests included.
const FILE_LINES_MAX: usize = 700;
/// Most lines in a function.
const FUNCTION_LINES_MAX: usize = 100;

/// Code whose results every node must agree on, to the byte.
const REPLAYED: &[&str] = &[
    "contracts/",
    "node/ledger/",
    "node/execution/",
    "crypto/merkle/",
];
/// What has no place there, and why.
const UNREPEATABLE: &[(&str, &str)] = &[
    ("HashMap", "its order differs between nodes: use BTreeMap"),
    ("HashSet", "its order differs between nodes: use BTreeSet"),
    ("f32", "amounts are integers"),
    ("f64", "amounts are integers"),
    ("SystemTime", "the only clock is block time"),
];

/// What is not finished, or hidden from the ordinary test run.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "#[ignore"];

/// The crates that make system calls of their own, each with the one file or folder that may say `unsafe`.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("node/execution", "node/execution/src/lockdown/"),
    ("tests/powercut", "tests/powercut/src/recorder.rs"),
    ("tests/simulation", "tests/simulation/src/entropy.rs"),
];

/// Words that belong to the machine that a file was written on. They are put together here, so that
/// this file does not hold them.
const LOCAL: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("../sha", "red"),
    concat!("/ro", "ot/."),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("registry.np", "mjs"),
    concat!("arti", "factory"),
];

#[test]
fn files_and_functions_stay_readable() {
    let mut offenders = Vec::new();
    for (file, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            offenders.push(format!("{file}:1: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        for function in functions(&blank(&text)) {
            if function.lines > FUNCTION_LINES_MAX {
                offenders.push(format!(
                    "{file}:{}: `{}` has {} lines, at most {FUNCTION_LINES_MAX}",
                    function.line, function.name, function.lines
                ));
            }
        }
    }
    report("files and functions stay readable", &offenders);
}

#[test]
fn replayed_code_is_repeatable() {
    let mut offenders = Vec::new();
    for (file, text) in rust_files() {
        if !REPLAYED.iter().any(|folder| file.starts_with(folder)) {
            continue;
        }
        let code = blank(&text);
        for (word, why) in UNREPEATABLE {
            for line in lines_with_word(&code, word) {
                offenders.push(format!("{file}:{line}: `{word}`: {why}"));
            }
        }
    }
    report(
        "what every node must agree on uses nothing that differs between nodes",
        &offenders,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let mut offenders = Vec::new();
    for (file, text) in rust_files() {
        let code = blank(&text);
        for word in UNFINISHED {
            for line in lines_with_word(&code, word) {
                offenders.push(format!("{file}:{line}: `{word}`"));
            }
        }
    }
    report(
        "nothing is left unfinished, and no test is skipped",
        &offenders,
    );
}

#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    let mut offenders = Vec::new();
    for file in files() {
        let Some(text) = read(&file) else { continue };
        for (index, line) in text.lines().enumerate() {
            for word in LOCAL.iter().filter(|word| line.contains(**word)) {
                offenders.push(format!("{file}:{}: `{word}`", index + 1));
            }
        }
    }
    report("files make sense on every machine", &offenders);
}

#[test]
fn every_crate_says_what_it_is() {
    let mut offenders = Vec::new();
    for member in members() {
        assert!(
            !member.roots.is_empty(),
            "{} has a library or a binary",
            member.name
        );
        for file in member.roots {
            if !read(&file).unwrap().starts_with("//! ") {
                offenders.push(format!("{file}:1: begins without `//!`"));
            }
        }
    }
    report(
        "every library and binary begins by saying what it is",
        &offenders,
    );
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let mut offenders = Vec::new();
    for member in members() {
        if UNSAFE_FILES
            .iter()
            .any(|(folder, _)| *folder == member.folder)
        {
            continue;
        }
        for file in member.roots {
            let code = blank(&read(&file).unwrap());
            if !code
                .lines()
                .any(|line| line.trim() == "#![forbid(unsafe_code)]")
            {
                offenders.push(format!("{file}:1: without `#![forbid(unsafe_code)]`"));
            }
        }
    }
    for member in members() {
        let manifest = format!("{}/Cargo.toml", member.folder);
        let table: toml::Table = read(&manifest).unwrap().parse().unwrap();
        let inherits = table.get("lints").and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            offenders.push(format!("{manifest}:1: without the workspace's lints"));
        }
    }
    for (file, text) in rust_files() {
        if UNSAFE_FILES
            .iter()
            .any(|(_, allowed)| file.starts_with(allowed))
        {
            continue;
        }
        for line in lines_with_word(&blank(&text), "unsafe") {
            offenders.push(format!("{file}:{line}: `unsafe`"));
        }
    }
    report(
        "system calls are made in the files listed in tests/tidy/src/sources.rs",
        &offenders,
    );
}

#[test]
fn the_licence_is_here() {
    let licence = read("LICENSE").unwrap();
    assert!(licence.contains("Apache License") && licence.contains("END OF TERMS AND CONDITIONS"));
}
