//! Sealed snapshots: the whole state after the last block of a committee epoch, in pieces that every module makes
//! alike.
//!
//! ```text
//! block S        the state after it is copied
//! S + 1 ...      a few pieces are sealed with every block
//! S + delay      all pieces are sealed; this block's commitment is the first to name the manifest
//! ```
//!
//! The copy is made at once, so what is sealed does not change under the sealing. A module that was restored from the
//! snapshot of S names it at S + delay too, without making it again.
//!
//! INVARIANT: which snapshot a commitment names depends on the height alone, not on how blocks came or how fast
//! pieces are sealed. After a crash the same pieces are made again while the same blocks are executed.

use sealbook_ledger::{
    Commitment, EpochDefinition, SNAPSHOT_DELAY, SnapshotManifest, SnapshotReference,
    opening_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{Secret32, SecretBytes};

use crate::engine::{Engine, Output};
use crate::keys::EpochKeys;
use content::{names_of, state_of};
use pieces::{CONTENT_BYTES, Kind, Snapshot, frame};

pub mod content;
mod pieces;
pub mod restore;

/// The version of the rules by which blocks are executed and of what snapshots hold: a snapshot of another one is
/// refused, since a state that was made by other rules would differ from the network's.
pub const ENGINE_VERSION: u32 = 2;

/// Where the engine stands with the snapshot after the one that commitments name.
pub enum Progress {
    /// There is none yet.
    None,
    /// It is being sealed.
    Taking(Box<Taking>),
    /// It is complete already, because this engine was restored from it.
    Complete(SnapshotReference),
}

/// A snapshot that is being sealed.
pub struct Taking {
    snapshot: Snapshot,
    block: Digest,
    commitment: Commitment,
    state: SecretBytes,
    names: Vec<SecretBytes>,
    state_pieces: Vec<Digest>,
    name_pieces: Vec<Digest>,
    per_block: usize,
}

impl Taking {
    fn begin(engine: &Engine) -> Self {
        let state = frame(state_of(engine));
        let names = names_of(engine);
        let pieces = state.len() / CONTENT_BYTES + names.len();
        Self {
            snapshot: Snapshot {
                network: engine.network,
                height: engine.head.height,
            },
            block: engine.head.digest(),
            commitment: engine.commitment.clone(),
            state,
            names,
            state_pieces: Vec::new(),
            name_pieces: Vec::new(),
            per_block: pieces.div_ceil(SNAPSHOT_DELAY as usize),
        }
    }

    /// Seals the next piece; nothing if all are sealed.
    fn next(&mut self, key: &Secret32) -> Option<Output> {
        let (states, names) = (self.state_pieces.len(), self.name_pieces.len());
        let content = self.state.expose().chunks(CONTENT_BYTES).nth(states);
        let (kind, place, content) = match content {
            Some(content) => (Kind::State, states, content),
            None => (Kind::Names, names, self.names.get(names)?.expose()),
        };
        // There are far fewer pieces than 2^32: they lie in memory.
        let index = u32::try_from(place).ok()?;
        let sealed = self.snapshot.seal(key, kind, index, content);
        let digest = SnapshotManifest::piece_digest(&sealed);
        let index = u32::try_from(states + names).ok()?;
        match kind {
            Kind::State => self.state_pieces.push(digest),
            Kind::Names => self.name_pieces.push(digest),
        }
        Some(Output::Piece {
            height: self.snapshot.height,
            index,
            sealed,
        })
    }

    /// The manifest, once all pieces are sealed.
    fn manifest(self, keys: &EpochKeys) -> SnapshotManifest {
        SnapshotManifest {
            version: SnapshotManifest::VERSION,
            engine_version: ENGINE_VERSION,
            network: self.snapshot.network,
            height: self.snapshot.height,
            block: self.block,
            commitment: self.commitment,
            key_epoch: keys.key_epoch,
            opening: opening_digest(&keys.public_key()),
            state_pieces: self.state_pieces,
            name_pieces: self.name_pieces,
        }
    }
}

/// Whether a snapshot is taken after the block at `height` of this epoch.
fn is_due(definition: &EpochDefinition, height: u64) -> bool {
    let every = u64::from(definition.parameters.snapshot_epochs.max(1));
    height == definition.last_height && (definition.epoch + 1).is_multiple_of(every)
}

impl Engine {
    /// Seals what is to be sealed with the block at `height`, before its commitment is made.
    pub(crate) fn advance_snapshot(&mut self, height: u64, each: &mut dyn FnMut(Output)) {
        let since = match &self.progress {
            Progress::None => return,
            Progress::Taking(taking) => taking.snapshot.height,
            Progress::Complete(reference) => reference.height,
        };
        let is_last = height >= since.saturating_add(SNAPSHOT_DELAY);
        if let Progress::Taking(taking) = &mut self.progress {
            let count = if is_last {
                usize::MAX
            } else {
                taking.per_block
            };
            for _ in 0..count {
                let Some(piece) = taking.next(&self.keys.snapshot) else {
                    break;
                };
                each(piece);
            }
        }
        if !is_last {
            return;
        }
        match std::mem::replace(&mut self.progress, Progress::None) {
            Progress::None => {}
            Progress::Taking(taking) => {
                let manifest = taking.manifest(&self.keys);
                self.newest_snapshot = Some(SnapshotReference {
                    height: manifest.height,
                    digest: manifest.digest(),
                });
                each(Output::Snapshot(Box::new(manifest)));
            }
            Progress::Complete(reference) => self.newest_snapshot = Some(reference),
        }
    }

    /// Copies the state after the block that was just executed, if a snapshot is due.
    pub(crate) fn begin_snapshot(&mut self) {
        if is_due(self.governance.definition(), self.head.height) {
            self.progress = Progress::Taking(Box::new(Taking::begin(self)));
        }
    }
}
