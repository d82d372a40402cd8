//! The copy of a node that joined from a snapshot: its first block must be proved from genesis, the rest follows.

use borsh::BorshDeserialize;
use sealbook_ledger::{EpochDefinition, EpochStep, FinalityProof, Genesis, Header};
use sealbook_store::LedgerStore;
use sealbook_store::names::START_STEPS;

use super::{Report, damaged, stored_block};
use crate::error::Result;
use crate::progress::Progress;

/// Checks every block and certificate of the copy.
///
/// # Errors
/// Anything is not as it must be.
pub fn check(
    store: &LedgerStore,
    genesis: &Genesis,
    latest: u64,
    report: &mut Report,
) -> Result<()> {
    let floor = store.floor();
    let first = stored_block(store, floor)?;
    let certificate = store.certificate(floor).map_err(damaged)?;
    let certificate =
        certificate.ok_or_else(|| damaged(format!("certificate of block {floor} is missing")))?;
    let steps = store.metadata(START_STEPS).map_err(damaged)?;
    let steps = steps.and_then(|bytes| Vec::<EpochStep>::try_from_slice(&bytes).ok());
    let mut steps = steps.ok_or_else(|| damaged("the proof of the first block is missing"))?;
    // A step at the block itself proves what comes after it.
    steps.retain(|step| step.header.height < floor);
    let proof = FinalityProof::new(steps, vec![first.header.clone()], certificate);
    let mut present = proof
        .verify(genesis)
        .map_err(|error| damaged(format!("the first block is not proved: {error}")))?;
    enter(&mut present, &first.header.next_epoch);
    report.height = floor;
    report.certificates = 1;
    follow(store, genesis, (present, first.header), latest, report)
}

/// Checks every block and certificate after `parent`, in whose epoch or after whose block `present` holds.
///
/// # Errors
/// Anything is not as it must be.
pub fn follow(
    store: &LedgerStore,
    genesis: &Genesis,
    (mut present, mut parent): (EpochDefinition, Header),
    latest: u64,
    report: &mut Report,
) -> Result<()> {
    let progress = Progress::bar("checking blocks", latest.saturating_sub(parent.height));
    let namespace = genesis.namespace();
    let mut run = 0;
    for height in parent.height.saturating_add(1)..=latest {
        let block = stored_block(store, height)?;
        let at = |error: &dyn std::fmt::Display| damaged(format!("at height {height}: {error}"));
        block
            .header
            .check_follows(&parent)
            .map_err(|error| at(&error))?;
        block.check_body().map_err(|error| at(&error))?;
        report.transactions += block.transactions.len() as u64;
        run += 1;
        if let Some(certificate) = store.certificate(height).map_err(damaged)? {
            // Epochs that keep their validators differ in nothing but their number.
            present.epoch = block.header.epoch;
            let committee = present.committee().map_err(|error| at(&error))?;
            if certificate.block != block.digest() {
                return Err(at(&"the certificate is for another block"));
            }
            certificate
                .verify(&committee, &namespace)
                .map_err(|error| at(&error))?;
            report.certificates += 1;
            report.height = height;
            run = 0;
        } else if block.header.next_epoch.is_some() {
            return Err(at(&"the last block of an epoch has no certificate"));
        }
        enter(&mut present, &block.header.next_epoch);
        parent = block.header;
        progress.advance();
    }
    progress.finish();
    report.uncertified = run;
    report.epochs = parent.epoch.saturating_add(1);
    Ok(())
}

fn enter(present: &mut EpochDefinition, next: &Option<EpochDefinition>) {
    if let Some(next) = next {
        *present = next.clone();
    }
}
