//! How a further node comes to its first ledger: from a sealed snapshot, without executing or even fetching history.
//!
//! ```text
//! genesis -> proof: headers are final, one of them commits to results that name a snapshot
//!         -> manifest: digests of its pieces, the block it was taken after (the last of a committee epoch)
//!         -> pieces, that block with its certificate, the blocks up to the end of the proof
//! ```
//!
//! INVARIANT: nothing that a node gives is kept before it follows from the genesis document, and the store comes to its
//! place only when it is whole: whoever is interrupted begins again.

use std::fs;
use std::path::Path;

use borsh::BorshSerialize;
use sealbook_ledger::{
    Block, EpochDefinition, EpochStep, FinalityCertificate, FinalityProof, Genesis,
    MAX_BLOCK_BYTES, SnapshotManifest, SnapshotReference,
};
use sealbook_sdk::{CertifiedBlock, Client, ClientError, SnapshotOffer};
use sealbook_store::names::{START_DEFINITION, START_STEPS, snapshot_commitment};
use sealbook_store::{Engine, LedgerStore, open_store};

use crate::error::{CliError, Result, doing};
use crate::progress::Progress;

/// Folder of the store below the ledger's, and where it is made.
const BLOCKS: &str = "blocks";
const JOINING: &str = "joining";
/// How often another node is tried after one gave what does not hold.
const TRIES: usize = 8;

/// What a node joined with.
pub struct Joined {
    /// The snapshot's height, which is that of the first block.
    pub height: u64,
    /// How many pieces it has.
    pub pieces: usize,
    /// The last block that was fetched with it.
    pub fetched: u64,
}

/// A snapshot that the network agreed on.
struct Agreed {
    manifest: SnapshotManifest,
    proof: FinalityProof,
}

/// Blocks that are final, with their certificates, and what holds after the first of them.
struct Run {
    definition: EpochDefinition,
    steps: Vec<EpochStep>,
    blocks: Vec<(Block, Option<FinalityCertificate>)>,
}

/// Fetches the newest snapshot into the store below `ledger`, which must not exist yet.
///
/// # Errors
/// There is no snapshot, what nodes give does not hold, or the store cannot be written.
pub fn join(client: &mut Client, ledger: &Path, engine: Engine) -> Result<Joined> {
    let place = ledger.join(BLOCKS);
    if place.exists() {
        return Err(CliError::new(format!("`{}` exists already", place.display())).hint(
            "the node has a ledger; start it, or move that folder and `votes` away to join anew",
        ));
    }
    let network = std::sync::Arc::clone(client.network());
    let genesis = network.genesis();
    let (offer, agreed) = checked(client, |client| {
        let offer = client.snapshot().map_err(CliError::new)?.ok_or_else(|| {
            CliError::new("no node has a snapshot yet").hint(
                "one is taken where a committee epoch ends, see `sealbook governance epoch`; or join with --from-genesis",
            )
        })?;
        let agreed = check_offer(genesis, &offer);
        Ok(agreed.map(|agreed| (offer, agreed)))
    })?;
    let run = checked(client, |client| {
        let blocks = fetch_blocks(client, &agreed)?;
        Ok(check_blocks(genesis, &agreed, blocks))
    })?;
    let folder = ledger.join(JOINING);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(doing(folder.display()))?;
    }
    fs::create_dir_all(ledger).map_err(doing(ledger.display()))?;
    let store = open_store(engine, &folder).map_err(CliError::new)?;
    let store = LedgerStore::open(store).map_err(CliError::new)?;
    let pieces = fetch_pieces(client, &store, &agreed.manifest)?;
    fill(&store, &offer, &agreed, &run)?;
    drop(store);
    fs::rename(&folder, &place).map_err(doing(place.display()))?;
    fs::File::open(ledger)
        .and_then(|folder| folder.sync_all())
        .map_err(doing(ledger.display()))?;
    Ok(Joined {
        height: agreed.manifest.height,
        pieces,
        fetched: run.blocks.last().map_or(0, |(block, _)| block.height()),
    })
}

/// Asks one node after another until what one gives holds.
fn checked<T>(
    client: &mut Client,
    mut ask: impl FnMut(&mut Client) -> Result<Result<T, String>>,
) -> Result<T> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match ask(client)? {
            Ok(value) => return Ok(value),
            Err(why) => last = why,
        }
        client.pass_over();
    }
    Err(CliError::new(format!(
        "what the nodes give does not hold: {last}"
    )))
}

/// Checks that final headers commit to results that name this very snapshot.
fn check_offer(genesis: &Genesis, offer: &SnapshotOffer) -> Result<Agreed, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let manifest = SnapshotManifest::decode(&offer.manifest).map_err(|error| text(&error))?;
    let proof = FinalityProof::decode(&offer.proof).map_err(|error| text(&error))?;
    let _ = proof.verify(genesis).map_err(|error| text(&error))?;
    if manifest.network != genesis.network() {
        return Err("the snapshot is of another network".to_owned());
    }
    let named = SnapshotReference {
        height: manifest.height,
        digest: manifest.digest(),
    };
    if offer.commitment.snapshot != Some(named) || manifest.height >= offer.commitment.height {
        return Err("the results that were given name another snapshot".to_owned());
    }
    let committed = (offer.commitment.height, offer.commitment.digest());
    let commits = proof
        .headers
        .iter()
        .any(|header| header.committed_roots().any(|root| root == committed));
    if !commits {
        return Err("no final header commits to the results that name the snapshot".to_owned());
    }
    Ok(Agreed { manifest, proof })
}

/// The last height that the proof reaches.
fn proven_height(agreed: &Agreed) -> u64 {
    agreed
        .proof
        .headers
        .last()
        .map_or(0, |header| header.height)
}

fn fetch_blocks(client: &mut Client, agreed: &Agreed) -> Result<Vec<CertifiedBlock>> {
    let (mut next, last) = (agreed.manifest.height, proven_height(agreed));
    let mut blocks = Vec::new();
    while next <= last {
        let limit = u32::try_from(last - next + 1).unwrap_or(u32::MAX);
        let more = client.blocks(next, limit).map_err(CliError::new)?;
        if more.is_empty() {
            break;
        }
        next = next.saturating_add(more.len() as u64);
        blocks.extend(more);
    }
    Ok(blocks)
}

/// How many blocks are stored in one batch.
const BLOCKS_AT_ONCE: usize = 64;

/// Checks that the blocks lead from the snapshot's to the last one that the proof makes final.
fn check_blocks(
    genesis: &Genesis,
    agreed: &Agreed,
    blocks: Vec<CertifiedBlock>,
) -> Result<Run, String> {
    let mut decoded: Vec<(Block, Option<FinalityCertificate>)> = Vec::new();
    for one in blocks {
        let block =
            Block::decode(&one.block, MAX_BLOCK_BYTES).map_err(|error| error.to_string())?;
        if let Some((parent, _)) = decoded.last() {
            let follows = block.header.check_follows(&parent.header);
            follows.map_err(|error| format!("block {}: {error}", block.height()))?;
        }
        let certificate = one.certificate.as_deref().map(FinalityCertificate::decode);
        let certificate = certificate.transpose().map_err(|error| error.to_string())?;
        decoded.push((block, certificate));
    }
    let ends = (
        decoded.first().map(|(block, _)| block.digest()),
        decoded.last().map(|(block, _)| block.digest()),
    );
    let proven = agreed
        .proof
        .headers
        .last()
        .map(sealbook_ledger::Header::digest);
    if ends != (Some(agreed.manifest.block), proven) {
        return Err("the blocks do not lead from the snapshot to what is final".to_owned());
    }
    // Steps that lead further than the snapshot's block are in the blocks after it.
    let height = agreed.manifest.height;
    let steps = agreed.proof.steps.iter();
    let steps: Vec<EpochStep> = steps
        .filter(|step| step.header.height <= height)
        .cloned()
        .collect();
    let before = steps.iter().rfind(|step| step.header.height < height);
    let mut present = before
        .and_then(|step| step.header.next_epoch.clone())
        .unwrap_or_else(|| genesis.first_epoch());
    for (block, certificate) in &mut decoded {
        // Epochs that keep their validators have no step: only the number of the epoch differs.
        present.epoch = block.header.epoch;
        let committee = present.committee().map_err(|error| error.to_string())?;
        let holds = certificate.as_ref().is_some_and(|one| {
            one.block == block.digest() && one.verify(&committee, &genesis.namespace()).is_ok()
        });
        if !holds {
            *certificate = None;
        }
        // Where an epoch ends, nobody goes on without: those who execute stop there.
        let ends = block.header.next_epoch.is_some();
        if ends && !holds && Some(block.digest()) != proven {
            let height = block.height();
            return Err(format!(
                "there is no certificate for block {height}, where an epoch ends"
            ));
        }
        if let Some(next) = &block.header.next_epoch {
            present = next.clone();
        }
    }
    if let Some((_, certificate)) = decoded.last_mut() {
        *certificate = Some(agreed.proof.certificate.clone());
    }
    let (first, certificate) = decoded.first().ok_or("there are no blocks")?;
    let definition = first.header.next_epoch.clone();
    let definition = definition.ok_or("the snapshot was not taken where an epoch ends")?;
    if certificate.is_none() {
        return Err(format!("there is no certificate for block {height}"));
    }
    Ok(Run {
        definition,
        steps,
        blocks: decoded,
    })
}

fn fetch_pieces(
    client: &mut Client,
    store: &LedgerStore,
    manifest: &SnapshotManifest,
) -> Result<usize> {
    let count = manifest.pieces().count();
    let progress = Progress::bar("fetching the snapshot", count as u64);
    for (index, digest) in (0_u32..).zip(manifest.pieces()) {
        let is_right = |bytes: &[u8]| SnapshotManifest::piece_digest(bytes) == *digest;
        let piece = match client.snapshot_piece((manifest.height, index), is_right) {
            // Holders' names may have been erased; the state is whole without them.
            Err(ClientError::Absent) if index as usize >= manifest.state_pieces.len() => Vec::new(),
            given => given.map_err(doing(format!("piece {index} of {count}")))?,
        };
        store
            .put_snapshot_piece(manifest.height, index, &piece)
            .map_err(CliError::new)?;
        progress.advance();
    }
    progress.finish();
    Ok(count)
}

fn fill(store: &LedgerStore, offer: &SnapshotOffer, agreed: &Agreed, run: &Run) -> Result<()> {
    let manifest = &agreed.manifest;
    let height = manifest.height;
    let metadata = [
        (START_DEFINITION.to_owned(), encoded(&run.definition)),
        (START_STEPS.to_owned(), encoded(&run.steps)),
        (snapshot_commitment(height), encoded(&offer.commitment)),
    ];
    for (name, value) in &metadata {
        store.put_metadata(name, value).map_err(CliError::new)?;
    }
    let pieces = u32::try_from(manifest.pieces().count()).unwrap_or(u32::MAX);
    store
        .put_snapshot_manifest(height, pieces, &offer.manifest)
        .map_err(CliError::new)?;
    store.set_floor(height).map_err(CliError::new)?;
    // The folder takes its place when all of them are in.
    for some in run.blocks.chunks(BLOCKS_AT_ONCE) {
        let blocks: Vec<&Block> = some.iter().map(|(block, _)| block).collect();
        let certificates: Vec<(u64, &FinalityCertificate)> = some
            .iter()
            .filter_map(|(block, certificate)| Some((block.height(), certificate.as_ref()?)))
            .collect();
        store
            .put_final(&blocks, &certificates)
            .map_err(CliError::new)?;
    }
    Ok(())
}

fn encoded<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
