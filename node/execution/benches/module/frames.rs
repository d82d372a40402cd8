//! Frames by size: coded alone, and to the process and back.
//!
//! The smallest question is a query to a module that does not answer yet: it reads and decodes the frame, looks at
//! nothing in it, and answers with a few bytes. So the answer is small whatever the size of the question.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_protocol::payload::Question;

use crate::conditions;
use crate::kit::module::Module;
use crate::kit::play::Play;
use crate::kit::{Founded, epochs_of};

/// Lengths of the frames' contents, in bytes.
const SIZES: [usize; 4] = [64, 4 << 10, 256 << 10, 1 << 20];
/// What the words around an envelope take: which word, the ticket, the length.
const AROUND: usize = 1 + 8 + 4;
const ROUNDS: usize = 41;
/// How many operations one round times together.
const OPERATIONS: u32 = 20;

pub fn measure() {
    println!(
        "Conditions: {}; medians of {ROUNDS} rounds of {OPERATIONS} operations; host and module are two processes with \
         one thread each.\n",
        conditions()
    );
    println!(
        "| operation | length of the frame | median | fastest | slowest |\n|---|---|---|---|---|"
    );
    for size in SIZES {
        coding(size);
    }
    // All blocks are of one epoch: no snapshot comes in between.
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(10_000, 1),
        ..Founded::default()
    });
    let mut module = Module::running(&play.network);
    for size in SIZES {
        round_trip(&mut module, size);
    }
    real_words(&mut play, &mut module);
}

/// Times rounds of an operation and prints a row.
fn report(what: &str, size: &str, mut operation: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..=ROUNDS)
        .map(|_| (0..OPERATIONS).map(|_| operation()).sum::<Duration>() / OPERATIONS)
        // The first round warms up.
        .skip(1)
        .collect();
    times.sort_unstable();
    println!(
        "| {what} | {size} | {:.1?} | {:.1?} | {:.1?} |",
        times[ROUNDS / 2],
        times[0],
        times[ROUNDS - 1]
    );
}

fn timed<T>(operation: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(operation());
    start.elapsed()
}

fn question(size: usize) -> ToModule {
    ToModule::Query {
        ticket: 1,
        envelope: vec![7; size - AROUND],
    }
}

fn coding(size: usize) {
    let (message, length) = (question(size), format!("{size} B"));
    let encoded = frame::encode(&message, MODULE_FRAME_MAX).unwrap();
    assert_eq!(encoded.len(), 4 + size);
    report("encode", &length, || {
        timed(|| frame::encode(black_box(&message), MODULE_FRAME_MAX).unwrap())
    });
    report("decode", &length, || {
        timed(|| frame::decode::<ToModule>(black_box(&encoded[4..])).unwrap())
    });
}

fn round_trip(module: &mut Module, size: usize) {
    let message = question(size);
    report(
        "to the module, smallest answer back",
        &format!("{size} B"),
        || {
            timed(|| {
                module.say(&message);
                assert!(matches!(module.hear(), FromModule::NotAwake { ticket: 1 }));
            })
        },
    );
}

/// For comparison: what real words take, the module's work included.
fn real_words(play: &mut Play, module: &mut Module) {
    for (block, certificate) in play.blocks.clone() {
        module.say(&finalized(block, certificate));
        module.hear_executed();
    }
    // Its sign of life comes back in a block: from then on it answers.
    let sign = module.carried.remove(0);
    play.step(&[&sign], &[]);
    let (block, certificate) = play.blocks.last().cloned().unwrap();
    module.say(&finalized(block, certificate));
    module.hear_executed();
    let (expiry, network) = (play.expiry(), &play.network);
    report("a member asks for its holdings", "-", || {
        let sealed = network.seal_query("alpha", expiry, 0, &Question::Holdings);
        let message = ToModule::Query {
            ticket: 1,
            envelope: sealed.bytes,
        };
        timed(|| {
            module.say(&message);
            assert!(matches!(module.hear(), FromModule::Answer { .. }));
        })
    });
    report("an empty final block is executed", "-", || {
        play.step(&[], &[]);
        let (block, certificate) = play.blocks.last().cloned().unwrap();
        let message = finalized(block, certificate);
        timed(|| {
            module.say(&message);
            module.hear_executed()
        })
    });
}

fn finalized(block: Vec<u8>, certificate: Vec<u8>) -> ToModule {
    ToModule::Finalized {
        blocks: vec![block],
        certificate,
    }
}
