//! Where a node's ledger begins, and which committee epochs it knows when it starts.
//!
//! ```text
//! genesis:   block 0 ......... boundary 0 ......... boundary 1 .........
//! floor:                                            boundary 1 .........   nothing below it here
//!
//! store, metadata "ordering floor"   version u16 | height u64 | epoch u64 | committee | certificate
//! ```
//!
//! The definition of every later epoch is in the header of a stored boundary block. A floor stays
//! where the ledger begins until a later one takes its place.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{Block, Committee, EpochDefinition, FinalityCertificate};
use sealbook_primitives::encoding::{decode, encode};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_store::LedgerStore;

use crate::block::OrderedBlock;
use crate::certificate::{EngineFinalization, to_engine_form};
use crate::committee::Committees;
use crate::config::{Floor, OrderingError, Start};

const METADATA: &str = "ordering floor";
const VERSION: u16 = 1;
const FLOOR_BYTES_MAX: usize = 1024 * 1024;

/// A floor as the store keeps it.
#[derive(BorshSerialize, BorshDeserialize)]
struct StoredFloor {
    version: u16,
    height: u64,
    epoch: u64,
    committee: Vec<VerifyingKey>,
    certificate: Vec<u8>,
}

/// What the engine begins from.
pub(crate) enum Anchor {
    Genesis(OrderedBlock),
    Floor(EngineFinalization),
}

/// Where this node begins.
pub(crate) struct Origin {
    pub(crate) committees: Committees,
    pub(crate) anchor: Anchor,
    /// The lowest height that this ledger has.
    pub(crate) floor_height: u64,
    pub(crate) current: Boundary,
}

/// The beginning of an epoch.
#[derive(Clone)]
pub(crate) struct Boundary {
    pub(crate) definition: Arc<EpochDefinition>,
    /// The block that it begins after; for the first, block 0.
    pub(crate) root: Digest,
    /// That block's time, unless it is block 0.
    pub(crate) began_ms: Option<u64>,
}

fn wrong(reason: impl Into<String>) -> OrderingError {
    OrderingError::Config(reason.into())
}

/// Reads where this node begins, and makes a new floor the beginning.
pub(crate) fn settle(
    namespace: &[u8],
    genesis: &Block,
    start: &Start,
    store: &LedgerStore,
) -> Result<Origin, OrderingError> {
    let mut stored = stored_floor(store)?;
    let committees = Committees::new(namespace);
    if let Start::Floor(floor) = start
        && stored
            .as_ref()
            .is_none_or(|stored| !reaches(store, stored.height, floor.block.height()))
    {
        stored = Some(keep_floor(floor, namespace, store)?);
    }
    let (anchor, floor_height, mut current) = match (stored, start) {
        (Some(stored), _) => from_floor(&stored, &committees, store)?,
        (None, Start::Genesis(definition)) => from_genesis(definition, genesis, &committees)?,
        (None, Start::Floor(_)) => return Err(wrong("the floor was not stored")),
    };
    // The boundary blocks that are stored are final, whether or not all blocks before them are here.
    while let Some(block) = store.block(current.definition.last_height)? {
        let definition = block.header.next_epoch.clone().ok_or_else(|| {
            let height = block.height();
            wrong(format!("stored block {height} does not define an epoch"))
        })?;
        let definition = Arc::new(definition);
        committees.add(&definition)?;
        current = Boundary {
            definition,
            root: block.digest(),
            began_ms: Some(block.header.time_ms),
        };
    }
    Ok(Origin {
        committees,
        anchor,
        floor_height,
        current,
    })
}

/// Whether the ledger that begins at `from` has every block up to `height`.
fn reaches(store: &LedgerStore, from: u64, height: u64) -> bool {
    let last = store.block_heights().contiguous_from(from);
    from >= height || last.is_some_and(|last| last >= height)
}

fn from_genesis(
    definition: &EpochDefinition,
    genesis: &Block,
    committees: &Committees,
) -> Result<(Anchor, u64, Boundary), OrderingError> {
    definition
        .check()
        .map_err(|error| wrong(error.to_string()))?;
    if (definition.epoch, definition.first_height) != (0, 0) {
        return Err(wrong("the first epoch is not epoch 0 from block 0 on"));
    }
    let definition = Arc::new(definition.clone());
    committees.add(&definition)?;
    let current = Boundary {
        definition,
        root: genesis.digest(),
        began_ms: None,
    };
    let anchor = Anchor::Genesis(OrderedBlock::new(genesis.clone()));
    Ok((anchor, 0, current))
}

fn stored_floor(store: &LedgerStore) -> Result<Option<StoredFloor>, OrderingError> {
    let Some(bytes) = store.metadata(METADATA)? else {
        return Ok(None);
    };
    let floor = decode::<StoredFloor>(&bytes, FLOOR_BYTES_MAX).ok();
    let known = floor.filter(|floor| floor.version == VERSION);
    known
        .map(Some)
        .ok_or_else(|| wrong("the store's note of where its ledger begins is damaged"))
}

/// Checks a floor and stores it as the beginning.
fn keep_floor(
    floor: &Floor,
    namespace: &[u8],
    store: &LedgerStore,
) -> Result<StoredFloor, OrderingError> {
    let Floor {
        block,
        certificate,
        committee,
    } = floor;
    let height = block.height();
    if block.header.next_epoch.is_none() {
        return Err(wrong(format!("block {height} is no boundary block")));
    }
    if certificate.block != block.digest() || committee.epoch() != block.header.epoch {
        return Err(wrong("the floor's certificate is for another block"));
    }
    certificate
        .verify(committee, namespace)
        .map_err(|error| wrong(format!("the floor's certificate: {error}")))?;
    block
        .check_body()
        .map_err(|error| wrong(error.to_string()))?;
    let stored = StoredFloor {
        version: VERSION,
        height,
        epoch: block.header.epoch,
        committee: committee.members().to_vec(),
        certificate: certificate.encode(),
    };
    store.put_final(&[block], &[(height, certificate)])?;
    store.set_floor(height)?;
    store.put_metadata(METADATA, &encode(&stored))?;
    Ok(stored)
}

fn from_floor(
    stored: &StoredFloor,
    committees: &Committees,
    store: &LedgerStore,
) -> Result<(Anchor, u64, Boundary), OrderingError> {
    let height = stored.height;
    let gone = || {
        wrong(format!(
            "the ledger begins at block {height}, which is gone"
        ))
    };
    let block = store.block(height)?.ok_or_else(gone)?;
    let definition = block.header.next_epoch.clone().ok_or_else(gone)?;
    let committee = Committee::new(stored.epoch, stored.committee.clone())
        .map_err(|error| wrong(error.to_string()))?;
    let certificate = FinalityCertificate::decode(&stored.certificate)
        .map_err(|error| wrong(error.to_string()))?;
    let finalization = to_engine_form(&certificate, committee.members().len()).ok_or_else(gone)?;
    committees.add_closed(stored.epoch, height, &committee)?;
    let definition = Arc::new(definition);
    committees.add(&definition)?;
    let current = Boundary {
        definition,
        root: block.digest(),
        began_ms: Some(block.header.time_ms),
    };
    Ok((Anchor::Floor(finalization), height, current))
}
