//! Fewer shares than the threshold say nothing: every secret fits them, and nothing about the
//! coefficients is more likely than anything else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use std::marker::PhantomData;

use kit::{all_interpolated, choices, inverse, product, seed, shares, split_parts};
use sealbook_primitives::hash::hash;
use sealbook_sharing::{Share, combine};

const CONTENT: [u8; 32] = *b"one secret of exactly these byte";

/// Fails when the values are not spread evenly over the 256 bytes. Chi-square with 255 degrees of
/// freedom has mean 255 and standard deviation 22.6; the bounds are six of them away. The seeds are
/// fixed, so the outcome is too.
fn assert_even(what: &str, counts: &[u32; 256]) {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / 256.0;
    assert!(expected > 200.0, "{what}: {total} values are too few");
    let squares: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    assert!((119.0..391.0).contains(&squares), "{what}: {squares}");
}

#[test]
fn one_share_less_fits_every_secret_exactly_once() {
    for (threshold, holders) in [(2, 2), (2, 3), (3, 5), (4, 4), (5, 6)] {
        let all = split_parts(CONTENT, threshold, holders, &seed(1));
        for known in choices(&all, usize::from(threshold) - 1) {
            let missing = (1..=holders).find(|x| known.iter().all(|(number, _)| number != x));
            let missing = missing.unwrap();
            // All values of the missing share's bytes, in all 32 places at once.
            let mut seen = [[0_u32; 256]; 32];
            for value in 0..=255 {
                let points = [known.as_slice(), &[(missing, [value; 32])]].concat();
                let combined = combine(&shares(&points), threshold).unwrap();
                for (place, byte) in combined.expose().iter().enumerate() {
                    seen[place][usize::from(*byte)] += 1;
                }
            }
            assert_eq!(seen, [[1; 256]; 32], "{threshold} of {holders}");
        }
    }
}

#[test]
fn for_every_other_secret_there_is_a_last_share() {
    for (threshold, holders) in [(2, 3), (3, 5), (7, 9)] {
        let all = split_parts(CONTENT, threshold, holders, &seed(2));
        let (known, rest) = all.split_at(usize::from(threshold) - 1);
        for number in 0..50_u8 {
            let other = *hash("another secret", &[&[number]]).as_bytes();
            let with_other = [known, &[(0, other)]].concat();
            for (missing, real) in rest {
                let content = all_interpolated(&with_other, *missing);
                assert_ne!(&content, real);
                let points = [known, &[(*missing, content)]].concat();
                let combined = combine(&shares(&points), threshold).unwrap();
                assert_eq!(combined.expose(), &other);
            }
        }
    }
}

/// The coefficients of x and of x^2 behind the first two shares of a zero, of which three are
/// needed: the shares are a + b and 2a + 4b.
fn first_and_leading(one: u8, two: u8) -> (u8, u8) {
    let leading = product(product(2, one) ^ two, inverse(2 ^ 4));
    (one ^ leading, leading)
}

#[test]
fn what_two_of_three_needed_holders_see_is_spread_evenly() {
    for content in [[0; 32], [0xff; 32]] {
        let mut counts = [[0_u32; 256]; 6];
        for number in 0..2_000 {
            let all = split_parts(content, 3, 3, &seed(number));
            for place in 0..32 {
                let values: [u8; 3] = std::array::from_fn(|share| all[share].1[place]);
                let [one, two, three] = values;
                let seen = [
                    one,
                    two,
                    three,
                    one ^ two,
                    product(2, one) ^ two,
                    two ^ three,
                ];
                for (count, value) in counts.iter_mut().zip(seen) {
                    count[usize::from(value)] += 1;
                }
            }
        }
        for count in &counts {
            assert_even("shares", count);
        }
    }
}

#[test]
fn coefficients_are_spread_evenly_and_zero_is_among_them() {
    let mut counts = [[0_u32; 256]; 2];
    for number in 0..2_000 {
        let all = split_parts([0; 32], 3, 3, &seed(number));
        for place in 0..32 {
            let (first, leading) = first_and_leading(all[0].1[place], all[1].1[place]);
            counts[0][usize::from(first)] += 1;
            counts[1][usize::from(leading)] += 1;
        }
    }
    for count in &counts {
        assert!(count[0] > 0);
        assert_even("coefficients", count);
    }
}

#[test]
fn one_seed_does_not_link_two_sharings() {
    let zero = split_parts([0; 32], 2, 3, &seed(3));
    // With equal coefficients, a holder's two shares would differ by what the secrets differ by.
    for (one, two) in zero.iter().zip(&split_parts(CONTENT, 2, 3, &seed(3))) {
        let difference: [u8; 32] = std::array::from_fn(|place| one.1[place] ^ two.1[place]);
        assert_ne!(difference, CONTENT);
    }
    // Nor do other numbers of holders use the same coefficients,
    for (one, two) in zero.iter().zip(&split_parts([0; 32], 2, 4, &seed(3))) {
        assert_ne!(one, two);
    }
    // nor other thresholds. The first share of a zero, of which two are needed, is the coefficient.
    let three = split_parts([0; 32], 3, 3, &seed(3));
    let first: [u8; 32] =
        std::array::from_fn(|place| first_and_leading(three[0].1[place], three[1].1[place]).0);
    assert_ne!(zero[0].1, first);
}

/// Compiles only when a type has neither `Debug`, `Display`, `Clone` nor `PartialEq`: for one that
/// has, two traits would give `holds`.
#[test]
fn a_share_cannot_be_printed_copied_or_compared() {
    struct Has<T: ?Sized>(PhantomData<T>);
    trait Otherwise<Marker> {
        fn holds() {}
    }
    impl<T: ?Sized> Otherwise<()> for T {}
    impl<T: std::fmt::Debug + ?Sized> Otherwise<Has<dyn std::fmt::Debug>> for T {}
    impl<T: std::fmt::Display + ?Sized> Otherwise<Has<dyn std::fmt::Display>> for T {}
    impl<T: Clone> Otherwise<Has<[u8; 1]>> for T {}
    impl<T: PartialEq> Otherwise<Has<[u8; 2]>> for T {}
    <Share as Otherwise<_>>::holds();
}
