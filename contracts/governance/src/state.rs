//! The state: proposals, what is decided, what holds, and how an order passes its checks.
//!
//! ```text
//! apply (orders of a block) -> end_block: expiry, quotas, at the plan height the plan -> take_new_modules
//! begin_epoch, before the first block of an epoch is executed: the plan becomes the present
//! ```
//!
//! INVARIANT: `present` is a definition that passes its checks, `plan` one that may follow it, and `draft` comes to one
//! that may follow the later of the two.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{
    EpochDefinition, Genesis, GovernanceRules, KeyHolder, Recovery, ValidatorSeat, holder_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::{ClientReference, Code, MemberName, Outcome};

use crate::draft::{Decided, Draft, Roll};
use crate::keys::{Entitled, KeyRefusal, Keys, Recipients, Rotation};
use crate::quota::Quotas;
use crate::version::FormatVersion;
use crate::{
    Action, Caller, Change, Directory, GovernanceOrder, GovernanceView, Policies, Proposal,
    ProposalStatus, Voice,
};

/// The most open proposals.
pub const MAX_OPEN: usize = 64;
/// The most open proposals of one member.
pub const MAX_OPEN_PER_MEMBER: usize = 8;
/// The most proposals, open or scheduled, that change the rules of what members may do: their text is kept so long. A member has
/// one of them.
pub const MAX_OPEN_POLICIES: usize = 4;
/// How many blocks after rules of a member were judged, good or not, its next ones are: it is much work.
pub const POLICIES_APART: u64 = 64;
/// The most changes that are decided for one epoch.
pub const MAX_SCHEDULED: usize = 64;
/// How often one member may raise its voice for or against one proposal.
pub const MAX_VOICES: u32 = 8;
/// How many proposals are kept after they ended.
pub const MAX_CLOSED: usize = 256;

/// What the caller has to do when an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Admit the member with these certificates, if they are still good.
    AdmitMember {
        /// DER, leaf first.
        chain: Vec<Vec<u8>>,
    },
    /// The member's orders and questions are refused from now on.
    RemoveMember {
        /// Its name.
        name: MemberName,
    },
}

/// The next epoch, fixed.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
struct Plan {
    definition: EpochDefinition,
    rules: GovernanceRules,
    policies: Option<Policies>,
    decided: Decided,
}

#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
struct Remembered {
    content: Digest,
    outcome: Outcome,
    proposal: u64,
}

/// The state of governance.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct Governance {
    version: FormatVersion,
    present: EpochDefinition,
    rules: GovernanceRules,
    /// What members may do; by genesis, if nothing else was decided.
    policies: Option<Policies>,
    plan: Option<Plan>,
    draft: Draft,
    proposals: BTreeMap<u64, Proposal>,
    last_proposal: u64,
    references: BTreeMap<(MemberName, ClientReference), Remembered>,
    removed: BTreeSet<MemberName>,
    quotas: Quotas,
    new_modules: Vec<Vec<u8>>,
    keys: Keys,
    /// The last block that was ended.
    height: u64,
    /// Whose rules of what members may do were judged, in the block after which height, for so long as it keeps them from having
    /// others judged.
    judged: BTreeMap<MemberName, u64>,
}

impl Governance {
    /// The state of a new network, from its genesis document: its rules, its first epoch, and who holds keys of the
    /// network besides its modules.
    #[must_use]
    pub fn new(
        rules: GovernanceRules,
        first: EpochDefinition,
        auditors: Vec<KeyHolder>,
        recovery: Recovery,
        measurements: Vec<Digest>,
    ) -> Self {
        Self {
            version: FormatVersion,
            draft: Draft::of(&first, rules.clone(), auditors, recovery, measurements),
            present: first,
            rules,
            policies: None,
            plan: None,
            proposals: BTreeMap::new(),
            last_proposal: 0,
            references: BTreeMap::new(),
            removed: BTreeSet::new(),
            quotas: Quotas::default(),
            new_modules: Vec::new(),
            keys: Keys::default(),
            height: 0,
            judged: BTreeMap::new(),
        }
    }

    /// The state that a genesis document begins with.
    #[must_use]
    pub fn founded(genesis: &Genesis) -> Self {
        Self::new(
            genesis.governance.clone(),
            genesis.first_epoch(),
            genesis.audit_recipients.clone(),
            genesis.recovery.clone(),
            genesis.module_measurements.clone(),
        )
    }

    /// Applies one order, in a block of this time (Unix milliseconds).
    ///
    /// Nothing changes unless the outcome is settled or pending, apart from proposals whose time is over, from an
    /// approval that decides a proposal in conflict: it is answered `conflict`, and the proposal fails; and from whose rules
    /// were judged last.
    pub fn apply(
        &mut self,
        caller: &Caller<'_>,
        order: &GovernanceOrder,
        directory: &dyn Directory,
        time_ms: u64,
    ) -> Outcome {
        self.expire(time_ms);
        let outcome = self.attempt(caller, order, directory, time_ms);
        outcome.unwrap_or_else(Outcome::refused)
    }

    fn attempt(
        &mut self,
        caller: &Caller<'_>,
        order: &GovernanceOrder,
        directory: &dyn Directory,
        time_ms: u64,
    ) -> Result<Outcome, Code> {
        let name = MemberName::new(caller.name).map_err(|_| Code::NotAMember)?;
        if self.removed.contains(&name) {
            return Err(Code::NotAMember);
        }
        if !self.is_elector(caller.role) {
            return Err(Code::NotPermitted);
        }
        if let Action::Propose { change } = &order.action {
            change.check().map_err(|_| Code::Malformed)?;
        }
        let content = order.action.content();
        let key = (name, order.reference);
        if let Some(remembered) = self.references.get(&key) {
            return if remembered.content == content {
                Ok(remembered.outcome)
            } else {
                Err(Code::Duplicate)
            };
        }
        let scene = Scene {
            name,
            role: caller.role,
            directory,
            time_ms,
        };
        let (proposal, outcome) = match &order.action {
            Action::Propose { change } => self.propose(&scene, change)?,
            Action::Approve { proposal, digest } => {
                (*proposal, self.approve(&scene, *proposal, digest)?)
            }
            Action::Reject { proposal } => (*proposal, self.reject(&scene, *proposal)?),
            Action::Withdraw { proposal } => (*proposal, self.withdraw(&scene, *proposal)?),
        };
        let remembered = Remembered {
            content,
            outcome,
            proposal,
        };
        self.references.insert(key, remembered);
        Ok(outcome)
    }

    fn propose(&mut self, scene: &Scene<'_>, change: &Change) -> Result<(u64, Outcome), Code> {
        self.check_room()?;
        let is_open = |one: &&Proposal| one.status == ProposalStatus::Open;
        let open = self.proposals.values().filter(is_open);
        let own = open.clone().filter(|one| one.proposer == scene.name);
        let texts = self.proposals.values();
        let texts = texts.filter(|one| one.holds_text());
        let of_own = texts.clone().any(|one| one.proposer == scene.name);
        let sets_policies = matches!(change, Change::SetPolicies(_));
        let judged = self.judged.contains_key(&scene.name);
        if sets_policies && (of_own || judged || texts.count() >= MAX_OPEN_POLICIES) {
            return Err(Code::Limit);
        }
        if open.count() >= MAX_OPEN || own.count() >= MAX_OPEN_PER_MEMBER {
            return Err(Code::Limit);
        }
        // Last, since it may be much work.
        if let Change::SetPolicies(policies) = change {
            if !self.draft.is_replaced_by(policies) {
                return Err(Code::Conflict);
            }
            self.judged.insert(scene.name, self.height);
        }
        self.drafted(change, scene.directory)
            .map_err(|_| Code::Conflict)?;
        let id = self.last_proposal.checked_add(1).ok_or(Code::Limit)?;
        self.last_proposal = id;
        let proposal = Proposal {
            id,
            change: change.clone(),
            digest: change.digest(),
            proposer: scene.name,
            proposed_ms: scene.time_ms,
            expires_ms: scene.time_ms.saturating_add(self.rules.proposal_life_ms),
            voices: BTreeMap::new(),
            status: ProposalStatus::Open,
            decided_ms: None,
        };
        self.proposals.insert(id, proposal);
        self.raise_voice(scene, id, true)?;
        Ok((id, self.decide(scene, id)))
    }

    fn approve(&mut self, scene: &Scene<'_>, id: u64, digest: &Digest) -> Result<Outcome, Code> {
        let proposal = self.open_proposal(id)?;
        if proposal.digest != *digest {
            return Err(Code::OtherChange);
        }
        self.check_room()?;
        self.raise_voice(scene, id, true)?;
        Ok(self.decide(scene, id))
    }

    fn reject(&mut self, scene: &Scene<'_>, id: u64) -> Result<Outcome, Code> {
        self.open_proposal(id)?;
        self.raise_voice(scene, id, false)?;
        let roll = self.roll(scene.directory);
        let electors = roll.values().filter(|role| self.is_elector(role)).count();
        let against = self.count_voices(id, false, &roll);
        if electors.saturating_sub(against) < usize::from(self.rules.approvals) {
            self.close(id, ProposalStatus::Rejected, scene.time_ms);
        }
        Ok(Outcome::SETTLED)
    }

    fn withdraw(&mut self, scene: &Scene<'_>, id: u64) -> Result<Outcome, Code> {
        let proposal = self.open_proposal(id)?;
        if proposal.proposer != scene.name {
            return Err(Code::NotPermitted);
        }
        self.close(id, ProposalStatus::Withdrawn, scene.time_ms);
        Ok(Outcome::SETTLED)
    }

    fn open_proposal(&self, id: u64) -> Result<&Proposal, Code> {
        let proposal = self.proposals.get(&id).ok_or(Code::NotFound)?;
        match proposal.status {
            ProposalStatus::Open => Ok(proposal),
            _ => Err(Code::ProposalClosed),
        }
    }

    /// Whether one more change can be decided for the epoch that the draft is for.
    fn check_room(&self) -> Result<(), Code> {
        if self.draft.decided.proposals.len() >= MAX_SCHEDULED {
            return Err(Code::Limit);
        }
        Ok(())
    }

    fn raise_voice(&mut self, scene: &Scene<'_>, id: u64, approves: bool) -> Result<(), Code> {
        let proposal = self.proposals.get_mut(&id).ok_or(Code::NotFound)?;
        let before = proposal.voices.get(&scene.name);
        let times = before.map_or(0, |voice| voice.times);
        if times >= MAX_VOICES {
            return Err(Code::Limit);
        }
        let voice = Voice {
            approves,
            role: scene.role.to_owned(),
            times: times.saturating_add(1),
        };
        proposal.voices.insert(scene.name, voice);
        Ok(())
    }

    /// Schedules an open proposal if enough electors approve it.
    fn decide(&mut self, scene: &Scene<'_>, id: u64) -> Outcome {
        let roll = self.roll(scene.directory);
        if self.count_voices(id, true, &roll) < usize::from(self.rules.approvals) {
            return Outcome::PENDING;
        }
        let Some(change) = self.proposals.get(&id).map(|one| one.change.clone()) else {
            return Outcome::refused(Code::NotFound);
        };
        match self.drafted(&change, scene.directory) {
            Ok(draft) => {
                let (epoch, height) = {
                    let base = self.base();
                    (
                        base.epoch.saturating_add(1),
                        base.last_height.saturating_add(1),
                    )
                };
                let before = self.recipients();
                self.draft = draft;
                self.draft.decided.proposals.push(id);
                self.note_recipients(&before, matches!(change, Change::RotateKeys { .. }));
                self.new_modules.extend(change.module_key().cloned());
                self.close(
                    id,
                    ProposalStatus::Scheduled { epoch, height },
                    scene.time_ms,
                );
                Outcome::SETTLED
            }
            Err(failure) => {
                self.close(id, ProposalStatus::Failed(failure), scene.time_ms);
                Outcome::refused(Code::Conflict)
            }
        }
    }

    /// To whom the root of the next key epoch is to be handed.
    #[must_use]
    pub fn recipients(&self) -> Recipients {
        self.draft.recipients(self.base())
    }

    /// A new key epoch is wanted if somebody lost what they could open before, or if it was decided; offers that are for
    /// others than those who are to be given the root now are dropped.
    fn note_recipients(&mut self, before: &Recipients, decided: bool) {
        let after = self.recipients();
        let changed = after != *before && self.keys.rotation.is_some();
        if decided || changed || after.end_epoch_of(before) {
            self.keys.want(self.height);
        }
    }

    /// The modules that have a say in the next key epoch: those of validators who vote now and will vote then.
    #[must_use]
    pub fn key_makers(&self) -> BTreeSet<Digest> {
        let coming = self.draft.validator_modules();
        let present = self.present.validators.iter();
        let present = present.map(|seat| holder_digest(&seat.module_key));
        present.filter(|module| coming.contains(module)).collect()
    }

    /// Takes what a module offers for the next key epoch: its name and the digest of its record with the opening key in
    /// it. That the record is for [`Governance::recipients`] is for the caller to check.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed.
    pub fn offer_keys(
        &mut self,
        module: Digest,
        record: Digest,
        public_key: Vec<u8>,
    ) -> Result<(), KeyRefusal> {
        if self.begins_key_epoch() {
            // The recipients are those of the key epoch after the planned one, which has not begun yet.
            return Err(KeyRefusal::NotWanted);
        }
        let entitled = self.entitled();
        self.keys.offer(&entitled, (module, record, public_key))
    }

    /// Counts a module's word that it holds the root of an offer, and that all others were given it.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed.
    pub fn acknowledge_keys(&mut self, module: Digest, record: &Digest) -> Result<(), KeyRefusal> {
        let entitled = self.entitled();
        self.keys.acknowledge(&entitled, module, record)
    }

    fn entitled(&self) -> Entitled {
        Entitled {
            modules: self.key_makers(),
            present: self.present.validators.len(),
            coming: self.draft.validator_modules().len(),
        }
    }

    /// Whether the planned epoch begins a key epoch.
    fn begins_key_epoch(&self) -> bool {
        self.planned()
            .is_some_and(|planned| planned.opening != self.present.opening)
    }

    /// The new key epoch that is wanted, if one is.
    #[must_use]
    pub const fn rotation(&self) -> Option<&Rotation> {
        self.keys.rotation.as_ref()
    }

    /// The draft with one more change.
    fn drafted(&self, change: &Change, directory: &dyn Directory) -> Result<Draft, crate::Failure> {
        // A module that is admitted now would be given the present root, and need the next one in a moment.
        if change.module_key().is_some() && self.begins_key_epoch() {
            return Err(crate::Failure::KeyEpoch);
        }
        let mut roll = self.roll(directory);
        if let Some(plan) = &self.plan {
            plan.decided.project(&mut roll);
        }
        self.draft.with(change, self.base(), roll, directory)
    }

    /// The last epoch that is fixed, after which the draft comes.
    fn base(&self) -> &EpochDefinition {
        let plan = self.plan.as_ref();
        plan.map_or(&self.present, |plan| &plan.definition)
    }

    /// The present members.
    fn roll(&self, directory: &dyn Directory) -> Roll {
        let mut roll: Roll = directory.members().into_iter().collect();
        roll.retain(|name, _| !self.removed.contains(name));
        roll
    }

    fn is_elector(&self, role: &str) -> bool {
        self.rules.electors.iter().any(|one| one == role)
    }

    /// The voices of those who are members and could raise them now.
    fn count_voices(&self, id: u64, approves: bool, roll: &Roll) -> usize {
        let voices = self.proposals.get(&id).map(|one| one.voices.iter());
        let counts = |(name, voice): &(&MemberName, &Voice)| {
            voice.approves == approves && self.is_elector(&voice.role) && roll.contains_key(name)
        };
        voices.map_or(0, |voices| voices.filter(counts).count())
    }

    fn close(&mut self, id: u64, status: ProposalStatus, time_ms: u64) {
        if let Some(proposal) = self.proposals.get_mut(&id) {
            proposal.status = status;
            proposal.decided_ms = Some(time_ms);
            proposal.forget_text();
        }
    }

    fn expire(&mut self, time_ms: u64) {
        for proposal in self.proposals.values_mut() {
            if proposal.status == ProposalStatus::Open && proposal.expires_ms <= time_ms {
                proposal.status = ProposalStatus::Expired;
                proposal.decided_ms = Some(time_ms);
                proposal.forget_text();
            }
        }
    }

    /// Forgets the oldest proposals that ended, with their references.
    fn forget(&mut self) {
        let closed = self.proposals.values().filter(|one| one.status.is_closed());
        let closed: Vec<u64> = closed.map(|one| one.id).collect();
        let surplus = closed.len().saturating_sub(MAX_CLOSED);
        let forgotten: BTreeSet<u64> = closed.into_iter().take(surplus).collect();
        if !forgotten.is_empty() {
            self.proposals.retain(|id, _| !forgotten.contains(id));
            self.references
                .retain(|_, one| !forgotten.contains(&one.proposal));
        }
    }

    /// Ends a block: proposals expire, quotas are judged by what each carrier brought (envelopes carried, and those of
    /// them that did not open), and at the plan height the next epoch is fixed.
    pub fn end_block(&mut self, height: u64, time_ms: u64, carried: &[(VerifyingKey, u32, u32)]) {
        self.expire(time_ms);
        self.height = height;
        self.judged
            .retain(|_, judged| height.saturating_sub(*judged) < POLICIES_APART);
        self.quotas.end_block(carried);
        if self.plan.is_none() && height >= self.present.plan_height() {
            let mut definition = self.draft.definition(&self.present);
            let rotation = self.keys.rotation.as_ref();
            if let Some((record, key)) = rotation.and_then(|one| one.ready.clone()) {
                definition = definition.with_key_epoch(key, record);
                self.keys.rotation = None;
            }
            self.plan = Some(Plan {
                definition,
                rules: self.draft.rules.clone(),
                policies: self.draft.policies.clone(),
                decided: std::mem::take(&mut self.draft.decided),
            });
        }
        self.forget();
    }

    /// The keys of the modules that decisions admitted since this was last asked, with validators or observers. To be
    /// asked after every block, so that the answers are those of the block; they are to be given the network's secrets.
    pub fn take_new_modules(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.new_modules)
    }

    /// The definition of the next epoch, once it is fixed.
    #[must_use]
    pub fn planned(&self) -> Option<&EpochDefinition> {
        self.plan.as_ref().map(|plan| &plan.definition)
    }

    /// Makes the planned epoch the present one, before its first block is executed. Without a plan it does nothing.
    pub fn begin_epoch(&mut self) -> Vec<Effect> {
        let Some(plan) = self.plan.take() else {
            return Vec::new();
        };
        let epoch = plan.definition.epoch;
        if plan.definition.opening != self.present.opening {
            self.keys.began = epoch;
        }
        self.present = plan.definition;
        let every = u64::from(self.present.parameters.key_epochs);
        let due = every > 0 && epoch.saturating_sub(self.keys.began) >= every;
        if due && self.keys.rotation.is_none() {
            self.keys.want(self.height);
        }
        self.rules = plan.rules;
        self.policies = plan.policies;
        for name in &plan.decided.removals {
            self.removed.insert(*name);
            for proposal in self.proposals.values_mut() {
                if proposal.status == ProposalStatus::Open {
                    proposal.voices.remove(name);
                }
            }
        }
        for admission in &plan.decided.admissions {
            self.removed.remove(&admission.name);
        }
        for id in &plan.decided.proposals {
            if let Some(proposal) = self.proposals.get_mut(id) {
                proposal.status = ProposalStatus::Effective { epoch };
                proposal.forget_text();
            }
        }
        let carriers: BTreeSet<VerifyingKey> = self.present.carriers().copied().collect();
        self.quotas.keep(|key| carriers.contains(key));
        plan.decided.effects()
    }

    /// What holds in the present epoch.
    #[must_use]
    pub const fn definition(&self) -> &EpochDefinition {
        &self.present
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &GovernanceRules {
        &self.rules
    }

    /// The rules of what members may do that are in force; nothing if they are those of genesis.
    #[must_use]
    pub const fn policies(&self) -> Option<&Policies> {
        self.policies.as_ref()
    }

    /// The carriers whose quota is cut, ascending by key, with their levels.
    #[must_use]
    pub fn quota_levels(&self) -> Vec<(VerifyingKey, u8)> {
        self.quotas.levels()
    }

    /// The members that were removed, ascending.
    pub fn removed_members(&self) -> impl Iterator<Item = &MemberName> {
        self.removed.iter()
    }

    /// Whether the member of this name was removed.
    #[must_use]
    pub fn is_removed(&self, name: &str) -> bool {
        MemberName::new(name).is_ok_and(|name| self.removed.contains(&name))
    }

    /// How many electors there are, and how many of them must approve: now, and with what is decided for the epochs to
    /// come.
    #[must_use]
    pub fn electors(&self, directory: &dyn Directory) -> [(usize, usize); 3] {
        let count = |roll: &Roll, rules: &GovernanceRules| {
            let is_elector = |role: &&String| rules.electors.contains(role);
            let electors = roll.values().filter(is_elector).count();
            (electors, usize::from(rules.approvals))
        };
        let mut roll = self.roll(directory);
        let present = count(&roll, &self.rules);
        if let Some(plan) = &self.plan {
            plan.decided.project(&mut roll);
        }
        let planned = self.plan.as_ref();
        let planned = planned.map_or(present, |plan| count(&roll, &plan.rules));
        self.draft.decided.project(&mut roll);
        [present, planned, count(&roll, &self.draft.rules)]
    }

    /// Whether members of this role decide, now or by rules that are decided.
    #[must_use]
    pub fn may_decide(&self, role: &str) -> bool {
        let planned = self.plan.as_ref().map(|plan| &plan.rules);
        let all = [Some(&self.rules), planned, Some(&self.draft.rules)];
        let mut rules = all.into_iter().flatten();
        rules.any(|rules| rules.electors.iter().any(|one| one == role))
    }

    /// The chains of members whose admission is decided and has not taken effect.
    pub fn admissions(&self) -> impl Iterator<Item = &[Vec<u8>]> {
        let planned = self.plan.iter().map(|plan| &plan.decided);
        let decided = planned.chain([&self.draft.decided]);
        decided.flat_map(|decided| decided.chains())
    }

    /// The committees that are fixed or decided: the present one, that of the planned epoch, and the one after it.
    #[must_use]
    pub fn committees(&self) -> Vec<&[ValidatorSeat]> {
        let present = self.present.validators.as_slice();
        let planned = self.planned().map(|next| next.validators.as_slice());
        let all = [Some(present), planned, Some(self.draft.validators())];
        all.into_iter().flatten().collect()
    }

    /// Forgets what a member said about open proposals: somebody else may have said it.
    pub fn forget_voices(&mut self, name: &MemberName) {
        for proposal in self.proposals.values_mut() {
            if proposal.status == ProposalStatus::Open {
                proposal.voices.remove(name);
            }
        }
    }

    /// What members see.
    #[must_use]
    pub fn view(&self) -> GovernanceView {
        GovernanceView {
            version: FormatVersion,
            definition: self.present.clone(),
            planned: self.planned().cloned(),
            rules: self.rules.clone(),
            planned_rules: self.plan.as_ref().map(|plan| plan.rules.clone()),
            proposals: self.proposals.values().cloned().collect(),
            quotas: self.quota_levels(),
            removed: self.removed.iter().copied().collect(),
            recipients: self.recipients(),
            rotation: self.keys.rotation.clone(),
            measurements: self.draft.measurements.clone(),
            policies: self.policies.clone(),
            policies_decided: self.draft.policies.clone(),
        }
    }
}

/// Who acts, and in which surroundings.
struct Scene<'a> {
    name: MemberName,
    role: &'a str,
    directory: &'a dyn Directory,
    time_ms: u64,
}
