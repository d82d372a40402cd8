//! The configurations of a network's nodes, read and changed between `sealbook network create` and the start.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealbook_identity::files;
use sealbook_primitives::signature::SigningKey;
use toml::{Table, Value};

/// Names of all nodes.
///
/// # Panics
/// The folder cannot be read.
#[must_use]
pub fn node_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("node-"))
        .collect();
    // By number: node-10 comes after node-9.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

fn read(path: &Path) -> Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn write(path: &Path, table: &Table) {
    fs::write(path, toml::to_string(table).unwrap()).unwrap();
}

fn node_toml(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("node.toml")
}

fn address(table: &Table, field: &str) -> SocketAddr {
    table[field].as_str().unwrap().parse().unwrap()
}

/// Where a node listens for other nodes.
///
/// # Panics
/// Its configuration cannot be read.
#[must_use]
pub fn ordering_address(folder: &Path, name: &str) -> SocketAddr {
    address(&read(&node_toml(folder, name)), "ordering_listen")
}

/// Where a node listens for clients.
///
/// # Panics
/// Its configuration cannot be read.
#[must_use]
pub fn client_address(folder: &Path, name: &str) -> SocketAddr {
    address(&read(&node_toml(folder, name)), "client_listen")
}

/// Whether a node only observes: it has no execution module of its own.
///
/// # Panics
/// Its configuration cannot be read.
#[must_use]
pub fn is_observer(folder: &Path, name: &str) -> bool {
    !read(&node_toml(folder, name)).contains_key("module")
}

/// Lets a node connect to a socket for its module instead of starting one.
///
/// # Panics
/// Its configuration cannot be changed.
pub fn set_module_socket(folder: &Path, name: &str, socket: &Path) {
    let path = node_toml(folder, name);
    let mut table = read(&path);
    let mut module = Table::new();
    module.insert("socket".to_owned(), Value::from(socket.to_str().unwrap()));
    table.insert("module".to_owned(), Value::Table(module));
    write(&path, &table);
}

/// Lets a node start another program as its module.
///
/// # Panics
/// Its configuration cannot be changed.
pub fn set_module_program(folder: &Path, name: &str, program: &Path) {
    let path = node_toml(folder, name);
    let mut table = read(&path);
    table["module"]["program"] = Value::from(program.to_str().unwrap());
    write(&path, &table);
}

/// Where a node looks for others, if elsewhere than the ledger says.
///
/// # Panics
/// Its configuration cannot be read.
#[must_use]
pub fn peer_addresses(folder: &Path, name: &str) -> BTreeMap<String, SocketAddr> {
    let table = read(&node_toml(folder, name));
    let peers = table["peers"].as_array().unwrap();
    peers
        .iter()
        .map(|peer| {
            let peer = peer.as_table().unwrap();
            let name = peer["name"].as_str().unwrap().to_owned();
            (name, address(peer, "address"))
        })
        .collect()
}

/// Tells a node where it finds others; those that are not named stay where they were.
///
/// # Panics
/// Its configuration cannot be changed.
pub fn set_peer_addresses(folder: &Path, name: &str, addresses: &BTreeMap<String, SocketAddr>) {
    let path = node_toml(folder, name);
    let mut table = read(&path);
    let peers = table
        .entry("peers")
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .unwrap();
    for (other, address) in addresses {
        let address = Value::from(address.to_string());
        let known = |peer: &&mut Value| peer["name"].as_str() == Some(other);
        if let Some(peer) = peers.iter_mut().find(known) {
            peer["address"] = address;
            continue;
        }
        let mut peer = Table::new();
        peer.insert("name".to_owned(), Value::from(other.as_str()));
        peer.insert("vote_key".to_owned(), Value::from(vote_key(folder, other)));
        peer.insert("address".to_owned(), address);
        peers.push(Value::Table(peer));
    }
    write(&path, &table);
}

/// The key that a node votes with, in hex.
fn vote_key(folder: &Path, name: &str) -> String {
    let seed = files::read_private_key(&folder.join(name).join("key.pem")).unwrap();
    SigningKey::from_secret(&seed).verifying_key().to_string()
}
