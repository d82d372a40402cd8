#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use sealbook_primitives::hash::hash;

use super::*;

const OWN: Digest = Digest([1; 32]);

fn opened(count: u8) -> Sessions {
    let mut sessions = Sessions::default();
    for index in 0..count {
        let reply_key = Secret32::new([index; 32]);
        sessions
            .open(&reply_key, (OWN, 0), 1_000, |one| *one == OWN)
            .unwrap();
    }
    sessions.end_block();
    sessions
}

fn key(index: u8) -> SessionKey {
    SessionKey::opened_by(&Secret32::new([index; 32]), &OWN)
}

fn name(index: u8) -> Digest {
    key(index).name()
}

/// Whether the message is found by its tag.
fn comes(sessions: &Sessions, index: u8, counter: u64) -> bool {
    let found = sessions.find(&key(index).tag(counter), 1_000);
    found.is_some_and(|found| found.counter == counter && found.session == name(index))
}

/// As a restored engine has it.
fn read_again(sessions: &Sessions) -> Sessions {
    let bytes = borsh::to_vec(sessions).unwrap();
    let again = Sessions::try_from_slice(&bytes).unwrap();
    assert_eq!(borsh::to_vec(&again).unwrap(), bytes);
    assert_eq!(again.tags, sessions.tags);
    assert_eq!(again.digest(), sessions.digest());
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model that remembers everything.
    #[test]
    fn every_counter_counts_once_and_within_the_window(
        steps in prop::collection::vec((0_u8..3, -140_i64..140), 1..200),
    ) {
        let mut sessions = opened(3);
        let mut model: [(u64, BTreeSet<u64>); 3] = Default::default();
        for (index, ahead) in steps {
            let (next, taken) = &mut model[usize::from(index)];
            let counter = next.saturating_add_signed(ahead);
            let expected = counter < *next + WINDOW
                && counter >= next.saturating_sub(WINDOW)
                && !taken.contains(&counter);
            prop_assert_eq!(comes(&sessions, index, counter), expected);
            let done = sessions.take(&name(index), counter, 1_000);
            prop_assert_eq!(done, expected);
            if expected {
                taken.insert(counter);
                *next = (*next).max(counter + 1);
            }
            prop_assert!(!comes(&sessions, index, counter));
        }
        sessions.end_block();
        let again = read_again(&sessions);
        for (index, (next, taken)) in (0_u8..).zip(&model) {
            let window = next.saturating_sub(WINDOW)..next + WINDOW;
            for counter in window.start.saturating_sub(3)..window.end + 3 {
                let expected = window.contains(&counter) && !taken.contains(&counter);
                prop_assert_eq!(comes(&again, index, counter), expected);
            }
        }
    }
}

#[test]
fn what_ends_takes_its_tags_with_it() {
    let mut sessions = opened(4);
    assert_eq!(sessions.tags.len(), 4 * WINDOW as usize);
    let kept = |certificate: &Digest, key_epoch: u32| *certificate == OWN && key_epoch == 0;
    sessions.end_others(1_000, kept);
    assert_eq!(sessions.len(), 4);
    let before = *sessions.digest();
    sessions.end_others(1_000, |_, _| false);
    assert_eq!((sessions.len(), sessions.tags.len()), (0, 0));
    sessions.end_block();
    assert_ne!(*sessions.digest(), before);
    assert!(!sessions.take(&name(0), 0, 1_000));
    read_again(&sessions);
}

#[test]
fn idle_sessions_end_and_make_room() {
    let mut sessions = opened(u8::MAX);
    let open = |sessions: &mut Sessions, index: u16, time_ms| {
        let mut reply_key = [0; 32];
        reply_key[..2].copy_from_slice(&index.to_be_bytes());
        sessions.open(&Secret32::new(reply_key), (OWN, 0), time_ms, |one| {
            *one == OWN
        })
    };
    assert_eq!(open(&mut sessions, 1_000, 1_000), Ok(()));
    assert_eq!(sessions.len(), PER_MEMBER_MAX);
    assert_eq!(open(&mut sessions, 1_001, 1_000), Err(Refusal::Limit));
    assert!(sessions.take(&name(5), 0, 2_000));
    let late = 1_000 + IDLE_MS;
    assert!(sessions.find(&key(3).tag(0), late).is_some());
    assert!(sessions.find(&key(3).tag(0), late + 1).is_none());
    assert!(!sessions.take(&name(3), 0, late + 1));
    assert_eq!(open(&mut sessions, 1_001, late + 1), Ok(()));
    assert_eq!(open(&mut sessions, 1_001, late + 1), Err(Refusal::Twice));
    // That one, and the one that was used later than the others.
    assert_eq!(sessions.len(), 2);
}

#[test]
fn there_is_an_end_to_all_sessions_together() {
    let mut sessions = Sessions::default();
    for index in 0..=ALL_MAX as u64 {
        let reply_key = Secret32::new(hash("reply key", &[&index.to_le_bytes()]).0);
        let certificate = hash("certificate", &[&(index / 250).to_le_bytes()]);
        let opened = sessions.open(&reply_key, (certificate, 0), 1, |one| *one == certificate);
        let expected = (index == ALL_MAX as u64).then_some(Refusal::Limit);
        assert_eq!(opened.err(), expected);
    }
}

#[test]
fn of_two_sessions_with_one_tag_the_lower_name_has_it() {
    let mut sessions = opened(2);
    // The same key under another name, which no hash would give.
    let twin = Session {
        key: key(1),
        certificate: OWN,
        key_epoch: 0,
        used_ms: 1_000,
        next: 0,
        taken: 0,
    };
    let id = Digest([255; 32]);
    sessions.tags.extend(tags(&id, &twin));
    sessions.open.insert(id, twin);
    let found = |sessions: &Sessions| sessions.find(&key(1).tag(4), 1_000).unwrap().session;
    assert_eq!(found(&sessions), name(1));
    assert_eq!(found(&read_again(&sessions)), name(1));
}

#[test]
fn the_form_is_pinned() {
    let mut sessions = opened(2);
    for counter in [0, 3, 2, 90] {
        assert!(sessions.take(&name(1), counter, 5_000));
    }
    sessions.end_block();
    let bytes = borsh::to_vec(&sessions).unwrap();
    assert_eq!(
        hash("pinned", &[&bytes]).to_string(),
        "7203a937683e973240972d829b021948b2056ddfade8daaf07d2f8ecf4f5c64f"
    );
    // Out of order, or too many.
    let mut swapped = bytes.clone();
    swapped[40..72].fill(255);
    assert!(Sessions::try_from_slice(&swapped).is_err());
    let mut many = bytes;
    many[32..40].fill(255);
    assert!(Sessions::try_from_slice(&many).is_err());
}
