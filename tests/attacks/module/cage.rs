//! 14: how the real process is shut in: what others can see of it, what it keeps open, and when it ends.

use std::fs;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealbook_protocol::frame::{self, FrameError, MODULE_FRAME_MAX};
use sealbook_protocol::module::FromModule;
use tempfile::TempDir;

use crate::kit::Network;
use crate::kit::module::{self, Module, PATIENCE, PROGRAM, behind, from_genesis};

/// An ordinary user that owns nothing here.
const NOBODY: u32 = 65_534;

/// The files of a seat's module: its key and its wrapped root.
fn custody(network: &Network) -> (TempDir, [PathBuf; 2]) {
    let files = tempfile::tempdir().unwrap();
    let paths = ["key", "root"].map(|name| files.path().join(name));
    fs::write(&paths[0], &network.module_keys[0]).unwrap();
    fs::write(&paths[1], &network.wrapped_roots[0]).unwrap();
    (files, paths)
}

fn sockets() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    (ours, theirs)
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn limits_hold(module: &Module) {
    let limits = fs::read_to_string(module.proc("limits")).unwrap();
    for (name, value) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max processes", "0"),
    ] {
        let limit = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        assert_eq!(
            limit.split_whitespace().collect::<Vec<_>>()[..2],
            [value, value],
            "{name}"
        );
    }
}

#[test]
fn a14_the_process_is_shut_in() {
    let network = Network::new();
    let module = Module::running(&network);
    for step in [
        "not dumpable",
        "killed with its parent",
        "not traced",
        "a user of its own",
        "descriptors closed",
        "no core files",
        "room on the stack",
        "namespaces of its own",
        "a second process",
        "killed with its doorman",
        "an empty root",
        "no capabilities",
        "memory for the root",
        "memory locked",
        "self-test",
        "no new files",
        "no new processes",
        "no new descriptors",
        "no new privileges",
        "landlock denies all",
        "seccomp allow-list",
    ] {
        assert!(
            module
                .lockdown
                .iter()
                .any(|line| line.trim_start_matches("weak: ").starts_with(step)),
            "{:?}",
            module.lockdown
        );
    }
    // The files of a process that is not dumpable belong to root, whoever runs it.
    let status = fs::read_to_string(module.proc("status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned())
    };
    assert_eq!(line("NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(line("Seccomp:").as_deref(), Some("2"));
    assert_eq!(line("Threads:").as_deref(), Some("1"));
    assert_eq!(line("TracerPid:").as_deref(), Some("0"));
    // In its own namespace it is the first process, and nothing that it could do there is left to it either.
    assert!(line("NSpid:").unwrap().ends_with("\t1"));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set).as_deref(), Some("0000000000000000"), "{set}");
    }
    limits_hold(&module);
    if is_root() {
        let mut open: Vec<u32> = fs::read_dir(module.proc("fd"))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        open.sort_unstable();
        assert_eq!(open, [0, 1, 2, 3]);
        for descriptor in [1, 2] {
            let target = fs::read_link(module.proc(&format!("fd/{descriptor}"))).unwrap();
            assert_eq!(target.to_str(), Some("/dev/null"));
        }
        assert!(fs::read(module.proc("environ")).unwrap().is_empty());
        assert_eq!(fs::read_dir(module.proc("root")).unwrap().count(), 0);
        for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let theirs = fs::read_link(module.proc(&format!("ns/{namespace}"))).unwrap();
            let ours = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
            assert_ne!(theirs, ours, "{namespace}");
        }
        // The doorman holds nothing but its end of the pipe that tells the module that it lives.
        let doorman = format!("/proc/{}/fd", module.process.id());
        assert_eq!(fs::read_dir(doorman).unwrap().count(), 1);
        let maps = fs::read_to_string(module.proc("maps")).unwrap();
        let both = maps.lines().find(|line| {
            let rights = line.split(' ').nth(1).unwrap_or_default();
            rights.contains('w') && rights.contains('x')
        });
        assert_eq!(both, None, "memory both writable and executable");
    }
}

#[test]
fn a14_its_own_user_cannot_read_its_memory() {
    if !is_root() {
        // Without root there is one user only: this one.
        let network = Network::new();
        let module = Module::running(&network);
        assert_eq!(fs::metadata(module.proc("mem")).unwrap().uid(), 0);
        assert!(fs::File::open(module.proc("mem")).is_err());
        return;
    }
    // The module runs as an ordinary user, and another process of that user looks.
    let network = Network::new();
    let files = tempfile::tempdir().unwrap();
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = files.path().join("module");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str, content: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, content).unwrap();
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        path
    };
    let (key, root) = (
        path("key", &network.module_keys[0]),
        path("root", &network.wrapped_roots[0]),
    );
    let (mut socket, theirs) = sockets();
    let mut process = Command::new(&program)
        .args(["run".as_ref(), key.as_os_str(), root.as_os_str()])
        .env_clear()
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(ready, FromModule::Ready { .. }));
    let proc = format!("/proc/{}", behind(process.id()));
    assert_eq!(
        fs::metadata(format!("{proc}/mem")).unwrap().uid(),
        0,
        "dumpable"
    );
    for (name, as_root) in [
        ("mem", true),
        ("maps", true),
        ("environ", true),
        ("fd/3", false),
    ] {
        let file = format!("{proc}/{name}");
        let look = |user: u32| {
            let mut command = Command::new("head");
            command.args(["-c", "1", &file]).uid(user).gid(user);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        assert!(!look(NOBODY), "{name} is readable by its own user");
        // The check itself works: root may read at least what is not a socket or at address 0.
        if as_root && name != "mem" {
            assert!(look(0), "{name}");
        }
    }
    // The same user's process that is not shut in is readable, so that the test above says something.
    let mut open = Command::new("sleep")
        .arg("20")
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()
        .unwrap();
    let file = format!("/proc/{}/maps", open.id());
    let readable = Command::new("cat")
        .arg(&file)
        .uid(NOBODY)
        .gid(NOBODY)
        .stdout(Stdio::null())
        .status();
    assert!(readable.unwrap().success());
    let _ = (open.kill(), open.wait(), process.kill(), process.wait());
}

#[test]
fn a14_it_ends_with_its_host() {
    let network = Network::new();
    // The host closes the socket.
    let mut module = Module::running(&network);
    module.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(module.ended().code(), Some(1));
    // The host is killed while somebody else still holds the socket: the kernel ends the module.
    let (_files, [key, root]) = custody(&network);
    let (mut socket, theirs) = sockets();
    let mut host = Command::new("sh")
        .args([
            "-c",
            "exec 5<&0; \"$0\" run \"$1\" \"$2\" <&5 & echo $!; exec sleep 60",
        ])
        .args([PROGRAM.as_ref(), key.as_os_str(), root.as_os_str()])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    let mut output = std::io::BufReader::new(host.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut pid).unwrap();
    let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(ready, FromModule::Ready { .. }));
    let module = behind(pid.trim().parse().unwrap());
    let status = format!("/proc/{module}/status");
    let alive = || fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ"));
    assert!(alive());
    host.kill().unwrap();
    host.wait().unwrap();
    let started = Instant::now();
    while alive() {
        assert!(started.elapsed() < PATIENCE, "the module outlives its host");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The socket was ours all the time: nothing came but the end.
    let end: Result<FromModule, FrameError> = frame::read(&mut socket, MODULE_FRAME_MAX);
    assert!(
        matches!(&end, Err(FrameError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof),
        "{end:?}"
    );
}

#[test]
fn a14_descriptors_that_a_host_leaves_open_are_closed() {
    // The shell passes on descriptors 3 to 9, as a careless host would.
    let network = Network::new();
    let (_files, [key, root]) = custody(&network);
    let (mut socket, theirs) = sockets();
    let open =
        "3</dev/zero 4</dev/zero 5</dev/zero 6</dev/zero 7</dev/zero 8</dev/zero 9</dev/zero";
    let mut process = Command::new("sh")
        .args(["-c", &format!("exec \"$0\" run \"$1\" \"$2\" {open}")])
        .args([PROGRAM.as_ref(), key.as_os_str(), root.as_os_str()])
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(ready, FromModule::Ready { .. }));
    if is_root() {
        let mut open: Vec<String> = fs::read_dir(format!("/proc/{}/fd", behind(process.id())))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
            .collect();
        open.sort_unstable();
        assert_eq!(open, ["0", "1", "2", "3"]);
    }
    let start = from_genesis(&network.genesis);
    frame::write(&mut socket, &start, MODULE_FRAME_MAX).unwrap();
    let word: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(word, FromModule::Carry { .. }));
    let started: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(started, FromModule::Started { .. }));
    let _ = (process.kill(), process.wait());
}

/// Whether these bytes are somewhere in what can be read of a process's memory.
fn memory_holds(maps: &str, memory: &mut fs::File, wanted: &[u8]) -> Option<bool> {
    let (mut read, mut found) = (0, false);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            read += bytes.len();
            found |= bytes.windows(wanted.len()).any(|window| window == wanted);
        }
    }
    (read > 100_000).then_some(found)
}

#[test]
fn a14_the_root_is_in_memory_that_the_kernel_shows_nobody() {
    let network = Network::new();
    let module = Module::running(&network);
    let kind = module
        .lockdown
        .iter()
        .find(|line| line.contains("memory for the root"))
        .unwrap();
    if !is_root() || !kind.contains("memfd_secret") {
        eprintln!("skipped: only root can look, and this kernel says: {kind}");
        return;
    }
    let maps = fs::read_to_string(module.proc("maps")).unwrap();
    assert!(maps.contains("secretmem"), "{maps}");
    let mut memory = fs::File::open(module.proc("mem")).unwrap();
    let keys = network.keys(0);
    let root = *keys.root.as_ref().unwrap().secret();
    // The same look finds what is derived from the root, so it would find the root.
    let mut holds = |wanted: &[u8]| memory_holds(&maps, &mut memory, wanted).unwrap();
    assert!(holds(keys.leaf.expose()));
    assert!(!holds(&root), "the root lies in ordinary memory");
}

#[test]
fn a14_memory_that_was_opened_before_the_lockdown_is_another_process_s() {
    let network = Network::new();
    let files = tempfile::tempdir().unwrap();
    let (key, root) = (files.path().join("key"), files.path().join("root"));
    // Opening its key file makes the process wait while it is still open to its user: the file is a pipe.
    let made = Command::new("mkfifo").arg(&key).status().unwrap();
    assert!(made.success());
    fs::write(&root, &network.wrapped_roots[0]).unwrap();
    let (mut command, mut socket) =
        module::command(&["run", key.to_str().unwrap(), root.to_str().unwrap()]);
    let mut process = command.spawn().unwrap();
    drop(command);
    let proc = format!("/proc/{}", process.id());
    let started = Instant::now();
    while !fs::read_to_string(format!("{proc}/wchan")).is_ok_and(|at| at.contains("fifo"))
        && !fs::read_to_string(format!("{proc}/stat")).is_ok_and(|stat| stat.contains(") S "))
    {
        assert!(started.elapsed() < PATIENCE, "it does not wait for its key");
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut early = fs::File::open(format!("{proc}/mem")).unwrap();
    fs::write(&key, &network.module_keys[0]).unwrap();
    let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(ready, FromModule::Ready { .. }), "{ready:?}");
    let start = from_genesis(&network.genesis);
    frame::write(&mut socket, &start, MODULE_FRAME_MAX).unwrap();
    let word: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(word, FromModule::Carry { .. }));
    let started: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(started, FromModule::Started { .. }));
    let leaf = *network.keys(0).leaf.expose();
    if is_root() {
        let module = format!("/proc/{}", behind(process.id()));
        let maps = fs::read_to_string(format!("{module}/maps")).unwrap();
        let mut memory = fs::File::open(format!("{module}/mem")).unwrap();
        assert_eq!(memory_holds(&maps, &mut memory, &leaf), Some(true));
        assert_eq!(memory_holds(&maps, &mut early, &leaf), Some(false));
    } else {
        eprintln!(
            "skipped: only root sees where the module's memory is, to look there through the old handle"
        );
    }
    let _ = (process.kill(), process.wait());
}

#[test]
fn a14_a_machine_that_refuses_a_step_gets_no_module_and_the_reason() {
    let network = Network::new();
    let (_files, [key, root]) = custody(&network);
    let (mut socket, theirs) = sockets();
    // Within a user namespace that may have no others below it.
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" run \"$1\" \"$2\"";
    let mut process = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", limit])
        .args([PROGRAM.as_ref(), key.as_os_str(), root.as_os_str()])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let refused: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    let FromModule::Refused { reason } = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.starts_with("namespaces of its own: "), "{reason}");
    assert_eq!(module::ended(&mut process).code(), Some(1));
}
