//! The keys of a key epoch, all derived from one random root.
//!
//! ```text
//! root --HKDF--> opening secret  (transactions, queries and attachments are opened with it)
//!      --HKDF--> leaf key        (state leaves are keyed hashes, so that a balance cannot be guessed from its leaf)
//!      --HKDF--> outcome key     (blinds outcomes, so that one cannot be guessed from its hash)
//!      --HKDF--> snapshot key    (snapshots are sealed with it)
//! ```
//!
//! The root never leaves a module except wrapped to another module's own key, bound to the network. The audit bundle
//! holds the derived keys, not the root: enough to open, replay and compare everything that headers commit to, not to
//! let a module in.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::Genesis;
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32, SecretBytes, derive};
use sealbook_sealing::{OpeningPublicKey, Suite};
use zeroize::Zeroize;

const OPENING_LABEL: &str = "sealbook 2026 opening key";
const LEAF_LABEL: &str = "sealbook 2026 state leaf key";
const OUTCOME_LABEL: &str = "sealbook 2026 outcome key";
const SNAPSHOT_LABEL: &str = "sealbook 2026 snapshot key";
/// HPKE label of wrapped roots.
pub const ROOT_LABEL: &str = "sealbook 2026 wrapped root v1";
/// HPKE label of audit bundles.
pub const AUDIT_LABEL: &str = "sealbook 2026 audit bundle v1";
const BUNDLE_VERSION: u8 = 2;
/// The one key epoch that there is so far.
pub const KEY_EPOCH: u32 = 0;

/// Why keys could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key does not open what was wrapped, or it was wrapped for another network.
    #[error("the key does not open this wrapped key: another network, another key, or damage")]
    DoesNotOpen,
    /// The opened keys are not those that genesis names.
    #[error("the opened keys are not the ones that the genesis document names")]
    NotOfGenesis,
    /// The wrapped content has an unknown form.
    #[error("the wrapped keys have an unknown form")]
    Malformed,
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

/// What executing and auditing need of one key epoch.
pub struct EpochKeys {
    /// Opens envelopes.
    pub opening: OpeningKey,
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
    /// Derives the keys of `key_epoch` from its root, for a network that seals with `suite`.
    #[must_use]
    pub fn from_root(root: &Secret32, key_epoch: u32, suite: Suite) -> Self {
        let context = key_epoch.to_le_bytes();
        Self {
            opening: OpeningKey::of(suite, &derive(root, OPENING_LABEL, &context)),
            leaf: derive(root, LEAF_LABEL, &context),
            outcome: derive(root, OUTCOME_LABEL, &context),
            snapshot: derive(root, SNAPSHOT_LABEL, &context),
            root: Some(Box::new(root.duplicate())),
        }
    }

    /// Moves the root to where `keep` puts it.
    pub fn move_root<R: HoldsSecret + 'static>(
        &mut self,
        keep: impl FnOnce(&[u8; SECRET_LENGTH]) -> R,
    ) {
        if let Some(root) = self.root.take() {
            self.root = Some(Box::new(keep(root.secret())));
        }
    }

    /// The keys in an audit bundle, checked against the public key in genesis.
    ///
    /// # Errors
    /// The bundle does not open with this key, or does not go with the genesis document.
    pub fn from_bundle(
        auditor: &OpeningKey,
        genesis: &Genesis,
        wrapped: &[u8],
    ) -> Result<Self, KeyError> {
        let network = genesis.network();
        let opened = sealbook_opening::unwrap(auditor, AUDIT_LABEL, network.as_bytes(), wrapped)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let mut bundle =
            AuditBundle::try_from_slice(opened.expose()).map_err(|_| KeyError::Malformed)?;
        let keys = Self {
            opening: OpeningKey::of(
                suite_of(genesis, KEY_EPOCH)?,
                &Secret32::new(bundle.opening),
            ),
            leaf: Secret32::new(bundle.leaf),
            outcome: Secret32::new(bundle.outcome),
            snapshot: Secret32::new(bundle.snapshot),
            root: None,
        };
        let of_network = (bundle.version, bundle.network, bundle.key_epoch)
            == (BUNDLE_VERSION, network, KEY_EPOCH);
        bundle.wipe();
        if !of_network {
            return Err(KeyError::NotOfGenesis);
        }
        keys.check(genesis, KEY_EPOCH)?;
        Ok(keys)
    }

    /// Checks that genesis names the public half of these keys, and no other for this key epoch: clients would seal
    /// to the other one.
    ///
    /// # Errors
    /// [`KeyError::NotOfGenesis`] if it does not.
    pub fn check(&self, genesis: &Genesis, key_epoch: u32) -> Result<(), KeyError> {
        let own = encode_public(&self.opening.public_key());
        let mut named = genesis
            .opening_epochs
            .iter()
            .filter(|epoch| epoch.key_epoch == key_epoch);
        match (named.next(), named.next()) {
            (Some(epoch), None) if epoch.public_key == own => Ok(()),
            _ => Err(KeyError::NotOfGenesis),
        }
    }
}

/// What an auditor gets of one key epoch.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct AuditBundle {
    version: u8,
    network: Digest,
    key_epoch: u32,
    opening: [u8; 32],
    leaf: [u8; 32],
    outcome: [u8; 32],
    snapshot: [u8; 32],
}

impl AuditBundle {
    /// The encoded bundle of a key epoch, to be wrapped to an audit recipient.
    #[must_use]
    pub fn encode(root: &Secret32, network: Digest, key_epoch: u32) -> SecretBytes {
        let context = key_epoch.to_le_bytes();
        let mut bundle = Self {
            version: BUNDLE_VERSION,
            network,
            key_epoch,
            opening: *derive(root, OPENING_LABEL, &context).expose(),
            leaf: *derive(root, LEAF_LABEL, &context).expose(),
            outcome: *derive(root, OUTCOME_LABEL, &context).expose(),
            snapshot: *derive(root, SNAPSHOT_LABEL, &context).expose(),
        };
        let bytes = SecretBytes::new(borsh::to_vec(&bundle).unwrap_or_default());
        bundle.wipe();
        bytes
    }

    fn wipe(&mut self) {
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

/// The suite that a network's envelopes of a key epoch are sealed with: that of the key which genesis names.
///
/// # Errors
/// [`KeyError::NotOfGenesis`] if genesis names no usable key for it.
pub fn suite_of(genesis: &Genesis, key_epoch: u32) -> Result<Suite, KeyError> {
    let mut epochs = genesis.opening_epochs.iter();
    let epoch = epochs.find(|epoch| epoch.key_epoch == key_epoch);
    let key = decode_public(&epoch.ok_or(KeyError::NotOfGenesis)?.public_key);
    key.map(|key| key.suite())
        .map_err(|_| KeyError::NotOfGenesis)
}

/// The encoding of a public opening key, as it stands in genesis.
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
