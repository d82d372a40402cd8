//! Reads the whole ledger and says what of it is not as it was written.
//!
//! Every entry is read, so that the engine compares its checksums. Beyond that: a block's header commits to its body, its
//! digest and its transactions are in the indexes, it follows the block before it, its certificate is about it, and its
//! attachments are there or noted as absent; the bitmaps list what is there and nothing else; replies lead to
//! transactions; a snapshot with a manifest has all its pieces.
//!
//! What this cannot see: whether the ledger's newest blocks were ever there. The engine's count of commits and the
//! note of the tip tell that (see `folder` and [`crate::Tip`]).

use std::collections::BTreeSet;

use sealbook_ledger::{Block, Header};
use sealbook_primitives::hash::Digest;

use super::{Kind, LedgerStore, SCAN_ENTRIES, load_heights, replies};
use crate::engine::{StoreError, Table};
use crate::pieces::hex;

/// Damages that a report names; more are counted.
const DAMAGES_MAX: usize = 1_000;

/// One thing in a store that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The engine's own files.
    #[error("the store: {reason}")]
    Store {
        /// What is wrong.
        reason: String,
    },
    /// A block.
    #[error("block {height}: {reason}")]
    Block {
        /// Its height.
        height: u64,
        /// What is wrong.
        reason: String,
    },
    /// A certificate.
    #[error("certificate of block {height}: {reason}")]
    Certificate {
        /// The height of its block.
        height: u64,
        /// What is wrong.
        reason: String,
    },
    /// The bytes of an attachment.
    #[error("attachment {digest}: {reason}")]
    Attachment {
        /// Its hash.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// An entry of any other table.
    #[error("entry `{key}` of table {table}: {reason}")]
    Entry {
        /// Name of the table.
        table: &'static str,
        /// The key in hex.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Blocks read.
    pub blocks: u64,
    /// Certificates read.
    pub certificates: u64,
    /// Attachments whose bytes are there, once for each block that names them.
    pub attachments: u64,
    /// Transactions in the index.
    pub transactions: u64,
    /// Replies read.
    pub replies: u64,
    /// Complete snapshots.
    pub snapshots: u64,
    /// What is damaged, a thousand at most.
    pub damages: Vec<Damage>,
    /// How many more there are.
    pub damages_left_off: u64,
}

impl CheckReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.damages.is_empty()
    }
}

impl LedgerStore {
    /// Reads and compares everything; `progress` hears how many blocks of how many are done. Writers have to wait.
    ///
    /// # Errors
    /// The store cannot be read at all: a failed disk, or an earlier failed write. Damage is no error, but in the report.
    pub fn check(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, StoreError> {
        let _one = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        let mut check = Check {
            ledger: self,
            report: CheckReport::default(),
            digests: 0,
            transactions: 0,
        };
        let verified = self.store.verify();
        check.expect(verified, store)?;
        check.heights()?;
        check.blocks(progress)?;
        check.certificates_without_blocks()?;
        check.strays(Table::Digests, check.digests)?;
        check.strays(Table::Transactions, check.transactions)?;
        check.attachments()?;
        check.replies()?;
        check.snapshots()?;
        for table in [Table::Metadata, Table::Facts, Table::Presence] {
            check.each(table, |_, _, _| Ok(()))?;
        }
        Ok(check.report)
    }
}

struct Check<'a> {
    ledger: &'a LedgerStore,
    report: CheckReport,
    /// Entries of the indexes that blocks account for.
    digests: u64,
    transactions: u64,
}

fn store(reason: String) -> Damage {
    Damage::Store { reason }
}

fn entry(table: Table, key: &[u8], reason: impl Into<String>) -> Damage {
    Damage::Entry {
        table: table.name(),
        key: hex(key),
        reason: reason.into(),
    }
}

fn block_damage(height: u64, reason: impl Into<String>) -> Damage {
    Damage::Block {
        height,
        reason: reason.into(),
    }
}

/// Why an entry is damaged, without the place, which the damage itself names.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { .. } => "its checksum or form is wrong".to_owned(),
        StoreError::DamagedAt { reason, .. } | StoreError::Corrupt { reason, .. } => reason.clone(),
        StoreError::MissingAt { .. } => "it is gone".to_owned(),
        other => other.to_string(),
    }
}

impl Check<'_> {
    fn add(&mut self, damage: Damage) {
        if self.report.damages.len() < DAMAGES_MAX {
            self.report.damages.push(damage);
        } else {
            self.report.damages_left_off = self.report.damages_left_off.saturating_add(1);
        }
    }

    /// Takes what was read; damage goes into the report, any other failure ends the check.
    fn expect<T>(
        &mut self,
        read: Result<T, StoreError>,
        damage: impl FnOnce(String) -> Damage,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_damage() => {
                self.add(damage(reason(&error)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes over the keys of a table; false if its end could not be reached.
    fn keys(
        &mut self,
        table: Table,
        mut take: impl FnMut(&mut Self, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let keys = self.ledger.store.keys(table, &from, SCAN_ENTRIES);
            let Some(keys) = self.expect(keys, |reason| entry(table, &from, reason))? else {
                return Ok(());
            };
            for key in &keys {
                take(self, key)?;
            }
            match keys.last() {
                Some(last) if keys.len() == SCAN_ENTRIES => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }

    /// Reads every entry of a table.
    fn each(
        &mut self,
        table: Table,
        mut take: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.keys(table, |check, key| {
            let read = check.ledger.store.get(table, key);
            match check.expect(read, |reason| entry(table, key, reason))? {
                Some(Some(value)) => take(check, key, &value),
                Some(None) => {
                    check.add(entry(table, key, "it is listed and cannot be found"));
                    Ok(())
                }
                None => Ok(()),
            }
        })
    }

    /// The bitmaps say what is there.
    fn heights(&mut self) -> Result<(), StoreError> {
        let stored = load_heights(self.ledger.store.as_ref());
        let stored = self.expect(stored, |reason| entry(Table::Presence, &[], reason))?;
        if stored.is_some_and(|stored| !self.ledger.with_heights(|known| *known == stored)) {
            self.add(entry(
                Table::Presence,
                &[],
                "it has changed since the start",
            ));
        }
        for (table, kind) in [
            (Table::Blocks, Kind::Blocks),
            (Table::Certificates, Kind::Certificates),
        ] {
            self.keys(table, |check, key| {
                let height = <[u8; 8]>::try_from(key).ok().map(u64::from_be_bytes);
                let listed = height.is_some_and(|height| match kind {
                    Kind::Blocks => check.ledger.has_block(height),
                    Kind::Certificates => check.ledger.has_certificate(height),
                });
                if !listed {
                    check.add(entry(table, key, "the bitmap of heights does not list it"));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn blocks(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
        let heights = self.ledger.block_heights();
        let total = heights.ranges_from(0).map(|(first, last)| {
            let length = last.saturating_sub(first);
            length.saturating_add(1)
        });
        let total = total.fold(0_u64, u64::saturating_add);
        let mut done = 0_u64;
        for (first, last) in heights.ranges_from(0) {
            let mut parent: Option<Header> = None;
            for height in first..=last {
                let read = self.ledger.block_alone(height);
                let read = self.expect(read, |reason| block_damage(height, reason))?;
                let block = read.flatten();
                if let Some(block) = &block {
                    self.block(block, parent.as_ref())?;
                }
                parent = block.map(|block| block.header);
                done = done.saturating_add(1);
                progress(done, total);
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, parent: Option<&Header>) -> Result<(), StoreError> {
        let (height, digest) = (block.height(), block.digest());
        self.report.blocks = self.report.blocks.saturating_add(1);
        if parent.is_some_and(|parent| parent.digest() != block.header.parent) {
            self.add(block_damage(height, "it does not follow the one before it"));
        }
        let index = self.ledger.height_of(&digest);
        let damage = |reason| entry(Table::Digests, digest.as_bytes(), reason);
        if let Some(index) = self.expect(index, damage)? {
            if index == Some(height) {
                self.digests = self.digests.saturating_add(1);
            } else {
                self.add(block_damage(height, "its digest does not lead to it"));
            }
        }
        let ids: BTreeSet<Digest> = block.transactions.iter().map(|one| one.id()).collect();
        for id in ids {
            self.transaction(height, id)?;
        }
        for attachment in &block.attachments {
            self.attachment(attachment.digest())?;
        }
        self.certificate(height, Some(digest))
    }

    fn transaction(&mut self, height: u64, id: Digest) -> Result<(), StoreError> {
        let index = self.ledger.height_of_transaction(&id);
        let damage = |reason| entry(Table::Transactions, id.as_bytes(), reason);
        let Some(index) = self.expect(index, damage)? else {
            return Ok(());
        };
        match index {
            Some(first) if first == height => {
                self.transactions = self.transactions.saturating_add(1);
                return Ok(());
            }
            // A copy: the index leads to an earlier block, which lists it too.
            Some(first) if first < height => {
                let earlier = self.ledger.block_alone(first);
                let earlier = self.expect(earlier, |reason| block_damage(first, reason))?;
                let lists = |block: Block| block.transactions.iter().any(|one| one.id() == id);
                if earlier.is_none_or(|block| block.is_none_or(lists)) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.add(entry(
            Table::Transactions,
            id.as_bytes(),
            format!("it does not lead to block {height}"),
        ));
        Ok(())
    }

    fn attachment(&mut self, digest: Digest) -> Result<(), StoreError> {
        let damage = |reason| Damage::Attachment { digest, reason };
        let bytes = self.ledger.attachment(&digest);
        let Some(bytes) = self.expect(bytes, damage)? else {
            return Ok(());
        };
        let absent = self.ledger.is_absent(&digest);
        let damage = |reason| entry(Table::Absent, digest.as_bytes(), reason);
        let Some(absent) = self.expect(absent, damage)? else {
            return Ok(());
        };
        let wrong = match (bytes.is_some(), absent) {
            (true, false) => {
                self.report.attachments = self.report.attachments.saturating_add(1);
                return Ok(());
            }
            (false, true) => return Ok(()),
            (false, false) => "it is gone, and nobody erased it",
            (true, true) => "it is there, and noted as absent",
        };
        self.add(Damage::Attachment {
            digest,
            reason: wrong.to_owned(),
        });
        Ok(())
    }

    fn certificate(&mut self, height: u64, block: Option<Digest>) -> Result<(), StoreError> {
        let damage = |reason| Damage::Certificate { height, reason };
        let certificate = self.ledger.certificate(height);
        let Some(Some(certificate)) = self.expect(certificate, damage)? else {
            return Ok(());
        };
        self.report.certificates = self.report.certificates.saturating_add(1);
        if block.is_some_and(|block| block != certificate.block) {
            self.add(Damage::Certificate {
                height,
                reason: "it is about another block".to_owned(),
            });
        }
        Ok(())
    }

    fn certificates_without_blocks(&mut self) -> Result<(), StoreError> {
        for (first, last) in self.ledger.certificate_heights().ranges_from(0) {
            for height in (first..=last).filter(|height| !self.ledger.has_block(*height)) {
                self.certificate(height, None)?;
            }
        }
        Ok(())
    }

    /// Counts an index, and looks for what does not belong there if the blocks do not account for all of it.
    fn strays(&mut self, table: Table, expected: u64) -> Result<(), StoreError> {
        let mut found = 0_u64;
        self.keys(table, |_, _| {
            found = found.saturating_add(1);
            Ok(())
        })?;
        if table == Table::Transactions {
            self.report.transactions = found;
        }
        if found == expected {
            return Ok(());
        }
        self.each(table, |check, key, value| {
            let height = <[u8; 8]>::try_from(value).ok().map(u64::from_be_bytes);
            let (Some(height), Ok(digest)) = (height, <[u8; 32]>::try_from(key)) else {
                check.add(entry(table, key, "its form is wrong"));
                return Ok(());
            };
            let digest = Digest(digest);
            // A damaged block has been named already; replies may come before the block they belong to.
            let Ok(Some(block)) = check.ledger.block_alone(height) else {
                if table == Table::Digests && !check.ledger.has_block(height) {
                    check.add(entry(table, key, "it leads to no block"));
                }
                return Ok(());
            };
            let belongs = match table {
                Table::Digests => block.digest() == digest,
                _ => block.transactions.iter().any(|one| one.id() == digest),
            };
            if !belongs {
                check.add(entry(
                    table,
                    key,
                    format!("it does not belong to block {height}"),
                ));
            }
            Ok(())
        })
    }

    /// Attachments that no block names yet, and the notes of absent ones.
    fn attachments(&mut self) -> Result<(), StoreError> {
        let mut kept = 0_u64;
        self.keys(Table::Attachments, |_, _| {
            kept = kept.saturating_add(1);
            Ok(())
        })?;
        if kept != self.report.attachments {
            self.each(Table::Attachments, |check, key, _| {
                let Ok(digest) = <[u8; 32]>::try_from(key) else {
                    check.add(entry(Table::Attachments, key, "its key is not a hash"));
                    return Ok(());
                };
                let digest = Digest(digest);
                let read = check.ledger.attachment(&digest);
                check.expect(read, |reason| Damage::Attachment { digest, reason })?;
                Ok(())
            })?;
        }
        self.each(Table::Absent, |check, key, value| {
            if key.len() != 32 || !value.is_empty() {
                check.add(entry(Table::Absent, key, "its form is wrong"));
            }
            Ok(())
        })
    }

    fn replies(&mut self) -> Result<(), StoreError> {
        self.each(Table::Replies, |check, key, value| {
            let damage = |reason| entry(Table::Replies, key, reason);
            let Some((height, ids)) = check.expect(replies::contents(key, value), damage)? else {
                return Ok(());
            };
            for id in ids {
                check.report.replies = check.report.replies.saturating_add(1);
                let index = check.ledger.height_of_transaction(&id);
                let damage = |reason| entry(Table::Transactions, id.as_bytes(), reason);
                let Some(index) = check.expect(index, damage)? else {
                    continue;
                };
                if index.is_none_or(|first| first > height) {
                    check.add(entry(
                        Table::Transactions,
                        id.as_bytes(),
                        format!("a reply at height {height} cannot be found by it"),
                    ));
                }
            }
            Ok(())
        })
    }

    fn snapshots(&mut self) -> Result<(), StoreError> {
        let mut complete = Vec::new();
        self.each(Table::Snapshots, |check, key, _| {
            let damage = |reason| entry(Table::Snapshots, key, reason);
            let height = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
            let Ok(height) = height else {
                check.add(damage("its key is not a height".to_owned()));
                return Ok(());
            };
            let parts = check.ledger.snapshot_parts(height);
            if let Some(Some((pieces, _))) = check.expect(parts, damage)? {
                complete.push((height, pieces));
            }
            Ok(())
        })?;
        self.report.snapshots = complete.len() as u64;
        for (height, pieces) in complete {
            for index in 0..pieces {
                if !self.ledger.has_snapshot_piece(height, index)? {
                    let reason = format!("piece {index} is gone");
                    self.add(entry(Table::Snapshots, &height.to_be_bytes(), reason));
                }
            }
        }
        self.each(Table::SnapshotPieces, |_, _, _| Ok(()))
    }
}
