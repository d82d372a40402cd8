//! The certified registry of an issue: a root that every execution module computes alike, and what it is computed from.
//!
//! ```text
//! leaf = BLAKE3 keyed(key; commitment to the holder's name 32 | quantity u64 | zeros to 64)
//! root = keyed hash(key; head | root over the leaves, in the order of commitments and then quantities)
//! ```
//!
//! The key is whoever's who has the registry certified: nobody else can try which registry has a root. Commitments are
//! blinded, so that their order tells nothing about accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_merkle::log;
use sealbook_primitives::hash::{BLOCK_LENGTH, BlockHasher, Digest, keyed_hash};
use sealbook_primitives::secret::Secret32;

use crate::payload::{AsOf, Attachment, PAYLOAD_VERSION};

const ROOT_DOMAIN: &str = "sealbook 2026 certified registry v1";

/// What a certified registry is of.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegistryHead {
    /// The issue.
    pub isin: String,
    /// The moment: never [`AsOf::Now`].
    pub as_of: AsOf,
    /// The height of the block that the moment lies in, or at whose end it lies.
    pub height: u64,
    /// Ledger time of that block, Unix milliseconds; 0 before the first.
    pub time_ms: u64,
    /// Decimals of all quantities.
    pub decimals: u8,
    /// All units there were.
    pub issued: u64,
    /// The treasury's units.
    pub treasury: u64,
    /// How many accounts held any of the others.
    pub holders: u32,
}

/// Who holds units.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CertifiedHolder {
    /// A name, with what its commitment is blinded with.
    Named {
        /// What the commitment is blinded with.
        blinding: [u8; 32],
        /// The name.
        holder: String,
    },
    /// Without a name: the commitment to it. It was erased, never came to the module that answered, or whoever shows the
    /// row leaves it out.
    Unnamed([u8; 32]),
}

impl CertifiedHolder {
    /// The name, if it is shown.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named { holder, .. } => Some(holder),
            Self::Unnamed(_) => None,
        }
    }

    /// The commitment to the name.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        match self {
            Self::Unnamed(commitment) => *commitment,
            Self::Named { blinding, holder } => {
                let content = Attachment {
                    version: PAYLOAD_VERSION,
                    blinding: *blinding,
                    holder: holder.clone(),
                };
                content.commitment().0
            }
        }
    }
}

/// One account's units.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedRow {
    /// Who holds them.
    pub holder: CertifiedHolder,
    /// How many.
    pub quantity: u64,
}

/// Some rows of a certified registry, in the order of its leaves.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedPage {
    /// What it is of.
    pub head: RegistryHead,
    /// As many rows as one answer has room for, from the one that was asked for on.
    pub rows: Vec<CertifiedRow>,
}

/// The root of a registry whose rows are in the order of commitments and then quantities.
#[must_use]
pub fn registry_root(key: &[u8; 32], head: &RegistryHead, rows: &[([u8; 32], u64)]) -> Digest {
    let key = Secret32::new(*key);
    let messages: Vec<[u8; BLOCK_LENGTH]> = rows
        .iter()
        .map(|(commitment, quantity)| {
            let mut message = [0; BLOCK_LENGTH];
            let (holder, rest) = message.split_at_mut(commitment.len());
            holder.copy_from_slice(commitment);
            if let Some(field) = rest.first_chunk_mut() {
                *field = quantity.to_le_bytes();
            }
            message
        })
        .collect();
    let mut leaves = Vec::with_capacity(rows.len());
    BlockHasher::new(&key).each(&messages, |leaf| leaves.push(leaf));
    // Writing to memory cannot fail.
    let head = borsh::to_vec(head).unwrap_or_default();
    let root = log::root(&leaves);
    keyed_hash(&key, ROOT_DOMAIN, &[&head, root.as_bytes()])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use sealbook_primitives::hash::keyed;

    use super::*;

    fn head() -> RegistryHead {
        RegistryHead {
            isin: "US0378331005".to_owned(),
            as_of: AsOf::Height(7),
            height: 7,
            time_ms: 6,
            decimals: 0,
            issued: 100,
            treasury: 40,
            holders: 3,
        }
    }

    type Rows = Vec<([u8; 32], u64)>;

    fn rows() -> Rows {
        vec![([1; 32], 10), ([1; 32], 20), ([2; 32], 30)]
    }

    #[test]
    fn the_root_is_as_the_header_of_this_file_defines_it() {
        let key = Secret32::new([9; 32]);
        let leaves: Vec<Digest> = rows()
            .iter()
            .map(|(commitment, quantity)| {
                let mut message = [&commitment[..], &quantity.to_le_bytes()].concat();
                message.resize(64, 0);
                keyed(&key, &message)
            })
            .collect();
        let encoded = borsh::to_vec(&head()).unwrap();
        let expected = keyed_hash(
            &key,
            ROOT_DOMAIN,
            &[&encoded, log::root(&leaves).as_bytes()],
        );
        assert_eq!(registry_root(&[9; 32], &head(), &rows()), expected);
    }

    #[test]
    fn whatever_differs_has_another_root() {
        let root = registry_root(&[9; 32], &head(), &rows());
        assert_ne!(registry_root(&[8; 32], &head(), &rows()), root);
        let heads: [fn(&mut RegistryHead); 8] = [
            |head| head.isin.replace_range(..2, "DE"),
            |head| head.as_of = AsOf::Height(8),
            |head| head.height = 8,
            |head| head.time_ms = 7,
            |head| head.decimals = 1,
            |head| head.issued = 101,
            |head| head.treasury = 41,
            |head| head.holders = 2,
        ];
        for change in heads {
            let mut other = head();
            change(&mut other);
            assert_ne!(registry_root(&[9; 32], &other, &rows()), root, "{other:?}");
        }
        let lists: [fn(&mut Rows); 5] = [
            |rows| rows.truncate(2),
            |rows| rows.push(([3; 32], 1)),
            |rows| rows[1].1 = 21,
            |rows| rows[1].0 = [4; 32],
            |rows| rows.swap(0, 1),
        ];
        for change in lists {
            let mut other = rows();
            change(&mut other);
            assert_ne!(registry_root(&[9; 32], &head(), &other), root);
        }
        let empty = registry_root(&[9; 32], &head(), &[]);
        assert_ne!(empty, root);
    }
}
