//! `sealbook-bench`: what this version does, on real processes with real fsync. It prints its conditions.
//!
//! ```text
//! compare      settlements beside PostgreSQL in the clear, in the same run
//! load         one load of locked-in trades, with the processor time that it takes, part by part
//! latency      one transfer after the other: submission to outcome, and to final
//! throughput   batches of 100 trades recorded by one firm and confirmed by another, several pairs of clients at once
//! network      both against the number of validators and their distance, with one down, and how fast one catches up
//! ```

#![forbid(unsafe_code)]

mod compare;
mod cpu;
mod load;
mod market;
mod network;
mod rival;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use sealbook_sdk::Stage;

use crate::world::{BATCH, World, percentile, run};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

const VALIDATORS: usize = 4;
const LATENCY_SAMPLES: usize = 60;
const LATENCY_LIMIT: Duration = Duration::from_secs(600);
const PAIRS: usize = 4;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(8);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => usual(),
        Some("compare") => compare::measure(&compare::Plan::read(arguments)?),
        Some("load") => load::measure(&load::Plan::read(arguments)?),
        Some("network") => network::measure(&network::Plan::read(arguments)?),
        Some(other) => {
            Err(format!("`{other}` is not known: sealbook-bench [compare|load|network]").into())
        }
    }
}

fn usual() -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("sealbook-bench-")
        .tempdir()?;
    let network = folder.path().join("network");
    let sealbook = std::env::current_exe()?.with_file_name("sealbook");
    let validators = VALIDATORS.to_string();
    run(
        &sealbook,
        &[
            "network",
            "create",
            &network.display().to_string(),
            "--validators",
            &validators,
        ],
    )?;
    let running = Running { sealbook, network };
    running.command(&["network", "start"])?;
    conditions();
    let world = World::make(&running.sealbook, &running.network, PAIRS)?;
    let times = |stage| -> Result<String> {
        let samples = world.latency(stage, LATENCY_SAMPLES, LATENCY_LIMIT)?;
        let (half, most) = (percentile(&samples, 50), percentile(&samples, 99));
        Ok(format!("p50 {half} ms, p99 {most} ms"))
    };
    println!(
        "latency      to outcome {}; to final {} (quiet network, one at a time, {LATENCY_SAMPLES} samples each)",
        times(Stage::Outcome)?,
        times(Stage::Final)?
    );
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        rates.push(world.throughput(round, ROUND)?);
    }
    rates.sort_unstable();
    let median = rates.get(ROUNDS / 2).copied().unwrap_or_default();
    println!(
        "throughput   {median} DVP/s, median of {ROUNDS} rounds ({rates:?}); two orders and both legs each"
    );
    Ok(())
}

fn conditions() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = profile();
    println!(
        "conditions   {VALIDATORS} validators with their modules on {cores} cores of one machine, loopback TLS, fsync per \
         block,\n             profile {profile}, {PAIRS} pairs of clients, batches of {BATCH} orders"
    );
}

/// The machine in a few words.
fn machine() -> String {
    let line = |file: &str, field: &str| -> String {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let found = text.lines().find(|line| line.starts_with(field));
        let value = found.and_then(|line| line.split(':').nth(1));
        value.map_or("unknown", str::trim).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (model, memory) = (
        line("/proc/cpuinfo", "model name"),
        line("/proc/meminfo", "MemTotal"),
    );
    format!("{model}, {cores} cores, {memory} of memory")
}

const fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "development (opt-level 1)"
    } else {
        "release"
    }
}

/// The network's processes, stopped when this value goes.
struct Running {
    sealbook: PathBuf,
    network: PathBuf,
}

impl Running {
    fn command(&self, arguments: &[&str]) -> Result<()> {
        let network = self.network.display().to_string();
        let arguments: Vec<&str> = ["--network", &network]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run(&self.sealbook, &arguments)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.command(&["network", "stop"]) {
            eprintln!("error: {error}");
        }
    }
}
