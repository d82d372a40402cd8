//! All nodes of a run: starting them, crashing them, asking them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::Oracle;
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _};
use futures::channel::mpsc::unbounded;
use sealbook_host::application::HostApplication;
use sealbook_host::clock::Clock;
use sealbook_host::evidence::Evidence;
use sealbook_host::shared::{Parts, Shared};
use sealbook_ledger::{Header, SnapshotManifest, holder_digest};
use sealbook_ordering::node::{NodeHandle, NodeSetup, engine_key, run_node};
use sealbook_ordering::{Limits, Start, Timing};
use sealbook_primitives::signature::SigningKey;
use sealbook_store::LedgerStore;

use crate::checker::Checker;
use crate::keeper::Keeper;
use crate::links::{Half, Hub, Manners, NodeLinks};
use crate::module::Module;
use crate::node::{Disk, Witness};
use crate::random::Random;
use crate::schedule::{Lie, Plan};
use crate::time::{NodeClock, Time};
use crate::trace::Trace;
use crate::traitor::Traitor;
use crate::world::{World, WorldError};

const TEND: Duration = Duration::from_millis(250);

/// How long the engine waits, shorter than in a real network, so that more happens.
#[must_use]
pub fn timing() -> Timing {
    Timing {
        leader_timeout_ms: 900,
        certification_timeout_ms: 1_500,
        timeout_retry_ms: 600,
        skip_after_ms: 2_500,
        fetch_timeout_ms: 600,
        poll_interval_ms: 12,
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A module that runs, or does not at the moment.
pub(crate) type ModuleSlot = Arc<Mutex<Option<Module>>>;

/// A running process.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) shared: Arc<Shared>,
    ordering: Arc<Mutex<Option<NodeHandle>>>,
    pub(crate) module: Option<ModuleSlot>,
    tasks: Vec<Handle<()>>,
}

/// A node, whether it runs or not.
pub(crate) struct Node {
    disks: Vec<Disk>,
    pub(crate) lives: Vec<Life>,
    root: Option<Vec<u8>>,
    wrong_by_ms: Arc<AtomicI64>,
    /// Nothing starts it any more.
    retired: bool,
    crooked: bool,
}

/// All nodes.
pub struct Cluster {
    /// The network.
    pub world: World,
    /// The time.
    pub time: Arc<Time>,
    /// The trace.
    pub trace: Trace,
    /// The checker.
    pub checker: Checker,
    /// What was planned.
    pub plan: Plan,
    /// The keys of all nodes, as links know them.
    pub keys: Vec<PublicKey>,
    context: Context,
    oracle: Oracle<PublicKey, Context>,
    nodes: Mutex<Vec<Node>>,
    random: Mutex<Random>,
    numbers: Mutex<u64>,
    /// Nodes that clients cannot reach at the moment.
    pub unreachable: Mutex<BTreeMap<usize, u64>>,
    /// A wiped validator keeps its right to vote: a defect that must be found out.
    pub keeps_right: bool,
    /// So many validators, the first ones, are twins that keep two halves of the network apart.
    pub apart_from: Option<usize>,
    /// Modules answer before they have seen their own sign of life: a defect.
    pub drowsy: bool,
    /// Validators vote for whatever they are shown: a defect that must be found out.
    pub gullible: bool,
}

impl Cluster {
    /// A network whose nodes do not run yet.
    ///
    /// # Errors
    /// A founding validator's disk cannot be made.
    pub fn new(
        context: Context,
        oracle: Oracle<PublicKey, Context>,
        world: World,
        plan: Plan,
        (time, trace, checker): (Arc<Time>, Trace, Checker),
        random: Random,
    ) -> Result<Self, WorldError> {
        let mut keys = Vec::new();
        let mut nodes = Vec::new();
        for (number, node) in world.nodes.iter().enumerate() {
            let key = node.key.verifying_key();
            keys.push(engine_key(key.as_bytes())?);
            let halves: &[&str] = match plan.lie(number) {
                Some(Lie::Twins) => &["a", "b"],
                _ => &[""],
            };
            let mut disks = Vec::new();
            for half in halves {
                let disk = Disk::new(number, 0, half);
                if number < world.validators {
                    disk.found(&world.network, &key, u8::try_from(number).unwrap_or(0))?;
                }
                disks.push(disk);
            }
            nodes.push(Node {
                disks,
                lives: Vec::new(),
                root: node.root.clone(),
                wrong_by_ms: Arc::default(),
                retired: false,
                crooked: false,
            });
        }
        Ok(Self {
            world,
            time,
            trace,
            checker,
            plan,
            keys,
            context,
            oracle,
            nodes: Mutex::new(nodes),
            random: Mutex::new(random),
            numbers: Mutex::new(0),
            unreachable: Mutex::default(),
            keeps_right: false,
            apart_from: None,
            gullible: false,
            drowsy: false,
        })
    }

    pub(crate) fn with<T>(&self, node: usize, look: impl FnOnce(&mut Node) -> T) -> Option<T> {
        lock(&self.nodes).get_mut(node).map(look)
    }

    fn next_number(&self) -> u64 {
        let mut numbers = lock(&self.numbers);
        *numbers += 1;
        *numbers
    }

    fn random(&self, purpose: &str) -> Random {
        Random::new(lock(&self.random).next(), purpose)
    }

    /// How many nodes there will ever be.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a node is to be believed.
    #[must_use]
    pub fn is_honest(&self, node: usize) -> bool {
        self.plan.lie(node).is_none()
    }

    /// Whether a node runs.
    #[must_use]
    pub fn runs(&self, node: usize) -> bool {
        self.with(node, |node| !node.lives.is_empty()) == Some(true)
    }

    /// Whether nothing starts the node any more.
    #[must_use]
    pub fn is_retired(&self, node: usize) -> bool {
        self.with(node, |node| node.retired) == Some(true)
    }

    /// Nothing starts the node any more.
    pub fn retire(&self, node: usize) {
        self.with(node, |node| node.retired = true);
    }

    /// Sets a node's clock wrong by so much.
    pub fn set_clock(&self, node: usize, wrong_by_ms: i64) {
        self.with(node, |node| {
            node.wrong_by_ms.store(wrong_by_ms, Ordering::Relaxed);
        });
    }

    /// Makes a node's module give out false results from now on.
    pub fn make_crooked(&self, node: usize) {
        self.with(node, |node| {
            node.crooked = true;
            for life in &node.lives {
                if let Some(slot) = &life.module
                    && let Some(module) = lock(slot).as_mut()
                {
                    module.be_crooked();
                }
            }
        });
    }

    /// Starts a node, unless it runs or never will.
    ///
    /// # Errors
    /// It does not start, which is a defect.
    pub async fn start(self: &Arc<Self>, node: usize) -> Result<(), WorldError> {
        if self.runs(node) || self.is_retired(node) {
            return Ok(());
        }
        // A connection that was closed over a broken protocol is made anew by a process that starts.
        if let Some(me) = self.keys.get(node) {
            for (from, to) in self.oracle.blocked().await? {
                if from == *me {
                    self.oracle.unblock(from, to).await?;
                }
            }
        }
        self.fetch_root(node);
        self.join(node)?;
        let disks = self.with(node, |node| node.disks.clone());
        let disks = disks.ok_or("no such node")?;
        let twins = disks.len() > 1;
        let hub = Arc::new(Hub::default());
        let mut lives = Vec::new();
        for (place, disk) in disks.iter().enumerate() {
            let half = match (twins, place) {
                (false, _) => Half::Whole,
                (true, 0) => Half::First,
                (true, _) => Half::Second,
            };
            lives.push(self.begin(node, disk, (half, Arc::clone(&hub))).await?);
        }
        self.with(node, |node| node.lives = lives);
        Ok(())
    }

    /// A node with an empty disk begins with a snapshot of another, or from the first block.
    fn join(&self, node: usize) -> Result<(), WorldError> {
        let mut random = self.random("join");
        let mut nodes = lock(&self.nodes);
        let disk = nodes.get(node).and_then(|one| one.disks.first());
        let empty = match disk {
            Some(disk) => disk.open()?.latest_height().is_none() && disk.floor.is_none(),
            None => false,
        };
        // Founding validators that start for the first time have nobody to ask.
        if !empty || self.checker.heights().0 == 0 || random.percent(30) {
            return Ok(());
        }
        let donors: Vec<Arc<Shared>> = nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != node && self.is_honest(*other))
            .flat_map(|(_, other)| &other.lives)
            .map(|life| Arc::clone(&life.shared))
            .collect();
        let Some(donor) = donors.get(random.place(donors.len())) else {
            return Ok(());
        };
        let Some(offer) = donor.newest_snapshot()? else {
            return Ok(());
        };
        let manifest = SnapshotManifest::decode(&offer.manifest)?;
        let Some(committee) = self.checker.committee_at(manifest.height) else {
            return Ok(());
        };
        let mine = nodes.get_mut(node).and_then(|one| one.disks.first_mut());
        let mine = mine.ok_or("no such node")?;
        if let Some(height) = mine.join(&offer, donor.store(), committee)? {
            let text = format!("node {node} joins with the snapshot of {height}");
            self.time.note(&text);
        }
        Ok(())
    }

    /// A node that was admitted after genesis asks the others' hosts for the root that their modules sealed to its own.
    fn fetch_root(&self, node: usize) {
        let module_key = self
            .world
            .nodes
            .get(node)
            .and_then(|keys| keys.module.as_ref());
        let Some((_, module_key)) = module_key else {
            return;
        };
        let mut nodes = lock(&self.nodes);
        if nodes.get(node).is_none_or(|node| node.root.is_some()) {
            return;
        }
        let found = nodes
            .iter()
            .flat_map(|other| &other.lives)
            .find_map(|life| {
                life.shared
                    .root_file(&holder_digest(module_key))
                    .ok()
                    .flatten()
            });
        if let Some(mine) = nodes.get_mut(node) {
            mine.root = found.map(|file| file.encode());
        }
    }

    /// Whether a node has, or could fetch by now, what its module needs.
    #[must_use]
    pub fn has_root(&self, node: usize) -> bool {
        self.fetch_root(node);
        self.with(node, |node| node.root.is_some()) == Some(true)
    }

    async fn begin(
        self: &Arc<Self>,
        node: usize,
        disk: &Disk,
        (half, hub): (Half, Arc<Hub>),
    ) -> Result<Life, WorldError> {
        let number = self.next_number();
        let keys = self.world.nodes.get(node).ok_or("no such node")?;
        let store = disk.open()?;
        let head = newest(&self.world, &store)?;
        let at = head.height;
        let (root, wrong_by_ms, crooked) = self
            .with(node, |node| {
                (
                    node.root.clone(),
                    Arc::clone(&node.wrong_by_ms),
                    node.crooked,
                )
            })
            .ok_or("no such node")?;
        let clock = Arc::new(NodeClock::new(Arc::clone(&self.time), wrong_by_ms));
        let parts = Parts {
            name: keys.name.clone(),
            key: SigningKey::from_secret(&keys.key.seed()),
            head,
            store: Arc::clone(&store),
            ledger: None,
            evidence: Evidence::nowhere(),
            clock: clock.clone(),
        };
        let shared = Arc::new(Shared::new(&self.world.genesis, parts)?);
        let checker = self.is_honest(node).then(|| self.checker.clone());
        if let Some(checker) = &checker {
            checker.begins(node, at);
        }
        let context = self.context.child("node").with_attribute("life", number);
        let (wake, woken) = unbounded();
        let mut tasks = Vec::new();
        let mut module = None;
        if let Some(root) = root {
            let slot = ModuleSlot::default();
            let keeper = Keeper {
                cluster: Arc::clone(self),
                node,
                root,
                shared: Arc::clone(&shared),
                slot: Arc::clone(&slot),
                random: self.random("module"),
                crooked,
            };
            let task = context.child("module");
            tasks.push(task.spawn(move |context| keeper.keep(context, woken)));
            module = Some(slot);
        }
        let application = Arc::new(Witness {
            node,
            host: HostApplication {
                shared: Arc::clone(&shared),
            },
            traitor: self.traitor(node),
            checker: checker.clone(),
            time: Arc::clone(&self.time),
            gullible: self.gullible,
            wake: Mutex::new(wake),
        });
        let manners = self.manners(node, checker);
        let me = self.keys.get(node).ok_or("no such node")?.clone();
        let links = NodeLinks::new(
            context.child("links"),
            &self.oracle,
            me,
            manners,
            (half, hub),
        );
        let setup = self.setup(node, disk, clock.now_ms())?;
        let ordering = run_node(context.child("ordering"), links, setup, store, application);
        let ordering = Arc::new(Mutex::new(Some(ordering.await?)));
        let outgoing = Arc::clone(&ordering);
        shared.set_gossip(Box::new(move |bytes| {
            if let Some(ordering) = lock(&outgoing).as_ref() {
                ordering.gossip(bytes);
            }
        }));
        let tended = (Arc::clone(&shared), Arc::clone(&ordering));
        let cluster = Arc::clone(self);
        let task = context.child("tend");
        tasks.push(task.spawn(move |context| cluster.tend(context, node, tended)));
        Ok(Life {
            number,
            shared,
            ordering,
            module,
            tasks,
        })
    }

    fn manners(&self, node: usize, watched: Option<Checker>) -> Arc<Manners> {
        Arc::new(Manners {
            node,
            keys: self.keys.clone(),
            seed: self.random("manners").next(),
            withheld: self.withheld(node),
            apart_from: self.apart_from,
            watched,
            time: Arc::clone(&self.time),
        })
    }

    fn traitor(&self, node: usize) -> Option<Arc<Traitor>> {
        let lie = self.plan.lie(node).filter(|lie| *lie != Lie::Twins)?;
        let keys = self.world.nodes.get(node)?;
        let drift_ms = self.world.genesis.parameters.clock_drift_ms;
        let random = self.random("traitor");
        let traitor = Traitor::new(lie, random, &keys.key, self.world.network, drift_ms);
        Some(Arc::new(traitor))
    }

    /// Whom a silent or greedy liar tells nothing.
    fn withheld(&self, node: usize) -> Vec<(usize, Option<u64>)> {
        let channel = match self.plan.lie(node) {
            Some(Lie::Silence) => None,
            // Blocks that others ask it for.
            Some(Lie::Greed) => Some(4),
            _ => return Vec::new(),
        };
        let mut random = self.random("withheld");
        let others = (0..self.count()).filter(|other| *other != node);
        others
            .filter(|_| random.percent(40))
            .map(|other| (other, channel))
            .collect()
    }

    fn setup(&self, node: usize, disk: &Disk, now_ms: u64) -> Result<NodeSetup, WorldError> {
        let keys = self.world.nodes.get(node).ok_or("no such node")?;
        Ok(NodeSetup {
            network: self.world.network,
            genesis_block: self.world.genesis.block(),
            start: match &disk.floor {
                Some(floor) => Start::Floor(floor.clone()),
                None => Start::Genesis(self.world.genesis.first_epoch()),
            },
            seed: keys.key.seed(),
            partition: disk.partition.clone(),
            mark: Box::new(disk.mark.clone()),
            observe_only: false,
            addresses: BTreeMap::new(),
            start_time_ms: now_ms,
            clock_drift_ms: self.world.genesis.parameters.clock_drift_ms,
            timing: timing(),
            limits: Limits::default(),
            danger_unchecked_proposals: !self.is_honest(node),
        })
    }

    /// What the host does four times a second.
    async fn tend(
        self: Arc<Self>,
        context: Context,
        node: usize,
        (shared, ordering): (Arc<Shared>, Arc<Mutex<Option<NodeHandle>>>),
    ) {
        loop {
            context.sleep(TEND).await;
            shared.tend();
            let failed = lock(&ordering).as_ref().and_then(NodeHandle::failed);
            if let Some(reason) = failed {
                if self.is_honest(node) {
                    self.time.note(&format!("node {node} stops"));
                    self.trace
                        .violation(format!("ordering of node {node} stopped: {reason}"));
                }
                return;
            }
            if let Some(damage) = shared.damaged() {
                self.trace
                    .violation(format!("the store of node {node} is damaged: {damage}"));
                return;
            }
        }
    }

    /// Crashes a node: its processes are gone, with everything in memory.
    pub async fn crash(&self, node: usize) {
        let lives = self.with(node, |node| std::mem::take(&mut node.lives));
        for life in lives.unwrap_or_default() {
            for task in &life.tasks {
                task.abort();
            }
            let ordering = lock(&life.ordering).take();
            if let Some(ordering) = ordering {
                ordering.abort().await;
            }
            for task in life.tasks {
                let _ = task.await;
            }
        }
    }

    /// Gives a crashed node a new disk.
    pub fn wipe(&self, node: usize) {
        let number = self.next_number();
        self.with(node, |one| {
            for disk in &mut one.disks {
                let kept = disk.mark.clone();
                let tied = disk.open().ok();
                *disk = Disk::new(node, number, "");
                if self.keeps_right {
                    disk.mark = kept;
                    let metadata = tied.and_then(|old| old.metadata("vote log").ok().flatten());
                    if let (Some(metadata), Ok(new)) = (metadata, disk.open()) {
                        let _ = new.put_metadata("vote log", &metadata);
                    }
                }
            }
        });
        self.checker.wiped(node);
    }

    /// Ends a node's module; its host starts it again.
    pub fn lose_module(&self, node: usize) {
        self.with(node, |node| {
            for life in &node.lives {
                if let Some(slot) = &life.module {
                    *lock(slot) = None;
                }
            }
        });
    }

    /// The newest final and the newest executed height of a node that runs, and its results.
    #[must_use]
    pub fn heights(&self, node: usize) -> Option<(u64, u64)> {
        self.with(node, |node| {
            let life = node.lives.first()?;
            Some((life.shared.final_height(), life.shared.executed_root().0))
        })
        .flatten()
    }

    /// Looks at the engine of a node's module.
    pub fn with_module<T>(&self, node: usize, look: impl FnOnce(&Module) -> T) -> Option<T> {
        let slot = self.with(node, |node| node.lives.first()?.module.clone())??;
        let module = lock(&slot);
        module.as_ref().map(look)
    }
}

/// The newest header in a store without a gap below it.
fn newest(world: &World, store: &LedgerStore) -> Result<Header, WorldError> {
    let complete = store.block_heights().contiguous_from(store.floor().max(1));
    match complete {
        None => Ok(world.genesis.block().header),
        Some(height) => {
            let block = store.block(height)?.ok_or("a block is gone")?;
            Ok(block.header)
        }
    }
}
