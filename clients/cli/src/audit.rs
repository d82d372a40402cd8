//! `sealbook audit verify`: a copy of the ledger, the audit key, and nothing else.
//!
//! ```text
//! manifest (if the node stopped in order) -> genesis -> every block, certificate and link -> open every transaction
//! -> replay -> compare every state root that headers commit to -> totals
//! ```
//!
//! The copy is never written to: the store is opened on a copy of its own. Nothing in it is believed before it has
//! been checked, and whatever is wrong ends the audit with exit code 6.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::Table;
use sealbook_execution::custody::ModuleKey;
use sealbook_execution::{Engine, EpochKeys};
use sealbook_ledger::{Block, FinalityCertificate, Genesis, MAX_BLOCK_BYTES};
use sealbook_primitives::hash::Digest;
use sealbook_store::{LedgerStore, SledStore, Tip, manifest};
use serde_json::{Value, json};

use crate::error::{CliError, Exit, Result, doing};
use crate::network::{NetworkFiles, read_genesis};
use crate::progress::Progress;
use crate::session::Session;
use crate::views;

const BUNDLES_MAX: usize = 64;
const KEY_BYTES_MAX: u64 = 4096;

/// What an audit found.
pub struct Report {
    network: Digest,
    network_name: String,
    sealed: bool,
    height: u64,
    certificates: u64,
    roots_compared: u64,
    transactions: u64,
    outcomes: [u64; 4],
    unopened: u64,
    state_root: Digest,
    uncertified: u64,
    totals: Value,
}

fn damaged(what: impl std::fmt::Display) -> CliError {
    CliError::with_exit(Exit::AuditFailed, what)
        .hint("take a fresh copy from another node and compare")
}

/// Verifies the ledger copy in `ledger` (a node's folder or its `ledger` folder) with the audit key in `key`.
///
/// # Errors
/// The copy or the key cannot be read, or anything in the copy is not as it must be.
pub fn verify(ledger: &Path, key: &Path) -> Result<Report> {
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
    let keys = epoch_keys(&ledger, key, &genesis)?;
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
        replay(scratch.path(), genesis, keys, (sealed, tip))
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
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), out.join(entry.file_name())).map_err(doing(out.display()))?;
        }
    }
    let store = SledStore::open(&out.join("blocks")).map_err(CliError::new)?;
    let store = LedgerStore::open(Arc::new(store)).map_err(CliError::new)?;
    let mut session = Session::open(files)?;
    let progress = Progress::spinner("copying blocks");
    let mut next = 1;
    loop {
        let certified = session
            .client(member)?
            .blocks(next, 256)
            .map_err(CliError::new)?;
        if certified.is_empty() {
            break;
        }
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

fn epoch_keys(ledger: &Path, key: &Path, genesis: &Genesis) -> Result<EpochKeys> {
    let shown = key.display();
    let size = fs::metadata(key)
        .map_err(doing(format!("audit key `{shown}`")))?
        .len();
    if size > KEY_BYTES_MAX {
        return Err(CliError::new(format!("`{shown}` is not an audit key")));
    }
    let bytes =
        zeroize::Zeroizing::new(fs::read(key).map_err(doing(format!("audit key `{shown}`")))?);
    let auditor = ModuleKey::read(&bytes)
        .map_err(|_| CliError::new(format!("`{shown}` is not an audit key")))?
        .into_opening_key();
    let mut last = "no audit bundle in the copy".to_owned();
    for index in 0..BUNDLES_MAX {
        let path = ledger.join(format!("audit-bundle-0-{index}"));
        if !path.is_file() {
            break;
        }
        let wrapped = fs::read(&path).map_err(doing(path.display()))?;
        match EpochKeys::from_bundle(&auditor, genesis, &wrapped) {
            Ok(keys) => return Ok(keys),
            Err(error) => last = error.to_string(),
        }
    }
    Err(
        damaged(format!("the audit bundle does not open: {last}")).hint(
            "is this the audit key of this network? if so, the copy's genesis or bundle is damaged",
        ),
    )
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

fn replay(
    store: &Path,
    genesis: Genesis,
    keys: EpochKeys,
    (sealed, tip): (bool, Option<Tip>),
) -> Result<Report> {
    let store = SledStore::open(&PathBuf::from(store)).map_err(damaged)?;
    let store = LedgerStore::open(Arc::new(store)).map_err(damaged)?;
    let latest = store.latest_height().unwrap_or(0);
    check_tip(&store, latest, tip)?;
    let network_name = genesis.network_name.clone();
    let mut engine = Engine::new(genesis, keys).map_err(damaged)?;
    let progress = Progress::bar("replaying", latest);
    let mut report = Report {
        network: engine.head().network,
        network_name,
        sealed,
        height: 0,
        certificates: 0,
        roots_compared: 0,
        transactions: 0,
        outcomes: [0; 4],
        unopened: 0,
        state_root: Digest::ZERO,
        uncertified: 0,
        totals: Value::Null,
    };
    let mut run = Vec::new();
    for height in 1..=latest {
        let block = store.block(height).map_err(damaged)?;
        let block = block.ok_or_else(|| damaged(format!("block {height} is missing")))?;
        report.transactions += block.transactions.len() as u64;
        report.roots_compared += block.header.roots.len() as u64;
        run.push(block.encode());
        let Some(certificate) = store.certificate(height).map_err(damaged)? else {
            continue;
        };
        report.certificates += 1;
        let executed = engine
            .execute(&run, &certificate.encode())
            .map_err(|error| damaged(format!("at height {height}: {error}")))?;
        for block in executed {
            report.unopened += u64::from(block.unopened);
            for (total, count) in report.outcomes.iter_mut().zip(block.outcomes) {
                *total += count;
            }
            progress.advance();
        }
        run.clear();
    }
    progress.finish();
    engine
        .state()
        .check_invariants()
        .map_err(|violation| damaged(format!("the books do not balance: {violation}")))?;
    report.uncertified = run.len() as u64;
    report.height = engine.height();
    report.state_root = engine.state_root();
    report.totals = views::audit(&engine.state().totals());
    if report.height == 0 {
        return Err(damaged("the copy has no certified block"));
    }
    Ok(report)
}

impl Report {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let [settled, pending, rejected, denied] = self.outcomes;
        json!({
            "network": self.network.to_string(),
            "network_name": self.network_name,
            "sealed_copy": self.sealed,
            "height": self.height,
            "uncertified_blocks": self.uncertified,
            "certificates": self.certificates,
            "state_roots_compared": self.roots_compared,
            "state_root": self.state_root.to_string(),
            "transactions": self.transactions,
            "unopened": self.unopened,
            "orders": {"settled": settled, "pending": pending, "rejected": rejected, "denied": denied},
            "totals": self.totals,
        })
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let [settled, pending, rejected, denied] = self.outcomes;
        let seal = if self.sealed {
            "sealed (by a node that stopped, or by `audit copy`); every byte checked"
        } else {
            "not sealed (taken while the node ran, or after a crash); blocks and certificates checked"
        };
        let mut text = format!(
            "ledger of {} ({})\n  copy          {seal}\n  height        {}\n  certificates  {} verified\n  \
             state roots   {} compared, all equal\n  transactions  {} opened and replayed, {} did not open\n  \
             orders        {settled} settled, {pending} pending, {rejected} rejected, {denied} denied\n  \
             state root    {}\n",
            self.network_name,
            self.network,
            self.height,
            self.certificates,
            self.roots_compared,
            self.transactions.saturating_sub(self.unopened),
            self.unopened,
            self.state_root,
        );
        let mut issues = Table::new();
        issues.set_header(["issue", "issued", "treasury", "held", "holders"]);
        for issue in rows(&self.totals, "issues") {
            issues.add_row(
                ["isin", "issued", "treasury", "held", "holders"].map(|f| cell(issue.get(f))),
            );
        }
        let mut currencies = Table::new();
        currencies.set_header(["currency", "agent", "minted"]);
        for currency in rows(&self.totals, "currencies") {
            currencies.add_row(["currency", "agent", "minted"].map(|f| cell(currency.get(f))));
        }
        text.push_str(&format!("{issues}\n{currencies}\n"));
        text
    }
}

fn rows<'a>(totals: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    totals
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
