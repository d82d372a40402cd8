//! Wires the engine together: network, broadcast, marshal, Simplex. Everything generic is
//! instantiated here, once.
//!
//! ```text
//! channel 0 votes            1 certificates   2 certificate requests
//!         3 block requests   4 blocks         5 application messages
//! ```
//!
//! Every number below that is not the operator's to choose is a bound on memory or a habit of the
//! engine that was measured; none is agreed between nodes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::{Actor as MarshalActor, Mailbox as MarshalMailbox};
use commonware_consensus::marshal::resolver::p2p as marshal_resolver;
use commonware_consensus::marshal::standard::{Inline, Standard};
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex;
use commonware_consensus::simplex::config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::{Digested, Digestible as _, Sha256, ed25519};
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{Address, AddressableManager as _, AddressableTrackedPeers, max_message_size};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::tokio::Context;
use commonware_runtime::{Handle as Task, Quota, Spawner as _, Supervisor as _};
use commonware_utils::ordered::Map;
use commonware_utils::{NZDuration, NZU16, NZU32, NZU64, NZUsize, NonZeroDuration};
use futures::channel::oneshot;
use futures::future::{Either, select, select_all};
use sealbook_ledger::Block;

use crate::archive::{BlockArchive, CertificateArchive};
use crate::block::{EngineDigest, OrderedBlock};
use crate::committee::Committees;
use crate::config::{Limits, Timing};
use crate::driver::{Deliveries, Driver, Observed};
use crate::gossip::{self, IncomingSender, Outgoing};
use crate::link::TlsLinks;
use crate::status::Counters;

/// Prefix of the engine's files.
const PARTITION: &str = "sealbook";
/// Memory per node grows with this; DESIGN's measurements are for 16.
const PEERS_PER_SET: usize = 16;
/// Messages a second that a peer may send on one channel.
const QUOTA: NonZeroU32 = NZU32!(256);
const BLOCK_QUOTA: NonZeroU32 = NZU32!(128);
const FETCH_RETRY: Duration = Duration::from_millis(100);
const MAILBOX: NonZeroUsize = NZUsize!(1024);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 * 1024);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What the engine runs on. Checked by [`crate::handle::start`], because the engine panics on what
/// does not fit.
pub(crate) struct Parts {
    pub(crate) namespace: Vec<u8>,
    pub(crate) genesis: Block,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) links: TlsLinks,
    pub(crate) me: ed25519::PublicKey,
    pub(crate) committees: Committees,
    pub(crate) validators: Map<ed25519::PublicKey, Address>,
    pub(crate) observers: Map<ed25519::PublicKey, Address>,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) archives: (BlockArchive, CertificateArchive),
    pub(crate) driver: Driver,
    pub(crate) deliveries: Deliveries,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: IncomingSender,
}

/// Runs the engine until `stop` resolves. An error is why it stopped by itself.
pub(crate) async fn run(
    context: Context,
    parts: Parts,
    ready: SyncSender<()>,
    stop: oneshot::Receiver<()>,
) -> Result<(), String> {
    let tasks = launch(&context, parts).await?;
    // Nobody waits any more if starting was given up.
    let _ = ready.send(());
    let (names, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let ended = select_all(tasks);
    let result = match select(stop, ended).await {
        Either::Left(_) => Ok(()),
        Either::Right(((result, index, _), _)) => {
            let name = names.get(index).copied().unwrap_or("task");
            Err(match result {
                Ok(()) => format!("{name} ended"),
                Err(error) => format!("{name} ended: {error}"),
            })
        }
    };
    // Tasks that do not end in time are dropped with the runtime; nothing of theirs is needed after
    // a crash either.
    if let Err(error) = context.stop(0, Some(STOP_TIMEOUT)).await {
        tracing::debug!(%error, "the engine did not end in time");
    }
    result
}

type Tasks = Vec<(&'static str, Task<()>)>;

/// The bound on messages that every node of a network derives alike.
pub(crate) fn message_bytes_max(members: usize, limits: &Limits) -> u32 {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    max_message_size(&[
        simplex::max_payload_size::<Scheme, EngineDigest>(members),
        marshal::max_payload_size::<Standard<OrderedBlock>, Scheme>(
            members,
            &limits.block_bytes_max,
        ),
        gossip::frame_bytes_max(limits.message_bytes_max),
    ])
}

fn network_config(parts: &Parts) -> lookup::Config<TlsLinks> {
    let peers = parts
        .validators
        .len()
        .saturating_add(parts.observers.len())
        .saturating_add(1);
    let mut config = lookup::Config::local(
        parts.links.clone(),
        &parts.namespace,
        parts.listen,
        NonZeroUsize::new(peers)
            .unwrap_or(NonZeroUsize::MIN)
            .max(NZUsize!(PEERS_PER_SET)),
        message_bytes_max(parts.committees.members().len(), &parts.limits),
        MAILBOX,
    );
    // Certificates say who a peer is; its packets may come through another address.
    config.bypass_ip_check = true;
    config.dial_frequency = Duration::from_millis(100);
    config.peer_connection_cooldown = Duration::from_millis(500);
    config.dial_timeout = Duration::from_secs(5);
    config
}

type Channel = (
    lookup::Sender<ed25519::PublicKey, Context>,
    lookup::Receiver<ed25519::PublicKey>,
);
type Oracle = lookup::Oracle<ed25519::PublicKey>;
type Mailbox = MarshalMailbox<Scheme, Standard<OrderedBlock>>;

/// What several parts of the engine need.
struct Wiring<'a> {
    context: &'a Context,
    oracle: Oracle,
    me: ed25519::PublicKey,
    committees: Committees,
    timing: Timing,
    limits: Limits,
    page_cache: CacheRef,
    epocher: FixedEpocher,
    tasks: Tasks,
}

async fn launch(context: &Context, parts: Parts) -> Result<Tasks, String> {
    let (mut network, mut oracle) =
        lookup::Network::new(context.child("network"), network_config(&parts));
    let _ = oracle.track(
        0,
        AddressableTrackedPeers::new(parts.validators, parts.observers),
    );
    let quota = Quota::per_second(QUOTA);
    let block_quota = Quota::per_second(BLOCK_QUOTA);
    let votes = network.register(0, quota);
    let certificates = network.register(1, quota);
    let certificate_requests = network.register(2, quota);
    let block_requests = network.register(3, block_quota);
    let blocks = network.register(4, block_quota);
    let messages = network.register(5, quota);

    let mut wiring = Wiring {
        context,
        oracle,
        me: parts.me,
        committees: parts.committees,
        timing: parts.timing,
        limits: parts.limits,
        page_cache: CacheRef::new(NZU16!(4096), NZUsize!(1024)),
        epocher: FixedEpocher::new(NZU64!(u64::MAX)),
        tasks: vec![("network", network.start())],
    };
    let counters = parts.deliveries.counters.clone();
    wiring.start_messages(messages, parts.outgoing, parts.incoming, counters.clone());
    let genesis = Digested::compute(OrderedBlock::new(parts.genesis), &Sequential).await;
    let root = genesis.digest();
    let mailbox = wiring
        .start_marshal(
            genesis,
            parts.archives,
            parts.deliveries,
            block_requests,
            blocks,
        )
        .await;
    let inline = Inline::new(
        context.child("inline"),
        parts.driver,
        mailbox,
        wiring.epocher.clone(),
    );
    wiring.start_simplex(
        root,
        inline,
        counters,
        [votes, certificates, certificate_requests],
    )?;
    Ok(wiring.tasks)
}

impl Wiring<'_> {
    fn fetch_timeout(&self) -> NonZeroDuration {
        NZDuration!(Duration::from_millis(self.timing.fetch_timeout_ms))
    }

    /// Application messages, to and from peers.
    fn start_messages(
        &mut self,
        (sender, receiver): Channel,
        outgoing: Outgoing,
        incoming: IncomingSender,
        counters: Arc<Counters>,
    ) {
        let members = self.committees.members().iter();
        let recipients: Vec<_> = members.filter(|key| **key != self.me).cloned().collect();
        let limit = self.limits.message_bytes_max;
        let sending = self
            .context
            .child("message_sender")
            .spawn(move |clock| gossip::send(clock, outgoing, sender, recipients, limit));
        let receiving = self
            .context
            .child("message_receiver")
            .spawn(move |_| gossip::receive(receiver, incoming, counters));
        self.tasks.push(("message sender", sending));
        self.tasks.push(("message receiver", receiving));
    }

    /// Marshal: fetches, orders, stores and delivers finalized blocks.
    async fn start_marshal(
        &mut self,
        genesis: Digested<OrderedBlock>,
        (blocks, certificates): (BlockArchive, CertificateArchive),
        deliveries: Deliveries,
        requests: Channel,
        broadcasts: Channel,
    ) -> Mailbox {
        let resolver = marshal_resolver::init(
            self.context.child("marshal_resolver"),
            marshal_resolver::Config {
                public_key: self.me.clone(),
                peer_provider: self.oracle.clone(),
                blocker: self.oracle.clone(),
                mailbox_size: MAILBOX,
                fetch_timeout: self.fetch_timeout(),
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
                peer_provider: self.oracle.clone(),
                strategy: Sequential,
            },
        );
        self.tasks.push(("broadcast", broadcast.start(broadcasts)));
        let unacknowledged = NonZeroUsize::new(self.limits.unacknowledged_blocks_max);
        let config = marshal::Config {
            provider: self.committees.clone(),
            epocher: self.epocher.clone(),
            start: Start::Genesis(genesis),
            partition_prefix: PARTITION.to_owned(),
            mailbox_size: MAILBOX,
            view_retention: ViewDelta::new(64),
            prunable_items_per_section: NZU64!(64),
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
        let (actor, mailbox, _) = MarshalActor::<_, Standard<OrderedBlock>, _, _, _, _, _>::init(
            context,
            certificates,
            blocks,
            config,
        )
        .await;
        // It must run before its mailbox is asked anything: a question before that is never
        // answered.
        self.tasks
            .push(("marshal", actor.start(deliveries, buffer, resolver)));
        mailbox
    }

    /// Simplex: votes.
    fn start_simplex(
        &mut self,
        root: EngineDigest,
        inline: Inline<Context, Scheme, Driver, OrderedBlock, FixedEpocher>,
        counters: Arc<Counters>,
        [votes, certificates, requests]: [Channel; 3],
    ) -> Result<(), String> {
        let epoch = Epoch::zero();
        let scheme = self
            .committees
            .scheme_of(epoch)
            .ok_or("the first epoch has no committee")?;
        let timing = &self.timing;
        let config = simplex::Config {
            scheme: Arc::unwrap_or_clone(scheme),
            elector: RoundRobin::<Sha256>::default(),
            blocker: self.oracle.clone(),
            automaton: inline.clone(),
            relay: inline.clone(),
            reporter: Observed {
                inner: inline,
                counters,
            },
            strategy: Sequential,
            partition: format!("{PARTITION}-simplex-{epoch}"),
            mailbox_size: MAILBOX,
            epoch,
            floor: Floor::Genesis(root),
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache: self.page_cache.clone(),
            leader_timeout: Duration::from_millis(timing.leader_timeout_ms),
            certification_timeout: Duration::from_millis(timing.certification_timeout_ms),
            timeout_retry: Duration::from_millis(timing.timeout_retry_ms),
            view_retention: ViewDelta::new(256),
            skip: SkipPolicy::Enabled {
                timeout: Duration::from_millis(timing.skip_after_ms),
                budget: SkipBudget::Participants,
            },
            fetch_timeout: self.fetch_timeout(),
            fetch_retry_delay: FETCH_RETRY,
            forward: ForwardPolicy::SilentVoters,
            track_historical_votes: false,
        };
        let context = self.context.child("simplex").with_attribute("epoch", epoch);
        let engine = simplex::Engine::new(context, config);
        self.tasks
            .push(("simplex", engine.start(votes, certificates, requests)));
        Ok(())
    }
}
