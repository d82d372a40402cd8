//! What a client knows before it speaks to anybody: the network's genesis document, addresses of nodes, its own keys.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use borsh::BorshDeserialize;
use rustls::pki_types::CertificateDer;
use sealbook_ledger::{Genesis, Opening};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_sealing::OpeningPublicKey;

use crate::{ClientError, session};

/// Domain of the signature that reply keys are derived from. A member signs nothing else in it, and shows it to nobody.
const REPLY_KEY_SIGNATURE: &str = "sealbook 2026 reply key v1";
const REPLY_KEY_DOMAIN: &str = "sealbook 2026 reply key derivation v1";

/// Where a node serves clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node's name.
    pub name: String,
    /// Its client service.
    pub address: SocketAddr,
    /// Whether it has no execution module of its own and passes questions on to validators.
    pub observer: bool,
}

/// A network as a client knows it.
///
/// Nodes come and go by decisions of the members; this list does not follow them by itself. A node of it that is gone
/// costs a client one failed connection now and then, and one that is missing is not used.
pub struct Network {
    genesis: Genesis,
    id: Digest,
    opening: RwLock<Arc<KnownOpening>>,
    nodes: Vec<NodeAddress>,
}

impl Network {
    /// The network of this genesis document, served by these nodes.
    ///
    /// # Errors
    /// The document names no usable opening key.
    pub fn new(genesis: Genesis, nodes: Vec<NodeAddress>) -> Result<Self, ClientError> {
        let opening = KnownOpening::read(&genesis.first_epoch().opening)
            .ok_or_else(|| ClientError::Sealing("genesis names no opening key".to_owned()))?;
        Ok(Self {
            id: genesis.network(),
            genesis,
            opening: RwLock::new(Arc::new(opening)),
            nodes,
        })
    }

    /// Hash of the genesis document.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// The genesis document.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeAddress] {
        &self.nodes
    }

    /// What transactions and queries are sealed to, as far as this client knows.
    pub(crate) fn opening(&self) -> Arc<KnownOpening> {
        let known = self.opening.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    /// Takes note of an opening that a final header defines; older ones than the known one are passed over.
    pub(crate) fn note_opening(&self, opening: &Opening) {
        let Some(found) = KnownOpening::read(opening) else {
            return;
        };
        let mut known = self.opening.write().unwrap_or_else(PoisonError::into_inner);
        if found.key_epoch > known.key_epoch {
            *known = Arc::new(found);
        }
    }
}

/// The opening key of a key epoch.
pub(crate) struct KnownOpening {
    pub(crate) key_epoch: u32,
    pub(crate) key: OpeningPublicKey,
}

impl KnownOpening {
    fn read(opening: &Opening) -> Option<Self> {
        Some(Self {
            key_epoch: opening.key_epoch,
            key: OpeningPublicKey::try_from_slice(&opening.public_key).ok()?,
        })
    }
}

/// A member's own key and certificate chain.
pub struct Identity {
    key: SigningKey,
    chain: Vec<CertificateDer<'static>>,
    fingerprint: Digest,
}

impl Identity {
    /// An identity of this key and chain (leaf first).
    ///
    /// # Errors
    /// The chain is empty.
    pub fn new(seed: &Secret32, chain: Vec<CertificateDer<'static>>) -> Result<Self, ClientError> {
        let leaf = chain
            .first()
            .ok_or_else(|| ClientError::Identity("no certificate".to_owned()))?;
        let fingerprint = sealbook_identity::fingerprint(leaf);
        Ok(Self {
            key: SigningKey::from_secret(seed),
            chain,
            fingerprint,
        })
    }

    /// The certificate chain.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The key that the replies to a transaction come under, from the transaction's encapsulated key.
    ///
    /// It is a hash of a signature, which for Ed25519 depends on nothing but key and message. So whoever holds the
    /// signing key, also a device that only signs, opens the replies to any transaction of its own at any later time,
    /// and nobody has to keep a key for each.
    #[must_use]
    pub fn reply_key(&self, network: &Digest, encapsulated: &[u8]) -> Secret32 {
        let message = [network.as_bytes().as_slice(), encapsulated].concat();
        let signature = self.key.sign(REPLY_KEY_SIGNATURE, &message);
        Secret32::new(hash(REPLY_KEY_DOMAIN, &[signature.as_bytes()]).0)
    }

    /// What the keys are derived from that replies within sessions of a key epoch come under. As [`Identity::reply_key`]
    /// it follows from the member's key.
    pub(crate) fn session_replies(&self, network: &Digest, key_epoch: u32) -> Secret32 {
        let message = session::replies_message(network, key_epoch);
        let signature = self.key.sign(session::REPLIES_SIGNATURE, &message);
        Secret32::new(hash(REPLY_KEY_DOMAIN, &[signature.as_bytes()]).0)
    }

    pub(crate) const fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity(seed: u8) -> Identity {
        let chain = vec![CertificateDer::from(vec![0x30, 0])];
        Identity::new(&Secret32::new([seed; 32]), chain).unwrap()
    }

    #[test]
    fn a_reply_key_is_the_same_at_any_time_and_differs_by_member_network_and_transaction() {
        let (network, encapsulated) = (Digest([1; 32]), [2; 32]);
        let key = identity(7).reply_key(&network, &encapsulated);
        assert!(
            identity(7)
                .reply_key(&network, &encapsulated)
                .constant_time_eq(&key)
        );
        // Whoever derives another key from these values cannot open replies that are stored already.
        assert_eq!(
            hash("pinned", &[key.expose()]).to_string(),
            "cd854ec52cbd4ff31b13408e951ed204d366fefd01c386f448f8c90872abe96a"
        );
        let others = [
            identity(8).reply_key(&network, &encapsulated),
            identity(7).reply_key(&Digest([3; 32]), &encapsulated),
            identity(7).reply_key(&network, &[3; 32]),
        ];
        assert!(others.iter().all(|other| !other.constant_time_eq(&key)));
    }
}
