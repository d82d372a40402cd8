//! Suites and public keys.

use std::io::{Error, ErrorKind, Read, Result as IoResult};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::SealError;

/// A set of algorithms that belong together. Its number is written wherever something is sealed.
///
/// How to add one: a variant here with its lengths, its key encapsulation in [`mod@crate::format`],
/// an arm in `Sender::begin` and one in the opening half, published vectors and a pinned envelope.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305 of RFC 9180.
    X25519ChaCha20Poly1305 = 1,
    /// X-Wing (X25519 and ML-KEM-768), HKDF-SHA256 and ChaCha20-Poly1305: secret as long as either
    /// of the two key agreements holds, also from those who store it until there are quantum
    /// computers.
    XWingChaCha20Poly1305 = 2,
}

impl Suite {
    /// Every suite, in the order of their numbers.
    pub const ALL: [Suite; 2] = [Suite::X25519ChaCha20Poly1305, Suite::XWingChaCha20Poly1305];

    /// The number of this suite.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The suite with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Suite::X25519ChaCha20Poly1305),
            2 => Some(Suite::XWingChaCha20Poly1305),
            _ => None,
        }
    }

    /// The length of a public key, in bytes. X-Wing's is the key of ML-KEM-768 and that of X25519.
    #[must_use]
    pub const fn public_key_length(self) -> usize {
        match self {
            Suite::X25519ChaCha20Poly1305 => 32,
            Suite::XWingChaCha20Poly1305 => 1184 + 32,
        }
    }

    /// The length of an encapsulated key, in bytes. X-Wing's is the ciphertext of ML-KEM-768 and an
    /// X25519 point.
    #[must_use]
    pub const fn encapsulated_length(self) -> usize {
        match self {
            Suite::X25519ChaCha20Poly1305 => 32,
            Suite::XWingChaCha20Poly1305 => 1088 + 32,
        }
    }

    /// By how many bytes a ciphertext is longer than the text inside.
    #[must_use]
    pub const fn tag_length(self) -> usize {
        match self {
            Suite::X25519ChaCha20Poly1305 | Suite::XWingChaCha20Poly1305 => 16,
        }
    }
}

/// The public half of an opening key: what others seal to.
///
/// INVARIANT: the bytes have the length that the suite prescribes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct OpeningPublicKey {
    suite: Suite,
    bytes: Vec<u8>,
}

impl OpeningPublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::UnusablePublicKey`] when the length is not the suite's. Whether anything can be
    /// sealed to the key shows when it is tried.
    pub fn new(suite: Suite, bytes: Vec<u8>) -> Result<Self, SealError> {
        if bytes.len() != suite.public_key_length() {
            return Err(SealError::UnusablePublicKey);
        }
        Ok(OpeningPublicKey { suite, bytes })
    }

    /// The suite of this key.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The bytes of this key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl BorshDeserialize for OpeningPublicKey {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let suite = Suite::deserialize_reader(reader)?;
        let bytes = Vec::<u8>::deserialize_reader(reader)?;
        OpeningPublicKey::new(suite, bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))
    }
}
