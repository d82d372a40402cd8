//! Finality certificates, checked without the engine that makes them.
//!
//! The engine (commonware Simplex, Ed25519 scheme) signs, for a finalize vote,
//! `varint(len(namespace)) || namespace || varint(epoch) || varint(view) || varint(parent view) || block digest`,
//! where the namespace is the network's followed by `_FINALIZE`. A certificate holds the votes of at least
//! `n - (n - 1) / 3` members of a committee whose keys are sorted. Rewriting that check here (a screenful) keeps the
//! engine, its runtime and its network code out of the execution module and of every light client; a test in the
//! ordering crate compares the two.
//!
//! ```text
//! certificate = version u16 | epoch u64 | view u64 | parent_view u64 | block 32
//!             | signers: count u32, u16 each, ascending | signatures: count u32, 64 each
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{Signature, VerifyingKey};

const CERTIFICATE_VERSION: u16 = 1;
const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;
const MAX_COMMITTEE: usize = 256;
const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the canonical encoding of a certificate.
    #[error("certificate does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("certificate version {0} is not known")]
    Version(u16),
    /// Made in another committee epoch.
    #[error("certificate is of committee epoch {found}, not {expected}")]
    Epoch {
        /// The epoch that was asked for.
        expected: u64,
        /// The epoch in the certificate.
        found: u64,
    },
    /// Signers are not members, not ascending, or do not go with the signatures.
    #[error("certificate names signers that are not members of the committee, or not in order")]
    Signers,
    /// Fewer votes than a quorum.
    #[error("certificate has {found} votes of the {needed} needed")]
    Quorum {
        /// Votes in a quorum.
        needed: usize,
        /// Votes in the certificate.
        found: usize,
    },
    /// A signature does not verify.
    #[error("certificate has a signature that does not verify")]
    Signature,
    /// A committee that cannot be one.
    #[error("committee is empty, too large, or has a member twice")]
    Committee,
}

/// The validators of one committee epoch, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    epoch: u64,
    members: Vec<VerifyingKey>,
}

impl Committee {
    /// A committee of these vote keys, which are sorted here.
    ///
    /// # Errors
    /// [`CertificateError::Committee`] if it is empty, has more than 256 members or one member twice.
    pub fn new(epoch: u64, mut members: Vec<VerifyingKey>) -> Result<Self, CertificateError> {
        members.sort_unstable();
        let distinct = members.windows(2).all(|pair| matches!(pair, [left, right] if left < right));
        if members.is_empty() || members.len() > MAX_COMMITTEE || !distinct {
            return Err(CertificateError::Committee);
        }
        Ok(Self { epoch, members })
    }

    /// The committee epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The vote keys, ascending.
    #[must_use]
    pub fn members(&self) -> &[VerifyingKey] {
        &self.members
    }

    /// The number of votes that make a certificate: n - f with f = (n - 1) / 3.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        let n = self.members.len();
        n - (n - 1) / 3
    }
}

/// Proof that a quorum of a committee voted to finalize a block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalityCertificate {
    /// Format version.
    pub version: u16,
    /// Committee epoch.
    pub epoch: u64,
    /// The view in which the block was proposed.
    pub view: u64,
    /// The view of the block's parent.
    pub parent_view: u64,
    /// The block's digest.
    pub block: Digest,
    /// Indices into the sorted committee, ascending.
    pub signers: Vec<u16>,
    /// The signers' votes, in the same order.
    pub signatures: Vec<Signature>,
}

impl FinalityCertificate {
    /// A certificate of these parts, in the current version.
    #[must_use]
    pub const fn new(
        (epoch, view, parent_view): (u64, u64, u64),
        block: Digest,
        signers: Vec<u16>,
        signatures: Vec<Signature>,
    ) -> Self {
        let version = CERTIFICATE_VERSION;
        Self { version, epoch, view, parent_view, block, signers, signatures }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a certificate of at most 64 KiB.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::Malformed);
        }
        let certificate = Self::try_from_slice(bytes).map_err(|_| CertificateError::Malformed)?;
        if certificate.version != CERTIFICATE_VERSION {
            return Err(CertificateError::Version(certificate.version));
        }
        Ok(certificate)
    }

    /// Checks the votes against the committee of the certificate's epoch and the network's namespace.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, committee: &Committee, namespace: &[u8]) -> Result<(), CertificateError> {
        if self.version != CERTIFICATE_VERSION {
            return Err(CertificateError::Version(self.version));
        }
        if self.epoch != committee.epoch {
            return Err(CertificateError::Epoch { expected: committee.epoch, found: self.epoch });
        }
        let ascending = self.signers.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !ascending || self.signers.len() != self.signatures.len() {
            return Err(CertificateError::Signers);
        }
        if self.signers.len() < committee.quorum() {
            let (needed, found) = (committee.quorum(), self.signers.len());
            return Err(CertificateError::Quorum { needed, found });
        }
        let message = finalize_message(namespace, self.epoch, self.view, self.parent_view, &self.block);
        for (signer, signature) in self.signers.iter().zip(&self.signatures) {
            let key = committee.members.get(usize::from(*signer)).ok_or(CertificateError::Signers)?;
            key.verify_plain(&message, signature).map_err(|_| CertificateError::Signature)?;
        }
        Ok(())
    }
}

/// The engine's namespace for finalize votes.
#[must_use]
pub fn finalize_namespace(namespace: &[u8]) -> Vec<u8> {
    [namespace, FINALIZE_SUFFIX].concat()
}

/// The bytes that a finalize vote signs.
#[must_use]
pub fn finalize_message(
    namespace: &[u8],
    epoch: u64,
    view: u64,
    parent_view: u64,
    block: &Digest,
) -> Vec<u8> {
    let namespace = finalize_namespace(namespace);
    let mut message = Vec::with_capacity(namespace.len() + 72);
    push_varint(&mut message, namespace.len() as u64);
    message.extend_from_slice(&namespace);
    push_varint(&mut message, epoch);
    push_varint(&mut message, view);
    push_varint(&mut message, parent_view);
    message.extend_from_slice(block.as_bytes());
    message
}

/// LEB128, as the engine writes unsigned integers.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
