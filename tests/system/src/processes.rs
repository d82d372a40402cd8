//! Other processes, as `/proc` shows them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

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

fn signal(pid: u32, signal: Signal) {
    // It may have ended meanwhile.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends a process with SIGKILL.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Lets a process stand still (SIGSTOP): its connections stay open, and nothing comes from it.
pub fn pause(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets a process that stood still go on (SIGCONT).
pub fn resume(pid: u32) {
    signal(pid, Signal::CONT);
}

/// Processes that get little of the processor for as long as this value lives: they stand still most of the time.
#[derive(Debug)]
pub struct Slowed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slowed {
    /// Lets processes run for `running` out of every `running` and `standing`.
    #[must_use]
    pub fn begin(pids: Vec<u32>, running: Duration, standing: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                pids.iter().for_each(|pid| pause(*pid));
                std::thread::sleep(standing);
                pids.iter().for_each(|pid| resume(*pid));
                std::thread::sleep(running);
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
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
