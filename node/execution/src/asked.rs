//! The queries that were answered and could come again.
//!
//! INVARIANT: a query is noted once until it has expired, and no member's queries take the room of another's.

use std::collections::BTreeMap;

use sealbook_primitives::hash::Digest;
use sealbook_securities::MemberId;

/// The most queries that are remembered; more are refused until some have expired.
const QUERIES_MAX: usize = 200_000;
/// The most of them that one member may have.
const QUERIES_MEMBER_MAX: usize = 20_000;

/// Answered queries by expiry and digest, with whoever asked.
#[derive(Default)]
pub struct Asked {
    queries: BTreeMap<(u64, Digest), MemberId>,
    /// How many of them each member has.
    by_member: BTreeMap<MemberId, usize>,
}

impl Asked {
    /// Notes a query; false if it was asked before, or if there is no room for one more of this member.
    pub fn note(&mut self, member: MemberId, expires_ms: u64, query: Digest) -> bool {
        let count = self.by_member.entry(member).or_default();
        let full = *count >= QUERIES_MEMBER_MAX || self.queries.len() >= QUERIES_MAX;
        if full || self.queries.contains_key(&(expires_ms, query)) {
            return false;
        }
        *count = count.saturating_add(1);
        self.queries.insert((expires_ms, query), member);
        true
    }

    /// Forgets what expired before `time_ms`.
    pub fn forget_before(&mut self, time_ms: u64) {
        let current = self.queries.split_off(&(time_ms, Digest::ZERO));
        for member in std::mem::replace(&mut self.queries, current).into_values() {
            if let Some(count) = self.by_member.get_mut(&member) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: MemberId = MemberId(1);
    const BETA: MemberId = MemberId(2);

    fn query(number: usize) -> Digest {
        sealbook_primitives::hash::hash("test query", &[&number.to_le_bytes()])
    }

    #[test]
    fn a_query_is_noted_once_until_it_has_expired() {
        let mut asked = Asked::default();
        assert!(asked.note(ALPHA, 5, query(1)));
        assert!(!asked.note(ALPHA, 5, query(1)));
        assert!(!asked.note(BETA, 5, query(1)));
        assert!(asked.note(ALPHA, 6, query(1)));
        asked.forget_before(5);
        assert!(!asked.note(ALPHA, 5, query(1)));
        asked.forget_before(6);
        assert!(asked.note(ALPHA, 5, query(1)));
    }

    #[test]
    fn no_member_takes_the_room_of_another() {
        let mut asked = Asked::default();
        let noted = (0..=QUERIES_MEMBER_MAX)
            .filter(|one| asked.note(ALPHA, 5, query(*one)))
            .count();
        assert_eq!(noted, QUERIES_MEMBER_MAX);
        assert!(asked.note(BETA, 5, query(QUERIES_MEMBER_MAX + 1)));
        asked.forget_before(6);
        assert!(asked.note(ALPHA, 7, query(0)));
        assert_eq!(asked.by_member.get(&ALPHA), Some(&1));
        assert_eq!(asked.by_member.get(&BETA), Some(&0));
    }

    #[test]
    fn all_members_together_have_a_limit() {
        let mut asked = Asked::default();
        let members = (0..=11).map(MemberId);
        let noted = members
            .flat_map(|member| (0..QUERIES_MEMBER_MAX).map(move |number| (member, number)))
            .filter(|(member, number)| {
                let number = member.0 as usize * QUERIES_MEMBER_MAX + number;
                asked.note(*member, 5, query(number))
            })
            .count();
        assert_eq!(noted, QUERIES_MAX);
    }
}
