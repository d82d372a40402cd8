//! The names of metadata that more than one program writes or reads.

use sealbook_primitives::hash::Digest;

/// On a node that joined from a snapshot: the definition that holds after its first block.
pub const START_DEFINITION: &str = "start definition";
/// On a node that joined from a snapshot: the steps that prove that definition.
pub const START_STEPS: &str = "start steps";

/// The roots that were sealed to a module, by the name that key records have for it.
#[must_use]
pub fn root_file(module: &Digest) -> String {
    format!("root file {module}")
}

/// The key record with a digest.
#[must_use]
pub fn key_record(digest: &Digest) -> String {
    format!("key record {digest}")
}

/// The results that name the snapshot of a height.
#[must_use]
pub fn snapshot_commitment(height: u64) -> String {
    format!("snapshot commitment {height}")
}
