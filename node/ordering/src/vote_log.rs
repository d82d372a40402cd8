//! Whether this node may vote. A validator that lost the log of its votes could vote for two blocks
//! in one view, so it must not vote in an epoch that it may have voted in before.
//!
//! ```text
//! mark                          "sealbook vote log 2 <network> <vote key> <id> <epoch> <state>\n"
//! store, metadata "vote log"    "<network> <vote key> <id>"
//! ```
//!
//! In a real node the mark is the file `vote-log` beside the engine's own files. It is made when a
//! network is founded, and otherwise only when an epoch begins that cannot have begun before this
//! process: its boundary block's time is later than the process' start by more than clocks may
//! differ. Its id ties it to the store; its epoch is the lowest in which the node may vote, and
//! rises when an epoch begins, before the votes of earlier ones are deleted. `founded` is a mark
//! that no node has started with yet, `claimed` one in use.
//!
//! INVARIANT: a node votes in an epoch only if its mark goes with its store and names this epoch or
//! an earlier one, and the mark was durable before the first vote.
//!
//! After a crash between the two writes they do not go together, and the node counts as one that
//! lost its votes. What is not noticed here is an old copy of the whole node, store and votes
//! together.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use commonware_cryptography::ed25519;
use rand_core::Rng;
use sealbook_ledger::EpochDefinition;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::random;
use sealbook_store::LedgerStore;

use crate::committee::hex;
use crate::config::OrderingError;
use crate::status::{ObserverReason, Seat};

const FILE: &str = "vote-log";
const METADATA: &str = "vote log";
/// In the store, that it has gone with these engine's files from its beginning.
const ENGINE_METADATA: &str = "ordering engine";
const PREFIX: &str = "sealbook vote log 2";
const MARK_BYTES_MAX: usize = 512;

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

/// Makes the engine's directory, empty if the store has not seen it: what the engine says that the
/// store has would not be there.
pub(crate) fn prepare(
    storage: &Path,
    store: &LedgerStore,
    network: &Digest,
) -> Result<(), OrderingError> {
    let directory = engine_directory(storage);
    let file = FileMark::new(storage);
    let mark = file.read()?.and_then(|bytes| Mark::decode(&bytes));
    if let Some(mark) = mark {
        if mark.network != network.to_string() {
            return Err(OrderingError::VoteLogOfAnother);
        }
        // A mark that was in use, without the votes that it vouches for.
        if mark.claimed && !directory.exists() {
            file.remove()?;
        }
    }
    let known = store.metadata(ENGINE_METADATA)?.is_some();
    if !known && directory.exists() {
        tracing::warn!("the store is a new one; the engine's files are made anew too");
        fs::remove_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
    }
    fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
    if !known {
        store.put_metadata(ENGINE_METADATA, b"1")?;
    }
    Ok(())
}

/// Where a node keeps its mark: with its votes, so that one is not lost without the other.
pub trait VoteMark: Send + Sync + 'static {
    /// The mark, if there is one.
    ///
    /// # Errors
    /// A failed read.
    fn read(&self) -> Result<Option<Vec<u8>>, OrderingError>;

    /// Replaces the mark; durable when it returns.
    ///
    /// # Errors
    /// A failed write.
    fn write(&self, mark: &[u8]) -> Result<(), OrderingError>;
}

/// The mark as a file.
pub(crate) struct FileMark {
    directory: PathBuf,
}

impl FileMark {
    pub(crate) fn new(storage: &Path) -> Self {
        Self {
            directory: storage.to_path_buf(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn remove(&self) -> Result<(), OrderingError> {
        let remove = || {
            fs::remove_file(self.path())?;
            File::open(&self.directory)?.sync_all()
        };
        remove().map_err(|error| failed(&self.path(), &error))
    }
}

impl VoteMark for FileMark {
    fn read(&self) -> Result<Option<Vec<u8>>, OrderingError> {
        match fs::read(self.path()) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.path(), &error)),
        }
    }

    fn write(&self, mark: &[u8]) -> Result<(), OrderingError> {
        let (path, unfinished) = (self.path(), self.path().with_extension("new"));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(mark)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| failed(&path, &error))
    }
}

/// The mark in memory, for simulated nodes. A wiped node gets a new one.
#[derive(Debug, Clone, Default)]
pub struct MemoryMark {
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
}

impl VoteMark for MemoryMark {
    fn read(&self) -> Result<Option<Vec<u8>>, OrderingError> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(bytes.clone())
    }

    fn write(&self, mark: &[u8]) -> Result<(), OrderingError> {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark.to_vec());
        Ok(())
    }
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    network: String,
    key: String,
    id: String,
    from: u64,
    claimed: bool,
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        let state = if self.claimed { "claimed" } else { "founded" };
        let Self {
            network, key, id, ..
        } = self;
        format!("{PREFIX} {network} {key} {id} {} {state}\n", self.from).into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = bytes.get(..bytes.len().min(MARK_BYTES_MAX))?;
        let text = std::str::from_utf8(text).ok()?;
        let words = text.strip_prefix(PREFIX)?.strip_suffix('\n')?;
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        let [network, key, id, from, state] = words.as_slice() else {
            return None;
        };
        let mark = Self {
            network: (*network).to_owned(),
            key: (*key).to_owned(),
            id: (*id).to_owned(),
            from: from.parse().ok()?,
            claimed: *state == "claimed",
        };
        (mark.encode() == bytes).then_some(mark)
    }

    fn tie(&self) -> Vec<u8> {
        format!("{} {} {}", self.network, self.key, self.id).into_bytes()
    }
}

/// Gives a new validator of a new network the right to vote from the first epoch on. To be called
/// once, when the network is founded: whoever calls it for a node that has voted before lets it
/// contradict itself. With `store`, the node's own store, the two are tied together at once;
/// without, at the first start.
///
/// # Errors
/// There is a mark already, or the directory or store cannot be written.
pub fn found_vote_log(
    storage_directory: &Path,
    store: Option<&LedgerStore>,
    network: &Digest,
    vote_key: &[u8; 32],
) -> Result<(), OrderingError> {
    fs::create_dir_all(storage_directory).map_err(|error| failed(storage_directory, &error))?;
    let mark = FileMark::new(storage_directory);
    let mut id = [0; 16];
    random::fill(&mut id);
    found(&mark, store, (network, vote_key), &id)
}

/// As [`found_vote_log`], for any mark; `id` differs from that of every other mark of this node.
///
/// # Errors
/// There is a mark already, or it cannot be written.
pub fn found(
    mark: &dyn VoteMark,
    store: Option<&LedgerStore>,
    (network, vote_key): (&Digest, &[u8; 32]),
    id: &[u8; 16],
) -> Result<(), OrderingError> {
    if mark.read()?.is_some() {
        let reason = "this node has a vote log already; it is founded once".to_owned();
        return Err(OrderingError::Config(reason));
    }
    let founded = Mark {
        network: network.to_string(),
        key: hex(vote_key),
        id: hex(id),
        from: 0,
        claimed: false,
    };
    mark.write(&founded.encode())?;
    if let Some(store) = store {
        store.put_metadata(METADATA, &founded.tie())?;
    }
    Ok(())
}

/// Decides in which epochs this node votes.
pub(crate) struct Voting {
    pub(crate) mark: Box<dyn VoteMark>,
    pub(crate) store: Arc<LedgerStore>,
    pub(crate) network: Digest,
    pub(crate) vote_key: [u8; 32],
    pub(crate) signer: ed25519::PrivateKey,
    /// The operator does not want it to vote.
    pub(crate) observe_only: bool,
    /// An epoch that begins later than this began after the process did.
    pub(crate) certain_after_ms: u64,
}

impl Voting {
    /// The mark, if it is ours and goes with the store.
    fn held(&self) -> Result<Option<Mark>, OrderingError> {
        let Some(mark) = self.mark.read()?.and_then(|bytes| Mark::decode(&bytes)) else {
            return Ok(None);
        };
        if mark.network != self.network.to_string() {
            return Err(OrderingError::VoteLogOfAnother);
        }
        if mark.key != hex(&self.vote_key) {
            return Ok(None);
        }
        let tied = self.store.metadata(METADATA)?;
        let goes = match &tied {
            Some(tied) => *tied == mark.tie(),
            None => !mark.claimed && self.store.latest_height().unwrap_or(0) == 0,
        };
        if !goes {
            return Ok(None);
        }
        if tied.is_none() {
            // Before the mark says that it is in use.
            self.store.put_metadata(METADATA, &mark.tie())?;
        }
        if mark.claimed {
            return Ok(Some(mark));
        }
        let claimed = Mark {
            claimed: true,
            ..mark
        };
        self.mark.write(&claimed.encode())?;
        Ok(Some(claimed))
    }

    /// This node's seat in an epoch that is about to begin. `began_ms` is the time of the block that
    /// it begins after, unless it is the first. When this returns that it votes, it has the right to
    /// durably.
    pub(crate) fn seat(
        &self,
        definition: &EpochDefinition,
        began_ms: Option<u64>,
        random: &mut impl Rng,
    ) -> Result<Seat, OrderingError> {
        let is_me = |key: &[u8; 32]| *key == self.vote_key;
        let votes = definition
            .validators
            .iter()
            .any(|seat| is_me(seat.vote_key.as_bytes()));
        let follows = definition
            .observers
            .iter()
            .any(|seat| is_me(seat.vote_key.as_bytes()));
        let held = self.held()?;
        let began_after = began_ms.is_some_and(|began_ms| began_ms > self.certain_after_ms);
        let seat = match &held {
            _ if follows => Seat::Observer(ObserverReason::Appointed),
            _ if !votes => Seat::Observer(ObserverReason::NotAMember),
            _ if self.observe_only => Seat::Observer(ObserverReason::Asked),
            Some(mark) if definition.epoch < mark.from => {
                let votes_from = Some(mark.from);
                Seat::Observer(ObserverReason::VotesLost { votes_from })
            }
            None if !began_after => {
                let votes_from = None;
                Seat::Observer(ObserverReason::VotesLost { votes_from })
            }
            _ => Seat::Validator,
        };
        match held {
            Some(mark) if mark.from < definition.epoch => {
                let from = definition.epoch;
                self.mark.write(&Mark { from, ..mark }.encode())?;
            }
            None if seat == Seat::Validator => {
                let mut id = [0; 16];
                random.fill_bytes(&mut id);
                let mark = Mark {
                    network: self.network.to_string(),
                    key: hex(&self.vote_key),
                    id: hex(&id),
                    from: definition.epoch,
                    claimed: true,
                };
                self.mark.write(&mark.encode())?;
                self.store.put_metadata(METADATA, &mark.tie())?;
            }
            _ => {}
        }
        Ok(seat)
    }
}

#[cfg(test)]
#[path = "vote_log_tests.rs"]
mod tests;
