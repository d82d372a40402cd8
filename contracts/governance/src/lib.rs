//! Decisions about the network itself: who validates, who observes, who is a member, under which parameters.
//!
//! Electors propose [`Change`]s and approve them; [`Governance::apply`] counts their voices. What is decided takes
//! effect together, at the first block of a committee epoch. Every rule stands in `docs/GOVERNANCE.md`.
//!
//! - Orders: [`GovernanceOrder`]. To add a change: a variant at the end of [`Change`], its rules in `order` (what can
//!   be judged without state) and in `draft` (what it does), its row in `docs/GOVERNANCE.md`, its tests.
//! - State: [`Governance`], a pure state machine without clock and I/O; [`Directory`] answers what only the books and
//!   the network's CA know.
//! - Reading: [`GovernanceView`].
//!
//! INVARIANT: the definition of every epoch passes [`sealbook_ledger::EpochDefinition::check_follows`] against the one
//! before. After a crash the state is rebuilt by applying the same blocks again.

#![forbid(unsafe_code)]

mod directory;
mod draft;
mod keys;
mod order;
mod proposal;
mod quota;
mod state;
mod version;
mod view;

pub use directory::{Caller, Directory, Newcomer};
pub use keys::{KeyOffer, KeyRefusal, MAX_OFFERS, Recipients, Rotation};
pub use order::{
    Action, Change, GovernanceOrder, MAX_CHAIN_BYTES, MAX_CHAIN_LENGTH, MAX_POLICY_BYTES,
    Malformed, Policies,
};
pub use proposal::{Failure, Proposal, ProposalStatus, Voice};
pub use quota::QUOTA_RECOVERY_BLOCKS;
pub use state::{
    Effect, Governance, MAX_CLOSED, MAX_OPEN, MAX_OPEN_PER_MEMBER, MAX_OPEN_POLICIES,
    MAX_SCHEDULED, MAX_VOICES, POLICIES_APART,
};
pub use view::GovernanceView;
