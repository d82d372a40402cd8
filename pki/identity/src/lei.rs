//! The Legal Entity Identifier, ISO 17442: twenty characters, of which the last two are check
//! digits after ISO 7064 MOD 97-10.
//!
//! INVARIANT: a value of type [`Lei`] has passed the check, however it came into being.

use std::{fmt, io, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};

/// The length of an identifier in characters.
pub const LEI_LENGTH: usize = 20;

/// A checked Legal Entity Identifier in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Lei([u8; LEI_LENGTH]);

/// Why a text is no Legal Entity Identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeiError {
    /// The text does not have twenty characters.
    #[error("a legal entity identifier has {LEI_LENGTH} characters, not {found}")]
    Length {
        /// Bytes in the text.
        found: usize,
    },
    /// A character is neither a capital letter nor a digit, or a check digit is no digit.
    #[error(
        "a legal entity identifier consists of capital letters and digits and ends in two digits"
    )]
    Character,
    /// The check digits do not fit the rest.
    #[error("the check digits of the legal entity identifier are wrong: it is mistyped")]
    CheckDigits,
}

impl Lei {
    /// Checks `bytes` and makes an identifier of them.
    pub fn new(bytes: [u8; LEI_LENGTH]) -> Result<Self, LeiError> {
        if !bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        {
            return Err(LeiError::Character);
        }
        if !bytes.iter().rev().take(2).all(u8::is_ascii_digit) {
            return Err(LeiError::Character);
        }
        // Letters stand for 10 to 35; the whole, read as a number, leaves 1 modulo 97. A check of
        // `00`, `01` or `99` can leave 1 as well but is never issued (ISO 7064, 02 to 98).
        let remainder = bytes.iter().fold(0_u32, |remainder, byte| match byte {
            b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
            _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
        });
        let reserved = [b"00", b"01", b"99"]
            .iter()
            .any(|check| bytes.ends_with(*check));
        if remainder != 1 || reserved {
            return Err(LeiError::CheckDigits);
        }
        Ok(Self(bytes))
    }

    /// Completes eighteen characters with their two check digits, for test networks.
    pub fn from_base(base: &str) -> Result<Self, LeiError> {
        let mut bytes = [b'0'; LEI_LENGTH];
        let found = base.len();
        let (head, _) = bytes.split_at_mut(LEI_LENGTH - 2);
        if found != head.len() {
            return Err(LeiError::Length { found: found + 2 });
        }
        head.copy_from_slice(base.as_bytes());
        if !head
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        {
            return Err(LeiError::Character);
        }
        (2..=98_u8)
            .find_map(|check| {
                let (_, tail) = bytes.split_at_mut(LEI_LENGTH - 2);
                tail.copy_from_slice(&[b'0' + check / 10, b'0' + check % 10]);
                Self::new(bytes).ok()
            })
            .ok_or(LeiError::CheckDigits)
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII passes `new`, so that the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Lei {
    type Err = LeiError;

    fn from_str(text: &str) -> Result<Self, LeiError> {
        let bytes = text
            .as_bytes()
            .try_into()
            .map_err(|_| LeiError::Length { found: text.len() })?;
        Self::new(bytes)
    }
}

impl fmt::Display for Lei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Lei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lei({self})")
    }
}

impl BorshDeserialize for Lei {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = <[u8; LEI_LENGTH]>::deserialize_reader(reader)?;
        Self::new(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn published_identifiers_pass() {
        // From the public register of identifiers.
        for text in [
            "54930084UKLVMY22DS16",
            "5493001KJTIIGC8Y1R12",
            "506700GE1G29325QX363",
        ] {
            assert_eq!(text.parse::<Lei>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_single_digit_typo_is_caught() {
        let text = "54930084UKLVMY22DS16";
        for index in 0..LEI_LENGTH {
            let mut bytes = text.as_bytes().to_vec();
            let byte = bytes.get_mut(index).unwrap();
            *byte = if *byte == b'7' { b'8' } else { b'7' };
            let typo = String::from_utf8(bytes).unwrap();
            assert!(typo.parse::<Lei>().is_err(), "{typo}");
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "-",
            "54930084uklvmy22ds16",
            "54930084UKLVMY22DS1",
            "54930084UKLVMY22DS1A",
        ] {
            assert!(text.parse::<Lei>().is_err(), "{text}");
        }
        assert!("é4930084UKLVMY22DS1".parse::<Lei>().is_err());
    }

    #[test]
    fn check_digits_are_completed() {
        let lei = Lei::from_base("54930084UKLVMY22DS").unwrap();
        assert_eq!(lei.as_str(), "54930084UKLVMY22DS16");
        assert!(Lei::from_base("SHORT").is_err());
    }

    #[test]
    fn decoding_checks_too() {
        let lei: Lei = "54930084UKLVMY22DS16".parse().unwrap();
        let bytes = borsh::to_vec(&lei).unwrap();
        assert_eq!(bytes, b"54930084UKLVMY22DS16");
        assert_eq!(borsh::from_slice::<Lei>(&bytes).unwrap(), lei);
        assert!(borsh::from_slice::<Lei>(b"54930084UKLVMY22DS17").is_err());
    }
}
