//! Statements of a certified registry: its rows, and the receipt of the order that certified it.
//!
//! ```text
//! order -> outcome with the root -> rows from a module -> root again, here -> receipt -> statement, verified
//! ```
//!
//! Whoever has the statement and the genesis document checks it without a network: the rows are all there are, since they
//! add up to all units issued, and a final header commits to their root.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{Genesis, MAX_RECEIPT_BYTES, Proven, Receipt, ReceiptError};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::Stage;
use sealbook_protocol::payload::{AnswerBody, AsOf, Question};
use sealbook_protocol::registry::{CertifiedPage, CertifiedRow, RegistryHead, registry_root};
use sealbook_securities::{Code, LongName, Outcome};

use crate::ClientError;
use crate::client::Client;
use crate::order::Prepared;
use crate::receipts::Shown;

/// The largest encoded statement, in bytes: about a million holders.
pub const MAX_STATEMENT_BYTES: usize = 128 * 1024 * 1024;
const STATEMENT_VERSION: u16 = 1;

/// A registry at one moment, with what proves that it is complete.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegistryStatement {
    /// Format version.
    pub version: u16,
    /// The key of the root.
    pub key: [u8; 32],
    /// What it is of.
    pub head: RegistryHead,
    /// Everybody who held units, but the treasury.
    pub rows: Vec<CertifiedRow>,
    /// The encoded receipt of the order that had it certified.
    pub receipt: Vec<u8>,
}

/// Why a statement proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not the canonical encoding, or too large.
    #[error("the statement does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("statement version {0} is not known")]
    Version(u16),
    /// The receipt in it does not hold.
    #[error("its receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// The rows are not as many as the registry had.
    #[error("it has {found} holders, and the registry had {expected}")]
    Holders {
        /// As many as the registry had.
        expected: u32,
        /// As many as there are.
        found: usize,
    },
    /// The rows and the treasury do not add up to all units issued.
    #[error("the units of the holders and the treasury do not add up to those issued")]
    Sum,
    /// A row with no units, or a name that is none.
    #[error("holder {0} is not as a registry has it")]
    Row(usize),
    /// The receipt is of another registry, or of something else.
    #[error("no outcome in its receipt certifies this registry")]
    NotCertified,
}

/// What came of having a registry certified.
#[derive(Debug)]
pub enum Certified {
    /// It was, and what it proves was verified.
    Statement(Box<RegistryStatement>, Proven),
    /// It was refused.
    Refused(Outcome),
}

impl RegistryStatement {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// Not canonical, too large, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::Malformed);
        }
        let mut version = bytes;
        match u16::deserialize(&mut version) {
            Ok(STATEMENT_VERSION) => {}
            Ok(other) => return Err(StatementError::Version(other)),
            Err(_) => return Err(StatementError::Malformed),
        }
        let statement = Self::try_from_slice(bytes).map_err(|_| StatementError::Malformed)?;
        if statement.receipt.len() > MAX_RECEIPT_BYTES {
            return Err(StatementError::Malformed);
        }
        Ok(statement)
    }

    /// Checks the statement against the genesis document: nobody is missing, nobody is there who was not, and nobody held
    /// more or less.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, genesis: &Genesis) -> Result<Proven, StatementError> {
        if self.version != STATEMENT_VERSION {
            return Err(StatementError::Version(self.version));
        }
        let receipt = Receipt::decode(&self.receipt)?;
        let proven = receipt.verify(genesis)?;
        let root = self.root()?;
        let outcomes = receipt.outcomes.shown.iter();
        let mut outcomes = outcomes.filter_map(|one| Outcome::try_from_slice(&one.outcome).ok());
        if !outcomes.any(|outcome| outcome.certified == Some(root.0)) {
            return Err(StatementError::NotCertified);
        }
        Ok(proven)
    }

    /// How many holders stand in it without a name: it was erased, or whoever shows the statement leaves it out.
    #[must_use]
    pub fn unnamed(&self) -> usize {
        let rows = self.rows.iter();
        rows.filter(|row| row.holder.name().is_none()).count()
    }

    /// The root of what it says, which must hang together.
    fn root(&self) -> Result<Digest, StatementError> {
        let found = self.rows.len();
        let expected = self.head.holders;
        if usize::try_from(expected) != Ok(found) {
            return Err(StatementError::Holders { expected, found });
        }
        let mut sum = u128::from(self.head.treasury);
        let mut rows = Vec::with_capacity(found);
        for (place, row) in self.rows.iter().enumerate() {
            let name = row.holder.name();
            if row.quantity == 0 || name.is_some_and(|name| LongName::new(name).is_err()) {
                return Err(StatementError::Row(place));
            }
            sum = sum.saturating_add(u128::from(row.quantity));
            rows.push((row.holder.commitment(), row.quantity));
        }
        if sum != u128::from(self.head.issued) {
            return Err(StatementError::Sum);
        }
        rows.sort_unstable();
        Ok(registry_root(&self.key, &self.head, &rows))
    }
}

impl Client {
    /// Has the registry of an issue certified, as of a moment that is over or, for what is not, the end of the block before
    /// the one that orders it, and fetches all of it.
    ///
    /// # Errors
    /// As for [`Client::submit`] and [`Client::receipt`].
    pub fn certify_registry(&mut self, isin: &str, as_of: AsOf) -> Result<Certified, ClientError> {
        let (order, key) = Prepared::certify(isin, as_of);
        let submitted = self.submit(&[order], Stage::Final)?;
        let outcome = submitted.outcomes.first();
        let outcome = *outcome.ok_or(ClientError::FalseAnswer)?;
        if !outcome.is_accepted() {
            return Ok(Certified::Refused(outcome));
        }
        let (head, rows) = match self.certified_rows(isin, as_of, submitted.height)? {
            Ok(found) => found,
            // The order is final, and nothing of it was refused.
            Err(outcome) if outcome.code == Some(Code::NotOnRecord) => {
                let text = "the rows did not all come within the minute for which they are answered; have it certified again";
                return Err(ClientError::Refused(text.to_owned()));
            }
            Err(outcome) => return Ok(Certified::Refused(outcome)),
        };
        let (receipt, _) = self.receipt(submitted.transaction, Shown::All)?;
        let statement = RegistryStatement {
            version: STATEMENT_VERSION,
            key,
            head,
            rows,
            receipt: receipt.encode(),
        };
        // As whoever gets the file will.
        let read = RegistryStatement::decode(&statement.encode()).map_err(|_| {
            ClientError::Refused(format!(
                "the statement is larger than {MAX_STATEMENT_BYTES} bytes"
            ))
        })?;
        let proven = read.verify(self.network().genesis());
        let proven = proven.map_err(|_| ClientError::FalseAnswer)?;
        Ok(Certified::Statement(Box::new(statement), proven))
    }

    /// All rows of what a block certified, or the outcome that says why not.
    fn certified_rows(
        &mut self,
        isin: &str,
        as_of: AsOf,
        height: u64,
    ) -> Result<Result<(RegistryHead, Vec<CertifiedRow>), Outcome>, ClientError> {
        let mut rows = Vec::new();
        loop {
            let question = Question::CertifiedRegistry {
                isin: isin.to_owned(),
                as_of,
                from: u32::try_from(rows.len()).map_err(|_| ClientError::FalseAnswer)?,
            };
            let answer = self.ask_once(&question, Some(height))?;
            let page = match answer.body {
                AnswerBody::View(bytes) => CertifiedPage::try_from_slice(&bytes),
                AnswerBody::Refused(bytes) => {
                    let outcome = Outcome::try_from_slice(&bytes);
                    return Ok(Err(outcome.map_err(|_| ClientError::FalseAnswer)?));
                }
                AnswerBody::Behind | AnswerBody::Member(_) => return Err(ClientError::FalseAnswer),
            };
            let page = page.map_err(|_| ClientError::FalseAnswer)?;
            let none = page.rows.is_empty();
            rows.extend(page.rows);
            if rows.len() as u64 >= u64::from(page.head.holders) {
                return Ok(Ok((page.head, rows)));
            }
            if none {
                return Err(ClientError::FalseAnswer);
            }
        }
    }
}
