//! Puts a node together from its settings: the checks that the engine would otherwise panic on, the
//! queues, and what goes into the engine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use commonware_utils::channel::mpsc;
use sealbook_ledger::{Block, MAX_BLOCK_BYTES};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_store::LedgerStore;

use crate::application::Application;
use crate::archive::{self, Archives};
use crate::committee::{Committees, engine_key, engine_signer};
use crate::config::{Limits, MAX_APPLICATION_MESSAGE_BYTES, OrderingError, Start, Timing};
use crate::driver::{self, Deliveries, Delivery, Driver};
use crate::engine::Parts;
use crate::gossip::{self, IncomingQueue, OutgoingSender};
use crate::origin;
use crate::status::Counters;
use crate::vote_log::{VoteMark, Voting};

/// What a node needs to know to take part, whatever it runs on.
pub struct NodeSetup {
    /// Hash of the genesis document. In hex it is the namespace of votes.
    pub network: Digest,
    /// Block 0.
    pub genesis_block: Block,
    /// Where the ledger begins.
    pub start: Start,
    /// The seed of the vote key.
    pub seed: Secret32,
    /// Prefix of the names under which the engine keeps its files. Nodes that share a runtime need
    /// one each; a node that is wiped, a new one.
    pub partition: String,
    /// Whether this node may vote; kept and lost together with the engine's files.
    pub mark: Box<dyn VoteMark>,
    /// Do not vote, even if this node is in the committee.
    pub observe_only: bool,
    /// Where nodes listen, by vote key, if the definitions of epochs do not say it right.
    pub addresses: BTreeMap<[u8; 32], SocketAddr>,
    /// When this node started, by its wall clock, in Unix milliseconds.
    pub start_time_ms: u64,
    /// How far the clocks of validators may differ, in milliseconds.
    pub clock_drift_ms: u64,
    /// How long to wait.
    pub timing: Timing,
    /// How large things may be.
    pub limits: Limits,
    /// Propose whatever the application says, without looking at it: for simulated liars.
    pub danger_unchecked_proposals: bool,
}

/// The ends of the engine's queues that do not belong to the engine.
pub(crate) struct Ends {
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) incoming: IncomingQueue,
    pub(crate) outgoing: OutgoingSender,
}

/// The counters of a node that is about to start.
pub(crate) fn counters(setup: &NodeSetup) -> Arc<Counters> {
    Arc::new(Counters::new(certain_after_ms(setup)))
}

/// A block with a later time was made after this process started, by whatever honest clock.
const fn certain_after_ms(setup: &NodeSetup) -> u64 {
    setup.start_time_ms.saturating_add(setup.clock_drift_ms)
}

/// Makes what the engine runs on. `archives` opens them, for a ledger that begins at a height.
pub(crate) fn assemble<T>(
    setup: NodeSetup,
    store: &Arc<LedgerStore>,
    application: &Arc<dyn Application>,
    counters: &Arc<Counters>,
    archives: impl FnOnce(Committees, u64) -> std::io::Result<(Archives, T)>,
) -> Result<(Parts, Ends, T), OrderingError> {
    let namespace = setup.network.to_string().into_bytes();
    let origin = origin::settle(&namespace, &setup.genesis_block, &setup.start, store)?;
    let committees = origin.committees;
    let vote_key = SigningKey::from_secret(&setup.seed).verifying_key();
    let voting = Voting {
        certain_after_ms: certain_after_ms(&setup),
        mark: setup.mark,
        store: Arc::clone(store),
        network: setup.network,
        vote_key: *vote_key.as_bytes(),
        signer: engine_signer(&setup.seed)?,
        observe_only: setup.observe_only,
    };

    let limits = setup.limits;
    let (outgoing_sender, outgoing) = gossip::outgoing(limits.messages_waiting_max);
    let (incoming, incoming_queue) = gossip::incoming(limits.messages_waiting_max);
    let blocks_max = limits.unacknowledged_blocks_max;
    let (deliveries, delivery_queue) = driver::deliveries(blocks_max);
    let (boundary_sender, boundaries) = mpsc::unbounded_channel();
    let (archives, writer) = archives(committees.clone(), origin.floor_height)
        .map_err(|error| OrderingError::Engine(error.to_string()))?;
    let parts = Parts {
        partition: setup.partition,
        me: engine_key(vote_key.as_bytes())?,
        anchor: origin.anchor,
        floor_height: origin.floor_height,
        current: origin.current,
        boundaries,
        voting,
        addresses: setup.addresses,
        timing: setup.timing,
        limits,
        archives,
        driver: Driver {
            application: Arc::clone(application),
            committees: committees.clone(),
            block_bytes_max: limits.block_bytes_max,
            poll_interval: Duration::from_millis(setup.timing.poll_interval_ms),
            danger_unchecked_proposals: setup.danger_unchecked_proposals,
        },
        deliveries: Deliveries {
            queue: deliveries,
            blocks_max,
            committees: committees.clone(),
            boundaries: boundary_sender,
            counters: Arc::clone(counters),
        },
        committees,
        outgoing,
        incoming,
    };
    let ends = Ends {
        deliveries: delivery_queue,
        incoming: incoming_queue,
        outgoing: outgoing_sender,
    };
    Ok((parts, ends, writer))
}

/// Everything that the engine would panic on or that could not work. Comes before [`assemble`], and
/// writes nothing.
pub(crate) fn check(setup: &NodeSetup, store: &LedgerStore) -> Result<(), OrderingError> {
    let wrong = |reason: &str| Err(OrderingError::Config(reason.to_owned()));
    let genesis = &setup.genesis_block;
    if genesis.height() != 0 || genesis.header.network != setup.network {
        return wrong("block 0 is not of this network");
    }
    if let Some(stored) = store.block(0)?
        && stored.digest() != genesis.digest()
    {
        return wrong("the store holds another network's ledger");
    }
    if let Start::Floor(floor) = &setup.start
        && floor.block.header.network != setup.network
    {
        return wrong("the floor is a block of another network");
    }
    let limits = &setup.limits;
    if limits.block_bytes_max == 0 || limits.block_bytes_max > MAX_BLOCK_BYTES {
        return wrong("the limit on blocks is zero or beyond what a block may have");
    }
    if limits.message_bytes_max > MAX_APPLICATION_MESSAGE_BYTES {
        return wrong("the limit on application messages is beyond 1 MiB");
    }
    if limits.unacknowledged_blocks_max == 0
        || limits.messages_waiting_max == 0
        || limits.worker_threads == 0
        || limits.peers_max == 0
    {
        return wrong("limits on queues, threads and peers must be at least 1");
    }
    check_timing(&setup.timing)
}

fn check_timing(timing: &Timing) -> Result<(), OrderingError> {
    let shortest = [
        timing.leader_timeout_ms,
        timing.timeout_retry_ms,
        timing.fetch_timeout_ms,
        timing.poll_interval_ms,
    ];
    if shortest.contains(&0) {
        return Err(OrderingError::Config("a timeout is zero".to_owned()));
    }
    if timing.certification_timeout_ms <= timing.leader_timeout_ms {
        let reason = "the certification timeout must exceed the leader timeout";
        return Err(OrderingError::Config(reason.to_owned()));
    }
    if timing.skip_after_ms <= timing.certification_timeout_ms.max(timing.timeout_retry_ms) {
        let reason = "silent leaders must be skipped later than the other timeouts";
        return Err(OrderingError::Config(reason.to_owned()));
    }
    Ok(())
}

/// The archives of a node without threads.
pub(crate) fn inline_archives(
    store: &Arc<LedgerStore>,
) -> impl FnOnce(Committees, u64) -> std::io::Result<(Archives, ())> {
    let store = Arc::clone(store);
    move |committees, floor| Ok((archive::open_inline(store, committees, floor), ()))
}
