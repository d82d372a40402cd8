//! Events as lines: what happened to what is the member's own, once, in order, from where it was left.
//!
//! ```text
//! cursor file -> ask -> print the events -> cursor file again
//! ```
//!
//! A cursor is saved after the events before it are printed. So a command that is killed between the two prints some again when
//! it goes on, under the same `at`; none is left out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::fsync;
use rustix::io::Errno;
use sealbook_primitives::hash::Digest;
use sealbook_sdk::{ClientError, Events};
use sealbook_securities::{
    AccessRow, AccountId, Effect, Event, EventCursor, EventRow, EventsView, Outcome, Status,
    TradeStatus,
};
use serde_json::{Map, Value, json};

use crate::arguments::EventsArguments;
use crate::error::{CliError, Exit, Result, doing};
use crate::network::NetworkFiles;
use crate::operations::{Context, time};
use crate::output;
use crate::session::{Done, Session};
use crate::views;

/// The largest file with a cursor.
const CURSOR_BYTES_MAX: u64 = 256;
/// How long it waits after something went wrong, milliseconds.
const RETRY_MS: u64 = 1_000;
/// For how long a cursor that no event came before is not saved.
const UNCHANGED_FOR: Duration = Duration::from_secs(10);

/// What a cursor looks like.
pub const CURSOR: &str =
    "a cursor is a height, the `at` of an event or the `next` of an answer, such as 17.2";

/// Reads a cursor: a height, or a height and how many of the caller's events in that block come before.
pub fn cursor(text: &str) -> Option<EventCursor> {
    let (height, place) = text.split_once('.').unwrap_or((text, "0"));
    Some(EventCursor {
        height: digits(height)?,
        place: digits(place)?,
    })
}

/// A number as it is written: digits alone.
fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn shown(cursor: EventCursor) -> String {
    format!("{}.{}", cursor.height, cursor.place)
}

/// `sealbook events`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, arguments: &EventsArguments) -> Result<()> {
    let files = context.files()?;
    let mut kept = match &arguments.cursor {
        Some(file) => Some(Kept::open(file, context, &files)?),
        None => None,
    };
    let mut from = match (&kept, &arguments.from) {
        (Some(kept), _) => kept.cursor,
        (None, Some(from)) => cursor(from).ok_or_else(|| {
            CliError::with_exit(Exit::Usage, format!("`{from}` is no cursor")).hint(CURSOR)
        })?,
        (None, None) => EventCursor::default(),
    };
    let mut session = Session::open(&files)?;
    let client = session.client(&context.member)?;
    loop {
        let view = match client.events(from) {
            Ok(Events::Told(view)) => view,
            Ok(Events::Refused(outcome)) => {
                let height = client.height_known();
                return context.finish(&Done::refused(outcome, height));
            }
            // Whatever it is, it may go better in a while; only keys that cannot be used do not change by themselves.
            Err(error) if arguments.follow && !matches!(error, ClientError::Identity(_)) => {
                output::problem(&CliError::new(error));
                thread::sleep(Duration::from_millis(arguments.every_ms.max(RETRY_MS)));
                continue;
            }
            Err(error) => return Err(CliError::new(error)),
        };
        if !print(context, &view)? {
            // Nobody reads any more: what could not be written stays to be told.
            return Ok(());
        }
        from = view.next;
        if let Some(kept) = &mut kept {
            kept.save(from, !view.rows.is_empty() || !arguments.follow)?;
        }
        if view.more {
            continue;
        }
        if !arguments.follow {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(arguments.every_ms));
    }
}

/// Prints events; false if nobody reads them. Where they go to a file, they are on its disk afterwards.
fn print(context: &Context, view: &EventsView) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    let mut write = || {
        for row in &view.rows {
            let line = if context.json {
                row_to_json(row).to_string()
            } else {
                row_to_text(row)
            };
            writeln!(out, "{line}")?;
        }
        out.flush()
    };
    match write() {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
        Err(error) => return Err(doing("standard output")(error)),
    }
    if !view.rows.is_empty() {
        match fsync(&out) {
            // A pipe or a terminal has nothing to bring to a disk.
            Ok(()) | Err(Errno::INVAL | Errno::ROFS | Errno::NOTSUP) => {}
            Err(error) => return Err(doing("standard output")(error)),
        }
    }
    Ok(true)
}

/// A file that keeps a cursor: of one member of one network.
struct Kept {
    file: PathBuf,
    /// Whose it is, as it stands in the file.
    whose: String,
    cursor: EventCursor,
    saved: Option<Instant>,
}

impl Kept {
    fn open(file: &Path, context: &Context, files: &NetworkFiles) -> Result<Self> {
        let whose = format!("{} {}", context.member, files.genesis()?.network());
        Ok(Self {
            cursor: saved(file, &whose)?,
            file: file.to_owned(),
            whose,
            saved: None,
        })
    }

    /// Saves a cursor, at once if it `counts`, else every now and then: that nothing happened is soon told again.
    fn save(&mut self, cursor: EventCursor, counts: bool) -> Result<()> {
        let recently = |saved: Instant| saved.elapsed() < UNCHANGED_FOR;
        if cursor == self.cursor || !counts && self.saved.is_some_and(recently) {
            return Ok(());
        }
        write_whole(&self.file, &format!("{} {}\n", shown(cursor), self.whose))?;
        (self.cursor, self.saved) = (cursor, Some(Instant::now()));
        Ok(())
    }
}

/// The cursor in a file, or the beginning where there is none yet.
fn saved(file: &Path, whose: &str) -> Result<EventCursor> {
    let length = match std::fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(EventCursor::default());
        }
        Err(error) => return Err(doing(file.display())(error)),
    };
    let text = if length <= CURSOR_BYTES_MAX {
        std::fs::read_to_string(file).map_err(doing(file.display()))?
    } else {
        String::new()
    };
    let parts = text
        .strip_suffix('\n')
        .and_then(|line| line.split_once(' '));
    let known = parts.and_then(|(at, of)| Some((cursor(at)?, of)));
    let (cursor, of) = known.ok_or_else(|| {
        CliError::new(format!("`{}` is no cursor's file", file.display()))
            .hint("name another file, or remove this one to begin with the first event")
    })?;
    if of == whose {
        Ok(cursor)
    } else {
        Err(CliError::new(format!(
            "`{}` has the cursor of another member or network",
            file.display()
        ))
        .hint("name a file for each member and network, or remove this one to begin with the first event"))
    }
}

/// Puts text into a file, at once or not at all.
fn write_whole(file: &Path, text: &str) -> Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let problem = || doing(file.display());
    let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(problem())?;
    aside.write_all(text.as_bytes()).map_err(problem())?;
    aside.as_file().sync_all().map_err(problem())?;
    aside
        .persist(file)
        .map_err(|error| problem()(error.error))?;
    Ok(())
}

/// Events, as the answer to a question.
pub fn to_json(view: &EventsView) -> Value {
    let events: Vec<Value> = view.rows.iter().map(row_to_json).collect();
    json!({
        "events": events,
        "height": view.height,
        "next": shown(view.next),
        "more": view.more,
    })
}

fn row_to_json(row: &EventRow) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("at", json!(shown(row.at)));
    put("height", json!(row.at.height));
    put("time", json!(time(row.time_ms)));
    put("event", json!(word(&row.event)));
    match &row.event {
        Event::Order {
            action,
            reference,
            outcome,
            effect,
        } => {
            put("action", json!(action.as_str()));
            put("outcome", json!(outcome.status.as_str()));
            if let Some(code) = outcome.code {
                put("code", json!(code.as_str()));
            }
            if let Some(reference) = reference {
                put("id", json!(reference.as_str()));
            }
            effect_to_json(effect, &mut put);
        }
        Event::Access(access) => {
            if let Value::Object(object) = views::reading(access) {
                for (name, value) in object {
                    // The block that told it may be a later one than that of the reading.
                    let name = match name.as_str() {
                        "height" => "read_height",
                        "time" => "read_time",
                        other => other,
                    };
                    put(name, value);
                }
            }
        }
    }
    Value::Object(fields)
}

fn effect_to_json(effect: &Effect, put: &mut impl FnMut(&str, Value)) {
    let account = |id: &Option<AccountId>| json!(id.map(|id| id.to_string()));
    match effect {
        Effect::None => {}
        Effect::Trade(trade) => put("trade", views::trade(trade)),
        Effect::Units {
            isin,
            quantity,
            from,
            to,
        } => {
            put("isin", json!(isin.as_str()));
            put("quantity", json!(quantity.to_string()));
            put("from", account(from));
            put("to", account(to));
        }
        Effect::Cash {
            currency,
            amount,
            from,
            to,
        } => {
            put("currency", json!(currency.as_str()));
            put("amount", json!(amount.to_string()));
            put("from", account(from));
            put("to", account(to));
        }
        Effect::Registered { isin } => put("isin", json!(isin.as_str())),
        Effect::Mandate {
            firm,
            venue,
            in_force,
        } => {
            put("firm", json!(firm.as_str()));
            put("venue", json!(venue.as_str()));
            put("in_force", json!(in_force));
        }
        Effect::Dividend {
            isin,
            amount_per_unit,
            currency,
            record,
            accounts,
            received,
            paid,
        } => {
            put("isin", json!(isin.as_str()));
            put("amount_per_unit", json!(amount_per_unit.to_string()));
            put("currency", json!(currency.as_str()));
            put("record", views::moment(*record));
            put("accounts", json!(accounts));
            put("received", json!(received.to_string()));
            if let Some(paid) = paid {
                put("paid", json!(paid.to_string()));
            }
        }
        Effect::Split { isin, new, old } => {
            put("isin", json!(isin.as_str()));
            put("new", json!(new));
            put("old", json!(old));
        }
        Effect::Day { date } => put("date", json!(date.to_string())),
    }
}

/// What kind of event it is, in a word.
fn word(event: &Event) -> &'static str {
    match event {
        Event::Access(_) => "access",
        Event::Order {
            reference,
            outcome: Outcome { status, .. },
            effect,
            ..
        } => match (effect, status) {
            (Effect::Dividend { .. } | Effect::Split { .. }, _) => "corporate-action",
            (Effect::Day { .. }, _) => "business-date",
            (Effect::Mandate { .. }, _) => "mandate",
            (Effect::Trade(trade), Status::Pending)
                if reference.is_none() || trade.recorder == trade.counterparty =>
            {
                "trade-to-confirm"
            }
            (_, status) => status.as_str(),
        },
    }
}

fn row_to_text(row: &EventRow) -> String {
    let head = format!(
        "{}  {}  {}",
        shown(row.at),
        time(row.time_ms),
        word(&row.event)
    );
    match &row.event {
        Event::Access(access) => format!("{head}  {}", access_to_text(access)),
        Event::Order {
            action,
            reference,
            outcome,
            effect,
        } => {
            let mut line = format!("{head}  {action}");
            if let Some(reference) = reference {
                line = format!("{line} {reference}");
            }
            if let Some(code) = outcome.code {
                line = format!("{line} {code}");
            }
            match effect_to_text(effect) {
                text if text.is_empty() => line,
                text => format!("{line}  {text}"),
            }
        }
    }
}

fn access_to_text(access: &AccessRow) -> String {
    let read = views::reading(access);
    let text = |name: &str| {
        let text = read.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let certificate = Digest(access.certificate).to_string();
    let certificate = certificate.get(..16).unwrap_or_default();
    format!(
        "{} read {} {}at {} under {certificate}",
        access.reader,
        text("read"),
        match text("isin") {
            isin if isin.is_empty() => isin,
            isin => format!("{isin} "),
        },
        time(access.time_ms)
    )
}

fn effect_to_text(effect: &Effect) -> String {
    let way = |from: &Option<AccountId>, to: &Option<AccountId>| {
        let from = from.map_or_else(String::new, |from| format!(" from {from}"));
        let to = to.map_or_else(String::new, |to| format!(" to {to}"));
        format!("{from}{to}")
    };
    match effect {
        Effect::None => String::new(),
        Effect::Trade(trade) => format!(
            "trade {} of {} ({} {} {} for {} {}, with {}){}",
            trade.reference,
            trade.recorder,
            trade.side.as_str(),
            trade.quantity,
            trade.isin,
            trade.amount,
            trade.currency,
            trade.counterparty,
            match trade.status {
                TradeStatus::Open => " waits",
                TradeStatus::Settled => "",
            }
        ),
        Effect::Units {
            isin,
            quantity,
            from,
            to,
        } => format!("{quantity} {isin}{}", way(from, to)),
        Effect::Cash {
            currency,
            amount,
            from,
            to,
        } => format!("{amount} {currency}{}", way(from, to)),
        Effect::Registered { isin } => isin.to_string(),
        Effect::Mandate {
            firm,
            venue,
            in_force,
        } => {
            let verb = if *in_force { "lets" } else { "no longer lets" };
            format!("{firm} {verb} {venue} submit for it")
        }
        Effect::Dividend {
            isin,
            amount_per_unit,
            currency,
            accounts,
            received,
            paid,
            ..
        } => {
            let all = paid.map_or_else(String::new, |paid| format!("; {paid} in all"));
            format!(
                "{isin} pays {amount_per_unit} {currency} a unit: {received} on {accounts} accounts of yours{all}"
            )
        }
        Effect::Split { isin, new, old } => format!("{isin} {new} for {old}"),
        Effect::Day { date } => date.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_shown() {
        for (text, height, place) in [("0", 0, 0), ("17", 17, 0), ("17.2", 17, 2)] {
            assert_eq!(cursor(text).unwrap(), EventCursor { height, place });
        }
        let most = EventCursor {
            height: u64::MAX,
            place: u32::MAX,
        };
        assert_eq!(cursor(&shown(most)).unwrap(), most);
        for wrong in [
            "",
            ".",
            "1.",
            ".1",
            "1.2.3",
            "-1",
            "+1",
            "1.+2",
            " 1",
            "x",
            "18446744073709551616",
        ] {
            assert_eq!(cursor(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_keeps_a_cursor_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cursor");
        assert_eq!(saved(&file, "beta 7").unwrap(), EventCursor::default());
        let at = EventCursor {
            height: 17,
            place: 2,
        };
        let mut kept = Kept {
            file: file.clone(),
            whose: "beta 7".to_owned(),
            cursor: EventCursor::default(),
            saved: None,
        };
        kept.save(at, true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "17.2 beta 7\n");
        assert_eq!(saved(&file, "beta 7").unwrap(), at);
        // That time passed and nothing happened is not saved each time.
        let later = EventCursor {
            height: 18,
            place: 0,
        };
        kept.save(later, false).unwrap();
        assert_eq!(saved(&file, "beta 7").unwrap(), at);
        kept.save(later, true).unwrap();
        assert_eq!(saved(&file, "beta 7").unwrap(), later);
        let error = saved(&file, "beta 8").unwrap_err().to_string();
        assert!(error.contains("another member or network"), "{error}");
        for wrong in ["", "17.2 beta 7", "17.2\n", "x beta 7\n", &"1".repeat(300)] {
            std::fs::write(&file, wrong).unwrap();
            assert!(saved(&file, "beta 7").is_err(), "{wrong}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), wrong);
        }
        let nowhere = folder.path().join("none").join("cursor");
        assert!(write_whole(&nowhere, "text").is_err());
    }
}
