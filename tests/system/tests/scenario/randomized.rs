//! Random scenarios from seeds, on one network that lives on between them.

use sealbook_system::TestNetwork;
use sealbook_system::model::{Model, values};
use sealbook_system::random::Random;
use sealbook_system::scenario::{check_conservation, line, run_compared};
use serde_json::{Value, json};

const FIRST_SEED: u64 = 2012;
const SEEDS: u64 = 4;
const LINES: usize = 70;

/// What random lines are drawn from; few values, so that they meet.
struct World {
    random: Random,
    isins: [String; 3],
    day: u64,
    seed: u64,
}

const FIRMS: [&str; 3] = ["alpha", "beta", "gamma"];
const ACCOUNTS: [&str; 7] = [
    "alpha-1", "alpha-2", "beta-1", "beta-2", "gamma-1", "T-0", "NO-SUCH",
];

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            isins: isins(),
            day: 1 + seed % 1000 * 20,
            seed,
        }
    }

    fn one(&mut self, choices: &[&str]) -> String {
        (*self.random.one_of(choices)).to_owned()
    }

    fn isin(&mut self) -> String {
        let isins = self.isins.clone();
        let unknown = values::isin("XS999999999");
        if self.random.below(20) == 0 {
            unknown
        } else {
            self.random.one_of(&isins).clone()
        }
    }

    fn quantity(&mut self) -> String {
        let whole = self.random.below(40);
        match self.random.below(6) {
            0 => format!("{whole}.{}", self.random.below(10)),
            1 => format!("{whole}.{:03}", self.random.below(1000)),
            2 => (whole * 100).to_string(),
            _ => whole.to_string(),
        }
    }

    fn amount(&mut self) -> String {
        format!("{}.{:02}", self.random.below(300), self.random.below(100))
    }

    fn identifier(&mut self) -> String {
        format!("{}-{}", self.seed, self.random.below(12))
    }

    fn account_of(&mut self, firm: &str) -> String {
        if self.random.below(8) == 0 {
            return self.one(&ACCOUNTS);
        }
        if firm == "gamma" {
            "gamma-1".to_owned()
        } else {
            format!("{firm}-{}", 1 + self.random.below(2))
        }
    }

    fn next(&mut self) -> String {
        let firm = self.one(&FIRMS);
        let mut isin = self.isin();
        match self.random.below(24) {
            0..=4 => {
                let mut fields = json!({"id": self.identifier(), "from": self.account_of(&firm),
                    "to": self.one(&ACCOUNTS)});
                self.asset(&mut fields, &isin);
                line(&firm, "transfer", fields)
            }
            5..=8 => {
                let fields = json!({"id": self.identifier(), "side": self.one(&["buy", "sell"]),
                    "account": self.account_of(&firm), "counterparty": self.one(&FIRMS),
                    "isin": isin, "quantity": self.quantity(), "currency": self.one(&["USD", "EUR"]),
                    "amount": self.amount()});
                line(&firm, "record-trade", fields)
            }
            9..=12 => {
                let fields = json!({"id": self.identifier(), "account": self.account_of(&firm)});
                line(&firm, "confirm-trade", fields)
            }
            13 => {
                let fields = json!({"isin": isin, "account": self.one(&ACCOUNTS), "quantity": self.quantity()});
                line("admin", "allocate", fields)
            }
            14 => {
                let fields = json!({"currency": self.one(&["USD", "EUR"]),
                    "account": self.one(&ACCOUNTS), "amount": self.amount()});
                line(&self.one(&["bank", "mint"]), "mint-cash", fields)
            }
            15 => {
                let record = self.moment(false);
                let fields = json!({"id": self.identifier(), "isin": isin,
                    "amount_per_unit": self.one(&["0.1", "1.2345", "0.009", "3"]),
                    "currency": self.one(&["USD", "EUR"]), "record": record});
                line("admin", "dividend", fields)
            }
            16 => {
                let (new, old) = (1 + self.random.below(3), 1 + self.random.below(3));
                line(
                    "admin",
                    "split",
                    json!({"id": self.identifier(), "isin": isin, "new": new, "old": old}),
                )
            }
            17 => {
                self.day += self.random.below(3);
                let date = format!(
                    "{}-{:02}-{:02}",
                    2000 + self.day / 336,
                    1 + self.day / 28 % 12,
                    1 + self.day % 28
                );
                line("admin", "open-day", json!({ "date": date }))
            }
            18 => {
                let caller = self.one(&["watch", "issuer", "other", "alpha"]);
                if caller == "other" {
                    isin = self.isins[0].clone();
                }
                line(
                    &caller,
                    "registry",
                    json!({"isin": isin, "as_of": self.moment(true)}),
                )
            }
            19 | 20 => {
                let buyer = self.one(&FIRMS);
                let fields = json!({"id": self.identifier(), "seller_account": self.account_of(&firm),
                    "buyer_account": self.account_of(&buyer), "isin": isin, "quantity": self.quantity(),
                    "currency": self.one(&["USD", "EUR"]), "amount": self.amount()});
                line("admin", "locked-in-trade", fields)
            }
            21 => {
                let verb = self.one(&["grant-mandate", "grant-mandate", "revoke-mandate"]);
                let venue = self.one(&["admin", "admin", "admin", "bank", "nobody"]);
                line(&firm, &verb, json!({ "venue": venue }))
            }
            _ => {
                let caller = self.one(&["watch", "alpha", "beta", "bank"]);
                line(&caller, &self.one(&["holdings", "trades"]), json!({}))
            }
        }
    }

    fn asset(&mut self, fields: &mut Value, isin: &str) {
        if self.random.below(2) == 0 {
            fields["isin"] = json!(isin);
            fields["quantity"] = json!(self.quantity());
        } else {
            fields["currency"] = json!(self.one(&["USD", "EUR"]));
            fields["amount"] = json!(self.amount());
        }
    }

    fn moment(&mut self, lines: bool) -> Value {
        match self.random.below(4) {
            0 if lines => json!({"line": 1 + self.random.below(LINES as u64)}),
            1 => {
                let day = self.day.saturating_sub(self.random.below(6));
                json!({"date": format!("{}-{:02}-{:02}", 2000 + day / 336, 1 + day / 28 % 12, 1 + day % 28)})
            }
            _ => json!("now"),
        }
    }
}

fn isins() -> [String; 3] {
    [
        values::isin("XS000000000"),
        values::isin("XS000000001"),
        values::isin("XS000000002"),
    ]
}

/// Members, issues of 0, 1 and 3 decimals, accounts, and something to trade with.
fn opening() -> String {
    let mut text = String::new();
    let members = [
        ("alpha", "firm"),
        ("beta", "firm"),
        ("gamma", "firm"),
        ("issuer", "issuer"),
        ("other", "issuer"),
        ("bank", "cash-agent"),
        ("mint", "cash-agent"),
        ("watch", "regulator"),
    ];
    for (name, role) in members {
        let fields = json!({"name": name, "role": role, "organisation": format!("{name} (test)")});
        text += &line("admin", "enrol", fields);
    }
    for account in ACCOUNTS.iter().filter(|account| account.contains("a-")) {
        let firm = account.split('-').next().unwrap();
        let holder = format!("Holder {}", account.len() % 2);
        text += &line(
            firm,
            "open-account",
            json!({"account": account, "holder": holder}),
        );
    }
    for (index, (isin, decimals)) in isins().iter().zip([0, 1, 3]).enumerate() {
        let treasury = format!("T-{index}");
        let fields = json!({"isin": isin, "issuer": "issuer", "name": "Issue", "kind": "bond",
            "decimals": decimals, "currency": "EUR", "treasury": treasury});
        text += &line("admin", "register-issue", fields);
        text += &line(
            "admin",
            "issue-units",
            json!({"isin": isin, "quantity": "10000"}),
        );
        for account in ["alpha-1", "beta-1", "gamma-1"] {
            let fields = json!({"isin": isin, "account": account, "quantity": "500"});
            text += &line("admin", "allocate", fields);
        }
        for (agent, currency) in [("bank", "USD"), ("mint", "EUR")] {
            let fields = json!({"currency": currency, "account": treasury, "amount": "900.00"});
            text += &line(agent, "mint-cash", fields);
        }
    }
    for firm in FIRMS {
        text += &line(firm, "grant-mandate", json!({"venue": "admin"}));
    }
    for account in ["alpha-1", "beta-2", "gamma-1"] {
        for (agent, currency) in [("bank", "USD"), ("mint", "EUR")] {
            let fields = json!({"currency": currency, "account": account, "amount": "1000.00"});
            text += &line(agent, "mint-cash", fields);
        }
    }
    text
}

#[test]
fn random_scenarios_end_as_the_model_has_it_and_conserve_everything() {
    let network = TestNetwork::running(4, 0);
    let mut model = Model::new();
    let opened = run_compared(&network, &mut model, &opening());
    assert!(
        opened.lines.iter().all(|line| line["outcome"] == "settled"),
        "{}",
        opened.ran.out
    );
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in FIRST_SEED..FIRST_SEED + SEEDS {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        let mut lines: String = (0..LINES).map(|_| world.next()).collect();
        lines += &line("watch", "holdings", json!({}));
        lines += &line("watch", "trades", json!({}));
        lines += &line("watch", "audit", json!({}));
        let answers = run_compared(&network, &mut model, &lines);
        check_conservation(answers.last());
        check_money(&answers.lines);
        for line in &answers.lines {
            let code = line["code"]
                .as_str()
                .or(line["outcome"].as_str())
                .unwrap()
                .to_owned();
            *outcomes.entry(code).or_insert(0_u32) += 1;
        }
    }
    // The scenarios reach what they are there for.
    for code in [
        "settled",
        "pending",
        "answer",
        "LACK",
        "MONY",
        "not-found",
        "duplicate",
        "malformed",
    ] {
        assert!(outcomes.contains_key(code), "never `{code}`: {outcomes:?}");
    }
    network.agreement();
}

/// All money that was minted lies on accounts, and nothing else does.
fn check_money(lines: &[Value]) {
    let [.., holdings, _, audit] = lines else {
        panic!("too few lines")
    };
    for currency in audit["answer"]["currencies"].as_array().unwrap() {
        let mut sum = 0;
        for account in holdings["answer"]["accounts"].as_array().unwrap() {
            for asset in account["assets"].as_array().unwrap() {
                if asset["asset"] == currency["currency"] {
                    sum += values::plain(asset["quantity"].as_str().unwrap());
                }
            }
        }
        assert_eq!(
            sum,
            values::plain(currency["minted"].as_str().unwrap()),
            "{currency}"
        );
    }
}
