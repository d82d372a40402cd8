//! What every command knows, and the commands about certificates and members.

use std::fs;
use std::path::PathBuf;

use comfy_table::Table;
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{Lei, Role, files, pem};
use sealbook_primitives::secret::Secret32;
use sealbook_sdk::{AnswerBody, Prepared, Question};
use serde_json::{Value, json};

use crate::arguments::{CaCommand, MemberCommand, Wait};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::network::NetworkFiles;
use crate::output;
use crate::session::{Done, Session};

const DAY_MS: u64 = 24 * 3_600_000;

/// What every command knows.
pub struct Context {
    /// The network's folder.
    pub folder: PathBuf,
    /// Whose keys to use.
    pub member: String,
    /// JSON instead of text.
    pub json: bool,
    /// How far an order must have come.
    pub wait: Wait,
}

impl Context {
    /// The network's files.
    ///
    /// # Errors
    /// There is no network in its folder.
    pub fn files(&self) -> Result<NetworkFiles> {
        NetworkFiles::open(&self.folder)
    }

    /// The result of an order, as JSON or as text.
    ///
    /// # Errors
    /// The ledger rejected the order or denied the caller.
    pub fn finish(&self, done: &Done) -> Result<()> {
        self.say(&done.to_json(None), &done.to_text());
        done.check()
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

/// A moment of the ledger for people.
pub fn time(time_ms: u64) -> String {
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
            let done = Session::open(&files)?.submit(
                &context.member,
                Prepared::admit(chain),
                context.wait,
            )?;
            context.finish(&done)
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
