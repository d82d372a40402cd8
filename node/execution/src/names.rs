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

    /// One more than the highest account that has a name.
    pub fn accounts(&self) -> usize {
        self.names.len()
    }

    /// At most `limit` names of the accounts from one on and before another, ascending, and the account to go on from.
    pub fn some_from(
        &self,
        from: usize,
        before: usize,
        limit: usize,
    ) -> (Vec<(AccountIndex, &HolderName)>, usize) {
        let mut found = Vec::new();
        let mut next = from.min(before);
        for name in self.names.iter().take(before).skip(from) {
            if found.len() == limit {
                break;
            }
            let account = u32::try_from(next).map(AccountIndex);
            if let (Ok(account), Some(name)) = (account, name) {
                found.push((account, name));
            }
            next = next.saturating_add(1);
        }
        (found, next)
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
        let some = |from, before, limit| -> (Vec<(u32, &str)>, usize) {
            let (found, next) = names.some_from(from, before, limit);
            let found = found.into_iter();
            let found = found.map(|(account, name)| (account.0, name.holder.as_str()));
            (found.collect(), next)
        };
        assert_eq!(names.accounts(), 6);
        assert_eq!(some(0, 6, 9), (vec![(2, "two"), (5, "five")], 6));
        assert_eq!(some(0, 5, 9), (vec![(2, "two")], 5));
        assert_eq!(some(0, 6, 1), (vec![(2, "two")], 3));
        assert_eq!(some(3, 6, 1), (vec![(5, "five")], 6));
        assert_eq!(some(6, 6, 1), (vec![], 6));
        assert!(names.get(AccountIndex(3)).is_none() && names.get(AccountIndex(6)).is_none());
    }
}
