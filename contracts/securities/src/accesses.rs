//! Readings of what is others': put on record before they are answered, so that the owners can be told.
//!
//! Whoever may read more than its own rows first puts the reading on record; the surroundings answer it only then. A
//! record says who read what, under which certificate, when, and from when on the owners are told. It never changes.
//!
//! INVARIANT: whom a reading concerned follows from its row and the books alone, at any later time.

use crate::authority::{Action, Authority, Relation};
use crate::instruction::RecordTime;
use crate::isin::Isin;
use crate::outcome::{Code, Outcome};
use crate::rows::{Access, IssueIndex, MemberId, Read};
use crate::state::State;
use crate::table::RowIndex;

/// For how long a reading on record may be answered, milliseconds of the ledger's time.
pub const ANSWERED_MS: u64 = 60_000;
/// How long the owners may be kept from a reading at the most: 366 days in milliseconds.
pub const DELAY_MAX_MS: u64 = 31_622_400_000;

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

/// Whether a reading is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRecord {
    /// It is, since a block that is final with its results.
    Yes,
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
                self.accesses.push(access);
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
                (Read::Registry { issue, as_of }, moment)
            }
            Reading::Holdings => (Read::Holdings, self.now().sequence),
            Reading::Trades => (Read::Trades, self.now().sequence),
            Reading::Audit => (Read::Audit, self.now().sequence),
        };
        if delayed && new.disclosed_ms.saturating_sub(self.clock.time_ms) > DELAY_MAX_MS {
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

    /// Whether a reader's question is on record and may be answered now; `final_height` is the newest block whose
    /// results a final header commits to.
    #[must_use]
    pub fn on_record(&self, reader: MemberId, question: &[u8; 32], final_height: u64) -> OnRecord {
        let from_ms = self.clock.time_ms.saturating_sub(ANSWERED_MS);
        let rows = self.accesses.rows().iter().rev();
        let recent = rows.take_while(|access| access.time_ms >= from_ms);
        // The oldest that still counts: it is final first.
        let found = recent
            .filter(|access| access.reader == reader && access.question == *question)
            .last();
        match found {
            Some(access) if access.height <= final_height => OnRecord::Yes,
            Some(_) => OnRecord::NotYet,
            None => OnRecord::No,
        }
    }

    /// Whether some of what was read was this member's: it issued the issue or kept an account with units of it at the
    /// moment that was read, kept accounts, was a party to trades, or stood behind the totals.
    pub(crate) fn concerns(&self, member: MemberId, access: &Access) -> bool {
        let lists = self.lookups.by_member.get(member.place() as usize);
        let accounts = lists.map_or(&[][..], |lists| &lists.accounts);
        let trades = lists.map_or(&[][..], |lists| &lists.trades);
        match access.read {
            Read::Registry { issue, .. } => {
                let held = |account| self.held(account, issue, access.moment);
                self.issues.row(issue).issuer == member || accounts.iter().copied().any(held)
            }
            Read::Holdings => accounts.iter().any(|index| index.0 < access.accounts),
            Read::Trades => trades.iter().any(|index| index.0 < access.trades),
            Read::Audit => {
                let (issues, currencies) = (access.issues as usize, access.currencies as usize);
                let mut issues = self.issues.rows().iter().take(issues);
                let mut currencies = self.currencies.rows().iter().take(currencies);
                issues.any(|issue| issue.issuer == member)
                    || currencies.any(|currency| currency.agent == member)
            }
        }
    }

    /// Whether an account held units of an issue at a moment.
    fn held(&self, account: crate::rows::AccountIndex, issue: IssueIndex, moment: u64) -> bool {
        let lists = self.lookups.by_account.get(account.place() as usize);
        let positions = lists.map_or(&[][..], |lists| &lists.positions);
        let found = positions.iter().find(|(of, _)| *of == issue);
        found.is_some_and(|(_, index)| self.position_history.value_at(*index, moment) > 0)
    }
}

fn permits_others(authority: &dyn Authority, reading: &Reading) -> bool {
    let mut actions = reading.actions().iter();
    actions.any(|action| authority.permits(*action, Relation::Other))
}
