//! Does a store keep what it acknowledged when the power fails? Nobody can pull a plug in a test, so a writer's calls
//! to the file system are recorded, and the disk is rebuilt as the power cut would have left it.
//!
//! ```text
//! sealbook-powercut (a process)   opens a store, commits batches, says which it began and which were acknowledged;
//!      |                          its `write`, `ftruncate`, `rename`, `fsync` and so on go through `recorder`
//!      v
//! recording                       one event after another: what was written where, what was synced
//!      |
//! disk                            what is durable, and what waits; the folder after a cut at any event
//!      |
//! workload                        what the store must then hold
//! ```
//!
//! What counts as durable: bytes and lengths of a file once `fsync` or `fdatasync` of that file returned; names in a
//! folder once `fsync` of that folder returned. `sync_file_range` makes nothing durable: it flushes neither the
//! drive's cache nor the file's length. Of what waits, a cut keeps nothing, everything, or any part, torn at 512 bytes
//! or 4 KiB.

#![forbid(unsafe_code)]

pub mod disk;
pub mod recording;
pub mod workload;
