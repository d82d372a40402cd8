//! International securities identification numbers (ISO 6166).
//!
//! Twelve characters: two letters, nine letters or digits, one check digit. The check digit is
//! Luhn's over the number that appears when every letter is written as its place in `0-9A-Z` (A =
//! 10).

use core::fmt;
use core::str::FromStr;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};
use crate::text::invalid;

/// An ISIN whose form and check digit are correct. Encoded as its twelve bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Isin([u8; 12]);

impl Isin {
    /// Checks `text`: upper case, twelve characters, correct check digit.
    ///
    /// # Errors
    /// [`ValueError`] if any of it is wrong.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        <[u8; 12]>::try_from(text.as_bytes())
            .ok()
            .filter(is_isin)
            .map(Self)
            .ok_or_else(|| ValueError::new(ValueKind::Isin, text))
    }

    /// The twelve characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `is_isin` lets only ASCII through, so that the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Form and check digit.
fn is_isin(bytes: &[u8; 12]) -> bool {
    let (prefix, rest) = bytes.split_at(2);
    let (body, check) = rest.split_at(9);
    prefix.iter().all(u8::is_ascii_uppercase)
        && body
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && check.iter().all(u8::is_ascii_digit)
        && luhn_sum(bytes).is_multiple_of(10)
}

/// Luhn's sum with the rightmost digit not doubled; letters contribute two digits each.
fn luhn_sum(bytes: &[u8; 12]) -> u32 {
    let mut sum = 0;
    let mut doubled = false;
    let mut add = |digit: u32| {
        let value = if doubled { digit * 2 } else { digit };
        sum += value / 10 + value % 10;
        doubled = !doubled;
    };
    for byte in bytes.iter().rev() {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        add(value % 10);
        if value >= 10 {
            add(value / 10);
        }
    }
    sum
}

impl fmt::Display for Isin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Isin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Isin({})", self.as_str())
    }
}

impl FromStr for Isin {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text)
    }
}

impl BorshDeserialize for Isin {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = <[u8; 12]>::deserialize_reader(reader)?;
        if is_isin(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(invalid(ValueKind::Isin.description()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// The five shares of the demonstration year, and numbers from other places.
    const REAL: [&str; 8] = [
        "US0378331005", // Apple Inc.
        "US38259P5089", // Google Inc.
        "US4592001014", // International Business Machines Corporation
        "US5949181045", // Microsoft Corporation
        "US30303M1027", // Facebook Inc.
        "GB0002634946", // BAE Systems plc
        "DE000BASF111", // BASF SE
        "JP3633400001", // Toyota Motor Corporation
    ];

    #[test]
    fn real_numbers_are_accepted() {
        for text in REAL {
            assert_eq!(Isin::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn every_wrong_check_digit_is_refused() {
        for text in REAL {
            for digit in '0'..='9' {
                let other = format!("{}{digit}", &text[..11]);
                assert_eq!(Isin::new(&other).is_ok(), other == text, "{other}");
            }
        }
    }

    #[test]
    fn wrong_forms_are_refused() {
        for text in [
            "",
            "US037833100",
            "US03783310055",
            "us0378331005",
            "U50378331005",
            "US037833100A",
            "US0378 31005",
            "US０378331005",
        ] {
            assert!(Isin::new(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn decoding_repeats_the_check() {
        assert!(borsh::from_slice::<Isin>(b"US0378331005").is_ok());
        assert!(borsh::from_slice::<Isin>(b"US0378331006").is_err());
        assert!(borsh::from_slice::<Isin>(b"US03783310").is_err());
    }
}
