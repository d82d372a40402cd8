//! Whole stories through the library engine: what members do, what they are told, and who sees what of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::{Play, final_notice, outcomes, reply};
use kit::words::{self, UNKNOWN, ask_registry, order};
use kit::{Founded, MEMBERS};
use sealbook_protocol::payload::{
    AnswerBody, AsOf, CertificateAnswer, MemberAnswer, OrderBytes, Question,
};
use sealbook_securities::{
    AuditView, Code, HoldingsView, Outcome, RecordTime, Status, TradeStatus, TradesView,
};

const NAMES: [&str; 3] = ["Hanako Sato", "Ichiro Suzuki", "Maria Rossi"];

fn holdings(play: &mut Play, name: &str) -> Vec<String> {
    let view: HoldingsView = play.view(name, &Question::Holdings).unwrap();
    let mut lines = Vec::new();
    for row in view.accounts {
        for asset in row.assets {
            let holder = row.holder.as_deref().unwrap_or("?");
            lines.push(format!(
                "{} {holder} {} {}",
                row.account,
                asset.asset.as_str(),
                asset.quantity
            ));
        }
    }
    lines
}

#[test]
fn a_trade_settles_and_its_result_becomes_final() {
    let mut play = Play::furnished();
    let recorded = play.seal(
        "alpha",
        vec![order("D1", words::sell("A-1", "beta", "100", "41123.00"))],
    );
    let executed = play.step(&[&recorded.bytes], &[]);
    assert_eq!(outcomes(&recorded, &executed), [Outcome::PENDING]);
    assert_eq!(executed.outcomes, [0, 1, 0, 0]);
    let height = executed.commitment.height;
    let answered = reply(&recorded, &executed).unwrap();
    assert_eq!(
        (answered.height, answered.time_ms),
        (height, play.chain.head.time_ms)
    );

    play.settle("beta", words::confirm("D1", "B-1"));
    assert_eq!(
        holdings(&mut play, "alpha"),
        [
            "A-1 Hanako Sato US0378331005 900",
            "A-1 Hanako Sato USD 41123.00"
        ]
    );
    assert_eq!(
        holdings(&mut play, "beta"),
        [
            "B-1 Maria Rossi US0378331005 100",
            "B-1 Maria Rossi USD 458877.00"
        ]
    );
    // The second block after the order's commits to the state that contains it.
    let executed = play.step(&[], &[]);
    let notice = final_notice(&recorded, &executed).unwrap();
    assert_eq!((notice.height, notice.committed_by), (height, height + 2));
    assert_eq!(
        notice.commitment.digest(),
        play.chain.roots[height as usize - 1]
    );
    let trades: TradesView = play.view("alpha", &Question::Trades).unwrap();
    assert_eq!(trades.trades.len(), 1);
    assert_eq!(trades.trades[0].status, TradeStatus::Settled);
}

#[test]
fn dividends_and_splits_work_from_the_registry() {
    let mut play = Play::furnished();
    play.settle("alpha", words::transfer("A-1", "A-2", "10"));
    let height = play.engine.height();
    play.settle("admin", words::dividend("2.65", RecordTime::Now));
    let cash = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains(" USD "))
            .collect()
    };
    assert_eq!(
        cash(holdings(&mut play, "alpha")),
        ["A-1 Hanako Sato USD 2623.50", "A-2 Ichiro Suzuki USD 26.50"]
    );
    play.settle("admin", words::split(2, 1));
    play.settle("admin", words::open_day("2012-08-10"));
    play.settle("alpha", words::transfer("A-2", "A-1", "20"));
    let full = |rows: &str| format!("2000000 = 1998000 + [{rows}]");
    assert_eq!(
        play.registry_text("apple", AsOf::Now),
        full("Hanako Sato 2000")
    );
    assert_eq!(
        play.registry_text("admin", AsOf::Now),
        full("A-1 Hanako Sato alpha 2000")
    );
    let past = "1000000 = 999000 + [A-1 Hanako Sato alpha 990, A-2 Ichiro Suzuki alpha 10]";
    assert_eq!(play.registry_text("regulator", AsOf::Height(height)), past);
    let time = kit::CREATED_MS + height * 1_000;
    assert_eq!(
        play.registry_text("regulator", AsOf::Time(time + 999)),
        past
    );
    let close = AsOf::Date {
        year: 2012,
        month: 8,
        day: 9,
    };
    let then = "Hanako Sato 1980, Ichiro Suzuki 20";
    assert_eq!(play.registry_text("apple", close), full(then));
    let ahead = AsOf::Height(play.engine.height() + 1);
    assert_eq!(play.registry("apple", ahead), Err(Code::UnknownRecordTime));
    let no_date = AsOf::Date {
        year: 2012,
        month: 13,
        day: 1,
    };
    assert_eq!(play.registry("apple", no_date), Err(Code::Malformed));
    let audit: AuditView = play.view("regulator", &Question::Audit).unwrap();
    assert_eq!(audit.issues[0].issued.to_string(), "2000000");
    assert_eq!(audit.currencies[0].minted.to_string(), "600000.00");
}

#[test]
fn every_role_sees_its_own_and_no_more() {
    let mut play = Play::furnished();
    play.settle("alpha", words::transfer("A-1", "B-1", "300"));
    let questions = [
        ask_registry(AsOf::Now),
        Question::Holdings,
        Question::Trades,
        Question::Audit,
    ];
    let seen = |play: &mut Play, member: &str| -> String {
        let mut all = Vec::new();
        for question in &questions {
            all.extend(borsh::to_vec(&play.ask(member, question).body).unwrap());
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    // Names and account identifiers, and whether they are found in anything that a member is answered.
    for (member, expected) in [
        ("admin", [true, true, true, true, true]),
        ("regulator", [true, true, true, true, true]),
        ("apple", [true, false, true, false, false]),
        ("orange", [false; 5]),
        ("alpha", [true, true, false, true, false]),
        ("beta", [false, false, true, false, true]),
        ("bank", [false; 5]),
        ("oracle", [false; 5]),
        ("stranger", [false; 5]),
    ] {
        let text = seen(&mut play, member);
        let marks = [NAMES[0], NAMES[1], NAMES[2], "A-1", "B-1"];
        assert_eq!(marks.map(|mark| text.contains(mark)), expected, "{member}");
    }
}

#[test]
fn not_there_and_not_yours_are_the_same_answer() {
    let mut play = Play::furnished();
    let unknown = |as_of| Question::Registry {
        isin: UNKNOWN.to_owned(),
        as_of,
    };
    let far = play.engine.height() + 100;
    for as_of in [AsOf::Now, AsOf::Height(far), AsOf::Time(0)] {
        let (theirs, size) = play.ask_sealed("orange", &ask_registry(as_of));
        let (nobodys, same) = play.ask_sealed("orange", &unknown(as_of));
        assert_eq!(
            borsh::to_vec(&theirs).unwrap(),
            borsh::to_vec(&nobodys).unwrap()
        );
        assert_eq!(size, same);
    }
    let mut outcome = |who: &str, instruction| {
        let reference = play.reference();
        let sealed = play.seal(who, vec![order(&reference, instruction)]);
        let executed = play.step(&[&sealed.bytes], &[]);
        let mut reply = reply(&sealed, &executed).unwrap();
        (reply.height, reply.time_ms) = (0, 0);
        (
            borsh::to_vec(&reply).unwrap(),
            executed.replies[0].sealed.len(),
        )
    };
    let theirs = outcome("alpha", words::transfer("B-1", "A-1", "1"));
    assert_eq!(outcome("alpha", words::transfer("X-1", "A-1", "1")), theirs);
    assert_eq!(outcome("alpha", words::confirm("D1", "A-1")), theirs);
    assert_eq!(outcome("beta", words::transfer("A-1", "B-1", "1")), theirs);
}

#[test]
fn members_are_told_who_they_are_and_strangers_nothing() {
    let mut play = Play::furnished();
    for (name, role, organisation) in &MEMBERS[..8] {
        let expected = MemberAnswer {
            name: (*name).to_owned(),
            role: role.to_string(),
            organisation: (*organisation).to_owned(),
            certificates: vec![CertificateAnswer {
                fingerprint: play.network.members[name].fingerprint,
                ends_ms: kit::CREATED_MS + 365 * 86_400_000,
                revoked: None,
            }],
        };
        assert_eq!(
            play.ask(name, &Question::Member).body,
            AnswerBody::Member(expected)
        );
    }
    let denied = borsh::to_vec(&Outcome::refused(Code::NotAMember)).unwrap();
    let answer = play.ask("stranger", &Question::Member);
    assert_eq!(answer.body, AnswerBody::Refused(denied));
    let transfer = words::transfer("A-1", "A-2", "1");
    assert_eq!(
        play.order("stranger", transfer),
        Outcome::refused(Code::NotAMember)
    );
    assert_eq!(Outcome::refused(Code::NotAMember).status, Status::Denied);
}

#[test]
fn a_batch_is_applied_in_order_and_answered_one_by_one() {
    let mut play = Play::furnished();
    let orders = vec![
        order("1", words::transfer("A-1", "A-2", "1000")),
        order("2", words::transfer("A-1", "A-2", "1")),
        order("3", words::transfer("A-2", "B-1", "400")),
        order("1", words::transfer("A-1", "A-2", "1000")),
        order("4", words::transfer("B-1", "A-1", "400")),
        OrderBytes::Securities(vec![1, 2, 3]),
        OrderBytes::Securities(Vec::new()),
        order("5", words::sell("A-2", "beta", "1", "1.00")),
    ];
    let lack = Outcome::refused(Code::LackOfSecurities);
    let (settled, pending) = (Outcome::SETTLED, Outcome::PENDING);
    let (denied, malformed) = (
        Outcome::refused(Code::NotFound),
        Outcome::refused(Code::Malformed),
    );
    assert_eq!(
        play.submit("alpha", orders, &[]),
        [
            settled, lack, settled, settled, denied, malformed, malformed, pending
        ]
    );
}

#[test]
fn the_same_reference_in_another_envelope_is_answered_the_same() {
    let mut play = Play::furnished();
    for _ in 0..3 {
        let transfer = order("T1", words::transfer("A-1", "A-2", "10"));
        assert_eq!(
            play.submit("alpha", vec![transfer], &[]),
            [Outcome::SETTLED]
        );
    }
    assert_eq!(
        play.registry_text("apple", AsOf::Now),
        "1000000 = 999000 + [Hanako Sato 990, Ichiro Suzuki 10]"
    );
    let other = order("T1", words::transfer("A-1", "A-2", "11"));
    assert_eq!(
        play.submit("alpha", vec![other], &[]),
        [Outcome::refused(Code::Duplicate)]
    );
    // An opening that is sent again is answered the same, whether its name travels along once more or not.
    let name = play.network.seal_name("Kenji Ito");
    let open = || {
        order(
            "O1",
            words::open_account("A-3", name.attachment, name.commitment),
        )
    };
    assert_eq!(
        play.submit("alpha", vec![open()], &[&name.bytes]),
        [Outcome::SETTLED]
    );
    assert_eq!(
        play.submit("alpha", vec![open()], &[&name.bytes]),
        [Outcome::SETTLED]
    );
    assert_eq!(play.submit("alpha", vec![open()], &[]), [Outcome::SETTLED]);
    // The same admission, too.
    let chain = play.network.members["stranger"].chain.clone();
    for _ in 0..2 {
        let admit = OrderBytes::Admit {
            reference: "M1".to_owned(),
            chain: chain.clone(),
        };
        assert_eq!(play.submit("admin", vec![admit], &[]), [Outcome::SETTLED]);
    }
}

#[test]
fn admissions_are_judged() {
    use sealbook_identity::Role;
    let mut play = Play::furnished();
    let chain = play.network.members["stranger"].chain.clone();
    let admit = |chain: &[Vec<u8>]| {
        vec![OrderBytes::Admit {
            reference: "M".to_owned(),
            chain: chain.to_vec(),
        }]
    };
    let refused = |code| [Outcome::refused(code)];
    assert_eq!(
        play.submit("alpha", admit(&chain), &[]),
        refused(Code::NotPermitted)
    );
    assert_eq!(
        play.submit("regulator", admit(&chain), &[]),
        refused(Code::NotPermitted)
    );
    assert_eq!(
        play.submit("admin", admit(&chain[..1]), &[]),
        refused(Code::Malformed)
    );
    assert_eq!(
        play.submit("admin", admit(&[]), &[]),
        refused(Code::Malformed)
    );
    let mut damaged = chain.clone();
    *damaged[0].last_mut().unwrap() ^= 1;
    assert_eq!(
        play.submit("admin", admit(&damaged), &[]),
        refused(Code::Malformed)
    );
    // Certified by another network's authority.
    let foreign = kit::Network::new();
    let theirs = foreign.members["stranger"].chain.clone();
    assert_eq!(
        play.submit("admin", admit(&theirs), &[]),
        refused(Code::Malformed)
    );
    // A certificate that has ended before the block.
    let short = play
        .network
        .certify("late", Role::Firm, "Late", kit::CREATED_MS + 5_000);
    assert_eq!(
        play.submit("admin", admit(&short.chain), &[]),
        refused(Code::Malformed)
    );
    // A name that is taken.
    let again = play
        .network
        .certify("alpha", Role::Firm, "Alpha", kit::CREATED_MS + 900_000_000);
    assert_eq!(
        play.submit("admin", admit(&again.chain), &[]),
        refused(Code::Taken)
    );
    let bad = vec![OrderBytes::Admit {
        reference: " ".to_owned(),
        chain,
    }];
    assert_eq!(play.submit("admin", bad, &[]), refused(Code::Malformed));
    assert_eq!(play.admit("stranger"), Outcome::SETTLED);
}

#[test]
fn a_certificate_that_has_ended_makes_no_member() {
    let life = 60_000;
    let mut play = Play::furnished_with(Founded {
        certificate_life_ms: life,
        ..Founded::default()
    });
    play.settle("alpha", words::transfer("A-1", "A-2", "1"));
    let last = play.chain.next_at(kit::CREATED_MS + life, &[], &[]);
    play.execute(&last).unwrap();
    assert!(play.registry("apple", AsOf::Now).is_ok());
    let sealed = play.seal(
        "alpha",
        vec![order("T", words::transfer("A-1", "A-2", "1"))],
    );
    let block = play
        .chain
        .next_at(kit::CREATED_MS + life + 1, &[&sealed.bytes], &[]);
    let executed = play.execute(&block).unwrap();
    assert_eq!(
        outcomes(&sealed, &executed),
        [Outcome::refused(Code::NotAMember)]
    );
    assert_eq!(play.registry("apple", AsOf::Now), Err(Code::NotAMember));
    assert_eq!(play.admit("stranger"), Outcome::refused(Code::NotAMember));
}

#[test]
fn a_rule_less_is_another_outcome() {
    let mut with = Founded::default();
    let firm = with
        .policies
        .iter_mut()
        .find(|file| file.name.starts_with("firm"))
        .unwrap();
    let at = firm
        .text
        .find("@id(\"firm-transfers-from-its-own-accounts\")")
        .unwrap();
    let end = at + firm.text[at..].find("};").unwrap() + 2;
    firm.text.replace_range(at..end, "");
    let mut play = Play::furnished_with(with);
    let transfer = words::transfer("A-1", "A-2", "1");
    assert_eq!(
        play.order("alpha", transfer.clone()),
        Outcome::refused(Code::NotPermitted)
    );
    let mut usual = Play::furnished();
    assert_eq!(usual.order("alpha", transfer), Outcome::SETTLED);
    assert_ne!(play.network.id, usual.network.id);
}
