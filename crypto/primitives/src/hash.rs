//! Hashes: BLAKE3 under a domain string.
//!
//! ```text
//! hash(domain, parts)            = BLAKE3-derive-key(domain; length || part || length || part ...)
//! keyed_hash(key, domain, parts) = BLAKE3-keyed(key; length || domain || length || part ...)
//! PairHasher(domain)(left, right) = BLAKE3-keyed(BLAKE3-derive-key(domain; ""); left || right)
//! ```
//!
//! Every length is a `u64`, little endian.
//!
//! INVARIANT: two different lists of parts never give the same input to the hash function, and two
//! domains never share an input, so an equal digest means equal domain and equal parts.

mod blocks;
mod contexts;

use std::fmt;
use std::str::FromStr;

use blake3::hazmat::HasherExt as _;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::secret::Secret32;

pub use blocks::{BLOCK_LENGTH, BlockHasher};

/// The length of a digest, in bytes.
pub const DIGEST_LENGTH: usize = 32;

/// The result of a hash: 32 bytes without further structure.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize,
)]
pub struct Digest(pub [u8; DIGEST_LENGTH]);

/// The text was not the 64 hexadecimal digits of a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: 64 hexadecimal digits are expected")]
pub struct DigestError {
    /// What was given instead.
    pub text: String,
}

impl Digest {
    /// Thirty-two zero bytes: stands for "nothing before", as in the parent of a first block.
    pub const ZERO: Digest = Digest([0; DIGEST_LENGTH]);

    /// The digest with exactly these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; DIGEST_LENGTH]) -> Self {
        Digest(bytes)
    }

    /// The bytes of this digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LENGTH] {
        &self.0
    }

    /// Reads the 64 hexadecimal digits that `Display` writes.
    ///
    /// # Errors
    ///
    /// [`DigestError`] when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; DIGEST_LENGTH];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError {
            text: text.chars().take(80).collect(),
        })?;
        Ok(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(
            formatter,
            "{}..",
            hex::encode([first, second, third, fourth])
        )
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Digest::from_hex(text)
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; DIGEST_LENGTH]> for Digest {
    fn from(bytes: [u8; DIGEST_LENGTH]) -> Self {
        Digest(bytes)
    }
}

/// A hash that is fed part by part; equal to [`hash`] or [`keyed_hash`] over the same parts.
#[derive(Clone)]
pub struct Hasher {
    inner: blake3::Hasher,
}

impl Hasher {
    /// A hash under `domain`.
    #[must_use]
    pub fn new(domain: &'static str) -> Self {
        Hasher {
            inner: blake3::Hasher::new_from_context_key(&contexts::key(domain)),
        }
    }

    /// A hash under `domain` that only a holder of `key` can compute.
    #[must_use]
    pub fn new_keyed(key: &Secret32, domain: &'static str) -> Self {
        let mut hasher = Hasher {
            inner: blake3::Hasher::new_keyed(key.expose()),
        };
        hasher.update(domain.as_bytes());
        hasher
    }

    /// Adds one part, preceded by its length.
    pub fn update(&mut self, part: &[u8]) -> &mut Self {
        self.inner.update(&(part.len() as u64).to_le_bytes());
        self.inner.update(part);
        self
    }

    /// The digest of the parts so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.inner.finalize().as_bytes())
    }
}

/// The digest of `parts` under `domain`.
#[must_use]
pub fn hash(domain: &'static str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// The digest of `parts` under `domain` and a secret key: a pseudorandom function, so that nobody
/// without the key can test a guess at the content.
#[must_use]
pub fn keyed_hash(key: &Secret32, domain: &'static str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new_keyed(key, domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// BLAKE3 keyed, of a message that says by itself what it is: the caller sees to it that no two kinds of message share a
/// key. The same as [`BlockHasher`] where the message is whole blocks.
#[must_use]
pub fn keyed(key: &Secret32, message: &[u8]) -> Digest {
    Digest(*blake3::keyed_hash(key.expose(), message).as_bytes())
}

/// Hashes of pairs of digests under a domain, each in a single compression: for trees, whose nodes are too many for
/// [`hash`].
///
/// The input always has 64 bytes, so the lengths need no prefix.
pub struct PairHasher {
    // Not a secret: everybody can compute it from the domain.
    domain_key: [u8; DIGEST_LENGTH],
    many: BlockHasher,
}

/// Two digests, one after the other.
pub type Pair = [u8; 2 * DIGEST_LENGTH];

/// The pair of two digests in this order.
#[must_use]
pub fn pair(left: &Digest, right: &Digest) -> Pair {
    let mut both = [0; 2 * DIGEST_LENGTH];
    let (first, second) = both.split_at_mut(DIGEST_LENGTH);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    both
}

impl PairHasher {
    /// A hasher under `domain`.
    #[must_use]
    pub fn new(domain: &'static str) -> Self {
        let domain_key = blake3::derive_key(domain, b"");
        PairHasher {
            domain_key,
            many: BlockHasher::under(&domain_key),
        }
    }

    /// The hash of two digests in this order.
    #[must_use]
    pub fn two(&self, left: &Digest, right: &Digest) -> Digest {
        Digest(*blake3::keyed_hash(&self.domain_key, &pair(left, right)).as_bytes())
    }

    /// Hands on the hash of each pair, in their order: the same as one by one, and several times faster.
    pub fn each(&self, pairs: &[Pair], take: impl FnMut(Digest)) {
        self.many.each(pairs, take);
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn the_split_into_parts_matters() {
        let joined = hash("test", &[b"ab", b"c"]);
        assert_ne!(joined, hash("test", &[b"a", b"bc"]));
        assert_ne!(joined, hash("test", &[b"abc"]));
        assert_ne!(joined, hash("test", &[b"ab", b"c", b""]));
        assert_ne!(hash("test", &[]), hash("test", &[b""]));
    }

    #[test]
    fn the_domain_and_the_key_matter() {
        let parts: &[&[u8]] = &[b"content"];
        let (one, two) = (Secret32::new([1; 32]), Secret32::new([2; 32]));
        assert_ne!(hash("first", parts), hash("second", parts));
        assert_ne!(
            keyed_hash(&one, "first", parts),
            keyed_hash(&one, "second", parts)
        );
        assert_ne!(
            keyed_hash(&one, "first", parts),
            keyed_hash(&two, "first", parts)
        );
        assert_ne!(keyed_hash(&one, "first", parts), hash("first", parts));
    }

    #[test]
    fn incremental_and_whole_agree() {
        let key = Secret32::new([9; 32]);
        let mut plain = Hasher::new("test");
        let mut keyed = Hasher::new_keyed(&key, "test");
        plain.update(b"one").update(b"two");
        keyed.update(b"one").update(b"two");
        assert_eq!(plain.finish(), hash("test", &[b"one", b"two"]));
        assert_eq!(keyed.finish(), keyed_hash(&key, "test", &[b"one", b"two"]));
    }

    #[test]
    fn pairs_depend_on_order_domain_and_number() {
        let (a, b) = (hash("test", &[b"a"]), hash("test", &[b"b"]));
        let (nodes, leaves) = (PairHasher::new("nodes"), PairHasher::new("leaves"));
        assert_ne!(nodes.two(&a, &b), nodes.two(&b, &a));
        assert_ne!(nodes.two(&a, &b), leaves.two(&a, &b));
        let mut all = Vec::new();
        nodes.each(&[pair(&a, &b), pair(&b, &a)], |digest| all.push(digest));
        assert_eq!(all, [nodes.two(&a, &b), nodes.two(&b, &a)]);
    }

    #[test]
    fn hexadecimal_round_trip() {
        let digest = hash("test", &[b"hexadecimal"]);
        let text = digest.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(Digest::from_hex(&text), Ok(digest));
        assert_eq!(text.parse(), Ok(digest));
        assert!(format!("{digest:?}").len() < 16);
        for wrong in [
            "",
            "00",
            &text[1..],
            &format!("{text}0"),
            &text.replace('a', "g"),
        ] {
            if wrong != text {
                assert!(Digest::from_hex(wrong).is_err(), "{wrong}");
            }
        }
    }
}
