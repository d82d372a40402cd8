//! The map of the code names every crate.

use std::collections::BTreeMap;

use crate::tree::{members, report};

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
