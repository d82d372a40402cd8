//! The ledger against the demo's own book: every account, every registry, every total.

use std::collections::BTreeMap;

use sealbook_securities::Decimal;
use serde_json::Value;

use crate::action::{Action, Ask, When};
use crate::arguments::Wait;
use crate::demo::cast::{BANK, REGULATOR};
use crate::demo::plan::Plan;
use crate::demo::text::{Teller, grouped};
use crate::demo::year::Done;
use crate::error::{CliError, Result};
use crate::session::Session;

/// How many differences an error names.
const NAMED_MAX: usize = 5;

/// What a member is told.
///
/// # Errors
/// The network cannot be reached, or the ledger gave no answer.
pub fn ask(session: &mut Session, member: &str, ask: Ask) -> Result<Value> {
    let done = session.perform(member, Action::Ask(ask), Wait::Final)?;
    let code = done.code.unwrap_or_default();
    done.answer
        .ok_or_else(|| CliError::new(format!("{member} got no answer: {} {code}", done.outcome)))
}

/// The registry of an issue as it stands.
pub const fn registry_now(isin: sealbook_securities::Isin) -> Ask {
    Ask::Registry {
        isin,
        as_of: When::Moment(sealbook_sdk::AsOf::Now),
    }
}

/// A decimal string of an answer, in units of `10^-decimals`.
fn units(value: &Value, decimals: u8) -> Option<u64> {
    let decimal: Decimal = value.as_str()?.parse().ok()?;
    u64::try_from(decimal.units(decimals)?).ok()
}

/// The text of a field.
pub fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The rows of a field.
pub fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

struct Comparison {
    compared: u64,
    differences: Vec<String>,
}

impl Comparison {
    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ledger: &T, book: &T) {
        self.compared += 1;
        if ledger != book {
            self.differences.push(format!(
                "{what}: the ledger says {ledger:?}, the book {book:?}"
            ));
        }
    }
}

/// Compares everything and says so.
///
/// # Errors
/// The network cannot be reached, or anything differs.
pub fn all(session: &mut Session, plan: &Plan, done: &Done, teller: &mut Teller) -> Result<()> {
    let mut comparison = Comparison {
        compared: 0,
        differences: Vec::new(),
    };
    let accounts = holdings(session, plan, &mut comparison)?;
    let (holders, shareholders) = registries(session, plan, &mut comparison)?;
    totals(session, plan, done, &mut comparison)?;
    let differences = comparison.differences;
    if !differences.is_empty() {
        let named: Vec<String> = differences.iter().take(NAMED_MAX).cloned().collect();
        let count = differences.len();
        return Err(CliError::new(format!(
            "the ledger differs from the demo's own book in {count} places:\n  {}",
            named.join("\n  ")
        )));
    }
    teller.fact(
        "holdings",
        format_args!(
            "{accounts} accounts as their {} firms see them",
            plan.cast.firms.len()
        ),
    )?;
    teller.fact("registries", format_args!(
        "{} issues: {holders} rows as the regulator sees them, {shareholders} as the issuers do",
        plan.data.shares.len()
    ))?;
    teller.fact(
        "totals",
        "units issued, money minted, trades settled, no trade left open",
    )?;
    teller.fact(
        "result",
        format_args!(
            "{} figures compared, all equal",
            grouped(comparison.compared)
        ),
    )
}

fn holdings(session: &mut Session, plan: &Plan, comparison: &mut Comparison) -> Result<usize> {
    let mut seen = 0;
    for (place, firm) in plan.cast.firms.iter().enumerate() {
        let answer = ask(session, firm.as_str(), Ask::Holdings)?;
        let mut found = BTreeMap::new();
        for row in rows(&answer, "accounts") {
            let mut assets = BTreeMap::new();
            for asset in rows(row, "assets") {
                let code = field(asset, "asset");
                let decimals = if code == "USD" { 2 } else { 0 };
                let amounts = ["quantity", "blocked"].map(|name| units(&asset[name], decimals));
                assets.insert(code.to_owned(), amounts);
            }
            found.insert(
                field(row, "account").to_owned(),
                (field(row, "holder").to_owned(), assets),
            );
        }
        let mut expected = BTreeMap::new();
        for account in plan
            .cast
            .accounts
            .iter()
            .filter(|account| account.firm == place)
        {
            let shares = plan.data.shares.iter();
            let held = shares.map(|share| {
                (
                    share.isin.to_string(),
                    plan.book.units(account.id, share.isin),
                )
            });
            let money = ("USD".to_owned(), plan.book.cents(account.id));
            let assets: BTreeMap<String, [Option<u64>; 2]> = held
                .chain([money])
                .filter(|(_, amount)| *amount > 0)
                .map(|(code, amount)| (code, [Some(amount), Some(0)]))
                .collect();
            expected.insert(account.id.to_string(), (account.holder.to_string(), assets));
        }
        let names = |map: &BTreeMap<String, _>| map.keys().cloned().collect::<Vec<_>>();
        comparison.equal(
            &format!("accounts of {firm}"),
            &names(&found),
            &names(&expected),
        );
        for (account, assets) in &expected {
            comparison.equal(account, &found.get(account), &Some(assets));
        }
        seen += found.len();
    }
    treasuries(session, plan, comparison)?;
    Ok(seen)
}

/// The treasuries, which belong to no firm, as the regulator sees them: dividends and proceeds
/// among their money.
fn treasuries(session: &mut Session, plan: &Plan, comparison: &mut Comparison) -> Result<()> {
    let answer = ask(session, REGULATOR, Ask::Holdings)?;
    for (treasury, share) in plan.cast.treasuries.iter().zip(&plan.data.shares) {
        let accounts = rows(&answer, "accounts");
        let row = accounts
            .iter()
            .find(|row| field(row, "account") == treasury.as_str());
        let held = |code: &str, decimals| {
            let assets = row.map_or(&[][..], |row| rows(row, "assets"));
            let asset = assets.iter().find(|asset| field(asset, "asset") == code);
            asset.map_or(Some(0), |asset| units(&asset["quantity"], decimals))
        };
        let found = (row.is_some(), held(share.isin.as_str(), 0), held("USD", 2));
        let expected = (
            plan.book.units(*treasury, share.isin),
            plan.book.cents(*treasury),
        );
        comparison.equal(
            treasury.as_str(),
            &found,
            &(true, Some(expected.0), Some(expected.1)),
        );
    }
    Ok(())
}

fn registries(
    session: &mut Session,
    plan: &Plan,
    comparison: &mut Comparison,
) -> Result<(usize, usize)> {
    let (mut full_rows, mut issuer_rows) = (0, 0);
    for (place, share) in plan.data.shares.iter().enumerate() {
        let treasury = plan.cast.treasury(place)?;
        let mut holders = plan.book.holders(share.isin);
        let issued: u64 = holders.values().sum();
        let kept = holders.remove(&treasury).unwrap_or(0);
        let mut expected = Vec::new();
        let mut shareholders = Vec::new();
        for (id, quantity) in holders {
            let account = plan.cast.accounts.iter().find(|account| account.id == id);
            let account = account.ok_or_else(|| CliError::new("the demo lacks an account"))?;
            let (holder, firm) = (
                account.holder.to_string(),
                plan.cast.firm(account.firm)?.to_string(),
            );
            shareholders.push((holder.clone(), Some(quantity)));
            expected.push((id.to_string(), holder, firm, Some(quantity)));
        }
        shareholders.sort();
        let text = |row: &Value, name: &str| field(row, name).to_owned();
        let number = |row: &Value| units(&row["quantity"], 0);

        let full = ask(session, REGULATOR, registry_now(share.isin))?;
        let found: Vec<_> = rows(&full, "holders")
            .iter()
            .map(|row| {
                (
                    text(row, "account"),
                    text(row, "holder"),
                    text(row, "firm"),
                    number(row),
                )
            })
            .collect();
        let issuer = plan.cast.issuers.get(place);
        let issuer = issuer.ok_or_else(|| CliError::new("the demo lacks an issuer"))?;
        let own = ask(session, issuer.as_str(), registry_now(share.isin))?;
        let found_own: Vec<_> = rows(&own, "holders")
            .iter()
            .map(|row| (text(row, "holder"), number(row)))
            .collect();
        comparison.equal(&format!("registry of {}", share.isin), &found, &expected);
        comparison.equal(
            &format!("shareholders of {}", share.isin),
            &found_own,
            &shareholders,
        );
        for answer in [&full, &own] {
            let sums = (units(&answer["issued"], 0), units(&answer["treasury"], 0));
            comparison.equal(
                &format!("totals of {}", share.isin),
                &sums,
                &(Some(issued), Some(kept)),
            );
        }
        full_rows += found.len();
        issuer_rows += found_own.len();
    }
    Ok((full_rows, issuer_rows))
}

fn totals(
    session: &mut Session,
    plan: &Plan,
    done: &Done,
    comparison: &mut Comparison,
) -> Result<()> {
    let audit = ask(session, REGULATOR, Ask::Audit)?;
    let minted: Vec<_> = rows(&audit, "currencies")
        .iter()
        .map(|row| {
            (
                field(row, "currency"),
                field(row, "agent"),
                units(&row["minted"], 2),
            )
        })
        .collect();
    comparison.equal(
        "money",
        &minted,
        &vec![("USD", BANK, Some(plan.book.minted()))],
    );
    comparison.equal(
        "money of all accounts",
        &plan.book.cents_total(),
        &plan.book.minted(),
    );
    let issues: Vec<_> = rows(&audit, "issues")
        .iter()
        .map(|row| (field(row, "isin").to_owned(), units(&row["issued"], 0)))
        .collect();
    let mut expected: Vec<_> = plan
        .data
        .shares
        .iter()
        .map(|share| {
            (
                share.isin.to_string(),
                Some(plan.book.holders(share.isin).values().sum::<u64>()),
            )
        })
        .collect();
    expected.sort();
    comparison.equal("issues", &issues, &expected);
    let number = |name: &str| audit.get(name).and_then(Value::as_u64);
    comparison.equal(
        "trades settled",
        &number("trades_settled"),
        &Some(done.trades),
    );
    comparison.equal("trades open", &number("trades_open"), &Some(0));
    // The treasuries of the dividend payers were given exactly what the year's dividends cost.
    for (place, share) in plan.data.shares.iter().enumerate() {
        if place != plan.data.offering.share {
            let left = plan.book.cents(plan.cast.treasury(place)?);
            comparison.equal(
                &format!("what dividends left with {}", share.ticker),
                &left,
                &0,
            );
        }
    }
    Ok(())
}
