//! The attendant: runs as the module's own user, and starts a module for each connection of the node's.
//!
//! ```text
//! node (its user) --connects--> SOCKET: the attendant --starts--> the module, with the connection as its descriptor 0
//! ```
//!
//! The node's user, and whoever acts as it, can then neither read the module's files nor reach its processes. Everybody may
//! connect: the kernel says who did, and whoever is not the node's user is turned away unheard. The attendant reads neither
//! keys nor frames.
//!
//! INVARIANT: there is one module at a time. The newest connection counts, since a node that was killed comes back with a new
//! one: the module of the one before is ended, and waited for, first. A module ends with its connection and with the attendant.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sealbook_execution::lockdown::{self, outside};

/// The program of this very process, should its file be replaced meanwhile, too.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Who is no user of this namespace has this number, unless the system was told another one.
const USUAL_NOBODY: u32 = 65_534;
const NOBODY_FILE: &str = "/proc/sys/kernel/overflowuid";

/// Why there is no attendant, or none any more.
#[derive(Debug)]
pub struct Refusal {
    error: String,
    hint: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.error, self.hint)
    }
}

fn refusal(error: impl fmt::Display, hint: &'static str) -> Refusal {
    Refusal {
        error: error.to_string(),
        hint,
    }
}

/// Attends until it is killed, or something fails that makes it useless; says what.
pub fn attend(arguments: &[&str]) {
    let refusal = match prepare(arguments) {
        Ok(mut attendant) => attendant.serve(),
        Err(refusal) => refusal,
    };
    note(format_args!("{refusal}"));
}

/// A line for the operator. Whether anybody listens makes no difference.
fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What to serve, whom and with what.
struct Attendant<'a> {
    listener: UnixListener,
    host: u32,
    files: [&'a str; 2],
    module: Option<Module>,
}

/// A module's first process, its doorman, and a descriptor that tells its end.
struct Module {
    process: Child,
    end: OwnedFd,
}

fn prepare<'a>(arguments: &[&'a str]) -> Result<Attendant<'a>, Refusal> {
    let [socket, host, key, root] = *arguments else {
        return Err(refusal(
            "`attend` takes four arguments",
            "sealbook-execution attend SOCKET HOST-UID MODULE-KEY WRAPPED-ROOT",
        ));
    };
    let own = own_user()?;
    let host = host_user(host, own)?;
    check_key(Path::new(key), own)?;
    check_program(own)?;
    outside::adopt_orphans().map_err(|error| refusal(error, "another kernel"))?;
    let listener = listen(Path::new(socket), own)?;
    note(format_args!(
        "user {own} waits at `{socket}` for user {host}"
    ));
    Ok(Attendant {
        listener,
        host,
        files: [key, root],
        module: None,
    })
}

fn own_user() -> Result<u32, Refusal> {
    let hint = "start it as the module's own user: User= in its systemd unit, or setpriv --reuid";
    match outside::sole_user() {
        Some(0) => Err(refusal("the module must not run as root", hint)),
        Some(own) => Ok(own),
        None => Err(refusal("it runs as more than one user", hint)),
    }
}

/// The node's user, from whom this one is to keep the module.
fn host_user(text: &str, own: u32) -> Result<u32, Refusal> {
    let hint = "HOST-UID is the number of the user that sealbook-node runs as: id -u USER";
    let host: u32 = text
        .parse()
        .map_err(|_| refusal(format!("`{text}` is not the number of a user"), hint))?;
    let nobody = fs::read_to_string(NOBODY_FILE).ok();
    let nobody = nobody.and_then(|text| text.trim().parse().ok());
    let why = match host {
        0 => "the node's user is root, from whom no file is closed",
        _ if host == own => "the node's user is the module's, too: nothing would be kept from it",
        // The kernel names everybody so who is not known here.
        _ if host == u32::MAX || host == nobody.unwrap_or(USUAL_NOBODY) => {
            "this number stands for users that are not known here"
        }
        _ => return Ok(host),
    };
    Err(refusal(why, hint))
}

/// A key that others can read is kept from nobody. It is looked at and not read.
fn check_key(path: &Path, own: u32) -> Result<(), Refusal> {
    let shown = path.display();
    let hint = "the module's key is a file of the module's user, with mode 600";
    let found = fs::metadata(path).map_err(|error| refusal(format!("`{shown}`: {error}"), hint))?;
    let mode = found.mode() & 0o7777;
    if !found.is_file() {
        return Err(refusal(format!("`{shown}` is not a file"), hint));
    }
    if found.uid() != own {
        let whose = format!("`{shown}` belongs to user {}, not to {own}", found.uid());
        return Err(refusal(whose, hint));
    }
    if mode & 0o077 != 0 {
        return Err(refusal(format!("`{shown}` has mode {mode:o}"), hint));
    }
    Ok(())
}

/// Who may write to the program could have other code run as this user.
fn check_program(own: u32) -> Result<(), Refusal> {
    let hint = "the program is a file of root's that nobody else may write to";
    let found = fs::metadata(OWN_PROGRAM);
    let found = found.map_err(|error| refusal(format!("its own program: {error}"), hint))?;
    if ![0, own].contains(&found.uid()) || found.mode() & 0o022 != 0 {
        return Err(refusal("others may write to this program", hint));
    }
    Ok(())
}

fn listen(path: &Path, own: u32) -> Result<UnixListener, Refusal> {
    let shown = path.display();
    let hint =
        "the socket lies in a folder of the module's user or of root that nobody else may write to";
    let failed = |error: std::io::Error| refusal(format!("`{shown}`: {error}"), hint);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Who may write to the folder could listen there in the module's place.
    let folder = fs::metadata(folder).map_err(failed)?;
    if !folder.is_dir() || ![0, own].contains(&folder.uid()) || folder.mode() & 0o022 != 0 {
        let others = format!("others may write to the folder of `{shown}`");
        return Err(refusal(others, hint));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() || found.uid() != own => {
            return Err(refusal(
                format!("`{shown}` exists and is no socket of this user's"),
                hint,
            ));
        }
        Ok(_) => {
            // What an attendant leaves behind answers nobody.
            if UnixStream::connect(path).is_ok() {
                return Err(refusal(
                    format!("another attendant listens at `{shown}`"),
                    "stop it first, or name another socket",
                ));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    outside::listen(path).map_err(failed)
}

impl Attendant<'_> {
    fn serve(&mut self) -> Refusal {
        let hint = "the service manager starts it again; should this come again, look at the limits of this user";
        loop {
            let end = self.module.as_ref().map(|module| module.end.as_fd());
            let done = match outside::wait_for(&self.listener, end) {
                Ok(true) => self.end_module(),
                Ok(false) => self.accept(),
                Err(error) => Err(format!("it cannot wait: {error}")),
            };
            if let Err(error) = done {
                return refusal(error, hint);
            }
        }
    }

    /// Takes the next connection, if it is the node's.
    fn accept(&mut self) -> Result<(), String> {
        let connection = match self.listener.accept() {
            Ok((connection, _)) => connection,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(format!("it cannot take connections: {error}")),
        };
        // Everybody else is turned away without a word, here either: or they could fill this log.
        if lockdown::peer(&connection).ok() != Some(self.host) {
            return Ok(());
        }
        self.end_module()?;
        match self.start(connection) {
            Ok(module) => {
                note(format_args!(
                    "module started: process {}",
                    module.process.id()
                ));
                self.module = Some(module);
            }
            // The node tries again.
            Err(error) => note(format_args!("error: the module does not start: {error}")),
        }
        Ok(())
    }

    fn start(&self, connection: UnixStream) -> std::io::Result<Module> {
        let mut command = Command::new(OWN_PROGRAM);
        command
            .arg0("sealbook-execution")
            .arg("run")
            .args(self.files)
            .env_clear()
            .stdin(OwnedFd::from(connection))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        outside::kill_with_this(&mut command);
        let mut process = command.spawn()?;
        match outside::end_of(&process) {
            Ok(end) => Ok(Module { process, end }),
            Err(error) => {
                let _ = (process.kill(), process.wait());
                Err(error)
            }
        }
    }

    /// Ends the module, if there is one, and waits until nothing of it is left: with its doorman the kernel kills the module.
    fn end_module(&mut self) -> Result<(), String> {
        let Some(mut module) = self.module.take() else {
            return Ok(());
        };
        let _ = module.process.kill();
        let ended = module.process.wait().map_err(|error| error.to_string())?;
        outside::wait_for_orphans()?;
        note(format_args!("module ended: {ended}"));
        Ok(())
    }
}
