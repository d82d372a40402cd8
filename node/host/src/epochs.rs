//! What this node knows of committee epochs: the definitions, from genesis and from boundary blocks, and the steps that
//! prove them to others.
//!
//! INVARIANT: only what a final block defined is in here; what the execution module has decided for the next epoch is
//! kept apart until its boundary block is final.

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::BorshDeserialize;
use sealbook_ledger::{EpochDefinition, EpochStep, Genesis, Header};
use sealbook_store::names::{START_DEFINITION, START_STEPS};
use sealbook_store::{LedgerStore, StoreError};

/// How many definitions are kept in memory; older ones are in the ledger.
const DEFINITIONS_KEPT: usize = 64;

/// Committee epochs as this node knows them.
pub struct Epochs {
    definitions: BTreeMap<u64, Arc<EpochDefinition>>,
    /// Heights of the boundary blocks in the ledger after which other validators vote.
    changes: Vec<u64>,
    /// The steps before this node's ledger begins.
    before: Vec<EpochStep>,
    planned: Option<Arc<EpochDefinition>>,
}

impl Epochs {
    /// Reads the epochs of the ledger in `store`, up to the block at `head`.
    ///
    /// # Errors
    /// The store cannot be read, or does not hold what a ledger must hold.
    pub fn read(genesis: &Genesis, store: &LedgerStore, head: u64) -> Result<Self, StoreError> {
        let floor = store.floor();
        let (start, before) = if floor == 0 {
            (genesis.first_epoch(), Vec::new())
        } else {
            (
                metadata(store, START_DEFINITION)?,
                metadata(store, START_STEPS)?,
            )
        };
        let mut epochs = Self {
            definitions: BTreeMap::from([(start.epoch, Arc::new(start.clone()))]),
            changes: Vec::new(),
            before,
            planned: None,
        };
        let mut present = start;
        while present.last_height <= head {
            let height = present.last_height;
            let boundary = store
                .block(height)?
                .and_then(|block| block.header.next_epoch);
            let Some(next) = boundary else {
                return Err(StoreError::MissingAt {
                    what: "definition of a committee epoch",
                    height,
                });
            };
            epochs.add(height, next.clone());
            present = next;
        }
        Ok(epochs)
    }

    fn add(&mut self, height: u64, next: EpochDefinition) {
        let changed = match self.definitions.get(&next.epoch.saturating_sub(1)) {
            Some(previous) => !previous.same_committee(&next),
            None => true,
        };
        if changed && self.changes.last().is_none_or(|last| *last < height) {
            self.changes.push(height);
        }
        if self
            .planned
            .as_ref()
            .is_some_and(|planned| planned.epoch <= next.epoch)
        {
            self.planned = None;
        }
        self.definitions.insert(next.epoch, Arc::new(next));
        while self.definitions.len() > DEFINITIONS_KEPT {
            self.definitions.pop_first();
        }
    }

    /// Notes a final block.
    pub fn finalized(&mut self, header: &Header) {
        if let Some(next) = &header.next_epoch
            && !self.definitions.contains_key(&next.epoch)
        {
            self.add(header.height, next.clone());
        }
    }

    /// Notes what the execution module decided for the next epoch.
    pub fn plan(&mut self, next: EpochDefinition) {
        if !self.definitions.contains_key(&next.epoch) {
            self.planned = Some(Arc::new(next));
        }
    }

    /// What was decided for an epoch that has not begun.
    #[must_use]
    pub fn planned(&self, epoch: u64) -> Option<Arc<EpochDefinition>> {
        let planned = self.planned.as_ref()?;
        (planned.epoch == epoch).then(|| Arc::clone(planned))
    }

    /// The definition of an epoch.
    #[must_use]
    pub fn of(&self, epoch: u64) -> Option<Arc<EpochDefinition>> {
        self.definitions.get(&epoch).map(Arc::clone)
    }

    /// What holds for the block after `parent`.
    #[must_use]
    pub fn after(&self, parent: &Header) -> Option<Arc<EpochDefinition>> {
        match &parent.next_epoch {
            Some(next) => self.of(next.epoch).or_else(|| Some(Arc::new(next.clone()))),
            None => self.of(parent.epoch),
        }
    }

    /// The steps that lead to the committee of `epoch`.
    ///
    /// # Errors
    /// The store cannot be read, or lacks a boundary block or its certificate.
    pub fn steps(&self, store: &LedgerStore, epoch: u64) -> Result<Vec<EpochStep>, StoreError> {
        let mut steps: Vec<EpochStep> = self
            .before
            .iter()
            .filter(|step| step.header.epoch < epoch)
            .cloned()
            .collect();
        for height in &self.changes {
            let height = *height;
            let missing = |what| StoreError::MissingAt { what, height };
            let block = store.block(height)?.ok_or_else(|| missing("block"))?;
            if block.header.epoch >= epoch {
                break;
            }
            let certificate = store.certificate(height)?;
            steps.push(EpochStep {
                header: block.header,
                certificate: certificate.ok_or_else(|| missing("certificate"))?,
            });
        }
        Ok(steps)
    }
}

fn metadata<T: BorshDeserialize>(store: &LedgerStore, name: &'static str) -> Result<T, StoreError> {
    store
        .metadata(name)?
        .and_then(|bytes| T::try_from_slice(&bytes).ok())
        .ok_or(StoreError::Damaged {
            table: "metadata",
            key: name.to_owned(),
        })
}
