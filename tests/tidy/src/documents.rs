//! The map of the code names every crate; what is said of threats names tests that exist.

use std::collections::BTreeMap;

use crate::tree::{members, read, report, rust_files};

/// The document with the map, a table whose first column is the crate's name; its folder stands in
/// the same row.
const MAP: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- crates -->";
const END: &str = "<!-- /crates -->";

#[test]
fn the_map_of_the_code_names_every_crate() {
    let text = std::fs::read_to_string(crate::tree::root().join(MAP)).unwrap_or_default();
    let rows = rows(&text);
    let members = members();
    let mut offenders = Vec::new();
    for member in &members {
        match rows.get(&member.name) {
            None => offenders.push(format!("{MAP}:1: no row for `{}`", member.name)),
            Some((line, row)) if !row.contains(&member.folder) => {
                offenders.push(format!("{MAP}:{line}: the folder is `{}`", member.folder));
            }
            Some(_) => {}
        }
    }
    for (name, (line, _)) in &rows {
        if !members.iter().any(|member| member.name == *name) {
            offenders.push(format!("{MAP}:{line}: there is no crate `{name}`"));
        }
    }
    report(
        &format!("{MAP} has a table of all crates and their folders between {BEGIN} and {END}"),
        &offenders,
    );
}

/// The document with a test, or the words "not protected", for every claim about security.
const THREATS: &str = "docs/THREATS.md";
/// What stands in a row that claims no protection.
const NO_CLAIM: &[&str] = &["not protected", "there are no "];

#[test]
fn claims_about_security_name_tests_that_exist() {
    let text = read(THREATS).unwrap_or_default();
    let sources: Vec<String> = rust_files().into_iter().map(|(_, text)| text).collect();
    // Attributes of its own may stand between a test's mark and its name.
    let is_test = |source: &String, function: &str| {
        source.split_once(function).is_some_and(|(before, _)| {
            let marked = before.rfind("#[test]");
            marked.is_some_and(|mark| !before.get(mark..).unwrap_or_default().contains('}'))
        })
    };
    let exists = |test: &str| {
        let function = format!("fn {test}(");
        sources.iter().any(|source| is_test(source, &function))
    };
    let (mut offenders, mut rows) = (Vec::new(), 0);
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let Some(tests) = cells.last().filter(|_| cells.len() > 3) else {
            continue;
        };
        if line.contains("---") || line.contains("| shown by |") {
            continue;
        }
        rows += 1;
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let at = format!("{THREATS}:{}", index + 1);
        if tests.is_empty() && !NO_CLAIM.iter().any(|words| line.contains(words)) {
            offenders.push(format!("{at}: neither a test nor \"not protected\""));
        }
        for test in tests.iter().filter(|test| !exists(test)) {
            offenders.push(format!("{at}: there is no test `{test}`"));
        }
    }
    assert!(rows > 30, "{rows} rows were read");
    report("docs/THREATS.md names a test for every claim", &offenders);
}

/// The table's rows: the crate's name, its line and the whole row.
fn rows(text: &str) -> BTreeMap<String, (usize, String)> {
    text.lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != BEGIN)
        .take_while(|(_, line)| line.trim() != END)
        .filter(|(_, line)| line.trim_start().starts_with('|'))
        // The heading and the rule below it.
        .skip(2)
        .map(|(index, line)| {
            let cell = line
                .trim()
                .trim_start_matches('|')
                .split('|')
                .next()
                .unwrap_or("");
            let name = cell
                .trim()
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or("");
            (
                name.trim().trim_matches('`').to_owned(),
                (index + 1, line.to_owned()),
            )
        })
        .collect()
}

#[test]
fn rows_are_read() {
    let text = "| x | y |\n<!-- crates -->\n| crate | folder |\n|---|---|\n| `a-b` | x/b |\n\
                | [`c`](x/c) | x/c |\n<!-- /crates -->\n| z | z |";
    let rows = rows(text);
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["a-b", "c"]);
    assert_eq!(rows["a-b"].0, 5);
}
