//! The seal that a node puts on its folder when it stops in order: a hash of every file, so that a
//! copy in which any byte was changed, cut off or added is recognised before anything in it is
//! believed.
//!
//! ```text
//! MANIFEST = "sealbook manifest v1" newline, then per file "<hash> <length> <path>" sorted by path,
//!            last "<hash of all lines before> end"
//! ```
//!
//! A running node has no manifest: it is removed at start and written at the end. A copy without
//! one is checked by what blocks, certificates and checksums say of themselves.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sealbook_primitives::hash::{Digest, Hasher, hash};

/// Name of the manifest in a node's folder.
pub const MANIFEST: &str = "MANIFEST";
const FILE_DOMAIN: &str = "sealbook 2026 manifest file v1";
const LINES_DOMAIN: &str = "sealbook 2026 manifest lines v1";
const CHUNK_BYTES: u64 = 64 * 1024;
const FIRST_LINE: &str = "sealbook manifest v1\n";

/// Removes the manifest of a node that starts.
///
/// # Errors
/// The file system failed.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(MANIFEST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes the manifest of a node that has stopped.
///
/// # Errors
/// The file system failed.
pub fn write(folder: &Path) -> io::Result<()> {
    let text = render(folder)?;
    let path = folder.join(MANIFEST);
    fs::write(&path, text)?;
    fs::File::open(&path)?.sync_all()
}

/// The manifest's text for the folder as it is now.
///
/// # Errors
/// The file system failed.
pub fn render(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    let mut text = FIRST_LINE.to_owned();
    for path in files {
        if path == Path::new(MANIFEST) {
            continue;
        }
        let (digest, length) = digest(&folder.join(&path))?;
        text.push_str(&format!("{digest} {length} {}\n", path.display()));
    }
    let seal = hash(LINES_DOMAIN, &[text.as_bytes()]);
    text.push_str(&format!("{seal} end\n"));
    Ok(text)
}

fn collect(base: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(base, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(base) {
            files.push(relative.to_path_buf());
        }
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Hasher::new(FILE_DOMAIN);
    let (mut chunk, mut length) = (Vec::new(), 0_u64);
    loop {
        // Whole chunks, however the system cuts its reads: the hash covers the length of each part.
        chunk.clear();
        Read::take(&mut file, CHUNK_BYTES).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok((hasher.finish(), length));
        }
        hasher.update(&chunk);
        length = length.saturating_add(chunk.len() as u64);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_change_to_a_sealed_folder_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("ledger")).unwrap();
        fs::write(path("ledger/one"), vec![1; 200_000]).unwrap();
        fs::write(path("two"), b"").unwrap();
        write(folder.path()).unwrap();
        let sealed = fs::read_to_string(path(MANIFEST)).unwrap();
        let same = || render(folder.path()).unwrap() == sealed;
        assert!(same());
        for offset in [0, 65_535, 65_536, 199_999] {
            let mut bytes = vec![1; 200_000];
            bytes[offset] = 2;
            fs::write(path("ledger/one"), &bytes).unwrap();
            assert!(!same(), "byte {offset}");
        }
        fs::write(path("ledger/one"), vec![1; 199_999]).unwrap();
        assert!(!same());
        fs::write(path("ledger/one"), vec![1; 200_000]).unwrap();
        assert!(same());
        fs::write(path("three"), b"").unwrap();
        assert!(!same());
        fs::remove_file(path("three")).unwrap();
        fs::rename(path("two"), path("2")).unwrap();
        assert!(!same());
        remove(folder.path()).unwrap();
        remove(folder.path()).unwrap();
        assert!(!path(MANIFEST).exists());
    }
}
