//! What every decoder owes to whoever feeds it bytes, as functions that a fuzzer calls and the ordinary tests replay.
//!
//! ```text
//! corpora/<target>/seed-*     valid encodings, made by `cargo run -p sealbook-fuzzing --example seeds`
//! corpora/<target>/<hash>     what `make fuzz` found, minimised
//! fuzz/                       the package that links the fuzzer: a workspace of its own, for nightly Rust
//! ```
//!
//! A target reads its bytes with the product's own decoder. What is refused must be refused without a panic; what is
//! read must encode to the same bytes again, keep its limits, and survive every check and every use that the product
//! has for it. Checks behind a signature are reached by signing what the fuzzer made: see [`certificate_signed`].
//!
//! How to add a target: a public function here, its line in [`TARGETS`], its seeds in `seeds`, and four lines in
//! `fuzz`: a file under `fuzz_targets` and its `[[bin]]`. `tests/replay.rs` fails until all of that is there.
//!
//! How to keep what was found: `make fuzz-keep TARGET=frame`. It adds the files that reach something new, at most as
//! many as `tests/replay.rs` allows. An input that made a target fail is kept by hand, as `found-<what>`.

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a target that panics has found something, and fixtures are constants"
)]

mod chain;
mod exact;
mod fixtures;
mod holders;
mod keys;
mod lists;
mod orders;
mod people;
mod policies;
mod sealed;
pub mod seeds;
mod words;

pub use chain::{block, certificate, epoch, genesis, manifest, proof, receipt, statement};
pub use holders::holder;
pub use keys::{key_record, root_file};
pub use lists::revocation_list;
pub use orders::{books, governance_order, securities_order};
pub use people::{certificate_chain, certificate_request, certificate_signed, texts};
pub use policies::policies;
pub use sealed::{envelope, opening_key};
pub use words::{client_words, frame, module_words, payload, views};

/// A target: it takes any bytes, says whether they were read as something, and panics when a property does not hold.
pub type Target = fn(&[u8]) -> bool;

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("block", block),
    ("books", books),
    ("certificate", certificate),
    ("certificate_chain", certificate_chain),
    ("certificate_request", certificate_request),
    ("certificate_signed", certificate_signed),
    ("client_words", client_words),
    ("envelope", envelope),
    ("epoch", epoch),
    ("frame", frame),
    ("genesis", genesis),
    ("governance_order", governance_order),
    ("holder", holder),
    ("key_record", key_record),
    ("manifest", manifest),
    ("module_words", module_words),
    ("opening_key", opening_key),
    ("payload", payload),
    ("policies", policies),
    ("proof", proof),
    ("receipt", receipt),
    ("revocation_list", revocation_list),
    ("root_file", root_file),
    ("securities_order", securities_order),
    ("statement", statement),
    ("texts", texts),
    ("views", views),
];
