//! What the kernel itself refuses from then on: Landlock and seccomp.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::WEAK;

pub fn not_traced() -> Result<String, String> {
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

pub fn landlock_all() -> Result<String, String> {
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
        RulesetStatus::PartiallyEnforced => Ok(format!("{WEAK}as far as this kernel knows it")),
        // The seccomp list below refuses every call that Landlock would guard; the report says what is missing.
        RulesetStatus::NotEnforced => Ok(format!("{WEAK}not in this kernel; seccomp alone")),
    }
}

pub fn seccomp() -> Result<String, String> {
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
