//! Memory that stays where it is, and memory for the few secrets that everything else is derived from.

use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use sealbook_primitives::secret::SECRET_LENGTH;
use zeroize::Zeroize as _;

use super::WEAK;
use super::calls::last_error;
use crate::keys::{HoldsSecret, Vault};

/// Lets the process lock as much memory as it likes, if it may still do so: as root, before it leaves root's namespace.
pub fn raise_limit() {
    let _ = super::limit(libc::RLIMIT_MEMLOCK, libc::RLIM_INFINITY);
}

/// Locks the process's memory, so that no page goes to a swap device, if the limit allows as much as that. Otherwise only
/// the page of the secrets is locked, and the report says so.
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
            "{WEAK}the secrets' page only, since this user may lock no more than {kib} KiB"
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

/// A page for secrets: roots, and the module's own key.
#[derive(Clone)]
pub struct SecretPage {
    page: Arc<Page>,
}

/// INVARIANT: the page is this value's alone, writable, locked, and wiped before it is given back. A place in it belongs
/// to one [`Kept`] secret from when it is taken until that is dropped.
struct Page {
    start: NonNull<u8>,
    length: usize,
    taken: Mutex<Vec<bool>>,
}

// SAFETY: the page belongs to the value, and nothing in it depends on the thread.
unsafe impl Send for Page {}
// SAFETY: a place in the page is written only by who takes it and who gives it back, one after the other under the lock.
unsafe impl Sync for Page {}

/// A secret in a page.
struct Kept {
    page: Arc<Page>,
    place: usize,
}

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
            let page = Page::in_secret(file, length);
            // SAFETY: the descriptor is this function's own; the mapping outlives it.
            unsafe { libc::close(file) };
            match page {
                Ok(page) => {
                    return Ok((
                        page.shared(),
                        "memfd_secret: unreadable for root, too".to_owned(),
                    ));
                }
                Err(error) => why = error,
            }
        }
        let page = Page::map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        // SAFETY: the page was just mapped with this length.
        let locked = unsafe {
            libc::mlock(page.start.as_ptr().cast(), length) == 0
                && libc::madvise(page.start.as_ptr().cast(), length, libc::MADV_DONTDUMP) == 0
        };
        if !locked {
            return Err(last_error());
        }
        let kind = format!("{WEAK}a locked page, since memfd_secret failed: {why}");
        Ok((page.shared(), kind))
    }
}

impl Page {
    fn shared(self) -> SecretPage {
        SecretPage {
            page: Arc::new(self),
        }
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
            .map(|start| Self {
                start,
                length,
                taken: Mutex::new(vec![false; length / SECRET_LENGTH]),
            })
            .ok_or_else(|| "no address".to_owned())
    }

    /// The address of a place.
    const fn at(&self, place: usize) -> NonNull<[u8; SECRET_LENGTH]> {
        // SAFETY: places lie within the page: there are `length / SECRET_LENGTH` of them.
        unsafe { self.start.add(place * SECRET_LENGTH).cast() }
    }

    fn write(&self, place: usize, secret: &[u8; SECRET_LENGTH]) {
        // SAFETY: the place is within the page and belongs to the caller alone; bytes need no alignment.
        unsafe { self.at(place).as_ptr().copy_from_nonoverlapping(secret, 1) };
    }
}

impl Vault for SecretPage {
    fn keep(&self, secret: &[u8; SECRET_LENGTH]) -> Option<Box<dyn HoldsSecret>> {
        let mut taken = self
            .page
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = taken.iter().position(|taken| !taken)?;
        *taken.get_mut(place)? = true;
        self.page.write(place, secret);
        Some(Box::new(Kept {
            page: Arc::clone(&self.page),
            place,
        }))
    }
}

impl HoldsSecret for Kept {
    fn secret(&self) -> &[u8; SECRET_LENGTH] {
        // SAFETY: the place is within the page, which lives as long as this value, and nobody else writes to it.
        unsafe { self.page.at(self.place).as_ref() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.page.write(self.place, &[0; SECRET_LENGTH]);
        let mut taken = self
            .page
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.get_mut(self.place) {
            *taken = false;
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the page is mapped, writable and this value's alone.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) };
        bytes.zeroize();
        // SAFETY: the page was mapped with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_as_many_secrets_as_it_has_room_for_and_wipes_them() {
        let (page, _) = SecretPage::new().unwrap();
        let room = page.page.length / SECRET_LENGTH;
        let mut kept: Vec<Box<dyn HoldsSecret>> = (0..room)
            .map(|number| page.keep(&[number as u8; SECRET_LENGTH]).unwrap())
            .collect();
        assert!(page.keep(&[1; SECRET_LENGTH]).is_none());
        for (number, one) in kept.iter().enumerate() {
            assert_eq!(one.secret(), &[number as u8; SECRET_LENGTH]);
        }
        drop(kept.remove(7));
        // SAFETY: the page lives.
        assert_eq!(unsafe { page.page.at(7).as_ref() }, &[0; SECRET_LENGTH]);
        let again = page.keep(&[9; SECRET_LENGTH]).unwrap();
        assert_eq!(again.secret(), &[9; SECRET_LENGTH]);
        assert_eq!(kept[7].secret(), &[8; SECRET_LENGTH]);
    }
}
