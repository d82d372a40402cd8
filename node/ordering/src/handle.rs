//! Starting and stopping ordering: the checks that the engine would otherwise panic on, its
//! threads, and its end.
//!
//! ```text
//! sealbook-ordering   the engine's runtime
//! sealbook-deliver    finalized blocks to the application
//! sealbook-messages   application messages to the application
//! sealbook-archive    finalized blocks to the store
//! ```

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use commonware_cryptography::ed25519;
use commonware_p2p::Address;
use commonware_runtime::Runner as _;
use commonware_runtime::tokio::{Config as RuntimeConfig, Runner};
use commonware_utils::ordered::{Map, Set};
use futures::channel::oneshot;
use sealbook_ledger::MAX_BLOCK_BYTES;
use sealbook_primitives::signature::SigningKey;
use sealbook_store::LedgerStore;

use crate::application::Application;
use crate::archive;
use crate::committee::{Committees, engine_key, engine_signer};
use crate::config::{MAX_APPLICATION_MESSAGE_BYTES, OrderingConfig, OrderingError, Peer, Timing};
use crate::driver::{self, Deliveries, Delivery, Driver};
use crate::engine::{self, Parts};
use crate::gossip::{self, IncomingQueue, OutgoingSender};
use crate::link::TlsLinks;
use crate::status::{Counters, OrderingStatus, Seat};
use crate::vote_log;

const COMMITTEE_MAX: usize = 256;
const OBSERVERS_MAX: usize = 256;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const BLOCKING_THREADS: usize = 16;

/// Running ordering. Dropping it stops the engine without waiting.
pub struct Handle {
    seat: Seat,
    counters: Arc<Counters>,
    outgoing: Mutex<OutgoingSender>,
    message_bytes_max: usize,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Handle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// Sends a message to all other validators, best effort. False if it is too large or the queue
    /// is full.
    pub fn gossip(&self, bytes: Bytes) -> bool {
        if bytes.len() > self.message_bytes_max {
            return false;
        }
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = outgoing.try_send(bytes);
        if !sent {
            self.counters
                .dropped_messages
                .fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// How ordering is doing.
    #[must_use]
    pub fn status(&self) -> OrderingStatus {
        self.counters.status(self.seat)
    }

    /// Why the engine stopped by itself, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.counters.failure()
    }

    /// Tells the engine to stop and does not wait. From now on the application may leave blocks
    /// unacknowledged; they are delivered again after the next start.
    pub fn begin_stop(&self) {
        self.counters.stopping.store(true, Ordering::Release);
        drop(
            self.stop
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Stops the engine and waits until nothing of it runs any more. Waits for a call of
    /// [`Application::finalized`] that is under way.
    pub fn stop(mut self) {
        self.begin_stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("a thread of ordering panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

/// Starts ordering in threads of its own and returns when it takes part.
///
/// # Errors
/// A setting that cannot be, an identity that does not fit, an address or directory that cannot be
/// used, or a lost vote log.
pub fn start(
    config: OrderingConfig,
    store: Arc<LedgerStore>,
    application: Arc<dyn Application>,
) -> Result<Handle, OrderingError> {
    check(&config, &store)?;
    let counters = Arc::new(Counters::default());
    let (storage, limits) = (config.storage_directory.clone(), config.limits);
    vote_log::prepare(&storage)?;
    let (parts, ends) = assemble(config, &store, &application, &counters)?;
    let seat = if parts.committees.votes() {
        Seat::Validator
    } else {
        Seat::Observer
    };

    let mut threads = vec![ends.archive];
    let (delivered, observed) = (application.clone(), counters.clone());
    threads.push(thread("sealbook-deliver", move || {
        driver::deliver(&ends.deliveries, &store, delivered.as_ref(), &observed);
    })?);
    threads.push(thread("sealbook-messages", move || {
        gossip::deliver(&ends.incoming, application.as_ref());
    })?);
    let (stop, stopped) = oneshot::channel();
    let (ready_sender, ready) = mpsc::sync_channel(1);
    let runtime = RuntimeConfig::new()
        .with_worker_threads(limits.worker_threads)
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_tcp_nodelay(Some(true))
        .with_storage_directory(vote_log::engine_directory(&storage));
    let reporting = counters.clone();
    threads.push(thread("sealbook-ordering", move || {
        let engine = || {
            Runner::new(runtime).start(|context| engine::run(context, parts, ready_sender, stopped))
        };
        // The engine panics on damaged files and failed syncs. The node must hear of it, not
        // vanish.
        match catch_unwind(AssertUnwindSafe(engine)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => reporting.fail(reason),
            Err(panic) => reporting.fail(panic_text(panic.as_ref())),
        }
    })?);

    let handle = Handle {
        seat,
        counters,
        outgoing: Mutex::new(ends.outgoing),
        message_bytes_max: limits.message_bytes_max,
        stop: Mutex::new(Some(stop)),
        threads,
    };
    wait_until_ready(&ready, handle)
}

/// The ends of the engine's queues that do not belong to the engine.
struct Ends {
    deliveries: mpsc::Receiver<Delivery>,
    incoming: IncomingQueue,
    outgoing: OutgoingSender,
    archive: JoinHandle<()>,
}

/// Makes what the engine runs on.
fn assemble(
    config: OrderingConfig,
    store: &Arc<LedgerStore>,
    application: &Arc<dyn Application>,
    counters: &Arc<Counters>,
) -> Result<(Parts, Ends), OrderingError> {
    let namespace = config.network.to_string().into_bytes();
    let vote_key = SigningKey::from_secret(&config.identity.seed).verifying_key();
    let signer = (!config.observe_only).then(|| engine_signer(&config.identity.seed));
    let committees = Committees::new(
        &namespace,
        members(&config.validators)?,
        signer.transpose()?,
    );
    let sessions = counters.sessions.clone();
    let links = TlsLinks::new(config.identity, &config.network_name, &namespace, sessions)?;
    // The engine would panic; this asks first.
    let address = config.listen;
    let taken = |error: std::io::Error| OrderingError::Listen {
        address,
        reason: error.to_string(),
    };
    drop(TcpListener::bind(address).map_err(taken)?);
    if committees.votes() {
        let key = vote_key.as_bytes();
        vote_log::claim(&config.storage_directory, store, &config.network, key)?;
    }

    let limits = config.limits;
    let (outgoing_sender, outgoing) = gossip::outgoing(limits.messages_waiting_max);
    let (incoming, incoming_queue) = gossip::incoming(limits.messages_waiting_max);
    // The engine keeps to this number by itself.
    let (deliveries, delivery_queue) = mpsc::sync_channel(limits.unacknowledged_blocks_max);
    let (blocks, certificates, archive) = archive::open(store.clone(), committees.clone())
        .map_err(|error| OrderingError::Engine(error.to_string()))?;
    let driver = Driver {
        application: application.clone(),
        block_bytes_max: limits.block_bytes_max,
        poll_interval: Duration::from_millis(config.timing.poll_interval_ms),
    };
    let parts = Parts {
        namespace,
        genesis: config.genesis_block,
        listen: config.listen,
        links,
        me: engine_key(vote_key.as_bytes())?,
        committees,
        validators: addresses(&config.validators)?,
        observers: addresses(&config.observers)?,
        timing: config.timing,
        limits,
        archives: (blocks, certificates),
        driver,
        deliveries: Deliveries {
            queue: deliveries,
            counters: counters.clone(),
        },
        outgoing,
        incoming,
    };
    let ends = Ends {
        deliveries: delivery_queue,
        incoming: incoming_queue,
        outgoing: outgoing_sender,
        archive,
    };
    Ok((parts, ends))
}

fn wait_until_ready(ready: &mpsc::Receiver<()>, handle: Handle) -> Result<Handle, OrderingError> {
    let reason = match ready.recv_timeout(START_TIMEOUT) {
        Ok(()) => return Ok(handle),
        Err(RecvTimeoutError::Timeout) => "it did not start in time".to_owned(),
        // The engine's thread is about to say why.
        Err(RecvTimeoutError::Disconnected) => {
            let counters = handle.counters.clone();
            let waited = (0..100).find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                counters.failure()
            });
            waited.unwrap_or_else(|| "it ended at once".to_owned())
        }
    };
    drop(handle);
    Err(OrderingError::Engine(reason))
}

fn thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OrderingError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| OrderingError::Engine(error.to_string()))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".to_owned())
}

fn members(validators: &[Peer]) -> Result<Set<ed25519::PublicKey>, OrderingError> {
    let keys: Result<Vec<_>, _> = validators
        .iter()
        .map(|peer| engine_key(&peer.vote_key))
        .collect();
    Ok(Set::from_iter_dedup(keys?))
}

fn addresses(peers: &[Peer]) -> Result<Map<ed25519::PublicKey, Address>, OrderingError> {
    let mut pairs = Vec::with_capacity(peers.len());
    for peer in peers {
        pairs.push((engine_key(&peer.vote_key)?, Address::from(peer.address)));
    }
    Map::try_from(pairs).map_err(|_| OrderingError::Config("a peer is named twice".to_owned()))
}

/// Everything that the engine would panic on or that could not work.
fn check(config: &OrderingConfig, store: &LedgerStore) -> Result<(), OrderingError> {
    let wrong = |reason: &str| Err(OrderingError::Config(reason.to_owned()));
    let genesis = &config.genesis_block;
    if genesis.height() != 0 || genesis.header.network != config.network {
        return wrong("block 0 is not of this network");
    }
    if let Some(stored) = store.block(0)?
        && stored.digest() != genesis.digest()
    {
        return wrong("the store holds another network's ledger");
    }
    if config.validators.is_empty() || config.validators.len() > COMMITTEE_MAX {
        return wrong("a committee has 1 to 256 validators");
    }
    if config.observers.len() > OBSERVERS_MAX {
        return wrong("there may be at most 256 observers");
    }
    let me = SigningKey::from_secret(&config.identity.seed).verifying_key();
    let mut keys = BTreeSet::new();
    for peer in config.validators.iter().chain(&config.observers) {
        if !keys.insert(peer.vote_key) {
            return wrong("a peer is named twice");
        }
    }
    if !keys.contains(me.as_bytes()) {
        return wrong("this node is neither among the validators nor among the observers");
    }
    let limits = &config.limits;
    if limits.block_bytes_max == 0 || limits.block_bytes_max > MAX_BLOCK_BYTES {
        return wrong("the limit on blocks is zero or beyond what a block may have");
    }
    if limits.message_bytes_max > MAX_APPLICATION_MESSAGE_BYTES {
        return wrong("the limit on application messages is beyond 1 MiB");
    }
    if limits.unacknowledged_blocks_max == 0
        || limits.messages_waiting_max == 0
        || limits.worker_threads == 0
    {
        return wrong("limits on queues and threads must be at least 1");
    }
    check_timing(&config.timing)
}

fn check_timing(timing: &Timing) -> Result<(), OrderingError> {
    let shortest = [
        timing.leader_timeout_ms,
        timing.timeout_retry_ms,
        timing.fetch_timeout_ms,
    ]
    .into_iter()
    .chain([timing.poll_interval_ms])
    .min();
    if shortest == Some(0) {
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
