//! The state of all links: what is cut and what is bad at the moment, put into the simulated network.

use std::collections::BTreeMap;
use std::time::Duration;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Error, Link, Oracle};
use commonware_runtime::deterministic::Context;
use commonware_utils::Probability;

use crate::schedule::{GOOD, Quality};

/// Something that is wrong with links for a while.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Nothing goes from one side to the other; with the flag, nor back.
    Cut(Vec<usize>, bool),
    /// Nothing goes between the two sides; others reach both.
    Between(Vec<usize>, Vec<usize>),
    /// Links of a node, or all, are bad.
    Bad(Option<usize>, Quality),
}

/// All links.
pub struct Weather {
    keys: Vec<PublicKey>,
    oracle: Oracle<PublicKey, Context>,
    troubles: BTreeMap<u64, Trouble>,
    links: BTreeMap<(usize, usize), Quality>,
    next: u64,
}

impl Weather {
    /// No links yet.
    #[must_use]
    pub const fn new(keys: Vec<PublicKey>, oracle: Oracle<PublicKey, Context>) -> Self {
        Self {
            keys,
            oracle,
            troubles: BTreeMap::new(),
            links: BTreeMap::new(),
            next: 0,
        }
    }

    /// Begins a trouble; the number ends it.
    pub fn begin(&mut self, trouble: Trouble) -> u64 {
        self.next += 1;
        self.troubles.insert(self.next, trouble);
        self.next
    }

    /// Ends a trouble.
    pub fn end(&mut self, number: u64) {
        self.troubles.remove(&number);
    }

    /// Ends all troubles.
    pub fn clear(&mut self) {
        self.troubles.clear();
    }

    fn wanted(&self, from: usize, to: usize) -> Option<Quality> {
        let mut quality = GOOD;
        for trouble in self.troubles.values() {
            match trouble {
                Trouble::Cut(side, both) => {
                    let (out, inwards) = (side.contains(&from), side.contains(&to));
                    if (out && !inwards) || (*both && inwards && !out) {
                        return None;
                    }
                }
                Trouble::Between(one, other) => {
                    let across = |a: &usize, b: &usize| one.contains(a) && other.contains(b);
                    if across(&from, &to) || across(&to, &from) {
                        return None;
                    }
                }
                Trouble::Bad(node, bad) if node.is_none_or(|node| node == from || node == to) => {
                    quality.latency_ms = quality.latency_ms.max(bad.latency_ms);
                    quality.jitter_ms = quality.jitter_ms.max(bad.jitter_ms);
                    quality.lost = quality.lost.max(bad.lost);
                }
                Trouble::Bad(..) => {}
            }
        }
        Some(quality)
    }

    /// Makes the links as they should be now.
    ///
    /// # Errors
    /// The simulated network does not answer.
    pub async fn apply(&mut self) -> Result<(), Error> {
        for (from, one) in self.keys.iter().enumerate() {
            for (to, other) in self.keys.iter().enumerate() {
                if from == to {
                    continue;
                }
                let wanted = self.wanted(from, to);
                if self.links.get(&(from, to)).copied() == wanted {
                    continue;
                }
                if self.links.remove(&(from, to)).is_some() {
                    self.oracle.remove_link(one.clone(), other.clone()).await?;
                }
                if let Some(quality) = wanted {
                    let link = Link {
                        latency: Duration::from_millis(quality.latency_ms),
                        jitter: Duration::from_millis(quality.jitter_ms),
                        success_rate: Probability::new(1_000 - quality.lost.min(1_000), 1_000)
                            .ok_or(Error::LinkMissing)?,
                    };
                    self.oracle
                        .add_link(one.clone(), other.clone(), link)
                        .await?;
                    self.links.insert((from, to), quality);
                }
            }
        }
        Ok(())
    }
}
