//! Opening: decryption with secret keys.
//!
//! Linked by the execution module, the client's SDK and the auditor's tool, and by nothing else.
//! The formats are those of `sealbook-sealing`. Whatever comes out is held in types that wipe
//! themselves.
//!
//! INVARIANT: nothing opens unless every bit of it, of its header and of its context is the one
//! that was sealed. What the header says is then true, but whether it is wanted (this network, this
//! key epoch, not expired) is for the caller to ask.
//!
//! This crate keeps nothing, so there is no state that a crash could damage.

#![forbid(unsafe_code)]

mod suite_one;

use hpke::{Deserializable, Kem, OpModeR, Serializable, single_shot_open};
use sealbook_primitives::aead::{self, NONCE_LENGTH};
use sealbook_primitives::padding::unpad;
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_sealing::format::{
    ENVELOPE_FLOOR, REPLY_FLOOR, REPLY_VERSION, SuiteAead, SuiteKdf, SuiteOneKem, SuiteTwoKem,
    WRAP_VERSION, reply_key, wrap_associated, wrap_info,
};
use sealbook_sealing::session::{SESSION_ENVELOPE_VERSION, SessionKey};
use sealbook_sealing::suite_one::SESSION_NONCE;
use sealbook_sealing::{
    ENVELOPE_VERSION, Envelope, EnvelopeError, OpeningPublicKey, Purpose, Suite, binding,
};

use crate::suite_one::FastKey;

/// Why something did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// What should be opened is not well-formed; this shows without a key.
    #[error("the envelope is malformed: {0}")]
    MalformedEnvelope(#[from] EnvelopeError),
    /// A wrapped key or a reply is truncated, or of an unknown version or suite.
    #[error("the sealed text is malformed")]
    Malformed,
    /// It is of a session, and was to be opened without one, or the other way round.
    #[error("it was sealed within a session, or without one")]
    SessionMismatch,
    /// It was made with another suite than this key's.
    #[error("it was sealed for another suite")]
    SuiteMismatch,
    /// The key, the purpose, the context or a bit of the sealed text is not the right one.
    #[error("it does not open under this key")]
    DoesNotOpen,
    /// It opened, and its author did not pad it as prescribed.
    #[error("the content is not padded as prescribed")]
    WrongPadding,
}

/// A secret key that opens what was sealed to its public half. It is wiped when dropped.
pub struct OpeningKey {
    secret: PrivateKey,
    public: OpeningPublicKey,
}

/// The private key of a suite. The library that opens with it wipes it when it is dropped.
enum PrivateKey {
    SuiteOne(Box<FastKey>),
    SuiteTwo(Box<<SuiteTwoKem as Kem>::PrivateKey>),
}

impl OpeningKey {
    /// The key of `suite` that belongs to `secret`: HPKE's `DeriveKeyPair`, which RFC 9180 gives in
    /// section 7.1.3 for suite 1, and draft-ietf-hpke-pq in section 4 for suite 2. Keys of both
    /// suites may come from one secret: neither tells anything of the other.
    #[must_use]
    pub fn of(suite: Suite, secret: &Secret32) -> Self {
        let (secret, public) = match suite {
            Suite::X25519ChaCha20Poly1305 => {
                let (secret, public) = derive::<SuiteOneKem>(secret);
                let bytes = SecretBytes::copy_of(&secret.to_bytes());
                let fast = fast_key(bytes.expose(), &public);
                (PrivateKey::SuiteOne(Box::new(fast)), public)
            }
            Suite::XWingChaCha20Poly1305 => {
                let (secret, public) = derive::<SuiteTwoKem>(secret);
                (PrivateKey::SuiteTwo(secret), public)
            }
        };
        OpeningKey {
            secret,
            public: public_key(suite, public),
        }
    }

    /// The key of suite 1 that belongs to `secret`: [`OpeningKey::of`].
    #[must_use]
    pub fn from_secret(secret: &Secret32) -> Self {
        OpeningKey::of(Suite::X25519ChaCha20Poly1305, secret)
    }

    /// A new random key of `suite`.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers to give.
    #[must_use]
    pub fn generate(suite: Suite) -> Self {
        OpeningKey::of(suite, &Secret32::random())
    }

    /// The suite of this key.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.public.suite()
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> OpeningPublicKey {
        self.public.clone()
    }

    /// Opens an envelope that was sealed for `purpose`, and takes off the padding.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; every one of them means that the envelope is to be ignored.
    pub fn open(&self, envelope: &Envelope, purpose: Purpose) -> Result<SecretBytes, OpenError> {
        envelope.check()?;
        if envelope.header.version != ENVELOPE_VERSION {
            return Err(OpenError::SessionMismatch);
        }
        if envelope.header.suite != self.suite() {
            return Err(OpenError::SuiteMismatch);
        }
        let padded = self.decrypt(
            &envelope.encapsulated,
            purpose.info(),
            &binding(&envelope.header, purpose),
            &envelope.ciphertext,
        )?;
        without_padding(&padded, ENVELOPE_FLOOR)
    }

    fn decrypt(
        &self,
        encapsulated: &[u8],
        info: &[u8],
        associated: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        match &self.secret {
            PrivateKey::SuiteOne(secret) => secret.open(encapsulated, info, associated, ciphertext),
            PrivateKey::SuiteTwo(secret) => {
                decrypt::<SuiteTwoKem>(secret, encapsulated, info, associated, ciphertext)
            }
        }
    }
}

/// Opens the transaction that was sealed as the message with this counter of a session, and takes off the padding.
///
/// # Errors
///
/// [`OpenError`]; every one of them means that the envelope is to be ignored.
pub fn open_in_session(
    key: &SessionKey,
    counter: u64,
    envelope: &Envelope,
) -> Result<SecretBytes, OpenError> {
    envelope.check()?;
    if envelope.header.version != SESSION_ENVELOPE_VERSION {
        return Err(OpenError::SessionMismatch);
    }
    if envelope.encapsulated != key.tag(counter) {
        return Err(OpenError::DoesNotOpen);
    }
    let padded = aead::open(
        key.message_key(counter).expose(),
        &SESSION_NONCE,
        &binding(&envelope.header, Purpose::Transaction),
        &envelope.ciphertext,
    )
    .map_err(|_| OpenError::DoesNotOpen)?;
    without_padding(&padded, ENVELOPE_FLOOR)
}

#[expect(
    clippy::expect_used,
    reason = "any 32 bytes are a private key of X25519"
)]
fn fast_key(secret: &[u8], public: &[u8]) -> FastKey {
    FastKey::new(secret, public).expect("a private key has 32 bytes")
}

fn derive<K: Kem>(secret: &Secret32) -> (Box<K::PrivateKey>, Vec<u8>) {
    let (secret, public) = K::derive_keypair(secret.expose());
    (Box::new(secret), public.to_bytes().to_vec())
}

#[expect(
    clippy::expect_used,
    reason = "a key of this suite has the length of this suite"
)]
fn public_key(suite: Suite, bytes: Vec<u8>) -> OpeningPublicKey {
    OpeningPublicKey::new(suite, bytes).expect("a public key has the length of its suite")
}

fn decrypt<K: Kem>(
    secret: &K::PrivateKey,
    encapsulated: &[u8],
    info: &[u8],
    associated: &[u8],
    ciphertext: &[u8],
) -> Result<SecretBytes, OpenError> {
    let encapsulated =
        K::EncappedKey::from_bytes(encapsulated).map_err(|_| OpenError::DoesNotOpen)?;
    single_shot_open::<SuiteAead, SuiteKdf, K>(
        &OpModeR::Base,
        secret,
        &encapsulated,
        info,
        ciphertext,
        associated,
    )
    .map(SecretBytes::new)
    .map_err(|_| OpenError::DoesNotOpen)
}

/// Opens what `sealbook_sealing::wrap` has made under the same label and context.
///
/// # Errors
///
/// [`OpenError::Malformed`], [`OpenError::SuiteMismatch`] or [`OpenError::DoesNotOpen`].
pub fn unwrap(
    key: &OpeningKey,
    label: &'static str,
    context: &[u8],
    wrapped: &[u8],
) -> Result<SecretBytes, OpenError> {
    let ([version, number], rest) = wrapped
        .split_first_chunk::<2>()
        .ok_or(OpenError::Malformed)?;
    let suite = Suite::from_number(*number).ok_or(OpenError::Malformed)?;
    if *version != WRAP_VERSION {
        return Err(OpenError::Malformed);
    }
    if suite != key.suite() {
        return Err(OpenError::SuiteMismatch);
    }
    let (encapsulated, ciphertext) = rest
        .split_at_checked(suite.encapsulated_length())
        .ok_or(OpenError::Malformed)?;
    key.decrypt(
        encapsulated,
        &wrap_info(label),
        &wrap_associated(suite, context),
        ciphertext,
    )
}

/// Opens what `sealbook_sealing::seal_reply` has made with the same key and context.
///
/// # Errors
///
/// [`OpenError::Malformed`], [`OpenError::DoesNotOpen`] or [`OpenError::WrongPadding`].
pub fn open_reply(key: &Secret32, context: &[u8], reply: &[u8]) -> Result<SecretBytes, OpenError> {
    let ([version], rest) = reply.split_first_chunk::<1>().ok_or(OpenError::Malformed)?;
    if *version != REPLY_VERSION {
        return Err(OpenError::Malformed);
    }
    let (nonce, ciphertext) = rest
        .split_first_chunk::<NONCE_LENGTH>()
        .ok_or(OpenError::Malformed)?;
    let padded = aead::open(
        reply_key(key, context).expose(),
        nonce,
        &[REPLY_VERSION],
        ciphertext,
    )
    .map_err(|_| OpenError::DoesNotOpen)?;
    without_padding(&padded, REPLY_FLOOR)
}

fn without_padding(padded: &SecretBytes, floor: usize) -> Result<SecretBytes, OpenError> {
    unpad(padded.expose(), floor)
        .map(SecretBytes::copy_of)
        .map_err(|_| OpenError::WrongPadding)
}
