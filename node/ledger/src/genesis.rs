//! The genesis document: who founded the network, with which keys and rules. Its hash is the network's identity, and
//! everything that is verified offline starts from it.
//!
//! ```text
//! genesis = version u16 | network name | created_ms u64 | certificate roots | validator seats | opening epochs
//!         | audit recipients | admin certificate chains | policy schema and files | parameters
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::VerifyingKey;

use crate::{Block, CertificateError, Committee};

/// The largest genesis document, in bytes.
pub const MAX_GENESIS_BYTES: usize = 4 * 1024 * 1024;
const GENESIS_VERSION: u16 = 1;
const GENESIS_DOMAIN: &str = "sealbook 2026 genesis v1";

/// Why bytes are not a genesis document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not the canonical encoding, or too large.
    #[error("genesis document does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("genesis version {0} is not known")]
    Version(u16),
    /// Something that must be there is not.
    #[error("genesis document has no {0}")]
    Missing(&'static str),
    /// The key epochs are not ascending. Two keys for one epoch would let modules check one of them while clients
    /// seal to the other.
    #[error("genesis document names key epochs twice or out of order")]
    KeyEpochs,
}

/// One founding validator: the key it votes with and the public key of its execution module.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSeat {
    /// The node's name.
    pub name: String,
    /// The node's vote key, which is also the key of its TLS certificate.
    pub vote_key: VerifyingKey,
    /// The HPKE public key of the node's execution module, encoded.
    pub module_key: Vec<u8>,
}

/// The public opening key of a key epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpeningEpoch {
    /// Number of the key epoch (not of the committee epoch).
    pub key_epoch: u32,
    /// The encoded public key that transactions are sealed to.
    pub public_key: Vec<u8>,
}

/// A policy file as text.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PolicyText {
    /// File name, for messages.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// Network parameters.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parameters {
    /// Shortest time between two blocks, in milliseconds.
    pub block_interval_ms: u64,
    /// Longest time between two blocks when nothing is waiting, in milliseconds.
    pub idle_interval_ms: u64,
    /// How far a block's time may be ahead of a validator's clock, in milliseconds.
    pub clock_drift_ms: u64,
    /// Largest total of sealed bytes in one block.
    pub block_bytes_max: u32,
    /// How far ahead of block time an envelope may expire, in milliseconds.
    pub expiry_horizon_ms: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            block_interval_ms: 20,
            idle_interval_ms: 1_000,
            clock_drift_ms: 5_000,
            block_bytes_max: 4 * 1024 * 1024,
            expiry_horizon_ms: 3_600_000,
        }
    }
}

/// The document that founds a network.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Format version.
    pub version: u16,
    /// The network's name, as it stands in certificates.
    pub network_name: String,
    /// When the network was made, Unix milliseconds.
    pub created_ms: u64,
    /// Root certificates (DER) of the network's CA.
    pub certificate_roots: Vec<Vec<u8>>,
    /// The founding validators.
    pub validators: Vec<ValidatorSeat>,
    /// Opening keys by key epoch.
    pub opening_epochs: Vec<OpeningEpoch>,
    /// Public keys (encoded) that the audit bundle is sealed to.
    pub audit_recipients: Vec<Vec<u8>>,
    /// Certificate chains (DER, leaf first) of the founding admins.
    pub admins: Vec<Vec<Vec<u8>>>,
    /// The policy schema.
    pub policy_schema: String,
    /// The policies.
    pub policies: Vec<PolicyText>,
    /// Network parameters.
    pub parameters: Parameters,
}

impl Genesis {
    /// The current format version.
    pub const VERSION: u16 = GENESIS_VERSION;

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a genesis document.
    ///
    /// # Errors
    /// Too large, not canonical, of another version, without a part that must be there, or with key epochs out of
    /// order.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::Malformed);
        }
        let genesis = Self::try_from_slice(bytes).map_err(|_| GenesisError::Malformed)?;
        if genesis.version != GENESIS_VERSION {
            return Err(GenesisError::Version(genesis.version));
        }
        let required = [
            (genesis.validators.is_empty(), "validators"),
            (genesis.opening_epochs.is_empty(), "opening key"),
            (genesis.certificate_roots.is_empty(), "certificate roots"),
            (genesis.admins.is_empty(), "admins"),
        ];
        if let Some((_, part)) = required.into_iter().find(|(absent, _)| *absent) {
            return Err(GenesisError::Missing(part));
        }
        let ascending = |pair: &[OpeningEpoch]| matches!(pair, [left, right] if left.key_epoch < right.key_epoch);
        if !genesis.opening_epochs.windows(2).all(ascending) {
            return Err(GenesisError::KeyEpochs);
        }
        Ok(genesis)
    }

    /// The network's identity: the hash of the encoded document.
    #[must_use]
    pub fn network(&self) -> Digest {
        hash(GENESIS_DOMAIN, &[&self.encode()])
    }

    /// Block 0.
    #[must_use]
    pub fn block(&self) -> Block {
        Block::genesis(self.network(), self.created_ms)
    }

    /// The first committee.
    ///
    /// # Errors
    /// [`CertificateError::Committee`] if the seats do not make one.
    pub fn committee(&self) -> Result<Committee, CertificateError> {
        Committee::new(
            0,
            self.validators.iter().map(|seat| seat.vote_key).collect(),
        )
    }

    /// The namespace of votes and the ALPN of links: the network's identity in hex.
    #[must_use]
    pub fn namespace(&self) -> Vec<u8> {
        self.network().to_string().into_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::testing::{pin, vote_keys};

    fn sample() -> Genesis {
        let seat = |(index, key): (usize, &ed25519_zebra::SigningKey)| ValidatorSeat {
            name: format!("node-{index}"),
            vote_key: VerifyingKey(ed25519_zebra::VerificationKey::from(key).into()),
            module_key: vec![index as u8; 37],
        };
        Genesis {
            version: Genesis::VERSION,
            network_name: "sample".to_owned(),
            created_ms: 1_344_470_400_000,
            certificate_roots: vec![vec![1; 300]],
            validators: vote_keys(4).iter().enumerate().map(seat).collect(),
            opening_epochs: vec![OpeningEpoch {
                key_epoch: 0,
                public_key: vec![2; 37],
            }],
            audit_recipients: vec![vec![3; 37]],
            admins: vec![vec![vec![4; 200], vec![5; 200]]],
            policy_schema: "schema".to_owned(),
            policies: vec![PolicyText {
                name: "a.cedar".to_owned(),
                text: "text".to_owned(),
            }],
            parameters: Parameters::default(),
        }
    }

    #[test]
    fn the_encoding_and_the_identity_are_pinned() {
        let genesis = sample();
        assert_eq!(
            pin(&genesis.encode()),
            "7dab270d1505ef4c0292b603f913b8d200c659520e3674e1351b3380d7d7b29f"
        );
        assert_eq!(
            genesis.network().to_string(),
            "90526d46de3d16b832432587114c10d15ac60881f4e2365405cb9dc24537969d"
        );
        assert_eq!(
            genesis.block().digest().to_string(),
            "bfe496cfa6614d0f9ce1decbc276cbf6d994fd3daf16ad02d4c27a892c9dfedf"
        );
        assert_eq!(
            genesis.namespace(),
            genesis.network().to_string().into_bytes()
        );
    }

    #[test]
    fn what_is_encoded_is_read_again_and_nothing_else_is() {
        let bytes = sample().encode();
        assert_eq!(Genesis::decode(&bytes).unwrap(), sample());
        for length in 0..bytes.len() {
            assert_eq!(
                Genesis::decode(&bytes[..length]),
                Err(GenesisError::Malformed)
            );
        }
        let longer = [bytes, vec![0]].concat();
        assert_eq!(Genesis::decode(&longer), Err(GenesisError::Malformed));
        let huge = vec![0; MAX_GENESIS_BYTES + 1];
        assert_eq!(Genesis::decode(&huge), Err(GenesisError::Malformed));
    }

    #[test]
    fn every_flipped_byte_is_another_network_or_no_genesis() {
        let (bytes, network) = (sample().encode(), sample().network());
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            if let Ok(genesis) = Genesis::decode(&altered) {
                assert_ne!(genesis.network(), network, "byte {index}");
            }
        }
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        let refused = |alter: &dyn Fn(&mut Genesis), error| {
            let mut genesis = sample();
            alter(&mut genesis);
            assert_eq!(Genesis::decode(&genesis.encode()), Err(error));
        };
        refused(&|one| one.version = 2, GenesisError::Version(2));
        refused(
            &|one| one.validators.clear(),
            GenesisError::Missing("validators"),
        );
        refused(
            &|one| one.opening_epochs.clear(),
            GenesisError::Missing("opening key"),
        );
        refused(
            &|one| one.certificate_roots.clear(),
            GenesisError::Missing("certificate roots"),
        );
        refused(&|one| one.admins.clear(), GenesisError::Missing("admins"));
        let double = |one: &mut Genesis| {
            let epoch = one.opening_epochs[0].clone();
            one.opening_epochs.push(OpeningEpoch {
                public_key: vec![9; 37],
                ..epoch
            });
        };
        refused(&double, GenesisError::KeyEpochs);
    }

    #[test]
    fn seats_make_the_committee() {
        let genesis = sample();
        let committee = genesis.committee().unwrap();
        assert_eq!((committee.epoch(), committee.members().len()), (0, 4));
        let mut twice = genesis.clone();
        twice.validators[1].vote_key = twice.validators[0].vote_key;
        assert_eq!(twice.committee(), Err(CertificateError::Committee));
        let mut weak = genesis;
        weak.validators[1].vote_key = VerifyingKey([0; 32]);
        assert_eq!(weak.committee(), Err(CertificateError::Committee));
    }
}
