//! The registry of contracts: which programs the members have authorised to be the readers and writers of the ledger's
//! content. It is one of the parameters of a committee epoch, so that headers prove it.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::EpochError;

/// The most contracts in the registry.
pub const MAX_CONTRACTS: usize = 64;
const MAX_NAME_BYTES: usize = 32;

/// An authorised contract.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AuthorisedContract {
    /// Its name: 1 to 32 lower-case letters, digits and hyphens.
    pub name: String,
    /// The version of its rules.
    pub version: u16,
}

impl AuthorisedContract {
    /// What members decide about the network with. It is always authorised, or nobody could authorise anything.
    pub const GOVERNANCE: &'static str = "governance";
    /// The post-trade contract.
    pub const SECURITIES: &'static str = "securities";

    /// A contract of this name and version.
    #[must_use]
    pub fn new(name: &str, version: u16) -> Self {
        Self {
            name: name.to_owned(),
            version,
        }
    }

    /// What a network authorises unless it decides otherwise.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        vec![
            Self::new(Self::GOVERNANCE, 1),
            Self::new(Self::SECURITIES, 1),
        ]
    }
}

/// Checks a registry.
///
/// # Errors
/// [`EpochError::Contracts`] with the first rule that is broken.
pub fn check_contracts(contracts: &[AuthorisedContract]) -> Result<(), EpochError> {
    let wrong = |why| Err(EpochError::Contracts(why));
    if contracts.len() > MAX_CONTRACTS {
        return wrong("there are more than 64");
    }
    for (place, one) in contracts.iter().enumerate() {
        let letter = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let length = one.name.len();
        if !(1..=MAX_NAME_BYTES).contains(&length) || !one.name.as_bytes().iter().all(letter) {
            return wrong("a name is 1 to 32 lower-case letters, digits and hyphens");
        }
        if contracts
            .iter()
            .take(place)
            .any(|other| other.name == one.name)
        {
            return wrong("a name is there twice");
        }
    }
    let governs = |one: &AuthorisedContract| one.name == AuthorisedContract::GOVERNANCE;
    if !contracts.iter().any(governs) {
        return wrong("governance must be among them");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn registries_have_rules() {
        let usual = AuthorisedContract::usual();
        assert_eq!(check_contracts(&usual), Ok(()));
        let with = |name: &str| [&usual[..], &[AuthorisedContract::new(name, 1)]].concat();
        assert_eq!(check_contracts(&with("repo-2")), Ok(()));
        for name in ["", "Repo", "re po", "securities", &"x".repeat(33)] {
            assert!(check_contracts(&with(name)).is_err(), "{name}");
        }
        assert!(check_contracts(&[]).is_err());
        assert!(check_contracts(&usual[1..]).is_err());
        let many: Vec<_> = (0..65)
            .map(|number| AuthorisedContract::new(&format!("c{number}"), 1))
            .collect();
        assert!(check_contracts(&many).is_err());
        let bytes = borsh::to_vec(&AuthorisedContract::new("repo", 2)).unwrap();
        assert_eq!(bytes, [4, 0, 0, 0, b'r', b'e', b'p', b'o', 2, 0]);
    }
}
