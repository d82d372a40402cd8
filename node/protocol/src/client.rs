//! The words between a client and a node, over mutual TLS. What is secret inside them is sealed to the module.
//!
//! One request gets one response with the same number; several may be under way on one connection.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::EpochDefinition;
use sealbook_primitives::hash::Digest;

use crate::module::SnapshotOffer;

/// A client's request.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// Chosen by the client.
    pub number: u64,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client can ask of a node.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub enum RequestBody {
    /// How the node is.
    Status,
    /// Order this transaction with its attachments.
    Submit {
        /// Encoded envelope.
        transaction: Vec<u8>,
        /// Encoded envelopes of attachments.
        attachments: Vec<Vec<u8>>,
    },
    /// The sealed reply to a transaction, as soon as there is one.
    Await {
        /// Digest of the transaction's envelope.
        transaction: Digest,
        /// Which reply.
        stage: Stage,
        /// How long to wait at most, in milliseconds.
        timeout_ms: u32,
    },
    /// A sealed query for the module.
    Query {
        /// Encoded envelope.
        envelope: Vec<u8>,
    },
    /// Which block ordered a transaction.
    Find {
        /// Digest of the transaction's envelope.
        transaction: Digest,
    },
    /// Proof that the block at a height and the results after it are final.
    Proof {
        /// The height.
        height: u64,
    },
    /// What holds in the present committee epoch.
    Epoch,
    /// The newest complete snapshot, with the proof that the network agreed on it.
    Snapshot,
    /// A piece of a snapshot.
    SnapshotPiece {
        /// The snapshot's height.
        height: u64,
        /// The piece's place.
        index: u32,
    },
    /// The network's roots, sealed to an admitted module.
    Roots {
        /// [`holder_digest`](sealbook_ledger::holder_digest) of the module's public key.
        module: Digest,
    },
    /// The record in which the root of a key epoch was handed out.
    KeyRecord {
        /// Its digest, as the definition of the committee epoch has it.
        digest: Digest,
    },
    /// Final blocks with certificates, for whoever keeps a copy.
    Blocks {
        /// First height.
        from: u64,
        /// At most so many.
        limit: u32,
    },
}

/// Which reply to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Stage {
    /// The module has executed it.
    Outcome,
    /// A final header commits to the state that contains it.
    Final,
}

/// A node's response.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct Response {
    /// The request's number.
    pub number: u64,
    /// The answer.
    pub body: ResponseBody,
}

/// What a node answers.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub enum ResponseBody {
    /// See [`NodeStatus`].
    Status(NodeStatus),
    /// The transaction is in the queue.
    Accepted,
    /// The node knows this very envelope already: it is queued or ordered.
    Known,
    /// The reply, sealed to the submitter.
    Reply(Vec<u8>),
    /// No reply within the time that was given.
    NotYet,
    /// The answer to a query, sealed to the caller.
    Answer(Vec<u8>),
    /// Blocks from the asked height on.
    Blocks(Vec<CertifiedBlock>),
    /// The block that ordered the transaction.
    Found {
        /// Its height.
        height: u64,
    },
    /// An encoded [`FinalityProof`](sealbook_ledger::FinalityProof): the header asked for first, then the others up to
    /// one that is certified and commits to the results of the first.
    Proof(Vec<u8>),
    /// The present committee epoch.
    Epoch(EpochDefinition),
    /// A snapshot.
    Snapshot(SnapshotOffer),
    /// Sealed bytes: a snapshot's piece, a root file, or a key record.
    Sealed(Vec<u8>),
    /// The envelope is sealed to another key epoch than are open now: get the present opening key and seal it anew.
    OtherKeyEpoch {
        /// The present key epoch.
        present: u32,
    },
    /// There is no such thing here (yet).
    Absent,
    /// The node cannot do this now; another may.
    Busy(String),
    /// The request itself is wrong.
    Refused(String),
}

/// A block with its certificate, where the node has one for this very block.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct CertifiedBlock {
    /// Encoded block.
    pub block: Vec<u8>,
    /// Encoded finality certificate.
    pub certificate: Option<Vec<u8>>,
}

/// How a node is. Nothing in it depends on what transactions contain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NodeStatus {
    /// The node's name.
    pub name: String,
    /// Whether it votes now.
    pub validator: bool,
    /// Why it does not vote although it is in the committee, if so.
    pub not_voting: Option<String>,
    /// Committee epoch of the newest final block.
    pub epoch: u64,
    /// The last height of that epoch.
    pub epoch_last_height: u64,
    /// The first block in this node's store: 0, or where it joined.
    pub first_height: u64,
    /// Hash of the genesis document.
    pub network: Digest,
    /// Height of the newest final block.
    pub height: u64,
    /// Digest of that block.
    pub block: Digest,
    /// Ledger time of that block, Unix milliseconds.
    pub time_ms: u64,
    /// Height of the newest executed block.
    pub executed_height: u64,
    /// Digest of the results after that block.
    pub state_root: Digest,
    /// Height whose results a final header commits to.
    pub final_height: u64,
    /// Peers that the node has a link to.
    pub peers: u32,
    /// Transactions waiting to be ordered.
    pub waiting: u32,
    /// What the execution module reported of its lockdown: the steps that hold, `weak: ` before those that hold in a weaker
    /// form than they could.
    pub lockdown: Vec<String>,
    /// Why the node no longer executes, if so.
    pub halted: Option<String>,
    /// When the first certificate of its chain ends, Unix milliseconds.
    pub certificate_ends_ms: u64,
    /// Until when the revocation lists that it was given are in force, Unix milliseconds, by the role of their authority.
    pub lists: Vec<(String, u64)>,
}
