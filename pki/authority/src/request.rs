//! What a member or node sends to be certified. Runs where the member's key lives.

use sealbook_identity::{CertificateRequest, Lei, Role, check_organisation, check_short_name, pem};
use sealbook_primitives::{secret::Secret32, signature::SigningKey};

use crate::{AuthorityError, key::SeedKey, profile};

/// Makes a certificate request (PKCS #10, PEM), signed with the Ed25519 key of `seed`. It contains
/// the public key only.
pub fn certificate_request(
    name: &str,
    organisation: &str,
    role: Role,
    lei: Option<Lei>,
    network: &str,
    seed: &Secret32,
) -> Result<String, AuthorityError> {
    check_short_name(name)?;
    check_short_name(network)?;
    check_organisation(organisation)?;
    let asked = CertificateRequest {
        name: name.to_owned(),
        organisation: organisation.to_owned(),
        role,
        lei,
        network: network.to_owned(),
        key: SigningKey::from_secret(seed).verifying_key(),
    };
    let key = SeedKey::new(seed.duplicate());
    let request = profile::request(&asked)?.serialize_request(&key)?;
    let text = pem::request_to_pem(request.der())?;
    // The authority will read exactly what was asked for, or we hear of it here.
    if CertificateRequest::from_pem(&text)? != asked {
        return Err(AuthorityError::Request(
            sealbook_identity::RequestError::Malformed,
        ));
    }
    Ok(text)
}
