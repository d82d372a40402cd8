//! What a client makes and reads without a connection: requests that are sealed, answers that are opened. Whoever
//! brings its own way to the nodes, a simulation for one, uses these.

use sealbook_primitives::secret::Secret32;
use sealbook_protocol::client::RequestBody;
use sealbook_protocol::payload::{
    Answer, FinalNotice, QUERY_SIGNATURE, QUERY_VERSION, Query, Question, Reply,
};
use sealbook_sealing::{Envelope, Purpose};

use crate::ClientError;
use crate::attempts::Tried;
use crate::client::{Client, QUERY_LIFE_MS, Sealed, begin, open};
use crate::network::KnownOpening;

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
        self.open_from(sealed).map_err(|_| ClientError::FalseAnswer)
    }

    /// The same for what one node has answered.
    pub(crate) fn open_from(&self, sealed: &[u8]) -> Tried<Answer> {
        open(&self.reply_key, b"answer", self.envelope.digest(), sealed)
    }
}

impl Client {
    /// Seals a question. Answers from a state older than this client knows are asked not to be given.
    ///
    /// # Errors
    /// Sealing failed.
    pub fn seal_question(&self, question: &Question) -> Result<Asked, ClientError> {
        self.seal_question_on(&self.network.opening(), question, None)
    }

    /// The same for a question that the block at a height put on record.
    pub(crate) fn seal_question_on(
        &self,
        opening: &KnownOpening,
        question: &Question,
        recorded: Option<u64>,
    ) -> Result<Asked, ClientError> {
        let reply_key = Secret32::random();
        let query = Query {
            version: QUERY_VERSION,
            reply_key: *reply_key.expose(),
            height_min: self.height_known(),
            recorded,
            question: question.clone(),
        };
        let body = borsh::to_vec(&query).unwrap_or_default();
        let purpose = (Purpose::Query, QUERY_SIGNATURE);
        let sealer = begin(opening, Purpose::Query)?;
        let envelope = self.sign_and_seal((sealer, opening), QUERY_LIFE_MS, purpose, body)?;
        Ok(Asked {
            envelope,
            reply_key,
        })
    }
}
