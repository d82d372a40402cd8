//! The formats, pinned: an envelope and a wrapped key made with a fixed ephemeral key, and a reply.
//!
//! The bytes are made here, step by step from the documented format, and must open with the crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_with_rng};
use sealbook_opening::{OpenError, OpeningKey, open_reply, unwrap};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::format::{SuiteAead, SuiteKdf, SuiteOneKem, SuiteTwoKem};
use sealbook_sealing::{Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, Suite, seal_reply};

/// A generator that always gives sevens, so that the ephemeral key is always the same.
struct Sevens;

impl TryRng for Sevens {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x0707_0707)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x0707_0707_0707_0707)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Sevens {}

fn key() -> OpeningKey {
    OpeningKey::from_secret(&Secret32::new([1; 32]))
}

fn key_two() -> OpeningKey {
    OpeningKey::of(Suite::XWingChaCha20Poly1305, &Secret32::new([1; 32]))
}

fn encrypt(
    key: &OpeningPublicKey,
    info: &[u8],
    associated: &[u8],
    text: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    match key.suite() {
        Suite::X25519ChaCha20Poly1305 => encrypt_with::<SuiteOneKem>(key, info, associated, text),
        Suite::XWingChaCha20Poly1305 => encrypt_with::<SuiteTwoKem>(key, info, associated, text),
    }
}

fn encrypt_with<K: Kem>(
    key: &OpeningPublicKey,
    info: &[u8],
    associated: &[u8],
    text: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let recipient = K::PublicKey::from_bytes(key.bytes()).unwrap();
    let (encapsulated, ciphertext) = single_shot_seal_with_rng::<SuiteAead, SuiteKdf, K>(
        &OpModeS::Base,
        &recipient,
        info,
        text,
        associated,
        &mut Sevens,
    )
    .unwrap();
    (encapsulated.to_bytes().to_vec(), ciphertext)
}

fn pin(bytes: &[u8]) -> String {
    hash("pinned", &[bytes]).to_string()
}

/// An envelope for a transaction around these 512 bytes, from the documented format.
fn envelope(key: &OpeningKey, padded: &[u8; 512]) -> Vec<u8> {
    let mut bytes = vec![1, key.suite().number()];
    bytes.extend_from_slice(&[9; 32]);
    bytes.extend_from_slice(&7_u32.to_le_bytes());
    bytes.extend_from_slice(&1_700_000_000_000_u64.to_le_bytes());
    let associated = [&bytes[..], &[1]].concat();
    let info = b"sealbook/seal/1/transaction";
    let (encapsulated, ciphertext) = encrypt(&key.public_key(), info, &associated, padded);
    for part in [encapsulated, ciphertext] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&part);
    }
    bytes
}

fn padded(content: &[u8]) -> [u8; 512] {
    let mut padded = [0; 512];
    padded[..4].copy_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    padded[4..4 + content.len()].copy_from_slice(content);
    padded
}

#[test]
fn the_envelope_is_pinned() {
    let bytes = envelope(&key(), &padded(b"instruction"));
    assert_eq!(
        pin(&bytes),
        "4fa48585036722e39f4abf991dfbeba373a7ba7e1877582f155ec8ee25839b90"
    );
    let envelope = Envelope::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(
        envelope.digest().to_string(),
        "945f6350c5ff103ab384a523ec8cfb8669c1b47d359f9cbfa0e6ad4582dd4f44"
    );
    assert_eq!(
        envelope.header,
        EnvelopeHeader {
            version: 1,
            suite: Suite::X25519ChaCha20Poly1305,
            network: Digest([9; 32]),
            key_epoch: 7,
            expires_ms: 1_700_000_000_000,
        }
    );
    assert_eq!(
        key()
            .open(&envelope, Purpose::Transaction)
            .unwrap()
            .expose(),
        b"instruction"
    );
}

#[test]
fn the_envelope_of_suite_2_is_pinned() {
    let bytes = envelope(&key_two(), &padded(b"instruction"));
    assert_eq!(bytes.len(), 46 + 4 + 1120 + 4 + 512 + 16);
    assert_eq!(
        pin(&bytes),
        "660e2082f712a8e57187c24f0b5c3f1329fd828bf8223b01b73cc4140fad34d5"
    );
    let envelope = Envelope::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(
        envelope.digest().to_string(),
        "3fb4acd7f867033b70684a23a43ea1011973755060e7a328d72c1bca520bc679"
    );
    assert_eq!(envelope.header.suite, Suite::XWingChaCha20Poly1305);
    let opened = key_two().open(&envelope, Purpose::Transaction).unwrap();
    assert_eq!(opened.expose(), b"instruction");
}

#[test]
fn content_that_its_author_padded_wrongly_is_refused() {
    let mut dirty = padded(b"instruction");
    dirty[511] = 1;
    let mut too_long = padded(b"instruction");
    too_long[..4].copy_from_slice(&509_u32.to_le_bytes());
    for content in [dirty, too_long] {
        let bytes = envelope(&key(), &content);
        let envelope = Envelope::decode(&bytes, bytes.len()).unwrap();
        let refused = key().open(&envelope, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::WrongPadding)));
    }
}

#[test]
fn the_wrapped_key_is_pinned() {
    let info = [&b"sealbook/wrap/1"[..], &5_u64.to_le_bytes(), b"label"].concat();
    let associated = [&[1, 1][..], b"context"].concat();
    let (encapsulated, ciphertext) =
        encrypt(&key().public_key(), &info, &associated, b"wrapped key");
    let wrapped = [&[1, 1][..], &encapsulated, &ciphertext].concat();
    assert_eq!(
        pin(&wrapped),
        "b470694006be3cf2ee9f4e9fa85c6f538a20668c1be0b37f0a6389009042a5d7"
    );
    assert_eq!(
        unwrap(&key(), "label", b"context", &wrapped)
            .unwrap()
            .expose(),
        b"wrapped key"
    );
}

#[test]
fn the_wrapped_key_of_suite_2_is_pinned() {
    let info = [&b"sealbook/wrap/1"[..], &5_u64.to_le_bytes(), b"label"].concat();
    let associated = [&[1, 2][..], b"context"].concat();
    let (encapsulated, ciphertext) =
        encrypt(&key_two().public_key(), &info, &associated, b"wrapped key");
    let wrapped = [&[1, 2][..], &encapsulated, &ciphertext].concat();
    assert_eq!(
        pin(&wrapped),
        "670b2fdd66cc3a82dfcacbfcf68551fc6efe5325057fbb941d53e2ff551995c0"
    );
    let opened = unwrap(&key_two(), "label", b"context", &wrapped).unwrap();
    assert_eq!(opened.expose(), b"wrapped key");
}

#[test]
fn the_reply_is_pinned() {
    let secret = Secret32::new([5; 32]);
    let reply = seal_reply(&secret, b"context", b"answer").unwrap();
    assert_eq!(
        pin(&reply),
        "9ddf98317ffe1d002330ffe6562b72a730d131940272eed5b369f064e2a12f7a"
    );
    assert_eq!(
        open_reply(&secret, b"context", &reply).unwrap().expose(),
        b"answer"
    );
}

#[test]
fn the_public_key_is_pinned() {
    let encoded = sealbook_primitives::encoding::encode(&key().public_key());
    assert_eq!(
        pin(&encoded),
        "66f7c52e6e99c32a028337b548f7694d7b0ccd724710847bc904e3493c43724a"
    );
    assert_eq!(encoded.len(), 1 + 4 + 32);
}

#[test]
fn the_public_key_of_suite_2_is_pinned() {
    let encoded = sealbook_primitives::encoding::encode(&key_two().public_key());
    assert_eq!(
        pin(&encoded),
        "450bdb6e934223d1093b7692e9200b0fca6e7b89926c40edc1a9cde7cd41e11a"
    );
    assert_eq!(encoded.len(), 1 + 4 + 1216);
}
