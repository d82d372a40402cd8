//! A note beside the store of how far the ledger had come, so that a copy whose store ends earlier is recognised: the
//! store's own engine takes a damaged record for the end of its log.
//!
//! ```text
//! tip = "sealbook tip v2 <height, 20 digits> <digest of that block> <hash of all before>" newline
//! ```
//!
//! Written after the block is durable, always of one length and in place, without waiting for the disk: after a power cut
//! it may be older than the store, or empty, and the next block writes it anew. A file that took its place by renaming
//! would have to be on the disk first, with every block.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sealbook_primitives::hash::{Digest, hash};

/// Name of the note in a ledger's folder.
pub const TIP: &str = "tip";
const FIRST_WORDS: &str = "sealbook tip v2";
const DOMAIN: &str = "sealbook 2026 ledger tip v2";
const BYTES_MAX: u64 = 256;
/// How often a note is read that a node may be writing just then.
const TRIES: usize = 5;

/// How far a ledger had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Height of the newest final block without a gap below it.
    pub height: u64,
    /// Its digest.
    pub block: Digest,
}

/// Why there is no note to go by.
#[derive(Debug, thiserror::Error)]
pub enum TipError {
    /// The file cannot be read.
    #[error("the note of the ledger's tip cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is not what a node writes.
    #[error("the note of the ledger's tip is damaged")]
    Damaged,
}

impl Tip {
    fn text(&self) -> String {
        let words = format!("{FIRST_WORDS} {:020} {}", self.height, self.block);
        let check = hash(DOMAIN, &[words.as_bytes()]);
        format!("{words} {check}\n")
    }

    /// Writes the note in a ledger's folder.
    ///
    /// # Errors
    /// The file system failed.
    pub fn write(&self, ledger: &Path) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(ledger.join(TIP))?;
        let text = self.text();
        file.write_all_at(text.as_bytes(), 0)?;
        // Of another version, perhaps.
        if file.metadata()?.len() > text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }

    /// Reads the note in a ledger's folder, if there is one.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn read(ledger: &Path) -> Result<Option<Self>, TipError> {
        let mut found = Self::read_once(ledger);
        for _ in 1..TRIES {
            if !matches!(found, Err(TipError::Damaged)) {
                break;
            }
            found = Self::read_once(ledger);
        }
        found
    }

    fn read_once(ledger: &Path) -> Result<Option<Self>, TipError> {
        let path = ledger.join(TIP);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(found) if found.len() > BYTES_MAX => return Err(TipError::Damaged),
            Ok(_) => {}
        }
        let text = String::from_utf8(fs::read(&path)?).map_err(|_| TipError::Damaged)?;
        let parsed = text.strip_prefix(FIRST_WORDS).and_then(|rest| {
            let mut words = rest.split_whitespace();
            let height = words.next()?.parse().ok()?;
            let block = Digest::from_hex(words.next()?).ok()?;
            Some(Self { height, block })
        });
        match parsed {
            Some(tip) if tip.text() == text => Ok(Some(tip)),
            _ => Err(TipError::Damaged),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_of_a_note_shows() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Tip::read(folder.path()).unwrap().is_none());
        let tip = Tip {
            height: 1_234,
            block: Digest([7; 32]),
        };
        let higher = Tip {
            height: u64::MAX,
            ..tip
        };
        for tip in [tip, higher, tip] {
            tip.write(folder.path()).unwrap();
            assert_eq!(Tip::read(folder.path()).unwrap(), Some(tip));
        }
        fs::write(folder.path().join(TIP), [b'x'; 250]).unwrap();
        tip.write(folder.path()).unwrap();
        assert_eq!(Tip::read(folder.path()).unwrap(), Some(tip));
        let good = fs::read(folder.path().join(TIP)).unwrap();
        for place in 0..good.len() {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            fs::write(folder.path().join(TIP), &bytes).unwrap();
            assert!(
                matches!(Tip::read(folder.path()), Err(TipError::Damaged)),
                "byte {place}"
            );
            fs::write(folder.path().join(TIP), &good[..place]).unwrap();
            assert!(
                matches!(Tip::read(folder.path()), Err(TipError::Damaged)),
                "cut at {place}"
            );
        }
    }
}
