//! What clients saw, and whether some single ledger could have shown it to them.
//!
//! A history is linearizable if every operation can be given one moment between its call and its answer so that the
//! answers are those of a ledger that does one thing at a time. The search is that of Wing and Gong with Lowe's memory
//! of places that led nowhere. Stateright's `LinearizabilityTester` searches without that memory, so that a history of
//! this length with a few lost answers takes it longer than anybody waits, and it brings a web server along; hence a
//! page of our own.

use std::collections::{BTreeMap, BTreeSet};

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Move units between two accounts.
    Transfer {
        /// The account that gives.
        from: u8,
        /// The account that receives.
        to: u8,
        /// How many.
        quantity: u64,
    },
    /// What do all accounts hold?
    Read,
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The transfer took effect.
    Settled,
    /// The account did not hold enough, and nothing changed.
    Rejected,
    /// What each account holds.
    Balances(Books),
}

/// What each account holds.
pub type Books = BTreeMap<u8, u64>;

/// One operation of one client. Moments are numbers that only grow, one for every event.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Who.
    pub client: usize,
    /// When it was called.
    pub called: u64,
    /// When it was answered, and with what; an operation without an answer may have happened at any time, or never.
    pub answered: Option<(u64, Answer)>,
    /// What was asked.
    pub call: Call,
}

/// All operations of a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    operations: Vec<Operation>,
    moment: u64,
}

impl History {
    /// A client calls. The number names the operation.
    pub fn call(&mut self, client: usize, call: Call) -> usize {
        self.moment += 1;
        self.operations.push(Operation {
            client,
            called: self.moment,
            answered: None,
            call,
        });
        self.operations.len() - 1
    }

    /// The client is answered.
    pub fn answer(&mut self, operation: usize, answer: Answer) {
        self.moment += 1;
        if let Some(one) = self.operations.get_mut(operation) {
            one.answered = Some((self.moment, answer));
        }
    }

    /// All operations, as they were called.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many have no answer.
    #[must_use]
    pub fn open(&self) -> usize {
        let open = |one: &&Operation| one.answered.is_none();
        self.operations.iter().filter(open).count()
    }

    /// What the accounts hold if every settled transfer took effect, once, and nothing else did.
    #[must_use]
    pub fn final_books(&self, begin: &Books) -> Books {
        let mut books = begin.clone();
        for one in &self.operations {
            if let (Call::Transfer { from, to, quantity }, Some((_, Answer::Settled))) =
                (&one.call, &one.answered)
            {
                // The order is not known here, so an account may be overdrawn on the way.
                let left = books
                    .get(from)
                    .copied()
                    .unwrap_or(0)
                    .wrapping_sub(*quantity);
                books.insert(*from, left);
                let received = books.get(to).copied().unwrap_or(0).wrapping_add(*quantity);
                books.insert(*to, received);
            }
        }
        books
    }

    /// Whether one ledger that began with these books could have given all answers.
    ///
    /// # Errors
    /// The first operations, as far as they could be put in order, and those that then did not fit.
    pub fn check(&self, begin: &Books) -> Result<(), String> {
        let mut search = Search {
            operations: &self.operations,
            done: vec![false; self.operations.len()],
            failed: BTreeSet::new(),
            best: (0, Vec::new()),
        };
        if search.run(begin) {
            return Ok(());
        }
        let (count, stuck) = search.best;
        let stuck: Vec<String> = stuck.iter().map(|one| format!("{one:?}")).collect();
        Err(format!(
            "after {count} operations that fit, none of these does: {}",
            stuck.join("; ")
        ))
    }
}

/// What a ledger that does one thing at a time does.
fn apply(books: &Books, call: &Call) -> (Books, Answer) {
    match call {
        Call::Read => (books.clone(), Answer::Balances(books.clone())),
        Call::Transfer { from, to, quantity } => {
            let held = |account| books.get(account).copied().unwrap_or(0);
            if held(from) < *quantity {
                return (books.clone(), Answer::Rejected);
            }
            let mut after = books.clone();
            after.insert(*from, held(from) - quantity);
            let received = after.get(to).copied().unwrap_or(0) + quantity;
            after.insert(*to, received);
            (after, Answer::Settled)
        }
    }
}

struct Search<'a> {
    operations: &'a [Operation],
    done: Vec<bool>,
    /// Places from which nothing led to the end: what was done by then, and the books.
    failed: BTreeSet<(Vec<bool>, Books)>,
    best: (usize, Vec<Operation>),
}

/// One decision of the search: what was done, the books before it, and what else could have been done.
struct Step {
    operation: usize,
    before: Books,
    others: Vec<usize>,
}

impl Search<'_> {
    /// The operations that may be next: called before any that is left was answered.
    fn candidates(&self) -> Vec<usize> {
        let left = || {
            let all = self.operations.iter().enumerate();
            all.filter(|(place, _)| self.done.get(*place) == Some(&false))
        };
        let first_answer = left()
            .filter_map(|(_, one)| one.answered.as_ref().map(|(moment, _)| *moment))
            .min()
            .unwrap_or(u64::MAX);
        left()
            .filter(|(_, one)| one.called < first_answer)
            .map(|(place, _)| place)
            .collect()
    }

    fn complete(&self) -> bool {
        let mut all = self.operations.iter().zip(&self.done);
        all.all(|(one, done)| *done || one.answered.is_none())
    }

    /// The books after an operation, if its answer is the one that was given.
    fn fits(&self, place: usize, books: &Books) -> Option<Books> {
        let one = self.operations.get(place)?;
        let (after, answer) = apply(books, &one.call);
        match &one.answered {
            Some((_, given)) if *given != answer => None,
            _ => Some(after),
        }
    }

    fn mark(&mut self, place: usize, done: bool) {
        if let Some(mark) = self.done.get_mut(place) {
            *mark = done;
        }
    }

    fn run(&mut self, begin: &Books) -> bool {
        let mut books = begin.clone();
        let mut path: Vec<Step> = Vec::new();
        let mut open = self.candidates();
        loop {
            if self.complete() {
                return true;
            }
            let next = loop {
                let Some(place) = open.pop() else { break None };
                let Some(after) = self.fits(place, &books) else {
                    continue;
                };
                self.mark(place, true);
                if self.failed.contains(&(self.done.clone(), after.clone())) {
                    self.mark(place, false);
                    continue;
                }
                break Some((place, after));
            };
            if let Some((operation, after)) = next {
                path.push(Step {
                    operation,
                    before: std::mem::replace(&mut books, after),
                    others: open,
                });
                open = self.candidates();
                continue;
            }
            if path.len() >= self.best.0 {
                let stuck = self.candidates().into_iter();
                let stuck = stuck.filter_map(|place| self.operations.get(place).cloned());
                self.best = (path.len(), stuck.collect());
            }
            self.failed.insert((self.done.clone(), books));
            let Some(last) = path.pop() else { return false };
            self.mark(last.operation, false);
            books = last.before;
            open = last.others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Books, Call, History};

    fn books(of: &[u64]) -> Books {
        (0_u8..).zip(of.iter().copied()).collect()
    }

    fn transfer(from: u8, to: u8, quantity: u64) -> Call {
        Call::Transfer { from, to, quantity }
    }

    #[test]
    fn operations_at_the_same_time_may_have_happened_in_either_order() {
        let begin = books(&[10, 0]);
        for seen in [books(&[10, 0]), books(&[4, 6])] {
            let mut history = History::default();
            let transfer = history.call(0, transfer(0, 1, 6));
            let read = history.call(1, Call::Read);
            history.answer(read, Answer::Balances(seen));
            history.answer(transfer, Answer::Settled);
            assert_eq!(history.check(&begin), Ok(()));
        }
    }

    #[test]
    fn a_read_after_an_answered_transfer_must_show_it() {
        let mut history = History::default();
        let transfer = history.call(0, transfer(0, 1, 6));
        history.answer(transfer, Answer::Settled);
        let read = history.call(1, Call::Read);
        history.answer(read, Answer::Balances(books(&[10, 0])));
        assert!(history.check(&books(&[10, 0])).is_err());
    }

    #[test]
    fn what_was_seen_once_stays_seen() {
        let mut history = History::default();
        let transfer = history.call(0, transfer(0, 1, 6));
        for seen in [[4, 6], [10, 0]] {
            let read = history.call(1, Call::Read);
            history.answer(read, Answer::Balances(books(&seen)));
        }
        history.answer(transfer, Answer::Settled);
        assert!(history.check(&books(&[10, 0])).is_err());
    }

    #[test]
    fn a_transfer_that_takes_effect_twice_shows() {
        let mut history = History::default();
        let transfer = history.call(0, transfer(0, 1, 3));
        history.answer(transfer, Answer::Settled);
        let read = history.call(0, Call::Read);
        history.answer(read, Answer::Balances(books(&[4, 6])));
        assert!(history.check(&books(&[10, 0])).is_err());
    }

    #[test]
    fn a_refusal_must_have_had_a_reason_and_a_settlement_the_means() {
        for (held, answer) in [(10, Answer::Rejected), (5, Answer::Settled)] {
            let mut history = History::default();
            let transfer = history.call(0, transfer(0, 1, 6));
            history.answer(transfer, answer);
            assert!(history.check(&books(&[held, 0])).is_err());
        }
    }

    #[test]
    fn an_operation_without_an_answer_may_have_happened_or_not() {
        for seen in [books(&[10, 0]), books(&[4, 6])] {
            let mut history = History::default();
            history.call(0, transfer(0, 1, 6));
            let read = history.call(1, Call::Read);
            history.answer(read, Answer::Balances(seen));
            assert_eq!(history.check(&books(&[10, 0])), Ok(()));
            assert_eq!(history.open(), 1);
        }
    }

    #[test]
    fn a_long_history_with_many_at_a_time_is_searched_quickly() {
        let mut history = History::default();
        let begin = books(&[1_000, 0]);
        for round in 0..100_u64 {
            let calls: Vec<usize> = (0..6)
                .map(|client| history.call(client, transfer(0, 1, 1)))
                .collect();
            for call in calls {
                history.answer(call, Answer::Settled);
            }
            let read = history.call(0, Call::Read);
            let moved = (round + 1) * 6;
            history.answer(read, Answer::Balances(books(&[1_000 - moved, moved])));
        }
        assert_eq!(history.check(&begin), Ok(()));
        // And no order is found where there is none.
        let read = history.call(0, Call::Read);
        history.answer(read, Answer::Balances(begin.clone()));
        assert!(history.check(&begin).is_err());
    }
}
