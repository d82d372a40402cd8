//! The real process does what the library does, and nothing on bad words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use kit::module::{Module, PROGRAM, command, ended, from_genesis};
use kit::play::{Play, outcomes};
use kit::words::{self, order};
use kit::{Network, Sealed, vote_keys};
use sealbook_execution::Executed;
use sealbook_execution::statement::ModuleStatement;
use sealbook_ledger::{Genesis, KeyRecord, Recovery, RootFile};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_protocol::payload::{AnswerBody, Question};
use sealbook_securities::Outcome;

#[test]
fn a_whole_story_goes_through_the_socket() {
    let mut play = Play::furnished();
    let mut module = Module::running(&play.network);
    let blocks: Vec<Vec<u8>> = play.blocks.iter().map(|(block, _)| block.clone()).collect();
    let certificate = play.blocks.last().unwrap().1.clone();
    module.say(&ToModule::Finalized {
        blocks,
        certificate,
    });
    for root in &play.chain.roots {
        assert_eq!(module.hear_executed().commitment.digest(), *root);
    }
    let sealed = play.seal(
        "alpha",
        vec![order("T1", words::transfer("A-1", "A-2", "10"))],
    );
    // What a module executed may be an old part of the ledger: it answers nothing until its own words come back.
    let early = play
        .network
        .seal_query("alpha", play.expiry(), 0, &Question::Holdings);
    assert!(module.is_asleep(&early));
    assert_eq!(module.carried.len(), 1);
    let sign = module.carried[0].clone();
    let executed = play.step(&[&sealed.bytes, &sign], &[]);
    let (block, certificate) = play.blocks.last().cloned().unwrap();
    module.say(&ToModule::Finalized {
        blocks: vec![block.clone()],
        certificate: certificate.clone(),
    });
    let same = module.hear_executed();
    assert_eq!(outcomes(&sealed, &same), [Outcome::SETTLED]);
    assert_eq!(same.unopened, 0);
    let replied = |one: &Executed| -> Vec<Digest> {
        one.replies.iter().map(|reply| reply.transaction).collect()
    };
    assert_eq!(replied(&same), replied(&executed));
    assert_eq!(same.finals.len(), executed.finals.len());

    let query = play.network.seal_query(
        "alpha",
        play.expiry(),
        same.commitment.height,
        &Question::Holdings,
    );
    let answer = module.query(&query).unwrap();
    assert!(matches!(answer.body, AnswerBody::View(_)));
    assert_eq!(
        (answer.height, answer.state_root),
        (same.commitment.height, same.commitment.state_root)
    );
    assert!(module.query(&query).is_none(), "a replay");

    // What is not final or not next is refused, and the module goes on.
    module.say(&ToModule::Finalized {
        blocks: vec![block],
        certificate: certificate.clone(),
    });
    assert!(module.refusal().starts_with("not final"));
    let next = play.chain.next(&[], &[]);
    module.say(&ToModule::Finalized {
        blocks: vec![next.encode()],
        certificate,
    });
    assert!(module.refusal().contains("certificate"));
    module.say(&from_genesis(&play.network.genesis));
    assert_eq!(module.refusal(), "not in this session");
    let certificate = play.network.certificate(&next);
    module.say(&ToModule::Finalized {
        blocks: vec![next.encode()],
        certificate,
    });
    assert_eq!(module.hear_executed().commitment.height, next.height());

    // A root that differs ends execution and answers; the process stays and says so.
    play.chain.roots[next.height() as usize - 2].0[0] ^= 1;
    let wrong = play.chain.next(&[], &[]);
    let certificate = play.network.certificate(&wrong);
    for _ in 0..2 {
        module.say(&ToModule::Finalized {
            blocks: vec![wrong.encode()],
            certificate: certificate.clone(),
        });
        match module.hear() {
            FromModule::Diverged { height, .. } => assert_eq!(height, next.height() - 1),
            FromModule::Refused { reason } => assert!(reason.contains("stopped"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    let query = play
        .network
        .seal_query("alpha", play.expiry(), 0, &Question::Holdings);
    assert!(module.query(&query).is_none());
    module.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(!module.ended().success());
}

#[test]
fn the_genesis_of_another_committee_is_refused() {
    let network = Network::new();
    let mut module = Module::start(&network);
    let refused = |module: &mut Module, genesis: &Genesis| {
        module.say(&from_genesis(genesis));
        module.refusal()
    };
    let mut other = network.genesis.clone();
    for (seat, key) in other.validators.iter_mut().zip(&vote_keys("others")) {
        seat.vote_key = VerifyingKey(ed25519_zebra::VerificationKey::from(key).into());
    }
    let reason = refused(&mut module, &other);
    assert!(reason.contains("not given to this holder"), "{reason}");
    let mut other = network.genesis.clone();
    other.parameters.expiry_horizon_ms += 1;
    refused(&mut module, &other);
    refused(&mut module, &Network::new().genesis);
    module.say(&ToModule::Start {
        genesis: b"no genesis".to_vec(),
        offer: None,
        roots: Vec::new(),
    });
    module.refusal();
    // The right one still starts.
    module.say(&from_genesis(&network.genesis));
    assert!(matches!(module.hear(), FromModule::Started { network: id, .. } if id == network.id));
}

#[test]
fn a_damaged_root_file_is_named_as_the_reason() {
    let mut network = Network::new();
    network.wrapped_roots[0].truncate(10);
    let mut module = Module::start(&network);
    module.say(&from_genesis(&network.genesis));
    let reason = module.refusal();
    assert!(reason.starts_with("root file"), "{reason}");
}

#[test]
fn a_network_is_founded_by_processes_alone() {
    let model = Network::new();
    let files = tempfile::tempdir().unwrap();
    let key = files.path().join("module.key");
    let made = Command::new(PROGRAM)
        .args(["keygen".as_ref(), key.as_os_str()])
        .output()
        .unwrap();
    assert!(made.status.success());
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let hex = String::from_utf8(made.stdout).unwrap();
    let public: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    // A key that exists is not written over.
    let again = Command::new(PROGRAM)
        .args(["keygen".as_ref(), key.as_os_str()])
        .output()
        .unwrap();
    assert!(!again.status.success());

    let (mut founding, mut socket) = command(&["found"]);
    let mut process = founding.spawn().unwrap();
    drop(founding);
    let mut hear = || -> FromModule { frame::read(&mut socket, MODULE_FRAME_MAX).unwrap() };
    assert!(matches!(hear(), FromModule::Ready { .. }));
    frame::write(
        &mut socket,
        &ToModule::Found {
            suite: 1,
            recovery: Recovery::default(),
        },
        MODULE_FRAME_MAX,
    )
    .unwrap();
    let FromModule::Founded { opening_key, .. } =
        frame::read(&mut socket, MODULE_FRAME_MAX).unwrap()
    else {
        panic!("not founded");
    };
    let mut genesis = model.genesis.clone();
    genesis.opening_epochs[0].public_key = opening_key;
    genesis.validators[0].module_key = public;
    let bind = ToModule::Bind {
        genesis: genesis.encode(),
    };
    frame::write(&mut socket, &bind, MODULE_FRAME_MAX).unwrap();
    let bound: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    let FromModule::Bound { record } = bound else {
        panic!("not bound")
    };
    let record = KeyRecord::decode(&record).unwrap();
    assert_eq!((record.roots.len(), record.bundles.len()), (4, 1));
    assert_eq!(ended(&mut process).code(), Some(0));

    let root = files.path().join("module.root");
    let own = RootFile::of(record.grants().take(1));
    fs::write(&root, own.encode()).unwrap();
    let (mut run, mut socket) = command(&["run", key.to_str().unwrap(), root.to_str().unwrap()]);
    let mut process = run.spawn().unwrap();
    drop(run);
    let mut hear = || -> FromModule { frame::read(&mut socket, MODULE_FRAME_MAX).unwrap() };
    assert!(matches!(hear(), FromModule::Ready { .. }));
    let start = from_genesis(&genesis);
    frame::write(&mut socket, &start, MODULE_FRAME_MAX).unwrap();
    let carried: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(carried, FromModule::Carry { .. }));
    let started: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(started, FromModule::Started { network, .. } if network == genesis.network()));
    let _ = (process.kill(), process.wait());
}

#[test]
fn without_its_files_or_its_words_it_does_nothing() {
    for arguments in [
        &["run", "/nonexistent", "/nonexistent"][..],
        &["run"],
        &["anything"],
        &[],
    ] {
        let (mut command, mut socket) = command(arguments);
        let mut process = command.spawn().unwrap();
        drop(command);
        assert_eq!(ended(&mut process).code(), Some(1));
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
        assert!(said.is_empty());
    }
}

#[test]
fn much_work_needs_no_call_that_is_not_allowed() {
    // Memory that grows and shrinks, large frames, many signatures: anything unexpected would kill the process.
    let mut play = Play::furnished();
    let mut module = Module::running(&play.network);
    for round in 0..3 {
        let sealed: Vec<Sealed> = (0..4)
            .map(|batch| {
                let orders = (0..400).map(|number| {
                    let reference = format!("{round}-{batch}-{number}");
                    order(&reference, words::transfer("A-1", "A-2", "1"))
                });
                play.seal("alpha", orders.collect())
            })
            .collect();
        let bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
        let padding = vec![0_u8; 16 * 1024];
        let names: Vec<&[u8]> = vec![&padding; 200];
        play.step(&bytes, &names);
    }
    let sign = module.carried[0].clone();
    play.step(&[&sign], &[]);
    let blocks: Vec<Vec<u8>> = play.blocks.iter().map(|(block, _)| block.clone()).collect();
    let certificate = play.blocks.last().unwrap().1.clone();
    module.say(&ToModule::Finalized {
        blocks,
        certificate,
    });
    for root in &play.chain.roots {
        assert_eq!(module.hear_executed().commitment.digest(), *root);
    }
    for question in [
        Question::Audit,
        Question::Holdings,
        Question::Trades,
        Question::Member,
    ] {
        let query = play
            .network
            .seal_query("regulator", play.expiry(), 0, &question);
        assert!(module.query(&query).is_some());
    }
    assert!(module.process.try_wait().unwrap().is_none());
}

#[test]
fn a_module_states_which_program_it_runs() {
    let network = Network::new();
    let files = tempfile::tempdir().unwrap();
    let key = files.path().join("module.key");
    fs::write(&key, &network.module_keys[0]).unwrap();
    let said = |program: &std::path::Path, arguments: &[&str]| -> Option<String> {
        let ran = Command::new(program).args(arguments).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        ran.status.success().then_some(text)
    };
    let (program, key) = (std::path::Path::new(PROGRAM), key.to_str().unwrap());
    let measured = said(program, &["measure"]).unwrap();
    // As everybody can compute it.
    let summed = said(std::path::Path::new("sha256sum"), &[PROGRAM]).unwrap();
    assert_eq!(summed.split(' ').next(), Some(measured.as_str()));
    let id = network.id.to_string();
    let statement = said(program, &["state", key, &id]).unwrap();
    let bytes: Vec<u8> = (0..statement.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&statement[at..at + 2], 16).unwrap())
        .collect();
    let seat = &network.genesis.validators[0].module_key;
    let stated = ModuleStatement::verify(&bytes, seat, &network.id).unwrap();
    assert_eq!(stated.to_string(), measured);
    let other = &network.genesis.validators[1].module_key;
    assert_eq!(ModuleStatement::verify(&bytes, other, &network.id), None);
    // A program that is not the same to the last byte states something else.
    let altered = files.path().join("altered");
    fs::copy(PROGRAM, &altered).unwrap();
    let mut file = fs::File::options().append(true).open(&altered).unwrap();
    file.write_all(b"\0").unwrap();
    drop(file);
    assert_ne!(said(&altered, &["measure"]).unwrap(), measured);
    assert_ne!(said(&altered, &["state", key, &id]).unwrap(), statement);
    // Nothing is stated without a key, or for what is no network.
    assert_eq!(said(program, &["state", "/nonexistent", &id]), None);
    assert_eq!(said(program, &["state", key, "12"]), None);
}
