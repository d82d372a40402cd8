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
}

impl Revocation {
    const fn is_of_key(self) -> bool {
        self.reason == RevocationReason::KeyCompromise.code()
    }
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Whose it is; nobody's if it is a node's, or was revoked before a member was admitted under it.
    pub member: Option<MemberId>,
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

    /// Whether somebody else may have this key: a certificate for it was revoked for that reason.
    pub fn is_compromised(&self, key: &VerifyingKey) -> bool {
        let mut same = self.rows.values().filter(|one| one.key == *key);
        same.any(|one| one.revoked.is_some_and(Revocation::is_of_key))
    }

    /// The keys of revoked certificates that are no member's.
    pub fn revoked_of_nobody(&self) -> impl Iterator<Item = &VerifyingKey> {
        let revoked = self.rows.values().filter(|one| one.revoked.is_some());
        revoked
            .filter(|one| one.member.is_none())
            .map(|one| &one.key)
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
        if let Some(member) = certificate.member {
            let own = self.by_member.entry(member).or_default();
            if let Err(place) = own.binary_search(&fingerprint) {
                own.insert(place, fingerprint);
            }
        }
        self.rows.insert(fingerprint, certificate);
    }

    /// Revokes a certificate for good; one that was revoked before stays as it is.
    pub fn revoke(&mut self, fingerprint: &Digest, revocation: Revocation) {
        let Some(row) = self.rows.get_mut(fingerprint) else {
            return;
        };
        if row.revoked.is_none() {
            row.revoked = Some(revocation);
            self.revoked.push(*fingerprint);
            note(&mut self.events, &Event::Revoked(fingerprint, revocation));
        }
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
            key: VerifyingKey([key; 32]),
            ends_ms,
            revoked: None,
        }
    }

    fn revocation(reason: RevocationReason) -> Revocation {
        Revocation {
            height: 7,
            reason: reason.code(),
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
        all.revoke(&first, revocation(RevocationReason::KeyCompromise));
        assert_eq!(all.end_block(), [first]);
        assert_ne!(*all.digest(), before);
        assert!(all.end_block().is_empty());
        assert!(!all.find(&first).unwrap().is_current(1));
        assert!(!all.is_compromised(&VerifyingKey([1; 32])));
        all.revoke(&second, revocation(RevocationReason::KeyCompromise));
        assert!(all.is_compromised(&VerifyingKey([2; 32])));
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
        assert_eq!(read.revoked_of_nobody().count(), 1);
        assert_eq!(borsh::to_vec(&read).unwrap(), bytes);
    }
}
