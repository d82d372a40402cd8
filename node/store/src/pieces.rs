//! How the engines on disk keep a value: cut into pieces, with a checksum over the whole.
//!
//! ```text
//! head          key   = table u8 | 0x00 | key
//!               value = version u8 | checksum 16 | continuations u16 | first piece
//! continuation  key   = table u8 | 0x01 | key length u16 | key | index u16
//!               value = piece
//! ```
//!
//! The checksum (BLAKE3, 16 bytes) covers table, key and the whole value, so that a damaged, truncated or misplaced
//! entry is found when it is read. Numbers are big-endian. Table 0 is the engine's own: it holds the number of commits,
//! which every batch raises.

use std::collections::BTreeMap;

use sealbook_primitives::hash::hash;

use crate::engine::{Batch, Operation, StoreError, Table};

const VALUE_VERSION: u8 = 1;
const CHECKSUM_DOMAIN: &str = "sealbook 2026 store checksum v1";
pub(crate) const CHECKSUM_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + CHECKSUM_BYTES + 2;
const KIND_HEAD: u8 = 0;
const KIND_CONTINUATION: u8 = 1;
const OWN_PREFIX: u8 = 0;
const COMMITS_KEY: &[u8] = b"commits";

/// One change of what lies on disk.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Where the number of commits lies.
pub(crate) fn commits_key() -> Vec<u8> {
    head_key_of(OWN_PREFIX, COMMITS_KEY)
}

/// The entry that holds the number of commits.
pub(crate) fn commits_entry(commits: u64) -> Change {
    let value = commits.to_be_bytes();
    let head = head(OWN_PREFIX, COMMITS_KEY, &value, 0, &value);
    (commits_key(), Some(head))
}

/// The number of commits in its entry, or nothing if the entry is damaged.
pub(crate) fn commits_in(entry: &[u8]) -> Option<u64> {
    let head = split_head(entry)?;
    let whole =
        head.continuations == 0 && checksum(OWN_PREFIX, COMMITS_KEY, head.piece) == head.checksum;
    let bytes = <[u8; 8]>::try_from(head.piece).ok()?;
    whole.then(|| u64::from_be_bytes(bytes))
}

/// Where the head of an entry lies.
pub(crate) fn head_key(table: Table, key: &[u8]) -> Vec<u8> {
    head_key_of(table.prefix(), key)
}

/// The end of the heads of a table.
pub(crate) fn heads_end(table: Table) -> Vec<u8> {
    vec![table.prefix(), KIND_CONTINUATION]
}

/// The key of an entry whose head lies here.
pub(crate) fn key_of(physical: &[u8]) -> Vec<u8> {
    physical.get(2..).unwrap_or_default().to_vec()
}

fn head_key_of(prefix: u8, key: &[u8]) -> Vec<u8> {
    [&[prefix, KIND_HEAD], key].concat()
}

pub(crate) fn continuation_key(table: Table, key: &[u8], index: u16) -> Vec<u8> {
    // Keys are at most `MAX_KEY_BYTES` long, which `Batch::check` has seen to.
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [
        &[table.prefix(), KIND_CONTINUATION],
        &length[..],
        key,
        &index.to_be_bytes(),
    ]
    .concat()
}

struct Head<'a> {
    checksum: [u8; CHECKSUM_BYTES],
    continuations: u16,
    piece: &'a [u8],
}

fn split_head(bytes: &[u8]) -> Option<Head<'_>> {
    let (version, rest) = bytes.split_first()?;
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (continuations, piece) = rest.split_first_chunk::<2>()?;
    (*version == VALUE_VERSION).then_some(Head {
        checksum: *checksum,
        continuations: u16::from_be_bytes(*continuations),
        piece,
    })
}

fn head(prefix: u8, key: &[u8], value: &[u8], continuations: u16, first: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES.saturating_add(first.len()));
    head.push(VALUE_VERSION);
    head.extend_from_slice(&checksum(prefix, key, value));
    head.extend_from_slice(&continuations.to_be_bytes());
    head.extend_from_slice(first);
    head
}

pub(crate) fn checksum(prefix: u8, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = hash(CHECKSUM_DOMAIN, &[&[prefix], key, value]);
    let mut checksum = [0; CHECKSUM_BYTES];
    for (to, from) in checksum.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    checksum
}

/// What a batch changes on disk. Values are cut into pieces: `size` gives the length of the next one for what is left of
/// a value. `read` gives the entry that lies under a physical key.
pub(crate) fn changes<E>(
    batch: &Batch,
    size: impl Fn(usize) -> usize,
    read: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<Change>, E> {
    // The last word on a key counts, and only it: pieces of an earlier value in the same batch would be left behind.
    let mut last: BTreeMap<(Table, &[u8]), Option<&[u8]>> = BTreeMap::new();
    for operation in batch.operations() {
        match operation {
            Operation::Put { table, key, value } => last.insert((*table, key), Some(value)),
            Operation::Delete { table, key } => last.insert((*table, key), None),
        };
    }
    let mut changes = Vec::new();
    for ((table, key), value) in last {
        let head_key = head_key(table, key);
        let before = if table.is_small() {
            None
        } else {
            read(&head_key)?
        };
        let before = before.as_deref().and_then(split_head);
        let before = before.map_or(0, |head| head.continuations);
        let mut pieces = 0_u16;
        if let Some(value) = value {
            let (first, mut rest) = cut(value, &size);
            while !rest.is_empty() {
                let (piece, after) = cut(rest, &size);
                changes.push((continuation_key(table, key, pieces), Some(piece.to_vec())));
                pieces = pieces.saturating_add(1);
                rest = after;
            }
            let head = head(table.prefix(), key, value, pieces, first);
            changes.push((head_key, Some(head)));
        } else {
            changes.push((head_key, None));
        }
        for index in pieces..before {
            changes.push((continuation_key(table, key, index), None));
        }
    }
    Ok(changes)
}

fn cut(rest: &[u8], size: impl Fn(usize) -> usize) -> (&[u8], &[u8]) {
    // At least one byte, or there would be no end.
    rest.split_at(size(rest.len()).max(1).min(rest.len()))
}

/// Checks a head with its continuations, which `read` gives, and joins them.
pub(crate) fn join(
    table: Table,
    key: &[u8],
    head: &[u8],
    mut read: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Damaged {
        table: table.name(),
        key: hex(key),
    };
    let head = split_head(head).ok_or_else(damaged)?;
    let mut value = head.piece.to_vec();
    for index in 0..head.continuations {
        let piece = read(&continuation_key(table, key, index))?;
        value.extend_from_slice(&piece.ok_or_else(damaged)?);
    }
    if checksum(table.prefix(), key, &value) != head.checksum {
        return Err(damaged());
    }
    Ok(value)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
