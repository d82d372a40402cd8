//! The names of metadata that more than one program writes or reads.

/// On a node that joined from a snapshot: the definition that holds after its first block.
pub const START_DEFINITION: &str = "start definition";
/// On a node that joined from a snapshot: the steps that prove that definition.
pub const START_STEPS: &str = "start steps";

/// The results that name the snapshot of a height.
#[must_use]
pub fn snapshot_commitment(height: u64) -> String {
    format!("snapshot commitment {height}")
}
