//! Properties of padding, hashes and encodings; pinned values of the hashes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::{Digest, PairHasher, hash, keyed_hash};
use sealbook_primitives::padding::{PaddingError, pad, padded_length, unpad};
use sealbook_primitives::secret::Secret32;

#[test]
fn hashes_are_pinned() {
    assert_eq!(
        hash("sealbook test", &[]).to_string(),
        "1733c65b1dea742de2a59772273b1e67f3fce63e0a6e478c7cab834c9849437b"
    );
    assert_eq!(
        hash("sealbook test", &[b"one", b"two"]).to_string(),
        "29893dc745dee4af6917a731e2e67fa87c4c89e3a996f1de4cbceff12f03f18d"
    );
    let keyed = keyed_hash(&Secret32::new([5; 32]), "sealbook test", &[b"one", b"two"]);
    assert_eq!(
        keyed.to_string(),
        "c1e968dcd2941d4704f43cafb5aa25c2fdcffb78703fab4e2c2e38a7a2837763"
    );
    let pair = PairHasher::new("sealbook test").two(&Digest([1; 32]), &Digest([2; 32]));
    assert_eq!(
        pair.to_string(),
        "0e19581ca15716881c5c0db4bec8f094ca3ade63cc135e73e64a516123fe8382"
    );
    assert_eq!(encode(&Digest([9; 32])), vec![9; 32]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn padding_round_trip(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        floor in 0..2000_usize,
    ) {
        let padded = pad(&content, floor).unwrap();
        prop_assert_eq!(padded.len(), padded_length(content.len() + 4, floor));
        prop_assert_eq!(unpad(&padded, floor), Ok(&content[..]));
        let mut longer = padded.clone();
        longer.push(0);
        prop_assert_eq!(unpad(&longer, floor), Err(PaddingError::WrongLength));
        prop_assert!(unpad(&padded[..padded.len() - 1], floor).is_err());
    }

    #[test]
    fn unpadding_accepts_only_what_padding_makes(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..80),
        floor in 0..40_usize,
    ) {
        if let Ok(content) = unpad(&bytes, floor) {
            prop_assert_eq!(pad(content, floor).unwrap(), bytes);
        }
    }

    #[test]
    fn padme_grows_slowly_and_settles(length in 0..(1_usize << 50), floor in 0..5000_usize) {
        let padded = padded_length(length, floor);
        let larger = length.max(floor);
        prop_assert!(padded >= larger);
        // The bound of the paper: less than 12 percent above the length.
        prop_assert!(padded - larger <= larger / 8);
        prop_assert_eq!(padded_length(padded, floor), padded);
        prop_assert!(padded_length(length + 1, floor) >= padded);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(value) = decode::<(u8, Option<u16>, Vec<bool>)>(&bytes, 40) {
            prop_assert_eq!(encode(&value), bytes);
        }
    }
}
