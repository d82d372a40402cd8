//! Tests of finality proofs over chains of several epochs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_zebra::SigningKey;

use super::*;
use crate::testing::{History, committee_of, network, pin, vote_keys};

/// Four epochs: 4 validators, the same 4, 7 of which the first 4 are a part, and 4 of the 7.
fn history() -> History {
    let all = vote_keys(7);
    let founders = founders();
    let last: Vec<SigningKey> = all[3..].to_vec();
    let later = [founders.keys.clone(), all, last];
    History::new(founders, &later, |_| (Vec::new(), Vec::new()))
}

/// A network of four of the seven keys.
fn founders() -> crate::testing::Network {
    let all = vote_keys(7);
    let mut network = network(4);
    network.keys = all[..4].to_vec();
    network.genesis.validators = crate::testing::seats(&network.keys);
    network
}

/// The proof for one height with all steps that it needs.
fn proof_of(history: &History, first: u64, last: u64) -> FinalityProof {
    let epoch = history.headers[last as usize].epoch;
    let steps = [(2, 1), (3, 2)];
    let steps = steps.iter().filter(|(from, _)| epoch >= *from);
    let steps = steps.map(|(_, step)| history.step(*step)).collect();
    FinalityProof::new(steps, history.run(first, last), history.certificate(last))
}

#[test]
fn every_height_of_every_epoch_can_be_proven() {
    let history = history();
    let last = history.headers.len() as u64 - 1;
    assert_eq!(last, 12 * 4);
    for height in 1..=last {
        let proof = proof_of(&history, height, height);
        let known = proof.verify(&history.genesis).unwrap();
        let epoch = history.headers[height as usize].epoch as usize;
        assert!(known.same_committee(&history.epochs[epoch].0));
        assert_eq!(FinalityProof::decode(&proof.encode()), Ok(proof));
    }
    // Headers may run over the ends of epochs.
    for (first, end) in [(1, last), (5, 30), (0, 20), (24, 25), (36, 37)] {
        assert!(
            proof_of(&history, first, end)
                .verify(&history.genesis)
                .is_ok()
        );
    }
}

#[test]
fn superfluous_steps_do_no_harm() {
    let history = history();
    let steps = (0..3).map(|epoch| history.step(epoch)).collect();
    let certificate = history.certificate(40);
    let proof = FinalityProof::new(steps, history.run(40, 40), certificate);
    assert!(proof.verify(&history.genesis).is_ok());
}

#[test]
fn steps_must_be_there_and_in_order() {
    let history = history();
    let verify = |steps: &[usize], height: u64| {
        let steps = steps.iter().map(|epoch| history.step(*epoch)).collect();
        let run = history.run(height, height);
        FinalityProof::new(steps, run, history.certificate(height)).verify(&history.genesis)
    };
    assert!(verify(&[1, 2], 40).is_ok());
    assert_eq!(verify(&[], 40), Err(ProofError::Committee(40)));
    assert_eq!(verify(&[1], 40), Err(ProofError::Committee(40)));
    assert_eq!(verify(&[2], 40), Err(ProofError::Committee(36)));
    assert!(matches!(
        verify(&[2, 1], 40),
        Err(ProofError::Committee(36))
    ));
    assert!(matches!(
        verify(&[1, 1, 2], 40),
        Err(ProofError::Certificate { height: 24, .. })
    ));
    // Steps beyond the header's epoch.
    assert!(matches!(
        verify(&[1, 2], 30),
        Err(ProofError::Certificate { height: 30, .. })
    ));
    assert!(matches!(
        verify(&[1], 20),
        Err(ProofError::Certificate { height: 20, .. })
    ));
}

#[test]
fn votes_of_a_new_committee_do_not_pass_for_a_quorum_of_the_old() {
    let history = history();
    let height = 30;
    let header = history.headers[height as usize].clone();
    assert_eq!(header.epoch, 2);
    // Three of the four founders sit among the seven, whose quorum is five. Their honest votes are a quorum of the old
    // committee, but the block need not be final.
    let founders = &history.epochs[0].1;
    assert_eq!(committee_of(founders).quorum(), 3);
    let certificate = history.certificate_by(founders, height);
    let steps = Vec::new();
    let proof = FinalityProof::new(steps, vec![header], certificate);
    assert_eq!(
        proof.verify(&history.genesis),
        Err(ProofError::Committee(height))
    );
}

#[test]
fn a_step_of_another_kind_leads_nowhere() {
    let history = history();
    let height = 20;
    // Certified, but no boundary block.
    let step = EpochStep {
        header: history.headers[height as usize].clone(),
        certificate: history.certificate(height),
    };
    let run = history.run(21, 21);
    let certificate = history.certificate(21);
    let proof = FinalityProof::new(vec![step], run, certificate);
    assert_eq!(
        proof.verify(&history.genesis),
        Err(ProofError::Step(height))
    );
    // A boundary block that is certified by the committee that it makes.
    let height = 24;
    let mut proof = proof_of(&history, 30, 30);
    proof.steps[0].certificate = history.certificate_by(&history.epochs[2].1, height);
    assert!(matches!(
        proof.verify(&history.genesis),
        Err(ProofError::Certificate { height: 24, .. })
    ));
    // A certificate for another block.
    let mut proof = proof_of(&history, 30, 30);
    proof.steps[0].certificate = history.certificate(23);
    assert_eq!(
        proof.verify(&history.genesis),
        Err(ProofError::OtherBlock(24))
    );
    // Boundary blocks that say what they cannot.
    let altered = |alter: &dyn Fn(&mut EpochDefinition)| {
        let mut history = self::history();
        let header = &mut history.headers[24];
        alter(header.next_epoch.as_mut().unwrap());
        let proof = proof_of(&history, 30, 30);
        assert_eq!(proof.verify(&history.genesis), Err(ProofError::Step(24)));
    };
    altered(&|next| next.epoch = 3);
    altered(&|next| next.validators.clear());
    altered(&|next| next.parameters.epoch_blocks = 0);
}

#[test]
fn certificates_and_headers_are_checked() {
    let history = history();
    let genesis = &history.genesis;
    let proof = proof_of(&history, 28, 31);
    assert!(proof.verify(genesis).is_ok());
    let refused = |alter: &dyn Fn(&mut FinalityProof), expected: &ProofError| {
        let mut proof = proof.clone();
        alter(&mut proof);
        assert_eq!(proof.verify(genesis).as_ref(), Err(expected));
    };
    refused(&|one| one.headers.clear(), &ProofError::Empty);
    refused(&|one| one.version = 2, &ProofError::Version(2));
    refused(&|one| drop(one.headers.pop()), &ProofError::OtherBlock(30));
    let error = BlockError::Parent("height is not the next");
    refused(
        &|one| drop(one.headers.remove(1)),
        &ProofError::Header { height: 30, error },
    );
    let error = BlockError::Parent("parent digest differs");
    refused(
        &|one| one.headers[0].time_ms -= 1,
        &ProofError::Header { height: 29, error },
    );
    let few = |one: &mut FinalityProof| {
        one.certificate.signers.pop();
        one.certificate.signatures.pop();
    };
    let error = CertificateError::Quorum {
        needed: 5,
        found: 4,
    };
    refused(&few, &ProofError::Certificate { height: 31, error });
    refused(
        &|one| one.headers[0].network.0[0] ^= 1,
        &ProofError::Network,
    );
    refused(
        &|one| one.steps[0].header.network.0[0] ^= 1,
        &ProofError::Network,
    );
    let mut other = genesis.clone();
    other.created_ms += 1;
    assert_eq!(proof.verify(&other), Err(ProofError::Network));
}

#[test]
fn a_certificate_of_another_epoch_is_refused() {
    let history = history();
    let height = 20;
    let header = history.headers[height as usize].clone();
    let keys = &history.epochs[1].1;
    let namespace = history.genesis.namespace();
    // The same four validators, who vote in the wrong epoch.
    let place = (0, 29, 28);
    let certificate = crate::testing::certify(keys, &namespace, place, header.digest(), 3);
    let proof = FinalityProof::new(Vec::new(), vec![header], certificate);
    let error = CertificateError::Epoch {
        expected: 1,
        found: 0,
    };
    assert_eq!(
        proof.verify(&history.genesis),
        Err(ProofError::Certificate { height, error })
    );
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_proof_fails() {
    // Small committees, so that all bits can be tried in a few seconds.
    let later = [vote_keys(1), vote_keys(2), vote_keys(1)];
    let history = History::new(network(1), &later, |_| (Vec::new(), Vec::new()));
    let proof = proof_of(&history, 25, 26);
    let bytes = proof.encode();
    assert!(proof.verify(&history.genesis).is_ok());
    let holds = |bytes: &[u8]| {
        let proof = FinalityProof::decode(bytes);
        proof.is_ok_and(|proof| proof.verify(&history.genesis).is_ok())
    };
    assert!(holds(&bytes));
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[index] ^= 1 << bit;
            assert!(!holds(&altered), "byte {index} bit {bit}");
        }
        assert!(!holds(&bytes[..index]));
    }
    assert!(!holds(&[&bytes[..], &[0]].concat()));
    let huge = vec![0; MAX_PROOF_BYTES + 1];
    assert_eq!(FinalityProof::decode(&huge), Err(ProofError::Malformed));
}

#[test]
fn the_encoding_is_pinned() {
    let bytes = proof_of(&history(), 25, 26).encode();
    assert_eq!(
        pin(&bytes),
        "0b0fb2c4f62a7040d9d34fe8fc0ffcf009dd48508a282d6f4a05e9018722ab9c"
    );
}
