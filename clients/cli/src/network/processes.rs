//! Node processes: started in the background (`network start`) or for as long as a command runs (`scenario`, `demo`).
//!
//! A node that belongs to a command has a pipe as its standard input and stops when the pipe closes, so that it never
//! outlives the command, however that ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{CliError, Result, doing};
use crate::network::NetworkFiles;

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
    File::options().create(true).append(true).open(&path).map_err(doing(path.display()))
}

fn command(files: &NetworkFiles, node: &str) -> Result<Command> {
    let mut command = Command::new(program("sealbook-node")?);
    command.arg(files.node(node)).stdout(Stdio::null()).stderr(log_file(files, node)?);
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
        let mut running = Self { files: files.clone(), nodes: Vec::new() };
        for index in 0..files.nodes().len() {
            running.nodes.push(None);
            running.start_node(index)?;
        }
        Ok(running)
    }

    fn start_node(&mut self, index: usize) -> Result<()> {
        let Some(node) = self.files.nodes().get(index) else { return Ok(()) };
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
            let Some(mut child) = place.take() else { continue };
            loop {
                match child.try_wait() {
                    Ok(Some(_)) | Err(_) => break,
                    Ok(None) if Instant::now() > deadline => {
                        let _ = child.kill();
                        let _ = child.wait();
                        break;
                    }
                    Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
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
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut parts = line.split(|byte| *byte == 0);
    let program = parts.next().unwrap_or_default();
    let argument = parts.next().unwrap_or_default();
    program.ends_with(b"sealbook-node") && argument == folder.as_os_str().as_encoded_bytes()
}

fn read_pid(files: &NetworkFiles, node: &str) -> Option<u32> {
    let pid = fs::read_to_string(files.pid_file(node)).ok()?.trim().parse().ok()?;
    is_node(pid, &files.node(node)).then_some(pid)
}

/// Starts the named nodes in the background, leaving alone those that run; returns the names of those it started.
///
/// # Errors
/// One does not start.
pub fn start_background(files: &NetworkFiles, names: &[String]) -> Result<Vec<String>> {
    fs::create_dir_all(files.folder().join("run")).map_err(doing("run folder"))?;
    let mut started = Vec::new();
    for name in names {
        if read_pid(files, name).is_some() {
            continue;
        }
        let child = command(files, name)?
            .stdin(Stdio::null())
            .spawn()
            .map_err(doing(format!("cannot start `{name}`")))?;
        fs::write(files.pid_file(name), child.id().to_string()).map_err(doing("pid file"))?;
        started.push(name.clone());
    }
    Ok(started)
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
        let told = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        if !told.is_ok_and(|status| status.success()) {
            return Err(CliError::new(format!("cannot tell `{name}` (process {pid}) to stop")));
        }
    }
    let deadline = Instant::now() + STOP_LIMIT;
    for (name, pid) in &running {
        while is_node(*pid, &files.node(name)) {
            if Instant::now() > deadline {
                return Err(CliError::new(format!("`{name}` (process {pid}) does not stop"))
                    .hint("its log is node.log in its folder"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_file(files.pid_file(name));
    }
    Ok(running.into_iter().map(|(name, _)| name).collect())
}
