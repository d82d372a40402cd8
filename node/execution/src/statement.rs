//! What a module states about itself when it asks to be admitted: which program it runs, signed with its own key.
//!
//! ```text
//! statement = version u8 | network 32 | measurement 32 | signature 64
//! ```
//!
//! The measurement is the SHA-256 of the program's file. Nothing but evidence from hardware proves that the module really
//! runs it: whoever holds the module's key could state anything.

use std::io::{self, Read};

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_ledger::holder_digest;
use sealbook_primitives::hash::Digest;
use sealbook_primitives::signature::Signature;
use sha2::{Digest as _, Sha256};

use crate::custody::{HolderIdentity, ModuleKey};

const STATEMENT_VERSION: u8 = 1;
const STATEMENT_SIGNATURE: &str = "sealbook 2026 module statement v1";
const CHUNK: usize = 64 * 1024;

/// A module's statement.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModuleStatement {
    version: u8,
    /// The network that it asks to be admitted to.
    pub network: Digest,
    /// SHA-256 of the program that it runs.
    pub measurement: Digest,
    signature: Signature,
}

impl ModuleStatement {
    /// The statement of the module with this key.
    #[must_use]
    pub fn sign(key: &ModuleKey, network: Digest, measurement: Digest) -> Self {
        let message = signed(key.identity(), &network, &measurement);
        Self {
            version: STATEMENT_VERSION,
            network,
            measurement,
            signature: key.signing_key().sign(STATEMENT_SIGNATURE, &message),
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Reads [`ModuleStatement::encode`], without asking who signed it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let statement = Self::try_from_slice(bytes).ok()?;
        (statement.version == STATEMENT_VERSION).then_some(statement)
    }

    /// The measurement in a statement of the module with this public key about this network.
    #[must_use]
    pub fn verify(bytes: &[u8], module_key: &[u8], network: &Digest) -> Option<Digest> {
        let statement = Self::decode(bytes)?;
        if statement.network != *network {
            return None;
        }
        let identity = HolderIdentity::decode(module_key).ok()?;
        let message = signed(module_key, network, &statement.measurement);
        identity
            .signing
            .verify(STATEMENT_SIGNATURE, &message, &statement.signature)
            .ok()?;
        Some(statement.measurement)
    }
}

fn signed(module_key: &[u8], network: &Digest, measurement: &Digest) -> Vec<u8> {
    let module = holder_digest(module_key);
    [module, *network, *measurement]
        .map(|digest| digest.0)
        .concat()
}

/// The measurement of a program.
///
/// # Errors
/// It cannot be read.
pub fn measure(mut program: impl Read) -> io::Result<Digest> {
    let (mut hasher, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match program.read(&mut chunk)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            length => hasher.update(chunk.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_modules_about_one_network() {
        let (file, public) = ModuleKey::generate();
        let (_, other) = ModuleKey::generate();
        let key = ModuleKey::read(&file).unwrap();
        let (network, measurement) = (Digest([1; 32]), Digest([2; 32]));
        let bytes = ModuleStatement::sign(&key, network, measurement).encode();
        assert_eq!(bytes.len(), 1 + 32 + 32 + 64);
        assert_eq!(bytes[..65], [&[1][..], &[1; 32], &[2; 32]].concat());
        let verify = |bytes: &[u8], key: &[u8], network| {
            ModuleStatement::verify(bytes, key, &Digest([network; 32]))
        };
        assert_eq!(verify(&bytes, &public, 1), Some(measurement));
        assert_eq!(verify(&bytes, &public, 2), None);
        assert_eq!(verify(&bytes, &other, 1), None);
        assert_eq!(verify(&[], &public, 1), None);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(verify(&flipped, &public, 1), None, "{at}");
        }
    }

    #[test]
    fn a_measurement_is_the_sha_256_of_the_file() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(measure(&b"abc"[..]).unwrap().to_string(), known);
        let long = vec![7; CHUNK * 2 + 3];
        let expected: [u8; 32] = Sha256::digest(&long).into();
        assert_eq!(measure(long.as_slice()).unwrap().0, expected);
    }
}
