//! A holder's key that nobody holds alone: in shares, some number of which make it together. For auditors who trust nobody
//! among them with all that the ledger holds.
//!
//! ```text
//! share file = version u8 | threshold u8 | identity | commitments to all shares | share
//! ```
//!
//! The key is made and split in one go, and made again only in the memory of whoever uses it. Commitments tell a share that was
//! altered. A file whose other parts were altered does not go with those of the other holders.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::holder_digest;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{Secret32, derive};
use sealbook_sharing::{HOLDERS_MAX, Share, combine, find_bogus, split};
use zeroize::{Zeroize as _, Zeroizing};

use crate::custody::{MAX_FILE_BYTES, ModuleKey};

const SHARE_FILE_VERSION: u8 = 1;
const SEED_LABEL: &str = "sealbook 2026 shared key seed";
/// The largest share file, in bytes.
pub const MAX_SHARE_FILE_BYTES: usize = MAX_FILE_BYTES + 32 * HOLDERS_MAX as usize;

/// Why shares do not make a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedKeyError {
    /// There cannot be such shares.
    #[error("a key has 2 to {HOLDERS_MAX} shares, of which 2 or more are needed")]
    Numbers,
    /// A file is no share of a key.
    #[error("file {0} is no share of a key")]
    Malformed(usize),
    /// A file and the first one are not of one key.
    #[error(
        "file {0} and file 1 are not shares of one key: one of them is another's, or was altered"
    )]
    Other(usize),
    /// Shares that are not the committed ones.
    #[error("bogus shares, by their numbers: {}", numbers(.0))]
    Bogus(Vec<u8>),
    /// Fewer shares than are needed.
    #[error("{found} different shares of {needed} that are needed")]
    TooFew {
        /// As many as came.
        found: usize,
        /// As many as are needed.
        needed: u8,
    },
    /// The shares make another key than they say.
    #[error("the shares make another key than the one that they name")]
    NotNamed,
}

fn numbers(numbers: &[u8]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

#[derive(BorshSerialize, BorshDeserialize)]
struct ShareFile {
    version: u8,
    threshold: u8,
    identity: Vec<u8>,
    commitments: Vec<Digest>,
    share: Vec<u8>,
}

impl Drop for ShareFile {
    fn drop(&mut self) {
        self.share.zeroize();
    }
}

/// The content of a share's file.
pub type ShareBytes = Zeroizing<Vec<u8>>;

/// A new key in so many shares: the contents of their files, and the public half as lists of holders name it.
///
/// # Errors
/// [`SharedKeyError::Numbers`].
pub fn generate(threshold: u8, holders: u8) -> Result<(Vec<ShareBytes>, Vec<u8>), SharedKeyError> {
    if threshold < 2 || holders < threshold {
        return Err(SharedKeyError::Numbers);
    }
    let secret = Secret32::random();
    let seed = derive(&Secret32::random(), SEED_LABEL, &[]);
    let shares = split(&secret, threshold, holders, &seed);
    let shares = shares.map_err(|_| SharedKeyError::Numbers)?;
    let identity = ModuleKey::of(secret).identity().to_vec();
    let about = holder_digest(&identity);
    let commitments: Vec<Digest> = shares.iter().map(|one| one.commitment(&about, 0)).collect();
    let file = |share: &Share| {
        let file = ShareFile {
            version: SHARE_FILE_VERSION,
            threshold,
            identity: identity.clone(),
            commitments: commitments.clone(),
            share: share.encode().expose().to_vec(),
        };
        Zeroizing::new(borsh::to_vec(&file).unwrap_or_default())
    };
    Ok((shares.iter().map(file).collect(), identity))
}

/// The public half of the key that a file is a share of.
#[must_use]
pub fn identity_of(file: &[u8]) -> Option<Vec<u8>> {
    let file = read(file)?;
    Some(file.identity.clone())
}

fn read(bytes: &[u8]) -> Option<ShareFile> {
    if bytes.len() > MAX_SHARE_FILE_BYTES {
        return None;
    }
    let file = ShareFile::try_from_slice(bytes).ok()?;
    (file.version == SHARE_FILE_VERSION && file.threshold >= 2).then_some(file)
}

/// The key that the shares in these files make.
///
/// # Errors
/// What is wrong with them, by file or by share.
pub fn assemble(files: &[ShareBytes]) -> Result<ModuleKey, SharedKeyError> {
    let mut first: Option<ShareFile> = None;
    let mut shares: Vec<Share> = Vec::new();
    for (place, bytes) in (1..).zip(files) {
        let file = read(bytes).ok_or(SharedKeyError::Malformed(place))?;
        let share = Share::decode(&file.share).map_err(|_| SharedKeyError::Malformed(place))?;
        match &first {
            None => first = Some(file),
            Some(first) => {
                let same = file.identity == first.identity
                    && file.threshold == first.threshold
                    && file.commitments == first.commitments;
                if !same {
                    return Err(SharedKeyError::Other(place));
                }
            }
        }
        if !shares.iter().any(|one| one.constant_time_eq(&share)) {
            shares.push(share);
        }
    }
    let first = first.ok_or(SharedKeyError::TooFew {
        found: 0,
        needed: 2,
    })?;
    let about = holder_digest(&first.identity);
    let bogus = find_bogus(&shares, &first.commitments, &about, 0);
    if !bogus.is_empty() {
        return Err(SharedKeyError::Bogus(bogus));
    }
    let too_few = SharedKeyError::TooFew {
        found: shares.len(),
        needed: first.threshold,
    };
    let secret = combine(&shares, first.threshold).map_err(|_| too_few)?;
    let key = ModuleKey::of(secret);
    if key.identity() == first.identity {
        Ok(key)
    } else {
        Err(SharedKeyError::NotNamed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn made() -> (Vec<ShareBytes>, Vec<u8>) {
        generate(2, 3).unwrap()
    }

    fn refused(files: &[ShareBytes]) -> SharedKeyError {
        assemble(files).map(drop).unwrap_err()
    }

    #[test]
    fn as_many_shares_as_are_needed_make_the_key_and_fewer_do_not() {
        let (files, identity) = made();
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let pair = pair.map(|place| files[place].clone());
            assert_eq!(assemble(&pair).unwrap().identity(), identity);
        }
        assert_eq!(assemble(&files).unwrap().identity(), identity);
        let needed = 2;
        let too_few = |found| SharedKeyError::TooFew { found, needed };
        assert_eq!(refused(&files[..1]), too_few(1));
        assert_eq!(refused(&[files[0].clone(), files[0].clone()]), too_few(1));
        assert_eq!(refused(&[]), too_few(0));
        assert_eq!(identity_of(&files[2]), Some(identity));
        for (threshold, holders) in [(0, 3), (1, 3), (4, 3), (2, 0)] {
            assert!(generate(threshold, holders).is_err());
        }
    }

    #[test]
    fn altered_and_foreign_files_are_named() {
        let (files, _) = made();
        let (foreign, _) = made();
        let with = |second: &[u8]| [files[0].clone(), Zeroizing::new(second.to_vec())];
        assert_eq!(refused(&with(&foreign[1])), SharedKeyError::Other(2));
        assert_eq!(refused(&with(b"no share")), SharedKeyError::Malformed(2));
        assert_eq!(refused(&with(&[])), SharedKeyError::Malformed(2));
        let mut altered = files[1].to_vec();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(refused(&with(&altered)), SharedKeyError::Bogus(vec![2]));
        // Every flipped bit is noticed, wherever it is.
        for at in 0..files[1].len() {
            let mut altered = files[1].to_vec();
            altered[at] ^= 1;
            assert!(assemble(&with(&altered)).is_err(), "{at}");
        }
        assert_eq!(identity_of(&vec![0; MAX_SHARE_FILE_BYTES + 1]), None);
    }

    #[test]
    fn the_form_of_a_share_file_is_pinned() {
        let (files, identity) = made();
        let file = &files[1];
        assert_eq!(file[..2], [1, 2]);
        assert_eq!(
            file[2..6],
            u32::try_from(identity.len()).unwrap().to_le_bytes()
        );
        let after = 6 + identity.len();
        assert_eq!(file[6..after], identity);
        assert_eq!(file[after..after + 4], 3_u32.to_le_bytes());
        let share = after + 4 + 3 * 32;
        assert_eq!(file[share..share + 4], 34_u32.to_le_bytes());
        assert_eq!(file[share + 4..share + 6], [1, 2]);
        assert_eq!(file.len(), share + 4 + 34);
    }
}
