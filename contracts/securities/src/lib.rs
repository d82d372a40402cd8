//! The post-trade books of Sealbook: a pure, deterministic state machine over securities and money.
//!
//! Members give [`Order`]s; [`State::apply`] settles, rejects or denies them; views read. Integers
//! only, no clock, no I/O, no cryptography, no randomness that a result could depend on: the same
//! orders in the same blocks give the same rows on every node, byte for byte. Every rule stands in `docs/SECURITIES.md`.
//!
//! - Checked values: [`Isin`], [`Lei`], [`CurrencyCode`], [`Decimal`], [`BusinessDate`],
//!   [`AccountId`], [`ClientReference`], [`MemberName`], [`LongName`]. A value that exists has been
//!   checked.
//! - Orders: [`Instruction`], one module per action in `actions`.
//! - Permission: [`Authority`] is asked, policies decide behind it.
//! - Books: dense tables ([`TableId`]) whose touched rows the caller hashes after each block.
//! - History: registries of any past block, time or business date ([`RecordTime`]).

#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as sealbook_securities;

mod accesses;
mod actions;
mod amount;
mod authority;
mod books;
mod currency;
mod date;
mod decimal;
mod encoding;
mod error;
mod events;
mod history;
mod instruction;
mod invariants;
mod isin;
mod lei;
mod lookup;
mod member;
mod outcome;
mod read_ahead;
mod rows;
mod state;
mod table;
mod tables;
mod text;
mod views;
#[cfg(test)]
#[path = "../tests/world/mod.rs"]
mod world;

pub use accesses::{
    ANSWERED_MS, DELAY_MAX_MS, NewAccess, OnRecord, PER_BLOCK_MAX, Reading, Recorded,
    UNDISCLOSED_MAX,
};
pub use amount::{Amount, UNITS_MAX, payment, scaled};
pub use authority::{Action, Authority, Relation};
pub use currency::CurrencyCode;
pub use date::BusinessDate;
pub use decimal::{DECIMAL_DIGITS_MAX, Decimal};
pub use encoding::{BOOKS_VERSION, BooksError};
pub use error::{ValueError, ValueKind};
pub use instruction::{Asset, HolderReference, Instruction, IssueKind, Order, RecordTime, Side};
pub use invariants::Violation;
pub use isin::Isin;
pub use lei::Lei;
pub use member::{Member, NewMember, Role};
pub use outcome::{Code, Outcome, Status};
pub use rows::{
    Account, AccountIndex, CashBalance, CashIndex, Clock, Currency, CurrencyIndex, Holder, Issue,
    IssueIndex, MemberId, Position, PositionIndex, Trade, TradeIndex, TradeStatus,
};
pub use state::{BlockError, State};
pub use table::ROW_VERSION;
pub use tables::TableId;
pub use text::{AccountId, ClientReference, LongName, MemberName};
pub use views::Names;
pub use views::access_log::{ACCESS_ROWS_MAX, AccessLogView, AccessRow, AccessedView};
pub use views::audit::{AuditCounts, AuditView, CurrencyTotals, IssueTotals};
pub use views::certified::CertifiedRows;
pub use views::events::{EVENTS_MAX, Effect, Event, EventCursor, EventRow, EventsView};
pub use views::holdings::{AccountHoldings, AssetCode, AssetHolding, HoldingsView};
pub use views::registry::{RegistryHolders, RegistryRow, RegistryView, ShareholderRow};
pub use views::trades::{TradeRow, TradesView};
