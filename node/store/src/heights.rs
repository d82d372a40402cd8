//! A set of heights, kept as ranges: almost always one or two of them.

use std::collections::BTreeMap;

/// A set of heights. Memory grows with the number of gaps, not of heights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeightSet {
    /// First height of a range to its last, disjoint and not adjacent.
    ranges: BTreeMap<u64, u64>,
}

impl HeightSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ranges: BTreeMap::new(),
        }
    }

    /// Adds a height and joins the ranges that it connects.
    pub fn insert(&mut self, height: u64) {
        if self.contains(height) {
            return;
        }
        let mut first = height;
        let mut last = height;
        let before = self
            .ranges
            .range(..height)
            .next_back()
            .map(|(from, to)| (*from, *to));
        if let Some((from, to)) = before
            && to.checked_add(1) == Some(height)
        {
            first = from;
        }
        if let Some(after) = height.checked_add(1)
            && let Some(to) = self.ranges.remove(&after)
        {
            last = to;
        }
        self.ranges.insert(first, last);
    }

    /// Whether a height is in the set.
    #[must_use]
    pub fn contains(&self, height: u64) -> bool {
        self.range_of(height).is_some()
    }

    /// The range that holds a height.
    fn range_of(&self, height: u64) -> Option<(u64, u64)> {
        let (from, to) = self.ranges.range(..=height).next_back()?;
        (height <= *to).then_some((*from, *to))
    }

    /// The highest height.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, to)| *to)
    }

    /// The last height of the run that begins at `from`.
    #[must_use]
    pub fn contiguous_from(&self, from: u64) -> Option<u64> {
        self.range_of(from).map(|(_, to)| to)
    }

    /// The lowest height in the set that is not below `from`.
    #[must_use]
    pub fn first_at_or_after(&self, from: u64) -> Option<u64> {
        if self.contains(from) {
            return Some(from);
        }
        self.ranges.range(from..).next().map(|(first, _)| *first)
    }

    /// The end of the range around `height`, and the beginning of the next range.
    #[must_use]
    pub fn next_gap(&self, height: u64) -> (Option<u64>, Option<u64>) {
        let end = self.range_of(height).map(|(_, to)| to);
        let next = height
            .checked_add(1)
            .and_then(|after| self.ranges.range(after..).next());
        (end, next.map(|(from, _)| *from))
    }

    /// At most `max` heights not below `start` that are missing between ranges.
    #[must_use]
    pub fn missing(&self, start: u64, max: usize) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut current = start;
        while missing.len() < max {
            let (end, next) = self.next_gap(current);
            if let Some(end) = end {
                let Some(after) = end.checked_add(1) else {
                    break;
                };
                current = after;
                // The range after this one, or none: nothing is missing after the last range.
                if next.is_none() {
                    break;
                }
                continue;
            }
            let Some(next) = next else { break };
            let room = max.saturating_sub(missing.len());
            missing.extend((current..next).take(room));
            current = next;
        }
        missing
    }

    /// The ranges that overlap or follow `from`.
    pub fn ranges_from(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let start = self.range_of(from).map_or(from, |(first, _)| first);
        self.ranges
            .range(start..)
            .map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            heights in prop::collection::vec(0_u64..60, 0..60),
            probe in 0_u64..64,
        ) {
            let mut set = HeightSet::new();
            let plain: BTreeSet<u64> = heights.iter().copied().collect();
            for height in &heights {
                set.insert(*height);
            }
            prop_assert_eq!(set.contains(probe), plain.contains(&probe));
            prop_assert_eq!(set.last(), plain.last().copied());
            prop_assert_eq!(set.first_at_or_after(probe), plain.range(probe..).next().copied());
            let last = plain.last().copied().unwrap_or(0);
            let absent = |height: &u64| !plain.contains(height);
            let missing: Vec<u64> = (probe..last).filter(absent).take(7).collect();
            prop_assert_eq!(set.missing(probe, 7), missing);
            let mut end = None;
            if plain.contains(&probe) {
                end = (probe..).take_while(|height| plain.contains(height)).last();
            }
            prop_assert_eq!(set.next_gap(probe).0, end);
            prop_assert_eq!(set.contiguous_from(probe), end);
            let begins = |height: &u64| !absent(height) && absent(&(height - 1));
            let next = (probe + 1..64).find(begins);
            prop_assert_eq!(set.next_gap(probe).1, next);
            let covered = set.ranges_from(0).flat_map(|(from, to)| from..=to);
            let covered: BTreeSet<u64> = covered.collect();
            prop_assert_eq!(covered, plain);
        }
    }
}
