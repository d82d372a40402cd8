//! What came of an order: its status and, when nothing was done, the code that says why.
//!
//! The codes are a closed list, explained in `docs/SECURITIES.md`. Every code belongs to exactly
//! one status, so that the code alone decides between `rejected` and `denied`.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize, io};

/// How an order ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Status {
    /// Done, for good.
    Settled,
    /// Accepted; it waits for somebody else (a trade that is not confirmed yet).
    Pending,
    /// Understood and refused: nothing changed, the reference may be used again.
    Rejected,
    /// Refused because of who asks: nothing changed, the reference may be used again.
    Denied,
}

impl Status {
    /// The word that interfaces show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why an order was refused. The encoding is the place in this list: new codes go to its end.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Code {
    /// Something in it is no value of its kind, is zero where it may not be, or has too many
    /// decimals.
    Malformed,
    /// The caller's role may not do this at all.
    NotPermitted,
    /// The source account, the trade or the issue is not the caller's or does not exist.
    NotFound,
    /// Whoever asks is no member of the network.
    NotAMember,
    /// The reference was used before, for something else.
    Duplicate,
    /// `LACK`, "Lack of Securities": the delivering account does not hold enough. ISO 20022 pending
    /// and failing reason code (sese.024).
    LackOfSecurities,
    /// `MONY`, "Insufficient Money": the paying account does not hold enough. ISO 20022 pending and
    /// failing reason code (sese.024).
    InsufficientMoney,
    /// `BLOC`, "Account Blocked": the account holds enough, but part of it is blocked. ISO 20022
    /// pending and failing reason code (sese.024).
    Blocked,
    /// The identifier is in use already.
    Taken,
    /// The receiving account does not exist.
    UnknownAccount,
    /// The issue does not exist.
    UnknownIssue,
    /// The issuer is no member with the role of issuer.
    UnknownIssuer,
    /// The counterparty is no member with the role of firm.
    UnknownCounterparty,
    /// The trade is settled already.
    AlreadySettled,
    /// The business date is not later than the current one.
    DateNotForward,
    /// A balance, a total or a table would exceed its limit.
    Limit,
    /// The very same envelope was processed before. Given by the caller of this crate.
    Replay,
    /// The envelope's time of validity is over. Given by the caller of this crate.
    Expired,
    /// The height named as record time is not reached yet.
    UnknownRecordTime,
    /// The proposal is decided, rejected, withdrawn or expired. Given by the contract of governance.
    ProposalClosed,
    /// The approval names another change than the proposal's. Given by the contract of governance.
    OtherChange,
    /// The change cannot be made together with what is in force or decided. Given by the contract
    /// of governance.
    Conflict,
    /// The members have not authorised the contract that the order or question is addressed to. Given by the caller
    /// of this crate.
    NotAuthorised,
    /// The venue is no member.
    UnknownVenue,
    /// What is others' is answered only after the reading was put on record. Given by the caller of this crate.
    NotOnRecord,
}

impl Code {
    /// All codes, in the order of their encoding.
    pub const ALL: [Self; 25] = [
        Self::Malformed,
        Self::NotPermitted,
        Self::NotFound,
        Self::NotAMember,
        Self::Duplicate,
        Self::LackOfSecurities,
        Self::InsufficientMoney,
        Self::Blocked,
        Self::Taken,
        Self::UnknownAccount,
        Self::UnknownIssue,
        Self::UnknownIssuer,
        Self::UnknownCounterparty,
        Self::AlreadySettled,
        Self::DateNotForward,
        Self::Limit,
        Self::Replay,
        Self::Expired,
        Self::UnknownRecordTime,
        Self::ProposalClosed,
        Self::OtherChange,
        Self::Conflict,
        Self::NotAuthorised,
        Self::UnknownVenue,
        Self::NotOnRecord,
    ];

    /// The code as interfaces show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotPermitted => "not-permitted",
            Self::NotFound => "not-found",
            Self::NotAMember => "not-a-member",
            Self::Duplicate => "duplicate",
            Self::LackOfSecurities => "LACK",
            Self::InsufficientMoney => "MONY",
            Self::Blocked => "BLOC",
            Self::Taken => "taken",
            Self::UnknownAccount => "unknown-account",
            Self::UnknownIssue => "unknown-issue",
            Self::UnknownIssuer => "unknown-issuer",
            Self::UnknownCounterparty => "unknown-counterparty",
            Self::AlreadySettled => "already-settled",
            Self::DateNotForward => "date-not-forward",
            Self::Limit => "limit",
            Self::Replay => "replay",
            Self::Expired => "expired",
            Self::UnknownRecordTime => "unknown-record-time",
            Self::ProposalClosed => "proposal-closed",
            Self::OtherChange => "other-change",
            Self::Conflict => "conflict",
            Self::NotAuthorised => "contract-not-authorised",
            Self::UnknownVenue => "unknown-venue",
            Self::NotOnRecord => "not-on-record",
        }
    }

    /// The status that comes with this code.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NotPermitted | Self::NotFound | Self::NotAMember => Status::Denied,
            _ => Status::Rejected,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The answer to one order.
///
/// Encoded as the status, then 0 if there is nothing more to say, 1 and the code, or 2 and the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Why it was refused; `None` if it was not.
    pub code: Option<Code>,
    /// The root of what it certifies, if it certifies anything.
    pub certified: Option<[u8; 32]>,
}

impl Outcome {
    /// Done.
    pub const SETTLED: Self = Self::accepted(Status::Settled);
    /// Waiting for somebody else.
    pub const PENDING: Self = Self::accepted(Status::Pending);

    /// Not refused.
    pub(crate) const fn accepted(status: Status) -> Self {
        Self {
            status,
            code: None,
            certified: None,
        }
    }

    /// Done, and what it certifies has this root. Given by the caller of this crate.
    #[must_use]
    pub const fn certified(root: [u8; 32]) -> Self {
        Self {
            certified: Some(root),
            ..Self::SETTLED
        }
    }

    /// Refused with `code`; the status is the code's.
    #[must_use]
    pub const fn refused(code: Code) -> Self {
        Self {
            status: code.status(),
            code: Some(code),
            certified: None,
        }
    }

    /// Whether something was done or is under way.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self.status, Status::Settled | Status::Pending)
    }
}

impl BorshSerialize for Outcome {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.status.serialize(writer)?;
        match (self.code, self.certified) {
            (Some(code), _) => (1_u8, code).serialize(writer),
            (None, Some(root)) => (2_u8, root).serialize(writer),
            (None, None) => 0_u8.serialize(writer),
        }
    }
}

impl BorshDeserialize for Outcome {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let outcome = Self::accepted(Status::deserialize_reader(reader)?);
        Ok(match u8::deserialize_reader(reader)? {
            0 => outcome,
            1 => Self {
                code: Some(Code::deserialize_reader(reader)?),
                ..outcome
            },
            2 => Self {
                certified: Some(<[u8; 32]>::deserialize_reader(reader)?),
                ..outcome
            },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self::refused(code)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(formatter, "{} {code}", self.status),
            None => write!(formatter, "{}", self.status),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_codes_is_complete_and_encoded_by_place() {
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(
                borsh::to_vec(&code).unwrap(),
                [u8::try_from(place).unwrap()]
            );
        }
        assert!(borsh::from_slice::<Code>(&[25]).is_err());
    }

    #[test]
    fn every_code_is_explained_in_the_documentation() {
        let text = include_str!("../../../docs/SECURITIES.md");
        for code in Code::ALL {
            let row = format!("| `{code}` | {} |", code.status());
            assert!(text.contains(&row), "docs/SECURITIES.md has no row `{row}`");
        }
    }
}
