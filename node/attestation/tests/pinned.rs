//! The encodings as they are fixed: they change only on purpose, with their version.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use sealbook_attestation::{
    Attestor, Collateral, EVIDENCE_VERSION, Evidence, EvidenceError, Kind, MAX_AUXILIARY_BYTES,
    MAX_EVIDENCE_BYTES, MAX_STATEMENT_BYTES, ProcessAttestor, certificate_table, report_data,
};
use sealbook_primitives::hash::{Digest, hash};

#[test]
fn evidence_is_pinned() {
    let evidence = |kind| Evidence::new(kind, vec![0xaa, 0xbb], vec![0xcc]).unwrap();
    for (kind, expected) in [
        (Kind::Process, "010102000000aabb01000000cc"),
        (Kind::SevSnp, "010202000000aabb01000000cc"),
        (Kind::Tdx, "010302000000aabb01000000cc"),
    ] {
        let bytes = evidence(kind).encode();
        assert_eq!(hex::encode(&bytes), expected);
        assert_eq!(Evidence::decode(&bytes), Ok(evidence(kind)));
    }
}

#[test]
fn report_data_is_pinned_and_binds_each_part() {
    let data = report_data(&Digest([1; 32]), &[2; 32], &[3; 32]);
    assert_eq!(hex::encode(data), REPORT_DATA);
    let others = [
        report_data(&Digest([0; 32]), &[2; 32], &[3; 32]),
        report_data(&Digest([1; 32]), &[2; 31], &[3; 32]),
        report_data(&Digest([1; 32]), &[2; 33], &[3; 32]),
        report_data(&Digest([1; 32]), &[3; 32], &[2; 32]),
        report_data(&Digest([1; 32]), &[2; 32], &[4; 32]),
    ];
    for other in others {
        // Both halves bind all of it.
        assert_ne!(other[..32], data[..32]);
        assert_ne!(other[32..], data[32..]);
    }
    assert_ne!(data[..32], data[32..]);
}

const REPORT_DATA: &str = "f6ba6a003895d9fd7a7af0c9ddca333fb39c370ddf5f16e48789005a14048784\
    a2c6549bff611677fa59222a99c24edb2c63d52f5632fb44d762692851bc1f48";

#[test]
fn the_statement_of_a_process_is_pinned() {
    let evidence = ProcessAttestor::new(Digest([5; 32])).attest(&[6; 64]);
    let expected = [[6; 32], [6; 32], [5; 32]].concat();
    assert_eq!(evidence.unwrap().statement(), expected);
}

#[test]
fn collateral_is_pinned() {
    let collateral = support::collateral("version-15ex");
    let bytes = collateral.encode();
    let digest = hash("pinned", &[&bytes]);
    assert_eq!(digest.to_string(), COLLATERAL);
    assert_eq!(Collateral::decode(&bytes), Ok(collateral));
    // Its version, nine empty parts and no tenth.
    let empty = Collateral::default().encode();
    assert_eq!(empty, [&[1][..], &[0; 37]].concat());
}

const COLLATERAL: &str = "0b54d66ac05216f07e5ca787539c9ba57440f51edf1a619ebb16c43a9a3174a9";

#[test]
fn the_table_of_certificates_is_pinned() {
    assert_eq!(
        hex::encode(certificate_table(&[0xab; 3])),
        "63da758de6644564adc5f4b93be8accd3000000003000000\
         000000000000000000000000000000000000000000000000ababab"
    );
}

#[test]
fn only_canonical_evidence_within_its_limits_is_read() {
    let evidence = Evidence::new(Kind::Tdx, vec![1; 9], vec![2; 9]).unwrap();
    let bytes = evidence.encode();
    for length in 0..bytes.len() {
        assert!(Evidence::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Evidence::decode(&[&bytes[..], &[0]].concat()).is_err());
    for kind in (0..=255).filter(|kind| ![1, 2, 3].contains(kind)) {
        let other = [&[EVIDENCE_VERSION, kind], &bytes[2..]].concat();
        assert!(Evidence::decode(&other).is_err(), "{kind}");
    }
    for found in (0..=255).filter(|version| *version != EVIDENCE_VERSION) {
        let other = [&[found], &bytes[1..]].concat();
        let known = EVIDENCE_VERSION;
        let refused = Err(EvidenceError::Version { found, known });
        assert_eq!(Evidence::decode(&other), refused);
    }
}

#[test]
fn limits_are_exact() {
    let largest = |statement: usize, auxiliary: usize| {
        Evidence::new(Kind::SevSnp, vec![0; statement], vec![0; auxiliary])
    };
    let full = largest(MAX_STATEMENT_BYTES, MAX_AUXILIARY_BYTES).unwrap();
    assert_eq!(full.encode().len(), MAX_EVIDENCE_BYTES);
    assert_eq!(Evidence::decode(&full.encode()), Ok(full));
    assert!(largest(MAX_STATEMENT_BYTES + 1, 0).is_err());
    assert!(largest(0, MAX_AUXILIARY_BYTES + 1).is_err());
    // A statement that takes the other part's room is refused although the whole is short enough.
    let mut stolen = vec![EVIDENCE_VERSION, 2];
    let length = MAX_STATEMENT_BYTES + 1;
    stolen.extend(u32::try_from(length).unwrap().to_le_bytes());
    stolen.extend(vec![0; length + 4]);
    let refused = Evidence::decode(&stolen);
    assert!(matches!(refused, Err(EvidenceError::TooLong { .. })));
}
