//! Targets: certificates, requests, and the texts that people write.

use std::fmt::Display;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use sealbook_identity::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, Certificate, CertificateRequest, CertificateUri,
    IdentityError, Lei, Principal, Role, Usage, check_organisation, check_short_name, fingerprint,
    pem, verify_chain,
};
use sealbook_securities::{
    AccountId, BusinessDate, ClientReference, CurrencyCode, Decimal, Isin, LongName, MemberName,
    NewMember,
};

use crate::exact::{exact, neighbours_are_refused};
use crate::fixtures::people::{NETWORK, NOW_MS, Signer, framed, people, signed, signed_part};

/// A certificate chain as an order carries it: a list of certificates, leaf first.
pub fn certificate_chain(data: &[u8]) -> bool {
    let Some(chain) = exact::<Vec<Vec<u8>>>(data) else {
        return false;
    };
    let chain: Vec<Certificate> = chain.into_iter().map(Certificate::from).collect();
    judge(&chain);
    true
}

/// The signed part of a certificate. It is signed here with keys that everybody knows, so that mutations come past the
/// signatures: once as a holder's certificate below a good authority, once as an authority's above a good holder.
pub fn certificate_signed(data: &[u8]) -> bool {
    let mut read = false;
    let leaf = Certificate::from(signed(data, Signer::Issuing));
    let issuing = Certificate::from(signed(data, Signer::Root));
    for good in [&people().firm, &people().node] {
        let [good_leaf, good_issuing] = good.as_slice() else {
            continue;
        };
        read |= judge(&[leaf.clone(), good_issuing.clone()]);
        read |= judge(&[good_leaf.clone(), issuing.clone()]);
    }
    read
}

/// Holds a chain against the root of the fixtures; true if it leads there.
fn judge(chain: &[Certificate]) -> bool {
    let roots = &people().roots;
    let verify = |now_ms, usage| verify_chain(roots, chain, NETWORK, now_ms, usage);
    match verify(NOW_MS, Usage::Any) {
        Ok(principal) => {
            assert!(chain.len() <= CERTIFICATES_MAX);
            assert!(chain.iter().all(|one| one.len() <= CERTIFICATE_BYTES_MAX));
            let as_member = verify(NOW_MS, Usage::Member).is_ok();
            assert_eq!(as_member, principal.role.is_member());
            let as_node = verify(NOW_MS, Usage::Node).is_ok();
            assert_eq!(as_node, principal.role == Role::Node);
            check_principal(&principal, chain);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn check_principal(principal: &Principal, chain: &[Certificate]) {
    let roots = &people().roots;
    let verify = |roots: &[Certificate], network: &str, now_ms| {
        verify_chain(roots, chain, network, now_ms, Usage::Any)
    };
    assert_eq!(principal.network, NETWORK);
    assert_eq!(check_short_name(&principal.name), Ok(()));
    assert_eq!(check_organisation(&principal.organisation), Ok(()));
    assert!(principal.key.refuse_weak().is_ok());
    assert_eq!(chain.first().map(fingerprint), Some(principal.fingerprint));
    assert!((principal.not_before_ms..=principal.not_after_ms).contains(&NOW_MS));
    if let Some(before) = principal.not_before_ms.checked_sub(1) {
        let early = verify(roots, NETWORK, before);
        assert!(matches!(early, Err(IdentityError::NotYetValid { .. })));
    }
    if let Some(after) = principal.not_after_ms.checked_add(1) {
        let late = verify(roots, NETWORK, after);
        assert!(matches!(late, Err(IdentityError::Expired { .. })));
    }
    assert!(verify(roots, "elsewhere", NOW_MS).is_err());
    assert!(verify(&[], NETWORK, NOW_MS).is_err());
    // The books take everybody whom the certificates admit.
    if principal.role.is_member() {
        let lei = principal.lei.map(|lei| lei.to_string());
        let new = NewMember::parse(
            &principal.name,
            principal.role.word(),
            &principal.organisation,
            lei.as_deref(),
            principal.fingerprint.0,
            principal.key.0,
        );
        assert!(new.is_ok(), "{new:?}");
    }
}

/// A certificate request: as it stands, and as the signed part of one, which is signed here with a known key.
pub fn certificate_request(data: &[u8]) -> bool {
    let whole = check_request(data);
    let part = check_request(&signed(data, Signer::Holder));
    whole || part
}

fn check_request(der: &[u8]) -> bool {
    let Ok(request) = CertificateRequest::from_der(der) else {
        return false;
    };
    assert!(der.len() <= CERTIFICATE_BYTES_MAX);
    assert_eq!(check_short_name(&request.name), Ok(()));
    assert_eq!(check_short_name(&request.network), Ok(()));
    assert_eq!(check_organisation(&request.organisation), Ok(()));
    assert!(request.key.refuse_weak().is_ok());
    neighbours_are_refused(der, |bytes| CertificateRequest::from_der(bytes).is_ok());
    let (_, signature) = der.split_at(der.len().saturating_sub(64));
    let only = framed(&signed_part(der), signature);
    assert_eq!(only, der, "a request with two encodings");
    let text = pem::request_to_pem(der).expect("a request within the limit");
    assert_eq!(CertificateRequest::from_pem(&text), Ok(request));
    // The signature is the end of the request, and there is one of it.
    for place in [1, 20, 33, 64] {
        let mut altered = der.to_vec();
        let end = altered.len();
        if let Some(byte) = altered.get_mut(end.saturating_sub(place)) {
            *byte ^= 0x10;
        }
        assert!(CertificateRequest::from_der(&altered).is_err());
    }
    true
}

/// Texts: PEM, the names in certificates, and the values that members write.
pub fn texts(data: &[u8]) -> bool {
    let mut read = false;
    if let Ok(seed) = pem::seed_from_pem(data) {
        let text = pem::seed_to_pem(&seed).expect("a seed can be written");
        let again = pem::seed_from_pem(text.expose());
        assert!(again.is_ok_and(|again| again.constant_time_eq(&seed)));
        read = true;
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return read;
    };
    if let Ok(chain) = pem::chain_from_pem(text) {
        assert!((1..=CERTIFICATES_MAX).contains(&chain.len()));
        if let Ok(text) = pem::chain_to_pem(&chain) {
            assert_eq!(pem::chain_from_pem(&text), Ok(chain));
        }
        read = true;
    }
    if let Ok(der) = pem::request_from_pem(text) {
        if let Ok(text) = pem::request_to_pem(&der) {
            assert_eq!(pem::request_from_pem(&text), Ok(der));
        }
        read = true;
    }
    // The books take what certificates may say.
    let (in_certificates, in_books) =
        (text.parse::<Lei>(), shown::<sealbook_securities::Lei>(text));
    assert!(in_certificates.is_err() || in_books);
    assert_eq!(
        check_short_name(text).is_ok(),
        MemberName::new(text).is_ok()
    );
    assert!(check_organisation(text).is_err() || LongName::new(text).is_ok());
    let plain = [
        in_books,
        again::<Lei>(text),
        again::<Role>(text),
        again::<CertificateUri>(text),
        shown::<AccountId>(text),
        shown::<BusinessDate>(text),
        shown::<ClientReference>(text),
        shown::<CurrencyCode>(text),
        shown::<Decimal>(text),
        shown::<Isin>(text),
        shown::<LongName>(text),
        shown::<MemberName>(text),
    ];
    read || plain.contains(&true)
}

/// Whether it is a value of this kind. It is shown as it was written.
fn again<T: FromStr + Display>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else {
        return false;
    };
    assert_eq!(value.to_string(), text, "a value with two texts");
    true
}

/// The same for a value that has an encoding too.
fn shown<T: FromStr + Display + BorshSerialize + BorshDeserialize>(text: &str) -> bool {
    if let Ok(value) = text.parse::<T>() {
        let bytes = borsh::to_vec(&value).expect("a value can be written");
        assert!(exact::<T>(&bytes).is_some());
    }
    again::<T>(text)
}
