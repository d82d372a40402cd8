//! Beginning from a snapshot: nothing in it is believed that a final header does not commit to.
//!
//! ```text
//! genesis -> proof -> final header -> commitment -> manifest -> pieces -> content -> roots, compared once more
//! ```
//!
//! INVARIANT: an engine exists only when all checks have passed; a failure leaves nothing behind.

use sealbook_ledger::{
    FinalityProof, Genesis, ProofError, SNAPSHOT_PIECE_BYTES, SnapshotError, SnapshotManifest,
    SnapshotReference, opening_digest,
};
use sealbook_primitives::secret::SecretBytes;
use sealbook_protocol::module::SnapshotOffer;
use sealbook_securities::{BooksError, State};
use zeroize::Zeroizing;

use super::ENGINE_VERSION;
use super::content::{Parts, is_padding, read_names, read_parts};
use super::pieces::{CONTENT_BYTES, Kind, Snapshot};
use crate::engine::{Engine, EngineError};
use crate::keys::{EpochKeys, KeyError};
use crate::rotation::Former;

/// Why an engine does not begin from a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Genesis and keys do not go together.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] SnapshotError),
    /// The snapshot is of something else than this engine can go on from.
    #[error("the snapshot is of another {0}")]
    Other(&'static str),
    /// The proof proves nothing.
    #[error("the snapshot's proof: {0}")]
    Proof(#[from] ProofError),
    /// The network did not agree on this snapshot.
    #[error("no final header in the proof commits to the snapshot at height {0}")]
    NotAgreed(u64),
    /// A piece that is not the one in the manifest, or does not open.
    #[error("piece {0} is not the one that the network agreed on")]
    Piece(usize),
    /// More pieces than the manifest names, or fewer.
    #[error("the snapshot has {expected} pieces, not {found}")]
    Count {
        /// As many as the manifest names.
        expected: usize,
        /// As many as came.
        found: usize,
    },
    /// What the pieces hold does not hang together.
    #[error("the snapshot's {0} cannot be")]
    Content(&'static str),
    /// The books in it are none.
    #[error("the snapshot's books: {0}")]
    Books(#[from] BooksError),
}

/// An engine that is being restored.
pub struct Restoring {
    engine: Engine,
    manifest: SnapshotManifest,
    reference: SnapshotReference,
    snapshot: Snapshot,
    state: Zeroizing<Vec<u8>>,
    names: Vec<SecretBytes>,
    added: usize,
}

impl Engine {
    /// Begins to restore from a snapshot, if the network agreed on it. Its pieces follow.
    ///
    /// # Errors
    /// Genesis and keys do not go together, or the offer does not prove what it should.
    pub fn restore(
        genesis: Genesis,
        keys: EpochKeys,
        offer: &SnapshotOffer,
    ) -> Result<Restoring, RestoreError> {
        let manifest = SnapshotManifest::decode(&offer.manifest)?;
        let height = manifest.height;
        let same = [
            (manifest.network == genesis.network(), "network"),
            (
                manifest.engine_version == ENGINE_VERSION,
                "version of the software",
            ),
            (manifest.key_epoch == keys.key_epoch, "key epoch"),
            (
                manifest.opening == opening_digest(&keys.public_key()),
                "opening key",
            ),
            (manifest.commitment.height == height, "height"),
        ];
        if let Some((_, what)) = same.into_iter().find(|(same, _)| !same) {
            return Err(RestoreError::Other(what));
        }
        let reference = SnapshotReference {
            height,
            digest: manifest.digest(),
        };
        if offer.commitment.snapshot != Some(reference) {
            return Err(RestoreError::NotAgreed(height));
        }
        let proof = FinalityProof::decode(&offer.proof)?;
        proof.verify(&genesis)?;
        let agreed = (offer.commitment.height, offer.commitment.digest());
        let is_agreed = proof
            .headers
            .iter()
            .any(|header| header.committed_roots().any(|root| root == agreed));
        if !is_agreed {
            return Err(RestoreError::NotAgreed(height));
        }
        let engine = Self::bare(genesis, keys)?;
        Ok(Restoring {
            snapshot: Snapshot {
                network: engine.network,
                height,
            },
            state: Zeroizing::new(Vec::with_capacity(
                manifest.state_pieces.len() * CONTENT_BYTES,
            )),
            engine,
            manifest,
            reference,
            names: Vec::new(),
            added: 0,
        })
    }
}

impl Restoring {
    /// Takes the next piece, in the order of their indexes. No bytes stand for an erased piece of names.
    ///
    /// # Errors
    /// It is not the next piece of the manifest.
    pub fn add(&mut self, sealed: &[u8]) -> Result<(), RestoreError> {
        let (index, expected) = (self.added, self.manifest.pieces().count());
        let digest = self.manifest.pieces().nth(index);
        let digest = digest.ok_or(RestoreError::Count {
            expected,
            found: index.saturating_add(1),
        })?;
        let wrong = RestoreError::Piece(index);
        let states = self.manifest.state_pieces.len();
        let (kind, place) = match index.checked_sub(states) {
            None => (Kind::State, index),
            Some(place) => (Kind::Names, place),
        };
        if kind == Kind::Names && sealed.is_empty() {
            self.added = index.saturating_add(1);
            return Ok(());
        }
        let is_named = sealed.len() == SNAPSHOT_PIECE_BYTES
            && SnapshotManifest::piece_digest(sealed) == *digest;
        let place = u32::try_from(place).map_err(|_| RestoreError::Piece(index))?;
        if !is_named {
            return Err(wrong);
        }
        let key = &self.engine.keys.snapshot;
        let content = self.snapshot.open(key, kind, place, sealed).ok_or(wrong)?;
        match kind {
            Kind::State => self.state.extend_from_slice(content.expose()),
            Kind::Names => self.names.push(content),
        }
        self.added = index.saturating_add(1);
        Ok(())
    }

    /// Whether all pieces have come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.added == self.manifest.pieces().count()
    }

    /// The engine, as it was after the snapshot's block.
    ///
    /// # Errors
    /// Pieces are missing, or what they hold does not hang together or is not what headers commit to.
    pub fn finish(mut self) -> Result<Engine, RestoreError> {
        if !self.is_complete() {
            return Err(RestoreError::Count {
                expected: self.manifest.pieces().count(),
                found: self.added,
            });
        }
        let (parts, mut rest) = read_parts(&self.state).ok_or(RestoreError::Content("content"))?;
        let state = State::read(&mut rest)?;
        if !is_padding(rest) {
            return Err(RestoreError::Content("padding"));
        }
        check_parts(&parts, &state, &self.manifest)?;
        for piece in &self.names {
            read_names(piece.expose(), &state, &mut self.engine.names)
                .ok_or(RestoreError::Content("names"))?;
        }
        let engine = &mut self.engine;
        let mut former = Vec::new();
        for (keys, ended) in &parts.former {
            former.push(Former {
                keys: keys.keys(&engine.network).map_err(EngineError::Keys)?,
                ended: *ended,
            });
        }
        let present = parts.governance.definition().opening.clone();
        let next = parts.governance.planned().map(|next| next.opening.clone());
        let next = next.ok_or(RestoreError::Content("next epoch"))?;
        engine.take_parts(parts, state)?;
        engine.keys.check(&next).map_err(EngineError::Keys)?;
        if next.key_epoch != present.key_epoch {
            // The keys that were given are those of the key epoch that begins with the next block.
            let missing = EngineError::Keys(KeyError::NotGiven(present.key_epoch));
            let keys = former.pop().ok_or(missing)?.keys;
            engine.coming = Some(std::mem::replace(&mut engine.keys, keys));
            engine.keys.check(&present).map_err(EngineError::Keys)?;
        }
        engine.former = former;
        engine.took_snapshot(self.reference);
        engine.commitment = self.manifest.commitment;
        // The network agreed on every byte already; the roots are what proves that this software reads them as it did
        // when they were written.
        if engine.update_state_root() != engine.commitment.state_root {
            return Err(RestoreError::Content("state root"));
        }
        if engine.network_root() != engine.commitment.network_root {
            return Err(RestoreError::Content("network root"));
        }
        Ok(self.engine)
    }
}

/// Checks that the parts are of the manifest's block and go with each other.
fn check_parts(
    parts: &Parts,
    state: &State,
    manifest: &SnapshotManifest,
) -> Result<(), RestoreError> {
    let head = &parts.head;
    let definition = parts.governance.definition();
    let heights = parts.results.iter().map(|one| one.commitment.height);
    let expected = head.executed_height.saturating_add(1)..=head.height;
    let last = parts.results.last().map(|one| &one.commitment);
    let mut members = parts.certificates.members();
    let members = members.all(|id| state.member(*id).is_some());
    let checks = [
        (head.network == manifest.network, "network"),
        (head.height == manifest.height, "height"),
        (head.digest() == manifest.block, "block"),
        (state.height() == head.height, "books' height"),
        (state.time_ms() == head.time_ms, "books' time"),
        (definition.epoch == head.epoch, "epoch"),
        (definition.last_height == head.height, "end of its epoch"),
        (
            head.next_epoch.is_some() && parts.governance.planned() == head.next_epoch.as_ref(),
            "next epoch",
        ),
        (heights.eq(expected), "results"),
        (last == Some(&manifest.commitment), "last results"),
        (
            parts.committed.height == head.executed_height,
            "committed results",
        ),
        (members, "certificates"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(RestoreError::Content(what)),
        None => Ok(()),
    }
}
