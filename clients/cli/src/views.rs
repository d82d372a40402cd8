//! What the ledger answers, as JSON. The only place where the contract's views become text for users.

use borsh::BorshDeserialize;
use sealbook_primitives::hash::Digest;
use sealbook_sdk::Answer;
use sealbook_securities::{
    AccessLogView, AccessRow, AccessedView, Amount, AuditView, HoldingsView, RecordTime,
    RegistryHolders, RegistryView, TradeRow, TradeStatus, TradesView,
};
use serde_json::{Value, json};

use crate::action::Ask;
use crate::error::{CliError, Result};
use crate::events;
use crate::operations::time;

/// Decodes what the module encoded.
///
/// # Errors
/// It is something else.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T> {
    T::try_from_slice(bytes).map_err(|_| CliError::new("the ledger answered something else"))
}

/// The JSON of a view, of the kind that was asked for.
///
/// # Errors
/// The bytes are of another kind.
pub fn to_json(ask: &Ask, answer: &Answer, bytes: &[u8]) -> Result<Value> {
    Ok(match ask {
        Ask::Registry { .. } => registry(&decode(bytes)?),
        Ask::Holdings => holdings(&decode(bytes)?),
        Ask::Trades => trades(&decode(bytes)?),
        Ask::Audit => {
            let mut value = audit(&decode(bytes)?);
            if let Value::Object(object) = &mut value {
                object.insert(
                    "state_root".to_owned(),
                    json!(answer.state_root.to_string()),
                );
            }
            value
        }
        Ask::AccessLog(_) => access_log(&decode(bytes)?),
        Ask::Events(_) => events::to_json(&decode(bytes)?),
    })
}

fn access_log(view: &AccessLogView) -> Value {
    let readings: Vec<Value> = view.rows.iter().map(reading).collect();
    json!({ "readings": readings, "more": view.more })
}

/// A reading of what is others'.
pub fn reading(row: &AccessRow) -> Value {
    let certificate = Digest(row.certificate).to_string();
    let mut reading = json!({
        "reader": row.reader.as_str(),
        "certificate": certificate,
        "height": row.height,
        "time": time(row.time_ms),
        "disclosed_from": time(row.disclosed_ms),
        "delayed": row.disclosed_ms > row.time_ms,
    });
    if let Value::Object(object) = &mut reading {
        let read = match row.read {
            AccessedView::Registry { isin, as_of } => {
                object.insert("isin".to_owned(), json!(isin.as_str()));
                object.insert("as_of".to_owned(), moment(as_of));
                "registry"
            }
            AccessedView::Holdings => "holdings",
            AccessedView::Trades => "trades",
            AccessedView::Audit => "audit",
        };
        object.insert("read".to_owned(), json!(read));
    }
    reading
}

/// A moment, as users name it.
pub fn moment(as_of: RecordTime) -> Value {
    match as_of {
        RecordTime::Now => json!("now"),
        RecordTime::Height(height) => json!({ "height": height }),
        RecordTime::Time(time_ms) => json!({ "time": time(time_ms) }),
        RecordTime::Date(date) => json!({ "date": date.to_string() }),
    }
}

fn text(amount: Amount) -> String {
    amount.to_string()
}

fn registry(view: &RegistryView) -> Value {
    let holders: Vec<Value> = match &view.holders {
        RegistryHolders::Shareholders(rows) => rows
            .iter()
            .map(|row| json!({"holder": row.holder, "quantity": text(row.quantity)}))
            .collect(),
        RegistryHolders::Full(rows) => rows
            .iter()
            .map(|row| {
                json!({
                    "account": row.account.as_str(),
                    "holder": row.holder,
                    "firm": row.firm.as_str(),
                    "quantity": text(row.quantity),
                })
            })
            .collect(),
    };
    json!({
        "isin": view.isin.as_str(),
        "as_of_height": view.as_of_height,
        "issued": text(view.issued),
        "treasury": text(view.treasury),
        "holders": holders,
    })
}

fn holdings(view: &HoldingsView) -> Value {
    let accounts: Vec<Value> = view
        .accounts
        .iter()
        .map(|account| {
            let assets: Vec<Value> = account
                .assets
                .iter()
                .map(|asset| {
                    json!({
                        "asset": asset.asset.as_str(),
                        "quantity": text(asset.quantity),
                        "blocked": text(asset.blocked),
                    })
                })
                .collect();
            json!({
                "account": account.account.as_str(),
                "holder": account.holder,
                "assets": assets,
            })
        })
        .collect();
    json!({ "accounts": accounts })
}

fn trades(view: &TradesView) -> Value {
    let trades: Vec<Value> = view.trades.iter().map(trade).collect();
    json!({ "trades": trades })
}

/// A trade.
pub fn trade(trade: &TradeRow) -> Value {
    let mut row = json!({
        "id": trade.reference.as_str(),
        "recorder": trade.recorder.as_str(),
        "side": trade.side.as_str(),
        "recorder_account": trade.recorder_account.map(|account| account.to_string()),
        "counterparty": trade.counterparty.as_str(),
        "counterparty_account": trade.counterparty_account.map(|account| account.to_string()),
        "isin": trade.isin.as_str(),
        "quantity": text(trade.quantity),
        "currency": trade.currency.as_str(),
        "amount": text(trade.amount),
        "status": match trade.status {
            TradeStatus::Open => "pending",
            TradeStatus::Settled => "settled",
        },
        "recorded_height": trade.recorded_height,
        "settled_height": trade.settled_height,
    });
    if let (Value::Object(object), Some(venue)) = (&mut row, trade.venue) {
        object.insert("venue".to_owned(), json!(venue.as_str()));
    }
    row
}

/// Totals per issue and currency.
pub fn audit(view: &AuditView) -> Value {
    let issues: Vec<Value> = view
        .issues
        .iter()
        .map(|issue| {
            json!({
                "isin": issue.isin.as_str(),
                "issued": text(issue.issued),
                "treasury": text(issue.treasury),
                "held": text(issue.held),
                "holders": issue.holders,
            })
        })
        .collect();
    let currencies: Vec<Value> = view
        .currencies
        .iter()
        .map(|currency| {
            json!({
                "currency": currency.currency.as_str(),
                "agent": currency.agent.as_str(),
                "minted": text(currency.minted),
            })
        })
        .collect();
    json!({
        "height": view.height,
        "business_date": view.business_date.map(|date| date.to_string()),
        "issues": issues,
        "currencies": currencies,
        "members": view.counts.members,
        "accounts": view.counts.accounts,
        "trades_open": view.counts.trades_open,
        "trades_settled": view.counts.trades_settled,
    })
}
