//! Private keys and chains on disk: the one part of this crate that touches files. Nothing else
//! here calls it.
//!
//! ```text
//! *.key   PEM, one PRIVATE KEY or ENCRYPTED PRIVATE KEY, mode 0600    written once, replaced only to be encrypted or not
//! *.pem   PEM, 1 to 4 CERTIFICATE, leaf first, mode 0644    replaced whole on renewal
//! *.crl   PEM, CERTIFICATE of authorities and X509 CRL, or one list in DER; mode 0644, replaced whole
//! ```
//!
//! INVARIANT: a private key that group or others may read is not used, because it is no longer
//! private. Nor is a passphrase.
//!
//! Where the environment names a file with a passphrase ([`PASSPHRASE_FILE`]), keys are written
//! encrypted, and those that are encrypted are read.
//!
//! After a crash a key file is whole or, if it was being made, may be cut short: it then fails to
//! load and can be deleted, for nothing was certified with it yet. A chain file is always whole:
//! it is written beside its place, synchronised and renamed; a left-over `*.new` is overwritten
//! next time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustls_pki_types::CertificateDer;
use sealbook_primitives::secret::{Secret32, SecretBytes};

use crate::{
    RevocationError, RevocationList,
    pem::{self, CHAIN_TEXT_BYTES_MAX, KEY_TEXT_BYTES_MAX, LISTS_FILE_BYTES_MAX, PemError},
    revocation::LISTS_MAX,
};

const KEY_MODE: u32 = 0o600;
const CHAIN_MODE: u32 = 0o644;
const OTHERS_MASK: u32 = 0o077;

/// The environment's variable with the path of a file whose first line is the passphrase of private keys.
pub const PASSPHRASE_FILE: &str = "SEALBOOK_PASSPHRASE_FILE";
/// The shortest and the longest passphrase, in bytes.
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The contents are wrong.
    #[error("`{}`: {source}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PemError,
    },
    /// A revocation list is not used.
    #[error("`{}`: {source}", path.display())]
    Revocation {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: RevocationError,
    },
    /// Others than the owner may read or write a private key.
    #[error("`{}` is a private key with mode {mode:04o}, which others may use", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A private key is encrypted, and nobody says under which passphrase.
    #[error("`{}` is encrypted, and no passphrase is given", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase is too short or too long.
    #[error("the first line of `{}` is no passphrase: it has 8 to 1024 bytes", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
    /// A private key would be overwritten.
    #[error("`{}` exists already, and a private key is never overwritten", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path, or create the file first"
            }
            Self::Io { .. } => "check the path, its permissions and the space on the disk",
            Self::Contents { source, .. } => source.hint(),
            Self::Revocation { source, .. } => source.hint(),
            Self::Exposed { .. } => {
                "run `chmod 600` on it; if others may have read it, make a new key and enrol again"
            }
            Self::Locked { .. } => {
                "name the passphrase's file in the environment: SEALBOOK_PASSPHRASE_FILE=PATH"
            }
            Self::Passphrase { .. } => "write a longer one",
            Self::KeyExists { .. } => "choose another name, or move the old key away",
        }
    }
}

/// Writes a new private key with mode 0600 and makes it durable, encrypted where the environment has a passphrase. An
/// existing file is left alone.
pub fn write_private_key(path: &Path, seed: &Secret32) -> Result<(), FileError> {
    write_new_key(path, &key_text(path, seed, own_passphrase()?.as_ref())?)
}

fn key_text(
    path: &Path,
    seed: &Secret32,
    passphrase: Option<&SecretBytes>,
) -> Result<SecretBytes, FileError> {
    let text = match passphrase {
        Some(passphrase) => pem::seed_to_encrypted_pem(seed, passphrase),
        None => pem::seed_to_pem(seed),
    };
    text.map_err(|source| FileError::Contents {
        path: path.to_owned(),
        source,
    })
}

/// Puts a private key that is encrypted, or with no passphrase one that is not, in the place of another form of it. Whoever
/// reads meanwhile finds either whole.
pub fn rewrite_private_key(
    path: &Path,
    seed: &Secret32,
    passphrase: Option<&SecretBytes>,
) -> Result<(), FileError> {
    let text = key_text(path, seed, passphrase)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".rewritten");
    let beside = PathBuf::from(beside);
    // What a process that was killed has left.
    let _ = fs::remove_file(&beside);
    write_new_key(&beside, &text)?;
    fs::rename(&beside, path)
        .and_then(|()| synchronise_directory(path))
        .map_err(|source| at(path, source))
}

fn write_new_key(path: &Path, text: &SecretBytes) -> Result<(), FileError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(KEY_MODE)
        .open(path);
    let mut file = match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(FileError::KeyExists {
                path: path.to_owned(),
            });
        }
        other => other.map_err(|source| at(path, source))?,
    };
    // The process's umask may only take permissions away; say exactly what we mean.
    file.set_permissions(fs::Permissions::from_mode(KEY_MODE))
        .and_then(|()| file.write_all(text.expose()))
        .and_then(|()| file.sync_all())
        .and_then(|()| synchronise_directory(path))
        .map_err(|source| at(path, source))
}

/// Reads a private key, unless others than the owner may use the file. One that is encrypted opens under the environment's
/// passphrase.
pub fn read_private_key(path: &Path) -> Result<Secret32, FileError> {
    let text = read_secret(path, KEY_TEXT_BYTES_MAX)?;
    if !pem::is_encrypted(text.expose()) {
        return seed_of(path, pem::seed_from_pem(text.expose()));
    }
    let locked = || FileError::Locked {
        path: path.to_owned(),
    };
    read_encrypted(path, &text, &own_passphrase()?.ok_or_else(locked)?)
}

/// Reads a private key, encrypted under this passphrase or not at all.
pub fn read_private_key_under(
    path: &Path,
    passphrase: &SecretBytes,
) -> Result<Secret32, FileError> {
    let text = read_secret(path, KEY_TEXT_BYTES_MAX)?;
    if pem::is_encrypted(text.expose()) {
        return read_encrypted(path, &text, passphrase);
    }
    seed_of(path, pem::seed_from_pem(text.expose()))
}

fn read_encrypted(
    path: &Path,
    text: &SecretBytes,
    passphrase: &SecretBytes,
) -> Result<Secret32, FileError> {
    seed_of(
        path,
        pem::seed_from_encrypted_pem(text.expose(), passphrase),
    )
}

fn seed_of(path: &Path, read: Result<Secret32, PemError>) -> Result<Secret32, FileError> {
    read.map_err(|source| FileError::Contents {
        path: path.to_owned(),
        source,
    })
}

/// The passphrase in the file that the environment names, if it names one.
fn own_passphrase() -> Result<Option<SecretBytes>, FileError> {
    let path = std::env::var_os(PASSPHRASE_FILE);
    path.map(|path| read_passphrase(Path::new(&path)))
        .transpose()
}

/// The passphrase in the first line of a file, unless others than the owner may use the file.
pub fn read_passphrase(path: &Path) -> Result<SecretBytes, FileError> {
    let text = read_secret(path, *PASSPHRASE_BYTES.end() + 2)?;
    let line = text.expose().split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !PASSPHRASE_BYTES.contains(&line.len()) {
        return Err(FileError::Passphrase {
            path: path.to_owned(),
        });
    }
    Ok(SecretBytes::new(line.to_vec()))
}

/// What a file holds, up to one byte more than `limit`, unless others than the owner may use it.
///
/// # Errors
/// The file cannot be read, or others may use it.
pub fn read_secret(path: &Path, limit: usize) -> Result<SecretBytes, FileError> {
    let mut file = File::open(path).map_err(|source| at(path, source))?;
    // The open file is asked, not the path, so that nobody swaps the file in between.
    let metadata = file.metadata().map_err(|source| at(path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_MASK != 0 {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut buffer = vec![0; limit + 1];
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(at(path, source)),
        }
    }
    let buffer = SecretBytes::new(buffer);
    let text = buffer.expose().get(..length).unwrap_or_default();
    Ok(SecretBytes::new(text.to_vec()))
}

/// Writes a chain, leaf first, in place of an older one if there is one, and makes it durable.
pub fn write_chain(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), FileError> {
    let text = pem::chain_to_pem(chain).map_err(|source| FileError::Contents {
        path: path.to_owned(),
        source,
    })?;
    write_text(path, &text)
}

/// Writes a text that everybody may read in place of an older one if there is one, and makes it
/// durable. Whoever reads meanwhile finds the older one whole.
pub fn write_text(path: &Path, text: &str) -> Result<(), FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(CHAIN_MODE)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| synchronise_directory(path))
        .map_err(|source| at(path, source))
}

/// Reads a chain, leaf first. The certificates are not looked into.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read_text(path, CHAIN_TEXT_BYTES_MAX)?;
    pem::chain_from_pem(&text).map_err(|source| FileError::Contents {
        path: path.to_owned(),
        source,
    })
}

/// Reads a text file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    let bytes = read_bytes(path, limit)?;
    String::from_utf8(bytes)
        .map_err(|_| at(path, io::Error::new(io::ErrorKind::InvalidData, "no text")))
}

fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(|source| at(path, source))?;
    if bytes.len() > limit {
        let source = PemError::TooLarge {
            found: bytes.len(),
            limit,
        };
        return Err(FileError::Contents {
            path: path.to_owned(),
            source,
        });
    }
    Ok(bytes)
}

/// Reads files with revocation lists and verifies every list as of `now_ms`, with the certificates
/// of authorities in any of the files.
pub fn read_lists(
    paths: &[PathBuf],
    roots: &[CertificateDer<'_>],
    network: &str,
    now_ms: u64,
) -> Result<Vec<RevocationList>, FileError> {
    let (mut lists, mut authorities) = (Vec::new(), Vec::new());
    if let Some(path) = paths.get(LISTS_MAX) {
        return Err(FileError::Revocation {
            path: path.clone(),
            source: RevocationError::TooManyLists {
                found: paths.len(),
                limit: LISTS_MAX,
            },
        });
    }
    for path in paths {
        let bytes = read_bytes(path, LISTS_FILE_BYTES_MAX)?;
        let (found, with) =
            pem::lists_from_bytes(&bytes).map_err(|source| FileError::Contents {
                path: path.clone(),
                source,
            })?;
        lists.extend(found.into_iter().map(|list| (path, list)));
        authorities.extend(with);
    }
    lists
        .into_iter()
        .map(|(path, list)| {
            RevocationList::verify(&list, &authorities, roots, network, now_ms).map_err(|source| {
                FileError::Revocation {
                    path: path.clone(),
                    source,
                }
            })
        })
        .collect()
}

/// Makes the name of the file at `path` durable, not only its contents.
pub fn synchronise_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn at(path: &Path, source: io::Error) -> FileError {
    FileError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_private_read_back_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("member.key");
        let seed = Secret32::new([9; 32]);
        write_private_key(&path, &seed).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert!(read_private_key(&path).unwrap().constant_time_eq(&seed));
        assert!(matches!(
            write_private_key(&path, &Secret32::new([1; 32])),
            Err(FileError::KeyExists { .. })
        ));
        assert!(read_private_key(&path).unwrap().constant_time_eq(&seed));
    }

    #[test]
    fn a_key_that_others_may_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("member.key");
        write_private_key(&path, &Secret32::new([9; 32])).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_private_key(&path).err().unwrap();
            assert!(matches!(error, FileError::Exposed { mode: found, .. } if found == mode));
            assert!(error.hint().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_private_key(&path).is_ok());
    }

    #[test]
    fn damaged_and_endless_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("member.key");
        for contents in [Vec::new(), vec![0xff; 100], vec![b'a'; 1 << 20]] {
            fs::write(&path, &contents).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(
                read_private_key(&path),
                Err(FileError::Contents { .. })
            ));
            assert!(read_chain(&path).is_err());
        }
        let missing = read_private_key(&directory.path().join("none"))
            .err()
            .unwrap();
        assert!(missing.hint().contains("check the path"));
    }

    #[test]
    fn a_chain_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("member.pem");
        for length in [10_usize, 2000, 3] {
            let chain = vec![CertificateDer::from(vec![5; length])];
            write_chain(&path, &chain).unwrap();
            assert_eq!(read_chain(&path).unwrap(), chain);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_encrypted_in_its_place_and_back() {
        let directory = tempfile::tempdir().unwrap();
        let (key, phrase) = (
            directory.path().join("k.key"),
            directory.path().join("phrase"),
        );
        let seed = Secret32::new([9; 32]);
        write_private_key(&key, &seed).unwrap();
        let plain = fs::read(&key).unwrap();
        fs::write(&phrase, "correct horse\nnot this line\n").unwrap();
        fs::set_permissions(&phrase, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            read_passphrase(&phrase),
            Err(FileError::Exposed { .. })
        ));
        fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
        let passphrase = read_passphrase(&phrase).unwrap();
        assert_eq!(passphrase.expose(), b"correct horse");

        rewrite_private_key(&key, &seed, Some(&passphrase)).unwrap();
        let sealed = fs::read(&key).unwrap();
        assert!(pem::is_encrypted(&sealed));
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = read_private_key_under(&key, &passphrase).unwrap();
        assert!(read.constant_time_eq(&seed));
        // No passphrase is in the environment of tests.
        let locked = read_private_key(&key).err().unwrap();
        assert!(
            matches!(locked, FileError::Locked { .. }) && locked.hint().contains(PASSPHRASE_FILE)
        );
        let other = SecretBytes::new(b"another one".to_vec());
        assert!(matches!(
            read_private_key_under(&key, &other),
            Err(FileError::Contents {
                source: PemError::Passphrase,
                ..
            })
        ));
        rewrite_private_key(&key, &seed, None).unwrap();
        assert_eq!(fs::read(&key).unwrap(), plain);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        for bad in ["", "short\n", &"x".repeat(1_025)] {
            fs::write(&phrase, bad).unwrap();
            assert!(matches!(
                read_passphrase(&phrase),
                Err(FileError::Passphrase { .. })
            ));
        }
    }
}
