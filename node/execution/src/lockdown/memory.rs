//! Memory that stays where it is, and memory for the one secret that everything else is derived from.

use std::ptr::{NonNull, null_mut};

use sealbook_primitives::secret::SECRET_LENGTH;
use zeroize::Zeroize as _;

use super::WEAK;
use super::calls::last_error;
use crate::keys::HoldsSecret;

/// Lets the process lock as much memory as it likes, if it may still do so: as root, before it leaves root's namespace.
pub fn raise_limit() {
    let _ = super::limit(libc::RLIMIT_MEMLOCK, libc::RLIM_INFINITY);
}

/// Locks the process's memory, so that no page goes to a swap device, if the limit allows as much as that. Otherwise only
/// the page of the root secret is locked, and the report says so.
pub fn lock() -> Result<String, String> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(last_error());
    }
    if limit.rlim_cur != libc::RLIM_INFINITY {
        let kib = limit.rlim_cur / 1024;
        return Ok(format!(
            "{WEAK}the root's page only, since this user may lock no more than {kib} KiB"
        ));
    }
    // On fault: what was never touched needs no memory.
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes integers.
    if unsafe { libc::mlockall(flags) } != 0 {
        return Err(last_error());
    }
    Ok("all".to_owned())
}

/// A page for the root secret.
///
/// INVARIANT: the page is this value's alone, writable, locked, and wiped before it is given back.
pub struct SecretPage {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the page belongs to the value, and nothing in it depends on the thread.
unsafe impl Send for SecretPage {}

impl SecretPage {
    /// A page of `memfd_secret`: the kernel itself has it mapped nowhere else, and shows it to nobody, root included. Where the
    /// kernel has none, a locked page that no core file holds. Says which.
    ///
    /// # Errors
    /// The system gives neither.
    pub fn new() -> Result<(Self, String), String> {
        // SAFETY: asks for a number.
        let length = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let length = usize::try_from(length).map_err(|_| last_error())?;
        // SAFETY: takes an integer, gives a descriptor or -1.
        let file = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
        let file = libc::c_int::try_from(file).unwrap_or(-1);
        let mut why = last_error();
        if file >= 0 {
            let page = Self::in_secret(file, length);
            // SAFETY: the descriptor is this function's own; the mapping outlives it.
            unsafe { libc::close(file) };
            match page {
                Ok(page) => {
                    return Ok((page, "memfd_secret: unreadable for root, too".to_owned()));
                }
                Err(error) => why = error,
            }
        }
        let page = Self::map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        // SAFETY: the page was just mapped with this length.
        let locked = unsafe {
            libc::mlock(page.start.as_ptr().cast(), length) == 0
                && libc::madvise(page.start.as_ptr().cast(), length, libc::MADV_DONTDUMP) == 0
        };
        if !locked {
            return Err(last_error());
        }
        let kind = format!("{WEAK}a locked page, since memfd_secret failed: {why}");
        Ok((page, kind))
    }

    fn in_secret(file: libc::c_int, length: usize) -> Result<Self, String> {
        let size = libc::off_t::try_from(length).map_err(|error| error.to_string())?;
        // SAFETY: sets the size of a file of this function's caller.
        if unsafe { libc::ftruncate(file, size) } != 0 {
            return Err(last_error());
        }
        Self::map(length, libc::MAP_SHARED, file)
    }

    fn map(length: usize, flags: libc::c_int, file: libc::c_int) -> Result<Self, String> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping wherever the kernel likes.
        let start = unsafe { libc::mmap(null_mut(), length, rights, flags, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(last_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, length })
            .ok_or_else(|| "no address".to_owned())
    }

    /// Puts a secret in.
    #[must_use]
    pub fn keep(mut self, secret: &[u8; SECRET_LENGTH]) -> Self {
        if let Some(place) = self.bytes_mut().first_chunk_mut::<SECRET_LENGTH>() {
            place.copy_from_slice(secret);
        }
        self
    }

    const fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the page is mapped, writable and this value's alone for as long as the value lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl HoldsSecret for SecretPage {
    fn secret(&self) -> &[u8; SECRET_LENGTH] {
        // SAFETY: a page is longer than a secret and needs no alignment for bytes; otherwise as `bytes_mut`.
        unsafe { self.start.cast().as_ref() }
    }
}

impl Drop for SecretPage {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        // SAFETY: the page was mapped with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
