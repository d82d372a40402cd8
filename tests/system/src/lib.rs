//! System tests: the built programs, as their users run them, and a kit to drive them.
//!
//! ```text
//! tests/scenario   every verb and every kind of bad input, compared with `model`, line by line
//! tests/faults     kill -9 of nodes and modules under load; power loss; paused, slow and cut-off validators; too few
//! tests/hosts      each node on a host of its own: network namespaces, delay, loss, real partitions
//! tests/refusals   certificates and genesis documents that must be refused
//! tests/audit      good, damaged and mixed-up copies of the ledger
//! ../attacks       attacks by their numbers: planted values searched everywhere, lying validators, floods
//! ```
//!
//! The kit starts nodes as children with a pipe as their standard input, so that they stop when a test ends, however it
//! ends. `relay` stands between nodes and delays or cuts their links. `model` is a second statement of the rules, written from `docs/SCENARIOS.md` and `docs/SECURITIES.md` and not
//! from the contract: it shares no code with it, and must not.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test kit: what fails here is a failed test"
)]

pub mod checks;
pub mod clients;
pub mod configuration;
pub mod crowd;
pub mod files;
pub mod flood;
pub mod model;
pub mod namespaces;
pub mod network;
pub mod processes;
pub mod programs;
pub mod random;
pub mod relay;
pub mod scenario;

pub use network::TestNetwork;
