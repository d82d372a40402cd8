//! A module's own key, and what a key epoch's root is handed out in.
//!
//! ```text
//! key file  = version u8 | secret 32          of modules, auditors and recovery holders alike
//! secret    --HKDF--> X-Wing key              opens what is sealed to the holder
//!           --HKDF--> Ed25519 key             a module signs what it says on the ledger with it
//! identity  = X-Wing public key | Ed25519 public key       as seats and lists of holders name it
//! ```
//!
//! These keys are of the hybrid suite whatever envelopes are sealed with: what is sealed to them lies in every ledger for
//! decades, and a change of the envelopes' suite needs no other keys.
//!
//! The key file and the root file are opened before the process locks itself down and read after it; the host never reads
//! the key file. A root opens only under the network and the key epoch that it was sealed for.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_governance::Recipients;
use sealbook_ledger::{
    Genesis, KeyRecord, Recovery, RootFile, RootGrant, SealedShare, SealedTo, holder_digest,
    opening_digest,
};
use sealbook_opening::OpeningKey;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32, derive};
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_sealing::{OpeningPublicKey, Suite};
use sealbook_sharing::Share;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::{AUDIT_LABEL, EpochKeys, HoldsSecret, KeyError, Vault, key_context};

const KEY_FILE_VERSION: u8 = 3;
/// The largest key file, in bytes.
pub const MAX_FILE_BYTES: usize = 4096;
/// HPKE label of sealed roots.
pub const ROOT_LABEL: &str = "sealbook 2026 wrapped root v2";
/// HPKE label of sealed recovery shares.
pub const SHARE_LABEL: &str = "sealbook 2026 recovery share v1";
const SIGNING_LABEL: &str = "sealbook 2026 module signing key";
const WRAPPING_LABEL: &str = "sealbook 2026 key record wrapping seed";
const SHARING_LABEL: &str = "sealbook 2026 recovery sharing seed";
/// The suite of all holders' keys.
pub const HOLDER_SUITE: Suite = Suite::XWingChaCha20Poly1305;

#[derive(BorshSerialize, BorshDeserialize)]
struct KeyFile {
    version: u8,
    secret: [u8; 32],
}

/// The public half of a holder's key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HolderIdentity {
    /// What is sealed to the holder is sealed to this.
    pub opening: OpeningPublicKey,
    /// What a module says is signed with the other half of this.
    pub signing: VerifyingKey,
}

impl HolderIdentity {
    /// The encoding, as seats and lists of holders have it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads [`HolderIdentity::encode`].
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if it is none, is of another suite, or anybody could sign for it.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let identity = Self::try_from_slice(bytes).map_err(|_| KeyError::Malformed)?;
        let strong = identity.signing.refuse_weak().is_ok();
        if identity.opening.suite() == HOLDER_SUITE && strong {
            Ok(identity)
        } else {
            Err(KeyError::Malformed)
        }
    }
}

/// The own key of a module, an auditor or a recovery holder.
pub struct ModuleKey {
    secret: Box<dyn HoldsSecret>,
    identity: Vec<u8>,
}

impl ModuleKey {
    /// A new key: the content of its file, and its public half as seats name it.
    #[must_use]
    pub fn generate() -> (Zeroizing<Vec<u8>>, Vec<u8>) {
        let secret = Secret32::random();
        let mut file = KeyFile {
            version: KEY_FILE_VERSION,
            secret: *secret.expose(),
        };
        let bytes = Zeroizing::new(borsh::to_vec(&file).unwrap_or_default());
        file.secret.zeroize();
        (bytes, Self::of(secret).identity)
    }

    /// Reads the content of a key file.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut file = KeyFile::try_from_slice(bytes).map_err(|_| KeyError::Malformed)?;
        let secret = Secret32::new(file.secret);
        file.secret.zeroize();
        if file.version != KEY_FILE_VERSION {
            return Err(KeyError::Malformed);
        }
        Ok(Self::of(secret))
    }

    pub(crate) fn of(secret: Secret32) -> Self {
        let identity = HolderIdentity {
            opening: OpeningKey::of(HOLDER_SUITE, &secret).public_key(),
            signing: signing_key(&secret).verifying_key(),
        };
        Self {
            secret: Box::new(secret),
            identity: identity.encode(),
        }
    }

    /// Moves the secret into a vault.
    ///
    /// # Errors
    /// [`KeyError::NoRoom`].
    pub fn move_to(&mut self, vault: &dyn Vault) -> Result<(), KeyError> {
        self.secret = vault.keep(self.secret.secret()).ok_or(KeyError::NoRoom)?;
        Ok(())
    }

    /// The public half, encoded.
    #[must_use]
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// The name that records have for this holder.
    #[must_use]
    pub fn digest(&self) -> Digest {
        holder_digest(&self.identity)
    }

    /// The key that opens what is sealed to this holder. It exists only while it is used.
    #[must_use]
    pub fn opening_key(&self) -> OpeningKey {
        OpeningKey::of(HOLDER_SUITE, &Secret32::new(*self.secret.secret()))
    }

    /// The key that a module signs with. It exists only while it is used.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        signing_key(&Secret32::new(*self.secret.secret()))
    }

    fn open(
        &self,
        label: &'static str,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Secret32, KeyError> {
        let opened = sealbook_opening::unwrap(&self.opening_key(), label, context, sealed)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let mut bytes =
            <[u8; SECRET_LENGTH]>::try_from(opened.expose()).map_err(|_| KeyError::Malformed)?;
        let secret = Secret32::new(bytes);
        bytes.zeroize();
        Ok(secret)
    }

    /// Opens a grant and derives the keys of its key epoch.
    ///
    /// # Errors
    /// It is another module's or another network's, or the root is not the one that it is said to be.
    pub fn open_grant(&self, network: &Digest, grant: &RootGrant) -> Result<EpochKeys, KeyError> {
        if grant.network != *network {
            return Err(KeyError::NotNamed);
        }
        let context = key_context(network, grant.key_epoch);
        let root = self.open(ROOT_LABEL, &context, &grant.sealed)?;
        EpochKeys::from_named_root(&root, grant.key_epoch, &grant.opening)
    }

    /// The keys of a key epoch with this opening key, from the grants in a file. Whether this module was admitted is
    /// not asked: nobody else could have sealed the root to its key.
    ///
    /// # Errors
    /// None of the grants is for this module and this key epoch.
    pub fn open_root(
        &self,
        network: &Digest,
        (key_epoch, opening): (u32, &Digest),
        file: &RootFile,
    ) -> Result<EpochKeys, KeyError> {
        let own = self.digest();
        let grants = file.grants().iter();
        let grants = grants.filter(|one| {
            (one.key_epoch, one.recipient, one.network) == (key_epoch, own, *network)
                && one.opening == *opening
        });
        // Several may say that they are for it; one that opens to this key epoch's root is the right one.
        let mut found = Err(KeyError::NotGiven(key_epoch));
        for grant in grants {
            found = self.open_grant(network, grant);
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// The keys of the first key epoch of the network of `genesis`, from a root file.
    ///
    /// # Errors
    /// The file is none, or has no grant for this module and this network.
    pub fn open_first_root(&self, genesis: &Genesis, file: &[u8]) -> Result<EpochKeys, KeyError> {
        let file = RootFile::decode(file).map_err(|_| KeyError::Malformed)?;
        let opening = genesis.first_epoch().opening;
        let named = (opening.key_epoch, &opening_digest(&opening.public_key));
        let keys = self.open_root(&genesis.network(), named, &file)?;
        keys.check(&opening)?;
        Ok(keys)
    }

    /// The share that a record has for this holder, with its number.
    ///
    /// # Errors
    /// The record has none for it, or it does not open.
    pub fn open_share(&self, record: &KeyRecord) -> Result<Share, KeyError> {
        let own = self.digest();
        let mut shares = record.shares.iter();
        let sealed = shares.find(|one| one.share.recipient == own);
        let sealed = sealed.ok_or(KeyError::NotGiven(record.key_epoch))?;
        let context = key_context(&record.network, record.key_epoch);
        let opened = sealbook_opening::unwrap(
            &self.opening_key(),
            SHARE_LABEL,
            &context,
            &sealed.share.sealed,
        )
        .map_err(|_| KeyError::DoesNotOpen)?;
        Share::decode(opened.expose()).map_err(|_| KeyError::Malformed)
    }
}

fn signing_key(secret: &Secret32) -> SigningKey {
    SigningKey::from_secret(&derive(secret, SIGNING_LABEL, &[]))
}

/// What the commitments to the shares of a key epoch are bound to. Those of the first one are a part of genesis, whose
/// hash is not known before them.
#[must_use]
pub const fn commitment_network(network: Digest, key_epoch: u32) -> Digest {
    if key_epoch == 0 {
        Digest::ZERO
    } else {
        network
    }
}

/// The record in which the root of a key epoch is handed to `recipients`. Whoever has the root makes the same one.
///
/// # Errors
/// [`KeyError::Malformed`] if a recipient's key is none, the suite is unknown, or there cannot be so many shares.
pub fn make_record(
    root: &Secret32,
    network: Digest,
    recipients: &Recipients,
) -> Result<KeyRecord, KeyError> {
    let key_epoch = recipients.key_epoch;
    let suite = Suite::from_number(recipients.suite).ok_or(KeyError::Malformed)?;
    let keys = EpochKeys::from_root(root, key_epoch, suite);
    let context = key_context(&network, key_epoch);
    let seed = derive(root, WRAPPING_LABEL, &context);
    let seal = |key: &[u8], label: &'static str, content: &[u8]| {
        let identity = HolderIdentity::decode(key)?;
        let sealed =
            sealbook_sealing::wrap_derived(&identity.opening, label, &context, content, &seed);
        Ok(SealedTo {
            recipient: holder_digest(key),
            sealed: sealed.map_err(|_| KeyError::Malformed)?,
        })
    };
    let modules = recipients.modules.iter();
    let roots = modules
        .map(|key| seal(key, ROOT_LABEL, root.expose()))
        .collect::<Result<_, KeyError>>()?;
    let bundle = keys.bundle(network);
    let auditors = recipients.auditors.iter();
    let bundles = auditors
        .map(|holder| seal(&holder.key, AUDIT_LABEL, bundle.expose()))
        .collect::<Result<_, KeyError>>()?;
    let shares = split(root, &recipients.recovery, &context)?;
    let holders = recipients.recovery.holders.iter();
    let shares = holders
        .zip(&shares)
        .map(|(holder, share)| {
            Ok(SealedShare {
                commitment: share.commitment(&commitment_network(network, key_epoch), key_epoch),
                share: seal(&holder.key, SHARE_LABEL, share.encode().expose())?,
            })
        })
        .collect::<Result<_, KeyError>>()?;
    Ok(KeyRecord {
        version: KeyRecord::VERSION,
        network,
        key_epoch,
        public_key: keys.public_key(),
        roots,
        bundles,
        threshold: recipients.recovery.threshold,
        shares,
    })
}

fn split(root: &Secret32, recovery: &Recovery, context: &[u8]) -> Result<Vec<Share>, KeyError> {
    let count = u8::try_from(recovery.holders.len()).map_err(|_| KeyError::Malformed)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    // The founding does not know the network yet when it commits to the shares.
    let key_epoch = context.last_chunk::<4>().ok_or(KeyError::Malformed)?;
    let seed = derive(root, SHARING_LABEL, key_epoch);
    sealbook_sharing::split(root, recovery.threshold, count, &seed).map_err(|_| KeyError::Malformed)
}

/// A grant of a root for one more module.
///
/// # Errors
/// [`KeyError::Malformed`] if it is no usable key.
pub fn grant_root(
    keys: &EpochKeys,
    network: Digest,
    module_key: &[u8],
) -> Result<RootGrant, KeyError> {
    let key_epoch = keys.key_epoch;
    let root = keys.root.as_ref().ok_or(KeyError::NotGiven(key_epoch))?;
    let identity = HolderIdentity::decode(module_key)?;
    let context = key_context(&network, key_epoch);
    let sealed = sealbook_sealing::wrap(&identity.opening, ROOT_LABEL, &context, root.secret());
    Ok(RootGrant {
        network,
        key_epoch,
        opening: opening_digest(&keys.public_key()),
        recipient: holder_digest(module_key),
        sealed: sealed.map_err(|_| KeyError::Malformed)?,
    })
}

/// Whether secrets can be sealed to this encoded identity.
#[must_use]
pub fn can_seal_to(key: &[u8]) -> bool {
    HolderIdentity::decode(key).is_ok_and(|identity| {
        sealbook_sealing::wrap(&identity.opening, ROOT_LABEL, &[], &[]).is_ok()
    })
}

/// The founding of a network's first key epoch.
pub struct Founding {
    root: Box<dyn HoldsSecret>,
}

impl Founding {
    /// Makes the root.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            root: Box::new(Secret32::random()),
        }
    }

    /// Makes the root and keeps it in a vault.
    ///
    /// # Errors
    /// [`KeyError::NoRoom`].
    pub fn begin_in(vault: &dyn Vault) -> Result<Self, KeyError> {
        let root = vault.keep(Secret32::random().expose());
        Ok(Self {
            root: root.ok_or(KeyError::NoRoom)?,
        })
    }

    fn root(&self) -> Secret32 {
        Secret32::new(*self.root.secret())
    }

    /// The public opening key that genesis must name, for a network that seals with `suite`.
    #[must_use]
    pub fn opening_key(&self, suite: Suite) -> Vec<u8> {
        EpochKeys::from_root(&self.root(), 0, suite).public_key()
    }

    /// The commitments to recovery shares that genesis must hold.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if there cannot be such shares.
    pub fn share_commitments(&self, recovery: &Recovery) -> Result<Vec<Digest>, KeyError> {
        let shares = split(&self.root(), recovery, &key_context(&Digest::ZERO, 0))?;
        let shares = shares.iter();
        Ok(shares
            .map(|share| share.commitment(&commitment_network(Digest::ZERO, 0), 0))
            .collect())
    }

    /// Hands the root to every seat of `genesis`, with bundles for its auditors and shares for its recovery holders.
    ///
    /// # Errors
    /// Genesis does not name this founding's key or shares, or names a key that is none.
    pub fn bind(&self, genesis: &Genesis) -> Result<KeyRecord, KeyError> {
        let opening = genesis.first_epoch().opening;
        let suite = Suite::from_number(opening.suite()).ok_or(KeyError::Malformed)?;
        EpochKeys::from_root(&self.root(), 0, suite).check(&opening)?;
        let record = make_record(&self.root(), genesis.network(), &first_recipients(genesis))?;
        let commitments = record.shares.iter().map(|one| one.commitment);
        if commitments.eq(genesis.share_commitments.iter().copied()) {
            Ok(record)
        } else {
            Err(KeyError::NotNamed)
        }
    }
}

/// To whom the first root is handed.
#[must_use]
pub fn first_recipients(genesis: &Genesis) -> Recipients {
    let validators = genesis.validators.iter().map(|seat| &seat.module_key);
    let observers = genesis.observers.iter();
    let observers = observers.filter_map(|seat| seat.module_key.as_ref());
    Recipients {
        key_epoch: 0,
        suite: genesis.first_epoch().opening.suite(),
        modules: validators.chain(observers).cloned().collect(),
        auditors: genesis.audit_recipients.clone(),
        recovery: genesis.recovery.clone(),
    }
}
