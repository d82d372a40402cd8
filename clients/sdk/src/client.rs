//! A member's client: one identity, one network, whichever node answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use borsh::BorshDeserialize;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use sealbook_identity::tls;
use sealbook_ledger::Genesis;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_protocol::client::{CertifiedBlock, NodeStatus, RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::{
    Answer, AnswerBody, FinalNotice, PAYLOAD_VERSION, QUERY_SIGNATURE, Query, Question, Reply,
    Signed, Submission, TRANSACTION_SIGNATURE, signed_bytes,
};
use sealbook_sealing::{Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, Suite, binding};
use sealbook_securities::{AccountId, LongName, Outcome};

use crate::ClientError;
use crate::connection::{Connection, ConnectionError};
use crate::order::Prepared;

const TRANSACTION_LIFE_MS: u64 = 600_000;
const QUERY_LIFE_MS: u64 = 120_000;
const AWAIT_MS: u32 = 4_000;
const PAUSE: Duration = Duration::from_millis(50);

/// Where a node serves clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node's name.
    pub name: String,
    /// Its client service.
    pub address: SocketAddr,
    /// Whether it only observes: it orders and stores, and answers nothing.
    pub observer: bool,
}

/// A network as a client knows it.
pub struct Network {
    genesis: Genesis,
    id: Digest,
    opening_key: OpeningPublicKey,
    nodes: Vec<NodeAddress>,
}

impl Network {
    /// The network of this genesis document, served by these nodes.
    ///
    /// # Errors
    /// The document names no usable opening key.
    pub fn new(genesis: Genesis, nodes: Vec<NodeAddress>) -> Result<Self, ClientError> {
        let newest = genesis
            .opening_epochs
            .iter()
            .max_by_key(|epoch| epoch.key_epoch);
        let opening_key = newest
            .and_then(|epoch| OpeningPublicKey::try_from_slice(&epoch.public_key).ok())
            .ok_or_else(|| ClientError::Sealing("genesis names no opening key".to_owned()))?;
        Ok(Self {
            id: genesis.network(),
            genesis,
            opening_key,
            nodes,
        })
    }

    /// Hash of the genesis document.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// The genesis document.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeAddress] {
        &self.nodes
    }
}

/// A member's own key and certificate chain.
pub struct Identity {
    key: SigningKey,
    chain: Vec<CertificateDer<'static>>,
    fingerprint: Digest,
}

impl Identity {
    /// An identity of this key and chain (leaf first).
    ///
    /// # Errors
    /// The chain is empty.
    pub fn new(seed: &Secret32, chain: Vec<CertificateDer<'static>>) -> Result<Self, ClientError> {
        let leaf = chain
            .first()
            .ok_or_else(|| ClientError::Identity("no certificate".to_owned()))?;
        let fingerprint = sealbook_identity::fingerprint(leaf);
        Ok(Self {
            key: SigningKey::from_secret(seed),
            chain,
            fingerprint,
        })
    }

    /// The certificate chain.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

/// An envelope that is ready to be submitted, any number of times, with the key that replies come under.
pub struct Sealed {
    transaction: Vec<u8>,
    attachments: Vec<Vec<u8>>,
    reply_key: Secret32,
}

/// The result of a submission.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// Digest of the envelope.
    pub transaction: Digest,
    /// The block that ordered it.
    pub height: u64,
    /// Ledger time of that block, Unix milliseconds.
    pub time_ms: u64,
    /// One outcome per order, or a single one if the envelope was refused whole.
    pub outcomes: Vec<Outcome>,
    /// Whether a final header commits to the results.
    pub is_final: bool,
}

/// A client.
pub struct Client {
    network: Arc<Network>,
    identity: Identity,
    tls: Arc<ClientConfig>,
    alpn: Vec<u8>,
    connection: Option<Connection>,
    preferred: usize,
    height_known: u64,
    patience: Duration,
}

/// Why one try failed.
struct Problem {
    text: String,
    /// The node answered, and will answer the same again: trying every node once is enough.
    refusal: bool,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self {
            text,
            refusal: false,
        }
    }
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        Self {
            refusal: error.is_refusal(),
            text: error.in_words(),
        }
    }
}

/// One try: a value, or the reason to try the next node.
type Tried<T> = Result<T, Problem>;

impl Client {
    /// A client that begins with the node at `preferred` (any number).
    ///
    /// # Errors
    /// The identity cannot be used for TLS.
    pub fn new(
        network: Arc<Network>,
        identity: Identity,
        preferred: usize,
    ) -> Result<Self, ClientError> {
        let alpn = [b"sealbook-client/", network.genesis.namespace().as_slice()].concat();
        let roots: Vec<CertificateDer<'static>> = network
            .genesis
            .certificate_roots
            .iter()
            .cloned()
            .map(Into::into)
            .collect();
        let tls = tls::client_config(
            &identity.chain,
            &identity.key.seed(),
            &roots,
            &network.genesis.network_name,
            &alpn,
            None,
        )
        .map_err(|error| ClientError::Identity(error.to_string()))?;
        let patience = Duration::from_secs(60);
        Ok(Self {
            network,
            identity,
            tls,
            alpn,
            connection: None,
            preferred,
            height_known: 0,
            patience,
        })
    }

    /// Sets how long to go on trying before a request fails.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The highest height that this client knows to be executed.
    #[must_use]
    pub const fn height_known(&self) -> u64 {
        self.height_known
    }

    /// Tells the client that this height has been executed; answers from an older state are then refused.
    pub const fn know_height(&mut self, height: u64) {
        if height > self.height_known {
            self.height_known = height;
        }
    }

    /// The opening of an account, ready to be submitted.
    ///
    /// # Errors
    /// The name cannot be sealed.
    pub fn prepare_account(
        &self,
        account: AccountId,
        holder: &LongName,
    ) -> Result<Prepared, ClientError> {
        Prepared::open_account(self.network.id, &self.network.opening_key, account, holder)
    }

    /// Seals orders into one envelope.
    ///
    /// # Errors
    /// Sealing failed.
    pub fn seal(&self, orders: &[Prepared]) -> Result<Sealed, ClientError> {
        let reply_key = Secret32::random();
        let submission = Submission {
            version: PAYLOAD_VERSION,
            reply_key: *reply_key.expose(),
            orders: orders
                .iter()
                .map(|prepared| prepared.order.clone())
                .collect(),
        };
        let body = borsh::to_vec(&submission).unwrap_or_default();
        let header = EnvelopeHeader::new(
            Suite::X25519ChaCha20Poly1305,
            self.network.id,
            0,
            now_ms() + TRANSACTION_LIFE_MS,
        );
        let envelope =
            self.sign_and_seal(header, Purpose::Transaction, TRANSACTION_SIGNATURE, body)?;
        let attachments = orders
            .iter()
            .flat_map(|prepared| prepared.attachments.iter().cloned())
            .collect();
        Ok(Sealed {
            transaction: envelope.encode(),
            attachments,
            reply_key,
        })
    }

    fn sign_and_seal(
        &self,
        header: EnvelopeHeader,
        purpose: Purpose,
        domain: &'static str,
        body: Vec<u8>,
    ) -> Result<Envelope, ClientError> {
        let certificate = self.identity.fingerprint;
        let message = signed_bytes(&binding(&header, purpose), &certificate, &body);
        let signature = self.identity.key.sign(domain, &message);
        let signed = Signed {
            version: PAYLOAD_VERSION,
            certificate,
            signature,
            body,
        };
        let plaintext = zeroize::Zeroizing::new(borsh::to_vec(&signed).unwrap_or_default());
        sealbook_sealing::seal(&self.network.opening_key, header, purpose, &plaintext)
            .map_err(|error| ClientError::Sealing(error.to_string()))
    }

    /// Submits orders as one envelope and waits for `stage`.
    ///
    /// # Errors
    /// No node answered in time, or a node refused the envelope.
    pub fn submit(&mut self, orders: &[Prepared], stage: Stage) -> Result<Submitted, ClientError> {
        let sealed = self.seal(orders)?;
        self.submit_sealed(&sealed, stage)
    }

    /// Submits an envelope that was sealed before and waits for `stage`.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit_sealed(
        &mut self,
        sealed: &Sealed,
        stage: Stage,
    ) -> Result<Submitted, ClientError> {
        let Sealed {
            transaction,
            attachments,
            reply_key,
        } = sealed;
        let envelope = Envelope::decode(transaction, transaction.len())
            .map_err(|error| ClientError::Sealing(error.to_string()))?;
        let digest = envelope.digest();
        let reply = self.persist(|client| {
            client.try_submit(transaction, attachments)?;
            client.try_await(digest, Stage::Outcome)
        })?;
        let reply: Reply = open(reply_key, b"outcome", digest, &reply)?;
        self.height_known = self.height_known.max(reply.height);
        if stage == Stage::Final {
            let notice = self.persist(|client| match client.try_await(digest, Stage::Final) {
                Err(reason) => {
                    // A node that started again has forgotten the envelope; another may never have seen it.
                    let _ = client.try_submit(transaction, attachments);
                    Err(reason)
                }
                done => done,
            })?;
            let notice: FinalNotice = open(reply_key, b"final", digest, &notice)?;
            if notice.height != reply.height {
                return Err(ClientError::FalseAnswer);
            }
        }
        let outcomes = reply
            .outcomes
            .iter()
            .map(|bytes| Outcome::try_from_slice(bytes).map_err(|_| ClientError::FalseAnswer))
            .collect::<Result<_, _>>()?;
        Ok(Submitted {
            transaction: digest,
            height: reply.height,
            time_ms: reply.time_ms,
            outcomes,
            is_final: stage == Stage::Final,
        })
    }

    /// Asks a question; the answer opens only here.
    ///
    /// # Errors
    /// No node answered in time, or the answer is not from an execution module.
    pub fn ask(&mut self, question: &Question) -> Result<Answer, ClientError> {
        self.persist_opening(|client| {
            let reply_key = Secret32::random();
            let query = Query {
                version: PAYLOAD_VERSION,
                reply_key: *reply_key.expose(),
                height_min: client.height_known,
                question: question.clone(),
            };
            let body = borsh::to_vec(&query).unwrap_or_default();
            let header = EnvelopeHeader::new(
                Suite::X25519ChaCha20Poly1305,
                client.network.id,
                0,
                now_ms() + QUERY_LIFE_MS,
            );
            let envelope = client
                .sign_and_seal(header, Purpose::Query, QUERY_SIGNATURE, body)
                .map_err(|error| Problem::from(error.to_string()))?;
            let request = RequestBody::Query {
                envelope: envelope.encode(),
            };
            match client.try_ask(request, Duration::ZERO)? {
                ResponseBody::Answer(sealed) => {
                    let digest = envelope.digest();
                    let answer: Answer = match open(&reply_key, b"answer", digest, &sealed) {
                        Ok(answer) => answer,
                        Err(error) => return Ok(Err(error)),
                    };
                    if answer.body == AnswerBody::Behind {
                        return Err("the node is behind what this client knows"
                            .to_owned()
                            .into());
                    }
                    client.height_known = client.height_known.max(answer.height);
                    Ok(Ok(answer))
                }
                other => Err(unexpected(other)),
            }
        })
    }

    /// The status of one node, named by its place in the network's list.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn status_of(&self, node: usize) -> Result<NodeStatus, ConnectionError> {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such node");
        let node = self.network.nodes.get(node).ok_or_else(missing)?;
        let mut connection = Connection::open(node.address, &self.tls, &self.alpn)?;
        match connection.ask(RequestBody::Status, Duration::ZERO)? {
            ResponseBody::Status(status) => Ok(status),
            _ => Err(ConnectionError::OutOfTurn),
        }
    }

    /// Final blocks from a height on, as ciphertext.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn blocks(&mut self, from: u64, limit: u32) -> Result<Vec<CertifiedBlock>, ClientError> {
        self.persist(|client| {
            match client.try_ask(RequestBody::Blocks { from, limit }, Duration::ZERO)? {
                ResponseBody::Blocks(blocks) => Ok(blocks),
                other => Err(unexpected(other)),
            }
        })
    }

    fn try_submit(&mut self, transaction: &[u8], attachments: &[Vec<u8>]) -> Tried<()> {
        let request = RequestBody::Submit {
            transaction: transaction.to_vec(),
            attachments: attachments.to_vec(),
        };
        match self.try_ask(request, Duration::ZERO)? {
            ResponseBody::Accepted | ResponseBody::Known => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn try_await(&mut self, transaction: Digest, stage: Stage) -> Tried<Vec<u8>> {
        let request = RequestBody::Await {
            transaction,
            stage,
            timeout_ms: AWAIT_MS,
        };
        match self.try_ask(request, Duration::from_millis(u64::from(AWAIT_MS)))? {
            ResponseBody::Reply(sealed) => Ok(sealed),
            ResponseBody::NotYet => Err("not ordered yet".to_owned().into()),
            other => Err(unexpected(other)),
        }
    }

    fn try_ask(&mut self, body: RequestBody, extra: Duration) -> Tried<ResponseBody> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let response = connection.ask(body, extra)?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Connects to the preferred node; observers answer nothing and are left out.
    fn connect(&self) -> Tried<Connection> {
        let nodes: Vec<&NodeAddress> = self
            .network
            .nodes
            .iter()
            .filter(|node| !node.observer)
            .collect();
        let index = self.preferred.checked_rem(nodes.len()).unwrap_or(0);
        let node = nodes
            .get(index)
            .ok_or_else(|| "the network has no nodes".to_owned())?;
        Connection::open(node.address, &self.tls, &self.alpn).map_err(|error| {
            let refusal = error.is_refusal();
            Problem {
                text: format!("{}: {}", node.name, error.in_words()),
                refusal,
            }
        })
    }

    /// Tries node after node until one gives a value or patience ends.
    fn persist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Tried<T>,
    ) -> Result<T, ClientError> {
        let started = Instant::now();
        let voters = self
            .network
            .nodes
            .iter()
            .filter(|node| !node.observer)
            .count();
        let mut refusals = 0;
        loop {
            let last = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(problem) => problem,
            };
            self.connection = None;
            self.preferred = self.preferred.wrapping_add(1);
            refusals = if last.refusal { refusals + 1 } else { 0 };
            let last = last.text;
            if refusals >= voters {
                return Err(ClientError::Refused(last));
            }
            if started.elapsed() > self.patience {
                return Err(ClientError::Unavailable {
                    seconds: self.patience.as_secs(),
                    last,
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn persist_opening<T>(
        &mut self,
        attempt: impl FnMut(&mut Self) -> Tried<Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        self.persist(attempt)?
    }
}

fn unexpected(response: ResponseBody) -> Problem {
    match response {
        ResponseBody::Busy(text) => Problem {
            text,
            refusal: false,
        },
        ResponseBody::Refused(text) => Problem {
            text,
            refusal: true,
        },
        _ => "the node answered something else".to_owned().into(),
    }
}

fn open<T: BorshDeserialize>(
    key: &Secret32,
    context: &[u8],
    transaction: Digest,
    sealed: &[u8],
) -> Result<T, ClientError> {
    let context = [context, transaction.as_bytes()].concat();
    let opened = sealbook_opening::open_reply(key, &context, sealed)
        .map_err(|_| ClientError::FalseAnswer)?;
    T::try_from_slice(opened.expose()).map_err(|_| ClientError::FalseAnswer)
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| {
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        })
}
