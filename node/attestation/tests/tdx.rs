//! Quotes of Intel TDX: real ones from machines of others, and what an attacker might make of them. A quote under debug
//! was not to be had; src/tdx.rs has the test for that.
#![cfg(feature = "verify")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;

use sealbook_attestation::{
    Claims, Evidence, Expected, Kind, Measurement, TdxStatus, TdxVerifier, Verifier, VerifyError,
    report_data,
};
use sealbook_primitives::hash::Digest;
use support::{
    collateral, everywhere, flipped, recorded, td_report, tdx_evidence, tdx_expected, variant,
};

/// 2025-07-01, when the collateral of `up-to-date` was valid.
const NOW_MS: u64 = 1_751_328_000_000;
/// 2026-03-01, the same for `out-of-date`.
const OUT_OF_DATE_MS: u64 = 1_772_323_200_000;
/// 2026-11-01, the same for `version-15ex`.
const VERSION_15EX_MS: u64 = 1_793_491_200_000;

fn verify(evidence: &Evidence, expected: &Expected) -> Result<Claims, VerifyError> {
    TdxVerifier::new(None).verify(evidence, expected, NOW_MS)
}

fn with(statement: Vec<u8>, auxiliary: Vec<u8>) -> Evidence {
    Evidence::new(Kind::Tdx, statement, auxiliary).unwrap()
}

#[test]
fn a_quote_is_believed() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let claims = verify(&evidence, &expected).unwrap();
    assert_eq!(claims.kind, Kind::Tdx);
    assert_eq!(claims.report_data, expected.report_data);
    assert!(expected.measurements.contains(&claims.measurement));
    assert!(!claims.debug && claims.advisories.is_empty());
    assert_eq!(claims.tdx_status, Some(TdxStatus::UpToDate));
    // 2025-07-19 10:00:35 UTC, the end of the list of revoked platforms.
    assert_eq!(claims.valid_until_ms, Some(1_752_919_235_999));
}

#[test]
fn a_platform_below_every_tcb_level_is_refused_whatever_is_accepted() {
    let evidence = tdx_evidence("out-of-date");
    let mut expected = tdx_expected(evidence.statement());
    expected.tdx_statuses = ALL.into();
    let refused = TdxVerifier::new(None).verify(&evidence, &expected, OUT_OF_DATE_MS);
    let reason = "No matching TCB level found".to_owned();
    assert_eq!(refused, Err(VerifyError::Quote(reason)));
}

#[test]
fn a_status_that_is_not_accepted_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let mut expected = tdx_expected(evidence.statement());
    expected.tdx_statuses = ALL.into();
    assert!(verify(&evidence, &expected).is_ok());
    expected.tdx_statuses.remove(&TdxStatus::UpToDate);
    assert_eq!(variant(&verify(&evidence, &expected)), "Tcb");
}

#[test]
fn a_quote_of_the_newest_form_is_believed() {
    let evidence = tdx_evidence("version-15ex");
    let expected = tdx_expected(evidence.statement());
    let claims = TdxVerifier::new(None).verify(&evidence, &expected, VERSION_15EX_MS);
    let claims = claims.unwrap();
    assert_eq!(claims.report_data, expected.report_data);
    assert_eq!(claims.tdx_status, Some(TdxStatus::UpToDate));
}

const ALL: [TdxStatus; 8] = [
    TdxStatus::UpToDate,
    TdxStatus::SoftwareHardeningNeeded,
    TdxStatus::ConfigurationNeeded,
    TdxStatus::ConfigurationAndSoftwareHardeningNeeded,
    TdxStatus::OutOfDate,
    TdxStatus::OutOfDateConfigurationNeeded,
    TdxStatus::RelaunchAdvised,
    TdxStatus::RelaunchAdvisedConfigurationNeeded,
];

#[test]
fn an_answer_to_another_nonce_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let mut expected = tdx_expected(evidence.statement());
    expected.report_data = report_data(&Digest::ZERO, b"module", &[1; 32]);
    assert_eq!(
        verify(&evidence, &expected),
        Err(VerifyError::OtherReportData)
    );
}

#[test]
fn a09_every_register_counts() {
    let evidence = tdx_evidence("up-to-date");
    let mut expected = tdx_expected(evidence.statement());
    let Some(Measurement::Tdx { initial, runtime }) = expected.measurements.pop_first() else {
        panic!("a measurement of TDX");
    };
    assert_eq!(variant(&verify(&evidence, &expected)), "OtherMeasurement");
    for changed in 0..5 {
        let (mut initial, mut runtime) = (initial, runtime);
        match changed {
            4 => initial[0] ^= 1,
            register => runtime[register][47] ^= 1,
        }
        expected.measurements = BTreeSet::from([Measurement::Tdx { initial, runtime }]);
        assert_eq!(
            variant(&verify(&evidence, &expected)),
            "OtherMeasurement",
            "{changed}"
        );
    }
}

#[test]
fn no_flipped_bit_of_a_quote_changes_what_it_says() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let genuine = verify(&evidence, &expected).unwrap();
    let quote = evidence.statement();
    let verifier = TdxVerifier::new(Some(collateral("up-to-date")));
    // Header and report, then the signature with its key, then the enclave's report with its signature and the 32
    // bytes that it vouches for, have to be as they are. Between them are lengths and types that nobody signs; after
    // them are certificates, with signatures of their own and text around them.
    let signed = td_report(quote) + 584;
    let signature = signed + 4..signed + 4 + 64 + 64;
    let enclave = signature.end + 6..signature.end + 6 + 384 + 64 + 2 + 32;
    let exact = |at: usize| at < signed || signature.contains(&at) || enclave.contains(&at);
    everywhere(quote.len(), |at| {
        let statement = flipped(quote, at);
        let followed = tdx_expected(&statement);
        let evidence = with(statement, Vec::new());
        if let Ok(claims) = verifier.verify(&evidence, &followed, NOW_MS) {
            assert!(!exact(at), "byte {at}");
            assert_eq!(claims, genuine, "byte {at}");
        }
    });
}

#[test]
fn no_flipped_bit_of_collateral_changes_what_is_concluded() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let genuine = verify(&evidence, &expected).unwrap();
    let refused = std::sync::atomic::AtomicUsize::new(0);
    everywhere(evidence.auxiliary().len(), |at| {
        let auxiliary = flipped(evidence.auxiliary(), at);
        match verify(&with(evidence.statement().to_vec(), auxiliary), &expected) {
            // Text around certificates, and the chain that is not needed.
            Ok(claims) => assert_eq!(claims, genuine, "byte {at}"),
            Err(_) => {
                refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let collateral = collateral("up-to-date");
    let signed = collateral.tcb_info.len()
        + collateral.enclave_identity.len()
        + collateral.platform_revocations.len()
        + collateral.root_ca_revocations.len();
    assert!(refused.into_inner() >= signed);
}

#[test]
fn nothing_cut_short_passes() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let verifier = TdxVerifier::new(Some(collateral("up-to-date")));
    let quote = evidence.statement();
    // Its lengths say where it ends; bytes after that are nobody's, and quotes are recorded with some.
    let length = |at: usize| {
        let bytes = quote[at..at + 4].try_into().unwrap();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap()
    };
    let signed = td_report(quote) + 584;
    let end = signed + 4 + length(signed);
    let whole = with(quote[..end].to_vec(), Vec::new());
    assert!(verifier.verify(&whole, &expected, NOW_MS).is_ok());
    for length in 0..end {
        let cut = with(quote[..length].to_vec(), Vec::new());
        let judged = verifier.verify(&cut, &expected, NOW_MS);
        assert_eq!(variant(&judged), "Quote", "{length}");
    }
    let auxiliary = evidence.auxiliary();
    for length in 0..auxiliary.len() {
        let cut = with(quote.to_vec(), auxiliary[..length].to_vec());
        assert!(verify(&cut, &expected).is_err(), "{length}");
    }
}

#[test]
fn a_chain_below_another_root_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let root =
        |name: &str| std::fs::read(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let believing = |name: &str| {
        let verifier = TdxVerifier::new(None).danger_with_root(&root(name));
        variant(&verifier.verify(&evidence, &expected, NOW_MS))
    };
    assert_eq!(believing("roots/intel-sgx-root-ca.der"), "Ok");
    assert_eq!(believing("roots/amd-milan-ark.der"), "Quote");
    assert_eq!(believing("tests/evidence/forged/ark.der"), "Quote");
    assert_eq!(believing("Cargo.toml"), "Quote");
}

#[test]
fn collateral_holds_from_its_first_to_its_last_second() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let at = |now_ms| variant(&TdxVerifier::new(None).verify(&evidence, &expected, now_ms));
    // 2025-06-19 10:32:27 UTC, when the enclave's identity was issued, and 2025-07-19 10:00:35 UTC, when the list of
    // revoked platforms should have been replaced.
    let (first, last) = (1_750_329_147_000, 1_752_919_235_999);
    assert_eq!(at(first - 1), "Quote");
    assert_eq!(at(first), "Ok");
    assert_eq!(at(last - 1000), "Ok");
    assert_ne!(at(last + 1), "Ok");
    assert_ne!(at(0), "Ok");
    assert_ne!(at(u64::MAX), "Ok");
}

#[test]
fn an_older_list_of_tcb_levels_than_the_minimum_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let mut expected = tdx_expected(evidence.statement());
    expected.tdx_evaluation_number_minimum = 17;
    assert!(verify(&evidence, &expected).is_ok());
    expected.tdx_evaluation_number_minimum = 18;
    assert_eq!(variant(&verify(&evidence, &expected)), "Tcb");
}

#[test]
fn the_verifiers_own_collateral_is_used_before_any_other() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    let bare = with(evidence.statement().to_vec(), Vec::new());
    assert_eq!(verify(&bare, &expected), Err(VerifyError::NoCollateral));
    let own = TdxVerifier::new(Some(collateral("up-to-date")));
    assert!(own.verify(&bare, &expected, NOW_MS).is_ok());
    // What is sent along is not looked at.
    let noise = with(evidence.statement().to_vec(), vec![7; 100]);
    assert!(own.verify(&noise, &expected, NOW_MS).is_ok());
    assert_eq!(variant(&verify(&noise, &expected)), "Malformed");
}

#[test]
fn collateral_of_another_platform_or_another_time_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    for (other, now_ms) in [
        ("out-of-date", OUT_OF_DATE_MS),
        ("out-of-date", NOW_MS),
        ("version-15ex", VERSION_15EX_MS),
        ("sgx", NOW_MS),
    ] {
        let verifier = TdxVerifier::new(Some(collateral(other)));
        let judged = verifier.verify(&evidence, &expected, now_ms);
        assert_eq!(variant(&judged), "Quote", "{other}");
    }
}

#[test]
fn the_quote_of_an_enclave_is_not_that_of_a_machine() {
    let quote = recorded("tdx/sgx.quote");
    let expected = tdx_expected(&quote);
    let verifier = TdxVerifier::new(Some(collateral("sgx")));
    let judged = verifier.verify(&with(quote, Vec::new()), &expected, NOW_MS);
    assert_eq!(variant(&judged), "Malformed", "{judged:?}");
}

#[test]
fn evidence_of_another_kind_is_refused() {
    let evidence = tdx_evidence("up-to-date");
    let expected = tdx_expected(evidence.statement());
    for kind in [Kind::Process, Kind::SevSnp] {
        let (statement, auxiliary) = (evidence.statement(), evidence.auxiliary());
        let other = Evidence::new(kind, statement.to_vec(), auxiliary.to_vec()).unwrap();
        let refused = Err(VerifyError::OtherKind {
            found: kind,
            expected: Kind::Tdx,
        });
        assert_eq!(verify(&other, &expected), refused);
    }
}

#[test]
fn the_pinned_root_is_that_of_intel() {
    let root = format!("{}/roots/intel-sgx-root-ca.der", env!("CARGO_MANIFEST_DIR"));
    let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(root).unwrap());
    assert_eq!(
        hex::encode(digest),
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    );
}
