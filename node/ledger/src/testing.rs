//! Keys and certificates for this crate's tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_zebra::{SigningKey, VerificationKey};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{Signature, VerifyingKey};

use crate::{
    Block, Committee, EpochDefinition, EpochStep, FinalityCertificate, Genesis, GovernanceRules,
    Header, KeyHolder, OpeningEpoch, Parameters, PolicyText, Recovery, Transaction, ValidatorSeat,
    finalize_message,
};

/// The digest that a test commits an encoding to.
pub fn pin(bytes: &[u8]) -> String {
    hash("sealbook test pinned encoding", &[bytes]).to_string()
}

/// `count` fixed vote keys, sorted by their public halves.
pub fn vote_keys(count: usize) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = (0..count)
        .map(|index| hash("sealbook test vote key", &[&(index as u64).to_le_bytes()]).0)
        .map(SigningKey::from)
        .collect();
    keys.sort_unstable_by_key(|key| <[u8; 32]>::from(VerificationKey::from(key)));
    keys
}

/// The committee of these keys, in epoch 0.
pub fn committee_of(keys: &[SigningKey]) -> Committee {
    let members = keys
        .iter()
        .map(|key| VerifyingKey(VerificationKey::from(key).into()))
        .collect();
    Committee::new(0, members).unwrap()
}

/// The votes of the first `votes` of the sorted `keys`; `place` is epoch, view and parent's view.
pub fn certify(
    keys: &[SigningKey],
    namespace: &[u8],
    place: (u64, u64, u64),
    block: Digest,
    votes: usize,
) -> FinalityCertificate {
    let message = finalize_message(namespace, place.0, place.1, place.2, &block);
    let signatures = keys[..votes]
        .iter()
        .map(|key| Signature(key.sign(&message).to_bytes()));
    let signers = (0..votes).map(|index| index as u16).collect();
    FinalityCertificate::new(place, block, signers, signatures.collect())
}

/// A network for tests: its founding document, and the keys of its validators.
pub struct Network {
    pub genesis: Genesis,
    pub keys: Vec<SigningKey>,
}

/// The seats of these keys, named by their place.
pub fn seats(keys: &[SigningKey]) -> Vec<ValidatorSeat> {
    let seat = |(index, key): (usize, &SigningKey)| ValidatorSeat {
        name: format!("node-{index}"),
        vote_key: VerifyingKey(VerificationKey::from(key).into()),
        module_key: vec![index as u8; 37],
        address: format!("127.0.0.1:{}", 4_000 + index),
    };
    keys.iter().enumerate().map(seat).collect()
}

/// A network of so many validators.
pub fn network(validators: usize) -> Network {
    let keys = vote_keys(validators);
    let genesis = Genesis {
        version: Genesis::VERSION,
        network_name: "sample".to_owned(),
        created_ms: 1_344_470_400_000,
        certificate_roots: vec![vec![1; 300]],
        validators: seats(&keys),
        observers: Vec::new(),
        opening_epochs: vec![OpeningEpoch {
            key_epoch: 0,
            public_key: vec![2; 37],
        }],
        audit_recipients: vec![KeyHolder {
            name: "audit-1".to_owned(),
            key: vec![3; 37],
        }],
        admins: vec![vec![vec![4; 200], vec![5; 200]]],
        policy_schema: "schema".to_owned(),
        policies: vec![PolicyText {
            name: "a.cedar".to_owned(),
            text: "text".to_owned(),
        }],
        parameters: Parameters {
            epoch_blocks: crate::MIN_EPOCH_BLOCKS,
            ..Parameters::default()
        },
        governance: GovernanceRules::default(),
        recovery: Recovery::default(),
        share_commitments: Vec::new(),
        module_measurements: Vec::new(),
    };
    Network { genesis, keys }
}

/// A chain over several epochs, with the keys that vote in each of them.
pub struct History {
    pub genesis: Genesis,
    pub headers: Vec<Header>,
    pub epochs: Vec<(EpochDefinition, Vec<SigningKey>)>,
}

impl History {
    /// A chain whose first epoch is that of `network`, and whose later ones have these validators. The last epoch is
    /// complete; the block at `height` holds what `content` gives: transactions and digests of commitments.
    pub fn new(
        network: Network,
        later: &[Vec<SigningKey>],
        content: impl Fn(u64) -> (Vec<Transaction>, Vec<Digest>),
    ) -> Self {
        let Network { genesis, keys } = network;
        let mut definition = genesis.first_epoch();
        let mut epochs = vec![(definition.clone(), keys)];
        for keys in later {
            let parameters = definition.parameters.clone();
            definition = definition.next(seats(keys), Vec::new(), parameters);
            epochs.push((definition.clone(), keys.clone()));
        }
        let mut headers = vec![genesis.block().header];
        for (place, (epoch, _)) in epochs.iter().enumerate() {
            for height in epoch.first_height.max(1)..=epoch.last_height {
                let (transactions, roots) = content(height);
                let parent = &headers[headers.len() - 1];
                let time_ms = parent.time_ms + 20;
                let mut block = Block::after(parent, time_ms, transactions, Vec::new(), roots);
                if height == epoch.last_height
                    && let Some((next, _)) = epochs.get(place + 1)
                {
                    block = block.with_next_epoch(next.clone());
                }
                assert_eq!(block.header.check_follows(parent), Ok(()));
                headers.push(block.header);
            }
        }
        Self {
            genesis,
            headers,
            epochs,
        }
    }

    /// A certificate for the block at a height, by a quorum of its epoch.
    pub fn certificate(&self, height: u64) -> FinalityCertificate {
        let header = &self.headers[height as usize];
        let keys = &self.epochs[header.epoch as usize].1;
        self.certificate_by(keys, height)
    }

    /// A certificate for the block at a height, by a quorum of these keys.
    pub fn certificate_by(&self, keys: &[SigningKey], height: u64) -> FinalityCertificate {
        let header = &self.headers[height as usize];
        let place = (header.epoch, height + 9, height + 8);
        let votes = committee_of(keys).quorum();
        let namespace = self.genesis.namespace();
        certify(keys, &namespace, place, header.digest(), votes)
    }

    /// The step at the end of an epoch.
    pub fn step(&self, epoch: usize) -> EpochStep {
        let height = self.epochs[epoch].0.last_height;
        EpochStep {
            header: self.headers[height as usize].clone(),
            certificate: self.certificate(height),
        }
    }

    /// The headers from one height to another.
    pub fn run(&self, first: u64, last: u64) -> Vec<Header> {
        self.headers[first as usize..=last as usize].to_vec()
    }
}
