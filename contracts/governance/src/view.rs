//! What members see of governance: everything, since it concerns all of them.

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::{EpochDefinition, GovernanceRules};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::MemberName;

use crate::keys::{Recipients, Rotation};
use crate::version::FormatVersion;
use crate::{Policies, Proposal};

/// The state of governance after a block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GovernanceView {
    /// Format version.
    pub version: FormatVersion,
    /// What holds in the present epoch.
    pub definition: EpochDefinition,
    /// What will hold in the next one, once it is fixed.
    pub planned: Option<EpochDefinition>,
    /// The rules in force.
    pub rules: GovernanceRules,
    /// The rules in the next epoch, once it is fixed.
    pub planned_rules: Option<GovernanceRules>,
    /// Proposals, ascending by number: all that are open or scheduled, and the last ones that ended.
    pub proposals: Vec<Proposal>,
    /// Carriers whose quota is cut, with their levels.
    pub quotas: Vec<(VerifyingKey, u8)>,
    /// Members who were removed.
    pub removed: Vec<MemberName>,
    /// To whom the root of the next key epoch is to be handed.
    pub recipients: Recipients,
    /// The new key epoch that is wanted, if one is.
    pub rotation: Option<Rotation>,
    /// Which programs modules to be admitted may run, by what is decided: SHA-256 of each; any if there is none.
    pub measurements: Vec<Digest>,
    /// The rules of what members may do that are in force; nothing if they are those of genesis.
    pub policies: Option<Policies>,
    /// Those that are decided last, in force or not yet; nothing if they are those of genesis.
    pub policies_decided: Option<Policies>,
}
