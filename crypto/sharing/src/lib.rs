//! Sharing: a secret of 32 bytes among holders, some number of whom give it back together.
//!
//! ```text
//! base                  = derive(seed, "sealbook/sharing/polynomial/1", threshold || holders || secret)
//! coefficient of x^j    = derive(base, "sealbook/sharing/coefficient/1", j)    j = 1 .. threshold - 1
//! share of holder x     = secret + sum over j of coefficient_j * x^j           x = 1 .. holders
//! commitment to a share = hash("sealbook/sharing/commitment/1",
//!                              network, key epoch as u32 LE, x, the share's bytes)
//! encoded share         = version (1) || x || 32 bytes
//! ```
//!
//! This is Shamir's scheme (Communications of the ACM 22, 1979, page 612), one polynomial for each
//! of the 32 bytes, over the field of 256 elements modulo x^8 + x^4 + x^3 + x + 1. The numbers
//! `threshold`, `holders`, `j` and `x` are single bytes.
//!
//! - Fewer shares than the threshold fit every secret equally well.
//! - The coefficients are uniform, zero included, also in the leading place: leaving zero out lets
//!   whoever sees the same secret shared many times narrow it down (RUSTSEC-2024-0398).
//! - The seed must be as secret as the secret itself, and 32 random bytes: who knows the seed and
//!   guesses the secret can check the guess on one share. Secret, threshold and number of holders
//!   enter the coefficients, so one seed serves several sharings without linking their polynomials.
//! - Whoever knows secret and seed makes all shares again, and so tells a false one. Whoever does
//!   not has the commitments, see [`Share::commitment`].
//! - Shares carry no signature. Whoever combines them checks the result against a public key.
//!
//! The field's arithmetic and the combination come from `vsss-rs`, which looks nothing up in tables
//! indexed by secrets. The coefficients are drawn here and not there, so that shares made today can
//! be made again with any later version of it.
//!
//! This crate keeps nothing: there is no state that a crash could damage.

#![forbid(unsafe_code)]

mod scheme;
mod share;

pub use scheme::{combine, find_bogus, split};
pub use share::{HOLDERS_MAX, SHARE_LENGTH, SHARE_VERSION, Share};

/// Why a secret could not be shared, a share not be read, or shares not be combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharingError {
    /// There are no holders, or too many.
    #[error("a secret cannot be shared among {holders} holders: from 1 to {HOLDERS_MAX} can be")]
    HoldersOutOfRange {
        /// How many holders were asked for.
        holders: u8,
    },
    /// The threshold is zero, or more than there can be holders.
    #[error("the threshold is {threshold}, and must be from 1 to {holders}")]
    ThresholdOutOfRange {
        /// The threshold that was asked for.
        threshold: u8,
        /// The most that it can be.
        holders: u8,
    },
    /// The encoded share is shorter or longer than a share.
    #[error("the share has {length} bytes, and {SHARE_LENGTH} are expected")]
    ShareLengthWrong {
        /// The length of the input, in bytes.
        length: usize,
    },
    /// The encoded share has a version that this program does not read.
    #[error("shares of version {version} cannot be read")]
    VersionUnsupported {
        /// The version that the share names.
        version: u8,
    },
    /// The share has a number that no holder has.
    #[error("the share has number {number}, and holders have numbers from 1 to {HOLDERS_MAX}")]
    NumberOutOfRange {
        /// The number that the share names.
        number: u8,
    },
    /// Two shares have the same number, be they equal or not.
    #[error("two shares have number {number}")]
    NumberRepeated {
        /// The lowest number that two shares have.
        number: u8,
    },
    /// There are fewer shares than the threshold.
    #[error("{shares} shares were given, and {threshold} are needed")]
    TooFewShares {
        /// How many shares were given.
        shares: usize,
        /// How many are needed.
        threshold: u8,
    },
    /// The arithmetic refused the shares; with shares of this crate it does not.
    #[error("the shares cannot be combined: {reason}")]
    NotCombinable {
        /// What was objected to.
        reason: String,
    },
}
