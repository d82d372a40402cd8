//! What members are told of: whose an order's effects are, noted when it is applied.
//!
//! An order that was accepted concerns its submitter, the firms of a trade, who keeps the accounts that something came from or
//! went to, the issuer of an issue, the venue of a mandate. Dividends, splits and business dates may concern everybody: whom,
//! is found out when somebody asks. A refused order concerns its submitter alone. What each is told is in `views/events.rs`.
//!
//! INVARIANT: what somebody is told of an order follows from its row and from rows that never change afterwards, so that it is
//! the same on every node, whenever it is asked.

use crate::authority::Action;
use crate::instruction::Order;
use crate::outcome::{Code, Outcome, Status};
use crate::rows::{
    Account, AccountIndex, CashMoved, CurrencyIndex, Happened, Issue, IssueIndex, MemberId,
    ReferenceIndex, Refusal, Trade, UnitsMoved,
};
use crate::state::{Lookups, MemberLists, State};
use crate::table::RowIndex as _;
use crate::text::ClientReference;

/// What an action did.
pub(crate) struct Done {
    pub(crate) status: Status,
    pub(crate) happened: Happened,
}

impl Done {
    pub(crate) const fn settled(happened: Happened) -> Self {
        Self {
            status: Status::Settled,
            happened,
        }
    }

    pub(crate) const fn pending(happened: Happened) -> Self {
        Self {
            status: Status::Pending,
            happened,
        }
    }

    /// Units went to an account, from another or from nowhere.
    pub(crate) fn units(
        issue: IssueIndex,
        from: Option<AccountIndex>,
        to: AccountIndex,
        quantity: u64,
    ) -> Self {
        Self::settled(Happened::Units(Box::new(UnitsMoved {
            issue,
            from,
            to,
            quantity,
        })))
    }

    /// Money went to an account, from another or from nowhere.
    pub(crate) fn cash(
        currency: CurrencyIndex,
        from: Option<AccountIndex>,
        to: AccountIndex,
        amount: u64,
    ) -> Self {
        Self::settled(Happened::Cash(Box::new(CashMoved {
            currency,
            from,
            to,
            amount,
        })))
    }
}

/// Who is told of an accepted order.
pub(crate) enum Concerned {
    /// These, each named once or more.
    These([MemberId; 3]),
    /// Perhaps everybody.
    All,
}

/// The rows that say whose something is.
pub(crate) struct Owners<'a> {
    pub(crate) accounts: &'a [Account],
    pub(crate) issues: &'a [Issue],
    pub(crate) trades: &'a [Trade],
}

impl Owners<'_> {
    /// Whom an order of `submitter` concerns. What is not there is nobody's.
    pub(crate) fn concerned(&self, submitter: MemberId, happened: &Happened) -> Concerned {
        let keeper = |index: AccountIndex| {
            let account = self.accounts.get(index.place() as usize);
            account.map_or(submitter, |account| account.owner)
        };
        let moved = |from: Option<AccountIndex>, to| {
            Concerned::These([submitter, from.map_or(submitter, keeper), keeper(to)])
        };
        match happened {
            Happened::Own => Concerned::These([submitter; 3]),
            Happened::Trade(index) => {
                let trade = self.trades.get(index.place() as usize);
                let parties = trade.map(|trade| [trade.recorder, trade.counterparty]);
                let [recorder, counterparty] = parties.unwrap_or([submitter; 2]);
                Concerned::These([submitter, recorder, counterparty])
            }
            Happened::Units(units) => moved(units.from, units.to),
            Happened::Cash(cash) => moved(cash.from, cash.to),
            Happened::Registered(index) => {
                let issue = self.issues.get(index.place() as usize);
                let issuer = issue.map_or(submitter, |issue| issue.issuer);
                Concerned::These([submitter, submitter, issuer])
            }
            Happened::Mandate { venue, .. } => Concerned::These([submitter, submitter, *venue]),
            Happened::Dividend(_) | Happened::Split { .. } | Happened::Day(_) => Concerned::All,
        }
    }
}

impl Lookups {
    /// The lists of a member that there is.
    pub(crate) fn lists_of(&mut self, member: MemberId) -> &mut MemberLists {
        let place = member.place() as usize;
        if self.by_member.len() <= place {
            self.by_member.resize_with(place + 1, Default::default);
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "the list was just made long enough"
        )]
        &mut self.by_member[place]
    }

    /// Lists the newest accepted order for whom it concerns, once each.
    pub(crate) fn list_order(&mut self, concerned: &Concerned, index: ReferenceIndex) {
        let Concerned::These(members) = concerned else {
            self.orders_of_all.push(index);
            return;
        };
        for member in members {
            let orders = &mut self.lists_of(*member).orders;
            if orders.last() != Some(&index) {
                orders.push(index);
            }
        }
    }
}

impl State {
    /// Whom an order that was just carried out concerns.
    pub(crate) fn concerned(&self, submitter: MemberId, happened: &Happened) -> Concerned {
        let owners = Owners {
            accounts: self.accounts.rows(),
            issues: self.issues.rows(),
            trades: self.trades.rows(),
        };
        owners.concerned(submitter, happened)
    }

    /// Notes for its submitter that an order was refused. Who is no member is told nothing; and when there is no room,
    /// nobody is.
    pub(crate) fn note_refusal(
        &mut self,
        member: MemberId,
        reference: ClientReference,
        action: Action,
        code: Code,
    ) {
        if self.members.find(member).is_none() || self.check_room().is_err() {
            return;
        }
        let index = self.refusals.push(Refusal {
            member,
            reference,
            action,
            code,
            sequence: self.clock.sequence,
        });
        self.lists_of(member).refusals.push(index);
    }

    /// Refuses an order of `caller` that came too late to be looked at.
    pub fn refuse_expired(&mut self, caller: MemberId, order: &Order) -> Outcome {
        self.count_order();
        let action = order.instruction.action();
        self.note_refusal(caller, order.reference, action, Code::Expired);
        Outcome::refused(Code::Expired)
    }
}
