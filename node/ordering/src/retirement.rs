//! The engine of an epoch that is over proposes nothing more.
//!
//! At the end of an epoch the engine proposes the boundary block again and again, until the block is final. Where it is
//! final already, every further round is for nothing, and goes as fast as the nodes can: beside the engine of the next
//! epoch, which has work to do. So once its node has the boundary block finally, an engine leaves requests for proposals
//! unanswered, which the rules of the engine allow for as long as one cannot answer. It still judges and certifies what
//! others propose, for nodes that are a moment behind.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use commonware_consensus::types::Round;
use commonware_consensus::{Automaton, CertifiableAutomaton, Handoff};
use commonware_utils::channel::oneshot;

/// Says that an epoch is over.
#[derive(Clone, Default)]
pub(crate) struct Retirement {
    over: Arc<AtomicBool>,
}

impl Retirement {
    pub(crate) fn begin(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// An automaton until its epoch is over.
#[derive(Clone)]
pub(crate) struct Retiring<A> {
    inner: A,
    retirement: Retirement,
    /// The other ends of what is left unanswered: a closed one would be an answer. A retired engine asks a few times.
    unanswered: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
}

impl<A> Retiring<A> {
    pub(crate) fn new(inner: A, retirement: Retirement) -> Self {
        Self {
            inner,
            retirement,
            unanswered: Arc::default(),
        }
    }

    /// An answer that never comes, if the epoch is over.
    fn none<T: Send + 'static>(&self) -> Option<oneshot::Receiver<T>> {
        self.retirement.has_begun().then(|| {
            let (sender, receiver) = oneshot::channel();
            let unanswered = self.unanswered.lock();
            unanswered
                .unwrap_or_else(PoisonError::into_inner)
                .push(Box::new(sender));
            receiver
        })
    }
}

impl<A: CertifiableAutomaton + Sync> Automaton for Retiring<A>
where
    A::Context: Send,
{
    type Context = A::Context;
    type Digest = A::Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<Self::Digest> {
        match self.none() {
            Some(none) => none,
            None => self.inner.propose(context).await,
        }
    }

    async fn verify(
        &mut self,
        context: Self::Context,
        payload: Self::Digest,
    ) -> oneshot::Receiver<bool> {
        self.inner.verify(context, payload).await
    }
}

impl<A: CertifiableAutomaton + Sync> CertifiableAutomaton for Retiring<A>
where
    A::Context: Send,
{
    async fn prepare(
        &mut self,
        context: Self::Context,
    ) -> oneshot::Receiver<Handoff<Self::Digest>> {
        match self.none() {
            Some(none) => none,
            None => self.inner.prepare(context).await,
        }
    }

    async fn certify(&mut self, round: Round, payload: Self::Digest) -> oneshot::Receiver<bool> {
        self.inner.certify(round, payload).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::async_yields_async)]
mod tests {
    use commonware_cryptography::sha256::Digest;
    use futures::FutureExt as _;

    use super::*;

    /// Answers everything at once.
    #[derive(Clone)]
    struct Willing;

    fn answered<T: std::fmt::Debug>(value: T) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        sender.send(value).unwrap();
        receiver
    }

    impl Automaton for Willing {
        type Context = ();
        type Digest = Digest;

        async fn propose(&mut self, (): ()) -> oneshot::Receiver<Digest> {
            answered(Digest([1; 32]))
        }

        async fn verify(&mut self, (): (), _: Digest) -> oneshot::Receiver<bool> {
            answered(true)
        }
    }

    impl CertifiableAutomaton for Willing {}

    #[test]
    fn an_epoch_that_is_over_proposes_nothing_and_still_judges() {
        let retirement = Retirement::default();
        let mut automaton = Retiring::new(Willing, retirement.clone());
        let propose = |automaton: &mut Retiring<Willing>| {
            let response = automaton.propose(()).now_or_never().unwrap();
            response.now_or_never()
        };
        assert_eq!(propose(&mut automaton), Some(Ok(Digest([1; 32]))));
        retirement.begin();
        // Neither answered nor refused.
        assert_eq!(propose(&mut automaton), None);
        assert_eq!(propose(&mut automaton.clone()), None);
        let prepared = automaton.prepare(()).now_or_never().unwrap();
        assert_eq!(prepared.now_or_never(), None);
        let verified = automaton.verify((), Digest([2; 32])).now_or_never();
        assert_eq!(verified.unwrap().now_or_never(), Some(Ok(true)));
    }
}
