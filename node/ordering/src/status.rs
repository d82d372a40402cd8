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
    /// It follows, for this reason.
    Observer(ObserverReason),
}

/// Why a node does not vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserverReason {
    /// It is an observer of this epoch.
    Appointed,
    /// This epoch does not name it at all. Other nodes close their links to it, so it may hear of no
    /// more blocks.
    NotAMember,
    /// It is a validator, but was told not to vote.
    Asked,
    /// It is a validator that has no log of its votes, or one that does not go with its store. It
    /// votes again as soon as an epoch begins in which it cannot have voted before.
    VotesLost {
        /// That epoch, once it is known.
        votes_from: Option<u64>,
    },
}

/// How ordering is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingStatus {
    /// Whether this node votes in this epoch.
    pub seat: Seat,
    /// Committee epoch.
    pub epoch: u64,
    /// The highest view of this epoch in which something was certified.
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
    pub(crate) epoch: AtomicU64,
    seat: Mutex<Option<Seat>>,
    /// The time of the newest final block.
    pub(crate) final_time_ms: AtomicU64,
    /// An epoch that begins later than this began after this process.
    certain_after_ms: u64,
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
    pub(crate) fn new(certain_after_ms: u64) -> Self {
        Self {
            certain_after_ms,
            ..Self::default()
        }
    }

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

    pub(crate) fn begin_epoch(&self, epoch: u64, seat: Seat) {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
        self.epoch.store(epoch, Ordering::Relaxed);
        self.view.store(0, Ordering::Relaxed);
    }

    /// The seat of now. Once a final block is late enough, so is every block after it, the boundary
    /// block too.
    fn seat(&self, epoch: u64) -> Seat {
        let seat = *self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        let late = self.final_time_ms.load(Ordering::Relaxed) > self.certain_after_ms;
        match seat.unwrap_or(Seat::Observer(ObserverReason::NotAMember)) {
            Seat::Observer(ObserverReason::VotesLost { votes_from: None }) if late => {
                let votes_from = epoch.checked_add(1);
                Seat::Observer(ObserverReason::VotesLost { votes_from })
            }
            seat => seat,
        }
    }

    pub(crate) fn status(&self) -> OrderingStatus {
        let epoch = self.epoch.load(Ordering::Relaxed);
        OrderingStatus {
            seat: self.seat(epoch),
            epoch,
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
