//! What happened in a run: lines for people, and a digest by which two runs are compared.

use std::sync::{Arc, Mutex, PoisonError};

use sealbook_primitives::hash::{Digest, hash};

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    violations: Vec<String>,
    now_ms: u64,
}

/// The trace of a run. Clones are the same trace; it outlives the run, also one that panics.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Lines>>);

impl Trace {
    fn with<T>(&self, look: impl FnOnce(&mut Lines) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the time of what is noted next, in milliseconds since the begin.
    pub fn set_time(&self, now_ms: u64) {
        self.with(|all| all.now_ms = now_ms);
    }

    /// Notes an event.
    pub fn note(&self, text: &str) {
        self.with(|all| {
            let now_ms = all.now_ms;
            all.lines.push(format!(
                "{:>3}.{:03}  {text}",
                now_ms / 1_000,
                now_ms % 1_000
            ));
        });
    }

    /// Notes that something happened that must not.
    pub fn violation(&self, text: String) {
        self.note(&format!("VIOLATION  {text}"));
        self.with(|all| all.violations.push(text));
    }

    /// What happened that must not.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.with(|all| all.violations.clone())
    }

    /// Whether anything did.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.with(|all| !all.violations.is_empty())
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.with(|all| all.lines.clone())
    }

    /// The digest over all lines.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.with(|all| {
            hash(
                "sealbook simulation trace",
                &[all.lines.join("\n").as_bytes()],
            )
        })
    }
}
