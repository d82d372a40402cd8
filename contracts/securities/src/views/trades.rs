//! Trades.
//!
//! Who may ask: whoever may read trades; those that it is a party to, or all trades if others' are
//! permitted.
//!
//! What it answers: the trades in the order of their recording. A party never sees the other
//! party's account.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Amount;
use crate::authority::{Action, Authority, Relation};
use crate::currency::CurrencyCode;
use crate::instruction::Side;
use crate::isin::Isin;
use crate::outcome::Outcome;
use crate::rows::{AccountIndex, MemberId, Trade, TradeStatus};
use crate::state::State;
use crate::table::RowIndex;
use crate::text::{AccountId, ClientReference, MemberName};

/// Trades in the order of their recording.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TradesView {
    /// The height that the view was taken at.
    pub height: u64,
    /// The trades.
    pub trades: Vec<TradeRow>,
}

/// One trade.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TradeRow {
    /// The reference that names the trade: the recorder's, or the venue's.
    pub reference: ClientReference,
    /// The firm that recorded it; the seller of a locked-in trade.
    pub recorder: MemberName,
    /// The recorder's side.
    pub side: Side,
    /// The recorder's account; `None` if the caller may not see it.
    pub recorder_account: Option<AccountId>,
    /// The firm that is to confirm it.
    pub counterparty: MemberName,
    /// The account it confirmed with; `None` before, or if the caller may not see it.
    pub counterparty_account: Option<AccountId>,
    /// The issue.
    pub isin: Isin,
    /// How many units.
    pub quantity: Amount,
    /// The currency of the payment.
    pub currency: CurrencyCode,
    /// The payment for all units.
    pub amount: Amount,
    /// How it stands.
    pub status: TradeStatus,
    /// The height of the block that recorded it.
    pub recorded_height: u64,
    /// The height of the block that settled it.
    pub settled_height: Option<u64>,
    /// The venue that submitted it as locked in; `None` for a bilateral trade.
    pub venue: Option<MemberName>,
}

impl State {
    /// The trades that the caller may see.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may read no trades.
    pub fn trades(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
    ) -> Result<TradesView, Outcome> {
        self.check_role(caller, authority, Action::ReadTrades)?;
        let trades = if authority.permits(Action::ReadTrades, Relation::Other) {
            self.trades
                .rows()
                .iter()
                .map(|trade| self.trade_row(trade, None))
                .collect()
        } else {
            let lists = self.lookups.by_member.get(caller.place() as usize);
            let own = lists.map_or(&[][..], |lists| &lists.trades);
            own.iter()
                .map(|index| self.trade_row(self.trades.row(*index), Some(caller)))
                .collect()
        };
        Ok(TradesView {
            height: self.height(),
            trades,
        })
    }

    /// One row; a `party` sees only its own account.
    pub(super) fn trade_row(&self, trade: &Trade, party: Option<MemberId>) -> TradeRow {
        let issue = self.issues.row(trade.issue);
        let account = |index: AccountIndex, owner| {
            let visible = party.is_none_or(|party| party == owner);
            visible.then(|| self.accounts.row(index).id)
        };
        let settled = trade.status == TradeStatus::Settled;
        TradeRow {
            reference: trade.reference,
            recorder: self.members.row(trade.recorder).name,
            side: trade.side,
            recorder_account: account(trade.recorder_account, trade.recorder),
            counterparty: self.members.row(trade.counterparty).name,
            counterparty_account: trade
                .counterparty_account
                .and_then(|index| account(index, trade.counterparty)),
            isin: issue.isin,
            quantity: Amount {
                units: trade.quantity,
                decimals: issue.decimals,
            },
            currency: trade.currency,
            amount: Amount {
                units: trade.amount,
                decimals: trade.currency.minor_units(),
            },
            status: trade.status,
            recorded_height: self.height_of(trade.recorded),
            settled_height: settled.then(|| self.height_of(trade.settled)),
            venue: trade.venue.map(|venue| self.members.row(venue).name),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use crate::world::{APPLE, World, confirm, grant, locked_in, refused, trade};
    use crate::{Code, Outcome, Side, TradeStatus, TradesView};

    fn ask(world: &World, name: &str) -> TradesView {
        world
            .state
            .trades(world.id(name), &world.permissions(name))
            .unwrap()
    }

    #[test]
    fn parties_see_their_trades_without_the_other_account() {
        let mut world = World::furnished();
        world.order(
            "alpha",
            "D1",
            trade(Side::Sell, "A-1", "beta", APPLE, "100", "41123.00"),
        );
        world.order(
            "alpha",
            "D2",
            trade(Side::Sell, "A-1", "alpha", APPLE, "1", "1.00"),
        );
        world.settle("beta", confirm("D1", "B-1"));

        let seller = ask(&world, "alpha").trades;
        assert_eq!(seller.len(), 2);
        let row = &seller[0];
        assert_eq!(
            (row.reference.as_str(), row.status),
            ("D1", TradeStatus::Settled)
        );
        assert_eq!((row.recorded_height, row.settled_height), (8, Some(10)));
        assert_eq!(
            (row.quantity.to_string(), row.amount.to_string()),
            ("100".into(), "41123.00".into())
        );
        assert_eq!(row.recorder_account.unwrap().as_str(), "A-1");
        assert_eq!(row.counterparty_account, None);
        assert_eq!(
            (seller[1].status, seller[1].settled_height),
            (TradeStatus::Open, None)
        );

        let buyer = ask(&world, "beta").trades;
        assert_eq!(buyer.len(), 1);
        assert_eq!(buyer[0].recorder_account, None);
        assert_eq!(buyer[0].counterparty_account.unwrap().as_str(), "B-1");
        assert!(ask(&world, "gamma").trades.is_empty());

        let all = ask(&world, "regulator").trades;
        assert_eq!(all.len(), 2);
        assert!(all[0].recorder_account.is_some() && all[0].counterparty_account.is_some());
        let denied = world
            .state
            .trades(world.id("apple"), &world.permissions("apple"));
        assert_eq!(denied.unwrap_err(), refused(Code::NotPermitted));
    }

    #[test]
    fn a_locked_in_trade_names_its_venue_and_hides_the_other_account() {
        let mut world = World::furnished();
        world.settle("alpha", grant("admin"));
        world.settle("beta", grant("admin"));
        let order = locked_in("B-1", "A-1", APPLE, "100", "0.01");
        world.refuse("admin", order, Code::LackOfSecurities);
        let order = locked_in("A-1", "B-1", APPLE, "100", "41123.00");
        assert_eq!(world.order("admin", "V1", order), Outcome::SETTLED);

        let seller = ask(&world, "alpha").trades;
        assert_eq!(seller.len(), 1);
        let row = &seller[0];
        assert_eq!(
            (row.reference.as_str(), row.status, row.side),
            ("V1", TradeStatus::Settled, Side::Sell)
        );
        assert_eq!(
            (row.recorder.as_str(), row.counterparty.as_str()),
            ("alpha", "beta")
        );
        let height = world.state.height();
        assert_eq!(
            (row.recorded_height, row.settled_height),
            (height, Some(height))
        );
        assert_eq!(row.venue.unwrap().as_str(), "admin");
        assert_eq!(row.recorder_account.unwrap().as_str(), "A-1");
        assert_eq!(row.counterparty_account, None);

        let buyer = ask(&world, "beta").trades;
        assert_eq!(buyer[0].venue, row.venue);
        assert_eq!(buyer[0].recorder_account, None);
        assert_eq!(buyer[0].counterparty_account.unwrap().as_str(), "B-1");
        assert!(ask(&world, "gamma").trades.is_empty());
        // Who merely submits them reads none.
        let bank = world
            .state
            .trades(world.id("bank"), &world.permissions("bank"));
        assert_eq!(bank.unwrap_err(), refused(Code::NotPermitted));
    }
}
