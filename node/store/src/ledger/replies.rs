//! Sealed replies, so that a client can fetch them after its node was started again.
//!
//! ```text
//! Replies   height u64 | stage u8 | last id 32 -> version u16 | count u32, (id 32, reply: bytes) by id
//! ```
//!
//! The replies of one stage to the transactions of one block lie together, cut into parts of about 128 KiB in the order
//! of ids. An engine that appends pays for every key, so a reply has none of its own: the index of transactions, which
//! is there anyway, leads to the height, and the last id of a part, which is in its key, to the part. A part is small
//! enough to be read for one reply.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::encoding;
use sealbook_primitives::hash::Digest;

use super::{LedgerStore, SCAN_ENTRIES};
use crate::engine::{Batch, MAX_VALUE_BYTES, StoreError, Table};
use crate::pieces::hex;

/// The largest sealed reply, in bytes.
pub const MAX_REPLY_BYTES: usize = 8 * 1024 * 1024;
const PART_VERSION: u16 = 1;
/// A part is closed when it has grown to this.
const PART_BYTES: usize = 128 * 1024;

#[derive(BorshSerialize, BorshDeserialize)]
struct Part {
    version: u16,
    replies: Vec<(Digest, Vec<u8>)>,
}

type Replies = BTreeMap<Digest, Vec<u8>>;

impl LedgerStore {
    /// Stores the sealed replies, each with its transaction and stage, that the block at `height` gave rise to, in one
    /// commit. A reply that is already there is replaced.
    ///
    /// # Errors
    /// A reply over [`MAX_REPLY_BYTES`], a failed read or write, or damage in the replies that are there.
    pub fn put_replies(
        &self,
        height: u64,
        replies: &[(Digest, u8, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let mut stages: BTreeMap<u8, Replies> = BTreeMap::new();
        let mut transactions = BTreeMap::new();
        for (id, stage, reply) in replies {
            if reply.len() > MAX_REPLY_BYTES {
                return Err(StoreError::TooLarge {
                    what: "reply",
                    size: reply.len(),
                    limit: MAX_REPLY_BYTES,
                });
            }
            stages.entry(*stage).or_default().insert(*id, reply.clone());
            transactions.insert(*id, height);
        }
        let mut batch = Batch::new();
        // A stored block's transactions are in the index since its own commit.
        if !self.has_block(height) {
            self.add_transactions(&mut batch, transactions)?;
        }
        for (stage, new) in stages {
            let mut merged = Replies::new();
            for (key, part) in self.parts(height, stage)? {
                merged.extend(part.replies);
                batch.delete(Table::Replies, key);
            }
            merged.extend(new);
            add_parts(&mut batch, height, stage, merged);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch)
    }

    /// The sealed reply of a stage to a transaction.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn reply(&self, transaction: &Digest, stage: u8) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(height) = self.height_of_transaction(transaction)? else {
            return Ok(None);
        };
        let from = part_key(height, stage, transaction);
        let found = self.store.scan(Table::Replies, &from, 1)?;
        let Some((key, value)) = found.into_iter().next() else {
            return Ok(None);
        };
        if !key.starts_with(&stage_key(height, stage)) {
            return Ok(None);
        }
        let part = decode(&key, &value)?;
        let place = part
            .replies
            .binary_search_by_key(transaction, |(id, _)| *id);
        let mut replies = part.replies;
        Ok(place.ok().map(|place| replies.swap_remove(place).1))
    }

    /// The parts of a stage.
    fn parts(&self, height: u64, stage: u8) -> Result<Vec<(Vec<u8>, Part)>, StoreError> {
        let prefix = stage_key(height, stage);
        let mut from = prefix.clone();
        let mut parts = Vec::new();
        loop {
            let keys = self.store.keys(Table::Replies, &from, SCAN_ENTRIES)?;
            let full = keys.len() == SCAN_ENTRIES;
            for key in keys {
                if !key.starts_with(&prefix) {
                    return Ok(parts);
                }
                from.clone_from(&key);
                from.push(0);
                if let Some(value) = self.store.get(Table::Replies, &key)? {
                    let part = decode(&key, &value)?;
                    parts.push((key, part));
                }
            }
            if !full {
                return Ok(parts);
            }
        }
    }
}

fn add_parts(batch: &mut Batch, height: u64, stage: u8, replies: Replies) {
    let mut part = Vec::new();
    let mut size = 0_usize;
    let mut left = replies.into_iter().peekable();
    while let Some((id, reply)) = left.next() {
        size = size.saturating_add(reply.len());
        part.push((id, reply));
        let next = left.peek().map_or(0, |(_, reply)| reply.len());
        // A part holds at least one reply, and the next one only if it stays small.
        if left.peek().is_none() || size.saturating_add(next) > PART_BYTES {
            let full = Part {
                version: PART_VERSION,
                replies: std::mem::take(&mut part),
            };
            batch.put(
                Table::Replies,
                part_key(height, stage, &id),
                encoding::encode(&full),
            );
            size = 0;
        }
    }
}

fn stage_key(height: u64, stage: u8) -> Vec<u8> {
    [&height.to_be_bytes()[..], &[stage]].concat()
}

fn part_key(height: u64, stage: u8, last: &Digest) -> Vec<u8> {
    [&stage_key(height, stage)[..], last.as_bytes()].concat()
}

fn decode(key: &[u8], value: &[u8]) -> Result<Part, StoreError> {
    let damaged = || StoreError::Damaged {
        table: Table::Replies.name(),
        key: hex(key),
    };
    let part: Part = encoding::decode(value, MAX_VALUE_BYTES).map_err(|_| damaged())?;
    let ascending = part.replies.is_sorted_by(|one, two| one.0 < two.0);
    let last = part.replies.last().map(|(id, _)| *id);
    let fits = last.is_some_and(|last| key.get(9..) == Some(&last.as_bytes()[..]));
    if part.version == PART_VERSION && ascending && fits {
        Ok(part)
    } else {
        Err(damaged())
    }
}

/// The height and the ids of a part, for those who check it.
pub(super) fn contents(key: &[u8], value: &[u8]) -> Result<(u64, Vec<Digest>), StoreError> {
    let part = decode(key, value)?;
    let height = key
        .first_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes));
    let ids = part.replies.iter().map(|(id, _)| *id).collect();
    Ok((height.unwrap_or_default(), ids))
}
