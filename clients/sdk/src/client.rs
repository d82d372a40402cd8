//! A member's client: one identity, one network, whichever node answers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use borsh::BorshDeserialize;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use sealbook_identity::{Revocations, tls};
use sealbook_ledger::FinalityProof;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::client::{RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::{
    Answer, AnswerBody, FinalNotice, PAYLOAD_VERSION, Question, Reply, Signed, Submission,
    TRANSACTION_SIGNATURE, signed_digest,
};
use sealbook_sealing::{Envelope, EnvelopeHeader, Purpose, Sealer, signed_binding};
use sealbook_securities::{AccountId, Code, LongName, Outcome};

use crate::attempts::{Attempts, Kind, Problem, Reach, Tried};
use crate::connection::{Connection, ConnectionError};
use crate::network::{Identity, KnownOpening, Network};
use crate::order::Prepared;
use crate::receipts::open_notice;
use crate::session::Sessions;
use crate::{ClientError, NodeAddress};

const TRANSACTION_LIFE_MS: u64 = 600_000;
pub(crate) const QUERY_LIFE_MS: u64 = 120_000;
pub(crate) const AWAIT_MS: u32 = 4_000;
/// How often a node is asked whether a transaction is ordered, and for how long before another node is.
const FIND_PAUSE: Duration = Duration::from_millis(50);
const FIND_TRIES: u32 = 60;

/// An envelope that is ready to be submitted, any number of times, with the key that replies come under.
pub struct Sealed {
    pub(crate) transaction: Vec<u8>,
    pub(crate) key_epoch: u32,
    pub(crate) id: Digest,
    pub(crate) attachments: Vec<Vec<u8>>,
    pub(crate) reply_key: Secret32,
    pub(crate) in_session: bool,
}

impl Sealed {
    /// The transaction's name on the ledger: the digest of its envelope.
    #[must_use]
    pub const fn transaction(&self) -> Digest {
        self.id
    }
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
    pub(crate) network: Arc<Network>,
    pub(crate) identity: Identity,
    tls: Arc<ClientConfig>,
    alpn: Vec<u8>,
    connection: Option<Connection>,
    preferred: usize,
    reach: Reach,
    height_known: u64,
    readings: u64,
    patience: Duration,
    /// Whether a node was asked for the present opening key.
    knows_opening: bool,
    pub(crate) sessions: Sessions,
}

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
        let alpn = [
            b"sealbook-client/",
            network.genesis().namespace().as_slice(),
        ]
        .concat();
        let roots: Vec<CertificateDer<'static>> = network
            .genesis()
            .certificate_roots
            .iter()
            .cloned()
            .map(Into::into)
            .collect();
        let tls = tls::client_config(
            identity.chain(),
            &identity.key().seed(),
            &roots,
            // A member has no lists. Nodes that were removed are not in the ledger's committee.
            &Revocations::none(),
            &network.genesis().network_name,
            &alpn,
            None,
        )
        .map_err(|error| ClientError::Identity(error.to_string()))?;
        let patience = Duration::from_secs(60);
        Ok(Self {
            reach: Reach::of(network.nodes().len()),
            network,
            identity,
            tls,
            alpn,
            connection: None,
            preferred,
            height_known: 0,
            readings: 0,
            patience,
            knows_opening: false,
            sessions: Sessions::default(),
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

    /// How many readings this client has put on record.
    #[must_use]
    pub const fn readings(&self) -> u64 {
        self.readings
    }

    /// Tells the client that this height has been executed; answers from an older state are then refused.
    pub const fn know_height(&mut self, height: u64) {
        if height > self.height_known {
            self.height_known = height;
        }
    }

    /// Goes on with another node, after one gave what does not hold.
    pub fn pass_over(&mut self) {
        self.connection = None;
        self.preferred = self.preferred.wrapping_add(1);
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
        let opening = self.network.opening();
        Prepared::open_account(
            self.network.id(),
            (opening.key_epoch, &opening.key),
            account,
            holder,
        )
    }

    /// Seals orders into one envelope.
    ///
    /// # Errors
    /// Sealing failed.
    pub fn seal(&self, orders: &[Prepared]) -> Result<Sealed, ClientError> {
        let opening = self.network.opening();
        let sealer = begin(&opening, Purpose::Transaction)?;
        let reply_key = self
            .identity
            .reply_key(&self.network.id(), sealer.encapsulated());
        self.seal_with(sealer, &opening, reply_key, orders)
    }

    pub(crate) fn seal_with(
        &self,
        sealer: Sealer,
        opening: &KnownOpening,
        reply_key: Secret32,
        orders: &[Prepared],
    ) -> Result<Sealed, ClientError> {
        let in_session = sealer.is_in_session();
        let submission = Submission {
            version: PAYLOAD_VERSION,
            reply_key: *reply_key.expose(),
            orders: orders
                .iter()
                .map(|prepared| prepared.order.clone())
                .collect(),
        };
        let body = borsh::to_vec(&submission).unwrap_or_default();
        let purpose = (Purpose::Transaction, TRANSACTION_SIGNATURE);
        let envelope = self.sign_and_seal((sealer, opening), TRANSACTION_LIFE_MS, purpose, body)?;
        let attachments = orders
            .iter()
            .flat_map(|prepared| prepared.attachments.iter().cloned())
            .collect();
        Ok(Sealed {
            id: envelope.digest(),
            key_epoch: opening.key_epoch,
            transaction: envelope.encode(),
            attachments,
            reply_key,
            in_session,
        })
    }

    pub(crate) fn sign_and_seal(
        &self,
        (sealer, opening): (Sealer, &KnownOpening),
        life_ms: u64,
        (purpose, domain): (Purpose, &'static str),
        body: Vec<u8>,
    ) -> Result<Envelope, ClientError> {
        let header = EnvelopeHeader::new(
            opening.key.suite(),
            self.network.id(),
            opening.key_epoch,
            now_ms().saturating_add(life_ms),
        );
        let header = if sealer.is_in_session() {
            header.in_session()
        } else {
            header
        };
        let bound = signed_binding(&header, purpose, sealer.encapsulated());
        let certificate = self.identity.fingerprint();
        let message = signed_digest(&bound, &certificate, &body);
        let signature = self.identity.key().sign(domain, message.as_bytes());
        let signed = Signed {
            version: PAYLOAD_VERSION,
            certificate,
            signature,
            body,
        };
        let plaintext = zeroize::Zeroizing::new(borsh::to_vec(&signed).unwrap_or_default());
        sealer
            .seal(header, &plaintext)
            .map_err(|error| ClientError::Sealing(error.to_string()))
    }

    /// Submits orders as one envelope and waits for `stage`.
    ///
    /// # Errors
    /// No node answered in time, or a node refused the envelope.
    pub fn submit(&mut self, orders: &[Prepared], stage: Stage) -> Result<Submitted, ClientError> {
        self.learn_opening();
        self.tend_session();
        let sealed = self.seal_next(orders)?;
        self.submit_again(&sealed, orders, stage, false)
    }

    /// Submits what these orders were sealed to, which a node may have taken already. They are sealed anew only where no
    /// node has taken the envelope and none will: who was told of a refusal must not see the orders settle later after all.
    pub(crate) fn submit_again(
        &mut self,
        sealed: &Sealed,
        orders: &[Prepared],
        stage: Stage,
        taken: bool,
    ) -> Result<Submitted, ClientError> {
        let done = self.follow_sealed(sealed, stage, taken);
        self.note_session(sealed, &done);
        match done {
            // The key epoch ended meanwhile. No node has taken the envelope.
            // Attachments would have to be sealed anew, too.
            Err(ClientError::KeyEpoch) if orders.iter().all(Prepared::is_alone) => {
                let sealed = self.seal(orders)?;
                self.submit_sealed(&sealed, stage)
            }
            done => done,
        }
    }

    /// Asks a node once for the present opening key, and believes what the ledger proves. Without an answer the client
    /// goes on with the key that it knows; where that is too old, nodes say so.
    pub fn learn_opening(&mut self) {
        if !self.knows_opening && self.try_learn_opening().is_ok() {
            self.knows_opening = true;
        }
    }

    fn try_learn_opening(&mut self) -> Tried<()> {
        let epoch = self.try_ask(RequestBody::Epoch, Duration::ZERO)?;
        let ResponseBody::Epoch(definition) = epoch else {
            return Err(Problem::unexpected(epoch));
        };
        let opening = definition.opening.clone();
        if opening.key_epoch <= self.network.opening().key_epoch {
            return Ok(());
        }
        // The header before the present committee epoch defines it, and every node that runs has that.
        let height = definition.first_height.saturating_sub(1);
        let proof = self.try_ask(RequestBody::Proof { height }, Duration::ZERO)?;
        let ResponseBody::Proof(bytes) = proof else {
            return Err(Problem::unexpected(proof));
        };
        let proof = FinalityProof::decode(&bytes).map_err(|_| Problem::false_answer())?;
        let checked = proof.verify(self.network.genesis());
        let _ = checked.map_err(|_| Problem::false_answer())?;
        let first = proof.headers.first();
        let next = first.and_then(|header| header.next_epoch.as_ref());
        match next {
            Some(next) if next.opening == opening => {
                self.network.note_opening(&opening);
                Ok(())
            }
            _ => Err(Problem::false_answer()),
        }
    }

    /// What to make of a node that opens other key epochs than the one that something was sealed to.
    fn other_key_epoch(&mut self, sealed_to: u32, present: u32) -> Problem {
        if present < sealed_to {
            // Not later: the node has not taken it.
            return Problem::new(Kind::Busy, "the node is behind what this client knows");
        }
        if self.try_learn_opening().is_ok() && self.network.opening().key_epoch > sealed_to {
            Problem::new(Kind::Stale, "the key epoch has ended")
        } else {
            Problem::new(
                Kind::Busy,
                "a node names a key epoch that it does not prove",
            )
        }
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
        self.follow_sealed(sealed, stage, false)
    }

    fn follow_sealed(
        &mut self,
        sealed: &Sealed,
        stage: Stage,
        mut taken: bool,
    ) -> Result<Submitted, ClientError> {
        let id = sealed.id;
        let reply = self.persist(|client| {
            client.try_submit(sealed).inspect_err(|problem| {
                taken |= problem.may_have_taken();
            })?;
            taken = true;
            let reply = client.try_await(id, Stage::Outcome, AWAIT_MS)?;
            open(&sealed.reply_key, b"outcome", id, &reply)
        });
        let reply: Reply = reply.map_err(|error| match error {
            error if !taken => error,
            ClientError::Unavailable { last, .. } | ClientError::Busy { last, .. } => {
                self.undecided(id, last)
            }
            error => self.undecided(id, error.to_string()),
        })?;
        if stage == Stage::Final {
            let _: FinalNotice = self.persist(|client| {
                let notice = match client.try_await(id, Stage::Final, AWAIT_MS) {
                    Err(reason) => {
                        // A node that started again has forgotten the envelope; another may never have seen it.
                        let _ = client.try_submit(sealed);
                        return Err(reason);
                    }
                    Ok(notice) => notice,
                };
                open_notice(sealed, &reply, &notice)
            })?;
        }
        self.submitted(id, &reply, stage)
    }

    /// What the reply to a transaction says.
    pub(crate) fn submitted(
        &mut self,
        transaction: Digest,
        reply: &Reply,
        stage: Stage,
    ) -> Result<Submitted, ClientError> {
        self.know_height(reply.height);
        let outcomes = reply
            .outcomes
            .iter()
            .map(|bytes| Outcome::try_from_slice(bytes).map_err(|_| ClientError::FalseAnswer))
            .collect::<Result<_, _>>()?;
        Ok(Submitted {
            transaction,
            height: reply.height,
            time_ms: reply.time_ms,
            outcomes,
            is_final: stage == Stage::Final,
        })
    }

    /// Submits an envelope that was sealed before and waits until a final block lists it; returns the block's height.
    /// What came of it is not known by then. One node says so; the proof is a receipt.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn order_sealed(&mut self, sealed: &Sealed) -> Result<u64, ClientError> {
        self.persist(|client| {
            client.try_submit(sealed)?;
            for _ in 0..FIND_TRIES {
                if let Some(height) = client.try_find(sealed.id)? {
                    return Ok(height);
                }
                std::thread::sleep(FIND_PAUSE);
            }
            Err(Problem::new(Kind::Later, "not ordered yet"))
        })
    }

    /// Asks a question; the answer opens only here. A question about what is others' is put on record first, and answered
    /// when that is final: its owners are told.
    ///
    /// # Errors
    /// No node answered in time, or the answer is not from an execution module.
    pub fn ask(&mut self, question: &Question) -> Result<Answer, ClientError> {
        let answer = self.ask_once(question, None)?;
        if answer.body != AnswerBody::Refused(encoded(Outcome::refused(Code::NotOnRecord))) {
            return Ok(answer);
        }
        self.record_and_ask(question, None, answer)
    }

    /// Asks a question about what is others', of which the owners are told from `disclosed_ms` on (Unix milliseconds). Never is
    /// it put on record in any other way.
    ///
    /// # Errors
    /// As for [`Client::ask`].
    pub fn ask_disclosed_from(
        &mut self,
        question: &Question,
        disclosed_ms: u64,
    ) -> Result<Answer, ClientError> {
        let answer = self.ask_once(question, None)?;
        self.record_and_ask(question, Some(disclosed_ms), answer)
    }

    fn record_and_ask(
        &mut self,
        question: &Question,
        disclosed_ms: Option<u64>,
        answer: Answer,
    ) -> Result<Answer, ClientError> {
        let submitted = self.put_on_record(question, disclosed_ms)?;
        match submitted.outcomes.first() {
            Some(outcome) if !outcome.is_accepted() => Ok(Answer {
                body: AnswerBody::Refused(encoded(*outcome)),
                ..answer
            }),
            _ => {
                self.readings = self.readings.saturating_add(1);
                self.ask_once(question, Some(submitted.height))
            }
        }
    }

    /// Puts a question about what is others' on record, and waits until that is final. It is then answered for a minute, as of
    /// then. The owners are told from `disclosed_ms` on (Unix milliseconds), which only some roles may put off, or at once.
    ///
    /// # Errors
    /// As for [`Client::submit`].
    fn put_on_record(
        &mut self,
        question: &Question,
        disclosed_ms: Option<u64>,
    ) -> Result<Submitted, ClientError> {
        self.submit(&[Prepared::read(question, disclosed_ms)], Stage::Final)
    }

    pub(crate) fn ask_once(
        &mut self,
        question: &Question,
        recorded: Option<u64>,
    ) -> Result<Answer, ClientError> {
        self.learn_opening();
        self.persist(|client| {
            let opening = client.network.opening();
            let asked = client
                .seal_question_on(&opening, question, recorded)
                .map_err(|error| Problem::new(Kind::Refusal, &error.to_string()))?;
            match client.try_ask(asked.request(), Duration::ZERO)? {
                ResponseBody::Answer(sealed) => {
                    let answer = asked.open_from(&sealed)?;
                    if answer.body == AnswerBody::Behind {
                        let text = "the node is behind what this client knows";
                        return Err(Problem::new(Kind::Later, text));
                    }
                    client.know_height(answer.height);
                    Ok(answer)
                }
                ResponseBody::OtherKeyEpoch { present } => {
                    let problem = client.other_key_epoch(opening.key_epoch, present);
                    // The next try seals to the key that is known now.
                    Err(match problem.kind {
                        Kind::Stale => Problem::new(Kind::Later, &problem.text),
                        _ => problem,
                    })
                }
                other => Err(Problem::unexpected(other)),
            }
        })
    }

    const fn undecided(&self, transaction: Digest, last: String) -> ClientError {
        ClientError::Undecided {
            transaction,
            seconds: self.patience.as_secs(),
            last,
        }
    }

    fn try_submit(&mut self, sealed: &Sealed) -> Tried<()> {
        let request = RequestBody::Submit {
            transaction: sealed.transaction.clone(),
            attachments: sealed.attachments.clone(),
        };
        match self.try_ask(request, Duration::ZERO)? {
            ResponseBody::Accepted | ResponseBody::Known => Ok(()),
            ResponseBody::OtherKeyEpoch { present } => {
                Err(self.other_key_epoch(sealed.key_epoch, present))
            }
            other => Err(Problem::unexpected(other)),
        }
    }

    pub(crate) fn try_await(
        &mut self,
        transaction: Digest,
        stage: Stage,
        timeout_ms: u32,
    ) -> Tried<Vec<u8>> {
        let request = RequestBody::Await {
            transaction,
            stage,
            timeout_ms,
        };
        match self.try_ask(request, Duration::from_millis(u64::from(timeout_ms)))? {
            ResponseBody::Reply(sealed) => Ok(sealed),
            // A node that does not have the reply may still get it; who asks knows whether to wait.
            ResponseBody::Absent => Err(Problem::unexpected(ResponseBody::NotYet)),
            other => Err(Problem::unexpected(other)),
        }
    }

    pub(crate) fn try_ask(&mut self, body: RequestBody, extra: Duration) -> Tried<ResponseBody> {
        let mut answers = self.try_ask_all(vec![body], extra)?;
        let out_of_turn = || ConnectionError::OutOfTurn.into();
        answers.pop().ok_or_else(out_of_turn)
    }

    pub(crate) fn try_ask_all(
        &mut self,
        bodies: Vec<RequestBody>,
        extra: Duration,
    ) -> Tried<Vec<ResponseBody>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let responses = connection.ask_all(bodies, extra)?;
        self.connection = Some(connection);
        Ok(responses)
    }

    /// A connection of its own to one node, named by its place in the network's list.
    pub(crate) fn connect_to(&self, node: &NodeAddress) -> Result<Connection, ConnectionError> {
        Connection::open(node.address, &self.tls, &self.alpn)
    }

    /// Connects to the preferred node, or to the next one that could be reached lately.
    fn connect(&mut self) -> Tried<Connection> {
        self.preferred = self.reach.choose(self.preferred, Instant::now());
        let node = self
            .network
            .nodes()
            .get(self.preferred)
            .ok_or_else(|| Problem::new(Kind::Later, "the network has no nodes"))?;
        match self.connect_to(node) {
            Ok(connection) => {
                self.reach.found(self.preferred);
                Ok(connection)
            }
            Err(error) => {
                let refusal = error.is_refusal();
                let text = format!("{}: {}", node.name, error.in_words());
                if refusal {
                    return Err(Problem::new(Kind::Refusal, &text));
                }
                self.reach.lost(self.preferred, Instant::now());
                Err(Problem::new(Kind::Unreachable, &text))
            }
        }
    }

    /// Tries node after node until one gives a value, none can, or patience ends.
    pub(crate) fn persist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Tried<T>,
    ) -> Result<T, ClientError> {
        let started = Instant::now();
        let mut attempts = Attempts::new(&self.reach, started);
        loop {
            let problem = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(problem) => problem,
            };
            let stale = problem.kind == Kind::Stale;
            let nodes = self.network.nodes().len().max(1);
            let pause = attempts.failed(self.preferred % nodes, problem);
            self.connection = None;
            self.preferred = (self.preferred % nodes).wrapping_add(1);
            if stale {
                return Err(ClientError::KeyEpoch);
            }
            if let Some(error) = attempts.verdict() {
                return Err(error);
            }
            if started.elapsed().saturating_add(pause) > self.patience {
                return Err(attempts.given_up(self.patience));
            }
            std::thread::sleep(pause);
        }
    }
}

pub(crate) fn begin(opening: &KnownOpening, purpose: Purpose) -> Result<Sealer, ClientError> {
    Sealer::begin(&opening.key, purpose).map_err(|error| ClientError::Sealing(error.to_string()))
}

/// Opens what a module sealed for this client.
pub(crate) fn open<T: BorshDeserialize>(
    key: &Secret32,
    context: &[u8],
    transaction: Digest,
    sealed: &[u8],
) -> Tried<T> {
    let context = [context, transaction.as_bytes()].concat();
    let opened =
        sealbook_opening::open_reply(key, &context, sealed).map_err(|_| Problem::false_answer())?;
    T::try_from_slice(opened.expose()).map_err(|_| Problem::false_answer())
}

fn encoded(outcome: Outcome) -> Vec<u8> {
    borsh::to_vec(&outcome).unwrap_or_default()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| {
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        })
}
