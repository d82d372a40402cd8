//! Secrets: types that wipe themselves, and the derivation of one secret from another.
//!
//! ```text
//! derive(root, label, context) = HKDF-SHA256(salt = "sealbook/derive/1", ikm = root,
//!                                info = length(label) as u64 LE || label || context)
//! ```
//!
//! INVARIANT: a secret has no `Debug`, `Clone` or `PartialEq`. Whoever reads one writes `expose`,
//! whoever copies one writes `duplicate`, and both are easy to search for. The bytes lie on the
//! heap, so that moving a secret leaves no copy of it on the stack.

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::random;

/// The length of a [`Secret32`], in bytes.
pub const SECRET_LENGTH: usize = 32;

const DERIVE_SALT: &[u8] = b"sealbook/derive/1";

/// Thirty-two secret bytes, wiped when dropped.
pub struct Secret32 {
    bytes: Box<Zeroizing<[u8; SECRET_LENGTH]>>,
}

impl Secret32 {
    /// Takes over `bytes`. The caller's own copy, if there is one, is the caller's to wipe.
    #[must_use]
    pub fn new(mut bytes: [u8; SECRET_LENGTH]) -> Self {
        let mut secret = Secret32::zero();
        secret.bytes.copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    /// A secret of the operating system's random bytes.
    ///
    /// # Panics
    ///
    /// As [`random::fill`].
    #[must_use]
    pub fn random() -> Self {
        let mut secret = Secret32::zero();
        random::fill(secret.bytes.as_mut_slice());
        secret
    }

    /// The bytes themselves. Whatever is copied from here is the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_LENGTH] {
        &self.bytes
    }

    /// A second copy of this secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut secret = Secret32::zero();
        secret.bytes.copy_from_slice(self.bytes.as_slice());
        secret
    }

    /// Whether both secrets are equal, in a time that does not depend on their contents.
    #[must_use]
    pub fn constant_time_eq(&self, other: &Secret32) -> bool {
        self.bytes.as_slice().ct_eq(other.bytes.as_slice()).into()
    }

    fn zero() -> Self {
        Secret32 {
            bytes: Box::new(Zeroizing::new([0; SECRET_LENGTH])),
        }
    }
}

/// Any number of secret bytes, wiped when dropped.
///
/// The length cannot change: a growing vector would leave its earlier, unwiped copy behind.
pub struct SecretBytes {
    bytes: Zeroizing<Vec<u8>>,
}

impl SecretBytes {
    /// Takes over `bytes` without copying them.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretBytes {
            bytes: Zeroizing::new(bytes),
        }
    }

    /// A secret copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        SecretBytes::new(bytes.to_vec())
    }

    /// The bytes themselves. Whatever is copied from here is the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The secret that belongs to `label` and `context` under `root`.
///
/// Distinct labels or contexts give independent secrets, and none of them reveals the root or
/// another one (RFC 5869).
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA256 refuses only outputs above 255 * 32 bytes, and this one has 32"
)]
pub fn derive(root: &Secret32, label: &'static str, context: &[u8]) -> Secret32 {
    let length = (label.len() as u64).to_le_bytes();
    let mut derived = Secret32::zero();
    Hkdf::<Sha256>::new(Some(DERIVE_SALT), root.expose())
        .expand_multi_info(
            &[&length, label.as_bytes(), context],
            derived.bytes.as_mut_slice(),
        )
        .expect("32 bytes are within the limit of HKDF-SHA256");
    derived
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn label_context_and_root_separate_secrets() {
        let root = Secret32::new([1; 32]);
        let first = derive(&root, "ab", b"c");
        assert!(first.constant_time_eq(&derive(&root, "ab", b"c")));
        assert!(!first.constant_time_eq(&derive(&root, "a", b"bc")));
        assert!(!first.constant_time_eq(&derive(&root, "ab", b"d")));
        assert!(!first.constant_time_eq(&derive(&Secret32::new([2; 32]), "ab", b"c")));
        assert!(!first.constant_time_eq(&root));
    }

    #[test]
    fn derivation_is_pinned() {
        let derived = derive(&Secret32::new([7; 32]), "pinned", b"context");
        assert_eq!(
            hex::encode(derived.expose()),
            "e085da4e64629d89c1ea502b7a1bbc7df6f3d617540d9a2678144b905e489727"
        );
    }

    #[test]
    fn random_secrets_differ_and_copies_do_not() {
        let secret = Secret32::random();
        assert!(secret.constant_time_eq(&secret.duplicate()));
        assert!(!secret.constant_time_eq(&Secret32::random()));
    }

    #[test]
    fn secret_bytes_hold_what_they_were_given() {
        let secret = SecretBytes::copy_of(b"held");
        assert_eq!(secret.expose(), b"held");
        assert_eq!(secret.len(), 4);
        assert!(!secret.is_empty());
        assert!(SecretBytes::new(Vec::new()).is_empty());
    }
}
