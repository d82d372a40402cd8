//! How the root of a key epoch is handed out: sealed to each module, with bundles for auditors and shares for recovery.
//!
//! ```text
//! record = version u16 | network 32 | key epoch u32 | public key | sealed roots | sealed bundles | threshold u8
//!        | shares: (commitment 32, recipient 32, sealed)
//! grant  = network 32 | key epoch u32 | opening 32 | recipient 32 | sealed
//! file   = version u16 | grants
//! ```
//!
//! In a file of its own a record is followed by its digest.
//!
//! Everything in it is ciphertext or a hash: anybody may see and pass it on. A recipient is named by the hash of its
//! public key. The digest of the record of a key epoch stands in the definition of the committee epoch that it begins
//! with, so a copy of a record is checked against the chain. Bundles and shares follow from the root, and so does the
//! randomness that they are sealed with: whoever has the root makes the same record, and refuses a false one.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{DIGEST_LENGTH, Digest, hash};

/// The largest encoded record, in bytes.
pub const MAX_RECORD_BYTES: usize = 960 * 1024;
/// The most grants in a file: one for every module that there can be, or for so many key epochs of one module.
pub const MAX_GRANTS: usize = 640;
const RECORD_VERSION: u16 = 1;
const FILE_VERSION: u16 = 1;
const RECORD_DOMAIN: &str = "sealbook 2026 key record v1";
const HOLDER_DOMAIN: &str = "sealbook 2026 key holder v1";
const SEALED_DOMAIN: &str = "sealbook 2026 sealed root v1";
const OPENING_DOMAIN: &str = "sealbook 2026 opening key v1";

/// The name by which records call the holder of this encoded public key.
#[must_use]
pub fn holder_digest(public_key: &[u8]) -> Digest {
    hash(HOLDER_DOMAIN, &[public_key])
}

/// The hash of an encoded opening key.
#[must_use]
pub fn opening_digest(public_key: &[u8]) -> Digest {
    hash(OPENING_DOMAIN, &[public_key])
}

/// The longest thing that is sealed in a record, in bytes.
pub const MAX_SEALED_BYTES: usize = 2_048;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRecordError {
    /// Not the canonical encoding, or too large.
    #[error("the key record does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("key record version {0} is not known")]
    Version(u16),
}

/// Something sealed to one holder of a key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedTo {
    /// [`holder_digest`] of the key that opens it.
    pub recipient: Digest,
    /// Sealed bytes.
    pub sealed: Vec<u8>,
}

/// A recovery share. Its number is its place in the record, from 1.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedShare {
    /// By which a bogus share is known.
    pub commitment: Digest,
    /// The share, sealed to its holder.
    pub share: SealedTo,
}

/// How the root of one key epoch was handed out.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    /// Format version.
    pub version: u16,
    /// The network.
    pub network: Digest,
    /// The key epoch.
    pub key_epoch: u32,
    /// Its encoded opening key.
    pub public_key: Vec<u8>,
    /// The root, sealed to each module.
    pub roots: Vec<SealedTo>,
    /// The bundle, sealed to each auditor.
    pub bundles: Vec<SealedTo>,
    /// How many shares recover the root; 0 if there are none.
    pub threshold: u8,
    /// The shares.
    pub shares: Vec<SealedShare>,
}

impl KeyRecord {
    /// The present format version.
    pub const VERSION: u16 = RECORD_VERSION;

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyRecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(KeyRecordError::Malformed);
        }
        let record = Self::try_from_slice(bytes).map_err(|_| KeyRecordError::Malformed)?;
        if record.version != RECORD_VERSION {
            return Err(KeyRecordError::Version(record.version));
        }
        let shares = record.shares.iter().map(|one| &one.share);
        let mut sealed = record.roots.iter().chain(&record.bundles).chain(shares);
        if sealed.any(|one| one.sealed.len() > MAX_SEALED_BYTES) {
            return Err(KeyRecordError::Malformed);
        }
        Ok(record)
    }

    /// The content of a file with the record: the record and its digest. The digest finds damage; what is believed of a
    /// record is checked otherwise.
    #[must_use]
    pub fn encode_file(&self) -> Vec<u8> {
        [&self.encode()[..], self.digest().as_bytes()].concat()
    }

    /// Reads [`KeyRecord::encode_file`].
    ///
    /// # Errors
    /// As [`KeyRecord::decode`], or damage.
    pub fn decode_file(bytes: &[u8]) -> Result<Self, KeyRecordError> {
        let (bytes, digest) = bytes
            .split_last_chunk::<DIGEST_LENGTH>()
            .ok_or(KeyRecordError::Malformed)?;
        let record = Self::decode(bytes)?;
        if record.digest().0 == *digest {
            Ok(record)
        } else {
            Err(KeyRecordError::Malformed)
        }
    }

    /// The digest by which an epoch's definition names it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(RECORD_DOMAIN, &[&self.encode()])
    }

    /// The grants for the modules, as each module keeps its own.
    pub fn grants(&self) -> impl Iterator<Item = RootGrant> {
        let opening = opening_digest(&self.public_key);
        self.roots.iter().map(move |one| RootGrant {
            network: self.network,
            key_epoch: self.key_epoch,
            opening,
            recipient: one.recipient,
            sealed: one.sealed.clone(),
        })
    }
}

/// The root of one key epoch, sealed to one module.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootGrant {
    /// The network.
    pub network: Digest,
    /// The key epoch.
    pub key_epoch: u32,
    /// [`opening_digest`] of the opening key that follows from the root.
    pub opening: Digest,
    /// [`holder_digest`] of the module's key.
    pub recipient: Digest,
    /// The root, sealed.
    pub sealed: Vec<u8>,
}

impl RootGrant {
    /// What no two grants in a file have in common, and by which they are sorted. What is sealed counts: a module that
    /// lies may make a grant that does not open before the one that does.
    fn key(&self) -> (u32, Digest, Digest, Digest) {
        let sealed = hash(SEALED_DOMAIN, &[&self.sealed]);
        (self.key_epoch, self.opening, self.recipient, sealed)
    }
}

/// What a module is given of the network's roots: the newest ones, one for each key epoch that it may need.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootFile {
    version: u16,
    grants: Vec<RootGrant>,
}

impl Default for RootFile {
    fn default() -> Self {
        Self {
            version: FILE_VERSION,
            grants: Vec::new(),
        }
    }
}

impl RootFile {
    /// A file of these grants.
    #[must_use]
    pub fn of(grants: impl IntoIterator<Item = RootGrant>) -> Self {
        let mut file = Self::default();
        for grant in grants {
            file.add(grant);
        }
        file
    }

    /// The grants, older key epochs first.
    #[must_use]
    pub fn grants(&self) -> &[RootGrant] {
        &self.grants
    }

    /// Adds a grant that is not there yet; the oldest goes when there are too many.
    pub fn add(&mut self, grant: RootGrant) {
        let place = self
            .grants
            .binary_search_by_key(&grant.key(), RootGrant::key);
        let Err(place) = place else {
            return;
        };
        self.grants.insert(place, grant);
        let surplus = self.grants.len().saturating_sub(MAX_GRANTS);
        self.grants.drain(..surplus);
        while !self.grants.is_empty() && self.encode().len() > MAX_RECORD_BYTES {
            self.grants.remove(0);
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyRecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(KeyRecordError::Malformed);
        }
        let file = Self::try_from_slice(bytes).map_err(|_| KeyRecordError::Malformed)?;
        if file.version != FILE_VERSION {
            return Err(KeyRecordError::Version(file.version));
        }
        let ascending = |pair: &[RootGrant]| matches!(pair, [one, next] if one.key() < next.key());
        if file.grants.len() > MAX_GRANTS || !file.grants.windows(2).all(ascending) {
            return Err(KeyRecordError::Malformed);
        }
        Ok(file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    use crate::testing::pin;

    fn grant(key_epoch: u32, opening: u8) -> RootGrant {
        RootGrant {
            network: Digest([1; 32]),
            key_epoch,
            opening: Digest([opening; 32]),
            recipient: Digest([3; 32]),
            sealed: vec![4; 5],
        }
    }

    fn record() -> KeyRecord {
        let to = |byte| SealedTo {
            recipient: Digest([byte; 32]),
            sealed: vec![byte; 3],
        };
        KeyRecord {
            version: KeyRecord::VERSION,
            network: Digest([1; 32]),
            key_epoch: 7,
            public_key: vec![2; 9],
            roots: vec![to(3), to(4)],
            bundles: vec![to(5)],
            threshold: 2,
            shares: vec![
                SealedShare {
                    commitment: Digest([6; 32]),
                    share: to(7),
                },
                SealedShare {
                    commitment: Digest([8; 32]),
                    share: to(9),
                },
            ],
        }
    }

    #[test]
    fn the_encodings_are_pinned() {
        let file = RootFile::of([grant(1, 2), grant(0, 9)]);
        let pins = [
            pin(&record().encode()),
            record().digest().to_string(),
            pin(&file.encode()),
            holder_digest(&[1, 2]).to_string(),
            opening_digest(&[1, 2]).to_string(),
        ];
        assert_eq!(
            pins,
            [
                "1b323d1c20da7d4d82876239431795c564c980fc77517fdf78d17af5153a0947",
                "728b738e81a06db3ba0685efc1a18809ee4323edf639066c5bffaccaed243b52",
                "30301cd2a6f20ab16307b3c6b5c466a4126706b30ced50db143016d4aef9ffc2",
                "a2f745f5e854291a06a3e99fb77ed19ae27f8c5042d7b606b0c462246a89a247",
                "0b97d31a8db61f09423fba80805cd5a8258050ecf36155cfcef45152843215bd"
            ]
        );
    }

    #[test]
    fn only_the_canonical_encoding_is_read() {
        let bytes = record().encode();
        assert_eq!(KeyRecord::decode(&bytes), Ok(record()));
        for length in 0..bytes.len() {
            assert_eq!(
                KeyRecord::decode(&bytes[..length]),
                Err(KeyRecordError::Malformed)
            );
        }
        let mut other = record();
        other.version = 2;
        assert_eq!(
            KeyRecord::decode(&other.encode()),
            Err(KeyRecordError::Version(2))
        );
        let long = [bytes, vec![0]].concat();
        assert_eq!(KeyRecord::decode(&long), Err(KeyRecordError::Malformed));
    }

    #[test]
    fn every_flipped_bit_of_a_file_is_found() {
        let bytes = record().encode_file();
        assert_eq!(KeyRecord::decode_file(&bytes), Ok(record()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyRecord::decode_file(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_sealed_in_a_record_has_a_limit() {
        let mut long = record();
        long.roots[1].sealed = vec![1; MAX_SEALED_BYTES];
        assert!(KeyRecord::decode(&long.encode()).is_ok());
        long.roots[1].sealed.push(1);
        assert_eq!(
            KeyRecord::decode(&long.encode()),
            Err(KeyRecordError::Malformed)
        );
    }

    #[test]
    fn a_grant_that_does_not_open_keeps_no_other_out() {
        let (good, mut bad) = (grant(1, 2), grant(1, 2));
        bad.sealed = vec![9; 5];
        let file = RootFile::of([bad, good.clone(), good]);
        assert_eq!(file.grants().len(), 2);
    }

    #[test]
    fn every_part_of_a_record_changes_its_digest() {
        let mut digests = std::collections::BTreeSet::from([record().digest()]);
        let alterations: [fn(&mut KeyRecord); 7] = [
            |one| one.network = Digest::ZERO,
            |one| one.key_epoch += 1,
            |one| one.public_key.push(0),
            |one| one.roots.truncate(1),
            |one| one.bundles.clear(),
            |one| one.threshold = 1,
            |one| one.shares[0].commitment = Digest::ZERO,
        ];
        for alter in alterations {
            let mut other = record();
            alter(&mut other);
            assert!(digests.insert(other.digest()));
        }
    }

    #[test]
    fn a_file_keeps_the_newest_grants_each_once() {
        let all = 0..MAX_GRANTS as u32 + 5;
        let mut file = RootFile::of(all.clone().rev().map(|epoch| grant(epoch, 1)));
        file.add(grant(20, 1));
        let epochs: Vec<u32> = file.grants().iter().map(|one| one.key_epoch).collect();
        assert_eq!(epochs, all.skip(5).collect::<Vec<_>>());
        file.add(grant(20, 2));
        assert_eq!(file.grants().len(), MAX_GRANTS);
        assert_eq!(RootFile::decode(&file.encode()), Ok(file.clone()));
        // Each once and in order, or it is no file.
        file.grants.swap(0, 1);
        let unsorted = RootFile::decode(&file.encode());
        assert_eq!(unsorted, Err(KeyRecordError::Malformed));
        let twice = file.grants[0].clone();
        file.grants[1] = twice;
        let twice = RootFile::decode(&file.encode());
        assert_eq!(twice, Err(KeyRecordError::Malformed));
    }

    #[test]
    fn grants_follow_from_the_record() {
        let grants: Vec<RootGrant> = record().grants().collect();
        assert_eq!(grants.len(), 2);
        assert_eq!(grants[1].recipient, Digest([4; 32]));
        assert_eq!(grants[1].opening, opening_digest(&[2; 9]));
    }
}
