//! Two ledgers that differ only in what is others': whoever may not see it gets the same bytes from both, under seals of the
//! same size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::{Play, reply};
use kit::words::{self, APPLE, UNKNOWN, order};
use sealbook_execution::Engine;
use sealbook_protocol::payload::{AsOf, OrderBytes, Question};
use sealbook_securities::{Code, Instruction, LongName, MemberName, Outcome, RecordTime};

/// An issue of which `apple` and its holders are told nothing.
const ORANGE: &str = "FR0000133308";

fn of_orange(instruction: Instruction) -> Instruction {
    let isin = ORANGE.parse().unwrap();
    match instruction {
        Instruction::RegisterIssue {
            kind,
            decimals,
            currency,
            ..
        } => Instruction::RegisterIssue {
            isin,
            issuer: MemberName::new("orange").unwrap(),
            name: LongName::new("Orange Inc.").unwrap(),
            kind,
            decimals,
            currency,
            treasury: words::account("ORANGE-T"),
        },
        Instruction::IssueUnits { quantity, .. } => Instruction::IssueUnits { isin, quantity },
        Instruction::Allocate {
            account, quantity, ..
        } => Instruction::Allocate {
            isin,
            account,
            quantity,
        },
        Instruction::Split {
            new, old, record, ..
        } => Instruction::Split {
            isin,
            new,
            old,
            record,
        },
        Instruction::Dividend {
            amount_per_unit,
            currency,
            record,
            ..
        } => Instruction::Dividend {
            isin,
            amount_per_unit,
            currency,
            record,
        },
        other => panic!("{other:?}"),
    }
}

/// What happens in one of two worlds alone, and is no business of the one that is asked then.
fn others(play: &mut Play, subject: &str) {
    // Another issuer's issue, another firm's clients, and what they hold and deal in.
    play.settle("admin", of_orange(words::register()));
    play.settle("admin", of_orange(words::issue_units("5000")));
    let (firm, holder) = if subject == "alpha" {
        ("beta", "B-7")
    } else {
        ("alpha", "A-7")
    };
    play.settle_account(firm, holder, "Somebody Else");
    play.settle("admin", of_orange(words::allocate(holder, "40")));
    if subject != "bank" {
        play.settle("bank", words::mint(holder, "77.00"));
        play.settle("bank", words::mint("ORANGE-T", "40.00"));
    }
    let own = words::sell(holder, firm, "3", "1.00");
    let outcome = play.order(firm, of_orange_trade(own));
    assert_eq!(outcome, Outcome::PENDING);
    play.settle(firm, words::grant("admin"));
    let paid = if subject == "bank" { "0.0001" } else { "1" };
    play.settle("admin", of_orange(words::dividend(paid, RecordTime::Now)));
    play.settle("admin", of_orange(words::split(2, 1)));
    let refused = play.order(firm, words::transfer(holder, holder, "9"));
    assert_eq!(refused.code, Some(Code::LackOfSecurities));
    // Readings of it, and a registry that is certified.
    let registry = Question::Registry {
        isin: ORANGE.to_owned(),
        as_of: AsOf::Now,
    };
    let read = play.submit("regulator", vec![words::read(&registry, 0)], &[]);
    assert_eq!(read, [Outcome::SETTLED]);
    let certified = play.submit("orange", vec![certify(ORANGE)], &[]);
    assert!(certified[0].certified.is_some());
}

fn of_orange_trade(instruction: Instruction) -> Instruction {
    let Instruction::RecordTrade {
        side,
        account,
        counterparty,
        quantity,
        currency,
        amount,
        ..
    } = instruction
    else {
        panic!("{instruction:?}")
    };
    Instruction::RecordTrade {
        side,
        account,
        counterparty,
        isin: ORANGE.parse().unwrap(),
        quantity,
        currency,
        amount,
    }
}

fn certify(isin: &str) -> OrderBytes {
    OrderBytes::Certify {
        isin: isin.to_owned(),
        as_of: AsOf::Now,
        key: [7; 32],
    }
}

fn events(height: u64, place: u32) -> Question {
    Question::Events { height, place }
}

fn questions(height: u64) -> Vec<Question> {
    let mut all = vec![
        Question::Holdings,
        Question::Trades,
        Question::Audit,
        Question::AccessLog { from_height: 0 },
        events(0, 0),
        events(height + 1, 0),
        events(height + 3, 1),
        events(height + 500, 0),
    ];
    for isin in [APPLE, ORANGE, UNKNOWN] {
        for as_of in [
            AsOf::Now,
            AsOf::Height(height),
            AsOf::Height(height + 50),
            AsOf::Time(0),
        ] {
            let isin = isin.to_owned();
            all.push(Question::CertifiedRegistry {
                isin: isin.clone(),
                as_of,
                from: 0,
            });
            all.push(Question::Registry { isin, as_of });
        }
    }
    all
}

/// Orders about what is others', there or not.
fn orders(subject: &str) -> Vec<OrderBytes> {
    let (mine, theirs) = if subject == "alpha" {
        ("A-1", "B-7")
    } else {
        ("B-1", "A-7")
    };
    let orange = |instruction| of_orange(instruction);
    let mut instructions = vec![
        words::transfer(theirs, mine, "1"),
        words::transfer(theirs, "NOBODY", "1"),
        words::sell(theirs, "alpha", "1", "1.00"),
        words::confirm("~33", mine),
        words::confirm("~33", theirs),
        words::mint(theirs, "1.00"),
        words::locked_in(theirs, mine, "1", "1.00"),
        words::dividend("1", RecordTime::Now),
        orange(words::issue_units("1")),
        orange(words::allocate(theirs, "1")),
        orange(words::register()),
    ];
    if subject == "bank" {
        // Money goes to any account that there is: who mints is told whether there is one.
        instructions.retain(|one| !matches!(one, Instruction::MintCash { .. }));
    }
    let numbered = instructions.into_iter().enumerate();
    let mut all: Vec<OrderBytes> = numbered
        .map(|(number, one)| order(&format!("probe-{number}"), one))
        .collect();
    for isin in [ORANGE, UNKNOWN, APPLE] {
        if (subject, isin) != ("apple", APPLE) {
            all.push(certify(isin));
        }
        let question = Question::Registry {
            isin: isin.to_owned(),
            as_of: AsOf::Now,
        };
        all.push(words::read(&question, 0));
    }
    all.push(words::read(&Question::Trades, 0));
    all.push(OrderBytes::Securities(vec![0xff; 9]));
    all
}

fn is_own_statement(subject: &str, question: &Question) -> bool {
    subject == "apple"
        && matches!(question, Question::CertifiedRegistry { isin, .. } if isin == APPLE)
}

#[test]
fn nobody_is_told_by_a_byte_what_is_others() {
    for subject in ["alpha", "beta", "apple", "bank", "oracle", "stranger"] {
        let (mut quiet, mut busy) = (Play::furnished(), Play::furnished());
        let before = busy.engine.height();
        others(&mut busy, subject);
        while quiet.engine.height() < busy.engine.height() {
            quiet.step(&[], &[]);
        }
        let roots = [&quiet, &busy].map(|play| Engine::state_root(&play.engine));
        assert_ne!(roots[0], roots[1]);
        let ask_all = |quiet: &mut Play, busy: &mut Play| {
            for question in questions(before) {
                for recorded in [None, Some(before), Some(busy.engine.height())] {
                    let [one, other] = [&mut *quiet, &mut *busy].map(|play| {
                        let (answer, size) = play.ask_once((subject, recorded), &question);
                        // Its own statement has blindings in it, which are random in each world.
                        let body = (!is_own_statement(subject, &question)).then_some(answer.body);
                        (answer.height, answer.time_ms, body, size)
                    });
                    assert_eq!(one, other, "{subject} {question:?} {recorded:?}");
                }
            }
        };
        ask_all(&mut quiet, &mut busy);
        for (number, _) in orders(subject).iter().enumerate() {
            let [one, other] = [&mut quiet, &mut busy].map(|play| {
                let sealed = play.seal(subject, vec![orders(subject).swap_remove(number)]);
                let executed = play.step(&[&sealed.bytes], &[]);
                let size = executed.replies[0].sealed.len();
                (reply(&sealed, &executed).unwrap(), size)
            });
            assert_eq!(one, other, "{subject} {number}");
        }
        // Nor by what the orders have left behind.
        ask_all(&mut quiet, &mut busy);
    }
}

#[test]
fn the_worlds_differ_for_those_whose_business_it_is() {
    let (mut quiet, mut busy) = (Play::furnished(), Play::furnished());
    others(&mut busy, "alpha");
    while quiet.engine.height() < busy.engine.height() {
        quiet.step(&[], &[]);
    }
    for (name, question) in [
        ("beta", Question::Holdings),
        ("beta", Question::Trades),
        ("beta", events(0, 0)),
        ("orange", events(0, 0)),
        ("orange", Question::AccessLog { from_height: 0 }),
        (
            "orange",
            Question::Registry {
                isin: ORANGE.to_owned(),
                as_of: AsOf::Now,
            },
        ),
    ] {
        let [one, other] =
            [&mut quiet, &mut busy].map(|play| play.ask_once((name, None), &question).0.body);
        assert_ne!(one, other, "{name} {question:?}");
    }
}
