//! What the envelopes of a block hold, before anything of it is executed: opened, read, and their signatures verified
//! together.
//!
//! Nothing here depends on what an earlier transaction of the block does, apart from who is known as the signer: that
//! is looked up again when the transaction is executed, and only a verdict about the same key then counts.

use borsh::BorshDeserialize;
use sealbook_ledger::{Block, Header, MAX_TRANSACTION_BYTES, Transaction};
use sealbook_opening::open_in_session;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{Secret32, SecretBytes};
use sealbook_primitives::signature::{BatchItem, Signature, VerifyingKey, verify_batch};
use sealbook_protocol::payload::{
    OrderBytes, PAYLOAD_VERSION, Signed, Submission, TRANSACTION_SIGNATURE, signed_digest,
};
use sealbook_sealing::session::SESSION_ENVELOPE_VERSION;
use sealbook_sealing::{Envelope, Purpose, signed_binding};
use zeroize::Zeroizing;

use crate::engine::Engine;

/// A payload, with the session and the counter that it came under.
type SignedMessage = (Signed, Option<(Digest, u64)>);

/// The payload in what an envelope held.
pub(crate) fn read_signed(plaintext: &SecretBytes) -> Option<Signed> {
    let signed = Signed::try_from_slice(plaintext.expose()).ok()?;
    (signed.version == PAYLOAD_VERSION).then_some(signed)
}

/// One transaction of a block.
pub struct Opened {
    /// Its name.
    pub id: Digest,
    /// Until when it may take effect.
    pub expires_ms: u64,
    /// The key epoch that it is sealed to.
    pub key_epoch: u32,
    /// What is in it; nothing if it does not open, or does not read as a submission.
    pub content: Option<Content>,
}

/// What came out of an envelope.
pub struct Content {
    /// Fingerprint of the certificate that it names as its signer's.
    pub certificate: Digest,
    /// What replies are sealed with.
    pub reply_key: Secret32,
    /// What is asked.
    pub orders: Vec<OrderBytes>,
    /// The session that it is a message of, with its counter there.
    pub session: Option<(Digest, u64)>,
    signature: Signature,
    /// What the signature is over.
    message: Digest,
    /// Whether the signature is this key's, where that was found out already.
    verified: Option<(VerifyingKey, bool)>,
}

impl Content {
    /// Whether the signature is this key's.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        match &self.verified {
            Some((of, verdict)) if of == key => *verdict,
            _ => self.verify(key),
        }
    }

    fn verify(&self, key: &VerifyingKey) -> bool {
        let message = self.message.as_bytes();
        key.verify(TRANSACTION_SIGNATURE, message, &self.signature)
            .is_ok()
    }
}

impl Engine {
    /// Opens the transactions of the block that is about to be executed; nothing stands for what is no envelope.
    pub(crate) fn open_all(&self, block: &Block) -> Vec<Option<Opened>> {
        let opened = block.transactions.iter();
        let mut opened: Vec<_> = opened
            .map(|one| self.open_one(one, &block.header))
            .collect();
        self.verify_all(&mut opened);
        opened
    }

    fn open_one(&self, transaction: &Transaction, header: &Header) -> Option<Opened> {
        let envelope = Envelope::decode(transaction.envelope(), MAX_TRANSACTION_BYTES).ok()?;
        let (id, expires_ms) = (transaction.id(), envelope.header.expires_ms);
        let (earliest, latest) = self.answerable(header.time_ms);
        // What is not executed is not opened.
        let content =
            if (earliest..=latest).contains(&expires_ms) && !self.is_remembered(expires_ms, id) {
                self.read_content(&envelope, header)
            } else {
                None
            };
        Some(Opened {
            id,
            expires_ms,
            key_epoch: envelope.header.key_epoch,
            content,
        })
    }

    fn read_content(&self, envelope: &Envelope, header: &Header) -> Option<Content> {
        let purpose = Purpose::Transaction;
        let (signed, session) = if envelope.header.version == SESSION_ENVELOPE_VERSION {
            self.open_message(envelope, header)?
        } else {
            (self.open_signed(envelope, purpose, header.height)?, None)
        };
        let body = Zeroizing::new(signed.body);
        let submission = Submission::try_from_slice(&body).ok()?;
        let reply_key = Secret32::new(submission.reply_key);
        if submission.version != PAYLOAD_VERSION {
            return None;
        }
        let bound = signed_binding(&envelope.header, purpose, &envelope.encapsulated);
        let message = signed_digest(&bound, &signed.certificate, &body);
        Some(Content {
            certificate: signed.certificate,
            reply_key,
            orders: submission.orders,
            session,
            signature: signed.signature,
            message,
            verified: None,
        })
    }

    /// Opens a message of a session, if it is from whoever opened the session.
    fn open_message(&self, envelope: &Envelope, header: &Header) -> Option<SignedMessage> {
        let key_epoch = envelope.header.key_epoch;
        if envelope.header.network != self.network {
            return None;
        }
        // A session goes on for as long as its key epoch is open to other envelopes.
        self.keys_for(key_epoch, header.height)?;
        let message = self
            .sessions
            .find(&envelope.encapsulated, header.time_ms)
            .filter(|message| message.key_epoch == key_epoch)?;
        let plaintext = open_in_session(message.key, message.counter, envelope).ok()?;
        let signed = read_signed(&plaintext)?;
        (signed.certificate == message.certificate)
            .then_some((signed, Some((message.session, message.counter))))
    }

    /// Verifies the signatures of all whose signers are known before the block, together; one by one only if some are
    /// wrong. By the rules of our signatures both ways come to the same verdicts.
    fn verify_all(&self, opened: &mut [Option<Opened>]) {
        let mut known: Vec<(&mut Content, VerifyingKey)> = opened
            .iter_mut()
            .flatten()
            .filter_map(|one| one.content.as_mut())
            .filter_map(|content| {
                let key = self.signing_key(&content.certificate)?;
                Some((content, key))
            })
            .collect();
        if known.len() < 2 {
            // Verified when it is executed.
            return;
        }
        let items: Vec<BatchItem<'_>> = known
            .iter()
            .map(|(content, key)| BatchItem {
                key: *key,
                domain: TRANSACTION_SIGNATURE,
                message: content.message.as_bytes(),
                signature: content.signature,
            })
            .collect();
        let all = verify_batch(&items).is_ok();
        drop(items);
        for (content, key) in &mut known {
            content.verified = Some((*key, all || content.verify(key)));
        }
    }

    /// The key of a certificate, if it is a member's or a module's.
    fn signing_key(&self, certificate: &Digest) -> Option<VerifyingKey> {
        match self.certificates.find(certificate) {
            Some(known) => Some(known.key),
            None => self.module_key(certificate),
        }
    }
}
