//! An established TLS session, as the sender and receiver of whole messages.
//!
//! ```text
//! plaintext stream = { length u32 big-endian | message }*
//! ```
//!
//! Records are read one by one, at most [`RECORD_BYTES_MAX`] each, and messages are at most as long
//! as the engine allows: nothing that a peer sends makes this node allocate more.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, BytesMut};
use commonware_runtime::{IoBuf, IoBufs, Sink, Stream};
use commonware_stream::{Receiver, Sender};
use rustls::Connection;

use crate::link::Watch;

/// The longest TLS 1.3 record: 2^14 bytes and at most 256 for protection (RFC 8446, section 5.2).
const RECORD_BYTES_MAX: usize = 16 * 1024 + 256;
const RECORD_HEADER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;
/// Records of a handshake at most; a chain of four certificates takes fewer than ten.
const HANDSHAKE_RECORDS_MAX: usize = 64;

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Protocol(#[from] sealbook_identity::tls::TlsError),
    #[error("peer's certificate: {0}")]
    Identity(#[from] sealbook_identity::IdentityError),
    #[error("link: {0}")]
    Io(#[from] std::io::Error),
    #[error("link: {0}")]
    Network(#[from] commonware_runtime::Error),
    #[error("the peer has another key than the one dialled")]
    OtherPeer,
    #[error("the peer is not known, or is connected already")]
    Refused,
    #[error("the peer's key is not an Ed25519 key")]
    Key,
    #[error("a message or record is larger than allowed")]
    TooLarge,
    #[error("the handshake has too many records")]
    Handshake,
    #[error("the peer closed the link")]
    Closed,
}

/// How many sessions each peer has; for the status only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    open: Arc<Mutex<BTreeMap<[u8; 32], usize>>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Peers with at least one session.
    pub(crate) fn peers(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn enter(&self, peer: [u8; 32]) -> Presence {
        *self.lock().entry(peer).or_default() += 1;
        Presence {
            sessions: self.clone(),
            peer,
        }
    }
}

/// Counts one session until it is dropped.
pub(crate) struct Presence {
    sessions: Sessions,
    peer: [u8; 32],
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut open = self.sessions.lock();
        if let Some(count) = open.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// Reads one record, header included.
async fn read_record<I: Stream>(stream: &mut I) -> Result<Vec<u8>, LinkError> {
    let header = stream.recv(RECORD_HEADER_BYTES).await?.coalesce();
    let &[_, _, _, high, low] = header.as_ref() else {
        return Err(LinkError::Closed);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > RECORD_BYTES_MAX {
        return Err(LinkError::TooLarge);
    }
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES.saturating_add(length));
    record.extend_from_slice(header.as_ref());
    let body = stream.recv(length).await?;
    body.for_each_chunk(|chunk| record.extend_from_slice(chunk));
    Ok(record)
}

fn feed(connection: &mut Connection, record: &[u8]) -> Result<(), LinkError> {
    let mut cursor = Cursor::new(record);
    while cursor.has_remaining() {
        connection.read_tls(&mut cursor)?;
        connection.process_new_packets()?;
    }
    Ok(())
}

fn drain(connection: &mut Connection) -> Result<Vec<u8>, LinkError> {
    let mut out = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut out)?;
    }
    Ok(out)
}

/// Runs a handshake to its end. It reads nothing beyond the peer's last handshake record.
pub(crate) async fn handshake<I: Stream, O: Sink>(
    connection: &mut Connection,
    stream: &mut I,
    sink: &mut O,
) -> Result<(), LinkError> {
    for _ in 0..HANDSHAKE_RECORDS_MAX {
        let out = drain(connection)?;
        if !out.is_empty() {
            sink.send(IoBuf::from(out)).await?;
        }
        if !connection.is_handshaking() {
            return Ok(());
        }
        let record = read_record(stream).await?;
        if let Err(error) = feed(connection, &record) {
            // The alert tells the peer's operator what to mend; the link ends either way.
            if let Ok(alert) = drain(connection) {
                let _ = sink.send(IoBuf::from(alert)).await;
            }
            return Err(error);
        }
    }
    Err(LinkError::Handshake)
}

type SharedConnection = Arc<Mutex<Connection>>;

fn lock(connection: &SharedConnection) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends messages.
pub(crate) struct TlsSender<O> {
    connection: SharedConnection,
    sink: O,
    message_bytes_max: u32,
    watch: Watch,
    _presence: Presence,
}

/// Receives messages.
pub(crate) struct TlsReceiver<I> {
    connection: SharedConnection,
    stream: I,
    message_bytes_max: u32,
    received: BytesMut,
    watch: Watch,
}

/// Makes the two halves of a session.
pub(crate) fn split<I: Stream, O: Sink>(
    mut connection: Connection,
    (stream, sink): (I, O),
    message_bytes_max: u32,
    (presence, watch): (Presence, Watch),
) -> (TlsSender<O>, TlsReceiver<I>) {
    // Messages are bounded below, and everything written is sent at once.
    connection.set_buffer_limit(None);
    let connection = Arc::new(Mutex::new(connection));
    let sender = TlsSender {
        connection: connection.clone(),
        sink,
        message_bytes_max,
        watch: watch.clone(),
        _presence: presence,
    };
    (
        sender,
        TlsReceiver {
            connection,
            stream,
            message_bytes_max,
            received: BytesMut::new(),
            watch,
        },
    )
}

impl<O: Sink> TlsSender<O> {
    fn seal(&self, messages: &[IoBufs]) -> Result<Vec<u8>, LinkError> {
        let mut connection = lock(&self.connection);
        for message in messages {
            let length = u32::try_from(message.len()).map_err(|_| LinkError::TooLarge)?;
            if length > self.message_bytes_max {
                return Err(LinkError::TooLarge);
            }
            connection.writer().write_all(&length.to_be_bytes())?;
            let mut result = Ok(());
            message.for_each_chunk(|chunk| {
                if result.is_ok() {
                    result = connection.writer().write_all(chunk);
                }
            });
            result?;
        }
        drain(&mut connection)
    }
}

impl<O: Sink> Sender for TlsSender<O> {
    type Error = LinkError;

    async fn send(&mut self, message: impl Into<IoBufs> + Send) -> Result<(), LinkError> {
        self.watch.check()?;
        let out = self.seal(&[message.into()])?;
        Ok(self.sink.send(IoBuf::from(out)).await?)
    }

    async fn send_many<T>(&mut self, messages: T) -> Result<(), LinkError>
    where
        T: IntoIterator + Send,
        T::Item: Into<IoBufs> + Send,
        T::IntoIter: Send,
    {
        self.watch.check()?;
        let messages: Vec<IoBufs> = messages.into_iter().map(Into::into).collect();
        if messages.is_empty() {
            return Ok(());
        }
        let out = self.seal(&messages)?;
        Ok(self.sink.send(IoBuf::from(out)).await?)
    }
}

impl<I: Stream> TlsReceiver<I> {
    /// The next message, if it has arrived whole.
    fn take_message(&mut self) -> Result<Option<IoBufs>, LinkError> {
        let Some(length) = self.received.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        if length > self.message_bytes_max {
            return Err(LinkError::TooLarge);
        }
        let length = usize::try_from(length).map_err(|_| LinkError::TooLarge)?;
        let whole = length.saturating_add(LENGTH_BYTES);
        if self.received.len() < whole {
            let missing = whole.saturating_sub(self.received.len());
            self.received.reserve(missing);
            return Ok(None);
        }
        self.received.advance(LENGTH_BYTES);
        Ok(Some(
            IoBuf::from(self.received.split_to(length).freeze()).into(),
        ))
    }

    /// Decrypts a record into the buffer.
    fn open(&mut self, record: &[u8]) -> Result<(), LinkError> {
        let mut connection = lock(&self.connection);
        feed(&mut connection, record)?;
        let mut plaintext = [0_u8; 16 * 1024];
        loop {
            match connection.reader().read(&mut plaintext) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => {
                    self.received
                        .extend_from_slice(plaintext.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<I: Stream> Receiver for TlsReceiver<I> {
    type Error = LinkError;

    async fn recv(&mut self) -> Result<IoBufs, LinkError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            let record = read_record(&mut self.stream).await?;
            self.watch.check()?;
            self.open(&record)?;
        }
    }
}
