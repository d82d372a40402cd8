//! A small network for tests: four electors, four validators, one observer, and books that are a list of names.

#![allow(dead_code, reason = "every test crate uses its own part of the world")]

use std::collections::BTreeMap;

use sealbook_governance::{
    Action, Caller, Change, Directory, Effect, Governance, GovernanceOrder, Newcomer, Policies,
    Proposal,
};
use sealbook_ledger::{
    AuthorisedContract, EpochDefinition, Genesis, GovernanceRules, ObserverSeat, OpeningEpoch,
    Parameters, Recovery, ValidatorSeat,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_primitives::signature::{SigningKey, VerifyingKey};
use sealbook_securities::{ClientReference, Code, MemberName, Outcome};

pub const ELECTORS: [&str; 4] = ["anna", "bela", "carl", "dora"];
/// Blocks in an epoch of the test network.
pub const EPOCH: u64 = 20;

pub fn key(number: u8) -> VerifyingKey {
    SigningKey::from_seed(hash("sealbook test governance key", &[&[number]]).0).verifying_key()
}

pub fn validator(number: u8) -> ValidatorSeat {
    ValidatorSeat {
        name: format!("node-{number}"),
        vote_key: key(number),
        module_key: vec![number; 37],
        address: format!("127.0.0.1:{}", 4_000 + u32::from(number)),
    }
}

pub fn observer(number: u8) -> ObserverSeat {
    let ValidatorSeat {
        name,
        vote_key,
        address,
        ..
    } = validator(number);
    ObserverSeat {
        name,
        vote_key,
        module_key: None,
        address,
    }
}

pub fn parameters() -> Parameters {
    Parameters {
        epoch_blocks: EPOCH as u32,
        ..Parameters::default()
    }
}

pub fn rules(approvals: u16) -> GovernanceRules {
    GovernanceRules {
        electors: vec!["admin".to_owned()],
        approvals,
        proposal_life_ms: 1_000,
    }
}

pub fn first_epoch() -> EpochDefinition {
    let genesis = Genesis {
        version: Genesis::VERSION,
        network_name: "test".to_owned(),
        created_ms: 0,
        certificate_roots: vec![vec![1]],
        validators: (0..4).map(validator).collect(),
        observers: vec![observer(9)],
        opening_epochs: vec![OpeningEpoch {
            key_epoch: 0,
            public_key: vec![2; 37],
        }],
        audit_recipients: Vec::new(),
        admins: vec![vec![vec![3]]],
        policy_schema: String::new(),
        policies: Vec::new(),
        parameters: parameters(),
        governance: rules(2),
        recovery: Recovery::default(),
        share_commitments: Vec::new(),
        module_measurements: Vec::new(),
    };
    genesis.first_epoch()
}

/// The books: names and roles. A chain is `name:role` in its first certificate.
#[derive(Clone, Default)]
pub struct Books {
    pub members: BTreeMap<String, String>,
    pub cut_off: Vec<VerifyingKey>,
    pub accepts_none: bool,
}

impl Directory for Books {
    fn members(&self) -> Vec<(MemberName, String)> {
        let members = self.members.iter();
        members
            .map(|(name, role)| (MemberName::new(name).unwrap(), role.clone()))
            .collect()
    }

    fn newcomer(&self, chain: &[Vec<u8>]) -> Option<Newcomer> {
        let text = std::str::from_utf8(chain.first()?).ok()?;
        let (name, role) = text.split_once(':')?;
        if self.members.contains_key(name) {
            return None;
        }
        Some(Newcomer {
            name: MemberName::new(name).ok()?,
            role: role.to_owned(),
        })
    }

    fn can_seal_to(&self, module_key: &[u8]) -> bool {
        module_key.len() == 37
    }

    fn is_cut_off(&self, vote_key: &VerifyingKey) -> bool {
        self.cut_off.contains(vote_key)
    }

    /// Rules whose schema is not `bad`.
    fn accepts(&self, policies: &Policies) -> bool {
        policies.schema != "bad" && !self.accepts_none
    }

    fn runs(&self, contract: &AuthorisedContract) -> bool {
        contract.version == 1
    }

    /// A statement is the key, and then the measurement once for each of its bytes.
    fn measurement(&self, module_key: &[u8], statement: &[u8]) -> Option<Digest> {
        let byte = *statement.strip_prefix(module_key)?.first()?;
        Some(Digest([byte; 32]))
    }
}

pub struct World {
    pub governance: Governance,
    pub books: Books,
    pub height: u64,
    pub time_ms: u64,
    pub effects: Vec<Effect>,
    references: u32,
}

impl World {
    pub fn new(approvals: u16) -> Self {
        let mut books = Books::default();
        for name in ELECTORS {
            books.members.insert(name.to_owned(), "admin".to_owned());
        }
        books.members.insert("firm".to_owned(), "firm".to_owned());
        Self {
            governance: Governance::new(
                rules(approvals),
                first_epoch(),
                Vec::new(),
                Recovery::default(),
                Vec::new(),
            ),
            books,
            height: 1,
            time_ms: 100,
            effects: Vec::new(),
            references: 0,
        }
    }

    /// Gives an order under a reference.
    pub fn order(&mut self, name: &str, reference: &str, action: Action) -> Outcome {
        let role = self.books.members.get(name).cloned().unwrap_or_default();
        let order = GovernanceOrder {
            reference: ClientReference::new(reference).unwrap(),
            action,
        };
        let caller = Caller { name, role: &role };
        self.governance
            .apply(&caller, &order, &self.books, self.time_ms)
    }

    /// Gives an order under a reference that was not used before.
    pub fn act(&mut self, name: &str, action: Action) -> Outcome {
        self.references += 1;
        let reference = format!("R{}", self.references);
        self.order(name, &reference, action)
    }

    pub fn propose(&mut self, name: &str, change: Change) -> Outcome {
        self.act(name, Action::Propose { change })
    }

    pub fn approve(&mut self, name: &str, proposal: u64) -> Outcome {
        let digest = self.proposal(proposal).digest;
        self.act(name, Action::Approve { proposal, digest })
    }

    pub fn reject(&mut self, name: &str, proposal: u64) -> Outcome {
        self.act(name, Action::Reject { proposal })
    }

    pub fn withdraw(&mut self, name: &str, proposal: u64) -> Outcome {
        self.act(name, Action::Withdraw { proposal })
    }

    pub fn proposal(&self, id: u64) -> Proposal {
        let proposals = self.governance.view().proposals;
        proposals.into_iter().find(|one| one.id == id).unwrap()
    }

    pub fn last(&self) -> Proposal {
        self.governance.view().proposals.pop().unwrap()
    }

    pub fn end_block(&mut self) {
        self.end_block_with(&[]);
    }

    pub fn end_block_with(&mut self, carried: &[(VerifyingKey, u32, u32)]) {
        let boundary = self.height == self.governance.definition().last_height;
        self.governance
            .end_block(self.height, self.time_ms, carried);
        self.governance.take_new_modules();
        self.height += 1;
        if boundary {
            self.effects = self.governance.begin_epoch();
            for effect in self.effects.clone() {
                if let Effect::AdmitMember { chain } = effect
                    && let Some(one) = self.books.newcomer(&chain)
                {
                    let name = one.name.as_str().to_owned();
                    self.books.members.insert(name, one.role);
                }
            }
        }
    }

    /// Ends blocks up to and including this height.
    pub fn end_blocks_to(&mut self, height: u64) {
        while self.height <= height {
            self.end_block();
        }
    }

    /// Ends blocks until the next epoch has begun.
    pub fn next_epoch(&mut self) {
        let last = self.governance.definition().last_height;
        self.end_blocks_to(last);
    }
}

pub fn refused(code: Code) -> Outcome {
    Outcome::refused(code)
}

pub fn member(name: &str) -> MemberName {
    MemberName::new(name).unwrap()
}

pub fn chain(name: &str, role: &str) -> Change {
    Change::AddMember {
        chain: vec![format!("{name}:{role}").into_bytes(), vec![7; 100]],
    }
}

pub fn move_node(name: &str, address: &str) -> Change {
    Change::MoveNode {
        name: name.to_owned(),
        address: address.to_owned(),
    }
}
