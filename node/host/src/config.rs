//! A node's configuration, `node.toml` in the node's folder. Relative paths are relative to that folder.
//!
//! ```toml
//! version = 1
//! name = "node-1"
//! genesis = "ledger/genesis"
//! ordering_listen = "127.0.0.1:40001"
//! client_listen = "127.0.0.1:40002"
//! metrics_listen = "127.0.0.1:40003"  # where Prometheus asks how the node is; may be left out
//! key = "node.key.pem"
//! chain = "node.chain.pem"
//! revocation_lists = ["firm.crl"]  # whose certificates count no more (`sealbook ca crl`), read again every minute; files
//!                                # that must be there at the start. May be left out: then nobody is held against any
//! ledger = "ledger"              # final blocks, certificates, attachments, snapshots: all of it ciphertext
//! votes = "votes"                # the engine's vote log; not part of a backup
//! evidence = "evidence"          # what must not happen and was seen; may be left out
//! engine = "sled"                # what keeps the ledger on disk: sled or redb; may be left out
//! relay = ["127.0.0.1:40012"]    # client services of validators, on a node without a module: what it cannot answer
//!                                # itself it asks there; may be left out
//!
//! [module]                       # absent on an observer
//! socket = "/run/sealbook-module/socket"  # where the module's own user starts modules: `sealbook-execution attend`; or
//!                                # instead, for a module of the node's user, which the node starts:
//! program = "/usr/lib/sealbook/sealbook-execution"
//! key = "../modules/node-1/module.key"
//! root = "../modules/node-1/root-0"
//!
//! [[peers]]                      # only where a node listens elsewhere than the ledger says; may be left out
//! name = "node-1"
//! vote_key = "..."               # hex
//! address = "127.0.0.1:40001"
//! ```
//!
//! Who validates and who observes stands on the ledger, not here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {error}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        error: String,
    },
    /// The file is not a configuration.
    #[error("`{path}` is not a node configuration: {error}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong.
        error: String,
    },
}

/// A node's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Format version, 1.
    pub version: u32,
    /// The node's name.
    pub name: String,
    /// The genesis document.
    pub genesis: PathBuf,
    /// Where other nodes connect.
    pub ordering_listen: SocketAddr,
    /// Where clients connect.
    pub client_listen: SocketAddr,
    /// Where Prometheus asks for measurements; nowhere if it is left out.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// The node's private key, PKCS#8 PEM.
    pub key: PathBuf,
    /// The node's certificate chain, PEM, leaf first.
    pub chain: PathBuf,
    /// Files with the authorities' revocation lists; without any, nobody is held against one.
    #[serde(default)]
    pub revocation_lists: Vec<PathBuf>,
    /// Folder of the ledger.
    pub ledger: PathBuf,
    /// Folder of the engine's vote log.
    pub votes: PathBuf,
    /// Folder of evidence.
    #[serde(default = "evidence")]
    pub evidence: PathBuf,
    /// What keeps the ledger on disk.
    #[serde(default = "engine")]
    pub engine: String,
    /// Client services of validators that a node without a module asks.
    #[serde(default)]
    pub relay: Vec<SocketAddr>,
    /// The execution module; an observer has none.
    pub module: Option<ModuleConfig>,
    /// Where nodes listen, if elsewhere than the ledger says.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
}

fn evidence() -> PathBuf {
    PathBuf::from("evidence")
}

fn engine() -> String {
    "sled".to_owned()
}

/// How to come by the execution module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ModuleToml")]
pub enum ModuleConfig {
    /// The node starts it, as its own user.
    Start {
        /// The binary `sealbook-execution`.
        program: PathBuf,
        /// The module's own key; the host passes the path on and never opens it.
        key: PathBuf,
        /// The wrapped root; likewise.
        root: PathBuf,
    },
    /// An attendant starts it, as another user, for each connection to this socket.
    Connect {
        /// Where the attendant listens.
        socket: PathBuf,
    },
}

/// The section `[module]` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleToml {
    socket: Option<PathBuf>,
    program: Option<PathBuf>,
    key: Option<PathBuf>,
    root: Option<PathBuf>,
}

impl TryFrom<ModuleToml> for ModuleConfig {
    type Error = &'static str;

    fn try_from(toml: ModuleToml) -> Result<Self, Self::Error> {
        match (toml.socket, toml.program, toml.key, toml.root) {
            (Some(socket), None, None, None) => Ok(Self::Connect { socket }),
            (None, Some(program), Some(key), Some(root)) => Ok(Self::Start { program, key, root }),
            _ => Err("[module] has either `socket`, or `program`, `key` and `root`"),
        }
    }
}

/// Another node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// Its vote key in hex.
    pub vote_key: String,
    /// Where it listens for nodes.
    pub address: SocketAddr,
}

impl NodeConfig {
    /// Reads `node.toml` in `folder` and resolves its paths.
    ///
    /// # Errors
    /// The file cannot be read or is not a configuration of version 1.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("node.toml");
        let shown = path.display().to_string();
        let unreadable = |error: String| ConfigError::Unreadable {
            path: shown.clone(),
            error,
        };
        let size = std::fs::metadata(&path)
            .map_err(|error| unreadable(error.to_string()))?
            .len();
        if size > CONFIG_BYTES_MAX {
            return Err(unreadable("larger than 1 MiB".to_owned()));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        let malformed = |error: String| ConfigError::Malformed {
            path: shown.clone(),
            error,
        };
        let mut config: Self =
            toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if config.version != 1 {
            return Err(malformed(format!(
                "version {} is not known",
                config.version
            )));
        }
        if config.module.is_some() && !config.relay.is_empty() {
            return Err(malformed(
                "a node with a [module] asks no other; leave `relay` out".to_owned(),
            ));
        }
        for path in [
            &mut config.genesis,
            &mut config.key,
            &mut config.chain,
            &mut config.ledger,
            &mut config.votes,
            &mut config.evidence,
        ] {
            *path = folder.join(&*path);
        }
        for path in &mut config.revocation_lists {
            *path = folder.join(&*path);
        }
        let module = match &mut config.module {
            Some(ModuleConfig::Start { program, key, root }) => vec![program, key, root],
            Some(ModuleConfig::Connect { socket }) => vec![socket],
            None => Vec::new(),
        };
        for path in module {
            *path = folder.join(&*path);
        }
        Ok(config)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(module: &str) -> Result<NodeConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "version = 1\nname = \"n\"\ngenesis = \"g\"\nordering_listen = \"127.0.0.1:1\"\n\
             client_listen = \"127.0.0.1:2\"\nkey = \"k\"\nchain = \"c\"\nledger = \"l\"\nvotes = \"v\"\n{module}"
        );
        std::fs::write(folder.path().join("node.toml"), text).unwrap();
        NodeConfig::read(folder.path())
    }

    #[test]
    fn a_module_is_started_or_connected_to_and_not_both() {
        let (socket, three) = (
            "socket = \"s\"\n",
            "program = \"p\"\nkey = \"k\"\nroot = \"r\"\n",
        );
        let section = |text: &str| format!("[module]\n{text}");
        match read(&section(socket)).unwrap().module.unwrap() {
            ModuleConfig::Connect { socket } => {
                assert!(socket.is_absolute() && socket.ends_with("s"));
            }
            other => panic!("{other:?}"),
        }
        let started = read(&section(three)).unwrap().module.unwrap();
        assert!(matches!(started, ModuleConfig::Start { .. }));
        assert_eq!(read("").unwrap().module, None);
        for wrong in [
            String::new(),
            format!("{socket}{three}"),
            format!("{socket}key = \"k\"\n"),
            "program = \"p\"\nkey = \"k\"\n".to_owned(),
        ] {
            let error = read(&section(&wrong)).unwrap_err().to_string();
            assert!(error.contains("either `socket`, or `program`"), "{error}");
        }
        let error = read(&section("socket = \"s\"\nport = 1\n")).unwrap_err();
        assert!(error.to_string().contains("port"), "{error}");
    }
}
