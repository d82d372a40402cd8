//! Attacks on whole networks of real processes: by those who look for what is not theirs, by members and validators that
//! mean ill. The numbers are those of docs/THREATS.md.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

mod floods;
mod search;
mod secrecy;
mod traitor;
mod users;
