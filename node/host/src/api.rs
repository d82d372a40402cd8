//! The service to clients: framed requests over mutual TLS 1.3, any member's certificate.
//!
//! INVARIANTS: requests, connections and what is under way on each are limited, and so is what one caller may use at a
//! time over all its connections; whatever a client sends, it gets an answer or loses its connection, and nobody else
//! notices. On a node without a module, what only a module can answer is asked of a validator, sealed as it came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealbook_identity::tls::{self, Refusals};
use sealbook_identity::{CertificateDer, Ended, IdentityError, Revocations, Usage};
use sealbook_ledger::MAX_ATTACHMENTS;
use sealbook_ordering::{Handle, Seat};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::client::{
    CertifiedBlock, NodeStatus, Request, RequestBody, Response, ResponseBody, Stage,
};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX};
use sealbook_store::StoreError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Kind};
use crate::module_link::Replied;
use crate::proofs;
use crate::relay::Relay;
use crate::shared::Shared;
use crate::waiting::Refusal;

const CONNECTIONS_MAX: usize = 512;
const UNDER_WAY_MAX: usize = 256;
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How often it is asked whether a silent peer has been revoked.
const JUDGED_AGAIN: Duration = Duration::from_millis(500);
const AWAIT_LIMIT_MS: u32 = 60_000;
const BLOCKS_MAX: u32 = 256;
const BLOCKS_BYTES_MAX: usize = CLIENT_FRAME_MAX / 2;

/// What callers' certificates are held against.
#[derive(Clone)]
pub struct Certificates {
    /// The network's name.
    pub network: String,
    /// The roots of its certificate authority.
    pub roots: Vec<CertificateDer<'static>>,
    /// Whose certificates are revoked, as far as this node was told.
    pub revocations: Revocations,
    /// What was told about those who were refused.
    pub refusals: Refusals,
    /// When the first certificate of the node's own chain ends, Unix milliseconds.
    pub own_ends_ms: u64,
}

/// What a connection needs of the node.
pub struct Service {
    /// What the host's parts share.
    pub shared: Arc<Shared>,
    /// The ordering engine.
    pub ordering: Arc<Handle>,
    /// The protocol that clients must agree to: it names the network.
    pub protocol: Vec<u8>,
    /// What callers are known by.
    pub certificates: Certificates,
    /// Asks validators, on a node without a module.
    pub relay: Option<Relay>,
    /// What callers use.
    pub admission: Admission,
}

/// Serves clients until the task is dropped.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    service: Arc<Service>,
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let acceptor = TlsAcceptor::from(tls);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without a free place the connection is closed at once, and the client tries another node.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (service, acceptor) = (Arc::clone(&service), acceptor.clone());
        tokio::spawn(async move {
            connection(service, acceptor, stream).await;
            drop(place);
        });
    }
}

async fn connection(service: Arc<Service>, acceptor: TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            note_refusal(&error, &service.certificates.refusals);
            return;
        }
        Err(_) => return,
    };
    if tls::require_protocol(stream.get_ref().1, &service.protocol).is_err() {
        return;
    }
    let Some(mut peer) = Peer::of(&service, stream.get_ref().1) else {
        return;
    };
    let caller = peer.key;
    // Beyond its share of connections a caller is cut off; those that it has go on.
    let Some(_share) = service.admission.enter(caller, Kind::Connection) else {
        return;
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (sender, mut responses) = mpsc::channel::<Response>(UNDER_WAY_MAX);
    let mut writing = tokio::spawn(async move {
        while let Some(response) = responses.recv().await {
            let Ok(bytes) = frame::encode(&response, CLIENT_FRAME_MAX) else {
                break;
            };
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    loop {
        let request = tokio::select! {
            request = read_request(&mut reader) => request,
            () = peer.counts_no_more(&service) => None,
        };
        // Whoever was revoked since is not even read to its end.
        let Some(request) = request.filter(|_| peer.still_counts(&service)) else {
            break;
        };
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.ok(),
            () = peer.counts_no_more(&service) => None,
        };
        let Some(place) = place else {
            break;
        };
        let (service, sender) = (Arc::clone(&service), sender.clone());
        tokio::spawn(async move {
            let body = service.answer(caller, request.body).await;
            let _ = sender
                .send(Response {
                    number: request.number,
                    body,
                })
                .await;
            drop(place);
        });
    }
    drop(sender);
    // Not even answers that are under way go to whoever is revoked.
    tokio::select! {
        _ = &mut writing => {}
        () = peer.counts_no_more(&service) => writing.abort(),
    }
}

/// Says that a client was refused. Why is said only of revocation lists, whose reasons name no party.
fn note_refusal(error: &std::io::Error, refusals: &Refusals) {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner.and_then(|inner| refusals.revoked(inner)) {
        Some(reason) => {
            tracing::warn!(%reason, hint = reason.hint(), "a client was refused");
        }
        None => tracing::info!(kind = ?error.kind(), "a client was refused"),
    }
}

async fn read_request(reader: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let size = reader.read_u32_le().await.ok()? as usize;
    if size > REQUEST_BYTES_MAX {
        return None;
    }
    let mut content = Vec::with_capacity(size.min(64 * 1024));
    let taken = reader
        .take(size as u64)
        .read_to_end(&mut content)
        .await
        .ok()?;
    if taken < size {
        return None;
    }
    frame::decode(&content).ok()
}

fn busy(text: &str) -> ResponseBody {
    ResponseBody::Busy(text.to_owned())
}

/// Who is at the other end of a connection, judged anew whenever more is known about revoked certificates.
struct Peer {
    key: VerifyingKey,
    chain: Vec<CertificateDer<'static>>,
    seen: u64,
}

impl Peer {
    /// Whoever the handshake has checked.
    fn of(service: &Service, connection: &rustls::CommonState) -> Option<Self> {
        let seen = service.certificates.revocations.changes();
        let chain = tls::peer_chain(connection).ok()?;
        let key = service.judge(&chain, Ended::Refused).ok()?;
        Some(Self { key, chain, seen })
    }

    fn still_counts(&mut self, service: &Service) -> bool {
        let changes = service.certificates.revocations.changes();
        // What has ended meanwhile, or cannot be known, keeps from new connections only.
        if changes != self.seen
            && let Err(error) = service.judge(&self.chain, Ended::Accepted)
            && error.is_revocation()
        {
            return false;
        }
        self.seen = changes;
        true
    }

    /// Ends when the peer does not count any more.
    async fn counts_no_more(&mut self, service: &Service) {
        while self.still_counts(service) {
            tokio::time::sleep(JUDGED_AGAIN).await;
        }
    }
}

impl Service {
    /// The key of a chain, if it is one that may connect now.
    fn judge(
        &self,
        chain: &[CertificateDer<'static>],
        ended: Ended,
    ) -> Result<VerifyingKey, IdentityError> {
        let Certificates {
            network,
            roots,
            revocations,
            ..
        } = &self.certificates;
        let now_ms = self.shared.clock.now_ms();
        let usage = (Usage::Any, ended);
        let peer = tls::peer_principal(chain, roots, revocations, network, now_ms, usage);
        peer.map(|principal| principal.key)
    }

    async fn answer(&self, caller: VerifyingKey, body: RequestBody) -> ResponseBody {
        match body {
            RequestBody::Status => ResponseBody::Status(self.status()),
            RequestBody::Submit {
                transaction,
                attachments,
            } => self.submit(caller, transaction, attachments),
            RequestBody::Await {
                transaction,
                stage,
                timeout_ms,
            } => self.wait(caller, transaction, stage, timeout_ms).await,
            RequestBody::Query { envelope } => self.query(caller, envelope).await,
            RequestBody::Find { transaction } => match self.shared.height_of(&transaction) {
                Ok(Some(height)) => ResponseBody::Found { height },
                Ok(None) => ResponseBody::Absent,
                Err(error) => unreadable(&error),
            },
            RequestBody::Proof { height } => self.proof(height),
            RequestBody::Epoch => match self.shared.present() {
                Some(definition) => ResponseBody::Epoch((*definition).clone()),
                None => ResponseBody::Absent,
            },
            RequestBody::Snapshot => match self.shared.newest_snapshot() {
                Ok(Some(offer)) => ResponseBody::Snapshot(offer),
                Ok(None) => ResponseBody::Absent,
                Err(error) => unreadable(&error),
            },
            RequestBody::SnapshotPiece { height, index } => {
                sealed(self.shared.store().snapshot_piece(height, index))
            }
            RequestBody::Roots { module } => {
                let file = self.shared.root_file(&module);
                sealed(file.map(|file| file.map(|file| file.encode())))
            }
            RequestBody::KeyRecord { digest } => sealed(self.shared.key_record(&digest)),
            RequestBody::Blocks { from, limit } => self.blocks(from, limit),
        }
    }

    fn submit(
        &self,
        caller: VerifyingKey,
        transaction: Vec<u8>,
        attachments: Vec<Vec<u8>>,
    ) -> ResponseBody {
        if attachments.len() > MAX_ATTACHMENTS {
            return ResponseBody::Refused("too many attachments".to_owned());
        }
        match self.shared.submit(caller, transaction, attachments) {
            Ok(_) => ResponseBody::Accepted,
            Err(Refusal::Known) => ResponseBody::Known,
            Err(Refusal::KeyEpoch { present, .. }) => ResponseBody::OtherKeyEpoch { present },
            Err(refusal @ (Refusal::Full | Refusal::NoSeat | Refusal::Share { .. })) => {
                ResponseBody::Busy(refusal.to_string())
            }
            Err(refusal) => ResponseBody::Refused(refusal.to_string()),
        }
    }

    async fn wait(
        &self,
        caller: VerifyingKey,
        transaction: Digest,
        stage: Stage,
        timeout_ms: u32,
    ) -> ResponseBody {
        let Some(_share) = self.admission.enter(caller, Kind::Wait) else {
            return busy("too many of your requests wait on this node");
        };
        let timeout_ms = timeout_ms.min(AWAIT_LIMIT_MS);
        let limit = Duration::from_millis(u64::from(timeout_ms));
        if let Some(relay) = &self.relay {
            let body = RequestBody::Await {
                transaction,
                stage,
                timeout_ms,
            };
            return relay.ask(body, limit).await;
        }
        match self.shared.outbox().wait(&transaction, stage, limit).await {
            Some(sealed) => ResponseBody::Reply(sealed),
            None => ResponseBody::NotYet,
        }
    }

    async fn query(&self, caller: VerifyingKey, envelope: Vec<u8>) -> ResponseBody {
        if let Err(Refusal::KeyEpoch { present, .. }) = self.shared.check_query(&envelope) {
            return ResponseBody::OtherKeyEpoch { present };
        }
        let Some(_share) = self.admission.enter(caller, Kind::Query) else {
            return busy("too many of your queries are under way on this node");
        };
        if let Some(relay) = &self.relay {
            return relay
                .ask(RequestBody::Query { envelope }, Duration::ZERO)
                .await;
        }
        let Some(module) = self.shared.module() else {
            return busy("this node only observes; ask a validator");
        };
        match module.query(envelope).await {
            Ok(Replied::Sealed(sealed)) => ResponseBody::Answer(sealed),
            Ok(Replied::NotAwake) => busy(
                "this node's module has begun and answers once its own sign of life is in a final block",
            ),
            Ok(Replied::Refused) => ResponseBody::Refused(
                "the query does not open, is not signed by a member, has expired or was asked before"
                    .to_owned(),
            ),
            Err(reason) => ResponseBody::Busy(reason.to_owned()),
        }
    }

    fn proof(&self, height: u64) -> ResponseBody {
        let shared = &self.shared;
        let head = shared.final_height();
        let proof =
            shared.with_epochs(|epochs| proofs::finality(shared.store(), epochs, height, head));
        match proof {
            Ok(Some(proof)) => ResponseBody::Proof(proof.encode()),
            Ok(None) => ResponseBody::Absent,
            Err(error) => unreadable(&error),
        }
    }

    fn blocks(&self, from: u64, limit: u32) -> ResponseBody {
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        let last = self.shared.final_height();
        let mut height = from;
        while height <= last && found.len() < limit.min(BLOCKS_MAX) as usize {
            let (block, certificate) = match (
                self.shared.store().block(height),
                self.shared.store().certificate(height),
            ) {
                (Ok(Some(block)), Ok(certificate)) => (block.encode(), certificate),
                (Ok(None), _) => break,
                (Err(error), _) | (_, Err(error)) => return unreadable(&error),
            };
            bytes = bytes.saturating_add(block.len());
            if bytes > BLOCKS_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push(CertifiedBlock {
                block,
                certificate: certificate.map(|c| c.encode()),
            });
            height = height.saturating_add(1);
        }
        ResponseBody::Blocks(found)
    }

    /// How the node is.
    pub(crate) fn status(&self) -> NodeStatus {
        let shared = &self.shared;
        let head = shared.head();
        let (executed_height, state_root) = shared.executed_root();
        let ordering = self.ordering.status();
        let (epoch, epoch_last_height) = shared.present().map_or((0, 0), |definition| {
            (definition.epoch, definition.last_height)
        });
        NodeStatus {
            name: shared.name().to_owned(),
            validator: ordering.seat == Seat::Validator,
            not_voting: crate::node::not_voting(ordering.seat),
            epoch,
            epoch_last_height,
            first_height: shared.store().floor(),
            network: shared.network(),
            height: head.height,
            block: head.digest(),
            time_ms: head.time_ms,
            executed_height,
            state_root,
            final_height: head.executed_height,
            peers: u32::try_from(ordering.connected_peers).unwrap_or(u32::MAX),
            waiting: u32::try_from(shared.waiting_count()).unwrap_or(u32::MAX),
            lockdown: shared.lockdown(),
            halted: shared.problem(),
            certificate_ends_ms: self.certificates.own_ends_ms,
            lists: self.lists(),
        }
    }

    /// Until when the revocation lists in force are, by role, ascending.
    fn lists(&self) -> Vec<(String, u64)> {
        let lists = self.certificates.revocations.lists();
        let lists = lists.iter();
        let mut lists: Vec<_> = lists
            .map(|list| (list.role().word().to_owned(), list.next_update_ms()))
            .collect();
        lists.sort();
        lists
    }
}

fn unreadable(error: &StoreError) -> ResponseBody {
    ResponseBody::Busy(format!("the ledger cannot be read: {error}"))
}

fn sealed(found: Result<Option<Vec<u8>>, StoreError>) -> ResponseBody {
    match found {
        Ok(Some(bytes)) => ResponseBody::Sealed(bytes),
        Ok(None) => ResponseBody::Absent,
        Err(error) => unreadable(&error),
    }
}
