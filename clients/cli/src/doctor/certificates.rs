//! What `sealbook doctor` says of certificates and revocation lists: those that end soon, while there is time to renew them.

use std::fs;
use std::io::ErrorKind;

use sealbook_authority::{Authority, AuthorityError, Standing, standings};
use sealbook_identity::files::FileError;
use sealbook_identity::{Role, chain_end_ms, files};
use sealbook_sdk::NodeStatus;

use super::{Finding, Grade};
use crate::network::NetworkFiles;
use crate::operations::time;

const DAY_MS: u64 = 86_400_000;
/// How long before its end a holder's certificate should be renewed.
const SOON_MS: u64 = 30 * DAY_MS;
/// How long before its end an authority's certificate should be: nothing that it certifies outlives it.
const AUTHORITY_SOON_MS: u64 = 400 * DAY_MS;
/// How long before its time is up a revocation list should be followed by the next.
const LIST_SOON_MS: u64 = DAY_MS / 3;
/// How many are named.
const NAMED_MAX: usize = 10;

/// The CA in the network's folder, if it is here, and the members whose keys are.
pub(super) fn look_at_files(files: &NetworkFiles, now_ms: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let finding = |what, (grade, text)| Finding {
        place: "files".to_owned(),
        what,
        grade,
        text,
    };
    if files.ca().is_dir() {
        match Authority::look(&files.ca()) {
            Ok(authority) => {
                let said = authorities(&authority, now_ms);
                found.push(finding("authorities", said));
                found.push(finding("inventory", inventory(&authority, now_ms)));
            }
            // Closed to us, as it should be to all but its owner.
            Err(AuthorityError::File(FileError::Io { source, .. }))
                if source.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => {
                let text = format!("the CA does not open: {error}");
                found.push(finding("authorities", (Grade::Warning, text)));
            }
        }
    }
    found.extend(members(files, now_ms).map(|said| finding("members", said)));
    found
}

fn authorities(authority: &Authority, now_ms: u64) -> (Grade, String) {
    let ends = match authority.ends() {
        Ok(ends) => ends,
        Err(error) => return (Grade::Warning, error.to_string()),
    };
    let due = ends
        .iter()
        .filter(|(_, end_ms)| *end_ms < now_ms.saturating_add(AUTHORITY_SOON_MS));
    let due: Vec<String> = due
        .map(|(role, end_ms)| {
            let name = role.map_or("root", Role::word);
            let ended = if *end_ms < now_ms { "ended" } else { "ends" };
            format!("{name} {ended} {}", time(*end_ms))
        })
        .collect();
    if due.is_empty() {
        let first = ends.iter().map(|(_, end_ms)| *end_ms).min();
        let text = format!("valid until {}", time(first.unwrap_or(0)));
        return (Grade::Good, text);
    }
    (
        Grade::Warning,
        format!(
            "nothing that they certify outlives them: {}",
            due.join(", ")
        ),
    )
}

fn inventory(authority: &Authority, now_ms: u64) -> (Grade, String) {
    let issued = match authority.inventory() {
        Ok(issued) => issued,
        Err(error) => return (Grade::Warning, error.to_string()),
    };
    let stand = standings(&issued, now_ms, SOON_MS);
    let of = |wanted: Standing| -> Vec<&str> {
        let all = issued.iter().zip(&stand);
        all.filter(|(_, standing)| **standing == wanted)
            .map(|(entry, _)| entry.name.as_str())
            .collect()
    };
    due(&of(Standing::EndsSoon), &of(Standing::Ended))
}

/// The certificates of the members whose keys are here.
fn members(files: &NetworkFiles, now_ms: u64) -> Option<(Grade, String)> {
    let (mut soon, mut ended, mut seen) = (Vec::new(), Vec::new(), 0_usize);
    for entry in fs::read_dir(files.folder().join("members")).ok()?.flatten() {
        let chain = files::read_chain(&entry.path().join("chain.pem"));
        let Some(end_ms) = chain.ok().and_then(|chain| chain_end_ms(&chain).ok()) else {
            continue;
        };
        seen = seen.saturating_add(1);
        let name = entry.file_name().to_string_lossy().into_owned();
        if end_ms < now_ms {
            ended.push(name);
        } else if end_ms < now_ms.saturating_add(SOON_MS) {
            soon.push(name);
        }
    }
    soon.sort();
    ended.sort();
    (seen > 0).then(|| due(&soon, &ended))
}

/// What is to be said where some end soon and some have ended.
fn due<T: AsRef<str>>(soon: &[T], ended: &[T]) -> (Grade, String) {
    let mut parts = Vec::new();
    for (words, names) in [("end within 30 days", soon), ("ended", ended)] {
        if names.is_empty() {
            continue;
        }
        let shown = names.iter().take(NAMED_MAX).map(AsRef::as_ref);
        let shown: Vec<&str> = shown.collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        parts.push(format!("{words}: {}{more}", shown.join(", ")));
    }
    if parts.is_empty() {
        return (Grade::Good, "no certificate ends within 30 days".to_owned());
    }
    (Grade::Warning, parts.join("; "))
}

/// The certificate and the lists of a node.
pub(super) fn look_at_node(status: &NodeStatus, now_ms: u64) -> Vec<(Grade, &'static str, String)> {
    let ends_ms = status.certificate_ends_ms;
    let until = time(ends_ms);
    let mut found = vec![if ends_ms < now_ms {
        let text = format!("ended {until}: it serves no clients");
        (Grade::Problem, "certificate", text)
    } else if ends_ms < now_ms.saturating_add(SOON_MS) {
        (Grade::Warning, "certificate", format!("ends {until}"))
    } else {
        (Grade::Good, "certificate", format!("until {until}"))
    }];
    for (role, until_ms) in &status.lists {
        let until = time(*until_ms);
        found.push(if *until_ms < now_ms {
            let text =
                format!("{role}: out of date since {until}; members of this role are not let in");
            (Grade::Problem, "revocation list", text)
        } else if *until_ms < now_ms.saturating_add(LIST_SOON_MS) {
            (
                Grade::Warning,
                "revocation list",
                format!("{role}: until {until} only"),
            )
        } else {
            (
                Grade::Good,
                "revocation list",
                format!("{role}: until {until}"),
            )
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_is_named_and_not_more_of_it_than_fits() {
        assert_eq!(due::<&str>(&[], &[]).0, Grade::Good);
        let (grade, text) = due(&["a", "b"], &["c"]);
        assert_eq!(grade, Grade::Warning);
        assert_eq!(text, "end within 30 days: a, b; ended: c");
        let (_, text) = due(&["a"; 12], &[]);
        assert!(text.ends_with("a and 2 more"), "{text}");
    }
}
