//! Proof that headers are final, for whoever holds the genesis document and nothing else.
//!
//! ```text
//! proof = version u16 | steps: count u32 (boundary header, certificate) | headers: count u32 | certificate
//! ```
//!
//! A step leads over a change of validators: the boundary block that defines the new committee, certified by the old
//! one. Epochs that keep their validators need no step. The headers follow each other, and the certificate is for the
//! last of them.
//!
//! A committee that is no longer in office could still sign: whoever trusts this proof trusts, as the ledger itself
//! does, that fewer than a third of every committee on the way would.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{BlockError, CertificateError, EpochDefinition, FinalityCertificate, Genesis, Header};

/// The largest encoded proof, in bytes.
pub const MAX_PROOF_BYTES: usize = 16 * 1024 * 1024;
const PROOF_VERSION: u16 = 1;
const MAX_STEPS: usize = 10_000;
const MAX_HEADERS: usize = 100_000;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the canonical encoding, or too large.
    #[error("the proof does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("proof version {0} is not known")]
    Version(u16),
    /// It proves no header.
    #[error("the proof has no headers")]
    Empty,
    /// A header is of another network than the genesis document.
    #[error("the proof is of another network")]
    Network,
    /// A header does not follow the one before.
    #[error("header at height {height}: {error}")]
    Header {
        /// The height that the header claims.
        height: u64,
        /// What is wrong.
        error: BlockError,
    },
    /// A certificate does not make its header final.
    #[error("certificate for height {height}: {error}")]
    Certificate {
        /// The height of the header.
        height: u64,
        /// What is wrong.
        error: CertificateError,
    },
    /// A certificate for another header.
    #[error("the certificate for height {0} is for another block")]
    OtherBlock(u64),
    /// The validators that are known did not vote on this block: a step is missing.
    #[error("the block at height {0} is another committee's; a step to it is missing")]
    Committee(u64),
    /// A step that leads nowhere, or backwards.
    #[error("the step at height {0} does not lead to a later committee")]
    Step(u64),
}

/// A boundary block after which other validators vote, and the proof that it is final.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochStep {
    /// The header of the boundary block.
    pub header: Header,
    /// A certificate for it.
    pub certificate: FinalityCertificate,
}

/// Proof that headers are final.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalityProof {
    /// Format version.
    pub version: u16,
    /// The changes of validators on the way, in order.
    pub steps: Vec<EpochStep>,
    /// Headers that follow each other.
    pub headers: Vec<Header>,
    /// A certificate for the last of them.
    pub certificate: FinalityCertificate,
}

impl FinalityProof {
    /// A proof of these parts, in the present version.
    #[must_use]
    pub const fn new(
        steps: Vec<EpochStep>,
        headers: Vec<Header>,
        certificate: FinalityCertificate,
    ) -> Self {
        Self {
            version: PROOF_VERSION,
            steps,
            headers,
            certificate,
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(ProofError::Malformed);
        }
        let proof = Self::try_from_slice(bytes).map_err(|_| ProofError::Malformed)?;
        if proof.version != PROOF_VERSION {
            return Err(ProofError::Version(proof.version));
        }
        Ok(proof)
    }

    /// Checks the proof against the genesis document and gives what is known to hold in the epoch of the last header:
    /// its validators. The headers are then final.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, genesis: &Genesis) -> Result<EpochDefinition, ProofError> {
        if self.version != PROOF_VERSION {
            return Err(ProofError::Version(self.version));
        }
        if self.steps.len() > MAX_STEPS || self.headers.len() > MAX_HEADERS {
            return Err(ProofError::Malformed);
        }
        let network = genesis.network();
        let namespace = genesis.namespace();
        let mut known = genesis.first_epoch();
        for step in &self.steps {
            let height = step.header.height;
            if step.header.network != network {
                return Err(ProofError::Network);
            }
            check_certified(&step.header, &step.certificate, &known, &namespace)?;
            let next = step.header.next_epoch.as_ref();
            let next = next.ok_or(ProofError::Step(height))?;
            let follows = Some(next.epoch) == step.header.epoch.checked_add(1);
            if !follows || next.check().is_err() {
                return Err(ProofError::Step(height));
            }
            known = next.clone();
        }
        let mut headers = self.headers.iter();
        let mut last = headers.next().ok_or(ProofError::Empty)?;
        if last.network != network {
            return Err(ProofError::Network);
        }
        for header in headers {
            let height = header.height;
            header
                .check_follows(last)
                .map_err(|error| ProofError::Header { height, error })?;
            last = header;
        }
        check_certified(last, &self.certificate, &known, &namespace)?;
        Ok(known)
    }
}

/// Checks that `certificate` makes `header` final, if the validators of `known` still vote in its epoch.
fn check_certified(
    header: &Header,
    certificate: &FinalityCertificate,
    known: &EpochDefinition,
    namespace: &[u8],
) -> Result<(), ProofError> {
    let height = header.height;
    if certificate.block != header.digest() {
        return Err(ProofError::OtherBlock(height));
    }
    if header.epoch < known.epoch || certificate.epoch != header.epoch {
        let error = CertificateError::Epoch {
            expected: header.epoch.max(known.epoch),
            found: certificate.epoch,
        };
        return Err(ProofError::Certificate { height, error });
    }
    // Members of the old committee who are in the new one too vote in the new one's epochs. Their votes alone, a quorum
    // of the old one perhaps, make nothing final there.
    if header.committee != known.committee_digest() {
        return Err(ProofError::Committee(height));
    }
    known
        .committee_for(header.epoch)
        .and_then(|committee| certificate.verify(&committee, namespace))
        .map_err(|error| ProofError::Certificate { height, error })
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
