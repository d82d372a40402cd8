//! Receipts, and whatever else a member learns later about its own transactions.
//!
//! ```text
//! transaction -> Find: height -> Blocks: envelope, carrier, place      -> encapsulated key or tag -> reply key
//!             -> Await outcome, Await final: opened with the reply key -> outcomes, commitment, way to it
//!             -> Proof: headers that are final                         -> receipt, verified here before anybody gets it
//! ```

use sealbook_ledger::{
    Block, MAX_BLOCK_BYTES, OutcomesProof, Proven, Receipt, ShownOutcome, Transaction, outcome_hash,
};
use sealbook_merkle::log;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::client::{ResponseBody, Stage};
use sealbook_protocol::payload::{FinalNotice, Reply};
use sealbook_sealing::Envelope;
use sealbook_sealing::session::{SESSION_ENVELOPE_VERSION, Tag};

use crate::attempts::{Kind, Problem, Tried};
use crate::client::{Client, Sealed, open};
use crate::{ClientError, session};

/// How long a node may wait for a reply that it should already have.
const LOOK_MS: u32 = 3_000;

/// Which outcomes a receipt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Those of all orders in the transaction.
    All,
    /// That of the order at this place, from 0.
    Order(u32),
}

/// The reply to a transaction, if this member may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnReply {
    /// It opens: the transaction is this member's.
    Own(Reply),
    /// It does not.
    NotOwn,
    /// The node that was asked does not have it.
    Absent,
}

/// A transaction in its block.
struct Listed {
    block: Block,
    place: u64,
    transaction: Transaction,
}

impl Client {
    /// The reply to a transaction, from its envelope alone. Asks one node only, and does not wait.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn own_reply(&mut self, transaction: &Transaction) -> Result<OwnReply, ClientError> {
        let id = transaction.id();
        let Some(key) = self.reply_key(transaction) else {
            return Ok(OwnReply::NotOwn);
        };
        self.persist(|client| match client.try_await(id, Stage::Outcome, 0) {
            Ok(sealed) => Ok(match open(&key, b"outcome", id, &sealed) {
                Ok(reply) => OwnReply::Own(reply),
                Err(_) => OwnReply::NotOwn,
            }),
            Err(problem) if problem.kind == Kind::Later => Ok(OwnReply::Absent),
            Err(problem) => Err(problem),
        })
    }

    fn reply_key(&self, transaction: &Transaction) -> Option<Secret32> {
        let envelope = transaction.envelope();
        let envelope = Envelope::decode(envelope, envelope.len()).ok()?;
        let network = self.network.id();
        if envelope.header.version == SESSION_ENVELOPE_VERSION {
            let replies = self
                .identity
                .session_replies(&network, envelope.header.key_epoch);
            let tag = Tag::try_from(envelope.encapsulated.as_slice()).ok()?;
            return Some(session::reply_key(&replies, &tag));
        }
        Some(self.identity.reply_key(&network, &envelope.encapsulated))
    }

    /// A receipt for a transaction of this member's, with what it proves. It has been verified.
    ///
    /// # Errors
    /// No node knows the transaction, it is another member's, or no node gave a proof in time.
    pub fn receipt(
        &mut self,
        transaction: Digest,
        shown: Shown,
    ) -> Result<(Receipt, Proven), ClientError> {
        let listed = self.persist(|client| client.try_list(transaction))?;
        let key = self.reply_key(&listed.transaction);
        let key = key.ok_or(ClientError::NotOwn)?;
        let height = listed.block.height();
        let reply: Reply = self.own(transaction, Stage::Outcome, &key, b"outcome")?;
        let notice: FinalNotice = self.own(transaction, Stage::Final, &key, b"final")?;
        if reply.height != height || notice.height != height {
            return Err(ClientError::FalseAnswer);
        }
        let outcomes = show(&reply, &notice, shown)?;
        let proof = self.proof(height)?;
        let leaves: Vec<Digest> = listed
            .block
            .transactions
            .iter()
            .map(Transaction::leaf)
            .collect();
        let path = log::prove(&leaves, listed.place).ok_or(ClientError::FalseAnswer)?;
        let receipt = Receipt {
            version: Receipt::VERSION,
            transaction,
            carrier: listed.transaction.carrier,
            signature: listed.transaction.signature,
            place: listed.place,
            count: leaves.len() as u64,
            path,
            commitment: notice.commitment,
            outcomes,
            proof,
        };
        let proven = receipt
            .verify(self.network.genesis())
            .map_err(|_| ClientError::FalseAnswer)?;
        Ok((receipt, proven))
    }

    /// A reply that must open with `key`. Where every node's reply is for somebody else, the transaction is.
    fn own<T: borsh::BorshDeserialize>(
        &mut self,
        transaction: Digest,
        stage: Stage,
        key: &Secret32,
        context: &[u8],
    ) -> Result<T, ClientError> {
        let opened = self.persist(|client| {
            let sealed = client.try_await(transaction, stage, LOOK_MS);
            let sealed = sealed.map_err(|problem| match problem.kind {
                Kind::Later => Problem::unexpected(ResponseBody::Absent),
                _ => problem,
            })?;
            open(key, context, transaction, &sealed)
        });
        opened.map_err(|error| match error {
            ClientError::FalseAnswer => ClientError::NotOwn,
            other => other,
        })
    }

    fn try_list(&mut self, id: Digest) -> Tried<Listed> {
        let height = self.try_find(id)?;
        let height = height.ok_or_else(|| Problem::unexpected(ResponseBody::Absent))?;
        let lie = || Problem::new(Kind::False, "a node gave another block than it found");
        let certified = self.try_blocks(height, 1)?;
        // A node that joined later knows where the transaction is and may not have the block.
        let Some(certified) = certified.first() else {
            return Err(Problem::unexpected(ResponseBody::Absent));
        };
        let block = Block::decode(&certified.block, MAX_BLOCK_BYTES).map_err(|_| lie())?;
        let place = block.transactions.iter().position(|one| one.id() == id);
        let place = place.ok_or_else(lie)?;
        let transaction = block.transactions.get(place).cloned().ok_or_else(lie)?;
        Ok(Listed {
            block,
            place: place as u64,
            transaction,
        })
    }
}

/// The outcomes of a reply with their way to the root that the notice names.
fn show(reply: &Reply, notice: &FinalNotice, shown: Shown) -> Result<OutcomesProof, ClientError> {
    let numbered = || (0_u32..).zip(&reply.outcomes);
    let hashes: Vec<Digest> = numbered()
        .map(|(order, outcome)| outcome_hash(&notice.blinding, order, outcome))
        .collect();
    let chosen: Vec<ShownOutcome> = numbered()
        .filter(|(order, _)| shown == Shown::All || shown == Shown::Order(*order))
        .filter_map(|(order, outcome)| {
            Some(ShownOutcome {
                order,
                path: log::prove(&hashes, u64::from(order))?,
                outcome: outcome.clone(),
            })
        })
        .collect();
    if chosen.is_empty() {
        return Err(ClientError::NoOrder {
            orders: hashes.len(),
        });
    }
    Ok(OutcomesProof {
        place: notice.place,
        path: notice.path.clone(),
        blinding: notice.blinding,
        orders: hashes.len() as u64,
        orders_root: log::root(&hashes),
        shown: chosen,
    })
}

/// The notice that a reply is final.
pub(crate) fn open_notice(sealed: &Sealed, reply: &Reply, notice: &[u8]) -> Tried<FinalNotice> {
    let notice: FinalNotice = open(&sealed.reply_key, b"final", sealed.id, notice)?;
    if notice.height == reply.height {
        Ok(notice)
    } else {
        Err(Problem::false_answer())
    }
}
