//! Members and their certificates, as orders change them: admission, renewal, revocation. docs/GOVERNANCE.md, section 6,
//! has the rules.

use sealbook_identity::{
    CertificateDer, Principal, RevocationReason, Usage, fingerprint, verify_chain,
    verify_chain_in_its_time,
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

impl Engine {
    /// Whose chain this is, if it is good at this time.
    fn principal(&self, chain: &[Vec<u8>], time_ms: u64) -> Option<Principal> {
        verify_chain(
            &self.roots_of_trust,
            &read(chain),
            &self.genesis.network_name,
            time_ms,
            Usage::Member,
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
        let principal = self.principal(chain, time_ms).ok_or(Code::Malformed)?;
        let newcomer = new_member(&principal).ok_or(Code::Malformed)?;
        // Those that members were admitted under, the books know.
        let in_books = self.state.member_by_certificate(&newcomer.certificate);
        if in_books.is_none() && self.certificates.find(&principal.fingerprint).is_some() {
            return Err(Code::Taken);
        }
        if self.certificates.is_compromised(&principal.key) {
            return Err(Code::Conflict);
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
            key: principal.key,
            ends_ms: principal.not_after_ms,
            revoked: None,
        };
        self.certificates.add(principal.fingerprint, certificate);
    }

    /// Who submits a transaction that does nothing but renew its signer, under the new certificate: a member that has
    /// this key already. So one whose certificates have ended comes back by itself.
    pub(crate) fn renews_itself(
        &self,
        content: &Content,
        time_ms: u64,
    ) -> Option<(VerifyingKey, MemberId)> {
        let [OrderBytes::Renew { chain }] = content.orders.as_slice() else {
            return None;
        };
        let leaf = CertificateDer::from(chain.first()?.as_slice());
        if content.session.is_some() || fingerprint(&leaf) != content.certificate {
            return None;
        }
        let principal = self.principal(chain, time_ms)?;
        let name = MemberName::new(&principal.name).ok()?;
        let (member, _) = self.state.member_by_name(&name)?;
        let own = self.certificates.of(member).map(|(_, one)| one);
        let same: Vec<&Certificate> = own.filter(|one| one.key == principal.key).collect();
        // Under a key of which a certificate was revoked, nobody comes back by itself.
        let is_good = !same.is_empty() && same.iter().all(|one| one.revoked.is_none());
        let counts = is_good && !self.governance.is_removed(name.as_str());
        counts.then_some((principal.key, member))
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
        let principal = self.principal(chain, time_ms).ok_or(Code::Malformed)?;
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
            || self.certificates.is_compromised(&principal.key)
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
        let revocation = Revocation { height, reason };
        let revoked = match target {
            RevocationTarget::Member(name) => {
                let name = MemberName::new(name).map_err(|_| Code::Malformed)?;
                let found = self.state.member_by_name(&name).map(|(id, _)| id);
                self.allows_revocation(caller, found)?;
                let id = found.ok_or(Code::NotFound)?;
                self.certificates.of(id).map(|(one, _)| *one).collect()
            }
            RevocationTarget::Certificate(chain) => {
                let principal = verify_chain_in_its_time(
                    &self.roots_of_trust,
                    &read(chain),
                    &self.genesis.network_name,
                    time_ms,
                    Usage::Any,
                )
                .map_err(|_| Code::Malformed)?;
                let known = self.certificates.find(&principal.fingerprint);
                self.allows_revocation(caller, known.and_then(|one| one.member))?;
                if known.is_none() {
                    return self.revoke_unknown(&principal, revocation);
                }
                vec![principal.fingerprint]
            }
        };
        self.check_electors(&revoked, time_ms)?;
        for one in &revoked {
            self.certificates.revoke(one, revocation);
        }
        self.end_sessions(time_ms);
        Ok(())
    }

    fn allows_revocation(&self, caller: MemberId, whose: Option<MemberId>) -> Result<(), Code> {
        let relation = if whose == Some(caller) {
            Relation::Own
        } else {
            Relation::Other
        };
        self.allows(caller, Action::RevokeCertificate, relation)
    }

    /// Revokes a certificate under which nobody was admitted: a node's, or one that shall never come in.
    fn revoke_unknown(
        &mut self,
        principal: &Principal,
        revocation: Revocation,
    ) -> Result<(), Code> {
        let seats = &self.definition().validators;
        let gone: Vec<&VerifyingKey> = self.certificates.revoked_of_nobody().collect();
        let is_gone = |key: &VerifyingKey| *key == principal.key || gone.contains(&key);
        let without = seats.iter().filter(|seat| is_gone(&seat.vote_key)).count();
        let faults = seats.len().saturating_sub(1) / 3;
        // One admin alone must not be able to stop the network.
        if seats.iter().any(|seat| seat.vote_key == principal.key) && without > faults {
            return Err(Code::Conflict);
        }
        let certificate = Certificate {
            member: None,
            key: principal.key,
            ends_ms: principal.not_after_ms,
            revoked: Some(revocation),
        };
        self.certificates.add(principal.fingerprint, certificate);
        Ok(())
    }

    /// Refuses to revoke so many that nothing could be decided any more.
    fn check_electors(&self, revoked: &[Digest], time_ms: u64) -> Result<(), Code> {
        let electors = |without: &[Digest]| {
            let books = self.books(time_ms, Without(without));
            self.governance.electors(&books)
        };
        let (before, after) = (electors(&[]), electors(revoked));
        if after < before && after < self.governance.approvals() {
            return Err(Code::Conflict);
        }
        Ok(())
    }
}
