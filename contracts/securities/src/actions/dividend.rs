//! Pay a cash dividend.
//!
//! What it is: everybody who held units of an issue at a record time is paid for each unit from the
//! issue's treasury, on the account that held them.
//!
//! What it checks: the amount per unit is above zero (`malformed`; it may have more decimals than
//! the currency); the issue exists and the caller may act on it (`not-found`); the record time is
//! known (`unknown-record-time`); the treasury holds the money for all payments together (`MONY`,
//! `BLOC`).
//!
//! What it changes: every account but the treasury receives `floor(quantity * amount per unit)` in
//! the currency's minor units; the treasury pays exactly their sum. The treasury's own units
//! receive nothing, and what rounding leaves stays in the treasury. Payments of zero change
//! nothing.

use std::collections::BTreeMap;

use crate::amount::payment;
use crate::currency::CurrencyCode;
use crate::decimal::Decimal;
use crate::events::Done;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::Code;
use crate::rows::{AccountIndex, DividendPaid, DividendPart, Happened, IssueIndex, MemberId};
use crate::state::{Caller, State};

pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    isin: &Isin,
    per_unit: Decimal,
    currency: CurrencyCode,
    record: RecordTime,
) -> Result<Done, Code> {
    let index = state.source_issue(caller, isin)?;
    let treasury = state.issues.row(index).treasury;
    let sequence = state.moment(record)?.sequence;
    let payments = payments(state, index, per_unit, currency, sequence)?;
    let mut paid = 0;
    if payments.total > 0 {
        let (currency, total) = state.check_cash(treasury, currency, payments.total)?;
        for (account, amount) in payments.payments {
            state.move_cash(currency, treasury, account, amount);
        }
        paid = total;
    }
    Ok(Done::settled(Happened::Dividend(Box::new(DividendPaid {
        issue: index,
        per_unit,
        currency,
        record,
        paid,
        parts: payments.parts.into_values().collect(),
    }))))
}

/// What a dividend pays.
#[derive(Default)]
struct Payments {
    /// What each account is to receive.
    payments: Vec<(AccountIndex, u64)>,
    /// Their sum.
    total: u128,
    /// The same by the member that keeps the accounts.
    parts: BTreeMap<MemberId, DividendPart>,
}

/// What each account is to receive. A sum that no treasury can hold is a lack of money.
fn payments(
    state: &State,
    index: IssueIndex,
    per_unit: Decimal,
    currency: CurrencyCode,
    sequence: u64,
) -> Result<Payments, Code> {
    let issue = state.issues.row(index);
    let mut all = Payments::default();
    for position in state.positions_of(index) {
        let account = state.positions.row(*position).account;
        let units = state.position_history.value_at(*position, sequence);
        if account == issue.treasury || units == 0 {
            continue;
        }
        let amount = payment(units, issue.decimals, per_unit, currency.minor_units())
            .and_then(|amount| u64::try_from(amount).ok())
            .ok_or(Code::InsufficientMoney)?;
        let member = state.accounts.row(account).owner;
        let part = all.parts.entry(member).or_insert(DividendPart {
            member,
            accounts: 0,
            received: 0,
        });
        if amount > 0 {
            all.total += u128::from(amount);
            all.payments.push((account, amount));
            part.accounts = part.accounts.saturating_add(1);
            // What does not fit no treasury can pay.
            part.received = part.received.saturating_add(amount);
        }
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{
        APPLE, GOOGLE, World, allocate, dividend, mint, open_account, open_day, register, transfer,
    };
    use crate::{Code, RecordTime};

    fn funded(amount: &str) -> World {
        let mut world = World::furnished();
        world.settle("bank", mint("USD", "APPLE-T", amount));
        world
    }

    #[test]
    fn holders_are_paid_from_the_treasury() {
        let mut world = funded("3975.00");
        world.settle("admin", allocate(APPLE, "B-1", "500"));
        world.settle("admin", dividend(APPLE, "2.65", RecordTime::Now));
        assert_eq!(world.held("A-1", "USD"), "2650.00");
        assert_eq!(world.held("B-1", "USD"), "501325.00");
        assert_eq!(world.held("APPLE-T", "USD"), "0");
    }

    #[test]
    fn it_is_all_or_nothing() {
        let mut world = funded("2649.99");
        world.refuse(
            "admin",
            dividend(APPLE, "2.65", RecordTime::Now),
            Code::InsufficientMoney,
        );
        assert_eq!(world.held("A-1", "USD"), "0");
        let most = "999999999999999999";
        world.refuse(
            "admin",
            dividend(APPLE, most, RecordTime::Now),
            Code::InsufficientMoney,
        );
    }

    #[test]
    fn payments_round_down_account_by_account() {
        let mut world = funded("10.00");
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "1"));
        world.settle("admin", dividend(APPLE, "0.00999", RecordTime::Now));
        assert_eq!(world.held("A-1", "USD"), "9.98");
        assert_eq!(world.held("A-2", "USD"), "0");
        assert_eq!(world.held("APPLE-T", "USD"), "0.02");
        world.settle("admin", dividend(APPLE, "0.000001", RecordTime::Now));
        assert_eq!(world.held("APPLE-T", "USD"), "0.02");
    }

    #[test]
    fn fractions_of_units_count() {
        let mut world = World::furnished();
        world.settle("admin", register(GOOGLE, "google", 3, "GOOGLE-T"));
        world.settle("admin", crate::world::issue_units(GOOGLE, "100"));
        world.settle("admin", allocate(GOOGLE, "A-1", "1.999"));
        world.settle("bank", mint("USD", "GOOGLE-T", "100.00"));
        world.settle("admin", dividend(GOOGLE, "1.00", RecordTime::Now));
        assert_eq!(world.held("A-1", "USD"), "1.99");
    }

    #[test]
    fn the_record_time_decides_who_is_paid() {
        let mut world = funded("10000.00");
        world.settle("admin", open_day("2012-08-08"));
        let height = world.state.height();
        world.settle("alpha", transfer(APPLE, "A-1", "A-2", "400"));
        world.settle("admin", open_day("2012-08-09"));
        world.settle("alpha", transfer(APPLE, "A-1", "B-1", "600"));
        let close = RecordTime::Date("2012-08-08".parse().unwrap());
        world.settle("admin", dividend(APPLE, "1", close));
        assert_eq!(
            (world.held("A-1", "USD"), world.held("A-2", "USD")),
            ("600.00".into(), "400.00".into())
        );
        world.settle("admin", dividend(APPLE, "1", RecordTime::Height(height)));
        assert_eq!(world.held("A-1", "USD"), "1600.00");
        world.settle(
            "admin",
            dividend(APPLE, "1", RecordTime::Time(height * 1000 + 999)),
        );
        assert_eq!(world.held("A-1", "USD"), "2600.00");
        let current = world.state.height() + 1;
        world.settle("admin", dividend(APPLE, "1", RecordTime::Height(current)));
        assert_eq!(world.held("B-1", "USD"), "500600.00");
        let later = RecordTime::Height(current + 2);
        world.refuse(
            "admin",
            dividend(APPLE, "1", later),
            Code::UnknownRecordTime,
        );
    }

    #[test]
    fn other_treasuries_are_holders_like_any() {
        let mut world = funded("10.00");
        world.settle("admin", register(GOOGLE, "google", 0, "GOOGLE-T"));
        world.settle("alpha", transfer(APPLE, "A-1", "GOOGLE-T", "1000"));
        world.settle("admin", dividend(APPLE, "0.01", RecordTime::Now));
        assert_eq!(world.held("GOOGLE-T", "USD"), "10.00");
    }

    #[test]
    fn nobody_to_pay_needs_no_money() {
        let mut world = World::new();
        world.settle("admin", register(APPLE, "apple", 0, "APPLE-T"));
        world.settle("admin", dividend(APPLE, "1", RecordTime::Now));
        world.settle("alpha", open_account("A-1"));
        world.settle("admin", crate::world::issue_units(APPLE, "1"));
        world.settle("admin", allocate(APPLE, "A-1", "1"));
        world.refuse(
            "admin",
            dividend(APPLE, "1", RecordTime::Now),
            Code::InsufficientMoney,
        );
        world.settle("admin", dividend(APPLE, "1", RecordTime::Height(0)));
        world.refuse(
            "admin",
            dividend(APPLE, "0.0", RecordTime::Now),
            Code::Malformed,
        );
        world.refuse(
            "admin",
            dividend(GOOGLE, "1", RecordTime::Now),
            Code::UnknownIssue,
        );
        world.refuse(
            "apple",
            dividend(APPLE, "1", RecordTime::Now),
            Code::NotPermitted,
        );
    }
}
