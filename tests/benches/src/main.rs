//! `sealbook-bench`: what this version does, on real processes with real fsync. It prints its conditions.
//!
//! ```text
//! compare      settlements beside PostgreSQL in the clear, in the same run
//! load         one load of locked-in trades, with the processor time that it takes, part by part
//! network      latency and throughput against the number of validators and their distance, with one down, and how fast
//!              one catches up
//! scale        settlements as books and their history grow
//! flame        a drawing of what `perf` found
//! ```

#![forbid(unsafe_code)]

mod compare;
mod cpu;
mod flame;
mod load;
mod market;
mod network;
mod processor;
mod rival;
mod scale;
mod world;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("compare") => compare::measure(&compare::Plan::read(arguments)?),
        Some("load") => load::measure(&load::Plan::read(arguments)?),
        Some("flame") => flame::draw(arguments),
        Some("scale") => scale::measure(&scale::Plan::read(arguments)?),
        Some("network") => network::measure(&network::Plan::read(arguments)?),
        _ => Err("sealbook-bench compare|load|network|scale|flame".into()),
    }
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
