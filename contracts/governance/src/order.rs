//! Orders: what electors ask.
//!
//! ```text
//! order  = reference | action
//! action = 0 change | 1 proposal u64, digest 32 | 2 proposal u64 | 3 proposal u64
//! ```
//!
//! Borsh throughout. The order of the variants is part of the format: new ones go to the end.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{
    AuthorisedContract, EpochError, GovernanceRules, KeyHolder, ObserverSeat, Parameters,
    PolicyText, Recovery, ValidatorSeat, check_contracts, check_holders, check_measurements,
    check_node,
};
use sealbook_primitives::hash::{Digest, hash};
use sealbook_securities::{ClientReference, MemberName, Role};

/// The most certificates in a chain.
pub const MAX_CHAIN_LENGTH: usize = 4;
/// The most bytes of the certificates in a chain, together.
pub const MAX_CHAIN_BYTES: usize = 8_192;

/// The most bytes of rules and their schema, together.
pub const MAX_POLICY_BYTES: usize = 32 * 1_024;

/// The numbers of the suites that envelopes can be sealed with.
const SUITES: [u8; 2] = [1, 2];
const MAX_KEY_BYTES: usize = 4_096;
const MAX_STATEMENT_BYTES: usize = 1_024;

const CHANGE_DOMAIN: &str = "sealbook 2026 governance change v1";
const POLICIES_DOMAIN: &str = "sealbook 2026 governance policies v1";
const ACTION_DOMAIN: &str = "sealbook 2026 governance action v1";

/// Why a change is no change, whatever the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No certificates, too many, or too large ones.
    #[error("a certificate chain has 1 to 4 certificates and 8192 bytes at most")]
    Chain,
    /// A role that no member can have.
    #[error("`{0}` is not a role")]
    Role(String),
    /// A suite that there is not.
    #[error("{0} is not the number of a suite")]
    Suite(u8),
    /// A key that is too long to be one.
    #[error("a module key has 4096 bytes at most")]
    Key,
    /// A statement that is too long to be one.
    #[error("a module's statement has 1024 bytes at most")]
    Statement,
    /// No schema, or too much text.
    #[error("rules and their schema have 32768 bytes at most, and there is a schema")]
    Policies,
    /// A seat, an address, a parameter or a rule is outside its bounds.
    #[error(transparent)]
    Bounds(#[from] EpochError),
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// Admits a member.
    AddMember {
        /// Its certificate chain (DER, leaf first).
        chain: Vec<Vec<u8>>,
    },
    /// Ends a membership.
    RemoveMember {
        /// The member.
        name: MemberName,
    },
    /// Gives a seat in the committee.
    AddValidator(
        ValidatorSeat,
        /// What its module states about itself; nothing if it states nothing.
        Vec<u8>,
    ),
    /// Takes a seat in the committee away.
    RemoveValidator {
        /// The node.
        name: String,
    },
    /// Admits an observer, with or without a module of its own.
    AddObserver(
        ObserverSeat,
        /// As above.
        Vec<u8>,
    ),
    /// Sends an observer away.
    RemoveObserver {
        /// The node.
        name: String,
    },
    /// Changes where a validator or an observer listens.
    MoveNode {
        /// The node.
        name: String,
        /// Its new address, `address:port`.
        address: String,
    },
    /// Changes the parameters, all at once.
    SetParameters(Parameters),
    /// Changes the rules of governance, all at once.
    SetRules(GovernanceRules),
    /// Asks for a new key epoch.
    RotateKeys {
        /// Number of the suite that envelopes are sealed with from then on; the present one if not given.
        suite: Option<u8>,
    },
    /// Changes who audits, all at once, and asks for a new key epoch.
    SetAuditors(Vec<KeyHolder>),
    /// Changes who holds recovery shares, all at once, and asks for a new key epoch.
    SetRecovery(Recovery),
    /// Gives a node's module another key, and asks for a new key epoch.
    ReplaceModule {
        /// The node.
        name: String,
        /// The public key of its module, encoded.
        module_key: Vec<u8>,
        /// As above.
        statement: Vec<u8>,
    },
    /// Changes which programs modules to be admitted may run, all at once: SHA-256 of each. Any if there is none.
    SetMeasurements(Vec<Digest>),
    /// Changes which contracts are authorised, all at once.
    SetContracts(Vec<AuthorisedContract>),
    /// Changes which rules say what members may do, all at once.
    SetPolicies(Policies),
}

/// Rules, and the schema that they are valid under. Those of a proposal that ended are not kept: there are none then.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Policies {
    /// [`Policies::digest`] of those that they take the place of, decided last, in force or not yet; [`Digest::ZERO`] for those
    /// of genesis. So nobody approves a change of rules that are others by then.
    pub replaces: Digest,
    /// The schema.
    pub schema: String,
    /// The rules, by file.
    pub files: Vec<PolicyText>,
}

impl Policies {
    /// What is left of those of a proposal that ended.
    #[must_use]
    pub const fn forgotten() -> Self {
        Self {
            replaces: Digest::ZERO,
            schema: String::new(),
            files: Vec::new(),
        }
    }

    /// The hash by which others that take their place name them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(POLICIES_DOMAIN, &[&borsh::to_vec(self).unwrap_or_default()])
    }

    /// Whether they are those of a proposal that ended.
    #[must_use]
    pub const fn is_forgotten(&self) -> bool {
        self.schema.is_empty()
    }

    fn check(&self) -> Result<(), Malformed> {
        let files = self.files.iter();
        let bytes: usize = files
            .map(|file| file.name.len().saturating_add(file.text.len()))
            .sum();
        let bytes = bytes.saturating_add(self.schema.len());
        if self.schema.is_empty() || bytes > MAX_POLICY_BYTES {
            return Err(Malformed::Policies);
        }
        Ok(())
    }
}

impl Change {
    /// The hash by which an approval names the change.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(CHANGE_DOMAIN, &[&borsh::to_vec(self).unwrap_or_default()])
    }

    /// The key of the module that the change admits.
    pub(crate) const fn module_key(&self) -> Option<&Vec<u8>> {
        match self {
            Self::AddValidator(seat, _) => Some(&seat.module_key),
            Self::AddObserver(seat, _) => seat.module_key.as_ref(),
            Self::ReplaceModule { module_key, .. } => Some(module_key),
            _ => None,
        }
    }

    /// What the module that the change admits states about itself.
    const fn statement(&self) -> Option<&Vec<u8>> {
        match self {
            Self::AddValidator(_, statement)
            | Self::AddObserver(_, statement)
            | Self::ReplaceModule { statement, .. } => Some(statement),
            _ => None,
        }
    }

    /// The kind of change, as interfaces show it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AddMember { .. } => "add-member",
            Self::RemoveMember { .. } => "remove-member",
            Self::AddValidator(_, _) => "add-validator",
            Self::RemoveValidator { .. } => "remove-validator",
            Self::AddObserver(_, _) => "add-observer",
            Self::RemoveObserver { .. } => "remove-observer",
            Self::MoveNode { .. } => "move-node",
            Self::SetParameters(_) => "set-parameters",
            Self::SetRules(_) => "set-rules",
            Self::RotateKeys { .. } => "rotate-keys",
            Self::SetAuditors(_) => "set-auditors",
            Self::SetRecovery(_) => "set-recovery",
            Self::ReplaceModule { .. } => "replace-module",
            Self::SetMeasurements(_) => "set-measurements",
            Self::SetContracts(_) => "set-contracts",
            Self::SetPolicies(_) => "set-policies",
        }
    }

    /// Checks what needs no state, as [`crate::Governance::apply`] does; client programs may do so before they send.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Malformed> {
        if self
            .statement()
            .is_some_and(|statement| statement.len() > MAX_STATEMENT_BYTES)
        {
            return Err(Malformed::Statement);
        }
        match self {
            Self::AddMember { chain } => {
                let bytes: usize = chain.iter().map(Vec::len).sum();
                let short = (1..=MAX_CHAIN_LENGTH).contains(&chain.len());
                if !short || bytes > MAX_CHAIN_BYTES || chain.iter().any(Vec::is_empty) {
                    return Err(Malformed::Chain);
                }
            }
            Self::AddValidator(seat, _) => seat.check()?,
            Self::AddObserver(seat, _) => seat.check()?,
            Self::MoveNode { name, address } => check_node(name, address)?,
            Self::SetParameters(parameters) => parameters.check()?,
            Self::SetRules(rules) => {
                rules.check()?;
                let unknown = |role: &&String| role.parse::<Role>().is_err();
                if let Some(role) = rules.electors.iter().find(unknown) {
                    return Err(Malformed::Role(role.clone()));
                }
            }
            Self::RotateKeys { suite: Some(suite) } if !SUITES.contains(suite) => {
                return Err(Malformed::Suite(*suite));
            }
            Self::SetAuditors(auditors) => check_holders("auditors", auditors)?,
            Self::SetRecovery(recovery) => recovery.check()?,
            Self::SetMeasurements(measurements) => check_measurements(measurements)?,
            Self::SetContracts(contracts) => check_contracts(contracts)?,
            Self::SetPolicies(policies) => policies.check()?,
            Self::ReplaceModule { module_key, .. } if module_key.len() > MAX_KEY_BYTES => {
                return Err(Malformed::Key);
            }
            // Whether there is somebody of this name, the state decides.
            Self::RemoveMember { .. }
            | Self::RemoveValidator { .. }
            | Self::RemoveObserver { .. }
            | Self::RotateKeys { .. }
            | Self::ReplaceModule { .. } => {}
        }
        Ok(())
    }
}

/// What an elector does.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// Opens a proposal, and approves it.
    Propose {
        /// What is proposed.
        change: Change,
    },
    /// Is for a proposal.
    Approve {
        /// Its number.
        proposal: u64,
        /// [`Change::digest`] of the change that the elector saw.
        digest: Digest,
    },
    /// Is against a proposal.
    Reject {
        /// Its number.
        proposal: u64,
    },
    /// Takes an own proposal back.
    Withdraw {
        /// Its number.
        proposal: u64,
    },
}

impl Action {
    /// What a remembered reference stands for.
    pub(crate) fn content(&self) -> Digest {
        hash(ACTION_DOMAIN, &[&borsh::to_vec(self).unwrap_or_default()])
    }
}

/// An action under its submitter's reference.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GovernanceOrder {
    /// Unique per submitter: the same reference with the same content is answered as before.
    pub reference: ClientReference,
    /// What is asked.
    pub action: Action,
}
