//! A module with a user of its own: what the node's user tries against it, and what the same tries bring where the two share
//! one user.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use sealbook_system::network::wait_for;
use sealbook_system::scenario::{line, run};
use sealbook_system::{TestNetwork, processes};
use serde_json::{Value, json};

/// Users that need not exist: of the module and of the host of node-1, and of both of node-2.
const MODULE: u32 = 64_011;
const HOST: u32 = 64_012;
const SHARED: u32 = 64_013;
/// Somebody else on the machine.
const NOBODY: u32 = 64_014;

/// The attendant of node-1's module.
struct Attendant {
    process: Child,
    _notes: BufReader<ChildStderr>,
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where everything lies, readable for those who may.
struct Place {
    programs: PathBuf,
    socket: PathBuf,
    module: PathBuf,
}

impl Place {
    /// Lets users of the machine through to the folders of the network that are theirs.
    fn of(network: &TestNetwork) -> Self {
        let programs = network.scratch().join("programs");
        let sockets = network.scratch().join("sockets");
        for folder in [&programs, &sockets] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        // Where programs are built, other users may have no way to.
        for name in ["sealbook-node", "sealbook-execution"] {
            fs::copy(network.programs().path(name), programs.join(name)).unwrap();
        }
        let modules = network.folder().join("modules");
        for folder in [network.scratch(), network.folder(), &modules] {
            fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
        }
        give(&sockets, MODULE);
        Self {
            programs,
            socket: sockets.join("node-1"),
            module: modules.join("node-1"),
        }
    }

    fn attend(&self) -> Attendant {
        let mut process = Command::new(self.programs.join("sealbook-execution"))
            .arg("attend")
            .arg(&self.socket)
            .arg(HOST.to_string())
            .arg(self.module.join("module.key"))
            .arg(self.module.join("root-0"))
            .uid(MODULE)
            .gid(MODULE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut notes = BufReader::new(process.stderr.take().unwrap());
        let mut first = String::new();
        notes.read_line(&mut first).unwrap();
        assert!(first.contains("waits at"), "{first}");
        Attendant {
            process,
            _notes: notes,
        }
    }

    fn run_as(&self, network: &mut TestNetwork, node: &str, user: u32) {
        let [user, group] = ["--reuid", "--regid"].map(|option| format!("{option}={user}"));
        let words = [
            "setpriv".to_owned(),
            user,
            group,
            "--clear-groups".to_owned(),
        ];
        network.on_host(node, words.to_vec());
        let program = self.programs.join("sealbook-node");
        network.stand_in(node, &[program.to_str().unwrap()]);
    }
}

/// Gives a folder and all in it to a user.
fn give(folder: &Path, user: u32) {
    let done = Command::new("chown")
        .args(["-R", &format!("{user}:{user}")])
        .arg(folder)
        .status();
    assert!(done.unwrap().success());
}

/// Whether a user's command succeeds.
fn can(user: u32, command: &[&str]) -> bool {
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).uid(user).gid(user);
    let quiet = process.stdin(Stdio::null()).stdout(Stdio::null());
    quiet.stderr(Stdio::null()).status().unwrap().success()
}

/// Whether a user can open a file to read, whatever is in it.
fn can_open(user: u32, file: &str) -> bool {
    can(user, &["sh", "-c", ": < \"$0\"", file])
}

/// What a user gets hold of in a process.
fn reaches(user: u32, pid: u32) -> Vec<&'static str> {
    let mut found = Vec::new();
    for name in ["mem", "maps", "environ", "auxv"] {
        if can_open(user, &format!("/proc/{pid}/{name}")) {
            found.push(name);
        }
    }
    for name in ["fd", "map_files"] {
        if can(user, &["ls", &format!("/proc/{pid}/{name}/")]) {
            found.push(name);
        }
    }
    for name in ["root", "cwd", "exe", "ns/user"] {
        if can(user, &["readlink", &format!("/proc/{pid}/{name}")]) {
            found.push(name);
        }
    }
    if can(user, &["sh", "-c", "kill -0 $0", &pid.to_string()]) {
        found.push("signal");
    }
    if can_trace(user, pid) {
        found.push("trace");
    }
    found
}

/// Whether a user can trace a process, which the tracer's end then lets go on.
fn can_trace(user: u32, pid: u32) -> bool {
    let call = match std::env::consts::ARCH {
        "x86_64" => 101,
        "aarch64" => 117,
        other => panic!("no number of `ptrace` for {other}"),
    };
    // PTRACE_SEIZE.
    let script = format!("exit(syscall({call}, 0x4206, {pid}, 0, 0) == 0 ? 0 : 1)");
    can(user, &["perl", "-e", &script])
}

/// The doorman and the module that an attendant has started.
fn started_by(attendant: &Attendant) -> Vec<u32> {
    processes::descendants(attendant.process.id())
}

/// A transaction goes through, and all nodes agree.
fn works(network: &TestNetwork, account: &str) {
    let order = line(
        "alpha",
        "open-account",
        json!({"account": account, "holder": "Somebody"}),
    );
    let answers = run(network, order.as_bytes());
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
    assert_eq!(answers.line(1)["outcome"], "settled");
    let _ = network.agreement();
}

#[test]
fn a14_the_nodes_user_reaches_neither_files_nor_processes_of_a_module_with_its_own() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: only root can start processes of several users");
        return;
    }
    let mut network = TestNetwork::create(4, 0, &[]);
    let place = Place::of(&network);
    let folder = network.folder().to_path_buf();
    sealbook_system::configuration::set_module_socket(&folder, "node-1", &place.socket);
    let execution = place.programs.join("sealbook-execution");
    sealbook_system::configuration::set_module_program(&folder, "node-2", &execution);
    give(&place.module, MODULE);
    told_what_is_missing(&network, &place);
    give(&folder.join("node-1"), HOST);
    give(&folder.join("node-2"), SHARED);
    give(&folder.join("modules/node-2"), SHARED);

    place.run_as(&mut network, "node-1", HOST);
    place.run_as(&mut network, "node-2", SHARED);
    let mut attendant = place.attend();
    network.start_all();
    let enrol = json!({"name": "alpha", "role": "firm", "organisation": "alpha"});
    let enrolled = run(&network, line("admin", "enrol", enrol).as_bytes());
    assert_eq!(enrolled.ran.code, 0, "{}", enrolled.ran.err);
    works(&network, "A-1");
    doctor_tells_them_apart(&network);

    let module = started_by(&attendant);
    assert_eq!(module.len(), 2, "a doorman and a module");
    for pid in &module {
        assert_eq!(reaches(HOST, *pid), [""; 0], "process {pid}");
    }
    // The attendant, through which one could get at the module before it is shut in.
    assert_eq!(reaches(HOST, attendant.process.id()), [""; 0]);
    // The same tries, on a process of one's own, find all there is.
    let own = reaches(HOST, network.pid("node-1"));
    for what in ["maps", "environ", "fd", "exe", "signal"] {
        assert!(own.contains(&what), "{what}: {own:?}");
    }
    // Some systems let nobody but a parent do this.
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    if scope.is_err() || scope.is_ok_and(|scope| scope.trim() == "0") {
        assert!(own.contains(&"mem") && own.contains(&"trace"), "{own:?}");
    }
    key_files(&network, &place);
    assert_eq!(reaches(MODULE, network.pid("node-1")), [""; 0]);
    assert_eq!(started_by(&attendant), module, "nothing was disturbed");

    // A node that is killed takes its module with it and gets another one.
    network.kill("node-1");
    wait_for("the module to end", || {
        started_by(&attendant).is_empty().then_some(())
    });
    network.start("node-1");
    works(&network, "A-2");
    // So does an attendant, and the node goes on with the next one.
    let module = started_by(&attendant);
    attendant.process.kill().unwrap();
    attendant.process.wait().unwrap();
    wait_for("the module to end", || {
        module
            .iter()
            .all(|pid| !processes::is_alive(*pid))
            .then_some(())
    });
    wait_for("node-1 to say so", || {
        let status = network.status();
        let problem = status.get("node-1")?["problem"].as_str()?;
        problem
            .contains("nobody starts execution modules")
            .then_some(())
    });
    let attendant = place.attend();
    works(&network, "A-3");
    network.stop_all();
    wait_for("the module to end", || {
        started_by(&attendant).is_empty().then_some(())
    });
}

/// Who starts the node where nobody listens, or as somebody else, is told.
fn told_what_is_missing(network: &TestNetwork, place: &Place) {
    let start = || {
        network
            .sealbook(&["node", "start", "node-1"])
            .expect_code(1)
            .err
    };
    let said = start();
    assert!(
        said.contains("nobody starts execution modules at"),
        "{said}"
    );
    assert!(
        said.contains("hint: the module's user must be running"),
        "{said}"
    );
    let _attendant = place.attend();
    let said = start();
    assert!(said.contains("the connection was closed"), "{said}");
    assert!(
        said.contains("hint: `sealbook-execution attend` serves one user"),
        "{said}"
    );
}

/// The key files, of node-1 and of node-2, whose module has its node's user.
fn key_files(network: &TestNetwork, place: &Place) {
    let file = |name: &str| network.folder().join(name).to_str().unwrap().to_owned();
    for name in ["module.key", "root-0", "module.pub"] {
        let path = place.module.join(name).to_str().unwrap().to_owned();
        assert!(
            !can_open(HOST, &path),
            "{path} is readable by the node's user"
        );
        assert!(can_open(MODULE, &path), "{path}");
        let shared = file(&format!("modules/node-2/{name}"));
        assert!(
            can_open(SHARED, &shared),
            "{shared} is not, with a shared user"
        );
    }
    let folder = place.module.to_str().unwrap();
    // A folder of the node's user, where it may put things.
    let own = tempfile::tempdir().unwrap();
    give(own.path(), HOST);
    let at = |name: &str| own.path().join(name).to_str().unwrap().to_owned();
    assert!(can(HOST, &["mkdir", &at("one")]));
    assert!(can(HOST, &["mv", &at("one"), &at("two")]));
    assert!(can(HOST, &["ln", "-s", "/", &at("link")]));
    assert!(can(HOST, &["ls", &at("two")]));
    for command in [
        vec!["ls", folder],
        vec!["mv", folder, &at("elsewhere")],
        vec!["rm", "-rf", place.socket.to_str().unwrap()],
        vec!["ln", "-s", "/", &file("modules/new")],
    ] {
        assert!(!can(HOST, &command), "{command:?}");
    }
    // The other way round, and for whoever has nothing to do with the network.
    for name in ["node-1", "node-1/ledger", "node-1/votes"] {
        assert!(can(HOST, &["ls", &file(name)]), "{name}");
        for user in [MODULE, NOBODY] {
            assert!(!can(user, &["ls", &file(name)]), "{name}, user {user}");
        }
    }
    for name in ["node-1/key.pem", "node-1/node.toml"] {
        assert!(can_open(HOST, &file(name)), "{name}");
        for user in [MODULE, NOBODY] {
            assert!(!can_open(user, &file(name)), "{name}, user {user}");
        }
    }
    for user in [HOST, MODULE, NOBODY] {
        assert!(!can_open(user, &file("audit.key")), "user {user}");
        for name in ["members", "members/admin", "ca", "run"] {
            assert!(!can(user, &["ls", &file(name)]), "{name}, user {user}");
        }
    }
    // What anybody may know: the look itself works.
    assert!(can_open(NOBODY, &file("genesis")));
}

/// `sealbook doctor` and `status` show whose module has a user of its own.
fn doctor_tells_them_apart(network: &TestNetwork) {
    let found = network
        .sealbook(&["--json", "doctor"])
        .expect_code(0)
        .json();
    let found = found.as_array().unwrap();
    let step = |node: &str| -> &Value {
        let of_node = |one: &&Value| {
            let text = one["text"].as_str().unwrap();
            one["where"] == node && text.starts_with("a user of its own")
        };
        found.iter().find(of_node).unwrap()
    };
    let own = step("node-1");
    assert_eq!(own["result"], "ok");
    assert_eq!(
        own["text"],
        "a user of its own (64011; the host is user 64012)"
    );
    assert_eq!(step("node-2")["result"], "warning");
    for (result, nodes) in [("ok", "node-1"), ("warning", "node-2, node-3, node-4")] {
        let of_files = |one: &&Value| one["what"] == "module's user" && one["result"] == result;
        let text = found.iter().find(of_files).unwrap()["text"]
            .as_str()
            .unwrap();
        assert!(text.ends_with(&format!(" on {nodes}")), "{text}");
    }
    let status = network.status();
    let lockdown = status["node-1"]["lockdown"].as_array().unwrap();
    assert!(lockdown.contains(&own["text"]), "{lockdown:?}");
}

#[test]
fn a14_a_node_is_prepared_for_a_module_of_another_user() {
    let network = TestNetwork::create(1, 0, &[]);
    let prepare = |more: &[&str], code: i32| {
        let words = ["node", "prepare", "node-9", "--module-socket"];
        let ran = network.sealbook(&[&words, more].concat());
        ran.expect_code(code).err
    };
    let said = prepare(&["/run/module/socket"], 2);
    assert!(said.contains("nodes with a module"), "{said}");
    let said = prepare(&["socket", "--validator"], 2);
    assert!(said.contains("an absolute path"), "{said}");
    let _ = prepare(&["/run/module/socket", "--validator"], 0);
    let written = fs::read_to_string(network.folder().join("node-9/node.toml")).unwrap();
    let (_, section) = written.split_once("[module]\n").unwrap();
    assert_eq!(section, "socket = \"/run/module/socket\"\n");
    // What root puts into the module's folder later is the module's, too.
    let folder = network.folder().join("modules/node-9");
    let owner = |name: &str| fs::metadata(folder.join(name)).unwrap().uid();
    let join = || {
        let ran = network.sealbook(&["node", "join", "node-9", "--from-genesis"]);
        ran.expect_code(1).err
    };
    let ledger = network.folder().join("node-9/ledger");
    fs::remove_dir(&ledger).unwrap();
    std::os::unix::fs::symlink("/tmp", &ledger).unwrap();
    let said = join();
    assert!(said.contains("is a link"), "{said}");
    if owner("module.key") == 0 {
        // Whoever owns a node's folder does not lead root elsewhere.
        give(&network.folder().join("node-9"), HOST);
        let said = join();
        assert!(said.contains("is another user's"), "{said}");
        give(&folder, MODULE);
        let again = ["recovery", "module", "node-9"];
        let _ = network.sealbook(&again).expect_code(0);
        for name in ["module.key", "module.pub"] {
            assert_eq!(owner(name), MODULE, "{name}");
        }
    }
}
