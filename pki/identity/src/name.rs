//! The rules for what people may call networks, members and organisations.
//!
//! Short names (of networks and members) are 1 to 32 of `a-z`, `0-9`, `-` and `_`, beginning with
//! a letter, so that they stand in a URI, a file name and a log line without quoting. Organisations
//! are free text of 1 to 64 characters (X.520's upper bound) without control and invisible
//! characters, so that no two of them look alike through what cannot be seen.

/// The most characters in the short name of a network or member.
pub const SHORT_NAME_LENGTH_MAX: usize = 32;
/// The most characters in an organisation's name.
pub const ORGANISATION_LENGTH_MAX: usize = 64;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The short name breaks the rule.
    #[error(
        "a short name has 1 to {SHORT_NAME_LENGTH_MAX} of `a-z`, `0-9`, `-` and `_` and begins \
         with a letter"
    )]
    Short,
    /// The organisation's name breaks the rule.
    #[error(
        "an organisation's name has 1 to {ORGANISATION_LENGTH_MAX} visible characters, without \
         space at either end"
    )]
    Organisation,
}

/// Checks the short name of a network or member.
pub fn check_short_name(name: &str) -> Result<(), NameError> {
    let lawful = name.len() <= SHORT_NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if lawful {
        Ok(())
    } else {
        Err(NameError::Short)
    }
}

/// Checks the name of an organisation.
pub fn check_organisation(name: &str) -> Result<(), NameError> {
    let lawful = !name.is_empty()
        && name.trim() == name
        && name.chars().count() <= ORGANISATION_LENGTH_MAX
        && !name
            .chars()
            .any(|character| character.is_control() || is_invisible(character));
    if lawful {
        Ok(())
    } else {
        Err(NameError::Organisation)
    }
}

/// Joiners, direction marks and overrides, line separators and the byte order mark.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        for name in ["a", "firm-a", "firm_a", "x1", &"a".repeat(32)] {
            check_short_name(name).unwrap();
        }
        for name in [
            "",
            "1a",
            "-a",
            "A",
            "firm a",
            "firm/a",
            "é",
            &"a".repeat(33),
        ] {
            assert_eq!(check_short_name(name), Err(NameError::Short), "{name}");
        }
    }

    #[test]
    fn organisations() {
        for name in [
            "Bank of Exampleland",
            "株式会社例",
            "Société Générale & Cie",
        ] {
            check_organisation(name).unwrap();
        }
        for name in [
            "",
            " a",
            "a ",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}",
            &"a".repeat(65),
        ] {
            assert_eq!(
                check_organisation(name),
                Err(NameError::Organisation),
                "{name:?}"
            );
        }
    }
}
