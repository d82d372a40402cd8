//! The hashes of leaves, inner nodes and roots.
//!
//! ```text
//! leaf  = PairHasher("sealbook/merkle/leaf/2")(content, 32 zero bytes)
//! inner = PairHasher("sealbook/merkle/inner/1")(left, right)
//! root  = hash(domain of roots; number of leaves as u64, topmost node)
//! ```

use std::sync::LazyLock;

use sealbook_primitives::hash::{Digest, Pair, PairHasher, hash, pair};

static LEAF: LazyLock<PairHasher> = LazyLock::new(|| PairHasher::new("sealbook/merkle/leaf/2"));
static INNER: LazyLock<PairHasher> = LazyLock::new(|| PairHasher::new("sealbook/merkle/inner/1"));

pub(crate) fn leaf(content: &Digest) -> Digest {
    LEAF.two(content, &Digest::ZERO)
}

pub(crate) fn inner(left: &Digest, right: &Digest) -> Digest {
    INNER.two(left, right)
}

/// The root over `count` leaves whose topmost node is `top`; an empty tree has none.
pub(crate) fn root(count: u64, top: Option<&Digest>) -> Digest {
    let empty = || hash("sealbook/merkle/empty/1", &[]);
    let top = top.copied().unwrap_or_else(empty);
    hash(
        "sealbook/merkle/root/1",
        &[&count.to_le_bytes(), top.as_bytes()],
    )
}

/// The hashed leaves of all contents.
pub(crate) fn leaves<'a>(contents: impl IntoIterator<Item = &'a Digest>) -> Vec<Digest> {
    let pairs: Vec<Pair> = contents
        .into_iter()
        .map(|content| pair(content, &Digest::ZERO))
        .collect();
    let mut leaves = Vec::with_capacity(pairs.len());
    LEAF.each(&pairs, |leaf| leaves.push(leaf));
    leaves
}

/// Hands on the inner node above each pair.
pub(crate) fn inner_each(pairs: &[Pair], take: impl FnMut(Digest)) {
    INNER.each(pairs, take);
}

/// How many pairs are gathered before they are hashed.
pub(crate) const PAIRS_AT_ONCE: usize = 256;

/// The nodes above all nodes of a level; the last one has no sibling if their number is odd.
pub(crate) fn level_above(level: &[Digest]) -> Vec<Digest> {
    let mut above = Vec::with_capacity(level.len().div_ceil(2));
    let mut pairs = Vec::with_capacity(PAIRS_AT_ONCE.min(level.len()));
    let (nodes, alone) = level.as_chunks::<2>();
    for some in nodes.chunks(PAIRS_AT_ONCE) {
        pairs.clear();
        pairs.extend(some.iter().map(|[left, right]| pair(left, right)));
        inner_each(&pairs, |node| above.push(node));
    }
    above.extend(alone);
    above
}
