//! Evidence as it travels: a kind, the signed statement, and what helps to verify it.
//!
//! ```text
//! evidence = version u8 | kind u8 | statement: length u32, bytes | auxiliary: length u32, bytes
//!
//! kind         statement                        auxiliary
//! 1 process    report data, digest              nothing
//! 2 sev-snp    the report, 1184 bytes           the table of certificates, as the kernel's auxblob
//! 3 tdx        the quote                        nothing, or collateral
//! ```
//!
//! Numbers are little endian; the encoding is borsh, and only the canonical one is accepted.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::encoding::{DecodeError, decode, encode};

use crate::EvidenceError;

/// The version of the format above.
pub const EVIDENCE_VERSION: u8 = 1;
/// Most bytes in a statement. A report of AMD has 1184, a quote of Intel about 5000.
pub const MAX_STATEMENT_BYTES: usize = 16 * 1024;
/// Most auxiliary bytes. A table of certificates has about 5000, collateral about 25000.
pub const MAX_AUXILIARY_BYTES: usize = 128 * 1024;
/// Most bytes in encoded evidence.
pub const MAX_EVIDENCE_BYTES: usize = MAX_STATEMENT_BYTES + MAX_AUXILIARY_BYTES + 10;

/// Who vouches for the evidence.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Kind {
    /// Nobody but the process itself: proves nothing.
    Process = 1,
    /// AMD, for a VM under SEV-SNP.
    SevSnp = 2,
    /// Intel, for a VM under TDX.
    Tdx = 3,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Process => "process",
            Kind::SevSnp => "sev-snp",
            Kind::Tdx => "tdx",
        })
    }
}

/// Evidence within its limits; what it says is for a verifier to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    kind: Kind,
    statement: Vec<u8>,
    auxiliary: Vec<u8>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Wire {
    version: u8,
    kind: Kind,
    statement: Vec<u8>,
    auxiliary: Vec<u8>,
}

impl Evidence {
    /// Evidence of these parts.
    ///
    /// # Errors
    ///
    /// [`EvidenceError::TooLong`] when a part is longer than its limit.
    pub fn new(kind: Kind, statement: Vec<u8>, auxiliary: Vec<u8>) -> Result<Self, EvidenceError> {
        within("the statement", &statement, MAX_STATEMENT_BYTES)?;
        within("the auxiliary part", &auxiliary, MAX_AUXILIARY_BYTES)?;
        Ok(Evidence {
            kind,
            statement,
            auxiliary,
        })
    }

    /// Who vouches for it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is signed, with its signature.
    #[must_use]
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// What helps to verify the statement.
    #[must_use]
    pub fn auxiliary(&self) -> &[u8] {
        &self.auxiliary
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(&Wire {
            version: EVIDENCE_VERSION,
            kind: self.kind,
            statement: self.statement.clone(),
            auxiliary: self.auxiliary.clone(),
        })
    }

    /// The evidence whose canonical encoding is exactly `bytes`.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] when the bytes are too many, of another version or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        match bytes.first() {
            Some(&found) if found != EVIDENCE_VERSION => {
                return Err(EvidenceError::Version {
                    found,
                    known: EVIDENCE_VERSION,
                });
            }
            _ => {}
        }
        let wire: Wire = decode(bytes, MAX_EVIDENCE_BYTES).map_err(|error| malformed(&error))?;
        Evidence::new(wire.kind, wire.statement, wire.auxiliary)
    }
}

/// The decoder's complaint as ours.
pub(crate) fn malformed(error: &DecodeError) -> EvidenceError {
    match error {
        DecodeError::TooLong { length, limit } => EvidenceError::TooLong {
            part: "the input",
            length: *length,
            limit: *limit,
        },
        DecodeError::Malformed { reason } => EvidenceError::Malformed {
            reason: reason.clone(),
        },
    }
}

fn within(part: &'static str, bytes: &[u8], limit: usize) -> Result<(), EvidenceError> {
    if bytes.len() > limit {
        return Err(EvidenceError::TooLong {
            part,
            length: bytes.len(),
            limit,
        });
    }
    Ok(())
}
