//! What the real execution module takes: a frame there and back, and what grows with the books.
//!
//! ```text
//! frames                  `make bench-module`: frames by size, coded alone, and to the process and back
//! positions NUMBER...     `make bench-positions`: snapshot, restart and a new key epoch with so many positions
//! ```
//!
//! The module is the process that a node starts, shut in as usual, and this program is its host: blocks, certificates
//! and envelopes are those of the tests' networks. Every table is printed with its conditions.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../tests/kit/mod.rs"]
mod kit;

mod frames;
mod host;
mod positions;

use std::fs;
use std::process::ExitCode;

const USAGE: &str =
    "cargo bench --package sealbook-execution --bench module -- frames | positions NUMBER...";

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["frames"] => frames::measure(),
        ["positions", numbers @ ..] if !numbers.is_empty() => {
            let numbers: Option<Vec<u32>> = numbers.iter().map(|text| text.parse().ok()).collect();
            let Some(numbers) = numbers else {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            };
            positions::measure(&numbers);
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The machine, how busy it is, and how this was built.
fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) {
        "development"
    } else {
        "release"
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!(
        "{}, {cores} cores, {} of memory, load {load}, profile {profile}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal")
    )
}

/// What follows a name in one of the kernel's files of `name: value`.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.map_or("unknown", str::trim).to_owned()
}
