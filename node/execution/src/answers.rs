//! Queries: opened, verified, decided by policy and answered sealed to the caller.
//!
//! "Not there" and "not yours" give the same bytes before sealing, and sizes are padded to buckets.

use borsh::BorshDeserialize;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::payload::{
    Answer, AnswerBody, CertificateAnswer, MemberAnswer, PAYLOAD_VERSION, QUERY_VERSION, Query,
    Question,
};
use sealbook_sealing::{Envelope, Purpose};
use sealbook_securities::{
    AccountIndex, Authority, Code, EVENTS_MAX, EventCursor, Isin, MemberId, OnRecord, Outcome,
};
use zeroize::Zeroizing;

use crate::certificates::Certificate;
use crate::contracts::contract_asked;
use crate::engine::{ANSWER_CONTEXT, Engine, seal};
use crate::permissions::Permissions;
use crate::readings::record_time;

/// The largest sealed query, in bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;
/// The longest content of an answer; one that is longer could not be sent to the caller.
const ANSWER_BYTES_MAX: usize = 14 * 1024 * 1024;

impl Engine {
    /// Answers a sealed query, or gives nothing where there is nobody to answer to: it does not open, is not signed
    /// by a member, has expired, or was answered before. An engine that has stopped answers nothing, since its state
    /// may not be the network's; nor does one whose sign of life has not come back, since its state may be an old one.
    pub fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.is_stopped() || !self.is_awake() {
            return None;
        }
        let envelope = Envelope::decode(bytes, QUERY_BYTES_MAX).ok()?;
        let expires_ms = envelope.header.expires_ms;
        let horizon_ms = self
            .head
            .time_ms
            .saturating_add(self.definition().parameters.expiry_horizon_ms);
        if expires_ms < self.head.time_ms || expires_ms > horizon_ms {
            return None;
        }
        let mut signed = self.open_signed(
            &envelope,
            Purpose::Query,
            self.head.height.saturating_add(1),
        )?;
        let query = Query::try_from_slice(&signed.body).ok()?;
        if query.version != QUERY_VERSION {
            return None;
        }
        let reply_key = Secret32::new(query.reply_key);
        let body = match self.current_member(&signed.certificate, self.head.time_ms) {
            Some((caller, key)) => {
                self.check_signature(&envelope, Purpose::Query, &signed, &key)?;
                if !self.asked.note(caller, expires_ms, envelope.digest()) {
                    return None;
                }
                self.answer_member((caller, &signed.certificate), &query)
            }
            // The caller may know of its own admission from a node that is ahead of this one.
            None if query.height_min > self.head.height => AnswerBody::Behind,
            None => refused(&Outcome::refused(Code::NotAMember)),
        };
        drop(Zeroizing::new(std::mem::take(&mut signed.body)));
        let answer = Answer {
            version: PAYLOAD_VERSION,
            height: self.head.height,
            time_ms: self.head.time_ms,
            state_root: self.state_root(),
            body,
        };
        Some(seal(envelope.digest(), &reply_key, ANSWER_CONTEXT, &answer).sealed)
    }

    fn answer_member(
        &self,
        (caller, certificate): (MemberId, &Digest),
        query: &Query,
    ) -> AnswerBody {
        if query.height_min > self.head.height {
            return AnswerBody::Behind;
        }
        if !self.authorises(contract_asked(&query.question)) {
            return refused(&Outcome::refused(Code::NotAuthorised));
        }
        let Some(member) = self.state.member(caller) else {
            return refused(&Outcome::refused(Code::NotAMember));
        };
        let permissions = Permissions {
            policies: &self.policies,
            member: member.name.as_str(),
            role: member.role.as_str(),
        };
        let reader = (caller, certificate);
        let recorded =
            match self.check_record(reader, &permissions, &query.question, query.recorded) {
                None => None,
                Some(OnRecord::Yes(recorded)) => Some(recorded),
                Some(OnRecord::NotYet) => return AnswerBody::Behind,
                Some(OnRecord::No) => return refused(&Outcome::refused(Code::NotOnRecord)),
            };
        let names = |account: AccountIndex| self.names.get(account).map(|name| name.holder.clone());
        match &query.question {
            Question::Registry { isin, as_of } => {
                let (Ok(isin), Some(as_of)) = (Isin::new(isin), record_time(*as_of)) else {
                    return refused(&Outcome::refused(Code::Malformed));
                };
                view(match recorded {
                    Some(recorded) => {
                        let by = (caller, &permissions as &dyn Authority);
                        self.state.registry_on_record(by, &isin, recorded, &names)
                    }
                    None => self
                        .state
                        .registry(caller, &permissions, &isin, as_of, &names),
                })
            }
            Question::Holdings => {
                let found = self.state.holdings(caller, &permissions, &names);
                view(found.map(|mut view| {
                    if let Some(recorded) = recorded {
                        self.state.as_recorded_holdings(&mut view, recorded);
                    }
                    view
                }))
            }
            Question::Trades => {
                let found = self.state.trades(caller, &permissions);
                view(found.map(|mut view| {
                    if let Some(recorded) = recorded {
                        self.state.as_recorded_trades(&mut view, recorded);
                    }
                    view
                }))
            }
            Question::Audit => {
                let found = self.state.audit(caller, &permissions);
                view(found.map(|mut view| {
                    if let Some(recorded) = recorded {
                        self.state.as_recorded_totals(&mut view, recorded);
                    }
                    view
                }))
            }
            Question::CertifiedRegistry { isin, as_of, from } => {
                let height = query.recorded.unwrap_or(0);
                let by = (caller, &permissions as &dyn Authority);
                let page = self.certified_page(by, isin, *as_of, (height, *from));
                view(page.map_err(Outcome::refused))
            }
            Question::AccessLog { from_height } => {
                view(self.state.access_log(caller, &permissions, *from_height))
            }
            Question::Events { height, place } => {
                let from = EventCursor {
                    height: *height,
                    place: *place,
                };
                let until = (self.committed.height, EVENTS_MAX);
                view(self.state.events(caller, &permissions, from, until))
            }
            Question::Member => AnswerBody::Member(MemberAnswer {
                name: member.name.as_str().to_owned(),
                role: member.role.as_str().to_owned(),
                organisation: member.organisation.as_str().to_owned(),
                certificates: self.certificates.of(caller).map(shown).collect(),
            }),
            // Every member may know what is decided about the network, and by whom.
            Question::Governance => view(Ok(self.governance.view())),
        }
    }
}

fn shown((fingerprint, certificate): (&Digest, &Certificate)) -> CertificateAnswer {
    CertificateAnswer {
        fingerprint: *fingerprint,
        ends_ms: certificate.ends_ms,
        revoked: certificate
            .revoked
            .map(|revoked| (revoked.height, revoked.reason)),
    }
}

fn refused(outcome: &Outcome) -> AnswerBody {
    AnswerBody::Refused(borsh::to_vec(outcome).unwrap_or_default())
}

fn view<T: borsh::BorshSerialize>(result: Result<T, Outcome>) -> AnswerBody {
    match result {
        Ok(view) => match borsh::to_vec(&view) {
            Ok(bytes) if bytes.len() <= ANSWER_BYTES_MAX => AnswerBody::View(bytes),
            _ => refused(&Outcome::refused(Code::Limit)),
        },
        Err(outcome) => refused(&outcome),
    }
}
