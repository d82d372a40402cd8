//! The links of a real node: mutual TLS to the addresses that the committee epochs name.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{AddressableManager as _, AddressableTrackedPeers};
use commonware_runtime::tokio::Context;
use commonware_runtime::{Handle, Quota};
use commonware_utils::NZUsize;

use crate::engine::MAILBOX;
use crate::link::TlsLinks;
use crate::transport::Links;

/// A link on which nothing comes for a few of these is dead; see [`LINK_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// After how long without a byte a link is given up and made anew. The system's own retransmission waits longer and
/// longer while a cable is out, and goes on waiting when it is back.
pub(crate) const LINK_TIMEOUT: Duration = Duration::from_secs(8);

/// Links over TCP.
pub(crate) struct LookupLinks {
    /// Until it is started.
    network: Option<lookup::Network<Context, TlsLinks>>,
    oracle: lookup::Oracle<PublicKey>,
    peers_max: usize,
}

impl LookupLinks {
    /// Listens on `address` once it is started. Memory grows with `peers_max`.
    pub(crate) fn new(
        context: Context,
        links: TlsLinks,
        namespace: &[u8],
        address: SocketAddr,
        (message_bytes_max, peers_max): (u32, usize),
    ) -> Self {
        let mut config = lookup::Config::local(
            links,
            namespace,
            address,
            NonZeroUsize::new(peers_max).unwrap_or(NonZeroUsize::MIN),
            message_bytes_max,
            MAILBOX,
        );
        // Certificates say who a peer is; its packets may come through another address.
        config.bypass_ip_check = true;
        config.dial_frequency = Duration::from_millis(100);
        config.peer_connection_cooldown = Duration::from_millis(500);
        config.ping_frequency = PING_INTERVAL;
        config.dial_timeout = Duration::from_secs(5);
        // The engine itself says how long the nodes of an earlier epoch are kept.
        config.tracked_peer_sets = NZUsize!(1);
        let (network, oracle) = lookup::Network::new(context, config);
        Self {
            network: Some(network),
            oracle,
            peers_max,
        }
    }
}

impl Links for LookupLinks {
    type Sender = lookup::Sender<PublicKey, Context>;
    type Receiver = lookup::Receiver<PublicKey>;
    type Peers = lookup::Oracle<PublicKey>;
    type Blocker = lookup::Oracle<PublicKey>;

    async fn channel(
        &mut self,
        number: u64,
        quota: Quota,
    ) -> Result<(Self::Sender, Self::Receiver), String> {
        let network = self.network.as_mut();
        let network = network.ok_or("a channel was opened after the start")?;
        Ok(network.register(number, quota))
    }

    fn start(&mut self) -> Option<Handle<()>> {
        self.network.take().map(lookup::Network::start)
    }

    fn peers(&self) -> Self::Peers {
        self.oracle.clone()
    }

    fn blocker(&self) -> Self::Blocker {
        self.oracle.clone()
    }

    fn track(&mut self, number: u64, mut peers: AddressableTrackedPeers<PublicKey>) {
        // The network panics on more. Validators come first; one place is for this node itself.
        let room = self.peers_max.saturating_sub(1);
        let validators = peers.primary.len();
        if validators.saturating_add(peers.secondary.len()) > room {
            tracing::error!(
                room,
                "there are more nodes than this one has room for links to"
            );
            let keep = |map: commonware_utils::ordered::Map<_, _>, room| {
                commonware_utils::ordered::Map::from_iter_dedup(map.into_iter().take(room))
            };
            peers.primary = keep(peers.primary, room);
            peers.secondary = keep(peers.secondary, room.saturating_sub(validators));
        }
        let _ = self.oracle.track(number, peers);
    }
}
