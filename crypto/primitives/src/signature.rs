//! Signatures: Ed25519 under the ZIP-215 rules.
//!
//! ```text
//! signed bytes = length of the domain as u8 | domain | message
//! ```
//!
//! ZIP-215 says for every pair of key and signature, however malformed, whether it is valid, and
//! single and batch verification agree. Validators that chose differently between the two could
//! otherwise disagree about a block. The price: encodings that are not canonical and keys of small
//! order are accepted too. A signature is therefore never an identifier, and a key that enters the
//! ledger is held against [`VerifyingKey::refuse_weak`] first.
//!
//! INVARIANT: a signature made under one domain never verifies under another one. The votes of the
//! ordering engine begin with the length and the text of a namespace of its own, so they are
//! separated from everything else as long as no domain equals such a namespace.

use std::convert::Infallible;
use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroize;

use crate::secret::Secret32;

/// The length of a verifying key, in bytes.
pub const VERIFYING_KEY_LENGTH: usize = 32;

/// The length of a signature, in bytes.
pub const SIGNATURE_LENGTH: usize = 64;

/// The longest domain string, in bytes.
pub const DOMAIN_LENGTH_MAX: usize = u8::MAX as usize;

/// Why a signature or a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is not the encoding of a point.
    #[error("the verifying key is malformed")]
    MalformedKey,
    /// The key is of small order or not encoded canonically: anybody can sign for it, or it has a
    /// second spelling.
    #[error("the verifying key is weak")]
    WeakKey,
    /// The signature is not one of this key over this message.
    #[error("the signature is not valid")]
    Invalid,
    /// At least one signature of a batch is not valid.
    #[error("a signature of the batch is not valid")]
    InvalidBatch,
    /// The text is not a key or signature in hexadecimal digits.
    #[error("a {length}-byte value in hexadecimal digits is expected")]
    MalformedText {
        /// The expected length, in bytes.
        length: usize,
    },
}

/// A secret key that signs. It is wiped when dropped.
pub struct SigningKey {
    // On the heap, so that moving the key leaves no copy on the stack.
    inner: Box<ed25519_zebra::SigningKey>,
}

/// The public key that signatures are held against.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct VerifyingKey(pub [u8; VERIFYING_KEY_LENGTH]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; SIGNATURE_LENGTH]);

/// One signature of a batch.
#[derive(Clone, Copy)]
pub struct BatchItem<'a> {
    /// Who signed.
    pub key: VerifyingKey,
    /// The domain of the signature.
    pub domain: &'static str,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature itself.
    pub signature: Signature,
}

impl SigningKey {
    /// A new random key.
    ///
    /// # Panics
    ///
    /// As [`random::fill`](crate::random::fill).
    #[must_use]
    pub fn generate() -> Self {
        SigningKey::from_secret(&Secret32::random())
    }

    /// The key that belongs to a seed (the "private key" of RFC 8032).
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey {
            inner: Box::new(ed25519_zebra::SigningKey::from_bytes(&seed)),
        };
        seed.zeroize();
        key
    }

    /// As [`SigningKey::from_seed`], from a seed that is held as a secret.
    #[must_use]
    pub fn from_secret(seed: &Secret32) -> Self {
        SigningKey {
            inner: Box::new(ed25519_zebra::SigningKey::from_bytes(seed.expose())),
        }
    }

    /// The seed of this key.
    #[must_use]
    pub fn seed(&self) -> Secret32 {
        Secret32::new(*self.inner.as_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.inner.verification_key().into())
    }

    /// Signs `message` under `domain`.
    ///
    /// # Panics
    ///
    /// When the domain is empty or longer than [`DOMAIN_LENGTH_MAX`]; both are mistakes in the
    /// program text.
    #[must_use]
    pub fn sign(&self, domain: &'static str, message: &[u8]) -> Signature {
        Signature(self.inner.sign(&signed_bytes(domain, message)).to_bytes())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.inner.zeroize();
    }
}

impl VerifyingKey {
    /// The key with exactly these bytes; whether they are a key shows when it is used.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; VERIFYING_KEY_LENGTH]) -> Self {
        VerifyingKey(bytes)
    }

    /// The bytes of this key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; VERIFYING_KEY_LENGTH] {
        &self.0
    }

    /// Reads the 64 hexadecimal digits that `Display` writes.
    ///
    /// # Errors
    ///
    /// [`SignatureError::MalformedText`] when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, SignatureError> {
        from_hex(text).map(VerifyingKey)
    }

    /// Checks that `signature` is one of this key over `message` under `domain`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::MalformedKey`] or [`SignatureError::Invalid`].
    ///
    /// # Panics
    ///
    /// When the domain is empty or longer than [`DOMAIN_LENGTH_MAX`].
    pub fn verify(
        &self,
        domain: &'static str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_plain(&signed_bytes(domain, message), signature)
    }

    /// Checks a signature that was made without a domain. Only for the votes of the ordering
    /// engine, which separates its domains by itself, and for published test vectors.
    ///
    /// # Errors
    ///
    /// [`SignatureError::MalformedKey`] or [`SignatureError::Invalid`].
    pub fn verify_plain(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        VerificationKey::try_from(self.0)
            .map_err(|_| SignatureError::MalformedKey)?
            .verify(&ed25519_zebra::Signature::from_bytes(&signature.0), message)
            .map_err(|_| SignatureError::Invalid)
    }

    /// Refuses a key that nobody may register: one that is not a point, one of small order (a
    /// signature that fits every message exists for it) and one with a second spelling.
    ///
    /// # Errors
    ///
    /// [`SignatureError::MalformedKey`] or [`SignatureError::WeakKey`].
    pub fn refuse_weak(&self) -> Result<(), SignatureError> {
        let key = VerificationKey::try_from(self.0).map_err(|_| SignatureError::MalformedKey)?;
        // With R the identity and s = 0 the ZIP-215 equation reads [8][k]A = 0, which holds for
        // every message exactly when A is of small order. That covers the two points with x = 0,
        // which have a second spelling by their sign bit.
        let mut forged = [0; SIGNATURE_LENGTH];
        if let Some(first) = forged.first_mut() {
            *first = 1;
        }
        let small_order = key
            .verify(&ed25519_zebra::Signature::from_bytes(&forged), b"weak key")
            .is_ok();
        if small_order || !is_canonical_coordinate(&self.0) {
            return Err(SignatureError::WeakKey);
        }
        Ok(())
    }
}

impl Signature {
    /// The signature with exactly these bytes; whether they are valid shows when it is verified.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIGNATURE_LENGTH]) -> Self {
        Signature(bytes)
    }

    /// The bytes of this signature.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_LENGTH] {
        &self.0
    }

    /// Reads the 128 hexadecimal digits that `Display` writes.
    ///
    /// # Errors
    ///
    /// [`SignatureError::MalformedText`] when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, SignatureError> {
        from_hex(text).map(Signature)
    }
}

/// Checks many signatures at once, which is several times faster than one by one.
///
/// The answer is the one that [`VerifyingKey::verify`] gives for each of them; an empty batch is
/// valid. Which one is wrong shows only when they are verified singly.
///
/// # Errors
///
/// [`SignatureError::InvalidBatch`] when at least one key or signature is not valid.
///
/// # Panics
///
/// When a domain is empty or longer than [`DOMAIN_LENGTH_MAX`], or as
/// [`random::fill`](crate::random::fill).
pub fn verify_batch(items: &[BatchItem<'_>]) -> Result<(), SignatureError> {
    let mut verifier = batch::Verifier::new();
    for item in items {
        let bytes = signed_bytes(item.domain, item.message);
        verifier.queue((
            VerificationKeyBytes::from(item.key.0),
            ed25519_zebra::Signature::from_bytes(&item.signature.0),
            bytes.as_slice(),
        ));
    }
    verifier
        .verify(BatchCoefficients::new())
        .map_err(|_| SignatureError::InvalidBatch)
}

/// The random coefficients of a batch: one draw from the operating system, stretched by BLAKE3, so
/// that a batch costs one system call. The verdict does not depend on them, beyond a chance of one
/// in 2^128 for a forger.
struct BatchCoefficients {
    stream: blake3::OutputReader,
}

impl BatchCoefficients {
    fn new() -> Self {
        let seed = Secret32::random();
        let mut hasher = blake3::Hasher::new_derive_key("sealbook/signature/batch coefficients/1");
        hasher.update(seed.expose());
        BatchCoefficients {
            stream: hasher.finalize_xof(),
        }
    }
}

impl TryRng for BatchCoefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.stream.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.stream.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.stream.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for BatchCoefficients {}

fn signed_bytes(domain: &'static str, message: &[u8]) -> Vec<u8> {
    assert!(!domain.is_empty(), "a signature needs a domain");
    assert!(
        domain.len() <= DOMAIN_LENGTH_MAX,
        "the domain `{domain}` is too long"
    );
    let mut bytes = Vec::with_capacity(1 + domain.len() + message.len());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length was checked just above"
    )]
    bytes.push(domain.len() as u8);
    bytes.extend_from_slice(domain.as_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// Whether the y coordinate, which is the encoding without its highest bit, is below
/// p = 2^255 - 19.
fn is_canonical_coordinate(encoding: &[u8; VERIFYING_KEY_LENGTH]) -> bool {
    let [lowest, middle @ .., highest] = encoding;
    let reaches_the_top = highest & 0x7f == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    !(reaches_the_top && *lowest >= 0xed)
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], SignatureError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| SignatureError::MalformedText { length: N })?;
    Ok(bytes)
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(formatter, &self.0)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(formatter, &self.0)
    }
}

fn write_short(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let start = bytes.get(..4).unwrap_or(bytes);
    write!(formatter, "{}..", hex::encode(start))
}
