//! What a client makes of failed tries: which node to try next, how long to wait before, when to give up.
//!
//! A node may be gone, busy, behind or lying. One node's word is never enough to give up: a refusal counts when more
//! nodes refuse than may be lying, and no other node is left that could do better.

use std::time::{Duration, Instant};

use sealbook_protocol::client::ResponseBody;

use crate::ClientError;
use crate::connection::ConnectionError;

const PAUSE: Duration = Duration::from_millis(50);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long a node that could not be reached is passed over while there are others.
const SHUNNED: Duration = Duration::from_secs(10);

/// What kind of failure a try was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no connection to the node.
    Unreachable,
    /// Not yet, or the connection broke: another try may succeed.
    Later,
    /// The node is busy and says so.
    Busy,
    /// The node does not have what was asked for.
    Absent,
    /// The node refused, and will refuse the same again.
    Refusal,
    /// It is sealed to a key epoch that has ended, as the ledger proves: it must be sealed anew.
    Stale,
    /// The answer is not from the node's execution module, or proves nothing.
    False,
}

/// Why one try failed.
#[derive(Debug)]
pub struct Problem {
    /// What kind of failure it was.
    pub kind: Kind,
    /// In words for the user.
    pub text: String,
}

impl Problem {
    /// A failure of this kind.
    pub fn new(kind: Kind, text: &str) -> Self {
        Self {
            kind,
            text: text.to_owned(),
        }
    }

    /// Whether a node may have taken what it was given all the same: a connection that broke may have carried it there.
    pub const fn may_have_taken(&self) -> bool {
        matches!(self.kind, Kind::Later | Kind::Absent | Kind::False)
    }

    /// An answer that is not what it should be.
    pub fn false_answer() -> Self {
        Self::new(
            Kind::False,
            "a node's answer is not from its execution module",
        )
    }

    /// An answer of another kind than what was asked for.
    pub fn unexpected(response: ResponseBody) -> Self {
        let (kind, text) = match response {
            ResponseBody::Busy(text) => (Kind::Busy, text),
            ResponseBody::Refused(text) => (Kind::Refusal, text),
            ResponseBody::Absent => (Kind::Absent, "the node does not have it".to_owned()),
            ResponseBody::NotYet => (Kind::Later, "not ordered yet".to_owned()),
            _ => (Kind::Later, "the node answered something else".to_owned()),
        };
        Self { kind, text }
    }
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        let kind = if error.is_refusal() {
            Kind::Refusal
        } else {
            Kind::Later
        };
        Self {
            kind,
            text: error.in_words(),
        }
    }
}

/// One try: a value, or the reason to try the next node.
pub type Tried<T> = Result<T, Problem>;

/// Which nodes could be reached lately.
#[derive(Debug, Default)]
pub struct Reach {
    shunned_until: Vec<Option<Instant>>,
}

impl Reach {
    /// For so many nodes.
    pub fn of(nodes: usize) -> Self {
        Self {
            shunned_until: vec![None; nodes],
        }
    }

    fn is_shunned(&self, node: usize, now: Instant) -> bool {
        let until = self.shunned_until.get(node).copied().flatten();
        until.is_some_and(|until| now < until)
    }

    /// Remembers that a node could not be reached.
    pub fn lost(&mut self, node: usize, now: Instant) {
        if let Some(place) = self.shunned_until.get_mut(node) {
            *place = Some(now + SHUNNED);
        }
    }

    /// Remembers that a node could be reached.
    pub fn found(&mut self, node: usize) {
        if let Some(place) = self.shunned_until.get_mut(node) {
            *place = None;
        }
    }

    /// The first node from `wanted` on that is worth a try; `wanted` itself if none is.
    pub fn choose(&self, wanted: usize, now: Instant) -> usize {
        let nodes = self.shunned_until.len().max(1);
        let first = wanted % nodes;
        (0..nodes)
            .map(|step| (first + step) % nodes)
            .find(|node| !self.is_shunned(*node, now))
            .unwrap_or(first)
    }
}

/// The failed tries of one request.
#[derive(Debug)]
pub struct Attempts {
    last: Vec<Option<Kind>>,
    busy: u32,
    text: String,
    kind: Kind,
}

impl Attempts {
    /// No try yet. Nodes that are passed over count as tried.
    pub fn new(reach: &Reach, now: Instant) -> Self {
        let last = (0..reach.shunned_until.len())
            .map(|node| reach.is_shunned(node, now).then_some(Kind::Unreachable))
            .collect();
        Self {
            last,
            busy: 0,
            text: String::new(),
            kind: Kind::Later,
        }
    }

    /// Notes a failure at a node; gives how long to wait before the next try.
    pub fn failed(&mut self, node: usize, problem: Problem) -> Duration {
        if let Some(place) = self.last.get_mut(node) {
            *place = Some(problem.kind);
        }
        self.kind = problem.kind;
        self.text = problem.text;
        if self.kind != Kind::Busy {
            self.busy = 0;
            return PAUSE;
        }
        let pause = BUSY_PAUSE.saturating_mul(1 << self.busy.min(10));
        self.busy = self.busy.saturating_add(1);
        pause.min(BUSY_PAUSE_MAX)
    }

    /// The error, once no further try can change it.
    pub fn verdict(&self) -> Option<ClientError> {
        let count = |kind| self.last.iter().filter(|last| **last == Some(kind)).count();
        let (refusals, absences, lies) = (
            count(Kind::Refusal),
            count(Kind::Absent),
            count(Kind::False),
        );
        let settled = refusals + absences + lies;
        let may_lie = self.last.len().saturating_sub(1) / 3;
        if settled + count(Kind::Unreachable) < self.last.len() || settled <= may_lie {
            return None;
        }
        let text = self.text.clone();
        Some(match () {
            () if lies > refusals.max(absences) => ClientError::FalseAnswer,
            () if refusals >= absences => ClientError::Refused(text),
            () => ClientError::Absent,
        })
    }

    /// The error when patience has ended.
    pub fn given_up(self, patience: Duration) -> ClientError {
        let (seconds, last) = (patience.as_secs(), self.text);
        if self.kind == Kind::Busy {
            ClientError::Busy { seconds, last }
        } else {
            ClientError::Unavailable { seconds, last }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(nodes: usize) -> Attempts {
        Attempts::new(&Reach::of(nodes), Instant::now())
    }

    fn after(nodes: usize, kinds: &[Kind]) -> Option<ClientError> {
        let mut attempts = attempts(nodes);
        for (node, kind) in kinds.iter().enumerate() {
            let _ = attempts.failed(node, Problem::new(*kind, "why"));
        }
        attempts.verdict()
    }

    #[test]
    fn a_refusal_counts_when_more_nodes_refuse_than_may_lie() {
        use Kind::{Absent, Busy, False, Later, Refusal, Unreachable};
        let refused = |kinds: &[Kind]| matches!(after(4, kinds), Some(ClientError::Refused(_)));
        assert!(refused(&[Refusal, Refusal, Refusal, Refusal]));
        assert!(refused(&[Refusal, Unreachable, Refusal, Unreachable]));
        // One node alone may be lying, and any other node that is there may still do it.
        assert!(!refused(&[Refusal, Unreachable, Unreachable, Unreachable]));
        assert!(!refused(&[Refusal, Refusal, Refusal]));
        assert!(!refused(&[Refusal, Refusal, Refusal, Busy]));
        assert!(!refused(&[Refusal, Refusal, Refusal, Later]));
        assert!(matches!(
            after(1, &[Refusal]),
            Some(ClientError::Refused(_))
        ));
        assert!(matches!(
            after(4, &[False, False, False, Unreachable]),
            Some(ClientError::FalseAnswer)
        ));
        assert!(matches!(after(4, &[Absent; 4]), Some(ClientError::Absent)));
        assert!(after(4, &[Unreachable; 4]).is_none());
        assert!(after(0, &[]).is_none());
    }

    #[test]
    fn busy_nodes_are_given_ever_more_time() {
        let mut attempts = attempts(4);
        let pauses: Vec<u128> = (0..8)
            .map(|node| attempts.failed(node % 4, Problem::new(Kind::Busy, "full")))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]);
        assert_eq!(attempts.failed(0, Problem::new(Kind::Later, "")), PAUSE);
        let error = attempts.failed(0, Problem::new(Kind::Busy, "full"));
        assert_eq!(error, BUSY_PAUSE);
        let error = attempts.given_up(Duration::from_secs(9)).to_string();
        assert!(error.contains("busy") && error.contains("full"), "{error}");
    }

    #[test]
    fn nodes_that_cannot_be_reached_are_passed_over_for_a_while() {
        let (mut reach, now) = (Reach::of(3), Instant::now());
        assert_eq!(reach.choose(7, now), 1);
        reach.lost(1, now);
        assert_eq!(reach.choose(1, now), 2);
        assert_eq!(reach.choose(1, now + SHUNNED), 1);
        for node in 0..3 {
            reach.lost(node, now);
        }
        assert_eq!(reach.choose(5, now), 2);
        reach.found(0);
        assert_eq!(reach.choose(5, now), 0);
        // A network without nodes is a mistake of its user, not of this.
        assert_eq!(Reach::of(0).choose(5, now), 0);
    }

    #[test]
    fn a_node_that_is_passed_over_counts_as_tried() {
        let (mut reach, now) = (Reach::of(4), Instant::now());
        reach.lost(3, now);
        let mut attempts = Attempts::new(&reach, now);
        for node in 0..3 {
            let _ = attempts.failed(node, Problem::new(Kind::Refusal, "no"));
        }
        assert!(matches!(attempts.verdict(), Some(ClientError::Refused(_))));
    }
}
