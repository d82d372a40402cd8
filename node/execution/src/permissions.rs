//! The bridge between the contract's questions and the policies that answer them.

use sealbook_policies::{PolicySet, Relation as PolicyRelation, Request};
use sealbook_securities::{Action, Authority, Relation};

/// What the policies permit one member.
pub struct Permissions<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// The member's name.
    pub member: &'a str,
    /// The member's role.
    pub role: &'a str,
}

impl Authority for Permissions<'_> {
    fn permits(&self, action: Action, relation: Relation) -> bool {
        let relation = match relation {
            Relation::Own => PolicyRelation::Own,
            Relation::Other => PolicyRelation::Other,
        };
        let request = Request {
            member: self.member,
            role: self.role,
            action: action.as_str(),
            relation,
        };
        self.policies.decide(&request).allowed
    }
}

/// An authority that permits nothing.
pub struct Nobody;

impl Authority for Nobody {
    fn permits(&self, _: Action, _: Relation) -> bool {
        false
    }
}
