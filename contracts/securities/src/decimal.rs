//! Decimal numbers as orders carry them: what the submitter wrote, digit for digit.

use core::fmt;
use core::str::FromStr;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};
use crate::text::invalid;

/// The most digits that a decimal may be written with, a leading zero before the point included.
pub const DECIMAL_DIGITS_MAX: usize = 18;

/// A number `digits / 10^scale`, not negative.
///
/// Written as `^(0|[1-9][0-9]*)(\.[0-9]+)?$` with at most 18 digits in all. The scale is kept as
/// written: `1.50` and `1.5` are equal amounts but different decimals, and `1.50` has too many
/// decimals for a currency with one. Encoded as `u64` digits and `u8` scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Decimal {
    digits: u64,
    scale: u8,
}

impl Decimal {
    /// The number `digits / 10^scale`; `None` if writing it takes more than 18 digits.
    #[must_use]
    pub const fn new(digits: u64, scale: u8) -> Option<Self> {
        // 18 digits in all leave at most 17 behind the point, because one stands before it.
        if digits < 1_000_000_000_000_000_000 && (scale as usize) < DECIMAL_DIGITS_MAX {
            Some(Self { digits, scale })
        } else {
            None
        }
    }

    /// Parses a decimal strictly.
    ///
    /// # Errors
    /// [`ValueError`] for a sign, an exponent, white space, a point without digits on both sides,
    /// leading zeros or more than 18 digits.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        Self::parse_strictly(text.as_bytes())
            .ok_or_else(|| ValueError::new(ValueKind::Decimal, text))
    }

    fn parse_strictly(text: &[u8]) -> Option<Self> {
        if text.len() > DECIMAL_DIGITS_MAX + 1 {
            return None;
        }
        let point = text.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(place) => (text.get(..place)?, text.get(place + 1..)?),
            None => (text, &[][..]),
        };
        let leading_zero = whole.len() > 1 && whole.first() == Some(&b'0');
        if whole.is_empty() || leading_zero || (point.is_some() && fraction.is_empty()) {
            return None;
        }
        let mut digits: u64 = 0;
        for byte in whole.iter().chain(fraction) {
            let digit = char::from(*byte).to_digit(10)?;
            digits = digits.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        if whole.len() + fraction.len() > DECIMAL_DIGITS_MAX {
            return None;
        }
        Self::new(digits, u8::try_from(fraction.len()).ok()?)
    }

    /// The number without its point.
    #[must_use]
    pub const fn digits(self) -> u64 {
        self.digits
    }

    /// How many of the digits stand behind the point.
    #[must_use]
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// Whether the number is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The number in units of `10^-decimals`; `None` if it is written with more decimals than that.
    ///
    /// The result may exceed [`crate::UNITS_MAX`]: whoever stores it has to check.
    #[must_use]
    pub fn units(self, decimals: u8) -> Option<u128> {
        let exponent = decimals.checked_sub(self.scale)?;
        u128::from(self.digits).checked_mul(10u128.checked_pow(u32::from(exponent))?)
    }
}

/// Writes `units / 10^decimals` with exactly `decimals` digits behind the point.
pub(crate) fn write_units(
    formatter: &mut fmt::Formatter<'_>,
    units: u64,
    decimals: u8,
) -> fmt::Result {
    let width = usize::from(decimals);
    let Some(divisor) = 10u64.checked_pow(u32::from(decimals)).filter(|_| width > 0) else {
        return write!(formatter, "{units}");
    };
    write!(formatter, "{}.{:0width$}", units / divisor, units % divisor)
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_units(formatter, self.digits, self.scale)
    }
}

impl FromStr for Decimal {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(text)
    }
}

impl BorshDeserialize for Decimal {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let digits = u64::deserialize_reader(reader)?;
        let scale = u8::deserialize_reader(reader)?;
        Self::new(digits, scale).ok_or_else(|| invalid(ValueKind::Decimal.description()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_digit_for_digit() {
        for (text, digits, scale) in [
            ("0", 0, 0),
            ("0.0", 0, 1),
            ("1", 1, 0),
            ("1.50", 150, 2),
            ("0.05", 5, 2),
            ("41123.00", 4_112_300, 2),
            ("999999999999999999", 999_999_999_999_999_999, 0),
            ("0.12345678901234567", 12_345_678_901_234_567, 17),
        ] {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!(
                (decimal.digits(), decimal.scale()),
                (digits, scale),
                "`{text}`"
            );
            assert_eq!(decimal.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "01",
            "00",
            "1e3",
            " 1",
            "1 ",
            "1,5",
            "1.5.0",
            "0x1",
            "1000000000000000000",
            "0.123456789012345678",
            "١",
            "NaN",
            "1_000",
            "-0",
        ] {
            assert!(Decimal::parse(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn more_decimals_than_allowed_are_no_units() {
        let decimal = Decimal::parse("1.50").unwrap();
        assert_eq!(decimal.units(1), None);
        assert_eq!(decimal.units(2), Some(150));
        assert_eq!(decimal.units(8), Some(150_000_000));
        let most = Decimal::parse("999999999999999999").unwrap();
        assert_eq!(most.units(8), Some(99_999_999_999_999_999_900_000_000));
        assert_eq!(most.units(u8::MAX), None);
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(digits in 0..1_000_000_000_000_000_000u64, scale in 0..18u8) {
            let decimal = Decimal::new(digits, scale).unwrap();
            prop_assert_eq!(Decimal::parse(&decimal.to_string()).unwrap(), decimal);
            let bytes = borsh::to_vec(&decimal).unwrap();
            prop_assert_eq!(borsh::from_slice::<Decimal>(&bytes).unwrap(), decimal);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,24}") {
            let _ = Decimal::parse(&text);
        }
    }

    #[test]
    fn decoding_repeats_the_check() {
        let encode = |digits: u64, scale: u8| borsh::to_vec(&(digits, scale)).unwrap();
        assert!(borsh::from_slice::<Decimal>(&encode(1, 17)).is_ok());
        assert!(borsh::from_slice::<Decimal>(&encode(1, 18)).is_err());
        assert!(borsh::from_slice::<Decimal>(&encode(1_000_000_000_000_000_000, 0)).is_err());
        assert!(borsh::from_slice::<Decimal>(&encode(u64::MAX, 0)).is_err());
    }
}
