//! Between the engine's asynchronous tasks and the application: questions one way, finalized blocks
//! the other.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::marshal::Update;
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Attributable, Context};
use commonware_consensus::{Application as EngineApplication, Reporter, Viewable as _};
use commonware_cryptography::certificate::Scheme as _;
use commonware_cryptography::{Digested, ed25519};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Metrics, Spawner};
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use commonware_utils::channel::mpsc;
use futures::StreamExt as _;
use sealbook_ledger::{Attachment, Block, Header};
use sealbook_store::LedgerStore;

use crate::application::{Acknowledgement, Application, Proposal, Verdict};
use crate::block::{EngineDigest, OrderedBlock, to_engine};
use crate::committee::{Committees, engine_key, key_bytes};
use crate::origin::Boundary;
use crate::status::Counters;
use crate::transport::Runtime;

/// After a block of our own that breaks the rules, the application is not asked again for so long.
const BROKEN_PROPOSAL_PAUSE: Duration = Duration::from_millis(250);

/// Asks the application.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) committees: Committees,
    pub(crate) block_bytes_max: usize,
    pub(crate) poll_interval: Duration,
    /// Propose whatever the application says: for simulated liars.
    pub(crate) danger_unchecked_proposals: bool,
}

impl Driver {
    /// What must hold of every block, whoever made it.
    fn check(&self, parent: &Header, block: &OrderedBlock) -> Result<(), String> {
        let (size, limit) = (block.encoded_length(), self.block_bytes_max);
        if size > limit {
            return Err(format!("block of {size} bytes is larger than {limit}"));
        }
        let block: &Block = block.block();
        block
            .header
            .check_follows(parent)
            .map_err(|error| error.to_string())?;
        let erased = |attachment: &Attachment| attachment.bytes().is_none();
        if block.attachments.iter().any(erased) {
            return Err("block comes without an attachment".to_owned());
        }
        self.check_epoch(&block.header)
    }

    /// The last block of an epoch defines the next one, and no other block does.
    fn check_epoch(&self, header: &Header) -> Result<(), String> {
        let boundary = self.committees.last_of(header.epoch) == Some(header.height);
        match &header.next_epoch {
            None if boundary => Err("the last block of an epoch must define the next".to_owned()),
            None => Ok(()),
            Some(_) if !boundary => {
                Err("a block that is not the last of its epoch defines another".to_owned())
            }
            Some(next) => {
                next.check().map_err(|error| error.to_string())?;
                let mut keys = next.validators.iter().map(|seat| seat.vote_key);
                if keys.any(|key| engine_key(key.as_bytes()).is_err()) {
                    return Err("a validator of the next epoch has no usable key".to_owned());
                }
                Ok(())
            }
        }
    }

    /// Our own block, if it keeps the rules.
    fn checked_proposal(&self, parent: &Header, block: Block) -> Option<OrderedBlock> {
        let block = OrderedBlock::new(block);
        if self.danger_unchecked_proposals {
            return Some(block);
        }
        let body = block
            .block()
            .check_body()
            .map_err(|error| error.to_string());
        match body.and_then(|()| self.check(parent, &block)) {
            Ok(()) => Some(block),
            Err(reason) => {
                tracing::error!(%reason, "the application proposed a block that breaks the rules");
                None
            }
        }
    }
}

impl<E: Spawner + Clock + Metrics> EngineApplication<E> for Driver {
    type SigningScheme = Scheme;
    type Context = Context<EngineDigest, ed25519::PublicKey>;
    type Block = OrderedBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (clock, _): (E, Self::Context),
        mut ancestry: impl Ancestry<OrderedBlock>,
        (): (),
    ) -> Option<Digested<OrderedBlock>> {
        let parent = ancestry.next().await?;
        let parent = &parent.inner().block().header;
        // The engine drops this future when its turn has passed.
        loop {
            let pause = match self.application.propose(parent) {
                Proposal::Block(block) => match self.checked_proposal(parent, block) {
                    Some(block) => return Some(Digested::compute(block, &Sequential).await),
                    None => BROKEN_PROPOSAL_PAUSE,
                },
                Proposal::NotYet => self.poll_interval,
            };
            clock.sleep(pause).await;
        }
    }

    async fn verify(
        &mut self,
        (clock, _): (E, Self::Context),
        mut ancestry: impl Ancestry<OrderedBlock>,
    ) -> bool {
        let Some(block) = ancestry.next().await else {
            return false;
        };
        let Some(parent) = ancestry.next().await else {
            return false;
        };
        let (block, parent) = (block.inner(), &parent.inner().block().header);
        let height = block.block().height();
        if let Err(reason) = self.check(parent, block) {
            tracing::warn!(height, %reason, "a proposed block breaks the rules");
            return false;
        }
        // The engine drops this future when the view has passed.
        loop {
            match self.application.verify(parent, block.block()) {
                Verdict::Accept => return true,
                Verdict::Refuse(reason) => {
                    tracing::warn!(height, %reason, "a proposed block was refused");
                    return false;
                }
                Verdict::Wait => clock.sleep(self.poll_interval).await,
            }
        }
    }
}

/// Something on its way to the application.
pub(crate) enum Delivery {
    Block(Digested<OrderedBlock>, Exact),
    /// Proof that the validator with this key contradicted itself.
    Contradiction([u8; 32], Bytes),
}

/// Room in the queue beyond the blocks that may be unacknowledged.
const EVIDENCE_MAX: usize = 64;

/// The queue to the application, for `blocks_max` unacknowledged blocks.
pub(crate) fn deliveries(blocks_max: usize) -> (mpsc::Sender<Delivery>, mpsc::Receiver<Delivery>) {
    // Twice the room for evidence, because several engines may look at once whether there is any.
    mpsc::channel(blocks_max.saturating_add(2 * EVIDENCE_MAX))
}

/// Puts proofs of contradictions into the queue, as long as there is room to spare.
#[derive(Clone)]
pub(crate) struct EvidenceSender {
    queue: mpsc::Sender<Delivery>,
    blocks_max: usize,
}

impl EvidenceSender {
    fn send(&self, vote_key: [u8; 32], evidence: Bytes) {
        if self.queue.capacity() > self.blocks_max.saturating_add(EVIDENCE_MAX) {
            let _ = self
                .queue
                .try_send(Delivery::Contradiction(vote_key, evidence));
        }
    }
}

/// Takes finalized blocks from the engine to what delivers them.
#[derive(Clone)]
pub(crate) struct Deliveries {
    pub(crate) queue: mpsc::Sender<Delivery>,
    pub(crate) blocks_max: usize,
    pub(crate) committees: Committees,
    pub(crate) boundaries: mpsc::UnboundedSender<Boundary>,
    pub(crate) counters: Arc<Counters>,
}

impl Deliveries {
    pub(crate) fn evidence(&self) -> EvidenceSender {
        EvidenceSender {
            queue: self.queue.clone(),
            blocks_max: self.blocks_max,
        }
    }

    /// Makes the epoch after a boundary block known.
    fn note(&self, header: &Header, root: EngineDigest) -> Result<(), String> {
        self.counters
            .final_time_ms
            .fetch_max(header.time_ms, Ordering::Relaxed);
        let Some(definition) = &header.next_epoch else {
            return Ok(());
        };
        let definition = Arc::new(definition.clone());
        let new = self.committees.add(&definition);
        if new.map_err(|error| error.to_string())? {
            // Nobody listens any more when the engine is about to end.
            let _ = self.boundaries.send(Boundary {
                definition,
                root: crate::block::from_engine(&root),
                began_ms: Some(header.time_ms),
            });
        }
        Ok(())
    }
}

impl Reporter for Deliveries {
    type Activity = Update<OrderedBlock>;

    fn report(&mut self, update: Update<OrderedBlock>) -> Feedback {
        match update {
            Update::Tip(_, height, _) => {
                self.counters
                    .finalized_height
                    .fetch_max(height.get(), Ordering::Relaxed);
                Feedback::Ok
            }
            Update::Block(block, done) => {
                let ordered = block.inner().block();
                if let Err(reason) = self.note(&ordered.header, to_engine(&ordered.digest())) {
                    self.counters.fail(reason);
                    return Feedback::Closed;
                }
                // The engine has at most as many blocks unacknowledged as the queue has room for,
                // so it is never full.
                match self.queue.try_send(Delivery::Block(block, done)) {
                    Ok(()) => Feedback::Ok,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        self.counters
                            .fail("more finalized blocks than were asked for".to_owned());
                        Feedback::Closed
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => Feedback::Closed,
                }
            }
        }
    }
}

/// Delivers finalized blocks until the engine is gone.
pub(crate) async fn deliver(
    mut queue: mpsc::Receiver<Delivery>,
    store: Arc<LedgerStore>,
    application: Arc<dyn Application>,
    counters: Arc<Counters>,
) {
    while let Some(delivery) = queue.recv().await {
        let (block, done) = match delivery {
            Delivery::Block(block, done) => (block, done),
            Delivery::Contradiction(vote_key, evidence) => {
                application.contradiction(vote_key, evidence);
                continue;
            }
        };
        let block = block.inner().block().clone();
        let height = block.height();
        if height == 0 {
            // Block 0 is what everybody starts from.
            done.acknowledge();
            continue;
        }
        let certificate = match store.certificate(height) {
            Ok(certificate) => certificate,
            Err(error) => {
                counters.fail(error.to_string());
                return;
            }
        };
        counters
            .delivered_height
            .fetch_max(height, Ordering::Relaxed);
        let done = Acknowledgement::new(done, height, Arc::clone(&counters));
        application.finalized(block, certificate, done);
    }
}

/// Counts what the engine of one epoch reports and passes it on.
pub(crate) struct Observed<E, R> {
    inner: R,
    epoch: u64,
    /// Randomness, to verify signatures in a batch.
    random: Arc<Mutex<E>>,
    verifier: Scheme,
    counters: Arc<Counters>,
    evidence: EvidenceSender,
}

impl<E, R: Clone> Clone for Observed<E, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            epoch: self.epoch,
            random: Arc::clone(&self.random),
            verifier: self.verifier.clone(),
            counters: Arc::clone(&self.counters),
            evidence: self.evidence.clone(),
        }
    }
}

impl<E: Runtime, R> Observed<E, R> {
    pub(crate) fn new(
        inner: R,
        epoch: u64,
        (random, verifier): (E, Scheme),
        (counters, evidence): (Arc<Counters>, EvidenceSender),
    ) -> Self {
        Self {
            inner,
            epoch,
            random: Arc::new(Mutex::new(random)),
            verifier,
            counters,
            evidence,
        }
    }

    /// Keeps proof of a contradiction, once it is proved that there is one: the engine reports what
    /// a peer sent before it verifies it.
    fn accuse(&self, activity: &Activity<Scheme, EngineDigest>) {
        let (scheme, strategy) = (&self.verifier, &Sequential);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let random = &mut *random;
        let (signer, proved) = match activity {
            Activity::ConflictingNotarize(one) => {
                (one.signer(), one.verify(random, scheme, strategy))
            }
            Activity::ConflictingFinalize(one) => {
                (one.signer(), one.verify(random, scheme, strategy))
            }
            Activity::NullifyFinalize(one) => (one.signer(), one.verify(random, scheme, strategy)),
            _ => return,
        };
        let place = usize::try_from(signer.get()).unwrap_or(usize::MAX);
        let accused = scheme.participants().iter().nth(place).map(key_bytes);
        let Some(accused) = accused.filter(|_| proved) else {
            return;
        };
        let (epoch, view) = (self.epoch, activity.view().get());
        let validator = crate::committee::hex(&accused);
        tracing::warn!(epoch, view, %validator, "a validator contradicted itself");
        self.counters.contradictions.fetch_add(1, Ordering::Relaxed);
        self.evidence.send(accused, activity.encode());
    }
}

impl<E: Runtime, R> Reporter for Observed<E, R>
where
    R: Reporter<Activity = Activity<Scheme, EngineDigest>>,
{
    type Activity = Activity<Scheme, EngineDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let counters = &self.counters;
        // The engine of the epoch before goes on for a moment.
        let current = counters.epoch.load(Ordering::Relaxed) == self.epoch;
        match &activity {
            Activity::Notarization(_) | Activity::Finalization(_) if current => {
                counters
                    .view
                    .fetch_max(activity.view().get(), Ordering::Relaxed);
            }
            Activity::Nullification(_) if current => {
                let view = activity.view().get();
                if counters.view.fetch_max(view, Ordering::Relaxed) < view {
                    counters.failed_views.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ => self.accuse(&activity),
        }
        self.inner.report(activity)
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
