//! What a client makes and reads without a connection: requests that are sealed, answers that are opened. Whoever
//! brings its own way to the nodes, a simulation for one, uses these.

use sealbook_primitives::secret::Secret32;
use sealbook_protocol::client::RequestBody;
use sealbook_protocol::payload::{
    Answer, FinalNotice, PAYLOAD_VERSION, QUERY_SIGNATURE, Query, Question, Reply,
};
use sealbook_sealing::{Envelope, Purpose};

use crate::ClientError;
use crate::client::{Client, QUERY_LIFE_MS, Sealed, begin, open};

impl Sealed {
    /// The request that submits it.
    #[must_use]
    pub fn request(&self) -> RequestBody {
        RequestBody::Submit {
            transaction: self.transaction.clone(),
            attachments: self.attachments.clone(),
        }
    }

    /// Opens the reply that tells what came of it.
    ///
    /// # Errors
    /// [`ClientError::FalseAnswer`] if it is not one.
    pub fn open_outcome(&self, sealed: &[u8]) -> Result<Reply, ClientError> {
        open(&self.reply_key, b"outcome", self.id, sealed).map_err(|_| ClientError::FalseAnswer)
    }

    /// Opens the notice that a final header commits to what came of it.
    ///
    /// # Errors
    /// [`ClientError::FalseAnswer`] if it is not one.
    pub fn open_final(&self, sealed: &[u8]) -> Result<FinalNotice, ClientError> {
        open(&self.reply_key, b"final", self.id, sealed).map_err(|_| ClientError::FalseAnswer)
    }
}

/// A sealed question, with the key that the answer comes under. It can be asked once.
pub struct Asked {
    envelope: Envelope,
    reply_key: Secret32,
}

impl Asked {
    /// The request that asks it.
    #[must_use]
    pub fn request(&self) -> RequestBody {
        RequestBody::Query {
            envelope: self.envelope.encode(),
        }
    }

    /// Opens the answer.
    ///
    /// # Errors
    /// [`ClientError::FalseAnswer`] if it is not one.
    pub fn open(&self, sealed: &[u8]) -> Result<Answer, ClientError> {
        let id = self.envelope.digest();
        open(&self.reply_key, b"answer", id, sealed).map_err(|_| ClientError::FalseAnswer)
    }
}

impl Client {
    /// Seals a question. Answers from a state older than this client knows are asked not to be given.
    ///
    /// # Errors
    /// Sealing failed.
    pub fn seal_question(&self, question: &Question) -> Result<Asked, ClientError> {
        let reply_key = Secret32::random();
        let query = Query {
            version: PAYLOAD_VERSION,
            reply_key: *reply_key.expose(),
            height_min: self.height_known(),
            question: question.clone(),
        };
        let body = borsh::to_vec(&query).unwrap_or_default();
        let purpose = (Purpose::Query, QUERY_SIGNATURE);
        let opening = self.network.opening();
        let sealer = begin(&opening, Purpose::Query)?;
        let envelope = self.sign_and_seal((sealer, &opening), QUERY_LIFE_MS, purpose, body)?;
        Ok(Asked {
            envelope,
            reply_key,
        })
    }
}
