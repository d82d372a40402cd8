//! The session of a client that sends steadily: one transaction agrees on a key, and those after it are sealed without a
//! key agreement of their own.
//!
//! A client opens one when it is told to ([`Client::set_sessions`]) and has something to send. Whenever something is wrong
//! with it, it goes on without: what was sent within the session and not answered is sealed anew, the same orders under
//! the same references, so that they take effect once whichever envelope comes first.
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
/// How long after a failure, or after it was opened, another session is opened at the earliest.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a client wants sessions, and the one that it has.
#[derive(Default)]
pub(crate) struct Sessions {
    wanted: bool,
    present: Option<Session>,
    tried: Option<Instant>,
}

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
        let now = Instant::now();
        let waits = |tried: Instant| now.saturating_duration_since(tried) < PAUSE;
        if self.sessions.tried.is_some_and(waits) {
            return;
        }
        self.sessions.tried = Some(now);
        self.sessions.present = self.open_session().ok().flatten();
    }

    fn open_session(&mut self) -> Result<Option<Session>, ClientError> {
        let sealed = self.seal(&[Prepared::alone(OrderBytes::OpenSession)])?;
        let Some(opened) = self.try_one(&sealed, Stage::Outcome, &mut false)? else {
            return Ok(None);
        };
        let is_open = opened.outcomes.iter().all(|outcome| outcome.is_accepted());
        Ok(is_open.then(|| Session {
            key: SessionKey::opened_by(&sealed.reply_key, &sealed.id),
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

    /// Hands in one envelope once, at one node; nothing if nothing came of it. Notes whether the node may have taken it.
    pub(crate) fn try_one(
        &mut self,
        sealed: &Sealed,
        stage: Stage,
        taken: &mut bool,
    ) -> Result<Option<Submitted>, ClientError> {
        let all = std::slice::from_ref(sealed);
        let tried = self.try_together(all, stage, std::slice::from_mut(taken));
        let reply = tried.ok().and_then(|mut replies| replies.pop().flatten());
        let submitted = reply.map(|reply| self.submitted(sealed.id, &reply, stage));
        let submitted = submitted.transpose()?;
        if let (true, Some(done)) = (sealed.in_session, &submitted) {
            self.note_session(done.time_ms);
        }
        Ok(submitted)
    }

    /// Notes that a reply came within the session.
    pub(crate) fn note_session(&mut self, time_ms: u64) {
        if let Some(session) = &mut self.sessions.present {
            session.used_ms = session.used_ms.max(time_ms);
        }
    }

    /// Gives the session up, and seals orders anew that were sealed within it.
    pub(crate) fn seal_without(&mut self, orders: &[Prepared]) -> Result<Sealed, ClientError> {
        self.sessions.present = None;
        self.seal(orders)
    }
}

/// The domain of the signature that [`reply_key`] is derived from.
pub(crate) const REPLIES_SIGNATURE: &str = "sealbook 2026 session replies v1";

/// What that signature is over.
pub(crate) fn replies_message(network: &Digest, key_epoch: u32) -> Vec<u8> {
    [network.as_bytes().as_slice(), &key_epoch.to_le_bytes()].concat()
}
