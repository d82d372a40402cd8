//! The backend that proves nothing, and the policy that refuses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;

use sealbook_attestation::{
    Attestor, Evidence, Expected, Gate, Kind, Measurement, Policy, ProcessAttestor,
    ProcessVerifier, Verifier, VerifyError, report_data,
};
use sealbook_primitives::hash::Digest;

const CLAIMED: Digest = Digest([5; 32]);

fn data(nonce: u8) -> [u8; 64] {
    report_data(&Digest([1; 32]), &[2; 32], &[nonce; 32])
}

fn evidence() -> Evidence {
    ProcessAttestor::new(CLAIMED).attest(&data(1)).unwrap()
}

fn expected(nonce: u8) -> Expected {
    let measurements = BTreeSet::from([Measurement::Process(CLAIMED)]);
    Expected::new(data(nonce), measurements)
}

fn permissive() -> Policy {
    Policy {
        accept_process: true,
        ..Policy::default()
    }
}

#[test]
fn a09_a_process_is_refused_by_default() {
    let refused = Err(VerifyError::Refused(Kind::Process));
    let (evidence, expected) = (evidence(), expected(1));
    let by_default = Gate::new(Policy::default())
        .with(Kind::Process, ProcessVerifier::new(permissive()))
        .verify(&evidence, &expected, 0);
    assert_eq!(by_default, refused);
    let alone = ProcessVerifier::default().verify(&evidence, &expected, 0);
    assert_eq!(alone, refused);
    // Where a policy accepts it, it passes: it was the policy that refused.
    let accepted = Gate::new(permissive())
        .with(Kind::Process, ProcessVerifier::new(permissive()))
        .verify(&evidence, &expected, 0);
    assert_eq!(accepted.unwrap().kind, Kind::Process);
}

#[test]
fn what_a_process_states_has_to_be_as_expected_all_the_same() {
    let verifier = ProcessVerifier::new(permissive());
    let replayed = verifier.verify(&evidence(), &expected(2), 0);
    assert_eq!(replayed, Err(VerifyError::OtherReportData));
    let mut other = expected(1);
    other.measurements = BTreeSet::from([Measurement::Process(Digest([6; 32]))]);
    let judged = verifier.verify(&evidence(), &other, 0);
    assert!(matches!(judged, Err(VerifyError::OtherMeasurement(_))));
    // A launch digest that begins with the same bytes is another measurement.
    other.measurements = BTreeSet::from([Measurement::SevSnp([5; 48])]);
    assert!(verifier.verify(&evidence(), &other, 0).is_err());
}

#[test]
fn a_statement_has_one_length() {
    let verifier = ProcessVerifier::new(permissive());
    let statement = evidence().statement().to_vec();
    let judge = |statement: &[u8], auxiliary: &[u8]| {
        let evidence = Evidence::new(Kind::Process, statement.to_vec(), auxiliary.to_vec());
        verifier.verify(&evidence.unwrap(), &expected(1), 0)
    };
    assert!(judge(&statement, &[]).is_ok());
    assert!(judge(&statement, &[0]).is_err());
    for length in 0..statement.len() {
        assert!(judge(&statement[..length], &[]).is_err(), "{length}");
    }
    assert!(judge(&[&statement[..], &[0]].concat(), &[]).is_err());
}

#[test]
fn evidence_of_another_kind_does_not_pass_as_a_process() {
    let statement = evidence().statement().to_vec();
    for kind in [Kind::SevSnp, Kind::Tdx] {
        let other = Evidence::new(kind, statement.clone(), Vec::new()).unwrap();
        let judged = ProcessVerifier::new(permissive()).verify(&other, &expected(1), 0);
        assert!(matches!(judged, Err(VerifyError::OtherKind { .. })));
    }
}

#[test]
fn the_gate_refuses_what_it_cannot_verify() {
    let tdx = Evidence::new(Kind::Tdx, Vec::new(), Vec::new()).unwrap();
    let judge = |gate: Gate| gate.verify(&tdx, &expected(1), 0);
    let missing = judge(Gate::new(Policy::default()));
    assert_eq!(missing, Err(VerifyError::NoVerifier(Kind::Tdx)));
    // Under the wrong name a verifier is of no use.
    let misplaced = Gate::new(permissive()).with(Kind::Tdx, ProcessVerifier::new(permissive()));
    assert!(matches!(
        judge(misplaced),
        Err(VerifyError::OtherKind { .. })
    ));
    let refusing = Policy {
        accept_tdx: false,
        accept_sev_snp: false,
        ..permissive()
    };
    let refused = judge(Gate::new(refusing));
    assert_eq!(refused, Err(VerifyError::Refused(Kind::Tdx)));
    let admitted =
        [Kind::Process, Kind::SevSnp, Kind::Tdx].map(|kind| refusing.admit(kind).is_ok());
    assert_eq!(admitted, [true, false, false]);
}
