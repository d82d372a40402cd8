//! Attacks on the execution module, with the real process and a host that means ill: whatever it says on the socket,
//! and whatever it does to the process. The numbers are those of docs/THREATS.md.
//!
//! `tests/attacks/defences.toml` names what stops each, and `make defences` shows that the test fails without it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../../node/execution/tests/kit/mod.rs"]
mod kit;

mod blocks;
mod cage;
mod envelopes;
mod keys;
mod orders;
#[cfg(target_arch = "x86_64")]
mod panics;
mod questions;
mod snapshots;
mod stage;
mod streams;
