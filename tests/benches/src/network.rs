//! `sealbook-bench network`: finality and throughput against the number of validators and the distance between them,
//! with a validator down, and how fast one that was away catches up.
//!
//! All links between nodes go through a relay that delays every byte by half the added round trip, except in the rows
//! without added delay, where nodes talk to each other directly. Clients are near the nodes: theirs is no added delay.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sealbook_sdk::Stage;
use sealbook_system::TestNetwork;
use sealbook_system::relay::{Line, Relay};

use crate::world::{BATCH, World, percentile};
use crate::{Result, machine, profile};

const PAIRS: usize = 8;

/// What to measure.
pub(crate) struct Plan {
    validators: Vec<usize>,
    /// Added round trips between nodes, in milliseconds.
    delays: Vec<u64>,
    samples: usize,
    limit: Duration,
    rounds: usize,
    round: Duration,
    catch_up: bool,
    down: bool,
}

const USAGE: &str = "sealbook-bench network [--validators 4,7,10] [--delays 0,20,100,228] [--samples 40] \
     [--rounds 3] [--seconds 5] [--no-catch-up] [--no-down]";

impl Plan {
    /// Reads the arguments.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            validators: vec![4, 7, 10],
            delays: vec![0, 20, 100, 228],
            samples: 40,
            limit: Duration::from_secs(12),
            rounds: 3,
            round: Duration::from_secs(5),
            catch_up: true,
            down: true,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--validators" => plan.validators = numbers(&value()?)?,
                "--delays" => plan.delays = numbers(&value()?)?,
                "--samples" => plan.samples = value()?.parse()?,
                "--rounds" => plan.rounds = value()?.parse()?,
                "--seconds" => plan.round = Duration::from_secs(value()?.parse()?),
                "--no-catch-up" => plan.catch_up = false,
                "--no-down" => plan.down = false,
                _ => return Err(USAGE.into()),
            }
        }
        // The direct rows come before nodes are put behind the relay.
        plan.delays.sort_unstable();
        Ok(plan)
    }
}

fn numbers<N: std::str::FromStr>(text: &str) -> Result<Vec<N>>
where
    N::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(text
        .split(',')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?)
}

/// Measures, and prints tables in Markdown.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    conditions(plan);
    println!(
        "| validators | one down | added round trip | final p50 | final p99 | samples | DVP/s | rounds |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for validators in &plan.validators {
        distances(plan, *validators)?;
    }
    if plan.catch_up {
        println!(
            "\nThe fourth of 4 validators is killed, the others settle trades without it, then they rest and it is started: time \
             from the start of its process until it has executed every block.\n\n\
             | fourth validator | blocks behind | DVP behind | settled in | caught up in | network's DVP/s | catching up, DVP/s | ratio |\n\
             |---|---|---|---|---|---|---|---|"
        );
        catch_up(plan, false)?;
        catch_up(plan, true)?;
    }
    Ok(())
}

fn conditions(plan: &Plan) {
    let (round, rounds) = (plan.round.as_secs(), plan.rounds);
    println!(
        "Conditions: all validators with their modules, the clients and the relay on one machine ({}), loopback, \
         TLS, fsync per block, profile {}. Latency: single transfers, one at a time, submission to \
         final, {} samples or {} s. Throughput: {PAIRS} pairs of clients in a closed loop, batches of {BATCH} orders, \
         two orders a DVP, median of {rounds} rounds of {round} s. Added delay: round trip between any two nodes, half \
         of it each way, by the relay; none between clients and nodes.\n",
        machine(),
        profile(),
        plan.samples,
        plan.limit.as_secs(),
    );
}

fn distances(plan: &Plan, validators: usize) -> Result<()> {
    let mut network = TestNetwork::create(validators, 0, &[]);
    network.start_all();
    let world = make_world(&network)?;
    let mut rounds = 0;
    let mut relay = None;
    for delay in &plan.delays {
        if *delay > 0 && relay.is_none() {
            network.stop_all();
            relay = Some(Relay::between(network.folder()));
            network.start_all();
        }
        if let Some(relay) = &relay {
            let delay = Duration::from_micros(delay * 1000 / 2);
            relay.everywhere(Line {
                delay,
                ..Line::default()
            });
        }
        row(plan, &world, validators, (false, *delay), &mut rounds)?;
        if plan.down && (*delay == 0 || *delay == 100) {
            // The last one: clients do not begin with it.
            let victim = format!("node-{validators}");
            network.kill(&victim);
            row(plan, &world, validators, (true, *delay), &mut rounds)?;
            network.start(&victim);
            let height = network.agreement().0;
            network.wait_for_height(&victim, height);
        }
    }
    Ok(())
}

fn make_world(network: &TestNetwork) -> Result<World> {
    let sealbook = network.programs().path("sealbook");
    World::make(&sealbook, network.folder(), PAIRS)
}

fn row(
    plan: &Plan,
    world: &World,
    validators: usize,
    (down, delay): (bool, u64),
    rounds: &mut usize,
) -> Result<()> {
    // Connections are made and timers have settled before anything counts.
    world.latency(Stage::Final, 3, plan.limit)?;
    let samples = world.latency(Stage::Final, plan.samples, plan.limit)?;
    let mut rates = Vec::new();
    for _ in 0..plan.rounds {
        *rounds += 1;
        rates.push(world.throughput(*rounds, plan.round)?);
    }
    rates.sort_unstable();
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    println!(
        "| {validators} | {} | {delay} ms | {} ms | {} ms | {} | {median} | {rates:?} |",
        if down { "yes" } else { "no" },
        percentile(&samples, 50),
        percentile(&samples, 99),
        samples.len(),
    );
    Ok(())
}

/// A validator is away while the others work, and comes back when they rest.
fn catch_up(plan: &Plan, wiped: bool) -> Result<()> {
    const VICTIM: &str = "node-4";
    let mut network = TestNetwork::create(4, 0, &[]);
    network.start_all();
    let world = make_world(&network)?;
    let (before, _) = network.agreement();
    network.kill(VICTIM);
    let client = world.client("admin", 0)?;
    let (began, mut settled) = (Instant::now(), 0.0);
    for round in 0..plan.rounds * 2 {
        let begun = Instant::now();
        let rate = world.throughput(round, plan.round)?;
        settled += rate as f64 * begun.elapsed().as_secs_f64();
    }
    let worked = began.elapsed().as_secs_f64();
    let target = client.status_of(0)?.height;
    if wiped {
        wipe(&network.folder().join(VICTIM))?;
    }
    let began = Instant::now();
    network.start(VICTIM);
    while !client
        .status_of(3)
        .is_ok_and(|status| status.executed_height >= target)
    {
        if network.ended(VICTIM) {
            return Err(format!("`{VICTIM}` ended: {}", network.log(VICTIM)).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let taken = began.elapsed().as_secs_f64();
    let (kind, missing) = if wiped {
        ("wiped", target)
    } else {
        ("killed and started again", target - before)
    };
    println!(
        "| {kind} | {missing} | {settled:.0} | {worked:.1} s | {taken:.1} s | {:.0} | {:.0} | {:.1} |",
        settled / worked,
        settled / taken,
        worked / taken
    );
    Ok(())
}

/// Empties a node's ledger and vote log, but for what it was founded with.
fn wipe(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder.join("votes"))?;
    for entry in fs::read_dir(folder.join("ledger"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if name != "genesis" && name != "key-record-0" {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
