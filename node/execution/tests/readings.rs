//! Readings of what is others': nothing is answered that is not on the ledger, and the owners are told.

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
use sealbook_protocol::payload::{AnswerBody, AsOf, OrderBytes, Question};
use sealbook_securities::{ANSWERED_MS, AccessLogView, AccessedView, Code, Outcome};

const LOG: Question = Question::AccessLog { from_height: 0 };

fn refusal(code: Code) -> AnswerBody {
    AnswerBody::Refused(borsh::to_vec(&Outcome::refused(code)).unwrap())
}

fn log(play: &mut Play, name: &str) -> AccessLogView {
    play.view(name, &LOG).unwrap()
}

fn privileged() -> [Question; 4] {
    [
        words::ask_registry(AsOf::Now),
        Question::Holdings,
        Question::Trades,
        Question::Audit,
    ]
}

#[test]
fn nothing_of_others_is_answered_before_it_is_final_on_the_ledger() {
    let mut play = Play::furnished();
    let mut records = Vec::new();
    for name in ["admin", "regulator"] {
        for question in privileged() {
            let told = format!("{name} {question:?}");
            for unknown in [None, Some(0), Some(play.chain.head.height)] {
                let before = play.ask_once((name, unknown), &question).0;
                assert_eq!(before.body, refusal(Code::NotOnRecord), "{told}");
            }
            let read = words::read(&question, 0);
            assert_eq!(play.submit(name, vec![read], &[]), [Outcome::SETTLED]);
            let recorded = Some(play.chain.head.height);
            // Executed, and no final header commits to it yet.
            let between = play.ask_once((name, recorded), &question).0;
            assert_eq!(between.body, AnswerBody::Behind, "{told}");
            let mut steps = 0;
            let after = loop {
                play.step(&[], &[]);
                steps += 1;
                let answer = play.ask_once((name, recorded), &question).0;
                if answer.body != AnswerBody::Behind {
                    break answer;
                }
            };
            assert!(steps <= 3, "{told}");
            assert!(matches!(after.body, AnswerBody::View(_)), "{told}");
            // The record is of this question and this member only.
            let other = words::ask_registry(AsOf::Height(2));
            let refused = play.ask_once((name, recorded), &other).0;
            assert_eq!(refused.body, refusal(Code::NotOnRecord), "{told}");
            records.push((name, recorded, question));
        }
    }
    let (_, recorded, question) = records.last().unwrap();
    let refused = play.ask_once(("admin", *recorded), question);
    assert_eq!(refused.0.body, refusal(Code::NotOnRecord));
    // After a while the record is over.
    let last = play.chain.head.time_ms + ANSWERED_MS + 1;
    let block = play.chain.next_at(last, &[], &[]);
    play.execute(&block).unwrap();
    for (name, recorded, question) in records {
        let late = play.ask_once((name, recorded), &question).0;
        assert_eq!(late.body, refusal(Code::NotOnRecord));
    }
}

#[test]
fn owners_read_their_own_without_a_record_and_see_who_read_it() {
    let mut play = Play::furnished();
    for (name, question) in [
        ("apple", words::ask_registry(AsOf::Now)),
        ("alpha", Question::Holdings),
        ("alpha", Question::Trades),
    ] {
        let answer = play.ask_once((name, None), &question).0;
        assert!(matches!(answer.body, AnswerBody::View(_)), "{name}");
    }
    for name in ["alpha", "apple", "beta"] {
        assert!(log(&mut play, name).rows.is_empty(), "{name}");
    }
    assert!(play.registry("regulator", AsOf::Now).is_ok());
    let fingerprint = play.network.members["regulator"].fingerprint;
    for name in ["alpha", "apple", "regulator"] {
        let view = log(&mut play, name);
        assert_eq!(view.rows.len(), 1, "{name}");
        let row = &view.rows[0];
        assert_eq!(row.reader.as_str(), "regulator");
        assert_eq!(row.certificate, fingerprint.0);
        assert!(matches!(row.read, AccessedView::Registry { .. }));
        assert_eq!(row.disclosed_ms, row.time_ms);
    }
    // Who had nothing of it is told nothing, in as many bytes as if nothing had been read.
    let mut quiet = Play::furnished();
    for name in ["beta", "bank", "orange", "oracle", "admin"] {
        let (told, size) = play.ask_sealed(name, &LOG);
        let (expected, usual) = quiet.ask_sealed(name, &LOG);
        let (AnswerBody::View(told), AnswerBody::View(expected)) = (told.body, expected.body)
        else {
            panic!("{name}")
        };
        // All but the height, which everybody knows.
        assert_eq!((&told[8..], size), (&expected[8..], usual), "{name}");
    }
}

#[test]
fn a_regulator_may_have_owners_told_later_and_nobody_else_may() {
    let mut play = Play::furnished();
    let question = words::ask_registry(AsOf::Now);
    let until = play.chain.head.time_ms + 20_000;
    let delayed = |play: &mut Play, name: &str| {
        let read = words::read(&question, until);
        play.submit(name, vec![read], &[])[0]
    };
    assert_eq!(
        delayed(&mut play, "admin"),
        Outcome::refused(Code::NotPermitted)
    );
    assert_eq!(
        delayed(&mut play, "alpha"),
        Outcome::refused(Code::NotPermitted)
    );
    assert_eq!(delayed(&mut play, "regulator"), Outcome::SETTLED);
    let recorded = Some(play.chain.head.height);
    play.step(&[], &[]);
    play.step(&[], &[]);
    assert!(matches!(
        play.ask_once(("regulator", recorded), &question).0.body,
        AnswerBody::View(_)
    ));
    assert!(log(&mut play, "alpha").rows.is_empty());
    assert_eq!(log(&mut play, "regulator").rows.len(), 1);
    let block = play.chain.next_at(until, &[], &[]);
    play.execute(&block).unwrap();
    let view = log(&mut play, "alpha");
    let row = &view.rows[0];
    assert!(row.disclosed_ms == until && row.time_ms < until);
}

#[test]
fn what_is_no_question_about_others_is_not_put_on_record() {
    let mut play = Play::furnished();
    let bytes = |question: &Question| borsh::to_vec(question).unwrap();
    let read = |question: Vec<u8>| {
        vec![OrderBytes::Read {
            question,
            disclosed_ms: 0,
        }]
    };
    let no_isin = Question::Registry {
        isin: "nothing".to_owned(),
        as_of: AsOf::Now,
    };
    for question in [
        Vec::new(),
        vec![255],
        vec![0; 300],
        [bytes(&Question::Audit), vec![0]].concat(),
        bytes(&Question::Member),
        bytes(&Question::Governance),
        bytes(&LOG),
        bytes(&no_isin),
    ] {
        let outcome = play.submit("admin", read(question.clone()), &[]);
        assert_eq!(outcome, [Outcome::refused(Code::Malformed)], "{question:?}");
    }
    let unknown = Question::Registry {
        isin: "US38259P5089".to_owned(),
        as_of: AsOf::Now,
    };
    // Not there, with or without a record.
    let outcome = play.submit("admin", read(bytes(&unknown)), &[]);
    assert_eq!(outcome, [Outcome::refused(Code::NotFound)]);
    let answer = play.ask_once(("admin", None), &unknown).0;
    assert_eq!(answer.body, refusal(Code::NotFound));
    assert!(log(&mut play, "admin").rows.is_empty());
}

#[test]
fn records_survive_in_snapshots() {
    const EPOCH: u32 = 24;
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    assert!(play.registry("regulator", AsOf::Now).is_ok());
    play.run_to(u64::from(EPOCH) * 2 + 12);
    let snapshot = play.snapshots.last().unwrap().clone();
    let offer = play.offer(&snapshot);
    let keys = play.network.keys(1);
    let mut restoring = Engine::restore(play.network.genesis.clone(), keys, &offer).unwrap();
    for piece in &snapshot.pieces {
        restoring.add(piece).unwrap();
    }
    play.engine = restoring.finish().unwrap();
    assert_eq!(log(&mut play, "alpha").rows.len(), 1);
}
