//! A node from start to stop: reads its configuration, opens its ledger, starts module, ordering and client service,
//! and stops in order on a signal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealbook_identity::files;
use sealbook_identity::tls::{self, Peers};
use sealbook_ledger::{Genesis, MAX_GENESIS_BYTES};
use sealbook_ordering::{Limits, NodeIdentity, OrderingConfig, Peer, Timing};
use sealbook_primitives::signature::VerifyingKey;
use sealbook_store::{LedgerStore, SledStore, manifest};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{self, Service};
use crate::application::{HostApplication, Shared};
use crate::config::{NodeConfig, PeerConfig};
use crate::module_link;

/// What ends a node, in words for its operator.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct NodeError {
    what: &'static str,
    why: String,
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> NodeError {
    move |error| NodeError {
        what,
        why: error.to_string(),
    }
}

/// Runs the node in `folder` until it is told to stop.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(folder: &Path, until_input_closes: bool) -> Result<(), NodeError> {
    let config = NodeConfig::read(folder).map_err(failed("configuration"))?;
    manifest::remove(folder).map_err(failed("manifest"))?;
    let genesis_bytes = read_limited(&config.genesis, MAX_GENESIS_BYTES)?;
    let genesis = Genesis::decode(&genesis_bytes).map_err(failed("genesis"))?;
    let store = SledStore::open(&config.ledger.join("blocks")).map_err(failed("ledger"))?;
    let store = Arc::new(LedgerStore::open(Arc::new(store)).map_err(failed("ledger"))?);
    let genesis_block = genesis.block();
    // Blocks above the first gap are fetched ahead; they count when the gap is closed.
    let head = match store.block_heights().contiguous_from(1) {
        Some(height) => store
            .block(height)
            .map_err(failed("ledger"))?
            .map(|block| block.header),
        None => None,
    };
    let head = head.unwrap_or_else(|| genesis_block.header.clone());
    let validator = !config.observer;
    let shared = Arc::new(Shared::new(
        config.name.clone(),
        validator,
        &genesis,
        head,
        (Arc::clone(&store), config.ledger.clone()),
    ));
    let module = match &config.module {
        Some(module) => Some(
            module_link::start(module.clone(), genesis_bytes, Arc::clone(&shared))
                .map_err(failed("execution module"))?,
        ),
        None => None,
    };
    if let Some((link, _)) = &module {
        shared.set_module(link.clone());
    }
    let ordering_config = ordering_config(&config, &genesis)?;
    let protocol = [b"sealbook-client/", genesis.namespace().as_slice()].concat();
    let tls = client_tls(&ordering_config, &genesis, &protocol)?;
    let application = Arc::new(HostApplication {
        shared: Arc::clone(&shared),
    });
    let ordering = sealbook_ordering::start(ordering_config, store, application)
        .map_err(failed("ordering"))?;
    let service = Arc::new(Service {
        shared: Arc::clone(&shared),
        ordering: Arc::new(ordering),
        protocol,
    });
    tracing::info!(name = shared.name(), "node started");
    let outcome = serve_until_stopped(&service, config.client_listen, tls, until_input_closes);
    // First, so that blocks that are on their way count as not yet acknowledged rather than lost.
    service.ordering.begin_stop();
    if let Some((link, thread)) = module {
        link.stop();
        let _ = thread.join();
    }
    if let Ok(service) = Arc::try_unwrap(service)
        && let Ok(ordering) = Arc::try_unwrap(service.ordering)
    {
        ordering.stop();
    }
    tracing::info!("node stopped");
    outcome?;
    drop(shared);
    manifest::write(folder).map_err(failed("manifest"))
}

fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, NodeError> {
    let bytes = std::fs::read(path).map_err(failed("genesis"))?;
    if bytes.len() > limit {
        return Err(NodeError {
            what: "genesis",
            why: "the document is too large".to_owned(),
        });
    }
    Ok(bytes)
}

fn ordering_config(config: &NodeConfig, genesis: &Genesis) -> Result<OrderingConfig, NodeError> {
    let seed = files::read_private_key(&config.key).map_err(failed("key"))?;
    let chain = files::read_chain(&config.chain).map_err(failed("certificate chain"))?;
    let roots = genesis
        .certificate_roots
        .iter()
        .cloned()
        .map(Into::into)
        .collect();
    let peers = |observers: bool| {
        config
            .peers
            .iter()
            .filter(|peer| peer.observer == observers)
            .map(peer_of)
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(OrderingConfig {
        network: genesis.network(),
        network_name: genesis.network_name.clone(),
        genesis_block: genesis.block(),
        storage_directory: config.votes.clone(),
        listen: config.ordering_listen,
        identity: NodeIdentity { seed, chain, roots },
        validators: peers(false)?,
        observers: peers(true)?,
        observe_only: false,
        timing: Timing::default(),
        limits: Limits::default(),
    })
}

fn peer_of(peer: &PeerConfig) -> Result<Peer, NodeError> {
    let key = VerifyingKey::from_hex(&peer.vote_key).map_err(failed("vote key of a peer"))?;
    Ok(Peer {
        vote_key: key.0,
        address: peer.address,
    })
}

fn client_tls(
    config: &OrderingConfig,
    genesis: &Genesis,
    protocol: &[u8],
) -> Result<Arc<rustls::ServerConfig>, NodeError> {
    let identity = &config.identity;
    tls::server_config(
        &identity.chain,
        &identity.seed,
        &identity.roots,
        &genesis.network_name,
        protocol,
        Peers::Members,
    )
    .map_err(failed("TLS"))
}

fn serve_until_stopped(
    service: &Arc<Service>,
    address: std::net::SocketAddr,
    tls: Arc<rustls::ServerConfig>,
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
        let tending = tend(service);
        tokio::select! {
            result = serving => result.map_err(failed("client service")),
            reason = tending => Err(NodeError { what: "ordering", why: reason }),
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

/// Passes on again what is overdue, forgets what expired, and notices a failed engine.
async fn tend(service: &Arc<Service>) -> String {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        for carried in service.shared.tend() {
            if let Ok(bytes) = borsh::to_vec(&carried) {
                service.ordering.gossip(bytes.into());
            }
        }
        if let Some(reason) = service.ordering.failed() {
            return reason;
        }
    }
}
