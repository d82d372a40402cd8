//! Commands about networks and nodes on this machine: made, prepared, joined, started, stopped, looked at.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use comfy_table::Table;
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::files as key_files;
use sealbook_ledger::{GovernanceRules, RootFile};
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::frame::FrameError;
use sealbook_sdk::{ConnectionError, NodeStatus};

use sealbook_sealing::Suite;
use sealbook_store::{Engine, TIP};
use serde_json::{Value, json};

use crate::arguments::{CreateArguments, NetworkCommand, NodeCommand, PrepareArguments};
use crate::error::{CliError, Exit, Result, doing};
use crate::governance;
use crate::members::{now_ms, validity};
use crate::network::{self, Creation, NetworkFiles, NodeEntry, free_addresses};
use crate::operations::{Context, time};
use crate::renewal;
use crate::session::Session;

const ADDRESS_FILE_BYTES_MAX: usize = 64 * 1024;
/// Names of folders beside the nodes'.
const TAKEN: &[&str] = &["ca", "members", "modules", "run", "genesis", "network"];

fn usage(text: impl std::fmt::Display) -> CliError {
    CliError::with_exit(Exit::Usage, text)
}

/// `sealbook network ...`
///
/// # Errors
/// What went wrong.
pub fn network(context: &Context, command: NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Create(arguments) => {
            let folder = arguments.folder.clone();
            let files = network::create(&folder, &creation(*arguments)?)?;
            let id = files.genesis()?.network();
            let shown = files.folder().display();
            context.say(
                &json!({"folder": shown.to_string(), "name": files.name(), "network": id.to_string()}),
                &format!(
                    "made network {} ({id}) in {shown}\nall keys lie in this one folder and the modules run as your own \
                     user: for development only\nnext: sealbook network start --network {shown}",
                    files.name()
                ),
            );
            Ok(())
        }
        NetworkCommand::Start { nodes } => {
            let files = context.files()?;
            // A node that is only prepared has nothing to start with; whoever names it is told.
            let joined = |node: &&NodeEntry| has_joined(&files, &node.name);
            let names = match nodes.is_empty() {
                true => names(files.nodes().iter().filter(joined)),
                false => nodes,
            };
            start(context, &files, &names)
        }
        NetworkCommand::Stop { nodes } => {
            let files = context.files()?;
            let names = match nodes.is_empty() {
                true => names(files.nodes()),
                false => nodes,
            };
            stop(context, &files, &names)
        }
    }
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeEntry>) -> Vec<String> {
    nodes.into_iter().map(|node| node.name.clone()).collect()
}

fn creation(arguments: CreateArguments) -> Result<Creation> {
    let _: Engine = arguments.engine.parse().map_err(usage)?;
    let mut lines = arguments.address;
    if let Some(file) = &arguments.addresses {
        let text = key_files::read_text(file, ADDRESS_FILE_BYTES_MAX).map_err(CliError::new)?;
        lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
    }
    let mut governance = GovernanceRules {
        electors: arguments.electors,
        approvals: arguments.approvals,
        ..GovernanceRules::default()
    };
    if let Some(seconds) = arguments.proposal_life {
        governance.proposal_life_ms = seconds.saturating_mul(1_000);
    }
    Ok(Creation {
        name: arguments.name,
        policies: arguments.policies,
        epoch_blocks: arguments.epoch_blocks,
        governance,
        admins: arguments.admins,
        addresses: addresses(&lines)?,
        engine: arguments.engine,
        suite: suite(&arguments.suite),
        recovery: (arguments.recovery_threshold, arguments.recovery_holders),
        measured: arguments.measured,
        auditors: governance::holders(&arguments.auditor)?,
        certificates_until_ms: arguments.certificates_until.map(until).transpose()?,
        ..Creation::of(arguments.validators, arguments.observers)
    })
}

/// A moment that is not over, in milliseconds since 1970.
fn until(text: String) -> Result<u64> {
    let time: jiff::Timestamp = text.parse().map_err(usage)?;
    let until_ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
    if until_ms <= now_ms() {
        return Err(usage(format!("`{text}` is over")));
    }
    Ok(until_ms)
}

/// The suite of this name; the command line takes no others.
pub fn suite(name: &str) -> Suite {
    if name == "x-wing" {
        Suite::XWingChaCha20Poly1305
    } else {
        Suite::X25519ChaCha20Poly1305
    }
}

/// Reads `NODE=ADDRESS:PORT,ADDRESS:PORT` lines.
fn addresses(lines: &[String]) -> Result<BTreeMap<String, (SocketAddr, SocketAddr)>> {
    let mut found = BTreeMap::new();
    for line in lines {
        let not_one = || usage(format!("`{line}` is not NODE=ADDRESS:PORT,ADDRESS:PORT"));
        let (name, pair) = line.split_once('=').ok_or_else(not_one)?;
        let (ordering, clients) = pair.split_once(',').ok_or_else(not_one)?;
        let parse = |text: &str| text.trim().parse::<SocketAddr>().map_err(|_| not_one());
        let pair = (parse(ordering)?, parse(clients)?);
        if found.insert(name.trim().to_owned(), pair).is_some() {
            return Err(usage(format!("two addresses for `{}`", name.trim())));
        }
    }
    Ok(found)
}

/// What was done to the nodes in `done`, and a line about each of the other nodes that were named.
fn told(verb: &str, done: &[String], names: &[String], otherwise: &str) -> String {
    let mut lines = Vec::new();
    if names.is_empty() {
        lines.push(format!("{verb} nothing"));
    }
    if !done.is_empty() {
        lines.push(format!("{verb} {}", done.join(", ")));
    }
    let left = names.iter().filter(|name| !done.contains(name));
    lines.extend(left.map(|name| format!("{name} {otherwise}")));
    lines.join("\n")
}

fn start(context: &Context, files: &NetworkFiles, names: &[String]) -> Result<()> {
    for name in names {
        let entry = files.entry(name)?;
        if !has_joined(files, &entry.name) {
            return Err(CliError::new(format!("`{name}` has no ledger yet"))
                .hint(format!("fill it with `sealbook node join {name}`")));
        }
    }
    let started = network::start_background(files, names)?;
    context.say(
        &json!({ "started": started }),
        &told("started", &started, names, "runs already"),
    );
    Ok(())
}

fn stop(context: &Context, files: &NetworkFiles, names: &[String]) -> Result<()> {
    for name in names {
        let _ = files.entry(name)?;
    }
    let stopped = network::stop_background(files, names)?;
    context.say(
        &json!({ "stopped": stopped }),
        &told("stopped", &stopped, names, "does not run in the background"),
    );
    Ok(())
}

/// Whether a node has what it needs to start.
fn has_joined(files: &NetworkFiles, node: &str) -> bool {
    files.node(node).join("ledger").join("genesis").is_file()
}

/// `sealbook node ...`
///
/// # Errors
/// What went wrong.
pub fn node(context: &Context, command: NodeCommand) -> Result<()> {
    let files = context.files()?;
    match command {
        NodeCommand::Prepare(arguments) => prepare(context, files, &arguments),
        NodeCommand::Join { name, from_genesis } => join(context, &files, &name, from_genesis),
        NodeCommand::Start { name } => start(context, &files, &[name]),
        NodeCommand::Stop { name } => stop(context, &files, &[name]),
        NodeCommand::Renew {
            name,
            chain,
            days,
            tell,
        } => {
            let how = (chain.as_deref(), days);
            renewal::renew_node(context, &files, &name, how, tell)
        }
        NodeCommand::List => {
            let mut table = Table::new();
            table.set_header(["node", "made as", "for nodes", "for clients", "state"]);
            let mut rows = Vec::new();
            for node in files.nodes() {
                let made_as = if node.own_module {
                    "observer with module"
                } else {
                    kind(!node.observer)
                };
                let state = state(&files, &node.name);
                let (ordering, clients) = (node.ordering.to_string(), node.clients.to_string());
                table.add_row([&node.name, made_as, &ordering, &clients, state]);
                rows.push(
                    json!({"name": node.name, "made_as": made_as, "listen": ordering,
                    "client_listen": clients, "state": state}),
                );
            }
            context.say(&Value::Array(rows), &table.to_string());
            Ok(())
        }
    }
}

fn state(files: &NetworkFiles, node: &str) -> &'static str {
    if network::is_running(files, node) {
        "runs in the background"
    } else if has_joined(files, node) {
        "stopped, or run by hand"
    } else {
        "prepared, not joined"
    }
}

const fn kind(validator: bool) -> &'static str {
    if validator { "validator" } else { "observer" }
}

/// The addresses that were named, or free ports of this machine.
fn listen_addresses(arguments: &PrepareArguments) -> Result<(SocketAddr, SocketAddr)> {
    let free = free_addresses(2)?;
    let given = [&arguments.listen, &arguments.client_listen];
    let mut chosen = Vec::new();
    for (free, text) in free.into_iter().zip(given) {
        chosen.push(match text {
            Some(text) => text
                .parse()
                .map_err(|_| usage(format!("`{text}` is not ADDRESS:PORT")))?,
            None => free,
        });
    }
    match chosen.as_slice() {
        [ordering, clients] => Ok((*ordering, *clients)),
        _ => Err(CliError::new("no free port")),
    }
}

fn prepare(context: &Context, mut files: NetworkFiles, arguments: &PrepareArguments) -> Result<()> {
    let name = &arguments.name;
    let _: Engine = arguments.engine.parse().map_err(usage)?;
    sealbook_identity::check_short_name(name)
        .map_err(|error| usage(format!("`{name}`: {error}")))?;
    let folder = files.node(name);
    if TAKEN.contains(&name.as_str()) || folder.exists() || files.entry(name).is_ok() {
        return Err(usage(format!("`{name}` is in use already")));
    }
    let socket = arguments.module_socket.as_deref();
    if socket.is_some() && !arguments.validator && !arguments.module {
        return Err(usage("--module-socket is for nodes with a module")
            .hint("with --validator, or with --module for an observer that has one"));
    }
    if socket.is_some_and(|path| !path.is_absolute()) {
        return Err(usage("--module-socket takes an absolute path"));
    }
    let (ordering, clients) = listen_addresses(arguments)?;
    let entry = NodeEntry {
        name: name.clone(),
        ordering,
        clients,
        observer: !arguments.validator,
        own_module: arguments.module,
    };
    if arguments.request {
        request_certificate(&files, name)?;
    } else {
        let authority = Authority::open(&files.ca()).map_err(|error| {
            CliError::new(error).hint("with --request, the CA may be on another machine")
        })?;
        let _ = network::make_node(&files, &authority, &entry, validity(now_ms(), None))?;
    }
    let vote_key = network::vote_key(&files, name)?.to_string();
    let mut fields = json!({"node": name, "folder": folder.display().to_string(), "vote_key": vote_key,
        "address": ordering.to_string()});
    let mut line = format!(
        "sealbook governance propose add-{} {name} --vote-key {vote_key} --address {ordering}",
        kind(arguments.validator)
    );
    if entry.executes() {
        let key = network::make_module_key(&files, name)?;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let statement = network::module_statement(&files, name)?;
        let statement: String = statement.iter().map(|byte| format!("{byte:02x}")).collect();
        line.push_str(&format!(" --module-key {hex} --statement {statement}"));
        if let Value::Object(object) = &mut fields {
            object.insert("module_key".to_owned(), json!(hex));
            object.insert("statement".to_owned(), json!(statement));
        }
    }
    network::write_node_config(&files, &entry, &arguments.engine, socket)?;
    files.add(entry);
    files.save()?;
    if let Value::Object(object) = &mut fields {
        object.insert("propose".to_owned(), json!(line));
    }
    let shown = folder.display();
    let certificate = if arguments.request {
        format!(
            "send {shown}/request.pem to the CA and put the chain that comes back into {shown}/chain.pem\n"
        )
    } else {
        String::new()
    };
    let users = match socket {
        Some(_) => {
            "docs/OPERATIONS.md says what the node's user and the module's own are to have before it starts\n"
        }
        None => "",
    };
    context.say(
        &fields,
        &format!(
            "prepared {shown}\n{certificate}the members admit it with\n  {line}\nonce that holds (`sealbook governance \
             epoch`): sealbook node join {name}; sealbook node start {name}\n{users}"
        ),
    );
    Ok(())
}

/// A key here and a signing request for a CA elsewhere.
fn request_certificate(files: &NetworkFiles, name: &str) -> Result<()> {
    let folder = files.node(name);
    network::make_private_folder(&folder)?;
    let seed = Secret32::random();
    let what = network::enrolment(name);
    let request = certificate_request(
        &what.name,
        &what.organisation,
        what.role,
        what.lei,
        files.name(),
        &seed,
    )
    .map_err(CliError::new)?;
    key_files::write_private_key(&folder.join("key.pem"), &seed).map_err(CliError::new)?;
    fs::write(folder.join("request.pem"), request).map_err(doing("request.pem"))
}

fn join(context: &Context, files: &NetworkFiles, name: &str, from_genesis: bool) -> Result<()> {
    let entry = files.entry(name)?;
    let folder = files.node(name);
    let ledger = folder.join("ledger");
    check_own(&folder, &ledger)?;
    if !folder.join("chain.pem").is_file() {
        return Err(CliError::new(format!("`{name}` has no certificate"))
            .hint("put the chain from the CA into chain.pem in its folder"));
    }
    if network::is_running(files, name) {
        return Err(CliError::new(format!("`{name}` runs"))
            .hint(format!("stop it first: sealbook node stop {name}")));
    }
    let mut session = Session::open(files)?;
    let client = session.client(&context.member)?;
    let root = files.root_file(name);
    if entry.executes() {
        let module_key = network::module_key(files, name)?;
        let known = client.root_file(&module_key).map_err(CliError::new)?;
        merge_roots(&root, known, name)?;
    }
    fs::create_dir_all(&ledger).map_err(doing(ledger.display()))?;
    let joined = if from_genesis {
        None
    } else {
        let engine = configured_engine(&folder)?;
        Some(network::join(client, &ledger, engine)?)
    };
    // The note of a ledger that was here before says nothing about this one.
    let _ = fs::remove_file(ledger.join(TIP));
    copy_public(files, name, &ledger)?;
    let text = match &joined {
        Some(joined) => format!(
            "{name} begins at height {}: {} pieces of the snapshot and the blocks up to {}, all checked against \
             genesis\nnext: sealbook node start {name}",
            joined.height, joined.pieces, joined.fetched
        ),
        None => format!("{name} begins at genesis\nnext: sealbook node start {name}"),
    };
    let height = joined.as_ref().map_or(0, |joined| joined.height);
    let fetched = joined.as_ref().map_or(0, |joined| joined.fetched);
    context.say(
        &json!({"node": name, "first_height": height, "fetched_height": fetched}),
        &text,
    );
    Ok(())
}

/// What is written into a node's folder must not be led elsewhere by whoever owns the folder.
fn check_own(folder: &Path, ledger: &Path) -> Result<()> {
    let owner = fs::metadata(folder).map_err(doing(folder.display()))?.uid();
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let shown = folder.display();
    if owner != network::own_user()? {
        return Err(CliError::new(format!("`{shown}` is another user's"))
            .hint("run this as that user; or give the folder to the user that runs this, and back afterwards"));
    }
    if is_link(folder) || is_link(ledger) {
        return Err(
            CliError::new(format!("`{shown}` or its `ledger` is a link"))
                .hint("a node's folder and its ledger must be folders themselves"),
        );
    }
    Ok(())
}

/// Adds what the network has for a node's module to its root file: a ledger that begins anew needs the newest root.
fn merge_roots(path: &Path, known: Option<RootFile>, name: &str) -> Result<()> {
    let own = if path.is_file() {
        let bytes = fs::read(path).map_err(doing(path.display()))?;
        Some(RootFile::decode(&bytes).map_err(CliError::new)?)
    } else {
        None
    };
    if own.is_none() && known.is_none() {
        return Err(
            CliError::new(format!("the network does not know the module of `{name}`")).hint(
                "it hands out its root once the members have decided to admit the node: `sealbook governance list`",
            ),
        );
    }
    let grants = own.iter().chain(&known).flat_map(RootFile::grants);
    let merged = RootFile::of(grants.cloned());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        fs::remove_file(&beside).map_err(doing(beside.display()))?;
    }
    network::write_for_owner_of_folder(&beside, &merged.encode())?;
    fs::rename(&beside, path).map_err(doing(path.display()))
}

/// The store engine of a node.
///
/// # Errors
/// Its configuration cannot be read.
pub fn configured_engine(folder: &Path) -> Result<Engine> {
    let path = folder.join("node.toml");
    let text = key_files::read_text(&path, 1024 * 1024).map_err(CliError::new)?;
    let toml: toml::Table = text.parse().map_err(doing(path.display()))?;
    match toml.get("engine").and_then(toml::Value::as_str) {
        Some(engine) => engine.parse().map_err(doing(path.display())),
        None => Ok(Engine::default()),
    }
}

/// The genesis document and the audit bundles, which only the auditor opens, go with every ledger.
fn copy_public(files: &NetworkFiles, name: &str, ledger: &Path) -> Result<()> {
    for other in files.nodes().iter().filter(|other| other.name != name) {
        let Ok(entries) = fs::read_dir(files.node(&other.name).join("ledger")) else {
            continue;
        };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let target = ledger.join(&file);
            let free = fs::symlink_metadata(&target).is_err();
            let wanted = file.to_string_lossy() == network::FIRST_RECORD && free;
            if wanted {
                fs::copy(entry.path(), &target).map_err(doing(target.display()))?;
            }
        }
    }
    // Last, since a ledger with a genesis document counts as joined.
    let target = ledger.join("genesis");
    if fs::symlink_metadata(&target).is_err() {
        fs::copy(files.folder().join("genesis"), &target).map_err(doing(target.display()))?;
    }
    Ok(())
}

/// `sealbook status`
///
/// # Errors
/// No node answers.
pub fn status(context: &Context) -> Result<()> {
    let files = context.files()?;
    let mut session = Session::open(&files)?;
    let client = session.client(&context.member)?;
    let mut table = Table::new();
    table.set_header([
        "node", "", "epoch", "from", "height", "executed", "final", "peers", "waiting", "time",
        "problem",
    ]);
    let mut rows = Vec::new();
    let mut reached = 0;
    for (index, node) in files.nodes().iter().enumerate() {
        let asked = Instant::now();
        match client.status_of(index) {
            Ok(status) => {
                reached += 1;
                // One that is yet to vote, or to vote again, is a validator all the same.
                let expected = status.not_voting.is_some() && !node.observer;
                rows.push(status_json(&status));
                let problems = [&status.halted, &status.not_voting];
                let problems: Vec<&str> =
                    problems.into_iter().flatten().map(String::as_str).collect();
                table.add_row([
                    &status.name,
                    kind(status.validator || expected),
                    &status.epoch.to_string(),
                    &status.first_height.to_string(),
                    &status.height.to_string(),
                    &status.executed_height.to_string(),
                    &status.final_height.to_string(),
                    &status.peers.to_string(),
                    &status.waiting.to_string(),
                    &time(status.time_ms),
                    &problems.join("; "),
                ]);
            }
            Err(error) => {
                let problem = if has_joined(&files, &node.name) {
                    no_answer(&error, asked)
                } else {
                    "prepared, not joined".to_owned()
                };
                rows.push(json!({"name": node.name, "problem": problem}));
                let kind = kind(!node.observer);
                table.add_row([&node.name, kind, "", "", "", "", "", "", "", "", &problem]);
            }
        }
    }
    context.say(&Value::Array(rows), &table.to_string());
    if reached == 0 {
        return Err(CliError::new("no node answers").hint(
            "start them with `sealbook network start`; their logs are node.log in their folders",
        ));
    }
    Ok(())
}

/// Why a node that was asked at this moment gave no answer; the system's words for the end of a wait say little.
fn no_answer(error: &ConnectionError, asked: Instant) -> String {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match error {
        ConnectionError::Connect(error) | ConnectionError::Frame(FrameError::Io(error))
            if matches!(error.kind(), TimedOut | WouldBlock) =>
        {
            format!("no answer within {} s", asked.elapsed().as_secs())
        }
        _ => error.in_words(),
    }
}

fn status_json(status: &NodeStatus) -> Value {
    json!({
        "name": status.name,
        "validator": status.validator,
        "not_voting": status.not_voting,
        "epoch": status.epoch,
        "epoch_last_height": status.epoch_last_height,
        "first_height": status.first_height,
        "height": status.height,
        "block": status.block.to_string(),
        "time": time(status.time_ms),
        "executed_height": status.executed_height,
        "state_root": status.state_root.to_string(),
        "final_height": status.final_height,
        "peers": status.peers,
        "waiting": status.waiting,
        "lockdown": status.lockdown,
        "problem": status.halted,
        "certificate_ends": time(status.certificate_ends_ms),
        "lists": status.lists.iter().map(|(role, until)| json!({"role": role, "until": time(*until)})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_named_with_what_became_of_it() {
        let names = ["node-1", "node-2", "node-3"].map(str::to_owned);
        let text = told("started", &names[..2], &names, "runs already");
        assert_eq!(text, "started node-1, node-2\nnode-3 runs already");
        assert_eq!(told("started", &[], &[], "runs already"), "started nothing");
    }

    #[test]
    fn a_node_that_stands_still_gave_no_answer_in_time() {
        let standing = std::io::Error::from(std::io::ErrorKind::WouldBlock);
        let text = no_answer(&ConnectionError::Connect(standing), Instant::now());
        assert_eq!(text, "no answer within 0 s");
    }

    #[test]
    fn addresses_are_read_from_lines() {
        let lines = |texts: &[&str]| {
            addresses(
                &texts
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let found = lines(&[
            "node-1=10.0.0.1:4000,10.0.0.1:4001",
            "node-2 = [::1]:1 , [::1]:2",
        ])
        .unwrap();
        assert_eq!(found["node-1"].0, "10.0.0.1:4000".parse().unwrap());
        assert_eq!(found["node-2"].1, "[::1]:2".parse().unwrap());
        for wrong in [
            "node-1",
            "node-1=",
            "node-1=10.0.0.1:4000",
            "node-1=10.0.0.1:4000,host:1",
            "=1,2",
        ] {
            assert!(lines(&[wrong]).is_err(), "{wrong}");
        }
        let twice = ["a=1.1.1.1:1,1.1.1.1:2", "a=1.1.1.1:1,1.1.1.1:2"];
        assert!(lines(&twice).is_err());
    }
}
