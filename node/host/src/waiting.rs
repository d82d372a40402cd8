//! Sealed transactions that wait to be ordered, each with its attachments, in lanes.
//!
//! ```text
//! own clients:  lane of member A   a3 a2 a1 \
//!               lane of member B         b1  > round robin --> passed on to the other nodes, a window of bytes ahead
//!               lane of member C      c2 c1 /
//! other nodes:  lane of carrier 2, lane of carrier 3, ...
//! a block:      the carriers in turn, each within its quota; own transactions in the order in which they were passed on
//! ```
//!
//! Who connects to this node is a member with a certificate, so a lane is a member's; of what other nodes carry, only
//! the carrier is known. A member that floods a node fills its own lane, and is told so; what a node passes on at once
//! is bounded, so that its lanes take turns here and not in the queues of others.
//!
//! A member that submits here what waits for another carrier makes this node its carrier as well: who fears that the
//! first node holds it up can go to another. What waits for a carrier without a seat goes when its epoch ends.
//!
//! INVARIANT: bytes and number are limited, in all and for each lane; what does not fit is refused with a clear answer,
//! never dropped later except by expiry or with its carrier's seat. A transaction is in at most once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use sealbook_ledger::{
    Attachment, EpochDefinition, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_TRANSACTION_BYTES,
    MAX_TRANSACTIONS, Transaction,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{
    BatchItem, Signature, SigningKey, VerifyingKey, verify_batch,
};
use sealbook_sealing::{Envelope, EnvelopeHeader};

const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024;
const WAITING_MAX: usize = 100_000;
/// What one member may have waiting on one node.
const MEMBER_BYTES_MAX: usize = 16 * 1024 * 1024;
const MEMBER_MAX: usize = 4_096;
/// What one other node may have waiting here.
const CARRIER_BYTES_MAX: usize = 24 * 1024 * 1024;
const CARRIER_MAX: usize = 20_000;
/// Own transactions that are passed on and not ordered yet, in bytes.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;
/// The largest submission, transaction and attachments together, in bytes.
pub const SUBMISSION_BYTES_MAX: usize = 1024 * 1024 - 4096;
/// The largest message in which nodes pass a submission on, in bytes.
pub const CARRIED_BYTES_MAX: usize = SUBMISSION_BYTES_MAX + 2_048;
const CARRIED_VERSION: u8 = 2;

/// A transaction as nodes pass it on among themselves before it is ordered.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Carried {
    /// Format version, 2.
    pub version: u8,
    /// The node that took it from a client.
    pub carrier: VerifyingKey,
    /// That node's signature over the transaction's name.
    pub signature: Signature,
    /// Encoded envelope.
    pub transaction: Vec<u8>,
    /// Encoded envelopes of attachments.
    pub attachments: Vec<Vec<u8>>,
}

impl Carried {
    /// A submission of an own client, signed by this node as its carrier; `id` is the transaction's name.
    #[must_use]
    pub fn own(
        key: &SigningKey,
        network: &Digest,
        (id, transaction): (&Digest, Vec<u8>),
        attachments: Vec<Vec<u8>>,
    ) -> Self {
        Self {
            version: CARRIED_VERSION,
            carrier: key.verifying_key(),
            signature: Transaction::sign(key, network, id),
            transaction,
            attachments,
        }
    }

    /// Whether the carrier really signed it; `id` is the transaction's name.
    #[must_use]
    pub fn verify(&self, network: &Digest, id: &Digest) -> bool {
        let message = Transaction::signed_bytes(network, id);
        self.carrier
            .verify(Transaction::signature_domain(), &message, &self.signature)
            .is_ok()
    }

    /// Whether the carriers really signed all of these; of a single one nothing is found out.
    #[must_use]
    pub fn verify_all(network: &Digest, all: &[(Digest, Self)]) -> bool {
        let messages: Vec<Vec<u8>> = all
            .iter()
            .map(|(id, _)| Transaction::signed_bytes(network, id))
            .collect();
        let items: Vec<BatchItem<'_>> = all
            .iter()
            .zip(&messages)
            .map(|((_, one), message)| BatchItem {
                key: one.carrier,
                domain: Transaction::signature_domain(),
                message,
                signature: one.signature,
            })
            .collect();
        items.len() > 1 && verify_batch(&items).is_ok()
    }

    /// Reads one that another node passed on.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > CARRIED_BYTES_MAX {
            return None;
        }
        let carried = Self::try_from_slice(bytes).ok()?;
        (carried.version == CARRIED_VERSION).then_some(carried)
    }
}

/// Who a transaction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// A client of this node, by the key of its certificate.
    Member(VerifyingKey),
    /// Another node.
    Carrier(VerifyingKey),
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
    /// The sender has too much waiting already.
    #[error(
        "{count} transactions of yours ({bytes} bytes) wait on this node already; wait for some of them, then try again"
    )]
    Share {
        /// How many of its transactions wait.
        count: usize,
        /// How many bytes they have.
        bytes: usize,
    },
    /// The node has no seat, so no block can name it as a carrier.
    #[error("this node has no seat in the present committee epoch; try another node")]
    NoSeat,
    /// Sealed to a key epoch that is over, or has not begun as far as this node knows.
    #[error(
        "it is sealed to key epoch {found}, and the network is in key epoch {present}; seal it anew"
    )]
    KeyEpoch {
        /// The key epoch that it names.
        found: u32,
        /// The present one.
        present: u32,
    },
    /// Too much is waiting in all.
    #[error("too many transactions are waiting on this node; try again, or try another node")]
    Full,
}

struct Entry {
    lane: Lane,
    expires_ms: u64,
    key_epoch: u32,
    /// When it was last passed on, by the node's own clock; own transactions only.
    passed_on_ms: Option<u64>,
    carrier: VerifyingKey,
    signature: Signature,
    envelope: Bytes,
    attachments: Vec<Bytes>,
}

impl Entry {
    const fn is_carried_elsewhere(&self) -> bool {
        matches!(self.lane, Lane::Carrier(_))
    }

    fn size(&self) -> usize {
        self.envelope.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    fn carried(&self) -> Carried {
        Carried {
            version: CARRIED_VERSION,
            carrier: self.carrier,
            signature: self.signature,
            transaction: self.envelope.to_vec(),
            attachments: self.attachments.iter().map(|one| one.to_vec()).collect(),
        }
    }
}

/// What waits for one member or carrier.
#[derive(Default)]
struct Queue {
    /// What was not passed on yet, oldest first; of another carrier, everything.
    order: VecDeque<Digest>,
    /// All that waits, passed on or not.
    count: usize,
    bytes: usize,
}

/// What a block takes.
pub type Picked = (Vec<Transaction>, Vec<Attachment>);

/// What is waiting.
pub struct Waiting {
    me: VerifyingKey,
    entries: BTreeMap<Digest, Entry>,
    lanes: BTreeMap<Lane, Queue>,
    /// Own transactions in the order in which they were passed on.
    passed_on: VecDeque<Digest>,
    passed_on_bytes: usize,
    /// The lane that was last served.
    last_lane: Option<Lane>,
    bytes: usize,
}

/// Reads what must be readable of a transaction from outside and checks it.
///
/// # Errors
/// It is not an envelope of this network within its limits, sealed to a key epoch that is open at a height, in that key
/// epoch's suite.
pub fn check_envelope(
    bytes: &[u8],
    network: &Digest,
    definition: &EpochDefinition,
    height: u64,
) -> Result<EnvelopeHeader, Refusal> {
    let header = Envelope::inspect(bytes, MAX_TRANSACTION_BYTES)
        .map_err(|_| Refusal::Malformed("it does not decode"))?;
    if header.network != *network {
        return Err(Refusal::Malformed("it names another network"));
    }
    let (key_epoch, opening) = (header.key_epoch, &definition.opening);
    if !definition.opens(key_epoch, height) {
        return Err(Refusal::KeyEpoch {
            found: key_epoch,
            present: opening.key_epoch,
        });
    }
    // Of the key epoch before, only the module knows the suite.
    if key_epoch == opening.key_epoch && header.suite.number() != opening.suite() {
        return Err(Refusal::Malformed(
            "it is sealed with another suite than the network's",
        ));
    }
    Ok(header)
}

impl Waiting {
    /// Nothing waiting, on the node with this key.
    #[must_use]
    pub const fn new(me: VerifyingKey) -> Self {
        Self {
            me,
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            passed_on: VecDeque::new(),
            passed_on_bytes: 0,
            last_lane: None,
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

    /// Whether this very transaction waits here, under this signature of its carrier, which was then verified.
    #[must_use]
    pub fn is_verified(&self, id: &Digest, carrier: &VerifyingKey, signature: &Signature) -> bool {
        self.entries
            .get(id)
            .is_some_and(|entry| entry.carrier == *carrier && entry.signature == *signature)
    }

    /// Whether a transaction of a client of this node waits here.
    #[must_use]
    pub fn contains_own(&self, id: &Digest) -> bool {
        let entry = self.entries.get(id);
        entry.is_some_and(|entry| !entry.is_carried_elsewhere())
    }

    /// Takes out what no block of an epoch can take, because its carrier has no seat there.
    pub fn keep_carriers_of(&mut self, definition: &EpochDefinition) {
        let own = definition.carrier_place(&self.me).is_some();
        let stays = |lane: &Lane| match lane {
            Lane::Member(_) => own,
            Lane::Carrier(key) => definition.carrier_place(key).is_some(),
        };
        if self.lanes.keys().all(stays) {
            return;
        }
        let (mut gone, mut gone_passed_on) = (0, 0);
        self.entries.retain(|_, entry| {
            let stays = stays(&entry.lane);
            if !stays {
                gone += entry.size();
                if entry.passed_on_ms.is_some() {
                    gone_passed_on += entry.size();
                }
            }
            stays
        });
        self.bytes = self.bytes.saturating_sub(gone);
        self.passed_on_bytes = self.passed_on_bytes.saturating_sub(gone_passed_on);
        self.lanes.retain(|lane, _| stays(lane));
        let entries = &self.entries;
        self.passed_on.retain(|id| entries.contains_key(id));
    }

    /// Whether a transaction waits here.
    #[must_use]
    pub fn contains(&self, id: &Digest) -> bool {
        self.entries.contains_key(id)
    }

    /// Takes a submission, whose envelope and carrier's signature have been checked, into a lane, under its name. The
    /// envelope may expire at most `horizon_ms` from now.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn add(
        &mut self,
        (id, carried): (Digest, Carried),
        lane: Lane,
        now_ms: u64,
        horizon_ms: u64,
    ) -> Result<Digest, Refusal> {
        let header = Envelope::inspect(&carried.transaction, MAX_TRANSACTION_BYTES)
            .map_err(|_| Refusal::Malformed("it does not decode"))?;
        debug_assert_eq!(id, Transaction::id_of(&carried.transaction));
        let expires_ms = header.expires_ms;
        if expires_ms <= now_ms {
            return Err(Refusal::Expiry("past"));
        }
        if expires_ms > now_ms.saturating_add(horizon_ms) {
            return Err(Refusal::Expiry("too far ahead"));
        }
        if let Some(known) = self.entries.get(&id)
            && !(known.is_carried_elsewhere() && matches!(lane, Lane::Member(_)))
        {
            return Err(Refusal::Known);
        }
        let too_large = |bytes: &Vec<u8>| bytes.len() > MAX_ATTACHMENT_BYTES;
        if carried.attachments.len() > MAX_ATTACHMENTS || carried.attachments.iter().any(too_large)
        {
            return Err(Refusal::Malformed(
                "it has too many or too large attachments",
            ));
        }
        // What is known of its attachments stays: whoever submits it anew may not have them.
        let mut attachments: Vec<Bytes> =
            carried.attachments.into_iter().map(Bytes::from).collect();
        for known in self
            .entries
            .get(&id)
            .map_or(&[] as &[Bytes], |entry| entry.attachments.as_slice())
        {
            if attachments.len() < MAX_ATTACHMENTS && !attachments.contains(known) {
                attachments.push(known.clone());
            }
        }
        let entry = Entry {
            lane,
            expires_ms,
            key_epoch: header.key_epoch,
            passed_on_ms: None,
            carrier: carried.carrier,
            signature: carried.signature,
            envelope: Bytes::from(carried.transaction),
            attachments,
        };
        let size = entry.size();
        if size > SUBMISSION_BYTES_MAX {
            return Err(Refusal::Malformed("it is too large"));
        }
        let (count_max, bytes_max) = match lane {
            Lane::Member(_) => (MEMBER_MAX, MEMBER_BYTES_MAX),
            Lane::Carrier(_) => (CARRIER_MAX, CARRIER_BYTES_MAX),
        };
        let (count, bytes) = self
            .lanes
            .get(&lane)
            .map_or((0, 0), |queue| (queue.count, queue.bytes));
        if count >= count_max || bytes.saturating_add(size) > bytes_max {
            return Err(Refusal::Share { count, bytes });
        }
        if self.entries.len() >= WAITING_MAX || self.bytes.saturating_add(size) > WAITING_BYTES_MAX
        {
            return Err(Refusal::Full);
        }
        self.remove(&id);
        self.bytes = self.bytes.saturating_add(size);
        let queue = self.lanes.entry(lane).or_default();
        queue.bytes = queue.bytes.saturating_add(size);
        queue.count = queue.count.saturating_add(1);
        queue.order.push_back(id);
        self.entries.insert(id, entry);
        Ok(id)
    }

    /// Takes out what has been ordered.
    pub fn remove(&mut self, id: &Digest) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        let size = entry.size();
        self.bytes = self.bytes.saturating_sub(size);
        if let Some(queue) = self.lanes.get_mut(&entry.lane) {
            queue.bytes = queue.bytes.saturating_sub(size);
            queue.count = queue.count.saturating_sub(1);
            if entry.passed_on_ms.is_none() {
                forget(&mut queue.order, id);
            }
            if queue.count == 0 {
                self.lanes.remove(&entry.lane);
            }
        }
        if entry.passed_on_ms.is_some() {
            self.passed_on_bytes = self.passed_on_bytes.saturating_sub(size);
            forget(&mut self.passed_on, id);
        }
    }

    /// Takes out what is sealed to a key epoch that the block at `height` does not open any more.
    pub fn keep_openable(&mut self, definition: &EpochDefinition, height: u64) {
        let entries = self.entries.iter();
        let closed = entries.filter(|(_, entry)| !definition.opens(entry.key_epoch, height));
        let closed: Vec<Digest> = closed.map(|(id, _)| *id).collect();
        for id in closed {
            self.remove(&id);
        }
    }

    /// Takes out what has expired.
    pub fn expire(&mut self, now_ms: u64) {
        let expired: Vec<Digest> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.expires_ms <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            self.remove(&id);
        }
    }

    /// Own transactions that may be passed on now: the members' lanes take turns, and no more goes out than the window
    /// allows to be under way.
    pub fn to_pass_on(&mut self, now_ms: u64) -> Vec<Carried> {
        let mut chosen = Vec::new();
        while self.passed_on_bytes < WINDOW_BYTES {
            let Some(id) = self.next_in_turn() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.passed_on_ms = Some(now_ms);
            self.passed_on_bytes = self.passed_on_bytes.saturating_add(entry.size());
            chosen.push(entry.carried());
            self.passed_on.push_back(id);
        }
        chosen
    }

    /// Takes the oldest transaction out of the first member's lane after the one that was last served.
    fn next_in_turn(&mut self) -> Option<Digest> {
        let serves = |(lane, queue): &(&Lane, &Queue)| {
            matches!(lane, Lane::Member(_)) && !queue.order.is_empty()
        };
        let last = self.last_lane;
        let after = |(lane, _): &(&Lane, &Queue)| last.is_none_or(|last| **lane > last);
        let lane = self.lanes.iter().filter(serves).find(after);
        let lane = lane.or_else(|| self.lanes.iter().find(serves));
        let lane = *lane?.0;
        self.last_lane = Some(lane);
        self.lanes.get_mut(&lane)?.order.pop_front()
    }

    /// Own transactions that were passed on before `before_ms` and are not ordered yet, to be passed on again; at most
    /// `limit`.
    #[must_use]
    pub fn overdue(&mut self, before_ms: u64, now_ms: u64, limit: usize) -> Vec<Carried> {
        self.entries
            .values_mut()
            .filter(|entry| entry.passed_on_ms.is_some_and(|since| since < before_ms))
            .take(limit)
            .map(|entry| {
                entry.passed_on_ms = Some(now_ms);
                entry.carried()
            })
            .collect()
    }

    /// The next transactions for a block that is dated `time_ms`, without those in `taken`: carriers take turns, each
    /// within `quota` bytes; one transaction always fits a quota.
    #[must_use]
    pub fn pick(
        &self,
        (height, time_ms): (u64, u64),
        definition: &EpochDefinition,
        quota: &dyn Fn(&VerifyingKey) -> u64,
        taken: &BTreeSet<Digest>,
    ) -> Picked {
        let bytes_max = definition.parameters.block_bytes_max as usize;
        let mut carriers: Vec<CarrierTurn<'_>> = Vec::new();
        for (place, key) in definition.carriers().enumerate() {
            let order = if *key == self.me {
                &self.passed_on
            } else {
                match self.lanes.get(&Lane::Carrier(*key)) {
                    Some(queue) => &queue.order,
                    None => continue,
                }
            };
            let (Ok(place), false) = (u16::try_from(place), order.is_empty()) else {
                continue;
            };
            carriers.push(CarrierTurn {
                place,
                quota: usize::try_from(quota(key)).unwrap_or(usize::MAX),
                used: 0,
                rest: order.iter(),
            });
        }
        let (mut transactions, mut attachments) = (Vec::new(), Vec::new());
        let mut bytes = 0_usize;
        while !carriers.is_empty() {
            carriers.retain_mut(|carrier| {
                let fits = |entry: &Entry| {
                    entry.expires_ms >= time_ms && definition.opens(entry.key_epoch, height)
                };
                let next = carrier.rest.by_ref().find_map(|id| {
                    let entry = self.entries.get(id).filter(|entry| fits(entry))?;
                    (!taken.contains(id)).then_some((*id, entry))
                });
                let Some((id, entry)) = next else {
                    return false;
                };
                // The quota is about envelopes: attachments do not name their carrier.
                let (size, used) = (
                    entry.size(),
                    carrier.used.saturating_add(entry.envelope.len()),
                );
                if (carrier.used > 0 && used > carrier.quota)
                    || bytes.saturating_add(size) > bytes_max
                    || transactions.len() >= MAX_TRANSACTIONS
                    || attachments.len() + entry.attachments.len() > MAX_ATTACHMENTS
                {
                    return false;
                }
                carrier.used = used;
                bytes = bytes.saturating_add(size);
                transactions.push(Transaction::named(
                    carrier.place,
                    entry.signature,
                    entry.envelope.clone(),
                    id,
                ));
                attachments.extend(entry.attachments.iter().cloned().map(Attachment::Present));
                true
            });
        }
        (transactions, attachments)
    }

    /// Whether anything that a block of this epoch could take waits and is not in `taken`.
    #[must_use]
    pub fn has_more_than(&self, definition: &EpochDefinition, taken: &BTreeSet<Digest>) -> bool {
        definition.carriers().any(|key| {
            let order = if *key == self.me {
                Some(&self.passed_on)
            } else {
                self.lanes.get(&Lane::Carrier(*key)).map(|lane| &lane.order)
            };
            order.is_some_and(|order| order.iter().any(|id| !taken.contains(id)))
        })
    }
}

/// A carrier while a block is filled.
struct CarrierTurn<'a> {
    place: u16,
    quota: usize,
    used: usize,
    rest: std::collections::vec_deque::Iter<'a, Digest>,
}

fn forget(order: &mut VecDeque<Digest>, id: &Digest) {
    if order.front() == Some(id) {
        order.pop_front();
    } else if let Some(place) = order.iter().position(|one| one == id) {
        order.remove(place);
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
