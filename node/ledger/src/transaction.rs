//! A sealed transaction as a block lists it: the envelope, and which node brought it.
//!
//! The carrier is the node that took the envelope from a client. It signs the envelope's digest, so that no proposer
//! can charge an envelope to a node that never took it. Nothing here tells who the client is.
//!
//! ```text
//! transaction = carrier u16 | signature 64 | envelope (bytes)
//! ```

use std::sync::OnceLock;

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{Signature, SignatureError, SigningKey, VerifyingKey};

/// Signature domain of carriers.
const CARRIER_SIGNATURE: &str = "sealbook 2026 carrier signature v1";
/// The domain in which the sealing crate names envelopes; a test there keeps the two equal.
const ENVELOPE_DOMAIN: &str = "sealbook/envelope/1";
const TRANSACTION_DOMAIN: &str = "sealbook 2026 transaction leaf v2";

/// A sealed transaction with its carrier.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The node that took it from a client: its place among the carriers of the block's epoch.
    pub carrier: u16,
    /// The carrier's signature over [`Transaction::signed_bytes`].
    pub signature: Signature,
    /// The encoded envelope. It is never changed: the name below is its.
    envelope: Bytes,
    /// The name, once somebody asked: blocks are looked at many times, and an envelope may be long.
    id: OnceLock<Digest>,
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.carrier == other.carrier
            && self.signature == other.signature
            && self.envelope == other.envelope
    }
}

impl Eq for Transaction {}

#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) struct WireTransaction {
    carrier: u16,
    signature: Signature,
    envelope: Vec<u8>,
}

impl Transaction {
    /// Bytes of an encoded transaction besides its envelope.
    pub(crate) const OVERHEAD: usize = 2 + 64 + 4;

    /// An envelope with its carrier's place and signature.
    #[must_use]
    pub const fn new(carrier: u16, signature: Signature, envelope: Bytes) -> Self {
        Self {
            carrier,
            signature,
            envelope,
            id: OnceLock::new(),
        }
    }

    /// As [`Transaction::new`], where the caller has the name of this very envelope from [`Transaction::id`] or
    /// [`Transaction::id_of`].
    #[must_use]
    pub fn named(carrier: u16, signature: Signature, envelope: Bytes, id: Digest) -> Self {
        Self {
            carrier,
            signature,
            envelope,
            id: OnceLock::from(id),
        }
    }

    /// An envelope, signed by the carrier at `place` with its key.
    #[must_use]
    pub fn carried(place: u16, key: &SigningKey, network: &Digest, envelope: Bytes) -> Self {
        let id = Self::id_of(&envelope);
        let signature = Self::sign(key, network, &id);
        Self::named(place, signature, envelope, id)
    }

    /// The signature of a carrier with this key, for the transaction of this name.
    #[must_use]
    pub fn sign(key: &SigningKey, network: &Digest, id: &Digest) -> Signature {
        key.sign(CARRIER_SIGNATURE, &Self::signed_bytes(network, id))
    }

    /// The encoded envelope.
    #[must_use]
    pub const fn envelope(&self) -> &Bytes {
        &self.envelope
    }

    /// What a carrier signs, in the domain of [`Transaction::signature_domain`].
    #[must_use]
    pub fn signed_bytes(network: &Digest, id: &Digest) -> Vec<u8> {
        [*network.as_bytes(), *id.as_bytes()].concat()
    }

    /// The domain of carriers' signatures.
    #[must_use]
    pub const fn signature_domain() -> &'static str {
        CARRIER_SIGNATURE
    }

    /// Checks the carrier's signature under its key.
    ///
    /// # Errors
    /// It does not verify.
    pub fn verify_carrier(
        &self,
        network: &Digest,
        key: &VerifyingKey,
    ) -> Result<(), SignatureError> {
        let message = Self::signed_bytes(network, &self.id());
        key.verify(CARRIER_SIGNATURE, &message, &self.signature)
    }

    /// The name of this transaction on the ledger: the digest of its envelope.
    #[must_use]
    pub fn id(&self) -> Digest {
        *self.id.get_or_init(|| Self::id_of(&self.envelope))
    }

    /// The name of the transaction with this envelope.
    #[must_use]
    pub fn id_of(envelope: &[u8]) -> Digest {
        hash(ENVELOPE_DOMAIN, &[envelope])
    }

    /// The leaf in the tree over a block's transactions.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        Self::leaf_of(self.carrier, &self.signature, &self.id())
    }

    pub(crate) fn leaf_of(carrier: u16, signature: &Signature, id: &Digest) -> Digest {
        hash(
            TRANSACTION_DOMAIN,
            &[&carrier.to_le_bytes(), signature.as_bytes(), id.as_bytes()],
        )
    }
}

impl From<&Transaction> for WireTransaction {
    fn from(transaction: &Transaction) -> Self {
        Self {
            carrier: transaction.carrier,
            signature: transaction.signature,
            envelope: transaction.envelope.to_vec(),
        }
    }
}

impl From<WireTransaction> for Transaction {
    fn from(wire: WireTransaction) -> Self {
        Self::new(wire.carrier, wire.signature, Bytes::from(wire.envelope))
    }
}
