//! `sealbook-bench compare`: settlements by Sealbook, encrypted and on four validators, beside PostgreSQL in the clear, on
//! the same machine in the same run, taking turns.
//!
//! What counts on our side is a locked-in trade whose outcome the submitting client has opened and read as settled; both
//! legs have moved then. Afterwards every node is asked how many trades are settled, which must be as many as were
//! counted, and whether issues and money add up.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sealbook_sdk::{AnswerBody, AsOf, Certified, Client, Question, RegistryStatement, Stage};
use sealbook_system::TestNetwork;

use crate::market::{Done, Load, Market};
use crate::rival::{Load as RivalLoad, Measured, Rival, Script};
use crate::{Result, cpu, machine, profile};

const USAGE: &str = "sealbook-bench compare [--quick | --reads] [--accounts 100000] [--rounds 5] [--seconds 6] [--json FILE]";
const VALIDATORS: usize = 4;
/// How many clients send batches: a node takes so many connections of one member.
const CLIENTS: usize = 64;
/// How many batches each of them has under way at a time, which is tried; the best is kept.
const WINDOWS: [usize; 3] = [1, 4, 8];
/// Client counts that are tried; the best is kept.
const RIVAL_CLIENTS: [u32; 4] = [2, 4, 8, 16];
const BATCH: usize = 100;

/// What to measure.
pub(crate) struct Plan {
    accounts: usize,
    rival: RivalLoad,
    rounds: usize,
    round: Duration,
    quick: bool,
    /// Only what is read.
    reads: bool,
    json: Option<PathBuf>,
}

impl Plan {
    /// Reads the arguments.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            accounts: 100_000,
            rival: RivalLoad::USUAL,
            rounds: 5,
            round: Duration::from_secs(6),
            quick: false,
            reads: false,
            json: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--quick" => {
                    plan.quick = true;
                    plan.rounds = 3;
                    plan.accounts = 1_000;
                    plan.rival = RivalLoad::QUICK;
                    plan.round = Duration::from_secs(3);
                }
                "--reads" => plan.reads = true,
                "--accounts" => {
                    plan.accounts = value()?.parse()?;
                    plan.rival = RivalLoad {
                        accounts: u32::try_from(plan.accounts)?,
                        history: 0,
                    };
                }
                "--rounds" => plan.rounds = value()?.parse()?,
                "--seconds" => plan.round = Duration::from_secs(value()?.parse()?),
                "--json" => plan.json = Some(value()?.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }
}

/// How many clients send single trades.
const SINGLE_CLIENTS: usize = 32;
/// How many envelopes each of them has under way at a time.
const SINGLE_WINDOW: usize = 64;
const RIVAL_SINGLE_CLIENTS: u32 = 32;
const QUORUM: &str = "3 standbys, quorum of 2, batches";
/// How many registries are read.
const REGISTRIES: usize = 21;
/// How many are certified.
const CERTIFIED: usize = 7;

/// A network with its market.
struct Ours {
    network: TestNetwork,
    market: Market,
    /// How many batches each client has under way.
    window: usize,
    run: usize,
    settled: u64,
    /// The height at which its books were made.
    made: u64,
}

/// What one round found.
#[derive(Clone, Copy, Debug)]
struct Round {
    per_second: f64,
    /// Microseconds of CPU of all nodes and modules for a settlement.
    cpu: f64,
    /// Milliseconds from submission to outcome, p50 and p99.
    waits: [f64; 2],
}

impl Ours {
    fn start(validators: usize, accounts: usize) -> Result<Self> {
        let mut network = TestNetwork::create(validators, 0, &[]);
        network.start_all();
        let sealbook = network.programs().path("sealbook");
        let market = Market::make(&sealbook, network.folder(), accounts)?;
        let made = market.client("issuer", 0)?.status_of(0)?.executed_height;
        Ok(Self {
            network,
            market,
            window: WINDOWS[0],
            run: 0,
            settled: 0,
            made,
        })
    }

    /// Batches within sessions.
    fn round(&mut self, window: usize, length: Duration) -> Result<Round> {
        self.envelopes(CLIENTS, (BATCH, window), length, true)
    }

    /// As many batches under way as were found best.
    fn best_round(&mut self, length: Duration) -> Result<Round> {
        self.round(self.window, length)
    }

    /// Single trades, each sealed and signed by itself, many of each client's under way, within sessions or without.
    fn singly(&mut self, length: Duration, sessions: bool) -> Result<Round> {
        self.envelopes(SINGLE_CLIENTS, (1, SINGLE_WINDOW), length, sessions)
    }

    fn two_steps(&mut self, length: Duration) -> Result<Round> {
        let done = self.load(Load {
            run: 0,
            clients: CLIENTS,
            batch: BATCH,
            window: 1,
            two_steps: true,
            sessions: false,
            pace: 0,
            length,
            stage: Stage::Outcome,
        })?;
        Ok(Round {
            per_second: done.per_second(),
            cpu: 0.0,
            waits: [0.0; 2],
        })
    }

    fn envelopes(
        &mut self,
        clients: usize,
        (batch, window): (usize, usize),
        length: Duration,
        sessions: bool,
    ) -> Result<Round> {
        let before = cpu::of_network(&self.network);
        let done = self.load(Load {
            run: 0,
            clients,
            batch,
            window,
            two_steps: false,
            sessions,
            pace: 0,
            length,
            stage: Stage::Outcome,
        })?;
        let spent = cpu::of_network(&self.network) - before;
        Ok(Round {
            per_second: done.per_second(),
            cpu: spent.total().as_secs_f64() * 1e6 / done.settled.max(1) as f64,
            waits: [50, 99].map(|percent| done.late(percent)),
        })
    }

    /// A load, whose settlements are counted with all others.
    fn load(&mut self, load: Load) -> Result<Done> {
        let run = self.run;
        self.run += 1;
        let done = self.market.settle(Load { run, ..load })?;
        self.settled += done.settled;
        Ok(done)
    }

    /// Percentiles from submission to a stage, in milliseconds, at about so many settlements a second.
    fn latency(&mut self, per_second: f64, stage: Stage, length: Duration) -> Result<[f64; 2]> {
        const CLIENTS: usize = 16;
        let pace = (per_second / (BATCH * CLIENTS) as f64).round().max(1.0);
        let done = self.load(Load {
            run: 0,
            clients: CLIENTS,
            batch: BATCH,
            window: 1,
            two_steps: false,
            sessions: true,
            pace: pace as u32,
            length,
            stage,
        })?;
        Ok([50, 99].map(|percent| done.late(percent)))
    }

    /// Finds the number of batches under way with which most is settled.
    fn find_window(&mut self, length: Duration) -> Result<()> {
        let mut best = 0.0;
        for window in WINDOWS {
            let found = self.round(window, length)?.per_second;
            if found > best {
                (best, self.window) = (found, window);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.market.check(&self.network, self.settled)
    }
}

/// A line of the result.
struct Line {
    what: &'static str,
    rival: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    unit: &'static str,
    /// What the ratio is to be at least, or at most where less is better.
    must: f64,
    aim: f64,
    less_is_better: bool,
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Line {
    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.theirs)
    }

    fn verdict(&self) -> &'static str {
        let reaches = |bar: f64| {
            if self.less_is_better {
                self.ratio() <= bar
            } else {
                self.ratio() >= bar
            }
        };
        match (reaches(self.must), reaches(self.aim)) {
            (_, true) => "aim",
            (true, false) => "must",
            (false, false) => "missed",
        }
    }
}

/// Measures, and prints a table in Markdown.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    if !Rival::is_installed() {
        return Err("PostgreSQL is not installed: sudo apt-get install postgresql".into());
    }
    if plan.quick {
        return quick(plan);
    }
    let folder = tempfile::Builder::new()
        .prefix("sealbook-bench-")
        .tempdir()?;
    if !plan.reads {
        check_room(folder.path())?;
    }
    let mut rival = Rival::start(folder.path(), plan.rival, "1GB")?;
    let mut four = Ours::start(VALIDATORS, plan.accounts)?;
    if plan.reads {
        conditions(plan, &rival, &four)?;
        // A past that is not the present.
        for _ in 0..plan.rounds {
            four.round(WINDOWS[1], plan.round)?;
        }
        println!("{}", reads(plan, &mut rival, &four)?);
        return four.check();
    }
    let mut one = Ours::start(1, plan.accounts)?;
    conditions(plan, &rival, &four)?;
    let lines = run(plan, &mut rival, &mut four, &mut one)?;
    let waits = waits(plan, &mut four, &lines)?;
    let reads = reads(plan, &mut rival, &four)?;
    four.check()?;
    one.check()?;
    let theirs = rival.conservation()?;
    if !theirs.holds() {
        return Err(format!("the rival's books do not add up: {theirs:?}").into());
    }
    print(&lines);
    println!("\n{waits}\n\n{reads}");
    println!(
        "\nBatches under way for each client: {} on {VALIDATORS} validators, {} on one.",
        four.window, one.window
    );
    println!(
        "\nEvery counted settlement is settled on every node, and all books add up: {} trades on {VALIDATORS} validators, \
         {} on one.",
        four.settled, one.settled
    );
    if let Some(file) = &plan.json {
        std::fs::write(file, json(&lines))?;
    }
    Ok(())
}

/// Nodes and the rival stop when the disk is full, and a whole run of the usual length fills 45 GB.
fn check_room(folder: &Path) -> Result<()> {
    const NEEDED_KB: u64 = 50_000_000;
    let ran = Command::new("df").args(["-P", "-k"]).arg(folder).output()?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let fields = text
        .lines()
        .nth(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let free = fields.and_then(|fields| fields.get(3)?.parse::<u64>().ok());
    if let Some(free) = free.filter(|free| *free < NEEDED_KB) {
        eprintln!(
            "warning: {} GB are free in {}, and a whole run writes up to 45 GB",
            free / 1_000_000,
            folder.display()
        );
    }
    Ok(())
}

/// One ratio in less than a minute, from books of ten thousand positions and client counts that are usually the best.
fn quick(plan: &Plan) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("sealbook-bench-")
        .tempdir()?;
    let mut rival = Rival::start(folder.path(), plan.rival, "1GB")?;
    let mut four = Ours::start(VALIDATORS, plan.accounts)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let round = four.round(WINDOWS[1], plan.round)?;
        let rival = sound(rival.measure(Script::Set100, 4, plan.round)?)?;
        println!(
            "Sealbook {:.0}/s, {:.0} us of CPU each; PostgreSQL {:.0}/s, {:.0} us",
            round.per_second, round.cpu, rival.per_second, rival.cpu_per_item
        );
        ours.push(round.per_second);
        theirs.push(rival.per_second);
    }
    four.check()?;
    let ratio = median(&ours) / median(&theirs);
    println!("4 validators to one PostgreSQL, set-based: {ratio:.2} (must be 1.2, aim 2)");
    Ok(())
}

/// Everything that is compared round by round.
#[derive(Default)]
struct Rounds {
    /// Beside one server.
    on_four: Vec<Round>,
    on_one: Vec<Round>,
    alone: Vec<Measured>,
    /// One trade at a time.
    singly: Vec<Round>,
    single: Vec<Measured>,
    /// Recorded and confirmed.
    steps: Vec<Round>,
    in_steps: Vec<Measured>,
    /// Beside the server with its standbys.
    beside: Vec<Round>,
    quorum: Vec<Measured>,
    /// One trade at a time, within sessions.
    in_sessions: Vec<Round>,
    single_quorum: Vec<Measured>,
}

fn run(plan: &Plan, rival: &mut Rival, four: &mut Ours, one: &mut Ours) -> Result<Vec<Line>> {
    let (short, length) = (plan.round / 2, plan.round);
    let mut rounds = Rounds::default();
    four.find_window(short)?;
    one.find_window(short)?;
    let best = rival.best(Script::Set100, &RIVAL_CLIENTS, short)?.clients;
    for _ in 0..plan.rounds {
        rounds.on_four.push(four.best_round(length)?);
        let theirs = rival.measure(Script::Set100, best, length)?;
        rounds.alone.push(sound(theirs)?);
        rounds.on_one.push(one.best_round(length)?);
    }
    for _ in 0..plan.rounds {
        rounds.singly.push(four.singly(length, false)?);
        let theirs = rival.measure(Script::Single, RIVAL_SINGLE_CLIENTS, length)?;
        rounds.single.push(sound(theirs)?);
    }
    let best = rival.best(Script::RecordConfirm, &RIVAL_CLIENTS, short)?;
    for _ in 0..plan.rounds {
        rounds.steps.push(four.two_steps(length)?);
        let theirs = rival.measure(Script::RecordConfirm, best.clients, length)?;
        rounds.in_steps.push(sound(theirs)?);
    }
    rival.standbys_up()?;
    let best = rival.best(Script::Batch100, &RIVAL_CLIENTS, short)?.clients;
    for _ in 0..plan.rounds {
        rounds.beside.push(four.best_round(length)?);
        let theirs = rival.measure(Script::Batch100, best, length)?;
        rounds.quorum.push(sound(theirs)?);
    }
    for _ in 0..plan.rounds {
        rounds.in_sessions.push(four.singly(length, true)?);
        let theirs = rival.measure(Script::Single, RIVAL_SINGLE_CLIENTS, length)?;
        rounds.single_quorum.push(sound(theirs)?);
    }
    rival.standbys_down()?;
    for (validators, found) in [(VALIDATORS, &rounds.on_four), (1, &rounds.on_one)] {
        let wait = |place: usize| {
            let all: Vec<f64> = found
                .iter()
                .filter_map(|one| one.waits.get(place).copied())
                .collect();
            median(&all)
        };
        println!(
            "At full load, validators: {validators}, from the submission of a client's batches to all their outcomes: {:.0} ms \
             (p99 {:.0} ms).",
            wait(0),
            wait(1)
        );
    }
    if let Some(last) = rounds.quorum.last() {
        println!(
            "PostgreSQL's commit of a batch with the quorum, at its full load of {best} clients: {:.1} ms (p99 {:.1} ms); \
             pgbench itself took {:.1} us of CPU a settlement.\n",
            last.p50, last.p99, last.client_cpu,
        );
    }
    Ok(rounds.lines())
}

impl Rounds {
    fn lines(&self) -> Vec<Line> {
        let line = |what, rival, ours: &[Round], theirs: &[Measured], (must, aim)| Line {
            what,
            rival,
            ours: ours.iter().map(|one| one.per_second).collect(),
            theirs: theirs.iter().map(|one| one.per_second).collect(),
            unit: "/s",
            must,
            aim,
            less_is_better: false,
        };
        let cpu = Line {
            what: "4 validators, in sessions, CPU each",
            rival: QUORUM,
            ours: self.beside.iter().map(|round| round.cpu).collect(),
            theirs: self.quorum.iter().map(|one| one.cpu_per_item).collect(),
            unit: " us",
            must: 0.4,
            aim: 0.25,
            less_is_better: true,
        };
        let (four, alone) = ("4 validators, in sessions", "one server, set-based");
        vec![
            line(four, QUORUM, &self.beside, &self.quorum, (3.0, 5.0)),
            line(four, alone, &self.on_four, &self.alone, (1.2, 2.0)),
            line(
                "1 validator, in sessions",
                alone,
                &self.on_one,
                &self.alone,
                (2.5, 4.0),
            ),
            cpu,
            line(
                "4 validators, one trade an envelope in sessions, 32 clients with 64 under way each",
                "3 standbys, quorum of 2, one a transaction, 32 clients",
                &self.in_sessions,
                &self.single_quorum,
                (1.5, 2.5),
            ),
            line(
                "4 validators, one trade an envelope, fresh key and signature each, 32 clients with 64 under way each",
                "one server, one a transaction, 32 clients",
                &self.singly,
                &self.single,
                (0.25, 0.5),
            ),
            line(
                "4 validators, recorded by one firm and confirmed by another, a batch under way for each of 64 pairs of clients, fresh keys",
                "one server, recorded and confirmed",
                &self.steps,
                &self.in_steps,
                // No bar is set for it.
                (0.0, 0.0),
            ),
        ]
    }
}

/// How long it takes to the outcome and to finality, at a quarter of the load that four validators settle.
fn waits(plan: &Plan, four: &mut Ours, lines: &[Line]) -> Result<String> {
    let quarter = lines.first().map_or(0.0, |line| median(&line.ours)) / 4.0;
    let [outcome, outcome_late] = four.latency(quarter, Stage::Outcome, plan.round)?;
    let [all, all_late] = four.latency(quarter, Stage::Final, plan.round)?;
    Ok(format!(
        "At a quarter of that load ({quarter:.0}/s), from the submission of {BATCH} trades: to the outcome {outcome:.0} ms \
         (p99 {outcome_late:.0} ms), to final {all:.0} ms (p99 {all_late:.0} ms)."
    ))
}

/// Registries of single issues, opened by the client, beside the rival's queries.
fn reads(plan: &Plan, rival: &mut Rival, four: &Ours) -> Result<String> {
    let mut client = four.market.client("issuer", 0)?;
    // Between the making of the books and now.
    let past = u64::midpoint(four.made, client.status_of(0)?.executed_height);
    let mut text =
        String::from("| reading, p50 | ours | PostgreSQL | times its time |\n|---|---|---|---|\n");
    for (what, as_of, script) in [
        ("holders of an issue", AsOf::Now, Script::Holders),
        ("as of a past moment", AsOf::Height(past), Script::AsOf),
    ] {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for number in 0..REGISTRIES {
            let isin = four.market.some_issue(number * 7).ok_or("no issue")?;
            let question = Question::Registry {
                isin: isin.as_str().to_owned(),
                as_of,
            };
            let begun = Instant::now();
            let answer = client.ask(&question)?;
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
            let AnswerBody::View(view) = answer.body else {
                return Err("the issuer gets no registry".into());
            };
            bytes = view.len();
        }
        let theirs = rival.measure(script, 1, plan.round / 2)?.p50;
        let ours = median(&taken);
        let _ = writeln!(
            text,
            "| {what}, {bytes} bytes | {ours:.1} ms | {theirs:.1} ms | {:.2} |",
            ours / theirs
        );
    }
    text.push_str(&certified(&mut client, four, past)?);
    for (what, script) in [
        ("all that a broker may see", Script::RlsAll),
        ("the same, by row", Script::RlsAllByRow),
        ("of one issue", Script::RlsIssue),
        ("the same, by row", Script::RlsIssueByRow),
    ] {
        let theirs = rival.measure(script, 1, plan.round / 2)?.p50;
        let _ = writeln!(
            text,
            "| {what}, row level security | - | {theirs:.1} ms | - |"
        );
    }
    Ok(text)
}

/// The same registries, certified by all validators: ordered, final, fetched, and the statement checked. The rival has
/// nothing like it.
fn certified(client: &mut Client, four: &Ours, past: u64) -> Result<String> {
    let genesis = client.network().genesis().clone();
    let (mut made, mut checked, mut bytes, mut holders) = (Vec::new(), Vec::new(), 0, 0);
    for number in 0..CERTIFIED {
        let isin = four.market.some_issue(number * 7).ok_or("no issue")?;
        let begun = Instant::now();
        let Certified::Statement(statement, _) =
            client.certify_registry(isin.as_str(), AsOf::Height(past))?
        else {
            return Err("the issuer gets no certified registry".into());
        };
        made.push(begun.elapsed().as_secs_f64() * 1e3);
        let encoded = statement.encode();
        (bytes, holders) = (encoded.len(), statement.head.holders);
        let begun = Instant::now();
        let _ = RegistryStatement::decode(&encoded)?.verify(&genesis)?;
        checked.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(format!(
        "| as of a past moment, certified by all validators: {holders} holders, {bytes} bytes | {:.0} ms | - | - |\n\
         | the statement checked offline | {:.1} ms | - | - |\n",
        median(&made),
        median(&checked),
    ))
}

/// A run in which nothing failed.
fn sound(measured: Measured) -> Result<Measured> {
    match measured.failed {
        0 => Ok(measured),
        failed => Err(format!("{failed} of the rival's transactions failed").into()),
    }
}

fn conditions(plan: &Plan, rival: &Rival, four: &Ours) -> Result<()> {
    println!(
        "Conditions: {}; load before: {}. Sealbook: {VALIDATORS} validators (and a network of one) with their modules, \
         profile {}, loopback TLS, fsync for every block and vote, suite 1, envelopes of {BATCH} locked-in trades in \
         sessions, {} positions, {CLIENTS} clients in one process with a number of batches under way each (the best of \
         {WINDOWS:?}). PostgreSQL: {}; \
         {} accounts with ten positions each, {} settlements in its journal before; pgbench on a local socket, the best of \
         {RIVAL_CLIENTS:?} clients. Medians of {} rounds of {} s, in turns.\n",
        machine(),
        load(),
        profile(),
        four.market.positions(),
        rival.settings()?.trim(),
        plan.rival.accounts,
        plan.rival.history,
        plan.rounds,
        plan.round.as_secs(),
    );
    Ok(())
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn print(lines: &[Line]) {
    println!(
        "| DVP settlements, in batches of {BATCH} if not said otherwise | PostgreSQL | ours | theirs | ratio | must | aim | reached |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for line in lines {
        println!(
            "| {} | {} | {:.0}{} | {:.0}{} | {:.2} | {} | {} | {} |",
            line.what,
            line.rival,
            median(&line.ours),
            line.unit,
            median(&line.theirs),
            line.unit,
            line.ratio(),
            line.must,
            line.aim,
            line.verdict(),
        );
    }
}

/// The lines as JSON; what is in them needs no escapes.
fn json(lines: &[Line]) -> String {
    let list = |values: &[f64]| {
        let values: Vec<String> = values.iter().map(|one| format!("{one:.2}")).collect();
        values.join(", ")
    };
    let mut text = String::from("[");
    for (place, line) in lines.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\n  {{\"what\": \"{}\", \"rival\": \"{}\", \"unit\": \"{}\", \"ours\": [{}], \"theirs\": [{}], \
             \"ratio\": {:.3}, \"must\": {}, \"aim\": {}}}",
            line.what,
            line.rival,
            line.unit.trim(),
            list(&line.ours),
            list(&line.theirs),
            line.ratio(),
            line.must,
            line.aim,
        );
    }
    text.push_str("\n]\n");
    text
}
