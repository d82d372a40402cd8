//! Processor time of nodes and modules.

use std::ops::Sub;
use std::time::Duration;

use sealbook_system::TestNetwork;

use crate::processor::own;

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
            nodes: pids.iter().map(|pid| own(*pid)).sum(),
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
        all.nodes += own(network.pid(&name));
        let modules = network.module_pids(&name);
        all.modules += modules.into_iter().map(own).sum::<Duration>();
    }
    all
}
