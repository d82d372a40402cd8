//! Whether this node still has its vote log. A validator that lost it could vote for two blocks in
//! one view, so it must not vote in this committee epoch again.
//!
//! ```text
//! <storage directory>/vote-log   "sealbook vote log 1 <network hex> <vote key hex>\n"
//! <storage directory>/engine/    commonware's storage: votes, caches
//! store, metadata "vote log"     the same line, written after the file
//! ```
//!
//! After a crash between the two writes the file is there alone, which is a fresh vote log.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sealbook_primitives::hash::Digest;
use sealbook_store::LedgerStore;

use crate::committee::hex;
use crate::config::OrderingError;

const MARK: &str = "vote-log";
const METADATA: &str = "vote log";

/// Where commonware keeps its files.
pub(crate) fn engine_directory(storage: &Path) -> PathBuf {
    storage.join("engine")
}

fn failed(path: &Path, error: &std::io::Error) -> OrderingError {
    OrderingError::Storage {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// Makes the engine's directories.
pub(crate) fn prepare(storage: &Path) -> Result<(), OrderingError> {
    let directory = engine_directory(storage);
    fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))
}

/// Checks that the vote log is where this node left it, and marks it if this is the node's first
/// start.
pub(crate) fn claim(
    storage: &Path,
    store: &LedgerStore,
    network: &Digest,
    vote_key: &[u8; 32],
) -> Result<(), OrderingError> {
    let line = format!("sealbook vote log 1 {network} {}\n", hex(vote_key));
    let mark = storage.join(MARK);
    match fs::read(&mark) {
        Ok(found) if found == line.as_bytes() => {}
        Ok(_) => {
            return Err(OrderingError::VoteLogOfAnother {
                path: storage.display().to_string(),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if store.metadata(METADATA)?.as_deref() == Some(line.as_bytes()) {
                return Err(OrderingError::VoteLogLost);
            }
            write_durably(storage, &mark, &line).map_err(|error| failed(&mark, &error))?;
        }
        Err(error) => return Err(failed(&mark, &error)),
    }
    if store.metadata(METADATA)?.as_deref() != Some(line.as_bytes()) {
        store.put_metadata(METADATA, line.as_bytes())?;
    }
    Ok(())
}

fn write_durably(directory: &Path, path: &Path, line: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use std::sync::Arc;

    use sealbook_store::MemoryStore;

    use super::*;

    #[test]
    fn a_lost_vote_log_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(Arc::new(MemoryStore::new())).unwrap();
        let (network, key) = (Digest([1; 32]), [2; 32]);
        claim(directory.path(), &store, &network, &key).unwrap();
        claim(directory.path(), &store, &network, &key).unwrap();
        let other = claim(directory.path(), &store, &network, &[3; 32]);
        assert!(matches!(other, Err(OrderingError::VoteLogOfAnother { .. })));
        fs::remove_file(directory.path().join(MARK)).unwrap();
        let lost = claim(directory.path(), &store, &network, &key);
        assert!(matches!(lost, Err(OrderingError::VoteLogLost)));
        // Under a new key it has never voted.
        claim(directory.path(), &store, &network, &[3; 32]).unwrap();
    }
}
