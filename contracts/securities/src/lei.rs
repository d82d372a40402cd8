//! Legal entity identifiers (ISO 17442).
//!
//! Twenty characters: eighteen letters or digits and two check digits, so that the number that
//! appears when every letter is written as its place in `0-9A-Z` leaves 1 when divided by 97
//! (ISO/IEC 7064, MOD 97-10).

use core::fmt;
use core::str::FromStr;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};
use crate::text::invalid;

/// An LEI whose form and check digits are correct. Encoded as its twenty bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Lei([u8; 20]);

impl Lei {
    /// Checks `text`: upper case, twenty characters, correct check digits.
    ///
    /// # Errors
    /// [`ValueError`] if any of it is wrong.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        <[u8; 20]>::try_from(text.as_bytes())
            .ok()
            .filter(is_lei)
            .map(Self)
            .ok_or_else(|| ValueError::new(ValueKind::Lei, text))
    }

    /// The twenty characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `is_lei` lets only ASCII through, so that the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn is_lei(bytes: &[u8; 20]) -> bool {
    let form = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let (body, check) = bytes.split_at(18);
    let remainder = bytes.iter().fold(0u32, |remainder, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        (remainder * if value < 10 { 10 } else { 100 } + value) % 97
    });
    body.iter().all(form) && check.iter().all(u8::is_ascii_digit) && remainder == 1
}

impl fmt::Display for Lei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Lei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lei({})", self.as_str())
    }
}

impl FromStr for Lei {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text)
    }
}

impl BorshDeserialize for Lei {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = <[u8; 20]>::deserialize_reader(reader)?;
        if is_lei(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(invalid(ValueKind::Lei.description()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const REAL: [&str; 5] = [
        "HWUPKR0MPOU8FGXBT394", // Apple Inc.
        "5493006MHB84DD0ZWV18", // Alphabet Inc.
        "VGRQXHF3J8VDLUA7XE92", // International Business Machines Corporation
        "INR2EJN1ERAN0W5ZP974", // Microsoft Corporation
        "BQ4BKCS1HXDV9HN80Z93", // Meta Platforms, Inc.
    ];

    #[test]
    fn real_identifiers_are_accepted_and_changed_ones_are_not() {
        for text in REAL {
            assert_eq!(Lei::new(text).unwrap().as_str(), text);
            for place in 0..20 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
                assert!(Lei::new(core::str::from_utf8(&bytes).unwrap()).is_err());
            }
            assert!(Lei::new(&text.to_lowercase()).is_err());
            assert!(Lei::new(&text[..19]).is_err());
            assert!(borsh::from_slice::<Lei>(text.as_bytes()).is_ok());
        }
    }
}
