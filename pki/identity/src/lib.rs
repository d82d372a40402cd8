//! Who is who: from a certificate to the [`Principal`] behind it.
//!
//! | module | what it is |
//! |---|---|
//! | [`verify_chain`] | the check of a chain up to the network's root, a pure function |
//! | [`CertificateRequest`] | the check of what a member asks an authority to certify |
//! | [`revocation`] | the check of authorities' revocation lists, and what they say; for links |
//! | [`tls`] | rustls configurations whose verifiers apply the same check |
//! | [`pem`] | chains, requests and private keys as text |
//! | [`files`] | the same on disk; the only part that touches files |
//!
//! INVARIANT: no authority's key is ever here. What signs certificates is `sealbook-authority`.
//!
//! INVARIANT: outside `tls` nothing reads a clock, and outside `files` nothing reads a disk. The
//! execution module judges chains by the ledger's time.
//!
//! All input is limited before it is parsed: [`CERTIFICATES_MAX`] certificates of
//! [`CERTIFICATE_BYTES_MAX`] bytes in a chain, [`ROOTS_MAX`] roots, and the limits of
//! [`revocation`].

#![forbid(unsafe_code)]

mod certificate;
mod chain;
mod error;
pub mod files;
mod lei;
mod name;
pub mod pem;
mod request;
pub mod revocation;
mod role;
pub mod tls;
mod uri;

pub use chain::{
    Ended, Principal, Usage, chain_end_ms, claimed_key, fingerprint, verify_chain,
    verify_chain_in_its_time,
};
pub use error::{Fault, IdentityError, Instant, Link};
pub use lei::{LEI_LENGTH, Lei, LeiError};
pub use name::{
    NameError, ORGANISATION_LENGTH_MAX, SHORT_NAME_LENGTH_MAX, check_organisation, check_short_name,
};
pub use request::{CertificateRequest, RequestError};
pub use revocation::{RevocationError, RevocationList, RevocationReason, Revocations};
pub use role::{Role, UnknownRole};
pub use rustls_pki_types::CertificateDer;
pub use uri::{CertificateUri, UriError};

/// A certificate in DER form that owns its bytes; made with `Certificate::from(Vec<u8>)`.
pub type Certificate = CertificateDer<'static>;

/// The most certificates in a chain.
pub const CERTIFICATES_MAX: usize = 4;
/// The most bytes in a certificate or certificate request.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// The most roots that a network may trust at a time; more than one only while a root is changed.
pub const ROOTS_MAX: usize = 8;
