//! One Simplex engine for each committee epoch, one after the other.
//!
//! ```text
//! boundary block final --> definition known --> links to its nodes --> right to vote, durably
//!                                                                             |
//!      engine of the epoch before, for a while yet               engine of the new epoch
//! ```
//!
//! - Votes and certificates travel in subchannels, one for each epoch. What comes for the next epoch
//!   before this node is there is kept for it; what comes for a later one says that this node is
//!   behind, and that its sender has the boundary block of this epoch, finally.
//! - Nodes that leave keep their links for a while, however short the epochs are, so that one that
//!   is behind still hears that it left; then the links are closed.
//!
//! INVARIANT: the table of epochs grows before anything of the next epoch is handled, and an engine
//! of an epoch never starts again once the next one has begun: its votes are deleted.
//!
//! After a crash the epoch that follows the last stored boundary block goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use commonware_consensus::simplex;
use commonware_consensus::simplex::config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::types::{Epoch, Height, ViewDelta};
use commonware_cryptography::Sha256;
use commonware_cryptography::ed25519::{self, PublicKey};
use commonware_p2p::utils::mux::{Builder as _, MuxHandle, Muxer, SubReceiver};
use commonware_p2p::{Address, AddressableTrackedPeers, Message, Receiver};
use commonware_parallel::Sequential;
use commonware_runtime::Handle as Task;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_utils::channel::mpsc;
use commonware_utils::ordered::Map;
use commonware_utils::vec::NonEmptyVec;
use futures::FutureExt as _;
use sealbook_ledger::EpochDefinition;

use crate::block::to_engine;
use crate::committee::{Committees, engine_key};
use crate::config::Timing;
use crate::driver::{EvidenceSender, Observed};
use crate::engine::{
    Automaton, Channel, FETCH_RETRY, MAILBOX, Mailbox, REPLAY_BUFFER, Tasks, WRITE_BUFFER,
    milliseconds,
};
use crate::origin::Boundary;
use crate::retirement::{Retirement, Retiring};
use crate::status::{Counters, Seat};
use crate::transport::{Links, Runtime};
use crate::vote_log::Voting;

/// How long the engine of the epoch before goes on, for nodes that are a moment behind.
const ENGINE_LINGERS: Duration = Duration::from_secs(1);
/// How many views behind the last final one keep their votes. Each has a file of its own, which is deleted when it is over,
/// and all that are left are when the epoch is.
const VIEW_RETENTION: u64 = 64;
/// Between two files of votes that are deleted.
const FORGETTING_PAUSE: Duration = Duration::from_millis(50);
/// How long nodes that leave keep their links, in views that fail.
const LINKS_LINGER_VIEWS: u64 = 10;
/// Least time between two hints that this node is behind.
const HINT_INTERVAL: Duration = Duration::from_millis(100);
/// How long a failure waits for the one that caused it.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Messages for the next epoch that are kept, for each channel, and of one peer.
const EARLY_MAX: usize = 512;
const EARLY_OF_PEER_MAX: usize = 32;

/// What the engines of all epochs run on.
pub(crate) struct Epochs<E: Runtime, L: Links> {
    pub(crate) context: E,
    pub(crate) links: L,
    pub(crate) partition: String,
    pub(crate) committees: Committees,
    pub(crate) addresses: BTreeMap<[u8; 32], SocketAddr>,
    pub(crate) voting: Voting,
    pub(crate) timing: Timing,
    pub(crate) page_cache: CacheRef,
    pub(crate) counters: Arc<Counters>,
    pub(crate) evidence: EvidenceSender,
    pub(crate) mailbox: Mailbox,
    pub(crate) inline: Automaton<E>,
    pub(crate) boundaries: mpsc::UnboundedReceiver<Boundary>,
}

/// An engine that runs.
struct Running {
    epoch: u64,
    retirement: Retirement,
    task: Task<()>,
}

type Backup = mpsc::Receiver<(u64, Message<PublicKey>)>;

/// Messages for an epoch that this node has not reached.
#[derive(Default)]
struct Early {
    epoch: u64,
    messages: VecDeque<Message<PublicKey>>,
}

impl Early {
    /// Keeps a message for the epoch after `current`.
    fn keep(&mut self, current: u64, epoch: u64, message: Message<PublicKey>) {
        if current.checked_add(1) != Some(epoch) {
            return;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.messages.clear();
        }
        let same = self.messages.iter().filter(|(from, _)| *from == message.0);
        if self.messages.len() < EARLY_MAX && same.count() < EARLY_OF_PEER_MAX {
            self.messages.push_back(message);
        }
    }

    /// What was kept for an epoch.
    fn take(&mut self, epoch: u64) -> VecDeque<Message<PublicKey>> {
        let messages = std::mem::take(&mut self.messages);
        if self.epoch == epoch {
            messages
        } else {
            VecDeque::new()
        }
    }
}

/// A subchannel that begins with the messages that came too early for it.
struct Primed {
    early: VecDeque<Message<PublicKey>>,
    inner: SubReceiver<PublicKey>,
}

impl Debug for Primed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl Receiver for Primed {
    type Error = commonware_p2p::utils::mux::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Self::Error> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.inner.recv().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}

/// The three channels of Simplex, split by epoch.
struct Split<L: Links> {
    handles: [MuxHandle<L::Sender>; 3],
    votes: Backup,
    certificates: Backup,
    early: [Early; 2],
}

enum Event {
    Boundary(Boundary),
    Vote(u64, Message<PublicKey>),
    Certificate(u64, Message<PublicKey>),
    EngineLingered,
    LinksLingered,
    Ended(String),
}

/// Starts the engine of the epoch that is going on, and what starts the later ones.
pub(crate) async fn start<E: Runtime, L: Links>(
    epochs: Epochs<E, L>,
    [votes, certificates, requests]: [Channel<L>; 3],
    current: Boundary,
) -> Result<Tasks, String> {
    let context = &epochs.context;
    let (mux, vote_handle, vote_backup) = Muxer::builder(context.child("votes"), votes.0, votes.1)
        .with_backup()
        .build();
    let vote_task = spawn_mux(context, mux);
    let (mux, certificate_handle, certificate_backup) = Muxer::builder(
        context.child("certificates"),
        certificates.0,
        certificates.1,
    )
    .with_backup()
    .build();
    let certificate_task = spawn_mux(context, mux);
    let (mux, request_handle) = Muxer::new(context.child("requests"), requests.0, requests.1);
    let request_task = spawn_mux(context, mux);
    let split = Split::<L> {
        handles: [vote_handle, certificate_handle, request_handle],
        votes: vote_backup,
        certificates: certificate_backup,
        early: Default::default(),
    };
    let counters = epochs.counters.clone();
    let context = epochs.context.child("succession");
    let mut succession = Succession {
        epochs,
        split,
        engine: None,
        previous: None,
        departed: BTreeMap::new(),
        links_until: None,
        last_hint: None,
    };
    succession.begin(current).await?;
    let task = context.spawn(move |clock| async move {
        let reason = succession.run().await;
        // If another part panicked, that is the reason, and it is reported by then.
        clock.sleep(LAST_WORDS).await;
        counters.fail(reason);
    });
    Ok(vec![
        ("votes", vote_task),
        ("certificates", certificate_task),
        ("certificate requests", request_task),
        ("committee epochs", task),
    ])
}

fn spawn_mux<E: Runtime, S, R>(context: &E, mux: Muxer<E, S, R>) -> Task<()>
where
    S: commonware_p2p::Sender,
    R: Receiver<PublicKey = S::PublicKey>,
{
    context.child("mux").spawn(move |_| async move {
        if let Err(error) = mux.run().await {
            tracing::warn!(%error, "a channel ended");
        }
    })
}

fn votes_partition(prefix: &str, epoch: u64) -> String {
    format!("{prefix}-simplex-{epoch}")
}

/// Deletes the votes of epochs before this one, which no engine needs any more, while the node goes on.
///
/// One file at a time: the runtime lets nobody open a file meanwhile, so that a whole folder of a few hundred would keep the
/// engine of the new epoch from its votes for a second or more.
fn forget_votes_before(context: &impl Runtime, prefix: &str, epoch: u64) {
    let prefix = prefix.to_owned();
    context
        .child("forgetting")
        .spawn(move |context| async move {
            for epoch in epoch.saturating_sub(2)..epoch {
                let partition = votes_partition(&prefix, epoch);
                // It is almost always gone already.
                for name in context.scan(&partition).await.unwrap_or_default() {
                    let _ = context.remove(&partition, Some(&name)).await;
                    context.sleep(FORGETTING_PAUSE).await;
                }
                let _ = context.remove(&partition, None).await;
            }
        });
}

struct Succession<E: Runtime, L: Links> {
    epochs: Epochs<E, L>,
    split: Split<L>,
    engine: Option<Running>,
    previous: Option<(Running, SystemTime)>,
    /// Nodes that left, with their addresses and how long their links stay.
    departed: BTreeMap<[u8; 32], (String, SystemTime)>,
    links_until: Option<SystemTime>,
    last_hint: Option<SystemTime>,
}

/// Who votes in an epoch: keys and addresses.
fn voting(definition: &EpochDefinition) -> impl Iterator<Item = (&[u8; 32], &str)> {
    let seats = definition.validators.iter();
    seats.map(|seat| (seat.vote_key.as_bytes(), seat.address.as_str()))
}

/// Who follows in an epoch without voting.
fn following(definition: &EpochDefinition) -> impl Iterator<Item = (&[u8; 32], &str)> {
    let seats = definition.observers.iter();
    seats.map(|seat| (seat.vote_key.as_bytes(), seat.address.as_str()))
}

async fn wait(clock: &impl Runtime, until: Option<SystemTime>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => futures::future::pending().await,
    }
}

/// A queue is closed only when another part of the engine ended, which says itself why.
async fn unless_closed<T>(received: impl Future<Output = Option<T>>) -> T {
    match received.await {
        Some(received) => received,
        None => futures::future::pending().await,
    }
}

async fn ended(engine: &mut Option<Running>) -> String {
    match engine {
        Some(running) => match (&mut running.task).await {
            Ok(()) => "the engine of the committee epoch ended".to_owned(),
            Err(error) => format!("the engine of the committee epoch ended: {error}"),
        },
        None => futures::future::pending().await,
    }
}

impl<E: Runtime, L: Links> Succession<E, L> {
    /// Runs one epoch after the other; returns why it cannot go on.
    async fn run(&mut self) -> String {
        loop {
            let outcome = match self.next_event().await {
                Event::Boundary(boundary) => self.begin(boundary).await,
                Event::Vote(epoch, message) => {
                    self.behind(epoch, &message.0);
                    let current = self.epoch();
                    let [early, _] = &mut self.split.early;
                    early.keep(current, epoch, message);
                    Ok(())
                }
                Event::Certificate(epoch, message) => {
                    self.behind(epoch, &message.0);
                    let current = self.epoch();
                    let [_, early] = &mut self.split.early;
                    early.keep(current, epoch, message);
                    Ok(())
                }
                Event::EngineLingered => {
                    self.end_previous().await;
                    Ok(())
                }
                Event::LinksLingered => self.track(false),
                Event::Ended(reason) => Err(reason),
            };
            if let Err(reason) = outcome {
                return reason;
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let Self {
            epochs,
            split,
            engine,
            previous,
            links_until,
            ..
        } = self;
        let engine_until = previous.as_ref().map(|(_, until)| *until);
        let boundary = unless_closed(epochs.boundaries.recv()).fuse();
        let vote = unless_closed(split.votes.recv()).fuse();
        let certificate = unless_closed(split.certificates.recv()).fuse();
        let engine_lingered = wait(&epochs.context, engine_until).fuse();
        let links_lingered = wait(&epochs.context, *links_until).fuse();
        let engine_ended = ended(engine).fuse();
        futures::pin_mut!(
            boundary,
            vote,
            certificate,
            engine_lingered,
            links_lingered,
            engine_ended
        );
        futures::select_biased! {
            boundary = boundary => Event::Boundary(boundary),
            (epoch, message) = vote => Event::Vote(epoch, message),
            (epoch, message) = certificate => Event::Certificate(epoch, message),
            () = engine_lingered => Event::EngineLingered,
            () = links_lingered => Event::LinksLingered,
            reason = engine_ended => Event::Ended(reason),
        }
    }

    fn epoch(&self) -> u64 {
        self.engine.as_ref().map_or(0, |running| running.epoch)
    }

    /// A message of a later epoch: its sender has the last block of this one, with a certificate.
    fn behind(&mut self, epoch: u64, from: &PublicKey) {
        let current = self.epoch();
        if epoch <= current {
            return;
        }
        let now = self.epochs.context.current();
        let pause = |last: SystemTime| {
            now.duration_since(last)
                .is_ok_and(|gone| gone < HINT_INTERVAL)
        };
        if self.last_hint.is_some_and(pause) {
            return;
        }
        self.last_hint = Some(now);
        if let Some(last) = self.epochs.committees.last_of(current) {
            self.epochs
                .mailbox
                .hint_finalized(Height::new(last), NonEmptyVec::new(from.clone()));
        }
    }

    /// Begins an epoch.
    async fn begin(&mut self, mut boundary: Boundary) -> Result<(), String> {
        // While a node catches up, several may be waiting, and only the last has anything to say.
        while let Ok(later) = self.epochs.boundaries.try_recv() {
            boundary = later;
        }
        let epoch = boundary.definition.epoch;
        self.end_previous().await;
        if let Some(running) = self.engine.take() {
            let until = self.epochs.context.current() + ENGINE_LINGERS;
            running.retirement.begin();
            self.previous = Some((running, until));
        }
        let lingering = self.track(true);
        lingering?;
        let seat = self.epochs.voting.seat(
            &boundary.definition,
            boundary.began_ms,
            &mut self.epochs.context,
        );
        let seat = seat.map_err(|error| error.to_string())?;
        self.epochs.counters.begin_epoch(epoch, seat);
        tracing::info!(epoch, ?seat, "a committee epoch begins");
        self.engine = Some(self.start_engine(&boundary, seat).await?);
        if self.previous.is_none() {
            let epochs = &self.epochs;
            forget_votes_before(&epochs.context, &epochs.partition, epoch);
        }
        Ok(())
    }

    /// Ends the engine of the epoch before, if it still runs, and deletes its votes. The right to
    /// vote has been raised to the epoch after it by then.
    async fn end_previous(&mut self) {
        let Some((running, _)) = self.previous.take() else {
            return;
        };
        running.task.abort();
        let _ = running.task.await;
        let epochs = &self.epochs;
        let epoch = running.epoch.saturating_add(1);
        forget_votes_before(&epochs.context, &epochs.partition, epoch);
    }

    /// Links to the nodes of the current epoch and, if `lingering`, to those that left not long ago.
    fn track(&mut self, lingering: bool) -> Result<(), String> {
        let committees = &self.epochs.committees;
        let current = committees.current().ok_or("there is no committee epoch")?;
        let previous = committees.previous().filter(|_| lingering);
        let peer = |(key, address): (&[u8; 32], &str)| self.epochs.peer(key, address);
        let validators = voting(&current).filter_map(peer);
        let validators: Vec<_> = validators.collect();
        let mut others: Vec<_> = following(&current).filter_map(peer).collect();
        let now = self.epochs.context.current();
        let linger = self.epochs.timing.certification_timeout_ms;
        let linger = Duration::from_millis(linger.saturating_mul(LINKS_LINGER_VIEWS));
        for before in previous.iter() {
            let left = voting(before).chain(following(before));
            let left = left.map(|(key, address)| (*key, (address.to_owned(), now + linger)));
            self.departed.extend(left);
        }
        let here = voting(&current).chain(following(&current));
        let here: BTreeSet<_> = here.map(|(key, _)| key).collect();
        self.departed
            .retain(|key, (_, until)| lingering && *until > now && !here.contains(key));
        let departed = self.departed.iter();
        others.extend(departed.filter_map(|(key, (address, _))| peer((key, address))));
        self.links_until = self.departed.values().map(|(_, until)| *until).max();
        let number = current.epoch.saturating_mul(2);
        let number = number.saturating_add(u64::from(previous.is_none()));
        let peers = AddressableTrackedPeers::new(
            Map::from_iter_dedup(validators),
            Map::from_iter_dedup(others),
        );
        self.epochs.links.track(number, peers);
        Ok(())
    }

    async fn start_engine(&mut self, boundary: &Boundary, seat: Seat) -> Result<Running, String> {
        let epoch = boundary.definition.epoch;
        let missing = |error: commonware_p2p::utils::mux::Error| error.to_string();
        let [votes, certificates, requests] = &mut self.split.handles;
        let votes = votes.register(epoch).await.map_err(missing)?;
        let certificates = certificates.register(epoch).await.map_err(missing)?;
        let requests = requests.register(epoch).await.map_err(missing)?;
        // From here on messages for this epoch come through the subchannels; what came before is in
        // the backups.
        let current = epoch.saturating_sub(1);
        let [early_votes, early_certificates] = &mut self.split.early;
        while let Ok((of, message)) = self.split.votes.try_recv() {
            early_votes.keep(current, of, message);
        }
        while let Ok((of, message)) = self.split.certificates.try_recv() {
            early_certificates.keep(current, of, message);
        }
        let (vote_sender, inner) = votes;
        let early = early_votes.take(epoch);
        let votes = (vote_sender, Primed { early, inner });
        let (certificate_sender, inner) = certificates;
        let early = early_certificates.take(epoch);
        let certificates = (certificate_sender, Primed { early, inner });
        let retirement = Retirement::default();
        let engine = self.epochs.engine(
            boundary,
            seat,
            votes_partition(&self.epochs.partition, epoch),
            retirement.clone(),
        )?;
        Ok(Running {
            epoch,
            retirement,
            task: engine.start(votes, certificates, requests),
        })
    }
}

type Engine<E, L> = simplex::Engine<
    E,
    commonware_consensus::simplex::scheme::ed25519::Scheme,
    RoundRobin<Sha256>,
    <L as Links>::Blocker,
    crate::block::EngineDigest,
    Retiring<Automaton<E>>,
    Automaton<E>,
    Observed<E, Automaton<E>>,
    Sequential,
>;

impl<E: Runtime, L: Links> Epochs<E, L> {
    /// A node with where it listens; this node's operator may know better than the definition.
    fn peer(&self, key: &[u8; 32], address: &str) -> Option<(PublicKey, Address)> {
        let known = self.addresses.get(key).copied();
        let address = known.or_else(|| address.parse().ok())?;
        Some((engine_key(key).ok()?, Address::from(address)))
    }

    fn engine(
        &self,
        boundary: &Boundary,
        seat: Seat,
        partition: String,
        retirement: Retirement,
    ) -> Result<Engine<E, L>, String> {
        let epoch = boundary.definition.epoch;
        let signer: Option<ed25519::PrivateKey> =
            (seat == Seat::Validator).then(|| self.voting.signer.clone());
        let unknown = "the committee epoch is not known";
        let scheme = self.committees.scheme(epoch, signer).ok_or(unknown)?;
        let verifier = self.committees.scheme(epoch, None).ok_or(unknown)?;
        let context = self.context.child("simplex");
        let context = context.with_attribute("epoch", epoch);
        let timing = &self.timing;
        let config = simplex::Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker: self.links.blocker(),
            automaton: Retiring::new(self.inline.clone(), retirement),
            relay: self.inline.clone(),
            reporter: Observed::new(
                self.inline.clone(),
                epoch,
                (context.child("evidence"), verifier),
                (self.counters.clone(), self.evidence.clone()),
            ),
            strategy: Sequential,
            partition,
            mailbox_size: MAILBOX,
            epoch: Epoch::new(epoch),
            floor: Floor::Genesis(to_engine(&boundary.root)),
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache: self.page_cache.clone(),
            leader_timeout: Duration::from_millis(timing.leader_timeout_ms),
            certification_timeout: Duration::from_millis(timing.certification_timeout_ms),
            timeout_retry: Duration::from_millis(timing.timeout_retry_ms),
            view_retention: ViewDelta::new(VIEW_RETENTION),
            skip: SkipPolicy::Enabled {
                timeout: Duration::from_millis(timing.skip_after_ms),
                budget: SkipBudget::Participants,
            },
            fetch_timeout: milliseconds(timing.fetch_timeout_ms),
            fetch_retry_delay: FETCH_RETRY,
            forward: ForwardPolicy::SilentVoters,
            track_historical_votes: false,
        };
        Ok(simplex::Engine::new(context, config))
    }
}
