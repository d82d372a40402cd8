//! Opening in suite 1 by a faster implementation of the same algorithms: X25519, HMAC-SHA256 and ChaCha20-Poly1305 of
//! AWS-LC, put together as RFC 9180 has it for base mode.
//!
//! Execution modules open every transaction, and the key agreement is most of what that takes. The crate `hpke` stays
//! the reference: tests hold the two against each other, on what opens and on what does not.
//!
//! INVARIANT: what opens here opens with `hpke`, to the same bytes, and nothing else does.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{aead, hmac};
use sealbook_primitives::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::OpenError;

const KEM: &[u8] = b"KEM\x00\x20";
const HPKE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;

type Secret<const LENGTH: usize> = Zeroizing<[u8; LENGTH]>;

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
        let shared = agree(&self.secret, other, OpenError::DoesNotOpen, |agreed| {
            Ok(self.shared(agreed, encapsulated))
        })?;
        let (key, nonce) = schedule(&shared, info);
        decrypt(&key, *nonce, associated, ciphertext)
    }

    /// The shared secret of DHKEM.
    fn shared(&self, agreed: &[u8], encapsulated: &[u8]) -> Secret<KEY_LENGTH> {
        let key = extract(KEM, &[], b"eae_prk", agreed);
        let context = [encapsulated, &self.public, &[]];
        expand(KEM, &key, b"shared_secret", context)
    }
}

/// The key schedule of base mode, as far as one message needs it.
fn schedule(shared: &[u8; KEY_LENGTH], info: &[u8]) -> (Secret<KEY_LENGTH>, Secret<NONCE_LENGTH>) {
    let psk_id = extract(HPKE, &[], b"psk_id_hash", &[]);
    let info = extract(HPKE, &[], b"info_hash", info);
    let secret = extract(HPKE, shared, b"secret", &[]);
    let context: [&[u8]; 3] = [&[0], &*psk_id, &*info];
    (
        expand(HPKE, &secret, b"key", context),
        expand(HPKE, &secret, b"base_nonce", context),
    )
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Secret<KEY_LENGTH> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut mac = Zeroizing::new([0; KEY_LENGTH]);
    mac.copy_from_slice(context.sign().as_ref());
    mac
}

/// `LabeledExtract` of RFC 9180.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], input: &[u8]) -> Secret<KEY_LENGTH> {
    mac(salt, &[b"HPKE-v1", suite, label, input])
}

/// `LabeledExpand` of RFC 9180, of which no more than one block is ever needed.
fn expand<const LENGTH: usize>(
    suite: &[u8],
    key: &[u8; KEY_LENGTH],
    label: &[u8],
    [first, second, third]: [&[u8]; 3],
) -> Secret<LENGTH> {
    const { assert!(LENGTH <= KEY_LENGTH) };
    let length = [0, LENGTH as u8];
    let parts = [
        &length,
        &b"HPKE-v1"[..],
        suite,
        label,
        first,
        second,
        third,
        &[1],
    ];
    let block = mac(key, &parts);
    let mut output = Zeroizing::new([0; LENGTH]);
    for (byte, from) in output.iter_mut().zip(block.iter()) {
        *byte = *from;
    }
    output
}

fn decrypt(
    key: &[u8; KEY_LENGTH],
    nonce: [u8; NONCE_LENGTH],
    associated: &[u8],
    ciphertext: &[u8],
) -> Result<SecretBytes, OpenError> {
    let closed = |_| OpenError::DoesNotOpen;
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(closed)?;
    let mut text = Zeroizing::new(ciphertext.to_vec());
    let length = aead::LessSafeKey::new(key)
        .open_in_place(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(associated),
            &mut text,
        )
        .map_err(closed)?
        .len();
    text.truncate(length);
    Ok(SecretBytes::new(std::mem::take(&mut *text)))
}
