//! As many faulty validators as a network may have, in every way, and one more than that.

use std::time::{Duration, Instant};

use sealbook_system::TestNetwork;
use sealbook_system::checks::{
    SMALL, height_of, in_one_state, not_acknowledged, settles_once, standing,
};
use sealbook_system::crowd::{self, Crowd, balance, open_books};
use sealbook_system::relay::{Line, Relay};

/// Links as between cities of one country, with what a busy line adds.
const LINES: Line = Line {
    delay: Duration::from_millis(5),
    jitter: Duration::from_millis(3),
    stalls_per_mille: 2,
    bandwidth: 0,
    cut: false,
};

/// A network whose nodes reach each other through a relay only.
fn relayed(validators: usize) -> (TestNetwork, Relay) {
    let mut network = TestNetwork::create(validators, 0, &[]);
    let relay = Relay::between(network.folder());
    relay.everywhere(LINES);
    network.start_all();
    (network, relay)
}

/// What goes wrong with a validator.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Paused,
    Slow,
    CutOff,
    /// It hears the others, and they do not hear it.
    Mute,
    /// They hear it, and it does not hear them.
    Deaf,
}

/// Puts these validators out of order, lets the rest work, and waits until all are well again.
fn suffer(network: &mut TestNetwork, relay: &Relay, crowd: &Crowd, faults: &[(Fault, &str)]) {
    let started = Instant::now();
    let names = network.node_names();
    let victims: Vec<&str> = faults.iter().map(|(_, victim)| *victim).collect();
    let others: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !victims.contains(name))
        .collect();
    let mut slowed = Vec::new();
    for (fault, victim) in faults {
        match fault {
            Fault::Killed => network.kill(victim),
            Fault::Paused => network.pause(victim),
            Fault::Slow => slowed.push(network.slow(victim)),
            Fault::CutOff => relay.cut_off(&[victim]),
            Fault::Mute => relay.cut_one_way(&[victim], &others),
            Fault::Deaf => relay.cut_one_way(&others, &[victim]),
        }
    }
    crowd.wait_for_more(12);
    let worked = started.elapsed();
    for (fault, victim) in faults {
        match fault {
            Fault::Killed => network.start(victim),
            Fault::Paused => network.resume(victim),
            Fault::Slow => {}
            Fault::CutOff | Fault::Mute | Fault::Deaf => relay.heal(),
        }
    }
    drop(slowed);
    let height = crowd::highest(network);
    for victim in victims {
        network.wait_for_height(victim, height);
    }
    let healed = started.elapsed() - worked;
    eprintln!("{faults:?}: worked in {worked:.1?}, healed in {healed:.1?}");
}

#[test]
fn one_of_four_fails_in_every_way() {
    let (mut network, relay) = relayed(4);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    for (fault, victim) in [
        (Fault::Paused, "node-2"),
        (Fault::Slow, "node-3"),
        (Fault::CutOff, "node-4"),
        (Fault::Mute, "node-1"),
    ] {
        suffer(&mut network, &relay, &crowd, &[(fault, victim)]);
    }
    let done = crowd.end();
    done.check(&network);
    in_one_state(&network);
}

#[test]
fn two_of_seven_fail_in_every_way() {
    let (mut network, relay) = relayed(7);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    for faults in [
        [(Fault::Killed, "node-1"), (Fault::Paused, "node-2")],
        [(Fault::Slow, "node-3"), (Fault::CutOff, "node-4")],
        [(Fault::Mute, "node-5"), (Fault::Deaf, "node-6")],
    ] {
        suffer(&mut network, &relay, &crowd, &faults);
    }
    let done = crowd.end();
    done.check(&network);
    in_one_state(&network);
}

#[test]
fn halves_of_four_acknowledge_nothing_and_go_on_when_they_meet_again() {
    let (network, relay) = relayed(4);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more_of_each(5);
    let done = crowd.end();
    done.check(&network);
    let before = balance(&network, "A-1");
    relay.cut_off(&["node-1", "node-2"]);
    let all = ["node-1", "node-2", "node-3", "node-4"];
    let height = standing(&network, &all);
    std::thread::scope(|scope| {
        scope.spawn(|| not_acknowledged(&network, &["node-1", "node-2"], "left"));
        scope.spawn(|| not_acknowledged(&network, &["node-3", "node-4"], "right"));
    });
    assert_eq!(height_of(&network, &all), height, "without a quorum");
    assert_eq!(balance(&network, "A-1"), before, "applied without a quorum");
    relay.heal();
    settles_once(&network, &["left", "right"]);
    assert_eq!(balance(&network, "A-1"), before - 2 * SMALL, "each once");
    in_one_state(&network);
}

#[test]
fn three_of_seven_killed_stop_the_network_and_it_goes_on_when_they_return() {
    let (mut network, _relay) = relayed(7);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more_of_each(3);
    for victim in ["node-2", "node-5", "node-7"] {
        network.kill(victim);
    }
    let left = ["node-1", "node-3", "node-4", "node-6"];
    let height = standing(&network, &left);
    not_acknowledged(&network, &left, "late");
    assert_eq!(height_of(&network, &left), height, "without a quorum");
    network.start_all();
    crowd.wait_for_more(12);
    let mut done = crowd.end();
    settles_once(&network, &["late"]);
    done.alpha_also_gave_beta(SMALL);
    done.check(&network);
    in_one_state(&network);
}
