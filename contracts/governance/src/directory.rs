//! What governance is given from outside: who gives an order, and what only the books and the network's CA know.

use sealbook_ledger::AuthorisedContract;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_securities::MemberName;

use crate::Policies;

/// Who gives an order: a member of the books, authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The member's name.
    pub name: &'a str,
    /// Its role.
    pub role: &'a str,
}

/// Somebody who could be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// The name in the certificate.
    pub name: MemberName,
    /// The role in the certificate.
    pub role: String,
}

/// What only the books and the network's CA know. Must be deterministic: the same answers on every node in the same
/// block.
pub trait Directory {
    /// All members in the books with their roles; members that governance removed may be among them.
    fn members(&self) -> Vec<(MemberName, String)>;

    /// Whose chain this is, if it is good at the time of the block and neither its name nor its certificate is in use.
    fn newcomer(&self, chain: &[Vec<u8>]) -> Option<Newcomer>;

    /// Whether secrets can be sealed to this encoded public key of a module.
    fn can_seal_to(&self, module_key: &[u8]) -> bool;

    /// Whether the modules of this version run a contract.
    fn runs(&self, contract: &AuthorisedContract) -> bool;

    /// Whether links of a node with this key are cut, because its certificate was revoked.
    fn is_cut_off(&self, vote_key: &VerifyingKey) -> bool;

    /// Whether these rules are valid under their schema, and lock not all admins out.
    fn accepts(&self, policies: &Policies) -> bool;

    /// What a module states that it runs (SHA-256 of its program), if the statement is its own and about this network.
    fn measurement(&self, module_key: &[u8], statement: &[u8]) -> Option<Digest>;
}
