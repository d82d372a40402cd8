//! The words that processes exchange, and nothing else: [`module`] between a node's host and its execution module,
//! [`client`] between clients and a node, [`payload`] what is sealed inside envelopes, which the host cannot read.
//!
//! Every frame is `length u32 LE | borsh bytes`, with a limit on the length that the reader sets.
//!
//! INVARIANT: the host's half of these words never contains plaintext of a member.

#![forbid(unsafe_code)]

pub mod client;
pub mod frame;
pub mod module;
pub mod payload;
pub mod registry;
