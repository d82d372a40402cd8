//! A node from start to stop: reads its configuration, opens its ledger, starts module, ordering and client service,
//! and stops in order on a signal.
//!
//! A ledger that is damaged is never used: its store is moved aside, together with the vote log, and the node begins
//! with an empty one that it fills from the other nodes. Without its vote log it counts as wiped, and votes again from
//! the next committee epoch on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealbook_identity::tls::{self, Peers};
use sealbook_identity::{chain_end_ms, files};
use sealbook_ledger::{Committee, Genesis, Header, MAX_GENESIS_BYTES};
use sealbook_ordering::{
    Floor, Handle, Limits, NodeIdentity, ObserverReason, OrderingConfig, Seat, Start, Timing,
};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_store::{Engine, LedgerStore, StoreError, TIP, Tip, manifest, open_store, quarantine};
use tokio::signal::unix::{SignalKind, signal};

use crate::admission::Admission;
use crate::api::{self, Certificates, Service};
use crate::application::HostApplication;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{NodeConfig, PeerConfig};
use crate::evidence::Evidence;
use crate::metrics;
use crate::module_link;
use crate::relay::Relay;
use crate::revocations::Lists;
use crate::shared::{Parts, Shared};

/// Folder of the store below the ledger's.
const BLOCKS: &str = "blocks";
/// How many of the newest blocks are read and compared at every start; older ones when they are needed.
const CHECKED_BLOCKS: u64 = 512;
/// How often a node may find its ledger damaged before it gives up: a disk that damages everything needs a person.
const REBUILDS_MAX: usize = 3;

/// What ends a node, in words for its operator.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct NodeError {
    what: &'static str,
    why: String,
    hint: Option<&'static str>,
}

impl NodeError {
    const fn new(what: &'static str, why: String) -> Self {
        let hint = None;
        Self { what, why, hint }
    }

    /// What can be done about it, where there is more to say.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> NodeError {
    move |error| NodeError::new(what, error.to_string())
}

/// How a node came to its end.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// Its ledger is damaged.
    Damaged(String),
}

/// Runs the node in `folder` until it is told to stop.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(folder: &Path, until_input_closes: bool) -> Result<(), NodeError> {
    let config = NodeConfig::read(folder).map_err(failed("configuration"))?;
    manifest::remove(folder).map_err(failed("manifest"))?;
    for _ in 0..REBUILDS_MAX {
        match run_once(&config, until_input_closes)? {
            Ended::Stopped => return manifest::write(folder).map_err(failed("manifest")),
            Ended::Damaged(what) => set_aside(&config, &what)?,
        }
    }
    let why = "damaged again and again; look at the disk".to_owned();
    Err(NodeError::new("ledger", why))
}

/// Gives a founding validator the right to vote from the first committee epoch on.
///
/// # Errors
/// The configuration cannot be read, or the validator has the right already.
pub fn found_votes(folder: &Path) -> Result<(), NodeError> {
    let config = NodeConfig::read(folder).map_err(failed("configuration"))?;
    let genesis = Genesis::decode(&read_limited(&config.genesis, MAX_GENESIS_BYTES)?)
        .map_err(failed("genesis"))?;
    let seed = read_key(&config)?;
    let key = SigningKey::from_secret(&seed).verifying_key();
    sealbook_ordering::found_vote_log(&config.votes, None, &genesis.network(), key.as_bytes())
        .map_err(failed("vote log"))
}

/// Moves a damaged store and the vote log aside.
fn set_aside(config: &NodeConfig, what: &str) -> Result<(), NodeError> {
    tracing::error!(
        reason = what,
        "the ledger is damaged; it is moved aside and filled anew from the other nodes"
    );
    let moved = quarantine(&config.ledger.join(BLOCKS)).map_err(failed("ledger"))?;
    tracing::warn!(to = %moved.display(), "damaged ledger moved");
    if config.votes.exists() {
        // It may promise votes about blocks that this node can no longer show; it counts as wiped.
        quarantine(&config.votes).map_err(failed("vote log"))?;
    }
    match std::fs::remove_file(config.ledger.join(TIP)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("note of the ledger's tip")(error))
        }
        _ => Ok(()),
    }
}

/// The ledger of a node, and its newest header without a gap below it.
type Opened = (Arc<LedgerStore>, Header);

/// Opens the ledger and looks at its newest part.
fn open_ledger(config: &NodeConfig, genesis: &Genesis) -> Result<Opened, StoreError> {
    let path = config.ledger.join(BLOCKS);
    let engine: Engine = config.engine.parse().map_err(|_| StoreError::Open {
        path: path.display().to_string(),
        reason: format!("`{}` is not an engine: sled or redb", config.engine),
    })?;
    let store = Arc::new(LedgerStore::open(open_store(engine, &path)?)?);
    let from = store.floor().max(1);
    let complete = store.block_heights().contiguous_from(from);
    let lost = |height| StoreError::MissingAt {
        what: "block",
        height,
    };
    // The note is written after a block is durable, so a ledger that ends before it has lost its end.
    match Tip::read(&config.ledger) {
        Ok(Some(tip)) if complete.unwrap_or(0) < tip.height => return Err(lost(tip.height)),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the note of the ledger's tip is of no use"),
    }
    let Some(height) = complete else {
        return Ok((store, genesis.block().header));
    };
    let mut newest: Option<Header> = None;
    for one in height.saturating_sub(CHECKED_BLOCKS).max(from)..=height {
        let block = store.block(one)?.ok_or_else(|| lost(one))?;
        if let Some(parent) = &newest
            && let Err(error) = block.header.check_follows(parent)
        {
            return Err(StoreError::DamagedAt {
                what: "block",
                height: one,
                reason: error.to_string(),
            });
        }
        store.certificate(one)?;
        newest = Some(block.header);
    }
    Ok((store, newest.unwrap_or_else(|| genesis.block().header)))
}

fn run_once(config: &NodeConfig, until_input_closes: bool) -> Result<Ended, NodeError> {
    let genesis_bytes = read_limited(&config.genesis, MAX_GENESIS_BYTES)?;
    let genesis = Genesis::decode(&genesis_bytes).map_err(failed("genesis"))?;
    let seed = read_key(config)?;
    let opened = open_ledger(config, &genesis).and_then(|(store, head)| {
        let parts = Parts {
            name: config.name.clone(),
            key: SigningKey::from_secret(&seed),
            head,
            store: Arc::clone(&store),
            ledger: Some(config.ledger.clone()),
            evidence: Evidence::new(config.evidence.clone()),
            clock: Arc::new(SystemClock::default()),
        };
        Ok((store, Arc::new(Shared::new(&genesis, parts)?)))
    });
    let (store, shared) = match opened {
        Ok(opened) => opened,
        Err(error) if error.is_damage() => return Ok(Ended::Damaged(error.to_string())),
        Err(error) => return Err(failed("ledger")(error)),
    };
    let ordering_config = ordering_config(config, &genesis, &shared, &store)?;
    let lists = revocation_lists(config, &ordering_config)?;
    let service_parts = ServiceParts::new(config, &genesis, &ordering_config)?;
    // Before anything begins that would have to end again.
    let listening = metrics::listen(config.metrics_listen).map_err(failed("metrics"))?;
    let module = match &config.module {
        Some(module) => {
            let started = module_link::start(module.clone(), genesis_bytes, Arc::clone(&shared));
            match started {
                Ok(started) => Some(started),
                Err(module_link::ModuleError::Store(error)) if error.is_damage() => {
                    return Ok(Ended::Damaged(error.to_string()));
                }
                Err(error) => {
                    let hint = error.hint();
                    let failed = NodeError::new("execution module", error.to_string());
                    return Err(NodeError { hint, ..failed });
                }
            }
        }
        None => None,
    };
    if let Some((link, _)) = &module {
        shared.set_module(link.clone());
    }
    let application = Arc::new(HostApplication {
        shared: Arc::clone(&shared),
    });
    let ordering = sealbook_ordering::start(ordering_config, Arc::clone(&store), application);
    let ordering = Arc::new(ordering.map_err(failed("ordering"))?);
    let outgoing = Arc::downgrade(&ordering);
    shared.set_gossip(Box::new(move |bytes| {
        if let Some(ordering) = outgoing.upgrade() {
            ordering.gossip(bytes);
        }
    }));
    let service = Arc::new(service_parts.service(Arc::clone(&shared), Arc::clone(&ordering)));
    tracing::info!(name = shared.name(), "node started");
    let outcome = serve_until_stopped(
        &service,
        config.client_listen,
        listening,
        service_parts.tls,
        lists,
        until_input_closes,
    );
    // First, so that blocks that are on their way count as not yet acknowledged rather than lost.
    ordering.begin_stop();
    if let Some((link, thread)) = module {
        link.stop();
        let _ = thread.join();
    }
    drop(service);
    if let Ok(ordering) = Arc::try_unwrap(ordering) {
        ordering.stop();
    }
    let damage = shared.damaged().or_else(|| match &outcome {
        Ok(()) => None,
        Err(_) => found_damage(&store),
    });
    drop((shared, store));
    tracing::info!("node stopped");
    match (damage, outcome) {
        (Some(what), _) => Ok(Ended::Damaged(what)),
        (None, Ok(())) => Ok(Ended::Stopped),
        (None, Err(error)) => Err(error),
    }
}

/// After a failure: whether the ledger is to blame.
fn found_damage(store: &LedgerStore) -> Option<String> {
    match store.check(&mut |_, _| ()) {
        Ok(report) => report.damages.first().map(ToString::to_string),
        Err(error) => error.is_damage().then(|| error.to_string()),
    }
}

fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, NodeError> {
    let bytes = std::fs::read(path).map_err(failed("genesis"))?;
    if bytes.len() > limit {
        let why = "the document is too large".to_owned();
        return Err(NodeError::new("genesis", why));
    }
    Ok(bytes)
}

fn ordering_config(
    config: &NodeConfig,
    genesis: &Genesis,
    shared: &Shared,
    store: &LedgerStore,
) -> Result<OrderingConfig, NodeError> {
    let seed = read_key(config)?;
    let chain = files::read_chain(&config.chain).map_err(failed("certificate chain"))?;
    let roots = genesis
        .certificate_roots
        .iter()
        .cloned()
        .map(Into::into)
        .collect();
    let present = shared.present();
    let parameters = present.map_or_else(
        || genesis.parameters.clone(),
        |definition| definition.parameters.clone(),
    );
    Ok(OrderingConfig {
        network: genesis.network(),
        network_name: genesis.network_name.clone(),
        genesis_block: genesis.block(),
        storage_directory: config.votes.clone(),
        listen: config.ordering_listen,
        identity: NodeIdentity {
            seed,
            chain,
            roots,
            revocations: shared.revocations().clone(),
        },
        start: start(genesis, shared, store)?,
        addresses: config
            .peers
            .iter()
            .map(address_of)
            .collect::<Result<_, _>>()?,
        observe_only: false,
        start_time_ms: SystemClock::default().now_ms(),
        clock_drift_ms: parameters.clock_drift_ms,
        timing: Timing::default(),
        limits: Limits::default(),
    })
}

/// The node's key; what can be done where it does not open.
fn read_key(config: &NodeConfig) -> Result<Secret32, NodeError> {
    files::read_private_key(&config.key).map_err(|error| NodeError {
        hint: Some(error.hint()),
        ..NodeError::new("key", error.to_string())
    })
}

/// The revocation lists, which the node does not start without if it is told to have them.
fn revocation_lists(config: &NodeConfig, ordering: &OrderingConfig) -> Result<Lists, NodeError> {
    let lists = Lists {
        paths: config.revocation_lists.clone(),
        roots: ordering.identity.roots.clone(),
        network: ordering.network_name.clone(),
        revocations: ordering.identity.revocations.clone(),
        clock: Arc::new(SystemClock::default()),
    };
    match lists.renew() {
        Ok(_) => {
            if let Some((error, hint)) = lists.out_of_date() {
                tracing::warn!(%error, hint, "revocation lists");
            }
            Ok(lists)
        }
        Err(error) => {
            let hint = Some(error.hint());
            let failed = NodeError::new("revocation lists", error.to_string());
            Err(NodeError { hint, ..failed })
        }
    }
}

/// Where the ledger begins: with genesis, or with the block after which a snapshot was taken.
fn start(genesis: &Genesis, shared: &Shared, store: &LedgerStore) -> Result<Start, NodeError> {
    let floor = store.floor();
    if floor == 0 {
        return Ok(Start::Genesis(genesis.first_epoch()));
    }
    let missing = || {
        let why = format!("block {floor}, with which it begins, is not whole; join again");
        NodeError::new("ledger", why)
    };
    let block = store.block(floor).map_err(failed("ledger"))?;
    let certificate = store.certificate(floor).map_err(failed("ledger"))?;
    let (Some(block), Some(certificate)) = (block, certificate) else {
        return Err(missing());
    };
    let committee = shared
        .with_epochs(|epochs| {
            committee_of(
                genesis,
                &epochs.steps(store, block.header.epoch)?,
                &block.header,
            )
        })
        .map_err(failed("ledger"))?;
    Ok(Start::Floor(Floor {
        committee: committee.ok_or_else(missing)?,
        block,
        certificate,
    }))
}

/// The committee that certified `header`, from the steps that lead to its epoch.
fn committee_of(
    genesis: &Genesis,
    steps: &[sealbook_ledger::EpochStep],
    header: &Header,
) -> Result<Option<Committee>, StoreError> {
    let last = steps.last().and_then(|step| step.header.next_epoch.clone());
    let mut definition = last.unwrap_or_else(|| genesis.first_epoch());
    definition.epoch = header.epoch;
    Ok(definition.committee().ok())
}

fn address_of(peer: &PeerConfig) -> Result<([u8; 32], std::net::SocketAddr), NodeError> {
    let key = VerifyingKey::from_hex(&peer.vote_key).map_err(failed("vote key of a peer"))?;
    Ok((key.0, peer.address))
}

/// What the client service is made of, before ordering has taken the node's identity.
struct ServiceParts {
    protocol: Vec<u8>,
    certificates: Certificates,
    relay: Option<(Vec<std::net::SocketAddr>, Arc<rustls::ClientConfig>)>,
    tls: Arc<rustls::ServerConfig>,
}

impl ServiceParts {
    fn new(
        config: &NodeConfig,
        genesis: &Genesis,
        ordering: &OrderingConfig,
    ) -> Result<Self, NodeError> {
        let protocol = [b"sealbook-client/", genesis.namespace().as_slice()].concat();
        let identity = &ordering.identity;
        let name = &genesis.network_name;
        let (chain, seed, roots) = (&identity.chain, &identity.seed, &identity.roots);
        let revoked = &identity.revocations;
        let tls = tls::server_config(chain, seed, roots, revoked, name, &protocol, Peers::Any)
            .map_err(failed("TLS"))?;
        let relay = if config.module.is_some() || config.relay.is_empty() {
            None
        } else {
            let client = tls::client_config(chain, seed, roots, revoked, name, &protocol, None);
            Some((config.relay.clone(), client.map_err(failed("TLS"))?))
        };
        Ok(Self {
            certificates: Certificates {
                network: name.clone(),
                roots: roots.clone(),
                revocations: revoked.clone(),
                refusals: tls::Refusals::default(),
                own_ends_ms: chain_end_ms(chain).map_err(failed("certificate chain"))?,
            },
            relay,
            protocol,
            tls,
        })
    }

    fn service(&self, shared: Arc<Shared>, ordering: Arc<Handle>) -> Service {
        let relay = self.relay.as_ref().map(|(validators, tls)| {
            Relay::new(validators.clone(), Arc::clone(tls), self.protocol.clone())
        });
        Service {
            shared,
            ordering,
            protocol: self.protocol.clone(),
            certificates: self.certificates.clone(),
            relay,
            admission: Admission::default(),
        }
    }
}

/// Why a node does not vote although one might expect it to, in words.
#[must_use]
pub fn not_voting(seat: Seat) -> Option<String> {
    let Seat::Observer(reason) = seat else {
        return None;
    };
    match reason {
        ObserverReason::Appointed => None,
        ObserverReason::NotAMember => {
            Some("this committee epoch does not name this node".to_owned())
        }
        ObserverReason::Asked => Some("it was told not to vote".to_owned()),
        ObserverReason::VotesLost {
            votes_from: Some(epoch),
        } => Some(format!(
            "it has no log of its votes; it votes again from committee epoch {epoch} on"
        )),
        ObserverReason::VotesLost { votes_from: None } => Some(
            "it has no log of its votes; it votes again when a committee epoch begins".to_owned(),
        ),
    }
}

fn serve_until_stopped(
    service: &Arc<Service>,
    address: std::net::SocketAddr,
    metrics: Option<std::net::TcpListener>,
    tls: Arc<rustls::ServerConfig>,
    lists: Lists,
    until_input_closes: bool,
) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("clients")
        .enable_all()
        .build()
        .map_err(failed("client service"))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signals"))?;
        let serving = api::serve(Arc::clone(service), address, tls);
        let measuring = metrics::serve(Arc::clone(service), metrics);
        let tending = tend(service);
        tokio::select! {
            result = serving => result.map_err(failed("client service")),
            result = measuring => result.map_err(failed("metrics")),
            () = lists.watch() => Ok(()),
            reason = tending => Err(NodeError::new("ordering", reason)),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = input_closed(), if until_input_closes => Ok(()),
        }
    })
}

/// Waits until standard input closes, on a thread of its own because the read blocks.
async fn input_closed() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let watching = std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = sender.send(());
        });
    match watching {
        Ok(_) => drop(receiver.await),
        Err(_) => std::future::pending().await,
    }
}

/// Passes on again what is overdue, forgets what expired, and notices a failed engine or a damaged ledger.
async fn tend(service: &Arc<Service>) -> String {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        service.shared.tend();
        if let Some(reason) = service
            .ordering
            .failed()
            .or_else(|| service.shared.damaged())
        {
            return reason;
        }
    }
}
