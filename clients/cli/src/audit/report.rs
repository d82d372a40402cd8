//! What an audit found, for programs and for people.

use comfy_table::Table;
use sealbook_ledger::Genesis;
use sealbook_primitives::hash::Digest;
use serde_json::{Value, json};

/// What an audit found.
pub struct Report {
    /// Hash of the genesis document.
    pub network: Digest,
    /// The network's name.
    pub network_name: String,
    /// Whether the copy was sealed.
    pub sealed: bool,
    /// The first block of the copy: 0, or where its node joined.
    pub first_height: u64,
    /// The last block that is proved.
    pub height: u64,
    /// How many committee epochs that reaches into.
    pub epochs: u64,
    /// How many certificates were verified.
    pub certificates: u64,
    /// How many transactions the blocks list.
    pub transactions: u64,
    /// Blocks at the end that no certificate covers.
    pub uncertified: u64,
    /// What came of executing them, where the copy begins with genesis.
    pub replayed: Option<Replayed>,
}

/// What came of executing the whole ledger again.
#[derive(Default)]
pub struct Replayed {
    /// Results that headers commit to, compared with the ones computed here.
    pub roots_compared: u64,
    /// Orders by status: settled, pending, rejected, denied.
    pub outcomes: [u64; 4],
    /// Transactions in the blocks that were executed.
    pub transactions: u64,
    /// Those of them that did not open.
    pub unopened: u64,
    /// The digest of the results after the last block, as nodes show it.
    pub state_root: Digest,
    /// The root over the books alone.
    pub books_root: Digest,
    /// Totals per issue and currency.
    pub totals: Value,
    /// The last block that was executed.
    pub height: u64,
    /// The first key epoch that the audit keys were not given, if there is one: what came in it was not opened.
    pub closed: Option<u32>,
    /// How many key epochs were opened.
    pub key_epochs: u32,
}

impl Report {
    /// Nothing found yet in a copy that begins at this height.
    pub fn empty(genesis: &Genesis, first_height: u64) -> Self {
        Self {
            network: genesis.network(),
            network_name: genesis.network_name.clone(),
            sealed: false,
            first_height,
            height: 0,
            epochs: 0,
            certificates: 0,
            transactions: 0,
            uncertified: 0,
            replayed: None,
        }
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "network": self.network.to_string(),
            "network_name": self.network_name,
            "sealed_copy": self.sealed,
            "first_height": self.first_height,
            "height": self.height,
            "committee_epochs": self.epochs,
            "uncertified_blocks": self.uncertified,
            "certificates": self.certificates,
            "transactions": self.transactions,
            "replayed": self.replayed.is_some(),
        });
        if let (Value::Object(object), Some(replayed)) = (&mut value, &self.replayed) {
            let [settled, pending, rejected, denied] = replayed.outcomes;
            let more = [
                ("state_roots_compared", json!(replayed.roots_compared)),
                ("state_root", json!(replayed.state_root.to_string())),
                ("books_root", json!(replayed.books_root.to_string())),
                ("unopened", json!(replayed.unopened)),
                ("replayed_height", json!(replayed.height)),
                ("key_epochs", json!(replayed.key_epochs)),
                ("not_given_key_epoch", json!(replayed.closed)),
                (
                    "orders",
                    json!({"settled": settled, "pending": pending, "rejected": rejected, "denied": denied}),
                ),
                ("totals", replayed.totals.clone()),
            ];
            for (name, value) in more {
                object.insert(name.to_owned(), value);
            }
        }
        value
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let seal = if self.sealed {
            "sealed (by a node that stopped, or by `audit copy`); every byte checked"
        } else {
            "not sealed (taken while the node ran, or after a crash); blocks and certificates checked"
        };
        let mut text = format!(
            "ledger of {} ({})\n  copy          {seal}\n  height        {}\n  certificates  {} verified, {} committee \
             epochs\n",
            self.network_name, self.network, self.height, self.certificates, self.epochs,
        );
        let Some(replayed) = &self.replayed else {
            text.push_str(&format!(
                "  transactions  {}, not opened\n  NOT REPLAYED  this copy begins at height {}, where its node joined from \
                 a snapshot: its first block is proved from\n                genesis and every block and certificate from \
                 there on is verified; what transactions did is not.\n                A copy of a node that was there from \
                 the beginning can be replayed.\n",
                self.transactions, self.first_height,
            ));
            return text;
        };
        let [settled, pending, rejected, denied] = replayed.outcomes;
        if let Some(key_epoch) = replayed.closed {
            text.push_str(&format!(
                "  REPLAYED UP TO HEIGHT {}: key epoch {key_epoch} was not given to these audit keys. Blocks and                  certificates\n                after that are verified, and not opened.\n",
                replayed.height,
            ));
        }
        text.push_str(&format!(
            "  state roots   {} compared, all equal\n  transactions  {} opened and replayed, {} did not open\n  \
             orders        {settled} settled, {pending} pending, {rejected} rejected, {denied} denied\n  \
             state root    {}\n",
            replayed.roots_compared,
            replayed.transactions.saturating_sub(replayed.unopened),
            replayed.unopened,
            replayed.state_root,
        ));
        let mut issues = Table::new();
        issues.set_header(["issue", "issued", "treasury", "held", "holders"]);
        for issue in rows(&replayed.totals, "issues") {
            issues.add_row(
                ["isin", "issued", "treasury", "held", "holders"].map(|f| cell(issue.get(f))),
            );
        }
        let mut currencies = Table::new();
        currencies.set_header(["currency", "agent", "minted"]);
        for currency in rows(&replayed.totals, "currencies") {
            currencies.add_row(["currency", "agent", "minted"].map(|f| cell(currency.get(f))));
        }
        text.push_str(&format!("{issues}\n{currencies}\n"));
        text
    }
}

fn rows<'a>(totals: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    totals
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
