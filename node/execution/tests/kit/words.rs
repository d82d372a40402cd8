//! Instructions and questions in few words.

use sealbook_governance::{Action, Change, GovernanceOrder};
use sealbook_protocol::payload::{AsOf, OrderBytes, Question};
use sealbook_securities::{
    AccountId, Asset, ClientReference, HolderReference, Instruction, IssueKind, LongName,
    MemberName, Order, RecordTime, Side,
};

pub const APPLE: &str = "US0378331005";
/// An ISIN with a correct check digit of which there is no issue.
pub const UNKNOWN: &str = "US38259P5089";

pub fn order(reference: &str, instruction: Instruction) -> OrderBytes {
    let reference = ClientReference::new(reference).unwrap();
    OrderBytes::Securities(
        borsh::to_vec(&Order {
            reference,
            instruction,
        })
        .unwrap(),
    )
}

/// An order about the network itself.
pub fn govern(reference: &str, action: Action) -> OrderBytes {
    let reference = ClientReference::new(reference).unwrap();
    OrderBytes::Governance(borsh::to_vec(&GovernanceOrder { reference, action }).unwrap())
}

pub fn propose(change: &Change) -> Action {
    Action::Propose {
        change: change.clone(),
    }
}

pub fn approve(proposal: u64, change: &Change) -> Action {
    Action::Approve {
        proposal,
        digest: change.digest(),
    }
}

pub fn member(name: &str) -> MemberName {
    MemberName::new(name).unwrap()
}

pub fn account(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub fn open_day(date: &str) -> Instruction {
    Instruction::OpenDay {
        date: date.parse().unwrap(),
    }
}

pub fn register() -> Instruction {
    Instruction::RegisterIssue {
        isin: APPLE.parse().unwrap(),
        issuer: MemberName::new("apple").unwrap(),
        name: LongName::new("Apple Inc.").unwrap(),
        kind: IssueKind::Equity,
        decimals: 0,
        currency: "USD".parse().unwrap(),
        treasury: account("APPLE-T"),
    }
}

pub fn issue_units(quantity: &str) -> Instruction {
    Instruction::IssueUnits {
        isin: APPLE.parse().unwrap(),
        quantity: quantity.parse().unwrap(),
    }
}

pub fn open_account(id: &str, attachment: [u8; 32], commitment: [u8; 32]) -> Instruction {
    let holder = HolderReference {
        attachment,
        commitment,
    };
    Instruction::OpenAccount {
        account: account(id),
        holder,
    }
}

pub fn allocate(to: &str, quantity: &str) -> Instruction {
    let quantity = quantity.parse().unwrap();
    Instruction::Allocate {
        isin: APPLE.parse().unwrap(),
        account: account(to),
        quantity,
    }
}

pub fn mint(to: &str, amount: &str) -> Instruction {
    let (currency, amount) = ("USD".parse().unwrap(), amount.parse().unwrap());
    Instruction::MintCash {
        currency,
        account: account(to),
        amount,
    }
}

pub fn transfer(from: &str, to: &str, quantity: &str) -> Instruction {
    let quantity = quantity.parse().unwrap();
    let asset = Asset::Security {
        isin: APPLE.parse().unwrap(),
        quantity,
    };
    Instruction::Transfer {
        asset,
        from: account(from),
        to: account(to),
    }
}

pub fn sell(from: &str, counterparty: &str, quantity: &str, amount: &str) -> Instruction {
    Instruction::RecordTrade {
        side: Side::Sell,
        account: account(from),
        counterparty: MemberName::new(counterparty).unwrap(),
        isin: APPLE.parse().unwrap(),
        quantity: quantity.parse().unwrap(),
        currency: "USD".parse().unwrap(),
        amount: amount.parse().unwrap(),
    }
}

pub fn confirm(trade: &str, into: &str) -> Instruction {
    Instruction::ConfirmTrade {
        trade: ClientReference::new(trade).unwrap(),
        account: account(into),
    }
}

pub fn grant(venue: &str) -> Instruction {
    let venue = MemberName::new(venue).unwrap();
    Instruction::GrantMandate { venue }
}

pub fn revoke(venue: &str) -> Instruction {
    let venue = MemberName::new(venue).unwrap();
    Instruction::RevokeMandate { venue }
}

pub fn locked_in(seller: &str, buyer: &str, quantity: &str, amount: &str) -> Instruction {
    Instruction::LockedInTrade {
        seller_account: account(seller),
        buyer_account: account(buyer),
        isin: APPLE.parse().unwrap(),
        quantity: quantity.parse().unwrap(),
        currency: "USD".parse().unwrap(),
        amount: amount.parse().unwrap(),
    }
}

pub fn dividend(amount_per_unit: &str, record: RecordTime) -> Instruction {
    Instruction::Dividend {
        isin: APPLE.parse().unwrap(),
        amount_per_unit: amount_per_unit.parse().unwrap(),
        currency: "USD".parse().unwrap(),
        record,
    }
}

pub fn split(new: u32, old: u32) -> Instruction {
    Instruction::Split {
        isin: APPLE.parse().unwrap(),
        new,
        old,
        record: RecordTime::Now,
    }
}

pub fn ask_registry(as_of: AsOf) -> Question {
    Question::Registry {
        isin: APPLE.to_owned(),
        as_of,
    }
}

/// Two thousand orders, each of which adds three rows.
pub fn read(question: &Question, disclosed_ms: u64) -> OrderBytes {
    OrderBytes::Read {
        question: borsh::to_vec(question).unwrap(),
        disclosed_ms,
    }
}

pub fn transfers(batch: usize) -> Vec<OrderBytes> {
    let order = |number: usize| {
        let (from, to) = [("A-1", "A-2"), ("A-2", "A-1")][number % 2];
        let reference = format!("{batch}.{number}");
        order(&reference, transfer(from, to, "1"))
    };
    (0..2_000).map(order).collect()
}
