//! What opens envelopes of suite 1 judges everything as the reference, the crate `hpke`, does: modules that differ in
//! what opens would differ in what they execute.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hpke::{Deserializable, Kem, OpModeR, single_shot_open};
use proptest::prelude::*;
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::hash;
use sealbook_primitives::padding::unpad;
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::format::{ENVELOPE_FLOOR, SuiteAead, SuiteKdf, SuiteOneKem};
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose, Suite, binding, seal};

const SUITE: Suite = Suite::X25519ChaCha20Poly1305;
const PURPOSE: Purpose = Purpose::Transaction;

fn sealed_to(seed: [u8; 32], text: &[u8]) -> Envelope {
    let key = OpeningKey::of(SUITE, &Secret32::new(seed)).public_key();
    let header = EnvelopeHeader::new(SUITE, hash("test network", &[]), 7, 1_700_000_000_000);
    seal(&key, header, PURPOSE, text).unwrap()
}

/// What the reference makes of an envelope.
fn reference(seed: [u8; 32], envelope: &Envelope) -> Option<Vec<u8>> {
    let (secret, _) = SuiteOneKem::derive_keypair(&seed);
    let encapsulated =
        <SuiteOneKem as Kem>::EncappedKey::from_bytes(&envelope.encapsulated).ok()?;
    let padded = single_shot_open::<SuiteAead, SuiteKdf, SuiteOneKem>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        PURPOSE.info(),
        &envelope.ciphertext,
        &binding(&envelope.header, PURPOSE),
    )
    .ok()?;
    unpad(&padded, ENVELOPE_FLOOR).ok().map(<[u8]>::to_vec)
}

fn ours(seed: [u8; 32], envelope: &Envelope) -> Option<Vec<u8>> {
    let opened = OpeningKey::of(SUITE, &Secret32::new(seed)).open(envelope, PURPOSE);
    opened.ok().map(|text| text.expose().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_open_the_same_to_the_same(
        seed in any::<[u8; 32]>(),
        text in prop::collection::vec(any::<u8>(), 0..3000),
        flipped in prop::option::of((0_usize..3, any::<usize>())),
    ) {
        let mut envelope = sealed_to(seed, &text);
        if let Some((part, bit)) = flipped {
            let header = &mut envelope.header;
            match part {
                0 => envelope.encapsulated[bit / 8 % 32] ^= 1 << (bit % 8),
                1 => {
                    let place = bit / 8 % envelope.ciphertext.len();
                    envelope.ciphertext[place] ^= 1 << (bit % 8);
                }
                _ => header.expires_ms ^= 1 << (bit % 64),
            }
        }
        let expected = reference(seed, &envelope);
        prop_assert_eq!(ours(seed, &envelope), expected.clone());
        if flipped.is_none() {
            prop_assert_eq!(expected, Some(text));
        }
    }
}

#[test]
fn both_refuse_points_of_small_order() {
    // The points of order 1, 2, 4 and 8 of Curve25519 and of its twist, and encodings of theirs that are not reduced
    // (https://cr.yp.to/ecdh.html, "How do I validate Curve25519 public keys?").
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in points {
        for top in [0, 0x80] {
            let mut envelope = sealed_to([3; 32], b"instruction");
            hex::decode_to_slice(point, &mut envelope.encapsulated).unwrap();
            envelope.encapsulated[31] |= top;
            assert_eq!(reference([3; 32], &envelope), None, "{point}");
            assert_eq!(ours([3; 32], &envelope), None, "{point}");
        }
    }
}

#[test]
fn an_encapsulated_key_with_its_top_bit_set_is_judged_alike() {
    // The bit is ignored by the key agreement and counts in the key schedule.
    let mut envelope = sealed_to([3; 32], b"instruction");
    envelope.encapsulated[31] ^= 0x80;
    assert_eq!(ours([3; 32], &envelope), reference([3; 32], &envelope));
}
