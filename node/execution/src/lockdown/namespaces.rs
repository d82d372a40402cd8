//! Namespaces of the module's own: nothing of the machine has a name in there.

use std::ffi::CStr;
use std::ptr::null;

use super::calls::{checked, last_error, prctl};

const ALL: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;
/// A folder that every Linux has, to put the empty root on.
const PLACE: &CStr = c"/proc";
/// Version 3 of the kernel's capability sets.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// Securebits: root is an ordinary user, identities keep nothing, and both for good.
const SECUREBITS: libc::c_ulong = 0b1110_1111;

/// Leaves the machine's namespaces and puts an empty root under the process. The process is nobody in its user namespace: no
/// user of the machine has a number there. It becomes the first process of the new process namespace only with its
/// next fork.
pub fn enter() -> Result<String, String> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let read_only = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | flags;
    let size = c"size=4k,nr_inodes=2,mode=0555";
    // SAFETY: integers, and strings that end with a zero. `pivot_root` with the same place twice stacks the old root on the
    // new one, from where it is taken off.
    unsafe {
        named("unshare", checked(libc::unshare(ALL)))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        named("mount", mount(None, c"/", None, private, None))?;
        let empty = mount(Some(c"none"), PLACE, Some(c"tmpfs"), flags, Some(size));
        named("mount of an empty root", empty)?;
        named("chdir", checked(libc::chdir(PLACE.as_ptr())))?;
        let pivoted = libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr());
        named("pivot_root", checked(i32::from(pivoted != 0)))?;
        let detached = libc::umount2(c".".as_ptr(), libc::MNT_DETACH);
        named("umount", checked(detached))?;
        named("chdir", checked(libc::chdir(c"/".as_ptr())))?;
    }
    named("mount read-only", mount(None, c"/", None, read_only, None))?;
    Ok("user, mounts, processes, network, IPC, host name, control groups".to_owned())
}

/// Which call failed, and what all of them need.
fn named(call: &str, result: Result<String, String>) -> Result<String, String> {
    result.map_err(|error| {
        format!(
            "{call}: {error}; the system must let a program make user namespaces and mount within them"
        )
    })
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> Result<String, String> {
    let pointer = |text: Option<&CStr>| text.map_or(null(), CStr::as_ptr);
    // SAFETY: strings that end with a zero, or none.
    checked(unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            pointer(data).cast(),
        )
    })
}

/// Looks at where the process is: alone, in an empty folder in which nothing can be made.
pub fn look_around() -> Result<String, String> {
    if std::process::id() != 1 {
        return Err("it is not the first process of its namespace".to_owned());
    }
    let mut entries = std::fs::read_dir("/").map_err(|error| error.to_string())?;
    if entries.next().is_some() {
        return Err("the root holds something".to_owned());
    }
    match std::fs::create_dir("/x") {
        Ok(()) => Err("the root can be written".to_owned()),
        Err(_) => Ok("read-only".to_owned()),
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability, those in the own namespace among them, and every way to new ones.
pub fn drop_capabilities() -> Result<String, String> {
    prctl(libc::PR_SET_SECUREBITS, SECUREBITS)?;
    // Until the first number that the kernel does not know.
    for capability in 0..64 {
        if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            break;
        }
    }
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let none = [CapabilitySet::default(); 2];
    // SAFETY: header and sets have the kernel's layout for this version and live through the calls.
    unsafe {
        if libc::syscall(libc::SYS_capset, &raw mut header, none.as_ptr()) != 0 {
            return Err(last_error());
        }
        let mut held = [CapabilitySet {
            effective: 1,
            permitted: 1,
            inheritable: 1,
        }; 2];
        if libc::syscall(libc::SYS_capget, &raw mut header, held.as_mut_ptr()) != 0 {
            return Err(last_error());
        }
        if held != none {
            return Err("some are left".to_owned());
        }
    }
    Ok(String::new())
}
