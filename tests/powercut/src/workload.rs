//! What the writer commits: batches that follow from a seed, so that whoever checks knows what must be there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use sealbook_primitives::hash::{Digest, Hasher, hash};
use sealbook_store::{Batch, Engine, Operation, Store, Table, open_store};

/// What holds the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A store of ours.
    Store(Engine),
    /// sled as it comes, with nothing but its own `flush`.
    PlainSled,
}

impl Subject {
    /// The subject with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "plain-sled" => Some(Self::PlainSled),
            name => name.parse().ok().map(Self::Store),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store(engine) => engine.name(),
            Self::PlainSled => "plain-sled",
        }
    }

    /// Opens or creates it in a folder.
    ///
    /// # Errors
    /// It does not open.
    pub fn open(self, folder: &Path) -> io::Result<Opened> {
        Ok(match self {
            Self::Store(engine) => {
                Opened::Store(open_store(engine, folder).map_err(io::Error::other)?)
            }
            Self::PlainSled => {
                let config = sled::Config::default().path(folder).flush_every_ms(None);
                Opened::PlainSled(config.open()?)
            }
        })
    }
}

/// All that a subject holds.
pub type Contents = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// An open subject.
pub enum Opened {
    /// A store of ours.
    Store(Arc<dyn Store>),
    /// sled as it comes.
    PlainSled(sled::Db),
}

impl Opened {
    /// Commits a batch; on return it is acknowledged.
    ///
    /// # Errors
    /// The write failed.
    pub fn commit(&self, batch: Batch) -> io::Result<()> {
        match self {
            Self::Store(store) => store.commit(batch).map_err(io::Error::other),
            Self::PlainSled(database) => {
                let mut physical = sled::Batch::default();
                for operation in batch.operations() {
                    match operation {
                        Operation::Put { table, key, value } => {
                            physical.insert([&[table.prefix()], &key[..]].concat(), &value[..]);
                        }
                        Operation::Delete { table, key } => {
                            physical.remove([&[table.prefix()], &key[..]].concat());
                        }
                    }
                }
                database.apply_batch(physical)?;
                database.flush()?;
                Ok(())
            }
        }
    }

    /// Everything that it holds.
    ///
    /// # Errors
    /// A read failed, or an entry is damaged.
    pub fn contents(&self) -> io::Result<Contents> {
        let mut contents = Contents::new();
        for table in Table::ALL {
            match self {
                Self::Store(store) => {
                    let entries = store.scan(table, &[], 10_000).map_err(io::Error::other)?;
                    contents.extend(
                        entries
                            .into_iter()
                            .map(|(key, value)| ((table, key), value)),
                    );
                }
                Self::PlainSled(database) => {
                    for entry in database.scan_prefix([table.prefix()]) {
                        let (key, value) = entry?;
                        let key = key.get(1..).unwrap_or_default().to_vec();
                        contents.insert((table, key), value.to_vec());
                    }
                }
            }
        }
        Ok(contents)
    }
}

/// The key under which a batch leaves its number; those that set a value outside the engine begin the value with it.
const COUNTER: &[u8] = b"counter";
/// One batch of so many sets a value outside the engine.
const OUTSIDE: u64 = 7;

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// Begins a sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.drawn += 1;
        let (seed, drawn) = (self.seed.to_be_bytes(), self.drawn.to_be_bytes());
        let digest = hash("sealbook 2026 power cut test v1", &[&seed, &drawn]);
        let (number, _) = digest
            .as_bytes()
            .split_first_chunk::<8>()
            .unwrap_or((&[0; 8], &[]));
        u64::from_be_bytes(*number) % limit
    }
}

/// The batch with a number; the first is 1. Most batches change several tables, some set a value outside the engine.
#[must_use]
pub fn batch(seed: u64, number: u64) -> Batch {
    let mut random = Random::new(seed ^ (number << 20));
    let mut batch = Batch::new();
    if number.is_multiple_of(OUTSIDE) {
        let key = random.below(6).to_be_bytes();
        let rest = usize::try_from(random.below(90_000)).unwrap_or(0);
        let value = [&number.to_be_bytes()[..], &vec![number as u8; rest]].concat();
        batch.put(Table::SnapshotPieces, key, value);
        return batch;
    }
    for _ in 0..=random.below(5) {
        let (table, key) = place(&mut random);
        if random.below(4) == 0 {
            batch.delete(table, key);
            continue;
        }
        let size = match random.below(10) {
            0 => random.below(90_000),
            1..=3 => random.below(6_000),
            _ => random.below(300),
        };
        // Bytes that differ between batches, or an old value would pass for a new one.
        let step = random.below(250) + 1;
        let size = size.min(table.value_bytes_max() as u64);
        let value = (0..size).map(|index| ((index * step) ^ number ^ (index >> 8)) as u8);
        batch.put(table, key, value.collect::<Vec<u8>>());
    }
    batch.put(Table::Facts, COUNTER, number.to_be_bytes());
    batch
}

fn place(random: &mut Random) -> (Table, Vec<u8>) {
    let tables = [
        Table::Blocks,
        Table::Certificates,
        Table::Digests,
        Table::Replies,
    ];
    let table = usize::try_from(random.below(4)).ok();
    let table = table.and_then(|place| tables.get(place).copied());
    let key = random.below(12).to_be_bytes().to_vec();
    (table.unwrap_or(Table::Blocks), key)
}

/// The number of the last batch in there, 0 if there is none.
#[must_use]
pub fn last_batch(contents: &Contents) -> u64 {
    let counter = contents.get(&(Table::Facts, COUNTER.to_vec()));
    let outside = contents.iter();
    let outside = outside.filter(|((table, _), _)| *table == Table::SnapshotPieces);
    let all = counter.into_iter().chain(outside.map(|(_, value)| value));
    let numbers = all.filter_map(|value| value.first_chunk().copied().map(u64::from_be_bytes));
    numbers.max().unwrap_or(0)
}

/// A name for contents: equal names, equal contents.
#[must_use]
pub fn fingerprint(contents: &Contents) -> Digest {
    let mut hasher = Hasher::new("sealbook 2026 power cut contents v1");
    for ((table, key), value) in contents {
        hasher.update(&[table.prefix()]);
        hasher.update(key);
        hasher.update(value);
    }
    hasher.finish()
}

/// The fingerprints after 0, 1, 2, ... batches.
#[must_use]
pub fn fingerprints(seed: u64, batches: u64) -> Vec<Digest> {
    let mut contents = Contents::new();
    let mut all = vec![fingerprint(&contents)];
    for number in 1..=batches {
        for operation in batch(seed, number).operations() {
            match operation {
                Operation::Put { table, key, value } => {
                    contents.insert((*table, key.clone()), value.clone());
                }
                Operation::Delete { table, key } => {
                    contents.remove(&(*table, key.clone()));
                }
            }
        }
        all.push(fingerprint(&contents));
    }
    all
}
