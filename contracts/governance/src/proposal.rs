//! Proposals, the voices for and against them, and how they end.

use std::collections::BTreeMap;
use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::Digest;
use sealbook_securities::MemberName;

use crate::{Change, Policies};

/// What an elector last said about a proposal.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Voice {
    /// For it, or against it.
    pub approves: bool,
    /// The elector's role when it said so.
    pub role: String,
    /// How often it has said something.
    pub times: u32,
}

/// Why a change cannot be made together with what is in force or decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum Failure {
    /// The name or the key is another node's, or this node has a seat already.
    #[error("the name or the key of this node has a seat already")]
    SeatTaken,
    /// There is no node of this name, or not of this kind.
    #[error("there is no such node")]
    SeatUnknown,
    /// The committee would be empty.
    #[error("the last validator cannot be removed")]
    LastValidator,
    /// There are as many seats as there can be.
    #[error("all seats are taken")]
    SeatsFull,
    /// Nothing can be sealed to the module's key.
    #[error("the module key is no public key")]
    ModuleKey,
    /// The certificate chain is not good, or its name or certificate is in use.
    #[error("the certificates are not good, or their name is in use")]
    Certificates,
    /// Somebody of this name is a member, or will be.
    #[error("there is a member of this name already")]
    MemberTaken,
    /// There is no member of this name, or not any more.
    #[error("there is no such member")]
    MemberUnknown,
    /// Nothing could be decided any more.
    #[error("fewer electors would be left than approvals are needed")]
    ElectorsTooFew,
    /// The epoch could not be as it would be defined.
    #[error("the next epoch could not be defined so")]
    Definition,
    /// Nothing can be sealed to the key of an auditor or of a holder of recovery shares.
    #[error("the key of an auditor or a recovery holder is no public key of the right kind")]
    HolderKey,
    /// The module does not state, with its own signature, that it runs a program that the members agreed on.
    #[error(
        "the module states nothing that it signed, or runs a program that the members have not agreed on"
    )]
    Measurement,
    /// A contract of the registry is none that modules run, or not in this version; or parameters come with another
    /// registry than that which is in force or decided.
    #[error(
        "a contract is none that modules of this version run, or is not authorised by a change of its own"
    )]
    Contract,
    /// A key epoch is about to begin, and modules are admitted again when it has begun.
    #[error("a key epoch is about to begin; try again when it has begun")]
    KeyEpoch,
    /// More validators would be cut off, because their certificates are revoked, than may fail.
    #[error("more validators whose certificates are revoked than may fail")]
    SeatsCutOff,
    /// The rules are not valid under their schema, or no admin could let members in.
    #[error("the rules are not plain, not valid under their schema, or lock all admins out")]
    Policies,
    /// Other rules have been decided on since they were compared with those that they take the place of.
    #[error("other rules have been decided on meanwhile")]
    OtherPolicies,
}

/// Where a proposal stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposalStatus {
    /// Voices are taken.
    Open,
    /// Decided.
    Scheduled {
        /// The committee epoch that it takes effect in.
        epoch: u64,
        /// That epoch's first block.
        height: u64,
    },
    /// In effect.
    Effective {
        /// The first committee epoch that it holds in.
        epoch: u64,
    },
    /// Enough approvals are out of reach.
    Rejected,
    /// Taken back.
    Withdrawn,
    /// Not decided in time.
    Expired,
    /// Decided, but in conflict with what was decided before.
    Failed(Failure),
}

impl ProposalStatus {
    /// The word that interfaces show.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Scheduled { .. } => "scheduled",
            Self::Effective { .. } => "effective",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether nothing happens to the proposal any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        !matches!(self, Self::Open | Self::Scheduled { .. })
    }
}

impl fmt::Display for ProposalStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Proposal {
    /// Whether the text of rules is kept for it.
    pub(crate) const fn holds_text(&self) -> bool {
        matches!(self.change, Change::SetPolicies(_)) && !self.status.is_closed()
    }

    /// The text of rules is not kept once the proposal has ended: where it holds, it is kept as what is in force.
    pub(crate) fn forget_text(&mut self) {
        if let (true, Change::SetPolicies(policies)) = (self.status.is_closed(), &mut self.change) {
            *policies = Policies::forgotten();
        }
    }
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Its number; the first is 1.
    pub id: u64,
    /// What is proposed. Rules are left out once the proposal has ended.
    pub change: Change,
    /// [`Change::digest`] of it, as it was proposed.
    pub digest: Digest,
    /// Whose it is.
    pub proposer: MemberName,
    /// Ledger time of the block that opened it, Unix milliseconds.
    pub proposed_ms: u64,
    /// The ledger time at which it is no longer open, Unix milliseconds.
    pub expires_ms: u64,
    /// What electors said, by name.
    pub voices: BTreeMap<MemberName, Voice>,
    /// Where it stands.
    pub status: ProposalStatus,
    /// Ledger time of the block that decided or ended it.
    pub decided_ms: Option<u64>,
}
