//! `sealbook demo`: the year 2012 of five US shares on a network of its own.
//!
//! ```text
//! network (4 validators, 1 observer) -> members, accounts -> issues, money -> 250 days
//!   -> compare with the demo's own book -> one trade from all sides -> offline audit
//!   -> stop, or keep running
//! ```
//!
//! Prices, volumes, dividends, the offering and the companies are real (`data/README.md`);
//! everybody else is made up. The plan of all orders is pure and the same in every run. Whatever is
//! not as planned ends the demo with an error. Results go to standard output, progress to standard
//! error. If the demo is interrupted its nodes stop by themselves, and a temporary folder may
//! remain.

mod book;
mod cast;
mod compare;
mod data;
mod disk;
mod offering;
mod plan;
mod proof;
mod sights;
mod text;
mod year;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::arguments::DemoArguments;
use crate::demo::cast::Purpose;
use crate::demo::plan::{Plan, SEASONED_UNITS, VOLUME_SCALE};
use crate::demo::text::{Teller, dollars, grouped};
use crate::demo::year::Done;
use crate::error::{CliError, Result, doing};
use crate::network::{Creation, NetworkFiles, Running, create, start_background};
use crate::progress::Progress;
use crate::session::Session;

const VALIDATORS: usize = 4;
const OBSERVERS: usize = 1;

/// Where the demo's network lies, and whether it goes when the demo ends.
enum Place {
    Temporary(TempDir),
    Lasting(PathBuf),
}

impl Place {
    fn of(arguments: &DemoArguments) -> Result<Self> {
        if let Some(folder) = &arguments.data {
            return Ok(Self::Lasting(folder.clone()));
        }
        let folder = tempfile::Builder::new()
            .prefix("sealbook-demo-")
            .tempdir()
            .map_err(doing("temporary folder"))?;
        Ok(if arguments.keep {
            Self::Lasting(folder.keep())
        } else {
            Self::Temporary(folder)
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Lasting(folder) => folder,
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// Anything is not as it must be.
pub fn run(arguments: &DemoArguments) -> Result<()> {
    let started = Instant::now();
    let place = Place::of(arguments)?;
    let mut plan = Plan::new()?;
    let mut teller = Teller::new();
    let progress = Progress::spinner("making a network");
    let creation = Creation::of(VALIDATORS, OBSERVERS);
    let files = create(place.path(), &creation)?;
    let mut running = Running::start(&files)?;
    progress.finish();
    introduce(&plan, &mut teller)?;
    let shown = files.folder().display().to_string();
    let told = tell(&files, &mut running, &mut plan, &mut teller).and_then(|()| {
        running.stop();
        finish(arguments, &place, &files, &mut teller)
    });
    if let Err(error) = told {
        running.stop();
        // A temporary folder goes together with its logs; whoever wants to look names one.
        return Err(match place {
            Place::Temporary(_) => error,
            Place::Lasting(_) => error.hint(format!(
                "the demo's files are in {shown}; each node's log is node.log"
            )),
        });
    }
    let seconds = started.elapsed().as_secs();
    teller.say(format_args!(
        "\nThe whole demo took {} min {:02} s.",
        seconds / 60,
        seconds % 60
    ))
}

fn introduce(plan: &Plan, teller: &mut Teller) -> Result<()> {
    teller.say(
        "Sealbook: the year 2012 of five US shares\n=========================================",
    )?;
    let names: Vec<String> = plan
        .data
        .shares
        .iter()
        .map(|share| format!("    {:<5} {}  {}", share.ticker, share.isin, share.company))
        .collect();
    teller.say(names.join("\n"))?;
    teller.say(format_args!(
        "  Real: the companies with ISINs and LEIs, closing prices, daily volumes, dividends,\n  \
         and the public offering of {} shares of {} at {}.\n  \
         Made up: firms and clients, who trades with whom, {} units of each older issue.\n  \
         Scale: a day's real volume divided by {}, in three or four trades a share, at the close.",
        grouped(plan.data.offering.units),
        plan.data.share(plan.data.offering.share)?.company,
        dollars(plan.data.offering.price_cents),
        grouped(SEASONED_UNITS),
        grouped(VOLUME_SCALE),
    ))
}

fn tell(
    files: &NetworkFiles,
    running: &mut Running,
    plan: &mut Plan,
    teller: &mut Teller,
) -> Result<()> {
    let mut session = Session::open(files)?;
    let mut done = Done::default();
    teller.heading("The network")?;
    teller.fact(
        "nodes",
        format_args!(
            "{VALIDATORS} validators with an execution module each, and {OBSERVERS} observer"
        ),
    )?;
    teller.fact("folder", files.folder().display())?;
    year::enrol(&mut session, plan, &mut done)?;
    furnish(&mut session, plan, &mut done, teller)?;
    teller.heading("The year, month by month")?;
    year::run(&mut session, plan, teller, &mut done)?;
    summarise(&done, teller)?;
    teller.heading("The ledger against the demo's own book")?;
    compare::all(&mut session, plan, &done, teller)?;
    let chosen = done
        .chosen
        .as_ref()
        .ok_or_else(|| CliError::new("the demo chose no trade"))?;
    sights::show(&mut session, files, plan, chosen, teller)?;
    // What the regulator read is on the ledger, too.
    let orders = done.orders + session.readings();
    proof::audit(files, running, orders, teller)
}

fn furnish(
    session: &mut Session,
    plan: &mut Plan,
    done: &mut Done,
    teller: &mut Teller,
) -> Result<()> {
    let issuers = plan
        .cast
        .issuers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let firms = plan
        .cast
        .firms
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    teller.fact(
        "members",
        "admin (the operator), bank (cash agent), regulator",
    )?;
    teller.fact("issuers", issuers)?;
    let clients = plan.cast.accounts_for(Purpose::Client).count();
    teller.fact(
        "firms",
        format_args!("{firms}: a house account each, {clients} client accounts in all"),
    )?;
    year::furnish(session, plan, done)?;
    let allocated = grouped(plan.allocated(0)?);
    teller.fact(
        "before 2012",
        format_args!(
            "{} sample units issued of each older share, {allocated} of them allocated",
            grouped(SEASONED_UNITS)
        ),
    )?;
    teller.fact(
        "",
        format_args!(
            "to the firms' accounts; {} of money tokens minted",
            dollars(plan.book.minted())
        ),
    )?;
    teller.fact(
        "",
        "for them and for the year's dividends; more for the offering on its day",
    )
}

fn summarise(done: &Done, teller: &mut Teller) -> Result<()> {
    let seconds = done.elapsed.as_secs();
    teller.say("")?;
    teller.fact(
        "settled",
        format_args!(
            "{} trades, delivery against payment, worth {}",
            grouped(done.trades),
            dollars(done.cents)
        ),
    )?;
    teller.fact(
        "dividends",
        format_args!("{} paid", dollars(done.dividend_cents)),
    )?;
    teller.fact("ledger", format_args!(
        "{} orders in {} sealed envelopes, every outcome as planned; the year took {} min {:02} s",
        grouped(done.orders),
        grouped(done.envelopes),
        seconds / 60,
        seconds % 60
    ))
}

/// The nodes are stopped: removes what is temporary, or starts the network again in the background.
fn finish(
    arguments: &DemoArguments,
    place: &Place,
    files: &NetworkFiles,
    teller: &mut Teller,
) -> Result<()> {
    let folder = files.folder().display();
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "sealbook".to_owned());
    let command = format!("{program} --network {folder}");
    if !arguments.keep {
        return match place {
            Place::Temporary(_) => {
                teller.say("\nThe network is stopped and its folder removed; `--keep` keeps it.")
            }
            Place::Lasting(_) => teller.say(format_args!(
                "\nThe network is stopped; its files stay in {folder}.\n\
                 Start it again: {command} network start"
            )),
        };
    }
    let names: Vec<String> = files.nodes().iter().map(|node| node.name.clone()).collect();
    let progress = Progress::spinner("starting the network in the background");
    start_background(files, &names)?;
    progress.finish();
    teller.heading("Look around")?;
    teller.say(format_args!(
        "  The network goes on running in the background, in {folder}\n\n  \
         {command} status\n  \
         {command} --as alder holdings                what a firm's clients hold\n  \
         {command} --as apple registry US0378331005   an issuer's shareholders\n  \
         {command} --as regulator trade list          every trade\n  \
         {command} tx list --limit 5                  what everybody sees\n  \
         {command} audit verify --ledger {folder}/{} --key {folder}/audit.key\n  \
         {command} network stop",
        proof::COPY
    ))
}
