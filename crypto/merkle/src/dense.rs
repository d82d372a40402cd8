//! A large, changing list of digests: leaves at the indexes 0, 1, 2 ... without gaps.
//!
//! All levels lie in memory. A change marks its leaf; the next root or proof recomputes the paths
//! of all marked leaves, level by level, so that shared parts are hashed once. A change of k among
//! n leaves costs at most k * log2(n) hashes.

use sealbook_primitives::hash::{Digest, Pair, pair};

use crate::log::Proof;
use crate::node;

/// Below this many marks it is not worth looking for repeated ones.
const MARKS_MIN: usize = 1024;

/// A Merkle tree over leaves that can be changed and added, but not removed.
#[derive(Clone, Default)]
pub struct DenseTree {
    /// The hashed leaves first, then every level above; the last one has a single node. The levels
    /// above the leaves are stale on the paths of the marked leaves.
    levels: Vec<Vec<Digest>>,
    /// The indexes of changed leaves, in any order, possibly repeated.
    marked: Vec<usize>,
}

/// There is no leaf at this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no leaf {index} among {count}")]
pub struct NoSuchLeaf {
    /// The index that was asked for.
    pub index: u64,
    /// How many leaves there are.
    pub count: u64,
}

impl DenseTree {
    /// A tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        DenseTree {
            levels: Vec::new(),
            marked: Vec::new(),
        }
    }

    /// A tree of these leaves.
    #[must_use]
    pub fn from_leaves(leaves: &[Digest]) -> Self {
        let mut levels = Vec::new();
        let mut level: Vec<Digest> = node::leaves(leaves);
        while level.len() > 1 {
            let above = node::level_above(&level);
            levels.push(std::mem::replace(&mut level, above));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        DenseTree {
            levels,
            marked: Vec::new(),
        }
    }

    /// How many leaves there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.leaves().len() as u64
    }

    /// Whether there are no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves().is_empty()
    }

    /// Adds a leaf, and returns its index.
    pub fn push(&mut self, leaf: Digest) -> u64 {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        let index = self.leaves().len();
        if let Some(leaves) = self.levels.first_mut() {
            leaves.push(node::leaf(&leaf));
        }
        self.mark(index);
        index as u64
    }

    /// Changes the leaf at `index`.
    ///
    /// # Errors
    ///
    /// [`NoSuchLeaf`] when the index is not below [`DenseTree::len`].
    pub fn set(&mut self, index: u64, leaf: Digest) -> Result<(), NoSuchLeaf> {
        let error = NoSuchLeaf {
            index,
            count: self.len(),
        };
        let position = usize::try_from(index).map_err(|_| error)?;
        let slot = self
            .levels
            .first_mut()
            .and_then(|leaves| leaves.get_mut(position))
            .ok_or(error)?;
        let hashed = node::leaf(&leaf);
        if *slot != hashed {
            *slot = hashed;
            self.mark(position);
        }
        Ok(())
    }

    /// Changes and adds leaves: as [`DenseTree::set`] for an index that is there, as [`DenseTree::push`] for the one
    /// after the last.
    ///
    /// # Errors
    ///
    /// [`NoSuchLeaf`] for the first index that is neither; what came before it is changed.
    pub fn update(&mut self, changes: &[(u64, Digest)]) -> Result<(), NoSuchLeaf> {
        let hashed = node::leaves(changes.iter().map(|(_, leaf)| leaf));
        if self.levels.is_empty() && !changes.is_empty() {
            self.levels.push(Vec::new());
        }
        for ((index, _), hashed) in changes.iter().zip(hashed) {
            let count = self.len();
            let position = usize::try_from(*index).unwrap_or(usize::MAX);
            let Some(leaves) = self.levels.first_mut() else {
                continue;
            };
            match leaves.get_mut(position) {
                Some(slot) if *slot == hashed => continue,
                Some(slot) => *slot = hashed,
                None if *index == count => leaves.push(hashed),
                None => {
                    return Err(NoSuchLeaf {
                        index: *index,
                        count,
                    });
                }
            }
            self.mark(position);
        }
        Ok(())
    }

    /// The root over all leaves.
    pub fn root(&mut self) -> Digest {
        self.refresh();
        node::root(self.len(), self.levels.last().and_then(|top| top.first()))
    }

    /// A proof for the leaf at `index`, which [`crate::log::verify`] checks.
    ///
    /// # Errors
    ///
    /// [`NoSuchLeaf`] when the index is not below [`DenseTree::len`].
    pub fn prove(&mut self, index: u64) -> Result<Proof, NoSuchLeaf> {
        let error = NoSuchLeaf {
            index,
            count: self.len(),
        };
        if index >= self.len() {
            return Err(error);
        }
        self.refresh();
        let mut position = usize::try_from(index).map_err(|_| error)?;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            siblings.extend(level.get(position ^ 1));
            position /= 2;
        }
        Ok(Proof { siblings })
    }

    fn leaves(&self) -> &[Digest] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    fn mark(&mut self, index: usize) {
        // Without this the list would grow with the number of changes instead of the leaves.
        if self.marked.len() >= MARKS_MIN.max(2 * self.leaves().len()) {
            self.marked.sort_unstable();
            self.marked.dedup();
        }
        self.marked.push(index);
    }

    /// Recomputes every stale node.
    fn refresh(&mut self) {
        let mut touched = std::mem::take(&mut self.marked);
        if touched.is_empty() {
            return;
        }
        touched.sort_unstable();
        touched.dedup();
        let mut pairs = Vec::with_capacity(node::PAIRS_AT_ONCE.min(touched.len()));
        let mut height = 0;
        // INVARIANT: here `touched` holds, ascending and once each, the changed nodes of the level
        // `height`. A new leaf is touched too, and whatever gains a sibling by it is on its path.
        while let Some(below_length) = self
            .levels
            .get(height)
            .map(Vec::len)
            .filter(|length| *length > 1)
        {
            if self.levels.len() == height + 1 {
                self.levels.push(Vec::new());
            }
            let (lower, upper) = self.levels.split_at_mut(height + 1);
            let (Some(below), Some(above)) = (lower.last(), upper.first_mut()) else {
                return;
            };
            above.resize(below_length.div_ceil(2), Digest::ZERO);
            for index in &mut touched {
                *index /= 2;
            }
            touched.dedup();
            renew(below, above, &touched, &mut pairs);
            height += 1;
        }
    }
}

/// Computes the nodes at `touched`, which is ascending, from the level below; `pairs` is room to gather them in.
fn renew(below: &[Digest], above: &mut [Digest], touched: &[usize], pairs: &mut Vec<Pair>) {
    for some in touched.chunks(node::PAIRS_AT_ONCE) {
        pairs.clear();
        for index in some {
            match (below.get(2 * index), below.get(2 * index + 1)) {
                (Some(left), Some(right)) => pairs.push(pair(left, right)),
                // The last node of a level has no sibling if their number is odd, and is the node above itself.
                (Some(alone), None) => {
                    if let Some(slot) = above.get_mut(*index) {
                        *slot = *alone;
                    }
                }
                (None, _) => {}
            }
        }
        // Only the very last of all can have had no sibling, so the pairs are those of the first.
        let mut places = some.iter();
        node::inner_each(pairs, |node| {
            if let Some(slot) = places.next().and_then(|index| above.get_mut(*index)) {
                *slot = node;
            }
        });
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_bounded() {
        let mut tree = DenseTree::new();
        tree.push(Digest::ZERO);
        for turn in 0..10_000_u32 {
            let mut leaf = [0; 32];
            leaf[..4].copy_from_slice(&(turn + 1).to_le_bytes());
            tree.set(0, Digest(leaf)).unwrap();
        }
        assert!(tree.marked.len() <= MARKS_MIN);
    }

    #[test]
    fn there_is_no_leaf_beyond_the_last() {
        let mut tree = DenseTree::new();
        let error = NoSuchLeaf { index: 0, count: 0 };
        assert_eq!(tree.set(0, Digest::ZERO), Err(error));
        assert_eq!(tree.prove(0), Err(error));
        assert_eq!(tree.push(Digest::ZERO), 0);
        assert_eq!(
            tree.set(1, Digest::ZERO),
            Err(NoSuchLeaf { index: 1, count: 1 })
        );
        assert_eq!(
            tree.set(u64::MAX, Digest::ZERO).unwrap_err().index,
            u64::MAX
        );
        assert_eq!(tree.len(), 1);
        assert!(!tree.is_empty());
    }
}
