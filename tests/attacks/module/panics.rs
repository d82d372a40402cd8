//! 15: a panic inside the module, whose message is what it should keep to itself.
//!
//! No input is known that makes it panic, so root makes it: it stops the process, as a debugger would, and lets it call what every
//! failed `expect` calls, with the planted value in the module's own memory for a message. Root can do that to any process; what
//! is looked at is where the message goes.

use std::fs;
use std::os::unix::fs::FileExt as _;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::{Object as _, ObjectSymbol as _};

use crate::cage::is_root;
use crate::kit::module::PROGRAM;
use crate::streams::{Overheard, PLANTED};

/// Numbers of system calls on this architecture, and of standard error.
const WRITE: u64 = 1;
const GETTID: u64 = 186;
const STANDARD_ERROR: u64 = 2;

/// `core::option::expect_failed(message, place)`, relative to where the program is in memory.
fn expect_failed() -> u64 {
    let program = fs::read(PROGRAM).unwrap();
    let program = object::File::parse(program.as_slice()).unwrap();
    let mut symbols = program.symbols();
    let found = symbols.find(|symbol| {
        symbol
            .name()
            .is_ok_and(|name| name.contains("6option13expect_failed"))
    });
    found.unwrap().address()
}

/// The module while it is held.
struct Held {
    pid: Pid,
    memory: fs::File,
    maps: String,
}

impl Held {
    fn hold(module: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(module).unwrap());
        ptrace::attach(pid).unwrap();
        let stopped = waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
        let memory = format!("/proc/{module}/mem");
        Self {
            pid,
            memory: fs::File::options()
                .read(true)
                .write(true)
                .open(memory)
                .unwrap(),
            maps: fs::read_to_string(format!("/proc/{module}/maps")).unwrap(),
        }
    }

    fn ranges<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = (u64, u64)> + 'a {
        let lines = self.maps.lines().filter(move |line| line.contains(wanted));
        lines.map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(from), number(to))
        })
    }

    /// Where these bytes are in its memory.
    fn find(&self, wanted: &[u8]) -> Option<u64> {
        self.ranges(" rw").find_map(|(from, to)| {
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            self.memory.read_exact_at(&mut bytes, from).ok()?;
            let place = bytes
                .windows(wanted.len())
                .position(|window| window == wanted)?;
            Some(from + place as u64)
        })
    }

    /// Lets it fail with the text at an address for a message.
    fn panic(&self, message: u64, length: usize) {
        let (base, _) = self.ranges("sealbook-execution").next().unwrap();
        let mut registers = ptrace::getregs(self.pid).unwrap();
        // A place in a source file is the file's name, a line and a column; it goes below what the stack holds.
        let place = (registers.rsp - 1024) & !0xf;
        let mut bytes = Vec::new();
        bytes.extend(message.to_ne_bytes());
        bytes.extend((length as u64).to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        self.memory.write_all_at(&bytes, place).unwrap();
        // As after a call: a return address lies on top, here one that leads nowhere.
        registers.rsp = place - 24;
        self.memory
            .write_all_at(&0_u64.to_ne_bytes(), registers.rsp)
            .unwrap();
        registers.rdi = message;
        registers.rsi = length as u64;
        registers.rdx = place;
        registers.rip = base + expect_failed();
        // It was waiting in a system call, which is not to be taken up again.
        registers.orig_rax = u64::MAX;
        ptrace::setregs(self.pid, registers).unwrap();
    }

    /// The system calls that it makes until it ends, and what it writes to its standard error.
    fn end(&self) -> (Vec<u64>, String) {
        let (mut calls, mut said) = (Vec::new(), Vec::new());
        let mut entering = true;
        let mut pass_on = None;
        loop {
            ptrace::syscall(self.pid, pass_on.take()).unwrap();
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::PtraceSyscall(_) => {
                    let call = ptrace::getregs(self.pid).unwrap();
                    if entering {
                        calls.push(call.orig_rax);
                        if call.orig_rax == WRITE && call.rdi == STANDARD_ERROR {
                            let mut bytes = vec![0; usize::try_from(call.rdx).unwrap()];
                            self.memory.read_exact_at(&mut bytes, call.rsi).unwrap();
                            said.extend(bytes);
                        }
                    }
                    entering = !entering;
                }
                WaitStatus::Stopped(_, signal) => pass_on = Some(signal),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => break,
                other => panic!("{other:?}"),
            }
        }
        (calls, String::from_utf8_lossy(&said).into_owned())
    }
}

#[test]
fn a15_a_panic_inside_the_module_is_heard_by_nobody() {
    if !is_root() {
        eprintln!("skipped: only root can make the module panic");
        return;
    }
    let overheard = Overheard::new();
    let held = Held::hold(overheard.module());
    let planted = held.find(PLANTED.as_bytes()).unwrap();
    held.panic(planted, PLANTED.len());
    let (calls, said) = held.end();
    // The panic asks for its thread's number, to say where it happened, and that alone ends the module. Should it ever get
    // further, then it says the planted value, and nobody hears it.
    assert!(
        calls.first() == Some(&GETTID) || said.contains(PLANTED),
        "no panic: {calls:?} {said:?}"
    );
    drop(held);
    overheard.ended_in_silence();
}
