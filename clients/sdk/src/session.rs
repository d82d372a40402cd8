//! The session of a client that sends steadily: one transaction agrees on a key, and those after it are sealed without a
//! key agreement of their own.
//!
//! A client opens one when it is told to ([`Client::set_sessions`]) and has something to send, and goes on without where
//! that fails. An envelope of a session is followed like any other: handed in again, as it is, until something came of it.
//! Orders are sealed anew only if no node has taken the envelope, and none will because its key epoch has ended.
//!
//! The key that replies come under follows from the member's own key and the envelope here, too, by one signature for all
//! sessions of a key epoch.
//!
//! INVARIANT: counters lie in memory only, and each is used for one envelope. A client that starts again opens another
//! session.

use std::time::{Duration, Instant};

use sealbook_primitives::hash::{Digest, keyed_hash};
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::client::Stage;
use sealbook_protocol::payload::OrderBytes;
use sealbook_sealing::session::{SessionKey, Tag};
use sealbook_sealing::{Sealer, Suite};

use crate::ClientError;
use crate::client::{Client, Sealed, Submitted, now_ms};
use crate::order::Prepared;

const REPLY_KEY_DOMAIN: &str = "sealbook 2026 session reply key v1";
/// After how long without a reply a session is given up. The ledger ends it after twice as long.
const IDLE_MS: u64 = 300_000;
/// How long after a try another one to open a session is made at the earliest.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, where the ledger refused: the member has as many as it may have, and they end after ten minutes.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Whether a client wants sessions, and the one that it has.
#[derive(Default)]
pub(crate) struct Sessions {
    wanted: bool,
    present: Option<Session>,
    /// When the next may be opened.
    next: Option<Instant>,
}

/// The ledger opened no session.
struct Refused;

/// A session that the ledger knows.
struct Session {
    key: SessionKey,
    key_epoch: u32,
    /// What reply keys are derived from.
    replies: Secret32,
    /// The counter of the next envelope.
    next: u64,
    /// Ledger time of the newest reply.
    used_ms: u64,
}

impl Session {
    /// A sealer of its own for the next envelope, with the key that replies to it come under.
    fn next(&mut self, suite: Suite) -> (Sealer, Secret32) {
        let counter = self.next;
        self.next = counter.saturating_add(1);
        let reply_key = reply_key(&self.replies, &self.key.tag(counter));
        (Sealer::in_session(suite, &self.key, counter), reply_key)
    }

    const fn is_usable(&self, key_epoch: u32, now_ms: u64) -> bool {
        self.key_epoch == key_epoch && now_ms.saturating_sub(self.used_ms) <= IDLE_MS
    }
}

/// The key that replies to a message of a session come under.
pub(crate) fn reply_key(replies: &Secret32, tag: &Tag) -> Secret32 {
    Secret32::new(keyed_hash(replies, REPLY_KEY_DOMAIN, &[tag]).0)
}

impl Client {
    /// Whether to seal transactions within sessions from now on. It is off at first: who sends now and then gains nothing
    /// by it. From the outside it shows of an envelope whether it is of a session, but not of which.
    pub fn set_sessions(&mut self, wanted: bool) {
        self.sessions = Sessions {
            wanted,
            ..Sessions::default()
        };
    }

    /// Whether this client has a session that the ledger knows.
    #[must_use]
    pub const fn has_session(&self) -> bool {
        self.sessions.present.is_some()
    }

    /// Opens a session, if one is wanted and the one that there was is none any more. Without one the client goes on as
    /// others do.
    pub(crate) fn tend_session(&mut self) {
        let key_epoch = self.network.opening().key_epoch;
        let usable = |session: &Session| session.is_usable(key_epoch, now_ms());
        if !self.sessions.wanted || self.sessions.present.as_ref().is_some_and(usable) {
            return;
        }
        self.sessions.present = None;
        if self.sessions.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let (opened, pause) = match self.open_session() {
            Some(Ok(session)) => (Some(session), PAUSE),
            Some(Err(Refused)) => (None, REFUSED_PAUSE),
            None => (None, PAUSE),
        };
        self.sessions.present = opened;
        self.sessions.next = Some(Instant::now() + pause);
    }

    /// Tries once, at one node; nothing if nothing came of it.
    fn open_session(&mut self) -> Option<Result<Session, Refused>> {
        let orders = [Prepared::alone(OrderBytes::OpenSession)];
        let sealed = self.seal(&orders).ok()?;
        let one = std::slice::from_ref(&sealed);
        let replies = self.try_together(one, Stage::Outcome, &mut [false]).ok()?;
        let reply = replies.into_iter().next().flatten()?;
        let opened = self.submitted(sealed.id, &reply, Stage::Outcome).ok()?;
        if !opened.outcomes.iter().all(|outcome| outcome.is_accepted()) {
            return Some(Err(Refused));
        }
        Some(Ok(Session {
            key: SessionKey::opened_by(&sealed.reply_key, &self.identity.fingerprint()),
            key_epoch: sealed.key_epoch,
            replies: self
                .identity
                .session_replies(&self.network.id(), sealed.key_epoch),
            next: 0,
            used_ms: opened.time_ms,
        }))
    }

    /// Seals orders within the session, if there is one, and otherwise by themselves.
    pub(crate) fn seal_next(&mut self, orders: &[Prepared]) -> Result<Sealed, ClientError> {
        let opening = self.network.opening();
        let session = self.sessions.present.as_mut();
        let session = session.filter(|session| session.key_epoch == opening.key_epoch);
        match session.map(|session| session.next(opening.key.suite())) {
            Some((sealer, reply_key)) => self.seal_with(sealer, &opening, reply_key, orders),
            None => self.seal(orders),
        }
    }

    /// Notes what came of an envelope: a session in which something went wrong is not used any more, since what was not
    /// ordered of it leaves its counters behind.
    pub(crate) fn note_session(&mut self, sealed: &Sealed, done: &Result<Submitted, ClientError>) {
        if !sealed.in_session {
            return;
        }
        match (&mut self.sessions.present, done) {
            (Some(session), Ok(done)) => session.used_ms = session.used_ms.max(done.time_ms),
            (present, Err(_)) => *present = None,
            (None, Ok(_)) => {}
        }
    }
}

/// The domain of the signature that [`reply_key`] is derived from.
pub(crate) const REPLIES_SIGNATURE: &str = "sealbook 2026 session replies v1";

/// What that signature is over.
pub(crate) fn replies_message(network: &Digest, key_epoch: u32) -> Vec<u8> {
    [network.as_bytes().as_slice(), &key_epoch.to_le_bytes()].concat()
}
