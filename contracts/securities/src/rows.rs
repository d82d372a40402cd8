//! The rows of the books' tables, as they are encoded for the state commitment.
//!
//! Format: `u16` [`crate::ROW_VERSION`], then borsh of the row. Fields that only speed lookups up
//! are not here: they follow from the rows.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::authority::Action;
use crate::currency::CurrencyCode;
use crate::date::BusinessDate;
use crate::decimal::Decimal;
use crate::instruction::{HolderReference, IssueKind, RecordTime, Side};
use crate::isin::Isin;
use crate::outcome::{Code, Status};
use crate::table::row_index;
use crate::text::{AccountId, ClientReference, LongName};

row_index!(
    /// A member's place in its table.
    pub MemberId
);
row_index!(
    /// An account's place in its table.
    pub AccountIndex
);
row_index!(
    /// An issue's place in its table.
    pub IssueIndex
);
row_index!(
    /// A trade's place in its table.
    pub TradeIndex
);
row_index!(
    /// A currency's place in its table.
    pub CurrencyIndex
);
row_index!(
    /// A position's place in its table.
    pub PositionIndex
);
row_index!(
    /// A cash balance's place in its table.
    pub CashIndex
);
row_index!(pub(crate) ReferenceIndex);
row_index!(pub(crate) RefusalIndex);
row_index!(pub(crate) MandateIndex);
row_index!(pub(crate) AccessIndex);
row_index!(pub(crate) DayIndex);
row_index!(pub(crate) BlockIndex);
row_index!(pub(crate) ChangeIndex);

/// Where the ledger stands. There is one such row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Clock {
    /// The height of the block that began last; 0 before the first.
    pub height: u64,
    /// The time of that block in milliseconds since 1970; 0 before the first.
    pub time_ms: u64,
    /// How many orders were applied, whatever came of them: the number of the latest.
    pub sequence: u64,
    /// The current business date.
    pub business_date: Option<BusinessDate>,
}

/// Who holds an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Holder {
    /// The issuer itself: this is a treasury account, and the holder is the owner's organisation.
    Issuer,
    /// Somebody whose name is outside the books.
    Named(HolderReference),
}

/// A securities and cash account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// The member that keeps it: the firm, or the issuer for a treasury.
    pub owner: MemberId,
    /// Who holds it.
    pub holder: Holder,
}

impl Account {
    /// Whether this is an issue's treasury.
    #[must_use]
    pub const fn is_treasury(&self) -> bool {
        matches!(self.holder, Holder::Issuer)
    }
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Issue {
    /// Its number.
    pub isin: Isin,
    /// The issuing member.
    pub issuer: MemberId,
    /// Its name.
    pub name: LongName,
    /// What it is.
    pub kind: IssueKind,
    /// Decimals of its quantities.
    pub decimals: u8,
    /// The currency of its nominal or quotation.
    pub currency: CurrencyCode,
    /// Its treasury account.
    pub treasury: AccountIndex,
    /// All units there are, the treasury's included.
    pub issued: u64,
}

/// What one account holds of one issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshDeserialize)]
pub struct Position {
    /// The account.
    pub account: AccountIndex,
    /// The issue.
    pub issue: IssueIndex,
    /// All units, blocked ones included.
    pub quantity: u64,
    /// Units that may not be delivered.
    pub blocked: u64,
}

impl BorshSerialize for Position {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        write_holding(
            writer,
            [self.account.0, self.issue.0],
            [self.quantity, self.blocked],
        )
    }
}

/// Writes the fields of a position or a balance at once. They are what the state commitment encodes most.
fn write_holding<W: io::Write>(
    writer: &mut W,
    [account, what]: [u32; 2],
    [all, blocked]: [u64; 2],
) -> io::Result<()> {
    let (keys, amounts) = (
        u64::from(account) | u64::from(what) << 32,
        u128::from(all) | u128::from(blocked) << 64,
    );
    let mut bytes = [0; 24];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&keys.to_le_bytes());
    tail.copy_from_slice(&amounts.to_le_bytes());
    writer.write_all(&bytes)
}

/// A currency that has been minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Currency {
    /// Its code.
    pub code: CurrencyCode,
    /// The member that mints it: whoever did so first.
    pub agent: MemberId,
    /// All money tokens there are, in minor units.
    pub minted: u64,
}

/// What one account holds of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshDeserialize)]
pub struct CashBalance {
    /// The account.
    pub account: AccountIndex,
    /// The currency.
    pub currency: CurrencyIndex,
    /// All money, blocked amounts included, in minor units.
    pub amount: u64,
    /// What may not be paid out.
    pub blocked: u64,
}

impl BorshSerialize for CashBalance {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        write_holding(
            writer,
            [self.account.0, self.currency.0],
            [self.amount, self.blocked],
        )
    }
}

/// How a trade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TradeStatus {
    /// Recorded by one party; waits for the other to confirm.
    Open,
    /// Both legs are done.
    Settled,
}

impl TradeStatus {
    /// The word that interfaces show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
        }
    }
}

/// A trade: bilateral, or locked in by a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trade {
    /// The member that recorded it; the seller of a locked-in trade.
    pub recorder: MemberId,
    /// The reference that names the trade: the recorder's, or the venue's.
    pub reference: ClientReference,
    /// The recorder's side.
    pub side: Side,
    /// The recorder's account.
    pub recorder_account: AccountIndex,
    /// The member that confirms it.
    pub counterparty: MemberId,
    /// The account that it confirmed with.
    pub counterparty_account: Option<AccountIndex>,
    /// The issue.
    pub issue: IssueIndex,
    /// How many units, in the issue's minor units.
    pub quantity: u64,
    /// The currency of the payment.
    pub currency: CurrencyCode,
    /// The payment, in minor units.
    pub amount: u64,
    /// How it stands.
    pub status: TradeStatus,
    /// The number of the order that recorded it.
    pub recorded: u64,
    /// The number of the order that settled it; 0 while it is open.
    pub settled: u64,
    /// The venue that submitted it as locked in; `None` for a bilateral trade.
    pub venue: Option<MemberId>,
}

/// Whether a venue may submit locked-in trades on the accounts that a firm keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Mandate {
    /// The firm that gave it.
    pub(crate) firm: MemberId,
    /// The venue that has it.
    pub(crate) venue: MemberId,
    /// Whether it holds now.
    pub(crate) in_force: bool,
    /// The number of the order that last granted or revoked it.
    pub(crate) since: u64,
}

/// An order that was accepted, so that the same reference is answered the same, and so that whoever it concerns is told.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Remembered {
    pub(crate) member: MemberId,
    pub(crate) reference: ClientReference,
    pub(crate) content: [u8; 32],
    pub(crate) status: Status,
    pub(crate) action: Action,
    /// The number of the order.
    pub(crate) sequence: u64,
    pub(crate) happened: Happened,
}

/// What an accepted order did to others than its submitter.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Happened {
    /// Nothing that they are told.
    Own,
    /// It recorded a trade, or settled one.
    Trade(TradeIndex),
    /// It moved units of an issue, or created them.
    Units(Box<UnitsMoved>),
    /// It moved money, or created it.
    Cash(Box<CashMoved>),
    /// It registered an issue.
    Registered(IssueIndex),
    /// It granted a venue the submitter's mandate, or revoked it.
    Mandate { venue: MemberId, in_force: bool },
    /// It paid a dividend.
    Dividend(Box<DividendPaid>),
    /// It split the units of an issue.
    Split(Box<UnitsSplit>),
    /// It opened a business date.
    Day(DayIndex),
}

/// Units that went from one account to another, free of payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct UnitsMoved {
    pub(crate) issue: IssueIndex,
    /// `None` for units that were created.
    pub(crate) from: Option<AccountIndex>,
    pub(crate) to: AccountIndex,
    pub(crate) quantity: u64,
}

/// Money that went from one account to another, free of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct CashMoved {
    pub(crate) currency: CurrencyIndex,
    /// `None` for money that was created.
    pub(crate) from: Option<AccountIndex>,
    pub(crate) to: AccountIndex,
    pub(crate) amount: u64,
}

/// A dividend that was paid.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct DividendPaid {
    pub(crate) issue: IssueIndex,
    pub(crate) per_unit: Decimal,
    pub(crate) currency: CurrencyCode,
    /// The moment whose holders were paid, as the order said it.
    pub(crate) record: RecordTime,
    /// All payments together, in minor units.
    pub(crate) paid: u64,
    /// Everybody who kept accounts with units at that moment, the issuer's treasury aside, in the order of the members.
    pub(crate) parts: Vec<DividendPart>,
}

/// What of a dividend went to the accounts that one member keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct DividendPart {
    pub(crate) member: MemberId,
    /// How many accounts were paid.
    pub(crate) accounts: u32,
    /// What they received together, in minor units.
    pub(crate) received: u64,
}

/// Units that were split.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct UnitsSplit {
    pub(crate) issue: IssueIndex,
    pub(crate) new: u32,
    pub(crate) old: u32,
    /// Everybody who kept accounts with units, in the order of the members.
    pub(crate) holders: Vec<MemberId>,
}

/// An order that was refused. Its reference may be used again.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Refusal {
    pub(crate) member: MemberId,
    pub(crate) reference: ClientReference,
    pub(crate) action: Action,
    pub(crate) code: Code,
    /// The number of the order.
    pub(crate) sequence: u64,
}

/// A business date that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Day {
    pub(crate) date: BusinessDate,
    /// The number of the order that opened it.
    pub(crate) sequence: u64,
}

/// A block that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BlockStart {
    pub(crate) time_ms: u64,
    /// The number of the last order before it.
    pub(crate) sequence: u64,
}

/// What a reading on record was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Read {
    /// The registry of an issue.
    Registry {
        issue: IssueIndex,
        as_of: RecordTime,
    },
    /// What all accounts hold.
    Holdings,
    /// All trades.
    Trades,
    /// The totals.
    Audit,
}

/// A reading of what is others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Access {
    pub(crate) reader: MemberId,
    /// Fingerprint of the certificate that the reader asked under.
    pub(crate) certificate: [u8; 32],
    pub(crate) read: Read,
    /// The digest of the question.
    pub(crate) question: [u8; 32],
    /// The block that put it on record, and its time.
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    /// The number of the last order that counts in the registry that was read; that of the last one in the block, where it
    /// was not over yet.
    pub(crate) moment: Option<u64>,
    /// How many there were of each, of which all were read.
    pub(crate) accounts: u32,
    pub(crate) trades: u32,
    pub(crate) issues: u32,
    pub(crate) currencies: u32,
    /// From when on the owners are told.
    pub(crate) disclosed_ms: u64,
}

/// One change in the history of a position or of an issue's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Change {
    /// The row that changed.
    pub(crate) subject: u32,
    /// The number of the order that changed it.
    pub(crate) sequence: u64,
    /// What it was from then on.
    pub(crate) value: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Written at once, a row has the bytes that borsh gives its fields one by one, and is read back.
    #[test]
    fn holdings_are_encoded_field_by_field() {
        let numbers = (0x0102_0304_u32, 5_u32, u64::MAX - 6, 7_u64);
        let expected = borsh::to_vec(&numbers).unwrap();
        let position = Position {
            account: AccountIndex(numbers.0),
            issue: IssueIndex(numbers.1),
            quantity: numbers.2,
            blocked: numbers.3,
        };
        let balance = CashBalance {
            account: AccountIndex(numbers.0),
            currency: CurrencyIndex(numbers.1),
            amount: numbers.2,
            blocked: numbers.3,
        };
        assert_eq!(borsh::to_vec(&position).unwrap(), expected);
        assert_eq!(borsh::to_vec(&balance).unwrap(), expected);
        assert_eq!(Position::try_from_slice(&expected).unwrap(), position);
        assert_eq!(CashBalance::try_from_slice(&expected).unwrap(), balance);
    }
}
