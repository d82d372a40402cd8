//! A module's own key and its wrapped root, in two files of the module's own user.
//!
//! ```text
//! module key   = version u8 | suite u8 | secret 32
//! wrapped root = version u8 | network 32 | HPKE of the root to the module's key, bound to that network
//! ```
//!
//! The files are opened before the process locks itself down and read after it. The host never reads them. A root
//! opens only under the genesis hash that it was wrapped for, so a module cannot be moved to another network.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::Genesis;
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32};
use sealbook_sealing::Suite;
use zeroize::Zeroize;

use crate::keys::{
    AUDIT_LABEL, AuditBundle, EpochKeys, KEY_EPOCH, KeyError, ROOT_LABEL, decode_public,
    encode_public, suite_of,
};

const KEY_FILE_VERSION: u8 = 2;
const ROOT_FILE_VERSION: u8 = 1;
/// The largest custody file, in bytes.
pub const MAX_FILE_BYTES: usize = 4096;

#[derive(BorshSerialize, BorshDeserialize)]
struct KeyFile {
    version: u8,
    suite: u8,
    secret: [u8; 32],
}

#[derive(BorshSerialize, BorshDeserialize)]
struct RootFile {
    version: u8,
    network: Digest,
    wrapped: Vec<u8>,
}

/// A module's own key.
pub struct ModuleKey {
    key: OpeningKey,
}

impl ModuleKey {
    /// A new key of a suite: the content of its file, and its public half as genesis names it.
    #[must_use]
    pub fn generate(suite: Suite) -> (zeroize::Zeroizing<Vec<u8>>, Vec<u8>) {
        let secret = Secret32::random();
        let public = encode_public(&OpeningKey::of(suite, &secret).public_key());
        let mut file = KeyFile {
            version: KEY_FILE_VERSION,
            suite: suite.number(),
            secret: *secret.expose(),
        };
        let bytes = zeroize::Zeroizing::new(borsh::to_vec(&file).unwrap_or_default());
        file.secret.zeroize();
        (bytes, public)
    }

    /// Reads the content of a key file.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut file = KeyFile::try_from_slice(bytes).map_err(|_| KeyError::Malformed)?;
        let secret = Secret32::new(file.secret);
        file.secret.zeroize();
        match Suite::from_number(file.suite) {
            Some(suite) if file.version == KEY_FILE_VERSION => Ok(Self {
                key: OpeningKey::of(suite, &secret),
            }),
            _ => Err(KeyError::Malformed),
        }
    }

    /// The key itself, for an auditor, whose key file has the same form.
    #[must_use]
    pub fn into_opening_key(self) -> OpeningKey {
        self.key
    }

    /// Opens the wrapped root for the network of `genesis` and derives the keys of its first key epoch. Whether this
    /// module was admitted is not asked: nobody else could have wrapped the network's root to its key.
    ///
    /// # Errors
    /// The root is another network's or another module's, or does not go with the genesis document.
    pub fn open_root(&self, genesis: &Genesis, root_file: &[u8]) -> Result<EpochKeys, KeyError> {
        let network = genesis.network();
        let file = RootFile::try_from_slice(root_file).map_err(|_| KeyError::Malformed)?;
        if file.version != ROOT_FILE_VERSION || file.network != network {
            return Err(KeyError::NotOfGenesis);
        }
        let opened =
            sealbook_opening::unwrap(&self.key, ROOT_LABEL, network.as_bytes(), &file.wrapped)
                .map_err(|_| KeyError::DoesNotOpen)?;
        let mut root = <[u8; 32]>::try_from(opened.expose()).map_err(|_| KeyError::Malformed)?;
        let suite = suite_of(genesis, KEY_EPOCH)?;
        let keys = EpochKeys::from_root(&Secret32::new(root), KEY_EPOCH, suite);
        root.zeroize();
        keys.check(genesis, KEY_EPOCH)?;
        Ok(keys)
    }
}

/// The wrapped root for each validator seat and the audit bundle for each audit recipient, in genesis' order.
pub type WrappedKeys = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// The founding of a network's first key epoch.
pub struct Founding {
    root: Secret32,
}

impl Founding {
    /// Makes the root.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            root: Secret32::random(),
        }
    }

    /// The public opening key that genesis must name, for a network that seals with `suite`.
    #[must_use]
    pub fn opening_key(&self, suite: Suite) -> Vec<u8> {
        encode_public(
            &EpochKeys::from_root(&self.root, KEY_EPOCH, suite)
                .opening
                .public_key(),
        )
    }

    /// Wraps the root for every seat of `genesis`, and the audit bundle for every audit recipient.
    ///
    /// # Errors
    /// Genesis does not name this founding's key, or names a key that is none.
    pub fn bind(&self, genesis: &Genesis) -> Result<WrappedKeys, KeyError> {
        let suite = suite_of(genesis, KEY_EPOCH)?;
        EpochKeys::from_root(&self.root, KEY_EPOCH, suite).check(genesis, KEY_EPOCH)?;
        let network = genesis.network();
        let seats = genesis.validators.iter().map(|seat| &seat.module_key);
        let mut recipients = seats.chain(&genesis.audit_recipients);
        if !recipients.all(|key| can_wrap_to(key, suite)) {
            return Err(KeyError::Malformed);
        }
        let roots = genesis
            .validators
            .iter()
            .map(|seat| wrap_root(self.root.expose(), network, &seat.module_key))
            .collect::<Result<_, _>>()?;
        let bundle = AuditBundle::encode(&self.root, network, KEY_EPOCH);
        let bundles = genesis
            .audit_recipients
            .iter()
            .map(|recipient| wrap(recipient, AUDIT_LABEL, network, bundle.expose()))
            .collect::<Result<_, _>>()?;
        Ok((roots, bundles))
    }
}

/// The content of the root file of the module with this public key.
///
/// # Errors
/// [`KeyError::Malformed`] if it is no usable key.
pub fn wrap_root(
    root: &[u8; SECRET_LENGTH],
    network: Digest,
    module_key: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let file = RootFile {
        version: ROOT_FILE_VERSION,
        network,
        wrapped: wrap(module_key, ROOT_LABEL, network, root)?,
    };
    Ok(borsh::to_vec(&file).unwrap_or_default())
}

/// Whether the root of a network that seals with `suite` could be wrapped to this public key. A key of another suite will
/// not do: what travels under a weaker one lies in every ledger.
#[must_use]
pub fn can_wrap_to(module_key: &[u8], suite: Suite) -> bool {
    decode_public(module_key).is_ok_and(|key| key.suite() == suite)
        && wrap(module_key, ROOT_LABEL, Digest::ZERO, &[]).is_ok()
}

fn wrap(
    recipient: &[u8],
    label: &'static str,
    network: Digest,
    content: &[u8],
) -> Result<Vec<u8>, KeyError> {
    sealbook_sealing::wrap(
        &decode_public(recipient)?,
        label,
        network.as_bytes(),
        content,
    )
    .map_err(|_| KeyError::Malformed)
}
