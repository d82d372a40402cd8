//! `sealbook-bench`: what this version does, on real processes with real fsync. It prints its conditions and claims
//! nothing: no rival runs beside it yet.
//!
//! ```text
//! latency      one transfer after the other: submission to outcome, and to final
//! throughput   batches of 100 trades recorded by one firm and confirmed by another, several pairs of clients at once
//! ```

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbook_identity::files;
use sealbook_ledger::Genesis;
use sealbook_sdk::{Client, Identity, Network, NodeAddress, Prepared, Stage};
use sealbook_securities::{
    AccountId, Asset, ClientReference, CurrencyCode, Decimal, Instruction, Isin, IssueKind,
    LongName, MemberName, Side, Status,
};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ISIN: &str = "US0378331005";
const VALIDATORS: usize = 4;
const LATENCY_SAMPLES: usize = 60;
const BATCH: usize = 100;
const PAIRS: usize = 4;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(8);

fn main() -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("sealbook-bench-")
        .tempdir()?;
    let network = folder.path().join("network");
    let sealbook = std::env::current_exe()?.with_file_name("sealbook");
    let validators = VALIDATORS.to_string();
    run(
        &sealbook,
        &[
            "network",
            "create",
            &network.display().to_string(),
            "--validators",
            &validators,
        ],
    )?;
    let running = Running { sealbook, network };
    running.command(&["network", "start"])?;
    conditions();
    let mut world = World::make(&running)?;
    let latency = world.latency()?;
    println!("{latency}");
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        rates.push(world.throughput(round)?);
    }
    rates.sort_unstable();
    let median = rates.get(ROUNDS / 2).copied().unwrap_or_default();
    println!(
        "throughput   {median} DVP/s, median of {ROUNDS} rounds ({rates:?}); two orders and both legs each"
    );
    Ok(())
}

fn run(program: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn conditions() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) {
        "development (opt-level 1)"
    } else {
        "release"
    };
    println!(
        "conditions   {VALIDATORS} validators with their modules on {cores} cores of one machine, loopback TLS, fsync per \
         block,\n             profile {profile}, {PAIRS} pairs of clients, batches of {BATCH} orders"
    );
}

/// The network's processes, stopped when this value goes.
struct Running {
    sealbook: PathBuf,
    network: PathBuf,
}

impl Running {
    fn command(&self, arguments: &[&str]) -> Result<()> {
        let network = self.network.display().to_string();
        let arguments: Vec<&str> = ["--network", &network]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run(&self.sealbook, &arguments)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.command(&["network", "stop"]) {
            eprintln!("error: {error}");
        }
    }
}

#[derive(Deserialize)]
struct NetworkToml {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    clients: std::net::SocketAddr,
    observer: bool,
}

struct World {
    folder: PathBuf,
    network: Arc<Network>,
}

impl World {
    fn make(running: &Running) -> Result<Self> {
        let enrol = |name: &str, role: &str| {
            let organisation = format!("{name} (example)");
            running.command(&[
                "member",
                "enrol",
                name,
                "--role",
                role,
                "--organisation",
                &organisation,
            ])
        };
        enrol("issuer", "issuer")?;
        enrol("bank", "cash-agent")?;
        enrol("seller", "firm")?;
        enrol("buyer", "firm")?;
        let toml = std::fs::read_to_string(running.network.join("network.toml"))?;
        let toml: NetworkToml = toml::from_str(&toml)?;
        let nodes = toml.nodes.into_iter().map(|node| NodeAddress {
            name: node.name,
            address: node.clients,
            observer: node.observer,
        });
        let genesis = Genesis::decode(&std::fs::read(running.network.join("genesis"))?)?;
        let network = Arc::new(Network::new(genesis, nodes.collect())?);
        let world = Self {
            folder: running.network.clone(),
            network,
        };
        world.furnish()?;
        Ok(world)
    }

    fn client(&self, member: &str, node: usize) -> Result<Client> {
        let folder = self.folder.join("members").join(member);
        let seed = files::read_private_key(&folder.join("key.pem"))?;
        let chain = files::read_chain(&folder.join("chain.pem"))?;
        Ok(Client::new(
            Arc::clone(&self.network),
            Identity::new(&seed, chain)?,
            node,
        )?)
    }

    /// One issue, and for each pair an account with securities and one with money.
    fn furnish(&self) -> Result<()> {
        let (isin, currency) = (Isin::new(ISIN)?, CurrencyCode::new("USD")?);
        let mut admin = self.client("admin", 0)?;
        let treasury = AccountId::new("T")?;
        let quantity = Decimal::parse("1000000000000")?;
        submit(
            &mut admin,
            &[
                plain(Instruction::RegisterIssue {
                    isin,
                    issuer: MemberName::new("issuer")?,
                    name: LongName::new("Benchmark")?,
                    kind: IssueKind::Equity,
                    decimals: 0,
                    currency,
                    treasury,
                })?,
                plain(Instruction::IssueUnits { isin, quantity })?,
            ],
        )?;
        let (mut seller, mut buyer, mut bank) = (
            self.client("seller", 1)?,
            self.client("buyer", 2)?,
            self.client("bank", 3)?,
        );
        for pair in 0..PAIRS {
            let (from, to) = accounts(pair)?;
            let holder = LongName::new("Example Holder")?;
            let opening = [seller.prepare_account(from, &holder)?];
            submit(&mut seller, &opening)?;
            let opening = [buyer.prepare_account(to, &holder)?];
            submit(&mut buyer, &opening)?;
            let quantity = Decimal::parse("100000000000")?;
            submit(
                &mut admin,
                &[plain(Instruction::Allocate {
                    isin,
                    account: from,
                    quantity,
                })?],
            )?;
            let amount = Decimal::parse("1000000000000.00")?;
            submit(
                &mut bank,
                &[plain(Instruction::MintCash {
                    currency,
                    account: to,
                    amount,
                })?],
            )?;
        }
        Ok(())
    }

    fn latency(&mut self) -> Result<String> {
        let mut client = self.client("seller", 0)?;
        let (from, _) = accounts(0)?;
        let asset = Asset::Security {
            isin: Isin::new(ISIN)?,
            quantity: Decimal::parse("1")?,
        };
        let (mut outcome, mut settled) = (Vec::new(), Vec::new());
        for stage in [Stage::Outcome, Stage::Final] {
            for _ in 0..LATENCY_SAMPLES {
                let order = plain(Instruction::Transfer {
                    asset,
                    from,
                    to: from,
                })?;
                let started = Instant::now();
                let submitted = client.submit(&[order], stage)?;
                let samples = if stage == Stage::Outcome {
                    &mut outcome
                } else {
                    &mut settled
                };
                samples.push(started.elapsed());
                expect(&submitted.outcomes, Status::Settled)?;
            }
        }
        Ok(format!(
            "latency      to outcome {}; to final {} (quiet network, one at a time, {LATENCY_SAMPLES} samples each)",
            percentiles(&mut outcome),
            percentiles(&mut settled)
        ))
    }

    /// DVP settlements a second in one round.
    fn throughput(&self, round: usize) -> Result<u64> {
        let started = Instant::now();
        let threads: Vec<_> = (0..PAIRS)
            .map(|pair| {
                let (seller, buyer) = (
                    self.client("seller", pair)?,
                    self.client("buyer", pair + 1)?,
                );
                Ok(std::thread::spawn(move || {
                    trade(seller, buyer, round, pair, started)
                }))
            })
            .collect::<Result<_>>()?;
        let mut settled = 0;
        for thread in threads {
            settled += thread.join().map_err(|_| "a client panicked")??;
        }
        let rate = settled as f64 / started.elapsed().as_secs_f64();
        Ok(rate as u64)
    }
}

/// Records and confirms batches of trades until the round is over; returns how many settled.
fn trade(
    mut seller: Client,
    mut buyer: Client,
    round: usize,
    pair: usize,
    started: Instant,
) -> Result<u64> {
    let (from, to) = accounts(pair)?;
    let (isin, currency) = (Isin::new(ISIN)?, CurrencyCode::new("USD")?);
    let mut settled = 0;
    for batch in 0.. {
        if started.elapsed() > ROUND {
            break;
        }
        let (mut records, mut confirms) = (Vec::new(), Vec::new());
        for number in 0..BATCH {
            let trade = ClientReference::new(&format!("{round}.{pair}.{batch}.{number}"))?;
            let record = Instruction::RecordTrade {
                side: Side::Sell,
                account: from,
                counterparty: MemberName::new("buyer")?,
                isin,
                quantity: Decimal::parse("1")?,
                currency,
                amount: Decimal::parse("10.00")?,
            };
            records.push(Prepared::instruction(Some(trade), record)?);
            confirms.push(plain(Instruction::ConfirmTrade { trade, account: to })?);
        }
        expect(
            &seller.submit(&records, Stage::Outcome)?.outcomes,
            Status::Pending,
        )?;
        expect(
            &buyer.submit(&confirms, Stage::Outcome)?.outcomes,
            Status::Settled,
        )?;
        settled += BATCH as u64;
    }
    Ok(settled)
}

fn accounts(pair: usize) -> Result<(AccountId, AccountId)> {
    Ok((
        AccountId::new(&format!("S-{pair}"))?,
        AccountId::new(&format!("B-{pair}"))?,
    ))
}

fn plain(instruction: Instruction) -> Result<Prepared> {
    Ok(Prepared::instruction(None, instruction)?)
}

fn submit(client: &mut Client, orders: &[Prepared]) -> Result<()> {
    expect(
        &client.submit(orders, Stage::Outcome)?.outcomes,
        Status::Settled,
    )
}

fn expect(outcomes: &[sealbook_securities::Outcome], status: Status) -> Result<()> {
    match outcomes.iter().find(|outcome| outcome.status != status) {
        Some(outcome) => Err(format!("unexpected outcome: {outcome}").into()),
        None => Ok(()),
    }
}

fn percentiles(samples: &mut [Duration]) -> String {
    samples.sort_unstable();
    let at = |percent: usize| {
        let index = samples.len().saturating_sub(1) * percent / 100;
        samples.get(index).map_or(0, Duration::as_millis)
    };
    format!("p50 {} ms, p99 {} ms", at(50), at(99))
}
