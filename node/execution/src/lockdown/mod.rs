//! How the execution module shuts itself in before it reads its first key.
//!
//! ```text
//! started by the host --> not dumpable, not traced, namespaces of its own --fork--> the module: everything below
//!         |                                                                            |
//!         +-- the doorman: holds nothing, ends with its host, passes the module's end on
//! ```
//!
//! In this order, and it fails closed: a step that does not hold ends the process.
//!
//! 1. not dumpable: no core, no ptrace, no `/proc/PID/mem` by an ordinary process of the same user;
//! 2. killed with its parent;
//! 3. not traced already;
//! 4. a user of its own, which the host is not; where it is not so, the report says it, and nothing else changes;
//! 5. every descriptor but its socket and its two key files closed;
//! 6. no core files; a stack of 16 MiB, or of what the machine gives if that is 2 at least;
//! 7. namespaces of its own (user, mounts, processes, network, IPC, host name, control groups), with an empty read-only
//!    root;
//! 8. a second process: whoever opened the first one's memory to read before step 1 has the wrong one;
//! 9. no capabilities, and none to be had;
//! 10. memory locked, as far as the limits allow; the root secret has memory of its own that the kernel shows nobody;
//! 11. no new files, no new processes (resource limits);
//! 12. no new privileges;
//! 13. Landlock: no file, no network, whatever the user may otherwise do;
//! 14. no new descriptors;
//! 15. seccomp: an allow-list of a few calls on what is already open; anything else kills the process.
//!
//! Before the last steps a child that goes through them, too, tries what must not be possible, and must be killed for it.
//!
//! Before step 1 the process is as open as any of its user: whoever may run or trace that user's programs can change it then. So
//! the module should have a user of its own, as whom an attendant starts it ([`outside`]); in a development network it has not.
//!
//! INVARIANT: system calls by hand stand in this folder only.
#![allow(unsafe_code)]

mod calls;
mod filter;
mod memory;
mod namespaces;
pub mod outside;
mod probe;

use std::os::unix::net::UnixStream;

pub use calls::{close_inherited, keep_to_itself, peer, silence};
pub use memory::SecretPage;

use calls::{limit, prctl};

/// Why the process is not shut in.
#[derive(Debug, thiserror::Error)]
pub enum LockdownError {
    /// A system call failed.
    #[error("{step}: {error}")]
    Step {
        /// Which step.
        step: &'static str,
        /// What the system said.
        error: String,
    },
}

/// What a process that is shut in has.
pub struct ShutIn {
    /// The steps that hold, in words.
    pub report: Vec<String>,
    /// Memory for the root secret.
    pub page: SecretPage,
}

/// What the report of a step begins with that holds in a weaker form than it could, for lack of something on the machine.
pub const WEAK: &str = "weak: ";

/// The steps so far.
struct Steps(Vec<String>);

impl Steps {
    fn held(
        &mut self,
        step: &'static str,
        result: Result<String, String>,
    ) -> Result<(), LockdownError> {
        let detail = result.map_err(|error| LockdownError::Step { step, error })?;
        self.0.push(match detail.strip_prefix(WEAK) {
            Some(detail) => format!("{WEAK}{step} ({detail})"),
            None if detail.is_empty() => step.to_owned(),
            None => format!("{step} ({detail})"),
        });
        Ok(())
    }
}

/// Shuts the process in, keeping descriptors 0 to `keep_to`, and reports the steps that hold. `host` is its socket. What returns
/// is another process than the one that called: that one waits for it and ends as it ends.
///
/// # Errors
/// The first step that does not hold. The caller must end the process.
pub fn shut_in(host: &UnixStream, keep_to: u32) -> Result<ShutIn, LockdownError> {
    let mut steps = Steps(Vec::new());
    steps.held("not dumpable", prctl(libc::PR_SET_DUMPABLE, 0))?;
    steps.held("killed with its parent", die_with_parent())?;
    steps.held("not traced", filter::not_traced())?;
    // Among the machine's users still: in its own namespace every other one is nobody.
    steps.held("a user of its own", user_of_its_own(host))?;
    steps.held(
        "descriptors closed",
        calls::close_from(keep_to.saturating_add(1)),
    )?;
    steps.held("no core files", limit(libc::RLIMIT_CORE, 0))?;
    // Many times what is ever needed, so that nothing depends on how much a machine gives.
    steps.held("room on the stack", calls::stack(2 << 20, 16 << 20))?;
    // While it is still allowed to, where it is at all.
    memory::raise_limit();
    steps.held("namespaces of its own", namespaces::enter())?;
    steps.held("a second process", calls::fork_and_stay_behind())?;
    steps.held("killed with its doorman", die_with_parent())?;
    steps.held("an empty root", namespaces::look_around())?;
    steps.held("no capabilities", namespaces::drop_capabilities())?;
    let page = SecretPage::new();
    let (page, kind) = page.map_err(|error| LockdownError::Step {
        step: "memory for the root",
        error,
    })?;
    steps.held("memory for the root", Ok(kind))?;
    steps.held("memory locked", memory::lock())?;
    steps.held("self-test", probe::all(keep_to))?;
    final_steps(&mut steps, keep_to)?;
    Ok(ShutIn {
        report: steps.0,
        page,
    })
}

/// What the probes go through as the module does.
fn final_steps(steps: &mut Steps, keep_to: u32) -> Result<(), LockdownError> {
    steps.held("no new files", limit(libc::RLIMIT_FSIZE, 0))?;
    steps.held("no new processes", limit(libc::RLIMIT_NPROC, 0))?;
    steps.held("no new privileges", prctl(libc::PR_SET_NO_NEW_PRIVS, 1))?;
    steps.held("landlock denies all", filter::landlock_all())?;
    // After Landlock, which needs a descriptor for its rules while it sets them.
    steps.held(
        "no new descriptors",
        limit(libc::RLIMIT_NOFILE, u64::from(keep_to) + 1),
    )?;
    steps.held("seccomp allow-list", filter::seccomp())
}

/// Whether the host's user can read this one's files and look at its processes before they are shut in.
fn user_of_its_own(host: &UnixStream) -> Result<String, String> {
    let host = calls::peer(host).map_err(|error| error.to_string())?;
    Ok(match calls::own_user() {
        own if own == host => {
            format!(
                "{WEAK}user {own} is the host's, too: whoever acts as it can read the key files"
            )
        }
        _ if host == 0 => format!("{WEAK}the host is root, from whom no file is closed"),
        own => format!("{own}; the host is user {host}"),
    })
}

fn die_with_parent() -> Result<String, String> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}
