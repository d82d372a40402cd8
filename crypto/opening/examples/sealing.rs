//! Sealing and opening with every suite, side by side: time, and size on the wire.
//!
//! `make bench-sealing` runs it. Suites take turns within each round, so that whatever else the
//! machine does meets all of them; what is printed are medians over the rounds, with the fastest and
//! the slowest round. The times are those of one thread that does nothing else.

#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose, Suite, seal};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The lengths of the contents, in bytes.
const CONTENTS: [usize; 3] = [512, 4 << 10, 64 << 10];
const ROUNDS: usize = 41;
/// How many operations one round times together.
const OPERATIONS: u32 = 100;
const PURPOSE: Purpose = Purpose::Transaction;

fn main() -> Result<()> {
    conditions();
    println!("\n| operation | content | suite | median | fastest | slowest | to suite 1 |");
    println!("|---|---|---|---|---|---|---|");
    let contents = CONTENTS.map(|length| vec![7; length]);
    report("derive key", "", &rounds(derive_key)?);
    for content in &contents {
        let length = format!("{} B", content.len());
        report("seal", &length, &rounds(|suite| seals(suite, content))?);
        report("open", &length, &rounds(|suite| opens(suite, content))?);
    }
    println!("\n| on the wire | suite | bytes | more than the content | to suite 1 |");
    println!("|---|---|---|---|---|");
    for length in CONTENTS {
        sizes(length);
    }
    Ok(())
}

fn conditions() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) {
        "development"
    } else {
        "release"
    };
    println!(
        "conditions   {}, {cores} cores, load {}, one thread used; profile {profile}; {ROUNDS} rounds of {OPERATIONS}\n             \
         operations, suites in turn within a round; suite 1 is X25519, suite 2 X-Wing (X25519 and ML-KEM-768)",
        processor(),
        load()
    );
}

/// How many processes wanted a core during the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(
        || "unknown processor".to_owned(),
        |model| model.trim_start_matches(['\t', ' ', ':']).to_owned(),
    )
}

fn header(suite: Suite) -> EnvelopeHeader {
    EnvelopeHeader::new(suite, Digest([9; 32]), 0, 0)
}

fn key(suite: Suite) -> OpeningKey {
    OpeningKey::of(suite, &Secret32::new([1; 32]))
}

/// Microseconds of one operation, of every round, by suite.
fn rounds(measure: impl Fn(Suite) -> Result<f64>) -> Result<Vec<(Suite, Vec<f64>)>> {
    let mut times: Vec<_> = Suite::ALL.map(|suite| (suite, Vec::new())).into();
    for round in 0..=ROUNDS {
        for (suite, times) in &mut times {
            let time = measure(*suite)?;
            // The first round warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    for (_, times) in &mut times {
        times.sort_by(f64::total_cmp);
    }
    Ok(times)
}

/// Microseconds of one `operation`, the mean of many.
fn timed<T>(operation: impl Fn() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..OPERATIONS {
        black_box(operation()?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(OPERATIONS))
}

fn derive_key(suite: Suite) -> Result<f64> {
    let secret = Secret32::new([1; 32]);
    timed(|| Ok(OpeningKey::of(suite, &secret)))
}

fn seals(suite: Suite, content: &[u8]) -> Result<f64> {
    let (key, header) = (key(suite).public_key(), header(suite));
    timed(|| Ok(seal(&key, header, PURPOSE, content)?))
}

fn opens(suite: Suite, content: &[u8]) -> Result<f64> {
    let key = key(suite);
    let envelope = seal(&key.public_key(), header(suite), PURPOSE, content)?;
    timed(|| Ok(key.open(&envelope, PURPOSE)?))
}

fn report(operation: &str, content: &str, times: &[(Suite, Vec<f64>)]) {
    let median = |times: &[f64]| times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let first = times.first().map_or(f64::NAN, |(_, times)| median(times));
    for (suite, times) in times {
        let (fastest, slowest) = (times.first().copied(), times.last().copied());
        println!(
            "| {operation} | {content} | {} | {:.1} µs | {:.1} µs | {:.1} µs | x {:.2} |",
            suite.number(),
            median(times),
            fastest.unwrap_or(f64::NAN),
            slowest.unwrap_or(f64::NAN),
            median(times) / first
        );
    }
}

fn sizes(content: usize) {
    let [first, _] = Suite::ALL;
    let thousandths = |suite| 1000 * length(suite, content) / length(first, content);
    for suite in Suite::ALL {
        let (length, ratio) = (length(suite, content), thousandths(suite));
        println!(
            "| {content} B | {} | {length} | {} | x {}.{:03} |",
            suite.number(),
            length - content,
            ratio / 1000,
            ratio % 1000
        );
    }
}

fn length(suite: Suite, content: usize) -> usize {
    Envelope::encoded_length(suite, content)
}
