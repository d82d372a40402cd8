//! Shares from a secret, the secret from shares, and the shares that are false.

use std::collections::{BTreeMap, BTreeSet};

use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32, SecretBytes, derive};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::SharingError;
use crate::share::{HOLDERS_MAX, Share};

const POLYNOMIAL_LABEL: &str = "sealbook/sharing/polynomial/1";
const COEFFICIENT_LABEL: &str = "sealbook/sharing/coefficient/1";

/// The shares of `secret` for holders 1 to `holders`, in this order; any `threshold` of them give
/// it back.
///
/// The same four arguments always give the same shares. `seed` must be 32 random bytes that no
/// holder knows. A threshold of 1 is allowed and is no sharing: every share is the secret itself.
///
/// # Errors
///
/// [`SharingError::HoldersOutOfRange`] unless `holders` is from 1 to [`HOLDERS_MAX`];
/// [`SharingError::ThresholdOutOfRange`] unless `threshold` is from 1 to `holders`.
pub fn split(
    secret: &Secret32,
    threshold: u8,
    holders: u8,
    seed: &Secret32,
) -> Result<Vec<Share>, SharingError> {
    if !(1..=HOLDERS_MAX).contains(&holders) {
        return Err(SharingError::HoldersOutOfRange { holders });
    }
    check_threshold(threshold, holders)?;
    let coefficients = coefficients(secret, threshold, holders, seed);
    (1..=holders)
        .map(|number| Share::new(number, value_at(number, secret, &coefficients)))
        .collect()
}

/// The secret that the first `threshold` of `shares`, in order of number, give.
///
/// False shares give a false secret and no error: the caller checks the result against a public
/// key, and finds the culprits with [`find_bogus`].
///
/// # Errors
///
/// [`SharingError::ThresholdOutOfRange`] unless `threshold` is from 1 to [`HOLDERS_MAX`];
/// [`SharingError::NumberRepeated`] when two shares have the same number, equal or not;
/// [`SharingError::TooFewShares`] when there are fewer than `threshold`. Numbers out of range
/// cannot occur: no such [`Share`] can be made or decoded.
pub fn combine(shares: &[Share], threshold: u8) -> Result<Secret32, SharingError> {
    check_threshold(threshold, HOLDERS_MAX)?;
    let by_number = by_number(shares)?;
    let needed = usize::from(threshold);
    if by_number.len() < needed {
        return Err(SharingError::TooFewShares {
            shares: by_number.len(),
            threshold,
        });
    }
    let chosen: Vec<&Share> = by_number.into_values().take(needed).collect();
    // The arithmetic begins at two points; a polynomial of degree zero is its only value.
    if let [only] = chosen.as_slice() {
        return Ok(only.content().duplicate());
    }
    let points: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(chosen.into_iter().map(point).collect());
    let combined = Gf256::combine_bytes(points.as_slice())
        .map(SecretBytes::new)
        .map_err(|error| SharingError::NotCombinable {
            reason: error.to_string(),
        })?;
    let combined: &[u8; SECRET_LENGTH] =
        combined
            .expose()
            .try_into()
            .map_err(|_| SharingError::NotCombinable {
                reason: format!("{} bytes came out", combined.len()),
            })?;
    Ok(Secret32::new(*combined))
}

/// The numbers of those shares that are not the committed ones, in order, each once.
///
/// `commitments` are those of all holders, that of share 1 first, made for `network` and
/// `key_epoch`. A share whose number has no commitment is bogus. When two shares have the same
/// number, it is named if either is bogus.
#[must_use]
pub fn find_bogus(
    shares: &[Share],
    commitments: &[Digest],
    network: &Digest,
    key_epoch: u32,
) -> Vec<u8> {
    let committed = |share: &Share| {
        // INVARIANT: no share has number 0.
        let index = usize::from(share.number()).saturating_sub(1);
        commitments.get(index) == Some(&share.commitment(network, key_epoch))
    };
    let bogus: BTreeSet<u8> = shares
        .iter()
        .filter(|share| !committed(share))
        .map(Share::number)
        .collect();
    bogus.into_iter().collect()
}

fn check_threshold(threshold: u8, holders: u8) -> Result<(), SharingError> {
    if (1..=holders).contains(&threshold) {
        Ok(())
    } else {
        Err(SharingError::ThresholdOutOfRange { threshold, holders })
    }
}

/// The coefficients of the 32 polynomials: those of x first, those of the highest power last. The
/// constant ones are the secret.
fn coefficients(secret: &Secret32, threshold: u8, holders: u8, seed: &Secret32) -> Vec<Secret32> {
    let mut context = Vec::with_capacity(2 + SECRET_LENGTH);
    context.extend_from_slice(&[threshold, holders]);
    context.extend_from_slice(secret.expose());
    let context = SecretBytes::new(context);
    let base = derive(seed, POLYNOMIAL_LABEL, context.expose());
    (1..threshold)
        .map(|power| derive(&base, COEFFICIENT_LABEL, &[power]))
        .collect()
}

/// The values of the 32 polynomials at `number`, by Horner's rule.
fn value_at(number: u8, secret: &Secret32, coefficients: &[Secret32]) -> Secret32 {
    let mut values = Zeroizing::new([0; SECRET_LENGTH]);
    for coefficient in coefficients.iter().rev().chain([secret]) {
        for (value, byte) in values.iter_mut().zip(coefficient.expose()) {
            *value = (Gf256(*value) * Gf256(number) + Gf256(*byte)).0;
        }
    }
    Secret32::new(*values)
}

/// The shares in order of their numbers.
fn by_number(shares: &[Share]) -> Result<BTreeMap<u8, &Share>, SharingError> {
    let mut ordered = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for share in shares {
        if ordered.insert(share.number(), share).is_some() {
            repeated.insert(share.number());
        }
    }
    match repeated.first() {
        Some(number) => Err(SharingError::NumberRepeated { number: *number }),
        None => Ok(ordered),
    }
}

/// A share as the arithmetic wants it: its number, then its content.
fn point(share: &Share) -> Vec<u8> {
    let mut point = Vec::with_capacity(1 + SECRET_LENGTH);
    point.push(share.number());
    point.extend_from_slice(share.content().expose());
    point
}
