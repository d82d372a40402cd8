//! Checking a run of blocks against one certificate: each block follows the one before, and the last is certified.

use crate::{Block, BlockError, CertificateError, Committee, FinalityCertificate, Header};

/// Why a run of blocks is not final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A block is broken or does not follow the one before.
    #[error("block at height {height}: {error}")]
    Block {
        /// The height that the block claims.
        height: u64,
        /// What is wrong with it.
        error: BlockError,
    },
    /// The certificate proves nothing.
    #[error("certificate for height {height}: {error}")]
    Certificate {
        /// The height of the last block.
        height: u64,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The certificate is for another block than the last one.
    #[error("certificate is for another block than the one at height {height}")]
    OtherBlock {
        /// The height of the last block.
        height: u64,
    },
    /// No blocks at all.
    #[error("no blocks")]
    Empty,
}

/// Checks that `blocks` follow `parent` one after the other and that `certificate` finalizes the last, and so all.
///
/// # Errors
/// The first thing that is wrong, with its height.
pub fn verify_finalized(
    parent: &Header,
    blocks: &[Block],
    certificate: &FinalityCertificate,
    committee: &Committee,
    namespace: &[u8],
) -> Result<(), ChainError> {
    let mut previous = parent;
    for block in blocks {
        let at = |error| ChainError::Block { height: block.header.height, error };
        block.header.check_follows(previous).map_err(at)?;
        block.check_body().map_err(at)?;
        previous = &block.header;
    }
    let last = blocks.last().ok_or(ChainError::Empty)?;
    let height = last.header.height;
    if certificate.block != last.digest() {
        return Err(ChainError::OtherBlock { height });
    }
    certificate
        .verify(committee, namespace)
        .map_err(|error| ChainError::Certificate { height, error })
}
