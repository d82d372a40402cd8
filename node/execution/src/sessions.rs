//! Sessions that members have opened: whose each is, and which of its messages are still to come.
//!
//! ```text
//!            next - 128          next              next + 128
//!  never ...... | taken or not .... | not yet taken ... | ...... not yet
//! ```
//!
//! Each message has a counter and counts once. One that is late is taken as long as no more than [`WINDOW`] counters
//! have gone past it, one that is early if it is no more than so far ahead, since nodes pass envelopes on in any order.
//!
//! A session ends with the key epoch that its opening was sealed to, when its member is removed, and when no message of it
//! came for [`IDLE_MS`]. Its member then opens another one, or seals without.
//!
//! INVARIANT: everything follows from the blocks. The tags follow from the sessions, so that an engine that was restored
//! takes the same messages as one that never stopped; of two sessions with one tag, the one with the lower name has it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_sealing::session::{SessionKey, TAG_LENGTH, Tag};

/// How many sessions one member may have open, under all its certificates.
pub const PER_MEMBER_MAX: usize = 256;
/// How many there may be in all.
pub const ALL_MAX: usize = 4_096;
/// After how long without a message a session ends, in milliseconds of the ledger's time.
pub const IDLE_MS: u64 = 600_000;
/// How far before and behind the newest message others are taken.
pub const WINDOW: u64 = u128::BITS as u64;

const EVENTS_DOMAIN: &str = "sealbook 2026 session events v1";

/// Why a session was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is open already.
    Twice,
    /// The member has as many as it may have, or all have.
    Limit,
}

/// What happened to a session.
#[derive(BorshSerialize)]
enum Event<'a> {
    Opened(&'a Digest, &'a Session),
    Took(&'a Digest, u64, u64),
    Ended(&'a Digest),
}

/// One session.
struct Session {
    key: SessionKey,
    /// Fingerprint of the certificate whose holder opened it.
    certificate: Digest,
    /// The key epoch that its opening was sealed to.
    key_epoch: u32,
    /// Ledger time of its newest message.
    used_ms: u64,
    /// The counter after the highest that was taken.
    next: u64,
    /// Which of the counters before were taken: the lowest bit is of the highest.
    taken: u128,
}

impl Session {
    /// The counters that can still be taken, some of which were.
    const fn window(&self) -> (u64, u64) {
        (
            self.next.saturating_sub(WINDOW),
            self.next.saturating_add(WINDOW),
        )
    }

    const fn may_take(&self, counter: u64) -> bool {
        let (low, high) = self.window();
        let place = self.next.saturating_sub(counter).saturating_sub(1);
        counter >= low && counter < high && (counter >= self.next || self.taken >> place & 1 == 0)
    }

    fn take(&mut self, counter: u64, time_ms: u64) {
        if counter >= self.next {
            let shift = counter.saturating_sub(self.next).saturating_add(1);
            let shift = u32::try_from(shift).unwrap_or(u32::MAX);
            self.taken = self.taken.checked_shl(shift).unwrap_or_default() | 1;
            self.next = counter.saturating_add(1);
        } else {
            let place = self.next.saturating_sub(counter).saturating_sub(1);
            self.taken |= 1_u128
                .checked_shl(u32::try_from(place).unwrap_or(u32::MAX))
                .unwrap_or_default();
        }
        self.used_ms = time_ms;
    }

    const fn is_idle(&self, time_ms: u64) -> bool {
        time_ms.saturating_sub(self.used_ms) > IDLE_MS
    }
}

/// A message of a session, before it is taken.
pub struct Message<'a> {
    /// The session's name.
    pub session: Digest,
    /// The message's counter.
    pub counter: u64,
    /// What the message opens under.
    pub key: &'a SessionKey,
    /// Fingerprint of the certificate whose holder opened the session: nobody else sends in it.
    pub certificate: Digest,
    /// The key epoch of the session.
    pub key_epoch: u32,
}

/// All sessions that are open.
pub struct Sessions {
    open: BTreeMap<Digest, Session>,
    /// The messages that may come, by tag. This follows from `open`.
    tags: BTreeSet<(Tag, Digest, u64)>,
    /// Over everything that happened to sessions up to the last block.
    digest: Digest,
    /// What happened to them in the block under way.
    events: Vec<u8>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            tags: BTreeSet::new(),
            digest: Digest::ZERO,
            events: Vec::new(),
        }
    }
}

impl Sessions {
    /// The message with this tag, if one may come in a block of this time.
    pub fn find(&self, tag: &[u8], time_ms: u64) -> Option<Message<'_>> {
        let tag = <Tag>::try_from(tag).ok()?;
        let from = (tag, Digest([0; 32]), 0);
        let (found, id, counter) = self.tags.range(from..).next()?;
        let session = self.open.get(id)?;
        (*found == tag && !session.is_idle(time_ms)).then_some(Message {
            session: *id,
            counter: *counter,
            key: &session.key,
            certificate: session.certificate,
            key_epoch: session.key_epoch,
        })
    }

    /// Takes a message, in a block of this time; false if it was taken already or may not come any more.
    pub fn take(&mut self, id: &Digest, counter: u64, time_ms: u64) -> bool {
        let Some(session) = self.open.get_mut(id) else {
            return false;
        };
        if session.is_idle(time_ms) || !session.may_take(counter) {
            return false;
        }
        let before = session.window();
        session.take(counter, time_ms);
        let after = session.window();
        let tag = |counter| (session.key.tag(counter), *id, counter);
        self.tags.remove(&tag(counter));
        for gone in before.0..after.0 {
            self.tags.remove(&tag(gone));
        }
        // Those ahead of the one that was taken; a jump leaves none out.
        self.tags.extend((before.1..after.1).map(tag));
        self.note(&Event::Took(id, counter, time_ms));
        true
    }

    /// Opens the session that a transaction with this reply key asks for, in a block of this time; `is_own` says which
    /// certificates are the same member's.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open(
        &mut self,
        reply_key: &Secret32,
        (certificate, key_epoch): (Digest, u32),
        time_ms: u64,
        is_own: impl Fn(&Digest) -> bool,
    ) -> Result<(), Refusal> {
        let key = SessionKey::opened_by(reply_key, &certificate);
        let id = key.name();
        if self.open.contains_key(&id) {
            return Err(Refusal::Twice);
        }
        self.end(|session| session.is_idle(time_ms));
        let own = self.open.values();
        let own = own.filter(|session| is_own(&session.certificate));
        if own.count() >= PER_MEMBER_MAX || self.open.len() >= ALL_MAX {
            return Err(Refusal::Limit);
        }
        let session = Session {
            key,
            certificate,
            key_epoch,
            used_ms: time_ms,
            next: 0,
            taken: 0,
        };
        self.tags.extend(tags(&id, &session));
        note(&mut self.events, &Event::Opened(&id, &session));
        self.open.insert(id, session);
        Ok(())
    }

    /// Ends the sessions that are idle at this time, and those of certificates and key epochs that do not count.
    pub fn end_others(&mut self, time_ms: u64, counts: impl Fn(&Digest, u32) -> bool) {
        self.end(|session| {
            session.is_idle(time_ms) || !counts(&session.certificate, session.key_epoch)
        });
    }

    /// Ends the sessions that were opened under these certificates.
    pub fn end_of(&mut self, certificates: &[Digest]) {
        if !self.open.is_empty() {
            self.end(|session| certificates.contains(&session.certificate));
        }
    }

    fn end(&mut self, is_over: impl Fn(&Session) -> bool) {
        let over = self.open.iter().filter(|(_, session)| is_over(session));
        let over: Vec<Digest> = over.map(|(id, _)| *id).collect();
        for id in over {
            if let Some(session) = self.open.remove(&id) {
                for tag in tags(&id, &session) {
                    self.tags.remove(&tag);
                }
                self.note(&Event::Ended(&id));
            }
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        note(&mut self.events, event);
    }

    /// Closes the block under way.
    pub fn end_block(&mut self) {
        if !self.events.is_empty() {
            let parts: [&[u8]; 2] = [self.digest.as_bytes(), &self.events];
            self.digest = hash(EVENTS_DOMAIN, &parts);
            self.events.clear();
        }
    }

    /// Over everything that happened to sessions up to the last block that was closed.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many are open.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.open.len()
    }
}

fn note(events: &mut Vec<u8>, event: &Event<'_>) {
    // Writing to memory cannot fail.
    let _: std::io::Result<()> = event.serialize(events);
}

/// The messages that may come.
fn tags(id: &Digest, session: &Session) -> impl Iterator<Item = (Tag, Digest, u64)> {
    let (low, high) = session.window();
    let counters = (low..high).filter(|counter| session.may_take(*counter));
    counters.map(|counter| (session.key.tag(counter), *id, counter))
}

/// Without the key, which must not lie in what is hashed and forgotten: what is derived from it serves as well.
impl BorshSerialize for Session {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        let first: [u8; TAG_LENGTH] = self.key.tag(u64::MAX);
        (first, self.certificate, self.key_epoch, self.used_ms).serialize(writer)?;
        (self.next, self.taken).serialize(writer)
    }
}

/// The form in which a snapshot holds them. It is wiped with the rest of the snapshot's content.
impl BorshSerialize for Sessions {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.digest.serialize(writer)?;
        (self.open.len() as u64).serialize(writer)?;
        for (id, session) in &self.open {
            id.serialize(writer)?;
            writer.write_all(session.key.expose())?;
            (session.certificate, session.key_epoch, session.used_ms).serialize(writer)?;
            (session.next, session.taken).serialize(writer)?;
        }
        Ok(())
    }
}

impl BorshDeserialize for Sessions {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let mut sessions = Self {
            digest: Digest::deserialize_reader(reader)?,
            ..Self::default()
        };
        let count = u64::deserialize_reader(reader)?;
        let malformed = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        if count > ALL_MAX as u64 {
            return Err(malformed());
        }
        for _ in 0..count {
            let id = Digest::deserialize_reader(reader)?;
            let key = SessionKey::of(Secret32::new(<[u8; 32]>::deserialize_reader(reader)?));
            let (certificate, key_epoch, used_ms) =
                <(Digest, u32, u64)>::deserialize_reader(reader)?;
            let (next, taken) = <(u64, u128)>::deserialize_reader(reader)?;
            let session = Session {
                key,
                certificate,
                key_epoch,
                used_ms,
                next,
                taken,
            };
            if sessions
                .open
                .last_key_value()
                .is_some_and(|(last, _)| *last >= id)
            {
                return Err(malformed());
            }
            sessions.tags.extend(tags(&id, &session));
            sessions.open.insert(id, session);
        }
        Ok(sessions)
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
