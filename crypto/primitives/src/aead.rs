//! Authenticated encryption: ChaCha20-Poly1305 (RFC 8439).
//!
//! The sealed text is the ciphertext followed by a tag of 16 bytes.
//!
//! INVARIANT: a caller never seals two different texts under the same key and nonce.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};

use crate::secret::{Secret32, SecretBytes};

/// The length of a nonce, in bytes.
pub const NONCE_LENGTH: usize = 12;

/// By how many bytes a sealed text is longer than the text inside.
pub const TAG_LENGTH: usize = 16;

/// Why a text could not be sealed or opened. It says no more, so that it tells an attacker nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AeadError {
    /// The text is longer than ChaCha20-Poly1305 allows (256 GiB).
    #[error("the text is too long to be sealed")]
    TooLong,
    /// The key, the nonce, the associated data or the sealed text is not the right one.
    #[error("the sealed text does not open under this key")]
    DoesNotOpen,
}

/// Seals `text` under `key` and `nonce`, and binds `associated` to it.
///
/// # Errors
///
/// [`AeadError::TooLong`] when the text exceeds the cipher's limit.
pub fn seal(
    key: &Secret32,
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, AeadError> {
    ChaCha20Poly1305::new(<&Key>::from(key.expose()))
        .encrypt(
            <&Nonce>::from(nonce),
            Payload {
                msg: text,
                aad: associated,
            },
        )
        .map_err(|_| AeadError::TooLong)
}

/// Opens what [`seal`] has made with the same key, nonce and associated data.
///
/// # Errors
///
/// [`AeadError::DoesNotOpen`] when anything differs.
pub fn open(
    key: &Secret32,
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, AeadError> {
    ChaCha20Poly1305::new(<&Key>::from(key.expose()))
        .decrypt(
            <&Nonce>::from(nonce),
            Payload {
                msg: sealed,
                aad: associated,
            },
        )
        .map(SecretBytes::new)
        .map_err(|_| AeadError::DoesNotOpen)
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
    fn round_trip_and_every_flipped_bit() {
        let key = Secret32::new([1; 32]);
        let nonce = [2; 12];
        let sealed = seal(&key, &nonce, b"associated", b"text").unwrap();
        assert_eq!(sealed.len(), 4 + TAG_LENGTH);
        assert_eq!(
            open(&key, &nonce, b"associated", &sealed).unwrap().expose(),
            b"text"
        );
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &nonce, b"associated", &flipped).is_err());
        }
        assert!(open(&key, &nonce, b"associatee", &sealed).is_err());
        assert!(open(&key, &[3; 12], b"associated", &sealed).is_err());
        assert!(open(&Secret32::new([2; 32]), &nonce, b"associated", &sealed).is_err());
        assert!(open(&key, &nonce, b"associated", &sealed[..TAG_LENGTH - 1]).is_err());
    }
}
