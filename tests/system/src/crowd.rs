//! Members who work without pause, each with a client of its own, and keep count of what was acknowledged to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sealbook_sdk::{Client, Prepared, Stage};
use sealbook_securities::{ClientReference, Instruction, Outcome, Side, Status};
use serde_json::json;

use crate::model::Model;
use crate::network::wait_for;
use crate::scenario::{line, run, run_compared};
use crate::{TestNetwork, clients};

/// The issue that they deal in.
pub const ISIN: &str = "US0378331005";
const ACCOUNTS: [(&str, &str); 3] = [("alpha", "A-1"), ("beta", "B-1"), ("gamma", "G-1")];
const UNITS: u64 = 1_000_000;

/// Firms, an issue, and units and money on every account.
///
/// # Panics
/// A line is not answered as it must be.
pub fn open_books(network: &TestNetwork) {
    let answers = run(network, opening().as_bytes());
    assert_eq!(answers.ran.code, 0, "{}", answers.ran.err);
    let settled = |line: &serde_json::Value| line["outcome"] == "settled";
    assert!(answers.lines.iter().all(settled), "{}", answers.ran.out);
}

fn opening() -> String {
    let member = |name: &str, role: &str| {
        line(
            "admin",
            "enrol",
            json!({"name": name, "role": role, "organisation": name}),
        )
    };
    let mut text = member("issuer", "issuer") + &member("bank", "cash-agent");
    text += &line(
        "admin",
        "register-issue",
        json!({"isin": ISIN, "issuer": "issuer",
        "name": "Issue", "kind": "equity", "decimals": 0, "currency": "USD", "treasury": "T"}),
    );
    text += &line(
        "admin",
        "issue-units",
        json!({"isin": ISIN, "quantity": "3000000"}),
    );
    for (firm, account) in ACCOUNTS {
        text += &member(firm, "firm");
        text += &line(
            firm,
            "open-account",
            json!({"account": account, "holder": firm}),
        );
        let quantity = UNITS.to_string();
        text += &line(
            "admin",
            "allocate",
            json!({"isin": ISIN, "account": account, "quantity": quantity}),
        );
        text += &line(
            "bank",
            "mint-cash",
            json!({"currency": "USD", "account": account, "amount": "1000000.00"}),
        );
    }
    text
}

/// The highest height that any node knows to be final.
///
/// # Panics
/// No node answers.
#[must_use]
pub fn highest(network: &TestNetwork) -> u64 {
    wait_for("a height", || {
        network
            .status()
            .values()
            .filter_map(|row| row["height"].as_u64())
            .max()
    })
}

/// Everybody's holdings, by account and asset, in minor units: a reading that is put on record first.
///
/// # Panics
/// No node answers.
#[must_use]
pub fn holdings(network: &TestNetwork) -> BTreeMap<(String, String), u64> {
    holdings_as(network, "admin")
}

fn holdings_as(network: &TestNetwork, name: &str) -> BTreeMap<(String, String), u64> {
    let answer = network
        .sealbook(&["--json", "--as", name, "holdings"])
        .expect_code(0)
        .json();
    let mut found = BTreeMap::new();
    for account in answer["answer"]["accounts"].as_array().unwrap() {
        for asset in account["assets"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let units = text(&asset["quantity"]).replace('.', "").parse().unwrap();
            found.insert((text(&account["account"]), text(&asset["asset"])), units);
        }
    }
    found
}

/// Units of the issue on an account, as its firm sees them, for which nothing is ordered.
///
/// # Panics
/// No node answers, or it is nobody's account.
#[must_use]
pub fn balance(network: &TestNetwork, account: &str) -> u64 {
    let found = ACCOUNTS.iter().find(|(_, own)| *own == account);
    let (firm, _) = found.unwrap();
    holdings_as(network, firm)[&(account.to_owned(), ISIN.to_owned())]
}

/// What was acknowledged as settled.
#[derive(Debug, Default)]
pub struct Done {
    /// Units given by one account to the next.
    transfers: Vec<(usize, usize, u64)>,
    /// Units sold by the first account to the second, with the price in minor units.
    trades: Vec<(u64, u64)>,
    /// How often a client had to be asked again because it gave up.
    given_up: u64,
}

impl Done {
    /// Counts an order that the test itself has seen settled.
    pub fn alpha_also_gave_beta(&mut self, quantity: u64) {
        self.transfers.push((0, 1, quantity));
    }

    /// How many transfers each firm gave: alpha, beta, gamma.
    #[must_use]
    pub fn transfers_by_firm(&self) -> [usize; 3] {
        [0, 1, 2].map(|firm| {
            let own = self.transfers.iter().filter(|(from, _, _)| *from == firm);
            own.count()
        })
    }

    /// How many trades alpha and beta settled.
    #[must_use]
    pub const fn trades_settled(&self) -> usize {
        self.trades.len()
    }

    /// Compares the books with what was acknowledged, by sums and by the independent model: nothing is missing, nothing
    /// is there twice.
    ///
    /// # Panics
    /// The books differ, or hardly anything was acknowledged.
    pub fn check(&self, network: &TestNetwork) {
        let (mut units, mut money) = ([UNITS; 3], [100 * UNITS; 3]);
        for (from, to, quantity) in &self.transfers {
            units[*from] -= quantity;
            units[*to] += quantity;
        }
        for (quantity, price) in &self.trades {
            units[0] -= quantity;
            units[1] += quantity;
            money[1] -= price;
            money[0] += price;
        }
        let held = holdings(network);
        for (index, (_, account)) in ACCOUNTS.iter().enumerate() {
            let key = |asset: &str| ((*account).to_owned(), asset.to_owned());
            assert_eq!(held[&key(ISIN)], units[index], "units on {account}");
            assert_eq!(held[&key("USD")], money[index], "money on {account}");
        }
        assert!(
            self.transfers.len() > 15 && self.trades.len() > 3,
            "too little happened"
        );
        self.compare_with_model(network);
        eprintln!(
            "{} transfers and {} trades acknowledged, {} times given up and tried again",
            self.transfers.len(),
            self.trades.len(),
            self.given_up
        );
    }

    /// The independent model, told the same, answers every question the same.
    fn compare_with_model(&self, network: &TestNetwork) {
        let mut model = Model::new();
        let mut told = opening();
        for (number, (from, to, quantity)) in self.transfers.iter().enumerate() {
            let order = json!({"id": format!("transfer-{number}"), "isin": ISIN,
                "from": ACCOUNTS[*from].1, "to": ACCOUNTS[*to].1, "quantity": quantity.to_string()});
            told += &line(ACCOUNTS[*from].0, "transfer", order);
        }
        for (number, (quantity, price)) in self.trades.iter().enumerate() {
            let id = format!("trade-{number}");
            let record = json!({"id": id, "side": "sell", "account": "A-1", "counterparty": "beta",
                "isin": ISIN, "quantity": quantity.to_string(), "currency": "USD", "amount": money(*price)});
            told += &line("alpha", "record-trade", record);
            told += &line("beta", "confirm-trade", json!({"id": id, "account": "B-1"}));
        }
        for (text, number) in told.lines().zip(1..) {
            let outcome = model.line(number, text);
            let done = outcome["outcome"] == "settled" || outcome["outcome"] == "pending";
            assert!(done, "{outcome} for {text}");
        }
        let questions: String = ["admin", "alpha", "beta", "gamma"]
            .iter()
            .flat_map(|member| ["holdings", "trades"].map(|verb| line(member, verb, json!({}))))
            .collect();
        let questions = questions + &line("admin", "audit", json!({}));
        let _ = run_compared(network, &mut model, &questions);
    }
}

fn money(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// Members at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<Done>>,
}

impl Crowd {
    /// Three firms that transfer and a pair that trades.
    ///
    /// # Panics
    /// Their keys cannot be used.
    #[must_use]
    pub fn begin(network: &TestNetwork) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut counts, mut threads) = (Vec::new(), Vec::new());
        for index in 0..4 {
            let count = Arc::new(AtomicU64::new(0));
            let mut worker = Worker {
                stop: Arc::clone(&stop),
                count: Arc::clone(&count),
                done: Done::default(),
            };
            counts.push(count);
            let mut clients = Vec::new();
            for (member, _) in ACCOUNTS {
                // Each begins with another node.
                clients.push(network.client(member, index));
            }
            threads.push(std::thread::spawn(move || {
                let [mut alpha, mut beta, gamma] = <[Client; 3]>::try_from(clients).ok().unwrap();
                match index {
                    0 => worker.transfer(alpha, 0),
                    1 => worker.transfer(beta, 1),
                    2 => worker.transfer(gamma, 2),
                    _ => worker.trade(&mut alpha, &mut beta),
                }
                worker.done
            }));
        }
        Self {
            stop,
            counts,
            threads,
        }
    }

    fn counts(&self) -> Vec<u64> {
        // A worker that failed would be waited for in vain.
        if let Some(failed) = self.threads.iter().position(JoinHandle::is_finished) {
            panic!("worker {failed} ended");
        }
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect()
    }

    /// Waits for so many more acknowledged orders, whosever.
    pub fn wait_for_more(&self, more: u64) {
        let before: u64 = self.counts().iter().sum();
        wait_for("more work to be done", || {
            (self.counts().iter().sum::<u64>() >= before + more).then_some(())
        });
    }

    /// Waits for so many more acknowledged orders of each worker.
    pub fn wait_for_more_of_each(&self, more: u64) {
        let before = self.counts();
        wait_for("each to do more work", || {
            let now = self.counts();
            now.iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + more)
                .then_some(())
        });
    }

    /// Lets everybody finish what they are at.
    ///
    /// # Panics
    /// A worker failed.
    #[must_use]
    pub fn end(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Done::default();
        for thread in self.threads {
            let done = thread.join().unwrap();
            all.transfers.extend(done.transfers);
            all.trades.extend(done.trades);
            all.given_up += done.given_up;
        }
        all
    }
}

struct Worker {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    done: Done,
}

impl Worker {
    fn transfer(&mut self, mut client: Client, from: usize) {
        let to = (from + 1) % ACCOUNTS.len();
        let (given, taken) = (ACCOUNTS[from].1, ACCOUNTS[to].1);
        // This one loses patience soon and sends a new envelope under the same reference.
        if from == 0 {
            client.set_patience(Duration::from_millis(1500));
        }
        for number in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let quantity = 1 + number % 5;
            let reference = format!("w{from}-{number}");
            let order = || clients::transfer(&reference, ISIN, quantity, given, taken);
            let outcome = self.insist(&mut client, order);
            assert_eq!(outcome.status, Status::Settled, "{outcome}");
            self.done.transfers.push((from, to, quantity));
            if number % 7 == 3 {
                // As a member that is not sure whether it heard the answer.
                assert_eq!(self.insist(&mut client, order), outcome, "repeated");
            }
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn trade(&mut self, seller: &mut Client, buyer: &mut Client) {
        for number in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let reference = format!("trade-{number}");
            let (quantity, price) = (1 + number % 3, 100 + number);
            let record = || {
                let instruction = Instruction::RecordTrade {
                    side: Side::Sell,
                    account: "A-1".parse().unwrap(),
                    counterparty: "beta".parse().unwrap(),
                    isin: ISIN.parse().unwrap(),
                    quantity: quantity.to_string().parse().unwrap(),
                    currency: "USD".parse().unwrap(),
                    amount: money(price).parse().unwrap(),
                };
                prepared(&reference, instruction)
            };
            let outcome = self.insist(seller, record);
            assert_eq!(outcome.status, Status::Pending, "{outcome}");
            let confirm = || {
                let trade = ClientReference::new(&reference).unwrap();
                let account = "B-1".parse().unwrap();
                prepared(
                    &format!("confirm-{number}"),
                    Instruction::ConfirmTrade { trade, account },
                )
            };
            let outcome = self.insist(buyer, confirm);
            assert_eq!(outcome.status, Status::Settled, "{outcome}");
            self.done.trades.push((quantity, price));
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Submits until there is an outcome, each time under the same reference.
    fn insist(&mut self, client: &mut Client, order: impl Fn() -> Prepared) -> Outcome {
        for _ in 0..100 {
            match client.submit(&[order()], Stage::Final) {
                Ok(submitted) => {
                    assert!(submitted.is_final);
                    return submitted.outcomes[0];
                }
                Err(_) => self.done.given_up += 1,
            }
        }
        panic!("no outcome after a hundred tries");
    }
}

fn prepared(reference: &str, instruction: Instruction) -> Prepared {
    Prepared::instruction(Some(ClientReference::new(reference).unwrap()), instruction).unwrap()
}
