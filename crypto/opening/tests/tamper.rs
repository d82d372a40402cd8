//! Nothing opens unless every bit is the one that was sealed, in every suite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_opening::{OpenError, OpeningKey, open_reply, unwrap};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::{
    ENVELOPE_VERSION, Envelope, EnvelopeHeader, HEADER_LENGTH, OpeningPublicKey, Purpose,
    SealError, Sealer, Suite, seal, seal_reply, wrap,
};

const LIMIT: usize = 1 << 20;

fn key(suite: Suite) -> OpeningKey {
    OpeningKey::of(suite, &Secret32::new([1; 32]))
}

fn header(suite: Suite) -> EnvelopeHeader {
    let network = hash("test network", &[]);
    EnvelopeHeader::new(suite, network, 7, 1_700_000_000_000)
}

fn sealed(suite: Suite, text: &[u8]) -> Envelope {
    let key = key(suite).public_key();
    seal(&key, header(suite), Purpose::Transaction, text).unwrap()
}

/// The same test for each suite, as tests of their own.
macro_rules! in_every_suite {
    ($($test:ident)*) => {
        mod suite_1 {
            $(#[test] fn $test() { super::$test(super::Suite::X25519ChaCha20Poly1305); })*
        }
        mod suite_2 {
            $(#[test] fn $test() { super::$test(super::Suite::XWingChaCha20Poly1305); })*
        }
    };
}

in_every_suite! {
    what_was_sealed_opens
    every_flipped_bit_of_an_encoded_envelope_is_refused
    every_flipped_bit_of_the_parts_is_refused
    another_purpose_network_epoch_expiry_or_key_is_refused
    parts_of_two_envelopes_do_not_mix
    malformed_envelopes_are_refused_without_the_key
    an_unknown_version_is_not_sealed
    a_wrapped_key_opens_only_under_its_label_and_context
    every_length_survives_and_hides
    arbitrary_bytes_never_decode_into_another_encoding
    what_has_the_lengths_of_an_envelope_is_refused_without_panic
    an_encapsulated_key_that_is_known_before_the_content_is_that_of_the_envelope
}

fn what_was_sealed_opens(suite: Suite) {
    let envelope = sealed(suite, b"instruction");
    let opened = key(suite).open(&envelope, Purpose::Transaction).unwrap();
    assert_eq!(opened.expose(), b"instruction");
    assert_eq!(envelope.encode().len(), Envelope::encoded_length(suite, 11));
    let read = Envelope::decode(&envelope.encode(), LIMIT).unwrap();
    assert_eq!(read, envelope);
    assert_eq!(read.digest(), envelope.digest());
    assert_ne!(sealed(suite, b"instruction").digest(), envelope.digest());
}

fn every_flipped_bit_of_an_encoded_envelope_is_refused(suite: Suite) {
    let encoded = sealed(suite, b"instruction").encode();
    let key = key(suite);
    let mut reached_the_key = 0;
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(envelope) = Envelope::decode(&flipped, LIMIT) {
            let refused = key.open(&envelope, Purpose::Transaction);
            assert!(matches!(refused, Err(OpenError::DoesNotOpen)), "bit {bit}");
            reached_the_key += 1;
        }
    }
    // All but version, suite and the two lengths can only be judged with the key.
    assert_eq!(reached_the_key, (encoded.len() - 2 - 8) * 8);
}

fn every_flipped_bit_of_the_parts_is_refused(suite: Suite) {
    let (envelope, key) = (sealed(suite, b"instruction"), key(suite));
    let refused = |altered: &Envelope| key.open(altered, Purpose::Transaction).is_err();
    for bit in 0..envelope.encapsulated.len() * 8 {
        let mut altered = envelope.clone();
        altered.encapsulated[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&altered), "encapsulated key, bit {bit}");
    }
    for bit in 0..envelope.ciphertext.len() * 8 {
        let mut altered = envelope.clone();
        altered.ciphertext[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&altered), "ciphertext, bit {bit}");
    }
    for bit in 0..256 {
        let mut altered = envelope.clone();
        altered.header.network.0[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&altered), "network, bit {bit}");
    }
    for bit in 0..32 {
        let mut altered = envelope.clone();
        altered.header.key_epoch ^= 1 << bit;
        assert!(refused(&altered), "key epoch, bit {bit}");
    }
    for bit in 0..64 {
        let mut altered = envelope.clone();
        altered.header.expires_ms ^= 1 << bit;
        assert!(refused(&altered), "expiry, bit {bit}");
    }
}

fn another_purpose_network_epoch_expiry_or_key_is_refused(suite: Suite) {
    let (envelope, key) = (sealed(suite, b"instruction"), key(suite));
    let purposes = [Purpose::Transaction, Purpose::Attachment, Purpose::Query];
    for made_for in purposes {
        let envelope = seal(&key.public_key(), header(suite), made_for, b"text").unwrap();
        for opened_for in purposes {
            assert_eq!(
                key.open(&envelope, opened_for).is_ok(),
                made_for == opened_for
            );
        }
    }
    let original = header(suite);
    for other in [
        EnvelopeHeader {
            network: Digest::ZERO,
            ..original
        },
        EnvelopeHeader {
            key_epoch: 8,
            ..original
        },
        EnvelopeHeader {
            expires_ms: original.expires_ms + 1,
            ..original
        },
    ] {
        let moved = Envelope {
            header: other,
            ..envelope.clone()
        };
        let refused = key.open(&moved, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::DoesNotOpen)));
    }
    let other_key = OpeningKey::generate(suite);
    assert!(other_key.open(&envelope, Purpose::Transaction).is_err());
}

fn parts_of_two_envelopes_do_not_mix(suite: Suite) {
    let (first, second) = (sealed(suite, b"first"), sealed(suite, b"second"));
    let key = key(suite);
    for mixed in [
        Envelope {
            encapsulated: second.encapsulated.clone(),
            ..first.clone()
        },
        Envelope {
            ciphertext: second.ciphertext.clone(),
            ..first.clone()
        },
    ] {
        assert!(key.open(&mixed, Purpose::Transaction).is_err());
    }
}

fn malformed_envelopes_are_refused_without_the_key(suite: Suite) {
    let envelope = sealed(suite, b"instruction");
    let encoded = envelope.encode();
    assert!(Envelope::decode(&encoded, encoded.len()).is_ok());
    assert!(Envelope::decode(&encoded, encoded.len() - 1).is_err());
    for length in 0..encoded.len() {
        assert!(
            Envelope::decode(&encoded[..length], LIMIT).is_err(),
            "{length} bytes"
        );
    }
    assert!(Envelope::decode(&[&encoded[..], &[0]].concat(), LIMIT).is_err());
    for altered in [
        Envelope {
            encapsulated: envelope.encapsulated[1..].to_vec(),
            ..envelope.clone()
        },
        Envelope {
            encapsulated: Vec::new(),
            ..envelope.clone()
        },
        Envelope {
            ciphertext: envelope.ciphertext[1..].to_vec(),
            ..envelope.clone()
        },
        Envelope {
            ciphertext: [&envelope.ciphertext[..], &[0]].concat(),
            ..envelope.clone()
        },
        Envelope {
            ciphertext: Vec::new(),
            ..envelope.clone()
        },
        Envelope {
            header: EnvelopeHeader {
                version: 2,
                ..header(suite)
            },
            ..envelope.clone()
        },
        Envelope {
            header: EnvelopeHeader {
                version: 0,
                ..header(suite)
            },
            ..envelope.clone()
        },
    ] {
        assert!(Envelope::decode(&altered.encode(), LIMIT).is_err());
        let refused = key(suite).open(&altered, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::MalformedEnvelope(_))));
    }
    for number in (0..=255_u8).filter(|number| *number != suite.number()) {
        let mut other = encoded.clone();
        other[1] = number;
        assert!(Envelope::decode(&other, LIMIT).is_err(), "suite {number}");
    }
    assert_eq!(encoded[0], ENVELOPE_VERSION);
    let header_only = &encoded[..HEADER_LENGTH];
    assert_eq!(
        header_only,
        sealbook_primitives::encoding::encode(&header(suite))
    );
}

fn an_unknown_version_is_not_sealed(suite: Suite) {
    let header = EnvelopeHeader {
        version: 2,
        ..header(suite)
    };
    let refused = seal(&key(suite).public_key(), header, Purpose::Query, b"");
    assert_eq!(refused, Err(SealError::UnsupportedVersion { version: 2 }));
}

fn a_wrapped_key_opens_only_under_its_label_and_context(suite: Suite) {
    let key = key(suite);
    let wrapped = wrap(&key.public_key(), "root", b"epoch 1", b"secret").unwrap();
    assert_eq!(
        unwrap(&key, "root", b"epoch 1", &wrapped).unwrap().expose(),
        b"secret"
    );
    assert!(unwrap(&key, "roo", b"tepoch 1", &wrapped).is_err());
    assert!(unwrap(&key, "root", b"epoch 2", &wrapped).is_err());
    assert!(unwrap(&key, "audit", b"epoch 1", &wrapped).is_err());
    assert!(unwrap(&OpeningKey::generate(suite), "root", b"epoch 1", &wrapped).is_err());
    for bit in 0..wrapped.len() * 8 {
        let mut flipped = wrapped.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            unwrap(&key, "root", b"epoch 1", &flipped).is_err(),
            "bit {bit}"
        );
    }
    for length in 0..wrapped.len() {
        assert!(unwrap(&key, "root", b"epoch 1", &wrapped[..length]).is_err());
    }
    // A wrapped key is not an envelope, whatever surrounds it.
    let (encapsulated, ciphertext) = wrapped[2..].split_at(suite.encapsulated_length());
    let posing = Envelope {
        header: header(suite),
        encapsulated: encapsulated.to_vec(),
        ciphertext: ciphertext.to_vec(),
    };
    assert!(key.open(&posing, Purpose::Transaction).is_err());
}

#[test]
fn a_reply_opens_only_under_its_key_and_context() {
    let key = Secret32::new([3; 32]);
    let reply = seal_reply(&key, b"digest, stage 1", b"answer").unwrap();
    assert_eq!(
        reply,
        seal_reply(&key, b"digest, stage 1", b"answer").unwrap()
    );
    assert_eq!(reply.len(), 1 + 12 + 256 + 16);
    assert_eq!(
        open_reply(&key, b"digest, stage 1", &reply)
            .unwrap()
            .expose(),
        b"answer"
    );
    assert!(open_reply(&key, b"digest, stage 2", &reply).is_err());
    assert!(open_reply(&Secret32::new([4; 32]), b"digest, stage 1", &reply).is_err());
    for bit in 0..reply.len() * 8 {
        let mut flipped = reply.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            open_reply(&key, b"digest, stage 1", &flipped).is_err(),
            "bit {bit}"
        );
    }
    for length in 0..reply.len() {
        assert!(open_reply(&key, b"digest, stage 1", &reply[..length]).is_err());
    }
}

#[test]
fn two_replies_under_one_context_share_no_nonce() {
    let key = Secret32::new([3; 32]);
    let first = seal_reply(&key, b"context", b"answer at height 1").unwrap();
    let second = seal_reply(&key, b"context", b"answer at height 2").unwrap();
    assert_ne!(first[1..13], second[1..13]);
}

fn every_length_survives_and_hides(suite: Suite) {
    let key = key(suite);
    proptest!(ProptestConfig::with_cases(48), |(text in prop::collection::vec(any::<u8>(), 0..5000))| {
        let envelope = sealed(suite, &text);
        prop_assert_eq!(envelope.encode().len(), Envelope::encoded_length(suite, text.len()));
        prop_assert!(envelope.check().is_ok());
        let opened = key.open(&envelope, Purpose::Transaction).unwrap();
        prop_assert_eq!(opened.expose(), &text[..]);
        let secret = Secret32::new([9; 32]);
        let reply = seal_reply(&secret, &text, &text).unwrap();
        let answered = open_reply(&secret, &text, &reply).unwrap();
        prop_assert_eq!(answered.expose(), &text[..]);
    });
}

fn arbitrary_bytes_never_decode_into_another_encoding(suite: Suite) {
    let original = sealed(suite, b"instruction").encode();
    let start = prop::collection::vec(any::<u8>(), 0..60);
    let place = 0..original.len();
    proptest!(ProptestConfig::with_cases(256), |(start in start, place in place)| {
        let mut encoded = original.clone();
        for (byte, other) in encoded.iter_mut().skip(place).zip(&start) {
            *byte = *other;
        }
        if let Ok(envelope) = Envelope::decode(&encoded, LIMIT) {
            prop_assert_eq!(envelope.encode(), encoded);
        }
        prop_assert!(Envelope::decode(&start, LIMIT).is_err());
    });
}

fn what_has_the_lengths_of_an_envelope_is_refused_without_panic(suite: Suite) {
    let (key, recipient) = (key(suite), vec![any::<u8>(); suite.public_key_length()]);
    let encapsulated = vec![any::<u8>(); suite.encapsulated_length()];
    let ciphertext = vec![any::<u8>(); 512 + suite.tag_length()];
    proptest!(ProptestConfig::with_cases(64), |(
        recipient in recipient,
        encapsulated in encapsulated,
        ciphertext in ciphertext,
    )| {
        let wrapped = [&[1, suite.number()][..], &encapsulated, &ciphertext].concat();
        prop_assert!(matches!(unwrap(&key, "root", b"", &wrapped), Err(OpenError::DoesNotOpen)));
        let envelope = Envelope { header: header(suite), encapsulated, ciphertext };
        let opened = key.open(&envelope, Purpose::Query);
        prop_assert!(matches!(opened, Err(OpenError::DoesNotOpen)));
        // Whether anything can be sealed to these bytes is the suite's to say; nobody can open it.
        let recipient = OpeningPublicKey::new(suite, recipient).unwrap();
        if let Ok(sealed) = seal(&recipient, header(suite), Purpose::Query, b"text") {
            let opened = key.open(&sealed, Purpose::Query);
            prop_assert!(matches!(opened, Err(OpenError::DoesNotOpen)));
        }
    });
}

fn an_encapsulated_key_that_is_known_before_the_content_is_that_of_the_envelope(suite: Suite) {
    let key = key(suite);
    for purpose in [Purpose::Transaction, Purpose::Attachment, Purpose::Query] {
        let sealer = Sealer::begin(&key.public_key(), purpose).unwrap();
        let encapsulated = sealer.encapsulated().to_vec();
        let envelope = sealer.seal(header(suite), &encapsulated).unwrap();
        assert_eq!(envelope.encapsulated, encapsulated);
        assert!(envelope.check().is_ok());
        assert_eq!(key.open(&envelope, purpose).unwrap().expose(), encapsulated);
    }
    let begin = || Sealer::begin(&key.public_key(), Purpose::Query).unwrap();
    assert_ne!(begin().encapsulated(), begin().encapsulated());
    let header = EnvelopeHeader {
        version: 2,
        ..header(suite)
    };
    assert!(begin().seal(header, b"text").is_err());
}

#[test]
fn a_key_of_one_suite_refuses_what_was_sealed_with_another() {
    for (own, other) in [
        (Suite::ALL[0], Suite::ALL[1]),
        (Suite::ALL[1], Suite::ALL[0]),
    ] {
        let (key, foreign) = (key(own), sealed(other, b"instruction"));
        let refused = key.open(&foreign, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::SuiteMismatch)));
        let wrapped = wrap(&self::key(other).public_key(), "root", b"", b"secret").unwrap();
        let refused = unwrap(&key, "root", b"", &wrapped);
        assert!(matches!(refused, Err(OpenError::SuiteMismatch)));
        let refused = seal(&key.public_key(), header(other), Purpose::Query, b"");
        assert_eq!(refused, Err(SealError::SuiteMismatch));
        // With the header changed it has the wrong lengths, and with those mended the wrong keys.
        let mut relabelled = foreign.clone();
        relabelled.header.suite = own;
        let refused = key.open(&relabelled, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::MalformedEnvelope(_))));
        relabelled.encapsulated.resize(own.encapsulated_length(), 0);
        let refused = key.open(&relabelled, Purpose::Transaction);
        assert!(matches!(refused, Err(OpenError::DoesNotOpen)));
        let mut wrapped = wrapped;
        wrapped[1] = own.number();
        assert!(unwrap(&key, "root", b"", &wrapped).is_err());
    }
}

#[test]
fn keys_of_both_suites_from_one_secret_have_nothing_in_common() {
    let (one, two) = (key(Suite::ALL[0]), key(Suite::ALL[1]));
    assert_eq!(one.suite(), Suite::X25519ChaCha20Poly1305);
    assert_eq!(two.suite(), Suite::XWingChaCha20Poly1305);
    let former = OpeningKey::from_secret(&Secret32::new([1; 32])).public_key();
    assert_eq!(former, one.public_key());
    let (one, two) = (one.public_key(), two.public_key());
    assert_ne!(one.bytes(), &two.bytes()[two.bytes().len() - 32..]);
    assert_ne!(OpeningKey::generate(Suite::ALL[1]).public_key(), two);
}
