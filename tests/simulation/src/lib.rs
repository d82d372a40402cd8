//! The whole network under simulation: real ordering, real host logic, real execution engine, real clients' code, on a
//! deterministic runtime with simulated links, clocks and disks. One seed is one run, the same bit by bit.
//!
//! ```text
//! schedule: what goes wrong when ---> run ---> weather: links that are cut and bad
//!                                      |-----> cluster: nodes that start, crash, lose their disks
//!                                      |          '-- node: ordering engine <-> host logic <-> module: execution engine
//!                                      |                     '-- traitor, links: what liars do
//!                                      |-----> client: desks of a firm, with the SDK's own code --> history: what they saw
//!                                      '-----> checker: what must hold, at every final block and every result
//! ```
//!
//! | real | simulated |
//! |---|---|
//! | ordering (Simplex, marshal, committee epochs, vote log) | its runtime: scheduling, time, storage that forgets what was not synced |
//! | the host: queue, admission, quotas, judgement of blocks, outbox, snapshots, proofs | its threads, its service to clients |
//! | the ledger's store | the engine underneath: in memory, keeps every commit |
//! | the execution engine with policies, contract, governance, sealing, snapshots | its process and lockdown |
//! | the SDK: orders, sealing, opening, decisions about failed tries | connections: no TLS, no sockets |
//!
//! INVARIANT: nothing here asks the machine for the time or for random numbers; see [`entropy`].

pub mod checker;
pub mod client;
pub mod cluster;
pub mod entropy;
pub mod history;
mod keeper;
pub mod links;
pub mod module;
pub mod node;
pub mod random;
pub mod report;
pub mod run;
pub mod schedule;
pub mod service;
pub mod time;
pub mod trace;
pub mod traitor;
pub mod weather;
pub mod world;

pub use report::{Breakage, Report, Settings};
pub use run::run;
