//! Sealing: encryption to recipients, with public keys only.
//!
//! Whoever links this crate can make ciphertext and look at its public header. What opens it lives
//! in `sealbook-opening`, which few programs may link.
//!
//! | what | for whom | how |
//! |---|---|---|
//! | [`Envelope`], [`seal`], [`Sealer`] | the network: instructions, attachments, queries | HPKE, padded |
//! | [`Sealer::in_session`] | the network: instructions of a steady sender | ChaCha20-Poly1305, padded |
//! | [`wrap`] | one recipient: keys in transport | HPKE under a label and a context |
//! | [`seal_reply`] | the author of a query, who sent a key along | ChaCha20-Poly1305, padded |
//!
//! The modules [`mod@format`], [`session`] and [`suite_one`] hold what both halves must agree on. This crate keeps nothing, so
//! there is no state that a crash could damage.

#![forbid(unsafe_code)]

mod envelope;
pub mod format;
mod reply;
pub mod session;
mod suite;
pub mod suite_one;
mod wrapping;

pub use envelope::{
    ENVELOPE_VERSION, Envelope, EnvelopeError, EnvelopeHeader, HEADER_LENGTH, Purpose, Sealer,
    binding, seal, signed_binding,
};
pub use reply::seal_reply;
pub use suite::{OpeningPublicKey, Suite};
pub use wrapping::{wrap, wrap_derived};

/// Why something could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's public key is not a usable one.
    #[error("the recipient's public key is not usable")]
    UnusablePublicKey,
    /// The header names another suite than the recipient's key.
    #[error("the header names another suite than the recipient's key")]
    SuiteMismatch,
    /// The header names a version that this program does not make.
    #[error("envelopes of version {version} cannot be made")]
    UnsupportedVersion {
        /// The version that the header names.
        version: u8,
    },
    /// The content is too long to be sealed.
    #[error("a content of {length} bytes is too long to be sealed")]
    TooLong {
        /// The length of the content, in bytes.
        length: usize,
    },
}
