//! Evidence from the kernel of a confidential VM, by the files of configfs-tsm.
//!
//! ```text
//! mkdir report/<entry>
//! read  generation          -> g
//! write inblob              <- 64 bytes of report data       the kernel counts: g + 1
//! read  provider            -> "sev_guest" or "tdx_guest"
//! read  outblob             -> the report or quote           the kernel asks the hardware here
//! read  auxblob             -> certificates, if the host gave any
//! read  generation          -> g + 1, or somebody else wrote in between
//! rmdir report/<entry>
//! ```
//!
//! The rules are those of Documentation/ABI/testing/configfs-tsm, which later kernels call configfs-tsm-report.
//!
//! **This has never run on a confidential VM.** The tests run it against a folder of named pipes that a thread serves
//! in the kernel's place, in the order and with the counting that the document above describes.
//!
//! A crash leaves the entry behind. The next call uses it again: the generation tells whose report it is.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::{
    AttestError, Attestor, Evidence, Kind, MAX_AUXILIARY_BYTES, MAX_STATEMENT_BYTES,
    REPORT_DATA_LENGTH,
};

/// Where the kernel has its folder of reports.
pub const TSM_REPORTS: &str = "/sys/kernel/config/tsm/report";

/// Most bytes in `provider` and `generation`.
const MAX_WORD_BYTES: usize = 64;
/// The longest name of an entry.
const MAX_NAME_BYTES: usize = 64;

/// Asks the kernel for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsmAttestor {
    reports: PathBuf,
    name: String,
    kind: Kind,
}

impl TsmAttestor {
    /// Evidence of `kind` through the entry `name` below `reports`, which is [`TSM_REPORTS`] except in tests.
    ///
    /// The name should be the process's own: two processes with one entry get in each other's way, and are told so.
    ///
    /// # Errors
    ///
    /// [`AttestError::Name`] when the name is not a plain one.
    pub fn new(reports: &Path, name: &str, kind: Kind) -> Result<Self, AttestError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(plain) {
            return Err(AttestError::Name {
                name: name.chars().take(80).collect(),
            });
        }
        Ok(TsmAttestor {
            reports: reports.to_owned(),
            name: name.to_owned(),
            kind,
        })
    }

    fn ask(
        &self,
        entry: &Path,
        report_data: &[u8; REPORT_DATA_LENGTH],
    ) -> Result<Evidence, AttestError> {
        let before = generation(entry)?;
        write(&entry.join("inblob"), report_data)?;
        let provider = word(&entry.join("provider"))?;
        if provider_kind(&provider) != Some(self.kind) {
            return Err(AttestError::OtherProvider {
                provider,
                kind: self.kind,
            });
        }
        let statement = read(&entry.join("outblob"), MAX_STATEMENT_BYTES)?;
        let auxiliary = read_if_there(&entry.join("auxblob"), MAX_AUXILIARY_BYTES)?;
        // INVARIANT: exactly our one write lies between the two counts, so nobody else's question was answered.
        let expected = before.wrapping_add(1);
        let found = generation(entry)?;
        if found != expected {
            return Err(AttestError::Raced { expected, found });
        }
        if !carries(self.kind, &statement, report_data) {
            return Err(AttestError::OtherReport);
        }
        Ok(Evidence::new(self.kind, statement, auxiliary)?)
    }
}

impl Attestor for TsmAttestor {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn attest(&self, report_data: &[u8; REPORT_DATA_LENGTH]) -> Result<Evidence, AttestError> {
        let entry = self.reports.join(&self.name);
        match fs::create_dir(&entry) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(unavailable(&entry, &error));
            }
            _ => {}
        }
        let evidence = self.ask(&entry, report_data);
        // An entry that cannot be removed does no harm: see the header.
        let _ = fs::remove_dir(&entry);
        evidence
    }
}

/// What the kernel's name of a provider means.
fn provider_kind(provider: &str) -> Option<Kind> {
    match provider {
        "sev_guest" => Some(Kind::SevSnp),
        "tdx_guest" => Some(Kind::Tdx),
        _ => None,
    }
}

/// True when the report data stands where the vendor's format has it. Not a verification: it tells a mix-up early.
fn carries(kind: Kind, statement: &[u8], report_data: &[u8; REPORT_DATA_LENGTH]) -> bool {
    let version = statement.get(..2);
    let offset = match kind {
        Kind::Process => return false,
        Kind::SevSnp => 0x50,
        // The header of a quote has 48 bytes; from version 5 on, 6 bytes of type and size follow it. The report data
        // is the last field of a TD report of version 1.0, at 520.
        Kind::Tdx if version == Some(&[4, 0]) => 48 + 520,
        Kind::Tdx => 48 + 6 + 520,
    };
    statement.get(offset..offset + REPORT_DATA_LENGTH) == Some(&report_data[..])
}

fn generation(entry: &Path) -> Result<u64, AttestError> {
    let path = entry.join("generation");
    let text = word(&path)?;
    text.parse().map_err(|_| AttestError::Unavailable {
        path: path.display().to_string(),
        reason: format!("`{text}` is not a number"),
    })
}

/// A short text without the white space around it.
fn word(path: &Path) -> Result<String, AttestError> {
    let bytes = read(path, MAX_WORD_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// All of a file, if it is no longer than `limit`.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, AttestError> {
    let file = File::open(path).map_err(|error| unavailable(path, &error))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| unavailable(path, &error))?;
    if bytes.len() > limit {
        return Err(AttestError::TooLong {
            path: path.display().to_string(),
            limit,
        });
    }
    Ok(bytes)
}

/// The same, and nothing where there is no such file: providers without certificates have no `auxblob`.
fn read_if_there(path: &Path, limit: usize) -> Result<Vec<u8>, AttestError> {
    if path.exists() {
        read(path, limit)
    } else {
        Ok(Vec::new())
    }
}

/// Writes with one call, as configfs wants it, and neither creates nor shortens the file.
fn write(path: &Path, bytes: &[u8]) -> Result<(), AttestError> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|error| unavailable(path, &error))
}

fn unavailable(path: &Path, error: &std::io::Error) -> AttestError {
    AttestError::Unavailable {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
