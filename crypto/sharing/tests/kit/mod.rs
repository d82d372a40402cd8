//! What several test files need: the field and Lagrange's formula once more, written slowly from
//! their definitions, and shares taken apart.

use sealbook_primitives::secret::Secret32;
use sealbook_sharing::{SHARE_VERSION, Share, split};

/// A product in the field of 256 elements modulo x^8 + x^4 + x^3 + x + 1: multiplied as
/// polynomials, then divided.
pub fn product(left: u8, right: u8) -> u8 {
    let mut product: u16 = 0;
    for bit in 0..8 {
        if right >> bit & 1 == 1 {
            product ^= u16::from(left) << bit;
        }
    }
    for bit in (8..16).rev() {
        if product >> bit & 1 == 1 {
            product ^= 0x11b << (bit - 8);
        }
    }
    u8::try_from(product).unwrap()
}

/// The element that gives 1 when multiplied with `element`, found by trying all.
pub fn inverse(element: u8) -> u8 {
    (1..=255)
        .find(|other| product(element, *other) == 1)
        .unwrap()
}

/// The value at `x` of the polynomial of lowest degree through `points`.
pub fn interpolated(points: &[(u8, u8)], x: u8) -> u8 {
    let mut sum = 0;
    for (number, value) in points {
        let mut term = *value;
        for (other, _) in points.iter().filter(|(other, _)| other != number) {
            term = product(term, product(x ^ other, inverse(number ^ other)));
        }
        sum ^= term;
    }
    sum
}

/// [`interpolated`] for each of the 32 bytes.
pub fn all_interpolated(points: &[(u8, [u8; 32])], x: u8) -> [u8; 32] {
    std::array::from_fn(|place| {
        let points: Vec<(u8, u8)> = points
            .iter()
            .map(|(number, content)| (*number, content[place]))
            .collect();
        interpolated(&points, x)
    })
}

/// A secret with these bytes.
pub fn secret(bytes: [u8; 32]) -> Secret32 {
    Secret32::new(bytes)
}

/// A seed that belongs to `number`.
pub fn seed(number: u32) -> Secret32 {
    let mut bytes = [0x5e; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Secret32::new(bytes)
}

/// A share made from its parts.
pub fn made(number: u8, content: [u8; 32]) -> Share {
    Share::decode(&[&[SHARE_VERSION, number], content.as_slice()].concat()).unwrap()
}

/// The number and the content of a share.
pub fn parts(share: &Share) -> (u8, [u8; 32]) {
    (
        share.number(),
        share.encode().expose()[2..].try_into().unwrap(),
    )
}

/// The numbers and contents of all shares of a secret.
pub fn split_parts(content: [u8; 32], threshold: u8, holders: u8, seed: &Secret32) -> Points {
    let shares = split(&secret(content), threshold, holders, seed).unwrap();
    shares.iter().map(parts).collect()
}

/// Numbers with contents.
pub type Points = Vec<(u8, [u8; 32])>;

/// The shares with these numbers and contents.
pub fn shares(points: &[(u8, [u8; 32])]) -> Vec<Share> {
    points
        .iter()
        .map(|(number, content)| made(*number, *content))
        .collect()
}

/// Every choice of `size` out of `all`, in order.
pub fn choices<T: Copy>(all: &[T], size: usize) -> Vec<Vec<T>> {
    (0_u32..1 << all.len())
        .filter(|choice| choice.count_ones() as usize == size)
        .map(|choice| {
            let chosen = all.iter().enumerate();
            chosen
                .filter(|(place, _)| choice >> place & 1 == 1)
                .map(|(_, one)| *one)
                .collect()
        })
        .collect()
}
