//! The engine: takes final blocks, keeps the state, answers queries.
//!
//! INVARIANTS
//! - `head` is the last executed header; the next block must follow it and be certified, itself or by a descendant.
//! - The committee comes from genesis, never from the host.
//! - A final header that commits to another root than was computed stops the engine for good.
//! - A transaction takes effect once, and whoever was told an outcome was told the only one: a second copy of an
//!   envelope is passed over for as long as any copy could still be answered. That is from one horizon before its
//!   expiry, when it may first be executed, to one horizon after, when nobody waits for it any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sealbook_identity::{CertificateDer, Principal, Usage, verify_chain};
use sealbook_ledger::{
    Block, CertificateError, ChainError, Committee, FinalityCertificate, Genesis, GenesisError,
    Header, MAX_BLOCK_BYTES, verify_finalized,
};
use sealbook_policies::{PolicyError, PolicySet};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::module::SealedReply;
use sealbook_protocol::payload::{FinalNotice, PAYLOAD_VERSION};
use sealbook_securities::{AccountIndex, Member, MemberId, State};

use crate::asked::Asked;
use crate::keys::{EpochKeys, KeyError};
use crate::permissions::Nobody;
use crate::state_tree::StateTree;
use crate::transactions::{BlockContext, new_member};

/// Reply context of outcomes.
pub const OUTCOME_CONTEXT: &[u8] = b"outcome";
/// Reply context of final notices.
pub const FINAL_CONTEXT: &[u8] = b"final";
/// Reply context of answers.
pub const ANSWER_CONTEXT: &[u8] = b"answer";

/// The most notices of finality that go out with one block. More wait for the next ones: a header that commits to a
/// long run of blocks at once must not make a message that is too large to send.
pub const FINALS_MAX: usize = 32_768;

/// Why the engine refuses what it was given. Unless it says otherwise, the engine has not changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The genesis document cannot be used.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The committee in genesis cannot be one.
    #[error("committee: {0}")]
    Committee(CertificateError),
    /// The keys do not go with genesis.
    #[error("keys: {0}")]
    Keys(#[from] KeyError),
    /// The policies in genesis do not hold together.
    #[error("policies: {0}")]
    Policies(#[from] PolicyError),
    /// A founding admin cannot be admitted.
    #[error("founding admin: {0}")]
    Admin(String),
    /// The blocks are not final.
    #[error("not final: {0}")]
    NotFinal(#[from] ChainError),
    /// Bytes that are no block or certificate.
    #[error("host sent bytes that are no {0}")]
    Malformed(&'static str),
    /// A final header commits to another root.
    #[error("state root at height {height} is {computed} here and {committed} in a final header")]
    Diverged {
        /// The height whose root differs.
        height: u64,
        /// The root computed here.
        computed: Digest,
        /// The root in the final header.
        committed: Digest,
    },
    /// The engine stopped after a divergence or a broken invariant.
    #[error("the engine has stopped after a divergence or a broken invariant")]
    Stopped,
    /// The contract broke one of its own laws. The engine has stopped.
    #[error("invariant broken: {0}")]
    Invariant(String),
}

/// What one block brought.
#[derive(Debug)]
pub struct Executed {
    /// The block's height.
    pub height: u64,
    /// The state root after it.
    pub state_root: Digest,
    /// Replies to submitters.
    pub replies: Vec<SealedReply>,
    /// Notices of finality to submitters.
    pub finals: Vec<SealedReply>,
    /// Transactions that did not open, or that nobody can have waited for.
    pub unopened: u32,
    /// Orders by status: settled, pending, rejected, denied.
    pub outcomes: [u64; 4],
}

/// Submitters who are told when a height becomes final: transaction digest and reply key.
type Waiting = Vec<(Digest, Secret32)>;

/// The execution engine of one network.
pub struct Engine {
    pub(crate) genesis: Genesis,
    pub(crate) network: Digest,
    namespace: Vec<u8>,
    committee: Committee,
    pub(crate) keys: EpochKeys,
    pub(crate) policies: PolicySet,
    pub(crate) roots_of_trust: Vec<CertificateDer<'static>>,
    pub(crate) state: State,
    tree: StateTree,
    pub(crate) head: Header,
    pub(crate) state_root: Digest,
    /// Roots that no final header has committed to yet.
    uncommitted: BTreeMap<u64, Digest>,
    waiting: BTreeMap<u64, Waiting>,
    /// Notices of finality that had no place in the last block's.
    finals_owed: VecDeque<SealedReply>,
    /// Envelopes that were executed and could come again, by expiry.
    seen: BTreeSet<(u64, Digest)>,
    pub(crate) asked: Asked,
    /// When each member's certificate ends. The books hold its fingerprint, from which this follows.
    certificate_ends: BTreeMap<MemberId, u64>,
    /// Holders' names by account; only in memory, from attachments.
    pub(crate) names: BTreeMap<AccountIndex, String>,
    stopped: bool,
}

impl Engine {
    /// An engine at block 0 of the network of `genesis`.
    ///
    /// # Errors
    /// The document, its committee, its policies, its admins or the keys do not go together.
    pub fn new(genesis: Genesis, keys: EpochKeys) -> Result<Self, EngineError> {
        keys.check(&genesis, 0)?;
        let files: Vec<(&str, &str)> = genesis
            .policies
            .iter()
            .map(|file| (file.name.as_str(), file.text.as_str()))
            .collect();
        let policies = PolicySet::load(&genesis.policy_schema, &files)?;
        let committee = genesis.committee().map_err(EngineError::Committee)?;
        let block = genesis.block();
        let mut engine = Self {
            network: genesis.network(),
            namespace: genesis.namespace(),
            committee,
            keys,
            policies,
            roots_of_trust: genesis
                .certificate_roots
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
            state: State::new(),
            tree: StateTree::new(),
            head: block.header,
            state_root: Digest::ZERO,
            uncommitted: BTreeMap::new(),
            waiting: BTreeMap::new(),
            finals_owed: VecDeque::new(),
            seen: BTreeSet::new(),
            asked: Asked::default(),
            certificate_ends: BTreeMap::new(),
            names: BTreeMap::new(),
            stopped: false,
            genesis,
        };
        engine.admit_founders()?;
        Ok(engine)
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
            self.note_certificate(&principal);
        }
        self.state_root = self.tree.update(&mut self.state, &self.keys.leaf, 0);
        Ok(())
    }

    /// The height of the last executed block.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.head.height
    }

    /// The state root after the last executed block.
    #[must_use]
    pub const fn state_root(&self) -> Digest {
        self.state_root
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

    /// Executes blocks that `certificate` makes final.
    ///
    /// # Errors
    /// They are not final or not next, in which case nothing has changed; or the network's results differ from this
    /// engine's, in which case it executes nothing more.
    pub fn execute(
        &mut self,
        blocks: &[Vec<u8>],
        certificate: &[u8],
    ) -> Result<Vec<Executed>, EngineError> {
        let mut all = Vec::new();
        self.execute_each(blocks, certificate, |executed| all.push(executed))?;
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
        mut each: impl FnMut(Executed),
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
        verify_finalized(
            &self.head,
            &blocks,
            &certificate,
            &self.committee,
            &self.namespace,
        )?;
        for block in &blocks {
            // Set while a block is under way: an engine that left one half done must not go on.
            self.stopped = true;
            each(self.execute_one(block)?);
            self.stopped = false;
        }
        Ok(())
    }

    fn execute_one(&mut self, block: &Block) -> Result<Executed, EngineError> {
        let finals = self.check_roots(block)?;
        let (height, time_ms) = (block.header.height, block.header.time_ms);
        self.state
            .begin_block(height, time_ms)
            .map_err(|error| EngineError::Invariant(error.to_string()))?;
        self.forget_expired(time_ms);
        let context = BlockContext::of(block);
        let mut executed = Executed {
            height,
            state_root: Digest::ZERO,
            replies: Vec::new(),
            finals,
            unopened: 0,
            outcomes: [0; 4],
        };
        let mut waiting = Vec::new();
        for bytes in &block.transactions {
            self.execute_transaction(&context, bytes, &mut executed, &mut waiting);
        }
        self.head = block.header.clone();
        self.state_root = self.tree.update(&mut self.state, &self.keys.leaf, height);
        executed.state_root = self.state_root;
        self.uncommitted.insert(height, self.state_root);
        self.waiting.insert(height, waiting);
        #[cfg(debug_assertions)]
        self.state
            .check_invariants()
            .map_err(|violation| EngineError::Invariant(violation.to_string()))?;
        Ok(executed)
    }

    /// Compares the roots that a final header commits to with the computed ones, and tells those who wait.
    fn check_roots(&mut self, block: &Block) -> Result<Vec<SealedReply>, EngineError> {
        for (height, committed) in block.header.committed_roots() {
            let computed = self.uncommitted.remove(&height).unwrap_or(Digest::ZERO);
            if computed != committed {
                return Err(EngineError::Diverged {
                    height,
                    computed,
                    committed,
                });
            }
            for (transaction, key) in self.waiting.remove(&height).unwrap_or_default() {
                let notice = FinalNotice {
                    version: PAYLOAD_VERSION,
                    height,
                    state_root: committed,
                    committed_by: block.header.height,
                };
                self.finals_owed
                    .push_back(seal(transaction, &key, FINAL_CONTEXT, &notice));
            }
        }
        Ok(first(&mut self.finals_owed, FINALS_MAX))
    }

    fn forget_expired(&mut self, time_ms: u64) {
        let (oldest, _) = self.answerable(time_ms);
        self.seen = self.seen.split_off(&(oldest, Digest::ZERO));
        self.asked.forget_before(time_ms);
    }

    /// The expiries with which an envelope in a block of this time is answered at all.
    pub(crate) const fn answerable(&self, time_ms: u64) -> (u64, u64) {
        let horizon_ms = self.genesis.parameters.expiry_horizon_ms;
        (
            time_ms.saturating_sub(horizon_ms),
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

    /// Notes until when a member that was just admitted may act under its certificate.
    pub(crate) fn note_certificate(&mut self, principal: &Principal) {
        if let Some((id, _)) = self.state.member_by_certificate(&principal.fingerprint.0) {
            self.certificate_ends.insert(id, principal.not_after_ms);
        }
    }

    /// The member with this certificate, if the certificate is still valid at `time_ms`.
    pub(crate) fn current_member(
        &self,
        certificate: &Digest,
        time_ms: u64,
    ) -> Option<(MemberId, &Member)> {
        let (id, member) = self.state.member_by_certificate(&certificate.0)?;
        let ends_ms = *self.certificate_ends.get(&id)?;
        (time_ms <= ends_ms).then_some((id, member))
    }
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
