//! When a snapshot is taken and how soon commitments name it: both follow from the ledger alone.
//!
//! ```text
//! weight = rows of the books, 32 bytes each, in pieces; at least 1
//! due    = where a key epoch ends; and at the end of every `snapshot_epochs`-th committee epoch, if it is the first, or
//!          its weight is 4 or less, or the envelopes since the last one are twice as long as that one's weight, and as
//!          128 pieces, but never while one is being made
//! delay  = two blocks for each piece of its weight, at least 6, at most 8 committee epochs, or half a key epoch where
//!          they end by schedule
//! ```
//!
//! So what is written for snapshots stays in proportion to what members submit, however large the books are, and no
//! block has more than a few pieces to wait for. A module that begins has at most so much to execute, and what some
//! committee epochs hold. One that is not complete when a key epoch ends is given up: it would be sealed with keys of
//! both.

use sealbook_ledger::{Block, EpochDefinition, SNAPSHOT_DELAY_MIN};
use sealbook_securities::{State, TableId};

use super::pieces::CONTENT_BYTES;

/// What a row is taken to be long, in bytes. The content of a snapshot would be exact, but slow to find out.
const ROW_BYTES: u64 = 32;
/// Snapshots of this weight are taken at every chance.
const SMALL_PIECES: u64 = 4;
/// Others are taken when so many times the last one's length was submitted, and at least so many pieces' length.
const GROWTH: u64 = 2;
const GROWTH_MIN: u64 = 128;
/// Over how many blocks a piece's weight is written: pieces are larger than they weigh, and blocks wait for the disk.
const BLOCKS_PER_PIECE: u64 = 2;
/// The most committee epochs that a snapshot takes.
const EPOCHS_MAX: u64 = 8;

/// How heavy a snapshot of these books is, in pieces.
pub fn weight(books: &State) -> u64 {
    let tables = books.tables().iter();
    let rows: u64 = tables.map(|table| u64::from(books.table_len(*table))).sum();
    rows.saturating_mul(ROW_BYTES)
        .div_ceil(CONTENT_BYTES as u64)
        .max(1)
}

/// How many pieces the books come to at the most, with few exceptions: rows as long as they can be. Only how the work is
/// spread over blocks follows from it, and what is left goes into the last.
pub fn pieces(books: &State) -> u64 {
    let bytes = |table: &TableId| {
        let row = match table {
            TableId::Trades => 108,
            TableId::References => 76,
            TableId::PositionChanges | TableId::IssuedChanges => 20,
            TableId::Members | TableId::Issues => 640,
            TableId::Accounts => 108,
            _ => ROW_BYTES,
        };
        u64::from(books.table_len(*table)).saturating_mul(row)
    };
    let all: u64 = books.tables().iter().map(bytes).sum();
    all.div_ceil(CONTENT_BYTES as u64)
}

/// How many blocks after its own a snapshot of this weight is named in commitments, if `next` follows it.
pub fn delay(weight: u64, next: &EpochDefinition) -> u64 {
    let blocks = next.last_height.saturating_sub(next.first_height) + 1;
    let most = match u64::from(next.parameters.key_epochs) {
        0 => blocks.saturating_mul(EPOCHS_MAX),
        epochs => blocks.saturating_mul(epochs.min(EPOCHS_MAX)) / 2,
    };
    let delay = weight.saturating_mul(BLOCKS_PER_PIECE);
    delay.min(most).max(SNAPSHOT_DELAY_MIN)
}

/// What was submitted since the last snapshot.
#[derive(Debug, Default)]
pub struct Growth {
    /// The weight of that snapshot, once there is one.
    last: Option<u64>,
    /// How long the envelopes since are, in bytes.
    bytes: u64,
}

impl Growth {
    /// None, since a snapshot of this weight.
    pub const fn since(weight: u64) -> Self {
        Self {
            last: Some(weight),
            bytes: 0,
        }
    }

    /// Counts a block.
    pub fn count(&mut self, block: &Block) {
        for transaction in &block.transactions {
            let length = transaction.envelope().len() as u64;
            self.bytes = self.bytes.saturating_add(length);
        }
    }

    /// Whether a snapshot of books of this weight is due after the block at `height` of this committee epoch, when
    /// none is being made.
    pub fn is_due(
        &self,
        definition: &EpochDefinition,
        height: u64,
        weight: u64,
        key_epoch_ends: bool,
    ) -> bool {
        let every = u64::from(definition.parameters.snapshot_epochs.max(1));
        let turn = (definition.epoch + 1).is_multiple_of(every);
        let may = height == definition.last_height && (turn || key_epoch_ends);
        let has_grown = self.last.is_none_or(|last| {
            let pieces = last.saturating_mul(GROWTH).max(GROWTH_MIN);
            self.bytes >= pieces.saturating_mul(CONTENT_BYTES as u64)
        });
        may && (weight <= SMALL_PIECES || key_epoch_ends || has_grown)
    }
}

#[cfg(test)]
mod tests {
    use sealbook_ledger::{Opening, Parameters};
    use sealbook_primitives::hash::Digest;

    use super::*;

    /// The third committee epoch.
    fn definition(snapshot_epochs: u32) -> EpochDefinition {
        EpochDefinition {
            version: sealbook_ledger::EPOCH_VERSION,
            epoch: 2,
            first_height: 48,
            last_height: 71,
            validators: Vec::new(),
            observers: Vec::new(),
            parameters: Parameters {
                snapshot_epochs,
                ..Parameters::default()
            },
            opening: Opening {
                key_epoch: 0,
                public_key: Vec::new(),
                since_height: 0,
                record: Digest::ZERO,
            },
        }
    }

    fn grown(last: u64, pieces: u64) -> Growth {
        Growth {
            last: Some(last),
            bytes: pieces * CONTENT_BYTES as u64,
        }
    }

    #[test]
    fn large_books_are_copied_when_as_much_was_submitted() {
        let definition = definition(1);
        let due = |growth: &Growth, weight| growth.is_due(&definition, 71, weight, false);
        assert!(due(&grown(9, 0), SMALL_PIECES));
        assert!(!due(&grown(9, 0), SMALL_PIECES + 1));
        assert!(!due(&grown(90, 179), 100));
        assert!(due(&grown(90, 180), 100));
        assert!(!due(&grown(9, 127), 100));
        assert!(due(&grown(9, 128), 100));
        assert!(due(&Growth::default(), 100));
        assert!(!due(&Growth::since(9), 100));
        assert!(grown(9, 0).is_due(&definition, 71, 100, true));
    }

    #[test]
    fn snapshots_are_due_at_the_end_of_committee_epochs_that_have_one() {
        let due = |every, height, key_epoch_ends| {
            Growth::default().is_due(&definition(every), height, 1, key_epoch_ends)
        };
        assert!(due(1, 71, false) && due(3, 71, false));
        assert!(!due(2, 71, false) && !due(4, 71, false));
        assert!(!due(1, 70, false) && !due(3, 48, false));
        // Where a key epoch ends, whatever the parameters say.
        assert!(due(2, 71, true) && due(4, 71, true));
        assert!(!due(1, 70, true) && !due(3, 48, true));
    }

    #[test]
    fn heavy_snapshots_take_longer_and_end_before_the_keys_change_by_schedule() {
        let delays = |key_epochs| {
            let mut definition = definition(1);
            definition.parameters.key_epochs = key_epochs;
            [0, 1, 3, 4, 6, 7, 96, 97, u64::MAX].map(|weight| delay(weight, &definition))
        };
        assert_eq!(delays(0), [6, 6, 6, 8, 12, 14, 192, 192, 192]);
        assert_eq!(delays(1), [6, 6, 6, 8, 12, 12, 12, 12, 12]);
        assert_eq!(delays(3), [6, 6, 6, 8, 12, 14, 36, 36, 36]);
        assert_eq!(delays(9), [6, 6, 6, 8, 12, 14, 96, 96, 96]);
    }

    #[test]
    fn books_weigh_by_their_rows() {
        let mut books = State::new();
        assert_eq!(weight(&books), 1);
        // A row a block.
        let rows = CONTENT_BYTES as u64 / ROW_BYTES;
        for height in 1..=rows {
            let _ = books.begin_block(height, height);
        }
        assert_eq!(weight(&books), 2);
    }
}
