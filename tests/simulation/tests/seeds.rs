//! A fixed number of seeds, which must all come right, and defects, which must all be found. `sealbook-simulate` runs
//! as many more as one likes.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

use sealbook_simulation::{Breakage, Report, Settings, run};

fn of(seed: u64, validators: usize) -> Settings {
    Settings {
        seed,
        validators,
        breakage: None,
    }
}

#[track_caller]
fn all_come_right(seeds: std::ops::Range<u64>, validators: usize) {
    let mut blocks = 0;
    for seed in seeds.clone() {
        let report = run(of(seed, validators));
        if !report.violations.is_empty() {
            for line in &report.lines {
                eprintln!("{line}");
            }
            panic!(
                "seed {seed}: {:?}\nagain: sealbook-simulate --from {seed} --seeds 1 --validators {validators} --log",
                report.violations
            );
        }
        blocks += report.counts[0];
    }
    // Runs in which nothing happens prove nothing.
    assert!(blocks > 30 * seeds.count() as u64, "{blocks} blocks");
}

#[test]
fn four_validators_first_seeds() {
    all_come_right(0..10, 4);
}

#[test]
fn four_validators_second_seeds() {
    all_come_right(10..20, 4);
}

#[test]
fn four_validators_third_seeds() {
    all_come_right(20..30, 4);
}

#[test]
fn seven_validators_first_seeds() {
    all_come_right(100..103, 7);
}

#[test]
fn seven_validators_second_seeds() {
    all_come_right(103..106, 7);
}

#[test]
fn a_seed_is_one_run_bit_by_bit() {
    let digest = |seed| run(of(seed, 4)).digest;
    let first = digest(77);
    assert_eq!(first, digest(77));
    assert_ne!(first, digest(78));
}

/// Runs seeds with a defect until it is found.
#[track_caller]
fn is_found(breakage: Breakage, seeds: u64, words: &str) {
    let mut found = Vec::new();
    for seed in 0..seeds {
        let Report { violations, .. } = run(Settings {
            breakage: Some(breakage),
            ..of(seed, 4)
        });
        if violations.iter().any(|text| text.contains(words)) {
            return;
        }
        found.extend(violations);
    }
    panic!("{breakage:?} was not found in {seeds} seeds, but {found:?}");
}

#[test]
fn a_module_with_other_results_is_found() {
    is_found(Breakage::WrongResults, 1, "results of block");
}

#[test]
fn more_liars_than_the_network_can_bear_fork_it() {
    is_found(Breakage::TooManyTwins, 3, "fork: block");
}

#[test]
fn a_wiped_validator_that_votes_again_is_found() {
    is_found(Breakage::VotesAgain, 2, "lost its votes");
}

#[test]
fn an_acknowledged_transfer_that_is_lost_is_found() {
    is_found(Breakage::EarlyAnswer, 3, "not linearizable");
}

#[test]
fn a_transfer_that_takes_effect_twice_is_found() {
    is_found(Breakage::NewReference, 3, "not linearizable");
}

#[test]
fn desks_that_read_old_states_are_found() {
    is_found(Breakage::SilentDesks, 6, "not linearizable");
}

#[test]
fn validators_that_vote_for_junk_are_found() {
    is_found(Breakage::Gullible, 3, " holds ");
}
