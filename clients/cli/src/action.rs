//! Actions: what one line of a scenario, or one command, asks a member to do. Text in, checked values out.
//!
//! The verbs and fields are a public interface, described in docs/SCENARIOS.md: new ones may come, none changes.

use sealbook_identity::{Lei, Role};
use sealbook_sdk::AsOf;
use sealbook_securities::{
    AccountId, Asset, BusinessDate, ClientReference, CurrencyCode, Decimal, EventCursor,
    Instruction, Isin, IssueKind, LongName, MemberName, RecordTime, Side,
};
use serde::Deserialize;
use serde_json::Value;

use crate::events::{CURSOR, cursor};

/// What a member asks.
#[derive(Debug, Clone)]
pub enum Action {
    /// Enrol a member: key, certificate, admission.
    Enrol {
        /// Short name.
        name: String,
        /// Role.
        role: Role,
        /// Organisation.
        organisation: String,
        /// Legal entity identifier.
        lei: Option<Lei>,
    },
    /// An order without personal data.
    Order {
        /// The user's reference, where the verb has one.
        reference: Option<ClientReference>,
        /// What is to be done.
        instruction: Instruction,
        /// The line of the scenario after which the record is taken, instead of the record in the instruction.
        record_line: Option<u64>,
    },
    /// The opening of an account.
    OpenAccount {
        /// The new account.
        account: AccountId,
        /// The holder's name.
        holder: LongName,
    },
    /// A question.
    Ask(Ask),
    /// A question about what is others', of which the owners are told from a moment on (Unix milliseconds).
    AskDelayed(Ask, u64),
}

/// A question.
#[derive(Debug, Clone)]
pub enum Ask {
    /// An issue's registry.
    Registry {
        /// The issue.
        isin: Isin,
        /// When.
        as_of: When,
    },
    /// Holdings.
    Holdings,
    /// Trades.
    Trades,
    /// Totals.
    Audit,
    /// Who read what of one's own, from a height on.
    AccessLog(u64),
    /// What happened to what is one's own, from a cursor on.
    Events(EventCursor),
}

/// A moment, as users name it.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// As the ledger knows it.
    Moment(AsOf),
    /// After this line of the scenario.
    Line(u64),
}

/// A line that is not an action; the text says why.
#[derive(Debug, Clone)]
pub struct Malformed(pub String);

type Parsed<T> = Result<T, Malformed>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrol {
    name: String,
    role: String,
    organisation: String,
    lei: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenDay {
    date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterIssue {
    isin: String,
    issuer: String,
    name: String,
    kind: String,
    decimals: u8,
    currency: String,
    treasury: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueUnits {
    isin: String,
    quantity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenAccount {
    account: String,
    holder: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocate {
    isin: String,
    account: String,
    quantity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintCash {
    currency: String,
    account: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    id: String,
    isin: Option<String>,
    quantity: Option<String>,
    currency: Option<String>,
    amount: Option<String>,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordTrade {
    id: String,
    side: String,
    account: String,
    counterparty: String,
    isin: String,
    quantity: String,
    currency: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmTrade {
    id: String,
    account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mandate {
    venue: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedInTrade {
    id: String,
    seller_account: String,
    buyer_account: String,
    isin: String,
    quantity: String,
    currency: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dividend {
    id: String,
    isin: String,
    amount_per_unit: String,
    currency: String,
    #[serde(default = "now")]
    record: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    id: String,
    isin: String,
    new: u32,
    old: u32,
    #[serde(default = "now")]
    record: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    isin: String,
    #[serde(default = "now")]
    as_of: Value,
    disclosed_from: Option<String>,
}

/// A question without a subject of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    disclosed_from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessLog {
    #[serde(default)]
    from_height: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    from: Option<String>,
}

fn now() -> Value {
    Value::from("now")
}

fn fields<T: for<'de> Deserialize<'de>>(value: Value) -> Parsed<T> {
    serde_json::from_value(value).map_err(|error| Malformed(error.to_string()))
}

fn value<T: std::str::FromStr>(field: &str, text: &str) -> Parsed<T>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Malformed(format!("`{field}`: {error}")))
}

fn reference(text: &str) -> Parsed<Option<ClientReference>> {
    ClientReference::from_user(text)
        .map(Some)
        .map_err(|error| Malformed(format!("`id`: {error}")))
}

fn order(instruction: Instruction) -> Parsed<Action> {
    Ok(Action::Order {
        reference: None,
        instruction,
        record_line: None,
    })
}

impl Action {
    /// Reads the fields of a verb. `value` is the line's object without `as`, `do` and `expect`.
    ///
    /// # Errors
    /// [`Malformed`] if the verb is unknown or a field is missing, unknown or not of its form.
    pub fn parse(verb: &str, value: Value) -> Parsed<Self> {
        match verb {
            "enrol" => enrol(fields(value)?),
            "open-day" => {
                let OpenDay { date } = fields(value)?;
                order(Instruction::OpenDay {
                    date: self::value("date", &date)?,
                })
            }
            "register-issue" => register_issue(&fields(value)?),
            "issue-units" => {
                let line: IssueUnits = fields(value)?;
                let isin = self::value("isin", &line.isin)?;
                let quantity = self::value("quantity", &line.quantity)?;
                order(Instruction::IssueUnits { isin, quantity })
            }
            "open-account" => {
                let line: OpenAccount = fields(value)?;
                let account = self::value("account", &line.account)?;
                Ok(Self::OpenAccount {
                    account,
                    holder: self::value("holder", &line.holder)?,
                })
            }
            "allocate" => {
                let line: Allocate = fields(value)?;
                let isin = self::value("isin", &line.isin)?;
                let account = self::value("account", &line.account)?;
                let quantity = self::value("quantity", &line.quantity)?;
                order(Instruction::Allocate {
                    isin,
                    account,
                    quantity,
                })
            }
            "mint-cash" => {
                let line: MintCash = fields(value)?;
                let currency = self::value("currency", &line.currency)?;
                let account = self::value("account", &line.account)?;
                let amount = self::value("amount", &line.amount)?;
                order(Instruction::MintCash {
                    currency,
                    account,
                    amount,
                })
            }
            "transfer" => transfer(&fields(value)?),
            "record-trade" => record_trade(&fields(value)?),
            "confirm-trade" => {
                let line: ConfirmTrade = fields(value)?;
                let trade = ClientReference::from_user(&line.id)
                    .map_err(|error| Malformed(format!("`id`: {error}")))?;
                let account = self::value("account", &line.account)?;
                order(Instruction::ConfirmTrade { trade, account })
            }
            "grant-mandate" => {
                let Mandate { venue } = fields(value)?;
                order(Instruction::GrantMandate {
                    venue: self::value("venue", &venue)?,
                })
            }
            "revoke-mandate" => {
                let Mandate { venue } = fields(value)?;
                order(Instruction::RevokeMandate {
                    venue: self::value("venue", &venue)?,
                })
            }
            "locked-in-trade" => locked_in_trade(&fields(value)?),
            "dividend" => dividend(&fields(value)?),
            "split" => split(&fields(value)?),
            "registry" => {
                let line: Registry = fields(value)?;
                let isin = self::value("isin", &line.isin)?;
                let as_of = when(&line.as_of)?;
                asked(Ask::Registry { isin, as_of }, line.disclosed_from)
            }
            "holdings" => asked(Ask::Holdings, fields::<Plain>(value)?.disclosed_from),
            "trades" => asked(Ask::Trades, fields::<Plain>(value)?.disclosed_from),
            "audit" => asked(Ask::Audit, fields::<Plain>(value)?.disclosed_from),
            "access-log" => {
                let AccessLog { from_height } = fields(value)?;
                Ok(Self::Ask(Ask::AccessLog(from_height)))
            }
            "events" => {
                let Events { from } = fields(value)?;
                let from = from.map_or(Ok(EventCursor::default()), |from| {
                    cursor(&from).ok_or_else(|| Malformed(format!("`{from}`: {CURSOR}")))
                });
                Ok(Self::Ask(Ask::Events(from?)))
            }
            unknown => Err(Malformed(format!(
                "`{unknown}` is not something that can be done"
            ))),
        }
    }
}

/// A question, with the moment from which the owners are told, if one was given.
fn asked(ask: Ask, disclosed_from: Option<String>) -> Parsed<Action> {
    Ok(match disclosed_from {
        None => Action::Ask(ask),
        Some(text) => Action::AskDelayed(ask, time_ms(&text)?),
    })
}

fn time_ms(text: &str) -> Parsed<u64> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| Malformed(format!("`{text}` is not a time: {error}")))?;
    u64::try_from(time.as_millisecond()).map_err(|_| Malformed(format!("`{text}` is before 1970")))
}

fn enrol(line: Enrol) -> Parsed<Action> {
    let role: Role = value("role", &line.role)?;
    if role == Role::Node {
        return Err(Malformed(
            "`role`: nodes are not enrolled as members".to_owned(),
        ));
    }
    MemberName::new(&line.name).map_err(|error| Malformed(format!("`name`: {error}")))?;
    LongName::new(&line.organisation)
        .map_err(|error| Malformed(format!("`organisation`: {error}")))?;
    sealbook_identity::check_short_name(&line.name)
        .map_err(|error| Malformed(format!("`name`: {error}")))?;
    sealbook_identity::check_organisation(&line.organisation)
        .map_err(|error| Malformed(format!("`organisation`: {error}")))?;
    let lei = line.lei.map(|lei| value("lei", &lei)).transpose()?;
    Ok(Action::Enrol {
        name: line.name,
        role,
        organisation: line.organisation,
        lei,
    })
}

fn register_issue(line: &RegisterIssue) -> Parsed<Action> {
    let kind: IssueKind = value("kind", &line.kind)?;
    if line.decimals > 8 {
        return Err(Malformed("`decimals`: 0 to 8".to_owned()));
    }
    order(Instruction::RegisterIssue {
        isin: value::<Isin>("isin", &line.isin)?,
        issuer: value::<MemberName>("issuer", &line.issuer)?,
        name: value::<LongName>("name", &line.name)?,
        kind,
        decimals: line.decimals,
        currency: value::<CurrencyCode>("currency", &line.currency)?,
        treasury: value::<AccountId>("treasury", &line.treasury)?,
    })
}

fn transfer(line: &Transfer) -> Parsed<Action> {
    let asset = match (&line.isin, &line.quantity, &line.currency, &line.amount) {
        (Some(isin), Some(quantity), None, None) => Asset::Security {
            isin: value("isin", isin)?,
            quantity: value("quantity", quantity)?,
        },
        (None, None, Some(currency), Some(amount)) => Asset::Cash {
            currency: value("currency", currency)?,
            amount: value::<Decimal>("amount", amount)?,
        },
        _ => {
            let text = "give `isin` and `quantity`, or `currency` and `amount`";
            return Err(Malformed(text.to_owned()));
        }
    };
    let instruction = Instruction::Transfer {
        asset,
        from: value("from", &line.from)?,
        to: value("to", &line.to)?,
    };
    Ok(Action::Order {
        reference: reference(&line.id)?,
        instruction,
        record_line: None,
    })
}

fn record_trade(line: &RecordTrade) -> Parsed<Action> {
    let instruction = Instruction::RecordTrade {
        side: value::<Side>("side", &line.side)?,
        account: value("account", &line.account)?,
        counterparty: value("counterparty", &line.counterparty)?,
        isin: value("isin", &line.isin)?,
        quantity: value("quantity", &line.quantity)?,
        currency: value("currency", &line.currency)?,
        amount: value("amount", &line.amount)?,
    };
    Ok(Action::Order {
        reference: reference(&line.id)?,
        instruction,
        record_line: None,
    })
}

fn locked_in_trade(line: &LockedInTrade) -> Parsed<Action> {
    let instruction = Instruction::LockedInTrade {
        seller_account: value("seller_account", &line.seller_account)?,
        buyer_account: value("buyer_account", &line.buyer_account)?,
        isin: value("isin", &line.isin)?,
        quantity: value("quantity", &line.quantity)?,
        currency: value("currency", &line.currency)?,
        amount: value("amount", &line.amount)?,
    };
    Ok(Action::Order {
        reference: reference(&line.id)?,
        instruction,
        record_line: None,
    })
}

fn dividend(line: &Dividend) -> Parsed<Action> {
    let (record, record_line) = match when(&line.record)? {
        When::Line(line) => (RecordTime::Now, Some(line)),
        When::Moment(_) => (record(&line.record)?, None),
    };
    let instruction = Instruction::Dividend {
        isin: value("isin", &line.isin)?,
        amount_per_unit: value("amount_per_unit", &line.amount_per_unit)?,
        currency: value("currency", &line.currency)?,
        record,
    };
    Ok(Action::Order {
        reference: reference(&line.id)?,
        instruction,
        record_line,
    })
}

fn split(line: &Split) -> Parsed<Action> {
    let isin = value("isin", &line.isin)?;
    let instruction = Instruction::Split {
        isin,
        new: line.new,
        old: line.old,
        record: record(&line.record)?,
    };
    Ok(Action::Order {
        reference: reference(&line.id)?,
        instruction,
        record_line: None,
    })
}

fn record(text: &Value) -> Parsed<RecordTime> {
    match when(text)? {
        When::Moment(AsOf::Now) => Ok(RecordTime::Now),
        When::Moment(AsOf::Height(height)) => Ok(RecordTime::Height(height)),
        When::Moment(AsOf::Time(time_ms)) => Ok(RecordTime::Time(time_ms)),
        When::Moment(AsOf::Date { year, month, day }) => BusinessDate::new(year, month, day)
            .map(RecordTime::Date)
            .ok_or_else(|| Malformed("`record`: not a date".to_owned())),
        When::Line(_) => Err(Malformed("`record`: a line is no record time".to_owned())),
    }
}

/// Reads `"now"`, `{"height":n}`, `{"time":"RFC 3339"}`, `{"date":"2012-08-08"}` or `{"line":n}`.
///
/// # Errors
/// [`Malformed`] if it is none of these.
pub fn when(value: &Value) -> Parsed<When> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase", deny_unknown_fields)]
    enum Named {
        Height(u64),
        Time(String),
        Date(String),
        Line(u64),
    }
    if value == "now" {
        return Ok(When::Moment(AsOf::Now));
    }
    let not_a_moment = || {
        Malformed(
            "a moment is \"now\", {\"height\":n}, {\"time\":..}, {\"date\":..} or {\"line\":n}"
                .to_owned(),
        )
    };
    match serde_json::from_value(value.clone()).map_err(|_| not_a_moment())? {
        Named::Height(height) => Ok(When::Moment(AsOf::Height(height))),
        Named::Line(line) => Ok(When::Line(line)),
        Named::Time(text) => Ok(When::Moment(AsOf::Time(time_ms(&text)?))),
        Named::Date(text) => {
            let date: BusinessDate = self::value("date", &text)?;
            let (year, month, day) = (date.year(), date.month(), date.day());
            Ok(When::Moment(AsOf::Date { year, month, day }))
        }
    }
}
