//! What a host keeps and carries for its own module and for others: roots that are sealed to modules, key records, and
//! what its own module says on the ledger. All of it is ciphertext to the host.

use sealbook_ledger::{KeyRecord, RootFile, RootGrant, holder_digest};
use sealbook_primitives::hash::Digest;
use sealbook_store::{StoreError, names};

use crate::lock;
use crate::shared::Shared;
use crate::waiting::Refusal;

/// How many words of the node's own module wait to be carried.
const OWN_WORDS_MAX: usize = 64;

impl Shared {
    /// The roots that modules of this network sealed to one of them, by the name that records have for it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn root_file(&self, module: &Digest) -> Result<Option<RootFile>, StoreError> {
        let name = names::root_file(module);
        let Some(bytes) = self.store.metadata(&name)? else {
            return Ok(None);
        };
        match RootFile::decode(&bytes) {
            Ok(file) => Ok(Some(file)),
            Err(error) => {
                // What lies here came from modules, some of which may lie; the ledger itself is not to blame.
                tracing::warn!(%error, "a root file in the ledger cannot be read");
                Ok(None)
            }
        }
    }

    /// The roots that were sealed to this node's own module, as the present epoch names it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn own_roots(&self) -> Result<RootFile, StoreError> {
        let key = self.present().and_then(|definition| {
            let mut validators = definition.validators.iter();
            let validator = validators.find(|seat| seat.vote_key == self.me);
            let mut observers = definition.observers.iter();
            let observer = observers.find(|seat| seat.vote_key == self.me);
            validator
                .map(|seat| seat.module_key.clone())
                .or_else(|| observer.and_then(|seat| seat.module_key.clone()))
        });
        match key {
            Some(key) => Ok(self.root_file(&holder_digest(&key))?.unwrap_or_default()),
            None => Ok(RootFile::default()),
        }
    }

    /// Keeps a root that a module sealed to another one.
    ///
    /// # Errors
    /// The store failed.
    pub fn put_grant(&self, grant: RootGrant) -> Result<(), StoreError> {
        let name = names::root_file(&grant.recipient);
        let mut file = self.root_file(&grant.recipient)?.unwrap_or_default();
        let before = file.clone();
        file.add(grant);
        if file == before {
            return Ok(());
        }
        self.store.put_metadata(&name, &file.encode())
    }

    /// Keeps the record of a root that a module offered.
    ///
    /// # Errors
    /// The store failed.
    pub fn put_key_record(&self, record: &[u8]) -> Result<(), StoreError> {
        match KeyRecord::decode(record) {
            Ok(known) => self
                .store
                .put_metadata(&names::key_record(&known.digest()), record),
            Err(error) => {
                tracing::warn!(%error, "the module gave something else than a key record");
                Ok(())
            }
        }
    }

    /// The record with a digest.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn key_record(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.metadata(&names::key_record(digest))
    }

    /// Submits what this node's own module says, as a client's submission.
    pub fn carry_own(&self, envelope: Vec<u8>) {
        {
            let mut words = lock(&self.own_words);
            if words.len() >= OWN_WORDS_MAX {
                words.pop_front();
            }
            words.push_back(envelope);
        }
        self.carry_words();
    }

    /// Submits what the module said. What cannot be carried now is tried again: a node that has just begun may not know
    /// yet that it has a seat.
    pub(crate) fn carry_words(&self) {
        let words = std::mem::take(&mut *lock(&self.own_words));
        for word in words {
            match self.submit(self.me, word.clone(), Vec::new()) {
                Err(Refusal::NoSeat | Refusal::Full | Refusal::Share { .. }) => {
                    lock(&self.own_words).push_back(word);
                }
                Ok(_) => {}
                Err(refusal) => tracing::debug!(%refusal, "words of the module are not carried"),
            }
        }
    }
}
