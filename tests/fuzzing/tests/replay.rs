//! Replays the corpora: what a fuzzer found once, the ordinary tests look at in every run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sealbook_fuzzing::seeds::{Seed, seeds};
use sealbook_fuzzing::{TARGETS, Target};

/// The most files of one target.
const FILES_MAX: usize = 60;
/// The most bytes of all corpora together.
const BYTES_MAX: usize = 1024 * 1024;
/// What is flipped of a seed's bytes, in turns: the lowest bit, the highest, all of them.
const FLIPS: [u8; 3] = [0x01, 0x80, 0xff];
/// Of a longer seed only so many places are flipped and cut, as evenly as they can be.
const PLACES_MAX: usize = 600;
/// What mostly carries what has a target of its own, and takes its time: fewer places.
const CARRIERS: [&str; 4] = ["client_words", "genesis", "module_words", "payload"];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}

/// The files of one target's corpus, by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = corpora().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("`{target}` has no corpus, run the example `seeds`: {error}")
    });
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

/// Calls a target, and says which input it failed on.
fn call(name: &str, target: Target, what: &str, bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).unwrap_or_else(|_| {
        let path = std::env::temp_dir().join(format!("sealbook-fuzzing-{name}"));
        fs::write(&path, bytes).unwrap();
        panic!(
            "`{name}` fails on {what}; the input lies in {}",
            path.display()
        )
    })
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folders: BTreeSet<String> = fs::read_dir(corpora())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a target stands twice");
    assert_eq!(folders, targets);
    let mut bytes = 0;
    for name in &targets {
        let files = corpus(name);
        let count = files.len();
        assert!(count <= FILES_MAX, "`{name}` has {count} files");
        bytes += files.values().map(Vec::len).sum::<usize>();
    }
    assert!(bytes <= BYTES_MAX, "the corpora have {bytes} bytes");
}

#[test]
fn the_fuzzer_knows_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut files: BTreeSet<String> = fs::read_dir(folder.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for (name, _) in TARGETS {
        let file = format!("{name}.rs");
        let text = fs::read_to_string(folder.join("fuzz_targets").join(&file)).unwrap();
        assert!(
            text.contains(&format!("sealbook_fuzzing::{name}(data)")),
            "{name}"
        );
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{file}\"")),
            "{name}"
        );
        files.remove(&file);
    }
    assert!(files.is_empty(), "no targets: {files:?}");
}

/// A format that changes on purpose changes its seeds: run the example `seeds`.
#[test]
fn seeds_are_what_the_product_writes_and_are_read() {
    let targets: BTreeMap<&str, Target> = TARGETS.iter().copied().collect();
    let mut made: BTreeSet<(String, String)> = BTreeSet::new();
    for seed in seeds() {
        let file = format!("seed-{}", seed.name);
        let what = format!("`{file}` of `{}`", seed.target);
        let kept = fs::read(corpora().join(seed.target).join(&file));
        assert!(
            kept.is_ok_and(|kept| kept == seed.bytes),
            "{what} is not as it is made: run `cargo run -p sealbook-fuzzing --example seeds`"
        );
        let read = call(seed.target, targets[seed.target], &what, &seed.bytes);
        let good = !seed.name.starts_with("refused-");
        assert_eq!(
            read,
            good,
            "{what}: {}",
            if good { "not read" } else { "read" }
        );
        assert!(
            made.insert((seed.target.to_owned(), file)),
            "{what} stands twice"
        );
    }
    for (name, _) in TARGETS {
        let seeds: Vec<String> = corpus(name).into_keys().collect();
        let seeds = seeds.into_iter().filter(|file| file.starts_with("seed-"));
        let kept: BTreeSet<_> = seeds.map(|file| ((*name).to_owned(), file)).collect();
        assert!(!kept.is_empty(), "`{name}` has no seeds");
        assert!(
            kept.is_subset(&made),
            "`{name}` has seeds that nobody makes"
        );
    }
}

#[test]
fn corpora_are_replayed() {
    for (name, target) in TARGETS {
        call(name, *target, "nothing", &[]);
        for (file, bytes) in corpus(name) {
            call(name, *target, &format!("`{file}`"), &bytes);
        }
    }
}

/// The places of a seed that are damaged: all, or as many as may be.
fn places(seed: &Seed) -> impl Iterator<Item = usize> {
    let carries = CARRIERS.contains(&seed.target);
    let most = if carries { PLACES_MAX / 8 } else { PLACES_MAX };
    let length = seed.bytes.len();
    (0..length).step_by(length.div_ceil(most).max(1))
}

#[test]
fn cut_seeds_are_refused_or_read_as_something_else() {
    for seed in seeds() {
        let (name, target) = TARGETS.iter().find(|one| one.0 == seed.target).unwrap();
        for place in places(&seed) {
            let what = format!("`{}` cut at {place}", seed.name);
            call(name, *target, &what, &seed.bytes[..place]);
        }
    }
}

#[test]
fn seeds_with_a_byte_flipped_are_refused_or_read_as_something_else() {
    for seed in seeds() {
        let (name, target) = TARGETS.iter().find(|one| one.0 == seed.target).unwrap();
        let mut bytes = seed.bytes.clone();
        for (place, flip) in places(&seed).zip(FLIPS.into_iter().cycle()) {
            bytes[place] ^= flip;
            let what = format!("`{}` with byte {place} flipped by {flip:#x}", seed.name);
            call(name, *target, &what, &bytes);
            bytes[place] ^= flip;
        }
    }
}
