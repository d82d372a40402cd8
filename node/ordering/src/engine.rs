//! Wires the engine together: broadcast, marshal, application messages, and the committee epochs on
//! top of them. Generic over the runtime and the links; every instantiation costs minutes of compile
//! time.
//!
//! Every number below that is not the operator's to choose is a bound on memory or a habit of the
//! engine that was measured; none is agreed between nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::{
    Actor as MarshalActor, Mailbox as MarshalMailbox, Processed,
};
use commonware_consensus::marshal::resolver::p2p as marshal_resolver;
use commonware_consensus::marshal::standard::{Inline, Standard};
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::ViewDelta;
use commonware_cryptography::{Digested, ed25519};
use commonware_p2p::max_message_size;
use commonware_p2p::utils::mux::prefixed;
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Handle as Task, Quota};
use commonware_utils::channel::mpsc;
use commonware_utils::{NZDuration, NZU16, NZU32, NZU64, NZUsize, NonZeroDuration};
use futures::channel::oneshot;
use futures::future::{Either, select, select_all};
use sealbook_ledger::MAX_SEATS;

use crate::archive::{BlockArchive, CertificateArchive};
use crate::block::{EngineDigest, OrderedBlock};
use crate::committee::Committees;
use crate::config::{Limits, Timing};
use crate::driver::{Deliveries, Driver};
use crate::epochs::{self, Epochs};
use crate::gossip::{self, IncomingSender, Outgoing};
use crate::origin::{Anchor, Boundary};
use crate::status::Counters;
use crate::transport::{Links, Runtime};
use crate::vote_log::Voting;

/// Messages a second that a peer may send on one channel.
const QUOTA: NonZeroU32 = NZU32!(256);
const BLOCK_QUOTA: NonZeroU32 = NZU32!(128);
pub(crate) const FETCH_RETRY: Duration = Duration::from_millis(100);
pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1024);
pub(crate) const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 * 1024);
/// Views in one set of files of the engine's cache of blocks. Beginning a set holds up the order for some 50 ms, on a
/// disk that four nodes share; a set is deleted as a whole, so that so many blocks lie on the disk for longer.
const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(256);
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);

/// What the engine runs on. Checked by [`crate::assembly`], because the engine panics on what does
/// not fit.
pub(crate) struct Parts {
    /// Prefix of the engine's files.
    pub(crate) partition: String,
    pub(crate) me: ed25519::PublicKey,
    pub(crate) committees: Committees,
    pub(crate) anchor: Anchor,
    /// The lowest height of the ledger.
    pub(crate) floor_height: u64,
    pub(crate) current: Boundary,
    pub(crate) boundaries: mpsc::UnboundedReceiver<Boundary>,
    pub(crate) voting: Voting,
    pub(crate) addresses: BTreeMap<[u8; 32], SocketAddr>,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) archives: (BlockArchive, CertificateArchive),
    pub(crate) driver: Driver,
    pub(crate) deliveries: Deliveries,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: IncomingSender,
}

pub(crate) type Tasks = Vec<(&'static str, Task<()>)>;
pub(crate) type Channel<L> = (<L as Links>::Sender, <L as Links>::Receiver);
pub(crate) type Mailbox = MarshalMailbox<Scheme, Standard<OrderedBlock>>;
pub(crate) type Automaton<E> = Inline<E, Scheme, Driver, OrderedBlock, Committees>;

/// Runs the engine until `stop` resolves, and says when it takes part. An error is why it stopped by
/// itself.
pub(crate) async fn run<E: Runtime, L: Links>(
    context: &E,
    links: L,
    parts: Parts,
    ready: impl FnOnce() + Send,
    stop: oneshot::Receiver<()>,
) -> Result<(), String> {
    let tasks = launch(context, links, parts).await?;
    ready();
    let (names, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let ended = select_all(tasks);
    match select(stop, ended).await {
        Either::Left(_) => Ok(()),
        Either::Right(((result, index, _), _)) => {
            let name = names.get(index).copied().unwrap_or("task");
            Err(match result {
                Ok(()) => format!("{name} ended"),
                Err(error) => format!("{name} ended: {error}"),
            })
        }
    }
}

/// The bound on messages that every node of a network derives alike, whatever its committee.
pub(crate) fn message_bytes_max(limits: &Limits) -> u32 {
    let members = u32::try_from(MAX_SEATS).unwrap_or(u32::MAX);
    max_message_size(&[
        prefixed(simplex::max_payload_size::<Scheme, EngineDigest>(members)),
        marshal::max_payload_size::<Standard<OrderedBlock>, Scheme>(
            members,
            &limits.block_bytes_max,
        ),
        gossip::frame_bytes_max(limits.message_bytes_max),
    ])
}

pub(crate) fn milliseconds(number: u64) -> NonZeroDuration {
    NZDuration!(Duration::from_millis(number.max(1)))
}

async fn launch<E: Runtime, L: Links>(
    context: &E,
    mut links: L,
    parts: Parts,
) -> Result<Tasks, String> {
    let quota = Quota::per_second(QUOTA);
    let block_quota = Quota::per_second(BLOCK_QUOTA);
    let votes = links.channel(0, quota).await?;
    let certificates = links.channel(1, quota).await?;
    let certificate_requests = links.channel(2, quota).await?;
    let block_requests = links.channel(3, block_quota).await?;
    let blocks = links.channel(4, block_quota).await?;
    let messages = links.channel(5, quota).await?;
    let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));

    let mut tasks: Tasks = Vec::new();
    tasks.extend(links.start().map(|task| ("network", task)));
    let wiring = Wiring {
        context,
        me: &parts.me,
        committees: &parts.committees,
        timing: &parts.timing,
        limits: &parts.limits,
        page_cache: &page_cache,
    };
    let counters = parts.deliveries.counters.clone();
    wiring.start_messages::<L>(
        &mut tasks,
        messages,
        (parts.outgoing, parts.incoming),
        &counters,
    );
    let evidence = parts.deliveries.evidence();
    let mailbox = wiring
        .start_marshal::<L>(
            &mut tasks,
            (links.peers(), links.blocker()),
            (&parts.partition, parts.anchor, parts.floor_height),
            parts.archives,
            parts.deliveries,
            (block_requests, blocks),
        )
        .await?;
    let inline = Inline::new(
        context.child("inline"),
        parts.driver,
        mailbox.clone(),
        parts.committees.clone(),
    );
    let epochs = Epochs {
        context: context.child("epochs"),
        links,
        partition: parts.partition,
        committees: parts.committees,
        addresses: parts.addresses,
        voting: parts.voting,
        timing: parts.timing,
        page_cache,
        counters,
        evidence,
        mailbox,
        inline,
        boundaries: parts.boundaries,
    };
    let channels = [votes, certificates, certificate_requests];
    tasks.extend(epochs::start(epochs, channels, parts.current).await?);
    Ok(tasks)
}

/// What several parts of the engine need.
struct Wiring<'a, E> {
    context: &'a E,
    me: &'a ed25519::PublicKey,
    committees: &'a Committees,
    timing: &'a Timing,
    limits: &'a Limits,
    page_cache: &'a CacheRef,
}

impl<E: Runtime> Wiring<'_, E> {
    /// Application messages, to and from peers.
    fn start_messages<L: Links>(
        &self,
        tasks: &mut Tasks,
        (sender, receiver): Channel<L>,
        (outgoing, incoming): (Outgoing, IncomingSender),
        counters: &Arc<Counters>,
    ) {
        let (committees, me) = (self.committees.clone(), self.me.clone());
        let recipients = move || {
            let members = committees.current_members();
            let others = members.iter().filter(|key| **key != me);
            others.cloned().collect()
        };
        let limit = self.limits.message_bytes_max;
        let sending = self
            .context
            .child("message_sender")
            .spawn(move |clock| gossip::send(clock, outgoing, sender, recipients, limit));
        let counters = counters.clone();
        let receiving = self
            .context
            .child("message_receiver")
            .spawn(move |_| gossip::receive(receiver, incoming, counters));
        tasks.push(("message sender", sending));
        tasks.push(("message receiver", receiving));
    }

    /// Marshal: fetches, orders, stores and delivers finalized blocks.
    async fn start_marshal<L: Links>(
        &self,
        tasks: &mut Tasks,
        (peers, blocker): (L::Peers, L::Blocker),
        (partition, anchor, floor_height): (&str, Anchor, u64),
        (blocks, certificates): (BlockArchive, CertificateArchive),
        deliveries: Deliveries,
        (requests, broadcasts): (Channel<L>, Channel<L>),
    ) -> Result<Mailbox, String> {
        let resolver = marshal_resolver::init(
            self.context.child("marshal_resolver"),
            marshal_resolver::Config {
                public_key: self.me.clone(),
                peer_provider: peers.clone(),
                blocker,
                mailbox_size: MAILBOX,
                fetch_timeout: milliseconds(self.timing.fetch_timeout_ms),
                fetch_retry_delay: FETCH_RETRY,
                priority_requests: false,
                priority_responses: false,
            },
            requests,
        );
        let (broadcast, buffer) = buffered::Engine::new(
            self.context.child("broadcast"),
            buffered::Config {
                public_key: self.me.clone(),
                mailbox_size: MAILBOX,
                deque_size: 8,
                priority: false,
                codec_config: self.limits.block_bytes_max,
                peer_provider: peers,
                strategy: Sequential,
            },
        );
        tasks.push(("broadcast", broadcast.start(broadcasts)));
        let start = match anchor {
            Anchor::Genesis(block) => Start::Genesis(Digested::compute(block, &Sequential).await),
            Anchor::Floor(finalization) => Start::Floor(finalization),
        };
        let unacknowledged = NonZeroUsize::new(self.limits.unacknowledged_blocks_max);
        let config = marshal::Config {
            provider: self.committees.clone(),
            epocher: self.committees.clone(),
            start,
            partition_prefix: partition.to_owned(),
            mailbox_size: MAILBOX,
            view_retention: ViewDelta::new(64),
            prunable_items_per_section: ITEMS_PER_SECTION,
            page_cache: self.page_cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: self.limits.block_bytes_max,
            max_repair: NZUsize!(16),
            max_pending_acks: unacknowledged.unwrap_or(NonZeroUsize::MIN),
            strategy: Sequential,
        };
        let context = self.context.child("marshal");
        let (actor, mailbox, progress) =
            MarshalActor::<_, Standard<OrderedBlock>, _, _, _, _, _>::init(
                context,
                certificates,
                blocks,
                config,
            )
            .await;
        if let Some(Processed::Absent(height)) = progress.processed()
            && height.get() >= floor_height
        {
            return Err(format!(
                "the store has lost block {height}, which this node has had; is it an old copy? \
                 if this ledger is to be kept, remove the folder of votes: the node then begins \
                 where the store ends, and votes from the next epoch on"
            ));
        }
        // It must run before its mailbox is asked anything: a question before that is never
        // answered.
        tasks.push(("marshal", actor.start(deliveries, buffer, resolver)));
        Ok(mailbox)
    }
}
