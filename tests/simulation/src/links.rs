//! A node's links in the simulated network, with what a liar does to them.
//!
//! All nodes, honest or not, run over the same types, because each instantiation of the engine costs minutes of compile
//! time. An honest node's links pass everything on; they only look at votes, to see who sends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Control, Manager, Oracle, Receiver, Sender, SplitTarget};
use commonware_p2p::utils::mux;
use commonware_p2p::{AddressableTrackedPeers, Channel, CheckedSender, LimitedSender, Recipients};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Handle, IoBufs, Quota, Supervisor as _};
use sealbook_ordering::node::Links;

use crate::checker::Checker;
use crate::random::Random;
use crate::time::Time;

const VOTES: Channel = 0;
/// How long twins speak to the same peers before they choose others.
const TWINS_CHANGE_MS: u64 = 2_000;

/// Which of a liar's two instances this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// There is only one.
    Whole,
    /// The first.
    First,
    /// The second.
    Second,
}

/// How a node treats its peers.
pub struct Manners {
    /// The node's number.
    pub node: usize,
    /// Keys of all nodes, by number.
    pub keys: Vec<PublicKey>,
    /// Twins choose their peers by it.
    pub seed: u64,
    /// Nodes that it tells nothing, and on which channels; all channels if none is named.
    pub withheld: Vec<(usize, Option<Channel>)>,
    /// Twins always speak to the same peers: one to those with even numbers, the other to those with odd ones, and to no
    /// other liar. Otherwise they change their peers now and then.
    pub apart_from: Option<usize>,
    /// Whether its votes are looked at.
    pub watched: Option<Checker>,
    /// The time.
    pub time: Arc<Time>,
}

impl Manners {
    /// Which instance of twins speaks with a peer now.
    fn target(&self, peer: &PublicKey) -> SplitTarget {
        let turn = self.time.now_ms() / TWINS_CHANGE_MS;
        let place = self.keys.iter().position(|key| key == peer);
        let place = place.unwrap_or(0);
        match self.apart_from {
            Some(liars) if place < liars => return SplitTarget::None,
            Some(_) if place % 2 == 0 => return SplitTarget::Primary,
            Some(_) => return SplitTarget::Secondary,
            None => {}
        }
        let place = place as u64;
        let mut random = Random::new(self.seed ^ (turn << 8) ^ place, "twins");
        match random.below(5) {
            0 | 1 => SplitTarget::Primary,
            2 | 3 => SplitTarget::Secondary,
            _ => SplitTarget::Both,
        }
    }

    fn speaks_to(&self, half: Half, channel: Channel, peer: &PublicKey) -> bool {
        let withheld = self.withheld.iter().any(|(node, of)| {
            self.keys.get(*node) == Some(peer) && of.is_none_or(|of| of == channel)
        });
        let own = match half {
            Half::Whole => return !withheld,
            Half::First => SplitTarget::Primary,
            Half::Second => SplitTarget::Secondary,
        };
        let target = self.target(peer);
        !withheld && (target == own || target == SplitTarget::Both)
    }

    fn is_frank(&self, half: Half) -> bool {
        half == Half::Whole && self.withheld.is_empty()
    }
}

/// The channels that twins share: the first of them that opens one opens it for both.
#[derive(Default)]
pub struct Hub {
    waiting: Mutex<BTreeMap<Channel, (NodeSender, Receiver<PublicKey>)>>,
}

/// The links of a node.
pub struct NodeLinks {
    context: Context,
    control: Control<PublicKey, Context>,
    peers: Manager<PublicKey, Context>,
    manners: Arc<Manners>,
    half: Half,
    hub: Arc<Hub>,
}

impl NodeLinks {
    /// The links of the node with these manners. Twins share a hub; the first of them starts first.
    #[must_use]
    pub fn new(
        context: Context,
        oracle: &Oracle<PublicKey, Context>,
        key: PublicKey,
        manners: Arc<Manners>,
        (half, hub): (Half, Arc<Hub>),
    ) -> Self {
        Self {
            context,
            control: oracle.control(key),
            peers: oracle.manager(),
            manners,
            half,
            hub,
        }
    }
}

impl Links for NodeLinks {
    type Sender = NodeSender;
    type Receiver = Receiver<PublicKey>;
    type Peers = Manager<PublicKey, Context>;
    type Blocker = Control<PublicKey, Context>;

    async fn channel(
        &mut self,
        number: u64,
        quota: Quota,
    ) -> Result<(NodeSender, Receiver<PublicKey>), String> {
        let hub = Arc::clone(&self.hub);
        let waiting = || hub.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.half == Half::Second {
            let mine = waiting().remove(&number);
            return mine.ok_or_else(|| "the first of the twins has no such channel".to_owned());
        }
        let opened = self.control.register(number, quota).await;
        let (sender, receiver) = opened.map_err(|error| error.to_string())?;
        let of = |half| NodeSender {
            inner: sender.clone(),
            channel: number,
            half,
            manners: Arc::clone(&self.manners),
        };
        if self.half == Half::Whole {
            return Ok((of(Half::Whole), receiver));
        }
        let manners = Arc::clone(&self.manners);
        let context = self.context.child("twins");
        let (first, second) = receiver.split_with(context, move |(peer, _)| manners.target(peer));
        waiting().insert(number, (of(Half::Second), second));
        Ok((of(Half::First), first))
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

/// Sends on one channel.
#[derive(Clone)]
pub struct NodeSender {
    inner: Sender<PublicKey, Context>,
    channel: Channel,
    half: Half,
    manners: Arc<Manners>,
}

impl LimitedSender for NodeSender {
    type PublicKey = PublicKey;
    type Checked<'a> = NodeChecked<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<NodeChecked<'_>, SystemTime> {
        let manners = &self.manners;
        let recipients = if manners.is_frank(self.half) {
            recipients
        } else {
            let named = match recipients {
                Recipients::All => {
                    let others = manners.keys.iter().enumerate();
                    let others = others.filter(|(node, _)| *node != manners.node);
                    others.map(|(_, key)| key.clone()).collect()
                }
                Recipients::Some(named) => named,
                Recipients::One(one) => vec![one],
            };
            let told = |peer: &PublicKey| manners.speaks_to(self.half, self.channel, peer);
            Recipients::Some(named.into_iter().filter(told).collect())
        };
        let inner = self.inner.check(recipients)?;
        let watched = self.manners.watched.as_ref();
        let watched = watched.filter(|_| self.channel == VOTES);
        Ok(NodeChecked {
            inner,
            watched: watched.map(|checker| (checker, self.manners.node)),
        })
    }
}

/// A message whose recipients are known.
pub struct NodeChecked<'a> {
    inner: <Sender<PublicKey, Context> as LimitedSender>::Checked<'a>,
    watched: Option<(&'a Checker, usize)>,
}

impl CheckedSender for NodeChecked<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(
        self,
        message: impl Into<IoBufs> + Send,
        priority: bool,
    ) -> commonware_actor::Unreliable<commonware_actor::Feedback> {
        let message = message.into().coalesce();
        if let Some((checker, node)) = self.watched
            && let Ok((epoch, _)) = mux::parse(message.clone())
        {
            checker.voted(node, epoch);
        }
        self.inner.send(message, priority)
    }
}
