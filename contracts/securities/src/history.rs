//! What things were at any past moment.
//!
//! A moment is the number of the last order that counts. Every position and every issue's total has
//! a list of changes, each with the number of the order that made it; the value at a moment is that
//! of the last change at or before it. Changes are rows of a table, because later results (a
//! dividend with a past record time) depend on them.

use crate::outcome::Code;
use crate::rows::{Change, ChangeIndex};
use crate::state::State;
use crate::table::{RowIndex, Table};
use crate::{BusinessDate, RecordTime};

/// The changes of all rows of one table.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) changes: Table<ChangeIndex, Change>,
    by_subject: Vec<Subject>,
}

/// The changes of one row.
#[derive(Clone, Default)]
struct Subject {
    /// Number and value of the last change, so that the next one looks at no other row.
    last: (u64, u64),
    changes: Vec<ChangeIndex>,
}

impl History {
    pub(crate) const fn new() -> Self {
        Self {
            changes: Table::new(),
            by_subject: Vec::new(),
        }
    }

    /// The history of these changes; nothing if one is of a subject that is not among `subjects`, or before an
    /// earlier one of the same subject.
    pub(crate) fn from_changes(changes: Vec<Change>, subjects: usize) -> Option<Self> {
        let mut by_subject: Vec<Subject> = Vec::new();
        by_subject.resize_with(subjects, Subject::default);
        for (index, change) in (0u32..).map(ChangeIndex).zip(&changes) {
            let subject = by_subject.get_mut(change.subject as usize)?;
            if !subject.changes.is_empty() && subject.last.0 >= change.sequence {
                return None;
            }
            subject.last = (change.sequence, change.value);
            subject.changes.push(index);
        }
        Some(Self {
            changes: Table::from_rows(changes),
            by_subject,
        })
    }

    /// Notes that `subject` is `value` from order `sequence` on. Sequences never decrease; a second
    /// change by the same order replaces the first.
    pub(crate) fn record(&mut self, subject: impl RowIndex, sequence: u64, value: u64) {
        let place = subject.place() as usize;
        if self.by_subject.len() <= place {
            self.by_subject.resize_with(place + 1, Subject::default);
        }
        let Some(of) = self.by_subject.get_mut(place) else {
            return;
        };
        match of.changes.last() {
            Some(last) if of.last.0 == sequence => self.changes.row_mut(*last).value = value,
            Some(_) if of.last.1 == value => return,
            _ => {
                let change = Change {
                    subject: subject.place(),
                    sequence,
                    value,
                };
                of.changes.push(self.changes.push(change));
            }
        }
        of.last = (sequence, value);
    }

    /// The number of the last change of a row.
    pub(crate) fn last_change(&self, subject: impl RowIndex) -> Option<u64> {
        let subject = self.by_subject.get(subject.place() as usize)?;
        Some(subject.last.0)
    }

    /// The value of `subject` after the order `sequence`; 0 before its first change.
    pub(crate) fn value_at(&self, subject: impl RowIndex, sequence: u64) -> u64 {
        let Some(subject) = self.by_subject.get(subject.place() as usize) else {
            return 0;
        };
        let list = &subject.changes;
        if !list.is_empty() && subject.last.0 <= sequence {
            return subject.last.1;
        }
        let count = list.partition_point(|index| self.changes.row(*index).sequence <= sequence);
        let last = count.checked_sub(1).and_then(|place| list.get(place));
        last.map_or(0, |index| self.changes.row(*index).value)
    }
}

/// A moment in the ledger's past, or now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The number of the last order that counts.
    pub(crate) sequence: u64,
    /// The height of the block that the moment lies in, or at whose end it lies.
    pub(crate) height: u64,
}

impl State {
    /// Finds the moment that a record time means.
    ///
    /// Times and dates that have not come yet mean now, because no block and no business day after
    /// the current one is known; heights that have not come yet are refused.
    pub(crate) fn moment(&self, time: RecordTime) -> Result<Moment, Code> {
        match time {
            RecordTime::Now => Ok(self.now()),
            RecordTime::Height(height) if height > self.clock.height => {
                Err(Code::UnknownRecordTime)
            }
            RecordTime::Height(height) => Ok(self.end_of_block(height)),
            RecordTime::Time(time_ms) => {
                let starts = self.blocks.rows();
                let count = starts.partition_point(|start| start.time_ms <= time_ms);
                Ok(self.end_of_block(u64::try_from(count).unwrap_or(u64::MAX)))
            }
            RecordTime::Date(date) => Ok(self.close_of(date)),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            sequence: self.clock.sequence,
            height: self.clock.height,
        }
    }

    /// The moment after the last order of a block; of the current block as far as it has come.
    pub(crate) fn end_of_block(&self, height: u64) -> Moment {
        // Block h + 1 is in row h, because the first block has height 1.
        let next = usize::try_from(height)
            .ok()
            .and_then(|place| self.blocks.rows().get(place));
        next.map_or_else(
            || self.now(),
            |next| Moment {
                sequence: next.sequence,
                height,
            },
        )
    }

    /// The moment just before the first opening of a date later than `date`.
    fn close_of(&self, date: BusinessDate) -> Moment {
        let closed = self.closed(date, u64::MAX);
        closed.unwrap_or_else(|| self.now())
    }

    /// The same, if that opening is among the first `orders`.
    pub(crate) fn closed(&self, date: BusinessDate, orders: u64) -> Option<Moment> {
        let days = self.days.rows();
        let next = days.get(days.partition_point(|day| day.date <= date))?;
        let closed = next.sequence <= orders;
        closed.then(|| self.moment_of(next.sequence.saturating_sub(1)))
    }

    /// Ledger time of the block at a height; 0 where there is none.
    pub(crate) fn time_of(&self, height: u64) -> u64 {
        let place = height.checked_sub(1).map(usize::try_from);
        let start = place.and_then(|place| self.blocks.rows().get(place.ok()?));
        start.map_or(0, |start| start.time_ms)
    }

    /// The moment after order `sequence`, when a later order exists. If it is the end of a block,
    /// then the height is that of the last block that ended in this state.
    fn moment_of(&self, sequence: u64) -> Moment {
        let starts = self.blocks.rows();
        let begun = starts.partition_point(|start| start.sequence <= sequence);
        let last = begun.checked_sub(1).and_then(|place| starts.get(place));
        let at_its_start = last.is_some_and(|start| start.sequence == sequence);
        let height = u64::try_from(begun).unwrap_or(u64::MAX) - u64::from(at_its_start);
        Moment { sequence, height }
    }

    /// The height of the block that applied order `sequence`.
    pub(crate) fn height_of(&self, sequence: u64) -> u64 {
        let begun = self
            .blocks
            .rows()
            .partition_point(|start| start.sequence < sequence);
        u64::try_from(begun).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::PositionIndex;

    #[test]
    fn values_hold_from_their_change_on() {
        let mut history = History::new();
        let (a, b) = (PositionIndex(0), PositionIndex(3));
        history.record(a, 5, 100);
        history.record(a, 7, 100);
        history.record(a, 9, 40);
        history.record(a, 9, 50);
        history.record(b, 9, 1);
        let values: Vec<_> = (4..=10)
            .map(|sequence| history.value_at(a, sequence))
            .collect();
        assert_eq!(values, [0, 100, 100, 100, 100, 50, 50]);
        assert_eq!((history.value_at(b, 8), history.value_at(b, 9)), (0, 1));
        assert_eq!(history.value_at(PositionIndex(7), 9), 0);
        assert_eq!(history.changes.len(), 3);
    }
}
