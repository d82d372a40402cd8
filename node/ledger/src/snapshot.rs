//! A sealed snapshot of what execution modules know after a block, as everybody may see it: which pieces there are.
//!
//! ```text
//! manifest = version u16 | engine version u32 | network 32 | height u64 | block 32 | commitment | key epoch u32 | opening 32
//!          | state pieces: count u32, 32 each | name pieces: count u32, 32 each
//! digest   = hash of all of it but the name pieces
//! ```
//!
//! All pieces have the same size, and their contents are ciphertext. Every module makes the same bytes, and the
//! network agrees on the digest: a later [`Commitment`] names it. Holders' names lie in pieces of their own, which may
//! be erased. Whether a node still knows a name depends on what was erased before, so the digest leaves these pieces
//! out; each name is checked against the commitment to it in the state.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{Digest, hash};

use crate::Commitment;

/// The size of every sealed piece, in bytes.
pub const SNAPSHOT_PIECE_BYTES: usize = 1024 * 1024;
/// The most pieces of a snapshot.
pub const MAX_SNAPSHOT_PIECES: usize = 65_536;
/// The largest encoded manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// How many blocks after its own a snapshot is named in commitments at the earliest: until then, modules seal it while
/// they go on. Larger ones are named later: the module's schedule says when.
pub const SNAPSHOT_DELAY_MIN: u64 = 6;

const MANIFEST_VERSION: u16 = 2;
const MANIFEST_DOMAIN: &str = "sealbook 2026 snapshot manifest v1";
const PIECE_DOMAIN: &str = "sealbook 2026 snapshot piece v1";

// A small snapshot is named before the next one is taken; of larger ones there is never more than one under way.
const _: () = assert!(SNAPSHOT_DELAY_MIN < crate::MIN_EPOCH_BLOCKS as u64);

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not the canonical encoding, or too large.
    #[error("the snapshot's manifest does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("snapshot version {0} is not known")]
    Version(u16),
    /// No pieces, or more than there may be.
    #[error("a snapshot cannot have {0} pieces")]
    Pieces(usize),
}

/// What a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotManifest {
    /// Format version.
    pub version: u16,
    /// The version of the rules and of the content: another one cannot go on from it.
    pub engine_version: u32,
    /// The network.
    pub network: Digest,
    /// The last executed block.
    pub height: u64,
    /// The digest of that block.
    pub block: Digest,
    /// The results after it.
    pub commitment: Commitment,
    /// The key epoch whose keys the pieces are sealed with: that of the block after.
    pub key_epoch: u32,
    /// [`crate::opening_digest`] of that key epoch's opening key.
    pub opening: Digest,
    /// Hashes of the sealed pieces that hold the state.
    pub state_pieces: Vec<Digest>,
    /// Hashes of the sealed pieces that hold holders' names.
    pub name_pieces: Vec<Digest>,
}

impl SnapshotManifest {
    /// The present format version.
    pub const VERSION: u16 = MANIFEST_VERSION;

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Not canonical, too large, of another version, or with a number of pieces that cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(SnapshotError::Malformed);
        }
        let manifest = Self::try_from_slice(bytes).map_err(|_| SnapshotError::Malformed)?;
        if manifest.version != MANIFEST_VERSION {
            return Err(SnapshotError::Version(manifest.version));
        }
        let pieces = manifest.pieces().count();
        if manifest.state_pieces.is_empty() || pieces > MAX_SNAPSHOT_PIECES {
            return Err(SnapshotError::Pieces(pieces));
        }
        Ok(manifest)
    }

    /// The digest that commitments name: of everything but the name pieces.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let agreed = (
            self.version,
            self.engine_version,
            &self.network,
            self.height,
            &self.block,
            &self.commitment,
            self.key_epoch,
            &self.opening,
            &self.state_pieces,
        );
        hash(
            MANIFEST_DOMAIN,
            &[&borsh::to_vec(&agreed).unwrap_or_default()],
        )
    }

    /// The hashes of all pieces by their index: those of the state, then those of names.
    pub fn pieces(&self) -> impl Iterator<Item = &Digest> {
        self.state_pieces.iter().chain(&self.name_pieces)
    }

    /// The hash of a sealed piece.
    #[must_use]
    pub fn piece_digest(sealed: &[u8]) -> Digest {
        hash(PIECE_DOMAIN, &[sealed])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::SnapshotReference;
    use crate::testing::pin;

    fn sample() -> SnapshotManifest {
        SnapshotManifest {
            version: SnapshotManifest::VERSION,
            engine_version: 3,
            network: Digest([1; 32]),
            height: 600,
            block: Digest([2; 32]),
            commitment: Commitment {
                version: Commitment::VERSION,
                height: 600,
                state_root: Digest([3; 32]),
                network_root: Digest([4; 32]),
                outcomes: 2,
                outcomes_root: Digest([5; 32]),
                snapshot: Some(SnapshotReference {
                    height: 300,
                    digest: Digest([6; 32]),
                }),
                next_epoch: None,
            },
            key_epoch: 0,
            opening: Digest([12; 32]),
            state_pieces: vec![Digest([7; 32]), Digest([8; 32])],
            name_pieces: vec![Digest([9; 32])],
        }
    }

    #[test]
    fn the_encoding_and_the_digest_are_pinned() {
        let manifest = sample();
        let pins = [
            pin(&manifest.encode()),
            manifest.digest().to_string(),
            SnapshotManifest::piece_digest(b"a piece").to_string(),
        ];
        assert_eq!(
            pins,
            [
                "29298f9c03d6f3893b66c5bad8a25c9f3248a027cf83c12e37fa09754445456d",
                "b0a9437742b211ca82796db4f3a97bce7f55e8790df86aff1d49e0da2e021124",
                "1a6db02a004468288b83c19060958157d9ef2443c75c13959cbaaf58bf6ff6de"
            ]
        );
    }

    #[test]
    fn what_is_encoded_is_read_again_and_nothing_else_is() {
        let bytes = sample().encode();
        assert_eq!(SnapshotManifest::decode(&bytes), Ok(sample()));
        for length in 0..bytes.len() {
            assert!(SnapshotManifest::decode(&bytes[..length]).is_err());
        }
        let malformed = Err(SnapshotError::Malformed);
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(SnapshotManifest::decode(&longer), malformed);
        let huge = vec![0; MAX_MANIFEST_BYTES + 1];
        assert_eq!(SnapshotManifest::decode(&huge), malformed);
        let altered = |alter: &dyn Fn(&mut SnapshotManifest)| {
            let mut manifest = sample();
            alter(&mut manifest);
            SnapshotManifest::decode(&manifest.encode())
        };
        let version = altered(&|one| one.version = 9);
        assert_eq!(version, Err(SnapshotError::Version(9)));
        let empty = altered(&|one| one.state_pieces.clear());
        assert_eq!(empty, Err(SnapshotError::Pieces(1)));
        let many = altered(&|one| one.name_pieces = vec![Digest::ZERO; MAX_SNAPSHOT_PIECES]);
        assert_eq!(many, Err(SnapshotError::Pieces(MAX_SNAPSHOT_PIECES + 2)));
    }

    #[test]
    fn the_digest_covers_everything_but_the_names() {
        let bytes = sample().encode();
        let names = bytes.len() - 4 - 32;
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            if let Ok(manifest) = SnapshotManifest::decode(&altered) {
                let same = manifest.digest() == sample().digest();
                assert_eq!(same, index >= names, "byte {index}");
            }
        }
    }
}
