//! Blocks, certificates, attachments and metadata over any [`Store`].
//!
//! ```text
//! Blocks         height u64                  -> block, encoded with every attachment reduced to its hash
//! Attachments    hash 32                     -> sealed bytes, until they are erased
//! Absent         hash 32                     -> nothing: the bytes were erased, or never came
//! Certificates   height u64                  -> certificate, encoded
//! Digests        block digest 32             -> height u64
//! Transactions   transaction id 32           -> height u64 of the first block that lists it
//! Presence       kind u8 | chunk u64         -> bitmap of 8192 heights
//! Replies        height u64 | stage u8 | id  -> see `replies`
//! Snapshots      height u64                  -> see `snapshots`
//! SnapshotPieces height u64 | index u32      -> sealed bytes
//! Facts          "floor"                     -> version u8 | height u64
//! Metadata       name                        -> bytes
//! ```
//!
//! INVARIANT: a block, the indexes of its digest and its transactions, its attachments and its bitmap change in one
//! commit. The first block and the first certificate of a height stay; both are final, and a second certificate says
//! nothing new. An attachment that a stored block names lies either in `Attachments` or in `Absent`.

pub(crate) mod check;
mod replies;
mod snapshots;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use sealbook_ledger::{Attachment, Block, FinalityCertificate, MAX_BLOCK_BYTES};
use sealbook_primitives::hash::Digest;

use crate::engine::{Batch, Store, StoreError, Table};
use crate::heights::HeightSet;
use crate::pieces::hex;

pub use replies::MAX_REPLY_BYTES;

const HEIGHTS_PER_CHUNK: u64 = 8192;
const CHUNK_BYTES: usize = 1024;
const SCAN_ENTRIES: usize = 256;
const BLOCK: &str = "block";
const CERTIFICATE: &str = "certificate";
const FLOOR_KEY: &[u8] = b"floor";
const FLOOR_VERSION: u8 = 1;

/// Which heights a bitmap is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Blocks = 0,
    Certificates = 1,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Heights {
    blocks: HeightSet,
    certificates: HeightSet,
    floor: u64,
}

/// What one commit adds.
#[derive(Debug, Default)]
struct Additions {
    batch: Batch,
    heights: Vec<(Kind, u64)>,
    transactions: BTreeMap<Digest, u64>,
    present: BTreeSet<Digest>,
    absent: BTreeSet<Digest>,
}

/// The ledger as a node keeps it.
pub struct LedgerStore {
    store: Arc<dyn Store>,
    heights: RwLock<Heights>,
    /// Held from reading a bitmap to committing it.
    writer: Mutex<()>,
    /// Held while a snapshot is made complete, and while some are dropped; blocks do not wait for that.
    snapshots: Mutex<()>,
}

impl std::fmt::Debug for LedgerStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LedgerStore")
            .field("heights", &self.heights)
            .finish_non_exhaustive()
    }
}

impl LedgerStore {
    /// Opens the ledger in a store and reads which heights it holds.
    ///
    /// # Errors
    /// A failed read, or a damaged bitmap.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let heights = load_heights(store.as_ref())?;
        Ok(Self {
            store,
            heights: RwLock::new(heights),
            writer: Mutex::new(()),
            snapshots: Mutex::new(()),
        })
    }

    /// The store underneath.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Stores finalized blocks and certificates (with the height of the block that each is for) in
    /// one commit. What is already there stays.
    ///
    /// # Errors
    /// A failed write, or another block at a height that is taken.
    pub fn put_final(
        &self,
        blocks: &[&Block],
        certificates: &[(u64, &FinalityCertificate)],
    ) -> Result<(), StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let mut additions = Additions::default();
        for block in blocks {
            self.add_block(&mut additions, block)?;
        }
        for (height, certificate) in certificates {
            if !self.with_heights(|heights| heights.certificates.contains(*height)) {
                additions.batch.put(
                    Table::Certificates,
                    height.to_be_bytes(),
                    certificate.encode(),
                );
                additions.heights.push((Kind::Certificates, *height));
            }
        }
        let Additions {
            mut batch,
            heights: added,
            transactions,
            present,
            absent,
        } = additions;
        self.add_transactions(&mut batch, transactions)?;
        self.add_absences(&mut batch, &present, &absent)?;
        self.add_bitmaps(&mut batch, &added)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch)?;
        let mut heights = self.heights.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, height) in added {
            match kind {
                Kind::Blocks => heights.blocks.insert(height),
                Kind::Certificates => heights.certificates.insert(height),
            }
        }
        Ok(())
    }

    /// Stores one finalized block.
    ///
    /// # Errors
    /// As [`LedgerStore::put_final`].
    pub fn put_block(&self, block: &Block) -> Result<(), StoreError> {
        self.put_final(&[block], &[])
    }

    /// Stores the certificate of the block at `height`.
    ///
    /// # Errors
    /// As [`LedgerStore::put_final`].
    pub fn put_certificate(
        &self,
        height: u64,
        certificate: &FinalityCertificate,
    ) -> Result<(), StoreError> {
        self.put_final(&[], &[(height, certificate)])
    }

    /// Adds a block, unless it is already there.
    fn add_block(&self, additions: &mut Additions, block: &Block) -> Result<(), StoreError> {
        let (height, digest) = (block.height(), block.digest());
        if self.with_heights(|heights| heights.blocks.contains(height)) {
            let same = self.height_of(&digest)? == Some(height);
            return if same {
                Ok(())
            } else {
                Err(StoreError::Conflict {
                    what: BLOCK,
                    height,
                })
            };
        }
        for attachment in &block.attachments {
            let name = attachment.digest();
            match attachment.bytes() {
                Some(bytes) => {
                    let bytes = bytes.to_vec();
                    additions
                        .batch
                        .put(Table::Attachments, *name.as_bytes(), bytes);
                    additions.present.insert(name);
                }
                None => {
                    additions.absent.insert(name);
                }
            }
        }
        for transaction in &block.transactions {
            let first = additions
                .transactions
                .entry(transaction.id())
                .or_insert(height);
            *first = height.min(*first);
        }
        additions.batch.put(
            Table::Blocks,
            height.to_be_bytes(),
            without_attachments(block).encode(),
        );
        additions
            .batch
            .put(Table::Digests, *digest.as_bytes(), height.to_be_bytes());
        additions.heights.push((Kind::Blocks, height));
        Ok(())
    }

    /// Notes where transactions stand. Of several blocks that list one, the first counts: there it took effect.
    fn add_transactions(
        &self,
        batch: &mut Batch,
        transactions: BTreeMap<Digest, u64>,
    ) -> Result<(), StoreError> {
        for (id, height) in transactions {
            let known = self.height_of_transaction(&id)?;
            if known.is_none_or(|known| height < known) {
                batch.put(Table::Transactions, *id.as_bytes(), height.to_be_bytes());
            }
        }
        Ok(())
    }

    /// Notes which attachments came without their bytes, so that a lost one differs from one that never was here.
    fn add_absences(
        &self,
        batch: &mut Batch,
        present: &BTreeSet<Digest>,
        absent: &BTreeSet<Digest>,
    ) -> Result<(), StoreError> {
        for name in present {
            if self.is_absent(name)? {
                batch.delete(Table::Absent, *name.as_bytes());
            }
        }
        for name in absent.difference(present) {
            if self.attachment(name)?.is_none() {
                batch.put(Table::Absent, *name.as_bytes(), Vec::new());
            }
        }
        Ok(())
    }

    fn is_absent(&self, attachment: &Digest) -> Result<bool, StoreError> {
        let mark = self.store.get(Table::Absent, attachment.as_bytes())?;
        Ok(mark.is_some())
    }

    fn add_bitmaps(&self, batch: &mut Batch, added: &[(Kind, u64)]) -> Result<(), StoreError> {
        let mut bitmaps: BTreeMap<(Kind, u64), Vec<u8>> = BTreeMap::new();
        for (kind, height) in added {
            let chunk = height / HEIGHTS_PER_CHUNK;
            let bitmap = match bitmaps.entry((*kind, chunk)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let stored = self
                        .store
                        .get(Table::Presence, &presence_key(*kind, chunk))?;
                    entry.insert(stored.unwrap_or_else(|| vec![0; CHUNK_BYTES]))
                }
            };
            let bit = height % HEIGHTS_PER_CHUNK;
            let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            if let Some(byte) = bitmap.get_mut(place) {
                *byte |= 1 << (bit % 8);
            }
        }
        for ((kind, chunk), bitmap) in bitmaps {
            batch.put(Table::Presence, presence_key(kind, chunk), bitmap);
        }
        Ok(())
    }

    /// The block at a height; attachments whose bytes are not here come as their hashes. `None` if
    /// no block of this height was stored.
    ///
    /// # Errors
    /// A failed read; a block that is damaged, or that was stored and is gone.
    pub fn block(&self, height: u64) -> Result<Option<Block>, StoreError> {
        let Some(mut block) = self.block_alone(height)? else {
            return Ok(None);
        };
        for attachment in &mut block.attachments {
            if let Some(bytes) = self.attachment(&attachment.digest())? {
                *attachment = Attachment::Present(bytes);
            }
        }
        Ok(Some(block))
    }

    /// The block at a height with its attachments reduced to their hashes.
    fn block_alone(&self, height: u64) -> Result<Option<Block>, StoreError> {
        if !self.has_block(height) {
            return Ok(None);
        }
        let bytes = match self.store.get(Table::Blocks, &height.to_be_bytes()) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return Err(StoreError::MissingAt {
                    what: BLOCK,
                    height,
                });
            }
            Err(error) => return Err(naming(BLOCK, height, error)),
        };
        let damaged = |reason: String| StoreError::DamagedAt {
            what: BLOCK,
            height,
            reason,
        };
        let block =
            Block::decode(&bytes, MAX_BLOCK_BYTES).map_err(|error| damaged(error.to_string()))?;
        if block.height() != height {
            return Err(damaged("it claims another height".to_owned()));
        }
        Ok(Some(block))
    }

    /// The height of the block with a digest.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn height_of(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.height_in(Table::Digests, digest)
    }

    /// The height of the first block that lists a transaction with this id.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn height_of_transaction(&self, id: &Digest) -> Result<Option<u64>, StoreError> {
        self.height_in(Table::Transactions, id)
    }

    fn height_in(&self, table: Table, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let Some(bytes) = self.store.get(table, digest.as_bytes())? else {
            return Ok(None);
        };
        let damaged = StoreError::Damaged {
            table: table.name(),
            key: digest.to_string(),
        };
        <[u8; 8]>::try_from(bytes.as_slice())
            .map(u64::from_be_bytes)
            .map(Some)
            .map_err(|_| damaged)
    }

    /// The block with a digest.
    ///
    /// # Errors
    /// As [`LedgerStore::block`].
    pub fn block_by_digest(&self, digest: &Digest) -> Result<Option<Block>, StoreError> {
        match self.height_of(digest)? {
            Some(height) => self.block(height),
            None => Ok(None),
        }
    }

    /// The certificate of the block at a height. Not every final block has one of its own: see
    /// [`LedgerStore::certified_at_or_after`].
    ///
    /// # Errors
    /// A failed read; a certificate that is damaged, or that was stored and is gone.
    pub fn certificate(&self, height: u64) -> Result<Option<FinalityCertificate>, StoreError> {
        if !self.has_certificate(height) {
            return Ok(None);
        }
        match self.store.get(Table::Certificates, &height.to_be_bytes()) {
            Ok(Some(bytes)) => FinalityCertificate::decode(&bytes)
                .map(Some)
                .map_err(|error| StoreError::DamagedAt {
                    what: CERTIFICATE,
                    height,
                    reason: error.to_string(),
                }),
            Ok(None) => Err(StoreError::MissingAt {
                what: CERTIFICATE,
                height,
            }),
            Err(error) => Err(naming(CERTIFICATE, height, error)),
        }
    }

    /// The sealed bytes of an attachment, where they are still kept.
    ///
    /// # Errors
    /// A failed read, or bytes that are not those of this hash.
    pub fn attachment(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let Some(bytes) = self.store.get(Table::Attachments, digest.as_bytes())? else {
            return Ok(None);
        };
        if Attachment::digest_of(&bytes) != *digest {
            let (table, key) = (Table::Attachments.name(), digest.to_string());
            return Err(StoreError::Damaged { table, key });
        }
        Ok(Some(Bytes::from(bytes)))
    }

    /// Keeps an attachment that a peer supplied after its block.
    ///
    /// # Errors
    /// A failed write.
    pub fn put_attachment(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let digest = Attachment::digest_of(bytes);
        let mut batch = Batch::new();
        batch.put(Table::Attachments, *digest.as_bytes(), bytes);
        if self.is_absent(&digest)? {
            batch.delete(Table::Absent, *digest.as_bytes());
        }
        self.store.commit(batch)?;
        Ok(digest)
    }

    /// Erases the bytes of attachments; the blocks keep their hashes. The engine's log may hold the
    /// sealed bytes until it reuses the space.
    ///
    /// # Errors
    /// A failed write.
    pub fn erase_attachments(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let mut batch = Batch::new();
        for digest in digests {
            batch.delete(Table::Attachments, *digest.as_bytes());
            batch.put(Table::Absent, *digest.as_bytes(), Vec::new());
        }
        self.store.commit(batch)
    }

    /// A named value of the node.
    ///
    /// # Errors
    /// A failed read or a damaged entry.
    pub fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(Table::Metadata, name.as_bytes())
    }

    /// Sets a named value of the node. The name must not tell of a party.
    ///
    /// # Errors
    /// A failed write.
    pub fn put_metadata(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(Table::Metadata, name.as_bytes(), value);
        self.store.commit(batch)
    }

    /// Whether the block of a height is stored.
    #[must_use]
    pub fn has_block(&self, height: u64) -> bool {
        self.with_heights(|heights| heights.blocks.contains(height))
    }

    /// Whether a certificate of a height is stored.
    #[must_use]
    pub fn has_certificate(&self, height: u64) -> bool {
        self.with_heights(|heights| heights.certificates.contains(height))
    }

    /// The highest stored block; blocks below it may still be missing while the node catches up.
    #[must_use]
    pub fn latest_height(&self) -> Option<u64> {
        self.with_heights(|heights| heights.blocks.last())
    }

    /// The height up to which every block from the floor on is stored.
    #[must_use]
    pub fn complete_height(&self) -> Option<u64> {
        self.with_heights(|heights| heights.blocks.contiguous_from(heights.floor))
    }

    /// The lowest height whose block this ledger is meant to hold: 0, unless the node joined from a snapshot.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.with_heights(|heights| heights.floor)
    }

    /// Sets the floor. Blocks below it are not missed, but they are kept where they are, and more may be added.
    ///
    /// # Errors
    /// A failed write.
    pub fn set_floor(&self, height: u64) -> Result<(), StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let mut batch = Batch::new();
        let mut value = vec![FLOOR_VERSION];
        value.extend_from_slice(&height.to_be_bytes());
        batch.put(Table::Facts, FLOOR_KEY, value);
        self.store.commit(batch)?;
        let mut heights = self.heights.write().unwrap_or_else(PoisonError::into_inner);
        heights.floor = height;
        Ok(())
    }

    /// At most `max` heights between the floor and the highest block whose blocks are not stored.
    #[must_use]
    pub fn missing_blocks(&self, max: usize) -> Vec<u64> {
        self.with_heights(|heights| heights.blocks.missing(heights.floor, max))
    }

    /// The lowest height not below `height` that has a certificate of its own.
    #[must_use]
    pub fn certified_at_or_after(&self, height: u64) -> Option<u64> {
        self.with_heights(|heights| heights.certificates.first_at_or_after(height))
    }

    /// The heights of stored blocks.
    #[must_use]
    pub fn block_heights(&self) -> HeightSet {
        self.with_heights(|heights| heights.blocks.clone())
    }

    /// The heights that have a certificate.
    #[must_use]
    pub fn certificate_heights(&self) -> HeightSet {
        self.with_heights(|heights| heights.certificates.clone())
    }

    fn with_heights<T>(&self, read: impl FnOnce(&Heights) -> T) -> T {
        read(&self.heights.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives a damaged entry the name of its height.
fn naming(what: &'static str, height: u64, error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged { .. } => StoreError::DamagedAt {
            what,
            height,
            reason: "its checksum differs".to_owned(),
        },
        other => other,
    }
}

fn without_attachments(block: &Block) -> Block {
    Block {
        header: block.header.clone(),
        transactions: block.transactions.clone(),
        attachments: block
            .attachments
            .iter()
            .map(|one| Attachment::Erased(one.digest()))
            .collect(),
    }
}

fn load_heights(store: &dyn Store) -> Result<Heights, StoreError> {
    let mut heights = Heights::default();
    let mut from = Vec::new();
    loop {
        let entries = store.scan(Table::Presence, &from, SCAN_ENTRIES)?;
        let full = entries.len() == SCAN_ENTRIES;
        for (key, bitmap) in entries {
            load_bitmap(&mut heights, &key, &bitmap)?;
            from = key;
            from.push(0);
        }
        if !full {
            break;
        }
    }
    if let Some(floor) = store.get(Table::Facts, FLOOR_KEY)? {
        let height = match floor.split_first() {
            Some((&FLOOR_VERSION, height)) => <[u8; 8]>::try_from(height).ok(),
            _ => None,
        };
        heights.floor = height
            .map(u64::from_be_bytes)
            .ok_or_else(|| StoreError::Damaged {
                table: Table::Facts.name(),
                key: hex(FLOOR_KEY),
            })?;
    }
    Ok(heights)
}

fn presence_key(kind: Kind, chunk: u64) -> Vec<u8> {
    [&[kind as u8][..], &chunk.to_be_bytes()].concat()
}

fn load_bitmap(heights: &mut Heights, key: &[u8], bitmap: &[u8]) -> Result<(), StoreError> {
    let damaged = || StoreError::Damaged {
        table: Table::Presence.name(),
        key: hex(key),
    };
    let (kind, chunk) = key.split_first().ok_or_else(damaged)?;
    let chunk = <[u8; 8]>::try_from(chunk)
        .map(u64::from_be_bytes)
        .map_err(|_| damaged())?;
    let set = match kind {
        0 => &mut heights.blocks,
        1 => &mut heights.certificates,
        _ => return Err(damaged()),
    };
    if bitmap.len() != CHUNK_BYTES {
        return Err(damaged());
    }
    let first = chunk.checked_mul(HEIGHTS_PER_CHUNK).ok_or_else(damaged)?;
    for (place, byte) in (0_u64..).zip(bitmap) {
        for bit in (0_u64..8).filter(|bit| byte >> bit & 1 == 1) {
            set.insert(
                first
                    .saturating_add(place.saturating_mul(8))
                    .saturating_add(bit),
            );
        }
    }
    Ok(())
}
