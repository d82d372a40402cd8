//! What the authority makes, in the eyes of others: OpenSSL, and pkilint, which holds certificates and lists against RFC
//! 5280.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SanType};
use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{RevocationReason, Role, pem};
use sealbook_primitives::secret::Secret32;

const DAY_MS: u64 = 86_400_000;
const NETWORK: &str = "demo_net-1";
/// Beside what is built; `make deps-pki` puts it there.
const PKILINT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../pkilint/bin");

/// Everything that an authority makes for holders of all roles, as files: requests, certificates one by one, lists.
struct Made {
    directory: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(passed.as_millis()).unwrap();
        let authority = Authority::create(&directory.path().join("ca"), NETWORK, now_ms).unwrap();
        let made = Self { directory };
        made.write("root", &authority.root().clone());
        for (number, role) in (1_u8..).zip(Role::ALL) {
            // Every other one has no identifier, and a name with letters of several scripts.
            let (organisation, lei) = if number % 2 == 0 {
                ("Börse Ñandú 株式会社", None)
            } else {
                let lei = "54930084UKLVMY22DS16".parse().unwrap();
                ("Alpha Securities, Ltd. & Co.", Some(lei))
            };
            let seed = Secret32::new([number; 32]);
            let name = format!("holder-{number}");
            let request =
                certificate_request(&name, organisation, role, lei, NETWORK, &seed).unwrap();
            fs::write(made.path(&format!("{role}.csr")), &request).unwrap();
            let validity = (now_ms - DAY_MS / 24, now_ms + 365 * DAY_MS);
            let chain = authority.approve(&request, validity).unwrap();
            let chain = pem::chain_from_pem(&chain).unwrap();
            made.write(role.word(), &chain[0]);
            made.write(&format!("issuing-{role}"), &chain[1]);
        }
        authority
            .revoke("holder-2", RevocationReason::KeyCompromise, now_ms)
            .unwrap();
        for role in Role::ALL {
            let list = authority.revocation_list(role, now_ms, 7 * DAY_MS).unwrap();
            let text = pem::lists_to_pem(&[(list.authority, list.der)]).unwrap();
            let list = text.find("-----BEGIN X509 CRL-----").unwrap();
            fs::write(made.path(&format!("{role}.crl")), &text[list..]).unwrap();
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, certificate: &sealbook_identity::CertificateDer<'_>) {
        let text = pem::chain_to_pem(std::slice::from_ref(certificate)).unwrap();
        fs::write(self.path(&format!("{name}.pem")), text).unwrap();
    }
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    [out, err]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}

#[track_caller]
fn openssl(arguments: &[&str]) -> String {
    let output = run(Path::new("openssl"), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

#[test]
fn openssl_verifies_everything_and_refuses_what_is_revoked() {
    let made = Made::new();
    let root = made.text("root.pem");
    for role in Role::ALL {
        let file = |ending: &str| made.text(&format!("{role}.{ending}"));
        let issuing = made.text(&format!("issuing-{role}.pem"));
        let purpose = if role == Role::Node {
            "sslserver"
        } else {
            "sslclient"
        };
        let (leaf, list) = (file("pem"), file("crl"));
        let mut verify = vec![
            "verify",
            "-x509_strict",
            "-CAfile",
            &root,
            "-untrusted",
            &issuing,
        ];
        verify.extend(["-purpose", purpose, &leaf]);
        let _ = openssl(&verify);
        let _ = openssl(&["req", "-in", &file("csr"), "-verify", "-noout"]);
        let told = openssl(&["crl", "-in", &list, "-CAfile", &issuing, "-noout"]);
        assert!(told.contains("verify OK"), "{told}");
        verify.splice(1..1, ["-crl_check", "-CRLfile", &list]);
        let checked = run(Path::new("openssl"), &verify);
        let is_revoked = said(&checked).contains("certificate revoked");
        assert_eq!(
            is_revoked,
            role == Role::ALL[1],
            "{role}: {}",
            said(&checked)
        );
        assert_eq!(checked.status.success(), !is_revoked, "{role}");
        // Another role's authority did not sign it.
        let other = made.text(&format!(
            "issuing-{}.pem",
            Role::ALL[usize::from(role == Role::ALL[0])]
        ));
        let wrong = ["verify", "-CAfile", &root, "-untrusted", &other, &leaf];
        assert!(
            !run(Path::new("openssl"), &wrong).status.success(),
            "{role}"
        );
    }
}

/// What pkilint finds wrong with a file.
fn findings(made: &Made, program: &str, options: &[&str], name: &str) -> String {
    let file = made.text(name);
    let arguments = [&["lint", "-s", "WARNING"], options, &[&file]].concat();
    let output = run(&Path::new(PKILINT).join(program), &arguments);
    let found = said(&output).trim().to_owned();
    // It ends with the number of its findings.
    assert_eq!(output.status.success(), found.is_empty(), "{name}: {found}");
    found
}

#[test]
fn pkilint_finds_nothing_in_certificates_and_lists() {
    if !Path::new(PKILINT).join("lint_crl").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "pkilint is missing: make deps-pki"
        );
        eprintln!("skipped: pkilint is missing; `make deps-pki` installs it");
        return;
    }
    let made = Made::new();
    let certificate = |name: &str| findings(&made, "lint_pkix_cert", &[], name);
    let list = |name: &str| findings(&made, "lint_crl", &["-t", "CRL", "-p", "PKIX"], name);
    assert_eq!(certificate("root.pem"), "");
    for role in Role::ALL {
        assert_eq!(certificate(&format!("{role}.pem")), "", "{role}");
        assert_eq!(list(&format!("{role}.crl")), "", "{role}");
    }
    // The issuing authorities differ in their role alone.
    assert_eq!(certificate("issuing-cash-agent.pem"), "");
    // It does find what is wrong.
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut spoilt = CertificateParams::default();
    spoilt.subject_alt_names = vec![SanType::URI("sealbook".try_into().unwrap())];
    let spoilt = spoilt.self_signed(&key).unwrap();
    made.write("spoilt", spoilt.der());
    let found = certificate("spoilt.pem");
    assert!(found.contains("invalid_uri_syntax"), "{found}");
}
