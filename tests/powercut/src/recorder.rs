//! Records what this process does to files, by taking the place of the C library's functions: the linker prefers those
//! of the program to those of a shared library, so that the standard library and every crate call these here. Each
//! makes the system call itself and writes down what it did.
//!
//! `fsync` and `fdatasync` only write down: nothing is pulled from a wall, and a test that waits for a disk is slow.
//!
//! What is not here (`writev`, `fallocate`, memory maps, ...) would be missed; the test compares the folder with the
//! recording, so that it would show.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{mode_t, off64_t, size_t, ssize_t};
use sealbook_powercut::recording::Event;

struct Recorder {
    root: String,
    /// Files by inode, and folders with their path.
    files: BTreeMap<u64, u64>,
    folders: BTreeMap<u64, String>,
    next: u64,
    log: Vec<u8>,
}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

fn recorder() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to record what happens in a folder.
pub(crate) fn begin(root: &Path) -> io::Result<()> {
    let root = root.canonicalize()?.to_string_lossy().into_owned();
    let mut found = Recorder {
        root: root.clone(),
        files: BTreeMap::new(),
        folders: BTreeMap::new(),
        next: 0,
        log: Vec::new(),
    };
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let metadata = path.symlink_metadata()?;
            let name = path.to_string_lossy().into_owned();
            if metadata.is_dir() {
                folders.push(name);
                continue;
            }
            let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
            let number = found.number(inode);
            files.push((found.inside(&name).unwrap_or_default(), number));
        }
    }
    found.add(&Event::Began { files });
    *recorder() = Some(found);
    Ok(())
}

/// Adds what the writer itself has to say.
pub(crate) fn note(event: &Event) {
    if let Some(recorder) = recorder().as_mut() {
        recorder.add(event);
    }
}

/// Writes what was recorded, and ends the process. Threads of a store that was left open do nothing to files between the
/// two: whatever they call here waits.
pub(crate) fn end(recording: &Path) -> io::Result<Infallible> {
    let file = File::create(recording)?;
    let guard = recorder();
    let mut rest = guard.as_ref().map_or(&[][..], |recorder| &recorder.log);
    while !rest.is_empty() {
        let descriptor = file.as_raw_fd();
        // SAFETY: the kernel reads so many bytes from `rest`, and no more.
        let written =
            unsafe { libc::syscall(libc::SYS_write, descriptor, rest.as_ptr(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    // SAFETY: ends the process at once, which nothing here depends on going on.
    unsafe { libc::_exit(0) }
}

impl Recorder {
    fn add(&mut self, event: &Event) {
        // Into memory, which does not fail.
        let _ = borsh::to_writer(&mut self.log, event);
    }

    fn number(&mut self, inode: u64) -> u64 {
        self.next += 1;
        self.files.insert(inode, self.next);
        self.next
    }

    /// The path from the recorded folder, if it lies in there.
    fn inside(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.root)?;
        if rest.is_empty() {
            return Some(String::new());
        }
        Some(rest.strip_prefix('/')?.trim_end_matches('/').to_owned())
    }

    /// The number of an open file.
    fn file(&self, descriptor: c_int) -> Option<u64> {
        let (inode, _) = inspect(descriptor)?;
        self.files.get(&inode).copied()
    }
}

/// The inode of a descriptor, and whether it is a folder.
fn inspect(descriptor: c_int) -> Option<(u64, bool)> {
    let mut found = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: `fstat64` writes a whole `stat64` where the pointer says, and says so by returning 0.
    let found = unsafe {
        if libc::fstat64(descriptor, found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    Some((found.st_ino, found.st_mode & libc::S_IFMT == libc::S_IFDIR))
}

/// The text of a path that a caller handed over.
///
/// # Safety
/// `path` is what the C function requires: a string that ends with 0.
unsafe fn text(path: *const c_char) -> String {
    // SAFETY: as above.
    unsafe { CStr::from_ptr(path) }
        .to_string_lossy()
        .into_owned()
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    unsafe {
        let existed = libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, path, libc::F_OK) == 0;
        let descriptor = libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path,
            flags | libc::O_LARGEFILE,
            c_uint::from(mode),
        ) as c_int;
        let Some(recorder) = guard.as_mut().filter(|_| descriptor >= 0) else {
            return descriptor;
        };
        let (Some(path), Some((inode, folder))) =
            (recorder.inside(&text(path)), inspect(descriptor))
        else {
            return descriptor;
        };
        if folder {
            recorder.folders.insert(inode, path);
        } else if !existed {
            let file = recorder.number(inode);
            recorder.add(&Event::Created { file, path });
        } else if flags & libc::O_TRUNC != 0
            && let Some(file) = recorder.files.get(&inode).copied()
        {
            recorder.add(&Event::Resized { file, length: 0 });
        }
        descriptor
    }
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { open64(path, flags, mode) }
}

fn wrote(
    descriptor: c_int,
    offset: off64_t,
    bytes: *const c_void,
    count: ssize_t,
    log: &mut Recorder,
) {
    let (Some(file), Ok(length)) = (log.file(descriptor), usize::try_from(count)) else {
        return;
    };
    // SAFETY: the system has just read so many bytes from there.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }.to_vec();
    let offset = u64::try_from(offset).unwrap_or(0);
    log.add(&Event::Wrote {
        file,
        offset,
        bytes,
    });
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off64_t,
) -> ssize_t {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    let written =
        unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, count, offset) } as ssize_t;
    if let Some(log) = guard.as_mut().filter(|_| written > 0) {
        wrote(descriptor, offset, bytes, written, log);
    }
    written
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    let written = unsafe { libc::syscall(libc::SYS_write, descriptor, bytes, count) } as ssize_t;
    if let Some(log) = guard.as_mut().filter(|_| written > 0) {
        // SAFETY: only asks where the file stands.
        let after = unsafe { libc::lseek64(descriptor, 0, libc::SEEK_CUR) };
        wrote(descriptor, after - written as off64_t, bytes, written, log);
    }
    written
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off64_t) -> c_int {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    let result = unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) } as c_int;
    if let Some(log) = guard.as_mut().filter(|_| result == 0)
        && let Some(file) = log.file(descriptor)
    {
        let length = u64::try_from(length).unwrap_or(0);
        log.add(&Event::Resized { file, length });
    }
    result
}

fn synced(descriptor: c_int) -> c_int {
    if let Some(log) = recorder().as_mut() {
        // A folder may have got the inode of a file that is gone.
        if let Some((inode, true)) = inspect(descriptor) {
            if let Some(path) = log.folders.get(&inode).cloned() {
                log.add(&Event::FolderSynced { path });
            }
        } else if let Some(file) = log.file(descriptor) {
            log.add(&Event::Synced { file });
        }
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    synced(descriptor)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    synced(descriptor)
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(
    descriptor: c_int,
    _offset: off64_t,
    _count: off64_t,
    _flags: c_uint,
) -> c_int {
    if let Some(log) = recorder().as_mut()
        && let Some(file) = log.file(descriptor)
    {
        log.add(&Event::RangeSynced { file });
    }
    0
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let mut guard = recorder();
    let at = libc::AT_FDCWD;
    // SAFETY: the arguments are the caller's.
    let (result, from, to) = unsafe {
        let result: c_long = libc::syscall(libc::SYS_renameat2, at, from, at, to, 0);
        (result as c_int, text(from), text(to))
    };
    if let Some(log) = guard.as_mut().filter(|_| result == 0)
        && let (Some(from), Some(to)) = (log.inside(&from), log.inside(&to))
    {
        log.add(&Event::Renamed { from, to });
    }
    result
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    let (result, path) = unsafe {
        let result = libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0);
        (result as c_int, text(path))
    };
    if let Some(log) = guard.as_mut().filter(|_| result == 0)
        && let Some(path) = log.inside(&path)
    {
        log.add(&Event::Removed { path });
    }
    result
}

/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let mut guard = recorder();
    // SAFETY: the arguments are the caller's.
    let (result, path) = unsafe {
        let mode = c_uint::from(mode);
        let result = libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode);
        (result as c_int, text(path))
    };
    if let Some(log) = guard.as_mut().filter(|_| result == 0)
        && let Some(path) = log.inside(&path)
    {
        log.add(&Event::FolderCreated { path });
    }
    result
}
