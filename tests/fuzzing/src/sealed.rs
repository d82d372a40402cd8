//! Targets: envelopes as everybody may see them, and the public keys that they are sealed to.

use sealbook_ledger::{MAX_TRANSACTION_BYTES, Transaction};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::padding::PREFIX_LENGTH;
use sealbook_sealing::{
    Envelope, EnvelopeError, EnvelopeHeader, HEADER_LENGTH, OpeningPublicKey, Purpose, SealError,
    Suite, binding, seal, wrap,
};

use crate::exact::{exact, neighbours_are_refused};

const PURPOSES: [Purpose; 3] = [Purpose::Transaction, Purpose::Attachment, Purpose::Query];

/// An envelope, from the outside.
pub fn envelope(data: &[u8]) -> bool {
    let decoded = Envelope::decode(data, MAX_TRANSACTION_BYTES);
    let inspected = Envelope::inspect(data, MAX_TRANSACTION_BYTES);
    assert_eq!(inspected.ok(), decoded.as_ref().ok().map(|one| one.header));
    let Ok(envelope) = decoded else {
        return false;
    };
    assert!(data.len() <= MAX_TRANSACTION_BYTES);
    assert_eq!(envelope.encode(), data, "an envelope with two encodings");
    assert_eq!(envelope.check(), Ok(()));
    neighbours_are_refused(data, |bytes| {
        Envelope::decode(bytes, MAX_TRANSACTION_BYTES).is_ok()
    });
    assert!(Envelope::decode(data, data.len()).is_ok());
    let refused = Envelope::decode(data, data.len().saturating_sub(1));
    assert!(matches!(refused, Err(EnvelopeError::Unreadable(_))));
    // The ledger names it without having read it.
    assert_eq!(envelope.digest(), Transaction::id_of(data));

    let suite = envelope.header.suite;
    assert_eq!(Suite::from_number(suite.number()), Some(suite));
    let content = envelope.ciphertext.len() - suite.tag_length() - PREFIX_LENGTH;
    let length = Envelope::encoded_length(suite, content) - suite.encapsulated_length();
    assert_eq!(length + envelope.encapsulated.len(), data.len());
    for purpose in PURPOSES {
        let bound = binding(&envelope.header, purpose);
        let (header, rest) = bound.split_at(HEADER_LENGTH);
        assert_eq!(data.get(..HEADER_LENGTH), Some(header));
        assert_eq!(rest, [purpose as u8]);
    }
    true
}

/// A public opening key, as genesis and seats name it: what nothing can be sealed to is an error, never a panic.
pub fn opening_key(data: &[u8]) -> bool {
    let Some(key) = exact::<OpeningPublicKey>(data) else {
        return false;
    };
    let suite = key.suite();
    assert_eq!(key.bytes().len(), suite.public_key_length());
    assert_eq!(
        OpeningPublicKey::new(suite, key.bytes().to_vec()),
        Ok(key.clone())
    );
    let wrapped = wrap(&key, "fuzzing", b"context", b"a secret");
    for other in Suite::ALL {
        let header = EnvelopeHeader::new(other, Digest::ZERO, 0, 0);
        match seal(&key, header, Purpose::Query, b"content") {
            Ok(sealed) => {
                assert_eq!(other, suite);
                assert!(wrapped.is_ok(), "a key for envelopes and not for secrets");
                assert!(envelope(&sealed.encode()));
            }
            Err(SealError::SuiteMismatch) => assert_ne!(other, suite),
            Err(error) => {
                assert_eq!(error, SealError::UnusablePublicKey);
                assert_eq!(wrapped, Err(SealError::UnusablePublicKey));
            }
        }
    }
    true
}
