//! The year on the ledger: the plan's orders through the members' own clients, every outcome
//! checked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealbook_primitives::hash::Digest;
use sealbook_sdk::{Prepared, Stage, Submitted};
use sealbook_securities::{BusinessDate, ClientReference, Status};

use crate::action::Action;
use crate::arguments::Wait;
use crate::demo::cast::{ADMIN, Purpose};
use crate::demo::plan::{Day, Plan, Round, Trade};
use crate::demo::text::{self, Teller, grouped};
use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::session::Session;

/// The trade that the demo looks at from all sides.
pub struct Chosen {
    /// The trade.
    pub trade: Trade,
    /// Its day.
    pub date: BusinessDate,
    /// The envelope that recorded it.
    pub transaction: Digest,
    /// The block with that envelope.
    pub height: u64,
}

/// What happened on the ledger.
#[derive(Default)]
pub struct Done {
    /// Envelopes submitted.
    pub envelopes: u64,
    /// Orders in them.
    pub orders: u64,
    /// Trades settled.
    pub trades: u64,
    /// Their payments, in cents.
    pub cents: u64,
    /// Dividends paid, in cents.
    pub dividend_cents: u64,
    /// How long the year's days took.
    pub elapsed: Duration,
    /// The trade to look at.
    pub chosen: Option<Chosen>,
}

/// One month, as it is told.
#[derive(Default)]
struct Month {
    days: u64,
    trades: u64,
    units: u64,
    cents: u64,
    /// Last price of each share.
    closes: BTreeMap<usize, u64>,
    events: Vec<String>,
}

/// Gives a round of orders to the ledger and checks every outcome.
fn perform(
    session: &mut Session,
    round: &Round,
    stage: Stage,
    done: &mut Done,
) -> Result<BTreeMap<String, Submitted>> {
    let mut envelopes = BTreeMap::new();
    for (member, orders) in round {
        let mut prepared = Vec::with_capacity(orders.len());
        for order in orders {
            let reference = order
                .reference
                .as_deref()
                .map(ClientReference::from_user)
                .transpose();
            let reference = reference.map_err(CliError::new)?;
            let instruction = order.instruction.clone();
            prepared.push(Prepared::instruction(reference, instruction).map_err(CliError::new)?);
        }
        envelopes.insert(member.clone(), prepared);
    }
    let results = session.submit_together(&envelopes, stage)?;
    if results.len() != round.len() {
        return Err(CliError::new("a member's envelope got no result"));
    }
    for ((member, orders), submitted) in round.iter().zip(&results) {
        let expected: Vec<Status> = orders.iter().map(|order| order.expected).collect();
        check(member, submitted, &expected, |place| {
            orders
                .get(place)
                .map_or_else(String::new, |order| format!("{:?}", order.instruction))
        })?;
        done.envelopes += 1;
        done.orders += orders.len() as u64;
    }
    Ok(round.keys().cloned().zip(results).collect())
}

fn check(
    member: &str,
    submitted: &Submitted,
    expected: &[Status],
    what: impl Fn(usize) -> String,
) -> Result<()> {
    for (place, expected) in expected.iter().enumerate() {
        // An envelope that was refused whole has one outcome for all of its orders.
        let outcome = submitted
            .outcomes
            .get(place)
            .or_else(|| submitted.outcomes.first());
        let outcome = outcome.ok_or_else(|| CliError::new("the ledger gave no outcome"))?;
        if outcome.status != *expected {
            let what = what(place);
            return Err(CliError::new(format!(
                "{member}: {outcome}, not {expected}: {what}"
            )));
        }
    }
    if submitted.outcomes.len() == expected.len() {
        return Ok(());
    }
    Err(CliError::new(format!(
        "{member}: the ledger gave another number of outcomes than of orders"
    )))
}

/// Enrols everybody and opens all accounts.
///
/// # Errors
/// The network cannot be reached, or the ledger refused something.
pub fn enrol(session: &mut Session, plan: &Plan, done: &mut Done) -> Result<()> {
    let enrolments = plan.cast.enrolments(&plan.data)?;
    let progress = Progress::bar("enrolling members", enrolments.len() as u64);
    for enrolment in enrolments {
        let name = enrolment.name.clone();
        let crate::members::Enrolment {
            name: member,
            organisation,
            role,
            lei,
        } = enrolment;
        let action = Action::Enrol {
            name: member,
            role,
            organisation,
            lei,
        };
        let result = session.perform(ADMIN, action, Wait::Final)?;
        if result.outcome != Status::Settled.as_str() {
            let code = result.code.unwrap_or_default();
            return Err(CliError::new(format!(
                "enrolling {name}: {} {code}",
                result.outcome
            )));
        }
        done.envelopes += 1;
        done.orders += 1;
        progress.advance();
    }
    progress.now("opening accounts");
    let mut envelopes: BTreeMap<String, Vec<Prepared>> = BTreeMap::new();
    for account in &plan.cast.accounts {
        let firm = plan.cast.firm(account.firm)?;
        let client = session.client(firm.as_str())?;
        let prepared = client
            .prepare_account(account.id, &account.holder)
            .map_err(CliError::new)?;
        envelopes
            .entry(firm.to_string())
            .or_default()
            .push(prepared);
    }
    let results = session.submit_together(&envelopes, Stage::Outcome)?;
    for ((member, orders), submitted) in envelopes.iter().zip(&results) {
        let expected = vec![Status::Settled; orders.len()];
        check(member, submitted, &expected, |_| "open-account".to_owned())?;
        done.envelopes += 1;
        done.orders += orders.len() as u64;
    }
    progress.finish();
    Ok(())
}

/// Before the year: issues, first holders, money.
///
/// # Errors
/// The network cannot be reached, or the ledger refused something.
pub fn furnish(session: &mut Session, plan: &mut Plan, done: &mut Done) -> Result<()> {
    for round in plan.furnish()? {
        perform(session, &round, Stage::Outcome, done)?;
    }
    Ok(())
}

/// The day of the highest close of the first share: a trade of that day is looked at from all
/// sides.
fn day_to_look_at(plan: &Plan) -> Option<BusinessDate> {
    let closes = plan.data.days.iter().filter_map(|(date, quotes)| {
        let quote = quotes.iter().find(|quote| quote.share == 0)?;
        Some((quote.close, *date))
    });
    closes.max().map(|(_, date)| date)
}

/// A trade of the first share, between two clients if there is one.
fn trade_to_look_at<'a>(plan: &Plan, day: &'a Day) -> Option<&'a Trade> {
    let is_client = |place| {
        plan.cast
            .account(place)
            .is_ok_and(|account| account.purpose == Purpose::Client)
    };
    let clients =
        |trade: &&Trade| u8::from(is_client(trade.seller)) + u8::from(is_client(trade.buyer));
    day.trades
        .iter()
        .filter(|trade| trade.share == 0)
        .max_by_key(clients)
}

/// All trading days.
///
/// # Errors
/// The network cannot be reached, or an outcome is not the planned one.
pub fn run(
    session: &mut Session,
    plan: &mut Plan,
    teller: &mut Teller,
    done: &mut Done,
) -> Result<()> {
    let started = Instant::now();
    let dates: Vec<BusinessDate> = plan.data.days.keys().copied().collect();
    let look_at = day_to_look_at(plan);
    let progress = Progress::bar("trading days", dates.len() as u64);
    progress.aside(|| teller.say(head(plan)))?;
    let mut month = Month::default();
    for (place, date) in dates.iter().enumerate() {
        progress.now(&date.to_string());
        let day = plan.day(*date)?;
        for round in &day.before {
            perform(session, round, Stage::Outcome, done)?;
        }
        let recorded = perform(session, &day.record, Stage::Outcome, done)?;
        let next = dates.get(place + 1);
        // The year is over only when its last trade is final.
        let stage = if next.is_some() {
            Stage::Outcome
        } else {
            Stage::Final
        };
        perform(session, &day.confirm, stage, done)?;
        if look_at == Some(*date) {
            done.chosen = choose(plan, &day, &recorded)?;
        }
        month.add(plan, &day);
        done.trades += day.trades.len() as u64;
        done.cents += day.trades.iter().map(|trade| trade.cents).sum::<u64>();
        done.dividend_cents += day.dividend_cents;
        progress.advance();
        if next.is_none_or(|next| next.month() != date.month()) {
            progress.aside(|| teller.say(month.told(plan, *date)))?;
            month = Month::default();
        }
    }
    progress.finish();
    done.elapsed = started.elapsed();
    Ok(())
}

fn choose(
    plan: &Plan,
    day: &Day,
    recorded: &BTreeMap<String, Submitted>,
) -> Result<Option<Chosen>> {
    let Some(trade) = trade_to_look_at(plan, day) else {
        return Ok(None);
    };
    let seller = plan.cast.firm(plan.cast.account(trade.seller)?.firm)?;
    let Some(submitted) = recorded.get(seller.as_str()) else {
        return Ok(None);
    };
    Ok(Some(Chosen {
        trade: trade.clone(),
        date: day.date,
        transaction: submitted.transaction,
        height: submitted.height,
    }))
}

fn head(plan: &Plan) -> String {
    let mut line = format!(
        "  {:<8} {:>4} {:>7} {:>11} {:>12} ",
        "month", "days", "trades", "shares", "USD million"
    );
    for share in &plan.data.shares {
        line.push_str(&format!(" {:>7}", share.ticker));
    }
    format!("{line}\n  {}", "-".repeat(line.chars().count() - 2))
}

impl Month {
    fn add(&mut self, plan: &Plan, day: &Day) {
        self.days += 1;
        self.trades += day.trades.len() as u64;
        self.units += day.trades.iter().map(|trade| trade.units).sum::<u64>();
        self.cents += day.trades.iter().map(|trade| trade.cents).sum::<u64>();
        let quotes = plan.data.days.get(&day.date).into_iter().flatten();
        self.closes
            .extend(quotes.map(|quote| (quote.share, quote.close)));
        // The date stands before the first line of a day, as in a diary.
        let dates = std::iter::once(day.date.to_string()).chain(std::iter::repeat(String::new()));
        let events = dates
            .zip(&day.events)
            .map(|(date, event)| format!("    {date:<10}  {event}"));
        self.events.extend(events);
    }

    fn told(&self, plan: &Plan, last: BusinessDate) -> String {
        let name = format!("{:04}-{:02}", last.year(), last.month());
        let (units, cents) = (grouped(self.units), text::millions(self.cents));
        let mut told = format!(
            "  {name:<8} {:>4} {:>7} {units:>11} {cents:>12} ",
            self.days, self.trades
        );
        for share in 0..plan.data.shares.len() {
            let close = self
                .closes
                .get(&share)
                .map_or_else(|| "-".to_owned(), |close| text::price(*close));
            told.push_str(&format!(" {close:>7}"));
        }
        for event in &self.events {
            told.push('\n');
            told.push_str(event);
        }
        told
    }
}
