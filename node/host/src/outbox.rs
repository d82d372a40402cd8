//! Sealed replies that wait for their submitters, by the digest of the transaction. In memory: a module that starts
//! again makes them again.
//!
//! INVARIANT: at most [`OUTBOX_MAX`] transactions are kept; the oldest go first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::Stage;
use sealbook_protocol::module::SealedReply;
use tokio::sync::Notify;

use crate::lock;

const OUTBOX_MAX: usize = 200_000;

#[derive(Default)]
struct Replies {
    by_transaction: BTreeMap<Digest, [Option<Vec<u8>>; 2]>,
    age: VecDeque<Digest>,
}

/// The outbox.
#[derive(Default)]
pub struct Outbox {
    replies: Mutex<Replies>,
    changed: Notify,
}

const fn slot(stage: Stage) -> usize {
    match stage {
        Stage::Outcome => 0,
        Stage::Final => 1,
    }
}

impl Outbox {
    /// Puts replies in and wakes those who wait.
    pub fn put(&self, stage: Stage, sealed: Vec<SealedReply>) {
        if sealed.is_empty() {
            return;
        }
        let mut replies = lock(&self.replies);
        for SealedReply {
            transaction,
            sealed,
        } in sealed
        {
            if !replies.by_transaction.contains_key(&transaction) {
                replies.age.push_back(transaction);
            }
            let entry = replies.by_transaction.entry(transaction).or_default();
            if let Some(place) = entry.get_mut(slot(stage)) {
                *place = Some(sealed);
            }
        }
        while replies.age.len() > OUTBOX_MAX {
            if let Some(oldest) = replies.age.pop_front() {
                replies.by_transaction.remove(&oldest);
            }
        }
        drop(replies);
        self.changed.notify_waiters();
    }

    /// Whether the transaction has been executed.
    #[must_use]
    pub fn knows(&self, transaction: &Digest) -> bool {
        lock(&self.replies).by_transaction.contains_key(transaction)
    }

    fn take(&self, transaction: &Digest, stage: Stage) -> Option<Vec<u8>> {
        lock(&self.replies)
            .by_transaction
            .get(transaction)?
            .get(slot(stage))?
            .clone()
    }

    /// Waits for a reply, at most `limit`.
    pub async fn wait(
        &self,
        transaction: &Digest,
        stage: Stage,
        limit: Duration,
    ) -> Option<Vec<u8>> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a reply between the look and the wait is not missed.
            changed.as_mut().enable();
            if let Some(reply) = self.take(transaction, stage) {
                return Some(reply);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.take(transaction, stage);
            }
        }
    }
}
