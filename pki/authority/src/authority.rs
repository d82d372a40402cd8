//! The authority's directory:
//!
//! ```text
//! root.key               the root's private key (PKCS #8, mode 0600); may be kept elsewhere
//! issuing-<role>.key     the issuing authorities' private keys (mode 0600); may be kept elsewhere
//! issuing-<role>.pem     their certificates
//! former-<role>.*        the same of the authority that was a role's before, whose holders are still valid
//! next-<role>.*          the same of one that is being put in its place
//! issued.txt             the inventory of what was issued and revoked
//! tokens                 what was promised to whoever has a token
//! root.pem               the root's certificate, written last
//! ```
//!
//! INVARIANT: an approval uses the issuing key of the request's role and no other key. The root's
//! key is needed only to create issuing authorities, and for nothing else.
//!
//! After a crash while it was being created, `root.pem` is missing and the directory does not open;
//! nothing has been issued, so that it may be deleted.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use sealbook_identity::{
    CertificateRequest, CertificateUri, Principal, Role, Usage, check_short_name,
    files::{self, FileError},
    pem, verify_chain,
};
use sealbook_primitives::{secret::Secret32, signature::SigningKey};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::{
    AuthorityError, Issued,
    inventory::{self, Line},
    key::{PublicKey, SeedKey},
    profile,
    rotation::{Pair, Parts},
};

const DAY_MS: u64 = 86_400_000;
/// How long a root is valid.
pub const ROOT_VALIDITY_MS: u64 = 20 * 365 * DAY_MS;
/// How long an issuing authority is valid.
pub const ISSUING_VALIDITY_MS: u64 = 10 * 365 * DAY_MS;
/// How far authorities are dated back, so that clocks that are slow trust them at once.
pub(crate) const BACKDATED_MS: u64 = DAY_MS;

pub(crate) const ROOT_CERTIFICATE: &str = "root.pem";
pub(crate) const ROOT_KEY: &str = "root.key";
pub(crate) const INVENTORY: &str = "issued.txt";

/// An authority whose directory was opened. It has no `Debug`: it holds keys.
pub struct Authority {
    directory: PathBuf,
    network: String,
    root: CertificateDer<'static>,
    pub(crate) issuing: BTreeMap<Role, Issuing>,
    /// Those that were a role's before.
    pub(crate) former: BTreeMap<Role, Issuing>,
}

pub(crate) struct Issuing {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Option<SeedKey>,
}

impl Authority {
    /// Makes a root and one issuing authority for each role in `directory`, which must be empty or
    /// not exist. `now_ms` is the time in milliseconds since 1970 (UTC).
    pub fn create(directory: &Path, network: &str, now_ms: u64) -> Result<Self, AuthorityError> {
        check_short_name(network)?;
        prepare(directory)?;
        let begin = whole_seconds(now_ms.saturating_sub(BACKDATED_MS));
        let validity = |length: u64| (begin, whole_seconds(now_ms.saturating_add(length)));

        let root_key = SeedKey::new(Secret32::random());
        let root_params = profile::root(network, validity(ROOT_VALIDITY_MS))?;
        let root = root_params.self_signed(&root_key)?.der().clone();
        files::write_private_key(&directory.join(ROOT_KEY), root_key.seed())?;
        let root_issuer = Issuer::new(root_params, root_key);
        for role in Role::ALL {
            let params = profile::issuing(network, role, validity(ISSUING_VALIDITY_MS))?;
            Parts::new(directory, role)
                .issuing
                .make(&params, &root_issuer)?;
        }
        inventory::create(&directory.join(INVENTORY))?;
        files::write_chain(&directory.join(ROOT_CERTIFICATE), &[root])?;
        Self::open(directory)
    }

    /// Opens a directory that [`Authority::create`] made. Issuing keys may be absent; their roles
    /// can then not be approved here. Keys that others may read are refused.
    pub fn open(directory: &Path) -> Result<Self, AuthorityError> {
        // The root's key is looked at only to find out early that it has become public.
        drop(read_key(&directory.join(ROOT_KEY))?);
        Self::read(directory, true)
    }

    /// Opens a directory without its keys, to look at what was issued and when it ends.
    pub fn look(directory: &Path) -> Result<Self, AuthorityError> {
        Self::read(directory, false)
    }

    fn read(directory: &Path, with_keys: bool) -> Result<Self, AuthorityError> {
        let root_path = directory.join(ROOT_CERTIFICATE);
        let root = sole_certificate(&root_path)?;
        let Some(CertificateUri::Root { network }) = uri_of(&root) else {
            return Err(AuthorityError::WrongCertificate { path: root_path });
        };
        let mut issuing = BTreeMap::new();
        let mut former = BTreeMap::new();
        for role in Role::ALL {
            let parts = Parts::new(directory, role);
            if with_keys {
                parts.finish(directory, role)?;
            }
            let present = open_issuing(&parts.issuing, &network, role, with_keys)?;
            issuing.insert(role, present);
            if parts.former.certificate.is_file() {
                let before = open_issuing(&parts.former, &network, role, with_keys)?;
                former.insert(role, before);
            }
        }
        let authority = Self {
            directory: directory.to_owned(),
            network,
            root,
            issuing,
            former,
        };
        authority.inventory()?;
        Ok(authority)
    }

    /// The network's short name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The root's certificate, for the network's genesis.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Reads a request and checks its signature, names and network, for the eyes of the one who
    /// decides on it. Nothing is issued.
    pub fn examine(&self, request_pem: &str) -> Result<CertificateRequest, AuthorityError> {
        let request = CertificateRequest::from_pem(request_pem)?;
        if request.network != self.network {
            return Err(AuthorityError::WrongNetwork {
                found: request.network,
                expected: self.network.clone(),
            });
        }
        Ok(request)
    }

    /// Certifies a request for the moments from `validity.0` to `validity.1` (milliseconds since
    /// 1970, both included, cut to whole seconds) and returns the chain in PEM form: the holder's
    /// certificate and the issuing authority's.
    ///
    /// Extensions of the request are not copied; nor is it asked whether the name is taken.
    pub fn approve(
        &self,
        request_pem: &str,
        validity: (u64, u64),
    ) -> Result<String, AuthorityError> {
        let request = self.examine(request_pem)?;
        let role = request.role;
        let issuing = self
            .issuing
            .get(&role)
            .ok_or(AuthorityError::KeyAbsent { role })?;
        let key = issuing
            .key
            .as_ref()
            .ok_or(AuthorityError::KeyAbsent { role })?;
        let validity = (whole_seconds_up(validity.0), whole_seconds(validity.1));
        check_validity(validity, &issuing.certificate)?;

        let params = profile::holder(&request, validity)?;
        let issuer = Issuer::from_ca_cert_der(&issuing.certificate, key)?;
        let leaf = params
            .signed_by(&PublicKey(request.key), &issuer)?
            .der()
            .clone();
        let chain = [leaf, issuing.certificate.clone()];
        self.check_issued(&chain, &request, validity)?;

        let serial = params
            .serial_number
            .as_ref()
            .map(rcgen::SerialNumber::to_bytes);
        let issued = Issued {
            name: request.name,
            role,
            serial: serial
                .unwrap_or_default()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
            not_after_ms: validity.1,
            revoked: None,
        };
        inventory::add(&self.inventory_path(), |_| Ok(Line::Issued(issued)))?;
        Ok(pem::chain_to_pem(&chain)?)
    }

    /// Everything that was ever issued here, oldest first, and what of it is revoked.
    pub fn inventory(&self) -> Result<Vec<Issued>, AuthorityError> {
        Ok(inventory::read(&self.inventory_path())?.issued)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn inventory_path(&self) -> PathBuf {
        self.directory.join(INVENTORY)
    }

    /// Holds a new chain against the check that everyone else applies, at both ends of its time.
    fn check_issued(
        &self,
        chain: &[CertificateDer<'_>],
        request: &CertificateRequest,
        (not_before_ms, not_after_ms): (u64, u64),
    ) -> Result<(), AuthorityError> {
        for now_ms in [not_before_ms, not_after_ms] {
            let roots = std::slice::from_ref(&self.root);
            let principal = verify_chain(roots, chain, &self.network, now_ms, Usage::Any)
                .map_err(AuthorityError::SelfCheck)?;
            let Principal {
                name,
                role,
                organisation,
                lei,
                network,
                key,
                ..
            } = principal;
            let read = CertificateRequest {
                name,
                organisation,
                role,
                lei,
                network,
                key,
            };
            if read != *request
                || (principal.not_before_ms, principal.not_after_ms)
                    != (not_before_ms, not_after_ms)
            {
                return Err(AuthorityError::Request(
                    sealbook_identity::RequestError::Malformed,
                ));
            }
        }
        Ok(())
    }
}

fn prepare(directory: &Path) -> Result<(), AuthorityError> {
    let at = |source| FileError::Io {
        path: directory.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(at)?;
    let mut entries = fs::read_dir(directory).map_err(at)?;
    if entries.next().is_some() {
        return Err(AuthorityError::NotEmpty {
            path: directory.to_owned(),
        });
    }
    files::synchronise_directory(directory).map_err(at)?;
    Ok(())
}

fn open_issuing(
    pair: &Pair,
    network: &str,
    role: Role,
    with_keys: bool,
) -> Result<Issuing, AuthorityError> {
    let path = pair.certificate.clone();
    let certificate = sole_certificate(&path)?;
    let expected = CertificateUri::Issuing {
        network: network.to_owned(),
        role,
    };
    if uri_of(&certificate) != Some(expected) {
        return Err(AuthorityError::WrongCertificate { path });
    }
    if !with_keys {
        let key = None;
        return Ok(Issuing { certificate, key });
    }
    let key = match read_key(&pair.key)? {
        Some(seed) if !belongs(&seed, &certificate) => {
            return Err(AuthorityError::KeyMismatch {
                path: pair.key.clone(),
            });
        }
        seed => seed.map(SeedKey::new),
    };
    Ok(Issuing { certificate, key })
}

pub(crate) fn sole_certificate(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    let chain = match files::read_chain(path) {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(AuthorityError::Incomplete {
                path: path.to_owned(),
            });
        }
        other => other?,
    };
    match <[_; 1]>::try_from(chain) {
        Ok([certificate]) => Ok(certificate),
        Err(_) => Err(AuthorityError::WrongCertificate {
            path: path.to_owned(),
        }),
    }
}

/// The key, or nothing where it is kept elsewhere.
pub(crate) fn read_key(path: &Path) -> Result<Option<Secret32>, AuthorityError> {
    match files::read_private_key(path) {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn uri_of(der: &CertificateDer<'_>) -> Option<CertificateUri> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    match certificate
        .subject_alternative_name()
        .ok()??
        .value
        .general_names
        .as_slice()
    {
        [GeneralName::URI(text)] => text.parse().ok(),
        _ => None,
    }
}

pub(crate) fn belongs(seed: &Secret32, der: &CertificateDer<'_>) -> bool {
    let key = SigningKey::from_secret(seed).verifying_key();
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.public_key().subject_public_key.data.as_ref() == key.as_bytes()
    })
}

/// A certificate that outlives its authority would fail one day without warning.
pub(crate) fn check_validity(
    (not_before_ms, not_after_ms): (u64, u64),
    issuing: &CertificateDer<'_>,
) -> Result<(), AuthorityError> {
    let refuse = |what| Err(AuthorityError::Validity { what });
    if not_before_ms >= not_after_ms {
        return refuse("it ends before it begins");
    }
    let Ok((_, issuing)) = X509Certificate::from_der(issuing) else {
        return refuse("the issuing authority's certificate cannot be read");
    };
    let milliseconds = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    if not_before_ms < milliseconds(issuing.validity().not_before.timestamp()) {
        return refuse("it begins before that of the issuing authority");
    }
    if not_after_ms > milliseconds(issuing.validity().not_after.timestamp()) {
        return refuse("it ends after that of the issuing authority");
    }
    Ok(())
}

pub(crate) const fn whole_seconds(milliseconds: u64) -> u64 {
    milliseconds - milliseconds % 1000
}

const fn whole_seconds_up(milliseconds: u64) -> u64 {
    whole_seconds(milliseconds.saturating_add(999))
}
