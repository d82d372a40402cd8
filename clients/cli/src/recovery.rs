//! `sealbook recovery ...`: the network's root from shares, when all modules have lost it.
//!
//! ```text
//! a node's owner:   recovery module NODE            a new key for the node's module
//!                   recovery record NODE            the record of the present key epoch, from the stopped node's ledger
//! each holder:      recovery contribute             the own share, sealed to the recovering module
//! a node's owner:   recovery finish NODE            the root is put together inside the module, and sealed to the new
//!                                                   modules that all holders named
//! ```
//!
//! What passes between them are public keys and ciphertext. docs/KEYS.md has the whole drill.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use sealbook_execution::recovery::contribute;
use sealbook_identity::files as key_files;
use sealbook_ledger::{
    EpochDefinition, KeyRecord, MAX_RECORD_BYTES, Opening, RootFile, holder_digest,
};
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_store::names::{START_DEFINITION, key_record};
use sealbook_store::{LedgerStore, open_store};
use serde_json::json;

use crate::arguments::RecoveryCommand;
use crate::audit::read_key;
use crate::error::{CliError, Result, doing};
use crate::network::{self, FIRST_RECORD, NetworkFiles, make_holder_key, program, write_private};
use crate::nodes::configured_engine;
use crate::operations::Context;

const PUBLIC_BYTES_MAX: usize = 16 * 1024;
const CONTRIBUTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `sealbook recovery ...`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, command: RecoveryCommand) -> Result<()> {
    match command {
        RecoveryCommand::Key { out } => {
            let digest = holder_digest(&make_holder_key(&out)?).to_string();
            let shown = out.display().to_string();
            let text = format!("made {shown} and {shown}.pub, key {digest}");
            context.say(&json!({"file": shown, "key": digest}), &text);
            Ok(())
        }
        RecoveryCommand::Module { node } => module(context, &node),
        RecoveryCommand::Record {
            node,
            key_epoch,
            out,
        } => {
            let files = context.files()?;
            let record = record_of(&files, &node, key_epoch)?;
            write_new(&out, &record.encode_file())?;
            let text = format!(
                "record of key epoch {}: {} of {} shares recover the root\n",
                record.key_epoch,
                record.threshold,
                record.shares.len()
            );
            context.say(
                &json!({"key_epoch": record.key_epoch, "threshold": record.threshold,
                    "shares": record.shares.len(), "digest": record.digest().to_string()}),
                text.trim_end(),
            );
            Ok(())
        }
        RecoveryCommand::Contribute {
            key,
            record,
            to,
            module,
            out,
        } => {
            let record = read_record(&record)?;
            let holder = read_key(&key)?;
            let modules = module.iter().map(|path| read_public(path));
            let modules = modules.collect::<Result<Vec<_>>>()?;
            let sealed = contribute(&holder, &record, &read_public(&to)?, &modules);
            write_new(&out, &sealed.map_err(CliError::new)?)?;
            let names: Vec<String> = modules
                .iter()
                .map(|key| holder_digest(key).to_string())
                .collect();
            let text = format!(
                "your share of key epoch {} is in {}, for the modules\n  {}",
                record.key_epoch,
                out.display(),
                names.join("\n  ")
            );
            context.say(
                &json!({"key_epoch": record.key_epoch, "modules": names}),
                &text,
            );
            Ok(())
        }
        RecoveryCommand::Finish {
            node,
            record,
            contributions,
            out,
        } => {
            let files = context.files()?;
            let record = read_record(&record)?;
            let read = |path: &std::path::PathBuf| read_limited(path, CONTRIBUTION_BYTES_MAX);
            let contributions = contributions.iter().map(read).collect::<Result<_>>()?;
            let key = files.module(&node).join("module.key");
            let file = recover(&key, &record, contributions)?;
            add_roots(&out, &file)?;
            let text = format!(
                "recovered the root of key epoch {}; {} replaces the root file of each module",
                record.key_epoch,
                out.display()
            );
            context.say(&json!({"key_epoch": record.key_epoch}), &text);
            Ok(())
        }
    }
}

/// A new key for a module that has lost its own. What is left of the old one is moved aside.
fn module(context: &Context, node: &str) -> Result<()> {
    let files = context.files()?;
    let _ = files.entry(node)?;
    if network::is_running(&files, node) {
        return Err(CliError::new(format!("`{node}` runs"))
            .hint(format!("stop it first: sealbook node stop {node}")));
    }
    let folder = files.module(node);
    for name in ["module.key", "module.pub"] {
        let (path, aside) = (folder.join(name), folder.join(format!("{name}.lost")));
        if path.exists() {
            fs::rename(&path, &aside).map_err(doing(path.display()))?;
        }
    }
    let root = files.root_file(node);
    if root.exists() {
        let mut aside = root.clone().into_os_string();
        aside.push(".lost");
        fs::rename(&root, aside).map_err(doing(root.display()))?;
    }
    let key = network::make_module_key(&files, node)?;
    let digest = holder_digest(&key).to_string();
    let public = folder.join("module.pub").display().to_string();
    let statement = network::module_statement(&files, node)?;
    let statement: String = statement.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "made a new key for the module of {node}: {digest}\npublic half: {public}\nmembers elsewhere give its seat this key with\n  \
         sealbook governance propose replace-module {node} --module-key $(cat module.pub) --statement {statement}"
    );
    context.say(
        &json!({"node": node, "key": digest, "public": public, "statement": statement}),
        &text,
    );
    Ok(())
}

/// The record of a key epoch, that in which a stopped node's ledger ends if none is named, checked against the boundary
/// block that began it.
fn record_of(files: &NetworkFiles, node: &str, key_epoch: Option<u32>) -> Result<KeyRecord> {
    if network::is_running(files, node) {
        return Err(CliError::new(format!("`{node}` runs"))
            .hint(format!("stop it first: sealbook node stop {node}")));
    }
    let ledger = files.node(node).join("ledger");
    let engine = configured_engine(&files.node(node))?;
    let store = open_store(engine, &ledger.join("blocks")).map_err(CliError::new)?;
    let store = LedgerStore::open(store).map_err(CliError::new)?;
    let openings = openings(files, &store)?;
    let wanted = openings
        .iter()
        .rev()
        .find(|one| key_epoch.is_none_or(|wanted| one.key_epoch == wanted));
    let opening = wanted.ok_or_else(|| {
        CliError::new(format!("the ledger of `{node}` knows no such key epoch"))
            .hint("a node that was there from the beginning knows all of them")
    })?;
    if opening.key_epoch == 0 {
        return read_record(&ledger.join(FIRST_RECORD));
    }
    let name = key_record(&opening.record);
    let bytes = store.metadata(&name).map_err(CliError::new)?;
    let bytes = bytes.ok_or_else(|| {
        CliError::new(format!(
            "the ledger of `{node}` does not hold the record of key epoch {}",
            opening.key_epoch
        ))
        .hint("take it from a node whose module executed the block that the record came with")
    })?;
    let record = KeyRecord::decode(&bytes).map_err(CliError::new)?;
    if record.digest() != opening.record {
        return Err(CliError::new(
            "the record in the ledger is not the decided one",
        ));
    }
    Ok(record)
}

/// The key epochs that a ledger knows, ascending.
fn openings(files: &NetworkFiles, store: &LedgerStore) -> Result<Vec<Opening>> {
    let mut present: EpochDefinition = if store.floor() == 0 {
        files.genesis()?.first_epoch()
    } else {
        let start = store.metadata(START_DEFINITION).map_err(CliError::new)?;
        start
            .and_then(|bytes| borsh::from_slice(&bytes).ok())
            .ok_or_else(|| CliError::new("the ledger does not say where it begins"))?
    };
    let mut openings = vec![present.opening.clone()];
    loop {
        let block = store.block(present.last_height).map_err(CliError::new)?;
        match block.and_then(|block| block.header.next_epoch) {
            Some(next) => present = next,
            None => return Ok(openings),
        }
        if openings.last() != Some(&present.opening) {
            openings.push(present.opening.clone());
        }
    }
}

/// Writes a root file, for its owner alone as each module's is, or adds to one that is there.
fn add_roots(path: &Path, content: &[u8]) -> Result<()> {
    if !path.exists() {
        return write_private(path, content);
    }
    let there = read_limited(path, MAX_RECORD_BYTES)?;
    let files = [&there[..], content].map(RootFile::decode);
    let mut grants = Vec::new();
    for file in files {
        grants.extend(file.map_err(CliError::new)?.grants().to_vec());
    }
    fs::write(path, RootFile::of(grants).encode()).map_err(doing(path.display()))
}

/// The recovering module does the rest, shut in like any other.
fn recover(key: &Path, record: &KeyRecord, contributions: Vec<Vec<u8>>) -> Result<Vec<u8>> {
    let (mut socket, theirs) = UnixStream::pair().map_err(doing("socket"))?;
    let mut child = Command::new(program("sealbook-execution")?)
        .arg("recover")
        .arg(key)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(doing("cannot start the recovering module"))?;
    let said = session(&mut socket, record, contributions);
    drop(socket);
    let _ = child.wait();
    match said {
        Some(FromModule::Recovered { root_file }) => Ok(root_file),
        Some(FromModule::Refused { reason }) => Err(CliError::new(format!("recovery: {reason}"))),
        _ => Err(CliError::new("the recovering module stopped").hint(format!(
            "is there a module key at `{}`? `sealbook recovery module` makes one",
            key.display()
        ))),
    }
}

fn session(
    socket: &mut UnixStream,
    record: &KeyRecord,
    contributions: Vec<Vec<u8>>,
) -> Option<FromModule> {
    let hear = |socket: &mut UnixStream| frame::read::<FromModule>(socket, MODULE_FRAME_MAX).ok();
    match hear(socket)? {
        FromModule::Ready { .. } => {}
        other => return Some(other),
    }
    let ask = ToModule::Recover {
        record: record.encode(),
        contributions,
    };
    frame::write(socket, &ask, MODULE_FRAME_MAX).ok()?;
    hear(socket)
}

fn read_record(path: &Path) -> Result<KeyRecord> {
    let bytes = read_limited(path, MAX_RECORD_BYTES)?;
    KeyRecord::decode_file(&bytes)
        .map_err(|error| CliError::new(format!("`{}`: {error}", path.display())))
}

fn read_public(path: &Path) -> Result<Vec<u8>> {
    let text = key_files::read_text(path, PUBLIC_BYTES_MAX).map_err(CliError::new)?;
    network::decode_hex(text.trim())
        .filter(|key| !key.is_empty())
        .ok_or_else(|| CliError::new(format!("`{}` holds no public key in hex", path.display())))
}

fn read_limited(path: &Path, most: usize) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_err(doing(path.display()))?.len();
    if size > most as u64 {
        return Err(CliError::new(format!("`{}` is too large", path.display())));
    }
    fs::read(path).map_err(doing(path.display()))
}

/// Writes a file that must not exist yet.
fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = fs::File::create_new(path).map_err(doing(path.display()))?;
    file.write_all(content).map_err(doing(path.display()))
}
