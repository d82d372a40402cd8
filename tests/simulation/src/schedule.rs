//! What goes wrong in a run, and when: everything follows from the seed.
//!
//! A run has a quiet beginning, in which the members set up their accounts, a time of faults, and an end in which
//! everything is healed and must come right. At most f validators lie. Crashes, cuts, delays and wrong clocks may hit
//! everybody at once: then the network may stop, but not err. Wiped disks and liars together are at most f, because a
//! validator that lost its votes is silent until the next epoch.

use crate::random::Random;

/// The quiet beginning, in milliseconds.
pub const CALM_MS: u64 = 3_000;
/// The time of faults.
pub const STORM_MS: u64 = 17_000;

/// What one validator does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Two instances with one key, each with a part of the network: it proposes and votes for both sides.
    Twins,
    /// Its blocks hold what must not be ordered.
    Junk,
    /// Its blocks come from the future, or from the past.
    Time,
    /// Its blocks commit to results and epochs that are not those of the network.
    Results,
    /// It proposes nothing, or tells some of the others nothing.
    Silence,
    /// It takes what clients submit and keeps it to itself.
    Greed,
}

impl Lie {
    /// All lies.
    pub const ALL: [Self; 6] = [
        Self::Twins,
        Self::Junk,
        Self::Time,
        Self::Results,
        Self::Silence,
        Self::Greed,
    ];
}

/// How links are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Mean latency in milliseconds.
    pub latency_ms: u64,
    /// Its standard deviation.
    pub jitter_ms: u64,
    /// Messages that get lost, of a thousand.
    pub lost: u64,
}

/// Links as they are without faults.
pub const GOOD: Quality = Quality {
    latency_ms: 8,
    jitter_ms: 3,
    lost: 0,
};

/// Something that happens to the network. Nodes are numbered, validators first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The process is gone; it starts again after so many milliseconds.
    Crash {
        /// Which node.
        node: usize,
        /// For how long.
        down_ms: u64,
    },
    /// As a crash, and the disk is new.
    Wipe {
        /// Which node.
        node: usize,
        /// For how long.
        down_ms: u64,
    },
    /// All processes are gone at once.
    PowerLoss {
        /// For how long.
        down_ms: u64,
    },
    /// The execution module alone dies, and is started again from a snapshot or from the first block.
    ModuleLoss {
        /// Which node.
        node: usize,
    },
    /// What nodes of one side send does not reach the other side; with `both`, nor the other way round.
    Cut {
        /// The nodes of one side.
        side: Vec<usize>,
        /// Whether both directions are cut.
        both: bool,
        /// For how long.
        for_ms: u64,
    },
    /// All links of a node, or of all nodes, are bad.
    Links {
        /// Which node, or all.
        node: Option<usize>,
        /// How they are.
        quality: Quality,
        /// For how long.
        for_ms: u64,
    },
    /// The node's clock is wrong by so much.
    Clock {
        /// Which node.
        node: usize,
        /// By how many milliseconds.
        by_ms: i64,
        /// For how long; a clock is set right again by then.
        for_ms: u64,
    },
}

/// Everything that follows from a seed before the run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The validators that lie.
    pub liars: Vec<(usize, Lie)>,
    /// What happens when, in milliseconds since the begin.
    pub faults: Vec<(u64, Fault)>,
    /// When the members add a validator, and when they remove another.
    pub committee: [u64; 2],
    /// Which validator they remove.
    pub removed: usize,
}

impl Plan {
    /// The plan of a seed for so many founding validators, one observer after them, and a node that is admitted later.
    #[must_use]
    pub fn new(seed: u64, validators: usize, drift_ms: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        let may_fail = validators.saturating_sub(1) / 3;
        let mut liars: Vec<(usize, Lie)> = Vec::new();
        // A third of all runs has no liar, so that disks may be wiped.
        let count = random.place(may_fail + 2).min(may_fail);
        while liars.len() < count {
            let node = random.place(validators);
            if liars.iter().all(|(liar, _)| *liar != node) {
                let lie = random.place(Lie::ALL.len());
                liars.extend(Lie::ALL.get(lie).map(|lie| (node, *lie)));
            }
        }
        let mut wipes = may_fail - count;
        let mut faults = Vec::new();
        let mut now = CALM_MS + random.below(1_000);
        while now < CALM_MS + STORM_MS {
            let fault = draw(&mut random, validators, &liars, drift_ms, &mut wipes);
            faults.push((now, fault));
            now += random.between(200, 1_800);
        }
        let removed = loop {
            let node = random.place(validators);
            // Twins and other liars stay, so that they go on lying.
            if liars.iter().all(|(liar, _)| *liar != node) {
                break node;
            }
        };
        Self {
            liars,
            faults,
            committee: [
                CALM_MS + random.below(3_000),
                CALM_MS + 6_000 + random.below(4_000),
            ],
            removed,
        }
    }

    /// What a node lies about, if it does.
    #[must_use]
    pub fn lie(&self, node: usize) -> Option<Lie> {
        let mut liars = self.liars.iter();
        liars.find(|(liar, _)| *liar == node).map(|(_, lie)| *lie)
    }
}

fn draw(
    random: &mut Random,
    validators: usize,
    liars: &[(usize, Lie)],
    drift_ms: u64,
    wipes: &mut usize,
) -> Fault {
    let nodes = validators + 1;
    let down_ms = random.between(100, 3_000);
    let for_ms = random.between(300, 4_000);
    let twins = |node: usize| liars.contains(&(node, Lie::Twins));
    // Twins are one machine that is two; it never fails.
    let node = loop {
        let node = random.place(nodes);
        if !twins(node) {
            break node;
        }
    };
    match random.below(100) {
        0..30 => Fault::Crash { node, down_ms },
        30..38 if *wipes > 0 && node < validators => {
            *wipes -= 1;
            Fault::Wipe { node, down_ms }
        }
        30..34 => Fault::PowerLoss { down_ms },
        34..46 => Fault::ModuleLoss { node },
        46..66 => {
            let size = 1 + random.place(nodes - 1);
            let mut side: Vec<usize> = Vec::new();
            while side.len() < size {
                let node = random.place(nodes);
                if !side.contains(&node) {
                    side.push(node);
                }
            }
            side.sort_unstable();
            let both = random.percent(60);
            Fault::Cut { side, both, for_ms }
        }
        66..84 => Fault::Links {
            node: random.percent(60).then_some(node),
            quality: Quality {
                latency_ms: random.between(5, 250),
                jitter_ms: random.between(0, 120),
                lost: random.below(4) * random.below(60),
            },
            for_ms,
        },
        _ => Fault::Clock {
            node,
            by_ms: skew(random, drift_ms),
            for_ms,
        },
    }
}

/// Mostly within what the network allows, sometimes far beyond.
fn skew(random: &mut Random, drift_ms: u64) -> i64 {
    let reach = if random.percent(70) {
        drift_ms
    } else {
        drift_ms * 4
    };
    let by = i64::try_from(random.below(reach)).unwrap_or(0);
    if random.percent(50) { by } else { -by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_liars_and_wiped_disks_are_few_enough() {
        let mut kinds = std::collections::BTreeSet::new();
        let mut lies = std::collections::BTreeSet::new();
        for seed in 0..500 {
            for validators in [4, 7] {
                let plan = Plan::new(seed, validators, 500);
                assert_eq!(plan, Plan::new(seed, validators, 500));
                let wiped = plan.faults.iter();
                let wiped = wiped.filter(|(_, fault)| matches!(fault, Fault::Wipe { .. }));
                assert!(plan.liars.len() + wiped.count() <= (validators - 1) / 3);
                assert!(plan.lie(plan.removed).is_none());
                for (_, fault) in &plan.faults {
                    let text = format!("{fault:?}");
                    kinds.extend(text.split(' ').next().map(str::to_owned));
                }
                lies.extend(plan.liars.iter().map(|(_, lie)| format!("{lie:?}")));
            }
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        assert_eq!(lies.len(), Lie::ALL.len());
        assert_ne!(Plan::new(1, 4, 500), Plan::new(2, 4, 500));
    }
}
