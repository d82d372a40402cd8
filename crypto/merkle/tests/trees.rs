//! The trees against a second, recursive definition, and proofs under attack.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_merkle::dense::DenseTree;
use sealbook_merkle::{Proof, log};
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::{Digest, PairHasher, hash};

fn leaf(number: u64) -> Digest {
    hash("test leaf", &[&number.to_le_bytes()])
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(leaf).collect()
}

/// The tree head of RFC 6962, section 2.1, written as the RFC has it.
fn top_of_rfc_6962(leaves: &[Digest]) -> Digest {
    let [only] = leaves else {
        let split = (leaves.len() - 1).ilog2();
        let (left, right) = leaves.split_at(1 << split);
        return PairHasher::new("sealbook/merkle/inner/1")
            .two(&top_of_rfc_6962(left), &top_of_rfc_6962(right));
    };
    PairHasher::new("sealbook/merkle/leaf/2").two(only, &Digest::ZERO)
}

fn root_of_rfc_6962(leaves: &[Digest]) -> Digest {
    let top = if leaves.is_empty() {
        hash("sealbook/merkle/empty/1", &[])
    } else {
        top_of_rfc_6962(leaves)
    };
    let count = (leaves.len() as u64).to_le_bytes();
    hash("sealbook/merkle/root/1", &[&count, top.as_bytes()])
}

#[test]
fn the_shape_is_that_of_rfc_6962() {
    for count in 0..70 {
        let leaves = leaves(count);
        let expected = root_of_rfc_6962(&leaves);
        assert_eq!(log::root(&leaves), expected, "{count}");
        assert_eq!(DenseTree::from_leaves(&leaves).root(), expected, "{count}");
        let mut pushed = DenseTree::new();
        for leaf in &leaves {
            pushed.push(*leaf);
        }
        assert_eq!(pushed.root(), expected, "{count}");
        assert_eq!(pushed.len(), count);
    }
}

#[test]
fn every_proof_fits_its_own_place_and_no_other() {
    for count in 1..20 {
        let leaves = leaves(count);
        let root = log::root(&leaves);
        let mut tree = DenseTree::from_leaves(&leaves);
        for index in 0..count {
            let proof = log::prove(&leaves, index).unwrap();
            assert_eq!(tree.prove(index).unwrap(), proof);
            for other_index in 0..count + 2 {
                for other_count in 0..count + 2 {
                    let own = other_index == index && other_count == count;
                    let leaf = &leaves[usize::try_from(index).unwrap()];
                    assert_eq!(
                        log::verify(&root, other_index, other_count, leaf, &proof),
                        own
                    );
                }
            }
        }
        assert!(log::prove(&leaves, count).is_none());
        assert!(log::prove(&leaves, u64::MAX).is_none());
    }
}

#[test]
fn altered_proofs_are_refused() {
    let leaves = leaves(13);
    let root = log::root(&leaves);
    for index in 0..13_u64 {
        let leaf = leaves[usize::try_from(index).unwrap()];
        let proof = log::prove(&leaves, index).unwrap();
        assert!(log::verify(&root, index, 13, &leaf, &proof));
        assert!(!log::verify(&root, index, 13, &Digest::ZERO, &proof));
        assert!(!log::verify(&Digest::ZERO, index, 13, &leaf, &proof));
        for place in 0..proof.siblings.len() {
            for bit in 0..256 {
                let mut altered = proof.clone();
                altered.siblings[place].0[bit / 8] ^= 1 << (bit % 8);
                assert!(!log::verify(&root, index, 13, &leaf, &altered));
            }
            let mut shorter = proof.clone();
            shorter.siblings.remove(place);
            assert!(!log::verify(&root, index, 13, &leaf, &shorter));
            let mut longer = proof.clone();
            longer.siblings.insert(place, Digest::ZERO);
            assert!(!log::verify(&root, index, 13, &leaf, &longer));
        }
        let mut longer = proof.clone();
        longer.siblings.push(Digest::ZERO);
        assert!(!log::verify(&root, index, 13, &leaf, &longer));
    }
}

#[test]
fn an_inner_node_is_not_a_leaf() {
    let four = leaves(4);
    let root = log::root(&four);
    let hasher = PairHasher::new("sealbook/merkle/leaf/2");
    let hashed = |leaf| hasher.two(leaf, &Digest::ZERO);
    let inner = PairHasher::new("sealbook/merkle/inner/1");
    let left = inner.two(&hashed(&four[0]), &hashed(&four[1]));
    let right = inner.two(&hashed(&four[2]), &hashed(&four[3]));
    let proof = Proof {
        siblings: vec![right],
    };
    for count in [2, 4] {
        assert!(!log::verify(&root, 0, count, &left, &proof));
    }
    assert_ne!(log::root(&[left, right]), root);
}

#[test]
fn roots_and_proofs_are_pinned() {
    assert_eq!(
        log::root(&[]).to_string(),
        "a63bd71fa98e81b0157cdcf4308dfbb1fa7a383bef8b1a6c7835c440b1ec8432"
    );
    assert_eq!(
        log::root(&leaves(11)).to_string(),
        "4b8aea2e3953490ea7b759a058ad829adc482a62ac72f40c845fa50d35df50b4"
    );
    let proof = encode(&log::prove(&leaves(11), 10).unwrap());
    assert_eq!(
        hash("pinned", &[&proof]).to_string(),
        "0ed32f57334d66bd4f4d2eaa04d4aa7192677d8b6f3c48db81a1e244e50e64ef"
    );
    assert_eq!(
        decode::<Proof>(&proof, 100).unwrap(),
        log::prove(&leaves(11), 10).unwrap()
    );
}

#[derive(Debug, Clone)]
enum Change {
    Push(u64),
    Set(u64, u64),
    Update(Vec<(u64, u64)>),
    Root,
    Prove(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any::<u64>().prop_map(Change::Push),
        4 => (any::<u64>(), any::<u64>()).prop_map(|(index, value)| Change::Set(index, value)),
        2 => prop::collection::vec((any::<u64>(), any::<u64>()), 0..40).prop_map(Change::Update),
        1 => Just(Change::Root),
        1 => any::<u64>().prop_map(Change::Prove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changing_tree_equals_one_built_anew(
        changes in prop::collection::vec(change(), 0..200),
    ) {
        let mut tree = DenseTree::new();
        let mut model: Vec<Digest> = Vec::new();
        for change in changes {
            match change {
                Change::Push(value) => {
                    prop_assert_eq!(tree.push(leaf(value)), model.len() as u64);
                    model.push(leaf(value));
                }
                Change::Set(index, value) if !model.is_empty() => {
                    let index = index % model.len() as u64;
                    tree.set(index, leaf(value)).unwrap();
                    model[usize::try_from(index).unwrap()] = leaf(value);
                }
                Change::Update(changes) => {
                    let mut all = Vec::new();
                    for (index, value) in changes {
                        let index = index % (model.len() as u64 + 1);
                        let place = usize::try_from(index).unwrap();
                        if place == model.len() {
                            model.push(leaf(value));
                        } else {
                            model[place] = leaf(value);
                        }
                        all.push((index, leaf(value)));
                    }
                    tree.update(&all).unwrap();
                    let beyond = model.len() as u64 + 1;
                    prop_assert!(tree.update(&[(beyond, leaf(0))]).is_err());
                }
                Change::Prove(index) if !model.is_empty() => {
                    let index = index % model.len() as u64;
                    prop_assert_eq!(tree.prove(index).ok(), log::prove(&model, index));
                }
                _ => prop_assert_eq!(tree.root(), log::root(&model)),
            }
        }
        prop_assert_eq!(tree.root(), log::root(&model));
        prop_assert_eq!(tree.root(), DenseTree::from_leaves(&model).root());
    }
}
