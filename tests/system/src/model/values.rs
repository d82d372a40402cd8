//! The forms of values, stated a second time.

/// A decimal: its digits as a whole number, and how many of them stand behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// All digits, without the point.
    pub digits: u128,
    /// Digits behind the point.
    pub decimals: u32,
}

/// Reads `^(0|[1-9][0-9]*)(\.[0-9]+)?$` with at most 18 digits.
#[must_use]
pub fn number(text: &str) -> Option<Number> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || whole.len() + fraction.len() > 18
    {
        return None;
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some(Number {
        digits,
        decimals: u32::try_from(fraction.len()).ok()?,
    })
}

impl Number {
    /// The number in units of `10^-decimals`, if it has no more decimals than that.
    #[must_use]
    pub const fn units(self, decimals: u32) -> Option<u128> {
        if self.decimals > decimals {
            return None;
        }
        Some(self.digits * 10_u128.pow(decimals - self.decimals))
    }
}

/// Units of `10^-decimals` as text, with all decimals.
#[must_use]
pub fn shown(units: u128, decimals: u32) -> String {
    if decimals == 0 {
        return units.to_string();
    }
    let one = 10_u128.pow(decimals);
    let width = decimals as usize;
    format!("{}.{:0width$}", units / one, units % one)
}

/// A shown number without its point, to compare numbers of equal decimals.
///
/// # Panics
/// It is none.
#[must_use]
pub fn plain(text: &str) -> u128 {
    text.replace('.', "").parse().unwrap()
}

/// Minor units of the currencies that scenarios here use.
#[must_use]
pub fn currency_decimals(code: &str) -> Option<u32> {
    match code {
        "USD" | "EUR" | "GBP" | "CHF" => Some(2),
        "JPY" | "KRW" => Some(0),
        "KWD" | "BHD" => Some(3),
        _ => None,
    }
}

/// Letters as 10 to 35, as ISO 6166 and ISO 17442 count them.
fn expanded(text: &str) -> Option<Vec<u32>> {
    let mut digits = Vec::new();
    for letter in text.chars() {
        if !letter.is_ascii_digit() && !letter.is_ascii_uppercase() {
            return None;
        }
        let value = letter.to_digit(36)?;
        if value >= 10 {
            digits.push(value / 10);
        }
        digits.push(value % 10);
    }
    Some(digits)
}

/// Whether this is an ISIN: two letters, nine letters or digits, a check digit (double-add-double over all).
#[must_use]
pub fn is_isin(text: &str) -> bool {
    let shape = text.len() == 12
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text
            .bytes()
            .last()
            .is_some_and(|byte| byte.is_ascii_digit());
    let Some(digits) = expanded(text).filter(|_| shape) else {
        return false;
    };
    let doubled = digits.iter().rev().enumerate().map(|(place, digit)| {
        let value = if place % 2 == 1 { digit * 2 } else { *digit };
        value / 10 + value % 10
    });
    doubled.sum::<u32>() % 10 == 0
}

/// The ISIN of eleven first characters.
///
/// # Panics
/// They are not of an ISIN.
#[must_use]
pub fn isin(first: &str) -> String {
    let mut all = (0..10).map(|digit| format!("{first}{digit}"));
    all.find(|text| is_isin(text)).unwrap()
}

/// Whether this is an LEI: 18 letters or digits and two check digits, 1 modulo 97.
#[must_use]
pub fn is_lei(text: &str) -> bool {
    let shape = text.len() == 20 && text.bytes().skip(18).all(|byte| byte.is_ascii_digit());
    let Some(digits) = expanded(text).filter(|_| shape) else {
        return false;
    };
    digits
        .iter()
        .fold(0, |rest, digit| (rest * 10 + digit) % 97)
        == 1
}

/// Whether this is a date from 1900 on.
#[must_use]
pub fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    if (year.len(), month.len(), day.len()) != (4, 2, 2)
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return false;
    }
    let (Ok(year), Ok(month), Ok(day)) = (
        year.parse::<u32>(),
        month.parse::<usize>(),
        day.parse::<u32>(),
    ) else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let february = if leap { 29 } else { 28 };
    let days = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let last = month.checked_sub(1).and_then(|index| days.get(index));
    year >= 1900 && last.is_some_and(|last| (1..=*last).contains(&day))
}

/// Whether this is an account id.
#[must_use]
pub fn is_account(text: &str) -> bool {
    (1..=35).contains(&text.len())
        && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && text.trim() == text
}

/// Whether a user may call an order this.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    is_account(text) && !text.starts_with('~')
}

/// Whether a member may be called this.
#[must_use]
pub fn is_member(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase();
    (1..=32).contains(&text.len())
        && text.bytes().next().is_some_and(letter)
        && text
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}

/// Whether a holder, issue or organisation may be called this.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=140).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}
