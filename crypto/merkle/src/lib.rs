//! Merkle trees: many digests under one root, and proofs that need no key.
//!
//! [`log`] computes roots and proofs of a given list; [`dense::DenseTree`] keeps a large, changing
//! list and recomputes only what was touched. Both define the same tree and share their proofs.
//!
//! ```text
//!                root = hash(count, top)
//!                         |
//!                        top
//!                      /     \
//!                    n0       \           the shape of RFC 6962: every left subtree is full, and
//!                  /    \      \          a last node without a sibling moves up as it is
//!                n1      n2     \
//!               /  \    /  \     \
//!              h0  h1  h2  h3    h4       h = hash of the leaf under a domain of its own
//! ```
//!
//! INVARIANT: leaves, inner nodes, the empty tree and the root are hashed under different domains,
//! and the root covers the number of leaves. So a proof fits one root, one index, one number of
//! leaves and one leaf, and an inner node never passes for a leaf.
//!
//! This crate keeps nothing on disk: after a crash a tree is built anew from its leaves.

#![forbid(unsafe_code)]

pub mod dense;
pub mod log;
mod node;

pub use log::Proof;
