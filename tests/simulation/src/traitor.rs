//! What liars put into their blocks. Votes and links of liars are in [`crate::links`] and [`crate::node`].

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sealbook_ledger::{Attachment, Block, Header, MAX_ATTACHMENT_BYTES, Transaction};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::SigningKey;
use sealbook_sealing::{Envelope, EnvelopeHeader, Suite};
use sealbook_store::LedgerStore;

use crate::random::Random;
use crate::schedule::Lie;

/// A liar's mind.
pub struct Traitor {
    lie: Lie,
    random: Mutex<Random>,
    key: SigningKey,
    network: Digest,
    drift_ms: u64,
}

/// What of a block is to be changed.
struct Draft {
    time_ms: u64,
    transactions: Vec<Transaction>,
    attachments: Vec<Attachment>,
    roots: Vec<Digest>,
    /// The liar's place among the carriers.
    place: u16,
}

impl Traitor {
    /// A liar of this kind.
    #[must_use]
    pub fn new(lie: Lie, random: Random, key: &SigningKey, network: Digest, drift_ms: u64) -> Self {
        Self {
            lie,
            random: Mutex::new(random),
            key: SigningKey::from_secret(&key.seed()),
            network,
            drift_ms,
        }
    }

    /// The kind of lie.
    #[must_use]
    pub const fn lie(&self) -> Lie {
        self.lie
    }

    fn random(&self) -> std::sync::MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it votes for whatever it is shown.
    pub fn accepts_anything(&self) -> bool {
        self.lie != Lie::Twins && self.random().percent(50)
    }

    /// Whether it keeps what a client submits to itself.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.lie == Lie::Greed
    }

    /// What it makes of the block that an honest node would propose; nothing if it lets its turn pass.
    pub fn twist(
        &self,
        parent: &Header,
        block: Block,
        place: u16,
        store: &LedgerStore,
    ) -> Option<Block> {
        let mut random = self.random();
        let honest = match self.lie {
            Lie::Twins | Lie::Greed => true,
            Lie::Silence => return random.percent(30).then_some(block),
            Lie::Junk | Lie::Time | Lie::Results => random.percent(40),
        };
        if honest {
            return Some(block);
        }
        let next_epoch = block.header.next_epoch.clone();
        let mut draft = Draft {
            time_ms: block.header.time_ms,
            transactions: block.transactions,
            attachments: block.attachments,
            roots: block.header.roots,
            place,
        };
        let mut next_epoch = next_epoch;
        match self.lie {
            Lie::Junk => self.add_junk(&mut random, &mut draft, parent, store),
            Lie::Time => {
                draft.time_ms = match random.below(4) {
                    0 => draft.time_ms + self.drift_ms * 3,
                    1 => draft.time_ms + 3_600_000,
                    2 => parent.time_ms.saturating_sub(1_000),
                    _ => u64::MAX,
                }
            }
            _ => match random.below(4) {
                0 => draft.roots.push(Digest([7; 32])),
                1 => {
                    if let Some(first) = draft.roots.first_mut() {
                        first.0[0] ^= 1;
                    } else {
                        draft.roots.push(Digest([8; 32]));
                    }
                }
                2 => {
                    if let Some(next) = &mut next_epoch {
                        // It would like to be alone.
                        next.validators
                            .retain(|seat| seat.vote_key == self.key.verifying_key());
                    }
                }
                _ => next_epoch = None,
            },
        }
        let Draft {
            time_ms,
            transactions,
            attachments,
            roots,
            ..
        } = draft;
        let twisted = Block::after(parent, time_ms, transactions, attachments, roots);
        Some(match next_epoch {
            Some(next) => twisted.with_next_epoch(next),
            None => twisted,
        })
    }

    fn add_junk(
        &self,
        random: &mut Random,
        draft: &mut Draft,
        parent: &Header,
        store: &LedgerStore,
    ) {
        let soon = draft.time_ms + 30_000;
        let place = draft.place;
        match random.below(8) {
            0 => draft.transactions.push(self.carry(place, vec![9; 700])),
            1 => {
                let past = draft.time_ms.saturating_sub(1);
                let expired = self.envelope(random, place, self.network, past);
                draft.transactions.push(expired);
            }
            2 => {
                let foreign = self.envelope(random, place, Digest([3; 32]), soon);
                draft.transactions.push(foreign);
            }
            3 => {
                let twice = self.envelope(random, place, self.network, soon);
                draft.transactions.extend([twice.clone(), twice]);
            }
            4 => {
                // Something that the ledger holds already.
                let height = random.between(1, parent.height.max(2));
                if let Ok(Some(block)) = store.block(height) {
                    draft.transactions.extend(block.transactions);
                }
            }
            5 => {
                let count = 1_500_000 / MAX_ATTACHMENT_BYTES;
                let large = Attachment::Present(Bytes::from(vec![5; MAX_ATTACHMENT_BYTES]));
                draft.attachments.extend(vec![large; count]);
            }
            6 => {
                let mut unsigned = self.envelope(random, place, self.network, soon);
                unsigned.carrier = unsigned.carrier.wrapping_add(1);
                draft.transactions.push(unsigned);
            }
            // Well formed and sealed to nobody: no host can tell, so this may be ordered, and its carrier pays for it.
            _ => {
                let unopenable = self.envelope(random, place, self.network, soon);
                draft.transactions.push(unopenable);
            }
        }
    }

    fn carry(&self, place: u16, envelope: Vec<u8>) -> Transaction {
        Transaction::carried(place, &self.key, &self.network, Bytes::from(envelope))
    }

    fn envelope(
        &self,
        random: &mut Random,
        place: u16,
        network: Digest,
        expires_ms: u64,
    ) -> Transaction {
        let mut encapsulated = vec![0; 32];
        random.fill(&mut encapsulated);
        let mut ciphertext = vec![0; 512 + 16];
        random.fill(&mut ciphertext);
        let header = EnvelopeHeader::new(Suite::X25519ChaCha20Poly1305, network, 0, expires_ms);
        let envelope = Envelope {
            header,
            encapsulated,
            ciphertext,
        };
        self.carry(place, envelope.encode())
    }
}
