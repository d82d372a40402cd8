//! `sealbook doctor`: what is wrong on the nodes and with the files here, or weaker than it could be.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use sealbook_sdk::NodeStatus;
use serde_json::{Value, json};

use crate::error::{CliError, Result};
use crate::governance;
use crate::members::now_ms;
use crate::network::{self, NetworkFiles};
use crate::operations::Context;
use crate::session::Session;

mod certificates;

/// Blocks that execution may be behind.
const BEHIND_MAX: u64 = 20;
/// How old the newest block may be on a network whose idle blocks come every second, in milliseconds.
const OLD_MS: u64 = 30_000;
/// How the module's report marks a step that holds in a weaker form.
const WEAK: &str = "weak: ";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    Warning,
    Problem,
}

impl Grade {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    place: String,
    what: &'static str,
    grade: Grade,
    text: String,
}

/// Looks at everything.
///
/// # Errors
/// Something is a problem, or there is no network here.
pub fn doctor(context: &Context) -> Result<()> {
    let files = context.files()?;
    let mut findings = look_at_files(&files);
    findings.extend(certificates::look_at_files(&files, now_ms()));
    let mut session = Session::open(&files)?;
    findings.push(program(context, &mut session));
    let client = session.client(&context.member)?;
    for (index, node) in files.nodes().iter().enumerate() {
        let found = match client.status_of(index) {
            Ok(status) => look_at_node(&status, node.executes(), now_ms()),
            Err(error) => vec![(Grade::Problem, "answers", error.in_words())],
        };
        let found = found.into_iter().map(|(grade, what, text)| Finding {
            place: node.name.clone(),
            what,
            grade,
            text,
        });
        findings.extend(found);
    }
    show(context, &findings);
    let problems = findings
        .iter()
        .filter(|one| one.grade == Grade::Problem)
        .count();
    if problems > 0 {
        let noun = if problems == 1 { "problem" } else { "problems" };
        return Err(CliError::new(format!("{problems} {noun}"))
            .hint("docs/OPERATIONS.md says what to do about each"));
    }
    Ok(())
}

/// The execution module's program here, and whether the members agreed on it.
fn program(context: &Context, session: &mut Session) -> Finding {
    let agreed = governance::view(context, session).map(|view| view.measurements);
    let (grade, text) = match (network::module_measurement(), agreed) {
        (Err(error), _) => (Grade::Warning, error.to_string()),
        (Ok(here), Err(error)) => (
            Grade::Warning,
            format!("SHA-256 {here}; what the members agreed on is not known: {error}"),
        ),
        (Ok(here), Ok(agreed)) if agreed.is_empty() => (
            Grade::Good,
            format!("SHA-256 {here}; the members have not agreed on any"),
        ),
        (Ok(here), Ok(agreed)) if agreed.contains(&here) => (
            Grade::Good,
            format!("SHA-256 {here}, as the members agreed"),
        ),
        (Ok(here), Ok(_)) => (
            Grade::Warning,
            format!(
                "SHA-256 {here}, which is none that the members agreed on: no module with it is admitted"
            ),
        ),
    };
    Finding {
        place: "files".to_owned(),
        what: "module's program",
        grade,
        text,
    }
}

fn show(context: &Context, findings: &[Finding]) {
    let mut table = Table::new();
    table.set_header(["where", "what", "", ""]);
    let mut rows = Vec::new();
    for one in findings {
        table.add_row([&one.place, one.what, one.grade.as_str(), &one.text]);
        rows.push(json!({"where": one.place, "what": one.what, "result": one.grade.as_str(), "text": one.text}));
    }
    context.say(&Value::Array(rows), &table.to_string());
}

/// Files that hold secrets must be readable by their owner only.
fn look_at_files(files: &NetworkFiles) -> Vec<Finding> {
    let mut open = Vec::new();
    let mut secrets = vec![files.folder().join("audit.key")];
    for node in files.nodes() {
        secrets.push(files.node(&node.name).join("key.pem"));
        if node.executes() {
            secrets.extend(module_files(files, &node.name));
        }
    }
    let mut unseen = Vec::new();
    for path in &secrets {
        match fs::metadata(path) {
            Ok(found) if found.mode() & 0o077 != 0 => {
                let mode = found.mode() & 0o7777;
                open.push(format!("{} has mode {mode:o}", path.display()));
            }
            // In a folder that is closed to us, as it should be to all but its owner.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Ok(_) => {}
            Err(_) => unseen.push(path.display().to_string()),
        }
    }
    let place = "files".to_owned();
    let (grade, text) = if !open.is_empty() {
        (Grade::Problem, open.join("; "))
    } else if !unseen.is_empty() {
        (Grade::Warning, format!("not seen: {}", unseen.join(", ")))
    } else {
        (Grade::Good, "only their owner can read them".to_owned())
    };
    let mut found = vec![Finding {
        place: place.clone(),
        what: "secrets",
        grade,
        text,
    }];
    let (mut shared, mut apart) = (Vec::new(), Vec::new());
    for node in files.nodes().iter().filter(|node| node.executes()) {
        let own = owner(&files.node(&node.name).join("key.pem"));
        let modules = module_files(files, &node.name).map(|path| owner(&path));
        match own {
            Some(_) if modules.contains(&own) => shared.push(node.name.as_str()),
            Some(_) if modules.iter().all(Option::is_some) => apart.push(node.name.as_str()),
            _ => {}
        }
    }
    for (nodes, grade, text) in [
        (
            apart,
            Grade::Good,
            "the module's key belongs to another user than the node's on",
        ),
        (
            shared,
            Grade::Warning,
            "for development only: the module's key belongs to the same user as the node's on",
        ),
    ] {
        if !nodes.is_empty() {
            found.push(Finding {
                place: place.clone(),
                what: "module's user",
                grade,
                text: format!("{text} {}", nodes.join(", ")),
            });
        }
    }
    found
}

/// What the module of a node reads, and nobody else should.
fn module_files(files: &NetworkFiles, node: &str) -> [PathBuf; 2] {
    [files.module(node).join("module.key"), files.root_file(node)]
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.uid())
}

fn look_at_node(
    status: &NodeStatus,
    executes: bool,
    now_ms: u64,
) -> Vec<(Grade, &'static str, String)> {
    let mut found = Vec::new();
    let age_ms = now_ms.saturating_sub(status.time_ms);
    found.push(if age_ms > OLD_MS {
        let text = format!("the newest final block is {} s old", age_ms / 1_000);
        (Grade::Problem, "blocks", text)
    } else {
        let text = format!("height {}, {} peers", status.height, status.peers);
        (Grade::Good, "blocks", text)
    });
    if let Some(problem) = &status.halted {
        found.push((Grade::Problem, "execution", problem.clone()));
    } else if executes {
        let behind = status.height.saturating_sub(status.executed_height);
        found.push(if behind > BEHIND_MAX {
            let text = format!("{behind} blocks behind");
            (Grade::Warning, "execution", text)
        } else {
            let text = format!("height {}", status.executed_height);
            (Grade::Good, "execution", text)
        });
    }
    if let Some(reason) = &status.not_voting {
        found.push((Grade::Warning, "vote", reason.clone()));
    }
    found.extend(certificates::look_at_node(status, now_ms));
    if executes {
        found.extend(look_at_lockdown(&status.lockdown));
    }
    found
}

fn look_at_lockdown(report: &[String]) -> Vec<(Grade, &'static str, String)> {
    if report.is_empty() {
        let text = "the execution module has not reported any".to_owned();
        return vec![(Grade::Problem, "lockdown", text)];
    }
    let grade = |line: &str| match line.strip_prefix(WEAK) {
        Some(rest) => (Grade::Warning, "lockdown", rest.to_owned()),
        None => (Grade::Good, "lockdown", line.to_owned()),
    };
    report.iter().map(|line| grade(line)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_step_is_a_warning_and_none_at_all_a_problem() {
        let lines = ["not dumpable", "weak: memory locked (a page)"].map(str::to_owned);
        let grades: Vec<_> = look_at_lockdown(&lines)
            .into_iter()
            .map(|(grade, _, text)| (grade, text))
            .collect();
        assert_eq!(
            grades,
            [
                (Grade::Good, "not dumpable".to_owned()),
                (Grade::Warning, "memory locked (a page)".to_owned())
            ]
        );
        assert_eq!(look_at_lockdown(&[])[0].0, Grade::Problem);
    }
}
