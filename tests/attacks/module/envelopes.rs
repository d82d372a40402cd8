//! 7: ciphertext moved to where it was not sealed for.

use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::payload::{
    OrderBytes, PAYLOAD_VERSION, QUERY_SIGNATURE, Submission, TRANSACTION_SIGNATURE,
};
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose};
use sealbook_securities::Outcome;

use crate::kit::play::outcomes;
use crate::kit::words::{self, order};
use crate::kit::{Network, sign};
use crate::stage::Stage;

/// In a block it changes nothing and nobody is answered.
#[track_caller]
fn no_trace(stage: &mut Stage, bytes: &[u8]) {
    let executed = stage.step(&[bytes]);
    assert_eq!((executed.unopened, executed.replies.len()), (1, 0));
}

fn orders() -> Vec<OrderBytes> {
    vec![order("T", words::transfer("A-1", "A-2", "1"))]
}

fn body() -> Vec<u8> {
    let submission = Submission {
        version: PAYLOAD_VERSION,
        reply_key: [7; 32],
        orders: orders(),
    };
    borsh::to_vec(&submission).unwrap()
}

#[test]
fn a07_ciphertext_moved_to_another_network_epoch_or_purpose() {
    let mut stage = Stage::set();
    let good = stage.play.seal("alpha", orders());
    let envelope = Envelope::decode(&good.bytes, 10_000).unwrap();
    let header = envelope.header;
    // Relabelled by whoever carries it.
    for other in [
        EnvelopeHeader {
            network: Digest([1; 32]),
            ..header
        },
        EnvelopeHeader {
            key_epoch: 1,
            ..header
        },
        EnvelopeHeader {
            expires_ms: header.expires_ms + 1,
            ..header
        },
    ] {
        let moved = Envelope {
            header: other,
            ..envelope.clone()
        };
        no_trace(&mut stage, &moved.encode());
    }
    // From another network, and given out for one of this.
    let foreign = Network::new().seal("alpha", stage.play.expiry(), orders());
    no_trace(&mut stage, &foreign.bytes);
    let mut relabelled = Envelope::decode(&foreign.bytes, 10_000).unwrap();
    relabelled.header.network = stage.play.network.id;
    no_trace(&mut stage, &relabelled.encode());
    // Sealed anew by somebody who could open it: the signature inside binds to header and purpose.
    let by = |stage: &Stage, header: &EnvelopeHeader, purpose, domain| {
        let alpha = &stage.play.network.members["alpha"];
        sign(alpha, header, purpose, domain, body())
    };
    let later = EnvelopeHeader {
        expires_ms: header.expires_ms + 1,
        ..header
    };
    let (transaction, query) = (Purpose::Transaction, Purpose::Query);
    for (signed_under, signed_for, domain, sealed_for) in [
        (header, transaction, TRANSACTION_SIGNATURE, transaction),
        (later, query, TRANSACTION_SIGNATURE, transaction),
        (later, transaction, QUERY_SIGNATURE, transaction),
        (later, transaction, TRANSACTION_SIGNATURE, query),
        (
            later,
            transaction,
            TRANSACTION_SIGNATURE,
            Purpose::Attachment,
        ),
    ] {
        let signed = by(&stage, &signed_under, signed_for, domain);
        let network = &stage.play.network;
        let moved = network.seal_signed(later, sealed_for, &signed, Secret32::random());
        no_trace(&mut stage, &moved.bytes);
    }
    // Sealed anew with nothing changed at all: the signature binds to the encapsulated key.
    let (_, again) = (stage.play.network).seal_twice("alpha", stage.play.expiry(), orders());
    no_trace(&mut stage, &again.bytes);
    // A transaction is no question.
    assert!(stage.module.query(&good).is_none());
    let executed = stage.step(&[&good.bytes]);
    assert_eq!(outcomes(&good, &executed), [Outcome::SETTLED]);
}
