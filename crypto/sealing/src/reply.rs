//! Replies: answers to whoever sent a key along with the question.

use sealbook_primitives::aead::{self, NONCE_LENGTH};
use sealbook_primitives::hash::keyed_hash;
use sealbook_primitives::padding::pad;
use sealbook_primitives::secret::{Secret32, SecretBytes};

use crate::SealError;
use crate::format::{REPLY_FLOOR, REPLY_VERSION, reply_key};

/// Seals a reply under the key that came with the question. It opens only under the same context.
///
/// Equal arguments give equal bytes, so that every module gives the same reply. The nonce is a
/// keyed hash of the content: should two different replies ever be made under one context (the
/// same question answered at two heights), they still do not share a nonce.
///
/// # Errors
///
/// [`SealError::TooLong`] when the text is too long.
pub fn seal_reply(key: &Secret32, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let too_long = || SealError::TooLong {
        length: plaintext.len(),
    };
    let padded = pad(plaintext, REPLY_FLOOR)
        .map(SecretBytes::new)
        .map_err(|_| too_long())?;
    let message_key = reply_key(key, context);
    let digest = keyed_hash(&message_key, "sealbook/reply nonce/1", &[padded.expose()]);
    let mut nonce = [0; NONCE_LENGTH];
    for (byte, source) in nonce.iter_mut().zip(digest.as_bytes()) {
        *byte = *source;
    }
    let ciphertext = aead::seal(
        message_key.expose(),
        &nonce,
        &[REPLY_VERSION],
        padded.expose(),
    )
    .map_err(|_| too_long())?;
    let mut reply = Vec::with_capacity(1 + NONCE_LENGTH + ciphertext.len());
    reply.push(REPLY_VERSION);
    reply.extend_from_slice(&nonce);
    reply.extend_from_slice(&ciphertext);
    Ok(reply)
}
