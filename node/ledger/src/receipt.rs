//! A receipt: proof for anybody with the genesis document that an instruction was ordered, when, and with which outcome.
//!
//! ```text
//! receipt  = version u16 | transaction 32 | carrier u16 | signature 64 | place u64 | count u64 | siblings
//!          | commitment | outcomes | proof
//! outcomes = place u64 | siblings | blinding 32 | orders u64 | shown: count u32 (order u32, siblings, outcome bytes)
//! ```
//!
//! The first header of the proof is the block that ordered the transaction; a later one commits to the results of that
//! block. The receipt opens nothing: an outcome tells no more than what the submitter was told.
//!
//! The format is not COSE Receipts (RFC 9942): there, one key signs a COSE structure around a Merkle root made with a
//! registered tree algorithm. Here a quorum of a committee, which changes, signs the engine's own vote, and trees are
//! BLAKE3. A generic COSE verifier could check neither, so its envelope would promise what it cannot keep.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_merkle::log::{self, Proof};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::Signature;

use crate::proof::MAX_PROOF_BYTES;
use crate::{
    Commitment, FinalityProof, Genesis, ProofError, Transaction, outcome_hash, outcome_leaf,
};

/// The largest encoded receipt, in bytes.
pub const MAX_RECEIPT_BYTES: usize = MAX_PROOF_BYTES + 1024 * 1024;
const RECEIPT_VERSION: u16 = 2;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the canonical encoding, or too large.
    #[error("the receipt does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("receipt version {0} is not known")]
    Version(u16),
    /// The headers in it are not final.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The block does not list the transaction.
    #[error("the block at height {0} does not list this transaction")]
    Transaction(u64),
    /// No header in the proof commits to these results.
    #[error("no final header commits to these results of height {0}")]
    Commitment(u64),
    /// The results hold no outcomes of this transaction, or the receipt shows none.
    #[error("the results of height {0} do not hold these outcomes")]
    Outcomes(u64),
    /// The transaction's outcomes do not hold this one.
    #[error("the results of height {height} do not hold this outcome of order {order}")]
    Outcome {
        /// The block.
        height: u64,
        /// The order's place in the transaction.
        order: u32,
    },
}

/// The outcome of one order, and its way to the root over the transaction's outcomes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShownOutcome {
    /// The order's place in the transaction.
    pub order: u32,
    /// The way from the outcome to that root.
    pub path: Proof,
    /// The encoded outcome.
    pub outcome: Vec<u8>,
}

/// Outcomes of a transaction, and their way to the root over the outcomes of the block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutcomesProof {
    /// The place of the transaction's leaf among the block's outcomes.
    pub place: u64,
    /// The way from the leaf to the root.
    pub path: Proof,
    /// What the outcomes are blinded with.
    pub blinding: [u8; 32],
    /// How many outcomes the transaction has.
    pub orders: u64,
    /// Root over them.
    pub orders_root: Digest,
    /// Those that this receipt shows.
    pub shown: Vec<ShownOutcome>,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Format version.
    pub version: u16,
    /// The transaction: the digest of its envelope.
    pub transaction: Digest,
    /// Who carried it.
    pub carrier: u16,
    /// The carrier's signature.
    pub signature: Signature,
    /// The transaction's place in its block.
    pub place: u64,
    /// How many transactions the block lists.
    pub count: u64,
    /// The way from the transaction to the block's root.
    pub path: Proof,
    /// The results of the block.
    pub commitment: Commitment,
    /// Outcomes of the transaction's orders.
    pub outcomes: OutcomesProof,
    /// The block's header first, up to one that is certified.
    pub proof: FinalityProof,
}

/// What a receipt that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The block that ordered the transaction.
    pub height: u64,
    /// Ledger time of that block, Unix milliseconds.
    pub time_ms: u64,
    /// The header that commits to its results.
    pub committed_by: u64,
    /// The epoch of the certificate.
    pub epoch: u64,
}

impl Receipt {
    /// The present format version.
    pub const VERSION: u16 = RECEIPT_VERSION;

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::Malformed);
        }
        let receipt = Self::try_from_slice(bytes).map_err(|_| ReceiptError::Malformed)?;
        if receipt.version != RECEIPT_VERSION {
            return Err(ReceiptError::Version(receipt.version));
        }
        Ok(receipt)
    }

    /// Checks the receipt against the genesis document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, genesis: &Genesis) -> Result<Proven, ReceiptError> {
        if self.version != RECEIPT_VERSION {
            return Err(ReceiptError::Version(self.version));
        }
        self.proof.verify(genesis)?;
        let ordered = self.proof.headers.first().ok_or(ProofError::Empty)?;
        let height = ordered.height;
        let leaf = Transaction::leaf_of(self.carrier, &self.signature, &self.transaction);
        let root = &ordered.transactions_root;
        if !log::verify(root, self.place, self.count, &leaf, &self.path) {
            return Err(ReceiptError::Transaction(height));
        }
        let committed = (height, self.commitment.digest());
        let committed_by = self
            .proof
            .headers
            .iter()
            .find(|header| header.committed_roots().any(|root| root == committed))
            .ok_or(ReceiptError::Commitment(height))?;
        if self.commitment.height != height {
            return Err(ReceiptError::Commitment(height));
        }
        let outcomes = &self.outcomes;
        let leaf = outcome_leaf(&self.transaction, &outcomes.orders_root);
        let (root, count) = (&self.commitment.outcomes_root, self.commitment.outcomes);
        if !log::verify(root, outcomes.place, count, &leaf, &outcomes.path) {
            return Err(ReceiptError::Outcomes(height));
        }
        if outcomes.shown.is_empty() {
            return Err(ReceiptError::Outcomes(height));
        }
        for one in &outcomes.shown {
            let order = one.order;
            let hash = outcome_hash(&outcomes.blinding, order, &one.outcome);
            let (root, count) = (&outcomes.orders_root, outcomes.orders);
            if !log::verify(root, u64::from(order), count, &hash, &one.path) {
                return Err(ReceiptError::Outcome { height, order });
            }
        }
        Ok(Proven {
            height,
            time_ms: ordered.time_ms,
            committed_by: committed_by.height,
            epoch: self.proof.certificate.epoch,
        })
    }
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
