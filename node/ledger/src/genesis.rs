//! The genesis document: who founded the network, with which keys and rules. Its hash is the network's identity, and
//! everything that is verified offline starts from it.
//!
//! ```text
//! genesis = version u16 | network name | created_ms u64 | certificate roots | validator seats | observer seats
//!         | opening epochs | audit recipients | admin certificate chains | policy schema and files | parameters
//!         | governance rules | recovery
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::hash::{Digest, hash};

use crate::epoch::EPOCH_VERSION;
use crate::{
    Block, CertificateError, Committee, EpochDefinition, EpochError, ObserverSeat, Opening,
    Parameters, ValidatorSeat,
};

/// The largest genesis document, in bytes.
pub const MAX_GENESIS_BYTES: usize = 4 * 1024 * 1024;
const MAX_ELECTOR_ROLES: usize = 16;
const MAX_ROLE_BYTES: usize = 32;
/// 366 days.
const MAX_PROPOSAL_LIFE_MS: u64 = 366 * 86_400_000;
/// The most holders of audit keys, and as many of recovery shares.
pub const MAX_KEY_HOLDERS: usize = 64;
const MAX_HOLDER_NAME_BYTES: usize = 64;
const MAX_HOLDER_KEY_BYTES: usize = 4_096;
const GENESIS_VERSION: u16 = 5;
const MAX_MEASUREMENTS: usize = 16;
const GENESIS_DOMAIN: &str = "sealbook 2026 genesis v2";

/// Why bytes are not a genesis document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not the canonical encoding, or too large.
    #[error("genesis document does not decode")]
    Malformed,
    /// A version that this software does not know.
    #[error("genesis version {0} is not known")]
    Version(u16),
    /// Something that must be there is not.
    #[error("genesis document has no {0}")]
    Missing(&'static str),
    /// There is another key than that of key epoch 0. Two keys would let modules check one of them while clients seal
    /// to the other.
    #[error("genesis document names another key epoch than 0, or more than one")]
    KeyEpochs,
    /// The first committee epoch cannot be as it follows from the document.
    #[error("genesis document: {0}")]
    Epoch(#[from] EpochError),
    /// The rules of governance are outside their bounds, so that perhaps no proposal could ever be decided.
    #[error("genesis document, governance: {0}")]
    Governance(#[source] EpochError),
}

/// Somebody outside the committee to whom keys are sealed: a regulator who audits, a member who holds a recovery share.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyHolder {
    /// A name for those who decide about it: printable ASCII without spaces.
    pub name: String,
    /// The encoded public key.
    pub key: Vec<u8>,
}

/// Who holds the shares from which the root of a key epoch can be recovered, should all modules lose it.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Recovery {
    /// How many shares recover the root; 0 with no holders.
    pub threshold: u8,
    /// The holders, by the numbers of their shares, from 1.
    pub holders: Vec<KeyHolder>,
}

/// Checks a list of measurements.
///
/// # Errors
/// [`EpochError::Parameter`] if there are too many, or one comes twice.
pub fn check_measurements(measurements: &[Digest]) -> Result<(), EpochError> {
    let distinct =
        |(place, one): (usize, &Digest)| !measurements.iter().take(place).any(|other| other == one);
    if measurements.len() > MAX_MEASUREMENTS || !measurements.iter().enumerate().all(distinct) {
        return Err(EpochError::Parameter {
            name: "measurements",
            found: measurements.len() as u64,
            allowed: "16 at the most, all different",
        });
    }
    Ok(())
}

/// Checks a list of holders.
///
/// # Errors
/// [`EpochError::Parameter`] or [`EpochError::Seat`] with the first rule that is broken.
pub fn check_holders(what: &'static str, holders: &[KeyHolder]) -> Result<(), EpochError> {
    if holders.len() > MAX_KEY_HOLDERS {
        return Err(EpochError::Parameter {
            name: what,
            found: holders.len() as u64,
            allowed: "64 at the most",
        });
    }
    for (place, holder) in holders.iter().enumerate() {
        let wrong = |why| EpochError::Seat {
            name: holder.name.clone(),
            why,
        };
        let name = holder.name.as_bytes();
        if !(1..=MAX_HOLDER_NAME_BYTES).contains(&name.len())
            || !name.iter().all(u8::is_ascii_graphic)
        {
            return Err(wrong(
                "a holder's name is 1 to 64 printable ASCII characters without spaces",
            ));
        }
        if !(1..=MAX_HOLDER_KEY_BYTES).contains(&holder.key.len()) {
            return Err(wrong("a holder's key is 1 to 4096 bytes"));
        }
        let mut before = holders.iter().take(place);
        if before.any(|one| one.name == holder.name || one.key == holder.key) {
            return Err(wrong("its name or key is there twice"));
        }
    }
    Ok(())
}

impl Recovery {
    /// Checks everything that can be said of it by itself.
    ///
    /// # Errors
    /// [`EpochError`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), EpochError> {
        check_holders("recovery holders", &self.holders)?;
        let threshold = usize::from(self.threshold);
        let holds = if self.holders.is_empty() {
            threshold == 0
        } else {
            (2..=self.holders.len()).contains(&threshold)
        };
        if holds {
            return Ok(());
        }
        Err(EpochError::Parameter {
            name: "recovery threshold",
            found: u64::from(self.threshold),
            allowed: "2 to the number of holders, or 0 without holders",
        })
    }
}

/// The public opening key of a key epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpeningEpoch {
    /// Number of the key epoch (not of the committee epoch).
    pub key_epoch: u32,
    /// The encoded public key that transactions are sealed to.
    pub public_key: Vec<u8>,
}

/// A policy file as text.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PolicyText {
    /// File name, for messages.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// How members decide about the network.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GovernanceRules {
    /// The roles whose members propose and approve, as certificates name them.
    pub electors: Vec<String>,
    /// How many different members must approve a proposal, its proposer included.
    pub approvals: u16,
    /// How long a proposal may be decided, in milliseconds of ledger time.
    pub proposal_life_ms: u64,
}

impl Default for GovernanceRules {
    fn default() -> Self {
        Self {
            electors: vec!["admin".to_owned()],
            approvals: 1,
            proposal_life_ms: 7 * 86_400_000,
        }
    }
}

impl GovernanceRules {
    /// Checks the bounds of the rules.
    ///
    /// # Errors
    /// [`EpochError::Parameter`] names the first one that is outside.
    pub fn check(&self) -> Result<(), EpochError> {
        let roles = &self.electors;
        let distinct =
            |(place, role): (usize, &String)| !roles.iter().take(place).any(|one| one == role);
        let named = |role: &String| (1..=MAX_ROLE_BYTES).contains(&role.len());
        let bounds = [
            (
                "electors",
                roles.len() as u64,
                (1..=MAX_ELECTOR_ROLES).contains(&roles.len())
                    && roles.iter().all(named)
                    && roles.iter().enumerate().all(distinct),
                "1 to 16 different roles of 1 to 32 bytes",
            ),
            (
                "approvals",
                u64::from(self.approvals),
                (1..=1_000).contains(&self.approvals),
                "1 to 1000",
            ),
            (
                "proposal_life_ms",
                self.proposal_life_ms,
                (1..=MAX_PROPOSAL_LIFE_MS).contains(&self.proposal_life_ms),
                "1 to 31622400000",
            ),
        ];
        for (name, found, holds, allowed) in bounds {
            if !holds {
                return Err(EpochError::Parameter {
                    name,
                    found,
                    allowed,
                });
            }
        }
        Ok(())
    }
}

/// The document that founds a network.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Format version.
    pub version: u16,
    /// The network's name, as it stands in certificates.
    pub network_name: String,
    /// When the network was made, Unix milliseconds.
    pub created_ms: u64,
    /// Root certificates (DER) of the network's CA.
    pub certificate_roots: Vec<Vec<u8>>,
    /// The founding validators.
    pub validators: Vec<ValidatorSeat>,
    /// The founding observers.
    pub observers: Vec<ObserverSeat>,
    /// Opening keys by key epoch.
    pub opening_epochs: Vec<OpeningEpoch>,
    /// Whose keys the audit bundle is sealed to.
    pub audit_recipients: Vec<KeyHolder>,
    /// Certificate chains (DER, leaf first) of the founding admins.
    pub admins: Vec<Vec<Vec<u8>>>,
    /// The policy schema.
    pub policy_schema: String,
    /// The policies.
    pub policies: Vec<PolicyText>,
    /// Network parameters.
    pub parameters: Parameters,
    /// How members decide about the network.
    pub governance: GovernanceRules,
    /// Who holds recovery shares.
    pub recovery: Recovery,
    /// Commitments to the shares of the first key epoch's root, by their numbers, so that a bogus one can be named.
    pub share_commitments: Vec<Digest>,
    /// Which programs modules to be admitted may run: SHA-256 of each; any if there is none.
    pub module_measurements: Vec<Digest>,
}

impl Genesis {
    /// The current format version.
    pub const VERSION: u16 = GENESIS_VERSION;

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads a genesis document.
    ///
    /// # Errors
    /// Too large, not canonical, of another version, without a part that must be there, or with key epochs out of
    /// order.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::Malformed);
        }
        let genesis = Self::try_from_slice(bytes).map_err(|_| GenesisError::Malformed)?;
        if genesis.version != GENESIS_VERSION {
            return Err(GenesisError::Version(genesis.version));
        }
        let required = [
            (genesis.validators.is_empty(), "validators"),
            (genesis.opening_epochs.is_empty(), "opening key"),
            (genesis.certificate_roots.is_empty(), "certificate roots"),
            (genesis.admins.is_empty(), "admins"),
        ];
        if let Some((_, part)) = required.into_iter().find(|(absent, _)| *absent) {
            return Err(GenesisError::Missing(part));
        }
        if !matches!(genesis.opening_epochs.as_slice(), [only] if only.key_epoch == 0) {
            return Err(GenesisError::KeyEpochs);
        }
        genesis.first_epoch().check()?;
        genesis
            .governance
            .check()
            .map_err(GenesisError::Governance)?;
        check_holders("audit recipients", &genesis.audit_recipients)?;
        genesis.recovery.check()?;
        check_measurements(&genesis.module_measurements)?;
        if genesis.share_commitments.len() != genesis.recovery.holders.len() {
            return Err(GenesisError::Missing("commitments to recovery shares"));
        }
        Ok(genesis)
    }

    /// The network's identity: the hash of the encoded document.
    #[must_use]
    pub fn network(&self) -> Digest {
        hash(GENESIS_DOMAIN, &[&self.encode()])
    }

    /// Block 0.
    #[must_use]
    pub fn block(&self) -> Block {
        let mut block = Block::genesis(self.network(), self.created_ms);
        block.header.committee = self.first_epoch().committee_digest();
        block
    }

    /// The first committee epoch, which holds block 0.
    #[must_use]
    pub fn first_epoch(&self) -> EpochDefinition {
        let first = self.opening_epochs.first();
        EpochDefinition {
            version: EPOCH_VERSION,
            epoch: 0,
            first_height: 0,
            last_height: u64::from(self.parameters.epoch_blocks),
            validators: self.validators.clone(),
            observers: self.observers.clone(),
            parameters: self.parameters.clone(),
            opening: Opening {
                key_epoch: first.map_or(0, |one| one.key_epoch),
                public_key: first.map(|one| one.public_key.clone()).unwrap_or_default(),
                since_height: 0,
                record: Digest::ZERO,
            },
        }
    }

    /// The first committee.
    ///
    /// # Errors
    /// [`CertificateError::Committee`] if the seats do not make one.
    pub fn committee(&self) -> Result<Committee, CertificateError> {
        self.first_epoch().committee()
    }

    /// The namespace of votes and the ALPN of links: the network's identity in hex.
    #[must_use]
    pub fn namespace(&self) -> Vec<u8> {
        self.network().to_string().into_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use sealbook_primitives::signature::VerifyingKey;

    use crate::testing::{network, pin};

    fn sample() -> Genesis {
        network(4).genesis
    }

    #[test]
    fn the_encoding_and_the_identity_are_pinned() {
        let genesis = sample();
        let pins = [
            pin(&genesis.encode()),
            genesis.network().to_string(),
            genesis.block().digest().to_string(),
        ];
        assert_eq!(
            pins,
            [
                "a0f40ff3a53586b7ecd92a7d885553e675dca189452affaeed2384017c137b2f",
                "4f51968ee51e393bed38f5b966c2acbe92262c90ed8b872a44afdfddfc6e9ff1",
                "00478ebeeb3bf240697cf27e675da6d003e84f21645a2299d0ead012df356ca7",
            ]
        );
        assert_eq!(
            genesis.namespace(),
            genesis.network().to_string().into_bytes()
        );
    }

    #[test]
    fn what_is_encoded_is_read_again_and_nothing_else_is() {
        let bytes = sample().encode();
        assert_eq!(Genesis::decode(&bytes).unwrap(), sample());
        for length in 0..bytes.len() {
            assert_eq!(
                Genesis::decode(&bytes[..length]),
                Err(GenesisError::Malformed)
            );
        }
        let longer = [bytes, vec![0]].concat();
        assert_eq!(Genesis::decode(&longer), Err(GenesisError::Malformed));
        let huge = vec![0; MAX_GENESIS_BYTES + 1];
        assert_eq!(Genesis::decode(&huge), Err(GenesisError::Malformed));
    }

    #[test]
    fn every_flipped_byte_is_another_network_or_no_genesis() {
        let (bytes, network) = (sample().encode(), sample().network());
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            if let Ok(genesis) = Genesis::decode(&altered) {
                assert_ne!(genesis.network(), network, "byte {index}");
            }
        }
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        let refused = |alter: &dyn Fn(&mut Genesis), error| {
            let mut genesis = sample();
            alter(&mut genesis);
            assert_eq!(Genesis::decode(&genesis.encode()), Err(error));
        };
        refused(&|one| one.version = 9, GenesisError::Version(9));
        refused(
            &|one| one.validators.clear(),
            GenesisError::Missing("validators"),
        );
        refused(
            &|one| one.opening_epochs.clear(),
            GenesisError::Missing("opening key"),
        );
        refused(
            &|one| one.certificate_roots.clear(),
            GenesisError::Missing("certificate roots"),
        );
        refused(&|one| one.admins.clear(), GenesisError::Missing("admins"));
        let double = |one: &mut Genesis| {
            let epoch = one.opening_epochs[0].clone();
            one.opening_epochs.push(OpeningEpoch {
                public_key: vec![9; 37],
                ..epoch
            });
        };
        refused(&double, GenesisError::KeyEpochs);
        let outside = |alter: &dyn Fn(&mut GovernanceRules)| {
            let mut genesis = sample();
            alter(&mut genesis.governance);
            let error = Genesis::decode(&genesis.encode()).unwrap_err();
            assert!(matches!(error, GenesisError::Governance(_)), "{error}");
        };
        let role = |name: &str| name.to_owned();
        outside(&|rules| rules.approvals = 0);
        outside(&|rules| rules.approvals = 1_001);
        outside(&|rules| rules.proposal_life_ms = 0);
        outside(&|rules| rules.proposal_life_ms = MAX_PROPOSAL_LIFE_MS + 1);
        outside(&|rules| rules.electors.clear());
        outside(&|rules| rules.electors.push(role("admin")));
        outside(&|rules| rules.electors.push(String::new()));
        outside(&|rules| rules.electors = (0..17).map(|place| format!("role-{place}")).collect());
        let mut genesis = sample();
        genesis.parameters.epoch_blocks = 11;
        let error = Genesis::decode(&genesis.encode()).unwrap_err();
        assert!(matches!(error, GenesisError::Epoch(_)), "{error}");
    }

    #[test]
    fn block_0_names_the_founding_committee() {
        let genesis = sample();
        let header = genesis.block().header;
        assert_eq!(header.committee, genesis.first_epoch().committee_digest());
    }

    #[test]
    fn seats_make_the_committee() {
        let genesis = sample();
        let committee = genesis.committee().unwrap();
        assert_eq!((committee.epoch(), committee.members().len()), (0, 4));
        let mut twice = genesis.clone();
        twice.validators[1].vote_key = twice.validators[0].vote_key;
        assert_eq!(twice.committee(), Err(CertificateError::Committee));
        let mut weak = genesis;
        weak.validators[1].vote_key = VerifyingKey([0; 32]);
        assert_eq!(weak.committee(), Err(CertificateError::Committee));
    }
}
