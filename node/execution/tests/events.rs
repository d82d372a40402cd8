//! Events as members ask for them: told when they are final, the same by every module, whatever it went through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::Play;
use kit::words;
use kit::{Founded, epochs_of};
use sealbook_execution::Engine;
use sealbook_protocol::payload::{AnswerBody, AsOf, Question};
use sealbook_securities::{Code, Event, EventCursor, EventRow, EventsView, Outcome, Status};

fn events(height: u64, place: u32) -> Question {
    Question::Events { height, place }
}

fn told(play: &mut Play, name: &str, from: EventCursor) -> EventsView {
    let question = events(from.height, from.place);
    play.view(name, &question).unwrap()
}

fn statuses(rows: &[EventRow]) -> Vec<Option<Status>> {
    let status = |row: &EventRow| match &row.event {
        Event::Order { outcome, .. } => Some(outcome.status),
        Event::Access(_) => None,
    };
    rows.iter().map(status).collect()
}

#[test]
fn what_is_told_is_final_and_comes_once() {
    let mut play = Play::furnished();
    for _ in 0..4 {
        play.step(&[], &[]);
    }
    let from = told(&mut play, "beta", EventCursor::default()).next;
    let none = play.ask_sealed("beta", &events(from.height, from.place)).1;
    let outcome = play.order("alpha", words::sell("A-1", "beta", "3", "1.00"));
    assert_eq!(outcome, Outcome::PENDING);
    let height = play.chain.head.height;
    // Executed, and no final header commits to it yet.
    assert!(told(&mut play, "beta", from).rows.is_empty());
    let waiting = play.ask_sealed("beta", &events(from.height, from.place)).1;
    assert_eq!(waiting, none, "its size would tell");
    let mut steps = 0;
    let view = loop {
        play.step(&[], &[]);
        steps += 1;
        let view = told(&mut play, "beta", from);
        if !view.rows.is_empty() {
            break view;
        }
    };
    assert!(steps <= 3);
    assert_eq!(statuses(&view.rows), [Some(Status::Pending)]);
    assert_eq!(view.rows[0].at, EventCursor { height, place: 0 });
    assert!(view.next.height > height && view.height >= height);
    assert!(told(&mut play, "beta", view.next).rows.is_empty());
    let again = told(&mut play, "beta", from);
    assert_eq!(again.rows, view.rows);
}

#[test]
fn a_restored_module_tells_the_same_and_goes_on() {
    const EPOCH: u32 = 24;
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    assert!(play.registry("regulator", AsOf::Now).is_ok());
    let refused = play.order("alpha", words::transfer("A-2", "A-1", "10"));
    assert_eq!(refused.code, Some(Code::LackOfSecurities));
    play.run_to(u64::from(EPOCH) * 2 + 12);
    let names = ["alpha", "beta", "apple", "bank", "admin", "regulator"];
    let all = |play: &mut Play| -> Vec<EventsView> {
        let one = |name: &&str| told(play, name, EventCursor::default());
        names.iter().map(one).collect()
    };
    let before = all(&mut play);
    assert!(before[0].rows.len() > 4 && before[2].rows.len() > 2);
    assert!(statuses(&before[0].rows).contains(&Some(Status::Rejected)));
    assert!(statuses(&before[0].rows).contains(&None));
    let snapshot = play.snapshots.last().unwrap().clone();
    let offer = play.offer(&snapshot);
    let keys = play.network.keys(1);
    let mut restoring = Engine::restore(play.network.genesis.clone(), keys, &offer).unwrap();
    for piece in &snapshot.pieces {
        restoring.add(piece).unwrap();
    }
    let mut restored = restoring.finish().unwrap();
    let from = usize::try_from(restored.height()).unwrap();
    for (block, certificate) in &play.blocks[from..] {
        restored
            .execute(std::slice::from_ref(block), certificate)
            .unwrap();
    }
    play.engine = restored;
    assert_eq!(all(&mut play), before);
    play.settle("alpha", words::transfer("A-1", "A-2", "1"));
    for _ in 0..3 {
        play.step(&[], &[]);
    }
    let after = told(&mut play, "alpha", before[0].next);
    assert_eq!(statuses(&after.rows), [Some(Status::Settled)]);
}

#[test]
fn who_is_no_member_is_told_nothing() {
    let mut play = Play::furnished();
    let answer = play.ask("stranger", &events(0, 0));
    let refused = Outcome::refused(Code::NotAMember);
    let refused = AnswerBody::Refused(borsh::to_vec(&refused).unwrap());
    assert_eq!(answer.body, refused);
}
