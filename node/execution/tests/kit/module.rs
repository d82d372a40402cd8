//! The real process, started as a host starts it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sealbook_execution::Executed;
use sealbook_execution::engine::ANSWER_CONTEXT;
use sealbook_ledger::Genesis;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_protocol::payload::Answer;
use tempfile::TempDir;

use super::{Network, Sealed};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sealbook-execution");
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running module with the host's end of its socket.
pub struct Module {
    pub process: Child,
    pub socket: UnixStream,
    pub lockdown: Vec<String>,
    pub files: TempDir,
    /// What the module has to say on the ledger.
    pub carried: Vec<Vec<u8>>,
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// To begin at block 0 of a network.
pub fn from_genesis(genesis: &Genesis) -> ToModule {
    ToModule::Start {
        genesis: genesis.encode(),
        offer: None,
        roots: Vec::new(),
    }
}

pub fn command(arguments: &[&str]) -> (Command, UnixStream) {
    let (socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    (command, socket)
}

impl Module {
    /// Starts the module of the first seat and hears that it has shut itself in.
    pub fn start(network: &Network) -> Self {
        Self::of_seat(network, 0)
    }

    /// Starts the module of a seat.
    pub fn of_seat(network: &Network, seat: usize) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (key, root) = (
            files.path().join("module.key"),
            files.path().join("module.root"),
        );
        fs::write(&key, &network.module_keys[seat]).unwrap();
        fs::write(&root, &network.wrapped_roots[seat]).unwrap();
        let (mut command, socket) =
            command(&["run", key.to_str().unwrap(), root.to_str().unwrap()]);
        let process = command.spawn().unwrap();
        // The host's copy of the module's end has to go, or the module's death would not show on the socket.
        drop(command);
        let mut module = Self {
            process,
            socket,
            lockdown: Vec::new(),
            files,
            carried: Vec::new(),
        };
        let FromModule::Ready { lockdown } = module.hear() else {
            panic!("not ready")
        };
        module.lockdown = lockdown;
        module
    }

    /// Starts the module and the network in it.
    pub fn running(network: &Network) -> Self {
        let mut module = Self::start(network);
        module.begin(network);
        module
    }

    /// Begins at genesis.
    pub fn begin(&mut self, network: &Network) {
        self.say(&from_genesis(&network.genesis));
        let FromModule::Started {
            network: id,
            height,
            definition,
            results,
            revoked,
        } = self.hear()
        else {
            panic!("not started")
        };
        assert_eq!((id, height), (network.id, 0));
        assert_eq!(definition, network.genesis.first_epoch());
        assert_eq!((results.len(), revoked.len()), (1, 0));
    }

    pub fn say(&mut self, message: &ToModule) {
        frame::write(&mut self.socket, message, MODULE_FRAME_MAX).unwrap();
    }

    pub fn hear(&mut self) -> FromModule {
        loop {
            match frame::read(&mut self.socket, MODULE_FRAME_MAX).unwrap() {
                FromModule::Carry { envelope } => self.carried.push(envelope),
                other => return other,
            }
        }
    }

    /// Whether the module does not answer yet.
    pub fn is_asleep(&mut self, query: &Sealed) -> bool {
        self.say(&ToModule::Query {
            ticket: 8,
            envelope: query.bytes.clone(),
        });
        matches!(self.hear(), FromModule::NotAwake { ticket: 8 })
    }

    pub fn refusal(&mut self) -> String {
        match self.hear() {
            FromModule::Refused { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    pub fn hear_executed(&mut self) -> Executed {
        match self.hear() {
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
                assert_eq!(height, commitment.height);
                Executed {
                    commitment,
                    next_epoch,
                    quotas,
                    grants,
                    key_records,
                    replies,
                    finals,
                    unopened,
                    outcomes: [0; 4],
                    revoked,
                }
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn query(&mut self, query: &Sealed) -> Option<Answer> {
        self.say(&ToModule::Query {
            ticket: 7,
            envelope: query.bytes.clone(),
        });
        match self.hear() {
            FromModule::Answer { ticket: 7, sealed } => {
                let opened = query.open(ANSWER_CONTEXT, &sealed);
                Some(borsh::from_slice(opened.expose()).unwrap())
            }
            FromModule::QueryRefused { ticket: 7 } => None,
            other => panic!("{other:?}"),
        }
    }

    /// What the system shows of the module; the process that was started is its doorman.
    pub fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", behind(self.process.id()))
    }

    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.process)
    }
}

/// The one child of a doorman, which is the module.
pub fn behind(doorman: u32) -> u32 {
    let children = format!("/proc/{doorman}/task/{doorman}/children");
    let children = fs::read_to_string(children).unwrap();
    let mut pids = children.split_whitespace();
    let pid = pids.next().unwrap().parse().unwrap();
    assert_eq!(pids.next(), None);
    pid
}

pub fn ended(process: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        assert!(started.elapsed() < PATIENCE, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}
