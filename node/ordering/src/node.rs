//! Whole nodes on any runtime and any links: what a simulation of a network runs. A real node is
//! started by [`crate::start`], which does the same with threads, TCP and TLS.
//!
//! Nothing here runs outside the runtime's tasks: blocks and messages are handed to the application
//! by tasks, and the store is written where the engine asks for it. On a deterministic runtime, with
//! a deterministic application and a [`MemoryStore`](sealbook_store::MemoryStore), the same seed
//! gives the same network.
//!
//! Time is the runtime's. A node ends when its [`NodeHandle`] is dropped or [aborted](NodeHandle::abort),
//! as in a crash: what it had not written is gone, what it had is there. To start it again, call
//! [`run_node`] with the same store, partition and mark; to wipe it, with new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_runtime::Handle as Task;
use futures::channel::oneshot;
use sealbook_store::LedgerStore;

use crate::application::Application;
use crate::assembly::{assemble, check, counters, inline_archives};
use crate::config::{Limits, OrderingError};
use crate::gossip::OutgoingSender;
use crate::status::{Counters, OrderingStatus};
use crate::{driver, engine, gossip};

pub use crate::assembly::NodeSetup;
pub use crate::transport::{Links, Runtime, SimulatedLinks};
pub use crate::vote_log::{MemoryMark, VoteMark, found};

/// The key under which links know the node with a vote key.
///
/// # Errors
/// The bytes are no Ed25519 key.
pub fn engine_key(vote_key: &[u8; 32]) -> Result<PublicKey, OrderingError> {
    crate::committee::engine_key(vote_key)
}

/// The largest message between nodes with these limits, for the configuration of their links.
#[must_use]
pub fn message_bytes_max(limits: &Limits) -> u32 {
    engine::message_bytes_max(limits)
}

/// A running node. Dropping it crashes the node.
pub struct NodeHandle {
    counters: Arc<Counters>,
    outgoing: OutgoingSender,
    message_bytes_max: usize,
    task: Option<Task<()>>,
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NodeHandle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl NodeHandle {
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

    /// How ordering is doing. Simulated links are not counted.
    #[must_use]
    pub fn status(&self) -> OrderingStatus {
        self.counters.status()
    }

    /// Why the engine stopped by itself, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.counters.failure()
    }

    /// Crashes the node, and returns when nothing of it runs any more.
    pub async fn abort(mut self) {
        self.counters.stopping.store(true, Ordering::Release);
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.counters.stopping.store(true, Ordering::Release);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts a node and returns when it takes part. Everything that it does is a task below `context`.
///
/// # Errors
/// A setting that cannot be, or a failed store.
pub async fn run_node<E: Runtime, L: Links>(
    context: E,
    links: L,
    setup: NodeSetup,
    store: Arc<LedgerStore>,
    application: Arc<dyn Application>,
) -> Result<NodeHandle, OrderingError> {
    check(&setup, &store)?;
    let message_bytes_max = setup.limits.message_bytes_max;
    let counters = counters(&setup);
    let archives = inline_archives(&store);
    let (parts, ends, ()) = assemble(setup, &store, &application, &counters, archives)?;
    let (ready_sender, ready) = oneshot::channel();
    let observed = Arc::clone(&counters);
    let task = context.spawn(move |context| async move {
        let deliver = driver::deliver(
            ends.deliveries,
            store,
            Arc::clone(&application),
            Arc::clone(&observed),
        );
        let _deliver = context.child("deliver").spawn(move |_| deliver);
        let messages = gossip::deliver(ends.incoming, application);
        let _messages = context.child("messages").spawn(move |_| messages);
        // A simulated node is never asked to stop; it crashes.
        let (_stop, stopped) = oneshot::channel();
        let ready = move || {
            let _ = ready_sender.send(());
        };
        if let Err(reason) = engine::run(&context, links, parts, ready, stopped).await {
            observed.fail(reason);
        }
    });
    let handle = NodeHandle {
        counters,
        outgoing: ends.outgoing,
        message_bytes_max,
        task: Some(task),
    };
    if ready.await.is_err() {
        let reason = handle.failed();
        let reason = reason.unwrap_or_else(|| "it ended at once".to_owned());
        return Err(OrderingError::Engine(reason));
    }
    Ok(handle)
}
