//! What a node needs to know to take part.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use sealbook_identity::Revocations;
use sealbook_ledger::{Block, Committee, EpochDefinition, FinalityCertificate, MAX_BLOCK_BYTES};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;

/// The largest application message, in bytes.
pub const MAX_APPLICATION_MESSAGE_BYTES: usize = 1024 * 1024;

/// Where a node's ledger begins.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is moved a few times"
)]
pub enum Start {
    /// At block 0, in the epoch that genesis defines.
    Genesis(EpochDefinition),
    /// At a boundary block, for a node whose application starts from a snapshot of the state after
    /// it. The node keeps this in its store: a later start may name it again, or genesis, or a
    /// higher floor if it has fallen behind, which then takes its place.
    Floor(Floor),
}

/// A boundary block from which a node follows, without the history before it.
#[derive(Debug, Clone)]
pub struct Floor {
    /// The block, whose header defines the epoch that the node begins in. The first block that the
    /// application hears of.
    pub block: Block,
    /// A certificate for it.
    pub certificate: FinalityCertificate,
    /// The committee that signed the certificate: that of the epoch that the block ends. The caller
    /// knows, from genesis on, that it is the right one.
    pub committee: Committee,
}

/// Who this node is on its links.
pub struct NodeIdentity {
    /// The seed of the vote key, which is the key of the certificate.
    pub seed: Secret32,
    /// The node's certificate and the one that issued it, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots of the network's certificate authority.
    pub roots: Vec<CertificateDer<'static>>,
    /// Whose certificates are revoked, as far as this node was told.
    pub revocations: Revocations,
}

/// How long the engine waits, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For the leader's block. Must exceed the application's longest pause between blocks, or every
    /// idle view fails.
    pub leader_timeout_ms: u64,
    /// For a view to get its certificate; must exceed the leader timeout.
    pub certification_timeout_ms: u64,
    /// Before a vote to give up a view is repeated.
    pub timeout_retry_ms: u64,
    /// A leader that was silent for so long is skipped without waiting; must exceed the two above.
    pub skip_after_ms: u64,
    /// Before an answer to a request for missing data counts as lost.
    pub fetch_timeout_ms: u64,
    /// Between two questions to an application that answered not yet, or wait.
    pub poll_interval_ms: u64,
}

impl Default for Timing {
    /// For an application that makes a block at least every second.
    fn default() -> Self {
        Self {
            leader_timeout_ms: 2_000,
            certification_timeout_ms: 3_000,
            timeout_retry_ms: 1_000,
            skip_after_ms: 4_000,
            fetch_timeout_ms: 2_000,
            poll_interval_ms: 4,
        }
    }
}

/// How large things may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest encoded block. Equal on all nodes of a network.
    pub block_bytes_max: usize,
    /// The largest application message. Equal on all nodes of a network.
    pub message_bytes_max: usize,
    /// Application messages waiting to be sent, and as many waiting to be read.
    pub messages_waiting_max: usize,
    /// Finalized blocks that the application has heard of and not yet acknowledged.
    pub unacknowledged_blocks_max: usize,
    /// Threads of the engine.
    pub worker_threads: usize,
    /// Nodes that there is room for links to, this one included; memory grows with it. Nodes of one
    /// epoch and of the one before count while the first is young.
    pub peers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_bytes_max: MAX_BLOCK_BYTES,
            message_bytes_max: MAX_APPLICATION_MESSAGE_BYTES,
            messages_waiting_max: 1_024,
            unacknowledged_blocks_max: 16,
            worker_threads: 2,
            peers_max: 64,
        }
    }
}

/// Everything about a node's part in ordering.
pub struct OrderingConfig {
    /// Hash of the genesis document. In hex it is the namespace of votes and the protocol of links.
    pub network: Digest,
    /// The network's name, as it stands in certificates.
    pub network_name: String,
    /// Block 0.
    pub genesis_block: Block,
    /// Where the engine keeps its vote log and caches. Not part of backups.
    pub storage_directory: PathBuf,
    /// Where to listen for peers.
    pub listen: SocketAddr,
    /// Who this node is.
    pub identity: NodeIdentity,
    /// Where the ledger begins.
    pub start: Start,
    /// Where nodes listen, by vote key, if the definitions of epochs do not say it right.
    pub addresses: BTreeMap<[u8; 32], SocketAddr>,
    /// Do not vote, even if this node is in the committee.
    pub observe_only: bool,
    /// When this process started, by the wall clock, in Unix milliseconds.
    pub start_time_ms: u64,
    /// How far the clocks of validators may differ, in milliseconds: the network's parameter.
    pub clock_drift_ms: u64,
    /// How long to wait.
    pub timing: Timing,
    /// How large things may be.
    pub limits: Limits,
}

/// Why ordering cannot start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum OrderingError {
    /// A setting that cannot be.
    #[error("ordering cannot start: {0}")]
    Config(String),
    /// The node's certificate, key or roots are of no use.
    #[error("the node's identity cannot be used: {0}")]
    Identity(String),
    /// The address is taken, or not ours.
    #[error("cannot listen on `{address}`: {reason}; is another node running?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// The engine's directory cannot be used.
    #[error("cannot use the engine's directory `{path}`: {reason}")]
    Storage {
        /// The directory.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The engine's directory belongs to another network.
    #[error("the engine's directory holds the votes of another network")]
    VoteLogOfAnother,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] sealbook_store::StoreError),
    /// The engine stopped by itself.
    #[error("the ordering engine stopped: {0}")]
    Engine(String),
}
