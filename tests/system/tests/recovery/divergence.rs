//! A validator whose module computes other results stops its part, with evidence on disk; the others go on.

use std::fs;

use sealbook_system::crowd::{Crowd, open_books};
use sealbook_system::network::wait_for;

use crate::{short_epochs, status_of};

#[test]
fn a_validator_that_computes_other_results_stops_with_evidence_and_the_others_go_on() {
    let mut network = short_epochs(4, 0, &[]);
    open_books(&network);
    let crowd = Crowd::begin(&network);
    crowd.wait_for_more(10);
    network.stop("node-4");
    let configuration = network.folder().join("node-4").join("node.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    let honest = network.programs().path("sealbook-execution");
    let other = env!("CARGO_BIN_EXE_sealbook-diverging-module");
    let changed = text.replace(honest.to_str().unwrap(), other);
    assert_ne!(text, changed, "node.toml names its module's program");
    fs::write(&configuration, &changed).unwrap();
    network.start("node-4");
    let halted = wait_for("node-4 to notice", || {
        let status = status_of(&network, "node-4")?;
        let problem = status["problem"].as_str()?;
        problem
            .contains("in a final header")
            .then(|| problem.to_owned())
    });
    println!("{halted}");
    let evidence = network.folder().join("node-4").join("evidence");
    let files: Vec<_> = fs::read_dir(&evidence).unwrap().collect();
    assert_eq!(files.len(), 1);
    let written = fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    for line in [
        "computed here: ",
        "in a final header: ",
        "header: ",
        "certificate: ",
    ] {
        assert!(written.contains(line), "{line}\n{written}");
    }
    // It stays up to say so, but neither votes nor answers; the others go on.
    crowd.wait_for_more_of_each(4);
    assert!(network.log("node-4").contains("this node votes no more"));

    // With its honest module back it catches up, and the evidence stays.
    network.stop("node-4");
    fs::write(&configuration, &text).unwrap();
    network.start("node-4");
    let goal = sealbook_system::crowd::highest(&network);
    network.wait_for_height("node-4", goal);
    crowd.end().check(&network);
    assert!(evidence.exists());
    sealbook_system::checks::in_one_state(&network);
}
