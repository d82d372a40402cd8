//! Shares give the secret back; wrong arguments and false shares are refused and named; formats
//! are pinned.
//!
//! The pinned values were computed by another program, in Python, from the documented formulas.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::{all_interpolated, choices, made, parts, secret, seed, shares, split_parts};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_sharing::{
    HOLDERS_MAX, SHARE_LENGTH, Share, SharingError, combine, find_bogus, split,
};

const CONTENT: [u8; 32] = *b"thirty-two bytes, one key, whole";
const NETWORK: Digest = Digest([9; 32]);

fn pinned_secret() -> [u8; 32] {
    std::array::from_fn(|place| u8::try_from(place).unwrap())
}

fn commitments(points: &[(u8, [u8; 32])], network: &Digest, key_epoch: u32) -> Vec<Digest> {
    shares(points)
        .iter()
        .map(|share| share.commitment(network, key_epoch))
        .collect()
}

fn error_of(shares: &[Share], threshold: u8) -> Option<SharingError> {
    combine(shares, threshold).err()
}

#[test]
fn every_choice_of_enough_shares_gives_the_secret() {
    for holders in 1..=7 {
        for threshold in 1..=holders {
            let all = split_parts(CONTENT, threshold, holders, &seed(1));
            assert_eq!(all.len(), usize::from(holders));
            for chosen in choices(&all, usize::from(threshold)) {
                let combined = combine(&shares(&chosen), threshold).unwrap();
                assert_eq!(combined.expose(), &CONTENT, "{threshold} of {holders}");
                assert_eq!(all_interpolated(&chosen, 0), CONTENT);
            }
        }
    }
}

#[test]
fn every_choice_of_one_share_less_gives_something_else() {
    for holders in 2..=7 {
        for threshold in 2..=holders {
            let all = split_parts(CONTENT, threshold, holders, &seed(2));
            for chosen in choices(&all, usize::from(threshold) - 1) {
                let combined = combine(&shares(&chosen), threshold - 1).unwrap();
                assert_ne!(combined.expose(), &CONTENT, "{threshold} of {holders}");
            }
        }
    }
}

#[test]
fn the_largest_numbers_of_holders_work() {
    for threshold in [1, 2, 22, 33, 43, 63, 64] {
        let all = split_parts(CONTENT, threshold, HOLDERS_MAX, &seed(3));
        assert_eq!(
            all.iter().map(|(number, _)| *number).collect::<Vec<u8>>(),
            (1..=64).collect::<Vec<u8>>()
        );
        let needed = usize::from(threshold);
        for chosen in [&all[..needed], &all[all.len() - needed..]] {
            assert_eq!(
                combine(&shares(chosen), threshold).unwrap().expose(),
                &CONTENT
            );
            assert_eq!(all_interpolated(chosen, 0), CONTENT);
        }
    }
}

#[test]
fn combination_agrees_with_lagrange_on_arbitrary_points() {
    // Points that no sharing made: any numbers, any contents.
    let content = |number: u8| *hash("test content", &[&[number]]).as_bytes();
    for numbers in [
        vec![1, 2],
        vec![64, 1],
        vec![17, 3, 42, 60],
        (1..=64).collect(),
    ] {
        let points: Vec<(u8, [u8; 32])> = numbers.iter().map(|x| (*x, content(*x))).collect();
        let threshold = u8::try_from(points.len()).unwrap();
        let combined = combine(&shares(&points), threshold).unwrap();
        assert_eq!(combined.expose(), &all_interpolated(&points, 0));
    }
}

#[test]
fn extra_shares_and_their_order_do_not_matter() {
    let mut points = split_parts(CONTENT, 3, 6, &seed(4));
    points.reverse();
    // The first three in order of number count, so these may be anything.
    for (number, content) in &mut points {
        if *number > 3 {
            *content = [*number; 32];
        }
    }
    assert_eq!(combine(&shares(&points), 3).unwrap().expose(), &CONTENT);
    // And a false one among the first three does count.
    points[5].1[31] ^= 1;
    assert_eq!(points[5].0, 1);
    assert_ne!(combine(&shares(&points), 3).unwrap().expose(), &CONTENT);
}

#[test]
fn a_threshold_of_one_is_no_sharing() {
    for (number, content) in split_parts(CONTENT, 1, 3, &seed(5)) {
        assert_eq!(content, CONTENT);
        assert_eq!(
            combine(&[made(number, content)], 1).unwrap().expose(),
            &CONTENT
        );
    }
}

#[test]
fn impossible_numbers_are_refused() {
    let refusal = |threshold, holders| {
        split(&secret(CONTENT), threshold, holders, &seed(6))
            .err()
            .unwrap()
    };
    for holders in [0, 65, 255] {
        for threshold in [0, 1, 64, 65, 255] {
            assert_eq!(
                refusal(threshold, holders),
                SharingError::HoldersOutOfRange { holders }
            );
        }
    }
    for (threshold, holders) in [(0, 1), (2, 1), (0, 64), (65, 64), (4, 3), (255, 3)] {
        assert_eq!(
            refusal(threshold, holders),
            SharingError::ThresholdOutOfRange { threshold, holders }
        );
    }
    let all = shares(&split_parts(CONTENT, 2, 3, &seed(6)));
    for threshold in [0, 65, 255] {
        assert_eq!(
            error_of(&all, threshold),
            Some(SharingError::ThresholdOutOfRange {
                threshold,
                holders: 64
            })
        );
    }
}

#[test]
fn too_few_shares_and_repeated_numbers_are_refused() {
    let all = split_parts(CONTENT, 3, 5, &seed(7));
    let too_few = |shares| {
        Some(SharingError::TooFewShares {
            shares,
            threshold: 3,
        })
    };
    assert_eq!(error_of(&[], 3), too_few(0));
    assert_eq!(error_of(&shares(&all[1..3]), 3), too_few(2));
    // The same share twice, another share under its number, and both although there are enough.
    let mut forged = all[4];
    forged.1[0] ^= 1;
    for extra in [all[4], forged] {
        for first in [0, 2, 3] {
            let mut points = all[first..].to_vec();
            points.push(extra);
            assert_eq!(
                error_of(&shares(&points), 3),
                Some(SharingError::NumberRepeated { number: 5 })
            );
        }
    }
}

#[test]
fn bogus_shares_are_named() {
    let all = split_parts(CONTENT, 3, 5, &seed(8));
    let committed = commitments(&all, &NETWORK, 7);
    let named = |points: &[(u8, [u8; 32])]| find_bogus(&shares(points), &committed, &NETWORK, 7);
    assert!(named(&all).is_empty());
    assert!(named(&all[2..4]).is_empty());
    assert!(named(&[]).is_empty());
    // Any single bit of any share.
    for share in 0..5 {
        for bit in 0..256 {
            let mut points = all.clone();
            points[share].1[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(named(&points), [points[share].0]);
        }
    }
    // Another holder's share under one's own number, numbers without a commitment, and several,
    // in order and each once.
    let (four, two) = ((4, all[1].1), (2, all[3].1));
    assert_eq!(named(&[four, all[0]]), [4]);
    assert_eq!(named(&[(6, all[0].1), (64, all[0].1)]), [6, 64]);
    assert_eq!(named(&[four, two, all[1], two, all[2]]), [2, 4]);
}

#[test]
fn commitments_bind_network_epoch_number_and_content() {
    let all = split_parts(CONTENT, 2, 3, &seed(9));
    let handed = shares(&all);
    let committed = commitments(&all, &NETWORK, 7);
    let named = |commitments: &[Digest], network: &Digest, key_epoch| {
        find_bogus(&handed, commitments, network, key_epoch)
    };
    assert_eq!(named(&committed, &Digest([8; 32]), 7), [1, 2, 3]);
    assert_eq!(named(&committed, &NETWORK, 8), [1, 2, 3]);
    assert_eq!(named(&committed, &NETWORK, 7 << 8), [1, 2, 3]);
    // A list that ends too early, begins too late, is out of order or altered.
    assert_eq!(named(&committed[..2], &NETWORK, 7), [3]);
    assert_eq!(named(&[], &NETWORK, 7), [1, 2, 3]);
    assert_eq!(named(&committed[1..], &NETWORK, 7), [1, 2, 3]);
    let swapped = [committed[1], committed[0], committed[2]];
    assert_eq!(named(&swapped, &NETWORK, 7), [1, 2]);
    for byte in 0..32 {
        let mut altered = committed.clone();
        altered[1].0[byte] ^= 0x80;
        assert_eq!(named(&altered, &NETWORK, 7), [2]);
    }
    // Equal contents under two numbers have two commitments.
    assert_ne!(
        made(1, CONTENT).commitment(&NETWORK, 7),
        made(2, CONTENT).commitment(&NETWORK, 7)
    );
}

#[test]
fn sharing_again_makes_the_same_shares_and_tells_a_false_one() {
    let again = |number| split(&secret(CONTENT), 3, 5, &seed(number)).unwrap();
    for (one, two) in again(10).iter().zip(again(10)) {
        assert!(one.constant_time_eq(&two));
        assert_eq!(one.encode().expose(), two.encode().expose());
        let (number, mut content) = parts(one);
        assert!(!made(number % 5 + 1, content).constant_time_eq(&two));
        content[0] ^= 1;
        assert!(!made(number, content).constant_time_eq(&two));
    }
    for (one, other) in again(10).iter().zip(again(11)) {
        assert!(!one.constant_time_eq(&other));
    }
}

#[test]
fn encodings_are_read_back_and_nothing_else_is() {
    for (number, content) in [(1, [0; 32]), (64, [0xff; 32]), (33, CONTENT)] {
        let share = made(number, content);
        assert_eq!(parts(&share), (number, content));
        let bytes = share.encode().expose().to_vec();
        assert_eq!(bytes.len(), SHARE_LENGTH);
        for length in 0..SHARE_LENGTH {
            assert_eq!(
                Share::decode(&bytes[..length]).err(),
                Some(SharingError::ShareLengthWrong { length })
            );
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            Share::decode(&longer).err(),
            Some(SharingError::ShareLengthWrong { length: 35 })
        );
        for version in (0..=255).filter(|version| *version != 1) {
            let mut other = bytes.clone();
            other[0] = version;
            assert_eq!(
                Share::decode(&other).err(),
                Some(SharingError::VersionUnsupported { version })
            );
        }
        for number in (0..=255).filter(|number| !(1..=64).contains(number)) {
            let mut other = bytes.clone();
            other[1] = number;
            assert_eq!(
                Share::decode(&other).err(),
                Some(SharingError::NumberOutOfRange { number })
            );
        }
    }
}

#[test]
fn shares_encodings_and_commitments_are_pinned() {
    let pinned = [
        (
            "0101e5a91a08c15b0558a61538bf34a8e95415f96a0be8a4c7dd9234fc637a9a6d73",
            "c2f4afba56dd038a9fae4c1d26a5a62bf63897409d56c286ceacb0ec7c928556",
        ),
        (
            "01023d4877aa0da1a094929b185d8a1c841bbb0b098c1a09d8de48e8d0afb2839754",
            "00e10dac333ed699b8461d312760ea5b745f6c60b6d5111f197aac2791335080",
        ),
        (
            "0103d8e06fa1c8ffa3cb3c872ae9b2b96340bee37194e6b80914c2c536d7d404e438",
            "cedb06886bccc8600f0e49c1c9aa81a720af2fd576f0aaaf259717c2b0d30cf3",
        ),
        (
            "0104e79be7804036e78e7ea8ed33ee346699ef4ca5bc91a2569ddf7ae163c820b0f3",
            "4f1ef02adc7c3567772606144af403fc0d005e5b032997c5dc7b94654c2bc703",
        ),
        (
            "01050233ff8b8568e4d1d0b4df87d69181c2eaa4dda46d1387575557071baea7c39f",
            "8b904a8493f0d6d71eaaeb1bb36480ea06d4a10621881b9f95ea987b02da6a56",
        ),
    ];
    let seed = secret([0xa5; 32]);
    let all = split(&secret(pinned_secret()), 3, 5, &seed).unwrap();
    assert_eq!(all.len(), pinned.len());
    for (share, (encoded, commitment)) in all.iter().zip(pinned) {
        assert_eq!(hex::encode(share.encode().expose()), encoded);
        assert_eq!(share.commitment(&NETWORK, 7).to_string(), commitment);
    }
    let many = split(&secret(pinned_secret()), 33, 64, &seed).unwrap();
    let bytes: Vec<u8> = many
        .iter()
        .flat_map(|share| share.encode().expose().to_vec())
        .collect();
    assert_eq!(
        hash("test", &[&bytes]).to_string(),
        "10574e2dca51a54f68f78bf2c47bb2ed4bb68c1628e47cde537c3a57155544f3"
    );
}
