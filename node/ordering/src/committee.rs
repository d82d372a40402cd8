//! The committee epochs that this node knows: which heights each has, who votes in it and who
//! follows. One table, which every part of the engine reads and which grows when a boundary block
//! is final.
//!
//! INVARIANT: known epochs follow each other without a gap, and an entry never changes.
//!
//! After a restart the table is read again from the stored boundary blocks; see [`crate::origin`].

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::certificate::{Provider, Scoped};
use commonware_cryptography::ed25519;
use commonware_utils::ordered::Set;
use sealbook_ledger::{Committee, EpochDefinition};
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

/// What the engine needs of an epoch for as long as certificates of it are stored.
#[derive(Clone)]
struct Known {
    first: u64,
    last: u64,
    members: Arc<Set<ed25519::PublicKey>>,
    verifier: Arc<Scheme>,
}

#[derive(Default)]
struct Table {
    epochs: BTreeMap<u64, Known>,
    /// The definition of the newest epoch, and of the one before it.
    current: Option<Arc<EpochDefinition>>,
    previous: Option<Arc<EpochDefinition>>,
}

/// The known committee epochs.
#[derive(Clone)]
pub(crate) struct Committees {
    namespace: Arc<[u8]>,
    table: Arc<RwLock<Table>>,
}

impl Committees {
    /// A table without epochs, for a network with this namespace of votes.
    pub(crate) fn new(namespace: &[u8]) -> Self {
        Self {
            namespace: Arc::from(namespace),
            table: Arc::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the epoch that a floor block ends, of which this node will never see another block.
    pub(crate) fn add_closed(
        &self,
        epoch: u64,
        boundary: u64,
        committee: &Committee,
    ) -> Result<(), OrderingError> {
        let keys = committee.members().iter().map(|key| *key.as_bytes());
        let known = self.known((boundary, boundary), keys)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.epochs.insert(epoch, known);
        drop(table);
        Ok(())
    }

    /// Adds the next epoch. False if it is known already.
    pub(crate) fn add(&self, definition: &Arc<EpochDefinition>) -> Result<bool, OrderingError> {
        if self.read().epochs.contains_key(&definition.epoch) {
            return Ok(false);
        }
        let heights = (definition.first_height, definition.last_height);
        let keys = definition
            .validators
            .iter()
            .map(|seat| *seat.vote_key.as_bytes());
        let known = self.known(heights, keys)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let newest = table.current.as_ref().map(|current| current.epoch);
        if newest.is_some_and(|newest| newest.checked_add(1) != Some(definition.epoch)) {
            return Err(OrderingError::Config(format!(
                "committee epoch {} does not follow the one before",
                definition.epoch
            )));
        }
        table.epochs.insert(definition.epoch, known);
        table.previous = table.current.replace(Arc::clone(definition));
        drop(table);
        Ok(true)
    }

    /// An entry that shares what it can with the newest one: committees rarely change.
    fn known(
        &self,
        (first, last): (u64, u64),
        keys: impl Iterator<Item = [u8; 32]>,
    ) -> Result<Known, OrderingError> {
        let keys: Result<Vec<_>, _> = keys.map(|key| engine_key(&key)).collect();
        let members = Set::from_iter_dedup(keys?);
        let table = self.read();
        let newest = table.epochs.last_key_value().map(|(_, known)| known);
        if let Some(same) = newest.filter(|known| *known.members == members) {
            let same = same.clone();
            return Ok(Known {
                first,
                last,
                ..same
            });
        }
        drop(table);
        let verifier = Scheme::verifier(&self.namespace, members.clone());
        Ok(Known {
            first,
            last,
            members: Arc::new(members),
            verifier: Arc::new(verifier),
        })
    }

    /// The newest epoch.
    pub(crate) fn current(&self) -> Option<Arc<EpochDefinition>> {
        self.read().current.clone()
    }

    /// The epoch before the newest one, unless this node began after it.
    pub(crate) fn previous(&self) -> Option<Arc<EpochDefinition>> {
        self.read().previous.clone()
    }

    /// The scheme that signs and verifies votes of an epoch; without a signer, or with one that is
    /// no member, it only verifies.
    pub(crate) fn scheme(&self, epoch: u64, signer: Option<ed25519::PrivateKey>) -> Option<Scheme> {
        let known = self.read().epochs.get(&epoch).cloned()?;
        let members = Set::clone(&known.members);
        let signing = signer.and_then(|key| Scheme::signer(&self.namespace, members, key));
        Some(signing.unwrap_or_else(|| Scheme::clone(&known.verifier)))
    }

    /// The number of members of an epoch's committee.
    pub(crate) fn size_of(&self, epoch: Epoch) -> Option<usize> {
        let table = self.read();
        table
            .epochs
            .get(&epoch.get())
            .map(|known| known.members.len())
    }

    /// The last height of an epoch.
    pub(crate) fn last_of(&self, epoch: u64) -> Option<u64> {
        self.read().epochs.get(&epoch).map(|known| known.last)
    }

    /// The validators of the newest epoch.
    pub(crate) fn current_members(&self) -> Arc<Set<ed25519::PublicKey>> {
        let table = self.read();
        let newest = table.epochs.last_key_value();
        newest
            .map(|(_, known)| known.members.clone())
            .unwrap_or_default()
    }
}

impl Provider for Committees {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        let table = self.read();
        let known = table.epochs.get(&epoch.get())?;
        Some(Scoped::scheme(known.verifier.clone()))
    }
}

impl Epocher for Committees {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let table = self.read();
        let begun = |known: &Known| known.first <= height.get();
        let mut newest_first = table.epochs.iter().rev();
        let (epoch, known) = newest_first.find(|(_, known)| begun(known))?;
        let (first, last) = (Height::new(known.first), Height::new(known.last));
        (height <= last).then(|| EpochInfo::new(Epoch::new(*epoch), height, first, last))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        let table = self.read();
        let known = table.epochs.get(&epoch.get())?;
        Some(Height::new(known.first))
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.last_of(epoch.get()).map(Height::new)
    }
}
