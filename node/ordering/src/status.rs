//! How ordering is doing, for operators. Nothing here tells of a party.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::session::Sessions;

/// What this node does in the committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// It votes.
    Validator,
    /// It follows.
    Observer,
}

/// How ordering is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingStatus {
    /// Whether this node votes.
    pub seat: Seat,
    /// Committee epoch.
    pub epoch: u64,
    /// The highest view in which something was certified.
    pub view: u64,
    /// The highest block known to be final; its ancestors may still be on their way.
    pub finalized_height: u64,
    /// The highest block that was handed to the application.
    pub delivered_height: u64,
    /// Peers with an open link.
    pub connected_peers: usize,
    /// Views that ended without a block since the start.
    pub failed_views: u64,
    /// Proofs seen since the start that a validator contradicted itself.
    pub contradictions: u64,
    /// Application messages that were dropped because a queue was full.
    pub dropped_messages: u64,
}

/// The counters behind the status, and how the engine ended.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) view: AtomicU64,
    pub(crate) finalized_height: AtomicU64,
    pub(crate) delivered_height: AtomicU64,
    pub(crate) failed_views: AtomicU64,
    pub(crate) contradictions: AtomicU64,
    pub(crate) dropped_messages: AtomicU64,
    pub(crate) stopping: AtomicBool,
    pub(crate) sessions: Sessions,
    failure: Mutex<Option<String>>,
}

impl Counters {
    /// Keeps the first reason why the engine ended, unless it was asked to.
    pub(crate) fn fail(&self, reason: String) {
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        tracing::error!(%reason, "ordering stopped");
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn status(&self, seat: Seat) -> OrderingStatus {
        OrderingStatus {
            seat,
            epoch: 0,
            view: self.view.load(Ordering::Relaxed),
            finalized_height: self.finalized_height.load(Ordering::Relaxed),
            delivered_height: self.delivered_height.load(Ordering::Relaxed),
            connected_peers: self.sessions.peers(),
            failed_views: self.failed_views.load(Ordering::Relaxed),
            contradictions: self.contradictions.load(Ordering::Relaxed),
            dropped_messages: self.dropped_messages.load(Ordering::Relaxed),
        }
    }
}
