//! What the demo prints: headings, numbers as people read them, bytes.

use std::fmt::{Display, Write as _};
use std::io::Write;

use crate::error::{Result, doing};

/// Writes to standard output.
pub struct Teller {
    out: std::io::Stdout,
}

impl Teller {
    /// A teller.
    pub fn new() -> Self {
        Self {
            out: std::io::stdout(),
        }
    }

    /// One or more lines.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn say(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(doing("standard output"))
    }

    /// A heading, set off.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn heading(&mut self, text: &str) -> Result<()> {
        self.say(format_args!(
            "\n{text}\n{}",
            "=".repeat(text.chars().count())
        ))
    }

    /// A label and what belongs to it, in two columns.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn fact(&mut self, label: &str, text: impl Display) -> Result<()> {
        self.say(format_args!("  {label:<13} {text}"))
    }
}

/// A number with a comma before every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount in cents, as dollars.
pub fn dollars(cents: u64) -> String {
    format!("USD {}.{:02}", grouped(cents / 100), cents % 100)
}

/// An amount in cents, as millions of dollars, rounded to the nearest hundred thousand.
pub fn millions(cents: u64) -> String {
    let tenths = cents.saturating_add(5_000_000) / 10_000_000;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// A price in ten-thousandths of a dollar, with two decimals, rounded to the nearest.
pub fn price(ten_thousandths: u64) -> String {
    let cents = (ten_thousandths + 50) / 100;
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Bytes as hex digits in groups of four bytes, `width` bytes a line.
pub fn hex(bytes: &[u8], width: usize, indent: &str) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(width.max(4)).enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(indent);
        for (place, word) in line.chunks(4).enumerate() {
            if place > 0 {
                text.push(' ');
            }
            for byte in word {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(421_233_615), "421,233,615");
        assert_eq!(dollars(1_600_687_737_005), "USD 16,006,877,370.05");
        assert_eq!(millions(1_600_687_737_000), "16,006.9");
        assert_eq!(millions(4_999_999), "0.0");
        assert_eq!(
            (price(382_318), price(4_112_300)),
            ("38.23".into(), "411.23".into())
        );
        assert_eq!(hex(&[1, 2, 3, 4, 0xff], 8, "  "), "  01020304 ff");
        assert_eq!(hex(&[0; 9], 8, ""), "00000000 00000000\n00");
    }
}
