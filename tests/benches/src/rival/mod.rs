//! The rival: PostgreSQL, which keeps the same books in the clear, on the same machine and disk.
//!
//! Its functions are as good as we could make them; `../../postgres` has them, with what was tried. The server is our own,
//! in a folder that the caller gives; no cluster of the system's is touched. It listens on a socket in that folder only, so
//! that clients spend less on the way to it than they would over TLS.
//!
//! ```text
//! Single             one settlement a transaction
//! Batch100           100 a transaction, each with an outcome of its own
//! Set100             100 a transaction, netted, all or nothing
//! RecordConfirm      100 trades recorded in one transaction, confirmed and settled in a second one
//! Holders, AsOf      the holders of one issue, now and at a past moment
//! RlsAll, RlsIssue   what one broker may see, of all issues and of one; twice, by policies of different form
//! ```

mod measure;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use measure::{Measured, Script};

use crate::Result;
use server::{Programs, Server};

const STANDBYS: [&str; 3] = ["s1", "s2", "s3"];
/// How long standbys may take until all of them follow.
const STANDBYS_LIMIT: Duration = Duration::from_secs(120);
/// The settings that belong to the conditions, besides the version.
const REPORTED: &[&str] = &[
    "shared_buffers",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "max_wal_size",
    "checkpoint_timeout",
    "max_parallel_workers_per_gather",
    "synchronous_standby_names",
];

/// What the books hold before anything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Accounts, a multiple of 50; there are ten times as many positions, in 100 issues.
    pub(crate) accounts: u32,
    /// Settlements of the past, in the journal besides one issuance for each position.
    pub(crate) history: u32,
}

impl Load {
    /// A million positions and as many settlements of the past; takes half a minute or more.
    pub(crate) const USUAL: Self = Self {
        accounts: 100_000,
        history: 1_000_000,
    };
    /// A hundredth of the accounts and no past, for a quick look.
    pub(crate) const QUICK: Self = Self {
        accounts: 1_000,
        history: 0,
    };
}

/// A PostgreSQL of our own, with its books; everything is stopped and removed when this value goes.
#[derive(Debug)]
pub(crate) struct Rival {
    // In the order in which they have to go.
    standbys: Vec<Server>,
    primary: Server,
    home: Home,
    programs: Programs,
    load: Load,
    /// Settlements that pgbench counted, and how many of those in two steps.
    settled: u64,
    confirmed: u64,
}

impl Rival {
    /// Whether there is a PostgreSQL to run.
    pub(crate) fn is_installed() -> bool {
        Programs::find().is_ok()
    }

    /// Makes a server in this folder, which root opens for passage to the server's user, and loads its books.
    pub(crate) fn start(folder: &Path, load: Load, shared_buffers: &str) -> Result<Self> {
        if load.accounts == 0 || !load.accounts.is_multiple_of(50) {
            return Err("the number of accounts must be a multiple of 50".into());
        }
        let programs = Programs::find()?;
        let home = Home::make(folder, &programs)?;
        programs.run_as_server(
            "initdb",
            &[
                "--pgdata",
                &text(&home.data("primary")),
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            ],
        )?;
        let buffers = format!("shared_buffers={shared_buffers}");
        let primary = Server::start(&programs, &home.server(), "primary", &[buffers])?;
        let mut rival = Self {
            standbys: Vec::new(),
            primary,
            home,
            programs,
            load,
            settled: 0,
            confirmed: 0,
        };
        rival.fill()?;
        rival.warm_up()?;
        Ok(rival)
    }

    fn fill(&self) -> Result<()> {
        let Load { accounts, history } = self.load;
        let variables = format!("\\set accounts {accounts}\n\\set history {history}\n");
        for part in [
            include_str!("../../postgres/schema.sql"),
            include_str!("../../postgres/settle.sql"),
            include_str!("../../postgres/trades.sql"),
            include_str!("../../postgres/orders.sql"),
            include_str!("../../postgres/access.sql"),
            include_str!("../../postgres/checks.sql"),
            "vacuum analyze; checkpoint;",
        ] {
            self.sql(&format!("{variables}{part}"))?;
        }
        Ok(())
    }

    /// After a checkpoint the first change of each page writes all of it to the log: that is over before anything counts.
    fn warm_up(&mut self) -> Result<()> {
        self.measure(Script::Set100, 2, Duration::from_secs(2))?;
        Ok(())
    }

    /// The version and the settings that matter, as the server reports them.
    pub(crate) fn settings(&self) -> Result<String> {
        let version = self.sql("show server_version")?;
        let mut words = format!("PostgreSQL {version}");
        for name in REPORTED {
            let value = self.sql(&format!("show {name}"))?;
            let value = if value.is_empty() { "none" } else { &value };
            words += &format!(", {name} {value}");
        }
        Ok(words)
    }

    /// Starts three standbys on the same disk; from now on a commit waits until two of them have it on disk too.
    pub(crate) fn standbys_up(&mut self) -> Result<()> {
        if !self.standbys.is_empty() {
            return Ok(());
        }
        for name in STANDBYS {
            let standby = self.standby(name)?;
            self.standbys.push(standby);
        }
        let names = STANDBYS.join(",");
        self.sql(&format!(
            "alter system set synchronous_standby_names = 'ANY 2 ({names})'"
        ))?;
        self.sql("select pg_reload_conf()")?;
        let count = STANDBYS.len().to_string();
        self.wait_for(
            "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'",
            &count,
        )?;
        self.warm_up()
    }

    fn standby(&self, name: &str) -> Result<Server> {
        let (socket, port) = (text(&self.home.server()), self.primary.port().to_string());
        let data = self.home.data(name);
        self.programs.run_as_server(
            "pg_basebackup",
            &[
                "--host",
                &socket,
                "--port",
                &port,
                "--username=postgres",
                "--pgdata",
                &text(&data),
                "--wal-method=stream",
                "--checkpoint=fast",
                // Says that it is a standby; where its primary is, it is told when it starts.
                "--write-recovery-conf",
            ],
        )?;
        let primary = format!(
            "primary_conninfo=host='{socket}' port={port} user=postgres application_name={name}"
        );
        // It only replays, and needs no room for what others ask.
        let settings = [primary, "shared_buffers=512MB".to_owned()];
        Server::start(&self.programs, &self.home.server(), name, &settings)
    }

    /// Stops the standbys and removes them; commits wait for nobody again.
    pub(crate) fn standbys_down(&mut self) -> Result<()> {
        self.sql("alter system reset synchronous_standby_names")?;
        self.sql("select pg_reload_conf()")?;
        self.wait_for("show synchronous_standby_names", "")?;
        self.standbys.clear();
        Ok(())
    }

    /// Whether everything that must stay the same has, by the books and by what pgbench counted.
    pub(crate) fn conservation(&self) -> Result<Conservation> {
        let query = include_str!("../../postgres/conservation.sql");
        let answer = self.sql(&format!("\\set accounts {}\n{query}", self.load.accounts))?;
        let numbers: Vec<i64> = answer
            .split('|')
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        let &[money, issues, positions, balances, trades, journal] = numbers.as_slice() else {
            return Err(format!("this is no answer about conservation: {answer}").into());
        };
        let counted = i64::from(self.load.history) + i64::try_from(self.settled)?;
        Ok(Conservation {
            money,
            issues,
            positions,
            balances,
            trades: trades - i64::try_from(self.confirmed)?,
            settlements: journal - counted,
        })
    }

    /// What a query answers, without spaces: columns separated by `|`.
    fn sql(&self, text: &str) -> Result<String> {
        self.primary.sql(&self.programs, text)
    }

    fn wait_for(&self, query: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.sql(query)?;
            if answer == wanted {
                return Ok(());
            }
            if begun.elapsed() > STANDBYS_LIMIT {
                let logs: String = self.standbys.iter().map(Server::log).collect();
                return Err(format!("`{query}` stays at `{answer}`\n{logs}").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// By how much the rival's books differ from what they must be; nothing but zeros is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conservation {
    /// Money that was made (or lost).
    pub(crate) money: i64,
    /// Issues with more or fewer units than were issued.
    pub(crate) issues: i64,
    /// Positions that differ from the sum of the journal.
    pub(crate) positions: i64,
    /// Balances that differ from the sum of the journal.
    pub(crate) balances: i64,
    /// Trades that are settled, less those that pgbench counted.
    pub(crate) trades: i64,
    /// Settlements in the journal, less those that were loaded and those that pgbench counted.
    pub(crate) settlements: i64,
}

impl Conservation {
    const RIGHT: Self = Self {
        money: 0,
        issues: 0,
        positions: 0,
        balances: 0,
        trades: 0,
        settlements: 0,
    };

    /// Whether everything is as it must be.
    pub(crate) fn holds(&self) -> bool {
        *self == Self::RIGHT
    }
}

/// The folder with everything of the rival's; removed when this value goes.
#[derive(Debug)]
struct Home(PathBuf);

impl Home {
    fn make(folder: &Path, programs: &Programs) -> Result<Self> {
        let home = Self(folder.join("rival"));
        fs::create_dir(&home.0)?;
        fs::create_dir(home.client())?;
        fs::create_dir(home.server())?;
        programs.hand_over(folder, &home.server())?;
        Ok(home)
    }

    /// Where servers keep their data, their logs and their sockets: the only part that is theirs.
    fn server(&self) -> PathBuf {
        self.0.join("server")
    }

    /// Where pgbench finds its scripts and leaves its logs.
    fn client(&self) -> PathBuf {
        self.0.join("client")
    }

    fn data(&self, name: &str) -> PathBuf {
        self.server().join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("error: `{}` stays: {error}", self.0.display());
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
