//! The operating system's random numbers and time of day, from a seed.
//!
//! Keys, envelopes and the hash maps of the standard library draw from the system, and the clients' software asks for
//! the time of day. For a run to be the same bit by bit, the thread that runs it gets both from its seed and its
//! simulated clock instead: this file puts functions of its own in the place of the C library's. Threads that run no
//! simulation get what the system says, as ever.
//!
//! INVARIANT: linked by tests only. Nothing that holds a real key may ever link this crate.

#![allow(
    unsafe_code,
    reason = "a symbol of the C library is replaced, which is why this file exists"
)]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};

use crate::random::Random;

thread_local! {
    static SEEDED: Cell<Option<u64>> = const { Cell::new(None) };
    static TIME_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `body` on a thread of its own, whose random numbers all follow from `seed`.
///
/// A panic of `body` comes back as its text.
///
/// # Errors
/// The text of the panic.
pub fn seeded<T: Send + 'static>(
    seed: u64,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let thread = std::thread::Builder::new()
        .name(format!("seed-{seed}"))
        .stack_size(16 * 1024 * 1024)
        .spawn(move || {
            // Before anything is drawn: a thread's hash maps keep the first numbers that they get.
            SEEDED.set(Some(Random::new(seed, "entropy").next()));
            // Named here, so that the linker takes it along with this function.
            std::hint::black_box(getrandom as unsafe extern "C" fn(_, _, _) -> _);
            std::hint::black_box(clock_gettime as unsafe extern "C" fn(_, _) -> _);
            body()
        })
        .map_err(|error| error.to_string())?;
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it panicked".to_owned())
    })
}

/// Sets the time of day of this thread, in Unix milliseconds.
pub fn set_time_of_day(now_ms: u64) {
    TIME_MS.set(Some(now_ms));
}

/// Takes the place of the C library's function of this name.
///
/// # Safety
/// `time` must be valid for a write, as for the function that it replaces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let simulated = TIME_MS.try_with(Cell::get).ok().flatten();
    let (libc::CLOCK_REALTIME, Some(now_ms)) = (clock, simulated) else {
        // SAFETY: the arguments are those of the system call, as the caller gave them.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return c_int::try_from(result).unwrap_or(-1);
    };
    let now = libc::timespec {
        tv_sec: i64::try_from(now_ms / 1_000).unwrap_or(0),
        tv_nsec: i64::try_from(now_ms % 1_000).unwrap_or(0) * 1_000_000,
    };
    // SAFETY: the caller promises that the time may be written there.
    unsafe { time.write(now) };
    0
}

/// Takes the place of the C library's function of this name.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as for the function that it replaces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    let Some(state) = SEEDED.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the arguments are those of the system call, as the caller gave them.
        let filled = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(filled).unwrap_or(-1);
    };
    if buffer.is_null() || length == 0 {
        return 0;
    }
    let mut random = Random::new(state, "draw");
    // SAFETY: the caller promises that `length` bytes may be written there; it need not have initialised them, so they
    // are set before a slice of them is made.
    let bytes = unsafe {
        std::ptr::write_bytes(buffer.cast::<u8>(), 0, length);
        std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length)
    };
    random.fill(bytes);
    SEEDED.set(Some(random.next()));
    isize::try_from(length).unwrap_or(isize::MAX)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_types,
    reason = "that its order follows from the seed is what is tested"
)]
mod tests {
    use std::collections::HashSet;

    use sealbook_primitives::random::bytes;

    use std::time::{Duration, SystemTime};

    use super::{seeded, set_time_of_day};

    fn draw(seed: u64) -> (Vec<[u8; 40]>, Vec<u64>) {
        let drawn = seeded(seed, || {
            let all: HashSet<u64> = (0..100).collect();
            ((0..3).map(|_| bytes()).collect(), all.into_iter().collect())
        });
        drawn.unwrap_or_default()
    }

    #[test]
    fn a_thread_with_a_seed_draws_from_it_and_no_other_thread_does() {
        let (keys, order) = draw(7);
        assert_eq!(keys.len(), 3);
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert_eq!(draw(7), (keys.clone(), order));
        assert_ne!(draw(8).0, keys);
        assert_ne!(bytes::<32>(), bytes::<32>());
    }

    #[test]
    fn the_time_of_day_is_the_simulated_one_where_one_is_set() {
        let simulated = seeded(1, || {
            set_time_of_day(1_234_567);
            SystemTime::now()
        });
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567);
        assert_eq!(simulated, Ok(expected));
        assert!(SystemTime::now() > expected + Duration::from_secs(86_400 * 365 * 40));
    }
}
