//! A node's configuration, `node.toml` in the node's folder. Relative paths are relative to that folder.
//!
//! ```toml
//! version = 1
//! name = "node-1"
//! genesis = "ledger/genesis"
//! ordering_listen = "127.0.0.1:40001"
//! client_listen = "127.0.0.1:40002"
//! key = "node.key.pem"
//! chain = "node.chain.pem"
//! ledger = "ledger"              # final blocks, certificates, attachments, snapshots: all of it ciphertext
//! votes = "votes"                # the engine's vote log; not part of a backup
//! evidence = "evidence"          # what must not happen and was seen; may be left out
//! engine = "sled"                # what keeps the ledger on disk: sled or redb; may be left out
//! relay = ["127.0.0.1:40012"]    # client services of validators, on a node without a module: what it cannot answer
//!                                # itself it asks there; may be left out
//!
//! [module]                       # absent on an observer
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
    /// The node's private key, PKCS#8 PEM.
    pub key: PathBuf,
    /// The node's certificate chain, PEM, leaf first.
    pub chain: PathBuf,
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

/// How to start the execution module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleConfig {
    /// The binary `sealbook-execution`.
    pub program: PathBuf,
    /// The module's own key; the host passes the path on and never opens it.
    pub key: PathBuf,
    /// The wrapped root; likewise.
    pub root: PathBuf,
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
        if let Some(module) = &mut config.module {
            for path in [&mut module.program, &mut module.key, &mut module.root] {
                *path = folder.join(&*path);
            }
        }
        Ok(config)
    }
}
