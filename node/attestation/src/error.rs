//! Why there is no evidence, and why evidence is not believed.

use crate::Kind;

/// Why no evidence was produced. The fault is the machine's, never the verifier's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The kernel's folder of reports cannot be used. Outside of a confidential VM there is none.
    #[error(
        "`{path}` cannot be used: {reason} (is this a confidential VM, with configfs mounted?)"
    )]
    Unavailable {
        /// The file or folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The kernel answered with more bytes than evidence may have.
    #[error("`{path}` has more than {limit} bytes")]
    TooLong {
        /// The file.
        path: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The machine makes evidence of another kind, or of one that is not known here.
    #[error(
        "the provider of reports is `{provider}`, which does not make evidence of kind `{kind}`"
    )]
    OtherProvider {
        /// What the kernel calls the provider.
        provider: String,
        /// The kind that was asked for.
        kind: Kind,
    },
    /// Somebody else used the same entry in the meantime. Asking again may succeed.
    #[error(
        "the report's generation is {found} and not {expected}: another process uses the same entry"
    )]
    Raced {
        /// The generation after our own write.
        expected: u64,
        /// What the kernel says.
        found: u64,
    },
    /// The name of the entry is empty, too long or not a plain name.
    #[error("`{name}` is not a name for a report: 1 to 64 letters, digits, `-` and `_`")]
    Name {
        /// The name.
        name: String,
    },
    /// What the machine answered is not evidence about what was asked.
    #[error("the report does not carry the data that was asked for")]
    OtherReport,
    /// The answer cannot be evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// Why bytes are not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A part is longer than is accepted.
    #[error("{part} has {length} bytes, and at most {limit} are accepted")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The format's version is not known here.
    #[error("version {found} is not known here, only {known}")]
    Version {
        /// The version that was found.
        found: u8,
        /// The version that is known.
        known: u8,
    },
    /// Not the canonical encoding.
    #[error("not a canonical encoding: {reason}")]
    Malformed {
        /// What the decoder objected to.
        reason: String,
    },
}

/// Why evidence is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The policy does not accept evidence of this kind, however genuine it is.
    #[error("the policy refuses evidence of kind `{0}`")]
    Refused(Kind),
    /// The policy accepts the kind, but nobody here can verify it.
    #[error("there is no verifier for evidence of kind `{0}`")]
    NoVerifier(Kind),
    /// The evidence was given to the verifier of another kind.
    #[error("this is evidence of kind `{found}`, and `{expected}` is verified here")]
    OtherKind {
        /// The kind of the evidence.
        found: Kind,
        /// The kind that is verified here.
        expected: Kind,
    },
    /// The evidence is not in the format of its kind.
    #[error("the evidence is malformed: {0}")]
    Malformed(String),
    /// The evidence does not carry the expected report data: a replay, or evidence about another key or network.
    #[error("the evidence is about another nonce, module or network")]
    OtherReportData,
    /// What was measured is not among what is accepted.
    #[error("the measurement is not an accepted one: {0}")]
    OtherMeasurement(String),
    /// The machine's owner can look inside, and this is not allowed.
    #[error("debug mode is on: the machine's owner can read the memory")]
    Debug,
    /// A signature, or the chain of certificates above it, does not hold.
    #[error("the signature does not hold: {0}")]
    Signature(String),
    /// A quote is not genuine, its platform is revoked, or its collateral is not valid at the given time.
    #[error("the quote is not believed: {0}")]
    Quote(String),
    /// A certificate or a vendor's statement is from the future, as seen from the given time.
    #[error("{0} is not valid yet")]
    NotYetValid(&'static str),
    /// A certificate or a vendor's statement is out of date.
    #[error("{0} has expired")]
    Expired(&'static str),
    /// The machine's firmware is older than is accepted, or its state is not an accepted one.
    #[error("the platform's firmware is not accepted: {0}")]
    Tcb(String),
    /// The guest is run in a way that is not accepted.
    #[error("the guest's configuration is not accepted: {0}")]
    Configuration(String),
    /// What the vendor publishes about the platform was neither handed in nor sent along.
    #[error("there is no collateral to verify the evidence with")]
    NoCollateral,
}
