//! The link to the execution module: starts the process, feeds it final blocks from the store, passes queries on.
//!
//! One thread owns the socket. It pulls blocks from the store, so that a start, a restart of a killed module and
//! daily work are the same thing: feed what is final and not yet executed.
//!
//! INVARIANT: the module gets blocks only together with a certificate for the last of them; it checks everything.
//! The process gets an empty environment, one socket as its standard input and `/dev/null` for the rest.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use sealbook_protocol::client::Stage;
use sealbook_protocol::frame::{self, FrameError, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use tokio::sync::oneshot;

use crate::application::Shared;
use crate::config::ModuleConfig;

const WORK_MAX: usize = 4_096;
const BATCH_BLOCKS_MAX: u64 = 512;
const BATCH_BYTES_MAX: usize = MODULE_FRAME_MAX / 2;
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Why the module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The process could not be started.
    #[error("the execution module does not start: {0}")]
    Start(std::io::Error),
    /// The process ended or broke the protocol.
    #[error("the execution module stopped answering: {0}")]
    Link(#[from] FrameError),
    /// The module refused the genesis document or its keys.
    #[error("the execution module refuses to run: {0}")]
    Refused(String),
    /// The module said something out of turn.
    #[error("the execution module said something out of turn")]
    Protocol,
    /// The store failed.
    #[error("the ledger cannot be read: {0}")]
    Store(String),
}

/// Work for the thread that owns the socket.
enum Work {
    NewBlocks,
    Query(Vec<u8>, oneshot::Sender<Option<Vec<u8>>>),
    Stop,
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

    /// Asks a sealed query; nothing comes back if the module refuses it or too much is under way.
    pub async fn query(&self, envelope: Vec<u8>) -> Result<Option<Vec<u8>>, &'static str> {
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

/// A running module process and its socket; dropping it ends the process.
struct Module {
    process: Child,
    socket: UnixStream,
    next_ticket: u64,
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Module {
    fn start(config: &ModuleConfig, genesis: &[u8], shared: &Shared) -> Result<Self, ModuleError> {
        let (socket, theirs) = UnixStream::pair().map_err(ModuleError::Start)?;
        let process = Command::new(&config.program)
            .arg("run")
            .arg(&config.key)
            .arg(&config.root)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ModuleError::Start)?;
        let mut module = Self {
            process,
            socket,
            next_ticket: 0,
        };
        let FromModule::Ready { lockdown } = module.hear()? else {
            return Err(ModuleError::Protocol);
        };
        shared.set_lockdown(lockdown);
        module.say(&ToModule::Start {
            genesis: genesis.to_vec(),
        })?;
        match module.hear()? {
            FromModule::Started { network } if network == shared.network() => Ok(module),
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

    fn query(&mut self, envelope: Vec<u8>) -> Result<Option<Vec<u8>>, ModuleError> {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = self.next_ticket;
        self.say(&ToModule::Query { ticket, envelope })?;
        match self.hear()? {
            FromModule::Answer { ticket: of, sealed } if of == ticket => Ok(Some(sealed)),
            FromModule::QueryRefused { ticket: of } if of == ticket => Ok(None),
            _ => Err(ModuleError::Protocol),
        }
    }

    /// Feeds the next run of final blocks; false if there is none, or the module has diverged.
    fn feed(&mut self, executed: &mut u64, shared: &Shared) -> Result<bool, ModuleError> {
        let stored = |error: sealbook_store::StoreError| ModuleError::Store(error.to_string());
        let next = executed.saturating_add(1);
        let store = shared.store();
        let Some(certified) = store
            .certified_at_or_after(next)
            .filter(|height| *height <= shared.final_height())
        else {
            return Ok(false);
        };
        // The furthest certificate within the batch saves the module the checks of those before it.
        let limit = shared
            .final_height()
            .min(next.saturating_add(BATCH_BLOCKS_MAX - 1));
        let mut last = limit.max(certified);
        while last > certified && !store.has_certificate(last) {
            last -= 1;
        }
        let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
        for height in next..=last {
            let block = store.block(height).map_err(stored)?;
            let block = block.ok_or_else(|| ModuleError::Store(format!("no block {height}")))?;
            let encoded = block.encode();
            bytes = bytes.saturating_add(encoded.len());
            blocks.push(encoded);
            // Too much for one frame: end at a certificate on the way.
            if bytes > BATCH_BYTES_MAX && store.has_certificate(height) {
                last = height;
                break;
            }
        }
        let proof = store.certificate(last).map_err(stored)?;
        let proof = proof.ok_or_else(|| ModuleError::Store(format!("no certificate {last}")))?;
        let count = blocks.len();
        self.say(&ToModule::Finalized {
            blocks,
            certificate: proof.encode(),
        })?;
        for _ in 0..count {
            match self.hear()? {
                FromModule::Executed {
                    height,
                    state_root,
                    replies,
                    finals,
                    unopened,
                } => {
                    *executed = height;
                    shared.executed(height, state_root, unopened);
                    shared.outbox().put(Stage::Outcome, replies);
                    shared.outbox().put(Stage::Final, finals);
                }
                FromModule::Refused { reason } => return Err(ModuleError::Refused(reason)),
                FromModule::Diverged {
                    height,
                    computed,
                    committed,
                } => {
                    shared.diverged(height, computed, committed);
                    return Ok(false);
                }
                _ => return Err(ModuleError::Protocol),
            }
        }
        Ok(true)
    }
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
    loop {
        let result = match module.take() {
            Some(running) => serve(running, shared, todo),
            None => Module::start(config, genesis, shared)
                .and_then(|running| serve(running, shared, todo)),
        };
        match result {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%error, "execution module lost; starting it again");
                shared.module_lost(&error.to_string());
                std::thread::sleep(RESTART_PAUSE);
            }
        }
    }
}

/// Serves until told to stop.
fn serve(mut module: Module, shared: &Shared, todo: &Receiver<Work>) -> Result<(), ModuleError> {
    let mut executed = 0;
    shared.module_started();
    loop {
        let fed = !shared.halted() && module.feed(&mut executed, shared)?;
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
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        };
        match work {
            Work::NewBlocks => {}
            Work::Query(envelope, reply) => {
                // The client may have gone; its answer then goes nowhere.
                let _ = reply.send(module.query(envelope)?);
            }
            Work::Stop => return Ok(()),
        }
    }
}
