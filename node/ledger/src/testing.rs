//! Keys and certificates for this crate's tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_zebra::{SigningKey, VerificationKey};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{Signature, VerifyingKey};

use crate::{Committee, FinalityCertificate, finalize_message};

/// The digest that a test commits an encoding to.
pub fn pin(bytes: &[u8]) -> String {
    hash("sealbook test pinned encoding", &[bytes]).to_string()
}

/// `count` fixed vote keys, sorted by their public halves.
pub fn vote_keys(count: usize) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = (0..count)
        .map(|index| hash("sealbook test vote key", &[&(index as u64).to_le_bytes()]).0)
        .map(SigningKey::from)
        .collect();
    keys.sort_unstable_by_key(|key| <[u8; 32]>::from(VerificationKey::from(key)));
    keys
}

/// The committee of these keys, in epoch 0.
pub fn committee_of(keys: &[SigningKey]) -> Committee {
    let members = keys
        .iter()
        .map(|key| VerifyingKey(VerificationKey::from(key).into()))
        .collect();
    Committee::new(0, members).unwrap()
}

/// The votes of the first `votes` of the sorted `keys`; `place` is epoch, view and parent's view.
pub fn certify(
    keys: &[SigningKey],
    namespace: &[u8],
    place: (u64, u64, u64),
    block: Digest,
    votes: usize,
) -> FinalityCertificate {
    let message = finalize_message(namespace, place.0, place.1, place.2, &block);
    let signatures = keys[..votes]
        .iter()
        .map(|key| Signature(key.sign(&message).to_bytes()));
    let signers = (0..votes).map(|index| index as u16).collect();
    FinalityCertificate::new(place, block, signers, signatures.collect())
}
