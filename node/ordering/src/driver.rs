//! Between the engine's asynchronous tasks and the application: questions one way, finalized blocks
//! the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use commonware_actor::Feedback;
use commonware_consensus::marshal::Update;
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::{Application as EngineApplication, Reporter, Viewable as _};
use commonware_cryptography::{Digested, ed25519};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Metrics, Spawner};
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use futures::StreamExt as _;
use sealbook_ledger::{Attachment, Block, Header};
use sealbook_store::LedgerStore;

use crate::application::{Acknowledgement, Application, Proposal, Verdict};
use crate::block::{EngineDigest, OrderedBlock};
use crate::status::Counters;

/// After a block of our own that breaks the rules, the application is not asked again for so long.
const BROKEN_PROPOSAL_PAUSE: Duration = Duration::from_millis(250);

/// Asks the application.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) block_bytes_max: usize,
    pub(crate) poll_interval: Duration,
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
        Ok(())
    }

    /// Our own block, if it keeps the rules.
    fn checked_proposal(&self, parent: &Header, block: Block) -> Option<OrderedBlock> {
        let block = OrderedBlock::new(block);
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

/// A finalized block on its way to the application.
pub(crate) type Delivery = (Digested<OrderedBlock>, Exact);

/// Takes finalized blocks from the engine to the thread that delivers them.
#[derive(Clone)]
pub(crate) struct Deliveries {
    pub(crate) queue: SyncSender<Delivery>,
    pub(crate) counters: Arc<Counters>,
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
            // The engine has at most as many blocks unacknowledged as the queue is long, so it is
            // never full.
            Update::Block(block, done) => match self.queue.try_send((block, done)) {
                Ok(()) => Feedback::Ok,
                Err(TrySendError::Full(_)) => {
                    self.counters
                        .fail("more finalized blocks than were asked for".to_owned());
                    Feedback::Closed
                }
                Err(TrySendError::Disconnected(_)) => Feedback::Closed,
            },
        }
    }
}

/// Delivers finalized blocks until the engine is gone.
pub(crate) fn deliver(
    queue: &Receiver<Delivery>,
    store: &LedgerStore,
    application: &dyn Application,
    counters: &Arc<Counters>,
) {
    while let Ok((block, done)) = queue.recv() {
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
        let done = Acknowledgement::new(done, height, Arc::clone(counters));
        application.finalized(block, certificate, done);
    }
}

/// Counts what the engine reports and passes it on.
#[derive(Clone)]
pub(crate) struct Observed<R> {
    pub(crate) inner: R,
    pub(crate) counters: Arc<Counters>,
}

impl<R: Reporter<Activity = Activity<Scheme, EngineDigest>>> Reporter for Observed<R> {
    type Activity = Activity<Scheme, EngineDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let counters = &self.counters;
        match &activity {
            Activity::Notarization(_) | Activity::Finalization(_) => {
                counters
                    .view
                    .fetch_max(activity.view().get(), Ordering::Relaxed);
            }
            Activity::Nullification(_) => {
                let view = activity.view().get();
                if counters.view.fetch_max(view, Ordering::Relaxed) < view {
                    counters.failed_views.fetch_add(1, Ordering::Relaxed);
                }
            }
            Activity::ConflictingNotarize(_)
            | Activity::ConflictingFinalize(_)
            | Activity::NullifyFinalize(_) => {
                tracing::warn!(
                    view = activity.view().get(),
                    "a validator contradicted itself"
                );
                counters.contradictions.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.inner.report(activity)
    }
}
