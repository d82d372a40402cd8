//! The files of a network's folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealbook_identity::files;
use sealbook_ledger::{Genesis, MAX_GENESIS_BYTES};
use sealbook_primitives::secret::Secret32;
use sealbook_sdk::{Client, Identity, Network, NodeAddress};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Exit, Result, doing};

/// `network.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkToml {
    version: u32,
    name: String,
    nodes: Vec<NodeEntry>,
}

/// One node of the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Name, also of its folder.
    pub name: String,
    /// Where nodes connect.
    pub ordering: SocketAddr,
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Whether it only observes.
    pub observer: bool,
    /// Whether it has an execution module although it only observes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_module: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl NodeEntry {
    /// Whether the node has an execution module.
    pub const fn executes(&self) -> bool {
        !self.observer || self.own_module
    }
}

/// The folder of a network.
#[derive(Debug, Clone)]
pub struct NetworkFiles {
    folder: PathBuf,
    name: String,
    nodes: Vec<NodeEntry>,
}

impl NetworkFiles {
    /// The files of a network that is being made.
    pub fn new(folder: &Path, name: &str, nodes: Vec<NodeEntry>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            name: name.to_owned(),
            nodes,
        }
    }

    /// Opens the folder of a network.
    ///
    /// # Errors
    /// There is no network in it.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("network.toml");
        let text = files::read_text(&path, 1024 * 1024).map_err(|error| {
            CliError::new(format!("no network in `{}`: {error}", folder.display()))
                .hint("make one with `sealbook network create DIR`, or name its folder with --network DIR")
        })?;
        let toml: NetworkToml = toml::from_str(&text)
            .map_err(|error| CliError::new(format!("`{}`: {error}", path.display())))?;
        if toml.version != 1 {
            return Err(CliError::new(format!(
                "`{}` has version {}, which this program does not know",
                path.display(),
                toml.version
            )));
        }
        let folder = folder.canonicalize().map_err(doing("network folder"))?;
        Ok(Self {
            folder,
            name: toml.name,
            nodes: toml.nodes,
        })
    }

    /// Writes `network.toml`.
    ///
    /// # Errors
    /// The file system failed.
    pub fn save(&self) -> Result<()> {
        let toml = NetworkToml {
            version: 1,
            name: self.name.clone(),
            nodes: self.nodes.clone(),
        };
        let text = toml::to_string(&toml).map_err(doing("network.toml"))?;
        std::fs::write(self.folder.join("network.toml"), text).map_err(doing("network.toml"))
    }

    /// The network's name in certificates.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a node to the list.
    pub fn add(&mut self, node: NodeEntry) {
        self.nodes.push(node);
    }

    /// The node of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn entry(&self, name: &str) -> Result<&NodeEntry> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.ok_or_else(|| {
            let all: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            CliError::with_exit(Exit::Usage, format!("no node `{name}`"))
                .hint(format!("the nodes are {}", all.join(", ")))
        })
    }

    /// The nodes.
    pub fn nodes(&self) -> &[NodeEntry] {
        &self.nodes
    }

    /// The folder of the CA.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// The folder of a node.
    pub fn node(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of a node's execution module.
    pub fn module(&self, name: &str) -> PathBuf {
        self.folder.join("modules").join(name)
    }

    /// The root of the network, sealed to a node's execution module.
    pub fn root_file(&self, name: &str) -> PathBuf {
        self.module(name).join("root-0")
    }

    /// The folder of a member.
    pub fn member(&self, name: &str) -> PathBuf {
        self.folder.join("members").join(name)
    }

    /// The process id file of a node.
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.folder.join("run").join(format!("{name}.pid"))
    }

    /// The genesis document.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn genesis(&self) -> Result<Genesis> {
        read_genesis(&self.folder.join("genesis"))
    }

    /// The network as a client knows it.
    ///
    /// # Errors
    /// The genesis document is missing or damaged.
    pub fn network(&self) -> Result<Arc<Network>> {
        let nodes = self
            .nodes
            .iter()
            .map(|node| NodeAddress {
                name: node.name.clone(),
                address: node.clients,
                observer: !node.executes(),
            })
            .collect();
        Ok(Arc::new(
            Network::new(self.genesis()?, nodes).map_err(CliError::new)?,
        ))
    }

    /// A client of a member whose key is in this folder.
    ///
    /// # Errors
    /// There is no such member here, or its files cannot be used.
    pub fn client(&self, network: &Arc<Network>, member: &str, preferred: usize) -> Result<Client> {
        let folder = self.member(member);
        let known = sealbook_identity::check_short_name(member).is_ok() && folder.is_dir();
        if !known {
            return Err(CliError::new(format!("no keys of `{member}` in this network's folder"))
                .hint("`sealbook member list` shows whose keys are here; `sealbook member enrol` makes new ones"));
        }
        let seed = read_key(&folder.join("key.pem"))?;
        let chain = files::read_chain(&folder.join("chain.pem")).map_err(CliError::new)?;
        let identity = Identity::new(&seed, chain).map_err(CliError::new)?;
        Client::new(Arc::clone(network), identity, preferred).map_err(CliError::new)
    }
}

/// Reads a private key.
///
/// # Errors
/// There is none, others may read it, or it is encrypted and no passphrase opens it.
pub fn read_key(path: &Path) -> Result<Secret32> {
    files::read_private_key(path).map_err(|error| CliError::new(&error).hint(error.hint()))
}

/// Reads a genesis document.
///
/// # Errors
/// The file is missing, too large or damaged.
pub fn read_genesis(path: &Path) -> Result<Genesis> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(doing(format!("`{shown}`")))?
        .len();
    if size > MAX_GENESIS_BYTES as u64 {
        return Err(CliError::new(format!(
            "`{shown}` is too large for a genesis document"
        )));
    }
    let bytes = std::fs::read(path).map_err(doing(format!("`{shown}`")))?;
    Genesis::decode(&bytes).map_err(doing(format!("`{shown}`")))
}
