//! Tests of committee epochs: what a definition must keep, how one follows another, parameters and quotas.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::testing::{network, pin, seats, vote_keys};

fn first() -> EpochDefinition {
    network(4).genesis.first_epoch()
}

fn observer(number: u8) -> ObserverSeat {
    let keys = vote_keys(12);
    ObserverSeat {
        name: format!("observer-{number}"),
        vote_key: seats(&keys)[usize::from(number)].vote_key,
        module_key: Some(vec![number; 37]),
        address: "[::1]:5000".to_owned(),
    }
}

/// A key that is none of the first four.
fn foreign_key() -> VerifyingKey {
    let first = first();
    let foreign = |key: &VerifyingKey| first.validators.iter().all(|seat| seat.vote_key != *key);
    let keys: Vec<_> = seats(&vote_keys(12))
        .into_iter()
        .map(|seat| seat.vote_key)
        .collect();
    keys.into_iter().find(foreign).unwrap()
}

#[test]
fn encodings_are_pinned() {
    let mut definition = first();
    definition.observers.push(ObserverSeat {
        vote_key: foreign_key(),
        ..observer(0)
    });
    assert_eq!(definition.check(), Ok(()));
    let pins = [
        pin(&borsh::to_vec(&definition).unwrap()),
        definition.digest().to_string(),
        definition.committee_digest().to_string(),
    ];
    assert_eq!(
        pins,
        [
            "e69ca0facdaa72cd94976bd64ba5390e826215ba4b825d1fed9941c88ed714e1",
            "6d4ebe16d879eef2a52d3831065d4b335ff86cc9093cfb116244af0d739f2406",
            "19eeb419b80e2bac4624584c7ce9131d57495fa5a11367d0d6422f8680b50a2a"
        ]
    );
}

#[test]
fn epochs_follow_each_other_without_gap() {
    let mut definition = first();
    assert_eq!((definition.first_height, definition.last_height), (0, 12));
    for epoch in 1..5_u32 {
        let parameters = Parameters {
            epoch_blocks: 12 + epoch,
            ..definition.parameters.clone()
        };
        let next = definition.next(definition.validators.clone(), Vec::new(), parameters);
        assert_eq!(next.check_follows(&definition), Ok(()));
        assert_eq!(next.first_height, definition.last_height + 1);
        assert_eq!(next.last_height - next.first_height, u64::from(11 + epoch));
        let refused = |alter: &dyn Fn(&mut EpochDefinition)| {
            let mut other = next.clone();
            alter(&mut other);
            let error = EpochError::Heights(other.epoch);
            assert_eq!(other.check_follows(&definition), Err(error));
        };
        refused(&|one| one.epoch += 1);
        refused(&|one| one.epoch -= 1);
        refused(&|one| one.first_height += 1);
        refused(&|one| one.last_height += 1);
        refused(&|one| one.last_height = one.first_height);
        refused(&|one| one.parameters.epoch_blocks += 1);
        assert!(definition.check_follows(&next).is_err());
        definition = next;
    }
}

#[test]
fn the_end_of_all_heights_is_no_epoch() {
    let mut last = first();
    last.last_height = u64::MAX;
    let next = last.next(last.validators.clone(), Vec::new(), last.parameters.clone());
    assert!(next.check_follows(&last).is_err());
}

#[test]
fn seats_are_checked() {
    let refused = |alter: &dyn Fn(&mut EpochDefinition)| {
        let mut definition = first();
        definition.observers.push(ObserverSeat {
            vote_key: foreign_key(),
            ..observer(0)
        });
        assert_eq!(definition.check(), Ok(()));
        alter(&mut definition);
        let error = definition.check();
        assert!(matches!(error, Err(EpochError::Seat { .. })), "{error:?}");
    };
    refused(&|one| one.validators[0].name.clear());
    refused(&|one| one.validators[0].name = "x".repeat(65));
    refused(&|one| one.validators[0].name = "a b".to_owned());
    refused(&|one| one.validators[0].name = "\u{1b}[2J".to_owned());
    refused(&|one| one.validators[0].name = one.validators[1].name.clone());
    refused(&|one| one.observers[0].name = one.validators[1].name.clone());
    refused(&|one| one.observers[0].vote_key = one.validators[1].vote_key);
    refused(&|one| one.observers[0].vote_key = VerifyingKey([0; 32]));
    refused(&|one| one.validators[0].module_key = vec![0; 4_097]);
    refused(&|one| one.observers[0].module_key = Some(vec![0; 4_097]));
    for address in ["", "127.0.0.1", "localhost:80", "127.0.0.1:65536"] {
        refused(&|one| one.validators[3].address = address.to_owned());
        refused(&|one| one.observers[0].address = address.to_owned());
    }
    let mut definition = first();
    definition.version = EPOCH_VERSION + 1;
    assert_eq!(
        definition.check(),
        Err(EpochError::Version(EPOCH_VERSION + 1))
    );
    let committee = Err(EpochError::Committee(CertificateError::Committee));
    let mut definition = first();
    definition.validators.clear();
    assert_eq!(definition.check(), committee);
    let mut definition = first();
    definition.validators[0].vote_key = definition.validators[1].vote_key;
    assert_eq!(definition.check(), committee);
    let mut definition = first();
    definition.observers = vec![observer(0); MAX_SEATS + 1];
    assert_eq!(definition.check(), committee);
}

#[test]
fn parameters_have_bounds() {
    assert_eq!(Parameters::default().check(), Ok(()));
    let refused = |name: &str, alter: &dyn Fn(&mut Parameters)| {
        let mut parameters = Parameters::default();
        alter(&mut parameters);
        match parameters.check() {
            Err(EpochError::Parameter { name: found, .. }) => assert_eq!(found, name),
            other => assert_eq!(other, Ok(()), "{name} must be refused"),
        }
        assert!(parameters.check().is_err());
    };
    refused("block_interval_ms", &|one| one.block_interval_ms = 0);
    refused("block_interval_ms", &|one| one.block_interval_ms = 1_001);
    refused("idle_interval_ms", &|one| one.idle_interval_ms = 9);
    refused("idle_interval_ms", &|one| one.idle_interval_ms = 1_501);
    refused("clock_drift_ms", &|one| one.clock_drift_ms = 99);
    refused("clock_drift_ms", &|one| one.clock_drift_ms = 60_001);
    refused("block_bytes_max", &|one| one.block_bytes_max = 1_199_999);
    refused("block_bytes_max", &|one| one.block_bytes_max = 4_194_305);
    refused("expiry_horizon_ms", &|one| one.expiry_horizon_ms = 59_999);
    refused("expiry_horizon_ms", &|one| {
        one.expiry_horizon_ms = 86_400_001
    });
    refused("epoch_blocks", &|one| {
        one.epoch_blocks = MIN_EPOCH_BLOCKS - 1
    });
    refused("epoch_blocks", &|one| one.epoch_blocks = 10_000_001);
    refused("snapshot_epochs", &|one| one.snapshot_epochs = 0);
    refused("snapshot_epochs", &|one| one.snapshot_epochs = 1_000_001);
}

#[test]
fn a_carriers_quota_is_halved_with_every_level() {
    let parameters = Parameters {
        block_bytes_max: 1_200_003,
        ..Parameters::default()
    };
    let quotas: Vec<u64> = (0..=7)
        .map(|level| parameters.carrier_quota(level))
        .collect();
    assert_eq!(
        quotas,
        [
            300_000, 150_000, 75_000, 37_500, 18_750, 9_375, 4_687, 4_687
        ]
    );
    assert_eq!(parameters.carrier_quota(u8::MAX), 4_687);
    let within =
        |level, transactions, bytes| parameters.within_carrier_quota(level, transactions, bytes);
    assert!(within(0, 2, 300_000) && !within(0, 2, 300_001));
    assert!(within(6, 2, 4_687) && !within(6, 2, 4_688));
    assert!(within(6, 1, 1024 * 1024) && within(6, 0, 0));
}

#[test]
fn carriers_are_validators_then_observers() {
    let mut definition = first();
    definition.observers.push(ObserverSeat {
        vote_key: foreign_key(),
        ..observer(0)
    });
    for (place, key) in definition.carriers().enumerate() {
        let place = place as u16;
        assert_eq!(definition.carrier(place), Some(key));
        assert_eq!(definition.carrier_place(key), Some(place));
    }
    assert_eq!(definition.carrier(4), Some(&foreign_key()));
    assert_eq!(definition.carrier(5), None);
    assert_eq!(definition.carrier_place(&VerifyingKey([9; 32])), None);
}

#[test]
fn the_plan_height_lies_before_the_end() {
    let mut definition = first();
    assert_eq!(definition.plan_height(), 4);
    definition.first_height = 6;
    assert_eq!(definition.plan_height(), 6);
    definition.last_height = 3;
    definition.first_height = 0;
    assert_eq!(definition.plan_height(), 0);
}

#[test]
fn a_committee_is_its_keys_and_nothing_else() {
    let one = first();
    let mut other = one.clone();
    other.epoch = 7;
    other.validators.reverse();
    other.validators[0].name = "renamed".to_owned();
    other.validators[0].address = "10.0.0.1:1".to_owned();
    other.validators[0].module_key = vec![9];
    assert!(one.same_committee(&other));
    assert_eq!(one.committee_digest(), other.committee_digest());
    other.validators.pop();
    assert!(!one.same_committee(&other));
    assert_ne!(one.committee_digest(), other.committee_digest());
}
