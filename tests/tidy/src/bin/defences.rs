//! `sealbook-defences FOLDER [NAME...]`: takes away what stops each attack, one after the other, in a copy of the source
//! in FOLDER, and sees that the attack's test fails. A test that passes without its defence says nothing.
//!
//! It is run in the source tree; NAMEs choose the tests whose names begin so.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use sealbook_tidy::defences::{Defence, read};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, names)) = arguments.split_first() else {
        eprintln!("error: sealbook-defences FOLDER [NAME...]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(folder), names) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, names: &[String]) -> Result<bool, String> {
    let root = std::env::current_dir().map_err(|error| error.to_string())?;
    let mut defences = read(&root)?;
    defences.retain(|one| names.is_empty() || names.iter().any(|name| one.test.starts_with(name)));
    let copy = folder.join("source");
    copy_source(&root, &copy)?;
    let mut places: Vec<&Defence> = Vec::new();
    for defence in &defences {
        if !places.iter().any(|one| one.same_tests(defence)) {
            places.push(defence);
        }
    }
    for place in places {
        let package = &place.package;
        let tests = defences.iter().filter(|one| one.same_tests(place));
        let tests: Vec<&str> = tests.map(|one| one.test.as_str()).collect();
        built(folder, &copy, place)?;
        let all = run_tests(folder, &copy, place, &tests)?;
        if !all.status.success() {
            return Err(format!(
                "{package}: tests fail with every defence in place\n{}",
                tail(&all)
            ));
        }
        println!("{package}: the tests pass with every defence in place");
    }
    let mut good = true;
    for defence in &defences {
        let said = without(folder, &copy, defence)?;
        good &= said.is_none();
        let said = said.unwrap_or("the test fails, as it must");
        println!("{}: without \"{}\": {said}", defence.test, defence.what);
    }
    Ok(good)
}

/// What is wrong with a test, if its defence is taken away and put back.
fn without(folder: &Path, copy: &Path, defence: &Defence) -> Result<Option<&'static str>, String> {
    let mut before = Vec::new();
    for edit in &defence.edits {
        let path = copy.join(&edit.file);
        let content = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        fs::write(&path, edit.apply(&content)?).map_err(|error| error.to_string())?;
        before.push((path, content));
    }
    let tested = built(folder, copy, defence)
        .and_then(|()| run_tests(folder, copy, defence, &[&defence.test]));
    // The last edit of a file first.
    for (path, content) in before.into_iter().rev() {
        fs::write(path, content).map_err(|error| error.to_string())?;
    }
    let output = tested.map_err(|error| format!("{}: {error}", defence.test))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ran = text.contains("running 1 test") && text.contains(&defence.test);
    Ok(match (ran, output.status.success()) {
        (true, false) => None,
        (true, true) => Some("THE TEST PASSES, AND SAYS NOTHING"),
        (false, _) => Some("THE TEST DID NOT RUN"),
    })
}

/// Copies what belongs to the source, and leaves files alone that are the same already.
fn copy_source(root: &Path, copy: &Path) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let present: BTreeSet<&str> = listed.lines().collect();
    remove_gone(copy, copy, &present)?;
    for name in listed.lines().filter(|name| root.join(name).is_file()) {
        let (from, to) = (root.join(name), copy.join(name));
        let content = fs::read(&from).map_err(|error| format!("{name}: {error}"))?;
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|error| format!("{name}: {error}"))?;
        }
        fs::write(&to, content).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// Removes from the copy what the source has no more.
fn remove_gone(copy: &Path, folder: &Path, present: &BTreeSet<&str>) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.strip_prefix(copy).unwrap_or(&path);
        if path.is_dir() {
            remove_gone(copy, &path, present)?;
        } else if !name.to_str().is_some_and(|name| present.contains(name)) {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn cargo(folder: &Path, copy: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", folder.join("build"));
    command
}

/// `cargo test` of the binary that has a defence's test.
fn test_of(folder: &Path, copy: &Path, defence: &Defence) -> Command {
    let mut command = cargo(folder, copy);
    command.args(["test", "--locked", "--package", &defence.package]);
    command.args(["--test", &defence.binary]);
    if let Some(features) = &defence.features {
        command.args(["--features", features]);
    }
    command
}

/// Builds the programs that are attacked, and the tests.
fn built(folder: &Path, copy: &Path, defence: &Defence) -> Result<(), String> {
    let mut steps = Vec::new();
    if defence.package == "sealbook-system" {
        let mut programs = cargo(folder, copy);
        programs.args(["build", "--locked", "--workspace", "--bins"]);
        steps.push(programs);
    }
    let mut tests = test_of(folder, copy, defence);
    tests.arg("--no-run");
    steps.push(tests);
    for mut step in steps {
        let output = step.output().map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            return Err(format!("does not build\n{}", tail(&output)));
        }
    }
    Ok(())
}

fn run_tests(
    folder: &Path,
    copy: &Path,
    defence: &Defence,
    tests: &[&str],
) -> Result<Output, String> {
    test_of(folder, copy, defence)
        .args(["--", "--test-threads=1"])
        .args(tests)
        .output()
        .map_err(|error| format!("cargo: {error}"))
}

fn tail(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(40)..)
        .unwrap_or_default()
        .join("\n")
}
