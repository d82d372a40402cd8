//! System calls of the attendant, which stays outside: it listens for the host and starts modules, and ends them.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

use super::calls::{last_error, prctl};

/// What is left of a socket's permissions: everybody may connect, since the other end's user is what decides.
const SOCKET_MASK: libc::mode_t = 0o111;

/// The user of this process; nothing if it could become another one.
#[must_use]
pub fn sole_user() -> Option<u32> {
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    // SAFETY: three integers are written.
    let result = unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) };
    (result == 0 && real == effective && real == saved).then_some(real)
}

/// Lets what children leave behind become children of this process, so that it can wait for a module whose doorman is gone.
///
/// # Errors
/// The system refuses.
pub fn adopt_orphans() -> Result<(), String> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// A socket that listens at `path`, to which every user may connect. It has these permissions from the beginning: set
/// later, by its path, they could be those of another file. To be called while there is one thread.
///
/// # Errors
/// The system refuses, or there is a file already.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    // SAFETY: takes an integer, and cannot fail.
    let before = unsafe { libc::umask(SOCKET_MASK) };
    let listener = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Lets the process that `command` starts be killed when this thread ends, from its first moment on.
pub fn kill_with_this(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: takes integers.
        let asked = unsafe {
            libc::prctl(
                libc::PR_SET_PDEATHSIG,
                libc::SIGKILL as libc::c_ulong,
                0,
                0,
                0,
            )
        };
        if asked != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: asks for a number.
        let now = unsafe { libc::getppid() };
        // The parent may have ended before its end was asked for.
        if u32::try_from(now) == Ok(parent) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: two system calls, which need no memory and no lock of the program's.
    unsafe { command.pre_exec(ask) };
}

/// A descriptor that can be waited for until a child ends.
///
/// # Errors
/// The system has none.
pub fn end_of(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: takes integers, gives a descriptor or -1.
    let file = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    match libc::c_int::try_from(file) {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(file) if file >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until somebody connects or the child ends; says whether it has ended.
///
/// # Errors
/// The system refuses.
pub fn wait_for(listener: &UnixListener, end: Option<BorrowedFd<'_>>) -> io::Result<bool> {
    // A negative descriptor is passed over.
    let of = |file: libc::c_int| libc::pollfd {
        fd: file,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut files = [
        of(end.map_or(-1, |end| end.as_raw_fd())),
        of(listener.as_fd().as_raw_fd()),
    ];
    loop {
        // SAFETY: the list lives through the call and has two entries.
        if unsafe { libc::poll(files.as_mut_ptr(), 2, -1) } >= 0 {
            return Ok(files[0].revents != 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Waits for everything that a child has left behind, until nothing of it is there any more.
///
/// # Errors
/// The system refuses.
pub fn wait_for_orphans() -> Result<(), String> {
    loop {
        let mut status = 0;
        // SAFETY: one integer is written. The only child of this program that it knows by number has been waited for.
        if unsafe { libc::waitpid(-1, &raw mut status, 0) } != -1 {
            continue;
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::ECHILD) => return Ok(()),
            Some(libc::EINTR) => {}
            _ => return Err(last_error()),
        }
    }
}
