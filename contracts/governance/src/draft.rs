//! The draft: what will hold in the first epoch that is not fixed yet, if nothing more is decided.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{
    EpochDefinition, GovernanceRules, KeyHolder, MAX_SEATS, ObserverSeat, Parameters, Recovery,
    ValidatorSeat, holder_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_securities::MemberName;

use crate::keys::Recipients;
use crate::{Change, Directory, Effect, Failure, Policies};

/// Members by name, with their roles.
pub(crate) type Roll = BTreeMap<MemberName, String>;

/// A member to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Admission {
    pub(crate) name: MemberName,
    role: String,
    chain: Vec<Vec<u8>>,
}

/// What changes about the members when an epoch begins, and by which proposals.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Decided {
    pub(crate) removals: Vec<MemberName>,
    pub(crate) admissions: Vec<Admission>,
    pub(crate) proposals: Vec<u64>,
}

impl Decided {
    /// Makes the changes to `roll`.
    pub(crate) fn project(&self, roll: &mut Roll) {
        for name in &self.removals {
            roll.remove(name);
        }
        for admission in &self.admissions {
            roll.insert(admission.name, admission.role.clone());
        }
    }

    /// The chains of those who are to be admitted.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &[Vec<u8>]> {
        self.admissions.iter().map(|one| one.chain.as_slice())
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        let removals = self.removals.iter();
        let removals = removals.map(|name| Effect::RemoveMember { name: *name });
        let admissions = self.admissions.iter().map(|one| Effect::AdmitMember {
            chain: one.chain.clone(),
        });
        removals.chain(admissions).collect()
    }
}

/// Seats, parameters, rules and members of an epoch to come.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Draft {
    validators: Vec<ValidatorSeat>,
    observers: Vec<ObserverSeat>,
    parameters: Parameters,
    pub(crate) rules: GovernanceRules,
    pub(crate) decided: Decided,
    /// Who is handed the next root, besides the modules of the seats.
    pub(crate) auditors: Vec<KeyHolder>,
    pub(crate) recovery: Recovery,
    suite: u8,
    /// Which programs modules to be admitted may run; any if there is none.
    pub(crate) measurements: Vec<Digest>,
    /// The rules that were decided last; those of genesis if none were.
    pub(crate) policies: Option<Policies>,
}

impl Draft {
    pub(crate) fn of(
        definition: &EpochDefinition,
        rules: GovernanceRules,
        auditors: Vec<KeyHolder>,
        recovery: Recovery,
        measurements: Vec<Digest>,
    ) -> Self {
        Self {
            measurements,
            policies: None,
            validators: definition.validators.clone(),
            observers: definition.observers.clone(),
            parameters: definition.parameters.clone(),
            rules,
            decided: Decided::default(),
            auditors,
            recovery,
            suite: definition.opening.suite(),
        }
    }

    /// To whom the root of the key epoch after that of `base` is to be handed.
    pub(crate) fn recipients(&self, base: &EpochDefinition) -> Recipients {
        let validators = self.validators.iter().map(|seat| &seat.module_key);
        let observers = self.observers.iter();
        let observers = observers.filter_map(|seat| seat.module_key.as_ref());
        Recipients {
            key_epoch: base.opening.key_epoch.saturating_add(1),
            suite: self.suite,
            modules: validators.chain(observers).cloned().collect(),
            auditors: self.auditors.clone(),
            recovery: self.recovery.clone(),
        }
    }

    /// The validators to come.
    pub(crate) fn validators(&self) -> &[ValidatorSeat] {
        &self.validators
    }

    /// The modules of the validators to come, by the names that records have for them.
    pub(crate) fn validator_modules(&self) -> BTreeSet<Digest> {
        let validators = self.validators.iter();
        validators
            .map(|seat| holder_digest(&seat.module_key))
            .collect()
    }

    /// The definition of the epoch after `base` that this draft comes to.
    pub(crate) fn definition(&self, base: &EpochDefinition) -> EpochDefinition {
        base.next(
            self.validators.clone(),
            self.observers.clone(),
            self.parameters.clone(),
        )
    }

    /// This draft with one more change. `roll` are the members as they will be when the epoch after `base` begins,
    /// without this draft's own changes.
    pub(crate) fn with(
        &self,
        change: &Change,
        base: &EpochDefinition,
        mut roll: Roll,
        directory: &dyn Directory,
    ) -> Result<Self, Failure> {
        let mut next = self.clone();
        let present: BTreeSet<MemberName> = roll.keys().copied().collect();
        self.decided.project(&mut roll);
        match change {
            Change::AddMember { chain } => {
                let newcomer = directory.newcomer(chain).ok_or(Failure::Certificates)?;
                if roll.contains_key(&newcomer.name) {
                    return Err(Failure::MemberTaken);
                }
                next.decided.admissions.push(Admission {
                    name: newcomer.name,
                    role: newcomer.role,
                    chain: chain.clone(),
                });
            }
            Change::RemoveMember { name } => {
                roll.remove(name).ok_or(Failure::MemberUnknown)?;
                next.remove_member(name, present.contains(name));
                next.check_electors(&roll)?;
            }
            Change::AddValidator(seat, statement) => {
                self.check_module(&seat.module_key, statement, directory)?;
                next.check_free(&seat.name, &seat.vote_key, self.validators.len())?;
                next.validators.push(seat.clone());
            }
            Change::RemoveValidator { name } => {
                let place = self.validators.iter().position(|seat| seat.name == *name);
                next.validators.remove(place.ok_or(Failure::SeatUnknown)?);
                if next.validators.is_empty() {
                    return Err(Failure::LastValidator);
                }
            }
            Change::AddObserver(seat, statement) => {
                if let Some(key) = &seat.module_key {
                    self.check_module(key, statement, directory)?;
                }
                next.check_free(&seat.name, &seat.vote_key, self.observers.len())?;
                next.observers.push(seat.clone());
            }
            Change::RemoveObserver { name } => {
                let place = self.observers.iter().position(|seat| seat.name == *name);
                next.observers.remove(place.ok_or(Failure::SeatUnknown)?);
            }
            Change::MoveNode { name, address } => {
                let found = next.address_mut(name).ok_or(Failure::SeatUnknown)?;
                found.clone_from(address);
            }
            Change::SetParameters(parameters) => {
                // The registry changes by a change of its own: one that was proposed before must not take it back.
                if parameters.contracts != self.parameters.contracts {
                    return Err(Failure::Contract);
                }
                next.parameters = parameters.clone();
            }
            Change::SetRules(rules) => {
                next.rules = rules.clone();
                next.check_electors(&roll)?;
            }
            Change::RotateKeys { suite } => next.suite = suite.unwrap_or(self.suite),
            Change::SetAuditors(auditors) => {
                check_keys(auditors, directory)?;
                next.auditors.clone_from(auditors);
            }
            Change::SetRecovery(recovery) => {
                check_keys(&recovery.holders, directory)?;
                next.recovery = recovery.clone();
            }
            Change::ReplaceModule {
                name,
                module_key,
                statement,
            } => {
                self.check_module(module_key, statement, directory)?;
                next.replace_module(name, module_key)?;
            }
            Change::SetContracts(contracts) => {
                if !contracts.iter().all(|contract| directory.runs(contract)) {
                    return Err(Failure::Contract);
                }
                next.parameters.contracts.clone_from(contracts);
            }
            Change::SetMeasurements(measurements) => next.measurements.clone_from(measurements),
            Change::SetPolicies(policies) => next.set_policies(policies, directory)?,
        }
        check_links(&self.validators, &next.validators, directory)?;
        let definition = next.definition(base);
        definition
            .check_follows(base)
            .map_err(|_| Failure::Definition)?;
        Ok(next)
    }

    /// A module is admitted if secrets can be sealed to it, and if it states that it runs a program that the members
    /// agreed on, where they did.
    fn check_module(
        &self,
        module_key: &[u8],
        statement: &[u8],
        directory: &dyn Directory,
    ) -> Result<(), Failure> {
        if !directory.can_seal_to(module_key) {
            return Err(Failure::ModuleKey);
        }
        if statement.is_empty() && self.measurements.is_empty() {
            return Ok(());
        }
        let stated = directory.measurement(module_key, statement);
        let stated = stated.ok_or(Failure::Measurement)?;
        if self.measurements.is_empty() || self.measurements.contains(&stated) {
            Ok(())
        } else {
            Err(Failure::Measurement)
        }
    }

    /// Whether these are meant to take the place of the rules that were decided last.
    pub(crate) fn is_replaced_by(&self, policies: &Policies) -> bool {
        let last = self.policies.as_ref();
        policies.replaces == last.map_or(Digest::ZERO, Policies::digest)
    }

    fn set_policies(
        &mut self,
        policies: &Policies,
        directory: &dyn Directory,
    ) -> Result<(), Failure> {
        if !self.is_replaced_by(policies) {
            return Err(Failure::OtherPolicies);
        }
        if !directory.accepts(policies) {
            return Err(Failure::Policies);
        }
        self.policies = Some(policies.clone());
        Ok(())
    }

    /// A member who was to be admitted by this draft is not, and one who is there is removed. Somebody can be both: an
    /// `admit-member` order needs no epoch.
    fn remove_member(&mut self, name: &MemberName, present: bool) {
        self.decided.admissions.retain(|one| one.name != *name);
        if present && !self.decided.removals.contains(name) {
            self.decided.removals.push(*name);
        }
    }

    fn check_electors(&self, roll: &Roll) -> Result<(), Failure> {
        let is_elector = |role: &&String| self.rules.electors.contains(role);
        let electors = roll.values().filter(is_elector).count();
        if electors < usize::from(self.rules.approvals) {
            return Err(Failure::ElectorsTooFew);
        }
        Ok(())
    }

    fn check_free(
        &self,
        name: &str,
        key: &sealbook_primitives::signature::VerifyingKey,
        seats: usize,
    ) -> Result<(), Failure> {
        let mut validators = self.validators.iter();
        let mut observers = self.observers.iter();
        if validators.any(|seat| seat.name == name || seat.vote_key == *key)
            || observers.any(|seat| seat.name == name || seat.vote_key == *key)
        {
            return Err(Failure::SeatTaken);
        }
        if seats >= MAX_SEATS {
            return Err(Failure::SeatsFull);
        }
        Ok(())
    }

    fn replace_module(&mut self, name: &str, module_key: &[u8]) -> Result<(), Failure> {
        let module_key = module_key.to_vec();
        let validator = self.validators.iter_mut().find(|seat| seat.name == name);
        if let Some(seat) = validator {
            seat.module_key = module_key;
            return Ok(());
        }
        let observer = self.observers.iter_mut().find(|seat| seat.name == name);
        let observer = observer.filter(|seat| seat.module_key.is_some());
        observer.ok_or(Failure::SeatUnknown)?.module_key = Some(module_key);
        Ok(())
    }

    fn address_mut(&mut self, name: &str) -> Option<&mut String> {
        let validators = self.validators.iter_mut();
        let validators = validators.map(|seat| (&seat.name, &mut seat.address));
        let observers = self.observers.iter_mut();
        let observers = observers.map(|seat| (&seat.name, &mut seat.address));
        let (_, address) = validators.chain(observers).find(|(one, _)| *one == name)?;
        Some(address)
    }
}

fn check_keys(holders: &[KeyHolder], directory: &dyn Directory) -> Result<(), Failure> {
    let good = holders
        .iter()
        .all(|holder| directory.can_seal_to(&holder.key));
    if good {
        Ok(())
    } else {
        Err(Failure::HolderKey)
    }
}

/// Refuses a committee of which more validators are cut off than may fail, unless the one before was no better.
fn check_links(
    before: &[ValidatorSeat],
    after: &[ValidatorSeat],
    directory: &dyn Directory,
) -> Result<(), Failure> {
    let count = |seats: &[ValidatorSeat]| {
        let cut = seats
            .iter()
            .filter(|seat| directory.is_cut_off(&seat.vote_key));
        (cut.count(), seats.len().saturating_sub(1) / 3)
    };
    let ((cut_before, faults_before), (cut, faults)) = (count(before), count(after));
    if cut > faults && (cut > cut_before || faults < faults_before) {
        return Err(Failure::SeatsCutOff);
    }
    Ok(())
}
