//! A self-test: children that are shut in as the module will be try what must not be possible, and must be killed for it.
//!
//! A step that only seems to hold on this kernel shows here, before a key was read.

use std::ptr::{null, null_mut};

use super::calls::last_error;
use super::{Steps, final_steps};

/// What must not be possible, each with its name.
const ATTEMPTS: &[(&str, fn())] = &[
    ("open", open),
    ("socket", socket),
    ("fork", fork),
    ("exec", exec),
    ("trace", trace),
    ("read another's memory", read_memory),
    ("executable memory", executable),
    ("leave the sandbox", unshare),
];

/// Tries everything.
pub fn all(keep_to: u32) -> Result<String, String> {
    for (name, attempt) in ATTEMPTS {
        try_one(keep_to, *attempt).map_err(|error| format!("`{name}`: {error}"))?;
    }
    let names: Vec<&str> = ATTEMPTS.iter().map(|(name, _)| *name).collect();
    Ok(format!("killed for each of: {}", names.join(", ")))
}

fn try_one(keep_to: u32, attempt: fn()) -> Result<(), String> {
    // SAFETY: there is one thread, so the child may do whatever this process could.
    match unsafe { libc::fork() } {
        -1 => Err(last_error()),
        0 => {
            let code = match final_steps(&mut Steps(Vec::new()), keep_to) {
                Ok(()) => {
                    attempt();
                    0
                }
                Err(_) => 1,
            };
            // SAFETY: ends the child without running anything of the program.
            unsafe { libc::_exit(code) }
        }
        child => judge(child),
    }
}

fn judge(child: libc::pid_t) -> Result<(), String> {
    let mut status = 0;
    // SAFETY: waits for the one child that there is.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(last_error());
    }
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS {
        return Ok(());
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1 {
        return Err("the probe could not shut itself in".to_owned());
    }
    Err(format!("the probe was not stopped (status {status:#x})"))
}

fn open() {
    // SAFETY: a string that ends with a zero.
    unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY) };
}

fn socket() {
    // SAFETY: takes integers.
    unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
}

fn fork() {
    // SAFETY: a child, should there be one, ends like this process.
    unsafe { libc::fork() };
}

fn exec() {
    let arguments = [c"/x".as_ptr(), null()];
    // SAFETY: strings that end with a zero, in lists that end with one.
    unsafe { libc::execve(c"/x".as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()) };
}

fn trace() {
    // SAFETY: asks to be traced by the parent.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) };
}

fn read_memory() {
    // SAFETY: names no memory at all.
    unsafe { libc::process_vm_readv(1, null(), 0, null(), 0, 0) };
}

fn executable() {
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping wherever the kernel likes.
    unsafe { libc::mmap(null_mut(), 4_096, rights, flags, -1, 0) };
}

fn unshare() {
    // SAFETY: takes an integer.
    unsafe { libc::unshare(libc::CLONE_NEWUSER) };
}
