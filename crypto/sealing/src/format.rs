//! What the sealing and the opening half must agree on, and nothing else.
//!
//! ```text
//! envelope   header | encapsulated key | ciphertext       info: Purpose::info(), AAD: binding()
//!            in a session: header | tag | ciphertext      see `session`
//! wrapped    version u8 | suite u8 | encapsulated key | ciphertext
//!            info: wrap_info(label), AAD: wrap_associated(suite, context)
//! reply      version u8 | nonce (12 bytes) | ciphertext
//!            key: reply_key(key, context), AAD: the version
//! ```
//!
//! The suite decides the key encapsulation, and with it the lengths:
//!
//! | suite | key encapsulation (HPKE id) | public key | encapsulated key |
//! |---|---|---|---|
//! | 1 | DHKEM(X25519, HKDF-SHA256) (0x0020) | 32 bytes | 32 bytes |
//! | 2 | X-Wing: X25519 and ML-KEM-768 (0x647a) | 1216 bytes | 1120 bytes |
//!
//! Both go on with the key schedule of RFC 9180 in base mode over HKDF-SHA256 (0x0001), and with
//! ChaCha20-Poly1305 (0x0003). HPKE mixes these numbers into every key, so that what was sealed
//! with one suite cannot open with another.
//!
//! X-Wing is that of draft-connolly-cfrg-xwing-kem-10, which draft-irtf-cfrg-concrete-hybrid-kems
//! calls MLKEM768-X25519; as a KEM of HPKE it is that of draft-ietf-hpke-pq.
//!
//! INVARIANT: no two kinds of message share an HPKE `info`, so that none opens as another.
//!
//! INVARIANT: whether an envelope opens is the same on every node and in every build, for what
//! opens is executed. Suite 1 refuses an X25519 point of small order, as RFC 9180 has it; suite 2
//! computes with it, as the draft of X-Wing has it. A library that judges otherwise fails a test.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use sealbook_primitives::secret::{Secret32, derive};

use crate::suite::Suite;

/// The key encapsulation of suite 1.
pub type SuiteOneKem = X25519HkdfSha256;

/// The key encapsulation of suite 2.
pub type SuiteTwoKem = XWing;

/// The key derivation of all suites.
pub type SuiteKdf = HkdfSha256;

/// The cipher of all suites.
pub type SuiteAead = ChaCha20Poly1305;

/// The padding floor of an envelope, in bytes: no envelope reveals that it is shorter.
pub const ENVELOPE_FLOOR: usize = 512;

/// The padding floor of a reply, in bytes.
pub const REPLY_FLOOR: usize = 256;

/// The version of a wrapped key.
pub const WRAP_VERSION: u8 = 1;

/// The version of a reply.
pub const REPLY_VERSION: u8 = 1;

/// The HPKE `info` of a wrapped key.
#[must_use]
pub fn wrap_info(label: &'static str) -> Vec<u8> {
    let mut info = b"sealbook/wrap/1".to_vec();
    info.extend_from_slice(&(label.len() as u64).to_le_bytes());
    info.extend_from_slice(label.as_bytes());
    info
}

/// The associated data of a wrapped key.
#[must_use]
pub fn wrap_associated(suite: Suite, context: &[u8]) -> Vec<u8> {
    let mut associated = vec![WRAP_VERSION, suite.number()];
    associated.extend_from_slice(context);
    associated
}

/// The key under which the replies with this context are sealed.
#[must_use]
pub fn reply_key(key: &Secret32, context: &[u8]) -> Secret32 {
    derive(key, "sealbook/reply/1", context)
}
