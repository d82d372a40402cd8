//! What a verifier expects of evidence, and what it learns from it.

use std::collections::BTreeSet;
use std::fmt;

use sealbook_primitives::hash::Digest;

use crate::{Kind, REPORT_DATA_LENGTH, VerifyError};

/// What was measured. Two machines with the same measurement started from the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measurement {
    /// Whatever a process says of itself.
    Process(Digest),
    /// The launch digest of a VM under SEV-SNP: firmware, and what the firmware was given to check (kernel, initial
    /// RAM disk and command line, if the VM was started with measured direct boot).
    SevSnp([u8; 48]),
    /// The registers of a VM under TDX. MRTD is the firmware alone; what it loaded is in the others, so that all of
    /// them have to be as expected.
    Tdx {
        /// MRTD: the initial memory.
        initial: [u8; 48],
        /// RTMR 0 to 3: what was measured while it started and ran.
        runtime: [[u8; 48]; 4],
    },
}

impl Measurement {
    /// The kind of evidence that carries such a measurement.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Measurement::Process(_) => Kind::Process,
            Measurement::SevSnp(_) => Kind::SevSnp,
            Measurement::Tdx { .. } => Kind::Tdx,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.kind())?;
        match self {
            Measurement::Process(digest) => write!(formatter, "{digest}"),
            Measurement::SevSnp(launch) => hexadecimal(formatter, launch),
            Measurement::Tdx { initial, runtime } => {
                hexadecimal(formatter, initial)?;
                for register in runtime {
                    formatter.write_str(".")?;
                    hexadecimal(formatter, register)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

fn hexadecimal(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// Versions of AMD's firmware, as in the report's TCB. Each number has to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnpTcb {
    /// The boot loader of the secure processor.
    pub bootloader: u8,
    /// The operating system of the secure processor.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The CPU's microcode.
    pub microcode: u8,
}

impl SnpTcb {
    /// True when no number is below the one in `minimum`.
    #[must_use]
    pub fn reaches(&self, minimum: &SnpTcb) -> bool {
        self.bootloader >= minimum.bootloader
            && self.tee >= minimum.tee
            && self.snp >= minimum.snp
            && self.microcode >= minimum.microcode
    }
}

/// What Intel says of a platform's firmware. `Revoked` is not here: it is never accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TdxStatus {
    /// Nothing is known against it.
    UpToDate,
    /// Software in the VM has to work around a flaw.
    SoftwareHardeningNeeded,
    /// The platform's settings may expose it.
    ConfigurationNeeded,
    /// Both of these.
    ConfigurationAndSoftwareHardeningNeeded,
    /// The firmware has known flaws.
    OutOfDate,
    /// The same, and its settings may expose it.
    OutOfDateConfigurationNeeded,
    /// The VM was started on firmware with known flaws, which was replaced since.
    RelaunchAdvised,
    /// The same, and the platform's settings may expose it.
    RelaunchAdvisedConfigurationNeeded,
}

/// What evidence has to say.
///
/// There is no default: whoever verifies has to know the nonce and the measurements. [`Expected::new`] sets the rest
/// to the strictest choice that genuine machines can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The answer to the verifier's own nonce: see [`report_data`](crate::report_data()).
    pub report_data: [u8; REPORT_DATA_LENGTH],
    /// What may have been measured. Empty: nothing is accepted.
    pub measurements: BTreeSet<Measurement>,
    /// The oldest firmware of AMD's that is accepted, at launch as well as now. All zero: any.
    pub snp_tcb_minimum: SnpTcb,
    /// The least trusted level of a VM under SEV-SNP that may have asked: 0 is the most trusted. A guest with a
    /// paravisor below its kernel, as some clouds run it, is at a higher number, and the paravisor sees all of it.
    pub snp_privilege_level_max: u32,
    /// What Intel may say of the platform.
    pub tdx_statuses: BTreeSet<TdxStatus>,
    /// The oldest list of TCB levels that is accepted, by Intel's number for it: without one, whoever brings the
    /// collateral may bring a list from before a flaw was known, as long as it has not expired. 0: any.
    pub tdx_evaluation_number_minimum: u32,
    /// True when the machine's owner may look inside, which makes the evidence worthless outside of development.
    pub danger_allow_debug: bool,
}

impl Expected {
    /// These measurements, in answer to this report data, and no concessions.
    #[must_use]
    pub fn new(report_data: [u8; REPORT_DATA_LENGTH], measurements: BTreeSet<Measurement>) -> Self {
        Expected {
            report_data,
            measurements,
            snp_tcb_minimum: SnpTcb::default(),
            snp_privilege_level_max: 0,
            tdx_statuses: BTreeSet::from([TdxStatus::UpToDate]),
            tdx_evaluation_number_minimum: 0,
            danger_allow_debug: false,
        }
    }

    /// The checks that every kind of evidence shares; the caller has verified who signed it.
    pub(crate) fn judge(&self, claims: &Claims) -> Result<(), VerifyError> {
        if claims.report_data != self.report_data {
            return Err(VerifyError::OtherReportData);
        }
        if claims.debug && !self.danger_allow_debug {
            return Err(VerifyError::Debug);
        }
        if !self.measurements.contains(&claims.measurement) {
            return Err(VerifyError::OtherMeasurement(
                claims.measurement.to_string(),
            ));
        }
        Ok(())
    }
}

/// What believed evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who vouches for it.
    pub kind: Kind,
    /// The expected report data, which the evidence carries.
    pub report_data: [u8; REPORT_DATA_LENGTH],
    /// What was measured: one of the expected measurements.
    pub measurement: Measurement,
    /// The machine's owner can look inside; only ever true where this was allowed.
    pub debug: bool,
    /// What the vendor calls the machine: AMD's chip identity, or the PPID of Intel. Empty for a process.
    pub machine: Vec<u8>,
    /// The firmware of a machine of AMD's.
    pub snp_tcb: Option<SnpTcb>,
    /// What Intel says of the platform.
    pub tdx_status: Option<TdxStatus>,
    /// The numbers of Intel's advisories that concern the platform.
    pub advisories: Vec<String>,
    /// Until when certificates and collateral hold, in milliseconds since 1970. Nothing for a process.
    pub valid_until_ms: Option<u64>,
}
