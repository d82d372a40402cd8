//! Evidence about the execution module: what runs, on which machine, asked by whom.
//!
//! ```text
//! verifier --nonce--> module: report_data(network, module key, nonce) --Attestor--> Evidence
//! verifier <--------------------------- Evidence, as canonical bytes ------------------'
//! verifier: Gate(Policy) --> Verifier of that kind: Expected, now --> Claims
//! ```
//!
//! | kind | what makes it | what it proves |
//! |---|---|---|
//! | `process` | [`ProcessAttestor`] | nothing: the process states what it likes |
//! | `sev-snp` | [`TsmAttestor`] in a confidential VM of AMD | by AMD's signature, the VM's memory as it was launched |
//! | `tdx` | [`TsmAttestor`] in a confidential VM of Intel | by Intel's, the same and the run-time registers |
//!
//! With the feature `verify` there are `SevSnpVerifier` and `TdxVerifier`; the execution module is built without it
//! and links neither. Nothing here reads a clock or uses the network: time is an argument, and what a vendor
//! publishes (certificates, revocation lists, TCB levels) is handed in with the evidence or to the verifier. Only
//! [`TsmAttestor`] touches the disk: the kernel's folder of reports.
//!
//! **[`TsmAttestor`] has never run on a confidential VM.** Its tests play the kernel with named pipes. The verifiers are
//! tested on reports and quotes that real machines of others made; `tests/evidence/README.md` says where these come
//! from. docs/ATTESTATION.md says what was run and what never was.
//!
//! INVARIANT: evidence is good for one nonce. Whoever verifies chooses the nonce anew each time, and
//! [`report_data`] binds it, the network and the module's key.
//! INVARIANT: no input panics; every input has a limit.

#![forbid(unsafe_code)]

mod collateral;
mod error;
mod evidence;
mod expected;
mod gate;
mod process;
mod report_data;
#[cfg(feature = "verify")]
mod sev_snp;
#[cfg(feature = "verify")]
mod tdx;
mod tsm;

pub use collateral::{COLLATERAL_VERSION, Collateral, MAX_COLLATERAL_BYTES, certificate_table};
pub use error::{AttestError, EvidenceError, VerifyError};
pub use evidence::{
    EVIDENCE_VERSION, Evidence, Kind, MAX_AUXILIARY_BYTES, MAX_EVIDENCE_BYTES, MAX_STATEMENT_BYTES,
};
pub use expected::{Claims, Expected, Measurement, SnpTcb, TdxStatus};
pub use gate::{Gate, Policy};
pub use process::{ProcessAttestor, ProcessVerifier};
pub use report_data::{MAX_MODULE_KEY_BYTES, REPORT_DATA_LENGTH, report_data};
#[cfg(feature = "verify")]
pub use sev_snp::{Product, SevSnpVerifier};
#[cfg(feature = "verify")]
pub use tdx::TdxVerifier;
pub use tsm::{TSM_REPORTS, TsmAttestor};

/// Produces evidence about the process that asks.
pub trait Attestor {
    /// The kind of evidence that [`attest`](Attestor::attest) produces.
    fn kind(&self) -> Kind;

    /// Evidence that binds `report_data`, which should come from [`report_data`](crate::report_data()).
    ///
    /// # Errors
    ///
    /// [`AttestError`] when the machine gave no evidence, or evidence about something else.
    fn attest(&self, report_data: &[u8; REPORT_DATA_LENGTH]) -> Result<Evidence, AttestError>;
}

/// Judges evidence of one kind; [`Gate`] judges any kind that its policy accepts.
pub trait Verifier {
    /// What the evidence proves, if it is genuine and as expected at `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    ///
    /// [`VerifyError`] when the evidence is not genuine, not fresh, or of something else than was expected.
    fn verify(
        &self,
        evidence: &Evidence,
        expected: &Expected,
        now_ms: u64,
    ) -> Result<Claims, VerifyError>;
}
