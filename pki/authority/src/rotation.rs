//! Another authority for a role, beside the one before: its holders stay valid while they are certified anew.
//!
//! ```text
//! next-<role>.* is written    the inventory says so    issuing-<role>.* --> former-<role>.*    next-<role>.* --> issuing-<role>.*
//! ```
//!
//! INVARIANT: once `next-<role>.pem` is there, its key is, and the directory goes on to the end of this when it is next
//! opened with its keys, whatever stopped it. Before, nothing has changed.
//!
//! INVARIANT: files are moved in turn, by one process at a time: two that moved them together could move the new key over the
//! one before.
//!
//! One authority before the present one is kept for each role: it signs lists until the last of its holders has ended.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, Issuer};
use sealbook_identity::{Role, chain_end_ms, files, fingerprint};
use sealbook_primitives::secret::Secret32;

use crate::{
    Authority, AuthorityError,
    authority::{
        BACKDATED_MS, INVENTORY, ISSUING_VALIDITY_MS, ROOT_CERTIFICATE, ROOT_KEY, belongs,
        check_validity, read_key, sole_certificate, whole_seconds,
    },
    inventory::{self, Line},
    key::SeedKey,
    profile,
};

/// Where an authority's key and certificate lie.
pub(crate) struct Pair {
    pub(crate) key: PathBuf,
    pub(crate) certificate: PathBuf,
}

/// Where the authorities of a role do.
pub(crate) struct Parts {
    pub(crate) issuing: Pair,
    pub(crate) former: Pair,
    next: Pair,
}

impl Pair {
    fn new(directory: &Path, kind: &str, role: Role) -> Self {
        Self {
            key: directory.join(format!("{kind}-{role}.key")),
            certificate: directory.join(format!("{kind}-{role}.pem")),
        }
    }

    /// Makes a key and has it certified, the certificate last.
    pub(crate) fn make(
        &self,
        params: &CertificateParams,
        root: &Issuer<'_, SeedKey>,
    ) -> Result<(), AuthorityError> {
        let key = SeedKey::new(Secret32::random());
        let certificate = params.signed_by(&key, root)?.der().clone();
        files::write_private_key(&self.key, key.seed())?;
        files::write_chain(&self.certificate, &[certificate])?;
        Ok(())
    }

    fn remove(&self) -> Result<(), AuthorityError> {
        for path in [&self.certificate, &self.key] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AuthorityError::at(path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Parts {
    pub(crate) fn new(directory: &Path, role: Role) -> Self {
        Self {
            issuing: Pair::new(directory, "issuing", role),
            former: Pair::new(directory, "former", role),
            next: Pair::new(directory, "next", role),
        }
    }

    /// Goes on from wherever it was stopped, if it was begun.
    pub(crate) fn finish(&self, directory: &Path, role: Role) -> Result<(), AuthorityError> {
        if !self.next.certificate.is_file() {
            return Ok(());
        }
        let turn = turn(directory)?;
        self.finish_in_turn(&turn, &directory.join(INVENTORY), role)
    }

    fn finish_in_turn(
        &self,
        _turn: &File,
        inventory: &Path,
        role: Role,
    ) -> Result<(), AuthorityError> {
        // Somebody else may have done it meanwhile.
        if !self.next.certificate.is_file() {
            return Ok(());
        }
        let which = fingerprint(&sole_certificate(&self.next.certificate)?);
        if inventory::read(inventory)?.rotated_to(role) != Some(which) {
            inventory::add(inventory, |_| Ok(Line::Rotated(role, which)))?;
        }
        // While the next key has its name, the present one has not got it.
        if self.next.key.is_file() {
            rename(&self.issuing.key, &self.former.key)?;
            rename(&self.issuing.certificate, &self.former.certificate)?;
            rename(&self.next.key, &self.issuing.key)?;
        }
        rename(&self.next.certificate, &self.issuing.certificate)
    }
}

/// Two processes never put authorities in their places at a time. The turn ends with the file.
fn turn(directory: &Path) -> Result<File, AuthorityError> {
    let path = directory.join(ROOT_CERTIFICATE);
    let file = File::open(&path).map_err(|error| AuthorityError::at(&path, error))?;
    file.lock()
        .map_err(|error| AuthorityError::at(&path, error))?;
    Ok(file)
}

/// Durably, and nothing where there is nothing.
fn rename(from: &Path, to: &Path) -> Result<(), AuthorityError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result
            .and_then(|()| files::synchronise_directory(to))
            .map_err(|error| AuthorityError::at(from, error)),
    }
}

impl Authority {
    /// Makes another issuing authority for a role, which certifies from now on. The one before stays beside it, for its
    /// revocation list. Needs the root's key.
    ///
    /// # Errors
    /// The root's key is not here, or the authority before the present one still has holders that are valid.
    pub fn rotate(&self, role: Role, now_ms: u64) -> Result<Self, AuthorityError> {
        let key = read_key(&self.directory().join(ROOT_KEY))?;
        let key = key.filter(|key| belongs(key, self.root()));
        let key = SeedKey::new(key.ok_or(AuthorityError::RootAbsent)?);
        let begin = whole_seconds(now_ms.saturating_sub(BACKDATED_MS));
        let end = whole_seconds(now_ms.saturating_add(ISSUING_VALIDITY_MS));
        let root_end = chain_end_ms(std::slice::from_ref(self.root()));
        let validity = (begin, end.min(root_end.map_err(AuthorityError::SelfCheck)?));
        check_validity(validity, self.root())?;
        let turn = turn(self.directory())?;
        let parts = Parts::new(self.directory(), role);
        parts.finish_in_turn(&turn, &self.inventory_path(), role)?;
        let count = self.under_former(role, now_ms)?;
        if count > 0 {
            return Err(AuthorityError::FormerInUse { role, count });
        }
        parts.next.remove()?;
        parts.former.remove()?;
        let params = profile::issuing(self.network(), role, validity)?;
        let root = Issuer::from_ca_cert_der(self.root(), key)?;
        parts.next.make(&params, &root)?;
        parts.finish_in_turn(&turn, &self.inventory_path(), role)?;
        drop(turn);
        Self::open(self.directory())
    }

    /// How many certificates are under the authority before a role's present one, valid and not revoked.
    ///
    /// # Errors
    /// The inventory cannot be read.
    pub fn under_former(&self, role: Role, now_ms: u64) -> Result<usize, AuthorityError> {
        Ok(inventory::read(&self.inventory_path())?.under_former(role, now_ms))
    }
}
