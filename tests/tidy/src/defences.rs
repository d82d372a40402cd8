//! The list of what stops each attack, as edits that take it away: `tests/attacks/defences.toml`.

use std::path::Path;

/// Where the list is.
pub const LIST: &str = "tests/attacks/defences.toml";

/// A piece of source that stops an attack.
pub struct Defence {
    /// The test that attacks.
    pub test: String,
    /// The package whose test it is.
    pub package: String,
    /// The test binary, `attacks` unless the list says otherwise.
    pub binary: String,
    /// Features of the package that the test needs.
    pub features: Option<String>,
    /// What is taken away, in words.
    pub what: String,
    /// How.
    pub edits: Vec<Edit>,
}

impl Defence {
    /// Whether the tests of both are in one binary.
    #[must_use]
    pub fn same_tests(&self, other: &Self) -> bool {
        (&self.package, &self.binary) == (&other.package, &other.binary)
    }
}

/// One edit of a file.
pub struct Edit {
    /// The file, from the root of the source.
    pub file: String,
    /// What stands there, once.
    pub find: String,
    /// What stands there instead.
    pub put: String,
}

impl Edit {
    /// The file's content with the edit.
    ///
    /// # Errors
    /// What is to be found stands there never or more than once.
    pub fn apply(&self, content: &str) -> Result<String, String> {
        match content.matches(&self.find).count() {
            1 => Ok(content.replacen(&self.find, &self.put, 1)),
            found => Err(format!(
                "{}: stands there {found} times: {}",
                self.file, self.find
            )),
        }
    }
}

/// Reads the list of a source tree.
///
/// # Errors
/// It cannot be read, or is not as it must be.
pub fn read(root: &Path) -> Result<Vec<Defence>, String> {
    let text =
        std::fs::read_to_string(root.join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{LIST}: {error}"))?;
    let all = table.get("defence").and_then(toml::Value::as_array);
    let all = all.ok_or_else(|| format!("{LIST}: there is no `defence`"))?;
    all.iter().map(defence).collect()
}

fn defence(value: &toml::Value) -> Result<Defence, String> {
    let edits = value.get("edits").and_then(toml::Value::as_array);
    let edits = edits.ok_or_else(|| format!("{LIST}: a defence without `edits`"))?;
    let edit = |value: &toml::Value| {
        Ok(Edit {
            file: text(value, "file")?,
            find: text(value, "find")?,
            put: text(value, "put")?,
        })
    };
    Ok(Defence {
        test: text(value, "test")?,
        package: text(value, "package")?,
        binary: text(value, "binary").unwrap_or_else(|_| "attacks".to_owned()),
        features: text(value, "features").ok(),
        what: text(value, "what")?,
        edits: edits.iter().map(edit).collect::<Result<_, String>>()?,
    })
}

fn text(value: &toml::Value, name: &str) -> Result<String, String> {
    let found = value.get(name).and_then(toml::Value::as_str);
    let found = found.ok_or_else(|| format!("{LIST}: something has no `{name}`"))?;
    Ok(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{read as read_file, report, root, rust_files};

    /// Attacks of which no single edit takes the defence away, with the reason.
    const WITHOUT: &[(&str, &str)] = &[
        (
            "a09_every_register_counts",
            "it alters every register, and one edit takes one check away",
        ),
        (
            "a14_a_machine_that_refuses_a_step_gets_no_module_and_the_reason",
            "it is itself about a step that is missing",
        ),
        (
            "a14_it_ends_with_its_host",
            "the kernel and the socket do it independently of each other",
        ),
        (
            "a14_the_doctor_shows_how_modules_are_shut_in_and_finds_open_keys",
            "it shows what holds",
        ),
        (
            "a16_the_command_line_program_of_another_member_learns_nothing_from_files",
            "nothing is written",
        ),
        (
            "a20_a_carrier_of_what_does_not_open_loses_its_quota_and_its_clients_turn_elsewhere",
            "another side of a20",
        ),
        (
            "a14_the_nodes_user_reaches_neither_files_nor_processes_of_a_module_with_its_own",
            "it shows itself what the same tries bring where node and module share a user",
        ),
        (
            "a14_a_node_is_prepared_for_a_module_of_another_user",
            "it is about files, not about an attack",
        ),
    ];

    #[test]
    fn what_stops_an_attack_is_still_there_to_be_taken_away() {
        let defences = read(&root()).unwrap_or_default();
        let mut offenders = Vec::new();
        assert!(!defences.is_empty(), "{LIST} cannot be read");
        for defence in &defences {
            for edit in &defence.edits {
                let content = read_file(&edit.file).unwrap_or_default();
                if let Err(error) = edit.apply(&content) {
                    offenders.push(format!("{LIST}: {}: {error}", defence.test));
                }
            }
        }
        let attacks: Vec<String> = rust_files()
            .into_iter()
            .filter(|(path, _)| FOLDERS.iter().any(|folder| path.starts_with(folder)))
            .flat_map(|(_, text)| tests_in(&text))
            .filter(|test| is_numbered(test))
            .collect();
        assert!(attacks.len() > 20, "{attacks:?}");
        let named = |test: &str| defences.iter().any(|one| one.test == test);
        let excused = |test: &str| WITHOUT.iter().any(|(name, _)| *name == test);
        for test in &attacks {
            if !named(test) && !excused(test) {
                offenders.push(format!("{LIST}: no entry for `{test}`"));
            }
        }
        for defence in defences.iter().filter(|one| !attacks.contains(&one.test)) {
            offenders.push(format!("{LIST}: there is no test `{}`", defence.test));
        }
        report("every attack names what stops it", &offenders);
    }

    /// Where attacks are.
    const FOLDERS: [&str; 2] = ["tests/attacks", "node/attestation/tests"];

    fn is_numbered(test: &str) -> bool {
        let mut bytes = test.bytes();
        bytes.next() == Some(b'a') && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
    }

    /// Names of tests.
    fn tests_in(text: &str) -> Vec<String> {
        let names = text.split("\n#[test]\nfn ").skip(1);
        let names = names.filter_map(|rest| rest.split('(').next());
        names.map(str::to_owned).collect()
    }
}
