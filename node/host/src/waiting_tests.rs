#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use sealbook_ledger::{EPOCH_VERSION, Opening, Parameters, ValidatorSeat};
use sealbook_primitives::signature::SigningKey;
use sealbook_sealing::{EnvelopeHeader, Suite};

use super::*;

const NETWORK: Digest = Digest([7; 32]);
const HORIZON_MS: u64 = 1_000;

fn key(number: u8) -> VerifyingKey {
    SigningKey::from_seed([number; 32]).verifying_key()
}

fn me() -> VerifyingKey {
    key(1)
}

fn member(number: u8) -> Lane {
    Lane::Member(key(100 + number))
}

fn waiting() -> Waiting {
    Waiting::new(me())
}

fn definition() -> EpochDefinition {
    let seat = |number: u8| ValidatorSeat {
        name: format!("node-{number}"),
        vote_key: key(number),
        module_key: Vec::new(),
        address: "127.0.0.1:1".to_owned(),
    };
    EpochDefinition {
        version: EPOCH_VERSION,
        epoch: 0,
        first_height: 0,
        last_height: 100,
        validators: (1..=4).map(seat).collect(),
        observers: Vec::new(),
        parameters: Parameters::default(),
        opening: Opening {
            key_epoch: 0,
            public_key: vec![1; 33],
            since_height: 0,
            record: Digest::ZERO,
        },
    }
}

/// A transaction as it looks from outside; nobody here could open it anyway.
fn carried(by: VerifyingKey, number: u32, expires_ms: u64, attachments: Vec<Vec<u8>>) -> Carried {
    let mut encapsulated = vec![0; 32];
    encapsulated[..4].copy_from_slice(&number.to_le_bytes());
    let envelope = Envelope {
        header: EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, NETWORK, 0, expires_ms),
        encapsulated,
        ciphertext: vec![number as u8; 512 + 16],
    };
    Carried {
        version: CARRIED_VERSION,
        carrier: by,
        signature: Signature([0; 64]),
        transaction: envelope.encode(),
        attachments,
    }
}

/// With its name, as it is taken.
fn named(one: Carried) -> (Digest, Carried) {
    (id(&one), one)
}

fn own(number: u32) -> Carried {
    carried(me(), number, 500, Vec::new())
}

fn id(carried: &Carried) -> Digest {
    Transaction::id_of(&carried.transaction)
}

fn pick(waiting: &Waiting, quota: u64, taken: &BTreeSet<Digest>) -> Vec<(u16, Bytes)> {
    let (transactions, _) = waiting.pick((1, 100), &definition(), &|_| quota, taken);
    transactions
        .into_iter()
        .map(|one| (one.carrier, one.envelope().clone()))
        .collect()
}

#[test]
fn carriers_are_verified_together_and_one_wrong_signature_shows() {
    let signed = |seed: u8, number: u32| {
        let key = SigningKey::from_seed([seed; 32]);
        let one = carried(key.verifying_key(), number, 500, Vec::new());
        let one = Carried::own(&key, &NETWORK, (&id(&one), one.transaction), Vec::new());
        (id(&one), one)
    };
    let good = [signed(2, 1), signed(3, 2), signed(2, 3)];
    assert!(Carried::verify_all(&NETWORK, &good));
    assert!(!Carried::verify_all(&Digest([8; 32]), &good));
    for place in 0..good.len() {
        let mut all = good.clone();
        all[place].1.carrier = key(4);
        assert!(!Carried::verify_all(&NETWORK, &all));
        for (number, (id, one)) in all.iter().enumerate() {
            assert_eq!(one.verify(&NETWORK, id), number != place);
        }
    }
    // Of one, or none, it says nothing good.
    assert!(!Carried::verify_all(&NETWORK, &good[..1]));
    assert!(!Carried::verify_all(&NETWORK, &[]));
}

#[test]
fn own_transactions_leave_once_they_were_passed_on_with_their_attachments() {
    let mut waiting = waiting();
    let all: Vec<Carried> = [3, 1, 2]
        .map(|number| carried(me(), number, 500, vec![vec![number as u8; 10]]))
        .into();
    for one in &all {
        waiting
            .add(named(one.clone()), member(1), 100, HORIZON_MS)
            .unwrap();
    }
    assert!(pick(&waiting, u64::MAX, &BTreeSet::new()).is_empty());
    assert_eq!(waiting.to_pass_on(100), all);
    assert!(waiting.to_pass_on(100).is_empty());
    let picked = pick(&waiting, u64::MAX, &BTreeSet::new());
    let expected: Vec<(u16, Bytes)> = all
        .iter()
        .map(|one| (0, Bytes::from(one.transaction.clone())))
        .collect();
    assert_eq!(picked, expected);
    let (_, attachments) = waiting.pick((1, 100), &definition(), &|_| u64::MAX, &BTreeSet::new());
    assert_eq!(attachments.len(), 3);
    // What an ancestor carries already and what has expired stays out.
    let taken = BTreeSet::from([id(&all[0])]);
    assert_eq!(pick(&waiting, u64::MAX, &taken), expected[1..]);
    assert!(
        waiting
            .pick((1, 501), &definition(), &|_| u64::MAX, &BTreeSet::new())
            .0
            .is_empty()
    );
    waiting.remove(&id(&all[1]));
    assert_eq!(waiting.len(), 2);
    waiting.expire(500);
    assert!(waiting.is_empty());
    assert_eq!((waiting.bytes, waiting.passed_on_bytes), (0, 0));
    assert!(waiting.lanes.is_empty() && waiting.passed_on.is_empty());
}

#[test]
fn carriers_take_turns_each_within_its_quota() {
    let mut waiting = waiting();
    for number in 0..20 {
        let one = carried(key(2), number, 500, Vec::new());
        let lane = Lane::Carrier(key(2));
        waiting.add(named(one), lane, 100, HORIZON_MS).unwrap();
    }
    let other = carried(key(4), 90, 500, Vec::new());
    let lane = Lane::Carrier(key(4));
    waiting.add(named(other), lane, 100, HORIZON_MS).unwrap();
    waiting
        .add(named(own(91)), member(1), 100, HORIZON_MS)
        .unwrap();
    waiting.to_pass_on(100);
    let carriers = |quota| -> Vec<u16> {
        pick(&waiting, quota, &BTreeSet::new())
            .into_iter()
            .map(|(carrier, _)| carrier)
            .collect()
    };
    assert_eq!(carriers(u64::MAX)[..4], [0, 1, 3, 1]);
    assert_eq!(carriers(u64::MAX).len(), 22);
    // One always fits, however small the quota is.
    assert_eq!(carriers(0), [0, 1, 3]);
    // A carrier that is no node of the epoch cannot be named in a block.
    let stranger = carried(key(9), 92, 500, Vec::new());
    let lane = Lane::Carrier(key(9));
    waiting.add(named(stranger), lane, 100, HORIZON_MS).unwrap();
    assert_eq!(carriers_of(&waiting).len(), 22);
}

fn carriers_of(waiting: &Waiting) -> Vec<(u16, Bytes)> {
    pick(waiting, u64::MAX, &BTreeSet::new())
}

#[test]
fn a_member_that_floods_fills_its_own_lane_and_others_keep_their_turn() {
    let mut waiting = waiting();
    let mut taken = 0;
    let refusal = loop {
        match waiting.add(named(own(taken)), member(1), 100, HORIZON_MS) {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(taken as usize, MEMBER_MAX);
    assert!(matches!(refusal, Refusal::Share { count, .. } if count == MEMBER_MAX));
    assert!(refusal.to_string().contains("4096 transactions of yours"));
    // Only a window of them is under way, and the next of another member goes out after one more at most.
    let window = waiting.to_pass_on(100).len();
    assert!(window < MEMBER_MAX || waiting.passed_on_bytes <= WINDOW_BYTES);
    let late = own(1_000_000);
    waiting
        .add(named(late.clone()), member(2), 100, HORIZON_MS)
        .unwrap();
    let ordered: Vec<Digest> = waiting.passed_on.iter().take(2).copied().collect();
    for one in ordered {
        waiting.remove(&one);
    }
    let next = waiting.to_pass_on(101);
    assert!(
        next.iter().take(2).any(|one| *one == late),
        "{}",
        next.len()
    );
}

#[test]
fn what_is_not_a_transaction_of_this_network_or_moment_is_refused() {
    let mut waiting = waiting();
    let mut add = |one: Carried, now_ms| waiting.add(named(one), member(1), now_ms, HORIZON_MS);
    assert_eq!(add(own(1), 500), Err(Refusal::Expiry("past")));
    let late = carried(me(), 1, 5_000, vec![]);
    assert_eq!(add(late, 100), Err(Refusal::Expiry("too far ahead")));
    let large = carried(me(), 1, 500, vec![vec![0; MAX_ATTACHMENT_BYTES + 1]]);
    assert!(matches!(add(large, 100), Err(Refusal::Malformed(_))));
    let many = carried(me(), 1, 500, vec![vec![0; MAX_ATTACHMENT_BYTES]; 64]);
    assert!(matches!(add(many, 100), Err(Refusal::Malformed(_))));
    let mut junk = own(1);
    junk.transaction = vec![1; 600];
    assert!(matches!(add(junk, 100), Err(Refusal::Malformed(_))));
    add(own(1), 100).unwrap();
    assert_eq!(add(own(1), 100), Err(Refusal::Known));
    let other = check_envelope(&own(1).transaction, &Digest([8; 32]), &definition(), 1);
    assert!(matches!(other, Err(Refusal::Malformed(_))));
}

#[test]
fn only_own_submissions_are_passed_on_again_and_not_at_once() {
    let mut waiting = waiting();
    waiting
        .add(named(own(1)), member(1), 100, HORIZON_MS)
        .unwrap();
    let other = carried(key(2), 2, 500, vec![]);
    waiting
        .add(named(other), Lane::Carrier(key(2)), 100, HORIZON_MS)
        .unwrap();
    assert!(waiting.overdue(600, 700, 10).is_empty());
    assert_eq!(waiting.to_pass_on(100), [own(1)]);
    assert!(waiting.overdue(100, 100, 10).is_empty());
    assert_eq!(waiting.overdue(600, 700, 10), [own(1)]);
    assert!(waiting.overdue(650, 750, 10).is_empty());
}

#[test]
fn what_another_node_sends_is_read_with_care() {
    let good = borsh::to_vec(&own(1)).unwrap();
    assert_eq!(Carried::decode(&good), Some(own(1)));
    assert_eq!(Carried::decode(&good[1..]), None);
    assert_eq!(Carried::decode(&[&good[..], &[0]].concat()), None);
    assert_eq!(Carried::decode(&vec![2; CARRIED_BYTES_MAX + 1]), None);
}

#[test]
fn a_member_may_bring_here_what_waits_for_another_carrier() {
    let mut waiting = waiting();
    let theirs = carried(key(2), 1, 500, vec![vec![7; 10]]);
    let ours = carried(me(), 1, 500, Vec::new());
    let id = id(&ours);
    assert_eq!(id, self::id(&theirs));
    let add = |waiting: &mut Waiting, carried: &Carried, lane| {
        waiting.add(named(carried.clone()), lane, 100, HORIZON_MS)
    };
    add(&mut waiting, &theirs, Lane::Carrier(key(2))).unwrap();
    assert!(waiting.contains(&id) && !waiting.contains_own(&id));
    // Another carrier cannot take it over, nor can a carrier take it back from the member.
    let other = carried(key(3), 1, 500, Vec::new());
    let refused = add(&mut waiting, &other, Lane::Carrier(key(3)));
    assert_eq!(refused, Err(Refusal::Known));
    add(&mut waiting, &ours, member(1)).unwrap();
    assert!(waiting.contains_own(&id));
    for (carried, lane) in [
        (&theirs, Lane::Carrier(key(2))),
        (&ours, member(1)),
        (&ours, member(2)),
    ] {
        assert_eq!(add(&mut waiting, carried, lane), Err(Refusal::Known));
    }
    // The attachment that came with it before is not lost, although the member did not bring it again.
    let expected = Carried {
        attachments: theirs.attachments.clone(),
        ..ours.clone()
    };
    assert_eq!(waiting.to_pass_on(100), [expected]);
    let picked = pick(&waiting, u64::MAX, &BTreeSet::new());
    assert_eq!(picked, [(0, Bytes::from(ours.transaction))]);
    waiting.remove(&id);
    assert!(waiting.is_empty() && waiting.lanes.is_empty() && waiting.bytes == 0);
}

#[test]
fn what_waits_for_a_carrier_that_lost_its_seat_makes_room_for_another() {
    let mut waiting = waiting();
    for carrier in [2, 3] {
        let carried = carried(key(carrier), u32::from(carrier), 500, Vec::new());
        let lane = Lane::Carrier(key(carrier));
        waiting.add(named(carried), lane, 100, HORIZON_MS).unwrap();
    }
    waiting
        .add(named(own(1)), member(1), 100, HORIZON_MS)
        .unwrap();
    let mut next = definition();
    next.validators.retain(|seat| seat.name != "node-3");
    waiting.keep_carriers_of(&next);
    assert_eq!(waiting.len(), 2);
    // Its own clients hear it from another node, to which they turn.
    let again = carried(key(2), 3, 500, Vec::new());
    let lane = Lane::Carrier(key(2));
    assert!(waiting.add(named(again), lane, 100, HORIZON_MS).is_ok());
    next.validators.retain(|seat| seat.name != "node-1");
    waiting.keep_carriers_of(&next);
    assert!(!waiting.contains(&id(&own(1))));
}

#[test]
fn what_is_sealed_with_another_suite_is_refused_before_it_is_carried() {
    let transaction = own(1).transaction;
    let mut definition = definition();
    assert!(check_envelope(&transaction, &NETWORK, &definition, 1).is_ok());
    definition.opening.public_key[0] = 2;
    let refused = check_envelope(&transaction, &NETWORK, &definition, 1);
    assert!(matches!(refused, Err(Refusal::Malformed(why)) if why.contains("suite")));
}

#[test]
fn what_is_sealed_to_a_key_epoch_that_is_over_is_neither_taken_nor_picked() {
    let transaction = own(1).transaction;
    let mut definition = definition();
    definition.parameters.key_grace_blocks = 5;
    definition = EpochDefinition {
        first_height: 50,
        ..definition
    }
    .with_key_epoch(vec![2; 33], Digest::ZERO);
    let refused = |height| check_envelope(&transaction, &NETWORK, &definition, height).is_err();
    assert_eq!([50, 54, 55, 56].map(refused), [false, false, true, true]);
    let mut waiting = waiting();
    waiting
        .add(named(own(1)), member(1), 100, HORIZON_MS)
        .unwrap();
    assert_eq!(waiting.to_pass_on(100).len(), 1);
    let picked = |waiting: &Waiting, height| {
        let (taken, _) = waiting.pick((height, 100), &definition, &|_| u64::MAX, &BTreeSet::new());
        taken.len()
    };
    assert_eq!((picked(&waiting, 54), picked(&waiting, 55)), (1, 0));
    waiting.keep_openable(&definition, 54);
    assert_eq!(waiting.len(), 1);
    waiting.keep_openable(&definition, 55);
    assert!(waiting.is_empty());
}
