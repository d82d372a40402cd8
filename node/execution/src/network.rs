//! What members decide about the network itself, as the engine carries it out: who carries, who is let in, who is
//! removed, and what the network root covers.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize as _, BorshSerialize as _};
use sealbook_governance::{Caller, Directory, Effect, GovernanceOrder, Newcomer, Policies};
use sealbook_identity::{CertificateDer, Principal, Usage, verify_chain};
use sealbook_ledger::AuthorisedContract;
use sealbook_policies::PolicySet;
use sealbook_primitives::hash::{Digest, keyed_hash};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::{Code, MemberId, MemberName, Outcome, State};

use crate::certificates::Certificates;
use crate::contracts::{self, Governance, LeafKey};
use crate::custody::can_seal_to;
use crate::engine::{Engine, EngineError};
use crate::membership::new_member;
use crate::statement::ModuleStatement;

const NETWORK_ROOT_DOMAIN: &str = "sealbook 2026 network root v3";

/// How many envelopes each carrier brought in one block, and how many of them did not open.
pub struct Carried {
    carriers: Vec<VerifyingKey>,
    counts: BTreeMap<VerifyingKey, (u32, u32)>,
    unopened: u32,
}

impl Carried {
    /// Counts one envelope. The carrier's signature is not verified here: validators do so before they vote for a
    /// block, and the module trusts the finality of blocks for it, as it does for their times.
    pub fn count(&mut self, carrier: u16, opened: bool) {
        let unopened = u32::from(!opened);
        self.unopened = self.unopened.saturating_add(unopened);
        if let Some(key) = self.carriers.get(usize::from(carrier)) {
            let (all, closed) = self.counts.entry(*key).or_default();
            *all = all.saturating_add(1);
            *closed = closed.saturating_add(unopened);
        }
    }

    /// How many did not open.
    pub const fn unopened(&self) -> u32 {
        self.unopened
    }

    /// The counts by carrier.
    pub fn counts(&self) -> Vec<(VerifyingKey, u32, u32)> {
        let counts = self.counts.iter();
        counts
            .map(|(key, (all, unopened))| (*key, *all, *unopened))
            .collect()
    }
}

/// Certificates that are to be taken as revoked.
#[derive(Clone, Copy)]
pub struct Without<'a>(pub &'a [Digest]);

/// What governance may ask of the books.
pub struct Books<'a> {
    state: &'a State,
    certificates: &'a Certificates,
    without: Without<'a>,
    roots_of_trust: &'a [CertificateDer<'static>],
    network_name: &'a str,
    network: &'a Digest,
    founding_schema: &'a str,
    time_ms: u64,
}

impl Books<'_> {
    fn principal(&self, chain: &[Vec<u8>]) -> Option<Principal> {
        let chain: Vec<CertificateDer<'_>> = chain
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        verify_chain(
            self.roots_of_trust,
            &chain,
            self.network_name,
            self.time_ms,
            Usage::Member,
        )
        .ok()
    }
}

impl Directory for Books<'_> {
    /// Those whose certificates are valid: others cannot act, so they must not be counted on.
    fn members(&self) -> Vec<(MemberName, String)> {
        let members = self.state.members();
        members
            .filter(|(id, _)| {
                let mut own = self.certificates.of(*id);
                own.any(|(one, row)| row.is_current(self.time_ms) && !self.without.0.contains(one))
            })
            .map(|(_, member)| (member.name, member.role.as_str().to_owned()))
            .collect()
    }

    fn newcomer(&self, chain: &[Vec<u8>]) -> Option<Newcomer> {
        let principal = self.principal(chain)?;
        let newcomer = new_member(&principal)?;
        let by_name = self.state.member_by_name(&newcomer.name);
        let known = self.certificates.find(&principal.fingerprint);
        let is_free = by_name.is_none() && known.is_none();
        let stolen = self.certificates.is_compromised(&principal.key, None);
        (is_free && !stolen).then(|| Newcomer {
            name: newcomer.name,
            role: newcomer.role.as_str().to_owned(),
        })
    }

    /// Tried out with nothing inside: whether it works does not depend on the random part of it.
    fn can_seal_to(&self, module_key: &[u8]) -> bool {
        can_seal_to(module_key)
    }

    fn is_cut_off(&self, vote_key: &VerifyingKey) -> bool {
        self.certificates.is_cut_off(vote_key)
    }

    fn accepts(&self, policies: &Policies) -> bool {
        policies.schema == self.founding_schema
            && PolicySet::load_plain(&policies.schema, &files_of(policies)).is_ok()
    }

    fn runs(&self, contract: &AuthorisedContract) -> bool {
        contracts::runs(contract)
    }

    fn measurement(&self, module_key: &[u8], statement: &[u8]) -> Option<Digest> {
        ModuleStatement::verify(statement, module_key, self.network)
    }
}

fn files_of(policies: &Policies) -> Vec<(&str, &str)> {
    let files = policies.files.iter();
    files
        .map(|file| (file.name.as_str(), file.text.as_str()))
        .collect()
}

impl Engine {
    /// Nothing counted yet, for a block of the present epoch.
    pub(crate) fn carried(&self) -> Carried {
        Carried {
            carriers: self.definition().carriers().copied().collect(),
            counts: BTreeMap::new(),
            unopened: 0,
        }
    }

    pub(crate) fn execute_governance(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        order: &[u8],
    ) -> Outcome {
        let Ok(order) = GovernanceOrder::try_from_slice(order) else {
            return Outcome::refused(Code::Malformed);
        };
        let Some(member) = self.state.member(caller) else {
            return Outcome::refused(Code::NotAMember);
        };
        let caller = Caller {
            name: member.name.as_str(),
            role: member.role.as_str(),
        };
        let directory = Books {
            state: &self.state,
            certificates: &self.certificates,
            without: Without(&[]),
            roots_of_trust: &self.roots_of_trust,
            network_name: &self.genesis.network_name,
            network: &self.network,
            founding_schema: &self.genesis.policy_schema,
            time_ms,
        };
        self.governance.apply(&caller, &order, &directory, time_ms)
    }

    /// What governance may ask of the books, as if some certificates were revoked.
    pub(crate) fn books<'a>(&'a self, time_ms: u64, without: Without<'a>) -> Books<'a> {
        Books {
            state: &self.state,
            certificates: &self.certificates,
            without,
            roots_of_trust: &self.roots_of_trust,
            network_name: &self.genesis.network_name,
            network: &self.network,
            founding_schema: &self.genesis.policy_schema,
            time_ms,
        }
    }

    /// Begins the epoch that the block before defined, and carries out what was decided for it. Who was removed does
    /// not count from here on; governance keeps that list, so the network root covers it.
    pub(crate) fn begin_epoch(&mut self, time_ms: u64) -> Result<(), EngineError> {
        let policies = self.governance.policies().cloned();
        let effects = self.governance.begin_epoch();
        if self.governance.policies() != policies.as_ref() {
            self.take_policies()?;
        }
        for effect in effects {
            match effect {
                Effect::AdmitMember { chain } => self.admit_decided(&chain, time_ms),
                Effect::RemoveMember { .. } => {}
            }
        }
        contracts::check_all_run(&self.definition().parameters.contracts)?;
        self.begin_key_epoch()?;
        self.end_sessions(time_ms);
        Ok(())
    }

    /// From now on the rules of governance decide, if it has decided on any.
    pub(crate) fn take_policies(&mut self) -> Result<(), EngineError> {
        if let Some(policies) = self.governance.policies() {
            self.policies = PolicySet::load(&policies.schema, &files_of(policies))?;
        }
        Ok(())
    }

    /// Ends sessions with their key epoch, in the first block that does not open it any more.
    pub(crate) fn close_sessions(&mut self, time_ms: u64) {
        let definition = self.definition();
        let grace = u64::from(definition.parameters.key_grace_blocks);
        let closes = definition.opening.since_height.saturating_add(grace);
        if self.head.height.saturating_add(1) == closes {
            self.end_sessions(time_ms);
        }
    }

    /// Ends the sessions of those who were removed, of certificates that do not count any more and of key epochs that are
    /// closed.
    pub(crate) fn end_sessions(&mut self, time_ms: u64) {
        let mut sessions = std::mem::take(&mut self.sessions);
        let height = self.head.height.saturating_add(1);
        sessions.end_others(time_ms, |certificate, key_epoch| {
            self.current_member(certificate, time_ms).is_some()
                && self.keys_for(key_epoch, height).is_some()
        });
        self.sessions = sessions;
    }

    fn admit_decided(&mut self, chain: &[Vec<u8>], time_ms: u64) {
        // The certificate may have ended or been revoked since the decision, or the name may have been taken: then nobody
        // comes in.
        let books = self.books(time_ms, Without(&[]));
        if books.newcomer(chain).is_none() {
            return;
        }
        let Some(principal) = books.principal(chain) else {
            return;
        };
        let Some(newcomer) = new_member(&principal) else {
            return;
        };
        if self.state.admit_decided(newcomer).is_accepted() {
            self.note_admission(&principal);
        }
    }

    /// The root over everything that is decided about the network, and over its members' certificates and sessions.
    pub(crate) fn network_root(&self) -> Digest {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        let _: std::io::Result<()> = self.governance.serialize(&mut bytes);
        let key = LeafKey::<Governance>::of(&self.keys.leaf);
        keyed_hash(
            key.key(),
            NETWORK_ROOT_DOMAIN,
            &[
                &bytes,
                self.certificates.digest().as_bytes(),
                self.sessions.digest().as_bytes(),
            ],
        )
    }
}
