//! What the engine runs on: a runtime and links to the other nodes.
//!
//! ```text
//! channel 0 votes            1 certificates   2 certificate requests    (a subchannel per epoch)
//!         3 block requests   4 blocks         5 application messages
//! ```

use std::future::Future;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{AddressableTrackedPeers, Blocker, Provider, Receiver, Sender, simulated};
use commonware_runtime::{Clock, Handle, Metrics, Quota, Spawner, Storage};
use rand_core::CryptoRng;

/// Everything that the engine asks of a runtime.
pub trait Runtime: Spawner + Clock + Metrics + Storage + CryptoRng {}

impl<E: Spawner + Clock + Metrics + Storage + CryptoRng> Runtime for E {}

/// Links between nodes, which the engine does not care how they are made.
pub trait Links: Send + 'static {
    /// Sends on one channel.
    type Sender: Sender<PublicKey = PublicKey>;
    /// Receives from one channel.
    type Receiver: Receiver<PublicKey = PublicKey>;
    /// Tells who the peers are.
    type Peers: Provider<PublicKey = PublicKey>;
    /// Closes the links to peers that break the protocol.
    type Blocker: Blocker<PublicKey = PublicKey>;

    /// Opens a channel. All channels are opened before [`Links::start`].
    fn channel(
        &mut self,
        number: u64,
        quota: Quota,
    ) -> impl Future<Output = Result<(Self::Sender, Self::Receiver), String>> + Send;

    /// Begins to make links. The task, if there is one, runs for as long as the links do.
    fn start(&mut self) -> Option<Handle<()>>;

    /// Who the peers are.
    fn peers(&self) -> Self::Peers;

    /// Closes links.
    fn blocker(&self) -> Self::Blocker;

    /// From now on there are links to these nodes and to no others. Numbers ascend.
    fn track(&mut self, number: u64, peers: AddressableTrackedPeers<PublicKey>);
}

/// Links of a simulated network. Which nodes are linked, and how well, is up to the simulation: it
/// tracks all nodes that will ever be, as one peer set, and adds and removes links between them.
pub struct SimulatedLinks<E: Clock> {
    control: simulated::Control<PublicKey, E>,
    peers: simulated::Manager<PublicKey, E>,
}

impl<E: Clock> SimulatedLinks<E> {
    /// The links of the node `me`.
    #[must_use]
    pub fn new(oracle: &simulated::Oracle<PublicKey, E>, me: PublicKey) -> Self {
        Self {
            control: oracle.control(me),
            peers: oracle.manager(),
        }
    }
}

impl<E: Clock> Links for SimulatedLinks<E> {
    type Sender = simulated::Sender<PublicKey, E>;
    type Receiver = simulated::Receiver<PublicKey>;
    type Peers = simulated::Manager<PublicKey, E>;
    type Blocker = simulated::Control<PublicKey, E>;

    async fn channel(
        &mut self,
        number: u64,
        quota: Quota,
    ) -> Result<(Self::Sender, Self::Receiver), String> {
        let opened = self.control.register(number, quota).await;
        opened.map_err(|error| error.to_string())
    }

    fn start(&mut self) -> Option<Handle<()>> {
        None
    }

    fn peers(&self) -> Self::Peers {
        self.peers.clone()
    }

    fn blocker(&self) -> Self::Blocker {
        self.control.clone()
    }

    fn track(&mut self, _: u64, _: AddressableTrackedPeers<PublicKey>) {}
}
