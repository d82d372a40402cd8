//! Sealed transactions that wait to be ordered, each with its attachments, first come first served.
//!
//! INVARIANT: bytes and number are limited; what does not fit is refused with a clear answer, never dropped later
//! except by expiry. A transaction is in at most once.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use sealbook_ledger::{
    Attachment, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS,
};
use sealbook_primitives::hash::Digest;
use sealbook_sealing::Envelope;

const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024;
const WAITING_MAX: usize = 100_000;
/// The largest submission, transaction and attachments together, in bytes.
pub const SUBMISSION_BYTES_MAX: usize = 1024 * 1024 - 4096;

/// A transaction as nodes pass it on among themselves before it is ordered.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Carried {
    /// Format version, 1.
    pub version: u8,
    /// Encoded envelope.
    pub transaction: Vec<u8>,
    /// Encoded envelopes of attachments.
    pub attachments: Vec<Vec<u8>>,
}

/// Why a submission is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an envelope, or one that breaks a limit.
    #[error("not a sealed transaction of this network: {0}")]
    Malformed(&'static str),
    /// Expired, or expiring too far ahead.
    #[error("the transaction's expiry is {0}")]
    Expiry(&'static str),
    /// Already waiting.
    #[error("already waiting")]
    Known,
    /// Too much is waiting.
    #[error("too many transactions are waiting")]
    Full,
}

struct Entry {
    expires_ms: u64,
    since_ms: u64,
    own: bool,
    transaction: Bytes,
    attachments: Vec<Bytes>,
}

impl Entry {
    fn size(&self) -> usize {
        self.transaction.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// What is waiting.
pub struct Waiting {
    network: Digest,
    horizon_ms: u64,
    next: u64,
    order: BTreeMap<u64, Digest>,
    entries: BTreeMap<Digest, (u64, Entry)>,
    bytes: usize,
}

/// Reads what must be readable of a transaction from outside and checks it.
///
/// # Errors
/// It is not an envelope of this network within its limits.
pub fn check_envelope(bytes: &[u8], network: &Digest) -> Result<Envelope, Refusal> {
    let envelope = Envelope::decode(bytes, MAX_TRANSACTION_BYTES)
        .map_err(|_| Refusal::Malformed("it does not decode"))?;
    if envelope.header.network != *network {
        return Err(Refusal::Malformed("it names another network"));
    }
    Ok(envelope)
}

impl Waiting {
    /// Nothing waiting, for this network.
    #[must_use]
    pub const fn new(network: Digest, horizon_ms: u64) -> Self {
        Self {
            network,
            horizon_ms,
            next: 0,
            order: BTreeMap::new(),
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a submission; `own` if a client of this node brought it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn add(&mut self, carried: Carried, own: bool, now_ms: u64) -> Result<Digest, Refusal> {
        let envelope = check_envelope(&carried.transaction, &self.network)?;
        let digest = envelope.digest();
        let expires_ms = envelope.header.expires_ms;
        if expires_ms <= now_ms {
            return Err(Refusal::Expiry("past"));
        }
        if expires_ms > now_ms.saturating_add(self.horizon_ms) {
            return Err(Refusal::Expiry("too far ahead"));
        }
        if self.entries.contains_key(&digest) {
            return Err(Refusal::Known);
        }
        if carried.attachments.len() > MAX_ATTACHMENTS
            || carried
                .attachments
                .iter()
                .any(|bytes| bytes.len() > MAX_ATTACHMENT_BYTES)
        {
            return Err(Refusal::Malformed(
                "it has too many or too large attachments",
            ));
        }
        let entry = Entry {
            expires_ms,
            since_ms: now_ms,
            own,
            transaction: Bytes::from(carried.transaction),
            attachments: carried.attachments.into_iter().map(Bytes::from).collect(),
        };
        let size = entry.size();
        if size > SUBMISSION_BYTES_MAX {
            return Err(Refusal::Malformed("it is too large"));
        }
        if self.entries.len() >= WAITING_MAX || self.bytes.saturating_add(size) > WAITING_BYTES_MAX
        {
            return Err(Refusal::Full);
        }
        self.bytes = self.bytes.saturating_add(size);
        self.order.insert(self.next, digest);
        self.entries.insert(digest, (self.next, entry));
        self.next = self.next.saturating_add(1);
        Ok(digest)
    }

    /// Takes out what has been ordered.
    pub fn remove(&mut self, digest: &Digest) {
        if let Some((number, entry)) = self.entries.remove(digest) {
            self.order.remove(&number);
            self.bytes = self.bytes.saturating_sub(entry.size());
        }
    }

    /// Takes out what has expired.
    pub fn expire(&mut self, now_ms: u64) {
        let expired: Vec<Digest> = self
            .entries
            .iter()
            .filter(|(_, (_, entry))| entry.expires_ms <= now_ms)
            .map(|(digest, _)| *digest)
            .collect();
        for digest in expired {
            self.remove(&digest);
        }
    }

    /// The next transactions for a block of at most `bytes_max` that is dated `time_ms`, without those in `taken`.
    #[must_use]
    pub fn pick(
        &self,
        time_ms: u64,
        bytes_max: usize,
        taken: &BTreeSet<Digest>,
    ) -> (Vec<Bytes>, Vec<Attachment>) {
        let (mut transactions, mut attachments) = (Vec::new(), Vec::new());
        let mut bytes = 0_usize;
        for digest in self.order.values() {
            let Some((_, entry)) = self.entries.get(digest) else {
                continue;
            };
            if taken.contains(digest) || entry.expires_ms < time_ms {
                continue;
            }
            bytes = bytes.saturating_add(entry.size());
            let fits = bytes <= bytes_max
                && transactions.len() < MAX_TRANSACTIONS
                && attachments.len() + entry.attachments.len() <= MAX_ATTACHMENTS;
            if !fits {
                break;
            }
            transactions.push(entry.transaction.clone());
            attachments.extend(entry.attachments.iter().cloned().map(Attachment::Present));
        }
        (transactions, attachments)
    }

    /// Whether anything waits that is not in `taken`.
    #[must_use]
    pub fn has_more_than(&self, taken: &BTreeSet<Digest>) -> bool {
        self.entries.keys().any(|digest| !taken.contains(digest))
    }

    /// Own submissions that have waited since before `before_ms`, to be passed on again; at most `limit`.
    #[must_use]
    pub fn overdue(&mut self, before_ms: u64, now_ms: u64, limit: usize) -> Vec<Carried> {
        self.entries
            .values_mut()
            .map(|(_, entry)| entry)
            .filter(|entry| entry.own && entry.since_ms < before_ms)
            .take(limit)
            .map(|entry| {
                entry.since_ms = now_ms;
                Carried {
                    version: 1,
                    transaction: entry.transaction.to_vec(),
                    attachments: entry
                        .attachments
                        .iter()
                        .map(|bytes| bytes.to_vec())
                        .collect(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealbook_sealing::{EnvelopeHeader, Suite};

    use super::*;

    const NETWORK: Digest = Digest([7; 32]);

    /// A transaction as it looks from outside; nobody here could open it anyway.
    fn carried(number: u8, expires_ms: u64, attachments: Vec<Vec<u8>>) -> Carried {
        let envelope = Envelope {
            header: EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, NETWORK, 0, expires_ms),
            encapsulated: vec![number; 32],
            ciphertext: vec![number; 512 + 16],
        };
        Carried {
            version: 1,
            transaction: envelope.encode(),
            attachments,
        }
    }

    fn digest(carried: &Carried) -> Digest {
        check_envelope(&carried.transaction, &NETWORK)
            .unwrap()
            .digest()
    }

    #[test]
    fn transactions_leave_in_the_order_of_their_coming_with_their_attachments() {
        let mut waiting = Waiting::new(NETWORK, 1_000);
        let all: Vec<Carried> = [3, 1, 2]
            .map(|number| carried(number, 500, vec![vec![number; 10]]))
            .into();
        for one in &all {
            waiting.add(one.clone(), true, 100).unwrap();
        }
        let (transactions, attachments) = waiting.pick(100, usize::MAX, &BTreeSet::new());
        let expected: Vec<&[u8]> = all.iter().map(|one| one.transaction.as_slice()).collect();
        assert_eq!(transactions, expected);
        let lengths: Vec<usize> = attachments
            .iter()
            .map(|one| one.bytes().map_or(0, Bytes::len))
            .collect();
        assert_eq!(lengths, [10, 10, 10]);
        // What an ancestor carries already, what does not fit and what has expired stays out.
        let taken = BTreeSet::from([digest(&all[0])]);
        assert_eq!(waiting.pick(100, usize::MAX, &taken).0, expected[1..]);
        assert_eq!(
            waiting
                .pick(100, all[0].transaction.len() + 10, &BTreeSet::new())
                .0
                .len(),
            1
        );
        assert!(waiting.pick(501, usize::MAX, &BTreeSet::new()).0.is_empty());
        waiting.remove(&digest(&all[1]));
        assert_eq!(waiting.len(), 2);
        waiting.expire(500);
        assert!(waiting.is_empty());
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn what_is_not_a_transaction_of_this_network_or_moment_is_refused() {
        let mut waiting = Waiting::new(NETWORK, 1_000);
        let good = carried(1, 500, vec![]);
        assert_eq!(
            waiting.add(good.clone(), true, 500),
            Err(Refusal::Expiry("past"))
        );
        let late = carried(1, 5_000, vec![]);
        assert_eq!(
            waiting.add(late, true, 100),
            Err(Refusal::Expiry("too far ahead"))
        );
        let large = carried(1, 500, vec![vec![0; MAX_ATTACHMENT_BYTES + 1]]);
        assert!(matches!(
            waiting.add(large, true, 100),
            Err(Refusal::Malformed(_))
        ));
        let many = carried(1, 500, vec![vec![0; MAX_ATTACHMENT_BYTES]; 64]);
        assert!(matches!(
            waiting.add(many, true, 100),
            Err(Refusal::Malformed(_))
        ));
        let mut other = Waiting::new(Digest([8; 32]), 1_000);
        assert!(matches!(
            other.add(good.clone(), true, 100),
            Err(Refusal::Malformed(_))
        ));
        let junk = Carried {
            version: 1,
            transaction: vec![1; 600],
            attachments: vec![],
        };
        assert!(matches!(
            waiting.add(junk, true, 100),
            Err(Refusal::Malformed(_))
        ));
        waiting.add(good.clone(), true, 100).unwrap();
        assert_eq!(waiting.add(good, true, 100), Err(Refusal::Known));
    }

    #[test]
    fn only_own_submissions_are_passed_on_again_and_not_at_once() {
        let mut waiting = Waiting::new(NETWORK, 1_000);
        waiting.add(carried(1, 900, vec![]), true, 100).unwrap();
        waiting.add(carried(2, 900, vec![]), false, 100).unwrap();
        assert!(waiting.overdue(100, 100, 10).is_empty());
        assert_eq!(waiting.overdue(600, 700, 10), [carried(1, 900, vec![])]);
        assert!(waiting.overdue(650, 750, 10).is_empty());
    }
}
