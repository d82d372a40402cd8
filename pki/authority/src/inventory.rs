//! Everything that the authority ever issued and revoked.
//!
//! ```text
//! sealbook-inventory 3
//! issued <name> <role> <serial, 32 hexadecimal digits> <not after, milliseconds since 1970>
//! revoked <serial> <reason> <when, milliseconds since 1970>
//! list <role> <number> <next update, milliseconds since 1970>
//! rotated <role> <fingerprint of the new authority, 64 hexadecimal digits>
//! ```
//!
//! What was issued for a role before it was last rotated is under the authority before.
//!
//! INVARIANT: a line is durable before its certificate or revocation list leaves the authority. A
//! line without a certificate in the world is harmless; a certificate without a line could never be
//! revoked, and two lists could have one number.
//!
//! INVARIANT: lines are only added. What is revoked was issued, once, and stays revoked; the lists of
//! a role have ascending numbers. An inventory that says otherwise is refused.
//!
//! After a crash the last line may be cut short. It has no line end then, what it speaks of was never
//! handed out, and the next entry takes its place.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sealbook_identity::{
    RevocationReason, Role, check_short_name, files::synchronise_directory, revocation::Revoked,
};

use sealbook_primitives::hash::Digest;

use crate::AuthorityError;

const HEADER: &str = "sealbook-inventory 3\n";
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
    /// When and why it was revoked, if it was.
    pub revoked: Option<Revoked>,
}

/// What the lines say together.
#[derive(Default)]
pub(crate) struct Inventory {
    /// Oldest first.
    pub(crate) issued: Vec<Issued>,
    places: BTreeMap<String, usize>,
    /// The number and the next update of the last list of each role.
    lists: BTreeMap<Role, (u64, u64)>,
    /// How many had been issued, for all roles, when a role was last rotated, and to which authority.
    rotated: BTreeMap<Role, (usize, Digest)>,
}

/// One line.
pub(crate) enum Line {
    /// A certificate.
    Issued(Issued),
    /// The revocation of one.
    Revoked(String, Revoked),
    /// A revocation list: its role, number and next update.
    List(Role, u64, u64),
    /// Another authority for a role, and its fingerprint.
    Rotated(Role, Digest),
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued(Issued {
                name,
                role,
                serial,
                not_after_ms,
                ..
            }) => writeln!(formatter, "issued {name} {role} {serial} {not_after_ms}"),
            Self::Revoked(serial, Revoked { revoked_ms, reason }) => {
                writeln!(formatter, "revoked {serial} {reason} {revoked_ms}")
            }
            Self::List(role, number, next_update_ms) => {
                writeln!(formatter, "list {role} {number} {next_update_ms}")
            }
            Self::Rotated(role, which) => writeln!(formatter, "rotated {role} {which}"),
        }
    }
}

impl Line {
    /// Reads a line without its end. It has no other text.
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').take(6).collect();
        let line = match words.as_slice() {
            ["issued", name, role, serial, not_after_ms] => Self::Issued(Issued {
                name: check_short_name(name).is_ok().then(|| (*name).to_owned())?,
                role: role.parse().ok()?,
                serial: check_serial(serial)?,
                not_after_ms: not_after_ms.parse().ok()?,
                revoked: None,
            }),
            ["revoked", serial, reason, revoked_ms] => Self::Revoked(
                check_serial(serial)?,
                Revoked {
                    revoked_ms: revoked_ms.parse().ok()?,
                    reason: reason.parse::<RevocationReason>().ok()?,
                },
            ),
            ["list", role, number, next_update_ms] => Self::List(
                role.parse().ok()?,
                number.parse().ok()?,
                next_update_ms.parse().ok()?,
            ),
            ["rotated", role, which] => {
                Self::Rotated(role.parse().ok()?, Digest::from_hex(which).ok()?)
            }
            _ => return None,
        };
        (line.to_string().trim_end() == text).then_some(line)
    }
}

fn check_serial(text: &str) -> Option<String> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == SERIAL_DIGITS && text.bytes().all(digit)).then(|| text.to_owned())
}

impl Inventory {
    /// The certificate with this serial number.
    pub(crate) fn by_serial(&self, serial: &str) -> Option<&Issued> {
        self.issued.get(*self.places.get(serial)?)
    }

    /// The number of the next list of this role's authority.
    pub(crate) fn next_number(&self, role: Role) -> u64 {
        let last = self.lists.get(&role).map_or(0, |(number, _)| *number);
        last.saturating_add(1)
    }

    /// Until when the last list for this role is in force.
    pub(crate) fn next_update_ms(&self, role: Role) -> Option<u64> {
        self.lists
            .get(&role)
            .map(|(_, next_update_ms)| *next_update_ms)
    }

    /// Which authority a role was last rotated to.
    pub(crate) fn rotated_to(&self, role: Role) -> Option<Digest> {
        self.rotated.get(&role).map(|(_, which)| *which)
    }

    /// How many certificates are under the authority before this role's present one, valid and not revoked.
    pub(crate) fn under_former(&self, role: Role, now_ms: u64) -> usize {
        let before = self.rotated.get(&role).map_or(0, |(before, _)| *before);
        let counts =
            |one: &&Issued| one.role == role && one.revoked.is_none() && one.not_after_ms >= now_ms;
        self.issued.iter().take(before).filter(counts).count()
    }

    /// Takes a line in, unless it cannot be.
    fn take(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Issued(issued) => {
                let place = self.issued.len();
                let doubled = self.places.insert(issued.serial.clone(), place);
                self.issued.push(issued);
                doubled.is_none().then_some(())
            }
            Line::Revoked(serial, revoked) => {
                let issued = self.issued.get_mut(*self.places.get(&serial)?)?;
                issued.revoked.replace(revoked).is_none().then_some(())
            }
            Line::List(role, number, next_update_ms) => {
                let former = self.lists.insert(role, (number, next_update_ms));
                (former.map_or(0, |(former, _)| former) < number).then_some(())
            }
            Line::Rotated(role, which) => {
                let former = self.rotated.insert(role, (self.issued.len(), which));
                former
                    .is_none_or(|(_, former)| former != which)
                    .then_some(())
            }
        }
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
        .map_err(|source| AuthorityError::at(path, source))
}

/// Reads all lines.
pub(crate) fn read(path: &Path) -> Result<Inventory, AuthorityError> {
    let mut file = File::open(path).map_err(|source| AuthorityError::at(path, source))?;
    let text = read_text(&mut file).map_err(|source| AuthorityError::at(path, source))?;
    parse(path, &text).map(|(inventory, _)| inventory)
}

/// Adds the line that `decide` makes of what is known, and makes it durable. Two processes take
/// turns. Gives what was known together with the line.
pub(crate) fn add(
    path: &Path,
    decide: impl FnOnce(&Inventory) -> Result<Line, AuthorityError>,
) -> Result<Inventory, AuthorityError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| AuthorityError::at(path, source))?;
    file.lock()
        .map_err(|source| AuthorityError::at(path, source))?;
    let text = read_text(&mut file).map_err(|source| AuthorityError::at(path, source))?;
    let (mut inventory, whole) = parse(path, &text)?;
    let line = decide(&inventory)?;
    let shown = line.to_string();
    let end = u64::try_from(whole).unwrap_or(u64::MAX);
    let added = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    if end.saturating_add(added) > BYTES_MAX {
        return Err(AuthorityError::at(
            path,
            io::Error::new(io::ErrorKind::FileTooLarge, "the inventory is full"),
        ));
    }
    // What would make the inventory unreadable is not written.
    if inventory.take(line).is_none() {
        let line = text.lines().count().saturating_add(1);
        return Err(unreadable(path, line));
    }
    file.set_len(end)
        .and_then(|()| file.seek(SeekFrom::Start(end)))
        .and_then(|_| file.write_all(shown.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(|source| AuthorityError::at(path, source))?;
    Ok(inventory)
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
fn parse(path: &Path, text: &str) -> Result<(Inventory, usize), AuthorityError> {
    let lines = text
        .strip_prefix(HEADER)
        .ok_or_else(|| unreadable(path, 1))?;
    let whole = lines.rfind('\n').map_or(0, |position| position + 1);
    let mut inventory = Inventory::default();
    let lines = lines
        .get(..whole)
        .unwrap_or_default()
        .split_terminator('\n');
    for (index, text) in lines.enumerate() {
        Line::read(text)
            .and_then(|line| inventory.take(line))
            .ok_or_else(|| unreadable(path, index + 2))?;
    }
    Ok((inventory, HEADER.len() + whole))
}

fn unreadable(path: &Path, line: usize) -> AuthorityError {
    AuthorityError::Inventory {
        path: path.to_owned(),
        line,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u8) -> Issued {
        Issued {
            name: format!("member-{number}"),
            role: Role::CashAgent,
            serial: format!("{number:032x}"),
            not_after_ms: 1_800_000_000_000,
            revoked: None,
        }
    }

    fn append(path: &Path, number: u8) -> Result<Inventory, AuthorityError> {
        add(path, |_| Ok(Line::Issued(entry(number))))
    }

    #[test]
    fn entries_are_read_back_and_a_torn_line_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        create(&path).unwrap();
        assert_eq!(read(&path).unwrap().issued, []);
        append(&path, 1).unwrap();
        append(&path, 2).unwrap();
        assert_eq!(read(&path).unwrap().issued, [entry(1), entry(2)]);

        let whole = std::fs::read(&path).unwrap();
        for cut in 1..40 {
            std::fs::write(&path, whole.get(..whole.len() - cut).unwrap()).unwrap();
            assert_eq!(read(&path).unwrap().issued, [entry(1)]);
            append(&path, 3).unwrap();
            assert_eq!(read(&path).unwrap().issued, [entry(1), entry(3)]);
        }
        assert!(create(&path).is_err());
    }

    #[test]
    fn the_text_is_pinned() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        create(&path).unwrap();
        append(&path, 1).unwrap();
        let revoked = Revoked {
            revoked_ms: 1_795_132_800_000,
            reason: RevocationReason::KeyCompromise,
        };
        let inventory = add(&path, |_| Ok(Line::Revoked(entry(1).serial, revoked))).unwrap();
        assert_eq!(
            inventory.by_serial(&entry(1).serial).unwrap().revoked,
            Some(revoked)
        );
        let inventory = add(&path, |known| {
            Ok(Line::List(Role::Firm, known.next_number(Role::Firm), 7))
        });
        assert_eq!(inventory.unwrap().next_number(Role::Firm), 2);
        add(&path, |_| {
            Ok(Line::Rotated(Role::CashAgent, Digest([9; 32])))
        })
        .unwrap();
        append(&path, 2).unwrap();
        let inventory = append(&path, 3).unwrap();
        // The first is under the former authority, and revoked.
        assert_eq!(inventory.under_former(Role::CashAgent, 0), 0);
        assert_eq!(inventory.under_former(Role::Firm, 0), 0);
        let inventory = add(&path, |_| {
            Ok(Line::Rotated(Role::CashAgent, Digest([10; 32])))
        })
        .unwrap();
        assert_eq!(inventory.under_former(Role::CashAgent, 0), 2);
        assert_eq!(inventory.under_former(Role::CashAgent, u64::MAX), 0);
        let expected = "sealbook-inventory 3\n\
            issued member-1 cash-agent 00000000000000000000000000000001 1800000000000\n\
            revoked 00000000000000000000000000000001 key-compromise 1795132800000\n\
            list firm 1 7\n\
            rotated cash-agent 0909090909090909090909090909090909090909090909090909090909090909\n\
            issued member-2 cash-agent 00000000000000000000000000000002 1800000000000\n\
            issued member-3 cash-agent 00000000000000000000000000000003 1800000000000\n\
            rotated cash-agent 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_damaged_inventory_is_named_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        let serial = "00112233445566778899aabbccddeeff";
        let good = format!("issued a firm {serial} 5\n");
        for (text, line) in [
            (String::new(), 1),
            ("sealbook-inventory 2\n".to_owned(), 1),
            (format!("{HEADER}{good}issued b king {serial} 5\n"), 3),
            (
                format!("{HEADER}{good}issued b firm {} 5\n", serial.to_uppercase()),
                3,
            ),
            (format!("{HEADER}{good}issued b firm {serial} -5\n"), 3),
            (format!("{HEADER}{good}{} 6\n", good.trim_end()), 3),
            (format!("{HEADER}{good}{}\r\n", good.trim_end()), 3),
            (format!("{HEADER}\n{good}"), 2),
            // One serial number twice; a revocation of nothing, of what is revoked, for no reason.
            (format!("{HEADER}{good}{good}"), 3),
            (format!("{HEADER}revoked {serial} superseded 5\n{good}"), 2),
            (
                format!(
                    "{HEADER}{good}{0}{0}",
                    format!("revoked {serial} superseded 5\n")
                ),
                4,
            ),
            (
                format!("{HEADER}{good}revoked {serial} certificate-hold 5\n"),
                3,
            ),
            (format!("{HEADER}{good}revoked {serial} superseded 05\n"), 3),
            (format!("{HEADER}rotated king 5\n"), 2),
            (format!("{HEADER}rotated firm 05\n"), 2),
            // Twice to the same one.
            (
                format!(
                    "{HEADER}{0}{0}",
                    format!("rotated firm {}\n", Digest([1; 32]))
                ),
                3,
            ),
            // Numbers of lists that do not ascend.
            (format!("{HEADER}list firm 0 5\n"), 2),
            (
                format!("{HEADER}list firm 2 5\nlist node 1 5\nlist firm 2 5\n"),
                4,
            ),
        ] {
            std::fs::write(&path, &text).unwrap();
            for error in [read(&path).err(), append(&path, 2).err()] {
                assert!(
                    matches!(error, Some(AuthorityError::Inventory { line: found, .. })
                        if found == line),
                    "{text} {error:?}"
                );
            }
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issued.txt");
        create(&path).unwrap();
        append(&path, 1).unwrap();
        assert!(append(&path, 1).is_err());
        assert!(add(&path, |_| Ok(Line::List(Role::Firm, 0, 5))).is_err());
        assert_eq!(read(&path).unwrap().issued, [entry(1)]);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(
            text in "(sealbook-inventory 3\n)?((issued|revoked|list|rotated) )?[ -~\n]{0,200}"
        ) {
            let _ = parse(Path::new("x"), &text);
        }
    }
}
