//! Random numbers from the operating system.
//!
//! Nothing that is hashed into the ledger or replayed from it may use this module.

/// Fills `bytes` with random bytes of the operating system.
///
/// # Panics
///
/// When the operating system has no random numbers to give. No key or nonce may be made then, and
/// no caller could do better than to stop.
#[expect(
    clippy::expect_used,
    reason = "without random numbers every later step would be insecure; stopping is the answer"
)]
pub fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system must provide random numbers");
}

/// An array of `N` random bytes.
///
/// # Panics
///
/// As [`fill`].
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut filled = [0; N];
    fill(&mut filled);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_ne!(bytes::<32>(), [0; 32]);
    }
}
