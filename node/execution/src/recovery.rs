//! Recovery: the root of a key epoch from shares, when all modules have lost it.
//!
//! ```text
//! holder:  record -> opens its share -> contribution = share and the modules that are to be given the root,
//!                                       sealed to the recovering module
//! module:  contributions -> shares checked against the record's commitments -> root -> grants for those modules
//! ```
//!
//! Every holder names the modules that are to be given the root. The recovering module gives it to them only if all
//! holders name the same ones, so its host cannot have it sealed to anybody else.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{KeyRecord, RootFile, opening_digest};
use sealbook_primitives::hash::Digest;
use sealbook_sharing::{Share, combine, find_bogus};

use crate::custody::{HolderIdentity, ModuleKey, commitment_network, grant_root};
use crate::keys::{EpochKeys, KeyError, key_context};

/// HPKE label of contributions.
const CONTRIBUTION_LABEL: &str = "sealbook 2026 recovery contribution v1";
const CONTRIBUTION_VERSION: u8 = 1;
/// The most modules that one recovery gives the root to.
pub const MAX_MODULES: usize = 512;
/// The most contributions to one recovery.
pub const MAX_CONTRIBUTIONS: usize = 64;

/// Why a root is not recovered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The record holds no shares, or is not as it must be.
    #[error("the key record holds no recovery shares")]
    NoShares,
    /// A contribution does not open.
    #[error("contribution {0} is not sealed to this module for this key epoch, or is damaged")]
    Contribution(usize),
    /// Shares that are not the committed ones.
    #[error("bogus shares, by their numbers: {}", list(.0))]
    Bogus(Vec<u8>),
    /// Fewer shares than are needed.
    #[error("{found} different shares of {needed} that are needed")]
    TooFew {
        /// As many as came.
        found: usize,
        /// As many as are needed.
        needed: usize,
    },
    /// The holders name different modules.
    #[error("the holders do not name the same modules that are to be given the root")]
    Modules,
}

fn list(numbers: &[u8]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

/// What a holder sends to the recovering module.
#[derive(BorshSerialize, BorshDeserialize)]
struct Contribution {
    version: u8,
    share: Vec<u8>,
    modules: Vec<Vec<u8>>,
}

impl Drop for Contribution {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.share);
    }
}

/// A holder's contribution: its share of the record, sealed to the recovering module, and the modules that are to be
/// given the root.
///
/// # Errors
/// The record has no share for this holder, or a module's key is none.
pub fn contribute(
    holder: &ModuleKey,
    record: &KeyRecord,
    recovering: &[u8],
    modules: &[Vec<u8>],
) -> Result<Vec<u8>, KeyError> {
    if modules.is_empty() || modules.len() > MAX_MODULES {
        return Err(KeyError::Malformed);
    }
    for module in modules {
        HolderIdentity::decode(module)?;
    }
    let share = holder.open_share(record)?;
    let contribution = Contribution {
        version: CONTRIBUTION_VERSION,
        share: share.encode().expose().to_vec(),
        modules: modules.to_vec(),
    };
    let content = zeroize::Zeroizing::new(borsh::to_vec(&contribution).unwrap_or_default());
    let identity = HolderIdentity::decode(recovering)?;
    let context = key_context(&record.network, record.key_epoch);
    sealbook_sealing::wrap(&identity.opening, CONTRIBUTION_LABEL, &context, &content)
        .map_err(|_| KeyError::Malformed)
}

/// Recovers the root of the record's key epoch from contributions, and gives grants of it to the modules that all
/// holders named.
///
/// # Errors
/// What is wrong with the contributions; nothing of the root leaves.
pub fn recover(
    module: &ModuleKey,
    record: &KeyRecord,
    contributions: &[Vec<u8>],
) -> Result<RootFile, RecoveryError> {
    if record.shares.is_empty() || usize::from(record.threshold) > record.shares.len() {
        return Err(RecoveryError::NoShares);
    }
    let key = module.opening_key();
    let context = key_context(&record.network, record.key_epoch);
    let mut shares: Vec<Share> = Vec::new();
    let mut modules: Option<Vec<Vec<u8>>> = None;
    for (place, sealed) in (1..).zip(contributions.iter().take(MAX_CONTRIBUTIONS)) {
        let bad = || RecoveryError::Contribution(place);
        let opened = sealbook_opening::unwrap(&key, CONTRIBUTION_LABEL, &context, sealed);
        let opened = opened.map_err(|_| bad())?;
        let contribution = Contribution::try_from_slice(opened.expose()).map_err(|_| bad())?;
        if contribution.version != CONTRIBUTION_VERSION {
            return Err(bad());
        }
        let share = Share::decode(&contribution.share).map_err(|_| bad())?;
        match &modules {
            Some(named) if *named != contribution.modules => return Err(RecoveryError::Modules),
            _ => modules = Some(contribution.modules.clone()),
        }
        // One holder's share may come twice.
        if !shares.iter().any(|one| one.constant_time_eq(&share)) {
            shares.push(share);
        }
    }
    let commitments: Vec<Digest> = record.shares.iter().map(|one| one.commitment).collect();
    let network = commitment_network(record.network, record.key_epoch);
    let bogus = find_bogus(&shares, &commitments, &network, record.key_epoch);
    if !bogus.is_empty() {
        return Err(RecoveryError::Bogus(bogus));
    }
    let too_few = RecoveryError::TooFew {
        found: shares.len(),
        needed: usize::from(record.threshold),
    };
    let root = combine(&shares, record.threshold).map_err(|_| too_few)?;
    let opening = opening_digest(&record.public_key);
    let keys = EpochKeys::from_named_root(&root, record.key_epoch, &opening)?;
    let modules = modules.unwrap_or_default();
    let grants = modules.iter().take(MAX_MODULES);
    let grants: Result<Vec<_>, KeyError> = grants
        .map(|module| grant_root(&keys, record.network, module))
        .collect();
    Ok(RootFile::of(grants?))
}
