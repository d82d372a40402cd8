//! What evidence is made to say: which network, which module, which question.
//!
//! ```text
//! report data = hash("sealbook/attestation/report data/1", network, module key, nonce)      32 bytes
//!             | hash("sealbook/attestation/report data/1/tail", the same parts)             32 bytes
//! ```
//!
//! The hash puts each part's length before it, so a key and a nonce cannot be read as another key and nonce.

use sealbook_primitives::hash::{Digest, hash};

/// The bytes that hardware carries for whoever asks, on AMD and on Intel.
pub const REPORT_DATA_LENGTH: usize = 64;
/// The longest public key of a module: an X-Wing key has 1216 bytes.
pub const MAX_MODULE_KEY_BYTES: usize = 4096;

const HEAD: &str = "sealbook/attestation/report data/1";
const TAIL: &str = "sealbook/attestation/report data/1/tail";

/// The report data for the module with the public key `module_key` on `network`, asked with `nonce`.
///
/// The nonce is the verifier's, random and used once: without that, evidence may be a recording. Keys of any length
/// give distinct data; those above [`MAX_MODULE_KEY_BYTES`] should not have been read in the first place.
#[must_use]
pub fn report_data(
    network: &Digest,
    module_key: &[u8],
    nonce: &[u8; 32],
) -> [u8; REPORT_DATA_LENGTH] {
    let parts: [&[u8]; 3] = [network.as_bytes(), module_key, nonce];
    let mut data = [0; REPORT_DATA_LENGTH];
    let (head, tail) = data.split_at_mut(REPORT_DATA_LENGTH / 2);
    head.copy_from_slice(hash(HEAD, &parts).as_bytes());
    tail.copy_from_slice(hash(TAIL, &parts).as_bytes());
    data
}
