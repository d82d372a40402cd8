//! A network of toy nodes in one process: real engine, real TLS, real disk; blocks that hold a
//! counter.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, missing_docs)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{CertificateDer, Revocations, Role, pem};
use sealbook_ledger::{
    Attachment, Block, Committee, EPOCH_VERSION, EpochDefinition, FinalityCertificate, Header,
    ObserverSeat, Opening, Parameters, ValidatorSeat,
};
use sealbook_ordering::{
    Acknowledgement, Application, Floor, Handle, Limits, NodeIdentity, OrderingConfig,
    OrderingError, Proposal, Start, Timing, Verdict, found_vote_log, start,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_store::{LedgerStore, SledStore};

pub const NETWORK_NAME: &str = "test";
const BLOCK_INTERVAL_MS: u64 = 40;
/// Blocks in an epoch.
pub const EPOCH: u64 = 15;

pub fn now_ms() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

pub fn network() -> Digest {
    hash("test network", &[b"genesis"])
}

/// A member of the network: its key, certificate and address.
pub struct Member {
    pub seed: [u8; 32],
    pub chain: Vec<CertificateDer<'static>>,
    pub address: SocketAddr,
    pub directory: PathBuf,
}

impl Member {
    pub fn new(number: u8, authority: &Authority, address: SocketAddr, base: &Path) -> Self {
        let seed = [number; 32];
        let name = format!("node-{number}");
        let request = certificate_request(
            &name,
            "Test Exchange",
            Role::Node,
            None,
            NETWORK_NAME,
            &Secret32::new(seed),
        );
        let validity = (now_ms() - 60_000, now_ms() + 3_600_000);
        let chain = authority.approve(&request.unwrap(), validity).unwrap();
        let chain = pem::chain_from_pem(&chain).unwrap();
        Self {
            seed,
            chain,
            address,
            directory: base.join(name),
        }
    }

    pub fn vote_key(&self) -> VerifyingKey {
        SigningKey::from_seed(self.seed).verifying_key()
    }

    pub fn ordering(&self) -> PathBuf {
        self.directory.join("ordering")
    }
}

/// Who votes and who follows in an epoch, as indices of members.
pub type Plan = fn(u64) -> (&'static [usize], &'static [usize]);

pub struct Network {
    pub roots: Vec<CertificateDer<'static>>,
    pub members: Vec<Member>,
    pub plan: Plan,
}

pub fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect()
}

pub fn authority(base: &Path) -> Authority {
    Authority::create(base, NETWORK_NAME, now_ms()).unwrap()
}

impl Network {
    /// A network of `count` members. The first epoch's validators have founded their vote logs.
    pub fn new(base: &Path, count: usize, plan: Plan) -> Self {
        let authority = authority(&base.join("authority"));
        let addresses = free_addresses(count);
        let members: Vec<Member> = addresses
            .into_iter()
            .enumerate()
            .map(|(index, address)| {
                Member::new(u8::try_from(index).unwrap() + 1, &authority, address, base)
            })
            .collect();
        let network = Self {
            roots: vec![authority.root().clone()],
            members,
            plan,
        };
        for index in plan(0).0 {
            network.found(&network.members[*index].ordering(), *index);
        }
        network
    }

    pub fn found(&self, storage: &Path, index: usize) {
        let key = self.members[index].vote_key();
        found_vote_log(storage, None, &network(), key.as_bytes()).unwrap();
    }

    pub fn genesis(&self) -> Block {
        Block::genesis(network(), 1)
    }

    pub fn definition(&self, epoch: u64) -> EpochDefinition {
        let (validators, observers) = (self.plan)(epoch);
        let name = |index: &usize| format!("node-{}", index + 1);
        let member = |index: &usize| &self.members[*index];
        EpochDefinition {
            version: EPOCH_VERSION,
            epoch,
            first_height: if epoch == 0 { 0 } else { epoch * EPOCH + 1 },
            last_height: (epoch + 1) * EPOCH,
            validators: validators
                .iter()
                .map(|index| ValidatorSeat {
                    name: name(index),
                    vote_key: member(index).vote_key(),
                    module_key: Vec::new(),
                    address: member(index).address.to_string(),
                })
                .collect(),
            observers: observers
                .iter()
                .map(|index| ObserverSeat {
                    name: name(index),
                    vote_key: member(index).vote_key(),
                    module_key: None,
                    address: member(index).address.to_string(),
                })
                .collect(),
            parameters: Parameters {
                epoch_blocks: u32::try_from(EPOCH).unwrap(),
                ..Parameters::default()
            },
            opening: Opening {
                key_epoch: 0,
                public_key: vec![1],
                since_height: 0,
                record: sealbook_primitives::hash::Digest::ZERO,
            },
        }
    }

    pub fn committee(&self, epoch: u64) -> Committee {
        self.definition(epoch).committee().unwrap()
    }

    /// The place of a member's signature in certificates of an epoch.
    pub fn signer(&self, epoch: u64, index: usize) -> u16 {
        let key = self.members[index].vote_key();
        let committee = self.committee(epoch);
        let place = committee.members().iter().position(|one| *one == key);
        u16::try_from(place.unwrap()).unwrap()
    }

    /// The end of an epoch as a floor to start from, out of another node's store.
    pub fn floor(&self, epoch: u64, store: &LedgerStore) -> Start {
        let height = (epoch + 1) * EPOCH;
        Start::Floor(Floor {
            block: store.block(height).unwrap().unwrap(),
            certificate: store.certificate(height).unwrap().unwrap(),
            committee: self.committee(epoch),
        })
    }

    pub fn config(&self, member: &Member) -> OrderingConfig {
        OrderingConfig {
            network: network(),
            network_name: NETWORK_NAME.to_owned(),
            genesis_block: self.genesis(),
            storage_directory: member.ordering(),
            listen: member.address,
            identity: NodeIdentity {
                seed: Secret32::new(member.seed),
                chain: member.chain.clone(),
                roots: self.roots.clone(),
                revocations: Revocations::none(),
            },
            start: Start::Genesis(self.definition(0)),
            addresses: self
                .members
                .iter()
                .map(|member| (*member.vote_key().as_bytes(), member.address))
                .collect(),
            observe_only: false,
            start_time_ms: now_ms(),
            clock_drift_ms: 200,
            timing: Timing {
                leader_timeout_ms: 600,
                certification_timeout_ms: 1_000,
                timeout_retry_ms: 500,
                skip_after_ms: 1_500,
                fetch_timeout_ms: 1_000,
                poll_interval_ms: 4,
            },
            limits: Limits::default(),
        }
    }

    pub fn start(&self, member: &Member) -> Node {
        self.try_start(self.config(member), &member.directory)
            .unwrap()
    }

    pub fn try_start(
        &self,
        config: OrderingConfig,
        directory: &Path,
    ) -> Result<Node, OrderingError> {
        self.try_start_with(config, directory, Box::new(|_| ()))
    }

    pub fn application(&self, before_acknowledging: Witness) -> Arc<Counter> {
        Arc::new(Counter {
            definitions: (0..100).map(|epoch| self.definition(epoch)).collect(),
            before_acknowledging,
            chain: Mutex::new(Vec::new()),
            messages: Mutex::new(Vec::new()),
        })
    }

    pub fn try_start_with(
        &self,
        config: OrderingConfig,
        directory: &Path,
        before_acknowledging: Witness,
    ) -> Result<Node, OrderingError> {
        std::fs::create_dir_all(directory).unwrap();
        let engine = SledStore::open(&directory.join("ledger")).unwrap();
        let store = Arc::new(LedgerStore::open(Arc::new(engine)).unwrap());
        let application = self.application(before_acknowledging);
        let handle = start(config, store.clone(), application.clone())?;
        Ok(Node {
            handle,
            application,
            store,
        })
    }
}

/// What a node has seen of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub height: u64,
    pub digest: Digest,
    pub certified: bool,
}

/// Is shown every block before it is acknowledged.
pub type Witness = Box<dyn Fn(&Seen) + Send + Sync>;

/// An application whose blocks hold their own height.
pub struct Counter {
    definitions: Vec<EpochDefinition>,
    before_acknowledging: Witness,
    pub chain: Mutex<Vec<Seen>>,
    pub messages: Mutex<Vec<([u8; 32], Bytes)>>,
}

impl Counter {
    fn check(&self, certificate: &FinalityCertificate, block: &Block) {
        assert_eq!(certificate.block, block.digest());
        let epoch = usize::try_from(block.header.epoch).unwrap();
        certificate
            .verify(
                &self.definitions[epoch].committee().unwrap(),
                network().to_string().as_bytes(),
            )
            .unwrap();
    }

    /// What the block at a height defines.
    fn next_epoch(&self, height: u64) -> Option<EpochDefinition> {
        let follows = |definition: &&EpochDefinition| definition.first_height == height + 1;
        self.definitions.iter().find(follows).cloned()
    }
}

fn count(height: u64) -> Attachment {
    let bytes = [&height.to_be_bytes()[..], &[7; 92]].concat();
    Attachment::Present(Bytes::from(bytes))
}

impl Application for Counter {
    fn propose(&self, parent: &Header) -> Proposal {
        if now_ms() < parent.time_ms + BLOCK_INTERVAL_MS {
            return Proposal::NotYet;
        }
        let height = parent.height + 1;
        let attachments = vec![count(height)];
        let block = Block::after(parent, now_ms(), Vec::new(), attachments, Vec::new());
        Proposal::Block(match self.next_epoch(height) {
            Some(definition) => block.with_next_epoch(definition),
            None => block,
        })
    }

    fn verify(&self, parent: &Header, block: &Block) -> Verdict {
        if block.header.time_ms > now_ms() + 1_000 {
            return Verdict::Wait;
        }
        let height = parent.height + 1;
        if block.attachments != [count(height)] {
            return Verdict::Refuse("wrong count".to_owned());
        }
        // Nodes move between the parts of a test, so addresses are not compared.
        let keys = |definition: Option<EpochDefinition>| {
            definition.map(|one| one.carriers().copied().collect::<Vec<_>>())
        };
        if keys(block.header.next_epoch.clone()) != keys(self.next_epoch(height)) {
            return Verdict::Refuse("wrong committee".to_owned());
        }
        Verdict::Accept
    }

    fn finalized(
        &self,
        block: Arc<Block>,
        certificate: Option<FinalityCertificate>,
        done: Acknowledgement,
    ) {
        if let Some(certificate) = &certificate {
            self.check(certificate, &block);
        }
        let mut chain = self.chain.lock().unwrap();
        let (height, digest) = (block.height(), block.digest());
        // A restart begins where the last one acknowledged; from there on, in order and without
        // gaps.
        if let Some(last) = chain.last() {
            assert!(height <= last.height + 1, "{height} after {}", last.height);
        }
        let seen = Seen {
            height,
            digest,
            certified: certificate.is_some(),
        };
        (self.before_acknowledging)(&seen);
        match chain.iter().find(|earlier| earlier.height == height) {
            Some(earlier) => assert_eq!(earlier.digest, digest),
            None => chain.push(seen),
        }
        drop(chain);
        done.acknowledge();
    }

    fn message(&self, from: [u8; 32], bytes: Bytes) {
        self.messages.lock().unwrap().push((from, bytes));
    }
}

/// A running node.
pub struct Node {
    pub handle: Handle,
    pub application: Arc<Counter>,
    pub store: Arc<LedgerStore>,
}

impl Node {
    pub fn height(&self) -> u64 {
        assert_eq!(self.handle.failed(), None);
        self.application
            .chain
            .lock()
            .unwrap()
            .last()
            .map_or(0, |seen| seen.height)
    }

    pub fn stop(self) {
        let begin = Instant::now();
        self.handle.stop();
        eprintln!("stopped in {} ms", begin.elapsed().as_millis());
        // Everything that holds the store open is gone.
        drop(self.application);
        assert_eq!(Arc::strong_count(&self.store), 1);
    }
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(seconds),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("{what}: {} ms", begin.elapsed().as_millis());
}

pub fn wait_for_height(nodes: &[&Node], height: u64) {
    wait_for(&format!("height {height}"), 30, || {
        nodes.iter().all(|node| node.height() >= height)
    });
}

/// Asserts that no two nodes disagree about a height.
pub fn assert_one_chain(nodes: &[&Node]) {
    let mut digests = std::collections::BTreeMap::new();
    for node in nodes {
        for seen in node.application.chain.lock().unwrap().iter() {
            let digest = digests.entry(seen.height).or_insert(seen.digest);
            assert_eq!(*digest, seen.digest, "two blocks at height {}", seen.height);
        }
    }
}
