//! One transaction: opened, its signature verified, its orders judged and applied one after the other.

use std::collections::BTreeMap;

use borsh::BorshDeserialize;
use sealbook_identity::{CertificateDer, Principal, Usage, verify_chain};
use sealbook_ledger::{
    Attachment, Block, MAX_ATTACHMENT_BYTES, MAX_TRANSACTION_BYTES, Transaction,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{
    Attachment as HolderAttachment, MAX_ORDERS, OrderBytes, PAYLOAD_VERSION, Reply, Signed,
    Submission, TRANSACTION_SIGNATURE, signed_bytes,
};
use sealbook_sealing::{Envelope, Purpose, binding};
use sealbook_securities::{
    Action, Authority as _, ClientReference, Code, Instruction, MemberId, NewMember, Order,
    Outcome, Relation, Status,
};
use zeroize::Zeroizing;

use crate::contracts::{contract_of, is_authorised};
use crate::engine::{Brought, Engine, OUTCOME_CONTEXT, seal};
use crate::permissions::Permissions;
use crate::results::{self, Waiting};
use crate::snapshot::content::HolderName;

const CONTENT_DOMAIN: &str = "sealbook 2026 order content v1";
const ADMISSION_DOMAIN: &str = "sealbook 2026 admission content v1";

/// What orders may know of the block that they are in.
pub struct BlockContext<'a> {
    height: u64,
    time_ms: u64,
    attachments: BTreeMap<Digest, &'a Attachment>,
}

impl<'a> BlockContext<'a> {
    /// Hashes every attachment once, however many orders ask for one.
    pub fn of(block: &'a Block) -> Self {
        let attachments = block
            .attachments
            .iter()
            .map(|found| (found.digest(), found))
            .collect();
        Self {
            height: block.header.height,
            time_ms: block.header.time_ms,
            attachments,
        }
    }
}

/// Who signed a transaction.
#[derive(Clone, Copy)]
enum Author {
    Member(MemberId),
    Module(Digest),
    /// Nobody that counts at the time of the block.
    Nobody,
}

/// What came out of an envelope: who signed it and what is asked, or only where to send a refusal.
struct Opened {
    caller: Author,
    reply_key: Secret32,
    orders: Vec<OrderBytes>,
}

impl Engine {
    /// Executes one transaction; false if it is not answered. One that does not open, is not signed by who it says, or
    /// comes outside the time in which it is answered, leaves no trace but a count.
    pub(crate) fn execute_transaction(
        &mut self,
        block: &BlockContext<'_>,
        transaction: &Transaction,
        brought: &mut Brought,
    ) -> bool {
        let Ok(envelope) = Envelope::decode(&transaction.envelope, MAX_TRANSACTION_BYTES) else {
            return false;
        };
        let (id, expires_ms) = (transaction.id(), envelope.header.expires_ms);
        if self.is_remembered(expires_ms, id) {
            // A copy: the first one was answered, and the answer stands.
            return true;
        }
        let (earliest, latest) = self.answerable(block.time_ms);
        // Too early is not answered either: the same envelope may take effect once its time has come, and who was
        // told of a refusal would believe that it never can.
        if !(earliest..=latest).contains(&expires_ms) {
            return false;
        }
        let Some(opened) = self.open_transaction(&envelope, block) else {
            return false;
        };
        self.remember(expires_ms, id);
        self.note_sign(&id);
        let Opened {
            caller,
            reply_key,
            orders,
        } = opened;
        let outcomes = if expires_ms < block.time_ms {
            vec![Outcome::refused(Code::Expired)]
        } else {
            match caller {
                Author::Nobody => vec![Outcome::refused(Code::NotAMember)],
                // A sign of life asks for nothing.
                Author::Module(_) if orders.is_empty() => Vec::new(),
                _ if orders.is_empty() || orders.len() > MAX_ORDERS => {
                    vec![Outcome::refused(Code::Malformed)]
                }
                Author::Member(caller) => orders
                    .iter()
                    .map(|order| self.execute_order(block, caller, order))
                    .collect(),
                Author::Module(module) => orders
                    .iter()
                    .map(|order| match order {
                        OrderBytes::Module(bytes) => self.execute_module_order(module, bytes),
                        _ => Outcome::refused(Code::NotPermitted),
                    })
                    .collect(),
            }
        };
        count(&outcomes, &mut brought.outcomes);
        let reply = Reply {
            version: PAYLOAD_VERSION,
            height: block.height,
            time_ms: block.time_ms,
            outcomes: outcomes
                .iter()
                .map(|o| borsh::to_vec(o).unwrap_or_default())
                .collect(),
        };
        brought
            .replies
            .push(seal(id, &reply_key, OUTCOME_CONTEXT, &reply));
        brought.waiting.push(Waiting {
            transaction: id,
            reply_key,
            leaf: results::leaf(&self.keys.outcome, &id, &reply.outcomes),
        });
        true
    }

    fn open_transaction(&self, envelope: &Envelope, block: &BlockContext<'_>) -> Option<Opened> {
        let mut signed = self.open_signed(envelope, Purpose::Transaction, block.height)?;
        let submission = Submission::try_from_slice(&signed.body).ok()?;
        let reply_key = Secret32::new(submission.reply_key);
        if submission.version != PAYLOAD_VERSION {
            return None;
        }
        let purpose = Purpose::Transaction;
        let caller =
            if let Some((id, member)) = self.current_member(&signed.certificate, block.time_ms) {
                let key = VerifyingKey(member.key);
                self.check_signature(envelope, purpose, &signed, &key)?;
                Author::Member(id)
            } else if let Some(key) = self.module_key(&signed.certificate) {
                self.check_signature(envelope, purpose, &signed, &key)?;
                Author::Module(signed.certificate)
            } else {
                Author::Nobody
            };
        drop(Zeroizing::new(std::mem::take(&mut signed.body)));
        Some(Opened {
            caller,
            reply_key,
            orders: submission.orders,
        })
    }

    /// Opens an envelope of this network and a key epoch that is open at a height.
    pub(crate) fn open_signed(
        &self,
        envelope: &Envelope,
        purpose: Purpose,
        height: u64,
    ) -> Option<Signed> {
        let plaintext = self.open_envelope(envelope, purpose, height)?;
        let signed = Signed::try_from_slice(plaintext.expose()).ok()?;
        (signed.version == PAYLOAD_VERSION).then_some(signed)
    }

    fn open_envelope(
        &self,
        envelope: &Envelope,
        purpose: Purpose,
        height: u64,
    ) -> Option<SecretBytes> {
        if envelope.header.network != self.network {
            return None;
        }
        let keys = self.keys_for(envelope.header.key_epoch, height)?;
        keys.opening.open(envelope, purpose).ok()
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
        let message = signed_bytes(
            &binding(&envelope.header, purpose),
            &signed.certificate,
            &signed.body,
        );
        key.verify(domain, &message, &signed.signature).ok()
    }

    /// Whether the members have authorised a contract, in the version that this engine runs.
    pub(crate) fn authorises(&self, contract: &str) -> bool {
        is_authorised(contract, &self.definition().parameters.contracts)
    }

    fn execute_order(
        &mut self,
        block: &BlockContext<'_>,
        caller: MemberId,
        order: &OrderBytes,
    ) -> Outcome {
        // Before anything of the order is read.
        if contract_of(order).is_some_and(|contract| !self.authorises(contract)) {
            return Outcome::refused(Code::NotAuthorised);
        }
        match order {
            OrderBytes::Admit { reference, chain } => {
                self.execute_admit(block.time_ms, caller, reference, chain)
            }
            OrderBytes::Governance(bytes) => self.execute_governance(block.time_ms, caller, bytes),
            OrderBytes::Module(_) => Outcome::refused(Code::NotPermitted),
            OrderBytes::Securities(bytes) => {
                let Ok(order) = Order::try_from_slice(bytes) else {
                    return Outcome::refused(Code::Malformed);
                };
                self.execute_securities(block, caller, &order)
            }
        }
    }

    fn execute_securities(
        &mut self,
        block: &BlockContext<'_>,
        caller: MemberId,
        order: &Order,
    ) -> Outcome {
        let content = content_digest(&order.instruction);
        let named = match &order.instruction {
            Instruction::OpenAccount { account, holder } => Some((account, holder)),
            _ => None,
        };
        // Whether an attachment travelled with the block is known for ever from the block's hashes, even after the
        // attachment was erased, so the outcome may depend on it; on the attachment's content it may not.
        let attached = named
            .and_then(|(_, holder)| block.attachments.get(&Digest(holder.attachment)).copied());
        let Self {
            state, policies, ..
        } = self;
        let Some(member) = state.member(caller).cloned() else {
            return Outcome::refused(Code::NotAMember);
        };
        let permissions = Permissions {
            policies,
            member: member.name.as_str(),
            role: member.role.as_str(),
        };
        // An account that exists needs no name any more: a retry is answered as the first time.
        if let Some((account, _)) = named
            && attached.is_none()
            && state.account_by_id(account).is_none()
            && permissions.permits(Action::OpenAccount, Relation::Own)
        {
            return Outcome::refused(Code::Malformed);
        }
        let outcome = state.apply(caller, &permissions, order, content.0);
        if let (Status::Settled, Some((account, holder)), Some(attachment)) =
            (outcome.status, named, attached)
            && let Some(name) = self.open_holder(attachment, &holder.commitment, block.height)
            && let Some((index, _)) = self.state.account_by_id(account)
        {
            self.names.insert(index, name);
        }
        outcome
    }

    /// The name in an attachment, if it opens and is the one that was committed to.
    fn open_holder(
        &self,
        attachment: &Attachment,
        commitment: &[u8; 32],
        height: u64,
    ) -> Option<HolderName> {
        let envelope = Envelope::decode(attachment.bytes()?, MAX_ATTACHMENT_BYTES).ok()?;
        let plaintext = self.open_envelope(&envelope, Purpose::Attachment, height)?;
        let content = HolderAttachment::try_from_slice(plaintext.expose()).ok()?;
        let name = HolderName {
            blinding: content.blinding,
            holder: content.holder,
        };
        (content.version == PAYLOAD_VERSION && name.is_of(commitment)).then_some(name)
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
        let Self {
            state,
            policies,
            genesis,
            roots_of_trust,
            ..
        } = self;
        let Some(member) = state.member(caller).cloned() else {
            return Outcome::refused(Code::NotAMember);
        };
        let permissions = Permissions {
            policies,
            member: member.name.as_str(),
            role: member.role.as_str(),
        };
        if !permissions.permits(Action::AdmitMember, Relation::Own) {
            return Outcome::refused(Code::NotPermitted);
        }
        // A chain that does not verify, or names that no member can have, are malformed input of whoever submits them.
        let certificates: Vec<CertificateDer<'_>> = chain
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let principal = verify_chain(
            roots_of_trust,
            &certificates,
            &genesis.network_name,
            time_ms,
            Usage::Member,
        );
        let Ok(principal) = principal else {
            return Outcome::refused(Code::Malformed);
        };
        let Some(newcomer) = new_member(&principal) else {
            return Outcome::refused(Code::Malformed);
        };
        let parts: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let content = hash(ADMISSION_DOMAIN, &parts);
        let outcome = state.admit(
            Some(caller),
            &permissions,
            newcomer,
            Some((&reference, content.0)),
        );
        if outcome.is_accepted() {
            self.note_certificate(&principal);
        }
        outcome
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

/// Adds outcomes to the counts of settled, pending, rejected and denied ones.
fn count(outcomes: &[Outcome], counts: &mut [u64; 4]) {
    for outcome in outcomes {
        let slot = match outcome.status {
            Status::Settled => 0,
            Status::Pending => 1,
            Status::Rejected => 2,
            Status::Denied => 3,
        };
        if let Some(count) = counts.get_mut(slot) {
            *count = count.saturating_add(1);
        }
    }
}

fn content_digest(instruction: &Instruction) -> Digest {
    hash(
        CONTENT_DOMAIN,
        &[&borsh::to_vec(instruction).unwrap_or_default()],
    )
}
