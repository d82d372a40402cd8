//! 22 to 24: orders whose contents are bad: certificates, other firms' accounts, numbers at the edges.

use sealbook_protocol::payload::{AsOf, OrderBytes};
use sealbook_securities::{Instruction, Outcome};

use crate::kit::play::{Play, outcomes, reply};
use crate::kit::words::{self, order};
use crate::stage::Stage;

/// What is issued is what is held, whatever was tried.
fn conserved(play: &mut Play) -> String {
    let text = play.registry_text("apple", AsOf::Now);
    let (issued, held) = text.split_once(" = ").unwrap();
    let held = held.replace(['[', ']', '+', ','], " ");
    let numbers = held
        .split_whitespace()
        .filter_map(|word| word.parse::<u128>().ok());
    let sum: u128 = numbers.sum();
    assert_eq!(issued.parse::<u128>().unwrap(), sum, "{text}");
    play.engine.state().check_invariants().unwrap();
    text
}

#[test]
fn a22_malformed_certificates() {
    let mut stage = Stage::set();
    let good = stage.play.network.members["stranger"].chain.clone();
    let mut chains: Vec<Vec<Vec<u8>>> = vec![
        Vec::new(),
        vec![Vec::new(); 2],
        vec![vec![0x30; 100]; 2],
        vec![good[0].clone()],
        vec![good[1].clone(), good[0].clone()],
        vec![good[0].clone(); 3],
        // A length that announces far more than there is.
        vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], good[1].clone()],
        // Deep nesting.
        vec![vec![0x30; 60_000], good[1].clone()],
    ];
    for at in (0..good[0].len()).step_by(7) {
        let mut flipped = good.clone();
        flipped[0][at] ^= 0x10;
        chains.push(flipped);
        let mut cut = good.clone();
        cut[0].truncate(at);
        chains.push(cut);
    }
    // Of another network's authority.
    let other = crate::kit::Network::new().members["stranger"].chain.clone();
    chains.push(other);
    for batch in chains.chunks(8) {
        let sealed: Vec<_> = batch
            .iter()
            .map(|chain| {
                let reference = stage.play.reference();
                let chain = chain.clone();
                stage
                    .play
                    .seal("admin", vec![OrderBytes::Admit { reference, chain }])
            })
            .collect();
        let bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
        let executed = stage.step(&bytes);
        for one in &sealed {
            assert_ne!(outcomes(one, &executed), [Outcome::SETTLED]);
        }
    }
    assert_eq!(stage.play.admit("stranger"), Outcome::SETTLED);
    stage.feed();
}

#[test]
fn a23_a_firm_names_another_firms_account_in_every_instruction() {
    let mut stage = Stage::set();
    stage
        .play
        .order("alpha", words::sell("A-1", "beta", "100", "41123.00"));
    stage.feed();
    let before = conserved(&mut stage.play);
    let name = stage.play.network.seal_name("Nobody");
    // Beta names an account of alpha's, and one that there is not.
    let all = |theirs: &str| -> Vec<Instruction> {
        vec![
            words::issue_units("5"),
            words::open_day("2012-08-10"),
            words::allocate(theirs, "5"),
            words::mint(theirs, "5.00"),
            words::transfer(theirs, "B-1", "5"),
            words::sell(theirs, "alpha", "5", "5.00"),
            words::confirm("~none", theirs),
            words::dividend("0.01", sealbook_securities::RecordTime::Now),
            words::split(2, 1),
            words::open_account("B-2", [9; 32], name.commitment),
        ]
    };
    let mut answers = |theirs: &str| -> Vec<(Vec<u8>, usize)> {
        let answer = |instruction| {
            let reference = stage.play.reference();
            let sealed = stage
                .play
                .seal("beta", vec![order(&reference, instruction)]);
            let executed = stage.step(&[&sealed.bytes]);
            assert_ne!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
            let mut opened = reply(&sealed, &executed).unwrap();
            (opened.height, opened.time_ms) = (0, 0);
            let size = executed.replies[0].sealed.len();
            (borsh::to_vec(&opened).unwrap(), size)
        };
        all(theirs).into_iter().map(answer).collect()
    };
    assert_eq!(answers("A-1"), answers("NO-SUCH"));
    assert_eq!(conserved(&mut stage.play), before);
}

#[test]
fn a24_numbers_at_the_edges_of_the_range() {
    let mut stage = Stage::set();
    let numbers = [
        "0",
        "1",
        "0.01",
        "0.00000000000000001",
        "9999999999999999.99",
        "92233720368547758.0",
        "922337203685477580",
        "999999999999999999",
        // Too long to be a number at all.
        "9223372036854775807",
        "18446744073709551616",
    ];
    let readable = |text: &&&str| text.parse::<sealbook_securities::Decimal>().is_ok();
    let readable: Vec<&&str> = numbers.iter().filter(readable).collect();
    assert_eq!(readable.len(), 8);
    for number in readable {
        let mut sealed = Vec::new();
        for (name, instruction) in [
            ("admin", words::issue_units(number)),
            ("admin", words::allocate("A-1", number)),
            ("bank", words::mint("B-1", number)),
            ("alpha", words::transfer("A-1", "A-2", number)),
            ("alpha", words::sell("A-1", "beta", number, number)),
            (
                "admin",
                words::dividend(number, sealbook_securities::RecordTime::Now),
            ),
        ] {
            let reference = stage.play.reference();
            sealed.push(stage.play.seal(name, vec![order(&reference, instruction)]));
        }
        for (new, old) in [(u32::MAX, 1), (1, u32::MAX), (0, 1), (1, 0)] {
            let reference = stage.play.reference();
            let split = order(&reference, words::split(new, old));
            sealed.push(stage.play.seal("admin", vec![split]));
        }
        let bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
        let executed = stage.step(&bytes);
        assert_eq!(executed.unopened, 0);
        assert_eq!(executed.replies.len(), sealed.len());
        conserved(&mut stage.play);
    }
}
