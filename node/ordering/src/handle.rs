//! A real node: its threads, its links, its start and its end. The only place that instantiates the
//! engine in this crate.
//!
//! ```text
//! sealbook-ordering   the engine's runtime
//! sealbook-deliver    finalized blocks to the application
//! sealbook-messages   application messages to the application
//! sealbook-archive    finalized blocks to the store
//! ```

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::tokio::{Config as RuntimeConfig, Runner};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::select;
use sealbook_store::LedgerStore;

use crate::application::Application;
use crate::assembly::{self, NodeSetup, assemble};
use crate::config::{NodeIdentity, OrderingConfig, OrderingError};
use crate::gossip::OutgoingSender;
use crate::link::TlsLinks;
use crate::lookup::{LINK_TIMEOUT, LookupLinks};
use crate::removals::{self, LateRemovals};
use crate::status::{Counters, OrderingStatus};
use crate::vote_log::{self, FileMark};
use crate::{archive, driver, engine, gossip};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
const BLOCKING_THREADS: usize = 16;
/// Prefix of the engine's files.
const PARTITION: &str = "sealbook";

/// Running ordering. Dropping it stops the engine without waiting.
pub struct Handle {
    counters: Arc<Counters>,
    outgoing: OutgoingSender,
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
        let sent = self.outgoing.try_send(bytes);
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
        self.counters.status()
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
/// A setting that cannot be, an identity that does not fit, or an address or directory that cannot
/// be used.
pub fn start(
    config: OrderingConfig,
    store: Arc<LedgerStore>,
    application: Arc<dyn Application>,
) -> Result<Handle, OrderingError> {
    let (storage, limits) = (config.storage_directory.clone(), config.limits);
    let network = config.network;
    let (setup, transport) = transport(config);
    let (namespace, address) = (transport.namespace.clone(), transport.listen);
    let counters = assembly::counters(&setup);
    let archives = |committees, floor| archive::open(store.clone(), committees, floor);
    assembly::check(&setup, &store)?;
    let links = transport.links(&counters)?;
    vote_log::prepare(&storage, &store, &network)?;
    let (parts, ends, archive) = assemble(setup, &store, &application, &counters, archives)?;

    let engine_directory = vote_log::engine_directory(&storage);
    let epoch = parts.current.definition.epoch;
    if let Err(error) = removals::clear(&engine_directory, &parts.partition, epoch) {
        tracing::warn!(%error, "old files of the engine's cannot be removed");
    }

    let mut threads = vec![archive];
    let deliver = driver::deliver(
        ends.deliveries,
        store,
        application.clone(),
        counters.clone(),
    );
    threads.push(thread("sealbook-deliver", || block_on(deliver))?);
    let messages = gossip::deliver(ends.incoming, application);
    threads.push(thread("sealbook-messages", || block_on(messages))?);
    let (stop, stopped) = oneshot::channel();
    let (ready_sender, ready) = mpsc::sync_channel(1);
    let runtime = RuntimeConfig::new()
        .with_worker_threads(limits.worker_threads)
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_tcp_nodelay(Some(true))
        .with_read_write_timeout(LINK_TIMEOUT)
        .with_storage_directory(engine_directory);
    let reporting = counters.clone();
    threads.push(thread("sealbook-ordering", move || {
        let engine = || {
            Runner::new(runtime).start(|context| async move {
                let sizes = (engine::message_bytes_max(&limits), limits.peers_max);
                let network = context.child("network");
                let links = LookupLinks::new(network, links, &namespace, address, sizes);
                // Nobody waits any more if starting was given up.
                let ready = move || {
                    let _ = ready_sender.send(());
                };
                let late = LateRemovals::over(context.child("storage"));
                let result = engine::run(&late, links, parts, ready, stopped).await;
                // What is not removed now, and of no use any more, could stay for ever.
                let _ = select(pin!(late.settle()), pin!(context.sleep(STOP_TIMEOUT))).await;
                // Tasks that do not end in time are dropped with the runtime; nothing of theirs is
                // needed after a crash either.
                if let Err(error) = context.stop(0, Some(STOP_TIMEOUT)).await {
                    tracing::debug!(%error, "the engine did not end in time");
                }
                result
            })
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
        counters,
        outgoing: ends.outgoing,
        message_bytes_max: limits.message_bytes_max,
        stop: Mutex::new(Some(stop)),
        threads,
    };
    wait_until_ready(&ready, handle)
}

/// What a real node has beside its [`NodeSetup`]: an identity on its links, and an address.
struct Transport {
    identity: NodeIdentity,
    network_name: String,
    namespace: Vec<u8>,
    listen: SocketAddr,
}

impl Transport {
    fn links(self, counters: &Counters) -> Result<TlsLinks, OrderingError> {
        let sessions = counters.sessions.clone();
        let network = &self.network_name;
        let links = TlsLinks::new(self.identity, network, &self.namespace, sessions)?;
        // The engine would panic; this asks first.
        let address = self.listen;
        let taken = |error: std::io::Error| OrderingError::Listen {
            address,
            reason: error.to_string(),
        };
        drop(TcpListener::bind(address).map_err(taken)?);
        Ok(links)
    }
}

fn transport(config: OrderingConfig) -> (NodeSetup, Transport) {
    let setup = NodeSetup {
        network: config.network,
        genesis_block: config.genesis_block,
        start: config.start,
        seed: config.identity.seed.duplicate(),
        partition: PARTITION.to_owned(),
        mark: Box::new(FileMark::new(&config.storage_directory)),
        observe_only: config.observe_only,
        addresses: config.addresses,
        start_time_ms: config.start_time_ms,
        clock_drift_ms: config.clock_drift_ms,
        timing: config.timing,
        limits: config.limits,
        danger_unchecked_proposals: false,
    };
    let transport = Transport {
        identity: config.identity,
        network_name: config.network_name,
        namespace: config.network.to_string().into_bytes(),
        listen: config.listen,
    };
    (setup, transport)
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
