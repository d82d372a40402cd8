//! Which refusals have been told lately, so that a peer that comes again and again fills no log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::IdentityError;

const INTERVAL: Duration = Duration::from_secs(60);
/// More reasons than this are forgotten, all at once.
const REASONS_MAX: usize = 64;

/// The reasons that were told, and when. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    told: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Refusals {
    /// Our reason behind a failed handshake, if it is a revocation list and was not given in the last
    /// minute. Its text names no party.
    pub fn revoked<'a>(&self, error: &'a rustls::Error) -> Option<&'a IdentityError> {
        let reason = super::refusal(error).filter(|reason| reason.concerns_revocation())?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, now) = (reason.to_string(), Instant::now());
        let lately = |then: &Instant| now.saturating_duration_since(*then) < INTERVAL;
        if told.get(&text).is_some_and(lately) {
            return None;
        }
        if told.len() >= REASONS_MAX {
            told.clear();
        }
        told.insert(text, now);
        Some(reason)
    }
}
