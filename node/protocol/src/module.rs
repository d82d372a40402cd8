//! The only words between a node's host and its execution module.
//!
//! ```text
//! host                                   module
//!   Start{genesis}              ->
//!                               <-  Started{..} | Refused{..}
//!   Finalized{blocks, cert}     ->                              blocks that the certificate makes final
//!                               <-  Executed{..} per block, or Refused{..}
//!   Query{ticket, envelope}     ->
//!                               <-  Answer{ticket, sealed} | QueryRefused{ticket}
//! ```
//!
//! In a founding session (no genesis yet) the host says `Found` and `Bind` instead of `Start`.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::Digest;

/// From host to module.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub enum ToModule {
    /// Make the root of the first key epoch and name its public opening key.
    Found,
    /// The genesis document that the founding module's public key went into: wrap the root for everyone it names.
    Bind {
        /// Encoded genesis document.
        genesis: Vec<u8>,
    },
    /// Begin to execute this network from its genesis.
    Start {
        /// Encoded genesis document.
        genesis: Vec<u8>,
    },
    /// Blocks in order, the last of which the certificate finalizes.
    Finalized {
        /// Encoded blocks.
        blocks: Vec<Vec<u8>>,
        /// Encoded finality certificate for the last block.
        certificate: Vec<u8>,
    },
    /// A sealed query.
    Query {
        /// Chosen by the host to find the waiting client again.
        ticket: u64,
        /// Encoded envelope.
        envelope: Vec<u8>,
    },
}

/// From module to host.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub enum FromModule {
    /// The module has locked itself down; what it found of itself.
    Ready {
        /// Steps of the lockdown that hold, for the operator.
        lockdown: Vec<String>,
    },
    /// The public opening key of the first key epoch.
    Founded {
        /// Encoded public key.
        opening_key: Vec<u8>,
    },
    /// The root, sealed to each module, and the audit bundle, sealed to each audit recipient of genesis, in its order.
    Bound {
        /// One per validator seat.
        wrapped_roots: Vec<Vec<u8>>,
        /// One per audit recipient.
        audit_bundles: Vec<Vec<u8>>,
    },
    /// The module executes this network.
    Started {
        /// Hash of the genesis document.
        network: Digest,
    },
    /// A block has been executed.
    Executed {
        /// Its height.
        height: u64,
        /// The state root after it.
        state_root: Digest,
        /// Digests of transactions, with the sealed reply to each submitter.
        replies: Vec<SealedReply>,
        /// Digests of transactions whose results became final with this block, with the sealed notice.
        finals: Vec<SealedReply>,
        /// How many transactions did not open; a carrier that sends many is cut.
        unopened: u32,
    },
    /// Sealed answer to a query.
    Answer {
        /// The host's ticket.
        ticket: u64,
        /// Sealed to the caller.
        sealed: Vec<u8>,
    },
    /// The query does not open or is not signed: nobody to answer to.
    QueryRefused {
        /// The host's ticket.
        ticket: u64,
    },
    /// What the host sent is not final, not next, or not of this network; the module has not changed.
    Refused {
        /// For the operator's log.
        reason: String,
    },
    /// A final header commits to another root than this module computed. It executes nothing more.
    Diverged {
        /// Height of the block whose root differs.
        height: u64,
        /// The root that this module computed.
        computed: Digest,
        /// The root that the final header commits to.
        committed: Digest,
    },
}

/// A reply for whoever submitted the transaction with this digest.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedReply {
    /// Digest of the transaction's envelope.
    pub transaction: Digest,
    /// Sealed bytes.
    pub sealed: Vec<u8>,
}
