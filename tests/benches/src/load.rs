//! `sealbook-bench load`: one load of locked-in trades on a network of its own, with the processor time it took, part by
//! part. For daily use; it compares nothing.

use std::process::Command;
use std::time::Duration;

use sealbook_sdk::Stage;
use sealbook_system::TestNetwork;

use crate::Result;
use crate::cpu::{self, Spent};
use crate::market::{Load, Market};

const USAGE: &str = "sealbook-bench load [--validators 4] [--accounts 1000] [--clients 16] [--batch 100] [--window 1] \
     [--pace 0] [--seconds 5] [--rounds 3] [--two-steps] [--sessions] [--final] [--keep FOLDER]";

/// What to measure.
pub(crate) struct Plan {
    validators: usize,
    accounts: usize,
    load: Load,
    rounds: usize,
    /// Where a copy of the network goes afterwards.
    keep: Option<String>,
}

impl Plan {
    /// Reads the arguments.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            validators: 4,
            accounts: 1_000,
            load: Load {
                run: 0,
                clients: 16,
                batch: 100,
                window: 1,
                two_steps: false,
                sessions: false,
                pace: 0,
                length: Duration::from_secs(5),
                stage: Stage::Outcome,
            },
            rounds: 3,
            keep: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--validators" => plan.validators = value()?.parse()?,
                "--accounts" => plan.accounts = value()?.parse()?,
                "--clients" => plan.load.clients = value()?.parse()?,
                "--batch" => plan.load.batch = value()?.parse()?,
                "--window" => plan.load.window = value()?.parse()?,
                "--pace" => plan.load.pace = value()?.parse()?,
                "--seconds" => plan.load.length = Duration::from_secs(value()?.parse()?),
                "--rounds" => plan.rounds = value()?.parse()?,
                "--keep" => plan.keep = Some(value()?),
                "--two-steps" => plan.load.two_steps = true,
                "--sessions" => plan.load.sessions = true,
                "--final" => plan.load.stage = Stage::Final,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }
}

/// Measures, and prints a line a round.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let mut network = TestNetwork::create(plan.validators, 0, &[]);
    network.start_all();
    let sealbook = network.programs().path("sealbook");
    let market = Market::make(&sealbook, network.folder(), plan.accounts)?;
    println!("market       {} positions", market.positions());
    for run in 0..plan.rounds {
        let before = cpu::of_network(&network);
        let own = Spent::of(&[std::process::id()]);
        let done = market.settle(Load { run, ..plan.load })?;
        let spent = cpu::of_network(&network) - before;
        let own = Spent::of(&[std::process::id()]) - own;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / done.settled.max(1) as f64;
        let late = |percent| done.late(percent);
        println!(
            "round {run}      {:.0} DVP/s; CPU each: nodes {:.1} us, modules {:.1} us, clients {:.1} us; p50 {:.0} ms, p99 {:.0} ms, \
             longest {:.0} ms",
            done.per_second(),
            each(spent.nodes),
            each(spent.modules),
            each(own.total()),
            late(50),
            late(99),
            late(100),
        );
    }
    if let Some(kept) = &plan.keep {
        network.stop_all();
        let status = Command::new("cp")
            .arg("-r")
            .arg(network.folder())
            .arg(kept)
            .status()?;
        println!("kept         {kept}: {status}");
    }
    Ok(())
}
