//! A network whose four modules execute side by side, for what they agree on among themselves.

use sealbook_execution::custody::ModuleKey;
use sealbook_execution::keys::decode_public;
use sealbook_execution::rotation::Custodian;
use sealbook_execution::{Engine, Output};
use sealbook_governance::Change;
use sealbook_ledger::{KeyHolder, Parameters, Recovery, RootGrant};
use sealbook_protocol::payload::OrderBytes;
use sealbook_sealing::{EnvelopeHeader, Suite};

use super::play::Play;
use super::words;
use super::{Founded, LIFE_MS, Network, Sealed, epochs_of};

/// Epochs of forty blocks; what is sealed to a former key epoch is opened for ten blocks more.
pub fn founded() -> Founded {
    Founded {
        parameters: Parameters {
            key_epochs: 0,
            key_grace_blocks: 10,
            ..epochs_of(40, 1)
        },
        ..Founded::default()
    }
}

/// A network whose four modules execute side by side and carry their words into the next block.
pub struct Modules {
    pub play: Play,
    pub modules: Vec<Option<Engine>>,
    pub words: Vec<Vec<u8>>,
}

impl Modules {
    pub fn new(with: Founded) -> Self {
        let mut play = Play::furnished_with(with);
        let key =
            |network: &Network, seat: usize| ModuleKey::read(&network.module_keys[seat]).unwrap();
        let (network, mut words) = (&play.network, Vec::new());
        let modules = (0..4).map(|seat| {
            let mut engine = Engine::new(network.genesis.clone(), network.keys(seat)).unwrap();
            engine.set_custodian(Custodian::Module(key(network, seat), Vec::new()), None);
            engine.begin_session();
            for (block, certificate) in &play.blocks {
                let said = &mut words;
                engine
                    .execute_each(std::slice::from_ref(block), certificate, |output| {
                        if let Output::Carry(word) = output {
                            said.push(word);
                        }
                    })
                    .unwrap();
            }
            assert!(!engine.is_awake());
            Some(engine)
        });
        let modules: Vec<_> = modules.collect();
        let own = Custodian::Module(key(network, 0), Vec::new());
        play.engine.set_custodian(own, None);
        let mut all = Self {
            play,
            modules,
            words,
        };
        // Their first words are their signs of life.
        all.step(&[]);
        assert!(all.modules.iter().flatten().all(Engine::is_awake));
        all
    }

    /// Executes a block with these transactions and what the modules had to say after the one before.
    pub fn step(&mut self, transactions: &[&[u8]]) {
        let words = std::mem::take(&mut self.words);
        let words = words.iter().map(Vec::as_slice);
        let all: Vec<&[u8]> = transactions.iter().copied().chain(words).collect();
        self.play.step(&all, &[]);
        let (block, certificate) = self.play.blocks.last().cloned().unwrap();
        for module in self.modules.iter_mut().flatten() {
            let said = &mut self.words;
            module
                .execute_each(std::slice::from_ref(&block), &certificate, |output| {
                    if let Output::Carry(word) = output {
                        said.push(word);
                    }
                })
                .unwrap();
            assert_eq!(module.commitment(), self.play.engine.commitment());
        }
    }

    pub fn decide(&mut self, change: &Change) {
        let reference = self.play.reference();
        let order = words::govern(&reference, words::propose(change));
        let sealed = self.seal_now("admin", vec![order]);
        self.step(&[&sealed.bytes]);
        let executed = self.play.engine.governance_view().proposals.pop().unwrap();
        assert_eq!(executed.change, *change);
        assert_eq!(executed.status.as_str(), "scheduled");
    }

    /// Seals to the present key epoch.
    pub fn seal_now(&mut self, name: &str, orders: Vec<OrderBytes>) -> Sealed {
        let opening = self.play.engine.definition().opening.clone();
        self.play.network.opening_key = decode_public(&opening.public_key).unwrap();
        let suite = Suite::from_number(opening.suite()).unwrap();
        let header = EnvelopeHeader::new(
            suite,
            self.play.network.id,
            opening.key_epoch,
            self.play.chain.head.time_ms + LIFE_MS,
        );
        let network = &self.play.network;
        network.seal_as(&network.members[name], header, orders)
    }

    pub fn run_to(&mut self, height: u64) {
        while self.play.engine.height() < height {
            self.step(&[]);
        }
    }

    /// To the last block of the present epoch.
    pub fn end_epoch(&mut self) {
        self.run_to(self.play.engine.definition().last_height);
    }

    pub fn key_epoch(&self) -> u32 {
        self.play.engine.definition().opening.key_epoch
    }
}

impl Modules {
    /// The grants that hosts keep for the module of a seat: replayed, since the play drops them.
    pub fn grants_of(&self, seat: usize) -> Vec<RootGrant> {
        let network = &self.play.network;
        let mut engine = network.engine();
        let own = ModuleKey::read(&network.module_keys[0]).unwrap();
        engine.set_custodian(Custodian::Module(own, Vec::new()), None);
        let wanted = ModuleKey::read(&network.module_keys[seat])
            .unwrap()
            .digest();
        let mut grants = Vec::new();
        for (block, certificate) in &self.play.blocks {
            let executed = engine.execute(std::slice::from_ref(block), certificate);
            for one in executed.unwrap() {
                grants.extend(one.grants);
            }
        }
        grants.retain(|one| one.recipient == wanted);
        grants
    }
}

/// A network with three holders of recovery shares, two of whom are enough.
pub fn with_shares() -> (Modules, Vec<ModuleKey>) {
    let holders: Vec<_> = (1..=3).map(|_| ModuleKey::generate()).collect();
    let named = (1..).zip(&holders).map(|(number, (_, key))| KeyHolder {
        name: format!("holder-{number}"),
        key: key.clone(),
    });
    let with = Founded {
        recovery: Recovery {
            threshold: 2,
            holders: named.collect(),
        },
        ..founded()
    };
    let keys = holders.iter();
    let keys = keys
        .map(|(file, _)| ModuleKey::read(file).unwrap())
        .collect();
    (Modules::new(with), keys)
}
