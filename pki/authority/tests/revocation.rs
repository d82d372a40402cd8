//! From a certified member to one whom nobody lets in any more, and what cannot be revoked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::{DAY_MS, Fixture, NETWORK, NOW_MS, fixture};
use sealbook_authority::{
    Authority, AuthorityError, ISSUING_VALIDITY_MS, Issued, LIST_VALIDITY_MS, SignedList,
    certificate_request,
};
use sealbook_identity::{
    RevocationError, RevocationList, RevocationReason, Role,
    files::{read_lists, write_text},
    pem::{chain_from_pem, lists_to_pem},
};
use sealbook_primitives::secret::Secret32;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

impl Fixture {
    /// Certifies a holder and gives its serial number, as bytes.
    fn certify(&self, name: &str, role: Role, days: u64) -> Vec<u8> {
        let seed = Secret32::random();
        let request = certificate_request(name, "Bank", role, None, NETWORK, &seed).unwrap();
        let validity = (NOW_MS, NOW_MS + days * DAY_MS);
        let chain = self.authority.approve(&request, validity).unwrap();
        let chain = chain_from_pem(&chain).unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        leaf.raw_serial().to_vec()
    }

    fn revoke(&self, who: &str) -> Result<Issued, AuthorityError> {
        let reason = RevocationReason::KeyCompromise;
        self.authority.revoke(who, reason, NOW_MS + 1234)
    }

    fn list(&self, role: Role) -> SignedList {
        self.authority
            .revocation_list(role, NOW_MS, LIST_VALIDITY_MS)
            .unwrap()
    }
}

fn error<T>(result: Result<T, AuthorityError>) -> AuthorityError {
    let error = result.err().expect("this must be refused");
    assert!(!error.hint().is_empty());
    assert!(!error.to_string().ends_with('.'));
    error
}

#[test]
fn what_is_revoked_stands_on_the_list_of_its_authority_and_stays_there() {
    let fixture = fixture();
    let alpha = fixture.certify("alpha", Role::Firm, 30);
    let beta = fixture.certify("beta", Role::Firm, 30);
    let node = fixture.certify("node-1", Role::Node, 30);
    let empty = fixture.list(Role::Firm);
    assert!(empty.list.is_empty());
    assert_eq!((empty.list.role(), empty.list.number()), (Role::Firm, 1));
    assert_eq!(empty.list.next_update_ms(), NOW_MS + LIST_VALIDITY_MS);
    assert!(empty.list.this_update_ms() < NOW_MS);

    let issued = fixture.revoke("alpha").unwrap();
    let said = issued.revoked.unwrap();
    assert_eq!(
        (said.revoked_ms, said.reason),
        (NOW_MS + 1000, RevocationReason::KeyCompromise)
    );
    // By serial number, as other tools write it, and for every reason that a holder can have.
    let digits: Vec<String> = node.iter().map(|byte| format!("{byte:02X}")).collect();
    let digits = format!("{:0>47}", digits.join(":"));
    let digits = digits[digits.len() - 47..].to_owned();
    fixture.revoke(&digits).unwrap();

    for number in 2..5 {
        let signed = fixture.list(Role::Firm);
        assert_eq!(signed.list.number(), number);
        assert_eq!(signed.list.revoked(&alpha), Some(said));
        assert_eq!(signed.list.revoked(&beta), None);
        assert_eq!(signed.list.revoked(&node), None);
    }
    let nodes = fixture.list(Role::Node);
    assert_eq!((nodes.list.number(), nodes.list.len()), (1, 1));
    assert!(nodes.list.revoked(&node).is_some());

    // Another run of the tool sees the same and goes on counting.
    let again = Authority::open(&fixture.path).unwrap();
    let inventory = again.inventory().unwrap();
    let revoked: Vec<bool> = inventory.iter().map(|one| one.revoked.is_some()).collect();
    assert_eq!(revoked, [true, false, true]);
    let later = NOW_MS + 100 * DAY_MS;
    let signed = again.revocation_list(Role::Firm, later, DAY_MS).unwrap();
    assert_eq!(signed.list.number(), 5);
    assert_eq!(signed.list.revoked(&alpha), Some(said));
}

#[test]
fn every_reason_of_a_holder_reaches_the_list_and_no_other_does() {
    let fixture = fixture();
    for reason in RevocationReason::ALL {
        let name = format!("m-{}", reason.word());
        let serial = fixture.certify(&name, Role::Issuer, 30);
        let revoked = fixture.authority.revoke(&name, reason, NOW_MS);
        if RevocationReason::OF_HOLDERS.contains(&reason) {
            revoked.unwrap();
            let list = fixture.list(Role::Issuer).list;
            assert_eq!(list.revoked(&serial).unwrap().reason, reason);
        } else {
            let refused = error(revoked);
            assert!(matches!(refused, AuthorityError::Reason { reason: found } if found == reason));
        }
    }
}

#[test]
fn what_cannot_be_revoked_is_refused_and_changes_nothing() {
    let fixture = fixture();
    for who in ["", "nobody", "00112233445566778899aabbccddeeff", "../x"] {
        assert!(matches!(
            error(fixture.revoke(who)),
            AuthorityError::NeverIssued { who: found } if found == who
        ));
    }
    fixture.certify("alpha", Role::Firm, 30);
    fixture.revoke("alpha").unwrap();
    let serial = fixture.authority.inventory().unwrap()[0].serial.clone();
    for who in ["alpha", serial.as_str()] {
        let refused = error(fixture.revoke(who));
        assert!(
            matches!(&refused, AuthorityError::AlreadyRevoked { name, .. } if name == "alpha"),
            "{refused}"
        );
        assert!(refused.to_string().contains("2026"), "{refused}");
    }
    // A renewal can be revoked as well; of two that are valid, one must be named.
    fixture.certify("alpha", Role::Firm, 30);
    fixture.revoke("alpha").unwrap();
    fixture.certify("beta", Role::Firm, 30);
    fixture.certify("beta", Role::Firm, 60);
    assert!(matches!(
        error(fixture.revoke("beta")),
        AuthorityError::SeveralCertificates { count: 2, .. }
    ));
    let serial = fixture.authority.inventory().unwrap()[2].serial.clone();
    fixture.revoke(&serial).unwrap();
    fixture.revoke("beta").unwrap();
    // What has expired is refused everywhere already.
    fixture.certify("gamma", Role::Firm, 1);
    let late = NOW_MS + 2 * DAY_MS;
    let revoked = fixture
        .authority
        .revoke("gamma", RevocationReason::Superseded, late);
    assert!(matches!(
        error(revoked),
        AuthorityError::ExpiredAlready { .. }
    ));
    let inventory = fixture.authority.inventory().unwrap();
    let open: Vec<&str> = inventory
        .iter()
        .filter(|one| one.revoked.is_none())
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(open, ["gamma"]);
}

#[test]
fn lists_are_signed_where_the_key_is_and_do_not_outlive_their_authority() {
    let fixture = fixture();
    fixture.certify("alpha", Role::Firm, 30);
    for valid_ms in [0, 499, ISSUING_VALIDITY_MS + 1000, u64::MAX] {
        let list = fixture
            .authority
            .revocation_list(Role::Firm, NOW_MS + 500, valid_ms);
        let refused = error(list.map(|_| ()));
        assert!(
            matches!(refused, AuthorityError::Validity { .. }),
            "{valid_ms}: {refused}"
        );
    }
    fs::remove_file(fixture.path.join("issuing-firm.key")).unwrap();
    let authority = Authority::open(&fixture.path).unwrap();
    assert!(!authority.roles().contains(&Role::Firm));
    assert_eq!(authority.roles().len(), Role::ALL.len() - 1);
    let list = authority.revocation_list(Role::Firm, NOW_MS, DAY_MS);
    assert!(matches!(
        error(list.map(|_| ())),
        AuthorityError::KeyAbsent { role: Role::Firm }
    ));
    // The revocation is written down all the same.
    authority
        .revoke("alpha", RevocationReason::Superseded, NOW_MS)
        .unwrap();
}

#[test]
fn whoever_has_the_root_can_read_the_file_and_sees_when_it_is_out_of_date() {
    let fixture = fixture();
    fixture.certify("alpha", Role::Firm, 30);
    fixture.revoke("alpha").unwrap();
    let roles = fixture.authority.roles();
    let signed = roles.iter().map(|role| fixture.list(*role));
    let pairs: Vec<_> = signed.map(|one| (one.authority, one.der)).collect();
    let path = fixture.path.join("lists.crl");
    write_text(&path, &lists_to_pem(&pairs).unwrap()).unwrap();
    let roots = [fixture.authority.root().clone()];
    let read = |now_ms| read_lists(std::slice::from_ref(&path), &roots, NETWORK, now_ms);
    let lists = read(NOW_MS).unwrap();
    assert_eq!(
        lists.iter().map(RevocationList::role).collect::<Vec<_>>(),
        roles
    );
    assert_eq!(lists.iter().map(RevocationList::len).sum::<usize>(), 1);
    assert!(!lists.iter().any(|list| list.is_out_of_date(NOW_MS)));
    let late_ms = NOW_MS + LIST_VALIDITY_MS + 1;
    let late = read(late_ms).unwrap();
    assert!(late.iter().all(|list| list.is_out_of_date(late_ms)));
    let early = RevocationList::verify(&pairs[0].1, &[pairs[0].0.clone()], &roots, NETWORK, 0);
    assert!(matches!(
        early,
        Err(RevocationError::Authority(_) | RevocationError::NotYetValid { .. })
    ));
}
