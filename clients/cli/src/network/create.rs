//! Making a network: CA, node certificates, module keys, the founding of the first key epoch, genesis.
//!
//! Everything is made the way that separate owners would make it: each key where it will be used, certificates by
//! signing request, the root by an execution module that is locked down and hands it out only sealed.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealbook_authority::Authority;
use sealbook_execution::custody::ModuleKey;
use sealbook_identity::{Role, files};
use sealbook_ledger::{Genesis, OpeningEpoch, Parameters, PolicyText, ValidatorSeat};
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use serde::Serialize;

use crate::error::{CliError, Result, doing};
use crate::members;
use crate::network::{NetworkFiles, NodeEntry, program};

/// What to make.
pub struct Creation {
    /// How many validators.
    pub validators: usize,
    /// How many observers.
    pub observers: usize,
    /// The network's name; made up if there is none.
    pub name: Option<String>,
    /// A folder with Cedar policies instead of the usual ones.
    pub policies: Option<PathBuf>,
}

/// Makes a network in `folder`, which must be empty or not exist.
///
/// # Errors
/// The folder is in use, or something could not be made.
pub fn create(folder: &Path, creation: &Creation) -> Result<NetworkFiles> {
    if creation.validators == 0 || creation.validators + creation.observers > 16 {
        return Err(CliError::new(
            "a network here has 1 to 16 nodes, one validator at least",
        ));
    }
    fs::create_dir_all(folder).map_err(doing(folder.display()))?;
    let mut entries = fs::read_dir(folder).map_err(doing(folder.display()))?;
    if entries.next().is_some() {
        return Err(
            CliError::new(format!("`{}` is not empty", folder.display()))
                .hint("name a new folder, or remove this one if nothing in it is needed"),
        );
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(doing(folder.display()))?;
    let folder = folder.canonicalize().map_err(doing(folder.display()))?;
    let name = creation.name.clone().unwrap_or_else(made_up_name);
    let nodes = node_entries(creation)?;
    let network = NetworkFiles::new(&folder, &name, nodes);
    let now_ms = members::now_ms();
    let authority = Authority::create(&network.ca(), &name, now_ms).map_err(CliError::new)?;
    let mut seats = Vec::new();
    for node in network.nodes() {
        let vote_key = make_node(&network, &authority, node, now_ms)?;
        if !node.observer {
            let module_key = make_module_key(&network, &node.name)?;
            seats.push(ValidatorSeat {
                name: node.name.clone(),
                vote_key,
                module_key,
            });
        }
    }
    let admin = members::make_certified(
        &authority,
        &network.member("admin"),
        &members::Enrolment {
            name: "admin".to_owned(),
            organisation: format!("Operator of {name}"),
            role: Role::Admin,
            lei: None,
        },
        &name,
        now_ms,
    )?;
    let (audit_secret, audit_public) = ModuleKey::generate();
    write_private(&folder.join("audit.key"), &audit_secret)?;
    let (policy_schema, policies) = policies(creation.policies.as_deref())?;
    let genesis = Genesis {
        version: Genesis::VERSION,
        network_name: name,
        created_ms: now_ms,
        certificate_roots: vec![authority.root().to_vec()],
        validators: seats,
        opening_epochs: Vec::new(),
        audit_recipients: vec![audit_public],
        admins: vec![admin],
        policy_schema,
        policies,
        parameters: Parameters::default(),
    };
    found(&network, genesis)?;
    let vote_keys = read_vote_keys(&network)?;
    for node in network.nodes() {
        write_node_config(&network, node, &vote_keys)?;
    }
    network.save()?;
    Ok(network)
}

fn made_up_name() -> String {
    let mut bytes = [0; 4];
    sealbook_primitives::random::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("local-{hex}")
}

/// Addresses on loopback that are free now.
fn node_entries(creation: &Creation) -> Result<Vec<NodeEntry>> {
    let total = creation.validators + creation.observers;
    // All listeners stay open until all ports are known, so that no port comes twice.
    let listeners = (0..total * 2)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(doing("no free port"))?;
    let addresses = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<std::io::Result<Vec<SocketAddr>>>()
        .map_err(doing("no free port"))?;
    let pairs = addresses.chunks_exact(2).enumerate();
    Ok(pairs
        .filter_map(|(index, pair)| {
            let [ordering, clients] = pair else {
                return None;
            };
            Some(NodeEntry {
                name: format!("node-{}", index + 1),
                ordering: *ordering,
                clients: *clients,
                observer: index >= creation.validators,
            })
        })
        .collect())
}

fn make_node(
    network: &NetworkFiles,
    authority: &Authority,
    node: &NodeEntry,
    now_ms: u64,
) -> Result<VerifyingKey> {
    let folder = network.node(&node.name);
    fs::create_dir_all(folder.join("ledger")).map_err(doing(folder.display()))?;
    let enrolment = members::Enrolment {
        name: node.name.clone(),
        organisation: format!("Owner of {}", node.name),
        role: Role::Node,
        lei: None,
    };
    members::make_certified(authority, &folder, &enrolment, network.name(), now_ms)?;
    let seed = files::read_private_key(&folder.join("key.pem")).map_err(CliError::new)?;
    Ok(SigningKey::from_secret(&seed).verifying_key())
}

/// The module makes its own key in a folder that only its user may read.
fn make_module_key(network: &NetworkFiles, node: &str) -> Result<Vec<u8>> {
    let folder = network.module(node);
    fs::create_dir_all(&folder).map_err(doing(folder.display()))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .map_err(doing(folder.display()))?;
    let output = Command::new(program("sealbook-execution")?)
        .arg("keygen")
        .arg(folder.join("module.key"))
        .stdin(Stdio::null())
        .output()
        .map_err(doing("cannot make a module key"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let public = decode_hex(text.trim());
    match public {
        Some(public) if output.status.success() && !public.is_empty() => Ok(public),
        _ => Err(CliError::new(format!(
            "`{node}`: the module could not make its key"
        ))),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn policies(folder: Option<&Path>) -> Result<(String, Vec<PolicyText>)> {
    let Some(folder) = folder else {
        let files = sealbook_policies::DEFAULT_FILES
            .iter()
            .map(|(name, text)| PolicyText {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        return Ok((sealbook_policies::DEFAULT_SCHEMA.to_owned(), files));
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(doing(folder.display()))? {
        let path = entry.map_err(doing(folder.display()))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cedar")
        {
            let text = files::read_text(&path, 64 * 1024).map_err(CliError::new)?;
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            found.push(PolicyText { name, text });
        }
    }
    found.sort_by(|left, right| left.name.cmp(&right.name));
    let schema = folder.join("schema.cedarschema");
    let schema = files::read_text(&schema, 64 * 1024).map_err(CliError::new)?;
    let texts: Vec<(&str, &str)> = found
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_str()))
        .collect();
    sealbook_policies::PolicySet::load(&schema, &texts).map_err(CliError::new)?;
    Ok((schema, found))
}

/// A module founds the first key epoch: its root leaves it only sealed to the modules and the auditor of genesis.
fn found(network: &NetworkFiles, mut genesis: Genesis) -> Result<()> {
    let (mut socket, theirs) = UnixStream::pair().map_err(doing("socket"))?;
    let mut child = Command::new(program("sealbook-execution")?)
        .arg("found")
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(doing("cannot start the founding module"))?;
    let founded = founding_session(&mut socket, &mut genesis);
    drop(socket);
    let _ = child.wait();
    let (wrapped_roots, audit_bundles) = founded?;
    let bytes = genesis.encode();
    fs::write(network.folder().join("genesis"), &bytes).map_err(doing("genesis"))?;
    for node in network.nodes() {
        let ledger = network.node(&node.name).join("ledger");
        fs::write(ledger.join("genesis"), &bytes).map_err(doing("genesis"))?;
        for (index, bundle) in audit_bundles.iter().enumerate() {
            let path = ledger.join(format!("audit-bundle-0-{index}"));
            fs::write(path, bundle).map_err(doing("audit bundle"))?;
        }
    }
    for (seat, root) in genesis.validators.iter().zip(&wrapped_roots) {
        write_private(&network.module(&seat.name).join("root-0"), root)?;
    }
    Ok(())
}

type Bound = (Vec<Vec<u8>>, Vec<Vec<u8>>);

fn founding_session(socket: &mut UnixStream, genesis: &mut Genesis) -> Result<Bound> {
    let broken = || {
        CliError::new("the founding module stopped; it could not lock itself down")
            .hint("the kernel must allow seccomp filters to ordinary processes")
    };
    let hear = |socket: &mut UnixStream| {
        frame::read::<FromModule>(socket, MODULE_FRAME_MAX).map_err(|_| broken())
    };
    let FromModule::Ready { .. } = hear(socket)? else {
        return Err(broken());
    };
    frame::write(socket, &ToModule::Found, MODULE_FRAME_MAX).map_err(|_| broken())?;
    let FromModule::Founded { opening_key } = hear(socket)? else {
        return Err(broken());
    };
    genesis.opening_epochs = vec![OpeningEpoch {
        key_epoch: 0,
        public_key: opening_key,
    }];
    let bind = ToModule::Bind {
        genesis: genesis.encode(),
    };
    frame::write(socket, &bind, MODULE_FRAME_MAX).map_err(|_| broken())?;
    match hear(socket)? {
        FromModule::Bound {
            wrapped_roots,
            audit_bundles,
        } => Ok((wrapped_roots, audit_bundles)),
        FromModule::Refused { reason } => Err(CliError::new(format!("founding: {reason}"))),
        _ => Err(broken()),
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(doing(path.display()))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(doing(path.display()))
}

fn read_vote_keys(network: &NetworkFiles) -> Result<Vec<String>> {
    network
        .nodes()
        .iter()
        .map(|node| {
            let path = network.node(&node.name).join("key.pem");
            let seed = files::read_private_key(&path).map_err(CliError::new)?;
            Ok(SigningKey::from_secret(&seed).verifying_key().to_string())
        })
        .collect()
}

#[derive(Serialize)]
struct NodeToml<'a> {
    version: u32,
    name: &'a str,
    observer: bool,
    genesis: &'static str,
    ordering_listen: SocketAddr,
    client_listen: SocketAddr,
    key: &'static str,
    chain: &'static str,
    ledger: &'static str,
    votes: &'static str,
    module: Option<ModuleToml>,
    peers: Vec<PeerToml<'a>>,
}

#[derive(Serialize)]
struct ModuleToml {
    program: PathBuf,
    key: PathBuf,
    root: PathBuf,
}

#[derive(Serialize)]
struct PeerToml<'a> {
    name: &'a str,
    vote_key: &'a str,
    address: SocketAddr,
    observer: bool,
}

fn write_node_config(network: &NetworkFiles, node: &NodeEntry, vote_keys: &[String]) -> Result<()> {
    let module = network.module(&node.name);
    let peers = network.nodes().iter().zip(vote_keys);
    let toml = NodeToml {
        version: 1,
        name: &node.name,
        observer: node.observer,
        genesis: "ledger/genesis",
        ordering_listen: node.ordering,
        client_listen: node.clients,
        key: "key.pem",
        chain: "chain.pem",
        ledger: "ledger",
        votes: "votes",
        module: (!node.observer)
            .then(|| {
                Ok::<_, CliError>(ModuleToml {
                    program: program("sealbook-execution")?,
                    key: module.join("module.key"),
                    root: module.join("root-0"),
                })
            })
            .transpose()?,
        peers: peers
            .map(|(peer, vote_key)| PeerToml {
                name: &peer.name,
                vote_key,
                address: peer.ordering,
                observer: peer.observer,
            })
            .collect(),
    };
    let text = toml::to_string(&toml).map_err(doing("node.toml"))?;
    fs::write(network.node(&node.name).join("node.toml"), text).map_err(doing("node.toml"))
}
