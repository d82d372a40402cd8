//! Short checked texts: the identifiers and names that orders carry.
//!
//! Every type here is a newtype whose fields are private, so that a value that exists has been
//! checked. Identifiers live inline (no heap), because they are keys of the lookups on the hot
//! path.
//!
//! Format (borsh): `u32` length, then the bytes, exactly like a borsh string. Decoding checks the
//! length before it reads and then repeats every check of the constructor.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{ValueError, ValueKind};

/// Up to `CAPACITY` bytes of ASCII, padded with zeros, which sort below every printable character:
/// the derived order is therefore the byte order of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InlineText<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    length: u8,
}

/// Without the padding, which is most of a short text.
impl<const CAPACITY: usize> Hash for InlineText<CAPACITY> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
        state.write_u8(self.length);
    }
}

impl<const CAPACITY: usize> InlineText<CAPACITY> {
    /// Copies `text`; `None` if it does not fit.
    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; CAPACITY];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            bytes,
            length: u8::try_from(text.len()).ok()?,
        })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        // The constructors let only ASCII through, so that the fallback is never taken.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn write<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        u32::from(self.length).serialize(writer)?;
        writer.write_all(self.as_bytes())
    }

    fn read<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let length = u32::deserialize_reader(reader)?;
        let mut bytes = [0; CAPACITY];
        let too_long = || invalid("text is too long");
        let end = usize::try_from(length).map_err(|_| too_long())?;
        reader.read_exact(bytes.get_mut(..end).ok_or_else(too_long)?)?;
        Ok(Self {
            bytes,
            length: u8::try_from(length).map_err(|_| too_long())?,
        })
    }
}

/// The error that a decoder reports for bytes that are no value of the type.
pub(crate) fn invalid(reason: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

/// Declares an identifier over [`InlineText`]: constructor, text conversions and checked borsh.
macro_rules! inline_text {
    ($(#[$meta:meta])* $name:ident, $capacity:literal, $kind:expr, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(InlineText<$capacity>);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`ValueError`] if the text is not of the form that the type describes.
            pub fn new(text: &str) -> Result<Self, ValueError> {
                let refuse = || ValueError::new($kind, text);
                let check: fn(&[u8]) -> bool = $check;
                if !check(text.as_bytes()) {
                    return Err(refuse());
                }
                InlineText::new(text.as_bytes()).map(Self).ok_or_else(refuse)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({})", stringify!($name), self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::new(text)
            }
        }

        impl BorshSerialize for $name {
            fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
                self.0.write(writer)
            }
        }

        impl BorshDeserialize for $name {
            fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
                let text = InlineText::<$capacity>::read(reader)?;
                let check: fn(&[u8]) -> bool = $check;
                if check(text.as_bytes()) {
                    Ok(Self(text))
                } else {
                    Err(invalid($kind.description()))
                }
            }
        }
    };
}

/// `Max35Text` of ISO 20022, narrowed to printable ASCII without spaces at the ends.
fn is_reference(text: &[u8]) -> bool {
    (1..=35).contains(&text.len())
        && text.iter().all(|byte| (b' '..=b'~').contains(byte))
        && text.first() != Some(&b' ')
        && text.last() != Some(&b' ')
}

/// 1 to 32 of `a-z`, `0-9`, `-` and `_`, beginning with a letter.
fn is_member_name(text: &[u8]) -> bool {
    (1..=32).contains(&text.len())
        && text.first().is_some_and(u8::is_ascii_lowercase)
        && text
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

inline_text!(
    /// The identifier of a securities account, unique in the whole network: 1 to 35 printable ASCII
    /// characters, no space at either end (ISO 20022 `Max35Text`).
    AccountId,
    35,
    ValueKind::AccountId,
    is_reference
);

inline_text!(
    /// The submitter's own reference of an order, unique per submitter: 1 to 35 printable ASCII
    /// characters, no space at either end (ISO 20022 `Max35Text`).
    ///
    /// References that begin with `~` are made by client programs for orders that have no reference
    /// of the user's; [`ClientReference::from_user`] refuses them.
    ClientReference,
    35,
    ValueKind::ClientReference,
    is_reference
);

inline_text!(
    /// The short name of a member: 1 to 32 of `a-z`, `0-9`, `-` and `_`, beginning with a letter.
    MemberName,
    32,
    ValueKind::MemberName,
    is_member_name
);

impl ClientReference {
    /// Checks a reference that a user chose: it may not begin with `~`.
    ///
    /// # Errors
    /// [`ValueError`] if it does, or if the text is no reference at all.
    pub fn from_user(text: &str) -> Result<Self, ValueError> {
        let reference = Self::new(text)?;
        if reference.is_generated() {
            return Err(ValueError::new(ValueKind::ClientReference, text));
        }
        Ok(reference)
    }

    /// Whether a client program made this reference (it begins with `~`).
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.as_str().starts_with('~')
    }
}

/// The name of an organisation or an issue: 1 to 140 characters (ISO 20022 `Max140Text`), no
/// control characters, no white space at either end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct LongName(String);

/// The most bytes that 140 characters take in UTF-8.
const LONG_NAME_BYTES_MAX: u32 = 140 * 4;

impl LongName {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`ValueError`] if it is empty, too long, has control characters or white space at an end.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        let length_fits = text.len() <= 140 * 4 && (1..=140).contains(&text.chars().count());
        if length_fits && text.trim() == text && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(ValueKind::LongName, text))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LongName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for LongName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LongName({})", self.0)
    }
}

impl FromStr for LongName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text)
    }
}

impl BorshDeserialize for LongName {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let length = u32::deserialize_reader(reader)?;
        if length > LONG_NAME_BYTES_MAX {
            return Err(invalid("name is too long"));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(invalid)?];
        reader.read_exact(&mut bytes)?;
        let text = core::str::from_utf8(&bytes).map_err(invalid)?;
        Self::new(text).map_err(invalid)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn references_are_one_to_thirty_five_printable_characters() {
        for good in ["A", "A-1", "T 1", "~auto", &"x".repeat(35), "a\"b/c"] {
            assert_eq!(ClientReference::new(good).unwrap().as_str(), good);
            assert_eq!(AccountId::new(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            " A",
            "A ",
            &"x".repeat(36),
            "A\n",
            "Ä",
            "a\u{7f}",
            "a\0",
        ] {
            assert!(ClientReference::new(bad).is_err(), "`{bad}`");
            assert!(AccountId::new(bad).is_err(), "`{bad}`");
        }
    }

    #[test]
    fn users_may_not_begin_a_reference_with_a_tilde() {
        assert!(ClientReference::from_user("~1").is_err());
        assert!(ClientReference::from_user("1~").is_ok());
        assert!(ClientReference::new("~1").unwrap().is_generated());
    }

    #[test]
    fn member_names_are_lower_case_and_begin_with_a_letter() {
        for good in ["a", "alpha", "cash-agent-1", &"a".repeat(32)] {
            assert!(MemberName::new(good).is_ok(), "`{good}`");
        }
        for bad in ["", "1a", "-a", "Alpha", "a.b", "a b", &"a".repeat(33)] {
            assert!(MemberName::new(bad).is_err(), "`{bad}`");
        }
    }

    #[test]
    fn long_names_count_characters_and_not_bytes() {
        assert!(LongName::new(&"é".repeat(140)).is_ok());
        assert!(LongName::new("日本取引所").is_ok());
        for bad in ["", " a", "a ", "a\tb", &"é".repeat(141)] {
            assert!(LongName::new(bad).is_err(), "`{bad}`");
        }
    }

    #[test]
    fn order_is_byte_order() {
        let mut names: Vec<_> = ["B", "A-10", "A-1", "A", "a", "A-2"]
            .iter()
            .map(|t| AccountId::new(t).unwrap())
            .collect();
        names.sort();
        let sorted: Vec<_> = names.iter().map(AccountId::as_str).collect();
        assert_eq!(sorted, ["A", "A-1", "A-10", "A-2", "B", "a"]);
    }

    #[test]
    fn decoding_repeats_the_checks() {
        let bytes = borsh::to_vec("A-1").unwrap();
        assert_eq!(
            borsh::from_slice::<AccountId>(&bytes).unwrap().as_str(),
            "A-1"
        );
        for bad in ["", " A", "x\n", &"x".repeat(36)] {
            let bytes = borsh::to_vec(bad).unwrap();
            assert!(borsh::from_slice::<AccountId>(&bytes).is_err(), "`{bad}`");
            assert!(borsh::from_slice::<LongName>(&borsh::to_vec(" A").unwrap()).is_err());
        }
        assert!(borsh::from_slice::<AccountId>(&[255, 255, 255, 255, 65]).is_err());
        assert!(borsh::from_slice::<LongName>(&[255, 255, 255, 255, 65]).is_err());
        assert!(borsh::from_slice::<LongName>(&[2, 0, 0, 0, 0xff, 0xff]).is_err());
    }
}
