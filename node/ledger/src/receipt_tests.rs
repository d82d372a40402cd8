//! Tests of receipts: what they prove, and that nothing else passes for one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use sealbook_primitives::hash::hash;
use sealbook_primitives::signature::SigningKey;

use super::*;
use crate::outcome_hashes;
use crate::testing::{History, network, pin, vote_keys};

/// The block whose transactions have receipts, in the third epoch, after one change of validators.
const ORDERED: u64 = 27;
/// The block whose header commits to its results.
const COMMITS: u64 = 29;
const TRANSACTIONS: usize = 3;
/// Orders in each transaction.
const ORDERS: u32 = 2;

fn transactions(height: u64) -> Vec<Transaction> {
    let key = SigningKey::from_seed([7; 32]);
    let network = Digest([3; 32]);
    let envelope = |place: usize| Bytes::from(format!("envelope {height} {place}"));
    let carried = |place| Transaction::carried(1, &key, &network, envelope(place));
    (0..TRANSACTIONS).map(carried).collect()
}

fn blinding(transaction: &Digest) -> [u8; 32] {
    hash("sealbook test blinding", &[transaction.as_bytes()]).0
}

fn outcome(order: u32) -> Vec<u8> {
    vec![0, u8::try_from(order).unwrap()]
}

fn orders(transaction: &Digest) -> Vec<Digest> {
    let blinding = blinding(transaction);
    let hash = |order| outcome_hash(&blinding, order, &outcome(order));
    (0..ORDERS).map(hash).collect()
}

fn leaves(height: u64) -> Vec<Digest> {
    let leaf = |transaction: &Transaction| {
        let id = transaction.id();
        outcome_leaf(&id, &log::root(&orders(&id)))
    };
    transactions(height).iter().map(leaf).collect()
}

fn commitment(height: u64) -> Commitment {
    let leaves = leaves(height);
    Commitment {
        version: Commitment::VERSION,
        height,
        state_root: hash("sealbook test state", &[&height.to_le_bytes()]),
        network_root: Digest([8; 32]),
        outcomes: leaves.len() as u64,
        outcomes_root: log::root(&leaves),
        snapshot: None,
        next_epoch: None,
    }
}

/// Epochs of 4, 4 and 7 validators. Every header commits to the results of the block two before it.
fn history() -> History {
    history_of(4, 7)
}

/// The same with committees of so many validators before and after the change.
fn history_of(before: usize, after: usize) -> History {
    let founders = network(before);
    let later = [founders.keys.clone(), vote_keys(after)];
    History::new(founders, &later, |height| {
        let executed = height.checked_sub(2).filter(|height| *height > 0);
        let roots = executed.map(|height| commitment(height).digest());
        (transactions(height), roots.into_iter().collect())
    })
}

fn shown(id: &Digest, order: u32) -> ShownOutcome {
    ShownOutcome {
        order,
        path: log::prove(&orders(id), u64::from(order)).unwrap(),
        outcome: outcome(order),
    }
}

fn receipt(history: &History, place: usize) -> Receipt {
    let transactions = transactions(ORDERED);
    let leaves_of: Vec<Digest> = transactions.iter().map(Transaction::leaf).collect();
    let one = &transactions[place];
    let id = one.id();
    let index = place as u64;
    Receipt {
        version: Receipt::VERSION,
        transaction: id,
        carrier: one.carrier,
        signature: one.signature,
        place: index,
        count: leaves_of.len() as u64,
        path: log::prove(&leaves_of, index).unwrap(),
        commitment: commitment(ORDERED),
        outcomes: OutcomesProof {
            place: index,
            path: log::prove(&leaves(ORDERED), index).unwrap(),
            blinding: blinding(&id),
            orders: u64::from(ORDERS),
            orders_root: log::root(&orders(&id)),
            shown: (0..ORDERS).map(|order| shown(&id, order)).collect(),
        },
        proof: FinalityProof::new(
            vec![history.step(1)],
            history.run(ORDERED, COMMITS),
            history.certificate(COMMITS),
        ),
    }
}

#[test]
fn a_receipt_proves_height_time_and_outcomes() {
    let history = history();
    for place in 0..TRANSACTIONS {
        let receipt = receipt(&history, place);
        let proven = Proven {
            height: ORDERED,
            time_ms: history.headers[ORDERED as usize].time_ms,
            committed_by: COMMITS,
            epoch: 2,
        };
        assert_eq!(receipt.verify(&history.genesis), Ok(proven));
        assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
    }
    // One outcome may be shown without the others.
    let mut receipt = receipt(&history, 1);
    receipt.outcomes.shown.remove(0);
    assert!(receipt.verify(&history.genesis).is_ok());
    // More headers than needed do no harm.
    receipt.proof.headers = history.run(ORDERED, COMMITS + 3);
    receipt.proof.certificate = history.certificate(COMMITS + 3);
    let proven = receipt.verify(&history.genesis).unwrap();
    assert_eq!(proven.committed_by, COMMITS);
}

#[test]
fn what_a_receipt_says_cannot_be_swapped() {
    let history = history();
    let sound = receipt(&history, 0);
    let other = receipt(&history, 1);
    let refused = |alter: &dyn Fn(&mut Receipt), expected: ReceiptError| {
        let mut receipt = sound.clone();
        alter(&mut receipt);
        assert_eq!(receipt.verify(&history.genesis), Err(expected));
    };
    let listed = ReceiptError::Transaction(ORDERED);
    refused(&|one| one.transaction = other.transaction, listed.clone());
    refused(&|one| one.signature = other.signature, listed.clone());
    refused(&|one| one.carrier = 2, listed.clone());
    refused(&|one| one.place = 1, listed.clone());
    refused(&|one| one.count = 2, listed.clone());
    refused(&|one| one.path = other.path.clone(), listed.clone());
    let both = |one: &mut Receipt| {
        one.place = 1;
        one.path = other.path.clone();
    };
    refused(&both, listed);
    let outcomes = ReceiptError::Outcomes(ORDERED);
    refused(
        &|one| one.outcomes = other.outcomes.clone(),
        outcomes.clone(),
    );
    refused(&|one| one.outcomes.place = 1, outcomes.clone());
    refused(&|one| one.outcomes.orders_root.0[0] ^= 1, outcomes.clone());
    refused(&|one| one.outcomes.shown.clear(), outcomes);
    let of = |order| ReceiptError::Outcome {
        height: ORDERED,
        order,
    };
    refused(&|one| one.outcomes.blinding[0] ^= 1, of(0));
    refused(&|one| one.outcomes.orders = 3, of(0));
    refused(&|one| one.outcomes.shown[1].outcome = vec![0, 0], of(1));
    refused(&|one| one.outcomes.shown[1].outcome.clear(), of(1));
    let swap = |one: &mut Receipt| {
        let (first, second) = (outcome(0), outcome(1));
        one.outcomes.shown[0].outcome = second;
        one.outcomes.shown[1].outcome = first;
    };
    refused(&swap, of(0));
    refused(&|one| one.outcomes.shown[0].order = 1, of(1));
    refused(&|one| one.outcomes.shown[0].order = 9, of(9));
    refused(
        &|one| one.outcomes.shown[0].path = one.outcomes.shown[1].path.clone(),
        of(0),
    );
    refused(&|one| one.version = 3, ReceiptError::Version(3));
}

#[test]
fn the_results_must_be_those_that_a_header_commits_to() {
    let history = history();
    let sound = receipt(&history, 0);
    let missing = Err(ReceiptError::Commitment(ORDERED));
    let verify = |alter: &dyn Fn(&mut Receipt)| {
        let mut receipt = sound.clone();
        alter(&mut receipt);
        receipt.verify(&history.genesis)
    };
    assert_eq!(verify(&|one| one.commitment.height += 1), missing);
    assert_eq!(verify(&|one| one.commitment.outcomes += 1), missing);
    assert_eq!(
        verify(&|one| one.commitment = commitment(ORDERED + 1)),
        missing
    );
    assert_eq!(
        verify(&|one| one.commitment = commitment(ORDERED - 1)),
        missing
    );
    // Final headers that do not reach the one that commits.
    let early = |one: &mut Receipt| {
        one.proof.headers = history.run(ORDERED, COMMITS - 1);
        one.proof.certificate = history.certificate(COMMITS - 1);
    };
    assert_eq!(verify(&early), missing);
    // Another block than the one that ordered the transaction.
    let late = |one: &mut Receipt| one.proof.headers = history.run(ORDERED + 1, COMMITS);
    let listed = Err(ReceiptError::Transaction(ORDERED + 1));
    assert_eq!(verify(&late), listed);
    let none = |one: &mut Receipt| one.proof.headers.clear();
    assert_eq!(verify(&none), Err(ProofError::Empty.into()));
    let step = |one: &mut Receipt| one.proof.steps.clear();
    assert_eq!(verify(&step), Err(ProofError::Committee(COMMITS).into()));
    let mut other = history.genesis.clone();
    other.network_name.push('x');
    assert_eq!(sound.verify(&other), Err(ProofError::Network.into()));
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_receipt_fails() {
    // Small committees, so that all bits can be tried in a few seconds.
    let history = history_of(1, 2);
    let bytes = receipt(&history, 1).encode();
    let holds = |bytes: &[u8]| {
        let receipt = Receipt::decode(bytes);
        receipt.is_ok_and(|receipt| receipt.verify(&history.genesis).is_ok())
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
    let huge = vec![0; MAX_RECEIPT_BYTES + 1];
    assert_eq!(Receipt::decode(&huge), Err(ReceiptError::Malformed));
}

#[test]
fn outcomes_hashed_together_are_those_hashed_alone() {
    let outcomes: Vec<Vec<u8>> = (0..150)
        .map(|length| vec![length; usize::from(length)])
        .collect();
    for count in [0, 1, 16, 17, 150] {
        let some = || outcomes.iter().take(count).map(Vec::as_slice);
        let alone: Vec<Digest> = (0..)
            .zip(some())
            .map(|(order, one)| outcome_hash(&[7; 32], order, one))
            .collect();
        assert_eq!(outcome_hashes(&[7; 32], some()), alone);
        let distinct: std::collections::BTreeSet<&Digest> = alone.iter().collect();
        assert_eq!(distinct.len(), count);
    }
    // Padding is not content.
    assert_ne!(
        outcome_hash(&[7; 32], 0, b"a"),
        outcome_hash(&[7; 32], 0, b"a\0")
    );
}

#[test]
fn encodings_are_pinned() {
    let receipt = receipt(&history(), 1);
    let id = receipt.transaction;
    let pins = [
        pin(&receipt.encode()),
        receipt.commitment.digest().to_string(),
        outcome_hash(&[1; 32], 2, b"outcome").to_string(),
        outcome_leaf(&id, &Digest([2; 32])).to_string(),
    ];
    assert_eq!(
        pins,
        [
            "0b3aae82cf6687552adf82167e2d355e62f7410f306a1cdfea6edd2988f32da3",
            "3aaa814d05703a98458237c18ce8a3fe6bfdda0c7bf0aab931d3687af9c5372f",
            "3301e8e838e33fdd59641a6ca94af05094b425f54d29e32287dbfb2ac474769a",
            "40d9bc39e8f7274b15a6d432a01f681eab50672031a2c2c3a315df6608ea711d"
        ]
    );
}
