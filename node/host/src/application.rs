//! What the ordering engine asks of this node: the next block, a judgement of another's, and to take final blocks.
//!
//! A block is due when something waits, or when results of earlier transactions are not yet committed to by a header,
//! after the block interval; otherwise after the idle interval.
//!
//! INVARIANTS
//! - This node never votes for a block that commits to a state root it has not computed itself.
//! - State roots that a header brings continue its parent's without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use sealbook_ledger::{Block, FinalityCertificate, Genesis, Header, MAX_ROOTS, Parameters};
use sealbook_ordering::{Acknowledgement, Application, Proposal, Verdict};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::frame;
use sealbook_store::{LedgerStore, Tip};

use crate::module_link::ModuleLink;
use crate::outbox::Outbox;
use crate::waiting::{Carried, Refusal, SUBMISSION_BYTES_MAX, Waiting, check_envelope};
use crate::{lock, now_ms};

/// How many state roots are remembered; headers lag behind by two or three blocks.
const ROOTS_KEPT: usize = 8_192;
/// How many blocks that are not yet final are remembered, to keep their transactions out of the next one.
const RECENT_MAX: usize = 256;

/// What the parts of a host share.
pub struct Shared {
    name: String,
    validator: bool,
    network: Digest,
    parameters: Parameters,
    store: Arc<LedgerStore>,
    /// Folder of the ledger, for the note of its tip.
    ledger: PathBuf,
    outbox: Outbox,
    waiting: Mutex<Waiting>,
    roots: Mutex<BTreeMap<u64, Digest>>,
    recent: Mutex<BTreeMap<Digest, Recent>>,
    asked: Mutex<Option<(Digest, Instant)>>,
    head: Mutex<Header>,
    /// The newest final height with transactions in it.
    newest_filled: AtomicU64,
    lockdown: Mutex<Vec<String>>,
    halted: Mutex<Option<String>>,
    module_problem: Mutex<Option<String>>,
    module: OnceLock<ModuleLink>,
}

struct Recent {
    height: u64,
    parent: Digest,
    transactions: BTreeSet<Digest>,
}

impl Shared {
    /// The shared state of a node at the head of its store.
    #[must_use]
    pub fn new(
        name: String,
        validator: bool,
        genesis: &Genesis,
        head: Header,
        (store, ledger): (Arc<LedgerStore>, PathBuf),
    ) -> Self {
        let network = genesis.network();
        let parameters = genesis.parameters.clone();
        Self {
            name,
            validator,
            network,
            store,
            ledger,
            outbox: Outbox::default(),
            waiting: Mutex::new(Waiting::new(network, parameters.expiry_horizon_ms)),
            parameters,
            roots: Mutex::default(),
            recent: Mutex::default(),
            asked: Mutex::default(),
            // Until the module has caught up, everything up to here may still need a header that commits to it.
            newest_filled: AtomicU64::new(head.height),
            head: Mutex::new(head),
            lockdown: Mutex::default(),
            halted: Mutex::default(),
            module_problem: Mutex::default(),
            module: OnceLock::new(),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the node votes.
    #[must_use]
    pub const fn validator(&self) -> bool {
        self.validator
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

    /// The newest executed block and the state root after it.
    #[must_use]
    pub fn executed_root(&self) -> (u64, Digest) {
        let roots = lock(&self.roots);
        roots
            .last_key_value()
            .map_or((0, Digest::ZERO), |(height, root)| (*height, *root))
    }

    /// How many transactions wait.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        lock(&self.waiting).len()
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

    pub(crate) fn set_lockdown(&self, report: Vec<String>) {
        *lock(&self.lockdown) = report;
    }

    pub(crate) fn module_started(&self) {
        *lock(&self.module_problem) = None;
    }

    pub(crate) fn module_lost(&self, problem: &str) {
        *lock(&self.module_problem) = Some(problem.to_owned());
    }

    pub(crate) fn executed(&self, height: u64, root: Digest, unopened: u32) {
        let mut roots = lock(&self.roots);
        roots.insert(height, root);
        while roots.len() > ROOTS_KEPT {
            roots.pop_first();
        }
        if unopened > 0 {
            tracing::warn!(height, unopened, "transactions in this block did not open");
        }
    }

    pub(crate) fn diverged(&self, height: u64, computed: Digest, committed: Digest) {
        let text = format!(
            "state root at height {height} is {computed} here and {committed} in a final header"
        );
        tracing::error!("{text}; this node votes no more");
        *lock(&self.halted) = Some(text);
    }

    /// Takes a submission of a client or another node.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(&self, carried: Carried, own: bool) -> Result<Digest, Refusal> {
        let digest = check_envelope(&carried.transaction, &self.network)?.digest();
        if self.outbox.knows(&digest) {
            return Err(Refusal::Known);
        }
        lock(&self.waiting).add(carried, own, now_ms())
    }

    /// Forgets what expired and gives what should be passed on again.
    pub fn tend(&self) -> Vec<Carried> {
        let now = now_ms();
        let mut waiting = lock(&self.waiting);
        waiting.expire(now);
        waiting.overdue(now.saturating_sub(500), now, 256)
    }

    /// State roots after `parent` that this node knows without a gap.
    fn roots_after(&self, parent: &Header) -> Vec<Digest> {
        let roots = lock(&self.roots);
        let mut next = parent.executed_height.saturating_add(1);
        let mut found = Vec::new();
        while found.len() < MAX_ROOTS && next <= parent.height {
            let Some(root) = roots.get(&next) else { break };
            found.push(*root);
            next = next.saturating_add(1);
        }
        found
    }

    /// Transactions in the blocks from `parent` back to the newest final one, and the highest filled height there.
    fn in_flight(&self, parent: &Header) -> (BTreeSet<Digest>, u64) {
        let recent = lock(&self.recent);
        let (mut taken, mut filled) = (BTreeSet::new(), 0);
        let mut digest = parent.digest();
        while let Some(block) = recent.get(&digest) {
            if !block.transactions.is_empty() {
                filled = filled.max(block.height);
                taken.extend(block.transactions.iter().copied());
            }
            digest = block.parent;
        }
        (
            taken,
            filled.max(self.newest_filled.load(Ordering::Relaxed)),
        )
    }

    fn remember(&self, block: &Block) {
        let transactions = block
            .transactions
            .iter()
            .filter_map(|bytes| check_envelope(bytes, &self.network).ok())
            .map(|envelope| envelope.digest())
            .collect();
        let entry = Recent {
            height: block.height(),
            parent: block.header.parent,
            transactions,
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
    fn asked_for_ms(&self, parent: &Header) -> u64 {
        let digest = parent.digest();
        let mut asked = lock(&self.asked);
        match *asked {
            Some((of, since)) if of == digest => {
                u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            _ => {
                *asked = Some((digest, Instant::now()));
                0
            }
        }
    }

    fn check_proposal(&self, parent: &Header, block: &Block) -> Verdict {
        let refuse = |reason: &str| Verdict::Refuse(reason.to_owned());
        if let Err(error) = block.header.check_follows(parent) {
            return Verdict::Refuse(error.to_string());
        }
        if let Err(error) = block.check_body() {
            return Verdict::Refuse(error.to_string());
        }
        let limit = self.parameters.block_bytes_max as usize;
        if block.encoded_length() > limit.saturating_add(64 * 1024) {
            return refuse("more bytes than the network allows");
        }
        let mut seen = BTreeSet::new();
        for bytes in &block.transactions {
            let Ok(envelope) = check_envelope(bytes, &self.network) else {
                return refuse("not a sealed transaction of this network");
            };
            if envelope.header.expires_ms < block.header.time_ms {
                return refuse("an expired transaction");
            }
            if !seen.insert(envelope.digest()) {
                return refuse("the same transaction twice");
            }
        }
        if self.halted() {
            return Verdict::Wait;
        }
        if block.header.time_ms > now_ms().saturating_add(self.parameters.clock_drift_ms) {
            // Not false: clocks differ, and the block may be fine a moment later.
            return Verdict::Wait;
        }
        let roots = lock(&self.roots);
        for (height, committed) in block.header.committed_roots() {
            match roots.get(&height) {
                Some(root) if *root == committed => {}
                Some(_) => return refuse("a state root that differs from this node's"),
                None => return Verdict::Wait,
            }
        }
        Verdict::Accept
    }
}

/// The application on top of the shared state.
pub struct HostApplication {
    /// What the host's parts share.
    pub shared: Arc<Shared>,
}

impl Application for HostApplication {
    fn propose(&self, parent: &Header) -> Proposal {
        let shared = &self.shared;
        if shared.halted() {
            return Proposal::NotYet;
        }
        let asked_ms = shared.asked_for_ms(parent);
        let interval_ms = shared.parameters.block_interval_ms;
        if asked_ms < interval_ms {
            return Proposal::NotYet;
        }
        let roots = shared.roots_after(parent);
        let (taken, filled) = shared.in_flight(parent);
        let commits_to = parent.executed_height.saturating_add(roots.len() as u64);
        let has_work = lock(&shared.waiting).has_more_than(&taken);
        let uncommitted = filled > parent.executed_height;
        let due_ms = if has_work || (uncommitted && commits_to > parent.executed_height) {
            interval_ms
        } else if uncommitted {
            // The root is not known here yet; an empty block still helps its ancestors to become final.
            interval_ms.saturating_mul(4)
        } else {
            shared.parameters.idle_interval_ms
        };
        if asked_ms < due_ms {
            return Proposal::NotYet;
        }
        let time_ms = now_ms().max(parent.time_ms);
        let bytes_max = shared.parameters.block_bytes_max as usize;
        let (transactions, attachments) = lock(&shared.waiting).pick(time_ms, bytes_max, &taken);
        let block = Block::after(parent, time_ms, transactions, attachments, roots);
        shared.remember(&block);
        Proposal::Block(block)
    }

    fn verify(&self, parent: &Header, block: &Block) -> Verdict {
        let verdict = self.shared.check_proposal(parent, block);
        if matches!(verdict, Verdict::Accept) {
            self.shared.remember(block);
        }
        verdict
    }

    fn finalized(
        &self,
        block: Arc<Block>,
        _certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    ) {
        let shared = &self.shared;
        {
            let mut waiting = lock(&shared.waiting);
            for bytes in &block.transactions {
                if let Ok(envelope) = check_envelope(bytes, &shared.network) {
                    waiting.remove(&envelope.digest());
                }
            }
        }
        if !block.transactions.is_empty() {
            shared
                .newest_filled
                .fetch_max(block.height(), Ordering::Relaxed);
        }
        let height = block.height();
        lock(&shared.recent).retain(|_, recent| recent.height > height);
        let newest = {
            let mut head = lock(&shared.head);
            let newest = height >= head.height;
            if newest {
                *head = block.header.clone();
            }
            newest
        };
        // The engine's archive is the ledger store, so the block is durable before it comes here.
        let block = block.digest();
        if newest && let Err(error) = (Tip { height, block }).write(&shared.ledger) {
            tracing::warn!(%error, "the note of the ledger's tip cannot be written");
        }
        done.acknowledge();
        if let Some(module) = shared.module() {
            module.new_blocks();
        }
    }

    fn message(&self, _from: [u8; 32], bytes: Bytes) {
        if bytes.len() > SUBMISSION_BYTES_MAX + 4096 {
            return;
        }
        if let Ok(carried) = frame::decode::<Carried>(&bytes)
            && carried.version == 1
        {
            let _ = self.shared.submit(carried, false);
        }
    }
}
