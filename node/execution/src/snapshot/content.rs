//! What a snapshot holds: everything that later results and replies depend on, and nothing that follows from it.
//!
//! ```text
//! content = length u64 | parts | books               books: see the securities contract
//! parts   = head | governance | certificates | earliest expiry u64 | newest snapshot | seen envelopes | sessions
//!         | newest committed results | results that are not committed to | notices that are owed
//!         | former keys: (derived keys, height at which they ended) | records of roots that are offered
//!         | positions that members have had certified: count u32, (member u32, positions u64)
//! names   = count u32, (account u32, blinding 32, name)
//! ```
//!
//! INVARIANT: engines that executed the same blocks have equal content, whatever way they came there. The names are
//! the exception, since attachments are erased: each is checked against the commitment to it in the books.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_governance::Governance;
use sealbook_ledger::{Header, KeyRecord, SnapshotReference};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::SecretBytes;
use sealbook_protocol::module::{PastResult, SealedReply};
use sealbook_securities::{AccountIndex, Holder, MemberId, State};
use zeroize::Zeroizing;

use super::pieces::CONTENT_BYTES;
use crate::certificates::Certificates;
use crate::engine::Engine;
use crate::keys::Derived;
use crate::names::{HolderName, HolderNames};
use crate::results::Results;
use crate::sessions::Sessions;

/// The longest encoded entry of a name: its account, its blinding, and 140 characters.
const NAME_BYTES_MAX: usize = 4 + 32 + 4 + 560;
const COUNT_BYTES: usize = 4;
const NAMES_PER_PIECE: usize = (CONTENT_BYTES - COUNT_BYTES) / NAME_BYTES_MAX;
const LENGTH_BYTES: usize = 8;
/// No row of the books is as long.
const ROW_BYTES_MAX: usize = 4 * 1024;

/// The parts besides the books and the names.
#[derive(BorshDeserialize)]
pub struct Parts {
    /// The header of the last executed block.
    pub head: Header,
    /// What is decided about the network.
    pub governance: Governance,
    /// Which certificates count.
    pub certificates: Certificates,
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
    /// Positions that members have had certified, and that blocks to come make up for.
    pub certifying: BTreeMap<MemberId, u64>,
}

/// The content of a snapshot while it is written, a piece at a time. The books are frozen when it begins and change on
/// meanwhile; names only come to more accounts.
pub struct Content {
    /// How much of the parts is written.
    written: usize,
    parts: SecretBytes,
    /// What is not a whole piece yet. It never moves while it grows, so that no copy is left behind.
    piece: Zeroizing<Vec<u8>>,
    /// The next account whose name is to be written, and the first one that is not.
    account: usize,
    accounts: usize,
}

impl Content {
    /// That of a snapshot of `engine` as it is now.
    pub fn begin(engine: &mut Engine) -> Self {
        let mut parts = vec![0; LENGTH_BYTES];
        // Writing to memory cannot fail.
        let _: std::io::Result<()> = write_parts(engine, &mut parts);
        let length = parts.len().saturating_sub(LENGTH_BYTES) as u64;
        if let Some(room) = parts.first_chunk_mut() {
            *room = length.to_le_bytes();
        }
        engine.state.freeze();
        Self {
            written: 0,
            parts: SecretBytes::new(parts),
            piece: new_piece(),
            account: 0,
            accounts: engine.names.accounts(),
        }
    }

    /// About how many pieces are not written yet.
    pub fn pieces_left(&self, books: u64) -> u64 {
        let names = self.accounts.saturating_sub(self.account);
        let parts = self.parts.expose().len().saturating_sub(self.written);
        let parts = parts.div_ceil(CONTENT_BYTES) as u64;
        books
            .saturating_add(parts)
            .saturating_add(names.div_ceil(NAMES_PER_PIECE) as u64)
    }

    /// The content of the next piece of the state; nothing when all of it is written.
    pub fn next_of_state(&mut self, books: &mut State) -> Option<SecretBytes> {
        let parts = self.parts.expose().get(self.written..).unwrap_or_default();
        let room = CONTENT_BYTES.saturating_sub(self.piece.len());
        let (now, _) = parts.split_at(parts.len().min(room));
        self.piece.extend_from_slice(now);
        self.written = self.written.saturating_add(now.len());
        books.write_frozen(&mut self.piece, CONTENT_BYTES);
        if self.piece.is_empty() {
            return None;
        }
        let mut next = new_piece();
        next.extend_from_slice(self.piece.get(CONTENT_BYTES..).unwrap_or_default());
        self.piece.resize(CONTENT_BYTES, 0);
        let mut piece = std::mem::replace(&mut self.piece, next);
        Some(SecretBytes::new(std::mem::take(&mut *piece)))
    }

    /// The content of the next piece of names, each of which can be read without the others; nothing when all are
    /// written.
    pub fn next_of_names(&mut self, names: &HolderNames) -> Option<SecretBytes> {
        let (entries, next) = names.some_from(self.account, self.accounts, NAMES_PER_PIECE);
        self.account = next;
        if entries.is_empty() {
            return None;
        }
        let mut content = Vec::with_capacity(CONTENT_BYTES);
        // Writing to memory cannot fail, and so many entries fit.
        let _: std::io::Result<()> = entries.serialize(&mut content);
        content.resize(CONTENT_BYTES, 0);
        Some(SecretBytes::new(content))
    }
}

/// Room for a piece and the end of a row that goes into the next one.
fn new_piece() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(CONTENT_BYTES + ROW_BYTES_MAX))
}

fn write_parts(engine: &Engine, into: &mut Vec<u8>) -> std::io::Result<()> {
    engine.head.serialize(into)?;
    engine.governance.serialize(into)?;
    engine.certificates.serialize(into)?;
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
    records.serialize(into)?;
    engine.certifying.serialize(into)
}

/// The parts in the content of a state, and the books with the zeros after them; nothing if there are none.
pub fn read_parts(content: &[u8]) -> Option<(Parts, &[u8])> {
    let (length, rest) = content.split_at_checked(LENGTH_BYTES)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (parts, books) = rest.split_at_checked(length)?;
    Some((Parts::try_from_slice(parts).ok()?, books))
}

/// Whether this is what may follow the content in its last piece.
pub fn is_padding(rest: &[u8]) -> bool {
    rest.len() < CONTENT_BYTES && rest.iter().all(|byte| *byte == 0)
}

/// Reads one piece of names into `names`; nothing if it is not one, or holds a name that the books hold no
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Books whose encoding is so long, or a little longer.
    fn books(length: usize) -> State {
        let mut state = State::new();
        let mut bytes = Vec::new();
        let mut height = 0;
        while bytes.len() < length {
            // Sixteen bytes a block.
            for _ in 0..=(length - bytes.len()) / 17 {
                height += 1;
                state.begin_block(height, height).unwrap();
            }
            bytes.clear();
            state.encode_into(&mut bytes).unwrap();
        }
        state
    }

    #[test]
    fn content_is_cut_into_whole_pieces_wherever_it_ends() {
        let mut state = books(CONTENT_BYTES / 2);
        let mut encoded = Vec::new();
        state.encode_into(&mut encoded).unwrap();
        // Parts before and after the edge of a piece, longer than one, and so long that all ends with a piece.
        for kind in 0..8 {
            let edge = CONTENT_BYTES;
            let even = 2 * edge - encoded.len();
            let (before, after) = (even - 1, even + 1);
            let lengths = [8, edge - 1, edge, edge + 1, 3 * edge, before, even, after];
            let parts = *lengths.get(kind).unwrap();
            let bytes: Vec<u8> = (0..parts).map(|place| (place % 251) as u8 | 1).collect();
            state.freeze();
            let mut content = Content {
                written: 0,
                parts: SecretBytes::new(bytes.clone()),
                piece: new_piece(),
                account: 0,
                accounts: 0,
            };
            let mut written = Vec::new();
            while let Some(piece) = content.next_of_state(&mut state) {
                assert_eq!(piece.expose().len(), CONTENT_BYTES);
                written.extend_from_slice(piece.expose());
                // It goes on meanwhile.
                let next = state.height() + 1;
                state.begin_block(next, next).unwrap();
            }
            let whole = [&bytes[..], &encoded].concat();
            let (found, padding) = written.split_at(whole.len());
            assert!(found == whole, "{parts}");
            assert_eq!(written.len(), whole.len().next_multiple_of(CONTENT_BYTES));
            assert!(is_padding(padding));
            assert!(content.next_of_state(&mut state).is_none());
            encoded.clear();
            state.encode_into(&mut encoded).unwrap();
        }
    }

    #[test]
    fn only_zeros_in_the_last_piece_are_padding() {
        assert!(is_padding(&[]) && is_padding(&[0; 9]));
        assert!(is_padding(&vec![0; CONTENT_BYTES - 1]));
        assert!(!is_padding(&vec![0; CONTENT_BYTES]));
        assert!(!is_padding(&[0, 0, 1]));
    }
}
