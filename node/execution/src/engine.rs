//! The engine: takes final blocks, keeps the state, answers queries.
//!
//! INVARIANTS
//! - `head` is the last executed header; the next block must follow it and be certified, itself or by a descendant.
//! - The committee comes from genesis and from what was decided since, never from the host.
//! - A final header that commits to other results than were computed, or defines another next epoch than was
//!   planned, stops the engine for good.
//! - A transaction takes effect once, and whoever was told an outcome was told the only one: a second copy of an
//!   envelope is passed over for as long as any copy could still be answered. That is from one horizon before its
//!   expiry, when it may first be executed, to one horizon after, when nobody waits for it any more. What was once too
//!   old stays so, even if a later epoch has a longer horizon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sealbook_governance::Governance;
use sealbook_identity::{CertificateDer, Usage, verify_chain};
use sealbook_ledger::{
    Block, Commitment, Committee, EpochDefinition, FinalityCertificate, Genesis, Header, KeyRecord,
    MAX_BLOCK_BYTES, RootGrant, SnapshotManifest, SnapshotReference, verify_finalized,
};
use sealbook_policies::PolicySet;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::module::{PastResult, QuotaLevel, SealedReply};
use sealbook_securities::{MemberId, State};

use crate::asked::Asked;
use crate::certificates::Certificates;
use crate::contracts::{self, LeafKey};
pub use crate::error::EngineError;
use crate::keys::{EpochKeys, Vault};
use crate::membership::new_member;
use crate::names::HolderNames;
use crate::permissions::Nobody;
use crate::results::{self, Results, Waiting};
use crate::rotation::{Custodian, Former, Session};
use crate::sessions::Sessions;
use crate::snapshot::content::Parts;
use crate::snapshot::{Growth, Progress};
use crate::state_tree::StateTree;
use crate::transactions::BlockContext;

/// Reply context of outcomes.
pub const OUTCOME_CONTEXT: &[u8] = b"outcome";
/// Reply context of final notices.
pub const FINAL_CONTEXT: &[u8] = b"final";
/// Reply context of answers.
pub const ANSWER_CONTEXT: &[u8] = b"answer";

/// The most notices of finality that go out with one block. More wait for the next ones: a header that commits to a
/// long run of blocks at once must not make a message that is too large to send.
pub const FINALS_MAX: usize = 32_768;

/// What the engine has to say while it executes.
#[derive(Debug)]
pub enum Output {
    /// A sealed piece of a snapshot.
    Piece {
        /// The last block in the snapshot.
        height: u64,
        /// The piece's place in the manifest.
        index: u32,
        /// Its bytes.
        sealed: Vec<u8>,
    },
    /// All pieces of a snapshot are made; commitments name it from the next executed block on.
    Snapshot(Box<SnapshotManifest>),
    /// A block has been executed.
    Executed(Box<Executed>),
    /// An envelope of this module's own, for its host to carry.
    Carry(Vec<u8>),
}

/// What one block brought.
#[derive(Debug)]
pub struct Executed {
    /// The results after it, with its height.
    pub commitment: Commitment,
    /// What holds in the next committee epoch, once it is decided.
    pub next_epoch: Option<EpochDefinition>,
    /// Carriers whose quota is cut from the next block on.
    pub quotas: Vec<QuotaLevel>,
    /// Roots, sealed to modules that this block admitted or offered a new root to.
    pub grants: Vec<RootGrant>,
    /// Encoded records of new roots.
    pub key_records: Vec<Vec<u8>>,
    /// Replies to submitters.
    pub replies: Vec<SealedReply>,
    /// Notices of finality to submitters.
    pub finals: Vec<SealedReply>,
    /// Transactions that did not open, or that nobody can have waited for.
    pub unopened: u32,
    /// Orders by status: settled, pending, rejected, denied.
    pub outcomes: [u64; 4],
    /// Fingerprints of certificates that were revoked.
    pub revoked: Vec<Digest>,
}

/// The execution engine of one network.
pub struct Engine {
    pub(crate) genesis: Genesis,
    pub(crate) network: Digest,
    namespace: Vec<u8>,
    /// The committee of the next block's epoch.
    committee: Committee,
    /// The keys of the present key epoch.
    pub(crate) keys: EpochKeys,
    /// Those of key epochs that have ended, as long as they are needed, ascending.
    pub(crate) former: Vec<Former>,
    /// Those of the key epoch that begins with the next block, in an engine that was restored with them.
    pub(crate) coming: Option<EpochKeys>,
    /// The records of roots that are offered or decided.
    pub(crate) records: BTreeMap<Digest, KeyRecord>,
    /// Records that came with the block under way.
    pub(crate) new_records: Vec<KeyRecord>,
    /// Grants that are to go out with the block under way.
    pub(crate) grants: Vec<RootGrant>,
    pub(crate) custodian: Option<Custodian>,
    pub(crate) vault: Option<Box<dyn Vault>>,
    pub(crate) session: Option<Session>,
    pub(crate) policies: PolicySet,
    pub(crate) roots_of_trust: Vec<CertificateDer<'static>>,
    pub(crate) state: State,
    pub(crate) tree: StateTree,
    pub(crate) governance: Governance,
    pub(crate) head: Header,
    /// The results after `head`.
    pub(crate) commitment: Commitment,
    /// The newest results that a final header has committed to.
    pub(crate) committed: PastResult,
    /// Results that no final header has committed to yet.
    pub(crate) uncommitted: BTreeMap<u64, Results>,
    /// Notices of finality that had no place in the last block's.
    pub(crate) finals_owed: VecDeque<SealedReply>,
    /// Envelopes that were executed and could come again, by expiry.
    pub(crate) seen: BTreeSet<(u64, Digest)>,
    /// Envelopes that expire before are not answered any more, whatever the horizon will be.
    pub(crate) answered_from_ms: u64,
    pub(crate) asked: Asked,
    /// Sessions that members have opened.
    pub(crate) sessions: Sessions,
    /// Which certificates count.
    pub(crate) certificates: Certificates,
    pub(crate) names: HolderNames,
    /// The newest snapshot that commitments name.
    pub(crate) newest_snapshot: Option<SnapshotReference>,
    pub(crate) progress: Progress,
    /// What was submitted since the last snapshot was taken.
    pub(crate) growth: Growth,
    /// Positions that members have had certified, and that blocks to come still make up for.
    pub(crate) certifying: BTreeMap<MemberId, u64>,
    stopped: bool,
}

impl Engine {
    /// An engine at block 0 of the network of `genesis`.
    ///
    /// # Errors
    /// The document, its committee, its policies, its admins or the keys do not go together.
    pub fn new(genesis: Genesis, keys: EpochKeys) -> Result<Self, EngineError> {
        keys.check(&genesis.first_epoch().opening)?;
        let mut engine = Self::bare(genesis, keys)?;
        engine.admit_founders()?;
        engine.certificates.end_block();
        engine.commitment.state_root = engine.update_state_root();
        engine.commitment.network_root = engine.network_root();
        // Genesis needs no header to commit to its results.
        engine.committed.digest = engine.commitment.digest();
        Ok(engine)
    }

    /// An engine without members.
    pub(crate) fn bare(genesis: Genesis, keys: EpochKeys) -> Result<Self, EngineError> {
        let files: Vec<(&str, &str)> = genesis
            .policies
            .iter()
            .map(|file| (file.name.as_str(), file.text.as_str()))
            .collect();
        let policies = PolicySet::load(&genesis.policy_schema, &files)?;
        let committee = genesis.committee().map_err(EngineError::Committee)?;
        contracts::check_all_run(&genesis.parameters.contracts)?;
        let (outcomes, outcomes_root) = results::root(&[]);
        let commitment = Commitment {
            version: Commitment::VERSION,
            height: 0,
            state_root: Digest::ZERO,
            network_root: Digest::ZERO,
            outcomes,
            outcomes_root,
            snapshot: None,
            next_epoch: None,
        };
        Ok(Self {
            network: genesis.network(),
            namespace: genesis.namespace(),
            committee,
            keys,
            former: Vec::new(),
            coming: None,
            records: BTreeMap::new(),
            new_records: Vec::new(),
            grants: Vec::new(),
            custodian: None,
            vault: None,
            session: None,
            policies,
            roots_of_trust: genesis
                .certificate_roots
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
            state: State::new(),
            tree: StateTree::new(),
            governance: Governance::founded(&genesis),
            head: genesis.block().header,
            commitment,
            committed: PastResult {
                height: 0,
                digest: Digest::ZERO,
                quotas: Vec::new(),
            },
            uncommitted: BTreeMap::new(),
            finals_owed: VecDeque::new(),
            seen: BTreeSet::new(),
            answered_from_ms: 0,
            asked: Asked::default(),
            sessions: Sessions::default(),
            certificates: Certificates::default(),
            names: HolderNames::default(),
            newest_snapshot: None,
            progress: Progress::None,
            growth: Growth::default(),
            certifying: BTreeMap::new(),
            stopped: false,
            genesis,
        })
    }

    /// Takes over what a snapshot holds; its results have been checked to be in order.
    pub(crate) fn take_parts(&mut self, parts: Parts, state: State) -> Result<(), EngineError> {
        self.state = state;
        self.governance = parts.governance;
        self.head = parts.head;
        self.certificates = parts.certificates;
        self.answered_from_ms = parts.answered_from_ms;
        self.newest_snapshot = parts.newest;
        self.seen = parts.seen;
        self.sessions = parts.sessions;
        self.finals_owed = parts.finals_owed.into();
        self.certifying = parts.certifying;
        self.take_policies()?;
        self.records = parts
            .records
            .into_iter()
            .map(|record| (record.digest(), record))
            .collect();
        self.committed = parts.committed;
        self.uncommitted = parts
            .results
            .into_iter()
            .map(|one| (one.commitment.height, one))
            .collect();
        self.committee = self
            .definition()
            .committee()
            .map_err(EngineError::Committee)?;
        Ok(())
    }

    fn admit_founders(&mut self) -> Result<(), EngineError> {
        let time_ms = self.head.time_ms;
        for chain in self.genesis.admins.clone() {
            let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(Into::into).collect();
            let principal = verify_chain(
                &self.roots_of_trust,
                &chain,
                &self.genesis.network_name,
                time_ms,
                Usage::Member,
            )
            .map_err(|error| EngineError::Admin(error.to_string()))?;
            let refused = || EngineError::Admin(format!("`{}` was refused", principal.name));
            let founder = new_member(&principal).ok_or_else(refused)?;
            // Founders are admitted by genesis itself; nobody's permission is asked.
            if !self.state.admit(None, &Nobody, founder, None).is_accepted() {
                return Err(refused());
            }
            self.note_admission(&principal);
        }
        Ok(())
    }

    pub(crate) fn update_state_root(&mut self) -> Digest {
        let height = self.head.height;
        let key = LeafKey::of(&self.keys.leaf);
        self.tree.update(&mut self.state, &key, height)
    }

    /// The key epoch of the last executed block.
    #[must_use]
    pub const fn key_epoch(&self) -> u32 {
        self.keys.key_epoch
    }

    /// The height of the last executed block.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.head.height
    }

    /// The state root after the last executed block.
    #[must_use]
    pub const fn state_root(&self) -> Digest {
        self.commitment.state_root
    }

    /// The results after the last executed block, which headers commit to by their digest.
    #[must_use]
    pub const fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// What holds in the epoch of the next block.
    #[must_use]
    pub fn definition(&self) -> &EpochDefinition {
        let next = self.head.next_epoch.as_ref();
        next.unwrap_or_else(|| self.governance.definition())
    }

    /// Carriers whose quota is cut in the next block.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaLevel> {
        let levels = self.governance.quota_levels().into_iter();
        levels
            .map(|(carrier, level)| QuotaLevel { carrier, level })
            .collect()
    }

    /// What members see of governance after the last executed block.
    #[must_use]
    pub fn governance_view(&self) -> sealbook_governance::GovernanceView {
        self.governance.view()
    }

    /// The header of the last executed block.
    #[must_use]
    pub const fn head(&self) -> &Header {
        &self.head
    }

    /// The contract's state, for the auditor.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether the engine has stopped for good.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The results that headers may still be asked about, ascending: the newest that the last executed header or one
    /// before it commits to, and all after them.
    #[must_use]
    pub fn results(&self) -> Vec<PastResult> {
        let uncommitted = self.uncommitted.values().map(Results::past);
        std::iter::once(self.committed.clone())
            .chain(uncommitted)
            .collect()
    }

    /// Executes blocks that `certificate` makes final, all of one committee epoch. Pieces of snapshots that are made
    /// meanwhile are dropped.
    ///
    /// # Errors
    /// They are not final, not next or of two epochs, in which case nothing has changed; or the network's results
    /// differ from this engine's, in which case it executes nothing more.
    pub fn execute(
        &mut self,
        blocks: &[Vec<u8>],
        certificate: &[u8],
    ) -> Result<Vec<Executed>, EngineError> {
        let mut all = Vec::new();
        self.execute_each(blocks, certificate, |output| {
            if let Output::Executed(executed) = output {
                all.push(*executed);
            }
        })?;
        Ok(all)
    }

    /// As [`Engine::execute`], but hands on what each block brought as soon as it is executed, so that nothing is
    /// lost when a later block of the run shows a divergence.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn execute_each(
        &mut self,
        blocks: &[Vec<u8>],
        certificate: &[u8],
        mut each: impl FnMut(Output),
    ) -> Result<(), EngineError> {
        if self.stopped {
            return Err(EngineError::Stopped);
        }
        let certificate = FinalityCertificate::decode(certificate)
            .map_err(|_| EngineError::Malformed("finality certificate"))?;
        let blocks = blocks
            .iter()
            .map(|bytes| Block::decode(bytes, MAX_BLOCK_BYTES))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| EngineError::Malformed("block"))?;
        self.check_epoch(&blocks)?;
        verify_finalized(
            &self.head,
            &blocks,
            &certificate,
            &self.committee,
            &self.namespace,
        )?;
        let last = blocks.len().saturating_sub(1);
        for (place, block) in blocks.iter().enumerate() {
            // Set while a block is under way: an engine that left one half done must not go on.
            self.stopped = true;
            let executed = self.execute_one(block, &mut each)?;
            if place == last {
                for envelope in self.words() {
                    each(Output::Carry(envelope));
                }
            }
            each(Output::Executed(Box::new(executed)));
            self.stopped = false;
        }
        Ok(())
    }

    /// Checks that all blocks are of the present epoch, whose committee is the one that certifies them.
    fn check_epoch(&self, blocks: &[Block]) -> Result<(), EngineError> {
        let definition = self.definition();
        let other = blocks.iter().map(|block| &block.header).find(|header| {
            header.epoch != definition.epoch || header.height > definition.last_height
        });
        match other {
            Some(header) => Err(EngineError::Epoch {
                height: header.height,
                expected: definition.epoch,
                found: header.epoch,
            }),
            None => Ok(()),
        }
    }

    fn execute_one(
        &mut self,
        block: &Block,
        each: &mut dyn FnMut(Output),
    ) -> Result<Executed, EngineError> {
        self.check_next_epoch(&block.header)?;
        let finals = self.check_roots(&block.header)?;
        let (height, time_ms) = (block.header.height, block.header.time_ms);
        self.state
            .begin_block(height, time_ms)
            .map_err(|error| EngineError::Invariant(error.to_string()))?;
        if self.head.next_epoch.is_some() {
            self.begin_epoch(time_ms)?;
        }
        self.certify_on();
        self.forget_expired(time_ms);
        self.close_sessions(time_ms);
        let context = BlockContext::of(block);
        let mut brought = Brought::default();
        let mut carried = self.carried();
        let opened = self.open_all(block);
        for (transaction, opened) in block.transactions.iter().zip(opened) {
            let answered = opened
                .is_some_and(|opened| self.execute_transaction(&context, opened, &mut brought));
            carried.count(transaction.carrier, answered);
        }
        self.head = block.header.clone();
        self.governance
            .end_block(height, time_ms, &carried.counts());
        let grants = self.grant_to_admitted();
        let key_records = self.new_records.drain(..);
        let key_records = key_records.map(|record| record.encode()).collect();
        self.forget_records();
        self.advance_snapshot(height, each);
        let revoked = self.certificates.end_block();
        self.commit(brought.waiting);
        if self.head.next_epoch.is_some() {
            self.committee = self
                .definition()
                .committee()
                .map_err(EngineError::Committee)?;
        }
        self.begin_snapshot(block);
        self.forget_former();
        #[cfg(debug_assertions)]
        self.state
            .check_invariants()
            .map_err(|violation| EngineError::Invariant(violation.to_string()))?;
        Ok(Executed {
            commitment: self.commitment.clone(),
            next_epoch: self.governance.planned().cloned(),
            quotas: self.quotas(),
            grants,
            key_records,
            replies: brought.replies,
            finals,
            unopened: carried.unopened(),
            outcomes: brought.outcomes,
            revoked,
        })
    }

    /// Notes the results after the block that was just executed.
    fn commit(&mut self, waiting: Vec<Waiting>) {
        let (outcomes, outcomes_root) = results::root(&waiting);
        self.sessions.end_block();
        self.commitment = Commitment {
            version: Commitment::VERSION,
            height: self.head.height,
            state_root: self.update_state_root(),
            network_root: self.network_root(),
            outcomes,
            outcomes_root,
            snapshot: self.newest_snapshot,
            next_epoch: self.governance.planned().map(EpochDefinition::digest),
        };
        let results = Results {
            commitment: self.commitment.clone(),
            quotas: self.quotas(),
            waiting,
        };
        self.uncommitted.insert(self.head.height, results);
    }

    /// Compares the next epoch that a final header defines with the planned one.
    fn check_next_epoch(&self, header: &Header) -> Result<(), EngineError> {
        let is_last = header.height == self.definition().last_height;
        let planned = self.governance.planned().filter(|_| is_last);
        let next = header.next_epoch.as_ref();
        // The last block of an epoch defines the next one, and no other block does.
        if planned == next && is_last == next.is_some() {
            return Ok(());
        }
        let digest = |one: Option<&EpochDefinition>| one.map_or(Digest::ZERO, |one| one.digest());
        Err(EngineError::Diverged {
            height: header.height,
            computed: digest(planned),
            committed: digest(next),
        })
    }

    /// Compares the results that a final header commits to with the computed ones, and tells those who wait.
    fn check_roots(&mut self, header: &Header) -> Result<Vec<SealedReply>, EngineError> {
        for (height, committed) in header.committed_roots() {
            let results = self.uncommitted.remove(&height);
            let computed = results
                .as_ref()
                .map_or(Digest::ZERO, |results| results.commitment.digest());
            if computed != committed {
                return Err(EngineError::Diverged {
                    height,
                    computed,
                    committed,
                });
            }
            if let Some(results) = results {
                self.committed = results.past();
                let notices = results.notices(&self.keys_at(height).outcome, header.height);
                self.finals_owed.extend(notices);
            }
        }
        Ok(first(&mut self.finals_owed, FINALS_MAX))
    }

    fn forget_expired(&mut self, time_ms: u64) {
        (self.answered_from_ms, _) = self.answerable(time_ms);
        self.seen = self.seen.split_off(&(self.answered_from_ms, Digest::ZERO));
        self.asked.forget_before(time_ms);
    }

    /// The expiries with which an envelope in a block of this time is answered at all.
    pub(crate) fn answerable(&self, time_ms: u64) -> (u64, u64) {
        let horizon_ms = self.definition().parameters.expiry_horizon_ms;
        let earliest = time_ms.saturating_sub(horizon_ms);
        (
            earliest.max(self.answered_from_ms),
            time_ms.saturating_add(horizon_ms),
        )
    }

    /// Whether an envelope was executed before.
    pub(crate) fn is_remembered(&self, expires_ms: u64, transaction: Digest) -> bool {
        self.seen.contains(&(expires_ms, transaction))
    }

    pub(crate) fn remember(&mut self, expires_ms: u64, transaction: Digest) {
        self.seen.insert((expires_ms, transaction));
    }

    /// The member with this certificate, and the certificate's key, if the certificate counts at `time_ms` and the
    /// member was not removed.
    pub(crate) fn current_member(
        &self,
        certificate: &Digest,
        time_ms: u64,
    ) -> Option<(MemberId, VerifyingKey)> {
        let known = self.certificates.find(certificate)?;
        let id = known.member.filter(|_| known.is_current(time_ms))?;
        let member = self.state.member(id)?;
        let counts = !self.governance.is_removed(member.name.as_str());
        counts.then_some((id, known.key))
    }

    /// Fingerprints of all certificates that were ever revoked.
    #[must_use]
    pub fn revoked_certificates(&self) -> Vec<Digest> {
        self.certificates.all_revoked()
    }
}

/// What the transactions of one block bring, as it grows.
#[derive(Default)]
pub struct Brought {
    /// Replies to submitters.
    pub replies: Vec<SealedReply>,
    /// Orders by status.
    pub outcomes: [u64; 4],
    /// Those who wait for the results to be final.
    pub waiting: Vec<Waiting>,
}

/// Takes the first elements of a queue, `most` at the most.
fn first<T>(queue: &mut VecDeque<T>, most: usize) -> Vec<T> {
    let count = queue.len().min(most);
    queue.drain(..count).collect()
}

/// Seals a message to whoever submitted the transaction.
pub(crate) fn seal<T: borsh::BorshSerialize>(
    transaction: Digest,
    key: &Secret32,
    context: &[u8],
    message: &T,
) -> SealedReply {
    let plaintext = zeroize::Zeroizing::new(borsh::to_vec(message).unwrap_or_default());
    let context = [context, transaction.as_bytes()].concat();
    // Sealing under a fresh key fails only for a message over the size limit; the submitter then gets nothing to open.
    let sealed = sealbook_sealing::seal_reply(key, &context, &plaintext).unwrap_or_default();
    SealedReply {
        transaction,
        sealed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_in_order() {
        let mut queue: VecDeque<u8> = (0..5).collect();
        assert_eq!(first(&mut queue, 3), [0, 1, 2]);
        queue.push_back(5);
        assert_eq!(first(&mut queue, 3), [3, 4, 5]);
        assert!(first(&mut queue, 3).is_empty());
    }
}
