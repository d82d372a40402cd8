//! The market data of 2012, compiled into the program. `data/README.md` explains every column.

use std::collections::BTreeMap;
use std::str::FromStr;

use sealbook_identity::Lei;
use sealbook_securities::{BusinessDate, Decimal, Isin};

use crate::error::{CliError, Result};

const ISSUERS: &str = include_str!("../../data/issuers-2012.csv");
const PRICES: &str = include_str!("../../data/prices-2012.csv");
const ACTIONS: &str = include_str!("../../data/actions-2012.csv");
/// Prices have up to four decimals and are kept in ten-thousandths of a dollar.
const PRICE_DECIMALS: u8 = 4;

/// One of the five shares.
#[derive(Debug, Clone)]
pub struct Share {
    /// How the exchanges call it.
    pub ticker: String,
    /// Its number.
    pub isin: Isin,
    /// The company.
    pub company: String,
    /// The company's LEI.
    pub lei: Lei,
}

/// A share's day at the exchanges.
#[derive(Debug, Clone, Copy)]
pub struct Quote {
    /// Which share, by its place in [`Data::shares`].
    pub share: usize,
    /// Last price, in ten-thousandths of a dollar.
    pub close: u64,
    /// Shares that changed hands.
    pub volume: u64,
}

/// A cash dividend.
#[derive(Debug, Clone, Copy)]
pub struct Dividend {
    /// Which share.
    pub share: usize,
    /// Ex date.
    pub date: BusinessDate,
    /// Dollars for one share.
    pub per_share: Decimal,
}

/// The initial public offering.
#[derive(Debug, Clone, Copy)]
pub struct Offering {
    /// Which share.
    pub share: usize,
    /// First day of trading.
    pub date: BusinessDate,
    /// Shares sold.
    pub units: u64,
    /// Price of one, in cents.
    pub price_cents: u64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Data {
    /// The shares, in the order of the file.
    pub shares: Vec<Share>,
    /// The trading days, with the quotes of each.
    pub days: BTreeMap<BusinessDate, Vec<Quote>>,
    /// The dividends.
    pub dividends: Vec<Dividend>,
    /// The offering.
    pub offering: Offering,
}

fn wrong(line: &str) -> CliError {
    CliError::new(format!("the demo's own data has a wrong line: `{line}`"))
}

fn parse<T: FromStr>(line: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| wrong(line))
}

/// A decimal in units of `10^-decimals`.
fn units(line: &str, text: &str, decimals: u8) -> Result<u64> {
    let decimal: Decimal = parse(line, text)?;
    let units = decimal
        .units(decimals)
        .and_then(|units| u64::try_from(units).ok());
    units.ok_or_else(|| wrong(line))
}

fn rows<const COLUMNS: usize>(text: &str) -> impl Iterator<Item = Result<(&str, [&str; COLUMNS])>> {
    text.lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Ok((
                line,
                <[&str; COLUMNS]>::try_from(fields).map_err(|_| wrong(line))?,
            ))
        })
}

impl Data {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them has a line that is not of its form, which a test excludes.
    pub fn read() -> Result<Self> {
        let mut shares = Vec::new();
        for row in rows(ISSUERS) {
            let (line, [ticker, isin, company, lei]) = row?;
            // What stands in brackets is a remark, not a part of the name.
            let company = company.split(" (").next().unwrap_or(company).to_owned();
            let (isin, lei) = (parse(line, isin)?, parse(line, lei)?);
            shares.push(Share {
                ticker: ticker.to_owned(),
                isin,
                company,
                lei,
            });
        }
        let days = read_days(&shares)?;
        let (dividends, offering) = read_actions(&shares)?;
        Ok(Self {
            shares,
            days,
            dividends,
            offering,
        })
    }

    /// The share at a place.
    ///
    /// # Errors
    /// There is none.
    pub fn share(&self, place: usize) -> Result<&Share> {
        self.shares
            .get(place)
            .ok_or_else(|| CliError::new("the demo's own data lacks a share"))
    }
}

fn place_of(shares: &[Share], line: &str, ticker: &str) -> Result<usize> {
    shares
        .iter()
        .position(|share| share.ticker == ticker)
        .ok_or_else(|| wrong(line))
}

fn read_days(shares: &[Share]) -> Result<BTreeMap<BusinessDate, Vec<Quote>>> {
    let mut days: BTreeMap<BusinessDate, Vec<Quote>> = BTreeMap::new();
    for row in rows(PRICES) {
        let (line, [ticker, date, close, volume]) = row?;
        let share = place_of(shares, line, ticker)?;
        let close = units(line, close, PRICE_DECIMALS)?;
        let quote = Quote {
            share,
            close,
            volume: parse(line, volume)?,
        };
        days.entry(parse(line, date)?).or_default().push(quote);
    }
    Ok(days)
}

fn read_actions(shares: &[Share]) -> Result<(Vec<Dividend>, Offering)> {
    let mut dividends = Vec::new();
    let mut offering = None;
    for row in rows(ACTIONS) {
        let (line, [_, ticker, kind, date, per_share, units_sold, price]) = row?;
        let (share, date) = (place_of(shares, line, ticker)?, parse(line, date)?);
        match kind {
            "cash dividend" => {
                dividends.push(Dividend {
                    share,
                    date,
                    per_share: parse(line, per_share)?,
                });
            }
            "initial public offering" => {
                let (units_sold, price_cents) = (parse(line, units_sold)?, units(line, price, 2)?);
                offering = Some(Offering {
                    share,
                    date,
                    units: units_sold,
                    price_cents,
                });
            }
            _ => return Err(wrong(line)),
        }
    }
    let offering = offering.ok_or_else(|| CliError::new("the demo's own data has no offering"))?;
    Ok((dividends, offering))
}

/// What `units` cost at a price in ten-thousandths of a dollar, in cents, rounded to the nearest.
pub const fn cost_cents(units: u64, price: u64) -> u64 {
    (units * price + 50) / 100
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_whole() {
        let data = Data::read().unwrap();
        let tickers: Vec<_> = data
            .shares
            .iter()
            .map(|share| share.ticker.as_str())
            .collect();
        assert_eq!(tickers, ["AAPL", "GOOG", "IBM", "MSFT", "FB"]);
        assert_eq!(data.shares[1].company, "Google Inc.");
        assert_eq!(data.days.len(), 250);
        assert_eq!(
            data.days.values().map(Vec::len).sum::<usize>(),
            4 * 250 + 155
        );
        assert_eq!(data.dividends.len(), 10);
        assert_eq!(
            (data.offering.units, data.offering.price_cents),
            (421_233_615, 3800)
        );
        let (first, quotes) = data.days.first_key_value().unwrap();
        assert_eq!(
            (first.to_string().as_str(), quotes.len()),
            ("2012-01-03", 4)
        );
        assert_eq!((quotes[0].close, quotes[0].volume), (4_112_300, 10_793_600));
    }

    #[test]
    fn every_event_falls_on_a_trading_day_with_one_before_it() {
        let data = Data::read().unwrap();
        for date in data
            .dividends
            .iter()
            .map(|dividend| dividend.date)
            .chain([data.offering.date])
        {
            assert!(data.days.contains_key(&date), "{date}");
            assert!(data.days.range(..date).next().is_some(), "{date}");
        }
        let listed = |quotes: &Vec<Quote>| {
            quotes
                .iter()
                .any(|quote| quote.share == data.offering.share)
        };
        let first = data.days.iter().find(|(_, quotes)| listed(quotes)).unwrap();
        assert_eq!(*first.0, data.offering.date);
    }

    #[test]
    fn costs_round_to_the_nearest_cent() {
        assert_eq!(cost_cents(100, 4_112_300), 4_112_300);
        assert_eq!(cost_cents(1, 382_318), 3823);
        assert_eq!(cost_cents(1, 382_350), 3824);
        assert_eq!(cost_cents(0, 382_350), 0);
    }
}
