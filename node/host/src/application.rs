//! What the ordering engine asks of this node: the next block, a judgement of another's, and to take final blocks.
//!
//! A block is due when something waits, or when results of earlier transactions are not yet committed to by a header,
//! after the block interval; otherwise after the idle interval.
//!
//! INVARIANTS
//! - This node never votes for a block that commits to results it has not computed itself, nor for a next committee
//!   epoch that its own module did not decide.
//! - Roots that a header brings continue its parent's without a gap.
//! - A verdict that refuses is for ever and the same on every node; whatever this node only does not know yet waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sealbook_ledger::{Block, EpochDefinition, FinalityCertificate, Header, Transaction};
use sealbook_ordering::{Acknowledgement, Application, Proposal, Verdict};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{BatchItem, VerifyingKey, verify_batch};
use sealbook_protocol::module::QuotaLevel;
use sealbook_store::Tip;

use crate::shared::Shared;
use crate::waiting::{Carried, check_envelope};

/// Bytes that a block may have besides what its limit counts: header, roots, a definition of the next epoch.
const BLOCK_OVERHEAD_BYTES: usize = 1024 * 1024;

/// The application on top of the shared state.
pub struct HostApplication {
    /// What the host's parts share.
    pub shared: Arc<Shared>,
}

/// A step of a judgement: nothing against the block, or the verdict.
type Judged = Result<(), Verdict>;

fn refuse(reason: &str) -> Verdict {
    Verdict::Refuse(reason.to_owned())
}

fn level_of(levels: &[QuotaLevel], carrier: &VerifyingKey) -> u8 {
    levels
        .iter()
        .find(|one| one.carrier == *carrier)
        .map_or(0, |one| one.level)
}

impl Shared {
    /// The block that this node would propose after `parent`, if one is due.
    fn next_block(&self, parent: &Header) -> Option<Block> {
        let definition = self.with_epochs(|epochs| epochs.after(parent))?;
        let parameters = &definition.parameters;
        let height = parent.height.saturating_add(1);
        let asked_ms = self.asked_for_ms(parent);
        let interval_ms = parameters.block_interval_ms;
        if asked_ms < interval_ms {
            return None;
        }
        // The last block of an epoch waits until this node's module has decided the next one.
        let next_epoch = if height == definition.last_height {
            let next = definition.epoch.saturating_add(1);
            Some(self.with_epochs(|epochs| epochs.planned(next))?)
        } else {
            None
        };
        let levels = self.quotas_for(parent);
        let roots = self.roots_after(parent);
        let (taken, filled) = self.in_flight(parent);
        let commits_to = parent.executed_height.saturating_add(roots.len() as u64);
        let has_work = taken.as_ref().is_some_and(|taken| {
            self.with_waiting(|waiting| waiting.has_more_than(&definition, taken))
        });
        let uncommitted = filled > parent.executed_height;
        let due_ms = if has_work || (uncommitted && commits_to > parent.executed_height) {
            interval_ms
        } else if uncommitted {
            // The result is not known here yet; an empty block still helps its ancestors to become final.
            interval_ms.saturating_mul(4)
        } else {
            parameters.idle_interval_ms
        };
        if asked_ms < due_ms {
            return None;
        }
        let time_ms = self.clock.now_ms().max(parent.time_ms);
        let (transactions, attachments) = match (&taken, &levels) {
            (Some(taken), Some(levels)) => {
                let quota =
                    |carrier: &VerifyingKey| parameters.carrier_quota(level_of(levels, carrier));
                self.with_waiting(|waiting| {
                    waiting.pick((height, time_ms), &definition, &quota, taken)
                })
            }
            // What lies between is not known here, so anything that waits may be in there already; or this node has
            // not executed far enough to know the quotas. An empty block keeps the chain going.
            _ => (Vec::new(), Vec::new()),
        };
        let block = Block::after(parent, time_ms, transactions, attachments, roots);
        Some(match next_epoch {
            Some(next) => block.with_next_epoch(EpochDefinition::clone(&next)),
            None => block,
        })
    }

    /// Judges a block as often as the engine asks: what cannot change is judged once.
    fn judge(&self, parent: &Header, block: &Block) -> Judged {
        let digest = block.digest();
        if !self.was_judged(&digest) {
            self.judge_for_good(parent, block)?;
            self.note_judged(digest, block.height());
        }
        let definition = self
            .with_epochs(|epochs| epochs.after(parent))
            .ok_or(Verdict::Wait)?;
        if self.halted() {
            return Err(Verdict::Wait);
        }
        let latest_ms = self
            .clock
            .now_ms()
            .saturating_add(definition.parameters.clock_drift_ms);
        if block.header.time_ms > latest_ms {
            // Not a refusal: clocks differ, and the block may be fine a moment later.
            return Err(Verdict::Wait);
        }
        self.judge_next_epoch(block, &definition)?;
        for (height, committed) in block.header.committed_roots() {
            match self.result(height) {
                Some(digest) if digest == committed => {}
                Some(_) => return Err(refuse("results that differ from this node's")),
                None => return Err(Verdict::Wait),
            }
        }
        Ok(())
    }

    /// What of a block follows from it and from what came before it.
    fn judge_for_good(&self, parent: &Header, block: &Block) -> Judged {
        block
            .header
            .check_follows(parent)
            .map_err(|error| Verdict::Refuse(error.to_string()))?;
        block
            .check_body()
            .map_err(|error| Verdict::Refuse(error.to_string()))?;
        let definition = self
            .with_epochs(|epochs| epochs.after(parent))
            .ok_or(Verdict::Wait)?;
        let limit = definition.parameters.block_bytes_max as usize;
        let sealed: usize = block
            .transactions
            .iter()
            .map(|one| one.envelope().len())
            .sum::<usize>()
            + block
                .attachments
                .iter()
                .map(|one| one.bytes().map_or(0, Bytes::len))
                .sum::<usize>();
        let overhead = block.encoded_length().saturating_sub(sealed);
        let per_item = 70 * block.transactions.len() + 40 * block.attachments.len();
        if sealed > limit || overhead > BLOCK_OVERHEAD_BYTES.saturating_add(per_item) {
            return Err(refuse("more bytes than the network allows"));
        }
        self.judge_transactions(parent, block, &definition)
    }

    fn judge_transactions(
        &self,
        parent: &Header,
        block: &Block,
        definition: &EpochDefinition,
    ) -> Judged {
        if block.transactions.is_empty() {
            return Ok(());
        }
        let carriers: Vec<&VerifyingKey> = definition.carriers().collect();
        let (in_flight, _) = self.in_flight(parent);
        let in_flight = in_flight.unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut carried: BTreeMap<u16, (usize, u64)> = BTreeMap::new();
        let mut unverified: Vec<(VerifyingKey, Vec<u8>, &Transaction)> = Vec::new();
        for transaction in &block.transactions {
            let (network, height) = (self.network(), block.height());
            let Ok(header) = check_envelope(transaction.envelope(), &network, definition, height)
            else {
                return Err(refuse(
                    "not a sealed transaction of this network and its key epoch",
                ));
            };
            if header.expires_ms < block.header.time_ms {
                return Err(refuse("an expired transaction"));
            }
            let id = transaction.id();
            if !seen.insert(id) {
                return Err(refuse("the same transaction twice"));
            }
            if in_flight.contains(&id) || self.is_ordered_below(&id, block.height()) {
                return Err(refuse("a transaction that is ordered already"));
            }
            let Some(key) = carriers.get(usize::from(transaction.carrier)) else {
                return Err(refuse("a carrier that is no node of this epoch"));
            };
            let (count, bytes) = carried.entry(transaction.carrier).or_default();
            *count += 1;
            *bytes = bytes.saturating_add(transaction.envelope().len() as u64);
            let verified =
                self.with_waiting(|waiting| waiting.is_verified(&id, key, &transaction.signature));
            if !verified {
                let message = Transaction::signed_bytes(&self.network(), &id);
                unverified.push((**key, message, transaction));
            }
        }
        let items: Vec<BatchItem<'_>> = unverified
            .iter()
            .map(|(key, message, transaction)| BatchItem {
                key: *key,
                domain: Transaction::signature_domain(),
                message,
                signature: transaction.signature,
            })
            .collect();
        if !items.is_empty() && verify_batch(&items).is_err() {
            return Err(refuse("a transaction that its carrier did not sign"));
        }
        let levels = self.quotas_for(parent).ok_or(Verdict::Wait)?;
        for (place, (count, bytes)) in carried {
            let level = carriers
                .get(usize::from(place))
                .map_or(0, |key| level_of(&levels, key));
            if !definition
                .parameters
                .within_carrier_quota(level, count, bytes)
            {
                return Err(refuse("more of one carrier than its quota"));
            }
        }
        Ok(())
    }

    fn judge_next_epoch(&self, block: &Block, definition: &EpochDefinition) -> Judged {
        let Some(next) = &block.header.next_epoch else {
            return if block.height() == definition.last_height {
                Err(refuse(
                    "the last block of an epoch does not define the next",
                ))
            } else {
                Ok(())
            };
        };
        if block.height() != definition.last_height || next.check_follows(definition).is_err() {
            return Err(refuse("a next epoch that cannot follow this one"));
        }
        match self.with_epochs(|epochs| epochs.planned(next.epoch)) {
            Some(planned) if *planned == *next => Ok(()),
            Some(_) => Err(refuse("a next epoch that differs from this node's")),
            None => Err(Verdict::Wait),
        }
    }

    /// Compares the results that a final header commits to with this node's own. The module does the same inside; here
    /// it also catches a module that is not what it should be.
    fn compare_results(&self, block: &Block, certificate: Option<&FinalityCertificate>) {
        for (height, committed) in block.header.committed_roots() {
            if let Some(computed) = self.result(height)
                && computed != committed
            {
                let digests: (Digest, Digest) = (computed, committed);
                self.diverged(height, digests, Some(&block.header), certificate);
                return;
            }
        }
    }
}

impl Application for HostApplication {
    fn propose(&self, parent: &Header) -> Proposal {
        if self.shared.halted() {
            return Proposal::NotYet;
        }
        match self.shared.next_block(parent) {
            Some(block) => {
                self.shared.remember(&block);
                Proposal::Block(block)
            }
            None => Proposal::NotYet,
        }
    }

    fn verify(&self, parent: &Header, block: &Block) -> Verdict {
        match self.shared.judge(parent, block) {
            Ok(()) => {
                self.shared.remember(block);
                Verdict::Accept
            }
            Err(verdict) => verdict,
        }
    }

    fn finalized(
        &self,
        block: Arc<Block>,
        certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    ) {
        let shared = &self.shared;
        let newest = shared.note_final(&block);
        shared.compare_results(&block, certificate.as_ref());
        // The engine's archive is the ledger store, so the block is durable before it comes here.
        let tip = Tip {
            height: block.height(),
            block: block.digest(),
        };
        if newest
            && let Some(folder) = &shared.ledger
            && let Err(error) = tip.write(folder)
        {
            tracing::warn!(%error, "the note of the ledger's tip cannot be written");
        }
        shared.keep_for_module(block);
        done.acknowledge();
        shared.pass_on();
        if let Some(module) = shared.module() {
            module.new_blocks();
        }
    }

    fn contradiction(&self, vote_key: [u8; 32], evidence: Bytes) {
        let validator = VerifyingKey(vote_key);
        tracing::error!(%validator, "a validator contradicted itself; see the evidence folder");
        self.shared.evidence.contradiction(&validator, &evidence);
    }

    fn message(&self, from: [u8; 32], bytes: Bytes) {
        self.messages(vec![(from, bytes)]);
    }

    fn messages(&self, messages: Vec<([u8; 32], Bytes)>) {
        let carried = messages.iter();
        let carried = carried.filter_map(|(_, bytes)| Carried::decode(bytes));
        self.shared.receive(carried.collect());
    }
}
