//! The policy engine: may a caller of this role do this, to what is its own or another's?
//!
//! ```text
//! schema.cedarschema + *.cedar --load--> every role x action x {own, other} --> table
//!                                                                                 |
//!                     request {member, role, action, relation} ---decide--------> Decision
//! ```
//!
//! The rules are written in Cedar, one file a role, so that a lawyer can read them.
//! [`PolicySet::load`] validates them strictly against the schema and evaluates Cedar once for
//! every combination that can be asked; [`PolicySet::decide`] looks the answer up. It therefore
//! costs no evaluation, takes no lock, and gives the same answer on every node.
//!
//! Which account, trade or list belongs to whom is not decided here: the contract's code finds the
//! owner and says [`Relation::Own`] or [`Relation::Other`].
//!
//! Invariants:
//! - What no rule permits is denied, and so is a role or an action that the schema does not know.
//! - A rule is never dropped: a text that cannot be read, that is not valid under the schema, or
//!   whose answer would depend on more than role, action and relation makes the whole load fail.
//! - The texts' order, the members' names and the calls made before do not influence a decision.
//!
//! There is no state and no input or output, so that nothing is left to repair after a crash.
#![forbid(unsafe_code)]

pub mod action;
pub mod cases;
mod defaults;
mod error;
pub mod plain;
mod read;
mod table;

use std::collections::BTreeMap;

pub use defaults::{DEFAULT_FILES, DEFAULT_SCHEMA};
pub use error::PolicyError;

/// Most files in a policy set.
pub const FILES_MAX: usize = 64;
/// Longest policy file or schema, in bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024;
/// Most rules in a policy set.
pub const RULES_MAX: usize = 1024;
/// Most actions in a schema.
pub const ACTIONS_MAX: usize = 256;

/// The roles that a certificate can carry, as rules spell them.
pub const ROLES: [&str; 7] = [
    "admin",
    "firm",
    "issuer",
    "regulator",
    "cash-agent",
    "oracle",
    "node",
];

/// Whose the thing is that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The caller owns it.
    Own,
    /// Another member owns it, or nobody does.
    Other,
}

/// One question to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The caller's short name. It has no influence on the decision; it is here so that whoever
    /// asks has to know on whose behalf.
    pub member: &'a str,
    /// The caller's role, from its certificate: one of [`ROLES`].
    pub role: &'a str,
    /// What the caller wants to do: one of the names in [`action`].
    pub action: &'a str,
    /// Whether it is the caller's own.
    pub relation: Relation,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// True when a rule permits the request and none forbids it.
    pub allowed: bool,
    /// The ids of the rules that decided, in byte order: those that permit when allowed, those that
    /// forbid when not. Empty when it was denied because no rule permits it.
    pub reasons: Vec<String>,
}

/// One rule, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its `@id`.
    pub id: String,
    /// The name of the file that it stands in.
    pub file: String,
    /// What it says, as it is written, without its comments.
    pub text: String,
}

/// A validated set of rules with all its decisions.
#[derive(Clone, Debug)]
pub struct PolicySet {
    rules: Vec<Rule>,
    decisions: BTreeMap<&'static str, BTreeMap<String, Cell>>,
    unknown: Decision,
}

/// The two decisions for one role and one action.
#[derive(Clone, Debug)]
struct Cell {
    own: Decision,
    other: Decision,
}

impl PolicySet {
    /// Reads `files`, which are pairs of a file name and its text, and works out every decision.
    ///
    /// # Errors
    /// Whatever keeps a text from being read, from being valid under the schema, or from being
    /// decided by role, action and relation alone. The error names the file, and the line or the
    /// rule.
    pub fn load(schema: &str, files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let schema = read::schema(schema)?;
        let read = read::rules(&schema, files)?;
        let decisions = table::work_out(&schema, &read.policies)?;
        let unknown = Decision {
            allowed: false,
            reasons: Vec::new(),
        };
        Ok(Self {
            rules: read.rules,
            decisions,
            unknown,
        })
    }

    /// As [`PolicySet::load`], of rules that a member sent: they are plain, under a schema that is known good, and admins can let
    /// members in.
    ///
    /// # Errors
    /// As [`plain::check`], [`PolicySet::load`] and [`PolicySet::check_admins`].
    pub fn load_plain(schema: &str, files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        plain::check(files)?;
        let set = Self::load(schema, files)?;
        set.check_admins()?;
        Ok(set)
    }

    /// The rules that come with this version.
    ///
    /// # Errors
    /// None in practice: a test loads them.
    pub fn load_default() -> Result<Self, PolicyError> {
        Self::load(DEFAULT_SCHEMA, DEFAULT_FILES)
    }

    /// Whether an admin can let members in under these rules: where none can, nobody could ever replace an admin.
    ///
    /// # Errors
    /// [`PolicyError::LocksOut`].
    pub fn check_admins(&self) -> Result<(), PolicyError> {
        let (role, action) = ("admin", action::ADMIT_MEMBER);
        let decision = self.decide(&Request {
            member: "caller",
            role,
            action,
            relation: Relation::Own,
        });
        if decision.allowed {
            return Ok(());
        }
        Err(PolicyError::LocksOut {
            action: action.to_owned(),
            by: decision.reasons.clone(),
        })
    }

    /// Decides a request. A role or an action that is not known is denied, without a reason.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> &Decision {
        match self
            .decisions
            .get(request.role)
            .and_then(|actions| actions.get(request.action))
        {
            None => &self.unknown,
            Some(cell) => match request.relation {
                Relation::Own => &cell.own,
                Relation::Other => &cell.other,
            },
        }
    }

    /// The rules, by file in the order given, then in the order written.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The actions that the schema knows, in byte order.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.decisions
            .values()
            .next()
            .into_iter()
            .flat_map(|actions| actions.keys().map(String::as_str))
    }
}
