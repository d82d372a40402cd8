//! How a node without an execution module answers its clients: it asks validators, under its own certificate.
//!
//! What passes through is sealed to the module on the way there and to the client on the way back, so this node learns
//! what a validator's owner learns: sizes and times. The validator learns only that this node asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sealbook_identity::tls;
use sealbook_protocol::client::{Request, RequestBody, Response, ResponseBody};
use sealbook_protocol::frame::{self, CLIENT_FRAME_MAX};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Connections that are kept open for the next questions.
const IDLE_MAX: usize = 16;

/// Relays requests to validators.
pub struct Relay {
    validators: Vec<SocketAddr>,
    connector: TlsConnector,
    protocol: Vec<u8>,
    /// Open connections, and the validator that answered last.
    idle: Mutex<(Vec<TlsStream<TcpStream>>, usize)>,
}

impl Relay {
    /// A relay to these validators' client services.
    #[must_use]
    pub fn new(validators: Vec<SocketAddr>, tls: Arc<ClientConfig>, protocol: Vec<u8>) -> Self {
        Self {
            validators,
            connector: TlsConnector::from(tls),
            protocol,
            idle: Mutex::default(),
        }
    }

    /// The answer of the first validator that can give one; `extra` is how long an answer may take besides.
    pub async fn ask(&self, body: RequestBody, extra: Duration) -> ResponseBody {
        let kept = {
            let mut idle = self.idle.lock().await;
            idle.0.pop()
        };
        if let Some(stream) = kept
            && let Some(answer) = self.try_on(stream, &body, extra).await
        {
            return answer;
        }
        let count = self.validators.len();
        let first = self.idle.lock().await.1;
        let mut busy = None;
        for turn in 0..count {
            let place = first.wrapping_add(turn).checked_rem(count).unwrap_or(0);
            let Some(address) = self.validators.get(place) else {
                break;
            };
            let Some(stream) = self.connect(*address).await else {
                continue;
            };
            match self.try_on(stream, &body, extra).await {
                Some(ResponseBody::Busy(text)) => busy = Some(text),
                Some(answer) => {
                    self.idle.lock().await.1 = place;
                    return answer;
                }
                None => {}
            }
        }
        ResponseBody::Busy(
            busy.unwrap_or_else(|| {
                "no validator answers this observer; ask another node".to_owned()
            }),
        )
    }

    async fn connect(&self, address: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let connecting = async {
            let socket = TcpStream::connect(address).await.ok()?;
            let _ = socket.set_nodelay(true);
            let stream = self
                .connector
                .connect(tls::server_name(), socket)
                .await
                .ok()?;
            tls::require_protocol(stream.get_ref().1, &self.protocol).ok()?;
            Some(stream)
        };
        tokio::time::timeout(CONNECT_LIMIT, connecting)
            .await
            .ok()
            .flatten()
    }

    /// Asks on one connection and keeps it for later if it still works.
    async fn try_on(
        &self,
        mut stream: TlsStream<TcpStream>,
        body: &RequestBody,
        extra: Duration,
    ) -> Option<ResponseBody> {
        let request = Request {
            number: 1,
            body: body.clone(),
        };
        let asking = async {
            let bytes = frame::encode(&request, CLIENT_FRAME_MAX).ok()?;
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()?;
            let size = stream.read_u32_le().await.ok()? as usize;
            if size > CLIENT_FRAME_MAX {
                return None;
            }
            let mut content = Vec::with_capacity(size.min(64 * 1024));
            let taken = (&mut stream)
                .take(size as u64)
                .read_to_end(&mut content)
                .await
                .ok()?;
            if taken < size {
                return None;
            }
            frame::decode::<Response>(&content).ok()
        };
        let limit = ANSWER_LIMIT.saturating_add(extra);
        let response = tokio::time::timeout(limit, asking).await.ok()??;
        let mut idle = self.idle.lock().await;
        if idle.0.len() < IDLE_MAX {
            idle.0.push(stream);
        }
        Some(response.body)
    }
}
