//! Quotes of Intel TDX, verified down to Intel's root certificate.
//!
//! ```text
//! root (pinned) --signs--> TCB levels, enclave identity, revocation lists                     collateral
//! root (pinned) --signs--> platform CA --signs--> PCK --signs--> quoting enclave --signs--> quote
//! ```
//!
//! The crate `dcap-qvl` does this, on `ring`; what is judged here is what it leaves to its caller: which report data,
//! which measurement, which state of the platform. It refuses by itself: revoked platforms, expired collateral, VMs
//! that can be migrated or have service VMs, and VMs without `SEPT_VE_DISABLE`.
//!
//! Not judged: the values that the machine's owner sets (MRCONFIGID, MROWNER, MROWNERCONFIG), and the flags of the
//! platform's certificate about SMT, cached keys and dynamic platforms.

use dcap_qvl::quote::{Report, TDReport10};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuoteCollateralV3, QuotePolicy, TcbStatus};

use crate::gate::of_kind;
use crate::{
    Claims, Collateral, Evidence, Expected, Kind, Measurement, TdxStatus, Verifier, VerifyError,
};

/// "Intel SGX Root CA", which is also TDX's.
const INTEL_ROOT: &[u8] = include_bytes!("../roots/intel-sgx-root-ca.der");

/// Verifies quotes of VMs under TDX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxVerifier {
    root: Vec<u8>,
    collateral: Option<Collateral>,
}

impl TdxVerifier {
    /// A verifier by Intel's root as it is pinned in this crate.
    ///
    /// With `collateral` it uses no other; without, it uses what comes with the evidence. Whoever sends the evidence
    /// may then choose among all collateral that has not expired, which is why [`Expected`] has a lowest evaluation
    /// number.
    #[must_use]
    pub fn new(collateral: Option<Collateral>) -> Self {
        TdxVerifier {
            root: INTEL_ROOT.to_owned(),
            collateral,
        }
    }

    /// The same verifier, believing a root of the caller's, as DER, and not Intel. For tests.
    #[must_use]
    pub fn danger_with_root(mut self, root: &[u8]) -> Self {
        root.clone_into(&mut self.root);
        self
    }

    fn collateral(&self, evidence: &Evidence) -> Result<QuoteCollateralV3, VerifyError> {
        let collateral = match (&self.collateral, evidence.auxiliary()) {
            (Some(own), _) => own.clone(),
            (None, []) => return Err(VerifyError::NoCollateral),
            (None, sent) => Collateral::decode(sent)
                .map_err(|error| VerifyError::Malformed(format!("collateral: {error}")))?,
        };
        Ok(QuoteCollateralV3 {
            pck_crl_issuer_chain: collateral.platform_issuer_chain,
            root_ca_crl: collateral.root_ca_revocations,
            pck_crl: collateral.platform_revocations,
            tcb_info_issuer_chain: collateral.tcb_issuer_chain,
            tcb_info: collateral.tcb_info,
            tcb_info_signature: collateral.tcb_info_signature,
            qe_identity_issuer_chain: collateral.enclave_issuer_chain,
            qe_identity: collateral.enclave_identity,
            qe_identity_signature: collateral.enclave_identity_signature,
            pck_certificate_chain: collateral.platform_chain,
        })
    }
}

impl Verifier for TdxVerifier {
    fn verify(
        &self,
        evidence: &Evidence,
        expected: &Expected,
        now_ms: u64,
    ) -> Result<Claims, VerifyError> {
        of_kind(evidence, Kind::Tdx)?;
        let collateral = self.collateral(evidence)?;
        let now_s = now_ms / 1000;
        // Debug is judged twice: by the crate, and by `Expected` below.
        let genuine = QuoteVerifier::new(self.root.clone())
            .allow_debug(expected.danger_allow_debug)
            .verify_with_policy(
                evidence.statement(),
                collateral,
                now_s,
                &QuotePolicy::claims_only(now_s),
            )
            .map_err(|error| VerifyError::Quote(format!("{error:#}")))?;
        judge(&genuine, expected, now_s)
    }
}

/// What a genuine quote proves, if it is as expected.
fn judge(genuine: &QuoteClaims, expected: &Expected, now_s: u64) -> Result<Claims, VerifyError> {
    let report = match &genuine.report {
        Report::TD10(report) => report,
        Report::TD15(report) => &report.base,
        Report::TD15Ex(report) => &report.base.base,
        Report::SgxEnclave(_) => {
            return Err(VerifyError::Malformed(
                "a quote of an SGX enclave, not of a VM".to_owned(),
            ));
        }
    };
    if genuine.earliest_expiration_date < now_s {
        return Err(VerifyError::Expired("collateral"));
    }
    if genuine.latest_issue_date > now_s {
        return Err(VerifyError::NotYetValid("collateral"));
    }
    let status = status(genuine.tcb.status)
        .ok_or_else(|| VerifyError::Tcb("Intel has revoked it".to_owned()))?;
    let claims = Claims {
        kind: Kind::Tdx,
        report_data: report.report_data,
        measurement: measurement(report),
        debug: debug(report),
        machine: genuine.platform.pck.ppid.clone(),
        snp_tcb: None,
        tdx_status: Some(status),
        advisories: genuine.tcb.advisory_ids.clone(),
        valid_until_ms: Some(
            genuine
                .earliest_expiration_date
                .saturating_mul(1000)
                .saturating_add(999),
        ),
    };
    expected.judge(&claims)?;
    if !expected.tdx_statuses.contains(&status) {
        return Err(VerifyError::Tcb(format!(
            "Intel says {status:?}, advisories {:?}",
            claims.advisories
        )));
    }
    let number = genuine.tcb.eval_data_number;
    if number < expected.tdx_evaluation_number_minimum {
        return Err(VerifyError::Tcb(format!(
            "the list of TCB levels has number {number}, at least {} is accepted",
            expected.tdx_evaluation_number_minimum
        )));
    }
    Ok(claims)
}

fn measurement(report: &TDReport10) -> Measurement {
    Measurement::Tdx {
        initial: report.mr_td,
        runtime: [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3],
    }
}

/// True when anything in the byte of attributes that puts a VM "under debug" is set: Intel's TUD group, whose first bit
/// is debug and the others are for profiling or reserved.
fn debug(report: &TDReport10) -> bool {
    let [under_debug, ..] = report.td_attributes;
    under_debug != 0
}

fn status(status: TcbStatus) -> Option<TdxStatus> {
    Some(match status {
        TcbStatus::UpToDate => TdxStatus::UpToDate,
        TcbStatus::SWHardeningNeeded => TdxStatus::SoftwareHardeningNeeded,
        TcbStatus::ConfigurationNeeded => TdxStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded => {
            TdxStatus::ConfigurationAndSoftwareHardeningNeeded
        }
        TcbStatus::OutOfDate => TdxStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded => TdxStatus::OutOfDateConfigurationNeeded,
        TcbStatus::TDRelaunchAdvised => TdxStatus::RelaunchAdvised,
        TcbStatus::TDRelaunchAdvisedConfigurationNeeded => {
            TdxStatus::RelaunchAdvisedConfigurationNeeded
        }
        TcbStatus::Revoked => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 2025-07-01, in seconds.
    const NOW_S: u64 = 1_751_328_000;

    /// What is known of a recorded quote, and an expectation that it meets.
    fn genuine() -> (QuoteClaims, Expected) {
        let quote = include_bytes!("../tests/evidence/tdx/up-to-date.quote");
        let json = include_bytes!("../tests/evidence/tdx/up-to-date.json");
        let collateral: QuoteCollateralV3 = serde_json::from_slice(json).unwrap();
        let genuine = QuoteVerifier::new(INTEL_ROOT.to_vec())
            .verify_with_policy(quote, collateral, NOW_S, &QuotePolicy::claims_only(NOW_S))
            .unwrap();
        let report = genuine.report.as_td10().unwrap();
        let measurements = BTreeSet::from([measurement(report)]);
        let expected = Expected::new(report.report_data, measurements);
        assert!(judge(&genuine, &expected, NOW_S).is_ok());
        (genuine, expected)
    }

    #[test]
    fn a_quote_under_debug_or_profiling_is_refused_unless_allowed() {
        for bit in 0..8 {
            let (mut genuine, mut expected) = genuine();
            let Report::TD10(report) = &mut genuine.report else {
                unreachable!()
            };
            report.td_attributes[0] |= 1 << bit;
            assert_eq!(
                judge(&genuine, &expected, NOW_S),
                Err(VerifyError::Debug),
                "{bit}"
            );
            expected.danger_allow_debug = true;
            assert!(judge(&genuine, &expected, NOW_S).unwrap().debug);
        }
    }

    #[test]
    fn a_revoked_platform_is_refused_whatever_is_accepted() {
        let (mut genuine, expected) = genuine();
        genuine.tcb.status = TcbStatus::Revoked;
        let judged = judge(&genuine, &expected, NOW_S);
        assert!(matches!(judged, Err(VerifyError::Tcb(_))));
    }
}
