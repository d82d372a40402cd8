//! Which transaction an order of a member's went into, by the order's reference.
//!
//! ```text
//! members/NAME/journal    a line for each order: transaction (64 hex digits), space, mark (64 hex digits)
//! mark = hash(transaction, reference)
//! ```
//!
//! References may tell of trades, so they do not stand here in the clear.
//!
//! The ledger tells nobody which reference an envelope holds, not even its author. The line is written before the
//! transaction goes out; where it is missing, the transaction can still be found by its name.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sealbook_primitives::hash::{Digest, hash};

use crate::error::{Result, doing};

const FILE: &str = "journal";
const MARK_DOMAIN: &str = "sealbook 2026 journal reference v1";
/// Older lines than the last so many bytes' are not searched.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

fn mark(transaction: &Digest, reference: &str) -> String {
    hash(MARK_DOMAIN, &[transaction.as_bytes(), reference.as_bytes()]).to_string()
}

/// Notes that the order with this reference goes out with this transaction.
///
/// # Errors
/// The member's folder cannot be written.
pub fn note(member: &Path, transaction: &Digest, reference: &str) -> Result<()> {
    let path = member.join(FILE);
    let mut file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(doing(path.display()))?;
    // In one write, so that lines of commands at the same time do not mix.
    let line = format!("{transaction} {}\n", mark(transaction, reference));
    file.write_all(line.as_bytes())
        .map_err(doing(path.display()))
}

/// The last transaction that an order with this reference went out with, and the order's place in it.
///
/// # Errors
/// The journal cannot be read.
pub fn find(member: &Path, reference: &str) -> Result<Option<(Digest, u32)>> {
    let path = member.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let mut file = File::open(&path).map_err(doing(path.display()))?;
    let size = file.metadata().map_err(doing(path.display()))?.len();
    if size > BYTES_MAX {
        use std::io::{Seek as _, SeekFrom};
        file.seek(SeekFrom::Start(size - BYTES_MAX))
            .map_err(doing(path.display()))?;
    }
    let (mut found, mut present, mut place) = (None, None, 0);
    for line in BufReader::new(file.take(BYTES_MAX)).split(b'\n') {
        let line = line.map_err(doing(path.display()))?;
        let Ok(line) = std::str::from_utf8(&line) else {
            continue;
        };
        let Some((transaction, noted)) = line.split_once(' ') else {
            continue;
        };
        let Ok(transaction) = Digest::from_hex(transaction) else {
            continue;
        };
        place = if present == Some(transaction) {
            place + 1
        } else {
            0
        };
        present = Some(transaction);
        if noted == mark(&transaction, reference) {
            found = Some((transaction, place));
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_transaction_of_a_reference_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(folder.path(), "T 1").unwrap(), None);
        let [first, second, third] = [1, 2, 3].map(|byte| Digest([byte; 32]));
        for (transaction, reference) in [
            (first, "T 1"),
            (second, "T 2"),
            (second, "T 3"),
            (third, "T 1"),
        ] {
            note(folder.path(), &transaction, reference).unwrap();
        }
        let found = |reference| find(folder.path(), reference).unwrap();
        assert_eq!(found("T 1"), Some((third, 0)));
        assert_eq!(found("T 2"), Some((second, 0)));
        assert_eq!(found("T 3"), Some((second, 1)));
        assert_eq!(found("T"), None);
        // A line that was cut off says nothing, and hides nothing.
        std::fs::write(
            folder.path().join(FILE),
            format!(
                "{first} {}\n{second} {}\nabc",
                mark(&first, "T 1"),
                mark(&second, "T 2")
            ),
        )
        .unwrap();
        assert_eq!(found("T 2"), Some((second, 0)));
    }
}
