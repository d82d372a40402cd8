//! From a command to what it does. Business commands become the same actions that scenario lines are.

use std::path::PathBuf;

use sealbook_ledger::holder_digest;
use serde_json::{Value, json};

use crate::action::Action;
use crate::arguments::{
    AccountCommand, Arguments, AuditCommand, Command, DayCommand, IssueCommand, MemberCommand,
    ReadArguments, RegistryArguments, ScenarioCommand, TradeCommand,
};
use crate::error::{CliError, Exit, Result};
use crate::network::{NetworkFiles, make_holder_key, make_shared_key};
use crate::scenario::Where;
use crate::session::{Done, Session};
use crate::{
    audit, ca, demo, doctor, events, governance, keys, nodes, operations, output, policy, recovery,
    registry, scenario, transactions,
};

/// Runs a command.
///
/// # Errors
/// What went wrong, with its exit code.
pub fn run(arguments: Arguments) -> Result<()> {
    let Arguments {
        network,
        member,
        json,
        wait,
        command,
    } = arguments;
    let folder = network.clone().unwrap_or_else(|| PathBuf::from("network"));
    let context = operations::Context {
        folder,
        member,
        json,
        wait,
    };
    match command {
        Command::Network(command) => nodes::network(&context, command),
        Command::Node(command) => nodes::node(&context, command),
        Command::Governance(command) => governance::run(&context, command),
        Command::Ca(command) => ca::run(&context, command),
        Command::Policy(command) => policy::run(&context, network.as_deref(), command),
        Command::Member(MemberCommand::Enrol {
            name,
            role,
            organisation,
            lei,
        }) => {
            let mut fields = json!({"name": name, "role": role, "organisation": organisation});
            put(&mut fields, "lei", lei);
            perform(&context, "enrol", fields)
        }
        Command::Member(command) => operations::member(&context, command),
        Command::Key(command) => keys::run(&context, command),
        Command::Tx(command) => transactions::run(&context, command),
        Command::Registry(RegistryArguments {
            command: Some(command),
            ..
        }) => registry::run(&context, command),
        Command::Status => nodes::status(&context),
        Command::Doctor => doctor::doctor(&context),
        Command::Recovery(command) => recovery::run(&context, command),
        Command::Audit(AuditCommand::Key {
            out,
            shares,
            threshold,
        }) => {
            let shown = out.display();
            let (key, made) = match (shares, threshold) {
                (Some(shares), Some(threshold)) => {
                    let key = make_shared_key(&out, threshold, shares)?;
                    (key, format!("{shown}.1 to {shown}.{shares}"))
                }
                _ => (make_holder_key(&out)?, shown.to_string()),
            };
            let digest = holder_digest(&key).to_string();
            let text = format!("made {made} and {shown}.pub, key {digest}");
            context.say(
                &json!({"file": shown.to_string(), "key": digest, "shares": shares}),
                &text,
            );
            Ok(())
        }
        Command::Audit(AuditCommand::Verify {
            ledger,
            key,
            key_share,
        }) => {
            let report = audit::verify(&ledger, &key, &key_share)?;
            if context.json {
                output::line(report.to_json());
            } else {
                output::line(report.to_text().trim_end());
            }
            Ok(())
        }
        Command::Audit(AuditCommand::Copy { out }) => {
            let height = audit::copy(&NetworkFiles::open(&context.folder)?, &context.member, &out)?;
            let text = format!("copied {height} blocks to {}", out.display());
            context.say(
                &json!({"height": height, "folder": out.display().to_string()}),
                &text,
            );
            Ok(())
        }
        Command::Audit(AuditCommand::Totals(read)) => perform(&context, "audit", plain(read)),
        Command::Scenario(ScenarioCommand::Run { file, validators }) => {
            let place = match &network {
                Some(folder) => Where::Network(folder),
                None => Where::Fresh(validators),
            };
            scenario::run(&file, &place, &mut std::io::stdout().lock())
        }
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Events(arguments) => events::run(&context, &arguments),
        business => {
            let (verb, fields) = action_of(business)?;
            perform(&context, verb, fields)
        }
    }
}

/// The verb and fields of a business command.
fn action_of(command: Command) -> Result<(&'static str, Value)> {
    Ok(match command {
        Command::Day(DayCommand::Open { date }) => ("open-day", json!({ "date": date })),
        Command::Issue(command) => issue(command),
        Command::Account(command) => account(command),
        Command::Trade(command) => trade(command),
        Command::Registry(arguments) => {
            let as_of = moment(&arguments.as_of);
            let mut fields = json!({"isin": arguments.isin.unwrap_or_default(), "as_of": as_of});
            put(&mut fields, "disclosed_from", arguments.read.disclosed_from);
            ("registry", fields)
        }
        Command::Holdings(read) => ("holdings", plain(read)),
        Command::AccessLog { from_height } => ("access-log", json!({ "from_height": from_height })),
        _ => return Err(CliError::with_exit(Exit::Usage, "not a business command")),
    })
}

fn issue(command: IssueCommand) -> (&'static str, Value) {
    match command {
        IssueCommand::Register {
            isin,
            issuer,
            name,
            kind,
            decimals,
            currency,
            treasury,
        } => (
            "register-issue",
            json!({"isin": isin, "issuer": issuer, "name": name, "kind": kind,
                "decimals": decimals, "currency": currency, "treasury": treasury}),
        ),
        IssueCommand::Units { isin, quantity } => {
            ("issue-units", json!({"isin": isin, "quantity": quantity}))
        }
        IssueCommand::Allocate {
            isin,
            account,
            quantity,
        } => (
            "allocate",
            json!({"isin": isin, "account": account, "quantity": quantity}),
        ),
        IssueCommand::Dividend {
            isin,
            id,
            amount_per_unit,
            currency,
            record,
        } => (
            "dividend",
            json!({"id": id, "isin": isin, "amount_per_unit": amount_per_unit,
                "currency": currency, "record": moment(&record)}),
        ),
        IssueCommand::Split { isin, id, new, old } => (
            "split",
            json!({"id": id, "isin": isin, "new": new, "old": old, "record": "now"}),
        ),
    }
}

fn account(command: AccountCommand) -> (&'static str, Value) {
    match command {
        AccountCommand::Open { account, holder } => (
            "open-account",
            json!({"account": account, "holder": holder}),
        ),
        AccountCommand::Transfer {
            id,
            from,
            to,
            isin,
            quantity,
            currency,
            amount,
        } => {
            let mut fields = json!({"id": id, "from": from, "to": to});
            for (name, value) in [
                ("isin", isin),
                ("quantity", quantity),
                ("currency", currency),
                ("amount", amount),
            ] {
                put(&mut fields, name, value);
            }
            ("transfer", fields)
        }
        AccountCommand::Mint {
            account,
            currency,
            amount,
        } => (
            "mint-cash",
            json!({"account": account, "currency": currency, "amount": amount}),
        ),
    }
}

fn trade(command: TradeCommand) -> (&'static str, Value) {
    match command {
        TradeCommand::Record {
            id,
            side,
            account,
            counterparty,
            isin,
            quantity,
            currency,
            amount,
        } => (
            "record-trade",
            json!({"id": id, "side": side, "account": account, "counterparty": counterparty,
                "isin": isin, "quantity": quantity, "currency": currency, "amount": amount}),
        ),
        TradeCommand::Confirm { id, account } => {
            ("confirm-trade", json!({"id": id, "account": account}))
        }
        TradeCommand::GrantMandate { venue } => ("grant-mandate", json!({ "venue": venue })),
        TradeCommand::RevokeMandate { venue } => ("revoke-mandate", json!({ "venue": venue })),
        TradeCommand::LockedIn {
            id,
            seller_account,
            buyer_account,
            isin,
            quantity,
            currency,
            amount,
        } => (
            "locked-in-trade",
            json!({"id": id, "seller_account": seller_account, "buyer_account": buyer_account,
                "isin": isin, "quantity": quantity, "currency": currency, "amount": amount}),
        ),
        TradeCommand::List(read) => ("trades", plain(read)),
    }
}

/// The fields of a question without a subject of its own.
fn plain(read: ReadArguments) -> Value {
    let mut fields = json!({});
    put(&mut fields, "disclosed_from", read.disclosed_from);
    fields
}

fn put(fields: &mut Value, name: &str, value: Option<String>) {
    if let (Value::Object(object), Some(value)) = (fields, value) {
        object.insert(name.to_owned(), Value::String(value));
    }
}

/// A moment on the command line: `now`, digits for a height, a date, or a time.
pub fn moment(text: &str) -> Value {
    if text == "now" {
        return json!("now");
    }
    if let Ok(height) = text.parse::<u64>() {
        return json!({ "height": height });
    }
    if text.len() == 10 {
        json!({ "date": text })
    } else {
        json!({ "time": text })
    }
}

fn perform(context: &operations::Context, verb: &str, fields: Value) -> Result<()> {
    let done = match Action::parse(verb, fields) {
        Ok(action) => Session::open(&NetworkFiles::open(&context.folder)?)?.perform(
            &context.member,
            action,
            context.wait,
        )?,
        Err(malformed) => Done::malformed(malformed.0),
    };
    context.finish(&done)
}
