//! What a writer did, in order.

use std::io;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};

/// One thing that a writer did. Paths are relative to the recorded folder; files have numbers, because names move.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Event {
    /// A process began; these files were there.
    Began {
        /// Their paths and the numbers that this process gives them.
        files: Vec<(String, u64)>,
    },
    /// A file was created.
    Created {
        /// Its number.
        file: u64,
        /// Its path.
        path: String,
    },
    /// A folder was created.
    FolderCreated {
        /// Its path.
        path: String,
    },
    /// Bytes were written.
    Wrote {
        /// The file's number.
        file: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut or extended with zeros.
    Resized {
        /// The file's number.
        file: u64,
        /// Its new length.
        length: u64,
    },
    /// A file was renamed.
    Renamed {
        /// Its old path.
        from: String,
        /// Its new path.
        to: String,
    },
    /// A file was removed.
    Removed {
        /// Its path.
        path: String,
    },
    /// `fsync` or `fdatasync` of a file.
    Synced {
        /// The file's number.
        file: u64,
    },
    /// `fsync` of a folder.
    FolderSynced {
        /// Its path.
        path: String,
    },
    /// `sync_file_range`, which makes nothing durable.
    RangeSynced {
        /// The file's number.
        file: u64,
    },
    /// The writer hands a batch to the store.
    Begun(u64),
    /// The store acknowledged a batch.
    Acknowledged(u64),
}

/// Reads the events of one process.
///
/// # Errors
/// The file cannot be read, or is not a recording.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let bytes = std::fs::read(path)?;
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        events.push(Event::deserialize(&mut rest)?);
    }
    Ok(events)
}
