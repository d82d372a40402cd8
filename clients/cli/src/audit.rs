//! `sealbook audit verify`: a copy of the ledger, the audit key, and nothing else.
//!
//! ```text
//! manifest (if the node stopped in order) -> genesis -> every block, certificate and link, across every committee epoch
//! -> open every transaction -> replay -> compare all results that headers commit to -> totals
//! ```
//!
//! The copy of a node that joined from a snapshot begins later and cannot be replayed: of it, the proof of its first
//! block and every block and certificate from there on are checked.
//!
//! The copy is never written to: the store is opened on a copy of its own. Nothing in it is believed before it has
//! been checked, and whatever is wrong ends the audit with exit code 6.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealbook_execution::custody::ModuleKey;
use sealbook_execution::keys::KeyError;
use sealbook_execution::rotation::Custodian;
use sealbook_execution::shared_key::{
    MAX_SHARE_FILE_BYTES, ShareBytes, SharedKeyError, assemble, identity_of,
};
use sealbook_execution::{Engine, EngineError, EpochKeys, Output};
use sealbook_ledger::{Block, FinalityCertificate, Genesis, KeyRecord, MAX_BLOCK_BYTES};
use sealbook_store::{
    Engine as StoreEngine, LedgerStore, SledStore, Store, StoreError, TIP, Tip, manifest,
    open_store,
};
use zeroize::Zeroizing;

use crate::error::{CliError, Exit, Result, doing};
use crate::network::{FIRST_RECORD, NetworkFiles, read_genesis};
use crate::progress::Progress;
use crate::session::Session;
use crate::views;

mod chain;
mod report;

#[cfg(test)]
pub use chain::check as check_chain;
use report::Replayed;
pub use report::Report;

const KEY_BYTES_MAX: u64 = 4096;

/// The keys of the first key epoch, and the audit keys that open later ones.
type AuditKeys = (EpochKeys, Vec<ModuleKey>);

fn damaged(what: impl std::fmt::Display) -> CliError {
    CliError::with_exit(Exit::AuditFailed, what)
        .hint("take a fresh copy from another node and compare")
}

/// Verifies the ledger copy in `ledger` (a node's folder or its `ledger` folder) with the audit keys in `keys`: the present
/// one, and former ones for what came before.
///
/// # Errors
/// The copy or the key cannot be read, or anything in the copy is not as it must be.
pub fn verify(ledger: &Path, keys: &[PathBuf], shares: &[PathBuf]) -> Result<Report> {
    let (node, ledger) = if ledger.join("ledger").join("genesis").is_file() {
        (Some(ledger.to_path_buf()), ledger.join("ledger"))
    } else {
        (None, ledger.to_path_buf())
    };
    if !ledger.join("genesis").is_file() {
        return Err(
            CliError::new(format!("no ledger in `{}`", ledger.display()))
                .hint("give a copy of a node's folder, or of the `ledger` folder in it"),
        );
    }
    let progress = Progress::spinner("checking the copy's seal");
    let sealed = check_seal(node.as_deref(), &ledger)?;
    let genesis = read_genesis(&ledger.join("genesis"))
        .map_err(|error| damaged(error.to_string().trim_start_matches("error: ")))?;
    let mut own = Vec::new();
    for path in keys {
        own.push(read_key(path)?);
    }
    own.extend(shared_keys(shares)?);
    let keys = audit_keys(&ledger, own, &genesis)?;
    // Read before the store is copied, so that a running node's store is not behind it.
    let tip = Tip::read(&ledger).map_err(damaged)?;
    progress.now("copying the store");
    let scratch = tempfile::Builder::new()
        .prefix("sealbook-audit-")
        .tempdir()
        .map_err(doing("temporary folder"))?;
    copy_folder(&ledger.join("blocks"), scratch.path())?;
    progress.finish();
    // The store's own engine may panic on damage that it does not expect; to a user both are the same finding.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        look_through(scratch.path(), genesis, keys, (sealed, tip))
    }));
    panic::set_hook(hook);
    outcome.unwrap_or_else(|_| Err(damaged("the copy's store is damaged and cannot be read")))
}

/// Takes a copy of the running network's ledger through a client, sealed like that of a node that has stopped.
///
/// # Errors
/// The folder is in use, or no node gives the blocks.
pub fn copy(files: &NetworkFiles, member: &str, out: &Path) -> Result<u64> {
    if out.exists() {
        return Err(
            CliError::new(format!("`{}` exists already", out.display())).hint("name a new folder")
        );
    }
    fs::create_dir_all(out.join("blocks")).map_err(doing(out.display()))?;
    let first = files
        .nodes()
        .first()
        .ok_or_else(|| CliError::new("the network has no nodes"))?;
    let ledger = files.node(&first.name).join("ledger");
    for entry in fs::read_dir(&ledger).map_err(doing(ledger.display()))? {
        let entry = entry.map_err(doing(ledger.display()))?;
        if entry.file_name() == TIP {
            // A running node writes it anew with every block.
            if let Some(tip) = Tip::read(&ledger).map_err(CliError::new)? {
                tip.write(out).map_err(doing(out.display()))?;
            }
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), out.join(entry.file_name())).map_err(doing(out.display()))?;
        }
    }
    let store = SledStore::open(&out.join("blocks")).map_err(CliError::new)?;
    let store = LedgerStore::open(Arc::new(store)).map_err(CliError::new)?;
    let mut session = Session::open(files)?;
    let client = session.client(member)?;
    let statuses = (0..files.nodes().len()).filter_map(|node| client.status_of(node).ok());
    let newest = statuses.map(|status| status.height).max().unwrap_or(0);
    let progress = Progress::spinner("copying blocks");
    let (mut next, mut turned_away) = (1, 0);
    loop {
        let certified = client.blocks(next, 256).map_err(CliError::new)?;
        if certified.is_empty() {
            // This node may be behind, or have joined later; another has more.
            turned_away += 1;
            if next > newest || turned_away > files.nodes().len() {
                break;
            }
            client.pass_over();
            continue;
        }
        turned_away = 0;
        let mut blocks = Vec::new();
        let mut certificates = Vec::new();
        for entry in &certified {
            let block = Block::decode(&entry.block, MAX_BLOCK_BYTES).map_err(CliError::new)?;
            if block.height() != next {
                return Err(CliError::new(format!(
                    "a node gave another block than block {next}"
                )));
            }
            if let Some(bytes) = &entry.certificate {
                let certificate = FinalityCertificate::decode(bytes).map_err(CliError::new)?;
                certificates.push((next, certificate));
            }
            blocks.push(block);
            next += 1;
        }
        let blocks: Vec<&Block> = blocks.iter().collect();
        let certificates: Vec<_> = certificates
            .iter()
            .map(|(height, one)| (*height, one))
            .collect();
        store
            .put_final(&blocks, &certificates)
            .map_err(CliError::new)?;
        progress.now(&format!("copying blocks, {} so far", next - 1));
    }
    drop(store);
    progress.finish();
    if next == 1 {
        return Err(CliError::new("no node gives the ledger from its first block on").hint(
            "nodes that joined from a snapshot do not have it; ask one that was there from the beginning",
        ));
    }
    manifest::write(out).map_err(doing("manifest"))?;
    Ok(next - 1)
}

/// Checks the manifest, where the copy has one; says whether it has.
fn check_seal(node: Option<&Path>, ledger: &Path) -> Result<bool> {
    for folder in node.into_iter().chain([ledger]) {
        let path = folder.join(manifest::MANIFEST);
        if !path.is_file() {
            continue;
        }
        let stated =
            fs::read_to_string(&path).map_err(|error| damaged(format!("manifest: {error}")))?;
        let found = manifest::render(folder).map_err(doing("manifest"))?;
        if stated != found {
            let name = first_difference(&stated, &found);
            return Err(damaged(format!(
                "the copy is not what the node sealed when it stopped: {name}"
            )));
        }
        return Ok(true);
    }
    Ok(false)
}

fn first_difference(stated: &str, found: &str) -> String {
    let path = |line: &str| line.splitn(3, ' ').nth(2).unwrap_or(line).to_owned();
    let (stated, found) = (manifest_entries(stated), manifest_entries(found));
    if let Some(line) = found.iter().find(|line| !stated.contains(line)) {
        return format!("`{}` differs", path(line));
    }
    let missing = stated.iter().find(|line| !found.contains(line));
    missing.map_or_else(
        || "the manifest differs".to_owned(),
        |line| format!("`{}` is missing", path(line)),
    )
}

/// The lines about files; the last line of a manifest is about these and differs with any of them.
fn manifest_entries(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .filter(|line| !line.ends_with(" end"))
        .collect()
}

/// Reads the file of a key of an auditor or a recovery holder.
///
/// # Errors
/// It is none.
pub fn read_key(path: &Path) -> Result<ModuleKey> {
    let shown = path.display();
    let none = || CliError::new(format!("`{shown}` is not an audit key or a holder's key"));
    let bytes = read_secret(path, KEY_BYTES_MAX)?.ok_or_else(none)?;
    ModuleKey::read(&bytes).map_err(|_| none())
}

/// The keys that shares make together: one for each key that there are shares of.
fn shared_keys(paths: &[PathBuf]) -> Result<Vec<ModuleKey>> {
    let mut by_key: BTreeMap<Vec<u8>, Vec<(&PathBuf, ShareBytes)>> = BTreeMap::new();
    for path in paths {
        let bytes = read_secret(path, MAX_SHARE_FILE_BYTES as u64)?;
        let bytes = bytes.ok_or_else(|| no_share(path))?;
        let identity = identity_of(&bytes).ok_or_else(|| no_share(path))?;
        by_key.entry(identity).or_default().push((path, bytes));
    }
    let assembled = by_key.into_values().map(|found| {
        let (paths, files): (Vec<&PathBuf>, Vec<_>) = found.into_iter().unzip();
        assemble(&files).map_err(|error| match &error {
            SharedKeyError::Malformed(place) | SharedKeyError::Other(place) => {
                let path = paths.get(place.saturating_sub(1));
                let shown = path.map(|path| path.display().to_string());
                CliError::new(format!("`{}`: {error}", shown.unwrap_or_default()))
            }
            SharedKeyError::TooFew { .. } => CliError::new(&error)
                .hint("give as many --key-share files as the key needs, each of another holder"),
            _ => CliError::new(&error),
        })
    });
    assembled.collect()
}

fn no_share(path: &Path) -> CliError {
    CliError::new(format!("`{}` is no share of an audit key", path.display()))
}

/// A file's content, unless it is longer than it may be.
fn read_secret(path: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let shown = path.display();
    let doing_so = || doing(format!("key `{shown}`"));
    let file = fs::File::open(path).map_err(doing_so())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SHARE_FILE_BYTES + 1));
    // Whatever it is, no more is read than may be.
    std::io::Read::read_to_end(&mut std::io::Read::take(file, most + 1), &mut bytes)
        .map_err(doing_so())?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

fn audit_keys(ledger: &Path, keys: Vec<ModuleKey>, genesis: &Genesis) -> Result<AuditKeys> {
    let path = ledger.join(FIRST_RECORD);
    let record = fs::read(&path).map_err(doing(path.display()))?;
    let record = KeyRecord::decode_file(&record).map_err(damaged)?;
    let opened = keys.iter().find_map(|key| {
        let own = key.digest();
        let bundle = record.bundles.iter().find(|one| one.recipient == own)?;
        Some(EpochKeys::from_bundle(
            &key.opening_key(),
            &genesis.network(),
            0,
            &bundle.sealed,
        ))
    });
    let opened = opened.unwrap_or(Err(KeyError::NotGiven(0)));
    match opened.and_then(|first| first.check(&genesis.first_epoch().opening).map(|()| first)) {
        Ok(first) => Ok((first, keys)),
        Err(error) => Err(damaged(format!("the audit bundle does not open: {error}")).hint(
            "is this an audit key that the network was founded with? a later one opens what came after it: give both",
        )),
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in
        fs::read_dir(from).map_err(|error| damaged(format!("no store in the copy: {error}")))?
    {
        let entry = entry.map_err(doing(from.display()))?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(doing(from.display()))?.is_dir() {
            fs::create_dir_all(&target).map_err(doing(target.display()))?;
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(doing(target.display()))?;
        }
    }
    Ok(())
}

/// Whether the store comes as far as the node's note says. A copy that was taken while the node wrote may be one block
/// behind; a store that ends earlier has lost its end, which its engine does not notice.
fn check_tip(store: &LedgerStore, latest: u64, tip: Option<Tip>) -> Result<()> {
    let Some(tip) = tip else { return Ok(()) };
    if tip.height > latest.saturating_add(1) {
        return Err(damaged(format!(
            "the store ends at height {latest}, but the node had come to height {}: it is damaged or cut off",
            tip.height
        ))
        .hint("a copy of a node that runs is best taken with `sealbook audit copy`"));
    }
    match store.block(tip.height).map_err(damaged)? {
        Some(block) if block.digest() != tip.block => Err(damaged(format!(
            "block {} is another than the one that the node had come to",
            tip.height
        ))),
        _ => Ok(()),
    }
}

/// Opens a store, whichever engine made it.
fn open_any(folder: &Path) -> Result<Arc<dyn Store>> {
    match open_store(StoreEngine::default(), folder) {
        Err(StoreError::Engine { found, .. }) => {
            let engine: StoreEngine = found.parse().map_err(damaged)?;
            open_store(engine, folder).map_err(damaged)
        }
        opened => opened.map_err(damaged),
    }
}

fn look_through(
    store: &Path,
    genesis: Genesis,
    keys: AuditKeys,
    (sealed, tip): (bool, Option<Tip>),
) -> Result<Report> {
    let store = LedgerStore::open(open_any(store)?).map_err(damaged)?;
    let latest = store.latest_height().unwrap_or(0);
    check_tip(&store, latest, tip)?;
    let mut report = Report::empty(&genesis, store.floor());
    report.sealed = sealed;
    if store.floor() > 0 {
        chain::check(&store, &genesis, latest, &mut report)?;
    } else {
        replay(&store, genesis, keys, latest, &mut report)?;
    }
    if report.height == 0 {
        return Err(damaged("the copy has no certified block"));
    }
    Ok(report)
}

fn stored_block(store: &LedgerStore, height: u64) -> Result<Block> {
    let block = store.block(height).map_err(damaged)?;
    block.ok_or_else(|| damaged(format!("block {height} is missing")))
}

fn replay(
    store: &LedgerStore,
    genesis: Genesis,
    keys: AuditKeys,
    latest: u64,
    report: &mut Report,
) -> Result<()> {
    let (first, keys) = keys;
    let mut engine = Engine::new(genesis.clone(), first).map_err(damaged)?;
    engine.set_custodian(Custodian::Auditor(keys), None);
    let progress = Progress::bar("replaying", latest);
    let mut replayed = Replayed::default();
    let mut run = Vec::new();
    // How many transactions each block of the run has.
    let mut counts = VecDeque::new();
    for height in 1..=latest {
        let block = stored_block(store, height)?;
        report.transactions += block.transactions.len() as u64;
        counts.push_back(block.transactions.len() as u64);
        replayed.roots_compared += block.header.roots.len() as u64;
        run.push(block.encode());
        // The last block of an epoch has a certificate on every node, so a run never reaches into the next one.
        let Some(certificate) = store.certificate(height).map_err(damaged)? else {
            continue;
        };
        let certificates_before = report.certificates;
        report.certificates += 1;
        report.epochs = certificate.epoch.saturating_add(1);
        let mut executed = Vec::new();
        let done = engine.execute_each(&run, &certificate.encode(), |output| {
            if let Output::Executed(block) = output {
                executed.push(block);
            }
        });
        for block in executed {
            replayed.transactions += counts.pop_front().unwrap_or(0);
            replayed.unopened += u64::from(block.unopened);
            for (total, count) in replayed.outcomes.iter_mut().zip(block.outcomes) {
                *total += count;
            }
            progress.advance();
        }
        match done {
            Ok(()) => run.clear(),
            Err(EngineError::Keys(KeyError::NotGiven(key_epoch))) => {
                replayed.closed = Some(key_epoch);
                report.certificates = certificates_before;
                break;
            }
            Err(error) => return Err(damaged(format!("at height {height}: {error}"))),
        }
    }
    progress.finish();
    engine
        .state()
        .check_invariants()
        .map_err(|violation| damaged(format!("the books do not balance: {violation}")))?;
    replayed.height = engine.height();
    replayed.key_epochs = engine.key_epoch().saturating_add(1);
    if replayed.closed.is_some() {
        let reached = (engine.definition().clone(), engine.head().clone());
        report.transactions = replayed.transactions;
        chain::follow(store, &genesis, reached, latest, report)?;
    } else {
        report.uncertified = run.len() as u64;
        report.height = engine.height();
    }
    replayed.state_root = engine.commitment().digest();
    replayed.books_root = engine.state_root();
    replayed.totals = views::audit(&engine.state().totals());
    report.replayed = Some(replayed);
    Ok(())
}
