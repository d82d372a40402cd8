//! What the parts of a host share: the head of the ledger, what waits, what was executed, which epoch it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use sealbook_identity::Revocations;
use sealbook_ledger::{
    Block, Commitment, EpochDefinition, FinalityCertificate, Genesis, Header, MAX_ROOTS,
    Transaction,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_protocol::module::{PastResult, QuotaLevel};
use sealbook_sealing::EnvelopeHeader;
use sealbook_store::{LedgerStore, StoreError};

use crate::clock::Clock;
use crate::epochs::Epochs;
use crate::evidence::Evidence;
use crate::lock;
use crate::module_link::ModuleLink;
use crate::outbox::Outbox;
use crate::unexecuted::Unexecuted;
use crate::waiting::{Carried, Lane, Refusal, Waiting, check_envelope};

/// How many results are remembered; headers lag behind by two or three blocks.
const RESULTS_KEPT: usize = 8_192;
/// How many blocks that are not yet final are remembered, to keep their transactions out of the next one.
const RECENT_MAX: usize = 256;
/// How many ordered transactions are remembered, to keep copies of them out of blocks. The execution modules remember
/// all that could still take effect; this only saves room in blocks.
const ORDERED_MAX: usize = 131_072;
/// How many blocks are read at the start to remember what they ordered.
const ORDERED_BLOCKS: u64 = 1_024;
/// After how long an own transaction that is not ordered is passed on again.
const OVERDUE_MS: u64 = 500;
const OVERDUE_MAX: usize = 256;

/// Passes messages on to the other nodes.
pub type Gossip = Box<dyn Fn(Bytes) + Send + Sync>;

/// What a host is made with.
pub struct Parts {
    /// The node's name.
    pub name: String,
    /// The node's key: it votes and carries with it.
    pub key: SigningKey,
    /// The newest final header in the store, without a gap below it.
    pub head: Header,
    /// The store.
    pub store: Arc<LedgerStore>,
    /// Folder of the ledger, for the note of its tip, if the ledger lies in one.
    pub ledger: Option<PathBuf>,
    /// Where evidence goes.
    pub evidence: Evidence,
    /// The machine's clocks.
    pub clock: Arc<dyn Clock>,
}

/// Ordered transactions, with the height that ordered each.
#[derive(Default)]
struct Ordered {
    heights: BTreeMap<Digest, u64>,
    age: VecDeque<Digest>,
}

struct Recent {
    height: u64,
    parent: Digest,
    transactions: BTreeSet<Digest>,
}

/// The shared state.
pub struct Shared {
    name: String,
    key: SigningKey,
    pub(crate) me: VerifyingKey,
    network: Digest,
    pub(crate) store: Arc<LedgerStore>,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) evidence: Evidence,
    pub(crate) clock: Arc<dyn Clock>,
    outbox: Outbox,
    waiting: Mutex<Waiting>,
    /// What this node's own module said and could not be carried yet.
    pub(crate) own_words: Mutex<VecDeque<Vec<u8>>>,
    /// Results of execution by height.
    results: Mutex<BTreeMap<u64, PastResult>>,
    recent: Mutex<BTreeMap<Digest, Recent>>,
    /// Blocks that are not yet final and about which everything is judged that cannot change, with their heights.
    judged: Mutex<BTreeMap<Digest, u64>>,
    unexecuted: Mutex<Unexecuted>,
    ordered: Mutex<Ordered>,
    asked: Mutex<Option<(Digest, u64)>>,
    head: Mutex<Header>,
    epochs: Mutex<Epochs>,
    /// The newest final height with transactions in it.
    newest_filled: AtomicU64,
    lockdown: Mutex<Vec<String>>,
    halted: Mutex<Option<String>>,
    damaged: Mutex<Option<String>>,
    module_problem: Mutex<Option<String>>,
    module: OnceLock<ModuleLink>,
    gossip: OnceLock<Gossip>,
    /// Whose certificates count no more: by the authorities' lists, and by what the module says of the ledger.
    revocations: Revocations,
}

impl Shared {
    /// The shared state of a node at the head of its store.
    ///
    /// # Errors
    /// The store cannot be read, or lacks what a ledger must hold.
    pub fn new(genesis: &Genesis, parts: Parts) -> Result<Self, StoreError> {
        let network = genesis.network();
        let me = parts.key.verifying_key();
        let epochs = Epochs::read(genesis, &parts.store, parts.head.height)?;
        let mut ordered = Ordered::default();
        let first = parts.head.height.saturating_sub(ORDERED_BLOCKS);
        for height in first.max(parts.store.floor()).max(1)..=parts.head.height {
            if let Some(block) = parts.store.block(height)? {
                ordered.note(&block);
            }
        }
        Ok(Self {
            name: parts.name,
            key: parts.key,
            me,
            network,
            outbox: Outbox::new(Arc::clone(&parts.store)),
            store: parts.store,
            ledger: parts.ledger,
            evidence: parts.evidence,
            clock: parts.clock,
            waiting: Mutex::new(Waiting::new(me)),
            own_words: Mutex::default(),
            results: Mutex::default(),
            recent: Mutex::default(),
            judged: Mutex::default(),
            unexecuted: Mutex::default(),
            ordered: Mutex::new(ordered),
            asked: Mutex::default(),
            // Until the module has caught up, everything up to here may still need a header that commits to it.
            newest_filled: AtomicU64::new(parts.head.height),
            head: Mutex::new(parts.head),
            epochs: Mutex::new(epochs),
            lockdown: Mutex::default(),
            halted: Mutex::default(),
            damaged: Mutex::default(),
            module_problem: Mutex::default(),
            module: OnceLock::new(),
            gossip: OnceLock::new(),
            revocations: Revocations::none(),
        })
    }

    /// Whose certificates count no more, as far as this node knows.
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Takes in which certificates the ledger has revoked: they open no connection here any more.
    pub fn note_revoked(&self, fingerprints: Vec<Digest>) {
        let count = fingerprints.len();
        if self.revocations.revoke(fingerprints) {
            tracing::info!(count, "certificates are revoked on the ledger");
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's key.
    #[must_use]
    pub const fn me(&self) -> VerifyingKey {
        self.me
    }

    /// Hash of the genesis document.
    #[must_use]
    pub const fn network(&self) -> Digest {
        self.network
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &LedgerStore {
        &self.store
    }

    /// The outbox.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The link to the module, on a node that has one.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleLink> {
        self.module.get()
    }

    /// Sets the link once.
    pub fn set_module(&self, link: ModuleLink) {
        let _ = self.module.set(link);
    }

    /// Sets once how messages get to the other nodes.
    pub fn set_gossip(&self, gossip: Gossip) {
        let _ = self.gossip.set(gossip);
    }

    /// The newest final header.
    #[must_use]
    pub fn head(&self) -> Header {
        lock(&self.head).clone()
    }

    /// Height of the newest final block.
    #[must_use]
    pub fn final_height(&self) -> u64 {
        lock(&self.head).height
    }

    /// The newest executed block and the digest of the results after it.
    #[must_use]
    pub fn executed_root(&self) -> (u64, Digest) {
        let results = lock(&self.results);
        results
            .last_key_value()
            .map_or((0, Digest::ZERO), |(height, past)| (*height, past.digest))
    }

    /// Committee epochs, locked for the time of `look`.
    pub fn with_epochs<T>(&self, look: impl FnOnce(&mut Epochs) -> T) -> T {
        look(&mut lock(&self.epochs))
    }

    /// What holds in the epoch of the block after the head.
    #[must_use]
    pub fn present(&self) -> Option<Arc<EpochDefinition>> {
        let head = self.head();
        self.with_epochs(|epochs| epochs.after(&head))
    }

    /// How many transactions wait.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        lock(&self.waiting).len()
    }

    pub(crate) fn with_waiting<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut lock(&self.waiting))
    }

    /// What the module reported of its lockdown.
    #[must_use]
    pub fn lockdown(&self) -> Vec<String> {
        lock(&self.lockdown).clone()
    }

    /// Why the node does not execute, if so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        lock(&self.halted)
            .clone()
            .or_else(|| lock(&self.module_problem).clone())
    }

    /// Whether this node's results differ from the network's.
    #[must_use]
    pub fn halted(&self) -> bool {
        lock(&self.halted).is_some()
    }

    /// What is damaged in the store, if something is: it must not be used any more.
    #[must_use]
    pub fn damaged(&self) -> Option<String> {
        lock(&self.damaged).clone()
    }

    /// Notes that the store is damaged.
    pub fn set_damaged(&self, what: &StoreError) {
        tracing::error!(error = %what, "the ledger's store is damaged");
        lock(&self.damaged).get_or_insert_with(|| what.to_string());
    }

    pub(crate) fn set_lockdown(&self, report: Vec<String>) {
        *lock(&self.lockdown) = report;
    }

    pub(crate) fn module_started(&self) {
        *lock(&self.module_problem) = None;
    }

    pub(crate) fn module_lost(&self, problem: &str) {
        *lock(&self.module_problem) = Some(problem.to_owned());
    }

    /// Notes results that a module had from the start.
    pub fn resumed(&self, past: Vec<PastResult>) {
        let mut results = lock(&self.results);
        for one in past {
            results.entry(one.height).or_insert(one);
        }
    }

    /// Notes what the execution of a block brought.
    pub fn executed(
        &self,
        commitment: Commitment,
        next_epoch: Option<EpochDefinition>,
        quotas: Vec<QuotaLevel>,
        unopened: u32,
    ) {
        let height = commitment.height;
        let digest = commitment.digest();
        {
            let mut results = lock(&self.results);
            results.insert(
                height,
                PastResult {
                    height,
                    digest,
                    quotas,
                },
            );
            while results.len() > RESULTS_KEPT {
                results.pop_first();
            }
        }
        if let Some(next) = next_epoch {
            lock(&self.epochs).plan(next);
        }
        if unopened > 0 {
            tracing::warn!(height, unopened, "transactions in this block did not open");
        }
    }

    /// Stops this node's part: its results differ from those that a final header commits to.
    pub fn diverged(
        &self,
        height: u64,
        (computed, committed): (Digest, Digest),
        header: Option<&Header>,
        certificate: Option<&FinalityCertificate>,
    ) {
        let text = format!(
            "the results of height {height} are {computed} here and {committed} in a final header"
        );
        tracing::error!("{text}; this node votes no more");
        self.evidence
            .divergence(height, (computed, committed), header, certificate);
        lock(&self.halted).get_or_insert(text);
    }

    /// Takes a submission of a client whose certificate has the key `member`, and passes on what may be.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(
        &self,
        member: VerifyingKey,
        transaction: Vec<u8>,
        attachments: Vec<Vec<u8>>,
    ) -> Result<Digest, Refusal> {
        let id = Transaction::id_of(&transaction);
        if self.is_ordered(&id) || lock(&self.waiting).contains_own(&id) {
            return Err(Refusal::Known);
        }
        let definition = self.present().ok_or(Refusal::NoSeat)?;
        self.check(&transaction, &definition)?;
        if definition.carrier_place(&self.me).is_none() {
            return Err(Refusal::NoSeat);
        }
        let carried = Carried::own(&self.key, &self.network, (&id, transaction), attachments);
        self.take((id, carried), Lane::Member(member))?;
        self.pass_on();
        Ok(id)
    }

    /// Takes what other nodes pass on, as far as its carriers have a place in this epoch and really signed it.
    pub(crate) fn receive(&self, carried: Vec<Carried>) {
        let Some(definition) = self.present() else {
            return;
        };
        let news: Vec<(Digest, Carried)> = carried
            .into_iter()
            .filter_map(|one| {
                let seated = definition.carrier_place(&one.carrier).is_some();
                if !seated || one.carrier == self.me {
                    return None;
                }
                self.check(&one.transaction, &definition).ok()?;
                let id = Transaction::id_of(&one.transaction);
                let known = self.is_ordered(&id) || lock(&self.waiting).contains(&id);
                (!known).then_some((id, one))
            })
            .collect();
        // Together, which costs less; one by one only if somebody did not sign what it passes on.
        let all = Carried::verify_all(&self.network, &news);
        for (id, one) in news {
            if all || one.verify(&self.network, &id) {
                let lane = Lane::Carrier(one.carrier);
                let _ = self.take((id, one), lane);
            }
        }
    }

    /// Reads an envelope and checks it against the epoch of the next block.
    fn check(&self, bytes: &[u8], definition: &EpochDefinition) -> Result<EnvelopeHeader, Refusal> {
        let next = self.final_height().saturating_add(1);
        check_envelope(bytes, &self.network, definition, next)
    }

    /// Whether a query is sealed to a key epoch that is open now.
    ///
    /// # Errors
    /// [`Refusal::KeyEpoch`] if it is not.
    pub fn check_query(&self, envelope: &[u8]) -> Result<(), Refusal> {
        match self
            .present()
            .map(|definition| self.check(envelope, &definition))
        {
            Some(Err(refusal @ Refusal::KeyEpoch { .. })) => Err(refusal),
            _ => Ok(()),
        }
    }

    fn take(&self, carried: (Digest, Carried), lane: Lane) -> Result<Digest, Refusal> {
        let horizon_ms = self
            .present()
            .map_or(0, |definition| definition.parameters.expiry_horizon_ms);
        let now_ms = self.clock.now_ms();
        lock(&self.waiting).add(carried, lane, now_ms, horizon_ms)
    }

    /// Passes on to the other nodes what may be under way now.
    pub fn pass_on(&self) {
        let now_ms = self.clock.now_ms();
        let chosen = lock(&self.waiting).to_pass_on(now_ms);
        self.send(&chosen);
    }

    /// Forgets what expired, and passes on again what is overdue.
    pub fn tend(&self) {
        self.carry_words();
        let now_ms = self.clock.now_ms();
        let overdue = {
            let mut waiting = lock(&self.waiting);
            waiting.expire(now_ms);
            waiting.overdue(now_ms.saturating_sub(OVERDUE_MS), now_ms, OVERDUE_MAX)
        };
        self.send(&overdue);
        self.pass_on();
    }

    fn send(&self, all: &[Carried]) {
        let Some(gossip) = self.gossip.get() else {
            return;
        };
        for carried in all {
            if let Ok(bytes) = borsh::to_vec(carried) {
                gossip(bytes.into());
            }
        }
    }

    /// Whether a transaction is in a final block that this node remembers.
    #[must_use]
    pub fn is_ordered(&self, id: &Digest) -> bool {
        lock(&self.ordered).heights.contains_key(id)
    }

    /// The height of the block that lists a transaction, if that is known here.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn height_of(&self, id: &Digest) -> Result<Option<u64>, StoreError> {
        let remembered = lock(&self.ordered).heights.get(id).copied();
        match remembered {
            Some(height) => Ok(Some(height)),
            None => self.store.height_of_transaction(id),
        }
    }

    /// Whether a transaction is in a final block below `height` that this node remembers.
    pub(crate) fn is_ordered_below(&self, id: &Digest, height: u64) -> bool {
        lock(&self.ordered)
            .heights
            .get(id)
            .is_some_and(|ordered| *ordered < height)
    }

    /// Digests of results after `parent` that this node knows without a gap.
    pub(crate) fn roots_after(&self, parent: &Header) -> Vec<Digest> {
        let results = lock(&self.results);
        let mut next = parent.executed_height.saturating_add(1);
        let mut found = Vec::new();
        while found.len() < MAX_ROOTS && next <= parent.height {
            let Some(past) = results.get(&next) else {
                break;
            };
            found.push(past.digest);
            next = next.saturating_add(1);
        }
        found
    }

    /// The digest of the results of a height, if this node has executed it.
    pub(crate) fn result(&self, height: u64) -> Option<Digest> {
        lock(&self.results).get(&height).map(|past| past.digest)
    }

    /// The quota levels by which a block after `parent` is judged: those after the results that it commits to.
    pub(crate) fn quotas_for(&self, parent: &Header) -> Option<Vec<QuotaLevel>> {
        if parent.executed_height == 0 {
            return Some(Vec::new());
        }
        lock(&self.results)
            .get(&parent.executed_height)
            .map(|past| past.quotas.clone())
    }

    /// Transactions in the blocks from `parent` back to the newest final one, and the highest filled height there;
    /// nothing if one of these blocks is not known here.
    pub(crate) fn in_flight(&self, parent: &Header) -> (Option<BTreeSet<Digest>>, u64) {
        let head = lock(&self.head).digest();
        let recent = lock(&self.recent);
        let (mut taken, mut filled) = (BTreeSet::new(), 0);
        let mut digest = parent.digest();
        let mut complete = true;
        while digest != head {
            let Some(block) = recent.get(&digest) else {
                complete = false;
                break;
            };
            if !block.transactions.is_empty() {
                filled = filled.max(block.height);
                taken.extend(block.transactions.iter().copied());
            }
            digest = block.parent;
        }
        (
            complete.then_some(taken),
            filled.max(self.newest_filled.load(Ordering::Relaxed)),
        )
    }

    pub(crate) fn remember(&self, block: &Block) {
        let entry = Recent {
            height: block.height(),
            parent: block.header.parent,
            transactions: block.transactions.iter().map(Transaction::id).collect(),
        };
        let mut recent = lock(&self.recent);
        recent.insert(block.digest(), entry);
        if recent.len() > RECENT_MAX {
            let oldest = recent.iter().min_by_key(|(_, block)| block.height);
            if let Some(digest) = oldest.map(|(digest, _)| *digest) {
                recent.remove(&digest);
            }
        }
    }

    /// How long ago the engine first asked for a block after this parent, in milliseconds.
    pub(crate) fn asked_for_ms(&self, parent: &Header) -> u64 {
        let digest = parent.digest();
        let now_ms = self.clock.elapsed_ms();
        let mut asked = lock(&self.asked);
        match *asked {
            Some((of, since_ms)) if of == digest => now_ms.saturating_sub(since_ms),
            _ => {
                *asked = Some((digest, now_ms));
                0
            }
        }
    }

    /// Takes note of a final block. True if it is the newest.
    pub(crate) fn note_final(&self, block: &Block) -> bool {
        let height = block.height();
        lock(&self.ordered).note(block);
        {
            let mut waiting = lock(&self.waiting);
            for transaction in &block.transactions {
                waiting.remove(&transaction.id());
            }
        }
        if !block.transactions.is_empty() {
            self.newest_filled.fetch_max(height, Ordering::Relaxed);
        }
        lock(&self.epochs).finalized(&block.header);
        let mut head = lock(&self.head);
        let newest = height >= head.height;
        if newest {
            *head = block.header.clone();
        }
        drop(head);
        // Only now, when nothing is taken any more by the rules of the old epoch.
        if newest && let Some(next) = &block.header.next_epoch {
            lock(&self.waiting).keep_carriers_of(next);
        }
        if newest && let Some(definition) = self.present() {
            let next = height.saturating_add(1);
            let grace = u64::from(definition.parameters.key_grace_blocks);
            let over = definition.opening.since_height.saturating_add(grace);
            if block.header.next_epoch.is_some() || next == over {
                lock(&self.waiting).keep_openable(&definition, next);
            }
        }
        lock(&self.recent).retain(|_, recent| recent.height > height);
        lock(&self.judged).retain(|_, judged| *judged > height);
        newest
    }

    pub(crate) fn was_judged(&self, block: &Digest) -> bool {
        lock(&self.judged).contains_key(block)
    }

    pub(crate) fn note_judged(&self, block: Digest, height: u64) {
        let mut judged = lock(&self.judged);
        judged.insert(block, height);
        if judged.len() > RECENT_MAX {
            let lowest = judged.iter().min_by_key(|(_, height)| **height);
            if let Some(digest) = lowest.map(|(digest, _)| *digest) {
                judged.remove(&digest);
            }
        }
    }

    /// Keeps a final block until the module has executed it.
    pub(crate) fn keep_for_module(&self, block: Arc<Block>) {
        if self.module().is_some() {
            lock(&self.unexecuted).keep(block);
        }
    }

    /// A final block for the module: from memory while it is new, otherwise from the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn block_for_module(&self, height: u64) -> Result<Option<Arc<Block>>, StoreError> {
        let kept = lock(&self.unexecuted).at(height);
        match kept {
            Some(block) => Ok(Some(block)),
            None => Ok(self.store.block(height)?.map(Arc::new)),
        }
    }
}

impl Ordered {
    fn note(&mut self, block: &Block) {
        for transaction in &block.transactions {
            let id = transaction.id();
            if self.heights.insert(id, block.height()).is_none() {
                self.age.push_back(id);
            }
        }
        while self.age.len() > ORDERED_MAX {
            if let Some(oldest) = self.age.pop_front() {
                self.heights.remove(&oldest);
            }
        }
    }
}
