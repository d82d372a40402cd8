//! Authenticated encryption: ChaCha20-Poly1305 (RFC 8439), by AWS-LC. The crate `chacha20poly1305` stays the reference: tests
//! hold the two against each other.
//!
//! The sealed text is the ciphertext followed by a tag of 16 bytes.
//!
//! INVARIANT: a caller never seals two different texts under the same key and nonce.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use crate::secret::{SECRET_LENGTH, SecretBytes};

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

/// AWS-LC wipes its copy of the key when this is dropped.
fn cipher(key: &[u8; SECRET_LENGTH]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new)
}

/// Seals `text` under `key` and `nonce`, and binds `associated` to it.
///
/// # Errors
///
/// [`AeadError::TooLong`] when the text exceeds the cipher's limit.
pub fn seal(
    key: &[u8; SECRET_LENGTH],
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, AeadError> {
    // With the room for the tag, so that no unsealed copy is left behind by growing.
    let mut sealed = Vec::with_capacity(text.len().saturating_add(TAG_LENGTH));
    sealed.extend_from_slice(text);
    let nonce = Nonce::assume_unique_for_key(*nonce);
    cipher(key)
        .and_then(|key| key.seal_in_place_append_tag(nonce, Aad::from(associated), &mut sealed))
        .map_err(|_| AeadError::TooLong)?;
    Ok(sealed)
}

/// Opens what [`seal`] has made with the same key, nonce and associated data.
///
/// # Errors
///
/// [`AeadError::DoesNotOpen`] when anything differs.
pub fn open(
    key: &[u8; SECRET_LENGTH],
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, AeadError> {
    let mut text = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher(key)
        .and_then(|key| {
            let text = key.open_in_place(nonce, Aad::from(associated), &mut text)?;
            Ok(text.len())
        })
        .map_err(|_| AeadError::DoesNotOpen)?;
    text.truncate(length);
    Ok(SecretBytes::new(std::mem::take(&mut *text)))
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
        let key = [1; 32];
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
        assert!(open(&[2; 32], &nonce, b"associated", &sealed).is_err());
        assert!(open(&key, &nonce, b"associated", &sealed[..TAG_LENGTH - 1]).is_err());
    }

    #[test]
    fn it_is_what_the_reference_makes_and_opens() {
        use chacha20poly1305::aead::{Aead, KeyInit, Payload};
        use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
        let bytes: Vec<u8> = (0..70_000_u32).map(|byte| (byte * 7 % 251) as u8).collect();
        for length in (0..300).chain([1_023, 4_096, 65_537, 70_000]) {
            let (key, nonce) = ([length as u8; 32], [(length >> 3) as u8; 12]);
            let (msg, aad) = (&bytes[..length], &bytes[..length % 67]);
            let reference = ChaCha20Poly1305::new(<&Key>::from(&key));
            let reference_nonce = <&Nonce>::from(&nonce);
            let sealed = seal(&key, &nonce, aad, msg).unwrap();
            let expected = reference.encrypt(reference_nonce, Payload { msg, aad });
            assert_eq!(sealed, expected.unwrap());
            assert_eq!(open(&key, &nonce, aad, &sealed).unwrap().expose(), msg);
        }
    }
}
