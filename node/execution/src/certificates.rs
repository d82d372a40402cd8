//! Which certificates count on the ledger: whose each is, until when, and which were revoked.
//!
//! A member has the certificate that it was admitted under and those by which it was renewed; each counts until it ends
//! or is revoked. Rows stay for good, so that nothing that was revoked ever counts again, and so that a member whose
//! certificates have ended is still known by its key.
//!
//! INVARIANT: everything follows from the blocks; what is revoked stays so. The rows by member follow from the rows.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_identity::RevocationReason;
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::MemberId;

/// How many certificates of one member may count at a time.
pub const CURRENT_MAX: usize = 8;

const EVENTS_DOMAIN: &str = "sealbook 2026 certificate events v1";

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Revocation {
    /// The block.
    pub height: u64,
    /// The code of its reason, [`RevocationReason::code`].
    pub reason: u8,
    /// Whether it was somebody other than the holder: what the holder says of a key concerns itself alone.
    pub by_other: bool,
}

impl Revocation {
    /// Whether somebody else may have the key.
    pub const fn is_of_key(self) -> bool {
        self.reason == RevocationReason::KeyCompromise.code()
    }

    /// Whether this says more about the key than what was said before.
    const fn outweighs(self, before: Self) -> bool {
        self.is_of_key() && (!before.is_of_key() || self.by_other && !before.by_other)
    }
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Whose it is; nobody's if it is a node's, or was revoked before a member was admitted under it.
    pub member: Option<MemberId>,
    /// Whether it is a node's.
    pub is_node: bool,
    /// Its key.
    pub key: VerifyingKey,
    /// Last moment of its validity, Unix milliseconds.
    pub ends_ms: u64,
    /// When and why it was revoked, if it was.
    pub revoked: Option<Revocation>,
}

impl Certificate {
    /// Whether it counts in a block of this time.
    pub const fn is_current(&self, time_ms: u64) -> bool {
        self.revoked.is_none() && time_ms <= self.ends_ms
    }
}

/// What happened to a certificate.
#[derive(BorshSerialize)]
enum Event<'a> {
    Added(&'a Digest, &'a Certificate),
    Revoked(&'a Digest, Revocation),
}

/// All certificates that the ledger knows, by fingerprint.
#[derive(Default)]
pub struct Certificates {
    rows: BTreeMap<Digest, Certificate>,
    /// Each member's, in the order of their fingerprints.
    by_member: BTreeMap<MemberId, Vec<Digest>>,
    /// Those for each key, likewise.
    by_key: BTreeMap<VerifyingKey, Vec<Digest>>,
    /// Over everything that happened to certificates up to the last block.
    digest: Digest,
    /// What happened to them in the block under way.
    events: Vec<u8>,
    /// Those that were revoked in the block under way.
    revoked: Vec<Digest>,
}

impl Certificates {
    /// The certificate with this fingerprint.
    pub fn find(&self, fingerprint: &Digest) -> Option<&Certificate> {
        self.rows.get(fingerprint)
    }

    /// A member's certificates.
    pub fn of(&self, member: MemberId) -> impl Iterator<Item = (&Digest, &Certificate)> {
        let own = self.by_member.get(&member).into_iter().flatten();
        own.filter_map(|fingerprint| self.rows.get_key_value(fingerprint))
    }

    /// The certificates for a key, whoever's they are.
    pub fn of_key(&self, key: &VerifyingKey) -> impl Iterator<Item = (&Digest, &Certificate)> {
        let same = self.by_key.get(key).into_iter().flatten();
        same.filter_map(|fingerprint| self.rows.get_key_value(fingerprint))
    }

    /// Whether somebody other than this member may have the key: a certificate for it was revoked for that reason, by
    /// somebody else, or as the member's own.
    pub fn is_compromised(&self, key: &VerifyingKey, member: Option<MemberId>) -> bool {
        self.of_key(key).any(|(_, one)| {
            let own = member.is_some() && one.member == member;
            one.revoked
                .is_some_and(|revoked| revoked.is_of_key() && (revoked.by_other || own))
        })
    }

    /// Whether the node with this key is cut off: its certificate was revoked, and the ledger knows of no other.
    pub fn is_cut_off(&self, key: &VerifyingKey) -> bool {
        let mut nodes = self.of_key(key).filter(|(_, one)| one.is_node).peekable();
        nodes.peek().is_some() && nodes.all(|(_, one)| one.revoked.is_some())
    }

    /// The members that have certificates.
    pub fn members(&self) -> impl Iterator<Item = &MemberId> {
        self.by_member.keys()
    }

    /// Takes in a certificate that is not known yet.
    pub fn add(&mut self, fingerprint: Digest, certificate: Certificate) {
        note(&mut self.events, &Event::Added(&fingerprint, &certificate));
        if certificate.revoked.is_some() {
            self.revoked.push(fingerprint);
        }
        self.insert(fingerprint, certificate);
    }

    fn insert(&mut self, fingerprint: Digest, certificate: Certificate) {
        let same = self.by_key.entry(certificate.key).or_default();
        let own = certificate.member;
        let own = own.map(|member| self.by_member.entry(member).or_default());
        for list in own.into_iter().chain([same]) {
            if let Err(place) = list.binary_search(&fingerprint) {
                list.insert(place, fingerprint);
            }
        }
        self.rows.insert(fingerprint, certificate);
    }

    /// Revokes a certificate for good; one that was revoked before stays as it is, unless its key is no longer its
    /// holder's alone.
    pub fn revoke(&mut self, fingerprint: &Digest, revocation: Revocation) {
        let Some(row) = self.rows.get_mut(fingerprint) else {
            return;
        };
        match row.revoked {
            Some(before) if !revocation.outweighs(before) => return,
            Some(_) => {}
            None => self.revoked.push(*fingerprint),
        }
        row.revoked = Some(revocation);
        note(&mut self.events, &Event::Revoked(fingerprint, revocation));
    }

    /// All that were ever revoked.
    pub fn all_revoked(&self) -> Vec<Digest> {
        let revoked = self.rows.iter().filter(|(_, one)| one.revoked.is_some());
        revoked.map(|(fingerprint, _)| *fingerprint).collect()
    }

    /// Closes the block under way, and says which were revoked in it.
    pub fn end_block(&mut self) -> Vec<Digest> {
        if !self.events.is_empty() {
            let parts: [&[u8]; 2] = [self.digest.as_bytes(), &self.events];
            self.digest = hash(EVENTS_DOMAIN, &parts);
            self.events.clear();
        }
        std::mem::take(&mut self.revoked)
    }

    /// Over everything that happened to certificates up to the last block that was closed.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn note(events: &mut Vec<u8>, event: &Event<'_>) {
    // Writing to memory cannot fail.
    let _: std::io::Result<()> = event.serialize(events);
}

/// The form in which a snapshot holds them.
impl BorshSerialize for Certificates {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.digest.serialize(writer)?;
        self.rows.serialize(writer)
    }
}

impl BorshDeserialize for Certificates {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let mut certificates = Self {
            digest: Digest::deserialize_reader(reader)?,
            ..Self::default()
        };
        let rows = <BTreeMap<Digest, Certificate>>::deserialize_reader(reader)?;
        for (fingerprint, certificate) in rows {
            certificates.insert(fingerprint, certificate);
        }
        Ok(certificates)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALPHA: MemberId = MemberId(1);

    fn certificate(key: u8, ends_ms: u64) -> Certificate {
        Certificate {
            member: Some(ALPHA),
            is_node: false,
            key: VerifyingKey([key; 32]),
            ends_ms,
            revoked: None,
        }
    }

    fn revocation(reason: RevocationReason) -> Revocation {
        Revocation {
            height: 7,
            reason: reason.code(),
            by_other: true,
        }
    }

    #[test]
    fn what_is_revoked_stays_so_and_is_told_once() {
        let mut all = Certificates::default();
        let (first, second) = (Digest([1; 32]), Digest([2; 32]));
        all.add(second, certificate(2, 50));
        all.add(first, certificate(1, 100));
        assert!(all.end_block().is_empty());
        let before = *all.digest();
        assert!(all.find(&first).unwrap().is_current(100));
        assert!(!all.find(&first).unwrap().is_current(101));
        all.revoke(&first, revocation(RevocationReason::Superseded));
        all.revoke(&first, revocation(RevocationReason::Unspecified));
        assert_eq!(all.end_block(), [first]);
        let after = *all.digest();
        assert_ne!(after, before);
        assert!(all.end_block().is_empty());
        assert!(!all.find(&first).unwrap().is_current(1));
        let key = VerifyingKey([1; 32]);
        assert!(!all.is_compromised(&key, Some(ALPHA)));
        // That the key is stolen can be added; the holder's own word is for itself alone.
        let own = Revocation {
            by_other: false,
            ..revocation(RevocationReason::KeyCompromise)
        };
        all.revoke(&first, own);
        assert!(all.is_compromised(&key, Some(ALPHA)));
        assert!(!all.is_compromised(&key, Some(MemberId(2))) && !all.is_compromised(&key, None));
        all.revoke(&first, revocation(RevocationReason::KeyCompromise));
        assert!(all.is_compromised(&key, None));
        assert!(all.end_block().is_empty());
        assert_ne!(*all.digest(), after);
        all.revoke(&first, own);
        all.revoke(&second, revocation(RevocationReason::Superseded));
        assert!(all.is_compromised(&key, None));
        assert_eq!(all.all_revoked(), [first, second]);
    }

    #[test]
    fn they_are_read_back_with_everything_that_follows_from_them() {
        let mut all = Certificates::default();
        all.add(Digest([2; 32]), certificate(2, 50));
        all.add(Digest([1; 32]), certificate(1, 100));
        all.add(
            Digest([3; 32]),
            Certificate {
                member: None,
                is_node: true,
                revoked: Some(revocation(RevocationReason::Unspecified)),
                ..certificate(3, 100)
            },
        );
        assert_eq!(all.end_block(), [Digest([3; 32])]);
        let bytes = borsh::to_vec(&all).unwrap();
        let read = Certificates::try_from_slice(&bytes).unwrap();
        assert_eq!(read.digest(), all.digest());
        assert_eq!((&read.rows, &read.by_member), (&all.rows, &all.by_member));
        assert_eq!(read.of(ALPHA).count(), 2);
        assert_eq!(read.by_key, all.by_key);
        assert!(
            read.is_cut_off(&VerifyingKey([3; 32])) && !read.is_cut_off(&VerifyingKey([1; 32]))
        );
        assert_eq!(borsh::to_vec(&read).unwrap(), bytes);
    }
}
