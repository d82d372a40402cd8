//! What vendors publish and a verifier needs: Intel's collateral for a quote, AMD's certificate for a report.
//!
//! Nothing here fetches it. An operator's tool does, and hands it to the verifier or sends it along with the evidence;
//! it is signed, so it does not matter who carries it, only how old it is.
//!
//! ```text
//! collateral = version u8 | nine or ten parts in the order of the fields below, as borsh
//!
//! table of certificates, as in AMD's GHCB specification (publication 56421, MSG_REPORT_REQ with certificates):
//! entry ... | 24 zero bytes | certificates                  entry = identifier 16 bytes | offset u32 | length u32
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_primitives::encoding::{decode, encode};

use crate::evidence::malformed;
use crate::{EvidenceError, MAX_AUXILIARY_BYTES};

/// The version of the format above.
pub const COLLATERAL_VERSION: u8 = 1;
/// Most bytes in encoded collateral, which has to fit into evidence.
pub const MAX_COLLATERAL_BYTES: usize = MAX_AUXILIARY_BYTES;

/// The length of an entry in a table of certificates.
pub(crate) const TABLE_ENTRY_BYTES: usize = 24;
/// The VCEK's identifier in a table of certificates: 63da758d-e664-4564-adc5-f4b93be8accd.
pub(crate) const VCEK_ENTRY: [u8; 16] = [
    0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];

/// What Intel's provisioning service answers about a platform (version 4 of its interface).
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Collateral {
    /// The revocation list of the root CA, as DER.
    pub root_ca_revocations: Vec<u8>,
    /// The chain of the CA that certifies platforms, as PEM.
    pub platform_issuer_chain: String,
    /// That CA's revocation list, as DER.
    pub platform_revocations: Vec<u8>,
    /// The chain above the signature on the TCB levels, as PEM.
    pub tcb_issuer_chain: String,
    /// The TCB levels: the exact text that is signed.
    pub tcb_info: String,
    /// The signature on it, 64 bytes.
    pub tcb_info_signature: Vec<u8>,
    /// The chain above the signature on the quoting enclave's identity, as PEM.
    pub enclave_issuer_chain: String,
    /// The quoting enclave's identity: the exact text that is signed.
    pub enclave_identity: String,
    /// The signature on it, 64 bytes.
    pub enclave_identity_signature: Vec<u8>,
    /// The platform's certificate with its chain, as PEM, where the quote does not carry it.
    pub platform_chain: Option<String>,
}

impl Collateral {
    /// The canonical bytes, its version first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(&(COLLATERAL_VERSION, self))
    }

    /// The collateral whose canonical encoding is exactly `bytes`.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] when the bytes are too many, of another version or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        match bytes.first() {
            Some(&found) if found != COLLATERAL_VERSION => {
                return Err(EvidenceError::Version {
                    found,
                    known: COLLATERAL_VERSION,
                });
            }
            _ => {}
        }
        let (_, collateral): (u8, Collateral) =
            decode(bytes, MAX_COLLATERAL_BYTES).map_err(|error| malformed(&error))?;
        Ok(collateral)
    }
}

/// A table with nothing but a VCEK, for hosts whose hypervisor hands out no table: the certificate comes from AMD's
/// key distribution service.
#[must_use]
pub fn certificate_table(vcek: &[u8]) -> Vec<u8> {
    let offset = 2 * TABLE_ENTRY_BYTES;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut table = VCEK_ENTRY.to_vec();
    table.extend(number(offset));
    table.extend(number(vcek.len()));
    table.extend([0; TABLE_ENTRY_BYTES]);
    table.extend(vcek);
    table
}
