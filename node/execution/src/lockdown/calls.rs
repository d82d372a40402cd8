//! System calls that more than one step makes.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use super::LockdownError;

/// Closes every descriptor but the three standard ones. To be called before anything is opened.
///
/// # Errors
/// The system refuses. The caller must end the process.
pub fn close_inherited() -> Result<(), LockdownError> {
    let step = "inherited descriptors closed";
    close_from(3)
        .map(drop)
        .map_err(|error| LockdownError::Step { step, error })
}

/// What the modes that handle a key outside the whole lockdown do first: nobody of the same user looks in, and no core file is
/// left.
///
/// # Errors
/// The system refuses. The caller must end the process.
pub fn keep_to_itself() -> Result<(), LockdownError> {
    prctl(libc::PR_SET_DUMPABLE, 0)
        .and_then(|_| limit(libc::RLIMIT_CORE, 0))
        .map(drop)
        .map_err(|error| LockdownError::Step {
            step: "kept to itself",
            error,
        })
}

/// Lets standard output and standard error lead nowhere, whatever the host gave for them: what a runtime says when a
/// program fails may hold anything.
///
/// # Errors
/// The system refuses. The caller must end the process.
pub fn silence() -> Result<(), LockdownError> {
    let step = "standard output leads nowhere";
    // SAFETY: a string that ends with a zero.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    // A host that has its own mounts could have put a file there.
    // SAFETY: the struct is filled by a call that succeeds.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the struct lives through the call; a descriptor that is none fails.
    let is_null = unsafe { libc::fstat(null, &raw mut found) } == 0
        && found.st_mode & libc::S_IFMT == libc::S_IFCHR
        && found.st_rdev == libc::makedev(1, 3);
    if !is_null {
        return Err(LockdownError::Step {
            step,
            error: "`/dev/null` is not what it should be".to_owned(),
        });
    }
    // SAFETY: replaces descriptors 1 and 2 by copies of one that is open; fails where it is not. Closed after that.
    let done =
        unsafe { libc::dup2(null, 1) == 1 && libc::dup2(null, 2) == 2 && libc::close(null) == 0 };
    if done {
        Ok(())
    } else {
        Err(LockdownError::Step {
            step,
            error: last_error(),
        })
    }
}

/// The user at the other end of a socket: who connected, or who made it, where both ends were made at once. Who is no user of
/// this process's namespace has the number that stands for all of those.
///
/// # Errors
/// The system does not say.
pub fn peer(socket: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: libc::uid_t::MAX,
        gid: libc::gid_t::MAX,
    };
    let whole = size_of::<libc::ucred>();
    let mut length = libc::socklen_t::try_from(whole).map_err(io::Error::other)?;
    // SAFETY: the struct lives through the call, which writes no more than the length that it is given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if length as usize != whole || peer.uid == libc::uid_t::MAX {
        return Err(io::Error::other("the other end of the socket has no user"));
    }
    Ok(peer.uid)
}

/// The user of this process.
pub fn own_user() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() }
}

pub fn last_error() -> String {
    io::Error::last_os_error().to_string()
}

/// Nothing, or the last error, as most calls say it.
pub fn checked(result: libc::c_int) -> Result<String, String> {
    if result == 0 {
        Ok(String::new())
    } else {
        Err(last_error())
    }
}

pub fn prctl(option: libc::c_int, value: libc::c_ulong) -> Result<String, String> {
    // SAFETY: these options take integers only.
    checked(unsafe { libc::prctl(option, value, 0, 0, 0) })
}

pub fn limit(resource: libc::__rlimit_resource_t, value: u64) -> Result<String, String> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the struct lives through the call.
    checked(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// Lets the stack grow to `most` bytes, or as far as the machine allows if that is `least`.
pub fn stack(least: u64, most: u64) -> Result<String, String> {
    let mut present = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct lives through the call.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut present) })?;
    let size = present.rlim_max.min(most);
    if size < least {
        return Err(format!(
            "the limit is {} KiB, at least {} are needed",
            size / 1024,
            least / 1024
        ));
    }
    limit(libc::RLIMIT_STACK, size)?;
    Ok(format!("{} KiB", size / 1024))
}

pub fn close_from(first: u32) -> Result<String, String> {
    // SAFETY: closes descriptors that nothing in this process holds an owner of.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 {
        Ok(String::new())
    } else {
        Err(last_error())
    }
}

/// Goes on in a child. The process that called stays behind as the doorman: it closes everything, waits for the child and
/// ends as the child did. A child whose doorman ended before it could ask to be killed with it ends at once.
pub fn fork_and_stay_behind() -> Result<String, String> {
    let mut ends = [0; 2];
    // SAFETY: two integers are written. Neither end outlives this function in the child.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    let [hear, hold] = ends;
    // SAFETY: there is one thread, so the child may do whatever this process could.
    match unsafe { libc::fork() } {
        -1 => Err(last_error()),
        0 => {
            die_before_doorman(hear, hold)?;
            Ok(String::new())
        }
        child => stay_behind(child, hold),
    }
}

fn die_before_doorman(hear: libc::c_int, hold: libc::c_int) -> Result<(), String> {
    // SAFETY: both descriptors are this function's own.
    unsafe { libc::close(hold) };
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)?;
    let mut byte = 0_u8;
    // SAFETY: one byte may be written. The end of the pipe means that the doorman is gone; nothing to read, that it lives.
    let heard = unsafe { libc::read(hear, (&raw mut byte).cast(), 1) };
    // SAFETY: as above.
    unsafe { libc::close(hear) };
    if heard == 0 {
        return Err("its doorman is gone".to_owned());
    }
    Ok(())
}

fn stay_behind(child: libc::pid_t, hold: libc::c_int) -> ! {
    // Everything but the pipe, which tells the child that this process lives.
    for first_last in [(0, hold - 1), (hold + 1, libc::c_int::MAX)] {
        if let (Ok(first), Ok(last)) = (u32::try_from(first_last.0), u32::try_from(first_last.1)) {
            // SAFETY: nothing in this process is used any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
    let mut status = 0;
    // SAFETY: waits for the one child; `_exit` runs nothing of the program any more.
    unsafe {
        while libc::waitpid(child, &raw mut status, 0) == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
        libc::_exit(if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        })
    }
}
