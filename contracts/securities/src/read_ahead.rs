//! Reading ahead: rows that a batch of orders will need, read before the first of them is applied.
//!
//! With many accounts hardly any row is in the processor's caches, and an order needs a dozen that point to each other. Here
//! each step is taken for all orders before the next, so that the processor fetches many rows at once.
//!
//! INVARIANT: this changes nothing and decides nothing; orders have the same outcomes without it.

use std::hint::black_box;

use crate::books::find;
use crate::currency::CurrencyCode;
use crate::instruction::{Instruction, Order};
use crate::isin::Isin;
use crate::rows::{AccountIndex, CashIndex, MemberId, PositionIndex};
use crate::state::State;
use crate::table::RowIndex as _;
use crate::tables::TableId;
use crate::text::AccountId;

/// Orders whose rows have a place in the nearest caches together.
const AT_ONCE: usize = 50;

/// What an order says of one account: what it moves there.
struct Leg<'a> {
    account: &'a AccountId,
    isin: Option<&'a Isin>,
    currency: Option<CurrencyCode>,
}

/// The accounts of instructions of which there are many.
fn legs(instruction: &Instruction) -> [Option<Leg<'_>>; 2] {
    let leg = |account, isin, currency| {
        Some(Leg {
            account,
            isin,
            currency,
        })
    };
    match instruction {
        Instruction::LockedInTrade {
            seller_account,
            buyer_account,
            isin,
            currency,
            ..
        } => [
            leg(seller_account, Some(isin), Some(*currency)),
            leg(buyer_account, Some(isin), Some(*currency)),
        ],
        Instruction::RecordTrade {
            account,
            isin,
            currency,
            ..
        } => [leg(account, Some(isin), Some(*currency)), None],
        Instruction::ConfirmTrade { account, .. } => [leg(account, None, None), None],
        Instruction::Allocate { account, isin, .. } => [leg(account, Some(isin), None), None],
        Instruction::Transfer { from, to, .. } => [leg(from, None, None), leg(to, None, None)],
        _ => [None, None],
    }
}

impl State {
    /// Reads what these orders of one member are likely to need.
    pub fn read_ahead<'a>(&self, caller: MemberId, orders: impl IntoIterator<Item = &'a Order>) {
        let mut orders = orders.into_iter().peekable();
        while orders.peek().is_some() {
            let some: Vec<&Order> = orders.by_ref().take(AT_ONCE).collect();
            self.read_some_ahead(caller, &some);
        }
    }

    fn read_some_ahead(&self, caller: MemberId, orders: &[&Order]) {
        let lookups = &self.lookups;
        let references: Vec<_> = orders.iter().map(|one| (caller, one.reference)).collect();
        for place in lookups.references.likely(references.iter()) {
            black_box(place);
        }
        let legs: Vec<Leg<'_>> = orders
            .iter()
            .flat_map(|order| legs(&order.instruction))
            .flatten()
            .collect();
        let named = legs.iter().map(|leg| leg.account);
        let places: Vec<_> = lookups.accounts_by_id.likely(named).collect();
        let legs: Vec<(Leg<'_>, u32)> = legs
            .into_iter()
            .zip(places)
            .filter_map(|(leg, place)| Some((leg, place?)))
            .collect();
        let (accounts, holdings) = (self.accounts.rows(), &lookups.by_account);
        let mut seen = 0;
        for (_, place) in &legs {
            // All of its identifier, which is compared, and may lie on two lines of the cache.
            let owner = accounts
                .get(*place as usize)
                .map(|row| row.owner.place() ^ row.id.as_str().len() as u32);
            let held = holdings
                .get(*place as usize)
                .map(|lists| lists.cash.len() as u32);
            seen ^= owner.unwrap_or(0) ^ held.unwrap_or(0);
        }
        for lists in legs
            .iter()
            .filter_map(|(_, place)| holdings.get(*place as usize))
        {
            let ends = [lists.positions.first(), lists.positions.last()];
            let cash = lists.cash.first().map(|(_, index)| index.place());
            let ends = ends.into_iter().flatten().map(|(_, index)| index.place());
            seen ^= ends.chain(cash).fold(0, |all, one| all ^ one);
        }
        let found: Vec<(Option<PositionIndex>, Option<CashIndex>)> = legs
            .iter()
            .map(|(leg, place)| self.likely_rows(leg, AccountIndex(*place)))
            .collect();
        for (position, cash) in found {
            if let Some(index) = position {
                seen ^= self.positions.row(index).account.place();
                seen ^= self.position_history.last_change(index).unwrap_or(0) as u32;
            }
            if let Some(index) = cash {
                seen ^= self.cash.row(index).account.place();
            }
        }
        black_box(seen);
    }

    /// Reads rows of a table of which a few in random places are about to be encoded, for all of them before the first.
    pub fn read_rows_ahead(&self, table: TableId, rows: impl Iterator<Item = u32>) {
        let seen = match table {
            TableId::Positions => self.positions.read_ahead(rows, |row| row.account.place()),
            TableId::Cash => self.cash.read_ahead(rows, |row| row.account.place()),
            // Of others there are few, or they are new.
            _ => return,
        };
        black_box(seen);
    }

    fn likely_rows(
        &self,
        leg: &Leg<'_>,
        account: AccountIndex,
    ) -> (Option<PositionIndex>, Option<CashIndex>) {
        let Some(lists) = self.lookups.by_account.get(account.place() as usize) else {
            return (None, None);
        };
        let issue = leg
            .isin
            .and_then(|isin| self.lookups.issues_by_isin.get(isin));
        let currency = leg.currency.and_then(|code| self.currency(code));
        (
            issue.and_then(|issue| find(&lists.positions, *issue)),
            currency.and_then(|currency| find(&lists.cash, currency)),
        )
    }
}
