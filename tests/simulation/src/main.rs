//! `sealbook-simulate`: runs many seeds of the simulated network, shows progress, and prints what broke and how to see
//! it again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sealbook_simulation::{Breakage, Report, Settings, run};

const USAGE: &str = "\
usage: sealbook-simulate [--seeds N] [--from S] [--validators 4|7] [--threads T] [--log] [--break NAME]

  --seeds N       how many seeds to run (100)
  --from S        the first of them (0)
  --validators V  4 or 7 founding validators; without it, every fourth seed runs 7
  --threads T     runs at a time (one for each processor)
  --log           print everything that happened, also in good runs
  --break NAME    put a defect in, to see that it is found: wrong-results, too-many-twins, votes-again, early-answer,
                  new-reference, silent-desks, gullible";

struct Arguments {
    seeds: u64,
    from: u64,
    validators: Option<usize>,
    threads: usize,
    log: bool,
    breakage: Option<Breakage>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        seeds: 100,
        from: 0,
        validators: None,
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        log: false,
        breakage: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--log" {
            found.log = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("`{word}` needs a value"))?;
        if word == "--break" {
            let named = Breakage::named(&value);
            found.breakage = Some(named.ok_or_else(|| format!("`{value}` is no defect"))?);
            continue;
        }
        let number = value.parse::<u64>();
        let number = number.map_err(|_| format!("`{value}` is not a number"))?;
        match word.as_str() {
            "--seeds" => found.seeds = number,
            "--from" => found.from = number,
            "--validators" if number == 4 || number == 7 => {
                found.validators = usize::try_from(number).ok();
            }
            "--threads" if number > 0 => found.threads = usize::try_from(number).unwrap_or(1),
            _ => return Err(format!("`{word} {value}` is not understood")),
        }
    }
    Ok(found)
}

fn settings(arguments: &Arguments, seed: u64) -> Settings {
    let usual = if seed % 4 == 3 { 7 } else { 4 };
    Settings {
        seed,
        validators: arguments.validators.unwrap_or(usual),
        breakage: arguments.breakage,
    }
}

fn print_log(report: &Report) {
    for line in &report.lines {
        println!("{line}");
    }
    println!("digest {}", report.digest);
}

fn print_failure(report: &Report) {
    let Settings {
        seed, validators, ..
    } = report.settings;
    println!("\nseed {seed} with {validators} validators FAILED");
    print_log(report);
    for violation in &report.violations {
        println!("  {violation}");
    }
    println!("again: sealbook-simulate --from {seed} --seeds 1 --validators {validators} --log\n");
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("{reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    let (began, output) = (Instant::now(), Mutex::new([0_u64; 4]));
    let marks = Mutex::new(BTreeMap::<&str, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= arguments.seeds {
                        return;
                    }
                    let report = run(settings(&arguments, arguments.from + place));
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    {
                        let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
                        for (mark, count) in report.marks() {
                            *marks.entry(mark).or_default() += count;
                        }
                    }
                    let mut sums = output.lock().unwrap_or_else(PoisonError::into_inner);
                    if !report.violations.is_empty() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        print_failure(&report);
                    } else if arguments.log {
                        print_log(&report);
                    }
                    for (sum, count) in sums.iter_mut().zip(report.counts) {
                        *sum += count;
                    }
                    let [blocks, epochs, transactions, operations] = *sums;
                    print!(
                        "\r{count} of {} seeds, {} failed, {blocks} blocks, {epochs} epochs, {transactions} \
                         transactions, {operations} operations, {} s ",
                        arguments.seeds,
                        failed.load(Ordering::Relaxed),
                        began.elapsed().as_secs()
                    );
                    let _ = std::io::stdout().flush();
                }
            });
        }
    });
    println!();
    for (mark, count) in marks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{count:>8}  {mark}");
    }
    if failed.load(Ordering::Relaxed) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
