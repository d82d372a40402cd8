//! A session with a network: the clients of those members whose keys are here, and what they ask of the ledger.
//!
//! Scenario lines, single commands and the demo all go through here, and from here through the same client path as
//! any member's own software.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealbook_authority::Authority;
use sealbook_primitives::hash::Digest;
use sealbook_sdk::{
    AnswerBody, AsOf, Client, ClientError, Identity, Network, Prepared, Question, Stage, Submitted,
};
use sealbook_securities::{Code, Instruction, Outcome, RecordTime, Status};
use serde_json::{Value, json};

use crate::action::{Action, Ask, When};
use crate::arguments::Wait;
use crate::error::{CliError, Exit, Result, doing};
use crate::journal;
use crate::members::{self, Enrolment};
use crate::network::{NetworkFiles, make_private_folder};
use crate::views;

/// How often an order is sealed anew because its key epoch ended.
const SEALED_MOST: u32 = 3;

/// What came of an action.
#[derive(Debug, Clone)]
pub struct Done {
    /// `settled`, `pending`, `rejected`, `denied` or `answer`.
    pub outcome: &'static str,
    /// Why not, if not.
    pub code: Option<&'static str>,
    /// What was asked for.
    pub answer: Option<Value>,
    /// The height of the state that the result is in.
    pub height: u64,
    /// The transaction that an order went into.
    pub transaction: Option<Digest>,
    /// For people; not part of the interface.
    pub explanation: Option<String>,
}

impl Done {
    /// The result of something that never reached the ledger because it is not well formed.
    pub fn malformed(explanation: String) -> Self {
        Self::from_outcome(Outcome::refused(Code::Malformed), 0).explained(explanation)
    }

    fn from_outcome(outcome: Outcome, height: u64) -> Self {
        Self {
            outcome: outcome.status.as_str(),
            code: outcome.code.map(Code::as_str),
            answer: None,
            height,
            transaction: None,
            explanation: None,
        }
    }

    /// A question that was refused.
    pub fn refused(outcome: Outcome, height: u64) -> Self {
        Self::from_outcome(outcome, height)
    }

    /// An order that a final block lists.
    const fn ordered(height: u64, transaction: Digest) -> Self {
        Self {
            outcome: "ordered",
            code: None,
            answer: None,
            height,
            transaction: Some(transaction),
            explanation: None,
        }
    }

    fn explained(mut self, explanation: String) -> Self {
        self.explanation = Some(explanation);
        self
    }

    /// The result as one JSON object: that of a line of a scenario, or that of a command, which also names the
    /// transaction.
    pub fn to_json(&self, line: Option<u64>) -> Value {
        let mut object = serde_json::Map::new();
        if let Some(line) = line {
            object.insert("line".to_owned(), json!(line));
        } else if let Some(transaction) = self.transaction {
            object.insert("transaction".to_owned(), json!(transaction.to_string()));
            object.insert("height".to_owned(), json!(self.height));
        }
        object.insert("outcome".to_owned(), json!(self.outcome));
        if let Some(code) = self.code {
            object.insert("code".to_owned(), json!(code));
        }
        if let Some(answer) = &self.answer {
            object.insert("answer".to_owned(), answer.clone());
        }
        Value::Object(object)
    }

    /// The result for people.
    pub fn to_text(&self) -> String {
        if let Some(answer) = &self.answer {
            return format!("{answer:#}");
        }
        let result = match self.code {
            Some(code) => format!("{} {code}", self.outcome),
            None => format!("{} at height {}", self.outcome, self.height),
        };
        match self.transaction {
            Some(transaction) => format!("{result}, transaction {transaction}"),
            None => result,
        }
    }

    /// Turns a refusal into an error with its exit code.
    ///
    /// # Errors
    /// The ledger rejected the order or denied the caller.
    pub fn check(&self) -> Result<()> {
        let exit = match self.outcome {
            "rejected" => Exit::Rejected,
            "denied" => Exit::Denied,
            _ => return Ok(()),
        };
        let why = match &self.explanation {
            Some(explanation) => explanation.clone(),
            None => explain(self.code.unwrap_or_default()).to_owned(),
        };
        Err(CliError::with_exit(
            exit,
            format!("{}: {why}", self.outcome),
        ))
    }
}

/// What a code means, in a sentence.
fn explain(code: &str) -> &str {
    match code {
        "malformed" => "a value is not of its form, or has too many decimals",
        "not-permitted" => "your role may not do this",
        "not-found" => "it does not exist, or it is not yours",
        "not-a-member" => "the ledger does not know this certificate",
        "duplicate" => "this reference was used before, with other content",
        "LACK" => "the delivering account has too few securities",
        "MONY" => "the paying account has too little money",
        "BLOC" => "what is there is blocked",
        "taken" => "this name is taken",
        "unknown-account" => "there is no such receiving account",
        "unknown-issue" => "there is no such issue",
        "unknown-issuer" => "there is no such issuer",
        "unknown-counterparty" => "there is no such firm",
        "unknown-venue" => "there is no such member",
        "already-settled" => "the trade has settled already",
        "date-not-forward" => "the business date only moves forward",
        "limit" => "a total would exceed its limit",
        "expired" => "it came after its expiry",
        "unknown-record-time" => "the ledger has not reached that moment",
        "proposal-closed" => "the proposal is decided, withdrawn or expired",
        "other-change" => "the proposal is about another change than the one that was approved",
        "conflict" => "it cannot be together with what is in force or decided",
        "not-on-record" => "what is others' is answered after the reading was put on record",
        other => other,
    }
}

/// A session.
pub struct Session {
    files: NetworkFiles,
    network: Arc<Network>,
    clients: BTreeMap<String, Client>,
    /// Height after each line of a scenario.
    lines: BTreeMap<u64, u64>,
}

impl Session {
    /// A session with the network in this folder.
    ///
    /// # Errors
    /// The genesis document cannot be read.
    pub fn open(files: &NetworkFiles) -> Result<Self> {
        let network = files.network()?;
        Ok(Self {
            files: files.clone(),
            network,
            clients: BTreeMap::new(),
            lines: BTreeMap::new(),
        })
    }

    /// The client of a member whose keys are here.
    ///
    /// # Errors
    /// They are not, or cannot be used.
    pub fn client(&mut self, member: &str) -> Result<&mut Client> {
        if !self.clients.contains_key(member) {
            // Members start at different nodes, as they would if each ran its own.
            let mut client = self
                .files
                .client(&self.network, member, self.clients.len())?;
            client.learn_opening();
            self.clients.insert(member.to_owned(), client);
        }
        self.clients
            .get_mut(member)
            .ok_or_else(|| CliError::new("no client"))
    }

    /// From now on the member acts under this identity instead of the one in its files.
    ///
    /// # Errors
    /// The identity cannot be used.
    pub fn take_identity(&mut self, member: &str, identity: Identity) -> Result<()> {
        let preferred = self.clients.len();
        let client = Client::new(Arc::clone(&self.network), identity, preferred);
        let mut client = client.map_err(CliError::new)?;
        client.learn_opening();
        self.clients.insert(member.to_owned(), client);
        Ok(())
    }

    /// Remembers the height after a line, for `as_of: {"line": n}`.
    pub fn remember_line(&mut self, line: u64, height: u64) {
        self.lines.insert(line, height);
    }

    /// The newest height that any client here knows.
    pub fn height(&self) -> u64 {
        self.clients
            .values()
            .map(Client::height_known)
            .max()
            .unwrap_or(0)
    }

    /// How many readings clients here have put on record.
    pub fn readings(&self) -> u64 {
        self.clients.values().map(Client::readings).sum()
    }

    /// Does what a member asks, until an order has come as far as `wait` says.
    ///
    /// # Errors
    /// The network cannot be reached or the member's keys cannot be used; refusals are results, not errors.
    pub fn perform(&mut self, member: &str, action: Action, wait: Wait) -> Result<Done> {
        if !self.files.member(member).join("chain.pem").is_file()
            || sealbook_identity::check_short_name(member).is_err()
        {
            return Ok(
                Done::from_outcome(Outcome::refused(Code::NotAMember), self.height())
                    .explained(format!("no keys of `{member}` are here")),
            );
        }
        match action {
            Action::Enrol {
                name,
                role,
                organisation,
                lei,
            } => self.enrol(
                member,
                &Enrolment {
                    name,
                    organisation,
                    role,
                    lei,
                },
                wait,
            ),
            Action::Order {
                reference,
                mut instruction,
                record_line,
            } => {
                if let (Some(line), Instruction::Dividend { record, .. }) =
                    (record_line, &mut instruction)
                {
                    let Some(height) = self.lines.get(&line) else {
                        return Ok(Done::malformed(format!("line {line} has not run before")));
                    };
                    *record = RecordTime::Height(*height);
                }
                let prepared =
                    Prepared::instruction(reference, instruction).map_err(CliError::new)?;
                self.submit(member, prepared, wait)
            }
            Action::OpenAccount { account, holder } => {
                let client = self.client(member)?;
                let prepared = client
                    .prepare_account(account, &holder)
                    .map_err(CliError::new)?;
                self.submit(member, prepared, wait)
            }
            Action::Ask(ask) => self.ask(member, &ask, None),
            Action::AskDelayed(ask, disclosed_ms) => self.ask(member, &ask, Some(disclosed_ms)),
        }
    }

    /// Submits one order and waits until it has come as far as `wait` says.
    ///
    /// # Errors
    /// The network cannot be reached, or the member's keys cannot be used.
    pub fn submit(&mut self, member: &str, order: Prepared, wait: Wait) -> Result<Done> {
        let folder = self.files.member(member);
        let reference = order.reference().to_owned();
        let client = self.client(member)?;
        let orders = [order];
        let mut tries = 0;
        let (transaction, submitted) = loop {
            tries += 1;
            let sealed = client.seal(&orders).map_err(CliError::new)?;
            let transaction = sealed.transaction();
            // Before it goes out: whoever stops this command still finds the transaction of an order.
            journal::note(&folder, &transaction, &reference)?;
            let stage = match wait {
                Wait::Ordered => {
                    let height = client.order_sealed(&sealed).map_err(CliError::new)?;
                    return Ok(Done::ordered(height, transaction));
                }
                Wait::Outcome => Stage::Outcome,
                Wait::Final => Stage::Final,
            };
            match client.submit_sealed(&sealed, stage) {
                // Its key epoch ended before any node took it.
                Err(ClientError::KeyEpoch)
                    if tries < SEALED_MOST && orders.iter().all(Prepared::is_alone) => {}
                done => break (transaction, done.map_err(CliError::new)?),
            }
        };
        let outcome = submitted
            .outcomes
            .first()
            .ok_or_else(|| CliError::new("the ledger gave no outcome"))?;
        let mut done = Done::from_outcome(*outcome, submitted.height);
        done.transaction = Some(transaction);
        Ok(done)
    }

    /// Submits one envelope for each of several members at the same time and waits for `stage`; the results are in
    /// the order of the members' names.
    ///
    /// # Errors
    /// The network cannot be reached, or a member's keys cannot be used.
    pub fn submit_together(
        &mut self,
        envelopes: &BTreeMap<String, Vec<Prepared>>,
        stage: Stage,
    ) -> Result<Vec<Submitted>> {
        for member in envelopes.keys() {
            self.client(member)?;
        }
        std::thread::scope(|scope| {
            let mut waiting = Vec::new();
            for (member, client) in &mut self.clients {
                if let Some(orders) = envelopes.get(member) {
                    waiting.push(scope.spawn(move || client.submit(orders, stage)));
                }
            }
            waiting
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(submitted) => submitted.map_err(CliError::new),
                    Err(_) => Err(CliError::new("a client stopped unexpectedly")),
                })
                .collect()
        })
    }

    /// Makes a key and a certificate for a member and has an admin admit it to the ledger.
    fn enrol(&mut self, admin: &str, enrolment: &Enrolment, wait: Wait) -> Result<Done> {
        let authority = Authority::open(&self.files.ca())
            .map_err(|error| CliError::new(&error).hint(error.hint()))?;
        let folder = self.files.member(&enrolment.name);
        // Keys are made aside, so that a refused enrolment cannot replace those of a member of that name.
        let members = self.files.folder().join("members");
        make_private_folder(&members)?;
        let aside = tempfile::Builder::new()
            .prefix(".enrolling-")
            .tempdir_in(&members)
            .map_err(doing(members.display()))?;
        let validity = members::validity(members::now_ms(), None);
        let name = self.files.name().to_owned();
        let chain = members::make_certified(&authority, aside.path(), enrolment, &name, validity)?;
        // Whether the keys are of use shows only in the outcome.
        let wait = if wait == Wait::Ordered {
            Wait::Outcome
        } else {
            wait
        };
        let done = self.submit(admin, Prepared::admit(chain), wait)?;
        if done.outcome == Status::Settled.as_str() {
            if folder.exists() {
                return Err(CliError::new(format!(
                    "`{}` is in use already",
                    folder.display()
                )));
            }
            std::fs::rename(aside.keep(), &folder).map_err(doing(folder.display()))?;
        }
        Ok(done)
    }

    fn ask(&mut self, member: &str, ask: &Ask, disclosed_ms: Option<u64>) -> Result<Done> {
        let question = match ask {
            Ask::Registry { isin, as_of } => {
                let as_of = match as_of {
                    When::Moment(as_of) => *as_of,
                    When::Line(line) => match self.lines.get(line) {
                        Some(height) => AsOf::Height(*height),
                        None => {
                            return Ok(Done::malformed(format!("line {line} has not run before")));
                        }
                    },
                };
                Question::Registry {
                    isin: isin.to_string(),
                    as_of,
                }
            }
            Ask::Holdings => Question::Holdings,
            Ask::Trades => Question::Trades,
            Ask::Audit => Question::Audit,
            Ask::AccessLog(from_height) => Question::AccessLog {
                from_height: *from_height,
            },
            Ask::Events(from) => Question::Events {
                height: from.height,
                place: from.place,
            },
        };
        let height_min = self.height();
        let client = self.client(member)?;
        client.know_height(height_min);
        let answer = match disclosed_ms {
            Some(disclosed_ms) => client.ask_disclosed_from(&question, disclosed_ms),
            None => client.ask(&question),
        };
        let answer = answer.map_err(CliError::new)?;
        match &answer.body {
            AnswerBody::Refused(bytes) => {
                let outcome: Outcome = views::decode(bytes)?;
                Ok(Done::from_outcome(outcome, answer.height))
            }
            AnswerBody::View(bytes) => Ok(Done {
                outcome: "answer",
                code: None,
                answer: Some(views::to_json(ask, &answer, bytes)?),
                height: answer.height,
                transaction: None,
                explanation: None,
            }),
            AnswerBody::Behind | AnswerBody::Member(_) => {
                Err(CliError::new("the ledger answered something else"))
            }
        }
    }
}
