//! One connection to one node: mutual TLS 1.3, framed requests, one at a time or several at once.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sealbook_protocol::client::{Request, RequestBody, Response, ResponseBody};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX, FrameError};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A node that stands still still takes connections; it is given up sooner than one that speaks.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The node cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// TLS failed: a certificate was refused by one side.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The node does not speak this protocol for this network.
    #[error("{0}")]
    Protocol(#[from] sealbook_identity::tls::TlsError),
    /// The connection broke or the node did not speak the protocol.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The answer is to another request.
    #[error("the node answered another request")]
    OutOfTurn,
}

impl ConnectionError {
    /// Whether one side refused the other's certificate or protocol: trying again changes nothing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let inner = |error: &std::io::Error| {
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            tls.is_some_and(is_tls_refusal)
        };
        match self {
            Self::Tls(error) => is_tls_refusal(error),
            Self::Protocol(_) => true,
            Self::Connect(error) | Self::Frame(FrameError::Io(error)) => inner(error),
            Self::Frame(_) | Self::OutOfTurn => false,
        }
    }
}

impl ConnectionError {
    /// The error in words for the user: a refusal says whose certificate was refused and why.
    #[must_use]
    pub fn in_words(&self) -> String {
        let inner = |error: &std::io::Error| {
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                return Some("the node did not answer in time");
            }
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            tls.and_then(refusal_in_words)
        };
        let words = match self {
            Self::Tls(error) => refusal_in_words(error),
            Self::Connect(error) | Self::Frame(FrameError::Io(error)) => inner(error),
            Self::Protocol(_) | Self::Frame(_) | Self::OutOfTurn => None,
        };
        words.map_or_else(|| self.to_string(), str::to_owned)
    }
}

const fn refusal_in_words(error: &rustls::Error) -> Option<&'static str> {
    use rustls::AlertDescription as Alert;
    Some(match error {
        rustls::Error::AlertReceived(Alert::UnknownCA) => {
            "the node refuses your certificate: it is not from this network's CA"
        }
        rustls::Error::AlertReceived(Alert::CertificateExpired) => {
            "the node refuses your certificate: it has expired, or is not valid yet"
        }
        rustls::Error::AlertReceived(_) => "the node refuses your certificate",
        rustls::Error::InvalidCertificate(_) => {
            "the node's certificate is not one of this network's nodes"
        }
        _ => return None,
    })
}

const fn is_tls_refusal(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::AlertReceived(_)
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
    )
}

/// A connection.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    number: u64,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The node cannot be reached, or one side refuses the other's certificate.
    pub fn open(
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
        alpn: &[u8],
    ) -> Result<Self, ConnectionError> {
        let socket = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HANDSHAKE_LIMIT))?;
        socket.set_write_timeout(Some(ANSWER_LIMIT))?;
        let session =
            ClientConnection::new(Arc::clone(tls), sealbook_identity::tls::server_name())?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        sealbook_identity::tls::require_protocol(&stream.conn, alpn)?;
        Ok(Self { stream, number: 0 })
    }

    /// Asks and waits for the answer, `extra` longer than usual.
    ///
    /// # Errors
    /// The connection broke; it must not be used again.
    pub fn ask(
        &mut self,
        body: RequestBody,
        extra: Duration,
    ) -> Result<ResponseBody, ConnectionError> {
        let mut answers = self.ask_all(vec![body], extra)?;
        answers.pop().ok_or(ConnectionError::OutOfTurn)
    }

    /// Asks several things at once and waits for all answers, which come in the order of the requests. A node works on
    /// no more than 256 at a time.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn ask_all(
        &mut self,
        bodies: Vec<RequestBody>,
        extra: Duration,
    ) -> Result<Vec<ResponseBody>, ConnectionError> {
        let first = self.number.wrapping_add(1);
        let mut frames = Vec::new();
        for body in bodies {
            self.number = self.number.wrapping_add(1);
            let number = self.number;
            frames.extend(frame::encode(&Request { number, body }, CLIENT_FRAME_MAX)?);
        }
        let count = usize::try_from(self.number.wrapping_sub(first).wrapping_add(1));
        let mut answers: Vec<Option<ResponseBody>> = Vec::new();
        answers.resize_with(count.unwrap_or(0), || None);
        self.stream
            .sock
            .set_read_timeout(Some(ANSWER_LIMIT.saturating_add(extra)))?;
        self.stream.write_all(&frames)?;
        self.stream.flush()?;
        // The node answers each when it can.
        for _ in 0..answers.len() {
            let response: Response = frame::read(&mut self.stream, CLIENT_FRAME_MAX)?;
            let place = usize::try_from(response.number.wrapping_sub(first));
            match place.ok().and_then(|place| answers.get_mut(place)) {
                Some(slot @ None) => *slot = Some(response.body),
                _ => return Err(ConnectionError::OutOfTurn),
            }
        }
        let answers: Option<Vec<ResponseBody>> = answers.into_iter().collect();
        answers.ok_or(ConnectionError::OutOfTurn)
    }
}
