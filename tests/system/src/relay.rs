//! A relay between nodes: every link goes through it, and a test decides what each direction of each link is like.
//!
//! ```text
//! node A --dials--> listener of A for B --[ A to B ]--> node B
//!                                       <-[ B to A ]---
//! ```
//!
//! Each node gets a view of its own of where the others listen, so that the relay knows who dials whom. Nothing is ever
//! dropped from the middle of a connection, as TCP would not either: what a cut link holds back is delivered after it
//! heals, or never if an end gives up before.
//!
//! Delays are those of timers with a resolution of a millisecond, so a link is up to a millisecond slower than asked for.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::configuration;
use crate::namespaces;
use crate::random::Random;

/// Bytes that are taken from a sender at once.
const PIECE: usize = 16 * 1024;
/// Pieces that may be on their way in one direction: 8 MiB, as much as a long fast line would hold.
const ON_THE_WAY: usize = 512;
/// How long a sent piece stands still that was "lost": about what TCP takes to send it again.
const STALL: Duration = Duration::from_millis(200);

/// What one direction of a link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// How long every byte takes, one way.
    pub delay: Duration,
    /// How much longer a piece may take, at random; order is kept.
    pub jitter: Duration,
    /// Of a thousand pieces, how many stand still for a while as if they had to be sent again.
    pub stalls_per_mille: u64,
    /// Bytes a second; unlimited if zero.
    pub bandwidth: u64,
    /// Nothing passes.
    pub cut: bool,
}

impl Line {
    /// A line whose only fault is its length.
    #[must_use]
    pub fn delayed(milliseconds: u64) -> Self {
        Self {
            delay: Duration::from_millis(milliseconds),
            ..Self::default()
        }
    }
}

type Direction = (String, String);

struct Shared {
    lines: BTreeMap<Direction, watch::Sender<Line>>,
    passed: Mutex<BTreeMap<Direction, Arc<AtomicU64>>>,
}

/// The relay of a network. Dropping it closes every link.
pub struct Relay {
    nodes: Vec<String>,
    shared: Arc<Shared>,
    /// Dropping these stops the threads.
    stops: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Puts a relay between all nodes of the network in `folder`, whose nodes do not run: changes each `node.toml`.
    ///
    /// # Panics
    /// A configuration cannot be read or written, or a port cannot be had.
    #[must_use]
    pub fn between(folder: &Path) -> Self {
        Self::in_namespaces(folder, &BTreeMap::new())
    }

    /// The same, where some nodes live in network namespaces: what a node dials is then in its own.
    ///
    /// # Panics
    /// As [`Relay::between`], or if a namespace cannot be entered.
    #[must_use]
    pub fn in_namespaces(folder: &Path, namespaces: &BTreeMap<String, PathBuf>) -> Self {
        let mut places: BTreeMap<String, SocketAddr> = BTreeMap::new();
        for name in configuration::node_names(folder) {
            let address = configuration::ordering_address(folder, &name);
            places.insert(name, address);
        }
        let nodes: Vec<String> = places.keys().cloned().collect();
        let mut lines = BTreeMap::new();
        for from in &nodes {
            for to in nodes.iter().filter(|to| *to != from) {
                lines.insert(
                    (from.clone(), to.clone()),
                    watch::channel(Line::default()).0,
                );
            }
        }
        let shared = Arc::new(Shared {
            lines,
            passed: Mutex::default(),
        });
        let (mut stops, mut threads) = (Vec::new(), Vec::new());
        for dialler in &nodes {
            let others: Vec<(String, SocketAddr)> = places
                .iter()
                .filter(|(name, _)| *name != dialler)
                .map(|(name, address)| (name.clone(), *address))
                .collect();
            let (stop, stopped) = oneshot::channel();
            let (addresses, ready) = mpsc::channel();
            let (name, shared) = (dialler.clone(), Arc::clone(&shared));
            let namespace = namespaces.get(dialler).cloned();
            let thread = std::thread::spawn(move || {
                // A thread's sockets belong to the namespace that it is in when it opens them.
                if let Some(namespace) = namespace {
                    namespaces::enter(&namespace);
                }
                serve(&name, others, &shared, &addresses, stopped);
            });
            let views: BTreeMap<String, SocketAddr> = ready.recv().unwrap();
            configuration::set_peer_addresses(folder, dialler, &views);
            stops.push(stop);
            threads.push(thread);
        }
        Self {
            nodes,
            shared,
            stops,
            threads,
        }
    }

    fn change(&self, from: &str, to: &str, change: impl FnOnce(&mut Line)) {
        self.shared.lines[&(from.to_owned(), to.to_owned())].send_modify(change);
    }

    /// Sets what one direction is like; what is on its way keeps the delay it had.
    ///
    /// # Panics
    /// There is no such link.
    pub fn set(&self, from: &str, to: &str, line: Line) {
        self.change(from, to, |present| *present = line);
    }

    /// Sets what all directions are like.
    pub fn everywhere(&self, line: Line) {
        for direction in self.shared.lines.values() {
            direction.send_modify(|present| *present = line);
        }
    }

    /// Lets nothing pass from any of these nodes to any of those; the other way stays as it is.
    ///
    /// # Panics
    /// There is no such link.
    pub fn cut_one_way<A: AsRef<str>, B: AsRef<str>>(&self, from: &[A], to: &[B]) {
        for from in from {
            for to in to.iter().filter(|to| to.as_ref() != from.as_ref()) {
                self.change(from.as_ref(), to.as_ref(), |line| line.cut = true);
            }
        }
    }

    /// Cuts these nodes off from all others; among themselves they still hear each other.
    ///
    /// # Panics
    /// There is no such link.
    pub fn cut_off<A: AsRef<str>>(&self, group: &[A]) {
        let group: Vec<&str> = group.iter().map(AsRef::as_ref).collect();
        let others: Vec<&str> = self
            .nodes
            .iter()
            .map(String::as_str)
            .filter(|name| !group.contains(name))
            .collect();
        self.cut_one_way(&group, &others);
        self.cut_one_way(&others, &group);
    }

    /// Mends every cut; the other qualities of the lines stay.
    pub fn heal(&self) {
        for direction in self.shared.lines.values() {
            direction.send_modify(|line| line.cut = false);
        }
    }

    /// How many bytes have arrived in one direction.
    ///
    /// # Panics
    /// A thread of the relay panicked.
    #[must_use]
    pub fn passed(&self, from: &str, to: &str) -> u64 {
        let passed = self.shared.passed.lock().unwrap();
        let direction = (from.to_owned(), to.to_owned());
        passed
            .get(&direction)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Serves what one node dials, on a runtime of its own, until told to stop.
fn serve(
    dialler: &str,
    others: Vec<(String, SocketAddr)>,
    shared: &Arc<Shared>,
    ready: &mpsc::Sender<BTreeMap<String, SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut views = BTreeMap::new();
        for (name, target) in others {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            views.insert(name.clone(), listener.local_addr().unwrap());
            let there = End::new(shared, dialler, &name);
            let back = End::new(shared, &name, dialler);
            tokio::spawn(accept(listener, target, there, back));
        }
        ready.send(views).unwrap();
        let _ = stopped.await;
    });
}

/// One direction, as the pump of a connection sees it.
#[derive(Clone)]
struct End {
    line: watch::Receiver<Line>,
    passed: Arc<AtomicU64>,
}

impl End {
    fn new(shared: &Shared, from: &str, to: &str) -> Self {
        let direction = (from.to_owned(), to.to_owned());
        let line = shared.lines[&direction].subscribe();
        let mut passed = shared.passed.lock().unwrap();
        let passed = Arc::clone(passed.entry(direction).or_default());
        Self { line, passed }
    }

    fn now(&self) -> Line {
        *self.line.borrow()
    }

    /// Waits while the line is cut.
    async fn whole(&mut self) {
        // It fails when the relay goes, and then the runtime ends this task too.
        let _ = self.line.wait_for(|line| !line.cut).await;
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, there: End, back: End) {
    let mut seed = 0;
    while let Ok((near, _)) = listener.accept().await {
        seed += 1;
        let (mut there, mut back) = (there.clone(), back.clone());
        tokio::spawn(async move {
            // A connection needs both directions.
            there.whole().await;
            back.whole().await;
            let round_trip = there.now().delay + back.now().delay;
            tokio::time::sleep(round_trip).await;
            let Ok(far) = TcpStream::connect(target).await else {
                return;
            };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            // When one direction ends, so does the connection: nodes do not use half-closed ones.
            tokio::select! {
                () = pump(near_in, far_out, there, seed * 2) => {}
                () = pump(far_in, near_out, back, seed * 2 + 1) => {}
            }
        });
    }
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

async fn pump(from: OwnedReadHalf, to: OwnedWriteHalf, end: End, seed: u64) {
    let (sender, receiver) = tokio::sync::mpsc::channel(ON_THE_WAY);
    let taking = take(from, end.clone(), sender, seed);
    let giving = give(to, end, receiver);
    // The reader may end first; what is on its way still arrives.
    let _ = tokio::join!(taking, giving);
}

async fn take(
    mut from: OwnedReadHalf,
    end: End,
    pieces: tokio::sync::mpsc::Sender<Piece>,
    seed: u64,
) -> io::Result<()> {
    let mut random = Random::new(seed);
    let (mut last, mut sent) = (Instant::now(), Instant::now());
    loop {
        let mut bytes = vec![0; PIECE];
        // A sender that cannot go on is noticed here, and `give` ends as well when this one returns.
        let count = tokio::select! {
            count = from.read(&mut bytes) => count?,
            () = pieces.closed() => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        bytes.truncate(count);
        let line = end.now();
        sent = sent.max(Instant::now());
        if line.bandwidth > 0 {
            sent += Duration::from_secs_f64(count as f64 / line.bandwidth as f64);
        }
        let mut due = sent + line.delay;
        if !line.jitter.is_zero() {
            let most = u64::try_from(line.jitter.as_micros()).unwrap_or(u64::MAX);
            due += Duration::from_micros(random.below(most.max(1)));
        }
        if random.below(1000) < line.stalls_per_mille {
            due += STALL;
        }
        // Bytes never overtake each other.
        last = last.max(due);
        if pieces.send(Piece { due: last, bytes }).await.is_err() {
            return Ok(());
        }
    }
}

async fn give(
    mut to: OwnedWriteHalf,
    mut end: End,
    mut pieces: tokio::sync::mpsc::Receiver<Piece>,
) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        tokio::time::sleep_until(piece.due).await;
        end.whole().await;
        to.write_all(&piece.bytes).await?;
        let count = piece.bytes.len() as u64;
        end.passed.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// A relay between two "nodes" that are plain listeners.
    fn two() -> (tempfile::TempDir, Relay, std::net::TcpListener, SocketAddr) {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for name in ["node-1", "node-2"] {
            let text = format!(
                "name = \"{name}\"\nordering_listen = \"{address}\"\nclient_listen = \"{address}\"\n\
                 [[peers]]\nname = \"node-1\"\naddress = \"{address}\"\n\
                 [[peers]]\nname = \"node-2\"\naddress = \"{address}\"\n"
            );
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("node.toml"), text).unwrap();
        }
        let relay = Relay::between(folder.path());
        let seen = configuration::peer_addresses(folder.path(), "node-1")["node-2"];
        assert_ne!(seen, address);
        (folder, relay, listener, seen)
    }

    #[test]
    fn bytes_arrive_whole_in_order_and_late() {
        let (_folder, relay, listener, seen) = two();
        let line = Line {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(20),
            stalls_per_mille: 100,
            bandwidth: 4_000_000,
            cut: false,
        };
        relay.everywhere(line);
        let started = std::time::Instant::now();
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut near = std::net::TcpStream::connect(seen).unwrap();
        let copy = sent.clone();
        let writer = std::thread::spawn(move || {
            near.write_all(&copy).unwrap();
            near
        });
        let (mut far, _) = listener.accept().unwrap();
        let mut heard = vec![0; sent.len()];
        far.read_exact(&mut heard).unwrap();
        assert!(sent == heard);
        // A lower bound holds on any machine: 1.2 MB at 4 MB/s.
        assert!(started.elapsed() > Duration::from_millis(300));
        // What was read may not be counted yet.
        crate::network::wait_for("all bytes to be counted", || {
            (relay.passed("node-1", "node-2") == sent.len() as u64).then_some(())
        });
        drop(writer.join().unwrap());
        assert_eq!(far.read(&mut heard).unwrap(), 0, "the end is passed on");
    }

    #[test]
    fn a_cut_holds_back_one_way_until_it_heals() {
        let (_folder, relay, listener, seen) = two();
        let mut near = std::net::TcpStream::connect(seen).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        relay.cut_one_way(&["node-1"], &["node-2"]);
        near.write_all(b"there").unwrap();
        far.write_all(b"back").unwrap();
        let mut heard = [0; 4];
        near.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"back");
        assert_eq!(relay.passed("node-1", "node-2"), 0);
        relay.heal();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"there");
    }
}
