//! Business dates: ledger data that an order moves forward, apart from block time.

use core::fmt;
use core::str::FromStr;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};
use crate::text::invalid;

/// A day of the Gregorian calendar between 1900-01-01 and 9999-12-31, written `YYYY-MM-DD` (ISO
/// 8601). Encoded as `u16` year, `u8` month, `u8` day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct BusinessDate {
    year: u16,
    month: u8,
    day: u8,
}

impl BusinessDate {
    /// The given day; `None` if the calendar does not have it.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let known = (1900..=9999).contains(&year) && (1..=days).contains(&day);
        known.then_some(Self { year, month, day })
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<u16> {
            let part = text.as_bytes().get(from..to)?;
            let digits = part.iter().all(u8::is_ascii_digit);
            digits.then(|| core::str::from_utf8(part).ok()?.parse().ok())?
        };
        let dash = |place| text.as_bytes().get(place) == Some(&b'-');
        if text.len() != 10 || !dash(4) || !dash(7) {
            return None;
        }
        let month = u8::try_from(number(5, 7)?).ok()?;
        Self::new(number(0, 4)?, month, u8::try_from(number(8, 10)?).ok()?)
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }
}

impl fmt::Display for BusinessDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:04}-{:02}-{:02}",
            self.year, self.month, self.day
        )
    }
}

impl fmt::Debug for BusinessDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BusinessDate({self})")
    }
}

impl FromStr for BusinessDate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(text).ok_or_else(|| ValueError::new(ValueKind::BusinessDate, text))
    }
}

impl BorshDeserialize for BusinessDate {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (year, month, day) = <(u16, u8, u8)>::deserialize_reader(reader)?;
        Self::new(year, month, day).ok_or_else(|| invalid(ValueKind::BusinessDate.description()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar_are_read_and_shown() {
        for text in [
            "2012-08-09",
            "2012-02-29",
            "2000-02-29",
            "1900-01-01",
            "9999-12-31",
        ] {
            assert_eq!(text.parse::<BusinessDate>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2012-8-9",
            "2012-02-30",
            "2100-02-29",
            "2012-13-01",
            "2012-00-01",
            "2012-01-00",
            "1899-12-31",
            "2012/01/01",
            "+012-01-01",
            "2012-01-011",
            "２012-01-01",
        ] {
            assert!(text.parse::<BusinessDate>().is_err(), "`{text}`");
        }
    }

    #[test]
    fn dates_order_by_time_and_decode_checked() {
        let date = |text: &str| text.parse::<BusinessDate>().unwrap();
        assert!(date("2012-08-09") < date("2012-08-10"));
        assert!(date("2012-12-31") < date("2013-01-01"));
        assert!(borsh::from_slice::<BusinessDate>(&[0xdc, 0x07, 2, 29]).is_ok());
        assert!(borsh::from_slice::<BusinessDate>(&[0xdc, 0x07, 2, 30]).is_err());
    }
}
