//! The results of one block until a final header commits to them, and the notices that then go out.
//!
//! ```text
//! outcome leaf = hash(transaction, root over the hashes, under the blinding, of its orders' outcomes)
//! blinding     = keyed hash(outcome key, transaction)         so that whoever has an outcome and a path proves it,
//!                                                             and nobody finds an outcome by trying all there are
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{Commitment, outcome_hashes, outcome_leaf};
use sealbook_merkle::dense::DenseTree;
use sealbook_merkle::log;
use sealbook_primitives::hash::{Digest, keyed_hash};
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::module::{PastResult, QuotaLevel, SealedReply};
use sealbook_protocol::payload::{FinalNotice, OutcomeBytes, PAYLOAD_VERSION};

use crate::engine::{FINAL_CONTEXT, seal};

const BLINDING_DOMAIN: &str = "sealbook 2026 outcome blinding v1";

/// A submitter who is told when the results of its transaction are final.
pub struct Waiting {
    /// The transaction.
    pub transaction: Digest,
    /// What replies to it are sealed with.
    pub reply_key: Secret32,
    /// The leaf of its outcomes.
    pub leaf: Digest,
}

/// The results of a block that no final header has committed to yet.
pub struct Results {
    /// What headers will commit to.
    pub commitment: Commitment,
    /// Carriers whose quota was cut after the block.
    pub quotas: Vec<QuotaLevel>,
    /// The transactions that have outcomes, in the order of their execution, which is that of their leaves.
    pub waiting: Vec<Waiting>,
}

/// What the outcomes of a transaction are blinded with.
pub fn blinding(outcome_key: &Secret32, transaction: &Digest) -> [u8; 32] {
    keyed_hash(outcome_key, BLINDING_DOMAIN, &[transaction.as_bytes()]).0
}

/// The leaf of a transaction's outcomes.
pub fn leaf(outcome_key: &Secret32, transaction: &Digest, outcomes: &[OutcomeBytes]) -> Digest {
    let blinding = blinding(outcome_key, transaction);
    let hashes = outcome_hashes(&blinding, outcomes.iter().map(Vec::as_slice));
    outcome_leaf(transaction, &log::root(&hashes))
}

/// How many leaves there are, and the root over them.
pub fn root(waiting: &[Waiting]) -> (u64, Digest) {
    let leaves: Vec<Digest> = waiting.iter().map(|one| one.leaf).collect();
    (leaves.len() as u64, log::root(&leaves))
}

impl Results {
    /// What a host has to know of them.
    pub fn past(&self) -> PastResult {
        PastResult {
            height: self.commitment.height,
            digest: self.commitment.digest(),
            quotas: self.quotas.clone(),
        }
    }

    /// The notices that these results are final, since the header at `committed_by` commits to them.
    pub fn notices(self, outcome_key: &Secret32, committed_by: u64) -> Vec<SealedReply> {
        // One tree for all paths: a path from a list of leaves would hash all of them again.
        let leaves: Vec<Digest> = self.waiting.iter().map(|one| one.leaf).collect();
        let mut tree = DenseTree::from_leaves(&leaves);
        let height = self.commitment.height;
        let mut notices = Vec::with_capacity(self.waiting.len());
        for (place, one) in (0_u64..).zip(&self.waiting) {
            let Ok(path) = tree.prove(place) else {
                continue;
            };
            let notice = FinalNotice {
                version: PAYLOAD_VERSION,
                height,
                commitment: self.commitment.clone(),
                committed_by,
                place,
                path,
                blinding: blinding(outcome_key, &one.transaction),
            };
            notices.push(seal(
                one.transaction,
                &one.reply_key,
                FINAL_CONTEXT,
                &notice,
            ));
        }
        notices
    }
}

/// The form in which a snapshot holds them. It is wiped with the rest of the snapshot's content.
impl BorshSerialize for Waiting {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.transaction.serialize(writer)?;
        writer.write_all(self.reply_key.expose())?;
        self.leaf.serialize(writer)
    }
}

impl BorshDeserialize for Waiting {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        Ok(Self {
            transaction: Digest::deserialize_reader(reader)?,
            reply_key: Secret32::new(<[u8; 32]>::deserialize_reader(reader)?),
            leaf: Digest::deserialize_reader(reader)?,
        })
    }
}

impl BorshSerialize for Results {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.commitment.serialize(writer)?;
        self.quotas.serialize(writer)?;
        self.waiting.serialize(writer)
    }
}

impl BorshDeserialize for Results {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        Ok(Self {
            commitment: Commitment::deserialize_reader(reader)?,
            quotas: Vec::deserialize_reader(reader)?,
            waiting: Vec::deserialize_reader(reader)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn blindings_and_leaves_depend_on_everything() {
        let keys = [Secret32::new([1; 32]), Secret32::new([2; 32])];
        let ids = [Digest([3; 32]), Digest([4; 32])];
        let outcomes = [vec![vec![1]], vec![vec![2]], vec![vec![1], vec![2]]];
        let mut seen = std::collections::BTreeSet::new();
        for key in &keys {
            for id in &ids {
                assert!(seen.insert(Digest(blinding(key, id))));
                for list in &outcomes {
                    assert!(seen.insert(leaf(key, id, list)));
                }
            }
        }
    }

    #[test]
    fn paths_from_one_tree_are_those_of_the_list() {
        for count in 0..20_u8 {
            let waiting: Vec<Waiting> = (0..count)
                .map(|index| Waiting {
                    transaction: Digest([index; 32]),
                    reply_key: Secret32::new([9; 32]),
                    leaf: Digest([100 + index; 32]),
                })
                .collect();
            let (leaves, root) = root(&waiting);
            assert_eq!(leaves, u64::from(count));
            let list: Vec<Digest> = waiting.iter().map(|one| one.leaf).collect();
            let mut tree = DenseTree::from_leaves(&list);
            assert_eq!(tree.root(), root);
            for place in 0..u64::from(count) {
                let path = tree.prove(place).unwrap();
                assert_eq!(Some(path), log::prove(&list, place));
            }
        }
    }
}
