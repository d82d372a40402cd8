//! Reports by configfs-tsm, with a thread in the kernel's place: each file of the entry is a named pipe, so that whoever
//! reads or writes out of order waits for ever, and the test says so after a while.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use sealbook_attestation::{
    AttestError, Attestor, Evidence, Kind, MAX_STATEMENT_BYTES, TsmAttestor,
};

const DATA: [u8; 64] = [0x42; 64];
const PATIENCE: Duration = Duration::from_secs(60);

/// What the kernel does with one file, in this order.
enum Step {
    /// Answers whoever reads the file.
    Serve(&'static str, Vec<u8>),
    /// Takes the 64 bytes that are written to `inblob`.
    Take,
}

use Step::{Serve, Take};

/// The evidence that comes of a kernel that does these things and nothing else.
fn attest(kind: Kind, steps: Vec<Step>) -> Result<Evidence, AttestError> {
    let folder = tempfile::tempdir().unwrap();
    let entry = folder.path().join("sealbook-1");
    std::fs::create_dir(&entry).unwrap();
    for file in ["inblob", "provider", "outblob", "auxblob", "generation"] {
        pipe(&entry.join(file));
    }
    let kernel = thread::spawn(move || steps.into_iter().for_each(|step| serve(&entry, step)));
    let (sender, receiver) = channel();
    let reports = folder.path().to_owned();
    thread::spawn(move || {
        let attestor = TsmAttestor::new(&reports, "sealbook-1", kind).unwrap();
        assert_eq!(attestor.kind(), kind);
        let _ = sender.send(attestor.attest(&DATA));
    });
    let evidence = receiver.recv_timeout(PATIENCE);
    let evidence = evidence.expect("the files are used in the kernel's order");
    kernel.join().unwrap();
    evidence
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

fn serve(entry: &Path, step: Step) {
    match step {
        // A reader that has had enough closes its end.
        Serve(file, bytes) => {
            let _ = std::fs::write(entry.join(file), bytes);
        }
        Take => assert_eq!(std::fs::read(entry.join("inblob")).unwrap(), DATA),
    }
}

/// A report with the data where AMD has it.
fn report() -> Vec<u8> {
    let mut report = vec![0; 1184];
    report[0x50..0x90].copy_from_slice(&DATA);
    report
}

fn generation(count: &str) -> Step {
    Serve("generation", count.as_bytes().to_vec())
}

fn provider(name: &str) -> Step {
    Serve("provider", name.as_bytes().to_vec())
}

fn answer(outblob: Vec<u8>, last: &str) -> Vec<Step> {
    vec![
        generation("4\n"),
        Take,
        provider("sev_guest\n"),
        Serve("outblob", outblob),
        Serve("auxblob", vec![1, 2, 3]),
        generation(last),
    ]
}

#[test]
fn a_report_is_taken_in_the_order_of_the_kernels_document() {
    let evidence = attest(Kind::SevSnp, answer(report(), "5\n")).unwrap();
    assert_eq!(evidence.kind(), Kind::SevSnp);
    assert_eq!(evidence.statement(), report());
    assert_eq!(evidence.auxiliary(), [1, 2, 3]);
}

#[test]
fn quotes_of_both_forms_are_taken() {
    for (version, offset) in [(4, 568), (5, 574)] {
        let mut quote = vec![0; 4000];
        quote[0] = version;
        quote[offset..offset + 64].copy_from_slice(&DATA);
        let steps = vec![
            generation("0\n"),
            Take,
            provider("tdx_guest\n"),
            Serve("outblob", quote.clone()),
            Serve("auxblob", Vec::new()),
            generation("1\n"),
        ];
        let evidence = attest(Kind::Tdx, steps).unwrap();
        assert_eq!(evidence.statement(), quote);
    }
}

#[test]
fn a_write_of_another_process_in_between_is_noticed() {
    for (last, found) in [("6\n", 6), ("4\n", 4)] {
        let raced = attest(Kind::SevSnp, answer(report(), last));
        assert_eq!(raced, Err(AttestError::Raced { expected: 5, found }));
    }
}

#[test]
fn a_report_about_something_else_is_noticed() {
    let mut other = report();
    other[0x8f] ^= 1;
    for statement in [other, Vec::new(), vec![0x42; 100]] {
        let refused = attest(Kind::SevSnp, answer(statement, "5\n"));
        assert_eq!(refused, Err(AttestError::OtherReport));
    }
}

#[test]
fn a_machine_of_another_kind_is_refused() {
    for (name, kind) in [
        ("tdx_guest\n", Kind::SevSnp),
        ("sev_guest\n", Kind::Tdx),
        ("sev_guest\n", Kind::Process),
        ("arm_cca_guest\n", Kind::SevSnp),
    ] {
        let refused = attest(kind, vec![generation("4"), Take, provider(name)]);
        assert!(matches!(refused, Err(AttestError::OtherProvider { .. })));
    }
}

#[test]
fn an_endless_report_is_cut_off() {
    let mut steps = answer(vec![0; MAX_STATEMENT_BYTES + 1], "");
    steps.truncate(4);
    let refused = attest(Kind::SevSnp, steps);
    assert!(matches!(refused, Err(AttestError::TooLong { .. })));
}

#[test]
fn a_generation_that_is_no_number_is_refused() {
    let refused = attest(Kind::SevSnp, vec![generation("four")]);
    assert!(matches!(refused, Err(AttestError::Unavailable { .. })));
}

#[test]
fn an_ordinary_machine_has_no_reports() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |reports: PathBuf| {
        let attestor = TsmAttestor::new(&reports, "sealbook", Kind::SevSnp).unwrap();
        let refused = attestor.attest(&DATA);
        assert!(matches!(refused, Err(AttestError::Unavailable { .. })));
    };
    ask(folder.path().join("missing"));
    // An ordinary folder gets no files when an entry is made in it; the entry is removed again.
    ask(folder.path().to_owned());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn names_are_plain() {
    let name = |name: &str| TsmAttestor::new(Path::new("/"), name, Kind::Tdx).map(|_| ());
    assert!(name("sealbook-17_a").is_ok());
    for other in ["", ".", "..", "a/b", "a b", "\u{e9}", &"a".repeat(65)] {
        assert!(matches!(name(other), Err(AttestError::Name { .. })));
    }
}
