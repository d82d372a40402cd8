//! The one subject alternative name that a certificate carries. It says what the certificate is
//! for:
//!
//! ```text
//! https://sealbook.invalid/<network>/<role>/<LEI or ->    a member or node
//! https://sealbook.invalid/<network>/issuing/<role>       the issuing authority of one role
//! https://sealbook.invalid/<network>/root                 the root authority
//! ```
//!
//! It is a name and no address: RFC 5280, section 4.2.1.6, wants a host with a full name in it, and RFC 2606 keeps
//! `invalid` for names under which nothing is ever found.
//!
//! INVARIANT: each value has exactly one text and each text at most one value (no escapes, no
//! capitals but in the LEI, no empty parts).

use std::{fmt, str::FromStr};

use crate::{Lei, LeiError, NameError, Role, UnknownRole, check_short_name};

const PREFIX: &str = "https://sealbook.invalid/";
/// The longest text: prefix, network, the longest role and an LEI, with some room.
const LENGTH_MAX: usize = 128;

/// What a certificate is for, as its URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateUri {
    /// A member or node.
    Holder {
        /// The network's short name.
        network: String,
        /// The holder's role.
        role: Role,
        /// The organisation's identifier, where it has one.
        lei: Option<Lei>,
    },
    /// The issuing authority of one role.
    Issuing {
        /// The network's short name.
        network: String,
        /// The only role that the authority may certify.
        role: Role,
    },
    /// The root authority.
    Root {
        /// The network's short name.
        network: String,
    },
}

/// Why a text is none of our URIs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It does not begin with `https://sealbook.invalid/`, or its parts are too few or too many.
    #[error(
        "the certificate's uri is not of the form `https://sealbook.invalid/<network>/<role>/<lei or ->`"
    )]
    Shape,
    /// The network's name breaks the rule.
    #[error("the network's name in the certificate's uri is not lawful: {0}")]
    Network(#[source] NameError),
    /// There is no such role.
    #[error("the role in the certificate's uri is unknown: {0}")]
    Role(#[from] UnknownRole),
    /// The identifier is wrong.
    #[error("the identifier in the certificate's uri is not lawful: {0}")]
    Lei(#[from] LeiError),
}

impl CertificateUri {
    /// The short name of the network.
    pub fn network(&self) -> &str {
        match self {
            Self::Holder { network, .. }
            | Self::Issuing { network, .. }
            | Self::Root { network } => network,
        }
    }
}

impl fmt::Display for CertificateUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holder {
                network,
                role,
                lei: Some(lei),
            } => {
                write!(formatter, "{PREFIX}{network}/{role}/{lei}")
            }
            Self::Holder {
                network,
                role,
                lei: None,
            } => {
                write!(formatter, "{PREFIX}{network}/{role}/-")
            }
            Self::Issuing { network, role } => {
                write!(formatter, "{PREFIX}{network}/issuing/{role}")
            }
            Self::Root { network } => write!(formatter, "{PREFIX}{network}/root"),
        }
    }
}

impl FromStr for CertificateUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > LENGTH_MAX {
            return Err(UriError::Shape);
        }
        let (network, rest) = text
            .strip_prefix(PREFIX)
            .and_then(|text| text.split_once('/'))
            .ok_or(UriError::Shape)?;
        check_short_name(network).map_err(UriError::Network)?;
        let network = network.to_owned();
        if rest == "root" {
            return Ok(Self::Root { network });
        }
        match rest.split_once('/').ok_or(UriError::Shape)? {
            ("issuing", role) => Ok(Self::Issuing {
                network,
                role: role.parse()?,
            }),
            (role, "-") => Ok(Self::Holder {
                network,
                role: role.parse()?,
                lei: None,
            }),
            (role, lei) => Ok(Self::Holder {
                network,
                role: role.parse()?,
                lei: Some(lei.parse()?),
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_back() {
        for text in [
            "https://sealbook.invalid/demo/firm/54930084UKLVMY22DS16",
            "https://sealbook.invalid/demo/cash-agent/-",
            "https://sealbook.invalid/demo/issuing/node",
            "https://sealbook.invalid/demo/root",
        ] {
            assert_eq!(text.parse::<CertificateUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "https://demo/firm/-",
            "sealbook://demo/firm/-",
            "https://sealbook.invalid/demo",
            "https://sealbook.invalid/demo/",
            "https://sealbook.invalid/demo/firm",
            "https://sealbook.invalid/demo/firm/",
            "https://sealbook.invalid/demo/firm/-/",
            "https://sealbook.invalid/demo/firm/-?x",
            "https://sealbook.invalid/Demo/firm/-",
            "https://sealbook.invalid//firm/-",
            "https://sealbook.invalid/demo/issuing/-",
            "https://sealbook.invalid/demo/root/-",
            "https://sealbook.invalid/demo/king/-",
            "https://sealbook.invalid/demo/firm/54930084UKLVMY22DS17",
        ] {
            assert!(text.parse::<CertificateUri>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_has_one_text(text in "(https://sealbook.invalid/)?[a-z0-9/-]{0,40}") {
            if let Ok(uri) = text.parse::<CertificateUri>() {
                prop_assert_eq!(uri.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = text.parse::<CertificateUri>();
        }
    }
}
