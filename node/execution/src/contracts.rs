//! Which contract is whose: the registry's entries that this engine runs, and for each contract keys of its data alone.
//!
//! An order or a question names its contract by its kind. Before any of it is read, the engine looks into the registry of
//! the present committee epoch; what is addressed to a contract that is not authorised is refused unread. A contract is
//! handed its own state and a view of what it may know of the caller, never keys; what keeps its data under keys takes a
//! [`LeafKey`] of that contract, which is another type for every contract.

use std::marker::PhantomData;

use sealbook_ledger::AuthorisedContract;
use sealbook_primitives::secret::{Secret32, derive};
use sealbook_protocol::payload::{OrderBytes, Question};

use crate::error::EngineError;

const LEAF_LABEL: &str = "sealbook 2026 contract leaf key v1";

/// A contract that this engine runs.
pub trait Contract {
    /// Its name in the registry.
    const NAME: &'static str;
    /// The version of the rules that this engine has.
    const VERSION: u16;
}

/// What members decide about the network.
pub struct Governance;

impl Contract for Governance {
    const NAME: &'static str = AuthorisedContract::GOVERNANCE;
    const VERSION: u16 = 1;
}

/// The post-trade contract.
pub struct Securities;

impl Contract for Securities {
    const NAME: &'static str = AuthorisedContract::SECURITIES;
    const VERSION: u16 = 1;
}

/// What the engine runs: name and version. Whatever was ever authorised stays here, with its rules: old blocks are
/// executed again by audits and restarts.
const RUNS: [(&str, u16); 2] = [
    (Governance::NAME, Governance::VERSION),
    (Securities::NAME, Securities::VERSION),
];

/// Whether this engine runs a contract of the registry.
pub fn runs(contract: &AuthorisedContract) -> bool {
    RUNS.contains(&(contract.name.as_str(), contract.version))
}

/// Checks that this engine runs every contract of a registry: one that lacks some would compute other results.
///
/// # Errors
/// [`EngineError::Contract`] with the first one that it does not.
pub fn check_all_run(registry: &[AuthorisedContract]) -> Result<(), EngineError> {
    match registry.iter().find(|contract| !runs(contract)) {
        None => Ok(()),
        Some(one) => Err(EngineError::Contract(format!(
            "{} {}",
            one.name, one.version
        ))),
    }
}

/// Whether a registry authorises a contract in the version that this engine runs.
pub fn is_authorised(name: &str, registry: &[AuthorisedContract]) -> bool {
    registry.iter().any(|one| one.name == name && runs(one))
}

/// The contract that an order is addressed to. Members belong to the network, whose contract is that of governance; what
/// modules say to each other, and how a member seals, is no contract's.
pub const fn contract_of(order: &OrderBytes) -> Option<&'static str> {
    match order {
        OrderBytes::Admit { .. }
        | OrderBytes::Renew { .. }
        | OrderBytes::Revoke { .. }
        | OrderBytes::Governance(_) => Some(Governance::NAME),
        OrderBytes::Securities(_) | OrderBytes::Read { .. } | OrderBytes::Certify { .. } => {
            Some(Securities::NAME)
        }
        OrderBytes::Module(_) | OrderBytes::OpenSession => None,
    }
}

/// The contract whose data a question is about.
pub const fn contract_asked(question: &Question) -> &'static str {
    match question {
        Question::Member | Question::Governance => Governance::NAME,
        Question::Registry { .. }
        | Question::Holdings
        | Question::Trades
        | Question::Audit
        | Question::AccessLog { .. }
        | Question::Events { .. }
        | Question::CertifiedRegistry { .. } => Securities::NAME,
    }
}

/// The key for the leaves of one contract's data.
pub struct LeafKey<C> {
    key: Secret32,
    contract: PhantomData<C>,
}

impl<C: Contract> LeafKey<C> {
    /// Derived from the leaf key of a key epoch.
    pub fn of(leaf: &Secret32) -> Self {
        Self {
            key: derive(leaf, LEAF_LABEL, C::NAME.as_bytes()),
            contract: PhantomData,
        }
    }

    /// The key itself.
    pub const fn key(&self) -> &Secret32 {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_has_keys_of_its_own() {
        let leaf = Secret32::new([7; 32]);
        let governance = LeafKey::<Governance>::of(&leaf);
        let securities = LeafKey::<Securities>::of(&leaf);
        let keys = [
            leaf.expose(),
            governance.key().expose(),
            securities.key().expose(),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(distinct.len(), 3);
        let other = LeafKey::<Securities>::of(&Secret32::new([8; 32]));
        assert_ne!(other.key().expose(), securities.key().expose());
    }

    #[test]
    fn a_registry_authorises_versions_that_the_engine_runs() {
        let usual = AuthorisedContract::usual();
        assert!(usual.iter().all(runs));
        assert!(is_authorised("securities", &usual));
        assert!(!is_authorised("securities", &usual[..1]));
        let newer = [AuthorisedContract::new("securities", 2)];
        assert!(!is_authorised("securities", &newer));
        assert!(!runs(&AuthorisedContract::new("repo", 1)));
        assert!(check_all_run(&usual).is_ok());
        let refused = check_all_run(&newer).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|error| error.contains("securities 2")));
    }

    #[test]
    fn what_was_ever_authorised_is_run() {
        // Only ever added to.
        for (name, version) in [("governance", 1), ("securities", 1)] {
            assert!(runs(&AuthorisedContract::new(name, version)));
        }
    }
}
