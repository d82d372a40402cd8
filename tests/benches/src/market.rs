//! A market as large as the rival's database: accounts that hold securities and money, and a venue that submits trades
//! which are already matched.
//!
//! Account `a` holds ten of a hundred issues, those of group `a mod 10`, so that any two accounts of a group can trade
//! any of its issues. Everything in it came there by orders of members, as on any network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use borsh::BorshDeserialize as _;
use sealbook_sdk::{AnswerBody, Client, Network, Prepared, Question, Stage};
use sealbook_securities::{
    AccountId, AuditView, ClientReference, CurrencyCode, Decimal, Instruction, Isin, IssueKind,
    LongName, MemberName, Side, Status,
};
use sealbook_system::TestNetwork;

use crate::world::{client, enrol, expect, network, plain};
use crate::{Error, Result};

/// Groups of accounts that hold the same issues.
const GROUPS: usize = 10;
/// Issues that an account holds.
const HELD: usize = 10;
/// Firms that keep the accounts.
const FIRMS: usize = 4;
/// Orders in an envelope while the market is furnished.
const FURNISHING: usize = 500;
/// Accounts opened in one envelope; each brings an attachment.
const OPENING: usize = 200;
/// The member that submits trades.
pub(crate) const VENUE: &str = "admin";
const CURRENCY: &str = "USD";
/// What every account holds of each of its issues, and of money, in the beginning.
const UNITS: &str = "1000000";
const MONEY: &str = "10000000.00";

/// A furnished market.
pub(crate) struct Market {
    folder: PathBuf,
    network: Arc<Network>,
    accounts: usize,
    issues: Vec<Isin>,
    /// Clients of the venue between two loads, by their numbers, within sessions or without.
    clients: Mutex<BTreeMap<(usize, bool), Client>>,
}

/// What is submitted, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// A number that no other load of this market has.
    pub(crate) run: usize,
    /// Clients, each on a connection and in a thread of its own.
    pub(crate) clients: usize,
    /// Trades in an envelope.
    pub(crate) batch: usize,
    /// Envelopes that a client has under way at a time, each sealed and signed by itself.
    pub(crate) window: usize,
    /// Firms record and confirm each trade, instead of the venue's submitting it.
    pub(crate) two_steps: bool,
    /// Each client seals its envelopes within a session.
    pub(crate) sessions: bool,
    /// How many envelopes a second each client sends at the most; 0 for no limit.
    pub(crate) pace: u32,
    pub(crate) length: Duration,
    pub(crate) stage: Stage,
}

/// What came of a load.
pub(crate) struct Done {
    /// Trades whose outcome was `settled`, which the client opened and read.
    pub(crate) settled: u64,
    pub(crate) elapsed: Duration,
    /// From submission to the stage, ascending.
    pub(crate) latencies: Vec<Duration>,
}

impl Done {
    /// How long so many percent of the clients' turns took at the most, in milliseconds.
    pub(crate) fn late(&self, percent: usize) -> f64 {
        let place = self.latencies.len().saturating_sub(1) * percent / 100;
        let found = self.latencies.get(place);
        found.map_or(0.0, |one| one.as_secs_f64() * 1e3)
    }

    /// Settled trades a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.settled as f64 / self.elapsed.as_secs_f64()
    }
}

impl Market {
    /// Enrols members and furnishes a market of so many accounts.
    pub(crate) fn make(sealbook: &Path, folder: &Path, accounts: usize) -> Result<Self> {
        enrol(sealbook, folder, "issuer", "issuer")?;
        enrol(sealbook, folder, "bank", "cash-agent")?;
        for firm in 0..FIRMS {
            enrol(sealbook, folder, &firm_name(firm), "firm")?;
        }
        let issues = (0..GROUPS * HELD).map(isin).collect::<Result<_>>()?;
        let market = Self {
            folder: folder.to_path_buf(),
            network: network(folder)?,
            accounts,
            issues,
            clients: Mutex::default(),
        };
        market.register()?;
        market.open_accounts()?;
        market.fill()?;
        Ok(market)
    }

    /// A client of a member, which begins with this node.
    pub(crate) fn client(&self, member: &str, node: usize) -> Result<Client> {
        client(&self.folder, &self.network, member, node)
    }

    /// How many positions there are, without those of treasuries.
    pub(crate) const fn positions(&self) -> usize {
        self.accounts * HELD
    }

    fn register(&self) -> Result<()> {
        let mut admin = self.client(VENUE, 0)?;
        let mut orders = Vec::new();
        for (number, isin) in self.issues.iter().enumerate() {
            orders.push(plain(Instruction::RegisterIssue {
                isin: *isin,
                issuer: MemberName::new("issuer")?,
                name: LongName::new(&format!("Benchmark {number}"))?,
                kind: IssueKind::Equity,
                decimals: 0,
                currency: CurrencyCode::new(CURRENCY)?,
                treasury: AccountId::new(&format!("T-{number}"))?,
            })?);
            orders.push(plain(Instruction::IssueUnits {
                isin: *isin,
                quantity: Decimal::parse("1000000000000")?,
            })?);
        }
        submit(&mut admin, &orders)
    }

    fn open_accounts(&self) -> Result<()> {
        let holder = LongName::new("Example Holder")?;
        self.all_firms(|firm| {
            let mut client = self.client(&firm_name(firm), firm)?;
            let venue = MemberName::new(VENUE)?;
            submit(&mut client, &[plain(Instruction::GrantMandate { venue })?])?;
            let own: Vec<usize> = (firm..self.accounts).step_by(FIRMS).collect();
            for some in own.chunks(OPENING) {
                let orders = some
                    .iter()
                    .map(|number| Ok(client.prepare_account(account(*number)?, &holder)?))
                    .collect::<Result<Vec<_>>>()?;
                submit(&mut client, &orders)?;
            }
            Ok(())
        })
    }

    /// Units and money for every account.
    fn fill(&self) -> Result<()> {
        let (units, money) = (Decimal::parse(UNITS)?, Decimal::parse(MONEY)?);
        self.all_firms(|part| {
            let mut admin = self.client(VENUE, part)?;
            let mut bank = self.client("bank", part)?;
            let own: Vec<usize> = (part..self.accounts).step_by(FIRMS).collect();
            for some in own.chunks(FURNISHING / HELD) {
                let mut orders = Vec::new();
                for number in some {
                    for isin in self.issues_of(*number) {
                        orders.push(plain(Instruction::Allocate {
                            isin: *isin,
                            account: account(*number)?,
                            quantity: units,
                        })?);
                    }
                }
                submit(&mut admin, &orders)?;
            }
            for some in own.chunks(FURNISHING) {
                let orders = some.iter().map(|number| {
                    plain(Instruction::MintCash {
                        currency: CurrencyCode::new(CURRENCY)?,
                        account: account(*number)?,
                        amount: money,
                    })
                });
                submit(&mut bank, &orders.collect::<Result<Vec<_>>>()?)?;
            }
            Ok(())
        })
    }

    fn all_firms(&self, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..FIRMS)
                .map(|firm| scope.spawn(move || work(firm)))
                .collect();
            for thread in threads {
                thread.join().map_err(|_| "a client panicked")??;
            }
            Ok(())
        })
    }

    fn issues_of(&self, account: usize) -> &[Isin] {
        let first = account % GROUPS * HELD;
        self.issues.get(first..first + HELD).unwrap_or_default()
    }

    /// Puts a load on the network and counts what settled.
    pub(crate) fn settle(&self, load: Load) -> Result<Done> {
        let (settled, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let mut clients = (0..load.clients)
            .map(|number| self.venue_client(number, load.sessions))
            .collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let latencies: Result<Vec<Vec<Duration>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .enumerate()
                .map(|(number, client)| {
                    let (settled, stop) = (&settled, &stop);
                    scope.spawn(move || {
                        let done = self.trade(client, load, number, settled, stop);
                        if done.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        done
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .map_err(|_| Error::from("a client panicked"))?
                })
                .collect()
        });
        let elapsed = started.elapsed();
        if let Ok(mut known) = self.clients.lock() {
            let numbered = clients.into_iter().enumerate();
            known.extend(numbered.map(|(number, client)| ((number, load.sessions), client)));
        }
        let mut latencies: Vec<Duration> = latencies?.into_iter().flatten().collect();
        latencies.sort_unstable();
        Ok(Done {
            settled: settled.into_inner(),
            elapsed,
            latencies,
        })
    }

    /// Asks every node for its totals: as many settled trades as were counted, and nothing lost or made.
    pub(crate) fn check(&self, network: &TestNetwork, counted: u64) -> Result<()> {
        self.dismiss();
        for (node, name) in network.node_names().iter().enumerate() {
            let mut client = self.client(VENUE, node)?;
            let answer = client.ask(&Question::Audit)?;
            let AnswerBody::View(view) = answer.body else {
                return Err(format!("`{name}` gives no totals").into());
            };
            let view = AuditView::try_from_slice(&view)?;
            let settled = u64::from(view.counts.trades_settled);
            if settled != counted {
                return Err(format!("`{name}` has {settled} trades, {counted} counted").into());
            }
            for issue in &view.issues {
                if issue.issued.units != issue.treasury.units + issue.held.units {
                    return Err(format!("`{name}`: {} does not add up", issue.isin).into());
                }
            }
        }
        Ok(())
    }

    /// Ends the connections of clients that stay between loads: a node takes so many of one member.
    fn dismiss(&self) {
        if let Ok(mut known) = self.clients.lock() {
            known.clear();
        }
    }

    /// A client of the venue that stays from round to round, and so does its session, as a steady sender's would.
    fn venue_client(&self, number: usize, sessions: bool) -> Result<Client> {
        let known = self.clients.lock().ok();
        if let Some(client) = known.and_then(|mut known| known.remove(&(number, sessions))) {
            return Ok(client);
        }
        let mut client = self.client(VENUE, number)?;
        client.set_sessions(sessions);
        Ok(client)
    }

    /// One client: submits batch after batch until time is up.
    fn trade(
        &self,
        client: &mut Client,
        load: Load,
        number: usize,
        settled: &AtomicU64,
        stop: &AtomicBool,
    ) -> Result<Vec<Duration>> {
        if load.two_steps {
            return self.record_and_confirm(load, number, settled, stop);
        }
        let begun = Instant::now();
        let mut random = Random(1 + (load.run as u64) * 1_000_003 + number as u64 * 7_919);
        let mut latencies = Vec::new();
        for batch in 0_u32.. {
            if begun.elapsed() >= load.length || stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(gap) = Duration::from_secs(1).checked_div(load.pace) {
                let due = gap * batch + gap * number as u32 / load.clients.max(1) as u32;
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            let mut place = 0;
            let mut envelope = |_| {
                let orders = (0..load.batch).map(|_| {
                    place += 1;
                    let name = format!("{}.{number}.{batch}.{place}", load.run);
                    self.random_trade(&name, &mut random)
                });
                orders.collect::<Result<Vec<_>>>()
            };
            let envelopes = (0..load.window)
                .map(&mut envelope)
                .collect::<Result<Vec<_>>>()?;
            let submitted = Instant::now();
            let done = client.submit_all(&envelopes, load.stage)?;
            latencies.push(submitted.elapsed());
            for one in &done {
                expect(&one.outcomes, Status::Settled)?;
                settled.fetch_add(one.outcomes.len() as u64, Ordering::Relaxed);
            }
            if client.has_session() != load.sessions {
                return Err("a client lost its session".into());
            }
        }
        Ok(latencies)
    }

    /// One pair of firms: the first records a batch of sales, the second confirms them, until time is up.
    fn record_and_confirm(
        &self,
        load: Load,
        number: usize,
        settled: &AtomicU64,
        stop: &AtomicBool,
    ) -> Result<Vec<Duration>> {
        let begun = Instant::now();
        let mut random = Random(1 + (load.run as u64) * 1_000_003 + number as u64 * 7_919);
        // Firms whose accounts are in the same groups.
        let (one, other) = (number % FIRMS, (number + FIRMS / 2) % FIRMS);
        let mut seller = self.client(&firm_name(one), number)?;
        let mut buyer = self.client(&firm_name(other), number)?;
        let mut latencies = Vec::new();
        for batch in 0_u32.. {
            if begun.elapsed() >= load.length || stop.load(Ordering::Relaxed) {
                break;
            }
            let (mut records, mut confirms) = (Vec::new(), Vec::new());
            for place in 0..load.batch {
                let name = format!("{}.{number}.{batch}.{place}", load.run);
                let trade = ClientReference::new(&name)?;
                let group = random.below(GROUPS / 2) * 2 + one % 2;
                let issue = self.issues_of(group).get(random.below(HELD));
                let record = Instruction::RecordTrade {
                    side: Side::Sell,
                    account: account(self.account_of(one, group, &mut random))?,
                    counterparty: MemberName::new(&firm_name(other))?,
                    isin: *issue.ok_or("no such issue")?,
                    quantity: Decimal::new(1 + random.below(100) as u64, 0).ok_or("no number")?,
                    currency: CurrencyCode::new(CURRENCY)?,
                    amount: Decimal::new(100 + random.below(9_900) as u64, 2).ok_or("no number")?,
                };
                records.push(Prepared::instruction(Some(trade), record)?);
                let account = account(self.account_of(other, group, &mut random))?;
                confirms.push(plain(Instruction::ConfirmTrade { trade, account })?);
            }
            let submitted = Instant::now();
            let recorded = seller.submit(&records, load.stage)?;
            expect(&recorded.outcomes, Status::Pending)?;
            let done = buyer.submit(&confirms, load.stage)?;
            latencies.push(submitted.elapsed());
            expect(&done.outcomes, Status::Settled)?;
            settled.fetch_add(done.outcomes.len() as u64, Ordering::Relaxed);
        }
        Ok(latencies)
    }

    /// An account of this group that this firm keeps.
    fn account_of(&self, firm: usize, group: usize, random: &mut Random) -> usize {
        loop {
            let number = random.below(self.accounts / GROUPS) * GROUPS + group;
            if number % FIRMS == firm {
                return number;
            }
        }
    }

    /// One of the issues, which has a tenth of all accounts for holders.
    pub(crate) fn some_issue(&self, number: usize) -> Option<&Isin> {
        self.issues.get(number % self.issues.len().max(1))
    }

    /// A trade as the rival's: two accounts of one group, one of its issues, up to 100 units for up to 100.00.
    fn random_trade(&self, name: &str, random: &mut Random) -> Result<Prepared> {
        let group = random.below(GROUPS);
        let in_group = (self.accounts / GROUPS).max(1);
        let mut one = || random.below(in_group) * GROUPS + group;
        let (seller, buyer) = (one(), one());
        let isin = self.issues_of(group).get(random.below(HELD));
        let trade = Instruction::LockedInTrade {
            seller_account: account(seller)?,
            buyer_account: account(buyer)?,
            isin: *isin.ok_or("no such issue")?,
            quantity: Decimal::new(1 + random.below(100) as u64, 0).ok_or("no number")?,
            currency: CurrencyCode::new(CURRENCY)?,
            amount: Decimal::new(100 + random.below(9_900) as u64, 2).ok_or("no number")?,
        };
        Ok(Prepared::instruction(
            Some(ClientReference::new(name)?),
            trade,
        )?)
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

fn submit(client: &mut Client, orders: &[Prepared]) -> Result<()> {
    expect(
        &client.submit(orders, Stage::Outcome)?.outcomes,
        Status::Settled,
    )
}

fn firm_name(firm: usize) -> String {
    format!("firm-{firm}")
}

fn account(number: usize) -> Result<AccountId> {
    Ok(AccountId::new(&format!("A-{number}"))?)
}

/// The international number of an issue of the benchmark, with its check digit.
pub(crate) fn isin(number: usize) -> Result<Isin> {
    let found = (0..10).find_map(|digit| Isin::new(&format!("XS{number:09}{digit}")).ok());
    Ok(found.ok_or("no check digit fits")?)
}
