//! `sealbook-traitor SINS FOLDER [--until-input-closes]`: takes part in ordering with the keys of the validator in FOLDER,
//! and does whatever an honest one would not. SINS is `all`, or some of the names of [`Sin`], comma between.
//!
//! It holds no module and serves no clients. It votes for every block, whatever it is; when it is its turn to propose,
//! it commits the next of its sins and says so on standard error. Meanwhile it passes rubbish on to the others.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part of tests: what fails here is a failed test"
)]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sealbook_host::config::NodeConfig;
use sealbook_host::waiting::Carried;
use sealbook_identity::{Revocations, files};
use sealbook_ledger::{
    Block, EpochDefinition, FinalityCertificate, Genesis, Header, MAX_BLOCK_BYTES, Transaction,
};
use sealbook_ordering::{
    Acknowledgement, Application, Limits, NodeIdentity, OrderingConfig, Proposal, Start, Timing,
    Verdict,
};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::random;
use sealbook_primitives::signature::{Signature, SigningKey, VerifyingKey};
use sealbook_sealing::{Envelope, EnvelopeHeader, OpeningPublicKey, Purpose, Suite, seal};
use sealbook_store::{Engine, LedgerStore, open_store};

/// How long a turn lasts in which nothing is proposed; longer than a view.
const SILENCE: Duration = Duration::from_millis(2_500);
/// How many ordered transactions are kept to be repeated.
const KEPT: usize = 50;

/// What a traitor proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sin {
    /// Transactions that are no envelopes.
    Junk,
    /// More bytes than the network allows, though not more than links carry.
    Oversized,
    /// A transaction whose time is over.
    Expired,
    /// A transaction that is ordered already.
    Ordered,
    /// The same transaction twice.
    Twice,
    /// A transaction that its carrier did not sign.
    Forged,
    /// A time far ahead.
    Future,
    /// A state that the network is not in.
    State,
    /// Nothing at all, until the turn has passed.
    Silence,
}

const SINS: [(&str, Sin); 9] = [
    ("junk", Sin::Junk),
    ("oversized", Sin::Oversized),
    ("expired", Sin::Expired),
    ("ordered", Sin::Ordered),
    ("twice", Sin::Twice),
    ("forged", Sin::Forged),
    ("future", Sin::Future),
    ("state", Sin::State),
    ("silence", Sin::Silence),
];

fn read_sins(text: &str) -> Option<Vec<Sin>> {
    let known: BTreeMap<&str, Sin> = SINS.into_iter().collect();
    if text == "all" {
        return Some(SINS.map(|(_, sin)| sin).to_vec());
    }
    text.split(',')
        .map(|name| known.get(name).copied())
        .collect()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[derive(Default)]
struct Memory {
    /// Turns that were taken.
    turns: usize,
    silent_until: Option<Instant>,
    ordered: VecDeque<Transaction>,
}

struct Traitor {
    key: SigningKey,
    network: Digest,
    opening_key: OpeningPublicKey,
    definition: EpochDefinition,
    sins: Vec<Sin>,
    memory: Mutex<Memory>,
}

impl Traitor {
    /// Where this node stands among those that may bring transactions.
    fn place(&self) -> u16 {
        let own = self.key.verifying_key();
        let place = self.definition.carriers().position(|key| *key == own);
        u16::try_from(place.unwrap()).unwrap()
    }

    /// An envelope that is in order from outside, and nonsense within.
    fn envelope(&self, expires_ms: u64, length: usize) -> Bytes {
        let suite = Suite::X25519ChaCha20Poly1305;
        let header = EnvelopeHeader::new(suite, self.network, 0, expires_ms);
        let text = vec![7; length];
        let envelope: Envelope =
            seal(&self.opening_key, header, Purpose::Transaction, &text).unwrap();
        Bytes::from(envelope.encode())
    }

    fn carried(&self, envelope: Bytes) -> Transaction {
        Transaction::carried(self.place(), &self.key, &self.network, envelope)
    }

    /// A block with this sin, if it can be committed now.
    fn commit(&self, sin: Sin, parent: &Header, memory: &Memory) -> Option<Block> {
        let soon = now_ms() + 60_000;
        let mut time_ms = now_ms().max(parent.time_ms);
        let (mut transactions, mut roots) = (Vec::new(), Vec::new());
        match sin {
            Sin::Junk => {
                let mut junk = vec![0; 500];
                random::fill(&mut junk);
                transactions.push(self.carried(Bytes::from(junk)));
            }
            Sin::Oversized => {
                let limit = self.definition.parameters.block_bytes_max as usize;
                let each = 900 * 1024;
                while transactions.len() * each <= limit {
                    transactions.push(self.carried(self.envelope(soon, each)));
                }
            }
            Sin::Expired => {
                let envelope = self.envelope(time_ms - 1, 200);
                transactions.push(self.carried(envelope));
            }
            Sin::Ordered => transactions.push(memory.ordered.back()?.clone()),
            Sin::Twice => {
                let one = self.carried(self.envelope(soon, 200));
                transactions.extend([one.clone(), one]);
            }
            Sin::Forged => {
                let place = (self.place() + 1) % 2;
                let envelope = self.envelope(soon, 200);
                let forged = Transaction::carried(place, &self.key, &self.network, envelope);
                transactions.push(forged);
            }
            Sin::Future => {
                time_ms += self.definition.parameters.clock_drift_ms + 600_000;
            }
            Sin::State if parent.executed_height < parent.height => {
                roots.push(Digest([0xBA; 32]));
            }
            Sin::State | Sin::Silence => return None,
        }
        let block = Block::after(parent, time_ms, transactions, Vec::new(), roots);
        assert!(block.encoded_length() <= MAX_BLOCK_BYTES, "never leaves");
        Some(block)
    }

    /// Rubbish for the channel on which nodes pass transactions on.
    fn rubbish(&self, number: usize) -> Bytes {
        let mut noise = vec![0; 1 + number * 997 % 60_000];
        random::fill(&mut noise);
        let envelope = self.envelope(now_ms() + 60_000, 100).to_vec();
        let id = Transaction::id_of(&envelope);
        let mut carried = Carried::own(&self.key, &self.network, (&id, envelope), Vec::new());
        match number % 5 {
            0 => return Bytes::from(noise),
            1 => carried.transaction = noise,
            2 => carried.signature = Signature([5; 64]),
            3 => carried.carrier = VerifyingKey([9; 32]),
            _ => {
                let whole = borsh::to_vec(&carried).unwrap();
                return Bytes::from(whole[..whole.len() / 2].to_vec());
            }
        }
        Bytes::from(borsh::to_vec(&carried).unwrap())
    }
}

impl Application for Traitor {
    fn propose(&self, parent: &Header) -> Proposal {
        let mut memory = self.memory.lock().unwrap();
        if memory.silent_until.is_some_and(|end| Instant::now() < end) {
            return Proposal::NotYet;
        }
        memory.silent_until = None;
        let sin = self.sins[memory.turns % self.sins.len()];
        memory.turns += 1;
        let Some(block) = self.commit(sin, parent, &memory) else {
            if sin == Sin::Silence {
                memory.silent_until = Some(Instant::now() + SILENCE);
                eprintln!("sin: {sin:?}");
            }
            return Proposal::NotYet;
        };
        eprintln!("sin: {sin:?} at {}", block.height());
        Proposal::Block(block)
    }

    fn verify(&self, _parent: &Header, _block: &Block) -> Verdict {
        Verdict::Accept
    }

    fn finalized(
        &self,
        block: Arc<Block>,
        _certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    ) {
        let mut memory = self.memory.lock().unwrap();
        memory.ordered.extend(block.transactions.iter().cloned());
        let surplus = memory.ordered.len().saturating_sub(KEPT);
        memory.ordered.drain(..surplus);
        done.acknowledge();
    }

    fn message(&self, _from: [u8; 32], _bytes: Bytes) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(sins), Some(folder)) = (
        arguments.first().and_then(|sins| read_sins(sins)),
        arguments.get(1),
    ) else {
        eprintln!("error: sealbook-traitor SINS FOLDER [--until-input-closes]");
        std::process::exit(2);
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let config = NodeConfig::read(Path::new(folder)).unwrap();
    let genesis = Genesis::decode(&std::fs::read(&config.genesis).unwrap()).unwrap();
    let opening_key = &genesis.opening_epochs[0].public_key;
    let seed = files::read_private_key(&config.key).unwrap();
    let traitor = Arc::new(Traitor {
        key: SigningKey::from_secret(&seed),
        network: genesis.network(),
        opening_key: borsh::from_slice::<OpeningPublicKey>(opening_key).unwrap(),
        definition: genesis.first_epoch(),
        sins,
        memory: Mutex::default(),
    });
    let engine: Engine = config.engine.parse().unwrap();
    let store = open_store(engine, &config.ledger.join("blocks")).unwrap();
    let store = Arc::new(LedgerStore::open(store).unwrap());
    let handle =
        sealbook_ordering::start(ordering(&config, &genesis), store, traitor.clone()).unwrap();
    std::thread::spawn(move || {
        for number in 0.. {
            handle.gossip(traitor.rubbish(number));
            if let Some(reason) = handle.failed() {
                eprintln!("error: {reason}");
                std::process::exit(1);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}

fn ordering(config: &NodeConfig, genesis: &Genesis) -> OrderingConfig {
    let key_of = |text: &str| VerifyingKey::from_hex(text).unwrap().0;
    let addresses = config.peers.iter();
    OrderingConfig {
        network: genesis.network(),
        network_name: genesis.network_name.clone(),
        genesis_block: genesis.block(),
        storage_directory: config.votes.clone(),
        listen: config.ordering_listen,
        identity: NodeIdentity {
            seed: files::read_private_key(&config.key).unwrap(),
            chain: files::read_chain(&config.chain).unwrap(),
            revocations: Revocations::none(),
            roots: genesis
                .certificate_roots
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
        },
        start: Start::Genesis(genesis.first_epoch()),
        addresses: addresses
            .map(|peer| (key_of(&peer.vote_key), peer.address))
            .collect(),
        observe_only: false,
        start_time_ms: now_ms(),
        clock_drift_ms: genesis.parameters.clock_drift_ms,
        timing: Timing::default(),
        limits: Limits::default(),
    }
}
