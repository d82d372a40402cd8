//! One transaction: opened, its signature verified, its orders judged and applied one after the other.

use borsh::BorshDeserialize;
use sealbook_identity::{CertificateDer, Principal, Usage, verify_chain};
use sealbook_ledger::{Attachment, Block, MAX_TRANSACTION_BYTES};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{
    Attachment as HolderAttachment, MAX_ORDERS, OrderBytes, PAYLOAD_VERSION, Reply, Signed, Submission,
    TRANSACTION_SIGNATURE, signed_bytes,
};
use sealbook_sealing::{Envelope, Purpose, binding};
use sealbook_securities::{
    Action, Authority as _, ClientReference, Code, Instruction, LongName, MemberId, NewMember, Order, Outcome, Relation,
    Status,
};

use crate::engine::{Engine, Executed, OUTCOME_CONTEXT, seal};
use crate::permissions::Permissions;

const CONTENT_DOMAIN: &str = "sealbook 2026 order content v1";

/// What came out of an envelope: who signed it and what is asked, or only where to send a refusal.
struct Opened {
    caller: Option<MemberId>,
    submission: Submission,
}

impl Engine {
    /// Executes one transaction. One that does not open, or is not signed by who it says, leaves no trace but a count.
    pub(crate) fn execute_transaction(
        &mut self,
        block: &Block,
        bytes: &[u8],
        executed: &mut Executed,
        waiting: &mut Vec<(Digest, Secret32)>,
    ) {
        let Some((envelope, opened)) = self.open_transaction(bytes) else {
            executed.unopened = executed.unopened.saturating_add(1);
            return;
        };
        let transaction = envelope.digest();
        let expires_ms = envelope.header.expires_ms;
        let time_ms = block.header.time_ms;
        let horizon_ms = time_ms.saturating_add(self.genesis.parameters.expiry_horizon_ms);
        let outcomes = if expires_ms < time_ms {
            vec![Outcome::refused(Code::Expired)]
        } else if expires_ms > horizon_ms {
            vec![Outcome::refused(Code::Malformed)]
        } else if !self.remember(expires_ms, transaction) {
            // A copy: the first one was answered, and the answer stands.
            return;
        } else if let Some(caller) = opened.caller {
            let orders = &opened.submission.orders;
            orders.iter().map(|order| self.execute_order(block, caller, order)).collect()
        } else {
            vec![Outcome::refused(Code::NotAMember)]
        };
        for outcome in &outcomes {
            let slot = match outcome.status {
                Status::Settled => 0,
                Status::Pending => 1,
                Status::Rejected => 2,
                Status::Denied => 3,
            };
            if let Some(count) = executed.outcomes.get_mut(slot) {
                *count = count.saturating_add(1);
            }
        }
        let key = Secret32::new(opened.submission.reply_key);
        let reply = Reply {
            version: PAYLOAD_VERSION,
            height: block.header.height,
            time_ms,
            outcomes: outcomes.iter().map(|o| borsh::to_vec(o).unwrap_or_default()).collect(),
        };
        executed.replies.push(seal(transaction, &key, OUTCOME_CONTEXT, &reply));
        waiting.push((transaction, key));
    }

    fn open_transaction(&self, bytes: &[u8]) -> Option<(Envelope, Opened)> {
        let envelope = Envelope::decode(bytes, MAX_TRANSACTION_BYTES).ok()?;
        let signed = self.open_signed(&envelope, Purpose::Transaction)?;
        let submission = Submission::try_from_slice(&signed.body).ok()?;
        let orders = submission.orders.len();
        if submission.version != PAYLOAD_VERSION || orders == 0 || orders > MAX_ORDERS {
            return None;
        }
        let caller = self.state.member_by_certificate(&signed.certificate.0);
        let caller = match caller {
            Some((id, member)) => {
                let key = VerifyingKey(member.key);
                self.check_signature(&envelope, Purpose::Transaction, &signed, &key)?;
                Some(id)
            }
            None => None,
        };
        Some((envelope, Opened { caller, submission }))
    }

    /// Opens an envelope of this network and key epoch.
    pub(crate) fn open_signed(&self, envelope: &Envelope, purpose: Purpose) -> Option<Signed> {
        if envelope.header.network != self.network || envelope.header.key_epoch != 0 {
            return None;
        }
        let plaintext = self.keys.opening.open(envelope, purpose).ok()?;
        let signed = Signed::try_from_slice(plaintext.expose()).ok()?;
        (signed.version == PAYLOAD_VERSION).then_some(signed)
    }

    /// Verifies a payload's signature with the signer's key.
    pub(crate) fn check_signature(
        &self,
        envelope: &Envelope,
        purpose: Purpose,
        signed: &Signed,
        key: &VerifyingKey,
    ) -> Option<()> {
        let domain = match purpose {
            Purpose::Query => sealbook_protocol::payload::QUERY_SIGNATURE,
            Purpose::Transaction | Purpose::Attachment => TRANSACTION_SIGNATURE,
        };
        let message =
            signed_bytes(&binding(&envelope.header, purpose), &signed.certificate, &signed.body);
        key.verify(domain, &message, &signed.signature).ok()
    }

    fn execute_order(&mut self, block: &Block, caller: MemberId, order: &OrderBytes) -> Outcome {
        match order {
            OrderBytes::Admit { reference, chain } => {
                self.execute_admit(block.header.time_ms, caller, reference, chain)
            }
            OrderBytes::Securities(bytes) => {
                let Ok(order) = Order::try_from_slice(bytes) else {
                    return Outcome::refused(Code::Malformed);
                };
                self.execute_securities(block, caller, &order)
            }
        }
    }

    fn execute_securities(&mut self, block: &Block, caller: MemberId, order: &Order) -> Outcome {
        let content = content_digest(&order.instruction);
        let named = match &order.instruction {
            Instruction::OpenAccount { account, holder } => Some((account, holder)),
            _ => None,
        };
        // Whether an attachment travelled with the block is known for ever from the block's hashes, even after the
        // attachment was erased, so the outcome may depend on it; on the attachment's content it may not.
        let attached = named.and_then(|(_, holder)| {
            block.attachments.iter().find(|found| found.digest().0 == holder.attachment)
        });
        if named.is_some() && attached.is_none() {
            return Outcome::refused(Code::Malformed);
        }
        let Self { state, policies, .. } = self;
        let Some(member) = state.member(caller).cloned() else {
            return Outcome::refused(Code::NotAMember);
        };
        let permissions =
            Permissions { policies, member: member.name.as_str(), role: member.role.as_str() };
        let outcome = state.apply(caller, &permissions, order, content.0);
        if let (Status::Settled, Some((account, holder)), Some(attachment)) =
            (outcome.status, named, attached)
            && let Some(name) = self.open_holder(attachment, &holder.commitment)
            && let Some((index, _)) = self.state.account_by_id(account)
        {
            self.names.insert(index, name);
        }
        outcome
    }

    /// The name in an attachment, if it opens and is the one that was committed to.
    fn open_holder(&self, attachment: &Attachment, commitment: &[u8; 32]) -> Option<String> {
        let envelope = Envelope::decode(attachment.bytes()?, MAX_TRANSACTION_BYTES).ok()?;
        if envelope.header.network != self.network {
            return None;
        }
        let plaintext = self.keys.opening.open(&envelope, Purpose::Attachment).ok()?;
        let holder = HolderAttachment::try_from_slice(plaintext.expose()).ok()?;
        let valid = LongName::new(&holder.holder).is_ok() && holder.commitment().0 == *commitment;
        valid.then_some(holder.holder)
    }

    fn execute_admit(
        &mut self,
        time_ms: u64,
        caller: MemberId,
        reference: &str,
        chain: &[Vec<u8>],
    ) -> Outcome {
        let Ok(reference) = ClientReference::new(reference) else {
            return Outcome::refused(Code::Malformed);
        };
        let certificates: Vec<CertificateDer<'static>> = chain.iter().cloned().map(Into::into).collect();
        let principal = verify_chain(
            &self.roots_of_trust,
            &certificates,
            &self.genesis.network_name,
            time_ms,
            Usage::Member,
        );
        let parts: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let content = hash(CONTENT_DOMAIN, &parts);
        let Self { state, policies, .. } = self;
        let Some(member) = state.member(caller).cloned() else {
            return Outcome::refused(Code::NotAMember);
        };
        let permissions =
            Permissions { policies, member: member.name.as_str(), role: member.role.as_str() };
        if !permissions.permits(Action::AdmitMember, Relation::Own) {
            return Outcome::refused(Code::NotPermitted);
        }
        // A chain that does not verify, or names that no member can have, are malformed input of whoever submits them.
        match principal.ok().and_then(|principal| new_member(&principal)) {
            Some(newcomer) => {
                let order = Some((&reference, content.0));
                state.admit(Some(caller), &permissions, newcomer, order)
            }
            None => Outcome::refused(Code::Malformed),
        }
    }
}

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

fn content_digest(instruction: &Instruction) -> Digest {
    hash(CONTENT_DOMAIN, &[&borsh::to_vec(instruction).unwrap_or_default()])
}
