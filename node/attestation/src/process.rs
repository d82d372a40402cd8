//! The backend `process`: it proves nothing.
//!
//! A process states the report data and a measurement of its own choice. Nobody signs it: any program can state the
//! same. It is there so that networks on ordinary machines run the same protocol as those on confidential VMs, and so
//! that a policy can refuse them by name. Refusal is the default.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::Digest;

use crate::gate::of_kind;
use crate::{
    AttestError, Attestor, Claims, Evidence, Expected, Kind, Measurement, Policy,
    REPORT_DATA_LENGTH, Verifier, VerifyError,
};

/// The exact length of a statement, in bytes.
const STATEMENT_BYTES: usize = REPORT_DATA_LENGTH + 32;

#[derive(BorshSerialize, BorshDeserialize)]
struct Statement {
    report_data: [u8; REPORT_DATA_LENGTH],
    measurement: Digest,
}

/// States what it is told to state. **Proves nothing.**
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessAttestor {
    measurement: Digest,
}

impl ProcessAttestor {
    /// A process that claims to be what `measurement` is the digest of.
    #[must_use]
    pub fn new(measurement: Digest) -> Self {
        ProcessAttestor { measurement }
    }
}

impl Attestor for ProcessAttestor {
    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn attest(&self, report_data: &[u8; REPORT_DATA_LENGTH]) -> Result<Evidence, AttestError> {
        let statement = encode(&Statement {
            report_data: *report_data,
            measurement: self.measurement,
        });
        Ok(Evidence::new(Kind::Process, statement, Vec::new())?)
    }
}

/// Reads what a process states, if the policy accepts that. **What it returns is not proven.**
///
/// It asks the policy itself, so that it refuses even where nobody put a [`Gate`](crate::Gate) before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessVerifier {
    policy: Policy,
}

impl ProcessVerifier {
    /// A reader under `policy`; under the default policy it refuses everything.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        ProcessVerifier { policy }
    }
}

impl Verifier for ProcessVerifier {
    fn verify(
        &self,
        evidence: &Evidence,
        expected: &Expected,
        _now_ms: u64,
    ) -> Result<Claims, VerifyError> {
        of_kind(evidence, Kind::Process)?;
        self.policy.admit(Kind::Process)?;
        let statement: Statement = decode(evidence.statement(), STATEMENT_BYTES)
            .map_err(|error| VerifyError::Malformed(error.to_string()))?;
        if !evidence.auxiliary().is_empty() {
            return Err(VerifyError::Malformed(
                "a process has nothing to add to its statement".to_owned(),
            ));
        }
        let claims = Claims {
            kind: Kind::Process,
            report_data: statement.report_data,
            measurement: Measurement::Process(statement.measurement),
            debug: false,
            machine: Vec::new(),
            snp_tcb: None,
            tdx_status: None,
            advisories: Vec::new(),
            valid_until_ms: None,
        };
        expected.judge(&claims)?;
        Ok(claims)
    }
}
