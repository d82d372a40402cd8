//! Sessions: envelopes that need no key agreement of their own, because an ordered transaction agreed on a key before.
//!
//! ```text
//! session key  = derive(reply key of the transaction that opened the session, certificate of who signed it)
//! its name     = keyed hash(session key)
//! tag          = first 16 bytes of keyed hash(session key, counter)        stands where others have an encapsulated key
//! message key  = keyed hash(session key, counter), in a domain of its own
//! ciphertext   = ChaCha20-Poly1305(message key, nonce 0, AAD: binding(), padded content)
//! ```
//!
//! To whoever does not know the session key, tags are random: two envelopes of a session are no more alike than those of
//! two members. That an envelope is of some session shows in its version.
//!
//! INVARIANT: a counter is sealed under once. Whoever has lost count of a session opens another one: two contents under
//! one message key would give both away.

use sealbook_primitives::hash::{Digest, keyed_hash};
use sealbook_primitives::secret::{Secret32, derive};

/// The version of envelopes within a session.
pub const SESSION_ENVELOPE_VERSION: u8 = 2;
/// The length of a tag, in bytes.
pub const TAG_LENGTH: usize = 16;

const SESSION_LABEL: &str = "sealbook 2026 session key";
const NAME_DOMAIN: &str = "sealbook 2026 session name v1";
const TAG_DOMAIN: &str = "sealbook 2026 session tag v1";
const MESSAGE_DOMAIN: &str = "sealbook 2026 session message key v1";

/// What names a message of a session from the outside.
pub type Tag = [u8; TAG_LENGTH];

/// The key of one session.
///
/// It follows from what the member signed and from nothing that whoever can open that transaction could change: were it
/// sealed anew, the same session would be opened.
pub struct SessionKey {
    secret: Secret32,
}

impl SessionKey {
    /// The key of the session that a transaction opens, whose replies come under `reply_key` and which the holder of the
    /// certificate with this fingerprint has signed.
    #[must_use]
    pub fn opened_by(reply_key: &Secret32, certificate: &Digest) -> Self {
        SessionKey {
            secret: derive(reply_key, SESSION_LABEL, certificate.as_bytes()),
        }
    }

    /// The session's name. It tells nothing of the key.
    #[must_use]
    pub fn name(&self) -> Digest {
        keyed_hash(&self.secret, NAME_DOMAIN, &[])
    }

    /// The key that lies in these bytes: [`SessionKey::expose`].
    #[must_use]
    pub const fn of(secret: Secret32) -> Self {
        SessionKey { secret }
    }

    /// The bytes themselves. Whatever is copied from here is the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    /// The tag of a message.
    #[must_use]
    pub fn tag(&self, counter: u64) -> Tag {
        let hash = keyed_hash(&self.secret, TAG_DOMAIN, &[&counter.to_le_bytes()]);
        let mut tag = [0; TAG_LENGTH];
        for (to, from) in tag.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        tag
    }

    /// The key of a message.
    #[must_use]
    pub fn message_key(&self, counter: u64) -> Secret32 {
        Secret32::new(keyed_hash(&self.secret, MESSAGE_DOMAIN, &[&counter.to_le_bytes()]).0)
    }
}
