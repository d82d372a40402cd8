//! Application messages between nodes: best effort, bounded, several to a frame.
//!
//! ```text
//! frame = version u8 | { length u32 big-endian | message }*
//! ```
//!
//! A frame goes out as soon as there is a message and none was sent just before; whatever comes meanwhile shares the
//! next one, so that many small messages stay within a peer's quota.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_cryptography::ed25519;
use commonware_p2p::{Receiver as PeerReceiver, Recipients, Sender as PeerSender};
use commonware_runtime::Clock;
use futures::StreamExt as _;
use futures::channel::mpsc;

use crate::application::Application;
use crate::committee::key_bytes;
use crate::status::Counters;

const FRAME_VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;
/// Least time between two frames; with it, a peer's quota of 256 a second is never used up.
const FRAME_INTERVAL: Duration = Duration::from_millis(5);

/// The largest frame for messages of at most `message_bytes_max`.
pub(crate) const fn frame_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_add(1 + LENGTH_BYTES)
}

/// A message with who sent it.
pub(crate) type Incoming = ([u8; 32], Bytes);

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

/// Sends what comes out of `queue` to `recipients`, for ever.
pub(crate) async fn send(
    clock: impl Clock,
    mut queue: mpsc::Receiver<Bytes>,
    mut sender: impl PeerSender<PublicKey = ed25519::PublicKey>,
    recipients: Vec<ed25519::PublicKey>,
    message_bytes_max: usize,
) {
    let limit = frame_bytes_max(message_bytes_max);
    let mut next = queue.next().await;
    while let Some(first) = next.take() {
        let mut frame = BytesMut::with_capacity(first.len().saturating_add(1 + LENGTH_BYTES));
        frame.put_u8(FRAME_VERSION);
        push(&mut frame, &first);
        let mut closed = false;
        loop {
            match queue.try_recv() {
                Ok(message) if frame.len() + LENGTH_BYTES + message.len() <= limit => {
                    push(&mut frame, &message);
                }
                Ok(message) => {
                    next = Some(message);
                    break;
                }
                Err(error) => {
                    closed = error.is_closed();
                    break;
                }
            }
        }
        // Unsent to peers that are away; the application sends again what matters.
        let _ = sender.send(Recipients::Some(recipients.clone()), frame.freeze(), false);
        if closed {
            return;
        }
        clock.sleep(FRAME_INTERVAL).await;
        if next.is_none() {
            next = queue.next().await;
        }
    }
}

/// Takes frames from peers apart and puts their messages into `queue`; what does not fit is dropped and counted.
pub(crate) async fn receive(
    mut receiver: impl PeerReceiver<PublicKey = ed25519::PublicKey>,
    queue: SyncSender<Incoming>,
    counters: Arc<Counters>,
) {
    while let Ok((from, frame)) = receiver.recv().await {
        let from = key_bytes(&from);
        let Some(messages) = split(&Bytes::copy_from_slice(frame.as_ref())) else {
            tracing::debug!("a peer sent a message that is no frame");
            continue;
        };
        for message in messages {
            if queue.try_send((from, message)).is_err() {
                counters.dropped_messages.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Hands messages to the application until the engine is gone.
pub(crate) fn deliver(queue: &Receiver<Incoming>, application: &dyn Application) {
    while let Ok((from, message)) = queue.recv() {
        application.message(from, message);
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
}
