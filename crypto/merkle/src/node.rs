//! The hashes of leaves, inner nodes and roots.

use std::sync::LazyLock;

use sealbook_primitives::hash::{Digest, PairHasher, hash};

static LEAF: LazyLock<PairHasher> = LazyLock::new(|| PairHasher::new("sealbook/merkle/leaf/1"));
static INNER: LazyLock<PairHasher> = LazyLock::new(|| PairHasher::new("sealbook/merkle/inner/1"));

pub(crate) fn leaf(content: &Digest) -> Digest {
    LEAF.one(content)
}

pub(crate) fn inner(left: &Digest, right: &Digest) -> Digest {
    INNER.two(left, right)
}

/// The node above `left` and, if it has one, its sibling.
pub(crate) fn parent(left: &Digest, right: Option<&Digest>) -> Digest {
    right.map_or(*left, |right| inner(left, right))
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

/// The nodes above all nodes of a level.
pub(crate) fn level_above(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .filter_map(|pair| pair.first().map(|left| parent(left, pair.get(1))))
        .collect()
}
