//! Key epochs: when a new one is wanted, what modules offer for it, and when an offer is agreed on.
//!
//! ```text
//! wanted (decision, removal of a key's holder, schedule) -> offers of modules -> acknowledged by more than two thirds
//!   -> ready -> the next definition that is fixed begins the key epoch
//! ```
//!
//! Roots are random, so one module makes them and the others have to say that what they were given is good. Only a
//! module that opened its own part and made the whole record again acknowledges an offer, so when more than two thirds
//! do, every module can open its part, whoever made the offer.
//!
//! INVARIANT: offers are for the holders of keys as the draft has them. When those change, offers are dropped.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{KeyHolder, Recovery};
use sealbook_primitives::hash::{Digest, hash};

/// The most offers at a time; each module may have one.
pub const MAX_OFFERS: usize = 256;
const RECIPIENTS_DOMAIN: &str = "sealbook 2026 recipients of a root v1";

/// To whom the root of a key epoch is to be handed, and in which suite envelopes are then sealed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Recipients {
    /// The key epoch.
    pub key_epoch: u32,
    /// Number of the suite of its opening key.
    pub suite: u8,
    /// Keys of modules: of validators, then of observers, as they are seated.
    pub modules: Vec<Vec<u8>>,
    /// Who audits.
    pub auditors: Vec<KeyHolder>,
    /// Who holds recovery shares.
    pub recovery: Recovery,
}

impl Recipients {
    /// The hash of all of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes = borsh::to_vec(self).unwrap_or_default();
        hash(RECIPIENTS_DOMAIN, &[&bytes])
    }

    /// Whether somebody who could open something in a record for `before` cannot in one for these: then the key epoch
    /// must end. Changes of names alone, and new modules, which are given the present root, do not end it.
    pub(crate) fn end_epoch_of(&self, before: &Self) -> bool {
        let gone = before.modules.iter().any(|key| !self.modules.contains(key));
        let keys = |one: &Self| -> Vec<Vec<u8>> {
            one.auditors
                .iter()
                .map(|holder| holder.key.clone())
                .collect()
        };
        gone || keys(self) != keys(before)
            || self.recovery != before.recovery
            || self.suite != before.suite
    }
}

/// What a module offers for the next key epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyOffer {
    /// Digest of the record.
    pub record: Digest,
    /// The opening key.
    pub public_key: Vec<u8>,
    /// Who offers it: the name that records have for its module.
    pub module: Digest,
    /// The modules that found it good, the one that offers it included.
    pub acknowledged: BTreeSet<Digest>,
}

/// That a new key epoch is wanted, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rotation {
    /// The height since which it is.
    pub since: u64,
    /// What modules offer.
    pub offers: Vec<KeyOffer>,
    /// The offer that is agreed on: the record's digest and the opening key.
    pub ready: Option<(Digest, Vec<u8>)>,
}

/// Why an offer or an acknowledgement is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// No new key epoch is wanted, or one is agreed on already.
    #[error("no new key epoch is wanted now")]
    NotWanted,
    /// The module has no seat now or will have none.
    #[error("this module has no say in the next key epoch")]
    NotEntitled,
    /// The record is for others than those who are to be given the root, or for another key epoch or suite.
    #[error("the record is for other recipients")]
    Recipients,
    /// The module has an offer already, or there are too many.
    #[error("the module has an offer already, or there are too many")]
    Limit,
    /// There is no such offer.
    #[error("there is no such offer")]
    NotFound,
}

/// Where the key epochs stand.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Keys {
    /// The committee epoch that the present key epoch began with.
    pub(crate) began: u64,
    /// What is under way.
    pub(crate) rotation: Option<Rotation>,
}

impl Keys {
    /// A new key epoch is wanted, from scratch if one was wanted before: for other recipients.
    pub(crate) fn want(&mut self, since: u64) {
        self.rotation = Some(Rotation {
            since,
            offers: Vec::new(),
            ready: None,
        });
    }

    /// The rotation that is not agreed on yet, for one of the `entitled` modules.
    fn under_way(
        &mut self,
        entitled: &Entitled,
        module: &Digest,
    ) -> Result<&mut Rotation, KeyRefusal> {
        let rotation = self.rotation.as_mut();
        let rotation = rotation.filter(|rotation| rotation.ready.is_none());
        let rotation = rotation.ok_or(KeyRefusal::NotWanted)?;
        if entitled.modules.contains(module) {
            Ok(rotation)
        } else {
            Err(KeyRefusal::NotEntitled)
        }
    }

    /// Takes an offer of one of the `entitled` modules.
    pub(crate) fn offer(
        &mut self,
        entitled: &Entitled,
        (module, record, public_key): (Digest, Digest, Vec<u8>),
    ) -> Result<(), KeyRefusal> {
        let rotation = self.under_way(entitled, &module)?;
        let taken = |one: &KeyOffer| one.module == module || one.record == record;
        if rotation.offers.len() >= MAX_OFFERS || rotation.offers.iter().any(taken) {
            return Err(KeyRefusal::Limit);
        }
        rotation.offers.push(KeyOffer {
            record,
            public_key,
            module,
            acknowledged: BTreeSet::new(),
        });
        self.acknowledge(entitled, module, &record)
    }

    /// Counts the word of one of the `entitled` modules for an offer.
    pub(crate) fn acknowledge(
        &mut self,
        entitled: &Entitled,
        module: Digest,
        record: &Digest,
    ) -> Result<(), KeyRefusal> {
        let rotation = self.under_way(entitled, &module)?;
        let mut offers = rotation.offers.iter_mut();
        let offer = offers.find(|one| one.record == *record);
        let offer = offer.ok_or(KeyRefusal::NotFound)?;
        offer.acknowledged.insert(module);
        if offer.acknowledged.len() >= entitled.needed() {
            rotation.ready = Some((offer.record, offer.public_key.clone()));
            let record = *record;
            rotation.offers.retain(|one| one.record == record);
        }
        Ok(())
    }
}

/// Who has a say in the next key epoch.
#[derive(Debug)]
pub(crate) struct Entitled {
    /// The modules of validators who vote now and will vote then.
    pub(crate) modules: BTreeSet<Digest>,
    /// How many validators vote now.
    pub(crate) present: usize,
    /// How many will vote then.
    pub(crate) coming: usize,
}

impl Entitled {
    /// How many of the modules have to find an offer good: more than two thirds of them, and more than a third of either
    /// committee, so that one honest module is among them even where few have a seat in both.
    fn needed(&self) -> usize {
        let third = |count: usize| (count.saturating_sub(1) / 3).saturating_add(1);
        let modules = self.modules.len();
        let most = modules.saturating_sub(modules.saturating_sub(1) / 3);
        most.max(third(self.present)).max(third(self.coming))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entitled(count: u8) -> Entitled {
        Entitled {
            modules: (0..count).map(|one| Digest([one; 32])).collect(),
            present: usize::from(count),
            coming: usize::from(count),
        }
    }

    #[test]
    fn few_modules_of_both_committees_do_not_decide_alone() {
        let mut few = entitled(1);
        assert_eq!(few.needed(), 1);
        few.present = 4;
        assert_eq!(few.needed(), 2);
        few.coming = 7;
        assert_eq!(few.needed(), 3);
    }

    fn offered(modules: u8) -> Keys {
        let mut keys = Keys::default();
        keys.want(9);
        let offer = (Digest([0; 32]), Digest([50; 32]), vec![7]);
        keys.offer(&entitled(modules), offer).unwrap();
        keys
    }

    #[test]
    fn an_offer_needs_more_than_two_thirds_of_the_modules() {
        for (modules, needed) in [
            (1, 1),
            (2, 2),
            (3, 3),
            (4, 3),
            (5, 4),
            (6, 5),
            (7, 5),
            (10, 7),
        ] {
            let mut keys = offered(modules);
            for module in 1..modules {
                let ready = keys.rotation.as_ref().unwrap().ready.is_some();
                assert_eq!(
                    ready,
                    usize::from(module) >= needed,
                    "{modules} modules, {module} words"
                );
                let _ =
                    keys.acknowledge(&entitled(modules), Digest([module; 32]), &Digest([50; 32]));
            }
            let ready = keys.rotation.unwrap().ready;
            assert_eq!(ready, Some((Digest([50; 32]), vec![7])));
        }
    }

    #[test]
    fn only_entitled_modules_have_a_say_once_each() {
        let (mut keys, all) = (offered(4), entitled(4));
        let record = Digest([50; 32]);
        let stranger = Digest([9; 32]);
        assert_eq!(
            keys.acknowledge(&all, stranger, &record),
            Err(KeyRefusal::NotEntitled)
        );
        let offer = |keys: &mut Keys, module, record| {
            keys.offer(&all, (module, Digest([record; 32]), vec![8]))
        };
        assert_eq!(offer(&mut keys, stranger, 51), Err(KeyRefusal::NotEntitled));
        assert_eq!(
            offer(&mut keys, Digest([0; 32]), 51),
            Err(KeyRefusal::Limit)
        );
        assert_eq!(
            offer(&mut keys, Digest([1; 32]), 50),
            Err(KeyRefusal::Limit)
        );
        for _ in 0..5 {
            assert_eq!(keys.acknowledge(&all, Digest([1; 32]), &record), Ok(()));
        }
        assert_eq!(keys.rotation.as_ref().unwrap().ready, None);
        let unknown = Digest([52; 32]);
        assert_eq!(
            keys.acknowledge(&all, Digest([2; 32]), &unknown),
            Err(KeyRefusal::NotFound)
        );
        assert_eq!(offer(&mut keys, Digest([2; 32]), 51), Ok(()));
        assert_eq!(keys.acknowledge(&all, Digest([2; 32]), &record), Ok(()));
        let rotation = keys.rotation.as_ref().unwrap();
        assert_eq!((rotation.offers.len(), rotation.ready.is_some()), (1, true));
        // What is agreed on is not voted on any more.
        assert_eq!(
            keys.acknowledge(&all, Digest([3; 32]), &record),
            Err(KeyRefusal::NotWanted)
        );
        assert_eq!(
            offer(&mut keys, Digest([3; 32]), 53),
            Err(KeyRefusal::NotWanted)
        );
    }

    #[test]
    fn nothing_is_taken_unless_a_key_epoch_is_wanted() {
        let mut keys = Keys::default();
        let offer = (Digest([0; 32]), Digest([50; 32]), vec![7]);
        assert_eq!(keys.offer(&entitled(4), offer), Err(KeyRefusal::NotWanted));
        assert_eq!(
            keys.acknowledge(&entitled(4), Digest([0; 32]), &Digest([50; 32])),
            Err(KeyRefusal::NotWanted)
        );
    }

    #[test]
    fn who_loses_something_ends_the_key_epoch() {
        let holder = |name: &str, key| KeyHolder {
            name: name.to_owned(),
            key: vec![key],
        };
        let before = Recipients {
            key_epoch: 1,
            suite: 1,
            modules: vec![vec![1], vec![2]],
            auditors: vec![holder("a", 3)],
            recovery: Recovery::default(),
        };
        let ends = |alter: fn(&mut Recipients)| {
            let mut after = before.clone();
            alter(&mut after);
            assert_ne!(after.digest(), before.digest());
            after.end_epoch_of(&before)
        };
        assert!(ends(|one| drop(one.modules.pop())));
        assert!(ends(|one| one.modules[0] = vec![9]));
        assert!(ends(|one| one.auditors.clear()));
        assert!(ends(|one| one.auditors[0].key = vec![9]));
        assert!(ends(|one| one.suite = 2));
        assert!(ends(|one| one.recovery.threshold = 2));
        assert!(!ends(|one| one.modules.push(vec![9])));
        assert!(!ends(|one| one.auditors[0].name.push('b')));
    }
}
