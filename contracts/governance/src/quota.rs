//! The levels by which carriers' quotas are cut (`docs/GOVERNANCE.md`, section 7).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::MAX_QUOTA_LEVEL;
use sealbook_primitives::signature::VerifyingKey;

/// So many blocks in a row without an offence take one level off.
pub const QUOTA_RECOVERY_BLOCKS: u32 = 64;

/// INVARIANT: every level in it is above zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Quotas {
    levels: BTreeMap<VerifyingKey, Level>,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Level {
    level: u8,
    /// Blocks since the last offence, or since the last level was taken off.
    clean_blocks: u32,
}

impl Quotas {
    /// Accounts for one block: by carrier, how many envelopes it carried and how many of them did not open.
    pub(crate) fn end_block(&mut self, carried: &[(VerifyingKey, u32, u32)]) {
        // A carrier that is listed twice is judged by its sums, so that the list's shape cannot matter.
        let mut sums: BTreeMap<VerifyingKey, (u64, u64)> = BTreeMap::new();
        for (key, carried, unopened) in carried {
            let sum = sums.entry(*key).or_default();
            sum.0 = sum.0.saturating_add(u64::from(*carried));
            sum.1 = sum.1.saturating_add(u64::from(*unopened));
        }
        let offends = |key: &VerifyingKey| {
            let (total, unopened) = sums.get(key).copied().unwrap_or_default();
            unopened > 0 && unopened.saturating_mul(4) >= total
        };
        for (key, level) in &mut self.levels {
            if offends(key) {
                continue;
            }
            level.clean_blocks = level.clean_blocks.saturating_add(1);
            if level.clean_blocks >= QUOTA_RECOVERY_BLOCKS {
                level.clean_blocks = 0;
                level.level = level.level.saturating_sub(1);
            }
        }
        self.levels.retain(|_, level| level.level > 0);
        for key in sums.keys().filter(|key| offends(key)) {
            let level = self.levels.entry(*key).or_insert(Level {
                level: 0,
                clean_blocks: 0,
            });
            level.level = level.level.saturating_add(1).min(MAX_QUOTA_LEVEL);
            level.clean_blocks = 0;
        }
    }

    /// Forgets everybody who is no carrier any more.
    pub(crate) fn keep(&mut self, is_carrier: impl Fn(&VerifyingKey) -> bool) {
        self.levels.retain(|key, _| is_carrier(key));
    }

    pub(crate) fn levels(&self) -> Vec<(VerifyingKey, u8)> {
        let levels = self.levels.iter();
        levels.map(|(key, level)| (*key, level.level)).collect()
    }
}
