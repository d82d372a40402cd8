//! What each order does.

use super::forms::Form;
use super::{
    Account, Issue, Judged, LIMIT, MALFORMED, Member, Model, NOT_FOUND, NOT_PERMITTED, PENDING,
    SETTLED, Trade, Verdict, rejected, values,
};

impl Model {
    pub(super) fn apply(&mut self, caller: &str, verb: &str, form: &Form) -> Judged<Verdict> {
        match verb {
            "enrol" => self.enrol(form),
            "open-day" => self.open_day(form),
            "register-issue" => self.register_issue(form),
            "issue-units" => self.issue_units(form),
            "open-account" => self.open_account(caller, form),
            "allocate" => self.allocate(form),
            "mint-cash" => self.mint_cash(caller, form),
            "transfer" => self.transfer(caller, form),
            "record-trade" => self.record_trade(caller, form),
            "confirm-trade" => self.confirm_trade(caller, form),
            "grant-mandate" => self.mandate(caller, form, true),
            "revoke-mandate" => self.mandate(caller, form, false),
            "locked-in-trade" => self.locked_in_trade(caller, form),
            "dividend" => self.dividend(form),
            "split" => self.split(form),
            _ => Err(MALFORMED),
        }
    }

    fn enrol(&mut self, form: &Form) -> Judged<Verdict> {
        let name = form.text("name");
        if self.members.contains_key(name) {
            return Err(rejected("taken"));
        }
        let role = form.text("role").to_owned();
        let organisation = form.text("organisation").to_owned();
        self.members
            .insert(name.to_owned(), Member { role, organisation });
        Ok(SETTLED)
    }

    fn open_day(&mut self, form: &Form) -> Judged<Verdict> {
        // Dates in this form sort as text.
        let date = form.text("date").to_owned();
        if self.date.as_ref().is_some_and(|now| *now >= date) {
            return Err(rejected("date-not-forward"));
        }
        self.closes.push((date.clone(), self.now.clone()));
        self.date = Some(date);
        Ok(SETTLED)
    }

    fn register_issue(&mut self, form: &Form) -> Judged<Verdict> {
        let issuer = form.text("issuer");
        let member = self
            .members
            .get(issuer)
            .filter(|member| member.role == "issuer");
        let holder = member
            .ok_or(rejected("unknown-issuer"))?
            .organisation
            .clone();
        let (isin, treasury) = (form.text("isin"), form.text("treasury"));
        if self.issues.contains_key(isin) || self.accounts.contains_key(treasury) {
            return Err(rejected("taken"));
        }
        let account = Account {
            owner: issuer.to_owned(),
            holder,
            treasury: true,
        };
        self.accounts.insert(treasury.to_owned(), account);
        let issue = Issue {
            issuer: issuer.to_owned(),
            decimals: u32::try_from(form.whole("decimals")).unwrap(),
            treasury: treasury.to_owned(),
        };
        self.issues.insert(isin.to_owned(), issue);
        Ok(SETTLED)
    }

    /// The issue and a quantity of it.
    fn issue_and_quantity(&self, form: &Form) -> Judged<(Issue, u128)> {
        let issue = self
            .issues
            .get(form.text("isin"))
            .ok_or(rejected("unknown-issue"))?;
        let quantity = form
            .number("quantity")
            .units(issue.decimals)
            .ok_or(MALFORMED)?;
        Ok((issue.clone(), quantity))
    }

    fn issue_units(&mut self, form: &Form) -> Judged<Verdict> {
        let (issue, quantity) = self.issue_and_quantity(form)?;
        let isin = form.text("isin").to_owned();
        let issued = self.now.issued.entry(isin.clone()).or_default();
        if *issued + quantity > LIMIT {
            return Err(rejected("limit"));
        }
        *issued += quantity;
        *self.now.units.entry((isin, issue.treasury)).or_default() += quantity;
        Ok(SETTLED)
    }

    fn open_account(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        let account = form.text("account");
        if self.accounts.contains_key(account) {
            return Err(rejected("taken"));
        }
        let holder = form.text("holder").to_owned();
        let entry = Account {
            owner: caller.to_owned(),
            holder,
            treasury: false,
        };
        self.accounts.insert(account.to_owned(), entry);
        Ok(SETTLED)
    }

    fn allocate(&mut self, form: &Form) -> Judged<Verdict> {
        let isin = form.text("isin");
        let issue = self
            .issues
            .get(isin)
            .ok_or(rejected("unknown-issue"))?
            .clone();
        self.known(form.text("account"))?;
        let (_, quantity) = self.issue_and_quantity(form)?;
        self.move_units(isin, &issue.treasury, form.text("account"), quantity)?;
        Ok(SETTLED)
    }

    fn mint_cash(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        let currency = form.text("currency");
        let (agent, total) = self
            .minted
            .get(currency)
            .cloned()
            .unwrap_or_else(|| (caller.to_owned(), 0));
        if agent != caller {
            return Err(NOT_PERMITTED);
        }
        self.known(form.text("account"))?;
        let amount = form.money("amount");
        if total + amount > LIMIT {
            return Err(rejected("limit"));
        }
        self.minted
            .insert(currency.to_owned(), (agent, total + amount));
        let key = (currency.to_owned(), form.text("account").to_owned());
        *self.money.entry(key).or_default() += amount;
        Ok(SETTLED)
    }

    fn known(&self, account: &str) -> Judged<()> {
        let known = self.accounts.contains_key(account);
        known.then_some(()).ok_or(rejected("unknown-account"))
    }

    fn own(&self, caller: &str, account: &str) -> Judged<()> {
        let entry = self.accounts.get(account).ok_or(NOT_FOUND)?;
        (entry.owner == caller && !entry.treasury)
            .then_some(())
            .ok_or(NOT_FOUND)
    }

    fn move_units(&mut self, isin: &str, from: &str, to: &str, quantity: u128) -> Judged<()> {
        let key = |account: &str| (isin.to_owned(), account.to_owned());
        let held = self.now.units.entry(key(from)).or_default();
        *held = held.checked_sub(quantity).ok_or(rejected("LACK"))?;
        *self.now.units.entry(key(to)).or_default() += quantity;
        Ok(())
    }

    fn move_money(&mut self, currency: &str, from: &str, to: &str, amount: u128) -> Judged<()> {
        let key = |account: &str| (currency.to_owned(), account.to_owned());
        let held = self.money.entry(key(from)).or_default();
        *held = held.checked_sub(amount).ok_or(rejected("MONY"))?;
        *self.money.entry(key(to)).or_default() += amount;
        Ok(())
    }

    fn transfer(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        let (from, to) = (form.text("from"), form.text("to"));
        self.own(caller, from)?;
        self.known(to)?;
        if form.text("isin").is_empty() {
            self.move_money(form.text("currency"), from, to, form.money("amount"))?;
        } else {
            let (_, quantity) = self.issue_and_quantity(form)?;
            self.move_units(form.text("isin"), from, to, quantity)?;
        }
        Ok(SETTLED)
    }

    fn record_trade(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        self.own(caller, form.text("account"))?;
        let counterparty = self.members.get(form.text("counterparty"));
        if counterparty.is_none_or(|member| member.role != "firm") {
            return Err(rejected("unknown-counterparty"));
        }
        let (_, quantity) = self.issue_and_quantity(form)?;
        self.trades.push(Trade {
            id: form.text("id").to_owned(),
            recorder: caller.to_owned(),
            side: form.text("side").to_owned(),
            account: form.text("account").to_owned(),
            counterparty: form.text("counterparty").to_owned(),
            counterparty_account: None,
            isin: form.text("isin").to_owned(),
            quantity,
            currency: form.text("currency").to_owned(),
            amount: form.money("amount"),
            venue: None,
        });
        Ok(PENDING)
    }

    fn mandate(&mut self, caller: &str, form: &Form, in_force: bool) -> Judged<Verdict> {
        let venue = form.text("venue").to_owned();
        if !self.members.contains_key(&venue) {
            return Err(rejected("unknown-venue"));
        }
        let key = (caller.to_owned(), venue);
        if in_force {
            self.mandates.insert(key);
        } else {
            self.mandates.remove(&key);
        }
        Ok(SETTLED)
    }

    /// The firm that keeps an account and gave the venue its mandate.
    fn mandating(&self, venue: &str, account: &str) -> Judged<String> {
        let entry = self.accounts.get(account).ok_or(NOT_FOUND)?;
        let key = (entry.owner.clone(), venue.to_owned());
        if entry.treasury || !self.mandates.contains(&key) {
            return Err(NOT_FOUND);
        }
        Ok(key.0)
    }

    fn locked_in_trade(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        let (seller, buyer) = (form.text("seller_account"), form.text("buyer_account"));
        let recorder = self.mandating(caller, seller)?;
        let counterparty = self.mandating(caller, buyer)?;
        let (_, quantity) = self.issue_and_quantity(form)?;
        let amount = form.money("amount");
        if quantity > LIMIT || amount > LIMIT {
            return Err(rejected("limit"));
        }
        let (isin, currency) = (form.text("isin"), form.text("currency"));
        self.move_units(isin, seller, buyer, quantity)?;
        self.move_money(currency, buyer, seller, amount)?;
        self.trades.push(Trade {
            id: form.text("id").to_owned(),
            recorder,
            side: "sell".to_owned(),
            account: seller.to_owned(),
            counterparty,
            counterparty_account: Some(buyer.to_owned()),
            isin: isin.to_owned(),
            quantity,
            currency: currency.to_owned(),
            amount,
            venue: Some(caller.to_owned()),
        });
        Ok(SETTLED)
    }

    fn confirm_trade(&mut self, caller: &str, form: &Form) -> Judged<Verdict> {
        let named = |trade: &&mut Trade| {
            let mine = trade.id == form.text("id") && trade.counterparty == caller;
            mine && trade.venue.is_none()
        };
        let mut matching: Vec<&mut Trade> = self.trades.iter_mut().filter(named).collect();
        if matching.is_empty() {
            return Err(NOT_FOUND);
        }
        let open = matching
            .iter_mut()
            .find(|trade| trade.counterparty_account.is_none());
        let open = open.map(|trade| {
            let before = trade.clone();
            trade.counterparty_account = Some(form.text("account").to_owned());
            before
        });
        self.own(caller, form.text("account"))?;
        let trade = open.ok_or(rejected("already-settled"))?;
        let (mut seller, mut buyer) = (trade.account.as_str(), form.text("account"));
        if trade.side == "buy" {
            std::mem::swap(&mut seller, &mut buyer);
        }
        self.move_units(&trade.isin, seller, buyer, trade.quantity)?;
        self.move_money(&trade.currency, buyer, seller, trade.amount)?;
        Ok(SETTLED)
    }

    fn dividend(&mut self, form: &Form) -> Judged<Verdict> {
        let isin = form.text("isin");
        let issue = self
            .issues
            .get(isin)
            .ok_or(rejected("unknown-issue"))?
            .clone();
        let past = self.past(&form.moment("record"))?;
        let (currency, per_unit) = (form.text("currency"), form.number("amount_per_unit"));
        let minor = 10_u128.pow(values::currency_decimals(currency).unwrap());
        let below = 10_u128.pow(issue.decimals + per_unit.decimals);
        let payments: Vec<(String, u128)> = past
            .units
            .iter()
            .filter(|((of, account), _)| of == isin && *account != issue.treasury)
            .map(|((_, account), units)| (account.clone(), units * per_unit.digits * minor / below))
            .collect();
        let sum: u128 = payments.iter().map(|(_, amount)| amount).sum();
        let key = (currency.to_owned(), issue.treasury.clone());
        if self.money.get(&key).copied().unwrap_or_default() < sum {
            return Err(rejected("MONY"));
        }
        for (account, amount) in payments {
            self.move_money(currency, &issue.treasury, &account, amount)?;
        }
        Ok(SETTLED)
    }

    fn split(&mut self, form: &Form) -> Judged<Verdict> {
        let isin = form.text("isin");
        self.issues.get(isin).ok_or(rejected("unknown-issue"))?;
        let (new, old) = (u128::from(form.whole("new")), u128::from(form.whole("old")));
        let mut sum = 0;
        for ((of, _), units) in &mut self.now.units {
            if of == isin {
                *units = *units * new / old;
                sum += *units;
            }
        }
        if sum > LIMIT {
            return Err(rejected("limit"));
        }
        self.now.issued.insert(isin.to_owned(), sum);
        Ok(SETTLED)
    }
}
