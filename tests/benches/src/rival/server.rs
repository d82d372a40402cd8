//! PostgreSQL's programs, and one running server.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::text;
use crate::{Result, processor};

/// Where Debian keeps them, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
const NEEDED: [&str; 5] = ["initdb", "pg_basebackup", "pgbench", "postgres", "psql"];
const MISSING: &str = "PostgreSQL is missing. On Debian or Ubuntu: sudo apt-get install postgresql";

/// All servers, the primary and its standbys.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "synchronous_commit=on",
    "fsync=on",
    "full_page_writes=on",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "effective_cache_size=12GB",
    "work_mem=64MB",
    "max_connections=100",
    // The planner would take several processes for queries of some milliseconds, which then take twice as long.
    "max_parallel_workers_per_gather=0",
    // What a standby still needs must not go while it is being made.
    "wal_keep_size=2GB",
];

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// The longest path of a socket that every system takes.
const SOCKET_PATH_MAX: usize = 100;

/// Stands between us and a server, and ends it when the pipe from us closes: however we end, it goes, and its data too.
/// `$1` is the folder with the data, the rest the server's command.
const WATCHER: &str = r#"
    trap '' HUP INT TERM
    data=$1
    shift
    "$@" &
    read -r _
    kill -QUIT $!
    wait
    rm -rf "$data"
"#;

/// Where PostgreSQL's programs are, and as whom servers run.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    /// User and group, if we are root: a server refuses to run as root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// The newest version that is installed.
    pub(super) fn find() -> Result<Self> {
        let mut versions: Vec<(u32, PathBuf)> = Vec::new();
        for entry in fs::read_dir(VERSIONS).into_iter().flatten().flatten() {
            if let Ok(version) = entry.file_name().to_string_lossy().parse() {
                versions.push((version, entry.path().join("bin")));
            }
        }
        versions.sort();
        let elsewhere = answer(Command::new("pg_config").arg("--bindir"));
        let mut folders = versions.into_iter().rev().map(|(_, folder)| folder);
        let folder = folders
            .by_ref()
            .chain(elsewhere.ok().map(PathBuf::from))
            .find(|folder| NEEDED.iter().all(|name| folder.join(name).is_file()))
            .ok_or(MISSING)?;
        let root = fs::metadata("/proc/self")?.uid() == 0;
        let id = |what| -> Result<u32> {
            Ok(answer(Command::new("id").args([what, "postgres"]))?.parse()?)
        };
        let user = if root {
            Some((id("-u")?, id("-g")?))
        } else {
            None
        };
        Ok(Self { folder, user })
    }

    /// A program that runs as we do, with nothing of our environment.
    pub(super) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        bare(&mut command);
        command
    }

    /// Runs a program as the servers' user.
    pub(super) fn run_as_server(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.client(name);
        self.as_server(&mut command);
        answer(command.args(arguments))?;
        Ok(())
    }

    /// Gives a folder to the servers' user, and lets that user pass through the one above.
    pub(super) fn hand_over(&self, above: &Path, folder: &Path) -> Result<()> {
        if let Some((user, group)) = self.user {
            let mode = fs::metadata(above)?.permissions().mode();
            fs::set_permissions(above, fs::Permissions::from_mode(mode | 0o011))?;
            chown(folder, Some(user), Some(group))?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }

    fn as_server(&self, command: &mut Command) {
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
    }
}

/// Nothing of our environment, which might name another server, and a folder that everybody may be in.
fn bare(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
}

/// What a program prints, or what it complains of.
pub(super) fn answer(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    checked(command, &output)
}

fn checked(command: &Command, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let program = Path::new(command.get_program()).display();
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}\n{complaint}", output.status).into())
}

/// A running server, stopped and removed when this value goes.
#[derive(Debug)]
pub(super) struct Server {
    watcher: Child,
    /// Where the socket is.
    folder: PathBuf,
    port: u16,
    data: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts a server with the data in `folder/name`, and waits until it answers.
    pub(super) fn start(
        programs: &Programs,
        folder: &Path,
        name: &str,
        settings: &[String],
    ) -> Result<Self> {
        let data = folder.join(name);
        // The port is only a part of the socket's name, and the folder is ours.
        let port = (5432..)
            .find(|port| !socket(folder, *port).exists())
            .ok_or("no free port")?;
        if text(&socket(folder, port)).len() > SOCKET_PATH_MAX {
            let folder = folder.display();
            return Err(format!("`{folder}` is too long for a socket: set TMPDIR").into());
        }
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new("/bin/sh");
        bare(&mut command);
        command.args(["-c", WATCHER, "sh"]).arg(&data);
        command.arg(programs.folder.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        command.args(["-c", &format!("unix_socket_directories={}", text(folder))]);
        let settings = settings.iter().map(String::as_str);
        for setting in SETTINGS.iter().copied().chain(settings) {
            command.args(["-c", setting]);
        }
        programs.as_server(&mut command);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let server = Self {
            watcher: command.spawn()?,
            folder: folder.to_owned(),
            port,
            data,
            log,
        };
        server.wait(programs)?;
        Ok(server)
    }

    fn wait(&self, programs: &Programs) -> Result<()> {
        let begun = Instant::now();
        loop {
            std::thread::sleep(POLL);
            let error = match self.sql(programs, "select 1") {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if begun.elapsed() > START_LIMIT || !processor::has_child(self.watcher.id()) {
                return Err(format!("PostgreSQL does not start: {error}\n{}", self.log()).into());
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The process whose children all of the server's other processes are.
    pub(super) fn pid(&self) -> Result<u32> {
        let lines = fs::read_to_string(self.data.join("postmaster.pid"))?;
        let first = lines.lines().next().unwrap_or_default();
        Ok(first.trim().parse()?)
    }

    /// What the server wrote about itself.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The arguments with which a client finds the books.
    pub(super) fn address(&self) -> [String; 6] {
        let words = [
            "-h",
            &text(&self.folder),
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
        ];
        words.map(str::to_owned)
    }

    /// Runs SQL and commands of psql; what they answer comes without headings, in columns separated by `|`.
    pub(super) fn sql(&self, programs: &Programs, text: &str) -> Result<String> {
        let mut command = programs.client("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command.args(self.address()).args(["-d", "postgres"]);
        command.args(["-f", "-"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // If it does not read to the end, it says why itself.
            let _ = input.write_all(text.as_bytes());
        }
        checked(&command, &child.wait_with_output()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        drop(self.watcher.stdin.take());
        let begun = Instant::now();
        while matches!(self.watcher.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP_LIMIT {
                eprintln!("error: PostgreSQL does not stop, and is killed");
                if let Ok(pid) = pid {
                    let _ = Command::new("kill")
                        .args(["-KILL", &pid.to_string()])
                        .status();
                }
                let _ = self.watcher.kill();
                let _ = self.watcher.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

fn socket(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}
