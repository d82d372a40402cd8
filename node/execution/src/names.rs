//! Holders' names by account: only in memory and in snapshots' pieces of their own, from attachments, which can be erased.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_protocol::payload::{Attachment, PAYLOAD_VERSION};
use sealbook_securities::{AccountIndex, LongName};

/// A holder's name with what its commitment was blinded with.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HolderName {
    /// Random.
    pub blinding: [u8; 32],
    /// The name.
    pub holder: String,
}

impl HolderName {
    /// Whether this is the name that the books hold a commitment to.
    pub fn is_of(&self, commitment: &[u8; 32]) -> bool {
        let content = Attachment {
            version: PAYLOAD_VERSION,
            blinding: self.blinding,
            holder: self.holder.clone(),
        };
        LongName::new(&self.holder).is_ok() && content.commitment().0 == *commitment
    }
}

/// The names that are known.
#[derive(Default)]
pub struct HolderNames {
    /// By account, whose numbers have no gaps.
    names: Vec<Option<HolderName>>,
}

impl HolderNames {
    /// The name of an account's holder.
    pub fn get(&self, account: AccountIndex) -> Option<&HolderName> {
        self.names.get(account.0 as usize)?.as_ref()
    }

    /// Adds the name of an account of the books; false if it has one already, which stays.
    pub fn add(&mut self, account: AccountIndex, name: HolderName) -> bool {
        let place = account.0 as usize;
        if self.names.len() <= place {
            self.names.resize(place + 1, None);
        }
        match self.names.get_mut(place) {
            Some(slot @ None) => {
                *slot = Some(name);
                true
            }
            _ => false,
        }
    }

    /// All names, by account, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (AccountIndex, &HolderName)> {
        let names = (0u32..).map(AccountIndex).zip(&self.names);
        names.filter_map(|(account, name)| Some((account, name.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HolderName {
        HolderName {
            blinding: [1; 32],
            holder: text.to_owned(),
        }
    }

    #[test]
    fn an_account_has_one_name_that_stays() {
        let mut names = HolderNames::default();
        assert!(names.add(AccountIndex(5), name("five")));
        assert!(names.add(AccountIndex(2), name("two")));
        assert!(!names.add(AccountIndex(5), name("other")));
        let all: Vec<(u32, &str)> = names
            .iter()
            .map(|(account, name)| (account.0, name.holder.as_str()))
            .collect();
        assert_eq!(all, [(2, "two"), (5, "five")]);
        assert!(names.get(AccountIndex(3)).is_none() && names.get(AccountIndex(6)).is_none());
    }
}
