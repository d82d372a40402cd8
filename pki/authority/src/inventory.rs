//! The list of everything that the authority ever issued.
//!
//! ```text
//! sealbook-inventory 1
//! <name> <role> <serial, 32 hexadecimal digits> <not after, milliseconds since 1970>
//! ```
//!
//! INVARIANT: a line is durable before its certificate leaves the authority. A line without a
//! certificate in the world is harmless; a certificate without a line could never be revoked.
//!
//! After a crash the last line may be cut short. It has no line end then, its certificate was never
//! handed out, and the next entry takes its place.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sealbook_identity::{
    Role, check_short_name,
    files::{FileError, synchronise_directory},
};

use crate::AuthorityError;

const HEADER: &str = "sealbook-inventory 1\n";
/// The most bytes that are read: some hundred thousand certificates.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Length of a serial number as text.
const SERIAL_DIGITS: usize = 32;

/// One certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The holder's short name.
    pub name: String,
    /// The holder's role.
    pub role: Role,
    /// The serial number: 32 hexadecimal digits in small letters.
    pub serial: String,
    /// Last moment of validity, milliseconds since 1970 (UTC).
    pub not_after_ms: u64,
}

impl Issued {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words
            .next()
            .filter(|name| check_short_name(name).is_ok())?
            .to_owned();
        let role = words.next()?.parse().ok()?;
        let serial = words.next().filter(|serial| {
            let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            serial.len() == SERIAL_DIGITS && serial.bytes().all(digits)
        })?;
        let not_after_ms = words.next()?.parse().ok()?;
        let issued = Self {
            name,
            role,
            serial: serial.to_owned(),
            not_after_ms,
        };
        words.next().is_none().then_some(issued)
    }
}

/// Makes an empty inventory.
pub(crate) fn create(path: &Path) -> Result<(), AuthorityError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(HEADER.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| synchronise_directory(path))
        .map_err(|source| at(path, source))
}

/// Reads all entries, in the order in which they were issued.
pub(crate) fn read(path: &Path) -> Result<Vec<Issued>, AuthorityError> {
    let mut file = File::open(path).map_err(|source| at(path, source))?;
    let text = read_text(&mut file).map_err(|source| at(path, source))?;
    parse(path, &text).map(|(entries, _)| entries)
}

/// Adds an entry and makes it durable. Two processes take turns.
pub(crate) fn append(path: &Path, issued: &Issued) -> Result<(), AuthorityError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| at(path, source))?;
    file.lock().map_err(|source| at(path, source))?;
    let text = read_text(&mut file).map_err(|source| at(path, source))?;
    let (_, whole) = parse(path, &text)?;
    let Issued {
        name,
        role,
        serial,
        not_after_ms,
    } = issued;
    let line = format!("{name} {role} {serial} {not_after_ms}\n");
    let end = u64::try_from(whole).unwrap_or(u64::MAX);
    let added = u64::try_from(line.len()).unwrap_or(u64::MAX);
    if end.saturating_add(added) > BYTES_MAX {
        return Err(at(
            path,
            io::Error::new(io::ErrorKind::FileTooLarge, "the inventory is full"),
        ));
    }
    file.set_len(end)
        .and_then(|()| file.seek(SeekFrom::Start(end)))
        .and_then(|_| file.write_all(line.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(|source| at(path, source))
}

fn read_text(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the inventory is too large",
        ));
    }
    Ok(text)
}

/// The entries, and the length of the text up to the end of the last whole line.
fn parse(path: &Path, text: &str) -> Result<(Vec<Issued>, usize), AuthorityError> {
    let unreadable = |line| AuthorityError::Inventory {
        path: path.to_owned(),
        line,
    };
    let lines = text.strip_prefix(HEADER).ok_or_else(|| unreadable(1))?;
    let whole = lines.rfind('\n').map_or(0, |position| position + 1);
    let entries = lines
        .get(..whole)
        .unwrap_or_default()
        .lines()
        .enumerate()
        .map(|(index, line)| Issued::read(line).ok_or_else(|| unreadable(index + 2)))
        .collect::<Result<_, _>>()?;
    Ok((entries, HEADER.len() + whole))
}

fn at(path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File(FileError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str) -> Issued {
        Issued {
            name: name.to_owned(),
            role: Role::CashAgent,
            serial: "00112233445566778899aabbccddeeff".to_owned(),
            not_after_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn entries_are_read_back_and_a_torn_line_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
        append(&path, &entry("a")).unwrap();
        append(&path, &entry("b")).unwrap();
        assert_eq!(read(&path).unwrap(), [entry("a"), entry("b")]);

        let whole = std::fs::read(&path).unwrap();
        for cut in 1..40 {
            std::fs::write(&path, whole.get(..whole.len() - cut).unwrap()).unwrap();
            assert_eq!(read(&path).unwrap(), [entry("a")]);
            append(&path, &entry("c")).unwrap();
            assert_eq!(read(&path).unwrap(), [entry("a"), entry("c")]);
        }
        assert!(create(&path).is_err());
    }

    #[test]
    fn a_damaged_inventory_is_named_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        let good = "a firm 00112233445566778899aabbccddeeff 5\n";
        for (text, line) in [
            (String::new(), 1),
            ("sealbook-inventory 2\n".to_owned(), 1),
            (
                format!("{HEADER}{good}a king 00112233445566778899aabbccddeeff 5\n"),
                3,
            ),
            (
                format!("{HEADER}{good}a firm 00112233445566778899AABBCCDDEEFF 5\n"),
                3,
            ),
            (
                format!("{HEADER}{good}a firm 00112233445566778899aabbccddeeff -5\n"),
                3,
            ),
            (format!("{HEADER}{good}{} 6\n", good.trim_end()), 3),
            (format!("{HEADER}\n{good}"), 2),
        ] {
            std::fs::write(&path, text).unwrap();
            for error in [read(&path).err(), append(&path, &entry("b")).err()] {
                assert!(
                    matches!(error, Some(AuthorityError::Inventory { line: found, .. })
                        if found == line)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(sealbook-inventory 1\n)?[ -~\n]{0,200}") {
            let _ = parse(Path::new("x"), &text);
        }
    }
}
