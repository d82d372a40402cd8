//! What processes have spent of the processor, as `/proc` tells it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use crate::Result;

/// Backends that end are counted by their parent a moment later.
const PAUSE: Duration = Duration::from_millis(50);
const TRIES: usize = 100;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// Ticks of its own, in user mode and in the kernel.
    own: u64,
    /// Ticks of the children that it has waited for, and of theirs.
    ended: u64,
}

/// Microseconds that these processes and all below them have spent, those that have ended included.
///
/// A process that ends while we look would be missed or counted twice, so we look until none has.
pub(crate) fn spent(roots: &[u32]) -> Result<f64> {
    let mut before = below(roots);
    for _ in 0..TRIES {
        std::thread::sleep(PAUSE);
        let after = below(roots);
        let same = before.len() == after.len()
            && before
                .iter()
                .zip(&after)
                .all(|(one, two)| one.0 == two.0 && one.1.ended == two.1.ended);
        if same {
            let ticks: u64 = after.values().map(|one| one.own + one.ended).sum();
            return Ok(ticks as f64 * *TICK);
        }
        before = after;
    }
    Err("processes come and go: what they spend cannot be told".into())
}

/// Microseconds that the children which this process has waited for have spent.
pub(crate) fn spent_by_ended_children() -> f64 {
    read(std::process::id()).map_or(0.0, |own| own.ended as f64 * *TICK)
}

/// What a process itself has spent; nothing of one that is gone.
pub(crate) fn own(pid: u32) -> Duration {
    let ticks = read(pid).map_or(0, |process| process.own);
    Duration::from_secs_f64(ticks as f64 * *TICK / 1e6)
}

/// Whether a process has a child.
pub(crate) fn has_child(pid: u32) -> bool {
    all().values().any(|process| process.parent == pid)
}

fn below(roots: &[u32]) -> BTreeMap<u32, Process> {
    let all = all();
    let mut found = BTreeMap::new();
    let mut open = roots.to_vec();
    while let Some(next) = open.pop() {
        if let Some(process) = all.get(&next) {
            found.insert(next, *process);
        }
        open.extend(
            all.iter()
                .filter(|(_, process)| process.parent == next)
                .map(|(pid, _)| *pid),
        );
    }
    found
}

fn all() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, read(pid)?))
        })
        .collect()
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in brackets and may contain anything; after it come the state and the parent.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut ticks = fields.skip(9).map(|field| field.parse::<u64>().ok());
    let mut next = || ticks.next().flatten();
    Some(Process {
        parent,
        own: next()? + next()?,
        ended: next()? + next()?,
    })
}

/// Microseconds in a tick.
static TICK: LazyLock<f64> = LazyLock::new(|| {
    let asked = Command::new("getconf").arg("CLK_TCK").output().ok();
    let ticks = asked.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    1_000_000.0 / ticks.unwrap_or(100.0)
});
