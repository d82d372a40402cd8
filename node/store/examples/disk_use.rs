//! How many bytes of disk a million instructions take, for each engine and two ways of sending.
//!
//! ```text
//! cargo run --release -p sealbook-store --example disk_use
//! ```
//!
//! Blocks of 50 envelopes, each block with its certificate of three votes in one commit, and in a second round also
//! sealed replies of two stages, as a node keeps them. What is sealed does not compress, so the bytes are random. The
//! figures are scaled up from fewer blocks.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use sealbook_ledger::{Block, FinalityCertificate, Transaction};
use sealbook_primitives::hash::hash;
use sealbook_primitives::random;
use sealbook_primitives::signature::Signature;
use sealbook_store::{Engine, LedgerStore, open_store};

const ENVELOPES: u64 = 50;
const MILLION: u64 = 1_000_000;

/// A way of sending instructions.
struct Sending {
    name: &'static str,
    orders: u64,
    envelope_bytes: usize,
    /// Sealed outcome, and sealed final notice with its proof.
    reply_bytes: [usize; 2],
    blocks: u64,
}

const SENDINGS: [Sending; 2] = [
    Sending {
        name: "100 orders in 20 kB",
        orders: 100,
        envelope_bytes: 20_000,
        reply_bytes: [6_000, 12_000],
        blocks: 200,
    },
    Sending {
        name: "1 order in 700 B",
        orders: 1,
        envelope_bytes: 700,
        reply_bytes: [350, 700],
        blocks: 2_000,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("bytes on disk for a million instructions, in MB (10^6)");
    println!("{:-<92}", "");
    for sending in &SENDINGS {
        for replies in [false, true] {
            for engine in [Engine::Sled, Engine::Redb] {
                measure(sending, replies, engine)?;
            }
        }
    }
    Ok(())
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random::fill(&mut bytes);
    bytes
}

fn measure(sending: &Sending, replies: bool, engine: Engine) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut parent = Block::genesis(hash("disk use", &[]), 1);
    let (mut sealed, mut seconds) = (0_u64, 0.0);
    {
        let ledger = LedgerStore::open(open_store(engine, folder.path())?)?;
        for height in 1..=sending.blocks {
            let transactions = (0..ENVELOPES).map(|_| {
                let envelope = Bytes::from(noise(sending.envelope_bytes));
                Transaction::new(0, Signature([7; 64]), envelope)
            });
            let block = Block::after(
                &parent.header,
                height,
                transactions.collect(),
                Vec::new(),
                vec![hash("root", &[])],
            );
            let votes = vec![Signature([7; 64]); 3];
            let place = (0, height, height.saturating_sub(1));
            let certificate = FinalityCertificate::new(place, block.digest(), vec![0, 1, 2], votes);
            let mut answers = Vec::new();
            for (stage, length) in [0_u8, 1].into_iter().zip(sending.reply_bytes) {
                let ids = block.transactions.iter().map(Transaction::id);
                answers.extend(ids.map(|id| (id, stage, noise(length))));
            }
            sealed = sealed.saturating_add(block.encode().len() as u64);
            let begun = Instant::now();
            ledger.put_final(&[&block], &[(height, &certificate)])?;
            if replies {
                // A node stores the two stages when it has them: two commits.
                let (first, second) = answers.split_at(block.transactions.len());
                ledger.put_replies(height, first)?;
                ledger.put_replies(height, second)?;
                sealed = answers
                    .iter()
                    .fold(sealed, |sum, one| sum.saturating_add(one.2.len() as u64));
            }
            seconds += begun.elapsed().as_secs_f64();
            parent = block;
        }
    }
    let (length, allocated) = used(folder.path())?;
    let instructions = sending
        .blocks
        .saturating_mul(ENVELOPES)
        .saturating_mul(sending.orders);
    let scaled = |bytes: u64| bytes.saturating_mul(MILLION) / instructions / MILLION;
    println!(
        "{:<20} {:<13} {:<5} content {:>5}  files {:>5}  allocated {:>5}  ({} blocks, {:.1} ms a block)",
        sending.name,
        if replies {
            "with replies"
        } else {
            "blocks only"
        },
        engine.name(),
        scaled(sealed),
        scaled(length),
        scaled(allocated),
        sending.blocks,
        seconds * 1_000.0 / sending.blocks as f64,
    );
    Ok(())
}

/// Lengths of the files in a folder, and what the file system gave them.
fn used(folder: &Path) -> Result<(u64, u64), Box<dyn Error>> {
    let (mut length, mut allocated) = (0_u64, 0_u64);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let below = used(&entry.path())?;
            length = length.saturating_add(below.0);
            allocated = allocated.saturating_add(below.1);
        } else {
            length = length.saturating_add(metadata.len());
            allocated = allocated.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    Ok((length, allocated))
}
