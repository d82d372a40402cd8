//! The network of a run before it begins: its certificates, members, nodes, keys and genesis document, made the way a
//! real one is made.

use std::collections::BTreeMap;

use sealbook_authority::{Authority, certificate_request};
use sealbook_execution::EpochKeys;
use sealbook_execution::custody::{Founding, ModuleKey};
use sealbook_identity::{CertificateDer, Role, pem};
use sealbook_ledger::{
    AuthorisedContract, Genesis, GovernanceRules, ObserverSeat, OpeningEpoch, Parameters,
    PolicyText, Recovery, RootFile, ValidatorSeat,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_sealing::Suite;

/// The name of the simulated network.
pub const NETWORK_NAME: &str = "simulated";
/// The members: short name, role, organisation. The first is the founding admin.
pub const MEMBERS: [(&str, Role, &str); 4] = [
    ("admin", Role::Admin, "Example Exchange"),
    ("bank", Role::CashAgent, "Example Bank"),
    ("alpha", Role::Firm, "Alpha Securities"),
    ("apple", Role::Issuer, "Apple Inc."),
];
const DAY_MS: u64 = 86_400_000;

/// Why a world could not be made.
pub type WorldError = Box<dyn std::error::Error + Send + Sync>;

/// A member with its key and certificate.
pub struct Member {
    /// The seed of its key.
    pub seed: Secret32,
    /// Its certificate, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// A node's keys.
pub struct NodeKeys {
    /// Its name.
    pub name: String,
    /// It votes and carries with this key.
    pub key: SigningKey,
    /// The content of its module's key file, if it has a module.
    pub module: Option<(Vec<u8>, Vec<u8>)>,
    /// The content of its module's root file; a node that is admitted later gets it then.
    pub root: Option<Vec<u8>>,
}

/// A founded network. Nodes are numbered: the founding validators, the observer, the node that is admitted later.
pub struct World {
    /// The genesis document.
    pub genesis: Genesis,
    /// Its hash.
    pub network: Digest,
    /// Members by short name.
    pub members: BTreeMap<&'static str, Member>,
    /// All nodes that will ever be.
    pub nodes: Vec<NodeKeys>,
    /// How many of them are founding validators.
    pub validators: usize,
}

/// Short epochs and short pauses, so that much happens in little time.
#[must_use]
pub fn parameters() -> Parameters {
    Parameters {
        block_interval_ms: 60,
        idle_interval_ms: 400,
        clock_drift_ms: 500,
        block_bytes_max: 1_200_000,
        expiry_horizon_ms: 900_000,
        epoch_blocks: 16,
        snapshot_epochs: 1,
        // A new key epoch comes with the removal. The clients here seal to the first one, as a client may for a while.
        key_epochs: 0,
        key_grace_blocks: 1_000_000,
        contracts: AuthorisedContract::usual(),
    }
}

impl World {
    /// Founds a network with so many validators, at this time.
    ///
    /// # Errors
    /// Something of it could not be made, which is a defect.
    pub fn found(validators: usize, now_ms: u64) -> Result<Self, WorldError> {
        let directory = tempfile::tempdir()?;
        let authority = Authority::create(&directory.path().join("ca"), NETWORK_NAME, now_ms)?;
        let mut members = BTreeMap::new();
        for (name, role, organisation) in MEMBERS {
            let seed = SigningKey::generate().seed();
            let request = certificate_request(name, organisation, role, None, NETWORK_NAME, &seed)?;
            let chain = authority.approve(&request, (now_ms, now_ms + 30 * DAY_MS))?;
            let chain = pem::chain_from_pem(&chain)?;
            members.insert(name, Member { seed, chain });
        }
        let mut nodes: Vec<NodeKeys> = (0..validators + 2).map(node_keys).collect();
        if let Some(observer) = nodes.get_mut(validators) {
            observer.module = None;
        }
        let founding = Founding::begin();
        let admin = members.get("admin").ok_or("no admin")?;
        let genesis = Genesis {
            version: Genesis::VERSION,
            network_name: NETWORK_NAME.to_owned(),
            created_ms: now_ms,
            certificate_roots: vec![authority.root().to_vec()],
            validators: nodes.iter().take(validators).map(validator_seat).collect(),
            observers: nodes
                .get(validators)
                .map(|node| ObserverSeat {
                    name: node.name.clone(),
                    vote_key: node.key.verifying_key(),
                    module_key: None,
                    address: address(validators),
                })
                .into_iter()
                .collect(),
            opening_epochs: vec![OpeningEpoch {
                key_epoch: 0,
                public_key: founding.opening_key(Suite::X25519ChaCha20Poly1305),
            }],
            audit_recipients: Vec::new(),
            admins: vec![admin.chain.iter().map(|der| der.to_vec()).collect()],
            policy_schema: sealbook_policies::DEFAULT_SCHEMA.to_owned(),
            policies: sealbook_policies::DEFAULT_FILES
                .iter()
                .map(|(name, text)| PolicyText {
                    name: (*name).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            parameters: parameters(),
            governance: GovernanceRules::default(),
            recovery: Recovery::default(),
            share_commitments: Vec::new(),
            module_measurements: Vec::new(),
        };
        let record = founding.bind(&genesis)?;
        for (node, grant) in nodes.iter_mut().zip(record.grants()) {
            node.root = Some(RootFile::of([grant]).encode());
        }
        Ok(Self {
            network: genesis.network(),
            genesis,
            members,
            nodes,
            validators,
        })
    }

    /// The own key of a node's module.
    ///
    /// # Errors
    /// The node has no module.
    pub fn module_key(&self, node: usize) -> Result<ModuleKey, WorldError> {
        let keys = self.nodes.get(node).ok_or("no such node")?;
        let (file, _) = keys.module.as_ref().ok_or("a node without module")?;
        Ok(ModuleKey::read(file)?)
    }

    /// The keys of a key epoch for a node's module, from its root file and what its ledger has for it.
    ///
    /// # Errors
    /// The node has no module, or was not given them.
    pub fn module_keys(
        &self,
        node: usize,
        (key_epoch, opening): (u32, &Digest),
        files: [&RootFile; 2],
    ) -> Result<EpochKeys, WorldError> {
        let key = self.module_key(node)?;
        let open = |file| key.open_root(&self.network, (key_epoch, opening), file);
        let [own, known] = files;
        Ok(open(own).or_else(|_| open(known))?)
    }

    /// The number of the observer.
    #[must_use]
    pub const fn observer(&self) -> usize {
        self.validators
    }

    /// The number of the node that is admitted later.
    #[must_use]
    pub const fn newcomer(&self) -> usize {
        self.validators + 1
    }
}

fn node_keys(number: usize) -> NodeKeys {
    let (file, public) = ModuleKey::generate();
    NodeKeys {
        name: format!("node-{number}"),
        key: SigningKey::generate(),
        module: Some((file.to_vec(), public)),
        root: None,
    }
}

fn address(number: usize) -> String {
    format!("10.0.0.{}:4000", number + 1)
}

/// The seat of a node with a module.
#[must_use]
pub fn validator_seat(node: &NodeKeys) -> ValidatorSeat {
    let number = node.name.trim_start_matches("node-").parse().unwrap_or(0);
    ValidatorSeat {
        name: node.name.clone(),
        vote_key: node.key.verifying_key(),
        module_key: node
            .module
            .as_ref()
            .map(|(_, public)| public.clone())
            .unwrap_or_default(),
        address: address(number),
    }
}
