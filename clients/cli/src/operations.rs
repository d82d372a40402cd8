//! Commands about nodes, certificates and sealed blocks, rather than about business.

use std::fs;
use std::path::PathBuf;

use comfy_table::Table;
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{Lei, Role, files, pem};
use sealbook_ledger::{Block, MAX_BLOCK_BYTES};
use sealbook_primitives::secret::Secret32;
use sealbook_sdk::{AnswerBody, NodeStatus, Prepared, Question, Stage};
use sealbook_sealing::Envelope;
use sealbook_securities::Status;
use serde_json::{Value, json};

use crate::arguments::{CaCommand, MemberCommand, NetworkCommand, TxCommand};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::network::{self, Creation, NetworkFiles};
use crate::output;
use crate::session::Session;

const DAY_MS: u64 = 24 * 3_600_000;

/// What every command knows.
pub struct Context {
    /// The network's folder.
    pub folder: PathBuf,
    /// Whose keys to use.
    pub member: String,
    /// JSON instead of text.
    pub json: bool,
}

impl Context {
    fn files(&self) -> Result<NetworkFiles> {
        NetworkFiles::open(&self.folder)
    }

    /// One result, as JSON or as text.
    pub fn say(&self, value: &Value, text: &str) {
        if self.json {
            output::line(value);
        } else {
            output::line(text);
        }
    }
}

/// `sealbook network ...`
///
/// # Errors
/// What went wrong.
pub fn network(context: &Context, command: NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Create {
            folder,
            validators,
            observers,
            name,
            policies,
        } => {
            let creation = Creation {
                validators,
                observers,
                name,
                policies,
            };
            let files = network::create(&folder, &creation)?;
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
            let started = network::start_background(&files, &named(&files, nodes)?)?;
            context.say(
                &json!({ "started": started }),
                &format!("started {}", list(&started)),
            );
            Ok(())
        }
        NetworkCommand::Stop { nodes } => {
            let files = context.files()?;
            let stopped = network::stop_background(&files, &named(&files, nodes)?)?;
            context.say(
                &json!({ "stopped": stopped }),
                &format!("stopped {}", list(&stopped)),
            );
            Ok(())
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn named(files: &NetworkFiles, nodes: Vec<String>) -> Result<Vec<String>> {
    let all: Vec<String> = files.nodes().iter().map(|node| node.name.clone()).collect();
    if nodes.is_empty() {
        return Ok(all);
    }
    match nodes.iter().find(|node| !all.contains(node)) {
        Some(unknown) => Err(
            CliError::with_exit(Exit::Usage, format!("no node `{unknown}`"))
                .hint(format!("the nodes are {}", all.join(", "))),
        ),
        None => Ok(nodes),
    }
}

/// `sealbook ca ...`
///
/// # Errors
/// What went wrong.
pub fn ca(context: &Context, command: CaCommand) -> Result<()> {
    match command {
        CaCommand::Request {
            name,
            role,
            organisation,
            lei,
            network_name,
            out,
        } => {
            let usage = |error: &dyn std::fmt::Display| CliError::with_exit(Exit::Usage, error);
            let role: Role = role.parse().map_err(|error| usage(&error))?;
            let lei: Option<Lei> = lei
                .map(|lei| lei.parse())
                .transpose()
                .map_err(|error| usage(&error))?;
            fs::create_dir_all(&out).map_err(doing(out.display()))?;
            let seed = Secret32::random();
            let request =
                certificate_request(&name, &organisation, role, lei, &network_name, &seed)
                    .map_err(|error| usage(&error))?;
            files::write_private_key(&out.join("key.pem"), &seed).map_err(CliError::new)?;
            fs::write(out.join("request.pem"), request).map_err(doing("request.pem"))?;
            let shown = out.display();
            context.say(
                &json!({"folder": shown.to_string()}),
                &format!("wrote key.pem and request.pem in {shown}; send request.pem to the CA"),
            );
            Ok(())
        }
        CaCommand::Approve { request, out, days } => {
            let authority = Authority::open(&context.files()?.ca()).map_err(CliError::new)?;
            let text = files::read_text(&request, 64 * 1024).map_err(CliError::new)?;
            let now = now_ms();
            let validity = (
                now.saturating_sub(DAY_MS / 24),
                now.saturating_add(u64::from(days).saturating_mul(DAY_MS)),
            );
            let chain = authority.approve(&text, validity).map_err(CliError::new)?;
            fs::write(&out, chain).map_err(doing(out.display()))?;
            context.say(
                &json!({"chain": out.display().to_string()}),
                &format!(
                    "wrote {}; admit it with `sealbook member admit`",
                    out.display()
                ),
            );
            Ok(())
        }
        CaCommand::Inventory => {
            let authority = Authority::open(&context.files()?.ca()).map_err(CliError::new)?;
            let issued = authority.inventory().map_err(CliError::new)?;
            let mut table = Table::new();
            table.set_header(["name", "role", "serial", "valid until"]);
            let mut rows = Vec::new();
            for entry in &issued {
                let until = time(entry.not_after_ms);
                table.add_row([&entry.name, &entry.role.to_string(), &entry.serial, &until]);
                rows.push(json!({"name": entry.name, "role": entry.role.to_string(),
                    "serial": entry.serial, "valid_until": until}));
            }
            context.say(&Value::Array(rows), &table.to_string());
            Ok(())
        }
    }
}

fn time(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| jiff::Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(|| time_ms.to_string(), |time| time.to_string())
}

/// `sealbook member ...`, but for `enrol`, which is an action.
///
/// # Errors
/// What went wrong.
pub fn member(context: &Context, command: MemberCommand) -> Result<()> {
    let files = context.files()?;
    match command {
        MemberCommand::Enrol { .. } => Ok(()),
        MemberCommand::List => {
            let mut names = Vec::new();
            for entry in fs::read_dir(files.folder().join("members")).map_err(doing("members"))? {
                let name = entry.map_err(doing("members"))?.file_name();
                let name = name.to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    names.push(name);
                }
            }
            names.sort();
            context.say(&json!({ "members": names }), &names.join("\n"));
            Ok(())
        }
        MemberCommand::Admit { chain } => {
            let text =
                sealbook_identity::files::read_text(&chain, 64 * 1024).map_err(CliError::new)?;
            let chain = pem::chain_from_pem(&text).map_err(CliError::new)?;
            let chain = chain
                .into_iter()
                .map(|certificate| certificate.to_vec())
                .collect();
            let mut session = Session::open(&files)?;
            let orders = [Prepared::admit(chain)];
            let (height, outcomes) =
                session.submit_batch(&context.member, &orders, Stage::Final)?;
            let outcome = outcomes
                .first()
                .ok_or_else(|| CliError::new("the ledger gave no outcome"))?;
            context.say(
                &json!({"outcome": outcome.status.as_str(), "code": outcome.code.map(|c| c.as_str())}),
                &format!("{outcome} at height {height}"),
            );
            match outcome.status {
                Status::Rejected => Err(CliError::with_exit(Exit::Rejected, "rejected")),
                Status::Denied => Err(CliError::with_exit(Exit::Denied, "denied")),
                _ => Ok(()),
            }
        }
        MemberCommand::Show => {
            let mut session = Session::open(&files)?;
            let answer = session
                .client(&context.member)?
                .ask(&Question::Member)
                .map_err(CliError::new)?;
            match answer.body {
                AnswerBody::Member(member) => {
                    context.say(
                        &json!({"name": member.name, "role": member.role,
                            "organisation": member.organisation, "height": answer.height}),
                        &format!("{} ({}), {}", member.name, member.role, member.organisation),
                    );
                    Ok(())
                }
                _ => Err(CliError::with_exit(
                    Exit::Denied,
                    "the ledger does not know this certificate",
                )),
            }
        }
    }
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
        "node", "", "height", "executed", "final", "peers", "waiting", "time", "problem",
    ]);
    let mut rows = Vec::new();
    let mut reached = 0;
    for (index, node) in files.nodes().iter().enumerate() {
        match client.status_of(index) {
            Ok(status) => {
                reached += 1;
                rows.push(status_json(&status));
                let kind = if status.validator {
                    "validator"
                } else {
                    "observer"
                };
                let problem = status.halted.clone().unwrap_or_default();
                table.add_row([
                    &status.name,
                    kind,
                    &status.height.to_string(),
                    &status.executed_height.to_string(),
                    &status.final_height.to_string(),
                    &status.peers.to_string(),
                    &status.waiting.to_string(),
                    &time(status.time_ms),
                    &problem,
                ]);
            }
            Err(error) => {
                rows.push(json!({"name": node.name, "problem": error.to_string()}));
                let kind = if node.observer {
                    "observer"
                } else {
                    "validator"
                };
                table.add_row([&node.name, kind, "", "", "", "", "", "", &error.to_string()]);
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

fn status_json(status: &NodeStatus) -> Value {
    json!({
        "name": status.name,
        "validator": status.validator,
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
    })
}

/// `sealbook tx ...`
///
/// # Errors
/// No node answers.
pub fn transactions(context: &Context, command: TxCommand) -> Result<()> {
    let TxCommand::List { from, limit } = command;
    let mut session = Session::open(&context.files()?)?;
    let client = session.client(&context.member)?;
    let mut table = Table::new();
    table.set_header([
        "height",
        "ledger time",
        "transaction",
        "sealed bytes",
        "expires",
    ]);
    let mut rows = Vec::new();
    let (mut height, mut filled) = (from, 0);
    while filled < limit {
        let blocks = client.blocks(height, 256).map_err(CliError::new)?;
        if blocks.is_empty() {
            break;
        }
        for certified in &blocks {
            let block = Block::decode(&certified.block, MAX_BLOCK_BYTES).map_err(CliError::new)?;
            height = block.height() + 1;
            if block.transactions.is_empty() || filled >= limit {
                continue;
            }
            filled += 1;
            for bytes in &block.transactions {
                let Ok(envelope) = Envelope::decode(bytes, bytes.len()) else {
                    continue;
                };
                let digest = envelope.digest().to_string();
                let (when, expires) =
                    (time(block.header.time_ms), time(envelope.header.expires_ms));
                table.add_row([
                    &block.height().to_string(),
                    &when,
                    &digest,
                    &bytes.len().to_string(),
                    &expires,
                ]);
                rows.push(
                    json!({"height": block.height(), "time": when, "transaction": digest,
                    "sealed_bytes": bytes.len(), "expires": expires}),
                );
            }
        }
    }
    context.say(&Value::Array(rows), &table.to_string());
    Ok(())
}
