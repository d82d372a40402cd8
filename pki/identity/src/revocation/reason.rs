//! Why certificates are revoked.

use std::{fmt, str::FromStr};

/// A reason code of RFC 5280 section 5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// Somebody else may have the holder's key.
    KeyCompromise,
    /// Somebody else may have the authority's key.
    AuthorityCompromise,
    /// The holder's name or organisation has changed.
    AffiliationChanged,
    /// Another certificate has taken this one's place.
    Superseded,
    /// The holder has ceased to do what the certificate was for.
    CessationOfOperation,
    /// A suspension. Here it counts like every other reason: nothing is ever un-revoked.
    Hold,
    /// The holder may no longer do what the certificate says.
    PrivilegeWithdrawn,
    /// Somebody else may have the key of an authority for attributes.
    AttributeAuthorityCompromise,
}

impl RevocationReason {
    /// Every reason that a whole list may give.
    pub const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AuthorityCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::Hold,
        Self::PrivilegeWithdrawn,
        Self::AttributeAuthorityCompromise,
    ];

    /// Those for which an authority of ours revokes: its certificates are holders', and for good.
    pub const OF_HOLDERS: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The code on a list.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AuthorityCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::Hold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AttributeAuthorityCompromise => 10,
        }
    }

    /// The reason with this code. 7 is not used, and 8 (removed from the list) belongs to delta
    /// lists alone.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason's word in files, in messages and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AuthorityCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::Hold => "certificate-hold",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
            Self::AttributeAuthorityCompromise => "aa-compromise",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// The text names no reason for which an authority of ours revokes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such reason; the reasons are unspecified, key-compromise, affiliation-changed, superseded, \
     cessation-of-operation and privilege-withdrawn"
)]
pub struct UnknownReason;

impl FromStr for RevocationReason {
    type Err = UnknownReason;

    /// Reads one of [`RevocationReason::OF_HOLDERS`].
    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::OF_HOLDERS
            .into_iter()
            .find(|reason| reason.word() == text)
            .ok_or(UnknownReason)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_are_read_back() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
            let read = reason.word().parse::<RevocationReason>();
            if RevocationReason::OF_HOLDERS.contains(&reason) {
                assert_eq!(read, Ok(reason));
                assert!(UnknownReason.to_string().contains(reason.word()));
            } else {
                assert_eq!(read, Err(UnknownReason));
            }
        }
    }

    #[test]
    fn other_words_and_codes_are_refused() {
        for word in ["", "keyCompromise", "Superseded", "superseded ", "1", "7"] {
            assert_eq!(word.parse::<RevocationReason>(), Err(UnknownReason));
        }
        for code in [7, 8, 11, 255] {
            assert_eq!(RevocationReason::from_code(code), None);
        }
    }
}
