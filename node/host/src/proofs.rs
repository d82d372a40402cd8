//! Proofs for others, made of what lies in the ledger: that headers are final.

use sealbook_ledger::{FinalityProof, Header};
use sealbook_store::{LedgerStore, StoreError};

use crate::epochs::Epochs;

/// The most headers in one proof; results that no header commits to for so long are not provable yet.
const HEADERS_MAX: u64 = 20_000;

/// A proof that begins with the header at `height` and reaches one that is certified and commits to the results of
/// that block; nothing if there is none yet.
///
/// # Errors
/// The store cannot be read.
pub fn finality(
    store: &LedgerStore,
    epochs: &Epochs,
    height: u64,
    head: u64,
) -> Result<Option<FinalityProof>, StoreError> {
    let mut headers: Vec<Header> = Vec::new();
    let mut next = height;
    while next <= head && next < height.saturating_add(HEADERS_MAX) {
        let Some(block) = store.block(next)? else {
            return Ok(None);
        };
        let epoch = block.header.epoch;
        let commits = block.header.executed_height >= height;
        headers.push(block.header);
        if commits && let Some(certificate) = store.certificate(next)? {
            let steps = epochs.steps(store, epoch)?;
            return Ok(Some(FinalityProof::new(steps, headers, certificate)));
        }
        next = next.saturating_add(1);
    }
    Ok(None)
}
