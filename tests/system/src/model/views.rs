//! What each question is answered.

use serde_json::{Value, json};

use super::forms::Form;
use super::values::{currency_decimals, shown};
use super::{Judged, MALFORMED, Model, NOT_FOUND, Past, rejected};

impl Model {
    pub(super) fn ask(
        &self,
        caller: &str,
        role: &str,
        verb: &str,
        form: &Form,
    ) -> Judged<Option<Value>> {
        let everything = role == "admin" || role == "regulator";
        Ok(Some(match verb {
            "registry" => self.registry(caller, everything, form)?,
            "holdings" => self.holdings(caller, everything),
            "trades" => self.trades(caller, everything),
            "audit" => self.audit(),
            _ => return Ok(None),
        }))
    }

    /// The state at a moment.
    pub(super) fn past(&self, moment: &Value) -> Judged<Past> {
        if let Some(past) = self.moments.get(&moment.to_string()) {
            return Ok(past.clone());
        }
        if let Some(line) = moment["line"].as_u64() {
            return self.lines.get(&line).cloned().ok_or(MALFORMED);
        }
        if let Some(date) = moment["date"].as_str() {
            let close = self
                .closes
                .iter()
                .find(|(opened, _)| opened.as_str() > date);
            return Ok(close.map_or_else(|| self.now.clone(), |(_, past)| past.clone()));
        }
        if let Some(height) = moment["height"].as_u64() {
            return if height == 0 {
                Ok(Past::default())
            } else {
                Err(rejected("unknown-record-time"))
            };
        }
        match moment["time"].as_str() {
            Some(long_ago) if long_ago < "2001" => Ok(Past::default()),
            _ => Ok(self.now.clone()),
        }
    }

    fn registry(&self, caller: &str, everything: bool, form: &Form) -> Judged<Value> {
        let isin = form.text("isin");
        let issue = self.issues.get(isin).ok_or(NOT_FOUND)?;
        if !everything && issue.issuer != caller {
            return Err(NOT_FOUND);
        }
        let past = self.past(&form.moment("as_of"))?;
        let mut treasury = 0;
        let mut rows = Vec::new();
        for ((of, account), units) in &past.units {
            if of != isin || *units == 0 {
                continue;
            }
            if *account == issue.treasury {
                treasury = *units;
                continue;
            }
            let entry = &self.accounts[account];
            rows.push((
                entry.holder.clone(),
                *units,
                account.clone(),
                entry.owner.clone(),
            ));
        }
        let text = |units: u128| shown(units, issue.decimals);
        if everything {
            rows.sort_by(|left, right| left.2.cmp(&right.2));
        } else {
            rows.sort();
        }
        let holders: Vec<Value> = rows
            .into_iter()
            .map(|(holder, units, account, firm)| {
                let quantity = text(units);
                if everything {
                    json!({"account": account, "holder": holder, "firm": firm, "quantity": quantity})
                } else {
                    json!({"holder": holder, "quantity": quantity})
                }
            })
            .collect();
        let issued = past.issued.get(isin).copied().unwrap_or_default();
        Ok(json!({
            "isin": isin,
            "issued": text(issued),
            "treasury": text(treasury),
            "holders": holders,
        }))
    }

    fn holdings(&self, caller: &str, everything: bool) -> Value {
        let mut accounts = Vec::new();
        for (id, account) in &self.accounts {
            if !everything && (account.owner != caller || account.treasury) {
                continue;
            }
            let mut assets = Vec::new();
            for ((isin, of), units) in &self.now.units {
                if of == id && *units > 0 {
                    assets.push((isin, *units, self.issues[isin].decimals));
                }
            }
            for ((currency, of), amount) in &self.money {
                if of == id && *amount > 0 {
                    assets.push((currency, *amount, currency_decimals(currency).unwrap()));
                }
            }
            assets.sort();
            let assets: Vec<Value> = assets
                .into_iter()
                .map(|(asset, units, decimals)| {
                    let (quantity, blocked) = (shown(units, decimals), shown(0, decimals));
                    json!({"asset": asset, "quantity": quantity, "blocked": blocked})
                })
                .collect();
            accounts.push(json!({"account": id, "holder": account.holder, "assets": assets}));
        }
        json!({ "accounts": accounts })
    }

    fn trades(&self, caller: &str, everything: bool) -> Value {
        let mut rows = Vec::new();
        for trade in &self.trades {
            let (recorder, other) = (trade.recorder == caller, trade.counterparty == caller);
            if !everything && !recorder && !other {
                continue;
            }
            let settled = trade.counterparty_account.is_some();
            let decimals = currency_decimals(&trade.currency).unwrap();
            let own = everything || recorder;
            let others = trade
                .counterparty_account
                .clone()
                .filter(|_| everything || other);
            let mut row = json!({
                "id": trade.id,
                "recorder": trade.recorder,
                "side": trade.side,
                "recorder_account": own.then(|| trade.account.clone()),
                "counterparty": trade.counterparty,
                "counterparty_account": others,
                "isin": trade.isin,
                "quantity": shown(trade.quantity, self.issues[&trade.isin].decimals),
                "currency": trade.currency,
                "amount": shown(trade.amount, decimals),
                "status": if settled { "settled" } else { "pending" },
            });
            if let Some(venue) = &trade.venue {
                row["venue"] = json!(venue);
            }
            rows.push(row);
        }
        json!({ "trades": rows })
    }

    fn audit(&self) -> Value {
        let mut issues = Vec::new();
        for (isin, issue) in &self.issues {
            let held: Vec<u128> = self
                .now
                .units
                .iter()
                .filter(|((of, account), units)| {
                    of == isin && *account != issue.treasury && **units > 0
                })
                .map(|(_, units)| *units)
                .collect();
            let key = (isin.clone(), issue.treasury.clone());
            let treasury = self.now.units.get(&key).copied().unwrap_or_default();
            let issued = self.now.issued.get(isin).copied().unwrap_or_default();
            let sum: u128 = held.iter().sum();
            assert_eq!(issued, treasury + sum, "the model itself loses units");
            issues.push(json!({
                "isin": isin,
                "issued": shown(issued, issue.decimals),
                "treasury": shown(treasury, issue.decimals),
                "held": shown(sum, issue.decimals),
                "holders": held.len(),
            }));
        }
        let mut currencies = Vec::new();
        for (currency, (agent, minted)) in &self.minted {
            let amounts = self.money.iter().filter(|((of, _), _)| of == currency);
            let sum: u128 = amounts.map(|(_, amount)| amount).sum();
            assert_eq!(*minted, sum, "the model itself loses money");
            let minted = shown(*minted, currency_decimals(currency).unwrap());
            currencies.push(json!({"currency": currency, "agent": agent, "minted": minted}));
        }
        let settled = self
            .trades
            .iter()
            .filter(|trade| trade.counterparty_account.is_some())
            .count();
        json!({
            "business_date": self.date,
            "issues": issues,
            "currencies": currencies,
            "members": self.members.len(),
            "accounts": self.accounts.len(),
            "trades_open": self.trades.len() - settled,
            "trades_settled": settled,
        })
    }
}
