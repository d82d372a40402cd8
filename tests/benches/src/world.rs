//! A network furnished for trading, and what is measured on it.

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

use crate::Result;

const ISIN: &str = "US0378331005";
/// Orders in an envelope.
pub(crate) const BATCH: usize = 100;

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

/// A network with members, an issue, and accounts that trade.
pub(crate) struct World {
    folder: PathBuf,
    network: Arc<Network>,
    pairs: usize,
}

impl World {
    /// Enrols members with the program `sealbook` and gives each pair of them what it will trade.
    pub(crate) fn make(sealbook: &Path, folder: &Path, pairs: usize) -> Result<Self> {
        enrol(sealbook, folder, "issuer", "issuer")?;
        enrol(sealbook, folder, "bank", "cash-agent")?;
        enrol(sealbook, folder, "seller", "firm")?;
        enrol(sealbook, folder, "buyer", "firm")?;
        let network = network(folder)?;
        let world = Self {
            folder: folder.to_path_buf(),
            network,
            pairs,
        };
        world.furnish()?;
        Ok(world)
    }

    /// A client of a member, which begins with this node.
    pub(crate) fn client(&self, member: &str, node: usize) -> Result<Client> {
        client(&self.folder, &self.network, member, node)
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
        for pair in 0..self.pairs {
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

    /// How long single transfers take until a stage, one after the other, until there are enough or time is up.
    pub(crate) fn latency(
        &self,
        stage: Stage,
        samples: usize,
        limit: Duration,
    ) -> Result<Vec<Duration>> {
        let mut client = self.client("seller", 0)?;
        let (from, _) = accounts(0)?;
        let asset = Asset::Security {
            isin: Isin::new(ISIN)?,
            quantity: Decimal::parse("1")?,
        };
        let mut taken = Vec::new();
        let begun = Instant::now();
        while taken.len() < samples && begun.elapsed() < limit {
            let order = plain(Instruction::Transfer {
                asset,
                from,
                to: from,
            })?;
            let started = Instant::now();
            let submitted = client.submit(&[order], stage)?;
            taken.push(started.elapsed());
            expect(&submitted.outcomes, Status::Settled)?;
        }
        taken.sort_unstable();
        Ok(taken)
    }

    /// DVP settlements a second in one round; `round` is a name that no other round has.
    pub(crate) fn throughput(&self, round: usize, length: Duration) -> Result<u64> {
        let started = Instant::now();
        let threads: Vec<_> = (0..self.pairs)
            .map(|pair| {
                let (seller, buyer) = (
                    self.client("seller", pair)?,
                    self.client("buyer", pair + 1)?,
                );
                Ok(std::thread::spawn(move || {
                    trade(seller, buyer, (round, pair), started + length)
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
    (round, pair): (usize, usize),
    end: Instant,
) -> Result<u64> {
    let (from, to) = accounts(pair)?;
    let (isin, currency) = (Isin::new(ISIN)?, CurrencyCode::new("USD")?);
    let mut settled = 0;
    for batch in 0.. {
        if Instant::now() > end {
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

/// Enrols a member with the program `sealbook`.
pub(crate) fn enrol(sealbook: &Path, folder: &Path, name: &str, role: &str) -> Result<()> {
    let organisation = format!("{name} (example)");
    let folder = folder.display().to_string();
    let words = [
        "--network",
        &folder,
        "member",
        "enrol",
        name,
        "--role",
        role,
    ];
    run(
        sealbook,
        &[&words[..], &["--organisation", &organisation]].concat(),
    )
}

/// The network in a folder, as its clients know it.
pub(crate) fn network(folder: &Path) -> Result<Arc<Network>> {
    let toml = std::fs::read_to_string(folder.join("network.toml"))?;
    let toml: NetworkToml = toml::from_str(&toml)?;
    let nodes = toml.nodes.into_iter().map(|node| NodeAddress {
        name: node.name,
        address: node.clients,
        observer: node.observer,
    });
    let genesis = Genesis::decode(&std::fs::read(folder.join("genesis"))?)?;
    Ok(Arc::new(Network::new(genesis, nodes.collect())?))
}

/// A client of a member, which begins with this node.
pub(crate) fn client(
    folder: &Path,
    network: &Arc<Network>,
    member: &str,
    node: usize,
) -> Result<Client> {
    let folder = folder.join("members").join(member);
    let seed = files::read_private_key(&folder.join("key.pem"))?;
    let chain = files::read_chain(&folder.join("chain.pem"))?;
    Ok(Client::new(
        Arc::clone(network),
        Identity::new(&seed, chain)?,
        node,
    )?)
}

pub(crate) fn plain(instruction: Instruction) -> Result<Prepared> {
    Ok(Prepared::instruction(None, instruction)?)
}

fn submit(client: &mut Client, orders: &[Prepared]) -> Result<()> {
    expect(
        &client.submit(orders, Stage::Outcome)?.outcomes,
        Status::Settled,
    )
}

pub(crate) fn expect(outcomes: &[sealbook_securities::Outcome], status: Status) -> Result<()> {
    match outcomes.iter().find(|outcome| outcome.status != status) {
        Some(outcome) => Err(format!("unexpected outcome: {outcome}").into()),
        None => Ok(()),
    }
}

/// The sample below which this many in a hundred lie; samples are sorted.
pub(crate) fn percentile(samples: &[Duration], percent: usize) -> u128 {
    let index = samples.len().saturating_sub(1) * percent / 100;
    samples.get(index).map_or(0, Duration::as_millis)
}

/// Runs a program.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}
