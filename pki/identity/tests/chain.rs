//! Which chains make a principal, and why the others do not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::*;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use sealbook_identity::{
    CERTIFICATE_BYTES_MAX, CertificateDer, Fault, IdentityError, Link, Principal, ROOTS_MAX, Role,
    Usage, fingerprint, verify_chain,
};

fn check(
    root: &Root,
    chain: &[CertificateDer<'_>],
    usage: Usage,
) -> Result<Principal, IdentityError> {
    verify_chain(
        std::slice::from_ref(&root.certificate),
        chain,
        NETWORK,
        NOW_MS,
        usage,
    )
}

fn refusal(root: &Root, chain: &[CertificateDer<'_>]) -> IdentityError {
    let error = check(root, chain, Usage::Any).expect_err("the chain must be refused");
    assert!(!error.hint().is_empty());
    let text = error.to_string();
    assert!(
        text.starts_with(char::is_lowercase) && !text.ends_with('.'),
        "{text}"
    );
    error
}

#[test]
fn every_role_is_read_in_full() {
    let root = root(1);
    for role in Role::ALL {
        let chain = lawful(&root, "bank-a", role.word(), 7);
        let principal = check(&root, &chain, Usage::Any).unwrap();
        assert_eq!(
            principal,
            Principal {
                name: "bank-a".to_owned(),
                role,
                organisation: "Exchange of Exampleland".to_owned(),
                lei: Some(LEI.parse().unwrap()),
                network: NETWORK.to_owned(),
                key: verifying_key(7),
                fingerprint: fingerprint(&chain[0]),
                not_before_ms: START_MS,
                not_after_ms: START_MS + 365 * DAY_MS,
            }
        );
        assert_eq!(
            check(&root, &chain, Usage::Member).is_ok(),
            role != Role::Node
        );
        assert_eq!(
            check(&root, &chain, Usage::Node).is_ok(),
            role == Role::Node
        );
    }
}

#[test]
fn the_fingerprint_is_pinned() {
    let digest = fingerprint(&CertificateDer::from(vec![1, 2, 3]));
    assert_eq!(
        digest.to_string(),
        "34587a550547dbb5ba9459e5fa70985fe8a329d23b3fc3297b972492e8fbc39e"
    );
}

#[test]
fn a_chain_may_bring_its_root_and_needs_no_lei() {
    let root = root(1);
    let mut params = holder_params("bank-a", "firm");
    params.subject_alt_names = vec![uri("https://sealbook.invalid/demo/firm/-")];
    let mut chain = chain(&authority(&root, "firm"), &params, 7);
    chain.push(root.certificate.clone());
    assert_eq!(check(&root, &chain, Usage::Member).unwrap().lei, None);
    // Nor does the order of what follows the leaf matter.
    chain.swap(1, 2);
    assert!(check(&root, &chain, Usage::Member).is_ok());
}

#[test]
fn any_of_several_roots_will_do() {
    let (old, new) = (root(1), root(2));
    let roots = [old.certificate.clone(), new.certificate.clone()];
    for root in [&old, &new] {
        let chain = lawful(root, "bank-a", "firm", 7);
        verify_chain(&roots, &chain, NETWORK, NOW_MS, Usage::Member).unwrap();
    }
}

#[test]
fn a_strangers_authority_is_not_trusted() {
    let (ours, theirs) = (root(1), root(2));
    let chain = lawful(&theirs, "bank-a", "firm", 7);
    let error = refusal(&ours, &chain);
    assert_eq!(error, IdentityError::NotTrusted);
    assert_eq!(error.fault(), Fault::Holder);
    // Bringing their root along does not help, nor does leaving their authority out.
    let mut longer = chain.clone();
    longer.push(theirs.certificate);
    assert_eq!(refusal(&ours, &longer), IdentityError::NotTrusted);
    assert_eq!(refusal(&ours, &chain[..1]), IdentityError::NotTrusted);
}

#[test]
fn an_authority_certifies_its_own_role_alone() {
    let root = root(1);
    for authority_role in Role::ALL {
        let authority = authority(&root, authority_role.word());
        for role in Role::ALL {
            let chain = chain(&authority, &holder_params("mallory", role.word()), 7);
            let result = check(&root, &chain, Usage::Any);
            if role == authority_role {
                assert!(result.is_ok());
            } else {
                let error = IdentityError::RoleNotCertifiable {
                    authority: authority_role,
                    certified: role,
                };
                assert_eq!(result, Err(error.clone()));
                assert_eq!(error.fault(), Fault::Authority);
            }
        }
    }
}

#[test]
fn a_second_certificate_for_a_firms_authority_does_not_lend_it_another_role() {
    // The firm authority's key, renamed like the admin authority, still is not signed by the root.
    let root = root(1);
    let (firm, admin) = (authority(&root, "firm"), authority(&root, "admin"));
    let forged = authority_with_key(
        &firm.issuer,
        authority_params("https://sealbook.invalid/demo/issuing/admin"),
        key_pair(&seed(66)),
    );
    let leaf = chain(&forged, &holder_params("mallory", "admin"), 7)[0].clone();
    for others in [
        vec![forged.certificate.clone(), firm.certificate.clone()],
        vec![forged.certificate.clone(), admin.certificate.clone()],
        vec![
            firm.certificate.clone(),
            forged.certificate.clone(),
            admin.certificate.clone(),
        ],
    ] {
        let mut chain = vec![leaf.clone()];
        chain.extend(others);
        let error = refusal(&root, &chain);
        assert!(
            matches!(
                error,
                IdentityError::NotIssuedByRole | IdentityError::NotTrusted
            ),
            "{error}"
        );
    }
}

#[test]
fn exactly_one_authority_stands_between_root_and_holder() {
    let root = root(1);
    // Signed by the root itself.
    let params = holder_params("bank-a", "firm");
    let direct = params.signed_by(&key_pair(&seed(7)), &root.issuer).unwrap();
    assert_eq!(
        refusal(&root, &[direct.der().clone()]),
        IdentityError::NotIssuedByRole
    );
    // Behind a second authority, although the first may have one under it.
    let mut upper = authority_params("https://sealbook.invalid/demo/issuing/admin");
    upper.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let upper = authority_from(&root.issuer, upper);
    let lower = authority_from(
        &upper.issuer,
        authority_params("https://sealbook.invalid/demo/issuing/firm"),
    );
    let mut chain = chain(&lower, &params, 7);
    chain.push(upper.certificate);
    assert_eq!(refusal(&root, &chain), IdentityError::NotIssuedByRole);
}

#[test]
fn a_member_is_no_authority() {
    let root = root(1);
    let firm = authority(&root, "firm");
    let member = authority_with_key(
        &firm.issuer,
        holder_params("bank-a", "firm"),
        key_pair(&seed(7)),
    );
    let mut chain = chain(&member, &holder_params("mallory", "firm"), 8);
    chain.push(firm.certificate.clone());
    assert_eq!(refusal(&root, &chain), IdentityError::NotIssuedByRole);
    // And an authority is no member.
    let itself = [firm.certificate.clone(), root.certificate.clone()];
    assert!(matches!(
        refusal(&root, &itself),
        IdentityError::WrongPurpose {
            link: Link::Leaf,
            ..
        }
    ));
}

#[test]
fn dates_are_exact_on_every_link() {
    let root = root_with(key_pair(&seed(1)), (START_MS, START_MS + 30 * DAY_MS));
    let mut params = authority_params("https://sealbook.invalid/demo/issuing/firm");
    params.not_after = date(START_MS + 20 * DAY_MS);
    let authority = authority_from(&root.issuer, params);
    let mut params = holder_params("bank-a", "firm");
    (params.not_before, params.not_after) = (date(START_MS + DAY_MS), date(START_MS + 10 * DAY_MS));
    let short = chain(&authority, &params, 7);
    params.not_after = date(START_MS + 40 * DAY_MS);
    let long = chain(&authority, &params, 7);

    let at = |chain: &[CertificateDer<'_>], now_ms| {
        let roots = std::slice::from_ref(&root.certificate);
        verify_chain(roots, chain, NETWORK, now_ms, Usage::Member).map(|_| ())
    };
    let (first, last) = (START_MS + DAY_MS, START_MS + 10 * DAY_MS);
    let link = Link::Leaf;
    assert_eq!(
        at(&short, first - 1),
        Err(IdentityError::NotYetValid {
            link,
            not_before_ms: first,
            now_ms: first - 1
        })
    );
    assert_eq!(at(&short, first), Ok(()));
    assert_eq!(at(&short, last), Ok(()));
    let expired = IdentityError::Expired {
        link,
        not_after_ms: last,
        now_ms: last + 1,
    };
    assert_eq!(at(&short, last + 1), Err(expired.clone()));
    assert_eq!(expired.fault(), Fault::Holder);
    assert!(expired.to_string().contains("2026"), "{expired}");

    let end = START_MS + 20 * DAY_MS;
    assert_eq!(at(&long, end), Ok(()));
    for now_ms in [end + 1, end + 1000, end + DAY_MS] {
        let link = Link::Issuing;
        let expired = IdentityError::Expired {
            link,
            not_after_ms: end,
            now_ms,
        };
        assert_eq!(at(&long, now_ms), Err(expired.clone()));
        assert_eq!(expired.fault(), Fault::Authority);
    }
    // The extremes of time are answered too.
    assert!(at(&long, 0).is_err());
    assert!(at(&long, u64::MAX).is_err());
}

#[test]
fn an_expired_root_counts() {
    let root = root_with(key_pair(&seed(1)), (START_MS, START_MS + 5 * DAY_MS));
    let error = refusal(&root, &lawful(&root, "bank-a", "firm", 7));
    assert!(matches!(
        error,
        IdentityError::Expired {
            link: Link::Root,
            ..
        }
    ));
    assert_eq!(error.fault(), Fault::Ourselves);
}

#[test]
fn another_networks_certificates_are_refused() {
    let root = root(1);
    let chain = lawful(&root, "bank-a", "firm", 7);
    let roots = [root.certificate.clone()];
    let error = verify_chain(&roots, &chain, "other", NOW_MS, Usage::Any).unwrap_err();
    assert_eq!(
        error,
        IdentityError::WrongNetwork {
            link: Link::Leaf,
            found: NETWORK.to_owned(),
            expected: "other".to_owned()
        }
    );
    // The authority's network counts as well as the holder's.
    let authority = authority_from(
        &root.issuer,
        authority_params("https://sealbook.invalid/other/issuing/firm"),
    );
    let chain = common::chain(&authority, &holder_params("bank-a", "firm"), 7);
    assert!(matches!(
        refusal(&root, &chain),
        IdentityError::WrongNetwork {
            link: Link::Issuing,
            ..
        }
    ));
}

#[test]
fn purposes_must_fit_the_role() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let root = root(1);
    let (firm, node) = (authority(&root, "firm"), authority(&root, "node"));
    let spoil = |authority: &Authority, role: &str, purposes: Vec<ExtendedKeyUsagePurpose>| {
        let mut params = holder_params("bank-a", role);
        params.extended_key_usages = purposes;
        check(&root, &chain(authority, &params, 7), Usage::Any)
    };
    assert!(spoil(&firm, "firm", vec![ClientAuth]).is_ok());
    for purposes in [
        vec![],
        vec![ServerAuth],
        vec![ServerAuth, ClientAuth],
        vec![Any],
    ] {
        assert!(spoil(&firm, "firm", purposes).is_err());
    }
    assert!(spoil(&node, "node", vec![ServerAuth, ClientAuth]).is_ok());
    for purposes in [vec![], vec![ServerAuth], vec![ClientAuth], vec![Any]] {
        assert!(spoil(&node, "node", purposes).is_err());
    }
    for usages in [
        vec![],
        vec![KeyUsagePurpose::KeyCertSign],
        vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ],
    ] {
        let mut params = holder_params("bank-a", "firm");
        params.key_usages = usages;
        refusal(&root, &chain(&firm, &params, 7));
    }
    let mut params = authority_params("https://sealbook.invalid/demo/issuing/firm");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let toothless = authority_from(&root.issuer, params);
    assert!(matches!(
        refusal(
            &root,
            &chain(&toothless, &holder_params("bank-a", "firm"), 7)
        ),
        IdentityError::WrongPurpose {
            link: Link::Issuing,
            ..
        }
    ));
}

#[test]
fn only_ed25519_is_accepted_anywhere() {
    let other = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let lawful_root = root(1);
    let firm = authority(&lawful_root, "firm");
    let params = holder_params("bank-a", "firm");
    // The holder's key.
    let leaf = params
        .signed_by(&other(), &firm.issuer)
        .unwrap()
        .der()
        .clone();
    assert_eq!(
        refusal(&lawful_root, &[leaf, firm.certificate.clone()]),
        IdentityError::NotEd25519 { link: Link::Leaf }
    );
    // The authority's key.
    let odd = authority_with_key(
        &lawful_root.issuer,
        authority_params("https://sealbook.invalid/demo/issuing/firm"),
        other(),
    );
    refusal(&lawful_root, &chain(&odd, &params, 7));
    // The root's key.
    let odd = root_with(other(), (START_MS, START_MS + 7000 * DAY_MS));
    refusal(&odd, &lawful(&odd, "bank-a", "firm", 7));
}

#[test]
fn names_and_extensions_must_be_lawful() {
    let root = root(1);
    let firm = authority(&root, "firm");
    let spoil = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = holder_params("bank-a", "firm");
        change(&mut params);
        let error = refusal(&root, &chain(&firm, &params, 7));
        assert!(
            matches!(
                error,
                IdentityError::Malformed {
                    link: Link::Leaf,
                    ..
                }
            ),
            "{error}"
        );
    };
    spoil(&|params| params.distinguished_name.push(DnType::CommonName, "Bank A"));
    spoil(&|params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "a\u{202e}b")
    });
    spoil(&|params| {
        params.distinguished_name.remove(DnType::CommonName);
    });
    spoil(&|params| {
        params.distinguished_name.remove(DnType::OrganizationName);
    });
    spoil(&|params| params.subject_alt_names.clear());
    spoil(&|params| {
        params
            .subject_alt_names
            .push(uri("https://sealbook.invalid/demo/admin/-"))
    });
    spoil(&|params| {
        params
            .subject_alt_names
            .push(rcgen::SanType::DnsName("a.example".try_into().unwrap()));
    });
    spoil(&|params| params.subject_alt_names = vec![uri("https://demo/firm/-")]);
    spoil(&|params| params.subject_alt_names = vec![uri("https://sealbook.invalid/demo/firm/LEI")]);
    spoil(&|params| params.custom_extensions.push(critical_extension()));
}

#[test]
fn sizes_are_limited_before_anything_is_parsed() {
    let root = root(1);
    let chain = lawful(&root, "bank-a", "firm", 7);
    assert_eq!(refusal(&root, &[]), IdentityError::NoCertificate);
    let mut long = chain.clone();
    long.resize(5, chain[1].clone());
    assert_eq!(
        refusal(&root, &long),
        IdentityError::ChainTooLong { found: 5, limit: 4 }
    );
    let huge = CertificateDer::from(vec![0x30; CERTIFICATE_BYTES_MAX + 1]);
    assert!(matches!(
        refusal(&root, std::slice::from_ref(&huge)),
        IdentityError::CertificateTooLarge {
            link: Link::Leaf,
            ..
        }
    ));
    assert!(matches!(
        refusal(&root, &[chain[0].clone(), huge.clone()]),
        IdentityError::CertificateTooLarge {
            link: Link::Issuing,
            ..
        }
    ));
    let with = |roots: &[CertificateDer<'_>]| {
        verify_chain(roots, &chain, NETWORK, NOW_MS, Usage::Any).unwrap_err()
    };
    assert!(matches!(
        with(&[]),
        IdentityError::RootCount { found: 0, .. }
    ));
    let many = vec![root.certificate.clone(); ROOTS_MAX + 1];
    assert_eq!(with(&many).fault(), Fault::Ourselves);
    assert!(matches!(
        with(&[huge]),
        IdentityError::CertificateTooLarge {
            link: Link::Root,
            ..
        }
    ));
    let nonsense = CertificateDer::from(vec![0x30, 0x00]);
    assert!(matches!(
        with(&[nonsense]),
        IdentityError::Malformed {
            link: Link::Root,
            ..
        }
    ));
}

#[test]
fn every_truncation_is_refused() {
    let root = root(1);
    let chain = lawful(&root, "bank-a", "firm", 7);
    for index in 0..chain.len() {
        for length in 0..chain[index].len() {
            let mut cut = chain.clone();
            cut[index] = CertificateDer::from(chain[index][..length].to_vec());
            refusal(&root, &cut);
        }
        let mut longer = chain.clone();
        longer[index] = CertificateDer::from([chain[index].as_ref(), &[0]].concat());
        refusal(&root, &longer);
    }
}

#[test]
fn every_flipped_bit_of_the_leaf_is_refused() {
    let root = root(1);
    let chain = lawful(&root, "bank-a", "firm", 7);
    for position in 0..chain[0].len() {
        for bit in 0..8 {
            let mut bytes = chain[0].to_vec();
            bytes[position] ^= 1 << bit;
            refusal(&root, &[CertificateDer::from(bytes), chain[1].clone()]);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_answered(
        leaf in proptest::collection::vec(any::<u8>(), 0..2000),
        other in proptest::collection::vec(any::<u8>(), 0..2000),
        now_ms: u64,
    ) {
        let root = root(1);
        let chain = [CertificateDer::from(leaf), CertificateDer::from(other)];
        for roots in [std::slice::from_ref(&root.certificate), &chain[..1]] {
            prop_assert!(verify_chain(roots, &chain, NETWORK, now_ms, Usage::Any).is_err());
        }
    }

    #[test]
    fn spliced_certificates_are_answered(
        position in 0_usize..600,
        splice in proptest::collection::vec(any::<u8>(), 1..12),
        index in 0_usize..3,
    ) {
        let root = root(1);
        let mut chain = lawful(&root, "bank-a", "firm", 7);
        chain.push(root.certificate.clone());
        let mut bytes = chain[index].to_vec();
        let start = position.min(bytes.len());
        let end = (start + splice.len()).min(bytes.len());
        bytes.splice(start..end, splice);
        let spoilt = CertificateDer::from(bytes);
        let changed = spoilt != chain[index];
        chain[index] = spoilt.clone();
        let result = check(&root, &chain, Usage::Any);
        // The root in the chain is not needed, so that only the others must be whole.
        prop_assert_eq!(result.is_ok(), !changed || index == 2);
        let _ = verify_chain(&[spoilt], &chain, NETWORK, NOW_MS, Usage::Any);
    }
}
