//! Roots and proofs of a given list of digests.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::Digest;

use crate::node;

/// The siblings on the way from a leaf to the top, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    /// The siblings; at most 64 of them, since there are at most 2^64 leaves.
    pub siblings: Vec<Digest>,
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let count = leaves.len() as u64;
    let mut level: Vec<Digest> = node::leaves(leaves);
    while level.len() > 1 {
        level = node::level_above(&level);
    }
    node::root(count, level.first())
}

/// A proof for the leaf at `index`, or nothing if there is no such leaf.
#[must_use]
pub fn prove(leaves: &[Digest], index: u64) -> Option<Proof> {
    let mut position = usize::try_from(index).ok()?;
    if position >= leaves.len() {
        return None;
    }
    let mut siblings = Vec::new();
    let mut level: Vec<Digest> = node::leaves(leaves);
    while level.len() > 1 {
        siblings.extend(level.get(position ^ 1));
        level = node::level_above(&level);
        position /= 2;
    }
    Some(Proof { siblings })
}

/// Whether `leaf` is the one at `index` among the `count` leaves under `root`.
#[must_use]
pub fn verify(root: &Digest, index: u64, count: u64, leaf: &Digest, proof: &Proof) -> bool {
    if index >= count {
        return false;
    }
    let mut siblings = proof.siblings.iter();
    let mut current = node::leaf(leaf);
    let (mut position, mut last) = (index, count - 1);
    // At most 64 turns, since the last position halves in each of them.
    while last > 0 {
        let is_right = position % 2 == 1;
        if is_right || position < last {
            let Some(sibling) = siblings.next() else {
                return false;
            };
            current = if is_right {
                node::inner(sibling, &current)
            } else {
                node::inner(&current, sibling)
            };
        }
        position /= 2;
        last /= 2;
    }
    siblings.next().is_none() && node::root(count, Some(&current)) == *root
}
