//! Sealed snapshots as this node keeps them: taken from its module, offered to a module that starts, served to whoever
//! joins.
//!
//! INVARIANT: a snapshot is offered only with a proof that final headers commit to results that name it; the pieces are
//! ciphertext that this node cannot open.

use borsh::BorshDeserialize;
use sealbook_ledger::{Commitment, SnapshotManifest};
use sealbook_protocol::module::SnapshotOffer;
use sealbook_store::StoreError;
use sealbook_store::names::snapshot_commitment;

use crate::proofs;
use crate::shared::Shared;

/// How many complete snapshots are kept: the newest, and one before it should the newest turn out damaged.
const SNAPSHOTS_KEPT: usize = 2;

impl Shared {
    /// Keeps a piece of a snapshot that the module is making.
    ///
    /// # Errors
    /// The store failed.
    pub fn take_piece(&self, height: u64, index: u32, sealed: &[u8]) -> Result<(), StoreError> {
        if self.store().has_snapshot_piece(height, index)? {
            return Ok(());
        }
        self.store().put_snapshot_piece(height, index, sealed)
    }

    /// Keeps the manifest of a snapshot, which is complete with it.
    ///
    /// # Errors
    /// The store failed.
    pub fn take_manifest(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let Ok(manifest) = SnapshotManifest::decode(bytes) else {
            return Ok(());
        };
        if self.store().snapshot_manifest(manifest.height)?.is_some() {
            return Ok(());
        }
        // The module may begin from this snapshot from now on, so older replies must be safe.
        self.outbox().flush()?;
        let pieces = u32::try_from(manifest.pieces().count()).unwrap_or(u32::MAX);
        self.store()
            .put_snapshot_manifest(manifest.height, pieces, bytes)?;
        self.store()
            .drop_incomplete_snapshots_before(manifest.height)?;
        let complete = self.store().snapshot_heights()?;
        if let Some(oldest) = complete.iter().rev().nth(SNAPSHOTS_KEPT - 1) {
            self.store().drop_snapshots_before(*oldest)?;
        }
        Ok(())
    }

    /// Keeps the first results that name a snapshot, for its proof.
    ///
    /// # Errors
    /// The store failed.
    pub fn note_commitment(&self, commitment: &Commitment) -> Result<(), StoreError> {
        let Some(snapshot) = commitment.snapshot else {
            return Ok(());
        };
        let name = snapshot_commitment(snapshot.height);
        if self.store().metadata(&name)?.is_some() {
            return Ok(());
        }
        let bytes = borsh::to_vec(commitment).unwrap_or_default();
        self.store().put_metadata(&name, &bytes)
    }

    /// The complete snapshot of a height with its proof, if a final header commits to it yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn snapshot_offer(&self, height: u64) -> Result<Option<SnapshotOffer>, StoreError> {
        let Some(manifest) = self.store().snapshot_manifest(height)? else {
            return Ok(None);
        };
        let commitment = self
            .store()
            .metadata(&snapshot_commitment(height))?
            .and_then(|bytes| Commitment::try_from_slice(&bytes).ok());
        let Some(commitment) = commitment else {
            return Ok(None);
        };
        let head = self.final_height();
        let from = commitment.height;
        let proof =
            self.with_epochs(|epochs| proofs::finality(self.store(), epochs, from, head))?;
        Ok(proof.map(|proof| SnapshotOffer {
            manifest,
            commitment,
            proof: proof.encode(),
        }))
    }

    /// The newest snapshot that can be proved.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest_snapshot(&self) -> Result<Option<SnapshotOffer>, StoreError> {
        for height in self.store().snapshot_heights()?.into_iter().rev() {
            if let Some(offer) = self.snapshot_offer(height)? {
                return Ok(Some(offer));
            }
        }
        Ok(None)
    }
}
