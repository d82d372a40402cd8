//! The narrow trait that a storage engine implements, and what goes through it.

/// The largest value that an engine accepts, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;
/// The largest value of a table of small ones, in bytes.
pub const SMALL_VALUE_BYTES: usize = 32;
/// The longest key that an engine accepts, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The tables of the store. The number is the first byte of a key on disk and never changes its
/// meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Finalized blocks without attachment bytes, by height.
    Blocks = 1,
    /// Finality certificates, by height.
    Certificates = 2,
    /// Sealed attachments, by their hash.
    Attachments = 3,
    /// Small named values of the node.
    Metadata = 4,
    /// Heights of blocks, by digest.
    Digests = 5,
    /// Bitmaps that say which heights are stored, so that opening need not read every block.
    Presence = 6,
    /// Sealed pieces of snapshots, by height and index.
    SnapshotPieces = 7,
    /// Manifests of complete snapshots, by height.
    Snapshots = 8,
    /// Heights of blocks, by the id of a transaction that they list.
    Transactions = 9,
    /// Sealed replies, those of a block together.
    Replies = 10,
    /// Hashes of attachments whose bytes are not kept: erased, or never received.
    Absent = 11,
    /// What holds for the ledger as a whole, by fixed words.
    Facts = 12,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 12] = [
        Self::Blocks,
        Self::Certificates,
        Self::Attachments,
        Self::Metadata,
        Self::Digests,
        Self::Presence,
        Self::SnapshotPieces,
        Self::Snapshots,
        Self::Transactions,
        Self::Replies,
        Self::Absent,
        Self::Facts,
    ];

    /// The byte that keys of this table begin with.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self as u8
    }

    /// Whether its values are at most [`SMALL_VALUE_BYTES`] long, so that an engine never cuts them and need not look
    /// for the rest of an earlier one.
    #[must_use]
    pub const fn is_small(self) -> bool {
        matches!(self, Self::Digests | Self::Transactions | Self::Absent)
    }

    /// Whether its values lie outside the engine, in a file each. They are large and many: a batch sets one of them and
    /// changes nothing else, or deletes some of them and changes nothing else.
    #[must_use]
    pub const fn is_outside(self) -> bool {
        matches!(self, Self::SnapshotPieces)
    }

    /// The largest value of this table, in bytes.
    #[must_use]
    pub const fn value_bytes_max(self) -> usize {
        if self.is_small() {
            SMALL_VALUE_BYTES
        } else {
            MAX_VALUE_BYTES
        }
    }

    /// The table's name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Certificates => "certificates",
            Self::Attachments => "attachments",
            Self::Metadata => "metadata",
            Self::Digests => "digests",
            Self::Presence => "presence",
            Self::SnapshotPieces => "snapshot pieces",
            Self::Snapshots => "snapshots",
            Self::Transactions => "transactions",
            Self::Replies => "replies",
            Self::Absent => "absent",
            Self::Facts => "facts",
        }
    }
}

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store could not be opened.
    #[error("cannot open the store at `{path}`: {reason}; is another node using it?")]
    Open {
        /// Where the store is.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// The folder holds a store of another engine.
    #[error(
        "the store at `{path}` was made by {found}, and {asked} was asked for; name {found} in the configuration, or \
         move the folder away and let the node fetch the ledger anew"
    )]
    Engine {
        /// Where the store is.
        path: String,
        /// The engine whose files lie there.
        found: &'static str,
        /// The engine that was asked for.
        asked: &'static str,
    },
    /// The files of the store are not what was written, or a part of them is gone.
    #[error("the store at `{path}` is damaged: {reason}; restore it from a backup or from peers")]
    Corrupt {
        /// Where the store is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A read failed.
    #[error("cannot read from the store: {0}")]
    Read(String),
    /// A write failed; the store is not used again.
    #[error("cannot write to the store: {0}")]
    Write(String),
    /// An earlier write failed.
    #[error("the store is closed because an earlier write failed; restart the node to recover")]
    Poisoned,
    /// An entry is not what was written.
    #[error("entry `{key}` of table {table} is damaged; restore it from a backup or from a peer")]
    Damaged {
        /// Name of the table.
        table: &'static str,
        /// The key in hex.
        key: String,
    },
    /// The block or certificate of a height is not what was written.
    #[error("{what} at height {height} is damaged: {reason}")]
    DamagedAt {
        /// `block`, `certificate`, or what else belongs to a height.
        what: &'static str,
        /// The height.
        height: u64,
        /// What is wrong.
        reason: String,
    },
    /// The block or certificate of a height was stored once and is gone.
    #[error("{what} at height {height} is missing from the store")]
    MissingAt {
        /// `block`, `certificate`, or what else belongs to a height.
        what: &'static str,
        /// The height.
        height: u64,
    },
    /// Another block than the one already stored at this height.
    #[error("another {what} is already stored at height {height}")]
    Conflict {
        /// `block`, `certificate`, or what else belongs to a height.
        what: &'static str,
        /// The height.
        height: u64,
    },
    /// A key or value that is larger than allowed.
    #[error("{what} of {size} bytes is larger than {limit}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// What was offered.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A batch that sets an entry of a table whose values lie outside the engine, or deletes some, and changes more.
    #[error("an entry of table {0} changes in a batch of its own")]
    Alone(&'static str),
}

impl StoreError {
    /// Whether what was written is not there any more as it was: the store should be moved aside and filled anew.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Damaged { .. }
                | Self::DamagedAt { .. }
                | Self::MissingAt { .. }
        )
    }
}

/// One change within a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Set a key.
    Put {
        /// The table.
        table: Table,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Remove a key.
    Delete {
        /// The table.
        table: Table,
        /// The key.
        key: Vec<u8>,
    },
}

impl Operation {
    /// The table that it is about.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }
}

/// Changes that take effect together. A later change of the same key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            operations: Vec::new(),
        }
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.push(Operation::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.operations.push(Operation::Delete {
            table,
            key: key.into(),
        });
    }

    /// Whether nothing would change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The changes in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Checks the limits, which every engine does before it touches anything.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Alone`].
    pub fn check(&self) -> Result<(), StoreError> {
        let mut outside = self
            .operations
            .iter()
            .filter(|operation| operation.table().is_outside());
        if let Some(first) = outside.clone().next() {
            let deleted = outside.all(|one| matches!(one, Operation::Delete { .. }));
            let alone = self.operations.iter().all(|one| one.table().is_outside());
            if self.operations.len() > 1 && !(alone && deleted) {
                return Err(StoreError::Alone(first.table().name()));
            }
        }
        let within = |what, size, limit| {
            if size > limit {
                Err(StoreError::TooLarge { what, size, limit })
            } else {
                Ok(())
            }
        };
        for operation in &self.operations {
            match operation {
                Operation::Put { table, key, value } => {
                    within("key", key.len(), MAX_KEY_BYTES)?;
                    within("value", value.len(), table.value_bytes_max())?;
                }
                Operation::Delete { key, .. } => within("key", key.len(), MAX_KEY_BYTES)?,
            }
        }
        Ok(())
    }
}

/// A key with its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A storage engine.
pub trait Store: Send + Sync + 'static {
    /// Applies all changes of a batch, or none, and returns when they would survive a loss of
    /// power. Of deletions outside the engine a crash may leave some undone.
    ///
    /// # Errors
    /// Over a limit (the store stays usable), or a failed write (it does not).
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// The value of a key.
    ///
    /// # Errors
    /// A failed read, or a damaged entry.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries of a table in the order of their keys, beginning with the first key
    /// not below `from_key`.
    ///
    /// # Errors
    /// A failed read, or a damaged entry.
    fn scan(&self, table: Table, from_key: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The keys of [`Store::scan`], for those who do not want the values.
    ///
    /// # Errors
    /// A failed read, or a damaged entry; an engine that leaves the values alone does not see their damage.
    fn keys(
        &self,
        table: Table,
        from_key: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let entries = self.scan(table, from_key, limit)?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    /// Compares whatever checksums the engine keeps besides those of the values. Reading every entry is the caller's
    /// part.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or a failed read.
    fn verify(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
