//! What stands in each kind of certificate. The counterpart, which accepts exactly this, is
//! `sealbook_identity::verify_chain`.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use sealbook_identity::{CertificateRequest, CertificateUri, Role};
use sealbook_primitives::random;
use time::OffsetDateTime;

use crate::AuthorityError;

/// Length of a serial number in bytes (RFC 5280 section 4.1.2.2 allows twenty).
const SERIAL_LENGTH: usize = 16;

/// First and last moment of validity, milliseconds since 1970 (UTC), both included.
pub(crate) type Validity = (u64, u64);

/// The self-signed root.
pub(crate) fn root(network: &str, validity: Validity) -> Result<CertificateParams, AuthorityError> {
    let uri = CertificateUri::Root {
        network: network.to_owned(),
    };
    let name = format!("Sealbook root {network}");
    let mut params = common(&name, &name, &uri, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    Ok(params)
}

/// The issuing authority of one role.
pub(crate) fn issuing(
    network: &str,
    role: Role,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let uri = CertificateUri::Issuing {
        network: network.to_owned(),
        role,
    };
    let organisation = format!("Sealbook root {network}");
    let name = format!("Sealbook issuing {role} {network}");
    let mut params = common(&name, &organisation, &uri, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A member or node. Nothing but names and key comes from the request.
pub(crate) fn holder(
    request: &CertificateRequest,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = common(
        &request.name,
        &request.organisation,
        &holder_uri(request),
        validity,
    )?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match request.role {
        Role::Node => {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        }
        _ => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    Ok(params)
}

/// What a member or node asks for.
pub(crate) fn request(request: &CertificateRequest) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&request.name, &request.organisation);
    params.subject_alt_names = vec![alternative_name(&holder_uri(request))?];
    Ok(params)
}

fn common(
    name: &str,
    organisation: &str,
    uri: &CertificateUri,
    (not_before_ms, not_after_ms): Validity,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name, organisation);
    params.subject_alt_names = vec![alternative_name(uri)?];
    params.not_before = date(not_before_ms)?;
    params.not_after = date(not_after_ms)?;
    params.serial_number = Some(SerialNumber::from(
        random::bytes::<SERIAL_LENGTH>().to_vec(),
    ));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject(name: &str, organisation: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organisation);
    subject.push(DnType::CommonName, name);
    subject
}

fn holder_uri(request: &CertificateRequest) -> CertificateUri {
    CertificateUri::Holder {
        network: request.network.clone(),
        role: request.role,
        lei: request.lei,
    }
}

fn alternative_name(uri: &CertificateUri) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(uri.to_string().try_into()?))
}

/// Certificates and lists count in whole seconds; callers hand in whole seconds.
pub(crate) fn date(milliseconds: u64) -> Result<OffsetDateTime, AuthorityError> {
    i64::try_from(milliseconds / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(AuthorityError::Validity {
            what: "it leaves the calendar",
        })
}
