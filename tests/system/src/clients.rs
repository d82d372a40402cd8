//! Members' clients, straight from the SDK.

use std::path::Path;
use std::sync::Arc;

use sealbook_identity::files;
use sealbook_ledger::{Block, Genesis, MAX_BLOCK_BYTES};
use sealbook_sdk::{Client, Identity, Network, NodeAddress, Prepared};
use sealbook_securities::{Asset, ClientReference, Instruction};

use crate::{TestNetwork, configuration};

impl TestNetwork {
    /// The network as a client knows it.
    ///
    /// # Panics
    /// Its files cannot be read.
    #[must_use]
    pub fn as_clients_know_it(&self) -> Arc<Network> {
        self.known_nodes(|_| true)
    }

    fn known_nodes(&self, wanted: impl Fn(&str) -> bool) -> Arc<Network> {
        let genesis = Genesis::decode(&std::fs::read(self.folder().join("genesis")).unwrap());
        let address_of = |name: String| NodeAddress {
            address: configuration::client_address(self.folder(), &name),
            observer: configuration::is_observer(self.folder(), &name),
            name,
        };
        let nodes = self.node_names().into_iter().filter(|name| wanted(name));
        let nodes = nodes.map(address_of).collect();
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

    /// A client of a member that knows of these nodes only.
    ///
    /// # Panics
    /// The keys cannot be used.
    #[must_use]
    pub fn client_of(&self, member: &str, nodes: &[&str]) -> Client {
        let network = self.known_nodes(|name| nodes.contains(&name));
        let identity = identity(&self.folder().join("members").join(member));
        Client::new(network, identity, 0).unwrap()
    }

    /// A client with the `key.pem` and `chain.pem` of any folder.
    ///
    /// # Panics
    /// The keys cannot be used.
    #[must_use]
    pub fn client_from(&self, folder: &Path, preferred: usize) -> Client {
        Client::new(self.as_clients_know_it(), identity(folder), preferred).unwrap()
    }

    /// All final blocks that a node serves, in order, from the one after genesis on.
    ///
    /// # Panics
    /// The node does not answer, or what it serves are no blocks.
    #[must_use]
    pub fn blocks_of(&self, node: &str) -> Vec<Block> {
        let mut client = self.client_of("admin", &[node]);
        let mut blocks: Vec<Block> = Vec::new();
        loop {
            let more = client.blocks(blocks.len() as u64 + 1, 500).unwrap();
            if more.is_empty() {
                return blocks;
            }
            for one in more {
                let block = Block::decode(&one.block, MAX_BLOCK_BYTES).unwrap();
                assert_eq!(block.height(), blocks.len() as u64 + 1, "a gap");
                blocks.push(block);
            }
        }
    }

    /// Checks that all these nodes have the same blocks in the same order, as far as each has got; returns them.
    ///
    /// # Panics
    /// They have not.
    pub fn one_order(&self, nodes: &[&str]) -> Vec<Block> {
        let mut longest: Vec<Block> = Vec::new();
        for node in nodes {
            let blocks = self.blocks_of(node);
            for (ours, theirs) in blocks.iter().zip(&longest) {
                let height = ours.height();
                assert_eq!(ours.digest(), theirs.digest(), "height {height} on {node}");
            }
            if blocks.len() > longest.len() {
                longest = blocks;
            }
        }
        longest
    }
}

fn identity(folder: &Path) -> Identity {
    let seed = files::read_private_key(&folder.join("key.pem")).unwrap();
    let chain = files::read_chain(&folder.join("chain.pem")).unwrap();
    Identity::new(&seed, chain).unwrap()
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
