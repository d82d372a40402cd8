//! A block: a header that is hashed and voted on, and the sealed transactions and attachments that it commits to.
//!
//! ```text
//! block   = version u16 | header | count u32, transactions | count u32, attachments
//! header  = version u16 | network 32 | height u64 | epoch u64 | committee 32 | parent 32 | time_ms u64
//!         | transactions_root 32 | attachments_root 32 | executed_height u64 | roots: count u32, 32 each
//!         | next_epoch: option (definition)
//! ```
//!
//! INVARIANT: the digest of a block is the hash of its header, and equal headers mean equal transactions and equal
//! attachment hashes. Attachment bytes may be erased, their hashes never. The last block of a committee epoch, and no
//! other, carries the definition of the next one.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use sealbook_merkle::log;
use sealbook_primitives::hash::{Digest, hash};

use crate::transaction::WireTransaction;
use crate::{EpochDefinition, Transaction};

/// The version that blocks and headers are written with.
pub const BLOCK_VERSION: u16 = 2;
/// The largest encoded block, in bytes.
pub const MAX_BLOCK_BYTES: usize = 8 * 1024 * 1024;
/// The most transactions in one block.
pub const MAX_TRANSACTIONS: usize = 16_384;
/// The largest envelope of a transaction, in bytes.
pub const MAX_TRANSACTION_BYTES: usize = 1024 * 1024;
/// The most attachments in one block.
pub const MAX_ATTACHMENTS: usize = 16_384;
/// The largest sealed attachment, in bytes.
pub const MAX_ATTACHMENT_BYTES: usize = 16 * 1024;
/// The most state roots that one header may commit to.
pub const MAX_ROOTS: usize = 1_024;

const HEADER_DOMAIN: &str = "sealbook 2026 block header v2";
const ATTACHMENT_DOMAIN: &str = "sealbook 2026 attachment v1";

/// Why bytes are not a block, or a block does not hang together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// More bytes than a block may have.
    #[error("block of {size} bytes is larger than {limit}")]
    TooLarge {
        /// What was offered.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes are not the canonical encoding of a block.
    #[error("block does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("block version {0} is not known")]
    Version(u16),
    /// A list that is longer than its limit, or an element that is.
    #[error("block has too many or too large {0}")]
    Limit(&'static str),
    /// The header does not commit to this body.
    #[error("block header does not commit to its {0}")]
    Commitment(&'static str),
    /// The block does not follow its parent.
    #[error("block does not follow its parent: {0}")]
    Parent(&'static str),
}

/// What validators vote on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Format version, [`BLOCK_VERSION`].
    pub version: u16,
    /// Hash of the genesis document.
    pub network: Digest,
    /// Distance from block 0.
    pub height: u64,
    /// The committee epoch that it belongs to.
    pub epoch: u64,
    /// [`EpochDefinition::committee_digest`] of the epoch. Without it, votes of a new committee's members who were in
    /// the old one too could pass for the old one's quorum, which may be smaller.
    pub committee: Digest,
    /// Digest of the block before.
    pub parent: Digest,
    /// The proposer's clock, Unix milliseconds; never before the parent's.
    pub time_ms: u64,
    /// Merkle root over the transactions.
    pub transactions_root: Digest,
    /// Merkle root over the attachments' hashes.
    pub attachments_root: Digest,
    /// The height up to which the chain, this header included, commits to results.
    pub executed_height: u64,
    /// The digests of the [`Commitment`](crate::Commitment)s of the heights after the parent's `executed_height`, up
    /// to this one's.
    pub roots: Vec<Digest>,
    /// In the last block of an epoch, what holds in the next one.
    pub next_epoch: Option<EpochDefinition>,
}

impl Header {
    /// The digest of the block with this header.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes = borsh::to_vec(self).unwrap_or_default();
        hash(HEADER_DOMAIN, &[&bytes])
    }

    /// The heights whose results this header is the first to commit to, with the digests of their commitments.
    pub fn committed_roots(&self) -> impl Iterator<Item = (u64, Digest)> + '_ {
        let first = self.executed_height.saturating_sub(self.roots.len() as u64);
        self.roots
            .iter()
            .enumerate()
            .map(move |(index, root)| (first.saturating_add(index as u64).saturating_add(1), *root))
    }

    /// Checks what must hold between a header and its parent's.
    ///
    /// # Errors
    /// [`BlockError::Parent`] with the rule that is broken.
    pub fn check_follows(&self, parent: &Self) -> Result<(), BlockError> {
        let broken = |rule| Err(BlockError::Parent(rule));
        if self.version != BLOCK_VERSION {
            return Err(BlockError::Version(self.version));
        }
        if self.network != parent.network {
            return broken("another network");
        }
        if parent.height.checked_add(1) != Some(self.height) {
            return broken("height is not the next");
        }
        if self.parent != parent.digest() {
            return broken("parent digest differs");
        }
        if self.time_ms < parent.time_ms {
            return broken("time goes backwards");
        }
        if self.roots.len() > MAX_ROOTS {
            return Err(BlockError::Limit("state roots"));
        }
        if parent.executed_height.checked_add(self.roots.len() as u64) != Some(self.executed_height)
        {
            return broken("state roots do not continue the parent's");
        }
        if self.executed_height >= self.height {
            return broken("state root of a block that is not yet final");
        }
        let (epoch, committee) = voters_after(parent);
        if self.epoch != epoch {
            return broken("another committee epoch");
        }
        if self.committee != committee {
            return broken("another committee");
        }
        let Some(next) = &self.next_epoch else {
            return Ok(());
        };
        // An epoch of a single block is not possible, so a definition never follows another at once.
        if parent.next_epoch.is_some()
            || Some(next.epoch) != self.epoch.checked_add(1)
            || Some(next.first_height) != self.height.checked_add(1)
            || next.check().is_err()
        {
            return broken("the next committee epoch cannot be as it is defined");
        }
        Ok(())
    }
}

/// The committee epoch, and the digest of the committee, of the block after `parent`.
fn voters_after(parent: &Header) -> (u64, Digest) {
    match &parent.next_epoch {
        Some(definition) => (definition.epoch, definition.committee_digest()),
        None => (parent.epoch, parent.committee),
    }
}

/// A sealed attachment (personal data), or what is left of an erased one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// The sealed bytes.
    Present(Bytes),
    /// Only the hash is left; the bytes were erased.
    Erased(Digest),
}

impl Attachment {
    /// The hash by which blocks and transactions name an attachment.
    #[must_use]
    pub fn digest_of(bytes: &[u8]) -> Digest {
        hash(ATTACHMENT_DOMAIN, &[bytes])
    }

    /// The hash of this attachment.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Present(bytes) => Self::digest_of(bytes),
            Self::Erased(digest) => *digest,
        }
    }

    /// The sealed bytes, where they still exist.
    #[must_use]
    pub const fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Present(bytes) => Some(bytes),
            Self::Erased(_) => None,
        }
    }
}

/// A header with what it commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What is hashed and voted on.
    pub header: Header,
    /// Sealed transactions, in their order of execution.
    pub transactions: Vec<Transaction>,
    /// Sealed attachments.
    pub attachments: Vec<Attachment>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireBlock {
    version: u16,
    header: Header,
    transactions: Vec<WireTransaction>,
    attachments: Vec<WireAttachment>,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireAttachment {
    Present(Vec<u8>),
    Erased(Digest),
}

impl Block {
    /// Block 0 of a network: no transactions, no state; its network field is the hash of the genesis document. It names
    /// no committee; [`Genesis::block`](crate::Genesis::block) does.
    #[must_use]
    pub fn genesis(network: Digest, created_ms: u64) -> Self {
        let header = Header {
            version: BLOCK_VERSION,
            network,
            height: 0,
            epoch: 0,
            committee: Digest::ZERO,
            parent: Digest::ZERO,
            time_ms: created_ms,
            transactions_root: transactions_root(&[]),
            attachments_root: attachments_root(&[]),
            executed_height: 0,
            roots: Vec::new(),
            next_epoch: None,
        };
        Self {
            header,
            transactions: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// The block after `parent` with this content.
    #[must_use]
    pub fn after(
        parent: &Header,
        time_ms: u64,
        transactions: Vec<Transaction>,
        attachments: Vec<Attachment>,
        roots: Vec<Digest>,
    ) -> Self {
        let (epoch, committee) = voters_after(parent);
        let header = Header {
            version: BLOCK_VERSION,
            network: parent.network,
            height: parent.height.saturating_add(1),
            epoch,
            committee,
            parent: parent.digest(),
            time_ms,
            transactions_root: transactions_root(&transactions),
            attachments_root: attachments_root(&attachments),
            executed_height: parent.executed_height.saturating_add(roots.len() as u64),
            roots,
            next_epoch: None,
        };
        Self {
            header,
            transactions,
            attachments,
        }
    }

    /// This block as the last one of its epoch, which defines the next.
    #[must_use]
    pub fn with_next_epoch(mut self, definition: EpochDefinition) -> Self {
        self.header.next_epoch = Some(definition);
        self
    }

    /// The digest that is voted on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.header.digest()
    }

    /// Distance from block 0.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.header.height
    }

    /// Checks the limits and that the header commits to this body.
    ///
    /// # Errors
    /// Which limit or commitment is broken.
    pub fn check_body(&self) -> Result<(), BlockError> {
        if self.header.version != BLOCK_VERSION {
            return Err(BlockError::Version(self.header.version));
        }
        if self.transactions.len() > MAX_TRANSACTIONS
            || self
                .transactions
                .iter()
                .any(|one| one.envelope().len() > MAX_TRANSACTION_BYTES)
        {
            return Err(BlockError::Limit("transactions"));
        }
        let too_large = |attachment: &Attachment| {
            attachment
                .bytes()
                .is_some_and(|bytes| bytes.len() > MAX_ATTACHMENT_BYTES)
        };
        if self.attachments.len() > MAX_ATTACHMENTS || self.attachments.iter().any(too_large) {
            return Err(BlockError::Limit("attachments"));
        }
        if self.header.roots.len() > MAX_ROOTS {
            return Err(BlockError::Limit("state roots"));
        }
        if self.header.transactions_root != transactions_root(&self.transactions) {
            return Err(BlockError::Commitment("transactions"));
        }
        if self.header.attachments_root != attachments_root(&self.attachments) {
            return Err(BlockError::Commitment("attachments"));
        }
        Ok(())
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = WireBlock {
            version: BLOCK_VERSION,
            header: self.header.clone(),
            transactions: self
                .transactions
                .iter()
                .map(WireTransaction::from)
                .collect(),
            attachments: self.attachments.iter().map(WireAttachment::from).collect(),
        };
        borsh::to_vec(&wire).unwrap_or_default()
    }

    /// The length of [`Block::encode`] without encoding.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        const HEADER_FIXED: usize = 2 + 32 + 8 + 8 + 32 + 32 + 8 + 32 + 32 + 8 + 4 + 1;
        let transactions: usize = self
            .transactions
            .iter()
            .map(|one| one.envelope().len() + Transaction::OVERHEAD)
            .sum();
        let next_epoch = self.header.next_epoch.as_ref();
        let next_epoch = next_epoch.map_or(0, |definition| {
            borsh::to_vec(definition).map_or(0, |bytes| bytes.len())
        });
        let attachments: usize = self
            .attachments
            .iter()
            .map(|attachment| attachment.bytes().map_or(33, |bytes| bytes.len() + 5))
            .sum();
        2 + HEADER_FIXED
            + self.header.roots.len() * 32
            + next_epoch
            + 4
            + transactions
            + 4
            + attachments
    }

    /// Reads a block of at most `limit` bytes and checks that its header commits to its body.
    ///
    /// # Errors
    /// Too large, not canonical, of another version, or inconsistent.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Self, BlockError> {
        if bytes.len() > limit {
            return Err(BlockError::TooLarge {
                size: bytes.len(),
                limit,
            });
        }
        let wire = WireBlock::try_from_slice(bytes).map_err(|_| BlockError::Malformed)?;
        if wire.version != BLOCK_VERSION {
            return Err(BlockError::Version(wire.version));
        }
        let block = Self {
            header: wire.header,
            transactions: wire
                .transactions
                .into_iter()
                .map(Transaction::from)
                .collect(),
            attachments: wire.attachments.into_iter().map(Attachment::from).collect(),
        };
        block.check_body()?;
        Ok(block)
    }
}

impl From<&Attachment> for WireAttachment {
    fn from(attachment: &Attachment) -> Self {
        match attachment {
            Attachment::Present(bytes) => Self::Present(bytes.to_vec()),
            Attachment::Erased(digest) => Self::Erased(*digest),
        }
    }
}

impl From<WireAttachment> for Attachment {
    fn from(wire: WireAttachment) -> Self {
        match wire {
            WireAttachment::Present(bytes) => Self::Present(Bytes::from(bytes)),
            WireAttachment::Erased(digest) => Self::Erased(digest),
        }
    }
}

fn transactions_root(transactions: &[Transaction]) -> Digest {
    let leaves: Vec<Digest> = transactions.iter().map(Transaction::leaf).collect();
    log::root(&leaves)
}

fn attachments_root(attachments: &[Attachment]) -> Digest {
    let leaves: Vec<Digest> = attachments.iter().map(Attachment::digest).collect();
    log::root(&leaves)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
