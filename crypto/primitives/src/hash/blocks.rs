//! Hashes of many short messages at once: BLAKE3 keyed, as [`blake3::keyed_hash`], of messages that are whole blocks.
//!
//! A processor with wide registers compresses four, eight or sixteen blocks in the time of one. The crate uses that
//! for the chunks of one long message; here it is used for many messages, each a single chunk. The function that does
//! it is public and not promised, so its version is pinned and a test compares it with the promised one.

use blake3::IncrementCounter;
use blake3::platform::{Platform, words_from_le_bytes_32};
use zeroize::Zeroizing;

use super::{DIGEST_LENGTH, Digest};
use crate::secret::Secret32;

/// The length of a block, in bytes.
pub const BLOCK_LENGTH: usize = 64;
/// How many messages are handed over together: as many as the widest registers take.
const GROUP: usize = 16;

// The flags of BLAKE3's compression function (section 2.2 of its paper).
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// Hashes messages of whole blocks under one key.
pub struct BlockHasher {
    key: Zeroizing<[u32; 8]>,
    platform: Platform,
}

impl BlockHasher {
    /// Under a secret key.
    #[must_use]
    pub fn new(key: &Secret32) -> Self {
        Self::under(key.expose())
    }

    /// Under a key that need not be secret.
    pub(super) fn under(key: &[u8; 32]) -> Self {
        Self {
            key: Zeroizing::new(words_from_le_bytes_32(key)),
            platform: Platform::detect(),
        }
    }

    /// Hands on the digest of each message, in their order. A message has at most 16 blocks, which is one chunk of
    /// BLAKE3.
    pub fn each<const LENGTH: usize>(
        &self,
        messages: &[[u8; LENGTH]],
        mut take: impl FnMut(Digest),
    ) {
        const { assert!(LENGTH.is_multiple_of(BLOCK_LENGTH) && LENGTH > 0 && LENGTH <= 1024) };
        let mut out = [0; GROUP * DIGEST_LENGTH];
        for group in messages.chunks(GROUP) {
            let Some(first) = group.first() else {
                continue;
            };
            let mut inputs = [first; GROUP];
            for (input, message) in inputs.iter_mut().zip(group) {
                *input = message;
            }
            self.platform.hash_many(
                inputs.get(..group.len()).unwrap_or_default(),
                &self.key,
                0,
                IncrementCounter::No,
                KEYED_HASH,
                CHUNK_START,
                CHUNK_END | ROOT,
                &mut out,
            );
            let (digests, _) = out.as_chunks::<DIGEST_LENGTH>();
            for digest in digests.iter().take(group.len()) {
                take(Digest(*digest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare<const LENGTH: usize>(key: &[u8; 32]) {
        let hasher = BlockHasher::under(key);
        for count in 0..=2 * GROUP + 1 {
            let messages: Vec<[u8; LENGTH]> = (0..count)
                .map(|number| {
                    let byte = |place: usize| (place * 7 + number * 31 + LENGTH) as u8;
                    std::array::from_fn(byte)
                })
                .collect();
            let mut digests = Vec::new();
            hasher.each(&messages, |digest| digests.push(digest));
            let expected = messages
                .iter()
                .map(|message| Digest(*blake3::keyed_hash(key, message).as_bytes()));
            assert!(digests.into_iter().eq(expected), "{count} of {LENGTH}");
        }
    }

    #[test]
    fn many_at_once_are_the_same_as_one_by_one() {
        for key in [[0; 32], [7; 32], std::array::from_fn(|place| place as u8)] {
            compare::<64>(&key);
            compare::<128>(&key);
            compare::<192>(&key);
            compare::<256>(&key);
            compare::<1024>(&key);
        }
    }
}
