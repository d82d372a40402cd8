//! Readings of what is others': put on record before they are answered, so that the owners can be told.
//!
//! Whoever may read more than its own rows first puts the reading on record; the surroundings answer it only then. A
//! record says who read what, under which certificate, when, and from when on the owners are told. It never changes.
//!
//! INVARIANT: whom a reading concerned follows from its row and the books alone, at any later time; and what is answered for
//! it holds nothing of anybody else.

use std::collections::{BTreeMap, BTreeSet};

use crate::authority::{Action, Authority, Relation};
use crate::history::Moment;
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::{Code, Outcome};
use crate::rows::{Access, AccessIndex, IssueIndex, MemberId, PositionIndex, Read};
use crate::state::{Lookups, State};
use crate::table::RowIndex;
use crate::views::Names;
use crate::views::audit::AuditView;
use crate::views::holdings::HoldingsView;
use crate::views::registry::RegistryView;
use crate::views::trades::TradesView;

/// For how long a reading on record may be answered, milliseconds of the ledger's time.
pub const ANSWERED_MS: u64 = 60_000;
/// How long the owners may be kept from a reading at the most: 366 days in milliseconds.
pub const DELAY_MAX_MS: u64 = 31_622_400_000;

/// How many readings one member can put on record in one block: fewer than stand in one answer of the access log.
pub const PER_BLOCK_MAX: usize = 64;

/// How many readings of one member the owners may not be told of yet.
pub const UNDISCLOSED_MAX: usize = 4_096;

/// What somebody wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The registry of an issue as of a moment.
    Registry(Isin, RecordTime),
    /// What accounts hold.
    Holdings,
    /// Trades.
    Trades,
    /// Totals.
    Audit,
}

impl Reading {
    /// The actions that let somebody read it, the fullest first.
    const fn actions(&self) -> &'static [Action] {
        match self {
            Self::Registry(..) => &[Action::ReadRegistry, Action::ReadShareholders],
            Self::Holdings => &[Action::ReadHoldings],
            Self::Trades => &[Action::ReadTrades],
            Self::Audit => &[Action::ReadAudit],
        }
    }
}

/// Who wants a reading on record, and how.
pub struct NewAccess<'a> {
    /// The reader.
    pub reader: MemberId,
    /// Fingerprint of the certificate that it asks under.
    pub certificate: [u8; 32],
    /// What it wants to read.
    pub reading: Reading,
    /// A digest of the question in all its parts: nothing else is answered for this record.
    pub question: [u8; 32],
    /// From when on the owners are told, milliseconds since 1970; at once if that is over.
    pub disclosed_ms: u64,
    /// What policies let the reader do.
    pub authority: &'a dyn Authority,
}

/// A reading on record, which says what may be answered for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded(AccessIndex);

/// Whether a reading is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRecord {
    /// It is, since a block that is final with its results.
    Yes(Recorded),
    /// It is, and its block is not that far yet.
    NotYet,
    /// It is not, or no longer answered.
    No,
}

impl State {
    /// Whether a reading must be on record before this caller is answered: it may read others' rows, and some of what
    /// it asks for is not its own.
    #[must_use]
    pub fn needs_record(
        &self,
        caller: MemberId,
        authority: &dyn Authority,
        reading: &Reading,
    ) -> bool {
        let own = match reading {
            Reading::Registry(isin, _) => self
                .issue_by_isin(isin)
                .is_none_or(|(_, issue)| issue.issuer == caller),
            _ => false,
        };
        !own && permits_others(authority, reading)
    }

    /// Puts a reading on record.
    ///
    /// # Errors
    /// The outcome to answer instead: `not-permitted` for roles that may not read others' rows of this kind, or not
    /// delay that the owners are told; `not-found` for an issue that does not exist; `unknown-record-time`; `limit`.
    pub fn put_on_record(&mut self, new: &NewAccess<'_>) -> Outcome {
        match self.attempt_record(new) {
            Ok(access) => {
                let index = self.accesses.push(access);
                self.lookups.list_access(index, &access);
                Outcome::SETTLED
            }
            Err(code) => Outcome::refused(code),
        }
    }

    fn attempt_record(&self, new: &NewAccess<'_>) -> Result<Access, Code> {
        self.members.find(new.reader).ok_or(Code::NotAMember)?;
        if !permits_others(new.authority, &new.reading) {
            return Err(Code::NotPermitted);
        }
        let delayed = new.disclosed_ms > self.clock.time_ms;
        if delayed
            && !new
                .authority
                .permits(Action::DelayDisclosure, Relation::Own)
        {
            return Err(Code::NotPermitted);
        }
        let (read, moment) = match &new.reading {
            Reading::Registry(isin, as_of) => {
                let (issue, _) = self.issue_by_isin(isin).ok_or(Code::NotFound)?;
                let moment = self.moment(*as_of)?.sequence;
                let as_of = *as_of;
                let is_over = self.is_over(as_of);
                (Read::Registry { issue, as_of }, is_over.then_some(moment))
            }
            Reading::Holdings => (Read::Holdings, None),
            Reading::Trades => (Read::Trades, None),
            Reading::Audit => (Read::Audit, None),
        };
        if delayed && new.disclosed_ms.saturating_sub(self.clock.time_ms) > DELAY_MAX_MS {
            return Err(Code::Limit);
        }
        if delayed && self.undisclosed(new.reader) >= UNDISCLOSED_MAX {
            return Err(Code::Limit);
        }
        let here = self.accesses.rows().iter().rev();
        let here = here.take_while(|access| access.height == self.clock.height);
        let own = here.filter(|access| access.reader == new.reader);
        if own.count() >= PER_BLOCK_MAX {
            return Err(Code::Limit);
        }
        self.check_room()?;
        Ok(Access {
            reader: new.reader,
            certificate: new.certificate,
            read,
            question: new.question,
            height: self.clock.height,
            time_ms: self.clock.time_ms,
            moment,
            accounts: self.accounts.len(),
            trades: self.trades.len(),
            issues: self.issues.len(),
            currencies: self.currencies.len(),
            disclosed_ms: new.disclosed_ms.max(self.clock.time_ms),
        })
    }

    /// How many readings of a member the owners are not told of yet.
    fn undisclosed(&self, reader: MemberId) -> usize {
        let after = (self.clock.time_ms.saturating_add(1), AccessIndex(0));
        let lists = self.lookups.disclosures.values();
        let waiting = lists.flat_map(|list| list.range(after..));
        let own = waiting.filter(|(_, index)| self.accesses.row(*index).reader == reader);
        own.count()
    }

    /// Whether the block at `height` put a reader's question on record, under the same certificate, and it may be answered
    /// now; `final_height` is the newest block whose results a final header commits to.
    #[must_use]
    pub fn on_record(
        &self,
        (reader, certificate): (MemberId, &[u8; 32]),
        question: &[u8; 32],
        height: u64,
        final_height: u64,
    ) -> OnRecord {
        let from_ms = self.clock.time_ms.saturating_sub(ANSWERED_MS);
        let rows = self.accesses.iter().rev();
        // Nothing older is answered, however far back a question points.
        let later =
            rows.take_while(|(_, access)| access.height >= height && access.time_ms >= from_ms);
        let mut there = later.filter(|(_, access)| access.height == height);
        let found = there.find(|(_, access)| {
            access.reader == reader
                && access.certificate == *certificate
                && access.question == *question
        });
        match found {
            None => OnRecord::No,
            Some(_) if height > final_height => OnRecord::NotYet,
            Some((index, _)) => OnRecord::Yes(Recorded(index)),
        }
    }

    /// The registry for which a reading is on record, as of the moment that the record has: nobody is in it who would not
    /// be told.
    ///
    /// # Errors
    /// As for [`State::registry`].
    pub fn registry_on_record(
        &self,
        (caller, authority): (MemberId, &dyn Authority),
        isin: &Isin,
        recorded: Recorded,
        names: Names<'_>,
    ) -> Result<RegistryView, Outcome> {
        let access = self.accesses.find(recorded.0).ok_or(Code::NotOnRecord)?;
        self.registry_at(caller, authority, isin, self.moment_read(access), names)
    }

    /// Leaves out of a view of all holdings what came after the reading was put on record.
    pub fn as_recorded_holdings(&self, view: &mut HoldingsView, recorded: Recorded) {
        let count = self.accesses.find(recorded.0).map_or(0, |one| one.accounts);
        view.accounts.retain(|row| {
            let found = self.account_by_id(&row.account);
            found.is_some_and(|(index, _)| index.0 < count)
        });
    }

    /// The same for a view of all trades, which are in the order of their recording.
    pub fn as_recorded_trades(&self, view: &mut TradesView, recorded: Recorded) {
        let count = self.accesses.find(recorded.0).map_or(0, |one| one.trades);
        view.trades.truncate(count as usize);
    }

    /// The same for the totals.
    pub fn as_recorded_totals(&self, view: &mut AuditView, recorded: Recorded) {
        let access = self.accesses.find(recorded.0);
        let (issues, currencies) = access.map_or((0, 0), |one| (one.issues, one.currencies));
        view.issues.retain(|row| {
            let found = self.issue_by_isin(&row.isin);
            found.is_some_and(|(index, _)| index.0 < issues)
        });
        let codes = self.currencies.rows().iter().take(currencies as usize);
        let codes: Vec<_> = codes.map(|row| row.code).collect();
        view.currencies.retain(|row| codes.contains(&row.currency));
    }

    /// Whether nothing that comes can change which moment is meant.
    fn is_over(&self, as_of: RecordTime) -> bool {
        match as_of {
            RecordTime::Now => false,
            RecordTime::Height(height) => height < self.clock.height,
            RecordTime::Time(time_ms) => time_ms < self.clock.time_ms,
            RecordTime::Date(date) => self.clock.business_date.is_some_and(|now| date < now),
        }
    }

    /// The moment of the registry that was read: where it was not over, the end of the block that has the record.
    fn moment_read(&self, access: &Access) -> Moment {
        let end = || self.end_of_block(access.height);
        match (access.moment, access.read) {
            (Some(_), Read::Registry { as_of, .. }) => self.moment(as_of).unwrap_or_else(|_| end()),
            _ => end(),
        }
    }

    /// What of the books is a member's, as far as readings may be about it.
    pub(crate) fn own_of(&self, member: MemberId) -> Own {
        Own {
            positions: self.positions_kept(member),
            ..self.own_but_positions(member)
        }
    }

    /// The same without positions, which takes no longer the more there are.
    pub(crate) fn own_but_positions(&self, member: MemberId) -> Own {
        let lists = self.lookups.by_member.get(member.place() as usize);
        let issues = self.issues.iter();
        let issues = issues.filter(|(_, issue)| issue.issuer == member);
        let mut currencies = self.currencies.iter();
        Own {
            positions: BTreeMap::new(),
            // Both lists are in the order of the tables.
            first_account: lists.and_then(|lists| lists.accounts.first().map(|index| index.0)),
            first_trade: lists.and_then(|lists| lists.trades.first().map(|index| index.0)),
            issues: issues.map(|(index, _)| index).collect(),
            first_currency: currencies
                .find(|(_, currency)| currency.agent == member)
                .map(|(index, _)| index.0),
        }
    }

    /// The positions on the accounts that a member keeps, by issue.
    pub(crate) fn positions_kept(
        &self,
        member: MemberId,
    ) -> BTreeMap<IssueIndex, Vec<PositionIndex>> {
        let lists = self.lookups.by_member.get(member.place() as usize);
        let accounts = lists.map_or(&[][..], |lists| &lists.accounts);
        let mut positions: BTreeMap<IssueIndex, Vec<PositionIndex>> = BTreeMap::new();
        for account in accounts {
            let lists = self.lookups.by_account.get(account.place() as usize);
            for (issue, position) in lists.into_iter().flat_map(|lists| &lists.positions) {
                positions.entry(*issue).or_default().push(*position);
            }
        }
        positions
    }

    /// Whether some of what was read was this member's: it issued the issue or kept an account with units of it at the
    /// moment that was read, kept accounts, was a party to trades, or stood behind the totals.
    pub(crate) fn concerns(&self, own: &Own, access: &Access) -> bool {
        let before = |first: Option<u32>, count: u32| first.is_some_and(|first| first < count);
        match access.read {
            Read::Registry { issue, .. } => {
                let sequence = self.moment_read(access).sequence;
                let mut positions = own.positions.get(&issue).into_iter().flatten();
                own.issues.contains(&issue)
                    || positions.any(|one| self.position_history.value_at(*one, sequence) > 0)
            }
            Read::Holdings => before(own.first_account, access.accounts),
            Read::Trades => before(own.first_trade, access.trades),
            Read::Audit => {
                let first_issue = own.issues.first().map(|index| index.0);
                before(first_issue, access.issues) || before(own.first_currency, access.currencies)
            }
        }
    }
}

/// What of the books is one member's.
pub(crate) struct Own {
    pub(crate) positions: BTreeMap<IssueIndex, Vec<PositionIndex>>,
    first_account: Option<u32>,
    first_trade: Option<u32>,
    pub(crate) issues: BTreeSet<IssueIndex>,
    first_currency: Option<u32>,
}

impl Lookups {
    /// Lists a reading by what was read and by when the owners are told.
    pub(crate) fn list_access(&mut self, index: AccessIndex, access: &Access) {
        let issue = match access.read {
            Read::Registry { issue, .. } => Some(issue),
            Read::Holdings | Read::Trades | Read::Audit => None,
        };
        let list = self.disclosures.entry(issue).or_default();
        list.insert((access.disclosed_ms, index));
    }
}

fn permits_others(authority: &dyn Authority, reading: &Reading) -> bool {
    let mut actions = reading.actions().iter();
    actions.any(|action| authority.permits(*action, Relation::Other))
}
