//! Canonical bytes: borsh with a size limit.
//!
//! One value has exactly one encoding, and [`decode`] accepts nothing else: not a truncated or
//! longer input, not a map out of order, not a number written in another way. The limit is checked
//! before the first byte is read, and borsh never reserves memory beyond what the input can fill.

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input is longer than the caller accepts.
    #[error("the input has {length} bytes, and at most {limit} are accepted")]
    TooLong {
        /// The length of the input, in bytes.
        length: usize,
        /// The caller's limit, in bytes.
        limit: usize,
    },
    /// The input is not the canonical encoding of the expected object.
    #[error("the input is not a canonical encoding: {reason}")]
    Malformed {
        /// What the decoder objected to.
        reason: String,
    },
}

/// The canonical encoding of `value`.
///
/// # Panics
///
/// When a collection inside has 2^32 elements or more, which no object of this project has: every
/// one of them is bounded far below.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "writing to memory does not fail, and no collection reaches 2^32 elements"
)]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("an object within its limits can be encoded")
}

/// The value whose canonical encoding is exactly `bytes`.
///
/// # Errors
///
/// [`DecodeError::TooLong`] when there are more than `limit` bytes, before any of them is read;
/// [`DecodeError::Malformed`] when the bytes are not the encoding of a `T`.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong {
            length: bytes.len(),
            limit,
        });
    }
    borsh::from_slice(bytes).map_err(|error| DecodeError::Malformed {
        reason: error.to_string(),
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_survives_the_round_trip() {
        let value = (7_u32, vec![1_u8, 2, 3], Some(String::from("register")));
        let bytes = encode(&value);
        assert_eq!(
            decode::<(u32, Vec<u8>, Option<String>)>(&bytes, bytes.len()),
            Ok(value)
        );
    }

    #[test]
    fn the_limit_is_exact() {
        let bytes = encode(&5_u64);
        assert_eq!(decode::<u64>(&bytes, 8), Ok(5));
        assert_eq!(
            decode::<u64>(&bytes, 7),
            Err(DecodeError::TooLong {
                length: 8,
                limit: 7
            })
        );
    }

    #[test]
    fn truncated_and_trailing_bytes_are_refused() {
        let mut bytes = encode(&vec![1_u16, 2]);
        for shorter in 0..bytes.len() {
            assert!(decode::<Vec<u16>>(&bytes[..shorter], 100).is_err());
        }
        bytes.push(0);
        assert!(decode::<Vec<u16>>(&bytes, 100).is_err());
    }

    #[test]
    fn a_map_out_of_order_or_with_a_repeated_key_is_refused() {
        let sorted = encode(&vec![(1_u8, 9_u8), (2, 9)]);
        assert!(decode::<BTreeMap<u8, u8>>(&sorted, 100).is_ok());
        let unsorted = encode(&vec![(2_u8, 9_u8), (1, 9)]);
        assert!(decode::<BTreeMap<u8, u8>>(&unsorted, 100).is_err());
        let repeated = encode(&vec![(1_u8, 9_u8), (1, 9)]);
        assert!(decode::<BTreeMap<u8, u8>>(&repeated, 100).is_err());
    }

    #[test]
    fn a_claimed_length_of_four_billion_reserves_nothing() {
        let mut bytes = vec![0xff; 4];
        bytes.extend([0; 16]);
        assert!(decode::<Vec<u64>>(&bytes, 100).is_err());
        assert!(decode::<Vec<u8>>(&bytes, 100).is_err());
    }
}
