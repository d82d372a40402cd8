//! What the owner of a disk finds on it: every byte of every file is searched.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use memchr::memmem;

use crate::error::{Result, doing};

/// Files are read in pieces, so that their size does not matter.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// No folder of a node is nested deeper.
const DEPTH_MAX: usize = 16;

/// A search for several strings of bytes at once.
#[derive(Debug, Default)]
pub struct Search {
    /// Files searched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is searched for, with the number of files that hold it.
    found: Vec<(Vec<u8>, u64)>,
}

impl Search {
    /// A search for these.
    pub fn of(sought: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let found = sought.into_iter().map(|bytes| (bytes, 0)).collect();
        Self {
            files: 0,
            bytes: 0,
            found,
        }
    }

    /// Searches all files below a folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn folder(&mut self, folder: &Path) -> Result<()> {
        self.descend(folder, 0)
    }

    fn descend(&mut self, folder: &Path, depth: usize) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(doing(folder.display()))? {
            let entry = entry.map_err(doing(folder.display()))?;
            let kind = entry.file_type().map_err(doing(folder.display()))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.descend(&entry.path(), depth + 1)?;
            } else if kind.is_file() {
                self.file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let mut file = match fs::File::open(path) {
            // A running node removes files of its own; what is gone shows nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(doing(path.display()))?,
        };
        self.files += 1;
        let finders: Vec<_> = self
            .found
            .iter()
            .map(|(sought, _)| memmem::Finder::new(sought))
            .collect();
        let mut hits = vec![false; finders.len()];
        // The end of each piece is searched again with the next, for what lies across.
        let overlap = self
            .found
            .iter()
            .map(|(sought, _)| sought.len())
            .max()
            .unwrap_or(0)
            .saturating_sub(1);
        let mut piece: Vec<u8> = Vec::new();
        loop {
            let kept = piece.len().min(overlap);
            piece.drain(..piece.len() - kept);
            let chunk = CHUNK_BYTES as u64;
            let read = (&mut file)
                .take(chunk)
                .read_to_end(&mut piece)
                .map_err(doing(path.display()))?;
            if read == 0 {
                break;
            }
            self.bytes += read as u64;
            for (finder, hit) in finders.iter().zip(&mut hits) {
                *hit = *hit || finder.find(&piece).is_some();
            }
        }
        for ((_, count), hit) in self.found.iter_mut().zip(hits) {
            *count += u64::from(hit);
        }
        Ok(())
    }

    /// How many files hold something; `None` if it was not searched for.
    pub fn files_with(&self, sought: &[u8]) -> Option<u64> {
        self.found
            .iter()
            .find(|(bytes, _)| bytes == sought)
            .map(|(_, count)| *count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a").join("b");
        fs::create_dir_all(&deep).unwrap();
        let mut bytes = vec![0; CHUNK_BYTES - 3];
        bytes.extend(b"ALDER-CLIENT-1");
        bytes.resize(2 * CHUNK_BYTES + 7, 1);
        bytes.extend(b"end");
        fs::write(deep.join("file"), &bytes).unwrap();
        fs::write(folder.path().join("other"), b"end").unwrap();
        let texts = ["ALDER-CLIENT-1", "end", "nothing"].map(|text| text.as_bytes().to_vec());
        let mut search = Search::of(texts.clone());
        search.folder(folder.path()).unwrap();
        assert_eq!((search.files, search.bytes), (2, bytes.len() as u64 + 3));
        assert_eq!(
            texts.map(|text| search.files_with(&text)),
            [Some(1), Some(2), Some(0)]
        );
        assert_eq!(search.files_with(b"other"), None);
    }
}
