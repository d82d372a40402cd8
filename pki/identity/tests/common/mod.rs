//! A certificate authority for tests that, unlike the real one, makes any mistake on request.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

pub mod links;
pub mod lists;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sealbook_identity::pem::seed_to_pkcs8;
use sealbook_primitives::{
    secret::Secret32,
    signature::{SigningKey, VerifyingKey},
};
use time::OffsetDateTime;

pub const NETWORK: &str = "demo";
/// 2026-11-01 00:00:00 UTC.
pub const START_MS: u64 = 1_793_491_200_000;
pub const DAY_MS: u64 = 86_400_000;
/// A moment at which everything is valid by default.
pub const NOW_MS: u64 = START_MS + 10 * DAY_MS;
pub const LEI: &str = "54930084UKLVMY22DS16";

pub fn date(milliseconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(milliseconds / 1000).unwrap()).unwrap()
}

pub fn key_pair(seed: &Secret32) -> KeyPair {
    let der = seed_to_pkcs8(seed).expose().to_vec();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519).unwrap()
}

pub fn seed(number: u8) -> Secret32 {
    Secret32::new([number; 32])
}

pub fn verifying_key(number: u8) -> VerifyingKey {
    SigningKey::from_secret(&seed(number)).verifying_key()
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn base(common_name: &str, alternative: &str, validity: (u64, u64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Exchange of Exampleland");
    params.subject_alt_names = vec![uri(alternative)];
    params.not_before = date(validity.0);
    params.not_after = date(validity.1);
    params
}

pub struct Root {
    pub certificate: CertificateDer<'static>,
    pub issuer: Issuer<'static, KeyPair>,
}

pub struct Authority {
    pub certificate: CertificateDer<'static>,
    pub issuer: Issuer<'static, KeyPair>,
}

pub fn root_with(key: KeyPair, validity: (u64, u64)) -> Root {
    let mut params = base("root", "https://sealbook.invalid/demo/root", validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Root {
        certificate,
        issuer: Issuer::new(params, key),
    }
}

pub fn root(number: u8) -> Root {
    root_with(
        key_pair(&seed(number)),
        (START_MS, START_MS + 7000 * DAY_MS),
    )
}

/// The certificate parameters of an issuing authority, for a test to spoil.
pub fn authority_params(alternative: &str) -> CertificateParams {
    let validity = (START_MS, START_MS + 3000 * DAY_MS);
    let mut params = base(&format!("issuing {alternative}"), alternative, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub fn authority_from(issuer: &Issuer<'static, KeyPair>, params: CertificateParams) -> Authority {
    authority_with_key(
        issuer,
        params,
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    )
}

pub fn authority_with_key(
    issuer: &Issuer<'static, KeyPair>,
    params: CertificateParams,
    key: KeyPair,
) -> Authority {
    let certificate = params.signed_by(&key, issuer).unwrap().der().clone();
    Authority {
        certificate,
        issuer: Issuer::new(params, key),
    }
}

pub fn authority(root: &Root, role: &str) -> Authority {
    authority_from(
        &root.issuer,
        authority_params(&format!(
            "https://sealbook.invalid/{NETWORK}/issuing/{role}"
        )),
    )
}

/// The certificate parameters of a member or node, for a test to spoil.
pub fn holder_params(name: &str, role: &str) -> CertificateParams {
    let validity = (START_MS, START_MS + 365 * DAY_MS);
    let mut params = base(
        name,
        &format!("https://sealbook.invalid/{NETWORK}/{role}/{LEI}"),
        validity,
    );
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match role {
        "node" => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
        _ => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params
}

pub fn critical_extension() -> CustomExtension {
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// Leaf and issuing authority, signed as told.
pub fn chain(
    authority: &Authority,
    params: &CertificateParams,
    number: u8,
) -> Vec<CertificateDer<'static>> {
    let leaf = params
        .signed_by(&key_pair(&seed(number)), &authority.issuer)
        .unwrap();
    vec![leaf.der().clone(), authority.certificate.clone()]
}

/// A lawful chain of `role`.
pub fn lawful(root: &Root, name: &str, role: &str, number: u8) -> Vec<CertificateDer<'static>> {
    chain(&authority(root, role), &holder_params(name, role), number)
}
