//! From an empty directory to a certified member, and everything that is refused on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::{DAY_MS, Fixture, NETWORK, NOW_MS, fixture};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SigningKey as _,
};
use sealbook_authority::{Authority, AuthorityError, ISSUING_VALIDITY_MS, certificate_request};
use sealbook_identity::{
    CertificateDer, Lei, Principal, RequestError, Role, Usage,
    files::{FileError, read_chain, read_private_key},
    pem::{chain_from_pem, request_from_pem, request_to_pem},
    verify_chain,
};
use sealbook_primitives::{secret::Secret32, signature::SigningKey};
use x509_parser::prelude::FromDer as _;

const VALIDITY: (u64, u64) = (NOW_MS, NOW_MS + 365 * DAY_MS);

fn lei() -> Lei {
    "54930084UKLVMY22DS16".parse().unwrap()
}

fn request(name: &str, role: Role, seed: u8) -> String {
    let seed = Secret32::new([seed; 32]);
    certificate_request(
        name,
        "Bank of Exampleland",
        role,
        Some(lei()),
        NETWORK,
        &seed,
    )
    .unwrap()
}

fn read(authority: &Authority, chain_pem: &str) -> (Principal, Vec<CertificateDer<'static>>) {
    let chain = chain_from_pem(chain_pem).unwrap();
    let roots = [authority.root().clone()];
    (
        verify_chain(&roots, &chain, NETWORK, NOW_MS, Usage::Any).unwrap(),
        chain,
    )
}

fn error<T>(result: Result<T, AuthorityError>) -> AuthorityError {
    let error = result.err().expect("this must be refused");
    assert!(!error.hint().is_empty());
    assert!(!error.to_string().ends_with('.'));
    error
}

#[test]
fn every_role_is_certified_and_recorded() {
    let Fixture {
        authority,
        path,
        directory: _directory,
    } = fixture();
    for (index, role) in Role::ALL.into_iter().enumerate() {
        let seed = u8::try_from(index).unwrap() + 1;
        let name = format!("member-{index}");
        let text = request(&name, role, seed);
        let seen = authority.examine(&text).unwrap();
        let (principal, chain) = read(&authority, &authority.approve(&text, VALIDITY).unwrap());
        assert_eq!(chain.len(), 2);
        assert_eq!(principal.name, name);
        assert_eq!((principal.role, seen.role), (role, role));
        assert_eq!(principal.organisation, "Bank of Exampleland");
        assert_eq!(principal.lei, Some(lei()));
        assert_eq!(
            principal.key,
            SigningKey::from_seed([seed; 32]).verifying_key()
        );
        assert_eq!((principal.not_before_ms, principal.not_after_ms), VALIDITY);
    }
    let inventory = authority.inventory().unwrap();
    assert_eq!(inventory.len(), Role::ALL.len());
    for (index, (issued, role)) in inventory.iter().zip(Role::ALL).enumerate() {
        assert_eq!(
            (&issued.name, issued.role),
            (&format!("member-{index}"), role)
        );
        assert_eq!(issued.not_after_ms, VALIDITY.1);
        assert_eq!(issued.serial.len(), 32);
    }
    // Another run of the tool sees the same.
    let again = Authority::open(&path).unwrap();
    assert_eq!(again.inventory().unwrap(), inventory);
    assert_eq!((again.network(), again.root()), (NETWORK, authority.root()));
    let renewed = again
        .approve(&request("member-1", Role::Firm, 2), VALIDITY)
        .unwrap();
    assert_eq!(read(&authority, &renewed).0.name, "member-1");
    assert_eq!(authority.inventory().unwrap().len(), inventory.len() + 1);
}

#[test]
fn serial_numbers_are_random_and_those_of_the_inventory() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let text = request("bank-a", Role::Firm, 1);
    let mut serials = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let (_, chain) = read(&authority, &authority.approve(&text, VALIDITY).unwrap());
        let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&chain[0]).unwrap();
        let serial = format!("{:0>32}", format!("{:x}", leaf.tbs_certificate.serial));
        assert_eq!(
            authority.inventory().unwrap().last().unwrap().serial,
            serial
        );
        assert!(serials.insert(serial));
    }
}

#[test]
fn validity_stays_within_that_of_the_issuing_authority() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let text = request("bank-a", Role::Firm, 1);
    let end = NOW_MS + ISSUING_VALIDITY_MS;
    for validity in [
        (NOW_MS, NOW_MS),
        (NOW_MS + 5000, NOW_MS),
        (0, NOW_MS + DAY_MS),
        (NOW_MS, end + 1000),
        (NOW_MS, u64::MAX),
        (u64::MAX, u64::MAX),
        (NOW_MS - 2 * DAY_MS, NOW_MS + DAY_MS),
    ] {
        let error = error(authority.approve(&text, validity));
        assert!(
            matches!(error, AuthorityError::Validity { .. }),
            "{validity:?} {error}"
        );
    }
    assert!(authority.inventory().unwrap().is_empty());
    // Fractions of a second are cut so that the certificate is never valid outside what was asked.
    let chain = authority
        .approve(&text, (NOW_MS + 1, NOW_MS + 9999))
        .unwrap();
    let chain = chain_from_pem(&chain).unwrap();
    let roots = [authority.root().clone()];
    let at = |now_ms| verify_chain(&roots, &chain, NETWORK, now_ms, Usage::Member);
    let principal = at(NOW_MS + 1000).unwrap();
    assert_eq!(principal.not_after_ms, NOW_MS + 9000);
    assert!(at(NOW_MS + 999).is_err() && at(NOW_MS + 9001).is_err());
    authority.approve(&text, (NOW_MS, end)).unwrap();
}

#[test]
fn a_request_must_be_for_this_network() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let seed = Secret32::new([1; 32]);
    let text = certificate_request("bank-a", "Bank", Role::Firm, None, "other", &seed).unwrap();
    assert!(matches!(
        error(authority.approve(&text, VALIDITY)),
        AuthorityError::WrongNetwork { found, .. } if found == "other"
    ));
}

#[test]
fn a_request_must_be_signed_by_its_own_key() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let der = request_from_pem(&request("bank-a", Role::Firm, 1)).unwrap();
    // Somebody else's key put in place of the applicant's.
    let ours = SigningKey::from_seed([1; 32]).verifying_key();
    let theirs = SigningKey::from_seed([2; 32]).verifying_key();
    let position = der
        .windows(32)
        .position(|window| window == ours.as_bytes())
        .unwrap();
    let mut stolen = der.clone();
    stolen[position..position + 32].copy_from_slice(theirs.as_bytes());
    assert!(matches!(
        error(authority.approve(&request_to_pem(&stolen).unwrap(), VALIDITY)),
        AuthorityError::Request(RequestError::BadSignature)
    ));
    // No bit of the request may change.
    for position in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[position] ^= 1 << bit;
            let result = authority.approve(&request_to_pem(&changed).unwrap(), VALIDITY);
            assert!(result.is_err(), "bit {bit} of byte {position}");
        }
    }
    for length in 0..der.len() {
        error(authority.approve(&request_to_pem(&der[..length]).unwrap(), VALIDITY));
    }
    assert!(authority.inventory().unwrap().is_empty());
}

/// A request of an applicant who uses a tool of its own.
fn foreign(change: impl FnOnce(&mut CertificateParams), key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "bank-a");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Bank of Exampleland");
    params.subject_alt_names = vec![uri("https://sealbook.invalid/demo/firm/-")];
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn unlawful_names_identifiers_and_roles_are_refused() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let refusal = |change: &dyn Fn(&mut CertificateParams)| match error(
        authority.approve(&foreign(change, &key), VALIDITY),
    ) {
        AuthorityError::Request(error) => error,
        other => panic!("{other}"),
    };
    let named = |text: &'static str| {
        move |params: &mut CertificateParams| {
            params.subject_alt_names = vec![uri(text)];
        }
    };
    let unlawful = |error| matches!(error, RequestError::Uri(_));
    assert!(unlawful(refusal(&named(
        "https://sealbook.invalid/demo/firm/54930084UKLVMY22DS17"
    ))));
    assert!(unlawful(refusal(&named(
        "https://sealbook.invalid/demo/firm/"
    ))));
    assert!(unlawful(refusal(&named(
        "https://sealbook.invalid/demo/king/-"
    ))));
    assert!(unlawful(refusal(&named(
        "https://sealbook.invalid/Demo/firm/-"
    ))));
    assert!(unlawful(refusal(&named("https://demo/firm/-"))));
    assert_eq!(
        refusal(&named("https://sealbook.invalid/demo/issuing/admin")),
        RequestError::ForAuthority
    );
    assert_eq!(
        refusal(&named("https://sealbook.invalid/demo/root")),
        RequestError::ForAuthority
    );
    assert_eq!(
        refusal(&|params| params.subject_alt_names.clear()),
        RequestError::NoUri
    );
    let two = |params: &mut CertificateParams| {
        params
            .subject_alt_names
            .push(uri("https://sealbook.invalid/demo/admin/-"));
    };
    assert_eq!(refusal(&two), RequestError::NoUri);
    for name in ["", "Bank", "bank a", "1bank", "../bank"] {
        let change = |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, name);
        };
        assert_eq!(refusal(&change), RequestError::Names);
    }
    for organisation in ["", "a\nb", " a", "a\u{202e}b"] {
        let change = |params: &mut CertificateParams| {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organisation);
        };
        assert_eq!(refusal(&change), RequestError::Names);
    }
}

#[test]
fn only_ed25519_requests_are_certified() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    assert!(matches!(
        error(authority.approve(&foreign(|_| {}, &key), VALIDITY)),
        AuthorityError::Request(RequestError::NotEd25519)
    ));
}

#[test]
fn what_a_request_adds_is_not_copied() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let greedy = foreign(
        |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::Any,
            ];
            let mut extension =
                rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
            params.distinguished_name.push(DnType::CountryName, "EX");
        },
        &key,
    );
    let (_, chain) = read(&authority, &authority.approve(&greedy, VALIDITY).unwrap());
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&chain[0]).unwrap();
    assert!(!leaf.is_ca());
    assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    assert_eq!(leaf.subject().iter_attributes().count(), 2);
    let identifiers: Vec<String> = leaf
        .extensions()
        .iter()
        .map(|extension| extension.oid.to_id_string())
        .collect();
    // Authority and subject key identifiers, name, usages, constraints; nothing of the applicant's.
    assert!(
        identifiers.iter().all(|oid| oid.starts_with("2.5.29.")),
        "{identifiers:?}"
    );
}

#[test]
fn private_keys_are_private_and_refused_otherwise() {
    let Fixture {
        path,
        directory: _directory,
        ..
    } = fixture();
    let keys: Vec<PathBuf> = std::iter::once("root".to_owned())
        .chain(Role::ALL.into_iter().map(|role| format!("issuing-{role}")))
        .map(|name| path.join(format!("{name}.key")))
        .collect();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for key in keys {
        let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        mode(0o640);
        assert!(matches!(
            error(Authority::open(&path)),
            AuthorityError::File(FileError::Exposed { path, .. }) if path == key
        ));
        mode(0o600);
        assert!(Authority::open(&path).is_ok());
    }
}

#[test]
fn keys_may_be_kept_elsewhere() {
    let Fixture {
        path,
        directory: _directory,
        ..
    } = fixture();
    fs::remove_file(path.join("root.key")).unwrap();
    fs::remove_file(path.join("issuing-admin.key")).unwrap();
    let authority = Authority::open(&path).unwrap();
    authority
        .approve(&request("bank-a", Role::Firm, 1), VALIDITY)
        .unwrap();
    assert!(matches!(
        error(authority.approve(&request("boss", Role::Admin, 2), VALIDITY)),
        AuthorityError::KeyAbsent { role: Role::Admin }
    ));
}

#[test]
fn a_directory_that_is_not_whole_does_not_open() {
    let Fixture {
        path,
        directory: _directory,
        ..
    } = fixture();
    assert!(matches!(
        error(Authority::create(&path, NETWORK, NOW_MS)),
        AuthorityError::NotEmpty { .. }
    ));
    let with = |from: &str, to: &str| {
        let kept = fs::read(path.join(to)).unwrap();
        fs::write(path.join(to), fs::read(path.join(from)).unwrap()).unwrap();
        let error = error(Authority::open(&path));
        fs::write(path.join(to), kept).unwrap();
        error
    };
    let wrong = |error| matches!(error, AuthorityError::WrongCertificate { .. });
    assert!(wrong(with("issuing-firm.pem", "issuing-admin.pem")));
    assert!(wrong(with("issuing-firm.pem", "root.pem")));
    assert!(matches!(
        with("issuing-firm.key", "issuing-admin.key"),
        AuthorityError::KeyMismatch { .. }
    ));
    assert!(Authority::open(&path).is_ok());
    // As after a crash during creation.
    fs::remove_file(path.join("root.pem")).unwrap();
    assert!(matches!(
        error(Authority::open(&path)),
        AuthorityError::Incomplete { .. }
    ));
    assert!(
        error(Authority::open(Path::new("/nonexistent")))
            .hint()
            .contains("create")
    );
    assert!(matches!(
        error(Authority::create(&path.join("new"), "No Name", NOW_MS)),
        AuthorityError::Name(_)
    ));
}

#[test]
fn a_firms_issuing_key_cannot_make_an_admin() {
    // A thief of the firm authority's key signs a certificate for role admin with it.
    let Fixture {
        authority,
        path,
        directory: _directory,
    } = fixture();
    let seed = read_private_key(&path.join("issuing-firm.key")).unwrap();
    let der = sealbook_identity::pem::seed_to_pkcs8(&seed)
        .expose()
        .to_vec();
    let key = KeyPair::try_from(der).unwrap();
    assert!(key.sign(b"x").is_ok());
    let issuing = read_chain(&path.join("issuing-firm.pem"))
        .unwrap()
        .remove(0);
    let issuer = rcgen::Issuer::from_ca_cert_der(&issuing, key).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "boss");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Exchange");
    params.subject_alt_names = vec![uri("https://sealbook.invalid/demo/admin/-")];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let member = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let leaf = params.signed_by(&member, &issuer).unwrap().der().clone();
    let roots = [authority.root().clone()];
    assert_eq!(
        verify_chain(&roots, &[leaf, issuing], NETWORK, NOW_MS, Usage::Any),
        Err(sealbook_identity::IdentityError::RoleNotCertifiable {
            authority: Role::Firm,
            certified: Role::Admin
        })
    );
}

#[test]
fn applicants_learn_of_mistakes_before_they_send() {
    let seed = Secret32::new([1; 32]);
    let make = |name: &str, organisation: &str, network: &str| {
        certificate_request(name, organisation, Role::Firm, None, network, &seed)
    };
    assert!(make("bank-a", "Bank", NETWORK).is_ok());
    for (name, organisation, network) in [
        ("Bank", "Bank", NETWORK),
        ("bank-a", "", NETWORK),
        ("bank-a", "Bank", "Demo"),
    ] {
        assert!(matches!(
            error(make(name, organisation, network)),
            AuthorityError::Name(_)
        ));
    }
}

#[test]
fn huge_requests_are_refused_unread() {
    let Fixture {
        authority,
        directory: _directory,
        ..
    } = fixture();
    for text in [
        "x".repeat(1 << 20),
        request("bank-a", Role::Firm, 1).repeat(100),
    ] {
        assert!(matches!(
            error(authority.approve(&text, VALIDITY)),
            AuthorityError::Request(RequestError::NotPem)
        ));
    }
}

proptest! {
    #[test]
    fn any_request_is_answered(der in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(sealbook_identity::CertificateRequest::from_der(&der).is_err());
    }

    #[test]
    fn any_text_is_answered(text in "(-----BEGIN CERTIFICATE REQUEST-----\n)?.{0,300}") {
        prop_assert!(sealbook_identity::CertificateRequest::from_pem(&text).is_err());
    }

    #[test]
    fn spliced_requests_are_answered(
        position in 0_usize..400,
        splice in proptest::collection::vec(any::<u8>(), 1..12),
    ) {
        let mut der = request_from_pem(&request("bank-a", Role::Firm, 1)).unwrap();
        let whole = der.clone();
        let start = position.min(der.len());
        let end = (start + splice.len()).min(der.len());
        der.splice(start..end, splice);
        let read = sealbook_identity::CertificateRequest::from_der(&der);
        prop_assert_eq!(read.is_ok(), der == whole);
    }
}

#[test]
fn to_look_takes_no_keys_and_gives_none() {
    let Fixture { path, .. } = &fixture();
    fs::write(path.join("issuing-firm.key"), "no key").unwrap();
    assert!(Authority::open(path).is_err());
    let looked = Authority::look(path).unwrap();
    assert_eq!(looked.roles(), []);
    assert_eq!(looked.ends().unwrap().len(), 1 + Role::ALL.len());
    assert_eq!(looked.inventory().unwrap(), []);
    let seed = Secret32::random();
    let request = certificate_request("a", "Bank", Role::Node, None, NETWORK, &seed).unwrap();
    let refused = looked.approve(&request, VALIDITY).unwrap_err();
    assert!(matches!(
        refused,
        AuthorityError::KeyAbsent { role: Role::Node }
    ));
}
