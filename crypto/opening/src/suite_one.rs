//! Opening in suite 1 by a faster implementation of the same algorithms: X25519, HMAC-SHA256 and ChaCha20-Poly1305 of
//! AWS-LC, put together as RFC 9180 has it for base mode.
//!
//! Execution modules open every transaction, and the key agreement is most of what that takes. The crate `hpke` stays
//! the reference: tests hold the two against each other, on what opens and on what does not.
//!
//! INVARIANT: what opens here opens with `hpke`, to the same bytes, and nothing else does.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use sealbook_primitives::aead;
use sealbook_primitives::secret::SecretBytes;
use sealbook_sealing::suite_one::{KEY_LENGTH, schedule, shared};

use crate::OpenError;

/// A private key of suite 1. AWS-LC wipes it when it is dropped.
pub struct FastKey {
    secret: PrivateKey,
    public: [u8; KEY_LENGTH],
}

impl FastKey {
    /// The key with these bytes, whose public half is `public`; nothing if the library refuses it.
    pub fn new(secret: &[u8], public: &[u8]) -> Option<Self> {
        Some(Self {
            secret: PrivateKey::from_private_key(&X25519, secret).ok()?,
            public: public.try_into().ok()?,
        })
    }

    /// Opens one message in base mode.
    ///
    /// # Errors
    ///
    /// [`OpenError::DoesNotOpen`].
    pub fn open(
        &self,
        encapsulated: &[u8],
        info: &[u8],
        associated: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let other = UnparsedPublicKey::new(&X25519, encapsulated);
        let secret = agree(&self.secret, other, OpenError::DoesNotOpen, |agreed| {
            Ok(shared(agreed, encapsulated, &self.public))
        })?;
        let (key, nonce) = schedule(&secret, info);
        aead::open(&key, &nonce, associated, ciphertext).map_err(|_| OpenError::DoesNotOpen)
    }
}
