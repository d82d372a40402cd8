//! A disk as a recording leaves it: what is durable, and what waits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::recording::Event;
use crate::workload::Random;

/// A change of a file that waits for its sync.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A change of a folder's names that waits for its sync.
#[derive(Debug, Clone)]
enum Naming {
    File { path: String, file: usize },
    Folder(String),
    Rename { from: String, to: String },
    Remove(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    File(usize),
    Folder,
}

type Names = BTreeMap<String, Named>;

#[derive(Debug, Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    waiting: Vec<Change>,
}

/// What a cut keeps of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing: the harshest disk.
    Nothing,
    /// Names, but no bytes.
    Names,
    /// The first so many changes of each file, the last of them torn at 512 bytes.
    Beginning,
    /// Any changes, each torn in blocks of this size, any of which may be missing.
    Any {
        /// 512 or 4096.
        block: usize,
    },
    /// Everything: the process died, the power did not.
    Everything,
}

/// The recorded folder.
#[derive(Debug)]
pub struct Disk {
    files: Vec<File>,
    /// The numbers of the present process.
    numbers: BTreeMap<u64, usize>,
    now: Names,
    durable: Names,
    /// By folder.
    waiting: BTreeMap<String, Vec<Naming>>,
    /// The last batch that was begun, and the last that was acknowledged.
    pub begun: u64,
    /// The last batch that was acknowledged.
    pub acknowledged: u64,
    /// Calls of `fsync` and `fdatasync`.
    pub syncs: u64,
    /// Calls of `sync_file_range`.
    pub range_syncs: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty folder, itself durable.
    #[must_use]
    pub fn new() -> Self {
        let root: Names = [(String::new(), Named::Folder)].into();
        Self {
            files: Vec::new(),
            numbers: BTreeMap::new(),
            now: root.clone(),
            durable: root,
            waiting: BTreeMap::new(),
            begun: 0,
            acknowledged: 0,
            syncs: 0,
            range_syncs: 0,
        }
    }

    /// Does what the writer did.
    ///
    /// # Errors
    /// The recording has a file that it never told of.
    pub fn apply(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Began { files } => {
                self.numbers.clear();
                for (path, number) in files {
                    match self.now.get(path) {
                        Some(Named::File(file)) => self.numbers.insert(*number, *file),
                        _ => return Err(io::Error::other(format!("`{path}` was never created"))),
                    };
                }
            }
            Event::Created { file, path } => {
                let place = self.files.len();
                self.files.push(File::default());
                self.numbers.insert(*file, place);
                let path = path.clone();
                self.name(Naming::File { path, file: place });
            }
            Event::FolderCreated { path } => self.name(Naming::Folder(path.clone())),
            Event::Renamed { from, to } => self.name(Naming::Rename {
                from: from.clone(),
                to: to.clone(),
            }),
            Event::Removed { path } => self.name(Naming::Remove(path.clone())),
            Event::Wrote {
                file,
                offset,
                bytes,
            } => {
                let offset = usize::try_from(*offset).map_err(io::Error::other)?;
                let bytes = bytes.clone();
                self.change(*file, Change::Write { offset, bytes })?;
            }
            Event::Resized { file, length } => {
                let length = usize::try_from(*length).map_err(io::Error::other)?;
                self.change(*file, Change::Resize(length))?;
            }
            Event::Synced { file } => {
                self.syncs += 1;
                let file = self.file(*file)?;
                for change in std::mem::take(&mut file.waiting) {
                    make(&mut file.durable, &change);
                }
            }
            Event::FolderSynced { path } => {
                self.syncs += 1;
                for naming in self.waiting.remove(path).unwrap_or_default() {
                    rename(&mut self.durable, &naming);
                }
            }
            Event::RangeSynced { .. } => self.range_syncs += 1,
            Event::Begun(batch) => self.begun = *batch,
            Event::Acknowledged(batch) => self.acknowledged = *batch,
        }
        Ok(())
    }

    fn file(&mut self, number: u64) -> io::Result<&mut File> {
        let place = self.numbers.get(&number);
        let file = place.and_then(|place| self.files.get_mut(*place));
        file.ok_or_else(|| io::Error::other(format!("file {number} was never opened")))
    }

    fn change(&mut self, number: u64, change: Change) -> io::Result<()> {
        let file = self.file(number)?;
        make(&mut file.now, &change);
        file.waiting.push(change);
        Ok(())
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.now, &naming);
        let path = match &naming {
            Naming::File { path, .. } | Naming::Folder(path) | Naming::Remove(path) => path,
            Naming::Rename { to, .. } => to,
        };
        let folder = parent(path).to_owned();
        self.waiting.entry(folder).or_default().push(naming);
    }

    /// Writes the folder as a power cut now would leave it.
    ///
    /// # Errors
    /// The file system failed.
    pub fn cut(&self, keeps: Keeps, random: &mut Random, folder: &Path) -> io::Result<()> {
        let mut names = self.durable.clone();
        for waiting in self.waiting.values() {
            let kept = match keeps {
                Keeps::Nothing => 0,
                Keeps::Names | Keeps::Everything => waiting.len(),
                // File systems keep the order of names within a folder.
                Keeps::Beginning | Keeps::Any { .. } => some(random, waiting.len() + 1),
            };
            for naming in waiting.iter().take(kept) {
                rename(&mut names, naming);
            }
        }
        for (path, named) in &names {
            // A name in a folder that is not there is not there: names come after those of the folders above them.
            if !folder.join(parent(path)).is_dir() {
                continue;
            }
            match named {
                Named::Folder => fs::create_dir_all(folder.join(path))?,
                Named::File(file) => {
                    let bytes = self.files.get(*file).map(|file| left(file, keeps, random));
                    fs::write(folder.join(path), bytes.unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }

    /// Where the recording and the real folder differ: nothing, unless the recorder missed something.
    ///
    /// # Errors
    /// The real folder cannot be read.
    pub fn difference(&self, folder: &Path) -> io::Result<Option<String>> {
        for (path, named) in &self.now {
            let real = folder.join(path);
            let same = match named {
                Named::Folder => real.is_dir(),
                Named::File(file) => {
                    let now = self.files.get(*file).map(|file| &file.now);
                    real.is_file() && Some(&fs::read(real)?) == now
                }
            };
            if !same {
                return Ok(Some(path.clone()));
            }
        }
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next)? {
                let path = entry?.path();
                let name = path.strip_prefix(folder).map_err(io::Error::other)?;
                let name = name.to_string_lossy().into_owned();
                if !self.now.contains_key(&name) {
                    return Ok(Some(name));
                }
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        Ok(None)
    }
}

fn some(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).unwrap_or(0)
}

/// A file's bytes after a cut.
fn left(file: &File, keeps: Keeps, random: &mut Random) -> Vec<u8> {
    let mut bytes = file.durable.clone();
    match keeps {
        Keeps::Nothing | Keeps::Names => {}
        Keeps::Everything => bytes.clone_from(&file.now),
        Keeps::Beginning => {
            let whole = some(random, file.waiting.len() + 1);
            for change in file.waiting.iter().take(whole) {
                make(&mut bytes, change);
            }
            if let Some(Change::Write {
                offset,
                bytes: torn,
            }) = file.waiting.get(whole)
            {
                let blocks = some(random, torn.len() / 512 + 1);
                let torn = torn.get(..blocks * 512).unwrap_or_default().to_vec();
                let offset = *offset;
                make(
                    &mut bytes,
                    &Change::Write {
                        offset,
                        bytes: torn,
                    },
                );
            }
        }
        Keeps::Any { block } => {
            for change in &file.waiting {
                match change {
                    Change::Resize(_) if random.below(2) == 0 => make(&mut bytes, change),
                    Change::Resize(_) => {}
                    Change::Write {
                        offset,
                        bytes: torn,
                    } => {
                        tear(&mut bytes, *offset, torn, block, random);
                    }
                }
            }
        }
    }
    bytes
}

/// Writes some of the blocks of a change: all, none, or any. Blocks are those of the disk, so the first and the last
/// may be shorter than the others.
fn tear(bytes: &mut Vec<u8>, offset: usize, torn: &[u8], block: usize, random: &mut Random) {
    let chance = match random.below(3) {
        0 => 0,
        1 => 4,
        _ => 2,
    };
    let mut done = 0;
    while done < torn.len() {
        let place = offset + done;
        let end = (block - place % block + done).min(torn.len());
        if random.below(4) < chance {
            let bytes_kept = torn.get(done..end).unwrap_or_default().to_vec();
            make(
                bytes,
                &Change::Write {
                    offset: place,
                    bytes: bytes_kept,
                },
            );
        }
        done = end;
    }
}

fn make(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(length) => bytes.resize(*length, 0),
        Change::Write { offset, bytes: new } if !new.is_empty() => {
            let end = offset + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(*offset..end) {
                place.copy_from_slice(new);
            }
        }
        Change::Write { .. } => {}
    }
}

fn rename(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::File { path, file } => {
            names.insert(path.clone(), Named::File(*file));
        }
        Naming::Folder(path) => {
            names.insert(path.clone(), Named::Folder);
        }
        Naming::Rename { from, to } => {
            if let Some(named) = names.remove(from) {
                names.insert(to.clone(), named);
            }
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
