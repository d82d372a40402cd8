//! What the engine asks of the application, and tells it.

use std::sync::Arc;

use bytes::Bytes;
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use sealbook_ledger::{Block, FinalityCertificate, Header};

use crate::status::Counters;

/// The answer to a request for a block.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is moved once"
)]
pub enum Proposal {
    /// The block to propose.
    Block(Block),
    /// Nothing yet; the engine asks again after a few milliseconds, until its turn has passed.
    NotYet,
}

/// The answer to whether a proposed block is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid, now and for ever.
    Accept,
    /// It is not, and never will be, on any node; with the reason.
    Refuse(String),
    /// Unknown as yet (a block ahead of the clock, a state root not yet computed); the engine asks
    /// again after a few milliseconds, until the view has passed.
    Wait,
}

/// To be given back when a finalized block is durable in the application. Dropping it without
/// acknowledging stops the engine, because no block may be lost silently.
#[derive(Debug)]
pub struct Acknowledgement {
    inner: Option<Exact>,
    height: u64,
    counters: Arc<Counters>,
}

impl Acknowledgement {
    pub(crate) const fn new(inner: Exact, height: u64, counters: Arc<Counters>) -> Self {
        Self {
            inner: Some(inner),
            height,
            counters,
        }
    }

    /// The block is durable and need not be delivered again.
    pub fn acknowledge(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.acknowledge();
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        if self.inner.is_some() {
            // Said before the engine stops over it, so that this is the reason that is reported.
            let height = self.height;
            self.counters.fail(format!(
                "the application did not acknowledge block {height}"
            ));
        }
    }
}

/// How many messages the application is handed together at the most.
pub const MESSAGES_AT_ONCE: usize = 64;

/// What is ordered, and what becomes of it.
///
/// `propose` and `verify` run on the engine's threads and must return within a few milliseconds.
/// `finalized` and `contradiction` share a thread, `message` has one of its own; they may take
/// longer. (Simulated nodes have one thread for everything.)
pub trait Application: Send + Sync + 'static {
    /// A block on top of `parent`, if one is due. The last block of a committee epoch must define the
    /// next epoch; the engine does not ask for a block after it in the same epoch.
    fn propose(&self, parent: &Header) -> Proposal;

    /// Whether `block` may follow `parent`. That it follows by parent digest, height and time, that
    /// it is within the limits, commits to its body and carries all its attachments has been
    /// checked.
    fn verify(&self, parent: &Header, block: &Block) -> Verdict;

    /// `block` is final. Called in the order of heights, from the first block that was not
    /// acknowledged, and perhaps more than once for a block. Not every block has a certificate of
    /// its own; it is then final by a later one.
    fn finalized(
        &self,
        block: Arc<Block>,
        certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    );

    /// The validator with this key signed two things of which an honest one signs one. `evidence` is
    /// the engine's encoding of both: one byte for their kind, then the two votes with their
    /// signatures, which were verified. May be called more than once, and evidence is dropped when
    /// too much of it waits.
    fn contradiction(&self, vote_key: [u8; 32], evidence: Bytes) {
        let _ = (vote_key, evidence);
    }

    /// A message of another node, whose certificate has the key `from`. Messages may be lost.
    fn message(&self, from: [u8; 32], bytes: Bytes);

    /// Messages that came together, in their order; at most [`MESSAGES_AT_ONCE`].
    fn messages(&self, messages: Vec<([u8; 32], Bytes)>) {
        for (from, bytes) in messages {
            self.message(from, bytes);
        }
    }
}
