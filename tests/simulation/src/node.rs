//! One simulated node: the application between the real ordering engine and the real host logic, with the checker and,
//! on a liar, the lie in between.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::channel::mpsc::UnboundedSender;
use sealbook_host::application::HostApplication;
use sealbook_host::shared::Shared;
use sealbook_ledger::{
    Block, Committee, FinalityCertificate, FinalityProof, Header, SnapshotManifest,
};
use sealbook_ordering::node::{MemoryMark, found};
use sealbook_ordering::{Acknowledgement, Application, Floor, OrderingError, Proposal, Verdict};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::module::SnapshotOffer;
use sealbook_store::names::{START_DEFINITION, START_STEPS, snapshot_commitment};
use sealbook_store::{LedgerStore, MemoryStore, StoreError};

use crate::checker::Checker;
use crate::time::Time;
use crate::traitor::Traitor;

/// What survives a crash: what the store has committed, and the right to vote. The engine's own files lie in the
/// runtime's storage, under `partition`; what of them was not synced is lost.
#[derive(Clone)]
pub struct Disk {
    /// The store's content.
    pub entries: Arc<MemoryStore>,
    /// The right to vote.
    pub mark: MemoryMark,
    /// Where the engine keeps its files.
    pub partition: String,
    /// The block with which its ledger begins, if that is not the first.
    pub floor: Option<Floor>,
}

impl Disk {
    /// A new disk. Every one that a node ever has gets a number of its own.
    #[must_use]
    pub fn new(node: usize, number: u64, half: &str) -> Self {
        Self {
            entries: Arc::new(MemoryStore::new()),
            mark: MemoryMark::default(),
            partition: format!("node-{node}{half}-disk-{number}"),
            floor: None,
        }
    }

    /// The ledger on it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(&self) -> Result<Arc<LedgerStore>, StoreError> {
        Ok(Arc::new(LedgerStore::open(self.entries.clone())?))
    }

    /// Begins the ledger on a new disk with a snapshot of another node, as a node does that joins.
    ///
    /// # Errors
    /// A store failed.
    pub fn join(
        &mut self,
        offer: &SnapshotOffer,
        donor: &LedgerStore,
        committee: Committee,
    ) -> Result<Option<u64>, StoreError> {
        let manifest = SnapshotManifest::decode(&offer.manifest).ok();
        let proof = FinalityProof::decode(&offer.proof).ok();
        let (Some(manifest), Some(proof)) = (manifest, proof) else {
            return Ok(None);
        };
        let height = manifest.height;
        let (block, certificate) = (donor.block(height)?, donor.certificate(height)?);
        let (Some(block), Some(certificate)) = (block, certificate) else {
            return Ok(None);
        };
        let store = self.open()?;
        store.set_floor(height)?;
        store.put_final(&[&block], &[(height, &certificate)])?;
        let proven = proof.headers.last().map_or(height, |last| last.height);
        for later in height.saturating_add(1)..=proven {
            let Some(block) = donor.block(later)? else {
                return Ok(None);
            };
            let certificate = if later == proven {
                Some(proof.certificate.clone())
            } else {
                donor.certificate(later)?
            };
            let certificates: Vec<_> = certificate.iter().map(|one| (later, one)).collect();
            store.put_final(&[&block], &certificates)?;
        }
        let pieces = u32::try_from(manifest.pieces().count()).unwrap_or(u32::MAX);
        for index in 0..pieces {
            let piece = donor.snapshot_piece(height, index)?.unwrap_or_default();
            store.put_snapshot_piece(height, index, &piece)?;
        }
        store.put_snapshot_manifest(height, pieces, &offer.manifest)?;
        let put = |name: &str, bytes: Option<Vec<u8>>| {
            store.put_metadata(name, &bytes.unwrap_or_default())
        };
        put(
            &snapshot_commitment(height),
            borsh::to_vec(&offer.commitment).ok(),
        )?;
        let definition = block.header.next_epoch.as_ref();
        put(
            START_DEFINITION,
            definition.and_then(|one| borsh::to_vec(one).ok()),
        )?;
        // Steps that lead further are in the blocks after it.
        let steps: Vec<_> = proof
            .steps
            .into_iter()
            .filter(|step| step.header.height <= height)
            .collect();
        put(START_STEPS, borsh::to_vec(&steps).ok())?;
        self.floor = Some(Floor {
            block,
            certificate,
            committee,
        });
        Ok(Some(height))
    }

    /// Gives a founding validator the right to vote from the first epoch on.
    ///
    /// # Errors
    /// It has it already.
    pub fn found(
        &self,
        network: &Digest,
        key: &VerifyingKey,
        number: u8,
    ) -> Result<(), OrderingError> {
        let store = self.open()?;
        let who = (network, key.as_bytes());
        found(&self.mark, Some(store.as_ref()), who, &[number; 16])
    }
}

/// The application that ordering asks.
pub struct Witness {
    /// The node's number.
    pub node: usize,
    /// The real one.
    pub host: HostApplication,
    /// The lie, on a liar.
    pub traitor: Option<Arc<Traitor>>,
    /// Looks at what becomes final, unless the node is a liar.
    pub checker: Option<Checker>,
    /// The time.
    pub time: Arc<Time>,
    /// Votes for whatever it is shown: a defect that must be found out.
    pub gullible: bool,
    /// Wakes the module.
    pub wake: Mutex<UnboundedSender<()>>,
}

impl Witness {
    fn shared(&self) -> &Arc<Shared> {
        &self.host.shared
    }
}

impl Application for Witness {
    fn propose(&self, parent: &Header) -> Proposal {
        let proposal = self.host.propose(parent);
        let (Some(traitor), Proposal::Block(_)) = (&self.traitor, &proposal) else {
            return proposal;
        };
        let Proposal::Block(block) = proposal else {
            return Proposal::NotYet;
        };
        let me = self.shared().me();
        let present = self.shared().present();
        let place = present.and_then(|definition| definition.carrier_place(&me));
        let store = self.shared().store();
        let honest = block.digest();
        match traitor.twist(parent, block, place.unwrap_or(0), store) {
            Some(block) => {
                if block.digest() != honest {
                    let (node, lie) = (self.node, traitor.lie());
                    let (height, digest) = (block.height(), block.digest());
                    self.time.note(&format!(
                        "node {node} lies about {lie:?} in {digest:?} for {height}"
                    ));
                }
                Proposal::Block(block)
            }
            None => Proposal::NotYet,
        }
    }

    fn verify(&self, parent: &Header, block: &Block) -> Verdict {
        match &self.traitor {
            Some(traitor) if traitor.accepts_anything() => Verdict::Accept,
            _ if self.gullible => Verdict::Accept,
            _ => {
                let verdict = self.host.verify(parent, block);
                if let Verdict::Refuse(reason) = &verdict {
                    let (node, digest) = (self.node, block.digest());
                    self.time
                        .note(&format!("node {node} refuses {digest:?}: {reason}"));
                }
                verdict
            }
        }
    }

    fn finalized(
        &self,
        block: Arc<Block>,
        certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    ) {
        if let Some(checker) = &self.checker {
            checker.finalized(self.node, &block, self.time.now_ms());
        }
        self.host.finalized(block, certificate, done);
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens on a node without module.
        let _ = wake.unbounded_send(());
    }

    fn message(&self, from: [u8; 32], bytes: Bytes) {
        self.host.message(from, bytes);
    }

    fn contradiction(&self, vote_key: [u8; 32], evidence: Bytes) {
        self.time.note(&format!(
            "node {} has evidence of a contradiction",
            self.node
        ));
        self.host.contradiction(vote_key, evidence);
    }
}
