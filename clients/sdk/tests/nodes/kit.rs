//! Nodes that answer what a test tells them, over real TLS, and the module behind them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ed25519_zebra::{SigningKey as VoteKey, VerificationKey};
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::tls::{Peers, server_config};
use sealbook_identity::{Revocations, Role, pem};
use sealbook_ledger::{
    Genesis, GovernanceRules, OpeningEpoch, Parameters, Recovery, ValidatorSeat,
};
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::hash;
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::client::{Request, RequestBody, Response, ResponseBody};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX};
use sealbook_protocol::payload::{Signed, Submission};
use sealbook_sdk::{Client, Identity, Network, NodeAddress};
use sealbook_sealing::{Envelope, Purpose};

/// What a node answers.
pub type Answers = Arc<dyn Fn(RequestBody) -> ResponseBody + Send + Sync>;

/// A network whose nodes are threads of the test.
pub struct Kit {
    authority: Authority,
    _folder: tempfile::TempDir,
    pub genesis: Genesis,
    pub votes: Vec<VoteKey>,
    pub module: Arc<OpeningKey>,
    tls: Arc<ServerConfig>,
    nodes: Vec<NodeAddress>,
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}

fn certified(
    authority: &Authority,
    name: &str,
    role: Role,
    seed: &Secret32,
) -> Vec<CertificateDer<'static>> {
    let request = certificate_request(name, "Test", role, None, "sample", seed).unwrap();
    let validity = (now_ms() - 60_000, now_ms() + 3_600_000);
    pem::chain_from_pem(&authority.approve(&request, validity).unwrap()).unwrap()
}

impl Kit {
    /// A network without nodes.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("ca"), "sample", now_ms()).unwrap();
        let mut votes: Vec<VoteKey> = (0..4_u64)
            .map(|place| VoteKey::from(hash("vote key", &[&place.to_le_bytes()]).0))
            .collect();
        votes.sort_unstable_by_key(|key| <[u8; 32]>::from(VerificationKey::from(key)));
        let seat = |(place, key): (usize, &VoteKey)| ValidatorSeat {
            name: format!("node-{place}"),
            vote_key: VerifyingKey(VerificationKey::from(key).into()),
            module_key: vec![1; 37],
            address: format!("127.0.0.1:{}", 4_000 + place),
        };
        let module = OpeningKey::from_secret(&Secret32::new([3; 32]));
        let genesis = Genesis {
            version: Genesis::VERSION,
            network_name: "sample".to_owned(),
            created_ms: now_ms(),
            certificate_roots: vec![authority.root().to_vec()],
            validators: votes.iter().enumerate().map(seat).collect(),
            observers: Vec::new(),
            opening_epochs: vec![OpeningEpoch {
                key_epoch: 0,
                public_key: borsh::to_vec(&module.public_key()).unwrap(),
            }],
            audit_recipients: Vec::new(),
            admins: vec![vec![vec![1]]],
            policy_schema: String::new(),
            policies: Vec::new(),
            parameters: Parameters::default(),
            governance: GovernanceRules::default(),
            recovery: Recovery::default(),
            share_commitments: Vec::new(),
            module_measurements: Vec::new(),
        };
        let seed = Secret32::random();
        let chain = certified(&authority, "node-0", Role::Node, &seed);
        let alpn = [b"sealbook-client/", genesis.namespace().as_slice()].concat();
        let roots = [authority.root().clone()];
        let (peers, none) = (Peers::Any, Revocations::none());
        let tls = server_config(&chain, &seed, &roots, &none, "sample", &alpn, peers).unwrap();
        Self {
            authority,
            _folder: folder,
            genesis,
            votes,
            module: Arc::new(module),
            tls,
            nodes: Vec::new(),
        }
    }

    fn add(&mut self, address: SocketAddr) {
        self.nodes.push(NodeAddress {
            name: format!("node-{}", self.nodes.len()),
            address,
            observer: self.nodes.len() % 2 == 1,
        });
    }

    /// A node that answers so. It ends with the test's process.
    pub fn node(&mut self, answers: Answers) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.add(listener.local_addr().unwrap());
        let tls = Arc::clone(&self.tls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, answers) = (Arc::clone(&tls), Arc::clone(&answers));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, &tls, &answers));
            }
        });
    }

    /// A node that is in the list and not there any more.
    pub fn gone(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.add(listener.local_addr().unwrap());
    }

    /// A member's key and certificates, always the same for a name within one network.
    pub fn identity(&self, name: &str) -> Identity {
        let seed = Secret32::new(hash("member", &[name.as_bytes()]).0);
        let chain = certified(&self.authority, name, Role::Firm, &seed);
        Identity::new(&seed, chain).unwrap()
    }

    /// A member's client.
    pub fn client(&self, name: &str) -> Client {
        let network = Network::new(self.genesis.clone(), self.nodes.clone()).unwrap();
        Client::new(Arc::new(network), self.identity(name), 0).unwrap()
    }

    /// What is sealed inside an encoded transaction.
    pub fn opened(&self, transaction: &[u8]) -> Submission {
        open(&self.module, transaction)
    }
}

/// What is sealed inside an encoded transaction.
pub fn open(module: &OpeningKey, transaction: &[u8]) -> Submission {
    let envelope = Envelope::decode(transaction, transaction.len()).unwrap();
    let plaintext = module.open(&envelope, Purpose::Transaction).unwrap();
    let signed: Signed = borsh::from_slice(plaintext.expose()).unwrap();
    borsh::from_slice(&signed.body).unwrap()
}

fn serve(stream: TcpStream, tls: &Arc<ServerConfig>, answers: &Answers) {
    let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    while let Ok(request) = frame::read::<Request>(&mut stream, CLIENT_FRAME_MAX) {
        let response = Response {
            number: request.number,
            body: answers(request.body),
        };
        if frame::write(&mut stream, &response, CLIENT_FRAME_MAX).is_err() {
            return;
        }
    }
}

/// A list that answers can write to.
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Seen<T> {
    pub fn push(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}
