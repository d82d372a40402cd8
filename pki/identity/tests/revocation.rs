//! Which revocation lists are used, and why the others are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{lists::*, *};
use proptest::prelude::*;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
};
use sealbook_identity::{
    CertificateDer, IdentityError, Link, RevocationError, RevocationList, RevocationReason,
    Revocations, Role,
    files::{FileError, read_lists, write_text},
    pem::{PemError, chain_to_pem, lists_from_bytes, lists_to_pem, seed_to_pem},
    revocation::{LIST_BYTES_MAX, LIST_ENTRIES_MAX, LISTS_MAX},
};

struct Fixture {
    root: Root,
    firms: Authority,
}

fn fixture() -> Fixture {
    let root = root(1);
    let firms = authority(&root, "firm");
    Fixture { root, firms }
}

impl Fixture {
    fn verify_at(&self, list: &[u8], now_ms: u64) -> Result<RevocationList, RevocationError> {
        let authorities = [self.firms.certificate.clone()];
        let roots = [self.root.certificate.clone()];
        RevocationList::verify(list, &authorities, &roots, NETWORK, now_ms)
    }

    fn verify(&self, list: &[u8]) -> Result<RevocationList, RevocationError> {
        self.verify_at(list, NOW_MS)
    }

    fn parts(&self) -> ListParts {
        ListParts::of(&self.firms)
    }

    /// Why a list is refused that `change` has spoilt.
    fn refusal(&self, change: impl FnOnce(&mut ListParts)) -> RevocationError {
        let mut parts = self.parts();
        change(&mut parts);
        error(self.verify(&parts.signed(&self.firms)))
    }
}

fn error<T>(result: Result<T, RevocationError>) -> RevocationError {
    let error = result.err().expect("the list must be refused");
    assert!(!error.hint().is_empty());
    let text = error.to_string();
    assert!(
        text.starts_with(char::is_lowercase) && !text.ends_with('.'),
        "{text}"
    );
    error
}

fn says(error: &RevocationError, words: &str) {
    assert!(error.to_string().contains(words), "{error}");
}

fn revoked(serial: u64, reason_code: Option<rcgen::RevocationReason>) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date(START_MS),
        reason_code,
        invalidity_date: Some(date(START_MS)),
    }
}

fn usual(revoked_certs: Vec<RevokedCertParams>) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date(NOW_MS),
        next_update: date(NOW_MS + DAY_MS),
        crl_number: SerialNumber::from(u64::MAX),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

#[test]
fn a_list_says_who_is_revoked_when_and_why() {
    let fixture = fixture();
    let list = usual(vec![
        revoked(0x80, Some(rcgen::RevocationReason::Superseded)),
        revoked(7, None),
        revoked(9, Some(rcgen::RevocationReason::CertificateHold)),
    ]);
    let list = list.signed_by(&fixture.firms.issuer).unwrap();
    let list = fixture.verify(list.der()).unwrap();
    assert_eq!((list.role(), list.number()), (Role::Firm, u64::MAX));
    assert_eq!(
        (list.this_update_ms(), list.next_update_ms()),
        (NOW_MS, NOW_MS + DAY_MS)
    );
    assert_eq!((list.len(), list.is_empty()), (3, false));
    for (serial, reason) in [
        (&[0x80][..], RevocationReason::Superseded),
        (&[0, 0x80], RevocationReason::Superseded),
        (&[7], RevocationReason::Unspecified),
        (&[9], RevocationReason::Hold),
    ] {
        let said = list.revoked(serial).unwrap();
        assert_eq!((said.reason, said.revoked_ms), (reason, START_MS));
    }
    for serial in [&[][..], &[0], &[8], &[7, 0], &[0x80, 0x80]] {
        assert_eq!(list.revoked(serial), None);
    }
    // Ours, made by hand, is as good, and so is an empty one.
    let list = fixture.verify(&fixture.parts().signed(&fixture.firms));
    assert!(list.unwrap().is_empty());
}

#[test]
fn a_list_is_read_from_its_first_moment_on_and_out_of_date_after_its_last() {
    let fixture = fixture();
    let list = fixture.parts().signed(&fixture.firms);
    let (begin, end) = (NOW_MS - DAY_MS, NOW_MS + DAY_MS);
    for now_ms in [begin, NOW_MS, end] {
        fixture.verify_at(&list, now_ms).unwrap();
    }
    let early = error(fixture.verify_at(&list, begin - 1));
    assert!(
        matches!(early, RevocationError::NotYetValid { this_update_ms, role: Role::Firm, .. }
            if this_update_ms == begin)
    );
    // Afterwards it can be read, for what it says of revoked certificates, and is known to be old.
    let late = fixture.verify_at(&list, end + 1).unwrap();
    assert!(late.is_out_of_date(end + 1) && !late.is_out_of_date(end));
    let backwards = |parts: &mut ListParts| parts.next_update_ms = Some(parts.this_update_ms);
    says(&fixture.refusal(backwards), "comes before it");
    // webpki wants the next update as well, and says so first.
    let endless = fixture.refusal(|parts| parts.next_update_ms = None);
    assert!(matches!(endless, RevocationError::Malformed { .. }));
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let fixture = fixture();
    let mut parts = fixture.parts();
    parts.entries = vec![entry(&[5], START_MS, Some(1))];
    let list = parts.signed(&fixture.firms);
    fixture.verify(&list).unwrap();
    for place in 0..list.len() {
        error(fixture.verify(&list[..place]));
        for bit in 0..8 {
            let mut changed = list.clone();
            changed[place] ^= 1 << bit;
            assert!(
                fixture.verify(&changed).is_err(),
                "bit {bit} of byte {place}"
            );
        }
    }
    error(fixture.verify(&[&list[..], &[0]].concat()));
    let last = list.len() - 1;
    let mut changed = list;
    changed[last] ^= 1;
    assert_eq!(
        error(fixture.verify(&changed)),
        RevocationError::BadSignature { role: Role::Firm }
    );
}

#[test]
fn only_the_authority_itself_speaks_for_its_holders() {
    let fixture = fixture();
    let Fixture { root, firms } = &fixture;
    let list = fixture.parts().signed(firms);
    let verify = |authority: &CertificateDer<'static>, roots: &[CertificateDer<'_>], network| {
        let authorities = [authority.clone()];
        RevocationList::verify(&list, &authorities, roots, network, NOW_MS)
    };
    let roots = [root.certificate.clone()];
    verify(&firms.certificate, &roots, NETWORK).unwrap();
    // Nobody, another role's authority, another one of the same name.
    let none = RevocationList::verify(&list, &[], &roots, NETWORK, NOW_MS);
    assert_eq!(error(none), RevocationError::NoAuthority);
    for role in ["node", "firm"] {
        let other = authority(root, role);
        let refused = error(verify(&other.certificate, &roots, NETWORK));
        assert_eq!(refused, RevocationError::NoAuthority);
        // Its key under our authority's name and key identifier.
        let forged = fixture.parts().signed(&other);
        assert_eq!(
            error(fixture.verify(&forged)),
            RevocationError::BadSignature { role: Role::Firm }
        );
    }
    // The authority of another network, or of another root with the same name.
    let elsewhere = error(verify(&firms.certificate, &roots, "other"));
    assert!(matches!(
        elsewhere,
        RevocationError::Authority(IdentityError::WrongNetwork { .. })
    ));
    let strangers = [common::root(2).certificate];
    assert_eq!(
        error(verify(&firms.certificate, &strangers, NETWORK)),
        RevocationError::Authority(IdentityError::NotTrusted)
    );
    let none = error(verify(&firms.certificate, &[], NETWORK));
    assert!(matches!(
        none,
        RevocationError::Authority(IdentityError::RootCount { found: 0, .. })
    ));
    let nonsense = CertificateDer::from(vec![0x30; 40]);
    assert!(matches!(
        error(verify(&nonsense, &roots, NETWORK)),
        RevocationError::Authority(IdentityError::Malformed { .. })
    ));
    // The root's own list is none of an issuing authority.
    let roots_own = Authority {
        certificate: root.certificate.clone(),
        issuer: root_with(key_pair(&seed(1)), (START_MS, START_MS + 7000 * DAY_MS)).issuer,
    };
    let list = ListParts::of(&roots_own).signed(&roots_own);
    let authorities = [root.certificate.clone()];
    let refused = RevocationList::verify(&list, &authorities, &roots, NETWORK, NOW_MS);
    assert!(matches!(
        error(refused),
        RevocationError::Authority(IdentityError::WrongPurpose { .. })
    ));
}

#[test]
fn an_authority_that_may_not_sign_lists_is_refused() {
    let root = root(1);
    let refusal = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = authority_params("https://sealbook.invalid/demo/issuing/firm");
        change(&mut params);
        let firms = authority_from(&root.issuer, params);
        let fixture = Fixture {
            root: common::root(1),
            firms,
        };
        match error(fixture.verify(&fixture.parts().signed(&fixture.firms))) {
            RevocationError::Authority(error) => error,
            other => panic!("{other}"),
        }
    };
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let error = refusal(&|params| params.key_usages = vec![usage]);
        assert!(error.to_string().contains("revocation lists"), "{error}");
    }
    let error = refusal(&|params| params.not_after = date(NOW_MS - DAY_MS));
    assert!(matches!(
        error,
        IdentityError::Expired {
            link: Link::Issuing,
            ..
        }
    ));
    let error = refusal(&|params| params.custom_extensions = vec![critical_extension()]);
    assert!(error.to_string().contains("critical extension"), "{error}");
    let error = refusal(&|params| {
        params.subject_alt_names = vec![uri("https://sealbook.invalid/demo/firm/-")]
    });
    assert!(matches!(error, IdentityError::WrongPurpose { .. }));
    let error = refusal(&|params| params.is_ca = rcgen::IsCa::ExplicitNoCa);
    assert!(matches!(error, IdentityError::WrongPurpose { .. }));
}

#[test]
fn lists_of_parts_of_others_and_of_changes_are_refused() {
    let fixture = fixture();
    let add = |extension: Vec<u8>| fixture.refusal(move |parts| parts.extensions.push(extension));
    for critical in [true, false] {
        assert_eq!(
            add(extension(DELTA, critical, &der(0x02, &[1]))),
            RevocationError::Delta
        );
    }
    let indirect = der(0x30, &der(0x84, &[0xff]));
    assert_eq!(
        add(extension(SCOPE, true, &indirect)),
        RevocationError::Indirect
    );
    let holders_only = der(0x30, &der(0x81, &[0xff]));
    assert_eq!(
        add(extension(SCOPE, true, &holders_only)),
        RevocationError::Partial
    );
    let mut scoped = usual(Vec::new());
    scoped.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint {
            uris: vec!["http://example.org/list".to_owned()],
        },
        scope: Some(CrlScope::UserCertsOnly),
    });
    let scoped = scoped.signed_by(&fixture.firms.issuer).unwrap();
    assert_eq!(
        error(fixture.verify(scoped.der())),
        RevocationError::Partial
    );
    let others = extension(CERTIFICATE_ISSUER, true, &der(0x30, &[]));
    let refused =
        fixture.refusal(|parts| parts.entries = vec![entry_with(&[1], START_MS, &[others])]);
    assert_eq!(refused, RevocationError::Indirect);
    // A critical extension that we do not know, of the list and of an entry; others are ignored.
    assert_eq!(
        add(extension(99, true, &[5, 0])),
        RevocationError::UnknownExtension
    );
    let unknown = |critical| entry_with(&[1], START_MS, &[extension(99, critical, &[5, 0])]);
    assert_eq!(
        fixture.refusal(|parts| parts.entries = vec![unknown(true)]),
        RevocationError::UnknownExtension
    );
    let mut parts = fixture.parts();
    parts.entries = vec![unknown(false)];
    parts.extensions.push(extension(99, false, &[5, 0]));
    assert_eq!(
        fixture.verify(&parts.signed(&fixture.firms)).unwrap().len(),
        1
    );
}

#[test]
fn lists_without_number_or_key_and_with_strange_parts_are_refused() {
    let fixture = fixture();
    says(
        &fixture.refusal(|parts| drop(parts.extensions.pop())),
        "no number",
    );
    says(
        &fixture.refusal(|parts| drop(parts.extensions.remove(0))),
        "does not identify",
    );
    let long = extension(NUMBER, false, &der(0x02, &[1; 9]));
    says(
        &fixture.refusal(|parts| parts.extensions[1] = long),
        "more than 64 bits",
    );
    let endless = extension(NUMBER, false, &der(0x02, &[1; 21]));
    says(
        &fixture.refusal(|parts| parts.extensions[1] = endless),
        "not lawful",
    );
    says(
        &fixture.refusal(|parts| parts.extensions.push(number(2))),
        "twice",
    );
    for version in [None, Some(0), Some(2)] {
        let refused = fixture.refusal(|parts| parts.version = version);
        assert!(matches!(refused, RevocationError::Malformed { .. }));
    }
    for code in [7, 8, 11] {
        let removed = vec![entry(&[1], START_MS, Some(code))];
        says(&fixture.refusal(|parts| parts.entries = removed), "reason");
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let firms = authority_params("https://sealbook.invalid/demo/issuing/firm");
    let other = authority_with_key(&fixture.root.issuer, firms, key);
    let list = usual(Vec::new()).signed_by(&other.issuer).unwrap();
    let authorities = [other.certificate];
    let roots = [fixture.root.certificate.clone()];
    let refused = RevocationList::verify(list.der(), &authorities, &roots, NETWORK, NOW_MS);
    assert_eq!(error(refused), RevocationError::NotEd25519);
}

#[test]
fn serials_stand_on_a_list_once() {
    let fixture = fixture();
    for second in [&[0, 0x85][..], &[0, 0, 0x85]] {
        let entries = vec![
            entry(&[0, 0x85], START_MS, None),
            entry(&[6], START_MS, None),
            entry(second, START_MS, Some(1)),
        ];
        let refused = fixture.refusal(|parts| parts.entries = entries);
        // Two spellings of one number are no integer that both parsers read.
        let doubled = RevocationError::Doubled {
            serial: "85".to_owned(),
        };
        assert!(refused == doubled || second.len() == 3, "{refused}");
    }
}

#[test]
fn lists_that_are_too_large_are_refused() {
    let fixture = fixture();
    let entries = |count: usize| {
        let serial = |index: usize| u32::try_from(index + 1).unwrap().to_be_bytes();
        let one = |index| entry(&[&[1], &serial(index)[..]].concat(), START_MS, None);
        (0..count).map(one).collect::<Vec<_>>()
    };
    let mut parts = fixture.parts();
    parts.entries = entries(LIST_ENTRIES_MAX);
    let most = fixture.verify(&parts.signed(&fixture.firms)).unwrap();
    assert_eq!(most.len(), LIST_ENTRIES_MAX);
    parts.entries = entries(LIST_ENTRIES_MAX + 1);
    assert!(matches!(
        error(fixture.verify(&parts.signed(&fixture.firms))),
        RevocationError::TooManyEntries { found, limit: LIST_ENTRIES_MAX }
            if found == LIST_ENTRIES_MAX + 1
    ));
    assert!(matches!(
        error(fixture.verify(&vec![0x30; LIST_BYTES_MAX + 1])),
        RevocationError::TooLarge { found, limit: LIST_BYTES_MAX } if found == LIST_BYTES_MAX + 1
    ));
}

#[test]
fn files_hold_lists_in_both_forms() {
    let fixture = fixture();
    let Fixture { root, firms } = &fixture;
    let nodes = authority(root, "node");
    let of = |authority: &Authority| ListParts::of(authority).signed(authority);
    let pairs = [firms, &nodes].map(|one| (one.certificate.clone(), of(one)));
    let text = lists_to_pem(&pairs).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let roots = [root.certificate.clone()];
    let read = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
        read_lists(&paths, &roots, NETWORK, NOW_MS)
    };
    write_text(&path("both.crl"), &text).unwrap();
    let roles =
        |lists: Vec<RevocationList>| lists.iter().map(RevocationList::role).collect::<Vec<_>>();
    assert_eq!(
        roles(read(&["both.crl"]).unwrap()),
        [Role::Firm, Role::Node]
    );
    // One list in DER form, whose authority's certificate is in another file.
    std::fs::write(path("firm.der"), of(firms)).unwrap();
    let missing = read(&["firm.der"]).unwrap_err();
    assert!(matches!(
        missing,
        FileError::Revocation {
            source: RevocationError::NoAuthority,
            ..
        }
    ));
    assert!(missing.to_string().contains("firm.der") && missing.hint().contains("same file"));
    let chain = chain_to_pem(std::slice::from_ref(&firms.certificate)).unwrap();
    write_text(&path("firm.pem"), &chain).unwrap();
    assert_eq!(
        roles(read(&["firm.der", "firm.pem"]).unwrap()),
        [Role::Firm]
    );
    assert!(read(&[]).unwrap().is_empty());
    assert!(read(&["none"]).unwrap_err().hint().contains("path"));
    let many = read(&["both.crl"; LISTS_MAX + 1]).unwrap_err();
    assert!(many.to_string().contains("more than the limit"), "{many}");

    let refused = |bytes: &[u8]| lists_from_bytes(bytes).unwrap_err();
    let key = seed_to_pem(&seed(3)).unwrap();
    assert!(matches!(
        refused(key.expose()),
        PemError::UnexpectedSection { .. }
    ));
    assert!(matches!(refused(b""), PemError::ListCount { found: 0, .. }));
    assert!(matches!(
        refused(text.repeat(LISTS_MAX).as_bytes()),
        PemError::ListCount { .. }
    ));
    assert!(matches!(
        refused(&vec![b' '; 4 * LIST_BYTES_MAX + 1]),
        PemError::TooLarge { .. }
    ));
}

#[test]
fn newer_lists_take_the_place_of_older_ones_and_never_the_reverse() {
    let fixture = fixture();
    let Fixture { root, firms } = &fixture;
    let numbered = |value: u8| {
        let mut parts = fixture.parts();
        parts.extensions[1] = number(value);
        fixture.verify(&parts.signed(firms)).unwrap()
    };
    let nodes = authority(root, "node");
    let list = ListParts::of(&nodes).signed(&nodes);
    let authorities = [nodes.certificate];
    let roots = [root.certificate.clone()];
    let nodes = RevocationList::verify(&list, &authorities, &roots, NETWORK, NOW_MS).unwrap();

    let known = Revocations::new(vec![numbered(3)]).unwrap();
    let shared = known.clone();
    assert_eq!(
        known.replace(vec![numbered(2)]),
        Err(RevocationError::Older {
            role: Role::Firm,
            found: 2,
            known: 3
        })
    );
    let gone = RevocationError::Gone { role: Role::Firm };
    assert_eq!(known.replace(Vec::new()), Err(gone.clone()));
    assert_eq!(known.replace(vec![nodes.clone()]), Err(gone));
    assert_eq!(known.replace(vec![numbered(3)]), Ok(false));
    assert_eq!(known.replace(vec![nodes.clone(), numbered(4)]), Ok(true));
    assert_eq!(shared.lists(), [nodes, numbered(4)]);
    let two = vec![numbered(4), numbered(5)];
    assert_eq!(
        error(Revocations::new(two)),
        RevocationError::TwoLists { role: Role::Firm }
    );
    let many = vec![numbered(1); LISTS_MAX + 1];
    assert!(matches!(
        error(Revocations::new(many)),
        RevocationError::TooManyLists { .. }
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let fixture = Fixture { root: root(1), firms: authority(&root(1), "firm") };
        prop_assert!(fixture.verify(&bytes).is_err());
        let _ = lists_from_bytes(&bytes);
    }
}
