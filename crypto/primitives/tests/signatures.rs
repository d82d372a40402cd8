//! Signatures: keys of RFC 8032, domains, batches, and the cases where ZIP-215 has its own mind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::hash;
use sealbook_primitives::signature::{
    BatchItem, Signature, SignatureError, SigningKey, VerifyingKey, verify_batch,
};

/// Seeds and public keys of the tests 1 to 3 in RFC 8032, section 7.1.
const RFC_8032_KEYS: [(&str, &str); 3] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
];

/// Every encoding of a point of small order that decodes: the eight points, and six second
/// spellings (a sign bit on x = 0, or a y that is not reduced). ZIP-215's published test cases are
/// the pairs of these as key and as R, with S = 0.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn keys_of_rfc_8032() {
    for (seed, public) in RFC_8032_KEYS {
        let key = SigningKey::from_seed(bytes(seed));
        assert_eq!(key.verifying_key(), VerifyingKey::from_hex(public).unwrap());
        assert_eq!(hex::encode(key.seed().expose()), seed);
        assert_eq!(key.verifying_key().refuse_weak(), Ok(()));
    }
}

#[test]
fn signatures_are_pinned() {
    let signature = SigningKey::from_seed([7; 32]).sign("pinned", b"message");
    assert_eq!(
        hash("pinned", &[&encode(&signature)]).to_string(),
        "9913a4ec927c9a27193c2fd2e8bf8ee69a5e037b64b89586a167583412e002e9"
    );
    assert_eq!(decode::<Signature>(&encode(&signature), 64), Ok(signature));
}

#[test]
fn the_signed_bytes_are_the_documented_ones() {
    let key = SigningKey::generate();
    let signature = key.sign("domain", b"message");
    assert_eq!(
        key.verifying_key().verify("domain", b"message", &signature),
        Ok(())
    );
    assert_eq!(
        key.verifying_key()
            .verify_plain(b"\x06domainmessage", &signature),
        Ok(())
    );
}

#[test]
fn another_domain_message_key_or_bit_is_refused() {
    let key = SigningKey::from_seed([1; 32]);
    let verifying = key.verifying_key();
    let signature = key.sign("domain", b"message");
    let invalid = Err(SignatureError::Invalid);
    assert_eq!(verifying.verify("domainm", b"essage", &signature), invalid);
    assert_eq!(verifying.verify("Domain", b"message", &signature), invalid);
    assert_eq!(verifying.verify("domain", b"messagf", &signature), invalid);
    assert_eq!(verifying.verify_plain(b"message", &signature), invalid);
    let other = SigningKey::from_seed([2; 32]).verifying_key();
    assert_eq!(other.verify("domain", b"message", &signature), invalid);
    for bit in 0..512 {
        let mut flipped = signature;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verifying.verify("domain", b"message", &flipped),
            invalid,
            "bit {bit}"
        );
    }
}

#[test]
fn zip_215_accepts_small_order_singly_and_in_batches() {
    let mut items = Vec::new();
    for key in SMALL_ORDER {
        for commitment in SMALL_ORDER {
            let signature = Signature(
                [bytes::<32>(commitment), [0; 32]]
                    .concat()
                    .try_into()
                    .unwrap(),
            );
            let key = VerifyingKey(bytes(key));
            assert_eq!(key.verify("zip 215", b"Zcash", &signature), Ok(()));
            items.push(BatchItem {
                key,
                domain: "zip 215",
                message: b"Zcash",
                signature,
            });
        }
    }
    assert_eq!(verify_batch(&items), Ok(()));
}

#[test]
fn weak_keys_are_refused_at_registration() {
    for text in SMALL_ORDER {
        let refused = VerifyingKey::from_hex(text).unwrap().refuse_weak();
        assert_eq!(refused, Err(SignatureError::WeakKey), "{text}");
    }
    // y = p + 3 and its like: large order, second spelling. Not every such y is on the curve.
    let mut second_spellings = 0;
    for lowest in 0xed..=0xff_u8 {
        for highest in [0x7f, 0xff] {
            let mut encoding = [0xff; 32];
            (encoding[0], encoding[31]) = (lowest, highest);
            assert!(VerifyingKey(encoding).refuse_weak().is_err());
            let malformed = Err(SignatureError::MalformedKey);
            second_spellings += u32::from(VerifyingKey(encoding).refuse_weak() != malformed);
        }
    }
    assert!(second_spellings > 4);
    let mut off_the_curve = [0; 32];
    off_the_curve[0] = 2;
    assert_eq!(
        VerifyingKey(off_the_curve).refuse_weak(),
        Err(SignatureError::MalformedKey)
    );
}

#[test]
fn text_round_trip() {
    let key = SigningKey::from_seed([3; 32]);
    let (verifying, signature) = (key.verifying_key(), key.sign("text", b""));
    assert_eq!(
        VerifyingKey::from_hex(&verifying.to_string()),
        Ok(verifying)
    );
    assert_eq!(Signature::from_hex(&signature.to_string()), Ok(signature));
    assert!(VerifyingKey::from_hex("zz").is_err());
    assert!(Signature::from_hex(&verifying.to_string()).is_err());
}

#[test]
fn an_empty_batch_is_valid() {
    assert_eq!(verify_batch(&[]), Ok(()));
}

#[derive(Debug, Clone)]
enum Damage {
    None,
    Message,
    Domain,
    SignatureBit(usize),
    KeyBit(usize),
    SmallOrder(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        12 => Just(Damage::None),
        1 => Just(Damage::Message),
        1 => Just(Damage::Domain),
        1 => (0..512_usize).prop_map(Damage::SignatureBit),
        1 => (0..256_usize).prop_map(Damage::KeyBit),
        2 => (0..14_usize, 0..14_usize).prop_map(|(key, point)| Damage::SmallOrder(key, point)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_batch_says_what_its_members_say(
        members in prop::collection::vec((0..4_u8, any::<[u8; 8]>(), damage()), 0..8),
    ) {
        let mut signed = Vec::new();
        for (signer, message, damage) in &members {
            let key = SigningKey::from_seed([*signer; 32]);
            let mut signature = key.sign("batch", message);
            let (mut verifying, mut message, mut domain) =
                (key.verifying_key(), message.to_vec(), "batch");
            match damage {
                Damage::None => {}
                Damage::Message => message.push(0),
                Damage::Domain => domain = "hctab",
                Damage::SignatureBit(bit) => signature.0[bit / 8] ^= 1 << (bit % 8),
                Damage::KeyBit(bit) => verifying.0[bit / 8] ^= 1 << (bit % 8),
                Damage::SmallOrder(key, point) => {
                    verifying = VerifyingKey(bytes(SMALL_ORDER[*key]));
                    signature = Signature([0; 64]);
                    signature.0[..32].copy_from_slice(&bytes::<32>(SMALL_ORDER[*point]));
                }
            }
            signed.push((verifying, domain, message, signature));
        }
        let items: Vec<BatchItem<'_>> = signed
            .iter()
            .map(|(key, domain, message, signature)| BatchItem {
                key: *key,
                domain,
                message,
                signature: *signature,
            })
            .collect();
        let singly = items
            .iter()
            .all(|item| item.key.verify(item.domain, item.message, &item.signature).is_ok());
        prop_assert_eq!(verify_batch(&items).is_ok(), singly);
    }
}
