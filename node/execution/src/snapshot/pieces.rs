//! The pieces of a snapshot: content cut to one size and sealed so that every module makes the same bytes.
//!
//! ```text
//! sealed piece = mark 32 | ChaCha20-Poly1305(piece key, nonce 0, content padded to one size) | tag 16
//! mark         = keyed hash(snapshot key, network, height, kind, index, content)
//! piece key    = keyed hash(snapshot key, network, height, kind, index, mark)
//! state        = content | zeros                   cut into pieces; the content says itself where it ends
//! names        = count u32 | entries | zeros       in every piece by itself
//! ```
//!
//! The mark takes the place of a random nonce: equal contents at the same place give equal bytes, as they must, and
//! the same content under another height or index gives bytes that look unrelated, so that nobody sees what changed.
//!
//! INVARIANT: no two contents are ever sealed under one key, since the key follows from the content.

use sealbook_ledger::SNAPSHOT_PIECE_BYTES;
use sealbook_primitives::aead::{self, NONCE_LENGTH, TAG_LENGTH};
use sealbook_primitives::hash::{DIGEST_LENGTH, Digest, keyed_hash};
use sealbook_primitives::secret::{Secret32, SecretBytes};

const MARK_DOMAIN: &str = "sealbook 2026 snapshot mark v1";
const KEY_DOMAIN: &str = "sealbook 2026 snapshot piece key v1";

/// The content of one piece, in bytes.
pub const CONTENT_BYTES: usize = SNAPSHOT_PIECE_BYTES - DIGEST_LENGTH - TAG_LENGTH;

/// What a piece holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of the state.
    State,
    /// Holders' names.
    Names,
}

/// Which snapshot a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The network.
    pub network: Digest,
    /// The last executed block.
    pub height: u64,
}

impl Snapshot {
    fn place(self, kind: Kind, index: u32) -> Vec<u8> {
        let kind = [match kind {
            Kind::State => 0,
            Kind::Names => 1,
        }];
        [
            &self.network.as_bytes()[..],
            &self.height.to_le_bytes(),
            &kind,
            &index.to_le_bytes(),
        ]
        .concat()
    }

    /// Seals the content of a piece, which has its full size already.
    pub fn seal(self, key: &Secret32, kind: Kind, index: u32, content: &[u8]) -> Vec<u8> {
        let place = self.place(kind, index);
        let mark = keyed_hash(key, MARK_DOMAIN, &[&place, content]);
        let piece_key = Secret32::new(keyed_hash(key, KEY_DOMAIN, &[&place, mark.as_bytes()]).0);
        // Refused only above the cipher's limit of 256 GiB.
        let sealed = aead::seal(piece_key.expose(), &[0; NONCE_LENGTH], &place, content);
        [&mark.as_bytes()[..], &sealed.unwrap_or_default()].concat()
    }

    /// Opens a piece; nothing if it is not the one of this place.
    pub fn open(
        self,
        key: &Secret32,
        kind: Kind,
        index: u32,
        sealed: &[u8],
    ) -> Option<SecretBytes> {
        if sealed.len() != SNAPSHOT_PIECE_BYTES {
            return None;
        }
        let place = self.place(kind, index);
        let (mark, sealed) = sealed.split_at_checked(DIGEST_LENGTH)?;
        let piece_key = Secret32::new(keyed_hash(key, KEY_DOMAIN, &[&place, mark]).0);
        let content = aead::open(piece_key.expose(), &[0; NONCE_LENGTH], &place, sealed).ok()?;
        let expected = keyed_hash(key, MARK_DOMAIN, &[&place, content.expose()]);
        (expected.as_bytes() == mark).then_some(content)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const HERE: Snapshot = Snapshot {
        network: Digest([1; 32]),
        height: 24,
    };

    #[test]
    fn a_piece_opens_at_its_place_alone() {
        let key = Secret32::new([7; 32]);
        let content = vec![5; CONTENT_BYTES];
        let sealed = HERE.seal(&key, Kind::State, 3, &content);
        assert_eq!(sealed.len(), SNAPSHOT_PIECE_BYTES);
        assert_eq!(sealed, HERE.seal(&key, Kind::State, 3, &content));
        let opened = HERE.open(&key, Kind::State, 3, &sealed).unwrap();
        assert_eq!(opened.expose(), content);
        let elsewhere = [
            (HERE, Kind::Names, 3),
            (HERE, Kind::State, 4),
            (Snapshot { height: 25, ..HERE }, Kind::State, 3),
            (
                Snapshot {
                    network: Digest([2; 32]),
                    ..HERE
                },
                Kind::State,
                3,
            ),
        ];
        for (snapshot, kind, index) in elsewhere {
            assert!(snapshot.open(&key, kind, index, &sealed).is_none());
            let other = snapshot.seal(&key, kind, index, &content);
            // Nothing of it looks alike.
            assert_ne!(other[..32], sealed[..32]);
            assert_ne!(other[32..64], sealed[32..64]);
        }
        let other_key = Secret32::new([8; 32]);
        assert!(HERE.open(&other_key, Kind::State, 3, &sealed).is_none());
        for at in [0, 31, 32, 500_000, SNAPSHOT_PIECE_BYTES - 1] {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(HERE.open(&key, Kind::State, 3, &flipped).is_none());
        }
        assert!(HERE.open(&key, Kind::State, 3, &sealed[1..]).is_none());
        assert!(HERE.open(&key, Kind::State, 3, &[]).is_none());
    }

    #[test]
    fn one_changed_byte_changes_all_of_a_piece() {
        let key = Secret32::new([7; 32]);
        let mut content = vec![5; CONTENT_BYTES];
        let one = HERE.seal(&key, Kind::State, 0, &content);
        content[CONTENT_BYTES - 1] ^= 1;
        let other = HERE.seal(&key, Kind::State, 0, &content);
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        // About one byte of 256 is equal by chance.
        assert!(same < SNAPSHOT_PIECE_BYTES / 128, "{same}");
    }
}
