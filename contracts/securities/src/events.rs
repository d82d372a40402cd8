//! What members are told of: whose an order's effects are, noted when it is applied.
//!
//! An order that was accepted concerns its submitter, the firms of a trade, who keeps the accounts that something came from or
//! went to, the issuer of an issue and who held it, the venue of a mandate; a business date concerns everybody. A refused order
//! concerns its submitter alone. What each is told is in `views/events.rs`.
//!
//! INVARIANT: what somebody is told of an order follows from its row and from rows that never change afterwards, so that it is
//! the same on every node, whenever it is asked.

use crate::authority::Action;
use crate::instruction::Order;
use crate::outcome::{Code, Outcome, Status};
use crate::rows::{
    Account, AccountIndex, CashMoved, CurrencyIndex, Happened, Issue, IssueIndex, MemberId,
    ReferenceIndex, Refusal, Remembered, Trade, UnitsMoved,
};
use crate::state::{Lookups, MemberLists, SPARE_ROWS, State};
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

/// The rows that say whose something is.
pub(crate) struct Owners<'a> {
    pub(crate) accounts: &'a [Account],
    pub(crate) issues: &'a [Issue],
    pub(crate) trades: &'a [Trade],
}

impl Owners<'_> {
    /// Names whom an order concerns, some of them more than once. What is not there is nobody's.
    fn concerned(&self, order: &Remembered, mut tell: impl FnMut(MemberId)) {
        let keeper = |index: AccountIndex| {
            let account = self.accounts.get(index.place() as usize);
            account.map(|account| account.owner)
        };
        let issuer = |index: IssueIndex| {
            let issue = self.issues.get(index.place() as usize);
            issue.map(|issue| issue.issuer)
        };
        let mut some = |members: &[Option<MemberId>]| {
            members.iter().flatten().for_each(|member| tell(*member));
        };
        some(&[Some(order.member)]);
        match &order.happened {
            // Those of everybody are listed apart.
            Happened::Own | Happened::Day(_) => {}
            Happened::Trade(index) => {
                if let Some(trade) = self.trades.get(index.place() as usize) {
                    // Of a trade that is settled later there is no other account yet.
                    let settles = trade.settled == order.sequence;
                    let other = trade.counterparty_account.filter(|_| settles);
                    some(&[Some(trade.recorder), Some(trade.counterparty)]);
                    // Under rules that let others trade on their accounts.
                    some(&[keeper(trade.recorder_account), other.and_then(keeper)]);
                }
            }
            Happened::Units(units) => some(&[units.from.and_then(keeper), keeper(units.to)]),
            Happened::Cash(cash) => some(&[cash.from.and_then(keeper), keeper(cash.to)]),
            Happened::Registered(index) => some(&[issuer(*index)]),
            Happened::Mandate { venue, .. } => some(&[Some(*venue)]),
            Happened::Dividend(paid) => {
                some(&[issuer(paid.issue)]);
                paid.parts
                    .iter()
                    .for_each(|part| some(&[Some(part.member)]));
            }
            Happened::Split(split) => {
                some(&[issuer(split.issue)]);
                split
                    .holders
                    .iter()
                    .for_each(|holder| some(&[Some(*holder)]));
            }
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
    pub(crate) fn list_order(
        &mut self,
        owners: &Owners<'_>,
        (index, order): (ReferenceIndex, &Remembered),
    ) {
        match (order.action, &order.happened) {
            // That is an order about the network, which is told elsewhere.
            (Action::AdmitMember, _) => return,
            (_, Happened::Day(_)) => {
                self.orders_of_all.push(index);
                return;
            }
            _ => {}
        }
        owners.concerned(order, |member| {
            let orders = &mut self.lists_of(member).orders;
            if orders.last() != Some(&index) {
                orders.push(index);
            }
        });
    }

    /// Notes that a member keeps an account that has a position of an issue.
    pub(crate) fn list_issue(&mut self, member: MemberId, issue: IssueIndex) {
        let issues = &mut self.lists_of(member).issues;
        if let Err(place) = issues.binary_search(&issue) {
            issues.insert(place, issue);
        }
    }
}

impl State {
    /// Lists the order that was just accepted for whom it concerns.
    pub(crate) fn list_newest(&mut self, index: ReferenceIndex) {
        let owners = Owners {
            accounts: self.accounts.rows(),
            issues: self.issues.rows(),
            trades: self.trades.rows(),
        };
        let order = self.references.row(index);
        self.lookups.list_order(&owners, (index, order));
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
        if self.members.find(member).is_none() || self.refusals.len() >= u32::MAX - SPARE_ROWS {
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

    /// Refuses an order of `caller` for a reason that the caller of this crate has. One that was accepted before, under the
    /// same reference and content, stays so, and nobody is told of a refusal.
    pub fn refuse(
        &mut self,
        caller: MemberId,
        (order, content): (&Order, [u8; 32]),
        code: Code,
    ) -> Outcome {
        self.count_order();
        let before = self.remembered(caller, &order.reference, content);
        if !matches!(before, Ok(Some(_))) {
            let action = order.instruction.action();
            self.note_refusal(caller, order.reference, action, code);
        }
        Outcome::refused(code)
    }
}
