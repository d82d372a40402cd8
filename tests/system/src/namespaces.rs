//! Network namespaces: hosts of their own on one machine, with addresses, links and partitions of their own.
//!
//! ```text
//! sbPID-1 .. sbPID-n   a node each, 10.97.0.1 ..; interface eth0
//! sbPID-c              clients, 10.97.0.200
//! sbPID-s              the switches: two bridges joined by a trunk; a port is on either
//! ```
//!
//! Nothing of it can be seen or reached from outside; all of it is removed when the value goes, also on a panic.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Moves this thread into a network namespace; threads and processes that it starts from now on are in it too.
///
/// # Panics
/// It cannot be entered.
pub fn enter(namespace: &Path) {
    let file = File::open(namespace).unwrap();
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(LinkNameSpaceType::Network),
    )
    .unwrap();
}

/// Runs a program; an error is what it said.
fn run(arguments: &[&str]) -> Result<(), String> {
    let (program, rest) = arguments.split_first().unwrap();
    let output = Command::new(program)
        .args(rest)
        .output()
        .map_err(|error| format!("`{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}`: {}", arguments.join(" "), said.trim()))
}

fn must(arguments: &[&str]) {
    run(arguments).unwrap();
}

/// Hosts that are joined by switches.
#[derive(Debug)]
pub struct Hosts {
    prefix: String,
    made: Vec<String>,
    /// Host names and their numbers.
    hosts: BTreeMap<String, usize>,
}

/// The host that clients are on.
pub const CLIENTS: &str = "clients";

impl Hosts {
    /// Makes a host for each name, and one for clients.
    ///
    /// # Errors
    /// The machine does not allow it, with the reason in its own words.
    pub fn make(names: &[String]) -> Result<Self, String> {
        let mut hosts = Self {
            prefix: format!("sb{}", std::process::id()),
            made: Vec::new(),
            hosts: BTreeMap::new(),
        };
        hosts.build(names)?;
        Ok(hosts)
    }

    fn build(&mut self, names: &[String]) -> Result<(), String> {
        let switches = self.namespace("s")?;
        for bridge in ["left", "right"] {
            run(&[
                "ip", "-n", &switches, "link", "add", bridge, "type", "bridge",
            ])?;
            run(&["ip", "-n", &switches, "link", "set", bridge, "up"])?;
        }
        let trunk = ["type", "veth", "peer", "name", "trunk-right"];
        run(&[
            &["ip", "-n", &switches, "link", "add", "trunk-left"],
            &trunk[..],
        ]
        .concat())?;
        for (end, bridge) in [("trunk-left", "left"), ("trunk-right", "right")] {
            run(&[
                "ip", "-n", &switches, "link", "set", end, "master", bridge, "up",
            ])?;
        }
        let numbered = names
            .iter()
            .zip(1..)
            .map(|(name, number)| (name.as_str(), number));
        for (name, number) in numbered.chain([(CLIENTS, 200)]) {
            let tag = if name == CLIENTS {
                "c".to_owned()
            } else {
                number.to_string()
            };
            let namespace = self.namespace(&tag)?;
            self.hosts.insert(name.to_owned(), number);
            let (port, address) = (format!("port-{number}"), format!("10.97.0.{number}/24"));
            run(&[
                "ip", "-n", &switches, "link", "add", &port, "type", "veth", "peer", "name",
                "eth0", "netns", &namespace,
            ])?;
            run(&[
                "ip", "-n", &switches, "link", "set", &port, "master", "left", "up",
            ])?;
            run(&["ip", "-n", &namespace, "link", "set", "lo", "up"])?;
            run(&[
                "ip", "-n", &namespace, "address", "add", &address, "dev", "eth0",
            ])?;
            run(&["ip", "-n", &namespace, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    fn namespace(&mut self, tag: &str) -> Result<String, String> {
        let name = format!("{}-{tag}", self.prefix);
        run(&["ip", "netns", "add", &name])?;
        self.made.push(name.clone());
        Ok(name)
    }

    fn name_of(&self, host: &str) -> String {
        if host == CLIENTS {
            return format!("{}-c", self.prefix);
        }
        format!("{}-{}", self.prefix, self.hosts[host])
    }

    /// The address of a host.
    #[must_use]
    pub fn address(&self, host: &str) -> std::net::IpAddr {
        format!("10.97.0.{}", self.hosts[host]).parse().unwrap()
    }

    /// The file that stands for the namespace of a host.
    #[must_use]
    pub fn path(&self, host: &str) -> PathBuf {
        Path::new("/run/netns").join(self.name_of(host))
    }

    /// What to put before a command so that it runs on a host.
    #[must_use]
    pub fn command(&self, host: &str) -> Vec<String> {
        let name = self.name_of(host);
        ["ip", "netns", "exec", &name].map(str::to_owned).to_vec()
    }

    /// Gives everything that leaves a host a delay and a loss, where the kernel can.
    ///
    /// # Errors
    /// It cannot, in its own words.
    pub fn impair(
        &self,
        host: &str,
        delay_ms: u64,
        jitter_ms: u64,
        loss_percent: f64,
    ) -> Result<(), String> {
        let (delay, jitter) = (format!("{delay_ms}ms"), format!("{jitter_ms}ms"));
        let (name, loss) = (self.name_of(host), format!("{loss_percent}%"));
        run(&[
            "tc", "-n", &name, "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", &delay,
            &jitter, "loss", &loss,
        ])
    }

    /// Puts these hosts on a switch of their own and takes the trunk down: the two groups cannot reach each other.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn part(&self, group: &[&str]) {
        let switches = format!("{}-s", self.prefix);
        for (host, number) in &self.hosts {
            let port = format!("port-{number}");
            let side = if group.contains(&host.as_str()) {
                "right"
            } else {
                "left"
            };
            must(&["ip", "-n", &switches, "link", "set", &port, "master", side]);
        }
        must(&["ip", "-n", &switches, "link", "set", "trunk-left", "down"]);
    }

    /// Takes the trunk up again.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn join(&self) {
        let switches = format!("{}-s", self.prefix);
        must(&["ip", "-n", &switches, "link", "set", "trunk-left", "up"]);
    }

    /// Pulls a host's cable, or plugs it in again.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn plug(&self, host: &str, in_: bool) {
        let switches = format!("{}-s", self.prefix);
        let port = format!("port-{}", self.hosts[host]);
        let state = if in_ { "up" } else { "down" };
        must(&["ip", "-n", &switches, "link", "set", &port, state]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.made {
            if let Err(error) = run(&["ip", "netns", "delete", name]) {
                eprintln!("{error}");
            }
        }
    }
}
