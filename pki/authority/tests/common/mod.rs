//! An authority of its own for each test.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;

use sealbook_authority::Authority;

pub const NETWORK: &str = "demo";
pub const DAY_MS: u64 = 86_400_000;
/// 2026-11-20 00:00:00 UTC.
pub const NOW_MS: u64 = 1_795_132_800_000;

pub struct Fixture {
    pub directory: tempfile::TempDir,
    pub path: PathBuf,
    pub authority: Authority,
}

pub fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authority");
    let authority = Authority::create(&path, NETWORK, NOW_MS).unwrap();
    Fixture {
        directory,
        path,
        authority,
    }
}
