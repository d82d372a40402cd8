//! Another authority for a role: who is certified stays so, and nothing is lost on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::path::Path;

use common::{DAY_MS, NETWORK, NOW_MS, fixture};
use sealbook_authority::{
    Authority, AuthorityError, ISSUING_VALIDITY_MS, LIST_VALIDITY_MS, certificate_request,
};
use sealbook_identity::{
    CertificateDer, RevocationReason, Role, Usage, chain_end_ms, pem::chain_from_pem, verify_chain,
};
use sealbook_primitives::secret::Secret32;

fn certify(authority: &Authority, name: &str, role: Role) -> Vec<CertificateDer<'static>> {
    let seed = Secret32::random();
    let request = certificate_request(name, "Bank", role, None, NETWORK, &seed).unwrap();
    let validity = (NOW_MS, NOW_MS + 30 * DAY_MS);
    chain_from_pem(&authority.approve(&request, validity).unwrap()).unwrap()
}

fn holds(authority: &Authority, chain: &[CertificateDer<'_>]) -> bool {
    let roots = [authority.root().clone()];
    verify_chain(&roots, chain, NETWORK, NOW_MS + DAY_MS, Usage::Member).is_ok()
}

fn refused<T>(result: Result<T, AuthorityError>) -> AuthorityError {
    let error = result.err().expect("this must be refused");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn both_authorities_of_a_role_count_and_both_sign_lists() {
    let fixture = fixture();
    let authority = &fixture.authority;
    let alpha = certify(authority, "alpha", Role::Firm);
    let issuer = certify(authority, "apple", Role::Issuer);
    let rotated = authority.rotate(Role::Firm, NOW_MS + DAY_MS).unwrap();
    let beta = certify(&rotated, "beta", Role::Firm);
    assert_ne!(alpha[1], beta[1]);
    assert_eq!(certify(&rotated, "banana", Role::Issuer)[1], issuer[1]);
    for chain in [&alpha, &beta, &issuer] {
        assert!(holds(&rotated, chain));
    }
    // The one before, for whoever still has it open, or a copy: it goes on until its holders are renewed.
    assert!(holds(&rotated, &certify(authority, "gamma", Role::Firm)));
    assert_eq!(rotated.former_roles(NOW_MS), [Role::Firm]);
    assert_eq!(rotated.certificate_of(Role::Firm, true), Some(&alpha[1]));
    assert_eq!(rotated.certificate_of(Role::Firm, false), Some(&beta[1]));

    let superseded = RevocationReason::Superseded;
    let revoked = rotated.revoke("alpha", superseded, NOW_MS).unwrap();
    let serial = (0..revoked.serial.len()).step_by(2);
    let serial: Vec<u8> = serial
        .map(|place| u8::from_str_radix(&revoked.serial[place..place + 2], 16).unwrap())
        .collect();
    let now = NOW_MS + DAY_MS;
    let former = rotated
        .former_list(Role::Firm, now, LIST_VALIDITY_MS)
        .unwrap();
    let present = rotated
        .revocation_list(Role::Firm, now, LIST_VALIDITY_MS)
        .unwrap();
    assert_eq!(former.authority, alpha[1]);
    assert_eq!(present.authority, beta[1]);
    assert!(former.list.number() < present.list.number());
    for signed in [&former, &present] {
        assert!(signed.list.revoked(&serial).is_some());
    }
    // Neither outlives its authority, and when that ends there are no more lists of it.
    let end_ms = chain_end_ms(&alpha[1..]).unwrap();
    let last = rotated.former_list(Role::Firm, end_ms - DAY_MS, LIST_VALIDITY_MS);
    assert_eq!(last.unwrap().list.next_update_ms(), end_ms);
    assert_eq!(rotated.former_roles(end_ms), []);
    let none = refused(rotated.former_list(Role::Node, now, LIST_VALIDITY_MS));
    assert!(matches!(
        none,
        AuthorityError::KeyAbsent { role: Role::Node }
    ));
}

#[test]
fn an_authority_is_not_forgotten_while_it_has_holders() {
    let fixture = fixture();
    let authority = &fixture.authority;
    let alpha = certify(authority, "alpha", Role::Firm);
    let _ = certify(authority, "beta", Role::Firm);
    let second = authority.rotate(Role::Firm, NOW_MS).unwrap();
    let gamma = certify(&second, "gamma", Role::Firm);
    assert_eq!(second.under_former(Role::Firm, NOW_MS).unwrap(), 2);
    let in_use = |authority: &Authority, now_ms| match refused(authority.rotate(Role::Firm, now_ms))
    {
        AuthorityError::FormerInUse {
            role: Role::Firm,
            count,
        } => count,
        other => panic!("{other}"),
    };
    assert_eq!(in_use(&second, NOW_MS), 2);
    second
        .revoke("beta", RevocationReason::Superseded, NOW_MS)
        .unwrap();
    assert_eq!(in_use(&second, NOW_MS), 1);
    assert!(holds(&second, &alpha));
    // Another role is not held up, and once the last has ended, neither is this one.
    let _ = second.rotate(Role::Node, NOW_MS).unwrap();
    let third = second.rotate(Role::Firm, NOW_MS + 31 * DAY_MS).unwrap();
    assert_eq!(third.certificate_of(Role::Firm, true), Some(&gamma[1]));
    // At that time none, as of today alpha and gamma.
    let then = third.under_former(Role::Firm, NOW_MS + 31 * DAY_MS);
    assert_eq!(
        (
            then.unwrap(),
            third.under_former(Role::Firm, NOW_MS).unwrap()
        ),
        (0, 2)
    );
}

#[test]
fn it_takes_the_roots_key_and_nothing_else() {
    let fixture = fixture();
    let authority = &fixture.authority;
    let root = fixture.path.join("root.key");
    let elsewhere = fixture.directory.path().join("root.key");
    fs::rename(&root, &elsewhere).unwrap();
    let absent = refused(authority.rotate(Role::Firm, NOW_MS));
    assert!(matches!(absent, AuthorityError::RootAbsent));
    // A key that is another's is none.
    fs::copy(fixture.path.join("issuing-node.key"), &root).unwrap();
    let other = refused(authority.rotate(Role::Firm, NOW_MS));
    assert!(matches!(other, AuthorityError::RootAbsent));
    fs::rename(&elsewhere, &root).unwrap();
    // The role's own key is lost: this is how it gets another.
    fs::remove_file(fixture.path.join("issuing-firm.key")).unwrap();
    let lost = Authority::open(&fixture.path).unwrap();
    assert!(!lost.roles().contains(&Role::Firm));
    let rotated = lost.rotate(Role::Firm, NOW_MS).unwrap();
    assert!(holds(&rotated, &certify(&rotated, "alpha", Role::Firm)));
    assert_eq!(rotated.former_roles(NOW_MS), []);
    assert!(!fixture.path.join("former-firm.key").exists());
    // It ends with the root at the latest, and the root is not outlived.
    let late = NOW_MS + ISSUING_VALIDITY_MS + ISSUING_VALIDITY_MS / 2;
    let late = rotated.rotate(Role::Issuer, late).unwrap();
    let ends = |role| chain_end_ms(&[late.certificate_of(role, false).unwrap().clone()]).unwrap();
    let root_end = chain_end_ms(&[late.root().clone()]).unwrap();
    assert_eq!(ends(Role::Issuer), root_end);
}

#[test]
fn whoever_opens_it_meanwhile_loses_no_key() {
    let fixture = fixture();
    let authority = &fixture.authority;
    let mut roles = Role::ALL.into_iter().cycle();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // A moment between two files may be seen; nothing is moved wrongly for it.
                    let _ = Authority::open(&fixture.path);
                }
            });
        }
        let rotated: Vec<bool> = (0..4 * Role::ALL.len())
            .map(|_| authority.rotate(roles.next().unwrap(), NOW_MS).is_ok())
            .collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(rotated.into_iter().all(|done| done));
    });
    // Every key is beside its own certificate.
    let opened = Authority::open(&fixture.path).unwrap();
    assert_eq!(opened.roles(), Role::ALL);
    assert_eq!(opened.former_roles(NOW_MS).len(), Role::ALL.len());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// What a rotation does to the folder, and its name.
type Step<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn whatever_stops_it_it_has_happened_or_it_has_not() {
    let fixture = fixture();
    let authority = &fixture.authority;
    let alpha = certify(authority, "alpha", Role::Firm);
    let at = |name: &str| fixture.directory.path().join(name);
    let done = at("done");
    copy(&fixture.path, &done);
    let rotated = Authority::open(&done)
        .unwrap()
        .rotate(Role::Firm, NOW_MS)
        .unwrap();
    let present = rotated.certificate_of(Role::Firm, false).unwrap().clone();
    // Step by step, as it goes: before any of it, and after each.
    let steps: [Step<'_>; 7] = [
        ("nothing", &|_| ()),
        ("next key", &|path| {
            fs::copy(done.join("issuing-firm.key"), path.join("next-firm.key")).unwrap();
        }),
        ("next certificate", &|path| {
            fs::copy(done.join("issuing-firm.pem"), path.join("next-firm.pem")).unwrap();
        }),
        ("inventory", &|path| {
            fs::copy(done.join("issued.txt"), path.join("issued.txt")).unwrap();
        }),
        ("former key", &|path| {
            fs::rename(path.join("issuing-firm.key"), path.join("former-firm.key")).unwrap();
        }),
        ("former certificate", &|path| {
            fs::rename(path.join("issuing-firm.pem"), path.join("former-firm.pem")).unwrap();
        }),
        ("present key", &|path| {
            fs::rename(path.join("next-firm.key"), path.join("issuing-firm.key")).unwrap();
        }),
    ];
    for stopped in 0..steps.len() {
        let path = at(&format!("stopped-{stopped}"));
        copy(&fixture.path, &path);
        for (_, step) in &steps[..=stopped] {
            step(&path);
        }
        let (name, _) = steps[stopped];
        // To look is to change nothing.
        let before = fs::read_dir(&path).unwrap().count();
        let _ = Authority::look(&path);
        assert_eq!(fs::read_dir(&path).unwrap().count(), before, "{name}");
        let mut opened = Authority::open(&path).unwrap();
        if stopped < 2 {
            assert_eq!(
                opened.certificate_of(Role::Firm, false),
                Some(&alpha[1]),
                "{name}"
            );
            opened = opened.rotate(Role::Firm, NOW_MS).unwrap();
        } else {
            assert_eq!(
                opened.certificate_of(Role::Firm, false),
                Some(&present),
                "{name}"
            );
        }
        assert_eq!(
            opened.certificate_of(Role::Firm, true),
            Some(&alpha[1]),
            "{name}"
        );
        assert_eq!(opened.former_roles(NOW_MS), [Role::Firm], "{name}");
        assert_eq!(
            opened.under_former(Role::Firm, NOW_MS).unwrap(),
            1,
            "{name}"
        );
        assert!(
            holds(&opened, &certify(&opened, "beta", Role::Firm)),
            "{name}"
        );
        assert!(!path.join("next-firm.pem").exists() && !path.join("next-firm.key").exists());
    }
}
