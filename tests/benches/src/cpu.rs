//! Processor time of processes, from the kernel's own counts.

use std::ops::Sub;
use std::time::Duration;

use sealbook_system::TestNetwork;

/// Ticks of the kernel's counts a second; the same on every Linux that runs here.
const TICKS: u64 = 100;

/// Processor time, in user and system mode together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Of nodes.
    pub(crate) nodes: Duration,
    /// Of execution modules.
    pub(crate) modules: Duration,
}

impl Spent {
    /// All of it.
    pub(crate) const fn total(&self) -> Duration {
        self.nodes.saturating_add(self.modules)
    }

    /// That of these processes so far, counted as nodes'.
    pub(crate) fn of(pids: &[u32]) -> Self {
        Self {
            nodes: pids.iter().map(|pid| spent(*pid)).sum(),
            modules: Duration::ZERO,
        }
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_sub(before.nodes),
            modules: self.modules.saturating_sub(before.modules),
        }
    }
}

/// That of all nodes and modules of a network that runs.
pub(crate) fn of_network(network: &TestNetwork) -> Spent {
    let mut all = Spent::default();
    for name in network.node_names() {
        all.nodes += spent(network.pid(&name));
        let modules = network.module_pids(&name);
        all.modules += modules.into_iter().map(spent).sum::<Duration>();
    }
    all
}

fn spent(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses that may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}
