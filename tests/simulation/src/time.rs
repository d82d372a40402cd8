//! The simulated time, and what each node's clock makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use commonware_runtime::Clock as _;
use commonware_runtime::deterministic::Context;
use sealbook_host::clock::Clock;

use crate::entropy;
use crate::trace::Trace;

/// The true time of a run.
pub struct Time {
    context: Context,
    trace: Trace,
    begin_ms: u64,
}

impl Time {
    /// The time of this runtime.
    #[must_use]
    pub fn new(context: Context, trace: Trace) -> Self {
        let mut time = Self {
            context,
            trace,
            begin_ms: 0,
        };
        time.begin_ms = time.now_ms();
        time
    }

    /// Unix milliseconds. Traces and the clients' software get the same.
    pub fn now_ms(&self) -> u64 {
        let passed = self.context.current().duration_since(UNIX_EPOCH);
        let now_ms = passed.map_or(0, |passed| u64::try_from(passed.as_millis()).unwrap_or(0));
        entropy::set_time_of_day(now_ms);
        self.trace.set_time(now_ms.saturating_sub(self.begin_ms));
        now_ms
    }

    /// Milliseconds since the run began.
    pub fn passed_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.begin_ms)
    }

    /// Notes an event at the present time.
    pub fn note(&self, text: &str) {
        let _ = self.now_ms();
        self.trace.note(text);
    }
}

/// A node's clock, which may be wrong.
pub struct NodeClock {
    time: Arc<Time>,
    wrong_by_ms: Arc<AtomicI64>,
    started_ms: u64,
}

impl NodeClock {
    /// The clock of a node that starts now, with this error.
    #[must_use]
    pub fn new(time: Arc<Time>, wrong_by_ms: Arc<AtomicI64>) -> Self {
        Self {
            started_ms: time.now_ms(),
            time,
            wrong_by_ms,
        }
    }
}

impl Clock for NodeClock {
    fn now_ms(&self) -> u64 {
        let wrong = self.wrong_by_ms.load(Ordering::Relaxed);
        self.time.now_ms().saturating_add_signed(wrong)
    }

    fn elapsed_ms(&self) -> u64 {
        self.time.now_ms().saturating_sub(self.started_ms)
    }
}
