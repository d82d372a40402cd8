//! The link to the execution module: starts the process, feeds it final blocks from the store, passes queries on.
//!
//! One thread owns the socket. It pulls blocks from the store, so that a start, a restart of a killed module and
//! daily work are the same thing: feed what is final and not yet executed. A module begins from the newest sealed
//! snapshot that it accepts, or from genesis.
//!
//! INVARIANT: the module gets blocks only together with a certificate for the last of them, all of one committee epoch;
//! it checks everything.
//! The process gets an empty environment, one socket as its standard input and `/dev/null` for the rest. Where the module has a
//! user of its own, an attendant of that user starts it so for each connection to its socket, and ends it with that.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use sealbook_ledger::SnapshotManifest;
use sealbook_protocol::client::Stage;
use sealbook_protocol::frame::{self, FrameError, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, SealedReply, SnapshotOffer, ToModule};
use sealbook_store::StoreError;
use tokio::sync::oneshot;

use crate::config::ModuleConfig;
use crate::shared::Shared;

const WORK_MAX: usize = 4_096;
const BATCH_BLOCKS_MAX: u64 = 512;
const BATCH_BYTES_MAX: usize = MODULE_FRAME_MAX / 2;
/// How long a module may take to end by itself before it is killed.
const END_CHECKS: u32 = 100;
const END_PAUSE: Duration = Duration::from_millis(10);
/// How long a module of another user may take to shut itself in: nothing else tells that it stands still.
const READY_PATIENCE: Duration = Duration::from_secs(30);
const RESTART_PAUSE: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why the module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The process could not be started.
    #[error("the execution module does not start: {0}")]
    Start(std::io::Error),
    /// A file that the module needs is not there.
    #[error("the execution module's file `{0}` is not there")]
    NoFile(String),
    /// Nobody can be reached at the socket of the module's user.
    #[error("nobody starts execution modules at `{socket}`: {error}")]
    NoAttendant {
        /// The socket.
        socket: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Somebody listens at the socket, and no module says anything.
    #[error("no execution module comes from `{socket}`: {why}")]
    TurnedAway {
        /// The socket.
        socket: String,
        /// What came instead.
        why: &'static str,
    },
    /// The process ended or broke the protocol.
    #[error("the execution module stopped answering: {0}")]
    Link(#[from] FrameError),
    /// A step of the module's lockdown does not hold on this machine, and it goes no further without.
    #[error("the execution module cannot shut itself in on this machine: {0}")]
    NotShutIn(String),
    /// The module refused the genesis document or its keys.
    #[error("the execution module refuses to run: {0}")]
    Refused(String),
    /// The module said something out of turn.
    #[error("the execution module said something out of turn")]
    Protocol,
    /// The store failed.
    #[error("the ledger cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The ledger begins after genesis and no snapshot that the module accepts is in it.
    #[error("there is no snapshot to begin from: {0}")]
    NoStart(String),
}

impl ModuleError {
    /// What an operator can do about it, where that is not said yet.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoFile(_) => Some(
                "bring it back from where it was kept; if it is lost: docs/OPERATIONS.md, keys, and docs/KEYS.md, recovery",
            ),
            Self::NoAttendant { .. } => Some(
                "the module's user must be running `sealbook-execution attend` there: docs/OPERATIONS.md, a user of its own for the module",
            ),
            Self::TurnedAway { .. } => Some(
                "`sealbook-execution attend` serves one user alone: run the node as that one; otherwise what it wrote says why no module starts",
            ),
            _ => None,
        }
    }
}

/// Work for the thread that owns the socket.
enum Work {
    NewBlocks,
    Query(Vec<u8>, oneshot::Sender<Replied>),
    Stop,
}

/// What a module says to a query.
pub enum Replied {
    /// An answer, sealed to the caller.
    Sealed(Vec<u8>),
    /// It refuses the query.
    Refused,
    /// It does not answer yet.
    NotAwake,
}

/// Asks the module from anywhere in the host.
#[derive(Clone)]
pub struct ModuleLink {
    work: SyncSender<Work>,
}

impl ModuleLink {
    /// Says that there are new final blocks in the store.
    pub fn new_blocks(&self) {
        // A full queue holds work that will look at the store anyway.
        let _ = self.work.try_send(Work::NewBlocks);
    }

    /// Asks a sealed query.
    pub async fn query(&self, envelope: Vec<u8>) -> Result<Replied, &'static str> {
        let (sender, receiver) = oneshot::channel();
        match self.work.try_send(Work::Query(envelope, sender)) {
            Ok(()) => receiver
                .await
                .map_err(|_| "the execution module is starting"),
            Err(TrySendError::Full(_)) => Err("too many queries are under way"),
            Err(TrySendError::Disconnected(_)) => Err("the execution module has stopped"),
        }
    }

    /// Ends the module and its thread.
    pub fn stop(&self) {
        let _ = self.work.send(Work::Stop);
    }
}

/// A running module and its socket; dropping it ends the module.
struct Module {
    /// The process, where this node started it.
    process: Option<Child>,
    socket: UnixStream,
    next_ticket: u64,
    /// The last executed block.
    executed: u64,
}

impl Drop for Module {
    fn drop(&mut self) {
        // A closed socket ends the module, and then its doorman. Killed before, the doorman would leave the module to be
        // reaped by whoever reaps orphans here, perhaps by nobody.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let Some(process) = &mut self.process else {
            return;
        };
        for _ in 0..END_CHECKS {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(END_PAUSE);
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Starts a module, or has one started.
fn come_by(config: &ModuleConfig) -> Result<(Option<Child>, UnixStream), ModuleError> {
    match config {
        ModuleConfig::Start { program, key, root } => {
            if let Some(lost) = [key, root].into_iter().find(|file| !file.exists()) {
                return Err(ModuleError::NoFile(lost.display().to_string()));
            }
            let (socket, theirs) = UnixStream::pair().map_err(ModuleError::Start)?;
            let process = Command::new(program)
                .arg("run")
                .arg(key)
                .arg(root)
                .env_clear()
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(ModuleError::Start)?;
            Ok((Some(process), socket))
        }
        ModuleConfig::Connect { socket } => {
            let connected = UnixStream::connect(socket);
            let connected = connected.map_err(|error| ModuleError::NoAttendant {
                socket: socket.display().to_string(),
                error,
            })?;
            connected
                .set_read_timeout(Some(READY_PATIENCE))
                .map_err(ModuleError::Start)?;
            Ok((None, connected))
        }
    }
}

/// What the end of a connection means on which no module has said anything, or its silence.
fn turned_away(socket: &Path, error: ModuleError) -> ModuleError {
    let ModuleError::Link(FrameError::Io(io)) = &error else {
        return error;
    };
    let why = match io.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the connection was closed"
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "nothing was said for 30 s",
        _ => return error,
    };
    let socket = socket.display().to_string();
    ModuleError::TurnedAway { socket, why }
}

impl Module {
    fn start(config: &ModuleConfig, genesis: &[u8], shared: &Shared) -> Result<Self, ModuleError> {
        let (process, socket) = come_by(config)?;
        let mut module = Self {
            process,
            socket,
            next_ticket: 0,
            executed: 0,
        };
        let first = module.hear().map_err(|error| match config {
            ModuleConfig::Start { .. } => error,
            ModuleConfig::Connect { socket } => turned_away(socket, error),
        });
        match first? {
            FromModule::Ready { lockdown } => shared.set_lockdown(lockdown),
            FromModule::Refused { reason } => return Err(ModuleError::NotShutIn(reason)),
            _ => return Err(ModuleError::Protocol),
        }
        module
            .socket
            .set_read_timeout(None)
            .map_err(ModuleError::Start)?;
        module.begin(genesis, shared)?;
        Ok(module)
    }

    /// Begins from the newest snapshot that the module accepts, or from genesis.
    fn begin(&mut self, genesis: &[u8], shared: &Shared) -> Result<(), ModuleError> {
        let mut refusal = "none is in the ledger".to_owned();
        for height in shared.store().snapshot_heights()?.into_iter().rev() {
            let Some(offer) = shared.snapshot_offer(height)? else {
                continue;
            };
            match self.begin_from(genesis, Some((height, offer)), shared) {
                Err(ModuleError::Refused(reason)) => {
                    tracing::warn!(height, %reason, "the execution module refuses a snapshot");
                    refusal = reason;
                }
                done => return done,
            }
        }
        if shared.store().floor() > 0 {
            return Err(ModuleError::NoStart(refusal));
        }
        self.begin_from(genesis, None, shared)
    }

    fn begin_from(
        &mut self,
        genesis: &[u8],
        offer: Option<(u64, SnapshotOffer)>,
        shared: &Shared,
    ) -> Result<(), ModuleError> {
        let pieces = match &offer {
            Some((height, offer)) => SnapshotManifest::decode(&offer.manifest)
                .map(|manifest| (*height, manifest.pieces().count()))
                .map_err(|error| ModuleError::Refused(error.to_string()))?,
            None => (0, 0),
        };
        self.say(&ToModule::Start {
            genesis: genesis.to_vec(),
            offer: offer.map(|(_, offer)| offer),
            roots: shared.own_roots()?.encode(),
        })?;
        for index in 0..pieces.1 {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            // A piece that is gone is sent empty; only of names may one be missing.
            let sealed = shared.store().snapshot_piece(pieces.0, index);
            let sealed = sealed?.unwrap_or_default();
            self.say(&ToModule::SnapshotPiece { sealed })?;
        }
        match self.hear_past_words(shared)? {
            FromModule::Started {
                network,
                height,
                definition: _,
                results,
                revoked,
            } if network == shared.network() => {
                self.executed = height;
                shared.note_revoked(revoked);
                shared.resumed(results);
                Ok(())
            }
            FromModule::Refused { reason } => Err(ModuleError::Refused(reason)),
            _ => Err(ModuleError::Protocol),
        }
    }

    fn say(&mut self, message: &ToModule) -> Result<(), ModuleError> {
        Ok(frame::write(&mut self.socket, message, MODULE_FRAME_MAX)?)
    }

    fn hear(&mut self) -> Result<FromModule, ModuleError> {
        Ok(frame::read(&mut self.socket, MODULE_FRAME_MAX)?)
    }

    /// As `hear`, but carries what the module itself has to say on the ledger, whenever that comes.
    fn hear_past_words(&mut self, shared: &Shared) -> Result<FromModule, ModuleError> {
        loop {
            match self.hear()? {
                FromModule::Carry { envelope } => shared.carry_own(envelope),
                other => return Ok(other),
            }
        }
    }

    fn query(&mut self, envelope: Vec<u8>, shared: &Shared) -> Result<Replied, ModuleError> {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = self.next_ticket;
        self.say(&ToModule::Query { ticket, envelope })?;
        match self.hear_past_words(shared)? {
            FromModule::Answer { ticket: of, sealed } if of == ticket => {
                Ok(Replied::Sealed(sealed))
            }
            FromModule::QueryRefused { ticket: of } if of == ticket => Ok(Replied::Refused),
            FromModule::NotAwake { ticket: of } if of == ticket => Ok(Replied::NotAwake),
            _ => Err(ModuleError::Protocol),
        }
    }

    /// Feeds the next run of final blocks; false if there is none, or the module has diverged.
    fn feed(&mut self, shared: &Shared) -> Result<bool, ModuleError> {
        let Some((blocks, certificate)) = next_run(self.executed, shared)? else {
            return Ok(false);
        };
        let count = blocks.len();
        self.say(&ToModule::Finalized {
            blocks,
            certificate,
        })?;
        let mut done = 0;
        while done < count {
            match self.hear_past_words(shared)? {
                FromModule::SnapshotPiece {
                    height,
                    index,
                    sealed,
                } => shared.take_piece(height, index, &sealed)?,
                FromModule::SnapshotDone { manifest } => shared.take_manifest(&manifest)?,
                FromModule::Executed {
                    height,
                    commitment,
                    next_epoch,
                    quotas,
                    grants,
                    key_records,
                    replies,
                    finals,
                    unopened,
                    revoked,
                } => {
                    done += 1;
                    self.executed = height;
                    shared.note_revoked(revoked);
                    shared.note_commitment(&commitment)?;
                    for grant in grants {
                        shared.put_grant(grant)?;
                    }
                    for record in key_records {
                        shared.put_key_record(&record)?;
                    }
                    shared.executed(commitment, next_epoch, quotas, unopened);
                    let replies = replies.into_iter().map(|one| (height, one)).collect();
                    shared.outbox().put(Stage::Outcome, replies);
                    shared.outbox().put(Stage::Final, placed(finals, shared)?);
                }
                FromModule::Refused { reason } => return Err(ModuleError::Refused(reason)),
                FromModule::Diverged {
                    height,
                    computed,
                    committed,
                } => {
                    let at = self.executed.saturating_add(1);
                    let header = shared.store().block(at)?.map(|block| block.header);
                    let certificate = shared.store().certificate(at)?;
                    let digests = (computed, committed);
                    shared.diverged(height, digests, header.as_ref(), certificate.as_ref());
                    return Ok(false);
                }
                _ => return Err(ModuleError::Protocol),
            }
        }
        if shared.outbox().is_full() {
            shared.outbox().flush()?;
        }
        Ok(true)
    }
}

/// Final blocks after the last executed one, all of one committee epoch, encoded, with a certificate for the last.
pub type Run = (Vec<Vec<u8>>, Vec<u8>);

/// The next run for a module that has executed up to a height; nothing if there is none yet.
///
/// # Errors
/// The store cannot be read.
pub fn next_run(executed: u64, shared: &Shared) -> Result<Option<Run>, ModuleError> {
    let next = executed.saturating_add(1);
    let store = shared.store();
    let head = shared.final_height();
    let Some(certified) = store
        .certified_at_or_after(next)
        .filter(|height| *height <= head)
    else {
        return Ok(None);
    };
    let missing = |what, height| StoreError::MissingAt { what, height };
    let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
    // A run ends at the furthest certificate within its limits, which saves the module the checks of those before it,
    // and at the end of an epoch, whose last block always has a certificate.
    let mut last = None;
    for height in next..=head
        .min(next.saturating_add(BATCH_BLOCKS_MAX - 1))
        .max(certified)
    {
        let block = shared.block_for_module(height)?;
        let block = block.ok_or_else(|| missing("block", height))?;
        let is_boundary = block.header.next_epoch.is_some();
        let encoded = block.encode();
        bytes = bytes.saturating_add(encoded.len());
        blocks.push(encoded);
        if store.has_certificate(height) {
            last = Some((height, blocks.len()));
            if is_boundary || bytes > BATCH_BYTES_MAX {
                break;
            }
        }
        if is_boundary {
            break;
        }
    }
    let Some((height, count)) = last else {
        return Ok(None);
    };
    blocks.truncate(count);
    let certificate = store.certificate(height)?;
    let certificate = certificate.ok_or_else(|| missing("certificate", height))?;
    Ok(Some((blocks, certificate.encode())))
}

/// Notices of finality with the heights of the blocks that list their transactions.
///
/// # Errors
/// The store cannot be read.
pub fn placed(
    finals: Vec<SealedReply>,
    shared: &Shared,
) -> Result<Vec<(u64, SealedReply)>, StoreError> {
    let mut placed = Vec::with_capacity(finals.len());
    for one in finals {
        let height = shared.height_of(&one.transaction)?.unwrap_or_default();
        placed.push((height, one));
    }
    Ok(placed)
}

/// Starts the thread that owns the module, waits until the module runs, and gives the link to it.
///
/// # Errors
/// The module does not start or refuses this network.
pub fn start(
    config: ModuleConfig,
    genesis: Vec<u8>,
    shared: Arc<Shared>,
) -> Result<(ModuleLink, std::thread::JoinHandle<()>), ModuleError> {
    let (work, todo) = sync_channel(WORK_MAX);
    let first = Module::start(&config, &genesis, &shared)?;
    let thread = std::thread::Builder::new()
        .name("module".to_owned())
        .spawn(move || keep_running(first, &config, &genesis, &shared, &todo))
        .map_err(ModuleError::Start)?;
    Ok((ModuleLink { work }, thread))
}

fn keep_running(
    first: Module,
    config: &ModuleConfig,
    genesis: &[u8],
    shared: &Shared,
    todo: &Receiver<Work>,
) {
    let mut module = Some(first);
    let mut pause = RESTART_PAUSE;
    let mut said = String::new();
    loop {
        let running = match module.take() {
            Some(running) => Ok(running),
            None => Module::start(config, genesis, shared),
        };
        let result = running.and_then(|running| {
            said.clear();
            serve(running, shared, todo)
        });
        match result {
            Ok(()) => return,
            Err(error) => {
                if let ModuleError::Store(store) = &error
                    && store.is_damage()
                {
                    // Not to be used any more: the node is told, and builds its ledger anew.
                    shared.set_damaged(store);
                    return;
                }
                // Once: an attendant may be gone for long.
                let problem = error.to_string();
                if problem != said {
                    tracing::error!(%error, "execution module lost; starting it again");
                    said.clone_from(&problem);
                }
                shared.module_lost(&problem);
                // A module that refuses will refuse again: one that was removed has no keys any more.
                pause = match error {
                    ModuleError::Refused(_) | ModuleError::NoStart(_) => {
                        pause.saturating_mul(2).min(RESTART_PAUSE_MAX)
                    }
                    _ => RESTART_PAUSE,
                };
                if told_to_stop(todo, pause) {
                    return;
                }
            }
        }
    }
}

/// Waits a moment before the next try; true if the node is stopping. Queries that come meanwhile are refused, and
/// their clients ask another node.
fn told_to_stop(todo: &Receiver<Work>, pause: Duration) -> bool {
    let deadline = std::time::Instant::now() + pause;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match todo.recv_timeout(left) {
            Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
            Ok(Work::NewBlocks | Work::Query(..)) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// Serves until told to stop.
fn serve(mut module: Module, shared: &Shared, todo: &Receiver<Work>) -> Result<(), ModuleError> {
    shared.module_started();
    loop {
        let fed = !shared.halted() && module.feed(shared)?;
        // Queries are answered between two runs of blocks; with nothing to feed, the thread sleeps for work.
        let work = if fed {
            match todo.try_recv() {
                Ok(work) => work,
                Err(std::sync::mpsc::TryRecvError::Empty) => continue,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        } else {
            match todo.recv_timeout(Duration::from_millis(200)) {
                Ok(work) => work,
                Err(RecvTimeoutError::Timeout) => {
                    shared.outbox().flush()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        };
        match work {
            Work::NewBlocks => {}
            Work::Query(envelope, reply) => {
                // The client may have gone; its answer then goes nowhere.
                let _ = reply.send(module.query(envelope, shared)?);
            }
            Work::Stop => {
                // Told once: a store that fails now must not make the thread wait to be told again. What is not written
                // is made anew from the blocks.
                if let Err(error) = shared.outbox().flush() {
                    tracing::error!(%error, "replies could not be kept");
                    if error.is_damage() {
                        shared.set_damaged(&error);
                    }
                }
                return Ok(());
            }
        }
    }
}
