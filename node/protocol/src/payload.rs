//! What is sealed inside envelopes. The host carries these as ciphertext and has no key to read them.
//!
//! ```text
//! transaction = Signed{ certificate fingerprint, signature, body = Submission }
//! query       = Signed{ certificate fingerprint, signature, body = Query }
//! attachment  = Attachment{ blinding, holder }
//! ```
//!
//! The signature covers a digest of the envelope's header, purpose and encapsulated key (or tag), the certificate and the
//! body, so that a body cannot be moved to another network, key epoch, expiry, purpose, or envelope.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::Commitment;
use sealbook_merkle::log::Proof;
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::Signature;

/// The version of everything here.
pub const PAYLOAD_VERSION: u8 = 1;
/// Version of the queries' layout.
pub const QUERY_VERSION: u8 = 2;
/// Signature domain of transactions.
pub const TRANSACTION_SIGNATURE: &str = "sealbook 2026 transaction signature v2";
/// Signature domain of queries.
pub const QUERY_SIGNATURE: &str = "sealbook 2026 query signature v2";
/// The most orders in one envelope.
pub const MAX_ORDERS: usize = 2_000;
const SIGNED_DOMAIN: &str = "sealbook 2026 signed payload v2";
const HOLDER_DOMAIN: &str = "sealbook 2026 holder commitment v1";

/// A body with its signature.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Signed {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// Fingerprint of the signer's certificate.
    pub certificate: Digest,
    /// Over [`signed_digest`].
    pub signature: Signature,
    /// Encoded [`Submission`] or [`Query`].
    pub body: Vec<u8>,
}

/// What a payload's signature covers. The binding is that of a signature: header, purpose, encapsulated key or tag.
#[must_use]
pub fn signed_digest(binding: &[u8], certificate: &Digest, body: &[u8]) -> Digest {
    hash(SIGNED_DOMAIN, &[binding, certificate.as_bytes(), body])
}

/// A batch of orders under one signature.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Submission {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// Key that the replies are sealed with; random for every envelope.
    pub reply_key: [u8; 32],
    /// What is to be done, in order.
    pub orders: Vec<OrderBytes>,
}

/// One order: for the securities contract, about membership, or about the network itself.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
pub enum OrderBytes {
    /// Encoded order of the securities contract.
    Securities(Vec<u8>),
    /// A member to admit: certificate chain (DER, leaf first), under a reference of the submitter's.
    Admit {
        /// Unique for this submitter.
        reference: String,
        /// Certificate chain.
        chain: Vec<Vec<u8>>,
    },
    /// Encoded order of the governance contract.
    Governance(Vec<u8>),
    /// What an execution module says to the others about key epochs; only modules may.
    Module(Vec<u8>),
    /// Opens a session whose key follows from that of this envelope's replies: further envelopes need no key agreement.
    /// One to an envelope, which is not of a session itself.
    OpenSession,
    /// Gives a member a further certificate, in its own name: certificate chain (DER, leaf first). Doing it twice does no
    /// harm.
    Renew {
        /// Certificate chain.
        chain: Vec<Vec<u8>>,
    },
    /// Revokes certificates, for good. Doing it twice does no harm.
    Revoke {
        /// Which.
        target: RevocationTarget,
        /// Why: a reason code of RFC 5280, section 5.3.1.
        reason: u8,
    },
    /// Puts a reading of what is others' on record, so that the question is answered after it is final. Doing it twice
    /// stands there twice.
    Read {
        /// Encoded [`Question`], all of it.
        question: Vec<u8>,
        /// From when on the owners are told, Unix milliseconds; at once if that is over.
        disclosed_ms: u64,
    },
    /// Certifies the registry of an issue as of a moment before this block: the outcome has its root. A reading of what is
    /// others' is put on record with it.
    Certify {
        /// The issue.
        isin: String,
        /// As of when; what is not over when the block begins means the end of the block before.
        as_of: AsOf,
        /// The key of its root, random.
        key: [u8; 32],
    },
}

/// Which certificates are to be revoked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RevocationTarget {
    /// All that the member with this name has.
    Member(String),
    /// The one that this chain (DER, leaf first) begins with, whether anybody was admitted under it or not.
    Certificate(Vec<Vec<u8>>),
}

/// The content of an attachment: a holder's name, blinded so that its commitment cannot be guessed.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Attachment {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// Random.
    pub blinding: [u8; 32],
    /// The holder's name.
    pub holder: String,
}

impl Attachment {
    /// What the state holds of the name.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        hash(HOLDER_DOMAIN, &[&self.blinding, self.holder.as_bytes()])
    }
}

/// A question, with the key that the answer is sealed with.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Query {
    /// [`QUERY_VERSION`].
    pub version: u8,
    /// Key that the answer is sealed with; random for every query.
    pub reply_key: [u8; 32],
    /// The caller knows this height to be executed: an older state is refused.
    pub height_min: u64,
    /// Height of the block that put the question on record, or that certified what is asked for.
    pub recorded: Option<u64>,
    /// What is asked.
    pub question: Question,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Question {
    /// An issue's registry.
    Registry {
        /// The issue.
        isin: String,
        /// As of when.
        as_of: AsOf,
    },
    /// Holdings by account.
    Holdings,
    /// Trades.
    Trades,
    /// Totals per issue and currency.
    Audit,
    /// Who the caller is to the ledger, and up to which height results are final.
    Member,
    /// Proposals about the network, and what was decided.
    Governance,
    /// Who read what of the caller's own.
    AccessLog {
        /// From the readings of this block on.
        from_height: u64,
    },
    /// Rows of the registry that an order in the block named in [`Query::recorded`] certifies.
    CertifiedRegistry {
        /// The issue.
        isin: String,
        /// As of when, as the order said it.
        as_of: AsOf,
        /// From this row on.
        from: u32,
    },
    /// What happened to what is the caller's own, in blocks whose results are final.
    Events {
        /// From the events of this block on ...
        height: u64,
        /// ... without so many of the caller's in it.
        place: u32,
    },
}

/// A moment of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AsOf {
    /// The newest executed state.
    Now,
    /// After the block at this height.
    Height(u64),
    /// After the last block at or before this time, Unix milliseconds.
    Time(u64),
    /// The close of this business date.
    Date {
        /// Year.
        year: u16,
        /// Month, from 1.
        month: u8,
        /// Day, from 1.
        day: u8,
    },
}

/// The reply to a submission, sealed with its key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reply {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// The block that ordered it.
    pub height: u64,
    /// Ledger time of that block.
    pub time_ms: u64,
    /// The outcome of each order, or the one outcome of an envelope that was refused whole.
    pub outcomes: Vec<OutcomeBytes>,
}

/// An encoded outcome of the securities contract.
pub type OutcomeBytes = Vec<u8>;

/// The notice that the results of a submission are final, with what a receipt needs besides public headers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalNotice {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// The block that ordered the submission.
    pub height: u64,
    /// The results of that block.
    pub commitment: Commitment,
    /// The height of the header that commits to them.
    pub committed_by: u64,
    /// The place of the submission's leaf among the block's outcomes.
    pub place: u64,
    /// The way from that leaf to the root over the block's outcomes.
    pub path: Proof,
    /// What the outcomes are blinded with.
    pub blinding: [u8; 32],
}

/// The answer to a query, sealed with its key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer {
    /// [`PAYLOAD_VERSION`].
    pub version: u8,
    /// The last executed block.
    pub height: u64,
    /// Its ledger time.
    pub time_ms: u64,
    /// The state root after it.
    pub state_root: Digest,
    /// What was asked for, or why not.
    pub body: AnswerBody,
}

/// The content of an answer; views and outcomes are encoded by the securities contract.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AnswerBody {
    /// An encoded outcome: denied or rejected.
    Refused(OutcomeBytes),
    /// The module has not yet executed the height that the caller knows.
    Behind,
    /// An encoded view, of the kind that was asked for.
    View(Vec<u8>),
    /// Who the caller is to the ledger.
    Member(MemberAnswer),
}

/// Who a caller is to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MemberAnswer {
    /// Short name.
    pub name: String,
    /// Role.
    pub role: String,
    /// Organisation.
    pub organisation: String,
    /// Its certificates, in the order of their fingerprints.
    pub certificates: Vec<CertificateAnswer>,
}

/// A certificate of the caller's, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertificateAnswer {
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Last moment of its validity, Unix milliseconds.
    pub ends_ms: u64,
    /// The block that revoked it, and the reason code of RFC 5280, section 5.3.1; nothing if it is not revoked.
    pub revoked: Option<(u64, u8)>,
}
