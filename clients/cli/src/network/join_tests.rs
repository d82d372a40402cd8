//! What a node that joins is given, whole and forged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_zebra::{SigningKey, VerificationKey};
use sealbook_ledger::{
    Commitment, GovernanceRules, Header, MIN_EPOCH_BLOCKS, OpeningEpoch, Parameters, Recovery,
    ValidatorSeat, finalize_message,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{Signature, VerifyingKey};

use super::*;

/// The last block of epoch 0, and the height whose results name the snapshot taken after it.
const BOUNDARY: u64 = MIN_EPOCH_BLOCKS as u64;
const NAMED: u64 = BOUNDARY + 6;

fn keys(epoch: u64) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = (0..4_u64)
        .map(|place| hash("vote key", &[&epoch.to_le_bytes(), &place.to_le_bytes()]).0)
        .map(SigningKey::from)
        .collect();
    keys.sort_unstable_by_key(|key| <[u8; 32]>::from(VerificationKey::from(key)));
    keys
}

fn seats(keys: &[SigningKey]) -> Vec<ValidatorSeat> {
    let seat = |(place, key): (usize, &SigningKey)| ValidatorSeat {
        name: format!("node-{place}"),
        vote_key: VerifyingKey(VerificationKey::from(key).into()),
        module_key: vec![1; 37],
        address: format!("127.0.0.1:{}", 4_000 + place),
    };
    keys.iter().enumerate().map(seat).collect()
}

/// A chain whose second epoch has other validators, with a snapshot after the first.
struct Chain {
    genesis: Genesis,
    blocks: Vec<Block>,
    manifest: SnapshotManifest,
    commitment: Commitment,
}

fn commitment(height: u64, snapshot: Option<SnapshotReference>) -> Commitment {
    Commitment {
        version: Commitment::VERSION,
        height,
        state_root: Digest([height as u8; 32]),
        network_root: Digest([2; 32]),
        outcomes: 0,
        outcomes_root: Digest([3; 32]),
        snapshot,
        next_epoch: None,
    }
}

impl Chain {
    fn new() -> Self {
        let genesis = Genesis {
            version: Genesis::VERSION,
            network_name: "sample".to_owned(),
            created_ms: 1_000,
            certificate_roots: vec![vec![1]],
            validators: seats(&keys(0)),
            observers: Vec::new(),
            opening_epochs: vec![OpeningEpoch {
                key_epoch: 0,
                public_key: vec![2; 37],
            }],
            audit_recipients: Vec::new(),
            admins: vec![vec![vec![4]]],
            policy_schema: String::new(),
            policies: Vec::new(),
            parameters: Parameters {
                epoch_blocks: MIN_EPOCH_BLOCKS,
                ..Parameters::default()
            },
            governance: GovernanceRules::default(),
            recovery: Recovery::default(),
            share_commitments: Vec::new(),
            module_measurements: Vec::new(),
        };
        let first = genesis.first_epoch();
        let next = first.next(seats(&keys(1)), Vec::new(), first.parameters.clone());
        let mut blocks = vec![genesis.block()];
        let mut manifest = None;
        let mut named = commitment(0, None);
        for height in 1..=NAMED + 2 {
            let parent = &blocks[blocks.len() - 1].header;
            // Each header commits to the results of its parent.
            let roots = (height > 1).then(|| commitment(height - 1, reference(&manifest)));
            if height == NAMED + 1 {
                named = commitment(NAMED, reference(&manifest));
            }
            let roots = roots.iter().map(Commitment::digest).collect();
            let mut block = Block::after(parent, 1_000, Vec::new(), Vec::new(), roots);
            if height == BOUNDARY {
                block = block.with_next_epoch(next.clone());
            }
            assert_eq!(block.header.check_follows(parent), Ok(()));
            if height == BOUNDARY {
                manifest = Some(SnapshotManifest {
                    version: SnapshotManifest::VERSION,
                    engine_version: 1,
                    network: genesis.network(),
                    height,
                    block: block.digest(),
                    commitment: commitment(height, None),
                    key_epoch: 0,
                    opening: Digest::ZERO,
                    state_pieces: vec![Digest([7; 32])],
                    name_pieces: Vec::new(),
                });
            }
            blocks.push(block);
        }
        Self {
            genesis,
            blocks,
            manifest: manifest.unwrap(),
            commitment: named,
        }
    }

    fn certificate(&self, header: &Header) -> FinalityCertificate {
        let (epoch, view) = (header.epoch, header.height + 9);
        let digest = header.digest();
        let message = finalize_message(&self.genesis.namespace(), epoch, view, view - 1, &digest);
        let votes = keys(epoch);
        let signatures = votes[..3]
            .iter()
            .map(|key| Signature(key.sign(&message).to_bytes()));
        FinalityCertificate::new(
            (epoch, view, view - 1),
            digest,
            vec![0, 1, 2],
            signatures.collect(),
        )
    }

    fn header(&self, height: u64) -> &Header {
        &self.blocks[height as usize].header
    }

    fn proof(&self, from: u64, to: u64) -> FinalityProof {
        let boundary = self.header(BOUNDARY);
        let step = EpochStep {
            header: boundary.clone(),
            certificate: self.certificate(boundary),
        };
        let headers = (from..=to)
            .map(|height| self.header(height).clone())
            .collect();
        FinalityProof::new(vec![step], headers, self.certificate(self.header(to)))
    }

    fn offer(&self) -> SnapshotOffer {
        SnapshotOffer {
            manifest: self.manifest.encode(),
            commitment: self.commitment.clone(),
            proof: self.proof(NAMED, NAMED + 1).encode(),
        }
    }

    fn certified(&self, from: u64, to: u64) -> Vec<CertifiedBlock> {
        (from..=to)
            .map(|height| CertifiedBlock {
                block: self.blocks[height as usize].encode(),
                certificate: Some(self.certificate(self.header(height)).encode()),
            })
            .collect()
    }
}

fn reference(manifest: &Option<SnapshotManifest>) -> Option<SnapshotReference> {
    manifest.as_ref().map(|manifest| SnapshotReference {
        height: manifest.height,
        digest: manifest.digest(),
    })
}

#[test]
fn a_snapshot_is_taken_only_with_proof_that_the_network_agreed_on_it() {
    let chain = Chain::new();
    let agreed = check_offer(&chain.genesis, &chain.offer()).unwrap();
    assert_eq!(agreed.manifest, chain.manifest);
    let refused = |alter: &dyn Fn(&mut SnapshotOffer)| {
        let mut offer = chain.offer();
        alter(&mut offer);
        check_offer(&chain.genesis, &offer).err().unwrap()
    };
    let other = refused(&|offer| {
        let mut manifest = chain.manifest.clone();
        manifest.state_pieces[0] = Digest([8; 32]);
        offer.manifest = manifest.encode();
    });
    assert!(other.contains("another snapshot"), "{other}");
    let uncommitted = refused(&|offer| offer.commitment.state_root = Digest([9; 32]));
    assert!(uncommitted.contains("no final header"), "{uncommitted}");
    let early = refused(&|offer| offer.proof = chain.proof(NAMED - 1, NAMED).encode());
    assert!(early.contains("no final header"), "{early}");
    let _ = refused(&|offer| {
        let mut proof = chain.proof(NAMED, NAMED + 1);
        proof.certificate.signers.pop();
        proof.certificate.signatures.pop();
        offer.proof = proof.encode();
    });
    let mut genesis = chain.genesis.clone();
    genesis.created_ms += 1;
    assert!(check_offer(&genesis, &chain.offer()).is_err());
}

#[test]
fn blocks_must_lead_from_the_snapshot_to_what_is_final() {
    let chain = Chain::new();
    let agreed = check_offer(&chain.genesis, &chain.offer()).unwrap();
    let check = |blocks| check_blocks(&chain.genesis, &agreed, blocks);
    let run = check(chain.certified(BOUNDARY, NAMED + 1)).unwrap();
    assert_eq!(run.blocks.len() as u64, NAMED + 2 - BOUNDARY);
    assert_eq!(run.definition.epoch, 1);
    assert_eq!(run.steps.len(), 1);
    assert!(
        run.blocks
            .iter()
            .all(|(_, certificate)| certificate.is_some())
    );
    for (from, to) in [
        (BOUNDARY + 1, NAMED + 1),
        (BOUNDARY - 1, NAMED + 1),
        (BOUNDARY, NAMED),
        (BOUNDARY, NAMED + 2),
    ] {
        assert!(check(chain.certified(from, to)).is_err(), "{from} to {to}");
    }
    assert!(check(Vec::new()).is_err());
    let mut gap = chain.certified(BOUNDARY, NAMED + 1);
    gap.remove(2);
    assert!(check(gap).is_err());
    // A certificate by others than the validators of that epoch is left out, and of the first block one is needed.
    let mut forged = chain.certified(BOUNDARY, NAMED + 1);
    forged[2].certificate = forged[3].certificate.clone();
    let run = check(forged).unwrap();
    assert!(run.blocks[2].1.is_none());
    let mut bare = chain.certified(BOUNDARY, NAMED + 1);
    bare[0].certificate = None;
    let why = check(bare).err().unwrap();
    assert!(why.contains("no certificate"), "{why}");
}

#[test]
fn a_ledger_that_was_filled_has_all_that_a_node_needs() {
    let chain = Chain::new();
    let offer = chain.offer();
    let agreed = check_offer(&chain.genesis, &offer).unwrap();
    let run = check_blocks(
        &chain.genesis,
        &agreed,
        chain.certified(BOUNDARY, NAMED + 1),
    )
    .unwrap();
    let store = LedgerStore::open(std::sync::Arc::new(sealbook_store::MemoryStore::new())).unwrap();
    store.put_snapshot_piece(BOUNDARY, 0, b"piece").unwrap();
    fill(&store, &offer, &agreed, &run).unwrap();
    assert_eq!(store.floor(), BOUNDARY);
    assert_eq!(store.complete_height(), Some(NAMED + 1));
    assert_eq!(store.snapshot_heights().unwrap(), [BOUNDARY]);
    assert!(store.certificate(BOUNDARY).unwrap().is_some());
    for name in [
        START_DEFINITION.to_owned(),
        START_STEPS.to_owned(),
        snapshot_commitment(BOUNDARY),
    ] {
        assert!(store.metadata(&name).unwrap().is_some(), "{name}");
    }
    // The audit of such a copy checks it from genesis on.
    let mut report = crate::audit::Report::empty(&chain.genesis, BOUNDARY);
    crate::audit::check_chain(&store, &chain.genesis, NAMED + 1, &mut report).unwrap();
    assert_eq!((report.height, report.epochs), (NAMED + 1, 2));
}
