//! Other processes, as `/proc` shows them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// The children of a process, and theirs.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(child) {
            parents.push((child, parent));
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![pid]);
    while let Some(next) = open.pop() {
        for (child, _) in parents.iter().filter(|(_, parent)| *parent == next) {
            found.push(*child);
            open.push(*child);
        }
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in brackets and may contain anything.
    stat.rsplit(')')
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Whether the process exists and is no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !matches!(stat.rsplit(')').next().map(str::trim_start), Some(rest) if rest.starts_with('Z'))
}

/// The program that a process runs.
#[must_use]
pub fn program_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Ends a process with SIGKILL.
///
/// # Panics
/// There is no shell.
pub fn kill(pid: u32) {
    // The shell's own `kill` is there on every system, the program of that name is not.
    let script = format!("kill -9 {pid}");
    let _ = std::process::Command::new("sh")
        .args(["-c", &script])
        .status()
        .unwrap();
}

/// Hands the readable memory of a process to `look`, mapping by mapping. Returns how many bytes were read, or nothing
/// if the system does not allow it.
pub fn read_memory(pid: u32, mut look: impl FnMut(&str, &[u8])) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut total = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        if !rights.starts_with('r') || line.contains("[vvar") || line.contains("[vsyscall") {
            continue;
        }
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
        else {
            continue;
        };
        let mut bytes = Vec::new();
        if memory.seek(SeekFrom::Start(start)).is_err() {
            continue;
        }
        // A mapping may shrink meanwhile; what was read until then counts.
        let _ = (&mut memory).take(end - start).read_to_end(&mut bytes);
        total += bytes.len() as u64;
        look(line, &bytes);
    }
    Some(total)
}
