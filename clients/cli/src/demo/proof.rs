//! The offline audit: a copy of the observer's folder, the audit key, and no node. Then a copy with
//! one changed byte.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::audit;
use crate::demo::text::{Teller, grouped};
use crate::error::{CliError, Result, doing};
use crate::network::{NetworkFiles, Running};

/// Where the auditor's copy lies in the demo's folder.
pub const COPY: &str = "audit-copy";
const DAMAGED: &str = "damaged-copy";
/// No folder of a node is nested deeper.
const DEPTH_MAX: usize = 16;

/// Stops the observer, audits a copy of its folder, and shows that a damaged copy is refused.
///
/// # Errors
/// The audit finds anything wrong, or does not find the damage.
pub fn audit(
    files: &NetworkFiles,
    running: &mut Running,
    orders: u64,
    teller: &mut Teller,
) -> Result<()> {
    teller.heading("The offline audit")?;
    let observer = files.nodes().iter().position(|node| node.observer);
    let place = observer.ok_or_else(|| CliError::new("the demo's network has no observer"))?;
    let node = files
        .nodes()
        .get(place)
        .map(|node| node.name.clone())
        .unwrap_or_default();
    running.stop_node(place);
    let (copy, damaged) = (files.folder().join(COPY), files.folder().join(DAMAGED));
    let bytes = copy_folder(&files.node(&node), &copy, 0)?;
    let key = files.folder().join("audit.key");
    teller.say(format_args!(
        "  The observer {node} is stopped and its folder copied ({} MiB). With the regulator's\n  \
         audit key and no node, every block is checked from genesis on, opened and replayed:\n",
        grouped(bytes / (1024 * 1024))
    ))?;
    let report = audit::verify(&copy, std::slice::from_ref(&key), &[])?;
    compare(&report.to_json(), orders)?;
    for line in report.to_text().lines() {
        teller.say(format_args!("  {line}"))?;
    }
    copy_folder(&copy, &damaged, 0)?;
    let (file, offset) = flip_a_byte(&damaged)?;
    let shown = file.strip_prefix(&damaged).unwrap_or(&file);
    teller.say(format_args!(
        "\n  Another copy, with one byte changed (byte {} of {}):",
        grouped(offset),
        shown.display()
    ))?;
    let verdict = audit::verify(&damaged, std::slice::from_ref(&key), &[]);
    fs::remove_dir_all(&damaged).map_err(doing(damaged.display()))?;
    match verdict {
        Ok(_) => Err(CliError::new("the audit accepted a damaged copy")),
        Err(error) => {
            let told = error.to_string();
            let first = told.lines().next().unwrap_or_default();
            teller.say(format_args!(
                "  refused: {}",
                first.trim_start_matches("error: ")
            ))
        }
    }
}

/// The audit must find as many orders done as the demo gave, readings that were put on record among them, no more and no less.
fn compare(report: &Value, given: u64) -> Result<()> {
    let count = |name: &str| report.get("orders")?.get(name)?.as_u64();
    let accepted = count("settled")
        .zip(count("pending"))
        .map(|(settled, pending)| settled + pending);
    if accepted == Some(given) && count("rejected") == Some(0) {
        return Ok(());
    }
    let found = report.get("orders");
    let found = found.map(Value::to_string).unwrap_or_default();
    Err(CliError::new(format!(
        "the demo gave {given} orders, and the audit found {found}"
    )))
}

fn copy_folder(from: &Path, to: &Path, depth: usize) -> Result<u64> {
    fs::create_dir_all(to).map_err(doing(to.display()))?;
    let mut bytes = 0;
    for entry in fs::read_dir(from).map_err(doing(from.display()))? {
        let entry = entry.map_err(doing(from.display()))?;
        let kind = entry.file_type().map_err(doing(from.display()))?;
        let target = to.join(entry.file_name());
        if kind.is_dir() && depth < DEPTH_MAX {
            bytes += copy_folder(&entry.path(), &target, depth + 1)?;
        } else if kind.is_file() {
            bytes += fs::copy(entry.path(), &target).map_err(doing(target.display()))?;
        }
    }
    Ok(bytes)
}

/// Changes the byte in the middle of the largest file of the copy's block store.
fn flip_a_byte(copy: &Path) -> Result<(PathBuf, u64)> {
    let blocks = copy.join("ledger").join("blocks");
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(&blocks).map_err(doing(blocks.display()))? {
        let entry = entry.map_err(doing(blocks.display()))?;
        let about = entry.metadata().map_err(doing(blocks.display()))?;
        if about.is_file()
            && largest
                .as_ref()
                .is_none_or(|(length, _)| about.len() > *length)
        {
            largest = Some((about.len(), entry.path()));
        }
    }
    let (length, path) = largest.ok_or_else(|| CliError::new("the copy has no blocks"))?;
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(doing(path.display()))?;
    let (offset, mut byte) = (length / 2, [0]);
    file.read_exact_at(&mut byte, offset)
        .map_err(doing(path.display()))?;
    file.write_all_at(&byte.map(|byte| byte ^ 1), offset)
        .map_err(doing(path.display()))?;
    Ok((path, offset))
}
