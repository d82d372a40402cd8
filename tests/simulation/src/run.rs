//! A run: one seed, one network, from its founding to the end in which everything must have come right.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::time::{Duration, UNIX_EPOCH};

use commonware_p2p::simulated::{Config as LinksConfig, Network, Oracle};
use commonware_runtime::deterministic::{Config, Context, Runner};
use commonware_runtime::{Clock as _, Handle, Runner as _, Spawner as _, Supervisor as _};
use sealbook_governance::{Action, Change};
use sealbook_ordering::Limits;
use sealbook_ordering::node::{engine_key, message_bytes_max};
use sealbook_primitives::hash::hash;
use sealbook_sdk::Prepared;
use sealbook_securities::{Instruction, IssueKind, LongName, MemberName};

use crate::checker::Checker;
use crate::client::{self, ACCOUNTS, CURRENCY, Desk, ISIN, MONEY, Office, UNITS};
use crate::cluster::Cluster;
use crate::entropy;
use crate::random::Random;
use crate::report::{Breakage, Report, Settings};
use crate::schedule::{CALM_MS, Fault, Lie, Plan, STORM_MS};
use crate::time::Time;
use crate::trace::Trace;
use crate::weather::{Trouble, Weather};
use crate::world::{self, World, WorldError};

/// When every run begins: a fixed moment.
const BEGIN_MS: u64 = 1_344_470_400_000;
/// How long the end may take.
const END_MS: u64 = 60_000;
/// How many blocks everybody must have after everything is healed.
const END_BLOCKS: u64 = 20;
const DESKS: u64 = 3;

/// Runs one seed to its end, on a thread of its own.
#[must_use]
pub fn run(settings: Settings) -> Report {
    warm_up();
    let trace = Trace::default();
    let noted = trace.clone();
    let ended = entropy::seeded(settings.seed, move || play(settings, &noted, false));
    let (counts, audit) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => {
            trace.violation(error.to_string());
            ([0; 4], String::new())
        }
        Err(panic) => {
            trace.violation(format!("panic: {panic}"));
            ([0; 4], String::new())
        }
    };
    let digest = hash(
        "sealbook simulation run",
        &[trace.digest().as_bytes(), audit.as_bytes()],
    );
    Report {
        settings,
        violations: trace.violations(),
        lines: trace.lines(),
        digest,
        counts,
    }
}

/// What a process draws at random only once, and keeps for all its runs, is drawn here, from a seed of its own: the first
/// run of a process would otherwise differ from the same run as a later one.
fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let settings = Settings {
            seed: 0,
            validators: 4,
            breakage: None,
        };
        // Should it fail, so will the runs after it, and they say why.
        let _ = entropy::seeded(0, move || play(settings, &Trace::default(), true).is_ok());
    });
}

type Ended = ([u64; 4], String);

fn play(settings: Settings, trace: &Trace, briefly: bool) -> Result<Ended, WorldError> {
    let config = Config::new()
        .with_seed(settings.seed)
        .with_start_time(UNIX_EPOCH + Duration::from_millis(BEGIN_MS))
        .with_timeout(Some(Duration::from_secs(600)));
    entropy::set_time_of_day(BEGIN_MS);
    let trace = trace.clone();
    Runner::new(config).start(|context| async move {
        let auditor = context.auditor();
        let mut run = Run::begin(context, settings, trace).await?;
        let played = run.play(briefly).await;
        let counts = run.counts();
        run.end().await;
        drop(run);
        played?;
        Ok((counts, auditor.state()))
    })
}

/// Something that ends at a given time.
enum End {
    Start(usize),
    StartAll,
    Trouble(u64),
    Clock(usize),
    Reachable(usize, u64),
}

struct Run {
    settings: Settings,
    context: Context,
    cluster: Arc<Cluster>,
    weather: Weather,
    office: Office,
    /// What is to end when, in milliseconds since the begin.
    ends: BTreeMap<(u64, u64), End>,
    sequence: u64,
    desks: Vec<Handle<()>>,
    committee: Option<Handle<()>>,
}

/// What follows from the settings before anything runs.
fn plan(settings: Settings, drift_ms: u64) -> Plan {
    let mut plan = Plan::new(settings.seed, settings.validators, drift_ms);
    match settings.breakage {
        Some(Breakage::TooManyTwins) => {
            plan.liars = (0..settings.validators / 2)
                .map(|node| (node, Lie::Twins))
                .collect();
            plan.faults.clear();
            plan.removed = settings.validators - 1;
        }
        Some(Breakage::VotesAgain) => {
            plan.liars.clear();
            let wipe = |node| Fault::Wipe { node, down_ms: 50 };
            plan.faults = vec![(CALM_MS, wipe(0)), (CALM_MS + 4_000, wipe(1))];
        }
        Some(Breakage::Gullible) => {
            plan.liars = vec![(0, Lie::Junk)];
            plan.faults.clear();
        }
        Some(_) => plan.liars.clear(),
        None => {}
    }
    plan
}

impl Run {
    async fn begin(context: Context, settings: Settings, trace: Trace) -> Result<Self, WorldError> {
        let time = Arc::new(Time::new(context.child("time"), trace.clone()));
        let world = World::found(settings.validators, time.now_ms())?;
        let drift_ms = world.genesis.parameters.clock_drift_ms;
        let plan = plan(settings, drift_ms);
        // A clock may be ahead by four times the drift, and its owner's block by one more.
        let checker = Checker::new(&world.genesis, drift_ms * 5, trace.clone());
        let keys = world.nodes.iter().map(|node| {
            let key = node.key.verifying_key();
            engine_key(key.as_bytes())
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let count = keys.len();
        let config = LinksConfig {
            max_size: message_bytes_max(&Limits::default()),
            max_peers_per_set: NonZeroUsize::new(count).ok_or("no nodes")?,
            disconnect_on_block: true,
            tracked_peer_sets: NonZeroUsize::MIN,
        };
        let (network, oracle): (_, Oracle<_, Context>) =
            Network::new_with_peers(context.child("network"), config, keys.clone()).await;
        network.start();
        time.note(&format!(
            "seed {}: {} validators, liars {:?}, removed later: {}",
            settings.seed, settings.validators, plan.liars, plan.removed
        ));
        let random = Random::new(settings.seed, "cluster");
        let noted = (Arc::clone(&time), trace, checker);
        let child = context.child("cluster");
        let mut cluster = Cluster::new(child, oracle.clone(), world, plan, noted, random)?;
        cluster.keeps_right = settings.breakage == Some(Breakage::VotesAgain);
        if settings.breakage == Some(Breakage::TooManyTwins) {
            cluster.apart_from = Some(settings.validators / 2);
        }
        cluster.drowsy = settings.breakage == Some(Breakage::SilentDesks);
        cluster.gullible = settings.breakage == Some(Breakage::Gullible);
        Ok(Self {
            settings,
            context,
            cluster: Arc::new(cluster),
            weather: Weather::new(keys, oracle),
            office: Office::default(),
            ends: BTreeMap::new(),
            sequence: 0,
            desks: Vec::new(),
            committee: None,
        })
    }

    fn now(&self) -> u64 {
        self.cluster.time.passed_ms()
    }

    fn note(&self, text: &str) {
        self.cluster.time.note(text);
    }

    fn broken(&self) -> bool {
        self.cluster.trace.is_broken()
    }

    fn desk(&self, member: &str, number: u64) -> Result<Desk, WorldError> {
        let shared = (self.office.clone(), self.settings.breakage);
        let purpose = format!("{member} {number}");
        let random = Random::new(self.settings.seed, &purpose);
        let context = self.context.child("desk");
        Desk::new(&self.cluster, context, member, number, shared, random)
    }

    /// Plays the whole run; briefly, only until the members have what they begin with.
    async fn play(&mut self, briefly: bool) -> Result<(), WorldError> {
        if let Some(liars) = self.cluster.apart_from {
            let honest = || liars..self.cluster.count();
            let even = honest().filter(|node| node % 2 == 0).collect();
            let odd = honest().filter(|node| node % 2 == 1).collect();
            self.weather.begin(Trouble::Between(even, odd));
        }
        self.weather.apply().await?;
        for node in 0..=self.cluster.world.observer() {
            self.cluster.start(node).await?;
        }
        self.furnish().await?;
        if briefly {
            return Ok(());
        }
        for number in 0..DESKS {
            let desk = self.desk("alpha", number)?;
            let child = self.context.child("work");
            let task = child.spawn(move |_| desk.work(CALM_MS + STORM_MS));
            self.desks.push(task);
        }
        self.committee = Some(self.change_committee()?);
        if self.settings.breakage == Some(Breakage::WrongResults) {
            self.cluster.make_crooked(0);
        }
        self.storm().await?;
        self.heal().await?;
        self.come_right().await;
        if !self.broken() {
            self.check_end();
        }
        Ok(())
    }

    /// The members set up what they begin with.
    async fn furnish(&self) -> Result<(), WorldError> {
        let mut admin = self.desk("admin", 9)?;
        let mut alpha = self.desk("alpha", 9)?;
        let mut bank = self.desk("bank", 9)?;
        let chain = |name: &str| {
            let member = self.cluster.world.members.get(name);
            let chain = member.map(|member| member.chain.iter().map(|der| der.to_vec()).collect());
            Prepared::admit(chain.unwrap_or_default())
        };
        admin.settle(&["bank", "alpha", "apple"].map(chain)).await?;
        let order = |instruction| Prepared::instruction(None, instruction);
        let total = u64::from(ACCOUNTS) * UNITS;
        let issue = [
            order(Instruction::OpenDay {
                date: "2012-08-09".parse()?,
            })?,
            order(Instruction::RegisterIssue {
                isin: ISIN.parse()?,
                issuer: MemberName::new("apple")?,
                name: LongName::new("Apple Inc.")?,
                kind: IssueKind::Equity,
                decimals: 0,
                currency: CURRENCY.parse()?,
                treasury: sealbook_securities::AccountId::new("TREASURY")?,
            })?,
            order(Instruction::IssueUnits {
                isin: ISIN.parse()?,
                quantity: total.to_string().parse()?,
            })?,
        ];
        admin.settle(&issue).await?;
        let mut accounts = Vec::new();
        let (mut units, mut money) = (Vec::new(), Vec::new());
        for number in 0..ACCOUNTS {
            let account = client::account(number)?;
            let holder = LongName::new(&format!("Holder {number}"))?;
            accounts.push(alpha.client().prepare_account(account, &holder)?);
            units.push(order(Instruction::Allocate {
                isin: ISIN.parse()?,
                account,
                quantity: UNITS.to_string().parse()?,
            })?);
            money.push(order(Instruction::MintCash {
                currency: CURRENCY.parse()?,
                account,
                amount: format!("{}.{:02}", MONEY / 100, MONEY % 100).parse()?,
            })?);
        }
        alpha.settle(&accounts).await?;
        admin.settle(&units).await?;
        let height = bank.settle(&money).await?;
        self.office.known.fetch_max(height, Ordering::Relaxed);
        let totals = [
            (ISIN.to_owned(), total),
            (CURRENCY.to_owned(), u64::from(ACCOUNTS) * MONEY),
        ];
        self.cluster.checker.set_totals(totals.into());
        self.note("the members have what they begin with");
        Ok(())
    }

    /// The admin admits a validator, and removes another later.
    fn change_committee(&self) -> Result<Handle<()>, WorldError> {
        let mut admin = self.desk("admin", 8)?;
        let cluster = Arc::clone(&self.cluster);
        let newcomer = cluster.world.newcomer();
        let add = cluster.world.nodes.get(newcomer).map(world::validator_seat);
        let add = Change::AddValidator(add.ok_or("no newcomer")?, Vec::new());
        let gone = cluster.world.nodes.get(cluster.plan.removed);
        let name = gone.ok_or("no such node")?.name.clone();
        let remove = Change::RemoveValidator { name };
        let child = self.context.child("committee");
        Ok(child.spawn(move |context| async move {
            let changes = cluster.plan.committee.into_iter().zip([add, remove]);
            for (at_ms, change) in changes {
                let wait = at_ms.saturating_sub(cluster.time.passed_ms());
                context.sleep(Duration::from_millis(wait)).await;
                let kind = change.kind();
                cluster.time.note(&format!("the admin proposes {kind}"));
                let proposed = match Prepared::governance(Action::Propose { change }) {
                    Ok(prepared) => admin.settle(&[prepared]).await,
                    Err(error) => Err(error.into()),
                };
                match proposed {
                    Ok(height) => cluster.time.note(&format!("{kind} is decided at {height}")),
                    Err(error) => cluster.trace.violation(format!("{kind}: {error}")),
                }
            }
        }))
    }

    fn at(&mut self, when: u64, end: End) {
        self.sequence += 1;
        self.ends.insert((when, self.sequence), end);
    }

    async fn storm(&mut self) -> Result<(), WorldError> {
        let mut faults = self.cluster.plan.faults.clone();
        faults.reverse();
        while self.now() < CALM_MS + STORM_MS && !self.broken() {
            while let Some((_, fault)) = faults.pop_if(|(at, _)| *at <= self.now()) {
                self.note(&format!("{fault:?}"));
                self.hit(fault).await?;
            }
            self.end_due(self.now()).await?;
            self.welcome().await?;
            let next = faults.last().map_or(u64::MAX, |(at, _)| *at);
            let ends = self
                .ends
                .first_key_value()
                .map_or(u64::MAX, |((at, _), _)| *at);
            let pause = next.min(ends).saturating_sub(self.now()).clamp(1, 100);
            self.context.sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    }

    async fn hit(&mut self, fault: Fault) -> Result<(), WorldError> {
        let now = self.now();
        match fault {
            Fault::Crash { node, down_ms } => {
                self.cluster.crash(node).await;
                self.at(now + down_ms, End::Start(node));
            }
            Fault::Wipe { node, down_ms } => {
                self.cluster.crash(node).await;
                self.cluster.wipe(node);
                self.at(now + down_ms, End::Start(node));
            }
            Fault::PowerLoss { down_ms } => {
                for node in 0..self.cluster.count() {
                    self.cluster.crash(node).await;
                }
                self.at(now + down_ms, End::StartAll);
            }
            Fault::ModuleLoss { node } => self.cluster.lose_module(node),
            Fault::Cut { side, both, for_ms } => {
                let number = self.weather.begin(Trouble::Cut(side.clone(), both));
                self.weather.apply().await?;
                self.at(now + for_ms, End::Trouble(number));
                // Clients are on the other side of some cuts.
                if both {
                    for node in side {
                        self.cut_off(node, number);
                        self.at(now + for_ms, End::Reachable(node, number));
                    }
                }
            }
            Fault::Links {
                node,
                quality,
                for_ms,
            } => {
                let number = self.weather.begin(Trouble::Bad(node, quality));
                self.weather.apply().await?;
                self.at(now + for_ms, End::Trouble(number));
            }
            Fault::Clock {
                node,
                by_ms,
                for_ms,
            } => {
                self.cluster.set_clock(node, by_ms);
                self.at(now + for_ms, End::Clock(node));
            }
        }
        Ok(())
    }

    fn cut_off(&self, node: usize, number: u64) {
        if let Ok(mut unreachable) = self.cluster.unreachable.lock() {
            unreachable.insert(node, number);
        }
    }

    async fn end_due(&mut self, now: u64) -> Result<(), WorldError> {
        while let Some(entry) = self.ends.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                End::Start(node) => {
                    self.note(&format!("node {node} starts"));
                    self.cluster.start(node).await?;
                }
                End::StartAll => {
                    self.note("all nodes start");
                    self.start_all().await?;
                }
                End::Trouble(number) => {
                    self.weather.end(number);
                    self.weather.apply().await?;
                }
                End::Clock(node) => self.cluster.set_clock(node, 0),
                End::Reachable(node, number) => {
                    if let Ok(mut unreachable) = self.cluster.unreachable.lock()
                        && unreachable.get(&node) == Some(&number)
                    {
                        unreachable.remove(&node);
                    }
                }
            }
        }
        Ok(())
    }

    /// The validator that was admitted starts as soon as its module can.
    async fn welcome(&self) -> Result<(), WorldError> {
        let newcomer = self.cluster.world.newcomer();
        if !self.cluster.runs(newcomer) && self.cluster.has_root(newcomer) {
            let planned = self.ends.values();
            let planned = planned.filter(|end| match end {
                End::Start(node) => *node == newcomer,
                End::StartAll => true,
                _ => false,
            });
            if planned.count() == 0 {
                self.note("the admitted node starts");
                self.cluster.start(newcomer).await?;
            }
        }
        Ok(())
    }

    async fn start_all(&self) -> Result<(), WorldError> {
        for node in 0..=self.cluster.world.observer() {
            self.cluster.start(node).await?;
        }
        self.welcome().await
    }

    /// Everything is made good.
    async fn heal(&mut self) -> Result<(), WorldError> {
        self.note("everything is healed");
        self.ends.clear();
        self.weather.clear();
        self.weather.apply().await?;
        if let Ok(mut unreachable) = self.cluster.unreachable.lock() {
            unreachable.clear();
        }
        for node in 0..self.cluster.count() {
            self.cluster.set_clock(node, 0);
        }
        self.start_all().await
    }

    /// The nodes that must come right: honest ones that belong to the newest epoch.
    fn expected(&self) -> Vec<usize> {
        let definition = self.cluster.checker.definition();
        let belongs = |node: usize| {
            let key = self
                .cluster
                .world
                .nodes
                .get(node)
                .map(|keys| keys.key.verifying_key());
            definition
                .as_ref()
                .zip(key)
                .is_some_and(|(definition, key)| definition.carrier_place(&key).is_some())
        };
        let all = 0..self.cluster.count();
        all.filter(|node| self.cluster.is_honest(*node) && belongs(*node))
            .collect()
    }

    fn pending(&self, goal: u64) -> Vec<String> {
        let mut pending = Vec::new();
        for node in self.expected() {
            let executes = node != self.cluster.world.observer();
            let heights = self.cluster.heights(node);
            let there = heights
                .is_some_and(|(last, executed)| last >= goal && (!executes || executed >= goal));
            if !there {
                pending.push(format!("node {node} is at {heights:?} of {goal}"));
            }
        }
        let open = self
            .office
            .history
            .lock()
            .map_or(0, |history| history.open());
        if open > 0 {
            pending.push(format!("{open} operations of clients are open"));
        }
        pending
    }

    /// Waits until everybody is where everybody is, and every client has its answers.
    async fn come_right(&mut self) {
        let goal = self.cluster.checker.heights().0 + END_BLOCKS;
        let until = self.now() + END_MS;
        loop {
            if self.broken() {
                return;
            }
            if let Err(error) = self.welcome().await {
                self.cluster.trace.violation(error.to_string());
                return;
            }
            let pending = self.pending(goal);
            if pending.is_empty() {
                self.note(&format!("everybody has block {goal}"));
                return;
            }
            if self.now() > until {
                let text = pending.join(", ");
                let text = format!("{} s after everything was healed: {text}", END_MS / 1_000);
                self.cluster.trace.violation(text);
                return;
            }
            self.context.sleep(Duration::from_millis(100)).await;
        }
    }

    /// What can only be looked at in the end.
    fn check_end(&self) {
        let trace = &self.cluster.trace;
        self.cluster.checker.check_end();
        let Ok(history) = self.office.history.lock() else {
            return;
        };
        if let Err(text) = history.check(&client::begin()) {
            trace.violation(format!("what clients saw is not linearizable: {text}"));
        }
        let expected = history.final_books(&client::begin());
        for node in self.expected() {
            let books = self
                .cluster
                .with_module(node, |module| module.books("alpha"));
            if let Some(books) = books.flatten()
                && books != expected
            {
                trace.violation(format!(
                    "accounts on node {node} hold {books:?}; by what clients were told, {expected:?}"
                ));
            }
        }
    }

    fn counts(&self) -> [u64; 4] {
        let checker = &self.cluster.checker;
        let operations = self.office.history.lock();
        let operations = operations.map_or(0, |history| history.operations().len());
        [
            checker.heights().0,
            checker.epoch() + 1,
            checker.counts().0 as u64,
            operations as u64,
        ]
    }

    /// Ends everything, so that nothing of the runtime is left.
    async fn end(&mut self) {
        for task in self.desks.drain(..).chain(self.committee.take()) {
            task.abort();
            let _ = task.await;
        }
        for node in 0..self.cluster.count() {
            self.cluster.crash(node).await;
        }
    }
}
