//! The initial public offering: from the issuer to the underwriters, on to their clients, and the
//! proceeds to the issuer, all of it delivery against payment.

use sealbook_securities::{Asset, Instruction, MemberName, Status};

use crate::demo::cast::{ADMIN, Account, Purpose};
use crate::demo::data::Share;
use crate::demo::plan::{Day, Order, Plan, Round, Trade, add, money, settled, whole};
use crate::demo::text::{dollars, grouped};
use crate::error::{CliError, Result};

/// How many hundredths of the offered shares each underwriter takes, the leader first; the last
/// takes what is left.
const UNDERWRITTEN: [u64; 4] = [40, 20, 20, 20];
/// How many hundredths of its part an underwriter sells on to each of its clients.
const SOLD_ON: u64 = 15;

impl Plan {
    /// Adds the offering to its day.
    ///
    /// # Errors
    /// A number does not fit, which a test excludes.
    pub(super) fn offer(&mut self, day: &mut Day) -> Result<()> {
        let offering = self.data.offering;
        let Share { ticker, isin, .. } = self.data.share(offering.share)?.clone();
        let treasury = self.cast.treasury(offering.share)?;
        let (_, kept) = self.only(Purpose::Offering, None)?;
        let mut made = Round::new();
        self.issue(&mut made, offering.share, offering.units)?;
        let (account, quantity) = (kept.id, whole(offering.units)?);
        add(
            &mut made,
            ADMIN,
            settled(Instruction::Allocate {
                isin,
                account,
                quantity,
            }),
        );
        self.book
            .move_units(isin, treasury, kept.id, offering.units)?;

        let (first, second) = self.deal_out()?;
        // Whoever buys at the offering has paid the money in before.
        for trade in first.iter().chain(&second) {
            let buyer = self.cast.account(trade.buyer)?.id;
            self.mint(&mut made, buyer, trade.cents)?;
        }
        let (mut sell, mut buy) = (Round::new(), Round::new());
        for trade in &first {
            self.trade(&mut sell, &mut buy, trade)?;
        }
        let (mut resell, mut rebuy) = (Round::new(), Round::new());
        let proceeds = self.book.cents(kept.id);
        let asset = Asset::Cash {
            currency: self.usd,
            amount: money(proceeds)?,
        };
        let instruction = Instruction::Transfer {
            asset,
            from: kept.id,
            to: treasury,
        };
        let reference = Some(format!("{ticker}-PROCEEDS"));
        let leader = self.cast.firm(kept.firm)?;
        add(
            &mut resell,
            leader.as_str(),
            Order {
                reference,
                instruction,
                expected: Status::Settled,
            },
        );
        self.book.move_cents(kept.id, treasury, proceeds)?;
        for trade in &second {
            self.trade(&mut resell, &mut rebuy, trade)?;
        }
        day.before.extend([made, sell, buy, resell, rebuy]);
        let (bought, sold_on) = (first.len(), second.len());
        let to_clients = second.iter().map(|trade| trade.units).sum();
        day.trades.extend(first.into_iter().chain(second));
        day.events
            .extend(self.told(&ticker, leader, (bought, sold_on), to_clients, proceeds));
        Ok(())
    }

    /// The trades of the offering: to the underwriters, and from them to their clients.
    fn deal_out(&self) -> Result<(Vec<Trade>, Vec<Trade>)> {
        let offering = self.data.offering;
        let ticker = &self.data.share(offering.share)?.ticker;
        let (kept_at, _) = self.only(Purpose::Offering, None)?;
        let (mut first, mut second, mut taken, mut number) = (Vec::new(), Vec::new(), 0, 0);
        let mut offered = |units: u64, seller: usize, buyer: usize| {
            number += 1;
            let reference = format!("{ticker}-OFFERING-{number:02}");
            let cents = units * offering.price_cents;
            Trade {
                reference,
                share: offering.share,
                units,
                cents,
                seller,
                buyer,
            }
        };
        for firm in 0..self.cast.firms.len() {
            let (house_at, _) = self.only(Purpose::House, Some(firm))?;
            let hundredths = UNDERWRITTEN.get(firm).copied().unwrap_or(0);
            let last = firm + 1 == self.cast.firms.len();
            let part = offering.units * hundredths / 100;
            let units = if last { offering.units - taken } else { part };
            taken += units;
            first.push(offered(units, kept_at, house_at));
            let clients = self.cast.accounts_for(Purpose::Client);
            for (client_at, _) in clients.filter(|(_, account)| account.firm == firm) {
                second.push(offered(units * SOLD_ON / 100, house_at, client_at));
            }
        }
        Ok((first, second))
    }

    fn told(
        &self,
        ticker: &str,
        leader: MemberName,
        (bought, sold_on): (usize, usize),
        to_clients: u64,
        proceeds: u64,
    ) -> [String; 3] {
        let offering = self.data.offering;
        let (units, price) = (grouped(offering.units), dollars(offering.price_cents));
        [
            format!(
                "{ticker} goes public: lead underwriter {leader} sells {units} shares at {price}"
            ),
            format!(
                "to {bought} underwriters, delivery against payment; they sell {}",
                grouped(to_clients)
            ),
            format!(
                "on to {sold_on} clients; {ticker}'s treasury receives {}",
                dollars(proceeds)
            ),
        ]
    }

    fn only(&self, purpose: Purpose, firm: Option<usize>) -> Result<(usize, Account)> {
        let mut found = self.cast.accounts_for(purpose);
        let found = found.find(|(_, account)| firm.is_none_or(|firm| account.firm == firm));
        let (place, account) = found.ok_or_else(|| CliError::new("the demo lacks an account"))?;
        Ok((place, account.clone()))
    }
}
