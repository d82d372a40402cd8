//! System tests: the built programs, as their users run them, and a kit to drive them.
//!
//! ```text
//! tests/scenario   every verb and every kind of bad input, compared with `model`, line by line
//! tests/faults     kill -9 of nodes and modules under load; power loss; too few validators
//! tests/secrecy    planted values are searched in files, logs, memory and answers
//! tests/refusals   certificates and genesis documents that must be refused
//! tests/audit      good, damaged and mixed-up copies of the ledger
//! ```
//!
//! The kit starts nodes as children with a pipe as their standard input, so that they stop when a test ends, however it
//! ends. `model` is a second statement of the rules, written from `docs/SCENARIOS.md` and `docs/SECURITIES.md` and not
//! from the contract: it shares no code with it, and must not.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test kit: what fails here is a failed test"
)]

pub mod clients;
pub mod files;
pub mod model;
pub mod network;
pub mod processes;
pub mod programs;
pub mod random;
pub mod scenario;

pub use network::TestNetwork;
