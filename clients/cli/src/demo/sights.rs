//! One trade as different people see it, side by side: each column comes from that member's own
//! answers, the last one from a search of every file of every node.

use comfy_table::Table;
use comfy_table::presets::ASCII_FULL_CONDENSED;
use sealbook_ledger::{Block, MAX_BLOCK_BYTES};
use sealbook_sdk::AsOf;
use sealbook_securities::{Decimal, Instruction};
use serde_json::Value;

use crate::action::{Action, Ask, When};
use crate::arguments::Wait;
use crate::demo::cast::{Account, REGULATOR};
use crate::demo::compare::{ask, field, rows};
use crate::demo::data::Share;
use crate::demo::disk::Search;
use crate::demo::plan::Plan;
use crate::demo::text::{self, Teller, grouped};
use crate::demo::year::Chosen;
use crate::error::{CliError, Result};
use crate::network::NetworkFiles;
use crate::progress::Progress;
use crate::session::Session;

/// How many bytes of the sealed transaction are shown.
const SHOWN_BYTES: usize = 96;
/// A reference that no trade has.
const NO_TRADE: &str = "NO-SUCH-TRADE";
const UNSEEN: &str = "-";

/// The trade with everything that belongs to it.
struct Scene<'a> {
    chosen: &'a Chosen,
    share: &'a Share,
    issuer: String,
    seller: &'a Account,
    buyer: &'a Account,
    selling: String,
    buying: String,
    other: String,
}

/// Who, and what is to be said of them.
type Note = (String, Vec<String>);

/// What one viewer sees.
struct Sight {
    title: String,
    cells: Vec<String>,
}

fn scene<'a>(plan: &'a Plan, chosen: &'a Chosen) -> Result<Scene<'a>> {
    let (seller, buyer) = (
        plan.cast.account(chosen.trade.seller)?,
        plan.cast.account(chosen.trade.buyer)?,
    );
    let other = (0..plan.cast.firms.len()).find(|firm| *firm != seller.firm && *firm != buyer.firm);
    let other = plan.cast.firm(other.unwrap_or(0))?.to_string();
    let issuer = plan
        .cast
        .issuers
        .get(chosen.trade.share)
        .map(ToString::to_string);
    Ok(Scene {
        chosen,
        share: plan.data.share(chosen.trade.share)?,
        issuer: issuer.unwrap_or_default(),
        selling: plan.cast.firm(seller.firm)?.to_string(),
        buying: plan.cast.firm(buyer.firm)?.to_string(),
        seller,
        buyer,
        other,
    })
}

const FACTS: [&str; 8] = [
    "reference",
    "shares",
    "payment",
    "selling firm",
    "buying firm",
    "from account",
    "to account",
    "holders",
];

impl Scene<'_> {
    /// The payment as answers write it, with a point and without commas.
    fn payment(&self) -> String {
        Decimal::new(self.chosen.trade.cents, 2)
            .map_or_else(String::new, |amount| amount.to_string())
    }

    /// Texts that nobody but those entitled may ever see.
    fn secrets(&self) -> Vec<String> {
        vec![
            self.chosen.trade.reference.clone(),
            self.payment(),
            organisation(&self.selling),
            organisation(&self.buying),
            self.seller.id.to_string(),
            self.buyer.id.to_string(),
            self.seller.holder.to_string(),
            self.buyer.holder.to_string(),
            self.share.isin.to_string(),
        ]
    }

    /// What a viewer's trades, and rows with accounts and holders, show of this trade.
    fn sight(&self, title: &str, trades: &Value, accounts: &[Value]) -> Sight {
        let reference = self.chosen.trade.reference.as_str();
        let row = rows(trades, "trades")
            .iter()
            .find(|row| field(row, "id") == reference);
        let shown = |name: &str| {
            let value = row
                .map(|row| field(row, name))
                .filter(|value| !value.is_empty());
            value.map(str::to_owned)
        };
        let listed = |name: &str, value: &str| accounts.iter().any(|row| field(row, name) == value);
        let account = |name: &str, id: &str| {
            shown(name).or_else(|| listed("account", id).then(|| id.to_owned()))
        };
        let holders: Vec<&str> = [self.seller.holder.as_str(), self.buyer.holder.as_str()]
            .into_iter()
            .filter(|holder| listed("holder", holder))
            .collect();
        let number = |name: &str| shown(name).map(|text| readable(&text));
        let cells = [
            shown("id"),
            number("quantity"),
            number("amount"),
            shown("recorder"),
            shown("counterparty"),
            account("recorder_account", self.seller.id.as_str()),
            account("counterparty_account", self.buyer.id.as_str()),
            (!holders.is_empty()).then(|| holders.join("\n")),
        ];
        let cells = cells
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| UNSEEN.to_owned()))
            .collect();
        Sight {
            title: title.to_owned(),
            cells,
        }
    }

    /// Fails if what somebody was told has anything in it that is not theirs.
    fn must_not_show(&self, who: &str, answer: &Value, secrets: &[&str]) -> Result<()> {
        let told = answer.to_string();
        match secrets.iter().find(|secret| told.contains(**secret)) {
            Some(secret) => Err(CliError::new(format!(
                "{who} was told `{secret}`, which is none of its business"
            ))),
            None => Ok(()),
        }
    }
}

/// The part of a sample firm's organisation that is long enough to be searched for.
fn organisation(firm: &str) -> String {
    let mut letters = firm.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters)
        .chain(" Securities".chars())
        .collect()
}

/// `1234.56` as `1,234.56`.
fn readable(number: &str) -> String {
    let (whole, fraction) = number
        .split_once('.')
        .map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    fraction.map_or_else(|| whole.clone(), |fraction| format!("{whole}.{fraction}"))
}

/// Shows the chosen trade from all sides.
///
/// # Errors
/// The network cannot be reached, or somebody sees what they must not.
pub fn show(
    session: &mut Session,
    files: &NetworkFiles,
    plan: &Plan,
    chosen: &Chosen,
    teller: &mut Teller,
) -> Result<()> {
    let scene = scene(plan, chosen)?;
    let (company, units) = (&scene.share.company, grouped(chosen.trade.units));
    teller.heading("One trade from all sides")?;
    teller.say(format_args!(
        "  {}, the day of the year's highest close of {company}: {} sells {units} shares for\n  \
         its client to a client of {}, for {}. Every column is what that reader gets.\n",
        chosen.date,
        scene.selling,
        scene.buying,
        text::dollars(chosen.trade.cents)
    ))?;
    let (mut sights, mut notes) = (Vec::new(), Vec::new());
    members(session, &scene, &mut sights, &mut notes)?;
    let sealed = sealed_transaction(session, chosen)?;
    let search = search(files, &scene, &sealed.0)?;
    sights.push(Sight {
        title: "owner of a disk".to_owned(),
        cells: vec![UNSEEN.to_owned(); FACTS.len()],
    });
    teller.say(table(&sights))?;
    for (who, lines) in notes {
        note(teller, &who, &lines)?;
    }
    owner(&scene, &search, &sealed, teller)
}

fn table(sights: &[Sight]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    let titles = sights.iter().map(|sight| sight.title.clone());
    table.set_header(std::iter::once(String::new()).chain(titles));
    for (place, fact) in FACTS.iter().enumerate() {
        let cell = |sight: &Sight| sight.cells.get(place).cloned().unwrap_or_default();
        table.add_row(std::iter::once((*fact).to_owned()).chain(sights.iter().map(cell)));
    }
    table
}

fn members(
    session: &mut Session,
    scene: &Scene<'_>,
    sights: &mut Vec<Sight>,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let reference = &scene.chosen.trade.reference;
    let (seller, buyer) = (scene.seller.id.as_str(), scene.buyer.id.as_str());
    let (selling_client, buying_client) =
        (scene.seller.holder.as_str(), scene.buyer.holder.as_str());
    let (year, month, day) = (
        scene.chosen.date.year(),
        scene.chosen.date.month(),
        scene.chosen.date.day(),
    );
    let close = AsOf::Date { year, month, day };
    let registry = Ask::Registry {
        isin: scene.share.isin,
        as_of: When::Moment(close),
    };

    let trades = ask(session, &scene.selling, Ask::Trades)?;
    let holdings = ask(session, &scene.selling, Ask::Holdings)?;
    let own = scene.sight(
        &format!("{} (sells)", scene.selling),
        &trades,
        rows(&holdings, "accounts"),
    );
    if own.cells.first().map(String::as_str) != Some(reference.as_str()) {
        return Err(CliError::new(format!(
            "{} does not see its own trade",
            scene.selling
        )));
    }
    for answer in [&trades, &holdings] {
        scene.must_not_show(&scene.selling, answer, &[buyer, buying_client])?;
    }
    sights.push(own);

    let trades = ask(session, &scene.other, Ask::Trades)?;
    let holdings = ask(session, &scene.other, Ask::Holdings)?;
    for answer in [&trades, &holdings] {
        let secrets = [
            reference.as_str(),
            seller,
            buyer,
            selling_client,
            buying_client,
        ];
        scene.must_not_show(&scene.other, answer, &secrets)?;
    }
    sights.push(scene.sight(
        &format!("{} (firm)", scene.other),
        &trades,
        rows(&holdings, "accounts"),
    ));
    notes.push(stranger(session, scene, rows(&trades, "trades").len())?);

    let shareholders = ask(session, &scene.issuer, registry.clone())?;
    let payment = scene.payment();
    let secrets = [
        reference.as_str(),
        seller,
        buyer,
        &payment,
        &scene.selling,
        &scene.buying,
        "CLIENT",
        "firm",
    ];
    scene.must_not_show(&scene.issuer, &shareholders, &secrets)?;
    let list = rows(&shareholders, "holders");
    sights.push(scene.sight(&format!("{} (issuer)", scene.issuer), &Value::Null, list));
    notes.push(issuer(session, scene, list)?);

    let trades = ask(session, REGULATOR, Ask::Trades)?;
    let full = ask(session, REGULATOR, registry)?;
    let all = scene.sight("regulator", &trades, rows(&full, "holders"));
    if all.cells.iter().any(|cell| cell == UNSEEN) {
        return Err(CliError::new("the regulator does not see all of the trade"));
    }
    sights.push(all);
    let count = grouped(rows(&trades, "trades").len() as u64);
    let told =
        format!("sees all {count} trades of the year, and every registry with accounts and firms");
    notes.push((REGULATOR.to_owned(), vec![told]));
    Ok(())
}

/// Another firm tries to confirm the trade, and one that never was: the same answer.
fn stranger(session: &mut Session, scene: &Scene<'_>, own_trades: usize) -> Result<Note> {
    let holdings = ask(session, &scene.other, Ask::Holdings)?;
    let account = rows(&holdings, "accounts")
        .first()
        .map(|row| field(row, "account"))
        .unwrap_or_default();
    let account: sealbook_securities::AccountId = account.parse().map_err(CliError::new)?;
    let mut answers = Vec::new();
    for name in [scene.chosen.trade.reference.as_str(), NO_TRADE] {
        let trade = name.parse().map_err(CliError::new)?;
        let instruction = Instruction::ConfirmTrade { trade, account };
        let done = session.perform(
            &scene.other,
            Action::Order {
                reference: None,
                instruction,
                record_line: None,
            },
            Wait::Final,
        )?;
        answers.push(format!(
            "{} {}",
            done.outcome,
            done.code.unwrap_or_default()
        ));
    }
    match answers.as_slice() {
        [real, invented] if real == invented && real == "denied not-found" => Ok((
            scene.other.clone(),
            vec![
                format!(
                    "sees its own {} trades and not this one; trying to confirm it",
                    grouped(own_trades as u64)
                ),
                format!("is `{real}`, exactly like a trade that never was"),
            ],
        )),
        _ => Err(CliError::new(format!(
            "{} was answered {}",
            scene.other,
            answers.join(" and ")
        ))),
    }
}

/// The issuer's list, and what it is answered when it asks for trades.
fn issuer(session: &mut Session, scene: &Scene<'_>, list: &[Value]) -> Result<Note> {
    let refused = session.perform(&scene.issuer, Action::Ask(Ask::Trades), Wait::Final)?;
    if refused.outcome != "denied" {
        return Err(CliError::new(format!(
            "{} asked for trades: {}",
            scene.issuer, refused.outcome
        )));
    }
    let code = refused.code.unwrap_or_default();
    let row = list
        .iter()
        .find(|row| field(row, "holder") == scene.buyer.holder.as_str());
    let example = row.map_or_else(String::new, |row| {
        format!(
            ", for example `{}: {}`",
            field(row, "holder"),
            readable(field(row, "quantity"))
        )
    });
    Ok((
        scene.issuer.clone(),
        vec![
            format!("sees its {} shareholders of that day{example}:", list.len()),
            "names and numbers, no accounts, no firms, no prices;".to_owned(),
            format!("asking for trades is `{} {code}`", refused.outcome),
        ],
    ))
}

/// The trade's envelope as the nodes keep it, and how many others lie in its block.
fn sealed_transaction(session: &mut Session, chosen: &Chosen) -> Result<(Vec<u8>, usize)> {
    let height = chosen.height;
    let blocks = session
        .client(REGULATOR)?
        .blocks(height, 1)
        .map_err(CliError::new)?;
    let missing = || {
        CliError::new(format!(
            "block {height} does not hold the trade's transaction"
        ))
    };
    let block = blocks.first().ok_or_else(missing)?;
    let block = Block::decode(&block.block, MAX_BLOCK_BYTES).map_err(CliError::new)?;
    let count = block.transactions.len();
    let sealed = block
        .transactions
        .iter()
        .find(|one| one.id() == chosen.transaction);
    Ok((sealed.ok_or_else(missing)?.envelope().to_vec(), count))
}

/// Searches every file of every node, and fails unless it finds the sealed transaction and nothing
/// else.
fn search(files: &NetworkFiles, scene: &Scene<'_>, sealed: &[u8]) -> Result<(Search, u64)> {
    let progress = Progress::spinner("searching every file of every node");
    let secrets = scene.secrets();
    let sought = secrets.iter().map(|secret| secret.as_bytes().to_vec());
    let mut search = Search::of(sought.chain([sealed.to_vec()]));
    for node in files.nodes() {
        search.folder(&files.node(&node.name))?;
    }
    progress.finish();
    for secret in secrets {
        let count = search.files_with(secret.as_bytes());
        if count != Some(0) {
            let count = count.unwrap_or(0);
            return Err(CliError::new(format!(
                "`{secret}` stands in the clear in {count} files of the nodes"
            )));
        }
    }
    // What is known to be there must be found, or finding nothing would mean nothing.
    match search.files_with(sealed) {
        Some(count) if count > 0 => Ok((search, count)),
        _ => Err(CliError::new(
            "the search does not even find the sealed transaction",
        )),
    }
}

/// The owner of a disk: what was searched for, and the trade as it lies there.
fn owner(
    scene: &Scene<'_>,
    (search, copies): &(Search, u64),
    (sealed, count): &(Vec<u8>, usize),
    teller: &mut Teller,
) -> Result<()> {
    note(
        teller,
        "owner of a disk",
        &[
            format!(
                "{} files ({} MiB) in all nodes' folders were searched for the reference,",
                grouped(search.files),
                grouped(search.bytes / (1024 * 1024))
            ),
            "payment, firms, accounts, holders, ISIN: nothing found. The same search finds"
                .to_owned(),
            format!(
                "the sealed transaction in {copies} files, one of {count} in block {}, {} bytes:",
                scene.chosen.height,
                grouped(sealed.len() as u64)
            ),
        ],
    )?;
    let start = sealed
        .get(..SHOWN_BYTES.min(sealed.len()))
        .unwrap_or_default();
    teller.say(format_args!(
        "\n{} ...\n\n    (version, suite, network, key epoch, expiry; one-time key, ciphertext)",
        text::hex(start, 32, "    ")
    ))
}

/// A reader and what is to be said of it, in two columns.
fn note(teller: &mut Teller, who: &str, lines: &[String]) -> Result<()> {
    for (place, line) in lines.iter().enumerate() {
        let who = if place == 0 { who } else { "" };
        teller.say(format_args!("  {who:<16} {line}"))?;
    }
    Ok(())
}
