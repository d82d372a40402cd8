//! `sealbook-bench scale`: settlements a second as books and their history grow, against the smallest books.

use std::time::Duration;

use sealbook_sdk::Stage;
use sealbook_system::TestNetwork;

use crate::compare::median;
use crate::market::{Load, Market};
use crate::{Result, machine, profile};

const USAGE: &str = "sealbook-bench scale [--rounds 5] [--seconds 6] [--instructions 10000000]";
/// Validators, and how many accounts are tried with so many. Ten million positions in four modules and four nodes need
/// more memory than the machines that this is meant for have.
const SIZES: [(usize, &[usize]); 2] = [
    (4, &[1_000, 10_000, 100_000]),
    (1, &[1_000, 100_000, 1_000_000]),
];
const CLIENTS: usize = 64;
const BATCH: usize = 100;
const WINDOW: usize = 4;

/// What to measure.
pub(crate) struct Plan {
    rounds: usize,
    length: Duration,
    /// After how many instructions the smallest books are measured again.
    instructions: u64,
}

impl Plan {
    /// Reads the arguments.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            rounds: 5,
            length: Duration::from_secs(6),
            instructions: 10_000_000,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--rounds" => plan.rounds = value()?.parse()?,
                "--seconds" => plan.length = Duration::from_secs(value()?.parse()?),
                "--instructions" => plan.instructions = value()?.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }
}

/// A market under load.
struct Ours {
    market: Market,
    network: TestNetwork,
    run: usize,
    settled: u64,
}

impl Ours {
    fn start(validators: usize, accounts: usize) -> Result<Self> {
        let mut network = TestNetwork::create(validators, 0, &[]);
        network.start_all();
        let sealbook = network.programs().path("sealbook");
        Ok(Self {
            market: Market::make(&sealbook, network.folder(), accounts)?,
            network,
            run: 0,
            settled: 0,
        })
    }

    fn round(&mut self, length: Duration) -> Result<f64> {
        let done = self.market.settle(Load {
            run: self.run,
            clients: CLIENTS,
            batch: BATCH,
            window: WINDOW,
            two_steps: false,
            sessions: true,
            pace: 0,
            length,
            stage: Stage::Outcome,
        })?;
        self.run += 1;
        if done.settled == 0 {
            return Err("nothing settled".into());
        }
        self.settled += done.settled;
        Ok(done.per_second())
    }

    /// The median of some rounds.
    fn rounds(&mut self, plan: &Plan) -> Result<f64> {
        let found: Result<Vec<f64>> = (0..plan.rounds).map(|_| self.round(plan.length)).collect();
        Ok(median(&found?))
    }
}

/// Measures, and prints a table in Markdown.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    println!(
        "Conditions: {}, profile {}, loopback TLS, fsync for every block and vote, suite 1, {CLIENTS} clients with {WINDOW} \
         batches of {BATCH} under way each, in sessions; medians of {} rounds of {} s.\n\n\
         | validators | positions | settled before | DVP/s | against the smallest |\n|---|---|---|---|---|",
        machine(),
        profile(),
        plan.rounds,
        plan.length.as_secs(),
    );
    for (validators, sizes) in SIZES {
        let (mut smallest, smallest_size) = (None, sizes.first().ok_or("no size")?);
        for accounts in sizes {
            let mut ours = Ours::start(validators, *accounts)?;
            let found = ours.rounds(plan)?;
            let of = *smallest.get_or_insert(found);
            line(validators, &ours, 0, (found, of));
            // The same books, once they have a history.
            if validators == 1 && accounts == smallest_size {
                while ours.settled < plan.instructions {
                    ours.round(plan.length)?;
                }
                let before = ours.settled;
                let found = ours.rounds(plan)?;
                line(validators, &ours, before, (found, of));
            }
            ours.market.check(&ours.network, ours.settled)?;
        }
    }
    Ok(())
}

fn line(validators: usize, ours: &Ours, before: u64, (found, smallest): (f64, f64)) {
    println!(
        "| {validators} | {} | {before} | {found:.0} | {:.2} |",
        ours.market.positions(),
        found / smallest,
    );
}
