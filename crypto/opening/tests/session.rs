//! Envelopes within a session: what opens, what does not, and what shows from the outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;

use sealbook_opening::{OpenError, OpeningKey, open_in_session};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::session::{SESSION_ENVELOPE_VERSION, SessionKey, TAG_LENGTH};
use sealbook_sealing::{
    ENVELOPE_VERSION, Envelope, EnvelopeError, EnvelopeHeader, Purpose, SealError, Sealer, Suite,
};

const SUITES: [Suite; 2] = Suite::ALL;

fn key(byte: u8) -> SessionKey {
    SessionKey::opened_by(&Secret32::new([byte; 32]), &Digest([7; 32]))
}

fn header(suite: Suite) -> EnvelopeHeader {
    EnvelopeHeader::new(suite, Digest([9; 32]), 7, 1_700_000_000_000).in_session()
}

fn sealed(suite: Suite, counter: u64, content: &[u8]) -> Envelope {
    let sealer = Sealer::in_session(suite, &key(1), counter);
    sealer.seal(header(suite), content).unwrap()
}

#[test]
fn a_message_opens_under_its_session_and_its_counter_only() {
    for suite in SUITES {
        let envelope = sealed(suite, 5, b"buy");
        assert_eq!(envelope.header.version, SESSION_ENVELOPE_VERSION);
        let read = Envelope::decode(&envelope.encode(), 4096).unwrap();
        let opened = open_in_session(&key(1), 5, &read).unwrap();
        assert_eq!(opened.expose(), b"buy");
        assert!(open_in_session(&key(1), 6, &read).is_err());
        assert!(open_in_session(&key(2), 5, &read).is_err());
        // The tag of another counter or session does not make it theirs.
        for (key, counter) in [(key(1), 6), (key(2), 5)] {
            let mut relabelled = read.clone();
            relabelled.encapsulated = key.tag(counter).to_vec();
            let opened = open_in_session(&key, counter, &relabelled);
            assert_eq!(opened.err(), Some(OpenError::DoesNotOpen));
        }
        let other = SessionKey::opened_by(&Secret32::new([1; 32]), &Digest([8; 32]));
        assert_ne!(other.tag(5), key(1).tag(5));
        assert_ne!(other.name(), key(1).name());
    }
}

#[test]
fn no_bit_can_be_changed() {
    let bytes = sealed(Suite::X25519ChaCha20Poly1305, 0, b"sell").encode();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let opened = Envelope::decode(&altered, 4096)
            .ok()
            .and_then(|envelope| open_in_session(&key(1), 0, &envelope).ok());
        assert!(opened.is_none(), "bit {bit}");
    }
}

#[test]
fn with_and_without_a_session_are_two_things() {
    let suite = Suite::X25519ChaCha20Poly1305;
    let opening = OpeningKey::of(suite, &Secret32::new([3; 32]));
    let envelope = sealed(suite, 0, b"x");
    assert_eq!(
        opening.open(&envelope, Purpose::Transaction).err(),
        Some(OpenError::SessionMismatch)
    );
    let mut as_fresh = envelope.clone();
    as_fresh.header.version = ENVELOPE_VERSION;
    assert_eq!(
        as_fresh.check(),
        Err(EnvelopeError::WrongEncapsulatedLength)
    );
    let mut fresh = EnvelopeHeader::new(suite, Digest([9; 32]), 7, 1);
    let own = sealbook_sealing::seal(&opening.public_key(), fresh, Purpose::Transaction, b"x");
    let own = own.unwrap();
    assert_eq!(
        open_in_session(&key(1), 0, &own).err(),
        Some(OpenError::SessionMismatch)
    );
    // A sealer makes the version that it was made for.
    let refused = |sealer: Sealer, header| sealer.seal(header, b"x").err();
    let unsupported = |version| Some(SealError::UnsupportedVersion { version });
    assert_eq!(
        refused(Sealer::in_session(suite, &key(1), 1), fresh),
        unsupported(ENVELOPE_VERSION)
    );
    fresh = fresh.in_session();
    let sealer = Sealer::begin(&opening.public_key(), Purpose::Transaction).unwrap();
    assert_eq!(
        refused(sealer, fresh),
        unsupported(SESSION_ENVELOPE_VERSION)
    );
    let mut long = envelope;
    long.encapsulated.push(0);
    assert_eq!(long.check(), Err(EnvelopeError::WrongEncapsulatedLength));
}

#[test]
fn messages_show_nothing_in_common_but_the_session_s_version() {
    let suite = Suite::X25519ChaCha20Poly1305;
    let (mut tags, mut blocks) = (BTreeSet::new(), BTreeSet::new());
    for counter in 0..200 {
        let envelope = sealed(suite, counter, b"the same content every time");
        assert_eq!(envelope.encapsulated.len(), TAG_LENGTH);
        assert!(tags.insert(envelope.encapsulated.clone()));
        for block in envelope.ciphertext.chunks(16) {
            assert!(blocks.insert(block.to_vec()));
        }
    }
}

#[test]
fn tags_keys_and_messages_are_pinned() {
    let key = key(1);
    let envelope = sealed(Suite::X25519ChaCha20Poly1305, 3, b"pinned");
    let (tag, message_key) = (key.tag(3), key.message_key(3));
    let encoded = envelope.encode();
    let parts: [&[u8]; 4] = [key.expose(), &tag, message_key.expose(), &encoded];
    assert_eq!(
        hash("pinned", &parts).to_string(),
        "4a35b9565a79b9833ac9935150cb67966a8b4482973932cb13ba3f3666a5811c"
    );
}
