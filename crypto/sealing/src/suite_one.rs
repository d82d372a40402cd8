//! Suite 1 by a faster implementation of the same algorithms: X25519, HMAC-SHA256 and ChaCha20-Poly1305 of AWS-LC, put
//! together as RFC 9180 has it for base mode. What both halves compute is here, and the sealing half.
//!
//! Clients seal every transaction with a key of its own, which is most of what that takes them. The crate `hpke` stays the
//! reference: tests of the opening half open with it what is sealed here.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hmac;
use sealbook_primitives::aead;
use sealbook_primitives::secret::Secret32;
use zeroize::Zeroizing;

use crate::SealError;

const KEM: &[u8] = b"KEM\x00\x20";
const HPKE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
/// The length of keys and of shared secrets, in bytes.
pub const KEY_LENGTH: usize = 32;
/// The length of nonces, in bytes.
pub const NONCE_LENGTH: usize = aead::NONCE_LENGTH;

/// The nonce of a message of a session, whose key is used once.
pub const SESSION_NONCE: [u8; NONCE_LENGTH] = [0; NONCE_LENGTH];

type Secret<const LENGTH: usize> = Zeroizing<[u8; LENGTH]>;

/// One message's sender, before it seals.
pub(crate) struct FastSender {
    key: Secret<KEY_LENGTH>,
    nonce: Secret<NONCE_LENGTH>,
}

impl FastSender {
    /// Makes a fresh key for one recipient; gives its public half, which travels with the message.
    pub(crate) fn begin(recipient: &[u8], info: &[u8]) -> Result<(Vec<u8>, Self), SealError> {
        let unusable = || SealError::UnusablePublicKey;
        let fresh = Secret32::random();
        let own = PrivateKey::from_private_key(&X25519, fresh.expose());
        let own = own.map_err(|_| unusable())?;
        let public = own.compute_public_key().map_err(|_| unusable())?;
        let encapsulated = public.as_ref().to_vec();
        let other = UnparsedPublicKey::new(&X25519, recipient);
        let secret = agree(&own, other, SealError::UnusablePublicKey, |agreed| {
            Ok(shared(agreed, &encapsulated, recipient))
        })?;
        let (key, nonce) = schedule(&secret, info);
        Ok((encapsulated, Self { key, nonce }))
    }

    /// The sender of the one message under a key of a session.
    pub(crate) fn in_session(key: &Secret32) -> Self {
        Self {
            key: Zeroizing::new(*key.expose()),
            nonce: Zeroizing::new(SESSION_NONCE),
        }
    }

    /// Seals the one message.
    pub(crate) fn seal(self, associated: &[u8], text: &[u8]) -> Result<Vec<u8>, SealError> {
        aead::seal(&self.key, &self.nonce, associated, text)
            .map_err(|_| SealError::TooLong { length: text.len() })
    }
}

/// The shared secret of DHKEM, from what the two keys agree on.
#[must_use]
pub fn shared(agreed: &[u8], encapsulated: &[u8], recipient: &[u8]) -> Secret<KEY_LENGTH> {
    let key = extract(KEM, &[], b"eae_prk", agreed);
    expand(KEM, &key, b"shared_secret", [encapsulated, recipient, &[]])
}

/// The key schedule of base mode, as far as one message needs it.
#[must_use]
pub fn schedule(
    shared: &[u8; KEY_LENGTH],
    info: &[u8],
) -> (Secret<KEY_LENGTH>, Secret<NONCE_LENGTH>) {
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
