//! Reports of AMD SEV-SNP: real ones from machines of others, and what an attacker might make of them.
#![cfg(feature = "verify")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use sealbook_attestation::{
    Claims, Evidence, Expected, Kind, Measurement, Product, SevSnpVerifier, SnpTcb, Verifier,
    VerifyError, certificate_table, report_data,
};
use sealbook_primitives::hash::Digest;
use support::{everywhere, flipped, recorded, snp_evidence, snp_expected, variant};

/// 2027-01-15, when all certificates here are valid.
const NOW_MS: u64 = 1_800_000_000_000;

fn verify(evidence: &Evidence, expected: &Expected) -> Result<Claims, VerifyError> {
    SevSnpVerifier::default().verify(evidence, expected, NOW_MS)
}

fn with(evidence: &Evidence, statement: Vec<u8>, auxiliary: Vec<u8>) -> Evidence {
    Evidence::new(evidence.kind(), statement, auxiliary).unwrap()
}

#[test]
fn a_report_of_milan_is_believed() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    let claims = verify(&evidence, &expected).unwrap();
    assert_eq!(claims.kind, Kind::SevSnp);
    assert_eq!(claims.report_data, expected.report_data);
    assert!(expected.measurements.contains(&claims.measurement));
    assert!(!claims.debug);
    assert_eq!(claims.machine[..4], [0xd4, 0x95, 0x54, 0xec]);
    let tcb = SnpTcb {
        bootloader: 3,
        tee: 0,
        snp: 8,
        microcode: 0x73,
    };
    assert_eq!(claims.snp_tcb, Some(tcb));
    // 2030-04-03 19:23:43 UTC, the end of the chip's certificate.
    assert_eq!(claims.valid_until_ms, Some(1_901_474_623_999));
}

#[test]
fn a_report_of_genoa_is_believed_where_its_privilege_level_is() {
    let evidence = snp_evidence("genoa");
    let mut expected = snp_expected(evidence.statement());
    // It was asked for at level 1.
    assert_eq!(variant(&verify(&evidence, &expected)), "Configuration");
    expected.snp_privilege_level_max = 1;
    let claims = verify(&evidence, &expected).unwrap();
    assert_eq!(claims.report_data, [7; 64]);
}

#[test]
fn an_answer_to_another_nonce_is_refused() {
    let evidence = snp_evidence("milan");
    let mut expected = snp_expected(evidence.statement());
    expected.report_data = report_data(&Digest::ZERO, b"module", &[1; 32]);
    assert_eq!(
        verify(&evidence, &expected),
        Err(VerifyError::OtherReportData)
    );
}

#[test]
fn a09_a_replayed_answer_is_refused_and_the_fresh_one_is_not() {
    let (network, key) = (Digest([9; 32]), [4; 32]);
    let first = report_data(&network, &key, &[1; 32]);
    let second = report_data(&network, &key, &[2; 32]);
    let evidence = forged(|report| report[0x50..0x90].copy_from_slice(&first));
    let verifier = forgers_verifier();
    let mut expected = snp_expected(evidence.statement());
    expected.report_data = first;
    assert!(verifier.verify(&evidence, &expected, NOW_MS).is_ok());
    expected.report_data = second;
    let replayed = verifier.verify(&evidence, &expected, NOW_MS);
    assert_eq!(replayed, Err(VerifyError::OtherReportData));
}

#[test]
fn a09_another_measurement_is_refused() {
    let evidence = snp_evidence("milan");
    let mut expected = snp_expected(evidence.statement());
    let mut other: [u8; 48] = evidence.statement()[0x90..0xc0].try_into().unwrap();
    other[47] ^= 1;
    for measurements in [
        BTreeSet::new(),
        BTreeSet::from([Measurement::SevSnp(other)]),
    ] {
        expected.measurements = measurements;
        assert_eq!(variant(&verify(&evidence, &expected)), "OtherMeasurement");
    }
}

#[test]
fn a09_a_guest_under_debug_is_refused_unless_allowed() {
    // A real report of a guest whose policy allows its host to debug it.
    let evidence = snp_evidence("milan-debug");
    let mut expected = snp_expected(evidence.statement());
    assert_eq!(verify(&evidence, &expected), Err(VerifyError::Debug));
    expected.danger_allow_debug = true;
    assert!(verify(&evidence, &expected).unwrap().debug);
}

#[test]
fn no_flipped_bit_of_a_report_passes() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    assert!(verify(&evidence, &expected).is_ok());
    everywhere(evidence.statement().len(), |at| {
        let statement = flipped(evidence.statement(), at);
        let evidence = with(&evidence, statement, evidence.auxiliary().to_vec());
        // What is expected follows the flip, so that only the signature and the format can tell.
        let followed = snp_expected(evidence.statement());
        assert!(verify(&evidence, &followed).is_err(), "byte {at}");
        assert!(verify(&evidence, &expected).is_err(), "byte {at}");
    });
}

#[test]
fn no_flipped_bit_of_a_certificate_passes() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    assert!(verify(&evidence, &expected).is_ok());
    everywhere(evidence.auxiliary().len(), |at| {
        let auxiliary = flipped(evidence.auxiliary(), at);
        let evidence = with(&evidence, evidence.statement().to_vec(), auxiliary);
        assert!(verify(&evidence, &expected).is_err(), "byte {at}");
    });
}

#[test]
fn a_signature_has_whole_bytes() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    // The number of unused bits stands before the 512 bytes of the certificate's signature, at its end.
    let at = evidence.auxiliary().len() - 513;
    assert_eq!(evidence.auxiliary()[at], 0);
    for unused in 1..=255 {
        let mut auxiliary = evidence.auxiliary().to_vec();
        auxiliary[at] = unused;
        let evidence = with(&evidence, evidence.statement().to_vec(), auxiliary);
        assert!(verify(&evidence, &expected).is_err(), "{unused}");
    }
}

#[test]
fn nothing_cut_short_or_made_longer_passes() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    let (statement, auxiliary) = (evidence.statement(), evidence.auxiliary());
    for length in 0..statement.len() {
        let cut = with(&evidence, statement[..length].to_vec(), auxiliary.to_vec());
        assert_eq!(variant(&verify(&cut, &expected)), "Malformed", "{length}");
    }
    for length in 0..auxiliary.len() {
        let cut = with(&evidence, statement.to_vec(), auxiliary[..length].to_vec());
        assert!(verify(&cut, &expected).is_err(), "{length}");
    }
    let longer = [statement, &[0]].concat();
    let longer = with(&evidence, longer, auxiliary.to_vec());
    assert_eq!(variant(&verify(&longer, &expected)), "Malformed");
}

#[test]
fn a_chain_below_another_root_is_refused() {
    let milan = snp_evidence("milan");
    let expected = snp_expected(milan.statement());
    let genoa_only = SevSnpVerifier::new(&[Product::Genoa]);
    let refused = genoa_only.verify(&milan, &expected, NOW_MS);
    assert_eq!(variant(&refused), "Signature");

    // A chain with AMD's names, AMD's algorithms and everything else as it should be, below a root that is not AMD's.
    let forged = forged(|_| ());
    let expected = snp_expected(forged.statement());
    let by_its_own_root = forgers_verifier().verify(&forged, &expected, NOW_MS);
    assert!(by_its_own_root.is_ok(), "{by_its_own_root:?}");
    assert_eq!(variant(&verify(&forged, &expected)), "Signature");

    // And the pinned root does not help an intermediate that it never signed.
    let root = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/roots/amd-milan-ark.der"
    ));
    let mixed = SevSnpVerifier::danger_with_root(&root.unwrap(), &recorded("forged/ask.der"));
    let refused = mixed.verify(&forged, &expected, NOW_MS);
    assert_eq!(variant(&refused), "Signature");
}

#[test]
fn the_certificate_of_another_chip_is_refused() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    let other = snp_evidence("milan-debug").auxiliary().to_vec();
    let evidence = with(&evidence, evidence.statement().to_vec(), other);
    assert_eq!(variant(&verify(&evidence, &expected)), "Signature");
}

#[test]
fn certificates_hold_from_their_first_to_their_last_second() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    let at = |now_ms| SevSnpVerifier::default().verify(&evidence, &expected, now_ms);
    // 2023-04-03 19:23:43 UTC to 2030-04-03 19:23:43 UTC.
    let (first, last) = (1_680_549_823_000, 1_901_474_623_999);
    assert_eq!(
        at(first - 1),
        Err(VerifyError::NotYetValid("a certificate"))
    );
    assert!(at(first).is_ok());
    assert!(at(last).is_ok());
    assert_eq!(at(last + 1), Err(VerifyError::Expired("a certificate")));
    assert!(at(0).is_err() && at(u64::MAX).is_err());
}

#[test]
fn evidence_of_another_kind_is_refused() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    for kind in [Kind::Process, Kind::Tdx] {
        let (statement, auxiliary) = (evidence.statement(), evidence.auxiliary());
        let other = Evidence::new(kind, statement.to_vec(), auxiliary.to_vec()).unwrap();
        let refused = Err(VerifyError::OtherKind {
            found: kind,
            expected: Kind::SevSnp,
        });
        assert_eq!(verify(&other, &expected), refused);
    }
}

#[test]
fn a_table_of_certificates_is_read_strictly() {
    let evidence = snp_evidence("milan");
    let expected = snp_expected(evidence.statement());
    let table = evidence.auxiliary().to_vec();
    let judge = |table: Vec<u8>| {
        let evidence = with(&evidence, evidence.statement().to_vec(), table);
        variant(&verify(&evidence, &expected))
    };
    assert_eq!(judge(Vec::new()), "NoCollateral");
    assert_eq!(judge(vec![0; 24]), "NoCollateral");
    assert_eq!(judge(table[..24].repeat(40)), "Malformed");
    // Another entry before ours, as hypervisors put them: the ASK, here without content.
    let mut entry = [0; 24];
    entry[..2].copy_from_slice(&[0x4a, 0xb7]);
    let mut longer = [&entry, &table[..]].concat();
    longer[24 + 16] += 24;
    assert_eq!(judge(longer.clone()), "Ok");
    // The same, with two of ours.
    longer.copy_within(24..48, 0);
    assert_eq!(judge(longer), "Malformed");
    let mut outside = table.clone();
    outside[23] = 0x7f;
    assert_eq!(judge(outside), "Malformed");
}

/// A report that the forger's chip has signed: the recorded one of Milan, changed.
fn forged(change: impl Fn(&mut [u8])) -> Evidence {
    let mut report = recorded("sev-snp/milan-report.bin");
    change(&mut report);
    let random = SystemRandom::new();
    let key = recorded("forged/vcek-key.pk8");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key, &random).unwrap();
    let signature = key.sign(&random, &report[..0x2a0]).unwrap();
    for (number, at) in signature.as_ref().chunks(48).zip([0x2a0, 0x2a0 + 72]) {
        let little: Vec<u8> = number.iter().rev().copied().collect();
        report[at..at + 48].copy_from_slice(&little);
    }
    let table = certificate_table(&recorded("forged/vcek.der"));
    Evidence::new(Kind::SevSnp, report, table).unwrap()
}

fn forgers_verifier() -> SevSnpVerifier {
    SevSnpVerifier::danger_with_root(&recorded("forged/ark.der"), &recorded("forged/ask.der"))
}

/// How a report is judged that is well signed and says what `change` makes of it.
fn judged(change: impl Fn(&mut [u8])) -> String {
    let evidence = forged(change);
    let expected = snp_expected(evidence.statement());
    variant(&forgers_verifier().verify(&evidence, &expected, NOW_MS))
}

#[test]
fn well_signed_reports_are_judged_by_what_they_say() {
    assert_eq!(judged(|_| ()), "Ok");
    for version in [2, 3, 4, 5] {
        assert_eq!(judged(|report| report[0] = version), "Ok", "{version}");
    }
    for version in [0, 1, 6] {
        assert_eq!(
            judged(|report| report[0] = version),
            "Malformed",
            "{version}"
        );
    }
    // The policy: bit 18 for a migration agent, bit 19 for debug.
    assert_eq!(judged(|report| report[0x0a] |= 1 << 2), "Configuration");
    assert_eq!(judged(|report| report[0x0a] |= 1 << 3), "Debug");
    assert_eq!(judged(|report| report[0x30] = 1), "Configuration");
    assert_eq!(judged(|report| report[0x34] = 2), "Malformed");
    // The flags: a masked chip, and a VLEK.
    assert_eq!(judged(|report| report[0x48] |= 1 << 1), "Malformed");
    assert_eq!(judged(|report| report[0x48] |= 1 << 2), "Malformed");
    // The chip and the firmware that the certificate is for; and versions in Turin's layout.
    assert_eq!(judged(|report| report[0x1a0] ^= 1), "Signature");
    assert_eq!(judged(|report| report[0x180 + 7] -= 1), "Signature");
    assert_eq!(judged(|report| report[0x180 + 3] = 1), "Malformed");
}

#[test]
fn what_the_signature_does_not_cover_has_to_be_zero() {
    let evidence = forged(|_| ());
    let expected = snp_expected(evidence.statement());
    for at in [0x2a0 + 48, 0x2a0 + 71, 0x2a0 + 72 + 48, 0x2a0 + 144, 0x49f] {
        let mut statement = evidence.statement().to_vec();
        assert_eq!(statement[at], 0);
        statement[at] = 1;
        let evidence = with(&evidence, statement, evidence.auxiliary().to_vec());
        let refused = forgers_verifier().verify(&evidence, &expected, NOW_MS);
        assert_eq!(variant(&refused), "Malformed", "{at:#x}");
    }
}

#[test]
fn older_firmware_than_the_minimum_is_refused() {
    let evidence = snp_evidence("milan");
    let mut expected = snp_expected(evidence.statement());
    let found = SnpTcb {
        bootloader: 3,
        tee: 0,
        snp: 8,
        microcode: 0x73,
    };
    expected.snp_tcb_minimum = found;
    assert!(verify(&evidence, &expected).is_ok());
    for minimum in [
        SnpTcb {
            bootloader: 4,
            ..found
        },
        SnpTcb { tee: 1, ..found },
        SnpTcb { snp: 9, ..found },
        SnpTcb {
            microcode: 0x74,
            ..found
        },
    ] {
        expected.snp_tcb_minimum = minimum;
        assert_eq!(variant(&verify(&evidence, &expected)), "Tcb");
    }
    // The current, committed and launch versions count as well, each by itself.
    for at in [0x38, 0x1e0, 0x1f0] {
        let evidence = forged(|report| report[at + 6] = 7);
        let mut expected = snp_expected(evidence.statement());
        let judge =
            |expected: &Expected| variant(&forgers_verifier().verify(&evidence, expected, NOW_MS));
        assert_eq!(judge(&expected), "Ok");
        expected.snp_tcb_minimum = found;
        assert_eq!(judge(&expected), "Tcb", "{at:#x}");
    }
}

#[test]
fn the_pinned_certificates_are_those_of_amd() {
    // SHA-256 of the DER, as AMD's key distribution service hands it out.
    for (name, fingerprint) in [
        (
            "amd-milan-ark",
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        ),
        (
            "amd-milan-ask",
            "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
        ),
        (
            "amd-genoa-ark",
            "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        ),
        (
            "amd-genoa-ask",
            "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
        ),
    ] {
        let path = format!("{}/roots/{name}.der", env!("CARGO_MANIFEST_DIR"));
        let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(path).unwrap());
        assert_eq!(hex::encode(digest), fingerprint, "{name}");
    }
}
