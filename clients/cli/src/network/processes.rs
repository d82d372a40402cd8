//! Node processes: started in the background (`network start`) or for as long as a command runs (`scenario`, `demo`).
//!
//! A node that belongs to a command has a pipe as its standard input and stops when the pipe closes, so that it never
//! outlives the command, however that ends.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{CliError, Result, doing};
use crate::network::{NetworkFiles, make_private_folder};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The path of another program of Sealbook, beside this one.
///
/// # Errors
/// It is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(doing("own path"))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(CliError::new(format!("`{name}` is not beside `sealbook`"))
        .hint("build all programs: cargo build --workspace --bins"))
}

fn log_file(files: &NetworkFiles, node: &str) -> Result<File> {
    let path = files.node(node).join("node.log");
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(doing(path.display()))
}

fn command(files: &NetworkFiles, node: &str) -> Result<Command> {
    let mut command = Command::new(program("sealbook-node")?);
    command
        .arg(files.node(node))
        .stdout(Stdio::null())
        .stderr(log_file(files, node)?);
    Ok(command)
}

/// Nodes that run for as long as this value lives.
pub struct Running {
    files: NetworkFiles,
    nodes: Vec<Option<Child>>,
}

impl Running {
    /// Starts all nodes.
    ///
    /// # Errors
    /// One does not start.
    pub fn start(files: &NetworkFiles) -> Result<Self> {
        let mut running = Self {
            files: files.clone(),
            nodes: Vec::new(),
        };
        for index in 0..files.nodes().len() {
            running.nodes.push(None);
            running.start_node(index)?;
        }
        Ok(running)
    }

    /// Starts a node, named by its place in the network's list.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_node(&mut self, index: usize) -> Result<()> {
        let Some(node) = self.files.nodes().get(index) else {
            return Ok(());
        };
        let child = command(&self.files, &node.name)?
            .arg("--until-input-closes")
            .stdin(Stdio::piped())
            .spawn()
            .map_err(doing(format!("cannot start `{}`", node.name)))?;
        if let Some(place) = self.nodes.get_mut(index) {
            *place = Some(child);
        }
        Ok(())
    }

    /// Stops all nodes in order and waits for them.
    pub fn stop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            drop(child.stdin.take());
        }
        let deadline = Instant::now() + STOP_LIMIT;
        for place in &mut self.nodes {
            if let Some(child) = place.take() {
                wait_or_kill(child, deadline);
            }
        }
    }

    /// Stops a node in order, named by its place in the network's list, and waits for it.
    pub fn stop_node(&mut self, index: usize) {
        let Some(mut child) = self.nodes.get_mut(index).and_then(Option::take) else {
            return;
        };
        drop(child.stdin.take());
        wait_or_kill(child, Instant::now() + STOP_LIMIT);
    }
}

fn wait_or_kill(mut child: Child, deadline: Instant) {
    loop {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return,
            Ok(None) if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the process is alive and is the node of this folder (process ids are used again by the system).
fn is_node(pid: u32, folder: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let mut parts = line.split(|byte| *byte == 0);
    let program = parts.next().unwrap_or_default();
    let argument = parts.next().unwrap_or_default();
    program.ends_with(b"sealbook-node") && argument == folder.as_os_str().as_encoded_bytes()
}

fn read_pid(files: &NetworkFiles, node: &str) -> Option<u32> {
    let pid = fs::read_to_string(files.pid_file(node))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    is_node(pid, &files.node(node)).then_some(pid)
}

/// Whether a node runs in the background.
pub fn is_running(files: &NetworkFiles, node: &str) -> bool {
    read_pid(files, node).is_some()
}

/// Starts the named nodes in the background, leaving alone those that run, and waits until they serve clients; returns the
/// names of those it started.
///
/// # Errors
/// One does not start.
pub fn start_background(files: &NetworkFiles, names: &[String]) -> Result<Vec<String>> {
    make_private_folder(&files.folder().join("run"))?;
    let mut started = Vec::new();
    for name in names {
        if read_pid(files, name).is_some() {
            continue;
        }
        let child = command(files, name)?
            .stdin(Stdio::null())
            // Its own group: what is typed at this terminal later does not reach it.
            .process_group(0)
            .spawn()
            .map_err(doing(format!("cannot start `{name}`")))?;
        fs::write(files.pid_file(name), child.id().to_string()).map_err(doing("pid file"))?;
        started.push((name.clone(), child));
    }
    let deadline = Instant::now() + START_LIMIT;
    for (name, child) in &mut started {
        wait_until_serving(files, name, child, deadline)?;
    }
    Ok(started.into_iter().map(|(name, _)| name).collect())
}

/// Waits until a node takes connections of clients, or fails with what it said before it ended.
fn wait_until_serving(
    files: &NetworkFiles,
    name: &str,
    child: &mut Child,
    deadline: Instant,
) -> Result<()> {
    let node = files.nodes().iter().find(|node| node.name == name);
    let Some(address) = node.map(|node| node.clients) else {
        return Ok(());
    };
    loop {
        if TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok() {
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            let log = fs::read_to_string(files.node(name).join("node.log")).unwrap_or_default();
            let (last, hint) = last_words(&log);
            return Err(CliError::new(format!("`{name}` does not start: {last}")).hint(hint));
        }
        if Instant::now() > deadline {
            return Err(
                CliError::new(format!("`{name}` runs but takes no connections"))
                    .hint("its log is node.log in its folder"),
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a node said last, and its hint or where to find more.
fn last_words(log: &str) -> (&str, &str) {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let mut last = lines.next().unwrap_or("it said nothing");
    let mut hint = "its log is node.log in its folder";
    if let Some(given) = last.strip_prefix("hint: ") {
        hint = given;
        last = lines.next().unwrap_or("it said nothing");
    }
    (last.trim_start_matches("error: "), hint)
}

/// Stops the named nodes in order; returns the names of those that it stopped.
///
/// # Errors
/// One does not stop.
pub fn stop_background(files: &NetworkFiles, names: &[String]) -> Result<Vec<String>> {
    let running: Vec<(String, u32)> = names
        .iter()
        .filter_map(|name| Some((name.clone(), read_pid(files, name)?)))
        .collect();
    for (name, pid) in &running {
        let id = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        let told = id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
        if !told && is_node(*pid, &files.node(name)) {
            return Err(CliError::new(format!(
                "cannot tell `{name}` (process {pid}) to stop"
            )));
        }
    }
    let deadline = Instant::now() + STOP_LIMIT;
    for (name, pid) in &running {
        while is_node(*pid, &files.node(name)) {
            if Instant::now() > deadline {
                return Err(
                    CliError::new(format!("`{name}` (process {pid}) does not stop"))
                        .hint("its log is node.log in its folder"),
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_file(files.pid_file(name));
    }
    Ok(running.into_iter().map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_node_are_its_error_and_its_hint() {
        let usual = "its log is node.log in its folder";
        assert_eq!(last_words(""), ("it said nothing", usual));
        assert_eq!(last_words("x\nerror: no key\n\n"), ("no key", usual));
        let both = "x\nerror: nobody is there\nhint: start it\n";
        assert_eq!(last_words(both), ("nobody is there", "start it"));
    }
}
