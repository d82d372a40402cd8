//! The command line.

mod ca;
mod operator;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use ca::CaCommand;
pub use operator::{
    ChangeCommand, CreateArguments, GovernanceCommand, NetworkCommand, NodeCommand, NodeKeys,
    ParameterArguments, PrepareArguments, RecoveryCommand, RuleArguments,
};

/// Sealbook: a privacy-preserving ledger for securities after the trade.
#[derive(Debug, Parser)]
#[command(name = "sealbook", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 files, processes or network failed; 2 wrong use; 3 a scenario had an \
unexpected outcome, or rules are not as agreed; 4 rejected; 5 denied; 6 an audit, a receipt or a statement does not hold."
)]
pub struct Arguments {
    /// Folder of the network.
    #[arg(long, global = true, value_name = "DIR")]
    pub network: Option<PathBuf>,
    /// Whose keys to use.
    #[arg(
        long = "as",
        global = true,
        value_name = "NAME",
        default_value = "admin"
    )]
    pub member: String,
    /// One JSON object per result instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// How far an order must have come before its command ends.
    #[arg(long, global = true, value_enum, default_value_t = Wait::Final)]
    pub wait: Wait,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// A final block lists it; what came of it is not known yet.
    Ordered,
    /// It has been executed.
    Outcome,
    /// A final block commits to the results; only then can there be a receipt.
    Final,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, start and stop a network on this machine.
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Single nodes: prepare and join further ones, start and stop.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Decisions about the network: members, nodes, parameters.
    #[command(subcommand)]
    Governance(GovernanceCommand),
    /// Recovery of the network's root, should all modules lose it.
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    /// The built-in certificate authority.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Rules that say who may do what: check them, ask them, compare them, hold them against what was agreed.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Members of the network.
    #[command(subcommand)]
    Member(MemberCommand),
    /// The business date.
    #[command(subcommand)]
    Day(DayCommand),
    /// Issues of securities: register, issue, allocate, corporate actions.
    #[command(subcommand)]
    Issue(IssueCommand),
    /// Encrypt private keys under a passphrase.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Accounts, transfers and money tokens.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Trades, bilateral or locked in by a venue, settled by delivery against payment.
    #[command(subcommand)]
    Trade(TradeCommand),
    /// The registry of an issue, now or as of a past moment.
    Registry(RegistryArguments),
    /// What the accounts that you may see hold.
    Holdings(ReadArguments),
    /// Who read what of yours: admins' and regulators' readings are on the ledger before they are answered.
    AccessLog {
        /// From the readings of this block on.
        #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
        from_height: u64,
    },
    /// What happened to what is yours: settled, refused, trades to confirm, corporate actions, who read of it. A line each.
    Events(EventsArguments),
    /// The ledger's transactions as everybody sees them: sealed.
    #[command(subcommand)]
    Tx(TxCommand),
    /// Totals, live or from a copy of the ledger.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Run a file of actions, one JSON object a line.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// The year 2012 of five US shares on a network of its own.
    Demo(DemoArguments),
    /// How the nodes are.
    Status,
    /// Look for what is wrong or weaker than it could be: nodes, execution modules, files.
    Doctor,
}

/// Rules. Without a folder they are those of the network in --network, or else those of this version.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Read and validate rules, as a network does before they take effect.
    Check {
        /// Folder with *.cedar and schema.cedarschema.
        #[arg(value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Say whether a role may do something, and which rule decides.
    Explain {
        /// Role: admin, firm, issuer, regulator, cash-agent, oracle or node.
        role: String,
        /// Action, as the schema names it.
        action: String,
        /// To what is others', not the caller's own.
        #[arg(long)]
        others: bool,
        /// Folder with *.cedar and schema.cedarschema.
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Show every decision that changes from one set of rules to another.
    Diff {
        /// Folder, or `built-in`.
        before: String,
        /// Folder, or `built-in`.
        after: String,
    },
    /// Hold rules against a table of cases: every role, every action, to own and to others'.
    Test {
        /// Folder with *.cedar and schema.cedarschema.
        #[arg(value_name = "DIR")]
        rules: Option<PathBuf>,
        /// The table; cases.txt in the folder of the rules if not given.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Print what rules decide, as a table of cases.
    Cases {
        /// Folder with *.cedar and schema.cedarschema.
        #[arg(value_name = "DIR")]
        rules: Option<PathBuf>,
    },
}

/// Members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Key, certificate and admission in one go, for members whose keys are kept in this folder.
    Enrol {
        /// Short name.
        name: String,
        /// Role: firm, issuer, admin, regulator, cash-agent or oracle.
        #[arg(long)]
        role: String,
        /// Organisation.
        #[arg(long)]
        organisation: String,
        /// Legal entity identifier.
        #[arg(long)]
        lei: Option<String>,
    },
    /// Admit a member whose key is elsewhere, by its certificate chain.
    Admit {
        /// The chain in PEM.
        chain: PathBuf,
    },
    /// Ask the CA for a further certificate in your own name, without the network.
    Request {
        /// Folder for request.pem, and for key.pem with --new-key.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// For a new key, made here, instead of the one in use.
        #[arg(long)]
        new_key: bool,
    },
    /// Give a member a further certificate on the ledger. Your own is put in the place of the one in use, also when that
    /// has ended already; it must then be for the same key.
    Renew(RenewArguments),
    /// Revoke all certificates of a member, or one, for good: from its block on nobody acts or reads under them.
    Revoke {
        /// The member.
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// One certificate instead, a member's or a node's: its chain in PEM.
        #[arg(long, value_name = "FILE")]
        chain: Option<PathBuf>,
        /// Why: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
        /// privilege-withdrawn.
        #[arg(long)]
        reason: String,
    },
    /// Whose keys are in this folder.
    List,
    /// Who you are to the ledger.
    Show,
}

/// Files with private keys of members, nodes and the CA. Where SEALBOOK_PASSPHRASE_FILE in the environment names a file with a
/// passphrase, every command and node opens keys with it, and writes new ones encrypted under it.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Encrypt keys in their files.
    Encrypt(KeyFiles),
    /// Write keys as they are.
    Decrypt(KeyFiles),
}

/// Which files.
#[derive(Debug, Args)]
pub struct KeyFiles {
    /// The keys, for example members/alpha/key.pem or ca/root.key.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A file, readable by its owner alone, whose first line is the passphrase.
    #[arg(long, value_name = "FILE", env = "SEALBOOK_PASSPHRASE_FILE")]
    pub passphrase_file: PathBuf,
}

/// What a renewal is made with.
#[derive(Debug, Args)]
pub struct RenewArguments {
    /// The chain in PEM, as the CA returned it. Without one, the CA in the network's folder certifies you anew.
    #[arg(long, value_name = "FILE")]
    pub chain: Option<PathBuf>,
    /// The key that the certificate was requested with, if it is not the one in use.
    #[arg(long, value_name = "FILE", requires = "chain")]
    pub key: Option<PathBuf>,
    /// Make a new key.
    #[arg(long, conflicts_with = "chain")]
    pub new_key: bool,
    /// Days of validity.
    #[arg(long, default_value_t = 365, conflicts_with = "chain")]
    pub days: u32,
}

/// Business dates.
#[derive(Debug, Subcommand)]
pub enum DayCommand {
    /// Move the business date forward.
    Open {
        /// For example 2012-08-09.
        date: String,
    },
}

/// Issues.
#[derive(Debug, Subcommand)]
pub enum IssueCommand {
    /// Register an issue with its treasury account.
    Register {
        /// ISIN.
        isin: String,
        /// The issuing member.
        #[arg(long)]
        issuer: String,
        /// The issue's name.
        #[arg(long)]
        name: String,
        /// equity, bond or fund.
        #[arg(long, default_value = "equity")]
        kind: String,
        /// Decimals of quantities.
        #[arg(long, default_value_t = 0)]
        decimals: u8,
        /// Currency.
        #[arg(long)]
        currency: String,
        /// The treasury account to open.
        #[arg(long)]
        treasury: String,
    },
    /// Issue units into the treasury.
    Units {
        /// ISIN.
        isin: String,
        /// How many.
        quantity: String,
    },
    /// Allocate units from the treasury, free of payment.
    Allocate {
        /// ISIN.
        isin: String,
        /// To this account.
        account: String,
        /// How many.
        quantity: String,
    },
    /// Pay a cash dividend from the treasury's cash.
    Dividend {
        /// ISIN.
        isin: String,
        /// Your reference.
        #[arg(long)]
        id: String,
        /// What one unit receives.
        #[arg(long)]
        amount_per_unit: String,
        /// Currency.
        #[arg(long)]
        currency: String,
        /// Record: now, a height, a date or an RFC 3339 time.
        #[arg(long, default_value = "now")]
        record: String,
    },
    /// Split every holding.
    Split {
        /// ISIN.
        isin: String,
        /// Your reference.
        #[arg(long)]
        id: String,
        /// So many new units ...
        #[arg(long)]
        new: u32,
        /// ... for so many old ones.
        #[arg(long)]
        old: u32,
    },
}

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Open an account for a client.
    Open {
        /// The new account.
        account: String,
        /// The holder's name.
        #[arg(long)]
        holder: String,
    },
    /// Transfer securities or money, free of payment.
    Transfer {
        /// Your reference.
        #[arg(long)]
        id: String,
        /// From this account.
        #[arg(long)]
        from: String,
        /// To this account.
        #[arg(long)]
        to: String,
        /// ISIN, with --quantity.
        #[arg(long, requires = "quantity")]
        isin: Option<String>,
        /// How many units.
        #[arg(long)]
        quantity: Option<String>,
        /// Currency, with --amount.
        #[arg(long, requires = "amount")]
        currency: Option<String>,
        /// How much money.
        #[arg(long)]
        amount: Option<String>,
    },
    /// Mint money tokens against a deposit, as cash agent.
    Mint {
        /// To this account.
        account: String,
        /// Currency.
        #[arg(long)]
        currency: String,
        /// How much.
        #[arg(long)]
        amount: String,
    },
}

/// Trades.
#[derive(Debug, Subcommand)]
pub enum TradeCommand {
    /// Record a trade for the counterparty to confirm.
    Record {
        /// Your reference; it names the trade.
        id: String,
        /// buy or sell.
        #[arg(long)]
        side: String,
        /// Your account.
        #[arg(long)]
        account: String,
        /// The other firm.
        #[arg(long)]
        counterparty: String,
        /// ISIN.
        #[arg(long)]
        isin: String,
        /// How many units.
        #[arg(long)]
        quantity: String,
        /// Currency.
        #[arg(long)]
        currency: String,
        /// The payment for all units.
        #[arg(long)]
        amount: String,
    },
    /// Confirm a trade: both legs settle at once, or neither.
    Confirm {
        /// The recorder's reference.
        id: String,
        /// Your account.
        #[arg(long)]
        account: String,
    },
    /// Let a venue submit locked-in trades on the accounts that you keep.
    GrantMandate {
        /// The member that may submit them.
        venue: String,
    },
    /// Take a venue's mandate back.
    RevokeMandate {
        /// The member that may submit them no longer.
        venue: String,
    },
    /// Submit a trade that you matched, as venue: both legs settle at once, or neither.
    LockedIn {
        /// Your reference; it names the trade.
        id: String,
        /// The account that delivers and is paid.
        #[arg(long)]
        seller_account: String,
        /// The account that pays and receives.
        #[arg(long)]
        buyer_account: String,
        /// ISIN.
        #[arg(long)]
        isin: String,
        /// How many units.
        #[arg(long)]
        quantity: String,
        /// Currency.
        #[arg(long)]
        currency: String,
        /// The payment for all units.
        #[arg(long)]
        amount: String,
    },
    /// The trades that you may see.
    List(ReadArguments),
}

/// A registry.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RegistryArguments {
    /// Have it certified, or verify a certified one.
    #[command(subcommand)]
    pub command: Option<RegistryCommand>,
    /// ISIN.
    #[arg(required = true)]
    pub isin: Option<String>,
    /// now, a height, a date (its close) or an RFC 3339 time.
    #[arg(long, default_value = "now")]
    pub as_of: String,
    /// How it is put on record.
    #[command(flatten)]
    pub read: ReadArguments,
}

/// Certified registries.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Have all validators certify a registry: a statement with every holder, which anybody checks without a network.
    Certify {
        /// ISIN.
        isin: String,
        /// now (the end of the last block), a height, a date (its close) or an RFC 3339 time.
        #[arg(long, default_value = "now")]
        as_of: String,
        /// The statement's file; none is written over.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Verify a statement, with the genesis document and without a network.
    Verify {
        /// The statement.
        statement: PathBuf,
        /// The network's genesis document.
        #[arg(long)]
        genesis: PathBuf,
    },
}

/// Events.
#[derive(Debug, Args)]
pub struct EventsArguments {
    /// From here on: the `at` of an event, which comes again then, or a height. Without it, from the beginning.
    #[arg(long, value_name = "CURSOR", conflicts_with = "cursor")]
    pub from: Option<String>,
    /// Go on where this file says, and write there how far it came. A file for each member.
    #[arg(long, value_name = "FILE")]
    pub cursor: Option<PathBuf>,
    /// Do not end: print what comes.
    #[arg(long)]
    pub follow: bool,
    /// How long to wait before it is asked again, milliseconds.
    #[arg(long = "every", value_name = "MILLISECONDS", default_value_t = 1_000, requires = "follow",
        value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub every_ms: u64,
}

/// A reading of what may be others'.
#[derive(Debug, Args)]
pub struct ReadArguments {
    /// Have the owners told of it only from this time on (RFC 3339), for an investigation; a regulator may, for 366 days.
    #[arg(long, value_name = "TIME")]
    pub disclosed_from: Option<String>,
}

/// Transactions.
#[derive(Debug, Subcommand)]
pub enum TxCommand {
    /// Transactions by block.
    List {
        /// First height.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// At most so many blocks with transactions.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only your own, with what came of them.
        #[arg(long)]
        own: bool,
    },
    /// A receipt for a transaction of yours: proof for anybody that it was ordered, when, and what came of it.
    Receipt {
        /// The transaction, as results and `tx list` show it, or an order's reference.
        id: String,
        /// Where to write it; by the transaction's name if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Show one outcome only: that of the order with this reference, or at this place, from 0.
        #[arg(long, value_name = "REFERENCE|N")]
        order: Option<String>,
    },
    /// Verify a receipt, with the genesis document and without a network.
    Verify {
        /// The receipt.
        receipt: PathBuf,
        /// The network's genesis document.
        #[arg(long, value_name = "GENESIS")]
        genesis: PathBuf,
    },
}

/// Audits.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify a copy of the ledger offline.
    Verify {
        /// A copy of a node's folder, or of the `ledger` folder in it.
        #[arg(long, value_name = "COPY")]
        ledger: PathBuf,
        /// The audit key; former ones, too, where it was changed.
        #[arg(long, value_name = "AUDIT-KEY", required_unless_present = "key_share")]
        key: Vec<PathBuf>,
        /// A share of an audit key that nobody holds alone; as many as are needed.
        #[arg(long, value_name = "SHARE")]
        key_share: Vec<PathBuf>,
    },
    /// Make an audit key. The public half beside it is what members admit.
    Key {
        /// A new file; with --shares, the beginning of the names of new files.
        #[arg(value_name = "FILE")]
        out: PathBuf,
        /// Make no key for one auditor but so many shares of one, each for a holder of its own.
        #[arg(long, value_name = "N", requires = "threshold")]
        shares: Option<u8>,
        /// How many of the shares are needed to audit.
        #[arg(long, value_name = "K", requires = "shares")]
        threshold: Option<u8>,
    },
    /// Copy the running network's ledger: ciphertext, sealed against changes.
    Copy {
        /// A new folder.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Totals of the running network.
    Totals(ReadArguments),
}

/// Scenarios.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Run a file; without --network on a network of its own, removed afterwards.
    Run {
        /// One JSON object a line; see docs/SCENARIOS.md.
        file: PathBuf,
        /// Validators of the network of its own.
        #[arg(long, default_value_t = 4)]
        validators: usize,
    },
}

/// The demo.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Leave the network running.
    #[arg(long)]
    pub keep: bool,
    /// Folder of the demo's network; a new temporary one if not given.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
