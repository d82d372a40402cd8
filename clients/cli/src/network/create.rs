//! Making a network: CA, node certificates, module keys, the founding of the first key epoch, genesis.
//!
//! Everything is made the way that separate owners would make it: each key where it will be used, certificates by
//! signing request, the root by an execution module that is locked down and hands it out only sealed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealbook_authority::Authority;
use sealbook_identity::Role;
use sealbook_ledger::{
    Genesis, GovernanceRules, KeyHolder, KeyRecord, ObserverSeat, OpeningEpoch, Parameters,
    Recovery, RootFile, ValidatorSeat,
};
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_sealing::Suite;

use crate::error::{CliError, Exit, Result, doing};
use crate::members;
use crate::network::provision::{
    FIRST_RECORD, found_votes, make_holder_key, make_module_key, make_node, make_private_folder,
    module_measurement, write_node_config, write_private,
};
use crate::network::{NetworkFiles, NodeEntry, free_addresses, program};
use crate::policy::Rules;

const NODES_MAX: usize = 64;
const ADMINS_MAX: usize = 64;

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
    /// Blocks in a committee epoch; the usual number if not given.
    pub epoch_blocks: Option<u32>,
    /// Who decides about the network, and how.
    pub governance: GovernanceRules,
    /// How many admins found the network.
    pub admins: usize,
    /// Where nodes listen, for nodes and for clients; free ports of this machine for the others.
    pub addresses: BTreeMap<String, (SocketAddr, SocketAddr)>,
    /// What keeps ledgers on disk.
    pub engine: String,
    /// What transactions and queries are sealed with.
    pub suite: Suite,
    /// How many recovery shares there are, and how many of them recover the network's root.
    pub recovery: (u8, u8),
    /// Whether modules to be admitted must run the program that is here.
    pub measured: bool,
    /// Who audits; without any, an audit key is made here.
    pub auditors: Vec<KeyHolder>,
    /// Until when the certificates of the nodes and the founding admins are valid, Unix milliseconds; for a year if not
    /// given.
    pub certificates_until_ms: Option<u64>,
}

impl Creation {
    /// A network of so many nodes on this machine, with one admin and otherwise as usual.
    pub fn of(validators: usize, observers: usize) -> Self {
        Self {
            validators,
            observers,
            name: None,
            policies: None,
            epoch_blocks: None,
            governance: GovernanceRules::default(),
            admins: 1,
            addresses: BTreeMap::new(),
            engine: "sled".to_owned(),
            measured: false,
            auditors: Vec::new(),
            suite: Suite::X25519ChaCha20Poly1305,
            recovery: (0, 0),
            certificates_until_ms: None,
        }
    }

    fn check(&self) -> Result<()> {
        let usage = |text: String| Err(CliError::with_exit(Exit::Usage, text));
        if self.validators == 0 || self.validators + self.observers > NODES_MAX {
            return usage(format!(
                "a network here has 1 to {NODES_MAX} nodes, one validator at least"
            ));
        }
        if self.admins == 0 || self.admins > ADMINS_MAX {
            return usage(format!("a network has 1 to {ADMINS_MAX} founding admins"));
        }
        let rules = &self.governance;
        if let Some(unknown) = rules
            .electors
            .iter()
            .find(|role| role.parse::<Role>().is_err())
        {
            return usage(format!("`{unknown}` is not a role"));
        }
        if rules.electors == ["admin"] && usize::from(rules.approvals) > self.admins {
            return usage(format!(
                "{} approvals of {} admins: nothing could ever be decided",
                rules.approvals, self.admins
            ));
        }
        let names: Vec<String> = (1..=self.validators + self.observers)
            .map(node_name)
            .collect();
        match self.addresses.keys().find(|name| !names.contains(*name)) {
            Some(unknown) => usage(format!(
                "an address for `{unknown}`, but the nodes are {}",
                names.join(", ")
            )),
            None => Ok(()),
        }
    }
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// Makes a network in `folder`, which must be empty or not exist.
///
/// # Errors
/// The folder is in use, the network could not be as it is asked for, or something could not be made.
pub fn create(folder: &Path, creation: &Creation) -> Result<NetworkFiles> {
    creation.check()?;
    let rules = match &creation.policies {
        Some(folder) => Rules::in_folder(folder)?,
        None => Rules::built_in()?,
    };
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
    let validity = members::validity(now_ms, creation.certificates_until_ms);
    let (mut validators, mut observers) = (Vec::new(), Vec::new());
    for node in network.nodes() {
        let vote_key = make_node(&network, &authority, node, validity)?;
        let (name, address) = (node.name.clone(), node.ordering.to_string());
        if node.observer {
            observers.push(ObserverSeat {
                name,
                vote_key,
                module_key: None,
                address,
            });
        } else {
            validators.push(ValidatorSeat {
                module_key: make_module_key(&network, &node.name)?,
                name,
                vote_key,
                address,
            });
        }
    }
    let mut auditors = creation.auditors.clone();
    if auditors.is_empty() {
        auditors.push(KeyHolder {
            name: "audit-1".to_owned(),
            key: make_holder_key(&folder.join("audit.key"))?,
        });
    }
    let recovery = recovery(&folder, creation)?;
    let mut parameters = Parameters::default();
    if let Some(blocks) = creation.epoch_blocks {
        parameters.epoch_blocks = blocks;
    }
    let genesis = Genesis {
        version: Genesis::VERSION,
        network_name: name.clone(),
        created_ms: now_ms,
        certificate_roots: vec![authority.root().to_vec()],
        validators,
        observers,
        // The founding module puts the key itself in.
        opening_epochs: vec![opening_epoch(vec![creation.suite.number()])],
        audit_recipients: auditors,
        admins: admins(&network, &authority, creation.admins, validity)?,
        policy_schema: rules.schema,
        policies: rules.files,
        parameters,
        governance: creation.governance.clone(),
        share_commitments: Vec::new(),
        recovery,
        module_measurements: if creation.measured {
            vec![module_measurement()?]
        } else {
            Vec::new()
        },
    };
    genesis
        .first_epoch()
        .check()
        .map_err(|error| CliError::with_exit(Exit::Usage, error))?;
    found(&network, genesis, creation.suite)?;
    for node in network.nodes() {
        write_node_config(&network, node, &creation.engine, None)?;
        if !node.observer {
            found_votes(&network, &node.name)?;
        }
    }
    network.save()?;
    Ok(network)
}

/// Keys and certificates of the founding admins: `admin`, `admin-2` and so on.
fn admins(
    network: &NetworkFiles,
    authority: &Authority,
    count: usize,
    validity: (u64, u64),
) -> Result<Vec<Vec<Vec<u8>>>> {
    let make = |number: usize| {
        let name = match number {
            1 => "admin".to_owned(),
            _ => format!("admin-{number}"),
        };
        let folder = network.member(&name);
        let enrolment = members::Enrolment {
            name,
            organisation: format!("Operator of {}", network.name()),
            role: Role::Admin,
            lei: None,
        };
        members::make_certified(authority, &folder, &enrolment, network.name(), validity)
    };
    (1..=count).map(make).collect()
}

fn made_up_name() -> String {
    let mut bytes = [0; 4];
    sealbook_primitives::random::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("local-{hex}")
}

/// The nodes with their addresses: those that were given, and for the others ports on loopback that are free now.
fn node_entries(creation: &Creation) -> Result<Vec<NodeEntry>> {
    let total = creation.validators + creation.observers;
    let addresses = free_addresses(total * 2)?;
    let pairs = addresses.chunks_exact(2).enumerate();
    Ok(pairs
        .filter_map(|(index, pair)| {
            let [ordering, clients] = pair else {
                return None;
            };
            let name = node_name(index + 1);
            let given = creation.addresses.get(&name);
            let (ordering, clients) = given.copied().unwrap_or((*ordering, *clients));
            Some(NodeEntry {
                name,
                ordering,
                clients,
                observer: index >= creation.validators,
                own_module: false,
            })
        })
        .collect())
}

/// A module founds the first key epoch: its root leaves it only sealed to the modules and the auditor of genesis.
fn found(network: &NetworkFiles, mut genesis: Genesis, suite: Suite) -> Result<()> {
    let (mut socket, theirs) = UnixStream::pair().map_err(doing("socket"))?;
    let mut child = Command::new(program("sealbook-execution")?)
        .arg("found")
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(doing("cannot start the founding module"))?;
    let founded = founding_session(&mut socket, &mut genesis, suite);
    drop(socket);
    let _ = child.wait();
    let record = founded?;
    let bytes = genesis.encode();
    fs::write(network.folder().join("genesis"), &bytes).map_err(doing("genesis"))?;
    for node in network.nodes() {
        let ledger = network.node(&node.name).join("ledger");
        fs::write(ledger.join("genesis"), &bytes).map_err(doing("genesis"))?;
        fs::write(ledger.join(FIRST_RECORD), record.encode_file()).map_err(doing(FIRST_RECORD))?;
    }
    for (seat, grant) in genesis.validators.iter().zip(record.grants()) {
        let file = RootFile::of([grant]);
        write_private(&network.root_file(&seat.name), &file.encode())?;
    }
    Ok(())
}

const fn opening_epoch(public_key: Vec<u8>) -> OpeningEpoch {
    OpeningEpoch {
        key_epoch: 0,
        public_key,
    }
}

/// Keys for holders of recovery shares, each in a folder that is to go to its holder.
fn recovery(folder: &Path, creation: &Creation) -> Result<Recovery> {
    let (threshold, count) = creation.recovery;
    let holders = (1..=count).map(|number| {
        let name = format!("holder-{number}");
        let own = folder.join("recovery").join(&name);
        make_private_folder(&own)?;
        let key = make_holder_key(&own.join("holder.key"))?;
        Ok(KeyHolder { name, key })
    });
    let recovery = Recovery {
        threshold,
        holders: holders.collect::<Result<_>>()?,
    };
    recovery
        .check()
        .map_err(|error| CliError::with_exit(Exit::Usage, error))?;
    Ok(recovery)
}

fn founding_session(
    socket: &mut UnixStream,
    genesis: &mut Genesis,
    suite: Suite,
) -> Result<KeyRecord> {
    let broken = || {
        CliError::new("the founding module stopped")
            .hint("the kernel must allow seccomp filters to ordinary processes")
    };
    let hear = |socket: &mut UnixStream| {
        frame::read::<FromModule>(socket, MODULE_FRAME_MAX).map_err(|_| broken())
    };
    match hear(socket)? {
        FromModule::Ready { .. } => {}
        FromModule::Refused { reason } => {
            let what = "the execution module cannot shut itself in on this machine";
            return Err(CliError::new(format!("{what}: {reason}")).hint(
                "it needs user namespaces and seccomp: docs/OPERATIONS.md says how to let it have them",
            ));
        }
        _ => return Err(broken()),
    }
    let found = ToModule::Found {
        suite: suite.number(),
        recovery: genesis.recovery.clone(),
    };
    frame::write(socket, &found, MODULE_FRAME_MAX).map_err(|_| broken())?;
    let FromModule::Founded {
        opening_key,
        share_commitments,
    } = hear(socket)?
    else {
        return Err(broken());
    };
    genesis.opening_epochs = vec![opening_epoch(opening_key)];
    genesis.share_commitments = share_commitments;
    let bind = ToModule::Bind {
        genesis: genesis.encode(),
    };
    frame::write(socket, &bind, MODULE_FRAME_MAX).map_err(|_| broken())?;
    match hear(socket)? {
        FromModule::Bound { record } => KeyRecord::decode(&record).map_err(|_| broken()),
        FromModule::Refused { reason } => Err(CliError::new(format!("founding: {reason}"))),
        _ => Err(broken()),
    }
}
