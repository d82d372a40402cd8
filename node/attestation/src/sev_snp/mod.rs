//! Reports of AMD SEV-SNP, verified down to AMD's root certificates.
//!
//! ```text
//! ARK (pinned) --signs--> ARK, ASK (pinned) --signs--> VCEK (from the evidence) --signs--> report
//! VCEK: the chip's identity and firmware versions  ==  the report's
//! ```
//!
//! Written on `ring` and `x509-parser`, which the workspace has anyway: the crate `sev` brings system calls to drive
//! the hardware and an RSA with a known flaw, and what is left of it here is a table of offsets. Its reading of the
//! recorded reports and ours agree.
//!
//! Sources: AMD's publications 56860 (the report, table "ATTESTATION_REPORT structure") and 57230 (certificates).
//!
//! Not accepted: VLEK, which is a key of the cloud's; chips that hide their identity; guests that a migration agent may
//! move; Turin, for want of a real report to test with. Not looked at: AMD's revocation lists.

mod chain;
mod report;

use crate::gate::of_kind;
use crate::{Claims, Evidence, Expected, Kind, Measurement, Verifier, VerifyError};
use chain::{Root, chip, find_vcek};
use report::Report;

/// A family of AMD's processors with a root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004 (with Bergamo and Siena).
    Genoa,
}

/// Verifies reports of machines of the given families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SevSnpVerifier {
    roots: Vec<Root>,
}

impl SevSnpVerifier {
    /// A verifier for these families, by AMD's certificates as they are pinned in this crate.
    #[must_use]
    pub fn new(products: &[Product]) -> Self {
        SevSnpVerifier {
            roots: products.iter().map(|product| Root::of(*product)).collect(),
        }
    }

    /// A verifier that believes a root of the caller's, as DER, and not AMD. For tests with forged evidence.
    #[must_use]
    pub fn danger_with_root(root: &[u8], intermediate: &[u8]) -> Self {
        SevSnpVerifier {
            roots: vec![Root::danger_new(root, intermediate)],
        }
    }
}

impl Default for SevSnpVerifier {
    /// All families that are known here.
    fn default() -> Self {
        SevSnpVerifier::new(&[Product::Milan, Product::Genoa])
    }
}

impl Verifier for SevSnpVerifier {
    fn verify(
        &self,
        evidence: &Evidence,
        expected: &Expected,
        now_ms: u64,
    ) -> Result<Claims, VerifyError> {
        of_kind(evidence, Kind::SevSnp)?;
        let report = Report::parse(evidence.statement())?;
        let vcek = find_vcek(evidence.auxiliary())?;
        let chip = chip(&self.roots, vcek, now_ms)?;
        report.verify_signature(&chip.public_key)?;
        // The certificate speaks for one chip at one level of firmware.
        if report.chip_id != chip.chip_id {
            return Err(VerifyError::Signature(
                "the certificate is that of another chip".to_owned(),
            ));
        }
        if report.reported_tcb != chip.tcb {
            return Err(VerifyError::Signature(
                "the certificate is for other firmware than was reported".to_owned(),
            ));
        }
        let claims = Claims {
            kind: Kind::SevSnp,
            report_data: report.report_data,
            measurement: Measurement::SevSnp(report.measurement),
            debug: report.debug_allowed,
            machine: report.chip_id.to_vec(),
            snp_tcb: Some(report.reported_tcb),
            tdx_status: None,
            advisories: Vec::new(),
            valid_until_ms: Some(chip.valid_until_ms),
        };
        expected.judge(&claims)?;
        report.judge(expected)?;
        Ok(claims)
    }
}
