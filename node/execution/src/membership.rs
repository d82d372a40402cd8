//! Members and their certificates, as orders change them: admission, renewal, revocation. docs/GOVERNANCE.md, section 6,
//! has the rules.

use std::collections::BTreeSet;

use sealbook_identity::{
    CertificateDer, Principal, RevocationReason, Role, Usage, claimed_key, fingerprint,
    verify_chain, verify_chain_in_its_time,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{OrderBytes, RevocationTarget};
use sealbook_securities::{
    Action, Authority as _, ClientReference, Code, MemberId, MemberName, NewMember, Outcome,
    Relation,
};

use crate::certificates::{CURRENT_MAX, Certificate, Revocation};
use crate::engine::Engine;
use crate::network::Without;
use crate::opened::Content;
use crate::permissions::Permissions;

const ADMISSION_DOMAIN: &str = "sealbook 2026 admission content v1";

/// What the contract keeps of a certified principal; nothing if its names are no member's, or its key is one for which
/// others can make signatures.
pub fn new_member(principal: &Principal) -> Option<NewMember> {
    principal.key.refuse_weak().ok()?;
    NewMember::parse(
        &principal.name,
        &principal.role.to_string(),
        &principal.organisation,
        principal.lei.as_ref().map(|lei| lei.as_str()),
        principal.fingerprint.0,
        principal.key.0,
    )
    .ok()
}

fn read(chain: &[Vec<u8>]) -> Vec<CertificateDer<'_>> {
    chain
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect()
}

/// The chain in a transaction that does nothing but renew its signer, under that chain's own certificate, and the key that it
/// claims; nothing of it is verified.
fn renews_only_itself(content: &Content) -> Option<(&[Vec<u8>], VerifyingKey)> {
    let [OrderBytes::Renew { chain }] = content.orders.as_slice() else {
        return None;
    };
    let leaf = CertificateDer::from(chain.first()?.as_slice());
    let is_own = content.session.is_none() && fingerprint(&leaf) == content.certificate;
    let key = claimed_key(&leaf).filter(|_| is_own)?;
    Some((chain, key))
}

impl Engine {
    /// Whose chain this is, if it is good at this time.
    fn principal(&self, chain: &[Vec<u8>], time_ms: u64, usage: Usage) -> Option<Principal> {
        verify_chain(
            &self.roots_of_trust,
            &read(chain),
            &self.genesis.network_name,
            time_ms,
            usage,
        )
        .ok()
    }

    /// Whether the caller may do this.
    fn allows(&self, caller: MemberId, action: Action, relation: Relation) -> Result<(), Code> {
        let member = self.state.member(caller).ok_or(Code::NotAMember)?;
        let permissions = Permissions {
            policies: &self.policies,
            member: member.name.as_str(),
            role: member.role.as_str(),
        };
        if permissions.permits(action, relation) {
            Ok(())
        } else {
            Err(Code::NotPermitted)
        }
    }

    pub(crate) fn execute_admit(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        reference: &str,
        chain: &[Vec<u8>],
    ) -> Outcome {
        let attempt = self.attempt_admission(time_ms, caller, reference, chain);
        attempt.unwrap_or_else(Outcome::refused)
    }

    fn attempt_admission(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        reference: &str,
        chain: &[Vec<u8>],
    ) -> Result<Outcome, Code> {
        let reference = ClientReference::new(reference).map_err(|_| Code::Malformed)?;
        self.allows(caller, Action::AdmitMember, Relation::Own)?;
        // A chain that does not verify, or names that no member can have, are malformed input of whoever submits them.
        let principal = self
            .principal(chain, time_ms, Usage::Member)
            .ok_or(Code::Malformed)?;
        let newcomer = new_member(&principal).ok_or(Code::Malformed)?;
        // Those that members were admitted under, the books know.
        let in_books = self.state.member_by_certificate(&newcomer.certificate);
        if in_books.is_none() {
            if self.certificates.find(&principal.fingerprint).is_some() {
                return Err(Code::Taken);
            }
            if self.certificates.is_compromised(&principal.key, None) {
                return Err(Code::Conflict);
            }
        }
        let parts: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let content = hash(ADMISSION_DOMAIN, &parts);
        let Self {
            state, policies, ..
        } = self;
        let member = state.member(caller).cloned().ok_or(Code::NotAMember)?;
        let permissions = Permissions {
            policies,
            member: member.name.as_str(),
            role: member.role.as_str(),
        };
        let order = Some((&reference, content.0));
        let outcome = state.admit(Some(caller), &permissions, newcomer, order);
        if outcome.is_accepted() {
            self.note_admission(&principal);
        }
        Ok(outcome)
    }

    /// Notes the certificate of a member that was just admitted.
    pub(crate) fn note_admission(&mut self, principal: &Principal) {
        if let Some((id, _)) = self.state.member_by_certificate(&principal.fingerprint.0)
            && self.certificates.find(&principal.fingerprint).is_none()
        {
            self.add_certificate(id, principal);
        }
    }

    fn add_certificate(&mut self, member: MemberId, principal: &Principal) {
        let certificate = Certificate {
            member: Some(member),
            is_node: false,
            key: principal.key,
            ends_ms: principal.not_after_ms,
            revoked: None,
        };
        self.certificates.add(principal.fingerprint, certificate);
    }

    /// Who submits a transaction that does nothing but renew its signer, under the new certificate: a member of whose
    /// certificates none counts any more, for the key of the one that ended last. So it comes back by itself.
    ///
    /// What costs little is looked at first: anybody may send this.
    pub(crate) fn comes_back(
        &self,
        content: &Content,
        time_ms: u64,
    ) -> Option<(VerifyingKey, MemberId)> {
        let (chain, key) = renews_only_itself(content)?;
        let mut known = self.certificates.of_key(&key);
        if !known.any(|(_, one)| one.member.is_some()) || !content.is_signed_by(&key) {
            return None;
        }
        let principal = self.principal(chain, time_ms, Usage::Member)?;
        let name = MemberName::new(&principal.name).ok()?;
        let (member, _) = self.state.member_by_name(&name)?;
        let own: Vec<&Certificate> = self.certificates.of(member).map(|(_, one)| one).collect();
        let unrevoked = own.iter().filter(|one| one.revoked.is_none());
        let latest = unrevoked.map(|one| one.ends_ms).max()?;
        let is_latest = |one: &&Certificate| one.key == key && one.ends_ms == latest;
        let good = own.iter().all(|one| !one.is_current(time_ms))
            && own.iter().copied().any(|one| is_latest(&one))
            // Under a key of which a certificate was revoked, nobody comes back by itself.
            && own.iter().all(|one| one.key != key || one.revoked.is_none())
            && !self.certificates.is_compromised(&key, Some(member))
            && !self.governance.is_removed(name.as_str());
        good.then_some((key, member))
    }

    pub(crate) fn execute_renew(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        chain: &[Vec<u8>],
    ) -> Outcome {
        match self.attempt_renewal(time_ms, caller, chain) {
            Ok(()) => Outcome::SETTLED,
            Err(code) => Outcome::refused(code),
        }
    }

    fn attempt_renewal(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        chain: &[Vec<u8>],
    ) -> Result<(), Code> {
        // Whoever may renew nobody is refused before anything is verified for it.
        self.allows(caller, Action::RenewCertificate, Relation::Own)
            .or_else(|_| self.allows(caller, Action::RenewCertificate, Relation::Other))?;
        let principal = self
            .principal(chain, time_ms, Usage::Any)
            .ok_or(Code::Malformed)?;
        if principal.role == Role::Node {
            // A node speaks for itself.
            return Err(Code::NotPermitted);
        }
        let renewed = new_member(&principal).ok_or(Code::Malformed)?;
        let found = self.state.member_by_name(&renewed.name);
        let relation = match found {
            Some((id, _)) if id == caller => Relation::Own,
            _ => Relation::Other,
        };
        self.allows(caller, Action::RenewCertificate, relation)?;
        let (id, member) = found.ok_or(Code::NotFound)?;
        let same = (member.role, &member.organisation, member.lei)
            == (renewed.role, &renewed.organisation, renewed.lei);
        if let Some(known) = self.certificates.find(&principal.fingerprint) {
            let is_done = known.member == Some(id) && known.revoked.is_none();
            return if is_done { Ok(()) } else { Err(Code::Taken) };
        }
        if !same
            || self.governance.is_removed(renewed.name.as_str())
            || self.certificates.is_compromised(&principal.key, Some(id))
        {
            return Err(Code::Conflict);
        }
        let current = self.certificates.of(id);
        let current = current.filter(|(_, one)| one.is_current(time_ms)).count();
        if current >= CURRENT_MAX {
            return Err(Code::Limit);
        }
        self.add_certificate(id, &principal);
        Ok(())
    }

    /// The key under which a transaction says, and says no more, that a node has another certificate. Nobody but the
    /// holder of the node's key can say which it uses.
    pub(crate) fn speaks_for_node(&self, content: &Content, time_ms: u64) -> Option<VerifyingKey> {
        let (chain, key) = renews_only_itself(content)?;
        let committees = self.governance.committees();
        let mut seats = committees.into_iter().flatten();
        if !seats.any(|seat| seat.vote_key == key) || !content.is_signed_by(&key) {
            return None;
        }
        self.principal(chain, time_ms, Usage::Node).map(|_| key)
    }

    /// What a node says.
    pub(crate) fn execute_of_node(&mut self, time_ms: u64, orders: &[OrderBytes]) -> Vec<Outcome> {
        let one = |order: &OrderBytes| {
            let OrderBytes::Renew { chain } = order else {
                return Err(Code::NotPermitted);
            };
            let principal = self.principal(chain, time_ms, Usage::Node);
            self.renew_node(&principal.ok_or(Code::Malformed)?)
        };
        let done = orders.iter().map(one);
        done.map(|done| done.map_or_else(Outcome::refused, |()| Outcome::SETTLED))
            .collect()
    }

    /// Notes that a node has another certificate, so that it counts no more as cut off.
    fn renew_node(&mut self, principal: &Principal) -> Result<(), Code> {
        if let Some(known) = self.certificates.find(&principal.fingerprint) {
            return if known.revoked.is_none() {
                Ok(())
            } else {
                Err(Code::Taken)
            };
        }
        if self.certificates.is_compromised(&principal.key, None) {
            return Err(Code::Conflict);
        }
        let certificate = Certificate {
            member: None,
            is_node: true,
            key: principal.key,
            ends_ms: principal.not_after_ms,
            revoked: None,
        };
        self.certificates.add(principal.fingerprint, certificate);
        Ok(())
    }

    pub(crate) fn execute_revoke(
        &mut self,
        (height, time_ms): (u64, u64),
        caller: MemberId,
        target: &RevocationTarget,
        reason: u8,
    ) -> Outcome {
        match self.attempt_revocation((height, time_ms), caller, target, reason) {
            Ok(()) => Outcome::SETTLED,
            Err(code) => Outcome::refused(code),
        }
    }

    fn attempt_revocation(
        &mut self,
        (height, time_ms): (u64, u64),
        caller: MemberId,
        target: &RevocationTarget,
        reason: u8,
    ) -> Result<(), Code> {
        let known = RevocationReason::from_code(reason);
        if !known.is_some_and(|reason| RevocationReason::OF_HOLDERS.contains(&reason)) {
            return Err(Code::Malformed);
        }
        let (named, unknown, by_other) = match target {
            RevocationTarget::Member(name) => {
                let name = MemberName::new(name).map_err(|_| Code::Malformed)?;
                let found = self.state.member_by_name(&name).map(|(id, _)| id);
                let by_other = self.allows_revocation(caller, found)?;
                let id = found.ok_or(Code::NotFound)?;
                let own = self.certificates.of(id).map(|(one, _)| *one);
                (own.collect(), None, by_other)
            }
            RevocationTarget::Certificate(chain) => {
                // Whoever may revoke nothing is refused before anything is verified for it.
                self.allows(caller, Action::RevokeCertificate, Relation::Own)
                    .or_else(|_| self.allows(caller, Action::RevokeCertificate, Relation::Other))?;
                let principal = verify_chain_in_its_time(
                    &self.roots_of_trust,
                    &read(chain),
                    &self.genesis.network_name,
                    time_ms,
                    Usage::Any,
                )
                .map_err(|_| Code::Malformed)?;
                let known = self.certificates.find(&principal.fingerprint);
                let by_other = self.allows_revocation(caller, known.and_then(|one| one.member))?;
                let unknown = known.is_none().then_some(principal.clone());
                (vec![principal.fingerprint], unknown, by_other)
            }
        };
        let revocation = Revocation {
            height,
            reason,
            by_other,
        };
        let concerned = self.concerned(named, unknown.as_ref(), caller, revocation);
        let ending: Vec<Digest> = concerned
            .iter()
            .filter(|one| {
                let row = self.certificates.find(one);
                row.is_some_and(|row| row.revoked.is_none())
            })
            .copied()
            .collect();
        self.check_admissions(&concerned, unknown.as_ref(), revocation)?;
        self.check_electors(&ending, time_ms)?;
        self.check_nodes(&ending, unknown.as_ref())?;
        if let Some(principal) = unknown {
            let certificate = Certificate {
                member: None,
                is_node: principal.role == Role::Node,
                key: principal.key,
                ends_ms: principal.not_after_ms,
                revoked: Some(revocation),
            };
            self.certificates.add(principal.fingerprint, certificate);
        }
        for one in &concerned {
            self.certificates.revoke(one, revocation);
        }
        self.sessions.end_of(&ending);
        self.forget_voices(&concerned, revocation, time_ms);
        Ok(())
    }

    /// The certificates of the ledger that a revocation is about: those that are named, and, where the key is no longer its
    /// holder's alone, all for the same keys; of these the holder itself can only name its own.
    fn concerned(
        &self,
        named: Vec<Digest>,
        unknown: Option<&Principal>,
        caller: MemberId,
        revocation: Revocation,
    ) -> BTreeSet<Digest> {
        let mut all: BTreeSet<Digest> = named.into_iter().collect();
        if revocation.is_of_key() {
            let rows = all.iter().filter_map(|one| self.certificates.find(one));
            let mut keys: BTreeSet<VerifyingKey> = rows.map(|row| row.key).collect();
            keys.extend(unknown.map(|principal| principal.key));
            for key in keys {
                let same = self.certificates.of_key(&key);
                let may = |row: &Certificate| revocation.by_other || row.member == Some(caller);
                all.extend(same.filter(|(_, row)| may(row)).map(|(one, _)| *one));
            }
        }
        all
    }

    /// Whether the caller may revoke what is this member's; whether that is somebody other than the caller.
    fn allows_revocation(&self, caller: MemberId, whose: Option<MemberId>) -> Result<bool, Code> {
        let by_other = whose != Some(caller);
        let relation = if by_other {
            Relation::Other
        } else {
            Relation::Own
        };
        self.allows(caller, Action::RevokeCertificate, relation)?;
        Ok(by_other)
    }

    /// Refuses to cut off more validators than may fail, of any committee that is fixed or decided: one admin alone must
    /// not be able to stop the network.
    fn check_nodes(&self, ending: &[Digest], unknown: Option<&Principal>) -> Result<(), Code> {
        let rows = ending
            .iter()
            .filter_map(|one| self.certificates.find(one))
            .filter(|row| row.is_node);
        let mut keys: BTreeSet<VerifyingKey> = rows.map(|row| row.key).collect();
        let node = unknown.filter(|principal| principal.role == Role::Node);
        keys.extend(node.map(|principal| principal.key));
        if keys.is_empty() {
            return Ok(());
        }
        // A node of which the ledger knows another certificate goes on under that.
        let goes_on = |key: &VerifyingKey| {
            let mut nodes = self.certificates.of_key(key).filter(|(_, row)| row.is_node);
            nodes.any(|(one, row)| row.revoked.is_none() && !ending.contains(one))
        };
        keys.retain(|key| !goes_on(key));
        for seats in self.governance.committees() {
            let cut = |key: &VerifyingKey| keys.contains(key) || self.certificates.is_cut_off(key);
            let count = seats.iter().filter(|seat| cut(&seat.vote_key)).count();
            let concerned = seats.iter().any(|seat| keys.contains(&seat.vote_key));
            if concerned && count > seats.len().saturating_sub(1) / 3 {
                return Err(Code::Conflict);
            }
        }
        Ok(())
    }

    /// Refuses to revoke what would keep out somebody whose admission is decided: decisions count on it, and it is revoked
    /// once it has come.
    fn check_admissions(
        &self,
        concerned: &BTreeSet<Digest>,
        unknown: Option<&Principal>,
        revocation: Revocation,
    ) -> Result<(), Code> {
        let rows = concerned
            .iter()
            .filter_map(|one| self.certificates.find(one));
        let mut keys: BTreeSet<VerifyingKey> = rows.map(|row| row.key).collect();
        keys.extend(unknown.map(|principal| principal.key));
        let coming = unknown.map(|principal| principal.fingerprint);
        let mut admissions = self.governance.admissions();
        let is_kept_out = admissions.any(|chain| {
            let leaf = chain
                .first()
                .map(|der| CertificateDer::from(der.as_slice()));
            leaf.is_some_and(|leaf| {
                let stolen = revocation.is_of_key() && revocation.by_other;
                Some(fingerprint(&leaf)) == coming
                    || stolen && claimed_key(&leaf).is_some_and(|key| keys.contains(&key))
            })
        });
        if is_kept_out {
            return Err(Code::Conflict);
        }
        Ok(())
    }

    /// Refuses to revoke so many that nothing could be decided any more, now or once what is decided takes effect.
    fn check_electors(&self, ending: &[Digest], time_ms: u64) -> Result<(), Code> {
        let rows = ending.iter().filter_map(|one| self.certificates.find(one));
        let members = rows.filter_map(|row| self.state.member(row.member?));
        let mut roles = members.map(|member| member.role.as_str());
        if !roles.any(|role| self.governance.may_decide(role)) {
            return Ok(());
        }
        let electors = |without: &[Digest]| {
            let books = self.books(time_ms, Without(without));
            self.governance.electors(&books)
        };
        let (before, after) = (electors(&[]), electors(ending));
        let too_few = |((before, _), (after, approvals)): ((usize, usize), (usize, usize))| {
            after < before && after < approvals
        };
        if before.into_iter().zip(after).any(too_few) {
            return Err(Code::Conflict);
        }
        Ok(())
    }

    /// What was said about open proposals by members of which no certificate counts any more, or whose key is no longer
    /// theirs alone, is not taken for their voice.
    fn forget_voices(
        &mut self,
        concerned: &BTreeSet<Digest>,
        revocation: Revocation,
        time_ms: u64,
    ) {
        let rows = concerned
            .iter()
            .filter_map(|one| self.certificates.find(one));
        let members: BTreeSet<MemberId> = rows.filter_map(|row| row.member).collect();
        for id in members {
            let mut own = self.certificates.of(id);
            let gone = revocation.is_of_key() || !own.any(|(_, one)| one.is_current(time_ms));
            if gone && let Some(member) = self.state.member(id) {
                let name = member.name;
                self.governance.forget_voices(&name);
            }
        }
    }
}
