//! The envelope: what a submitter hands to the network.
//!
//! ```text
//! version u8 | suite u8 | network (32) | key epoch u32 | expiry u64, milliseconds   the header
//! length u32 | encapsulated key, or the tag of a message of a session
//! length u32 | ciphertext of the padded content
//! ```
//!
//! Integers are little endian. From the outside an envelope shows its header and a padded size, and
//! nothing about who sent it: the signature is part of the content, and covers [`signed_binding`], so that
//! it cannot be moved into another envelope.
//!
//! INVARIANT: [`Envelope::decode`] accepts exactly the encodings that [`seal`] can produce, as far
//! as that shows from the outside: version, suite, length of the encapsulated key or tag, padded size.

use borsh::{BorshDeserialize, BorshSerialize};
use hpke::aead::AeadCtxS;
use hpke::{Deserializable, Kem, OpModeS, Serializable, setup_sender, setup_sender_with_rng};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealbook_primitives::encoding::{DecodeError, decode, encode};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::padding::{PREFIX_LENGTH, pad, padded_length};
use sealbook_primitives::secret::{Secret32, SecretBytes};

use crate::SealError;
use crate::format::{ENVELOPE_FLOOR, SuiteAead, SuiteKdf, SuiteOneKem, SuiteTwoKem};
use crate::session::{SESSION_ENVELOPE_VERSION, SessionKey, TAG_LENGTH};
use crate::suite::{OpeningPublicKey, Suite};
use crate::suite_one::FastSender;

/// The version of envelopes that have a key agreement of their own. Those within a session have
/// [`SESSION_ENVELOPE_VERSION`].
pub const ENVELOPE_VERSION: u8 = 1;

/// The length of an encoded header, in bytes.
pub const HEADER_LENGTH: usize = 46;

const LENGTH_PREFIX: usize = 4;

/// What an envelope is for. An envelope made for one purpose does not open for another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Purpose {
    /// Instructions, to be ordered and executed.
    Transaction = 1,
    /// Personal data, kept apart from the blocks so that it can be erased.
    Attachment = 2,
    /// A question that is answered without being ordered.
    Query = 3,
}

impl Purpose {
    /// The HPKE `info` of this purpose.
    #[must_use]
    pub const fn info(self) -> &'static [u8] {
        match self {
            Purpose::Transaction => b"sealbook/seal/1/transaction",
            Purpose::Attachment => b"sealbook/seal/1/attachment",
            Purpose::Query => b"sealbook/seal/1/query",
        }
    }
}

/// The public part of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct EnvelopeHeader {
    /// The version of the format: [`ENVELOPE_VERSION`] or [`SESSION_ENVELOPE_VERSION`].
    pub version: u8,
    /// The algorithms.
    pub suite: Suite,
    /// The network that the envelope is meant for.
    pub network: Digest,
    /// The key epoch whose opening key opens it.
    pub key_epoch: u32,
    /// When it stops being valid, in milliseconds since 1970 by the ledger's clock.
    pub expires_ms: u64,
}

impl EnvelopeHeader {
    /// A header of an envelope with a key agreement of its own.
    #[must_use]
    pub const fn new(suite: Suite, network: Digest, key_epoch: u32, expires_ms: u64) -> Self {
        EnvelopeHeader {
            version: ENVELOPE_VERSION,
            suite,
            network,
            key_epoch,
            expires_ms,
        }
    }

    /// Checks version, suite and the lengths of what follows.
    fn check(&self, encapsulated: usize, ciphertext: usize) -> Result<(), EnvelopeError> {
        let suite = self.suite;
        let expected = match self.version {
            ENVELOPE_VERSION => suite.encapsulated_length(),
            SESSION_ENVELOPE_VERSION => TAG_LENGTH,
            version => return Err(EnvelopeError::UnsupportedVersion { version }),
        };
        if encapsulated != expected {
            return Err(EnvelopeError::WrongEncapsulatedLength);
        }
        let padded = ciphertext
            .checked_sub(suite.tag_length())
            .ok_or(EnvelopeError::NotPadded)?;
        if padded_length(padded, ENVELOPE_FLOOR) != padded {
            return Err(EnvelopeError::NotPadded);
        }
        Ok(())
    }

    /// This header for an envelope within a session.
    #[must_use]
    pub const fn in_session(self) -> Self {
        EnvelopeHeader {
            version: SESSION_ENVELOPE_VERSION,
            ..self
        }
    }
}

/// A sealed content with its public header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// What everybody may see.
    pub header: EnvelopeHeader,
    /// The encapsulated key, or the tag of a message of a session.
    pub encapsulated: Vec<u8>,
    /// The sealed, padded content.
    pub ciphertext: Vec<u8>,
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes are too many, or not a canonical encoding.
    #[error("the envelope cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// The envelope has a version that this program does not know.
    #[error("envelopes of version {version} are not supported")]
    UnsupportedVersion {
        /// The version it names.
        version: u8,
    },
    /// The encapsulated key does not have the length of its suite, or a tag not that of tags.
    #[error("the encapsulated key has the wrong length")]
    WrongEncapsulatedLength,
    /// The ciphertext does not have the length of a padded content.
    #[error("the ciphertext does not have the length of a padded content")]
    NotPadded,
}

impl Envelope {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads an envelope of at most `limit` bytes, and checks everything that needs no key.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] says what is wrong.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Self, EnvelopeError> {
        let envelope: Envelope = decode(bytes, limit)?;
        envelope.check()?;
        Ok(envelope)
    }

    /// Reads the header of an envelope of at most `limit` bytes, and checks what [`Envelope::decode`] checks, without a
    /// copy of what is sealed.
    ///
    /// # Errors
    ///
    /// As [`Envelope::decode`].
    pub fn inspect(bytes: &[u8], limit: usize) -> Result<EnvelopeHeader, EnvelopeError> {
        let malformed = |reason: &str| DecodeError::Malformed {
            reason: reason.to_owned(),
        };
        if bytes.len() > limit {
            let length = bytes.len();
            return Err(DecodeError::TooLong { length, limit }.into());
        }
        let mut rest = bytes;
        let header = EnvelopeHeader::deserialize(&mut rest)
            .map_err(|error| malformed(&error.to_string()))?;
        let mut skip = || {
            let (length, after) = rest.split_first_chunk::<LENGTH_PREFIX>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest = after.get(length..)?;
            Some(length)
        };
        let lengths = skip().zip(skip());
        let (encapsulated, ciphertext) = lengths.ok_or_else(|| malformed("it is cut short"))?;
        if !rest.is_empty() {
            return Err(malformed("it goes on after its end").into());
        }
        header.check(encapsulated, ciphertext)?;
        Ok(header)
    }

    /// Checks everything that needs no key: version, suite and lengths.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] says what is wrong.
    pub fn check(&self) -> Result<(), EnvelopeError> {
        self.header
            .check(self.encapsulated.len(), self.ciphertext.len())
    }

    /// The digest of the encoding: the name of this envelope on the ledger.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash("sealbook/envelope/1", &[&self.encode()])
    }

    /// How long the encoding of an envelope with a key agreement of its own around `content_length` bytes is, in bytes.
    #[must_use]
    pub fn encoded_length(suite: Suite, content_length: usize) -> usize {
        padded_length(content_length.saturating_add(PREFIX_LENGTH), ENVELOPE_FLOOR)
            .saturating_add(HEADER_LENGTH + 2 * LENGTH_PREFIX)
            .saturating_add(suite.encapsulated_length() + suite.tag_length())
    }
}

/// The bytes that tie a content to its envelope: the encoded header and the purpose.
///
/// They are the associated data of the cipher.
#[must_use]
pub fn binding(header: &EnvelopeHeader, purpose: Purpose) -> Vec<u8> {
    encode(&(header, purpose))
}

/// The bytes that tie a signature inside the content to its envelope: [`binding`], and the encapsulated key or the tag.
///
/// Whoever can open an envelope could seal the signed content anew; under the same encapsulated key that makes the same
/// envelope, since the cipher and the padding leave no choice, and under another one the signature is wrong.
#[must_use]
pub fn signed_binding(header: &EnvelopeHeader, purpose: Purpose, encapsulated: &[u8]) -> Vec<u8> {
    let mut bytes = binding(header, purpose);
    bytes.extend_from_slice(encapsulated);
    bytes
}

/// Seals `plaintext` to the holder of the opening key behind `key`.
///
/// # Errors
///
/// [`SealError`] says which of the arguments does not fit.
///
/// # Panics
///
/// When the operating system has no random numbers to give.
pub fn seal(
    key: &OpeningPublicKey,
    header: EnvelopeHeader,
    purpose: Purpose,
    plaintext: &[u8],
) -> Result<Envelope, SealError> {
    Sealer::begin(key, purpose)?.seal(header, plaintext)
}

/// Sealing in two steps: the encapsulated key is known before the content, so that the content can hold what is derived
/// from it. The envelope is the same as that of [`seal`].
///
/// INVARIANT: every sealer seals once, so that its key never meets a second content.
pub struct Sealer {
    version: u8,
    suite: Suite,
    purpose: Purpose,
    sender: Sender,
}

impl Sealer {
    /// Makes a new encapsulated key for the holder of the opening key behind `key`.
    ///
    /// # Errors
    ///
    /// [`SealError::UnusablePublicKey`] when nothing can be sealed to the key.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers to give.
    pub fn begin(key: &OpeningPublicKey, purpose: Purpose) -> Result<Self, SealError> {
        Ok(Sealer {
            version: ENVELOPE_VERSION,
            suite: key.suite(),
            purpose,
            sender: Sender::begin(key, purpose.info())?,
        })
    }

    /// As [`Sealer::begin`], with an encapsulated key that follows from `seed`, for every purpose the same. For tests: the
    /// seed is a secret, and must serve for one content only, for its key and nonce are the same each time.
    ///
    /// # Errors
    ///
    /// As [`Sealer::begin`].
    pub fn begin_derived(
        key: &OpeningPublicKey,
        purpose: Purpose,
        seed: &Secret32,
    ) -> Result<Self, SealError> {
        let mut random = ChaCha20Rng::from_seed(*seed.expose());
        Ok(Sealer {
            version: ENVELOPE_VERSION,
            suite: key.suite(),
            purpose,
            sender: Sender::begin_with(key, purpose.info(), Some(&mut random))?,
        })
    }

    /// Seals a transaction within a session, in a network of this suite. The counter must never have been used before.
    #[must_use]
    pub fn in_session(suite: Suite, key: &SessionKey, counter: u64) -> Self {
        Sealer {
            version: SESSION_ENVELOPE_VERSION,
            suite,
            purpose: Purpose::Transaction,
            sender: Sender {
                encapsulated: key.tag(counter).to_vec(),
                context: Context::Fast(FastSender::in_session(&key.message_key(counter))),
            },
        }
    }

    /// Whether the envelope will be one within a session, and needs a header for that.
    #[must_use]
    pub const fn is_in_session(&self) -> bool {
        self.version == SESSION_ENVELOPE_VERSION
    }

    /// The encapsulated key, or the tag, that the envelope will have.
    #[must_use]
    pub fn encapsulated(&self) -> &[u8] {
        &self.sender.encapsulated
    }

    /// Seals `plaintext` under `header`.
    ///
    /// # Errors
    ///
    /// [`SealError`] says which of the arguments does not fit.
    pub fn seal(self, header: EnvelopeHeader, plaintext: &[u8]) -> Result<Envelope, SealError> {
        if header.version != self.version {
            return Err(SealError::UnsupportedVersion {
                version: header.version,
            });
        }
        if header.suite != self.suite {
            return Err(SealError::SuiteMismatch);
        }
        let padded = pad(plaintext, ENVELOPE_FLOOR)
            .map(SecretBytes::new)
            .map_err(|_| SealError::TooLong {
                length: plaintext.len(),
            })?;
        let associated = binding(&header, self.purpose);
        let (encapsulated, ciphertext) = self.sender.encrypt(&associated, padded.expose())?;
        Ok(Envelope {
            header,
            encapsulated,
            ciphertext,
        })
    }
}

/// One HPKE encryption in base mode, between encapsulation and encryption.
pub(crate) struct Sender {
    encapsulated: Vec<u8>,
    context: Context,
}

/// The cipher's state. It wipes itself.
enum Context {
    Fast(FastSender),
    SuiteOne(Box<SenderContext<SuiteOneKem>>),
    SuiteTwo(Box<SenderContext<SuiteTwoKem>>),
}

type SenderContext<K> = AeadCtxS<SuiteAead, SuiteKdf, K>;

impl Sender {
    pub(crate) fn begin(key: &OpeningPublicKey, info: &[u8]) -> Result<Self, SealError> {
        Self::begin_with(key, info, None)
    }

    pub(crate) fn begin_with(
        key: &OpeningPublicKey,
        info: &[u8],
        random: Option<&mut ChaCha20Rng>,
    ) -> Result<Self, SealError> {
        let (encapsulated, context) = match key.suite() {
            // Drawn from a seed, a key is what the reference makes of it.
            Suite::X25519ChaCha20Poly1305 if random.is_none() => {
                let (encapsulated, sender) = FastSender::begin(key.bytes(), info)?;
                (encapsulated, Context::Fast(sender))
            }
            Suite::X25519ChaCha20Poly1305 => {
                let (encapsulated, context) = encapsulate::<SuiteOneKem>(key, info, random)?;
                (encapsulated, Context::SuiteOne(context))
            }
            Suite::XWingChaCha20Poly1305 => {
                let (encapsulated, context) = encapsulate::<SuiteTwoKem>(key, info, random)?;
                (encapsulated, Context::SuiteTwo(context))
            }
        };
        Ok(Sender {
            encapsulated,
            context,
        })
    }

    /// The encapsulated key and the ciphertext. Takes the sender with it: there is no second message.
    pub(crate) fn encrypt(
        self,
        associated: &[u8],
        text: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), SealError> {
        let sealed = match self.context {
            Context::Fast(sender) => {
                return Ok((self.encapsulated, sender.seal(associated, text)?));
            }
            Context::SuiteOne(mut context) => context.seal(text, associated),
            Context::SuiteTwo(mut context) => context.seal(text, associated),
        };
        let ciphertext = sealed.map_err(|_| SealError::TooLong { length: text.len() })?;
        Ok((self.encapsulated, ciphertext))
    }
}

/// A new encapsulated key for the holder of `key`, and the cipher that goes with it, from `random` or from the operating
/// system's random numbers.
fn encapsulate<K: Kem>(
    key: &OpeningPublicKey,
    info: &[u8],
    random: Option<&mut ChaCha20Rng>,
) -> Result<(Vec<u8>, Box<SenderContext<K>>), SealError> {
    let recipient =
        K::PublicKey::from_bytes(key.bytes()).map_err(|_| SealError::UnusablePublicKey)?;
    let mode = OpModeS::Base;
    let begun = match random {
        Some(random) => {
            setup_sender_with_rng::<SuiteAead, SuiteKdf, K>(&mode, &recipient, info, random)
        }
        None => setup_sender::<SuiteAead, SuiteKdf, K>(&mode, &recipient, info),
    };
    let (encapsulated, context) = begun.map_err(|_| SealError::UnusablePublicKey)?;
    Ok((encapsulated.to_bytes().to_vec(), Box::new(context)))
}
