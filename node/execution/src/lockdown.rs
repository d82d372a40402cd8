//! How the execution module shuts itself in before it reads its first key.
//!
//! In this order, and it fails closed: a step that does not hold ends the process.
//!
//! 1. not dumpable: no core, no ptrace, no `/proc/PID/mem` by the same user;
//! 2. killed with its parent;
//! 3. not traced already;
//! 4. every descriptor but its socket and its two key files closed;
//! 5. no core files, no new files, no new processes, no new descriptors (resource limits);
//! 6. no new privileges;
//! 7. Landlock: no file, no network, whatever the user may otherwise do;
//! 8. seccomp: an allow-list of a few calls on what is already open; anything else kills the process.
//!
//! This is the one file of the crate that makes system calls by hand.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

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

/// Shuts the process in, keeping descriptors 0 to `keep_to`, and reports the steps that hold.
///
/// # Errors
/// The first step that does not hold. The caller must end the process.
pub fn shut_in(keep_to: u32) -> Result<Vec<String>, LockdownError> {
    let mut report = Vec::new();
    let mut held = |step: &'static str, result: Result<String, String>| match result {
        Ok(detail) if detail.is_empty() => {
            report.push(step.to_owned());
            Ok(())
        }
        Ok(detail) => {
            report.push(format!("{step} ({detail})"));
            Ok(())
        }
        Err(error) => Err(LockdownError::Step { step, error }),
    };
    held("not dumpable", prctl(libc::PR_SET_DUMPABLE, 0))?;
    held(
        "killed with its parent",
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong),
    )?;
    held("not traced", not_traced())?;
    held("descriptors closed", close_from(keep_to.saturating_add(1)))?;
    held("no core files", limit(libc::RLIMIT_CORE, 0))?;
    held("no new files", limit(libc::RLIMIT_FSIZE, 0))?;
    held("no new processes", limit(libc::RLIMIT_NPROC, 0))?;
    held("no new privileges", prctl(libc::PR_SET_NO_NEW_PRIVS, 1))?;
    held("landlock denies all", landlock_all())?;
    // After Landlock, which needs a descriptor for its rules while it sets them.
    held(
        "no new descriptors",
        limit(libc::RLIMIT_NOFILE, u64::from(keep_to) + 1),
    )?;
    held("seccomp allow-list", seccomp())?;
    Ok(report)
}

fn last_error() -> String {
    io::Error::last_os_error().to_string()
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> Result<String, String> {
    // SAFETY: these options take integers only.
    let result = unsafe { libc::prctl(option, value, 0, 0, 0) };
    if result == 0 {
        Ok(String::new())
    } else {
        Err(last_error())
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> Result<String, String> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the struct lives through the call.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 {
        Ok(String::new())
    } else {
        Err(last_error())
    }
}

fn close_from(first: u32) -> Result<String, String> {
    // SAFETY: closes descriptors that nothing in this process holds an owner of.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 {
        Ok(String::new())
    } else {
        Err(last_error())
    }
}

fn not_traced() -> Result<String, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    match tracer.map(str::trim) {
        Some("0") => Ok(String::new()),
        Some(_) => Err("another process traces this one".to_owned()),
        None => Err("the system does not say who traces this process".to_owned()),
    }
}

fn landlock_all() -> Result<String, String> {
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok("full".to_owned()),
        RulesetStatus::PartiallyEnforced => Ok("as far as this kernel knows it".to_owned()),
        // The seccomp list below refuses every call that Landlock would guard; the report says what is missing.
        RulesetStatus::NotEnforced => Ok("not in this kernel; seccomp alone".to_owned()),
    }
}

fn seccomp() -> Result<String, String> {
    let program = seccomp_program().map_err(|error| error.to_string())?;
    apply_filter_all_threads(&program).map_err(|error| error.to_string())?;
    Ok(String::new())
}

fn seccomp_program() -> Result<BpfProgram, seccompiler::BackendError> {
    let free = [
        libc::SYS_read,
        libc::SYS_write,
        // The socket's own words for the two above. No `recvmsg` and `sendmsg`: they can pass descriptors.
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_close,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_getrandom,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_restart_syscall,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        free.into_iter().map(|call| (call, Vec::new())).collect();
    let equal = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let not_executable = || {
        let mask = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, mask, 0)
    };
    // Memory: anonymous only (descriptor -1) and never executable.
    let anonymous = SeccompRule::new(vec![not_executable()?, equal(4, u64::from(u32::MAX))?])?;
    rules.insert(libc::SYS_mmap, vec![anonymous]);
    rules.insert(
        libc::SYS_mprotect,
        vec![SeccompRule::new(vec![not_executable()?])?],
    );
    // The standard library asks whether a descriptor is open before it closes it.
    let is_open = SeccompRule::new(vec![equal(1, libc::F_GETFD as u64)?])?;
    rules.insert(libc::SYS_fcntl, vec![is_open]);
    let advice = [libc::MADV_DONTNEED, libc::MADV_FREE];
    let advice: Result<Vec<_>, _> = advice
        .into_iter()
        .map(|advice| SeccompRule::new(vec![equal(2, advice as u64)?]))
        .collect();
    rules.insert(libc::SYS_madvise, advice?);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )?
    .try_into()
}
