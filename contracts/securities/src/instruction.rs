//! Orders: what members ask the books to do.
//!
//! Format: borsh of [`Order`]; every checked type repeats its checks while decoding. The order of
//! the variants is part of the format: new ones go to the end.

use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::authority::Action;
use crate::currency::CurrencyCode;
use crate::date::BusinessDate;
use crate::decimal::Decimal;
use crate::error::{ValueError, ValueKind};
use crate::isin::Isin;
use crate::text::{AccountId, ClientReference, LongName, MemberName};

/// What an issue is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum IssueKind {
    /// Shares.
    Equity,
    /// Debt.
    Bond,
    /// Units of a fund.
    Fund,
}

impl IssueKind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equity => "equity",
            Self::Bond => "bond",
            Self::Fund => "fund",
        }
    }
}

impl fmt::Display for IssueKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for IssueKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::Equity, Self::Bond, Self::Fund]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ValueError::new(ValueKind::IssueKind, text))
    }
}

/// Which side of a trade the recording firm is on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Side {
    /// The recording firm pays and receives securities.
    Buy,
    /// The recording firm delivers securities and is paid.
    Sell,
}

impl Side {
    /// The side's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Side {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::Buy, Self::Sell]
            .into_iter()
            .find(|side| side.as_str() == text)
            .ok_or_else(|| ValueError::new(ValueKind::Side, text))
    }
}

/// What a free transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Asset {
    /// Units of an issue.
    Security {
        /// The issue.
        isin: Isin,
        /// How many units.
        quantity: Decimal,
    },
    /// Money tokens.
    Cash {
        /// The currency.
        currency: CurrencyCode,
        /// How much.
        amount: Decimal,
    },
}

/// Where a holder's name is: the name itself travels as an attachment outside the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct HolderReference {
    /// The hash of the sealed attachment that carries the name.
    pub attachment: [u8; 32],
    /// The blinded commitment to the name.
    pub commitment: [u8; 32],
}

/// The moment whose registry counts. [`crate::State`] says how each is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum RecordTime {
    /// The state just before the order that asks, or the current one for a query.
    Now,
    /// The state after the block of this height.
    Height(u64),
    /// The state after the last block whose time, in milliseconds since 1970, is at or before this.
    Time(u64),
    /// The close of this business date: just before the first opening of a later one.
    Date(BusinessDate),
}

/// What an order does. See `docs/SECURITIES.md` for every rule.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Instruction {
    /// Moves the business date forward.
    OpenDay {
        /// The new date.
        date: BusinessDate,
    },
    /// Registers an issue and opens its treasury account.
    RegisterIssue {
        /// The issue's number.
        isin: Isin,
        /// The issuing member.
        issuer: MemberName,
        /// The issue's name.
        name: LongName,
        /// What it is.
        kind: IssueKind,
        /// Decimals of its quantities, 0 to 8.
        decimals: u8,
        /// The currency of its nominal or quotation.
        currency: CurrencyCode,
        /// The identifier of the treasury account to open.
        treasury: AccountId,
    },
    /// Creates units in the treasury.
    IssueUnits {
        /// The issue.
        isin: Isin,
        /// How many units.
        quantity: Decimal,
    },
    /// Opens an account for a holder.
    OpenAccount {
        /// The new account.
        account: AccountId,
        /// Where the holder's name is.
        holder: HolderReference,
    },
    /// Moves units from the treasury to an account, free of payment.
    Allocate {
        /// The issue.
        isin: Isin,
        /// The receiving account.
        account: AccountId,
        /// How many units.
        quantity: Decimal,
    },
    /// Creates money tokens.
    MintCash {
        /// The currency.
        currency: CurrencyCode,
        /// The receiving account.
        account: AccountId,
        /// How much.
        amount: Decimal,
    },
    /// Moves units or money from one account to another, free of payment.
    Transfer {
        /// What moves.
        asset: Asset,
        /// The delivering account.
        from: AccountId,
        /// The receiving account.
        to: AccountId,
    },
    /// Records one side of a trade; the order's reference names the trade.
    RecordTrade {
        /// The recording firm's side.
        side: Side,
        /// The recording firm's account.
        account: AccountId,
        /// The firm that is to confirm.
        counterparty: MemberName,
        /// The issue.
        isin: Isin,
        /// How many units.
        quantity: Decimal,
        /// The currency of the payment.
        currency: CurrencyCode,
        /// The payment for all units.
        amount: Decimal,
    },
    /// Confirms a trade, which settles it: delivery against payment.
    ConfirmTrade {
        /// The recorder's reference of the trade.
        trade: ClientReference,
        /// The confirming firm's account.
        account: AccountId,
    },
    /// Pays a cash dividend from the treasury's cash.
    Dividend {
        /// The issue.
        isin: Isin,
        /// What one whole unit receives.
        amount_per_unit: Decimal,
        /// The currency of the payment.
        currency: CurrencyCode,
        /// The moment whose holders are paid.
        record: RecordTime,
    },
    /// Multiplies every holding by `new / old`.
    Split {
        /// The issue.
        isin: Isin,
        /// So many units ...
        new: u32,
        /// ... for so many.
        old: u32,
        /// Must be [`RecordTime::Now`].
        record: RecordTime,
    },
    /// Lets a venue submit locked-in trades on the caller's accounts.
    GrantMandate {
        /// The member that may submit them.
        venue: MemberName,
    },
    /// Takes a venue's mandate back.
    RevokeMandate {
        /// The member that may submit them no longer.
        venue: MemberName,
    },
    /// Settles a trade that a venue matched, delivery against payment, under both firms' mandates;
    /// the order's reference names the trade.
    LockedInTrade {
        /// The account that delivers and is paid.
        seller_account: AccountId,
        /// The account that pays and receives.
        buyer_account: AccountId,
        /// The issue.
        isin: Isin,
        /// How many units.
        quantity: Decimal,
        /// The currency of the payment.
        currency: CurrencyCode,
        /// The payment for all units.
        amount: Decimal,
    },
}

impl Instruction {
    /// The action that a policy has to permit.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::OpenDay { .. } => Action::OpenDay,
            Self::RegisterIssue { .. } => Action::RegisterIssue,
            Self::IssueUnits { .. } => Action::IssueUnits,
            Self::OpenAccount { .. } => Action::OpenAccount,
            Self::Allocate { .. } => Action::Allocate,
            Self::MintCash { .. } => Action::MintCash,
            Self::Transfer { .. } => Action::Transfer,
            Self::RecordTrade { .. } => Action::RecordTrade,
            Self::ConfirmTrade { .. } => Action::ConfirmTrade,
            Self::Dividend { .. } => Action::Dividend,
            Self::Split { .. } => Action::Split,
            Self::GrantMandate { .. } => Action::GrantMandate,
            Self::RevokeMandate { .. } => Action::RevokeMandate,
            Self::LockedInTrade { .. } => Action::LockedInTrade,
        }
    }
}

/// An instruction under its submitter's reference.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Order {
    /// Unique per submitter: the same reference with the same content is answered as before.
    pub reference: ClientReference,
    /// What to do.
    pub instruction: Instruction,
}
