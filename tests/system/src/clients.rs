//! Members' clients, straight from the SDK.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sealbook_identity::files;
use sealbook_ledger::Genesis;
use sealbook_sdk::{Client, Identity, Network, NodeAddress, Prepared};
use sealbook_securities::{Asset, ClientReference, Instruction};

use crate::TestNetwork;

impl TestNetwork {
    /// The network as a client knows it.
    ///
    /// # Panics
    /// Its files cannot be read.
    #[must_use]
    pub fn as_clients_know_it(&self) -> Arc<Network> {
        let genesis = Genesis::decode(&std::fs::read(self.folder().join("genesis")).unwrap());
        let nodes = self
            .node_names()
            .into_iter()
            .map(|name| {
                let text =
                    std::fs::read_to_string(self.folder().join(&name).join("node.toml")).unwrap();
                let value = |field: &str| {
                    let line = text
                        .lines()
                        .find_map(|line| line.strip_prefix(field))
                        .unwrap();
                    line.trim_start_matches(" = ").trim_matches('"').to_owned()
                };
                let address: SocketAddr = value("client_listen").parse().unwrap();
                NodeAddress {
                    name,
                    address,
                    observer: value("observer") == "true",
                }
            })
            .collect();
        Arc::new(Network::new(genesis.unwrap(), nodes).unwrap())
    }

    /// A client of a member whose keys are in the network's folder, which begins with the node at `preferred`.
    ///
    /// # Panics
    /// The keys cannot be used.
    #[must_use]
    pub fn client(&self, member: &str, preferred: usize) -> Client {
        self.client_from(&self.folder().join("members").join(member), preferred)
    }

    /// A client with the `key.pem` and `chain.pem` of any folder.
    ///
    /// # Panics
    /// The keys cannot be used.
    #[must_use]
    pub fn client_from(&self, folder: &Path, preferred: usize) -> Client {
        let seed = files::read_private_key(&folder.join("key.pem")).unwrap();
        let chain = files::read_chain(&folder.join("chain.pem")).unwrap();
        let identity = Identity::new(&seed, chain).unwrap();
        Client::new(self.as_clients_know_it(), identity, preferred).unwrap()
    }
}

/// A transfer of units under a reference.
///
/// # Panics
/// A value is not of its form.
#[must_use]
pub fn transfer(reference: &str, isin: &str, quantity: u64, from: &str, to: &str) -> Prepared {
    let asset = Asset::Security {
        isin: isin.parse().unwrap(),
        quantity: quantity.to_string().parse().unwrap(),
    };
    let instruction = Instruction::Transfer {
        asset,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    };
    Prepared::instruction(Some(ClientReference::new(reference).unwrap()), instruction).unwrap()
}
