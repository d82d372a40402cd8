//! A runtime whose files are removed later.
//!
//! The engine deletes a file of votes with every view and some of its cache with every few dozen, one after the other,
//! and waits until each is gone durably. On a disk that others write to at the same time that held up the order for a
//! tenth of a second at a time. No vote rests on a file's being gone: after a crash the engine finds some old votes and
//! blocks more, or does not look for them any more.
//!
//! ```text
//! remove --> queue --> one file after the other, in the order in which they were removed
//! open, scan: what waits in the queue is not there any more
//! ```
//!
//! INVARIANT: of the removals, the first so many are done after a crash, while what was written after them may be there.
//! So the engine may have noted that it is done with an epoch of which files are left: [`clear`] deletes them at the next
//! start. A name that waits is removed before it is opened anew.
//!
//! Whatever else is asked of a runtime goes to the one underneath.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Display;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{
    BlobVersion, Clock, Error, Handle as Task, Metrics, Name, Spawner, Storage, Supervisor, signal,
};
use futures::StreamExt as _;
use futures::channel::mpsc;
use governor::clock::{Clock as GovernorClock, ReasonablyRealtime};
use rand_core::{TryCryptoRng, TryRng};

use crate::transport::Runtime;

/// How many removals may wait; whoever asks for more waits with them.
const WAITING_MAX: usize = 1_024;
/// Epochs before the present one whose files are the engine's own matter.
const EPOCHS_KEPT: u64 = 3;
/// Between two looks at whether a removal is done.
const POLL: Duration = Duration::from_millis(5);

/// A file, or all of a partition.
type Removal = (String, Option<Vec<u8>>);

/// What waits to be removed.
#[derive(Default)]
struct Waiting {
    removals: Mutex<VecDeque<Removal>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Removal>> {
        self.removals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file is to be removed, or all of its partition.
    fn has(&self, partition: &str, name: &[u8]) -> bool {
        let covers = |name_of: &Option<Vec<u8>>| match name_of {
            None => true,
            Some(one) => one == name,
        };
        let removals = self.lock();
        let mut of = removals.iter().filter(|(one, _)| one == partition);
        of.any(|(_, one)| covers(one))
    }

    fn has_all(&self, partition: &str) -> bool {
        let removals = self.lock();
        let mut of = removals.iter().filter(|(one, _)| one == partition);
        of.any(|(_, name)| name.is_none())
    }
}

/// Deletes what the engine keeps of blocks of epochs that are long over, before it starts: a crash may have come before
/// their removal, and the engine does not look for them. `prefix` is that of its files.
pub(crate) fn clear(folder: &Path, prefix: &str, epoch: u64) -> io::Result<()> {
    let beginning = format!("{prefix}-cache-cache-");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| {
            let (of, _) = name.strip_prefix(&beginning)?.split_once('-')?;
            of.parse::<u64>().ok()
        });
        if of.is_some_and(|of| of.saturating_add(EPOCHS_KEPT) < epoch) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A runtime whose files are removed later.
pub(crate) struct LateRemovals<E> {
    inner: E,
    waiting: Arc<Waiting>,
    wake: mpsc::UnboundedSender<()>,
}

impl<E: Runtime> LateRemovals<E> {
    /// Over `inner`. The task that removes runs as long as `inner` does.
    pub(crate) fn over(inner: E) -> Self {
        let waiting = Arc::new(Waiting::default());
        let (wake, mut woken) = mpsc::unbounded();
        let queue = Arc::clone(&waiting);
        inner.child("removals").spawn(move |context| async move {
            while woken.next().await.is_some() {
                loop {
                    // It stays in the queue until it is done.
                    let first = queue.lock().front().cloned();
                    let Some((partition, name)) = first else {
                        break;
                    };
                    let removed = context.remove(&partition, name.as_deref()).await;
                    if let Err(error) = removed {
                        tracing::warn!(%error, "a file of the engine's was not removed");
                    }
                    queue.lock().pop_front();
                }
            }
        });
        Self {
            inner,
            waiting,
            wake,
        }
    }

    /// Waits until nothing is to be removed any more.
    pub(crate) async fn settle(&self) {
        while !self.waiting.lock().is_empty() {
            self.inner.sleep(POLL).await;
        }
    }

    fn around(&self, inner: E) -> Self {
        Self {
            inner,
            waiting: Arc::clone(&self.waiting),
            wake: self.wake.clone(),
        }
    }
}

impl<E: Runtime> Storage for LateRemovals<E> {
    type Blob = E::Blob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Self::Blob, u64, BlobVersion), Error> {
        while self.waiting.has(partition, name) {
            self.inner.sleep(POLL).await;
        }
        self.inner.open_versioned(partition, name, versions).await
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        while self.waiting.lock().len() >= WAITING_MAX {
            self.inner.sleep(POLL).await;
        }
        let removal = (partition.to_owned(), name.map(<[u8]>::to_vec));
        self.waiting.lock().push_back(removal);
        // The other end goes with the runtime.
        self.wake.unbounded_send(()).map_err(|_| Error::Closed)
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        if self.waiting.has_all(partition) {
            return Err(Error::PartitionMissing(partition.to_owned()));
        }
        let mut names = self.inner.scan(partition).await?;
        names.retain(|name| !self.waiting.has(partition, name));
        Ok(names)
    }
}

impl<E: Runtime> Supervisor for LateRemovals<E> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.around(self.inner.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        Self {
            inner: self.inner.with_attribute(key, value),
            ..self
        }
    }
}

impl<E: Runtime> Spawner for LateRemovals<E> {
    fn shared(self, blocking: bool) -> Self {
        Self {
            inner: self.inner.shared(blocking),
            ..self
        }
    }

    fn dedicated(self) -> Self {
        Self {
            inner: self.inner.dedicated(),
            ..self
        }
    }

    fn spawn<F, Fut, T>(self, run: F) -> Task<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self {
            inner,
            waiting,
            wake,
        } = self;
        inner.spawn(move |inner| {
            run(Self {
                inner,
                waiting,
                wake,
            })
        })
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl<E: Runtime> Metrics for LateRemovals<E> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: Runtime> GovernorClock for LateRemovals<E> {
    type Instant = SystemTime;

    fn now(&self) -> Self::Instant {
        self.inner.now()
    }
}

impl<E: Runtime> ReasonablyRealtime for LateRemovals<E> {}

impl<E: Runtime> Clock for LateRemovals<E> {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.inner.sleep(duration)
    }

    fn sleep_until(
        &self,
        deadline: SystemTime,
    ) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.inner.sleep_until(deadline)
    }
}

impl<E: Runtime> TryRng for LateRemovals<E> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl<E: Runtime> TryCryptoRng for LateRemovals<E> {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use commonware_runtime::{Blob as _, ReadOptions, Runner as _, WriteOptions, deterministic};

    use super::*;

    const PART: &str = "part";

    async fn make(context: &impl Storage, name: &[u8]) {
        let (blob, length) = context.open(PART, name).await.unwrap();
        assert_eq!(length, 0, "a file of this name is there");
        blob.write_at(0, name.to_vec(), WriteOptions::default())
            .await
            .unwrap();
        blob.sync().await.unwrap();
    }

    async fn there(context: &impl Storage) -> Vec<Vec<u8>> {
        let mut names = context.scan(PART).await.unwrap_or_default();
        names.sort();
        names
    }

    #[test]
    fn what_waits_to_be_removed_is_not_there_any_more() {
        deterministic::Runner::default().start(|context| async move {
            let below = context.child("below");
            let late = LateRemovals::over(context.child("late"));
            for name in [b"a", b"b", b"c"] {
                make(&late, name).await;
            }
            late.remove(PART, Some(b"a")).await.unwrap();
            late.remove(PART, Some(b"b")).await.unwrap();
            // Asked of a child, too, and before anything was removed.
            assert_eq!(late.waiting.lock().len(), 2);
            assert_eq!(there(&below).await.len(), 3);
            assert_eq!(there(&late.child("child")).await, [b"c"]);
            // Opened anew it is empty, and stays.
            make(&late, b"a").await;
            late.settle().await;
            assert_eq!(there(&below).await, [b"a", b"c"]);
            assert_eq!(there(&late).await, [b"a", b"c"]);
            late.remove(PART, None).await.unwrap();
            assert!(matches!(
                late.scan(PART).await,
                Err(Error::PartitionMissing(_))
            ));
            make(&late, b"d").await;
            late.settle().await;
            assert_eq!(there(&below).await, [b"d"]);
            // What is not there cannot be removed, and those after it are.
            late.remove(PART, Some(b"never")).await.unwrap();
            late.remove(PART, Some(b"d")).await.unwrap();
            late.settle().await;
            assert_eq!(there(&below).await, Vec::<Vec<u8>>::new());
        });
    }

    #[test]
    fn what_was_not_removed_before_a_crash_is_there_after_it() {
        let names: Vec<Vec<u8>> = (0..40_u8).map(|name| vec![name]).collect();
        let all = names.clone();
        let ((), checkpoint) =
            deterministic::Runner::default().start_and_recover(|context| async move {
                let late = LateRemovals::over(context.child("late"));
                for name in &all {
                    make(&late, name).await;
                }
                for name in &all {
                    late.remove(PART, Some(name)).await.unwrap();
                }
                assert_eq!(there(&late).await, Vec::<Vec<u8>>::new());
            });
        deterministic::Runner::from(checkpoint).start(|context| async move {
            assert_eq!(there(&context).await, names);
            for name in &names {
                let (blob, length) = context.open(PART, name).await.unwrap();
                assert_eq!(length, 1);
                let found = blob.read_at(0, 1, ReadOptions::default()).await.unwrap();
                assert_eq!(found.coalesce().as_ref(), name.as_slice());
            }
        });
    }

    #[test]
    fn what_a_crash_left_of_old_epochs_is_cleared_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "net-cache-cache-3-verified-key",
            "net-cache-cache-3-notarizations-value",
            "net-cache-cache-6-verified-key",
            "net-cache-cache-10-verified-key",
            "net-cache-metadata",
            "net-simplex-3",
            "other-cache-cache-3-verified-key",
        ];
        for name in names {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("00"), b"x").unwrap();
        }
        clear(folder.path(), "net", 9).unwrap();
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, false, true, true, true, true, true]);
        assert!(clear(&folder.path().join("none"), "net", 9).is_err());
    }

    #[test]
    fn no_more_wait_than_a_limit() {
        deterministic::Runner::default().start(|context| async move {
            let late = LateRemovals::over(context.child("late"));
            for name in 0..u16::try_from(2 * WAITING_MAX).unwrap() {
                let name = name.to_be_bytes();
                late.remove(PART, Some(&name)).await.unwrap();
                assert!(late.waiting.lock().len() <= WAITING_MAX);
            }
            late.settle().await;
        });
    }
}
