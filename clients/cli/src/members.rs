//! Members' keys and certificates: made by their owner, certified by the CA on a signing request.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{Lei, Role, files, pem};
use sealbook_primitives::secret::Secret32;

use crate::error::{CliError, Result};
use crate::network;

const YEAR_MS: u64 = 365 * 24 * 3_600_000;
/// Certificates are valid from a little before now, for clocks that are behind.
const BEFORE_MS: u64 = 3_600_000;

/// What a certificate is asked for.
pub struct Enrolment {
    /// Short name.
    pub name: String,
    /// Organisation.
    pub organisation: String,
    /// Role.
    pub role: Role,
    /// Legal entity identifier.
    pub lei: Option<Lei>,
}

/// Milliseconds since 1970 by this machine's clock.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| {
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        })
}

/// From a little before `now_ms` on, for clocks that are behind, until `until_ms`, or else for a year.
pub fn validity(now_ms: u64, until_ms: Option<u64>) -> (u64, u64) {
    (
        now_ms.saturating_sub(BEFORE_MS),
        until_ms.unwrap_or_else(|| now_ms.saturating_add(YEAR_MS)),
    )
}

/// Makes a key in `folder`, has it certified, and stores the chain beside it. Returns the chain in DER, leaf first.
///
/// # Errors
/// The folder cannot be written, or the CA refuses the request.
pub fn make_certified(
    authority: &Authority,
    folder: &Path,
    enrolment: &Enrolment,
    network: &str,
    validity: (u64, u64),
) -> Result<Vec<Vec<u8>>> {
    for folder in folder.parent().into_iter().chain([folder]) {
        if !folder.is_dir() {
            network::make_private_folder(folder)?;
        }
    }
    let seed = Secret32::random();
    files::write_private_key(&folder.join("key.pem"), &seed).map_err(CliError::new)?;
    let request = certificate_request(
        &enrolment.name,
        &enrolment.organisation,
        enrolment.role,
        enrolment.lei,
        network,
        &seed,
    )
    .map_err(CliError::new)?;
    let chain = authority
        .approve(&request, validity)
        .map_err(CliError::new)?;
    let chain = pem::chain_from_pem(&chain).map_err(CliError::new)?;
    files::write_chain(&folder.join("chain.pem"), &chain).map_err(CliError::new)?;
    Ok(chain
        .into_iter()
        .map(|certificate| certificate.to_vec())
        .collect())
}
