//! A node's execution module, in this process: the same engine, fed in the same way as the process that a host runs.

use std::sync::Arc;

use sealbook_execution::engine::Output;
use sealbook_execution::keys::KeyError;
use sealbook_execution::rotation::Custodian;
use sealbook_execution::{Engine, EngineError};
use sealbook_host::module_link::{next_run, placed};
use sealbook_host::shared::Shared;
use sealbook_ledger::{RootFile, SnapshotManifest, opening_digest};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::Stage;
use sealbook_securities::{Action, Authority, MemberName, Relation};
use sealbook_store::StoreError;

use crate::checker::Checker;
use crate::client::books_of;
use crate::history::Books;
use crate::random::Random;
use crate::world::World;

/// A member may see its own, and nothing else.
struct Own;

impl Authority for Own {
    fn permits(&self, _: Action, relation: Relation) -> bool {
        relation == Relation::Own
    }
}

/// Why a module stops.
#[derive(Debug)]
pub enum Stop {
    /// The network's results differ from its own.
    Diverged(String),
    /// It was not given the keys of a key epoch: its node was removed.
    NotGiven,
    /// It should never stop so.
    Defect(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Defect(error.to_string())
    }
}

/// The module of a node, while it runs.
pub struct Module {
    node: usize,
    engine: Engine,
    /// Looks at every result, unless the node is a liar.
    checker: Option<Checker>,
    /// Gives out results that are not its engine's: a node that must be found out.
    crooked: bool,
}

impl Module {
    /// Starts the module of a node as its host does: from the newest snapshot that it accepts, or from the first block.
    /// Now and then it begins from the first block although there is a snapshot.
    ///
    /// # Errors
    /// It does not start, which is a defect.
    pub fn start(
        world: &World,
        node: usize,
        root: &[u8],
        shared: &Shared,
        random: &mut Random,
    ) -> Result<(Self, u64), Stop> {
        let own = RootFile::decode(root).map_err(|error| Stop::Defect(error.to_string()))?;
        let known = shared.own_roots()?;
        let keys = |named: (u32, &Digest)| {
            let keys = world.module_keys(node, named, [&own, &known]);
            keys.map_err(|error| match error.downcast_ref() {
                Some(KeyError::NotGiven(_)) => Stop::NotGiven,
                _ => Stop::Defect(error.to_string()),
            })
        };
        let all = shared.store().snapshot_heights()?;
        let whole = shared.store().floor() == 0;
        let skip = if whole && random.percent(20) {
            all.len()
        } else {
            0
        };
        for height in all.into_iter().rev().skip(skip) {
            let Some(offer) = shared.snapshot_offer(height)? else {
                continue;
            };
            let manifest = SnapshotManifest::decode(&offer.manifest);
            let manifest = manifest.map_err(|error| Stop::Defect(error.to_string()))?;
            let keys = match keys((manifest.key_epoch, &manifest.opening)) {
                // A removed node knows blocks, and snapshots, that its module has no keys for.
                Err(Stop::NotGiven) => continue,
                keys => keys?,
            };
            let refused = |error: sealbook_execution::RestoreError| {
                Stop::Defect(format!("the snapshot of {height} is refused: {error}"))
            };
            let mut restoring =
                Engine::restore(world.genesis.clone(), keys, &offer).map_err(refused)?;
            for index in 0..manifest.pieces().count() {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let sealed = shared.store().snapshot_piece(height, index)?;
                restoring
                    .add(&sealed.unwrap_or_default())
                    .map_err(refused)?;
            }
            let engine = restoring.finish().map_err(refused)?;
            shared.resumed(engine.results());
            return Ok((Self::of(world, node, engine)?, height));
        }
        let opening = world.genesis.first_epoch().opening;
        let named = (opening.key_epoch, &opening_digest(&opening.public_key));
        let engine = Engine::new(world.genesis.clone(), keys(named)?);
        let engine = engine.map_err(|error| Stop::Defect(error.to_string()))?;
        shared.resumed(engine.results());
        Ok((Self::of(world, node, engine)?, 0))
    }

    fn of(world: &World, node: usize, mut engine: Engine) -> Result<Self, Stop> {
        let key = world.module_key(node);
        let key = key.map_err(|error| Stop::Defect(error.to_string()))?;
        engine.set_custodian(Custodian::Module(key, Vec::new()), None);
        engine.begin_session();
        Ok(Self {
            node,
            engine,
            checker: None,
            crooked: false,
        })
    }

    /// Has every result looked at.
    pub fn watch(&mut self, checker: Checker) {
        self.checker = Some(checker);
    }

    /// Makes it give out false results from now on.
    pub const fn be_crooked(&mut self) {
        self.crooked = true;
    }

    /// Makes it answer at once, whatever part of the ledger it was shown.
    pub fn be_drowsy(&mut self) {
        self.engine.end_session();
    }

    /// The last executed block.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.engine.height()
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What a firm's accounts hold.
    #[must_use]
    pub fn books(&self, firm: &str) -> Option<Books> {
        let state = self.engine.state();
        let name = MemberName::new(firm).ok()?;
        let (member, _) = state.member_by_name(&name)?;
        let view = state.holdings(member, &Own, &|_| None).ok()?;
        Some(books_of(&view))
    }

    /// Answers a sealed query.
    pub fn answer(&mut self, envelope: &[u8]) -> Option<Vec<u8>> {
        self.engine.answer(envelope)
    }

    /// Executes the next run of final blocks; false if there is none.
    ///
    /// # Errors
    /// The module stops.
    pub fn feed(&mut self, shared: &Arc<Shared>) -> Result<bool, Stop> {
        let run = next_run(self.engine.height(), shared);
        let run = run.map_err(|error| Stop::Defect(error.to_string()))?;
        let Some((blocks, certificate)) = run else {
            return Ok(false);
        };
        // One block at a time, so that every state is seen, and not only the last one of a run.
        let mut outputs = Vec::new();
        let result = self
            .engine
            .execute_each(&blocks, &certificate, |output| outputs.push(output));
        for output in outputs {
            self.take(shared, output)?;
        }
        match result {
            Ok(()) => {}
            Err(EngineError::Diverged {
                height,
                computed,
                committed,
            }) => {
                shared.diverged(height, (computed, committed), None, None);
                return Err(Stop::Diverged(format!(
                    "results of block {height} are {computed:?} and not {committed:?}"
                )));
            }
            Err(EngineError::Keys(KeyError::NotGiven(_))) => return Err(Stop::NotGiven),
            Err(error) => return Err(Stop::Defect(error.to_string())),
        }
        if let Some(checker) = &self.checker {
            checker.books(self.node, self.engine.height(), self.engine.state());
        }
        if shared.outbox().is_full() {
            shared.outbox().flush()?;
        }
        Ok(true)
    }

    fn take(&self, shared: &Shared, output: Output) -> Result<(), Stop> {
        match output {
            Output::Piece {
                height,
                index,
                sealed,
            } => shared.take_piece(height, index, &sealed)?,
            Output::Snapshot(manifest) => shared.take_manifest(&manifest.encode())?,
            Output::Carry(envelope) => shared.carry_own(envelope),
            Output::Executed(executed) => {
                let mut commitment = executed.commitment;
                if self.crooked {
                    commitment.outcomes_root.0[0] ^= 1;
                }
                let height = commitment.height;
                if let Some(checker) = &self.checker {
                    checker.executed(self.node, height, commitment.digest());
                }
                shared.note_commitment(&commitment)?;
                for grant in executed.grants {
                    shared.put_grant(grant)?;
                }
                for record in executed.key_records {
                    shared.put_key_record(&record)?;
                }
                let quotas = executed.quotas;
                shared.executed(commitment, executed.next_epoch, quotas, executed.unopened);
                let replies = executed.replies.into_iter();
                let replies = replies.map(|one| (height, one)).collect();
                shared.outbox().put(Stage::Outcome, replies);
                let finals = placed(executed.finals, shared)?;
                shared.outbox().put(Stage::Final, finals);
            }
        }
        Ok(())
    }
}
