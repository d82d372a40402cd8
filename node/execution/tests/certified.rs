//! Certified registries: the order's outcome has the root that the rows have, however late they are asked for, and nobody
//! gets either who may not read the registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use borsh::BorshDeserialize as _;
use kit::play::Play;
use kit::words::{self, APPLE, UNKNOWN};
use kit::{Founded, epochs_of};
use sealbook_execution::Engine;
use sealbook_protocol::payload::{AnswerBody, AsOf, OrderBytes, Question};
use sealbook_protocol::registry::{CertifiedHolder, CertifiedPage, registry_root};
use sealbook_securities::{AccessLogView, AccessedView, Code, Outcome};

const KEY: [u8; 32] = [7; 32];

fn certify(isin: &str, as_of: AsOf) -> OrderBytes {
    OrderBytes::Certify {
        isin: isin.to_owned(),
        as_of,
        key: KEY,
    }
}

fn question(isin: &str, as_of: AsOf, from: u32) -> Question {
    Question::CertifiedRegistry {
        isin: isin.to_owned(),
        as_of,
        from,
    }
}

/// Certifies, and says at which height.
fn certified(play: &mut Play, name: &str, as_of: AsOf) -> (Outcome, u64) {
    let outcome = play.submit(name, vec![certify(APPLE, as_of)], &[])[0];
    (outcome, play.chain.head.height)
}

fn page(play: &mut Play, by: (&str, Option<u64>), as_of: AsOf, from: u32) -> CertifiedPage {
    match play.ask_once(by, &question(APPLE, as_of, from)).0.body {
        AnswerBody::View(bytes) => CertifiedPage::try_from_slice(&bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn root(page: &CertifiedPage) -> [u8; 32] {
    let rows = page.rows.iter();
    let rows: Vec<_> = rows
        .map(|row| (row.holder.commitment(), row.quantity))
        .collect();
    registry_root(&KEY, &page.head, &rows).0
}

/// Holders of the registry and of a page, by name and then quantity.
fn same_holders(play: &mut Play, page: &CertifiedPage, as_of: AsOf) {
    let mut rows: Vec<String> = page
        .rows
        .iter()
        .map(|row| format!("{} {}", row.holder.name().unwrap_or("?"), row.quantity))
        .collect();
    rows.sort_unstable();
    let head = &page.head;
    let sums = format!("{} = {}", head.issued, head.treasury);
    let expected = play.registry_text("apple", as_of);
    assert_eq!(expected, format!("{sums} + [{}]", rows.join(", ")));
}

#[test]
fn an_issuer_gets_a_root_and_the_rows_that_have_it() {
    let mut play = Play::furnished();
    play.settle("alpha", words::transfer("A-1", "B-1", "10"));
    let before = play.chain.head.height;
    let (outcome, height) = certified(&mut play, "apple", AsOf::Now);
    assert_eq!(outcome, Outcome::certified(outcome.certified.unwrap()));
    let of = ("apple", Some(height));
    let found = page(&mut play, of, AsOf::Now, 0);
    assert_eq!(found.head.as_of, AsOf::Height(before));
    assert_eq!(outcome.certified, Some(root(&found)));
    same_holders(&mut play, &found, AsOf::Height(before));
    assert_eq!(found.head.holders as usize, found.rows.len());
    assert!(found.rows.len() > 1);
    // However much changes later, and from any row on.
    play.settle("alpha", words::transfer("A-1", "B-1", "5"));
    play.settle_account("beta", "B-9", "Later Holder");
    play.settle("beta", words::transfer("B-1", "B-9", "1"));
    assert_eq!(page(&mut play, of, AsOf::Now, 0), found);
    let second = page(&mut play, of, AsOf::Now, 1);
    assert_eq!(second.rows, found.rows[1..]);
    assert!(page(&mut play, of, AsOf::Now, 99).rows.is_empty());
    // A past moment, which the same root certifies again.
    let past = certified(&mut play, "apple", AsOf::Height(before));
    assert_eq!(past.0.certified, outcome.certified);
    let (now, height) = certified(&mut play, "apple", AsOf::Now);
    assert_ne!(now.certified, outcome.certified);
    let rows = page(&mut play, ("apple", Some(height)), AsOf::Now, 0);
    assert_eq!(now.certified, Some(root(&rows)));
    // Another key is another root.
    let other = OrderBytes::Certify {
        isin: APPLE.to_owned(),
        as_of: AsOf::Height(before),
        key: [8; 32],
    };
    let other = play.submit("apple", vec![other], &[])[0];
    assert!(other.certified.is_some() && other.certified != outcome.certified);
}

#[test]
fn orders_before_it_in_its_block_do_not_count() {
    let mut play = Play::furnished();
    let before = play.chain.head.height;
    let transfer = |play: &mut Play| {
        let reference = play.reference();
        words::order(&reference, words::transfer("A-1", "A-2", "3"))
    };
    let orders = vec![transfer(&mut play)];
    let alphas = play.seal("alpha", orders);
    let certify = play.seal("apple", vec![certify(APPLE, AsOf::Now)]);
    let executed = play.step(&[&alphas.bytes, &certify.bytes], &[]);
    let outcome = kit::play::outcomes(&certify, &executed)[0];
    let height = play.chain.head.height;
    let found = page(&mut play, ("apple", Some(height)), AsOf::Now, 0);
    assert_eq!(outcome.certified, Some(root(&found)));
    assert_eq!(found.head.as_of, AsOf::Height(before));
    same_holders(&mut play, &found, AsOf::Height(before));
}

#[test]
fn who_may_not_read_the_registry_has_nothing_certified() {
    let mut play = Play::furnished();
    let ahead = AsOf::Height(play.chain.head.height + 1);
    for (name, isin, as_of, code) in [
        ("orange", APPLE, AsOf::Now, Code::NotFound),
        ("orange", UNKNOWN, AsOf::Now, Code::NotFound),
        ("apple", UNKNOWN, AsOf::Now, Code::NotFound),
        ("alpha", APPLE, AsOf::Now, Code::NotPermitted),
        ("bank", APPLE, AsOf::Now, Code::NotPermitted),
        ("apple", APPLE, ahead, Code::UnknownRecordTime),
        ("apple", "US0378331006", AsOf::Now, Code::Malformed),
        ("apple", "", AsOf::Now, Code::Malformed),
    ] {
        let ahead = match as_of {
            AsOf::Height(_) => AsOf::Height(play.chain.head.height + 1),
            other => other,
        };
        let outcome = play.submit(name, vec![certify(isin, ahead)], &[])[0];
        assert_eq!(outcome, Outcome::refused(code), "{name} {isin}");
        let recorded = Some(play.chain.head.height);
        if code == Code::UnknownRecordTime {
            continue;
        }
        let answer = play.ask_once((name, recorded), &question(isin, as_of, 0));
        let refusal = borsh::to_vec(&Outcome::refused(code)).unwrap();
        assert_eq!(answer.0.body, AnswerBody::Refused(refusal), "{name} {isin}");
    }
    // A question that names no block, or one that is not there.
    for recorded in [None, Some(0), Some(play.chain.head.height + 1)] {
        let answer = play.ask_once(("apple", recorded), &question(APPLE, AsOf::Now, 0));
        assert!(matches!(answer.0.body, AnswerBody::Refused(_)));
    }
}

#[test]
fn an_admin_who_has_a_registry_certified_is_on_record() {
    let mut play = Play::furnished();
    let unrecorded = Some(play.chain.head.height);
    let (outcome, height) = certified(&mut play, "admin", AsOf::Now);
    let now = question(APPLE, AsOf::Now, 0);
    let between = play.ask_once(("admin", Some(height)), &now).0;
    assert_eq!(between.body, AnswerBody::Behind);
    play.step(&[], &[]);
    play.step(&[], &[]);
    let found = page(&mut play, ("admin", Some(height)), AsOf::Now, 0);
    assert_eq!(outcome.certified, Some(root(&found)));
    // Other parts of it belong to the same record; other registries, blocks and readers do not.
    let _ = page(&mut play, ("admin", Some(height)), AsOf::Now, 1);
    let refusal = AnswerBody::Refused(borsh::to_vec(&Outcome::refused(Code::NotOnRecord)).unwrap());
    let past = question(APPLE, AsOf::Height(3), 0);
    for (name, recorded, question) in [
        ("admin", unrecorded, &now),
        ("admin", None, &now),
        ("admin", Some(height), &past),
        ("regulator", Some(height), &now),
    ] {
        assert_eq!(play.ask_once((name, recorded), question).0.body, refusal);
    }
    let log: AccessLogView = play
        .view("alpha", &Question::AccessLog { from_height: 0 })
        .unwrap();
    let row = log.rows.last().unwrap();
    assert_eq!((row.reader.as_str(), row.height), ("admin", height));
    assert!(matches!(row.read, AccessedView::Registry { .. }));
    // It is not put on record without being certified.
    let read = words::read(&now, 0);
    let outcome = play.submit("admin", vec![read], &[]);
    assert_eq!(outcome, [Outcome::refused(Code::Malformed)]);
    // An issuer's own leaves no trace.
    let before = log.rows.len();
    let _ = certified(&mut play, "apple", AsOf::Now);
    let log: AccessLogView = play
        .view("alpha", &Question::AccessLog { from_height: 0 })
        .unwrap();
    assert_eq!(log.rows.len(), before);
}

#[test]
fn a_restored_module_answers_for_the_same_root_and_erased_names_do_not_change_it() {
    const EPOCH: u32 = 24;
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(EPOCH, 1),
        ..Founded::default()
    });
    let (outcome, height) = certified(&mut play, "apple", AsOf::Now);
    let whole = page(&mut play, ("apple", Some(height)), AsOf::Now, 0);
    play.run_to(u64::from(EPOCH) * 2 + 12);
    let snapshot = play.snapshots.last().unwrap().clone();
    let offer = play.offer(&snapshot);
    let keys = play.network.keys(1);
    let mut restoring = Engine::restore(play.network.genesis.clone(), keys, &offer).unwrap();
    let states = snapshot.manifest.state_pieces.len();
    for (place, piece) in snapshot.pieces.iter().enumerate() {
        // All names are erased.
        restoring
            .add(if place < states { piece } else { &[] })
            .unwrap();
    }
    play.engine = restoring.finish().unwrap();
    let erased = page(&mut play, ("apple", Some(height)), AsOf::Now, 0);
    let is_erased = |row: &_| matches!(row, CertifiedHolder::Unnamed(_));
    assert!(erased.rows.iter().all(|row| is_erased(&row.holder)));
    assert!(!whole.rows.iter().any(|row| is_erased(&row.holder)));
    assert_eq!(outcome.certified, Some(root(&erased)));
    assert_eq!(outcome.certified, Some(root(&whole)));
}

#[test]
fn a_member_has_so_much_certified_with_each_block() {
    let mut play = Play::furnished();
    // The registry has four positions at the most; every order counts 64 more.
    let many = |count: usize| vec![certify(APPLE, AsOf::Now); count];
    let outcomes = play.submit("apple", many(2_000), &[]);
    assert!(outcomes.iter().all(|outcome| outcome.certified.is_some()));
    let mut refused = 0;
    let sealed: Vec<_> = (0..3).map(|_| play.seal("apple", many(2_000))).collect();
    let others = play.seal("admin", many(1));
    let all: Vec<&[u8]> = sealed
        .iter()
        .chain([&others])
        .map(|one| &one.bytes[..])
        .collect();
    let executed = play.step(&all, &[]);
    for one in &sealed {
        for outcome in kit::play::outcomes(one, &executed) {
            match outcome.certified {
                Some(_) => assert_eq!(refused, 0, "none after the first that is too much"),
                None => {
                    assert_eq!(outcome, Outcome::refused(Code::Limit));
                    refused += 1;
                }
            }
        }
    }
    assert!((2_900..3_200).contains(&refused), "{refused}");
    // Others have their own.
    assert!(
        kit::play::outcomes(&others, &executed)[0]
            .certified
            .is_some()
    );
    // The next block has room again.
    assert!(
        certified(&mut play, "apple", AsOf::Now)
            .0
            .certified
            .is_some()
    );
}
