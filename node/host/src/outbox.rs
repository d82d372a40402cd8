//! Sealed replies that wait for their submitters, by the digest of the transaction: in the ledger's store, so that they
//! can be fetched at any later time, and in memory while they are new.
//!
//! Replies go to the store some blocks at a time: until then a module that starts again makes them again, because it
//! replays from a snapshot that is not newer than what was flushed.
//!
//! INVARIANT: everything is flushed before a snapshot counts as complete. At most [`OUTBOX_MAX`] transactions are kept in
//! memory; the oldest go first, once they are flushed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::Stage;
use sealbook_protocol::module::SealedReply;
use sealbook_store::{LedgerStore, StoreError};
use tokio::sync::Notify;

use crate::lock;

const OUTBOX_MAX: usize = 50_000;
const UNFLUSHED_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
struct Replies {
    by_transaction: BTreeMap<Digest, [Option<Vec<u8>>; 2]>,
    age: VecDeque<Digest>,
    /// What is not in the store yet, by the height of the block that lists the transaction.
    unflushed: BTreeMap<u64, Vec<(Digest, Stage)>>,
    unflushed_bytes: usize,
}

/// The outbox.
pub struct Outbox {
    store: Arc<LedgerStore>,
    replies: Mutex<Replies>,
    changed: Notify,
}

const fn slot(stage: Stage) -> usize {
    match stage {
        Stage::Outcome => 0,
        Stage::Final => 1,
    }
}

/// The stage as the store knows it.
const fn number(stage: Stage) -> u8 {
    match stage {
        Stage::Outcome => 0,
        Stage::Final => 1,
    }
}

impl Outbox {
    /// An outbox that keeps its replies in this store.
    #[must_use]
    pub fn new(store: Arc<LedgerStore>) -> Self {
        Self {
            store,
            replies: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Puts replies in, each with the height of the block that lists its transaction, and wakes those who wait.
    pub fn put(&self, stage: Stage, sealed: Vec<(u64, SealedReply)>) {
        if sealed.is_empty() {
            return;
        }
        let mut replies = lock(&self.replies);
        for (
            height,
            SealedReply {
                transaction,
                sealed,
            },
        ) in sealed
        {
            replies.unflushed_bytes = replies.unflushed_bytes.saturating_add(sealed.len());
            replies
                .unflushed
                .entry(height)
                .or_default()
                .push((transaction, stage));
            if !replies.by_transaction.contains_key(&transaction) {
                replies.age.push_back(transaction);
            }
            let entry = replies.by_transaction.entry(transaction).or_default();
            if let Some(place) = entry.get_mut(slot(stage)) {
                *place = Some(sealed);
            }
        }
        drop(replies);
        self.changed.notify_waiters();
    }

    /// Whether so much waits to be flushed that it should be soon.
    #[must_use]
    pub fn is_full(&self) -> bool {
        lock(&self.replies).unflushed_bytes > UNFLUSHED_BYTES_MAX
    }

    /// Puts everything that is only in memory into the store.
    ///
    /// # Errors
    /// The store failed.
    pub fn flush(&self) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut lock(&self.replies).unflushed);
        for (height, named) in waiting {
            let replies = lock(&self.replies);
            let kept: Vec<(Digest, u8, Vec<u8>)> = named
                .into_iter()
                .filter_map(|(transaction, stage)| {
                    let sealed = replies.by_transaction.get(&transaction)?;
                    let sealed = sealed.get(slot(stage)).cloned().flatten()?;
                    Some((transaction, number(stage), sealed))
                })
                .collect();
            drop(replies);
            self.store.put_replies(height, &kept)?;
        }
        let mut replies = lock(&self.replies);
        if replies.unflushed.is_empty() {
            replies.unflushed_bytes = 0;
        }
        while replies.age.len() > OUTBOX_MAX {
            if let Some(oldest) = replies.age.pop_front() {
                replies.by_transaction.remove(&oldest);
            }
        }
        Ok(())
    }

    /// The reply of a stage to a transaction, if there is one.
    #[must_use]
    pub fn take(&self, transaction: &Digest, stage: Stage) -> Option<Vec<u8>> {
        self.fresh(transaction, stage)
            .or_else(|| self.store.reply(transaction, number(stage)).ok().flatten())
    }

    /// The reply, if it is in memory.
    fn fresh(&self, transaction: &Digest, stage: Stage) -> Option<Vec<u8>> {
        let replies = lock(&self.replies);
        let stages = replies.by_transaction.get(transaction)?;
        stages.get(slot(stage)).cloned().flatten()
    }

    /// Waits for a reply, at most `limit`.
    pub async fn wait(
        &self,
        transaction: &Digest,
        stage: Stage,
        limit: Duration,
    ) -> Option<Vec<u8>> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut first = true;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a reply between the look and the wait is not missed.
            changed.as_mut().enable();
            // What comes while one waits is in memory first; the store is asked for what was there before, and at the end.
            let found = if std::mem::take(&mut first) {
                self.take(transaction, stage)
            } else {
                self.fresh(transaction, stage)
            };
            if let Some(reply) = found {
                return Some(reply);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.take(transaction, stage);
            }
        }
    }
}
