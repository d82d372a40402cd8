//! A member that sends a node more than its share: many requests at a time, without waiting for what comes of them.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::{ClientConnection, StreamOwned};
use sealbook_identity::{Revocations, files, tls};
use sealbook_ledger::Genesis;
use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::{Request, RequestBody, Response, ResponseBody};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX};

use crate::network::wait_for;
use crate::{TestNetwork, configuration};

/// Requests that are sent before the answers to them are read.
const AT_ONCE: usize = 32;

/// A connection to one node, under a member's certificate.
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    number: u64,
}

impl TestNetwork {
    /// Connects to a node as a member does.
    ///
    /// # Panics
    /// The node does not answer.
    #[must_use]
    pub fn wire(&self, member: &str, node: &str) -> Wire {
        let genesis = Genesis::decode(&std::fs::read(self.folder().join("genesis")).unwrap());
        let genesis = genesis.unwrap();
        let folder = self.folder().join("members").join(member);
        let seed = files::read_private_key(&folder.join("key.pem")).unwrap();
        let chain = files::read_chain(&folder.join("chain.pem")).unwrap();
        let roots = genesis.certificate_roots.iter().cloned().map(Into::into);
        let roots: Vec<_> = roots.collect();
        let protocol = [b"sealbook-client/", genesis.namespace().as_slice()].concat();
        let (name, none) = (&genesis.network_name, Revocations::none());
        let config =
            tls::client_config(&chain, &seed, &roots, &none, name, &protocol, None).unwrap();
        let address = configuration::client_address(self.folder(), node);
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let session = ClientConnection::new(config, tls::server_name()).unwrap();
        Wire {
            stream: StreamOwned::new(session, socket),
            number: 0,
        }
    }
}

impl Wire {
    /// Sends all these requests, and then reads the answers, in the order of the requests.
    ///
    /// # Panics
    /// The connection broke.
    pub fn ask_all(&mut self, bodies: Vec<RequestBody>) -> Vec<ResponseBody> {
        let first = self.number;
        let count = bodies.len();
        for body in bodies {
            let number = self.number;
            self.number += 1;
            let request = Request { number, body };
            frame::write(&mut self.stream, &request, CLIENT_FRAME_MAX).unwrap();
        }
        let mut answers = BTreeMap::new();
        while answers.len() < count {
            let response: Response = frame::read(&mut self.stream, CLIENT_FRAME_MAX).unwrap();
            assert!((first..self.number).contains(&response.number));
            answers.insert(response.number, response.body);
        }
        answers.into_values().collect()
    }
}

impl Wire {
    /// Sends one request; nothing if the connection is closed.
    pub fn try_ask(&mut self, body: RequestBody) -> Option<ResponseBody> {
        let number = self.number;
        self.number += 1;
        let request = Request { number, body };
        frame::write(&mut self.stream, &request, CLIENT_FRAME_MAX).ok()?;
        let response: Response = frame::read(&mut self.stream, CLIENT_FRAME_MAX).ok()?;
        Some(response.body)
    }
}

/// What a flooding member knows of its flood.
#[derive(Debug, Default)]
pub struct Sent {
    /// What the node took, in order.
    pub accepted: Vec<Digest>,
    /// What it said when it took no more.
    pub busy: Vec<String>,
}

/// A flood that lasts until it is ended.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<Mutex<Sent>>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Sends what `next` makes, and sends again what the node did not take.
    #[must_use]
    pub fn begin(
        mut wire: Wire,
        mut next: impl FnMut() -> (Digest, RequestBody) + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(Mutex::new(Sent::default()));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut again: Vec<(Digest, RequestBody)> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let mut batch = std::mem::take(&mut again);
                while batch.len() < AT_ONCE {
                    batch.push(next());
                }
                let answers = wire.ask_all(batch.iter().map(|one| one.1.clone()).collect());
                let mut sent = noted.lock().unwrap();
                for (one, answer) in batch.into_iter().zip(answers) {
                    match answer {
                        ResponseBody::Accepted => sent.accepted.push(one.0),
                        ResponseBody::Busy(text) => {
                            sent.busy.push(text);
                            again.push(one);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                drop(sent);
                // Whoever is told to wait has nothing to gain from a busy loop, and the node's machine is this one.
                if !again.is_empty() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        });
        Self { stop, sent, thread }
    }

    /// How many the node took so far.
    ///
    /// # Panics
    /// The flood has ended by itself.
    #[must_use]
    pub fn accepted(&self) -> usize {
        assert!(!self.thread.is_finished(), "the flood ended");
        self.sent.lock().unwrap().accepted.len()
    }

    /// Waits until the node tells the member to wait.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_until_busy(&self) {
        wait_for("the node to say that it is enough", || {
            assert!(!self.thread.is_finished(), "the flood ended");
            let sent = self.sent.lock().unwrap();
            (!sent.busy.is_empty()).then_some(())
        });
    }

    /// Ends the flood.
    ///
    /// # Panics
    /// It failed.
    #[must_use]
    pub fn end(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let mut sent = self.sent.lock().unwrap();
        std::mem::take(&mut sent)
    }
}
