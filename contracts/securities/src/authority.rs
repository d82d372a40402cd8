//! Who may do what: the question that this crate asks and others answer.
//!
//! The state machine knows to whom a row belongs; whether a role may act on its own rows, or on
//! those of others, is decided by policies behind [`Authority`].

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

/// Everything that a policy can allow. Kebab-case words are the policies' names for them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Action {
    /// Make somebody a member.
    AdmitMember,
    /// Move the business date forward.
    OpenDay,
    /// Register an issue with its treasury account.
    RegisterIssue,
    /// Create units of an issue in its treasury.
    IssueUnits,
    /// Open an account for a holder.
    OpenAccount,
    /// Move units from an issue's treasury to an account.
    Allocate,
    /// Create money tokens.
    MintCash,
    /// Move units or money from one account to another, free of payment.
    Transfer,
    /// Record one's side of a trade.
    RecordTrade,
    /// Confirm a trade that a counterparty recorded, which settles it.
    ConfirmTrade,
    /// Pay a cash dividend.
    Dividend,
    /// Split the units of an issue.
    Split,
    /// Read the names and numbers of an issue's holders.
    ReadShareholders,
    /// Read an issue's registry with accounts and firms.
    ReadRegistry,
    /// Read accounts and what they hold.
    ReadHoldings,
    /// Read trades.
    ReadTrades,
    /// Read totals of the whole ledger.
    ReadAudit,
    /// Let a venue submit locked-in trades on one's accounts.
    GrantMandate,
    /// Take that back.
    RevokeMandate,
    /// Submit a trade that both parties are bound by, which settles it.
    LockedInTrade,
    /// Give a member a further certificate.
    RenewCertificate,
    /// Revoke certificates.
    RevokeCertificate,
    /// Read who read what of one's own.
    ReadAccessLog,
    /// Have owners told later of a reading of theirs.
    DelayDisclosure,
    /// Be told what happened to what is one's own.
    ReadEvents,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 25] = [
        Self::AdmitMember,
        Self::OpenDay,
        Self::RegisterIssue,
        Self::IssueUnits,
        Self::OpenAccount,
        Self::Allocate,
        Self::MintCash,
        Self::Transfer,
        Self::RecordTrade,
        Self::ConfirmTrade,
        Self::Dividend,
        Self::Split,
        Self::ReadShareholders,
        Self::ReadRegistry,
        Self::ReadHoldings,
        Self::ReadTrades,
        Self::ReadAudit,
        Self::GrantMandate,
        Self::RevokeMandate,
        Self::LockedInTrade,
        Self::RenewCertificate,
        Self::RevokeCertificate,
        Self::ReadAccessLog,
        Self::DelayDisclosure,
        Self::ReadEvents,
    ];

    /// The name that policies use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdmitMember => "admit-member",
            Self::OpenDay => "open-day",
            Self::RegisterIssue => "register-issue",
            Self::IssueUnits => "issue-units",
            Self::OpenAccount => "open-account",
            Self::Allocate => "allocate",
            Self::MintCash => "mint-cash",
            Self::Transfer => "transfer",
            Self::RecordTrade => "record-trade",
            Self::ConfirmTrade => "confirm-trade",
            Self::Dividend => "dividend",
            Self::Split => "split",
            Self::ReadShareholders => "read-shareholders",
            Self::ReadRegistry => "read-registry",
            Self::ReadHoldings => "read-holdings",
            Self::ReadTrades => "read-trades",
            Self::ReadAudit => "read-audit",
            Self::GrantMandate => "grant-mandate",
            Self::RevokeMandate => "revoke-mandate",
            Self::LockedInTrade => "locked-in-trade",
            Self::RenewCertificate => "renew-certificate",
            Self::RevokeCertificate => "revoke-certificate",
            Self::ReadAccessLog => "read-access-log",
            Self::DelayDisclosure => "delay-disclosure",
            Self::ReadEvents => "read-events",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Whose row an action touches.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Relation {
    /// The caller's own. Permission for `Own` is also what it takes to use a verb at all.
    Own,
    /// Somebody else's.
    Other,
}

impl Relation {
    /// The name that policies use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Other => "other",
        }
    }
}

/// What one caller may do. Must be deterministic: the same answer on every node for the same state.
pub trait Authority {
    /// Whether the caller may do `action` on rows of the given relation.
    fn permits(&self, action: Action, relation: Relation) -> bool;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_actions_is_complete_and_encoded_by_place() {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(
                borsh::to_vec(&action).unwrap(),
                [u8::try_from(place).unwrap()]
            );
        }
        assert!(borsh::from_slice::<Action>(&[25]).is_err());
    }
}
