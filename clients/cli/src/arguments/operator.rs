//! The part of the command line that is about networks, nodes and decisions about them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealbook_ledger::AuthorisedContract;

/// Networks.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network: CA, nodes, execution modules, genesis.
    Create(Box<CreateArguments>),
    /// Start nodes in the background.
    Start {
        /// Only these nodes.
        #[arg(long = "node", value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Stop nodes in order.
    Stop {
        /// Only these nodes.
        #[arg(long = "node", value_name = "NODE")]
        nodes: Vec<String>,
    },
}

/// What network to make.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// A new folder.
    pub folder: PathBuf,
    /// How many validators.
    #[arg(long, default_value_t = 4)]
    pub validators: usize,
    /// How many observers.
    #[arg(long, default_value_t = 0)]
    pub observers: usize,
    /// The network's name, as it stands in certificates.
    #[arg(long)]
    pub name: Option<String>,
    /// A folder with Cedar policies and schema.cedarschema instead of the usual ones.
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Blocks in a committee epoch: what members decide about the network takes effect where one ends.
    #[arg(long, value_name = "N")]
    pub epoch_blocks: Option<u32>,
    /// How many electors must approve a proposal.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub approvals: u16,
    /// Roles whose members decide.
    #[arg(
        long,
        value_name = "ROLE",
        value_delimiter = ',',
        default_value = "admin"
    )]
    pub electors: Vec<String>,
    /// For how many seconds a proposal may be decided.
    #[arg(long, value_name = "SECONDS")]
    pub proposal_life: Option<u64>,
    /// How many admins found the network: admin, admin-2, and so on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub admins: usize,
    /// A file with a line for each node: NODE=ADDRESS:PORT,ADDRESS:PORT, for nodes and for clients.
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    pub addresses: Option<PathBuf>,
    /// Where a node listens for nodes and for clients; free ports of this machine for those not named.
    #[arg(long, value_name = "NODE=ADDRESS:PORT,ADDRESS:PORT")]
    pub address: Vec<String>,
    /// Until when the certificates that are made here are valid, for example 2027-03-31T22:00:00Z; for a year if not given.
    #[arg(long, value_name = "TIME")]
    pub certificates_until: Option<String>,
    /// What keeps the ledgers on disk: sled or redb.
    #[arg(long, default_value = "sled")]
    pub engine: String,
    /// What transactions are sealed with: X25519, or X-Wing, which also holds against quantum computers to come.
    #[arg(long, value_parser = ["x25519", "x-wing"], default_value = "x25519")]
    pub suite: String,
    /// How many recovery shares of the network's root are made, each for a holder of its own.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "recovery_threshold"
    )]
    pub recovery_holders: u8,
    /// How many of them recover the root, should all modules lose it.
    #[arg(
        long,
        value_name = "K",
        default_value_t = 0,
        requires = "recovery_holders"
    )]
    pub recovery_threshold: u8,
    /// Modules that are admitted later must run the program that is here, until members decide otherwise.
    #[arg(long)]
    pub measured: bool,
    /// An auditor with a key of its own: a name and the file of a public key (`sealbook audit key`). Without any, a key is
    /// made here.
    #[arg(long, value_name = "NAME=FILE")]
    pub auditor: Vec<String>,
}

/// Single nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Make the folder of a further node: keys, certificate, configuration.
    Prepare(PrepareArguments),
    /// Fill the ledger of a prepared node from the network, so that it can start.
    Join {
        /// The node.
        name: String,
        /// Take no snapshot; the node fetches and executes every block from the first on.
        #[arg(long)]
        from_genesis: bool,
    },
    /// Start a node in the background.
    Start {
        /// The node.
        name: String,
    },
    /// Stop a node in order.
    Stop {
        /// The node.
        name: String,
    },
    /// Put a further certificate for a node's key in the place of the one in use. The node takes it when it starts anew.
    Renew {
        /// The node.
        name: String,
        /// The chain in PEM, as the CA returned it. Without one, the CA in the network's folder certifies the node anew.
        #[arg(long, value_name = "FILE")]
        chain: Option<PathBuf>,
        /// Days of validity.
        #[arg(long, default_value_t = 365, conflicts_with = "chain")]
        days: u32,
        /// Tell the ledger, under the node's key: a validator whose former certificate was revoked counts as cut off until
        /// then.
        #[arg(long)]
        tell: bool,
    },
    /// The nodes whose folders are here.
    List,
}

/// What node to prepare.
#[derive(Debug, Args)]
pub struct PrepareArguments {
    /// Its name.
    pub name: String,
    /// A validator, with an execution module; an observer if not given.
    #[arg(long)]
    pub validator: bool,
    /// Give an observer an execution module of its own, which the members must admit with it.
    #[arg(long, conflicts_with = "validator")]
    pub module: bool,
    /// Where it listens for nodes.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Where it listens for clients.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub client_listen: Option<String>,
    /// Write a signing request for a CA that is elsewhere instead of a certificate.
    #[arg(long)]
    pub request: bool,
    /// The socket at which another user starts its execution module (`sealbook-execution attend`), instead of the node.
    #[arg(long, value_name = "PATH")]
    pub module_socket: Option<PathBuf>,
    /// What keeps its ledger on disk: sled or redb.
    #[arg(long, default_value = "sled")]
    pub engine: String,
}

/// Governance.
#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Propose a change, and approve it.
    #[command(subcommand)]
    Propose(ChangeCommand),
    /// Approve a proposal.
    Approve {
        /// Its number.
        proposal: u64,
    },
    /// Speak against a proposal.
    Reject {
        /// Its number.
        proposal: u64,
    },
    /// Write the rules of what members may do that are in force, or those of a proposal, into a new folder.
    Policies {
        /// The folder.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The proposal, while it is open or scheduled.
        #[arg(long)]
        proposal: Option<u64>,
    },
    /// Take an own proposal back.
    Withdraw {
        /// Its number.
        proposal: u64,
    },
    /// All proposals.
    List,
    /// One proposal, with every voice.
    Show {
        /// Its number.
        proposal: u64,
    },
    /// The present committee epoch and the next one: who is in them, and from which height on.
    Epoch,
}

/// A change to propose.
#[derive(Debug, Subcommand)]
pub enum ChangeCommand {
    /// Admit a member by its certificate chain.
    AddMember {
        /// The chain in PEM.
        chain: PathBuf,
    },
    /// End a membership.
    RemoveMember {
        /// The member.
        name: String,
    },
    /// Give a node a seat in the committee.
    AddValidator {
        /// The node.
        name: String,
        /// Its keys and address.
        #[command(flatten)]
        keys: NodeKeys,
        /// The public key of its execution module, in hex.
        #[arg(long, value_name = "HEX")]
        module_key: Option<String>,
        /// What the module states about its program, in hex (`sealbook-execution state`); made here if its key is here.
        #[arg(long, value_name = "HEX")]
        statement: Option<String>,
    },
    /// Take a node's seat in the committee away.
    RemoveValidator {
        /// The node.
        name: String,
    },
    /// Admit an observer.
    AddObserver {
        /// The node.
        name: String,
        /// Its keys and address.
        #[command(flatten)]
        keys: NodeKeys,
        /// The public key of an execution module of its own, in hex: it is to be given the network's root.
        #[arg(long, value_name = "HEX")]
        module_key: Option<String>,
        /// What the module states about its program, in hex (`sealbook-execution state`); made here if its key is here.
        #[arg(long, value_name = "HEX")]
        statement: Option<String>,
    },
    /// Send an observer away.
    RemoveObserver {
        /// The node.
        name: String,
    },
    /// Change where a node listens for other nodes.
    MoveNode {
        /// The node.
        name: String,
        /// Its new address.
        address: String,
    },
    /// Change parameters; those not named stay.
    SetParameters(ParameterArguments),
    /// Change the rules of governance; those not named stay.
    SetRules(RuleArguments),
    /// Begin a new key epoch.
    RotateKeys {
        /// What transactions are sealed with from then on.
        #[arg(long, value_parser = ["x25519", "x-wing"])]
        suite: Option<String>,
    },
    /// Change who audits, all at once; begins a new key epoch.
    SetAuditors {
        /// The auditors: a name and the file of a public key (`sealbook audit key` makes one).
        #[arg(value_name = "NAME=FILE")]
        auditors: Vec<String>,
    },
    /// Change who holds recovery shares, all at once; begins a new key epoch.
    SetRecovery {
        /// How many shares recover the root.
        #[arg(long, value_name = "K")]
        threshold: u8,
        /// The holders: a name and the file of a public key (`sealbook recovery key` makes one).
        #[arg(value_name = "NAME=FILE")]
        holders: Vec<String>,
    },
    /// Give a node's module another key; begins a new key epoch.
    ReplaceModule {
        /// The node.
        name: String,
        /// The new public key, in hex; that in the node's folder if not given.
        #[arg(long, value_name = "HEX")]
        module_key: Option<String>,
        /// What the module states about its program, in hex (`sealbook-execution state`); made here if its key is here.
        #[arg(long, value_name = "HEX")]
        statement: Option<String>,
    },
    /// Change which contracts are authorised, all at once.
    SetContracts {
        /// Each a name, and a version if it is not 1 (`securities@1`); `governance` must be among them.
        #[arg(value_name = "CONTRACT", required = true, value_parser = contract)]
        contracts: Vec<AuthorisedContract>,
    },
    /// Change the rules of what members may do, all at once. `governance show` has every decision that would differ.
    SetPolicies {
        /// A folder with a schema and rules, as in `policies`.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Change which programs modules to be admitted may run, all at once: SHA-256 of each file; any if none is named.
    SetMeasurements {
        /// The measurements, in hex (`sealbook-execution measure`).
        #[arg(value_name = "SHA256")]
        measurements: Vec<String>,
    },
}

/// Recovery of the network's root.
#[derive(Debug, Subcommand)]
pub enum RecoveryCommand {
    /// Make the key of a holder of recovery shares. The public half beside it is what members admit.
    Key {
        /// A new file.
        #[arg(value_name = "FILE")]
        out: PathBuf,
    },
    /// Make a new key for a node's module that has lost its own.
    Module {
        /// The node.
        node: String,
    },
    /// Take the record of a key epoch out of a stopped node's ledger.
    Record {
        /// The node.
        node: String,
        /// An earlier key epoch than the present one: where the newest snapshot is sealed to it.
        #[arg(long, value_name = "N")]
        key_epoch: Option<u32>,
        /// A new file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Contribute a share, sealed to the recovering module.
    Contribute {
        /// The holder's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The record.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// The file of the recovering module's public key.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The files of the public keys of all modules that are to be given the root; every holder must name the same, in
        /// the same order.
        #[arg(long, value_name = "FILE", required = true)]
        module: Vec<PathBuf>,
        /// A new file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Recover the root inside a node's module, and write the root file for all modules that the holders named.
    Finish {
        /// The node.
        node: String,
        /// The record.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// What the holders contributed.
        #[arg(value_name = "FILE", required = true)]
        contributions: Vec<PathBuf>,
        /// The root, sealed to each of the modules: it replaces their root files. A file that is there already is added to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// A node's key and address; of a node whose folder is here they need not be named.
#[derive(Debug, Args)]
pub struct NodeKeys {
    /// The key of its certificate, in hex.
    #[arg(long, value_name = "HEX")]
    pub vote_key: Option<String>,
    /// Where it listens for other nodes.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub address: Option<String>,
}

/// Parameters.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ParameterArguments {
    /// Shortest time between two blocks, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub block_interval: Option<u64>,
    /// Longest time between two blocks when nothing waits, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub idle_interval: Option<u64>,
    /// How far clocks may differ, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub clock_drift: Option<u64>,
    /// Most sealed bytes in a block.
    #[arg(long, value_name = "BYTES")]
    pub block_bytes: Option<u32>,
    /// How far ahead a transaction may expire, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub expiry_horizon: Option<u64>,
    /// Blocks in a committee epoch.
    #[arg(long, value_name = "N")]
    pub epoch_blocks: Option<u32>,
    /// A snapshot after every so many committee epochs at the most.
    #[arg(long, value_name = "N")]
    pub snapshot_epochs: Option<u32>,
    /// A new key epoch after so many committee epochs; 0 for none but by decision.
    #[arg(long, value_name = "N")]
    pub key_epochs: Option<u32>,
    /// For how many blocks of a new key epoch what is sealed to the one before is still opened.
    #[arg(long, value_name = "BLOCKS")]
    pub key_grace: Option<u32>,
}

/// Rules of governance.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct RuleArguments {
    /// Roles whose members decide.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub electors: Option<Vec<String>>,
    /// How many of them must approve.
    #[arg(long, value_name = "K")]
    pub approvals: Option<u16>,
    /// For how many seconds a proposal may be decided.
    #[arg(long, value_name = "SECONDS")]
    pub proposal_life: Option<u64>,
}

/// Reads `NAME` or `NAME@VERSION`.
fn contract(text: &str) -> Result<AuthorisedContract, String> {
    let (name, version) = text.split_once('@').unwrap_or((text, "1"));
    let version = version
        .parse()
        .map_err(|_| format!("`{version}` is no version of a contract"))?;
    Ok(AuthorisedContract::new(name, version))
}
