//! A recorded network, so that other builds can be held to what this one did.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::Digest;

/// A recorded network: what a module is given, and what came of it where it was recorded.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Recording {
    pub module_key: Vec<u8>,
    pub wrapped_root: Vec<u8>,
    pub genesis: Vec<u8>,
    pub blocks: Vec<Vec<u8>>,
    pub certificate: Vec<u8>,
    pub roots: Vec<Digest>,
    pub replies: Digest,
}

pub const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recording.bin");

impl Recording {
    pub fn read() -> Self {
        Self::try_from_slice(&std::fs::read(RECORDING).unwrap()).unwrap()
    }
}
