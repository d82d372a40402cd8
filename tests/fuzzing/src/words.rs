//! Targets: frames, and the words between processes, inside envelopes and in answers.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_governance::GovernanceView;
use sealbook_ledger::{Commitment, EpochDefinition, RootFile};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::{CertifiedBlock, Request, RequestBody, Response, ResponseBody};
use sealbook_protocol::frame::{self as frames, CLIENT_FRAME_MAX, FrameError, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, SnapshotOffer, ToModule};
use sealbook_protocol::payload::{
    Answer, AnswerBody, Attachment, FinalNotice, OrderBytes, Query, Question, Reply,
    RevocationTarget, Signed, Submission, signed_digest,
};
use sealbook_securities::{
    AccessLogView, AuditView, EventsView, HoldingsView, Outcome, RegistryView, TradesView,
};

use crate::exact::exact;
use crate::{
    block, certificate, certificate_chain, envelope, epoch, genesis, governance_order, key_record,
    manifest, opening_key, proof, root_file, securities_order,
};

/// How many parts of one kind are followed: all are alike, and a run should be short.
const FOLLOWED: usize = 4;

/// A stream of frames, read as each of the four kinds of message that processes exchange.
pub fn frame(data: &[u8]) -> bool {
    let read = [
        read_frames::<ToModule>(data, MODULE_FRAME_MAX),
        read_frames::<FromModule>(data, MODULE_FRAME_MAX),
        read_frames::<Request>(data, CLIENT_FRAME_MAX),
        read_frames::<Response>(data, CLIENT_FRAME_MAX),
    ];
    read.contains(&true)
}

/// Reads one frame after the other, until the stream is used up or no longer one of frames.
fn read_frames<T: BorshSerialize + BorshDeserialize>(stream: &[u8], limit: usize) -> bool {
    let (mut rest, mut read) = (stream, false);
    loop {
        let before = rest;
        let verdict = frames::read::<T>(&mut rest, limit);
        let taken = before.len() - rest.len();
        let announced = before
            .first_chunk::<4>()
            .map(|prefix| u32::from_le_bytes(*prefix) as usize);
        match verdict {
            Ok(message) => {
                let (bytes, _) = before.split_at(taken);
                assert_eq!(announced, taken.checked_sub(4), "more or less was taken");
                check_frame(&message, bytes, limit);
                read = true;
            }
            Err(FrameError::Malformed) => {
                assert_eq!(announced, taken.checked_sub(4), "the stream lost its step");
            }
            Err(FrameError::TooLarge { size, limit: found }) => {
                assert_eq!((Some(size), found, taken), (announced, limit, 4));
                assert!(size > limit, "a frame within the limit was refused");
                return read;
            }
            Err(FrameError::Io(_)) => {
                let arrived = before.len().saturating_sub(4);
                assert!(
                    announced.is_none_or(|size| size > arrived && size <= limit),
                    "a whole frame was called cut"
                );
                return read;
            }
        }
    }
}

fn check_frame<T: BorshSerialize + BorshDeserialize>(message: &T, bytes: &[u8], limit: usize) {
    let again = frames::encode(message, limit).expect("what was read can be sent");
    assert_eq!(
        again, bytes,
        "a second encoding of the same message was read"
    );
    let (_, content) = bytes.split_at(4);
    let size = content.len();
    assert!(frames::decode::<T>(content).is_ok());
    assert!(frames::encode(message, size).is_ok());
    assert!(frames::read::<T>(&mut &*bytes, size).is_ok());
    if let Some(less) = size.checked_sub(1) {
        let refused = frames::encode(message, less);
        assert!(matches!(refused, Err(FrameError::TooLarge { .. })));
        let refused = frames::read::<T>(&mut &*bytes, less);
        assert!(matches!(refused, Err(FrameError::TooLarge { .. })));
    }
    if let Some((_, cut)) = bytes.split_last() {
        let refused = frames::read::<T>(&mut &*cut, limit);
        assert!(matches!(refused, Err(FrameError::Io(_))));
    }
}

/// A word between host and module, and what is encoded inside.
pub fn module_words(data: &[u8]) -> bool {
    let to = exact::<ToModule>(data);
    let from = exact::<FromModule>(data);
    let read = to.is_some() || from.is_some();
    match to {
        Some(ToModule::Bind { genesis: bytes }) => {
            genesis(&bytes);
        }
        Some(ToModule::Start {
            genesis: bytes,
            offer,
            roots,
        }) => {
            genesis(&bytes);
            root_file(&roots);
            offer.iter().for_each(follow_offer);
        }
        Some(ToModule::Finalized {
            blocks,
            certificate: bytes,
        }) => {
            blocks.iter().take(FOLLOWED).for_each(|one| {
                block(one);
            });
            certificate(&bytes);
        }
        Some(ToModule::Query {
            envelope: bytes, ..
        }) => {
            envelope(&bytes);
        }
        Some(ToModule::Found { recovery, .. }) => {
            let (shares, holders) = (usize::from(recovery.threshold), recovery.holders.len());
            assert!(recovery.check().is_err() || shares <= holders);
        }
        Some(ToModule::Recover { record, .. }) => {
            key_record(&record);
        }
        Some(ToModule::SnapshotPiece { .. }) | None => {}
    }
    match from {
        Some(FromModule::Founded {
            opening_key: bytes, ..
        }) => {
            opening_key(&bytes);
        }
        Some(FromModule::Bound { record }) => {
            key_record(&record);
        }
        Some(FromModule::Recovered { root_file: bytes }) => {
            root_file(&bytes);
        }
        Some(FromModule::Carry { envelope: bytes }) => {
            envelope(&bytes);
        }
        Some(FromModule::Started { definition, .. }) => follow_epoch(&definition),
        Some(FromModule::SnapshotDone { manifest: bytes }) => {
            manifest(&bytes);
        }
        Some(FromModule::Executed {
            commitment,
            next_epoch,
            grants,
            key_records,
            ..
        }) => {
            check_commitment(&commitment);
            next_epoch.iter().for_each(follow_epoch);
            let roots = RootFile::of(grants.into_iter().take(FOLLOWED));
            assert!(root_file(&roots.encode()));
            key_records.iter().take(FOLLOWED).for_each(|one| {
                key_record(one);
            });
        }
        _ => {}
    }
    read
}

/// A request or a response between a client and a node, and what is encoded inside.
pub fn client_words(data: &[u8]) -> bool {
    let request = exact::<Request>(data);
    let response = exact::<Response>(data);
    let read = request.is_some() || response.is_some();
    match request.map(|one| one.body) {
        Some(RequestBody::Submit {
            transaction,
            attachments,
        }) => {
            envelope(&transaction);
            attachments.iter().take(FOLLOWED).for_each(|one| {
                envelope(one);
            });
        }
        Some(RequestBody::Query { envelope: bytes }) => {
            envelope(&bytes);
        }
        _ => {}
    }
    match response.map(|one| one.body) {
        Some(ResponseBody::Blocks(blocks)) => {
            for CertifiedBlock {
                block: bytes,
                certificate: proves,
            } in blocks.iter().take(FOLLOWED)
            {
                block(bytes);
                proves.iter().for_each(|one| {
                    certificate(one);
                });
            }
        }
        Some(ResponseBody::Proof(bytes)) => {
            proof(&bytes);
        }
        Some(ResponseBody::Epoch(definition)) => follow_epoch(&definition),
        Some(ResponseBody::Snapshot(offer)) => follow_offer(&offer),
        Some(ResponseBody::Sealed(bytes)) => {
            root_file(&bytes);
            key_record(&bytes);
        }
        _ => {}
    }
    read
}

fn follow_offer(offer: &SnapshotOffer) {
    manifest(&offer.manifest);
    check_commitment(&offer.commitment);
    proof(&offer.proof);
}

fn follow_epoch(definition: &EpochDefinition) {
    let bytes = borsh::to_vec(definition).expect("what was read can be written");
    assert!(epoch(&bytes));
}

/// Nothing of a commitment may be altered without altering its digest.
pub(crate) fn check_commitment(commitment: &Commitment) {
    let mut other = commitment.clone();
    other.height ^= 1;
    assert_ne!(other.digest(), commitment.digest());
    let mut other = commitment.clone();
    other.next_epoch = other.next_epoch.xor(Some(commitment.state_root));
    assert_ne!(other.digest(), commitment.digest());
}

/// What is sealed inside envelopes, and what is sealed in replies.
pub fn payload(data: &[u8]) -> bool {
    let read = [
        exact::<Signed>(data).inspect(follow_signed).is_some(),
        exact::<Submission>(data)
            .inspect(follow_submission)
            .is_some(),
        exact::<Query>(data).is_some(),
        exact::<Attachment>(data)
            .inspect(check_attachment)
            .is_some(),
        exact::<Reply>(data)
            .inspect(|reply| {
                reply.outcomes.iter().take(FOLLOWED).for_each(|one| {
                    views(one);
                });
            })
            .is_some(),
        exact::<FinalNotice>(data)
            .inspect(|notice| check_commitment(&notice.commitment))
            .is_some(),
        exact::<Answer>(data)
            .inspect(|answer| match &answer.body {
                AnswerBody::Refused(bytes) | AnswerBody::View(bytes) => {
                    views(bytes);
                }
                AnswerBody::Behind | AnswerBody::Member(_) => {}
            })
            .is_some(),
    ];
    read.contains(&true)
}

fn follow_signed(signed: &Signed) {
    // A byte that moves from the binding to the body is another text to sign.
    let (binding, body) = (&[7; 47][..], signed.body.as_slice());
    let text = signed_digest(binding, &signed.certificate, body);
    if let Some((first, shorter)) = body.split_first() {
        let longer = [binding, &[*first]].concat();
        assert_ne!(signed_digest(&longer, &signed.certificate, shorter), text);
    }
    exact::<Submission>(body).iter().for_each(follow_submission);
    exact::<Query>(body);
}

/// What a module says on the ledger, as it is encoded.
#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) enum WireModuleOrder {
    /// The encoded record of a new root.
    Offer(Vec<u8>),
    /// The digest of a record that was found good.
    Acknowledge(Digest),
}

fn follow_submission(submission: &Submission) {
    for order in submission.orders.iter().take(FOLLOWED) {
        match order {
            OrderBytes::Securities(bytes) => {
                securities_order(bytes);
            }
            OrderBytes::Admit { chain, .. }
            | OrderBytes::Renew { chain }
            | OrderBytes::Revoke {
                target: RevocationTarget::Certificate(chain),
                ..
            } => {
                let bytes = borsh::to_vec(chain).expect("what was read can be written");
                assert!(certificate_chain(&bytes));
            }
            OrderBytes::Governance(bytes) => {
                governance_order(bytes);
            }
            OrderBytes::Module(bytes) => {
                if let Some(WireModuleOrder::Offer(record)) = exact(bytes) {
                    key_record(&record);
                }
            }
            OrderBytes::Read { question, .. } => {
                exact::<Question>(question);
            }
            OrderBytes::OpenSession
            | OrderBytes::Certify { .. }
            | OrderBytes::Revoke {
                target: RevocationTarget::Member(_),
                ..
            } => {}
        }
    }
}

fn check_attachment(attachment: &Attachment) {
    let mut other = Attachment {
        version: attachment.version,
        blinding: attachment.blinding,
        holder: format!("{} ", attachment.holder),
    };
    assert_ne!(other.commitment(), attachment.commitment());
    other.holder.clone_from(&attachment.holder);
    assert_eq!(other.commitment(), attachment.commitment());
    other.blinding = attachment.blinding.map(|byte| !byte);
    assert_ne!(other.commitment(), attachment.commitment());
}

/// What clients decode from answers: views and outcomes.
pub fn views(data: &[u8]) -> bool {
    let read = [
        exact::<Outcome>(data)
            .inspect(|outcome| assert!(!outcome.to_string().is_empty()))
            .is_some(),
        exact::<HoldingsView>(data).is_some(),
        exact::<RegistryView>(data).is_some(),
        exact::<TradesView>(data).is_some(),
        exact::<AuditView>(data).is_some(),
        exact::<AccessLogView>(data).is_some(),
        exact::<EventsView>(data).is_some(),
        exact::<GovernanceView>(data)
            .inspect(|view| {
                follow_epoch(&view.definition);
                view.planned.iter().for_each(follow_epoch);
                let mut other = view.recipients.clone();
                other.key_epoch ^= 1;
                assert_ne!(other.digest(), view.recipients.digest());
            })
            .is_some(),
    ];
    read.contains(&true)
}
