//! The only words between a node's host and its execution module.
//!
//! ```text
//! host                                   module
//!   Start{genesis, offer?}      ->
//!   SnapshotPiece{..} each      ->                              if there was an offer: the pieces of that snapshot
//!                               <-  Started{..} | Refused{..}
//!   Finalized{blocks, cert}     ->                              blocks that the certificate makes final
//!                               <-  SnapshotPiece{..}, SnapshotDone{..}      as they become ready
//!                               <-  Executed{..} per block, or Refused{..}
//!                               <-  Carry{..} at any time: what the module says on the ledger
//!   Query{ticket, envelope}     ->
//!                               <-  Answer{ticket, sealed} | QueryRefused{ticket}
//! ```
//!
//! In a founding session (no genesis yet) the host says `Found` and `Bind` instead of `Start`. Blocks of one
//! `Finalized` are all of one committee epoch.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{Commitment, EpochDefinition, Recovery, RootGrant};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;

/// From host to module.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is encoded at once"
)]
pub enum ToModule {
    /// Make the root of the first key epoch and name its public opening key.
    Found {
        /// Number of the suite that the network seals with.
        suite: u8,
        /// Who is to hold recovery shares.
        recovery: Recovery,
    },
    /// The genesis document that the founding module's public key went into: wrap the root for everyone it names.
    Bind {
        /// Encoded genesis document.
        genesis: Vec<u8>,
    },
    /// Recover the root of a key epoch from what the holders of its shares sealed to this module.
    Recover {
        /// Encoded [`KeyRecord`](sealbook_ledger::KeyRecord) of the key epoch.
        record: Vec<u8>,
        /// What each holder contributes.
        contributions: Vec<Vec<u8>>,
    },
    /// Begin to execute this network, from its genesis or from a snapshot.
    Start {
        /// Encoded genesis document.
        genesis: Vec<u8>,
        /// A snapshot to begin from; its pieces follow in order.
        offer: Option<SnapshotOffer>,
        /// Encoded [`RootFile`](sealbook_ledger::RootFile): what the ledger has for this module besides its own file.
        roots: Vec<u8>,
    },
    /// One piece of the snapshot that was offered.
    SnapshotPiece {
        /// Sealed bytes.
        sealed: Vec<u8>,
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
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is encoded at once"
)]
pub enum FromModule {
    /// The module has locked itself down; what it found of itself.
    Ready {
        /// Steps of the lockdown that hold, for the operator; `weak: ` before those that hold in a weaker form than they could.
        lockdown: Vec<String>,
    },
    /// The public opening key of the first key epoch.
    Founded {
        /// Encoded public key.
        opening_key: Vec<u8>,
        /// Commitments to the recovery shares, by their numbers.
        share_commitments: Vec<Digest>,
    },
    /// The root as it was handed out.
    Bound {
        /// Encoded [`KeyRecord`](sealbook_ledger::KeyRecord).
        record: Vec<u8>,
    },
    /// The root is recovered.
    Recovered {
        /// Encoded [`RootFile`](sealbook_ledger::RootFile) with a grant for each module that the holders named.
        root_file: Vec<u8>,
    },
    /// The module executes this network.
    Started {
        /// Hash of the genesis document.
        network: Digest,
        /// The last executed block: 0, or the one that the snapshot was taken after.
        height: u64,
        /// What holds in the epoch of the next block.
        definition: EpochDefinition,
        /// The results after that block, and those before it that a header may still be asked about: from the height
        /// up to which that block's header commits, ascending.
        results: Vec<PastResult>,
        /// Fingerprints of all certificates that the ledger has revoked: nodes take no connections under them.
        revoked: Vec<Digest>,
    },
    /// A piece of a snapshot that is being made; equal bytes from every module.
    SnapshotPiece {
        /// The height whose state it holds.
        height: u64,
        /// Its place.
        index: u32,
        /// Sealed bytes.
        sealed: Vec<u8>,
    },
    /// All pieces of a snapshot are made.
    SnapshotDone {
        /// Encoded manifest.
        manifest: Vec<u8>,
    },
    /// A block has been executed.
    Executed {
        /// Its height.
        height: u64,
        /// The results after it; later headers commit to their digest.
        commitment: Commitment,
        /// What holds in the next committee epoch, said once it is decided and with every block until the end.
        next_epoch: Option<EpochDefinition>,
        /// Carriers whose quota is cut, after this block.
        quotas: Vec<QuotaLevel>,
        /// Roots, sealed to modules that are to have them: of those that this block admitted or offered a new root to.
        grants: Vec<RootGrant>,
        /// Encoded records of new roots, for whoever recovers or audits.
        key_records: Vec<Vec<u8>>,
        /// Digests of transactions, with the sealed reply to each submitter.
        replies: Vec<SealedReply>,
        /// Digests of transactions whose results became final with this block, with the sealed notice.
        finals: Vec<SealedReply>,
        /// How many transactions did not open; a carrier that sends many is cut.
        unopened: u32,
        /// Fingerprints of certificates that this block has revoked.
        revoked: Vec<Digest>,
    },
    /// An envelope of the module's own, to be submitted as if a client had.
    Carry {
        /// Encoded envelope.
        envelope: Vec<u8>,
    },
    /// The module does not answer yet: it has not seen its own sign of life in a final block.
    NotAwake {
        /// The host's ticket.
        ticket: u64,
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
        /// The digest of the results that this module computed.
        computed: Digest,
        /// The digest that the final header commits to.
        committed: Digest,
    },
}

/// A snapshot, with the proof that the network agreed on it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotOffer {
    /// Encoded manifest.
    pub manifest: Vec<u8>,
    /// Results that name the manifest.
    pub commitment: Commitment,
    /// Encoded proof of final headers that commit to those results.
    pub proof: Vec<u8>,
}

/// By how much a carrier's quota is cut: halved so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QuotaLevel {
    /// The carrier.
    pub carrier: VerifyingKey,
    /// How many times its quota is halved.
    pub level: u8,
}

/// What a host needs to know of an executed block to judge proposals.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PastResult {
    /// The block.
    pub height: u64,
    /// The digest of its commitment.
    pub digest: Digest,
    /// Carriers whose quota is cut, after it.
    pub quotas: Vec<QuotaLevel>,
}

/// A reply for whoever submitted the transaction with this digest.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedReply {
    /// Digest of the transaction's envelope.
    pub transaction: Digest,
    /// Sealed bytes.
    pub sealed: Vec<u8>,
}
