//! The keys of a key epoch, all derived from one random root.
//!
//! ```text
//! root --HKDF--> opening secret  (transactions, queries and attachments are opened with it)
//!      --HKDF--> leaf key        (state leaves are keyed hashes, so that a balance cannot be guessed from its leaf)
//!      --HKDF--> outcome key     (blinds outcomes, so that one cannot be guessed from its hash)
//!      --HKDF--> snapshot key    (snapshots are sealed with it)
//!      --HKDF--> wrapping seed   (the randomness of everything in the key epoch's record)
//!      --HKDF--> sharing seed    (the polynomial of the recovery shares)
//! ```
//!
//! The root never leaves a module except sealed to another module's own key, or in shares to recovery holders; both
//! bound to the network and the key epoch. The audit bundle holds the derived keys, not the root: enough to open,
//! replay and compare everything that headers commit to, not to let a module in. docs/KEYS.md draws the whole tree.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{Opening, opening_digest};
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32, SecretBytes, derive};
use sealbook_sealing::{OpeningPublicKey, Suite};
use zeroize::Zeroize;

const OPENING_LABEL: &str = "sealbook 2026 opening key";
const LEAF_LABEL: &str = "sealbook 2026 state leaf key";
const OUTCOME_LABEL: &str = "sealbook 2026 outcome key";
const SNAPSHOT_LABEL: &str = "sealbook 2026 snapshot key";
/// HPKE label of audit bundles.
pub const AUDIT_LABEL: &str = "sealbook 2026 audit bundle v1";
const BUNDLE_VERSION: u8 = 3;

/// Why keys could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key does not open what was wrapped, or it was wrapped for another network or key epoch.
    #[error("the key does not open this wrapped key: another network, another key, or damage")]
    DoesNotOpen,
    /// The opened keys are not those that the ledger names.
    #[error("the opened keys are not the ones that the ledger names")]
    NotNamed,
    /// The wrapped content has an unknown form.
    #[error("the wrapped keys have an unknown form")]
    Malformed,
    /// This holder was not given the keys of a key epoch: it has no seat in it, or its key was revoked.
    #[error("the keys of key epoch {0} were not given to this holder")]
    NotGiven(u32),
    /// There is no room for another secret.
    #[error("no room for another secret")]
    NoRoom,
}

/// Thirty-two secret bytes, wherever they lie.
pub trait HoldsSecret: Send {
    /// The bytes themselves. Whatever is copied from here is the caller's to wipe.
    fn secret(&self) -> &[u8; SECRET_LENGTH];
}

impl HoldsSecret for Secret32 {
    fn secret(&self) -> &[u8; SECRET_LENGTH] {
        self.expose()
    }
}

/// A place for secrets that must not lie in ordinary memory.
pub trait Vault: Send {
    /// Copies a secret there; nothing if there is no room.
    fn keep(&self, secret: &[u8; SECRET_LENGTH]) -> Option<Box<dyn HoldsSecret>>;
}

/// What is derived from a root, in the form that bundles and snapshots hold.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Derived {
    version: u8,
    network: Digest,
    key_epoch: u32,
    suite: u8,
    opening: [u8; 32],
    leaf: [u8; 32],
    outcome: [u8; 32],
    snapshot: [u8; 32],
}

impl Drop for Derived {
    fn drop(&mut self) {
        for key in [
            &mut self.opening,
            &mut self.leaf,
            &mut self.outcome,
            &mut self.snapshot,
        ] {
            key.zeroize();
        }
    }
}

impl Derived {
    /// The keys of this network.
    ///
    /// # Errors
    /// The form is unknown, or they are another network's.
    pub fn keys(&self, network: &Digest) -> Result<EpochKeys, KeyError> {
        let suite = Suite::from_number(self.suite).ok_or(KeyError::Malformed)?;
        if self.version != BUNDLE_VERSION {
            return Err(KeyError::Malformed);
        }
        if self.network != *network {
            return Err(KeyError::NotNamed);
        }
        let opening = Secret32::new(self.opening);
        Ok(EpochKeys {
            key_epoch: self.key_epoch,
            opening: OpeningKey::of(suite, &opening),
            opening_secret: opening,
            leaf: Secret32::new(self.leaf),
            outcome: Secret32::new(self.outcome),
            snapshot: Secret32::new(self.snapshot),
            root: None,
        })
    }
}

/// What executing and auditing need of one key epoch.
pub struct EpochKeys {
    /// Which one.
    pub key_epoch: u32,
    /// Opens envelopes.
    pub opening: OpeningKey,
    opening_secret: Secret32,
    /// Keys the leaves of the state tree.
    pub leaf: Secret32,
    /// Blinds the outcomes that commitments hold.
    pub outcome: Secret32,
    /// Seals snapshots.
    pub snapshot: Secret32,
    /// What all of them are derived from, and what a newly admitted module is given. An auditor has none.
    pub root: Option<Box<dyn HoldsSecret>>,
}

impl EpochKeys {
    /// Derives the keys of `key_epoch` from its root, for envelopes that are sealed with `suite`.
    #[must_use]
    pub fn from_root(root: &Secret32, key_epoch: u32, suite: Suite) -> Self {
        let context = key_epoch.to_le_bytes();
        let opening_secret = derive(root, OPENING_LABEL, &context);
        Self {
            key_epoch,
            opening: OpeningKey::of(suite, &opening_secret),
            opening_secret,
            leaf: derive(root, LEAF_LABEL, &context),
            outcome: derive(root, OUTCOME_LABEL, &context),
            snapshot: derive(root, SNAPSHOT_LABEL, &context),
            root: Some(Box::new(root.duplicate())),
        }
    }

    /// As [`EpochKeys::from_root`], for the suite that makes the opening key with this digest.
    ///
    /// # Errors
    /// [`KeyError::NotNamed`] if none does: it is another root.
    pub fn from_named_root(
        root: &Secret32,
        key_epoch: u32,
        opening: &Digest,
    ) -> Result<Self, KeyError> {
        let mut suites = Suite::ALL.into_iter();
        suites
            .find_map(|suite| {
                let keys = Self::from_root(root, key_epoch, suite);
                (opening_digest(&keys.public_key()) == *opening).then_some(keys)
            })
            .ok_or(KeyError::NotNamed)
    }

    /// Moves the root into a vault.
    ///
    /// # Errors
    /// [`KeyError::NoRoom`].
    pub fn move_root(&mut self, vault: &dyn Vault) -> Result<(), KeyError> {
        if let Some(root) = self.root.take() {
            self.root = Some(vault.keep(root.secret()).ok_or(KeyError::NoRoom)?);
        }
        Ok(())
    }

    /// The keys in an audit bundle of a network and a key epoch.
    ///
    /// # Errors
    /// The bundle does not open with this key, or is another's.
    pub fn from_bundle(
        auditor: &OpeningKey,
        network: &Digest,
        key_epoch: u32,
        sealed: &[u8],
    ) -> Result<Self, KeyError> {
        let context = key_context(network, key_epoch);
        let opened = sealbook_opening::unwrap(auditor, AUDIT_LABEL, &context, sealed)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let bundle = Derived::try_from_slice(opened.expose()).map_err(|_| KeyError::Malformed)?;
        if bundle.key_epoch != key_epoch {
            return Err(KeyError::NotNamed);
        }
        bundle.keys(network)
    }

    /// The form that bundles and snapshots hold.
    #[must_use]
    pub fn derived(&self, network: Digest) -> Derived {
        Derived {
            version: BUNDLE_VERSION,
            network,
            key_epoch: self.key_epoch,
            suite: self.opening.suite().number(),
            opening: *self.opening_secret.expose(),
            leaf: *self.leaf.expose(),
            outcome: *self.outcome.expose(),
            snapshot: *self.snapshot.expose(),
        }
    }

    /// The encoded bundle, to be sealed to auditors.
    #[must_use]
    pub fn bundle(&self, network: Digest) -> SecretBytes {
        SecretBytes::new(borsh::to_vec(&self.derived(network)).unwrap_or_default())
    }

    /// The encoded opening key, as definitions of epochs hold it.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        encode_public(&self.opening.public_key())
    }

    /// Checks that the ledger names these keys: clients would seal to others.
    ///
    /// # Errors
    /// [`KeyError::NotNamed`] if it does not.
    pub fn check(&self, opening: &Opening) -> Result<(), KeyError> {
        let own = (self.key_epoch, self.public_key());
        if own == (opening.key_epoch, opening.public_key.clone()) {
            Ok(())
        } else {
            Err(KeyError::NotNamed)
        }
    }
}

/// What everything that is sealed in a key epoch's record is bound to.
#[must_use]
pub fn key_context(network: &Digest, key_epoch: u32) -> Vec<u8> {
    [&network.as_bytes()[..], &key_epoch.to_le_bytes()].concat()
}

/// The encoding of a public opening key, as it stands in definitions of epochs.
#[must_use]
pub fn encode_public(key: &OpeningPublicKey) -> Vec<u8> {
    borsh::to_vec(key).unwrap_or_default()
}

/// Reads [`encode_public`].
///
/// # Errors
/// [`KeyError::Malformed`] if it is not one.
pub fn decode_public(bytes: &[u8]) -> Result<OpeningPublicKey, KeyError> {
    OpeningPublicKey::try_from_slice(bytes).map_err(|_| KeyError::Malformed)
}
