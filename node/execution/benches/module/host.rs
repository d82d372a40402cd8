//! The host of one module process, as far as measuring needs one: it orders blocks, keeps snapshots on disk and notes
//! how long the module took for everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealbook_ledger::{
    Block, Commitment, FinalityCertificate, FinalityProof, Header, SnapshotManifest,
    SnapshotReference,
};
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, SealedReply, SnapshotOffer, ToModule};

use crate::field;
use crate::kit::Network;
use crate::kit::module::{Module, from_genesis};
use crate::kit::play::Play;

/// A module that executes a chain of which this is the only proposer.
pub struct Host {
    pub play: Play,
    pub module: Module,
    /// Where the pieces of snapshots are kept.
    folder: PathBuf,
    /// Envelopes that the module wants carried.
    words: Vec<Vec<u8>>,
    /// How many pieces came of the snapshot under way.
    pieces: usize,
    /// The newest complete snapshot.
    pub manifest: Option<SnapshotManifest>,
    /// The first results that name it.
    named: Option<Commitment>,
    /// A header that commits to those, and its certificate.
    agreed: Option<(Header, Vec<u8>)>,
    /// What every block took, in order.
    pub recent: Vec<Duration>,
}

/// What one block took, and what came of it.
pub struct Took {
    /// From the first byte to the module until it had executed the block.
    pub time: Duration,
    pub replies: Vec<SealedReply>,
    /// Records of roots that it offered.
    pub key_records: Vec<Vec<u8>>,
}

/// A block that the module was given.
pub struct UnderWay {
    header: Header,
    certificate: Vec<u8>,
    since: Instant,
}

impl Host {
    /// Starts the real module on the network of `play`, and gives it the blocks that there are.
    pub fn start(play: Play, folder: &Path) -> Self {
        let mut module = Module::start(&play.network);
        module.socket.set_read_timeout(None).unwrap();
        module.say(&from_genesis(&play.network.genesis));
        let FromModule::Started { .. } = module.hear() else {
            panic!("not started")
        };
        for (block, certificate) in &play.blocks {
            module.say(&ToModule::Finalized {
                blocks: vec![block.clone()],
                certificate: certificate.clone(),
            });
            module.hear_executed();
        }
        Self {
            words: std::mem::take(&mut module.carried),
            play,
            module,
            folder: folder.to_owned(),
            pieces: 0,
            manifest: None,
            named: None,
            agreed: None,
            recent: Vec::new(),
        }
    }

    /// Hands the module the next block.
    pub fn give(&mut self, transactions: &[&[u8]], attachments: &[&[u8]]) -> UnderWay {
        let words = std::mem::take(&mut self.words);
        let words = words.iter().map(Vec::as_slice);
        let all: Vec<&[u8]> = words.chain(transactions.iter().copied()).collect();
        let block: Block = self.play.chain.next(&all, attachments);
        let certificate = self.play.certificate(&block);
        let message = ToModule::Finalized {
            blocks: vec![block.encode()],
            certificate: certificate.clone(),
        };
        let since = Instant::now();
        self.module.say(&message);
        UnderWay {
            header: block.header,
            certificate,
            since,
        }
    }

    /// Hears all that the module says of a block.
    pub fn hear(&mut self, block: UnderWay) -> Took {
        loop {
            match frame::read(&mut self.module.socket, MODULE_FRAME_MAX).unwrap() {
                FromModule::Carry { envelope } => self.words.push(envelope),
                FromModule::SnapshotPiece { index, sealed, .. } => {
                    assert_eq!(index as usize, self.pieces);
                    fs::write(self.folder.join(index.to_string()), sealed).unwrap();
                    self.pieces += 1;
                }
                FromModule::SnapshotDone { manifest } => {
                    self.manifest = Some(SnapshotManifest::decode(&manifest).unwrap());
                    self.pieces = 0;
                }
                FromModule::Executed {
                    commitment,
                    next_epoch,
                    unopened,
                    replies,
                    key_records,
                    ..
                } => {
                    let took = Took {
                        time: block.since.elapsed(),
                        replies,
                        key_records,
                    };
                    self.recent.push(took.time);
                    assert_eq!(unopened, 0);
                    if next_epoch.is_some() && block.header.next_epoch.is_none() {
                        self.play.chain.planned = next_epoch;
                    }
                    self.note(block, commitment);
                    return took;
                }
                FromModule::Refused { reason } => panic!("{reason}"),
                _ => panic!("another word than one about a block"),
            }
        }
    }

    /// Keeps what proves that the network agreed on a snapshot.
    fn note(&mut self, block: UnderWay, commitment: Commitment) {
        self.play.chain.roots.push(commitment.digest());
        if let Some(named) = &self.named
            && self.agreed.is_none()
        {
            let root = (named.height, named.digest());
            if block.header.committed_roots().any(|one| one == root) {
                self.agreed = Some((block.header, block.certificate));
            }
        }
        if self.named.is_none() && self.manifest.is_some() {
            assert_eq!(commitment.snapshot, self.reference());
            self.named = Some(commitment);
        }
    }

    fn reference(&self) -> Option<SnapshotReference> {
        let manifest = self.manifest.as_ref()?;
        Some(SnapshotReference {
            height: manifest.height,
            digest: manifest.digest(),
        })
    }

    /// An empty block.
    pub fn step(&mut self) -> Took {
        let block = self.give(&[], &[]);
        self.hear(block)
    }

    /// The height of the newest block.
    pub const fn height(&self) -> u64 {
        self.play.chain.head.height
    }

    /// Empty blocks until the next one is the last of its epoch.
    pub fn before_the_end(&mut self) {
        while self.height() + 1 < self.play.chain.definition.last_height {
            self.step();
        }
    }

    /// Ends the module and waits until its memory is free again.
    pub fn end(self) -> Network {
        let Self {
            play, mut module, ..
        } = self;
        module.socket.shutdown(std::net::Shutdown::Both).unwrap();
        module.process.wait().unwrap();
        play.network
    }

    /// The offer of the snapshot, once the network has agreed on it.
    pub fn offer(&self) -> Option<SnapshotOffer> {
        let (header, certificate) = self.agreed.clone()?;
        let certificate = FinalityCertificate::decode(&certificate).ok()?;
        Some(SnapshotOffer {
            manifest: self.manifest.as_ref()?.encode(),
            commitment: self.named.clone()?,
            // The committee never changes here, so that no other header is needed.
            proof: FinalityProof::new(Vec::new(), vec![header], certificate).encode(),
        })
    }
}

/// The memory that a module has now, and the most that it ever had.
pub fn memory(module: &Module) -> String {
    let status = module.proc("status");
    let megabytes = |name| {
        let kilobytes = field(&status, name);
        let kilobytes = kilobytes.split(' ').next().unwrap_or_default();
        kilobytes.parse::<u64>().unwrap_or_default() / 1000
    };
    format!(
        "{} MB, at most {} MB",
        megabytes("VmRSS"),
        megabytes("VmHWM")
    )
}

/// How a restart went.
pub struct Restart {
    /// From the start of the process until it was ready to hear of a network.
    pub ready: Duration,
    /// From there until it had been given every piece.
    pub given: Duration,
    /// From there until it could execute the next block.
    pub rebuilt: Duration,
    pub memory: String,
}

/// Starts a new process from a snapshot whose pieces lie in a folder.
pub fn restart(network: &Network, offer: SnapshotOffer, folder: &Path) -> Restart {
    let pieces = SnapshotManifest::decode(&offer.manifest).unwrap();
    let (pieces, height) = (pieces.pieces().count(), pieces.height);
    let start = Instant::now();
    let mut module = Module::start(network);
    module.socket.set_read_timeout(None).unwrap();
    let ready = start.elapsed();
    module.say(&ToModule::Start {
        genesis: network.genesis.encode(),
        offer: Some(offer),
        roots: Vec::new(),
    });
    for index in 0..pieces {
        let sealed = fs::read(folder.join(index.to_string())).unwrap();
        module.say(&ToModule::SnapshotPiece { sealed });
    }
    let given = start.elapsed();
    match module.hear() {
        FromModule::Started { height: at, .. } => assert_eq!(at, height),
        FromModule::Refused { reason } => panic!("{reason}"),
        _ => panic!("not started"),
    }
    Restart {
        ready,
        given: given - ready,
        rebuilt: start.elapsed() - given,
        memory: memory(&module),
    }
}
