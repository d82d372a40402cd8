//! What shows without a key: encodings, sizes, public keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_sealing::{
    Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, SealError, Suite, binding, seal, wrap,
};

const SUITE: Suite = Suite::X25519ChaCha20Poly1305;

/// The public key of RFC 9180, appendix A.2.1 (`pkRm`): any point of the curve would do.
fn recipient() -> OpeningPublicKey {
    let bytes = [
        0x43, 0x10, 0xee, 0x97, 0xd8, 0x8c, 0xc1, 0xf0, 0x88, 0xa5, 0x57, 0x6c, 0x77, 0xab, 0x0c,
        0xf5, 0xc3, 0xac, 0x79, 0x7f, 0x3d, 0x95, 0x13, 0x9c, 0x6c, 0x84, 0xb5, 0x42, 0x9c, 0x59,
        0x66, 0x2a,
    ];
    OpeningPublicKey::new(SUITE, bytes.to_vec()).unwrap()
}

fn header() -> EnvelopeHeader {
    EnvelopeHeader::new(SUITE, Digest([9; 32]), 7, 1_700_000_000_000)
}

#[test]
fn encodings_are_pinned() {
    let envelope = Envelope {
        header: header(),
        encapsulated: vec![2; 32],
        ciphertext: vec![3; 528],
    };
    assert_eq!(
        hash("pinned", &[&envelope.encode()]).to_string(),
        "8189b7aceb1db721af3ee43f6fc1bda0e511afb34728e8c47336a1b063fd10f5"
    );
    assert_eq!(
        Envelope::decode(&envelope.encode(), 4096).unwrap(),
        envelope
    );
    let binding = binding(&header(), Purpose::Query);
    assert_eq!(binding.len(), 47);
    assert_eq!(
        hash("pinned", &[&binding]).to_string(),
        "439f858eedbc87acd78497166816cce9e2b9d1341ea75f70074b62ee5253d7bb"
    );
}

#[test]
fn bindings_differ_by_header_and_purpose() {
    let own = binding(&header(), Purpose::Transaction);
    assert_ne!(own, binding(&header(), Purpose::Query));
    assert_ne!(
        own,
        binding(
            &EnvelopeHeader {
                key_epoch: 8,
                ..header()
            },
            Purpose::Transaction
        )
    );
}

#[test]
fn short_contents_cannot_be_told_apart_by_size() {
    let lengths: Vec<usize> = [0, 1, 100, 508]
        .into_iter()
        .map(|length| {
            seal(
                &recipient(),
                header(),
                Purpose::Transaction,
                &vec![1; length],
            )
            .unwrap()
            .encode()
            .len()
        })
        .collect();
    assert_eq!(lengths, [614; 4]);
    assert_eq!(Envelope::encoded_length(SUITE, 509), 614 + 32);
}

#[test]
fn unusable_public_keys_are_refused() {
    for length in [0, 31, 33] {
        let refused = OpeningPublicKey::new(SUITE, vec![1; length]);
        assert_eq!(refused, Err(SealError::UnusablePublicKey));
        let mut encoded = vec![1];
        encoded.extend(encode(&vec![1_u8; length]));
        assert!(decode::<OpeningPublicKey>(&encoded, 100).is_err());
    }
    assert_eq!(
        decode::<OpeningPublicKey>(&encode(&recipient()), 100).unwrap(),
        recipient()
    );
    // Zero is a point of small order: the shared secret would be known to everybody.
    let zero = OpeningPublicKey::new(SUITE, vec![0; 32]).unwrap();
    let refused = Err(SealError::UnusablePublicKey);
    assert_eq!(seal(&zero, header(), Purpose::Query, b""), refused);
    assert!(wrap(&zero, "label", b"", b"").is_err());
}

#[test]
fn suites_have_their_numbers() {
    for (suite, number) in Suite::ALL.into_iter().zip(1..) {
        assert_eq!(suite.number(), number);
        assert_eq!(Suite::from_number(number), Some(suite));
        assert_eq!(encode(&suite), [number]);
        assert_eq!(decode::<Suite>(&[number], 1).unwrap(), suite);
    }
    for number in (0..=255).filter(|number| ![1, 2].contains(number)) {
        assert_eq!(Suite::from_number(number), None);
        assert!(decode::<Suite>(&[number], 1).is_err());
    }
}

#[test]
fn suites_have_their_lengths() {
    let lengths = Suite::ALL.map(|suite| {
        (
            suite.public_key_length(),
            suite.encapsulated_length(),
            suite.tag_length(),
            Envelope::encoded_length(suite, 508),
        )
    });
    assert_eq!(lengths, [(32, 32, 16, 614), (1216, 1120, 16, 1702)]);
}

#[test]
fn encodings_of_suite_2_are_pinned() {
    let header = EnvelopeHeader {
        suite: Suite::XWingChaCha20Poly1305,
        ..header()
    };
    let envelope = Envelope {
        header,
        encapsulated: vec![2; 1120],
        ciphertext: vec![3; 528],
    };
    assert_eq!(
        hash("pinned", &[&envelope.encode()]).to_string(),
        "5a44e21e2de4b114177650ad64a1fb02e456853e998d1f0f37ca0a74132a18a8"
    );
    assert_eq!(
        Envelope::decode(&envelope.encode(), 4096).unwrap(),
        envelope
    );
    assert_eq!(
        hash("pinned", &[&binding(&header, Purpose::Query)]).to_string(),
        "0cc8bac64bb535d3d1ece4a3b314542f90f434a88d75e53bd488154bf075a1a9"
    );
}

#[test]
fn unusable_public_keys_of_suite_2_are_refused() {
    let suite = Suite::XWingChaCha20Poly1305;
    for length in [0, 32, 1184, 1215, 1217] {
        let refused = OpeningPublicKey::new(suite, vec![1; length]);
        assert_eq!(refused, Err(SealError::UnusablePublicKey));
    }
    // FIPS 203, section 7.2: coefficients of an encapsulation key are below 3329.
    let too_large = OpeningPublicKey::new(suite, vec![0xff; 1216]).unwrap();
    let header = EnvelopeHeader { suite, ..header() };
    let refused = Err(SealError::UnusablePublicKey);
    assert_eq!(seal(&too_large, header, Purpose::Query, b""), refused);
    assert!(wrap(&too_large, "label", b"", b"").is_err());
}

#[test]
fn the_header_alone_is_read_without_the_content() {
    for suite in Suite::ALL {
        let header = EnvelopeHeader { suite, ..header() };
        for (header, encapsulated) in [
            (header, suite.encapsulated_length()),
            (header.in_session(), 16),
        ] {
            let envelope = Envelope {
                header,
                encapsulated: vec![2; encapsulated],
                ciphertext: vec![3; 512 + suite.tag_length()],
            };
            let bytes = envelope.encode();
            assert_eq!(Envelope::inspect(&bytes, bytes.len()), Ok(header));
            for refused in [
                &bytes[..bytes.len() - 1],
                &[bytes.as_slice(), &[0]].concat(),
            ] {
                assert!(Envelope::inspect(refused, 8192).is_err());
            }
            assert!(Envelope::inspect(&bytes, bytes.len() - 1).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Looking at the header alone refuses what decoding refuses.
    #[test]
    fn inspecting_is_decoding_without_the_content(
        length in prop_oneof![3 => Just(512_usize), 1 => 0..600_usize],
        in_session in any::<bool>(),
        limit in prop_oneof![3 => Just(8192_usize), 1 => 0..2000_usize],
        cut in prop_oneof![3 => Just(0_usize), 1 => 0..80_usize],
        more in prop_oneof![3 => Just(0_usize), 1 => 0..3_usize],
        changes in proptest::collection::vec((0..120_usize, any::<u8>()), 0..3),
    ) {
        for suite in Suite::ALL {
            let header = EnvelopeHeader { suite, ..header() };
            let (header, encapsulated) = if in_session {
                (header.in_session(), 16)
            } else {
                (header, suite.encapsulated_length())
            };
            let envelope = Envelope {
                header,
                encapsulated: vec![2; encapsulated],
                ciphertext: vec![3; length + suite.tag_length()],
            };
            let mut bytes = envelope.encode();
            bytes.truncate(bytes.len() - cut);
            bytes.extend(vec![0; more]);
            for (place, byte) in &changes {
                if let Some(slot) = bytes.get_mut(*place) {
                    *slot = *byte;
                }
            }
            let (inspected, decoded) = (Envelope::inspect(&bytes, limit), Envelope::decode(&bytes, limit));
            match (inspected, decoded) {
                (Ok(header), Ok(envelope)) => prop_assert_eq!(header, envelope.header),
                (Err(one), Err(other)) => {
                    prop_assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
                }
                (one, other) => prop_assert!(false, "{:?}, {:?}", one, other),
            }
        }
    }

    #[test]
    fn decoding_accepts_only_padded_sizes(length in 0..4000_usize) {
        for suite in Suite::ALL {
            let envelope = Envelope {
                header: EnvelopeHeader { suite, ..header() },
                encapsulated: vec![2; suite.encapsulated_length()],
                ciphertext: vec![3; length],
            };
            let accepted = Envelope::decode(&envelope.encode(), 8192).is_ok();
            let possible = (0..4000).any(|content| {
                Envelope::encoded_length(suite, content) == envelope.encode().len()
            });
            prop_assert_eq!(accepted, possible);
        }
    }
}
