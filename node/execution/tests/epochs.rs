//! Committee epochs: who certifies which blocks, what a boundary block must say, and what members decide.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use kit::play::{Play, final_notice, outcomes, reply};
use kit::words::{self, approve, govern, member, order, propose};
use kit::{Founded, epochs_of, node_key, public, sorted, vote_key, vote_keys};
use sealbook_execution::custody::ModuleKey;
use sealbook_execution::{Engine, EngineError};
use sealbook_governance::{Action, Change, GovernanceView, ProposalStatus};
use sealbook_identity::Role;
use sealbook_ledger::{
    AuthorisedContract, Block, EpochDefinition, GovernanceRules, ObserverSeat, Parameters,
    RootGrant, ValidatorSeat, holder_digest, outcome_hash, outcome_leaf,
};
use sealbook_merkle::log;
use sealbook_primitives::hash::Digest;
use sealbook_protocol::payload::{AnswerBody, AsOf, OrderBytes, Question};
use sealbook_sealing::Envelope;
use sealbook_securities::{Code, Outcome};

/// An empty network with epochs of twelve blocks: 1 to 12, 13 to 24 ...
fn short() -> Founded {
    Founded {
        parameters: epochs_of(12, 1),
        ..Founded::default()
    }
}

/// A node that wants a seat, with the file of its module's key.
fn newcomer(index: u8) -> (ValidatorSeat, Vec<u8>) {
    let (file, module_key) = ModuleKey::generate();
    let seat = ValidatorSeat {
        name: format!("late-{index}"),
        vote_key: public(&vote_key("late", index)),
        module_key,
        address: format!("127.0.0.1:{}", 5_000 + u16::from(index)),
    };
    (seat, file.to_vec())
}

/// The same node as an observer, with its module.
fn observer_in(seat: ValidatorSeat) -> ObserverSeat {
    ObserverSeat {
        name: seat.name,
        vote_key: seat.vote_key,
        module_key: Some(seat.module_key),
        address: seat.address,
    }
}

/// Offers a block and expects that the engine stops because of what it says of the next epoch.
#[track_caller]
fn diverges(play: &mut Play, block: &Block, computed: Digest, committed: Digest) {
    let certificate = play.certificate(block);
    let error = play
        .engine
        .execute(&[block.encode()], &certificate)
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Diverged { height, computed: ours, committed: theirs }
            if (height, ours, theirs) == (block.height(), computed, committed)),
        "{error}"
    );
    assert!(play.engine.is_stopped());
}

#[test]
fn epochs_follow_each_other_and_the_plan_is_told_in_time() {
    let mut play = Play::empty(short());
    for height in 1..=40 {
        let first = (height - 1) / 12 * 12;
        let executed = play.step(&[], &[]);
        // From eight blocks before its end up to its end.
        let planned = height >= first + 4;
        assert_eq!(executed.next_epoch.is_some(), planned, "{height}");
        let digest = executed.next_epoch.as_ref().map(EpochDefinition::digest);
        assert_eq!(executed.commitment.next_epoch, digest);
        let header = play.header(height);
        assert_eq!(header.next_epoch.is_some(), height == first + 12);
        assert_eq!(header.epoch, first / 12);
        assert_eq!(play.engine.definition().epoch, height / 12);
    }
    let results = play.engine.results();
    let heights: Vec<u64> = results.iter().map(|one| one.height).collect();
    assert_eq!(heights, [38, 39, 40]);
    assert_eq!(results[2].digest, play.engine.commitment().digest());
}

#[test]
fn blocks_of_two_epochs_come_apart() {
    let mut play = Play::empty(short());
    play.run_to(30);
    let blocks: Vec<Vec<u8>> = play.blocks.iter().map(|one| one.0.clone()).collect();
    let certificate = |height: usize| play.blocks[height - 1].1.clone();
    let mut engine = play.network.engine();
    for (from, until) in [(0, 13), (0, 24), (0, 30), (11, 13)] {
        if from == 11 {
            engine.execute(&blocks[..11], &certificate(11)).unwrap();
        }
        let error = engine
            .execute(&blocks[from..until], &certificate(until))
            .unwrap_err();
        let expected = matches!(
            error,
            EngineError::Epoch {
                height: 13,
                expected: 0,
                found: 1
            }
        );
        assert!(expected, "{error}");
        assert!(!engine.is_stopped());
    }
    engine.execute(&blocks[11..12], &certificate(12)).unwrap();
    engine.execute(&blocks[12..24], &certificate(24)).unwrap();
    engine.execute(&blocks[24..], &certificate(30)).unwrap();
    assert_eq!(engine.commitment(), play.engine.commitment());
}

#[test]
fn a_boundary_block_defines_what_was_planned_or_the_engine_stops() {
    let play = || {
        let mut play = Play::empty(short());
        play.run_to(11);
        let planned = play.chain.planned.clone().unwrap();
        (play, planned)
    };
    // Another definition, none where there must be one, and one where there must be none.
    let (mut one, planned) = play();
    let mut other = planned.clone();
    other.parameters.expiry_horizon_ms += 1;
    one.chain.planned = Some(other.clone());
    let block = one.chain.next(&[], &[]);
    diverges(&mut one, &block, planned.digest(), other.digest());
    let (mut two, planned) = play();
    two.chain.definition.last_height += 1;
    let block = two.chain.next(&[], &[]);
    diverges(&mut two, &block, planned.digest(), Digest::ZERO);
    let mut three = Play::empty(short());
    three.run_to(9);
    three.chain.definition.last_height = 10;
    three.chain.planned = None;
    let block = three.chain.next(&[], &[]);
    let defined = block.header.next_epoch.as_ref().unwrap().digest();
    diverges(&mut three, &block, Digest::ZERO, defined);
}

#[test]
fn a_new_validator_gets_the_root_and_votes_from_the_next_epoch_on() {
    let mut play = Play::empty(short());
    let (seat, file) = newcomer(0);
    play.pool.push(vote_key("late", 0));
    let change = Change::AddValidator(seat.clone(), Vec::new());
    let sealed = play.seal("admin", vec![govern("G1", propose(&change))]);
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
    // The root comes with the decision, so that the module can be ready when its epoch begins.
    assert_eq!(executed.grants.len(), 1);
    let grant = &executed.grants[0];
    assert_eq!(grant.recipient, holder_digest(&seat.module_key));
    let open = |file: &[u8], grant: &RootGrant| {
        let module = ModuleKey::read(file).unwrap();
        module.open_grant(&play.network.id, grant)
    };
    assert!(open(&play.network.module_keys[0], grant).is_err());
    let keys = open(&file, grant).unwrap();
    let mut theirs = Engine::new(play.network.genesis.clone(), keys).unwrap();
    assert!(play.step(&[], &[]).grants.is_empty());
    play.end_epoch();
    assert_eq!(play.votes.len(), 5);
    let block = play.chain.next(&[], &[]);
    let bytes = [block.encode()];
    // The old committee's votes count no more, nor do three of five.
    let old = play.network.certificate_by(&play.network.votes, &block, 4);
    let few = play.network.certificate_by(&play.votes, &block, 3);
    for certificate in [old, few] {
        let error = play.engine.execute(&bytes, &certificate).unwrap_err();
        assert!(matches!(error, EngineError::NotFinal(_)), "{error}");
    }
    play.execute(&block).unwrap();
    play.run_to(20);
    // The newcomer's module computes what all others do.
    let split = |blocks: &[(Vec<u8>, Vec<u8>)]| -> (Vec<Vec<u8>>, Vec<u8>) {
        let all = blocks.iter().map(|one| one.0.clone()).collect();
        (all, blocks.last().unwrap().1.clone())
    };
    for blocks in [&play.blocks[..12], &play.blocks[12..]] {
        let (blocks, certificate) = split(blocks);
        theirs.execute(&blocks, &certificate).unwrap();
    }
    assert_eq!(theirs.commitment(), play.engine.commitment());
    // Receipts and snapshots are proved over the change of validators.
    let proof = play.proof(20);
    assert_eq!(proof.steps.len(), 1);
    assert_eq!(
        proof
            .verify(&play.network.genesis)
            .unwrap()
            .validators
            .len(),
        5
    );
    let snapshot = play.snapshots[0].clone();
    let mut restoring = Engine::restore(
        play.network.genesis.clone(),
        play.network.keys(1),
        &play.offer(&snapshot),
    )
    .unwrap();
    for piece in &snapshot.pieces {
        restoring.add(piece).unwrap();
    }
    let mut restored = restoring.finish().unwrap();
    let (blocks, certificate) = split(&play.blocks[12..]);
    restored.execute(&blocks, &certificate).unwrap();
    assert_eq!(restored.commitment(), play.engine.commitment());
    // A validator that leaves again: four of the five go on.
    play.decide(&Change::RemoveValidator {
        name: "late-0".to_owned(),
    });
    // The next epoch was planned already; it takes effect in the one after that.
    play.end_epoch();
    assert_eq!(play.votes.len(), 5);
    play.end_epoch();
    assert_eq!(play.votes, sorted(play.network.votes.clone()));
    play.run_to(40);
}

#[test]
fn a_module_that_nothing_can_be_sealed_to_is_not_admitted() {
    let mut play = Play::empty(short());
    let (mut seat, _) = newcomer(0);
    // The key that envelopes are sealed to is none that a module can have: it is of another suite, and signs nothing.
    let opening = play.network.genesis.opening_epochs[0].public_key.clone();
    let mut weak = seat.module_key.clone();
    let end = weak.len();
    weak[end - 32..].fill(0);
    for key in [Vec::new(), vec![1; 37], vec![0; 33], opening, weak] {
        seat.module_key = key;
        let changes = [
            Change::AddValidator(seat.clone(), Vec::new()),
            Change::AddObserver(observer_in(seat.clone()), Vec::new()),
        ];
        for change in changes {
            let outcome = play.govern("admin", propose(&change));
            assert!(!outcome.is_accepted(), "{outcome}");
        }
    }
}

#[test]
fn an_observer_gets_the_root_only_with_a_module_that_the_members_admitted() {
    let mut play = Play::empty(short());
    let (seat, file) = newcomer(0);
    let without = ObserverSeat {
        module_key: None,
        ..observer_in(newcomer(1).0)
    };
    let admit = |play: &mut Play, reference, seat| {
        let change = Change::AddObserver(seat, Vec::new());
        let sealed = play.seal("admin", vec![govern(reference, propose(&change))]);
        let executed = play.step(&[&sealed.bytes], &[]);
        assert_eq!(outcomes(&sealed, &executed), [Outcome::SETTLED]);
        executed.grants
    };
    assert!(admit(&mut play, "G1", without).is_empty());
    let wrapped = admit(&mut play, "G2", observer_in(seat.clone()));
    assert_eq!(wrapped.len(), 1);
    assert_eq!(wrapped[0].recipient, holder_digest(&seat.module_key));
    let module = ModuleKey::read(&file).unwrap();
    let keys = module.open_grant(&play.network.id, &wrapped[0]);
    let mut theirs = Engine::new(play.network.genesis.clone(), keys.unwrap()).unwrap();
    play.end_epoch();
    assert_eq!(play.votes.len(), 4, "it has no vote");
    play.run_to(20);
    for blocks in [&play.blocks[..12], &play.blocks[12..]] {
        let all: Vec<_> = blocks.iter().map(|one| one.0.clone()).collect();
        theirs.execute(&all, &blocks.last().unwrap().1).unwrap();
    }
    assert_eq!(theirs.commitment(), play.engine.commitment());
}

#[test]
fn an_auditor_follows_a_change_of_validators_without_the_root() {
    let mut play = Play::empty(short());
    let (seat, _) = newcomer(1);
    play.pool.push(vote_key("late", 1));
    play.decide(&Change::AddValidator(seat, Vec::new()));
    play.run_to(12);
    let keys = play.network.auditor_keys();
    let mut engine = Engine::new(play.network.genesis.clone(), keys).unwrap();
    for (block, certificate) in &play.blocks {
        let executed = engine
            .execute(std::slice::from_ref(block), certificate)
            .unwrap();
        assert!(executed[0].grants.is_empty());
    }
    assert_eq!(engine.commitment(), play.engine.commitment());
}

#[test]
fn members_come_and_go_at_a_boundary() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(36, 1),
        ..Founded::default()
    });
    let late = play.network.certify(
        "late",
        Role::Firm,
        "Late Ltd.",
        kit::CREATED_MS + 900_000_000,
    );
    play.decide(&Change::AddMember {
        chain: late.chain.clone(),
    });
    play.network.members.insert("late", late);
    play.decide(&Change::RemoveMember {
        name: member("beta"),
    });
    let transfer = || words::transfer("B-1", "B-1", "1");
    let before = play.network_root();
    assert!(
        play.registry("orange", AsOf::Now)
            .is_err_and(|code| code == Code::NotFound)
    );
    // Nothing holds before the boundary.
    assert_eq!(
        play.order("late", transfer()),
        Outcome::refused(Code::NotAMember)
    );
    assert_ne!(
        play.order("beta", transfer()),
        Outcome::refused(Code::NotAMember)
    );
    play.end_epoch();
    assert_eq!(
        play.order("beta", transfer()),
        Outcome::refused(Code::NotAMember)
    );
    assert_eq!(
        play.order("late", transfer()),
        Outcome::refused(Code::NotFound)
    );
    assert_ne!(play.network_root(), before);
    let asked = |play: &mut Play, name| -> Result<sealbook_securities::HoldingsView, Code> {
        play.view(name, &Question::Holdings)
    };
    assert_eq!(asked(&mut play, "beta").err(), Some(Code::NotAMember));
    assert!(asked(&mut play, "late").is_ok());
    // Whoever was removed keeps what it owns; its name is not given to another.
    assert!(play.registry("admin", AsOf::Now).is_ok());
    let again = play
        .network
        .certify("beta", Role::Firm, "Beta", kit::CREATED_MS + 900_000_000);
    play.network.members.insert("again", again);
    assert_eq!(play.admit("again"), Outcome::refused(Code::Taken));
}

#[test]
fn the_last_elector_stays() {
    let mut play = Play::empty(short());
    let remove = |name| Change::RemoveMember { name: member(name) };
    assert_eq!(
        play.govern("admin", propose(&remove("admin"))),
        Outcome::refused(Code::Conflict)
    );
    assert_eq!(play.admit("alpha"), Outcome::SETTLED);
    assert_eq!(
        play.govern("admin", propose(&remove("admin"))),
        Outcome::refused(Code::Conflict)
    );
    // An elector whose certificate has ended is nobody to count on.
    let end_ms = play.chain.head.time_ms + 5_000;
    let short = play.network.certify("short", Role::Admin, "Short", end_ms);
    play.network.members.insert("short", short);
    assert_eq!(play.admit("short"), Outcome::SETTLED);
    let block = play.chain.next_at(end_ms + 1, &[], &[]);
    play.execute(&block).unwrap();
    assert_eq!(
        play.govern("admin", propose(&remove("admin"))),
        Outcome::refused(Code::Conflict)
    );
}

#[test]
fn two_electors_decide_and_members_see_it() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(36, 1),
        governance: GovernanceRules {
            electors: vec!["admin".to_owned(), "regulator".to_owned()],
            approvals: 2,
            ..GovernanceRules::default()
        },
        ..Founded::default()
    });
    let change = Change::SetParameters(Parameters {
        expiry_horizon_ms: 60_000,
        ..epochs_of(12, 1)
    });
    assert_eq!(
        play.govern("alpha", propose(&change)),
        Outcome::refused(Code::NotPermitted)
    );
    assert_eq!(play.govern("admin", propose(&change)), Outcome::PENDING);
    let view =
        |play: &mut Play| -> GovernanceView { play.view("alpha", &Question::Governance).unwrap() };
    let seen = view(&mut play);
    assert_eq!(seen.proposals.len(), 1);
    assert_eq!(seen.proposals[0].status, ProposalStatus::Open);
    assert_eq!(
        play.govern("regulator", approve(1, &change)),
        Outcome::SETTLED
    );
    assert_eq!(
        play.submit(
            "admin",
            vec![sealbook_protocol::payload::OrderBytes::Governance(vec![
                7;
                9
            ])],
            &[]
        ),
        [Outcome::refused(Code::Malformed)]
    );
    assert_eq!(
        play.govern("admin", Action::Withdraw { proposal: 9 }),
        Outcome::refused(Code::NotFound)
    );
    play.run_to(37);
    let definition = play.engine.definition();
    assert_eq!((definition.first_height, definition.last_height), (37, 48));
    assert_eq!(definition.parameters.expiry_horizon_ms, 60_000);
    let seen = view(&mut play);
    assert!(matches!(
        seen.proposals[0].status,
        ProposalStatus::Effective { epoch: 1 }
    ));
}

#[test]
fn a_longer_horizon_wakes_no_envelope_that_was_too_old() {
    let mut play = Play::furnished_with(Founded {
        parameters: Parameters {
            expiry_horizon_ms: 60_000,
            ..epochs_of(36, 1)
        },
        ..Founded::default()
    });
    let lacking = words::transfer("A-2", "A-1", "5");
    let sealed = play.network.seal(
        "alpha",
        play.chain.head.time_ms + 2_000,
        vec![order("X", lacking)],
    );
    let executed = play.step(&[&sealed.bytes], &[]);
    assert!(reply(&sealed, &executed).is_some());
    let expires_ms = Envelope::decode(&sealed.bytes, 10_000)
        .unwrap()
        .header
        .expires_ms;
    play.decide(&Change::SetParameters(Parameters {
        expiry_horizon_ms: 3_600_000,
        ..epochs_of(36, 1)
    }));
    // One horizon after its expiry it is forgotten ...
    let block = play.chain.next_at(expires_ms + 60_001, &[], &[]);
    play.execute(&block).unwrap();
    play.run_to(37);
    assert_eq!(
        play.engine.definition().parameters.expiry_horizon_ms,
        3_600_000
    );
    // ... and whoever was told an outcome is not told another one under the longer horizon.
    let executed = play.step(&[&sealed.bytes], &[]);
    assert_eq!((executed.replies.len(), executed.unopened), (0, 1));
}

#[test]
fn carriers_answer_for_what_does_not_open() {
    let mut play = Play::empty(short());
    let (key, other) = (
        node_key(&play.network.votes[2]),
        node_key(&play.network.votes[3]),
    );
    play.chain.carrier = (2, key.clone());
    let executed = play.step(&[b"junk", b"more junk"], &[]);
    assert_eq!(executed.unopened, 2);
    assert_eq!(executed.quotas.len(), 1);
    assert_eq!(executed.quotas[0].carrier, key.verifying_key());
    assert_eq!(play.engine.quotas(), executed.quotas);
    // The committee in genesis is listed as it voted: places are those of the definition.
    let carriers: Vec<_> = play.engine.definition().carriers().copied().collect();
    assert_eq!(carriers[2], key.verifying_key());
    // One that brings what opens is not cut.
    play.chain.carrier = (3, other);
    let good = play.seal("admin", vec![order("D", words::open_day("2012-08-09"))]);
    let executed = play.step(&[&good.bytes], &[]);
    assert_eq!(outcomes(&good, &executed), [Outcome::SETTLED]);
    assert_eq!(executed.quotas.len(), 1);
    // A place that is nobody's counts for nobody; validators would not have voted for it.
    play.chain.carrier.0 = 4;
    let executed = play.step(&[b"junk"], &[]);
    assert_eq!((executed.unopened, executed.quotas.len()), (1, 1));
    // Observers carry, too, once they are appointed.
    let observer = node_key(&vote_key("observer", 0));
    play.decide(&Change::AddObserver(
        ObserverSeat {
            name: "observer".to_owned(),
            vote_key: observer.verifying_key(),
            module_key: None,
            address: "127.0.0.1:6000".to_owned(),
        },
        Vec::new(),
    ));
    play.chain.carrier = (0, node_key(&play.network.votes[0]));
    play.end_epoch();
    play.chain.carrier = (4, observer.clone());
    let executed = play.step(&[b"junk"], &[]);
    let cut: Vec<_> = executed.quotas.iter().map(|one| one.carrier).collect();
    assert!(cut.contains(&observer.verifying_key()));
}

#[test]
fn a_notice_proves_the_outcomes_that_the_reply_told() {
    let mut play = Play::furnished();
    let sealed = [3, 1, 7].map(|count: usize| {
        let orders = (0..count).map(|number| {
            let reference = format!("{count}-{number}");
            order(&reference, words::transfer("A-1", "A-2", "1"))
        });
        play.seal("alpha", orders.collect())
    });
    let mut bytes: Vec<&[u8]> = sealed.iter().map(|one| one.bytes.as_slice()).collect();
    // What does not open and what is a copy has no leaf.
    bytes.insert(1, b"junk");
    bytes.push(&sealed[0].bytes);
    let ordered = play.step(&bytes, &[]);
    play.step(&[], &[]);
    let executed = play.step(&[], &[]);
    assert_eq!(ordered.commitment.outcomes, 3);
    let block = Block::decode(
        &play.blocks[ordered.commitment.height as usize - 1].0,
        usize::MAX,
    )
    .unwrap();
    for (place, one) in sealed.iter().enumerate() {
        let envelope = Envelope::decode(&one.bytes, 10_000).unwrap();
        assert!(
            block
                .transactions
                .iter()
                .any(|listed| listed.id() == envelope.digest())
        );
        let reply = reply(one, &ordered).unwrap();
        let notice = final_notice(one, &executed).unwrap();
        assert_eq!(notice.place, place as u64);
        assert_eq!(notice.commitment, ordered.commitment);
        assert_eq!(notice.committed_by, executed.commitment.height);
        let hashes: Vec<Digest> = (0_u32..)
            .zip(&reply.outcomes)
            .map(|(order, outcome)| outcome_hash(&notice.blinding, order, outcome))
            .collect();
        let leaf = outcome_leaf(&envelope.digest(), &log::root(&hashes));
        let (root, count) = (&notice.commitment.outcomes_root, notice.commitment.outcomes);
        assert!(log::verify(root, notice.place, count, &leaf, &notice.path));
        let header = play.header(notice.committed_by);
        let committed = (ordered.commitment.height, notice.commitment.digest());
        assert!(header.committed_roots().any(|root| root == committed));
    }
}

#[test]
fn another_committees_blocks_are_refused_in_every_epoch() {
    let mut play = Play::empty(short());
    for height in [3, 12, 15] {
        play.run_to(height);
        let block = play.chain.clone().next(&[], &[]);
        let certificate = play.network.certificate_by(&vote_keys("others"), &block, 4);
        let error = play
            .engine
            .execute(&[block.encode()], &certificate)
            .unwrap_err();
        assert!(matches!(error, EngineError::NotFinal(_)), "{error}");
    }
}

#[test]
fn a_contract_that_is_withdrawn_reads_nothing_until_it_is_authorised_again() {
    let mut play = Play::furnished_with(Founded {
        parameters: epochs_of(24, 1),
        ..Founded::default()
    });
    let present = play.network.genesis.parameters.clone();
    let registry = Change::SetContracts;
    // Parameters that were proposed with another registry do not bring it along.
    let other = Parameters {
        contracts: AuthorisedContract::usual()[..1].to_vec(),
        ..present
    };
    let outcome = play.govern("admin", propose(&Change::SetParameters(other)));
    assert_eq!(outcome, Outcome::refused(Code::Conflict));
    let governance = AuthorisedContract::new("governance", 1);
    // A version that the modules do not run, a contract that there is not, and none to decide anything with.
    for more in ["repo", "securities"] {
        let unknown = AuthorisedContract::new(more, 2);
        let outcome = play.govern(
            "admin",
            propose(&registry(vec![governance.clone(), unknown])),
        );
        assert_eq!(outcome, Outcome::refused(Code::Conflict), "{more}");
    }
    let outcome = play.govern("admin", propose(&registry(Vec::new())));
    assert_eq!(outcome, Outcome::refused(Code::Malformed));
    play.decide(&registry(vec![governance]));
    play.settle("alpha", words::transfer("A-1", "A-2", "1"));
    let root = |play: &Play| play.engine.state_root();
    // The first of these may be fixed already.
    let two_epochs = |play: &mut Play| {
        play.end_epoch();
        play.end_epoch();
    };
    two_epochs(&mut play);
    // An order, good or not even readable, and every question about the contract's data.
    let refused = Outcome::refused(Code::NotAuthorised);
    let transfer = || words::transfer("A-1", "A-2", "1");
    assert_eq!(play.order("alpha", transfer()), refused);
    let unreadable = vec![OrderBytes::Securities(vec![0xff; 40])];
    assert_eq!(play.submit("alpha", unreadable, &[]), [refused]);
    let denied = borsh::to_vec(&refused).unwrap();
    for question in [
        Question::Holdings,
        Question::Trades,
        Question::Audit,
        words::ask_registry(AsOf::Now),
    ] {
        let answer = play.ask("regulator", &question);
        assert_eq!(answer.body, AnswerBody::Refused(denied.clone()));
    }
    // The network itself goes on, and the contract's data stays committed to.
    assert!(matches!(
        play.ask("alpha", &Question::Member).body,
        AnswerBody::Member(_)
    ));
    assert_eq!(play.admit("stranger"), Outcome::SETTLED);
    play.decide(&registry(AuthorisedContract::usual()));
    let before = root(&play);
    two_epochs(&mut play);
    assert_ne!(root(&play), before, "heights are part of the root");
    play.settle("alpha", transfer());
    assert_eq!(
        play.registry_text("apple", AsOf::Now),
        "1000000 = 999000 + [Hanako Sato 998, Ichiro Suzuki 2]"
    );
    // A genesis document with a contract that this program has not is refused at once.
    let mut genesis = play.network.genesis.clone();
    genesis.parameters.contracts[0].version = 2;
    let refused = Engine::new(genesis, play.network.keys(0)).map(drop);
    assert!(
        matches!(refused, Err(EngineError::Contract(_))),
        "{refused:?}"
    );
}
