//! What one holder keeps.

use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::secret::{SECRET_LENGTH, Secret32, SecretBytes};

use crate::SharingError;

/// The most holders that a secret can be shared among, and the highest number of a share.
pub const HOLDERS_MAX: u8 = 64;

/// The version of the encoding of a share.
pub const SHARE_VERSION: u8 = 1;

/// The length of an encoded share, in bytes: version, number and content.
pub const SHARE_LENGTH: usize = 2 + SECRET_LENGTH;

const COMMITMENT_DOMAIN: &str = "sealbook/sharing/commitment/1";

/// One holder's share of a secret, wiped when dropped.
///
/// INVARIANT: the number is from 1 to [`HOLDERS_MAX`], and nothing shows the content but
/// [`Share::encode`].
pub struct Share {
    number: u8,
    content: Secret32,
}

impl Share {
    pub(crate) fn new(number: u8, content: Secret32) -> Result<Self, SharingError> {
        if !(1..=HOLDERS_MAX).contains(&number) {
            return Err(SharingError::NumberOutOfRange { number });
        }
        Ok(Share { number, content })
    }

    pub(crate) fn content(&self) -> &Secret32 {
        &self.content
    }

    /// The number of the holder whose share this is, from 1 to [`HOLDERS_MAX`].
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The share as bytes: version, number, content.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        // Reserved at once: a vector that grows leaves its earlier copy behind.
        let mut bytes = Vec::with_capacity(SHARE_LENGTH);
        bytes.push(SHARE_VERSION);
        bytes.push(self.number);
        bytes.extend_from_slice(self.content.expose());
        SecretBytes::new(bytes)
    }

    /// The share whose encoding is exactly `bytes`.
    ///
    /// # Errors
    ///
    /// [`SharingError::ShareLengthWrong`], [`SharingError::VersionUnsupported`] or
    /// [`SharingError::NumberOutOfRange`] when `bytes` are not the encoding of a share. Every
    /// content is possible, so an altered one is found by its commitment only.
    pub fn decode(bytes: &[u8]) -> Result<Self, SharingError> {
        let wrong_length = || SharingError::ShareLengthWrong {
            length: bytes.len(),
        };
        let Some(([version, number], content)) = bytes.split_first_chunk::<2>() else {
            return Err(wrong_length());
        };
        let content: &[u8; SECRET_LENGTH] = content.try_into().map_err(|_| wrong_length())?;
        if *version != SHARE_VERSION {
            return Err(SharingError::VersionUnsupported { version: *version });
        }
        Share::new(*number, Secret32::new(*content))
    }

    /// What anybody may know of this share: with it, a false share is named by its number.
    ///
    /// `network` is what names the network (its genesis), `key_epoch` which of its keys is shared,
    /// so that no share passes for one of another network or key.
    ///
    /// A plain hash is enough. Nobody finds another share with the same commitment, because that is
    /// a collision. Nobody finds the share from it, because there is nothing shorter to guess: each
    /// share by itself is uniformly random in all its 256 bits. What the commitments do allow is to
    /// test a guess of the secret for whoever has all shares but one of the threshold, so the secret
    /// must itself be 32 random bytes, as keys are, and no password. With threshold 1 the share is
    /// the secret, and the commitment is a hash of it.
    ///
    /// The commitments do not say that the shares lie on one polynomial. Whoever knows secret and
    /// seed checks that by sharing again.
    #[must_use]
    pub fn commitment(&self, network: &Digest, key_epoch: u32) -> Digest {
        hash(
            COMMITMENT_DOMAIN,
            &[
                network.as_bytes(),
                &key_epoch.to_le_bytes(),
                &[self.number],
                self.content.expose(),
            ],
        )
    }

    /// Whether both are the same share, in a time that does not depend on their contents.
    #[must_use]
    pub fn constant_time_eq(&self, other: &Share) -> bool {
        self.number == other.number && self.content.constant_time_eq(&other.content)
    }
}
