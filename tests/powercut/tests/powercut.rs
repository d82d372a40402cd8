//! Hundreds of power cuts for each engine, and for sled as it comes, which must not pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use sealbook_powercut::disk::{Disk, Keeps};
use sealbook_powercut::recording::{Event, read};
use sealbook_powercut::workload::{Random, Subject, batch, fingerprint, fingerprints, last_batch};
use sealbook_primitives::hash::Digest;
use sealbook_store::Engine;

const SEED: u64 = 2_026;
/// The last batch of each process, and how the process ends.
const PROCESSES: [(u64, &str); 5] = [
    (70, "close"),
    (140, "die"),
    (150, "close"),
    (160, "die"),
    (240, "close"),
];
const LOST: &str = "acknowledged batches are left";
const CUTS: usize = 640;
/// Events of a process while it opens its store.
const OPENING: usize = 16;
const WAYS: [Keeps; 6] = [
    Keeps::Nothing,
    Keeps::Names,
    Keeps::Beginning,
    Keeps::Any { block: 512 },
    Keeps::Any { block: 4_096 },
    Keeps::Everything,
];

/// Runs the writer and gives what it did; the recording must account for every byte in the folder.
fn record(subject: Subject) -> Vec<Event> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("recorded");
    std::fs::create_dir(&root).unwrap();
    let mut events = Vec::new();
    let mut disk = Disk::new();
    let mut first = 1;
    for (last, end) in PROCESSES {
        let recording = folder.path().join("recording");
        let status = Command::new(env!("CARGO_BIN_EXE_sealbook-powercut"))
            .arg(subject.name())
            .args([&root, &recording])
            .args([SEED, first, last].map(|number| number.to_string()))
            .arg(end)
            .status()
            .unwrap();
        assert!(status.success(), "the writer failed: {status}");
        let recorded = read(&recording).unwrap();
        for event in &recorded {
            disk.apply(event).unwrap();
        }
        assert_eq!(
            disk.difference(&root).unwrap(),
            None,
            "the recorder missed something"
        );
        assert_eq!(disk.acknowledged, last);
        events.extend(recorded);
        first = last + 1;
    }
    println!(
        "{}: {} events, {} syncs, {} of ranges only",
        subject.name(),
        events.len(),
        disk.syncs,
        disk.range_syncs
    );
    events
}

/// What is wrong with a folder after a cut: nothing, if every acknowledged batch is there and every other is whole or
/// not there at all.
fn inspect(
    subject: Subject,
    folder: &Path,
    disk: &Disk,
    known: &[Digest],
    go_on: bool,
) -> Result<(), String> {
    let store = subject.open(folder).map_err(|error| error.to_string())?;
    let contents = store.contents().map_err(|error| error.to_string())?;
    let last = last_batch(&contents);
    if last < disk.acknowledged {
        return Err(format!("{last} of {} {LOST}", disk.acknowledged));
    }
    let whole = |number: u64, name: Digest| known.get(number as usize) == Some(&name);
    if last > disk.begun || !whole(last, fingerprint(&contents)) {
        return Err(format!("batch {last} of {} is not whole", disk.begun));
    }
    if !go_on {
        return Ok(());
    }
    // Life goes on after a cut.
    let next = last + 1;
    let committed = store.commit(batch(SEED, next));
    committed.map_err(|error| error.to_string())?;
    drop(store);
    let store = subject.open(folder).map_err(|error| error.to_string())?;
    let contents = store.contents().map_err(|error| error.to_string())?;
    if next < known.len() as u64 && !whole(next, fingerprint(&contents)) {
        return Err(format!("batch {next}, after the cut, is not whole"));
    }
    Ok(())
}

/// Cuts the power at many points of a recording, in many ways; gives the failures.
fn cut(subject: Subject, events: &[Event], ways: &[Keeps]) -> Vec<String> {
    let known = fingerprints(SEED, PROCESSES[PROCESSES.len() - 1].0);
    let mut random = Random::new(SEED);
    // While a store opens, one thing after another must not be half done: there every point counts, in every way.
    let began = (0..events.len()).filter(|place| matches!(events[*place], Event::Began { .. }));
    let opening = began.flat_map(|place| place..(place + OPENING).min(events.len()));
    let mut points: Vec<usize> = opening
        .flat_map(|point| std::iter::repeat_n(point, ways.len()))
        .collect();
    points.push(events.len());
    while points.len() < CUTS {
        points.push(usize::try_from(random.below(events.len() as u64)).unwrap());
    }
    points.sort_unstable();
    let mut disk = Disk::new();
    let mut done = 0;
    let mut failures = Vec::new();
    for (number, point) in points.into_iter().enumerate() {
        for event in &events[done..point] {
            disk.apply(event).unwrap();
        }
        done = point;
        let keeps = ways[number % ways.len()];
        let folder = tempfile::tempdir().unwrap();
        disk.cut(keeps, &mut random, folder.path()).unwrap();
        let store = folder.path().join("store");
        let go_on = number % 3 == 0;
        // sled as it comes panics over what it finds.
        let found = catch_unwind(AssertUnwindSafe(|| {
            inspect(subject, &store, &disk, &known, go_on)
        }));
        let found = found.unwrap_or_else(|_| Err("a panic".to_owned()));
        if let Err(problem) = found {
            failures.push(format!(
                "cut {number} at event {point}, {keeps:?}: {problem}"
            ));
        }
    }
    failures
}

fn survives(engine: Engine) {
    let subject = Subject::Store(engine);
    let events = record(subject);
    let failures = cut(subject, &events, &WAYS);
    assert!(
        failures.is_empty(),
        "{} of {CUTS}: {failures:#?}",
        failures.len()
    );
}

#[test]
fn our_sled_store_keeps_what_it_acknowledged() {
    survives(Engine::Sled);
}

#[test]
fn our_redb_store_keeps_what_it_acknowledged() {
    survives(Engine::Redb);
}

#[test]
fn sled_as_it_comes_does_not() {
    let events = record(Subject::PlainSled);
    // Its names are given to it: it is its bytes that are not on the disk.
    let failures = cut(
        Subject::PlainSled,
        &events,
        &[Keeps::Names, Keeps::Any { block: 4_096 }],
    );
    let lost = |failure: &&String| failure.contains(LOST) || failure.contains("a panic");
    let lost = failures.iter().filter(lost).count();
    println!("sled as it comes lost what it had acknowledged in {lost} of {CUTS} cuts");
    assert!(lost * 3 > CUTS, "{lost} of {CUTS}: {failures:#?}");
}
