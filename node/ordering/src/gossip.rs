//! Application messages between nodes: best effort, bounded, several to a frame.
//!
//! ```text
//! frame = version u8 | { length u32 big-endian | message }*
//! ```
//!
//! A frame goes out as soon as there is a message and none was sent just before; whatever comes
//! meanwhile shares the next one, so that many small messages stay within a peer's quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_cryptography::ed25519;
use commonware_p2p::{Receiver as PeerReceiver, Recipients, Sender as PeerSender};
use commonware_runtime::Clock;
use commonware_utils::channel::mpsc;

use crate::application::{Application, MESSAGES_AT_ONCE};
use crate::committee::key_bytes;
use crate::status::Counters;

const FRAME_VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;
/// Least time between two frames; with it, a peer's quota of 256 a second is never used up.
const FRAME_INTERVAL: Duration = Duration::from_millis(5);

/// Bytes that wait in either queue at most.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest frame for messages of at most `message_bytes_max`.
pub(crate) const fn frame_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_add(1 + LENGTH_BYTES)
}

/// A budget of bytes that wait in a queue.
#[derive(Debug)]
struct Budget {
    waiting: AtomicUsize,
    max: usize,
}

impl Budget {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            max,
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Puts messages into the queue to peers.
pub(crate) struct OutgoingSender {
    queue: mpsc::Sender<Bytes>,
    budget: Arc<Budget>,
}

impl OutgoingSender {
    /// False if the message does not fit the queue.
    pub(crate) fn try_send(&self, message: Bytes) -> bool {
        let size = message.len();
        if !self.budget.take(size) {
            return false;
        }
        let sent = self.queue.try_send(message).is_ok();
        if !sent {
            self.budget.give_back(size);
        }
        sent
    }
}

/// Messages to peers.
pub(crate) struct Outgoing {
    queue: mpsc::Receiver<Bytes>,
    budget: Arc<Budget>,
}

impl Outgoing {
    async fn next(&mut self) -> Option<Bytes> {
        let message = self.queue.recv().await?;
        self.budget.give_back(message.len());
        Some(message)
    }

    /// The next message if it is there already.
    fn try_next(&mut self) -> Option<Bytes> {
        let message = self.queue.try_recv().ok()?;
        self.budget.give_back(message.len());
        Some(message)
    }
}

/// A queue of at most `messages_max` messages to peers.
pub(crate) fn outgoing(messages_max: usize) -> (OutgoingSender, Outgoing) {
    let (sender, receiver) = mpsc::channel(messages_max);
    let budget = Budget::new(WAITING_BYTES_MAX);
    let sender = OutgoingSender {
        queue: sender,
        budget: budget.clone(),
    };
    (
        sender,
        Outgoing {
            queue: receiver,
            budget,
        },
    )
}

/// A message with who sent it.
type Incoming = ([u8; 32], Bytes);

/// Puts messages into the queue to the application.
pub(crate) struct IncomingSender {
    queue: mpsc::Sender<Incoming>,
    budget: Arc<Budget>,
}

/// Messages to the application.
pub(crate) struct IncomingQueue {
    queue: mpsc::Receiver<Incoming>,
    budget: Arc<Budget>,
}

/// A queue of at most `messages_max` messages to the application.
pub(crate) fn incoming(messages_max: usize) -> (IncomingSender, IncomingQueue) {
    let (sender, receiver) = mpsc::channel(messages_max);
    let budget = Budget::new(WAITING_BYTES_MAX);
    let sender = IncomingSender {
        queue: sender,
        budget: budget.clone(),
    };
    (
        sender,
        IncomingQueue {
            queue: receiver,
            budget,
        },
    )
}

impl IncomingSender {
    fn try_send(&self, from: [u8; 32], message: Bytes) -> bool {
        let size = message.len();
        if !self.budget.take(size) {
            return false;
        }
        let sent = self.queue.try_send((from, message)).is_ok();
        if !sent {
            self.budget.give_back(size);
        }
        sent
    }
}

fn push(frame: &mut BytesMut, message: &[u8]) {
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
}

/// The messages in a frame. `None` if it is not one.
fn split(frame: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = match frame.first() {
        Some(&FRAME_VERSION) => frame.slice(1..),
        _ => return None,
    };
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk::<LENGTH_BYTES>()?);
        let length = usize::try_from(length).ok()?;
        let mut body = rest.split_off(LENGTH_BYTES);
        if body.len() < length {
            return None;
        }
        rest = body.split_off(length);
        messages.push(body);
    }
    Some(messages)
}

/// Sends what comes out of `outgoing` to those who are `recipients` by then, for ever.
pub(crate) async fn send(
    clock: impl Clock,
    mut outgoing: Outgoing,
    mut sender: impl PeerSender<PublicKey = ed25519::PublicKey>,
    recipients: impl Fn() -> Vec<ed25519::PublicKey> + Send,
    message_bytes_max: usize,
) {
    let limit = frame_bytes_max(message_bytes_max);
    let mut left_over = None;
    loop {
        let waiting = left_over.take();
        let Some(first) = (if waiting.is_some() {
            waiting
        } else {
            outgoing.next().await
        }) else {
            return;
        };
        let mut frame = BytesMut::with_capacity(frame_bytes_max(first.len()));
        frame.put_u8(FRAME_VERSION);
        push(&mut frame, &first);
        while let Some(message) = outgoing.try_next() {
            let size = frame
                .len()
                .saturating_add(LENGTH_BYTES)
                .saturating_add(message.len());
            if size > limit {
                left_over = Some(message);
                break;
            }
            push(&mut frame, &message);
        }
        // Peers that are away do not get it; the application sends again what matters.
        let _ = sender.send(Recipients::Some(recipients()), frame.freeze(), false);
        clock.sleep(FRAME_INTERVAL).await;
    }
}

/// Takes frames from peers apart and queues their messages; what does not fit is dropped and
/// counted.
pub(crate) async fn receive(
    mut receiver: impl PeerReceiver<PublicKey = ed25519::PublicKey>,
    incoming: IncomingSender,
    counters: Arc<Counters>,
) {
    while let Ok((from, frame)) = receiver.recv().await {
        let from = key_bytes(&from);
        let Some(messages) = split(&Bytes::copy_from_slice(frame.as_ref())) else {
            tracing::debug!("a peer sent a message that is no frame");
            continue;
        };
        for message in messages {
            if !incoming.try_send(from, message) {
                counters.dropped_messages.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Hands messages to the application until the engine is gone.
pub(crate) async fn deliver(mut incoming: IncomingQueue, application: Arc<dyn Application>) {
    let mut messages = Vec::new();
    while incoming
        .queue
        .recv_many(&mut messages, MESSAGES_AT_ONCE)
        .await
        > 0
    {
        for (_, message) in &messages {
            incoming.budget.give_back(message.len());
        }
        application.messages(std::mem::take(&mut messages));
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_made() {
        let mut frame = BytesMut::new();
        frame.put_u8(FRAME_VERSION);
        for message in [&b"one"[..], b"", b"three"] {
            push(&mut frame, message);
        }
        let frame = frame.freeze();
        assert_eq!(split(&frame).unwrap(), [&b"one"[..], b"", b"three"]);
        assert_eq!(split(&frame.slice(..frame.len() - 1)), None);
        assert_eq!(split(&Bytes::from_static(&[FRAME_VERSION, 0, 0])), None);
        assert_eq!(
            split(&Bytes::from_static(&[
                FRAME_VERSION,
                0xff,
                0xff,
                0xff,
                0xff
            ])),
            None
        );
        assert_eq!(split(&Bytes::from_static(&[9])), None);
        assert_eq!(split(&Bytes::new()), None);
        assert!(
            split(&Bytes::from_static(&[FRAME_VERSION]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn queues_are_bounded_in_bytes_and_messages() {
        let (sender, mut queue) = outgoing(3);
        let half = Bytes::from(vec![0; WAITING_BYTES_MAX / 2]);
        assert!(sender.try_send(half.clone()));
        assert!(sender.try_send(half.clone()));
        assert!(!sender.try_send(Bytes::from_static(b"x")));
        assert!(queue.try_next().is_some());
        assert!(sender.try_send(Bytes::from_static(b"x")));
        assert!(!sender.try_send(half));
        while queue.try_next().is_some() {}
        assert_eq!(queue.budget.waiting.load(Ordering::Relaxed), 0);
        let (sender, queue) = incoming(2);
        let sent = (0..4)
            .filter(|_| sender.try_send([0; 32], Bytes::from_static(b"x")))
            .count();
        assert_eq!(sent, 2);
        assert_eq!(queue.budget.waiting.load(Ordering::Relaxed), 2);
    }
}
