//! Which fields a verb has, and of which form each is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::values::{self, Number};
use super::{Judged, MALFORMED};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Account,
    Reference,
    Isin,
    Lei,
    Currency,
    Quantity,
    Amount,
    Date,
    Member,
    Role,
    Name,
    Side,
    OfIssue,
    Decimals,
    Factor,
    /// Whether a line of the scenario is one.
    Moment(bool),
}

/// Name, kind, and whether it must be there.
type Fields = &'static [(&'static str, Kind, bool)];

fn fields_of(verb: &str) -> Option<Fields> {
    use Kind::*;
    Some(match verb {
        "enrol" => &[
            ("name", Member, true),
            ("role", Role, true),
            ("organisation", Name, true),
            ("lei", Lei, false),
        ],
        "open-day" => &[("date", Date, true)],
        "register-issue" => &[
            ("isin", Isin, true),
            ("issuer", Member, true),
            ("name", Name, true),
            ("kind", OfIssue, true),
            ("decimals", Decimals, true),
            ("currency", Currency, true),
            ("treasury", Account, true),
        ],
        "issue-units" => &[("isin", Isin, true), ("quantity", Quantity, true)],
        "open-account" => &[("account", Account, true), ("holder", Name, true)],
        "allocate" => &[
            ("isin", Isin, true),
            ("account", Account, true),
            ("quantity", Quantity, true),
        ],
        "mint-cash" => &[
            ("currency", Currency, true),
            ("account", Account, true),
            ("amount", Amount, true),
        ],
        "transfer" => &[
            ("id", Reference, true),
            ("from", Account, true),
            ("to", Account, true),
            ("isin", Isin, false),
            ("quantity", Quantity, false),
            ("currency", Currency, false),
            ("amount", Amount, false),
        ],
        "record-trade" => &[
            ("id", Reference, true),
            ("side", Side, true),
            ("account", Account, true),
            ("counterparty", Member, true),
            ("isin", Isin, true),
            ("quantity", Quantity, true),
            ("currency", Currency, true),
            ("amount", Amount, true),
        ],
        "confirm-trade" => &[("id", Reference, true), ("account", Account, true)],
        "grant-mandate" | "revoke-mandate" => &[("venue", Member, true)],
        "locked-in-trade" => &[
            ("id", Reference, true),
            ("seller_account", Account, true),
            ("buyer_account", Account, true),
            ("isin", Isin, true),
            ("quantity", Quantity, true),
            ("currency", Currency, true),
            ("amount", Amount, true),
        ],
        "dividend" => &[
            ("id", Reference, true),
            ("isin", Isin, true),
            ("amount_per_unit", Quantity, true),
            ("currency", Currency, true),
            ("record", Moment(true), false),
        ],
        "split" => &[
            ("id", Reference, true),
            ("isin", Isin, true),
            ("new", Factor, true),
            ("old", Factor, true),
            ("record", Moment(false), false),
        ],
        "registry" => &[("isin", Isin, true), ("as_of", Moment(true), false)],
        "holdings" | "trades" | "audit" => &[],
        _ => return None,
    })
}

/// The checked fields of a line.
#[derive(Debug, Clone)]
pub struct Form {
    texts: BTreeMap<&'static str, String>,
    numbers: BTreeMap<&'static str, Number>,
    wholes: BTreeMap<&'static str, u64>,
    moments: BTreeMap<&'static str, Value>,
    /// Amounts, with the decimals of their currency.
    money: Vec<&'static str>,
}

impl Form {
    /// Reads a line's fields; nothing if one is missing, unknown or not of its form.
    pub fn read(verb: &str, object: &Map<String, Value>) -> Option<Self> {
        let fields = fields_of(verb)?;
        if !object
            .keys()
            .all(|key| fields.iter().any(|(name, ..)| name == key))
        {
            return None;
        }
        let mut form = Self {
            texts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            wholes: BTreeMap::new(),
            moments: BTreeMap::new(),
            money: Vec::new(),
        };
        for (name, kind, required) in fields {
            match object.get(*name) {
                Some(value) => form.take(name, *kind, value)?,
                None if *required => return None,
                None => {}
            }
        }
        if verb == "transfer" {
            let given = |name: &str| object.contains_key(name);
            let pairs = (
                given("isin"),
                given("quantity"),
                given("currency"),
                given("amount"),
            );
            if !matches!(
                pairs,
                (true, true, false, false) | (false, false, true, true)
            ) {
                return None;
            }
        }
        Some(form)
    }

    fn take(&mut self, name: &'static str, kind: Kind, value: &Value) -> Option<()> {
        match kind {
            Kind::Decimals | Kind::Factor => {
                let limit = if matches!(kind, Kind::Decimals) {
                    8
                } else {
                    u64::from(u32::MAX)
                };
                self.wholes
                    .insert(name, value.as_u64().filter(|whole| *whole <= limit)?);
                return Some(());
            }
            Kind::Moment(lines) => {
                if !is_moment(value, lines) {
                    return None;
                }
                self.moments.insert(name, value.clone());
                return Some(());
            }
            _ => {}
        }
        let text = value.as_str()?;
        let fine = match kind {
            Kind::Account => values::is_account(text),
            Kind::Reference => values::is_reference(text),
            Kind::Isin => values::is_isin(text),
            Kind::Lei => values::is_lei(text),
            Kind::Currency => values::currency_decimals(text).is_some(),
            Kind::Date => values::is_date(text),
            Kind::Member => values::is_member(text),
            Kind::Role => [
                "firm",
                "issuer",
                "admin",
                "regulator",
                "cash-agent",
                "oracle",
            ]
            .contains(&text),
            Kind::Name => values::is_name(text),
            Kind::Side => ["buy", "sell"].contains(&text),
            Kind::OfIssue => ["equity", "bond", "fund"].contains(&text),
            Kind::Quantity | Kind::Amount => {
                self.numbers.insert(name, values::number(text)?);
                if matches!(kind, Kind::Amount) {
                    self.money.push(name);
                }
                true
            }
            Kind::Decimals | Kind::Factor | Kind::Moment(_) => true,
        };
        self.texts.insert(name, text.to_owned());
        fine.then_some(())
    }

    /// Checks what depends on no books: nothing is zero, and money has no more decimals than its currency.
    pub fn check_numbers(&self) -> Judged<()> {
        let zero = self.numbers.values().any(|number| number.digits == 0)
            || ["new", "old"]
                .iter()
                .any(|name| self.wholes.get(name) == Some(&0));
        let split = self.wholes.contains_key("new");
        let record_passed = self
            .moments
            .get("record")
            .is_some_and(|record| record != "now");
        if zero || (split && record_passed) {
            return Err(MALFORMED);
        }
        for name in &self.money {
            let decimals = values::currency_decimals(self.text("currency")).ok_or(MALFORMED)?;
            self.numbers[name].units(decimals).ok_or(MALFORMED)?;
        }
        Ok(())
    }

    /// A text field; empty if it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// A decimal field.
    pub fn number(&self, name: &str) -> Number {
        self.numbers[name]
    }

    /// A money field in minor units.
    pub fn money(&self, name: &str) -> u128 {
        let decimals = values::currency_decimals(self.text("currency")).unwrap();
        self.number(name).units(decimals).unwrap()
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> u64 {
        self.wholes[name]
    }

    /// A moment, by default now.
    pub fn moment(&self, name: &str) -> Value {
        self.moments
            .get(name)
            .cloned()
            .unwrap_or_else(|| Value::from("now"))
    }
}

fn is_moment(value: &Value, lines: bool) -> bool {
    let Value::Object(object) = value else {
        return value == "now";
    };
    let mut entries = object.iter();
    let (Some((name, inner)), None) = (entries.next(), entries.next()) else {
        return false;
    };
    match name.as_str() {
        "height" => inner.is_u64(),
        "line" => lines && inner.is_u64(),
        "date" => inner.as_str().is_some_and(values::is_date),
        // Enough for the times that tests use: 2012-08-09T12:00:00Z, with or without a fraction.
        "time" => inner.as_str().is_some_and(|text| {
            let day = text.split('T').next().unwrap_or_default();
            values::is_date(day) && text.len() >= 20 && text.ends_with('Z')
        }),
        _ => false,
    }
}
