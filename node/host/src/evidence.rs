//! Evidence on disk: what this node saw that must not happen. Text for people, with the bytes in hex for tools.
//!
//! ```text
//! <node>/evidence/divergence-<height>.txt       this node's results differ from those that a final header commits to
//! <node>/evidence/contradiction-<n>.txt         a validator signed two things that exclude each other
//! ```
//!
//! Nothing in it depends on what transactions contain.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sealbook_ledger::{FinalityCertificate, Header};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;

/// The most files of one kind; more would say nothing new and could fill the disk.
const FILES_MAX: usize = 100;

/// Where evidence is written.
#[derive(Debug, Clone)]
pub struct Evidence {
    folder: Option<PathBuf>,
}

impl Evidence {
    /// Evidence goes into this folder, which is made when it is needed.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// Evidence goes nowhere.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self { folder: None }
    }

    /// Writes down that a final header commits to other results than this node's, with the header and its certificate.
    pub fn divergence(
        &self,
        height: u64,
        (computed, committed): (Digest, Digest),
        header: Option<&Header>,
        certificate: Option<&FinalityCertificate>,
    ) {
        let mut text = format!(
            "divergence\nheight: {height}\ncomputed here: {computed}\nin a final header: {committed}\n"
        );
        if let Some(header) = header {
            let bytes = borsh::to_vec(header).unwrap_or_default();
            text += &format!(
                "header height: {}\nheader digest: {}\nheader: {}\n",
                header.height,
                header.digest(),
                hex(&bytes)
            );
        }
        if let Some(certificate) = certificate {
            text += &format!("certificate: {}\n", hex(&certificate.encode()));
        }
        self.write(&format!("divergence-{height}.txt"), &text);
    }

    /// Writes down that a validator contradicted itself.
    pub fn contradiction(&self, validator: &VerifyingKey, votes: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let free = (1..=FILES_MAX)
            .map(|number| format!("contradiction-{number}.txt"))
            .find(|name| !folder.join(name).exists());
        if let Some(name) = free {
            let text = format!(
                "contradiction\nvalidator: {validator}\nvotes: {}\n",
                hex(votes)
            );
            self.write(&name, &text);
        }
    }

    fn write(&self, name: &str, text: &str) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write_durably(folder, name, text) {
            tracing::error!(%error, name, "evidence cannot be written");
        }
    }
}

fn write_durably(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(name);
    if path.exists() {
        // The first evidence stays.
        return Ok(());
    }
    let mut file = File::create(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_written_once_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("evidence");
        let evidence = Evidence::new(place.clone());
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        evidence.divergence(7, (one, other), None, None);
        let first = fs::read_to_string(place.join("divergence-7.txt")).unwrap();
        assert!(first.contains(&one.to_string()) && first.contains(&other.to_string()));
        evidence.divergence(7, (other, one), None, None);
        assert_eq!(
            fs::read_to_string(place.join("divergence-7.txt")).unwrap(),
            first
        );
        for _ in 0..FILES_MAX + 10 {
            evidence.contradiction(&VerifyingKey([3; 32]), &[1, 2]);
        }
        assert_eq!(fs::read_dir(&place).unwrap().count(), FILES_MAX + 1);
        Evidence::nowhere().contradiction(&VerifyingKey([3; 32]), &[1]);
    }
}
