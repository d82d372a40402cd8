//! 6, 8 and 12: questions that must not be answered, by whom the module lets itself be told what holds, and what the
//! shape of answers tells.

use sealbook_execution::engine::ANSWER_CONTEXT;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::Signature;
use sealbook_protocol::module::{FromModule, ToModule};
use sealbook_protocol::payload::{
    AnswerBody, AsOf, QUERY_SIGNATURE, QUERY_VERSION, Query, Question, TRANSACTION_SIGNATURE,
};
use sealbook_sealing::Purpose;

use crate::kit::module::{Module, from_genesis};
use crate::kit::play::reply;
use crate::kit::words::{self, ask_registry, order};
use crate::kit::{Network, Sealed, sign};
use crate::stage::Stage;

/// An answer and how long it was under its seal.
fn answer_and_size(stage: &mut Stage, name: &str, question: &Question) -> (Vec<u8>, usize) {
    let network = &stage.play.network;
    let query = network.seal_query(name, stage.play.expiry(), 0, question);
    stage.module.say(&ToModule::Query {
        ticket: 9,
        envelope: query.bytes.clone(),
    });
    let FromModule::Answer { ticket: 9, sealed } = stage.module.hear() else {
        panic!("no answer")
    };
    let opened = query.open(ANSWER_CONTEXT, &sealed).expose().to_vec();
    (opened, sealed.len())
}

#[test]
fn a06_questions_unsigned_replayed_by_others_or_about_what_is_not_final() {
    let mut stage = Stage::set();
    let (network, now) = (&stage.play.network, stage.play.chain.head.time_ms);
    let body = Query {
        version: QUERY_VERSION,
        reply_key: [7; 32],
        height_min: 0,
        recorded: None,
        question: Question::Holdings,
    };
    let body = || borsh::to_vec(&body).unwrap();
    let header = network.header(now + 1_000);
    let (alpha, beta) = (&network.members["alpha"], &network.members["beta"]);
    let mut unsigned = sign(alpha, &header, Purpose::Query, QUERY_SIGNATURE, body());
    unsigned.signature = Signature([0; 64]);
    let mut by_beta = sign(beta, &header, Purpose::Query, QUERY_SIGNATURE, body());
    by_beta.certificate = alpha.fingerprint;
    let of_another_kind = sign(
        alpha,
        &header,
        Purpose::Query,
        TRANSACTION_SIGNATURE,
        body(),
    );
    let refused: Vec<Sealed> = [unsigned, by_beta, of_another_kind]
        .iter()
        .map(|signed| network.seal_signed(header, Purpose::Query, signed, Secret32::random()))
        .chain(
            [now - 1, u64::MAX]
                .map(|expires_ms| network.seal_query("alpha", expires_ms, 0, &Question::Holdings)),
        )
        .collect();
    for query in refused {
        assert!(stage.module.query(&query).is_none());
    }
    // Once is once, even for the same member.
    let once = stage
        .play
        .network
        .seal_query("alpha", stage.play.expiry(), 0, &Question::Holdings);
    assert!(stage.module.query(&once).is_some());
    assert!(stage.module.query(&once).is_none());
    // Who is not entitled learns nothing: neither another firm nor another issuer, nor somebody who is no member.
    for name in ["beta", "orange", "oracle", "stranger"] {
        for question in [
            Question::Holdings,
            Question::Trades,
            Question::Audit,
            ask_registry(AsOf::Now),
        ] {
            let answer = stage.ask(name, &question);
            let bytes = borsh::to_vec(&answer.body).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for planted in ["A-1", "Hanako", "A-2"] {
                assert!(!text.contains(planted), "{name} sees {planted}");
            }
        }
    }
    let entitled = borsh::to_vec(&stage.ask("alpha", &Question::Holdings).body).unwrap();
    assert!(String::from_utf8_lossy(&entitled).contains("A-1"));
    // What is ordered and not final is nowhere to be asked for: the block is refused, and the answers stay.
    let before = stage.ask("alpha", &Question::Holdings);
    let transfer = words::transfer("A-1", "A-2", "10");
    let sealed = stage.play.seal("alpha", vec![order("soon", transfer)]);
    let block = stage.play.chain.clone().next(&[&sealed.bytes], &[]);
    let (network, votes) = (&stage.play.network, &stage.play.network.votes);
    let too_few = network.certificate_by(votes, &block, 2);
    stage.refused(&[&block], &too_few);
    assert_eq!(stage.ask("alpha", &Question::Holdings), before);
    // Nor does it answer for a height that it has not reached.
    let network = &stage.play.network;
    let ahead = before.height + 1;
    let query = network.seal_query("alpha", stage.play.expiry(), ahead, &Question::Holdings);
    assert_eq!(stage.module.query(&query).unwrap().body, AnswerBody::Behind);
}

#[test]
fn a08_a_host_that_swaps_a_key_or_a_policy() {
    let network = Network::new();
    let other = Network::new();
    let mut module = Module::start(&network);
    let mut altered = Vec::new();
    let mut alter = |change: &dyn Fn(&mut sealbook_ledger::Genesis)| {
        let mut genesis = network.genesis.clone();
        change(&mut genesis);
        assert_ne!(genesis.network(), network.id);
        altered.push(genesis);
    };
    // To whom all is sealed, to whom audit bundles are, who is a module, who is an admin, who may do what.
    let theirs = &other.genesis;
    alter(&|one| one.opening_epochs.clone_from(&theirs.opening_epochs));
    alter(&|one| one.audit_recipients.clone_from(&theirs.audit_recipients));
    alter(&|one| {
        one.validators[0]
            .module_key
            .clone_from(&theirs.validators[0].module_key);
    });
    alter(&|one| one.admins.clone_from(&theirs.admins));
    alter(&|one| one.certificate_roots.clone_from(&theirs.certificate_roots));
    alter(&|one| {
        for policy in &mut one.policies {
            policy.text = policy.text.replace("forbid", "permit");
            policy
                .text
                .push_str("\npermit(principal, action, resource);\n");
        }
    });
    for genesis in &altered {
        module.say(&from_genesis(genesis));
        let reason = module.refusal();
        assert!(reason.contains("not given to this holder"), "{reason}");
    }
    module.begin(&network);
}

#[test]
fn a12_answers_whose_shape_tells_what_the_caller_may_not_see() {
    let mut stage = Stage::set();
    let unknown = |as_of| Question::Registry {
        isin: words::UNKNOWN.to_owned(),
        as_of,
    };
    let far = stage.play.engine.height() + 100;
    for as_of in [AsOf::Now, AsOf::Height(far), AsOf::Time(0)] {
        let theirs = answer_and_size(&mut stage, "orange", &ask_registry(as_of));
        let nobodys = answer_and_size(&mut stage, "orange", &unknown(as_of));
        assert_eq!(theirs, nobodys, "{as_of:?}");
    }
    let mut outcome = |who: &str, instruction| {
        let reference = stage.play.reference();
        let sealed = stage.play.seal(who, vec![order(&reference, instruction)]);
        let executed = stage.step(&[&sealed.bytes]);
        let mut opened = reply(&sealed, &executed).unwrap();
        (opened.height, opened.time_ms) = (0, 0);
        let size = executed.replies[0].sealed.len();
        (borsh::to_vec(&opened).unwrap(), size)
    };
    // Somebody else's account, one that there is not, a trade that there is not.
    let theirs = outcome("alpha", words::transfer("B-1", "A-1", "1"));
    assert_eq!(outcome("alpha", words::transfer("X-1", "A-1", "1")), theirs);
    assert_eq!(outcome("alpha", words::confirm("D1", "A-1")), theirs);
    assert_eq!(outcome("beta", words::transfer("A-1", "B-1", "1")), theirs);
    // For a venue: an account of a firm that gave it no mandate, a treasury, and one that there is not.
    outcome("alpha", words::grant("admin"));
    for account in ["B-1", "APPLE-T", "X-1"] {
        let trade = words::locked_in("A-1", account, "1", "1.00");
        assert_eq!(outcome("admin", trade), theirs, "{account}");
        let trade = words::locked_in(account, "A-1", "1", "1.00");
        assert_eq!(outcome("admin", trade), theirs, "{account}");
    }
    // What settles and what is refused have replies of one size, too.
    let settled = outcome("alpha", words::transfer("A-1", "A-2", "1"));
    assert_eq!(settled.1, theirs.1);
}
