//! The newest final blocks, in memory until the module has executed them, so that they need not be read from the store.
//!
//! INVARIANT: no more bytes than [`BYTES_MAX`]. Whatever had no room is read from the store instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealbook_ledger::Block;

const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Final blocks by height.
#[derive(Default)]
pub struct Unexecuted {
    blocks: BTreeMap<u64, Arc<Block>>,
    bytes: usize,
}

impl Unexecuted {
    /// Keeps a final block; the oldest go if there are too many.
    pub fn keep(&mut self, block: Arc<Block>) {
        self.bytes = self.bytes.saturating_add(block.encoded_length());
        if let Some(replaced) = self.blocks.insert(block.height(), block) {
            self.bytes = self.bytes.saturating_sub(replaced.encoded_length());
        }
        while self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.blocks.pop_first() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.encoded_length());
        }
    }

    /// The block at a height, if it is kept. The module asks in order, so what lies below has been executed and goes.
    pub fn at(&mut self, height: u64) -> Option<Arc<Block>> {
        while let Some(first) = self
            .blocks
            .first_entry()
            .filter(|first| *first.key() < height)
        {
            self.bytes = self.bytes.saturating_sub(first.remove().encoded_length());
        }
        self.blocks.get(&height).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use sealbook_primitives::hash::Digest;
    use sealbook_primitives::signature::Signature;

    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_was_asked_for_goes() {
        let mut unexecuted = Unexecuted::default();
        let mut parent = Block::genesis(Digest([1; 32]), 0).header;
        for _ in 0..20 {
            let envelope = Bytes::from(vec![7; 2 * 1024 * 1024]);
            let transaction = sealbook_ledger::Transaction::new(0, Signature([0; 64]), envelope);
            let block = Block::after(&parent, 1, vec![transaction], vec![], vec![]);
            parent = block.header.clone();
            unexecuted.keep(Arc::new(block.clone()));
            // Twice is once.
            unexecuted.keep(Arc::new(block));
        }
        assert!(unexecuted.bytes <= BYTES_MAX);
        assert_eq!(unexecuted.blocks.len(), 15);
        assert!(unexecuted.at(3).is_none());
        assert_eq!(unexecuted.at(18).unwrap().height(), 18);
        assert_eq!(unexecuted.blocks.len(), 3);
        assert_eq!(unexecuted.at(21), None);
        assert_eq!(unexecuted.bytes, 0);
    }
}
