//! Links in memory: a network whose certificates are valid now, its ends, and their handshakes.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::CertificateDer;
use sealbook_identity::{
    Revocations,
    tls::{self, Peers, TlsError, refusal, server_name},
};
use sealbook_primitives::{secret::Secret32, signature::VerifyingKey};

use super::*;

pub const ALPN: &[u8] = b"sealbook/test/1";

pub fn real_now_ms() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

/// So many days from now.
pub fn moment(days: i64) -> time::OffsetDateTime {
    date(real_now_ms().saturating_add_signed(days * DAY_MS as i64))
}

/// A network whose certificates are valid by the real clock, which is what TLS goes by.
pub struct Network {
    pub root: Root,
}

impl Network {
    pub fn new(number: u8) -> Self {
        let now_ms = real_now_ms();
        let validity = (now_ms - 100 * DAY_MS, now_ms + 1000 * DAY_MS);
        Self {
            root: root_with(key_pair(&seed(number)), validity),
        }
    }

    pub fn chain(&self, role: &str, number: u8) -> Vec<CertificateDer<'static>> {
        self.chain_valid(role, number, (-1, 100))
    }

    /// With a leaf that is valid between the given days from now.
    pub fn chain_valid(
        &self,
        role: &str,
        number: u8,
        days: (i64, i64),
    ) -> Vec<CertificateDer<'static>> {
        self.chain_of(&self.authority(role), role, number, days)
    }

    pub fn authority(&self, role: &str) -> Authority {
        let mut params = authority_params(&format!(
            "https://sealbook.invalid/{NETWORK}/issuing/{role}"
        ));
        (params.not_before, params.not_after) = (moment(-50), moment(500));
        authority_from(&self.root.issuer, params)
    }

    pub fn chain_of(
        &self,
        authority: &Authority,
        role: &str,
        number: u8,
        days: (i64, i64),
    ) -> Vec<CertificateDer<'static>> {
        let mut params = holder_params(&format!("holder-{number}"), role);
        (params.not_before, params.not_after) = (moment(days.0), moment(days.1));
        chain(authority, &params, number)
    }

    pub fn endpoint(&self, chain: Vec<CertificateDer<'static>>, number: u8) -> Endpoint {
        let roots = vec![self.root.certificate.clone()];
        Endpoint {
            network: NETWORK,
            roots,
            chain,
            seed: seed(number),
            revocations: Revocations::none(),
        }
    }

    pub fn node(&self, number: u8) -> Endpoint {
        self.endpoint(self.chain("node", number), number)
    }

    pub fn member(&self, role: &str, number: u8) -> Endpoint {
        self.endpoint(self.chain(role, number), number)
    }
}

/// One side and what it believes.
pub struct Endpoint {
    pub network: &'static str,
    pub roots: Vec<CertificateDer<'static>>,
    pub chain: Vec<CertificateDer<'static>>,
    pub seed: Secret32,
    pub revocations: Revocations,
}

impl Endpoint {
    pub fn client(&self, expected: Option<VerifyingKey>) -> ClientConfig {
        let Self {
            network,
            roots,
            chain,
            seed,
            revocations,
        } = self;
        let config = tls::client_config(chain, seed, roots, revocations, network, ALPN, expected);
        Arc::unwrap_or_clone(config.unwrap())
    }

    pub fn server(&self, peers: Peers) -> ServerConfig {
        Arc::unwrap_or_clone(self.try_server(peers).unwrap())
    }

    pub fn try_server(&self, peers: Peers) -> Result<Arc<ServerConfig>, TlsError> {
        let Self {
            network,
            roots,
            chain,
            seed,
            revocations,
        } = self;
        tls::server_config(chain, seed, roots, revocations, network, ALPN, peers)
    }
}

/// Carries bytes both ways until neither side has any; a failed side still sends its alert.
/// Returns what each side thinks of the other.
pub fn shake(
    client: &mut Connection,
    server: &mut Connection,
) -> (Result<(), rustls::Error>, Result<(), rustls::Error>) {
    let mut results = [Ok(()), Ok(())];
    loop {
        let mut moved = false;
        for index in 0..2 {
            let (from, to) = if index == 0 {
                (&mut *client, &mut *server)
            } else {
                (&mut *server, &mut *client)
            };
            let mut bytes = Vec::new();
            while from.wants_write() {
                from.write_tls(&mut bytes).unwrap();
            }
            moved |= !bytes.is_empty();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() && results[1 - index].is_ok() {
                to.read_tls(&mut rest).unwrap();
                results[1 - index] = to.process_new_packets().map(|_| ());
            }
        }
        if !moved {
            let [client, server] = results;
            return (client, server);
        }
    }
}

/// Why the client refused, and why the server did.
pub type Refusals = (Option<rustls::Error>, Option<rustls::Error>);

pub fn connect(
    client: ClientConfig,
    server: ServerConfig,
) -> Result<(Connection, Connection), Box<Refusals>> {
    let mut client: Connection = ClientConnection::new(Arc::new(client), server_name())
        .unwrap()
        .into();
    let mut server: Connection = ServerConnection::new(Arc::new(server)).unwrap().into();
    let (client_result, server_result) = shake(&mut client, &mut server);
    match (client_result, server_result) {
        (Ok(()), Ok(())) => {
            assert!(!client.is_handshaking() && !server.is_handshaking());
            Ok((client, server))
        }
        (client, server) => Err(Box::new((client.err(), server.err()))),
    }
}

/// The refusal by the server of a client.
pub fn refused_by_server(client: &Endpoint, server: &Endpoint, peers: Peers) -> rustls::Error {
    let (_, error) = *connect(client.client(None), server.server(peers))
        .map(|_| ())
        .expect_err("the server must refuse the client");
    error.expect("it must be the server that refuses")
}

/// The refusal by the client of a server.
pub fn refused_by_client(client: &Endpoint, server: &Endpoint) -> rustls::Error {
    let (error, _) = *connect(client.client(None), server.server(Peers::Members))
        .map(|_| ())
        .expect_err("the client must refuse the server");
    error.expect("it must be the client that refuses")
}

pub fn text(error: &rustls::Error) -> String {
    refusal(error).map_or_else(|| error.to_string(), |reason| reason.to_string())
}
