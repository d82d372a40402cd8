//! Writes the seeds of all targets into the corpora, and takes away those that are seeds no more.
//!
//! ```text
//! cargo run -p sealbook-fuzzing --example seeds
//! ```

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;

use sealbook_fuzzing::TARGETS;
use sealbook_fuzzing::seeds::seeds;

fn main() -> io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for (target, _) in TARGETS {
        let folder = corpora.join(target);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let mut bytes = 0;
    let seeds = seeds();
    for seed in &seeds {
        let file = format!("seed-{}", seed.name);
        fs::write(corpora.join(seed.target).join(file), &seed.bytes)?;
        bytes += seed.bytes.len();
    }
    println!("{} seeds, {bytes} bytes", seeds.len());
    Ok(())
}
