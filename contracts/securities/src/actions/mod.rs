//! The business actions, one module each: what it is, what it checks, what it changes.
//!
//! To add an action: a variant at the end of [`Instruction`] and of [`crate::authority::Action`], a
//! module here with `check` (values that need no state; leave it out if there are none) and `apply`
//! (checks against the books first, changes after), its two lines below, its section in
//! `docs/SECURITIES.md`, its policy, and its tests: outcome by outcome beside the code, a step in
//! `tests/properties.rs`, and somebody else's account and the edges of the integer range in
//! `tests/attacks.rs`.

use crate::decimal::Decimal;
use crate::events::Done;
use crate::instruction::Instruction;
use crate::outcome::Code;
use crate::state::{Caller, State};

mod admit;
mod allocate;
mod confirm_trade;
mod day;
mod dividend;
mod issue_units;
mod locked_in_trade;
mod mandate;
mod mint_cash;
mod open_account;
mod record_trade;
mod register_issue;
mod split;
mod transfer;

/// Checks the values that need no state.
pub(crate) fn check(instruction: &Instruction) -> Result<(), Code> {
    match instruction {
        Instruction::OpenDay { .. }
        | Instruction::OpenAccount { .. }
        | Instruction::ConfirmTrade { .. }
        | Instruction::GrantMandate { .. }
        | Instruction::RevokeMandate { .. } => Ok(()),
        Instruction::RegisterIssue { decimals, .. } => register_issue::check(*decimals),
        Instruction::IssueUnits { quantity, .. } | Instruction::Allocate { quantity, .. } => {
            check_positive(*quantity)
        }
        Instruction::MintCash {
            currency, amount, ..
        } => mint_cash::check(*currency, *amount),
        Instruction::Transfer { asset, .. } => transfer::check(asset),
        Instruction::RecordTrade {
            quantity,
            currency,
            amount,
            ..
        }
        | Instruction::LockedInTrade {
            quantity,
            currency,
            amount,
            ..
        } => record_trade::check(*quantity, *currency, *amount),
        Instruction::Dividend {
            amount_per_unit, ..
        } => check_positive(*amount_per_unit),
        Instruction::Split {
            new, old, record, ..
        } => split::check(*new, *old, *record),
    }
}

/// Carries an instruction out and says what it did, or says why not and changes nothing.
pub(crate) fn apply(
    state: &mut State,
    caller: &Caller<'_>,
    instruction: &Instruction,
) -> Result<Done, Code> {
    match instruction {
        Instruction::OpenDay { date } => day::apply(state, *date),
        Instruction::RegisterIssue {
            isin,
            issuer,
            name,
            kind,
            decimals,
            currency,
            treasury,
        } => {
            let terms = register_issue::Terms {
                isin: *isin,
                issuer: *issuer,
                name,
                kind: *kind,
                decimals: *decimals,
                currency: *currency,
                treasury: *treasury,
            };
            register_issue::apply(state, &terms)
        }
        Instruction::IssueUnits { isin, quantity } => {
            issue_units::apply(state, caller, isin, *quantity)
        }
        Instruction::OpenAccount { account, holder } => {
            open_account::apply(state, caller, *account, *holder)
        }
        Instruction::Allocate {
            isin,
            account,
            quantity,
        } => allocate::apply(state, caller, isin, account, *quantity),
        Instruction::MintCash {
            currency,
            account,
            amount,
        } => mint_cash::apply(state, caller, *currency, account, *amount),
        Instruction::Transfer { asset, from, to } => {
            transfer::apply(state, caller, asset, from, to)
        }
        Instruction::RecordTrade { .. } => record_trade::apply(state, caller, instruction),
        Instruction::ConfirmTrade { trade, account } => {
            confirm_trade::apply(state, caller, trade, account)
        }
        Instruction::Dividend {
            isin,
            amount_per_unit,
            currency,
            record,
        } => dividend::apply(state, caller, isin, *amount_per_unit, *currency, *record),
        Instruction::Split { isin, new, old, .. } => split::apply(state, caller, isin, *new, *old),
        Instruction::GrantMandate { venue } => mandate::apply(state, caller, venue, true),
        Instruction::RevokeMandate { venue } => mandate::apply(state, caller, venue, false),
        Instruction::LockedInTrade { .. } => locked_in_trade::apply(state, caller, instruction),
    }
}

/// Nothing may be moved, paid or created in the amount of zero.
fn check_positive(number: Decimal) -> Result<(), Code> {
    if number.is_zero() {
        Err(Code::Malformed)
    } else {
        Ok(())
    }
}
