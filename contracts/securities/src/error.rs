//! Why a text is not the value that it should be.

use core::fmt;

use thiserror::Error;

/// The kinds of checked values, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// [`crate::AccountId`].
    AccountId,
    /// [`crate::ClientReference`].
    ClientReference,
    /// [`crate::MemberName`].
    MemberName,
    /// [`crate::LongName`].
    LongName,
    /// [`crate::Isin`].
    Isin,
    /// [`crate::Lei`].
    Lei,
    /// [`crate::CurrencyCode`].
    CurrencyCode,
    /// [`crate::Decimal`].
    Decimal,
    /// [`crate::BusinessDate`].
    BusinessDate,
    /// [`crate::Role`].
    Role,
    /// [`crate::IssueKind`].
    IssueKind,
    /// [`crate::Side`].
    Side,
}

impl ValueKind {
    /// What a correct value looks like.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::AccountId => {
                "not an account id: 1 to 35 printable ASCII characters, no space at either end"
            }
            Self::ClientReference => {
                "not a reference: 1 to 35 printable ASCII characters, no space at either end, \
                 no leading `~`"
            }
            Self::MemberName => {
                "not a member name: 1 to 32 of a-z, 0-9, - and _, beginning with a letter"
            }
            Self::LongName => {
                "not a name: 1 to 140 characters, none of them control characters, \
                 no white space at either end"
            }
            Self::Isin => "not an ISIN with a correct check digit (ISO 6166)",
            Self::Lei => "not an LEI with correct check digits (ISO 17442)",
            Self::CurrencyCode => "not an active ISO 4217 currency code with minor units",
            Self::Decimal => {
                "not a decimal number: digits, at most one point with digits on both sides, \
                 no sign, no leading zeros, at most 18 digits in all"
            }
            Self::BusinessDate => "not a date of the form YYYY-MM-DD between 1900 and 9999",
            Self::Role => {
                "not a role: one of admin, firm, issuer, regulator, cash-agent, oracle, node"
            }
            Self::IssueKind => "not a kind of issue: one of equity, bond, fund",
            Self::Side => "not a side: one of buy, sell",
        }
    }
}

/// A text that is no value of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{}` is {}", Excerpt(.input), .kind.description())]
pub struct ValueError {
    /// What it should have been.
    pub kind: ValueKind,
    /// What was given, cut to its first characters.
    pub input: String,
}

/// How much of a wrong input an error keeps.
const INPUT_CHARACTERS_MAX: usize = 64;

impl ValueError {
    pub(crate) fn new(kind: ValueKind, input: &str) -> Self {
        Self {
            kind,
            input: input.chars().take(INPUT_CHARACTERS_MAX).collect(),
        }
    }
}

/// Shows control characters of a user's input escaped, so that an error cannot paint the terminal.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                write!(formatter, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_quote_and_escape_the_input() {
        let error = ValueError::new(ValueKind::Isin, "US\u{1b}[31m");
        assert_eq!(
            error.to_string(),
            "`US\\u{1b}[31m` is not an ISIN with a correct check digit (ISO 6166)"
        );
        assert_eq!(
            ValueError::new(ValueKind::Lei, &"x".repeat(500))
                .input
                .len(),
            64
        );
    }
}
