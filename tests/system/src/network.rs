//! A network of real processes that ends with the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::configuration;
use crate::processes::{self, Slowed};
use crate::programs::{Programs, Ran};

/// How long to wait for what must come before the test fails; not a measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A network.
pub struct TestNetwork {
    nodes: BTreeMap<String, Child>,
    /// Processes that stand still, by node.
    paused: BTreeMap<String, Vec<u32>>,
    /// What to run instead of `sealbook-node`, by node.
    stand_ins: BTreeMap<String, Vec<String>>,
    /// What to put before a node's command, by node.
    hosts: BTreeMap<String, Vec<String>>,
    programs: Programs,
    temporary: tempfile::TempDir,
    folder: PathBuf,
    log_level: &'static str,
}

impl TestNetwork {
    /// Makes a network; its nodes do not run yet.
    ///
    /// # Panics
    /// `sealbook network create` fails.
    #[must_use]
    pub fn create(validators: usize, observers: usize, more: &[&str]) -> Self {
        let programs = Programs::hold();
        let temporary = tempfile::Builder::new()
            .prefix("sealbook-test-")
            .tempdir()
            .unwrap();
        let folder = temporary.path().join("network");
        let mut arguments = vec!["network".to_owned(), "create".to_owned()];
        arguments.push(folder.to_str().unwrap().to_owned());
        arguments.extend(["--validators".to_owned(), validators.to_string()]);
        arguments.extend(["--observers".to_owned(), observers.to_string()]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let _ = programs.sealbook(&arguments).expect_code(0);
        let folder = folder.canonicalize().unwrap();
        Self {
            nodes: BTreeMap::new(),
            paused: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
            hosts: BTreeMap::new(),
            programs,
            temporary,
            folder,
            log_level: "warn",
        }
    }

    /// Makes a network and starts all its nodes.
    #[must_use]
    pub fn running(validators: usize, observers: usize) -> Self {
        let mut network = Self::create(validators, observers, &[]);
        network.start_all();
        network
    }

    /// Sets how much the nodes write into their logs from the next start on.
    pub const fn log_everything(&mut self) {
        self.log_level = "trace";
    }

    /// The network's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder for whatever the test needs, removed with the network.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.temporary.path()
    }

    /// The programs.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Names of all nodes, running or not.
    ///
    /// # Panics
    /// The folder cannot be read.
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        configuration::node_names(&self.folder)
    }

    /// Lets another program take the place of a node from its next start on; it gets the node's folder as its last
    /// argument but one, like a node.
    pub fn stand_in(&mut self, name: &str, command: &[&str]) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        self.stand_ins.insert(name.to_owned(), command);
    }

    /// Sets what to put before the command that starts a node, from its next start on.
    pub fn on_host(&mut self, name: &str, before: Vec<String>) {
        self.hosts.insert(name.to_owned(), before);
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self) {
        for name in self.node_names() {
            if !self.nodes.contains_key(&name) {
                self.start(&name);
            }
        }
    }

    /// Starts a node.
    ///
    /// # Panics
    /// It runs already, or cannot be started.
    pub fn start(&mut self, name: &str) {
        let folder = self.folder.join(name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("node.log"))
            .unwrap();
        let mut words = self.hosts.get(name).cloned().unwrap_or_default();
        words.extend(self.stand_ins.get(name).cloned().unwrap_or_else(|| {
            let program = self.programs.path("sealbook-node");
            vec![program.to_str().unwrap().to_owned()]
        }));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(&folder)
            .arg("--until-input-closes")
            .env("SEALBOOK_LOG", self.log_level)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        assert!(
            self.nodes.insert(name.to_owned(), child).is_none(),
            "`{name}` runs already"
        );
    }

    /// Ends a node with SIGKILL.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.nodes.remove(name).unwrap();
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        // A module that stands still would not notice that its node is gone.
        self.resume(name);
    }

    /// Lets a node and its module stand still.
    pub fn pause(&mut self, name: &str) {
        let pids = self.pids(name);
        pids.iter().for_each(|pid| processes::pause(*pid));
        self.paused.insert(name.to_owned(), pids);
    }

    /// Lets a node and its module go on.
    pub fn resume(&mut self, name: &str) {
        for pid in self.paused.remove(name).unwrap_or_default() {
            processes::resume(pid);
        }
    }

    /// Lets a node and its module have the processor for a tenth of the time, until the value is dropped.
    #[must_use]
    pub fn slow(&self, name: &str) -> Slowed {
        let (running, standing) = (Duration::from_millis(20), Duration::from_millis(180));
        Slowed::begin(self.pids(name), running, standing)
    }

    fn pids(&self, name: &str) -> Vec<u32> {
        let mut pids = self.module_pids(name);
        pids.push(self.pid(name));
        pids
    }

    /// Ends all nodes with SIGKILL, one right after the other.
    pub fn kill_all(&mut self) {
        let mut children: Vec<Child> = std::mem::take(&mut self.nodes).into_values().collect();
        for child in &mut children {
            let _ = child.kill();
        }
        for child in &mut children {
            let _ = child.wait();
        }
        let paused: Vec<String> = self.paused.keys().cloned().collect();
        paused.iter().for_each(|name| self.resume(name));
    }

    /// Stops a node in order.
    ///
    /// # Panics
    /// It does not stop, or not with exit code 0.
    pub fn stop(&mut self, name: &str) {
        let mut child = self.nodes.remove(name).unwrap();
        drop(child.stdin.take());
        let status = wait_for(&format!("`{name}` to stop"), || child.try_wait().unwrap());
        assert!(
            status.success(),
            "`{name}` stopped with {status}: {}",
            self.log(name)
        );
    }

    /// Stops all nodes in order.
    pub fn stop_all(&mut self) {
        // All are told before the first is waited for, or the last would wait for votes.
        let mut children = std::mem::take(&mut self.nodes);
        for child in children.values_mut() {
            drop(child.stdin.take());
        }
        for (name, child) in &mut children {
            let status = wait_for(&format!("`{name}` to stop"), || child.try_wait().unwrap());
            assert!(
                status.success(),
                "`{name}` stopped with {status}: {}",
                self.log(name)
            );
        }
    }

    /// Waits for a node that is expected to end by itself; returns its exit code.
    ///
    /// # Panics
    /// It does not end.
    pub fn wait_for_end(&mut self, name: &str) -> Option<i32> {
        let mut child = self.nodes.remove(name).unwrap();
        let status = wait_for(&format!("`{name}` to end by itself"), || {
            child.try_wait().unwrap()
        });
        status.code()
    }

    /// Whether a node that was started has ended.
    ///
    /// # Panics
    /// It was not started.
    pub fn ended(&mut self, name: &str) -> bool {
        self.nodes
            .get_mut(name)
            .unwrap()
            .try_wait()
            .unwrap()
            .is_some()
    }

    /// Makes sure that a node does not run, whether it has ended by itself or not.
    pub fn forget(&mut self, name: &str) {
        if let Some(mut child) = self.nodes.remove(name) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Process id of a running node.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        self.nodes[name].id()
    }

    /// Process ids of a node's execution module; its doorman, the process that it came from, is not among them.
    #[must_use]
    pub fn module_pids(&self, name: &str) -> Vec<u32> {
        let module = self.programs.path("sealbook-execution");
        let mut pids = processes::descendants(self.pid(name));
        pids.retain(|pid| processes::program_of(*pid).is_some_and(|path| path == module));
        pids.retain(|pid| processes::descendants(*pid).is_empty());
        pids
    }

    /// What a node has logged.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.join(name).join("node.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs `sealbook` on this network.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn sealbook<A: AsRef<str>>(&self, arguments: &[A]) -> Ran {
        let mut all = vec![
            "--network".to_owned(),
            self.folder.to_str().unwrap().to_owned(),
        ];
        all.extend(
            arguments
                .iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self.programs.sealbook(&all)
    }

    /// How the nodes are, by name; a node that does not answer has a `problem` and no `height`.
    #[must_use]
    pub fn status(&self) -> BTreeMap<String, Value> {
        let ran = self.sealbook(&["--json", "status"]);
        let Ok(Value::Array(rows)) = serde_json::from_str(&ran.out) else {
            return BTreeMap::new();
        };
        rows.into_iter()
            .map(|row| (row["name"].as_str().unwrap_or_default().to_owned(), row))
            .collect()
    }

    /// Waits until every running node is at the same height, every validator among them has executed it, and all state
    /// roots of that height are equal; returns height and root.
    ///
    /// # Panics
    /// They do not agree in time, or differ at the same height.
    pub fn agreement(&self) -> (u64, String) {
        wait_for("the nodes to agree", || {
            let status = self.status();
            let running: Vec<&Value> = self
                .nodes
                .keys()
                .filter_map(|name| status.get(name))
                .collect();
            let mut roots: BTreeMap<u64, String> = BTreeMap::new();
            for row in &running {
                if row["validator"] == true {
                    let height = row["executed_height"].as_u64()?;
                    let root = row["state_root"].as_str()?.to_owned();
                    let known = roots.entry(height).or_insert_with(|| root.clone());
                    assert_eq!(*known, root, "state roots differ at height {height}");
                }
            }
            let heights: Vec<Option<u64>> =
                running.iter().map(|row| row["height"].as_u64()).collect();
            let (height, root) = roots.pop_first()?;
            let alike = heights.iter().all(|other| *other == Some(height));
            (alike && running.len() == self.nodes.len() && roots.is_empty() && height > 0)
                .then_some((height, root))
        })
    }

    /// Waits until a node has executed this height.
    pub fn wait_for_height(&self, name: &str, height: u64) {
        wait_for(&format!("`{name}` to reach {height}"), || {
            let status = self.status();
            let row = status.get(name)?;
            let field = if row["validator"] == true {
                "executed_height"
            } else {
                "height"
            };
            (row[field].as_u64()? >= height).then_some(())
        });
    }

    /// Runs `audit verify` on a copy with this network's audit key.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn audit(&self, copy: &Path) -> Ran {
        self.audit_with(copy, &self.folder.join("audit.key"))
    }

    /// Runs `audit verify` on a copy with an audit key.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn audit_with(&self, copy: &Path, key: &Path) -> Ran {
        let (copy, key) = (copy.to_str().unwrap(), key.to_str().unwrap());
        self.programs
            .sealbook(&["--json", "audit", "verify", "--ledger", copy, "--key", key])
    }
}

/// Waits until `ready` gives a value.
///
/// # Panics
/// It does not within [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.node_names() {
                let log = self.log(&name);
                let lines: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("--- end of the log of {name}");
                lines.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        self.kill_all();
    }
}
