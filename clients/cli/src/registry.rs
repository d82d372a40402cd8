//! Certified registries: statements with every holder, made by an issuer and checked by anybody.

use std::path::{Path, PathBuf};

use comfy_table::Table;
use sealbook_ledger::{Genesis, Proven};
use sealbook_protocol::registry::RegistryHead;
use sealbook_sdk::{AsOf, Certified, MAX_STATEMENT_BYTES, RegistryStatement};
use sealbook_securities::Amount;
use serde_json::{Value, json};

use crate::action::{When, when};
use crate::arguments::RegistryCommand;
use crate::commands::moment;
use crate::error::{CliError, Exit, Result};
use crate::operations::{Context, time};
use crate::progress::Progress;
use crate::session::{Done, Session};
use crate::transactions::{genesis_for_proof, read_proof, write_new};

/// `sealbook registry certify | verify`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, command: RegistryCommand) -> Result<()> {
    match command {
        RegistryCommand::Certify { isin, as_of, out } => certify(context, &isin, &as_of, out),
        RegistryCommand::Verify { statement, genesis } => verify(context, &statement, &genesis),
    }
}

fn certify(context: &Context, isin: &str, as_of: &str, out: Option<PathBuf>) -> Result<()> {
    let When::Moment(as_of) = when(&moment(as_of)).map_err(|error| {
        CliError::with_exit(Exit::Usage, error.0)
            .hint("a moment is now, a height, a date (2012-08-09) or a time (2012-08-09T15:00:00Z)")
    })?
    else {
        return Err(CliError::with_exit(Exit::Usage, "not a moment"));
    };
    if let Some(out) = out.as_deref().filter(|out| out.exists()) {
        // Said before anything is ordered; that it is not written over is seen to when it is written.
        return Err(
            CliError::new(format!("`{}` is there already", out.display()))
                .hint("statements are never written over a file: name a new one with --out"),
        );
    }
    let mut session = Session::open(&context.files()?)?;
    let client = session.client(&context.member)?;
    let progress = Progress::spinner("having the registry certified");
    let made = client.certify_registry(isin, as_of);
    progress.finish();
    let (statement, proven) = match made.map_err(CliError::new)? {
        Certified::Statement(statement, proven) => (statement, proven),
        Certified::Refused(outcome) => {
            let height = client.height_known();
            return context.finish(&Done::refused(outcome, height));
        }
    };
    let out = out.unwrap_or_else(|| free_name(isin, statement.head.height));
    let bytes = statement.encode();
    write_new(&out, &bytes, "statements")?;
    let shown = out.display();
    let head = &statement.head;
    context.say(
        &json!({"statement": shown.to_string(), "bytes": bytes.len(), "isin": head.isin,
            "as_of_height": head.height, "holders": head.holders, "unnamed": statement.unnamed(),
            "certified_height": proven.height}),
        &format!(
            "wrote {shown} ({} bytes): {} accounts hold {} as of {}, certified at height {}{}\nanybody checks it with \
             `sealbook registry verify {shown} --genesis GENESIS`, without a network",
            bytes.len(),
            head.holders,
            head.isin,
            as_of_text(head),
            proven.height,
            match statement.unnamed() {
                0 => String::new(),
                unnamed => format!("; {unnamed} of them without a name"),
            },
        ),
    );
    Ok(())
}

/// A file that is not there yet.
fn free_name(isin: &str, height: u64) -> PathBuf {
    let first = PathBuf::from(format!("{isin}-{height}.registry"));
    let mut others =
        (2_u32..).map(|number| PathBuf::from(format!("{isin}-{height}-{number}.registry")));
    if first.exists() {
        others.find(|name| !name.exists()).unwrap_or(first)
    } else {
        first
    }
}

fn refused(what: impl std::fmt::Display) -> CliError {
    CliError::with_exit(
        Exit::AuditFailed,
        format!("the statement does not hold: {what}"),
    )
}

fn verify(context: &Context, file: &Path, genesis: &Path) -> Result<()> {
    let bytes = read_proof(file, MAX_STATEMENT_BYTES)?;
    let bytes = bytes.ok_or_else(|| refused("it is too large for a statement"))?;
    let genesis = genesis_for_proof(genesis)?;
    let statement = RegistryStatement::decode(&bytes).map_err(refused)?;
    let proven = statement.verify(&genesis).map_err(refused)?;
    context.say(
        &to_json(&genesis, &statement, &proven),
        &to_text(&genesis, &statement, &proven),
    );
    Ok(())
}

/// Holders by name and then quantity; those without a name come first.
fn holders(statement: &RegistryStatement) -> Vec<(Option<&str>, Amount)> {
    let decimals = statement.head.decimals;
    let rows = statement.rows.iter();
    let mut holders: Vec<(Option<&str>, u64)> =
        rows.map(|row| (row.holder.name(), row.quantity)).collect();
    holders.sort_unstable();
    let amount = |units| Amount { units, decimals };
    let holders = holders.into_iter();
    holders.map(|(name, units)| (name, amount(units))).collect()
}

fn as_of_text(head: &RegistryHead) -> String {
    let block = format!("block {}, {}", head.height, time(head.time_ms));
    match head.as_of {
        AsOf::Time(time_ms) => format!("{} (the end of {block})", time(time_ms)),
        AsOf::Date { year, month, day } => {
            format!("the close of {year:04}-{month:02}-{day:02} (in or after {block})")
        }
        AsOf::Now | AsOf::Height(_) => format!("the end of {block}"),
    }
}

fn to_json(genesis: &Genesis, statement: &RegistryStatement, proven: &Proven) -> Value {
    let head = &statement.head;
    let amount = |units| {
        let decimals = head.decimals;
        Amount { units, decimals }.to_string()
    };
    let holders: Vec<Value> = holders(statement)
        .into_iter()
        .map(|(holder, quantity)| json!({"holder": holder, "quantity": quantity.to_string()}))
        .collect();
    json!({
        "verdict": "holds",
        "network": genesis.network().to_string(),
        "isin": head.isin,
        "as_of": as_of_text(head),
        "as_of_height": head.height,
        "as_of_time": time(head.time_ms),
        "unnamed": statement.unnamed(),
        "issued": amount(head.issued),
        "treasury": amount(head.treasury),
        "holders": holders,
        "certified_height": proven.height,
        "certified_time": time(proven.time_ms),
        "committed_by": proven.committed_by,
    })
}

fn to_text(genesis: &Genesis, statement: &RegistryStatement, proven: &Proven) -> String {
    let head = &statement.head;
    let amount = |units| {
        let decimals = head.decimals;
        Amount { units, decimals }
    };
    let mut table = Table::new();
    table.set_header(["holder", "quantity"]);
    for (holder, quantity) in holders(statement) {
        table.add_row([
            holder.unwrap_or("(name not shown)").to_owned(),
            quantity.to_string(),
        ]);
    }
    format!(
        "the statement holds: these are all accounts that held units{}\n  network       {} ({})\n  issue         {}\n  as of         {}\n  \
         issued        {}\n  treasury      {}\n  certified     at height {}, {}\n  committed by  height {}\n{table}",
        match statement.unnamed() {
            0 => String::new(),
            unnamed => format!(
                "\n  {unnamed} of them without a name: it was erased, or whoever made the statement left it out"
            ),
        },
        genesis.network_name,
        genesis.network(),
        head.isin,
        as_of_text(head),
        amount(head.issued),
        amount(head.treasury),
        proven.height,
        time(proven.time_ms),
        proven.committed_by,
    )
}
