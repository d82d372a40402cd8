//! The engine's archives of finalized blocks and certificates, on our [`LedgerStore`].
//!
//! The engine buffers writes and then asks for a sync of both archives. Here both share one buffer
//! and one writer thread, which puts everything that waits into one commit: a block and its
//! certificate cost one sync of the disk.
//!
//! INVARIANT: what was put can be read at once, from the buffer until its commit, from the store
//! afterwards.
//!
//! A simulated node has no threads, so there every sync commits at once.
//!
//! A ledger that begins at a floor shows the engine nothing below it, whatever the store holds.
//!
//! After a failed commit every later sync fails, the engine stops, and the node reports it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use commonware_consensus::Heightable as _;
use commonware_consensus::marshal::store::{Blocks, Certificates};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch, Height};
use commonware_runtime::Handle;
use commonware_storage::archive::Identifier;
use commonware_utils::channel::oneshot;
use sealbook_ledger::FinalityCertificate;
use sealbook_primitives::hash::Digest;
use sealbook_store::{HeightSet, LedgerStore, StoreError};

use crate::block::{EngineDigest, OrderedBlock, from_engine};
use crate::certificate::{EngineFinalization, to_engine_form, to_ledger};
use crate::committee::Committees;

/// Blocks in one commit at most; also bounds what one commit holds in memory.
const COMMIT_BLOCKS: usize = 64;

/// Why an archive failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the archive's writer has stopped")]
    Stopped,
    #[error("the certificate of height {0} does not fit its committee")]
    Certificate(u64),
    #[error("the sync of the archive failed: {0}")]
    Sync(#[from] commonware_runtime::Error),
}

type Answer = oneshot::Sender<Result<(), commonware_runtime::Error>>;

#[derive(Default)]
struct Buffer {
    blocks: BTreeMap<u64, Arc<OrderedBlock>>,
    heights: BTreeMap<Digest, u64>,
    certificates: BTreeMap<u64, FinalityCertificate>,
    /// Heights that no sync was asked for yet.
    new_blocks: VecDeque<u64>,
    new_certificates: VecDeque<u64>,
}

/// What one sync covers.
struct Job {
    blocks: Vec<u64>,
    certificates: Vec<u64>,
    answer: Answer,
}

/// Who commits.
enum Writer {
    Thread(mpsc::Sender<Job>),
    /// Whoever asks for a sync; with the failure of an earlier one.
    Caller(Mutex<Option<StoreError>>),
}

struct Shared {
    store: Arc<LedgerStore>,
    buffer: Mutex<Buffer>,
    writer: Writer,
    committees: Committees,
    /// The lowest height of this ledger.
    floor: u64,
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands everything that waits to the writer; the handle resolves when it and everything before
    /// it is durable.
    fn start_sync(&self) -> Result<Handle<()>, ArchiveError> {
        let (answer, durable) = oneshot::channel();
        let mut buffer = self.buffer();
        let job = Job {
            blocks: buffer.new_blocks.drain(..).collect(),
            certificates: buffer.new_certificates.drain(..).collect(),
            answer,
        };
        match &self.writer {
            Writer::Thread(jobs) => {
                // Sent under the lock, so that the order of jobs is the order of writes.
                jobs.send(job).map_err(|_| ArchiveError::Stopped)?;
                drop(buffer);
            }
            Writer::Caller(failure) => {
                drop(buffer);
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                finish(self, vec![job], &mut failure);
            }
        }
        Ok(Handle::from_receiver(durable))
    }
}

/// Both archives.
pub(crate) type Archives = (BlockArchive, CertificateArchive);

/// Opens both archives of a ledger that begins at `floor`. Every sync commits at once.
pub(crate) fn open_inline(store: Arc<LedgerStore>, committees: Committees, floor: u64) -> Archives {
    archives(store, committees, floor, Writer::Caller(Mutex::new(None)))
}

/// Opens both archives of a ledger that begins at `floor` and starts their writer, which ends when
/// both are dropped.
pub(crate) fn open(
    store: Arc<LedgerStore>,
    committees: Committees,
    floor: u64,
) -> std::io::Result<(Archives, JoinHandle<()>)> {
    let (jobs, queue) = mpsc::channel();
    let archives = archives(store, committees, floor, Writer::Thread(jobs));
    // Weak, or the writer would keep its own queue open.
    let writer = Arc::downgrade(&archives.0.shared);
    let thread = std::thread::Builder::new().name("sealbook-archive".to_owned());
    let thread = thread.spawn(move || {
        let mut failure = None;
        while let Ok(first) = queue.recv() {
            let Some(shared) = writer.upgrade() else {
                break;
            };
            write(&shared, first, &queue, &mut failure);
        }
    })?;
    Ok((archives, thread))
}

fn archives(
    store: Arc<LedgerStore>,
    committees: Committees,
    floor: u64,
    writer: Writer,
) -> Archives {
    let block_heights = Heights::new(store.block_heights(), floor);
    let certificate_heights = Heights::new(store.certificate_heights(), floor);
    let shared = Arc::new(Shared {
        store,
        buffer: Mutex::default(),
        writer,
        committees,
        floor,
    });
    let blocks = BlockArchive {
        shared: shared.clone(),
        heights: block_heights,
    };
    let certificates = CertificateArchive {
        shared,
        heights: certificate_heights,
    };
    (blocks, certificates)
}

/// The heights from a floor on.
struct Heights {
    set: HeightSet,
    floor: u64,
}

impl Heights {
    const fn new(set: HeightSet, floor: u64) -> Self {
        Self { set, floor }
    }

    fn contains(&self, height: u64) -> bool {
        height >= self.floor && self.set.contains(height)
    }

    fn insert(&mut self, height: u64) {
        self.set.insert(height);
    }

    fn last(&self) -> Option<u64> {
        self.set.last().filter(|last| *last >= self.floor)
    }

    fn missing(&self, start: u64, max: usize) -> Vec<u64> {
        self.set.missing(start.max(self.floor), max)
    }

    fn next_gap(&self, value: u64) -> (Option<u64>, Option<u64>) {
        if value < self.floor {
            return (None, self.set.first_at_or_after(self.floor));
        }
        self.set.next_gap(value)
    }

    fn ranges_from(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let floor = self.floor;
        let ranges = self.set.ranges_from(from.max(floor));
        ranges.map(move |(first, last)| (first.max(floor), last))
    }
}

/// Commits one job and whatever else waits by now.
fn write(
    shared: &Shared,
    first: Job,
    queue: &mpsc::Receiver<Job>,
    failure: &mut Option<StoreError>,
) {
    let mut jobs = vec![first];
    let blocks = |jobs: &[Job]| jobs.iter().map(|job| job.blocks.len()).sum::<usize>();
    while blocks(&jobs) < COMMIT_BLOCKS {
        match queue.try_recv() {
            Ok(job) => jobs.push(job),
            Err(_) => break,
        }
    }
    finish(shared, jobs, failure);
}

/// Commits jobs and answers them.
fn finish(shared: &Shared, jobs: Vec<Job>, failure: &mut Option<StoreError>) {
    if failure.is_none() {
        *failure = commit(shared, &jobs).err();
        if let Some(error) = failure {
            tracing::error!(%error, "finalized blocks cannot be stored");
        }
    }
    for job in jobs {
        let result = match failure {
            None => Ok(()),
            Some(_) => Err(commonware_runtime::Error::WriteFailed),
        };
        // The engine may be gone already.
        let _ = job.answer.send(result);
    }
}

fn commit(shared: &Shared, jobs: &[Job]) -> Result<(), StoreError> {
    let block_heights: Vec<u64> = jobs
        .iter()
        .flat_map(|job| job.blocks.iter().copied())
        .collect();
    let certificate_heights: Vec<u64> = jobs
        .iter()
        .flat_map(|job| job.certificates.iter().copied())
        .collect();
    let (blocks, certificates) = {
        let buffer = shared.buffer();
        let blocks: Vec<Arc<OrderedBlock>> = block_heights
            .iter()
            .filter_map(|height| buffer.blocks.get(height))
            .cloned()
            .collect();
        let certificates: Vec<(u64, FinalityCertificate)> = certificate_heights
            .iter()
            .filter_map(|height| {
                buffer
                    .certificates
                    .get(height)
                    .map(|one| (*height, one.clone()))
            })
            .collect();
        (blocks, certificates)
    };
    let block_references: Vec<_> = blocks.iter().map(|block| block.block().as_ref()).collect();
    let certificate_references: Vec<_> = certificates
        .iter()
        .map(|(height, certificate)| (*height, certificate))
        .collect();
    shared
        .store
        .put_final(&block_references, &certificate_references)?;
    let mut buffer = shared.buffer();
    for block in blocks {
        buffer.heights.remove(&block.block().digest());
        buffer.blocks.remove(&block.block().height());
    }
    for (height, _) in certificates {
        buffer.certificates.remove(&height);
    }
    Ok(())
}

/// Finalized blocks.
pub(crate) struct BlockArchive {
    shared: Arc<Shared>,
    heights: Heights,
}

impl BlockArchive {
    fn read(
        &self,
        id: &Identifier<'_, EngineDigest>,
    ) -> Result<Option<Arc<OrderedBlock>>, ArchiveError> {
        let store = &self.shared.store;
        let stored = match id {
            Identifier::Index(height) if *height < self.shared.floor => None,
            Identifier::Index(height) => {
                if let Some(block) = self.shared.buffer().blocks.get(height) {
                    return Ok(Some(block.clone()));
                }
                store.block(*height)?
            }
            Identifier::Key(digest) => {
                let digest = from_engine(digest);
                let buffer = self.shared.buffer();
                let waiting = buffer
                    .heights
                    .get(&digest)
                    .and_then(|at| buffer.blocks.get(at));
                if let Some(block) = waiting {
                    return Ok(Some(block.clone()));
                }
                drop(buffer);
                store.block_by_digest(&digest)?
            }
        };
        Ok(stored.map(OrderedBlock::new).map(Arc::new))
    }
}

impl Blocks for BlockArchive {
    type Block = Arc<OrderedBlock>;
    type Error = ArchiveError;

    async fn put(
        mut self,
        digest: EngineDigest,
        block: &Arc<OrderedBlock>,
    ) -> Result<Self, ArchiveError> {
        let height = block.height().get();
        if !self.heights.contains(height) {
            let mut buffer = self.shared.buffer();
            buffer.heights.insert(from_engine(&digest), height);
            buffer.blocks.insert(height, block.clone());
            buffer.new_blocks.push_back(height);
            drop(buffer);
            self.heights.insert(height);
        }
        Ok(self)
    }

    async fn sync(self) -> Result<Self, ArchiveError> {
        self.shared.start_sync()?.await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), ArchiveError> {
        let handle = self.shared.start_sync()?;
        Ok((self, handle))
    }

    fn get(
        &self,
        id: Identifier<'_, EngineDigest>,
    ) -> impl Future<Output = Result<Option<Arc<OrderedBlock>>, ArchiveError>> + Send {
        std::future::ready(self.read(&id))
    }

    async fn prune(self, _: Height) -> Result<Self, ArchiveError> {
        // The ledger keeps every block.
        Ok(self)
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        self.heights
            .missing(start.get(), max)
            .into_iter()
            .map(Height::new)
            .collect()
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        let (end, next) = self.heights.next_gap(value.get());
        (end.map(Height::new), next.map(Height::new))
    }

    fn last_index(&self) -> Option<Height> {
        self.heights.last().map(Height::new)
    }
}

/// Finality certificates.
pub(crate) struct CertificateArchive {
    shared: Arc<Shared>,
    heights: Heights,
}

impl CertificateArchive {
    fn read(
        &self,
        id: &Identifier<'_, EngineDigest>,
    ) -> Result<Option<EngineFinalization>, ArchiveError> {
        let height = match id {
            Identifier::Index(height) => *height,
            Identifier::Key(digest) => {
                let digest = from_engine(digest);
                let waiting = self.shared.buffer().heights.get(&digest).copied();
                let stored = || self.shared.store.height_of(&digest);
                match waiting.map_or_else(stored, |height| Ok(Some(height)))? {
                    Some(height) => height,
                    None => return Ok(None),
                }
            }
        };
        let waiting = self.shared.buffer().certificates.get(&height).cloned();
        let certificate = match waiting {
            Some(certificate) => Some(certificate),
            None if height < self.shared.floor => None,
            None => self.shared.store.certificate(height)?,
        };
        let Some(certificate) = certificate else {
            return Ok(None);
        };
        let members = self
            .shared
            .committees
            .size_of(Epoch::new(certificate.epoch));
        members
            .and_then(|members| to_engine_form(&certificate, members))
            .map(Some)
            .ok_or(ArchiveError::Certificate(height))
    }
}

impl Certificates for CertificateArchive {
    type BlockDigest = EngineDigest;
    type Commitment = EngineDigest;
    type Scheme = Scheme;
    type Error = ArchiveError;

    async fn put(
        mut self,
        height: Height,
        _: EngineDigest,
        finalization: &EngineFinalization,
    ) -> Result<Self, ArchiveError> {
        let height = height.get();
        if !self.heights.contains(height) {
            let certificate = to_ledger(finalization).ok_or(ArchiveError::Certificate(height))?;
            let mut buffer = self.shared.buffer();
            buffer.certificates.insert(height, certificate);
            buffer.new_certificates.push_back(height);
            drop(buffer);
            self.heights.insert(height);
        }
        Ok(self)
    }

    async fn sync(self) -> Result<Self, ArchiveError> {
        self.shared.start_sync()?.await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), ArchiveError> {
        let handle = self.shared.start_sync()?;
        Ok((self, handle))
    }

    fn get(
        &self,
        id: Identifier<'_, EngineDigest>,
    ) -> impl Future<Output = Result<Option<EngineFinalization>, ArchiveError>> + Send {
        std::future::ready(self.read(&id))
    }

    async fn has(&self, height: Height) -> Result<bool, ArchiveError> {
        Ok(self.heights.contains(height.get()))
    }

    async fn prune(self, _: Height) -> Result<Self, ArchiveError> {
        // The ledger keeps every certificate.
        Ok(self)
    }

    fn last_index(&self) -> Option<Height> {
        self.heights.last().map(Height::new)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        self.heights
            .ranges_from(from.get())
            .map(|(first, last)| (Height::new(first), Height::new(last)))
    }
}
