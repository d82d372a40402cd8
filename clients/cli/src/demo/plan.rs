//! What happens on every day of the year: a pure plan of orders, made from the real data and the
//! demo's own book.
//!
//! ```text
//! furnish -> [ day: open-day, dividends or the offering -> record trades -> confirm trades ] x 250
//! ```
//!
//! Orders come in rounds. The envelopes of a round are submitted at the same time, one per member,
//! and every outcome must be the same in whatever order the ledger takes them.
//!
//! INVARIANT: a day's trades spend only what their sellers and buyers had when the day's trading
//! began, so that no trade waits for another one of the same day.

use std::collections::BTreeMap;

use sealbook_securities::{
    AccountId, BusinessDate, CurrencyCode, Decimal, Instruction, IssueKind, LongName, RecordTime,
    Side, Status,
};

use crate::demo::book::Book;
use crate::demo::cast::{ADMIN, Account, BANK, Cast, Purpose};
use crate::demo::data::{Data, Dividend, Quote, Share, cost_cents};
use crate::demo::text::dollars;
use crate::error::{CliError, Result};

/// Real volumes are divided by this.
pub const VOLUME_SCALE: u64 = 1_000;
/// Sample number of units of each seasoned issue.
pub const SEASONED_UNITS: u64 = 10_000_000;
/// What each house account gets of them before the year.
const SEASONED_HOUSE: u64 = 1_200_000;
/// What each client account gets of them before the year; the rest stays in the treasury.
const SEASONED_CLIENT: u64 = 300_000;
/// Money on each house account before the year: USD 250 million.
const HOUSE_CENTS: u64 = 25_000_000_000;
/// Money on each client account before the year: USD 100 million.
const CLIENT_CENTS: u64 = 10_000_000_000;
/// The last business day before the year, on which everything is made ready.
const EVE: (u16, u8, u8) = (2011, 12, 30);

/// An order and what must come of it.
#[derive(Debug, Clone)]
pub struct Order {
    /// The submitter's reference; generated if there is none.
    pub reference: Option<String>,
    /// What to do.
    pub instruction: Instruction,
    /// What must come of it.
    pub expected: Status,
}

/// Orders by member, to be submitted at the same time.
pub type Round = BTreeMap<String, Vec<Order>>;

/// One trade.
#[derive(Debug, Clone)]
pub struct Trade {
    /// Its reference.
    pub reference: String,
    /// The share, by its place.
    pub share: usize,
    /// How many units.
    pub units: u64,
    /// The payment.
    pub cents: u64,
    /// The selling account, by its place.
    pub seller: usize,
    /// The buying account, by its place.
    pub buyer: usize,
}

/// One day.
#[derive(Debug)]
pub struct Day {
    /// The date.
    pub date: BusinessDate,
    /// What comes before the day's trading.
    pub before: Vec<Round>,
    /// The recording of the day's trades.
    pub record: Round,
    /// Their confirmation.
    pub confirm: Round,
    /// All trades, those of the offering included.
    pub trades: Vec<Trade>,
    /// What else happened, in words.
    pub events: Vec<String>,
    /// Dividends paid, in cents.
    pub dividend_cents: u64,
}

/// The plan, as far as it has been made.
pub struct Plan {
    /// The data.
    pub data: Data,
    /// Everybody.
    pub cast: Cast,
    /// Who holds what after all that was planned so far.
    pub book: Book,
    /// The money of all trades.
    pub usd: CurrencyCode,
    previous: BusinessDate,
}

fn too_large<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| CliError::new("a number of the demo's plan is too large"))
}

/// A number of shares.
pub fn whole(units: u64) -> Result<Decimal> {
    too_large(Decimal::new(units, 0))
}

/// An amount in cents.
pub fn money(cents: u64) -> Result<Decimal> {
    too_large(Decimal::new(cents, 2))
}

/// An order that must settle.
pub const fn settled(instruction: Instruction) -> Order {
    Order {
        reference: None,
        instruction,
        expected: Status::Settled,
    }
}

/// Adds an order to a member's envelope.
pub fn add(round: &mut Round, member: &str, order: Order) {
    round.entry(member.to_owned()).or_default().push(order);
}

/// A number that looks random and is the same in every run (SplitMix64).
fn draw(day: BusinessDate, share: usize, trade: u64) -> u64 {
    let day = u64::from(day.month()) * 100 + u64::from(day.day());
    let seed = (day * 10 + share as u64) * 100 + trade;
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Three or four trades that make up a day's volume by the scale.
fn sizes(date: BusinessDate, quote: &Quote) -> Vec<u64> {
    let count = 3 + draw(date, quote.share, 90) % 2;
    let total = (quote.volume / VOLUME_SCALE).max(count);
    let weights: Vec<u64> = (0..count)
        .map(|n| 2 + draw(date, quote.share, 80 + n) % 5)
        .collect();
    let sum: u64 = weights.iter().sum();
    let mut parts: Vec<u64> = weights
        .iter()
        .map(|weight| (total * weight / sum).max(1))
        .collect();
    let rest = total.saturating_sub(parts.iter().sum());
    if let Some(first) = parts.first_mut() {
        *first += rest;
    }
    parts
}

impl Plan {
    /// A plan for the data, with empty books.
    ///
    /// # Errors
    /// The data or the names are not of their form, which a test excludes.
    pub fn new() -> Result<Self> {
        let data = Data::read()?;
        let cast = Cast::new(&data)?;
        let usd = CurrencyCode::new("USD").map_err(CliError::new)?;
        let (year, month, day) = EVE;
        let previous = too_large(BusinessDate::new(year, month, day))?;
        Ok(Self {
            data,
            cast,
            book: Book::default(),
            usd,
            previous,
        })
    }

    /// Before the year: the four seasoned issues, their first holders, everybody's money. All
    /// accounts are open by then.
    ///
    /// # Errors
    /// A number does not fit, which a test excludes.
    pub fn furnish(&mut self) -> Result<Vec<Round>> {
        let (mut issue, mut allocate) = (Round::new(), Round::new());
        add(
            &mut issue,
            ADMIN,
            settled(Instruction::OpenDay {
                date: self.previous,
            }),
        );
        for share in 0..self.data.shares.len() {
            if share == self.data.offering.share {
                continue;
            }
            self.issue(&mut issue, share, SEASONED_UNITS)?;
            let treasury = self.cast.treasury(share)?;
            let isin = self.data.share(share)?.isin;
            for account in &self.cast.accounts {
                let units = match account.purpose {
                    Purpose::House => SEASONED_HOUSE,
                    Purpose::Client => SEASONED_CLIENT,
                    Purpose::Offering => continue,
                };
                let (account, quantity) = (account.id, whole(units)?);
                add(
                    &mut allocate,
                    ADMIN,
                    settled(Instruction::Allocate {
                        isin,
                        account,
                        quantity,
                    }),
                );
                self.book.move_units(isin, treasury, account, units)?;
            }
            let cents = self.dividends_of_the_year(share)?;
            if cents > 0 {
                self.mint(&mut allocate, treasury, cents)?;
            }
        }
        for account in self.cast.accounts.clone() {
            match account.purpose {
                Purpose::House => self.mint(&mut allocate, account.id, HOUSE_CENTS)?,
                Purpose::Client => self.mint(&mut allocate, account.id, CLIENT_CENTS)?,
                Purpose::Offering => {}
            }
        }
        Ok(vec![issue, allocate])
    }

    /// How many units of a share are outside its treasury.
    ///
    /// # Errors
    /// There is no such share.
    pub fn allocated(&self, share: usize) -> Result<u64> {
        let (isin, treasury) = (self.data.share(share)?.isin, self.cast.treasury(share)?);
        let issued: u64 = self.book.holders(isin).values().sum();
        Ok(issued - self.book.units(treasury, isin))
    }

    /// What the year's dividends on a seasoned share cost, for all units outside the treasury.
    fn dividends_of_the_year(&self, share: usize) -> Result<u64> {
        let units = self.allocated(share)?;
        let mut cents = 0;
        for dividend in self
            .data
            .dividends
            .iter()
            .filter(|dividend| dividend.share == share)
        {
            cents += dividend_cents(units, dividend.per_share)?;
        }
        Ok(cents)
    }

    /// Registers an issue and creates its units.
    ///
    /// # Errors
    /// A number does not fit, which a test excludes.
    pub fn issue(&mut self, round: &mut Round, share: usize, units: u64) -> Result<()> {
        let treasury = self.cast.treasury(share)?;
        let issuer = self.cast.issuers.get(share).copied();
        let issuer = issuer.ok_or_else(|| CliError::new("the demo lacks an issuer"))?;
        let Share { isin, company, .. } = self.data.share(share)?;
        let name = LongName::new(company).map_err(CliError::new)?;
        let register = Instruction::RegisterIssue {
            isin: *isin,
            issuer,
            name,
            kind: IssueKind::Equity,
            decimals: 0,
            currency: self.usd,
            treasury,
        };
        add(round, ADMIN, settled(register));
        let quantity = whole(units)?;
        add(
            round,
            ADMIN,
            settled(Instruction::IssueUnits {
                isin: *isin,
                quantity,
            }),
        );
        self.book.issue(treasury, *isin, units);
        Ok(())
    }

    /// Creates money.
    ///
    /// # Errors
    /// A number does not fit, which a test excludes.
    pub fn mint(&mut self, round: &mut Round, account: AccountId, cents: u64) -> Result<()> {
        let (currency, amount) = (self.usd, money(cents)?);
        add(
            round,
            BANK,
            settled(Instruction::MintCash {
                currency,
                account,
                amount,
            }),
        );
        self.book.mint(account, cents);
        Ok(())
    }

    /// The next trading day.
    ///
    /// # Errors
    /// Nobody has enough for a trade, which a test excludes.
    pub fn day(&mut self, date: BusinessDate) -> Result<Day> {
        let mut opening = Round::new();
        add(&mut opening, ADMIN, settled(Instruction::OpenDay { date }));
        let mut day = Day {
            date,
            before: Vec::new(),
            record: Round::new(),
            confirm: Round::new(),
            trades: Vec::new(),
            events: Vec::new(),
            dividend_cents: 0,
        };
        for dividend in self.data.dividends.clone() {
            if dividend.date == date {
                self.pay_dividend(&mut opening, &mut day, &dividend)?;
            }
        }
        day.before.push(opening);
        if self.data.offering.date == date {
            self.offer(&mut day)?;
        }
        let quotes = self.data.days.get(&date).cloned().unwrap_or_default();
        let trades = self.trades(date, &quotes)?;
        let (mut record, mut confirm) = (Round::new(), Round::new());
        for trade in &trades {
            self.trade(&mut record, &mut confirm, trade)?;
        }
        (day.record, day.confirm) = (record, confirm);
        day.trades.extend(trades);
        self.previous = date;
        Ok(day)
    }

    /// Pays those who held the share at the close of the business day before: the book has not
    /// moved since.
    fn pay_dividend(
        &mut self,
        round: &mut Round,
        day: &mut Day,
        dividend: &Dividend,
    ) -> Result<()> {
        let Share { ticker, isin, .. } = self.data.share(dividend.share)?.clone();
        let instruction = Instruction::Dividend {
            isin,
            amount_per_unit: dividend.per_share,
            currency: self.usd,
            record: RecordTime::Date(self.previous),
        };
        let reference = Some(format!("{ticker}-DIVIDEND-{}", day.date));
        add(
            round,
            ADMIN,
            Order {
                reference,
                instruction,
                expected: Status::Settled,
            },
        );
        let treasury = self.cast.treasury(dividend.share)?;
        let (mut paid, mut holders) = (0, 0);
        for (account, units) in self.book.holders(isin) {
            if account != treasury {
                let cents = dividend_cents(units, dividend.per_share)?;
                self.book.move_cents(treasury, account, cents)?;
                (paid, holders) = (paid + cents, holders + 1);
            }
        }
        day.dividend_cents += paid;
        day.events.push(format!(
            "{ticker} pays USD {} a share: {} to {holders} accounts, as of the close of {}",
            dividend.per_share,
            dollars(paid),
            self.previous,
        ));
        Ok(())
    }

    /// The day's trades: who sells to whom changes from trade to trade and is the same in every
    /// run.
    fn trades(&self, date: BusinessDate, quotes: &[Quote]) -> Result<Vec<Trade>> {
        // What may still be spent today: nothing that comes in today is added.
        let mut free = self.book.clone();
        let sink = self.cast.treasury(0)?;
        let count = self.cast.accounts.len();
        let mut trades = Vec::new();
        for quote in quotes {
            let share = self.data.share(quote.share)?;
            for (number, units) in (1..).zip(sizes(date, quote)) {
                let chance = draw(date, quote.share, number);
                let cents = cost_cents(units, quote.close);
                let from = |start: u64| {
                    let start = usize::try_from(start % count as u64).unwrap_or(0);
                    let places = (start..count).chain(0..start);
                    places.filter_map(|place| Some((place, self.cast.accounts.get(place)?)))
                };
                let dealing = |account: &Account| account.purpose != Purpose::Offering;
                let seller = from(chance).find(|(_, account)| {
                    dealing(account) && free.units(account.id, share.isin) >= units
                });
                let nobody = |what: &str| {
                    CliError::new(format!(
                        "the demo's plan finds nobody who can {what} on {date}"
                    ))
                };
                let (seller, selling) = seller.ok_or_else(|| nobody("sell"))?;
                let buyer = from(chance >> 32).find(|(_, account)| {
                    dealing(account)
                        && account.firm != selling.firm
                        && free.cents(account.id) >= cents
                });
                let (buyer, buying) = buyer.ok_or_else(|| nobody("buy"))?;
                free.move_units(share.isin, selling.id, sink, units)?;
                free.move_cents(buying.id, sink, cents)?;
                let reference = format!("{}-{date}-{number}", share.ticker);
                trades.push(Trade {
                    reference,
                    share: quote.share,
                    units,
                    cents,
                    seller,
                    buyer,
                });
            }
        }
        Ok(trades)
    }

    /// Adds a trade's two orders to two rounds, and settles it in the book.
    ///
    /// # Errors
    /// Somebody has too little, which a test excludes.
    pub fn trade(&mut self, record: &mut Round, confirm: &mut Round, trade: &Trade) -> Result<()> {
        let isin = self.data.share(trade.share)?.isin;
        let (seller, buyer) = (
            self.cast.account(trade.seller)?,
            self.cast.account(trade.buyer)?,
        );
        let (selling, buying) = (self.cast.firm(seller.firm)?, self.cast.firm(buyer.firm)?);
        let instruction = Instruction::RecordTrade {
            side: Side::Sell,
            account: seller.id,
            counterparty: buying,
            isin,
            quantity: whole(trade.units)?,
            currency: self.usd,
            amount: money(trade.cents)?,
        };
        let reference = Some(trade.reference.clone());
        add(
            record,
            selling.as_str(),
            Order {
                reference,
                instruction,
                expected: Status::Pending,
            },
        );
        let name = trade.reference.parse().map_err(CliError::new)?;
        let instruction = Instruction::ConfirmTrade {
            trade: name,
            account: buyer.id,
        };
        add(confirm, buying.as_str(), settled(instruction));
        let (seller, buyer) = (seller.id, buyer.id);
        self.book.move_units(isin, seller, buyer, trade.units)?;
        self.book.move_cents(buyer, seller, trade.cents)
    }
}

/// What `units` get at `per_share` dollars each, in cents, rounded down.
fn dividend_cents(units: u64, per_share: Decimal) -> Result<u64> {
    let product = u128::from(units) * u128::from(per_share.digits()) * 100;
    let divisor = too_large(10u128.checked_pow(u32::from(per_share.scale())))?;
    too_large(
        product
            .checked_div(divisor)
            .and_then(|cents| u64::try_from(cents).ok()),
    )
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
