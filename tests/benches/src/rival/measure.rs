//! Runs pgbench and reads what it found.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::server::{Server, answer};
use super::{Rival, text};
use crate::{Result, processor};

/// Settlements in a transaction of the scripts that make many.
const BATCH: u64 = 100;
/// Threads of pgbench.
const THREADS_MAX: u32 = 2;

/// What clients do, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// One settlement in a transaction.
    Single,
    /// 100 settlements in a transaction, one after the other, each with an outcome of its own.
    Batch100,
    /// 100 settlements in a transaction, netted, all or nothing.
    Set100,
    /// 100 trades recorded in a transaction, and confirmed and settled in another one, by the same client.
    RecordConfirm,
    /// The holders of one issue, largest first.
    Holders,
    /// The holders of one issue as of a past moment, from the journal.
    AsOf,
    /// All positions that one broker may see; the policy looks for the broker's accounts.
    RlsAll,
    /// The positions of one issue that one broker may see; the policy looks for the broker's accounts.
    RlsIssue,
    /// As `RlsAll`, by a policy that finds the broker in each position.
    RlsAllByRow,
    /// As `RlsIssue`, by a policy that finds the broker in each position.
    RlsIssueByRow,
}

impl Script {
    /// What pgbench runs.
    const fn text(self) -> &'static str {
        match self {
            Self::Single => include_str!("../../postgres/single.pgb"),
            Self::Batch100 => include_str!("../../postgres/batch100.pgb"),
            Self::Set100 => include_str!("../../postgres/set100.pgb"),
            Self::RecordConfirm => include_str!("../../postgres/record_confirm.pgb"),
            Self::Holders => include_str!("../../postgres/holders.pgb"),
            Self::AsOf => include_str!("../../postgres/as_of.pgb"),
            Self::RlsAll => include_str!("../../postgres/rls_all_by_account.pgb"),
            Self::RlsIssue => include_str!("../../postgres/rls_issue_by_account.pgb"),
            Self::RlsAllByRow => include_str!("../../postgres/rls_all_by_row.pgb"),
            Self::RlsIssueByRow => include_str!("../../postgres/rls_issue_by_row.pgb"),
        }
    }

    /// Settlements in one run of the script; none if it only reads.
    const fn settlements(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Batch100 | Self::Set100 | Self::RecordConfirm => BATCH,
            _ => 0,
        }
    }
}

/// What one run found. An item is a settlement or, where a script only reads, a query; a transaction is one run of the
/// script, from its beginning to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Clients at the same time.
    pub(crate) clients: u32,
    /// Items a second; settlements are those that the journal shows.
    pub(crate) per_second: f64,
    /// Microseconds of CPU for an item, of all processes of all servers, standbys included, without pgbench.
    pub(crate) cpu_per_item: f64,
    /// Microseconds of pgbench's CPU for an item (and of other programs that were run and ended meanwhile).
    pub(crate) client_cpu: f64,
    /// Milliseconds below which half of the transactions took.
    pub(crate) p50: f64,
    /// Milliseconds below which 99 in 100 transactions took.
    pub(crate) p99: f64,
    /// Transactions that failed, and settlements that the server refused.
    pub(crate) failed: u64,
}

impl Rival {
    /// Runs a script with so many clients for so long.
    pub(crate) fn measure(
        &mut self,
        script: Script,
        clients: u32,
        length: Duration,
    ) -> Result<Measured> {
        let last = self.sql("select coalesce(max(seq), 0) from journal")?;
        let servers = self.servers()?;
        let (server_before, client_before) = (
            processor::spent(&servers)?,
            processor::spent_by_ended_children(),
        );
        let said = self.pgbench(script, clients, length)?;
        let client_cpu = processor::spent_by_ended_children() - client_before;
        self.let_standbys_replay()?;
        let server_cpu = processor::spent(&servers)? - server_before;

        let made = self.sql(&format!("select count(*) from journal where seq > {last}"))?;
        let made: u64 = made.parse()?;
        let asked = said.transactions * script.settlements();
        self.settled += asked;
        if script == Script::RecordConfirm {
            self.confirmed += asked;
        }
        let items = if asked == 0 { said.transactions } else { made };
        if items == 0 {
            return Err("nothing was done".into());
        }
        let (transactions, items_counted) = (said.transactions as f64, items as f64);
        Ok(Measured {
            clients,
            per_second: said.per_second * items_counted / transactions,
            cpu_per_item: server_cpu / items_counted,
            client_cpu: client_cpu / items_counted,
            p50: said.percentile(50),
            p99: said.percentile(99),
            failed: said.failed + asked.saturating_sub(made),
        })
    }

    /// Measures with each number of clients, and returns the one with the most items a second.
    pub(crate) fn best(
        &mut self,
        script: Script,
        clients: &[u32],
        length: Duration,
    ) -> Result<Measured> {
        let mut best: Option<Measured> = None;
        for count in clients {
            let measured = self.measure(script, *count, length)?;
            if best.is_none_or(|best| measured.per_second > best.per_second) {
                best = Some(measured);
            }
        }
        best.ok_or_else(|| "no number of clients was given".into())
    }

    fn servers(&self) -> Result<Vec<u32>> {
        let all = self.standbys.iter().chain([&self.primary]);
        all.map(Server::pid).collect()
    }

    fn pgbench(&self, script: Script, clients: u32, length: Duration) -> Result<Said> {
        let folder = self.home.client();
        let file = folder.join("script.pgb");
        fs::write(&file, script.text())?;
        let (threads, seconds) = (clients.min(THREADS_MAX), length.as_secs().max(1));
        let issued = self.load.accounts * 10;
        let mut command = self.programs.client("pgbench");
        command.args(["-n", "-M", "prepared", "--log"]);
        command.args(["--log-prefix", &text(&folder.join("log"))]);
        command.args(["-c", &clients.to_string(), "-j", &threads.to_string()]);
        command.args(["-T", &seconds.to_string(), "-f", &text(&file)]);
        for (name, value) in [
            ("numbers", self.load.accounts / 10 - 1),
            ("issued", issued),
            ("loaded", issued + self.load.history),
        ] {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        command.args(self.primary.address()).arg("postgres");
        let mut said = Said::read(&answer(&mut command)?)?;
        said.latencies = latencies(&folder)?;
        Ok(said)
    }

    /// Waits until the standbys have done all of their work too.
    fn let_standbys_replay(&self) -> Result<()> {
        if self.standbys.is_empty() {
            return Ok(());
        }
        self.sql(
            "do $$ begin
                while exists (select from pg_stat_replication where replay_lsn < pg_current_wal_flush_lsn()) loop
                    perform pg_sleep(0.02);
                end loop;
            end $$",
        )?;
        Ok(())
    }
}

/// What pgbench says at its end, and what it logged.
#[derive(Debug, Default)]
struct Said {
    transactions: u64,
    failed: u64,
    /// Transactions.
    per_second: f64,
    /// Microseconds that each transaction took, in order.
    latencies: Vec<u64>,
}

impl Said {
    fn read(report: &str) -> Result<Self> {
        let number = |line: &str, name: &str| -> Option<String> {
            let rest = line.strip_prefix(name)?.trim_start();
            let end = rest.find([' ', '/']).unwrap_or(rest.len());
            rest.get(..end).map(str::to_owned)
        };
        let mut said = Self::default();
        for line in report.lines() {
            if let Some(word) = number(line, "number of transactions actually processed:") {
                said.transactions = word.parse()?;
            } else if let Some(word) = number(line, "number of failed transactions:") {
                said.failed = word.parse()?;
            } else if let Some(word) = number(line, "tps =") {
                said.per_second = word.parse()?;
            }
        }
        if said.transactions == 0 {
            return Err(format!("pgbench did nothing: {report}").into());
        }
        Ok(said)
    }

    /// Milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let index = self.latencies.len().saturating_sub(1) * percent / 100;
        self.latencies.get(index).copied().unwrap_or_default() as f64 / 1000.0
    }
}

/// Microseconds that each transaction in pgbench's logs took, in order; the logs are removed.
fn latencies(folder: &Path) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("log.") {
            continue;
        }
        // Client, number of the transaction, microseconds (or a word, if it failed), and more.
        let log = fs::read_to_string(entry.path())?;
        let times = log.lines().filter_map(|line| line.split(' ').nth(2));
        found.extend(times.filter_map(|time| time.parse::<u64>().ok()));
        fs::remove_file(entry.path())?;
    }
    found.sort_unstable();
    Ok(found)
}
