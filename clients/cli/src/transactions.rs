//! Sealed transactions as everybody sees them, and what a member can prove about its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use borsh::BorshDeserialize;
use comfy_table::Table;
use sealbook_ledger::{
    Block, EpochDefinition, Genesis, MAX_BLOCK_BYTES, MAX_RECEIPT_BYTES, Proven, Receipt,
    Transaction,
};
use sealbook_primitives::hash::Digest;
use sealbook_sdk::{Client, ClientError, OwnReply, Question, Shown};
use sealbook_sealing::Envelope;
use sealbook_securities::{Code, Outcome};
use serde_json::{Value, json};

use crate::arguments::TxCommand;
use crate::error::{CliError, Exit, Result, doing};
use crate::journal;
use crate::network::read_genesis;
use crate::operations::{Context, time};
use crate::progress::Progress;
use crate::session::Session;

/// How far back own transactions are looked for when the journal does not know a reference.
const SEARCHED_BLOCKS: u64 = 20_000;
const SEARCHED_TRANSACTIONS: usize = 2_000;
const SUGGESTED_MAX: usize = 10;
const PAGE: u32 = 256;

/// `sealbook tx ...`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, command: TxCommand) -> Result<()> {
    match command {
        TxCommand::List { from, limit, own } => list(context, from, limit, own),
        TxCommand::Receipt { id, out, order } => receipt(context, &id, out, order.as_deref()),
        TxCommand::Verify { receipt, genesis } => verify(context, &receipt, &genesis),
    }
}

fn list(context: &Context, from: u64, limit: usize, own: bool) -> Result<()> {
    let mut session = Session::open(&context.files()?)?;
    let client = session.client(&context.member)?;
    let mut table = Table::new();
    let mut header = vec!["height", "ledger time", "transaction", "sealed bytes"];
    header.push(if own { "outcomes" } else { "expires" });
    table.set_header(header);
    let mut rows = Vec::new();
    let progress = Progress::spinner("reading blocks");
    let (mut height, mut filled) = (from, 0);
    while filled < limit {
        let blocks = client.blocks(height, PAGE).map_err(CliError::new)?;
        if blocks.is_empty() {
            break;
        }
        for certified in &blocks {
            let block = Block::decode(&certified.block, MAX_BLOCK_BYTES).map_err(CliError::new)?;
            height = block.height() + 1;
            progress.now(&format!("reading blocks, {height}"));
            if filled >= limit {
                break;
            }
            let before = rows.len();
            for transaction in &block.transactions {
                if let Some((row, last)) = row(client, &block, transaction, own)? {
                    let when = time(block.header.time_ms);
                    let id = transaction.id().to_string();
                    let bytes = transaction.envelope().len().to_string();
                    table.add_row([&block.height().to_string(), &when, &id, &bytes, &last]);
                    rows.push(row);
                }
            }
            filled += usize::from(rows.len() > before);
        }
    }
    progress.finish();
    context.say(&Value::Array(rows), &table.to_string());
    Ok(())
}

/// A transaction as JSON, and the last cell of its line; nothing if only own ones are wanted and this is none.
fn row(
    client: &mut Client,
    block: &Block,
    transaction: &Transaction,
    own: bool,
) -> Result<Option<(Value, String)>> {
    let Ok(envelope) = Envelope::decode(transaction.envelope(), transaction.envelope().len())
    else {
        return Ok(None);
    };
    let mut row = json!({
        "height": block.height(),
        "time": time(block.header.time_ms),
        "transaction": transaction.id().to_string(),
        "sealed_bytes": transaction.envelope().len(),
        "expires": time(envelope.header.expires_ms),
        "carrier": transaction.carrier,
    });
    if !own {
        return Ok(Some((row, time(envelope.header.expires_ms))));
    }
    let OwnReply::Own(reply) = client.own_reply(transaction).map_err(CliError::new)? else {
        return Ok(None);
    };
    let outcomes: Vec<(Value, String)> = reply.outcomes.iter().map(|one| outcome(one)).collect();
    let words: Vec<&str> = outcomes.iter().map(|(_, text)| text.as_str()).collect();
    let words = words.join(", ");
    if let Value::Object(object) = &mut row {
        let outcomes = outcomes.iter().map(|(value, _)| value.clone()).collect();
        object.insert("outcomes".to_owned(), Value::Array(outcomes));
    }
    Ok(Some((row, words)))
}

/// An encoded outcome as JSON and for people.
fn outcome(bytes: &[u8]) -> (Value, String) {
    match Outcome::try_from_slice(bytes) {
        Ok(outcome) => (
            json!({"outcome": outcome.status.as_str(), "code": outcome.code.map(Code::as_str),
                "certified": outcome.certified.map(|root| Digest(root).to_string())}),
            outcome.to_string(),
        ),
        // A receipt may outlive the program that reads it; what it holds is shown all the same.
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (json!({"encoded": hex}), format!("encoded {hex}"))
        }
    }
}

fn receipt(context: &Context, id: &str, out: Option<PathBuf>, order: Option<&str>) -> Result<()> {
    let files = context.files()?;
    let member = files.member(&context.member);
    let mut session = Session::open(&files)?;
    let client = session.client(&context.member)?;
    let (transaction, named) = match Digest::from_hex(id) {
        Ok(transaction) => (transaction, None),
        Err(_) => match journal::find(&member, id)? {
            Some((transaction, place)) => (transaction, Some(place)),
            None => return Err(unknown_reference(client, id)?),
        },
    };
    let shown = match order {
        Some(order) => Shown::Order(place_of(&member, &transaction, order)?),
        None => named.map_or(Shown::All, Shown::Order),
    };
    let progress = Progress::spinner("fetching and checking what the receipt needs");
    let made = client.receipt(transaction, shown);
    progress.finish();
    let (receipt, proven) = made.map_err(|error| match error {
        ClientError::Absent => CliError::new(format!("no node knows transaction {transaction}"))
            .hint("`sealbook tx list` shows what is on the ledger"),
        ClientError::NoOrder { .. } => CliError::with_exit(Exit::Usage, error),
        other => CliError::new(other),
    })?;
    let short: String = transaction.to_string().chars().take(16).collect();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{short}.receipt")));
    let bytes = receipt.encode();
    write_new(&out, &bytes, "receipts")?;
    let shown = out.display();
    context.say(
        &json!({"receipt": shown.to_string(), "bytes": bytes.len(),
            "transaction": transaction.to_string(), "height": proven.height,
            "time": time(proven.time_ms)}),
        &format!(
            "wrote {shown} ({} bytes): transaction {transaction} at height {}\nanybody checks it with `sealbook tx \
             verify {shown} --genesis GENESIS`, without a network",
            bytes.len(),
            proven.height
        ),
    );
    Ok(())
}

/// Writes a file that must not be there yet.
pub fn write_new(out: &Path, bytes: &[u8], what: &str) -> Result<()> {
    let mut file = fs::File::create_new(out).map_err(|error| {
        let failed = CliError::new(format!("`{}`: {error}", out.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failed.hint(format!(
                "{what} are never written over a file: name a new one with --out"
            ))
        } else {
            failed
        }
    })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(doing(out.display()))
}

/// The genesis document that a proof is checked with.
pub fn genesis_for_proof(genesis: &Path) -> Result<Genesis> {
    if !genesis.is_file() {
        return Err(CliError::new(format!("no file `{}`", genesis.display())).hint(
            "give the genesis document of the network; every member has it, and its hash is the network's name",
        ));
    }
    read_genesis(genesis).map_err(|error| {
        let error = error.to_string();
        CliError::with_exit(Exit::AuditFailed, error.trim_start_matches("error: "))
    })
}

/// Reads a file with a proof in it; nothing if it is longer than one can be.
pub fn read_proof(file: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let shown = file.display();
    let size = fs::metadata(file)
        .map_err(doing(format!("`{shown}`")))?
        .len();
    if size > bytes_max as u64 {
        return Ok(None);
    }
    fs::read(file)
        .map_err(doing(format!("`{shown}`")))
        .map(Some)
}

/// The place of an order, by its reference or its number.
fn place_of(member: &Path, transaction: &Digest, order: &str) -> Result<u32> {
    if let Some((found, place)) = journal::find(member, order)?
        && found == *transaction
    {
        return Ok(place);
    }
    order.parse().map_err(|_| {
        let text = format!("no order `{order}` is known to be in transaction {transaction}");
        CliError::with_exit(Exit::Usage, text).hint("give its place in the transaction, from 0")
    })
}

/// The journal does not know a reference: what may it have been?
fn unknown_reference(client: &mut Client, reference: &str) -> Result<CliError> {
    let error = CliError::with_exit(
        Exit::Usage,
        format!(
            "`{reference}` is no transaction, and no order of this reference was sent from here"
        ),
    );
    let found = own_recent(client)?;
    if found.is_empty() {
        return Ok(error.hint("`sealbook tx list --own` looks through the whole ledger"));
    }
    Ok(error.hint(format!(
        "your latest transactions are\n  {}",
        found.join("\n  ")
    )))
}

/// The member's latest transactions: each block back from the newest, each reply tried with the key that would open it.
fn own_recent(client: &mut Client) -> Result<Vec<String>> {
    let newest = client.ask(&Question::Member).map_err(CliError::new)?.height;
    let progress = Progress::bar("looking for your transactions", newest.min(SEARCHED_BLOCKS));
    let (mut found, mut tried) = (Vec::new(), 0);
    let mut end = newest;
    'searching: while end > 0 && newest - end < SEARCHED_BLOCKS {
        let from = end.saturating_sub(u64::from(PAGE) - 1).max(1);
        let blocks = client.blocks(from, PAGE).map_err(CliError::new)?;
        if blocks.is_empty() {
            break;
        }
        for certified in blocks.iter().rev() {
            let block = Block::decode(&certified.block, MAX_BLOCK_BYTES).map_err(CliError::new)?;
            if block.height() > end {
                continue;
            }
            progress.advance();
            for transaction in block.transactions.iter().rev() {
                tried += 1;
                if let Some((_, outcomes)) = row(client, &block, transaction, true)? {
                    let (id, when) = (transaction.id(), time(block.header.time_ms));
                    found.push(format!(
                        "{id} at height {}, {when}: {outcomes}",
                        block.height()
                    ));
                }
                if found.len() >= SUGGESTED_MAX || tried >= SEARCHED_TRANSACTIONS {
                    break 'searching;
                }
            }
        }
        end = from.saturating_sub(1);
    }
    progress.finish();
    Ok(found)
}

fn refused(what: impl std::fmt::Display) -> CliError {
    CliError::with_exit(
        Exit::AuditFailed,
        format!("the receipt does not hold: {what}"),
    )
}

fn verify(context: &Context, receipt: &Path, genesis: &Path) -> Result<()> {
    let bytes = read_proof(receipt, MAX_RECEIPT_BYTES)?;
    let bytes = bytes.ok_or_else(|| refused("it is too large for a receipt"))?;
    let genesis = genesis_for_proof(genesis)?;
    let receipt = Receipt::decode(&bytes).map_err(refused)?;
    let proven = receipt.verify(&genesis).map_err(refused)?;
    context.say(
        &to_json(&genesis, &receipt, &proven),
        &to_text(&genesis, &receipt, &proven),
    );
    Ok(())
}

/// Heights after which other validators voted, up to the receipt's certificate.
fn changes(receipt: &Receipt) -> Vec<u64> {
    let steps = receipt.proof.steps.iter();
    steps.map(|step| step.header.height).collect()
}

/// The name of the node that carried the transaction, as far as the receipt tells who was in office.
fn carrier(genesis: &Genesis, receipt: &Receipt) -> Option<String> {
    let epoch = receipt.proof.headers.first()?.epoch;
    let first = genesis.first_epoch();
    let defined = receipt.proof.steps.iter();
    let defined = defined.filter_map(|step| step.header.next_epoch.as_ref());
    let known: Vec<&EpochDefinition> = std::iter::once(&first).chain(defined).collect();
    let last = known.iter().rfind(|definition| definition.epoch <= epoch)?;
    let place = usize::from(receipt.carrier);
    if let Some(seat) = last.validators.get(place) {
        return Some(seat.name.clone());
    }
    // Observers may change without a step, so their places are sure only in the epoch that is known itself.
    let observer = place.checked_sub(last.validators.len())?;
    let seat = last.observers.get(observer)?;
    (last.epoch == epoch).then(|| seat.name.clone())
}

fn to_json(genesis: &Genesis, receipt: &Receipt, proven: &Proven) -> Value {
    let outcomes: Vec<Value> = receipt
        .outcomes
        .shown
        .iter()
        .map(|one| {
            let (mut value, _) = outcome(&one.outcome);
            if let Value::Object(object) = &mut value {
                object.insert("order".to_owned(), json!(one.order));
            }
            value
        })
        .collect();
    json!({
        "holds": true,
        "network": genesis.network().to_string(),
        "network_name": genesis.network_name,
        "transaction": receipt.transaction.to_string(),
        "height": proven.height,
        "time": time(proven.time_ms),
        "carrier": carrier(genesis, receipt),
        "orders": receipt.outcomes.orders,
        "outcomes": outcomes,
        "committed_by": proven.committed_by,
        "epoch": proven.epoch,
        "validators_changed_after": changes(receipt),
    })
}

fn to_text(genesis: &Genesis, receipt: &Receipt, proven: &Proven) -> String {
    let carried = carrier(genesis, receipt);
    let carried = carried.unwrap_or_else(|| format!("the node at place {}", receipt.carrier));
    let changes: Vec<String> = changes(receipt).iter().map(u64::to_string).collect();
    let passed = match changes.as_slice() {
        [] => "the founding validators were in office throughout".to_owned(),
        heights => format!("other validators after height {}", heights.join(", ")),
    };
    let mut text = format!(
        "the receipt holds\n  network       {} ({})\n  transaction   {}\n  height        {}\n  ledger time   {}\n  \
         carried by    {carried}\n  committed by  height {}\n  epochs        {} passed; {passed}\n  outcomes      ",
        genesis.network_name,
        genesis.network(),
        receipt.transaction,
        proven.height,
        time(proven.time_ms),
        proven.committed_by,
        proven.epoch,
    );
    let shown: Vec<String> = receipt
        .outcomes
        .shown
        .iter()
        .map(|one| format!("order {}: {}", one.order, outcome(&one.outcome).1))
        .collect();
    text.push_str(&shown.join("\n                "));
    let hidden = receipt.outcomes.orders.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        text.push_str(&format!("\n                {hidden} not shown"));
    }
    text
}
