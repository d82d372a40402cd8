//! Why the authority did not do what it was asked to.

use std::{
    io,
    path::{Path, PathBuf},
};

use sealbook_identity::{
    IdentityError, Instant, NameError, RequestError, RevocationError, RevocationReason, Role,
    UriError, files::FileError, pem::PemError,
};

/// Why an authority could not be made, opened or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A name is not lawful.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The request is not lawful; the applicant has to mend it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The request is for another network.
    #[error("the request is for network `{found}`, not `{expected}`")]
    WrongNetwork {
        /// The network in the request.
        found: String,
        /// The authority's network.
        expected: String,
    },
    /// The dates are in the wrong order, beyond the calendar, or beyond those of the authority.
    #[error("the validity asked for is not lawful: {what}")]
    Validity {
        /// What is wrong.
        what: &'static str,
    },
    /// A new authority would stand among other files.
    #[error("`{}` is not an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was not completed, or a file is lost.
    #[error("`{}` is missing, so that this is no complete authority", path.display())]
    Incomplete {
        /// The missing file.
        path: PathBuf,
    },
    /// A certificate of the authority is not what its file name says.
    #[error("`{}` is not the certificate that its name says", path.display())]
    WrongCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A key does not belong to the certificate beside it.
    #[error("`{}` does not belong to the certificate beside it", path.display())]
    KeyMismatch {
        /// The key file.
        path: PathBuf,
    },
    /// The key of a role's issuing authority is kept elsewhere.
    #[error("the key of the issuing authority for role `{role}` is not here")]
    KeyAbsent {
        /// The role.
        role: Role,
    },
    /// The root's key is kept elsewhere.
    #[error("the root's key is not here")]
    RootAbsent,
    /// Of a role's authorities there would be three.
    #[error(
        "{count} certificates of role `{role}` are still under the issuing authority before the present one"
    )]
    FormerInUse {
        /// The role.
        role: Role,
        /// How many.
        count: usize,
    },
    /// A line of the inventory cannot be read.
    #[error("line {line} of `{}` cannot be read", path.display())]
    Inventory {
        /// The inventory.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A text could not be written.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A uri could not be read.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The encoder refused.
    #[error("the certificate could not be encoded: {0}")]
    Encoding(#[from] rcgen::Error),
    /// What was issued does not pass the check that everyone else applies. Nothing was handed out.
    #[error("the new certificate does not pass its own check: {0}")]
    SelfCheck(#[source] IdentityError),
    /// The new revocation list does not pass the check that everyone else applies.
    #[error("the new revocation list does not pass its own check: {0}")]
    ListSelfCheck(#[source] RevocationError),
    /// Nothing of this name or serial number was ever issued.
    #[error("nothing was certified under the name or serial number `{who}`")]
    NeverIssued {
        /// What was asked for.
        who: String,
    },
    /// A name that several certificates have at a time.
    #[error("`{name}` has {count} certificates that are valid")]
    SeveralCertificates {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// The certificate is revoked already.
    #[error(
        "the certificate of `{name}` with serial number {serial} was revoked already on {}, reason \
         {reason}",
        Instant(*revoked_ms)
    )]
    AlreadyRevoked {
        /// The holder's name.
        name: String,
        /// The serial number.
        serial: String,
        /// When, milliseconds since 1970 (UTC).
        revoked_ms: u64,
        /// Why.
        reason: RevocationReason,
    },
    /// The certificate has expired, so that there is nothing left to revoke.
    #[error("the certificate of `{name}` with serial number {serial} has expired already")]
    ExpiredAlready {
        /// The holder's name.
        name: String,
        /// The serial number.
        serial: String,
    },
    /// A reason for which no holder's certificate is revoked.
    #[error("holders' certificates are not revoked for reason {reason}")]
    Reason {
        /// The reason.
        reason: RevocationReason,
    },
}

impl AuthorityError {
    /// A file could not be read or written.
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File(FileError::Io { path, source })
    }

    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => "choose a lawful name",
            Self::Request(error) => error.hint(),
            Self::WrongNetwork { .. } => "make the request again for this network",
            Self::Validity { .. } => "choose dates within those of the issuing authority",
            Self::NotEmpty { .. } => "choose a new directory",
            Self::Incomplete { .. } => {
                "restore it from a backup; if nothing was issued yet, delete the directory and \
                 create the authority again"
            }
            Self::WrongCertificate { .. } | Self::KeyMismatch { .. } => {
                "restore both files from the same backup"
            }
            Self::KeyAbsent { .. } => "approve this role where its key is kept, or bring the key",
            Self::RootAbsent => {
                "bring `root.key` for as long as this takes, or do it where it is kept"
            }
            Self::FormerInUse { .. } => {
                "renew or revoke them first; `sealbook ca inventory` shows them"
            }
            Self::Inventory { .. } => "restore the inventory from a backup",
            Self::File(error) => error.hint(),
            Self::Pem(error) => error.hint(),
            Self::Uri(_) | Self::Encoding(_) => "check names and dates",
            Self::SelfCheck(error) => error.hint(),
            Self::ListSelfCheck(error) => error.hint(),
            Self::NeverIssued { .. } => {
                "`sealbook ca inventory` shows everything that was certified"
            }
            Self::SeveralCertificates { .. } => {
                "revoke each by its serial number; `sealbook ca inventory` shows them"
            }
            Self::AlreadyRevoked { .. } => "nothing is left to do but to issue a list that says so",
            Self::ExpiredAlready { .. } => "nothing is left to do: it is refused everywhere",
            Self::Reason { .. } => "choose a reason that is the holder's and holds for good",
        }
    }
}
