//! A second telling of the rules, as plain as can be, to compare the books with.
//!
//! It knows nothing of tables, indexes or histories: everything is a map from texts to numbers, the
//! past is a pile of copies, and numbers are `i128`. It reads orders, but decides by the document
//! (`docs/SECURITIES.md`) and not by the code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

use std::collections::{BTreeMap, BTreeSet};

use sealbook_securities::{Asset, BusinessDate, Decimal, Instruction, RecordTime, Side};

const LIMIT: i128 = 1_000_000_000_000_000_000;

/// `(account, asset)` to minor units, and `asset` to all units there are.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Snapshot {
    pub held: BTreeMap<(String, String), i128>,
    pub totals: BTreeMap<String, i128>,
}

struct ModelTrade {
    reference: String,
    counterparty: String,
    side: Side,
    account: String,
    isin: String,
    quantity: i128,
    currency: String,
    amount: i128,
    settled: bool,
}

#[derive(Default)]
pub struct Model {
    pub now: Snapshot,
    pub roles: BTreeMap<String, String>,
    owners: BTreeMap<String, String>,
    issues: BTreeMap<String, (String, u8, String)>,
    agents: BTreeMap<String, String>,
    trades: Vec<ModelTrade>,
    /// Firm and venue.
    mandates: BTreeSet<(String, String)>,
    /// How many trades were locked in.
    locked_in: usize,
    accepted: BTreeMap<(String, String), (Instruction, &'static str)>,
    /// Each opened date with the state just before it.
    days: Vec<(BusinessDate, Snapshot)>,
    /// The state at the end of each block, by height; with the block's time.
    ends: Vec<(u64, Snapshot)>,
    block_time: u64,
}

type Answer = Result<&'static str, &'static str>;

fn units(number: Decimal, decimals: u8) -> Result<i128, &'static str> {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.len() > usize::from(decimals) {
        return Err("malformed");
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
    Ok(padded.parse().unwrap())
}

fn positive(number: Decimal) -> Result<(), &'static str> {
    if number.digits() == 0 {
        Err("malformed")
    } else {
        Ok(())
    }
}

impl Model {
    pub fn begin_block(&mut self, time: u64) {
        let ended = (self.block_time, self.now.clone());
        self.ends.push(ended);
        self.block_time = time;
    }

    /// How many trades wait and how many are settled.
    pub fn count_trades(&self) -> (usize, usize) {
        let settled = self.trades.iter().filter(|trade| trade.settled).count();
        (self.trades.len() - settled, settled + self.locked_in)
    }

    /// Reference and counterparty of every trade that was recorded, settled or not.
    pub fn recorded_trades(&self) -> Vec<(&str, &str)> {
        self.trades
            .iter()
            .map(|trade| (&*trade.reference, &*trade.counterparty))
            .collect()
    }

    pub fn apply(&mut self, caller: &str, reference: &str, order: &Instruction) -> String {
        let key = (caller.to_owned(), reference.to_owned());
        let answer = self.first_checks(caller, order).and_then(|()| {
            match self.accepted.get(&key) {
                Some((content, answer)) if content == order => return Ok(*answer),
                Some(_) => return Err("duplicate"),
                None => {}
            }
            let answer = self.carry_out(caller, reference, order)?;
            self.accepted.insert(key, (order.clone(), answer));
            Ok(answer)
        });
        match answer {
            Ok(status) => status.to_owned(),
            Err(code @ ("not-permitted" | "not-found")) => format!("denied {code}"),
            Err(code) => format!("rejected {code}"),
        }
    }

    fn first_checks(&self, caller: &str, order: &Instruction) -> Result<(), &'static str> {
        let role = self.roles[caller].as_str();
        let money = |currency: &sealbook_securities::CurrencyCode, amount: &Decimal| {
            positive(*amount)?;
            units(*amount, currency.minor_units()).map(drop)
        };
        let (needed, check) = match order {
            Instruction::OpenDay { .. } => ("admin", Ok(())),
            Instruction::RegisterIssue { decimals, .. } => (
                "admin",
                if *decimals > 8 {
                    Err("malformed")
                } else {
                    Ok(())
                },
            ),
            Instruction::IssueUnits { quantity, .. } | Instruction::Allocate { quantity, .. } => {
                ("admin", positive(*quantity))
            }
            Instruction::Dividend {
                amount_per_unit, ..
            } => ("admin", positive(*amount_per_unit)),
            Instruction::Split {
                new, old, record, ..
            } => {
                let wrong = *new == 0 || *old == 0 || *record != RecordTime::Now;
                ("admin", if wrong { Err("malformed") } else { Ok(()) })
            }
            Instruction::MintCash {
                currency, amount, ..
            } => ("cash-agent", money(currency, amount)),
            Instruction::OpenAccount { .. }
            | Instruction::ConfirmTrade { .. }
            | Instruction::GrantMandate { .. }
            | Instruction::RevokeMandate { .. } => ("firm", Ok(())),
            Instruction::Transfer {
                asset: Asset::Security { quantity, .. },
                ..
            } => ("firm", positive(*quantity)),
            Instruction::Transfer {
                asset: Asset::Cash { currency, amount },
                ..
            } => ("firm", money(currency, amount)),
            Instruction::RecordTrade {
                quantity,
                currency,
                amount,
                ..
            } => (
                "firm",
                positive(*quantity).and_then(|()| money(currency, amount)),
            ),
            Instruction::LockedInTrade {
                quantity,
                currency,
                amount,
                ..
            } => (
                "admin",
                positive(*quantity).and_then(|()| money(currency, amount)),
            ),
        };
        if role == needed {
            check
        } else {
            Err("not-permitted")
        }
    }

    fn carry_out(&mut self, caller: &str, reference: &str, order: &Instruction) -> Answer {
        match order {
            Instruction::OpenDay { date } => {
                if self.days.last().is_some_and(|(last, _)| last >= date) {
                    return Err("date-not-forward");
                }
                self.days.push((*date, self.now.clone()));
                Ok("settled")
            }
            Instruction::RegisterIssue {
                isin,
                issuer,
                decimals,
                treasury,
                ..
            } => {
                let (isin, issuer, treasury) =
                    (isin.to_string(), issuer.to_string(), treasury.to_string());
                if self.roles.get(&issuer).map(String::as_str) != Some("issuer") {
                    return Err("unknown-issuer");
                }
                if self.issues.contains_key(&isin) || self.owners.contains_key(&treasury) {
                    return Err("taken");
                }
                // Nobody can use a treasury: it belongs to no firm.
                self.owners.insert(treasury.clone(), String::new());
                self.issues.insert(isin, (issuer, *decimals, treasury));
                Ok("settled")
            }
            Instruction::IssueUnits { isin, quantity } => {
                let (_, decimals, treasury) = self.issue(&isin.to_string(), "unknown-issue")?;
                let quantity = units(*quantity, decimals)?;
                self.create(&treasury, &isin.to_string(), quantity)
            }
            Instruction::OpenAccount { account, .. } => {
                if self.owners.contains_key(&account.to_string()) {
                    return Err("taken");
                }
                self.owners.insert(account.to_string(), caller.to_owned());
                Ok("settled")
            }
            Instruction::Allocate {
                isin,
                account,
                quantity,
            } => {
                let (_, decimals, treasury) = self.issue(&isin.to_string(), "unknown-issue")?;
                self.exists(account.as_str())?;
                let quantity = units(*quantity, decimals)?;
                self.available(&treasury, isin.as_str(), quantity, "LACK")?;
                self.shift(&treasury, account.as_str(), isin.as_str(), quantity);
                Ok("settled")
            }
            Instruction::MintCash {
                currency,
                account,
                amount,
            } => {
                let code = currency.to_string();
                if self.agents.get(&code).is_some_and(|agent| agent != caller) {
                    return Err("not-permitted");
                }
                self.exists(account.as_str())?;
                let amount = units(*amount, currency.minor_units())?;
                let answer = self.create(account.as_str(), &code, amount)?;
                self.agents.insert(code, caller.to_owned());
                Ok(answer)
            }
            Instruction::Transfer { asset, from, to } => {
                self.owned(caller, from.as_str())?;
                self.exists(to.as_str())?;
                let (code, number, lacking) = match asset {
                    Asset::Security { isin, quantity } => {
                        let (_, decimals, _) = self.issue(isin.as_str(), "unknown-issue")?;
                        (isin.to_string(), units(*quantity, decimals)?, "LACK")
                    }
                    Asset::Cash { currency, amount } => (
                        currency.to_string(),
                        units(*amount, currency.minor_units())?,
                        "MONY",
                    ),
                };
                self.available(from.as_str(), &code, number, lacking)?;
                self.shift(from.as_str(), to.as_str(), &code, number);
                Ok("settled")
            }
            Instruction::RecordTrade { .. } => self.record(caller, reference, order),
            Instruction::ConfirmTrade { trade, account } => {
                self.confirm(caller, trade.as_str(), account.as_str())
            }
            Instruction::Dividend { .. } => self.dividend(order),
            Instruction::Split { isin, new, old, .. } => self.split(isin.as_str(), *new, *old),
            Instruction::GrantMandate { venue } => self.mandate(caller, venue.as_str(), true),
            Instruction::RevokeMandate { venue } => self.mandate(caller, venue.as_str(), false),
            Instruction::LockedInTrade { .. } => self.lock_in(caller, order),
        }
    }

    fn mandate(&mut self, firm: &str, venue: &str, in_force: bool) -> Answer {
        if !self.roles.contains_key(venue) {
            return Err("unknown-venue");
        }
        let key = (firm.to_owned(), venue.to_owned());
        if in_force {
            self.mandates.insert(key);
        } else {
            self.mandates.remove(&key);
        }
        Ok("settled")
    }

    fn lock_in(&mut self, caller: &str, order: &Instruction) -> Answer {
        let Instruction::LockedInTrade {
            seller_account,
            buyer_account,
            isin,
            quantity,
            currency,
            amount,
        } = order
        else {
            return Err("no trade");
        };
        for account in [seller_account, buyer_account] {
            let keeper = self.owners.get(account.as_str()).ok_or("not-found")?;
            if !self.mandates.contains(&(keeper.clone(), caller.to_owned())) {
                return Err("not-found");
            }
        }
        let (_, decimals, _) = self.issue(isin.as_str(), "unknown-issue")?;
        let quantity = units(*quantity, decimals)?;
        let amount = units(*amount, currency.minor_units())?;
        if quantity > LIMIT || amount > LIMIT {
            return Err("limit");
        }
        let (seller, buyer) = (seller_account.as_str(), buyer_account.as_str());
        self.available(seller, isin.as_str(), quantity, "LACK")?;
        self.available(buyer, currency.as_str(), amount, "MONY")?;
        self.shift(seller, buyer, isin.as_str(), quantity);
        self.shift(buyer, seller, currency.as_str(), amount);
        self.locked_in += 1;
        Ok("settled")
    }

    fn dividend(&mut self, order: &Instruction) -> Answer {
        let Instruction::Dividend {
            isin,
            amount_per_unit,
            currency,
            record,
        } = order
        else {
            return Err("malformed");
        };
        let (_, decimals, treasury) = self.issue(&isin.to_string(), "unknown-issue")?;
        let then = self.as_of(*record).ok_or("unknown-record-time")?.1.clone();
        let scale = u32::from(amount_per_unit.scale()) + u32::from(decimals);
        let minor = u32::from(currency.minor_units());
        let mut payments = Vec::new();
        for ((account, asset), quantity) in &then.held {
            if asset == isin.as_str() && *account != treasury {
                let exact = quantity * i128::from(amount_per_unit.digits());
                let amount = exact * 10i128.pow(minor) / 10i128.pow(scale);
                payments.push((account.clone(), amount));
            }
        }
        let total: i128 = payments.iter().map(|(_, amount)| amount).sum();
        self.available(&treasury, currency.as_str(), total, "MONY")?;
        for (account, amount) in payments {
            self.shift(&treasury, &account, currency.as_str(), amount);
        }
        Ok("settled")
    }

    fn split(&mut self, isin: &str, new: u32, old: u32) -> Answer {
        self.issue(isin, "unknown-issue")?;
        let mut next = self.now.clone();
        let mut total = 0;
        for ((_, asset), quantity) in &mut next.held {
            if asset == isin {
                *quantity = *quantity * i128::from(new) / i128::from(old);
                total += *quantity;
            }
        }
        if total > LIMIT {
            return Err("limit");
        }
        next.totals.insert(isin.to_string(), total);
        self.now = next;
        Ok("settled")
    }

    fn record(&mut self, caller: &str, reference: &str, order: &Instruction) -> Answer {
        let Instruction::RecordTrade {
            side,
            account,
            counterparty,
            isin,
            quantity,
            currency,
            amount,
        } = order
        else {
            return Err("no trade");
        };
        self.owned(caller, account.as_str())?;
        if self.roles.get(counterparty.as_str()).map(String::as_str) != Some("firm") {
            return Err("unknown-counterparty");
        }
        let (_, decimals, _) = self.issue(isin.as_str(), "unknown-issue")?;
        let quantity = units(*quantity, decimals)?;
        let amount = units(*amount, currency.minor_units())?;
        if quantity > LIMIT || amount > LIMIT {
            return Err("limit");
        }
        self.trades.push(ModelTrade {
            reference: reference.to_owned(),
            counterparty: counterparty.to_string(),
            side: *side,
            account: account.to_string(),
            isin: isin.to_string(),
            quantity,
            currency: currency.to_string(),
            amount,
            settled: false,
        });
        Ok("pending")
    }

    fn confirm(&mut self, caller: &str, reference: &str, account: &str) -> Answer {
        let mine =
            |trade: &&ModelTrade| trade.reference == reference && trade.counterparty == caller;
        if !self.trades.iter().any(|trade| mine(&trade)) {
            return Err("not-found");
        }
        self.owned(caller, account)?;
        let open = self
            .trades
            .iter()
            .position(|trade| mine(&trade) && !trade.settled);
        let place = open.ok_or("already-settled")?;
        let trade = &self.trades[place];
        let (seller, buyer) = match trade.side {
            Side::Sell => (trade.account.clone(), account.to_owned()),
            Side::Buy => (account.to_owned(), trade.account.clone()),
        };
        let (isin, quantity) = (trade.isin.clone(), trade.quantity);
        let (currency, amount) = (trade.currency.clone(), trade.amount);
        self.available(&seller, &isin, quantity, "LACK")?;
        self.available(&buyer, &currency, amount, "MONY")?;
        self.shift(&seller, &buyer, &isin, quantity);
        self.shift(&buyer, &seller, &currency, amount);
        self.trades[place].settled = true;
        Ok("settled")
    }

    fn issue(&self, isin: &str, code: &'static str) -> Result<(String, u8, String), &'static str> {
        self.issues.get(isin).cloned().ok_or(code)
    }

    fn owned(&self, caller: &str, account: &str) -> Result<(), &'static str> {
        if self
            .owners
            .get(account)
            .is_some_and(|owner| owner == caller)
        {
            Ok(())
        } else {
            Err("not-found")
        }
    }

    fn exists(&self, account: &str) -> Result<(), &'static str> {
        if self.owners.contains_key(account) {
            Ok(())
        } else {
            Err("unknown-account")
        }
    }

    fn available(
        &self,
        account: &str,
        asset: &str,
        number: i128,
        lacking: &'static str,
    ) -> Result<(), &'static str> {
        let held = self.now.held.get(&(account.to_owned(), asset.to_owned()));
        if held.copied().unwrap_or(0) >= number {
            Ok(())
        } else {
            Err(lacking)
        }
    }

    fn shift(&mut self, from: &str, to: &str, asset: &str, number: i128) {
        *self
            .now
            .held
            .entry((from.to_owned(), asset.to_owned()))
            .or_default() -= number;
        *self
            .now
            .held
            .entry((to.to_owned(), asset.to_owned()))
            .or_default() += number;
    }

    fn create(&mut self, account: &str, asset: &str, number: i128) -> Answer {
        let total = self.now.totals.get(asset).copied().unwrap_or(0) + number;
        if total > LIMIT {
            return Err("limit");
        }
        self.now.totals.insert(asset.to_owned(), total);
        *self
            .now
            .held
            .entry((account.to_owned(), asset.to_owned()))
            .or_default() += number;
        Ok("settled")
    }

    /// The state at a record time, with its height where the rules fix one.
    pub fn as_of(&self, time: RecordTime) -> Option<(Option<u64>, &Snapshot)> {
        let current = u64::try_from(self.ends.len()).unwrap();
        let end = |height: u64| match self.ends.get(usize::try_from(height).unwrap()) {
            Some((_, snapshot)) => snapshot,
            None => &self.now,
        };
        match time {
            RecordTime::Now => Some((Some(current), &self.now)),
            RecordTime::Height(height) if height > current => None,
            RecordTime::Height(height) => Some((Some(height), end(height))),
            RecordTime::Time(time) => {
                let height = (1..=current)
                    .rev()
                    .find(
                        |height| match self.ends.get(usize::try_from(*height).unwrap()) {
                            Some((block_time, _)) => *block_time <= time,
                            None => self.block_time <= time,
                        },
                    )
                    .unwrap_or(0);
                Some((Some(height), end(height)))
            }
            RecordTime::Date(date) => {
                let later = self.days.iter().find(|(opened, _)| *opened > date);
                Some((None, later.map_or(&self.now, |(_, before)| before)))
            }
        }
    }
}
