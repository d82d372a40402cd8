//! The laws of this repository that a compiler does not check, as tests.
//!
//! - `edges`: which crate may link which, from `cargo metadata`. It is here that a node's host is
//!   kept from ever linking the crate that opens envelopes.
//! - `licences`: what is linked may be distributed under Apache-2.0 and comes from a package registry.
//! - `sources`: what may not stand in a source file, and how long files and functions may be.
//! - `defences`: what `make defences` takes away is still there.
//! - `documents`: the map of the code in ARCHITECTURE.md names every crate.
//!
//! Every rule reports all its offenders, as `file:line: what is wrong`. There is no list of
//! exceptions beyond the constants in each module; to change a law, change its constant.
#![forbid(unsafe_code)]

pub mod defences;

#[cfg(test)]
mod code;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod licences;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod tree;
