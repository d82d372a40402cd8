//! Seeds of the words between processes, of frames, and of what is sealed inside envelopes.

use borsh::BorshSerialize;
use sealbook_ledger::holder_digest;
use sealbook_merkle::log::Proof;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::{Signature, VerifyingKey};
use sealbook_protocol::client::{
    CertifiedBlock, NodeStatus, Request, RequestBody, Response, ResponseBody, Stage,
};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX, MODULE_FRAME_MAX};
use sealbook_protocol::module::{
    FromModule, PastResult, QuotaLevel, SealedReply, SnapshotOffer, ToModule,
};
use sealbook_protocol::payload::{
    Answer, AnswerBody, AsOf, Attachment, CertificateAnswer, FinalNotice, MemberAnswer, OrderBytes,
    PAYLOAD_VERSION, QUERY_VERSION, Query, Question, Reply, RevocationTarget, Signed, Submission,
};
use sealbook_sealing::Suite;
use sealbook_securities::{Code, Outcome};

use super::keys::root_bytes;
use super::{
    Group, block_at, chain_bytes, governance_orders, manifest, named, securities_orders, to_bytes,
    views, written,
};
use crate::fixtures::books::APPLE;
use crate::fixtures::network::{Chain, commitment, envelope, module_key, network, recovery};
use crate::fixtures::people::people;
use crate::words::WireModuleOrder;

fn offer(chain: &Chain) -> SnapshotOffer {
    SnapshotOffer {
        manifest: manifest().encode(),
        commitment: commitment(12),
        proof: chain.proof(13, 14).encode(),
    }
}

fn to_module(chain: &Chain) -> Vec<(&'static str, ToModule)> {
    let genesis = network().genesis.encode();
    let start = ToModule::Start {
        genesis: genesis.clone(),
        offer: Some(offer(chain)),
        roots: root_bytes(),
    };
    let found = ToModule::Found {
        suite: 2,
        recovery: recovery(),
    };
    let recover = ToModule::Recover {
        record: network().record.encode(),
        contributions: vec![vec![20; 80], vec![21; 80]],
    };
    let finalized = ToModule::Finalized {
        blocks: vec![block_at(chain, 1), block_at(chain, 2)],
        certificate: chain.certificate(2).encode(),
    };
    let query = ToModule::Query {
        ticket: 5,
        envelope: envelope(Suite::X25519ChaCha20Poly1305).encode(),
    };
    vec![
        ("found", found),
        ("bind", ToModule::Bind { genesis }),
        ("recover", recover),
        ("start", start),
        (
            "piece",
            ToModule::SnapshotPiece {
                sealed: vec![3; 64],
            },
        ),
        ("finalized", finalized),
        ("query", query),
    ]
}

fn from_module(chain: &Chain) -> Vec<(&'static str, FromModule)> {
    let key = VerifyingKey([18; 32]);
    let quota = QuotaLevel {
        carrier: key,
        level: 2,
    };
    let reply = SealedReply {
        transaction: Digest([7; 32]),
        sealed: vec![8; 40],
    };
    let executed = FromModule::Executed {
        height: 9,
        commitment: commitment(9),
        next_epoch: Some(chain.second.clone()),
        quotas: vec![quota],
        grants: network().record.grants().take(2).collect(),
        key_records: vec![network().record.encode()],
        replies: vec![reply.clone()],
        finals: vec![reply],
        unopened: 11,
        revoked: vec![Digest([5; 32])],
    };
    let started = FromModule::Started {
        network: network().genesis.network(),
        height: 12,
        definition: chain.second.clone(),
        results: vec![PastResult {
            height: 11,
            digest: Digest([2; 32]),
            quotas: vec![quota],
        }],
        revoked: vec![Digest([5; 32]), Digest([6; 32])],
    };
    let answer = FromModule::Answer {
        ticket: 5,
        sealed: vec![13; 40],
    };
    let bound = FromModule::Bound {
        record: network().record.encode(),
    };
    let recovered = FromModule::Recovered {
        root_file: root_bytes(),
    };
    let carry = FromModule::Carry {
        envelope: envelope(Suite::X25519ChaCha20Poly1305).encode(),
    };
    let ready = FromModule::Ready {
        lockdown: vec!["seccomp".to_owned(), "weak: landlock".to_owned()],
    };
    let diverged = FromModule::Diverged {
        height: 3,
        computed: Digest([4; 32]),
        committed: Digest([5; 32]),
    };
    let piece = FromModule::SnapshotPiece {
        height: 12,
        index: 1,
        sealed: vec![6; 40],
    };
    let done = FromModule::SnapshotDone {
        manifest: manifest().encode(),
    };
    let refused = FromModule::Refused {
        reason: "not next".to_owned(),
    };
    let founded = FromModule::Founded {
        opening_key: network().first.opening.public_key.clone(),
        share_commitments: network().genesis.share_commitments.clone(),
    };
    vec![
        ("ready", ready),
        ("founded", founded),
        ("bound", bound),
        ("recovered", recovered),
        ("started", started),
        ("made-piece", piece),
        ("done", done),
        ("executed", executed),
        ("carry", carry),
        ("not-awake", FromModule::NotAwake { ticket: 5 }),
        ("answer", answer),
        ("query-refused", FromModule::QueryRefused { ticket: 5 }),
        ("refused", refused),
        ("diverged", diverged),
    ]
}

pub(super) fn module_words(chain: &Chain) -> Group {
    let to = to_module(chain).into_iter();
    let to = to.map(|(name, word)| written(name, &word));
    let from = from_module(chain).into_iter();
    to.chain(from.map(|(name, word)| written(name, &word)))
        .collect()
}

fn requests() -> Vec<(&'static str, RequestBody)> {
    let transaction = Digest([4; 32]);
    let sealed = envelope(Suite::X25519ChaCha20Poly1305).encode();
    let submit = RequestBody::Submit {
        transaction: sealed.clone(),
        attachments: vec![sealed.clone()],
    };
    let wait = RequestBody::Await {
        transaction,
        stage: Stage::Final,
        timeout_ms: 5,
    };
    let piece = RequestBody::SnapshotPiece {
        height: 12,
        index: 1,
    };
    let roots = RequestBody::Roots {
        module: holder_digest(&module_key(10)),
    };
    let record = RequestBody::KeyRecord {
        digest: network().record.digest(),
    };
    let blocks = RequestBody::Blocks { from: 1, limit: 11 };
    vec![
        ("ask-status", RequestBody::Status),
        ("submit", submit),
        ("await", wait),
        ("query", RequestBody::Query { envelope: sealed }),
        ("find", RequestBody::Find { transaction }),
        ("ask-proof", RequestBody::Proof { height: 9 }),
        ("ask-epoch", RequestBody::Epoch),
        ("ask-snapshot", RequestBody::Snapshot),
        ("ask-piece", piece),
        ("ask-roots", roots),
        ("ask-record", record),
        ("ask-blocks", blocks),
    ]
}

fn responses(chain: &Chain) -> Vec<(&'static str, ResponseBody)> {
    let status = NodeStatus {
        name: "node-1".to_owned(),
        validator: true,
        not_voting: Some("without its vote log".to_owned()),
        epoch: 1,
        epoch_last_height: 24,
        first_height: 0,
        network: network().genesis.network(),
        height: 14,
        block: Digest([1; 32]),
        time_ms: 1_000,
        executed_height: 13,
        state_root: Digest([2; 32]),
        final_height: 12,
        peers: 3,
        waiting: 1,
        lockdown: vec!["seccomp".to_owned()],
        halted: None,
        certificate_ends_ms: 2_000,
        lists: vec![("firm".to_owned(), 1_500)],
    };
    let certified = |height: usize, certificate| CertifiedBlock {
        block: block_at(chain, height),
        certificate,
    };
    let blocks = vec![
        certified(1, None),
        certified(2, Some(chain.certificate(2).encode())),
    ];
    vec![
        ("status", ResponseBody::Status(status)),
        ("accepted", ResponseBody::Accepted),
        ("known", ResponseBody::Known),
        ("reply", ResponseBody::Reply(vec![8; 40])),
        ("not-yet", ResponseBody::NotYet),
        ("answer", ResponseBody::Answer(vec![8; 40])),
        ("blocks", ResponseBody::Blocks(blocks)),
        ("found", ResponseBody::Found { height: 3 }),
        ("proof", ResponseBody::Proof(chain.proof(3, 5).encode())),
        ("epoch", ResponseBody::Epoch(chain.second.clone())),
        ("snapshot", ResponseBody::Snapshot(offer(chain))),
        ("sealed", ResponseBody::Sealed(vec![9; 40])),
        ("roots", ResponseBody::Sealed(root_bytes())),
        ("record", ResponseBody::Sealed(network().record.encode())),
        (
            "other-key-epoch",
            ResponseBody::OtherKeyEpoch { present: 1 },
        ),
        ("absent", ResponseBody::Absent),
        ("busy", ResponseBody::Busy("starting".to_owned())),
        ("refused", ResponseBody::Refused("too large".to_owned())),
    ]
}

pub(super) fn client_words(chain: &Chain) -> Group {
    let number = 6;
    let asked = requests().into_iter();
    let asked = asked.map(|(name, body)| written(name, &Request { number, body }));
    let said = responses(chain).into_iter();
    let said = said.map(|(name, body)| written(name, &Response { number, body }));
    asked.chain(said).collect()
}

/// Streams of several frames, one for each kind of message.
pub(super) fn frames(chain: &Chain) -> Group {
    fn stream<T: BorshSerialize>(words: &[T], limit: usize) -> Vec<u8> {
        let frames = words.iter();
        let frames = frames.map(|one| frame::encode(one, limit).expect("within the limit"));
        frames.collect::<Vec<_>>().concat()
    }
    let short =
        |name: &&str| ["found", "piece", "query", "not-awake", "answer", "refused"].contains(name);
    let to = to_module(chain).into_iter();
    let to: Vec<_> = to
        .filter(|(name, _)| short(name))
        .map(|one| one.1)
        .collect();
    let from = from_module(chain).into_iter();
    let from: Vec<_> = from
        .filter(|(name, _)| short(name))
        .map(|one| one.1)
        .collect();
    let number = 7;
    let asked = requests().into_iter();
    let asked: Vec<_> = asked.map(|(_, body)| Request { number, body }).collect();
    let said = responses(chain).into_iter().take(6);
    let said: Vec<_> = said.map(|(_, body)| Response { number, body }).collect();
    let cut = stream(&from, MODULE_FRAME_MAX);
    let cut = cut.get(..cut.len() - 3).unwrap_or_default().to_vec();
    vec![
        named("to-module", stream(&to, MODULE_FRAME_MAX)),
        named("from-module", stream(&from, MODULE_FRAME_MAX)),
        named("requests", stream(&asked, CLIENT_FRAME_MAX)),
        named("responses", stream(&said, CLIENT_FRAME_MAX)),
        named("cut", cut),
    ]
}

fn signed(body: Vec<u8>) -> Signed {
    Signed {
        version: PAYLOAD_VERSION,
        certificate: Digest([1; 32]),
        signature: Signature([2; 64]),
        body,
    }
}

fn orders_of_the_network() -> [OrderBytes; 6] {
    let chain = || chain_bytes(&people().firm);
    let revoke = |target, reason| OrderBytes::Revoke { target, reason };
    [
        OrderBytes::Admit {
            reference: "~1".to_owned(),
            chain: chain(),
        },
        OrderBytes::Renew { chain: chain() },
        revoke(RevocationTarget::Certificate(chain()), 1),
        revoke(RevocationTarget::Member("alpha".to_owned()), 9),
        OrderBytes::Read {
            question: to_bytes(&Question::Audit),
            disclosed_ms: 9,
        },
        OrderBytes::Certify {
            isin: APPLE.to_owned(),
            as_of: AsOf::Height(7),
            key: [7; 32],
        },
    ]
}

pub(super) fn payloads() -> Group {
    let version = PAYLOAD_VERSION;
    let bytes_of = |orders: Group| orders.into_iter().next().map(|one| one.1);
    let mut orders = vec![
        OrderBytes::Securities(bytes_of(securities_orders()).unwrap_or_default()),
        OrderBytes::Governance(bytes_of(governance_orders()).unwrap_or_default()),
    ];
    orders.extend(orders_of_the_network());
    let submit = |orders| {
        to_bytes(&Submission {
            version,
            reply_key: [6; 32],
            orders,
        })
    };
    let submission = submit(orders);
    let module_word = |word: &WireModuleOrder| submit(vec![OrderBytes::Module(to_bytes(word))]);
    let record = &network().record;
    let offer = module_word(&WireModuleOrder::Offer(record.encode()));
    let acknowledge = module_word(&WireModuleOrder::Acknowledge(record.digest()));
    let ask = |question| {
        to_bytes(&Query {
            version: QUERY_VERSION,
            reply_key: [8; 32],
            height_min: 9,
            recorded: Some(10),
            question,
        })
    };
    let registry = |as_of| {
        ask(Question::Registry {
            isin: APPLE.to_owned(),
            as_of,
        })
    };
    let (year, month, day) = (2012, 8, 9);
    let answer = |body| {
        to_bytes(&Answer {
            version,
            height: 17,
            time_ms: 18,
            state_root: Digest([13; 32]),
            body,
        })
    };
    let who = MemberAnswer {
        name: "firm-a".to_owned(),
        role: "firm".to_owned(),
        organisation: "Exchange".to_owned(),
        certificates: vec![CertificateAnswer {
            fingerprint: Digest([4; 32]),
            ends_ms: 5,
            revoked: Some((6, 1)),
        }],
    };
    let view = bytes_of(views()).unwrap_or_default();
    let refused = to_bytes(&Outcome::refused(Code::NotFound));
    let attachment = Attachment {
        version,
        blinding: [7; 32],
        holder: "Jane Doe".to_owned(),
    };
    let reply = Reply {
        version,
        height: 10,
        time_ms: 11,
        outcomes: vec![to_bytes(&Outcome::SETTLED), refused.clone()],
    };
    let notice = FinalNotice {
        version,
        height: 14,
        commitment: commitment(14),
        committed_by: 16,
        place: 0,
        path: Proof {
            siblings: vec![Digest([22; 32])],
        },
        blinding: [23; 32],
    };
    vec![
        written("signed-submission", &signed(submission.clone())),
        written("signed-query", &signed(ask(Question::Holdings))),
        named("submission", submission),
        named("submission-key-offer", offer),
        named("submission-acknowledge", acknowledge),
        named("query-trades", ask(Question::Trades)),
        named("query-now", registry(AsOf::Now)),
        named("query-height", registry(AsOf::Height(3))),
        named("query-time", registry(AsOf::Time(4))),
        named("query-date", registry(AsOf::Date { year, month, day })),
        written("attachment", &attachment),
        written("reply", &reply),
        written("final-notice", &notice),
        named("answer-view", answer(AnswerBody::View(view))),
        named("answer-refused", answer(AnswerBody::Refused(refused))),
        named("answer-behind", answer(AnswerBody::Behind)),
        named("answer-member", answer(AnswerBody::Member(who))),
    ]
}
