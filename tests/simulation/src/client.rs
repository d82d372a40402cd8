//! Clients: the SDK's own orders, sealing, opening and decisions about failed tries, over simulated connections.
//!
//! Two desks of one firm tell each other which height they know to be executed, as the SDK lets them; so a desk never
//! reads a state older than one that another desk has seen, and what all desks see together must be linearizable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use borsh::BorshDeserialize as _;
use commonware_runtime::Clock as _;
use commonware_runtime::deterministic::Context;
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_protocol::client::{RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::{Answer as Answered, AnswerBody, Question};
use sealbook_sdk::attempts::{Attempts, Kind, Problem, Reach, Tried};
use sealbook_sdk::{Client, ClientError, Identity, Network, NodeAddress, Prepared, Sealed};
use sealbook_securities::{
    AccountId, Asset, AssetCode, ClientReference, HoldingsView, Instruction, Outcome, Status,
};

use crate::cluster::Cluster;
use crate::history::{Answer, Books, Call, History};
use crate::random::Random;
use crate::report::Breakage;
use crate::service::Lost;
use crate::world::WorldError;

const AWAIT_MS: u32 = 1_500;
/// Accounts of the firm whose desks are simulated.
pub const ACCOUNTS: u8 = 4;
/// The issue that is moved.
pub const ISIN: &str = "US0378331005";
/// The money that is moved.
pub const CURRENCY: &str = "USD";
/// Units on each account at the begin.
pub const UNITS: u64 = 1_000;
/// Money on each account at the begin, in minor units.
pub const MONEY: u64 = 5_000_000;

/// What the desks of a firm share.
#[derive(Clone, Default)]
pub struct Office {
    /// What they saw.
    pub history: Arc<Mutex<History>>,
    /// The height that they know to be executed.
    pub known: Arc<AtomicU64>,
}

impl Office {
    fn history<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A client of a member.
pub struct Desk {
    name: String,
    client: Client,
    member: VerifyingKey,
    preferred: usize,
    reach: Reach,
    began: Instant,
    random: Random,
    context: Context,
    cluster: Arc<Cluster>,
    office: Office,
    breakage: Option<Breakage>,
    orders: u64,
}

/// What came of the orders of an envelope.
pub struct Done {
    /// One for each order.
    pub outcomes: Vec<Outcome>,
    /// The block that ordered them.
    pub height: u64,
}

impl Desk {
    /// A desk of a member.
    ///
    /// # Errors
    /// The member's certificate cannot be used, which is a defect.
    pub fn new(
        cluster: &Arc<Cluster>,
        context: Context,
        member: &str,
        number: u64,
        (office, breakage): (Office, Option<Breakage>),
        mut random: Random,
    ) -> Result<Self, WorldError> {
        let keys = cluster.world.members.get(member).ok_or("no such member")?;
        let identity = Identity::new(&keys.seed, keys.chain.clone())?;
        // Validators of the beginning, and the one that comes later; clients do not ask observers here.
        let nodes = (0..cluster.count()).filter(|node| *node != cluster.world.observer());
        let nodes: Vec<NodeAddress> = nodes
            .map(|node| NodeAddress {
                name: node.to_string(),
                address: ([10, 0, 0, 1], 4_000).into(),
                observer: false,
            })
            .collect();
        let count = nodes.len();
        let network = Arc::new(Network::new(cluster.world.genesis.clone(), nodes)?);
        let preferred = random.place(count);
        Ok(Self {
            name: format!("{member} {number}"),
            client: Client::new(network, identity, preferred)?,
            member: SigningKey::from_secret(&keys.seed).verifying_key(),
            preferred,
            reach: Reach::of(count),
            began: Instant::now(),
            random,
            context,
            cluster: Arc::clone(cluster),
            office,
            breakage,
            orders: 0,
        })
    }

    fn note(&self, text: &str) {
        self.cluster.time.note(&format!("{}: {text}", self.name));
    }

    /// The simulated moment, as the SDK's bookkeeping wants it.
    fn now(&self) -> Instant {
        self.began + Duration::from_millis(self.cluster.time.passed_ms())
    }

    fn node_at(&self, place: usize) -> usize {
        let nodes = self.client.network().nodes();
        let name = nodes.get(place).map(|node| node.name.as_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    }

    async fn pause(&self, milliseconds: u64) {
        self.context
            .sleep(Duration::from_millis(milliseconds))
            .await;
    }

    /// Asks the preferred node, or the next one that could be reached lately.
    async fn ask(&mut self, body: RequestBody) -> Tried<ResponseBody> {
        self.preferred = self.reach.choose(self.preferred, self.now());
        let node = self.node_at(self.preferred);
        let cluster = Arc::clone(&self.cluster);
        let asked = (self.member, body);
        let answer = cluster
            .ask(&self.context, &mut self.random, node, asked)
            .await;
        match answer {
            Ok(body) => {
                self.reach.found(self.preferred);
                Ok(body)
            }
            Err(Lost { unreachable: true }) => {
                self.reach.lost(self.preferred, self.now());
                Err(Problem::new(
                    Kind::Unreachable,
                    "the node cannot be reached",
                ))
            }
            Err(Lost { unreachable: false }) => {
                Err(Problem::new(Kind::Later, "the connection broke"))
            }
        }
    }

    /// Makes of a failed try what the SDK makes of it.
    async fn failed(&mut self, attempts: &mut Attempts, problem: Problem) -> Option<ClientError> {
        let nodes = self.client.network().nodes().len().max(1);
        self.note(&format!("at node {}: {problem:?}", self.preferred % nodes));
        let pause = attempts.failed(self.preferred % nodes, problem);
        self.preferred = (self.preferred % nodes).wrapping_add(1);
        if let Some(error) = attempts.verdict() {
            return Some(error);
        }
        self.context.sleep(pause).await;
        None
    }

    async fn try_submit(&mut self, sealed: &Sealed) -> Tried<()> {
        match self.ask(sealed.request()).await? {
            ResponseBody::Accepted | ResponseBody::Known => Ok(()),
            other => Err(Problem::unexpected(other)),
        }
    }

    async fn try_await(&mut self, sealed: &Sealed, stage: Stage) -> Tried<Vec<u8>> {
        let request = RequestBody::Await {
            transaction: sealed.transaction(),
            stage,
            timeout_ms: AWAIT_MS,
        };
        match self.ask(request).await? {
            ResponseBody::Reply(reply) => Ok(reply),
            other => Err(Problem::unexpected(other)),
        }
    }

    /// Submits an envelope until it is known what came of it.
    async fn submit(&mut self, sealed: &Sealed) -> Result<Done, ClientError> {
        let mut attempts = Attempts::new(&self.reach, self.now());
        if self.random.percent(25) {
            // A user who clicks twice: the same envelope, to some other node.
            let other = self.random.place(self.cluster.count());
            let asked = (self.member, sealed.request());
            let cluster = Arc::clone(&self.cluster);
            let _ = cluster
                .ask(&self.context, &mut self.random, other, asked)
                .await;
        }
        loop {
            let tried = match self.try_submit(sealed).await {
                Ok(()) => self.try_await(sealed, Stage::Outcome).await,
                Err(problem) => Err(problem),
            };
            let opened = tried.and_then(|reply| {
                let opened = sealed.open_outcome(&reply);
                opened.map_err(|_| Problem::false_answer())
            });
            let problem = match opened {
                Ok(reply) => {
                    let bytes = borsh::to_vec(&reply.outcomes).unwrap_or_default();
                    let _ = self.cluster.time.now_ms();
                    let id = sealed.transaction();
                    self.cluster.checker.told(id, reply.height, &bytes);
                    self.office.known.fetch_max(reply.height, Ordering::Relaxed);
                    let outcomes = reply.outcomes.iter();
                    let outcomes = outcomes.map(|bytes| Outcome::try_from_slice(bytes));
                    return Ok(Done {
                        outcomes: outcomes.collect::<Result<_, _>>().unwrap_or_default(),
                        height: reply.height,
                    });
                }
                Err(problem) => problem,
            };
            if let Some(error) = self.failed(&mut attempts, problem).await {
                return Err(error);
            }
        }
    }

    /// Waits until a final header commits to what came of an envelope.
    async fn await_final(&mut self, sealed: &Sealed, height: u64) -> Result<(), ClientError> {
        let mut attempts = Attempts::new(&self.reach, self.now());
        loop {
            let problem = match self.try_await(sealed, Stage::Final).await {
                Ok(notice) => match sealed.open_final(&notice) {
                    Ok(notice) if notice.height == height => {
                        let digest = notice.commitment.digest();
                        self.cluster.checker.told_final(height, digest);
                        return Ok(());
                    }
                    _ => Problem::false_answer(),
                },
                Err(problem) => {
                    let _ = self.try_submit(sealed).await;
                    problem
                }
            };
            if let Some(error) = self.failed(&mut attempts, problem).await {
                return Err(error);
            }
        }
    }

    /// Seals orders, submits them and waits for what comes of them.
    ///
    /// # Errors
    /// The network refuses them.
    pub async fn order(&mut self, orders: &[Prepared]) -> Result<Done, ClientError> {
        let _ = self.cluster.time.now_ms();
        let sealed = self.client.seal(orders)?;
        let done = self.submit(&sealed).await?;
        if self.random.percent(30) {
            self.await_final(&sealed, done.height).await?;
        }
        Ok(done)
    }

    /// As [`Desk::order`], and everything must settle.
    ///
    /// # Errors
    /// Something did not.
    pub async fn settle(&mut self, orders: &[Prepared]) -> Result<u64, WorldError> {
        let done = self.order(orders).await?;
        let settled = done.outcomes.iter().all(|one| *one == Outcome::SETTLED);
        if settled && done.outcomes.len() == orders.len() {
            Ok(done.height)
        } else {
            Err(format!("{}: {:?}", self.name, done.outcomes).into())
        }
    }

    /// The SDK's client, to prepare orders with.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Asks a question until some node answers it.
    async fn question(&mut self, question: &Question) -> Result<Answered, ClientError> {
        let mut attempts = Attempts::new(&self.reach, self.now());
        loop {
            let _ = self.cluster.time.now_ms();
            let asked = self.client.seal_question(question)?;
            let tried = self.ask(asked.request()).await;
            let problem = match tried {
                Ok(ResponseBody::Answer(sealed)) => match asked.open(&sealed) {
                    Ok(answer) if answer.body == AnswerBody::Behind => {
                        Problem::new(Kind::Later, "the node is behind")
                    }
                    Ok(answer) => return Ok(answer),
                    Err(_) => Problem::false_answer(),
                },
                Ok(other) => Problem::unexpected(other),
                Err(problem) => problem,
            };
            if let Some(error) = self.failed(&mut attempts, problem).await {
                return Err(error);
            }
        }
    }

    /// Transfers and reads until it is told to stop. Every operation that was begun is ended.
    pub async fn work(mut self, until_ms: u64) {
        while self.cluster.time.passed_ms() < until_ms && !self.cluster.trace.is_broken() {
            let pause = self.random.between(20, 900);
            self.pause(pause).await;
            let worked = if self.random.percent(55) {
                self.transfer().await
            } else {
                self.read().await
            };
            if let Err(error) = worked {
                let text = format!("{} was refused: {error}", self.name);
                self.cluster.trace.violation(text);
                return;
            }
        }
    }

    async fn transfer(&mut self) -> Result<(), WorldError> {
        let from = self.random.place(usize::from(ACCOUNTS));
        let step = 1 + self.random.place(usize::from(ACCOUNTS) - 1);
        let to = (from + step) % usize::from(ACCOUNTS);
        let (from, to) = (u8::try_from(from)?, u8::try_from(to)?);
        let cash = self.random.percent(50);
        let most = if cash { MONEY } else { UNITS };
        let quantity = 1 + self.random.below(most * 3 / 4);
        let asset = if cash {
            Asset::Cash {
                currency: CURRENCY.parse()?,
                amount: format!("{}.{:02}", quantity / 100, quantity % 100).parse()?,
            }
        } else {
            Asset::Security {
                isin: ISIN.parse()?,
                quantity: quantity.to_string().parse()?,
            }
        };
        let instruction = Instruction::Transfer {
            asset,
            from: account(from)?,
            to: account(to)?,
        };
        let shift = if cash { ACCOUNTS } else { 0 };
        let call = Call::Transfer {
            from: from + shift,
            to: to + shift,
            quantity,
        };
        self.orders += 1;
        let reference = format!("{}-{}", self.name.replace(' ', "-"), self.orders);
        let operation = self.office.history(|history| history.call(0, call.clone()));
        self.note(&format!("calls {call:?} as {reference}"));
        let prepare = |reference: &str| {
            let reference = ClientReference::new(reference)?;
            let prepared = Prepared::instruction(Some(reference), instruction.clone());
            Ok::<_, WorldError>([prepared?])
        };
        let answer = if self.breakage == Some(Breakage::EarlyAnswer) && self.random.percent(30) {
            // What a client must not do: take a node's word that it will come.
            let sealed = self.client.seal(&prepare(&reference)?)?;
            let _ = self.ask(sealed.request()).await;
            Answer::Settled
        } else {
            let again = self.random.percent(20);
            let first = self.order(&prepare(&reference)?).await?;
            let mut settled = is_settled(&first);
            if again {
                // A user who does not remember: the same order under the same reference, in an envelope of its own.
                let reference = match self.breakage {
                    Some(Breakage::NewReference) => format!("{reference}-again"),
                    _ => reference.clone(),
                };
                let second = self.order(&prepare(&reference)?).await?;
                if settled && !is_settled(&second) && self.breakage.is_none() {
                    return Err(
                        format!("{reference} settled, and then {:?}", second.outcomes).into(),
                    );
                }
                settled |= is_settled(&second);
            }
            if settled {
                Answer::Settled
            } else {
                Answer::Rejected
            }
        };
        self.note(&format!("{reference} is {answer:?}"));
        self.office
            .history(|history| history.answer(operation, answer));
        Ok(())
    }

    async fn read(&mut self) -> Result<(), WorldError> {
        if self.breakage != Some(Breakage::SilentDesks) {
            self.client
                .know_height(self.office.known.load(Ordering::Relaxed));
        }
        let operation = self.office.history(|history| history.call(0, Call::Read));
        let answer = self.question(&Question::Holdings).await?;
        let AnswerBody::View(bytes) = &answer.body else {
            return Err(format!("holdings are refused: {:?}", answer.body).into());
        };
        let books = books_of(&HoldingsView::try_from_slice(bytes)?);
        self.office
            .known
            .fetch_max(answer.height, Ordering::Relaxed);
        self.note(&format!("reads {books:?} at {}", answer.height));
        let answer = Answer::Balances(books);
        self.office
            .history(|history| history.answer(operation, answer));
        Ok(())
    }
}

fn is_settled(done: &Done) -> bool {
    let mut outcomes = done.outcomes.iter();
    outcomes.any(|one| one.status == Status::Settled)
}

/// The identifier of an account.
///
/// # Errors
/// Never; the type has no other way to be made.
pub fn account(number: u8) -> Result<AccountId, WorldError> {
    Ok(AccountId::new(&format!("A-{number}"))?)
}

/// What all accounts hold at the begin.
#[must_use]
pub fn begin() -> Books {
    let units = (0..ACCOUNTS).map(|one| (one, UNITS));
    let money = (ACCOUNTS..2 * ACCOUNTS).map(|one| (one, MONEY));
    units.chain(money).collect()
}

/// A view of holdings as the history has it.
#[must_use]
pub fn books_of(view: &HoldingsView) -> Books {
    let mut books: Books = (0..2 * ACCOUNTS).map(|one| (one, 0)).collect();
    for holdings in &view.accounts {
        let number = holdings.account.as_str().trim_start_matches("A-");
        let Ok(number) = number.parse::<u8>() else {
            continue;
        };
        for asset in &holdings.assets {
            let key = match asset.asset {
                AssetCode::Security(_) => number,
                AssetCode::Cash(_) => number + ACCOUNTS,
            };
            books.insert(key, asset.quantity.units);
        }
    }
    books
}
