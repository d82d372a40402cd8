//! The attendant: whom it turns away, what it refuses to begin with, and that a module ends with its connection and with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use kit::Network;
use kit::module::{PATIENCE, PROGRAM, behind, from_genesis};
use rustix::process::{Pid, Signal, Uid, kill_process};
use sealbook_protocol::frame::{self, FrameError, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use tempfile::TempDir;

/// Users that need not exist.
const MODULE: u32 = 64_001;
const HOST: u32 = 64_002;
const STRANGER: u32 = 64_003;

fn own_user() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// Whether processes of other users can be started; says so if they cannot.
fn has_users() -> bool {
    let root = own_user() == 0;
    if !root {
        eprintln!("skipped: only root can start processes of several users");
    }
    root
}

/// What an attendant needs, in folders that belong to the module's user.
struct Place {
    folder: TempDir,
    /// The user that attends: this one, where it cannot start processes of another.
    user: u32,
}

impl Place {
    fn new(network: &Network) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = match own_user() {
            0 => MODULE,
            other => other,
        };
        let place = Self { folder, user };
        fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(PROGRAM, place.path("program")).unwrap();
        for (name, mode) in [("files", 0o700), ("run", 0o711)] {
            fs::create_dir(place.path(name)).unwrap();
            place.belongs(name, place.user, mode);
        }
        for (name, content) in [
            ("files/key", &network.module_keys[0]),
            ("files/root", &network.wrapped_roots[0]),
        ] {
            fs::write(place.path(name), content).unwrap();
            place.belongs(name, place.user, 0o600);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn belongs(&self, name: &str, user: u32, mode: u32) {
        let path = self.path(name);
        chown(&path, Some(user), Some(user)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The attendant for a host's user, as it should be started.
    fn command(&self, host: u32) -> Command {
        self.command_with(&host.to_string(), "run/socket")
    }

    fn command_with(&self, host: &str, socket: &str) -> Command {
        let mut command = Command::new(self.path("program"));
        command
            .arg("attend")
            .arg(self.path(socket))
            .arg(host)
            .arg(self.path("files/key"))
            .arg(self.path("files/root"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if self.user != own_user() {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    fn attend(&self) -> Attendant {
        let mut process = self.command(HOST).spawn().unwrap();
        let mut notes = BufReader::new(process.stderr.take().unwrap());
        let mut first = String::new();
        notes.read_line(&mut first).unwrap();
        assert!(first.contains("waits at"), "{first}");
        Attendant {
            process,
            socket: self.path("run/socket"),
            _notes: notes,
        }
    }
}

/// A running attendant.
struct Attendant {
    process: Child,
    socket: PathBuf,
    _notes: BufReader<ChildStderr>,
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Attendant {
    /// Connects as a user; one thread of this process is that user for so long.
    fn connect(&self, user: u32) -> UnixStream {
        let socket = self.socket.clone();
        let connecting = std::thread::spawn(move || {
            let user = Uid::from_raw(user);
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            UnixStream::connect(socket).unwrap()
        });
        let stream = connecting.join().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Connects as the host; gives the module's lockdown, too.
    fn module(&self) -> (UnixStream, Vec<String>) {
        let mut socket = self.connect(HOST);
        let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
        let FromModule::Ready { lockdown } = ready else {
            panic!("{ready:?}")
        };
        (socket, lockdown)
    }

    /// The doorman and the module.
    fn processes(&self) -> [u32; 2] {
        let doorman = behind(self.process.id());
        [doorman, behind(doorman)]
    }
}

fn children(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap()
}

fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| !status.contains("State:\tZ"))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The other end has closed the connection, and said nothing.
fn is_closed(socket: &mut UnixStream) -> bool {
    let mut byte = [0];
    match socket.read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn begin(socket: &mut UnixStream, network: &Network) {
    frame::write(socket, &from_genesis(&network.genesis), MODULE_FRAME_MAX).unwrap();
    let word: FromModule = frame::read(socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(word, FromModule::Carry { .. }), "{word:?}");
    let started: FromModule = frame::read(socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(started, FromModule::Started { .. }), "{started:?}");
}

/// The module behind a socket does its work.
fn answers(socket: &mut UnixStream) -> bool {
    let again = ToModule::Found {
        suite: 1,
        recovery: Default::default(),
    };
    frame::write(socket, &again, MODULE_FRAME_MAX).unwrap();
    let said: Result<FromModule, FrameError> = frame::read(socket, MODULE_FRAME_MAX);
    matches!(said, Ok(FromModule::Refused { reason }) if reason == "not in this session")
}

fn refused(mut command: Command, why: &str) {
    let mut process = command.spawn().unwrap();
    let mut notes = BufReader::new(process.stderr.take().unwrap());
    let mut said = String::new();
    notes.read_line(&mut said).unwrap();
    if !said.starts_with("error: ") {
        let _ = (process.kill(), process.wait());
        panic!("it begins, although {why}: {said}");
    }
    notes.read_to_string(&mut said).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
    assert!(said.contains(why), "{why}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn an_attendant_that_would_protect_nothing_does_not_begin() {
    let network = Network::new();
    let place = Place::new(&network);
    if has_users() {
        let mut as_root = place.command(HOST);
        as_root.uid(0).gid(0);
        refused(as_root, "must not run as root");
    }
    refused(place.command(place.user), "the module's, too");
    refused(place.command(0), "root, from whom no file is closed");
    refused(place.command(u32::MAX), "not known here");
    let nobody = fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap();
    refused(
        place.command_with(nobody.trim(), "run/socket"),
        "not known here",
    );
    for host in ["", "sealbook", "-1", "4294967296", "1 2"] {
        refused(
            place.command_with(host, "run/socket"),
            "not the number of a user",
        );
    }
    let mut few = Command::new(place.path("program"));
    few.args(["attend", "socket"]).stderr(Stdio::piped());
    refused(few, "takes four arguments");

    // Files: of others, open to others, not there.
    let key = |user: u32, mode: u32| place.belongs("files/key", user, mode);
    key(place.user, 0o640);
    refused(place.command(HOST), "has mode 640");
    if has_users() {
        key(HOST, 0o600);
        refused(place.command(HOST), "belongs to user 64002, not to 64001");
    }
    key(place.user, 0o600);
    fs::rename(place.path("files/key"), place.path("files/away")).unwrap();
    refused(place.command(HOST), "No such file");
    fs::create_dir(place.path("files/key")).unwrap();
    refused(place.command(HOST), "is not a file");
    fs::remove_dir(place.path("files/key")).unwrap();
    fs::rename(place.path("files/away"), place.path("files/key")).unwrap();

    // The socket: in a folder of others, in the place of another file, of another attendant.
    place.belongs("run", place.user, 0o777);
    refused(place.command(HOST), "others may write to the folder");
    if has_users() {
        place.belongs("run", HOST, 0o755);
        refused(place.command(HOST), "others may write to the folder");
    }
    place.belongs("run", place.user, 0o711);
    fs::write(place.path("run/file"), "kept").unwrap();
    let in_the_way = place.command_with(&HOST.to_string(), "run/file");
    refused(in_the_way, "is no socket of this user's");
    assert_eq!(fs::read(place.path("run/file")).unwrap(), b"kept");
    let long = format!("run/{}", "x".repeat(200));
    refused(place.command_with(&HOST.to_string(), &long), "hint: ");
    let attendant = place.attend();
    refused(place.command(HOST), "another attendant listens");
    drop(attendant);
    // What it left behind is in nobody's way.
    assert!(place.path("run/socket").exists());
    drop(place.attend());
}

#[test]
fn the_node_s_user_alone_gets_a_module() {
    if !has_users() {
        return;
    }
    let network = Network::new();
    let place = Place::new(&network);
    let attendant = place.attend();
    let mode = fs::metadata(&attendant.socket).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o666);
    // Others are turned away, as many as come, and whatever they hold on to.
    let mut held = Vec::new();
    for user in [0, MODULE, STRANGER] {
        for _ in 0..50 {
            held.push(attendant.connect(user));
        }
    }
    for stranger in &mut held {
        assert!(is_closed(stranger));
    }
    assert_eq!(children(attendant.process.id()), "");

    let (mut socket, lockdown) = attendant.module();
    let line = "a user of its own (64001; the host is user 64002)";
    assert!(lockdown.iter().any(|step| step == line), "{lockdown:?}");
    begin(&mut socket, &network);
    let [doorman, module] = attendant.processes();
    for pid in [doorman, module] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(
            status.contains("Uid:\t64001\t64001\t64001\t64001"),
            "{status}"
        );
    }
    assert!(
        fs::read(format!("/proc/{module}/environ"))
            .unwrap()
            .is_empty()
    );
    let mut open: Vec<String> = fs::read_dir(format!("/proc/{module}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    open.sort_unstable();
    assert_eq!(open, ["0", "1", "2", "3"]);
    // Nor do others get anything, or do any harm, while it runs.
    for user in [0, MODULE, STRANGER] {
        assert!(is_closed(&mut attendant.connect(user)));
    }
    assert!(answers(&mut socket));
    assert_eq!(attendant.processes(), [doorman, module]);
}

#[test]
fn a_new_connection_ends_the_module_of_the_one_before() {
    if !has_users() {
        return;
    }
    let network = Network::new();
    let place = Place::new(&network);
    let attendant = place.attend();
    let (mut old, _) = attendant.module();
    let before = attendant.processes();
    // A node that was killed comes back while its module is still at work, or stands still.
    for standing in [false, true] {
        if standing {
            signal(attendant.processes()[1], Signal::STOP);
        }
        let gone = attendant.processes();
        let (mut new, _) = attendant.module();
        for pid in gone {
            assert!(
                !Path::new(&format!("/proc/{pid}")).exists(),
                "{pid} is left"
            );
        }
        assert!(is_closed(&mut old));
        begin(&mut new, &network);
        assert!(answers(&mut new));
        old = new;
    }
    assert_ne!(attendant.processes(), before);
    // A connection that closes takes its module with it, and nothing is left of it.
    drop(old);
    wait_until("the module ends", || {
        children(attendant.process.id()).is_empty()
    });
    let (mut again, _) = attendant.module();
    begin(&mut again, &network);
    // So does a module that is killed, or its doorman, with the connection.
    for which in [0, 1] {
        let pids = attendant.processes();
        signal(pids[which], Signal::KILL);
        assert!(is_closed(&mut again));
        wait_until("both are gone", || {
            children(attendant.process.id()).is_empty()
        });
        again = attendant.module().0;
    }
}

#[test]
fn a_module_ends_with_its_attendant() {
    if !has_users() {
        return;
    }
    let network = Network::new();
    let place = Place::new(&network);
    for how in [Signal::KILL, Signal::TERM] {
        // The socket that the one before left behind is in nobody's way.
        let mut attendant = place.attend();
        let (mut socket, _) = attendant.module();
        begin(&mut socket, &network);
        let pids = attendant.processes();
        signal(attendant.process.id(), how);
        let _ = attendant.process.wait().unwrap();
        for pid in pids {
            wait_until("the module outlives its attendant", || !is_alive(pid));
        }
        assert!(is_closed(&mut socket));
    }
    // A module that has not shut itself in yet: its key is a pipe at which it waits.
    let attendant = place.attend();
    fs::remove_file(place.path("files/key")).unwrap();
    let made = Command::new("mkfifo").arg(place.path("files/key")).status();
    assert!(made.unwrap().success());
    place.belongs("files/key", MODULE, 0o600);
    let mut early = attendant.connect(HOST);
    wait_until("it starts", || !children(attendant.process.id()).is_empty());
    let first = behind(attendant.process.id());
    signal(attendant.process.id(), Signal::KILL);
    wait_until("it outlives its attendant", || !is_alive(first));
    assert!(is_closed(&mut early));
}

#[test]
fn a_module_of_the_host_s_user_says_so() {
    let network = Network::new();
    let module = kit::module::Module::start(&network);
    let own = own_user();
    let line = format!(
        "weak: a user of its own (user {own} is the host's, too: whoever acts as it can read the key files)"
    );
    assert!(module.lockdown.contains(&line), "{:?}", module.lockdown);
}
