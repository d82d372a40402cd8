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
        let at = |error| ChainError::Block {
            height: block.header.height,
            error,
        };
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use sealbook_primitives::hash::Digest;
    use sealbook_primitives::signature::Signature;

    use super::*;
    use crate::Transaction;
    use crate::testing::{certify, committee_of, vote_keys};

    const NAMESPACE: &[u8] = b"a network";

    fn unsigned(envelope: Vec<u8>) -> Transaction {
        Transaction::new(0, Signature([0; 64]), envelope.into())
    }

    fn chain(length: u64) -> (Header, Vec<Block>) {
        let genesis = Block::genesis(Digest([1; 32]), 1_000).header;
        let mut blocks: Vec<Block> = Vec::new();
        for height in 1..=length {
            let parent = blocks.last().map_or(&genesis, |block| &block.header);
            let transaction = unsigned(height.to_le_bytes().to_vec());
            blocks.push(Block::after(
                parent,
                1_000,
                vec![transaction],
                Vec::new(),
                Vec::new(),
            ));
        }
        (genesis, blocks)
    }

    #[test]
    fn one_certificate_proves_a_run_of_blocks() {
        let (genesis, blocks) = chain(5);
        let keys = vote_keys(4);
        let committee = committee_of(&keys);
        for last in 0..5 {
            let digest = blocks[last].digest();
            let certificate = certify(&keys, NAMESPACE, (0, 9, 8), digest, 3);
            let verify = |parent: &Header, blocks: &[Block]| {
                verify_finalized(parent, blocks, &certificate, &committee, NAMESPACE)
            };
            assert_eq!(verify(&genesis, &blocks[..=last]), Ok(()));
            if last > 0 {
                assert_eq!(verify(&blocks[0].header, &blocks[1..=last]), Ok(()));
                let height = last as u64;
                assert_eq!(
                    verify(&genesis, &blocks[..last]),
                    Err(ChainError::OtherBlock { height })
                );
            }
        }
    }

    #[test]
    fn runs_that_do_not_hang_together_are_refused() {
        let (genesis, blocks) = chain(4);
        let keys = vote_keys(4);
        let committee = committee_of(&keys);
        let certificate = certify(&keys, NAMESPACE, (0, 9, 8), blocks[3].digest(), 4);
        let verify = |parent: &Header, blocks: &[Block]| {
            verify_finalized(parent, blocks, &certificate, &committee, NAMESPACE)
        };
        let at = |result: Result<(), ChainError>| match result {
            Err(ChainError::Block { height, .. }) => height,
            other => panic_on(&other),
        };
        assert_eq!(verify(&genesis, &[]), Err(ChainError::Empty));
        assert_eq!(at(verify(&genesis, &blocks[1..])), 2);
        assert_eq!(at(verify(&blocks[0].header, &blocks)), 1);
        let skipped = [blocks[0].clone(), blocks[2].clone(), blocks[3].clone()];
        assert_eq!(at(verify(&genesis, &skipped)), 3);
        let mut reordered = blocks.clone();
        reordered.swap(1, 2);
        assert_eq!(at(verify(&genesis, &reordered)), 3);
        let mut altered = blocks.clone();
        altered[1].transactions[0] = unsigned(b"another".to_vec());
        assert_eq!(at(verify(&genesis, &altered)), 2);
        // A block that was rebuilt around another content breaks the link of the next one.
        let mut rebuilt = blocks.clone();
        rebuilt[1] = Block::after(&blocks[0].header, 1_001, Vec::new(), Vec::new(), Vec::new());
        assert_eq!(at(verify(&genesis, &rebuilt)), 3);
        let few = certify(&keys, NAMESPACE, (0, 9, 8), blocks[3].digest(), 2);
        let error = CertificateError::Quorum {
            needed: 3,
            found: 2,
        };
        assert_eq!(
            verify_finalized(&genesis, &blocks, &few, &committee, NAMESPACE),
            Err(ChainError::Certificate { height: 4, error })
        );
    }

    #[allow(clippy::panic)]
    fn panic_on(result: &Result<(), ChainError>) -> u64 {
        panic!("{result:?}")
    }
}
