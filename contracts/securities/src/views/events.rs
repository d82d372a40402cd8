//! Events: what happened to what is one's own, block by block.
//!
//! Who may ask: whoever may read events; what its own orders came to, what others' orders did to what is its own, and who read
//! of it.
//!
//! What it answers: the events of blocks whose results are final, from a cursor on, and the cursor of the next one. Within a
//! block come orders as they were applied, then readings of which the owners are told from that block on. The same cursor gives
//! the same events at any time on any node, so that who goes on from the cursor of its last answer misses none and sees none
//! twice. A party never sees the other party's account or reference, except that of a trade.

use std::collections::BTreeSet;
use std::iter::Peekable;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::accesses::Own;
use crate::amount::Amount;
use crate::authority::{Action, Authority};
use crate::currency::CurrencyCode;
use crate::date::BusinessDate;
use crate::decimal::Decimal;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::Outcome;
use crate::rows::{
    Access, AccessIndex, AccountIndex, CashMoved, DividendPaid, Happened, MemberId, Read,
    ReferenceIndex, Refusal, RefusalIndex, Remembered, TradeIndex, TradeStatus, UnitsMoved,
};
use crate::state::State;
use crate::table::RowIndex as _;
use crate::text::{AccountId, ClientReference, MemberName};
use crate::views::access_log::AccessRow;
use crate::views::trades::TradeRow;

/// The most events in one answer.
pub const EVENTS_MAX: usize = 1_000;

/// Where the next event stands: after so many of the caller's in a block.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize,
)]
pub struct EventCursor {
    /// The height of the block.
    pub height: u64,
    /// How many of the caller's events in it come before.
    pub place: u32,
}

/// Events that concern the caller.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsView {
    /// The newest block whose events are told.
    pub height: u64,
    /// The events.
    pub rows: Vec<EventRow>,
    /// From here on the next ones are asked for.
    pub next: EventCursor,
    /// Whether there may be more already.
    pub more: bool,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventRow {
    /// Where it stands. No other event of the caller's has this.
    pub at: EventCursor,
    /// The time of its block in milliseconds since 1970.
    pub time_ms: u64,
    /// What it is.
    pub event: Event,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Event {
    /// An order was carried out or refused.
    Order {
        /// What it was to do.
        action: Action,
        /// Its reference, for its submitter alone: who has it here gave the order.
        reference: Option<ClientReference>,
        /// What came of it.
        outcome: Outcome,
        /// What it did.
        effect: Effect,
    },
    /// Somebody read what is the caller's.
    Access(AccessRow),
}

/// What an order did.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Effect {
    /// What its submitter knows, or nothing.
    None,
    /// It recorded a trade, which is open then, or settled one.
    Trade(Box<TradeRow>),
    /// It moved units free of payment, or created them.
    Units {
        /// The issue.
        isin: Isin,
        /// How many.
        quantity: Amount,
        /// The account that they came from, if the caller may see it.
        from: Option<AccountId>,
        /// The account that they went to, if the caller may see it.
        to: Option<AccountId>,
    },
    /// It moved money free of delivery, or created it.
    Cash {
        /// The currency.
        currency: CurrencyCode,
        /// How much.
        amount: Amount,
        /// The account that it came from, if the caller may see it.
        from: Option<AccountId>,
        /// The account that it went to, if the caller may see it.
        to: Option<AccountId>,
    },
    /// It registered an issue of the caller's.
    Registered {
        /// The issue.
        isin: Isin,
    },
    /// It granted a venue a firm's mandate, or revoked it.
    Mandate {
        /// The firm.
        firm: MemberName,
        /// The venue.
        venue: MemberName,
        /// Whether it holds from then on.
        in_force: bool,
    },
    /// It paid a dividend.
    Dividend {
        /// The issue.
        isin: Isin,
        /// What one whole unit received.
        amount_per_unit: Decimal,
        /// The currency of the payment.
        currency: CurrencyCode,
        /// The moment whose holders were paid.
        record: RecordTime,
        /// How many accounts of the caller's were paid.
        accounts: u32,
        /// What they received together.
        received: Amount,
        /// All payments together, for the issuer and the submitter.
        paid: Option<Amount>,
    },
    /// It split the units of an issue.
    Split {
        /// The issue.
        isin: Isin,
        /// So many units ...
        new: u32,
        /// ... for so many.
        old: u32,
    },
    /// It opened a business date.
    Day {
        /// The date.
        date: BusinessDate,
    },
}

/// Where an event is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Order(ReferenceIndex),
    Refusal(RefusalIndex),
    Access(AccessIndex),
}

/// The caller, what is its own, and how much it is told at once.
struct Asker {
    member: MemberId,
    own: Own,
    /// Whether its positions are there, too.
    with_positions: bool,
    most: usize,
}

impl Asker {
    fn with_positions(&mut self, state: &State) -> &Own {
        if !self.with_positions {
            self.own.positions = state.positions_kept(self.member);
            self.with_positions = true;
        }
        &self.own
    }
}

impl State {
    /// The caller's events from a cursor on, as far as the results of blocks are final, and at most so many.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may not read events.
    pub fn events(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        from: EventCursor,
        (final_height, most): (u64, usize),
    ) -> Result<EventsView, Outcome> {
        self.check_role(caller, authority, Action::ReadEvents)?;
        let last = final_height.min(self.height());
        let from = from.max(EventCursor {
            height: 1,
            place: 0,
        });
        let mut view = EventsView {
            height: last,
            rows: Vec::new(),
            next: from,
            more: false,
        };
        if from.height > last {
            return Ok(view);
        }
        let mut asker = Asker {
            member: caller,
            own: self.own_but_positions(caller),
            with_positions: false,
            most: most.max(1),
        };
        let (mut found, until) = self.orders_told(&asker, from, last);
        let until = self.accesses_told(&mut asker, (from.height, until), &mut found);
        found.retain(|(height, _)| *height <= until);
        // A stable sort: orders stay as they were found, and readings come after them in the order of their records.
        found.sort_by_key(|(height, source)| match source {
            Source::Access(index) => (*height, Some(*index)),
            Source::Order(_) | Source::Refusal(_) => (*height, None),
        });
        view.next = EventCursor {
            height: until.saturating_add(1),
            place: 0,
        };
        let mut at = EventCursor::default();
        for (height, source) in found {
            if at.height == height {
                at.place = at.place.saturating_add(1);
            } else {
                at = EventCursor { height, place: 0 };
            }
            if at < from {
                continue;
            }
            if view.rows.len() == asker.most {
                view.next = at;
                break;
            }
            view.rows.push(EventRow {
                at,
                time_ms: self.time_of(height),
                event: self.event(caller, source),
            });
        }
        view.more = view.next.height <= last;
        Ok(view)
    }

    /// The orders that a member is told of, with the heights of their blocks, from the block of a cursor on: whole blocks,
    /// until there are enough after the cursor. With the last block that was looked through.
    fn orders_told(
        &self,
        asker: &Asker,
        from: EventCursor,
        last: u64,
    ) -> (Vec<(u64, Source)>, u64) {
        let before = self.end_of_block(from.height.saturating_sub(1)).sequence;
        let end = self.end_of_block(last).sequence;
        let lists = self.lookups.by_member.get(asker.member.place() as usize);
        let order = |index: &ReferenceIndex| self.references.row(*index).sequence;
        let refusal = |index: &RefusalIndex| self.refusals.row(*index).sequence;
        let orders = lists.map_or(&[][..], |lists| &lists.orders);
        let refusals = lists.map_or(&[][..], |lists| &lists.refusals);
        let mut orders = later(orders, before, Source::Order, order);
        let mut of_all = later(&self.lookups.orders_of_all, before, Source::Order, order);
        let mut refusals = later(refusals, before, Source::Refusal, refusal);
        let mut found = Vec::new();
        let mut at = EventCursor {
            height: from.height,
            place: 0,
        };
        let mut fresh = 0_usize;
        while let Some((sequence, source)) = first(&mut [&mut orders, &mut of_all, &mut refusals])
            && sequence <= end
        {
            let height = self.height_of(sequence);
            if height > at.height {
                if fresh >= asker.most {
                    return (found, at.height);
                }
                at = EventCursor { height, place: 0 };
            }
            if at >= from {
                fresh = fresh.saturating_add(1);
            }
            at.place = at.place.saturating_add(1);
            found.push((height, source));
        }
        (found, last)
    }

    /// Adds the readings that a member is told of in these blocks. Gives the last block that was looked through, which
    /// follows from what it is told alone.
    fn accesses_told(
        &self,
        asker: &mut Asker,
        (first, last): (u64, u64),
        found: &mut Vec<(u64, Source)>,
    ) -> u64 {
        let lists = self.lookups.by_member.get(asker.member.place() as usize);
        let mut issues = asker.own.issues.clone();
        issues.extend(lists.into_iter().flat_map(|lists| &lists.issues));
        let subjects = issues.into_iter().map(Some).chain([None]);
        let mut until = last;
        for subject in subjects {
            if let Some(list) = self.lookups.disclosures.get(&subject) {
                until = self.accesses_of(list, asker, (first, until), found);
            }
        }
        until
    }

    /// The same for readings of one subject.
    fn accesses_of(
        &self,
        list: &BTreeSet<(u64, AccessIndex)>,
        asker: &mut Asker,
        (first, last): (u64, u64),
        found: &mut Vec<(u64, Source)>,
    ) -> u64 {
        // Blocks may have the time of the one before.
        let from = (self.time_of(first.saturating_sub(1)), AccessIndex(0));
        let to = (self.time_of(last), AccessIndex(u32::MAX));
        let (mut height, mut fresh) = (first, 0_usize);
        for (_, index) in list.range(from..=to) {
            let access = self.accesses.row(*index);
            if access.reader == asker.member {
                continue;
            }
            let told = self.told_from(access);
            if told < first {
                continue;
            }
            if told > last {
                break;
            }
            let own = match access.read {
                Read::Registry { .. } => asker.with_positions(self),
                Read::Holdings | Read::Trades | Read::Audit => &asker.own,
            };
            if !self.concerns(own, access) {
                continue;
            }
            // As many as are told at once come after the block of the cursor.
            if told > height && fresh >= asker.most {
                return height;
            }
            if told > first {
                fresh = fresh.saturating_add(1);
            }
            height = told;
            found.push((told, Source::Access(*index)));
        }
        last
    }

    /// The block from which on the owners are told of a reading: never before its own, and in the order of
    /// [`Access::disclosed_ms`].
    fn told_from(&self, access: &Access) -> u64 {
        let earlier = self
            .blocks
            .rows()
            .partition_point(|start| start.time_ms < access.disclosed_ms);
        let first = u64::try_from(earlier).unwrap_or(u64::MAX).saturating_add(1);
        first.max(access.height)
    }

    fn event(&self, member: MemberId, source: Source) -> Event {
        match source {
            Source::Order(index) => {
                let order = self.references.row(index);
                let own = order.member == member;
                Event::Order {
                    action: order.action,
                    reference: own.then_some(order.reference),
                    outcome: Outcome::accepted(order.status),
                    effect: self.effect(member, order),
                }
            }
            Source::Refusal(index) => event_of_refusal(self.refusals.row(index)),
            Source::Access(index) => Event::Access(self.access_row(self.accesses.row(index))),
        }
    }

    fn effect(&self, member: MemberId, order: &Remembered) -> Effect {
        match &order.happened {
            Happened::Own => Effect::None,
            Happened::Trade(index) => {
                Effect::Trade(Box::new(self.trade_then(member, *index, order.sequence)))
            }
            Happened::Units(moved) => self.units_moved(member, order, moved),
            Happened::Cash(moved) => self.cash_moved(member, order, moved),
            Happened::Registered(issue) => Effect::Registered {
                isin: self.issues.row(*issue).isin,
            },
            Happened::Mandate { venue, in_force } => Effect::Mandate {
                firm: self.members.row(order.member).name,
                venue: self.members.row(*venue).name,
                in_force: *in_force,
            },
            Happened::Dividend(paid) => self.dividend_paid(member, order, paid),
            Happened::Split(split) => Effect::Split {
                isin: self.issues.row(split.issue).isin,
                new: split.new,
                old: split.old,
            },
            Happened::Day(index) => Effect::Day {
                date: self.days.row(*index).date,
            },
        }
    }

    /// A trade as it stood after an order that recorded or settled it.
    fn trade_then(&self, party: MemberId, index: TradeIndex, sequence: u64) -> TradeRow {
        let mut trade = *self.trades.row(index);
        if trade.settled != sequence {
            trade.status = TradeStatus::Open;
            trade.counterparty_account = None;
        }
        self.trade_row(&trade, Some(party))
    }

    /// An account for who keeps it, and for who named it in its order.
    fn account_for(
        &self,
        member: MemberId,
        order: &Remembered,
        index: AccountIndex,
    ) -> Option<AccountId> {
        let account = self.accounts.row(index);
        (account.owner == member || order.member == member).then_some(account.id)
    }

    fn units_moved(&self, member: MemberId, order: &Remembered, moved: &UnitsMoved) -> Effect {
        let issue = self.issues.row(moved.issue);
        let account = |index| self.account_for(member, order, index);
        Effect::Units {
            isin: issue.isin,
            quantity: Amount {
                units: moved.quantity,
                decimals: issue.decimals,
            },
            from: moved.from.and_then(account),
            to: account(moved.to),
        }
    }

    fn cash_moved(&self, member: MemberId, order: &Remembered, moved: &CashMoved) -> Effect {
        let currency = self.currencies.row(moved.currency).code;
        let account = |index| self.account_for(member, order, index);
        Effect::Cash {
            currency,
            amount: money(currency, moved.amount),
            from: moved.from.and_then(account),
            to: account(moved.to),
        }
    }

    fn dividend_paid(&self, member: MemberId, order: &Remembered, paid: &DividendPaid) -> Effect {
        let issue = self.issues.row(paid.issue);
        let all = order.member == member || issue.issuer == member;
        let place = paid.parts.binary_search_by_key(&member, |part| part.member);
        let part = place.ok().and_then(|place| paid.parts.get(place));
        let (accounts, received) = part.map_or((0, 0), |part| (part.accounts, part.received));
        Effect::Dividend {
            isin: issue.isin,
            amount_per_unit: paid.per_unit,
            currency: paid.currency,
            record: paid.record,
            accounts,
            received: money(paid.currency, received),
            paid: all.then(|| money(paid.currency, paid.paid)),
        }
    }
}

/// What of a list came after an order, each with its number.
fn later<'a, I: Copy>(
    list: &'a [I],
    before: u64,
    source: impl Fn(I) -> Source + 'a,
    sequence: impl Fn(&I) -> u64 + 'a,
) -> Peekable<Box<dyn Iterator<Item = (u64, Source)> + 'a>> {
    let (_, rest) = list.split_at(list.partition_point(|one| sequence(one) <= before));
    let rest: Box<dyn Iterator<Item = _>> =
        Box::new(rest.iter().map(move |one| (sequence(one), source(*one))));
    rest.peekable()
}

/// The next of several lists, by the number of the order.
fn first<I: Iterator<Item = (u64, Source)>>(
    lists: &mut [&mut Peekable<I>],
) -> Option<(u64, Source)> {
    let heads = lists.iter_mut().enumerate();
    let heads = heads.filter_map(|(place, list)| Some((list.peek()?.0, place)));
    let (_, place) = heads.min()?;
    lists.get_mut(place)?.next()
}

const fn event_of_refusal(refusal: &Refusal) -> Event {
    Event::Order {
        action: refusal.action,
        reference: Some(refusal.reference),
        outcome: Outcome::refused(refusal.code),
        effect: Effect::None,
    }
}

const fn money(currency: CurrencyCode, units: u64) -> Amount {
    Amount {
        units,
        decimals: currency.minor_units(),
    }
}
