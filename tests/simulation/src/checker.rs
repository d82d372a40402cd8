//! What must hold, whatever goes wrong: looked at with every final block of every honest node.
//!
//! | law | how it is looked at |
//! |---|---|
//! | no fork | one digest for each height, over all honest nodes, ever; each block follows the one before |
//! | no junk | envelopes of this network, not expired, once on the whole ledger, signed by a carrier of their epoch; time |
//! | equal results | one commitment for each height, over all honest nodes, and the one that final headers name |
//! | nothing lost, nothing doubled | what a client was told stays; every reference takes effect once |
//! | conservation | the books' own laws, and totals that only orders change |
//! | lost votes | a wiped validator sends no vote in the epoch of its wipe |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sealbook_ledger::{Block, Committee, EpochDefinition, Genesis, Header, MAX_TRANSACTION_BYTES};
use sealbook_primitives::hash::Digest;
use sealbook_sealing::Envelope;
use sealbook_securities::State;

use crate::trace::Trace;

/// Totals that must not change once everybody has what they begin with: units per issue, money per currency.
pub type Totals = BTreeMap<String, u64>;

struct Wiped {
    epoch: u64,
}

struct Laws {
    trace: Trace,
    network: Digest,
    /// How far a clock may be wrong at all, in milliseconds, the network's own tolerance included.
    ahead_max_ms: u64,
    definitions: BTreeMap<u64, EpochDefinition>,
    /// The final chain: every height with the digest and header that were seen first.
    chain: BTreeMap<u64, (Digest, Header)>,
    /// Results by height.
    results: BTreeMap<u64, Digest>,
    /// Which transaction is at which height.
    transactions: BTreeMap<Digest, u64>,
    /// Highest height of each node in its present life.
    heights: BTreeMap<usize, u64>,
    wiped: BTreeMap<usize, Wiped>,
    /// What clients were told: transaction, height, reply.
    told: BTreeMap<Digest, (u64, Vec<u8>)>,
    /// Results that clients were told to be final.
    finals: BTreeSet<(u64, Digest)>,
    /// From this height on the totals are these.
    totals: Option<(u64, Totals)>,
    executed_max: u64,
    /// Heights whose books were looked at.
    looked_at: BTreeSet<u64>,
}

/// The checker of a run. Clones are the same checker.
#[derive(Clone)]
pub struct Checker(Arc<Mutex<Laws>>);

impl Checker {
    /// The checker of this network.
    #[must_use]
    pub fn new(genesis: &Genesis, ahead_max_ms: u64, trace: Trace) -> Self {
        let block = genesis.block();
        let first = genesis.first_epoch();
        Self(Arc::new(Mutex::new(Laws {
            trace,
            network: genesis.network(),
            ahead_max_ms,
            definitions: BTreeMap::from([(first.epoch, first)]),
            chain: BTreeMap::from([(0, (block.digest(), block.header))]),
            results: BTreeMap::new(),
            transactions: BTreeMap::new(),
            heights: BTreeMap::new(),
            wiped: BTreeMap::new(),
            told: BTreeMap::new(),
            finals: BTreeSet::new(),
            totals: None,
            executed_max: 0,
            looked_at: BTreeSet::new(),
        })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Laws) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A node begins a life at a height: what it delivers continues from there.
    pub fn begins(&self, node: usize, height: u64) {
        self.with(|laws| laws.heights.insert(node, height));
    }

    /// A block is final on an honest node.
    pub fn finalized(&self, node: usize, block: &Block, now_ms: u64) {
        self.with(|laws| laws.finalized(node, block, now_ms));
    }

    /// An honest node has executed a block, with these results.
    pub fn executed(&self, node: usize, height: u64, result: Digest) {
        self.with(|laws| laws.executed(node, height, result));
    }

    /// The books of an honest node after this block.
    pub fn books(&self, node: usize, height: u64, state: &State) {
        self.with(|laws| laws.books(node, height, state));
    }

    /// A node's disk is new, in this epoch.
    pub fn wiped(&self, node: usize) {
        self.with(|laws| {
            let epoch = laws.epoch();
            laws.wiped.insert(node, Wiped { epoch });
        });
    }

    /// A node sent a vote.
    pub fn voted(&self, node: usize, epoch: u64) {
        self.with(|laws| {
            if let Some(wiped) = laws.wiped.get(&node)
                && epoch <= wiped.epoch
            {
                let since = wiped.epoch;
                laws.trace.violation(format!(
                    "node {node} lost its votes in epoch {since} and votes in epoch {epoch}"
                ));
            }
        });
    }

    /// A client was told what came of a transaction.
    pub fn told(&self, transaction: Digest, height: u64, reply: &[u8]) {
        self.with(|laws| laws.told(transaction, height, reply));
    }

    /// A client was told that these results of a height are final.
    pub fn told_final(&self, height: u64, results: Digest) {
        self.with(|laws| {
            laws.finals.insert((height, results));
            laws.check_final(height, results);
        });
    }

    /// From the newest executed height on, the totals are these.
    pub fn set_totals(&self, totals: Totals) {
        self.with(|laws| laws.totals = Some((laws.executed_max + 1, totals)));
    }

    /// The newest final height, and the newest of which results are known.
    #[must_use]
    pub fn heights(&self) -> (u64, u64) {
        self.with(|laws| (laws.height(), laws.executed_max))
    }

    /// The epoch of the next block.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.with(|laws| laws.epoch())
    }

    /// The definition of the newest epoch.
    #[must_use]
    pub fn definition(&self) -> Option<EpochDefinition> {
        self.with(|laws| {
            laws.definitions
                .last_key_value()
                .map(|(_, one)| one.clone())
        })
    }

    /// The committee of the epoch that a final block belongs to.
    #[must_use]
    pub fn committee_at(&self, height: u64) -> Option<Committee> {
        self.with(|laws| {
            let (_, header) = laws.chain.get(&height)?;
            laws.definitions.get(&header.epoch)?.committee().ok()
        })
    }

    /// How many transactions are on the ledger, and how many of them clients were told about.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.with(|laws| (laws.transactions.len(), laws.told.len()))
    }

    /// What was told and is not on the ledger at the end.
    pub fn check_end(&self) {
        self.with(|laws| {
            let lost: Vec<(Digest, u64)> = laws
                .told
                .iter()
                .filter(|(id, (height, _))| laws.transactions.get(id) != Some(height))
                .map(|(id, (height, _))| (*id, *height))
                .collect();
            for (height, results) in laws.finals.clone() {
                laws.check_final(height, results);
            }
            for (id, height) in lost {
                laws.trace.violation(format!(
                    "a client was told what came of {id:?} at height {height}, which is not there"
                ));
            }
        });
    }
}

impl Laws {
    fn height(&self) -> u64 {
        self.chain.last_key_value().map_or(0, |(height, _)| *height)
    }

    fn epoch(&self) -> u64 {
        self.definitions
            .last_key_value()
            .map_or(0, |(epoch, _)| *epoch)
    }

    fn broken(&self, text: String) {
        self.trace.violation(text);
    }

    fn finalized(&mut self, node: usize, block: &Block, now_ms: u64) {
        let (height, digest) = (block.height(), block.digest());
        let seen = self.heights.entry(node).or_default();
        if height > *seen + 1 {
            let seen = *seen;
            self.broken(format!("node {node} has block {height} right after {seen}"));
        }
        let seen = self.heights.entry(node).or_default();
        *seen = height.max(*seen);
        if let Some((first, _)) = self.chain.get(&height) {
            if *first != digest {
                let first = *first;
                self.broken(format!(
                    "fork: block {height} is {digest:?} on node {node} and {first:?} elsewhere"
                ));
            }
            return;
        }
        let Some((_, parent)) = self.chain.get(&height.saturating_sub(1)) else {
            self.broken(format!(
                "node {node} has block {height}, and nobody the one before"
            ));
            return;
        };
        if let Err(error) = block.header.check_follows(parent) {
            self.broken(format!("block {height} does not follow: {error}"));
        }
        if let Err(error) = block.check_body() {
            self.broken(format!("block {height}: {error}"));
        }
        if block.header.time_ms > now_ms + self.ahead_max_ms {
            let ahead = block.header.time_ms - now_ms;
            self.broken(format!("block {height} is {ahead} ms ahead of every clock"));
        }
        self.check_committed(&block.header);
        self.check_transactions(block);
        if let Some(next) = &block.header.next_epoch {
            self.trace.note(&format!(
                "         epoch {}: {} validators",
                next.epoch,
                next.validators.len()
            ));
            self.definitions.insert(next.epoch, next.clone());
        }
        self.trace.note(&format!(
            "block {height} {digest:?} of epoch {}, {} transactions, results to {}, first on node {node}",
            block.header.epoch,
            block.transactions.len(),
            block.header.executed_height
        ));
        self.chain.insert(height, (digest, block.header.clone()));
    }

    /// What a final header commits to is what honest nodes computed.
    fn check_committed(&self, header: &Header) {
        for (height, committed) in header.committed_roots() {
            match self.results.get(&height) {
                Some(result) if *result == committed => {}
                Some(_) => self.broken(format!(
                    "block {} commits to other results of {height} than honest nodes computed",
                    header.height
                )),
                // Some honest validator computed it before it voted.
                None => self.broken(format!(
                    "block {} commits to results of {height}, which nobody computed",
                    header.height
                )),
            }
        }
    }

    fn check_transactions(&mut self, block: &Block) {
        let height = block.height();
        let definition = self.definitions.get(&block.header.epoch).cloned();
        let Some(definition) = definition else {
            self.broken(format!("block {height} is of an unknown epoch"));
            return;
        };
        let mut bytes = 0;
        for transaction in &block.transactions {
            let id = transaction.id();
            bytes += transaction.envelope().len();
            let envelope = Envelope::decode(transaction.envelope(), MAX_TRANSACTION_BYTES);
            match envelope {
                Ok(envelope) if envelope.header.network == self.network => {
                    if envelope.header.expires_ms < block.header.time_ms {
                        self.broken(format!("block {height} holds the expired {id:?}"));
                    }
                }
                _ => self.broken(format!("block {height} holds junk")),
            }
            let signed = definition.carrier(transaction.carrier);
            let signed = signed.map(|key| transaction.verify_carrier(&self.network, key));
            if !matches!(signed, Some(Ok(()))) {
                self.broken(format!("block {height} holds {id:?}, which nobody carried"));
            }
            if let Some(before) = self.transactions.insert(id, height) {
                self.broken(format!(
                    "{id:?} is in block {before} and again in block {height}"
                ));
            }
        }
        if bytes > definition.parameters.block_bytes_max as usize {
            self.broken(format!("block {height} holds {bytes} sealed bytes"));
        }
    }

    fn executed(&mut self, node: usize, height: u64, result: Digest) {
        match self.results.get(&height) {
            Some(first) if *first != result => {
                let first = *first;
                self.broken(format!(
                    "results of block {height} are {result:?} on node {node} and {first:?} elsewhere"
                ));
            }
            Some(_) => {}
            None => {
                self.results.insert(height, result);
                self.executed_max = self.executed_max.max(height);
            }
        }
    }

    fn books(&mut self, node: usize, height: u64, state: &State) {
        // Equal results are equal books, so one look at each height is enough.
        if !self.looked_at.insert(height) {
            return;
        }
        if let Err(violation) = state.check_invariants() {
            self.broken(format!("after block {height} on node {node}: {violation}"));
        }
        if let Some((from, expected)) = &self.totals
            && height >= *from
        {
            let found = totals(state);
            if found != *expected {
                let text = format!("totals after block {height} are {found:?}, not {expected:?}");
                self.broken(text);
            }
        }
    }

    fn told(&mut self, transaction: Digest, height: u64, reply: &[u8]) {
        match self.told.get(&transaction) {
            Some((before, first)) if *before != height || first != reply => {
                let before = *before;
                self.broken(format!(
                    "clients were told two things about {transaction:?}: at {before} and at {height}"
                ));
            }
            Some(_) => {}
            None => {
                self.told.insert(transaction, (height, reply.to_vec()));
            }
        }
        // A liar's module may be the first to know; what is never there shows at the end.
        let here = self.transactions.get(&transaction);
        if here.is_some_and(|here| *here != height) {
            self.broken(format!(
                "a client was told what came of {transaction:?} at height {height}, where it is not"
            ));
        }
    }

    fn check_final(&self, height: u64, results: Digest) {
        if self
            .results
            .get(&height)
            .is_some_and(|known| *known != results)
        {
            self.broken(format!(
                "a client was told that {results:?} is final at {height}, which it is not"
            ));
        }
    }
}

/// What there is of everything, by the contract's own sums.
#[must_use]
pub fn totals(state: &State) -> Totals {
    let view = state.totals();
    let mut found = Totals::new();
    for issue in view.issues {
        // Summed up over all positions, not the number that was noted when they were issued.
        found.insert(
            issue.isin.to_string(),
            issue.treasury.units + issue.held.units,
        );
    }
    for currency in view.currencies {
        found.insert(currency.currency.to_string(), currency.minted.units);
    }
    found
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
