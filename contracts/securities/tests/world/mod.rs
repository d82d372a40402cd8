//! A small network in memory for tests: members, an authority by role, and short ways to give
//! orders.
//!
//! Every order gets a block of its own. After every order the laws of the books are checked, and
//! after every refusal also that no row changed but the clock, and the list of refusals by one.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support; each test binary uses another part of it"
)]

use sealbook_securities::{
    AccountId, Action, Asset, Authority, ClientReference, Code, Decimal, HolderReference,
    Instruction, Isin, IssueKind, MemberId, MemberName, NewAccess, NewMember, Order, Outcome,
    Reading, RecordTime, RegistryHolders, RegistryView, Relation, Role, Side, State, TableId,
};

pub const APPLE: &str = "US0378331005";
pub const GOOGLE: &str = "US38259P5089";
pub const IBM: &str = "US4592001014";

/// What the default policies permit, in a few lines.
pub struct Permissions(pub Role);

impl Authority for Permissions {
    fn permits(&self, action: Action, relation: Relation) -> bool {
        use Action::{
            AdmitMember, Allocate, ConfirmTrade, Dividend, GrantMandate, IssueUnits, LockedInTrade,
            MintCash, OpenAccount, OpenDay, ReadAudit, ReadHoldings, ReadRegistry,
            ReadShareholders, ReadTrades, RecordTrade, RegisterIssue, RevokeMandate, Split,
            Transfer,
        };
        let read = matches!(
            action,
            ReadShareholders | ReadRegistry | ReadHoldings | ReadTrades | ReadAudit
        );
        let own = relation == Relation::Own;
        if matches!(action, Action::ReadAccessLog | Action::ReadEvents) {
            return own && self.0 != Role::Node;
        }
        match self.0 {
            Role::Admin => {
                let run = matches!(
                    action,
                    AdmitMember
                        | OpenDay
                        | RegisterIssue
                        | IssueUnits
                        | Allocate
                        | Dividend
                        | Split
                        | LockedInTrade
                );
                read || run
            }
            Role::Regulator => read || own && action == Action::DelayDisclosure,
            Role::Firm => {
                own && matches!(
                    action,
                    OpenAccount
                        | Transfer
                        | RecordTrade
                        | ConfirmTrade
                        | GrantMandate
                        | RevokeMandate
                        | ReadHoldings
                        | ReadTrades
                )
            }
            Role::Issuer => own && action == ReadShareholders,
            Role::CashAgent => own && action == MintCash,
            Role::Oracle | Role::Node => false,
        }
    }
}

#[derive(Clone)]
pub struct World {
    pub state: State,
    counter: u64,
}

pub fn isin(text: &str) -> Isin {
    Isin::new(text).unwrap()
}

pub fn account(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

pub fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

pub fn open_day(date: &str) -> Instruction {
    Instruction::OpenDay {
        date: date.parse().unwrap(),
    }
}

pub fn register(number: &str, issuer: &str, decimals: u8, treasury: &str) -> Instruction {
    Instruction::RegisterIssue {
        isin: isin(number),
        issuer: MemberName::new(issuer).unwrap(),
        name: "An issue".parse().unwrap(),
        kind: IssueKind::Equity,
        decimals,
        currency: "USD".parse().unwrap(),
        treasury: account(treasury),
    }
}

pub fn issue_units(number: &str, quantity: &str) -> Instruction {
    Instruction::IssueUnits {
        isin: isin(number),
        quantity: decimal(quantity),
    }
}

pub fn open_account(id: &str) -> Instruction {
    let holder = HolderReference {
        attachment: [1; 32],
        commitment: [2; 32],
    };
    Instruction::OpenAccount {
        account: account(id),
        holder,
    }
}

pub fn allocate(number: &str, to: &str, quantity: &str) -> Instruction {
    Instruction::Allocate {
        isin: isin(number),
        account: account(to),
        quantity: decimal(quantity),
    }
}

pub fn mint(currency: &str, to: &str, amount: &str) -> Instruction {
    Instruction::MintCash {
        currency: currency.parse().unwrap(),
        account: account(to),
        amount: decimal(amount),
    }
}

pub fn transfer(number: &str, from: &str, to: &str, quantity: &str) -> Instruction {
    Instruction::Transfer {
        asset: Asset::Security {
            isin: isin(number),
            quantity: decimal(quantity),
        },
        from: account(from),
        to: account(to),
    }
}

pub fn transfer_cash(currency: &str, from: &str, to: &str, amount: &str) -> Instruction {
    Instruction::Transfer {
        asset: Asset::Cash {
            currency: currency.parse().unwrap(),
            amount: decimal(amount),
        },
        from: account(from),
        to: account(to),
    }
}

pub fn trade(
    side: Side,
    from: &str,
    counterparty: &str,
    number: &str,
    quantity: &str,
    amount: &str,
) -> Instruction {
    Instruction::RecordTrade {
        side,
        account: account(from),
        counterparty: MemberName::new(counterparty).unwrap(),
        isin: isin(number),
        quantity: decimal(quantity),
        currency: "USD".parse().unwrap(),
        amount: decimal(amount),
    }
}

pub fn confirm(reference: &str, with: &str) -> Instruction {
    Instruction::ConfirmTrade {
        trade: ClientReference::new(reference).unwrap(),
        account: account(with),
    }
}

pub fn grant(venue: &str) -> Instruction {
    Instruction::GrantMandate {
        venue: MemberName::new(venue).unwrap(),
    }
}

pub fn revoke(venue: &str) -> Instruction {
    Instruction::RevokeMandate {
        venue: MemberName::new(venue).unwrap(),
    }
}

pub fn locked_in(
    seller: &str,
    buyer: &str,
    number: &str,
    quantity: &str,
    amount: &str,
) -> Instruction {
    locked_in_for(seller, buyer, number, quantity, "USD", amount)
}

pub fn locked_in_for(
    seller: &str,
    buyer: &str,
    number: &str,
    quantity: &str,
    currency: &str,
    amount: &str,
) -> Instruction {
    Instruction::LockedInTrade {
        seller_account: account(seller),
        buyer_account: account(buyer),
        isin: isin(number),
        quantity: decimal(quantity),
        currency: currency.parse().unwrap(),
        amount: decimal(amount),
    }
}

pub fn dividend(number: &str, per_unit: &str, record: RecordTime) -> Instruction {
    Instruction::Dividend {
        isin: isin(number),
        amount_per_unit: decimal(per_unit),
        currency: "USD".parse().unwrap(),
        record,
    }
}

pub fn split(number: &str, new: u32, old: u32) -> Instruction {
    Instruction::Split {
        isin: isin(number),
        new,
        old,
        record: RecordTime::Now,
    }
}

pub fn content(instruction: &Instruction) -> [u8; 32] {
    *blake3::hash(&borsh::to_vec(instruction).unwrap()).as_bytes()
}

pub fn refused(code: Code) -> Outcome {
    Outcome::refused(code)
}

impl World {
    /// Members only, at height 0: `admin`, firms `alpha`, `beta` and `gamma`, issuers `apple` and
    /// `google`, `regulator`, cash agents `bank` and `mint`, `oracle`.
    pub fn new() -> Self {
        let mut state = State::new();
        let members = [
            ("admin", "admin"),
            ("alpha", "firm"),
            ("beta", "firm"),
            ("gamma", "firm"),
            ("apple", "issuer"),
            ("google", "issuer"),
            ("regulator", "regulator"),
            ("bank", "cash-agent"),
            ("mint", "cash-agent"),
            ("oracle", "oracle"),
        ];
        for (number, (name, role)) in (1..).zip(members) {
            let organisation = format!("{name} organisation");
            let (certificate, key) = ([number; 32], [100 + number; 32]);
            let new = NewMember::parse(name, role, &organisation, None, certificate, key).unwrap();
            let outcome = state.admit(None, &Permissions(Role::Node), new, None);
            assert_eq!(outcome, Outcome::SETTLED);
        }
        Self { state, counter: 0 }
    }

    /// With 1,000,000 units of Apple in its treasury `APPLE-T`, accounts `A-1` and `A-2` of alpha,
    /// `B-1` of beta, 1,000 units on `A-1` and 500,000.00 dollars on `B-1`.
    pub fn furnished() -> Self {
        let mut world = Self::new();
        world.settle("admin", register(APPLE, "apple", 0, "APPLE-T"));
        world.settle("admin", issue_units(APPLE, "1000000"));
        world.settle("alpha", open_account("A-1"));
        world.settle("alpha", open_account("A-2"));
        world.settle("beta", open_account("B-1"));
        world.settle("admin", allocate(APPLE, "A-1", "1000"));
        world.settle("bank", mint("USD", "B-1", "500000.00"));
        world
    }

    pub fn id(&self, name: &str) -> MemberId {
        self.state
            .member_by_name(&MemberName::new(name).unwrap())
            .unwrap()
            .0
    }

    pub fn permissions(&self, name: &str) -> Permissions {
        Permissions(self.state.member(self.id(name)).unwrap().role)
    }

    pub fn next_block(&mut self) {
        let height = self.state.height() + 1;
        self.state.begin_block(height, height * 1000).unwrap();
    }

    pub fn next_block_after(&mut self, milliseconds: u64) {
        let (height, time_ms) = (self.state.height() + 1, self.state.time_ms());
        self.state
            .begin_block(height, time_ms + milliseconds)
            .unwrap();
    }

    /// Gives an order under a fresh reference, in a block of its own.
    pub fn run(&mut self, name: &str, instruction: Instruction) -> Outcome {
        self.counter += 1;
        let reference = format!("~{}", self.counter);
        self.order(name, &reference, instruction)
    }

    /// Gives an order, in a block of its own.
    pub fn order(&mut self, name: &str, reference: &str, instruction: Instruction) -> Outcome {
        self.next_block();
        self.order_in_block(name, reference, instruction)
    }

    /// Gives an order in the current block and checks all laws.
    pub fn order_in_block(
        &mut self,
        name: &str,
        reference: &str,
        instruction: Instruction,
    ) -> Outcome {
        let before = self.fingerprint();
        let refusals = self.state.table_len(TableId::Refusals);
        let digest = content(&instruction);
        let reference = ClientReference::new(reference).unwrap();
        let order = Order {
            reference,
            instruction,
        };
        let (id, permissions) = (self.id(name), self.permissions(name));
        let outcome = self.state.apply(id, &permissions, &order, digest);
        self.state.check_invariants().unwrap();
        if !outcome.is_accepted() {
            assert_eq!(
                before,
                self.fingerprint(),
                "a refused order changed rows: {order:?}"
            );
            assert_eq!(self.state.table_len(TableId::Refusals), refusals + 1);
        }
        assert_eq!(
            outcome.code.map(Code::status),
            outcome.code.map(|_| outcome.status)
        );
        outcome
    }

    #[track_caller]
    pub fn settle(&mut self, name: &str, instruction: Instruction) {
        let outcome = self.run(name, instruction.clone());
        assert_eq!(outcome, Outcome::SETTLED, "{instruction:?}");
    }

    #[track_caller]
    pub fn refuse(&mut self, name: &str, instruction: Instruction, code: Code) {
        let outcome = self.run(name, instruction.clone());
        assert_eq!(outcome, Outcome::refused(code), "{instruction:?}");
    }

    /// A hash of all rows but the clock and the refusals.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::new();
        for table in TableId::ALL
            .into_iter()
            .filter(|table| !matches!(table, TableId::Clock | TableId::Refusals))
        {
            hasher.update(&self.state.table_len(table).to_le_bytes());
            for row in 0..self.state.table_len(table) {
                bytes.clear();
                self.state.write_row_bytes(table, row, &mut bytes);
                assert!(!bytes.is_empty());
                hasher.update(&bytes);
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// The quantity or amount that an account holds, as the holdings view shows it; `0` for
    /// nothing.
    pub fn held(&self, id: &str, asset: &str) -> String {
        let admin = self.id("admin");
        let view = self
            .state
            .holdings(admin, &Permissions(Role::Admin), &|_| None)
            .unwrap();
        let row = view
            .accounts
            .iter()
            .find(|row| row.account.as_str() == id)
            .unwrap();
        let holding = row
            .assets
            .iter()
            .find(|holding| holding.asset.as_str() == asset);
        holding.map_or_else(|| "0".to_owned(), |holding| holding.quantity.to_string())
    }

    /// Puts a reading of others' rows on record, in the present block.
    pub fn read(&mut self, name: &str, reading: Reading) {
        let (reader, permissions) = (self.id(name), self.permissions(name));
        let outcome = self.state.put_on_record(&NewAccess {
            reader,
            certificate: [3; 32],
            reading,
            question: [4; 32],
            disclosed_ms: 0,
            authority: &permissions,
        });
        assert_eq!(outcome, Outcome::SETTLED);
    }

    pub fn registry(
        &self,
        name: &str,
        number: &str,
        as_of: RecordTime,
    ) -> Result<RegistryView, Outcome> {
        let holders = |index| {
            let account = self.state.account(index).unwrap();
            Some(format!("Holder of {}", account.id))
        };
        let (id, permissions) = (self.id(name), self.permissions(name));
        self.state
            .registry(id, &permissions, &isin(number), as_of, &holders)
    }

    /// The full registry as `account=quantity` texts after `issued` and `treasury`.
    pub fn registry_text(&self, number: &str, as_of: RecordTime) -> String {
        let view = self.registry("admin", number, as_of).unwrap();
        let RegistryHolders::Full(rows) = view.holders else {
            panic!("not the full view")
        };
        let rows: Vec<_> = rows
            .iter()
            .map(|row| format!("{}={}", row.account, row.quantity))
            .collect();
        let (height, issued, treasury) = (view.as_of_height, view.issued, view.treasury);
        format!("{height}: {issued} = {treasury} + [{}]", rows.join(" "))
    }
}
