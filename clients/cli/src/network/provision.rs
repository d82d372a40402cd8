//! What a node's folder is made of: key, certificate, module key, configuration. The same for founding nodes and for those
//! that come later.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealbook_authority::Authority;
use sealbook_execution::custody::ModuleKey;
use sealbook_execution::shared_key;
use sealbook_identity::{Role, files};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use serde::Serialize;

use crate::error::{CliError, Exit, Result, doing};
use crate::members;
use crate::network::{NetworkFiles, NodeEntry, program};

/// The record of the first key epoch, in every node's ledger folder. Later ones are in the ledger's store.
pub const FIRST_RECORD: &str = "key-record-0";

/// Makes an audit key in shares: `PATH.1`, `PATH.2` and so on, with the public half in hex in `PATH.pub`.
///
/// # Errors
/// There cannot be such shares, there is a file already, or one cannot be written.
pub fn make_shared_key(path: &Path, threshold: u8, shares: u8) -> Result<Vec<u8>> {
    let (files, public) = shared_key::generate(threshold, shares)
        .map_err(|error| CliError::with_exit(Exit::Usage, error))?;
    let names = (1..=files.len()).map(|number| beside(path, &number.to_string()));
    let names: Vec<PathBuf> = names.collect();
    let public_half = beside(path, "pub");
    refuse_taken(&[&names[..], std::slice::from_ref(&public_half)].concat())?;
    for (name, file) in names.iter().zip(&files) {
        write_private(name, file)?;
    }
    write_public(&public_half, &public)?;
    Ok(public)
}

/// Makes the key of an auditor or of a holder of recovery shares, with the public half in hex beside it.
///
/// # Errors
/// There is a file already, or it cannot be written.
pub fn make_holder_key(path: &Path) -> Result<Vec<u8>> {
    let (secret, public) = ModuleKey::generate();
    let beside = beside(path, "pub");
    refuse_taken(&[path.to_path_buf(), beside.clone()])?;
    write_private(path, &secret)?;
    write_public(&beside, &public)?;
    Ok(public)
}

/// The file whose name has one more ending.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{end}"));
    PathBuf::from(name)
}

fn refuse_taken(paths: &[PathBuf]) -> Result<()> {
    match paths.iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(CliError::new(format!(
            "`{}` exists already",
            path.display()
        ))),
    }
}

/// A public key is never written over: members may have been given it.
fn write_public(path: &Path, public: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = fs::File::create_new(path);
    file.and_then(|mut file| file.write_all(hex.as_bytes()))
        .map_err(doing(format!("`{}`", path.display())))
}

/// File of a module's public key, in hex, beside its secret one.
const MODULE_PUBLIC: &str = "module.pub";

/// Makes a node's key and has it certified by the CA in the network's folder.
///
/// # Errors
/// The folder cannot be written, or the CA refuses.
pub fn make_node(
    network: &NetworkFiles,
    authority: &Authority,
    node: &NodeEntry,
    validity: (u64, u64),
) -> Result<VerifyingKey> {
    let folder = network.node(&node.name);
    make_private_folder(&folder)?;
    fs::create_dir_all(folder.join("ledger")).map_err(doing(folder.display()))?;
    members::make_certified(
        authority,
        &folder,
        &enrolment(&node.name),
        network.name(),
        validity,
    )?;
    vote_key(network, &node.name)
}

/// What a node's certificate says.
pub fn enrolment(node: &str) -> members::Enrolment {
    members::Enrolment {
        name: node.to_owned(),
        organisation: format!("Owner of {node}"),
        role: Role::Node,
        lei: None,
    }
}

/// The key that a node votes with, which is that of its certificate.
///
/// # Errors
/// Its key file is not here.
pub fn vote_key(network: &NetworkFiles, node: &str) -> Result<VerifyingKey> {
    let path = network.node(node).join("key.pem");
    let seed = crate::network::read_key(&path)?;
    Ok(SigningKey::from_secret(&seed).verifying_key())
}

/// The module makes its own key in a folder that only its user may read; the public half lies beside it.
///
/// # Errors
/// The module's program is missing or failed.
pub fn make_module_key(network: &NetworkFiles, node: &str) -> Result<Vec<u8>> {
    let folder = network.module(node);
    make_private_folder(&folder)?;
    let key = folder.join("module.key");
    let public = if other_owner_of(&key)?.is_some() {
        // Root makes it for the module's user, who may not be able to run programs from here.
        let (secret, public) = ModuleKey::generate();
        write_for_owner_of_folder(&key, &secret)?;
        public
    } else {
        keygen(&key)
            .ok_or_else(|| CliError::new(format!("`{node}`: the module could not make its key")))?
    };
    let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    write_for_owner_of_folder(&folder.join(MODULE_PUBLIC), hex.as_bytes())?;
    Ok(public)
}

/// A key file that the module's own program makes; its public half.
fn keygen(path: &Path) -> Option<Vec<u8>> {
    let output = Command::new(program("sealbook-execution").ok()?)
        .arg("keygen")
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let public = decode_hex(String::from_utf8_lossy(&output.stdout).trim())?;
    (output.status.success() && !public.is_empty()).then_some(public)
}

/// What the execution module of a node states about its program, where its key is here.
///
/// # Errors
/// The key, the module's program or the genesis document is not here.
pub fn module_statement(network: &NetworkFiles, node: &str) -> Result<Vec<u8>> {
    let genesis = super::read_genesis(&network.folder().join("genesis"))?;
    let output = Command::new(program("sealbook-execution")?)
        .arg("state")
        .arg(network.module(node).join("module.key"))
        .arg(genesis.network().to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(doing("cannot ask the module for its statement"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match decode_hex(text.trim()) {
        Some(statement) if output.status.success() && !statement.is_empty() => Ok(statement),
        _ => Err(
            CliError::new(format!("`{node}`: its module's key cannot be used here")).hint(
                "where the key is: sealbook-execution state MODULE-KEY NETWORK; then give --module-key and --statement",
            ),
        ),
    }
}

/// The measurement of the module's program here.
///
/// # Errors
/// The program is missing or failed.
pub fn module_measurement() -> Result<Digest> {
    let output = Command::new(program("sealbook-execution")?)
        .arg("measure")
        .stdin(Stdio::null())
        .output()
        .map_err(doing("cannot measure the module"))?;
    Digest::from_hex(String::from_utf8_lossy(&output.stdout).trim())
        .map_err(|_| CliError::new("the module could not measure itself"))
}

/// The bytes of hex digits.
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The public key of a node's execution module, where its folder is here.
///
/// # Errors
/// It is not.
pub fn module_key(network: &NetworkFiles, node: &str) -> Result<Vec<u8>> {
    let path = network.module(node).join(MODULE_PUBLIC);
    let text = files::read_text(&path, 16 * 1024).map_err(CliError::new)?;
    decode_hex(text.trim())
        .ok_or_else(|| CliError::new(format!("`{}` is not a key", path.display())))
}

/// Makes a folder that only its owner may look into.
pub fn make_private_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(doing(path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(doing(path.display()))
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write_new(path, content).map(drop)
}

/// As [`write_private`], for the user whose folder it is: of a module that has a user of its own, that one.
///
/// # Errors
/// There is a file already, it cannot be written, or only root may give it away.
pub fn write_for_owner_of_folder(path: &Path, content: &[u8]) -> Result<()> {
    let file = write_new(path, content)?;
    let Some((user, group)) = other_owner_of(path)? else {
        return Ok(());
    };
    // By the open file: whoever owns the folder could have put another one in its place.
    fchown(&file, Some(user), Some(group)).map_err(|error| {
        CliError::new(format!("`{}`: {error}", path.display()))
            .hint("the folder is another user's: only that one, or root, can put files into it")
    })
}

/// User and group of the folder that a path is in, if that is not who runs this.
fn other_owner_of(path: &Path) -> Result<Option<(u32, u32)>> {
    let Some(folder) = path.parent() else {
        return Ok(None);
    };
    let folder = fs::metadata(folder).map_err(doing(folder.display()))?;
    Ok((folder.uid() != own_user()?).then_some((folder.uid(), folder.gid())))
}

/// The user that runs this.
///
/// # Errors
/// The system does not say.
pub fn own_user() -> Result<u32> {
    let own = fs::metadata("/proc/self").map_err(doing("/proc/self"))?;
    Ok(own.uid())
}

fn write_new(path: &Path, content: &[u8]) -> Result<fs::File> {
    use std::io::Write as _;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(doing(path.display()))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(doing(path.display()))?;
    Ok(file)
}

#[derive(Serialize)]
struct NodeToml<'a> {
    version: u32,
    name: &'a str,
    genesis: &'static str,
    ordering_listen: SocketAddr,
    client_listen: SocketAddr,
    key: &'static str,
    chain: &'static str,
    ledger: &'static str,
    votes: &'static str,
    engine: &'a str,
    relay: Vec<SocketAddr>,
    module: Option<ModuleToml<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ModuleToml<'a> {
    Connect {
        socket: &'a Path,
    },
    Start {
        program: PathBuf,
        key: PathBuf,
        root: PathBuf,
    },
}

/// Writes a node's `node.toml`. The node starts its module itself, or connects to the socket of another user who does.
///
/// # Errors
/// The file system failed, or the module's program is missing.
pub fn write_node_config(
    network: &NetworkFiles,
    node: &NodeEntry,
    engine: &str,
    socket: Option<&Path>,
) -> Result<()> {
    let module = network.module(&node.name);
    let validators = network.nodes().iter().filter(|other| !other.observer);
    let toml = NodeToml {
        version: 1,
        name: &node.name,
        genesis: "ledger/genesis",
        ordering_listen: node.ordering,
        client_listen: node.clients,
        key: "key.pem",
        chain: "chain.pem",
        ledger: "ledger",
        votes: "votes",
        engine,
        // What a node without a module cannot answer itself it asks validators.
        relay: if node.executes() {
            Vec::new()
        } else {
            validators.map(|other| other.clients).collect()
        },
        module: node
            .executes()
            .then(|| match socket {
                Some(socket) => Ok::<_, CliError>(ModuleToml::Connect { socket }),
                None => Ok(ModuleToml::Start {
                    program: program("sealbook-execution")?,
                    key: module.join("module.key"),
                    root: network.root_file(&node.name),
                }),
            })
            .transpose()?,
    };
    let text = toml::to_string(&toml).map_err(doing("node.toml"))?;
    fs::write(network.node(&node.name).join("node.toml"), text).map_err(doing("node.toml"))
}

/// Has a founding validator's vote log made, without which it does not vote before the second committee epoch.
///
/// # Errors
/// The node's program is missing or failed.
pub fn found_votes(network: &NetworkFiles, node: &str) -> Result<()> {
    let output = Command::new(program("sealbook-node")?)
        .arg("--found-votes")
        .arg(network.node(node))
        .stdin(Stdio::null())
        .output()
        .map_err(doing("cannot make a vote log"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("error: ");
    Err(CliError::new(format!("`{node}`: no vote log: {said}")))
}
