//! What the authority takes back, and the lists that say so (RFC 5280 section 5).
//!
//! Each issuing authority signs a list of its own, of everything that was ever revoked for its role, also by the one
//! before it: nothing is
//! ever un-revoked, so that reasons that promise a return (a hold) are not offered. Lists are whole,
//! numbered upwards, and in force for a few days: who is given none in time must not believe that
//! nobody was revoked since.

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason as Code,
    RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use sealbook_identity::{
    RevocationList, RevocationReason, Role, chain_end_ms, revocation::Revoked,
};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer as _,
};

use crate::{
    Authority, AuthorityError, Issued,
    authority::{Issuing, check_validity, whole_seconds},
    inventory::{self, Inventory, Line},
    profile::date,
};

/// How long a list is in force if nobody says otherwise.
pub const LIST_VALIDITY_MS: u64 = 7 * 86_400_000;
/// How far lists are dated back, so that clocks that are slow take them at once.
const BACKDATED_MS: u64 = 600_000;

/// A revocation list and the authority that signed it.
pub struct SignedList {
    /// The certificate of the issuing authority.
    pub authority: CertificateDer<'static>,
    /// The list in DER form.
    pub der: Vec<u8>,
    /// What it says.
    pub list: RevocationList,
}

impl Authority {
    /// Revokes the certificate with this serial number or, where it is the only one that is valid,
    /// with this holder's short name, as of `now_ms` and for good. The issuing authority's next list
    /// says so; its key is not needed for that.
    ///
    /// # Errors
    /// There is no such certificate, it has expired or is revoked already, or the name has several.
    pub fn revoke(
        &self,
        who: &str,
        reason: RevocationReason,
        now_ms: u64,
    ) -> Result<Issued, AuthorityError> {
        if !RevocationReason::OF_HOLDERS.contains(&reason) {
            return Err(AuthorityError::Reason { reason });
        }
        let revoked = Revoked {
            revoked_ms: whole_seconds(now_ms),
            reason,
        };
        let mut serial = String::new();
        let inventory = inventory::add(&self.inventory_path(), |known| {
            serial = find(known, who, now_ms)?.serial.clone();
            Ok(Line::Revoked(serial.clone(), revoked))
        })?;
        inventory
            .by_serial(&serial)
            .cloned()
            .ok_or_else(|| AuthorityError::NeverIssued {
                who: who.to_owned(),
            })
    }

    /// The roles whose issuing keys are here, and whose lists can therefore be signed here.
    pub fn roles(&self) -> Vec<Role> {
        let held = self.issuing.iter().filter(|(_, one)| one.key.is_some());
        held.map(|(role, _)| *role).collect()
    }

    /// The roles of which the authority before the present one has its key here and has not ended by `now_ms`: its lists
    /// are signed here, too.
    pub fn former_roles(&self, now_ms: u64) -> Vec<Role> {
        let held = self.former.iter().filter(|(_, one)| one.key.is_some());
        let ends_ms = |one: &Issuing| chain_end_ms(std::slice::from_ref(&one.certificate));
        held.filter(|(_, one)| ends_ms(one).is_ok_and(|end_ms| end_ms > now_ms))
            .map(|(role, _)| *role)
            .collect()
    }

    /// The certificate of a role's authority, or of the one before it.
    pub fn certificate_of(&self, role: Role, is_former: bool) -> Option<&CertificateDer<'static>> {
        let of = if is_former {
            &self.former
        } else {
            &self.issuing
        };
        of.get(&role).map(|one| &one.certificate)
    }

    /// Signs the list of a role's issuing authority, with the next number, in force from a little
    /// before `now_ms` until `valid_ms` after it.
    ///
    /// # Errors
    /// The key is kept elsewhere, the list would outlive its authority, or it would be refused by
    /// whoever applies the usual check.
    pub fn revocation_list(
        &self,
        role: Role,
        now_ms: u64,
        valid_ms: u64,
    ) -> Result<SignedList, AuthorityError> {
        self.list_of(self.issuing.get(&role), role, now_ms, valid_ms)
    }

    /// The same of the authority before the present one. It ends with that authority at the latest.
    ///
    /// # Errors
    /// As [`Authority::revocation_list`].
    pub fn former_list(
        &self,
        role: Role,
        now_ms: u64,
        valid_ms: u64,
    ) -> Result<SignedList, AuthorityError> {
        let former = self.former.get(&role);
        let end_ms =
            former.and_then(|one| chain_end_ms(std::slice::from_ref(&one.certificate)).ok());
        let left_ms = end_ms.unwrap_or(0).saturating_sub(now_ms);
        self.list_of(former, role, now_ms, valid_ms.min(left_ms))
    }

    fn list_of(
        &self,
        issuing: Option<&Issuing>,
        role: Role,
        now_ms: u64,
        valid_ms: u64,
    ) -> Result<SignedList, AuthorityError> {
        let absent = AuthorityError::KeyAbsent { role };
        let Some(issuing) = issuing else {
            return Err(absent);
        };
        let key = issuing.key.as_ref().ok_or(absent)?;
        let authority = issuing.certificate.clone();
        let begin = whole_seconds(now_ms.saturating_sub(BACKDATED_MS));
        let end = whole_seconds(now_ms.saturating_add(valid_ms));
        if end <= now_ms {
            let what = "a revocation list must be in force for a while";
            return Err(AuthorityError::Validity { what });
        }
        check_validity((begin, end), &authority)?;

        let mut number = 0;
        let inventory = inventory::add(&self.inventory_path(), |known| {
            number = known.next_number(role);
            Ok(Line::List(role, number, end))
        })?;
        let params = CertificateRevocationListParams {
            this_update: date(begin)?,
            next_update: date(end)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: entries(&inventory, role)?,
            key_identifier_method: KeyIdMethod::PreSpecified(key_identifier(&authority)),
        };
        let issuer = Issuer::from_ca_cert_der(&authority, key)?;
        let der = params.signed_by(&issuer)?.der().to_vec();
        let list = self.check_list(&der, &authority, (begin, end))?;
        Ok(SignedList {
            authority,
            der,
            list,
        })
    }

    /// Holds a new list against the check that everyone else applies, at both ends of its time.
    fn check_list(
        &self,
        der: &[u8],
        authority: &CertificateDer<'_>,
        (begin_ms, end_ms): (u64, u64),
    ) -> Result<RevocationList, AuthorityError> {
        let authorities = std::slice::from_ref(authority);
        let roots = std::slice::from_ref(self.root());
        let verify = |now_ms| {
            RevocationList::verify(der, authorities, roots, self.network(), now_ms)
                .map_err(AuthorityError::ListSelfCheck)
        };
        verify(begin_ms)?;
        verify(end_ms)
    }
}

/// The certificate to revoke.
fn find<'a>(known: &'a Inventory, who: &str, now_ms: u64) -> Result<&'a Issued, AuthorityError> {
    // As other tools show serial numbers: in capitals, with colons.
    let serial = who.replace(':', "").to_ascii_lowercase();
    let named = || known.issued.iter().filter(|one| one.name == who);
    let open = |one: &&Issued| one.revoked.is_none() && one.not_after_ms >= now_ms;
    let found = match known.by_serial(&serial) {
        Some(found) => found,
        None => match (named().filter(open).count(), named().next_back()) {
            (_, None) => {
                return Err(AuthorityError::NeverIssued {
                    who: who.to_owned(),
                });
            }
            (0 | 1, Some(last)) => named().find(open).unwrap_or(last),
            (count, Some(_)) => {
                return Err(AuthorityError::SeveralCertificates {
                    name: who.to_owned(),
                    count,
                });
            }
        },
    };
    let (name, serial) = (found.name.clone(), found.serial.clone());
    if let Some(Revoked { revoked_ms, reason }) = found.revoked {
        return Err(AuthorityError::AlreadyRevoked {
            name,
            serial,
            revoked_ms,
            reason,
        });
    }
    if found.not_after_ms < now_ms {
        return Err(AuthorityError::ExpiredAlready { name, serial });
    }
    Ok(found)
}

fn entries(known: &Inventory, role: Role) -> Result<Vec<RevokedCertParams>, AuthorityError> {
    let of_role = known.issued.iter().filter(|one| one.role == role);
    of_role
        .filter_map(|one| Some((&one.serial, one.revoked?)))
        .map(|(serial, revoked)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(serial_bytes(serial)),
                revocation_time: date(revoked.revoked_ms)?,
                reason_code: Some(code(revoked.reason)),
                invalidity_date: None,
            })
        })
        .collect()
}

fn serial_bytes(digits: &str) -> Vec<u8> {
    let value = u128::from_str_radix(digits, 16).unwrap_or_default();
    value.to_be_bytes().to_vec()
}

const fn code(reason: RevocationReason) -> Code {
    match reason {
        RevocationReason::Unspecified => Code::Unspecified,
        RevocationReason::KeyCompromise => Code::KeyCompromise,
        RevocationReason::AuthorityCompromise => Code::CaCompromise,
        RevocationReason::AffiliationChanged => Code::AffiliationChanged,
        RevocationReason::Superseded => Code::Superseded,
        RevocationReason::CessationOfOperation => Code::CessationOfOperation,
        RevocationReason::Hold => Code::CertificateHold,
        RevocationReason::PrivilegeWithdrawn => Code::PrivilegeWithdrawn,
        RevocationReason::AttributeAuthorityCompromise => Code::AaCompromise,
    }
}

/// The identifier of the authority's key, as its own certificate states it.
fn key_identifier(authority: &CertificateDer<'_>) -> Vec<u8> {
    let Ok((_, parsed)) = X509Certificate::from_der(authority) else {
        return Vec::new();
    };
    parsed
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        })
        .unwrap_or_default()
}
