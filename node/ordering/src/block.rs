//! A ledger block in the form that the engine wants: with its encoding and digest at hand, cheap to
//! clone.
//!
//! ```text
//! wire = length varint | encoded ledger block
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::types::Height;
use commonware_consensus::{Block as ConsensusBlock, BoundedBlock, Heightable};
use commonware_cryptography::{Digestible, blake3};
use sealbook_ledger::Block;
use sealbook_primitives::hash::Digest;

/// The engine's type for digests; it carries our header hashes and never hashes anything itself.
pub(crate) type EngineDigest = blake3::Digest;

/// The longest length prefix.
const PREFIX_BYTES: usize = 5;

pub(crate) const fn to_engine(digest: &Digest) -> EngineDigest {
    blake3::Digest(*digest.as_bytes())
}

pub(crate) const fn from_engine(digest: &EngineDigest) -> Digest {
    Digest(digest.0)
}

/// A block that is in memory once, however often it is cloned.
#[derive(Clone, Debug)]
pub(crate) struct OrderedBlock {
    block: Arc<Block>,
    encoded: Bytes,
    digest: EngineDigest,
    parent: EngineDigest,
}

impl OrderedBlock {
    pub(crate) fn new(block: Block) -> Self {
        let encoded = Bytes::from(block.encode());
        Self::from_parts(block, encoded)
    }

    fn from_parts(block: Block, encoded: Bytes) -> Self {
        let digest = to_engine(&block.digest());
        let parent = to_engine(&block.header.parent);
        Self {
            block: Arc::new(block),
            encoded,
            digest,
            parent,
        }
    }

    pub(crate) const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    pub(crate) const fn encoded_length(&self) -> usize {
        self.encoded.len()
    }
}

impl PartialEq for OrderedBlock {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for OrderedBlock {}

impl Write for OrderedBlock {
    fn write(&self, buffer: &mut impl BufMut) {
        self.encoded.write(buffer);
    }
}

impl EncodeSize for OrderedBlock {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size()
    }
}

impl Read for OrderedBlock {
    /// The largest encoded block.
    type Cfg = usize;

    fn read_cfg(buffer: &mut impl Buf, limit: &usize) -> Result<Self, CodecError> {
        let encoded = Bytes::read_cfg(buffer, &RangeCfg::from(0..=*limit))?;
        let block = Block::decode(&encoded, *limit)
            .map_err(|_| CodecError::Invalid("OrderedBlock", "not a block of this ledger"))?;
        // The digest covers an attachment's hash, not its bytes: a peer that leaves the bytes out would
        // otherwise make this node store the block without them.
        if block
            .attachments
            .iter()
            .any(|attachment| attachment.bytes().is_none())
        {
            return Err(CodecError::Invalid(
                "OrderedBlock",
                "an attachment is left out",
            ));
        }
        Ok(Self::from_parts(block, encoded))
    }
}

impl Digestible for OrderedBlock {
    type Digest = EngineDigest;

    fn digest(&self) -> EngineDigest {
        self.digest
    }
}

impl Heightable for OrderedBlock {
    fn height(&self) -> Height {
        Height::new(self.block.height())
    }
}

impl ConsensusBlock for OrderedBlock {
    fn parent(&self) -> EngineDigest {
        self.parent
    }
}

impl BoundedBlock for OrderedBlock {
    fn max_encode_size(limit: &usize) -> usize {
        limit.saturating_add(PREFIX_BYTES)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use commonware_codec::{Decode as _, Encode as _};
    use sealbook_ledger::{Attachment, MAX_BLOCK_BYTES};

    use super::*;

    #[test]
    fn a_block_without_its_attachments_bytes_is_refused_from_a_peer() {
        let genesis = Block::genesis(Digest([1; 32]), 0);
        let present = Attachment::Present(Bytes::from_static(b"sealed name"));
        let erased = Attachment::Erased(present.digest());
        let with = |attachment| Block::after(&genesis.header, 1, vec![], vec![attachment], vec![]);
        let (whole, stripped) = (with(present), with(erased));
        assert_eq!(whole.digest(), stripped.digest());
        let sent = |block| OrderedBlock::new(block).encode();
        assert!(OrderedBlock::decode_cfg(sent(whole), &MAX_BLOCK_BYTES).is_ok());
        assert!(OrderedBlock::decode_cfg(sent(stripped), &MAX_BLOCK_BYTES).is_err());
    }
}
