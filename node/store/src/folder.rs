//! The folder of a store: which engine it is of, whether it was ever finished, how many commits it should hold, and
//! how it is moved aside.
//!
//! ```text
//! creating   lies there until a new store is durable; what lies beside it was never used
//! commits    version u8 | commits u64 | checksum 16
//! db         sled's log            (sled; also conf, blobs/, snap.*)
//! store.redb redb's file           (redb)
//! outside/   values that lie outside the engine
//! ```
//!
//! The note `commits` is overwritten in place after each commit and never waited for: after a power cut it may be
//! older than the store, or empty. A store that holds fewer commits than the note says has lost its end, which the
//! engines alone would take for a write that a crash interrupted.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealbook_primitives::hash::hash;

use crate::engine::{Store, StoreError};
use crate::outside::{self, Outside};
use crate::{RedbStore, SledStore};

const CREATING: &str = "creating";
const COMMITS: &str = "commits";
const COMMITS_VERSION: u8 = 1;
const COMMITS_DOMAIN: &str = "sealbook 2026 store commits v1";
const COMMITS_CHECKSUM_BYTES: usize = 16;
const COMMITS_BYTES: usize = 1 + 8 + COMMITS_CHECKSUM_BYTES;
/// The most damaged folders beside each other: who has so many should look at the disk.
const QUARANTINE_MAX: u32 = 10_000;

/// What keeps a store on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// sled 0.34, with our own fsync.
    #[default]
    Sled,
    /// redb.
    Redb,
}

impl Engine {
    const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// The name, as configurations have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// The file that every folder of this engine has, and none of another.
    const fn file(self) -> &'static str {
        match self {
            Self::Sled => "db",
            Self::Redb => "store.redb",
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is none of an engine's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a storage engine; there are `sled` and `redb`")]
pub struct UnknownEngine(String);

impl std::str::FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| UnknownEngine(name.to_owned()))
    }
}

/// Opens or creates the store in a folder.
///
/// # Errors
/// It cannot be opened, it is of another engine, or it is damaged.
pub fn open_store(engine: Engine, path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let opened: Arc<dyn Store> = match engine {
        Engine::Sled => Arc::new(SledStore::open(path)?),
        Engine::Redb => Arc::new(RedbStore::open(path)?),
    };
    Ok(Arc::new(Outside::open(opened, path)?))
}

/// Moves a damaged store aside and tells its new name, so that an empty one can take its place. Nothing ever reads the
/// old one again, and nothing deletes it. The store must be closed.
///
/// # Errors
/// The file system failed, or the folder is not there.
pub fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path has no last part"))?;
    for number in 1..=QUARANTINE_MAX {
        let mut aside = name.to_owned();
        aside.push(format!(".damaged-{number}"));
        let aside = path.with_file_name(aside);
        // Also a link that leads nowhere is in the way.
        if aside.symlink_metadata().is_ok() {
            continue;
        }
        fs::rename(path, &aside)?;
        sync_parent(path)?;
        return Ok(aside);
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "there are too many damaged stores here already",
    ))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Runs what an engine does; a panic becomes an error, because engines panic over damaged files.
pub(crate) fn guarded<T>(path: &Path, run: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| corrupt(path, words(panic.as_ref())))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "the engine gave up ({})",
        text.unwrap_or("it does not say why")
    )
}

pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        path: path.display().to_string(),
        reason: reason.into(),
    }
}

pub(crate) fn cannot_open(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Open {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// A folder that is about to be opened.
pub(crate) struct Folder {
    path: PathBuf,
    engine: Engine,
    new: bool,
}

impl Folder {
    /// Looks at a folder before an engine does, and clears away a store whose creation a crash interrupted.
    pub(crate) fn prepare(engine: Engine, path: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| cannot_open(path, error);
        fs::create_dir_all(path).map_err(failed)?;
        if path.join(CREATING).exists() {
            clear(path).map_err(failed)?;
        }
        let other = Engine::ALL
            .into_iter()
            .find(|other| *other != engine && path.join(other.file()).exists());
        if let Some(other) = other {
            return Err(StoreError::Engine {
                path: path.display().to_string(),
                found: other.name(),
                asked: engine.name(),
            });
        }
        let new = !path.join(engine.file()).exists();
        if new {
            // What is left of a store without its main file is not a new store.
            if path.join(COMMITS).exists() {
                return Err(corrupt(path, format!("`{}` is gone", engine.file())));
            }
            let mark = File::create(path.join(CREATING)).map_err(failed)?;
            mark.sync_all().map_err(failed)?;
            sync_folder(path).map_err(failed)?;
            sync_parent(path).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            engine,
            new,
        })
    }

    /// The folder has been opened and holds so many commits (nothing: it never had one). Makes a new one durable, and
    /// compares an old one with its note.
    pub(crate) fn opened(self, commits: Option<u64>) -> Result<Commits, StoreError> {
        let failed = |error: io::Error| cannot_open(&self.path, error);
        let note = self.path.join(COMMITS);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&note)
            .map_err(failed)?;
        match read_note(&file).map_err(failed)? {
            Note::Damaged => return Err(corrupt(&self.path, "the note of its commits is damaged")),
            Note::Says(expected) if expected > commits.unwrap_or(0) => {
                let found = commits.unwrap_or(0);
                let reason = format!("{found} commits are left of {expected} at least");
                return Err(corrupt(&self.path, reason));
            }
            Note::Says(_) | Note::Nothing => {}
        }
        let opened = Commits {
            file,
            count: commits.unwrap_or(0),
        };
        opened.write().map_err(failed)?;
        if self.new {
            sync_files(&self.path).map_err(failed)?;
            sync_folder(&self.path).map_err(failed)?;
            fs::remove_file(self.path.join(CREATING)).map_err(failed)?;
        }
        // The files exist only once the folders that name them are on disk.
        sync_folder(&self.path).map_err(failed)?;
        sync_parent(&self.path).map_err(failed)?;
        tracing::debug!(engine = %self.engine, new = self.new, "store opened");
        Ok(opened)
    }
}

/// How many commits a store holds, with the note of it.
pub(crate) struct Commits {
    file: File,
    count: u64,
}

impl Commits {
    /// The number that the next commit brings.
    pub(crate) const fn next(&self) -> u64 {
        self.count.saturating_add(1)
    }

    /// The commit is durable.
    pub(crate) fn done(&mut self) {
        self.count = self.next();
        // The note only helps to find damage later; the store does without.
        if let Err(error) = self.write() {
            tracing::warn!(%error, "the note of the store's commits cannot be written");
        }
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&note(self.count), 0)
    }
}

enum Note {
    Nothing,
    Says(u64),
    Damaged,
}

fn note(count: u64) -> Vec<u8> {
    let mut bytes = vec![COMMITS_VERSION];
    bytes.extend_from_slice(&count.to_be_bytes());
    let check = hash(COMMITS_DOMAIN, &[&bytes]);
    bytes.extend(check.as_bytes().iter().take(COMMITS_CHECKSUM_BYTES));
    bytes
}

fn read_note(file: &File) -> io::Result<Note> {
    let length = file.metadata()?.len();
    let mut bytes = [0; COMMITS_BYTES];
    if length == 0 {
        return Ok(Note::Nothing);
    }
    if length != COMMITS_BYTES as u64 {
        return Ok(Note::Damaged);
    }
    file.read_exact_at(&mut bytes, 0)?;
    // A power cut may leave the length without the bytes.
    if bytes == [0; COMMITS_BYTES] {
        return Ok(Note::Nothing);
    }
    let count = bytes.get(1..9).and_then(|bytes| bytes.try_into().ok());
    let count = count.map(u64::from_be_bytes);
    Ok(match count {
        Some(count) if note(count) == bytes => Note::Says(count),
        _ => Note::Damaged,
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs whatever lies in a new store's folder.
fn sync_files(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_files(&entry.path())?;
        }
        File::open(entry.path())?.sync_all()?;
    }
    Ok(())
}

/// Removes a store that was never finished, its mark last.
fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = ["db", "conf", "store.redb", COMMITS].contains(&name.as_ref());
        if ours || name.starts_with("snap.") {
            fs::remove_file(entry.path())?;
        } else if name == "blobs" || name == outside::FOLDER {
            fs::remove_dir_all(entry.path())?;
        }
    }
    sync_folder(path)?;
    fs::remove_file(path.join(CREATING))?;
    sync_folder(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_folder_is_moved_aside_under_a_free_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks");
        fs::create_dir(folder.path().join("blocks.damaged-2")).unwrap();
        for name in ["blocks.damaged-1", "blocks.damaged-3"] {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("mark"), name).unwrap();
            let aside = quarantine(&path).unwrap();
            assert_eq!(aside, folder.path().join(name));
            assert_eq!(fs::read_to_string(aside.join("mark")).unwrap(), name);
            assert!(!path.exists());
        }
        assert!(quarantine(&path).is_err());
        assert!(quarantine(Path::new("/")).is_err());
    }

    #[test]
    fn the_note_keeps_its_form_and_shows_damage() {
        assert_eq!(
            hash("sealbook 2026 test pin v1", &[&note(7)]).to_string(),
            "1f3c95ec4e2cb16b2162979367ac6463dbf4176c42658af774e4939fbe47fa67"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_note(&File::open(&path).unwrap()).unwrap()
        };
        assert!(matches!(read(&note(7)), Note::Says(7)));
        assert!(matches!(read(&[]), Note::Nothing));
        assert!(matches!(read(&[0; COMMITS_BYTES]), Note::Nothing));
        for place in 0..COMMITS_BYTES {
            let mut bytes = note(7);
            bytes[place] ^= 1;
            assert!(matches!(read(&bytes), Note::Damaged));
            assert!(place == 0 || matches!(read(&note(7)[..place]), Note::Damaged));
        }
    }

    #[test]
    fn engines_have_names() {
        for engine in Engine::ALL {
            assert_eq!(engine.to_string().parse(), Ok(engine));
        }
        assert!("rocksdb".parse::<Engine>().is_err());
    }

    #[test]
    fn another_engines_folder_is_refused_and_a_half_made_one_begins_anew() {
        for (engine, other) in [(Engine::Sled, Engine::Redb), (Engine::Redb, Engine::Sled)] {
            let folder = tempfile::tempdir().unwrap();
            drop(open_store(engine, folder.path()).unwrap());
            let Err(StoreError::Engine { found, asked, .. }) = open_store(other, folder.path())
            else {
                panic!("{other} opened what {engine} made");
            };
            assert_eq!((found, asked), (engine.name(), other.name()));
            // As if a crash had interrupted its creation.
            fs::write(folder.path().join(CREATING), b"").unwrap();
            fs::write(folder.path().join(engine.file()), b"half a header").unwrap();
            drop(open_store(other, folder.path()).unwrap());
            assert!(!folder.path().join(CREATING).exists());
            // Without its main file, a store is not a new one.
            fs::remove_file(folder.path().join(other.file())).unwrap();
            let opened = open_store(other, folder.path()).map(drop);
            assert!(opened.unwrap_err().is_damage());
        }
    }
}
