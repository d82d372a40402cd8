//! One transaction: opened, its signature verified, its orders judged and applied one after the other.

use std::collections::BTreeMap;

use borsh::BorshDeserialize;
use sealbook_ledger::{Attachment, Block, MAX_ATTACHMENT_BYTES};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::payload::{
    Attachment as HolderAttachment, MAX_ORDERS, OrderBytes, PAYLOAD_VERSION, Reply, Signed,
    TRANSACTION_SIGNATURE, signed_digest,
};
use sealbook_sealing::{Envelope, Purpose, signed_binding};
use sealbook_securities::{
    Action, Authority as _, ClientReference, Code, Instruction, MemberId, Order, Outcome, Relation,
    Status,
};

use crate::contracts::{Contract as _, Securities, contract_of, is_authorised};
use crate::engine::{Brought, Engine, OUTCOME_CONTEXT, seal};
use crate::names::HolderName;
use crate::opened::{Content, Opened, read_signed};
use crate::permissions::Permissions;
use crate::results::{self, Waiting};
use crate::sessions::Refusal;

const CONTENT_DOMAIN: &str = "sealbook 2026 order content v1";

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
    /// A validator, about its own certificate.
    Node,
    /// Nobody that counts at the time of the block.
    Nobody,
}

impl Engine {
    /// Executes one transaction; false if it is not answered. One that does not open, is not signed by who it says, or
    /// comes outside the time in which it is answered, leaves no trace but a count.
    pub(crate) fn execute_transaction(
        &mut self,
        block: &BlockContext<'_>,
        transaction: Opened,
        brought: &mut Brought,
    ) -> bool {
        let Opened {
            id,
            expires_ms,
            key_epoch,
            content,
        } = transaction;
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
        let Some(content) = content else {
            return false;
        };
        let Some(caller) = self.author(&content, block.time_ms) else {
            return false;
        };
        // Of two envelopes under one counter, the first counts. What nobody signed who counts uses up none.
        if let (Some((session, counter)), Author::Member(_)) = (content.session, caller)
            && !self.sessions.take(&session, counter, block.time_ms)
        {
            return false;
        }
        self.remember(expires_ms, id);
        self.note_sign(&id);
        let Content {
            reply_key,
            orders,
            certificate,
            session,
            ..
        } = content;
        let outcomes = if expires_ms < block.time_ms {
            if let Author::Member(caller) = caller {
                self.refuse_expired(caller, &orders);
            }
            vec![Outcome::refused(Code::Expired)]
        } else {
            match caller {
                Author::Nobody => vec![Outcome::refused(Code::NotAMember)],
                // A sign of life asks for nothing.
                Author::Module(_) if orders.is_empty() => Vec::new(),
                _ if orders.is_empty() || orders.len() > MAX_ORDERS => {
                    vec![Outcome::refused(Code::Malformed)]
                }
                Author::Member(caller) => {
                    // A session follows from a key agreement of its own, not from another session.
                    let opens = session.is_none().then_some((&reply_key, key_epoch));
                    self.execute_of_member(block, (caller, certificate), &orders, opens)
                }
                Author::Node => self.execute_of_node(block.time_ms, &orders),
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

    /// Executes a member's orders; `opens` is what a session would follow from, if the envelope may open one.
    fn execute_of_member(
        &mut self,
        block: &BlockContext<'_>,
        (caller, certificate): (MemberId, Digest),
        orders: &[OrderBytes],
        opens: Option<(&Secret32, u32)>,
    ) -> Vec<Outcome> {
        let read: Vec<_> = orders.iter().map(read_order).collect();
        self.state
            .read_ahead(caller, read.iter().flatten().map(|(order, _)| order));
        orders
            .iter()
            .zip(&read)
            .map(|(order, read)| match (order, opens) {
                (OrderBytes::OpenSession, Some((reply_key, key_epoch))) => {
                    self.open_session(block, reply_key, (certificate, key_epoch))
                }
                _ => self.execute_order(block, (caller, certificate), order, read),
            })
            .collect()
    }

    /// Has the submitter told of each order of the books that its envelope came too late.
    fn refuse_expired(&mut self, caller: MemberId, orders: &[OrderBytes]) {
        if orders.len() > MAX_ORDERS || !self.authorises(Securities::NAME) {
            return;
        }
        for (order, content) in orders.iter().filter_map(read_order) {
            let order = (&order, content.0);
            self.state.refuse(caller, order, Code::Expired);
        }
    }

    /// Who signed a transaction, as things stand now; nothing if the signature is not that of whoever it names.
    fn author(&self, content: &Content, time_ms: u64) -> Option<Author> {
        let (key, author) =
            if let Some((id, key)) = self.current_member(&content.certificate, time_ms) {
                (key, Author::Member(id))
            } else if let Some((key, id)) = self.comes_back(content, time_ms) {
                (key, Author::Member(id))
            } else if let Some(key) = self.speaks_for_node(content, time_ms) {
                (key, Author::Node)
            } else if let Some(key) = self.module_key(&content.certificate) {
                (key, Author::Module(content.certificate))
            } else {
                return Some(Author::Nobody);
            };
        content.is_signed_by(&key).then_some(author)
    }

    /// Opens an envelope of this network and a key epoch that is open at a height.
    pub(crate) fn open_signed(
        &self,
        envelope: &Envelope,
        purpose: Purpose,
        height: u64,
    ) -> Option<Signed> {
        read_signed(&self.open_envelope(envelope, purpose, height)?)
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
        let message = signed_digest(
            &signed_binding(&envelope.header, purpose, &envelope.encapsulated),
            &signed.certificate,
            &signed.body,
        );
        key.verify(domain, message.as_bytes(), &signed.signature)
            .ok()
    }

    /// Whether the members have authorised a contract, in the version that this engine runs.
    pub(crate) fn authorises(&self, contract: &str) -> bool {
        is_authorised(contract, &self.definition().parameters.contracts)
    }

    fn execute_order(
        &mut self,
        block: &BlockContext<'_>,
        (caller, certificate): (MemberId, Digest),
        order: &OrderBytes,
        read: &Option<(Order, Digest)>,
    ) -> Outcome {
        if contract_of(order).is_some_and(|contract| !self.authorises(contract)) {
            return Outcome::refused(Code::NotAuthorised);
        }
        match order {
            OrderBytes::Admit { reference, chain } => {
                self.execute_admit(block.time_ms, caller, reference, chain)
            }
            OrderBytes::Governance(bytes) => self.execute_governance(block.time_ms, caller, bytes),
            OrderBytes::Renew { chain } => self.execute_renew(block.time_ms, caller, chain),
            OrderBytes::Revoke { target, reason } => {
                let at = (block.height, block.time_ms);
                self.execute_revoke(at, caller, target, *reason)
            }
            OrderBytes::Read {
                question,
                disclosed_ms,
            } => self.execute_read((caller, certificate), question, *disclosed_ms),
            OrderBytes::Certify { isin, as_of, key } => {
                self.execute_certify((caller, certificate), isin, *as_of, key)
            }
            OrderBytes::Module(_) | OrderBytes::OpenSession => Outcome::refused(Code::NotPermitted),
            OrderBytes::Securities(_) => match read {
                Some((order, content)) => self.execute_securities(block, caller, order, *content),
                None => Outcome::refused(Code::Malformed),
            },
        }
    }

    /// Every member may have sessions: they change how its envelopes are sealed, not what it may do.
    fn open_session(
        &mut self,
        block: &BlockContext<'_>,
        reply_key: &Secret32,
        of: (Digest, u32),
    ) -> Outcome {
        // An order before this one in the same transaction may have revoked the certificate.
        let Some((caller, _)) = self.current_member(&of.0, block.time_ms) else {
            return Outcome::refused(Code::NotAMember);
        };
        let Self {
            sessions,
            certificates,
            ..
        } = self;
        let is_own = |one: &Digest| {
            let known = certificates.find(one);
            known.is_some_and(|known| known.member == Some(caller))
        };
        match sessions.open(reply_key, of, block.time_ms, is_own) {
            Ok(()) => Outcome::SETTLED,
            Err(Refusal::Twice) => Outcome::refused(Code::Conflict),
            Err(Refusal::Limit) => Outcome::refused(Code::Limit),
        }
    }

    fn execute_securities(
        &mut self,
        block: &BlockContext<'_>,
        caller: MemberId,
        order: &Order,
        content: Digest,
    ) -> Outcome {
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
        let Some(member) = state.member(caller) else {
            return Outcome::refused(Code::NotAMember);
        };
        let (name, role) = (member.name, member.role);
        let permissions = Permissions {
            policies,
            member: name.as_str(),
            role: role.as_str(),
        };
        // An account that exists needs no name any more: a retry is answered as the first time.
        if let Some((account, _)) = named
            && attached.is_none()
            && state.account_by_id(account).is_none()
            && permissions.permits(Action::OpenAccount, Relation::Own)
        {
            return state.refuse(caller, (order, content.0), Code::Malformed);
        }
        let outcome = state.apply(caller, &permissions, order, content.0);
        if let (Status::Settled, Some((account, holder)), Some(attachment)) =
            (outcome.status, named, attached)
            && let Some(name) = self.open_holder(attachment, &holder.commitment, block.height)
            && let Some((index, _)) = self.state.account_by_id(account)
        {
            self.names.add(index, name);
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

/// An order of the securities contract with the digest of its instruction. An order has one encoding only, so the
/// instruction is the bytes after the reference.
fn read_order(order: &OrderBytes) -> Option<(Order, Digest)> {
    let OrderBytes::Securities(bytes) = order else {
        return None;
    };
    let mut rest = bytes.as_slice();
    let reference = ClientReference::deserialize(&mut rest).ok()?;
    let content = hash(CONTENT_DOMAIN, &[rest]);
    let instruction = Instruction::try_from_slice(rest).ok()?;
    let order = Order {
        reference,
        instruction,
    };
    Some((order, content))
}
