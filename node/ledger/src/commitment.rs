//! What the network agrees on after executing a block: the digest of a [`Commitment`] is what headers list as roots.
//! Everything in it is an opaque hash, so a commitment may be shown to anybody.
//!
//! ```text
//! commitment = version u16 | height u64 | state root 32 | network root 32 | outcomes: count u64, root 32
//!            | snapshot: option (height u64, digest 32) | next epoch: option (digest 32)
//! outcome      = BLAKE3 keyed(blinding 32; order u32 | length u32 | outcome bytes | zero bytes to a multiple of 64)
//! outcome leaf = hash(transaction 32, root over the transaction's outcomes)
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{BLOCK_LENGTH, BlockHasher, Digest, hash, keyed};
use sealbook_primitives::secret::Secret32;

const COMMITMENT_VERSION: u16 = 2;
const COMMITMENT_DOMAIN: &str = "sealbook 2026 commitment v1";
const LEAF_DOMAIN: &str = "sealbook 2026 outcome leaf v1";

/// A sealed snapshot, by the height whose state it holds and the digest of its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotReference {
    /// The last executed block in the snapshot.
    pub height: u64,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// The results of the ledger up to a height.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commitment {
    /// Format version.
    pub version: u16,
    /// The last executed block.
    pub height: u64,
    /// Root over the contract's tables.
    pub state_root: Digest,
    /// Keyed hash of what is decided about the network itself: members' proposals, seats, parameters, quotas.
    pub network_root: Digest,
    /// How many transactions of the block have outcomes.
    pub outcomes: u64,
    /// Root over their outcome leaves, in the order of execution.
    pub outcomes_root: Digest,
    /// The newest snapshot that is complete.
    pub snapshot: Option<SnapshotReference>,
    /// The digest of the next epoch's definition, once it is decided.
    pub next_epoch: Option<Digest>,
}

impl Commitment {
    /// The present format version.
    pub const VERSION: u16 = COMMITMENT_VERSION;

    /// The digest that headers commit to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(
            COMMITMENT_DOMAIN,
            &[&borsh::to_vec(self).unwrap_or_default()],
        )
    }
}

/// The hash of one outcome: of the order at a place in a transaction. The blinding, one for each transaction, keeps
/// outcomes, of which there are few, from being guessed.
#[must_use]
pub fn outcome_hash(blinding: &[u8; 32], order: u32, outcome: &[u8]) -> Digest {
    keyed(&Secret32::new(*blinding), &outcome_message(order, outcome))
}

/// As [`outcome_hash`], of all outcomes of a transaction in the order of its orders, many at once.
pub fn outcome_hashes<'a>(
    blinding: &[u8; 32],
    outcomes: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Digest> {
    let mut short: Vec<[u8; BLOCK_LENGTH]> = Vec::new();
    let mut hashes = Vec::new();
    let mut places = Vec::new();
    for (order, outcome) in (0_u32..).zip(outcomes) {
        let message = outcome_message(order, outcome);
        if let Ok(block) = <[u8; BLOCK_LENGTH]>::try_from(message.as_slice()) {
            short.push(block);
            places.push(hashes.len());
            hashes.push(Digest::ZERO);
        } else {
            hashes.push(outcome_hash(blinding, order, outcome));
        }
    }
    let mut places = places.into_iter();
    BlockHasher::new(&Secret32::new(*blinding)).each(&short, |hash| {
        if let Some(slot) = places.next().and_then(|place| hashes.get_mut(place)) {
            *slot = hash;
        }
    });
    hashes
}

fn outcome_message(order: u32, outcome: &[u8]) -> Vec<u8> {
    let length = u32::try_from(outcome.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(BLOCK_LENGTH);
    message.extend_from_slice(&order.to_le_bytes());
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(outcome);
    message.resize(message.len().next_multiple_of(BLOCK_LENGTH), 0);
    message
}

/// The leaf of a transaction's outcomes in the tree of its block, from the root over their hashes.
#[must_use]
pub fn outcome_leaf(transaction: &Digest, orders_root: &Digest) -> Digest {
    hash(
        LEAF_DOMAIN,
        &[transaction.as_bytes(), orders_root.as_bytes()],
    )
}
