//! A client against nodes that are gone, busy, behind, refuse or lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod kit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kit::{Answers, Kit, Seen, open};
use sealbook_ledger::{
    Block, Commitment, FinalityCertificate, FinalityProof, Transaction, finalize_message,
    outcome_hash, outcome_leaf,
};
use sealbook_merkle::log;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::{Signature, SigningKey};
use sealbook_protocol::client::{CertifiedBlock, RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::{FinalNotice, PAYLOAD_VERSION, Reply};
use sealbook_sdk::{ClientError, OwnReply, Prepared, Shown};
use sealbook_sealing::seal_reply;
use sealbook_securities::{BusinessDate, Code, Instruction, Outcome};

fn order() -> Prepared {
    let date = BusinessDate::new(2012, 8, 9).unwrap();
    Prepared::instruction(None, Instruction::OpenDay { date }).unwrap()
}

fn sealed_reply(key: &[u8; 32], id: &Digest, outcomes: &[Outcome]) -> Vec<u8> {
    let reply = Reply {
        version: PAYLOAD_VERSION,
        height: 1,
        time_ms: 7,
        outcomes: outcomes
            .iter()
            .map(|outcome| borsh::to_vec(outcome).unwrap())
            .collect(),
    };
    seal_for(key, b"outcome", id, &borsh::to_vec(&reply).unwrap())
}

fn seal_for(key: &[u8; 32], context: &[u8], id: &Digest, content: &[u8]) -> Vec<u8> {
    let context = [context, id.as_bytes()].concat();
    seal_reply(&Secret32::new(*key), &context, content).unwrap()
}

/// A node that takes everything and has executed it; `before` may answer first.
fn honest(
    kit: &Kit,
    seen: &Seen<Vec<u8>>,
    before: impl Fn(&RequestBody) -> Option<ResponseBody> + Send + Sync + 'static,
) -> Answers {
    let (module, seen) = (Arc::clone(&kit.module), seen.clone());
    Arc::new(move |body| {
        if let Some(answer) = before(&body) {
            return answer;
        }
        match body {
            RequestBody::Submit { transaction, .. } => {
                seen.push(transaction);
                ResponseBody::Accepted
            }
            RequestBody::Await { transaction, .. } => {
                let all = seen.all();
                let of_this = |one: &&Vec<u8>| Transaction::id_of(one) == transaction;
                let Some(taken) = all.iter().find(of_this) else {
                    return ResponseBody::NotYet;
                };
                let key = open(&module, taken).reply_key;
                ResponseBody::Reply(sealed_reply(&key, &transaction, &[Outcome::SETTLED]))
            }
            RequestBody::Find { transaction } => {
                let found = seen
                    .all()
                    .iter()
                    .any(|one| Transaction::id_of(one) == transaction);
                if found {
                    ResponseBody::Found { height: 1 }
                } else {
                    ResponseBody::Absent
                }
            }
            _ => ResponseBody::Absent,
        }
    })
}

#[test]
fn a_busy_node_gets_time_and_then_the_same_envelope() {
    let mut kit = Kit::new();
    let (seen, tries) = (Seen::default(), Seen::default());
    let turned_away = tries.clone();
    let node = honest(&kit, &seen, move |body| {
        let RequestBody::Submit { transaction, .. } = body else {
            return None;
        };
        turned_away.push((transaction.clone(), Instant::now()));
        let busy = turned_away.all().len() <= 3;
        busy.then(|| ResponseBody::Busy("your share of this node is used up".to_owned()))
    });
    kit.node(node);
    let done = kit
        .client("alpha")
        .submit(&[order()], Stage::Outcome)
        .unwrap();
    assert_eq!(done.outcomes, [Outcome::SETTLED]);
    let tries = tries.all();
    assert!(
        tries
            .iter()
            .all(|(transaction, _)| *transaction == tries[0].0)
    );
    let pauses: Vec<Duration> = tries.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert_eq!(pauses.len(), 3);
    for (pause, least) in pauses.iter().zip([100, 200, 400]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
}

#[test]
fn a_network_that_stays_busy_is_named_as_such() {
    let mut kit = Kit::new();
    kit.node(Arc::new(|_| {
        ResponseBody::Busy("the queue is full".to_owned())
    }));
    let mut client = kit.client("alpha");
    client.set_patience(Duration::from_millis(800));
    let error = client.submit(&[order()], Stage::Final).unwrap_err();
    assert!(matches!(error, ClientError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("the queue is full"), "{error}");
}

#[test]
fn nodes_that_are_gone_or_lie_are_passed_over() {
    let mut kit = Kit::new();
    let seen = Seen::default();
    kit.gone();
    let liar = honest(&kit, &seen, |body| match body {
        RequestBody::Await { .. } => Some(ResponseBody::Reply(vec![1; 300])),
        RequestBody::Find { .. } => Some(ResponseBody::Refused("never heard of it".to_owned())),
        _ => None,
    });
    kit.node(liar);
    let good = honest(&kit, &seen, |_| None);
    kit.node(good);
    kit.gone();
    let mut client = kit.client("alpha");
    let started = Instant::now();
    let done = client.submit(&[order()], Stage::Outcome).unwrap();
    assert_eq!((done.height, done.outcomes), (1, vec![Outcome::SETTLED]));
    assert!(started.elapsed() < Duration::from_secs(10));
    let all = seen.all();
    assert!(
        all.iter().all(|one| *one == all[0]),
        "one envelope, whoever takes it"
    );
    let sealed = client.seal(&[order()]).unwrap();
    assert_eq!(client.order_sealed(&sealed).unwrap(), 1);
}

#[test]
fn a_refusal_of_all_nodes_ends_the_request_at_once() {
    let mut kit = Kit::new();
    for _ in 0..3 {
        kit.node(Arc::new(|_| {
            ResponseBody::Refused("it has expired".to_owned())
        }));
    }
    kit.gone();
    let started = Instant::now();
    let error = kit
        .client("alpha")
        .submit(&[order()], Stage::Final)
        .unwrap_err();
    assert!(matches!(error, ClientError::Refused(_)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_reply_key_in_a_transaction_is_the_one_that_its_member_derives_later() {
    let mut kit = Kit::new();
    let seen = Seen::default();
    let node = honest(&kit, &seen, |_| None);
    kit.node(node);
    let _ = kit
        .client("alpha")
        .submit(&[order()], Stage::Outcome)
        .unwrap();
    let envelope = seen.all().remove(0);
    let carrier = SigningKey::generate();
    let network = kit.genesis.network();
    let transaction = Transaction::carried(0, &carrier, &network, Bytes::from(envelope.clone()));
    let encapsulated = sealbook_sealing::Envelope::decode(&envelope, envelope.len())
        .unwrap()
        .encapsulated;
    let derived = kit.identity("alpha").reply_key(&network, &encapsulated);
    assert_eq!(*derived.expose(), kit.opened(&envelope).reply_key);
    // Another client of the same member, which has never seen this transaction, opens the reply; nobody else does.
    let own = kit.client("alpha").own_reply(&transaction).unwrap();
    let OwnReply::Own(reply) = own else {
        panic!("{own:?}")
    };
    assert_eq!(reply.height, 1);
    let others = kit.client("beta").own_reply(&transaction).unwrap();
    assert_eq!(others, OwnReply::NotOwn);
}

/// A ledger of two blocks: one with a transaction of two orders, and one that commits to the results.
struct Ledger {
    block: Block,
    notice: FinalNotice,
    proof: FinalityProof,
}

fn ledger(kit: &Kit, envelope: &[u8], outcomes: &[Outcome]) -> Ledger {
    let network = kit.genesis.network();
    let carrier = SigningKey::generate();
    let others = [Transaction::carried(
        1,
        &carrier,
        &network,
        Bytes::from_static(b"another"),
    )];
    let own = Transaction::carried(0, &carrier, &network, Bytes::from(envelope.to_vec()));
    let id = own.id();
    let blinding = [9; 32];
    let hashes: Vec<Digest> = (0..)
        .zip(outcomes)
        .map(|(order, outcome)| outcome_hash(&blinding, order, &borsh::to_vec(outcome).unwrap()))
        .collect();
    let leaves = [Digest([5; 32]), outcome_leaf(&id, &log::root(&hashes))];
    let commitment = Commitment {
        version: Commitment::VERSION,
        height: 1,
        state_root: Digest([1; 32]),
        network_root: Digest([2; 32]),
        outcomes: 2,
        outcomes_root: log::root(&leaves),
        snapshot: None,
        next_epoch: None,
    };
    let genesis = kit.genesis.block().header;
    let listed = others.into_iter().chain([own]).collect();
    let block = Block::after(&genesis, genesis.time_ms, listed, Vec::new(), Vec::new());
    let roots = vec![commitment.digest()];
    let second = Block::after(
        &block.header,
        genesis.time_ms,
        Vec::new(),
        Vec::new(),
        roots,
    );
    let message = finalize_message(&kit.genesis.namespace(), 0, 2, 1, &second.digest());
    let votes = kit.votes[..3].iter();
    let signatures = votes.map(|key| Signature(key.sign(&message).to_bytes()));
    let certificate = FinalityCertificate::new(
        (0, 2, 1),
        second.digest(),
        vec![0, 1, 2],
        signatures.collect(),
    );
    let headers = vec![block.header.clone(), second.header];
    Ledger {
        block,
        notice: FinalNotice {
            version: PAYLOAD_VERSION,
            height: 1,
            commitment,
            committed_by: 2,
            place: 1,
            path: log::prove(&leaves, 1).unwrap(),
            blinding,
        },
        proof: FinalityProof::new(Vec::new(), headers, certificate),
    }
}

#[test]
fn a_receipt_is_made_of_what_nodes_give_and_believed_only_when_it_holds() {
    let outcomes = [Outcome::SETTLED, Outcome::refused(Code::Duplicate)];
    let mut kit = Kit::new();
    let envelope = Seen::default();
    let module = Arc::clone(&kit.module);
    let ledger_of: Seen<Arc<Ledger>> = Seen::default();
    let (given, taken) = (ledger_of.clone(), envelope.clone());
    let node: Answers = Arc::new(move |body| {
        let Some(ledger) = given.all().first().cloned() else {
            if let RequestBody::Submit { transaction, .. } = body {
                taken.push(transaction);
                return ResponseBody::Refused("only looked at".to_owned());
            }
            return ResponseBody::Absent;
        };
        let own = ledger.block.transactions[1].clone();
        let key = open(&module, own.envelope()).reply_key;
        match body {
            RequestBody::Find { transaction } if transaction == own.id() => {
                ResponseBody::Found { height: 1 }
            }
            RequestBody::Blocks { from: 1, .. } => ResponseBody::Blocks(vec![CertifiedBlock {
                block: ledger.block.encode(),
                certificate: None,
            }]),
            RequestBody::Await {
                transaction, stage, ..
            } => ResponseBody::Reply(match stage {
                Stage::Outcome => sealed_reply(&key, &transaction, &outcomes),
                Stage::Final => {
                    let notice = borsh::to_vec(&ledger.notice).unwrap();
                    seal_for(&key, b"final", &transaction, &notice)
                }
            }),
            RequestBody::Proof { height: 1 } => ResponseBody::Proof(ledger.proof.encode()),
            _ => ResponseBody::Absent,
        }
    });
    kit.node(node);
    let mut client = kit.client("alpha");
    let _ = client.submit(&[order(), order()], Stage::Outcome);
    let ledger = Arc::new(ledger(&kit, &envelope.all()[0], &outcomes));
    let id = ledger.block.transactions[1].id();
    ledger_of.push(Arc::clone(&ledger));
    let (receipt, proven) = client.receipt(id, Shown::All).unwrap();
    assert_eq!((proven.height, proven.committed_by), (1, 2));
    assert_eq!(receipt.outcomes.shown.len(), 2);
    let (receipt, _) = client.receipt(id, Shown::Order(1)).unwrap();
    assert_eq!(receipt.outcomes.shown[0].order, 1);
    assert!(receipt.verify(&kit.genesis).is_ok());
    let error = client.receipt(id, Shown::Order(2)).unwrap_err();
    assert!(
        matches!(error, ClientError::NoOrder { orders: 2 }),
        "{error}"
    );
    let error = kit.client("beta").receipt(id, Shown::All).unwrap_err();
    assert!(matches!(error, ClientError::NotOwn), "{error}");
    let error = client.receipt(Digest([8; 32]), Shown::All).unwrap_err();
    assert!(matches!(error, ClientError::Absent), "{error}");
}
