//! How much of this node one caller may use at a time, so that the others keep their share.
//!
//! A caller is whoever holds a certificate: all connections under one key count together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sealbook_primitives::signature::VerifyingKey;

use crate::lock;

/// Connections of one caller.
const CONNECTIONS_MAX: usize = 64;
/// Queries of one caller that are under way.
const QUERIES_MAX: usize = 32;
/// Callers that wait for replies at the same time; each wait is cheap.
const WAITS_MAX: usize = 2_048;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Open connections.
    Connection,
    /// Queries under way.
    Query,
    /// Waits for a reply.
    Wait,
}

impl Kind {
    const fn limit(self) -> usize {
        match self {
            Self::Connection => CONNECTIONS_MAX,
            Self::Query => QUERIES_MAX,
            Self::Wait => WAITS_MAX,
        }
    }
}

type Counts = Mutex<BTreeMap<(VerifyingKey, Kind), usize>>;

/// Counts what callers use.
#[derive(Default, Clone)]
pub struct Admission {
    counts: Arc<Counts>,
}

/// A share that is in use; dropping it gives it back.
pub struct Share {
    counts: Arc<Counts>,
    of: (VerifyingKey, Kind),
}

impl Admission {
    /// A share for this caller, if it does not use its limit already.
    #[must_use]
    pub fn enter(&self, caller: VerifyingKey, kind: Kind) -> Option<Share> {
        let of = (caller, kind);
        let mut counts = lock(&self.counts);
        let count = counts.entry(of).or_default();
        if *count >= kind.limit() {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Share {
            counts: Arc::clone(&self.counts),
            of,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.of) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_does_not_use_up_what_others_need() {
        let admission = Admission::default();
        let (one, other) = (VerifyingKey([1; 32]), VerifyingKey([2; 32]));
        let shares: Vec<Share> = std::iter::from_fn(|| admission.enter(one, Kind::Query)).collect();
        assert_eq!(shares.len(), QUERIES_MAX);
        assert!(admission.enter(one, Kind::Query).is_none());
        assert!(admission.enter(one, Kind::Connection).is_some());
        assert!(admission.enter(other, Kind::Query).is_some());
        drop(shares);
        assert!(lock(&admission.counts).is_empty());
        assert!(admission.enter(one, Kind::Query).is_some());
    }
}
