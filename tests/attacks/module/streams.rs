//! 15, 18 and 19: what leaves the process besides its socket, what comes in as frames, and other builds of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use sealbook_ledger::Genesis;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use tempfile::TempDir;

use crate::cage::is_root;
use crate::kit::module::{Module, PATIENCE, PROGRAM, behind, command, ended, from_genesis};
use crate::kit::play::Play;
use crate::kit::recording::Recording;
use crate::kit::words::{self, order};

/// What the host planted, by an order that the module has executed.
pub const PLANTED: &str = "PLANTED-REFERENCE-5512";

/// A module that knows the planted value, and a host that listens wherever it could speak: pipes where a good host has
/// /dev/null, and every switch that makes programs talk.
pub struct Overheard {
    process: Child,
    _socket: UnixStream,
    files: TempDir,
}

impl Overheard {
    pub fn new() -> Self {
        let mut play = Play::furnished();
        let files = tempfile::tempdir().unwrap();
        let (key, root) = (files.path().join("key"), files.path().join("root"));
        fs::write(&key, &play.network.module_keys[0]).unwrap();
        fs::write(&root, &play.network.wrapped_roots[0]).unwrap();
        let (mut run, mut socket) =
            command(&["run", key.to_str().unwrap(), root.to_str().unwrap()]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped());
        run.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        run.current_dir(files.path());
        let process = run.spawn().unwrap();
        drop(run);
        let mut hear = || -> FromModule { frame::read(&mut socket, MODULE_FRAME_MAX).unwrap() };
        assert!(matches!(hear(), FromModule::Ready { .. }));
        let start = from_genesis(&play.network.genesis);
        frame::write(&mut socket, &start, MODULE_FRAME_MAX).unwrap();
        let transfer = words::transfer("A-1", "A-2", "10");
        let sealed = play.seal("alpha", vec![order(PLANTED, transfer)]);
        play.step(&[&sealed.bytes], &[]);
        let finalized = ToModule::Finalized {
            blocks: play.blocks.iter().map(|(block, _)| block.clone()).collect(),
            certificate: play.blocks.last().unwrap().1.clone(),
        };
        frame::write(&mut socket, &finalized, MODULE_FRAME_MAX).unwrap();
        loop {
            let said: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
            if matches!(said, FromModule::Executed { height, .. } if height == play.engine.height())
            {
                break;
            }
        }
        Self {
            process,
            _socket: socket,
            files,
        }
    }

    /// The module itself, behind its doorman.
    pub fn module(&self) -> u32 {
        behind(self.process.id())
    }

    /// Waits for its end and sees that nothing was said, and that no core file was left.
    pub fn ended_in_silence(mut self) -> Option<i32> {
        let status = ended(&mut self.process);
        let (mut out, mut err) = (String::new(), String::new());
        let (stdout, stderr) = (self.process.stdout.take(), self.process.stderr.take());
        stdout.unwrap().read_to_string(&mut out).unwrap();
        stderr.unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("", ""));
        let left: Vec<_> = fs::read_dir(self.files.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "a core file: {left:?}");
        status.code()
    }
}

#[test]
fn a15_a_host_that_listens_where_the_module_should_be_silent() {
    let overheard = Overheard::new();
    let module = overheard.module();
    if is_root() {
        for descriptor in [1, 2] {
            let target = fs::read_link(format!("/proc/{module}/fd/{descriptor}")).unwrap();
            assert_eq!(target.to_str(), Some("/dev/null"));
        }
    }
    // Now it knows the planted value. It is made to crash as hard as a process can be.
    let killed = Command::new("sh")
        .args(["-c", &format!("kill -SEGV {module}")])
        .status();
    assert!(killed.unwrap().success());
    let code = overheard.ended_in_silence();
    // By that signal, or by the list of calls for what the runtime does about it.
    assert!([128 + 11, 128 + 31].map(Some).contains(&code), "{code:?}");
}

#[test]
fn a18_frames_too_large_or_cut_short_and_a_kill_in_the_middle_of_a_block() {
    let mut play = Play::furnished();
    let too_large = (MODULE_FRAME_MAX as u32 + 1).to_le_bytes();
    for bytes in [
        &too_large[..],
        &u32::MAX.to_le_bytes(),
        // Announces more than comes; not even a length; a complete frame that is no message; an empty one.
        &[100, 0, 0, 0, 1, 2, 3],
        &[1, 2],
        &[3, 0, 0, 0, 99, 99, 99],
        &[0, 0, 0, 0],
    ] {
        let mut module = Module::running(&play.network);
        module.socket.write_all(bytes).unwrap();
        module.socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(module.ended().code(), Some(1), "{bytes:?}");
        let mut rest = Vec::new();
        module.socket.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        let left = fs::read_dir(module.files.path()).unwrap().count();
        assert_eq!(left, 2, "files besides the two key files");
    }
    // A message that only the limit keeps out: it would be answered.
    let query = ToModule::Query {
        ticket: 7,
        envelope: vec![0; MODULE_FRAME_MAX],
    };
    let bytes = frame::encode(&query, usize::MAX).unwrap();
    let mut module = Module::running(&play.network);
    // The module may have ended before all of it is written.
    let _ = module.socket.write_all(&bytes);
    assert_eq!(module.ended().code(), Some(1));
    // Much work in one block, and the module killed somewhere in it, each time a little later.
    let orders = |batch: usize| {
        let one = |number| {
            let reference = format!("{batch}-{number}");
            order(&reference, words::transfer("A-1", "A-2", "1"))
        };
        (0..400).map(one).collect()
    };
    let sealed: Vec<_> = (0..2)
        .map(|batch| play.seal("alpha", orders(batch)))
        .collect();
    let bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
    play.step(&bytes, &[]);
    let all = ToModule::Finalized {
        blocks: play.blocks.iter().map(|(block, _)| block.clone()).collect(),
        certificate: play.blocks.last().unwrap().1.clone(),
    };
    for round in 0..6 {
        let mut module = Module::running(&play.network);
        let inside = behind(module.process.id());
        module.say(&all);
        // Until the block before the last is done, then a little of the last one.
        for _ in 0..play.blocks.len() - 1 {
            module.hear_executed();
        }
        std::thread::sleep(std::time::Duration::from_millis(round * 2));
        let killed = Command::new("kill")
            .args(["-9", &inside.to_string()])
            .status();
        assert!(killed.unwrap().success());
        assert_eq!(module.ended().code(), Some(128 + 9));
    }
    let mut module = Module::running(&play.network);
    module.say(&all);
    for commitment in &play.commitments {
        assert_eq!(module.hear_executed().commitment, *commitment);
    }
}

/// Another build of the module can be named in the environment; `make test-release` names the optimised one.
const BUILD: &str = "SEALBOOK_MODULE_BUILD";

#[test]
fn a19_builds_that_compute_differently() {
    let recording = Recording::read();
    let files = tempfile::tempdir().unwrap();
    let (key, root) = (files.path().join("key"), files.path().join("root"));
    fs::write(&key, &recording.module_key).unwrap();
    fs::write(&root, &recording.wrapped_root).unwrap();
    let (socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let program = std::env::var(BUILD).unwrap_or_else(|_| PROGRAM.to_owned());
    let mut process = Command::new(program)
        .args(["run".as_ref(), key.as_os_str(), root.as_os_str()])
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut socket = socket;
    let say = |socket: &mut UnixStream, message: &ToModule| {
        frame::write(socket, message, MODULE_FRAME_MAX).unwrap();
    };
    let genesis = Genesis::decode(&recording.genesis).unwrap();
    let mut roots = Vec::new();
    say(&mut socket, &from_genesis(&genesis));
    let blocks = recording.blocks.clone();
    let certificate = recording.certificate.clone();
    say(
        &mut socket,
        &ToModule::Finalized {
            blocks,
            certificate,
        },
    );
    while roots.len() < recording.roots.len() {
        match frame::read(&mut socket, MODULE_FRAME_MAX).unwrap() {
            FromModule::Executed { commitment, .. } => roots.push(commitment.digest()),
            FromModule::Refused { reason } => panic!("{reason}"),
            _ => {}
        }
    }
    assert_eq!(roots, recording.roots);
    drop(socket);
    ended(&mut process);
}
