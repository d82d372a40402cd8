//! What grows with the books: snapshots, restarts and new key epochs, with millions of positions.
//!
//! Every position came about as on a real ledger: an account was opened with its holder's sealed name, and units were
//! allocated to it by an order in a sealed and signed envelope of a certified block. So the books also hold what goes
//! with positions: remembered orders and the history of every change.

use std::time::{Duration, Instant};

use borsh::BorshDeserialize as _;
use sealbook_execution::custody::ModuleKey;
use sealbook_execution::engine::OUTCOME_CONTEXT;
use sealbook_execution::rotation::ModuleOrder;
use sealbook_governance::Change;
use sealbook_ledger::{KeyRecord, Parameters, SNAPSHOT_PIECE_BYTES};
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::payload::{MAX_ORDERS, OrderBytes, Reply};
use sealbook_sealing::Purpose;
use sealbook_securities::{Instruction, Isin, IssueKind, LongName, Outcome};

use crate::conditions;
use crate::host::{Host, UnderWay, memory, restart};
use crate::kit::play::Play;
use crate::kit::words::{account, govern, member, open_account, order, propose};
use crate::kit::{Founded, Sealed, epochs_of, sign_word};

/// How many issues there are, and how many of them each account holds.
const ISSUES: u32 = 100;
const HELD: u32 = 10;
/// How many accounts are opened, and how many positions made, with one block.
const ACCOUNTS: u32 = 4_000;
const POSITIONS: u32 = 32_000;
/// Blocks of every epoch besides those that fill the books in the first: four modules have time to take their turns.
const OTHER_BLOCKS: u32 = 100;
/// Of so many empty blocks the median is told.
const IDLE: usize = 21;

pub fn measure(numbers: &[u32]) {
    println!(
        "Conditions: {}; the real module process with its host on one machine; {HELD} positions an account, {ISSUES} \
         issues, every account with a name; the host writes pieces to {} without fsync and reads them from there.\n",
        conditions(),
        std::env::temp_dir().display()
    );
    for number in numbers {
        measure_one(number.div_ceil(HELD));
    }
}

fn measure_one(accounts: u32) {
    let folder = tempfile::tempdir().unwrap();
    let filling = accounts.div_ceil(ACCOUNTS) + (accounts * HELD).div_ceil(POSITIONS);
    let play = Play::furnished_with(Founded {
        parameters: Parameters {
            key_epochs: 0,
            // The first snapshot is taken when the second epoch ends.
            ..epochs_of(filling + OTHER_BLOCKS, 2)
        },
        ..Founded::default()
    });
    let mut host = Host::start(play, folder.path());
    println!("| with {} positions | |\n|---|---|", accounts * HELD);
    fill(&mut host, accounts);
    snapshot(&mut host);
    let offer = host.offer().unwrap();
    new_key_epoch(&mut host);
    // There may be no room for two of them.
    let network = host.end();
    let again = restart(&network, offer, folder.path());
    row("restart: process ready", &seconds(again.ready));
    row(
        "restart: pieces read, given and opened",
        &seconds(again.given),
    );
    row(
        "restart: books decoded, lookups and state tree made",
        &seconds(again.rebuilt),
    );
    let all = again.ready + again.given + again.rebuilt;
    row("restart in all", &seconds(all));
    row("memory of the restarted module", &again.memory);
    row("conditions at the end", &conditions());
    println!();
}

fn row(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}

/// What goes into one block.
struct Content {
    transactions: Vec<Sealed>,
    attachments: Vec<Vec<u8>>,
}

/// Fills the books: issues, then accounts, then positions.
fn fill(host: &mut Host, accounts: u32) {
    let start = Instant::now();
    let issues: Vec<Isin> = (0..ISSUES).map(isin).collect();
    let registered = Content {
        transactions: envelopes(host, "admin", register(&issues)),
        attachments: Vec::new(),
    };
    let opening = accounts.div_ceil(ACCOUNTS);
    let allocating = (accounts * HELD).div_ceil(POSITIONS);
    let mut under_way = (host.give_content(&registered), registered);
    for block in 0..opening + allocating {
        // The next block is made while the module executes the one before.
        let content = match block.checked_sub(opening) {
            None => opened(host, block * ACCOUNTS..accounts.min((block + 1) * ACCOUNTS)),
            Some(block) => {
                let places = block * POSITIONS..(accounts * HELD).min((block + 1) * POSITIONS);
                allocated(host, &issues, places)
            }
        };
        host.settled(under_way);
        under_way = (host.give_content(&content), content);
    }
    host.settled(under_way);
    let time = seconds(start.elapsed());
    let blocks = opening + allocating;
    row(
        "the books filled by execution",
        &format!("{time}, {blocks} blocks, {} orders", accounts * (HELD + 1)),
    );
    row("memory of the module then", &memory(&host.module));
}

impl Host {
    fn give_content(&mut self, content: &Content) -> UnderWay {
        let transactions = content.transactions.iter().map(|one| one.bytes.as_slice());
        let attachments = content.attachments.iter().map(Vec::as_slice);
        let (transactions, attachments): (Vec<_>, Vec<_>) =
            (transactions.collect(), attachments.collect());
        self.give(&transactions, &attachments)
    }

    /// Hears of a block, all of whose orders must have been settled.
    fn settled(&mut self, (block, content): (UnderWay, Content)) {
        let took = self.hear(block);
        let settled = borsh::to_vec(&Outcome::SETTLED).unwrap();
        for sealed in &content.transactions {
            let mut replies = took.replies.iter();
            let reply = replies.find(|reply| reply.transaction == sealed.digest);
            let reply = sealed.open(OUTCOME_CONTEXT, &reply.unwrap().sealed);
            let reply = Reply::try_from_slice(reply.expose()).unwrap();
            assert!(reply.outcomes.iter().all(|outcome| *outcome == settled));
        }
    }
}

/// Orders in as many envelopes as they need.
fn envelopes(host: &Host, by: &str, orders: Vec<OrderBytes>) -> Vec<Sealed> {
    let mut orders = orders.into_iter().peekable();
    let mut sealed = Vec::new();
    while orders.peek().is_some() {
        let orders: Vec<OrderBytes> = orders.by_ref().take(MAX_ORDERS).collect();
        sealed.push(host.play.seal(by, orders));
    }
    sealed
}

/// An ISIN with its check digit.
fn isin(number: u32) -> Isin {
    let mut digits = 0..10;
    let found = digits.find_map(|digit| format!("US{number:09}{digit}").parse().ok());
    found.unwrap()
}

fn register(issues: &[Isin]) -> Vec<OrderBytes> {
    let mut orders = Vec::new();
    for (number, isin) in issues.iter().enumerate() {
        let register = Instruction::RegisterIssue {
            isin: *isin,
            issuer: member("apple"),
            name: LongName::new("An issue").unwrap(),
            kind: IssueKind::Equity,
            decimals: 0,
            currency: "USD".parse().unwrap(),
            treasury: account(&format!("T-{number}")),
        };
        let units = Instruction::IssueUnits {
            isin: *isin,
            quantity: "1000000000".parse().unwrap(),
        };
        orders.push(order(&format!("R{number}"), register));
        orders.push(order(&format!("U{number}"), units));
    }
    orders
}

/// Accounts with their holders' names.
fn opened(host: &Host, numbers: std::ops::Range<u32>) -> Content {
    let (mut orders, mut attachments) = (Vec::new(), Vec::new());
    for number in numbers {
        let name = host
            .play
            .network
            .seal_name(&format!("Holder {number} (example)"));
        let open = open_account(&format!("C-{number}"), name.attachment, name.commitment);
        orders.push(order(&format!("C{number}"), open));
        attachments.push(name.bytes);
    }
    Content {
        transactions: envelopes(host, "alpha", orders),
        attachments,
    }
}

/// Units for accounts that have none of an issue yet.
fn allocated(host: &Host, issues: &[Isin], places: std::ops::Range<u32>) -> Content {
    let orders = places.map(|place| {
        let (number, of) = (place / HELD, place % HELD);
        // Ten issues that follow each other, from one that differs with the account.
        let isin = issues[((number + of) % ISSUES) as usize];
        let allocate = Instruction::Allocate {
            isin,
            account: account(&format!("C-{number}")),
            quantity: (1 + place % 90).to_string().parse().unwrap(),
        };
        order(&format!("P{place}"), allocate)
    });
    let orders = orders.collect();
    Content {
        transactions: envelopes(host, "admin", orders),
        attachments: Vec::new(),
    }
}

/// To the end of the second epoch, where a snapshot is due, and on until the network has agreed on it.
fn snapshot(host: &mut Host) {
    host.before_the_end();
    host.step();
    host.before_the_end();
    row("an empty block", &idle(host));
    let frozen = host.step();
    row(
        "the block of the snapshot, after which the books are frozen",
        &seconds(frozen.time),
    );
    let before = host.manifest.as_ref().map(|manifest| manifest.height);
    let mut sealed = Vec::new();
    while host.manifest.as_ref().map(|manifest| manifest.height) == before {
        sealed.push(host.step().time);
    }
    row(
        &format!(
            "pieces written, sealed and handed out, with the {} blocks after it",
            sealed.len()
        ),
        &format!(
            "{}; the longest {:.1?}",
            seconds(sealed.iter().sum()),
            sealed.iter().max().unwrap()
        ),
    );
    let manifest = host.manifest.as_ref().unwrap();
    let megabytes = |pieces: &[_]| pieces.len() * SNAPSHOT_PIECE_BYTES / 1_000_000;
    row(
        "size of the snapshot",
        &format!(
            "{} MB of books, {} MB of names",
            megabytes(&manifest.state_pieces),
            megabytes(&manifest.name_pieces)
        ),
    );
    row("memory of the module then", &memory(&host.module));
    while host.offer().is_none() {
        host.step();
    }
}

/// What an empty block takes.
fn idle(host: &mut Host) -> String {
    let times = host.recent.iter().rev().take(IDLE);
    let mut times: Vec<Duration> = times.copied().collect();
    times.sort_unstable();
    format!("{:.1?}", times[times.len() / 2])
}

/// A decision for new keys, the module's own offer of a root, the others' words for it, and the block that begins.
fn new_key_epoch(host: &mut Host) {
    let rotate = propose(&Change::RotateKeys { suite: None });
    let proposal = host.play.seal("admin", vec![govern("rotate", rotate)]);
    let content = Content {
        transactions: vec![proposal],
        attachments: Vec::new(),
    };
    let given = host.give_content(&content);
    host.settled((given, content));
    let record = loop {
        let took = host.step();
        if let Some(record) = took.key_records.first() {
            break KeyRecord::decode(record).unwrap();
        }
    };
    // The module says its own word.
    let words: Vec<Vec<u8>> = (1..4)
        .map(|seat| acknowledged(host, seat, &record))
        .collect();
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let given = host.give(&words, &[]);
    host.hear(given);
    host.before_the_end();
    host.step();
    let opening = &host.play.chain.definition.opening;
    assert_eq!((opening.key_epoch, opening.record), (1, record.digest()));
    row(
        "standstill while every leaf is keyed anew (the first block of a key epoch)",
        &seconds(host.step().time),
    );
    row("memory of the module then", &memory(&host.module));
}

/// The word of another seat's module for a record.
fn acknowledged(host: &Host, seat: usize, record: &KeyRecord) -> Vec<u8> {
    let network = &host.play.network;
    let key = ModuleKey::read(&network.module_keys[seat]).unwrap();
    let (header, purpose) = (network.header(host.play.expiry()), Purpose::Transaction);
    let word = ModuleOrder::Acknowledge(record.digest());
    let signed = sign_word(&key, &header, borsh::to_vec(&word).unwrap());
    network
        .seal_signed(header, purpose, &signed, Secret32::random())
        .bytes
}
