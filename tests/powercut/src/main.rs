//! The recorded writer: opens a store, commits batches, and ends as it is told.
//!
//! ```text
//! sealbook-powercut <subject> <folder> <recording> <seed> <first batch> <last batch> close|die
//! ```
//!
//! The store lies in `<folder>/store`. The calls of this process to the file system are recorded; see [`recorder`].

mod recorder;

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;

use sealbook_powercut::recording::Event;
use sealbook_powercut::workload::{Subject, batch};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Err(problem) = run(&arguments);
    eprintln!("sealbook-powercut: {problem}");
    ExitCode::FAILURE
}

fn run(arguments: &[String]) -> Result<Infallible, String> {
    let [subject, folder, recording, seed, first, last, end] = arguments else {
        return Err("seven arguments are needed".to_owned());
    };
    let subject = Subject::named(subject).ok_or("the subject is not known")?;
    let number = |text: &String| text.parse::<u64>().map_err(|error| error.to_string());
    let (seed, first, last) = (number(seed)?, number(first)?, number(last)?);
    let failed = |error: std::io::Error| error.to_string();
    recorder::begin(Path::new(folder)).map_err(failed)?;
    let store = subject.open(&Path::new(folder).join("store"));
    let store = store.map_err(failed)?;
    for number in first..=last {
        let batch = batch(seed, number);
        recorder::note(&Event::Begun(number));
        store.commit(batch).map_err(failed)?;
        recorder::note(&Event::Acknowledged(number));
    }
    match end.as_str() {
        "close" => drop(store),
        // The process ends with the store open, as one that was killed.
        _ => std::mem::forget(store),
    }
    recorder::end(Path::new(recording)).map_err(failed)
}
