//! Scenario files on real networks, compared line by line with an independent model of the rules.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

mod randomized;
mod rules;
