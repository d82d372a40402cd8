//! An independent model of the rules: the plainest program that answers scenario lines as the documents say.
//!
//! Maps from names to whole numbers, whole copies of the books as history, no thought of speed, blocks or sealing. What
//! heights, roots and times are is not its business.

mod forms;
mod rules;
pub mod values;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use forms::Form;

/// The largest total in minor units.
const LIMIT: u128 = 1_000_000_000_000_000_000;

/// How a line ends that asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict(&'static str, Option<&'static str>);

const SETTLED: Verdict = Verdict("settled", None);
const PENDING: Verdict = Verdict("pending", None);
const MALFORMED: Verdict = rejected("malformed");
const NOT_FOUND: Verdict = denied("not-found");
const NOT_PERMITTED: Verdict = denied("not-permitted");

const fn rejected(code: &'static str) -> Verdict {
    Verdict("rejected", Some(code))
}

const fn denied(code: &'static str) -> Verdict {
    Verdict("denied", Some(code))
}

/// `Err` carries a refusal.
type Judged<T> = Result<T, Verdict>;

#[derive(Debug, Clone)]
struct Member {
    role: String,
    organisation: String,
}

#[derive(Debug, Clone)]
struct Account {
    owner: String,
    holder: String,
    treasury: bool,
}

#[derive(Debug, Clone)]
struct Issue {
    issuer: String,
    decimals: u32,
    treasury: String,
}

#[derive(Debug, Clone)]
struct Trade {
    id: String,
    recorder: String,
    side: String,
    account: String,
    counterparty: String,
    counterparty_account: Option<String>,
    isin: String,
    quantity: u128,
    currency: String,
    amount: u128,
    /// Of a locked-in trade.
    venue: Option<String>,
}

/// What a registry of a past moment needs.
#[derive(Debug, Clone, Default)]
struct Past {
    /// By issue and account.
    units: BTreeMap<(String, String), u128>,
    issued: BTreeMap<String, u128>,
}

/// The model.
#[derive(Debug, Clone)]
pub struct Model {
    members: BTreeMap<String, Member>,
    accounts: BTreeMap<String, Account>,
    issues: BTreeMap<String, Issue>,
    now: Past,
    /// By currency and account.
    money: BTreeMap<(String, String), u128>,
    /// Agent and total by currency.
    minted: BTreeMap<String, (String, u128)>,
    trades: Vec<Trade>,
    /// Firm and venue.
    mandates: BTreeSet<(String, String)>,
    accepted: BTreeMap<(String, String), (Value, Verdict)>,
    date: Option<String>,
    /// Each opened date with the state just before.
    closes: Vec<(String, Past)>,
    lines: BTreeMap<u64, Past>,
    /// Heights and times that a test knows the state of, by their JSON.
    moments: BTreeMap<String, Past>,
}

impl Model {
    /// A new network, whose only member is its admin.
    #[must_use]
    pub fn new() -> Self {
        let admin = Member {
            role: "admin".to_owned(),
            organisation: String::new(),
        };
        Self {
            members: BTreeMap::from([("admin".to_owned(), admin)]),
            accounts: BTreeMap::new(),
            issues: BTreeMap::new(),
            now: Past::default(),
            money: BTreeMap::new(),
            minted: BTreeMap::new(),
            trades: Vec::new(),
            mandates: BTreeSet::new(),
            accepted: BTreeMap::new(),
            date: None,
            closes: Vec::new(),
            lines: BTreeMap::new(),
            moments: BTreeMap::new(),
        }
    }

    /// A new scenario file begins; line numbers start again.
    pub fn begin_scenario(&mut self) {
        self.lines.clear();
    }

    /// Lets the model know that this moment, as JSON, is now.
    pub fn name_moment(&mut self, moment: &Value) {
        self.moments.insert(moment.to_string(), self.now.clone());
    }

    /// The answer to a line, without heights and roots.
    pub fn line(&mut self, number: u64, text: &str) -> Value {
        let before = self.clone();
        let mut answer = match self.judge(text) {
            Ok(answer) => answer,
            Err(Verdict(outcome, code)) => {
                let mut answer = json!({ "outcome": outcome });
                if let Some(code) = code {
                    answer["code"] = json!(code);
                }
                if outcome == "rejected" || outcome == "denied" {
                    // A refusal changes nothing, whatever the rules did before they refused.
                    *self = before;
                }
                answer
            }
        };
        answer["line"] = json!(number);
        self.lines.insert(number, self.now.clone());
        answer
    }

    /// `Ok` is an answer to a question; everything else is a verdict.
    fn judge(&mut self, text: &str) -> Judged<Value> {
        if text.trim().len() > 64 * 1024 {
            return Err(MALFORMED);
        }
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            return Err(MALFORMED);
        };
        if object
            .remove("expect")
            .is_some_and(|expected| !expected.is_string())
        {
            return Err(MALFORMED);
        }
        let (Some(Value::String(caller)), Some(Value::String(verb))) =
            (object.remove("as"), object.remove("do"))
        else {
            return Err(MALFORMED);
        };
        let form = Form::read(&verb, &object).ok_or(MALFORMED)?;
        if let Some(Value::Object(moment)) = object.get("as_of").or_else(|| object.get("record"))
            && let Some(line) = moment.get("line").and_then(Value::as_u64)
            && !self.lines.contains_key(&line)
            && self.members.contains_key(&caller)
        {
            return Err(MALFORMED);
        }
        let role = self
            .members
            .get(&caller)
            .ok_or(denied("not-a-member"))?
            .role
            .clone();
        if !may(&role, &verb) {
            return Err(NOT_PERMITTED);
        }
        if let Some(answer) = self.ask(&caller, &role, &verb, &form)? {
            return Ok(json!({"outcome": "answer", "answer": answer}));
        }
        form.check_numbers()?;
        Err(self.once(&caller, &verb, &form, object)?)
    }

    /// Applies an order unless it was accepted before under the same reference.
    fn once(
        &mut self,
        caller: &str,
        verb: &str,
        form: &Form,
        mut content: Map<String, Value>,
    ) -> Judged<Verdict> {
        let Some(id) = content.remove("id").filter(|_| verb != "confirm-trade") else {
            return self.apply(caller, verb, form);
        };
        if verb == "dividend" || verb == "split" {
            content.entry("record").or_insert_with(|| json!("now"));
        }
        let key = (caller.to_owned(), id.as_str().unwrap().to_owned());
        let content = json!([verb, content]);
        if let Some((before, verdict)) = self.accepted.get(&key) {
            return if *before == content {
                Ok(*verdict)
            } else {
                Err(rejected("duplicate"))
            };
        }
        let verdict = self.apply(caller, verb, form)?;
        self.accepted.insert(key, (content, verdict));
        Ok(verdict)
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// Which role may use which verb.
fn may(role: &str, verb: &str) -> bool {
    let verbs: &[&str] = match role {
        "admin" => &[
            "enrol",
            "open-day",
            "register-issue",
            "issue-units",
            "allocate",
            "dividend",
            "split",
            "locked-in-trade",
            "registry",
            "holdings",
            "trades",
            "audit",
        ],
        "firm" => &[
            "open-account",
            "transfer",
            "record-trade",
            "confirm-trade",
            "grant-mandate",
            "revoke-mandate",
            "holdings",
            "trades",
        ],
        "issuer" => &["registry"],
        "regulator" => &["registry", "holdings", "trades", "audit"],
        "cash-agent" => &["mint-cash"],
        _ => &[],
    };
    verbs.contains(&verb)
}
