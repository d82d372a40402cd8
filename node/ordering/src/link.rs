//! Node links: mutual TLS 1.3 in the place of the engine's own handshake.
//!
//! The chain rules (our certificate authority, role node, our network, dates) are those of
//! [`sealbook_identity::tls`]. On top of them: the certificate's key is the peer's vote key, the
//! dialled peer must have the key that was meant, a peer that dials us must be a known one, and
//! both ends must speak the protocol named by the network's identity.
//!
//! A peer that is revoked while it is connected is cut off with the next record from it or message to it. One whose
//! certificate ends is not: the members have decided on its key, and agreement does not wait for the
//! CA.

use std::future::Future;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use commonware_cryptography::ed25519;
use commonware_runtime::{Clock, Sink, Stream};
use commonware_stream::Upgrader;
use rand_core::CryptoRng;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use sealbook_identity::tls::{self, Peers, Refusals, TlsError};
use sealbook_identity::{CertificateDer, Ended, Principal, Usage};
use sealbook_primitives::signature::{SigningKey, VerifyingKey};

use crate::committee::{engine_key, key_bytes};
use crate::config::{NodeIdentity, OrderingError};
use crate::session::{LinkError, Sessions, TlsReceiver, TlsSender, handshake, split};

/// Makes links.
#[derive(Clone)]
pub(crate) struct TlsLinks {
    me: ed25519::PublicKey,
    identity: Arc<NodeIdentity>,
    network_name: Arc<str>,
    server: Arc<ServerConfig>,
    protocol: Arc<Vec<u8>>,
    sessions: Sessions,
    refusals: Refusals,
}

impl TlsLinks {
    pub(crate) fn new(
        identity: NodeIdentity,
        network_name: &str,
        protocol: &[u8],
        sessions: Sessions,
    ) -> Result<Self, OrderingError> {
        let (chain, roots) = (&identity.chain, &identity.roots);
        let server = tls::server_config(
            chain,
            &identity.seed,
            roots,
            &identity.revocations,
            network_name,
            protocol,
            Peers::Nodes,
        )
        .map_err(|error| OrderingError::Identity(format!("{error}; {}", error.hint())))?;
        let me = SigningKey::from_secret(&identity.seed).verifying_key();
        Ok(Self {
            me: engine_key(me.as_bytes())?,
            identity: Arc::new(identity),
            network_name: Arc::from(network_name),
            server,
            protocol: Arc::new(protocol.to_vec()),
            sessions,
            refusals: Refusals::default(),
        })
    }

    /// Says so when we refused a node because of a revocation list; its operator has to be told.
    fn note_refusal(&self, error: &LinkError) {
        if let LinkError::Tls(error) = error
            && let Some(reason) = self.refusals.revoked(error)
        {
            tracing::warn!(%reason, hint = reason.hint(), "a node was refused");
        }
    }

    /// A configuration that accepts the one peer.
    fn client(&self, peer: [u8; 32]) -> Result<Arc<ClientConfig>, TlsError> {
        let own = &self.identity;
        let expected = Some(VerifyingKey::from_bytes(peer));
        let network = &self.network_name;
        tls::client_config(
            &own.chain,
            &own.seed,
            &own.roots,
            &own.revocations,
            network,
            &self.protocol,
            expected,
        )
    }

    /// The key in the peer's certificate, after everything about it was checked once more, and what judges the peer as
    /// long as it is connected.
    fn peer(
        &self,
        connection: &Connection,
        clock: &impl Clock,
    ) -> Result<([u8; 32], Watch), LinkError> {
        tls::require_protocol(connection, &self.protocol)?;
        let since_epoch = clock
            .current()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let watch = Watch {
            seen: self.identity.revocations.changes(),
            identity: self.identity.clone(),
            network_name: self.network_name.clone(),
            chain: tls::peer_chain(connection)?,
            now_ms,
        };
        let peer = watch.judge()?;
        Ok((*peer.key.as_bytes(), watch))
    }
}

/// Judges a peer anew whenever more is known about revoked certificates. Certificates that end go on, so that the clock
/// plays no part.
#[derive(Clone)]
pub(crate) struct Watch {
    seen: u64,
    identity: Arc<NodeIdentity>,
    network_name: Arc<str>,
    chain: Vec<CertificateDer<'static>>,
    now_ms: u64,
}

impl Watch {
    fn judge(&self) -> Result<Principal, LinkError> {
        let own = &self.identity;
        let usage = (Usage::Node, Ended::Accepted);
        Ok(tls::peer_principal(
            &self.chain,
            &own.roots,
            &own.revocations,
            &self.network_name,
            self.now_ms,
            usage,
        )?)
    }

    /// Fails if the peer has been revoked.
    pub(crate) fn check(&mut self) -> Result<(), LinkError> {
        let changes = self.identity.revocations.changes();
        if changes != self.seen {
            let judged = self.judge();
            judged.inspect_err(|reason| tracing::warn!(%reason, "a node is cut off"))?;
            self.seen = changes;
        }
        Ok(())
    }
}

impl Upgrader for TlsLinks {
    const MAX_SIZE: u32 = 64 * 1024 * 1024;

    type PublicKey = ed25519::PublicKey;
    type Error = LinkError;
    type Sender<I: Stream, O: Sink> = TlsSender<O>;
    type Receiver<I: Stream, O: Sink> = TlsReceiver<I>;

    fn public_key(&self) -> ed25519::PublicKey {
        self.me.clone()
    }

    async fn dial<C, I, O>(
        self,
        clock: C,
        _namespace: &[u8],
        message_bytes_max: u32,
        peer: ed25519::PublicKey,
        mut stream: I,
        mut sink: O,
    ) -> Result<(TlsSender<O>, TlsReceiver<I>), LinkError>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
    {
        let wanted = key_bytes(&peer);
        let client = ClientConnection::new(self.client(wanted)?, tls::server_name())?;
        let mut connection = Connection::from(client);
        let shaken = handshake(&mut connection, &mut stream, &mut sink).await;
        shaken.inspect_err(|error| self.note_refusal(error))?;
        let (found, watch) = self.peer(&connection, &clock)?;
        if found != wanted {
            return Err(LinkError::OtherPeer);
        }
        let presence = self.sessions.enter(wanted);
        Ok(split(
            connection,
            (stream, sink),
            message_bytes_max,
            (presence, watch),
        ))
    }

    async fn listen<C, I, O, B, F>(
        self,
        clock: C,
        _namespace: &[u8],
        message_bytes_max: u32,
        bouncer: B,
        mut stream: I,
        mut sink: O,
    ) -> Result<(ed25519::PublicKey, TlsSender<O>, TlsReceiver<I>), LinkError>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
        B: FnOnce(ed25519::PublicKey) -> F + Send,
        F: Future<Output = bool> + Send,
    {
        let mut connection = Connection::from(ServerConnection::new(self.server.clone())?);
        let shaken = handshake(&mut connection, &mut stream, &mut sink).await;
        shaken.inspect_err(|error| self.note_refusal(error))?;
        let (bytes, watch) = self.peer(&connection, &clock)?;
        let peer = engine_key(&bytes).map_err(|_| LinkError::Key)?;
        if !bouncer(peer.clone()).await {
            return Err(LinkError::Refused);
        }
        let presence = self.sessions.enter(bytes);
        let watched = (presence, watch);
        let (sender, receiver) = split(connection, (stream, sink), message_bytes_max, watched);
        Ok((peer, sender, receiver))
    }
}
