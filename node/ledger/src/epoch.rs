//! A committee epoch: a fixed run of blocks with one committee, one set of observers and one set of parameters.
//!
//! ```text
//! definition = version u16 | epoch u64 | first_height u64 | last_height u64 | validator seats | observer seats
//!            | parameters | opening
//! opening    = key epoch u32 | public key | since_height u64 | record 32
//! ```
//!
//! Epoch 0 follows from genesis. The last block of an epoch, its boundary block, carries the definition of the next
//! one in its header, so whoever can verify a boundary block knows the committee after it.
//!
//! INVARIANT: epochs follow each other without a gap, and every height belongs to exactly one.

use std::net::SocketAddr;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::VerifyingKey;

use crate::contract::{AuthorisedContract, check_contracts};
use crate::{CertificateError, Committee, MAX_BLOCK_BYTES};

/// The version that definitions are written with.
pub const EPOCH_VERSION: u16 = 4;
/// The most validators of an epoch, and as many observers.
pub const MAX_SEATS: usize = 256;
/// How many blocks before the end of an epoch the next one is decided, so that every validator has executed that far
/// when the last block is proposed.
pub const PLAN_DISTANCE: u64 = 8;
/// The level of a carrier whose quota cannot be cut further.
pub const MAX_QUOTA_LEVEL: u8 = 6;
/// The fewest blocks of an epoch.
pub const MIN_EPOCH_BLOCKS: u32 = 12;

const EPOCH_DOMAIN: &str = "sealbook 2026 committee epoch v1";
const COMMITTEE_DOMAIN: &str = "sealbook 2026 committee v1";
const MAX_NAME_BYTES: usize = 64;
const MAX_ADDRESS_BYTES: usize = 64;
const MAX_MODULE_KEY_BYTES: usize = 4096;
const MAX_OPENING_KEY_BYTES: usize = 4096;

/// Why an epoch cannot be as it is defined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// A version that this software does not know.
    #[error("epoch definition version {0} is not known")]
    Version(u16),
    /// The registry of contracts breaks a rule.
    #[error("contracts: {0}")]
    Contracts(&'static str),
    /// The seats do not make a committee.
    #[error("committee: {0}")]
    Committee(#[from] CertificateError),
    /// A seat's name, key or address cannot be used, or is there twice.
    #[error("seat `{name}`: {why}")]
    Seat {
        /// The seat's name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A parameter is outside its bounds.
    #[error("parameter `{name}` is {found}; it must be {allowed}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// The heights do not fit the epoch before.
    #[error("heights of epoch {0} do not follow those of the one before")]
    Heights(u64),
    /// The opening key is none, or does not follow the one of the epoch before.
    #[error("the opening key of committee epoch {0} cannot be or does not follow the one before")]
    Opening(u64),
}

/// One validator: the key it votes with and the public key of its execution module.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSeat {
    /// The node's name.
    pub name: String,
    /// The node's vote key, which is also the key of its TLS certificate.
    pub vote_key: VerifyingKey,
    /// The HPKE public key of the node's execution module, encoded.
    pub module_key: Vec<u8>,
    /// Where the node listens for other nodes, `address:port`.
    pub address: String,
}

/// One observer: a node that follows, verifies and carries, and has no vote. It has a key of the network only if the
/// members admitted an execution module of its own.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObserverSeat {
    /// The node's name.
    pub name: String,
    /// The key of the node's TLS certificate.
    pub vote_key: VerifyingKey,
    /// The HPKE public key of the node's execution module, encoded, if it has one.
    pub module_key: Option<Vec<u8>>,
    /// Where the node listens for other nodes, `address:port`.
    pub address: String,
}

impl ValidatorSeat {
    /// Checks everything that can be said of a seat by itself.
    ///
    /// # Errors
    /// [`EpochError::Seat`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), EpochError> {
        check_module_key(&self.name, &self.module_key)?;
        check_key(&self.name, &self.vote_key)?;
        check_node(&self.name, &self.address)
    }
}

impl ObserverSeat {
    /// Checks everything that can be said of a seat by itself.
    ///
    /// # Errors
    /// [`EpochError::Seat`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), EpochError> {
        if let Some(key) = &self.module_key {
            check_module_key(&self.name, key)?;
        }
        check_key(&self.name, &self.vote_key)?;
        check_node(&self.name, &self.address)
    }
}

/// Checks a node's name and its address.
///
/// # Errors
/// [`EpochError::Seat`] with the first rule that is broken.
pub fn check_node(name: &str, address: &str) -> Result<(), EpochError> {
    let wrong = |why| Err(wrong_seat(name, why));
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return wrong("its name is empty or longer than 64 bytes");
    }
    // Names are shown to operators, and control characters could paint their terminals.
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("its name is not printable ASCII without spaces");
    }
    if address.len() > MAX_ADDRESS_BYTES || address.parse::<SocketAddr>().is_err() {
        return wrong("its address is not `address:port`");
    }
    Ok(())
}

fn check_module_key(name: &str, key: &[u8]) -> Result<(), EpochError> {
    if key.len() > MAX_MODULE_KEY_BYTES {
        return Err(wrong_seat(name, "its module key is too long"));
    }
    Ok(())
}

fn check_key(name: &str, key: &VerifyingKey) -> Result<(), EpochError> {
    let weak = |_| wrong_seat(name, "anybody could sign for its key");
    key.refuse_weak().map_err(weak)
}

fn wrong_seat(name: &str, why: &'static str) -> EpochError {
    EpochError::Seat {
        name: name.to_owned(),
        why,
    }
}

/// Network parameters.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parameters {
    /// Shortest time between two blocks, in milliseconds.
    pub block_interval_ms: u64,
    /// Longest time between two blocks when nothing is waiting, in milliseconds.
    pub idle_interval_ms: u64,
    /// How far a block's time may be ahead of a validator's clock, in milliseconds.
    pub clock_drift_ms: u64,
    /// Largest total of sealed bytes in one block.
    pub block_bytes_max: u32,
    /// How far ahead of block time an envelope may expire, in milliseconds.
    pub expiry_horizon_ms: u64,
    /// Blocks in a committee epoch.
    pub epoch_blocks: u32,
    /// A sealed snapshot may be taken at the end of every so many committee epochs: one of large books only when
    /// enough was submitted since the last.
    pub snapshot_epochs: u32,
    /// A new key epoch begins after so many committee epochs; with 0, only by decision.
    pub key_epochs: u32,
    /// For how many blocks of a new key epoch envelopes of the one before are still opened.
    pub key_grace_blocks: u32,
    /// The contracts that may be given what is addressed to them.
    pub contracts: Vec<AuthorisedContract>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            block_interval_ms: 10,
            idle_interval_ms: 1_000,
            clock_drift_ms: 5_000,
            block_bytes_max: 4 * 1024 * 1024,
            expiry_horizon_ms: 3_600_000,
            epoch_blocks: 600,
            snapshot_epochs: 1,
            key_epochs: 1_000,
            key_grace_blocks: 600,
            contracts: AuthorisedContract::usual(),
        }
    }
}

impl Parameters {
    /// How many bytes of envelopes one carrier may bring to a block: a quarter of the block, halved for every level
    /// that its unopened envelopes have earned it. The rule of the levels stands in `docs/GOVERNANCE.md`.
    #[must_use]
    pub const fn carrier_quota(&self, level: u8) -> u64 {
        let level = if level > MAX_QUOTA_LEVEL {
            MAX_QUOTA_LEVEL
        } else {
            level
        };
        // A `u32` in a `u64`; `From` is not const.
        (self.block_bytes_max as u64 / 4) >> level
    }

    /// Whether a carrier of this level may bring so many transactions, with so many bytes of envelopes in all, to a
    /// block. One transaction is always allowed, so that no envelope is too large for every carrier.
    #[must_use]
    pub const fn within_carrier_quota(&self, level: u8, transactions: usize, bytes: u64) -> bool {
        transactions <= 1 || bytes <= self.carrier_quota(level)
    }

    /// Checks the bounds of every parameter.
    ///
    /// # Errors
    /// [`EpochError::Parameter`] names the first one that is outside.
    pub fn check(&self) -> Result<(), EpochError> {
        check_contracts(&self.contracts)?;
        let bytes_max = (MAX_BLOCK_BYTES / 2) as u64;
        let bytes = u64::from(self.block_bytes_max);
        let epoch_blocks = u64::from(self.epoch_blocks);
        let bounds = [
            (
                "block_interval_ms",
                self.block_interval_ms,
                (1..=1_000).contains(&self.block_interval_ms),
                "1 to 1000",
            ),
            (
                "idle_interval_ms",
                self.idle_interval_ms,
                (self.block_interval_ms..=1_500).contains(&self.idle_interval_ms),
                "block_interval_ms to 1500",
            ),
            (
                "clock_drift_ms",
                self.clock_drift_ms,
                (100..=60_000).contains(&self.clock_drift_ms),
                "100 to 60000",
            ),
            (
                "block_bytes_max",
                bytes,
                (1_200_000..=bytes_max).contains(&bytes),
                "1200000 to 4194304",
            ),
            (
                "expiry_horizon_ms",
                self.expiry_horizon_ms,
                (60_000..=86_400_000).contains(&self.expiry_horizon_ms),
                "60000 to 86400000",
            ),
            (
                "epoch_blocks",
                epoch_blocks,
                (u64::from(MIN_EPOCH_BLOCKS)..=10_000_000).contains(&epoch_blocks),
                "12 to 10000000",
            ),
            (
                "snapshot_epochs",
                u64::from(self.snapshot_epochs),
                (1..=1_000_000).contains(&self.snapshot_epochs),
                "1 to 1000000",
            ),
            (
                "key_epochs",
                u64::from(self.key_epochs),
                self.key_epochs <= 10_000_000,
                "0 to 10000000",
            ),
            (
                "key_grace_blocks",
                u64::from(self.key_grace_blocks),
                self.key_grace_blocks <= 1_000_000,
                "0 to 1000000",
            ),
        ];
        for (name, found, holds, allowed) in bounds {
            if !holds {
                return Err(EpochError::Parameter {
                    name,
                    found,
                    allowed,
                });
            }
        }
        Ok(())
    }
}

/// What envelopes are sealed to: the opening key of a key epoch. A key epoch lasts for one committee epoch or more.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Opening {
    /// Number of the key epoch (not of the committee epoch).
    pub key_epoch: u32,
    /// The encoded public key. Its first byte is the number of the suite that envelopes are sealed with.
    pub public_key: Vec<u8>,
    /// The first block of the key epoch.
    pub since_height: u64,
    /// Digest of the record in which a module handed the key epoch's root to the others, sealed to each of them, with
    /// audit bundles and recovery shares; zero for the first key epoch, whose root was handed out at the founding.
    pub record: Digest,
}

impl Opening {
    /// The number of the suite that envelopes are sealed with; 0 if there is no key.
    #[must_use]
    pub fn suite(&self) -> u8 {
        self.public_key.first().copied().unwrap_or(0)
    }

    fn check(&self, epoch: u64) -> Result<(), EpochError> {
        let length = self.public_key.len();
        if (1..=MAX_OPENING_KEY_BYTES).contains(&length) {
            Ok(())
        } else {
            Err(EpochError::Opening(epoch))
        }
    }
}

/// What holds during one committee epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochDefinition {
    /// Format version, [`EPOCH_VERSION`].
    pub version: u16,
    /// The number of the epoch.
    pub epoch: u64,
    /// Its first block. Epoch 0 holds block 0.
    pub first_height: u64,
    /// Its last block, the boundary block.
    pub last_height: u64,
    /// Who votes.
    pub validators: Vec<ValidatorSeat>,
    /// Who follows.
    pub observers: Vec<ObserverSeat>,
    /// The parameters.
    pub parameters: Parameters,
    /// What envelopes are sealed to.
    pub opening: Opening,
}

impl EpochDefinition {
    /// The epoch after this one, with these seats and parameters, in the same key epoch.
    #[must_use]
    pub fn next(
        &self,
        validators: Vec<ValidatorSeat>,
        observers: Vec<ObserverSeat>,
        parameters: Parameters,
    ) -> Self {
        let first_height = self.last_height.saturating_add(1);
        let blocks = u64::from(parameters.epoch_blocks.max(1));
        Self {
            version: EPOCH_VERSION,
            epoch: self.epoch.saturating_add(1),
            first_height,
            last_height: first_height.saturating_add(blocks.saturating_sub(1)),
            validators,
            observers,
            parameters,
            opening: self.opening.clone(),
        }
    }

    /// This definition, but with the next key epoch, which begins with it.
    #[must_use]
    pub fn with_key_epoch(mut self, public_key: Vec<u8>, record: Digest) -> Self {
        self.opening = Opening {
            key_epoch: self.opening.key_epoch.saturating_add(1),
            public_key,
            since_height: self.first_height,
            record,
        };
        self
    }

    /// Whether envelopes of a key epoch are opened in the block at `height` of this committee epoch: those of the
    /// present one, and for a while those of the one before.
    #[must_use]
    pub fn opens(&self, key_epoch: u32, height: u64) -> bool {
        let grace = u64::from(self.parameters.key_grace_blocks);
        let opening = &self.opening;
        key_epoch == opening.key_epoch
            || (Some(key_epoch) == opening.key_epoch.checked_sub(1)
                && height < opening.since_height.saturating_add(grace))
    }

    /// The committee.
    ///
    /// # Errors
    /// [`CertificateError::Committee`] if the seats do not make one.
    pub fn committee(&self) -> Result<Committee, CertificateError> {
        self.committee_for(self.epoch)
    }

    /// The committee under a later epoch's number, for epochs with the same validators.
    pub(crate) fn committee_for(&self, epoch: u64) -> Result<Committee, CertificateError> {
        Committee::new(
            epoch,
            self.validators.iter().map(|seat| seat.vote_key).collect(),
        )
    }

    /// The hash of the encoded definition.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(EPOCH_DOMAIN, &[&borsh::to_vec(self).unwrap_or_default()])
    }

    /// The hash of the vote keys, ascending: the same for epochs that keep their validators, wherever they listen.
    #[must_use]
    pub fn committee_digest(&self) -> Digest {
        let mut keys: Vec<&[u8]> = self
            .validators
            .iter()
            .map(|seat| seat.vote_key.0.as_slice())
            .collect();
        keys.sort_unstable();
        hash(COMMITTEE_DOMAIN, &keys)
    }

    /// The keys of all nodes that may carry transactions: validators, then observers, as listed. A transaction names
    /// its carrier by its place here.
    pub fn carriers(&self) -> impl Iterator<Item = &VerifyingKey> {
        let validators = self.validators.iter().map(|seat| &seat.vote_key);
        validators.chain(self.observers.iter().map(|seat| &seat.vote_key))
    }

    /// The key of the carrier at a place.
    #[must_use]
    pub fn carrier(&self, place: u16) -> Option<&VerifyingKey> {
        self.carriers().nth(usize::from(place))
    }

    /// The place of a node among the carriers.
    #[must_use]
    pub fn carrier_place(&self, key: &VerifyingKey) -> Option<u16> {
        let place = self.carriers().position(|one| one == key)?;
        u16::try_from(place).ok()
    }

    /// The height after which the next epoch is decided.
    #[must_use]
    pub const fn plan_height(&self) -> u64 {
        let height = self.last_height.saturating_sub(PLAN_DISTANCE);
        if height < self.first_height {
            self.first_height
        } else {
            height
        }
    }

    /// Whether both have the same validators, under the same keys.
    #[must_use]
    pub fn same_committee(&self, other: &Self) -> bool {
        match (self.committee_for(0), other.committee_for(0)) {
            (Ok(one), Ok(another)) => one == another,
            _ => false,
        }
    }

    /// Checks everything that a definition must keep by itself.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), EpochError> {
        if self.version != EPOCH_VERSION {
            return Err(EpochError::Version(self.version));
        }
        self.committee()?;
        self.parameters.check()?;
        self.opening.check(self.epoch)?;
        if self.last_height <= self.first_height {
            return Err(EpochError::Heights(self.epoch));
        }
        if self.observers.len() > MAX_SEATS {
            return Err(CertificateError::Committee.into());
        }
        let mut names: Vec<&str> = Vec::new();
        let mut keys: Vec<&VerifyingKey> = Vec::new();
        let validators = self.validators.iter();
        let validators = validators.map(|seat| (&seat.name, &seat.vote_key, seat.check()));
        let observers = self.observers.iter();
        let observers = observers.map(|seat| (&seat.name, &seat.vote_key, seat.check()));
        for (name, key, alone) in validators.chain(observers) {
            alone?;
            if names.contains(&name.as_str()) {
                return Err(wrong_seat(name, "its name is there twice"));
            }
            if keys.contains(&key) {
                return Err(wrong_seat(name, "its key is there twice"));
            }
            names.push(name);
            keys.push(key);
        }
        Ok(())
    }

    /// Checks that this definition may follow `previous`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_follows(&self, previous: &Self) -> Result<(), EpochError> {
        self.check()?;
        let expected = previous.next(Vec::new(), Vec::new(), self.parameters.clone());
        let place = |one: &Self| (one.epoch, one.first_height, one.last_height);
        if place(self) != place(&expected) {
            return Err(EpochError::Heights(self.epoch));
        }
        let opening = &self.opening;
        let begins = opening.since_height == self.first_height
            && previous.opening.key_epoch.checked_add(1) == Some(opening.key_epoch);
        if *opening == previous.opening || begins {
            Ok(())
        } else {
            Err(EpochError::Opening(self.epoch))
        }
    }
}

#[cfg(test)]
#[path = "epoch_tests.rs"]
mod tests;
