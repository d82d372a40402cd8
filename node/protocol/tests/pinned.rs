//! Encodings change only on purpose: the hash of a fixed sample of each message is committed here.
#![allow(clippy::unwrap_used)]

use borsh::BorshSerialize;
use sealbook_ledger::{Commitment, Recovery, RootGrant, SnapshotReference};
use sealbook_merkle::log::Proof;
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{Signature, VerifyingKey};
use sealbook_protocol::client::{Request, RequestBody, Response, ResponseBody, Stage};
use sealbook_protocol::frame::{self, FrameError};
use sealbook_protocol::module::{
    FromModule, PastResult, QuotaLevel, SealedReply, SnapshotOffer, ToModule,
};
use sealbook_protocol::payload::{
    Answer, AnswerBody, AsOf, Attachment, FinalNotice, OrderBytes, Query, Question, Reply,
    RevocationTarget, Signed, Submission, signed_digest,
};
use sealbook_protocol::registry::{
    CertifiedHolder, CertifiedPage, CertifiedRow, RegistryHead, registry_root,
};

fn pin<T: BorshSerialize>(name: &str, sample: &T, expected: &str) {
    let found = hash(
        "sealbook pinned encodings",
        &[&borsh::to_vec(sample).unwrap()],
    )
    .to_string();
    assert_eq!(&found[..16], expected, "{name}");
}

fn commitment() -> Commitment {
    Commitment {
        version: Commitment::VERSION,
        height: 9,
        state_root: Digest([10; 32]),
        network_root: Digest([14; 32]),
        outcomes: 15,
        outcomes_root: Digest([16; 32]),
        snapshot: Some(SnapshotReference {
            height: 3,
            digest: Digest([17; 32]),
        }),
        next_epoch: None,
    }
}

#[test]
fn words_between_host_and_module() {
    let found = ToModule::Found {
        suite: 2,
        recovery: Recovery::default(),
    };
    pin("found", &found, "10de03ad68e10d95");
    let finalized = ToModule::Finalized {
        blocks: vec![vec![1], vec![2, 3]],
        certificate: vec![4],
    };
    pin("finalized", &finalized, "63706d624a1f0ddd");
    pin(
        "query",
        &ToModule::Query {
            ticket: 5,
            envelope: vec![6],
        },
        "b19c00edc60fd549",
    );
    let reply = SealedReply {
        transaction: Digest([7; 32]),
        sealed: vec![8],
    };
    let executed = FromModule::Executed {
        height: 9,
        commitment: commitment(),
        next_epoch: None,
        quotas: vec![QuotaLevel {
            carrier: VerifyingKey([18; 32]),
            level: 2,
        }],
        grants: vec![RootGrant {
            network: Digest([21; 32]),
            key_epoch: 22,
            opening: Digest([23; 32]),
            recipient: Digest([24; 32]),
            sealed: vec![20],
        }],
        key_records: vec![vec![25]],
        replies: vec![reply.clone()],
        finals: vec![reply],
        unopened: 11,
        revoked: vec![Digest([26; 32])],
    };
    let past = PastResult {
        height: 1,
        digest: Digest([2; 32]),
        quotas: Vec::new(),
    };
    pin("past result", &past, "7449545621ba6e0b");
    let start = ToModule::Start {
        genesis: vec![1],
        offer: Some(SnapshotOffer {
            manifest: vec![2],
            commitment: commitment(),
            proof: vec![3],
        }),
        roots: vec![4],
    };
    pin("start", &start, "2d8b6a0897e6feef");
    let piece = FromModule::SnapshotPiece {
        height: 1,
        index: 2,
        sealed: vec![3],
    };
    pin("piece", &piece, "f7952ae65f243118");
    pin("executed", &executed, "fd8472fd469f4bfa");
    pin(
        "answer",
        &FromModule::Answer {
            ticket: 12,
            sealed: vec![13],
        },
        "f4d900986037ce44",
    );
}

#[test]
fn words_between_client_and_node() {
    let submit = RequestBody::Submit {
        transaction: vec![1],
        attachments: vec![vec![2]],
    };
    pin(
        "submit",
        &Request {
            number: 3,
            body: submit,
        },
        "02f4eb68e0b548f2",
    );
    let transaction = Digest([4; 32]);
    let body = RequestBody::Await {
        transaction,
        stage: Stage::Final,
        timeout_ms: 5,
    };
    pin("await", &Request { number: 6, body }, "b050a49b7c669ebb");
    for (name, body, expected) in [
        (
            "find",
            RequestBody::Find { transaction },
            "a93549828a6b8e0d",
        ),
        (
            "proof",
            RequestBody::Proof { height: 9 },
            "925548f97c751cbd",
        ),
        ("epoch", RequestBody::Epoch, "3ebe2cee5b0de779"),
        ("snapshot", RequestBody::Snapshot, "cc5a0cbb3de14708"),
        (
            "blocks",
            RequestBody::Blocks {
                from: 10,
                limit: 11,
            },
            "685ad6a64570a37d",
        ),
    ] {
        pin(name, &Request { number: 6, body }, expected);
    }
    pin(
        "reply",
        &Response {
            number: 7,
            body: ResponseBody::Reply(vec![8]),
        },
        "3e9df6177ce4f6fb",
    );
}

#[test]
fn orders_about_certificates() {
    let renew = OrderBytes::Renew {
        chain: vec![vec![4]],
    };
    let of_member = OrderBytes::Revoke {
        target: RevocationTarget::Member("alpha".to_owned()),
        reason: 1,
    };
    let of_one = OrderBytes::Revoke {
        target: RevocationTarget::Certificate(vec![vec![4]]),
        reason: 9,
    };
    let read = OrderBytes::Read {
        question: borsh::to_vec(&Question::AccessLog { from_height: 7 }).unwrap(),
        disclosed_ms: 8,
    };
    pin("reading", &read, "00f9d621d9f678e6");
    let events = Question::Events {
        height: 7,
        place: 8,
    };
    pin("events", &events, "d522458a49473c6f");
    let certify = OrderBytes::Certify {
        isin: "US0378331005".to_owned(),
        as_of: AsOf::Height(7),
        key: [8; 32],
    };
    pin("certifying", &certify, "6a20af39e12b69e8");
    let head = RegistryHead {
        isin: "US0378331005".to_owned(),
        as_of: AsOf::Time(7),
        height: 8,
        time_ms: 9,
        decimals: 1,
        issued: 100,
        treasury: 40,
        holders: 2,
    };
    let holders = [
        CertifiedHolder::Named {
            blinding: [9; 32],
            holder: "name".to_owned(),
        },
        CertifiedHolder::Unnamed([10; 32]),
    ];
    let rows = holders.map(|holder| CertifiedRow {
        holder,
        quantity: 30,
    });
    let root = registry_root(&[8; 32], &head, &[([10; 32], 30), ([11; 32], 30)]);
    pin("certified root", &root, "9fdf4956c5b0622a");
    let page = CertifiedPage {
        head,
        rows: rows.to_vec(),
    };
    pin("certified page", &page, "a70ad2ac25a047fb");
    pin(
        "certificates",
        &vec![renew, of_member, of_one],
        "68520467e08a4c20",
    );
}

#[test]
fn what_is_sealed() {
    let signed = Signed {
        version: 1,
        certificate: Digest([1; 32]),
        signature: Signature([2; 64]),
        body: vec![3],
    };
    pin("signed", &signed, "adb4571f4875be71");
    let covered = signed_digest(&[4; 79], &signed.certificate, &signed.body);
    pin("what a signature covers", &covered, "f45d1197fb0fd01a");
    let admit = OrderBytes::Admit {
        reference: "~1".to_owned(),
        chain: vec![vec![4]],
    };
    let orders = vec![OrderBytes::Securities(vec![5]), admit];
    pin(
        "submission",
        &Submission {
            version: 1,
            reply_key: [6; 32],
            orders,
        },
        "cbdcbc1b74dac297",
    );
    let attachment = Attachment {
        version: 1,
        blinding: [7; 32],
        holder: "Example".to_owned(),
    };
    pin("attachment", &attachment, "a1f463754127d5b4");
    let holder = attachment.commitment().to_string();
    assert_eq!(&holder[..16], "617596d6300cb7ea");
    let question = Question::Registry {
        isin: "US0378331005".to_owned(),
        as_of: AsOf::Date {
            year: 2012,
            month: 8,
            day: 9,
        },
    };
    pin(
        "query",
        &Query {
            version: 2,
            reply_key: [8; 32],
            height_min: 9,
            recorded: Some(10),
            question,
        },
        "9c4d020b1c01bce1",
    );
    pin(
        "reply",
        &Reply {
            version: 1,
            height: 10,
            time_ms: 11,
            outcomes: vec![vec![12]],
        },
        "0957bdba1e49423d",
    );
    let state_root = Digest([13; 32]);
    pin(
        "final",
        &FinalNotice {
            version: 1,
            height: 14,
            commitment: commitment(),
            committed_by: 15,
            place: 21,
            path: Proof {
                siblings: vec![Digest([22; 32])],
            },
            blinding: [23; 32],
        },
        "757515d0c45a031f",
    );
    let body = AnswerBody::View(vec![16]);
    pin(
        "answer",
        &Answer {
            version: 1,
            height: 17,
            time_ms: 18,
            state_root,
            body,
        },
        "0e0fe8fb8734850a",
    );
}

#[test]
fn frames_are_limited_and_exact() {
    let bind = || ToModule::Bind { genesis: vec![1] };
    let bytes = frame::encode(&bind(), 10).unwrap();
    assert_eq!(bytes, [6, 0, 0, 0, 1, 1, 0, 0, 0, 1]);
    let read = |bytes: &[u8], limit| frame::read::<ToModule>(&mut &*bytes, limit);
    assert!(matches!(read(&bytes, 10), Ok(ToModule::Bind { .. })));
    assert!(matches!(
        read(&bytes, 0),
        Err(FrameError::TooLarge { size: 6, limit: 0 })
    ));
    for cut in 0..bytes.len() {
        assert!(
            matches!(read(&bytes[..cut], 10), Err(FrameError::Io(_))),
            "cut at {cut}"
        );
    }
    assert!(matches!(
        read(&[3, 0, 0, 0, 0, 1, 0], 10),
        Err(FrameError::Malformed)
    ));
    assert!(matches!(
        read(&[1, 0, 0, 0, 99], 10),
        Err(FrameError::Malformed)
    ));
    let large = ToModule::Query {
        ticket: 0,
        envelope: vec![0; 100],
    };
    assert!(matches!(
        frame::encode(&large, 50),
        Err(FrameError::TooLarge { .. })
    ));
    // A prefix that promises more than arrives costs no memory and is an error.
    assert!(matches!(
        read(&[255, 255, 255, 0, 1], usize::MAX),
        Err(FrameError::Io(_))
    ));
}
