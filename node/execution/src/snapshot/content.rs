//! What a snapshot holds: everything that later results and replies depend on, and nothing that follows from it.
//!
//! ```text
//! content = length u64 | parts | books               books: see the securities contract
//! parts   = head | governance | ends of certificates | earliest expiry u64 | newest snapshot | seen envelopes | sessions
//!         | newest committed results | results that are not committed to | notices that are owed
//!         | former keys: (derived keys, height at which they ended) | records of roots that are offered
//! names   = count u32, (account u32, blinding 32, name)
//! ```
//!
//! INVARIANT: engines that executed the same blocks have equal content, whatever way they came there. The names are
//! the exception, since attachments are erased: each is checked against the commitment to it in the books.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_governance::Governance;
use sealbook_ledger::{Header, KeyRecord, SnapshotReference};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::SecretBytes;
use sealbook_protocol::module::{PastResult, SealedReply};
use sealbook_securities::{AccountIndex, Holder, MemberId, State};

use super::pieces::{CONTENT_BYTES, Cutter};
use crate::engine::Engine;
use crate::keys::Derived;
use crate::names::{HolderName, HolderNames};
use crate::results::Results;
use crate::sessions::Sessions;

/// The longest encoded entry of a name: its account, its blinding, and 140 characters.
const NAME_BYTES_MAX: usize = 4 + 32 + 4 + 560;
const COUNT_BYTES: usize = 4;

/// The parts besides the books and the names.
#[derive(BorshDeserialize)]
pub struct Parts {
    /// The header of the last executed block.
    pub head: Header,
    /// What is decided about the network.
    pub governance: Governance,
    /// When members' certificates end.
    pub certificate_ends: BTreeMap<MemberId, u64>,
    /// Envelopes that expire before are not answered any more.
    pub answered_from_ms: u64,
    /// The newest snapshot that commitments name.
    pub newest: Option<SnapshotReference>,
    /// Envelopes that were executed and could come again.
    pub seen: BTreeSet<(u64, Digest)>,
    /// Sessions that members have opened.
    pub sessions: Sessions,
    /// The newest results that a header has committed to.
    pub committed: PastResult,
    /// Results that no header has committed to yet, ascending.
    pub results: Vec<Results>,
    /// Notices of finality that had no place yet.
    pub finals_owed: Vec<SealedReply>,
    /// The keys of key epochs that are over once the next block is executed, with the first block after each.
    pub former: Vec<(Derived, u64)>,
    /// Records of roots that are offered or decided.
    pub records: Vec<KeyRecord>,
}

/// The content of a snapshot of `engine`, cut into pieces.
pub fn state_of(engine: &Engine) -> VecDeque<SecretBytes> {
    let mut parts = Vec::new();
    // Writing to memory cannot fail.
    let _: std::io::Result<()> = write_parts(engine, &mut parts);
    let parts = SecretBytes::new(parts);
    let mut cutter = Cutter::new();
    let _: std::io::Result<()> = cutter
        .write_all(&(parts.len() as u64).to_le_bytes())
        .and_then(|()| cutter.write_all(parts.expose()))
        .and_then(|()| engine.state.encode_into(&mut cutter));
    cutter.finish()
}

fn write_parts(engine: &Engine, into: &mut Vec<u8>) -> std::io::Result<()> {
    engine.head.serialize(into)?;
    engine.governance.serialize(into)?;
    engine.certificate_ends.serialize(into)?;
    engine.answered_from_ms.serialize(into)?;
    engine.newest_snapshot.serialize(into)?;
    engine.seen.serialize(into)?;
    engine.sessions.serialize(into)?;
    engine.committed.serialize(into)?;
    let results: Vec<&Results> = engine.uncommitted.values().collect();
    results.serialize(into)?;
    let owed: Vec<&SealedReply> = engine.finals_owed.iter().collect();
    owed.serialize(into)?;
    let next = engine.head.height.saturating_add(1);
    let ends = engine.definition().opening.key_epoch != engine.keys.key_epoch;
    let former = engine.former.iter().map(|one| (&one.keys, one.ended));
    let former = former.chain(ends.then_some((&engine.keys, next)));
    let former: Vec<(Derived, u64)> = former
        .map(|(keys, ended)| (keys.derived(engine.network), ended))
        .collect();
    former.serialize(into)?;
    let records: Vec<&KeyRecord> = engine.records.values().collect();
    records.serialize(into)
}

/// Reads [`state_of`]; nothing if it is not one.
pub fn read_state(content: &[u8]) -> Option<(Parts, &[u8])> {
    let (length, rest) = content.split_at_checked(8)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (parts, books) = rest.split_at_checked(length)?;
    Some((Parts::try_from_slice(parts).ok()?, books))
}

/// The names that `engine` knows, as the padded contents of pieces, each of which can be read without the others.
pub fn names_of(engine: &Engine) -> VecDeque<SecretBytes> {
    let names: Vec<(AccountIndex, &HolderName)> = engine.names.iter().collect();
    let entries = (CONTENT_BYTES - COUNT_BYTES) / NAME_BYTES_MAX;
    names
        .chunks(entries)
        .map(|chunk| {
            let mut content = Vec::with_capacity(CONTENT_BYTES);
            // Writing to memory cannot fail, and so many entries fit.
            let _: std::io::Result<()> = chunk.serialize(&mut content);
            content.resize(CONTENT_BYTES, 0);
            SecretBytes::new(content)
        })
        .collect()
}

/// Reads one piece of [`names_of`] into `names`; nothing if it is not one, or holds a name that the books hold no
/// commitment to.
pub fn read_names(padded: &[u8], state: &State, names: &mut HolderNames) -> Option<()> {
    let mut rest = padded;
    let count = u32::deserialize(&mut rest).ok()?;
    for _ in 0..count {
        let account = AccountIndex::deserialize(&mut rest).ok()?;
        let name = HolderName::deserialize(&mut rest).ok()?;
        let Holder::Named(reference) = state.account(account)?.holder else {
            return None;
        };
        if !name.is_of(&reference.commitment) || !names.add(account, name) {
            return None;
        }
    }
    rest.iter().all(|byte| *byte == 0).then_some(())
}
