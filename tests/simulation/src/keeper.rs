//! Keeps a node's module running and fed, as a thread of the host does.

use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::Clock as _;
use commonware_runtime::deterministic::Context;
use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{Either, select};
use sealbook_host::shared::Shared;

use crate::cluster::{Cluster, ModuleSlot, lock};
use crate::module::{Module, Stop};
use crate::random::Random;

/// How long a host waits before it starts a lost module again.
const MODULE_PAUSE: Duration = Duration::from_millis(500);

/// Keeps a node's module running and fed, as the host's thread does.
pub(crate) struct Keeper {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) node: usize,
    pub(crate) root: Vec<u8>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: ModuleSlot,
    pub(crate) random: Random,
    pub(crate) crooked: bool,
}

impl Keeper {
    pub(crate) async fn keep(mut self, context: Context, mut woken: UnboundedReceiver<()>) {
        let mut begun = false;
        loop {
            if lock(&self.slot).is_none() {
                if begun {
                    context.sleep(MODULE_PAUSE).await;
                }
                begun = true;
                if let Err(reason) = self.begin() {
                    self.report(&reason);
                    return;
                }
            }
            if let Err(reason) = self.feed_all(&context).await {
                self.report(&reason);
                return;
            }
            let _ = self.shared.outbox().flush();
            let rest = Box::pin(context.sleep(Duration::from_millis(200)));
            match select(woken.next(), rest).await {
                Either::Left(_) => {
                    // Execution takes its time.
                    let pause = self.random.between(1, 12);
                    context.sleep(Duration::from_millis(pause)).await;
                    while let Ok(()) = woken.try_recv() {}
                }
                Either::Right(_) => {}
            }
        }
    }

    fn begin(&mut self) -> Result<(), Stop> {
        let cluster = &self.cluster;
        let random = &mut self.random;
        let started = Module::start(&cluster.world, self.node, &self.root, &self.shared, random);
        let (mut module, height) = started?;
        if height > 0 {
            cluster.time.note(&format!(
                "module of node {} begins from the snapshot of {height}",
                self.node
            ));
        }
        if cluster.is_honest(self.node) {
            module.watch(cluster.checker.clone());
        }
        if self.crooked {
            module.be_crooked();
        }
        if cluster.drowsy {
            module.be_drowsy();
        }
        *lock(&self.slot) = Some(module);
        Ok(())
    }

    async fn feed_all(&self, context: &Context) -> Result<(), Stop> {
        while !self.shared.halted() {
            let fed = match lock(&self.slot).as_mut() {
                Some(module) => module.feed(&self.shared)?,
                None => false,
            };
            if !fed {
                return Ok(());
            }
            context.sleep(Duration::from_millis(1)).await;
        }
        if self.cluster.is_honest(self.node) {
            let problem = self.shared.problem().unwrap_or_default();
            return Err(Stop::Diverged(problem));
        }
        Ok(())
    }

    fn report(&self, reason: &Stop) {
        let (node, cluster) = (self.node, &self.cluster);
        let text = match reason {
            Stop::Diverged(text) => format!("module of node {node} diverged: {text}"),
            Stop::NotGiven => format!("module of node {node} was not given the keys"),
            Stop::Defect(text) => format!("module of node {node} stopped: {text}"),
        };
        cluster.time.note(&text);
        if matches!(reason, Stop::NotGiven) && node == cluster.plan.removed {
            return;
        }
        // A liar's own module may find itself fed with what its host made up.
        if cluster.is_honest(node) {
            cluster.trace.violation(text);
        }
    }
}
