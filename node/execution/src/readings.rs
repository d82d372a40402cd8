//! Readings of what is others': ordered and put on record first, answered when that is final.
//!
//! INVARIANT: what a member reads beyond its own is on the ledger before any module answers it, so that no module, and
//! no host that keeps one apart from the others, can read in secret.

use borsh::BorshDeserialize as _;
use sealbook_primitives::hash::{Digest, hash};
use sealbook_protocol::payload::{AsOf, Question};
use sealbook_securities::{
    Authority, BusinessDate, Code, Isin, MemberId, NewAccess, OnRecord, Outcome, Reading,
    RecordTime,
};

use crate::engine::Engine;
use crate::permissions::Permissions;

const QUESTION_DOMAIN: &str = "sealbook 2026 question on record v1";
/// The longest encoded question.
const QUESTION_BYTES_MAX: usize = 256;

impl Engine {
    pub(crate) fn execute_read(
        &mut self,
        (reader, certificate): (MemberId, Digest),
        question: &[u8],
        disclosed_ms: u64,
    ) -> Outcome {
        let read = (question.len() <= QUESTION_BYTES_MAX)
            .then(|| Question::try_from_slice(question).ok())
            .flatten();
        // What is certified is put on record by the order that certifies it.
        let read = read.filter(|read| !matches!(read, Question::CertifiedRegistry { .. }));
        let Some(reading) = read.as_ref().and_then(reading_of) else {
            return Outcome::refused(Code::Malformed);
        };
        let Self {
            state, policies, ..
        } = self;
        let Some(member) = state.member(reader) else {
            return Outcome::refused(Code::NotAMember);
        };
        let (name, role) = (member.name, member.role);
        let authority = Permissions {
            policies,
            member: name.as_str(),
            role: role.as_str(),
        };
        state.put_on_record(&NewAccess {
            reader,
            certificate: certificate.0,
            reading,
            question: digest_of(question).0,
            disclosed_ms,
            authority: &authority,
        })
    }

    /// Whether the block at a height put a question on record; nothing if it needs no record.
    pub(crate) fn check_record(
        &self,
        (caller, certificate): (MemberId, &Digest),
        authority: &dyn Authority,
        question: &Question,
        recorded: Option<u64>,
    ) -> Option<OnRecord> {
        let needs = reading_of(question)
            .is_some_and(|reading| self.state.needs_record(caller, authority, &reading));
        if !needs {
            return None;
        }
        let Some(recorded) = recorded else {
            return Some(OnRecord::No);
        };
        // Whatever part of a certified registry is asked for, it was put on record as a whole.
        let whole = match question {
            Question::CertifiedRegistry { isin, as_of, .. } => certified(isin, *as_of),
            other => other.clone(),
        };
        let digest = digest_of(&borsh::to_vec(&whole).unwrap_or_default());
        let reader = (caller, &certificate.0);
        let height = self.committed.height;
        Some(self.state.on_record(reader, &digest.0, recorded, height))
    }
}

/// The question about all of a certified registry.
pub fn certified(isin: &str, as_of: AsOf) -> Question {
    Question::CertifiedRegistry {
        isin: isin.to_owned(),
        as_of,
        from: 0,
    }
}

pub fn digest_of(question: &[u8]) -> Digest {
    hash(QUESTION_DOMAIN, &[question])
}

/// What a question asks to read of the books; nothing if it is about something else, or is none.
fn reading_of(question: &Question) -> Option<Reading> {
    match question {
        Question::Registry { isin, as_of } => Some(Reading::Registry(
            Isin::new(isin).ok()?,
            record_time(*as_of)?,
        )),
        Question::CertifiedRegistry { isin, as_of, .. } => Some(Reading::Registry(
            Isin::new(isin).ok()?,
            record_time(*as_of)?,
        )),
        Question::Holdings => Some(Reading::Holdings),
        Question::Trades => Some(Reading::Trades),
        Question::Audit => Some(Reading::Audit),
        Question::Member
        | Question::Governance
        | Question::AccessLog { .. }
        | Question::Events { .. } => None,
    }
}

pub fn record_time(as_of: AsOf) -> Option<RecordTime> {
    Some(match as_of {
        AsOf::Now => RecordTime::Now,
        AsOf::Height(height) => RecordTime::Height(height),
        AsOf::Time(time_ms) => RecordTime::Time(time_ms),
        AsOf::Date { year, month, day } => RecordTime::Date(BusinessDate::new(year, month, day)?),
    })
}
