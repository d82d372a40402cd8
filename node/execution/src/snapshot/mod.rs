//! Sealed snapshots: the whole state after the last block of a committee epoch, in pieces that every module makes
//! alike.
//!
//! ```text
//! block S        the state after it is frozen, if a snapshot is due: see the schedule
//! S + 1 ...      a few pieces are written and sealed with every block
//! S + delay      all pieces are sealed; this block's commitment is the first to name the manifest
//! ```
//!
//! What is written is the state as it was after S, while the books change on; of what changes before its turn they keep
//! a copy. Each piece is wiped when it is sealed. A module that was restored from the snapshot of S names it at S + delay too, without making it again.
//!
//! INVARIANT: which snapshot a commitment names depends on the height alone, not on how blocks came or how fast
//! pieces are sealed. After a crash the same pieces are made again while the same blocks are executed.

use sealbook_ledger::{Block, Commitment, SnapshotManifest, SnapshotReference, opening_digest};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_securities::State;

use crate::engine::{Engine, Output};
use crate::keys::EpochKeys;
use crate::names::HolderNames;
use content::Content;
use pieces::{Kind, Snapshot};
pub use schedule::Growth;

pub mod content;
mod pieces;
pub mod restore;
mod schedule;

/// The version of the rules by which blocks are executed and of what snapshots hold: a snapshot of another one is
/// refused, since a state that was made by other rules would differ from the network's.
pub const ENGINE_VERSION: u32 = 11;

/// Where the engine stands with the snapshot after the one that commitments name.
pub enum Progress {
    /// There is none yet.
    None,
    /// It is being sealed.
    Taking(Box<Taking>),
    /// It is complete already, because this engine was restored from it; commitments name it from this height on.
    Complete(SnapshotReference, u64),
}

/// A snapshot that is being sealed.
pub struct Taking {
    snapshot: Snapshot,
    block: Digest,
    commitment: Commitment,
    /// What is not sealed yet.
    content: Content,
    state_pieces: Vec<Digest>,
    name_pieces: Vec<Digest>,
    per_block: usize,
    /// The block whose commitment is the first to name it.
    named_at: u64,
}

impl Taking {
    fn begin(engine: &mut Engine, delay: u64) -> Self {
        let content = Content::begin(engine);
        let pieces = content.pieces_left(schedule::pieces(&engine.state));
        let height = engine.head.height;
        Self {
            snapshot: Snapshot {
                network: engine.network,
                height,
            },
            block: engine.head.digest(),
            commitment: engine.commitment.clone(),
            content,
            state_pieces: Vec::new(),
            name_pieces: Vec::new(),
            per_block: usize::try_from(pieces.div_ceil(delay.max(1))).unwrap_or(usize::MAX),
            named_at: height.saturating_add(delay),
        }
    }

    /// Writes and seals the next piece; nothing if all are sealed.
    fn next(&mut self, key: &Secret32, books: &mut State, holders: &HolderNames) -> Option<Output> {
        let (states, names) = (self.state_pieces.len(), self.name_pieces.len());
        let (kind, place, content) = match self.content.next_of_state(books) {
            Some(content) => (Kind::State, states, content),
            None => (Kind::Names, names, self.content.next_of_names(holders)?),
        };
        // There are far fewer pieces than 2^32: they lie in memory.
        let index = u32::try_from(place).ok()?;
        let sealed = self.snapshot.seal(key, kind, index, content.expose());
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

impl Engine {
    /// Seals what is to be sealed with the block at `height`, before its commitment is made.
    pub(crate) fn advance_snapshot(&mut self, height: u64, each: &mut dyn FnMut(Output)) {
        let named_at = match &self.progress {
            Progress::None => return,
            Progress::Taking(taking) => taking.named_at,
            Progress::Complete(_, named_at) => *named_at,
        };
        let is_last = height >= named_at;
        if let Progress::Taking(taking) = &mut self.progress {
            let count = if is_last {
                usize::MAX
            } else {
                taking.per_block
            };
            for _ in 0..count {
                let piece = taking.next(&self.keys.snapshot, &mut self.state, &self.names);
                let Some(piece) = piece else {
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
            Progress::Complete(reference, _) => self.newest_snapshot = Some(reference),
        }
    }

    /// Counts the block that was just executed, and freezes the state after it if a snapshot is due.
    pub(crate) fn begin_snapshot(&mut self, block: &Block) {
        self.growth.count(block);
        if self.head.next_epoch.is_none() {
            return;
        }
        let weight = schedule::weight(&self.state);
        let next = self.definition();
        let key_epoch_ends = next.opening.key_epoch != self.keys.key_epoch;
        let delay = schedule::delay(weight, next);
        if key_epoch_ends {
            // Given up, if there is one.
            self.progress = Progress::None;
            self.state.thaw();
        }
        let idle = matches!(self.progress, Progress::None);
        let definition = self.governance.definition();
        let height = self.head.height;
        let due = self
            .growth
            .is_due(definition, height, weight, key_epoch_ends);
        if idle && due {
            self.progress = Progress::Taking(Box::new(Taking::begin(self, delay)));
            self.growth = Growth::since(weight);
        }
    }

    /// Stands where an engine does that has just taken this snapshot.
    fn took_snapshot(&mut self, reference: SnapshotReference) {
        let weight = schedule::weight(&self.state);
        let delay = schedule::delay(weight, self.definition());
        let named_at = reference.height.saturating_add(delay);
        self.progress = Progress::Complete(reference, named_at);
        self.growth = Growth::since(weight);
    }
}
