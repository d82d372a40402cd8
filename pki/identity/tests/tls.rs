//! Real handshakes between two rustls connections in memory: who gets through, and who does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use common::{links::*, *};
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use sealbook_identity::{
    Ended, IdentityError, Revocations, Role, Usage,
    pem::seed_to_pkcs8,
    tls::{Peers, TlsError, peer_chain, peer_principal, require_protocol, server_name},
};

#[test]
fn nodes_connect_and_know_each_other() {
    let network = Network::new(1);
    let (alice, bob) = (network.node(10), network.node(11));
    let (mut client, mut server) = connect(
        alice.client(Some(verifying_key(11))),
        bob.server(Peers::Nodes),
    )
    .unwrap();
    let (now_ms, none) = (real_now_ms(), Revocations::none());
    let see = |connection: &Connection| {
        require_protocol(connection, ALPN).unwrap();
        assert_eq!(
            connection.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
        let usage = (Usage::Node, Ended::Refused);
        let chain = peer_chain(connection).unwrap();
        peer_principal(&chain, &alice.roots, &none, NETWORK, now_ms, usage).unwrap()
    };
    assert_eq!(see(&client).key, verifying_key(11));
    assert_eq!(see(&server).key, verifying_key(10));
    assert_eq!(see(&server).role, Role::Node);
    // A long connection can be judged anew when a date has passed.
    let later = now_ms + 200 * DAY_MS;
    let chain = peer_chain(&client).unwrap();
    let judge = |ended| {
        let usage = (Usage::Node, ended);
        peer_principal(&chain, &alice.roots, &none, NETWORK, later, usage)
    };
    assert!(matches!(
        judge(Ended::Refused),
        Err(IdentityError::Expired { .. })
    ));
    assert_eq!(judge(Ended::Accepted).unwrap().key, verifying_key(11));

    client.writer().write_all(b"hello").unwrap();
    assert_eq!(shake(&mut client, &mut server), (Ok(()), Ok(())));
    let mut received = [0; 5];
    server.reader().read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello");
}

#[test]
fn every_member_reaches_a_node() {
    let network = Network::new(1);
    let node = network.node(10);
    let none = Revocations::none();
    for role in Role::ALL.into_iter().filter(|role| role.is_member()) {
        let member = network.member(role.word(), 20);
        let (_, server) = connect(member.client(None), node.server(Peers::Members)).unwrap();
        let roots = &node.roots;
        let (chain, now_ms) = (peer_chain(&server).unwrap(), real_now_ms());
        let usage = (Usage::Member, Ended::Refused);
        let peer = peer_principal(&chain, roots, &none, NETWORK, now_ms, usage).unwrap();
        assert_eq!((peer.role, peer.key), (role, verifying_key(20)));
    }
}

#[test]
fn a_strangers_authority_is_refused_both_ways() {
    let (ours, theirs) = (Network::new(1), Network::new(2));
    // They trust our root, so that only one side has a reason to refuse.
    let stranger = |role| {
        let chain = theirs.chain(role, 20);
        let roots = vec![ours.root.certificate.clone()];
        Endpoint {
            network: NETWORK,
            roots,
            chain,
            seed: seed(20),
            revocations: Revocations::none(),
        }
    };
    let error = refused_by_server(&stranger("firm"), &ours.node(10), Peers::Members);
    assert!(text(&error).contains("UnknownIssuer"), "{error}");
    let error = refused_by_server(&stranger("node"), &ours.node(10), Peers::Nodes);
    assert!(text(&error).contains("UnknownIssuer"), "{error}");
    let error = refused_by_client(&ours.member("firm", 21), &stranger("node"));
    assert!(text(&error).contains("UnknownIssuer"), "{error}");
}

#[test]
fn dates_are_held_against_the_real_clock() {
    let network = Network::new(1);
    for (days, words) in [((-30, -1), "expired"), ((1, 30), "not valid yet")] {
        let spoilt = |role| network.endpoint(network.chain_valid(role, 20, days), 20);
        let error = refused_by_server(&spoilt("firm"), &network.node(10), Peers::Members);
        assert!(text(&error).contains(words), "{error}");
        let error = refused_by_server(&spoilt("node"), &network.node(10), Peers::Any);
        assert!(text(&error).contains(words), "{error}");
        let error = refused_by_client(&network.member("firm", 21), &spoilt("node"));
        assert!(text(&error).contains(words), "{error}");
    }
}

#[test]
fn between_nodes_a_certificate_that_has_ended_goes_on_and_one_of_the_future_does_not() {
    let network = Network::new(1);
    let of = |days| network.endpoint(network.chain_valid("node", 20, days), 20);
    let (ended, good) = (of((-30, -1)), network.node(10));
    let dialled = connect(
        good.client(Some(verifying_key(20))),
        ended.server(Peers::Nodes),
    );
    dialled.unwrap();
    connect(
        ended.client(Some(verifying_key(10))),
        good.server(Peers::Nodes),
    )
    .unwrap();
    // The key is what counts: another one is refused, and so is a firm's certificate.
    let other = connect(
        good.client(Some(verifying_key(21))),
        ended.server(Peers::Nodes),
    );
    assert!(other.is_err());
    let firm = network.endpoint(network.chain_valid("firm", 20, (-30, -1)), 20);
    let error = refused_by_server(&firm, &good, Peers::Nodes);
    assert!(text(&error).contains("role"), "{error}");
    let error = refused_by_server(&of((1, 30)), &good, Peers::Nodes);
    assert!(text(&error).contains("not valid yet"), "{error}");
    // Signed by somebody else's authority, it is nobody's, ended or not.
    let theirs = Network::new(2);
    let chain = theirs.chain_valid("node", 20, (-30, -1));
    let stranger = network.endpoint(chain, 20);
    let error = refused_by_server(&stranger, &good, Peers::Nodes);
    assert!(text(&error).contains("UnknownIssuer"), "{error}");
}

#[test]
fn the_refused_side_learns_why() {
    let network = Network::new(1);
    let expired = network.endpoint(network.chain_valid("firm", 20, (-30, -1)), 20);
    let (error, _) = *connect(
        expired.client(None),
        network.node(10).server(Peers::Members),
    )
    .map(|_| ())
    .unwrap_err();
    assert_eq!(
        error,
        Some(rustls::Error::AlertReceived(
            rustls::AlertDescription::CertificateExpired
        ))
    );
}

#[test]
fn another_network_is_refused_both_ways() {
    let network = Network::new(1);
    let roots = vec![network.root.certificate.clone()];
    // The other side believes that the network is called otherwise; its root is the same.
    let other = |role| Endpoint {
        network: "other",
        roots: roots.clone(),
        chain: network.chain(role, 20),
        seed: seed(20),
        revocations: Revocations::none(),
    };
    let error = refused_by_client(&other("firm"), &network.node(10));
    assert!(
        text(&error).contains("network `demo`, not `other`"),
        "{error}"
    );
    let error = refused_by_server(&network.member("firm", 21), &other("node"), Peers::Members);
    assert!(
        text(&error).contains("network `demo`, not `other`"),
        "{error}"
    );
}

#[test]
fn a_firm_is_no_node() {
    let network = Network::new(1);
    let firm = network.member("firm", 20);
    let error = refused_by_client(&network.member("issuer", 21), &firm);
    assert!(
        text(&error).contains("role is `firm`, but a node is expected"),
        "{error}"
    );
    let error = refused_by_server(&firm, &network.node(10), Peers::Nodes);
    assert!(
        text(&error).contains("role is `firm`, but a node is expected"),
        "{error}"
    );
    let error = refused_by_server(&network.node(11), &network.node(10), Peers::Members);
    assert!(
        text(&error).contains("role is `node`, but a member is expected"),
        "{error}"
    );
}

#[test]
fn only_the_dialled_node_will_do() {
    let network = Network::new(1);
    let (client, server) = (network.node(10), network.node(11));
    let (error, _) = *connect(
        client.client(Some(verifying_key(12))),
        server.server(Peers::Nodes),
    )
    .map(|_| ())
    .unwrap_err();
    assert!(text(&error.unwrap()).contains("is expected"));
}

#[test]
fn a_stolen_certificate_is_useless_without_its_key() {
    let network = Network::new(1);
    let stolen = network.chain("firm", 20);
    assert!(matches!(
        network
            .endpoint(stolen.clone(), 21)
            .try_server(Peers::Members),
        Err(TlsError::KeyMismatch)
    ));
    // A thief does not ask our constructor.
    let (_, error) = *connect(thief(stolen, 21), network.node(10).server(Peers::Members))
        .map(|_| ())
        .unwrap_err();
    assert!(text(&error.unwrap()).contains("BadSignature"));
}

#[test]
fn tls12_is_refused_both_ways() {
    let network = Network::new(1);
    let node = network.node(10);
    let old = [&rustls::version::TLS12];
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&old)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_auth_cert(network.chain("firm", 20), private_key(20))
        .unwrap();
    let (_, error) = *connect(client, node.server(Peers::Members))
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Some(rustls::Error::PeerIncompatible(_))),
        "{error:?}"
    );

    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&old)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(network.chain("node", 11), private_key(11))
        .unwrap();
    let client = network.member("firm", 20).client(None);
    let (error, other) = *connect(client, server).map(|_| ()).unwrap_err();
    assert!(error.is_some() || other.is_some());
}

#[test]
fn a_client_without_certificate_is_refused() {
    let network = Network::new(1);
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    for peers in [Peers::Members, Peers::Nodes] {
        let server = network.node(10).server(peers);
        let (_, error) = *connect(client.clone(), server).map(|_| ()).unwrap_err();
        assert_eq!(error, Some(rustls::Error::NoCertificatesPresented));
    }
}

#[test]
fn protocols_must_agree() {
    let network = Network::new(1);
    let (client, server) = (network.member("firm", 20), network.node(10));
    let attempt = |offered: &[&[u8]]| {
        let mut config = client.client(None);
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        connect(config, server.server(Peers::Members))
    };
    assert!(attempt(&[b"sealbook/other/1"]).is_err());
    // Without an offer the handshake passes, and the question afterwards does not.
    let (_, connection) = attempt(&[]).unwrap();
    assert!(matches!(
        require_protocol(&connection, ALPN),
        Err(TlsError::WrongProtocol { expected }) if expected == "sealbook/test/1"
    ));
}

#[test]
fn nothing_is_resumed() {
    let network = Network::new(1);
    let client = Arc::new(network.member("firm", 20).client(None));
    let server = Arc::new(network.node(10).server(Peers::Members));
    for _ in 0..2 {
        let mut one: Connection = ClientConnection::new(Arc::clone(&client), server_name())
            .unwrap()
            .into();
        let mut two: Connection = ServerConnection::new(Arc::clone(&server)).unwrap().into();
        assert_eq!(shake(&mut one, &mut two), (Ok(()), Ok(())));
        for connection in [&one, &two] {
            assert_eq!(
                connection.handshake_kind(),
                Some(rustls::HandshakeKind::Full)
            );
        }
    }
}

#[test]
fn the_name_is_not_sent_in_clear() {
    let network = Network::new(1);
    let config = network.member("firm", 20).client(None);
    let name = ServerName::try_from("secret-node.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    assert!(!hello.windows(11).any(|window| window == b"secret-node"));
}

#[test]
fn endpoints_are_checked_when_made() {
    let network = Network::new(1);
    let roots = || vec![network.root.certificate.clone()];
    let chain = network.chain("firm", 20);
    let make = |network, roots, chain| {
        Endpoint {
            network,
            roots,
            chain,
            seed: seed(20),
            revocations: Revocations::none(),
        }
        .try_server(Peers::Members)
        .err()
    };
    assert!(make(NETWORK, roots(), chain.clone()).is_none());
    assert!(matches!(
        make("No Name", roots(), chain.clone()),
        Some(TlsError::Network(_))
    ));
    assert!(matches!(
        make(NETWORK, vec![], chain.clone()),
        Some(TlsError::Own(_))
    ));
    assert!(matches!(
        make(NETWORK, roots(), vec![]),
        Some(TlsError::Own(_))
    ));
    let nonsense = vec![CertificateDer::from(vec![0; 9])];
    assert!(matches!(
        make(NETWORK, roots(), nonsense),
        Some(TlsError::Own(_))
    ));
    let long = vec![chain[0].clone(); 5];
    let error = make(NETWORK, roots(), long).unwrap();
    assert!(matches!(error, TlsError::Own(_)) && !error.hint().is_empty());
}

#[test]
fn a_chain_of_nonsense_is_refused_in_the_handshake() {
    let network = Network::new(1);
    let mut long = network.chain("firm", 20);
    long.resize(6, long[1].clone());
    let mut spoilt = network.chain("firm", 20);
    spoilt[1] = CertificateDer::from(vec![0x30; 3000]);
    for chain in [long, spoilt, vec![network.chain("firm", 20)[0].clone()]] {
        let server = network.node(10).server(Peers::Members);
        let (_, error) = *connect(thief(chain, 20), server).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, Some(rustls::Error::InvalidCertificate(_))),
            "{error:?}"
        );
    }
}

fn private_key(number: u8) -> PrivateKeyDer<'static> {
    let der = seed_to_pkcs8(&seed(number)).expose().to_vec();
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))
}

/// A client that presents `chain` although it holds the key of `number`.
fn thief(chain: Vec<CertificateDer<'static>>, number: u8) -> ClientConfig {
    let key = default_provider()
        .key_provider
        .load_private_key(private_key(number))
        .unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// Believes every server, so that only our own side can refuse.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}
