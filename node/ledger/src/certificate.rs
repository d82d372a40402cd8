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
    #[error("committee is empty, too large, has a member twice or one with a weak key")]
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
    /// [`CertificateError::Committee`] if it is empty, has more than 256 members, one member twice, or a key for
    /// which anybody could make votes.
    pub fn new(epoch: u64, mut members: Vec<VerifyingKey>) -> Result<Self, CertificateError> {
        members.sort_unstable();
        let distinct = members
            .windows(2)
            .all(|pair| matches!(pair, [left, right] if left < right));
        let weak = || members.iter().any(|key| key.refuse_weak().is_err());
        if members.is_empty() || members.len() > MAX_COMMITTEE || !distinct || weak() {
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
        Self {
            version,
            epoch,
            view,
            parent_view,
            block,
            signers,
            signatures,
        }
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
            return Err(CertificateError::Epoch {
                expected: committee.epoch,
                found: self.epoch,
            });
        }
        let ascending = self
            .signers
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a < b));
        if !ascending || self.signers.len() != self.signatures.len() {
            return Err(CertificateError::Signers);
        }
        if self.signers.len() < committee.quorum() {
            let (needed, found) = (committee.quorum(), self.signers.len());
            return Err(CertificateError::Quorum { needed, found });
        }
        let message = finalize_message(
            namespace,
            self.epoch,
            self.view,
            self.parent_view,
            &self.block,
        );
        for (signer, signature) in self.signers.iter().zip(&self.signatures) {
            let key = committee
                .members
                .get(usize::from(*signer))
                .ok_or(CertificateError::Signers)?;
            key.verify_plain(&message, signature)
                .map_err(|_| CertificateError::Signature)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::testing::{certify, committee_of, pin, vote_keys};

    const NAMESPACE: &[u8] = b"a network";
    const BLOCK: Digest = Digest([7; 32]);

    fn refused(
        size: usize,
        error: CertificateError,
        alter: impl Fn(&mut FinalityCertificate, &mut Committee),
    ) {
        let keys = vote_keys(size);
        let mut committee = committee_of(&keys);
        let mut certificate = certify(&keys, NAMESPACE, (0, 3, 2), BLOCK, committee.quorum());
        certificate.verify(&committee, NAMESPACE).unwrap();
        alter(&mut certificate, &mut committee);
        assert_eq!(certificate.verify(&committee, NAMESPACE), Err(error));
    }

    #[test]
    fn encodings_are_pinned() {
        let certificate = certify(&vote_keys(4), NAMESPACE, (0, 300, 299), BLOCK, 3);
        assert_eq!(
            pin(&certificate.encode()),
            "39fea2c6454d056d930baee048db0b36bf17cf2dc54fa5ab1a02881cf6b99563"
        );
        let message = finalize_message(NAMESPACE, 0, 300, 299, &BLOCK);
        // Lengths and numbers are LEB128: 300 is ac 02, 299 is ab 02.
        let head = [&[18][..], b"a network_FINALIZE", &[0, 0xac, 2, 0xab, 2]].concat();
        assert_eq!(message, [&head[..], &[7; 32]].concat());
        let long = finalize_message(&[b'x'; 200], u64::MAX, 127, 128, &BLOCK);
        assert_eq!(long[..2], [0xd1, 1]);
        assert_eq!(
            long[211..224],
            [255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 127, 128, 1]
        );
    }

    #[test]
    fn a_quorum_is_more_than_two_thirds() {
        for (size, quorum) in [
            (1, 1),
            (2, 2),
            (3, 3),
            (4, 3),
            (6, 5),
            (7, 5),
            (10, 7),
            (13, 9),
        ] {
            let keys = vote_keys(size);
            let committee = committee_of(&keys);
            assert_eq!(committee.quorum(), quorum);
            for votes in 0..=size {
                let certificate = certify(&keys, NAMESPACE, (0, 3, 2), BLOCK, votes);
                let expected = if votes < quorum {
                    Err(CertificateError::Quorum {
                        needed: quorum,
                        found: votes,
                    })
                } else {
                    Ok(())
                };
                assert_eq!(
                    certificate.verify(&committee, NAMESPACE),
                    expected,
                    "{votes} of {size}"
                );
            }
        }
    }

    #[test]
    fn committees_are_sorted_distinct_and_of_sound_keys() {
        let keys: Vec<VerifyingKey> = committee_of(&vote_keys(4)).members().to_vec();
        let reversed: Vec<_> = keys.iter().rev().copied().collect();
        assert_eq!(
            Committee::new(0, reversed).unwrap(),
            Committee::new(0, keys.clone()).unwrap()
        );
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        let refused =
            |members| assert_eq!(Committee::new(0, members), Err(CertificateError::Committee));
        refused(Vec::new());
        refused([keys.clone(), vec![keys[2]]].concat());
        // The identity point: a signature for every message exists.
        let mut weak = [0; 32];
        weak[0] = 1;
        refused([keys, vec![VerifyingKey(weak)]].concat());
        refused(
            committee_of(&vote_keys(256))
                .members()
                .iter()
                .copied()
                .chain([VerifyingKey([3; 32])])
                .collect(),
        );
    }

    #[test]
    fn signers_are_members_once_and_in_order() {
        for size in [4, 7, 10] {
            refused(size, CertificateError::Signers, |one, _| {
                one.signers.swap(0, 1)
            });
            refused(size, CertificateError::Signers, |one, _| {
                one.signers[1] = one.signers[0]
            });
            refused(size, CertificateError::Signers, |one, committee| {
                *one.signers.last_mut().unwrap() = committee.members().len() as u16;
            });
            refused(size, CertificateError::Signers, |one, _| {
                one.signatures.truncate(1)
            });
            refused(size, CertificateError::Signers, |one, _| {
                one.signatures.push(one.signatures[0])
            });
            // One vote counted twice to fill a quorum.
            refused(size, CertificateError::Signers, |one, _| {
                let last = one.signers.len() - 1;
                one.signers[last] = one.signers[last - 1];
                one.signatures[last] = one.signatures[last - 1];
            });
        }
    }

    #[test]
    fn votes_are_for_one_block_view_epoch_and_network() {
        refused(4, CertificateError::Signature, |one, _| one.view += 1);
        refused(4, CertificateError::Signature, |one, _| {
            one.parent_view += 1
        });
        refused(4, CertificateError::Signature, |one, _| one.block.0[0] ^= 1);
        refused(4, CertificateError::Signature, |one, _| {
            one.signatures.swap(0, 1)
        });
        refused(4, CertificateError::Version(2), |one, _| one.version = 2);
        refused(
            4,
            CertificateError::Epoch {
                expected: 0,
                found: 1,
            },
            |one, _| one.epoch = 1,
        );
        refused(
            4,
            CertificateError::Epoch {
                expected: 1,
                found: 0,
            },
            |_, committee| {
                *committee = Committee::new(1, committee.members().to_vec()).unwrap();
            },
        );
        refused(4, CertificateError::Signature, |_, committee| {
            let others = vote_keys(5);
            *committee = committee_of(&others[1..]);
        });
        for byte in 0..64 {
            refused(4, CertificateError::Signature, |one, _| {
                one.signatures[2].0[byte] ^= 1
            });
        }
        let keys = vote_keys(4);
        let certificate = certify(&keys, NAMESPACE, (0, 3, 2), BLOCK, 4);
        let verdict = certificate.verify(&committee_of(&keys), b"another network");
        assert_eq!(verdict, Err(CertificateError::Signature));
        // A namespace that ends where another's suffix begins is still another namespace.
        let verdict = certificate.verify(&committee_of(&keys), b"a network_FINALIZE");
        assert_eq!(verdict, Err(CertificateError::Signature));
    }

    #[test]
    fn what_is_encoded_is_read_again_and_nothing_else_is() {
        let certificate = certify(&vote_keys(7), NAMESPACE, (0, 3, 2), BLOCK, 5);
        let bytes = certificate.encode();
        assert_eq!(FinalityCertificate::decode(&bytes).unwrap(), certificate);
        for length in 0..bytes.len() {
            assert!(FinalityCertificate::decode(&bytes[..length]).is_err());
        }
        assert!(FinalityCertificate::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(FinalityCertificate::decode(&vec![0; MAX_CERTIFICATE_BYTES + 1]).is_err());
        let committee = committee_of(&vote_keys(7));
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let verdict = FinalityCertificate::decode(&altered)
                .and_then(|certificate| certificate.verify(&committee, NAMESPACE));
            assert!(verdict.is_err(), "byte {index}");
        }
    }
}
