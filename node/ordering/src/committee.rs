//! The committee of each committee epoch, as the engine's signing scheme. There is one epoch for
//! now.

use std::sync::Arc;

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::Epoch;
use commonware_cryptography::certificate::{Provider, Scoped};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_utils::ordered::Set;
use sealbook_primitives::secret::Secret32;

use crate::config::OrderingError;

/// The engine's public key for our bytes.
pub(crate) fn engine_key(bytes: &[u8; 32]) -> Result<ed25519::PublicKey, OrderingError> {
    ed25519::PublicKey::decode(Copying(bytes))
        .map_err(|_| OrderingError::Config(format!("`{}` is not an Ed25519 key", hex(bytes))))
}

/// Our bytes for an engine's public key.
pub(crate) fn key_bytes(key: &ed25519::PublicKey) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(key.encode()) {
        *to = from;
    }
    bytes
}

/// The engine's private key for a seed.
pub(crate) fn engine_signer(seed: &Secret32) -> Result<ed25519::PrivateKey, OrderingError> {
    ed25519::PrivateKey::decode(Copying(seed.expose()))
        .map_err(|_| OrderingError::Config("the seed is not an Ed25519 seed".to_owned()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Committees by epoch.
#[derive(Clone)]
pub(crate) struct Committees {
    scheme: Arc<Scheme>,
    members: Arc<Set<ed25519::PublicKey>>,
    votes: bool,
}

impl Committees {
    /// The one committee. With `signer` in it, this node votes.
    pub(crate) fn new(
        namespace: &[u8],
        members: Set<ed25519::PublicKey>,
        signer: Option<ed25519::PrivateKey>,
    ) -> Self {
        let signer = signer.filter(|key| members.position(&key.public_key()).is_some());
        let signing = signer.and_then(|key| Scheme::signer(namespace, members.clone(), key));
        let votes = signing.is_some();
        let scheme = signing.unwrap_or_else(|| Scheme::verifier(namespace, members.clone()));
        Self {
            scheme: Arc::new(scheme),
            members: Arc::new(members),
            votes,
        }
    }

    /// Whether this node votes.
    pub(crate) const fn votes(&self) -> bool {
        self.votes
    }

    /// The scheme of an epoch.
    pub(crate) fn scheme_of(&self, epoch: Epoch) -> Option<Arc<Scheme>> {
        (epoch == Epoch::zero()).then(|| self.scheme.clone())
    }

    /// The number of members of an epoch's committee.
    pub(crate) fn size_of(&self, epoch: Epoch) -> Option<usize> {
        (epoch == Epoch::zero()).then(|| self.members.len())
    }

    /// The members of the first committee.
    pub(crate) fn members(&self) -> &Set<ed25519::PublicKey> {
        &self.members
    }
}

impl Provider for Committees {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.scheme_of(epoch).map(Scoped::scheme)
    }
}
