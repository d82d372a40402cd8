//! Revocation lists made piece by piece, with any mistake that a test asks for.

use rcgen::SigningKey as _;
use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{Authority, DAY_MS, NOW_MS, date};

const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
pub const REASON: u8 = 21;
pub const NUMBER: u8 = 20;
pub const DELTA: u8 = 27;
pub const SCOPE: u8 = 28;
pub const CERTIFICATE_ISSUER: u8 = 29;
pub const AUTHORITY_KEY: u8 = 35;

/// One DER value.
pub fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut head = vec![tag];
    if length < 0x80 {
        head.push(u8::try_from(length).unwrap());
    } else {
        head.push(0x80 | u8::try_from(significant.len()).unwrap());
        head.extend_from_slice(significant);
    }
    [&head, contents].concat()
}

/// A time in the form that RFC 5280 wants before 2050.
pub fn time(milliseconds: u64) -> Vec<u8> {
    let date = date(milliseconds);
    let text = format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        date.year() % 100,
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    );
    der(0x17, text.as_bytes())
}

/// An extension 2.5.29.`arc`.
pub fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut contents = der(0x06, &[0x55, 0x1d, arc]);
    if critical {
        contents.extend(der(0x01, &[0xff]));
    }
    contents.extend(der(0x04, value));
    der(0x30, &contents)
}

/// An entry with extensions.
pub fn entry_with(serial: &[u8], revoked_ms: u64, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut contents = [der(0x02, serial), time(revoked_ms)].concat();
    if !extensions.is_empty() {
        contents.extend(der(0x30, &extensions.concat()));
    }
    der(0x30, &contents)
}

/// An entry with a reason code, or without one.
pub fn entry(serial: &[u8], revoked_ms: u64, code: Option<u8>) -> Vec<u8> {
    let reason = |code| extension(REASON, false, &der(0x0a, &[code]));
    entry_with(serial, revoked_ms, &Vec::from_iter(code.map(reason)))
}

/// The serial number of a certificate, the bytes of its integer.
pub fn serial(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    parsed.raw_serial().to_vec()
}

pub fn number(value: u8) -> Vec<u8> {
    extension(NUMBER, false, &der(0x02, &[value]))
}

fn authority_key(authority: &CertificateDer<'_>) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(authority).unwrap();
    let identifier = parsed
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(one) => Some(one.0),
            _ => None,
        })
        .unwrap();
    extension(AUTHORITY_KEY, false, &der(0x30, &der(0x80, identifier)))
}

/// The parts of a list, lawful to begin with.
pub struct ListParts {
    pub version: Option<u8>,
    pub issuer: Vec<u8>,
    pub this_update_ms: u64,
    pub next_update_ms: Option<u64>,
    pub entries: Vec<Vec<u8>>,
    /// The number, the authority's key, and what a test adds.
    pub extensions: Vec<Vec<u8>>,
}

impl ListParts {
    /// An empty list of `authority` with number 1.
    pub fn of(authority: &Authority) -> Self {
        let (_, parsed) = X509Certificate::from_der(&authority.certificate).unwrap();
        Self {
            version: Some(1),
            issuer: parsed.subject().as_raw().to_vec(),
            this_update_ms: NOW_MS - DAY_MS,
            next_update_ms: Some(NOW_MS + DAY_MS),
            entries: Vec::new(),
            extensions: vec![authority_key(&authority.certificate), number(1)],
        }
    }

    /// The list, signed by `authority`.
    pub fn signed(&self, authority: &Authority) -> Vec<u8> {
        let mut contents = Vec::new();
        if let Some(version) = self.version {
            contents.extend(der(0x02, &[version]));
        }
        contents.extend(ED25519);
        contents.extend_from_slice(&self.issuer);
        contents.extend(time(self.this_update_ms));
        contents.extend(self.next_update_ms.into_iter().flat_map(time));
        if !self.entries.is_empty() {
            contents.extend(der(0x30, &self.entries.concat()));
        }
        if !self.extensions.is_empty() {
            contents.extend(der(0xa0, &der(0x30, &self.extensions.concat())));
        }
        let signed = der(0x30, &contents);
        let signature = authority.issuer.key().sign(&signed).unwrap();
        let signature = der(0x03, &[&[0], signature.as_slice()].concat());
        der(0x30, &[signed, ED25519.to_vec(), signature].concat())
    }
}
