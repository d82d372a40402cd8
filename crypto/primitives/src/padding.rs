//! Padding that hides how long a text is.
//!
//! ```text
//! length of the content, u32 LE | content | zeros
//! |<------------------- padded_length ------------------>|
//! ```
//!
//! The padded length is Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", 2019, section 4) of the larger of the content with its prefix and a
//! floor. A text of n bytes so reveals O(log log n) bits of its length, at a cost of at most 12
//! percent.
//!
//! INVARIANT: a content and a floor have exactly one padded form; [`unpad`] refuses all others.

/// The length of the prefix that holds the length of the content, in bytes.
pub const PREFIX_LENGTH: usize = 4;

/// The longest content that can be padded, in bytes: what the prefix can say.
pub const CONTENT_LENGTH_MAX: usize = u32::MAX as usize;

/// Why a content cannot be padded, or a padded text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// The content is longer than the prefix can say.
    #[error("a content of {length} bytes is too long to be padded")]
    ContentTooLong {
        /// The length of the content, in bytes.
        length: usize,
    },
    /// The padded text is too short for its prefix or for the content that the prefix announces.
    #[error("the padded text is truncated")]
    Truncated,
    /// The padded text does not have the length that its content and the floor prescribe.
    #[error("the padded text does not have the prescribed length")]
    WrongLength,
    /// A byte of the padding is not zero.
    #[error("the padding is not zero")]
    NotZero,
}

/// The Padmé length of the larger of `length` and `floor`, which are both in bytes.
///
/// Lengths that no memory can hold give the largest length there is.
#[must_use]
pub fn padded_length(length: usize, floor: usize) -> usize {
    let length = length.max(floor);
    // With e the exponent of the length, only the upper log2(e) + 1 bits of the length remain.
    let Some(exponent) = length.checked_ilog2() else {
        return 0;
    };
    let Some(exponent_bits) = exponent.checked_ilog2().map(|log| log + 1) else {
        return length;
    };
    let mask = (1_usize << exponent.saturating_sub(exponent_bits)) - 1;
    length
        .checked_add(mask)
        .map_or(usize::MAX, |sum| sum & !mask)
}

/// The padded form of `bytes`.
///
/// # Errors
///
/// [`PaddingError::ContentTooLong`] above [`CONTENT_LENGTH_MAX`].
pub fn pad(bytes: &[u8], floor: usize) -> Result<Vec<u8>, PaddingError> {
    let prefix = u32::try_from(bytes.len()).map_err(|_| PaddingError::ContentTooLong {
        length: bytes.len(),
    })?;
    let length = padded_length(prefixed_length(bytes.len()), floor);
    // The whole capacity is reserved at once, so that no copy of the content is left behind.
    let mut padded = Vec::with_capacity(length);
    padded.extend_from_slice(&prefix.to_le_bytes());
    padded.extend_from_slice(bytes);
    padded.resize(length, 0);
    Ok(padded)
}

/// The content of a padded text, which must be exactly what [`pad`] makes with the same floor.
///
/// # Errors
///
/// [`PaddingError`] says in which way the padded text is another one.
pub fn unpad(padded: &[u8], floor: usize) -> Result<&[u8], PaddingError> {
    let (prefix, rest) = padded
        .split_first_chunk::<PREFIX_LENGTH>()
        .ok_or(PaddingError::Truncated)?;
    let length =
        usize::try_from(u32::from_le_bytes(*prefix)).map_err(|_| PaddingError::Truncated)?;
    let (content, zeros) = rest
        .split_at_checked(length)
        .ok_or(PaddingError::Truncated)?;
    if padded.len() != padded_length(prefixed_length(length), floor) {
        return Err(PaddingError::WrongLength);
    }
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(PaddingError::NotZero);
    }
    Ok(content)
}

fn prefixed_length(content_length: usize) -> usize {
    content_length.saturating_add(PREFIX_LENGTH)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn padme_lengths_of_the_paper() {
        // Figures that follow from the definition by hand: 9 = 0b1001 keeps two bits after the
        // first, 513 rounds up to the next multiple of 32, and powers of two stay.
        for (length, expected) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
            (8, 8),
            (9, 10),
            (100, 104),
            (512, 512),
            (513, 544),
            (1000, 1024),
            (1025, 1088),
            (65_537, 67_584),
            (1 << 32, 1 << 32),
            ((1 << 32) + 1, (1 << 32) + (1 << 26)),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(padded_length(length, 0), expected, "{length}");
        }
        assert_eq!(padded_length(5, 512), 512);
        assert_eq!(padded_length(0, 513), 544);
    }

    #[test]
    fn edges_around_the_floor() {
        assert_eq!(pad(b"", 512).unwrap(), vec![0; 512]);
        assert_eq!(pad(&[1; 508], 512).unwrap().len(), 512);
        assert_eq!(pad(&[1; 509], 512).unwrap().len(), 544);
        assert_eq!(unpad(&[0; 512], 512).unwrap(), b"");
    }

    #[test]
    fn every_other_form_is_refused() {
        let padded = pad(b"content", 32).unwrap();
        assert_eq!(unpad(&padded, 32), Ok(&b"content"[..]));
        assert_eq!(unpad(&padded, 64), Err(PaddingError::WrongLength));
        assert_eq!(unpad(&padded, 0), Err(PaddingError::WrongLength));
        assert_eq!(unpad(&padded[..31], 32), Err(PaddingError::WrongLength));
        assert_eq!(unpad(&padded[..10], 32), Err(PaddingError::Truncated));
        assert_eq!(unpad(&padded[..3], 32), Err(PaddingError::Truncated));
        assert_eq!(unpad(&[], 32), Err(PaddingError::Truncated));
        let mut longer = padded.clone();
        longer.push(0);
        assert_eq!(unpad(&longer, 32), Err(PaddingError::WrongLength));
        for index in 11..32 {
            let mut dirty = padded.clone();
            dirty[index] = 1;
            assert_eq!(unpad(&dirty, 32), Err(PaddingError::NotZero));
        }
        let mut huge = padded;
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(unpad(&huge, 32), Err(PaddingError::Truncated));
    }
}
