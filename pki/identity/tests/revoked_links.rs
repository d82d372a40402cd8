//! Handshakes whose ends know the authorities' revocation lists: whom that keeps out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{links::*, lists::*, *};
use sealbook_identity::{
    Ended, Fault, IdentityError, RevocationList, RevocationReason, Revocations, Role, Usage,
    fingerprint,
    tls::{Peers, Refusals, peer_chain, peer_principal, refusal},
};

/// Certificates of one authority for these keys, and its list, which has the first one's and ends
/// after so many hours from now.
fn revoked_and_not(
    network: &Network,
    role: &str,
    keys: [u8; 2],
    hours: i64,
) -> ([Endpoint; 2], Revocations) {
    let authority = network.authority(role);
    let chains = keys.map(|number| network.chain_of(&authority, role, number, (-1, 100)));
    let (now_ms, roots) = (real_now_ms(), [network.root.certificate.clone()]);
    let mut list = ListParts::of(&authority);
    list.this_update_ms = now_ms - DAY_MS;
    let next_update_ms = now_ms.saturating_add_signed(hours * 3_600_000);
    list.next_update_ms = Some(next_update_ms);
    list.entries = vec![entry(&serial(&chains[0][0]), START_MS, Some(1))];
    let list = list.signed(&authority);
    let authorities = [authority.certificate];
    let verified_ms = now_ms.min(next_update_ms - 60_000);
    let list = RevocationList::verify(&list, &authorities, &roots, NETWORK, verified_ms).unwrap();
    let [first, second] = chains;
    let ends = [
        network.endpoint(first, keys[0]),
        network.endpoint(second, keys[1]),
    ];
    (ends, Revocations::new(vec![list]).unwrap())
}

#[test]
fn a_revoked_certificate_opens_no_link_and_another_does() {
    let network = Network::new(1);
    // A server asks about its clients; a list that comes later counts from then on.
    let ([revoked, good], revocations) = revoked_and_not(&network, "firm", [20, 21], 24);
    let mut node = network.node(10);
    let config = node.server(Peers::Members);
    connect(revoked.client(None), config).unwrap();
    node.revocations = revocations;
    connect(good.client(None), node.server(Peers::Members)).unwrap();
    let error = refused_by_server(&revoked, &node, Peers::Members);
    let reason = refusal(&error).unwrap();
    assert!(
        matches!(
            reason,
            IdentityError::Revoked {
                role: Role::Firm,
                reason: RevocationReason::KeyCompromise,
                revoked_ms: START_MS
            }
        ),
        "{reason}"
    );
    let words = reason.to_string();
    assert!(
        words.contains("2026") && words.contains("key-compromise"),
        "{words}"
    );
    assert!(reason.hint().contains("new key"));
    // Logs hear of it once, however often somebody comes.
    let told = Refusals::default();
    assert_eq!(told.revoked(&error), Some(reason));
    assert_eq!(told.clone().revoked(&error), None);
    let other = rustls::Error::NoCertificatesPresented;
    assert_eq!(told.revoked(&other), None);
    // Another authority's holders are not checked.
    connect(
        network.member("issuer", 20).client(None),
        node.server(Peers::Members),
    )
    .unwrap();

    // A client asks about its server. Lists are shared with the configurations that were made.
    let ([revoked, good], revocations) = revoked_and_not(&network, "node", [30, 31], 24);
    let mut client = network.member("firm", 22);
    client.revocations = Revocations::none();
    let config = client.client(None);
    connect(config.clone(), revoked.server(Peers::Members)).unwrap();
    let lists = revocations.lists();
    assert_eq!(client.revocations.replace(lists.clone()), Ok(true));
    assert_eq!(client.revocations.replace(lists), Ok(false));
    connect(config, good.server(Peers::Members)).unwrap();
    let error = refused_by_client(&client, &revoked);
    assert!(text(&error).contains("was revoked on"), "{error}");
}

#[test]
fn with_a_list_that_is_out_of_date_no_member_of_its_authority_passes_and_nodes_do() {
    let network = Network::new(1);
    let ([revoked, good], revocations) = revoked_and_not(&network, "firm", [20, 21], -1);
    let mut node = network.node(10);
    node.revocations = revocations;
    let error = refused_by_server(&good, &node, Peers::Members);
    let reason = refusal(&error).unwrap();
    assert!(
        matches!(
            reason,
            IdentityError::RevocationListStale {
                role: Role::Firm,
                ..
            }
        ),
        "{reason}"
    );
    assert_eq!(reason.fault(), Fault::Ourselves);
    assert!(reason.hint().contains("sealbook ca crl"));
    let error = refused_by_server(&revoked, &node, Peers::Members);
    assert!(text(&error).contains("was revoked on"), "{error}");
    connect(
        network.member("issuer", 20).client(None),
        node.server(Peers::Members),
    )
    .unwrap();
    // Nodes find each other without the CA; one that is revoked stays so.
    let ([revoked, good], revocations) = revoked_and_not(&network, "node", [30, 31], -1);
    let mut node = network.node(11);
    node.revocations = revocations;
    connect(good.client(None), node.server(Peers::Nodes)).unwrap();
    let error = refused_by_server(&revoked, &node, Peers::Nodes);
    assert!(text(&error).contains("was revoked on"), "{error}");
}

#[test]
fn an_open_connection_is_held_against_a_list_that_came_later() {
    let network = Network::new(1);
    let ([revoked, _], revocations) = revoked_and_not(&network, "firm", [20, 21], 24);
    let node = network.node(10);
    let (_, server) = connect(revoked.client(None), node.server(Peers::Members)).unwrap();
    let chain = peer_chain(&server).unwrap();
    let judge = |revocations: &Revocations| {
        let (roots, now_ms) = (&node.roots, real_now_ms());
        let usage = (Usage::Any, Ended::Refused);
        peer_principal(&chain, roots, revocations, NETWORK, now_ms, usage)
    };
    assert_eq!(judge(&node.revocations).unwrap().role, Role::Firm);
    assert!(matches!(
        judge(&revocations),
        Err(IdentityError::Revoked { .. })
    ));
    // Whoever keeps a connection is told that there is something new to judge it by.
    let known = Revocations::none();
    let before = known.changes();
    assert_eq!(known.replace(revocations.lists()), Ok(true));
    assert_ne!(known.changes(), before);
}

#[test]
fn what_the_ledger_has_revoked_opens_no_link_and_holds_none() {
    let network = Network::new(1);
    for (role, peers) in [("firm", Peers::Members), ("node", Peers::Nodes)] {
        let authority = network.authority(role);
        let end = |number| {
            let chain = network.chain_of(&authority, role, number, (-1, 100));
            network.endpoint(chain, number)
        };
        let (revoked, good, mut node) = (end(20), end(21), network.node(10));
        node.revocations = Revocations::none();
        let config = node.server(peers);
        let (_, server) = connect(revoked.client(None), config.clone()).unwrap();
        let before = node.revocations.changes();
        let named = fingerprint(&revoked.chain[0]);
        assert!(node.revocations.revoke([named]));
        assert!(!node.revocations.revoke([named]));
        assert_ne!(node.revocations.changes(), before);
        let error = refused_by_server(&revoked, &node, peers);
        let reason = refusal(&error).unwrap();
        assert_eq!(*reason, IdentityError::RevokedOnLedger, "{reason}");
        assert!(reason.concerns_revocation() && reason.hint().contains("new key"));
        connect(good.client(None), config).unwrap();
        let chain = peer_chain(&server).unwrap();
        let (roots, known) = (&node.roots, &node.revocations);
        let usage = (Usage::Any, Ended::Accepted);
        assert_eq!(
            peer_principal(&chain, roots, known, NETWORK, real_now_ms(), usage),
            Err(IdentityError::RevokedOnLedger)
        );
    }
}
