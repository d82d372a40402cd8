//! Time, as the host asks for it. A simulation gives its own.

use std::time::Instant;

/// A machine's clocks.
pub trait Clock: Send + Sync {
    /// The time of day, Unix milliseconds.
    fn now_ms(&self) -> u64;

    /// Milliseconds since some moment before the node began; never goes back.
    fn elapsed_ms(&self) -> u64;
}

/// The system's clocks.
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |passed| {
                u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
            })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
