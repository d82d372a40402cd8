//! What the envelopes of a block hold, before anything of it is executed: opened, read, and their signatures verified
//! together.
//!
//! Nothing here depends on what an earlier transaction of the block does, apart from who is known as the signer: that
//! is looked up again when the transaction is executed, and only a verdict about the same key then counts.

use borsh::BorshDeserialize;
use sealbook_ledger::{Block, Header, MAX_TRANSACTION_BYTES, Transaction};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::{BatchItem, Signature, VerifyingKey, verify_batch};
use sealbook_protocol::payload::{
    OrderBytes, PAYLOAD_VERSION, Submission, TRANSACTION_SIGNATURE, signed_bytes,
};
use sealbook_sealing::{Envelope, Purpose, binding};
use zeroize::Zeroizing;

use crate::engine::Engine;

/// One transaction of a block.
pub struct Opened {
    /// Its name.
    pub id: Digest,
    /// Until when it may take effect.
    pub expires_ms: u64,
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
    signature: Signature,
    /// What the signature is over.
    message: Zeroizing<Vec<u8>>,
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
        key.verify(TRANSACTION_SIGNATURE, &self.message, &self.signature)
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
                self.read_content(&envelope, header.height)
            } else {
                None
            };
        Some(Opened {
            id,
            expires_ms,
            content,
        })
    }

    fn read_content(&self, envelope: &Envelope, height: u64) -> Option<Content> {
        let purpose = Purpose::Transaction;
        let signed = self.open_signed(envelope, purpose, height)?;
        let body = Zeroizing::new(signed.body);
        let submission = Submission::try_from_slice(&body).ok()?;
        let reply_key = Secret32::new(submission.reply_key);
        if submission.version != PAYLOAD_VERSION {
            return None;
        }
        let message = signed_bytes(
            &binding(&envelope.header, purpose),
            &signed.certificate,
            &body,
        );
        Some(Content {
            certificate: signed.certificate,
            reply_key,
            orders: submission.orders,
            signature: signed.signature,
            message: Zeroizing::new(message),
            verified: None,
        })
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
                message: &content.message,
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
        match self.state.member_by_certificate(&certificate.0) {
            Some((_, member)) => Some(VerifyingKey(member.key)),
            None => self.module_key(certificate),
        }
    }
}
