//! Sealing and opening with every suite, side by side and beside other libraries: time, and size on the wire.
//!
//! `make bench-sealing` runs it. All take turns within each round, so that whatever else the machine
//! does meets all of them; what is printed are medians over the rounds, with the fastest and the
//! slowest round. The times are those of one thread that does nothing else.
//!
//! "ours" is a whole envelope: padding, binding and the checks of its form included. The others seal
//! the content as it is, under the same info and as many associated bytes; see [`rivals`].

#![forbid(unsafe_code)]

mod rivals;

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use rivals::{Message, Open, Rival};
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

/// Whose work is measured.
#[derive(Clone, Copy)]
enum By {
    Ours(Suite),
    Rival(Rival),
}

impl By {
    const fn suite(self) -> Suite {
        match self {
            By::Ours(suite) => suite,
            By::Rival(rival) => rival.suite,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            By::Ours(_) => "ours",
            By::Rival(rival) => rival.name,
        }
    }
}

/// Everybody, suite by suite, ours first.
fn everybody() -> Vec<By> {
    let ours = Suite::ALL.into_iter();
    ours.flat_map(|suite| {
        let rivals = rivals::ALL
            .into_iter()
            .filter(move |one| one.suite == suite);
        std::iter::once(By::Ours(suite)).chain(rivals.map(By::Rival))
    })
    .collect()
}

fn main() -> Result<()> {
    rivals::check()?;
    conditions();
    println!(
        "\n| operation | content | suite | by | median | fastest | slowest | to ours | to suite 1 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let contents = CONTENTS.map(|length| vec![7; length]);
    let (ours, all) = (Suite::ALL.map(By::Ours), everybody());
    report("derive key", "", &rounds(&ours, derive_key)?);
    for content in &contents {
        let length = format!("{} B", content.len());
        report("seal", &length, &rounds(&all, |by| seals(by, content))?);
        report("open", &length, &rounds(&all, |by| opens(by, content))?);
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
         operations, all in turn within a round; suite 1 is X25519, suite 2 X-Wing (X25519 and ML-KEM-768)\n             \
         ring and aws-lc-rs have no HPKE: it is put together here of their parts, and opens what the others seal;\n             \
         aws-lc-rs and ring hold expanded private keys, hpke and ours expand that of X-Wing from its seed every time",
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

/// Microseconds of one operation, of every round.
type Times = Vec<(By, Vec<f64>)>;

fn rounds(who: &[By], measure: impl Fn(By) -> Result<f64>) -> Result<Times> {
    let mut times: Times = who.iter().map(|by| (*by, Vec::new())).collect();
    for round in 0..=ROUNDS {
        for (by, times) in &mut times {
            let time = measure(*by)?;
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
fn timed<T>(mut operation: impl FnMut() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..OPERATIONS {
        black_box(operation()?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(OPERATIONS))
}

fn derive_key(by: By) -> Result<f64> {
    let secret = Secret32::new([1; 32]);
    timed(|| Ok(OpeningKey::of(by.suite(), &secret)))
}

fn seals(by: By, content: &[u8]) -> Result<f64> {
    match by {
        By::Ours(suite) => {
            let (key, header) = (key(suite).public_key(), header(suite));
            timed(|| Ok(seal(&key, header, PURPOSE, content)?))
        }
        By::Rival(rival) => {
            let (public, _) = (rival.recipient)(1)?;
            timed(|| (rival.seal)(&public, content))
        }
    }
}

fn opens(by: By, content: &[u8]) -> Result<f64> {
    match by {
        By::Ours(suite) => {
            let key = key(suite);
            let envelope = seal(&key.public_key(), header(suite), PURPOSE, content)?;
            timed(|| Ok(key.open(&envelope, PURPOSE)?))
        }
        By::Rival(rival) => {
            let mut messages = to_open(&rival, content)?.into_iter();
            timed(|| {
                let (open, message) = messages.next().ok_or("too few messages")?;
                open(&message)
            })
        }
    }
}

/// Messages with what opens them: a library whose private keys are for one use only has a key for each.
fn to_open(rival: &Rival, content: &[u8]) -> Result<Vec<(Open, Message)>> {
    let mut messages = Vec::new();
    while messages.len() < OPERATIONS as usize {
        let (public, opens) = (rival.recipient)(OPERATIONS)?;
        for open in opens {
            messages.push((open, (rival.seal)(&public, content)?));
        }
    }
    Ok(messages)
}

fn report(operation: &str, content: &str, times: &Times) {
    let median = |times: &[f64]| times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let of = |name: &str, suite: Suite| {
        let mut all = times.iter();
        let found = all.find(|(by, _)| by.name() == name && by.suite() == suite);
        found.map(|(_, times)| median(times))
    };
    let [first, _] = Suite::ALL;
    for (by, times) in times {
        let ratio = |to: Option<f64>| {
            to.map_or_else(
                || "-".to_owned(),
                |to| format!("x {:.2}", median(times) / to),
            )
        };
        let (fastest, slowest) = (times.first().copied(), times.last().copied());
        println!(
            "| {operation} | {content} | {} | {} | {:.1} µs | {:.1} µs | {:.1} µs | {} | {} |",
            by.suite().number(),
            by.name(),
            median(times),
            fastest.unwrap_or(f64::NAN),
            slowest.unwrap_or(f64::NAN),
            ratio(of("ours", by.suite())),
            ratio(of(by.name(), first)),
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
