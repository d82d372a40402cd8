//! Revocation lists (RFC 5280 section 5): which certificates of an issuing authority count no more.
//!
//! ```text
//!   root (trusted, named by genesis)
//!     └── issuing authority of one role ──signs── revocation list
//!           └── member or node                      serial number, date, reason
//! ```
//!
//! A list speaks for one issuing authority, the one whose key signed it, and for all holders that
//! this one certified. It is whole: no delta list, no indirect one, none for some reasons only.
//! An authority of which no list is at hand has its holders unchecked; with one, every holder is
//! checked, and once the list is out of date no member passes until a newer one has come: a list
//! that says nothing about today would otherwise be the thief's best friend. Nodes are held against
//! a list that is out of date as well, and pass if it does not name them: the nodes' agreement does
//! not wait for the CA, and a seat is taken away by the members' decision.
//!
//! Lists are for links, whose processes have a clock and a disk. The ledger has its own way, which
//! every copy of the execution module follows alike: transactions revoke certificates and remove
//! members. What the ledger has revoked, links are told by [`Revocations::revoke`].
//!
//! INVARIANT: a [`RevocationList`] was signed by an issuing authority of the network that may sign
//! lists, is whole, and was issued before the moment for which it was verified.
//!
//! What webpki knows about lists, it judges here too, before anything of ours: versions, critical
//! extensions of the list and of each entry, numbers, delta and indirect lists.

mod error;
mod reason;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls_pki_types::CertificateDer;
use sealbook_primitives::{hash::Digest, signature::VerifyingKey};
use webpki::OwnedCertRevocationList;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::FromDer as _,
    revocation_list::{CertificateRevocationList, RevokedCertificate},
    time::ASN1Time,
};

pub use self::error::RevocationError;
pub use self::reason::{RevocationReason, UnknownReason};
use crate::{
    CertificateUri, IdentityError, Link, Role,
    certificate::{ParsedCertificate, is_ed25519},
    chain::{check_network, check_sizes, fingerprint},
};

/// The most bytes in a revocation list.
pub const LIST_BYTES_MAX: usize = 1024 * 1024;
/// The most entries in a revocation list.
pub const LIST_ENTRIES_MAX: usize = 16 * 1024;
/// The most revocation lists at a time: one for each role, and as many for authorities that are
/// being replaced.
pub const LISTS_MAX: usize = 2 * Role::ALL.len();

/// What a list says about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When the authority revoked it, milliseconds since 1970 (UTC).
    pub revoked_ms: u64,
    /// Why.
    pub reason: RevocationReason,
}

/// A revocation list that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    role: Role,
    authority: VerifyingKey,
    number: u64,
    this_update_ms: u64,
    next_update_ms: u64,
    /// By serial number: the bytes of the integer, without zeros in front.
    revoked: BTreeMap<Vec<u8>, Revoked>,
}

impl RevocationList {
    /// Reads the list `der` and verifies it as of `now_ms`: one of `authorities` issued it, whose
    /// certificate one of `roots` signed for this network.
    ///
    /// # Errors
    /// Every reason is a variant of [`RevocationError`].
    pub fn verify(
        der: &[u8],
        authorities: &[CertificateDer<'_>],
        roots: &[CertificateDer<'_>],
        network: &str,
        now_ms: u64,
    ) -> Result<Self, RevocationError> {
        let parsed = parse(der)?;
        let revoked = read_entries(&parsed)?;
        let number = read_number(&parsed)?;
        let this_update_ms = milliseconds(parsed.last_update())?;
        let next_update_ms = milliseconds(
            parsed
                .next_update()
                .ok_or(malformed("it does not say when the next one comes"))?,
        )?;
        if next_update_ms <= this_update_ms {
            return Err(malformed("the next one comes before it"));
        }

        let authority = find_authority(&parsed, authorities)?;
        let (role, key) = check_authority(&authority, roots, network, now_ms)
            .map_err(RevocationError::Authority)?;
        parsed
            .verify_signature(authority.parsed().public_key())
            .map_err(|_| RevocationError::BadSignature { role })?;

        if now_ms < this_update_ms {
            return Err(RevocationError::NotYetValid {
                role,
                this_update_ms,
                now_ms,
            });
        }
        Ok(Self {
            role,
            authority: key,
            number,
            this_update_ms,
            next_update_ms,
            revoked,
        })
    }

    /// The role whose issuing authority signed the list.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The list's number. A later list of the same authority has a higher one.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When the list was issued, milliseconds since 1970 (UTC).
    pub const fn this_update_ms(&self) -> u64 {
        self.this_update_ms
    }

    /// The last moment at which the list may be used, milliseconds since 1970 (UTC).
    pub const fn next_update_ms(&self) -> u64 {
        self.next_update_ms
    }

    /// Whether a newer list should have taken this one's place by `now_ms`.
    pub const fn is_out_of_date(&self, now_ms: u64) -> bool {
        now_ms > self.next_update_ms
    }

    /// How many certificates are revoked.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether no certificate is revoked.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// What the list says about the certificate with this serial number, the bytes of its integer.
    pub fn revoked(&self, serial: &[u8]) -> Option<Revoked> {
        self.revoked.get(significant(serial)).copied()
    }
}

/// What a process knows about revoked certificates. Clones share it, so that connections are held
/// against what is known now. Without lists and transactions nobody is revoked.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    lists: Arc<RwLock<Vec<RevocationList>>>,
    /// Fingerprints of what the ledger has revoked.
    on_ledger: Arc<RwLock<BTreeSet<Digest>>>,
    changes: Arc<AtomicU64>,
}

impl Revocations {
    /// No lists: nobody is checked.
    pub fn none() -> Self {
        Self::default()
    }

    /// The lists that a process begins with.
    ///
    /// # Errors
    /// They are too many, or two are of one authority.
    pub fn new(lists: Vec<RevocationList>) -> Result<Self, RevocationError> {
        check_lists(&lists)?;
        Ok(Self {
            lists: Arc::new(RwLock::new(lists)),
            ..Self::default()
        })
    }

    /// Takes in fingerprints of certificates that the ledger has revoked, for good. Says whether one
    /// of them was not known.
    pub fn revoke(&self, fingerprints: impl IntoIterator<Item = Digest>) -> bool {
        let mut known = self
            .on_ledger
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.extend(fingerprints);
        let changed = known.len() > before;
        if changed {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        changed
    }

    /// A number that changes whenever more is known: open connections are then judged anew.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Puts `lists` in the place of those known until now. Says whether that changed anything.
    ///
    /// # Errors
    /// They are too many, two are of one authority, or one is missing or older than the one known.
    /// Then those known until now stay.
    pub fn replace(&self, lists: Vec<RevocationList>) -> Result<bool, RevocationError> {
        check_lists(&lists)?;
        let mut known = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        for former in known.iter() {
            let role = former.role;
            let later = lists
                .iter()
                .find(|list| list.authority == former.authority)
                .ok_or(RevocationError::Gone { role })?;
            if later.number < former.number {
                return Err(RevocationError::Older {
                    role,
                    found: later.number,
                    known: former.number,
                });
            }
        }
        let changed = *known != lists;
        *known = lists;
        if changed {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        Ok(changed)
    }

    /// The lists that are known.
    pub fn lists(&self) -> Vec<RevocationList> {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        lists.clone()
    }

    /// Refuses `leaf`, which `issuing` has certified, if it is revoked as of `now_ms`, or if it is a
    /// member's and its authority's list is out of date, so that nobody can say.
    pub(crate) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        issuing: &CertificateDer<'_>,
        now_ms: u64,
    ) -> Result<(), IdentityError> {
        let on_ledger = self
            .on_ledger
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if !on_ledger.is_empty() && on_ledger.contains(&fingerprint(leaf)) {
            return Err(IdentityError::RevokedOnLedger);
        }
        drop(on_ledger);
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        if lists.is_empty() {
            return Ok(());
        }
        let authority = ParsedCertificate::read(issuing, Link::Issuing)?.key()?;
        let Some(list) = lists.iter().find(|list| list.authority == authority) else {
            return Ok(());
        };
        let role = list.role;
        let leaf = ParsedCertificate::read(leaf, Link::Leaf)?;
        // A revocation holds for good, even from a list that is out of date by now.
        if let Some(revoked) = list.revoked(leaf.parsed().raw_serial()) {
            return Err(IdentityError::Revoked {
                role,
                reason: revoked.reason,
                revoked_ms: revoked.revoked_ms,
            });
        }
        if role.is_member() && list.is_out_of_date(now_ms) {
            return Err(IdentityError::RevocationListStale {
                role,
                next_update_ms: list.next_update_ms,
                now_ms,
            });
        }
        Ok(())
    }
}

fn check_lists(lists: &[RevocationList]) -> Result<(), RevocationError> {
    if lists.len() > LISTS_MAX {
        return Err(RevocationError::TooManyLists {
            found: lists.len(),
            limit: LISTS_MAX,
        });
    }
    for (index, list) in lists.iter().enumerate() {
        let doubled = lists
            .iter()
            .skip(index + 1)
            .any(|other| other.authority == list.authority);
        if doubled {
            return Err(RevocationError::TwoLists { role: list.role });
        }
    }
    Ok(())
}

/// Reads the list, whose signature is not looked at yet.
fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, RevocationError> {
    let (found, limit) = (der.len(), LIST_BYTES_MAX);
    if found > limit {
        return Err(RevocationError::TooLarge { found, limit });
    }
    OwnedCertRevocationList::from_der(der).map_err(|error| from_webpki(&error))?;
    let Ok(([], parsed)) = CertificateRevocationList::from_der(der) else {
        return Err(malformed("it is no revocation list"));
    };
    let algorithms = [&parsed.signature_algorithm, &parsed.tbs_cert_list.signature];
    if !algorithms.into_iter().all(is_ed25519) {
        return Err(RevocationError::NotEd25519);
    }
    let extensions = parsed.tbs_cert_list.extensions_map();
    let Ok(extensions) = extensions else {
        return Err(malformed("it has an extension twice"));
    };
    // webpki would take one with a scope. Ours have none, and a scope would have to be understood.
    let scope = x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
    if extensions.contains_key(&scope) {
        return Err(RevocationError::Partial);
    }
    Ok(parsed)
}

fn read_entries(
    list: &CertificateRevocationList<'_>,
) -> Result<BTreeMap<Vec<u8>, Revoked>, RevocationError> {
    let found = list.iter_revoked_certificates().count();
    if found > LIST_ENTRIES_MAX {
        return Err(RevocationError::TooManyEntries {
            found,
            limit: LIST_ENTRIES_MAX,
        });
    }
    let mut revoked = BTreeMap::new();
    for entry in list.iter_revoked_certificates() {
        let serial = significant(entry.raw_serial());
        let said = Revoked {
            revoked_ms: milliseconds(entry.revocation_date)?,
            reason: read_reason(entry)?,
        };
        if revoked.insert(serial.to_vec(), said).is_some() {
            let serial = serial.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(RevocationError::Doubled { serial });
        }
    }
    Ok(revoked)
}

/// An entry without a reason has none that is specified (RFC 5280 section 5.3.1).
fn read_reason(entry: &RevokedCertificate<'_>) -> Result<RevocationReason, RevocationError> {
    let mut reasons =
        entry
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::ReasonCode(code) => Some(code.0),
                _ => None,
            });
    match (reasons.next(), reasons.next()) {
        (None, _) => Ok(RevocationReason::Unspecified),
        (Some(code), None) => RevocationReason::from_code(code)
            .ok_or(malformed("an entry has a reason that no whole list has")),
        (Some(_), Some(_)) => Err(malformed("an entry has two reasons")),
    }
}

fn read_number(list: &CertificateRevocationList<'_>) -> Result<u64, RevocationError> {
    let number = list
        .crl_number()
        .ok_or(malformed("it has no number of its own"))?;
    u64::try_from(number).map_err(|_| malformed("its number has more than 64 bits"))
}

/// The authority whose name and key identifier stand on the list.
fn find_authority<'a>(
    list: &CertificateRevocationList<'_>,
    authorities: &'a [CertificateDer<'_>],
) -> Result<ParsedCertificate<'a>, RevocationError> {
    let identifier = list
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                identifier.key_identifier.as_ref().map(|bytes| bytes.0)
            }
            _ => None,
        })
        .ok_or(malformed("it does not identify its authority's key"))?;
    for der in authorities {
        let authority =
            ParsedCertificate::read(der, Link::Issuing).map_err(RevocationError::Authority)?;
        let named = authority.parsed().subject().as_raw() == list.issuer().as_raw();
        if named && authority.key_identifier() == Some(identifier) {
            return Ok(authority);
        }
    }
    Err(RevocationError::NoAuthority)
}

/// Refuses an authority that is none of this network or may not sign lists. The rules for the way
/// from a root to an issuing authority are those of `verify_chain`.
fn check_authority(
    authority: &ParsedCertificate<'_>,
    roots: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
) -> Result<(Role, VerifyingKey), IdentityError> {
    check_sizes(roots, &[])?;
    authority.check_signed_by_root(roots, now_ms)?;
    authority.check_validity(now_ms)?;
    let CertificateUri::Issuing {
        network: found,
        role,
    } = authority.uri()?
    else {
        return Err(IdentityError::WrongPurpose {
            link: Link::Issuing,
            what: "it does not belong to an issuing authority",
        });
    };
    check_network(&found, network, Link::Issuing)?;
    authority.check_is_authority()?;
    let usage = authority.key_usage()?;
    if !usage.key_cert_sign() || !usage.crl_sign() {
        return Err(IdentityError::WrongPurpose {
            link: Link::Issuing,
            what: "its key may not sign both certificates and revocation lists",
        });
    }
    Ok((role, authority.key()?))
}

/// The integer's bytes without zeros in front.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

fn milliseconds(time: ASN1Time) -> Result<u64, RevocationError> {
    u64::try_from(time.timestamp())
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000))
        .ok_or(malformed("it has a date before 1970"))
}

const fn malformed(what: &'static str) -> RevocationError {
    RevocationError::Malformed { what }
}

fn from_webpki(error: &webpki::Error) -> RevocationError {
    use webpki::Error;
    match error {
        Error::UnsupportedDeltaCrl => RevocationError::Delta,
        Error::UnsupportedIndirectCrl => RevocationError::Indirect,
        Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedRevocationReasonsPartitioning => RevocationError::Partial,
        Error::UnsupportedCriticalExtension => RevocationError::UnknownExtension,
        Error::UnsupportedCrlVersion => malformed("it is not of version 2"),
        Error::InvalidCrlNumber => malformed("its number is not lawful"),
        Error::UnsupportedRevocationReason => {
            malformed("an entry has a reason that no whole list has")
        }
        _ => malformed("it is no revocation list"),
    }
}
